/* Random clients, splits, replies, ends, times, phases: nothing leaks, nothing is read that should not
 * be, answers keep their order, and every request is heard of to its end. */
#define _GNU_SOURCE
#include "engine_case.h"

static uint64_t state;

static uint32_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 11);
}

static uint32_t below(uint32_t most)
{
    return next_random() % most;
}

enum { CLIENTS = 12, HELD = 4096 };

typedef struct held {
    uint64_t handle;
    int streaming, gone, reading, body_over;
    uint64_t credit, sent;
} held;

static client clients[CLIENTS];
static int alive[CLIENTS];
static held in_hand[HELD];
static int held_count;

static const char *const pieces[] = {
    GET("/hello"),
    GET("/items/12"),
    GET("/plain"),
    "HEAD /plain HTTP/1.1\r\nhost: a\r\n\r\n",
    "GET /plain HTTP/1.0\r\n\r\n",
    "GET /plain HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
    "DELETE /plain HTTP/1.1\r\nhost: a\r\n\r\n",
    "POST /wait HTTP/1.1\r\nhost: a\r\ncontent-length: 7\r\n\r\nabcdefg",
    "POST /pull HTTP/1.1\r\nhost: a\r\ncontent-length: 7\r\n\r\nabcdefg",
    "POST /pull HTTP/1.1\r\nhost: a\r\ncontent-length: 70000\r\n\r\nabcdefg",
    "POST /hello HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
    "POST /pull HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n"
    "abc",
    "POST /wait HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    "3\r\nabc\r\n4;a=b\r\ndefg\r\n0\r\n\r\n",
    "POST /pull HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    "3\r\nabc\r\n4\r\ndefg\r\n0\r\nx: y\r\n\r\n",
    "POST /pull HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd",
    "GET /none HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    "\r\n",
    "BROKEN\r\n\r\n",
    GET("/big"),
};
enum { PIECES = sizeof pieces / sizeof pieces[0] };

static held *held_of(uint64_t handle)
{
    for (int i = 0; i < held_count; i++)
        if (in_hand[i].handle == handle)
            return &in_hand[i];
    return NULL;
}

static void over(held *h)
{
    *h = in_hand[--held_count];
}

static void hear_events(void)
{
    poll_engine();
    for (int i = 0; i < count; i++) {
        const cv_event *event = &events[i];
        held *h = held_of(event->handle);
        switch (event->kind) {
        case CV_REQUEST: {
            const cv_request *r = request_of(event);
            CHECK(h == NULL && held_count < HELD);
            CHECK(r->method_size > 0 && arena[r->head + r->method_at] >= 'A');
            CHECK(memcmp(arena + r->head + r->head_size - 4, "\r\n\r\n", 4) == 0);
            if (event->flags & CV_BODY_COMPLETE)
                CHECK(event->size == 7 || event->size == 3);
            if (event->flags & CV_BODY_COMPLETE && event->size == 7)
                CHECK(memcmp(arena + r->body, "abcdefg", 7) == 0);
            in_hand[held_count++] = (held){
                .handle = event->handle,
                .body_over = event->flags & (CV_BODY_COMPLETE | CV_BODY_NONE),
                .credit = options.high_water,
            };
            break;
        }
        case CV_BODY:
            if (CHECK(h != NULL && h->reading)) {
                h->reading = 0;
                h->body_over = event->flags & (CV_BODY_COMPLETE | CV_BODY_BROKEN);
                for (uint32_t k = 0; k < event->size; k++)
                    CHECK(arena[event->at + k] != 0);
            }
            break;
        case CV_ROOM:
            if (CHECK(h != NULL && h->streaming)) {
                h->credit += event->size;
                CHECK(h->gone || h->credit <= options.high_water);
            }
            break;
        case CV_GONE:
            if (CHECK(h != NULL && !h->gone))
                h->gone = 1;
            break;
        case CV_TIMER:
            CHECK(h != NULL && event->extra == 77);
            break;
        case CV_REFUSED:
            CHECK(h == NULL);
            break;
        case CV_LOG: {
            static uint8_t lines[1 << 16];
            CHECK(cv_engine_log(engine, lines, sizeof lines) > 0);
            break;
        }
        }
    }
}

