/* Routes, their answers and conditional requests, in C. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "escape.h"
#include "head.h"
#include "routes.h"

static int failures;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            failures++;                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
        }                                                                                          \
    } while (0)

/* The linker sends the code under test here: allocation number `fail_at` and all after it fail. */
static long allocations, fail_at = LONG_MAX;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *at, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *at, size_t size);

void *__wrap_malloc(size_t size)
{
    return allocations++ >= fail_at ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return allocations++ >= fail_at ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *at, size_t size)
{
    return allocations++ >= fail_at ? NULL : __real_realloc(at, size);
}

static int path(cv_routes *routes, const char *template, const char *types)
{
    return cv_routes_add_path(routes, template, strlen(template), types);
}

static int answer(cv_routes *routes, int status, const char *fields, const char *body,
                  const char *etag)
{
    return cv_routes_add_answer(routes, status, fields, strlen(fields), body, strlen(body), etag,
                                strlen(etag));
}

/* What a target leads to. Its bytes stand alone in memory, so that a read beyond them shows. */
static int lead(const cv_routes *routes, const char *method, const char *target, uint16_t *param,
                int *params)
{
    size_t size = strlen(target);
    char *alone = malloc(size > 0 ? size : 1);
    if (alone == NULL)
        abort();
    memcpy(alone, target, size);
    int found = cv_routes_try(routes, method, alone, size, param, params);
    free(alone);
    return found;
}

/* The same, with the parameters written as "[1][2]". */
static int is_found(const cv_routes *routes, const char *target, int route, const char *values)
{
    uint16_t param[16];
    int params;
    char text[512] = "";
    int found = lead(routes, "GET", target, param, &params);
    for (int i = 0; i < params; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "[%.*s]", param[2 * i + 1],
                 target + param[2 * i]);
    if (found == route && strcmp(text, values) == 0)
        return 1;
    fprintf(stderr, "%s leads to %d%s, not to %d%s\n", target, found, text, route, values);
    return 0;
}

static int is_status(const cv_routes *routes, const char *method, const char *target, int status)
{
    cv_head head = {0};
    char text[600];
    int size = snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: h\r\n\r\n", method, target);
    uint8_t *alone = malloc((size_t)size);
    if (alone == NULL)
        abort();
    memcpy(alone, text, (size_t)size);
    cv_head_limits limits = {4096, 100};
    cv_head_progress progress = {0};
    int read = cv_head_read(alone, (size_t)size, &limits, &progress, &head);
    int found = read;
    if (read == 1) {
        cv_match match;
        cv_routes_find(routes, alone, &head, &match);
        found = match.answer != NULL ? match.answer->status : -1;
    }
    free(alone);
    if (found == status)
        return 1;
    fprintf(stderr, "%s %s: %d, not %d\n", method, target, found, status);
    return 0;
}

/* A number of a table's own 404, 400 and * as `cv_routes_try` shows them. */
enum { NOT_FOUND = -1, MALFORMED = -2, ASTERISK = -3 };

static void plain_text_comes_before_parameters(void)
{
    cv_routes *routes = cv_routes_new();
    const char *templates[] = {"/books/{}", "/books/new", "/books/{}/lines", "/{}/new/x", "/"};
    const char *types[] = {"s", "", "s", "s", ""};
    for (int i = 0; i < 5; i++) {
        int leaf = path(routes, templates[i], types[i]);
        CHECK(leaf == i);
        CHECK(path(routes, templates[i], types[i]) == leaf);
        CHECK(cv_routes_set_route(routes, leaf, "GET", i, 0) == 0);
    }
    CHECK(is_found(routes, "/", 4, ""));
    CHECK(is_found(routes, "", 4, ""));
    CHECK(is_found(routes, "/books/new", 1, ""));
    CHECK(is_found(routes, "/books/7", 0, "[7]"));
    CHECK(is_found(routes, "/books/new/lines", 2, "[new]"));
    CHECK(is_found(routes, "/books/new/x", 3, "[books]"));
    CHECK(is_found(routes, "/books", NOT_FOUND, ""));
    CHECK(is_found(routes, "/books/", NOT_FOUND, ""));
    CHECK(is_found(routes, "/books/7/", NOT_FOUND, ""));
    CHECK(is_found(routes, "/books//lines", NOT_FOUND, ""));
    CHECK(is_found(routes, "//books", NOT_FOUND, ""));
    CHECK(is_found(routes, "/books/7/lines/8/9/10", NOT_FOUND, ""));
    cv_routes_free(routes);
}

static void a_way_that_ends_nowhere_is_walked_back(void)
{
    cv_routes *routes = cv_routes_new();
    const char *templates[] = {"/a/{}/b/{}/c", "/a/{}/b/x/d", "/{}/{}/{}/x/e", "/a/n/b/{}/f"};
    const char *types[] = {"is", "s", "sss", "s"};
    for (int i = 0; i < 4; i++)
        CHECK(cv_routes_set_route(routes, path(routes, templates[i], types[i]), "GET", i, 0) == 0);
    CHECK(is_found(routes, "/a/1/b/x/c", 0, "[1][x]"));
    CHECK(is_found(routes, "/a/1/b/x/d", 1, "[1]"));
    CHECK(is_found(routes, "/a/n/b/x/d", 1, "[n]"));
    CHECK(is_found(routes, "/a/n/b/x/e", 2, "[a][n][b]"));
    CHECK(is_found(routes, "/a/n/b/x/f", 3, "[x]"));
    CHECK(is_found(routes, "/a/n/b/x/c", NOT_FOUND, ""));
    cv_routes_free(routes);
}

