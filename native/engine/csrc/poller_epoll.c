#define _GNU_SOURCE
#include "poller.h"

#ifdef CV_EPOLL

#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

static int watch(int poller, int fd, uint32_t events, uint64_t number)
{
    struct epoll_event event = {.events = events, .data.u64 = number};
    return fd < 0 ? -1 : epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

int cv_poller_open(cv_poller *poller, uint64_t alarm, uint64_t wake)
{
    poller->alarm = poller->wake = -1;
    poller->fd = epoll_create1(EPOLL_CLOEXEC);
    if (poller->fd < 0)
        return -1;
    poller->alarm = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    poller->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    /* Edge-triggered: each write is reported once, and nothing need be read. */
    if (watch(poller->fd, poller->alarm, EPOLLIN, alarm) < 0 ||
        watch(poller->fd, poller->wake, EPOLLIN | EPOLLET, wake) < 0)
        return -1;
    return 0;
}

void cv_poller_close(cv_poller *poller)
{
    if (poller->fd < 0)
        return;
    if (poller->alarm >= 0)
        close(poller->alarm);
    if (poller->wake >= 0)
        close(poller->wake);
    close(poller->fd);
    poller->fd = -1;
}

int cv_poller_listen(cv_poller *poller, int fd, uint64_t number)
{
    return watch(poller->fd, fd, EPOLLIN | EPOLLEXCLUSIVE, number);
}

void cv_poller_deafen(cv_poller *poller, int fd)
{
    epoll_ctl(poller->fd, EPOLL_CTL_DEL, fd, NULL);
}

int cv_poller_add(int poller, int fd, uint64_t number)
{
    return watch(poller, fd, EPOLLIN, number);
}

void cv_poller_change(int poller, int fd, uint64_t number, int interest)
{
    struct epoll_event event = {.data.u64 = number};
    if (interest & CV_POLL_READ)
        event.events |= EPOLLIN;
    if (interest & CV_POLL_WRITE)
        event.events |= EPOLLOUT;
    epoll_ctl(poller, EPOLL_CTL_MOD, fd, &event);
}

void cv_poller_set_alarm(cv_poller *poller, int64_t due)
{
    struct itimerspec when = {.it_value = {due / SECOND, due % SECOND}};
    timerfd_settime(poller->alarm, TFD_TIMER_ABSTIME, &when, NULL);
}

int cv_poller_wake(cv_poller *poller)
{
    uint64_t one = 1;
    return write(poller->wake, &one, sizeof one) == sizeof one;
}

int cv_poller_take(cv_poller *poller, cv_ready *ready, int most)
{
    return epoll_wait(poller->fd, ready, most, 0);
}

#else
typedef int cv_poller_epoll_is_not_used; /* ISO C forbids an empty file */
#endif
