/* Waits for sockets, one alarm and one wake-up, behind a descriptor that is readable as long as there is
 * something to take. With epoll on Linux, with kqueue on BSD and macOS. */
#ifndef COVET_POLLER_H
#define COVET_POLLER_H

#include <stdint.h>

#if defined(__linux__) && !defined(CV_KQUEUE)
#define CV_EPOLL 1
#include <sys/epoll.h>
typedef struct epoll_event cv_ready;
#else
#include <sys/types.h>

#include <sys/event.h>
#include <sys/time.h>
typedef struct kevent cv_ready;
#endif

typedef struct cv_poller {
    int fd; /* -1: not open */
#ifdef CV_EPOLL
    int alarm, wake;
#else
    uint64_t alarm;
#endif
} cv_poller;

enum { CV_POLL_READ = 1, CV_POLL_WRITE = 2 };

/* Open it; the alarm and the wake-up are reported by these numbers. Returns 0, or -1 with errno, and is
 * to be closed in either case. */
int cv_poller_open(cv_poller *poller, uint64_t alarm, uint64_t wake);
void cv_poller_close(cv_poller *poller);

/* Wait for a listening socket. Of several processes that do, one or some are told. 0, or -1 with errno. */
int cv_poller_listen(cv_poller *poller, int fd, uint64_t number);
void cv_poller_deafen(cv_poller *poller, int fd);

/* Wait until a socket is readable; a closed one is waited for no more. 0, or -1 with errno. */
int cv_poller_add(int poller, int fd, uint64_t number);
/* From now on wait for some of CV_POLL_READ and CV_POLL_WRITE. */
void cv_poller_change(int poller, int fd, uint64_t number, int interest);

/* Set the alarm, by the monotonic clock in nanoseconds; 0: never. One that has gone off is taken once,
 * or again and again until it is set anew. */
void cv_poller_set_alarm(cv_poller *poller, int64_t due);
/* Have the wake-up taken once. Returns whether it will be. */
int cv_poller_wake(cv_poller *poller);

/* What is ready now, at most `most`. Returns how many, or -1. */
int cv_poller_take(cv_poller *poller, cv_ready *ready, int most);

#ifdef CV_EPOLL
static inline uint64_t cv_ready_number(const cv_ready *ready)
{
    return ready->data.u64;
}

static inline int cv_ready_failed(const cv_ready *ready)
{
    return !!(ready->events & (EPOLLHUP | EPOLLERR));
}

static inline int cv_ready_readable(const cv_ready *ready)
{
    return !!(ready->events & (EPOLLIN | EPOLLHUP | EPOLLERR));
}

static inline int cv_ready_writable(const cv_ready *ready)
{
    return !!(ready->events & EPOLLOUT);
}
#else
_Static_assert(sizeof(void *) >= sizeof(uint64_t), "an event carries a connection's number");

static inline uint64_t cv_ready_number(const cv_ready *ready)
{
    return (uint64_t)(uintptr_t)ready->udata;
}

/* Nobody reads what is written any more, or the socket has an error. That the other side has ended its
 * half is no failure: reading tells. */
static inline int cv_ready_failed(const cv_ready *ready)
{
    return ready->flags & EV_EOF && (ready->filter == EVFILT_WRITE || ready->fflags);
}

static inline int cv_ready_readable(const cv_ready *ready)
{
    return ready->filter == EVFILT_READ || cv_ready_failed(ready);
}

static inline int cv_ready_writable(const cv_ready *ready)
{
    return ready->filter == EVFILT_WRITE;
}
#endif

#endif
