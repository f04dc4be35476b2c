/* Which content codings a client takes: Accept-Encoding (RFC 9110, 12.5.3). */
#ifndef COVET_FILE_CODINGS_H
#define COVET_FILE_CODINGS_H

#include <stddef.h>
#include <stdint.h>

/* What files may be stored in beside the plain ones, in the order of what it saves. */
enum cv_coding { CV_CODING_BR, CV_CODING_ZSTD, CV_CODING_GZIP, CV_CODINGS };

typedef struct cv_coding_name {
    const char *name; /* in Content-Encoding */
    const char *suffix; /* of the file */
} cv_coding_name;

extern const cv_coding_name cv_coding_names[CV_CODINGS];

/* Those a client would rather have than none, the best first. Returns how many; none where the field
 * is malformed or longer than anybody needs. */
int cv_codings_read(const uint8_t *at, size_t size, enum cv_coding found[CV_CODINGS]);

#endif
