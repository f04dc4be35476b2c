/* Entity tags (RFC 9110, 8.8.3). */
#ifndef COVET_ETAGS_H
#define COVET_ETAGS_H

#include <stddef.h>
#include <stdint.h>

/* The size of the tag at the beginning of some text, 0 if there is none. */
size_t cv_tag_size(const uint8_t *at, size_t size);

/* Whether a list of tags, or "*", holds one. `strong`: a weak tag is equal to none (8.8.3.2). What is
 * malformed ends the search. */
int cv_tags_hold(const uint8_t *at, size_t size, const uint8_t *tag, size_t tag_size, int strong);

#endif
