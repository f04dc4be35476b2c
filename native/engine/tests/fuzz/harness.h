/* An engine without sockets for the fuzz targets, small in all things so that limits are met. */
#ifndef COVET_HARNESS_H
#define COVET_HARNESS_H

#include "covet_engine.h"
#include "pieces.h"

enum { CV_HARNESS_ARENA = 1 << 20 };

static inline cv_options cv_harness_options(void)
{
    cv_options options;
    cv_options_default(&options);
    options.max_connections = 6;
    options.max_header_bytes = 400;
    options.max_fields = 12;
    options.max_chunk_overhead = 200;
    options.block_size = 9000;
    options.arena_size = CV_HARNESS_ARENA;
    return options;
}

/* Routes to Python, at once and with the body, and answers of the table's own. */
static inline cv_routes *cv_harness_routes(int everything, int flags)
{
    cv_routes *routes = cv_routes_new();
    PROMISE(routes != NULL);
    PROMISE(cv_routes_add_template(routes, 200, "content-type: text/plain\r\n", 26) == 0);
    if (everything) {
        cv_routes_set_everything(routes, 1, flags);
        return routes;
    }
    int fixed = cv_routes_add_answer(routes, 200, "x: fixed\r\n", 10, "hello", 5, "\"e\"", 3);
    int missing = cv_routes_add_answer(routes, 404, "", 0, "none", 4, "", 0);
    PROMISE(fixed >= 0 && missing >= 0);
    int leaf = cv_routes_add_path(routes, "/", 1, "");
    PROMISE(cv_routes_set_answer(routes, leaf, "GET", fixed) == 0);
    leaf = cv_routes_add_path(routes, "/a/{}", 5, "s");
    PROMISE(cv_routes_set_route(routes, leaf, "GET", 2, 0) == 0);
    PROMISE(cv_routes_set_route(routes, leaf, "POST", 3, 0) == 0);
    PROMISE(cv_routes_take(routes, 2, 4, 0, NULL, 0, 's', 0, 16) == 0);
    PROMISE(cv_routes_take(routes, 2, 4, -1, "q", 1, 's', 16, 100) == 0);
    PROMISE(cv_routes_take(routes, 2, 4, -1, "n", 1, 'i', 116, 8) == 0);
    leaf = cv_routes_add_path(routes, "/w", 2, "");
    PROMISE(cv_routes_set_route(routes, leaf, "POST", 4, CV_ROUTE_WAIT) == 0);
    PROMISE(cv_routes_set_default(routes, 404, missing) == 0);
    return routes;
}

/* Bytes that grow. */
typedef struct cv_bytes {
    uint8_t *at;
    size_t size, capacity;
} cv_bytes;

static inline void cv_add(cv_bytes *bytes, const void *at, size_t size)
{
    if (bytes->capacity - bytes->size < size) {
        bytes->capacity = 2 * (bytes->size + size);
        bytes->at = realloc(bytes->at, bytes->capacity);
        PROMISE(bytes->at != NULL);
    }
    if (size != 0)
        memcpy(bytes->at + bytes->size, at, size);
    bytes->size += size;
}

static inline void cv_add_reply(cv_bytes *bytes, uint64_t handle, int op, int code, int flags,
                                const void *payload, size_t size)
{
    cv_reply reply = {.handle = handle,
                      .size = (uint32_t)size,
                      .code = (uint16_t)code,
                      .op = (uint8_t)op,
                      .flags = (uint8_t)flags};
    cv_add(bytes, &reply, sizeof reply);
    cv_add(bytes, payload, size);
}

/* The record of a request, and whether all it says is within the arena. */
static inline cv_request cv_request_at(const cv_engine *engine, uint32_t at)
{
    uint64_t size;
    const uint8_t *arena = cv_engine_arena(engine, &size);
    cv_request request;
    PROMISE(at + sizeof request <= size);
    memcpy(&request, arena + at, sizeof request);
    PROMISE((uint64_t)request.head + request.head_size <= size);
    PROMISE((uint64_t)request.body + request.body_size <= size);
    PROMISE(request.method_at + request.method_size <= request.head_size);
    PROMISE(request.target_at + request.target_size <= request.head_size);
    PROMISE(request.path_at + request.path_size <= request.head_size);
    PROMISE(request.query_at + request.query_size <= request.head_size);
    PROMISE(request.host_at + request.host_size <= request.head_size);
    PROMISE(request.content_type_at + request.content_type_size <= request.head_size);
    PROMISE(request.params <= CV_PARAMS);
    for (int i = 0; i < request.params; i++)
        PROMISE(request.param[2 * i] + request.param[2 * i + 1] <= request.head_size);
    PROMISE(memcmp(arena + request.head + request.head_size - 4, "\r\n\r\n", 4) == 0);
    return request;
}

/* Who feeds a connection, and takes turns meanwhile. */
typedef struct cv_feeder {
    cv_engine *engine;
    uint64_t connection;
    const int *closed; /* whether a turn has found it so */
    int (*turn)(void *who); /* returns whether there was anything to do */
    void *who;
} cv_feeder;

/* Feed everything in pieces, and then the end. */
static inline void cv_harness_feed(const cv_feeder *f, const uint8_t *bytes, size_t size,
                                   cv_dice *dice, enum cv_cut cut)
{
    for (size_t fed = 0; fed < size && !*f->closed;) {
        size_t piece = cv_piece(dice, cut, size - fed);
        uint8_t *exact = cv_exact(bytes + fed, piece);
        for (size_t taken = 0; taken < piece && !*f->closed;) {
            int64_t more = cv_engine_feed(f->engine, f->connection, exact + taken, piece - taken);
            int busy = 0;
            while (f->turn(f->who))
                busy = 1;
            PROMISE(more >= 0 && (more > 0 || busy || *f->closed)); /* else it would hang */
            taken += (size_t)more;
        }
        free(exact);
        fed += piece;
    }
    if (*f->closed)
        return;
    cv_engine_feed_end(f->engine, f->connection);
    while (f->turn(f->who))
        continue;
}

#endif
