/* The chunked coding, byte by byte where it frames and at once where it is data. */
#include "chunked.h"

#include "scan.h"

enum cv_chunked_state {
    CV_SIZE, /* the first at the beginning: at least one digit has to come */
    CV_SIZE_END, /* LF of the size line */
    CV_EXTENSION, /* behind ';' */
    CV_EXTENSION_NAME,
    CV_EXTENSION_VALUE, /* behind '=' */
    CV_EXTENSION_TOKEN,
    CV_EXTENSION_QUOTED,
    CV_EXTENSION_ESCAPE, /* behind a backslash */
    CV_EXTENSION_UNQUOTED, /* behind the closing quote */
    CV_DATA,
    CV_DATA_CR,
    CV_DATA_LF,
    CV_TRAILER, /* at the beginning of a line behind the last chunk */
    CV_TRAILER_NAME,
    CV_TRAILER_VALUE,
    CV_TRAILER_LF,
    CV_END_LF,
    CV_END
};

enum { CV_MAX_DIGITS = 16, CV_PAID = 99 };

/* What frames, routes, authenticates or describes a message has no business behind its body (RFC
 * 9110, 6.5.1). Conditions, all names that begin with "if-", are added below. */
static int cv_is_forbidden(const uint8_t *name, size_t size)
{
    static const char names[][CV_TRAILER_NAME_SIZE + 1] = {
        "age",
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-location",
        "content-range",
        "content-type",
        "cookie",
        "date",
        "expect",
        "expires",
        "forwarded",
        "host",
        "keep-alive",
        "location",
        "max-forwards",
        "origin",
        "pragma",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "referer",
        "retry-after",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "vary",
        "via",
        "warning",
        "www-authenticate",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
    };
    if (size > CV_TRAILER_NAME_SIZE)
        return 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (size == strlen(names[i]) && memcmp(name, names[i], size) == 0)
            return 1;
    }
    return 0;
}

static int cv_hex(uint8_t byte)
{
    return byte <= '9' ? byte - '0' : cv_lower(byte) - 'a' + 10;
}

/* Of a quoted string (RFC 9110, 5.6.4), or what may follow a backslash there. */
static int cv_is_quotable(uint8_t byte)
{
    return CV_IS(byte, CV_BYTE_VALUE);
}

/* One byte of a line that begins with a chunk's size. Returns 0 or the status of a refusal. */
static int cv_read_size(cv_chunked *state, uint8_t byte)
{
    switch (state->state) {
    case CV_SIZE:
        if (CV_IS(byte, CV_BYTE_HEX)) {
            /* With 16 digits nothing is lost, but a sum with another size might be. */
            if (state->digits == CV_MAX_DIGITS || state->left >> 59 != 0)
                return 400;
            state->digits++;
            state->left = state->left << 4 | (uint64_t)cv_hex(byte);
            return 0;
        }
        if (state->digits == 0)
            return 400;
        break;
    case CV_EXTENSION:
        state->state = CV_EXTENSION_NAME;
        return CV_IS(byte, CV_BYTE_TOKEN) ? 0 : 400;
    case CV_EXTENSION_NAME:
        if (CV_IS(byte, CV_BYTE_TOKEN))
            return 0;
        if (byte == '=') {
            state->state = CV_EXTENSION_VALUE;
            return 0;
        }
        break;
    case CV_EXTENSION_VALUE:
        state->state = byte == '"' ? CV_EXTENSION_QUOTED : CV_EXTENSION_TOKEN;
        return byte == '"' || CV_IS(byte, CV_BYTE_TOKEN) ? 0 : 400;
    case CV_EXTENSION_TOKEN:
        if (CV_IS(byte, CV_BYTE_TOKEN))
            return 0;
        break;
    case CV_EXTENSION_QUOTED:
        if (byte == '"')
            state->state = CV_EXTENSION_UNQUOTED;
        else if (byte == '\\')
            state->state = CV_EXTENSION_ESCAPE;
        return cv_is_quotable(byte) ? 0 : 400;
    case CV_EXTENSION_ESCAPE:
        state->state = CV_EXTENSION_QUOTED;
        return cv_is_quotable(byte) ? 0 : 400;
    case CV_EXTENSION_UNQUOTED:
        break;
    default: /* CV_SIZE_END */
        state->digits = 0;
        state->state = state->left != 0 ? CV_DATA : CV_TRAILER;
        return byte == '\n' ? 0 : 400;
    }
    /* The size, a name or a value is complete. No whitespace: the grammar knows it only as bad. */
    if (byte == '\r')
        state->state = CV_SIZE_END;
    else if (byte == ';')
        state->state = CV_EXTENSION;
    else
        return 400;
    return 0;
}

