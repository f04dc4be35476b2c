#define _GNU_SOURCE
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_beneath.h"

enum {
    KEPT = 128, /* files: descriptors are scarce, and connections need them too */
    WINDOW = 512 * 1024 /* of a file is asked for when it is opened */
};

/* A file that is kept is opened anew after this, since what is above it may have become a link; and
 * what was not beside it is looked for again. */
#define TRUSTED INT64_C(1000000000)

struct cv_root {
    int fd; /* -1: not open */
    uint64_t turn;
    uint64_t device, inode;
};

void cv_files_init(cv_files *files, uint32_t most, uint64_t *open)
{
    memset(files, 0, sizeof *files);
    files->most = most;
    files->open = open;
}

/* The table */

static uint32_t hash_of(uint32_t folder, const char *name)
{
    uint32_t hash = 2166136261u ^ folder;
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619u;
    return hash;
}

static void unlink_use(cv_files *files, cv_file *file)
{
    if (file->newer)
        file->newer->older = file->older;
    else
        files->newest = file->older;
    if (file->older)
        file->older->newer = file->newer;
    else
        files->oldest = file->newer;
    file->newer = file->older = NULL;
}

static void link_use(cv_files *files, cv_file *file)
{
    file->older = files->newest;
    if (files->newest)
        files->newest->newer = file;
    else
        files->oldest = file;
    files->newest = file;
}

static void drop(cv_files *files, cv_file *file)
{
    cv_file **at = &files->buckets[file->hash % CV_FILE_BUCKETS];
    while (*at != file)
        at = &(*at)->chain;
    *at = file->chain;
    unlink_use(files, file);
    file->kept = 0;
    files->kept--;
    cv_file_release(file);
}

/* Whoever holds it gives that to the table. */
static void keep(cv_files *files, cv_file *file)
{
    while (files->kept >= KEPT)
        drop(files, files->oldest);
    cv_file **bucket = &files->buckets[file->hash % CV_FILE_BUCKETS];
    file->chain = *bucket;
    *bucket = file;
    link_use(files, file);
    file->kept = 1;
    files->kept++;
}

static cv_file *kept(const cv_files *files, uint32_t hash, uint32_t folder, const char *name)
{
    cv_file *file = files->buckets[hash % CV_FILE_BUCKETS];
    while (file && (file->hash != hash || file->folder != folder || strcmp(file->name, name) != 0))
        file = file->chain;
    return file;
}

/* Close one that nobody sends. Returns whether there was one. */
static int make_room(cv_files *files)
{
    for (cv_file *file = files->oldest; file; file = file->newer) {
        if (file->holds == 1) {
            drop(files, file);
            return 1;
        }
    }
    return 0;
}

void cv_files_forget(cv_files *files)
{
    while (files->oldest)
        drop(files, files->oldest);
    for (uint32_t i = 0; i < files->root_count; i++)
        if (files->roots[i].fd >= 0)
            close(files->roots[i].fd);
    free(files->roots);
    files->roots = NULL;
    files->root_count = 0;
}

/* Holds */

void cv_file_hold(cv_file *file)
{
    file->holds++;
}

void cv_file_release(cv_file *file)
{
    if (--file->holds)
        return;
    close(file->fd);
    --*file->files->open;
    free(file);
}

cv_file *cv_files_adopt(cv_files *files, int fd)
{
    cv_file *file = calloc(1, sizeof *file + 1);
    if (!file) {
        close(fd);
        return NULL;
    }
    file->files = files;
    file->fd = fd;
    file->holds = 1;
    ++*files->open;
    return file;
}

int64_t cv_file_read(const cv_file *file, void *into, size_t size, uint64_t at)
{
    size_t done = 0;
    while (done < size) {
        ssize_t part = pread(file->fd, (char *)into + done, size - done, (off_t)(at + done));
        if (part < 0 && errno == EINTR)
            continue;
        if (part < 0)
            return -1;
        if (part == 0)
            break;
        done += (size_t)part;
    }
    return (int64_t)done;
}

/* Finding */

static enum cv_lookup why(int error)
{
    if (cv_beneath_is_missing(error))
        return CV_MISSING;
    return error == EMFILE || error == ENFILE ? CV_TOO_MANY : CV_TROUBLE;
}

static void describe(cv_file *file, const struct stat *status)
{
    uint64_t size = file->size;
    int64_t seconds = file->seconds;
    uint32_t nanoseconds = file->nanoseconds;
    file->size = (uint64_t)status->st_size;
    file->device = (uint64_t)status->st_dev;
    file->inode = (uint64_t)status->st_ino;
#ifdef __APPLE__
    file->seconds = status->st_mtimespec.tv_sec;
    file->nanoseconds = (uint32_t)status->st_mtimespec.tv_nsec;
#else
    file->seconds = status->st_mtim.tv_sec;
    file->nanoseconds = (uint32_t)status->st_mtim.tv_nsec;
#endif
    if (file->size != size || file->seconds != seconds || file->nanoseconds != nanoseconds)
        file->stamp_size = 0;
}

