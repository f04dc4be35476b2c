#include "routes.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "arguments.h"
#include "tree.h"

enum { CV_OWN = 4, CV_NOT_FOUND = 0, CV_MALFORMED = 1, CV_ASTERISK = 2, CV_MISDIRECTED = 3 };

/* What a method leads to. */
typedef struct target {
    uint8_t kind; /* enum target_kind */
    uint8_t own; /* an answer the table made itself */
    uint16_t flags;
    uint32_t number;
} target;

/* A folder's number is in the upper half, in the lower that of the route that knows the rest. */
enum target_kind { TO_NOTHING, TO_ROUTE, TO_ANSWER, TO_FOLDER };

typedef struct other_method {
    char *name;
    target to;
} other_method;

typedef struct leaf {
    target methods[CV_METHODS]; /* CV_METHOD_OTHER: the 405 */
    other_method *others;
    uint32_t count; /* of others */
} leaf;

/* A host in lower case; one that begins with a dot stands for all below it. */
typedef struct host {
    char *name;
    size_t size;
} host;

struct cv_routes {
    uint32_t holds;
    uint8_t everything;
    uint8_t upgrades; /* handshakes lead to `upgrade` */
    uint16_t upgrade;
    cv_tree tree;
    leaf *leaves;
    cv_answer *answers;
    cv_template *templates;
    uint32_t leaf_count, leaf_room;
    uint32_t answer_count, answer_room;
    uint32_t template_count, template_room;
    cv_folder *folders;
    uint32_t folder_count, folder_room;
    cv_media_types types;
    target defaults[CV_OWN];
    target all;
    host *hosts; /* none: all */
    uint32_t host_count, host_room;
    uint8_t slash; /* enum cv_slash */
    target redirect;
    cv_arguments **arguments; /* by route; NULL: it has none */
    uint32_t argument_count;
};

static const char *const METHODS[CV_METHODS] = {
    [CV_METHOD_GET] = "GET",         [CV_METHOD_HEAD] = "HEAD",
    [CV_METHOD_POST] = "POST",       [CV_METHOD_PUT] = "PUT",
    [CV_METHOD_DELETE] = "DELETE",   [CV_METHOD_OPTIONS] = "OPTIONS",
    [CV_METHOD_PATCH] = "PATCH",     [CV_METHOD_CONNECT] = "CONNECT",
    [CV_METHOD_TRACE] = "TRACE",
};

/* Room for one more item: where they are now, or NULL without memory, and nothing has changed. */
static void *grow(void *items, size_t size, uint32_t count, uint32_t *room)
{
    if (count < *room)
        return items;
    uint32_t more = *room == 0 ? 8 : *room * 2;
    if (more <= *room || more > INT32_MAX)
        return NULL;
    void *grown = realloc(items, more * size);
    if (grown != NULL)
        *room = more;
    return grown;
}

static int add_answer(cv_routes *routes, int status, const uint8_t *fields, size_t fields_size,
                      const uint8_t *body, size_t body_size, const uint8_t *etag, size_t etag_size)
{
    cv_answer *answers =
        grow(routes->answers, sizeof *answers, routes->answer_count, &routes->answer_room);
    if (answers == NULL)
        return -3;
    routes->answers = answers;
    int made = cv_answer_make(&answers[routes->answer_count], status, fields, fields_size, body,
                              body_size, etag, etag_size);
    return made < 0 ? made : (int)routes->answer_count++;
}

cv_routes *cv_routes_new(void)
{
    static const int statuses[CV_OWN] = {404, 400, 204, 421};
    cv_routes *routes = calloc(1, sizeof *routes);
    if (routes == NULL)
        return NULL;
    routes->holds = 1;
    for (uint32_t i = 0; i < CV_OWN; i++) {
        int answer = add_answer(routes, statuses[i], NULL, 0, NULL, 0, NULL, 0);
        if (answer < 0) {
            cv_routes_free(routes);
            return NULL;
        }
        routes->defaults[i] = (target){.kind = TO_ANSWER, .number = (uint32_t)answer};
    }
    return routes;
}

void cv_routes_hold(cv_routes *routes)
{
    if (routes != NULL)
        routes->holds++;
}

