#include "reply.h"

#include <string.h>

#include "fields.h"
#include "file_put.h"
#include "http2.h"
#include "output.h"
#include "request.h"
#include "status.h"

#define TEXT(literal) literal, sizeof(literal) - 1

enum {
    LINES = 160, /* content-length, date, connection and the empty line */
    CHUNK_LINE = 24
};

static char *add(char *to, const void *bytes, size_t size)
{
    memcpy(to, bytes, size);
    return to + size;
}

static char *add_number(char *to, uint64_t number)
{
    char digits[20];
    int count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count)
        *to++ = digits[--count];
    return to;
}

static char *add_length(char *to, uint64_t length)
{
    to = add(to, TEXT("content-length: "));
    to = add_number(to, length);
    return add(to, "\r\n", 2);
}

char *cv_reply_end(const cv_core *core, char *to, int date, int close, int old)
{
    if (date)
        to = add(to, core->date.line, CV_DATE_SIZE);
    if (close)
        to = add(to, TEXT("connection: close\r\n"));
    else if (old)
        to = add(to, TEXT("connection: keep-alive\r\n"));
    return add(to, "\r\n", 2);
}

void cv_reply_count(cv_core *core, int status)
{
    int hundreds = status / 100;
    core->counters.status[hundreds >= 1 && hundreds <= 5 ? hundreds : 0]++;
}

/* Output of an exchange: to its connection, or kept until its turn. */
static void put(cv_core *core, cv_connection *c, cv_exchange *x, const void *bytes, size_t size)
{
    if (!size)
        return;
    if (c->first == cv_exchange_slot(core, x))
        cv_put(core, c, bytes, size);
    else if (cv_queue_add(&x->pending, &core->budget, bytes, size) < 0)
        c->flags |= CV_C_BROKEN;
}

int cv_reply_native(cv_core *core, cv_connection *c, const cv_answer *answer, uint32_t flags,
                    uint64_t *bytes)
{
    const uint8_t *head = answer->head, *body = answer->body;
    size_t head_size = answer->head_size, body_size = answer->body_size;
    int status = answer->status;
    if (flags & CV_X_UNMODIFIED) {
        head = answer->unmodified;
        head_size = answer->unmodified_size;
        body_size = 0;
        status = 304;
    } else if (flags & CV_X_HEAD_ONLY) {
        body_size = 0;
    }
    int close = !!(flags & CV_X_CLOSE), old = !!(flags & CV_X_OLD);
    char *place = (char *)cv_put_place(core, c, head_size + LINES + body_size);
    if (place) {
        char *to = add(place, head, head_size);
        to = cv_reply_end(core, to, 1, close, old);
        if (body_size)
            to = add(to, body, body_size);
        cv_put_done(core, (size_t)(to - place));
    } else {
        char lines[LINES];
        cv_put(core, c, head, head_size);
        cv_put(core, c, lines, (size_t)(cv_reply_end(core, lines, 1, close, old) - lines));
        cv_put(core, c, body, body_size);
    }
    cv_reply_count(core, status);
    *bytes = body_size;
    return status;
}

void cv_reply_bare(cv_core *core, cv_connection *c, int status, int close)
{
    char lines[LINES + 128], *to = lines;
    to += cv_status_line(to, status);
    if (status == 426)
        to = add(to, TEXT("upgrade: websocket\r\nsec-websocket-version: 13\r\n"));
    to = add(to, TEXT("content-length: 0\r\n"));
    to = cv_reply_end(core, to, 1, close, 0);
    cv_put(core, c, lines, (size_t)(to - lines));
    cv_reply_count(core, status);
}

static void interim(cv_core *core, cv_connection *c)
{
    cv_put(core, c, TEXT("HTTP/1.1 100 Continue\r\n\r\n"));
    cv_reply_count(core, 100);
}

