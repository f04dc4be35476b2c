#include "websocket_parts.h"

#include <string.h>

#include "core.h"

void cv_websockets_open(cv_core *core)
{
    const cv_options *o = &core->options;
    core->websockets.policy = (cv_deflate_policy){
        .keeps_out = o->compress_keeps_out,
        .keeps_in = o->compress_keeps_in,
        .bits_out = o->compress_bits_out < 9 || o->compress_bits_out > 15 ? 15 : o->compress_bits_out,
        .bits_in = o->compress_bits_in < 8 || o->compress_bits_in > 15 ? 15 : o->compress_bits_in,
        .level = o->compress_level > 9 ? 9 : o->compress_level,
        .memory = o->compress_memory < 1 || o->compress_memory > 9 ? 8 : o->compress_memory,
    };
}

void cv_websockets_close(cv_core *core)
{
    cv_websockets *all = &core->websockets;
    while (all->inflater_count)
        cv_inflater_free(all->inflaters[--all->inflater_count]);
    for (int bits = 0; bits < CV_WINDOWS; bits++)
        cv_deflater_free(all->deflaters[bits]);
    memset(all, 0, sizeof *all);
}

const cv_channel_limits *cv_limits_of(const cv_core *core, const cv_websocket *ws)
{
    return &core->websockets.sets[ws->limits].limits;
}

static cv_time length(double seconds)
{
    return seconds > 0 && seconds < 1e9 ? (cv_time)(seconds * 1e9) : CV_NEVER;
}

/* The set with these limits, with one user more; -1: there are too many others. */
int cv_limits_join(cv_core *core, const cv_channel_limits *limits)
{
    cv_limit_set *sets = core->websockets.sets;
    int found = -1;
    for (int i = 0; i < CV_LIMIT_SETS; i++) {
        if (memcmp(&sets[i].limits, limits, sizeof *limits) == 0) {
            sets[i].users++;
            return i;
        }
        if (found < 0 && !sets[i].users)
            found = i;
    }
    if (found < 0)
        return -1;
    sets[found] = (cv_limit_set){.limits = *limits, .users = 1};
    cv_timers *timers = &core->timers;
    int base = CV_TIMER_CHANNEL + found * CV_CHANNEL_TIMERS;
    timers->length[base + CV_CHANNEL_PING] = length(limits->ping_interval);
    timers->length[base + CV_CHANNEL_PONG] = length(limits->ping_timeout);
    timers->length[base + CV_CHANNEL_MESSAGE] = length(limits->message_timeout);
    timers->length[base + CV_CHANNEL_CLOSE] = length(limits->close_timeout);
    if (timers->kinds < base + CV_CHANNEL_TIMERS)
        timers->kinds = base + CV_CHANNEL_TIMERS;
    return found;
}

/* Coders */

cv_inflater *cv_inflater_take(cv_core *core, cv_websocket *ws)
{
    cv_websockets *all = &core->websockets;
    if (ws->terms.keeps_in) {
        if (!ws->inflater)
            ws->inflater = cv_inflater_new(&core->budget, ws->terms.bits_in);
    } else if (!ws->inflater && all->inflater_count) {
        ws->inflater = all->inflaters[--all->inflater_count];
        cv_inflater_reset(ws->inflater);
    } else if (!ws->inflater) {
        ws->inflater = cv_inflater_new(&core->budget, 15);
    }
    return ws->inflater;
}

/* The message is over. */
void cv_inflater_give(cv_core *core, cv_websocket *ws)
{
    cv_websockets *all = &core->websockets;
    if (!ws->inflater || ws->terms.keeps_in)
        return;
    if (all->inflater_count < CV_INFLATERS)
        all->inflaters[all->inflater_count++] = ws->inflater;
    else
        cv_inflater_free(ws->inflater);
    ws->inflater = NULL;
}

static cv_deflater *deflater_of(cv_core *core, int bits)
{
    const cv_deflate_policy *policy = &core->websockets.policy;
    return cv_deflater_new(&core->budget, bits, policy->level, policy->memory);
}

/* Compress with nothing before, for any client whose server's window is as large. Returns the size, 0:
 * it is not worth it. */
size_t cv_deflate_alone(cv_core *core, int bits, const uint8_t *from, size_t size, uint8_t *to)
{
    cv_deflater **deflater = &core->websockets.deflaters[bits];
    if (!*deflater)
        *deflater = deflater_of(core, bits);
    if (!*deflater)
        return 0;
    size_t made = cv_deflate(*deflater, from, size, to, cv_deflate_most(size));
    cv_deflater_reset(*deflater);
    return made < size ? made : 0;
}

size_t cv_deflate_on(cv_core *core, cv_websocket *ws, const uint8_t *from, size_t size,
                         uint8_t *to)
{
    if (!ws->terms.keeps_out)
        return cv_deflate_alone(core, ws->terms.bits_out, from, size, to);
    if (!ws->deflater)
        ws->deflater = deflater_of(core, ws->terms.bits_out);
    if (!ws->deflater)
        return 0;
    if (ws->stale)
        cv_deflater_reset(ws->deflater);
    /* Whatever is not sent as it was compressed is unknown to the client. */
    size_t made = cv_deflate(ws->deflater, from, size, to, cv_deflate_most(size));
    ws->stale = made == 0;
    return made;
}

