/* What the tests over sockets share: an engine that listens, and clients that wait along with it. */
#ifndef COVET_ENGINE_SOCKETS_H
#define COVET_ENGINE_SOCKETS_H

#include "engine_case.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE = 20000 }; /* milliseconds, for what comes at once unless the machine is busy */

static int listener = -1;
static struct sockaddr_in address;

static inline void listen_tcp(int backlog)
{
    socklen_t size = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(listener, backlog) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    CHECK(cv_engine_listen(engine, listener) == 0);
}

static inline void start_listening(void)
{
    start_default();
    listen_tcp(4096);
}

static inline int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static inline void say(int fd, const char *text)
{
    CHECK(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

static inline int readable(int fd, int milliseconds)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, milliseconds) == 1;
}

/* Wait until the engine has something to do, and let it; its events are there. */
static inline int turn(void)
{
    CHECK(readable(cv_engine_fd(engine), PATIENCE));
    return poll_engine();
}

/* Turns until there is an event of this kind. */
static inline const cv_event *await(int kind)
{
    for (int i = 0; i < 10000; i++) {
        turn();
        const cv_event *event = event_of(kind);
        if (event)
            return event;
        if (cv_failures)
            break;
    }
    CHECK(!"an event");
    return NULL;
}

/* Let the engine work until the client has so much, or the connection ends. Returns what it has. */
static char heard[1 << 23];
static size_t heard_size;
static int heard_end; /* 1: an end; -1: a reset */

static inline const char *hear(int fd, size_t most, const char *until)
{
    heard_size = 0;
    heard_end = 0;
    heard[0] = 0;
    while (heard_size < most && !heard_end && !(until && strstr(heard, until))) {
        struct pollfd p[2] = {{.fd = fd, .events = POLLIN},
                              {.fd = cv_engine_fd(engine), .events = POLLIN}};
        if (!CHECK(poll(p, 2, PATIENCE) > 0))
            break;
        if (p[1].revents)
            poll_engine();
        if (p[0].revents) {
            size_t room = most - heard_size;
            ssize_t size = recv(fd, heard + heard_size, room, 0);
            if (size > 0)
                heard_size += (size_t)size;
            else if (size == 0)
                heard_end = 1;
            else if (errno != EAGAIN)
                heard_end = -1;
            heard[heard_size] = 0;
        }
    }
    return heard;
}

static inline const char *hear_until(int fd, const char *until)
{
    return hear(fd, sizeof heard - 1, until);
}

static inline const char *hear_end(int fd)
{
    return hear(fd, sizeof heard - 1, NULL);
}

static inline void reset(int fd)
{
    struct linger now = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

static inline void until_empty(void)
{
    for (int i = 0; i < 1000 && counters()->connections; i++)
        if (!readable(cv_engine_fd(engine), 100))
            break;
        else
            poll_engine();
}

#endif