void cv_routes_free(cv_routes *routes)
{
    if (routes == NULL || --routes->holds > 0)
        return;
    for (uint32_t i = 0; i < routes->leaf_count; i++) {
        for (uint32_t other = 0; other < routes->leaves[i].count; other++)
            free(routes->leaves[i].others[other].name);
        free(routes->leaves[i].others);
    }
    for (uint32_t i = 0; i < routes->answer_count; i++)
        cv_answer_clear(&routes->answers[i]);
    for (uint32_t i = 0; i < routes->template_count; i++)
        cv_template_clear(&routes->templates[i]);
    for (uint32_t i = 0; i < routes->folder_count; i++)
        cv_folder_clear(&routes->folders[i]);
    cv_media_types_clear(&routes->types);
    for (uint32_t i = 0; i < routes->host_count; i++)
        free(routes->hosts[i].name);
    for (uint32_t i = 0; i < routes->argument_count; i++) {
        cv_arguments *arguments = routes->arguments[i];
        for (uint32_t each = 0; arguments != NULL && each < arguments->count; each++)
            free(arguments->each[each].name);
        free(arguments);
    }
    free(routes->arguments);
    free(routes->hosts);
    free(routes->leaves);
    free(routes->answers);
    free(routes->templates);
    free(routes->folders);
    cv_tree_clear(&routes->tree);
    free(routes);
}

/* Building */

int cv_routes_add_template(cv_routes *routes, int status, const char *fields, size_t fields_size)
{
    if (routes == NULL)
        return -1;
    if (routes->template_count > UINT16_MAX)
        return -2;
    cv_template *templates =
        grow(routes->templates, sizeof *templates, routes->template_count, &routes->template_room);
    if (templates == NULL)
        return -3;
    routes->templates = templates;
    int made = cv_template_make(&templates[routes->template_count], status,
                                (const uint8_t *)fields, fields_size);
    return made < 0 ? made : (int)routes->template_count++;
}

int cv_routes_add_answer(cv_routes *routes, int status, const char *fields, size_t fields_size,
                         const char *body, size_t body_size, const char *etag, size_t etag_size)
{
    if (routes == NULL)
        return -1;
    return add_answer(routes, status, (const uint8_t *)fields, fields_size, (const uint8_t *)body,
                      body_size, (const uint8_t *)etag, etag_size);
}

int cv_routes_add_path(cv_routes *routes, const char *path, size_t path_size, const char *types)
{
    if (routes == NULL)
        return -1;
    /* Before the tree knows the leaf, so that its number is never without one. */
    leaf *leaves = grow(routes->leaves, sizeof *leaves, routes->leaf_count, &routes->leaf_room);
    if (leaves == NULL)
        return -3;
    routes->leaves = leaves;
    int number = cv_tree_add(&routes->tree, (const uint8_t *)path, path_size, types);
    if (number >= 0 && (uint32_t)number == routes->leaf_count)
        memset(&leaves[routes->leaf_count++], 0, sizeof *leaves);
    return number;
}

static enum cv_method method_of(const char *name)
{
    for (int method = 1; method < CV_METHODS; method++)
        if (strcmp(METHODS[method], name) == 0)
            return (enum cv_method)method;
    return CV_METHOD_OTHER;
}

static target *other_of(leaf *at, const char *name)
{
    for (uint32_t i = 0; i < at->count; i++)
        if (strcmp(at->others[i].name, name) == 0)
            return &at->others[i].to;
    other_method *others = realloc(at->others, (at->count + 1) * sizeof *others);
    if (others == NULL)
        return NULL;
    at->others = others;
    size_t size = strlen(name) + 1;
    char *copy = malloc(size);
    if (copy == NULL)
        return NULL;
    memcpy(copy, name, size);
    memset(&others[at->count], 0, sizeof *others);
    others[at->count].name = copy;
    return &others[at->count++].to;
}

static char *put_name(char *to, const char *name)
{
    size_t size = strlen(name);
    memcpy(to, name, size);
    memcpy(to + size, ", ", 2);
    return to + size + 2;
}

