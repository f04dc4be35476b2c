#include "http2_tunnel.h"

#include <string.h>

#include "http2_session.h"
#include "output.h"

enum { ROUNDS = 4 /* what goes on for longer has its turn at the next poll */ };

struct cv_tunnel {
    cv_stream *stream; /* NULL: it is no more */
    cv_http2 *http2;
    uint32_t connection; /* that which is carried */
    cv_link link; /* it has something to move or to settle */
};

#define TUNNEL_OF(at) ((cv_tunnel *)(void *)((char *)(at) - offsetof(cv_tunnel, link)))

static void write_soon(cv_http2 *h)
{
    cv_link_to(&h->core->carriers, &h->writes);
}

/* From the queue to frames: as a socket takes bytes. */
static ssize_t frame(nghttp2_session *session, int32_t id, uint8_t *into, size_t size,
                     uint32_t *flags, nghttp2_data_source *source, void *user)
{
    cv_core *core = ((cv_http2 *)user)->core;
    cv_stream *s = source->ptr;
    cv_tunnel *t = s->tunnel;
    cv_connection *c = t ? &core->connections[t->connection] : NULL;
    size_t done = 0;
    struct iovec piece;
    (void)session, (void)id;
    while (c && done < size && cv_queue_pieces(&c->out, &piece, 1)) {
        size_t part = piece.iov_len < size - done ? piece.iov_len : size - done;
        memcpy(into + done, piece.iov_base, part);
        cv_connection_left(core, c, part);
        done += part;
    }
    if (done)
        cv_link_to(&core->tunnels, &t->link);
    if ((s->flags & CV_S_LAST) && !(c && c->out.size)) {
        *flags |= CV_NGHTTP2_EOF;
        cv_timer_stop(&s->output);
    } else if (!done) {
        s->flags |= CV_S_DEFERRED;
        return CV_NGHTTP2_DEFERRED;
    }
    return (ssize_t)done;
}

int cv_tunnel_open(cv_http2 *h, cv_stream *s, cv_exchange *x, const cv_reply *reply,
                   const uint8_t *payload)
{
    cv_core *core = h->core;
    const cv_connection *host = h->connection;
    cv_opening opening;
    if (cv_websocket_prepare(core, x, reply, payload, &opening) < 0)
        return -1;
    cv_tunnel *t = cv_budget_take(&core->budget, sizeof *t);
    cv_connection *c = t ? cv_connection_new(core, core->options.max_connections) : NULL;
    if (!c) {
        cv_budget_give(&core->budget, t, sizeof *t);
        cv_websocket_forget(core, opening.websocket);
        return -1;
    }
    *t = (cv_tunnel){.stream = s, .http2 = h, .connection = c->index};
    c->tunnel = t;
    c->fresh = 0;
    c->interest = CV_WANT_READ;
    c->listener = host->listener;
    c->family = host->family;
    c->port = host->port;
    memcpy(c->peer, host->peer, sizeof c->peer);
    x->stream = NULL;
    s->exchange = 0;
    s->tunnel = t;
    h->headers -= s->decoded;
    s->decoded = 0;
    cv_stream_opened(h, s, &opening, frame);
    cv_websocket_begin(core, c, x, opening.websocket, 200);
    cv_link_to(&core->tunnels, &t->link);
    return 0;
}

void cv_tunnel_fed(cv_http2 *h, cv_stream *s)
{
    if (s->tunnel)
        cv_link_to(&h->core->tunnels, &s->tunnel->link);
}

void cv_tunnel_lost(cv_http2 *h, cv_stream *s)
{
    cv_tunnel *t = s->tunnel;
    if (!t)
        return;
    s->tunnel = NULL;
    t->stream = NULL;
    cv_connection_end(h->core, &h->core->connections[t->connection], CV_GONE_CLOSED, 0);
}

/* Nothing follows what is framed. */
static void finish(cv_http2 *h, cv_stream *s)
{
    cv_stream_finish(h, s);
    write_soon(h);
}

void cv_tunnel_shut(cv_core *core, cv_connection *c)
{
    const cv_tunnel *t = c->tunnel;
    (void)core;
    if (t && t->stream)
        finish(t->http2, t->stream);
}

