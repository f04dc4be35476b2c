#include <string.h>

#include "core.h"
#include "fields.h"
#include "handshake.h"
#include "output.h"
#include "websocket_parts.h"

#define TEXT(literal) literal, sizeof(literal) - 1

/* Output, in the connection's turn */

static int may_compress(const cv_core *core, const cv_websocket *ws, size_t size, int flags)
{
    return ws->terms.on && !(flags & CV_MESSAGE_PLAIN) && size > 0 &&
           size >= cv_limits_of(core, ws)->compress_from;
}

void cv_frame_put(cv_core *core, cv_connection *c, unsigned first, const uint8_t *payload,
                      size_t size)
{
    uint8_t head[CV_FRAME_HEAD];
    size_t head_size = cv_frame_head(head, first, size);
    cv_put(core, c, head, head_size);
    cv_put(core, c, payload, size);
    c->websocket->around += (int64_t)(head_size + size);
}

static unsigned first_byte(int flags)
{
    return CV_FRAME_FIN | (unsigned)(flags & CV_MESSAGE_TEXT ? CV_FRAME_TEXT : CV_FRAME_BINARY);
}

static void send_message(cv_core *core, cv_connection *c, cv_websocket *ws, int flags,
                         const uint8_t *payload, size_t size)
{
    unsigned first = first_byte(flags);
    size_t most = cv_deflate_most(size), made = 0;
    uint8_t *room = NULL;
    if (may_compress(core, ws, size, flags))
        room = cv_budget_take(&core->budget, most);
    if (room)
        made = cv_deflate_on(core, ws, payload, size, room);
    if (made)
        cv_frame_put(core, c, first | CV_FRAME_RSV1, room, made);
    else
        cv_frame_put(core, c, first, payload, size);
    cv_budget_give(&core->budget, room, most);
    ws->around -= (int64_t)(made ? made : size);
    ws->marked++;
    core->counters.messages_out++;
}

void cv_close_send(cv_core *core, cv_connection *c, cv_websocket *ws, unsigned code,
                       const uint8_t *reason, size_t size)
{
    uint8_t payload[CV_FRAME_CONTROL];
    if (ws->closing)
        return;
    ws->closing = 1;
    payload[0] = (uint8_t)(code >> 8);
    payload[1] = (uint8_t)code;
    if (size > sizeof payload - 2)
        size = 0;
    if (size)
        memcpy(payload + 2, reason, size);
    cv_frame_put(core, c, CV_FRAME_FIN | CV_FRAME_CLOSE, payload, code == CV_CLOSE_NONE ? 0 : 2 + size);
}

/* What Python submits */

int cv_websocket_prepare(cv_core *core, const cv_exchange *x, const cv_reply *reply,
                         const uint8_t *payload, cv_opening *opening)
{
    static const char *const ours[] = {"upgrade", "sec-websocket-accept",
                                       "sec-websocket-extensions"};
    cv_channel_limits limits;
    if (!(x->flags & CV_X_UPGRADE) || reply->size < sizeof limits)
        return -1;
    memcpy(&limits, payload, sizeof limits);
    if (limits.max_message > INT32_MAX)
        limits.max_message = INT32_MAX;
    const uint8_t *fields = payload + sizeof limits;
    size_t size = reply->size - sizeof limits;
    cv_fields found;
    if (cv_fields_check(fields, size, &found) < 0 || found.has_length || found.has_connection)
        return -1;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (cv_fields_have(fields, size, ours[i]))
            return -1;
    cv_websocket *ws = cv_budget_take(&core->budget, sizeof *ws);
    int set = ws ? cv_limits_join(core, &limits) : -1;
    if (set < 0) {
        cv_budget_give(&core->budget, ws, sizeof *ws);
        return -1;
    }
    *ws = (cv_websocket){.exchange = cv_exchange_slot(core, x), .limits = (uint8_t)set};
    opening->websocket = ws;
    opening->fields = fields;
    opening->size = size;
    opening->has_date = found.has_date;
    opening->extension_size = 0;
    const cv_request *r = x->record;
    cv_head head = {.size = r->head_size, .target = {r->target_at, r->target_size}};
    if (limits.compress)
        opening->extension_size =
            cv_deflate_negotiate(core->arena.base + r->head, &head, &core->websockets.policy,
                                 &ws->terms, opening->extension);
    return 0;
}

void cv_websocket_forget(cv_core *core, cv_websocket *ws)
{
    core->websockets.sets[ws->limits].users--;
    cv_budget_give(&core->budget, ws, sizeof *ws);
}

