#include "request.h"

#include <string.h>

#include "arguments.h"
#include "file_answer.h"
#include "file_put.h"
#include "handshake.h"
#include "http2.h"
#include "output.h"
#include "reply.h"
#include "tls.h"

enum {
    DISCARD_MOST = 64 * 1024, /* of a body nobody wants, rather than close */
    BLANK_LINES = 4, /* before a request line */
    SLACK = 4096 /* a chunked body that comes this close to a block's end does not fit */
};

static uint8_t *input(const cv_core *core, const cv_connection *c)
{
    return cv_arena_at(&core->arena, c->block) + c->from;
}

static void skip_blank_lines(const cv_core *core, cv_connection *c)
{
    if (c->progress.scanned || c->progress.started)
        return;
    while (c->to - c->from >= 2 && c->blank < BLANK_LINES &&
           memcmp(input(core, c), "\r\n", 2) == 0) {
        c->from += 2;
        c->blank++;
    }
}

/* Whether something keeps the next request from being parsed; returns the step, or CV_STEP_ON. */
static int obstacle(cv_core *core, cv_connection *c)
{
    if (core->held || !core->routes)
        return CV_STEP_HELD;
    if (c->last) {
        const cv_exchange *x = &core->exchanges[c->last];
        if ((x->flags & CV_X_UNSAFE) && x->state != CV_DONE)
            return CV_STEP_HELD;
        if (c->pipelined >= core->options.max_pipelined)
            return CV_STEP_HELD;
    }
    if (cv_backlog(core, c) >= CV_SEND_AT)
        cv_flush(core, c);
    if (c->out.size > core->options.high_water)
        return CV_STEP_HELD;
    return cv_exchanges_full(core) ? CV_STEP_STARVED : CV_STEP_ON;
}

/* Decode what is there of a chunked body behind the head (`at` bytes from c->from); counts into
 * c->decoded. Returns 1 when it is whole (then *next is where the next request begins), 0, or the
 * negative status. */
static int decode_in_place(cv_core *core, cv_connection *c, uint32_t at, uint32_t *next)
{
    size_t data, taken;
    uint32_t raw = c->from + at + c->decoded;
    uint8_t *bytes = cv_arena_at(&core->arena, c->block) + raw;
    int result = cv_chunked_decode(&c->chunked, &core->chunked_limits, bytes, c->to - raw, &data,
                                   &taken);
    if (result < 0)
        return result;
    c->decoded += (uint32_t)data;
    if (result == CV_CHUNKED_DONE) {
        *next = raw + (uint32_t)taken;
        return 1;
    }
    c->to = raw + (uint32_t)data;
    return 0;
}

/* Go behind a body nobody reads, of which `rest` bytes are to come from c->from on. */
static int pass_over(cv_core *core, cv_connection *c, int expects)
{
    if (c->flags & CV_C_CHUNKED) {
        uint32_t next;
        int whole = decode_in_place(core, c, 0, &next);
        c->decoded = 0;
        if (whole == 1) {
            c->from = next;
            c->phase = CV_PHASE_HEAD;
            return 1;
        }
    } else {
        uint32_t here = c->to - c->from;
        if (c->body_left <= here) {
            c->from += (uint32_t)c->body_left;
            c->body_left = 0;
            c->phase = CV_PHASE_HEAD;
            return 1;
        }
        /* A client that waits for 100 Continue may send the body after all, or may not. */
        if (!(expects && here == 0) && c->body_left - here <= DISCARD_MOST) {
            c->phase = CV_PHASE_DISCARD;
            return 1;
        }
    }
    c->phase = CV_PHASE_END;
    c->flags |= CV_C_OURS;
    return 0;
}

int cv_body_rest(cv_core *core, cv_connection *c, const cv_exchange *x)
{
    c->reader = 0;
    if (c->decoded) {
        c->from += c->decoded;
        c->decoded = 0;
    }
    return pass_over(core, c, !!(x->flags & CV_X_EXPECT));
}

/* The head (and what a native answer needs not know of the body) is consumed. */
static void consume(cv_connection *c, uint32_t size)
{
    c->from += size;
    c->blank = 0;
    c->need = 0;
    memset(&c->progress, 0, sizeof c->progress);
    /* What comes next is timed anew. */
    if (c->input.kind == CV_TIMER_HEADER || c->input.kind == CV_TIMER_BODY)
        cv_timer_stop(&c->input);
    c->flags &= (uint16_t)~CV_C_WAITED;
}

