#include "fields.h"

#include <string.h>

#include "head.h"

typedef struct line {
    const uint8_t *name, *value;
    size_t name_size, value_size;
    size_t size; /* with its CRLF */
} line;

static int read_line(const uint8_t *at, size_t size, line *out)
{
    const uint8_t *end = memchr(at, '\r', size);
    if (!end || (size_t)(end - at) + 2 > size || end[1] != '\n')
        return -1;
    const uint8_t *colon = memchr(at, ':', (size_t)(end - at));
    if (!colon)
        return -1;
    out->name = at;
    out->name_size = (size_t)(colon - at);
    const uint8_t *value = colon + 1, *stop = end;
    while (value < stop && (*value == ' ' || *value == '\t'))
        value++;
    while (stop > value && (stop[-1] == ' ' || stop[-1] == '\t'))
        stop--;
    out->value = value;
    out->value_size = (size_t)(stop - value);
    out->size = (size_t)(end - at) + 2;
    return 0;
}

static int same(const uint8_t *at, size_t size, const char *lower)
{
    if (size != strlen(lower))
        return 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = at[i];
        if (byte >= 'A' && byte <= 'Z')
            byte = (uint8_t)(byte + 32);
        if (byte != (uint8_t)lower[i])
            return 0;
    }
    return 1;
}

static int number(const uint8_t *at, size_t size, uint64_t *out)
{
    uint64_t value = 0;
    if (size == 0 || size > 18)
        return -1;
    for (size_t i = 0; i < size; i++) {
        if (at[i] < '0' || at[i] > '9')
            return -1;
        value = value * 10 + (at[i] - '0');
    }
    *out = value;
    return 0;
}

int cv_fields_check(const uint8_t *at, size_t size, cv_fields *fields)
{
    memset(fields, 0, sizeof *fields);
    const uint8_t *end = at + size;
    while (at < end) {
        line l;
        if (read_line(at, (size_t)(end - at), &l) < 0 || !cv_is_token(l.name, l.name_size) ||
            !cv_is_value(l.value, l.value_size))
            return -1;
        switch (l.name_size) {
        case 4:
            if (same(l.name, 4, "date"))
                fields->has_date = 1;
            break;
        case 10:
            if (same(l.name, 10, "connection")) {
                fields->has_connection = 1;
                if (same(l.value, l.value_size, "close"))
                    fields->close = 1;
                else if (!same(l.value, l.value_size, "keep-alive"))
                    return -1;
            }
            break;
        case 14:
            if (same(l.name, 14, "content-length")) {
                if (fields->has_length || number(l.value, l.value_size, &fields->content_length) < 0)
                    return -1;
                fields->has_length = 1;
            }
            break;
        case 17:
            if (same(l.name, 17, "transfer-encoding"))
                return -1;
            break;
        }
        at += l.size;
    }
    return 0;
}

int cv_fields_have(const uint8_t *at, size_t size, const char *name)
{
    line l;
    for (const uint8_t *end = at + size; at < end; at += l.size)
        if (read_line(at, (size_t)(end - at), &l) < 0 || same(l.name, l.name_size, name))
            return 1;
    return 0;
}

int cv_trailers_check(const uint8_t *at, size_t size)
{
    static const char *const forbidden[] = {
        "connection", "content-encoding", "content-length", "content-range", "content-type",
        "date", "host", "set-cookie", "te", "trailer", "transfer-encoding",
    };
    const uint8_t *end = at + size;
    while (at < end) {
        line l;
        if (read_line(at, (size_t)(end - at), &l) < 0 || !cv_is_token(l.name, l.name_size) ||
            !cv_is_value(l.value, l.value_size))
            return -1;
        for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
            if (same(l.name, l.name_size, forbidden[i]))
                return -1;
        at += l.size;
    }
    return 0;
}

const uint8_t *cv_fields_next(const uint8_t **at, const uint8_t *end, size_t *size)
{
    while (*at < end) {
        line l;
        const uint8_t *here = *at;
        if (read_line(here, (size_t)(end - here), &l) < 0)
            return NULL;
        *at += l.size;
        if (same(l.name, l.name_size, "content-length") ||
            same(l.name, l.name_size, "connection"))
            continue;
        *size = l.size;
        return here;
    }
    return NULL;
}
