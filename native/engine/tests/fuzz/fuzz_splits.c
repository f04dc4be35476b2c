/* The whole engine on one connection: the same requests and the same answers however the bytes
 * come, and behind a good request.
 *
 * Every request is answered when its body is complete: answers do not depend on the pieces. */
#include "harness.h"

static const char before[] = "GET /good HTTP/1.1\r\nHost: good\r\n\r\n";

enum { HELD = 64 };

typedef struct cv_held {
    uint64_t handle;
    cv_bytes head, body;
    char text[96]; /* of the request, for its answer */
    size_t text_size;
} cv_held;

typedef struct cv_play {
    cv_engine *engine;
    uint64_t connection;
    cv_held held[HELD];
    int held_count;
    cv_bytes seen; /* the complete requests */
    cv_bytes wire; /* the answers */
    int closed;
} cv_play;

static cv_held *find_held(cv_play *play, uint64_t handle)
{
    for (int i = 0; i < play->held_count; i++) {
        if (play->held[i].handle == handle)
            return &play->held[i];
    }
    return NULL;
}

static void release(cv_play *play, cv_held *held)
{
    free(held->head.at);
    free(held->body.at);
    *held = play->held[--play->held_count];
}

static void answer(cv_play *play, cv_held *held, cv_bytes *replies)
{
    static const char fields[] = "content-type: text/plain\r\n";
    uint32_t fields_size = sizeof fields - 1;
    uint32_t body_size = (uint32_t)held->body.size;
    cv_add(&play->seen, held->text, held->text_size);
    cv_add(&play->seen, held->head.at, held->head.size);
    cv_add(&play->seen, &body_size, sizeof body_size);
    cv_add(&play->seen, held->body.at, held->body.size);
    cv_bytes payload = {0};
    cv_add(&payload, &fields_size, sizeof fields_size);
    cv_add(&payload, fields, fields_size);
    cv_add(&payload, held->text, held->text_size);
    cv_add_reply(replies, held->handle, CV_REPLY, 200, 0, payload.at, payload.size);
    free(payload.at);
    release(play, held);
}

static void take_request(cv_play *play, const cv_event *event, cv_bytes *replies)
{
    uint64_t size;
    const uint8_t *arena = cv_engine_arena(play->engine, &size);
    cv_request request = cv_request_at(play->engine, event->at);
    PROMISE(play->held_count < HELD && find_held(play, event->handle) == NULL);
    cv_held *held = &play->held[play->held_count++];
    *held = (cv_held){.handle = event->handle};
    held->text_size = (size_t)snprintf(
        held->text, sizeof held->text, "%u:%d:%u:%.*s\n", (unsigned)event->route,
        (int)request.absent, (unsigned)request.minor, request.target_size < 60 ? request.target_size : 60,
        (const char *)arena + request.head + request.target_at);
    cv_add(&held->head, arena + request.head, request.head_size);
    if ((event->flags & CV_BODY_COMPLETE) != 0)
        cv_add(&held->body, arena + request.body, request.body_size);
    if ((event->flags & (CV_BODY_COMPLETE | CV_BODY_NONE)) != 0)
        answer(play, held, replies);
    else
        cv_add_reply(replies, event->handle, CV_READ, 0, 0, NULL, 0);
}

static int turn(void *who)
{
    cv_play *play = who;
    uint64_t size;
    const uint8_t *arena = cv_engine_arena(play->engine, &size);
    int count = cv_engine_poll(play->engine);
    const cv_event *events = cv_engine_events(play->engine);
    cv_bytes replies = {0};
    PROMISE(count >= 0 && count <= CV_EVENTS);
    for (int i = 0; i < count; i++) {
        const cv_event *event = &events[i];
        if (event->kind == CV_REQUEST) {
            take_request(play, event, &replies);
            continue;
        }
        cv_held *held = find_held(play, event->handle);
        if (event->kind == CV_GONE && held == NULL)
            continue; /* given up in this very turn */
        PROMISE(held != NULL && (event->kind == CV_BODY || event->kind == CV_GONE));
        if (event->kind == CV_GONE) {
            cv_add_reply(&replies, held->handle, CV_DROP, 0, 0, NULL, 0);
            release(play, held);
            continue;
        }
        PROMISE((uint64_t)event->at + event->size <= size);
        cv_add(&held->body, arena + event->at, event->size);
        if ((event->flags & CV_BODY_BROKEN) != 0) {
            cv_add_reply(&replies, held->handle, CV_DROP, 0, 0, NULL, 0);
            release(play, held);
        } else if ((event->flags & CV_BODY_COMPLETE) != 0) {
            answer(play, held, &replies);
        } else {
            cv_add_reply(&replies, held->handle, CV_READ, 0, 0, NULL, 0);
        }
    }
    if (replies.size != 0)
        PROMISE(cv_engine_submit(play->engine, replies.at, replies.size) == 0);
    free(replies.at);
    uint8_t into[512];
    int64_t drained = cv_engine_drain(play->engine, play->connection, into, sizeof into);
    if (drained > 0)
        cv_add(&play->wire, into, (size_t)drained);
    play->closed = drained < 0;
    return count > 0 || drained > 0;
}

