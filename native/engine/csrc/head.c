/* The request head: one line after the other, each as soon as it is complete.
 *
 * What a line is does not depend on how its bytes came: it ends at its first control character
 * other than HTAB, which must be a CR that an LF follows. Only then is it judged. A line that goes
 * on beyond the limit of the head's size is never looked into. */
#include "head.h"

#include "scan.h"

enum cv_seen {
    CV_SEEN_MINOR = 1 << 0, /* the version is HTTP/1.1 */
    CV_SEEN_HOST = 1 << 1,
    CV_SEEN_LENGTH = 1 << 2,
    CV_SEEN_CODING = 1 << 3,
    CV_SEEN_CLOSE = 1 << 4, /* Connection: close */
    CV_SEEN_KEEP = 1 << 5, /* Connection: keep-alive */
    CV_SEEN_WISH = 1 << 6, /* Connection: upgrade */
    CV_SEEN_UPGRADE = 1 << 7 /* Upgrade */
};

struct cv_reader {
    uint8_t *at; /* the head's first byte */
    const uint8_t *end; /* of what is there of it, and may be */
    uint8_t *line; /* the first that is not read yet */
    const uint8_t *scanned; /* this line does not end before it */
    cv_head *head;
    unsigned max_fields;
    unsigned fields;
    unsigned seen; /* enum cv_seen */
    int started; /* the request line is read */
    cv_span authority; /* of an absolute-form target */
};

struct cv_request_line {
    const uint8_t *target, *target_end;
    const uint8_t *question; /* the first, or NULL */
    int escaped; /* there is a percent sign before it */
};

/* The sizes of the names that cv_set_field knows. */
#define CV_KNOWN_SIZES                                                                             \
    (1u << 4 | 1u << 6 | 1u << 7 | 1u << 10 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 16 | 1u << 17)

static inline cv_span cv_span_of(const struct cv_reader *reader, const uint8_t *from,
                                 const uint8_t *to)
{
    return (cv_span){(uint16_t)(from - reader->at), (uint16_t)(to - from)};
}

/* The line at `line` cannot be read: if it is complete it is wrong, and `status` says how. */
static int cv_refuse(struct cv_reader *reader, uint8_t *line, int status)
{
    const uint8_t *stop = cv_find_control(line, reader->end);
    reader->line = line;
    reader->scanned = stop;
    if (stop == reader->end || (stop + 1 == reader->end && *stop == '\r'))
        return 0;
    return stop[0] == '\r' && stop[1] == '\n' ? -status : -400;
}

static const uint8_t *cv_find_token_end(const uint8_t *at, const uint8_t *end)
{
    while (at < end && CV_IS(*at, CV_BYTE_TOKEN))
        at++;
    return at;
}

/* What is to be said to a version that is not ours. */
static int cv_version_status(const uint8_t *at, const uint8_t *end)
{
    return end - at >= 9 && memcmp(at, "HTTP/", 5) == 0 && CV_IS(at[5], CV_BYTE_DIGIT) &&
                   at[6] == '.' && CV_IS(at[7], CV_BYTE_DIGIT) && at[8] == '\r'
               ? 505
               : 400;
}

/* A name of the given size, which is a token. Every byte is read before any is written. */
static inline void cv_lower_name(uint8_t *at, size_t size)
{
    if (size >= 8) {
        uint64_t last = cv_word_at(at + size - 8);
        for (size_t i = 0; i + 8 < size; i += 8)
            cv_word_put(at + i, cv_word_lower(cv_word_at(at + i)));
        cv_word_put(at + size - 8, cv_word_lower(last));
    } else if (size >= 4) {
        uint32_t first = cv_half_at(at);
        uint32_t last = cv_half_at(at + size - 4);
        uint64_t both = cv_word_lower((uint64_t)last << 32 | first);
        cv_half_put(at, (uint32_t)both);
        cv_half_put(at + size - 4, (uint32_t)(both >> 32));
    } else {
        for (size_t i = 0; i < size; i++)
            at[i] = cv_lower(at[i]);
    }
}