/* The folder itself, which a deployment may switch to another by the link that leads to it. Returns
 * its descriptor, or -1 with errno. */
static int root_of(cv_files *files, const cv_folder *folder, uint64_t turn)
{
    if (folder->number >= files->root_count) {
        uint32_t count = folder->number + 1;
        struct cv_root *roots = realloc(files->roots, count * sizeof *roots);
        if (!roots) {
            errno = ENOMEM;
            return -1;
        }
        for (uint32_t i = files->root_count; i < count; i++)
            roots[i] = (struct cv_root){.fd = -1};
        files->roots = roots;
        files->root_count = count;
    }
    struct cv_root *root = &files->roots[folder->number];
    struct stat status;
    if (root->fd >= 0 && root->turn == turn)
        return root->fd;
    if (root->fd >= 0 && stat(folder->path, &status) == 0 &&
        (uint64_t)status.st_dev == root->device && (uint64_t)status.st_ino == root->inode) {
        root->turn = turn;
        return root->fd;
    }
    if (root->fd >= 0)
        close(root->fd);
    root->fd = cv_folder_open(folder->path);
    while (root->fd < 0 && (errno == EMFILE || errno == ENFILE) && make_room(files))
        root->fd = cv_folder_open(folder->path);
    if (root->fd < 0)
        return -1;
    if (fstat(root->fd, &status) < 0) {
        int error = errno;
        close(root->fd);
        root->fd = -1;
        errno = error;
        return -1;
    }
    root->turn = turn;
    root->device = (uint64_t)status.st_dev;
    root->inode = (uint64_t)status.st_ino;
    return root->fd;
}

static enum cv_lookup open_file(cv_files *files, int root, const char *name, cv_file **found)
{
    if (*files->open >= files->most && !make_room(files))
        return CV_TOO_MANY;
    int fd = cv_beneath_open(root, name);
    while (fd < 0 && (errno == EMFILE || errno == ENFILE) && make_room(files))
        fd = cv_beneath_open(root, name);
    if (fd < 0)
        return why(errno);
    struct stat status;
    enum cv_lookup result = CV_TROUBLE;
    if (fstat(fd, &status) == 0)
        result = S_ISREG(status.st_mode)   ? CV_FOUND
                 : S_ISDIR(status.st_mode) ? CV_IS_FOLDER
                                           : CV_MISSING;
    size_t size = strlen(name) + 1;
    cv_file *file = result == CV_FOUND ? malloc(sizeof *file + size) : NULL;
    if (!file) {
        close(fd);
        return result == CV_FOUND ? CV_TOO_MANY : result;
    }
    memset(file, 0, sizeof *file);
    memcpy(file->name, name, size);
    file->files = files;
    file->fd = fd;
    file->holds = 1;
    describe(file, &status);
    ++*files->open;
#ifdef POSIX_FADV_WILLNEED
    /* What is not in memory begins to come while the head is written. */
    if (file->size > 0)
        posix_fadvise(fd, 0, (off_t)(file->size < WINDOW ? file->size : WINDOW),
                      POSIX_FADV_WILLNEED);
#endif
    *found = file;
    return CV_FOUND;
}

int cv_files_lack(const cv_files *files, const cv_folder *folder, const char *name, int coding,
                  cv_time now)
{
    const cv_file *file = kept(files, hash_of(folder->number, name), folder->number, name);
    return file && file->absent >> coding & 1 && now - file->looked < TRUSTED;
}

void cv_file_lacks(cv_file *file, unsigned codings, cv_time now)
{
    if (now - file->looked >= TRUSTED) {
        file->absent = 0;
        file->looked = now;
    }
    file->absent |= (uint8_t)codings;
}

enum cv_lookup cv_files_find(cv_files *files, const cv_folder *folder, const char *name,
                             uint64_t turn, cv_time now, cv_file **found)
{
    uint32_t hash = hash_of(folder->number, name);
    cv_file *file = kept(files, hash, folder->number, name);
    if (!file || file->turn != turn) {
        int root = root_of(files, folder, turn);
        if (root < 0)
            return why(errno);
        struct stat status;
        if (file && now - file->opened < TRUSTED &&
            fstatat(root, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            file->device == (uint64_t)status.st_dev && file->inode == (uint64_t)status.st_ino) {
            describe(file, &status);
        } else {
            if (file)
                drop(files, file);
            enum cv_lookup result = open_file(files, root, name, &file);
            if (result != CV_FOUND)
                return result;
            file->hash = hash;
            file->folder = folder->number;
            file->opened = now;
            keep(files, file);
        }
        file->turn = turn;
    }
    unlink_use(files, file);
    link_use(files, file);
    cv_file_hold(file);
    *found = file;
    return CV_FOUND;
}
