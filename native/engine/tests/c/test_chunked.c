#include "check.h"
#include "chunked.h"

static const cv_chunked_limits usual = {
    .max_overhead = 16384, .max_trailer_size = 8192, .max_trailer_fields = 16};

struct outcome {
    int result;
    uint8_t *data;
    size_t size, taken;
};

/* Decode in pieces of the given sizes, each in memory of its own. */
static struct outcome decode_pieces(const uint8_t *at, size_t size, size_t first, size_t then,
                                    const cv_chunked_limits *limits)
{
    struct outcome outcome = {.data = cv_copy(at, size)};
    cv_chunked state = {0};
    size_t done = 0;
    for (size_t piece = first; outcome.result == CV_CHUNKED_MORE && done < size; piece = then) {
        if (piece > size - done)
            piece = size - done;
        uint8_t *bytes = cv_copy(at + done, piece);
        size_t data, taken;
        outcome.result = cv_chunked_decode(&state, limits, bytes, piece, &data, &taken);
        CHECK(taken <= piece && data <= taken);
        CHECK(outcome.result != CV_CHUNKED_MORE || taken == piece);
        memcpy(outcome.data + outcome.size, bytes, data);
        outcome.size += data;
        done += taken;
        free(bytes);
    }
    outcome.taken = done;
    return outcome;
}

static struct outcome decode(const uint8_t *at, size_t size, const cv_chunked_limits *limits)
{
    struct outcome whole = decode_pieces(at, size, size, 1, limits);
    size_t step = size > 600 ? size / 7 : 1;
    for (size_t first = 1; first <= size; first += step) {
        for (int one = 0; one < 2; one++) {
            struct outcome split = decode_pieces(at, size, first, one ? 1 : size, limits);
            if (!CHECK(split.result == whole.result && split.taken == whole.taken &&
                       split.size == whole.size &&
                       memcmp(split.data, whole.data, whole.size) == 0)) {
                fprintf(stderr, "    first %zu, then %s: %d, whole: %d\n", first,
                        one ? "one at a time" : "the rest", split.result, whole.result);
                cv_show("bytes", at, size);
            }
            free(split.data);
        }
    }
    return whole;
}

static void expect(const uint8_t *at, size_t size, const cv_chunked_limits *limits, int result,
                   const char *data, int line)
{
    struct outcome o = decode(at, size, limits);
    if (!cv_check(o.result == result && o.size == strlen(data) && memcmp(o.data, data, o.size) == 0,
                  "the outcome is another", __FILE__, line)) {
        fprintf(stderr, "    %d, not %d\n", o.result, result);
        cv_show("bytes", at, size);
        cv_show("data", o.data, o.size);
    }
    free(o.data);
}

#define EXPECT(text, result, data)                                                                 \
    expect((const uint8_t *)(text), sizeof(text) - 1, &usual, (result), (data), __LINE__)
#define WITHIN(text, limits, result, data)                                                         \
    expect((const uint8_t *)(text), sizeof(text) - 1, (limits), (result), (data), __LINE__)

static void test_bodies(void)
{
    EXPECT("0\r\n\r\n", CV_CHUNKED_DONE, "");
    EXPECT("5\r\nhello\r\n0\r\n\r\n", CV_CHUNKED_DONE, "hello");
    EXPECT("1\r\na\r\n0000000000000002\r\nbc\r\n00\r\n\r\nGET /", CV_CHUNKED_DONE, "abc");
    EXPECT("a\r\n0123456789\r\nB\r\n0123456789\n\r\n0\r\n\r\n", CV_CHUNKED_DONE,
           "01234567890123456789\n");
    EXPECT("2\r\n\r\n\r\n0\r\n\r\n", CV_CHUNKED_DONE, "\r\n");
    /* bad input 12 */
    EXPECT("5\r\nhello\r\n0\r\n", CV_CHUNKED_MORE, "hello");
    EXPECT("5\r\nhello\r\n0\r\n\r", CV_CHUNKED_MORE, "hello");
    EXPECT("5\r\nhel", CV_CHUNKED_MORE, "hel");
    EXPECT("5", CV_CHUNKED_MORE, "");

    struct outcome o =
        decode((const uint8_t *)"3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n", 29, &usual);
    CHECK(o.taken == 13);
    free(o.data);
}

