/* Answers: what Python submits, and native ones, framed for the wire. */
#ifndef COVET_REPLY_H
#define COVET_REPLY_H

#include "core.h"

/* Apply one reply from Python. */
void cv_reply_apply(cv_core *core, const cv_reply *reply, const uint8_t *payload);

/* Write a native answer now, in its connection's turn. Returns its status. */
int cv_reply_native(cv_core *core, cv_connection *c, const cv_answer *answer, uint32_t flags,
                    uint64_t *bytes);

/* Count an answer. */
void cv_reply_count(cv_core *core, int status);

/* Write date, what the connection is told, and the empty line. Returns where they end. */
char *cv_reply_end(const cv_core *core, char *to, int date, int close, int old);

/* A status without a body, in its connection's turn. */
void cv_reply_bare(cv_core *core, cv_connection *c, int status, int close);

/* Let the answers leave whose turn has come. In the connection's turn. */
void cv_reply_advance(cv_core *core, cv_connection *c);

#endif
