#include "utf8.h"

#include "scan.h"

/* Where the first byte is that is not ASCII. */
static const uint8_t *skip_ascii(const uint8_t *at, const uint8_t *end)
{
    while (end - at >= 16) {
        uint64_t one, two;
        memcpy(&one, at, 8);
        memcpy(&two, at + 8, 8);
        if ((one | two) & CV_EACH(0x80))
            break;
        at += 16;
    }
    while (at < end && *at < 0x80)
        at++;
    return at;
}

/* The first byte of a character of several. Returns 0 if it is none. */
static int begin(cv_utf8 *state, uint8_t byte)
{
    state->low = 0x80;
    state->high = 0xbf;
    if (byte < 0xc2 || byte > 0xf4)
        return 0;
    if (byte < 0xe0) {
        state->left = 1;
    } else if (byte < 0xf0) {
        state->left = 2;
        if (byte == 0xe0)
            state->low = 0xa0; /* else it would be longer than need be */
        else if (byte == 0xed)
            state->high = 0x9f; /* no surrogates */
    } else {
        state->left = 3;
        if (byte == 0xf0)
            state->low = 0x90;
        else if (byte == 0xf4)
            state->high = 0x8f; /* nothing beyond U+10FFFF */
    }
    return 1;
}

int cv_utf8_check(cv_utf8 *state, const uint8_t *at, size_t size)
{
    const uint8_t *end = at + size;
    cv_utf8 now = *state;
    while (at < end) {
        if (!now.left) {
            at = skip_ascii(at, end);
            if (at == end)
                break;
            if (!begin(&now, *at++))
                return -1;
        }
        while (now.left && at < end) {
            uint8_t byte = *at++;
            if (byte < now.low || byte > now.high)
                return -1;
            now.low = 0x80;
            now.high = 0xbf;
            now.left--;
        }
    }
    *state = now;
    return 0;
}