void cv_request_log_native(cv_core *core, const cv_connection *c, const uint8_t *at,
                           const cv_head *head, int status, uint64_t bytes)
{
    cv_log_entry entry = {
        .method = at + head->method_name.at,
        .method_size = head->method_name.size,
        .target = at + head->target.at,
        .target_size = head->target.size,
        .minor = head->minor,
        .family = c->family,
        .peer = c->peer,
        .status = status,
        .ms = (double)(cv_clock() - core->readable) / 1e6,
        .bytes = bytes,
    };
    cv_span agent, none = {0, 0};
    if (cv_head_field(at, head, "user-agent", 10, none, &agent)) {
        entry.agent = at + agent.at;
        entry.agent_size = agent.size;
    }
    if (cv_log_add(&core->log, &entry) < 0)
        core->counters.log_lost++;
}

static int has_body(const cv_head *head)
{
    return (head->flags & CV_HEAD_CHUNKED) ||
           ((head->flags & CV_HEAD_LENGTH) && head->content_length > 0);
}

static void begin_body(cv_connection *c, const cv_head *head)
{
    c->decoded = 0;
    if (head->flags & CV_HEAD_CHUNKED) {
        c->flags |= CV_C_CHUNKED;
        memset(&c->chunked, 0, sizeof c->chunked);
    } else {
        c->flags &= (uint16_t)~CV_C_CHUNKED;
        c->body_left = head->content_length;
    }
}

/* What a native answer has to know of its request. */
static uint32_t native_flags(const cv_head *head)
{
    uint32_t flags = CV_X_NATIVE;
    if (head->method == CV_METHOD_HEAD)
        flags |= CV_X_HEAD_ONLY;
    if (head->minor == 0)
        flags |= CV_X_OLD;
    return flags;
}

/* A request that needs no Python is over. Returns whether the connection ends with its answer. */
static int pass_native(cv_core *core, cv_connection *c, const cv_head *head)
{
    consume(c, head->size);
    int close = !(head->flags & CV_HEAD_KEEP_ALIVE);
    if (has_body(head)) {
        begin_body(c, head);
        if (!pass_over(core, c, !!(head->flags & CV_HEAD_EXPECT)))
            close = 1;
    }
    if (!close && core->stopping && c->from == c->to) {
        close = 1;
        c->flags |= CV_C_OURS;
    }
    if (close)
        c->phase = CV_PHASE_END;
    return close;
}

/* A request that needs no Python. */
static int native(cv_core *core, cv_connection *c, const cv_head *head, const cv_match *match)
{
    const uint8_t *at = input(core, c);
    const cv_answer *answer = match->answer;
    uint32_t flags = native_flags(head);
    if (answer->etag && (head->flags & CV_HEAD_CONDITIONAL) &&
        cv_etag_matches(at, head, answer))
        flags |= CV_X_UNMODIFIED;
    int status = flags & CV_X_UNMODIFIED ? 304 : answer->status;
    uint64_t bytes = flags & (CV_X_UNMODIFIED | CV_X_HEAD_ONLY) ? 0 : answer->body_size;
    core->counters.requests++;
    core->counters.native++;
    if (core->log.size)
        cv_request_log_native(core, c, at, head, status, bytes);

    int close = pass_native(core, c, head);
    if (close)
        flags |= CV_X_CLOSE;
    if (!c->first) {
        cv_reply_native(core, c, answer, flags, &bytes);
        cv_served_add(core, core->readable);
        if (close)
            c->closing = CV_CLOSE_WRITTEN;
        return CV_STEP_REQUEST;
    }
    /* Behind one in Python's hands: it waits for its turn. There is a place, see obstacle(). */
    cv_exchange *x = cv_exchange_new(core, c);
    x->flags = flags;
    x->answer = answer;
    x->routes = core->routes;
    cv_routes_hold(core->routes);
    return CV_STEP_REQUEST;
}

