/* The whole state machine, driven by a script that the fuzzer writes: several connections, answers
 * of every kind for requests present and past, clients that leave, time that passes, phases that
 * end.
 *
 * Nothing is promised but what holds for any script: memory is sound, events and replies keep their
 * contract, what leaves is a sequence of answers, and when all is over nothing is left. */
#include "harness.h"
#ifdef CV_FUZZ_HTTP2 /* the same over HTTP/2 */
#include "http2_frames.h"
#endif

enum {
    CONNECTIONS = 6,
    HANDLES = 24,
#if defined CV_FUZZ_HTTP2 || defined CV_FUZZ_CHANNELS
    OPERATIONS = 18 /* those of WebSocket as well */
#else
    OPERATIONS = 10
#endif
};

typedef struct cv_wire {
    uint64_t number; /* 0: not open */
    cv_bytes out;
    int partial; /* the connection was cut: its last answer may be incomplete */
} cv_wire;

typedef struct cv_script {
    const uint8_t *at, *end;
    cv_engine *engine;
    cv_wire wires[CONNECTIONS];
    uint64_t handles[HANDLES]; /* as they were made known; some are past */
    unsigned handle_count; /* ever */
    int stopped;
} cv_script;

#ifdef CV_FUZZ_CHANNELS
#define HANDSHAKE                                                                                  \
    "GET /a/1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"                \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

/* Frames, their mask is zero; the first byte is the size. */
static const char *const frames[] = {
    "\x08\x81\x82\0\0\0\0hi",
    "\x0b\x02\x85\0\0\0\0hello",
    "\x0b\x80\x85\0\0\0\0hello",
    "\x06\x89\x80\0\0\0\0",
    "\x06\x8a\x80\0\0\0\0",
    "\x0d\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\0",
    "\x08\x88\x82\0\0\0\0\x03\xe8",
    "\x08\x82\xfe\x27\x10\0\0\0\0", /* of 10,000 bytes */
};
#endif

#ifndef CV_FUZZ_HTTP2
static const char *const snippets[] = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"e\"\r\n\r\n",
    "GET /a/1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "HEAD /a/1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a/b HTTP/1.0\r\n\r\n",
    "GET /a/b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "POST /a/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n",
    "POST /w HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST /w HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST /a/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    "POST /a/x HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n",
    "POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "GET /a/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "GET /a/x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "0123456789",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "\r\n",
    "bad\r\n",
#ifdef CV_FUZZ_CHANNELS
    HANDSHAKE "\r\n",
    HANDSHAKE "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
#endif
};
#endif

static const char *const fields[] = {
    "",
    "content-type: text/plain\r\n",
    "content-length: 5\r\n",
    "content-length: 0\r\nx: y\r\n",
    "date: now\r\n",
    "connection: close\r\n",
    "bad\r\n",
    "x: a\nb: c\r\n",
    "content-length: x\r\n",
    "transfer-encoding: chunked\r\n",
};

static unsigned next(cv_script *script)
{
    return script->at < script->end ? *script->at++ : 0;
}

/* Up to `most` bytes of the script itself. */
static size_t next_bytes(cv_script *script, const uint8_t **bytes, size_t most)
{
    size_t left = (size_t)(script->end - script->at);
    size_t size = next(script);
    if (left > 0)
        left--;
    if (size > most)
        size = most;
    if (size > left)
        size = left;
    *bytes = script->at;
    script->at += size;
    return size;
}

static cv_wire *next_wire(cv_script *script)
{
    return &script->wires[next(script) % CONNECTIONS];
}

/* Most are of late. */
static uint64_t next_handle(cv_script *script)
{
    unsigned back = next(script);
    if (script->handle_count == 0 || back == 255)
        return (uint64_t)back << 32 | next(script);
    return script->handles[(script->handle_count - 1 - back % HANDLES) % HANDLES];
}

#ifdef CV_FUZZ_HTTP2
static void check_wire(const cv_wire *wire)
{
    check_frames(&wire->out);
}
#else
/* What was sent is one answer behind the other: each begins where the one before it ends. How long
 * one is, is read with care only where it is plain. */