static void types_tell_parameters_of_one_place_apart(void)
{
    cv_routes *routes = cv_routes_new();
    const char *types[] = {"s", "i", "u"};
    for (int i = 0; i < 3; i++)
        CHECK(cv_routes_set_route(routes, path(routes, "/x/{}", types[i]), "GET", i, 0) == 0);
    int more = path(routes, "/x/{}/more", "s");
    CHECK(cv_routes_set_route(routes, more, "GET", 3, 0) == 0);
    CHECK(is_found(routes, "/x/12", 1, "[12]"));
    CHECK(is_found(routes, "/x/-3", 1, "[-3]"));
    CHECK(is_found(routes, "/x/%2B3", 1, "[%2B3]"));
    CHECK(is_found(routes, "/x/%31", 1, "[%31]"));
    CHECK(is_found(routes, "/x/-", 0, "[-]"));
    CHECK(is_found(routes, "/x/+-1", 0, "[+-1]"));
    CHECK(is_found(routes, "/x/1.", 0, "[1.]"));
    CHECK(is_found(routes, "/x/12a", 0, "[12a]"));
    CHECK(is_found(routes, "/x/%D9%A3", 0, "[%D9%A3]"));
    CHECK(is_found(routes, "/x/12/more", 3, "[12]"));
    const char *uuid = "/x/6f1f3a52-0c59-4b1c-8f0e-0A3F7f2f3f11";
    CHECK(is_found(routes, uuid, 2, "[6f1f3a52-0c59-4b1c-8f0e-0A3F7f2f3f11]"));
    CHECK(is_found(routes, "/x/6f1f3a520c594b1c8f0e0a3f7f2f3f11", 2,
                   "[6f1f3a520c594b1c8f0e0a3f7f2f3f11]"));
    CHECK(is_found(routes, "/x/6f1f3a520c594b1c8f0e0a3f7f2f3f1%31", 2,
                   "[6f1f3a520c594b1c8f0e0a3f7f2f3f1%31]"));
    CHECK(is_found(routes, "/x/6f1f3a52-0c59-4b1c-8f0e-0a3f7f2f3f1", 0,
                   "[6f1f3a52-0c59-4b1c-8f0e-0a3f7f2f3f1]"));
    CHECK(is_found(routes, "/x/6f1f3a5200c59-4b1c-8f0e-0a3f7f2f3f11", 0,
                   "[6f1f3a5200c59-4b1c-8f0e-0a3f7f2f3f11]"));
    CHECK(is_found(routes, "/x/6f1f3a52-0c59-4b1c-8f0e-0a3f7f2f3f111", 0,
                   "[6f1f3a52-0c59-4b1c-8f0e-0a3f7f2f3f111]"));
    cv_routes_free(routes);
    routes = cv_routes_new();
    /* One type alone has nothing to be told apart from; the handler's own check says more. */
    CHECK(cv_routes_set_route(routes, path(routes, "/x/{}", "i"), "GET", 0, 0) == 0);
    CHECK(is_found(routes, "/x/ten", 0, "[ten]"));
    cv_routes_free(routes);
}

