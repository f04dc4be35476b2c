/* The engine: what it waits for, its life, and the two calls of every turn of the loop. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine.h"
#include "file_put.h"
#include "http2.h"
#include "http2_tunnel.h"
#include "output.h"
#include "reply.h"
#include "tls.h"

enum {
    MANY = 16, /* of it, and none for Python: there may be more by now */
    ACCEPT_AT_ONCE = 64, /* of one listening socket in one poll */
    SPARE_CONNECTIONS = 8192, /* places for the backlog when stopping */
    LOG_SIZE = 1 << 20
};

#define SECOND INT64_C(1000000000)
#define MILLISECOND INT64_C(1000000)
#define ACCEPT_PAUSE (100 * MILLISECOND)
#define LOG_PAUSE (100 * MILLISECOND)
#define FLOOD_PAUSE (10 * SECOND)
#define LINGER (2 * SECOND)
#define AT_A_STRETCH (MILLISECOND / 2)

int64_t cv_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

void cv_core_tick(cv_core *core)
{
    core->turn++;
    core->readable = cv_clock();
    core->now = core->readable + core->skew;
    cv_date_update(&core->date, core->readable);
}

void cv_options_default(cv_options *options)
{
    *options = (cv_options){
        .max_connections = 10000,
        .max_in_flight = 1024,
        .max_pipelined = 32,
        .max_header_bytes = 32 * 1024,
        .max_fields = 100,
        .max_chunk_overhead = 16 * 1024,
        .block_size = 64 * 1024,
        .arena_size = UINT64_C(1) << 30,
        .high_water = 64 * 1024,
        .low_water = 16 * 1024,
        .work = 256,
        .header_timeout = 10,
        .idle_timeout = 75,
        .read_timeout = 30,
        .body_patience = 0.1,
        .write_timeout = 30,
        .linger = 1,
        .access_log = 0,
        .max_files = 1024,
        .compress_bits_out = 15,
        .compress_bits_in = 15,
        .compress_level = 4,
        .compress_memory = 8,
        .max_unread = 32,
        .http2 = 0,
        .max_streams = 100,
    };
}

static cv_time length(double seconds)
{
    if (!(seconds >= 0) || seconds > 1e9)
        return CV_NEVER;
    return (cv_time)(seconds * 1e9);
}

static void at_least(uint32_t *option, uint32_t least)
{
    if (*option < least)
        *option = least;
}

static void at_most(uint32_t *option, uint32_t most)
{
    if (*option > most)
        *option = most;
}

static int open_core(cv_core *core, const cv_options *wanted)
{
    core->options = *wanted;
    cv_options *o = &core->options;
    at_least(&o->max_connections, 1);
    at_most(&o->max_connections, 1 << 20);
    at_least(&o->max_in_flight, 1);
    at_most(&o->max_in_flight, 1 << 20);
    at_least(&o->max_pipelined, 1);
    at_most(&o->max_pipelined, CV_RECORDS);
    at_least(&o->max_header_bytes, 256);
    at_most(&o->max_header_bytes, UINT16_MAX);
    at_least(&o->max_fields, 1);
    at_most(&o->max_fields, UINT16_MAX);
    at_least(&o->work, 1);
    at_least(&o->max_unread, 1);
    at_least(&o->max_streams, 1);
    at_most(&o->max_streams, 1 << 20);
    at_least(&o->high_water, 1);
    at_least(&o->max_files, 1);
    /* Half as much again as a whole head: what of one is incomplete has to be moved where the block
     * ends, and that is not often compared with what is read. */
    at_least(&o->block_size, o->max_header_bytes + o->max_header_bytes / 2 + 8192 +
                                 o->max_pipelined * (uint32_t)sizeof(cv_request));
    at_most(&o->block_size, 1 << 26);
    core->head_limits = (cv_head_limits){o->max_header_bytes, (uint16_t)o->max_fields};
    core->chunked_limits =
        (cv_chunked_limits){o->max_chunk_overhead, o->max_header_bytes, (uint16_t)o->max_fields};
    core->budget.limit = o->arena_size + (uint64_t)o->max_connections * o->high_water;
    core->transport = &cv_sockets;
    core->ready.prev = core->ready.next = &core->ready;
    core->starved.prev = core->starved.next = &core->starved;
    core->parched.prev = core->parched.next = &core->parched;
    core->tunnels.prev = core->tunnels.next = &core->tunnels;
    core->carriers.prev = core->carriers.next = &core->carriers;
    core->connection_capacity = o->max_connections + SPARE_CONNECTIONS;
    /* A connection with exchanges has one in Python's hands, and then at most so many behind it. */
    core->exchange_capacity = o->max_in_flight * (o->max_pipelined + 1);
    core->exchange_capacity += core->connection_capacity; /* channels */
    core->connections =
        cv_reserve(((size_t)core->connection_capacity + 1) * sizeof *core->connections);
    core->exchanges = cv_reserve(((size_t)core->exchange_capacity + 1) * sizeof *core->exchanges);
    core->gather = malloc(CV_GATHER);
    core->block = malloc(CV_FILE_BLOCK);
    cv_files_init(&core->files, o->max_files, &core->counters.files);
    if (!core->connections || !core->exchanges || !core->gather || !core->block ||
        cv_arena_open(&core->arena, o->arena_size, o->block_size, o->max_pipelined) < 0 ||
        cv_timers_open(&core->timers, core->exchange_capacity) < 0 ||
        (o->access_log && cv_log_open(&core->log, LOG_SIZE) < 0))
        return -1;
    cv_time *lengths = core->timers.length;
    lengths[CV_TIMER_HEADER] = length(o->header_timeout);
    lengths[CV_TIMER_IDLE] = length(o->idle_timeout);
    lengths[CV_TIMER_READ] = length(o->read_timeout);
    lengths[CV_TIMER_BODY] = length(o->body_patience);
    lengths[CV_TIMER_WRITE] = length(o->write_timeout);
    lengths[CV_TIMER_LAST_CHANCE] = length(o->linger);
    lengths[CV_TIMER_LINGER] = LINGER;
    cv_websockets_open(core);
    lengths[CV_TIMER_STREAM_BODY] = lengths[CV_TIMER_BODY];
    lengths[CV_TIMER_STREAM_READ] = lengths[CV_TIMER_READ];
    lengths[CV_TIMER_STREAM_WRITE] = lengths[CV_TIMER_WRITE];
    if (o->http2)
        core->http2 = cv_http2_kit_new(core);
    cv_core_tick(core);
    return 0;
}

