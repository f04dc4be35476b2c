/* Input buffers: blocks of one size in one mapping that never moves.
 *
 * A block has at most one owner, the connection that reads into it, and any number of pins:
 * requests in Python's hands, whose records lie at the block's end, and pieces of a body lent
 * until the next poll. It is free when it has neither. Blocks are numbered from 1. */
#ifndef COVET_ARENA_H
#define COVET_ARENA_H

#include "covet_engine.h"

enum { CV_RECORDS = 64 }; /* request records of one block at most */
#define CV_ARENA_SHARED UINT32_MAX /* owner of a block that is no connection's */

typedef struct cv_block {
    uint64_t records; /* a bit for each record in use */
    uint32_t lent;
    uint32_t owner; /* the connection that reads into it; 0: none */
} cv_block;

typedef struct cv_arena {
    uint8_t *base;
    uint64_t size;
    cv_block *blocks;
    uint32_t *warm; /* a stack of free blocks whose pages may be resident, oldest first */
    uint32_t *cold; /* free blocks whose pages were returned */
    uint32_t block_size;
    uint32_t usable; /* bytes of input a block holds; the records lie behind them */
    uint32_t records; /* of one block */
    uint32_t count; /* blocks in all */
    uint32_t fresh; /* those from here on were never used */
    uint32_t warm_count, cold_count;
    uint32_t least_warm; /* since the last trim: as many were not needed */
    uint32_t used;
    uint32_t shared, shared_used; /* the block that cv_arena_place cuts from; 0: none */
} cv_arena;

int cv_arena_open(cv_arena *arena, uint64_t size, uint32_t block_size, uint32_t records);
void cv_arena_close(cv_arena *arena);

/* A block for its new owner, or 0 if all are taken. */
uint32_t cv_arena_take(cv_arena *arena, uint32_t owner);
void cv_arena_disown(cv_arena *arena, uint32_t block);

void cv_arena_lend(cv_arena *arena, uint32_t block);
void cv_arena_unlend(cv_arena *arena, uint32_t block);

/* Place for a request's record, or NULL if this block has none left. */
cv_request *cv_arena_record(cv_arena *arena, uint32_t block);
void cv_arena_unrecord(cv_arena *arena, uint32_t block, const cv_request *record);

/* Room for bytes that did not arrive in a block, beside others of any connection: in `*block`, which
 * has a record left if one is wanted. To be pinned at once. NULL if there is none. */
uint8_t *cv_arena_place(cv_arena *arena, uint32_t size, int record, uint32_t *block);
/* Let go of the block that is cut, if nothing in it is needed. */
void cv_arena_unplace(cv_arena *arena);

static inline uint8_t *cv_arena_at(const cv_arena *arena, uint32_t block)
{
    return arena->base + (uint64_t)(block - 1) * arena->block_size;
}

static inline int cv_arena_pinned(const cv_arena *arena, uint32_t block)
{
    return arena->blocks[block].records || arena->blocks[block].lent;
}

static inline int cv_arena_has_free(const cv_arena *arena)
{
    return arena->used < arena->count;
}

/* Return the pages of blocks that nobody needed since the last call, but for a few. Returns whether
 * calling again later may return more. */
int cv_arena_trim(cv_arena *arena);
int cv_arena_trimmable(const cv_arena *arena);

#endif
