/* What the parts of HTTP/2 share: a connection's streams. */
#ifndef COVET_HTTP2_SESSION_H
#define COVET_HTTP2_SESSION_H

#include <stddef.h>

#include "file_answer.h"
#include "http2.h"
#include "http2_guard.h"
#include "http2_head.h"
#include "http2_library.h"
#include "http2_tunnel.h"

enum cv_stream_flag {
    CV_S_ENDED = 1 << 0, /* the client has sent all of it */
    CV_S_BODY = 1 << 1, /* a body follows the head, though it may be empty */
    CV_S_PATIENT = 1 << 2, /* not known to Python until the body is here */
    CV_S_WAITED = 1 << 3, /* it was patient for long enough */
    CV_S_DISCARD = 1 << 4, /* what comes of the body goes nowhere */
    CV_S_ANSWERED = 1 << 5, /* the head of the answer is framed */
    CV_S_LAST = 1 << 6, /* nothing follows what is here of the answer */
    CV_S_DEFERRED = 1 << 7, /* the library waits for more of the answer */
    CV_S_PEER = 1 << 8, /* the client has reset it */
    CV_S_READ = 1 << 9, /* Python has read the body to its end */
    CV_S_WEBSOCKET = 1 << 10 /* it asks for one, or is one */
};

typedef struct cv_stream cv_stream;
struct cv_stream {
    cv_link all; /* streams of the connection */
    cv_link turn; /* those that wait to be handed out, or for a piece of a body to be */
    cv_link lent; /* those with a `direct` that ends with the turn */
    uint32_t exchange; /* slot; 0: not in Python's hands */
    int32_t id;
    uint32_t flags;
    uint32_t decoded; /* bytes of its headers */
    uint8_t *text; /* the head, if it waits; from the budget */
    uint32_t text_size;
    uint32_t owed; /* bytes of the connection's window that are not given back yet */
    cv_queue in; /* of the body, not yet Python's */
    cv_queue out; /* of the answer, not yet framed */
    uint64_t filed; /* bytes of it that are in files */
    const uint8_t *direct; /* the same, not copied; only if `out` is empty */
    size_t direct_size;
    uint8_t *trailers; /* lines; from the budget */
    uint32_t trailers_size;
    uint32_t moved; /* bytes framed since the timer was started */
    cv_routes *routes; /* held for `direct` */
    cv_timer input, output;
    cv_tunnel *tunnel; /* what it carries since it is a WebSocket; NULL: nothing, or no longer */
};

struct cv_http2 {
    cv_core *core;
    nghttp2_session *session;
    cv_connection *connection;
    cv_http2_head *head; /* of a block of headers that goes on with the next bytes */
    cv_link all, waiting, due, lent; /* of streams, each by its member above but for the last two */
    cv_link writes; /* tunnels have something to frame */
    uint32_t streams;
    uint32_t running; /* in Python's hands, also those whose client is gone */
    uint64_t headers; /* bytes of all streams' headers */
    uint64_t queued; /* bytes of all streams' `out` that are in memory */
    cv_guard guard;
    uint8_t flood; /* enum cv_flood */
    uint8_t failed; /* the library can go on no more */
    uint8_t noticed; /* the client was asked to open no more streams */
    uint8_t final; /* and those it opens since are ignored */
    uint8_t over; /* we have ended it */
    uint8_t stuck; /* requests wait until answers have left */
};

struct cv_http2_kit {
    const cv_nghttp2 *lib;
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    cv_http2_head *head; /* of the block that is being read, where it needs no more than one read */
    nghttp2_nv *fields; /* of the answer that is being framed */
    uint32_t fields_room;
};

#define CV_STREAM_OF(member, at)                                                                    \
    ((cv_stream *)(void *)((char *)(at) - offsetof(cv_stream, member)))

/* What the library says: of one stream alone, or that it can go on no more. */
static inline void cv_http2_check(cv_http2 *h, int result)
{
    if (result < CV_NGHTTP2_FATAL)
        h->failed = 1;
}

