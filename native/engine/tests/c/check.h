/* What the C tests share: a check that names its place and goes on, and exact copies of bytes, so
 * that a sanitizer sees every read beyond them. */
#ifndef COVET_CHECK_H
#define COVET_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int cv_failures;

#define CHECK(condition) cv_check((condition) != 0, #condition, __FILE__, __LINE__)

static inline int cv_check(int good, const char *what, const char *file, int line)
{
    if (!good) {
        cv_failures++;
        fprintf(stderr, "%s:%d: %s\n", file, line, what);
    }
    return good;
}

/* Bytes as they would be written in C, for messages. */
static inline void cv_show(const char *what, const uint8_t *at, size_t size)
{
    fprintf(stderr, "    %s: \"", what);
    for (size_t i = 0; i < size && i < 400; i++) {
        if (at[i] >= 0x20 && at[i] < 0x7f && at[i] != '"' && at[i] != '\\')
            fputc(at[i], stderr);
        else
            fprintf(stderr, "\\x%02x", at[i]);
    }
    fprintf(stderr, "\" (%zu)\n", size);
}

static inline uint8_t *cv_copy(const uint8_t *at, size_t size)
{
    uint8_t *copy = malloc(size != 0 ? size : 1);
    if (copy == NULL)
        abort();
    if (size != 0)
        memcpy(copy, at, size);
    return copy;
}

#endif
