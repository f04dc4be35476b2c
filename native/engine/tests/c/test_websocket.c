/* WebSocket from the handshake to the last byte, over connections in memory. */
#include "handshake.h"
#include "websocket.h"
#include "websocket_case.h"

static void check_handshake(void)
{
    start_case();
    client c = connect_client();
    feed(&c, HANDSHAKE);
    uint64_t handle = request();
    CHECK(event_of(CV_REQUEST)->flags == (CV_UPGRADE | CV_BODY_NONE));
    CHECK(counters()->in_flight == 1);
    accept_with(handle, "sec-websocket-protocol: chat\r\n");
    drain(&c);
    CHECK(strstr(c.out, "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") != NULL);
    CHECK(strstr(c.out, "connection: upgrade\r\n") != NULL);
    CHECK(strstr(c.out, "upgrade: websocket\r\n") != NULL);
    CHECK(strstr(c.out, "sec-websocket-protocol: chat\r\n") != NULL);
    CHECK(strstr(c.out, "sec-websocket-extensions") == NULL);
    CHECK(counters()->in_flight == 0 && counters()->websockets == 1);
    CHECK(counters()->status[1] == 1);
    leave_channel(handle);
    CHECK(counters()->connections == 1);
    leave(&c);
    finish();
}

static void check_bad_handshakes(void)
{
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"POST /plain HTTP/1.1\r\n" HANDSHAKE_LINES "sec-websocket-version: 13\r\n\r\n", 400},
        {"GET /plain HTTP/1.1\r\n" HANDSHAKE_LINES "\r\n", 426},
        {"GET /plain HTTP/1.1\r\n" HANDSHAKE_LINES "sec-websocket-version: 8\r\n\r\n", 426},
        {"GET /plain HTTP/1.1\r\n" HANDSHAKE_LINES "sec-websocket-version: 013\r\n\r\n", 426},
        {"GET /plain HTTP/1.1\r\n" HANDSHAKE_LINES "sec-websocket-version: 13\r\n"
         "sec-websocket-version: 13\r\n\r\n", 400},
        {"GET /plain HTTP/1.1\r\n" HANDSHAKE_LINES "sec-websocket-version: 13\r\n"
         "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", 400},
        {"GET /plain HTTP/1.1\r\n" HANDSHAKE_LINES "sec-websocket-version: 13\r\n"
         "content-length: 3\r\n\r\nabc", 400},
        {"GET /plain HTTP/1.1\r\n" HANDSHAKE_LINES "sec-websocket-version: 13\r\n"
         "transfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"GET /plain HTTP/1.1\r\n" HANDSHAKE_LINES "sec-websocket-version: 13\r\n"
         "sec-websocket-protocol: a,,b\r\n\r\n", 400},
        {"GET /plain HTTP/1.1\r\n" HANDSHAKE_LINES "sec-websocket-version: 13\r\n"
         "sec-websocket-protocol: a b\r\n\r\n", 400},
        {"GET /plain HTTP/1.1\r\n" HANDSHAKE_LINES "sec-websocket-version: 13\r\n"
         "sec-websocket-protocol: caf\xe9\r\n\r\n", 400},
        {"GET /plain HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
         "sec-websocket-version: 13\r\nsec-websocket-key: short==\r\n\r\n", 400},
        {"GET /plain HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
         "sec-websocket-version: 13\r\n\r\n", 400},
        {"GET /plain HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\n\r\n", 400},
        {"GET /plain HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
         "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZ!==\r\n\r\n", 400},
    };
    start_case();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        client c = connect_client();
        char wanted[32];
        snprintf(wanted, sizeof wanted, "HTTP/1.1 %d ", cases[i].status);
        feed_bytes(&c, cases[i].text, strlen(cases[i].text));
        feed_bytes(&c, GET("/hello"), strlen(GET("/hello")));
        poll_engine();
        if (!CHECK(count == 0 && starts(drain(&c), wanted) && times(c.out, "HTTP/1.1") == 1))
            fprintf(stderr, "    case %zu: %s\n", i, c.out);
        CHECK((cases[i].status == 426) == (strstr(c.out, "sec-websocket-version: 13\r\n") != NULL));
        leave(&c);
    }
    /* What only looks like one is an ordinary request. */
    static const char *const plain[] = {
        "GET /plain HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websockets\r\n\r\n",
        "GET /plain HTTP/1.0\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        client c = connect_client();
        feed(&c, plain[i]);
        uint64_t handle = request();
        CHECK(event_of(CV_REQUEST)->flags == CV_BODY_NONE);
        accept_with(handle, "");
        CHECK(starts(drain(&c), "HTTP/1.1 500 "));
        leave(&c);
        poll_engine();
    }
    finish();
}

