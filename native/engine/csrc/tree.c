#include "tree.h"

#include <stdlib.h>
#include <string.h>

#include "escape.h"

/* Building */

static int64_t add_node(cv_tree *tree)
{
    if (tree->count == tree->room) {
        uint32_t room = tree->room == 0 ? 16 : tree->room * 2;
        if (room <= tree->room || room > INT32_MAX)
            return -3;
        cv_node *nodes = realloc(tree->nodes, room * sizeof *nodes);
        if (nodes == NULL)
            return -3;
        tree->nodes = nodes;
        tree->room = room;
    }
    memset(&tree->nodes[tree->count], 0, sizeof *tree->nodes);
    tree->nodes[tree->count].leaf = -1;
    return tree->count++;
}

/* The kind of a type's letter, or -1; a capital is narrow. */
static int kind_of(char type, int *narrow)
{
    static const char letters[] = "iudsp*";
    static const char capitals[] = "IUD";
    const char *at = type == '\0' ? NULL : strchr(capitals, type);
    *narrow = at != NULL;
    if (at != NULL)
        return (int)(at - capitals);
    at = type == '\0' ? NULL : strchr(letters, type);
    return at == NULL ? -1 : (int)(at - letters);
}

static int is_parameter(const uint8_t *at, size_t size)
{
    return size == 2 && at[0] == '{' && at[1] == '}';
}

static int is_plain(const uint8_t *at, size_t size)
{
    if (size > CV_TREE_SEGMENT || (size == 1 && at[0] == '.') ||
        (size == 2 && at[0] == '.' && at[1] == '.'))
        return 0;
    for (size_t i = 0; i < size; i++)
        if (at[i] <= ' ' || at[i] == 0x7f || strchr("{}?#%\\", at[i]) != NULL)
            return 0;
    return cv_escapes_are_valid(at, size);
}

static size_t segment_size(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *slash = memchr(at, '/', (size_t)(end - at));
    return (size_t)((slash == NULL ? end : slash) - at);
}

/* Check a template before anything is changed. Returns the number of its segments, or an error. */
static int check(const uint8_t *path, size_t size, const char *types, size_t *params)
{
    if (path == NULL || size == 0 || size > UINT16_MAX || path[0] != '/')
        return -1;
    const uint8_t *end = path + size;
    size_t given = types == NULL ? 0 : strlen(types);
    int segments = 0;
    *params = 0;
    for (const uint8_t *at = path + 1;; at++) {
        size_t length = at == end ? 0 : segment_size(at, end);
        int last = at + length == end;
        if ((length == 0 && !last) || ++segments > CV_TREE_DEPTH)
            return -1;
        if (is_parameter(at, length)) {
            int narrow;
            int kind = *params == given ? -1 : kind_of(types[*params], &narrow);
            if (kind < 0 || (kind >= CV_KIND_PATH && !last))
                return -1;
            ++*params;
        } else if (!is_plain(at, length)) {
            return -1;
        }
        at += length;
        if (last)
            break;
    }
    if (*params != given)
        return -1;
    return *params > CV_PARAMS ? -2 : segments;
}

static int64_t step_literal(cv_tree *tree, uint32_t node, const uint8_t *at, size_t size)
{
    int64_t child = cv_names_find(&tree->nodes[node].literals, at, size);
    if (child >= 0)
        return child;
    child = add_node(tree);
    if (child < 0 || cv_names_add(&tree->nodes[node].literals, at, size, (uint32_t)child) < 0)
        return -3;
    if (size > tree->longest)
        tree->longest = (uint32_t)size;
    return child;
}

static int64_t step_parameter(cv_tree *tree, uint32_t node, char type)
{
    int narrow;
    int kind = kind_of(type, &narrow);
    int64_t child = tree->nodes[node].typed[kind];
    if (child == 0) {
        child = add_node(tree);
        if (child < 0)
            return -3;
        tree->nodes[node].typed[kind] = (uint32_t)child;
        tree->nodes[node].types++;
    }
    if (narrow)
        tree->nodes[node].narrow |= 1u << kind;
    if (kind >= CV_KIND_PATH)
        tree->endless = 1;
    return child;
}

static int is_ascii(const uint8_t *at, size_t size)
{
    uint64_t seen = 0;
    for (; size >= 8; at += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        seen |= word;
    }
    for (; size > 0; at++, size--)
        seen |= *at;
    return (seen & UINT64_C(0x8080808080808080)) == 0;
}

