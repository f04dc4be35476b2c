#include "connection.h"

#include <string.h>

#include "core.h"
#include "file_put.h"
#include "http2.h"
#include "http2_tunnel.h"
#include "output.h"
#include "reply.h"
#include "request.h"
#include "tls.h"

enum {
    LINGER_MOST = 1 << 20, /* bytes thrown away at the end */
    RESUME = 2 /* parsing goes on when the output that waits is below high_water / 2 */
};

void cv_link_out(cv_link *link)
{
    if (!link->next)
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->prev = link->next = NULL;
}

void cv_link_to(cv_link *ring, cv_link *link)
{
    cv_link_out(link);
    link->prev = ring->prev;
    link->next = ring;
    ring->prev->next = link;
    ring->prev = link;
}

cv_connection *cv_connection_new(cv_core *core, uint32_t most)
{
    if (core->counters.connections >= most)
        return NULL;
    uint32_t index = core->free_connection;
    cv_connection *c;
    if (index) {
        c = &core->connections[index];
        core->free_connection = c->next_free == UINT32_MAX ? 0 : c->next_free;
    } else if (core->fresh_connection < core->connection_capacity) {
        index = ++core->fresh_connection;
        c = &core->connections[index];
    } else {
        return NULL;
    }
    uint32_t generation = c->generation + 1;
    if (generation > INT32_MAX)
        generation = 1; /* the upper half marks what is ready and no connection */
    memset(c, 0, sizeof *c);
    c->index = index;
    c->generation = generation;
    c->fd = -1;
    c->flags = CV_C_HUNGRY;
    c->fresh = core->http2 != NULL;
    c->input.connection = c->output.connection = c->link.connection = index;
    core->counters.connections++;
    core->counters.accepted++;
    return c;
}

cv_connection *cv_connection_find(cv_core *core, uint64_t number)
{
    uint32_t index = (uint32_t)number;
    if (index == 0 || index > core->fresh_connection)
        return NULL;
    cv_connection *c = &core->connections[index];
    return c->generation == (uint32_t)(number >> 32) && c->next_free == 0 ? c : NULL;
}

void cv_connection_start(cv_core *core, cv_connection *c)
{
    cv_timer_start(&core->timers, &c->input,
                   core->stopping ? CV_TIMER_LAST_CHANCE : CV_TIMER_IDLE, core->now);
}

static void release_block(cv_core *core, cv_connection *c)
{
    if (!c->block)
        return;
    cv_arena_disown(&core->arena, c->block);
    c->block = 0;
    c->from = c->to = 0;
}

void cv_connection_drop_exchanges(cv_core *core, cv_connection *c, int why)
{
    while (c->first) {
        cv_exchange *x = &core->exchanges[c->first];
        c->first = x->next;
        cv_exchange_detach(core, x, why);
    }
    c->last = 0;
    c->pipelined = 0;
    c->reader = 0;
}

void cv_connection_end(cv_core *core, cv_connection *c, int why, int reset)
{
    if (core->current == c) {
        core->current = NULL;
        core->gathered = 0;
        core->served_runs = 0;
    }
    if (c->tls)
        cv_tls_end(core, c, !reset && !c->first && !c->out.size);
    cv_connection_drop_exchanges(core, c, why);
    cv_websocket_detach(core, c);
    cv_http2_end(core, c, why);
    cv_tunnel_end(core, c, reset);
    cv_queue_clear(&c->out, &core->budget);
    release_block(core, c);
    cv_timer_stop(&c->input);
    cv_timer_stop(&c->output);
    cv_link_out(&c->link);
    core->transport->close(core, c, reset);
    core->counters.connections--;
    c->next_free = core->free_connection;
    if (!c->next_free)
        c->next_free = UINT32_MAX; /* the end of the list; 0 means in use */
    core->free_connection = c->index;
}

/* A new block for what is not parsed; the old one stays with its requests. */
static int change_block(cv_core *core, cv_connection *c)
{
    uint32_t block = cv_arena_take(&core->arena, c->index);
    if (!block)
        return -1;
    uint32_t size = c->to - c->from;
    if (c->block) {
        memcpy(cv_arena_at(&core->arena, block), cv_arena_at(&core->arena, c->block) + c->from,
               size);
        cv_arena_disown(&core->arena, c->block);
    }
    c->block = block;
    c->from = 0;
    c->to = size;
    return 0;
}

/* Whether the input goes nowhere but away. */
static int deaf(const cv_connection *c)
{
    return c->phase == CV_PHASE_END || c->closing;
}

