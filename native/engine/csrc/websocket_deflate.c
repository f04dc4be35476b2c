#define _GNU_SOURCE
#include "websocket_deflate.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scan.h"

#define NAME(literal) literal, sizeof(literal) - 1

/* zlib's binary interface, which has been the same since its version 1.0: there may be no header where
 * the engine is built. */

typedef struct z_stream {
    const uint8_t *next_in;
    unsigned avail_in;
    unsigned long total_in;
    uint8_t *next_out;
    unsigned avail_out;
    unsigned long total_out;
    const char *msg;
    void *state;
    void *(*zalloc)(void *opaque, unsigned items, unsigned size);
    void (*zfree)(void *opaque, void *at);
    void *opaque;
    int data_type;
    unsigned long adler;
    unsigned long reserved;
} z_stream;

enum { Z_OK = 0, Z_STREAM_END = 1, Z_BUF_ERROR = -5, Z_SYNC_FLUSH = 2, Z_DEFLATED = 8 };

static struct zlib {
    int looked; /* 1: it is there, -1: it is not */
    const char *(*version)(void);
    int (*deflate_init)(z_stream *, int, int, int, int, int, const char *, int);
    int (*deflate)(z_stream *, int);
    int (*deflate_reset)(z_stream *);
    int (*deflate_end)(z_stream *);
    int (*inflate_init)(z_stream *, int, const char *, int);
    int (*inflate)(z_stream *, int);
    int (*inflate_reset)(z_stream *);
    int (*inflate_end)(z_stream *);
} z;

const uint8_t cv_deflate_tail[CV_DEFLATE_TAIL] = {0, 0, 0xff, 0xff};

/* A function's address, without a cast that C does not have. Returns whether it is there. */
static int find(void *library, const char *name, void *function, size_t size)
{
    void *found = dlsym(library, name);
    if (!found)
        return 0;
    memcpy(function, &found, size);
    return 1;
}

#define FIND(name, function) find(library, name, &(function), sizeof(function))

static void *open_zlib(void)
{
    static const char *const names[] = {"libz.so.1", "libz.1.dylib", "libz.so"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (library)
            return library;
    }
    return NULL;
}

int cv_deflate_is_there(void)
{
    if (z.looked)
        return z.looked > 0;
    void *library = open_zlib();
    int there = library && FIND("zlibVersion", z.version) && FIND("deflateInit2_", z.deflate_init) &&
                FIND("deflate", z.deflate) && FIND("deflateReset", z.deflate_reset) &&
                FIND("deflateEnd", z.deflate_end) && FIND("inflateInit2_", z.inflate_init) &&
                FIND("inflate", z.inflate) && FIND("inflateReset", z.inflate_reset) &&
                FIND("inflateEnd", z.inflate_end);
    z.looked = there ? 1 : -1;
    return there;
}

/* Negotiation (RFC 7692, 7.1) */

typedef struct offer {
    int keeps_out, keeps_in;
    int bits_out; /* 0: not said */
    int bits_in; /* 0: not said; -1: the server may choose */
} offer;

static int is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static void trim(const uint8_t **from, const uint8_t **to)
{
    while (*from < *to && is_blank(**from))
        (*from)++;
    while (*to > *from && is_blank((*to)[-1]))
        (*to)--;
}

static int is(const uint8_t *from, const uint8_t *to, const char *name, size_t size)
{
    return (size_t)(to - from) == size && memcmp(from, name, size) == 0;
}

/* A number of bits, which may be in quotes; 0: it is none. */
static int read_bits(const uint8_t *from, const uint8_t *to)
{
    if (to - from >= 2 && *from == '"' && to[-1] == '"') {
        from++;
        to--;
    }
    if (to - from == 1 && (*from == '8' || *from == '9'))
        return *from - '0';
    if (to - from == 2 && *from == '1' && from[1] >= '0' && from[1] <= '5')
        return 10 + from[1] - '0';
    return 0;
}

