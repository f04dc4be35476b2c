#include "handshake.h"

#include <string.h>

#include "scan.h"

#define NAME(literal) literal, sizeof(literal) - 1

enum { KEY = 24 };

static int is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

/* The value of a field that comes once: 1; 0: it does not come; -1: it comes again. */
static int single(const uint8_t *at, const cv_head *head, const char *name, size_t size,
                  cv_span *value)
{
    cv_span none = {0, 0}, second;
    if (!cv_head_field(at, head, name, size, none, value))
        return 0;
    return cv_head_field(at, head, name, size, *value, &second) ? -1 : 1;
}

/* The next element of a comma-separated list, its blanks trimmed; 0 at the end. */
static int element(const uint8_t **at, const uint8_t *end, const uint8_t **from, size_t *size)
{
    if (*at > end)
        return 0;
    const uint8_t *stop = memchr(*at, ',', (size_t)(end - *at));
    if (!stop)
        stop = end;
    const uint8_t *first = *at, *last = stop;
    while (first < last && is_blank(*first))
        first++;
    while (last > first && is_blank(last[-1]))
        last--;
    *from = first;
    *size = (size_t)(last - first);
    *at = stop + 1;
    return 1;
}

static int is_websocket(const uint8_t *at, size_t size)
{
    static const char name[] = "websocket";
    if (size != sizeof name - 1)
        return 0;
    for (size_t i = 0; i < size; i++)
        if (cv_lower(at[i]) != (uint8_t)name[i])
            return 0;
    return 1;
}

/* Whether one of the Upgrade fields names the protocol. */
static int is_wanted(const uint8_t *at, const cv_head *head)
{
    cv_span value = {0, 0};
    while (cv_head_field(at, head, NAME("upgrade"), value, &value)) {
        const uint8_t *here = at + value.at, *end = here + value.size, *from;
        size_t size;
        while (element(&here, end, &from, &size))
            if (is_websocket(from, size))
                return 1;
    }
    return 0;
}

static int is_key(const uint8_t *at, size_t size)
{
    if (size != KEY || at[KEY - 2] != '=' || at[KEY - 1] != '=')
        return 0;
    for (int i = 0; i < KEY - 2; i++) {
        uint8_t lower = cv_lower(at[i]);
        if (!(lower >= 'a' && lower <= 'z') && !CV_IS(at[i], CV_BYTE_DIGIT) && at[i] != '+' &&
            at[i] != '/')
            return 0;
    }
    return 1;
}

/* Whether every Sec-WebSocket-Protocol is a list of tokens. */
static int lists_protocols(const uint8_t *at, const cv_head *head)
{
    cv_span value = {0, 0};
    while (cv_head_field(at, head, NAME("sec-websocket-protocol"), value, &value)) {
        const uint8_t *here = at + value.at, *end = here + value.size, *from;
        size_t size;
        while (element(&here, end, &from, &size))
            if (size == 0 || !cv_is_token(from, size))
                return 0;
    }
    return 1;
}

int cv_handshake_read_stream(const uint8_t *at, const cv_head *head)
{
    cv_span value;
    if (head->flags & (CV_HEAD_CHUNKED | CV_HEAD_EXPECT) ||
        (head->flags & CV_HEAD_LENGTH && head->content_length))
        return -400;
    int found = single(at, head, NAME("sec-websocket-version"), &value);
    if (found < 0)
        return -400;
    if (!found || value.size != 2 || memcmp(at + value.at, "13", 2) != 0)
        return -426;
    return lists_protocols(at, head) ? 1 : -400;
}

int cv_handshake_read(const uint8_t *at, const cv_head *head)
{
    cv_span value;
    if (!(head->flags & CV_HEAD_UPGRADES) || !is_wanted(at, head))
        return 0;
    if (!(head->flags & CV_HEAD_UPGRADE) || head->method != CV_METHOD_GET)
        return -400;
    int sound = cv_handshake_read_stream(at, head);
    if (sound < 0)
        return sound;
    if (single(at, head, NAME("sec-websocket-key"), &value) != 1 ||
        !is_key(at + value.at, value.size))
        return -400;
    return 1;
}

/* SHA-1 (RFC 3174): no secret hangs on it here, the protocol asks for it. */

static uint32_t turn_left(uint32_t value, int by)
{
    return value << by | value >> (32 - by);
}

static void mix(uint32_t *state, const uint8_t *block)
{
    uint32_t w[80];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 80; i++)
        w[i] = turn_left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20) {
            f = (b & c) | (~b & d);
            k = 0x5a827999;
        } else if (i < 40) {
            f = b ^ c ^ d;
            k = 0x6ed9eba1;
        } else if (i < 60) {
            f = (b & c) | (b & d) | (c & d);
            k = 0x8f1bbcdc;
        } else {
            f = b ^ c ^ d;
            k = 0xca62c1d6;
        }
        uint32_t next = turn_left(a, 5) + f + e + k + w[i];
        e = d;
        d = c;
        c = turn_left(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

void cv_handshake_accept(const uint8_t *at, const cv_head *head, char *to)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    enum { TEXT = KEY + sizeof guid - 1 }; /* 60: the padding takes a second block */
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t blocks[128] = {0}, digest[21] = {0};
    cv_span value, none = {0, 0};
    cv_head_field(at, head, NAME("sec-websocket-key"), none, &value);
    memcpy(blocks, at + value.at, KEY);
    memcpy(blocks + KEY, guid, sizeof guid - 1);
    blocks[TEXT] = 0x80;
    blocks[126] = (uint8_t)(TEXT * 8 >> 8);
    blocks[127] = (uint8_t)(TEXT * 8);
    mix(state, blocks);
    mix(state, blocks + 64);
    for (int i = 0; i < 20; i++)
        digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
    for (int i = 0; i < 7; i++) {
        uint32_t three = (uint32_t)digest[3 * i] << 16 | (uint32_t)digest[3 * i + 1] << 8 |
                         digest[3 * i + 2];
        for (int k = 0; k < 4; k++)
            to[4 * i + k] = letters[three >> (18 - 6 * k) & 63];
    }
    to[CV_ACCEPT_SIZE - 1] = '=';
}
