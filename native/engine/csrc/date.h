/* The Date field, written once a second. */
#ifndef COVET_DATE_H
#define COVET_DATE_H

#include "timers.h"

enum { CV_DATE_SIZE = 37 }; /* "date: Mon, 23 Nov 2026 22:56:05 GMT\r\n" */

typedef struct cv_date {
    char line[CV_DATE_SIZE + 1];
    cv_time until; /* on the monotonic clock: when the next second begins */
} cv_date;

/* Write the line for this second of the system's clock. */
void cv_date_write(char line[CV_DATE_SIZE + 1], int64_t seconds);

/* Bring it up to date; `now` is the monotonic time. */
void cv_date_update(cv_date *date, cv_time now);

#endif
