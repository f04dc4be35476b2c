/* What the parts of one engine share: its tables, its clock, and who has something to do. */
#ifndef COVET_CORE_H
#define COVET_CORE_H

#include <string.h>

#include "arena.h"
#include "chunked.h"
#include "connection.h"
#include "covet_engine.h"
#include "date.h"
#include "exchange.h"
#include "file.h"
#include "head.h"
#include "log.h"
#include "memory.h"
#include "routes.h"
#include "timers.h"
#include "websocket.h"

enum {
    CV_LENT = 2 * CV_EVENTS, /* a piece for each event, and blocks that several share */
    CV_GATHER = 128 * 1024, /* output of one connection put together before it is written */
    CV_SEND_AT = 64 * 1024, /* what is gathered is written before more is parsed */
    CV_SERVED_RUNS = 8
};

/* What carries a connection's bytes: a socket or memory. The state machine calls nothing else. */
typedef struct cv_transport {
    /* Returns how many bytes were taken, 0 if none can be now, -1 if the connection is broken. */
    int64_t (*write)(cv_core *core, cv_connection *c, const struct iovec *pieces, int count);
    void (*interest)(cv_core *core, cv_connection *c); /* c->interest is new */
    void (*shut)(cv_core *core, cv_connection *c); /* nothing more will be written */
    void (*close)(cv_core *core, cv_connection *c, int reset);
    /* Sends of a file what it can of `size` bytes. Returns as write does, -2 if the file is shorter.
     * NULL: what is in files is read, and written. */
    int64_t (*send_file)(cv_core *core, cv_connection *c, const cv_piece *piece, size_t size);
} cv_transport;

/* Answers gathered, by when their request was readable. */
typedef struct cv_served {
    int64_t readable;
    uint32_t count;
} cv_served;

struct cv_core {
    cv_options options;
    cv_head_limits head_limits;
    cv_chunked_limits chunked_limits;
    const cv_transport *transport;
    cv_budget budget; /* of output that waits */
    cv_arena arena;
    cv_timers timers;
    cv_date date;
    cv_log log;
    cv_counters counters;
    cv_routes *routes;
    cv_tls *tls; /* NULL: connections are without */
    cv_files files;
    uint64_t turn; /* so many times the clock was read */
    cv_http2_kit *http2; /* NULL: it is not spoken */

    cv_connection *connections; /* from 1 */
    uint32_t connection_capacity, fresh_connection, free_connection;
    cv_link ready; /* can go on at once */
    cv_link starved; /* wait until Python holds fewer requests */
    cv_link parched; /* wait for an input block */
    cv_link tunnels; /* have something to move between stream and block */
    cv_link carriers; /* connections of HTTP/2 that have something to frame for them */

    cv_exchange *exchanges; /* from 1 */
    uint32_t exchange_capacity, fresh_exchange, free_exchange;
    uint32_t exchanges_used;
    uint32_t first_notice, last_notice; /* exchanges of which Python is to hear something */

    cv_event *events;
    uint32_t event_count;
    uint32_t event_limit; /* 0 outside of poll: nothing that makes an event is done */
    uint32_t lent[CV_LENT]; /* blocks with pieces that are valid until the next poll */
    uint32_t lent_count;

    cv_websockets websockets;
    cv_floods floods; /* that Python does not know of */

    cv_connection *current; /* whose output is gathered */
    uint8_t *gather;
    uint8_t *block; /* for bytes of files, between two calls */
    uint32_t gathered;
    uint8_t *seal; /* what TLS has encrypted and is sent next */
    size_t seal_size, seal_capacity;
    uint8_t *record; /* pieces put together before they are encrypted */
    const uint8_t *fed; /* bytes for TLS over memory */
    size_t fed_size;
    cv_served served[CV_SERVED_RUNS];
    uint32_t served_runs;

    cv_time now, skew;
    int64_t readable; /* when the bytes at hand became readable, without skew */
    uint8_t held; /* no new request is parsed */
    uint8_t stopping;
    uint8_t begun;
    uint8_t by_blocks; /* files are read: who sends them to a client that has left would be killed */
};

/* Nanoseconds on CLOCK_MONOTONIC. */
int64_t cv_clock(void);
void cv_core_tick(cv_core *core);

static inline int cv_events_full(const cv_core *core)
{
    return core->event_count >= core->event_limit;
}

static inline cv_event *cv_event_add(cv_core *core, uint64_t handle, int kind)
{
    cv_event *event = &core->events[core->event_count++];
    event->handle = handle;
    event->at = event->size = 0;
    event->route = 0;
    event->kind = (uint8_t)kind;
    event->flags = 0;
    event->extra = 0;
    return event;
}

/* A client is about to be cut off. */
static inline void cv_flooded(cv_core *core, const cv_connection *c, int why)
{
    cv_floods *floods = &core->floods;
    if (floods->count++)
        return;
    floods->why = (uint8_t)why;
    floods->family = c->family;
    floods->port = c->port;
    memcpy(floods->peer, c->peer, sizeof floods->peer);
}

/* Python holds as many requests as it may. */
static inline int cv_exchanges_full(const cv_core *core)
{
    return core->counters.in_flight >= core->options.max_in_flight ||
           core->exchanges_used >= core->exchange_capacity;
}

static inline int cv_link_empty(const cv_link *ring)
{
    return ring->next == ring;
}

#endif