/* Of answers that wait for a connection; beyond it no request of it is handed out. */
static inline uint64_t cv_stream_most_queued(const cv_core *core)
{
    return 16 * (uint64_t)core->options.high_water;
}

static inline uint64_t cv_stream_pending(const cv_stream *s)
{
    return s->out.size + s->direct_size;
}

static inline cv_exchange *cv_stream_exchange(const cv_core *core, const cv_stream *s)
{
    return s->exchange ? &core->exchanges[s->exchange] : NULL;
}

/* http2_request.c: from a head and a body to Python. */

/* The head is complete: answer it, hand it out, or let it wait. */
void cv_stream_begin(cv_http2 *h, cv_stream *s, cv_http2_head *head);
/* Bytes of the body, where they lie in the connection's input block. */
void cv_stream_body(cv_http2 *h, cv_stream *s, const uint8_t *at, size_t size);
/* The body is complete. */
void cv_stream_ended(cv_http2 *h, cv_stream *s);
/* Let those go on that wait: for a place, for room for an event, for a piece of a body. */
void cv_streams_go_on(cv_http2 *h);
/* The stream wants a piece of its body. */
void cv_stream_read(cv_http2 *h, cv_stream *s);
/* It was patient for long enough. */
void cv_stream_waited(cv_http2 *h, cv_stream *s);
/* Nothing more of the body is wanted. */
void cv_stream_discard(cv_http2 *h, cv_stream *s);
/* The client sends no more at all: what is not here of the request will not come. */
void cv_stream_cut_off(cv_http2 *h, cv_stream *s);

/* http2_reply.c: answers. */

void cv_stream_native(cv_http2 *h, cv_stream *s, const cv_answer *answer, uint32_t flags);
/* A file's, of which it lets go. */
void cv_stream_file(cv_http2 *h, cv_stream *s, cv_file_reply *reply, uint32_t flags);
/* A status without a body. */
void cv_stream_bare(cv_http2 *h, cv_stream *s, int status);
/* Its body does not go on: answer with this status in Python's place, or tell it. */
void cv_stream_broken(cv_http2 *h, cv_stream *s, int status, int why);
/* What is here of the answer cannot leave any more. */
void cv_stream_strand(cv_http2 *h, cv_stream *s);
ssize_t cv_stream_frame(nghttp2_session *session, int32_t id, uint8_t *into, size_t size,
                        uint32_t *flags, nghttp2_data_source *source, void *user);
/* What was lent for this turn is kept. */
void cv_stream_keep(cv_http2 *h, cv_stream *s);

/* Answer a handshake with 200; what follows is read with `frame`. */
void cv_stream_opened(cv_http2 *h, cv_stream *s, const cv_opening *opening,
                      ssize_t (*frame)(nghttp2_session *session, int32_t id, uint8_t *into,
                                       size_t size, uint32_t *flags, nghttp2_data_source *source,
                                       void *user));
/* The library goes on asking for the body. */
void cv_stream_resume(cv_http2 *h, cv_stream *s);
/* Nothing follows what is here of the answer. */
void cv_stream_finish(cv_http2 *h, cv_stream *s);

/* http2_tunnel.c: WebSockets. */

/* Answer a handshake with 200, and carry frames from then on. Returns 0; -1: that cannot be. */
int cv_tunnel_open(cv_http2 *h, cv_stream *s, cv_exchange *x, const cv_reply *reply,
                   const uint8_t *payload);
/* Something has come for it, or nothing more will. */
void cv_tunnel_fed(cv_http2 *h, cv_stream *s);
/* Its stream is no more. */
void cv_tunnel_lost(cv_http2 *h, cv_stream *s);

/* http2.c */

void cv_stream_reset(cv_http2 *h, cv_stream *s, uint32_t error);
/* Its exchange has nothing more to do with it. */
void cv_stream_detach(cv_http2 *h, cv_stream *s, int why);

#endif
