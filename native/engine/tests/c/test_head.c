#include "check.h"
#include "head.h"

static const cv_head_limits usual = {.max_size = 16384, .max_fields = 100};

struct outcome {
    int result;
    cv_head head;
    uint8_t *bytes; /* what became of them */
};

/* Read what comes in pieces of the given sizes; each time in memory that ends with the bytes. */
static struct outcome read_pieces(const uint8_t *at, size_t size, size_t first, size_t then,
                                  const cv_head_limits *limits)
{
    struct outcome outcome = {.result = 0};
    cv_head_progress progress = {0};
    uint8_t *bytes = NULL;
    size_t there = 0;
    do {
        size_t next = there == 0 ? first : there + then;
        if (next > size)
            next = size;
        uint8_t *grown = cv_copy(at, next);
        if (there != 0)
            memcpy(grown, bytes, there);
        free(bytes);
        bytes = grown;
        there = next;
        memset(&outcome.head, 0xa5, sizeof outcome.head); /* nothing may depend on it */
        outcome.result = cv_head_read(bytes, there, limits, &progress, &outcome.head);
    } while (outcome.result == 0 && there < size);
    outcome.bytes = bytes;
    return outcome;
}

static int same(const struct outcome *one, const struct outcome *other)
{
    if (one->result != other->result)
        return 0;
    return one->result != 1 || (memcmp(&one->head, &other->head, sizeof one->head) == 0 &&
                                memcmp(one->bytes, other->bytes, one->head.size) == 0);
}

/* Read the bytes whole and in every way of splitting them that is affordable: all is the same. */
static struct outcome read_head_within(const uint8_t *at, size_t size, const cv_head_limits *limits)
{
    struct outcome whole = read_pieces(at, size, size, 1, limits);
    size_t step = size > 600 ? size / 7 : 1;
    for (size_t first = 1; first <= size; first += step) {
        for (int one = 0; one < 2; one++) {
            if (one && size > 600)
                continue; /* every byte would cost a copy of all */
            struct outcome split = read_pieces(at, size, first, one ? 1 : size, limits);
            if (!CHECK(same(&whole, &split))) {
                fprintf(stderr, "    first %zu, then %s: %d, whole: %d\n", first,
                        one ? "one at a time" : "the rest", split.result, whole.result);
                cv_show("bytes", at, size);
            }
            free(split.bytes);
        }
    }
    return whole;
}

static void expect_bytes(const uint8_t *at, size_t size, int result, int line)
{
    struct outcome outcome = read_head_within(at, size, &usual);
    if (!cv_check(outcome.result == result, "the outcome is another", __FILE__, line)) {
        fprintf(stderr, "    %d, not %d\n", outcome.result, result);
        cv_show("bytes", at, size);
    }
    free(outcome.bytes);
}

#define EXPECT(text, result)                                                                       \
    expect_bytes((const uint8_t *)(text), sizeof(text) - 1, (result), __LINE__)

#define GET "GET / HTTP/1.1\r\n"
#define HOST "Host: a\r\n"
#define WITH(fields) GET HOST fields "\r\n"
#define POST "POST / HTTP/1.1\r\n" HOST

static int span_is(const struct outcome *outcome, cv_span span, const char *text)
{
    int good = span.size == strlen(text) &&
               memcmp(outcome->bytes + span.at, text, span.size) == 0;
    if (!good)
        cv_show("is", outcome->bytes + span.at, span.size);
    return good;
}

static struct outcome good(const char *text)
{
    struct outcome outcome =
        read_head_within((const uint8_t *)text, strlen(text), &usual);
    if (!CHECK(outcome.result == 1)) {
        cv_show("bytes", (const uint8_t *)text, strlen(text));
        exit(1);
    }
    return outcome;
}

