#include <string.h>

#include "handshake.h"
#include "http2_session.h"
#include "request.h"

enum {
    SLACK = 4096, /* a body without a length that comes this close to a block's end does not fit */
    PIECE = 32 * 1024 /* of a body that waited */
};

/* Whether something keeps a request of this connection from being answered; returns the step, or
 * CV_STEP_ON. */
static int obstacle(cv_http2 *h)
{
    const cv_core *core = h->core;
    h->stuck = h->queued > cv_stream_most_queued(core);
    if (core->held || !core->routes || h->stuck)
        return CV_STEP_HELD;
    return cv_exchanges_full(core) ? CV_STEP_STARVED : CV_STEP_ON;
}

static void mark(cv_http2 *h, int step)
{
    cv_core *core = h->core;
    cv_connection *c = h->connection;
    if (step == CV_STEP_STARVED)
        c->flags |= CV_C_STARVED;
    if (step == CV_STEP_BUSY)
        c->flags |= CV_C_BUSY;
    if (step == CV_STEP_PARCHED) {
        c->flags |= CV_C_PARCHED;
        cv_link_to(&core->parched, &c->link);
    }
}

/* The connection's window, of what Python has or nobody wants. */
static void give_back(cv_http2 *h, size_t size)
{
    if (size)
        cv_http2_check(h, h->core->http2->lib->session_consume_connection(h->session, size));
}

static void open_window(cv_http2 *h, const cv_stream *s, size_t size)
{
    if (size && !(s->flags & CV_S_ENDED))
        cv_http2_check(h, h->core->http2->lib->session_consume_stream(h->session, s->id, size));
}

void cv_stream_discard(cv_http2 *h, cv_stream *s)
{
    s->flags |= CV_S_DISCARD;
    s->flags &= ~(uint32_t)CV_S_PATIENT;
    cv_queue_clear(&s->in, &h->core->budget);
    give_back(h, s->owed);
    s->owed = 0;
    cv_link_out(&s->turn);
    cv_timer_stop(&s->input);
}

static void forget_text(cv_http2 *h, cv_stream *s)
{
    if (s->text)
        cv_budget_give(&h->core->budget, s->text, s->text_size);
    s->text = NULL;
    s->text_size = 0;
}

/* The server has no room for what this stream wants of it. */
static void overwhelmed(cv_http2 *h, cv_stream *s)
{
    h->core->counters.http2_refused++;
    cv_stream_detach(h, s, CV_GONE_MALFORMED);
    cv_stream_reset(h, s, CV_HTTP2_ENHANCE_YOUR_CALM);
}

/* Keep the head, which is in `text`, for later. */
static int keep_text(cv_http2 *h, cv_stream *s, const uint8_t *text, uint32_t size)
{
    if (s->text == text)
        return 0;
    s->text = cv_budget_take(&h->core->budget, size);
    if (!s->text) {
        overwhelmed(h, s);
        return -1;
    }
    memcpy(s->text, text, size);
    s->text_size = size;
    return 0;
}

static void park(cv_http2 *h, cv_stream *s, const uint8_t *text, uint32_t size, int step)
{
    if (keep_text(h, s, text, size) < 0)
        return;
    if (!s->turn.next)
        cv_link_to(&h->waiting, &s->turn);
    mark(h, step);
}

