#include "http2.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "http2_session.h"
#include "output.h"

enum {
    PREFACE = 24,
    /* What may have come of bodies whose requests Python does not have yet, all streams together. */
    WINDOW = 1 << 20,
    /* How many times max_header_bytes the headers of all streams may take, decoded. */
    HEADERS = 8,
    ROUNDS = 16 /* of framing and writing in one turn */
};

/* Memory: what the library takes is counted as well. */

typedef union block {
    size_t size;
    max_align_t aligned;
} block;

static void *take(size_t size, void *user)
{
    block *b = cv_budget_take(user, sizeof *b + size);
    if (!b)
        return NULL;
    b->size = size;
    return b + 1;
}

static void give(void *at, void *user)
{
    if (!at)
        return;
    block *b = (block *)at - 1;
    cv_budget_give(user, b, sizeof *b + b->size);
}

static void *take_zeroed(size_t count, size_t size, void *user)
{
    size_t all = count * size; /* the library's own: small numbers */
    void *at = take(all, user);
    if (at)
        memset(at, 0, all);
    return at;
}

static void *take_again(void *at, size_t size, void *user)
{
    void *other = take(size, user);
    if (!other || !at)
        return other;
    size_t had = ((block *)at - 1)->size;
    memcpy(other, at, had < size ? had : size);
    give(at, user);
    return other;
}

/* Streams */

static cv_stream *stream_of(cv_http2 *h, int32_t id)
{
    return h->core->http2->lib->session_get_stream_user_data(h->session, id);
}

static void ring(cv_link *head)
{
    head->prev = head->next = head;
}

static cv_stream *new_stream(cv_http2 *h, int32_t id)
{
    cv_stream *s = cv_budget_take(&h->core->budget, sizeof *s);
    if (!s)
        return NULL;
    memset(s, 0, sizeof *s);
    s->id = id;
    s->input.connection = s->output.connection = h->connection->index;
    cv_link_to(&h->all, &s->all);
    h->streams++;
    return s;
}

void cv_stream_detach(cv_http2 *h, cv_stream *s, int why)
{
    cv_exchange *x = cv_stream_exchange(h->core, s);
    if (!x)
        return;
    s->exchange = 0;
    x->stream = NULL;
    cv_exchange_detach(h->core, x, why);
}

static void free_stream(cv_http2 *h, cv_stream *s, int why)
{
    cv_core *core = h->core;
    cv_stream_detach(h, s, why);
    cv_tunnel_lost(h, s);
    cv_stream_discard(h, s);
    h->queued -= s->out.size - s->filed;
    cv_queue_clear(&s->out, &core->budget);
    if (s->text)
        cv_budget_give(&core->budget, s->text, s->text_size);
    if (s->trailers)
        cv_budget_give(&core->budget, s->trailers, s->trailers_size);
    if (s->routes)
        cv_routes_free(s->routes);
    cv_timer_stop(&s->input);
    cv_timer_stop(&s->output);
    cv_link_out(&s->all);
    cv_link_out(&s->turn);
    cv_link_out(&s->lent);
    h->streams--;
    h->headers -= s->decoded;
    cv_budget_give(&core->budget, s, sizeof *s);
}

void cv_stream_reset(cv_http2 *h, cv_stream *s, uint32_t error)
{
    cv_stream_discard(h, s);
    cv_http2_check(h, h->core->http2->lib->submit_rst_stream(h->session, 0, s->id, error));
}

/* What the library calls */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    cv_http2 *h = user;
    cv_core *core = h->core;
    cv_http2_kit *kit = core->http2;
    int request = frame->cat == CV_NGHTTP2_REQUEST;
    if (frame->hd.type != CV_HTTP2_HEADERS)
        return 0;
    if (!kit->head)
        kit->head = malloc(cv_http2_head_size(&core->head_limits));
    if (!kit->head)
        return CV_NGHTTP2_FAILURE;
    cv_http2_head_begin(kit->head, &core->head_limits, !request);
    if (!request)
        return 0;
    cv_stream *s = new_stream(h, frame->hd.stream_id);
    if (!s)
        return CV_NGHTTP2_STREAM_FAILURE;
    kit->lib->session_set_stream_user_data(session, s->id, s);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    cv_http2 *h = user;
    (void)session;
    (void)flags;
    if (frame->hd.type == CV_HTTP2_HEADERS && h->core->http2->head)
        cv_http2_head_add(h->core->http2->head, name, name_size, value, value_size);
    return 0;
}

