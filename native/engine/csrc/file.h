/* Open files: what is sent, and those kept open for the next who asks.
 *
 * A file is held by whoever sends it and by the table of those that are kept. What is in the table is
 * looked at again in each turn, so that nobody is sent what was there before. */
#ifndef COVET_FILE_H
#define COVET_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "file_folder.h"
#include "timers.h"

typedef struct cv_files cv_files;
typedef struct cv_file cv_file;

struct cv_file {
    cv_files *files;
    cv_file *chain; /* of one bucket */
    cv_file *newer, *older; /* in the table */
    uint64_t turn; /* it was looked at in */
    cv_time opened;
    int fd;
    uint32_t holds;
    uint32_t hash;
    uint32_t folder; /* number */
    uint8_t kept; /* in the table */
    uint64_t size;
    int64_t seconds; /* of its last change */
    uint32_t nanoseconds;
    uint64_t device, inode;
    char name[];
};

enum { CV_FILE_BUCKETS = 256 };

struct cv_files {
    cv_file *buckets[CV_FILE_BUCKETS];
    cv_file *newest, *oldest;
    struct cv_root *roots; /* by folder */
    uint32_t root_count;
    uint32_t kept;
    uint32_t most; /* open at once */
    uint64_t *open; /* now; a counter that others read */
};

enum cv_lookup {
    CV_FOUND,
    CV_MISSING, /* there is no such file */
    CV_IS_FOLDER, /* the name is a folder's */
    CV_TOO_MANY, /* no file can be opened now */
    CV_TROUBLE /* of the system's, of which Python makes what it makes of it elsewhere */
};

void cv_files_init(cv_files *files, uint32_t most, uint64_t *open);
/* Close what is kept: with the end of a phase its folders are others. Those that are sent stay open. */
void cv_files_forget(cv_files *files);

/* The file of this name, held; or why not. `turn`: what was looked at in it is not looked at again. */
enum cv_lookup cv_files_find(cv_files *files, const cv_folder *folder, const char *name,
                             uint64_t turn, cv_time now, cv_file **file);

/* A descriptor that is the engine's from now on; NULL, and it is closed, without memory for it. */
cv_file *cv_files_adopt(cv_files *files, int fd);

void cv_file_hold(cv_file *file);
void cv_file_release(cv_file *file);

/* Bytes of it at an offset, until there are `size` or it ends. Returns how many, or -1. */
int64_t cv_file_read(const cv_file *file, void *into, size_t size, uint64_t at);

#endif
