/* The shim behind `sys/event.h`. A queue is an epoll set with a timerfd and an eventfd in it, and a table
 * of what was asked for each descriptor, which a real system keeps too. */
#define _GNU_SOURCE
#include "sys/event.h"
#undef close

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { QUEUES = 256, FILES = 65536, BATCH = 512 };

typedef struct wanted {
    void *udata;
    uint8_t read, write; /* 0: not asked for, 1: it is, 2: disabled */
} wanted;

typedef struct queue {
    int fd, timer, user; /* 0: free */
    void *timer_data, *user_data;
    wanted *files;
    uint8_t armed;
} queue;

static queue queues[QUEUES]; /* from 1 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static queue *find(int fd)
{
    for (int at = 1; at < QUEUES; at++)
        if (queues[at].fd == fd)
            return &queues[at];
    errno = fd ? EBADF : EMFILE;
    return NULL;
}

static int kept(int queue, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)fd};
    epoll_ctl(queue, EPOLL_CTL_ADD, fd, &event);
    return fd;
}

int kqueue(void)
{
    pthread_mutex_lock(&lock);
    queue *q = find(0);
    int fd = q ? epoll_create1(EPOLL_CLOEXEC) : -1;
    if (fd >= 0) {
        q->fd = fd;
        q->files = calloc(FILES, sizeof *q->files);
        q->timer = kept(fd, timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
        q->user = kept(fd, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

int kqueue_close(int fd)
{
    pthread_mutex_lock(&lock);
    queue *q = fd > 0 ? find(fd) : NULL;
    if (q) {
        close(q->timer);
        close(q->user);
        free(q->files);
        memset(q, 0, sizeof *q);
    }
    for (int at = 1; at < QUEUES && fd >= 0 && fd < FILES; at++)
        if (queues[at].fd)
            memset(&queues[at].files[fd], 0, sizeof(wanted));
    int result = close(fd);
    pthread_mutex_unlock(&lock);
    return result;
}

static int update(queue *q, int fd, wanted *w)
{
    struct epoll_event event = {.data.u64 = (uint64_t)fd};
    event.events = (w->read == 1 ? EPOLLIN | EPOLLRDHUP : 0u) | (w->write == 1 ? EPOLLOUT : 0u);
    if (!event.events) { /* else epoll would tell of errors that nobody asked for */
        epoll_ctl(q->fd, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    if (epoll_ctl(q->fd, EPOLL_CTL_MOD, fd, &event) == 0)
        return 0;
    return errno == ENOENT ? epoll_ctl(q->fd, EPOLL_CTL_ADD, fd, &event) : -1;
}

static int change(queue *q, const struct kevent *asked)
{
    int fd = (int)asked->ident;
    if (asked->filter == EVFILT_TIMER) {
        struct itimerspec when = {0};
        if (asked->flags & EV_DELETE) {
            if (!q->armed) {
                errno = ENOENT;
                return -1;
            }
        } else {
            when.it_value.tv_sec = asked->data / 1000000000;
            when.it_value.tv_nsec = asked->data % 1000000000;
            q->timer_data = asked->udata;
        }
        q->armed = !(asked->flags & EV_DELETE);
        return timerfd_settime(q->timer, 0, &when, NULL);
    }
    if (asked->filter == EVFILT_USER) {
        if (asked->flags & EV_ADD)
            q->user_data = asked->udata;
        uint64_t one = 1;
        if (asked->fflags & NOTE_TRIGGER && write(q->user, &one, sizeof one) != sizeof one)
            return -1;
        return 0;
    }
    if (fd < 0 || fd >= FILES) {
        errno = EBADF;
        return -1;
    }
    wanted *w = &q->files[fd];
    uint8_t *slot = asked->filter == EVFILT_READ ? &w->read : &w->write;
    if (asked->flags & EV_DELETE)
        *slot = 0;
    else if (asked->flags & EV_ADD || *slot)
        *slot = asked->flags & EV_DISABLE ? 2 : 1;
    if (asked->flags & EV_ADD)
        w->udata = asked->udata;
    return update(q, fd, w);
}

static int told(int fd, const wanted *w, uint32_t events, struct kevent *into, int room)
{
    int count = 0, error = 0;
    socklen_t size = sizeof error;
    if (events & EPOLLERR)
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    uint32_t over = events & (EPOLLHUP | EPOLLERR);
    if (w->read == 1 && events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) && count < room)
        EV_SET(&into[count++], fd, EVFILT_READ,
               over || events & EPOLLRDHUP ? EV_EOF : 0, error, 0, w->udata);
    if (w->write == 1 && events & (EPOLLOUT | EPOLLHUP | EPOLLERR) && count < room)
        EV_SET(&into[count++], fd, EVFILT_WRITE, over ? EV_EOF : 0, error, 0, w->udata);
    return count;
}

int kevent(int fd, const struct kevent *changes, int change_count, struct kevent *events,
           int event_count, const struct timespec *timeout)
{
    (void)timeout; /* the engine never waits */
    pthread_mutex_lock(&lock);
    queue *q = fd > 0 ? find(fd) : NULL;
    int result = q ? 0 : -1;
    for (int i = 0; i < change_count && result == 0; i++)
        result = change(q, &changes[i]);
    if (result == 0 && event_count > 0) {
        struct epoll_event ready[BATCH];
        int most = event_count / 2 < BATCH ? event_count / 2 : BATCH;
        int count = epoll_wait(fd, ready, most, 0);
        for (int i = 0; i < count; i++) {
            int at = (int)ready[i].data.u64;
            uint64_t value;
            if (at == q->timer) {
                q->armed = 0; /* EV_ONESHOT */
                if (read(q->timer, &value, sizeof value) == sizeof value)
                    EV_SET(&events[result++], 1, EVFILT_TIMER, 0, 0, 1, q->timer_data);
            } else if (at == q->user) {
                if (read(q->user, &value, sizeof value) == sizeof value)
                    EV_SET(&events[result++], 1, EVFILT_USER, 0, 0, 0, q->user_data);
            } else {
                result += told(at, &q->files[at], ready[i].events, &events[result], event_count - result);
            }
        }
        if (count < 0)
            result = -1;
    }
    pthread_mutex_unlock(&lock);
    return result;
}
