/* What clients say about files: whatever it is, the answers are framed as they say, and hold what the
 * file holds. */
#define _GNU_SOURCE
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "escape.h"
#include "file_accept.h"
#include "file_codings.h"
#include "file_conditions.h"
#include "file_name.h"
#include "file_ranges.h"
#include "harness.h"

enum { SIZE = 1000, OUT = 1 << 20 };

static char folder[] = "/tmp/covet-fuzz-XXXXXX";
static char content[SIZE + 1];
static cv_engine *engine;

static void path_of(char *into, size_t room, const char *name)
{
    PROMISE(snprintf(into, room, "%s/%s", folder, name) < (int)room);
}

static void leave(void)
{
    static const char *const names[] = {"a.txt", "a.txt.gz", "index.html"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        path_of(path, sizeof path, names[i]);
        unlink(path);
    }
    rmdir(folder);
    cv_engine_free(engine);
}

static void write_file(const char *name)
{
    char path[PATH_MAX];
    path_of(path, sizeof path, name);
    FILE *file = fopen(path, "w");
    PROMISE(file != NULL && fwrite(content, 1, SIZE, file) == SIZE);
    fclose(file);
}

static void begin(void)
{
    PROMISE(mkdtemp(folder) != NULL);
    for (int i = 0; i < SIZE; i++)
        content[i] = (char)('a' + i % 23);
    write_file("a.txt");
    write_file("a.txt.gz");
    write_file("index.html");
    atexit(leave);
    cv_options options = cv_harness_options();
    engine = cv_engine_new(&options);
    cv_routes *routes = cv_harness_routes(0, 0);
    cv_folder_options given = {.path = folder, .index = "index.html", .fallback = "", .cache = "",
                               .page_cache = "", .fields = "", .precompressed = 1, .queries = 1};
    given.missing = given.failed = given.busy =
        cv_routes_add_answer(routes, 404, "", 0, "none", 4, NULL, 0);
    PROMISE(cv_routes_add_type(routes, "", "text/plain") == 0);
    PROMISE(cv_routes_add_folder(routes, &given) == 0);
    int leaf = cv_routes_add_path(routes, "/f/{}", 5, "p");
    PROMISE(cv_routes_set_folder(routes, leaf, "GET", 0, 2) == 0);
    leaf = cv_routes_add_path(routes, "/f/", 3, "");
    PROMISE(cv_routes_set_folder(routes, leaf, "GET", 0, 2) == 0);
    cv_engine_begin(engine, routes);
}

static void read_parts(const uint8_t *at, size_t size)
{
    cv_range ranges[CV_RANGES];
    cv_dice dice = cv_dice_of(at, size);
    uint64_t length = cv_throw(&dice, 3) ? cv_throw(&dice, 100) : UINT64_C(1) << 62;
    int count = cv_ranges_read(at, size, length, ranges);
    PROMISE(count >= -1 && count <= CV_RANGES);
    for (int i = 0; i < count; i++) {
        PROMISE(ranges[i].first <= ranges[i].last && ranges[i].last < length);
        PROMISE(i == 0 || ranges[i - 1].last + 1 < ranges[i].first);
    }
    enum cv_coding codings[CV_CODINGS];
    count = cv_codings_read(at, size, codings);
    PROMISE(count >= 0 && count <= CV_CODINGS);
    for (int i = 1; i < count; i++)
        PROMISE(codings[i] != codings[i - 1] && codings[i] != codings[0]);
    int page = cv_accepts_page(at, size);
    PROMISE(page >= -1 && page <= 1);
    int64_t seconds = 0;
    if (cv_http_date_read(at, size, 1800000000, &seconds))
        PROMISE(seconds >= INT64_C(-62135596800) && seconds < INT64_C(253402300800));
    char name[CV_FILE_NAME];
    if (!cv_escapes_are_valid(at, size))
        return;
    enum cv_name_kind kind = cv_file_name(at, size, 0, name);
    if (kind == CV_NAME_FILE || kind == CV_NAME_FOLDER) {
        size_t length_of = strlen(name);
        PROMISE(length_of <= size && *name != '/' && *name != '.' && !strchr(name, '\\'));
        PROMISE(!strstr(name, "//") && !strstr(name, "/."));
        PROMISE(length_of || kind == CV_NAME_FOLDER);
        PROMISE(!length_of || name[length_of - 1] != '/');
    }
}

/* The value of a field of an answer, or -1. */
static long number_of(const char *head, const char *end, const char *field)
{
    const char *at = strstr(head, field);
    return at && at < end ? strtol(at + strlen(field), NULL, 10) : -1;
}

/* Everything is whole answers. */
static void look(const char *out, size_t size)
{
    const char *at = out, *stop = out + size;
    while (at < stop) {
        const char *end = strstr(at, "\r\n\r\n");
        PROMISE(end != NULL && strncmp(at, "HTTP/1.1 ", 9) == 0);
        long status = strtol(at + 9, NULL, 10);
        long length = number_of(at, end, "\r\ncontent-length: ");
        long first = number_of(at, end, "\r\ncontent-range: bytes ");
        int bodiless = status == 100 || status == 204 || status == 304;
        PROMISE(bodiless ? length < 0 : length >= 0);
        const char *body = end + 4;
        if (bodiless)
            length = 0;
        PROMISE(body + length <= stop);
        if (status == 200 && length == SIZE)
            PROMISE(memcmp(body, content, SIZE) == 0);
        if (status == 206 && first >= 0)
            PROMISE(length + first <= SIZE && memcmp(body, content + first, (size_t)length) == 0);
        PROMISE(length < 10 * SIZE);
        at = body + length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const targets[] = {"a.txt", "", "index.html", "none", "a.txt.gz"};
    static char out[OUT + 1];
    if (!engine)
        begin();
    uint8_t *exact = cv_exact(bytes, size);
    read_parts(exact, size);
    free(exact);
    char line[64];
    const char *target = targets[size ? bytes[0] % 5 : 0];
    int line_size = snprintf(line, sizeof line, "GET /f/%s HTTP/1.1\r\nhost: a\r\n", target);
    uint64_t connection = cv_engine_open(engine);
    size_t got = 0;
    cv_engine_feed(engine, connection, (const uint8_t *)line, (size_t)line_size);
    if (size > 1)
        cv_engine_feed(engine, connection, bytes + 1, size - 1);
    cv_engine_feed(engine, connection, (const uint8_t *)"\r\n\r\n", 4);
    for (int i = 0; i < 20; i++) {
        int64_t some = cv_engine_drain(engine, connection, (uint8_t *)out + got, OUT - got);
        if (some < 0)
            break;
        got += (size_t)some;
        /* What Python would answer is refused here, in its turn. */
        int count = cv_engine_poll(engine);
        const cv_event *events = cv_engine_events(engine);
        cv_reply replies[CV_EVENTS];
        size_t asked = 0;
        for (int each = 0; each < count; each++)
            if (events[each].kind == CV_REQUEST)
                replies[asked++] = (cv_reply){.handle = events[each].handle, .op = CV_ANSWER};
        cv_engine_submit(engine, (const uint8_t *)replies, asked * sizeof *replies);
    }
    out[got] = '\0';
    /* An answer to HEAD has a length and no body. */
    if (memchr(out, '\0', got) == NULL && memmem(bytes, size, "HEAD", 4) == NULL)
        look(out, got);
    cv_engine_drop(engine, connection);
    cv_engine_poll(engine);
    PROMISE(cv_engine_counters(engine)->connections == 0);
    PROMISE(cv_engine_counters(engine)->files <= 8);
    return 0;
}
