#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "http2_session.h"
#include "output.h"
#include "reply.h"

enum {
    FIELDS = 32,
    COPIED = 4096, /* pieces of a stream below this are put together first */
    PROGRESS = 1024 /* a stream is not held up if so much of it has left since */
};

/* The head of an answer */

typedef struct lines {
    cv_http2_kit *kit;
    size_t count;
    int failed; /* there was no memory for a few bytes */
    char status[4], length[24];
} lines;

static void add(lines *to, const void *name, size_t name_size, const void *value, size_t value_size)
{
    cv_http2_kit *kit = to->kit;
    if (to->count == kit->fields_room) {
        uint32_t room = kit->fields_room ? 2 * kit->fields_room : FIELDS;
        nghttp2_nv *fields = realloc(kit->fields, room * sizeof *fields);
        if (!fields) {
            to->failed = 1;
            return;
        }
        kit->fields = fields;
        kit->fields_room = room;
    }
    nghttp2_nv *field = &kit->fields[to->count++];
    field->name = (uint8_t *)(uintptr_t)name; /* the library copies them, names in lower case */
    field->namelen = name_size;
    field->value = (uint8_t *)(uintptr_t)value;
    field->valuelen = value_size;
    field->flags = 0;
}

static void begin_lines(lines *to, cv_http2_kit *kit, int status)
{
    to->kit = kit;
    to->count = 0;
    to->failed = 0;
    for (int i = 2, rest = status; i >= 0; i--, rest /= 10)
        to->status[i] = (char)('0' + rest % 10);
    add(to, ":status", 7, to->status, 3);
}

static int is(const uint8_t *at, size_t size, const char *lower)
{
    for (size_t i = 0; i < size; i++)
        if ((at[i] >= 'A' && at[i] <= 'Z' ? at[i] | 0x20 : at[i]) != (uint8_t)lower[i])
            return 0;
    return 1;
}

/* Fields that are the connection's (RFC 9113, 8.2.2), and the length, which we add. */
static int is_left_out(const uint8_t *name, size_t size)
{
    switch (size) {
    case 7:
        return is(name, 7, "upgrade");
    case 10:
        return is(name, 10, "connection") || is(name, 10, "keep-alive");
    case 14:
        return is(name, 14, "content-length");
    case 16:
        return is(name, 16, "proxy-connection");
    case 17:
        return is(name, 17, "transfer-encoding");
    default:
        return 0;
    }
}

/* Lines that were checked, each with its CRLF. */
static void add_lines(lines *to, const uint8_t *at, size_t size)
{
    const uint8_t *end = at + size;
    while (at < end) {
        const uint8_t *stop = memchr(at, '\r', (size_t)(end - at));
        const uint8_t *colon = stop ? memchr(at, ':', (size_t)(stop - at)) : NULL;
        if (!colon)
            return;
        const uint8_t *value = colon + 1, *value_end = stop;
        while (value < stop && (*value == ' ' || *value == '\t'))
            value++;
        while (value_end > value && (value_end[-1] == ' ' || value_end[-1] == '\t'))
            value_end--;
        if (!is_left_out(at, (size_t)(colon - at)))
            add(to, at, (size_t)(colon - at), value, (size_t)(value_end - value));
        at = stop + 2;
    }
}

/* Of a head as templates and prepared answers have it: behind its status line. */
static void add_head(lines *to, const uint8_t *head, size_t size)
{
    const uint8_t *line = memchr(head, '\n', size);
    if (line)
        add_lines(to, line + 1, size - (size_t)(line + 1 - head));
}

static void add_date(lines *to, const cv_core *core)
{
    static const size_t name = sizeof "date: " - 1;
    add(to, "date", 4, core->date.line + name, CV_DATE_SIZE - name - 2);
}

static void add_length(lines *to, uint64_t length)
{
    int size = snprintf(to->length, sizeof to->length, "%llu", (unsigned long long)length);
    add(to, "content-length", 14, to->length, (size_t)size);
}

