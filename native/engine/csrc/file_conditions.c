#define _GNU_SOURCE
#include "file_conditions.h"

#include <string.h>
#include <time.h>

#include "etags.h"

/* Fields */

int cv_conditions_read(const uint8_t *at, const cv_head *head, cv_conditions *conditions)
{
    static const struct {
        const char *name;
        uint8_t size, place;
    } known[] = {
#define FIELD(name, member) {name, sizeof(name) - 1, offsetof(cv_conditions, member)}
        FIELD("if-match", if_match),
        FIELD("if-none-match", if_none_match),
        FIELD("if-modified-since", if_modified_since),
        FIELD("if-unmodified-since", if_unmodified_since),
        FIELD("if-range", if_range),
        FIELD("range", range),
        FIELD("accept-encoding", accept_encoding),
        FIELD("accept", accept),
#undef FIELD
    };
    memset(conditions, 0, sizeof *conditions);
    const uint8_t *line = memchr(at, '\n', head->size);
    const uint8_t *end = at + head->size - 2; /* the empty line */
    while (line && ++line < end) {
        const uint8_t *next = memchr(line, '\n', (size_t)(end - line) + 2);
        const uint8_t *colon = memchr(line, ':', (size_t)(end - line));
        if (!next || !colon)
            return 0;
        size_t size = (size_t)(colon - line);
        for (size_t i = 0; (*line == 'i' || *line == 'r' || *line == 'a') &&
                           i < sizeof known / sizeof *known; i++) {
            if (known[i].size != size || memcmp(line, known[i].name, size) != 0)
                continue;
            cv_span *value = (cv_span *)(void *)((uint8_t *)conditions + known[i].place);
            if (value->at)
                return 0;
            const uint8_t *from = colon + 1, *to = next;
            while (to > from && (to[-1] == '\n' || to[-1] == '\r' || to[-1] == ' ' || to[-1] == '\t'))
                to--;
            while (from < to && (*from == ' ' || *from == '\t'))
                from++;
            *value = (cv_span){(uint16_t)(from - at), (uint16_t)(to - from)};
        }
        line = next;
    }
    return 1;
}

/* Dates */

typedef struct reader {
    const uint8_t *at, *end;
} reader;

static int text(reader *r, const char *wanted)
{
    size_t size = strlen(wanted);
    if ((size_t)(r->end - r->at) < size || memcmp(r->at, wanted, size) != 0)
        return 0;
    r->at += size;
    return 1;
}

/* A number of so many digits; `blank`: a blank may be in place of the first. */
static int digits(reader *r, int count, int blank, int *number)
{
    *number = 0;
    for (int i = 0; i < count; i++, r->at++) {
        if (r->at == r->end)
            return 0;
        if (i == 0 && blank && *r->at == ' ')
            continue;
        if (*r->at < '0' || *r->at > '9')
            return 0;
        *number = *number * 10 + (*r->at - '0');
    }
    return 1;
}

/* One of some words that follow each other, three letters each or parted by blanks. */
static int word(reader *r, const char *words, int *index)
{
    char each[16];
    *index = 0;
    for (const char *at = words; *at; at++) {
        size_t size = strcspn(at, " ");
        memcpy(each, at, size);
        each[size] = '\0';
        if (text(r, each))
            return 1;
        ++*index;
        at += size;
        if (!*at)
            break;
    }
    return 0;
}

static const char DAYS[] = "Mon Tue Wed Thu Fri Sat Sun";
static const char LONG_DAYS[] = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday";
static const char MONTHS[] = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";

typedef struct moment {
    int year, month, day, hour, minute, second; /* month from 0 */
} moment;

static int clock_time(reader *r, moment *m)
{
    return digits(r, 2, 0, &m->hour) && text(r, ":") && digits(r, 2, 0, &m->minute) &&
           text(r, ":") && digits(r, 2, 0, &m->second);
}

