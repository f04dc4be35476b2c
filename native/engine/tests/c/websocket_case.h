/* A client of WebSocket for the tests of C: frames as it sends them, and what it was sent. */
#ifndef COVET_WEBSOCKET_CASE_H
#define COVET_WEBSOCKET_CASE_H

#include "engine_case.h"
#include "frame.h"

#define HANDSHAKE_LINES                                                                            \
    "host: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"                         \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define HANDSHAKE "GET /plain HTTP/1.1\r\n" HANDSHAKE_LINES "Sec-WebSocket-Version: 13\r\n\r\n"
#define DEFLATE_HANDSHAKE(offer)                                                                   \
    "GET /plain HTTP/1.1\r\n" HANDSHAKE_LINES                                                      \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: " offer "\r\n\r\n"

/* Bytes that a client has put together. */
typedef struct wire {
    uint8_t *at;
    size_t size;
} wire;

static inline void wire_add(wire *w, const void *bytes, size_t size)
{
    w->at = realloc(w->at, w->size + size + 1);
    if (size)
        memcpy(w->at + w->size, bytes, size);
    w->size += size;
}

/* A frame; `first` is its first byte. */
static inline void wire_frame(wire *w, unsigned first, const void *payload, size_t size)
{
    static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t head[CV_FRAME_HEAD];
    size_t head_size = cv_frame_head(head, first, size);
    head[1] |= 0x80;
    wire_add(w, head, head_size);
    wire_add(w, key, 4);
    uint8_t *masked = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        masked[i] = ((const uint8_t *)payload)[i] ^ key[i & 3];
    wire_add(w, masked, size);
    free(masked);
}

static inline void wire_send(wire *w, client *c)
{
    for (size_t done = 0; done < w->size;) {
        int64_t taken = feed_bytes(c, w->at + done, w->size - done);
        if (taken <= 0)
            break;
        done += (size_t)taken;
    }
    free(w->at);
    *w = (wire){0};
}

static inline void send_frame(client *c, unsigned first, const void *payload, size_t size)
{
    wire w = {0};
    wire_frame(&w, first, payload, size);
    wire_send(&w, c);
}

static inline void send_text(client *c, const char *text)
{
    send_frame(c, 0x81, text, strlen(text));
}

/* What the next channel is opened with. */
static cv_channel_limits limits;

static inline void default_limits(void)
{
    limits = (cv_channel_limits){
        .message_timeout = 60,
        .ping_interval = 20,
        .ping_timeout = 20,
        .close_timeout = 10,
        .max_message = 1 << 20,
        .max_fragments = 1024,
        .max_control_frames = 200,
        .max_queue_bytes = 1 << 20,
        .max_queue_messages = 1024,
        .compress_from = 512,
        .compress = 1,
    };
}

/* With the options as they are, and fresh limits. */
static inline void start_case_with(void)
{
    default_limits();
    start();
}

static inline void start_case(void)
{
    default_options();
    start_case_with();
}

static inline void accept_with(uint64_t handle, const char *fields)
{
    uint8_t payload[300];
    memcpy(payload, &limits, sizeof limits);
    memcpy(payload + sizeof limits, fields, strlen(fields));
    CHECK(submit(handle, CV_ACCEPT, 0, 0, payload, sizeof limits + strlen(fields)) == 0);
}

/* Open a channel; its handle. What the client was sent is forgotten. */
static inline uint64_t open_with(client *c, const char *handshake)
{
    *c = connect_client();
    feed(c, handshake);
    uint64_t handle = request();
    CHECK(event_of(CV_REQUEST) && event_of(CV_REQUEST)->flags & CV_UPGRADE);
    accept_with(handle, "");
    CHECK(starts(drain(c), "HTTP/1.1 101 Switching Protocols\r\n"));
    CHECK(ends(c->out, "\r\n\r\n"));
    forget(c);
    return handle;
}

static inline uint64_t open_channel(client *c)
{
    return open_with(c, HANDSHAKE);
}

