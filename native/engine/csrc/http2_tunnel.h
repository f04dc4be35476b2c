/* A WebSocket on a stream of HTTP/2 (RFC 8441) is a connection of its own that has no socket: what its
 * stream brings is put into its block, and what it has to write leaves as DATA. So everything a
 * WebSocket is bound by over HTTP/1.1 binds it here. */
#ifndef COVET_HTTP2_TUNNEL_H
#define COVET_HTTP2_TUNNEL_H

#include "connection.h"

typedef struct cv_tunnel cv_tunnel;

/* Move what has come, and frame what is to leave. Only between turns. */
void cv_tunnels_run(cv_core *core);
/* What a tunnel waits for is settled. */
void cv_tunnel_settled(cv_core *core, cv_connection *c);
/* It says nothing more, and reads nothing. */
void cv_tunnel_shut(cv_core *core, cv_connection *c);
/* It is no more; with `reset` not all was said. */
void cv_tunnel_end(cv_core *core, cv_connection *c, int reset);

#endif
