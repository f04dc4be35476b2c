#include "http2_head.h"

#include <string.h>

enum {
    FIELD = 32, /* what a field counts besides its bytes (RFC 9113, 6.5.2) */
    AROUND = 256 /* what the text has besides names and values */
};

enum pseudo { METHOD, SCHEME, AUTHORITY, PATH, PROTOCOL, UNKNOWN };

static const struct {
    const char *name;
    uint8_t size;
} pseudos[] = {{":method", 7}, {":scheme", 7}, {":authority", 10}, {":path", 5}, {":protocol", 9}};

static uint32_t room_for(const cv_head_limits *limits)
{
    return limits->max_size + AROUND;
}

size_t cv_http2_head_size(const cv_head_limits *limits)
{
    return sizeof(cv_http2_head) + 2 * (size_t)room_for(limits);
}

void cv_http2_head_begin(cv_http2_head *head, const cv_head_limits *limits, int trailers)
{
    memset(head, 0, sizeof *head);
    head->room = room_for(limits);
    head->most_bytes = limits->max_size;
    head->most_fields = limits->max_fields;
    head->trailers = (uint8_t)trailers;
    head->regular = (uint8_t)trailers;
}

static void judge(cv_http2_head *head, int verdict, int status)
{
    /* What is malformed is so whatever was said of its size. */
    if (head->verdict == CV_HTTP2_MALFORMED)
        return;
    head->verdict = (uint8_t)verdict;
    head->status = (uint16_t)status;
}

static int is(const uint8_t *at, size_t size, const char *text)
{
    return size == strlen(text) && memcmp(at, text, size) == 0;
}

/* The limit of decoded bytes leaves room for what is added. */
static void put(cv_http2_head *head, const void *bytes, size_t size)
{
    if (size > head->room - head->size) {
        judge(head, CV_HTTP2_REFUSED, 431);
        return;
    }
    memcpy(head->bytes + head->size, bytes, size);
    head->size += (uint32_t)size;
}

static void put_beside(cv_http2_head *head, const void *bytes, size_t size)
{
    if (size > head->room - head->beside) {
        judge(head, CV_HTTP2_REFUSED, 431);
        return;
    }
    memcpy(head->bytes + head->room + head->beside, bytes, size);
    head->beside += (uint32_t)size;
}

static int is_name(const uint8_t *at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (at[i] >= 'A' && at[i] <= 'Z')
            return 0;
    return size && cv_is_token(at, size);
}

static int is_value(const uint8_t *at, size_t size)
{
    if (!size)
        return 1;
    if (at[0] == ' ' || at[0] == '\t' || at[size - 1] == ' ' || at[size - 1] == '\t')
        return 0;
    return cv_is_value(at, size);
}

static int is_path(const uint8_t *at, size_t size, int options)
{
    if (options && size == 1 && *at == '*')
        return 1;
    if (!size || *at != '/')
        return 0;
    for (size_t i = 0; i < size; i++)
        if (at[i] <= ' ' || at[i] >= 0x7f || at[i] == '#')
            return 0;
    return 1;
}

/* About one connection of HTTP/1.1 (RFC 9113, 8.2.2). */
static int is_of_connection(const uint8_t *name, size_t name_size, const uint8_t *value,
                            size_t value_size)
{
    switch (name_size) {
    case 2:
        return is(name, 2, "te") && !is(value, value_size, "trailers");
    case 7:
        return is(name, 7, "upgrade");
    case 10:
        return is(name, 10, "connection") || is(name, 10, "keep-alive");
    case 16:
        return is(name, 16, "proxy-connection");
    case 17:
        return is(name, 17, "transfer-encoding");
    default:
        return 0;
    }
}

static void add_pseudo(cv_http2_head *head, const uint8_t *name, size_t name_size,
                       const uint8_t *value, size_t value_size)
{
    int which = 0;
    while (which < UNKNOWN && (pseudos[which].size != name_size ||
                               memcmp(pseudos[which].name, name, name_size) != 0))
        which++;
    if (head->regular || which == UNKNOWN || (head->seen & 1 << which)) {
        judge(head, CV_HTTP2_MALFORMED, 0);
        return;
    }
    head->seen |= (uint8_t)(1 << which);
    head->pseudo_at[which] = head->beside;
    head->pseudo_size[which] = (uint32_t)value_size;
    put_beside(head, value, value_size);
}

