/* A connection after its upgrade to WebSocket (RFC 6455): frames in, messages out to Python, and the
 * other way round. Its exchange lives on as the channel that Python names by the same handle. */
#ifndef COVET_WEBSOCKET_H
#define COVET_WEBSOCKET_H

#include "covet_engine.h"
#include "exchange.h"
#include "frame.h"
#include "timers.h"
#include "utf8.h"
#include "websocket_deflate.h"

typedef struct cv_websocket {
    uint32_t exchange; /* 0: Python has left it */
    uint32_t ping; /* number of Python's last one, until it is answered */
    uint32_t gap; /* bytes between what is decoded of a message and what is not */
    uint32_t unmasked; /* of a compressed frame: bytes that are here and were not inflated yet */
    uint64_t left; /* of the frame's payload */
    uint64_t at; /* of the frame's payload, behind us */
    uint64_t size; /* of the message so far, decoded */
    uint64_t coded; /* what its frames have announced */
    uint32_t fragments;
    uint32_t unread; /* messages that Python has not taken */
    uint64_t unread_bytes;
    uint32_t window, controls; /* control frames, since when */
    uint32_t handed; /* number of the poll that handed out the last message, or a piece of it */
    uint32_t marked; /* messages of this turn */
    int64_t around; /* bytes of this turn that are not theirs, or are no longer */
    uint8_t key[4];
    uint8_t opcode; /* of the message under way; 0: none */
    uint8_t in_frame, fin;
    uint8_t compressed; /* the message under way is */
    uint8_t tail; /* bytes of cv_deflate_tail that were inflated */
    uint8_t closing; /* our close frame was sent: what comes is thrown away */
    uint8_t drain; /* Python will be told when less waits */
    uint8_t pinged; /* nothing has come since our ping */
    uint8_t stale; /* the deflater's past is not the client's */
    uint8_t limits; /* number of its set */
    cv_utf8 utf8;
    cv_deflate_terms terms;
    cv_inflater *inflater;
    cv_deflater *deflater; /* with terms.keeps_out */
} cv_websocket;

/* What many channels have in common. */
typedef struct cv_limit_set {
    cv_channel_limits limits;
    uint32_t users; /* channels; 0: it may be another */
} cv_limit_set;

enum {
    CV_INFLATERS = 16,
    CV_WINDOWS = 16,
    CV_LIMIT_SETS = (CV_TIMER_KINDS - CV_TIMER_CHANNEL) / CV_CHANNEL_TIMERS
};

/* What all of them share. */
typedef struct cv_websockets {
    cv_deflate_policy policy;
    cv_limit_set sets[CV_LIMIT_SETS];
    cv_inflater *inflaters[CV_INFLATERS]; /* to be used again */
    uint32_t inflater_count;
    cv_deflater *deflaters[CV_WINDOWS]; /* by the bits of their window */
    uint32_t scratch; /* a block for what is inflated, valid until the next poll; 0: none */
    uint32_t filled; /* bytes of it */
} cv_websockets;

void cv_websockets_open(cv_core *core);
void cv_websockets_close(cv_core *core);

/* What a handshake is to be answered with. */
typedef struct cv_opening {
    cv_websocket *websocket;
    const uint8_t *fields; /* lines, of the reply */
    size_t size;
    int has_date;
    char extension[CV_DEFLATE_LINE]; /* a line */
    size_t extension_size;
} cv_opening;

/* Returns 0; -1: that cannot be sent. */
int cv_websocket_prepare(cv_core *core, const cv_exchange *x, const cv_reply *reply,
                         const uint8_t *payload, cv_opening *opening);
/* It was prepared and is not wanted. */
void cv_websocket_forget(cv_core *core, cv_websocket *ws);
/* The answer is under way: from here on the connection is one. */
void cv_websocket_begin(cv_core *core, cv_connection *c, cv_exchange *x, cv_websocket *ws,
                        int status);

/* Answer an upgrade with 101. Returns 0; -1: that cannot be sent. */
int cv_websocket_accept(cv_core *core, cv_connection *c, cv_exchange *x, const cv_reply *reply,
                        const uint8_t *payload);

/* The same where the connection is gone. */
void cv_websocket_too_late(cv_core *core, cv_exchange *x);

/* cv_engine_broadcast. */
uint32_t cv_websockets_send(cv_core *core, const uint64_t *handles, uint32_t count, int flags,
                            const uint8_t *message, uint32_t size, uint32_t *left_out);

/* Apply any other reply to a channel. */
void cv_websocket_apply(cv_core *core, const cv_reply *reply, const uint8_t *payload);

/* Returns an enum cv_step. */
int cv_websocket_step(cv_core *core, cv_connection *c);
/* The client sends no more, and nothing can be done with what is there. */
void cv_websocket_ended(cv_core *core, cv_connection *c);
/* The connection is no more. */
void cv_websocket_detach(cv_core *core, cv_connection *c);

/* Output was written, or waits. */
void cv_websocket_wrote(cv_core *core, cv_connection *c);
/* Which timer runs. */
int cv_websocket_timer(cv_connection *c, int *restart);
/* One of enum cv_channel_timer has passed; between turns. */
void cv_websocket_expired(cv_core *core, cv_connection *c, int timer);

#endif