/* One parameter of an offer; returns 0 if it cannot be accepted. */
static int read_parameter(const uint8_t *from, const uint8_t *to, offer *o)
{
    const uint8_t *equals = memchr(from, '=', (size_t)(to - from));
    const uint8_t *name_end = equals ? equals : to, *value = equals ? equals + 1 : to;
    trim(&from, &name_end);
    const uint8_t *value_end = to;
    trim(&value, &value_end);
    int bits = equals ? read_bits(value, value_end) : 0;
    if (is(from, name_end, NAME("server_no_context_takeover"))) {
        int fresh = o->keeps_out && !equals;
        o->keeps_out = 0;
        return fresh;
    }
    if (is(from, name_end, NAME("client_no_context_takeover"))) {
        int fresh = o->keeps_in && !equals;
        o->keeps_in = 0;
        return fresh;
    }
    if (is(from, name_end, NAME("server_max_window_bits"))) {
        /* zlib cannot do 8. */
        int fresh = !o->bits_out && bits > 8;
        o->bits_out = bits;
        return fresh;
    }
    if (is(from, name_end, NAME("client_max_window_bits"))) {
        int fresh = !o->bits_in && (bits || !equals);
        o->bits_in = equals ? bits : -1;
        return fresh;
    }
    return 0;
}

/* Returns whether it is an offer that can be accepted. */
static int read_offer(const uint8_t *from, const uint8_t *to, offer *o)
{
    *o = (offer){.keeps_out = 1, .keeps_in = 1};
    int first = 1;
    while (from <= to) {
        const uint8_t *stop = memchr(from, ';', (size_t)(to - from));
        const uint8_t *next = stop ? stop + 1 : to + 1, *end = stop ? stop : to;
        trim(&from, &end);
        if (first ? !is(from, end, NAME("permessage-deflate")) : !read_parameter(from, end, o))
            return 0;
        first = 0;
        from = next;
    }
    return 1;
}

static size_t agree(const offer *o, const cv_deflate_policy *policy, cv_deflate_terms *terms,
                    char *line)
{
    terms->on = 1;
    terms->keeps_out = policy->keeps_out && o->keeps_out;
    terms->keeps_in = policy->keeps_in && o->keeps_in;
    terms->bits_out = policy->bits_out;
    if (o->bits_out && o->bits_out < policy->bits_out)
        terms->bits_out = (uint8_t)o->bits_out;
    terms->bits_in = 15;
    if (o->bits_in > 0)
        terms->bits_in = (uint8_t)o->bits_in;
    if (o->bits_in && policy->bits_in < terms->bits_in)
        terms->bits_in = policy->bits_in;
    char out[40] = "", in[40] = "";
    if (terms->bits_out < 15)
        snprintf(out, sizeof out, "; server_max_window_bits=%u", terms->bits_out & 15u);
    if (terms->bits_in < 15)
        snprintf(in, sizeof in, "; client_max_window_bits=%u", terms->bits_in & 15u);
    int size = snprintf(line, CV_DEFLATE_LINE, "sec-websocket-extensions: permessage-deflate%s%s%s%s\r\n",
                        terms->keeps_out ? "" : "; server_no_context_takeover",
                        terms->keeps_in ? "" : "; client_no_context_takeover", out, in);
    return (size_t)size;
}

size_t cv_deflate_negotiate(const uint8_t *at, const cv_head *head, const cv_deflate_policy *policy,
                            cv_deflate_terms *terms, char *line)
{
    *terms = (cv_deflate_terms){0};
    cv_span value = {0, 0};
    while (cv_head_field(at, head, NAME("sec-websocket-extensions"), value, &value)) {
        const uint8_t *from = at + value.at, *end = from + value.size;
        while (from <= end) {
            const uint8_t *stop = memchr(from, ',', (size_t)(end - from));
            offer o;
            if (!stop)
                stop = end;
            if (read_offer(from, stop, &o) && cv_deflate_is_there())
                return agree(&o, policy, terms, line);
            from = stop + 1;
        }
    }
    return 0;
}

/* Memory: zlib does not say the size of what it gives back. */

typedef union slot {
    size_t size;
    max_align_t aligned;
} slot;

static void *take(void *opaque, unsigned items, unsigned size)
{
    size_t whole = (size_t)items * size + sizeof(slot);
    slot *made = cv_budget_take(opaque, whole);
    if (!made)
        return NULL;
    made->size = whole;
    return made + 1;
}

