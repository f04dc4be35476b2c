/* The connection over memory: order, bodies, framing, refusals, timeouts, the end. */
#define _GNU_SOURCE
#include "engine_case.h"

#define EXPECTING(path, length)                                                                    \
    "POST /" path " HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: " length       \
    "\r\n\r\n"

static int quick;

static void pipelined_answers_keep_their_order(void)
{
    start_default();
    client c = connect_client();
    feed(&c, GET("/hello") GET("/items/1") GET("/hello") GET("/items/2"));
    CHECK(times(drain(&c), "hello") == 1);
    CHECK(poll_engine() == 2);
    uint64_t first = events[0].handle, second = events[1].handle;
    const cv_request *r = request_of(&events[1]);
    CHECK(memcmp(arena + r->head + r->path_at, "/items/2", 8) == 0);
    CHECK(r->params == 1 && r->param[1] == 1 && arena[r->head + r->param[0]] == '2');
    CHECK(r->content_length == UINT64_MAX && r->family == 0 && r->minor == 1);
    CHECK(events[0].route == ROUTE_ITEM && events[0].flags == CV_BODY_NONE);
    forget(&c);
    answer(second, "second");
    CHECK(!cv_engine_is_current(engine, second));
    CHECK(drain(&c)[0] == 0);
    answer(first, "first!");
    drain(&c);
    char *at = strstr(c.out, "first!");
    CHECK(at && (at = strstr(at, "hello")) && strstr(at, "second"));
    CHECK(counters()->requests == 4 && counters()->native == 2 && counters()->status[2] == 4);
    leave(&c);
    finish();
}

static void every_split_gives_the_same(void)
{
    static const char *const texts[] = {
        GET("/hello") "\r\n" GET("/items/5"),
        "POST /wait HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nabcde" GET("/hello"),
        "POST /wait HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nx: y\r\n\r\n" GET("/hello"),
        "POST /pull HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nabcde" GET("/hello"),
        "POST /pull HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" GET("/hello"),
        GET("/items/5") "GET /bad\x01 HTTP/1.1\r\n\r\n" GET("/hello"),
        "POST /wait HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcX\r\n",
    };
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
        const char *text = texts[t];
        size_t size = strlen(text);
        char *expected = NULL;
        for (size_t split = 0; split <= size + 1; split += quick ? 17 : 1) {
            start_default();
            client c = connect_client();
            char body[32] = "";
            size_t body_size = 0;
            for (size_t at = 0; at < size;) {
                size_t part = split == 0 ? size : split > size ? 1 : at == 0 ? split : size - at;
                if (part > size - at)
                    part = size - at;
                int64_t taken = feed_bytes(&c, text + at, part);
                CHECK(taken == (int64_t)part || c.closed || taken <= 0 || taken < (int64_t)part);
                if (taken <= 0 && !poll_engine() && drain(&c) && c.closed)
                    break;
                at += taken > 0 ? (size_t)taken : 0;
                for (int turn = 0; turn < 4; turn++) {
                    poll_engine();
                    cv_event seen[8];
                    int many = count < 8 ? count : 8;
                    memcpy(seen, events, (size_t)many * sizeof *seen);
                    for (int i = 0; i < many; i++) {
                        const cv_event *event = &seen[i];
                        int whole = event->flags & (CV_BODY_COMPLETE | CV_BODY_NONE);
                        if (event->kind == CV_REQUEST) {
                            const cv_request *r = request_of(event);
                            if (event->flags & CV_BODY_COMPLETE) {
                                memcpy(body, arena + r->body, r->body_size);
                                body_size = r->body_size;
                            }
                        } else if (event->kind == CV_BODY) {
                            memcpy(body + body_size, arena + event->at, event->size);
                            body_size += event->size;
                        } else {
                            continue;
                        }
                        body[body_size] = 0;
                        if (whole)
                            answer(event->handle, body);
                        else
                            op(event->handle, CV_READ);
                    }
                    drain(&c);
                }
            }
            drain(&c);
            /* A second may pass between two runs. */
            for (char *date = c.out; (date = strstr(date, "date: ")) != NULL; date += 35)
                memset(date, '-', 35);
            if (!expected) {
                expected = strdup(c.out);
                CHECK(strlen(expected) > 50);
            } else if (!CHECK(strcmp(expected, c.out) == 0)) {
                fprintf(stderr, "text %zu, split %zu\n", t, split);
                cv_show("expected", (const uint8_t *)expected, strlen(expected));
                cv_show("got", (const uint8_t *)c.out, c.size);
            }
            leave(&c);
            finish();
        }
        free(expected);
    }
}

/* bad input 17 */
static void nothing_behind_a_bad_request_is_parsed(void)
{
    start_default();
    client c = connect_client();
    feed(&c, GET("/items/1") GET("/hello") "BROKEN\r\n\r\n" GET("/items/2"));
    uint64_t handle = request();
    CHECK(drain(&c)[0] == 0);
    answer(handle, "{}");
    drain(&c);
    char *at = strstr(c.out, "{}");
    CHECK(at && (at = strstr(at, "hello")) && (at = strstr(at, "HTTP/1.1 400 Bad Request\r\n")));
    CHECK(at && strstr(at, "connection: close\r\n") && ends(at, "\r\n\r\n"));
    CHECK(c.closed);
    CHECK(poll_engine() == 0);
    CHECK(counters()->malformed == 1 && counters()->requests == 2);
    leave(&c);
    finish();
}

static void behind_an_unsafe_request_everything_waits(void)
{
    start_default();
    client c = connect_client();
    feed(&c, "DELETE /plain HTTP/1.1\r\nhost: a\r\n\r\n" GET("/items/1"));
    uint64_t handle = request();
    CHECK(poll_engine() == 0);
    answer(handle, "gone");
    handle = request();
    answer(handle, "one");
    CHECK(ends(drain(&c), "one"));
    leave(&c);
    finish();
}

static void a_body_waits_to_be_complete(void)
{
    start_default();
    client c = connect_client();
    feed(&c, "POST /wait HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc");
    CHECK(poll_engine() == 0);
    feed(&c, "def");
    uint64_t handle = request();
    const cv_request *r = request_of(&events[0]);
    CHECK(events[0].flags == CV_BODY_COMPLETE && events[0].size == 6);
    CHECK(r->body_size == 6 && memcmp(arena + r->body, "abcdef", 6) == 0);
    CHECK(r->content_length == 6);
    op(handle, CV_READ); /* of a body that is complete: its end */
    poll_engine();
    CHECK(count == 1 && events[0].kind == CV_BODY && events[0].flags == CV_BODY_COMPLETE);
    CHECK(events[0].size == 0);
    answer(handle, "{}");
    CHECK(ends(drain(&c), "{}"));
    leave(&c);
    finish();
}

