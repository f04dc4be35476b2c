#include "file_codings.h"

#include <string.h>

#include "file_accept.h"
#include "head.h"

enum {
    LONGEST = 1024, /* far more than any client sends */
    MOST = 32,
    WHOLE = 1000, /* weights are thousandths */
    ANY = CV_CODINGS, /* the places of "*" and "identity" behind those of codings */
    NONE,
    PLACES
};

const cv_coding_name cv_coding_names[CV_CODINGS] = {
    [CV_CODING_BR] = {"br", ".br"},
    [CV_CODING_ZSTD] = {"zstd", ".zst"},
    [CV_CODING_GZIP] = {"gzip", ".gz"},
};

static int is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static int is_named(const uint8_t *at, size_t size, const char *name)
{
    if (strlen(name) != size)
        return 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = at[i];
        if (byte >= 'A' && byte <= 'Z')
            byte |= 0x20;
        if (byte != (uint8_t)name[i])
            return 0;
    }
    return 1;
}

/* Where a name's weight is kept, or -1. */
static int place_of(const uint8_t *at, size_t size)
{
    for (int coding = 0; coding < CV_CODINGS; coding++)
        if (is_named(at, size, cv_coding_names[coding].name))
            return coding;
    if (is_named(at, size, "x-gzip"))
        return CV_CODING_GZIP;
    if (is_named(at, size, "*"))
        return ANY;
    return is_named(at, size, "identity") ? NONE : -1;
}

/* One member of the list, trimmed. Returns 0 if it is malformed. */
static int read_member(const uint8_t *at, const uint8_t *end, int weights[PLACES])
{
    const uint8_t *stop = at;
    while (stop < end && !is_blank(*stop) && *stop != ';')
        stop++;
    size_t size = (size_t)(stop - at);
    if (size == 0 || !cv_is_token(at, size))
        return 0;
    int weight = WHOLE;
    if (stop < end) {
        while (stop < end && is_blank(*stop))
            stop++;
        if (stop == end || *stop++ != ';')
            return 0;
        while (stop < end && is_blank(*stop))
            stop++;
        if (end - stop < 3 || (*stop | 0x20) != 'q' || stop[1] != '=')
            return 0;
        weight = cv_weight_read(stop + 2, (size_t)(end - stop - 2));
        if (weight < 0)
            return 0;
    }
    int place = place_of(at, size);
    if (place >= 0 && weight > weights[place])
        weights[place] = weight;
    return 1;
}

int cv_codings_read(const uint8_t *at, size_t size, enum cv_coding found[CV_CODINGS])
{
    int weights[PLACES], members = 0, count = 0;
    const uint8_t *end = at + size;
    if (size > LONGEST)
        return 0;
    for (int place = 0; place < PLACES; place++)
        weights[place] = -1; /* not named */
    for (const uint8_t *next; at; at = next) {
        const uint8_t *stop = memchr(at, ',', (size_t)(end - at));
        next = stop ? stop + 1 : NULL;
        if (!stop)
            stop = end;
        if (++members > MOST)
            return 0;
        while (at < stop && is_blank(*at))
            at++;
        while (stop > at && is_blank(stop[-1]))
            stop--;
        if (at < stop && !read_member(at, stop, weights))
            return 0;
    }
    int others = weights[ANY] > 0 ? weights[ANY] : 0;
    int none = weights[NONE] > 0 ? weights[NONE] : 0;
    for (int coding = 0; coding < CV_CODINGS; coding++) {
        int wish = weights[coding] < 0 ? others : weights[coding];
        if (wish == 0 || wish < none)
            continue;
        int place = count++;
        for (; place > 0; place--) {
            int before = weights[found[place - 1]];
            if ((before < 0 ? others : before) >= wish)
                break;
            found[place] = found[place - 1];
        }
        found[place] = (enum cv_coding)coding;
    }
    return count;
}