static void a_capital_is_narrow(void)
{
    cv_routes *routes = cv_routes_new();
    const char *templates[] = {"/i/{}", "/u/{}", "/d/{}", "/d/{}/more"};
    const char *types[] = {"I", "U", "d", "D"};
    for (int i = 0; i < 4; i++)
        CHECK(cv_routes_set_route(routes, path(routes, templates[i], types[i]), "GET", i, 0) == 0);
    CHECK(is_found(routes, "/i/12", 0, "[12]"));
    CHECK(is_found(routes, "/i/-1%32", 0, "[-1%32]"));
    CHECK(is_found(routes, "/i/ten", NOT_FOUND, ""));
    CHECK(is_found(routes, "/u/6f1f3a520c594b1c8f0e0a3f7f2f3f11", 1,
                   "[6f1f3a520c594b1c8f0e0a3f7f2f3f11]"));
    CHECK(is_found(routes, "/u/6f1f3a52", NOT_FOUND, ""));
    /* What one template says of a place holds for all of that type there. */
    const char *days[] = {"/d/2026-11-24", "/d/2024-02-29", "/d/2000-02-29", "/d/0001-01-01",
                          "/d/9999-12-31", "/d/2026%2d11-24"};
    for (size_t i = 0; i < sizeof days / sizeof *days; i++)
        CHECK(lead(routes, "GET", days[i], NULL, NULL) == 2);
    CHECK(is_found(routes, "/d/2026-11-24/more", 3, "[2026-11-24]"));
    const char *none[] = {"/d/2023-02-29", "/d/1900-02-29", "/d/2026-04-31", "/d/2026-00-01",
                          "/d/2026-13-01", "/d/2026-01-00", "/d/2026-01-32", "/d/0000-01-01",
                          "/d/2026-1-01", "/d/20260101", "/d/2026-01-01x", "/d/2026/01/01",
                          "/d/2026-01", "/d/x026-01-01", "/d/2026-01-0", "/d/2026-0101-"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        CHECK(is_found(routes, none[i], NOT_FOUND, ""));
    cv_routes_free(routes);
    routes = cv_routes_new();
    const char *order[] = {"s", "d", "i"};
    for (int i = 0; i < 3; i++)
        CHECK(cv_routes_set_route(routes, path(routes, "/{}", order[i]), "GET", i, 0) == 0);
    CHECK(is_found(routes, "/2026-11-24", 1, "[2026-11-24]"));
    CHECK(is_found(routes, "/20261124", 2, "[20261124]"));
    CHECK(is_found(routes, "/2026-11-31", 0, "[2026-11-31]"));
    CHECK(path(routes, "/{}", "I") == path(routes, "/{}", "i"));
    cv_routes_free(routes);
}

static void the_rest_of_a_path_is_one_parameter(void)
{
    cv_routes *routes = cv_routes_new();
    const char *templates[] = {"/f/{}", "/f/{}/x", "/f/{}/{}", "/f/plain", "/m", "/m/{}", "/m/{}/y"};
    const char *types[] = {"p", "s", "ip", "", "", "*", "s"};
    for (int i = 0; i < 7; i++)
        CHECK(cv_routes_set_route(routes, path(routes, templates[i], types[i]), "GET", i, 0) == 0);
    CHECK(is_found(routes, "/f/a", 0, "[a]"));
    CHECK(is_found(routes, "/f/a/b/c/d/e", 0, "[a/b/c/d/e]"));
    CHECK(is_found(routes, "/f/a/", 0, "[a/]"));
    CHECK(is_found(routes, "/f/a//b", 0, "[a//b]"));
    CHECK(is_found(routes, "/f/a%2Fb/%C3%BC", 0, "[a%2Fb/%C3%BC]"));
    CHECK(is_found(routes, "/f/a/x", 1, "[a]"));
    CHECK(is_found(routes, "/f/a/x/y", 0, "[a/x/y]"));
    CHECK(is_found(routes, "/f/7/x/y", 2, "[7][x/y]"));
    CHECK(is_found(routes, "/f/plain", 3, ""));
    CHECK(is_found(routes, "/f/plain/x", 1, "[plain]"));
    CHECK(is_found(routes, "/f/.../..a/a..", 0, "[.../..a/a..]"));
    const char *none[] = {"/f", "/f/", "/f//a", "/f/%2Fa", "/f/..", "/f/.", "/f/../a", "/f/a/..",
                          "/f/a/../b", "/f/a/./b", "/f/%2e%2e/a", "/f/a%2F..%2Fb", "/f/.%2F",
                          "/f/a/b/c/d/e/%2E"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        CHECK(is_found(routes, none[i], NOT_FOUND, ""));
    CHECK(is_found(routes, "/f/a/b/c/d/%zz", MALFORMED, ""));
    CHECK(is_found(routes, "/m", 4, ""));
    CHECK(is_found(routes, "/m/", 5, "[]"));
    CHECK(is_found(routes, "/m//", 5, "[/]"));
    CHECK(is_found(routes, "/m/../a/b/c", 5, "[../a/b/c]"));
    CHECK(is_found(routes, "/m/a/y", 6, "[a]"));
    CHECK(is_found(routes, "/mm", NOT_FOUND, ""));
    CHECK(path(routes, "/{}/a", "p") == -1);
    CHECK(path(routes, "/{}/", "*") == -1);
    CHECK(path(routes, "/{}", "P") == -1);
    CHECK(path(routes, "/{}", "S") == -1);
    cv_routes_free(routes);
    routes = cv_routes_new();
    CHECK(cv_routes_set_route(routes, path(routes, "/{}", "*"), "GET", 1, 0) == 0);
    CHECK(is_found(routes, "/", 1, "[]"));
    CHECK(is_found(routes, "//", 1, "[/]"));
    CHECK(is_found(routes, "/a/b", 1, "[a/b]"));
    cv_routes_free(routes);
}

static void a_slash_more_or_less(void)
{
    for (int slash = CV_SLASH_STRICT; slash <= CV_SLASH_REDIRECT; slash++) {
        cv_routes *routes = cv_routes_new();
        const char *templates[] = {"/a", "/b/{}/", "/", "/c/{}/d", "/f/{}", "/x", "/x/"};
        const char *types[] = {"", "s", "", "i", "p", "", ""};
        for (int i = 0; i < 7; i++) {
            int leaf = path(routes, templates[i], types[i]);
            CHECK(cv_routes_set_route(routes, leaf, i == 6 ? "POST" : "GET", i, 0) == 0);
        }
        CHECK(cv_routes_set_slash(routes, slash, 9) == 0);
        int redirects = slash == CV_SLASH_REDIRECT, strict = slash == CV_SLASH_STRICT;
        CHECK(is_found(routes, "/a", 0, ""));
        CHECK(is_found(routes, "/b/1/", 1, "[1]"));
        CHECK(is_found(routes, "/", 2, ""));
        CHECK(is_found(routes, "/a/", strict ? NOT_FOUND : redirects ? 9 : 0, ""));
        CHECK(is_found(routes, "/%61/", strict ? NOT_FOUND : redirects ? 9 : 0, ""));
        CHECK(is_found(routes, "/b/1", strict ? NOT_FOUND : redirects ? 9 : 1,
                       strict || redirects ? "" : "[1]"));
        CHECK(is_found(routes, "/c/7/d/", strict ? NOT_FOUND : redirects ? 9 : 3,
                       strict || redirects ? "" : "[7]"));
        CHECK(is_found(routes, "/f/y/", 4, "[y/]"));
        CHECK(is_found(routes, "/f/", NOT_FOUND, ""));
        CHECK(is_found(routes, "/b", NOT_FOUND, ""));
        CHECK(is_found(routes, "//a", NOT_FOUND, ""));  /* bad input 38 */
        CHECK(is_found(routes, "/a//", NOT_FOUND, ""));
        CHECK(is_found(routes, "/%zz/", MALFORMED, ""));
        CHECK(lead(routes, "POST", "/x", NULL, NULL) < 0);
        CHECK(lead(routes, "GET", "/x/", NULL, NULL) < 0);
        CHECK(is_status(routes, "PUT", "/a/", strict ? 404 : 405));
        CHECK(is_status(routes, "BREW", "/a/", strict ? 404 : 405));
        CHECK(is_status(routes, "OPTIONS", "/a/", strict ? 404 : 204));
        CHECK(lead(routes, "HEAD", "/a/", NULL, NULL) == (strict ? NOT_FOUND : redirects ? 9 : 0));
        CHECK(cv_routes_set_route(routes, path(routes, "/a", ""), "OPTIONS", 8, 0) == 0);
        CHECK(lead(routes, "OPTIONS", "/a/", NULL, NULL) == (strict ? NOT_FOUND : 8));
        CHECK(cv_routes_set_route(routes, path(routes, "/a", ""), "", 7, 0) == 0);
        CHECK(lead(routes, "PUT", "/a/", NULL, NULL) == (strict ? NOT_FOUND : 7));
        cv_routes_free(routes);
    }
    cv_routes *routes = cv_routes_new();
    CHECK(cv_routes_set_slash(routes, 3, 0) == -1);
    CHECK(cv_routes_set_slash(routes, -1, 0) == -1);
    CHECK(cv_routes_set_slash(routes, 1, -1) == -1);
    CHECK(cv_routes_set_slash(routes, 1, 65536) == -1);
    CHECK(cv_routes_set_slash(NULL, 1, 0) == -1);
    CHECK(cv_routes_set_slash(routes, CV_SLASH_IGNORE, 0) == 0);
    CHECK(is_found(routes, "/a/", NOT_FOUND, ""));
    cv_routes_free(routes);
}

static void segments_are_decoded_after_they_are_split(void)
{
    cv_routes *routes = cv_routes_new();
    CHECK(cv_routes_set_route(routes, path(routes, "/books/{}", "s"), "GET", 0, 0) == 0);
    CHECK(cv_routes_set_route(routes, path(routes, "/\xc3\xbc", ""), "GET", 1, 0) == 0);
    CHECK(is_found(routes, "/books/a%2Fb", 0, "[a%2Fb]"));
    CHECK(is_found(routes, "/b%6Foks/1", 0, "[1]"));
    CHECK(is_found(routes, "/b%6foks/%C3%BC", 0, "[%C3%BC]"));
    CHECK(is_found(routes, "/%C3%BC", 1, ""));
    CHECK(is_found(routes, "/%c3%bc", 1, ""));
    CHECK(is_found(routes, "/%C3%BC/", NOT_FOUND, ""));
    CHECK(is_found(routes, "/books%2F1", NOT_FOUND, ""));
    const char *bad[] = {"/books/%zz", "/books/%",     "/books/%4",     "/books/%00",
                         "/%C3/%BC",   "/books/%ff",   "/nowhere/%zz",  "/books/\xc3\xbc",
                         "/\xc3\xbc",  "/a/b/c/d/%2",  "/%ED%A0%80",    "/%F4%90%80%80",
                         "/%C0%AF",    "/%E0%80%AF",   "/%F0%80%80%AF", "/%BC",
                         "/%C3",       "books",        "*",             "/books/%E2%82",
                         "/%",         "/books/%C3%28"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(is_found(routes, bad[i], MALFORMED, ""));
    const char *good[] = {"/books/%E2%82%AC", "/books/%F0%9F%98%80", "/books/%F4%8F%BF%BF",
                          "/books/%ED%9F%BF"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(lead(routes, "GET", good[i], NULL, NULL) == 0);
    cv_routes_free(routes);
}

static void methods_lead_where_they_should(void)
{
    cv_routes *routes = cv_routes_new();
    int books = path(routes, "/books", "");
    CHECK(cv_routes_set_route(routes, books, "GET", 7, CV_ROUTE_WAIT) == 0);
    CHECK(cv_routes_set_route(routes, books, "POST", 8, 0) == 0);
    CHECK(cv_routes_set_route(routes, books, "PURGE", 9, 0) == 0);
    int posts = path(routes, "/posts", "");
    CHECK(cv_routes_set_route(routes, posts, "POST", 10, 0) == 0);
    CHECK(lead(routes, "GET", "/books", NULL, NULL) == 7);
    CHECK(lead(routes, "HEAD", "/books", NULL, NULL) == 7);
    CHECK(lead(routes, "POST", "/books", NULL, NULL) == 8);
    CHECK(lead(routes, "PURGE", "/books", NULL, NULL) == 9);
    CHECK(lead(routes, "OPTIONS", "*", NULL, NULL) == ASTERISK);
    CHECK(is_status(routes, "PURGES", "/books", 405));
    CHECK(is_status(routes, "PUR", "/books", 405));
    CHECK(is_status(routes, "get", "/books", 405));
    CHECK(is_status(routes, "DELETE", "/books", 405));
    CHECK(is_status(routes, "OPTIONS", "/books", 204));
    CHECK(is_status(routes, "OPTIONS", "/nothing", 404));
    CHECK(is_status(routes, "OPTIONS", "*", 204));
    CHECK(is_status(routes, "HEAD", "/posts", 405));
    CHECK(is_status(routes, "__init__", "/posts", 405)); /* bad input 37 */
    CHECK(is_status(routes, "GET", "/posts?x=%zz", 405));
    CHECK(is_status(routes, "GET", "/posts/%zz", 400)); /* bad input 41 */
    CHECK(is_status(routes, "GET", "/%00", 400));
    CHECK(is_status(routes, "GET", "http://h", 404));
    int empty = path(routes, "/empty", "");
    CHECK(empty >= 0);
    CHECK(is_status(routes, "GET", "/empty", 404));
    /* A match tells the flags it was given. */
    char text[] = "GET /books HTTP/1.1\r\nHost: h\r\n\r\n";
    cv_head head;
    cv_head_limits limits = {4096, 100};
    cv_head_progress progress = {0};
    cv_match match;
    CHECK(cv_head_read((uint8_t *)text, sizeof text - 1, &limits, &progress, &head) == 1);
    cv_routes_find(routes, (uint8_t *)text, &head, &match);
    CHECK(match.answer == NULL && match.route == 7 && match.flags == CV_ROUTE_WAIT);
    cv_routes_free(routes);
}

static void everything_leads_to_one_route(void)
{
    cv_routes *routes = cv_routes_new();
    cv_routes_set_everything(routes, 5, 0);
    const char *targets[] = {"/", "/books/%zz", "*", "", "/\xff"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
        CHECK(is_found(routes, targets[i], 5, ""));
    CHECK(lead(routes, "OPTIONS", "*", NULL, NULL) == 5);
    CHECK(lead(routes, "BREW", "/pot", NULL, NULL) == 5);
    cv_routes_free(routes);
}

static int is_head(const cv_answer *what, const char *expected)
{
    if (what->head_size == strlen(expected) && memcmp(what->head, expected, what->head_size) == 0)
        return 1;
    fprintf(stderr, "%.*s", (int)what->head_size, (const char *)what->head);
    return 0;
}

static const cv_answer *answer_at(const cv_routes *routes, const char *method, const char *target,
                                  cv_match *match)
{
    cv_head head = {0};
    head.method = CV_METHOD_GET;
    if (strcmp(method, "OPTIONS") == 0)
        head.method = CV_METHOD_OPTIONS;
    if (strcmp(method, "PUT") == 0)
        head.method = CV_METHOD_PUT;
    head.path.size = (uint16_t)strlen(target);
    cv_routes_find(routes, (const uint8_t *)target, &head, match);
    return match->answer;
}

static void answers_are_ready(void)
{
    cv_routes *routes = cv_routes_new();
    cv_match match;
    int health = answer(routes, 200, "content-type: application/json\r\nVary: a\r\nX-A:b\r\n",
                        "{\"status\":\"ok\"}", "W/\"a\"");
    int leaf = path(routes, "/health", "");
    CHECK(cv_routes_set_answer(routes, leaf, "GET", health) == 0);
    const cv_answer *found = answer_at(routes, "GET", "/health", &match);
    CHECK(is_head(found, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nVary: a\r\nX-A:b\r\n"
                         "etag: W/\"a\"\r\ncontent-length: 15\r\n"));
    CHECK(found->body_size == 15 && memcmp(found->body, "{\"status\":\"ok\"}", 15) == 0);
    const char *unmodified = "HTTP/1.1 304 Not Modified\r\nVary: a\r\netag: W/\"a\"\r\n";
    CHECK(found->unmodified_size == strlen(unmodified));
    CHECK(memcmp(found->unmodified, unmodified, strlen(unmodified)) == 0);
    CHECK(is_head(answer_at(routes, "OPTIONS", "/health", &match),
                  "HTTP/1.1 204 No Content\r\nallow: GET, HEAD, OPTIONS\r\n"));
    CHECK(is_head(answer_at(routes, "PUT", "/health", &match),
                  "HTTP/1.1 405 Method Not Allowed\r\nallow: GET, HEAD, OPTIONS\r\n"
                  "content-length: 0\r\n"));
    CHECK(cv_routes_set_route(routes, leaf, "BREW", 1, 0) == 0);
    CHECK(is_head(answer_at(routes, "OPTIONS", "/health", &match),
                  "HTTP/1.1 204 No Content\r\nallow: GET, HEAD, OPTIONS, BREW\r\n"));
    int own = answer(routes, 204, "allow: X\r\n", "", "");
    CHECK(cv_routes_set_answer(routes, leaf, "OPTIONS", own) == 0);
    CHECK(cv_routes_set_answer(routes, leaf, "", answer(routes, 405, "a: b\r\n", "no", "")) == 0);
    CHECK(cv_routes_set_route(routes, leaf, "POST", 2, 0) == 0);
    CHECK(is_head(answer_at(routes, "OPTIONS", "/health", &match),
                  "HTTP/1.1 204 No Content\r\nallow: X\r\n"));
    CHECK(is_head(answer_at(routes, "PUT", "/health", &match),
                  "HTTP/1.1 405 Method Not Allowed\r\na: b\r\ncontent-length: 2\r\n"));
    CHECK(is_head(answer_at(routes, "GET", "/none", &match),
                  "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n"));
    CHECK(cv_routes_set_default(routes, 404, answer(routes, 404, "", "none", "")) == 0);
    CHECK(cv_routes_set_default(routes, 400, answer(routes, 400, "", "bad", "")) == 0);
    CHECK(cv_routes_set_default(routes, '*', own) == 0);
    CHECK(answer_at(routes, "GET", "/none", &match)->body_size == 4);
    CHECK(answer_at(routes, "GET", "none", &match)->body_size == 3);
    CHECK(is_head(answer_at(routes, "OPTIONS", "*", &match),
                  "HTTP/1.1 204 No Content\r\nallow: X\r\n"));
    const char *all = "ETag: \"x\"\r\nCache-Control: c\r\nContent-Location: /l\r\nExpires: e\r\n"
                      "content-type: t\r\nset-cookie: s\r\n";
    int kept = answer(routes, 200, all, "", "\"x\"");
    CHECK(cv_routes_set_answer(routes, leaf, "GET", kept) == 0);
    found = answer_at(routes, "GET", "/health", &match);
    unmodified = "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nCache-Control: c\r\n"
                 "Content-Location: /l\r\nExpires: e\r\n";
    CHECK(found->unmodified_size == strlen(unmodified));
    CHECK(memcmp(found->unmodified, unmodified, strlen(unmodified)) == 0);
    CHECK(is_head(found, "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nCache-Control: c\r\n"
                         "Content-Location: /l\r\nExpires: e\r\ncontent-type: t\r\n"
                         "set-cookie: s\r\ncontent-length: 0\r\n"));
    int code = cv_routes_add_template(routes, 299, "a: b\r\n", 6);
    CHECK(code == 0);
    const cv_template *made = cv_routes_template(routes, 0);
    CHECK(made->status == 299 && made->head_size == 21);
    CHECK(memcmp(made->head, "HTTP/1.1 299 \r\na: b\r\n", 21) == 0);
    CHECK(cv_routes_template(routes, 1) == NULL);
    cv_routes_free(routes);
}

static void what_cannot_be_sent_is_refused(void) /* bad input 39 */
{
    cv_routes *routes = cv_routes_new();
    const char *bad[] = {"a: b",          "a: b\n",          "a: b\r",            "a\r\n",
                         ": b\r\n",       "a : b\r\n",       "a: b\r\n\r\n",      "\r\n",
                         "a: b\rc\r\n",   "a: \x01\r\n",     "\xc3\xbc: b\r\n",   "a: b\r\nc\r\n",
                         "a: b\n\r\n",    " a: b\r\n",       "Date: x\r\n",
                         "connection: x\r\n", "TE: trailers\r\n",
                         "Transfer-Encoding: chunked\r\n", "a: b\x7f\r\n",
                         "Content-Length: 3\r\n", "keep-alive: x\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(answer(routes, 200, bad[i], "", "") == -1);
        CHECK(cv_routes_add_template(routes, 200, bad[i], strlen(bad[i])) == -1);
    }
    CHECK(cv_routes_add_template(routes, 200, "a: b\0c\r\n", 8) == -1);
    CHECK(cv_fields_are_ready((const uint8_t *)"a:\r\nb: \r\nc:\t x \r\n", 17));
    const int statuses[] = {-1, 0, 100, 101, 199, 600, 1000, INT_MAX, INT_MIN};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        CHECK(answer(routes, statuses[i], "", "", "") == -1);
        CHECK(cv_routes_add_template(routes, statuses[i], "", 0) == -1);
    }
    const char *tags[] = {"a", "\"a", "a\"", "\"", "w/\"a\"", "W/a", "\"a\"b\"", "\"a b\"",
                          "\"a\"\"", "\"\r\n\"", "*", "\"a\", \"b\""};
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        CHECK(answer(routes, 200, "", "", tags[i]) == -1);
    CHECK(answer(routes, 404, "", "", "\"a\"") == -1);
    CHECK(answer(routes, 204, "", "b", "") == -1);
    CHECK(answer(routes, 304, "", "b", "") == -1);
    CHECK(answer(routes, 200, "etag: \"b\"\r\n", "", "\"a\"") == -1);
    CHECK(answer(routes, 200, "etag: \"a\"\r\nETag: \"a\"\r\n", "", "\"a\"") == -1);
    CHECK(cv_routes_add_answer(routes, 200, NULL, 1, NULL, 0, NULL, 0) == -1);
    CHECK(cv_routes_add_answer(routes, 200, NULL, 0, NULL, 1, NULL, 0) == -1);
    CHECK(cv_routes_add_answer(routes, 200, NULL, 0, NULL, 0, NULL, 1) == -1);
    CHECK(cv_routes_add_answer(routes, 200, "", 0, "", (size_t)INT32_MAX + 1, NULL, 0) == -1);
    CHECK(cv_routes_add_answer(routes, 200, NULL, 0, NULL, 0, NULL, 0) >= 0);
    CHECK(cv_routes_add_answer(NULL, 200, "", 0, "", 0, "", 0) == -1);
    CHECK(cv_routes_add_template(NULL, 200, "", 0) == -1);
    CHECK(cv_routes_add_template(routes, 200, NULL, 3) == -1);
    cv_routes_free(routes);
}

static void what_is_no_path_is_refused(void)
{
    cv_routes *routes = cv_routes_new();
    const char *bad[] = {"", "books", "/books/{", "/books/}", "/books/x{}", "/books/{x}", "/a//b",
                         "//", "/a%20b", "/a?b", "/a#b", "/a b", "/a\\b", "/../x", "/.", "/a\x7f",
                         "/\xff", "/\xc3", "/a\nb", "*"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(path(routes, bad[i], "") == -1);
    CHECK(path(routes, "/{}", "") == -1);
    CHECK(path(routes, "/{}", "ii") == -1);
    CHECK(path(routes, "/{}", "x") == -1);
    CHECK(path(routes, "/{}", NULL) == -1);
    CHECK(path(routes, "/a", "i") == -1);
    CHECK(path(routes, "/{}/{}/{}/{}/{}/{}/{}/{}/{}", "iiiiiiiii") == -2);
    CHECK(path(routes, "/{}/{}/{}/{}/{}/{}/{}/{}", "iiiiuuus") == 0);
    CHECK(path(routes, "/a", NULL) == 1);
    CHECK(cv_routes_add_path(routes, NULL, 1, "") == -1);
    CHECK(cv_routes_add_path(NULL, "/", 1, "") == -1);
    CHECK(cv_routes_add_path(routes, "/a\0b", 4, "") == -1);
    CHECK(cv_routes_set_route(routes, -1, "GET", 0, 0) == -1);
    CHECK(cv_routes_set_route(routes, 2, "GET", 0, 0) == -1);
    CHECK(cv_routes_set_route(routes, 0, NULL, 0, 0) == -1);
    CHECK(cv_routes_set_route(routes, 0, "a b", 0, 0) == -1);
    CHECK(cv_routes_set_route(routes, 0, "GET", -1, 0) == -1);
    CHECK(cv_routes_set_route(routes, 0, "GET", 65536, 0) == -1);
    CHECK(cv_routes_set_route(routes, 0, "GET", 0, -1) == -1);
    CHECK(cv_routes_set_route(NULL, 0, "GET", 0, 0) == -1);
    CHECK(cv_routes_set_answer(routes, 0, "GET", 99) == -1);
    CHECK(cv_routes_set_answer(routes, 0, "GET", -1) == -1);
    CHECK(cv_routes_set_answer(NULL, 0, "GET", 0) == -1);
    CHECK(cv_routes_set_default(routes, 404, 99) == -1);
    CHECK(cv_routes_set_default(routes, 403, 0) == -1);
    CHECK(cv_routes_set_default(NULL, 404, 0) == -1);
    cv_routes_set_everything(NULL, 0, 0);
    cv_routes_set_everything(routes, -1, 0);
    CHECK(lead(routes, "GET", "/nowhere", NULL, NULL) == NOT_FOUND);
    CHECK(cv_routes_try(NULL, "GET", "/", 1, NULL, NULL) == INT_MIN);
    CHECK(cv_routes_try(routes, NULL, "/", 1, NULL, NULL) == INT_MIN);
    CHECK(cv_routes_try(routes, "GET", NULL, 1, NULL, NULL) == INT_MIN);
    CHECK(cv_routes_try(routes, "GET", "/", 65536, NULL, NULL) == INT_MIN);
    cv_routes_hold(NULL);
    cv_routes_free(NULL);
    cv_routes_free(routes);
}

static int matches(const char *method, const char *fields, const char *etag)
{
    cv_answer made;
    size_t tag = strlen(etag);
    if (cv_answer_make(&made, 200, NULL, 0, NULL, 0, (const uint8_t *)etag, tag) != 0)
        abort();
    char text[600];
    int size = snprintf(text, sizeof text, "%s / HTTP/1.1\r\nHost: h\r\n%s\r\n", method, fields);
    uint8_t *alone = malloc((size_t)size);
    if (alone == NULL)
        abort();
    memcpy(alone, text, (size_t)size);
    cv_head head;
    cv_head_limits limits = {4096, 100};
    cv_head_progress progress = {0};
    int read = cv_head_read(alone, (size_t)size, &limits, &progress, &head);
    CHECK(read == 1);
    int matched = read == 1 ? cv_etag_matches(alone, &head, &made) : -1;
    free(alone);
    cv_answer_clear(&made);
    return matched;
}

static void entity_tags_are_compared(void)
{
    const char *yes[] = {"*", "\"a\"", "W/\"a\"", "\"b\", \"a\"", "\"b\",\"a\",\"c\"", ",, \"a\"",
                         "\t\"b\"\t,\t\"a\"", "\"b\" , W/\"a\"", "\"a\", nonsense", "\"a\""};
    const char *no[] = {"", "a", "\"b\"", "\"A\"", "\"\"", "w/\"a\"", "\"b\" \"a\"",
                        "nonsense, \"a\"", "\"a", "*, \"b\"", "\"b\", *", "W/ \"a\"", "\"aa\"",
                        "W/", "\"b c\", \"a\"", "**"};
    char fields[256];
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        snprintf(fields, sizeof fields, "If-None-Match: %s\r\n", yes[i]);
        CHECK(matches("GET", fields, "\"a\"") == 1);
        CHECK(matches("HEAD", fields, "W/\"a\"") == 1);
        CHECK(matches("POST", fields, "\"a\"") == 0);
    }
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        snprintf(fields, sizeof fields, "If-None-Match: %s\r\n", no[i]);
        CHECK(matches("GET", fields, "\"a\"") == 0);
        CHECK(matches("GET", fields, "W/\"a\"") == 0);
    }
    CHECK(matches("GET", "", "\"a\"") == 0);
    CHECK(matches("GET", "If-None-Match: \"b\"\r\nX: y\r\nif-none-match: \"a\"\r\n", "\"a\"") == 1);
    CHECK(matches("GET", "If-None-Match: b\r\nIf-None-Match:\r\nif-none-match: *\r\n", "\"a\""));
    CHECK(matches("GET", "If-None-Match: \"b\"\r\nif-none-match: \"c\"\r\n", "\"a\"") == 0);
    CHECK(matches("GET", "If-None-Match: \"\xe4\"\r\n", "\"\xe4\"") == 1);
}

static void large_tables_and_long_paths(void)
{
    enum { MANY = 10000, LONG = 65535 };
    cv_routes *routes = cv_routes_new();
    char text[64];
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, i % 2 == 0 ? "/p%d/x" : "/p%d/{}/y", i);
        int leaf = path(routes, text, i % 2 == 0 ? "" : "i");
        CHECK(leaf == i && cv_routes_set_route(routes, leaf, "GET", i, 0) == 0);
    }
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, i % 2 == 0 ? "/p%d/x" : "/p%d/7/y", i);
        CHECK(is_found(routes, text, i, i % 2 == 0 ? "" : "[7]"));
        snprintf(text, sizeof text, i % 2 == 0 ? "/%%70%d/x" : "/%%70%d/7/%%79", i);
        CHECK(is_found(routes, text, i, i % 2 == 0 ? "" : "[7]"));
    }
    static char segment[5000], deep[200], endless[LONG];
    memset(segment, 'a', sizeof segment);
    segment[0] = '/';
    CHECK(cv_routes_add_path(routes, segment, 4098, "") == -1);
    int leaf = cv_routes_add_path(routes, segment, 4097, "");
    CHECK(leaf == MANY && cv_routes_set_route(routes, leaf, "GET", 1, 0) == 0);
    CHECK(cv_routes_try(routes, "GET", segment, 4097, NULL, NULL) == 1);
    CHECK(cv_routes_try(routes, "GET", segment, 4098, NULL, NULL) == NOT_FOUND);
    memcpy(segment + 4095, "%61", 3);
    CHECK(cv_routes_try(routes, "GET", segment, 4098, NULL, NULL) == NOT_FOUND);
    memcpy(segment + 4094, "%61a", 4);
    CHECK(cv_routes_try(routes, "GET", segment, 4099, NULL, NULL) == 1);
    for (int i = 0; i < 100; i++)
        memcpy(deep + 2 * i, "/d", 2);
    CHECK(cv_routes_add_path(routes, deep, 130, "") == -1);
    leaf = cv_routes_add_path(routes, deep, 128, "");
    CHECK(leaf == MANY + 1 && cv_routes_set_route(routes, leaf, "GET", 2, 0) == 0);
    CHECK(cv_routes_try(routes, "GET", deep, 128, NULL, NULL) == 2);
    CHECK(cv_routes_try(routes, "GET", deep, 130, NULL, NULL) == NOT_FOUND);
    deep[126] = '/';
    memcpy(deep + 127, "{}", 2);
    leaf = cv_routes_add_path(routes, deep, 129, "p");
    CHECK(leaf == MANY + 2 && cv_routes_set_route(routes, leaf, "GET", 3, 0) == 0);
    memcpy(deep + 126, "/e/e", 4);
    CHECK(cv_routes_try(routes, "GET", deep, 200, NULL, NULL) == 3);
    CHECK(cv_routes_try(routes, "GET", deep, 128, NULL, NULL) == 3);
    CHECK(cv_routes_set_slash(routes, CV_SLASH_IGNORE, 0) == 0);
    CHECK(cv_routes_try(routes, "GET", deep, 126, NULL, NULL) == NOT_FOUND);
    memcpy(deep + 126, "/d/", 3);
    CHECK(cv_routes_try(routes, "GET", deep, 129, NULL, NULL) == 3);
    const char fills[] = "/a%";
    for (int i = 0; i < 3; i++) {
        memset(endless, fills[i], sizeof endless);
        endless[0] = '/';
        CHECK(cv_routes_try(routes, "GET", endless, LONG, NULL, NULL) ==
              (fills[i] == '%' ? MALFORMED : NOT_FOUND));
    }
    cv_routes_free(routes);
}