static void count_status(cv_core *core, int status)
{
    int hundreds = status / 100;
    core->counters.status[hundreds >= 1 && hundreds <= 5 ? hundreds : 0]++;
}

static void submit(cv_http2 *h, cv_stream *s, const lines *head,
                   const nghttp2_data_provider *provider)
{
    s->flags |= CV_S_ANSWERED;
    if (head->failed)
        h->failed = 1;
    cv_http2_check(h, h->core->http2->lib->submit_response(h->session, s->id, head->kit->fields,
                                                           head->count, provider));
}

/* Frame the head; without a body the answer ends with it. */
static void respond(cv_http2 *h, cv_stream *s, const lines *head, int body)
{
    nghttp2_data_provider provider = {{.ptr = s}, cv_stream_frame};
    submit(h, s, head, body ? &provider : NULL);
}

/* The body of an answer */

static void set_write_timer(cv_http2 *h, cv_stream *s)
{
    cv_core *core = h->core;
    if (!cv_stream_pending(s)) {
        cv_timer_stop(&s->output);
    } else if (s->output.kind == CV_TIMER_NONE || s->moved >= PROGRESS) {
        s->moved = 0;
        cv_timer_start(&core->timers, &s->output, CV_TIMER_STREAM_WRITE, core->now);
    }
}

static void credit(cv_http2 *h, cv_stream *s)
{
    cv_exchange *x = cv_stream_exchange(h->core, s);
    if (x && x->state == CV_STREAMING)
        cv_credit_give(h->core, x, cv_stream_pending(s));
}

static void end_with_trailers(cv_http2 *h, cv_stream *s, uint32_t *flags)
{
    lines fields = {.kit = h->core->http2};
    add_lines(&fields, s->trailers, s->trailers_size);
    *flags |= CV_NGHTTP2_NO_END_STREAM;
    cv_http2_check(h, fields.kit->lib->submit_trailer(h->session, s->id, fields.kit->fields,
                                                      fields.count));
}

ssize_t cv_stream_frame(nghttp2_session *session, int32_t id, uint8_t *into, size_t size,
                        uint32_t *flags, nghttp2_data_source *source, void *user)
{
    cv_http2 *h = user;
    cv_core *core = h->core;
    cv_stream *s = source->ptr;
    size_t done = 0;
    struct iovec piece;
    cv_piece file;
    (void)session, (void)id;
    while (done < size && s->out.size) {
        size_t part = size - done;
        if (cv_queue_file(&s->out, &file)) {
            if (file.size < part)
                part = (size_t)file.size;
            if (cv_file_read(file.file, into + done, part, file.at) != (int64_t)part) {
                core->counters.aborted++; /* it is shorter than what was promised */
                return CV_NGHTTP2_STREAM_FAILED;
            }
            s->filed -= part;
        } else {
            cv_queue_pieces(&s->out, &piece, 1);
            if (piece.iov_len < part)
                part = piece.iov_len;
            memcpy(into + done, piece.iov_base, part);
            h->queued -= part;
        }
        cv_queue_drop(&s->out, &core->budget, part);
        done += part;
    }
    if (s->direct_size && done < size) {
        size_t part = s->direct_size < size - done ? s->direct_size : size - done;
        memcpy(into + done, s->direct, part);
        s->direct += part;
        s->direct_size -= part;
        done += part;
    }
    s->moved += (uint32_t)done;
    credit(h, s);
    set_write_timer(h, s);
    if (!cv_stream_pending(s)) {
        if (s->flags & CV_S_LAST) {
            *flags |= CV_NGHTTP2_EOF;
            if (s->trailers)
                end_with_trailers(h, s, flags);
        } else if (!done) {
            s->flags |= CV_S_DEFERRED;
            return CV_NGHTTP2_DEFERRED;
        }
    }
    return (ssize_t)done;
}

static void overwhelmed(cv_http2 *h, cv_stream *s)
{
    cv_stream_detach(h, s, CV_GONE_CLOSED);
    cv_stream_reset(h, s, CV_HTTP2_INTERNAL_ERROR);
}