/* Hand it to Python, with what is here of the body if it is whole. */
static int hand_out(cv_http2 *h, cv_stream *s, const uint8_t *text, cv_head *head,
                    const cv_match *match, int whole)
{
    cv_core *core = h->core;
    cv_connection *c = h->connection;
    uint32_t body_size = whole ? (uint32_t)s->in.size : 0, block;
    if (cv_events_full(core))
        return CV_STEP_BUSY;
    uint8_t *at = cv_arena_place(&core->arena, head->size + body_size, 1, &block);
    if (!at)
        return CV_STEP_PARCHED;
    cv_request *record = cv_arena_record(&core->arena, block);
    cv_exchange *x = cv_exchange_alone(core, c);
    uint32_t slot = cv_exchange_slot(core, x);
    memcpy(at, text, head->size);
    cv_request_fill(core, c, record, at, head, match);
    x->record = record;
    x->block = block;
    x->routes = core->routes;
    cv_routes_hold(core->routes);
    x->flags = CV_X_COUNTED;
    x->stream = s;
    x->member = cv_connection_number(c);
    s->exchange = slot;
    h->running++;
    if (head->method == CV_METHOD_HEAD)
        x->flags |= CV_X_HEAD_ONLY;
    core->counters.requests++;
    core->counters.in_flight++;

    cv_event *event = cv_event_add(core, cv_exchange_handle(x, slot), CV_REQUEST);
    event->at = (uint32_t)((uint8_t *)record - core->arena.base);
    event->route = match->route;
    if (head->method == CV_METHOD_HEAD)
        event->flags = CV_HEAD_ONLY;
    if ((head->flags & (CV_HEAD_JSON | CV_HEAD_CODED)) == CV_HEAD_JSON)
        event->flags |= CV_BODY_JSON;
    if (s->flags & CV_S_WEBSOCKET) {
        x->flags |= CV_X_UPGRADE;
        event->flags |= CV_UPGRADE | CV_BODY_NONE;
        s->flags |= CV_S_READ;
    } else if (!(s->flags & CV_S_BODY) || ((head->flags & CV_HEAD_LENGTH) && !head->content_length)) {
        event->flags |= CV_BODY_NONE;
        s->flags |= CV_S_READ;
    } else if (whole) {
        struct iovec piece;
        uint8_t *to = at + head->size;
        while (cv_queue_pieces(&s->in, &piece, 1)) {
            memcpy(to, piece.iov_base, piece.iov_len);
            to += piece.iov_len;
            cv_queue_drop(&s->in, &core->budget, piece.iov_len);
        }
        event->flags |= CV_BODY_COMPLETE;
        event->size = record->body_size = body_size;
        s->flags |= CV_S_READ;
    } else if (head->flags & CV_HEAD_EXPECT) {
        x->flags |= CV_X_EXPECT;
    }
    give_back(h, s->owed);
    s->owed = 0;
    return CV_STEP_ON;
}

static void native(cv_http2 *h, cv_stream *s, const uint8_t *text, const cv_head *head,
                   const cv_match *match)
{
    cv_core *core = h->core;
    const cv_answer *answer = match->answer;
    uint32_t flags = CV_X_NATIVE;
    if (head->method == CV_METHOD_HEAD)
        flags |= CV_X_HEAD_ONLY;
    if (answer->etag && (head->flags & CV_HEAD_CONDITIONAL) && cv_etag_matches(text, head, answer))
        flags |= CV_X_UNMODIFIED;
    core->counters.requests++;
    core->counters.native++;
    if (core->log.size)
        cv_request_log_native(core, h->connection, text, head,
                              flags & CV_X_UNMODIFIED ? 304 : answer->status,
                              flags & (CV_X_UNMODIFIED | CV_X_HEAD_ONLY) ? 0 : answer->body_size);
    cv_stream_native(h, s, answer, flags);
}

static void native_file(cv_http2 *h, cv_stream *s, const uint8_t *text, const cv_head *head,
                        cv_file_reply *reply)
{
    cv_core *core = h->core;
    uint32_t flags = CV_X_NATIVE;
    if (head->method == CV_METHOD_HEAD)
        flags |= CV_X_HEAD_ONLY;
    core->counters.requests++;
    core->counters.native++;
    if (core->log.size)
        cv_request_log_native(core, h->connection, text, head, reply->status,
                              flags & CV_X_HEAD_ONLY ? 0 : reply->bytes);
    cv_stream_file(h, s, reply, flags);
}

/* Whether what comes of the body has to fit a block, and still may. */
static int may_wait(const cv_http2 *h, const cv_stream *s, const cv_head *head,
                    const cv_match *match)
{
    uint32_t usable = h->core->arena.usable;
    if (!(match->flags & CV_ROUTE_WAIT) || (s->flags & CV_S_WAITED) ||
        (head->flags & CV_HEAD_EXPECT))
        return 0;
    if (head->flags & CV_HEAD_LENGTH)
        return head->content_length && head->content_length <= usable - head->size;
    return s->in.size + head->size + SLACK < usable;
}