/* Whether bytes are this text, which is in lower case, but for their case. */
static int cv_is_text(const uint8_t *at, size_t size, const char *text)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\0' || cv_lower(at[i]) != (uint8_t)text[i])
            return 0;
    }
    return text[size] == '\0';
}

static inline int cv_is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

/* A name or an address, and perhaps a port (RFC 3986, 3.2.2, but no percent signs and commas). */
static int cv_is_host(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *start = at;
    if (at < end && *at == '[') {
        at++;
        while (at < end && CV_IS(*at, CV_BYTE_LITERAL))
            at++;
        if (at == start + 1 || at == end || *at++ != ']')
            return 0;
    } else {
        while (at < end && CV_IS(*at, CV_BYTE_NAME))
            at++;
        if (at == start)
            return 0;
    }
    if (at == end)
        return 1;
    if (*at++ != ':' || at == end || end - at > 5)
        return 0;
    while (at < end && CV_IS(*at, CV_BYTE_DIGIT))
        at++;
    return at == end;
}

static uint8_t cv_method_of(const uint8_t *at, size_t size)
{
    static const char names[CV_METHODS][8] = {
        "", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE",
    };
    for (uint8_t i = CV_METHOD_GET; i < CV_METHODS; i++) {
        if (size == strlen(names[i]) && memcmp(at, names[i], size) == 0)
            return i;
    }
    return CV_METHOD_OTHER;
}

/* Where the authority of an absolute-form target begins, or NULL if it has another form. */
static const uint8_t *cv_find_authority(const uint8_t *at, const uint8_t *end)
{
    if (end - at >= 7 && cv_is_text(at, 7, "http://"))
        return at + 7;
    if (end - at >= 8 && cv_is_text(at, 8, "https://"))
        return at + 8;
    return NULL;
}

/* Returns 0 or the status of a refusal. */
static int cv_set_request_line(struct cv_reader *reader, const struct cv_request_line *parts)
{
    cv_head *head = reader->head;
    const uint8_t *method_end = parts->target - 1;
    const uint8_t *path = parts->target;
    const uint8_t *path_end = parts->question != NULL ? parts->question : parts->target_end;

    head->method = method_end - reader->at == 3 && reader->at[0] == 'G'
                       ? (reader->at[1] == 'E' ? CV_METHOD_GET : CV_METHOD_OTHER)
                       : cv_method_of(reader->at, (size_t)(method_end - reader->at));
    if (head->method == CV_METHOD_CONNECT)
        return 501;
    head->minor = (reader->seen & CV_SEEN_MINOR) != 0;
    head->method_name = cv_span_of(reader, reader->at, method_end);
    head->target = cv_span_of(reader, parts->target, parts->target_end);
    if (parts->question != NULL) {
        head->query = cv_span_of(reader, parts->question + 1, parts->target_end);
        head->flags |= CV_HEAD_QUERY;
    }
    if (parts->escaped)
        head->flags |= CV_HEAD_ESCAPED;

    if (*path != '/') {
        const uint8_t *authority = cv_find_authority(path, path_end);
        if (authority != NULL) {
            path = authority;
            while (path < path_end && *path != '/')
                path++;
            reader->authority = cv_span_of(reader, authority, path);
            if (path == path_end) { /* an empty path is "/": the second of the scheme will do */
                path = authority - 1;
                path_end = authority;
            }
        } else if (head->method != CV_METHOD_OPTIONS || *path != '*' ||
                   parts->target_end - path != 1) {
            return 400;
        }
    }
    head->path = cv_span_of(reader, path, path_end);
    return 0;
}

/* Up to 18 digits, so that no sum of two overflows. */
static int cv_set_length(struct cv_reader *reader, const uint8_t *at, const uint8_t *end)
{
    uint64_t length = 0;
    if (at == end || end - at > 18)
        return 400;
    for (; at < end; at++) {
        if (!CV_IS(*at, CV_BYTE_DIGIT))
            return 400;
        length = length * 10 + (*at - '0');
    }
    reader->head->content_length = length;
    reader->head->flags |= CV_HEAD_LENGTH;
    return 0;
}

