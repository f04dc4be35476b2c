/* The input side: heads, bodies, and what becomes of them. */
#ifndef COVET_REQUEST_H
#define COVET_REQUEST_H

#include "core.h"

enum cv_step {
    CV_STEP_ON, /* something was done; go on */
    CV_STEP_REQUEST, /* a request was consumed; go on */
    CV_STEP_HUNGRY, /* more bytes are needed */
    CV_STEP_HELD, /* waits for an answer, for output to leave, or for the next phase */
    CV_STEP_STARVED, /* waits until fewer requests are in flight */
    CV_STEP_PARCHED, /* waits for an input block */
    CV_STEP_STREAMS, /* it is a connection of HTTP/2 */
    CV_STEP_BUSY /* there is no room for its event in this poll */
};

enum { CV_MINOR_OF_HTTP_2 = 2 }; /* in place of a minor version */

int cv_request_step(cv_core *core, cv_connection *c);

/* Fill a request's record; `at` is the head where it lies in the arena. */
void cv_request_fill(cv_core *core, const cv_connection *c, cv_request *r, uint8_t *at,
                     const cv_head *head, const cv_match *match);

/* The access-log line of a request that is answered without Python. */
void cv_request_log_native(cv_core *core, const cv_connection *c, const uint8_t *at,
                           const cv_head *head, int status, uint64_t bytes);

/* The client sends no more, and nothing can be done with what is there. */
void cv_request_ended(cv_core *core, cv_connection *c);

/* The body cannot be completed: tell, and answer with `status` if nothing was answered. */
void cv_body_broken(cv_core *core, cv_connection *c, int status, int why);

/* The exchange that reads the body is answered. Returns whether the connection can go on behind what
 * is left of it. */
int cv_body_rest(cv_core *core, cv_connection *c, const cv_exchange *x);

#endif