/* A request that a file answers. */
static int native_file(cv_core *core, cv_connection *c, const cv_head *head, cv_file_reply *reply)
{
    uint32_t flags = native_flags(head);
    uint64_t bytes = flags & CV_X_HEAD_ONLY ? 0 : reply->bytes;
    core->counters.requests++;
    core->counters.native++;
    if (core->log.size)
        cv_request_log_native(core, c, input(core, c), head, reply->status, bytes);
    int close = pass_native(core, c, head);
    if (close)
        flags |= CV_X_CLOSE;
    cv_exchange *x = NULL;
    if (c->first) {
        x = cv_exchange_new(core, c);
        x->flags = flags;
    }
    cv_file_say(core, c, x, reply, flags);
    if (!x) {
        cv_served_add(core, core->readable);
        if (close)
            c->closing = CV_CLOSE_WRITTEN;
    }
    return bytes > CV_FILE_SMALL && c->from != c->to ? CV_STEP_BUSY : CV_STEP_REQUEST;
}

void cv_request_fill(cv_core *core, const cv_connection *c, cv_request *r, uint8_t *at,
                     const cv_head *head, const cv_match *match)
{
    r->head = (uint32_t)(at - core->arena.base);
    r->head_size = head->size;
    r->body = r->head + head->size;
    r->body_size = 0;
    r->content_length = head->flags & CV_HEAD_LENGTH ? head->content_length : UINT64_MAX;
    r->method_at = head->method_name.at;
    r->method_size = head->method_name.size;
    r->target_at = head->target.at;
    r->target_size = head->target.size;
    r->path_at = head->path.at;
    r->path_size = head->path.size;
    r->query_at = head->query.at;
    r->query_size = head->query.size;
    r->host_at = head->host.at;
    r->host_size = head->host.size;
    r->content_type_at = head->content_type.at;
    r->content_type_size = head->content_type.size;
    r->head_flags = head->flags | cv_tls_flags(c);
    r->minor = head->minor;
    r->params = (uint8_t)match->params;
    for (int i = 0; i < match->params && i < CV_PARAMS; i++) {
        r->param[2 * i] = match->param[i].at;
        r->param[2 * i + 1] = match->param[i].size;
    }
    r->port = c->port;
    r->family = c->family;
    r->listener = c->listener;
    memcpy(r->peer, c->peer, sizeof r->peer);
    r->arrived = (double)(core->now - core->skew) / 1e9;
    const cv_arguments *arguments = cv_routes_arguments(core->routes, match->route);
    if (arguments)
        cv_arguments_read(arguments, at, head, match, r);
    else
        r->absent = -1;
}

enum body { BODY_NONE, BODY_WHOLE, BODY_PART };

/* Hand a request to Python. `body_size`: of a whole body, decoded, right behind the head; `next`:
 * where the next request begins behind it. */
static int hand_out(cv_core *core, cv_connection *c, const cv_head *head, const cv_match *match,
                    enum body body, uint32_t body_size, uint32_t next)
{
    cv_request *record = cv_arena_record(&core->arena, c->block);
    cv_exchange *x = cv_exchange_new(core, c);
    uint32_t slot = cv_exchange_slot(core, x);
    cv_request_fill(core, c, record, input(core, c), head, match);
    x->record = record;
    x->block = c->block;
    x->routes = core->routes;
    cv_routes_hold(core->routes);
    x->flags = CV_X_COUNTED;
    if (head->method == CV_METHOD_HEAD)
        x->flags |= CV_X_HEAD_ONLY;
    else if (head->method != CV_METHOD_GET && head->method != CV_METHOD_OPTIONS)
        x->flags |= CV_X_UNSAFE;
    if (body != BODY_NONE)
        x->flags |= CV_X_UNSAFE;
    if (head->flags & CV_HEAD_KEEP_ALIVE)
        x->flags |= CV_X_KEEP_ALIVE;
    if (head->minor == 0)
        x->flags |= CV_X_OLD;
    core->counters.requests++;
    core->counters.in_flight++;

    cv_event *event = cv_event_add(core, cv_exchange_handle(x, slot), CV_REQUEST);
    event->at = (uint32_t)((uint8_t *)record - core->arena.base);
    event->route = match->route;
    if (head->method == CV_METHOD_HEAD)
        event->flags = CV_HEAD_ONLY;
    if ((head->flags & (CV_HEAD_JSON | CV_HEAD_CODED)) == CV_HEAD_JSON)
        event->flags |= CV_BODY_JSON;
    consume(c, head->size);
    c->phase = CV_PHASE_HEAD;
    switch (body) {
    case BODY_NONE:
        event->flags |= CV_BODY_NONE;
        break;
    case BODY_WHOLE:
        event->flags |= CV_BODY_COMPLETE;
        event->size = record->body_size = body_size;
        c->from = next;
        c->decoded = 0;
        break;
    case BODY_PART:
        if (head->flags & CV_HEAD_EXPECT)
            x->flags |= CV_X_EXPECT;
        c->phase = CV_PHASE_BODY;
        c->reader = slot;
        return CV_STEP_REQUEST;
    }
    if (!(x->flags & CV_X_KEEP_ALIVE))
        c->phase = CV_PHASE_END;
    return CV_STEP_REQUEST;
}