/* "allow: GET, HEAD, OPTIONS" with its CRLF, to be freed; NULL without memory. */
static char *allow_of(const leaf *at, size_t *size)
{
    size_t room = 128;
    for (uint32_t i = 0; i < at->count; i++)
        room += strlen(at->others[i].name) + 2;
    char *line = malloc(room);
    if (line == NULL)
        return NULL;
    memcpy(line, "allow: ", 7);
    char *to = line + 7;
    for (int method = 1; method < CV_METHODS; method++)
        if (at->methods[method].kind != TO_NOTHING || method == CV_METHOD_OPTIONS ||
            (method == CV_METHOD_HEAD && at->methods[CV_METHOD_GET].kind != TO_NOTHING))
            to = put_name(to, METHODS[method]);
    for (uint32_t i = 0; i < at->count; i++)
        to = put_name(to, at->others[i].name);
    memcpy(to - 2, "\r\n", 2);
    *size = (size_t)(to - line);
    return line;
}

/* Renew one of a leaf's answers that the table makes itself, unless somebody set another. */
static int renew(cv_routes *routes, target *at, int status, const char *allow, size_t size)
{
    if (at->kind != TO_NOTHING && !at->own)
        return 0;
    if (at->kind == TO_NOTHING) {
        int number = add_answer(routes, status, (const uint8_t *)allow, size, NULL, 0, NULL, 0);
        if (number < 0)
            return number;
        *at = (target){.kind = TO_ANSWER, .own = 1, .number = (uint32_t)number};
        return 0;
    }
    cv_answer made;
    int result =
        cv_answer_make(&made, status, (const uint8_t *)allow, size, NULL, 0, NULL, 0);
    if (result < 0)
        return result;
    cv_answer_clear(&routes->answers[at->number]);
    routes->answers[at->number] = made;
    return 0;
}

static int set(cv_routes *routes, int number, const char *method, target to)
{
    if (routes == NULL || method == NULL || number < 0 || (uint32_t)number >= routes->leaf_count)
        return -1;
    size_t size = strlen(method);
    if (size > UINT16_MAX || (size > 0 && !cv_is_token((const uint8_t *)method, size)))
        return -1;
    leaf *at = &routes->leaves[number];
    enum cv_method known = method_of(method);
    target *entry = known != CV_METHOD_OTHER || size == 0 ? &at->methods[known]
                                                          : other_of(at, method);
    if (entry == NULL)
        return -3;
    *entry = to;
    size_t allow_size;
    char *allow = allow_of(at, &allow_size);
    if (allow == NULL)
        return -3;
    int result = renew(routes, &at->methods[CV_METHOD_OPTIONS], 204, allow, allow_size);
    if (result == 0)
        result = renew(routes, &at->methods[CV_METHOD_OTHER], 405, allow, allow_size);
    free(allow);
    return result;
}

int cv_routes_set_route(cv_routes *routes, int leaf, const char *method, int route, int flags)
{
    if (route < 0 || route > UINT16_MAX || flags < 0 || flags > UINT16_MAX)
        return -1;
    target to = {.kind = TO_ROUTE, .flags = (uint16_t)flags, .number = (uint32_t)route};
    return set(routes, leaf, method, to);
}

int cv_routes_set_answer(cv_routes *routes, int leaf, const char *method, int answer)
{
    if (routes == NULL || answer < 0 || (uint32_t)answer >= routes->answer_count)
        return -1;
    target to = {.kind = TO_ANSWER, .number = (uint32_t)answer};
    return set(routes, leaf, method, to);
}

static int is_answer(const cv_routes *routes, int number)
{
    return number >= 0 && (uint32_t)number < routes->answer_count;
}

int cv_routes_add_folder(cv_routes *routes, const cv_folder_options *options)
{
    if (routes == NULL || options == NULL || !is_answer(routes, options->missing) ||
        !is_answer(routes, options->failed) || !is_answer(routes, options->busy))
        return -1;
    if (routes->folder_count > UINT16_MAX)
        return -2;
    cv_folder *folders =
        grow(routes->folders, sizeof *folders, routes->folder_count, &routes->folder_room);
    if (folders == NULL)
        return -3;
    routes->folders = folders;
    cv_folder *made = &folders[routes->folder_count];
    int result = cv_folder_make(made, options);
    if (result < 0)
        return result;
    made->types = &routes->types;
    made->number = routes->folder_count;
    return (int)routes->folder_count++;
}