/* What a request for a host leads to, as `cv_routes_try` shows it: its head is only the host. */
static int at_host(const cv_routes *routes, const char *host)
{
    char *alone = malloc(strlen(host) + 1);
    if (alone == NULL)
        abort();
    alone[0] = '/';
    memcpy(alone + 1, host, strlen(host));
    cv_head head = {0};
    cv_match match;
    head.method = CV_METHOD_GET;
    head.path.size = 1;
    head.host = (cv_span){1, (uint16_t)strlen(host)};
    cv_routes_find(routes, (const uint8_t *)alone, &head, &match);
    free(alone);
    return match.answer == NULL ? match.route : match.answer->status;
}

static void only_allowed_hosts_are_answered(void)
{
    cv_routes *routes = cv_routes_new();
    CHECK(cv_routes_set_route(routes, path(routes, "/", ""), "GET", 7, 0) == 0);
    CHECK(at_host(routes, "anything") == 7);
    CHECK(cv_routes_allow_host(routes, "shop.example", 12) == 0);
    CHECK(cv_routes_allow_host(routes, ".api.example", 12) == 0);
    CHECK(cv_routes_allow_host(routes, "[::1]", 5) == 0);
    static const char *const allowed[] = {
        "shop.example", "SHOP.Example", "shop.example:8000", "a.api.example", "A.B.API.example:1",
        "[::1]", "[::1]:80",
    };
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        CHECK(at_host(routes, allowed[i]) == 7);
    static const char *const refused[] = {
        "", "shop.example.", "xshop.example", "a.shop.example", "hop.example", "api.example",
        ".api.example", "xapi.example", "shop.example.evil", "[::1", "::1", "[::11]", "e", ":80",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        CHECK(at_host(routes, refused[i]) == 421);
    CHECK(cv_routes_set_default(routes, 421, answer(routes, 400, "", "no", "")) == 0);
    CHECK(at_host(routes, "evil") == 400);
    CHECK(cv_routes_allow_host(routes, "", 0) == -1);
    CHECK(cv_routes_allow_host(routes, NULL, 1) == -1);
    CHECK(cv_routes_allow_host(NULL, "a", 1) == -1);
    cv_routes_free(routes);
    routes = cv_routes_new();
    for (long lack = 0; lack < 2; lack++) {
        allocations = 0;
        fail_at = lack;
        CHECK(cv_routes_allow_host(routes, "shop.example", 12) == -3);
        fail_at = LONG_MAX;
        CHECK(at_host(routes, "evil") == 404);
    }
    cv_routes_free(routes);
}

static void defaults_may_lead_to_routes(void)
{
    cv_routes *routes = cv_routes_new();
    CHECK(cv_routes_set_route(routes, path(routes, "/", ""), "GET", 1, 0) == 0);
    CHECK(cv_routes_set_default_route(routes, 404, 5) == 0);
    CHECK(cv_routes_set_default_route(routes, 400, 6) == 0);
    CHECK(cv_routes_set_default_route(routes, '*', 7) == 0);
    CHECK(lead(routes, "GET", "/none", NULL, NULL) == 5);
    CHECK(lead(routes, "GET", "none", NULL, NULL) == 6);
    CHECK(lead(routes, "OPTIONS", "*", NULL, NULL) == 7);
    CHECK(lead(routes, "GET", "/", NULL, NULL) == 1);
    CHECK(cv_routes_set_default(routes, 404, 0) == 0);
    CHECK(lead(routes, "GET", "/none", NULL, NULL) == NOT_FOUND);
    CHECK(cv_routes_set_default_route(routes, 403, 5) == -1);
    CHECK(cv_routes_set_default_route(routes, 404, -1) == -1);
    CHECK(cv_routes_set_default_route(routes, 404, 65536) == -1);
    CHECK(cv_routes_set_default_route(NULL, 404, 5) == -1);
    cv_routes_free(routes);
}

static cv_folder_options folder_options(void)
{
    return (cv_folder_options){.path = "/nowhere", .index = "i", .fallback = "", .cache = "",
                               .page_cache = "", .fields = "", .precompressed = 1};
}

static void folders_are_declared(void)
{
    cv_routes *routes = cv_routes_new();
    cv_folder_options good = folder_options(), bad = good;
    CHECK(cv_routes_add_folder(routes, &good) == 0);
    static const char *const names[] = {"/x", "a/", "a//b", "..", "a/../b", "./a", "a/."};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        bad = good;
        bad.index = names[i];
        CHECK(cv_routes_add_folder(routes, &bad) == -1);
        bad = good;
        bad.fallback = names[i];
        CHECK(cv_routes_add_folder(routes, &bad) == -1);
    }
    bad = good;
    bad.path = "";
    CHECK(cv_routes_add_folder(routes, &bad) == -1);
    bad = good;
    bad.cache = "a\r\nb";
    CHECK(cv_routes_add_folder(routes, &bad) == -1);
    bad = good;
    bad.fields = "date: x\r\n";
    bad.fields_size = 9;
    CHECK(cv_routes_add_folder(routes, &bad) == -1);
    bad = good;
    bad.missing = 99;
    CHECK(cv_routes_add_folder(routes, &bad) == -1);
    CHECK(cv_routes_add_folder(routes, NULL) == -1 && cv_routes_add_folder(NULL, &good) == -1);
    CHECK(cv_routes_add_type(routes, "js", "a/b") == -1);
    CHECK(cv_routes_add_type(routes, ".js", "") == -1);
    CHECK(cv_routes_add_type(routes, ".js", "a\nb") == -1);
    CHECK(cv_routes_add_type(NULL, ".js", "a/b") == -1);
    int leaf = path(routes, "/files/{}", "p");
    CHECK(cv_routes_set_folder(routes, leaf, "GET", 1, 3) == -1);
    CHECK(cv_routes_set_folder(routes, leaf, "GET", 0, 65536) == -1);
    CHECK(cv_routes_set_folder(routes, leaf, "GET", 0, 3) == 0);
    CHECK(lead(routes, "GET", "/files/a", NULL, NULL) == 3);
    CHECK(lead(routes, "HEAD", "/files/a", NULL, NULL) == 3);
    CHECK(lead(routes, "POST", "/files/a", NULL, NULL) < 0);
    cv_routes_free(routes);
}

