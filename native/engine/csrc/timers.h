/* Timeouts. Those of connections are constant for each kind, so that a list in the order of setting is
 * also in the order of falling due; the deadlines of calls, which differ, are in a heap. */
#ifndef COVET_TIMERS_H
#define COVET_TIMERS_H

#include <stdint.h>

/* Nanoseconds on CLOCK_MONOTONIC, plus what cv_engine_advance added. */
typedef int64_t cv_time;

enum { CV_NEVER_SHIFT = 62 };
#define CV_NEVER (INT64_C(1) << CV_NEVER_SHIFT)

enum cv_timer_kind {
    CV_TIMER_NONE,
    CV_TIMER_HEADER,
    CV_TIMER_IDLE,
    CV_TIMER_READ,
    CV_TIMER_BODY,
    CV_TIMER_WRITE,
    CV_TIMER_LAST_CHANCE, /* while stopping: a connection between two requests */
    CV_TIMER_LINGER, /* everything is said; the client may still be reading it */
    CV_TIMER_STREAM_BODY, /* of a stream: as those above without STREAM */
    CV_TIMER_STREAM_READ,
    CV_TIMER_STREAM_WRITE,
    CV_TIMER_CHANNEL, /* from here on: those of enum cv_channel_timer for each set of limits */
    CV_TIMER_KINDS = CV_TIMER_CHANNEL + 64
};

enum cv_channel_timer {
    CV_CHANNEL_PING, /* nothing has come for a while */
    CV_CHANNEL_PONG, /* nor has anything after our ping */
    CV_CHANNEL_MESSAGE, /* for a whole message */
    CV_CHANNEL_CLOSE, /* for the client's close frame */
    CV_CHANNEL_TIMERS
};

typedef struct cv_timer cv_timer;
struct cv_timer {
    cv_timer *prev, *next;
    cv_time due;
    uint32_t connection;
    uint8_t kind; /* CV_TIMER_NONE: it does not run */
};

typedef struct cv_deadline {
    cv_time due;
    uint32_t exchange;
    uint32_t number; /* Python's */
} cv_deadline;

typedef struct cv_timers {
    cv_timer lists[CV_TIMER_KINDS]; /* rings; the entry is the ring's head */
    cv_time length[CV_TIMER_KINDS];
    int kinds; /* those that may run */
    cv_deadline *heap; /* from 1 */
    uint32_t *places; /* by exchange: its index in the heap, 0: none */
    uint32_t count;
    uint32_t capacity;
} cv_timers;

/* Deadlines for exchanges 1 to `exchanges`. Returns 0 or -1. */
int cv_timers_open(cv_timers *timers, uint32_t exchanges);
void cv_timers_close(cv_timers *timers);

/* Let it fall due after the kind's length; a running one starts anew. */
void cv_timer_start(cv_timers *timers, cv_timer *timer, int kind, cv_time now);
void cv_timer_stop(cv_timer *timer);

/* The next that is due, or NULL. It is stopped. */
cv_timer *cv_timers_due(cv_timers *timers, cv_time now, int *kind);

void cv_deadline_set(cv_timers *timers, uint32_t exchange, uint32_t number, cv_time due);
void cv_deadline_clear(cv_timers *timers, uint32_t exchange);
/* The earliest that is due, taken out; returns 0 if there is none. */
int cv_deadline_due(cv_timers *timers, cv_time now, cv_deadline *deadline);

/* When the next of all falls due; CV_NEVER if none does. */
cv_time cv_timers_next(const cv_timers *timers);

#endif