static int imf_fixdate(reader r, moment *m)
{
    int day;
    return word(&r, DAYS, &day) && text(&r, ", ") && digits(&r, 2, 0, &m->day) && text(&r, " ") &&
           word(&r, MONTHS, &m->month) && text(&r, " ") && digits(&r, 4, 0, &m->year) &&
           text(&r, " ") && clock_time(&r, m) && text(&r, " GMT") && r.at == r.end;
}

static int rfc850_date(reader r, moment *m, int64_t now)
{
    int day;
    if (!(word(&r, LONG_DAYS, &day) && text(&r, ", ") && digits(&r, 2, 0, &m->day) &&
          text(&r, "-") && word(&r, MONTHS, &m->month) && text(&r, "-") &&
          digits(&r, 2, 0, &m->year) && text(&r, " ") && clock_time(&r, m) && text(&r, " GMT") &&
          r.at == r.end))
        return 0;
    struct tm today = {0};
    time_t clock = (time_t)now;
    gmtime_r(&clock, &today);
    int this_year = today.tm_year + 1900;
    m->year += this_year - this_year % 100;
    if (m->year > this_year + 50)
        m->year -= 100;
    return 1;
}

static int asctime_date(reader r, moment *m)
{
    int day;
    return word(&r, DAYS, &day) && text(&r, " ") && word(&r, MONTHS, &m->month) && text(&r, " ") &&
           digits(&r, 2, 1, &m->day) && text(&r, " ") && clock_time(&r, m) && text(&r, " ") &&
           digits(&r, 4, 0, &m->year) && r.at == r.end;
}

int cv_http_date_read(const uint8_t *at, size_t size, int64_t now, int64_t *seconds)
{
    static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    static const uint16_t before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    reader r = {at, at + size};
    moment m = {0};
    if (!imf_fixdate(r, &m) && !rfc850_date(r, &m, now) && !asctime_date(r, &m))
        return 0;
    if (m.second == 60)
        m.second = 59; /* a leap second is the last of its minute to everybody who counts from 1970 */
    int leap = m.year % 4 == 0 && (m.year % 100 != 0 || m.year % 400 == 0);
    if (m.year < 1 || m.day < 1 || m.day > lengths[m.month] + (m.month == 1 && leap) ||
        m.hour > 23 || m.minute > 59 || m.second > 59)
        return 0;
    int64_t y = m.year - 1;
    int64_t days = y * 365 + y / 4 - y / 100 + y / 400 + before[m.month] +
                   (leap && m.month > 1) + m.day - 1 - 719162;
    *seconds = ((days * 24 + m.hour) * 60 + m.minute) * 60 + m.second;
    return 1;
}

/* Outcomes */

static int date(const uint8_t *at, cv_span value, int64_t now, int64_t *seconds)
{
    return value.at && cv_http_date_read(at + value.at, value.size, now, seconds);
}

enum cv_outcome cv_conditions_evaluate(const uint8_t *at, const cv_conditions *conditions,
                                       const cv_validators *v, int64_t now)
{
    int64_t since;
    cv_span match = conditions->if_match, none = conditions->if_none_match;
    if (match.at) {
        if (!cv_tags_hold(at + match.at, match.size, v->etag, v->etag_size, 1))
            return CV_FAILED;
    } else if (date(at, conditions->if_unmodified_since, now, &since) && v->modified > since) {
        return CV_FAILED;
    }
    if (none.at)
        return cv_tags_hold(at + none.at, none.size, v->etag, v->etag_size, 0) ? CV_UNMODIFIED
                                                                               : CV_PROCEED;
    if (date(at, conditions->if_modified_since, now, &since) && v->modified <= since)
        return CV_UNMODIFIED;
    return CV_PROCEED;
}

int cv_range_applies(const uint8_t *at, const cv_conditions *conditions, const cv_validators *v,
                     int64_t now)
{
    cv_span given = conditions->if_range;
    if (!given.at)
        return 1;
    const uint8_t *value = at + given.at;
    if (memchr(value, '"', given.size))
        return !memchr(value, ',', given.size) &&
               cv_tags_hold(value, given.size, v->etag, v->etag_size, 1);
    int64_t seconds;
    return date(at, given, now, &seconds) && seconds == v->modified && v->settled;
}