static void close_core(cv_core *core)
{
    core->current = NULL;
    for (uint32_t i = 1; core->connections && i <= core->fresh_connection; i++)
        if (core->connections[i].next_free == 0)
            cv_connection_end(core, &core->connections[i], CV_GONE_STOPPED, 0);
    for (uint32_t i = 1; core->exchanges && i <= core->fresh_exchange; i++)
        if (core->exchanges[i].state != CV_FREE)
            cv_exchange_release(core, &core->exchanges[i]);
    cv_http2_kit_free(core);
    if (core->routes)
        cv_routes_free(core->routes);
    cv_websockets_close(core);
    cv_log_close(&core->log);
    cv_timers_close(&core->timers);
    cv_arena_close(&core->arena);
    cv_files_forget(&core->files);
    free(core->block);
    free(core->gather);
    free(core->seal);
    free(core->record);
    if (core->tls)
        cv_tls_let_go(core->tls);
    cv_unreserve(core->exchanges,
                 ((size_t)core->exchange_capacity + 1) * sizeof *core->exchanges);
    cv_unreserve(core->connections,
                 ((size_t)core->connection_capacity + 1) * sizeof *core->connections);
}

cv_engine *cv_engine_new(const cv_options *options)
{
    cv_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return NULL;
    engine->poller.fd = -1;
    engine->armed = engine->accept_due = engine->log_due = engine->trim_due = CV_NEVER;
    engine->core.events = engine->events;
    if (open_core(&engine->core, options) == 0 &&
        cv_poller_open(&engine->poller, CV_TAG | CV_TAG_ALARM, CV_TAG | CV_TAG_WAKE) == 0)
        return engine;
    int error = errno ? errno : ENOMEM;
    cv_engine_free(engine);
    errno = error;
    return NULL;
}

void cv_engine_free(cv_engine *engine)
{
    if (!engine)
        return;
    close_core(&engine->core);
    cv_poller_close(&engine->poller);
    free(engine);
}

int cv_engine_speaks_http2(const cv_engine *engine)
{
    return engine->core.http2 != NULL;
}

int cv_engine_fd(const cv_engine *engine)
{
    return engine->poller.fd;
}

uint8_t *cv_engine_arena(const cv_engine *engine, uint64_t *size)
{
    *size = engine->core.arena.size;
    return engine->core.arena.base;
}

cv_event *cv_engine_events(const cv_engine *engine)
{
    return engine->core.events;
}

cv_counters *cv_engine_counters(const cv_engine *engine)
{
    return (cv_counters *)(uintptr_t)&engine->core.counters;
}

