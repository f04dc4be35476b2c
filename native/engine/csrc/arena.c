#define _GNU_SOURCE
#include "arena.h"

#include <string.h>
#include <sys/mman.h>

#include "memory.h"

#if defined(__SANITIZE_ADDRESS__)
#define CV_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CV_ASAN 1
#endif
#endif
#ifdef CV_ASAN
#include <sanitizer/asan_interface.h>
#define CV_POISON(at, size) ASAN_POISON_MEMORY_REGION(at, size)
#define CV_UNPOISON(at, size) ASAN_UNPOISON_MEMORY_REGION(at, size)
#else
#define CV_POISON(at, size) ((void)(at), (void)(size))
#define CV_UNPOISON(at, size) ((void)(at), (void)(size))
#endif

enum {
    PAGE = 4096,
    KEEP = 64 /* free blocks that stay resident */
};

int cv_arena_open(cv_arena *arena, uint64_t size, uint32_t block_size, uint32_t records)
{
    memset(arena, 0, sizeof *arena);
    block_size = (block_size + PAGE - 1) / PAGE * PAGE;
    if (size > UINT32_MAX)
        size = UINT32_MAX; /* events carry offsets of 32 bits */
    uint64_t count = size / block_size;
    if (count == 0)
        count = 1;
    arena->block_size = block_size;
    arena->records = records;
    arena->usable = block_size - records * (uint32_t)sizeof(cv_request);
    arena->count = (uint32_t)count;
    arena->size = count * block_size;
    arena->base = cv_reserve(arena->size);
    arena->blocks = cv_reserve((count + 1) * sizeof(cv_block));
    arena->warm = cv_reserve(count * sizeof(uint32_t));
    arena->cold = cv_reserve(count * sizeof(uint32_t));
    if (!arena->base || !arena->blocks || !arena->warm || !arena->cold) {
        cv_arena_close(arena);
        return -1;
    }
    CV_POISON(arena->base, arena->size);
    return 0;
}

void cv_arena_close(cv_arena *arena)
{
    if (arena->base)
        CV_UNPOISON(arena->base, arena->size);
    cv_unreserve(arena->base, arena->size);
    cv_unreserve(arena->blocks, ((size_t)arena->count + 1) * sizeof(cv_block));
    cv_unreserve(arena->warm, arena->count * sizeof(uint32_t));
    cv_unreserve(arena->cold, arena->count * sizeof(uint32_t));
    memset(arena, 0, sizeof *arena);
}

uint32_t cv_arena_take(cv_arena *arena, uint32_t owner)
{
    uint32_t block;
    if (arena->warm_count) {
        /* The last one given back: its bytes are likely still in the processor's cache. */
        block = arena->warm[--arena->warm_count];
        if (arena->warm_count < arena->least_warm)
            arena->least_warm = arena->warm_count;
    } else if (arena->cold_count) {
        block = arena->cold[--arena->cold_count];
    } else if (arena->fresh < arena->count) {
        block = ++arena->fresh;
    } else {
        return 0;
    }
    arena->used++;
    arena->blocks[block].owner = owner;
    CV_UNPOISON(cv_arena_at(arena, block), arena->block_size);
    return block;
}

static void free_if_unused(cv_arena *arena, uint32_t block)
{
    const cv_block *b = &arena->blocks[block];
    if (b->owner || b->records || b->lent)
        return;
    arena->used--;
    arena->warm[arena->warm_count++] = block;
    CV_POISON(cv_arena_at(arena, block), arena->block_size);
}

void cv_arena_disown(cv_arena *arena, uint32_t block)
{
    arena->blocks[block].owner = 0;
    free_if_unused(arena, block);
}

void cv_arena_lend(cv_arena *arena, uint32_t block)
{
    arena->blocks[block].lent++;
}

void cv_arena_unlend(cv_arena *arena, uint32_t block)
{
    arena->blocks[block].lent--;
    free_if_unused(arena, block);
}

cv_request *cv_arena_record(cv_arena *arena, uint32_t block)
{
    uint64_t *used = &arena->blocks[block].records;
    if (*used == UINT64_MAX)
        return NULL;
    uint32_t number = (uint32_t)__builtin_ctzll(~*used);
    if (number >= arena->records)
        return NULL;
    *used |= UINT64_C(1) << number;
    return (cv_request *)(void *)(cv_arena_at(arena, block) + arena->block_size) - number - 1;
}

void cv_arena_unrecord(cv_arena *arena, uint32_t block, const cv_request *record)
{
    const cv_request *end = (const void *)(cv_arena_at(arena, block) + arena->block_size);
    arena->blocks[block].records &= ~(UINT64_C(1) << (end - record - 1));
    free_if_unused(arena, block);
}

uint8_t *cv_arena_place(cv_arena *arena, uint32_t size, int record, uint32_t *block)
{
    uint64_t full = UINT64_MAX >> (64 - arena->records);
    if (size > arena->usable)
        return NULL;
    if (arena->shared && !cv_arena_pinned(arena, arena->shared))
        arena->shared_used = 0;
    if (arena->shared && (size > arena->usable - arena->shared_used ||
                          (record && arena->blocks[arena->shared].records == full))) {
        cv_arena_disown(arena, arena->shared); /* its pins keep it */
        arena->shared = 0;
    }
    if (!arena->shared) {
        arena->shared = cv_arena_take(arena, CV_ARENA_SHARED);
        arena->shared_used = 0;
    }
    if (!arena->shared)
        return NULL;
    uint8_t *at = cv_arena_at(arena, arena->shared) + arena->shared_used;
    arena->shared_used += size;
    *block = arena->shared;
    return at;
}

void cv_arena_unplace(cv_arena *arena)
{
    if (!arena->shared || cv_arena_pinned(arena, arena->shared))
        return;
    cv_arena_disown(arena, arena->shared);
    arena->shared = 0;
}

int cv_arena_trimmable(const cv_arena *arena)
{
    return arena->warm_count > KEEP;
}

int cv_arena_trim(cv_arena *arena)
{
    uint32_t idle = arena->least_warm;
    if (idle > arena->warm_count)
        idle = arena->warm_count;
    if (idle > KEEP) {
        uint32_t many = idle - KEEP;
        for (uint32_t i = 0; i < many; i++) {
            uint32_t block = arena->warm[i];
            madvise(cv_arena_at(arena, block), arena->block_size, MADV_DONTNEED);
            arena->cold[arena->cold_count++] = block;
        }
        arena->warm_count -= many;
        memmove(arena->warm, arena->warm + many, arena->warm_count * sizeof(uint32_t));
    }
    arena->least_warm = arena->warm_count;
    return cv_arena_trimmable(arena);
}