static void check_refusal(void)
{
    start_case();
    client c = connect_client();
    feed(&c, HANDSHAKE);
    uint64_t handle = request();
    feed(&c, GET("/plain"));
    poll_engine();
    CHECK(count == 0); /* frames for all we know */
    reply(handle, 403, 0, "", "no");
    poll_engine();
    CHECK(count == 0 && starts(drain(&c), "HTTP/1.1 403 Forbidden\r\n"));
    CHECK(strstr(c.out, "connection: close\r\n") != NULL && times(c.out, "HTTP/1.1") == 1);
    leave(&c);
    c = connect_client();
    feed(&c, HANDSHAKE);
    handle = request();
    accept_with(handle, "x: a\n\r\n");
    CHECK(starts(drain(&c), "HTTP/1.1 500 "));
    poll_engine();
    CHECK(event_of(CV_REFUSED) != NULL);
    leave(&c);
    /* It waits for the answers before it. */
    c = connect_client();
    feed(&c, GET("/plain") HANDSHAKE);
    handle = request();
    poll_engine();
    CHECK(count == 0);
    answer(handle, "{}");
    handle = request();
    CHECK(event_of(CV_REQUEST)->flags & CV_UPGRADE);
    /* The client leaves before it is answered: the channel begins and ends. */
    leave(&c);
    poll_engine();
    CHECK(event_of(CV_GONE) != NULL);
    accept_with(handle, "");
    poll_engine();
    CHECK(count == 1 && event_of(CV_CLOSED) && event_of(CV_CLOSED)->extra == CV_CLOSE_ABNORMAL);
    leave_channel(handle);
    say(handle, 0, "x");
    CHECK(counters()->stale == 1);
    finish();
}

static void check_held_bytes(void)
{
    start_case();
    client c = connect_client();
    wire w = {0};
    wire_add(&w, HANDSHAKE, strlen(HANDSHAKE));
    wire_frame(&w, 0x81, "early", 5);
    wire_send(&w, &c);
    uint64_t handle = request();
    /* Within bounds, and not looked at. */
    static uint8_t much[1 << 20];
    memset(much, 'G', sizeof much);
    int64_t taken = feed_bytes(&c, much, sizeof much);
    CHECK(taken >= 0 && taken < 128 * 1024);
    CHECK(feed_bytes(&c, much, sizeof much) == 0);
    poll_engine();
    CHECK(count == 0);
    accept_with(handle, "");
    heard h = {0};
    hear(&h);
    CHECK(h.messages == 1 && h.closed == CV_CLOSE_PROTOCOL && heard_is(&h, "early"));
    free(h.at);
    leave_channel(handle);
    leave(&c);
    finish();
}

static void check_sizes(void)
{
    static const size_t sizes[] = {0, 1, 125, 126, 127, 65535, 65536, 65537, 300000, 1 << 20};
    start_case();
    client c;
    uint64_t handle = open_channel(&c);
    static uint8_t payload[(1 << 20) + 1];
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)(i * 7 + i / 251);
    heard h = {0};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        wire w = {0};
        wire_frame(&w, 0x82, payload, sizes[i]);
        h.size = 0;
        wire_say(&w, &c, &h, SIZE_MAX);
        CHECK(h.messages == (int)i + 1 && !h.text && h.size == sizes[i]);
        CHECK(memcmp(h.at, payload, h.size) == 0);
        take(handle, 1, (uint32_t)sizes[i]);
        CHECK(submit(handle, CV_SEND, 0, CV_MESSAGE_PLAIN, payload, sizes[i]) == 0);
        unsigned first = 0;
        size_t at = 0;
        drain(&c);
        CHECK(sent_frame(&c, 0, &first, &at) == (int64_t)sizes[i] && first == 0x82);
        CHECK(at + sizes[i] == c.size && memcmp(c.out + at, payload, sizes[i]) == 0);
        forget(&c);
    }
    send_frame(&c, 0x82, payload, (1 << 20) + 1);
    hear(&h);
    CHECK(h.closed == CV_CLOSE_TOO_BIG && close_sent(&c) == CV_CLOSE_TOO_BIG);
    free(h.at);
    leave_channel(handle);
    leave(&c);
    finish();
}