static void forget_output(cv_http2 *h, cv_stream *s)
{
    h->queued -= s->out.size - s->filed;
    s->filed = 0;
    cv_queue_clear(&s->out, &h->core->budget);
}

/* There is no memory for more of it. */
static void give_up(cv_http2 *h, cv_stream *s)
{
    forget_output(h, s);
    overwhelmed(h, s);
}

void cv_stream_strand(cv_http2 *h, cv_stream *s)
{
    cv_stream_detach(h, s, CV_GONE_CLOSED);
    cv_tunnel_lost(h, s);
    forget_output(h, s);
    s->direct = NULL;
    s->direct_size = 0;
    cv_link_out(&s->lent);
    cv_timer_stop(&s->output);
    cv_stream_reset(h, s, CV_HTTP2_CANCEL);
}

static void keep(cv_http2 *h, cv_stream *s, const void *bytes, size_t size)
{
    if (!size)
        return;
    if (cv_queue_add(&s->out, &h->core->budget, bytes, size) < 0)
        give_up(h, s);
    else
        h->queued += size;
}

static void keep_file(cv_http2 *h, cv_stream *s, cv_file *file, uint64_t at, uint64_t size)
{
    if (!size)
        return;
    if (cv_queue_add_file(&s->out, &h->core->budget, file, at, size) < 0)
        give_up(h, s);
    else
        s->filed += size;
}

void cv_stream_keep(cv_http2 *h, cv_stream *s)
{
    size_t size = s->direct_size;
    s->direct_size = 0;
    cv_link_out(&s->lent);
    keep(h, s, s->direct, size);
    s->direct = NULL;
}

void cv_stream_resume(cv_http2 *h, cv_stream *s)
{
    if (!(s->flags & CV_S_DEFERRED))
        return;
    s->flags &= ~(uint32_t)CV_S_DEFERRED;
    h->core->http2->lib->session_resume_data(h->session, s->id);
}

void cv_stream_finish(cv_http2 *h, cv_stream *s)
{
    cv_core *core = h->core;
    s->flags |= CV_S_LAST;
    /* The library keeps back even an end that carries nothing, where the window is shut. */
    if (s->output.kind == CV_TIMER_NONE)
        cv_timer_start(&core->timers, &s->output, CV_TIMER_STREAM_WRITE, core->now);
    cv_stream_resume(h, s);
}

/* More of the body, valid until the turn ends. */
static void send(cv_http2 *h, cv_stream *s, const uint8_t *bytes, size_t size)
{
    if (s->direct_size)
        cv_stream_keep(h, s);
    if (!s->out.size && (size >= COPIED || (s->flags & CV_S_LAST))) {
        s->direct = bytes;
        s->direct_size = size;
        if (size)
            cv_link_to(&h->lent, &s->lent);
    } else {
        keep(h, s, bytes, size);
    }
    set_write_timer(h, s);
    cv_stream_resume(h, s);
}

void cv_stream_native(cv_http2 *h, cv_stream *s, const cv_answer *answer, uint32_t flags)
{
    cv_core *core = h->core;
    lines head;
    int status = answer->status;
    size_t body_size = answer->body_size;
    if (flags & CV_X_UNMODIFIED) {
        status = 304;
        body_size = 0;
    }
    begin_lines(&head, core->http2, status);
    if (flags & CV_X_UNMODIFIED)
        add_head(&head, answer->unmodified, answer->unmodified_size);
    else
        add_head(&head, answer->head, answer->head_size);
    add_date(&head, core);
    if (status != 204 && status != 304)
        add_length(&head, body_size);
    if (flags & CV_X_HEAD_ONLY)
        body_size = 0;
    if (body_size) {
        s->direct = answer->body;
        s->direct_size = body_size;
            s->routes = core->routes;
        cv_routes_hold(core->routes);
    }
    s->flags |= CV_S_LAST;
    cv_stream_discard(h, s);
    respond(h, s, &head, body_size != 0);
    count_status(core, status);
    cv_served_add(core, core->readable);
}