size_t cv_connection_room(cv_core *core, cv_connection *c, uint8_t **at)
{
    if (deaf(c)) {
        /* The gather buffer is free between turns. */
        *at = core->gather;
        return c->discarded < LINGER_MOST ? CV_GATHER : 0;
    }
    uint32_t usable = core->arena.usable;
    int changed = 0;
    if (!c->block) {
        changed = change_block(core, c);
    } else if (c->from == c->to && !cv_arena_pinned(&core->arena, c->block)) {
        c->from = c->to = 0;
    } else if (usable - c->to < CV_LITTLE && (c->flags & CV_C_HUNGRY) && c->from) {
        if (cv_arena_pinned(&core->arena, c->block)) {
            changed = change_block(core, c);
        } else {
            uint8_t *block = cv_arena_at(&core->arena, c->block);
            memmove(block, block + c->from, c->to - c->from);
            c->to -= c->from;
            c->from = 0;
        }
    }
    if (changed < 0) {
        cv_link_to(&core->parched, &c->link);
        c->flags |= CV_C_PARCHED;
        return 0;
    }
    *at = cv_arena_at(&core->arena, c->block) + c->to;
    return usable - c->to;
}

void cv_connection_fed(cv_core *core, cv_connection *c, size_t size)
{
    core->counters.bytes_in += size;
    if (deaf(c)) {
        c->discarded += (uint32_t)size;
        return;
    }
    c->to += (uint32_t)size;
    c->flags |= CV_C_FED;
}

void cv_connection_ended(cv_core *core, cv_connection *c)
{
    (void)core;
    c->flags |= CV_C_EOF;
}

void cv_connection_speak(cv_core *core, cv_connection *c, int protocol)
{
    c->fresh = 0; /* whatever it begins with, it has chosen */
    if (protocol == CV_HTTP_2 && cv_http2_begin(core, c) < 0)
        c->flags |= CV_C_BROKEN;
}

void cv_connection_left(cv_core *core, cv_connection *c, uint64_t size)
{
    cv_queue_drop(&c->out, &core->budget, size);
    c->flags |= CV_C_WROTE;
    if (c->out.size <= core->options.high_water / RESUME)
        c->flags |= CV_C_AGAIN;
    cv_credit(core, c);
}

void cv_connection_writable(cv_core *core, cv_connection *c)
{
    struct iovec pieces[16];
    cv_piece file;
    while (c->out.size && !(c->flags & CV_C_BROKEN)) {
        if (cv_queue_file(&c->out, &file)) {
            if (!cv_file_leave(core, c, &file))
                return;
            continue;
        }
        int count = cv_queue_pieces(&c->out, pieces, 16);
        uint64_t offered = 0;
        for (int i = 0; i < count; i++)
            offered += pieces[i].iov_len;
        int64_t sent = core->transport->write(core, c, pieces, count);
        if (sent < 0) {
            c->flags |= CV_C_BROKEN;
            return;
        }
        if (sent)
            cv_connection_left(core, c, (uint64_t)sent);
        if ((uint64_t)sent < offered)
            return;
    }
}

void cv_connection_refuse(cv_core *core, cv_connection *c, int status)
{
    c->refusal = (uint16_t)status;
    c->phase = CV_PHASE_END;
    c->from = c->to;
    c->decoded = 0;
    cv_reply_advance(core, c);
}

void cv_connection_run(cv_core *core, cv_connection *c)
{
    uint32_t work = core->options.work;
    int step = CV_STEP_HUNGRY;
    if (c->http2) {
        cv_http2_run(core, c);
        return;
    }
    cv_link_out(&c->link);
    c->flags &=
        (uint16_t)~(CV_C_AGAIN | CV_C_HUNGRY | CV_C_STARVED | CV_C_BUSY | CV_C_PARCHED);
    while (!c->closing && !(c->flags & CV_C_BROKEN)) {
        step = cv_request_step(core, c);
        if (step == CV_STEP_STREAMS) {
            cv_http2_run(core, c);
            return;
        }
        if (step == CV_STEP_REQUEST) {
            if (--work == 0) {
                step = CV_STEP_BUSY;
                break;
            }
        } else if (step != CV_STEP_ON) {
            break;
        }
    }
    switch (step) {
    case CV_STEP_HUNGRY:
        c->flags |= CV_C_HUNGRY;
        if ((c->flags & CV_C_EOF) && !c->closing && c->phase != CV_PHASE_END)
            cv_request_ended(core, c);
        else if (c->flags & CV_C_EOF)
            for (uint32_t slot = c->first; slot; slot = core->exchanges[slot].next)
                cv_exchange_tell_gone(core, &core->exchanges[slot], CV_GONE_CLOSED);
        break;
    case CV_STEP_STARVED:
        c->flags |= CV_C_STARVED;
        break;
    case CV_STEP_BUSY:
        c->flags |= CV_C_BUSY;
        break;
    }
}