/* The same messages however the bytes come, with fragments and pings between them. */
static void check_splits(void)
{
    wire w = {0};
    wire_frame(&w, 0x01, "fr\xc3", 3);
    wire_frame(&w, 0x89, "ping", 4);
    wire_frame(&w, 0x00, "\xbcher", 4);
    wire_frame(&w, 0x00, "", 0);
    wire_frame(&w, 0x8a, "pong", 4);
    wire_frame(&w, 0x80, " \xf0\x9f\x98\x80", 5);
    wire_frame(&w, 0x82, "\xff\xfe", 2);
    wire_frame(&w, 0x88, "\x03\xe8" "bye", 5);
    default_options();
    for (size_t piece = 1; piece <= w.size; piece++) {
        start_case_with();
        client c;
        uint64_t handle = open_channel(&c);
        heard h = {0};
        int found = 0, both = 0;
        for (size_t done = 0; done < w.size; done += piece) {
            size_t size = w.size - done < piece ? w.size - done : piece;
            CHECK(feed_bytes(&c, w.at + done, size) == (int64_t)size);
            int before = h.messages;
            hear(&h);
            both |= h.messages - before == 2;
            if (h.messages == 2 && before < 2)
                CHECK(h.size == 2 && !h.text && memcmp(h.at, "\xff\xfe", 2) == 0);
            if (h.messages == 1 && before < 1)
                found = h.text && heard_is(&h, "fr\xc3\xbc" "her \xf0\x9f\x98\x80");
        }
        CHECK(found || both);
        CHECK(h.messages == 2 && h.closed == 1000 && strcmp(h.reason, "bye") == 0);
        CHECK(close_sent(&c) == 1000);
        CHECK(memcmp(c.out, "\x8a\x04ping", 6) == 0);
        free(h.at);
        leave_channel(handle);
        free(c.out);
        finish();
    }
    free(w.at);
}

static void check_broken(void)
{
    static const struct {
        const char *bytes;
        size_t size;
        int code;
    } cases[] = {
        {"\x81\x02hi", 4, 1002}, /* not masked */
        {"\xc1", 1, 1002}, /* RSV1 without compression: said when the head is whole */
        {"\xa1", 1, 1002},
        {"\x91", 1, 1002},
        {"\x83", 1, 1002},
        {"\x8b", 1, 1002},
        {"\x09", 1, 1002}, /* a ping in pieces */
        {"\x89\xfe", 2, 1002}, /* a ping of more than 125 bytes */
        {"\x80\x80" "abcd", 6, 1002}, /* goes on with nothing */
        {"\x82\xfe\x00\x05" "abcd", 8, 1002}, /* longer than need be */
        {"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff" "abcd", 14, 1002},
        {"\x82\xff\x80", 3, 1002}, /* 2^63 and more */
        {"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff" "abcd", 14, 1009},
        {"\x01\x80" "abcd" "\x81\x80" "abcd", 12, 1002}, /* begins while another goes on */
        {"\x81\x81\0\0\0\0\xff", 7, 1007},
        {"\x81\x82\0\0\0\0\xc0\xaf", 8, 1007},
        {"\x81\x83\0\0\0\0\xed\xa0\x80", 9, 1007},
        {"\x81\x84\0\0\0\0\xf4\x90\x80\x80", 10, 1007},
        {"\x81\x81\0\0\0\0\xc3", 7, 1007}, /* ends within a character */
        {"\x01\x81\0\0\0\0\xc3\x80\x81\0\0\0\0\x28", 14, 1007},
        {"\x01\x8a\0\0\0\0\xc3\x28", 8, 1007}, /* before the frame is whole */
        {"\x88\x81\0\0\0\0\x03", 7, 1002},
        {"\x88\x82\0\0\0\0\x03\xed", 8, 1002}, /* 1005 */
        {"\x88\x82\0\0\0\0\x03\xe7", 8, 1002}, /* 999 */
        {"\x88\x82\0\0\0\0\x13\x88", 8, 1002}, /* 5000 */
        {"\x88\x83\0\0\0\0\x03\xe8\xff", 9, 1007},
        {"\x88\x80\0\0\0\0", 6, 1005},
        {"\x88\x82\0\0\0\0\x0b\xb8", 8, 3000},
    };
    start_case();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int split = 0; split < 2; split++) {
            client c;
            uint64_t handle = open_channel(&c);
            if (split)
                for (size_t k = 0; k < cases[i].size; k++)
                    feed_bytes(&c, cases[i].bytes + k, 1);
            else
                feed_bytes(&c, cases[i].bytes, cases[i].size);
            if (i == 1)
                feed_bytes(&c, "\x80" "abcd", 5);
            heard h = {0};
            hear(&h);
            if (!CHECK(h.messages == 0 && h.closed == cases[i].code &&
                       close_sent(&c) == cases[i].code))
                fprintf(stderr, "    case %zu: %d\n", i, h.closed);
            say(handle, 0, "late");
            leave_channel(handle);
            leave(&c);
            free(h.at);
        }
    finish();
}