static void test_sizes(void) /* bad input 8 */
{
    EXPECT("0x5\r\nhello\r\n0\r\n\r\n", -400, "");
    EXPECT("+5\r\nhello\r\n0\r\n\r\n", -400, "");
    EXPECT("-5\r\nhello\r\n0\r\n\r\n", -400, "");
    EXPECT("5_0\r\nhello\r\n0\r\n\r\n", -400, "");
    EXPECT(" 5\r\nhello\r\n0\r\n\r\n", -400, "");
    EXPECT("5 \r\nhello\r\n0\r\n\r\n", -400, "");
    EXPECT("\t5\r\nhello\r\n0\r\n\r\n", -400, "");
    EXPECT("\r\nhello\r\n0\r\n\r\n", -400, "");
    EXPECT(";a\r\nhello\r\n0\r\n\r\n", -400, "");
    EXPECT("g\r\n", -400, "");
    EXPECT("G\r\n", -400, "");
    EXPECT("/\r\n", -400, "");
    EXPECT(":\r\n", -400, "");
    EXPECT("@\r\n", -400, "");
    EXPECT("`\r\n", -400, "");
    EXPECT("00000000000000005\r\nhello\r\n0\r\n\r\n", -400, "");
    EXPECT("10000000000000005\r\nhello\r\n0\r\n\r\n", -400, "");
    EXPECT("ffffffffffffffff\r\nhello\r\n0\r\n\r\n", -400, "");
    EXPECT("8000000000000000\r\nhello", -400, "");
    EXPECT("7fffffffffffffff\r\nhello", CV_CHUNKED_MORE, "hello");
    EXPECT("5\r\nhello\r\nx\r\n", -400, "hello");
    EXPECT("5\r\nhello\r\n\r\n0\r\n\r\n", -400, "hello");
}

static void test_line_ends(void) /* bad inputs 9 and 10 */
{
    EXPECT("5\r\nhelloXX0\r\n\r\n", -400, "hello");
    EXPECT("5\r\nhello\rX0\r\n\r\n", -400, "hello");
    EXPECT("5\r\nhello\n0\r\n\r\n", -400, "hello");
    EXPECT("5\r\nhello0\r\n\r\n", -400, "hello");
    EXPECT("0\r\nXX\r\n", -400, "");
    EXPECT("0\r\n\rX", -400, "");
    EXPECT("0\r\n\n", -400, "");
    EXPECT("5\nhello\r\n0\r\n\r\n", -400, "");
    EXPECT("5\rhello\r\n0\r\n\r\n", -400, "");
    EXPECT("5\r\r\nhello\r\n0\r\n\r\n", -400, "");
    EXPECT("5;\nxx\r\n0\r\n\r\n", -400, "");
    EXPECT("5;a\nxx\r\n0\r\n\r\n", -400, "");
    EXPECT("5;a\r\rb\r\n", -400, "");
    EXPECT("5;a\rb\r\n", -400, "");
    EXPECT("5;a=\"\n\"\r\n", -400, "");
    EXPECT("5;a=\"\r\n\"\r\n", -400, "");
    EXPECT("5;a=b\n\r\nhello", -400, "");
}

static void test_extensions(void) /* bad input 11 */
{
    EXPECT("5;a\r\nhello\r\n0;b=c\r\n\r\n", CV_CHUNKED_DONE, "hello");
    EXPECT("5;a;b=c;d=\"e f;\\\"\\\\\t\xff\";g\r\nhello\r\n0\r\n\r\n", CV_CHUNKED_DONE, "hello");
    EXPECT("5;a=\"\"\r\nhello\r\n0\r\n\r\n", CV_CHUNKED_DONE, "hello");
    EXPECT("5;\r\nhello\r\n0\r\n\r\n", -400, "");
    EXPECT("5;;a\r\n", -400, "");
    EXPECT("5;a;\r\n", -400, "");
    EXPECT("5;=b\r\n", -400, "");
    EXPECT("5;a=\r\n", -400, "");
    EXPECT("5;a=;b\r\n", -400, "");
    EXPECT("5;a=b=c\r\n", -400, "");
    EXPECT("5;a=\"b\"c\r\n", -400, "");
    EXPECT("5;a=\"b\"=c\r\n", -400, "");
    EXPECT("5;a=b\"\r\n", -400, "");
    EXPECT("5; a\r\n", -400, "");
    EXPECT("5 ;a\r\n", -400, "");
    EXPECT("5;a =b\r\n", -400, "");
    EXPECT("5;a= b\r\n", -400, "");
    EXPECT("5;a\0\r\n", -400, "");
    EXPECT("5;a=\"\0\"\r\n", -400, "");
    EXPECT("5;a=\"\\\0\"\r\n", -400, "");
    EXPECT("5;a=\"\x7f\"\r\n", -400, "");
    EXPECT("5;\xff\r\n", -400, "");
}

