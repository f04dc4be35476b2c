#include "names.h"

#include <stdlib.h>
#include <string.h>

#define CV_MULTIPLIER UINT64_C(0x9fb21c651e98df25)

static uint64_t load64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t load32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* Who asks cannot choose what is in the map, so collisions are ours alone and need no secret. The
 * last word is read so that it ends where the text ends: nothing behind it is touched. */
static uint32_t hash_of(const uint8_t *text, size_t size)
{
    uint64_t hash = size * CV_MULTIPLIER;
    uint64_t last = 0;
    if (size >= 8) {
        size_t left = size;
        const uint8_t *at = text;
        while (left > 8) {
            hash = (hash ^ load64(at)) * CV_MULTIPLIER;
            hash ^= hash >> 32;
            at += 8;
            left -= 8;
        }
        last = load64(text + size - 8);
    } else if (size >= 4) {
        last = load32(text) | load32(text + size - 4) << 32;
    } else if (size > 0) {
        last = text[0] | (uint64_t)text[size / 2] << 8 | (uint64_t)text[size - 1] << 16;
    }
    /* A product's low bits know nothing of a factor's high ones, where the last letters are. */
    hash = (hash ^ last) * CV_MULTIPLIER;
    hash = (hash ^ hash >> 32) * CV_MULTIPLIER;
    return (uint32_t)(hash >> 32);
}

static void place(cv_name *slots, uint32_t mask, const cv_name *name)
{
    uint32_t at = name->hash & mask;
    while (slots[at].text != NULL)
        at = (at + 1) & mask;
    slots[at] = *name;
}

static int grow(cv_names *names)
{
    uint32_t room = names->slots == NULL ? 4 : (names->mask + 1) * 2;
    if (room == 0)
        return -3;
    cv_name *slots = calloc(room, sizeof *slots);
    if (slots == NULL)
        return -3;
    for (uint32_t at = 0; names->slots != NULL && at <= names->mask; at++)
        if (names->slots[at].text != NULL)
            place(slots, room - 1, &names->slots[at]);
    free(names->slots);
    names->slots = slots;
    names->mask = room - 1;
    return 0;
}

int cv_names_add(cv_names *names, const uint8_t *text, size_t size, uint32_t value)
{
    if (size > UINT32_MAX)
        return -3;
    if ((names->slots == NULL || (names->count + 1) * 2 > names->mask + 1) && grow(names) < 0)
        return -3;
    cv_name name = {.size = (uint32_t)size, .hash = hash_of(text, size), .value = value};
    name.text = malloc(size + 1);
    if (name.text == NULL)
        return -3;
    if (size > 0)
        memcpy(name.text, text, size);
    name.text[size] = 0;
    place(names->slots, names->mask, &name);
    names->count++;
    return 0;
}

int64_t cv_names_find(const cv_names *names, const uint8_t *text, size_t size)
{
    if (names->slots == NULL)
        return -1;
    uint32_t hash = hash_of(text, size);
    for (uint32_t at = hash & names->mask;; at = (at + 1) & names->mask) {
        const cv_name *name = &names->slots[at];
        if (name->text == NULL)
            return -1;
        if (name->hash == hash && name->size == size && memcmp(name->text, text, size) == 0)
            return name->value;
    }
}

void cv_names_clear(cv_names *names)
{
    for (uint32_t at = 0; names->slots != NULL && at <= names->mask; at++)
        free(names->slots[at].text);
    free(names->slots);
    memset(names, 0, sizeof *names);
}