static void check_wire(const cv_wire *wire)
{
    static const char line[] = "HTTP/1.1 ";
    size_t known = wire->out.size < sizeof line - 1 ? wire->out.size : sizeof line - 1;
    if (known != 0)
        PROMISE(memcmp(wire->out.at, line, known) == 0);
    /* No line end of a handler's making: every line of every head ends as it should. */
    const uint8_t *end = wire->out.at;
    for (size_t i = 0; i + 3 < wire->out.size; i++) {
        if (memcmp(wire->out.at + i, "\r\n\r\n", 4) == 0) {
            end = wire->out.at + i + 2;
            for (const uint8_t *at = wire->out.at; at < end; at++)
                PROMISE(*at != '\n' || (at > wire->out.at && at[-1] == '\r'));
            break;
        }
    }
}
#endif

static void close_wire(cv_wire *wire)
{
    check_wire(wire);
    free(wire->out.at);
    *wire = (cv_wire){0};
}

static void drain(cv_script *script, cv_wire *wire, size_t size)
{
    if (wire->number == 0)
        return;
    uint8_t *into = malloc(size + 1);
    PROMISE(into != NULL);
    int64_t drained = cv_engine_drain(script->engine, wire->number, into, size);
    PROMISE(drained <= (int64_t)size);
    if (drained > 0)
        cv_add(&wire->out, into, (size_t)drained);
    free(into);
    if (drained < 0)
        close_wire(wire);
}

static int64_t feed(cv_script *script, cv_wire *wire, const uint8_t *bytes, size_t size)
{
    if (wire->number == 0)
        return -1;
    uint8_t *exact = cv_exact(bytes, size);
    int64_t taken = cv_engine_feed(script->engine, wire->number, exact, size);
    free(exact);
    PROMISE(taken <= (int64_t)size);
    if (taken < 0)
        close_wire(wire);
    return taken;
}

static void look_at(const cv_script *script, const cv_event *event)
{
    uint64_t size;
    const uint8_t *arena = cv_engine_arena(script->engine, &size);
    unsigned sum = 0;
    if (event->kind == CV_REQUEST) {
        cv_request request = cv_request_at(script->engine, event->at);
        PROMISE(event->route >= 1 && event->route <= 4);
        int whole = CV_BODY_COMPLETE | CV_BODY_NONE;
        PROMISE((event->flags & whole) != whole);
#ifndef CV_FUZZ_HTTP2 /* whose snippets hold back what is short as well */
        PROMISE(event->route != 4 || (event->flags & (CV_BODY_COMPLETE | CV_BODY_NONE)) != 0 ||
                request.content_length == UINT64_MAX || request.content_length > 1000);
#endif
        for (uint32_t i = 0; i < request.head_size; i++)
            sum += arena[request.head + i];
        PROMISE(request.absent == -1 || (event->route == 2 && (request.absent & ~6) == 0));
        if (request.absent >= 0) {
            PROMISE(request.arguments[0] < 16);
            PROMISE((request.absent & 2) != 0 || request.arguments[16] < 100);
        }
        for (uint32_t i = 0; i < request.body_size; i++)
            sum += arena[request.body + i];
    } else if (event->kind == CV_BODY || event->kind == CV_MESSAGE) {
        PROMISE((uint64_t)event->at + event->size <= size);
        for (uint32_t i = 0; i < event->size; i++)
            sum += arena[event->at + i];
    }
    __asm__ volatile("" ::"r"(sum)); /* read it, whatever it is */
}

static int poll(cv_script *script, cv_bytes *drops)
{
    int count = cv_engine_poll(script->engine);
    const cv_event *events = cv_engine_events(script->engine);
    PROMISE(count >= 0 && count <= CV_EVENTS);
    for (int i = 0; i < count; i++) {
        look_at(script, &events[i]);
        if (events[i].kind == CV_REQUEST)
            script->handles[script->handle_count++ % HANDLES] = events[i].handle;
        if (events[i].kind == CV_EMPTY)
            PROMISE(script->stopped);
        else if (events[i].kind != CV_LOG && drops != NULL)
            cv_add_reply(drops, events[i].handle, CV_DROP, 0, 0, NULL, 0);
    }
    return count;
}