/* The next element of a list, without its whitespace, and `*at` behind its comma; 0: no more. */
static int cv_next_element(const uint8_t **at, const uint8_t *end, const uint8_t **from,
                           const uint8_t **to)
{
    if (*at > end)
        return 0;
    const uint8_t *comma = *at;
    while (comma < end && *comma != ',')
        comma++;
    *from = *at;
    *to = comma;
    while (*from < *to && cv_is_space(**from))
        ++*from;
    while (*to > *from && cv_is_space((*to)[-1]))
        --*to;
    *at = comma + 1;
    return 1;
}

/* "chunked" once, and nothing else. Of what is refused, 501 is for codings that could be meant. */
static int cv_set_coding(struct cv_reader *reader, const uint8_t *at, const uint8_t *end)
{
    const uint8_t *from, *to;
    int chunked = 0;
    int others = 0;
    if ((reader->seen & CV_SEEN_MINOR) == 0)
        return 400;
    while (cv_next_element(&at, end, &from, &to)) {
        if (chunked || from == to || cv_find_token_end(from, to) != to)
            return 400;
        chunked = cv_is_text(from, (size_t)(to - from), "chunked");
        others += !chunked;
    }
    if (others != 0)
        return 501;
    reader->head->flags |= CV_HEAD_CHUNKED;
    return 0;
}

static void cv_set_connection(struct cv_reader *reader, const uint8_t *at, const uint8_t *end)
{
    const uint8_t *from, *to;
    while (cv_next_element(&at, end, &from, &to)) {
        size_t size = (size_t)(to - from);
        if (cv_is_text(from, size, "close"))
            reader->seen |= CV_SEEN_CLOSE;
        else if (cv_is_text(from, size, "keep-alive"))
            reader->seen |= CV_SEEN_KEEP;
        else if (cv_is_text(from, size, "upgrade"))
            reader->seen |= CV_SEEN_WISH;
    }
}

/* Take note that a field is there which may come once. */
static int cv_see_once(struct cv_reader *reader, unsigned seen)
{
    int again = (reader->seen & seen) != 0;
    reader->seen |= seen;
    return again ? 400 : 0;
}

/* What a field means to the engine. The value is still with its whitespace. Returns 0 or the status
 * of a refusal. */