static void a_body_that_fits_no_block_is_pulled(void)
{
    start_default();
    client c = connect_client();
    size_t size = 500000;
    char *body = malloc(size);
    for (size_t i = 0; i < size; i++)
        body[i] = (char)('a' + i % 23);
    feed(&c, "POST /wait HTTP/1.1\r\nhost: a\r\ncontent-length: 500000\r\n\r\n");
    uint64_t handle = request();
    CHECK(events[0].flags == 0);
    size_t fed = 0, got = 0;
    int last = 0, good = 1;
    for (int turn = 0; turn < 1000 && !last; turn++) {
        op(handle, CV_READ);
        int64_t taken = feed_bytes(&c, body + fed, size - fed > 70000 ? 70000 : size - fed);
        fed += taken > 0 ? (size_t)taken : 0;
        poll_engine();
        const cv_event *event = event_of(CV_BODY);
        if (event) {
            good = good && event->size <= size - got &&
                   memcmp(arena + event->at, body + got, event->size) == 0;
            got += event->size;
            last = event->flags & CV_BODY_COMPLETE;
        }
        CHECK(counters()->blocks <= 3);
    }
    CHECK(good && last && got == size);
    answer(handle, "{}");
    CHECK(ends(drain(&c), "{}"));
    free(body);
    leave(&c);
    finish();
}