/* Go on with a head; `text` is whole. What it waits for is marked. */
static int go_on(cv_http2 *h, cv_stream *s, uint8_t *text, uint32_t size)
{
    cv_core *core = h->core;
    cv_head head;
    cv_match match;
    cv_head_progress progress = {0};
    int step = obstacle(h);
    if (step != CV_STEP_ON) {
        park(h, s, text, size, step);
        return step;
    }
    int read = cv_head_read(text, size, &core->head_limits, &progress, &head);
    if (read <= 0 || head.size != size) {
        core->counters.malformed++;
        cv_link_out(&s->turn);
        if (read < 0 && read != -400)
            cv_stream_bare(h, s, -read);
        else
            cv_stream_reset(h, s, CV_HTTP2_PROTOCOL_ERROR);
        return CV_STEP_ON;
    }
    head.minor = CV_MINOR_OF_HTTP_2;
    cv_routes_find(core->routes, text, &head, &match);
    int ended = s->flags & CV_S_ENDED, tunnel = s->flags & CV_S_WEBSOCKET;
    if (tunnel) {
        int sound = cv_handshake_read_stream(text, &head);
        if (sound < 0) {
            core->counters.malformed++;
            cv_link_out(&s->turn);
            cv_stream_bare(h, s, -sound);
            return CV_STEP_ON;
        }
        cv_routes_upgrade(core->routes, &match);
    }
    cv_file_reply reply;
    if (match.folder && cv_file_decide(core, text, &head, &match, &reply)) {
        native_file(h, s, text, &head, &reply);
    } else if (match.answer) {
        native(h, s, text, &head, &match);
    } else if (!ended && !tunnel && may_wait(h, s, &head, &match)) {
        if (keep_text(h, s, text, size) < 0)
            return CV_STEP_ON;
        cv_link_out(&s->turn);
        if (!(s->flags & CV_S_PATIENT))
            cv_timer_start(&core->timers, &s->input, CV_TIMER_STREAM_BODY, core->now);
        s->flags |= CV_S_PATIENT;
        return CV_STEP_ON;
    } else {
        int whole = ended && !tunnel && s->in.size <= core->arena.usable - head.size;
        step = hand_out(h, s, text, &head, &match, whole);
        if (step != CV_STEP_ON) {
            park(h, s, text, size, step);
            return step;
        }
        if (s->flags & CV_S_PATIENT)
            cv_timer_stop(&s->input);
    }
    s->flags &= ~(uint32_t)CV_S_PATIENT;
    cv_link_out(&s->turn);
    forget_text(h, s);
    return CV_STEP_ON;
}

void cv_stream_begin(cv_http2 *h, cv_stream *s, cv_http2_head *head)
{
    uint8_t *text = cv_http2_head_text(head);
    if (cv_link_empty(&h->waiting))
        go_on(h, s, text, head->size);
    else
        park(h, s, text, head->size, CV_STEP_HELD);
}

/* Give a reader what there is; returns whether there was room for it. */
static int deliver(cv_http2 *h, cv_stream *s)
{
    cv_core *core = h->core;
    cv_exchange *x = cv_stream_exchange(core, s);
    if (!x || !(x->flags & CV_X_READING))
        return CV_STEP_ON;
    if (!s->in.size && !(s->flags & CV_S_ENDED)) {
        if (h->connection->flags & CV_C_EOF)
            cv_stream_broken(h, s, 400, CV_GONE_CLOSED);
        else if (x->state == CV_WAITING) /* later it is a conversation, which may pause */
            cv_timer_start(&core->timers, &s->input, CV_TIMER_STREAM_READ, core->now);
        return CV_STEP_ON;
    }
    if (cv_events_full(core))
        return CV_STEP_BUSY;
    uint32_t size = s->in.size < PIECE ? (uint32_t)s->in.size : PIECE, block;
    uint8_t *at = core->arena.base;
    if (size) {
        at = cv_arena_place(&core->arena, size, 0, &block);
        if (!at)
            return CV_STEP_PARCHED;
        uint8_t *to = at;
        struct iovec piece;
        while (to < at + size && cv_queue_pieces(&s->in, &piece, 1)) {
            size_t part = (size_t)(at + size - to);
            if (part > piece.iov_len)
                part = piece.iov_len;
            memcpy(to, piece.iov_base, part);
            to += part;
            cv_queue_drop(&s->in, &core->budget, part);
        }
        cv_arena_lend(&core->arena, block);
        core->lent[core->lent_count++] = block;
    }
    cv_event *event = cv_event_add(core, cv_exchange_handle(x, s->exchange), CV_BODY);
    event->at = (uint32_t)(at - core->arena.base);
    event->size = size;
    x->flags &= ~(uint32_t)(CV_X_READING | CV_X_EXPECT);
    cv_timer_stop(&s->input);
    if ((s->flags & CV_S_ENDED) && !s->in.size) {
        event->flags = CV_BODY_COMPLETE;
        s->flags |= CV_S_READ;
    }
    open_window(h, s, size);
    return CV_STEP_ON;
}

