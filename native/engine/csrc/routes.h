/* One serving phase's routes and the answers that need no Python; never changed once built. */
#ifndef COVET_ROUTES_H
#define COVET_ROUTES_H

#include "covet_engine.h"
#include "file_folder.h"
#include "head.h"

/* A complete answer, ready but for the date and what the connection is told. */
typedef struct cv_answer {
    uint8_t *head; /* status line, fields and Content-Length, each line with its CRLF, no empty line */
    uint32_t head_size;
    uint8_t *body;
    uint32_t body_size;
    uint16_t status;
    uint8_t *etag; /* compared with If-None-Match; NULL: not conditional */
    uint32_t etag_size;
    uint8_t *unmodified; /* the head of the 304, as `head` */
    uint32_t unmodified_size;
} cv_answer;

/* The head of an answer whose body comes from Python: as `head` above, without Content-Length. */
typedef struct cv_template {
    uint8_t *head;
    uint32_t head_size;
    uint16_t status;
} cv_template;

typedef struct cv_match {
    const cv_answer *answer; /* what to say, or NULL: call `route` */
    const cv_folder *folder; /* one of its files may be the answer; NULL: none */
    uint16_t route;
    uint16_t flags; /* enum cv_route_flag */
    uint16_t params;
    cv_span param[CV_PARAMS]; /* still percent-encoded, in the template's order */
} cv_match;

/* What answers a head that was read. Always finds something: a route, its 405, OPTIONS, or the 404
 * or 400 of the table; a table without any of them gives an empty answer of that status. */
void cv_routes_find(const cv_routes *routes, const uint8_t *at, const cv_head *head, cv_match *match);

/* NULL if there is no such answer. */
const cv_answer *cv_routes_answer(const cv_routes *routes, uint32_t number);
/* Let a handshake of WebSocket lead where cv_routes_set_upgrade says, if it has said so. */
void cv_routes_upgrade(const cv_routes *routes, cv_match *match);

/* NULL if there is no such template. */
const cv_template *cv_routes_template(const cv_routes *routes, uint16_t code);

/* NULL if it has none. */
typedef struct cv_arguments cv_arguments;
const cv_arguments *cv_routes_arguments(const cv_routes *routes, uint16_t route);

/* The table is shared by the phase that serves and the connections that still write its answers. */
void cv_routes_hold(cv_routes *routes);

/* Whether If-None-Match holds this entity tag (weak comparison, RFC 9110, 13.1.2). */
int cv_etag_matches(const uint8_t *at, const cv_head *head, const cv_answer *answer);

#endif
