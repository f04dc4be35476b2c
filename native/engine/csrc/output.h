/* A connection's turn: its output is gathered and written at once when the turn ends. */
#ifndef COVET_OUTPUT_H
#define COVET_OUTPUT_H

#include "core.h"

/* Make it the one whose output is gathered; the turn of another ends. */
void cv_turn_begin(cv_core *core, cv_connection *c);
/* Write, and settle what the connection waits for. It may be no more afterwards. */
void cv_turn_end(cv_core *core);

/* Only in the connection's turn. */
void cv_put(cv_core *core, cv_connection *c, const void *bytes, size_t size);
void cv_put_queue(cv_core *core, cv_connection *c, cv_queue *queue);
/* What does not leave at once is kept as it is, without a copy. */
void cv_put_shared(cv_core *core, cv_connection *c, cv_shared *shared);
/* Room for so many bytes to be written in place, or NULL; then cv_put_done. */
uint8_t *cv_put_place(cv_core *core, cv_connection *c, size_t size);
void cv_put_done(cv_core *core, size_t size);

void cv_flush(cv_core *core, cv_connection *c);
/* Bytes that wait to be written. */
uint64_t cv_backlog(const cv_core *core, const cv_connection *c);

/* Give the stream whose turn it is credit for what has left. */
void cv_credit(cv_core *core, cv_connection *c);
/* The same for any, of which so much waits. */
void cv_credit_give(cv_core *core, cv_exchange *x, uint64_t waiting);

/* An answer to a request that was readable then is among what is gathered. */
void cv_served_add(cv_core *core, int64_t readable);

#endif