int cv_tree_add(cv_tree *tree, const uint8_t *path, size_t size, const char *types)
{
    size_t params;
    int segments = check(path, size, types, &params);
    if (segments < 0)
        return segments;
    if (tree->count == 0 && add_node(tree) < 0)
        return -3;
    const uint8_t *at = path + 1;
    const uint8_t *end = path + size;
    int64_t node = 0;
    for (int segment = 0, param = 0; segment < segments; segment++) {
        size_t length = at == end ? 0 : segment_size(at, end);
        if (is_parameter(at, length))
            node = step_parameter(tree, (uint32_t)node, types[param++]);
        else
            node = step_literal(tree, (uint32_t)node, at, length);
        if (node < 0)
            return -3;
        at += length + 1;
    }
    if (tree->nodes[node].leaf >= 0)
        return tree->nodes[node].leaf;
    if (tree->leaves >= INT32_MAX)
        return -3;
    if (params == 0 && is_ascii(path, size)) {
        if (cv_names_add(&tree->plain, path, size, tree->leaves) < 0)
            return -3;
        if (size > tree->longest_plain)
            tree->longest_plain = (uint32_t)size;
    }
    if ((uint32_t)segments > tree->depth)
        tree->depth = (uint32_t)segments;
    tree->nodes[node].leaf = (int32_t)tree->leaves;
    return (int32_t)tree->leaves++;
}

void cv_tree_clear(cv_tree *tree)
{
    for (uint32_t node = 0; node < tree->count; node++)
        cv_names_clear(&tree->nodes[node].literals);
    free(tree->nodes);
    cv_names_clear(&tree->plain);
    memset(tree, 0, sizeof *tree);
}

/* Finding */

static int is_number(const uint8_t *at, const uint8_t *end)
{
    uint8_t byte = cv_unescape_next(&at);
    if (byte == '+' || byte == '-') {
        if (at == end)
            return 0;
        byte = cv_unescape_next(&at);
    }
    for (;;) {
        if (byte < '0' || byte > '9')
            return 0;
        if (at == end)
            return 1;
        byte = cv_unescape_next(&at);
    }
}

/* 32 hexadecimal digits, or the same in groups of 8, 4, 4, 4 and 12 with dashes between them. */
static int is_uuid(const uint8_t *at, const uint8_t *end)
{
    uint8_t text[36];
    int size = 0;
    while (at < end) {
        if (size == 36)
            return 0;
        text[size++] = cv_unescape_next(&at);
    }
    if (size != 32 && size != 36)
        return 0;
    for (int i = 0; i < size; i++) {
        int dash = size == 36 && (i == 8 || i == 13 || i == 18 || i == 23);
        if (dash ? text[i] != '-' : cv_hex(text[i]) < 0)
            return 0;
    }
    return 1;
}

/* A day of the calendar, written as 2026-11-24. */
static int is_date(const uint8_t *at, const uint8_t *end)
{
    static const uint8_t days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int number[3] = {0, 0, 0};
    int part = 0;
    for (int i = 0; i < 10; i++) {
        if (at == end)
            return 0;
        uint8_t byte = cv_unescape_next(&at);
        if (i == 4 || i == 7) {
            if (byte != '-')
                return 0;
            part++;
        } else {
            if (byte < '0' || byte > '9')
                return 0;
            number[part] = number[part] * 10 + (byte - '0');
        }
    }
    int year = number[0], month = number[1], day = number[2];
    if (at != end || year < 1 || month < 1 || month > 12 || day < 1 || day > days[month - 1])
        return 0;
    int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month != 2 || day < 29 || leap;
}

/* Whoever joins it to a folder stays in there: it has no slash at its start, and no segment that
 * stands for the folder or the one above. */
static int is_relative(const uint8_t *at, const uint8_t *end)
{
    size_t size = 0, dots = 0;
    for (const uint8_t *begin = at; at < end;) {
        int first = at == begin;
        uint8_t byte = cv_unescape_next(&at);
        if (byte != '/') {
            size++;
            dots += byte == '.';
            continue;
        }
        if (first || (size == dots && (size == 1 || size == 2)))
            return 0;
        size = dots = 0;
    }
    return size != dots || size == 0 || size > 2;
}

static int fits(int kind, const uint8_t *at, size_t size)
{
    switch (kind) {
    case CV_KIND_NUMBER:
        return is_number(at, at + size);
    case CV_KIND_UUID:
        return is_uuid(at, at + size);
    case CV_KIND_DATE:
        return is_date(at, at + size);
    default:
        return 1;
    }
}

typedef struct search {
    const cv_tree *tree;
    const uint8_t *path;
    size_t size;
    cv_span *param;
    uint16_t params;
    uint16_t segments;
    int escaped;
    cv_span segment[CV_TREE_DEPTH + 1]; /* one more for what is deeper than every template */
} search;