/* Make the descriptor readable if poll has something to do that no socket will tell. */
static void wake_if_needed(cv_engine *engine)
{
    cv_core *core = &engine->core;
    int needed = !cv_link_empty(&core->ready) || !cv_link_empty(&core->tunnels) || core->first_notice ||
                 (!cv_link_empty(&core->starved) && !cv_exchanges_full(core)) ||
                 (!cv_link_empty(&core->parched) && cv_arena_has_free(&core->arena)) ||
                 (core->stopping && !core->counters.connections && !engine->empty_told);
    if (needed && !engine->woken)
        engine->woken = (uint8_t)cv_poller_wake(&engine->poller);
}

static void arm(cv_engine *engine)
{
    cv_core *core = &engine->core;
    cv_time next = cv_timers_next(&core->timers);
    if (core->log.used) {
        if (engine->log_due == CV_NEVER)
            engine->log_due = core->now + LOG_PAUSE;
        if (engine->log_due < next)
            next = engine->log_due;
    }
    if (core->floods.count && engine->flood_due < next)
        next = engine->flood_due > core->now ? engine->flood_due : core->now;
    if (engine->accept_due < next)
        next = engine->accept_due;
    if (engine->trim_due == CV_NEVER && cv_arena_trimmable(&core->arena))
        engine->trim_due = core->now + SECOND;
    if (engine->trim_due < next)
        next = engine->trim_due;
    if (next >= engine->armed && !engine->fired)
        return;
    engine->armed = next;
    engine->fired = 0;
    cv_time due = next == CV_NEVER ? 0 : next - core->skew; /* 0: never */
    if (due < 1 && next != CV_NEVER)
        due = 1;
    cv_poller_set_alarm(&engine->poller, due);
}

static void watch_listeners(cv_engine *engine, int on)
{
    engine->watching = (uint8_t)on;
    for (int i = 0; i < engine->listener_count; i++) {
        cv_listener *listener = &engine->listeners[i];
        if (listener->polled == on || listener->fd < 0)
            continue;
        if (!on)
            cv_poller_deafen(&engine->poller, listener->fd);
        else if (cv_poller_listen(&engine->poller, listener->fd,
                                  CV_TAG | (CV_TAG_LISTENER + (uint64_t)i)) < 0)
            continue;
        listener->polled = (uint8_t)on;
    }
}

static void watch_if_room(cv_engine *engine)
{
    const cv_core *core = &engine->core;
    if (!engine->watching && core->begun && !core->stopping && engine->accept_due == CV_NEVER &&
        core->counters.connections < core->options.max_connections)
        watch_listeners(engine, 1);
}

void cv_engine_leave(cv_engine *engine)
{
    cv_tunnels_run(&engine->core);
    cv_arena_unplace(&engine->core.arena);
    engine->core.counters.blocks = engine->core.arena.used;
    watch_if_room(engine);
    wake_if_needed(engine);
    arm(engine);
}

int cv_engine_listen(cv_engine *engine, int fd)
{
    if (engine->listener_count == CV_LISTENERS)
        return -ENOSPC;
    cv_listener *listener = &engine->listeners[engine->listener_count];
    int result = cv_listener_open(listener, fd);
    if (result < 0)
        return result;
    engine->listener_count++;
    engine->watching = 0;
    watch_if_room(engine);
    return engine->core.begun && !engine->core.stopping && !listener->polled ? -EINVAL : 0;
}

static void accept_from(cv_engine *engine, int number)
{
    cv_core *core = &engine->core;
    cv_listener *listener = &engine->listeners[number];
    switch (cv_sockets_accept(core, engine->poller.fd, listener, number, ACCEPT_AT_ONCE,
                              core->options.max_connections)) {
    case CV_ACCEPTED_FULL:
        watch_listeners(engine, 0);
        break;
    case CV_ACCEPTED_FAILED:
        watch_listeners(engine, 0);
        engine->accept_due = core->now + ACCEPT_PAUSE;
        break;
    }
}

static void each_connection(cv_engine *engine, void (*act)(cv_core *core, cv_connection *c))
{
    cv_core *core = &engine->core;
    for (uint32_t i = 1; i <= core->fresh_connection; i++)
        if (core->connections[i].next_free == 0)
            act(core, &core->connections[i]);
}

static void go_on(cv_core *core, cv_connection *c)
{
    if (c->from == c->to && !(c->flags & CV_C_EOF) && !c->http2)
        return;
    c->flags |= CV_C_AGAIN;
    cv_connection_settle(core, c);
}

/* A call that sends a file cannot say that it wants an error and no signal. Python wants none either,
 * but an application may have asked for it. */
