#include "escape.h"

int cv_hex(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    uint8_t lower = byte | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

uint8_t cv_unescape_next(const uint8_t **at)
{
    const uint8_t *from = *at;
    if (*from != '%') {
        *at = from + 1;
        return *from;
    }
    *at = from + 3;
    return (uint8_t)(cv_hex(from[1]) << 4 | cv_hex(from[2]));
}

/* What may follow the first byte of a UTF-8 sequence (Unicode 15, table 3-7). */
typedef struct sequence {
    int left; /* bytes still to come */
    uint8_t low, high; /* bounds of the next one */
} sequence;

static int begin(sequence *is, uint8_t byte)
{
    is->low = 0x80;
    is->high = 0xbf;
    if (byte < 0x80)
        is->left = 0;
    else if (byte < 0xc2)
        return 0;
    else if (byte < 0xe0)
        is->left = 1;
    else if (byte < 0xf0)
        is->left = 2;
    else if (byte < 0xf5)
        is->left = 3;
    else
        return 0;
    if (byte == 0xe0)
        is->low = 0xa0; /* shorter forms exist */
    else if (byte == 0xed)
        is->high = 0x9f; /* surrogates */
    else if (byte == 0xf0)
        is->low = 0x90;
    else if (byte == 0xf4)
        is->high = 0x8f; /* beyond the last character */
    return 1;
}

int cv_escapes_are_valid(const uint8_t *at, size_t size)
{
    const uint8_t *end = at + size;
    sequence is = {0, 0x80, 0xbf};
    while (at < end) {
        if (*at == '%' && (end - at < 3 || cv_hex(at[1]) < 0 || cv_hex(at[2]) < 0))
            return 0;
        uint8_t byte = cv_unescape_next(&at);
        if (byte == 0)
            return 0;
        if (is.left == 0) {
            if (!begin(&is, byte))
                return 0;
        } else {
            if (byte < is.low || byte > is.high)
                return 0;
            is.left--;
            is.low = 0x80;
            is.high = 0xbf;
        }
    }
    return is.left == 0;
}
