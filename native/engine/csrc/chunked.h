/* The chunked coding of request bodies (RFC 9112, 7.1), strict, decoded in place. */
#ifndef COVET_CHUNKED_H
#define COVET_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

enum { CV_TRAILER_NAME_SIZE = 19 }; /* no name that is refused is longer */

/* All zero at the beginning. */
typedef struct cv_chunked {
    uint64_t left; /* of the present chunk's data */
    uint32_t overhead; /* framing bytes that no data byte has paid for, see the limit */
    uint32_t trailer_size; /* trailer bytes so far */
    uint16_t trailer_fields;
    uint8_t state; /* 0 at the beginning */
    uint8_t digits;
    uint8_t name_size; /* of the present trailer field's name */
    uint8_t name[CV_TRAILER_NAME_SIZE]; /* in lower case: its bytes may be gone at its end */
} cv_chunked;

typedef struct cv_chunked_limits {
    uint32_t max_overhead; /* framing bytes at any moment, when every byte of data pays for 99 of
                              those before it: 413 */
    uint32_t max_trailer_size; /* beyond it: 431 */
    uint16_t max_trailer_fields; /* beyond it: 431 */
} cv_chunked_limits;

enum cv_chunked_result {
    CV_CHUNKED_MORE = 0, /* everything was taken; more is to come */
    CV_CHUNKED_DONE = 1 /* the body and its trailer section are complete */
    /* negative: the status of the refusal: -400, -413 or -431 */
};

/* Decode `size` bytes at `at`.
 *
 * The data is moved together at the beginning of `at`; `*data` is its size. `*taken` is how many of
 * the bytes given were used; less than `size` only when done: the rest is the next request's, or
 * when refused: then it must not be called again. The trailer section is checked and dropped; names
 * that frame, route or authenticate are refused.
 */
int cv_chunked_decode(cv_chunked *state, const cv_chunked_limits *limits, uint8_t *at, size_t size,
                      size_t *data, size_t *taken);

#endif