void cv_websocket_begin(cv_core *core, cv_connection *c, cv_exchange *x, cv_websocket *ws,
                        int status)
{
    core->counters.status[status / 100]++;
    core->counters.websockets++;
    cv_served_add(core, x->readable);
    x->status = (uint16_t)status;
    cv_exchange_opened(core, c, x);
    c->websocket = ws;
    c->phase = CV_PHASE_WEBSOCKET;
    c->flags |= CV_C_AGAIN;
}

int cv_websocket_accept(cv_core *core, cv_connection *c, cv_exchange *x, const cv_reply *reply,
                        const uint8_t *payload)
{
    cv_opening opening;
    if (cv_websocket_prepare(core, x, reply, payload, &opening) < 0)
        return -1;
    const cv_request *r = x->record;
    cv_head head = {.size = r->head_size, .target = {r->target_at, r->target_size}};
    char key[CV_ACCEPT_SIZE];
    cv_handshake_accept(core->arena.base + r->head, &head, key);
    cv_put(core, c, TEXT("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n"
                         "connection: upgrade\r\nsec-websocket-accept: "));
    cv_put(core, c, key, sizeof key);
    cv_put(core, c, "\r\n", 2);
    cv_put(core, c, opening.extension, opening.extension_size);
    cv_put(core, c, opening.fields, opening.size);
    if (!opening.has_date)
        cv_put(core, c, core->date.line, CV_DATE_SIZE);
    cv_put(core, c, "\r\n", 2);
    opening.websocket->around = (int64_t)cv_backlog(core, c);
    cv_websocket_begin(core, c, x, opening.websocket, 101);
    return 0;
}

void cv_websocket_too_late(cv_core *core, cv_exchange *x)
{
    x->state = CV_CHANNEL;
    x->flags &= ~(uint32_t)CV_X_GONE;
    cv_tell_closed(core, x, CV_CLOSE_ABNORMAL);
}

static int has_room(const cv_core *core, const cv_connection *c, uint32_t size)
{
    const cv_channel_limits *limits = cv_limits_of(core, c->websocket);
    return !c->out.size || (c->out.size + size <= limits->max_queue_bytes &&
                            c->out.marks < limits->max_queue_messages);
}

/* One message for many, in frames that all of them can be sent. */
typedef struct frames {
    const uint8_t *payload;
    uint32_t size;
    int flags;
    cv_shared *plain;
    cv_shared *deflated[CV_WINDOWS];
    uint32_t tried; /* a bit for each */
} frames;

static cv_shared *frame_of(cv_core *core, unsigned first, const uint8_t *payload, size_t size)
{
    uint8_t head[CV_FRAME_HEAD];
    size_t head_size = cv_frame_head(head, first, size);
    cv_shared *made = cv_shared_new(&core->budget, (uint32_t)(head_size + size));
    if (!made)
        return NULL;
    memcpy(made->bytes, head, head_size);
    if (size)
        memcpy(made->bytes + head_size, payload, size);
    return made;
}

static cv_shared *deflated_for(cv_core *core, frames *all, int bits)
{
    if (all->tried & 1u << bits)
        return all->deflated[bits];
    all->tried |= 1u << bits;
    size_t most = cv_deflate_most(all->size);
    uint8_t *room = cv_budget_take(&core->budget, most);
    size_t made = room ? cv_deflate_alone(core, bits, all->payload, all->size, room) : 0;
    if (made)
        all->deflated[bits] = frame_of(core, first_byte(all->flags) | CV_FRAME_RSV1, room, made);
    cv_budget_give(&core->budget, room, most);
    return all->deflated[bits];
}

static void send_shared(cv_core *core, cv_connection *c, cv_websocket *ws, frames *all)
{
    cv_shared *frame = NULL;
    if (may_compress(core, ws, all->size, all->flags))
        frame = deflated_for(core, all, ws->terms.bits_out);
    if (frame)
        ws->stale = 1;
    else if (!all->plain)
        all->plain = frame_of(core, first_byte(all->flags), all->payload, all->size);
    if (!frame)
        frame = all->plain;
    if (!frame)
        return;
    cv_put_shared(core, c, frame);
    ws->around += frame->bytes[1] < 126 ? 2 : frame->bytes[1] == 126 ? 4 : 10; /* its head */
    ws->marked++;
    core->counters.messages_out++;
}

static cv_exchange *channel(cv_core *core, uint64_t handle)
{
    uint32_t slot = (uint32_t)handle;
    if (slot == 0 || slot > core->fresh_exchange)
        return NULL;
    cv_exchange *x = &core->exchanges[slot];
    return x->generation == (uint32_t)(handle >> 32) && x->state == CV_CHANNEL ? x : NULL;
}

/* Begin the turn of a channel's connection, if it has one still: the end of another turn may be the end
 * of what carries it. */
