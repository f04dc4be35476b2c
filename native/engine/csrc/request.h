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
    CV_STEP_BUSY /* there is no room for its event in this poll */
};

int cv_request_step(cv_core *core, cv_connection *c);

/* The client sends no more, and nothing can be done with what is there. */
void cv_request_ended(cv_core *core, cv_connection *c);

/* The body cannot be completed: tell, and answer with `status` if nothing was answered. */
void cv_body_broken(cv_core *core, cv_connection *c, int status, int why);

/* The exchange that reads the body is answered. Returns whether the connection can go on behind what
 * is left of it. */
int cv_body_rest(cv_core *core, cv_connection *c, const cv_exchange *x);

#endif