/* The first exchange of the connection leaves it. Returns whether others may follow. */
static int leave(cv_core *core, cv_connection *c, cv_exchange *x)
{
    uint32_t flags = x->flags;
    c->first = x->next;
    if (!c->first)
        c->last = 0;
    c->pipelined--;
    c->flags |= CV_C_AGAIN;
    cv_exchange_release(core, x);
    if (!(flags & (CV_X_CLOSE | CV_X_CUT)))
        return 1;
    c->phase = CV_PHASE_END;
    c->refusal = 0;
    c->closing = CV_CLOSE_WRITTEN;
    if (flags & CV_X_RESET)
        c->closing = CV_CUT_NOW;
    if (flags & (CV_X_KEEP_ALIVE | CV_X_UPGRADE))
        c->flags |= CV_C_OURS;
    cv_connection_drop_exchanges(core, c, CV_GONE_CLOSED);
    return 0;
}

void cv_reply_advance(cv_core *core, cv_connection *c)
{
    while (c->first) {
        cv_exchange *x = &core->exchanges[c->first];
        if (x->pending.size)
            cv_put_queue(core, c, &x->pending);
        if (x->flags & CV_X_NATIVE && x->state == CV_WAITING) {
            if (x->answer) /* a file's was among what was pending */
                cv_reply_native(core, c, x->answer, x->flags, &x->bytes);
            cv_served_add(core, x->readable);
            cv_exchange_answered(core, x);
        }
        if (x->state != CV_DONE) {
            if (x->flags & CV_X_CONTINUE) {
                x->flags &= ~(uint32_t)CV_X_CONTINUE;
                if (x->state == CV_WAITING)
                    interim(core, c);
            }
            return;
        }
        if (!leave(core, c, x))
            return;
    }
    if (c->refusal && !c->closing) {
        cv_reply_bare(core, c, c->refusal, 1);
        c->refusal = 0;
        c->flags |= CV_C_OURS;
        c->closing = CV_CLOSE_WRITTEN;
    }
}

/* Python's part of this exchange is over. */
static void answered(cv_core *core, cv_connection *c, cv_exchange *x)
{
    if (c->reader == cv_exchange_slot(core, x) && !cv_body_rest(core, c, x))
        x->flags |= CV_X_CLOSE;
    cv_served_add(core, x->readable);
    cv_exchange_answered(core, x);
    c->flags |= CV_C_AGAIN;
    cv_reply_advance(core, c);
}

static void cut(cv_core *core, cv_connection *c, cv_exchange *x)
{
    if (!(x->flags & CV_X_GONE))
        core->counters.aborted++;
    x->flags |= CV_X_CUT;
    if (x->state == CV_STREAMING && x->framing == CV_FRAMED_CLOSE)
        x->flags |= CV_X_RESET;
    c->phase = CV_PHASE_END;
    c->reader = 0;
    cv_exchange_answered(core, x);
    cv_reply_advance(core, c);
}

/* Whether the connection ends with the answer that is framed now. */
static int closes(cv_core *core, cv_connection *c, cv_exchange *x, int flags)
{
    uint32_t slot = cv_exchange_slot(core, x);
    int close = !(x->flags & CV_X_KEEP_ALIVE) || (flags & CV_CLOSE);
    if (c->reader == slot && !(flags & CV_MORE) && !cv_body_rest(core, c, x))
        close = 1;
    if (core->stopping && c->last == slot && c->from == c->to && !c->refusal)
        close = 1;
    if (close) {
        x->flags |= CV_X_CLOSE;
        if (c->phase == CV_PHASE_HEAD || c->phase == CV_PHASE_DISCARD)
            c->phase = CV_PHASE_END;
    }
    return close;
}

static void refused(cv_core *core, cv_connection *c, cv_exchange *x, int status, int flags)
{
    char lines[LINES + 64], *to = lines;
    int close = closes(core, c, x, flags & CV_CLOSE);
    x->refused = (uint16_t)status;
    x->status = 500;
    cv_exchange_tell(core, x, CV_TELL_REFUSED);
    to += cv_status_line(to, 500);
    to = add(to, TEXT("content-length: 0\r\n"));
    to = cv_reply_end(core, to, 1, close, x->flags & CV_X_OLD);
    put(core, c, x, lines, (size_t)(to - lines));
    cv_reply_count(core, 500);
    answered(core, c, x);
}

