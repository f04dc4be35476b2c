#define _GNU_SOURCE
#include "file_beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/syscall.h>
#if defined(SYS_openat2) && __has_include(<linux/openat2.h>)
#include <linux/openat2.h>
#define HAS_OPENAT2 1
#endif
#endif

#ifndef O_PATH
#define O_PATH O_RDONLY
#endif

/* A pipe without a writer would keep whoever opens it, a terminal would become ours. */
enum {
    READ = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY,
    WALK = O_PATH | O_DIRECTORY | O_CLOEXEC,
    ATTEMPTS = 8 /* while others rename what is above */
};

int cv_folder_open(const char *path)
{
    return open(path, WALK);
}

int cv_beneath_open_by_steps(int folder, const char *name)
{
    int here = folder;
    for (;;) {
        const char *slash = strchr(name, '/');
        size_t size = slash ? (size_t)(slash - name) : strlen(name);
        char segment[NAME_MAX + 1];
        int there = -1, error = ENAMETOOLONG;
        if (size <= NAME_MAX) {
            memcpy(segment, name, size);
            segment[size] = '\0';
            there = openat(here, segment, (slash ? WALK : READ) | O_NOFOLLOW);
            error = errno;
        }
        if (here != folder)
            close(here);
        if (there < 0 || !slash) {
            errno = error;
            return there;
        }
        here = there;
        name = slash + 1;
    }
}

#ifdef HAS_OPENAT2
static int open_at_once(int folder, const char *name)
{
    struct open_how how = {
        .flags = READ,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    for (int i = 0; i < ATTEMPTS; i++) {
        int fd = (int)syscall(SYS_openat2, folder, name, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            return fd;
    }
    return -1;
}

int cv_beneath_open(int folder, const char *name)
{
    static _Atomic int refused; /* by this kernel, or by what watches over the process */
    if (!refused) {
        int fd = open_at_once(folder, name);
        if (fd >= 0 || (errno != ENOSYS && errno != EPERM && errno != EAGAIN && errno != EINVAL))
            return fd;
        if (errno == ENOSYS)
            refused = 1;
    }
    return cv_beneath_open_by_steps(folder, name);
}
#else
int cv_beneath_open(int folder, const char *name)
{
    return cv_beneath_open_by_steps(folder, name);
}
#endif

int cv_beneath_is_missing(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case EACCES:
    case EPERM:
    case ENAMETOOLONG:
    case ENXIO:
    case ENODEV:
    case EINVAL:
    case EMLINK:
    case EXDEV:
        return 1;
    default:
        return 0;
    }
}
