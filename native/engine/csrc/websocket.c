#include "websocket.h"

#include <string.h>

#include "core.h"
#include "fields.h"
#include "handshake.h"
#include "output.h"
#include "reply.h"
#include "request.h"

#define TEXT(literal) literal, sizeof(literal) - 1

enum {
    CODED_MORE = 1024, /* bytes of a message that does not become smaller by compression */
    WINDOW = 10 /* seconds in which control frames are counted */
};

void cv_websockets_open(cv_core *core)
{
    const cv_options *o = &core->options;
    core->websockets.policy = (cv_deflate_policy){
        .keeps_out = o->compress_keeps_out,
        .keeps_in = o->compress_keeps_in,
        .bits_out = o->compress_bits_out < 9 || o->compress_bits_out > 15 ? 15 : o->compress_bits_out,
        .bits_in = o->compress_bits_in < 8 || o->compress_bits_in > 15 ? 15 : o->compress_bits_in,
        .level = o->compress_level > 9 ? 9 : o->compress_level,
        .memory = o->compress_memory < 1 || o->compress_memory > 9 ? 8 : o->compress_memory,
    };
}

void cv_websockets_close(cv_core *core)
{
    cv_websockets *all = &core->websockets;
    while (all->inflater_count)
        cv_inflater_free(all->inflaters[--all->inflater_count]);
    for (int bits = 0; bits < CV_WINDOWS; bits++)
        cv_deflater_free(all->deflaters[bits]);
    memset(all, 0, sizeof *all);
}

static const cv_channel_limits *limits_of(const cv_core *core, const cv_websocket *ws)
{
    return &core->websockets.sets[ws->limits].limits;
}

static cv_time length(double seconds)
{
    return seconds > 0 && seconds < 1e9 ? (cv_time)(seconds * 1e9) : CV_NEVER;
}

/* The set with these limits, with one user more; -1: there are too many others. */
static int join_set(cv_core *core, const cv_channel_limits *limits)
{
    cv_limit_set *sets = core->websockets.sets;
    int found = -1;
    for (int i = 0; i < CV_LIMIT_SETS; i++) {
        if (memcmp(&sets[i].limits, limits, sizeof *limits) == 0) {
            sets[i].users++;
            return i;
        }
        if (found < 0 && !sets[i].users)
            found = i;
    }
    if (found < 0)
        return -1;
    sets[found] = (cv_limit_set){.limits = *limits, .users = 1};
    cv_timers *timers = &core->timers;
    int base = CV_TIMER_CHANNEL + found * CV_CHANNEL_TIMERS;
    timers->length[base + CV_CHANNEL_PING] = length(limits->ping_interval);
    timers->length[base + CV_CHANNEL_PONG] = length(limits->ping_timeout);
    timers->length[base + CV_CHANNEL_MESSAGE] = length(limits->message_timeout);
    timers->length[base + CV_CHANNEL_CLOSE] = length(limits->close_timeout);
    if (timers->kinds < base + CV_CHANNEL_TIMERS)
        timers->kinds = base + CV_CHANNEL_TIMERS;
    return found;
}

/* Coders */

static cv_inflater *take_inflater(cv_core *core, cv_websocket *ws)
{
    cv_websockets *all = &core->websockets;
    if (ws->terms.keeps_in) {
        if (!ws->inflater)
            ws->inflater = cv_inflater_new(&core->budget, ws->terms.bits_in);
    } else if (!ws->inflater && all->inflater_count) {
        ws->inflater = all->inflaters[--all->inflater_count];
        cv_inflater_reset(ws->inflater);
    } else if (!ws->inflater) {
        ws->inflater = cv_inflater_new(&core->budget, 15);
    }
    return ws->inflater;
}

/* The message is over. */
static void give_inflater(cv_core *core, cv_websocket *ws)
{
    cv_websockets *all = &core->websockets;
    if (!ws->inflater || ws->terms.keeps_in)
        return;
    if (all->inflater_count < CV_INFLATERS)
        all->inflaters[all->inflater_count++] = ws->inflater;
    else
        cv_inflater_free(ws->inflater);
    ws->inflater = NULL;
}

static cv_deflater *deflater_of(cv_core *core, int bits)
{
    const cv_deflate_policy *policy = &core->websockets.policy;
    return cv_deflater_new(&core->budget, bits, policy->level, policy->memory);
}