static void add_reply(cv_script *script, cv_bytes *replies)
{
    static const int statuses[] = {200, 204, 304, 404, 500, 0, 99, 100, 205, 1000};
    uint64_t handle = next_handle(script);
    unsigned op = next(script) % OPERATIONS;
    if (op >= 10)
        op = CV_ACCEPT + op - 10;
    unsigned choice = next(script);
    int flags = choice >> 6;
    const uint8_t *body;
    size_t size = next_bytes(script, &body, 200);
    cv_bytes payload = {0};
    static const uint8_t much[20000] = {0};
    size_t more = (choice & 32) != 0 ? 1 + size * 97 % sizeof much : 0; /* beyond high_water */
    uint32_t numbers[2] = {choice, choice * 16};
    int code = 0;
    switch (op) {
    case CV_REPLY: {
        const char *text = fields[choice % (sizeof fields / sizeof fields[0])];
        numbers[0] = (uint32_t)strlen(text) + (choice == 63 ? 1000 : 0);
        code = statuses[size % (sizeof statuses / sizeof statuses[0])];
        cv_add(&payload, numbers, 4);
        cv_add(&payload, text, strlen(text));
        cv_add(&payload, body, size);
        cv_add(&payload, much, more);
        break;
    }
    case CV_ACCEPT: {
        const char *text = fields[choice % (sizeof fields / sizeof fields[0])];
        cv_channel_limits limits = {
            .message_timeout = 5,
            .ping_interval = 3,
            .ping_timeout = 3,
            .close_timeout = 3,
            .max_message = 300,
            .max_fragments = 4,
            .max_control_frames = 8,
            .max_queue_bytes = 600,
            .max_queue_messages = 4,
            .compress_from = 10,
            .compress = choice & 1,
        };
        cv_add(&payload, &limits, choice == 63 ? 8 : sizeof limits);
        cv_add(&payload, text, strlen(text));
        break;
    }
    case CV_TAKEN:
    case CV_PING:
    case CV_ARM:
        cv_add(&payload, numbers, choice == 63 ? 4 : 8);
        break;
    case CV_TRAILERS: {
        const char *text = fields[choice % (sizeof fields / sizeof fields[0])];
        cv_add(&payload, text, strlen(text));
        break;
    }
    default:
        code = choice == 63 ? 9 : 0;
        cv_add(&payload, body, size);
        cv_add(&payload, much, more);
        break;
    }
    cv_add_reply(replies, handle, (int)op, code, flags, payload.at, payload.size);
    free(payload.at);
}

static void submit(cv_script *script)
{
    cv_bytes replies = {0};
    unsigned many = 1 + next(script) % 4;
    for (unsigned i = 0; i < many; i++)
        add_reply(script, &replies);
    size_t cut = next(script) == 1 ? 3 : 0; /* seldom less than was said */
    uint8_t *exact = cv_exact(replies.at, replies.size - cut);
    PROMISE(cv_engine_submit(script->engine, exact, replies.size - cut) == (cut != 0 ? -1 : 0));
    free(exact);
    free(replies.at);
}

static void open_wire(cv_script *script, cv_wire *wire)
{
    wire->number = cv_engine_open(script->engine);
#ifdef CV_FUZZ_HTTP2
    /* Where there was no room for that, what follows is read as HTTP/1.1. */
    int64_t taken = feed(script, wire, (const uint8_t *)preface, PREFACE);
    if (taken >= 0 && taken != PREFACE) {
        cv_engine_drop(script->engine, wire->number);
        close_wire(wire);
    }
#endif
}

static void feed_snippet(cv_script *script, cv_wire *wire)
{
    unsigned which = next(script);
#ifdef CV_FUZZ_HTTP2
    uint8_t frame[192];
    feed(script, wire, frame, make_frame(frame, which, next(script)));
#else
#ifdef CV_FUZZ_CHANNELS
    if (which >= 128) {
        const char *frame = frames[which % (sizeof frames / sizeof frames[0])];
        feed(script, wire, (const uint8_t *)frame + 1, (size_t)(uint8_t)frame[0]);
        return;
    }
#endif
    const char *text = snippets[which % (sizeof snippets / sizeof snippets[0])];
    feed(script, wire, (const uint8_t *)text, strlen(text));
#endif
}