void cv_stream_file(cv_http2 *h, cv_stream *s, cv_file_reply *reply, uint32_t flags)
{
    cv_core *core = h->core;
    lines head;
    char text[CV_FILE_HEAD];
    int body = reply->bytes && !(flags & CV_X_HEAD_ONLY);
    begin_lines(&head, core->http2, reply->status);
    add_head(&head, (const uint8_t *)text, cv_file_head(reply, text));
    add_date(&head, core);
    if (reply->status != 304)
        add_length(&head, reply->bytes);
    s->flags |= CV_S_LAST;
    cv_stream_discard(h, s);
    respond(h, s, &head, body);
    if (body && !reply->count)
        keep_file(h, s, reply->file, 0, reply->size);
    for (int i = 0; body && i < reply->count; i++) {
        const cv_range *range = &reply->ranges[i];
        if (reply->count > 1)
            keep(h, s, text, cv_file_part_head(reply, i, text));
        keep_file(h, s, reply->file, range->first, range->last - range->first + 1);
    }
    if (body && reply->count > 1)
        keep(h, s, text, cv_file_part_end(reply, text));
    cv_file_release(reply->file);
    set_write_timer(h, s);
    count_status(core, reply->status);
    cv_served_add(core, core->readable);
}

void cv_stream_bare(cv_http2 *h, cv_stream *s, int status)
{
    lines head;
    begin_lines(&head, h->core->http2, status);
    add_length(&head, 0);
    add_date(&head, h->core);
    cv_stream_discard(h, s);
    respond(h, s, &head, 0);
    count_status(h->core, status);
}

void cv_stream_opened(cv_http2 *h, cv_stream *s, const cv_opening *opening,
                      ssize_t (*frame)(nghttp2_session *session, int32_t id, uint8_t *into,
                                       size_t size, uint32_t *flags, nghttp2_data_source *source,
                                       void *user))
{
    lines head;
    nghttp2_data_provider provider = {{.ptr = s}, frame};
    begin_lines(&head, h->core->http2, 200);
    add_lines(&head, (const uint8_t *)opening->extension, opening->extension_size);
    add_lines(&head, opening->fields, opening->size);
    if (!opening->has_date)
        add_date(&head, h->core);
    submit(h, s, &head, &provider);
}

/* Python's part is over. */
static void answered(cv_http2 *h, cv_stream *s, cv_exchange *x)
{
    cv_core *core = h->core;
    s->exchange = 0;
    x->stream = NULL;
    cv_stream_discard(h, s);
    cv_served_add(core, x->readable);
    cv_exchange_answered(core, x);
    cv_exchange_release(core, x);
}

static void cut(cv_http2 *h, cv_stream *s, cv_exchange *x, int op)
{
    if (!(x->flags & CV_X_GONE))
        h->core->counters.aborted++;
    answered(h, s, x);
    cv_stream_reset(h, s, op == CV_DROP ? CV_HTTP2_CANCEL : CV_HTTP2_INTERNAL_ERROR);
}

void cv_stream_broken(cv_http2 *h, cv_stream *s, int status, int why)
{
    cv_exchange *x = cv_stream_exchange(h->core, s);
    if (!x)
        return;
    if (x->state == CV_WAITING) {
        cv_exchange_log(h->core, x, status);
        cv_stream_detach(h, s, why);
        cv_stream_bare(h, s, status);
        return;
    }
    x->flags &= ~(uint32_t)CV_X_READING; /* the answer has begun: it goes on */
    cv_exchange_tell(h->core, x, CV_TELL_BODY_BROKEN);
    cv_stream_discard(h, s);
}

static void refuse(cv_http2 *h, cv_stream *s, cv_exchange *x, int status)
{
    x->refused = (uint16_t)status;
    x->status = 500;
    cv_exchange_tell(h->core, x, CV_TELL_REFUSED);
    answered(h, s, x);
    cv_stream_bare(h, s, 500);
}

