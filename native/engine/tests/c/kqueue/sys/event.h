/* So much of kqueue as the engine uses, over epoll: for tests of csrc/poller_kqueue.c on Linux. */
#ifndef COVET_TEST_EVENT_H
#define COVET_TEST_EVENT_H

#include <stdint.h>
#include <time.h>

enum { EVFILT_READ = -1, EVFILT_WRITE = -2, EVFILT_TIMER = -7, EVFILT_USER = -11 };
enum {
    EV_ADD = 0x0001,
    EV_DELETE = 0x0002,
    EV_ENABLE = 0x0004,
    EV_DISABLE = 0x0008,
    EV_ONESHOT = 0x0010,
    EV_CLEAR = 0x0020,
    EV_EOF = 0x8000
};
enum { NOTE_NSECONDS = 0x00000008, NOTE_TRIGGER = 0x01000000 };

struct kevent {
    uintptr_t ident;
    int16_t filter;
    uint16_t flags;
    uint32_t fflags;
    int64_t data;
    void *udata;
};

#define EV_SET(event, a, b, c, d, e, f)                                                            \
    (*(event) = (struct kevent){(uintptr_t)(a), (int16_t)(b), (uint16_t)(c), (uint32_t)(d),        \
                                (int64_t)(e), (f)})

/* A real system forgets what was asked for a descriptor when that is closed; the shim has to be told. */
int kqueue_close(int fd);
#define close kqueue_close

int kqueue(void);
int kevent(int queue, const struct kevent *changes, int change_count, struct kevent *events,
           int event_count, const struct timespec *timeout);

#endif