static void test_overhead(void) /* bad input 11 */
{
    static const cv_chunked_limits ten = {.max_overhead = 10};
    WITHIN("1\r\na\r\n1\r\nb\r\n1\r\nc\r\n1\r\nd\r\n", &ten, CV_CHUNKED_MORE, "abcd");
    WITHIN("1;aaaaaa\r\na\r\n1;aaaa\r\nb", &ten, CV_CHUNKED_MORE, "ab");
    WITHIN("1;aaaaaaa\r\na\r\n", &ten, -413, "");
    WITHIN("1;aaaaaa\r\na\r\n1;aaaaa\r\nb", &ten, -413, "a");
    /* One byte of data may come with a hundred of framing for ever, but not with more. */
    static const cv_chunked_limits limits = {.max_overhead = 1000};
    for (int extra = 0; extra < 2; extra++) {
        char line[128];
        size_t size = (size_t)snprintf(line, sizeof line, "1;%093d\r\nx\r\n", 7);
        CHECK(size == 100);
        if (extra) {
            memmove(line + 3, line + 2, size - 2);
            size++;
        }
        cv_chunked state = {0};
        int result = 0;
        int rounds = 0;
        for (; rounds < 5000 && result == 0; rounds++) {
            char bytes[128];
            size_t data, taken;
            memcpy(bytes, line, size);
            result = cv_chunked_decode(&state, &limits, (uint8_t *)bytes, size, &data, &taken);
        }
        CHECK(result == (extra ? -413 : 0));
        CHECK(rounds == (extra ? 903 : 5000));
    }
    /* Megabytes of it are refused early. */
    size_t size = 1 << 20;
    uint8_t *text = malloc(size);
    if (text == NULL)
        abort();
    memset(text, 'x', size);
    memcpy(text, "1;", 2);
    struct outcome o = decode_pieces(text, size, size, 1, &usual);
    CHECK(o.result == -413 && o.taken == 16384);
    free(o.data);
    free(text);
}

static void test_trailers(void) /* bad input 13 */
{
    EXPECT("0\r\nX-Sum: 1\r\nlast:\r\n\r\nGET", CV_CHUNKED_DONE, "");
    EXPECT("0\r\na: \xff\tb \r\n\r\n", CV_CHUNKED_DONE, "");
    static const char *const names[] = {
        "Content-Length", "transfer-encoding", "HOST", "Authorization", "connection", "TE",
        "Trailer", "Expect", "Content-Type", "Content-Encoding", "Content-Range", "Cookie",
        "Set-Cookie",
        "Cache-Control", "Max-Forwards", "Range", "If-Match", "If-None-Match", "if-x",
        "Proxy-Authorization", "Upgrade", "Keep-Alive", "X-Forwarded-For"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "0\r\n%s: 1\r\n\r\n", names[i]);
        expect((uint8_t *)text, strlen(text), &usual, -400, "", __LINE__);
        snprintf(text, sizeof text, "0\r\nX: y\r\n%s:\r\n\r\n", names[i]);
        expect((uint8_t *)text, strlen(text), &usual, -400, "", __LINE__);
        snprintf(text, sizeof text, "0\r\nx%s: 1\r\n\r\n", names[i]);
        expect((uint8_t *)text, strlen(text), &usual, CV_CHUNKED_DONE, "", __LINE__);
        snprintf(text, sizeof text, "0\r\n%.*s: 1\r\n\r\n", (int)strlen(names[i]) - 1, names[i]);
        if (strncmp(names[i], "If-", 3) != 0 && strncmp(names[i], "if-", 3) != 0)
            expect((uint8_t *)text, strlen(text), &usual, CV_CHUNKED_DONE, "", __LINE__);
    }
    EXPECT("0\r\nProxy-AuthorizationX: 1\r\n\r\n", CV_CHUNKED_DONE, "");
    EXPECT("0\r\nProxy-Authorization-and-more-and-more: 1\r\n\r\n", CV_CHUNKED_DONE, "");
    EXPECT("0\r\n: 1\r\n\r\n", -400, "");
    EXPECT("0\r\na\r\n\r\n", -400, "");
    EXPECT("0\r\na : 1\r\n\r\n", -400, "");
    EXPECT("0\r\n a: 1\r\n\r\n", -400, "");
    EXPECT("0\r\na: 1\r\n b\r\n\r\n", -400, "");
    EXPECT("0\r\na: 1\n\r\n", -400, "");
    EXPECT("0\r\na: 1\rb: 2\r\n\r\n", -400, "");
    EXPECT("0\r\na: \0\r\n\r\n", -400, "");
    EXPECT("0\r\na: \x7f\r\n\r\n", -400, "");
    EXPECT("0\r\na\xff: 1\r\n\r\n", -400, "");
    EXPECT("0\r\na: 1\r\n\rX", -400, "");

    static const cv_chunked_limits few = {
        .max_overhead = 100, .max_trailer_size = 16, .max_trailer_fields = 2};
    WITHIN("0\r\na:\r\nb:\r\n\r\n", &few, CV_CHUNKED_DONE, "");
    WITHIN("0\r\na:\r\nb:\r\nc:\r\n\r\n", &few, -431, "");
    WITHIN("0\r\na:0123456789\r\n\r\n", &few, CV_CHUNKED_DONE, "");
    WITHIN("0\r\na:01234567890\r\n\r\n", &few, -431, "");
}

int main(void)
{
    test_bodies();
    test_sizes();
    test_line_ends();
    test_extensions();
    test_overhead();
    test_trailers();
    if (cv_failures != 0)
        fprintf(stderr, "%d checks failed\n", cv_failures);
    return cv_failures != 0;
}
