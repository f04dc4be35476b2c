/* The opening handshake of WebSocket (RFC 6455, 4.2) as a server sees it. */
#ifndef COVET_HANDSHAKE_H
#define COVET_HANDSHAKE_H

#include "head.h"

enum { CV_ACCEPT_SIZE = 28 };

/* Whether a request asks for the protocol: 1; 0: it does not; -400 or -426: it does, in a way that is
 * none. The head was read. */
int cv_handshake_read(const uint8_t *at, const cv_head *head);

/* The same of one that came by HTTP/2, where it was asked for and there is no key (RFC 8441, 5): never 0. */
int cv_handshake_read_stream(const uint8_t *at, const cv_head *head);

/* What Sec-WebSocket-Accept says to a request for which that was 1. */
void cv_handshake_accept(const uint8_t *at, const cv_head *head, char *to);

#endif