static void check_caps(void)
{
    default_options();
    options.max_unread = 3;
    start_case_with();
    limits.max_fragments = 4;
    limits.max_control_frames = 5;
    client c;
    heard h = {0};
    uint64_t handle = open_channel(&c);
    /* Fragments. */
    wire w = {0};
    wire_frame(&w, 0x01, "1", 1);
    for (int i = 0; i < 4; i++)
        wire_frame(&w, 0x00, "1", 1);
    wire_send(&w, &c);
    hear(&h);
    CHECK(h.closed == CV_CLOSE_TOO_BIG && close_sent(&c) == CV_CLOSE_TOO_BIG);
    leave_channel(handle);
    leave(&c);
    /* Empty ones are few, however many may carry something. */
    limits.max_fragments = 1000;
    handle = open_channel(&c);
    h = (heard){.at = h.at};
    wire_frame(&w, 0x01, "", 0);
    for (int i = 0; i < 5; i++)
        wire_frame(&w, 0x00, "", 0);
    wire_send(&w, &c);
    CHECK(close_sent(&c) == 0);
    send_frame(&c, 0x00, "", 0);
    hear(&h);
    CHECK(h.closed == CV_CLOSE_POLICY && close_sent(&c) == CV_CLOSE_POLICY);
    leave_channel(handle);
    leave(&c);
    handle = open_channel(&c);
    h = (heard){.at = h.at};
    /* Pings beyond what ten seconds may have. */
    for (int i = 0; i < 5; i++)
        wire_frame(&w, 0x89, "", 0);
    wire_send(&w, &c);
    cv_engine_advance(engine, 10);
    for (int i = 0; i < 5; i++)
        wire_frame(&w, 0x89, "", 0);
    wire_send(&w, &c);
    CHECK(close_sent(&c) == 0 && c.size == 20);
    wire_frame(&w, 0x89, "", 0);
    wire_send(&w, &c);
    hear(&h);
    CHECK(h.closed == CV_CLOSE_POLICY && close_sent(&c) == CV_CLOSE_POLICY);
    leave_channel(handle);
    leave(&c);
    /* Messages wait until Python has taken those before. */
    handle = open_channel(&c);
    h = (heard){.at = h.at};
    for (int i = 0; i < 10; i++)
        send_text(&c, "m");
    hear(&h);
    CHECK(h.messages == 3);
    take(handle, 2, 2);
    hear(&h);
    CHECK(h.messages == 5);
    take(handle, 5, 5);
    hear(&h);
    CHECK(h.messages == 8);
    /* One that says more than it has is not believed. */
    take(handle, 1000, 1000);
    hear(&h);
    CHECK(h.messages == 10);
    leave_channel(handle);
    leave(&c);
    free(h.at);
    finish();
}

static void check_times(void)
{
    start_case();
    client c;
    heard h = {0};
    uint64_t handle = open_channel(&c);
    cv_engine_advance(engine, 21);
    CHECK(drain(&c) && c.size == 2 && memcmp(c.out, "\x89\0", 2) == 0);
    forget(&c);
    send_frame(&c, 0x8a, "", 0);
    cv_engine_advance(engine, 19);
    CHECK(drain(&c) && c.size == 0);
    cv_engine_advance(engine, 2);
    CHECK(drain(&c) && c.size == 2);
    cv_engine_advance(engine, 21);
    hear(&h);
    CHECK(h.closed == CV_CLOSE_ABNORMAL && counters()->ping_timeouts == 1);
    CHECK(counters()->connections == 0 && counters()->websockets == 0);
    leave_channel(handle);
    free(c.out);
    /* A message that is announced and does not come. */
    handle = open_channel(&c);
    h = (heard){0};
    feed_bytes(&c, "\x82\xff\0\0\0\0\0\x0f\xff\xff" "abcd" "x", 15);
    for (int i = 0; i < 12; i++) {
        feed_bytes(&c, "y", 1); /* nor drop by drop */
        cv_engine_advance(engine, 5.5);
    }
    hear(&h);
    CHECK(h.messages == 0 && h.closed == CV_CLOSE_PROTOCOL && counters()->read_timeouts == 1);
    CHECK(close_sent(&c) == CV_CLOSE_PROTOCOL);
    leave_channel(handle);
    leave(&c);
    /* A client that does not answer our close frame. */
    handle = open_channel(&c);
    h = (heard){0};
    CHECK(submit(handle, CV_SHUT, 1001, 0, "away", 4) == 0);
    CHECK(drain(&c) && c.size == 8 && memcmp(c.out, "\x88\x06\x03\xe9" "away", 8) == 0);
    send_text(&c, "thrown away");
    say(handle, 0, "too late");
    CHECK(drain(&c) && c.size == 8);
    hear(&h);
    CHECK(h.messages == 0 && !h.closed);
    cv_engine_advance(engine, 11);
    hear(&h);
    CHECK(h.closed == CV_CLOSE_ABNORMAL && counters()->connections == 0);
    leave_channel(handle);
    free(c.out);
    /* One that does, after more messages. */
    handle = open_channel(&c);
    h = (heard){0};
    send_frame(&c, 0x01, "begun", 5);
    CHECK(submit(handle, CV_SHUT, 4000, 0, "", 0) == 0);
    send_frame(&c, 0x80, "ended", 5);
    send_frame(&c, 0x88, "\x0f\xa0", 2);
    hear(&h);
    CHECK(h.messages == 0 && h.closed == 4000 && close_sent(&c) == 4000);
    CHECK(cv_engine_drain(engine, c.number, arena, 0) < 0);
    leave_channel(handle);
    free(c.out);
    /* One that leaves without a word. */
    handle = open_channel(&c);
    h = (heard){0};
    cv_engine_feed_end(engine, c.number);
    hear(&h);
    CHECK(h.closed == CV_CLOSE_ABNORMAL);
    leave_channel(handle);
    free(c.out);
    finish();
}

