/* Conditional requests: whether a client has a file already (RFC 9110, 13). */
#ifndef COVET_FILE_CONDITIONS_H
#define COVET_FILE_CONDITIONS_H

#include "head.h"

/* What tells one state of a file from another. */
typedef struct cv_validators {
    const uint8_t *etag; /* with its quotes */
    size_t etag_size;
    int64_t modified; /* whole seconds since 1970 */
    int settled; /* that was long enough ago for another change to have another time */
} cv_validators;

/* The fields of a request that ask for less than a whole file; size and at 0: not there. */
typedef struct cv_conditions {
    cv_span if_match, if_none_match, if_modified_since, if_unmodified_since, if_range, range;
    cv_span accept_encoding, accept;
} cv_conditions;

/* Collect them. Returns 0 if one comes twice: then somebody has to join them who has room for that. */
int cv_conditions_read(const uint8_t *at, const cv_head *head, cv_conditions *conditions);

enum cv_outcome { CV_PROCEED, CV_UNMODIFIED, CV_FAILED };

/* Whether to answer in full (or a range), with 304 or with 412. */
enum cv_outcome cv_conditions_evaluate(const uint8_t *at, const cv_conditions *conditions,
                                       const cv_validators *validators, int64_t now);

/* Whether If-Range, where there is one, lets Range count (13.1.5). */
int cv_range_applies(const uint8_t *at, const cv_conditions *conditions,
                     const cv_validators *validators, int64_t now);

/* The seconds since 1970 of a date in any of HTTP's three forms; 0 if it is none. `now` decides on the
 * century of the one that has two digits for it. */
int cv_http_date_read(const uint8_t *at, size_t size, int64_t now, int64_t *seconds);

#endif
