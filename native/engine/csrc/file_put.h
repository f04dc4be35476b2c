/* Files among the output of a connection, and how they leave it. */
#ifndef COVET_FILE_PUT_H
#define COVET_FILE_PUT_H

#include "core.h"

enum {
    CV_FILE_SMALL = 32 * 1024, /* is read and leaves with its head, which costs less than two calls */
    CV_FILE_TURN = 512 * 1024, /* of a file at a time, so that others get their turn */
    CV_FILE_BLOCK = 64 * 1024 /* is read for a transport that cannot send files */
};

/* Output of an exchange: to its connection in that's turn (NULL), or kept until its own. */
void cv_put_text(cv_core *core, cv_connection *c, cv_exchange *x, const void *bytes, size_t size);
/* Bytes of a file, which is held as long as it takes. If it turns out to be shorter the connection is
 * cut: how much was to come is said already. */
void cv_put_span(cv_core *core, cv_connection *c, cv_exchange *x, cv_file *file, uint64_t at,
                 uint64_t size);

/* Send of the file that is first in the connection's output. Returns 1 if it may go on. */
int cv_file_leave(cv_core *core, cv_connection *c, const cv_piece *piece);

/* As cv_queue_pieces of the connection's output; what comes first in a file is read. 0 as well if the
 * file is shorter: the connection is broken then. Valid until files are read again. */
int cv_file_or_bytes(cv_core *core, cv_connection *c, struct iovec *pieces, int max);

/* For a transport: bytes of a file to a socket, as cv_transport.send_file says. */
int64_t cv_file_to_socket(int socket, const cv_piece *piece, size_t size);

/* Random hexadecimal digits, and a NUL. */
void cv_random_hex(char *into, size_t count);

#endif
