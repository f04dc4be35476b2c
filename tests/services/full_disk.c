/* Loaded before the C library of a server: while the file that COVET_FULL_DISK names is there, no file
 * grows, as on a disk without a free block. What is already there can be read and written over. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int full(int file, off_t end)
{
    struct stat status;
    const char *flag = getenv("COVET_FULL_DISK");
    if (flag == NULL || access(flag, F_OK) != 0)
        return 0;
    return fstat(file, &status) == 0 && S_ISREG(status.st_mode) && end > status.st_size;
}

static off_t here(int file)
{
    int flags = fcntl(file, F_GETFL);
    return lseek(file, 0, flags != -1 && (flags & O_APPEND) ? SEEK_END : SEEK_CUR);
}

static size_t total(const struct iovec *parts, int count)
{
    size_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += parts[i].iov_len;
    return sum;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define REFUSE_IF_FULL(file, end)                                                                  \
    do {                                                                                           \
        if (full(file, end)) {                                                                     \
            errno = ENOSPC;                                                                        \
            return -1;                                                                             \
        }                                                                                          \
    } while (0)

ssize_t write(int file, const void *data, size_t size)
{
    REFUSE_IF_FULL(file, here(file) + (off_t)size);
    return REAL(write)(file, data, size);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at)
{
    REFUSE_IF_FULL(file, at + (off_t)size);
    return REAL(pwrite)(file, data, size, at);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at)
{
    REFUSE_IF_FULL(file, at + (off_t)size);
    return REAL(pwrite64)(file, data, size, at);
}

ssize_t pwritev(int file, const struct iovec *parts, int count, off_t at)
{
    REFUSE_IF_FULL(file, at + (off_t)total(parts, count));
    return REAL(pwritev)(file, parts, count, at);
}

ssize_t pwritev64(int file, const struct iovec *parts, int count, off64_t at)
{
    REFUSE_IF_FULL(file, at + (off_t)total(parts, count));
    return REAL(pwritev64)(file, parts, count, at);
}

int fallocate(int file, int mode, off_t at, off_t size)
{
    REFUSE_IF_FULL(file, at + size);
    return REAL(fallocate)(file, mode, at, size);
}

int fallocate64(int file, int mode, off64_t at, off64_t size)
{
    REFUSE_IF_FULL(file, at + size);
    return REAL(fallocate64)(file, mode, at, size);
}

int posix_fallocate(int file, off_t at, off_t size)
{
    return full(file, at + size) ? ENOSPC : REAL(posix_fallocate)(file, at, size);
}

int posix_fallocate64(int file, off64_t at, off64_t size)
{
    return full(file, at + size) ? ENOSPC : REAL(posix_fallocate64)(file, at, size);
}