static void step(cv_script *script)
{
    const uint8_t *bytes;
    size_t size;
    cv_wire *wire;
    switch (next(script) % 16) {
    case 0:
    case 1:
        wire = next_wire(script);
        if (wire->number == 0)
            open_wire(script, wire);
        break;
    case 2:
    case 3:
    case 4:
        wire = next_wire(script);
        feed_snippet(script, wire);
        break;
    case 5:
        wire = next_wire(script);
        size = next_bytes(script, &bytes, 255);
        feed(script, wire, bytes, size);
        break;
    case 6:
    case 7:
        poll(script, NULL);
        break;
    case 8:
    case 9:
        submit(script);
        break;
    case 10:
        wire = next_wire(script);
        drain(script, wire, 1 + next(script) * 8);
        break;
    case 11:
        cv_engine_advance(script->engine, next(script) / 16.0);
        break;
    case 12:
        wire = next_wire(script);
        if (wire->number != 0) {
            cv_engine_drop(script->engine, wire->number);
            PROMISE(cv_engine_feed(script->engine, wire->number, (const uint8_t *)"x", 1) == -1);
            close_wire(wire);
        }
        break;
    case 13:
        wire = next_wire(script);
        if (wire->number != 0)
            cv_engine_feed_end(script->engine, wire->number);
        break;
    case 14:
        if ((next(script) & 1) != 0)
            cv_engine_hold(script->engine);
        else
            cv_engine_begin(script->engine, cv_harness_routes(next(script) & 1, CV_ROUTE_WAIT));
        break;
    default: {
        unsigned what = next(script);
        if (what == 7) {
            cv_engine_stop(script->engine);
            script->stopped = 1;
        } else if (what == 8) {
            cv_engine_close(script->engine);
            script->stopped = 1;
        } else {
            uint8_t line[64];
            PROMISE(cv_engine_log(script->engine, line, sizeof line) <= sizeof line);
            for (unsigned i = 0; i < HANDLES && i < script->handle_count; i++)
                cv_engine_is_current(script->engine, script->handles[i]);
        }
        break;
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    cv_script script = {.at = bytes, .end = bytes + size};
    cv_options options = cv_harness_options();
    unsigned kind = next(&script);
    options.max_in_flight = 1 + (kind & 3);
    options.max_pipelined = 1 + (kind >> 2 & 3);
    options.work = 1 + (kind >> 4 & 3);
    options.access_log = kind >> 6 & 1;
    options.arena_size = kind >> 7 ? 3 * 16384 : CV_HARNESS_ARENA; /* or too small for all */
    options.high_water = 300;
    options.low_water = 100;
    options.header_timeout = options.idle_timeout = 5;
    options.read_timeout = options.write_timeout = 5;
#ifdef CV_FUZZ_HTTP2
    options.http2 = 1;
    options.max_streams = 1 + (kind & 7);
#endif
    script.engine = cv_engine_new(&options);
    PROMISE(script.engine != NULL);
    cv_engine_begin(script.engine, cv_harness_routes(0, 0));
    while (script.at < script.end)
        step(&script);

    /* The end: every client leaves, every call gives up. */
    for (int i = 0; i < CONNECTIONS; i++) {
        if (script.wires[i].number != 0) {
            cv_engine_drop(script.engine, script.wires[i].number);
            close_wire(&script.wires[i]);
        }
    }
    cv_bytes drops = {0};
    for (unsigned i = 0; i < HANDLES && i < script.handle_count; i++) {
        cv_add_reply(&drops, script.handles[i], CV_DROP, 0, 0, NULL, 0);
        cv_add_reply(&drops, script.handles[i], CV_LEAVE, 0, 0, NULL, 0);
    }
    const cv_counters *counters = cv_engine_counters(script.engine);
    PROMISE(counters->connections == 0);
    for (int i = 0; i < 50 && (i < 3 || counters->in_flight != 0); i++) {
        if (drops.size != 0)
            PROMISE(cv_engine_submit(script.engine, drops.at, drops.size) == 0);
        drops.size = 0;
        poll(&script, &drops);
    }
    /* Only those of which the script forgot the handle may be in flight; freeing ends them. */
    PROMISE(counters->in_flight == 0 || script.handle_count > HANDLES);
    PROMISE(counters->blocks == 0 || counters->in_flight != 0);
    free(drops.at);
    cv_engine_free(script.engine);
    return 0;
}