/* Compress with nothing before, for any client whose server's window is as large. Returns the size, 0:
 * it is not worth it. */
static size_t deflate_alone(cv_core *core, int bits, const uint8_t *from, size_t size, uint8_t *to)
{
    cv_deflater **deflater = &core->websockets.deflaters[bits];
    if (!*deflater)
        *deflater = deflater_of(core, bits);
    if (!*deflater)
        return 0;
    size_t made = cv_deflate(*deflater, from, size, to, cv_deflate_most(size));
    cv_deflater_reset(*deflater);
    return made < size ? made : 0;
}

static size_t deflate_on(cv_core *core, cv_websocket *ws, const uint8_t *from, size_t size,
                         uint8_t *to)
{
    if (!ws->terms.keeps_out)
        return deflate_alone(core, ws->terms.bits_out, from, size, to);
    if (!ws->deflater)
        ws->deflater = deflater_of(core, ws->terms.bits_out);
    if (!ws->deflater)
        return 0;
    if (ws->stale)
        cv_deflater_reset(ws->deflater);
    /* Whatever is not sent as it was compressed is unknown to the client. */
    size_t made = cv_deflate(ws->deflater, from, size, to, cv_deflate_most(size));
    ws->stale = made == 0;
    return made;
}

/* Output, in the connection's turn */

static int may_compress(const cv_core *core, const cv_websocket *ws, size_t size, int flags)
{
    return ws->terms.on && !(flags & CV_MESSAGE_PLAIN) && size > 0 &&
           size >= limits_of(core, ws)->compress_from;
}

static void put_frame(cv_core *core, cv_connection *c, unsigned first, const uint8_t *payload,
                      size_t size)
{
    uint8_t head[CV_FRAME_HEAD];
    cv_put(core, c, head, cv_frame_head(head, first, size));
    cv_put(core, c, payload, size);
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
        made = deflate_on(core, ws, payload, size, room);
    if (made)
        put_frame(core, c, first | CV_FRAME_RSV1, room, made);
    else
        put_frame(core, c, first, payload, size);
    cv_budget_give(&core->budget, room, most);
    ws->marked++;
    core->counters.messages_out++;
}

static void send_close(cv_core *core, cv_connection *c, cv_websocket *ws, unsigned code,
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
    put_frame(core, c, CV_FRAME_FIN | CV_FRAME_CLOSE, payload, code == CV_CLOSE_NONE ? 0 : 2 + size);
}

/* What Python hears */

static void tell_closed(cv_core *core, cv_exchange *x, unsigned code)
{
    if (x->flags & CV_X_GONE)
        return;
    x->flags |= CV_X_GONE;
    x->close_code = (uint16_t)code;
    cv_exchange_tell(core, x, CV_TELL_CLOSED);
}

static cv_event *tell(cv_core *core, cv_connection *c, const cv_websocket *ws, int kind,
                      uint32_t block, uint32_t at, uint32_t size)
{
    cv_exchange *x = &core->exchanges[ws->exchange];
    cv_event *event = cv_event_add(core, cv_exchange_handle(x, ws->exchange), kind);
    event->at = (uint32_t)(cv_arena_at(&core->arena, block) + at - core->arena.base);
    event->size = size;
    if (size && block == c->block) {
        cv_arena_lend(&core->arena, block);
        core->lent[core->lent_count++] = block;
    }
    return event;
}

static void hand_out(cv_core *core, cv_connection *c, cv_websocket *ws, uint32_t block, uint32_t at,
                     uint32_t size, int last)
{
    cv_event *event = tell(core, c, ws, CV_MESSAGE, block, at, size);
    if (ws->opcode == CV_FRAME_TEXT)
        event->flags = CV_MESSAGE_TEXT;
    if (!last)
        event->flags |= CV_MESSAGE_MORE;
    else
        ws->unread++;
    ws->unread_bytes += size;
}

/* The end */

/* Nothing more is parsed. */
static void go_deaf(cv_connection *c, cv_websocket *ws)
{
    c->phase = CV_PHASE_END;
    c->from = c->to;
    c->decoded = ws->gap = 0;
}