static cv_connection *turn_of(cv_core *core, const cv_exchange *x)
{
    if (core->current && core->current->index != x->connection)
        cv_turn_end(core);
    if (!x->connection)
        return NULL;
    cv_connection *c = &core->connections[x->connection];
    cv_turn_begin(core, c);
    return c;
}

/* Whether a channel can be sent to; it is its connection's turn then. */
static cv_connection *begin(cv_core *core, const cv_exchange *x)
{
    cv_connection *c = turn_of(core, x);
    return c && !c->websocket->closing && !c->closing ? c : NULL;
}

uint32_t cv_websockets_send(cv_core *core, const uint64_t *handles, uint32_t count, int flags,
                            const uint8_t *message, uint32_t size, uint32_t *left_out)
{
    frames all = {.payload = message, .size = size, .flags = flags};
    uint32_t left = 0;
    for (uint32_t i = 0; i < count; i++) {
        const cv_exchange *x = channel(core, handles[i]);
        cv_connection *c = x ? begin(core, x) : NULL;
        if (c && has_room(core, c, size)) {
            send_shared(core, c, c->websocket, &all);
            continue;
        }
        core->counters.messages_left_out += c != NULL;
        left_out[left++] = i;
    }
    cv_turn_end(core);
    cv_shared_release(all.plain, &core->budget);
    for (int bits = 0; bits < CV_WINDOWS; bits++)
        cv_shared_release(all.deflated[bits], &core->budget);
    return left;
}

static void taken(cv_core *core, const cv_exchange *x, const cv_reply *reply, const uint8_t *payload)
{
    uint32_t values[2];
    if (!x->connection || reply->size < sizeof values)
        return;
    memcpy(values, payload, sizeof values);
    cv_connection *c = &core->connections[x->connection];
    cv_websocket *ws = c->websocket;
    ws->unread -= values[0] < ws->unread ? values[0] : ws->unread;
    ws->unread_bytes -= values[1] < ws->unread_bytes ? values[1] : ws->unread_bytes;
    c = c->from == c->to ? NULL : turn_of(core, x);
    if (c)
        c->flags |= CV_C_AGAIN;
}

static void close_with(cv_core *core, const cv_exchange *x, const cv_reply *reply,
                       const uint8_t *payload)
{
    cv_connection *c = begin(core, x);
    if (!c)
        return;
    unsigned code = cv_close_code_is_valid(reply->code) ? reply->code : CV_CLOSE_NONE;
    cv_close_send(core, c, c->websocket, code, payload, reply->size);
    cv_stop_reading(core, c, c->websocket);
}

void cv_websocket_apply(cv_core *core, const cv_reply *reply, const uint8_t *payload)
{
    cv_exchange *x = channel(core, reply->handle);
    if (!x) {
        core->counters.stale++;
        return;
    }
    cv_connection *c;
    switch (reply->op) {
    case CV_SEND:
        c = begin(core, x);
        if (c)
            send_message(core, c, c->websocket, reply->flags, payload, reply->size);
        break;
    case CV_SHUT:
        close_with(core, x, reply, payload);
        break;
    case CV_TAKEN:
        taken(core, x, reply, payload);
        break;
    case CV_DRAIN:
        c = turn_of(core, x);
        if (c)
                c->websocket->drain = 1; /* looked at when the turn ends */
        break;
    case CV_PING:
        c = begin(core, x);
        if (c && reply->size == sizeof c->websocket->ping) {
            memcpy(&c->websocket->ping, payload, reply->size);
            cv_frame_put(core, c, CV_FRAME_FIN | CV_FRAME_PING, payload, reply->size);
        }
        break;
    case CV_CUT:
        if (x->connection)
            cv_connection_end(core, &core->connections[x->connection], CV_GONE_CLOSED, 1);
        break;
    case CV_LEAVE:
        close_with(core, x, reply, payload);
        if (x->connection) {
            core->connections[x->connection].websocket->exchange = 0;
            x->connection = 0;
        }
        cv_exchange_release(core, x);
        break;
    default:
        core->counters.stale++;
    }
}

void cv_websocket_wrote(cv_core *core, cv_connection *c)
{
    cv_websocket *ws = c->websocket;
    const cv_channel_limits *limits = cv_limits_of(core, ws);
    if (c->out.size && (ws->marked || ws->around))
        cv_queue_mark(&c->out, ws->marked, ws->around);
    ws->marked = 0;
    ws->around = 0;
    if (ws->drain && ws->exchange && 2 * c->out.size <= limits->max_queue_bytes &&
        2 * (uint64_t)c->out.marks <= limits->max_queue_messages) {
        ws->drain = 0;
        cv_exchange_tell(core, &core->exchanges[ws->exchange], CV_TELL_DRAINED);
    }
}