/* Its reader gets a piece now, or at the next poll. */
static void serve(cv_http2 *h, cv_stream *s)
{
    int step = deliver(h, s);
    if (step == CV_STEP_ON) {
        cv_link_out(&s->turn);
        return;
    }
    if (!s->turn.next)
        cv_link_to(&h->due, &s->turn);
    mark(h, step);
}

void cv_stream_body(cv_http2 *h, cv_stream *s, const uint8_t *at, size_t size)
{
    cv_core *core = h->core;
    cv_connection *c = h->connection;
    cv_exchange *x = cv_stream_exchange(core, s);
    if (!size)
        return;
    if (s->flags & CV_S_DISCARD) {
        give_back(h, size); /* and the stream's window stays shut */
        return;
    }
    if (x || s->tunnel)
        give_back(h, size);
    if (x && (x->flags & CV_X_READING) && !s->in.size && !cv_events_full(core)) {
        cv_event *event = cv_event_add(core, cv_exchange_handle(x, s->exchange), CV_BODY);
        event->at = (uint32_t)(at - core->arena.base);
        event->size = (uint32_t)size;
        cv_arena_lend(&core->arena, c->block);
        core->lent[core->lent_count++] = c->block;
        x->flags &= ~(uint32_t)(CV_X_READING | CV_X_EXPECT);
        cv_timer_stop(&s->input);
        open_window(h, s, size);
        return;
    }
    if (cv_queue_add(&s->in, &core->budget, at, size) < 0) {
        if (!x && !s->tunnel)
            give_back(h, size);
        overwhelmed(h, s);
        return;
    }
    if (s->tunnel)
        cv_tunnel_fed(h, s);
    else if (!x)
        s->owed += (uint32_t)size;
    else if (x->flags & CV_X_READING)
        serve(h, s);
    if ((s->flags & CV_S_PATIENT) && s->in.size + s->text_size + SLACK >= core->arena.usable)
        go_on(h, s, s->text, s->text_size); /* one without a length may have become too long */
}

void cv_stream_ended(cv_http2 *h, cv_stream *s)
{
    cv_exchange *x = cv_stream_exchange(h->core, s);
    s->flags |= CV_S_ENDED;
    if (s->flags & CV_S_PATIENT)
        go_on(h, s, s->text, s->text_size);
    else if (x && (x->flags & CV_X_READING))
        serve(h, s);
    cv_tunnel_fed(h, s);
}

void cv_stream_cut_off(cv_http2 *h, cv_stream *s)
{
    const cv_exchange *x = cv_stream_exchange(h->core, s);
    if (s->flags & (CV_S_ENDED | CV_S_READ | CV_S_DISCARD))
        return;
    if (x) {
        if (x->flags & CV_X_READING && !s->in.size)
            cv_stream_broken(h, s, 400, CV_GONE_CLOSED);
    } else if (s->text) {
        forget_text(h, s);
        cv_stream_bare(h, s, 400);
    } else {
        cv_stream_reset(h, s, CV_HTTP2_CANCEL); /* in the middle of its head */
    }
}

void cv_stream_waited(cv_http2 *h, cv_stream *s)
{
    s->flags |= CV_S_WAITED;
    if (s->flags & CV_S_PATIENT)
        go_on(h, s, s->text, s->text_size);
}

void cv_stream_read(cv_http2 *h, cv_stream *s)
{
    cv_core *core = h->core;
    cv_exchange *x = cv_stream_exchange(core, s);
    if (s->flags & (CV_S_READ | CV_S_DISCARD)) {
        cv_exchange_tell(core, x, CV_TELL_BODY_END);
        return;
    }
    x->flags |= CV_X_READING;
    serve(h, s);
}

void cv_streams_go_on(cv_http2 *h)
{
    while (!cv_link_empty(&h->due)) {
        cv_stream *s = CV_STREAM_OF(turn, h->due.next);
        int step = deliver(h, s);
        if (step != CV_STEP_ON) {
            mark(h, step);
            break;
        }
        cv_link_out(&s->turn);
    }
    while (!cv_link_empty(&h->waiting)) {
        cv_stream *s = CV_STREAM_OF(turn, h->waiting.next);
        if (go_on(h, s, s->text, s->text_size) != CV_STEP_ON)
            break;
    }
}