static void act_on_held(void)
{
    if (!held_count)
        return;
    held *h = &in_hand[below((uint32_t)held_count)];
    uint64_t handle = h->handle;
    char body[3000];
    memset(body, 'b', sizeof body);
    uint32_t size = below(3) ? below(50) : below(sizeof body - 1);
    body[size] = 0;
    CHECK(cv_engine_is_current(engine, handle));
    switch (below(h->streaming ? 8 : 12)) {
    case 0:
        if (!h->reading) {
            h->reading = 1;
            op(handle, CV_READ);
        }
        return;
    case 1:
        arm(handle, 77, below(5000));
        return;
    case 2:
        op(handle, below(4) ? CV_READ + 90 : CV_DROP);
        if (!cv_engine_is_current(engine, handle))
            over(h);
        return;
    case 3:
        op(handle, CV_ABORT);
        over(h);
        return;
    default:
        break;
    }
    if (h->streaming) {
        int more = below(4) != 0;
        if (size > h->credit)
            size = (uint32_t)h->credit;
        body[size] = 0;
        h->credit -= size;
        if (!more && below(2))
            CHECK(submit(handle, CV_TRAILERS, 0, 0, below(2) ? "x: y\r\n" : "bad!!!", 6) == 0);
        else
            chunk(handle, body, more ? CV_MORE : 0);
        if (!cv_engine_is_current(engine, handle))
            over(h);
        else
            CHECK(more);
        return;
    }
    switch (below(6)) {
    case 0: {
        static const char *const fields[] = {"", "content-length: 40\r\n", "x: y\r\n", "bad\n\r\n",
                                             "connection: close\r\n"};
        if (size > h->credit)
            size = (uint32_t)h->credit;
        body[size] = 0;
        h->credit -= size;
        h->streaming = 1;
        reply(handle, below(5) ? 200 : 204, CV_MORE | (below(9) ? 0 : CV_CLOSE), fields[below(5)],
              body);
        if (!cv_engine_is_current(engine, handle))
            over(h);
        return;
    }
    case 1:
        reply(handle, 200 + (int)below(4) * 100, below(9) ? 0 : CV_CLOSE,
              below(5) ? "a: b\r\n" : "a: b", body);
        break;
    default:
        answer(handle, body);
    }
    CHECK(!cv_engine_is_current(engine, handle));
    over(h);
}

static void act_on_client(void)
{
    uint32_t i = below(CLIENTS);
    client *c = &clients[i];
    if (!alive[i]) {
        c->number = cv_engine_open(engine);
        if (c->number) {
            c->out = calloc(1, 1);
            c->size = 0;
            c->closed = 0;
            alive[i] = 1;
        }
        return;
    }
    switch (below(12)) {
    case 0:
        leave(c);
        alive[i] = 0;
        return;
    case 1:
        if (below(3) == 0)
            cv_engine_feed_end(engine, c->number);
        return;
    case 2:
    case 3:
    case 4:
        drain_some(c, below(3) ? below(500) : 400000);
        forget(c);
        return;
    default: {
        char bytes[4096];
        size_t size = 0;
        for (uint32_t k = 1 + below(5); k; k--) {
            /* Mostly good ones: the bad end a connection. */
            uint32_t which = below(8) ? below(14) : below(PIECES);
            size_t part = strlen(pieces[which]);
            memcpy(bytes + size, pieces[which], part);
            size += part;
        }
        for (size_t at = 0; at < size;) {
            size_t part = below(3) ? size - at : 1 + below((uint32_t)(size - at));
            int64_t taken = feed_bytes(c, bytes + at, part);
            CHECK(taken <= (int64_t)part);
            if (taken < (int64_t)part)
                return;
            at += part;
            if (below(4) == 0)
                hear_events();
        }
    }
    }
}

static void one_life(uint64_t seed, int steps)
{
    state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    cv_options_default(&options);
    options.max_in_flight = 1 + below(20);
    options.max_pipelined = 1 + below(8);
    options.max_connections = 4 + below(12);
    options.max_header_bytes = 1024;
    options.block_size = 1;
    options.arena_size = below(2) ? 3 * 16384 : 64 * 16384;
    options.high_water = 100 + below(4000);
    options.low_water = options.high_water / 4;
    options.work = 1 + below(4);
    options.access_log = (uint8_t)below(2);
    start();
    held_count = 0;
    memset(alive, 0, sizeof alive);
    for (int step = 0; step < steps; step++) {
        switch (below(40)) {
        case 0:
            cv_engine_advance(engine, below(10) ? 0.5 : 20);
            break;
        case 1:
            if (below(4) == 0) {
                cv_engine_hold(engine);
                hear_events();
                cv_engine_begin(engine, make_routes());
            }
            break;
        case 2:
            if (below(50) == 0)
                cv_engine_stop(engine);
            break;
        case 3:
            if (below(200) == 0)
                cv_engine_close(engine);
            break;
        default:
            if (below(3) == 0)
                hear_events();
            else if (below(2))
                act_on_held();
            else
                act_on_client();
        }
        if (cv_failures) {
            fprintf(stderr, "seed %llu, step %d\n", (unsigned long long)seed, step);
            exit(1);
        }
    }
    if (below(2)) {
        /* As it is. */
        for (int i = 0; i < CLIENTS; i++)
            if (alive[i])
                free(clients[i].out);
        cv_engine_free(engine);
        return;
    }
    for (int i = 0; i < CLIENTS; i++)
        if (alive[i])
            leave(&clients[i]);
    for (int turn = 0; turn < 10; turn++) {
        hear_events();
        while (held_count) {
            op(in_hand[0].handle, CV_DROP);
            over(&in_hand[0]);
        }
    }
    finish();
    if (cv_failures) {
        fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    int lives = argc > 1 && strcmp(argv[1], "quick") == 0 ? 10 : argc > 1 ? atoi(argv[1]) : 300;
    for (int seed = 1; seed <= lives; seed++)
        one_life((uint64_t)seed, 1000);
    return cv_failures != 0;
}