/* Kept out of line: its text would be on the stack once for each segment. */
__attribute__((noinline)) static int64_t
literal_decoded(const search *is, const cv_names *literals, const uint8_t *at, size_t size)
{
    uint8_t text[CV_TREE_SEGMENT];
    size_t length = 0;
    for (const uint8_t *end = at + size; at < end;) {
        if (length == is->tree->longest)
            return -1;
        text[length++] = cv_unescape_next(&at);
    }
    return cv_names_find(literals, text, length);
}

/* The leaf of a parameter that takes the rest of the path from a segment on, or -1. */
static int take_rest(search *is, const cv_node *node, cv_span segment)
{
    size_t size = is->size - segment.at;
    const uint8_t *at = is->path + segment.at;
    int kind = CV_KIND_PATH;
    if (node->typed[kind] == 0 || segment.size == 0 || !is_relative(at, at + size))
        kind = CV_KIND_EVERYTHING;
    if (node->typed[kind] == 0)
        return -1;
    is->param[is->params++] = (cv_span){segment.at, (uint16_t)size};
    return is->tree->nodes[node->typed[kind]].leaf;
}

/* The leaf at the end of what begins at a node with a segment, or -1; recursion is as deep as the
 * template with the most segments. */
static int descend(search *is, uint32_t number, unsigned index)
{
    for (;;) {
        const cv_node *node = &is->tree->nodes[number];
        if (index == is->segments)
            return node->leaf;
        cv_span segment = is->segment[index++];
        const uint8_t *at = is->path + segment.at;
        int64_t literal = is->escaped && memchr(at, '%', segment.size) != NULL
                              ? literal_decoded(is, &node->literals, at, segment.size)
                              : cv_names_find(&node->literals, at, segment.size);
        if (node->types == 0) {
            if (literal < 0)
                return -1;
            number = (uint32_t)literal;
            continue;
        }
        uint16_t before = is->params;
        if (literal >= 0) {
            int leaf = descend(is, (uint32_t)literal, index);
            if (leaf >= 0)
                return leaf;
        }
        uint32_t last = 0;
        uint32_t left = segment.size == 0 ? 0 : node->types;
        for (int kind = 0; left > 0 && kind < CV_KIND_PATH; kind++) {
            if (node->typed[kind] == 0)
                continue;
            left--;
            if ((node->types > 1 || (node->narrow >> kind & 1)) && !fits(kind, at, segment.size))
                continue;
            is->param[before] = segment;
            is->params = (uint16_t)(before + 1);
            if (left == 0) {
                last = node->typed[kind];
                break;
            }
            int leaf = descend(is, node->typed[kind], index);
            if (leaf >= 0)
                return leaf;
        }
        if (last == 0) {
            is->params = before;
            return take_rest(is, node, segment);
        }
        number = last;
    }
}

/* The leaf at a path that was checked, or -1. `closed`: as if one more slash were at its end. */
static int walk(search *is, size_t size, int closed)
{
    uint32_t depth = is->tree->depth;
    unsigned segments = 0;
    size_t from = 1;
    is->size = size;
    is->params = 0;
    for (size_t at = 1;; at++) {
        if (at < size && is->path[at] != '/')
            continue;
        if (segments == depth) {
            if (!is->tree->endless)
                return -1;
            at = size; /* the rest in one piece */
        }
        is->segment[segments].at = (uint16_t)from;
        is->segment[segments++].size = (uint16_t)(at - from);
        if (at == size)
            break;
        from = at + 1;
    }
    if (closed) {
        if (segments >= depth)
            return -1;
        is->segment[segments++] = (cv_span){(uint16_t)size, 0};
    }
    is->segments = (uint16_t)segments;
    return descend(is, 0, 0);
}

int cv_tree_find(const cv_tree *tree, const uint8_t *path, size_t size, int escaped,
                 cv_span param[CV_PARAMS], uint16_t *params, int *other)
{
    *params = 0;
    if (other != NULL)
        *other = 0;
    if (!escaped && size <= tree->longest_plain) {
        int64_t leaf = cv_names_find(&tree->plain, path, size);
        if (leaf >= 0)
            return (int)leaf;
    }
    if (!is_ascii(path, size) || (escaped && !cv_escapes_are_valid(path, size)))
        return CV_TREE_MALFORMED;
    if (tree->count == 0 || size == 0 || path[0] != '/')
        return CV_TREE_NOTHING;
    search is;
    is.tree = tree;
    is.path = path;
    is.param = param;
    is.escaped = escaped;
    int leaf = walk(&is, size, 0);
    if (leaf < 0 && other != NULL && size > 1) {
        int closed = path[size - 1] != '/';
        leaf = closed ? walk(&is, size, 1) : walk(&is, size - 1, 0);
        *other = leaf >= 0;
    }
    if (leaf < 0)
        return CV_TREE_NOTHING;
    *params = is.params;
    return leaf;
}
