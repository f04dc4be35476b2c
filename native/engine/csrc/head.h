/* The request head: strict HTTP/1.1 (RFC 9110, RFC 9112), parsed in place, no copies, no I/O. */
#ifndef COVET_HEAD_H
#define COVET_HEAD_H

#include <stddef.h>
#include <stdint.h>

/* A piece of the head; `at` counts from the head's first byte. */
typedef struct cv_span {
    uint16_t at;
    uint16_t size;
} cv_span;

/* Anything else is CV_METHOD_OTHER: a valid token that is none of these. */
enum cv_method {
    CV_METHOD_OTHER,
    CV_METHOD_GET,
    CV_METHOD_HEAD,
    CV_METHOD_POST,
    CV_METHOD_PUT,
    CV_METHOD_DELETE,
    CV_METHOD_OPTIONS,
    CV_METHOD_PATCH,
    CV_METHOD_CONNECT,
    CV_METHOD_TRACE,
    CV_METHODS
};

enum cv_head_flag {
    CV_HEAD_KEEP_ALIVE = 1 << 0, /* what version and Connection amount to */
    CV_HEAD_CHUNKED = 1 << 1,
    CV_HEAD_LENGTH = 1 << 2, /* a Content-Length was given */
    CV_HEAD_EXPECT = 1 << 3, /* Expect: 100-continue, HTTP/1.1 only */
    CV_HEAD_UPGRADE = 1 << 4, /* Connection: upgrade together with an Upgrade field */
    CV_HEAD_QUERY = 1 << 5, /* the target has a '?' */
    CV_HEAD_ESCAPED = 1 << 6, /* the path has a '%' */
    CV_HEAD_AUTHORIZATION = 1 << 7, /* an Authorization field is there */
    CV_HEAD_CONDITIONAL = 1 << 8, /* an If-None-Match field is there */
    CV_HEAD_JSON = 1 << 9, /* the first Content-Type is "application/json" */
    CV_HEAD_UPGRADES = 1 << 14, /* an Upgrade field is there, whatever Connection says; HTTP/1.1 only */
    CV_HEAD_CODED = 1 << 10, /* a Content-Encoding field is there, or a second Content-Type */
    /* Not of the head, but of what it came by; only in cv_request. */
    CV_HEAD_TLS = 1 << 11,
    CV_HEAD_TLS_1_3 = 1 << 12,
    CV_HEAD_CERTIFICATE = 1 << 13 /* the client has shown one */
};

typedef struct cv_head {
    uint32_t size; /* of the whole head with its empty line */
    uint16_t flags;
    uint16_t fields; /* how many header fields */
    uint8_t method; /* enum cv_method */
    uint8_t minor; /* HTTP/1.minor: 0 or 1 */
    cv_span method_name;
    cv_span target;
    cv_span path; /* of origin- and absolute-form ("/" if empty), "*" of asterisk-form */
    cv_span query; /* without the question mark */
    cv_span host; /* the value of Host; size 0 where HTTP/1.0 has none */
    cv_span content_type; /* the value; size 0 if there is none */
    uint64_t content_length; /* with CV_HEAD_LENGTH */
} cv_head;

typedef struct cv_head_limits {
    uint32_t max_size; /* of the head; at most 65,535. Beyond it: 431, in the request line 414 */
    uint16_t max_fields; /* beyond it: 431 */
} cv_head_limits;

/* How far an incomplete head was read. All zero for a new head. */
typedef struct cv_head_progress {
    uint32_t scanned; /* the incomplete line does not end before this offset */
    uint32_t line; /* where the incomplete line begins */
    uint16_t seen; /* what has been seen of the fields that may come once */
    uint16_t started; /* 0 within the request line, then one more than fields are behind us */
} cv_head_progress;

/* Read a head that begins at `at`, of which `size` bytes are there.
 *
 * Called again with the same beginning and more bytes, it goes on where it was; the total time is
 * linear in the head's size however it is split, and so is the outcome the same. Field names are
 * turned to lower case where they stand. A line is judged when its end is there; a control
 * character that is not part of a CRLF is refused at once. `*head` is complete with the last call;
 * what it holds between the calls does not matter.
 *
 * Returns 1 for a whole head, 0 if more bytes are needed, else the negative status of the refusal:
 * -400, -414, -417, -431, -501 or -505. Leading empty lines are the caller's to skip.
 */
int cv_head_read(uint8_t *at, size_t size, const cv_head_limits *limits, cv_head_progress *progress,
                 cv_head *head);

/* The value of the first field of this name (lower case), its whitespace trimmed, beginning the
 * search after the field whose value is `after` (size and at 0: from the start). Returns 0 if none.
 * The head was read already. */
int cv_head_field(const uint8_t *at, const cv_head *head, const char *name, size_t name_size,
                  cv_span after, cv_span *value);

/* Whether bytes may be a field's value, or a field's name, in an answer we send. */
int cv_is_value(const uint8_t *at, size_t size);
int cv_is_token(const uint8_t *at, size_t size);

#endif