/* A request with a body that Python answers, seen for the first time. */
static int with_body(cv_core *core, cv_connection *c, const cv_head *head, const cv_match *match)
{
    int wait = (match->flags & CV_ROUTE_WAIT) && !(head->flags & CV_HEAD_EXPECT);
    uint32_t usable = core->arena.usable;
    begin_body(c, head);
    if (c->flags & CV_C_CHUNKED) {
        uint32_t next = 0;
        int whole = decode_in_place(core, c, head->size, &next);
        if (whole < 0) {
            core->counters.malformed++;
            cv_connection_refuse(core, c, -whole);
            return CV_STEP_ON;
        }
        if (whole)
            return hand_out(core, c, head, match, BODY_WHOLE, c->decoded, next);
        if (wait && head->size + c->decoded + SLACK < usable) {
            c->phase = CV_PHASE_WAIT;
            c->need = head->size;
            memset(&c->progress, 0, sizeof c->progress);
            return CV_STEP_HUNGRY;
        }
        return hand_out(core, c, head, match, BODY_PART, 0, 0);
    }
    /* A length of 2^64 - 1 must not wrap around. */
    uint64_t here = c->to - c->from - head->size;
    if (here >= head->content_length)
        return hand_out(core, c, head, match, BODY_WHOLE, (uint32_t)head->content_length,
                        c->from + head->size + (uint32_t)head->content_length);
    if (wait && head->content_length <= usable - head->size) {
        c->phase = CV_PHASE_WAIT;
        c->need = head->size + (uint32_t)head->content_length;
        memset(&c->progress, 0, sizeof c->progress);
        return CV_STEP_HUNGRY;
    }
    return hand_out(core, c, head, match, BODY_PART, 0, 0);
}

/* Read the head and find what answers it. Returns CV_STEP_ON when there is one. */
static int read_head(cv_core *core, cv_connection *c, cv_head *head, cv_match *match)
{
    int result = cv_head_read(input(core, c), c->to - c->from, &core->head_limits, &c->progress,
                              head);
    if (result == 0)
        return CV_STEP_HUNGRY;
    if (result < 0) {
        core->counters.malformed++;
        cv_connection_refuse(core, c, -result);
        return CV_STEP_HELD;
    }
    cv_routes_find(core->routes, input(core, c), head, match);
    return CV_STEP_ON;
}

/* Whether a request can be handed out in this poll; returns the step, or CV_STEP_ON. */
static int room_for_event(const cv_core *core, const cv_connection *c)
{
    if (cv_events_full(core))
        return CV_STEP_BUSY;
    if (core->arena.blocks[c->block].records == UINT64_MAX >> (64 - core->arena.records))
        return CV_STEP_HELD; /* until one of this block is answered */
    return CV_STEP_ON;
}

/* The first bytes decide which protocol it is. */
static int first_step(cv_core *core, cv_connection *c)
{
    int is = cv_http2_is_preface(input(core, c), c->to - c->from);
    if (is < 0)
        return CV_STEP_HUNGRY;
    c->fresh = 0;
    if (!is)
        return CV_STEP_ON;
    if (cv_http2_begin(core, c) == 0)
        return CV_STEP_STREAMS;
    c->flags |= CV_C_BROKEN;
    return CV_STEP_HELD;
}

