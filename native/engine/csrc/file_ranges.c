#include "file_ranges.h"

#include <string.h>

enum { DIGITS = 18 /* nothing that can be sent has more, and a sum of them does not overflow */ };

static int is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

/* The digits at `*at`. Returns how many, or -1 for too many. */
static int number(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
    int count = 0;
    for (*value = 0; *at < end && **at >= '0' && **at <= '9'; ++*at) {
        if (++count > DIGITS)
            return -1;
        *value = *value * 10 + (uint64_t)(**at - '0');
    }
    return count;
}

/* Behind the unit and its equals sign, or NULL. */
static const uint8_t *behind_unit(const uint8_t *at, const uint8_t *end)
{
    static const char unit[] = "bytes";
    const uint8_t *equals = memchr(at, '=', (size_t)(end - at)), *stop = equals;
    if (!equals)
        return NULL;
    while (at < stop && is_blank(*at))
        at++;
    while (stop > at && is_blank(stop[-1]))
        stop--;
    if (stop - at != sizeof unit - 1)
        return NULL;
    for (size_t i = 0; i < sizeof unit - 1; i++)
        if ((at[i] | 0x20) != unit[i])
            return NULL;
    return equals + 1;
}

/* Insert a range in its place, joined with those it touches. Returns how many there are then. */
static int insert(cv_range *ranges, int count, cv_range one)
{
    int from = 0;
    while (from < count && ranges[from].last + 1 < one.first)
        from++;
    int to = from;
    while (to < count && ranges[to].first <= one.last + 1) {
        if (ranges[to].first < one.first)
            one.first = ranges[to].first;
        if (ranges[to].last > one.last)
            one.last = ranges[to].last;
        to++;
    }
    memmove(ranges + from + 1, ranges + to, (size_t)(count - to) * sizeof *ranges);
    ranges[from] = one;
    return count - (to - from) + 1;
}

/* One of the list. Returns 1 if `*range` is there, 0 if nothing of it is, -1 if it is malformed. */
static int read_one(const uint8_t *at, const uint8_t *end, uint64_t length, cv_range *range)
{
    uint64_t first, last;
    int begin = number(&at, end, &first);
    if (begin < 0 || at == end || *at++ != '-')
        return -1;
    int stop = number(&at, end, &last);
    if (stop < 0 || at != end || (!begin && !stop))
        return -1;
    if (!begin) {
        if (!last)
            return 0;
        if (!length)
            return -1; /* all of nothing, which no Content-Range can say */
        *range = (cv_range){last < length ? length - last : 0, length - 1};
        return 1;
    }
    if (stop && last < first)
        return -1;
    if (first >= length)
        return 0;
    *range = (cv_range){first, stop && last < length ? last : length - 1};
    return 1;
}

int cv_ranges_read(const uint8_t *at, size_t size, uint64_t length, cv_range ranges[CV_RANGES])
{
    const uint8_t *end = at + size;
    int count = 0, specs = 0;
    at = behind_unit(at, end);
    if (!at)
        return -1;
    for (const uint8_t *next; at; at = next) {
        const uint8_t *stop = memchr(at, ',', (size_t)(end - at));
        next = stop ? stop + 1 : NULL;
        if (!stop)
            stop = end;
        if (++specs > CV_RANGES)
            return -1;
        while (at < stop && is_blank(*at))
            at++;
        while (stop > at && is_blank(stop[-1]))
            stop--;
        cv_range one;
        int found = read_one(at, stop, length, &one);
        if (found < 0)
            return -1;
        if (found)
            count = insert(ranges, count, one);
    }
    return count;
}