static int cv_set_field(struct cv_reader *reader, const uint8_t *name, size_t size,
                        const uint8_t *at, const uint8_t *end)
{
    cv_head *head = reader->head;
    int status = 0;

    if (size < 8) {
        uint64_t both = (uint64_t)cv_half_at(name + size - 4) << 32 | cv_half_at(name);
        if (both != (size == 4   ? CV_WORD('h', 'o', 's', 't', 'h', 'o', 's', 't')
                     : size == 6 ? CV_WORD('e', 'x', 'p', 'e', 'p', 'e', 'c', 't')
                                 : CV_WORD('u', 'p', 'g', 'r', 'r', 'a', 'd', 'e')))
            return 0;
    }
    while (at < end && cv_is_space(*at))
        at++;
    while (end > at && cv_is_space(end[-1]))
        end--;

    switch (size) {
    case 4: /* host */
        head->host = cv_span_of(reader, at, end);
        status = cv_see_once(reader, CV_SEEN_HOST);
        return status == 0 && !cv_is_host(at, end) ? 400 : status;
    case 6: /* expect */
        if (!cv_is_text(at, (size_t)(end - at), "100-continue"))
            return 417;
        if ((reader->seen & CV_SEEN_MINOR) != 0)
            head->flags |= CV_HEAD_EXPECT;
        return 0;
    case 7: /* upgrade */
        reader->seen |= CV_SEEN_UPGRADE;
        return 0;
    default:
        break;
    }

    uint64_t start = cv_word_at(name);
    uint64_t tail = cv_word_at(name + size - 8);
    switch (size) {
    case 10:
        if (start == CV_WORD('c', 'o', 'n', 'n', 'e', 'c', 't', 'i') &&
            tail == CV_WORD('n', 'n', 'e', 'c', 't', 'i', 'o', 'n'))
            cv_set_connection(reader, at, end);
        break;
    case 12:
        if (start == CV_WORD('c', 'o', 'n', 't', 'e', 'n', 't', '-') &&
            tail == CV_WORD('e', 'n', 't', '-', 't', 'y', 'p', 'e')) {
            if (head->content_type.at != 0) {
                head->flags |= CV_HEAD_CODED;
                break;
            }
            head->content_type = cv_span_of(reader, at, end);
            if (end - at == 16 && memcmp(at, "application/json", 16) == 0)
                head->flags |= CV_HEAD_JSON;
        }
        break;
    case 13:
        if (start == CV_WORD('a', 'u', 't', 'h', 'o', 'r', 'i', 'z') &&
            tail == CV_WORD('r', 'i', 'z', 'a', 't', 'i', 'o', 'n'))
            head->flags |= CV_HEAD_AUTHORIZATION;
        else if (start == CV_WORD('i', 'f', '-', 'n', 'o', 'n', 'e', '-') &&
                 tail == CV_WORD('n', 'e', '-', 'm', 'a', 't', 'c', 'h'))
            head->flags |= CV_HEAD_CONDITIONAL;
        break;
    case 14:
        if (start == CV_WORD('c', 'o', 'n', 't', 'e', 'n', 't', '-') &&
            tail == CV_WORD('t', '-', 'l', 'e', 'n', 'g', 't', 'h')) {
            status = cv_see_once(reader, CV_SEEN_LENGTH);
            if (status == 0)
                status = cv_set_length(reader, at, end);
        }
        break;
    case 16:
        if (start == CV_WORD('c', 'o', 'n', 't', 'e', 'n', 't', '-') &&
            tail == CV_WORD('e', 'n', 'c', 'o', 'd', 'i', 'n', 'g'))
            head->flags |= CV_HEAD_CODED;
        break;
    default:
        if (start == CV_WORD('t', 'r', 'a', 'n', 's', 'f', 'e', 'r') &&
            memcmp(name + 8, "-encoding", 9) == 0) {
            status = cv_see_once(reader, CV_SEEN_CODING);
            if (status == 0)
                status = cv_set_coding(reader, at, end);
        }
        break;
    }
    /* Two ways to tell where the body ends. */
    if (status == 0 && (reader->seen & CV_SEEN_LENGTH) != 0 && (reader->seen & CV_SEEN_CODING) != 0)
        status = 400;
    return status;
}

/* The head is complete: what can be said only now. */
static int cv_finish(struct cv_reader *reader, const uint8_t *end)
{
    cv_head *head = reader->head;
    unsigned seen = reader->seen;
    if ((seen & (CV_SEEN_MINOR | CV_SEEN_HOST)) == CV_SEEN_MINOR)
        return -400;
    if (reader->authority.at != 0 &&
        (head->host.size == 0 || reader->authority.size != head->host.size ||
         memcmp(reader->at + reader->authority.at, reader->at + head->host.at, head->host.size) !=
             0))
        return -400;

    head->size = (uint32_t)(end - reader->at);
    head->fields = (uint16_t)reader->fields;
    if ((seen & CV_SEEN_CLOSE) == 0 && (seen & (CV_SEEN_MINOR | CV_SEEN_KEEP)) != 0)
        head->flags |= CV_HEAD_KEEP_ALIVE;
    if ((seen & CV_SEEN_MINOR) != 0 && (seen & CV_SEEN_UPGRADE) != 0)
        head->flags |= CV_HEAD_UPGRADES;
    if ((seen & CV_SEEN_MINOR) != 0 && (seen & CV_SEEN_WISH) != 0 && (seen & CV_SEEN_UPGRADE) != 0)
        head->flags |= CV_HEAD_UPGRADE;
    return 1;
}