static int fail(cv_core *core, cv_connection *c, unsigned code)
{
    cv_websocket *ws = c->websocket;
    core->counters.malformed++;
    send_close(core, c, ws, code, NULL, 0);
    if (ws->exchange)
        tell_closed(core, &core->exchanges[ws->exchange], code);
    go_deaf(c, ws);
    c->flags |= CV_C_OURS;
    c->closing = CV_CLOSE_WRITTEN;
    return CV_STEP_ON;
}

void cv_websocket_ended(cv_core *core, cv_connection *c)
{
    cv_websocket *ws = c->websocket;
    if (ws->exchange)
        tell_closed(core, &core->exchanges[ws->exchange], CV_CLOSE_ABNORMAL);
    go_deaf(c, ws);
    c->closing = CV_CLOSE_WRITTEN;
}

void cv_websocket_detach(cv_core *core, cv_connection *c)
{
    cv_websocket *ws = c->websocket;
    if (!ws)
        return;
    if (ws->exchange) {
        cv_exchange *x = &core->exchanges[ws->exchange];
        x->connection = 0;
        tell_closed(core, x, CV_CLOSE_ABNORMAL);
    }
    give_inflater(core, ws);
    cv_inflater_free(ws->inflater);
    cv_deflater_free(ws->deflater);
    core->websockets.sets[ws->limits].users--;
    cv_budget_give(&core->budget, ws, sizeof *ws);
    c->websocket = NULL;
    core->counters.websockets--;
}

/* Our side has said its last: what comes until the client's close frame goes nowhere. */
static void stop_reading(cv_core *core, cv_connection *c, cv_websocket *ws)
{
    c->from += c->decoded + ws->gap;
    c->decoded = ws->gap = 0;
    give_inflater(core, ws);
    c->flags |= CV_C_AGAIN;
}

/* Input */

static uint8_t *raw(const cv_core *core, const cv_connection *c)
{
    return cv_arena_at(&core->arena, c->block) + c->from + c->decoded + c->websocket->gap;
}

static uint32_t raw_size(const cv_connection *c)
{
    return c->to - c->from - c->decoded - c->websocket->gap;
}

/* Go behind so many bytes that are no message's. */
static void pass(cv_connection *c, cv_websocket *ws, uint32_t size)
{
    if (c->decoded) {
        ws->gap += size;
    } else {
        c->from += ws->gap + size;
        ws->gap = 0;
    }
}

static int heard_close(cv_core *core, cv_connection *c, cv_websocket *ws, uint8_t *payload,
                       uint32_t size)
{
    unsigned code = CV_CLOSE_NONE;
    cv_utf8 utf8 = {0};
    if (size) {
        code = size > 1 ? (unsigned)payload[0] << 8 | payload[1] : 0;
        if (!cv_close_code_is_valid(code))
            return fail(core, c, CV_CLOSE_PROTOCOL);
        if (cv_utf8_check(&utf8, payload + 2, size - 2) < 0 || !cv_utf8_ends(&utf8))
            return fail(core, c, CV_CLOSE_NOT_TEXT);
    }
    cv_exchange *x = &core->exchanges[ws->exchange];
    if (ws->exchange && !(x->flags & CV_X_GONE)) {
        uint32_t at = (uint32_t)(payload - cv_arena_at(&core->arena, c->block));
        x->flags |= CV_X_GONE;
        tell(core, c, ws, CV_CLOSED, c->block, size > 2 ? at + 2 : at, size > 2 ? size - 2 : 0)
            ->extra = code;
    }
    send_close(core, c, ws, code, NULL, 0);
    go_deaf(c, ws);
    c->closing = CV_CLOSE_WRITTEN;
    return CV_STEP_ON;
}

/* Count a frame that carries nothing of a message. */
static int is_flood(const cv_core *core, cv_websocket *ws)
{
    uint32_t window = (uint32_t)(core->now / (WINDOW * INT64_C(1000000000)));
    if (window != ws->window)
        ws->controls = 0;
    ws->window = window;
    return ++ws->controls > limits_of(core, ws)->max_control_frames;
}

