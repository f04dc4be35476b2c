#define _GNU_SOURCE
#include "poller.h"

#ifndef CV_EPOLL

#include <fcntl.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

enum { ALARM = 1, WAKE = 1 }; /* of filters of their own: they meet no descriptor */

static const struct timespec AT_ONCE = {0, 0};

/* An error of one change is its flag: with room for no event, kevent ends at the first one. */
static int change(int poller, const struct kevent *changes, int count)
{
    return kevent(poller, changes, count, NULL, 0, &AT_ONCE);
}

static void *data_of(uint64_t number)
{
    return (void *)(uintptr_t)number;
}

int cv_poller_open(cv_poller *poller, uint64_t alarm, uint64_t wake)
{
    poller->fd = kqueue();
    if (poller->fd < 0)
        return -1;
    fcntl(poller->fd, F_SETFD, FD_CLOEXEC);
    poller->alarm = alarm;
    struct kevent event;
    EV_SET(&event, WAKE, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, data_of(wake));
    return change(poller->fd, &event, 1);
}

void cv_poller_close(cv_poller *poller)
{
    if (poller->fd >= 0)
        close(poller->fd);
    poller->fd = -1;
}

int cv_poller_listen(cv_poller *poller, int fd, uint64_t number)
{
    return cv_poller_add(poller->fd, fd, number);
}

void cv_poller_deafen(cv_poller *poller, int fd)
{
    struct kevent event;
    EV_SET(&event, (uintptr_t)fd, EVFILT_READ, EV_DELETE, 0, 0, NULL);
    change(poller->fd, &event, 1);
}

int cv_poller_add(int poller, int fd, uint64_t number)
{
    struct kevent event;
    if (fd < 0)
        return -1;
    EV_SET(&event, (uintptr_t)fd, EVFILT_READ, EV_ADD, 0, 0, data_of(number));
    return change(poller, &event, 1);
}

static uint16_t wanted(int interest)
{
    return EV_ADD | (interest ? EV_ENABLE : EV_DISABLE);
}

void cv_poller_change(int poller, int fd, uint64_t number, int interest)
{
    struct kevent changes[2];
    EV_SET(&changes[0], (uintptr_t)fd, EVFILT_READ, wanted(interest & CV_POLL_READ), 0, 0,
           data_of(number));
    EV_SET(&changes[1], (uintptr_t)fd, EVFILT_WRITE, wanted(interest & CV_POLL_WRITE), 0, 0,
           data_of(number));
    change(poller, changes, 2);
}

void cv_poller_set_alarm(cv_poller *poller, int64_t due)
{
    struct kevent event;
    if (!due) {
        EV_SET(&event, ALARM, EVFILT_TIMER, EV_DELETE, 0, 0, NULL); /* if it is there */
    } else {
        /* Absolute times are of another clock on each system: relative ones are of one on all. */
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        int64_t left = due - ((int64_t)now.tv_sec * SECOND + now.tv_nsec);
        EV_SET(&event, ALARM, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_NSECONDS,
               left > 1 ? left : 1, data_of(poller->alarm));
    }
    change(poller->fd, &event, 1);
}

int cv_poller_wake(cv_poller *poller)
{
    struct kevent event;
    EV_SET(&event, WAKE, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL);
    return change(poller->fd, &event, 1) == 0;
}

int cv_poller_take(cv_poller *poller, cv_ready *ready, int most)
{
    return kevent(poller->fd, NULL, 0, ready, most, &AT_ONCE);
}

#else
typedef int cv_poller_kqueue_is_not_used; /* ISO C forbids an empty file */
#endif
