/* What the fuzz targets share: how bytes are cut up, and how a broken promise is shown. */
#ifndef COVET_PIECES_H
#define COVET_PIECES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROMISE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* The same numbers for the same input, so that what was found can be found again. */
typedef struct cv_dice {
    uint64_t state;
} cv_dice;

static inline cv_dice cv_dice_of(const uint8_t *at, size_t size)
{
    uint64_t state = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        state = (state ^ at[i]) * UINT64_C(0x100000001b3);
    return (cv_dice){state | 1};
}

static inline uint32_t cv_throw(cv_dice *dice, uint32_t below)
{
    dice->state ^= dice->state << 13;
    dice->state ^= dice->state >> 7;
    dice->state ^= dice->state << 17;
    return (uint32_t)((dice->state >> 33) % below);
}

enum cv_cut { CV_CUT_NEVER, CV_CUT_ALWAYS, CV_CUT_SOMETIMES, CV_CUTS };

/* The size of the next piece of `left` bytes. */
static inline size_t cv_piece(cv_dice *dice, enum cv_cut cut, size_t left)
{
    size_t piece = cut == CV_CUT_NEVER ? left : cut == CV_CUT_ALWAYS ? 1 : 1 + cv_throw(dice, 40);
    return piece < left ? piece : left;
}

/* In memory of its own, so that a sanitizer sees every read beyond the end. */
static inline uint8_t *cv_exact(const uint8_t *at, size_t size)
{
    uint8_t *copy = malloc(size != 0 ? size : 1);
    if (copy == NULL)
        abort();
    if (size != 0)
        memcpy(copy, at, size);
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#endif
