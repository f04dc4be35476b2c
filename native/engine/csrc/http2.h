/* HTTP/2 connections: libnghttp2 reads and writes frames, and everything else is here. A stream is an
 * exchange; Python sees no difference but the version. A connection becomes one by the client's
 * preface, or by a call of cv_http2_begin from what carries it (ALPN). */
#ifndef COVET_HTTP2_H
#define COVET_HTTP2_H

#include "core.h"

/* What all connections of an engine share. NULL if libnghttp2 is missing or there is no memory. */
cv_http2_kit *cv_http2_kit_new(cv_core *core);
void cv_http2_kit_free(cv_core *core);

/* From here on it is HTTP/2, and what it has of input begins with the preface. Returns 0 or -1. */
int cv_http2_begin(cv_core *core, cv_connection *c);

/* Whether the first bytes of a connection are the preface: 1, 0 if they are not, -1 if that cannot be
 * said yet. */
int cv_http2_is_preface(const uint8_t *at, size_t size);

/* As cv_connection_run. */
void cv_http2_run(cv_core *core, cv_connection *c);
/* At the end of the connection's turn: frame what there is. */
void cv_http2_write(cv_core *core, cv_connection *c);
/* The timer of its input: enum cv_timer_kind. */
int cv_http2_timer(const cv_core *core, const cv_connection *c);
/* The timer of its input has fallen due. */
void cv_http2_expired(cv_core *core, cv_connection *c, int kind);
/* A timer of one of its streams has. */
void cv_http2_stream_expired(cv_core *core, cv_connection *c, cv_timer *timer, int kind);
/* The engine stops: the client is asked to open no more streams. */
void cv_http2_stop(cv_core *core, cv_connection *c);
/* It is no more. */
void cv_http2_end(cv_core *core, cv_connection *c, int why);

/* As cv_reply_apply, in the connection's turn. */
void cv_http2_apply(cv_core *core, cv_connection *c, cv_exchange *x, const cv_reply *reply,
                    const uint8_t *payload);

/* The same for bytes of a file; NULL: there is no memory for it. */
void cv_http2_apply_file(cv_connection *c, cv_exchange *x, cv_file *file, const cv_file_part *part);

/* Python no longer holds an exchange of this connection, which may be no more. */
void cv_http2_left(cv_core *core, uint64_t connection);

#endif
