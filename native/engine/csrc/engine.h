/* What an engine is, to the files that make up its calls. */
#ifndef COVET_ENGINE_INSIDE_H
#define COVET_ENGINE_INSIDE_H

#include "core.h"
#include "poller.h"
#include "sockets.h"

enum { CV_LISTENERS = 64, CV_BATCH = 512 /* readiness taken at once */ };

struct cv_engine {
    cv_core core;
    cv_event events[CV_EVENTS];
    cv_ready ready[CV_BATCH];
    cv_listener listeners[CV_LISTENERS];
    int listener_count;
    cv_poller poller;
    cv_time armed; /* what the alarm is set for */
    uint8_t fired; /* it has, and may be taken again until it is set anew */
    cv_time accept_due, log_due, trim_due; /* CV_NEVER: not waiting */
    cv_time flood_due; /* not before is Python told of one */
    uint8_t woken; /* a wake-up waits to be taken */
    uint8_t empty_told;
    uint8_t watching; /* the listening sockets are waited for */
};

/* At the end of every call that may have changed something. */
void cv_engine_leave(cv_engine *engine);

/* Act on timeouts and deadlines that have passed. */
void cv_engine_expire(cv_core *core);

#endif
