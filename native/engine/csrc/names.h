/* A map from byte strings to numbers: filled once, then only read. */
#ifndef COVET_NAMES_H
#define COVET_NAMES_H

#include <stddef.h>
#include <stdint.h>

typedef struct cv_name {
    uint8_t *text; /* NULL: a free slot */
    uint32_t size;
    uint32_t hash;
    uint32_t value;
} cv_name;

/* All zero for an empty map. */
typedef struct cv_names {
    cv_name *slots; /* a power of two of them, at most half of them taken */
    uint32_t mask;
    uint32_t count;
} cv_names;

/* Returns 0, or -3 if there is no memory. The name is not in the map yet; it is copied. */
int cv_names_add(cv_names *names, const uint8_t *text, size_t size, uint32_t value);

/* The number of a name, or -1. */
int64_t cv_names_find(const cv_names *names, const uint8_t *text, size_t size);

void cv_names_clear(cv_names *names);

#endif
