#include "arguments.h"

#include <string.h>

#include "escape.h"

enum {
    LONGEST_NUMBER = 18, /* decimal digits that fit 64 bits, whatever they are */
    LONGEST_NAME = 255
};

/* Decode a text that may have percent-escapes, and plus signs for spaces if `plus`. Returns its size;
 * -1: it is more than `room` bytes, cannot be decoded, or is not ASCII but for its escapes. */
static int decode(const uint8_t *at, const uint8_t *end, int plus, uint8_t *into, size_t room)
{
    uint8_t *to = into;
    int checked = 0;
    while (at < end) {
        uint8_t byte = *at;
        if ((size_t)(to - into) == room || byte >= 0x80 || byte == 0)
            return -1;
        if (byte == '%') {
            if (!checked && !cv_escapes_are_valid(at, (size_t)(end - at)))
                return -1;
            checked = 1;
            byte = cv_unescape_next(&at);
        } else {
            at++;
            if (byte == '+' && plus)
                byte = ' ';
        }
        *to++ = byte;
    }
    return (int)(to - into);
}

/* Whether a text that nobody asks for would be decoded. */
static int is_decodable(const uint8_t *at, const uint8_t *end)
{
    int escaped = 0;
    for (const uint8_t *byte = at; byte < end; byte++) {
        if (*byte >= 0x80 || *byte == 0)
            return 0;
        escaped |= *byte == '%';
    }
    return !escaped || cv_escapes_are_valid(at, (size_t)(end - at));
}

static int read_number(const uint8_t *at, size_t size, uint8_t *place)
{
    int64_t number = 0;
    if (size == 0 || size > LONGEST_NUMBER)
        return 0;
    for (size_t i = 0; i < size; i++) {
        if (at[i] < '0' || at[i] > '9')
            return 0;
        number = number * 10 + (at[i] - '0');
    }
    memcpy(place, &number, sizeof number);
    return 1;
}

/* Whether the argument is plain; then it is in its place. */
static int read_value(const cv_argument *argument, const uint8_t *at, const uint8_t *end, int plus,
                      cv_request *record)
{
    uint8_t *place = record->arguments + argument->at;
    if (argument->type == 's') {
        int size = decode(at, end, plus, place + 1, argument->size - 1u);
        if (size < 0)
            return 0;
        place[0] = (uint8_t)size;
        return 1;
    }
    uint8_t digits[LONGEST_NUMBER];
    int size = decode(at, end, plus, digits, sizeof digits);
    return size > 0 && read_number(digits, (size_t)size, place);
}

static int read_pair(const cv_arguments *arguments, const uint8_t *at, const uint8_t *end,
                     cv_request *record, int32_t *absent)
{
    uint8_t decoded[LONGEST_NAME];
    const uint8_t *name = at, *equals = at;
    int plain = 1;
    while (equals < end && *equals != '=') {
        plain &= *equals != '%' && *equals != '+' && *equals < 0x80 && *equals != 0;
        equals++;
    }
    size_t size = (size_t)(equals - at);
    const uint8_t *value = equals < end ? equals + 1 : end;
    if (!plain) {
        int found = decode(at, equals, 1, decoded, sizeof decoded);
        if (found < 0)
            return 0;
        name = decoded;
        size = (size_t)found;
    }
    for (uint32_t i = 0; i < arguments->count; i++) {
        const cv_argument *argument = &arguments->each[i];
        if (argument->name == NULL || argument->name_size != size ||
            memcmp(argument->name, name, size) != 0)
            continue;
        if (!(*absent & INT32_C(1) << i))
            return 0; /* it comes twice */
        *absent &= ~(INT32_C(1) << i);
        return read_value(argument, value, end, 1, record);
    }
    return is_decodable(value, end);
}

void cv_arguments_read(const cv_arguments *arguments, const uint8_t *at, const cv_head *head,
                       const cv_match *match, cv_request *record)
{
    int32_t absent = 0;
    record->absent = -1;
    for (uint32_t i = 0; i < arguments->count; i++) {
        const cv_argument *argument = &arguments->each[i];
        if (argument->name != NULL) {
            absent |= INT32_C(1) << i;
            continue;
        }
        if (argument->param >= match->params)
            return;
        cv_span span = match->param[argument->param];
        const uint8_t *from = at + span.at;
        if (!read_value(argument, from, from + span.size, 0, record))
            return;
    }
    const uint8_t *from = at + head->query.at, *end = from + head->query.size;
    uint32_t pairs = 0;
    while (from < end) {
        const uint8_t *next = memchr(from, '&', (size_t)(end - from));
        if (next == NULL)
            next = end;
        else if (++pairs >= arguments->most)
            return;
        if (next > from && !read_pair(arguments, from, next, record, &absent))
            return;
        from = next + 1;
    }
    record->absent = absent;
}
