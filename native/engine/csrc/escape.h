/* Percent-encoding of paths (RFC 3986, 2.1), strict. */
#ifndef COVET_ESCAPE_H
#define COVET_ESCAPE_H

#include <stddef.h>
#include <stdint.h>

/* The value of a hexadecimal digit, or -1. */
int cv_hex(uint8_t byte);

/* The next byte of an encoded text that was checked, moving `*at`; `*at` is before the end. */
uint8_t cv_unescape_next(const uint8_t **at);

/* Whether every escape is complete and the whole decodes to UTF-8 without a NUL. */
int cv_escapes_are_valid(const uint8_t *at, size_t size);

#endif