int cv_routes_add_type(cv_routes *routes, const char *suffix, const char *type)
{
    if (routes == NULL || suffix == NULL || type == NULL)
        return -1;
    return cv_media_types_add(&routes->types, suffix, type);
}

int cv_routes_set_folder(cv_routes *routes, int leaf, const char *method, int folder, int route)
{
    if (routes == NULL || folder < 0 || (uint32_t)folder >= routes->folder_count || route < 0 ||
        route > UINT16_MAX)
        return -1;
    target to = {.kind = TO_FOLDER, .number = (uint32_t)folder << 16 | (uint32_t)route};
    return set(routes, leaf, method, to);
}

/* The arguments of a route, made if there are none yet; NULL without memory. */
static cv_arguments *arguments_of(cv_routes *routes, uint32_t route)
{
    if (route >= routes->argument_count) {
        uint32_t count = route + 1 + route / 2;
        cv_arguments **grown = realloc(routes->arguments, count * sizeof *grown);
        if (grown == NULL)
            return NULL;
        memset(grown + routes->argument_count, 0,
               (count - routes->argument_count) * sizeof *grown);
        routes->arguments = grown;
        routes->argument_count = count;
    }
    if (routes->arguments[route] == NULL)
        routes->arguments[route] = calloc(1, sizeof **routes->arguments);
    return routes->arguments[route];
}

int cv_routes_take(cv_routes *routes, int route, uint32_t most, int param, const char *name,
                   size_t name_size, int type, int at, int size)
{
    if (routes == NULL || route < 0 || route > UINT16_MAX || most == 0 || param < -1 ||
        param >= CV_PARAMS || (param < 0 && name == NULL) || name_size > UINT8_MAX ||
        (type != 'i' && type != 's') || at < 0 || size < (type == 'i' ? 8 : 2) ||
        at > CV_ARGUMENT_BYTES || size > CV_ARGUMENT_BYTES - at)
        return -1;
    cv_arguments *arguments = arguments_of(routes, (uint32_t)route);
    if (arguments == NULL)
        return -3;
    if (arguments->count == CV_ARGUMENTS)
        return -2;
    char *copy = NULL;
    if (param < 0) {
        copy = malloc(name_size + 1);
        if (copy == NULL)
            return -3;
        memcpy(copy, name, name_size);
    }
    arguments->most = most;
    arguments->each[arguments->count++] = (cv_argument){
        .name = copy,
        .name_size = (uint16_t)name_size,
        .param = (uint8_t)(param < 0 ? 0 : param),
        .type = (uint8_t)type,
        .at = (uint8_t)at,
        .size = (uint8_t)size,
    };
    return 0;
}

static int set_default(cv_routes *routes, int status, target to)
{
    switch (status) {
    case 404:
        routes->defaults[CV_NOT_FOUND] = to;
        return 0;
    case 400:
        routes->defaults[CV_MALFORMED] = to;
        return 0;
    case '*':
        routes->defaults[CV_ASTERISK] = to;
        return 0;
    case 421:
        routes->defaults[CV_MISDIRECTED] = to;
        return 0;
    default:
        return -1;
    }
}

int cv_routes_set_default(cv_routes *routes, int status, int answer)
{
    if (routes == NULL || answer < 0 || (uint32_t)answer >= routes->answer_count)
        return -1;
    target to = {.kind = TO_ANSWER, .number = (uint32_t)answer};
    return set_default(routes, status, to);
}

int cv_routes_set_default_route(cv_routes *routes, int status, int route)
{
    if (routes == NULL || route < 0 || route > UINT16_MAX)
        return -1;
    target to = {.kind = TO_ROUTE, .number = (uint32_t)route};
    return set_default(routes, status, to);
}