static int control_step(cv_core *core, cv_connection *c, cv_websocket *ws, const cv_frame *frame)
{
    uint32_t size = (uint32_t)frame->size;
    if (raw_size(c) < frame->head + size)
        return CV_STEP_HUNGRY;
    if (frame->opcode == CV_FRAME_CLOSE && ws->exchange && cv_events_full(core))
        return CV_STEP_BUSY;
    if (is_flood(core, ws))
        return fail(core, c, CV_CLOSE_POLICY);
    uint8_t *payload = raw(core, c) + frame->head;
    cv_frame_unmask(payload, payload, size, frame->key, 0);
    if (frame->opcode == CV_FRAME_CLOSE)
        return heard_close(core, c, ws, payload, size);
    if (frame->opcode == CV_FRAME_PING && !ws->closing &&
        cv_backlog(core, c) < core->options.high_water)
        put_frame(core, c, CV_FRAME_FIN | CV_FRAME_PONG, payload, size);
    if (frame->opcode == CV_FRAME_PONG && ws->ping && ws->exchange && size == sizeof ws->ping &&
        memcmp(payload, &ws->ping, size) == 0) {
        cv_exchange *x = &core->exchanges[ws->exchange];
        x->ponged = ws->ping;
        ws->ping = 0;
        cv_exchange_tell(core, x, CV_TELL_PONG);
    }
    pass(c, ws, frame->head + size);
    return CV_STEP_ON;
}

static int frame_step(cv_core *core, cv_connection *c, cv_websocket *ws)
{
    const cv_options *o = &core->options;
    const cv_channel_limits *limits = limits_of(core, ws);
    uint32_t here = raw_size(c);
    cv_frame frame;
    int found = here ? cv_frame_read(raw(core, c), here, &frame) : 0;
    if (found == 0)
        return CV_STEP_HUNGRY;
    if (found < 0)
        return fail(core, c, CV_CLOSE_PROTOCOL);
    if (frame.opcode & 8)
        return control_step(core, c, ws, &frame);
    int begins = frame.opcode != CV_FRAME_CONTINUATION;
    if (begins == (ws->opcode != 0) || (frame.rsv1 && !(begins && ws->terms.on)))
        return fail(core, c, CV_CLOSE_PROTOCOL);
    if (begins) {
        if (!ws->closing && (ws->unread >= o->max_unread || ws->unread_bytes >= o->high_water))
            return CV_STEP_HELD;
        ws->size = ws->coded = 0;
        ws->fragments = 0;
        ws->tail = 0;
        ws->utf8 = (cv_utf8){0};
        ws->compressed = frame.rsv1;
        if (frame.rsv1 && !ws->closing && !take_inflater(core, ws))
            return fail(core, c, CV_CLOSE_FAILED);
        ws->opcode = frame.opcode;
    }
    uint64_t most = limits->max_message;
    if (ws->compressed)
        most += most / 8 + CODED_MORE;
    if (frame.size > most - ws->coded || ++ws->fragments > limits->max_fragments)
        return fail(core, c, CV_CLOSE_TOO_BIG);
    if (!frame.size && !begins && is_flood(core, ws))
        return fail(core, c, CV_CLOSE_POLICY);
    ws->coded += frame.size;
    ws->left = frame.size;
    ws->at = 0;
    ws->unmasked = 0;
    ws->fin = frame.fin;
    ws->in_frame = 1;
    memcpy(ws->key, frame.key, 4);
    pass(c, ws, frame.head);
    return CV_STEP_ON;
}

/* Room for what is inflated. Returns 0 if there is none in this poll. */
static int open_scratch(cv_core *core, const cv_connection *c)
{
    cv_websockets *all = &core->websockets;
    if (all->scratch && all->filled < core->arena.block_size)
        return 1;
    if (core->lent_count >= CV_LENT)
        return 0;
    uint32_t block = cv_arena_take(&core->arena, c->index);
    if (!block)
        return 0;
    cv_arena_lend(&core->arena, block);
    cv_arena_disown(&core->arena, block);
    core->lent[core->lent_count++] = block;
    all->scratch = block;
    all->filled = 0;
    return 1;
}

/* Inflate all of `*from`, handing out whole blocks; *begin is where in the scratch block that begins
 * which was not handed out. */
