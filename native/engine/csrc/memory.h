/* The one place memory comes from. What a client can make grow is counted against a budget. */
#ifndef COVET_MEMORY_H
#define COVET_MEMORY_H

#include <stddef.h>
#include <stdint.h>

typedef struct cv_budget {
    uint64_t used;
    uint64_t limit;
} cv_budget;

/* NULL if the budget is spent or the system has none. */
void *cv_budget_take(cv_budget *budget, size_t size);
void cv_budget_give(cv_budget *budget, void *at, size_t size);

/* Zeroed address space whose pages are only touched where they are used; NULL if refused. Addresses
 * of what lies in it never change, and a table may be made for the worst case at no cost. */
void *cv_reserve(size_t size);
void cv_unreserve(void *at, size_t size);

#endif
