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
    uint8_t absent; /* a bit for each coding that it is not stored in beside */
    uint8_t stamp_size; /* 0: stamp and modified are not written */
    cv_time looked; /* for those */
    uint64_t size;
    int64_t seconds; /* of its last change */
    uint32_t nanoseconds;
    uint64_t device, inode;
    char stamp[34]; /* of its entity tag: what tells one state of it from another */
    char modified[30]; /* as HTTP writes it */
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

/* Whether a file is known not to be stored in a coding beside. That is believed for a second: what is
 * sent until then is the same, and no larger than it was. */
int cv_files_lack(const cv_files *files, const cv_folder *folder, const char *name, int coding,
                  cv_time now);
void cv_file_lacks(cv_file *file, unsigned codings, cv_time now);

/* A descriptor that is the engine's from now on; NULL, and it is closed, without memory for it. */
cv_file *cv_files_adopt(cv_files *files, int fd);

void cv_file_hold(cv_file *file);
void cv_file_release(cv_file *file);

/* Bytes of it at an offset, until there are `size` or it ends. Returns how many, or -1. */
int64_t cv_file_read(const cv_file *file, void *into, size_t size, uint64_t at);

#endif
