/* What the tests of connections share: an engine with a few routes, a client in memory that keeps what
 * it was sent, and events by kind. */
#ifndef COVET_ENGINE_CASE_H
#define COVET_ENGINE_CASE_H

#include "check.h"
#include "covet_engine.h"
#include "head.h"

enum { ROUTE_ITEM = 7, ROUTE_WAIT = 8, ROUTE_PULL = 9, ROUTE_PLAIN = 10 };

typedef struct client {
    uint64_t number;
    char *out; /* what was drained, ended by a NUL */
    size_t size;
    int closed;
} client;

static cv_options options;
static cv_engine *engine;
static cv_event *events;
static uint8_t *arena;
static int count; /* events of the last poll */
static int template_json, template_empty;

static cv_routes *make_routes(void)
{
    static char large[300000];
    memset(large, 'L', sizeof large);
    cv_routes *routes = cv_routes_new();
    int hello = cv_routes_add_answer(routes, 200, "content-type: text/plain\r\n", 26, "hello", 5,
                                     "\"v1\"", 4);
    int big = cv_routes_add_answer(routes, 200, "content-type: text/plain\r\n", 26, large,
                                   sizeof large, NULL, 0);
    int refuse = cv_routes_add_answer(routes, 405, "allow: GET\r\n", 12, "", 0, NULL, 0);
    int leaf = cv_routes_add_path(routes, "/hello", 6, "");
    cv_routes_set_answer(routes, leaf, "GET", hello);
    cv_routes_set_answer(routes, leaf, "", refuse);
    leaf = cv_routes_add_path(routes, "/big", 4, "");
    cv_routes_set_answer(routes, leaf, "GET", big);
    leaf = cv_routes_add_path(routes, "/items/{}", 9, "i");
    cv_routes_set_route(routes, leaf, "GET", ROUTE_ITEM, 0);
    leaf = cv_routes_add_path(routes, "/wait", 5, "");
    cv_routes_set_route(routes, leaf, "POST", ROUTE_WAIT, CV_ROUTE_WAIT);
    leaf = cv_routes_add_path(routes, "/pull", 5, "");
    cv_routes_set_route(routes, leaf, "POST", ROUTE_PULL, 0);
    leaf = cv_routes_add_path(routes, "/plain", 6, "");
    cv_routes_set_route(routes, leaf, "GET", ROUTE_PLAIN, 0);
    cv_routes_set_route(routes, leaf, "DELETE", ROUTE_PLAIN, 0);
    template_json =
        cv_routes_add_template(routes, 200, "content-type: application/json\r\n", 32);
    template_empty = cv_routes_add_template(routes, 204, "", 0);
    return routes;
}

static void start(void)
{
    uint64_t size;
    engine = cv_engine_new(&options);
    CHECK(engine != NULL);
    events = cv_engine_events(engine);
    arena = cv_engine_arena(engine, &size);
    count = 0;
    cv_engine_begin(engine, make_routes());
}

/* With a small arena: a sanitizer keeps books of every byte of it. */
static inline void default_options(void)
{
    cv_options_default(&options);
    options.arena_size = 16 << 20;
}

static inline void start_default(void)
{
    default_options();
    start();
}

static cv_counters *counters(void)
{
    return cv_engine_counters(engine);
}

static inline client connect_client(void)
{
    client c = {.number = cv_engine_open(engine)};
    CHECK(c.number != 0);
    c.out = calloc(1, 1);
    return c;
}

/* Take at most this much of what was sent. */
static inline void drain_some(client *c, size_t most)
{
    static uint8_t into[1 << 16];
    while (most && !c->closed) {
        int64_t size =
            cv_engine_drain(engine, c->number, into, most < sizeof into ? most : sizeof into);
        if (size < 0)
            c->closed = 1;
        if (size <= 0)
            return;
        c->out = realloc(c->out, c->size + (size_t)size + 1);
        memcpy(c->out + c->size, into, (size_t)size);
        c->size += (size_t)size;
        c->out[c->size] = 0;
        most -= (size_t)size;
    }
}

