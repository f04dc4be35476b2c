#include <string.h>

#include "core.h"
#include "output.h"
#include "request.h"
#include "websocket_parts.h"

enum {
    CODED_MORE = 1024, /* bytes of a message that does not become smaller by compression */
    WINDOW = 10 /* seconds in which control frames are counted */
};

/* What Python hears */

void cv_tell_closed(cv_core *core, cv_exchange *x, unsigned code)
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
    event->size = size;
    if (!size)
        return event; /* there may be no block */
    event->at = (uint32_t)(cv_arena_at(&core->arena, block) + at - core->arena.base);
    if (block == c->block) {
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
    ws->handed = (uint32_t)core->counters.polls;
}

/* Whether Python has not yet been able to answer what came before: the end waits for one poll. */
static int is_fresh(const cv_core *core, const cv_websocket *ws)
{
    return ws->handed == (uint32_t)core->counters.polls;
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
    cv_close_send(core, c, ws, code, NULL, 0);
    if (ws->exchange)
        cv_tell_closed(core, &core->exchanges[ws->exchange], code);
    go_deaf(c, ws);
    c->flags |= CV_C_OURS;
    c->closing = CV_CLOSE_WRITTEN;
    return CV_STEP_ON;
}

void cv_websocket_ended(cv_core *core, cv_connection *c)
{
    cv_websocket *ws = c->websocket;
    if (ws->exchange)
        cv_tell_closed(core, &core->exchanges[ws->exchange], CV_CLOSE_ABNORMAL);
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
        cv_tell_closed(core, x, CV_CLOSE_ABNORMAL);
    }
    cv_inflater_give(core, ws);
    cv_inflater_free(ws->inflater);
    cv_deflater_free(ws->deflater);
    core->websockets.sets[ws->limits].users--;
    cv_budget_give(&core->budget, ws, sizeof *ws);
    c->websocket = NULL;
    core->counters.websockets--;
}

/* Our side has said its last: what comes until the client's close frame goes nowhere. */
void cv_stop_reading(cv_core *core, cv_connection *c, cv_websocket *ws)
{
    c->from += c->decoded + ws->gap;
    c->decoded = ws->gap = 0;
    cv_inflater_give(core, ws);
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
    cv_close_send(core, c, ws, code, NULL, 0);
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
    return ++ws->controls > cv_limits_of(core, ws)->max_control_frames;
}

static int calm(cv_core *core, cv_connection *c)
{
    if (!c->websocket->closing)
        cv_flooded(core, c, CV_FLOOD_CHANNEL);
    return fail(core, c, CV_CLOSE_POLICY);
}

static int control_step(cv_core *core, cv_connection *c, cv_websocket *ws, const cv_frame *frame)
{
    uint32_t size = (uint32_t)frame->size;
    if (raw_size(c) < frame->head + size)
        return CV_STEP_HUNGRY;
    if (frame->opcode == CV_FRAME_CLOSE && ws->exchange &&
        (cv_events_full(core) || is_fresh(core, ws)))
        return CV_STEP_BUSY;
    if (is_flood(core, ws))
        return calm(core, c);
    uint8_t *payload = raw(core, c) + frame->head;
    cv_frame_unmask(payload, payload, size, frame->key, 0);
    if (frame->opcode == CV_FRAME_CLOSE)
        return heard_close(core, c, ws, payload, size);
    if (frame->opcode == CV_FRAME_PING && !ws->closing &&
        cv_backlog(core, c) < core->options.high_water)
        cv_frame_put(core, c, CV_FRAME_FIN | CV_FRAME_PONG, payload, size);
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
    const cv_channel_limits *limits = cv_limits_of(core, ws);
    uint32_t here = raw_size(c);
    cv_frame frame;
    int found = here ? cv_frame_read(raw(core, c), here, &frame) : 0;
    if (found == 0)
        return CV_STEP_HUNGRY;
    if (found < 0)
        return is_fresh(core, ws) ? CV_STEP_BUSY : fail(core, c, CV_CLOSE_PROTOCOL);
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
        if (frame.rsv1 && !ws->closing && !cv_inflater_take(core, ws))
            return fail(core, c, CV_CLOSE_FAILED);
        ws->opcode = frame.opcode;
    }
    uint64_t most = limits->max_message;
    if (ws->compressed)
        most += most / 8 + CODED_MORE;
    if (frame.size > most - ws->coded || ++ws->fragments > limits->max_fragments)
        return fail(core, c, CV_CLOSE_TOO_BIG);
    if (!frame.size && !begins && is_flood(core, ws))
        return calm(core, c);
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
    uint64_t max_message = cv_limits_of(core, ws)->max_message;
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
        int broken = cv_inflate(ws->inflater, from, end, &to, place + room) < 0;
        uint32_t made = (uint32_t)(to - place);
        ws->size += made;
        all->filled += made;
        /* In this order the reason does not depend on how much has come at once. */
        if (ws->opcode == CV_FRAME_TEXT && cv_utf8_check(&ws->utf8, place, made) < 0)
            return fail(core, c, CV_CLOSE_NOT_TEXT);
        if (ws->size > max_message)
            return fail(core, c, CV_CLOSE_TOO_BIG);
        if (broken)
            return fail(core, c, CV_CLOSE_PROTOCOL);
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
            cv_inflater_give(core, ws);
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

/* Time */

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
        cv_frame_put(core, c, CV_FRAME_FIN | CV_FRAME_PING, NULL, 0);
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