/* The library would pass over what it finds wrong in a field. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_size, const uint8_t *value,
                             size_t value_size, uint8_t flags, void *user)
{
    cv_http2 *h = user;
    (void)session, (void)name, (void)name_size, (void)value, (void)value_size, (void)flags;
    if (frame->hd.type == CV_HTTP2_HEADERS && h->core->http2->head)
        h->core->http2->head->verdict = CV_HTTP2_MALFORMED;
    return 0;
}

static void malformed(cv_http2 *h, cv_stream *s)
{
    h->core->counters.malformed++;
    cv_stream_detach(h, s, CV_GONE_MALFORMED);
    cv_stream_reset(h, s, CV_HTTP2_PROTOCOL_ERROR);
}

/* A whole block of headers. */
static void headers(cv_http2 *h, cv_stream *s, const nghttp2_frame *frame)
{
    cv_core *core = h->core;
    cv_http2_head *head = core->http2->head;
    int verdict = cv_http2_head_end(head);
    if (verdict == CV_HTTP2_MALFORMED || (verdict != CV_HTTP2_SOUND && head->trailers)) {
        malformed(h, s);
        return;
    }
    if (head->trailers)
        return;
    s->decoded = head->decoded;
    h->headers += head->decoded;
    if (!(frame->hd.flags & CV_HTTP2_END_STREAM))
        s->flags |= CV_S_BODY;
    if (h->running + 1 > core->options.max_streams ||
        h->headers > (uint64_t)HEADERS * core->options.max_header_bytes) {
        /* Those that were reset count until Python has let go of them. */
        core->counters.http2_refused++;
        cv_stream_reset(h, s, CV_HTTP2_REFUSED_STREAM);
        return;
    }
    if (frame->hd.flags & CV_HTTP2_END_STREAM)
        s->flags |= CV_S_ENDED;
    if (head->websocket)
        s->flags |= CV_S_WEBSOCKET;
    if (verdict == CV_HTTP2_SOUND) {
        cv_stream_begin(h, s, head);
        return;
    }
    if (head->status != 501)
        core->counters.malformed++;
    cv_stream_bare(h, s, head->status);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    cv_http2 *h = user;
    int ends = frame->hd.flags & CV_HTTP2_END_STREAM;
    (void)session;
    cv_stream *s = frame->hd.stream_id ? stream_of(h, frame->hd.stream_id) : NULL;
    if (!s)
        return 0;
    switch (frame->hd.type) {
    case CV_HTTP2_HEADERS:
        headers(h, s, frame);
        if (ends && frame->cat != CV_NGHTTP2_REQUEST)
            cv_stream_ended(h, s);
        break;
    case CV_HTTP2_DATA:
        if (ends)
            cv_stream_ended(h, s);
        break;
    case CV_HTTP2_RST_STREAM:
        s->flags |= CV_S_PEER;
        h->core->counters.http2_resets++;
        break;
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t size, void *user)
{
    cv_http2 *h = user;
    (void)flags;
    cv_stream *s = stream_of(h, id);
    if (!s) {
        h->core->http2->lib->session_consume_connection(session, size);
        return 0;
    }
    cv_stream_body(h, s, data, size);
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    cv_http2 *h = user;
    cv_core *core = h->core;
    int type = frame->hd.type;
    int flood = cv_guard_sent(&h->guard, type, frame->hd.length, core->now);
    if (flood)
        h->flood = (uint8_t)flood;
    if (type == CV_HTTP2_RST_STREAM)
        core->counters.http2_resets_sent++;
    if ((type == CV_HTTP2_DATA || type == CV_HTTP2_HEADERS) &&
        (frame->hd.flags & CV_HTTP2_END_STREAM)) {
        /* The answer is whole: the rest of the request is not wanted (RFC 9113, 8.1). */
        cv_stream *s = stream_of(h, frame->hd.stream_id);
        if (s && !(s->flags & CV_S_ENDED))
            core->http2->lib->submit_rst_stream(session, 0, s->id, CV_HTTP2_NO_ERROR);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
    cv_http2 *h = user;
    (void)session, (void)error;
    cv_stream *s = stream_of(h, id);
    if (!s)
        return 0;
    int ours = s->exchange && !(s->flags & CV_S_PEER);
    if (ours)
        h->core->counters.malformed++;
    free_stream(h, s, ours ? CV_GONE_MALFORMED : CV_GONE_CLOSED);
    return 0;
}

/* What all connections share */

cv_http2_kit *cv_http2_kit_new(cv_core *core)
{
    (void)core;
    const cv_nghttp2 *lib = cv_nghttp2_load();
    cv_http2_kit *kit = lib ? calloc(1, sizeof *kit) : NULL;
    if (!kit)
        return NULL;
    kit->lib = lib;
    if (lib->session_callbacks_new(&kit->callbacks) != 0 || lib->option_new(&kit->option) != 0) {
        if (kit->callbacks)
            lib->session_callbacks_del(kit->callbacks);
        free(kit);
        return NULL;
    }
    lib->session_callbacks_set_on_begin_headers_callback(kit->callbacks, on_begin_headers);
    lib->session_callbacks_set_on_header_callback(kit->callbacks, on_header);
    lib->session_callbacks_set_on_invalid_header_callback(kit->callbacks, on_invalid_header);
    lib->session_callbacks_set_on_frame_recv_callback(kit->callbacks, on_frame_recv);
    lib->session_callbacks_set_on_data_chunk_recv_callback(kit->callbacks, on_data);
    lib->session_callbacks_set_on_frame_send_callback(kit->callbacks, on_frame_send);
    lib->session_callbacks_set_on_stream_close_callback(kit->callbacks, on_stream_close);
    lib->option_set_no_auto_window_update(kit->option, 1);
    lib->option_set_no_closed_streams(kit->option, 1);
    return kit;
}

void cv_http2_kit_free(cv_core *core)
{
    cv_http2_kit *kit = core->http2;
    if (!kit)
        return;
    kit->lib->session_callbacks_del(kit->callbacks);
    kit->lib->option_del(kit->option);
    free(kit->head);
    free(kit->fields);
    free(kit);
    core->http2 = NULL;
}

/* A connection */

int cv_http2_is_preface(const uint8_t *at, size_t size)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    size_t known = size < PREFACE ? size : PREFACE;
    if (memcmp(at, preface, known) != 0)
        return 0;
    return known == PREFACE ? 1 : -1;
}

int cv_http2_begin(cv_core *core, cv_connection *c)
{
    const cv_options *o = &core->options;
    const nghttp2_settings_entry settings[] = {
        {CV_SETTING_MAX_CONCURRENT_STREAMS, o->max_streams},
        {CV_SETTING_MAX_HEADER_LIST_SIZE, o->max_header_bytes},
        {CV_SETTING_NO_RFC7540_PRIORITIES, 1},
        {CV_SETTING_ENABLE_CONNECT_PROTOCOL, 1},
    };
    nghttp2_mem memory = {&core->budget, take, give, take_zeroed, take_again};
    cv_http2_kit *kit = core->http2;
    cv_http2 *h = cv_budget_take(&core->budget, sizeof *h);
    if (!h)
        return -1;
    memset(h, 0, sizeof *h);
    h->core = core;
    h->connection = c;
    ring(&h->all);
    ring(&h->waiting);
    ring(&h->due);
    ring(&h->lent);
    h->writes.connection = c->index;
    cv_guard_begin(&h->guard, o->max_header_bytes, core->now);
    if (kit->lib->session_server_new3(&h->session, kit->callbacks, h, kit->option, &memory) != 0) {
        cv_budget_give(&core->budget, h, sizeof *h);
        return -1;
    }
    c->http2 = h;
    c->phase = CV_PHASE_STREAMS;
    c->flags |= CV_C_STREAMS;
    core->counters.http2_connections++;
    cv_http2_check(h, kit->lib->submit_settings(h->session, 0, settings,
                                                sizeof settings / sizeof *settings));
    cv_http2_check(h, kit->lib->session_set_local_window_size(h->session, 0, 0, WINDOW));
    if (core->stopping)
        cv_http2_stop(core, c);
    return 0;
}

void cv_http2_end(cv_core *core, cv_connection *c, int why)
{
    cv_http2 *h = c->http2;
    if (!h)
        return;
    while (!cv_link_empty(&h->all))
        free_stream(h, CV_STREAM_OF(all, h->all.next), why);
    c->http2 = NULL;
    cv_link_out(&h->writes);
    core->http2->lib->session_del(h->session);
    free(h->head);
    cv_budget_give(&core->budget, h, sizeof *h);
}

void cv_http2_left(cv_core *core, uint64_t connection)
{
    cv_connection *c = cv_connection_find(core, connection);
    if (c && c->http2)
        c->http2->running--;
}

/* Say why, and end. */
static void terminate(cv_http2 *h, uint32_t error)
{
    if (h->over)
        return;
    h->over = 1;
    cv_http2_check(h, h->core->http2->lib->session_terminate_session(h->session, error));
}

static void calm(cv_http2 *h, int why)
{
    if (!h->over) {
        h->core->counters.http2_floods++;
        cv_flooded(h->core, h->connection, why);
    }
    terminate(h, CV_HTTP2_ENHANCE_YOUR_CALM);
}

static void receive(cv_http2 *h)
{
    cv_core *core = h->core;
    cv_connection *c = h->connection;
    cv_http2_kit *kit = core->http2;
    const uint8_t *at = cv_arena_at(&core->arena, c->block) + c->from;
    size_t size = c->to - c->from;
    c->from = c->to;
    if (h->over)
        return;
    int flood = cv_guard_received(&h->guard, at, size, core->now);
    if (flood) {
        calm(h, flood);
        return;
    }
    if (h->head) { /* the block of headers goes on */
        free(kit->head);
        kit->head = h->head;
        h->head = NULL;
    }
    ssize_t taken = kit->lib->session_mem_recv(h->session, at, size);
    if (taken < 0) {
        core->counters.malformed++;
        h->failed = 1;
    } else if (!kit->lib->session_want_read(h->session) && !h->over) {
        core->counters.malformed++;
        h->over = 1; /* the library says why */
    }
    if (h->guard.in_block) {
        h->head = kit->head;
        kit->head = NULL;
    }
}

void cv_http2_run(cv_core *core, cv_connection *c)
{
    cv_http2 *h = c->http2;
    cv_link_out(&c->link);
    c->flags &= (uint16_t)~(CV_C_AGAIN | CV_C_STARVED | CV_C_BUSY | CV_C_PARCHED);
    c->flags |= CV_C_HUNGRY;
    if (c->closing || (c->flags & CV_C_BROKEN))
        return;
    cv_streams_go_on(h);
    if (c->from != c->to)
        receive(h);
    if (c->flags & CV_C_EOF)
        for (cv_link *at = h->all.next; at != &h->all; at = at->next) {
            cv_stream *s = CV_STREAM_OF(all, at);
            cv_exchange *x = cv_stream_exchange(core, s);
            if (x)
                cv_exchange_tell_gone(core, x, CV_GONE_CLOSED);
            cv_stream_cut_off(h, s);
            cv_tunnel_fed(h, s);
        }
}

/* Put frames together; returns whether there may be more. */
static int frame(cv_http2 *h)
{
    cv_core *core = h->core;
    cv_connection *c = h->connection;
    while (cv_backlog(core, c) < CV_SEND_AT) {
        const uint8_t *at;
        ssize_t size = core->http2->lib->session_mem_send(h->session, &at);
        if (size < 0)
            h->failed = 1;
        if (size <= 0)
            return 0;
        cv_put(core, c, at, (size_t)size);
        if (h->flood && !h->over)
            calm(h, h->flood);
    }
    return 1;
}

/* The client sends no more, so none of its windows opens any more: give up what waits for one. Returns
 * whether something did. */
static int strand(cv_http2 *h)
{
    int found = 0;
    for (cv_link *at = h->all.next; at != &h->all; at = at->next) {
        cv_stream *s = CV_STREAM_OF(all, at);
        /* The library had its chance, and did not ask for more of it. */
        if ((s->flags & (CV_S_ANSWERED | CV_S_DEFERRED)) == CV_S_ANSWERED) {
            cv_stream_strand(h, s);
            found = 1;
        }
    }
    return found;
}

/* Nothing more is to be said. */
static int is_over(const cv_http2 *h)
{
    const cv_nghttp2 *lib = h->core->http2->lib;
    if (h->failed)
        return 1;
    if (lib->session_want_write(h->session))
        return 0;
    return !lib->session_want_read(h->session) ||
           (!h->streams && (h->final || (h->connection->flags & CV_C_EOF)));
}

void cv_http2_write(cv_core *core, cv_connection *c)
{
    cv_http2 *h = c->http2;
    int more = 1;
    for (int i = 0; more && i < ROUNDS && !(c->flags & CV_C_BROKEN); i++) {
        more = frame(h);
        if (!more && c->flags & CV_C_EOF && !h->failed)
            more = strand(h);
        if (more) {
            cv_flush(core, c);
            more = !c->out.size;
        }
    }
    while (!cv_link_empty(&h->lent))
        cv_stream_keep(h, CV_STREAM_OF(lent, h->lent.next));
    if (is_over(h) && !c->out.size) {
        cv_http2_end(core, c, CV_GONE_CLOSED);
        c->phase = CV_PHASE_END;
        c->closing = CV_CLOSE_WRITTEN;
        c->flags |= CV_C_OURS;
        return;
    }
    if (more || (h->stuck && h->queued <= cv_stream_most_queued(core)))
        c->flags |= CV_C_AGAIN;
}

int cv_http2_timer(const cv_core *core, const cv_connection *c)
{
    const cv_http2 *h = c->http2;
    if (cv_guard_is_within(&h->guard))
        return CV_TIMER_HEADER;
    if (core->stopping)
        return h->final ? CV_TIMER_NONE : CV_TIMER_LAST_CHANCE;
    return h->streams ? CV_TIMER_NONE : CV_TIMER_IDLE;
}

void cv_http2_stop(cv_core *core, cv_connection *c)
{
    cv_http2 *h = c->http2;
    if (h->noticed || h->over)
        return;
    h->noticed = 1;
    cv_http2_check(h, core->http2->lib->submit_shutdown_notice(h->session));
}

void cv_http2_expired(cv_core *core, cv_connection *c, int kind)
{
    cv_http2 *h = c->http2;
    const cv_nghttp2 *lib = core->http2->lib;
    cv_turn_begin(core, c);
    switch (kind) {
    case CV_TIMER_HEADER:
        core->counters.header_timeouts++;
        terminate(h, CV_HTTP2_NO_ERROR);
        break;
    case CV_TIMER_IDLE:
        core->counters.idle_timeouts++;
        terminate(h, CV_HTTP2_NO_ERROR);
        break;
    default: /* the streams that were opened meanwhile are answered, later ones never seen */
        h->final = 1;
        cv_http2_check(h, lib->submit_goaway(h->session, 0,
                                             lib->session_get_last_proc_stream_id(h->session),
                                             CV_HTTP2_NO_ERROR, NULL, 0));
        break;
    }
    cv_turn_end(core);
}

void cv_http2_stream_expired(cv_core *core, cv_connection *c, cv_timer *timer, int kind)
{
    cv_http2 *h = c->http2;
    cv_turn_begin(core, c);
    if (kind == CV_TIMER_STREAM_WRITE) {
        cv_stream *s = CV_STREAM_OF(output, timer);
        core->counters.write_timeouts++;
        cv_stream_detach(h, s, CV_GONE_TIMEOUT);
        cv_stream_reset(h, s, CV_HTTP2_CANCEL);
    } else if (kind == CV_TIMER_STREAM_READ) {
        core->counters.read_timeouts++;
        cv_stream_broken(h, CV_STREAM_OF(input, timer), 408, CV_GONE_TIMEOUT);
    } else {
        cv_stream_waited(h, CV_STREAM_OF(input, timer));
    }
    cv_turn_end(core);
}