/* Build a table, giving up where memory is missing. */
static void build(cv_routes *routes)
{
    int one = answer(routes, 200, "vary: a\r\n", "body", "\"tag\"");
    cv_routes_add_template(routes, 200, "a: b\r\n", 6);
    cv_folder_options given = folder_options();
    cv_routes_add_type(routes, "", "a/b");
    cv_routes_add_type(routes, ".c", "a/c");
    cv_routes_set_folder(routes, path(routes, "/files/{}", "p"), "GET",
                         cv_routes_add_folder(routes, &given), 7);
    for (int i = 0; i < 20; i++) {
        char text[32];
        snprintf(text, sizeof text, "/p%d/{}/q%d", i, i);
        int leaf = path(routes, text, i % 2 == 0 ? "i" : "s");
        cv_routes_set_route(routes, leaf, "GET", i, 0);
        cv_routes_set_route(routes, leaf, "BREW", i, 0);
        cv_routes_set_answer(routes, leaf, "HEAD", one);
        snprintf(text, sizeof text, "/plain%d", i);
        cv_routes_set_route(routes, path(routes, text, ""), "GET", 100 + i, 0);
    }
}

static int is_whole(const cv_routes *routes)
{
    int whole = 1;
    for (int i = 0; i < 20; i++) {
        char text[32];
        snprintf(text, sizeof text, "/p%d/7/q%d", i, i);
        whole &= is_found(routes, text, i, "[7]") && lead(routes, "BREW", text, NULL, NULL) == i;
        snprintf(text, sizeof text, "/plain%d", i);
        whole &= is_found(routes, text, 100 + i, "");
    }
    whole &= lead(routes, "GET", "/files/x", NULL, NULL) == 7;
    return whole;
}