static uint32_t broadcast(const uint64_t *handles, uint32_t many, int flags, const void *bytes,
                          size_t size, uint32_t *left_out)
{
    uint8_t *exact = cv_copy(bytes, size);
    uint32_t left = cv_engine_broadcast(engine, handles, many, flags, exact, size, left_out);
    free(exact);
    return left;
}

static void check_slow(void)
{
    start_case();
    limits.max_queue_bytes = 100000;
    limits.max_queue_messages = 50;
    client slow, quick;
    uint64_t handles[3];
    uint32_t left[3] = {0};
    handles[0] = open_channel(&slow);
    handles[1] = open_channel(&quick);
    handles[2] = 77; /* nobody */
    static uint8_t payload[30000];
    memset(payload, 'b', sizeof payload);
    heard h = {0};
    for (int i = 0; i < 8; i++) {
        uint32_t out = broadcast(handles, 3, CV_MESSAGE_TEXT, payload, sizeof payload, left);
        CHECK(out == (i < 3 ? 1u : 2u) && left[out - 1] == 2 && (i < 3 || left[0] == 0));
        drain(&quick);
    }
    CHECK(quick.size == 8 * 30004 && counters()->messages_left_out == 5);
    CHECK(cv_engine_waiting(engine, handles[0]) == (3 * 30000 | UINT64_C(3) << 40));
    op(handles[0], CV_DRAIN);
    hear(&h);
    CHECK(h.drained == 0);
    drain_some(&slow, 3 * 30004 - 50001);
    hear(&h);
    CHECK(h.drained == 0);
    drain_some(&slow, 1);
    hear(&h);
    CHECK(h.drained == 1);
    drain(&slow);
    CHECK(slow.size == 3 * 30004 && memcmp(slow.out, quick.out, slow.size) == 0);
    CHECK((uint8_t)slow.out[0] == 0x81 && (uint8_t)slow.out[1] == 126);
    CHECK(cv_engine_waiting(engine, handles[0]) == 0 && cv_engine_waiting(engine, 77) == 0);
    op(handles[0], CV_DRAIN);
    hear(&h);
    CHECK(h.drained == 2);
    /* One that is too large alone has a place while nothing waits. */
    for (int i = 0; i < 4; i++)
        say(handles[0], CV_MESSAGE_PLAIN, "before");
    CHECK(broadcast(handles, 1, 0, payload, sizeof payload, left) == 0);
    drain(&slow);
    forget(&slow);
    /* Many small ones. */
    for (int i = 0; i < 70; i++)
        CHECK(broadcast(handles, 1, 0, "s", 1, left) == (i >= 50));
    op(handles[0], CV_DRAIN);
    hear(&h);
    CHECK(h.drained == 2);
    drain(&slow);
    hear(&h);
    CHECK(h.drained == 3 && slow.size == 50 * 3);
    /* Broken off in the middle, with a frame that is shared. */
    CHECK(broadcast(handles, 2, 0, payload, sizeof payload, left) == 0);
    leave(&slow);
    drain(&quick);
    CHECK(broadcast(handles, 2, 0, payload, sizeof payload, left) == 1 && left[0] == 0);
    CHECK(broadcast(handles, 0, 0, payload, sizeof payload, left) == 0);
    leave_channel(handles[0]);
    CHECK(submit(handles[1], CV_SHUT, 1000, 0, NULL, 0) == 0);
    CHECK(broadcast(handles, 2, 0, payload, sizeof payload, left) == 2 && left[1] == 1);
    leave_channel(handles[1]);
    leave(&quick);
    free(h.at);
    /* A client that takes nothing is cut. */
    handles[0] = open_channel(&slow);
    say(handles[0], 0, "never read");
    cv_engine_advance(engine, 31);
    h = (heard){0};
    hear(&h);
    CHECK(h.closed == CV_CLOSE_ABNORMAL && counters()->write_timeouts == 1);
    leave_channel(handles[0]);
    free(slow.out);
    finish();
}

