/* A folder whose files are answers, as a table of routes declares it. */
#ifndef COVET_FILE_FOLDER_H
#define COVET_FILE_FOLDER_H

#include "covet_engine.h"
#include "names.h"

enum { CV_FOLDER_FIXED = 4096 /* bytes of what all answers of a folder say */ };

/* Media types by the suffix of a name. */
typedef struct cv_media_types {
    cv_names suffixes; /* in lower case, to the number of a type */
    char **types;
    uint32_t count, room;
    char *other; /* of every other suffix */
} cv_media_types;

typedef struct cv_folder {
    char *path;
    char *index, *fallback; /* relative; "": none */
    char *cache, *page_cache; /* of Cache-Control; "": none */
    char *fields; /* lines of every answer */
    size_t fields_size;
    const cv_media_types *types;
    uint32_t number; /* in its table */
    int missing, failed, busy; /* answers of the table: 404, 412, 503 */
    uint8_t precompressed, hidden, queries;
} cv_folder;

/* Returns 0, -1: it was given what cannot be, -2: too much of it, -3: no memory. */
int cv_folder_make(cv_folder *folder, const cv_folder_options *options);
void cv_folder_clear(cv_folder *folder);

/* The same. The suffix "" is every other. */
int cv_media_types_add(cv_media_types *types, const char *suffix, const char *type);
void cv_media_types_clear(cv_media_types *types);
/* NULL if only Python can tell: the name has what it would look at. */
const char *cv_media_type_of(const cv_media_types *types, const char *name);

#endif