static void give(void *opaque, void *at)
{
    slot *made = (slot *)at - 1;
    cv_budget_give(opaque, made, made->size);
}

struct cv_deflater {
    z_stream stream;
};

struct cv_inflater {
    z_stream stream;
};

static z_stream fresh(cv_budget *budget)
{
    return (z_stream){.zalloc = take, .zfree = give, .opaque = budget};
}

cv_deflater *cv_deflater_new(cv_budget *budget, int bits, int level, int memory)
{
    if (!cv_deflate_is_there())
        return NULL;
    cv_deflater *made = cv_budget_take(budget, sizeof *made);
    if (!made)
        return NULL;
    made->stream = fresh(budget);
    if (z.deflate_init(&made->stream, level, Z_DEFLATED, -bits, memory, 0, z.version(),
                       (int)sizeof(z_stream)) == Z_OK)
        return made;
    cv_budget_give(budget, made, sizeof *made);
    return NULL;
}

void cv_deflater_free(cv_deflater *deflater)
{
    if (!deflater)
        return;
    cv_budget *budget = deflater->stream.opaque;
    z.deflate_end(&deflater->stream);
    cv_budget_give(budget, deflater, sizeof *deflater);
}

void cv_deflater_reset(cv_deflater *deflater)
{
    z.deflate_reset(&deflater->stream);
}

size_t cv_deflate_most(size_t size)
{
    /* Stored blocks of a few hundred bytes at the least, five bytes each, and what ends a flush. */
    return size + size / 64 + 64;
}

size_t cv_deflate(cv_deflater *deflater, const uint8_t *from, size_t size, uint8_t *to, size_t room)
{
    z_stream *stream = &deflater->stream;
    if (size > INT_MAX || room > UINT_MAX)
        return 0;
    stream->next_in = from;
    stream->avail_in = (unsigned)size;
    stream->next_out = to;
    stream->avail_out = (unsigned)room;
    int result = z.deflate(stream, Z_SYNC_FLUSH);
    size_t made = room - stream->avail_out;
    if ((result != Z_OK && result != Z_BUF_ERROR) || stream->avail_in || !stream->avail_out ||
        made < CV_DEFLATE_TAIL ||
        memcmp(to + made - CV_DEFLATE_TAIL, cv_deflate_tail, CV_DEFLATE_TAIL) != 0)
        return 0;
    made -= CV_DEFLATE_TAIL;
    if (made == 0)
        to[made++] = 0; /* an empty message is one empty block */
    return made;
}

cv_inflater *cv_inflater_new(cv_budget *budget, int bits)
{
    if (!cv_deflate_is_there())
        return NULL;
    cv_inflater *made = cv_budget_take(budget, sizeof *made);
    if (!made)
        return NULL;
    made->stream = fresh(budget);
    if (z.inflate_init(&made->stream, -bits, z.version(), (int)sizeof(z_stream)) == Z_OK)
        return made;
    cv_budget_give(budget, made, sizeof *made);
    return NULL;
}

void cv_inflater_free(cv_inflater *inflater)
{
    if (!inflater)
        return;
    cv_budget *budget = inflater->stream.opaque;
    z.inflate_end(&inflater->stream);
    cv_budget_give(budget, inflater, sizeof *inflater);
}

void cv_inflater_reset(cv_inflater *inflater)
{
    z.inflate_reset(&inflater->stream);
}

int cv_inflate(cv_inflater *inflater, const uint8_t **from, const uint8_t *from_end, uint8_t **to,
               const uint8_t *to_end)
{
    z_stream *stream = &inflater->stream;
    stream->next_in = *from;
    stream->avail_in = (unsigned)(from_end - *from);
    stream->next_out = *to;
    stream->avail_out = (unsigned)(to_end - *to);
    int result = z.inflate(stream, Z_SYNC_FLUSH);
    if (result == Z_STREAM_END) {
        /* A block said to be the last one. Another may follow all the same (RFC 7692, 7.2.3.5). */
        const uint8_t *in = stream->next_in;
        z.inflate_reset(stream);
        result = in == *from && stream->next_out == *to ? -1 : Z_OK;
    }
    *from = stream->next_in;
    *to = stream->next_out;
    return result == Z_OK || result == Z_BUF_ERROR ? 0 : -1;
}