static int dies_of_broken_pipes(void)
{
    struct sigaction action;
    return sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL;
}

void cv_engine_begin(cv_engine *engine, cv_routes *routes)
{
    cv_core *core = &engine->core;
    cv_core_tick(core);
    if (core->routes && core->routes != routes)
        cv_routes_free(core->routes);
    core->routes = routes;
    cv_files_forget(&core->files);
    core->by_blocks = (uint8_t)dies_of_broken_pipes();
    core->held = 0;
    core->begun = 1;
    each_connection(engine, go_on);
    cv_engine_leave(engine);
}

void cv_engine_hold(cv_engine *engine)
{
    engine->core.held = 1;
}

static void ask_to_leave(cv_core *core, cv_connection *c)
{
    if (!c->http2) {
        cv_connection_settle(core, c);
        return;
    }
    cv_turn_begin(core, c);
    cv_http2_stop(core, c);
    cv_turn_end(core);
}

void cv_engine_stop(cv_engine *engine)
{
    cv_core *core = &engine->core;
    if (core->stopping)
        return;
    cv_core_tick(core);
    core->stopping = 1;
    for (int i = 0; i < engine->listener_count && core->begun; i++)
        while (cv_sockets_accept(core, engine->poller.fd, &engine->listeners[i], i, ACCEPT_AT_ONCE,
                                 core->connection_capacity) == CV_ACCEPTED_SOME)
            continue;
    watch_listeners(engine, 0);
    engine->listener_count = 0;
    engine->accept_due = CV_NEVER;
    each_connection(engine, ask_to_leave);
    cv_engine_leave(engine);
}

static void end_stopped(cv_core *core, cv_connection *c)
{
    cv_connection_end(core, c, CV_GONE_STOPPED, 0);
}

void cv_engine_close(cv_engine *engine)
{
    cv_core *core = &engine->core;
    watch_listeners(engine, 0);
    engine->listener_count = 0;
    core->stopping = 1;
    each_connection(engine, end_stopped);
    cv_engine_leave(engine);
}

static void return_lent(cv_core *core)
{
    for (uint32_t i = 0; i < core->lent_count; i++) {
        uint32_t block = core->lent[i];
        uint32_t owner = core->arena.blocks[block].owner;
        cv_arena_unlend(&core->arena, block);
        if (owner && owner != CV_ARENA_SHARED)
            cv_connection_spare(core, &core->connections[owner]);
    }
    core->lent_count = 0;
    core->websockets.scratch = core->websockets.filled = 0;
}

void cv_engine_expire(cv_core *core)
{
    cv_timer *timer;
    int kind;
    while ((timer = cv_timers_due(&core->timers, core->now, &kind))) {
        cv_connection *c = &core->connections[timer->connection];
        if (kind >= CV_TIMER_STREAM_BODY && kind <= CV_TIMER_STREAM_WRITE)
            cv_http2_stream_expired(core, c, timer, kind);
        else
            cv_connection_expired(core, c, kind);
    }
    cv_deadline deadline;
    while (!cv_events_full(core) && cv_deadline_due(&core->timers, core->now, &deadline)) {
        const cv_exchange *x = &core->exchanges[deadline.exchange];
        cv_event_add(core, cv_exchange_handle(x, deadline.exchange), CV_TIMER)->extra =
            deadline.number;
    }
}

static void run_ready(cv_core *core)
{
    /* Those that are added meanwhile wait for the next poll. */
    cv_link mark, *link;
    mark.prev = mark.next = NULL;
    cv_link_to(&core->ready, &mark);
    while ((link = core->ready.next) != &mark) {
        cv_connection *c = &core->connections[link->connection];
        cv_turn_begin(core, c);
        if (c->interest & CV_WANT_READ && cv_tls_more(c) && !cv_sockets_read(core, c, 0))
            continue;
        cv_connection_run(core, c);
        cv_turn_end(core);
    }
    cv_link_out(&mark);
}

static int look(cv_engine *engine)
{
    int count = cv_poller_take(&engine->poller, engine->ready, CV_BATCH);
    cv_core_tick(&engine->core);
    return count;
}

/* Act on what is ready. */
static void act(cv_engine *engine, int count)
{
    cv_core *core = &engine->core;
    for (int i = 0; i < count; i++) {
        uint64_t number = cv_ready_number(&engine->ready[i]);
        if (number < CV_TAG) {
            cv_connection *c = cv_connection_find(core, number);
            if (c)
                cv_sockets_ready(core, c, &engine->ready[i]);
            continue;
        }
        number -= CV_TAG;
        if (number == CV_TAG_ALARM) {
            engine->armed = CV_NEVER;
            engine->fired = 1;
        } else if (number == CV_TAG_WAKE) {
            engine->woken = 0;
        } else if (number - CV_TAG_LISTENER < (uint64_t)engine->listener_count) {
            accept_from(engine, (int)(number - CV_TAG_LISTENER));
        }
    }
}