/* The same second is not promised, and to continue is said only where that is waited for. */
static void without_clock(cv_bytes *wire)
{
    static const char date[] = "\r\ndate: ";
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    size_t to = 0;
    for (size_t i = 0; i < wire->size;) {
        if (wire->size - i > sizeof date + 28 && memcmp(wire->at + i, date, sizeof date - 1) == 0)
            memset(wire->at + i + sizeof date - 1, 'd', 29);
        size_t size = sizeof go_on - 1;
        if (wire->size - i >= size && memcmp(wire->at + i, go_on, size) == 0)
            i += size;
        else
            wire->at[to++] = wire->at[i++];
    }
    wire->size = to;
}

static cv_play play(const uint8_t *bytes, size_t size, enum cv_cut cut, int everything, int flags)
{
    cv_options options = cv_harness_options();
    cv_dice dice = cv_dice_of(bytes, size);
    options.max_pipelined = 1 + cv_throw(&dice, 8);
    options.work = 1 + cv_throw(&dice, 8);
    cv_play play = {.engine = cv_engine_new(&options)};
    PROMISE(play.engine != NULL);
    cv_engine_begin(play.engine, cv_harness_routes(everything, flags));
    play.connection = cv_engine_open(play.engine);
    PROMISE(play.connection != 0);

    const cv_feeder feeder = {play.engine, play.connection, &play.closed, turn, &play};
    cv_harness_feed(&feeder, bytes, size, &dice, cut);
    PROMISE(play.closed);
    const cv_counters *counters = cv_engine_counters(play.engine);
    PROMISE(play.held_count == 0 && counters->connections == 0 && counters->in_flight == 0);
    PROMISE(cv_engine_poll(play.engine) == 0 && counters->blocks == 0);
    cv_engine_free(play.engine);
    without_clock(&play.wire);
    return play;
}

static void forget(cv_play *play)
{
    free(play->seen.at);
    free(play->wire.at);
}

static int begins_with(const cv_bytes *one, const cv_bytes *other)
{
    return one->size >= other->size &&
           (other->size == 0 || memcmp(one->at, other->at, other->size) == 0);
}

static void promise_same(const cv_play *one, const cv_bytes *seen, const cv_bytes *wire, int early)
{
    if (early) {
        /* An answer that did not wait for its request's body ends the connection if the body has
         * not come meanwhile: then less is seen, but nothing else. */
        PROMISE(begins_with(&one->seen, seen) || begins_with(seen, &one->seen));
        return;
    }
    if (one->wire.size != wire->size || !begins_with(&one->wire, wire)) {
        fprintf(stderr, "one wire:\n%.*s\nother wire:\n%.*s\n", (int)one->wire.size, one->wire.at,
                (int)wire->size, wire->at);
        abort();
    }
    PROMISE(one->seen.size == seen->size && begins_with(&one->seen, seen));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    for (int table = 0; table < 3; table++) {
        int everything = table < 2;
        int flags = table == 1 ? CV_ROUTE_WAIT : 0;
        cv_play whole = play(bytes, size, CV_CUT_NEVER, everything, flags);
        for (int cut = CV_CUT_ALWAYS; cut < CV_CUTS; cut++) {
            cv_play split = play(bytes, size, cut, everything, flags);
            promise_same(&whole, &split.seen, &split.wire, !everything);
            forget(&split);
        }
        cv_bytes longer = {0};
        cv_add(&longer, before, sizeof before - 1);
        cv_play good = play(longer.at, longer.size, CV_CUT_NEVER, everything, flags);
        cv_add(&longer, bytes, size);
        cv_play behind = play(longer.at, longer.size, CV_CUT_NEVER, everything, flags);
        cv_add(&good.seen, whole.seen.at, whole.seen.size);
        cv_add(&good.wire, whole.wire.at, whole.wire.size);
        promise_same(&behind, &good.seen, &good.wire, !everything);
        free(longer.at);
        forget(&good);
        forget(&behind);
        forget(&whole);
    }
    return 0;
}
