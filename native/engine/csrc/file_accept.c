#include "file_accept.h"

#include <string.h>

#include "head.h"

enum {
    LONGEST = 4096, /* far more than any client sends */
    MOST = 64,
    WHOLE = 1000
};

static int is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

int cv_weight_read(const uint8_t *at, size_t size)
{
    if (size == 0 || size > 5 || (at[0] != '0' && at[0] != '1') || (size > 1 && at[1] != '.'))
        return -1;
    int weight = 0, unit = WHOLE / 10;
    for (size_t i = 2; i < size; i++, unit /= 10) {
        if (at[i] < '0' || at[i] > '9')
            return -1;
        weight += (at[i] - '0') * unit;
    }
    if (at[0] == '0')
        return weight;
    return weight == 0 ? WHOLE : -1;
}

/* Bytes without the blanks around them. */
typedef struct text {
    const uint8_t *at;
    size_t size;
} text;

static text trimmed(const uint8_t *at, const uint8_t *end)
{
    while (at < end && is_blank(*at))
        at++;
    while (end > at && is_blank(end[-1]))
        end--;
    return (text){at, (size_t)(end - at)};
}

/* What comes before a byte, or everything; `*at` is behind it then, or NULL. */
static text until(const uint8_t **at, const uint8_t *end, uint8_t byte)
{
    const uint8_t *stop = memchr(*at, byte, (size_t)(end - *at));
    text found = trimmed(*at, stop ? stop : end);
    *at = stop ? stop + 1 : NULL;
    return found;
}

static int is(text one, const char *lower)
{
    if (one.size != strlen(lower))
        return 0;
    for (size_t i = 0; i < one.size; i++) {
        uint8_t byte = one.at[i];
        if (byte >= 'A' && byte <= 'Z')
            byte |= 0x20;
        if (byte != (uint8_t)lower[i])
            return 0;
    }
    return 1;
}

/* The weight of parameters, or -1 for those that make the range another. */
static int weight_of(const uint8_t *at, const uint8_t *end)
{
    int weight = WHOLE;
    while (at && at < end) {
        const uint8_t *stop = memchr(at, ';', (size_t)(end - at));
        const uint8_t *limit = stop ? stop : end;
        text name = until(&at, limit, '=');
        if (is(name, "q")) {
            text value = at ? trimmed(at, limit) : (text){limit, 0};
            weight = cv_weight_read(value.at, value.size);
            if (weight < 0)
                return -1;
        } else if (name.size && !is(name, "charset")) {
            return -1;
        }
        at = stop ? stop + 1 : NULL;
    }
    return weight;
}

typedef struct wish {
    const char *kind, *subtype;
    int precision, weight;
} wish;

static void consider(wish *one, text kind, text subtype, int weight)
{
    int precision = 0;
    if (is(kind, "*"))
        precision = is(subtype, "*");
    else if (is(kind, one->kind))
        precision = is(subtype, "*") ? 2 : is(subtype, one->subtype) ? 3 : 0;
    if (precision > one->precision) {
        one->precision = precision;
        one->weight = weight;
    }
}

static int is_name(text one)
{
    return one.size > 0 && cv_is_token(one.at, one.size);
}

/* The end of a word as a range has it, which no blank may be in front of. */
static text word_at(const uint8_t *at, const uint8_t *end, const char *stops)
{
    const uint8_t *stop = at;
    while (stop < end && !strchr(stops, *stop) && *stop)
        stop++;
    return (text){at, (size_t)(stop - at)};
}

static void read_range(text part, wish *file, wish *page)
{
    const uint8_t *end = part.at + part.size;
    text kind = word_at(part.at, end, "/; \t");
    const uint8_t *at = kind.at + kind.size;
    if (!is_name(kind) || at == end || *at++ != '/')
        return;
    text subtype = word_at(at, end, "; \t");
    if (!is_name(subtype))
        return;
    at = subtype.at + subtype.size;
    while (at < end && is_blank(*at))
        at++;
    if (at < end && *at != ';')
        return;
    int weight = weight_of(at < end ? at + 1 : NULL, end);
    if (weight < 0)
        return;
    consider(file, kind, subtype, weight);
    consider(page, kind, subtype, weight);
}

int cv_accepts_page(const uint8_t *at, size_t size)
{
    wish file = {"application", "octet-stream", 0, 0}, page = {"text", "html", 0, 0};
    const uint8_t *end = at + size;
    int parts = 0;
    if (size > LONGEST)
        return 0;
    if (memchr(at, '"', size))
        return -1;
    for (int pass = 0; pass < 2; pass++)
        for (const uint8_t *here = at; here;) {
            text part = until(&here, end, ',');
            if (!part.size)
                continue;
            if (pass == 0 && ++parts > MOST)
                return 0;
            if (pass == 1)
                read_range(part, &file, &page);
        }
    return page.weight > file.weight;
}
