/* UTF-8 (RFC 3629) that comes in pieces. */
#ifndef COVET_UTF8_H
#define COVET_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Within a character, or between two. All zero at the beginning. */
typedef struct cv_utf8 {
    uint8_t left; /* bytes that the character still needs */
    uint8_t low, high; /* what the next of them may be */
} cv_utf8;

/* Returns 0, or -1 at the first byte after which no text could be well-formed. */
int cv_utf8_check(cv_utf8 *state, const uint8_t *at, size_t size);

static inline int cv_utf8_ends(const cv_utf8 *state)
{
    return state->left == 0;
}

#endif