static void test_parts(void)
{
    struct outcome o = good("PUT /a%20b/c?d=%20e?f HTTP/1.1\r\nHOST:example.com:80\r\n"
                            "Content-TYPE: \t text/plain; charset=utf-8 \t\r\nX_#$%&'*+.^`|~!:\r\n"
                            "Content-Length: 00000017\r\nAuthorization: Basic x\r\n"
                            "If-None-Match: \"a\"\r\n\r\nGET / HTTP/1.1\r\n");
    CHECK(o.head.method == CV_METHOD_PUT);
    CHECK(span_is(&o, o.head.method_name, "PUT"));
    CHECK(span_is(&o, o.head.target, "/a%20b/c?d=%20e?f"));
    CHECK(span_is(&o, o.head.path, "/a%20b/c"));
    CHECK(span_is(&o, o.head.query, "d=%20e?f"));
    CHECK(span_is(&o, o.head.host, "example.com:80"));
    CHECK(span_is(&o, o.head.content_type, "text/plain; charset=utf-8"));
    CHECK(o.head.content_length == 17);
    CHECK(o.head.minor == 1);
    CHECK(o.head.fields == 6);
    CHECK(o.head.flags ==
          (CV_HEAD_KEEP_ALIVE | CV_HEAD_LENGTH | CV_HEAD_QUERY | CV_HEAD_ESCAPED |
           CV_HEAD_AUTHORIZATION | CV_HEAD_CONDITIONAL));
    CHECK(memcmp(o.bytes + o.head.size - 4, "\r\n\r\n", 4) == 0);
    const uint8_t *behind = o.bytes + o.head.target.at + o.head.target.size;
    CHECK(memcmp(behind, " HTTP/1.1\r\nhost:", 16) == 0);
    free(o.bytes);

    o = good("GET /?%41 HTTP/1.0\r\n\r\n");
    CHECK(o.head.method == CV_METHOD_GET);
    CHECK(o.head.minor == 0);
    CHECK(o.head.flags == CV_HEAD_QUERY);
    CHECK(o.head.host.size == 0);
    CHECK(o.head.fields == 0);
    CHECK(span_is(&o, o.head.query, "%41"));
    free(o.bytes);

    o = good("GET /x? HTTP/1.1\r\n" HOST "\r\n");
    CHECK(o.head.flags == (CV_HEAD_QUERY | CV_HEAD_KEEP_ALIVE));
    CHECK(o.head.query.size == 0);
    CHECK(span_is(&o, o.head.path, "/x"));
    free(o.bytes);
}

static void test_methods(void)
{
    static const char *const names[CV_METHODS] = {
        "get", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", NULL, "TRACE",
    };
    for (int i = 0; i < CV_METHODS; i++) {
        char text[64];
        if (names[i] == NULL)
            continue;
        snprintf(text, sizeof text, "%s / HTTP/1.1\r\n" HOST "\r\n", names[i]);
        struct outcome o = good(text);
        CHECK(o.head.method == i);
        CHECK(span_is(&o, o.head.method_name, names[i]));
        free(o.bytes);
    }
    static const char *const others[] = {"GE", "GETS", "G", "GIT", "OPTION", "CONNECTED",
                                         "M-SEARCH", "__init__", "!#$%&'*+-.^_`|~0", "POSTT",
                                         "PURGE"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s / HTTP/1.1\r\n" HOST "\r\n", others[i]);
        struct outcome o = good(text);
        CHECK(o.head.method == CV_METHOD_OTHER);
        free(o.bytes);
    }
    EXPECT("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", -501);
    EXPECT("CONNECT / HTTP/1.1\r\nHost: a:80\r\n\r\n", -501);
}

