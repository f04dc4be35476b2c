/* TLS between a transport's bytes and a connection, and what it is made with.
 *
 * What is to be sent stays in the connection's queue, unencrypted, until all of its encrypted form has
 * left: whoever looks at the queue need not know of TLS, and a slow client costs one batch of it twice. */
#ifndef COVET_TLS_H
#define COVET_TLS_H

#include "core.h"
#include "tls_library.h"

enum {
    CV_TLS_CERTIFICATES = 1024,
    CV_TICKET_KEYS = 3 /* the one tickets are made with, and those before it */
};

/* A key tickets are made with: they are not kept here, but by the clients. */
typedef struct cv_ticket_key {
    uint8_t name[16];
    uint8_t cipher[32];
    uint8_t mac[32];
    int64_t made; /* on CLOCK_MONOTONIC; 0: there is none */
} cv_ticket_key;

typedef struct cv_certificate {
    SSL_CTX *context;
    X509 *leaf;
    char *name; /* of the host it is for, in lower case; "*." begins one for every name below; "": any */
    uint8_t *staple; /* OCSP response to show with it; NULL: none */
    size_t staple_size;
    OCSP_BASICRESP *answer; /* the same, to see how long it is valid */
} cv_certificate;

struct cv_tls {
    uint32_t holders; /* whoever made it, engines, connections */
    int count;
    int asks; /* clients for certificates */
    cv_certificate **certificates; /* the first is for names that no other is for */
    cv_ticket_key keys[CV_TICKET_KEYS]; /* newest first */
};

enum cv_tls_state {
    CV_TLS_SHAKING, /* hands */
    CV_TLS_OPEN,
    CV_TLS_PLAIN, /* the client did not speak TLS: it is told so without */
    CV_TLS_FAILED
};

/* Of one connection, from its first byte on. */
struct cv_secure {
    SSL *ssl;
    cv_tls *tls;
    cv_core *core;
    uint32_t connection;
    uint32_t budget; /* bytes that may still be read in this turn */
    uint8_t *sealed; /* encrypted, and could not be sent yet */
    uint32_t sealed_from, sealed_to, sealed_size;
    uint32_t plain; /* bytes at the beginning of the queue whose encrypted form that is */
    uint16_t flags; /* enum cv_head_flag */
    uint8_t state; /* enum cv_tls_state */
    uint8_t first; /* byte that came */
    uint8_t dry; /* nothing more is to be read now */
    uint8_t more; /* decrypted bytes wait for room */
    uint8_t ended; /* the client sends no more */
    uint8_t broken; /* the transport is */
    uint8_t faulty; /* what came is no TLS */
    uint8_t said; /* that nothing more comes */
};

/* Read, and shake hands before. Only in the connection's turn. Returns bytes put at `at`; 0: the client sends no more; -1: none now, or
 * with *broken set the connection is. */
int64_t cv_tls_receive(cv_core *core, cv_connection *c, uint8_t *at, size_t room, int *broken);

/* As cv_transport has it. */
int64_t cv_tls_write(cv_core *core, cv_connection *c, const struct iovec *pieces, int count);

/* At the end of a turn: send what was written besides answers. */
void cv_tls_flush(cv_core *core, cv_connection *c);

/* The transport takes bytes again. */
void cv_tls_writable(cv_core *core, cv_connection *c);

/* Over memory: encrypt what waits, and move it out. */
size_t cv_tls_drain(cv_core *core, cv_connection *c, uint8_t *into, size_t size);

/* Everything was said. Tell the client, and return whether that still waits to be sent. */
int cv_tls_farewell(cv_core *core, cv_connection *c);

/* The connection is no more; whole: everything was said. */
void cv_tls_end(cv_core *core, cv_connection *c, int whole);

static inline int cv_tls_shaking(const cv_connection *c)
{
    return c->tls && c->tls->state == CV_TLS_SHAKING;
}

/* Bytes wait to be sent, of which the queue may know nothing. */
static inline int cv_tls_waits(const cv_connection *c)
{
    return c->tls && c->tls->sealed_from != c->tls->sealed_to;
}

static inline int cv_tls_more(const cv_connection *c)
{
    return c->tls && c->tls->more;
}

/* Of enum cv_head_flag, for the requests of this connection. */
static inline uint16_t cv_tls_flags(const cv_connection *c)
{
    return c->tls ? c->tls->flags : 0;
}

cv_tls *cv_tls_hold(cv_tls *tls);
void cv_tls_let_go(cv_tls *tls);
/* Tickets of these are taken by `tls` too. */
void cv_tls_keep_keys(cv_tls *tls, const cv_tls *before);

/* For cv_tls_problem: this, or the reason OpenSSL gives. */
void cv_tls_say(const char *text);
void cv_tls_say_why(void);

/* What a certificate says, for Python: see cv_tls_describe. Returns the size, or 0. */
size_t cv_certificate_describe(X509 *certificate, uint8_t *into, size_t size);

#endif
