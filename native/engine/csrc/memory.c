#define _GNU_SOURCE
#include "memory.h"

#include <stdlib.h>
#include <sys/mman.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0 /* where nothing is set aside before it is used, nobody has to ask for that */
#endif

void *cv_budget_take(cv_budget *budget, size_t size)
{
    if (size > budget->limit || budget->used > budget->limit - size)
        return NULL;
    void *at = malloc(size);
    if (at)
        budget->used += size;
    return at;
}

void cv_budget_give(cv_budget *budget, void *at, size_t size)
{
    if (!at)
        return;
    budget->used -= size;
    free(at);
}

void *cv_reserve(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                    -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

void cv_unreserve(void *at, size_t size)
{
    if (at)
        munmap(at, size);
}
