/* Counts the frames of an HTTP/2 connection, and says when they are no conversation but a flood:
 * each is cheap to send and costs us work, memory or an answer. It looks at nothing but the nine
 * bytes that every frame begins with. */
#ifndef COVET_HTTP2_GUARD_H
#define COVET_HTTP2_GUARD_H

#include <stddef.h>
#include <stdint.h>

#include "covet_engine.h"
#include "timers.h"

/* So many at once, refilled by the time that passes. */
typedef struct cv_allowance {
    int64_t left; /* in billionths */
    cv_time at;
} cv_allowance;

typedef struct cv_guard {
    cv_allowance resets, control, windows;
    uint32_t max_block;
    uint32_t skip; /* bytes of the present frame that are still to come */
    uint32_t block; /* bytes of the present block of headers */
    uint8_t head[9];
    uint8_t have; /* bytes of the next frame's head */
    uint8_t continuations;
    uint8_t in_block; /* a block of headers has begun and not ended */
    uint8_t kind; /* of the present frame */
} cv_guard;

/* `max_block`: bytes of one block of headers as it is sent, compressed. */
void cv_guard_begin(cv_guard *guard, uint32_t max_block, cv_time now);

/* Look at what the client has sent. Returns enum cv_flood. */
int cv_guard_received(cv_guard *guard, const uint8_t *at, size_t size, cv_time now);

/* A frame of ours leaves. Returns enum cv_flood. */
int cv_guard_sent(cv_guard *guard, int kind, size_t size, cv_time now);

/* Whether something other than a body has begun and is not complete. */
int cv_guard_is_within(const cv_guard *guard);

#endif