/* One byte of the trailer section. Returns 0 or the status of a refusal. */
static int cv_read_trailer(cv_chunked *state, const cv_chunked_limits *limits, uint8_t byte)
{
    switch (state->state) {
    case CV_TRAILER:
        if (byte == '\r') {
            state->state = CV_END_LF;
            return 0;
        }
        if (state->trailer_fields == limits->max_trailer_fields)
            return 431;
        state->trailer_fields++;
        state->name_size = 0;
        state->state = CV_TRAILER_NAME;
        if (byte == ':')
            return 400;
        /* fall through */
    case CV_TRAILER_NAME:
        if (byte == ':') {
            state->state = CV_TRAILER_VALUE;
            if (state->name_size >= 3 && memcmp(state->name, "if-", 3) == 0)
                return 400;
            return cv_is_forbidden(state->name, state->name_size) ? 400 : 0;
        }
        /* A longer name is none of those we know: it is enough to know that it is longer. */
        if (state->name_size < CV_TRAILER_NAME_SIZE)
            state->name[state->name_size] = cv_lower(byte);
        if (state->name_size <= CV_TRAILER_NAME_SIZE)
            state->name_size++;
        return CV_IS(byte, CV_BYTE_TOKEN) ? 0 : 400;
    case CV_TRAILER_VALUE:
        if (byte == '\r')
            state->state = CV_TRAILER_LF;
        return byte == '\r' || CV_IS(byte, CV_BYTE_VALUE) ? 0 : 400;
    case CV_TRAILER_LF:
        state->state = CV_TRAILER;
        return byte == '\n' ? 0 : 400;
    default: /* CV_END_LF */
        state->state = CV_END;
        return byte == '\n' ? 0 : 400;
    }
}

int cv_chunked_decode(cv_chunked *state, const cv_chunked_limits *limits, uint8_t *at, size_t size,
                      size_t *data, size_t *taken)
{
    const uint8_t *from = at;
    const uint8_t *end = at + size;
    uint8_t *to = at;
    int status = 0;

    while (from < end && status == 0 && state->state != CV_END) {
        if (state->state == CV_DATA) {
            size_t there = (size_t)(end - from);
            size_t piece = state->left < there ? (size_t)state->left : there;
            if (to != from)
                memmove(to, from, piece);
            to += piece;
            from += piece;
            state->left -= piece;
            state->overhead =
                piece > state->overhead / CV_PAID ? 0 : state->overhead - (uint32_t)piece * CV_PAID;
            if (state->left == 0)
                state->state = CV_DATA_CR;
            continue;
        }
        if (state->state >= CV_TRAILER) {
            if (state->trailer_size == limits->max_trailer_size)
                status = 431;
            else
                status = cv_read_trailer(state, limits, *from);
            state->trailer_size++;
        } else {
            if (state->overhead == limits->max_overhead)
                status = 413;
            else if (state->state == CV_DATA_CR) {
                status = *from == '\r' ? 0 : 400;
                state->state = CV_DATA_LF;
            } else if (state->state == CV_DATA_LF) {
                status = *from == '\n' ? 0 : 400;
                state->state = CV_SIZE;
            } else {
                status = cv_read_size(state, *from);
            }
            state->overhead++;
        }
        from += status == 0;
    }
    *data = (size_t)(to - at);
    *taken = (size_t)(from - at);
    if (status != 0)
        return -status;
    return state->state == CV_END ? CV_CHUNKED_DONE : CV_CHUNKED_MORE;
}