static int head_step(cv_core *core, cv_connection *c)
{
    if (c->fresh && c->from != c->to) {
        int first = first_step(core, c);
        if (first != CV_STEP_ON)
            return first;
    }
    skip_blank_lines(core, c);
    if (c->from == c->to)
        return CV_STEP_HUNGRY;
    int step = obstacle(core, c);
    if (step != CV_STEP_ON)
        return step;
    cv_head head;
    cv_match match;
    step = read_head(core, c, &head, &match);
    if (step != CV_STEP_ON)
        return step;
    int asked = head.flags & CV_HEAD_UPGRADES ? cv_handshake_read(input(core, c), &head) : 0;
    if (asked < 0) {
        core->counters.malformed++;
        cv_connection_refuse(core, c, -asked);
        return CV_STEP_HELD;
    }
    /* What has come behind it may be frames, and is no request even if it is refused. */
    if (asked) {
        head.flags &= (uint16_t)~CV_HEAD_KEEP_ALIVE;
        cv_routes_upgrade(core->routes, &match);
    }
    cv_file_reply reply;
    if (match.folder && cv_file_decide(core, input(core, c), &head, &match, &reply))
        return native_file(core, c, &head, &reply);
    if (match.answer)
        return native(core, c, &head, &match);
    step = asked && c->first ? CV_STEP_HELD : room_for_event(core, c);
    if (step != CV_STEP_ON) {
        memset(&c->progress, 0, sizeof c->progress);
        return step;
    }
    if (asked) {
        hand_out(core, c, &head, &match, BODY_NONE, 0, 0);
        core->exchanges[c->last].flags |= CV_X_UPGRADE;
        core->events[core->event_count - 1].flags |= CV_UPGRADE;
        c->phase = CV_PHASE_UPGRADE;
        return CV_STEP_REQUEST;
    }
    if (has_body(&head))
        return with_body(core, c, &head, &match);
    return hand_out(core, c, &head, &match, BODY_NONE, 0, 0);
}

/* The head is still in its place, before what has come of the body. It is read a second time when
 * the body is complete: cheaper than keeping what was found in every connection. */
static int wait_step(cv_core *core, cv_connection *c)
{
    int chunked = c->flags & CV_C_CHUNKED, waited = c->flags & CV_C_WAITED;
    uint32_t here = c->to - c->from, next = 0;
    if (!waited && (here < c->need || (chunked && here == c->need + c->decoded)))
        return CV_STEP_HUNGRY;
    int step = obstacle(core, c);
    if (step == CV_STEP_ON)
        step = room_for_event(core, c);
    if (step != CV_STEP_ON)
        return step;
    enum body body = BODY_WHOLE;
    if (chunked) {
        int whole = decode_in_place(core, c, c->need, &next);
        if (whole < 0) {
            core->counters.malformed++;
            cv_connection_refuse(core, c, -whole);
            return CV_STEP_HELD;
        }
        if (!whole && !waited && c->need + c->decoded + SLACK < core->arena.usable)
            return CV_STEP_HUNGRY;
        if (!whole)
            body = BODY_PART;
    } else if (here < c->need) {
        body = BODY_PART;
    }
    cv_head head;
    cv_match match;
    uint32_t head_size = c->need;
    step = read_head(core, c, &head, &match);
    if (step != CV_STEP_ON)
        return step;
    if (!chunked)
        head_size = head.size;
    if (!chunked && body == BODY_WHOLE) {
        c->decoded = (uint32_t)head.content_length;
        next = c->from + c->need;
    }
    if (!match.answer)
        return hand_out(core, c, &head, &match, body, body == BODY_WHOLE ? c->decoded : 0, next);
    /* The table has changed in the meantime. What was decoded of a body in part is not passed over. */
    head.flags &= (uint16_t)~(CV_HEAD_CHUNKED | CV_HEAD_LENGTH);
    if (body == BODY_PART) {
        head.flags &= (uint16_t)~CV_HEAD_KEEP_ALIVE;
        c->flags |= CV_C_OURS;
    } else {
        c->phase = CV_PHASE_HEAD;
    }
    uint32_t at = c->from;
    step = native(core, c, &head, &match);
    c->decoded = 0;
    c->from = body == BODY_WHOLE ? next : at + head_size;
    return step;
}

