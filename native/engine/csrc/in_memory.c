/* Connections that are in memory: whoever holds the engine is their network and their clock. */
#include <string.h>

#include "engine.h"
#include "file_put.h"
#include "output.h"
#include "sockets.h"
#include "tls.h"

uint64_t cv_engine_open(cv_engine *engine)
{
    cv_core *core = &engine->core;
    cv_core_tick(core);
    cv_connection *c = cv_connection_new(core, core->options.max_connections);
    if (!c)
        return 0;
    c->interest = CV_WANT_READ;
    cv_connection_start(core, c);
    cv_engine_leave(engine);
    return cv_connection_number(c);
}

static cv_connection *in_memory(cv_core *core, uint64_t connection)
{
    cv_connection *c = cv_connection_find(core, connection);
    return c && c->fd < 0 ? c : NULL;
}

int64_t cv_engine_feed(cv_engine *engine, uint64_t connection, const uint8_t *bytes, size_t size)
{
    cv_core *core = &engine->core;
    cv_connection *c = in_memory(core, connection);
    if (!c)
        return -1;
    if (c->closing && (c->websocket || c->flags & CV_C_STREAMS))
        return (int64_t)size; /* as a system's buffer would, from a client that has not yet heard of it */
    cv_core_tick(core);
    size_t taken = 0;
    core->fed = bytes;
    core->fed_size = size;
    while (core->tls && core->fed_size && c && c->interest & CV_WANT_READ) {
        cv_turn_begin(core, c);
        if (cv_sockets_read(core, c, 0)) {
            if (!(c->flags & CV_C_BUSY))
                cv_connection_run(core, c);
            cv_turn_end(core);
        } else if (in_memory(core, connection)) {
            break;
        }
        c = in_memory(core, connection);
        taken = size - core->fed_size;
    }
    core->fed_size = 0;
    while (!core->tls && taken < size && c && c->interest & CV_WANT_READ) {
        uint8_t *at;
        size_t room = cv_connection_room(core, c, &at);
        if (room > size - taken)
            room = size - taken;
        if (!room) {
            cv_connection_settle(core, c);
            break;
        }
        memcpy(at, bytes + taken, room);
        cv_connection_fed(core, c, room);
        taken += room;
        if (c->flags & CV_C_BUSY) {
            cv_connection_settle(core, c); /* it runs at the next poll */
        } else {
            cv_turn_begin(core, c);
            cv_connection_run(core, c);
            cv_turn_end(core);
        }
        c = in_memory(core, connection);
    }
    cv_engine_leave(engine);
    return (int64_t)taken;
}

void cv_engine_feed_end(cv_engine *engine, uint64_t connection)
{
    cv_core *core = &engine->core;
    cv_connection *c = in_memory(core, connection);
    if (!c)
        return;
    cv_core_tick(core);
    cv_turn_begin(core, c);
    cv_connection_ended(core, c);
    cv_connection_run(core, c);
    cv_turn_end(core);
    cv_engine_leave(engine);
}

int64_t cv_engine_drain(cv_engine *engine, uint64_t connection, uint8_t *into, size_t size)
{
    cv_core *core = &engine->core;
    cv_connection *c = in_memory(core, connection);
    if (!c)
        return -1;
    cv_core_tick(core);
    size_t taken = 0;
    struct iovec piece;
    if (c->tls && c->tls->state != CV_TLS_PLAIN)
        taken = cv_tls_drain(core, c, into, size);
    else while (taken < size && cv_file_or_bytes(core, c, &piece, 1)) {
        size_t part = piece.iov_len < size - taken ? piece.iov_len : size - taken;
        memcpy(into + taken, piece.iov_base, part);
        cv_connection_left(core, c, part);
        taken += part;
    }
    core->counters.bytes_out += taken;
    int over = !taken && c->closing == CV_LINGERING;
    if (over)
        cv_connection_end(core, c, CV_GONE_CLOSED, 0);
    else
        cv_connection_settle(core, c);
    cv_engine_leave(engine);
    return over ? -1 : (int64_t)taken;
}

void cv_engine_drop(cv_engine *engine, uint64_t connection)
{
    cv_core *core = &engine->core;
    cv_connection *c = in_memory(core, connection);
    if (!c)
        return;
    cv_connection_end(core, c, CV_GONE_CLOSED, 1);
    cv_engine_leave(engine);
}

void cv_engine_advance(cv_engine *engine, double seconds)
{
    cv_core *core = &engine->core;
    if (seconds > 0 && seconds < 1e9)
        core->skew += (cv_time)(seconds * 1e9);
    cv_core_tick(core);
    cv_engine_expire(core);
    engine->armed = CV_NEVER; /* what is due is due sooner on the real clock */
    cv_engine_leave(engine);
}
