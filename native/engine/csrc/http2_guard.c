#include "http2_guard.h"

#include <string.h>

#include "http2_library.h"

#define ONE INT64_C(1000000000)
#define SECOND INT64_C(1000000000)

enum {
    PREFACE = 24,
    MAX_CONTINUATIONS = 16,
    MAX_FRAME = 16384, /* what we announce (RFC 9113, 4.2) */
    BYTES_A_WINDOW = 512, /* sent: a WINDOW_UPDATE for so many is no small step */
    WINDOWS_A_STREAM = 6, /* a request costs more than they do, and clients of gRPC send some with each */
};

/* The same limits as the portable server has. */
typedef struct rate {
    int64_t most, a_second;
} rate;
static const rate resets = {500, 50}, control = {1000, 200}, windows = {2000, 50};

static void fill(cv_allowance *allowance, const rate *rate, cv_time now)
{
    allowance->left = rate->most * ONE;
    allowance->at = now;
}

static void earn(cv_guard *guard, int64_t amount)
{
    guard->windows.left += amount;
    if (guard->windows.left > windows.most * ONE)
        guard->windows.left = windows.most * ONE;
}

static int spend(cv_allowance *allowance, const rate *rate, cv_time now)
{
    cv_time passed = now - allowance->at;
    int64_t full = rate->most * ONE;
    allowance->at = now;
    if (passed > 0)
        allowance->left = passed >= 60 * SECOND ? full : allowance->left + passed * rate->a_second;
    if (allowance->left > full)
        allowance->left = full;
    allowance->left -= ONE;
    return allowance->left >= 0;
}

void cv_guard_begin(cv_guard *guard, uint32_t max_block, cv_time now)
{
    memset(guard, 0, sizeof *guard);
    guard->max_block = max_block;
    guard->skip = PREFACE;
    guard->kind = CV_HTTP2_SETTINGS; /* of a preface: no body */
    fill(&guard->resets, &resets, now);
    fill(&guard->control, &control, now);
    fill(&guard->windows, &windows, now);
}

static int begin_frame(cv_guard *guard, uint32_t size, int kind, int flags, cv_time now)
{
    guard->kind = (uint8_t)kind;
    switch (kind) {
    case CV_HTTP2_HEADERS:
    case CV_HTTP2_PUSH_PROMISE:
        guard->block = 0;
        guard->continuations = 0;
        guard->in_block = 1;
        earn(guard, WINDOWS_A_STREAM * ONE);
        /* fall through */
    case CV_HTTP2_CONTINUATION:
        if (kind == CV_HTTP2_CONTINUATION && ++guard->continuations > MAX_CONTINUATIONS)
            return CV_FLOOD_HEADERS;
        guard->block += size;
        if (guard->block > guard->max_block)
            return CV_FLOOD_HEADERS;
        if (flags & CV_HTTP2_END_HEADERS)
            guard->in_block = 0;
        return CV_FLOOD_NONE;
    case CV_HTTP2_RST_STREAM:
        return spend(&guard->resets, &resets, now) ? CV_FLOOD_NONE : CV_FLOOD_RESETS;
    case CV_HTTP2_WINDOW_UPDATE:
        return spend(&guard->windows, &windows, now) ? CV_FLOOD_NONE : CV_FLOOD_WINDOWS;
    case CV_HTTP2_DATA:
        if (size || (flags & CV_HTTP2_END_STREAM))
            return CV_FLOOD_NONE;
        break;
    case CV_HTTP2_SETTINGS:
    case CV_HTTP2_PING:
        if (flags & CV_HTTP2_ACK)
            return CV_FLOOD_NONE;
        break;
    }
    /* Those, empty DATA, PRIORITY, GOAWAY, and kinds that nobody knows. */
    return spend(&guard->control, &control, now) ? CV_FLOOD_NONE : CV_FLOOD_CONTROL;
}

int cv_guard_received(cv_guard *guard, const uint8_t *at, size_t size, cv_time now)
{
    while (size) {
        if (guard->skip) {
            size_t step = guard->skip < size ? guard->skip : size;
            guard->skip -= (uint32_t)step;
            at += step;
            size -= step;
            continue;
        }
        size_t need = sizeof guard->head - guard->have;
        size_t step = need < size ? need : size;
        memcpy(guard->head + guard->have, at, step);
        guard->have = (uint8_t)(guard->have + step);
        at += step;
        size -= step;
        if (guard->have < sizeof guard->head)
            return CV_FLOOD_NONE;
        const uint8_t *head = guard->head;
        guard->have = 0;
        guard->skip = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
        if (guard->skip > MAX_FRAME)
            guard->skip = MAX_FRAME; /* the library ends the connection here */
        int flood = begin_frame(guard, guard->skip, head[3], head[4], now);
        if (flood)
            return flood;
    }
    return CV_FLOOD_NONE;
}

int cv_guard_sent(cv_guard *guard, int kind, size_t size, cv_time now)
{
    if (kind == CV_HTTP2_DATA) {
        earn(guard, (int64_t)(size * (ONE / BYTES_A_WINDOW)));
    } else if (kind == CV_HTTP2_RST_STREAM && !spend(&guard->resets, &resets, now)) {
        return CV_FLOOD_RESETS;
    }
    return CV_FLOOD_NONE;
}

int cv_guard_is_within(const cv_guard *guard)
{
    return guard->in_block || guard->have || (guard->skip && guard->kind != CV_HTTP2_DATA);
}