static void answer(cv_http2 *h, cv_stream *s, cv_exchange *x, const cv_reply *reply,
                   const uint8_t *body)
{
    cv_core *core = h->core;
    const cv_template *t = cv_routes_template(x->routes, reply->code);
    size_t size = reply->size;
    lines head;
    if (!t) {
        refuse(h, s, x, reply->code);
        return;
    }
    int bodiless = t->status == 204 || t->status == 304;
    begin_lines(&head, core->http2, t->status);
    add_head(&head, t->head, t->head_size);
    if (!bodiless)
        add_length(&head, size);
    add_date(&head, core);
    if (bodiless || (x->flags & CV_X_HEAD_ONLY))
        size = 0;
    x->status = t->status;
    x->bytes = size;
    count_status(core, t->status);
    s->flags |= CV_S_LAST;
    respond(h, s, &head, size != 0);
    answered(h, s, x);
    send(h, s, body, size);
}

static void finish(cv_http2 *h, cv_stream *s, cv_exchange *x)
{
    if (x->framing == CV_FRAMED_LENGTH && x->left) {
        cut(h, s, x, CV_CHUNK);
        return;
    }
    answered(h, s, x);
    cv_stream_finish(h, s);
}

static void chunk(cv_http2 *h, cv_stream *s, cv_exchange *x, const uint8_t *body, size_t size)
{
    x->streamed += size;
    if (x->framing == CV_FRAMED_NONE) {
        credit(h, s);
        return;
    }
    if (x->framing == CV_FRAMED_LENGTH) {
        if (size > x->left)
            size = x->left;
        x->left -= size;
    }
    x->bytes += size;
    if (size)
        send(h, s, body, size);
}

/* More than was promised. */
static int exceeds(const cv_exchange *x, uint64_t size)
{
    return x->framing == CV_FRAMED_LENGTH && size > x->left;
}

static void reply(cv_http2 *h, cv_stream *s, cv_exchange *x, const cv_reply *r,
                  const uint8_t *payload)
{
    cv_core *core = h->core;
    uint32_t fields_size;
    cv_fields fields;
    lines head;
    int status = r->code, more = r->flags & CV_MORE;
    if (r->size < 4) {
        refuse(h, s, x, status);
        return;
    }
    memcpy(&fields_size, payload, 4);
    if (fields_size > r->size - 4 || status < 200 || status > 999 ||
        cv_fields_check(payload + 4, fields_size, &fields) < 0) {
        refuse(h, s, x, status);
        return;
    }
    const uint8_t *body = payload + 4 + fields_size;
    size_t size = r->size - 4 - fields_size;
    int bodiless = status == 204 || status == 304 || status == 205;
    int head_only = x->flags & CV_X_HEAD_ONLY;
    begin_lines(&head, core->http2, status);
    add_lines(&head, payload + 4, fields_size);
    x->status = (uint16_t)status;
    x->framing = CV_FRAMED_NONE;
    if (status == 205) {
        add_length(&head, 0);
    } else if (bodiless) {
        if (status == 304 && fields.has_length)
            add_length(&head, fields.content_length);
    } else if (!more) {
        add_length(&head, head_only && fields.has_length ? fields.content_length : size);
    } else if (fields.has_length) {
        x->framing = CV_FRAMED_LENGTH;
        x->left = fields.content_length;
        add_length(&head, fields.content_length);
    } else {
        x->framing = CV_FRAMED_CHUNKED; /* as long as it will be */
    }
    if (head_only)
        x->framing = CV_FRAMED_NONE;
    if (!fields.has_date)
        add_date(&head, core);
    count_status(core, status);

    if (!more) {
        if (bodiless || head_only)
            size = 0;
        x->bytes = size;
        s->flags |= CV_S_LAST;
        respond(h, s, &head, size != 0);
        answered(h, s, x);
        send(h, s, body, size);
        return;
    }
    respond(h, s, &head, 1);
    x->state = CV_STREAMING;
    cv_timer_stop(&s->input);
    int too_much = exceeds(x, size);
    chunk(h, s, x, body, size);
    if (too_much && s->exchange)
        cut(h, s, x, CV_REPLY);
}