static void test_request_line(void) /* bad input 16 */
{
    EXPECT("GET /\nHTTP/1.1\r\n" HOST "\r\n", -400);
    EXPECT("GET  / HTTP/1.1\r\n" HOST "\r\n", -400);
    EXPECT("GET /  HTTP/1.1\r\n" HOST "\r\n", -400);
    EXPECT("GET\t/ HTTP/1.1\r\n" HOST "\r\n", -400);
    EXPECT("GET /\tHTTP/1.1\r\n" HOST "\r\n", -400);
    EXPECT(" GET / HTTP/1.1\r\n" HOST "\r\n", -400);
    EXPECT("GET / HTTP/1.1 \r\n" HOST "\r\n", -400);
    EXPECT("GET / HTTP/1.10\r\n" HOST "\r\n", -400);
    EXPECT("GET / HTTP/01.1\r\n" HOST "\r\n", -400);
    EXPECT("GET / HTTP/1.\r\n" HOST "\r\n", -400);
    EXPECT("GET / HTTP/4294967295.255\r\n" HOST "\r\n", -400);
    EXPECT("GET / http/1.1\r\n" HOST "\r\n", -400);
    EXPECT("GET / HTTP/1,1\r\n" HOST "\r\n", -400);
    EXPECT("GET / HTTP 1.1\r\n" HOST "\r\n", -400);
    EXPECT("GET / XTTP/1.1\r\n" HOST "\r\n", -400);
    EXPECT("GET / HTTP/1.2\r\n" HOST "\r\n", -505);
    EXPECT("GET / HTTP/0.9\r\n" HOST "\r\n", -505);
    EXPECT("GET / HTTP/2.0\r\n" HOST "\r\n", -505);
    EXPECT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", -505);
    EXPECT("G=\":<>(e) / HTTP/1.1\r\n" HOST "\r\n", -400);
    EXPECT("G\xc3\xa9T / HTTP/1.1\r\n" HOST "\r\n", -400);
    EXPECT("GET ! HTTP/1.1\r\n" HOST "\r\n", -400);
    EXPECT("GET a HTTP/1.1\r\n" HOST "\r\n", -400);
    EXPECT("GET @evil.example HTTP/1.1\r\n" HOST "\r\n", -400); /* bad input 36 */
    EXPECT("GET ?a HTTP/1.1\r\n" HOST "\r\n", -400);
    EXPECT("GET /#frag HTTP/1.1\r\n" HOST "\r\n", -400);
    EXPECT("GET /?a#frag HTTP/1.1\r\n" HOST "\r\n", -400);
    EXPECT("GET /\x7f HTTP/1.1\r\n" HOST "\r\n", -400);
    EXPECT("GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", -400);
    EXPECT("GET /\0 HTTP/1.1\r\n" HOST "\r\n", -400);
    EXPECT("GET /\r\n" HOST "\r\n", -400);
    EXPECT("GET / \r\n" HOST "\r\n", -400);
    EXPECT("GET\r\n", -400);
    EXPECT("GET \r\n", -400);
    EXPECT("\r\n", -400);
    EXPECT("a\r\n", -400);
    EXPECT("\n", -400);
    EXPECT("\x16\x03\x01", -400); /* TLS on a plain port is told at once */
    EXPECT("GET / HTTP/1.1\n" HOST "\r\n", -400);
    EXPECT("GET / HTTP/1.1\r" HOST "\r\n", -400);
    EXPECT("GET / HTTP/1.1\r\r\n" HOST "\r\n", -400);
    EXPECT("GET", 0);
    EXPECT("GET / HTTP/1.1\r", 0);
    EXPECT("GET ! HTTP/1.1", 0); /* judged when it is complete */
}

