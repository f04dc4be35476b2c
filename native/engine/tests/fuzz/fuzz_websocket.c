/* A WebSocket client over HTTP/1.1: the same messages and the same end of the channel however its bytes
 * come. The first byte chooses between a handshake of the fuzzer's own making and frames that it puts
 * together, the second what the channel was opened with. */
#include "harness.h"

typedef struct cv_talk {
    cv_engine *engine;
    uint64_t connection;
    cv_channel_limits limits;
    cv_bytes heard; /* complete messages, and how it ended */
    cv_bytes piece; /* of a message under way */
    cv_bytes wire; /* what the client was sent */
    int requests, opened, ended, closed;
} cv_talk;

static const char begin_of_handshake[] =
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
static const char rest_of_handshake[] =
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
static const char *const offers[] = {
    "",
    "Sec-WebSocket-Extensions: permessage-deflate\r\n",
    "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n",
    "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9; client_max_window_bits\r\n",
};

/* One frame of the fuzzer's: its first byte, how it is written, its payload. */
static size_t add_frame(cv_bytes *stream, const uint8_t *at, size_t left)
{
    static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
    unsigned first = at[0], how = left > 1 ? at[1] : 0;
    size_t used = left > 1 ? 2 : 1, size = how & 63, times = how >> 6 == 2 ? 20 : 1;
    if (size > left - used)
        size = left - used;
    const uint8_t *payload = at + used;
    if (how >> 6 == 3) { /* no frame, or a piece of one */
        cv_add(stream, payload, size);
        return used + size;
    }
    size_t whole = size * times;
    uint8_t head[4] = {(uint8_t)first, (uint8_t)(0x80 | whole), (uint8_t)(whole >> 8), (uint8_t)whole};
    int longer = whole > 125 || how >> 6 == 1; /* or longer than need be */
    if (longer)
        head[1] = 0x80 | 126;
    cv_add(stream, head, longer ? 4 : 2);
    cv_add(stream, key, sizeof key);
    for (size_t i = 0; i < whole; i++) {
        uint8_t masked = payload[i % size] ^ key[i & 3];
        cv_add(stream, &masked, 1);
    }
    return used + size;
}

static void open_channel(cv_talk *talk, uint64_t handle, cv_bytes *replies)
{
    cv_add_reply(replies, handle, CV_ACCEPT, 0, 0, &talk->limits, sizeof talk->limits);
    talk->opened = 1;
}

/* A message is sent back as it came, and is no longer in the way. */
static void hear(cv_talk *talk, const cv_event *event, cv_bytes *replies)
{
    uint64_t size;
    const uint8_t *arena = cv_engine_arena(talk->engine, &size);
    int more = (event->flags & CV_MESSAGE_MORE) != 0;
    uint32_t taken[2] = {!more, event->size};
    PROMISE((uint64_t)event->at + event->size <= size);
    PROMISE(talk->opened && !talk->ended);
    cv_add(&talk->piece, arena + event->at, event->size);
    PROMISE(talk->piece.size <= talk->limits.max_message);
    cv_add_reply(replies, event->handle, CV_TAKEN, 0, 0, taken, sizeof taken);
    if (more)
        return;
    uint8_t kind = event->flags & CV_MESSAGE_TEXT;
    uint32_t whole = (uint32_t)talk->piece.size;
    cv_add(&talk->heard, &kind, 1);
    cv_add(&talk->heard, &whole, sizeof whole);
    cv_add(&talk->heard, talk->piece.at, whole);
    cv_add_reply(replies, event->handle, CV_SEND, 0, kind, talk->piece.at, whole);
    talk->piece.size = 0;
}

static void end_channel(cv_talk *talk, const cv_event *event, cv_bytes *replies)
{
    uint64_t size;
    const uint8_t *arena = cv_engine_arena(talk->engine, &size);
    PROMISE((uint64_t)event->at + event->size <= size && !talk->ended);
    talk->ended = 1;
    cv_add(&talk->heard, &event->extra, sizeof event->extra);
    cv_add(&talk->heard, arena + event->at, event->size);
    cv_add_reply(replies, event->handle, CV_LEAVE, 1000, 0, NULL, 0);
}

static int turn(void *who)
{
    cv_talk *talk = who;
    int count = cv_engine_poll(talk->engine);
    const cv_event *events = cv_engine_events(talk->engine);
    cv_bytes replies = {0};
    for (int i = 0; i < count; i++) {
        const cv_event *event = &events[i];
        switch (event->kind) {
        case CV_REQUEST:
            cv_request_at(talk->engine, event->at);
            if (!talk->requests++ && event->flags & CV_UPGRADE)
                open_channel(talk, event->handle, &replies);
            else
                cv_add_reply(&replies, event->handle, CV_ANSWER, 0, CV_CLOSE, "no", 2);
            break;
        case CV_MESSAGE:
            hear(talk, event, &replies);
            break;
        case CV_CLOSED:
            end_channel(talk, event, &replies);
            break;
        case CV_FLOODED:
            break;
        default:
            PROMISE(event->kind == CV_GONE);
            cv_add_reply(&replies, event->handle, CV_DROP, 0, 0, NULL, 0);
        }
    }
    if (replies.size != 0)
        PROMISE(cv_engine_submit(talk->engine, replies.at, replies.size) == 0);
    free(replies.at);
    uint8_t into[512];
    int64_t drained = cv_engine_drain(talk->engine, talk->connection, into, sizeof into);
    if (drained > 0)
        cv_add(&talk->wire, into, (size_t)drained);
    talk->closed = drained < 0;
    return count > 0 || drained > 0;
}

