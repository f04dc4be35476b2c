/* Requests and their answers, from the head to the answer's last byte.
 *
 * An exchange is in Python's hands (its handle is valid) while it is CV_WAITING or CV_STREAMING; it
 * stays valid for the one answer when its connection is gone. Those of an HTTP/1.1 connection form a
 * FIFO: answers leave in that order. A native answer behind one in Python's hands is an exchange too.
 * Those of HTTP/2 have a stream each, and no order. One that was answered by an upgrade has left the
 * FIFO and is a CV_CHANNEL until Python leaves it. */
#ifndef COVET_EXCHANGE_H
#define COVET_EXCHANGE_H

#include "queue.h"
#include "routes.h"

typedef struct cv_core cv_core;
typedef struct cv_connection cv_connection;
typedef struct cv_stream cv_stream;

enum cv_exchange_state { CV_FREE, CV_WAITING, CV_STREAMING, CV_DONE, CV_CHANNEL };

enum cv_framing { CV_FRAMED_NONE, CV_FRAMED_LENGTH, CV_FRAMED_CHUNKED, CV_FRAMED_CLOSE };

enum cv_exchange_flag {
    CV_X_HEAD_ONLY = 1 << 0,
    CV_X_UNSAFE = 1 << 1, /* nothing behind it is parsed before it is answered */
    CV_X_KEEP_ALIVE = 1 << 2,
    CV_X_OLD = 1 << 3, /* HTTP/1.0 */
    CV_X_EXPECT = 1 << 4, /* the client waits for 100 Continue */
    CV_X_CONTINUE = 1 << 5, /* send it when this one's turn comes */
    CV_X_READING = 1 << 6, /* a BODY event was asked for */
    CV_X_CLOSE = 1 << 7, /* the connection ends with this answer */
    CV_X_CUT = 1 << 8, /* the answer is incomplete: end so that it shows */
    CV_X_NATIVE = 1 << 9, /* Python knows nothing of it */
    CV_X_UNMODIFIED = 1 << 10, /* native: 304 */
    CV_X_GONE = 1 << 11, /* Python was told, or will be */
    CV_X_LISTED = 1 << 12, /* among the notices */
    CV_X_COUNTED = 1 << 13, /* in counters.in_flight */
    CV_X_LOGGED = 1 << 14,
    CV_X_RESET = 1 << 15, /* CUT: only a reset shows that it is incomplete */
    CV_X_UPGRADE = 1 << 16 /* a handshake of WebSocket */
};

enum cv_notice {
    CV_TELL_GONE = 1,
    CV_TELL_ROOM = 2,
    CV_TELL_REFUSED = 4,
    CV_TELL_BODY_END = 8,
    CV_TELL_BODY_BROKEN = 16,
    CV_TELL_CLOSED = 32,
    CV_TELL_DRAINED = 64,
    CV_TELL_PONG = 128
};

typedef struct cv_exchange {
    uint32_t generation;
    uint32_t next; /* of its connection; of the free ones */
    uint32_t notice_next;
    uint32_t connection; /* 0: gone */
    uint32_t block; /* pinned; 0: not */
    uint32_t flags;
    uint16_t status; /* of its answer */
    uint8_t state;
    uint8_t framing;
    uint8_t notices; /* enum cv_notice */
    uint8_t gone; /* enum cv_gone */
    uint16_t refused;
    uint16_t close_code;
    uint32_t ponged; /* number of the PING that was answered */
    cv_request *record;
    cv_queue pending; /* output before its turn */
    const cv_answer *answer; /* native */
    cv_routes *routes; /* whose templates its answer uses */
    uint64_t left; /* bytes of body that Content-Length still promises */
    uint64_t streamed, credited; /* payload of a stream; how much of it Python got credit for */
    uint64_t room; /* bytes to tell */
    uint64_t bytes; /* of the answer's body */
    int64_t readable;
    cv_stream *stream; /* HTTP/2; NULL: it has none, or no longer */
    uint64_t member; /* HTTP/2: number of the connection that counts it; 0: none */
} cv_exchange;

static inline uint64_t cv_exchange_handle(const cv_exchange *x, uint32_t slot)
{
    return (uint64_t)x->generation << 32 | slot;
}

/* A new one in no FIFO; NULL if there are too many. */
cv_exchange *cv_exchange_alone(cv_core *core, cv_connection *c);
/* A new one at the end of the connection's FIFO; NULL if there are too many. */
cv_exchange *cv_exchange_new(cv_core *core, cv_connection *c);
uint32_t cv_exchange_slot(const cv_core *core, const cv_exchange *x);

/* The exchange that waits for (more of) its answer from Python, or NULL. */
cv_exchange *cv_exchange_current(cv_core *core, uint64_t handle);

/* Its answer is complete, or nobody will ever read it: the request's bytes are free, the handle is
 * no longer valid. It may stay in its connection's FIFO until its turn. */
void cv_exchange_answered(cv_core *core, cv_exchange *x);
/* It is a channel: no request any longer. */
void cv_exchange_opened(cv_core *core, cv_connection *c, cv_exchange *x);
/* It has left its connection and the slot is free as soon as Python has heard the rest. */
void cv_exchange_release(cv_core *core, cv_exchange *x);

void cv_exchange_tell(cv_core *core, cv_exchange *x, int notice);
void cv_exchange_tell_gone(cv_core *core, cv_exchange *x, int why);
/* The connection is no more. */
void cv_exchange_detach(cv_core *core, cv_exchange *x, int why);

/* Put what Python is to hear into events, as far as there is room. */
void cv_notices_send(cv_core *core);

/* Write the access-log line. */
void cv_exchange_log(cv_core *core, cv_exchange *x, int status);

#endif
