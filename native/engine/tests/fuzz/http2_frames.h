/* Frames of HTTP/2 from a script, for the fuzz target of it. */
#ifndef COVET_HTTP2_FRAMES_H
#define COVET_HTTP2_FRAMES_H

#include "harness.h"

typedef struct cv_sample {
    uint8_t kind, flags;
    const char *payload;
    size_t size;
} cv_sample;

#define SAMPLE(kind, flags, payload) {kind, flags, payload, sizeof(payload) - 1}
/* ":scheme" http and ":authority" a, behind a method; then ":path". */
#define GET_ "\x82\x86\x41\x01" "a"
#define POST_ "\x83\x86\x41\x01" "a"
#define ROOT "\x84"
#define ITEM "\x04\x04/a/1"
#define WAIT "\x04\x02/w"
#define LENGTH_5 "\x0f\x0d\x01" "5"
#define TUNNEL                                                                                      \
    "\x02\x07" "CONNECT\x00\x09:protocol\x09websocket\x86\x41\x01" "a" ITEM                          \
    "\x00\x15sec-websocket-version\x02" "13"
#define DEFLATE "\x00\x18sec-websocket-extensions\x12permessage-deflate"
#define EXPECT "\x0f\x14\x0c" "100-continue"

static const cv_sample samples[] = {
    SAMPLE(1, 5, GET_ ROOT),
    SAMPLE(1, 5, GET_ ITEM),
    SAMPLE(1, 4, GET_ ITEM),
    SAMPLE(1, 4, POST_ ITEM),
    SAMPLE(1, 4, POST_ WAIT),
    SAMPLE(1, 5, POST_ WAIT),
    SAMPLE(1, 4, POST_ WAIT LENGTH_5),
    SAMPLE(1, 4, POST_ ITEM LENGTH_5),
    SAMPLE(1, 4, POST_ ITEM EXPECT),
    SAMPLE(1, 0, POST_ ITEM),
    SAMPLE(9, 4, "\x40\x01x\x01y"),
    SAMPLE(9, 0, "\x60\x03" "a=b"),
    SAMPLE(9, 4, "\x60\x03" "c=d\xbe\xbe"),
    SAMPLE(1, 5, "\x40\x05x-sum\x01" "1"),
    SAMPLE(1, 5, "\x42\x04HEAD\x86\x41\x01" "a" ROOT),
    SAMPLE(1, 5, GET_ ITEM "\x66\x01" "a"), /* host as well */
    SAMPLE(1, 5, GET_ ITEM "\x66\x01" "b"),
    SAMPLE(1, 5, GET_ ITEM "\x40\x01X\x01y"),
    SAMPLE(1, 5, "\x02\x07" "CONNECT\x41\x01" "a"),
    SAMPLE(0, 1, ""),
    SAMPLE(0, 0, "hello"),
    SAMPLE(0, 1, "hello"),
    SAMPLE(0, 9, "\x02" "ab\0\0"),
    SAMPLE(3, 0, "\0\0\0\x08"),
    SAMPLE(4, 0, "\0\x04\0\0\0\0"), /* windows of nothing */
    SAMPLE(4, 0, "\0\x04\0\0\0\x40"),
    SAMPLE(4, 0, "\0\x01\0\0\0\0"),
    SAMPLE(4, 1, ""),
    SAMPLE(6, 0, "12345678"),
    SAMPLE(7, 0, "\0\0\0\0\0\0\0\0"),
    SAMPLE(8, 0, "\0\0\0\x20"),
    SAMPLE(8, 0, "\0\0\xff\xff"),
    SAMPLE(2, 0, "\0\0\0\0\x10"),
    SAMPLE(1, 4, TUNNEL), /* and its frames, the mask is zero */
    SAMPLE(1, 4, TUNNEL DEFLATE),
    SAMPLE(0, 0, "\x81\x82\0\0\0\0hi"),
    SAMPLE(0, 0, "\x02\x85\0\0\0\0he"),
    SAMPLE(0, 0, "\x89\x80\0\0\0\0"),
    SAMPLE(0, 0, "\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\0"),
    SAMPLE(0, 0, "\x88\x82\0\0\0\0\x03\xe8"),
    SAMPLE(0, 1, "\x88\x80\0\0\0\0"),
};

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
enum { PREFACE = sizeof preface }; /* the last byte is the string's own */

/* A frame, chosen by `which`, of a stream; returns its size. */
static inline size_t make_frame(uint8_t *into, unsigned which, unsigned stream)
{
    const cv_sample *sample = &samples[which % (sizeof samples / sizeof samples[0])];
    memset(into, 0, 9);
    into[2] = (uint8_t)sample->size;
    into[3] = sample->kind;
    into[4] = sample->flags;
    into[8] = sample->kind == 4 || sample->kind == 6 || sample->kind == 7 ? 0 : (uint8_t)stream;
    memcpy(into + 9, sample->payload, sample->size);
    return 9 + sample->size;
}

/* What was sent is one frame behind the other, none larger than the client allows. */
static inline void check_frames(const cv_bytes *out)
{
    size_t at = 0;
    while (out->size - at >= 9) {
        const uint8_t *head = out->at + at;
        size_t size = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        PROMISE(size <= 16384);
        PROMISE(head[3] <= 9);
        PROMISE(at != 0 || head[3] == 4);
        if (out->size - at - 9 < size)
            return;
        at += 9 + size;
    }
}

#endif