int cv_routes_allow_host(cv_routes *routes, const char *name, size_t size)
{
    if (routes == NULL || name == NULL || size == 0 || size > UINT16_MAX)
        return -1;
    host *hosts = grow(routes->hosts, sizeof *hosts, routes->host_count, &routes->host_room);
    if (hosts == NULL)
        return -3;
    routes->hosts = hosts;
    char *copy = malloc(size);
    if (copy == NULL)
        return -3;
    memcpy(copy, name, size);
    hosts[routes->host_count++] = (host){copy, size};
    return 0;
}

void cv_routes_set_upgrade(cv_routes *routes, int route)
{
    routes->upgrades = 1;
    routes->upgrade = (uint16_t)route;
}

void cv_routes_set_everything(cv_routes *routes, int route, int flags)
{
    if (routes == NULL || route < 0 || route > UINT16_MAX || flags < 0 || flags > UINT16_MAX)
        return;
    routes->all = (target){.kind = TO_ROUTE, .flags = (uint16_t)flags, .number = (uint32_t)route};
    routes->everything = 1;
}

int cv_routes_set_slash(cv_routes *routes, int slash, int route)
{
    if (routes == NULL || slash < CV_SLASH_STRICT || slash > CV_SLASH_REDIRECT || route < 0 ||
        route > UINT16_MAX)
        return -1;
    routes->slash = (uint8_t)slash;
    routes->redirect = (target){.kind = TO_ROUTE, .number = (uint32_t)route};
    return 0;
}

/* Finding */

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte | 0x20) : byte;
}

/* Whether bytes end in a host of the table, which is in lower case. */
static int ends_in(const uint8_t *at, size_t size, const host *known)
{
    at += size - known->size;
    for (size_t i = 0; i < known->size; i++)
        if (lower(at[i]) != (uint8_t)known->name[i])
            return 0;
    return 1;
}

/* Whether the head is for one of the table's hosts, whatever its port. It was found to be a host. */
static int is_allowed(const cv_routes *routes, const uint8_t *at, const cv_head *head)
{
    const uint8_t *name = at + head->host.at;
    size_t size = head->host.size;
    for (size_t i = size; i > 0 && name[i - 1] != ']'; i--) {
        if (name[i - 1] == ':') {
            size = i - 1;
            break;
        }
    }
    for (uint32_t i = 0; i < routes->host_count; i++) {
        const host *known = &routes->hosts[i];
        int below = known->name[0] == '.';
        if ((below ? size > known->size : size == known->size) && ends_in(name, size, known))
            return 1;
    }
    return 0;
}

/* Of a leaf without any method. */
static const target NOTHING = {.kind = TO_ANSWER, .number = CV_NOT_FOUND};

static const target *target_of(const leaf *at, const uint8_t *head_at, const cv_head *head)
{
    const target *found = &at->methods[head->method];
    if (head->method == CV_METHOD_OTHER) {
        const uint8_t *name = head_at + head->method_name.at;
        for (uint32_t i = 0; i < at->count; i++)
            if (strlen(at->others[i].name) == head->method_name.size &&
                memcmp(at->others[i].name, name, head->method_name.size) == 0)
                return &at->others[i].to;
    } else if (head->method == CV_METHOD_HEAD && found->kind == TO_NOTHING) {
        found = &at->methods[CV_METHOD_GET];
    }
    if (found->kind == TO_NOTHING)
        found = &at->methods[CV_METHOD_OTHER];
    return found->kind == TO_NOTHING ? &NOTHING : found;
}