static int inflate_all(cv_core *core, cv_connection *c, cv_websocket *ws, const uint8_t **from,
                       const uint8_t *end, uint32_t *begin)
{
    cv_websockets *all = &core->websockets;
    uint64_t max_message = limits_of(core, ws)->max_message;
    for (;;) {
        if (*begin == all->filled && cv_events_full(core))
            return CV_STEP_BUSY;
        if (!all->scratch || all->filled == core->arena.block_size) {
            if (!open_scratch(core, c))
                return CV_STEP_BUSY;
            *begin = 0;
        }
        uint8_t *place = cv_arena_at(&core->arena, all->scratch) + all->filled, *to = place;
        uint64_t room = core->arena.block_size - all->filled, most = max_message + 1 - ws->size;
        if (room > most)
            room = most;
        if (cv_inflate(ws->inflater, from, end, &to, place + room) < 0)
            return fail(core, c, CV_CLOSE_PROTOCOL);
        uint32_t made = (uint32_t)(to - place);
        ws->size += made;
        all->filled += made;
        if (ws->size > max_message)
            return fail(core, c, CV_CLOSE_TOO_BIG);
        if (ws->opcode == CV_FRAME_TEXT && cv_utf8_check(&ws->utf8, place, made) < 0)
            return fail(core, c, CV_CLOSE_NOT_TEXT);
        if (all->filled == core->arena.block_size) {
            hand_out(core, c, ws, all->scratch, *begin, all->filled - *begin, 0);
            *begin = all->filled;
        } else if (*from == end) {
            return CV_STEP_HUNGRY;
        }
    }
}

/* Of a compressed message. Returns CV_STEP_ON once the frame is behind us, or the connection fails. */
static int inflate_step(cv_core *core, cv_connection *c, cv_websocket *ws)
{
    cv_websockets *all = &core->websockets;
    uint32_t here = raw_size(c), begin = all->filled;
    if (here > ws->left)
        here = (uint32_t)ws->left;
    int step = CV_STEP_HUNGRY;
    if (here) {
        uint8_t *start = raw(core, c);
        const uint8_t *from = start;
        cv_frame_unmask(start + ws->unmasked, start + ws->unmasked, here - ws->unmasked, ws->key,
                        ws->at + ws->unmasked);
        ws->unmasked = here;
        step = inflate_all(core, c, ws, &from, start + here, &begin);
        if (c->closing)
            return CV_STEP_ON;
        uint32_t used = (uint32_t)(from - start);
        ws->unmasked -= used;
        ws->left -= used;
        ws->at += used;
        c->from += used;
    }
    if (step == CV_STEP_HUNGRY && !ws->left && ws->fin) {
        const uint8_t *from = cv_deflate_tail + ws->tail;
        step = inflate_all(core, c, ws, &from, cv_deflate_tail + CV_DEFLATE_TAIL, &begin);
        if (c->closing)
            return CV_STEP_ON;
        ws->tail = (uint8_t)(from - cv_deflate_tail);
        if (step == CV_STEP_HUNGRY && begin == all->filled && cv_events_full(core))
            step = CV_STEP_BUSY;
        if (step == CV_STEP_HUNGRY) {
            if (ws->opcode == CV_FRAME_TEXT && !cv_utf8_ends(&ws->utf8))
                return fail(core, c, CV_CLOSE_NOT_TEXT);
            hand_out(core, c, ws, all->scratch, begin, all->filled - begin, 1);
            give_inflater(core, ws);
            return CV_STEP_ON;
        }
    }
    if (begin != all->filled)
        hand_out(core, c, ws, all->scratch, begin, all->filled - begin, 0);
    if (step == CV_STEP_HUNGRY && !ws->left)
        return CV_STEP_ON;
    return step;
}

/* Of a message that is not: its payload is put together where it has come. */
static int copy_step(cv_core *core, cv_connection *c, cv_websocket *ws)
{
    uint32_t here = raw_size(c);
    if (here > ws->left)
        here = (uint32_t)ws->left;
    if (here) {
        uint8_t *from = raw(core, c), *to = from - ws->gap;
        cv_frame_unmask(to, from, here, ws->key, ws->at);
        if (ws->opcode == CV_FRAME_TEXT && cv_utf8_check(&ws->utf8, to, here) < 0)
            return fail(core, c, CV_CLOSE_NOT_TEXT);
        c->decoded += here;
        ws->size += here;
        ws->left -= here;
        ws->at += here;
    }
    if (ws->left)
        return CV_STEP_HUNGRY;
    if (!ws->fin)
        return CV_STEP_ON;
    if (ws->opcode == CV_FRAME_TEXT && !cv_utf8_ends(&ws->utf8))
        return fail(core, c, CV_CLOSE_NOT_TEXT);
    if (cv_events_full(core))
        return CV_STEP_BUSY;
    hand_out(core, c, ws, c->block, c->from, c->decoded, 1);
    c->from += c->decoded + ws->gap;
    c->decoded = ws->gap = 0;
    return CV_STEP_ON;
}