/* Whether more input is wanted now. */
static int wants_input(const cv_core *core, const cv_connection *c)
{
    if (c->flags & CV_C_EOF)
        return 0;
    if (c->closing == CV_CLOSE_WRITTEN)
        return 0;
    if (deaf(c))
        return c->discarded < LINGER_MOST;
    if (c->flags & CV_C_PARCHED)
        return 0;
    if (!c->block || (c->flags & CV_C_HUNGRY))
        return 1;
    return core->arena.usable - c->to >= CV_LITTLE;
}

static void set_timers(cv_core *core, cv_connection *c)
{
    cv_timers *timers = &core->timers;
    int kind = CV_TIMER_NONE, restart = 0;
    if (c->closing == CV_LINGERING) {
        kind = CV_TIMER_LINGER;
    } else if (cv_tls_shaking(c)) {
        kind = core->stopping ? CV_TIMER_LAST_CHANCE : CV_TIMER_HEADER;
    } else if (!c->closing) {
        switch (c->phase) {
        case CV_PHASE_HEAD:
            if (c->from != c->to) {
                if (c->flags & CV_C_HUNGRY)
                    kind = CV_TIMER_HEADER;
            } else if (!c->first && !c->out.size) {
                kind = core->stopping ? CV_TIMER_LAST_CHANCE : CV_TIMER_IDLE;
                restart = !core->stopping;
            }
            break;
        case CV_PHASE_BODY:
            if (!(core->exchanges[c->reader].flags & CV_X_READING))
                break;
            if (c->flags & CV_C_HUNGRY) {
                kind = CV_TIMER_READ;
                restart = c->flags & CV_C_FED;
            }
            break;
        case CV_PHASE_DISCARD:
            /* Not anew with each byte: nobody has a deadline for what nobody reads. */
            kind = CV_TIMER_READ;
            break;
        case CV_PHASE_STREAMS:
            kind = cv_http2_timer(core, c);
            break;
        case CV_PHASE_WAIT:
            if (!(c->flags & CV_C_WAITED))
                kind = CV_TIMER_BODY;
            break;
        case CV_PHASE_WEBSOCKET:
            kind = cv_websocket_timer(c, &restart);
            break;
        }
    }
    if (kind == CV_TIMER_NONE)
        cv_timer_stop(&c->input);
    else if (c->input.kind != kind || restart)
        cv_timer_start(timers, &c->input, kind, core->now);

    if (!c->out.size && !cv_tls_waits(c))
        cv_timer_stop(&c->output);
    else if (c->output.kind == CV_TIMER_NONE || (c->flags & CV_C_WROTE))
        cv_timer_start(timers, &c->output, CV_TIMER_WRITE, core->now);
    c->flags &= (uint16_t)~(CV_C_FED | CV_C_WROTE);
}