static void check_pings(void)
{
    start_case();
    client c;
    heard h = {0};
    uint64_t handle = open_channel(&c);
    uint32_t number = 0x01020304, other = 5;
    CHECK(submit(handle, CV_PING, 0, 0, &number, 4) == 0);
    CHECK(drain(&c) && c.size == 6 && memcmp(c.out, "\x89\x04", 2) == 0);
    CHECK(memcmp(c.out + 2, &number, 4) == 0);
    send_frame(&c, 0x8a, &other, 4);
    send_frame(&c, 0x8a, "", 0);
    hear(&h);
    CHECK(h.pong == 0);
    send_frame(&c, 0x8a, &number, 4);
    hear(&h);
    CHECK(h.pong == number);
    h.pong = 0;
    send_frame(&c, 0x8a, &number, 4);
    hear(&h);
    CHECK(h.pong == 0);
    /* Cut at once. */
    op(handle, CV_CUT);
    hear(&h);
    CHECK(h.closed == CV_CLOSE_ABNORMAL && counters()->connections == 0);
    op(handle, CV_CUT);
    op(handle, CV_DRAIN);
    leave_channel(handle);
    free(c.out);
    finish();
}

/* Channels of many kinds at once: each kind's times are its own. */
static void check_limit_sets(void)
{
    start_case();
    client c[CV_LIMIT_SETS + 1];
    uint64_t handles[CV_LIMIT_SETS];
    for (int i = 0; i < CV_LIMIT_SETS; i++) {
        limits.ping_interval = 100 - i;
        handles[i] = open_channel(&c[i]);
    }
    limits.ping_interval = 5;
    client *one = &c[CV_LIMIT_SETS];
    *one = connect_client();
    feed(one, HANDSHAKE);
    accept_with(request(), "");
    CHECK(starts(drain(one), "HTTP/1.1 500 "));
    leave(one);
    poll_engine();
    cv_engine_advance(engine, 95.5);
    for (int i = 0; i < CV_LIMIT_SETS; i++) {
        drain(&c[i]);
        CHECK((c[i].size > 0) == (i >= 5));
    }
    leave_channel(handles[3]);
    leave(&c[3]);
    limits.ping_interval = 5;
    handles[3] = open_channel(&c[3]);
    for (int i = 0; i < CV_LIMIT_SETS; i++) {
        leave_channel(handles[i]);
        leave(&c[i]);
    }
    finish();
}

static void check_negotiation(void)
{
    static const struct {
        const char *offer, *answer; /* NULL: none */
    } cases[] = {
        {"permessage-deflate", "; server_no_context_takeover; client_no_context_takeover"},
        {"permessage-deflate; client_max_window_bits",
         "; server_no_context_takeover; client_no_context_takeover"},
        {"permessage-deflate; server_max_window_bits=10",
         "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10"},
        {"permessage-deflate; client_max_window_bits=\"9\"",
         "; server_no_context_takeover; client_no_context_takeover; client_max_window_bits=9"},
        {"permessage-deflate; server_max_window_bits=99", NULL},
        {"permessage-deflate; server_max_window_bits=8", NULL},
        {"permessage-deflate; server_max_window_bits", NULL},
        {"permessage-deflate; server_max_window_bits=10; server_max_window_bits=10", NULL},
        {"permessage-deflate; client_max_window_bits=16", NULL},
        {"permessage-deflate; client_max_window_bits=07", NULL},
        {"permessage-deflate; server_no_context_takeover=1", NULL},
        {"permessage-deflate; server_no_context_takeover; server_no_context_takeover", NULL},
        {"permessage-deflate; what", NULL},
        {"permessage-deflate;", NULL},
        {"x-webkit-deflate-frame", NULL},
        {";;,,;=\"", NULL},
        {"permessage-deflate; server_max_window_bits=8, permessage-deflate",
         "; server_no_context_takeover; client_no_context_takeover"},
        {"foo, permessage-deflate ; server_no_context_takeover ",
         "; server_no_context_takeover; client_no_context_takeover"},
    };
    start_case();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char handshake[600], wanted[300] = "";
        snprintf(handshake, sizeof handshake, DEFLATE_HANDSHAKE("%s"), cases[i].offer);
        if (cases[i].answer)
            snprintf(wanted, sizeof wanted,
                     "sec-websocket-extensions: permessage-deflate%s\r\n", cases[i].answer);
        client c = connect_client();
        feed(&c, handshake);
        uint64_t handle = request();
        accept_with(handle, "");
        drain(&c);
        if (!CHECK(cases[i].answer ? strstr(c.out, wanted) != NULL
                                   : strstr(c.out, "extensions") == NULL))
            fprintf(stderr, "    case %zu: %s\n", i, c.out);
        leave_channel(handle);
        leave(&c);
    }
    finish();
}