static void test_targets(void) /* bad input 20 */
{
    struct outcome o = good("GET http://a/x?y HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(span_is(&o, o.head.target, "http://a/x?y"));
    CHECK(span_is(&o, o.head.path, "/x"));
    CHECK(span_is(&o, o.head.query, "y"));
    free(o.bytes);
    o = good("GET HTTPS://a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n");
    CHECK(span_is(&o, o.head.path, "/"));
    CHECK(o.head.query.size == 0);
    free(o.bytes);
    o = good("GET http://a?y/z HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(span_is(&o, o.head.path, "/"));
    CHECK(span_is(&o, o.head.query, "y/z"));
    free(o.bytes);
    o = good("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(span_is(&o, o.head.path, "*"));
    free(o.bytes);
    o = good("GET //b/c HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(span_is(&o, o.head.path, "//b/c"));
    free(o.bytes);
    EXPECT("GET * HTTP/1.1\r\nHost: a\r\n\r\n", -400);
    EXPECT("OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", -400);
    EXPECT("OPTIONS *?x HTTP/1.1\r\nHost: a\r\n\r\n", -400);
    EXPECT("OPTIONS *? HTTP/1.1\r\nHost: a\r\n\r\n", -400);
    EXPECT("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", -400);
    EXPECT("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", -400);
    EXPECT("GET http://u@a/ HTTP/1.1\r\nHost: u@a\r\n\r\n", -400);
    EXPECT("GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", -400);
    EXPECT("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", -400);
    EXPECT("GET http:///x HTTP/1.0\r\n\r\n", -400);
    EXPECT("GET http://a/ HTTP/1.0\r\n\r\n", -400);
    EXPECT("GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n", -400);
    EXPECT("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", -400);
    EXPECT("GET https:a HTTP/1.1\r\nHost: a\r\n\r\n", -400);
    EXPECT("GET http://a/", 0);
}

static void test_hosts(void) /* bad input 20 */
{
    static const char *const hosts[] = {"a", "a:1", "a:65535", "localhost", "127.0.0.1:8000",
                                        "[::1]", "[::1]:80", "a-b._~c", "A.Example"};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, GET "Host: %s\r\n\r\n", hosts[i]);
        struct outcome o = good(text);
        CHECK(span_is(&o, o.head.host, hosts[i]));
        free(o.bytes);
    }
    EXPECT(GET "\r\n", -400);
    EXPECT(GET "Hosts: a\r\n\r\n", -400);
    EXPECT(GET HOST HOST "\r\n", -400);
    EXPECT(GET HOST "host:b\r\n\r\n", -400);
    EXPECT("GET / HTTP/1.0\r\n" HOST HOST "\r\n", -400);
    EXPECT(GET "Host:\r\n\r\n", -400);
    EXPECT(GET "Host: \t\r\n\r\n", -400);
    EXPECT(GET "Host: a,b\r\n\r\n", -400);
    EXPECT(GET "Host: a b\r\n\r\n", -400);
    EXPECT(GET "Host: u@h\r\n\r\n", -400);
    EXPECT(GET "Host: h/p\r\n\r\n", -400);
    EXPECT(GET "Host: a/admin?\r\n\r\n", -400); /* bad input 35 */
    EXPECT(GET "Host: h\0.x\r\n\r\n", -400);
    EXPECT(GET "Host: a:\r\n\r\n", -400);
    EXPECT(GET "Host: :80\r\n\r\n", -400);
    EXPECT(GET "Host: a:123456\r\n\r\n", -400);
    EXPECT(GET "Host: a:8x\r\n\r\n", -400);
    EXPECT(GET "Host: a:1:2\r\n\r\n", -400);
    EXPECT(GET "Host: []\r\n\r\n", -400);
    EXPECT(GET "Host: [::1\r\n\r\n", -400);
    EXPECT(GET "Host: [::1]x\r\n\r\n", -400);
    EXPECT(GET "Host: [::g]\r\n\r\n", -400);
    EXPECT(GET "Host: ::1\r\n\r\n", -400);
    EXPECT(GET "Host: \xe4\r\n\r\n", -400);
    EXPECT(GET "Host: a%41\r\n\r\n", -400);
}

static void test_framing(void)
{
    /* bad input 1 */
    EXPECT(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", -400);
    EXPECT(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", -400);
    EXPECT(POST "Transfer-Encoding: chunked\r\nX: y\r\ncontent-length:0\r\n\r\n", -400);
    /* bad input 2 */
    EXPECT(POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", -400);
    EXPECT(POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", -400);
    EXPECT(POST "Content-Length: 5, 5\r\n\r\n", -400);
    EXPECT(POST "Content-Length: 5,\r\n\r\n", -400);
    /* bad input 3 */
    EXPECT(POST "Content-Length: +5\r\n\r\n", -400);
    EXPECT(POST "Content-Length: -0\r\n\r\n", -400);
    EXPECT(POST "Content-Length: 1_0\r\n\r\n", -400);
    EXPECT(POST "Content-Length: 0x5\r\n\r\n", -400);
    EXPECT(POST "Content-Length: 1Z\r\n\r\n", -400);
    EXPECT(POST "Content-Length:\r\n\r\n", -400);
    EXPECT(POST "Content-Length: \r\n\r\n", -400);
    EXPECT(POST "Content-Length: 5 5\r\n\r\n", -400);
    EXPECT(POST "Content-Length: 1234567890123456789\r\n\r\n", -400);
    EXPECT(POST "Content-Length: 123456789012345678901234567890\r\n\r\n", -400);
    EXPECT(POST "Content-Length: \xef\xbc\x95\r\n\r\n", -400);
    EXPECT(POST "Content-Length: 5\xa0\r\n\r\n", -400);
    EXPECT(POST "Content-Length: 5\x0b\r\n\r\n", -400);
    EXPECT(POST "Content-Length: 999999999999999999\r\n\r\n", 1);
    EXPECT(POST "Content-Length: \t5 \r\n\r\n", 1);
    /* bad input 4 */
    EXPECT(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", -400);
    EXPECT(POST "Transfer-Encoding: chunked, chunked\r\n\r\n", -400);
    EXPECT(POST "Transfer-Encoding: chunked, identity\r\n\r\n", -400);
    EXPECT(POST "Transfer-Encoding: identity\r\n\r\n", -501);
    EXPECT(POST "Transfer-Encoding: gzip, chunked\r\n\r\n", -501);
    /* bad input 5 */
    EXPECT(POST "Transfer-Encoding: xchunked\r\n\r\n", -501);
    EXPECT(POST "Transfer-Encoding: chunkedx\r\n\r\n", -501);
    EXPECT(POST "Transfer-Encoding: chunke\r\n\r\n", -501);
    EXPECT(POST "Transfer-Encoding: ,chunked\r\n\r\n", -400);
    EXPECT(POST "Transfer-Encoding: chunked,\r\n\r\n", -400);
    EXPECT(POST "Transfer-Encoding: chunked;q=1\r\n\r\n", -400);
    EXPECT(POST "Transfer-Encoding: \x0b"
                "chunked\r\n\r\n",
           -400);
    EXPECT(POST "Transfer-Encoding: \xa0"
                "chunked\x85\r\n\r\n",
           -400);
    EXPECT(POST "Transfer-Encoding: chunked\0\r\n\r\n", -400);
    EXPECT(POST "Transfer-Encoding: \"chunked\"\r\n\r\n", -400);
    EXPECT(POST "Transfer-Encoding:\r\n\r\n", -400);
    EXPECT(POST "Transfer-Encoding: \t ChunKed \r\n\r\n", 1);
    /* bad input 6 */
    EXPECT(POST "Transfer-Encoding :chunked\r\n\r\n", -400);
    EXPECT(POST "Transfer-Encoding\t: chunked\r\n\r\n", -400);
    EXPECT(POST "\tContent-Length: 1\r\n\r\n", -400);
    EXPECT(POST " Content-Length: 1\r\n\r\n", -400);
    EXPECT(POST "Transfer-Encoding:\r\n chunked\r\n\r\n", -400);
    EXPECT(POST "X: y\r\n\tTransfer-Encoding: chunked\r\n\r\n", -400);
    EXPECT("GET / HTTP/1.1\r\n Host: a\r\n\r\n", -400);
    /* bad input 7 */
    EXPECT("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", -400);
    EXPECT("POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n", -400);

    struct outcome o = good(POST "Transfer-Encoding: chunked\r\n\r\n");
    CHECK(o.head.flags == (CV_HEAD_KEEP_ALIVE | CV_HEAD_CHUNKED));
    free(o.bytes);
}

static void test_lines(void) /* bad inputs 14 and 15 */
{
    EXPECT(GET HOST "\r\rX", -400);
    EXPECT(GET HOST "\rX", -400);
    EXPECT(GET HOST "\r\n", 1);
    EXPECT(GET HOST "\n", -400);
    EXPECT(GET "Host: a\n\r\n", -400);
    EXPECT(GET "Host: a\r\r\n\r\n", -400);
    EXPECT(GET HOST "A: b\rC: d\r\n\r\n", -400);
    EXPECT(GET HOST "A: b\nC: d\r\n\r\n", -400);
    EXPECT(GET HOST "A: b\0c\r\n\r\n", -400);
    EXPECT(GET HOST "A: b\x01\r\n\r\n", -400);
    EXPECT(GET HOST "A: b\x1f\r\n\r\n", -400);
    EXPECT(GET HOST "A: b\x7f\r\n\r\n", -400);
    EXPECT(GET HOST ": b\r\n\r\n", -400);
    EXPECT(GET HOST "A b\r\n\r\n", -400);
    EXPECT(GET HOST "A b: c\r\n\r\n", -400);
    EXPECT(GET HOST "A\r\n\r\n", -400);
    EXPECT(GET HOST "A\xc3\xa9: b\r\n\r\n", -400);
    EXPECT(GET HOST "A(b): c\r\n\r\n", -400);
    EXPECT(GET HOST "a-name-longer-than-any-one-look-sees: b\r\n\r\n", 1);
    EXPECT(GET HOST "a-name-longer-than-any-one-look-s(es: b\r\n\r\n", -400);
    EXPECT(GET HOST "a-name-longer-than-any-one-look-sees\r\n\r\n", -400);
    EXPECT(GET HOST "A:\r\n\r\n", 1);
    EXPECT(GET HOST "A: \t \r\n\r\n", 1);
    EXPECT(GET HOST "A: b\tc \x80\xff\r\n\r\n", 1);
    EXPECT(GET HOST "A: b", 0);
    EXPECT(GET HOST "A: b\r", 0);
    EXPECT(GET HOST "A: b\r\n\r", 0);

    /* Every byte in a name and in a value, at the beginning, in the middle and at the end. */
    for (int byte = 0; byte < 256; byte++) {
        int token = strchr("!#$%&'*+-.^_`|~", byte) != NULL || (byte >= '0' && byte <= '9') ||
                    (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
        int value = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
        for (int place = 0; place < 45; place++) {
            uint8_t text[160];
            char name[64], content[64];
            memset(name, 'N', sizeof name);
            memset(content, 'v', sizeof content);
            name[place] = (char)byte;
            name[place + (place & 1)] = (char)byte;
            size_t name_size = (size_t)place + 1 + (place & 1);
            size_t at = strlen(GET HOST);
            memcpy(text, GET HOST, at);
            memcpy(text + at, name, name_size);
            memcpy(text + at + name_size, ": x\r\n\r\n", 7);
            struct outcome o = read_pieces(text, at + name_size + 7, at + name_size + 7, 1, &usual);
            int good_name = (token && byte != 0) || (byte == ':' && place > 0);
            if (!CHECK(o.result == (good_name ? 1 : -400)))
                cv_show("name", text, at + name_size + 7);
            free(o.bytes);

            content[place] = (char)byte;
            memcpy(text + at, "n:", 2);
            memcpy(text + at + 2, content, 50);
            memcpy(text + at + 52, "\r\n\r\n", 4);
            o = read_pieces(text, at + 56, at + 56, 1, &usual);
            if (!CHECK(o.result == (value ? 1 : -400)))
                cv_show("value", text, at + 56);
            free(o.bytes);
        }
    }
}

static void test_target_bytes(void)
{
    for (int byte = 0; byte < 256; byte++) {
        for (int place = 1; place < 45; place++) {
            uint8_t text[160] =
                "GET /pppppppppppppppppppppppppppppppppppppppppppppp HTTP/1.1\r\n" HOST "\r\n";
            size_t size = strlen((char *)text);
            text[4 + place] = (uint8_t)byte;
            struct outcome o = read_pieces(text, size, size, 1, &usual);
            int fine = byte > 0x20 && byte < 0x7f && byte != '#';
            if (!CHECK(o.result == (fine ? 1 : -400)))
                cv_show("target", text, size);
            if (o.result == 1) {
                CHECK(((o.head.flags & CV_HEAD_QUERY) != 0) == (byte == '?'));
                CHECK(((o.head.flags & CV_HEAD_ESCAPED) != 0) == (byte == '%'));
                CHECK(o.head.path.size == (byte == '?' ? place : 47));
                CHECK(o.head.query.size == (byte == '?' ? 46 - place : 0));
            }
            free(o.bytes);
        }
    }
}

static void test_connection(void)
{
    static const struct {
        const char *text;
        uint16_t flags;
    } cases[] = {
        {GET HOST "\r\n", CV_HEAD_KEEP_ALIVE},
        {GET HOST "Connection: close\r\n\r\n", 0},
        {GET HOST "CONNECTION: Foo ,\tCLOSE\r\n\r\n", 0},
        {GET HOST "Connection: keep-alive\r\nConnection: close\r\n\r\n", 0},
        {GET HOST "Connection: close, keep-alive\r\n\r\n", 0},
        {GET HOST "Connection: closed, xclose,,\r\n\r\n", CV_HEAD_KEEP_ALIVE},
        {GET HOST "Connections: close\r\n\r\n", CV_HEAD_KEEP_ALIVE},
        {GET HOST "Connectiom: close\r\n\r\n", CV_HEAD_KEEP_ALIVE},
        {GET HOST "Xonnection: close\r\n\r\n", CV_HEAD_KEEP_ALIVE},
        {"GET / HTTP/1.0\r\n\r\n", 0},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", CV_HEAD_KEEP_ALIVE},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive, Upgrade\r\nUpgrade: x\r\n\r\n",
         CV_HEAD_KEEP_ALIVE},
        {GET HOST "Connection: Upgrade\r\n\r\n", CV_HEAD_KEEP_ALIVE},
        {GET HOST "Upgrade: websocket\r\n\r\n", CV_HEAD_KEEP_ALIVE | CV_HEAD_UPGRADES},
        {GET HOST "Upgrade: websocket\r\nConnection: keep-alive, upgrade\r\n\r\n",
         CV_HEAD_KEEP_ALIVE | CV_HEAD_UPGRADE | CV_HEAD_UPGRADES},
        {GET HOST "Expect: 100-Continue\r\n\r\n", CV_HEAD_KEEP_ALIVE | CV_HEAD_EXPECT},
        {"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct outcome o = good(cases[i].text);
        if (!CHECK(o.head.flags == cases[i].flags))
            fprintf(stderr, "    %s", cases[i].text);
        free(o.bytes);
    }
    EXPECT(WITH("Expect: 200-ok\r\n"), -417); /* bad input 19 */
    EXPECT(WITH("Expect:\r\n"), -417);
    EXPECT(WITH("Expect: 100-continue, x\r\n"), -417);
    EXPECT(WITH("Hostxx: x\r\n"), 1);
    EXPECT(WITH("Exxpect: x\r\n"), 1);
}

/* bad input 22: the same limit however the bytes come, and no search beyond it. */
static void test_limits(void)
{
    static const cv_head_limits small = {.max_size = 64, .max_fields = 3};
    static const struct {
        const char *text;
        int result;
    } cases[] = {
        {GET HOST "A: b\r\nC: d\r\n\r\n", 1},
        {GET HOST "A: b\r\nC: d\r\nE: f\r\n\r\n", -431},
        {GET HOST "A: b\r\nC: d\r\nE", 0},
        {GET HOST "A: 0123456789012345678901234567890123\r\n\r\n", -431}, /* 66 bytes */
        {GET HOST "A: 01234567890123456789012345678901\r\n\r\n", 1}, /* 64 bytes */
        {GET HOST "A: 012345678901234567890123456789012\r\n\r\n", -431}, /* 65 bytes */
        {GET HOST "A: 01234567890123456789012345678901\r\n\rX", -400}, /* a bad byte within */
        {GET HOST "A: 0123456789012345678901234567890123456789\x01", -431}, /* or beyond */
        {"GET /01234567890123456789012345678901234567890123456789 HTTP/1.1\r\n", -414},
        {"GET /01234567890123456789012345678901234567890123456789 HTTP/1.1", -414},
        {"GET /01234567890123456789012345678901234567890123456789 HTTP/1.", 0},
        {"0123456789012345678901234567890123456789012345678901234567890123456789", -414},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct outcome o =
            read_head_within((const uint8_t *)cases[i].text, strlen(cases[i].text), &small);
        if (!CHECK(o.result == cases[i].result)) {
            fprintf(stderr, "    case %zu: %d, not %d\n", i, o.result, cases[i].result);
            cv_show("bytes", (const uint8_t *)cases[i].text, strlen(cases[i].text));
        }
        free(o.bytes);
    }

    /* As large as spans can say. */
    static const cv_head_limits large = {.max_size = 65535, .max_fields = 65535};
    size_t size = 65535;
    uint8_t *text = malloc(size + 10);
    if (text == NULL)
        abort();
    memset(text, 'x', size + 10);
    memcpy(text, GET HOST "a:", strlen(GET HOST) + 2);
    memcpy(text + size - 4, "\r\n\r\n", 4);
    struct outcome o = read_pieces(text, size + 10, size + 10, 1, &large);
    CHECK(o.result == 1 && o.head.size == 65535 && o.head.fields == 2);
    free(o.bytes);
    o = read_head_within(text, size, &large);
    CHECK(o.result == 1);
    free(o.bytes);
    text[size - 1] = 'x';
    o = read_pieces(text, size - 1, size - 1, 1, &large);
    CHECK(o.result == 0);
    free(o.bytes);
    /* As many fields as fit. */
    size_t at = strlen(GET HOST);
    unsigned fields = 1;
    for (; at + 4 <= size - 2; at += 4, fields++)
        memcpy(text + at, "a:\r\n", 4);
    memcpy(text + at, "\r\n", 2);
    o = read_pieces(text, at + 2, at + 2, 1, &large);
    CHECK(o.result == 1 && o.head.fields == fields);
    free(o.bytes);
    free(text);
}

/* One long line, one byte at a time: nothing is looked at twice. bad input 24 */
static void test_one_at_a_time(void)
{
    static const cv_head_limits large = {.max_size = 65535, .max_fields = 65535};
    size_t size = 60000;
    uint8_t *text = malloc(size);
    if (text == NULL)
        abort();
    memset(text, ' ', size);
    memcpy(text, GET HOST "a:", strlen(GET HOST) + 2);
    memcpy(text + size - 4, "\r\n\r\n", 4);
    cv_head_progress progress = {0};
    cv_head head;
    int result = 0;
    for (size_t there = 1; there <= size && result == 0; there++) {
        uint32_t scanned = progress.scanned;
        result = cv_head_read(text, there, &large, &progress, &head);
        /* What was looked at is behind us. */
        if (result == 0 && there > 1)
            CHECK(progress.scanned >= scanned && progress.scanned + 1 >= there);
    }
    CHECK(result == 1 && head.fields == 2);
    free(text);
}

static void test_field(void)
{
    struct outcome o = good("GET /accept: HTTP/1.1\r\nAccept: one \r\nHost: a\r\nX-Accept: no\r\n"
                            "accept:\r\nAccepts: no\r\nACCEPT:\t three\r\nlast: \xff\r\n\r\n"
                            "accept: x\r\n");
    cv_span none = {0, 0};
    cv_span value;
    CHECK(cv_head_field(o.bytes, &o.head, "accept", 6, none, &value) == 1);
    CHECK(span_is(&o, value, "one"));
    CHECK(cv_head_field(o.bytes, &o.head, "accept", 6, value, &value) == 1);
    CHECK(value.at != 0 && value.size == 0);
    CHECK(cv_head_field(o.bytes, &o.head, "accept", 6, value, &value) == 1);
    CHECK(span_is(&o, value, "three"));
    CHECK(cv_head_field(o.bytes, &o.head, "accept", 6, value, &value) == 0);
    CHECK(cv_head_field(o.bytes, &o.head, "last", 4, none, &value) == 1);
    CHECK(span_is(&o, value, "\xff"));
    CHECK(cv_head_field(o.bytes, &o.head, "last", 4, value, &value) == 0);
    CHECK(cv_head_field(o.bytes, &o.head, "", 0, none, &value) == 0);
    CHECK(cv_head_field(o.bytes, &o.head, "none-of-these-names-is-as-long-as-this-one", 42, none,
                        &value) == 0);
    free(o.bytes);
    o = good("GET / HTTP/1.0\r\n\r\n");
    CHECK(cv_head_field(o.bytes, &o.head, "host", 4, none, &value) == 0);
    free(o.bytes);
}

static void test_classes(void)
{
    for (int byte = 0; byte < 256; byte++) {
        int fine = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
        for (size_t size = 1; size < 20; size++) {
            for (size_t place = 0; place < size; place++) {
                uint8_t text[20];
                memset(text, 'a', sizeof text);
                text[place] = (uint8_t)byte;
                uint8_t *exact = cv_copy(text, size);
                CHECK(cv_is_value(exact, size) == fine);
                free(exact);
            }
        }
        uint8_t one = (uint8_t)byte;
        int token = byte != 0 && (strchr("!#$%&'*+-.^_`|~", byte) != NULL ||
                                  (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
                                  (byte >= 'A' && byte <= 'Z'));
        CHECK(cv_is_token(&one, 1) == token);
    }
    CHECK(cv_is_value(NULL, 0) == 1);
    CHECK(cv_is_token(NULL, 0) == 0);
    CHECK(cv_is_token((const uint8_t *)"a b", 3) == 0);
}

int main(void)
{
    test_parts();
    test_methods();
    test_request_line();
    test_targets();
    test_hosts();
    test_framing();
    test_lines();
    test_target_bytes();
    test_connection();
    test_limits();
    test_one_at_a_time();
    test_field();
    test_classes();
    if (cv_failures != 0)
        fprintf(stderr, "%d checks failed\n", cv_failures);
    return cv_failures != 0;
}