int cv_engine_poll(cv_engine *engine)
{
    cv_core *core = &engine->core;
    core->event_count = 0;
    core->event_limit = CV_EVENTS;
    core->counters.polls++;
    int count = look(engine);
    int64_t until = core->readable + AT_A_STRETCH;
    return_lent(core);
    cv_engine_expire(core);
    cv_notices_send(core);
    cv_connections_resume(core);
    run_ready(core);
    act(engine, count);
    /* A turn of Python's loop costs as much as a few answers. It is saved as long as nobody there is
     * asked, for a moment: whatever else waits in that loop has its turn too. */
    while (count >= MANY && !core->event_count && core->readable < until) {
        count = look(engine);
        act(engine, count);
    }
    cv_tunnels_run(core);
    if (engine->accept_due <= core->now)
        engine->accept_due = CV_NEVER;
    if (engine->trim_due <= core->now) {
        engine->trim_due = CV_NEVER;
        cv_arena_trim(&core->arena);
    }
    cv_notices_send(core);
    if (core->log.used && !cv_events_full(core)) {
        cv_event_add(core, 0, CV_LOG);
        engine->log_due = CV_NEVER;
    }
    if (core->floods.count && engine->flood_due <= core->now && !cv_events_full(core)) {
        cv_event_add(core, 0, CV_FLOODED);
        engine->flood_due = core->now + FLOOD_PAUSE;
    }
    if (core->stopping && !core->counters.connections && !engine->empty_told &&
        !cv_events_full(core)) {
        cv_event_add(core, 0, CV_EMPTY);
        engine->empty_told = 1;
    }
    core->event_limit = 0;
    cv_engine_leave(engine);
    return (int)core->event_count;
}

int cv_engine_submit(cv_engine *engine, const uint8_t *replies, size_t size)
{
    cv_core *core = &engine->core;
    core->counters.submits++;
    core->now = cv_clock() + core->skew;
    cv_date_update(&core->date, core->now - core->skew);
    const uint8_t *at = replies, *end = replies + size;
    int result = 0;
    while (at < end) {
        cv_reply reply;
        if ((size_t)(end - at) < sizeof reply) {
            result = -1;
            break;
        }
        memcpy(&reply, at, sizeof reply);
        at += sizeof reply;
        if ((size_t)(end - at) < reply.size) {
            result = -1;
            break;
        }
        cv_reply_apply(core, &reply, at);
        at += reply.size;
    }
    cv_turn_end(core);
    cv_engine_leave(engine);
    return result;
}

int cv_engine_is_current(const cv_engine *engine, uint64_t handle)
{
    return cv_exchange_current((cv_core *)(uintptr_t)&engine->core, handle) != NULL;
}

uint64_t cv_engine_waiting(const cv_engine *engine, uint64_t handle)
{
    const cv_core *core = &engine->core;
    uint32_t slot = (uint32_t)handle;
    if (slot == 0 || slot > core->fresh_exchange)
        return 0;
    const cv_exchange *x = &core->exchanges[slot];
    if (x->generation != (uint32_t)(handle >> 32) || x->state != CV_CHANNEL || !x->connection)
        return 0;
    const cv_queue *out = &core->connections[x->connection].out;
    int64_t size = (int64_t)out->size - out->around;
    /* What is around the first one may have left before it. */
    uint64_t bytes = size > 0 ? (uint64_t)size : out->size != 0;
    return bytes | (uint64_t)out->marks << 40;
}

uint32_t cv_engine_broadcast(cv_engine *engine, const uint64_t *handles, uint32_t count, int flags,
                             const uint8_t *message, size_t size, uint32_t *left_out)
{
    cv_core *core = &engine->core;
    core->counters.submits++;
    core->now = cv_clock() + core->skew;
    uint32_t left =
        cv_websockets_send(core, handles, count, flags, message, (uint32_t)size, left_out);
    cv_engine_leave(engine);
    return left;
}

size_t cv_engine_log(cv_engine *engine, uint8_t *into, size_t size)
{
    return engine->core.log.size ? cv_log_take(&engine->core.log, into, size) : 0;
}

void cv_engine_floods(cv_engine *engine, cv_floods *into)
{
    *into = engine->core.floods;
    engine->core.floods.count = 0;
}
