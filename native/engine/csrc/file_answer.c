#define _GNU_SOURCE
#include "file_answer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "date.h"
#include "file_accept.h"
#include "file_codings.h"
#include "file_conditions.h"
#include "file_name.h"
#include "file_put.h"
#include "reply.h"
#include "status.h"

enum {
    SETTLED = 2 /* seconds; a file that changed later might change again without its time changing */
};

/* Deciding */

typedef struct asked {
    cv_core *core;
    const uint8_t *at;
    const cv_head *head;
    const cv_folder *folder;
    cv_conditions conditions;
    enum cv_coding codings[CV_CODINGS];
    int coding_count;
} asked;

static enum cv_lookup find(const asked *is, const char *name, cv_file **file)
{
    cv_core *core = is->core;
    return cv_files_find(&core->files, is->folder, name, core->turn, core->now, file);
}

/* The file of a name, or one beside it that is stored in a coding the client takes. */
static enum cv_lookup find_variant(const asked *is, char name[CV_FILE_NAME], cv_file_reply *reply)
{
    size_t size = strlen(name);
    unsigned lacks = 0;
    for (int i = 0; i < is->coding_count; i++) {
        if (cv_files_lack(&is->core->files, is->folder, name, (int)is->codings[i], is->core->now))
            continue;
        strcpy(name + size, cv_coding_names[is->codings[i]].suffix);
        enum cv_lookup found = find(is, name, &reply->file);
        name[size] = '\0';
        if (found == CV_FOUND) {
            reply->coding = is->codings[i];
            return found;
        }
        if (found == CV_TOO_MANY || found == CV_TROUBLE)
            return found;
        lacks |= 1u << is->codings[i];
    }
    reply->coding = -1;
    enum cv_lookup found = find(is, name, &reply->file);
    if (found == CV_FOUND && lacks)
        cv_file_lacks(reply->file, lacks, is->core->now);
    return found;
}

/* Whether both of the file's times can be said as Python says them. */
static int is_sayable(int64_t seconds)
{
    return seconds >= 0 && seconds < INT64_C(253402300799); /* the year 9999 */
}

/* What of tag and time is the same until the file changes. */
static void stamp(cv_file *file, double time)
{
    char line[CV_DATE_SIZE + 1];
    uint64_t nanoseconds = (uint64_t)file->seconds * UINT64_C(1000000000) + file->nanoseconds;
    file->stamp_size =
        (uint8_t)snprintf(file->stamp, sizeof file->stamp, "%llx-%llx",
                          (unsigned long long)nanoseconds, (unsigned long long)file->size);
    /* Rounded to microseconds, which may be the next second. */
    int64_t said = (int64_t)time;
    if (rint((time - (double)said) * 1e6) >= 1e6)
        said++;
    cv_date_write(line, said);
    memcpy(file->modified, line + 6, CV_DATE_SIZE - 8);
    file->modified[CV_DATE_SIZE - 8] = '\0';
}

/* Tag and time, as covet-http makes them. */
static void validate(cv_file_reply *reply, cv_validators *v, double now)
{
    cv_file *file = reply->file;
    double time = (double)file->seconds + 1e-9 * file->nanoseconds;
    v->modified = (int64_t)time;
    v->settled = now - time > SETTLED;
    if (!file->stamp_size)
        stamp(file, time);
    char *to = reply->etag;
    if (!v->settled) {
        *to++ = 'W';
        *to++ = '/';
    }
    *to++ = '"';
    memcpy(to, file->stamp, file->stamp_size);
    to += file->stamp_size;
    if (reply->coding >= 0) {
        *to++ = '-';
        to = stpcpy(to, cv_coding_names[reply->coding].name);
    }
    *to++ = '"';
    *to = '\0';
    v->etag = (const uint8_t *)reply->etag;
    v->etag_size = (size_t)(to - reply->etag);
}

size_t cv_file_part_head(const cv_file_reply *reply, int index, char into[CV_FILE_HEAD])
{
    const cv_range *range = &reply->ranges[index];
    return (size_t)snprintf(into, CV_FILE_HEAD,
                            "%s--%s\r\ncontent-type: %s\r\ncontent-range: bytes %llu-%llu/%llu\r\n\r\n",
                            index ? "\r\n" : "", reply->boundary, reply->type,
                            (unsigned long long)range->first, (unsigned long long)range->last,
                            (unsigned long long)reply->size);
}

