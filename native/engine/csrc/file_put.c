#define _GNU_SOURCE
#include "file_put.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/random.h>
#include <sys/sendfile.h>
#endif

#include "file.h"
#include "output.h"

static void broken(cv_core *core, cv_connection *c)
{
    core->counters.aborted++;
    c->flags |= CV_C_BROKEN;
}

void cv_put_text(cv_core *core, cv_connection *c, cv_exchange *x, const void *bytes, size_t size)
{
    if (!x)
        cv_put(core, c, bytes, size);
    else if (size && cv_queue_add(&x->pending, &core->budget, bytes, size) < 0)
        c->flags |= CV_C_BROKEN;
}

/* A small file: its bytes. */
static void put_small(cv_core *core, cv_connection *c, cv_exchange *x, const cv_file *file,
                      uint64_t at, size_t size)
{
    uint8_t *place = x ? NULL : cv_put_place(core, c, size);
    uint8_t *into = place ? place : core->block;
    if (cv_file_read(file, into, size, at) != (int64_t)size)
        broken(core, c);
    else if (place)
        cv_put_done(core, size);
    else
        cv_put_text(core, c, x, into, size);
}

void cv_put_span(cv_core *core, cv_connection *c, cv_exchange *x, cv_file *file, uint64_t at,
                 uint64_t size)
{
    if (!size || (c->flags & CV_C_BROKEN))
        return;
    if (size <= CV_FILE_SMALL) {
        put_small(core, c, x, file, at, (size_t)size);
        return;
    }
    if (!x) {
        c->flags |= CV_C_MORE;
        cv_flush(core, c);
        c->flags &= (uint16_t)~CV_C_MORE;
    }
    cv_queue *queue = x ? &x->pending : &c->out;
    int idle = !x && !queue->size;
    if (cv_queue_add_file(queue, &core->budget, file, at, size) < 0)
        c->flags |= CV_C_BROKEN;
    else if (idle)
        cv_connection_writable(core, c);
}

int cv_file_or_bytes(cv_core *core, cv_connection *c, struct iovec *pieces, int max)
{
    cv_piece piece;
    if (!cv_queue_file(&c->out, &piece))
        return cv_queue_pieces(&c->out, pieces, max);
    size_t size = piece.size < CV_FILE_BLOCK ? (size_t)piece.size : CV_FILE_BLOCK;
    int64_t found = cv_file_read(piece.file, core->block, size, piece.at);
    if (found <= 0) {
        broken(core, c);
        return 0;
    }
    pieces[0] = (struct iovec){core->block, (size_t)found};
    return 1;
}

/* For a transport that takes bytes and nothing else. */
static int64_t write_block(cv_core *core, cv_connection *c)
{
    struct iovec block;
    return cv_file_or_bytes(core, c, &block, 1) ? core->transport->write(core, c, &block, 1) : -1;
}

int cv_file_leave(cv_core *core, cv_connection *c, const cv_piece *piece)
{
    uint64_t left = piece->size < CV_FILE_TURN ? piece->size : CV_FILE_TURN;
    int by_itself = core->transport->send_file && !core->by_blocks && !c->tls;
    cv_piece rest = *piece;
    while (left) {
        uint64_t offered = rest.size < CV_FILE_BLOCK ? rest.size : CV_FILE_BLOCK;
        if (by_itself)
            offered = left;
        int64_t sent = by_itself ? core->transport->send_file(core, c, &rest, (size_t)offered)
                                 : write_block(core, c);
        if (sent == -2) {
            broken(core, c);
            return 0;
        }
        if (sent < 0) {
            c->flags |= CV_C_BROKEN;
            return 0;
        }
        if (!sent)
            return 0;
        rest.at += (uint64_t)sent;
        rest.size -= (uint64_t)sent;
        left -= (uint64_t)sent < left ? (uint64_t)sent : left;
        cv_connection_left(core, c, (uint64_t)sent);
        if ((uint64_t)sent < offered)
            return 0; /* trying once more would tell the same */
    }
    /* The end of a file may be followed by the next answer; after a part of one it is others' turn. */
    return piece->size <= CV_FILE_TURN;
}

int64_t cv_file_to_socket(int socket, const cv_piece *piece, size_t size)
{
#ifdef __linux__
    off_t at = (off_t)piece->at;
    for (;;) {
        ssize_t sent = sendfile(socket, piece->file->fd, &at, size);
        if (sent > 0)
            return sent;
        if (sent == 0)
            return -2; /* the file ends before what was promised */
        if (errno == EINTR)
            continue;
        return errno == EAGAIN || errno == ENOBUFS ? 0 : errno == EIO ? -2 : -1;
    }
#else
    (void)socket;
    (void)piece;
    (void)size;
    return -1;
#endif
}

void cv_random_hex(char *into, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[64];
    size_t size = (count + 1) / 2;
#ifdef __linux__
    while (getrandom(bytes, size, 0) != (ssize_t)size)
        continue;
#else
    arc4random_buf(bytes, size);
#endif
    for (size_t i = 0; i < count; i++)
        into[i] = digits[i % 2 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4];
    into[count] = '\0';
}
