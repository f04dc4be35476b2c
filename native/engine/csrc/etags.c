#include "etags.h"

#include <string.h>

static int is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static int is_tag_byte(uint8_t byte)
{
    return byte == 0x21 || (byte >= 0x23 && byte != 0x7f);
}

size_t cv_tag_size(const uint8_t *at, size_t size)
{
    size_t i = size >= 2 && at[0] == 'W' && at[1] == '/' ? 2 : 0;
    if (i >= size || at[i] != '"')
        return 0;
    for (i++; i < size; i++) {
        if (at[i] == '"')
            return i + 1;
        if (!is_tag_byte(at[i]))
            return 0;
    }
    return 0;
}

static int is_same(const uint8_t *one, size_t one_size, const uint8_t *two, size_t two_size,
                   int strong)
{
    if (strong && (one[0] == 'W' || two[0] == 'W'))
        return 0;
    if (one[0] == 'W') {
        one += 2;
        one_size -= 2;
    }
    if (two[0] == 'W') {
        two += 2;
        two_size -= 2;
    }
    return one_size == two_size && memcmp(one, two, one_size) == 0;
}

int cv_tags_hold(const uint8_t *at, size_t size, const uint8_t *tag, size_t tag_size, int strong)
{
    const uint8_t *end = at + size;
    if (size == 1 && *at == '*')
        return 1;
    while (at < end) {
        if (is_blank(*at) || *at == ',') {
            at++;
            continue;
        }
        size_t found = cv_tag_size(at, (size_t)(end - at));
        if (found == 0)
            return 0;
        const uint8_t *here = at;
        at += found;
        while (at < end && is_blank(*at))
            at++;
        /* A client that means no tag of ours gets a whole answer, which is never wrong. */
        if (at < end && *at != ',')
            return 0;
        if (is_same(here, found, tag, tag_size, strong))
            return 1;
    }
    return 0;
}
