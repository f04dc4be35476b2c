#define _GNU_SOURCE
#include "file_folder.h"

#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "head.h"

enum { SUFFIX = 32, NAME = 255 /* bytes of an index or fallback */ };

static char *copy(const char *text, int *failed)
{
    size_t size = strlen(text) + 1;
    char *made = malloc(size);
    if (!made) {
        *failed = 1;
        return NULL;
    }
    memcpy(made, text, size);
    return made;
}

/* A relative name of a file that leads downward, or nothing. */
static int is_relative(const char *name)
{
    if (!*name)
        return 1;
    for (const char *at = name;; at++) {
        size_t size = strcspn(at, "/");
        if (size == 0 || (size == 1 && at[0] == '.') || (size == 2 && at[0] == '.' && at[1] == '.'))
            return 0;
        at += size;
        if (!*at)
            return 1;
    }
}

static int is_value(const char *value)
{
    return cv_is_value((const uint8_t *)value, strlen(value));
}

int cv_folder_make(cv_folder *folder, const cv_folder_options *o)
{
    memset(folder, 0, sizeof *folder);
    if (!o->path || !*o->path || !o->index || !o->fallback || !o->cache || !o->page_cache ||
        !is_relative(o->index) || !is_relative(o->fallback) || !is_value(o->cache) ||
        !is_value(o->page_cache) ||
        !cv_fields_are_ready((const uint8_t *)o->fields, o->fields_size))
        return -1;
    if (o->fields_size + strlen(o->cache) + strlen(o->page_cache) > CV_FOLDER_FIXED ||
        strlen(o->index) > NAME || strlen(o->fallback) > NAME)
        return -2;
    int failed = 0;
    folder->path = copy(o->path, &failed);
    folder->index = copy(o->index, &failed);
    folder->fallback = copy(o->fallback, &failed);
    folder->cache = copy(o->cache, &failed);
    folder->page_cache = copy(o->page_cache, &failed);
    folder->fields = malloc(o->fields_size + 1);
    if (failed || !folder->fields) {
        cv_folder_clear(folder);
        return -3;
    }
    if (o->fields_size)
        memcpy(folder->fields, o->fields, o->fields_size);
    folder->fields_size = o->fields_size;
    folder->missing = o->missing;
    folder->failed = o->failed;
    folder->busy = o->busy;
    folder->precompressed = o->precompressed;
    folder->hidden = o->hidden;
    folder->queries = o->queries;
    return 0;
}

void cv_folder_clear(cv_folder *folder)
{
    free(folder->path);
    free(folder->index);
    free(folder->fallback);
    free(folder->cache);
    free(folder->page_cache);
    free(folder->fields);
    memset(folder, 0, sizeof *folder);
}

/* Media types */

int cv_media_types_add(cv_media_types *types, const char *suffix, const char *type)
{
    size_t size = strlen(suffix);
    int failed = 0;
    if (size >= SUFFIX || (size && suffix[0] != '.') || !*type || strlen(type) > 255 ||
        !is_value(type))
        return -1;
    if (types->count == types->room) {
        uint32_t room = types->room ? types->room * 2 : 128;
        char **grown = realloc(types->types, room * sizeof *grown);
        if (!grown)
            return -3;
        types->types = grown;
        types->room = room;
    }
    char *made = copy(type, &failed);
    if (failed)
        return -3;
    if (!size) {
        free(types->other);
        types->other = made;
        return 0;
    }
    int64_t known = cv_names_find(&types->suffixes, (const uint8_t *)suffix, size);
    if (known >= 0) {
        free(types->types[known]);
        types->types[known] = made;
        return 0;
    }
    if (cv_names_add(&types->suffixes, (const uint8_t *)suffix, size, types->count) < 0) {
        free(made);
        return -3;
    }
    types->types[types->count++] = made;
    return 0;
}

void cv_media_types_clear(cv_media_types *types)
{
    for (uint32_t i = 0; i < types->count; i++)
        free(types->types[i]);
    free(types->types);
    free(types->other);
    cv_names_clear(&types->suffixes);
    memset(types, 0, sizeof *types);
}

const char *cv_media_type_of(const cv_media_types *types, const char *name)
{
    uint8_t suffix[SUFFIX];
    const char *slash = strrchr(name, '/');
    name = slash ? slash + 1 : name;
    /* A name like "data:x" is another thing to Python's table, and what of ".x" is its suffix is
     * nothing that everybody agrees on. */
    if (*name == '.' || strchr(name, ':'))
        return NULL;
    const char *dot = strrchr(name, '.');
    size_t size = dot ? strlen(dot) : 0;
    if (size < 2 || size >= SUFFIX)
        return dot && size >= SUFFIX ? NULL : types->other;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)dot[i];
        if (byte >= 0x80)
            return NULL;
        suffix[i] = byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte | 0x20) : byte;
    }
    int64_t found = cv_names_find(&types->suffixes, suffix, size);
    return found < 0 ? types->other : types->types[found];
}