static int body_step(cv_core *core, cv_connection *c)
{
    cv_exchange *x = &core->exchanges[c->reader];
    uint32_t here = c->to - c->from;
    if (!(x->flags & CV_X_READING)) {
        if (c->flags & CV_C_EOF && !(c->flags & CV_C_CHUNKED) && here < c->body_left)
            cv_exchange_tell_gone(core, x, CV_GONE_CLOSED);
        return CV_STEP_HELD;
    }
    if (!here)
        return CV_STEP_HUNGRY;
    if (cv_events_full(core))
        return CV_STEP_BUSY;
    uint32_t at = c->from, size;
    int last = 0;
    if (c->decoded) {
        size = c->decoded;
        c->from += size;
        c->decoded = 0;
    } else if (c->flags & CV_C_CHUNKED) {
        uint32_t next = 0;
        int whole = decode_in_place(core, c, 0, &next);
        size = c->decoded;
        c->decoded = 0;
        if (whole < 0) {
            core->counters.malformed++;
            cv_body_broken(core, c, -whole, CV_GONE_MALFORMED);
            return CV_STEP_ON;
        }
        last = whole;
        c->from = whole ? next : c->to;
        if (!size && !last)
            return CV_STEP_HUNGRY;
    } else {
        size = here < c->body_left ? here : (uint32_t)c->body_left;
        c->from += size;
        c->body_left -= size;
        last = c->body_left == 0;
    }
    cv_event *event = cv_event_add(core, cv_exchange_handle(x, c->reader), CV_BODY);
    event->at = (uint32_t)(cv_arena_at(&core->arena, c->block) + at - core->arena.base);
    event->size = size;
    cv_arena_lend(&core->arena, c->block);
    core->lent[core->lent_count++] = c->block;
    x->flags &= ~(uint32_t)(CV_X_READING | CV_X_EXPECT);
    if (last) {
        event->flags = CV_BODY_COMPLETE;
        c->reader = 0;
        c->phase = x->flags & CV_X_KEEP_ALIVE ? CV_PHASE_HEAD : CV_PHASE_END;
    }
    return CV_STEP_ON;
}

static int discard_step(cv_connection *c)
{
    uint32_t here = c->to - c->from;
    if (here < c->body_left) {
        c->body_left -= here;
        c->from = c->to;
        return CV_STEP_HUNGRY;
    }
    c->from += (uint32_t)c->body_left;
    c->body_left = 0;
    c->phase = CV_PHASE_HEAD;
    return CV_STEP_ON;
}

int cv_request_step(cv_core *core, cv_connection *c)
{
    switch (c->phase) {
    case CV_PHASE_HEAD:
        return head_step(core, c);
    case CV_PHASE_WAIT:
        return wait_step(core, c);
    case CV_PHASE_BODY:
        return body_step(core, c);
    case CV_PHASE_DISCARD:
        return discard_step(c);
    case CV_PHASE_UPGRADE:
        if (c->flags & CV_C_EOF)
            cv_exchange_tell_gone(core, &core->exchanges[c->first], CV_GONE_CLOSED);
        return CV_STEP_HELD;
    case CV_PHASE_WEBSOCKET:
        return cv_websocket_step(core, c);
    default:
        c->from = c->to; /* whatever comes now is not looked at */
        return CV_STEP_HUNGRY;
    }
}

void cv_body_broken(cv_core *core, cv_connection *c, int status, int why)
{
    cv_exchange *x = &core->exchanges[c->reader];
    c->reader = 0;
    c->phase = CV_PHASE_END;
    c->from = c->to;
    c->decoded = 0;
    c->flags |= CV_C_OURS;
    x->flags |= CV_X_CLOSE;
    if (x->flags & CV_X_READING) {
        x->flags &= ~(uint32_t)CV_X_READING;
        cv_exchange_tell(core, x, CV_TELL_BODY_BROKEN);
    }
    cv_exchange_tell_gone(core, x, why);
    if (x->state != CV_WAITING)
        return; /* the answer has begun: it goes on, and then the connection ends */
    /* We answer in its place. It is the last of its connection: nothing is parsed behind a body. */
    uint32_t slot = cv_exchange_slot(core, x);
    cv_exchange_log(core, x, status);
    if (c->first == slot) {
        c->first = c->last = 0;
    } else {
        cv_exchange *before = &core->exchanges[c->first];
        while (before->next != slot)
            before = &core->exchanges[before->next];
        before->next = 0;
        c->last = (uint32_t)(before - core->exchanges);
    }
    c->pipelined--;
    cv_exchange_detach(core, x, why);
    c->refusal = (uint16_t)status;
    cv_reply_advance(core, c);
}

void cv_request_ended(cv_core *core, cv_connection *c)
{
    switch (c->phase) {
    case CV_PHASE_WAIT:
        cv_connection_refuse(core, c, 400);
        return;
    case CV_PHASE_BODY:
        cv_body_broken(core, c, 400, CV_GONE_CLOSED);
        return;
    case CV_PHASE_WEBSOCKET:
        cv_websocket_ended(core, c);
        return;
    default:
        break;
    }
    c->phase = CV_PHASE_END;
    c->from = c->to;
    for (uint32_t slot = c->first; slot; slot = core->exchanges[slot].next)
        cv_exchange_tell_gone(core, &core->exchanges[slot], CV_GONE_CLOSED);
}