void cv_connection_settle(cv_core *core, cv_connection *c)
{
    if (c->flags & CV_C_BROKEN) {
        cv_connection_end(core, c, CV_GONE_CLOSED, 1);
        return;
    }
    if (c->phase == CV_PHASE_END && !c->first && !c->refusal && !c->closing)
        c->closing = CV_CLOSE_WRITTEN;
    if (c->closing == CV_CUT_NOW) {
        cv_connection_end(core, c, CV_GONE_CLOSED, 1);
        return;
    }
    if (c->closing == CV_CLOSE_WRITTEN && !c->out.size &&
        !(c->tls && cv_tls_farewell(core, c))) {
        int pending = (c->flags & CV_C_OURS) || c->from != c->to;
        if ((c->flags & CV_C_EOF) || !pending) {
            cv_connection_end(core, c, CV_GONE_CLOSED, 0);
            return;
        }
        c->closing = CV_LINGERING;
        c->from = c->to;
        core->transport->shut(core, c);
        cv_tunnel_shut(core, c);
    }
    if (c->closing == CV_LINGERING &&
        ((c->flags & CV_C_EOF) || c->discarded >= LINGER_MOST)) {
        cv_connection_end(core, c, CV_GONE_CLOSED, 0);
        return;
    }
    if (c->block && c->from == c->to && !cv_arena_pinned(&core->arena, c->block))
        release_block(core, c);
    if (deaf(c) && c->from == c->to)
        release_block(core, c);

    int again = (c->flags & CV_C_AGAIN) && !deaf(c) &&
                (c->from != c->to || (c->flags & CV_C_EOF) || c->http2 ||
                 (c->phase == CV_PHASE_BODY &&
                  (core->exchanges[c->reader].flags & CV_X_READING)));
    if (again && c->phase == CV_PHASE_BODY && c->from == c->to && !(c->flags & CV_C_EOF)) {
        c->flags |= CV_C_HUNGRY; /* asked for, and nothing is here */
        again = 0;
    }
    c->flags &= (uint16_t)~CV_C_AGAIN;
    if (again || (c->flags & CV_C_BUSY)) {
        c->flags &= (uint16_t)~CV_C_PARCHED;
        cv_link_to(&core->ready, &c->link);
    } else if (c->flags & CV_C_STARVED) {
        cv_link_to(&core->starved, &c->link);
    }
    if (!c->first && c->from == c->to)
        c->flags |= CV_C_HUNGRY;

    set_timers(core, c);
    uint8_t interest = 0;
    if (wants_input(core, c))
        interest |= CV_WANT_READ;
    if (c->out.size || cv_tls_waits(c))
        interest |= CV_WANT_WRITE;
    if (interest & CV_WANT_READ && cv_tls_more(c))
        cv_link_to(&core->ready, &c->link); /* no socket tells of what was read from it already */
    if (interest != c->interest) {
        c->interest = interest;
        core->transport->interest(core, c);
    }
    cv_tunnel_settled(core, c);
}

void cv_connection_spare(cv_core *core, cv_connection *c)
{
    if (c->block && c->from == c->to && !cv_arena_pinned(&core->arena, c->block))
        release_block(core, c);
}

void cv_connections_resume(cv_core *core)
{
    uint64_t places = cv_exchanges_full(core)
                          ? 0
                          : core->options.max_in_flight - core->counters.in_flight;
    while (places && !cv_link_empty(&core->starved)) {
        places--;
        cv_link_to(&core->ready, core->starved.next);
    }
    uint32_t blocks = core->arena.count - core->arena.used;
    while (blocks && !cv_link_empty(&core->parched)) {
        blocks--;
        cv_connection *c = &core->connections[core->parched.next->connection];
        cv_link_out(&c->link);
        c->flags &= (uint16_t)~CV_C_PARCHED;
        if (c->http2)
            c->flags |= CV_C_AGAIN;
        cv_connection_settle(core, c);
    }
}

void cv_connection_expired(cv_core *core, cv_connection *c, int kind)
{
    if (kind >= CV_TIMER_CHANNEL) {
        cv_websocket_expired(core, c, (kind - CV_TIMER_CHANNEL) % CV_CHANNEL_TIMERS);
        return;
    }
    if (c->http2 && kind != CV_TIMER_WRITE) {
        cv_http2_expired(core, c, kind);
        return;
    }
    switch (kind) {
    case CV_TIMER_HEADER:
        core->counters.header_timeouts++;
        if (cv_tls_shaking(c)) {
            core->counters.tls_failed++;
            break;
        }
        cv_turn_begin(core, c);
        cv_connection_refuse(core, c, 408);
        cv_turn_end(core);
        return;
    case CV_TIMER_BODY:
        c->flags |= CV_C_WAITED | CV_C_AGAIN;
        cv_connection_settle(core, c);
        return;
    case CV_TIMER_READ:
        core->counters.read_timeouts++;
        if (c->phase == CV_PHASE_DISCARD) {
            cv_connection_end(core, c, CV_GONE_TIMEOUT, 0);
            return;
        }
        cv_turn_begin(core, c);
        cv_body_broken(core, c, 408, CV_GONE_TIMEOUT);
        cv_turn_end(core);
        return;
    case CV_TIMER_WRITE:
        core->counters.write_timeouts++;
        cv_connection_end(core, c, CV_GONE_TIMEOUT, 1);
        return;
    case CV_TIMER_IDLE:
        core->counters.idle_timeouts++;
        break;
    }
    if (c->tls && !c->closing && !cv_tls_shaking(c)) {
        c->closing = CV_CLOSE_WRITTEN; /* with a farewell */
        cv_connection_settle(core, c);
        return;
    }
    cv_connection_end(core, c, CV_GONE_CLOSED, 0);
}
