#define _GNU_SOURCE
#include "output.h"

#include <string.h>

#include "http2.h"
#include "tls.h"

void cv_turn_begin(cv_core *core, cv_connection *c)
{
    if (core->current == c)
        return;
    cv_turn_end(core);
    core->current = c;
}

void cv_turn_end(cv_core *core)
{
    cv_connection *c = core->current;
    if (!c)
        return;
    if (c->http2)
        cv_http2_write(core, c);
    cv_flush(core, c);
    if (core->seal_size)
        cv_tls_flush(core, c);
    core->current = NULL;
    cv_connection_settle(core, c);
}

static void keep(cv_core *core, cv_connection *c, const void *bytes, size_t size)
{
    if (size && cv_queue_add(&c->out, &core->budget, bytes, size) < 0)
        c->flags |= CV_C_BROKEN;
}

void cv_put(cv_core *core, cv_connection *c, const void *bytes, size_t size)
{
    if (!size || (c->flags & CV_C_BROKEN))
        return;
    if (c->out.size) {
        keep(core, c, bytes, size);
        return;
    }
    if (size <= CV_GATHER - core->gathered) {
        memcpy(core->gather + core->gathered, bytes, size);
        core->gathered += (uint32_t)size;
        return;
    }
    /* Too much to copy: it leaves together with what was gathered. */
    struct iovec pieces[2] = {{core->gather, core->gathered}, {(void *)(uintptr_t)bytes, size}};
    int skip = core->gathered == 0;
    uint32_t gathered = core->gathered;
    core->gathered = 0;
    int64_t sent = core->transport->write(core, c, pieces + skip, 2 - skip);
    if (sent < 0) {
        c->flags |= CV_C_BROKEN;
    } else if (sent < gathered) {
        keep(core, c, core->gather + sent, gathered - (uint32_t)sent);
        keep(core, c, bytes, size);
    } else {
        size_t part = (size_t)sent - gathered;
        keep(core, c, (const uint8_t *)bytes + part, size - part);
    }
}

void cv_put_queue(cv_core *core, cv_connection *c, cv_queue *queue)
{
    if (queue->size <= 32 * 1024) {
        struct iovec piece;
        while (queue->size && cv_queue_pieces(queue, &piece, 1)) {
            cv_put(core, c, piece.iov_base, piece.iov_len);
            cv_queue_drop(queue, &core->budget, piece.iov_len);
        }
        if (!queue->size)
            return;
    }
    cv_flush(core, c);
    int idle = !c->out.size;
    cv_queue_splice(&c->out, queue);
    if (idle)
        cv_connection_writable(core, c);
}

void cv_put_shared(cv_core *core, cv_connection *c, cv_shared *shared)
{
    cv_flush(core, c);
    if (c->flags & CV_C_BROKEN)
        return;
    int64_t sent = 0;
    if (!c->out.size) {
        struct iovec piece = {shared->bytes, shared->size};
        sent = core->transport->write(core, c, &piece, 1);
    }
    if (sent < 0 || (sent < shared->size &&
                     cv_queue_add_shared(&c->out, &core->budget, shared, (uint32_t)sent) < 0))
        c->flags |= CV_C_BROKEN;
}

uint8_t *cv_put_place(cv_core *core, cv_connection *c, size_t size)
{
    if (c->out.size || (c->flags & CV_C_BROKEN) || size > CV_GATHER - core->gathered)
        return NULL;
    return core->gather + core->gathered;
}

void cv_put_done(cv_core *core, size_t size)
{
    core->gathered += (uint32_t)size;
}

static unsigned service_bucket(uint64_t units)
{
    if (units < 4)
        return (unsigned)units;
    unsigned power = 63 - (unsigned)__builtin_clzll(units);
    unsigned bucket = 4 * (power - 1) + ((units >> (power - 2)) & 3);
    return bucket < 95 ? bucket : 95;
}

void cv_flush(cv_core *core, cv_connection *c)
{
    if (core->gathered) {
        uint32_t gathered = core->gathered;
        core->gathered = 0;
        if (!(c->flags & CV_C_BROKEN)) {
            struct iovec piece = {core->gather, gathered};
            int64_t sent = core->transport->write(core, c, &piece, 1);
            if (sent < 0)
                c->flags |= CV_C_BROKEN;
            else if (sent < gathered)
                keep(core, c, core->gather + sent, gathered - (uint32_t)sent);
        }
    }
    if (core->served_runs) {
        int64_t now = cv_clock();
        for (uint32_t i = 0; i < core->served_runs; i++) {
            uint64_t units = (uint64_t)(now - core->served[i].readable) >> 5;
            core->counters.service[service_bucket(units)] += core->served[i].count;
        }
        core->served_runs = 0;
    }
    cv_credit(core, c);
}

uint64_t cv_backlog(const cv_core *core, const cv_connection *c)
{
    return c->out.size + (core->current == c ? core->gathered : 0);
}

void cv_credit(cv_core *core, cv_connection *c)
{
    if (c->websocket)
        cv_websocket_wrote(core, c);
    if (!c->first)
        return;
    cv_exchange *x = &core->exchanges[c->first];
    if (x->state != CV_STREAMING)
        return;
    /* What waits may be framing or an earlier answer too, so this never gives too much. */
    cv_credit_give(core, x, cv_backlog(core, c));
}

void cv_credit_give(cv_core *core, cv_exchange *x, uint64_t waiting)
{
    uint64_t left = x->streamed > waiting ? x->streamed - waiting : 0;
    if (left <= x->credited)
        return;
    uint64_t more = left - x->credited;
    /* A little is told only to a stream that has no credit left and so may be waiting for it. */
    int spent = x->streamed - x->credited >= core->options.high_water;
    if (more < core->options.low_water && (waiting || !spent))
        return;
    x->credited = left;
    x->room += more;
    cv_exchange_tell(core, x, CV_TELL_ROOM);
}

void cv_served_add(cv_core *core, int64_t readable)
{
    uint32_t runs = core->served_runs;
    if (runs && (core->served[runs - 1].readable == readable || runs == CV_SERVED_RUNS)) {
        core->served[runs - 1].count++;
        return;
    }
    core->served[runs].readable = readable;
    core->served[runs].count = 1;
    core->served_runs = runs + 1;
}
