/* From the fields of an HTTP/2 request to a head as HTTP/1.1 has it, which then is read like any
 * other: what one of them refuses the other one cannot let pass. */
#ifndef COVET_HTTP2_HEAD_H
#define COVET_HTTP2_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include "head.h"

enum cv_http2_verdict {
    CV_HTTP2_SOUND = 0,
    CV_HTTP2_MALFORMED = 1, /* nothing may be made of it (RFC 9113, 8.1.1) */
    CV_HTTP2_REFUSED = 2 /* to be answered with `status` */
};

/* One block of headers. The sizes in it count from the beginning of their part. */
typedef struct cv_http2_head {
    uint32_t room; /* of each part */
    uint32_t most_bytes;
    uint16_t most_fields;
    uint16_t fields; /* crumbs of a cookie count each */
    uint16_t status;
    uint8_t verdict;
    uint8_t trailers; /* it is the section behind a body */
    uint8_t seen; /* which pseudo-headers were */
    uint8_t regular; /* a field that is none was */
    uint8_t has_host;
    uint8_t websocket; /* it asks for one (RFC 8441): the text is of a GET */
    uint32_t decoded; /* bytes, as RFC 9113, 6.5.2 counts them */
    uint32_t size; /* of the text */
    uint32_t beside; /* bytes of the other part: pseudo-headers, and then the cookie */
    uint32_t pseudo_at[5], pseudo_size[5];
    uint32_t host_at, host_size; /* of :authority, in the text */
    uint8_t bytes[]; /* the text, and behind it the other part */
} cv_http2_head;

/* How many bytes one takes. */
size_t cv_http2_head_size(const cv_head_limits *limits);

/* Make it ready for a block. */
void cv_http2_head_begin(cv_http2_head *head, const cv_head_limits *limits, int trailers);

/* The next field, in the order of the block. Nothing more is kept once the verdict has fallen. */
void cv_http2_head_add(cv_http2_head *head, const uint8_t *name, size_t name_size,
                       const uint8_t *value, size_t value_size);

/* The block is complete: the text has a whole head if the verdict is CV_HTTP2_SOUND. */
int cv_http2_head_end(cv_http2_head *head);

static inline uint8_t *cv_http2_head_text(cv_http2_head *head)
{
    return head->bytes;
}

#endif