static void answer(cv_core *core, cv_connection *c, cv_exchange *x, const cv_reply *reply,
                   const uint8_t *body)
{
    const cv_template *t = cv_routes_template(x->routes, reply->code);
    if (!t) {
        refused(core, c, x, reply->code, reply->flags);
        return;
    }
    int close = closes(core, c, x, reply->flags & CV_CLOSE);
    size_t size = reply->size;
    int bodiless = t->status == 204 || t->status == 304;
    char lines[LINES], *to = lines;
    if (!bodiless)
        to = add_length(to, size);
    to = cv_reply_end(core, to, 1, close, x->flags & CV_X_OLD);
    if (bodiless || x->flags & CV_X_HEAD_ONLY)
        size = 0;
    x->status = t->status;
    x->bytes = size;
    put(core, c, x, t->head, t->head_size);
    put(core, c, x, lines, (size_t)(to - lines));
    put(core, c, x, body, size);
    cv_reply_count(core, t->status);
    answered(core, c, x);
}

/* The line before a chunk, at the end of `line`. Returns where it begins. */
static int chunk_line(char line[CHUNK_LINE], uint64_t size)
{
    int at = CHUNK_LINE;
    line[--at] = '\n';
    line[--at] = '\r';
    for (uint64_t rest = size; rest; rest >>= 4)
        line[--at] = "0123456789abcdef"[rest & 15];
    return at;
}

static void chunk(cv_core *core, cv_connection *c, cv_exchange *x, const uint8_t *body, size_t size)
{
    x->streamed += size; /* credit is given when the turn ends */
    if (x->framing == CV_FRAMED_NONE)
        return;
    if (x->framing == CV_FRAMED_LENGTH) {
        if (size > x->left)
            size = x->left;
        x->left -= size;
    }
    x->bytes += size;
    if (!size)
        return;
    if (x->framing == CV_FRAMED_CHUNKED) {
        char line[CHUNK_LINE];
        int at = chunk_line(line, size);
        put(core, c, x, line + at, (size_t)(CHUNK_LINE - at));
        put(core, c, x, body, size);
        put(core, c, x, "\r\n", 2);
    } else {
        put(core, c, x, body, size);
    }
}

static void finish_stream(cv_core *core, cv_connection *c, cv_exchange *x, const uint8_t *trailers,
                          size_t size)
{
    if (x->framing == CV_FRAMED_LENGTH && x->left) {
        cut(core, c, x);
        return;
    }
    if (x->framing == CV_FRAMED_CHUNKED) {
        put(core, c, x, "0\r\n", 3);
        put(core, c, x, trailers, size);
        put(core, c, x, "\r\n", 2);
    }
    answered(core, c, x);
}

/* More than was promised: what was promised has left, but the answer is not what was meant. */
static int exceeds(const cv_exchange *x, uint64_t size)
{
    return x->framing == CV_FRAMED_LENGTH && size > x->left;
}

