/* The sans-I/O connection, of HTTP/1.1 until it is found to be of HTTP/2: bytes in, events and output out, what it waits for, and until
 * when. It knows nothing of sockets; see cv_transport. */
#ifndef COVET_CONNECTION_H
#define COVET_CONNECTION_H

#include "chunked.h"
#include "exchange.h"
#include "head.h"
#include "queue.h"
#include "timers.h"

typedef struct cv_secure cv_secure;
typedef struct cv_http2 cv_http2;
typedef struct cv_http2_kit cv_http2_kit;

typedef struct cv_link cv_link;
struct cv_link {
    cv_link *prev, *next; /* of a ring; NULL: in none */
    uint32_t connection;
};

/* Less room than this in a block is not worth a read, if there is something to parse. */
enum { CV_LITTLE = 4096 };

enum cv_phase {
    CV_PHASE_HEAD, /* between requests, or in a head */
    CV_PHASE_WAIT, /* the head was read; Python hears of it when the body is complete */
    CV_PHASE_BODY, /* a request in Python's hands pulls its body */
    CV_PHASE_DISCARD, /* the rest of a body that nobody wants */
    CV_PHASE_UPGRADE, /* a handshake is in Python's hands: what has come behind it waits */
    CV_PHASE_WEBSOCKET, /* frames */
    CV_PHASE_STREAMS, /* HTTP/2 */
    CV_PHASE_END /* nothing more is parsed */
};

enum cv_closing {
    CV_OPEN,
    CV_CLOSE_WRITTEN, /* close when all output is written */
    CV_CUT_NOW, /* reset, the output is incomplete */
    CV_LINGERING /* shut; input is thrown away until the client has read the answer */
};

enum cv_interest { CV_WANT_READ = 1, CV_WANT_WRITE = 2 };

enum cv_connection_flag {
    CV_C_EOF = 1 << 0, /* the client sends no more */
    CV_C_BROKEN = 1 << 1, /* nothing can be written */
    CV_C_CHUNKED = 1 << 2, /* the present body is */
    CV_C_HUNGRY = 1 << 3, /* nothing goes on without more bytes */
    CV_C_AGAIN = 1 << 4, /* something may go on that could not */
    CV_C_FED = 1 << 5, /* bytes have come since timers were set */
    CV_C_WROTE = 1 << 6, /* bytes have left since timers were set */
    CV_C_OURS = 1 << 7, /* the close is our decision: the client may be sending */
    CV_C_STARVED = 1 << 8, /* waits for a place among the requests in flight */
    CV_C_BUSY = 1 << 9, /* goes on at the next poll */
    CV_C_PARCHED = 1 << 10, /* waits for an input block */
    CV_C_WAITED = 1 << 11, /* WAIT: long enough, Python gets what there is */
    CV_C_MORE = 1 << 12, /* what is written now is followed by a file at once */
    CV_C_STREAMS = 1 << 13 /* it is or was of HTTP/2 */
};

struct cv_connection {
    int fd; /* -1: memory */
    int poller; /* the one that waits for its socket */
    uint32_t index;
    uint32_t generation;
    uint32_t next_free;
    uint32_t block; /* read into; 0: none */
    uint32_t from, to; /* bytes in it that were not consumed */
    /* Of a chunked body: bytes at `from` (WAIT: behind the head) already decoded. */
    uint32_t decoded;
    uint32_t need; /* WAIT: bytes of head and body, chunked: of the head */
    uint32_t first, last; /* exchanges */
    uint32_t reader; /* BODY: whose body it is */
    uint32_t discarded; /* bytes thrown away at the end */
    uint16_t pipelined; /* exchanges */
    uint16_t flags;
    uint16_t refusal; /* status to end with, when the earlier answers are written */
    uint16_t port;
    uint8_t phase, closing, interest, blank;
    uint8_t family, listener;
    uint8_t peer[16];
    uint8_t fresh; /* it may begin with the preface of HTTP/2 */
    cv_http2 *http2; /* CV_PHASE_STREAMS */
    uint64_t body_left;
    cv_head_progress progress;
    cv_chunked chunked;
    cv_queue out;
    cv_timer input, output;
    cv_link link;
    cv_secure *tls; /* NULL: without, or nothing has come yet */
    struct cv_websocket *websocket; /* NULL: it is HTTP */
    struct cv_tunnel *tunnel; /* a stream of HTTP/2 carries it; NULL: it has a socket, or memory */
};

/* A slot for a connection, zeroed but for its number; NULL if there are `most` of them. */
cv_connection *cv_connection_new(cv_core *core, uint32_t most);
cv_connection *cv_connection_find(cv_core *core, uint64_t number);
static inline uint64_t cv_connection_number(const cv_connection *c)
{
    return (uint64_t)c->generation << 32 | c->index;
}
/* The transport is set up: timers run from now on. */
void cv_connection_start(cv_core *core, cv_connection *c);

/* What TLS has agreed on with the client is spoken from here on. Told before anything of it is fed, and
 * only where TLS is; until then and without it is HTTP/1.1. Two is agreed on where core->http2 is set. */
enum cv_protocol { CV_HTTP_1, CV_HTTP_2 };
void cv_connection_speak(cv_core *core, cv_connection *c, int protocol);

/* Where bytes may be put. Returns how many fit; 0: none now. */
size_t cv_connection_room(cv_core *core, cv_connection *c, uint8_t **at);
void cv_connection_fed(cv_core *core, cv_connection *c, size_t size);
void cv_connection_ended(cv_core *core, cv_connection *c); /* the client sends no more */
void cv_connection_writable(cv_core *core, cv_connection *c);
void cv_connection_left(cv_core *core, cv_connection *c, uint64_t size); /* of c->out */

/* Parse and hand out what can be, within the limits of a turn. */
void cv_connection_run(cv_core *core, cv_connection *c);

/* Decide what it waits for. May end it. Only between turns: see cv_turn_begin. */
void cv_connection_settle(cv_core *core, cv_connection *c);

/* A timeout has passed. */
void cv_connection_expired(cv_core *core, cv_connection *c, int kind);

/* It is no more; `why` (enum cv_gone) is told for what is in flight. */
void cv_connection_end(cv_core *core, cv_connection *c, int why, int reset);

/* No answer behind this one: drop the exchanges that follow. */
void cv_connection_drop_exchanges(cv_core *core, cv_connection *c, int why);

/* Refuse to parse on: this status, in its turn, then the end. */
void cv_connection_refuse(cv_core *core, cv_connection *c, int status);

/* Pieces of its block are no longer lent: it may not need the block any more. */
void cv_connection_spare(cv_core *core, cv_connection *c);

/* Let those go on that waited for a block or for a place among the requests in flight. */
void cv_connections_resume(cv_core *core);

void cv_link_to(cv_link *ring, cv_link *link);
void cv_link_out(cv_link *link);

#endif