void cv_tunnel_end(cv_core *core, cv_connection *c, int reset)
{
    cv_tunnel *t = c->tunnel;
    if (!t)
        return;
    cv_stream *s = t->stream;
    c->tunnel = NULL;
    if (s) {
        s->tunnel = NULL;
        if (reset || c->out.size) {
            cv_stream_reset(t->http2, s, CV_HTTP2_CANCEL);
            write_soon(t->http2);
        } else {
            cv_stream_discard(t->http2, s);
            finish(t->http2, s);
        }
    }
    cv_link_out(&t->link);
    cv_budget_give(&core->budget, t, sizeof *t);
}

/* The client sends no more on it. */
static int has_ended(const cv_tunnel *t)
{
    return t->stream->flags & CV_S_ENDED || t->http2->connection->flags & CV_C_EOF;
}

void cv_tunnel_settled(cv_core *core, cv_connection *c)
{
    cv_tunnel *t = c->tunnel;
    if (!t || !t->stream)
        return;
    if (c->out.size && (t->stream->flags & CV_S_DEFERRED)) {
        cv_stream_resume(t->http2, t->stream);
        write_soon(t->http2);
    }
    if (t->stream->in.size ? c->interest & CV_WANT_READ : has_ended(t) && !(c->flags & CV_C_EOF))
        cv_link_to(&core->tunnels, &t->link);
    else
        cv_link_out(&t->link);
}

/* Put into its block what fits. Returns 0 if nothing did. */
static int move(cv_core *core, const cv_tunnel *t, cv_connection *c)
{
    cv_stream *s = t->stream;
    uint8_t *at;
    size_t room = cv_connection_room(core, c, &at), size = 0;
    struct iovec piece;
    while (size < room && cv_queue_pieces(&s->in, &piece, 1)) {
        size_t part = piece.iov_len < room - size ? piece.iov_len : room - size;
        memcpy(at + size, piece.iov_base, part);
        cv_queue_drop(&s->in, &core->budget, part);
        size += part;
    }
    if (!size)
        return 0;
    cv_connection_fed(core, c, size);
    core->counters.bytes_in -= size; /* they were counted when they came */
    if (!(s->flags & CV_S_ENDED)) {
        cv_http2_check(t->http2, core->http2->lib->session_consume_stream(t->http2->session, s->id,
                                                                          size));
        write_soon(t->http2);
    }
    return 1;
}

static void run(cv_core *core, cv_connection *c)
{
    if (c->flags & CV_C_BUSY) {
        cv_connection_settle(core, c); /* it runs at the next poll */
        return;
    }
    cv_turn_begin(core, c);
    cv_connection_run(core, c);
    cv_turn_end(core);
}

static void go_on(cv_core *core, const cv_tunnel *t)
{
    cv_connection *c = &core->connections[t->connection];
    uint64_t number = cv_connection_number(c);
    while (c && t->stream->in.size && (c->interest & CV_WANT_READ) && move(core, t, c)) {
        run(core, c);
        c = cv_connection_find(core, number);
    }
    if (c && !t->stream->in.size && has_ended(t) && !(c->flags & CV_C_EOF)) {
        cv_connection_ended(core, c);
        run(core, c);
    } else if (c) {
        cv_connection_settle(core, c);
    }
}

void cv_tunnels_run(cv_core *core)
{
    for (int i = 0; i < ROUNDS; i++) {
        cv_link mark, *link;
        if (cv_link_empty(&core->tunnels) && cv_link_empty(&core->carriers))
            return;
        cv_turn_end(core);
        mark.prev = mark.next = NULL;
        cv_link_to(&core->tunnels, &mark);
        while ((link = core->tunnels.next) != &mark) {
            cv_link_out(link);
            go_on(core, TUNNEL_OF(link));
        }
        cv_link_out(&mark);
        while (!cv_link_empty(&core->carriers)) {
            link = core->carriers.next;
            cv_link_out(link);
            cv_turn_begin(core, &core->connections[link->connection]);
            cv_turn_end(core);
        }
    }
}