static inline const char *drain(client *c)
{
    drain_some(c, SIZE_MAX);
    return c->out;
}

/* What was sent since the last forgetting. */
static inline void forget(client *c)
{
    c->size = 0;
    c->out[0] = 0;
}

static inline void leave(client *c)
{
    cv_engine_drop(engine, c->number);
    free(c->out);
    c->out = NULL;
}

static inline int64_t feed_bytes(client *c, const void *bytes, size_t size)
{
    uint8_t *copy = cv_copy(bytes, size);
    int64_t taken = cv_engine_feed(engine, c->number, copy, size);
    free(copy);
    return taken;
}

static inline void feed(client *c, const char *text)
{
    size_t size = strlen(text);
    CHECK(feed_bytes(c, text, size) == (int64_t)size);
}

static int poll_engine(void)
{
    return count = cv_engine_poll(engine);
}

/* The first event of this kind of the last poll, or NULL. */
static inline const cv_event *event_of(int kind)
{
    for (int i = 0; i < count; i++)
        if (events[i].kind == kind)
            return &events[i];
    return NULL;
}

static inline const cv_request *request_of(const cv_event *event)
{
    return (const cv_request *)(const void *)(arena + event->at);
}

/* Poll; exactly one request comes. */
static inline uint64_t request(void)
{
    poll_engine();
    CHECK(count == 1);
    const cv_event *event = event_of(CV_REQUEST);
    CHECK(event != NULL);
    return event ? event->handle : 0;
}

static inline int submit(uint64_t handle, int op, int code, int flags, const void *payload, size_t size)
{
    cv_reply reply = {handle, (uint32_t)size, (uint16_t)code, (uint8_t)op, (uint8_t)flags};
    uint8_t *bytes = malloc(sizeof reply + size);
    memcpy(bytes, &reply, sizeof reply);
    if (size)
        memcpy(bytes + sizeof reply, payload, size);
    int result = cv_engine_submit(engine, bytes, sizeof reply + size);
    free(bytes);
    return result;
}

static inline void answer(uint64_t handle, const char *body)
{
    CHECK(submit(handle, CV_ANSWER, template_json, 0, body, strlen(body)) == 0);
}

static inline void reply(uint64_t handle, int status, int flags, const char *fields, const char *body)
{
    size_t fields_size = strlen(fields), body_size = strlen(body);
    uint32_t size32 = (uint32_t)fields_size;
    char *payload = malloc(4 + fields_size + body_size + 1);
    memcpy(payload, &size32, 4);
    memcpy(payload + 4, fields, fields_size);
    memcpy(payload + 4 + fields_size, body, body_size);
    CHECK(submit(handle, CV_REPLY, status, flags, payload, 4 + fields_size + body_size) == 0);
    free(payload);
}

static inline void chunk(uint64_t handle, const char *body, int flags)
{
    CHECK(submit(handle, CV_CHUNK, 0, flags, body, strlen(body)) == 0);
}

static inline void op(uint64_t handle, int what)
{
    CHECK(submit(handle, what, 0, 0, NULL, 0) == 0);
}

static inline void arm(uint64_t handle, uint32_t number, uint32_t milliseconds)
{
    uint32_t payload[2] = {number, milliseconds};
    CHECK(submit(handle, CV_ARM, 0, 0, payload, sizeof payload) == 0);
}

static inline int starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static inline int ends(const char *text, const char *with)
{
    size_t size = strlen(text), with_size = strlen(with);
    return size >= with_size && strcmp(text + size - with_size, with) == 0;
}

static inline int times(const char *text, const char *what)
{
    int found = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        found++;
    return found;
}

/* Everything is given back: no connection, request or input block is left. */
static inline void finish(void)
{
    poll_engine();
    poll_engine();
    CHECK(counters()->connections == 0);
    CHECK(counters()->in_flight == 0);
    CHECK(counters()->blocks == 0);
    cv_engine_free(engine);
    engine = NULL;
}

#define GET(path) "GET " path " HTTP/1.1\r\nhost: a\r\n\r\n"

#endif