#define CV_SET(name) cv_word_##name
#define CV_TARGET
#define CV_WIDTH 8
#include "head_lines.h"

#ifdef CV_SSE2
#define CV_SET(name) cv_sse2_##name
#define CV_TARGET
#define CV_WIDTH 16
#include "head_lines.h"
#endif

#ifdef CV_AVX2
#define CV_SET(name) cv_avx2_##name
#define CV_TARGET CV_AVX2_TARGET
#define CV_WIDTH 32
#include "head_lines.h"
#endif

static int cv_read_lines(struct cv_reader *reader)
{
    size_t size = (size_t)(reader->end - reader->at);
#ifdef CV_AVX2
    if (size >= 32 && __builtin_cpu_supports("avx2"))
        return cv_avx2_read_lines(reader);
#endif
#ifdef CV_SSE2
    if (size >= 16)
        return cv_sse2_read_lines(reader);
#endif
    if (size >= 8)
        return cv_word_read_lines(reader);
    return cv_refuse(reader, reader->at, 400); /* no request line is as short */
}

int cv_head_read(uint8_t *at, size_t size, const cv_head_limits *limits, cv_head_progress *progress,
                 cv_head *head)
{
    size_t max = limits->max_size < UINT16_MAX ? limits->max_size : UINT16_MAX;
    int full = size >= max;
    struct cv_reader reader = {
        .at = at,
        .end = at + (full ? max : size),
        .line = at + progress->line,
        .head = head,
        .max_fields = limits->max_fields,
        .fields = progress->started != 0 ? progress->started - 1u : 0,
        .seen = progress->seen,
        .started = progress->started != 0,
    };
    int result = 0;

    memset(head, 0, sizeof *head);
    if (progress->scanned > progress->line) { /* nothing new can be said before this line ends */
        const uint8_t *stop = cv_find_control(at + progress->scanned, reader.end);
        reader.scanned = stop;
        if (stop < reader.end && (stop + 1 < reader.end || *stop != '\r'))
            result = stop[0] == '\r' && stop[1] == '\n' ? cv_read_lines(&reader) : -400;
    } else {
        result = cv_read_lines(&reader);
    }
    if (result == 1 && progress->line != 0) {
        /* `head` holds only the lines of this call. */
        memset(head, 0, sizeof *head);
        reader = (struct cv_reader){
            .at = at,
            .end = reader.end,
            .line = at,
            .head = head,
            .max_fields = limits->max_fields,
        };
        return cv_read_lines(&reader);
    }
    if (result != 0)
        return result;
    if (full)
        return reader.started ? -431 : -414;
    progress->scanned = (uint32_t)(reader.scanned - at);
    progress->line = (uint32_t)(reader.line - at);
    progress->seen = (uint16_t)reader.seen;
    progress->started = (uint16_t)(reader.started ? reader.fields + 1 : 0);
    return 0;
}

int cv_head_field(const uint8_t *at, const cv_head *head, const char *name, size_t name_size,
                  cv_span after, cv_span *value)
{
    const uint8_t *end = at + head->size - 2; /* the empty line */
    const uint8_t *line = at + (after.at != 0 ? after.at + after.size
                                              : head->target.at + head->target.size);
    for (;;) {
        const uint8_t *next = memchr(line, '\n', (size_t)(end - line));
        if (next == NULL || next + 1 == end)
            return 0;
        line = next + 1;
        if ((size_t)(end - line) > name_size && line[name_size] == ':' &&
            memcmp(line, name, name_size) == 0)
            break;
    }
    const uint8_t *from = line + name_size + 1;
    const uint8_t *to = memchr(from, '\r', (size_t)(end - from));
    while (cv_is_space(*from))
        from++;
    while (to > from && cv_is_space(to[-1]))
        to--;
    *value = (cv_span){(uint16_t)(from - at), (uint16_t)(to - from)};
    return 1;
}