static void reply(cv_core *core, cv_connection *c, cv_exchange *x, const cv_reply *reply,
                  const uint8_t *payload)
{
    uint32_t fields_size;
    cv_fields fields;
    int status = reply->code, more = reply->flags & CV_MORE;
    if (reply->size < 4) {
        refused(core, c, x, status, reply->flags);
        return;
    }
    memcpy(&fields_size, payload, 4);
    if (fields_size > reply->size - 4 || status < 200 || status > 999 ||
        cv_fields_check(payload + 4, fields_size, &fields) < 0) {
        refused(core, c, x, status, reply->flags);
        return;
    }
    const uint8_t *body = payload + 4 + fields_size;
    size_t size = reply->size - 4 - fields_size;
    int bodiless = status == 204 || status == 304 || status == 205;
    int head_only = x->flags & CV_X_HEAD_ONLY;
    int flags = reply->flags | (fields.close ? CV_CLOSE : 0);
    int until_close = more && !bodiless && !fields.has_length && (x->flags & CV_X_OLD);
    if (until_close && !head_only)
        flags |= CV_CLOSE;
    int close = closes(core, c, x, flags);

    char lines[LINES + 64], *to = lines;
    put(core, c, x, lines, cv_status_line(lines, status));
    if (!fields.has_length && !fields.has_connection) {
        put(core, c, x, payload + 4, fields_size);
    } else {
        const uint8_t *at = payload + 4, *one;
        size_t one_size;
        while ((one = cv_fields_next(&at, body, &one_size)))
            put(core, c, x, one, one_size);
    }
    x->status = (uint16_t)status;
    x->framing = CV_FRAMED_NONE;
    if (status == 205) {
        to = add_length(to, 0);
    } else if (bodiless) {
        if (status == 304 && fields.has_length)
            to = add_length(to, fields.content_length);
    } else if (!more) {
        to = add_length(to, head_only && fields.has_length ? fields.content_length : size);
    } else if (fields.has_length) {
        x->framing = CV_FRAMED_LENGTH;
        x->left = fields.content_length;
        to = add_length(to, fields.content_length);
    } else if (until_close) {
        x->framing = CV_FRAMED_CLOSE;
    } else {
        x->framing = CV_FRAMED_CHUNKED;
        to = add(to, TEXT("transfer-encoding: chunked\r\n"));
    }
    if (head_only)
        x->framing = CV_FRAMED_NONE;
    to = cv_reply_end(core, to, !fields.has_date, close, x->flags & CV_X_OLD);
    put(core, c, x, lines, (size_t)(to - lines));
    cv_reply_count(core, status);

    if (!more) {
        if (!bodiless && !head_only) {
            x->bytes = size;
            put(core, c, x, body, size);
        }
        answered(core, c, x);
        return;
    }
    x->state = CV_STREAMING;
    int too_much = exceeds(x, size);
    chunk(core, c, x, body, size);
    if (too_much)
        cut(core, c, x);
}

static void read_body(cv_core *core, cv_connection *c, cv_exchange *x)
{
    uint32_t slot = cv_exchange_slot(core, x);
    if (c->reader != slot) {
        cv_exchange_tell(core, x, CV_TELL_BODY_END);
        return;
    }
    x->flags |= CV_X_READING;
    c->flags |= CV_C_AGAIN;
    if (x->flags & CV_X_EXPECT) {
        x->flags &= ~(uint32_t)CV_X_EXPECT;
        if (x->state == CV_WAITING && c->from == c->to && !c->decoded) {
            if (c->first == slot)
                interim(core, c);
            else
                x->flags |= CV_X_CONTINUE;
        }
    }
}

/* Bytes of a file are the next of an answer. */
static void part_of_file(cv_core *core, cv_connection *c, cv_exchange *x, cv_file *file,
                         const cv_file_part *part)
{
    if (!file || exceeds(x, part->size)) {
        cut(core, c, x);
        return;
    }
    if (x->framing == CV_FRAMED_NONE || !part->size)
        return;
    if (x->framing == CV_FRAMED_LENGTH)
        x->left -= part->size;
    x->bytes += part->size;
    int chunked = x->framing == CV_FRAMED_CHUNKED;
    if (chunked) {
        char line[CHUNK_LINE];
        int at = chunk_line(line, part->size);
        put(core, c, x, line + at, (size_t)(CHUNK_LINE - at));
    }
    cv_exchange *later = c->first == cv_exchange_slot(core, x) ? NULL : x;
    cv_put_span(core, c, later, file, part->at, part->size);
    if (chunked)
        put(core, c, x, "\r\n", 2);
}