static int throw_away(cv_connection *c, cv_websocket *ws)
{
    uint32_t here = raw_size(c);
    if (here > ws->left)
        here = (uint32_t)ws->left;
    c->from += here;
    ws->left -= here;
    return ws->left ? CV_STEP_HUNGRY : CV_STEP_ON;
}

static int payload_step(cv_core *core, cv_connection *c, cv_websocket *ws)
{
    int step = ws->closing      ? throw_away(c, ws)
               : ws->compressed ? inflate_step(core, c, ws)
                                : copy_step(core, c, ws);
    if (step != CV_STEP_ON || c->closing)
        return step;
    ws->in_frame = 0;
    if (!ws->fin)
        return CV_STEP_ON;
    ws->opcode = 0;
    if (ws->closing)
        return CV_STEP_ON;
    core->counters.messages_in++;
    return CV_STEP_REQUEST;
}

/* More has to come: make room for it. */
static int make_room(cv_core *core, cv_connection *c, cv_websocket *ws)
{
    uint32_t usable = core->arena.usable;
    if (ws->gap) {
        uint8_t *from = raw(core, c);
        memmove(from - ws->gap, from, raw_size(c));
        c->to -= ws->gap;
        ws->gap = 0;
    }
    /* The rest of the block is too little, and so is what moving would gain. */
    if (c->decoded && usable - c->to < CV_LITTLE && (!c->from || c->decoded >= usable / 2)) {
        if (cv_events_full(core))
            return CV_STEP_BUSY;
        hand_out(core, c, ws, c->block, c->from, c->decoded, 0);
        c->from += c->decoded;
        c->decoded = 0;
    }
    return CV_STEP_HUNGRY;
}

int cv_websocket_step(cv_core *core, cv_connection *c)
{
    cv_websocket *ws = c->websocket;
    int step = ws->in_frame ? payload_step(core, c, ws) : frame_step(core, c, ws);
    return step == CV_STEP_HUNGRY ? make_room(core, c, ws) : step;
}

/* What Python submits */

int cv_websocket_accept(cv_core *core, cv_connection *c, cv_exchange *x, const cv_reply *reply,
                        const uint8_t *payload)
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
    int set = ws ? join_set(core, &limits) : -1;
    if (set < 0) {
        cv_budget_give(&core->budget, ws, sizeof *ws);
        return -1;
    }
    *ws = (cv_websocket){.exchange = cv_exchange_slot(core, x), .limits = (uint8_t)set};
    const cv_request *r = x->record;
    const uint8_t *at = core->arena.base + r->head;
    cv_head head = {.size = r->head_size, .target = {r->target_at, r->target_size}};
    char key[CV_ACCEPT_SIZE], line[CV_DEFLATE_LINE];
    cv_handshake_accept(at, &head, key);
    size_t line_size = 0;
    if (limits.compress)
        line_size = cv_deflate_negotiate(at, &head, &core->websockets.policy, &ws->terms, line);
    cv_put(core, c, TEXT("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n"
                         "connection: upgrade\r\nsec-websocket-accept: "));
    cv_put(core, c, key, sizeof key);
    cv_put(core, c, "\r\n", 2);
    cv_put(core, c, line, line_size);
    cv_put(core, c, fields, size);
    if (!found.has_date)
        cv_put(core, c, core->date.line, CV_DATE_SIZE);
    cv_put(core, c, "\r\n", 2);
    core->counters.status[1]++;
    core->counters.websockets++;
    cv_served_add(core, x->readable);
    x->status = 101;
    cv_exchange_opened(core, c, x);
    c->websocket = ws;
    c->phase = CV_PHASE_WEBSOCKET;
    c->flags |= CV_C_AGAIN;
    return 0;
}

