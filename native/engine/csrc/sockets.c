#define _GNU_SOURCE
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "file_put.h"
#include "output.h"
#include "tls.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* then the socket has SO_NOSIGPIPE */
#endif
#ifndef MSG_MORE
#define MSG_MORE 0 /* the head of a file leaves in a packet of its own */
#endif

int cv_listener_open(cv_listener *listener, int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    int listening = 0;
    socklen_t int_size = sizeof listening;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &int_size) < 0)
        return -errno;
    if (!listening)
        return -EINVAL;
    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return -errno;
    listener->fd = fd;
    listener->polled = 0;
    listener->family = address.ss_family == AF_INET ? 4 : address.ss_family == AF_INET6 ? 6 : 0;
    return 0;
}

static void set_peer(cv_connection *c, const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;
        c->family = 4;
        c->port = ntohs(in->sin_port);
        memcpy(c->peer, &in->sin_addr, 4);
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const void *)address;
        c->port = ntohs(in->sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr)) {
            c->family = 4;
            memcpy(c->peer, in->sin6_addr.s6_addr + 12, 4);
        } else {
            c->family = 6;
            memcpy(c->peer, &in->sin6_addr, 16);
        }
    }
}

/* A connection that does not block, and that no program run later inherits; -1 with errno. */
static int accepted(int listener, struct sockaddr_storage *address)
{
    socklen_t size = sizeof *address;
#ifdef SOCK_NONBLOCK
    return accept4(listener, (struct sockaddr *)address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
    int on = 1, fd = accept(listener, (struct sockaddr *)address, &size);
    if (fd >= 0) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
    }
    return fd;
#endif
}

int cv_sockets_accept(cv_core *core, int poller, cv_listener *listener, int number, int many,
                      uint32_t most)
{
    for (int i = 0; i < many; i++) {
        if (core->counters.connections >= most)
            return CV_ACCEPTED_FULL;
        struct sockaddr_storage address;
        int fd = accepted(listener->fd, &address);
        if (fd < 0) {
            switch (errno) {
            case EAGAIN:
                return CV_ACCEPTED_ALL;
            case EINTR:
            case ECONNABORTED:
            case EPROTO:
            case EPERM:
                continue;
            default:
                core->counters.refused_connections++;
                return CV_ACCEPTED_FAILED;
            }
        }
        if (listener->family) {
            int on = 1;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        }
        cv_connection *c = cv_connection_new(core, most);
        if (!c || cv_poller_add(poller, fd, cv_connection_number(c)) < 0) {
            core->counters.refused_connections++;
            if (c)
                cv_connection_end(core, c, CV_GONE_CLOSED, 0);
            close(fd);
            return CV_ACCEPTED_FAILED;
        }
        c->fd = fd;
        c->poller = poller;
        c->listener = (uint8_t)number;
        c->interest = CV_WANT_READ;
        if (listener->family)
            set_peer(c, &address);
        cv_connection_start(core, c);
    }
    return CV_ACCEPTED_SOME;
}

int64_t cv_socket_write(const cv_connection *c, const struct iovec *pieces, int count)
{
    ssize_t sent;
    int flags = MSG_NOSIGNAL | (c->flags & CV_C_MORE ? MSG_MORE : 0);
    if (c->fd < 0)
        return 0; /* memory: it waits to be drained */
    do {
        if (count == 1) {
            sent = send(c->fd, pieces[0].iov_base, pieces[0].iov_len, flags);
        } else {
            struct msghdr message = {
                .msg_iov = (struct iovec *)(uintptr_t)pieces,
                .msg_iovlen = (size_t)count,
            };
            sent = sendmsg(c->fd, &message, flags);
        }
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno == EAGAIN || errno == ENOBUFS ? 0 : -1;
    return sent;
}

static int64_t write_pieces(cv_core *core, cv_connection *c, const struct iovec *pieces, int count)
{
    int64_t sent = c->tls ? cv_tls_write(core, c, pieces, count) : cv_socket_write(c, pieces, count);
    if (sent > 0)
        core->counters.bytes_out += (uint64_t)sent;
    return sent;
}

#ifdef __linux__
#define SEND_FILE send_file
static int64_t send_file(cv_core *core, cv_connection *c, const cv_piece *piece, size_t size)
{
    if (c->fd < 0)
        return 0;
    int64_t sent = cv_file_to_socket(c->fd, piece, size);
    if (sent > 0)
        core->counters.bytes_out += (uint64_t)sent;
    return sent;
}
#else
#define SEND_FILE NULL
#endif

static void set_interest(cv_core *core, cv_connection *c)
{
    (void)core;
    if (c->fd >= 0)
        cv_poller_change(c->poller, c->fd, cv_connection_number(c), c->interest);
}

static void shut(cv_core *core, cv_connection *c)
{
    (void)core;
    if (c->fd >= 0)
        shutdown(c->fd, SHUT_WR);
}

static void close_socket(cv_core *core, cv_connection *c, int reset)
{
    (void)core;
    if (c->fd < 0)
        return;
    if (reset) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    close(c->fd);
    c->fd = -1;
}

_Static_assert((int)CV_WANT_READ == CV_POLL_READ && (int)CV_WANT_WRITE == CV_POLL_WRITE,
               "what a connection wants is what is waited for");

const cv_transport cv_sockets = {write_pieces, set_interest, shut, close_socket, SEND_FILE};

int cv_sockets_read(cv_core *core, cv_connection *c, int failed)
{
    uint8_t *at;
    size_t room = cv_connection_room(core, c, &at);
    if (!room) {
        if (failed)
            cv_connection_end(core, c, CV_GONE_CLOSED, 0);
        else
            cv_turn_end(core); /* without a block: settle has it waited for no more */
        return 0;
    }
    int broken;
    int64_t size;
    if (core->tls || c->tls) {
        size = cv_tls_receive(core, c, at, room, &broken);
    } else {
        size = recv(c->fd, at, room, 0);
        broken = size < 0 && errno != EAGAIN && errno != EINTR;
    }
    if (size > 0) {
        cv_connection_fed(core, c, (size_t)size);
    } else if (size == 0 && !failed) {
        cv_connection_ended(core, c);
    } else if (broken || failed) {
        cv_connection_end(core, c, CV_GONE_CLOSED, 0);
        return 0;
    }
    return 1;
}

void cv_sockets_ready(cv_core *core, cv_connection *c, const cv_ready *ready)
{
    int failed = cv_ready_failed(ready);
    cv_turn_begin(core, c);
    if (cv_ready_writable(ready)) {
        if (c->tls)
            cv_tls_writable(core, c);
        if (!cv_tls_waits(c)) /* else nothing can be, and files would be read in vain */
            cv_connection_writable(core, c);
    }
    if (c->interest & CV_WANT_READ && cv_ready_readable(ready)) {
        if (!cv_sockets_read(core, c, failed))
            return;
    } else if (failed) {
        cv_connection_end(core, c, CV_GONE_CLOSED, 0);
        return;
    }
    cv_connection_run(core, c);
    cv_turn_end(core);
}