/* Returns what a head leads to; NULL: to the table's default number `missing`. */
static const target *search(const cv_routes *routes, const uint8_t *at, const cv_head *head,
                            cv_match *match, int *missing)
{
    match->params = 0;
    if (routes->everything)
        return &routes->all;
    if (routes->host_count > 0 && !is_allowed(routes, at, head)) {
        *missing = CV_MISDIRECTED;
        return NULL;
    }
    const uint8_t *path = at + head->path.at;
    size_t size = head->path.size;
    if (size == 0) {
        path = (const uint8_t *)"/"; /* of "http://host" */
        size = 1;
    } else if (*path != '/') {
        int asterisk = size == 1 && *path == '*' && head->method == CV_METHOD_OPTIONS;
        *missing = asterisk ? CV_ASTERISK : CV_MALFORMED;
        return NULL;
    }
    int other = 0;
    int leaf = cv_tree_find(&routes->tree, path, size, (head->flags & CV_HEAD_ESCAPED) != 0,
                            match->param, &match->params,
                            routes->slash == CV_SLASH_STRICT ? NULL : &other);
    if (leaf < 0) {
        *missing = leaf == CV_TREE_MALFORMED ? CV_MALFORMED : CV_NOT_FOUND;
        return NULL;
    }
    for (uint16_t i = 0; i < match->params; i++)
        match->param[i].at = (uint16_t)(match->param[i].at + head->path.at);
    const struct leaf *found = &routes->leaves[leaf];
    const target *to = target_of(found, at, head);
    if (!other || routes->slash != CV_SLASH_REDIRECT)
        return to;
    /* A method that is not there either is told so here; a preflight must not be redirected. */
    if (to == &NOTHING || to == &found->methods[CV_METHOD_OTHER] ||
        head->method == CV_METHOD_OPTIONS)
        return to;
    match->params = 0;
    return &routes->redirect;
}

void cv_routes_find(const cv_routes *routes, const uint8_t *at, const cv_head *head,
                    cv_match *match)
{
    int missing = 0;
    const target *to = search(routes, at, head, match, &missing);
    if (to == NULL) {
        to = &routes->defaults[missing];
        match->params = 0;
    }
    match->folder = NULL;
    if (to->kind == TO_ANSWER) {
        match->answer = &routes->answers[to->number];
        match->route = 0;
        match->flags = 0;
        match->params = 0;
        return;
    }
    match->answer = NULL;
    if (to->kind == TO_FOLDER)
        match->folder = &routes->folders[to->number >> 16];
    match->route = (uint16_t)to->number;
    match->flags = to->flags;
}

void cv_routes_upgrade(const cv_routes *routes, cv_match *match)
{
    if (routes->upgrades)
        *match = (cv_match){.route = routes->upgrade};
}

const cv_arguments *cv_routes_arguments(const cv_routes *routes, uint16_t route)
{
    return route < routes->argument_count ? routes->arguments[route] : NULL;
}

const cv_answer *cv_routes_answer(const cv_routes *routes, uint32_t number)
{
    return number < routes->answer_count ? &routes->answers[number] : NULL;
}

const cv_template *cv_routes_template(const cv_routes *routes, uint16_t code)
{
    return code < routes->template_count ? &routes->templates[code] : NULL;
}

int cv_routes_try(const cv_routes *routes, const char *method, const char *path, size_t path_size,
                  uint16_t *param, int *params)
{
    if (params != NULL)
        *params = 0;
    if (routes == NULL || method == NULL || path == NULL || path_size > UINT16_MAX ||
        strlen(method) > UINT16_MAX)
        return INT_MIN;
    /* Spans count from one place: the path's. The method of a route of its own name is rare enough
     * that the two are put together only for it. */
    cv_head head = {0};
    head.method = (uint8_t)method_of(method);
    head.path.size = (uint16_t)path_size;
    if (memchr(path, '%', path_size) != NULL)
        head.flags = CV_HEAD_ESCAPED;
    const uint8_t *at = (const uint8_t *)path;
    uint8_t *joined = NULL;
    size_t method_size = strlen(method);
    if (head.method == CV_METHOD_OTHER) {
        if (path_size + method_size > UINT16_MAX)
            return INT_MIN;
        joined = malloc(path_size + method_size + 1);
        if (joined == NULL)
            return INT_MIN;
        memcpy(joined, path, path_size);
        memcpy(joined + path_size, method, method_size);
        head.method_name = (cv_span){(uint16_t)path_size, (uint16_t)method_size};
        at = joined;
    }
    cv_match match;
    cv_routes_find(routes, at, &head, &match);
    free(joined);
    if (params != NULL)
        *params = match.params;
    for (int i = 0; param != NULL && i < match.params; i++) {
        param[2 * i] = match.param[i].at;
        param[2 * i + 1] = match.param[i].size;
    }
    return match.answer == NULL ? match.route : -(int)(match.answer - routes->answers) - 1;
}