void cv_websocket_too_late(cv_core *core, cv_exchange *x)
{
    x->state = CV_CHANNEL;
    x->flags &= ~(uint32_t)CV_X_GONE;
    tell_closed(core, x, CV_CLOSE_ABNORMAL);
}

static int has_room(const cv_core *core, const cv_connection *c, uint32_t size)
{
    const cv_channel_limits *limits = limits_of(core, c->websocket);
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
    size_t made = room ? deflate_alone(core, bits, all->payload, all->size, room) : 0;
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

/* Whether a channel can be sent to; it is its connection's turn then. */
static cv_connection *begin(cv_core *core, const cv_exchange *x)
{
    if (!x->connection)
        return NULL;
    cv_connection *c = &core->connections[x->connection];
    if (c->websocket->closing || c->closing)
        return NULL;
    cv_turn_begin(core, c);
    return c;
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
    if (c->from == c->to)
        return;
    cv_turn_begin(core, c);
    c->flags |= CV_C_AGAIN;
}

static void close_with(cv_core *core, const cv_exchange *x, const cv_reply *reply,
                       const uint8_t *payload)
{
    cv_connection *c = begin(core, x);
    if (!c)
        return;
    unsigned code = cv_close_code_is_valid(reply->code) ? reply->code : CV_CLOSE_NONE;
    send_close(core, c, c->websocket, code, payload, reply->size);
    stop_reading(core, c, c->websocket);
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
        if (!x->connection)
            break;
        c = &core->connections[x->connection];
        cv_turn_begin(core, c);
        c->websocket->drain = 1; /* looked at when the turn ends */
        break;
    case CV_PING:
        c = begin(core, x);
        if (c && reply->size == sizeof c->websocket->ping) {
            memcpy(&c->websocket->ping, payload, reply->size);
            put_frame(core, c, CV_FRAME_FIN | CV_FRAME_PING, payload, reply->size);
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

/* Time */

void cv_websocket_wrote(cv_core *core, cv_connection *c)
{
    cv_websocket *ws = c->websocket;
    const cv_channel_limits *limits = limits_of(core, ws);
    if (ws->marked && c->out.size)
        cv_queue_mark(&c->out, ws->marked);
    ws->marked = 0;
    if (ws->drain && ws->exchange && 2 * c->out.size <= limits->max_queue_bytes &&
        2 * (uint64_t)c->out.marks <= limits->max_queue_messages) {
        ws->drain = 0;
        cv_exchange_tell(core, &core->exchanges[ws->exchange], CV_TELL_DRAINED);
    }
}

static int timer_of(const cv_connection *c, const cv_websocket *ws)
{
    if (ws->closing)
        return CV_CHANNEL_CLOSE;
    if (c->from != c->to || ws->opcode)
        return CV_CHANNEL_MESSAGE; /* not anew with each byte */
    return ws->pinged ? CV_CHANNEL_PONG : CV_CHANNEL_PING;
}

int cv_websocket_timer(cv_connection *c, int *restart)
{
    cv_websocket *ws = c->websocket;
    if (c->flags & CV_C_FED)
        ws->pinged = 0;
    if (!ws->closing && !(c->flags & CV_C_HUNGRY))
        return CV_TIMER_NONE; /* it waits for Python */
    int timer = timer_of(c, ws);
    *restart = timer == CV_CHANNEL_PING && c->flags & CV_C_FED;
    return CV_TIMER_CHANNEL + ws->limits * CV_CHANNEL_TIMERS + timer;
}

void cv_websocket_expired(cv_core *core, cv_connection *c, int timer)
{
    cv_websocket *ws = c->websocket;
    switch (timer) {
    case CV_CHANNEL_PING:
        cv_turn_begin(core, c);
        ws->pinged = 1;
        put_frame(core, c, CV_FRAME_FIN | CV_FRAME_PING, NULL, 0);
        cv_turn_end(core);
        return;
    case CV_CHANNEL_MESSAGE:
        core->counters.read_timeouts++;
        cv_turn_begin(core, c);
        fail(core, c, CV_CLOSE_PROTOCOL);
        cv_turn_end(core);
        return;
    default:
        core->counters.ping_timeouts += timer == CV_CHANNEL_PONG;
        cv_connection_end(core, c, CV_GONE_TIMEOUT, 0);
    }
}