/* A client's message, compressed. */
static void add_deflated(wire *w, cv_deflater *deflater, const void *payload, size_t size, int pieces)
{
    size_t most = cv_deflate_most(size);
    uint8_t *made = malloc(most);
    size_t whole = cv_deflate(deflater, payload, size, made, most), done = 0;
    CHECK(whole > 0);
    for (int i = 0; i < pieces; i++) {
        size_t part = i == pieces - 1 ? whole - done : whole / (size_t)pieces;
        unsigned first = (i ? 0 : 0x42u) | (i == pieces - 1 ? 0x80u : 0);
        wire_frame(w, first, made + done, part);
        done += part;
    }
    free(made);
}

static void check_deflate(int keeps)
{
    cv_budget budget = {.limit = 1 << 24};
    default_options();
    options.compress_keeps_in = options.compress_keeps_out = (uint8_t)keeps;
    start_case_with();
    limits.max_message = 400000;
    static uint8_t payload[400001];
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)("covet"[i % 5] + i / 1000 % 3);
    static const size_t sizes[] = {1, 600, 70000, 400000, 100, 3000};
    client c;
    uint64_t handle = open_with(&c, DEFLATE_HANDSHAKE("permessage-deflate"));
    cv_deflater *deflater = cv_deflater_new(&budget, 15, 6, 8);
    cv_inflater *inflater = cv_inflater_new(&budget, 15);
    heard h = {0};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int pieces = 1; pieces < 4; pieces++) {
            wire w = {0};
            add_deflated(&w, deflater, payload, sizes[i], pieces);
            if (!keeps)
                cv_deflater_reset(deflater);
            int before = h.messages;
            wire_say(&w, &c, &h, pieces == 3 ? 5 : SIZE_MAX);
            CHECK(h.messages == before + 1 && h.size == sizes[i]);
            CHECK(memcmp(h.at, payload, h.size) == 0);
            take(handle, 1, (uint32_t)h.size);
            /* And back. */
            CHECK(submit(handle, CV_SEND, 0, 0, payload, sizes[i]) == 0);
            if (pieces == 2) {
                uint32_t left;
                CHECK(broadcast(&handle, 1, 0, payload, sizes[i], &left) == 0);
            }
            drain(&c);
            size_t at = 0, begins = 0;
            for (int copies = pieces == 2 ? 2 : 1; copies; copies--) {
                unsigned first = 0;
                int64_t size = sent_frame(&c, at, &first, &begins);
                CHECK(size >= 0 && first == (sizes[i] < 512 ? 0x82u : 0xc2u));
                if (first == 0xc2) {
                    static uint8_t back[sizeof payload];
                    const uint8_t *from = (const uint8_t *)c.out + begins, *tail = cv_deflate_tail;
                    uint8_t *to = back;
                    CHECK(cv_inflate(inflater, &from, from + size, &to, back + sizeof back) == 0);
                    CHECK(cv_inflate(inflater, &tail, tail + 4, &to, back + sizeof back) == 0);
                    CHECK((size_t)(to - back) == sizes[i] && memcmp(back, payload, sizes[i]) == 0);
                    if (!keeps)
                        cv_inflater_reset(inflater);
                }
                at = begins + (size_t)size;
            }
            CHECK(at == c.size);
            forget(&c);
        }
    /* One byte too many, once it is inflated. */
    wire w = {0};
    add_deflated(&w, deflater, payload, sizeof payload, 2);
    wire_send(&w, &c);
    hear(&h);
    CHECK(h.closed == CV_CLOSE_TOO_BIG && close_sent(&c) == CV_CLOSE_TOO_BIG);
    leave_channel(handle);
    leave(&c);
    /* No compressed message at all. */
    handle = open_with(&c, DEFLATE_HANDSHAKE("permessage-deflate"));
    h = (heard){.at = h.at};
    send_frame(&c, 0xc1, "\xff\xff\xff\xff", 4);
    hear(&h);
    CHECK(h.closed == CV_CLOSE_PROTOCOL);
    leave_channel(handle);
    leave(&c);
    /* The bit on a frame that goes on, and text that is none once inflated. */
    handle = open_with(&c, DEFLATE_HANDSHAKE("permessage-deflate"));
    h = (heard){.at = h.at};
    send_frame(&c, 0x02, "a", 1);
    send_frame(&c, 0xc0, "a", 1);
    hear(&h);
    CHECK(h.closed == CV_CLOSE_PROTOCOL && h.messages == 0);
    leave_channel(handle);
    leave(&c);
    handle = open_with(&c, DEFLATE_HANDSHAKE("permessage-deflate"));
    h = (heard){.at = h.at};
    uint8_t made[100];
    cv_deflater_reset(deflater);
    size_t size = cv_deflate(deflater, (const uint8_t *)"\xc3\x28", 2, made, sizeof made);
    send_frame(&c, 0xc1, made, size);
    hear(&h);
    CHECK(h.closed == CV_CLOSE_NOT_TEXT && h.messages == 0);
    leave_channel(handle);
    leave(&c);
    cv_deflater_free(deflater);
    cv_inflater_free(inflater);
    CHECK(budget.used == 0);
    free(h.at);
    finish();
}