static void apply_file(cv_core *core, const cv_reply *r, const uint8_t *payload)
{
    cv_exchange *x = cv_exchange_current(core, r->handle);
    cv_file_part part;
    if (r->size < sizeof part) {
        core->counters.stale++;
        return;
    }
    memcpy(&part, payload, sizeof part);
    cv_file *file = cv_files_adopt(&core->files, part.fd);
    if (!x || x->state != CV_STREAMING) {
        core->counters.stale++;
    } else if (x->connection) {
        cv_connection *c = &core->connections[x->connection];
        cv_turn_begin(core, c);
        if (x->stream)
            cv_http2_apply_file(c, x, file, &part);
        else
            part_of_file(core, c, x, file, &part);
    }
    if (file)
        cv_file_release(file);
}

/* Its connection is gone: nobody will read this. */
static void apply_detached(cv_core *core, cv_exchange *x, const cv_reply *reply)
{
    switch (reply->op) {
    case CV_REPLY:
    case CV_CHUNK:
        if (reply->flags & CV_MORE) {
            x->state = CV_STREAMING;
            x->room += reply->size;
            cv_exchange_tell(core, x, CV_TELL_ROOM);
            return;
        }
        break;
    case CV_READ:
        cv_exchange_tell(core, x, CV_TELL_BODY_BROKEN);
        return;
    case CV_ACCEPT:
        cv_websocket_too_late(core, x);
        return;
    }
    cv_exchange_answered(core, x);
    cv_exchange_release(core, x);
}

void cv_reply_apply(cv_core *core, const cv_reply *r, const uint8_t *payload)
{
    if (r->op == CV_FILE) {
        apply_file(core, r, payload);
        return;
    }
    if (r->op > CV_ACCEPT && r->op <= CV_LEAVE) {
        cv_websocket_apply(core, r, payload);
        return;
    }
    cv_exchange *x = cv_exchange_current(core, r->handle);
    if (!x || ((r->op == CV_CHUNK || r->op == CV_TRAILERS) && x->state != CV_STREAMING)) {
        core->counters.stale++;
        return;
    }
    if (r->op == CV_ARM) {
        uint32_t values[2];
        if (r->size >= sizeof values) {
            memcpy(values, payload, sizeof values);
            cv_deadline_set(&core->timers, cv_exchange_slot(core, x), values[0],
                            core->now + (cv_time)values[1] * 1000000);
        }
        return;
    }
    if (!x->connection) {
        apply_detached(core, x, r);
        return;
    }
    cv_connection *c = &core->connections[x->connection];
    cv_turn_begin(core, c);
    if (x->stream) {
        cv_http2_apply(core, c, x, r, payload);
        return;
    }
    if (x->state == CV_STREAMING && (r->op == CV_ANSWER || r->op == CV_REPLY)) {
        cut(core, c, x); /* a second answer while one is on its way */
        return;
    }
    switch (r->op) {
    case CV_ANSWER:
        answer(core, c, x, r, payload);
        break;
    case CV_REPLY:
        reply(core, c, x, r, payload);
        break;
    case CV_CHUNK:
        if (exceeds(x, r->size)) {
            chunk(core, c, x, payload, r->size);
            cut(core, c, x);
            break;
        }
        chunk(core, c, x, payload, r->size);
        if (!(r->flags & CV_MORE))
            finish_stream(core, c, x, NULL, 0);
        break;
    case CV_TRAILERS:
        if (cv_trailers_check(payload, r->size) < 0) {
            x->refused = x->status;
            cv_exchange_tell(core, x, CV_TELL_REFUSED);
            cut(core, c, x);
            break;
        }
        finish_stream(core, c, x, payload, r->size);
        break;
    case CV_READ:
        read_body(core, c, x);
        break;
    case CV_ACCEPT:
        if (cv_websocket_accept(core, c, x, r, payload) < 0)
            refused(core, c, x, 101, 0);
        break;
    case CV_ABORT:
        if (r->code)
            x->status = r->code; /* what the log says: the head, if it is out, said success */
        cut(core, c, x);
        break;
    case CV_DROP:
        cut(core, c, x);
        break;
    default:
        core->counters.stale++;
    }
}
