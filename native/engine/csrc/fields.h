/* The fields of an answer as Python gives them: checked before anything of them is sent. */
#ifndef COVET_FIELDS_H
#define COVET_FIELDS_H

#include <stddef.h>
#include <stdint.h>

typedef struct cv_fields {
    uint64_t content_length;
    uint8_t has_length; /* content-length is given */
    uint8_t has_date;
    uint8_t has_connection;
    uint8_t close; /* connection: close is given */
} cv_fields;

/* Check "name: value" lines, each with its CRLF. Returns 0, or -1 if they cannot be sent: a line end
 * or another control character in a name or value, transfer-encoding, a connection field other than
 * "close" or "keep-alive" (which the engine decides by itself), a bad or second content-length. */
int cv_fields_check(const uint8_t *at, size_t size, cv_fields *fields);

/* Whether there is a field of this name, in lower case. They were checked. */
int cv_fields_have(const uint8_t *at, size_t size, const char *name);

/* Names that may not be in a trailer section. Returns 0 or -1. */
int cv_trailers_check(const uint8_t *at, size_t size);

/* The next line that is sent as it is, that is without content-length and connection; NULL at the
 * end. `*at` moves behind it. */
const uint8_t *cv_fields_next(const uint8_t **at, const uint8_t *end, size_t *size);

#endif
