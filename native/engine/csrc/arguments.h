/* What a handler takes from path and query, read along with the head where it is plain: whole numbers
 * and texts. Whatever is odd is left to Python, all of it, which refuses what has to be refused. */
#ifndef COVET_ARGUMENTS_H
#define COVET_ARGUMENTS_H

#include "covet_engine.h"
#include "head.h"
#include "routes.h"

typedef struct cv_argument {
    char *name; /* in the query, decoded; NULL: a path parameter */
    uint16_t name_size;
    uint8_t param; /* which path parameter */
    uint8_t type; /* 'i' or 's' */
    uint8_t at, size; /* its place in cv_request.arguments */
} cv_argument;

/* The arguments of one route. */
typedef struct cv_arguments {
    uint32_t most; /* pairs in a query */
    uint32_t count;
    cv_argument each[CV_ARGUMENTS];
} cv_arguments;

/* Write `record->absent` and `record->arguments`. `at` is the head's first byte. */
void cv_arguments_read(const cv_arguments *arguments, const uint8_t *at, const cv_head *head,
                       const cv_match *match, cv_request *record);

#endif