size_t cv_file_part_end(const cv_file_reply *reply, char into[CV_FILE_HEAD])
{
    return (size_t)snprintf(into, CV_FILE_HEAD, "\r\n--%s--\r\n", reply->boundary);
}

/* What a range asks for. Returns 0 if nothing of it is there. */
static int choose_range(const asked *is, const cv_validators *v, int64_t now, cv_file_reply *reply)
{
    cv_span range = is->conditions.range;
    if (!range.at || is->head->method != CV_METHOD_GET ||
        !cv_range_applies(is->at, &is->conditions, v, now))
        return 1;
    int count = cv_ranges_read(is->at + range.at, range.size, reply->size, reply->ranges);
    if (count < 0)
        return 1;
    reply->status = 206;
    reply->count = count;
    reply->bytes = 0;
    for (int i = 0; i < count; i++)
        reply->bytes += reply->ranges[i].last - reply->ranges[i].first + 1;
    if (count > 1) {
        char text[CV_FILE_HEAD];
        cv_random_hex(reply->boundary, CV_BOUNDARY);
        for (int i = 0; i < count; i++)
            reply->bytes += cv_file_part_head(reply, i, text);
        reply->bytes += cv_file_part_end(reply, text);
    }
    return count > 0;
}

/* An answer of the table in place of a file, or Python's. */
static int instead(const asked *is, cv_match *match, int answer)
{
    if (answer >= 0)
        match->answer = cv_routes_answer(is->core->routes, (uint32_t)answer);
    return 0;
}

/* What browsers get that go to a page which is no file. */
static enum cv_lookup find_fallback(const asked *is, char name[CV_FILE_NAME], cv_file_reply *reply)
{
    cv_span accept = is->conditions.accept;
    int wants = cv_accepts_page(is->at + accept.at, accept.size);
    if (wants <= 0)
        return wants < 0 ? CV_TROUBLE : CV_MISSING;
    strcpy(name, is->folder->fallback);
    reply->cache = is->folder->page_cache;
    enum cv_lookup found = find_variant(is, name, reply);
    return found == CV_IS_FOLDER ? CV_MISSING : found;
}

/* The file that answers, and as what. Returns CV_IS_FOLDER where a slash is missing. */
static enum cv_lookup find_answer(const asked *is, enum cv_name_kind kind, char name[CV_FILE_NAME],
                                  cv_file_reply *reply)
{
    const cv_folder *folder = is->folder;
    reply->cache = folder->cache;
    if (kind == CV_NAME_FILE) {
        enum cv_lookup found = find_variant(is, name, reply);
        return found == CV_IS_FOLDER && !*folder->index ? CV_MISSING : found;
    }
    if (!*folder->index)
        return CV_MISSING;
    size_t size = strlen(name);
    if (strlen(folder->index) + size + 8 > CV_FILE_NAME)
        return CV_TROUBLE;
    if (size)
        name[size++] = '/';
    strcpy(name + size, folder->index);
    reply->cache = folder->page_cache;
    enum cv_lookup found = find_variant(is, name, reply);
    return found == CV_IS_FOLDER ? CV_MISSING : found;
}