/* A block that is said to be the last of all, and another message behind it. */
static void check_last_block(void)
{
    default_options();
    start_case_with();
    client c;
    heard h = {0};
    uint64_t handle = open_with(&c, DEFLATE_HANDSHAKE("permessage-deflate"));
    send_frame(&c, 0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8); /* RFC 7692, 7.2.3.4 */
    send_frame(&c, 0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
    hear(&h);
    CHECK(h.messages == 2 && heard_is(&h, "Hello") && !h.closed);
    /* Empty. */
    send_frame(&c, 0xc1, "\x00", 1);
    hear(&h);
    CHECK(h.messages == 3 && heard_is(&h, "") && !h.closed);
    leave_channel(handle);
    leave(&c);
    free(h.at);
    finish();
}

/* More events than one poll has, and blocks that run short. */
static void check_many(void)
{
    default_options();
    options.max_unread = 100000;
    options.high_water = 1 << 24;
    start_case_with();
    client c;
    heard h = {0};
    uint64_t handle = open_with(&c, DEFLATE_HANDSHAKE("permessage-deflate"));
    wire w = {0};
    for (int i = 0; i < 5000; i++)
        if (i & 1)
            wire_frame(&w, 0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
        else
            wire_frame(&w, 0x81, "Hello", 5);
    wire_say(&w, &c, &h, SIZE_MAX);
    CHECK(heard_is(&h, "Hello"));
    CHECK(h.messages == 5000 && !h.closed);
    leave_channel(handle);
    leave(&c);
    free(h.at);
    finish();
}

static void check_masks(void)
{
    static uint8_t bytes[300], copy[300];
    for (size_t size = 0; size < 100; size++)
        for (size_t gap = 0; gap < 20; gap++)
            for (unsigned at = 0; at < 4; at++) {
                const uint8_t key[4] = {1, 2, 4, 128};
                for (size_t i = 0; i < sizeof bytes; i++)
                    bytes[i] = copy[i] = (uint8_t)(i * 31);
                cv_frame_unmask(bytes + 10, bytes + 10 + gap, size, key, at);
                int good = 1;
                for (size_t i = 0; i < size; i++)
                    good &= bytes[10 + i] == (copy[10 + gap + i] ^ key[(at + i) & 3]);
                CHECK(good && memcmp(bytes, copy, 10) == 0);
            }
}

int main(void)
{
    check_masks();
    check_handshake();
    check_bad_handshakes();
    check_refusal();
    check_held_bytes();
    check_sizes();
    check_splits();
    check_broken();
    check_caps();
    check_times();
    check_slow();
    check_pings();
    check_limit_sets();
    check_last_block();
    if (cv_deflate_is_there()) {
        check_negotiation();
        check_deflate(0);
        check_deflate(1);
        check_many();
    }
    return cv_failures != 0;
}