static void trailers(cv_http2 *h, cv_stream *s, cv_exchange *x, const cv_reply *r,
                     const uint8_t *payload)
{
    cv_core *core = h->core;
    if (cv_trailers_check(payload, r->size) < 0) {
        x->refused = x->status;
        cv_exchange_tell(core, x, CV_TELL_REFUSED);
        cut(h, s, x, CV_TRAILERS);
        return;
    }
    if (r->size && x->framing == CV_FRAMED_CHUNKED) {
        s->trailers = cv_budget_take(&core->budget, r->size);
        if (!s->trailers) {
            cut(h, s, x, CV_TRAILERS);
            return;
        }
        memcpy(s->trailers, payload, r->size);
        s->trailers_size = r->size;
    }
    finish(h, s, x);
}

/* The body is wanted: tell a client that waits to hear so. */
static void read_body(cv_http2 *h, cv_stream *s, cv_exchange *x)
{
    if (x->flags & CV_X_EXPECT) {
        x->flags &= ~(uint32_t)CV_X_EXPECT;
        if (x->state == CV_WAITING && !s->in.size && !(s->flags & CV_S_ENDED)) {
            lines head;
            begin_lines(&head, h->core->http2, 100);
            cv_http2_check(h, head.kit->lib->submit_headers(h->session, 0, s->id, NULL,
                                                            head.kit->fields, head.count, NULL));
            count_status(h->core, 100);
        }
    }
    cv_stream_read(h, s);
}

void cv_http2_apply_file(cv_connection *c, cv_exchange *x, cv_file *file, const cv_file_part *part)
{
    cv_http2 *h = c->http2;
    cv_stream *s = x->stream;
    if (!file || exceeds(x, part->size)) {
        cut(h, s, x, CV_FILE);
        return;
    }
    if (x->framing == CV_FRAMED_NONE)
        return;
    if (x->framing == CV_FRAMED_LENGTH)
        x->left -= part->size;
    x->bytes += part->size;
    if (s->direct_size)
        cv_stream_keep(h, s);
    if (!s->exchange)
        return; /* there was no room for what came before */
    keep_file(h, s, file, part->at, part->size);
    set_write_timer(h, s);
    cv_stream_resume(h, s);
}

void cv_http2_apply(cv_core *core, cv_connection *c, cv_exchange *x, const cv_reply *r,
                    const uint8_t *payload)
{
    cv_http2 *h = c->http2;
    cv_stream *s = x->stream;
    if (x->state == CV_STREAMING && (r->op == CV_ANSWER || r->op == CV_REPLY)) {
        cut(h, s, x, r->op); /* a second answer while one is on its way */
        return;
    }
    switch (r->op) {
    case CV_ANSWER:
        answer(h, s, x, r, payload);
        break;
    case CV_REPLY:
        reply(h, s, x, r, payload);
        break;
    case CV_CHUNK: {
        int too_much = exceeds(x, r->size);
        chunk(h, s, x, payload, r->size);
        if (!s->exchange)
            break; /* there was no room for it */
        if (too_much)
            cut(h, s, x, r->op);
        else if (!(r->flags & CV_MORE))
            finish(h, s, x);
        break;
    }
    case CV_TRAILERS:
        trailers(h, s, x, r, payload);
        break;
    case CV_READ:
        read_body(h, s, x);
        break;
    case CV_ACCEPT:
        if (cv_tunnel_open(h, s, x, r, payload) < 0)
            refuse(h, s, x, 200);
        break;
    case CV_ABORT:
        if (r->code)
            x->status = r->code;
        cut(h, s, x, r->op);
        break;
    case CV_DROP:
        cut(h, s, x, r->op);
        break;
    default:
        core->counters.stale++;
    }
}
