/* What each byte may be part of, and the looks that need no particular speed. */
#include "scan.h"

#include "head.h"

const uint8_t cv_byte[256] = {
    0,  0,  0,  0,  0,  0,  0,  0,  0,  2,  0,  0,  0,  0,  0,  0, /* HTAB */
    0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0, /**/
    2,  3,  2,  3,  3,  3,  3,  3,  2,  2,  3,  3,  2,  19, 51, 2, /* SP to / */
    63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 34, 2,  2,  2,  2,  2, /* 0 to ? */
    2,  59, 59, 59, 59, 59, 59, 19, 19, 19, 19, 19, 19, 19, 19, 19, /* @ to O */
    19, 19, 19, 19, 19, 19, 19, 19, 19, 19, 19, 2,  2,  2,  3,  19, /* P to _ */
    3,  59, 59, 59, 59, 59, 59, 19, 19, 19, 19, 19, 19, 19, 19, 19, /* ` to o */
    19, 19, 19, 19, 19, 19, 19, 19, 19, 19, 19, 2,  3,  2,  19, 0, /* p to DEL */
    2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2, /* obs-text */
    2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2, /**/
    2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2, /**/
    2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2, /**/
    2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2, /**/
    2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2, /**/
    2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2, /**/
    2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2, /**/
};

const uint8_t *cv_find_control(const uint8_t *at, const uint8_t *end)
{
    for (; end - at >= 8; at += 8) {
        uint64_t found = cv_word_control(cv_word_at(at));
        if (found != 0)
            return at + (__builtin_ctzll(found) >> 3);
    }
    while (at < end && CV_IS(*at, CV_BYTE_VALUE))
        at++;
    return at;
}

int cv_is_value(const uint8_t *at, size_t size)
{
    return size == 0 || cv_find_control(at, at + size) == at + size;
}

int cv_is_token(const uint8_t *at, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!CV_IS(at[i], CV_BYTE_TOKEN))
            return 0;
    }
    return size > 0;
}
