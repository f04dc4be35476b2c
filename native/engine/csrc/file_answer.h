/* What a request for a file of a folder is answered with. */
#ifndef COVET_FILE_ANSWER_H
#define COVET_FILE_ANSWER_H

#include "core.h"
#include "file.h"
#include "file_ranges.h"

enum {
    CV_ETAG = 64,
    CV_BOUNDARY = 32,
    CV_FILE_HEAD = CV_FOLDER_FIXED + 1024 /* bytes that hold all that is said of a file at once */
};

/* An answer that was decided on, before anything of it is said. */
typedef struct cv_file_reply {
    cv_file *file; /* held */
    const cv_folder *folder;
    const char *type;
    const char *cache; /* "": none */
    int coding; /* enum cv_coding, -1: none */
    int status; /* 200, 206, 304 */
    int count; /* ranges of a 206 */
    uint64_t size; /* of the file */
    uint64_t bytes; /* of the body */
    cv_range ranges[CV_RANGES];
    char etag[CV_ETAG];
    char boundary[CV_BOUNDARY + 1];
} cv_file_reply;

/* Decide. Returns 1 with a reply, or 0: then `match` has an answer of the table, or none, and Python
 * is asked as if there were no folder. `old`: HTTP/1.0. */
int cv_file_decide(cv_core *core, const uint8_t *at, const cv_head *head, cv_match *match,
                   cv_file_reply *reply);

/* Its status line and fields, without the length. Returns the size. */
size_t cv_file_head(const cv_file_reply *reply, char into[CV_FILE_HEAD]);
/* What stands before a range, where there are several, and behind the last. Returns the size. */
size_t cv_file_part_head(const cv_file_reply *reply, int index, char into[CV_FILE_HEAD]);
size_t cv_file_part_end(const cv_file_reply *reply, char into[CV_FILE_HEAD]);

/* Say it, in the connection's turn, or to the exchange whose turn has not come. Lets go of the file. */
void cv_file_say(cv_core *core, cv_connection *c, cv_exchange *x, cv_file_reply *reply,
                 uint32_t flags);

#endif
