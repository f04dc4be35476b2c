/* From a path to the number of its leaf: whole plain paths by one look-up, the others by a tree of
 * segments. */
#ifndef COVET_TREE_H
#define COVET_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "covet_engine.h"
#include "head.h"
#include "names.h"

enum {
    CV_TREE_DEPTH = 64, /* segments of one template */
    CV_TREE_SEGMENT = 4096 /* bytes of one plain segment */
};

/* What may stand where a parameter is, in the order it is tried. */
enum cv_kind {
    CV_KIND_NUMBER,
    CV_KIND_UUID,
    CV_KIND_DATE,
    CV_KIND_TEXT,
    CV_KIND_PATH, /* the whole rest, which stays below where it begins */
    CV_KIND_EVERYTHING, /* the whole rest, be it nothing */
    CV_KINDS
};

/* What follows one segment, and what is there itself. */
typedef struct cv_node {
    cv_names literals; /* to the number of a node */
    uint32_t typed[CV_KINDS]; /* nodes behind a parameter of each kind; 0: none */
    uint32_t types; /* how many of those there are */
    uint32_t narrow; /* a bit for each kind that nothing else fits, even where it stands alone */
    int32_t leaf; /* -1: nothing is there */
} cv_node;

/* All zero for an empty tree. */
typedef struct cv_tree {
    cv_node *nodes; /* the first is the root */
    uint32_t count, room;
    uint32_t leaves; /* they are numbered in the order they came */
    uint32_t depth; /* segments of the longest template */
    int endless; /* whether a template takes the rest of a path */
    uint32_t longest; /* bytes of the longest plain segment */
    uint32_t longest_plain; /* bytes of the longest path in `plain` */
    cv_names plain; /* templates without parameters, of ASCII */
} cv_tree;

/* Returns the leaf's number, the same for the same path and types; -1: malformed, -2: too many
 * parameters, -3: no memory. */
int cv_tree_add(cv_tree *tree, const uint8_t *path, size_t size, const char *types);

enum { CV_TREE_NOTHING = -1, CV_TREE_MALFORMED = -2 };

/* Returns a leaf's number, or CV_TREE_NOTHING, or CV_TREE_MALFORMED for a path that cannot be
 * decoded or is not ASCII. Parameters stay encoded; offsets are from `path`. `escaped`: it has an
 * escape. `other`, unless NULL: where nothing is found, look for the path with a slash more at its
 * end, or without the one it has, and say whether that was found. Visits each node at most once, or
 * twice then: the templates bound the time, whatever the path. */
int cv_tree_find(const cv_tree *tree, const uint8_t *path, size_t size, int escaped,
                 cv_span param[CV_PARAMS], uint16_t *params, int *other);

void cv_tree_clear(cv_tree *tree);

#endif