/* Behind the head of the answer there is one frame behind the other, none masked; none follows a close
 * frame. */
static void check_wire(const cv_talk *talk)
{
    if (!talk->opened)
        return;
    const uint8_t *at = talk->wire.at, *end = at + talk->wire.size;
    PROMISE(talk->wire.size > 16 && memcmp(at, "HTTP/1.1 101 ", 13) == 0);
    while (memcmp(at, "\r\n\r\n", 4) != 0)
        PROMISE(++at + 4 <= end);
    at += 4;
    int over = 0;
    while (at < end) {
        PROMISE(!over && end - at >= 2);
        unsigned opcode = at[0] & 15, size = at[1];
        PROMISE((at[0] & 0x30) == 0 && at[0] & 0x80 && size < 127);
        PROMISE(opcode == 1 || opcode == 2 || (opcode >= 8 && opcode <= 10 && size <= 125));
        PROMISE(!(at[0] & 0x40) || opcode < 8);
        over = opcode == 8;
        at += 2;
        if (size == 126) {
            PROMISE(end - at >= 2);
            size = (unsigned)at[0] << 8 | at[1];
            PROMISE(size > 125);
            at += 2;
        }
        PROMISE((size_t)(end - at) >= size);
        at += size;
    }
}

static cv_talk talk(const uint8_t *bytes, size_t size, enum cv_cut cut, unsigned chosen)
{
    cv_options options = cv_harness_options();
    cv_dice dice = cv_dice_of(bytes, size);
    options.work = 1 + cv_throw(&dice, 8);
    options.max_unread = 1 + (chosen >> 4 & 3);
    options.compress_keeps_in = options.compress_keeps_out = chosen >> 6 & 1;
    cv_talk talk = {.engine = cv_engine_new(&options)};
    talk.limits = (cv_channel_limits){
        .max_message = chosen & 1 ? 200 : 20000, /* or more than a block */
        .max_fragments = chosen & 2 ? 3 : 100,
        .max_control_frames = chosen & 4 ? 3 : 100,
        .max_queue_bytes = 1 << 20,
        .max_queue_messages = 100,
        .compress_from = 10,
        .compress = (chosen & 8) == 0,
    };
    PROMISE(talk.engine != NULL);
    cv_engine_begin(talk.engine, cv_harness_routes(1, 0));
    talk.connection = cv_engine_open(talk.engine);
    PROMISE(talk.connection != 0);
    const cv_feeder feeder = {talk.engine, talk.connection, &talk.closed, turn, &talk};
    cv_harness_feed(&feeder, bytes, size, &dice, cut);
    const cv_counters *counters = cv_engine_counters(talk.engine);
    PROMISE(talk.closed && talk.ended == talk.opened);
    PROMISE(counters->connections == 0 && counters->in_flight == 0 && counters->websockets == 0);
    PROMISE(cv_engine_poll(talk.engine) == 0 && counters->blocks == 0);
    cv_engine_free(talk.engine);
    check_wire(&talk);
    return talk;
}

static void forget(cv_talk *talk)
{
    free(talk->heard.at);
    free(talk->piece.at);
    free(talk->wire.at);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 2)
        return 0;
    unsigned mode = bytes[0], chosen = bytes[1];
    cv_bytes stream = {0};
    cv_add(&stream, begin_of_handshake, sizeof begin_of_handshake - 1);
    if (mode & 1) {
        cv_add(&stream, bytes + 2, size - 2);
    } else {
        const char *offer = offers[mode >> 1 & 3];
        cv_add(&stream, rest_of_handshake, sizeof rest_of_handshake - 1);
        cv_add(&stream, offer, strlen(offer));
        cv_add(&stream, "\r\n", 2);
        for (size_t at = 2; at < size;)
            at += add_frame(&stream, bytes + at, size - at);
    }
    cv_talk whole = talk(stream.at, stream.size, CV_CUT_NEVER, chosen);
    for (int cut = CV_CUT_ALWAYS; cut < CV_CUTS; cut++) {
        cv_talk split = talk(stream.at, stream.size, cut, chosen);
        PROMISE(split.opened == whole.opened && split.heard.size == whole.heard.size);
        PROMISE(memcmp(split.heard.at ? split.heard.at : stream.at,
                       whole.heard.at ? whole.heard.at : stream.at, whole.heard.size) == 0);
        forget(&split);
    }
    forget(&whole);
    free(stream.at);
    return 0;
}