/* The pseudo-headers are complete: they are the request line and the host. */
static void begin_text(cv_http2_head *head)
{
    const uint8_t *at[UNKNOWN];
    const uint32_t *size = head->pseudo_size;
    head->regular = 1;
    for (int i = 0; i < UNKNOWN; i++)
        at[i] = head->bytes + head->room + head->pseudo_at[i];
    if (!(head->seen & 1 << METHOD) || !cv_is_token(at[METHOD], size[METHOD]) || !size[METHOD]) {
        judge(head, CV_HTTP2_MALFORMED, 0);
        return;
    }
    int connects = is(at[METHOD], size[METHOD], "CONNECT"), extended = head->seen >> PROTOCOL & 1;
    if (connects && !extended) {
        int exact = head->seen == (1 << METHOD | 1 << AUTHORITY); /* RFC 9113, 8.5 */
        judge(head, exact ? CV_HTTP2_REFUSED : CV_HTTP2_MALFORMED, 501);
        return;
    }
    if (extended && (!connects || !(head->seen & 1 << AUTHORITY))) {
        judge(head, CV_HTTP2_MALFORMED, 0);
        return;
    }
    if (!(head->seen & 1 << PATH) ||
        !is_path(at[PATH], size[PATH], is(at[METHOD], size[METHOD], "OPTIONS")) ||
        !(is(at[SCHEME], size[SCHEME], "http") || is(at[SCHEME], size[SCHEME], "https"))) {
        judge(head, CV_HTTP2_MALFORMED, 0);
        return;
    }
    if (extended && !is(at[PROTOCOL], size[PROTOCOL], "websocket")) {
        judge(head, CV_HTTP2_REFUSED, 501);
        return;
    }
    head->websocket = (uint8_t)extended;
    if (extended)
        put(head, "GET", 3); /* what it would be in HTTP/1.1 */
    else
        put(head, at[METHOD], size[METHOD]);
    put(head, " ", 1);
    put(head, at[PATH], size[PATH]);
    put(head, " HTTP/1.1\r\n", 11);
    if (head->seen & 1 << AUTHORITY) {
        if (!is_value(at[AUTHORITY], size[AUTHORITY])) {
            judge(head, CV_HTTP2_MALFORMED, 0);
            return;
        }
        put(head, "host: ", 6);
        head->host_at = head->size;
        head->host_size = size[AUTHORITY];
        head->has_host = 1;
        put(head, at[AUTHORITY], size[AUTHORITY]);
        put(head, "\r\n", 2);
    }
    head->beside = 0;
}

static void add_regular(cv_http2_head *head, const uint8_t *name, size_t name_size,
                        const uint8_t *value, size_t value_size)
{
    if (!is_name(name, name_size) || !is_value(value, value_size) ||
        is_of_connection(name, name_size, value, value_size)) {
        judge(head, CV_HTTP2_MALFORMED, 0);
        return;
    }
    if (head->trailers)
        return; /* they are judged, and nothing of them is kept */
    if (name_size == 6 && memcmp(name, "cookie", 6) == 0) {
        /* Crumbs are one field again (RFC 9113, 8.2.3). */
        if (head->beside)
            put_beside(head, "; ", 2);
        put_beside(head, value, value_size);
        return;
    }
    if (head->has_host && name_size == 4 && memcmp(name, "host", 4) == 0) {
        if (value_size != head->host_size ||
            memcmp(value, head->bytes + head->host_at, value_size) != 0)
            judge(head, CV_HTTP2_MALFORMED, 0);
        else if (head->has_host == 2)
            judge(head, CV_HTTP2_MALFORMED, 0); /* one too many, as in HTTP/1.1 */
        head->has_host = 2;
        return;
    }
    put(head, name, name_size);
    put(head, ": ", 2);
    put(head, value, value_size);
    put(head, "\r\n", 2);
}

void cv_http2_head_add(cv_http2_head *head, const uint8_t *name, size_t name_size,
                       const uint8_t *value, size_t value_size)
{
    if (head->verdict == CV_HTTP2_MALFORMED)
        return;
    uint64_t decoded = (uint64_t)head->decoded + name_size + value_size + FIELD;
    int pseudo = name_size && *name == ':';
    if (!pseudo && head->fields == head->most_fields) {
        judge(head, CV_HTTP2_REFUSED, 431);
        return;
    }
    if (decoded > head->most_bytes) {
        judge(head, CV_HTTP2_REFUSED, 431);
        return;
    }
    head->decoded = (uint32_t)decoded;
    if (pseudo) {
        add_pseudo(head, name, name_size, value, value_size);
        return;
    }
    head->fields++;
    if (!head->regular)
        begin_text(head);
    if (head->verdict != CV_HTTP2_MALFORMED)
        add_regular(head, name, name_size, value, value_size);
}

int cv_http2_head_end(cv_http2_head *head)
{
    if (head->verdict == CV_HTTP2_SOUND && !head->regular)
        begin_text(head);
    if (head->verdict != CV_HTTP2_SOUND || head->trailers)
        return head->verdict;
    if (head->beside) {
        put(head, "cookie: ", 8);
        put(head, head->bytes + head->room, head->beside);
        put(head, "\r\n", 2);
    }
    put(head, "\r\n", 2);
    return head->verdict;
}
