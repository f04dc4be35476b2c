/* Which bytes of a file a client asks for (RFC 9110, 14). */
#ifndef COVET_FILE_RANGES_H
#define COVET_FILE_RANGES_H

#include <stddef.h>
#include <stdint.h>

enum { CV_RANGES = 16 /* more parts than this are answered with the whole */ };

typedef struct cv_range {
    uint64_t first, last; /* which is included */
} cv_range;

/* Returns how many ranges: in order, neither touching nor overlapping, so that they are never more
 * than the whole; 0: nothing of what is asked for is there (416); -1: the field is to be ignored. */
int cv_ranges_read(const uint8_t *at, size_t size, uint64_t length, cv_range ranges[CV_RANGES]);

#endif
