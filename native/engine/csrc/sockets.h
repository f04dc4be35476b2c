/* Connections over sockets: accepting, reading, writing. */
#ifndef COVET_SOCKETS_H
#define COVET_SOCKETS_H

#include "core.h"
#include "poller.h"

typedef struct cv_listener {
    int fd;
    uint8_t family; /* 4, 6, or 0 */
    uint8_t polled; /* it is waited for */
} cv_listener;

extern const cv_transport cv_sockets;

/* What is ready and no connection has this in the upper half of its number. */
#define CV_TAG (UINT64_C(0xffffffff) << 32)
enum { CV_TAG_ALARM = 0, CV_TAG_WAKE = 1, CV_TAG_LISTENER = 2 };

/* Prepare a listening socket. Returns 0 or -errno. */
int cv_listener_open(cv_listener *listener, int fd);

enum cv_accepted { CV_ACCEPTED_ALL, CV_ACCEPTED_SOME, CV_ACCEPTED_FULL, CV_ACCEPTED_FAILED };

/* Accept at most `many`, while there are fewer than `most` connections. */
int cv_sockets_accept(cv_core *core, int poller, cv_listener *listener, int number, int many,
                      uint32_t most);

/* What of the pieces is sent now, 0 if nothing can be, -1 if the connection is broken. */
int64_t cv_socket_write(const cv_connection *c, const struct iovec *pieces, int count);

/* Read once, and what TLS has read before. Only in the connection's turn. Returns 0 if it is no more. */
int cv_sockets_read(cv_core *core, cv_connection *c, int failed);

/* Something can be done. */
void cv_sockets_ready(cv_core *core, cv_connection *c, const cv_ready *ready);

#endif