static void memory_may_be_missing_anywhere(void)
{
    long needed = 0;
    for (long lack = 0; needed == 0; lack++) {
        allocations = 0;
        fail_at = lack;
        cv_routes *routes = cv_routes_new();
        if (routes != NULL)
            build(routes);
        if (allocations <= lack)
            needed = lack;
        fail_at = LONG_MAX;
        if (routes == NULL)
            continue;
        /* What is there can be asked, and what is missing can be added. */
        lead(routes, "GET", "/p1/7/q1", NULL, NULL);
        lead(routes, "PUT", "/plain3", NULL, NULL);
        build(routes);
        CHECK(is_whole(routes));
        cv_routes_free(routes);
    }
    CHECK(needed > 100);
}

static void a_table_lives_while_it_is_held(void)
{
    cv_routes *routes = cv_routes_new();
    CHECK(cv_routes_set_route(routes, path(routes, "/", ""), "GET", 3, 0) == 0);
    cv_routes_hold(routes);
    cv_routes_free(routes);
    CHECK(lead(routes, "GET", "/", NULL, NULL) == 3);
    cv_routes_free(routes);
}

int main(void)
{
    plain_text_comes_before_parameters();
    a_way_that_ends_nowhere_is_walked_back();
    types_tell_parameters_of_one_place_apart();
    a_capital_is_narrow();
    the_rest_of_a_path_is_one_parameter();
    a_slash_more_or_less();
    segments_are_decoded_after_they_are_split();
    methods_lead_where_they_should();
    everything_leads_to_one_route();
    answers_are_ready();
    what_cannot_be_sent_is_refused();
    what_is_no_path_is_refused();
    entity_tags_are_compared();
    large_tables_and_long_paths();
    only_allowed_hosts_are_answered();
    defaults_may_lead_to_routes();
    folders_are_declared();
    memory_may_be_missing_anywhere();
    a_table_lives_while_it_is_held();
    return failures != 0;
}