/* What Python was handed: messages put together. */
typedef struct heard {
    uint8_t *at; /* of the message under way, or the last one */
    size_t size;
    int messages, text, more; /* more: it is not whole */
    int closed; /* 0: not; the code */
    char reason[128];
    int drained;
    uint32_t pong; /* the last one's number */
} heard;

static inline void hear(heard *h)
{
    while (poll_engine()) {
        for (int i = 0; i < count; i++) {
            const cv_event *event = &events[i];
            switch (event->kind) {
            case CV_MESSAGE:
                CHECK(!h->closed);
                if (!h->more)
                    h->size = 0;
                h->at = realloc(h->at, h->size + event->size + 1);
                memcpy(h->at + h->size, arena + event->at, event->size);
                h->size += event->size;
                h->at[h->size] = 0;
                h->more = event->flags & CV_MESSAGE_MORE;
                h->text = event->flags & CV_MESSAGE_TEXT;
                h->messages += !h->more;
                break;
            case CV_CLOSED:
                CHECK(!h->closed && event->size < sizeof h->reason);
                h->closed = (int)event->extra;
                memcpy(h->reason, arena + event->at, event->size);
                h->reason[event->size] = 0;
                break;
            case CV_DRAINED:
                h->drained++;
                break;
            case CV_PONG:
                h->pong = event->extra;
                break;
            case CV_FLOODED:
                break;
            default:
                CHECK(0);
            }
        }
    }
}

/* Send in pieces, and hear what comes of each. */
static inline void wire_say(wire *w, client *c, heard *h, size_t piece)
{
    for (size_t done = 0; done < w->size;) {
        size_t size = w->size - done < piece ? w->size - done : piece;
        int64_t taken = feed_bytes(c, w->at + done, size);
        if (!CHECK(taken >= 0))
            break;
        done += (size_t)taken;
        hear(h);
    }
    free(w->at);
    *w = (wire){0};
}

static inline int heard_is(const heard *h, const char *text)
{
    return h->at && h->size == strlen(text) && memcmp(h->at, text, h->size) == 0;
}

static inline void take(uint64_t handle, uint32_t messages, uint32_t bytes)
{
    uint32_t payload[2] = {messages, bytes};
    CHECK(submit(handle, CV_TAKEN, 0, 0, payload, sizeof payload) == 0);
}

static inline void say(uint64_t handle, int flags, const char *text)
{
    CHECK(submit(handle, CV_SEND, 0, flags, text, strlen(text)) == 0);
}

/* The payload's size of the frame at `at` of what the client was sent, and where it begins; -1: none. */
static inline int64_t sent_frame(const client *c, size_t at, unsigned *first, size_t *payload)
{
    const uint8_t *from = (const uint8_t *)c->out + at;
    if (c->size < at + 2)
        return -1;
    *first = from[0];
    uint64_t size = from[1];
    size_t head = 2;
    CHECK(size < 128);
    if (size >= 126) {
        unsigned more = size == 126 ? 2 : 8;
        size = 0;
        for (unsigned i = 0; i < more; i++)
            size = size << 8 | from[2 + i];
        head += more;
    }
    *payload = at + head;
    return c->size >= at + head + size ? (int64_t)size : -1;
}

/* The code of the close frame that is the last the client was sent; 0: it is none. */
static inline int close_sent(client *c)
{
    unsigned first = 0;
    size_t at = 0, payload = 0;
    int64_t size;
    int code = 0;
    drain(c);
    while ((size = sent_frame(c, at, &first, &payload)) >= 0) {
        const uint8_t *from = (const uint8_t *)c->out + payload;
        code = first != 0x88 ? 0 : size < 2 ? CV_CLOSE_NONE : from[0] << 8 | from[1];
        at = payload + (size_t)size;
    }
    return code;
}

static inline void leave_channel(uint64_t handle)
{
    CHECK(submit(handle, CV_LEAVE, 1000, 0, NULL, 0) == 0);
}

#endif
