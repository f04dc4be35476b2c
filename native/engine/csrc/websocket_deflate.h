/* permessage-deflate (RFC 7692) by zlib, which is looked for when the first client offers it. Where it
 * is missing, nothing is negotiated. */
#ifndef COVET_WEBSOCKET_DEFLATE_H
#define COVET_WEBSOCKET_DEFLATE_H

#include "head.h"
#include "memory.h"

/* How messages are compressed, as a server wants it. */
typedef struct cv_deflate_policy {
    uint8_t keeps_out; /* the server's messages refer to earlier ones */
    uint8_t keeps_in; /* the client's may */
    uint8_t bits_out; /* of the server's window, 9 to 15 */
    uint8_t bits_in; /* of the client's, where it lets the server choose, 8 to 15 */
    uint8_t level;
    uint8_t memory; /* 1 to 9 */
} cv_deflate_policy;

/* What was agreed upon. */
typedef struct cv_deflate_terms {
    uint8_t on;
    uint8_t keeps_out, keeps_in;
    uint8_t bits_out, bits_in; /* of the windows */
} cv_deflate_terms;

enum { CV_DEFLATE_LINE = 160 };

/* Take the first offer of a request that can be agreed to, and write what the answer says, a whole
 * line; returns its size, 0: none. */
size_t cv_deflate_negotiate(const uint8_t *at, const cv_head *head, const cv_deflate_policy *policy,
                            cv_deflate_terms *terms, char *line);

/* Whether zlib is there. */
int cv_deflate_is_there(void);

typedef struct cv_deflater cv_deflater;
typedef struct cv_inflater cv_inflater;

/* Both are counted against the budget with all they use; NULL: there is no memory. */
cv_deflater *cv_deflater_new(cv_budget *budget, int bits, int level, int memory);
void cv_deflater_free(cv_deflater *deflater);
/* Messages from here on refer to none before. */
void cv_deflater_reset(cv_deflater *deflater);
/* The most bytes that `size` become. */
size_t cv_deflate_most(size_t size);
/* One whole message into `to`, which has room for cv_deflate_most. Returns the size, 0: it failed. */
size_t cv_deflate(cv_deflater *deflater, const uint8_t *from, size_t size, uint8_t *to, size_t room);

cv_inflater *cv_inflater_new(cv_budget *budget, int bits);
void cv_inflater_free(cv_inflater *inflater);
void cv_inflater_reset(cv_inflater *inflater);
/* Take from `*from` and put to `*to`, both of which go on as far as was done; stops where either is at
 * its end. Returns 0, or -1 if these bytes are no compressed message. */
int cv_inflate(cv_inflater *inflater, const uint8_t **from, const uint8_t *from_end, uint8_t **to,
               const uint8_t *to_end);

/* What a message lacks at its end when it is sent (RFC 7692, 7.2.1). */
enum { CV_DEFLATE_TAIL = 4 };
extern const uint8_t cv_deflate_tail[CV_DEFLATE_TAIL];

#endif
