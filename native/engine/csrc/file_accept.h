/* Whether a client would rather have a page than a file: Accept (RFC 9110, 12.5.1). */
#ifndef COVET_FILE_ACCEPT_H
#define COVET_FILE_ACCEPT_H

#include <stddef.h>
#include <stdint.h>

/* A weight of up to three decimals in thousandths, or -1. */
int cv_weight_read(const uint8_t *at, size_t size);

/* Whether HTML is wanted more than any file, as by browsers that go to a page; -1 for what only Python
 * takes apart. */
int cv_accepts_page(const uint8_t *at, size_t size);

#endif