static void a_chunked_body_that_fits_no_block_is_pulled(void)
{
    start_default();
    client c = connect_client();
    feed(&c, "POST /wait HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    CHECK(poll_engine() == 0);
    enum { CHUNKS = 300 };
    char piece[1100];
    uint64_t handle = 0;
    size_t got = 0;
    int last = 0, sent = 0, good = 1;
    size_t head = (size_t)sprintf(piece, "400\r\n");
    memset(piece + head, 'x', 1024);
    memcpy(piece + head + 1024, "\r\n", 2);
    size_t at = 0, total = head + 1026;
    for (int turn = 0; turn < 5000 && !last; turn++) {
        if (sent < CHUNKS) {
            int64_t taken = feed_bytes(&c, piece + at, total - at);
            at += taken > 0 ? (size_t)taken : 0;
            if (at == total) {
                at = 0;
                sent++;
                if (sent == CHUNKS)
                    feed(&c, "0\r\n\r\n");
            }
        }
        poll_engine();
        for (int i = 0; i < count; i++) {
            if (events[i].kind == CV_REQUEST) {
                handle = events[i].handle;
                CHECK(events[i].flags == 0);
            } else if (events[i].kind == CV_BODY) {
                for (uint32_t k = 0; k < events[i].size; k++)
                    good = good && arena[events[i].at + k] == 'x';
                got += events[i].size;
                last = events[i].flags & CV_BODY_COMPLETE;
            }
        }
        if (handle && !last)
            op(handle, CV_READ);
    }
    CHECK(good && last && got == (size_t)CHUNKS * 1024);
    answer(handle, "{}");
    CHECK(ends(drain(&c), "{}"));
    leave(&c);
    finish();
}

/* bad input 19 */
static void continue_is_sent_once_when_the_body_is_wanted(void)
{
    start_default();
    client c = connect_client();
    feed(&c, EXPECTING("wait", "4"));
    uint64_t handle = request();
    CHECK(events[0].flags == 0 && drain(&c)[0] == 0);
    op(handle, CV_READ);
    CHECK(strcmp(drain(&c), "HTTP/1.1 100 Continue\r\n\r\n") == 0);
    forget(&c);
    feed(&c, "ab");
    poll_engine();
    CHECK(count == 1 && events[0].kind == CV_BODY && events[0].size == 2 && !events[0].flags);
    op(handle, CV_READ);
    CHECK(drain(&c)[0] == 0);
    feed(&c, "cd");
    poll_engine();
    CHECK(count == 1 && events[0].size == 2 && events[0].flags == CV_BODY_COMPLETE);
    answer(handle, "{}");
    CHECK(starts(drain(&c), "HTTP/1.1 200"));

    /* The bytes came already: nobody waits for it. */
    forget(&c);
    feed(&c, EXPECTING("pull", "4") "a");
    handle = request();
    op(handle, CV_READ);
    poll_engine();
    CHECK(events[0].kind == CV_BODY && events[0].size == 1);
    CHECK(drain(&c)[0] == 0);
    leave(&c);
    poll_engine();
    op(handle, CV_DROP);
    finish();
}

/* Continue must not be taken for the answer to an earlier request. */
static void continue_waits_for_its_turn(void)
{
    start_default();
    client c = connect_client();
    feed(&c, GET("/items/1")
                 EXPECTING("pull", "2"));
    CHECK(poll_engine() == 2);
    uint64_t first = events[0].handle, second = events[1].handle;
    op(second, CV_READ);
    CHECK(drain(&c)[0] == 0);
    answer(first, "one");
    CHECK(ends(drain(&c), "oneHTTP/1.1 100 Continue\r\n\r\n"));
    feed(&c, "ab");
    CHECK(poll_engine() == 1 && events[0].flags == CV_BODY_COMPLETE);
    answer(second, "two");
    CHECK(ends(drain(&c), "two"));
    leave(&c);
    finish();
}

/* bad input 18 */
static void a_body_nobody_read_is_passed_over_or_ends_the_connection(void)
{
    static const struct {
        const char *length;
        int goes_on;
    } cases[] = {{"30", 1}, {"65536", 1}, {"10000000", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char head[200];
        start_default();
        client c = connect_client();
        sprintf(head, "POST /pull HTTP/1.1\r\nhost: a\r\ncontent-length: %s\r\n\r\n",
                cases[i].length);
        feed(&c, head);
        uint64_t handle = request();
        answer(handle, "no");
        drain(&c);
        CHECK((strstr(c.out, "connection: close") == NULL) == cases[i].goes_on);
        CHECK(c.closed == !cases[i].goes_on);
        size_t left = (size_t)atol(cases[i].length);
        const char smuggled[] = GET("/items/666");
        for (size_t fed = 0; cases[i].goes_on && fed < left; fed++)
            CHECK(feed_bytes(&c, smuggled + fed % (sizeof smuggled - 1), 1) == 1);
        CHECK(poll_engine() == 0);
        if (cases[i].goes_on) {
            feed(&c, GET("/hello"));
            CHECK(ends(drain(&c), "hello"));
        }
        leave(&c);
        finish();
    }
    /* Natively, and with a body that is here already. */
    start_default();
    client c = connect_client();
    feed(&c, "POST /hello HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nGET /" GET("/hello"));
    CHECK(starts(drain(&c), "HTTP/1.1 405") && ends(c.out, "hello"));
    forget(&c);
    feed(&c, "POST /hello HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
             "3\r\nGET\r\n0\r\n\r\n" GET("/hello"));
    CHECK(starts(drain(&c), "HTTP/1.1 405") && ends(c.out, "hello"));
    forget(&c);
    feed(&c, EXPECTING("hello", "5"));
    CHECK(starts(drain(&c), "HTTP/1.1 405") && strstr(c.out, "connection: close\r\n"));
    CHECK(c.closed);
    leave(&c);
    finish();
}

/* bad inputs 8, 9, 12 */
static void a_broken_body_is_never_complete(void)
{
    static const struct {
        const char *body;
        int end;
        const char *status;
        uint32_t why;
    } cases[] = {
        {"3\r\nabcX", 0, "HTTP/1.1 400 ", CV_GONE_MALFORMED},
        {"0x5\r\nabcde\r\n", 0, "HTTP/1.1 400 ", CV_GONE_MALFORMED},
        {"3\r\nabc\r\n0\r\n", 1, "HTTP/1.1 400 ", CV_GONE_CLOSED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        start_default();
        client c = connect_client();
        feed(&c, "POST /pull HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
        uint64_t handle = request();
        op(handle, CV_READ);
        feed(&c, cases[i].body);
        if (cases[i].end)
            cv_engine_feed_end(engine, c.number);
        int broken = 0, gone = 0, complete = 0;
        for (int turn = 0; turn < 4; turn++) {
            poll_engine();
            int pieces = 0;
            for (int k = 0; k < count; k++) {
                broken += events[k].kind == CV_BODY && events[k].flags & CV_BODY_BROKEN;
                complete += events[k].kind == CV_BODY && events[k].flags & CV_BODY_COMPLETE;
                gone += events[k].kind == CV_GONE && events[k].extra == cases[i].why;
                pieces += events[k].kind == CV_BODY;
            }
            if (pieces && !broken)
                op(handle, CV_READ);
        }
        CHECK(broken == 1 && gone == 1 && complete == 0);
        CHECK(starts(drain(&c), cases[i].status) && c.closed);
        CHECK(times(c.out, "HTTP/1.1") == 1);
        CHECK(cv_engine_is_current(engine, handle));
        answer(handle, "late");
        CHECK(!cv_engine_is_current(engine, handle));
        CHECK(counters()->stale == 0);
        leave(&c);
        finish();
    }
    /* Held back for a handler: it never hears of it. */
    start_default();
    client c = connect_client();
    feed(&c, "POST /wait HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
             "3\r\nabc\r\n0\r\n");
    cv_engine_feed_end(engine, c.number);
    CHECK(poll_engine() == 0);
    CHECK(starts(drain(&c), "HTTP/1.1 400 ") && c.closed);
    leave(&c);
    finish();
}

static void answers_are_framed(void)
{
    start_default();
    client c = connect_client();
    feed(&c, GET("/plain"));
    reply(request(), 201, 0, "x: y\r\n", "made");
    drain(&c);
    CHECK(starts(c.out, "HTTP/1.1 201 Created\r\nx: y\r\ncontent-length: 4\r\ndate: "));
    CHECK(ends(c.out, " GMT\r\n\r\nmade"));

    forget(&c);
    feed(&c, "HEAD /plain HTTP/1.1\r\nhost: a\r\n\r\n");
    uint64_t handle = request();
    CHECK(events[0].flags == (CV_BODY_NONE | CV_HEAD_ONLY));
    reply(handle, 200, 0, "", "body");
    CHECK(strstr(drain(&c), "content-length: 4\r\n") && ends(c.out, "\r\n\r\n"));

    forget(&c);
    feed(&c, GET("/plain"));
    reply(request(), 204, 0, "", "");
    CHECK(!strstr(drain(&c), "content-length") && ends(c.out, "\r\n\r\n"));

    forget(&c);
    feed(&c, GET("/plain"));
    submit(request(), CV_ANSWER, template_empty, 0, NULL, 0);
    CHECK(starts(drain(&c), "HTTP/1.1 204 No Content\r\ndate"));

    forget(&c);
    feed(&c, GET("/plain"));
    handle = request();
    reply(handle, 200, CV_MORE, "", "abc");
    chunk(handle, "0123456789abcdef", CV_MORE);
    chunk(handle, "", CV_MORE);
    CHECK(submit(handle, CV_TRAILERS, 0, 0, "digest: x\r\n", 11) == 0);
    CHECK(strstr(drain(&c), "transfer-encoding: chunked\r\n") && !strstr(c.out, "content-length"));
    CHECK(ends(c.out, "\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\ndigest: x\r\n\r\n"));

    forget(&c);
    feed(&c, GET("/plain"));
    handle = request();
    reply(handle, 200, CV_MORE, "content-length: 6\r\n", "abc");
    chunk(handle, "def", 0);
    CHECK(strstr(drain(&c), "content-length: 6\r\n") && ends(c.out, "\r\n\r\nabcdef"));

    forget(&c);
    feed(&c, GET("/plain"));
    reply(request(), 200, 0, "Date: then\r\n", "");
    CHECK(strstr(drain(&c), "\r\nDate: then\r\n") && times(c.out, "GMT") == 0);

    forget(&c);
    feed(&c, GET("/plain"));
    reply(request(), 200, 0, "connection: keep-alive\r\ncontent-length: 9\r\n", "ab");
    CHECK(!strstr(drain(&c), "connection:") && strstr(c.out, "content-length: 2\r\n"));
    CHECK(!c.closed);

    forget(&c);
    feed(&c, GET("/plain"));
    reply(request(), 299, 0, "Connection: Close\r\n", "");
    CHECK(starts(drain(&c), "HTTP/1.1 299 \r\n") && times(c.out, "connection: close\r\n") == 1);
    CHECK(c.closed);
    leave(&c);
    finish();
}

static void a_length_is_kept_to(void)
{
    static const struct {
        const char *first, *more;
        const char *sent;
    } cases[] = {{"abc", "defg", "abcdef"}, {"abcdefgh", NULL, "abcdef"}, {"abc", "d", "abcd"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        start_default();
        client c = connect_client();
        feed(&c, GET("/plain") GET("/plain"));
        CHECK(poll_engine() == 2);
        uint64_t handle = events[0].handle, next = events[1].handle;
        reply(handle, 200, CV_MORE, "content-length: 6\r\n", cases[i].first);
        if (cases[i].more)
            chunk(handle, cases[i].more, 0);
        CHECK(ends(drain(&c), cases[i].sent) && c.closed);
        CHECK(counters()->aborted == 1);
        CHECK(poll_engine() == 1 && events[0].kind == CV_GONE && events[0].handle == next);
        op(next, CV_DROP);
        leave(&c);
        finish();
    }
}

/* bad input 39 */
static void fields_that_cannot_be_sent_are_refused(void)
{
    static const char *const bad[] = {
        "x: a\rb\r\n", "x: a\nb\r\n", "x: a", "x y: a\r\n", ": a\r\n", "x\r\n", "x: \x01\r\n",
        "x: a\r\n\r\n", "transfer-encoding: chunked\r\n", "connection: upgrade\r\n",
        "content-length: +5\r\n", "content-length: 5\r\ncontent-length: 5\r\n",
        "content-length: 99999999999999999999\r\n", "x: y\r\n evil: z\r\n",
    };
    start_default();
    client c = connect_client();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        forget(&c);
        feed(&c, GET("/plain"));
        uint64_t handle = request();
        reply(handle, 200, i % 2 ? CV_MORE : 0, bad[i], "secret");
        CHECK(starts(drain(&c), "HTTP/1.1 500 ") && !strstr(c.out, "secret"));
        CHECK(strstr(c.out, "content-length: 0\r\n") && ends(c.out, "\r\n\r\n"));
        CHECK(poll_engine() == 1 && events[0].kind == CV_REFUSED && events[0].handle == handle);
        CHECK(events[0].extra == 200);
        CHECK(!cv_engine_is_current(engine, handle));
    }
    static const int statuses[] = {0, 100, 101, 199, 1000};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        forget(&c);
        feed(&c, GET("/plain"));
        reply(request(), statuses[i], 0, "", "");
        CHECK(starts(drain(&c), "HTTP/1.1 500 "));
        poll_engine();
    }
    forget(&c);
    feed(&c, GET("/plain"));
    CHECK(submit(request(), CV_ANSWER, 999, 0, "x", 1) == 0);
    CHECK(starts(drain(&c), "HTTP/1.1 500 "));
    poll_engine();
    leave(&c);
    finish();
}

static void old_clients_are_told_what_they_asked(void)
{
    start_default();
    client c = connect_client();
    feed(&c, "GET /hello HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
    CHECK(strstr(drain(&c), "connection: keep-alive\r\n") && !c.closed);
    feed(&c, "GET /plain HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
    uint64_t handle = request();
    forget(&c);
    reply(handle, 200, CV_MORE, "", "abc");
    chunk(handle, "def", 0);
    CHECK(strstr(drain(&c), "connection: close\r\n") && ends(c.out, "\r\n\r\nabcdef"));
    CHECK(!strstr(c.out, "transfer-encoding") && c.closed);
    leave(&c);
    client d = connect_client();
    feed(&d, "GET /hello HTTP/1.0\r\n\r\n");
    CHECK(strstr(drain(&d), "connection: close\r\n") && d.closed);
    leave(&d);
    finish();
}

static void native_answers_know_conditions(void)
{
    start_default();
    client c = connect_client();
    feed(&c, "GET /hello HTTP/1.1\r\nhost: a\r\nif-none-match: \"v1\"\r\n\r\n");
    CHECK(starts(drain(&c), "HTTP/1.1 304 ") && ends(c.out, "\r\n\r\n"));
    forget(&c);
    feed(&c, "GET /hello HTTP/1.1\r\nhost: a\r\nif-none-match: \"v2\"\r\n\r\n");
    CHECK(starts(drain(&c), "HTTP/1.1 200 ") && ends(c.out, "hello"));
    forget(&c);
    feed(&c, "HEAD /hello HTTP/1.1\r\nhost: a\r\n\r\n");
    CHECK(strstr(drain(&c), "content-length: 5\r\n") && ends(c.out, "\r\n\r\n"));
    forget(&c);
    feed(&c, "GET /hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" GET("/hello"));
    CHECK(times(drain(&c), "hello") == 1 && strstr(c.out, "connection: close\r\n") && c.closed);
    leave(&c);
    finish();
}

/* bad input 25 */
static void a_view_outlives_its_connection(void)
{
    start_default();
    client c = connect_client();
    feed(&c, "POST /wait HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody");
    uint64_t handle = request();
    const cv_request *r = request_of(&events[0]);
    uint8_t before[256];
    uint32_t size = r->head_size + 4;
    memcpy(before, arena + r->head, size);
    cv_request record = *r;
    leave(&c);
    CHECK(counters()->connections == 0);
    /* Others come, and take blocks of their own. */
    client others[20];
    for (int i = 0; i < 20; i++) {
        others[i] = connect_client();
        feed(&others[i], GET("/items/77"));
    }
    poll_engine();
    CHECK(event_of(CV_GONE) && event_of(CV_GONE)->handle == handle);
    CHECK(event_of(CV_GONE)->extra == CV_GONE_CLOSED);
    CHECK(memcmp(before, arena + record.head, size) == 0);
    CHECK(memcmp(&record, r, sizeof record) == 0);
    CHECK(cv_engine_is_current(engine, handle));
    answer(handle, "for nobody");
    CHECK(!cv_engine_is_current(engine, handle));
    CHECK(counters()->stale == 0 && counters()->disconnects == 1);
    answer(handle, "stale");
    CHECK(counters()->stale == 1);
    for (int i = 0; i < count; i++)
        if (events[i].kind == CV_REQUEST)
            op(events[i].handle, CV_DROP);
    for (int i = 0; i < 20; i++)
        leave(&others[i]);
    finish();
}

static void strange_handles_are_counted(void)
{
    start_default();
    static const uint64_t strange[] = {0, 1, UINT64_MAX, UINT64_C(1) << 32, 0xffffffff,
                                       (UINT64_C(7) << 32) | 1};
    uint64_t many = 0;
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++)
        for (int what = 0; what < 12; what++) {
            op(strange[i], what);
            many++;
        }
    CHECK(counters()->stale == many);
    client c = connect_client();
    feed(&c, GET("/plain"));
    uint64_t handle = request();
    chunk(handle, "before its head", CV_MORE);
    op(handle, 99);
    CHECK(counters()->stale == many + 2);
    answer(handle, "{}");
    answer(handle, "{}");
    CHECK(counters()->stale == many + 3);
    CHECK(times(drain(&c), "HTTP/1.1") == 1);
    /* Not a whole number of replies: what is before is applied. */
    feed(&c, GET("/plain"));
    cv_reply reply = {request(), 0, (uint16_t)template_json, CV_ANSWER, 0};
    uint8_t bytes[2 * sizeof reply];
    memcpy(bytes, &reply, sizeof reply);
    reply.size = 1;
    memcpy(bytes + sizeof reply, &reply, sizeof reply);
    CHECK(cv_engine_submit(engine, bytes, sizeof bytes) == -1);
    CHECK(times(drain(&c), "HTTP/1.1") == 2);
    CHECK(cv_engine_submit(engine, bytes, 3) == -1);
    leave(&c);
    finish();
}

static void an_end_while_answering_is_told_and_still_answered(void)
{
    start_default();
    client c = connect_client();
    feed(&c, GET("/plain"));
    uint64_t handle = request();
    cv_engine_feed_end(engine, c.number);
    CHECK(poll_engine() == 1 && events[0].kind == CV_GONE && events[0].extra == CV_GONE_CLOSED);
    CHECK(poll_engine() == 0);
    answer(handle, "still");
    CHECK(ends(drain(&c), "still") && c.closed);
    leave(&c);
    /* Nothing of a request behind it was lost. */
    client d = connect_client();
    feed(&d, "DELETE /plain HTTP/1.1\r\nhost: a\r\n\r\n" GET("/plain"));
    handle = request();
    cv_engine_feed_end(engine, d.number);
    CHECK(poll_engine() == 0);
    answer(handle, "one");
    poll_engine();
    CHECK(event_of(CV_REQUEST) && event_of(CV_GONE));
    answer(event_of(CV_REQUEST)->handle, "two");
    CHECK(ends(drain(&d), "two") && d.closed);
    leave(&d);
    finish();
}

static void resets_in_every_state(void)
{
    static const char *const texts[] = {
        "", "GET /pl", GET("/plain"), GET("/plain") GET("/hello") GET("/pl"),
        "POST /wait HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc",
        "POST /pull HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc",
        "POST /pull HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc",
        "DELETE /plain HTTP/1.1\r\nhost: a\r\n\r\n" GET("/plain"), "BAD\r\n\r\n",
        GET("/big"),
    };
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
        for (int state = 0; state < 8; state++)
            for (int how = 0; how < 3; how++) {
                start_default();
                client c = connect_client();
                feed(&c, texts[t]);
                uint64_t handles[8];
                int many = 0;
                poll_engine();
                for (int i = 0; i < count; i++)
                    handles[many++] = events[i].handle;
                if (many && state == 1)
                    op(handles[0], CV_READ);
                if (many && state == 2)
                    reply(handles[0], 200, CV_MORE, "", "some");
                if (many && state == 3)
                    arm(handles[0], 1, 5);
                if (many && state == 4) {
                    op(handles[0], CV_READ);
                    poll_engine();
                }
                if (many && state == 5)
                    op(handles[0], CV_ABORT);
                if (many && state == 6)
                    reply(handles[0], 200, CV_MORE | CV_CLOSE, "content-length: 9\r\n", "some");
                if (state == 7)
                    drain_some(&c, 5);
                if (how == 1)
                    cv_engine_feed_end(engine, c.number);
                if (how == 2)
                    cv_engine_advance(engine, 1000);
                leave(&c);
                poll_engine();
                for (int i = 0; i < many; i++) {
                    if (state == 2 && i == 0)
                        chunk(handles[i], "more", CV_MORE);
                    op(handles[i], CV_READ);
                }
                poll_engine();
                for (int i = 0; i < many; i++)
                    if (state == 2 && i == 0)
                        chunk(handles[i], "last", 0);
                    else
                        answer(handles[i], "late");
                finish();
            }
}

/* bad input 21 */
static void every_wait_ends(void)
{
    start();
    client c = connect_client();
    cv_engine_advance(engine, 74);
    CHECK(counters()->connections == 1);
    cv_engine_advance(engine, 2);
    CHECK(counters()->connections == 0 && counters()->idle_timeouts == 1);
    CHECK(drain(&c)[0] == 0 && c.closed);
    leave(&c);

    c = connect_client();
    feed(&c, "GET /hel");
    for (int i = 0; i < 4; i++) { /* a byte now and then does not help */
        cv_engine_advance(engine, 2);
        feed(&c, "x");
    }
    CHECK(drain(&c)[0] == 0);
    cv_engine_advance(engine, 2.5);
    CHECK(starts(drain(&c), "HTTP/1.1 408 ") && c.closed);
    CHECK(counters()->header_timeouts == 1);
    leave(&c);

    c = connect_client(); /* one body after the other, each is held back for a time of its own */
    for (int i = 0; i < 5; i++) {
        feed(&c, "POST /wait HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\na");
        poll_engine();
        for (int k = 0; k < 3; k++) {
            CHECK(count == 0);
            cv_engine_advance(engine, 0.03);
            feed(&c, "x");
            poll_engine();
        }
        CHECK(count == 1 && events[0].flags & CV_BODY_COMPLETE);
        answer(events[0].handle, "{}");
    }
    CHECK(times(drain(&c), "200 OK") == 5);
    leave(&c);

    for (int chunked = 0; chunked < 2; chunked++) { /* then Python hears of it and pulls the rest */
        c = connect_client();
        feed(&c, chunked ? "POST /wait HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\na"
                         : "POST /wait HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\na");
        poll_engine();
        CHECK(count == 0);
        cv_engine_advance(engine, 0.2);
        uint64_t late = request();
        CHECK(!(event_of(CV_REQUEST)->flags & CV_BODY_COMPLETE));
        op(late, CV_READ);
        poll_engine();
        CHECK(event_of(CV_BODY)->size == 1);
        op(late, CV_READ);
        feed(&c, chunked ? "bcd\r\n0\r\n\r\n" : "bcd");
        poll_engine();
        CHECK(event_of(CV_BODY)->size == 3);
        answer(late, "{}");
        CHECK(starts(drain(&c), "HTTP/1.1 200 ") && !c.closed);
        leave(&c);
    }

    c = connect_client();
    feed(&c, "POST /pull HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n");
    uint64_t handle = request();
    cv_engine_advance(engine, 1000); /* nobody waits for the body */
    CHECK(counters()->connections == 1);
    op(handle, CV_READ);
    cv_engine_advance(engine, 31);
    poll_engine();
    CHECK(count == 2 && event_of(CV_BODY)->flags == CV_BODY_BROKEN);
    CHECK(event_of(CV_GONE)->extra == CV_GONE_TIMEOUT);
    CHECK(starts(drain(&c), "HTTP/1.1 408 ") && c.closed && counters()->read_timeouts == 1);
    answer(handle, "late");
    leave(&c);

    c = connect_client(); /* what is passed over may pause, but not go on for ever */
    feed(&c, "POST /pull HTTP/1.1\r\nhost: a\r\ncontent-length: 99\r\n\r\n");
    answer(request(), "unread");
    CHECK(ends(drain(&c), "unread"));
    for (int i = 0; i < 3; i++) {
        CHECK(counters()->connections == 1);
        feed(&c, "x");
        cv_engine_advance(engine, 11);
    }
    CHECK(counters()->connections == 0 && counters()->read_timeouts == 2);
    leave(&c);

    c = connect_client();
    feed(&c, GET("/plain"));
    handle = request();
    reply(handle, 200, CV_MORE, "", "0123456789012345678901234567890123456789");
    for (int i = 0; i < 5; i++) {
        cv_engine_advance(engine, 20);
        drain_some(&c, 10);
    }
    CHECK(counters()->connections == 1);
    cv_engine_advance(engine, 31);
    CHECK(counters()->connections == 0 && counters()->write_timeouts == 1);
    poll_engine();
    CHECK(count == 1 && events[0].kind == CV_GONE && events[0].extra == CV_GONE_TIMEOUT);
    op(handle, CV_DROP);
    leave(&c);

    c = connect_client(); /* a request in Python's hands has no timeout here */
    feed(&c, GET("/plain"));
    handle = request();
    cv_engine_advance(engine, 100000);
    answer(handle, "late but good");
    CHECK(ends(drain(&c), "late but good"));
    cv_engine_advance(engine, 76);
    CHECK(counters()->connections == 0);
    leave(&c);
    finish();
}

static void deadlines_come_back(void)
{
    start_default();
    client c = connect_client();
    feed(&c, GET("/plain") GET("/plain") GET("/plain"));
    CHECK(poll_engine() == 3);
    uint64_t a = events[0].handle, b = events[1].handle, d = events[2].handle;
    arm(a, 1, 3000);
    arm(b, 2, 1000);
    arm(d, 3, 2000);
    CHECK(poll_engine() == 0);
    cv_engine_advance(engine, 1.5);
    CHECK(poll_engine() == 1 && events[0].kind == CV_TIMER && events[0].extra == 2);
    CHECK(events[0].handle == b);
    answer(d, "third"); /* answered before: nothing comes */
    arm(a, 4, 1000); /* in place of the first */
    cv_engine_advance(engine, 1.2);
    CHECK(poll_engine() == 1 && events[0].extra == 4 && events[0].handle == a);
    cv_engine_advance(engine, 10);
    CHECK(poll_engine() == 0);
    answer(a, "a");
    answer(b, "b");
    leave(&c);
    finish();
}

static void a_stream_gets_credit_for_what_has_left(void)
{
    default_options();
    options.high_water = 1000;
    options.low_water = 250;
    start();
    client c = connect_client();
    feed(&c, GET("/items/1") GET("/plain"));
    CHECK(poll_engine() == 2);
    uint64_t first = events[0].handle, handle = events[1].handle;
    char piece[501];
    memset(piece, 'p', 500);
    piece[500] = 0;
    reply(handle, 200, CV_MORE, "", piece);
    CHECK(poll_engine() == 0); /* not its turn */
    answer(first, "1");
    chunk(handle, piece, CV_MORE);
    CHECK(poll_engine() == 0); /* nothing was read */
    uint64_t credit = 0;
    for (int i = 0; i < 30 && credit < 1000; i++) {
        drain_some(&c, 100);
        poll_engine();
        if (event_of(CV_ROOM))
            credit += event_of(CV_ROOM)->size;
        CHECK(credit <= c.size);
    }
    drain(&c);
    poll_engine();
    if (event_of(CV_ROOM))
        credit += event_of(CV_ROOM)->size;
    CHECK(credit > 750 && credit <= 1000);
    chunk(handle, "small", CV_MORE); /* little, and there is credit left: nothing to tell */
    drain(&c);
    CHECK(poll_engine() == 0);
    op(handle, CV_ABORT);
    CHECK(!ends(drain(&c), "0\r\n\r\n") && c.closed && counters()->aborted == 1);
    leave(&c);
    finish();
}

/* bad input 23 */
static void a_client_that_does_not_read_is_not_parsed_on(void)
{
    start_default();
    client c = connect_client();
    char *all = malloc(10000 * 40);
    size_t size = 0;
    for (int i = 0; i < 10000; i++)
        size += (size_t)sprintf(all + size, "%s", GET("/hello"));
    size_t fed = 0;
    for (int i = 0; i < 200; i++) {
        int64_t taken = feed_bytes(&c, all + fed, size - fed);
        CHECK(taken >= 0);
        fed += (size_t)taken;
        poll_engine();
    }
    CHECK(fed < size / 2);
    uint64_t answered = counters()->native;
    CHECK(answered > 100 && answered < 3000);
    for (int i = 0; i < 100000 && fed < size; i++) {
        drain_some(&c, 50000);
        int64_t taken = feed_bytes(&c, all + fed, size - fed);
        fed += taken > 0 ? (size_t)taken : 0;
        poll_engine();
    }
    for (int i = 0; i < 200; i++) {
        drain(&c);
        poll_engine();
    }
    CHECK(counters()->native == 10000 && times(c.out, "hello") == 10000);
    free(all);
    leave(&c);
    finish();
}

static void work_is_shared_out(void)
{
    default_options();
    options.work = 4;
    options.max_pipelined = 16;
    start();
    client busy = connect_client(), other = connect_client();
    for (int i = 0; i < 40; i++)
        feed(&busy, GET("/items/1"));
    feed(&other, GET("/items/2"));
    CHECK(poll_engine() == 5);
    int requests = 0;
    for (int turn = 0; turn < 50; turn++) {
        requests += count;
        cv_event seen[64];
        int many = count;
        memcpy(seen, events, (size_t)many * sizeof *seen);
        for (int i = 0; i < many; i++)
            answer(seen[i].handle, "{}");
        poll_engine();
        CHECK(count <= 16);
    }
    CHECK(requests == 41 && times(drain(&busy), "{}") == 40);
    leave(&busy);
    leave(&other);
    finish();
}

static void only_so_many_are_in_flight(void)
{
    default_options();
    options.max_in_flight = 3;
    start();
    client c[5];
    for (int i = 0; i < 5; i++) {
        c[i] = connect_client();
        feed(&c[i], GET("/items/1"));
    }
    CHECK(poll_engine() == 3);
    CHECK(counters()->in_flight == 3 && poll_engine() == 0);
    /* More than the table of exchanges has: every one gets its turn. */
    uint64_t handle = events[0].handle;
    answer(handle, "{}");
    CHECK(poll_engine() == 1);
    CHECK(counters()->in_flight == 3);
    for (int i = 0; i < 5; i++)
        leave(&c[i]);
    poll_engine();
    cv_engine_close(engine);
    cv_engine_free(engine);
}

static void without_blocks_reading_waits(void)
{
    default_options();
    options.block_size = 1; /* raised to what a head takes */
    options.max_header_bytes = 1024;
    options.arena_size = 3 * 20480;
    start();
    client c[6];
    uint64_t handles[6];
    int many = 0;
    for (int i = 0; i < 6; i++) {
        c[i] = connect_client();
        int64_t taken = feed_bytes(&c[i], GET("/items/1"), strlen(GET("/items/1")));
        CHECK(taken == (i < 3 ? (int64_t)strlen(GET("/items/1")) : 0));
    }
    poll_engine();
    CHECK(count == 3 && counters()->blocks == 3);
    for (int i = 0; i < count; i++)
        handles[many++] = events[i].handle;
    CHECK(feed_bytes(&c[4], "G", 1) == 0);
    answer(handles[0], "{}");
    CHECK(counters()->blocks == 2);
    for (int i = 0; i < 3; i++) /* one is let in at a time */
        poll_engine();
    feed(&c[4], GET("/hello"));
    CHECK(ends(drain(&c[4]), "hello"));
    answer(handles[1], "{}");
    answer(handles[2], "{}");
    poll_engine();
    for (int i = 3; i < 6; i++) {
        feed(&c[i], GET("/hello"));
        CHECK(ends(drain(&c[i]), "hello"));
    }
    for (int i = 0; i < 6; i++)
        leave(&c[i]);
    finish();
}

static void held_requests_meet_the_next_table(void)
{
    start_default();
    client c = connect_client();
    feed(&c, GET("/items/1"));
    uint64_t handle = request();
    cv_engine_hold(engine);
    feed(&c, GET("/hello"));
    client d = connect_client();
    feed(&d, GET("/hello"));
    poll_engine();
    cv_engine_advance(engine, 50); /* it is we who let them wait */
    CHECK(count == 0 && drain(&d)[0] == 0 && !d.closed);
    cv_routes *next = cv_routes_new();
    int hello = cv_routes_add_answer(next, 200, "", 0, "new", 3, NULL, 0);
    int leaf = cv_routes_add_path(next, "/hello", 6, "");
    cv_routes_set_answer(next, leaf, "GET", hello);
    cv_engine_begin(engine, next);
    poll_engine();
    answer(handle, "of the old table"); /* its template lives on */
    poll_engine();
    CHECK(strstr(drain(&c), "application/json") && ends(c.out, "new") && ends(drain(&d), "new"));
    leave(&c);
    leave(&d);
    finish();
}

static void stopping_answers_everything(void)
{
    start_default();
    client idle = connect_client(), busy = connect_client(), next = connect_client();
    feed(&busy, GET("/items/1") GET("/items/2"));
    CHECK(poll_engine() == 2);
    uint64_t first = events[0].handle, second = events[1].handle;
    cv_engine_stop(engine);
    answer(first, "one");
    CHECK(!strstr(drain(&busy), "connection: close"));
    answer(second, "two");
    CHECK(strstr(drain(&busy), "connection: close") && ends(busy.out, "two") && busy.closed);
    feed(&next, GET("/hello")); /* one more */
    CHECK(strstr(drain(&next), "connection: close\r\n") && ends(next.out, "hello") && next.closed);
    CHECK(poll_engine() == 0);
    CHECK(!idle.closed && counters()->connections == 1);
    cv_engine_advance(engine, 1.5);
    CHECK(poll_engine() == 1 && events[0].kind == CV_EMPTY);
    CHECK(drain(&idle)[0] == 0 && idle.closed);
    CHECK(poll_engine() == 0);
    leave(&idle);
    leave(&busy);
    leave(&next);
    finish();
}

static void closing_ends_everything(void)
{
    start_default();
    client c = connect_client();
    feed(&c, GET("/items/1"));
    uint64_t handle = request();
    cv_engine_close(engine);
    CHECK(counters()->connections == 0);
    poll_engine();
    CHECK(count == 2 && event_of(CV_GONE)->extra == CV_GONE_STOPPED && event_of(CV_EMPTY));
    answer(handle, "late");
    leave(&c);
    finish();
}

/* bad input 40 */
static void the_log_is_one_ascii_line_each(void)
{
    default_options();
    options.access_log = 1;
    start();
    client c = connect_client();
    feed(&c, "GET /hello?x HTTP/1.1\r\nhost: a\r\nuser-agent: \xe9\t\"x\\\r\n\r\n");
    feed(&c, GET("/items/1"));
    poll_engine();
    CHECK(count == 2 && events[1].kind == CV_LOG);
    uint8_t into[4096];
    size_t size = cv_engine_log(engine, into, sizeof into);
    into[size] = 0;
    drain(&c);
    CHECK(starts((char *)into, "{\"client\":\"\",\"method\":\"GET\",\"target\":\"/hello?x\","
                               "\"http\":\"1.1\",\"status\":200,\"ms\":"));
    CHECK(ends((char *)into, ",\"bytes\":5,\"agent\":\"\\u00e9\\u0009\\\"x\\\\\"}\n"));
    for (size_t i = 0; i + 1 < size; i++)
        CHECK(into[i] >= 0x20 && into[i] < 0x7f);
    CHECK(size > 0 && into[size - 1] == '\n');
    uint64_t handle = 0;
    for (int i = 0; i < count; i++)
        if (events[i].kind == CV_REQUEST)
            handle = events[i].handle;
    reply(handle, 503, 0, "", "abc");
    poll_engine();
    CHECK(event_of(CV_LOG) != NULL);
    CHECK(cv_engine_log(engine, into, 10) == 0); /* no half lines */
    size = cv_engine_log(engine, into, sizeof into);
    into[size] = 0;
    CHECK(strstr((char *)into, "\"status\":503,") && strstr((char *)into, "\"bytes\":3,"));
    feed(&c, GET("/items/2"));
    handle = request();
    leave(&c);
    poll_engine();
    CHECK(event_of(CV_LOG) && event_of(CV_GONE));
    size = cv_engine_log(engine, into, sizeof into);
    into[size] = 0;
    CHECK(strstr((char *)into, "\"status\":499,"));
    op(handle, CV_DROP);
    CHECK(cv_engine_log(engine, into, sizeof into) == 0);
    /* What finds no room is counted; the ring goes round. */
    client d = connect_client();
    uint64_t lines = 0;
    for (int i = 0; i < 12000; i++) {
        feed(&d, GET("/hello"));
        drain(&d);
        forget(&d);
    }
    CHECK(counters()->log_lost > 0);
    while ((size = cv_engine_log(engine, into, sizeof into)) > 0)
        for (size_t i = 0; i < size; i++)
            lines += into[i] == '\n';
    CHECK(lines + counters()->log_lost == 12000);
    leave(&d);
    finish();
}

/* bad input 22 */
static void heads_are_limited(void)
{
    default_options();
    options.max_fields = 10;
    options.max_header_bytes = 2000;
    start();
    client c = connect_client();
    char *head = malloc(100000);
    size_t size = (size_t)sprintf(head, "GET / HTTP/1.1\r\nhost: a\r\n");
    for (int i = 0; i < 11; i++)
        size += (size_t)sprintf(head + size, "x%d: y\r\n", i);
    sprintf(head + size, "\r\n");
    feed(&c, head);
    CHECK(starts(drain(&c), "HTTP/1.1 431 ") && c.closed);
    leave(&c);
    c = connect_client();
    memset(head, 'a', 3000);
    memcpy(head, "GET /", 5);
    for (int i = 0; i < 3000 && !c.closed; i++) {
        if (feed_bytes(&c, head + i, 1) != 1)
            break;
        drain(&c);
    }
    CHECK(starts(drain(&c), "HTTP/1.1 414 ") && c.closed);
    leave(&c);
    c = connect_client();
    for (int i = 0; i < 100; i++)
        feed_bytes(&c, "\r\n", 2);
    CHECK(starts(drain(&c), "HTTP/1.1 400 ") && c.closed);
    free(head);
    leave(&c);
    finish();
}

static void large_answers_wait_for_slow_readers(void)
{
    start_default();
    client c = connect_client();
    size_t size = 3000000;
    char *body = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        body[i] = (char)('a' + i % 26);
    body[size] = 0;
    feed(&c, GET("/items/1") GET("/items/2") GET("/big"));
    CHECK(poll_engine() == 2);
    uint64_t first = events[0].handle, second = events[1].handle;
    reply(second, 200, 0, "", body);
    reply(first, 200, 0, "", "first");
    while (!c.closed && c.size < size + 300000) {
        size_t before = c.size;
        drain_some(&c, 7777);
        poll_engine();
        if (c.size == before)
            break;
    }
    char *at = strstr(c.out, "first");
    CHECK(at && (at = strstr(at, "content-length: 3000000")) && (at = strstr(at, "\r\n\r\n")));
    CHECK(at && memcmp(at + 4, body, size) == 0);
    CHECK(at && starts(at + 4 + size, "HTTP/1.1 200 OK\r\n") && ends(c.out, "LLLL"));
    free(body);
    leave(&c);
    finish();
}

static void connections_are_limited(void)
{
    default_options();
    options.max_connections = 2;
    start();
    client a = connect_client(), b = connect_client();
    CHECK(cv_engine_open(engine) == 0);
    leave(&a);
    client c = connect_client();
    CHECK(a.number != c.number);
    CHECK(cv_engine_feed(engine, a.number, (const uint8_t *)"x", 1) == -1);
    CHECK(cv_engine_feed(engine, 0, (const uint8_t *)"x", 1) == -1);
    CHECK(cv_engine_drain(engine, UINT64_MAX, (uint8_t *)&a, 0) == -1);
    cv_engine_feed_end(engine, a.number);
    cv_engine_drop(engine, a.number);
    leave(&b);
    leave(&c);
    finish();
}

int main(int argc, char **argv)
{
    quick = argc > 1 && strcmp(argv[1], "quick") == 0;
    pipelined_answers_keep_their_order();
    every_split_gives_the_same();
    nothing_behind_a_bad_request_is_parsed();
    behind_an_unsafe_request_everything_waits();
    a_body_waits_to_be_complete();
    a_body_that_fits_no_block_is_pulled();
    a_chunked_body_that_fits_no_block_is_pulled();
    continue_is_sent_once_when_the_body_is_wanted();
    continue_waits_for_its_turn();
    a_body_nobody_read_is_passed_over_or_ends_the_connection();
    a_broken_body_is_never_complete();
    answers_are_framed();
    a_length_is_kept_to();
    fields_that_cannot_be_sent_are_refused();
    old_clients_are_told_what_they_asked();
    native_answers_know_conditions();
    a_view_outlives_its_connection();
    strange_handles_are_counted();
    an_end_while_answering_is_told_and_still_answered();
    resets_in_every_state();
    every_wait_ends();
    deadlines_come_back();
    a_stream_gets_credit_for_what_has_left();
    a_client_that_does_not_read_is_not_parsed_on();
    work_is_shared_out();
    only_so_many_are_in_flight();
    without_blocks_reading_waits();
    held_requests_meet_the_next_table();
    stopping_answers_everything();
    closing_ends_everything();
    the_log_is_one_ascii_line_each();
    heads_are_limited();
    large_answers_wait_for_slow_readers();
    connections_are_limited();
    return cv_failures != 0;
}