int cv_file_decide(cv_core *core, const uint8_t *at, const cv_head *head, cv_match *match,
                   cv_file_reply *reply)
{
    asked is = {.core = core, .at = at, .head = head, .folder = match->folder};
    const cv_folder *folder = is.folder;
    cv_span path = match->params ? match->param[0] : (cv_span){0, 0};
    char name[CV_FILE_NAME];
    if ((head->flags & CV_HEAD_QUERY) && !folder->queries)
        return 0;
    enum cv_name_kind kind = cv_file_name(at + path.at, path.size, folder->hidden, name);
    if (kind == CV_NAME_LONG || !cv_conditions_read(at, head, &is.conditions))
        return 0;
    cv_span codings = is.conditions.accept_encoding;
    if (folder->precompressed && codings.at)
        is.coding_count = cv_codings_read(at + codings.at, codings.size, is.codings);
    enum cv_lookup found =
        kind == CV_NAME_UNSAFE ? CV_MISSING : find_answer(&is, kind, name, reply);
    if (found == CV_MISSING && *folder->fallback)
        found = find_fallback(&is, name, reply);
    switch (found) {
    case CV_FOUND:
        break;
    case CV_MISSING:
        return instead(&is, match, folder->missing);
    case CV_TOO_MANY:
        return instead(&is, match, folder->busy);
    case CV_IS_FOLDER:
    case CV_TROUBLE:
        return 0;
    }
    reply->folder = folder;
    reply->type = cv_media_type_of(folder->types, name);
    if (!reply->type || !is_sayable(reply->file->seconds)) {
        cv_file_release(reply->file);
        return 0;
    }
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    cv_validators validators;
    reply->size = reply->bytes = reply->file->size;
    reply->status = 200;
    reply->count = 0;
    validate(reply, &validators, (double)t.tv_sec + 1e-9 * (double)t.tv_nsec);
    switch (cv_conditions_evaluate(at, &is.conditions, &validators, t.tv_sec)) {
    case CV_FAILED:
        cv_file_release(reply->file);
        return instead(&is, match, folder->failed);
    case CV_UNMODIFIED:
        reply->status = 304;
        reply->bytes = 0;
        return 1;
    case CV_PROCEED:
        break;
    }
    if (!choose_range(&is, &validators, t.tv_sec, reply)) {
        cv_file_release(reply->file);
        return 0;
    }
    return 1;
}

/* Saying */

static char *add(char *to, const char *bytes, size_t size)
{
    memcpy(to, bytes, size);
    return to + size;
}

static char *add_line(char *to, const char *name, const char *value)
{
    if (!*value)
        return to;
    to = add(to, name, strlen(name));
    to = add(to, value, strlen(value));
    return add(to, "\r\n", 2);
}

size_t cv_file_head(const cv_file_reply *reply, char into[CV_FILE_HEAD])
{
    const cv_folder *folder = reply->folder;
    char *to = into + cv_status_line(into, reply->status);
    to = add(to, folder->fields, folder->fields_size);
    to = add_line(to, "etag: ", reply->etag);
    to = add_line(to, "last-modified: ", reply->file->modified);
    to = add_line(to, "cache-control: ", reply->cache);
    if (folder->precompressed)
        to = add_line(to, "vary: ", "accept-encoding");
    if (reply->status != 304) {
        to = add_line(to, "accept-ranges: ", "bytes");
        to = add_line(to, "content-encoding: ",
                      reply->coding < 0 ? "" : cv_coding_names[reply->coding].name);
        if (reply->count > 1)
            to += sprintf(to, "content-type: multipart/byteranges; boundary=%s\r\n",
                          reply->boundary);
        else
            to = add_line(to, "content-type: ", reply->type);
        if (reply->count == 1)
            to += sprintf(to, "content-range: bytes %llu-%llu/%llu\r\n",
                          (unsigned long long)reply->ranges[0].first,
                          (unsigned long long)reply->ranges[0].last,
                          (unsigned long long)reply->size);
    }
    return (size_t)(to - into);
}

void cv_file_say(cv_core *core, cv_connection *c, cv_exchange *x, cv_file_reply *reply,
                 uint32_t flags)
{
    char text[CV_FILE_HEAD], *to = text + cv_file_head(reply, text);
    cv_file *file = reply->file;
    if (reply->status != 304)
        to += sprintf(to, "content-length: %llu\r\n", (unsigned long long)reply->bytes);
    to = cv_reply_end(core, to, 1, !!(flags & CV_X_CLOSE), !!(flags & CV_X_OLD));
    cv_put_text(core, c, x, text, (size_t)(to - text));
    cv_reply_count(core, reply->status);
    if (reply->status != 304 && !(flags & CV_X_HEAD_ONLY)) {
        if (!reply->count)
            cv_put_span(core, c, x, file, 0, reply->size);
        for (int i = 0; i < reply->count; i++) {
            const cv_range *range = &reply->ranges[i];
            if (reply->count > 1)
                cv_put_text(core, c, x, text, cv_file_part_head(reply, i, text));
            cv_put_span(core, c, x, file, range->first, range->last - range->first + 1);
        }
        if (reply->count > 1)
            cv_put_text(core, c, x, text, cv_file_part_end(reply, text));
    }
    cv_file_release(file);
}
