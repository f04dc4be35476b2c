/* The heads of answers that are prepared, and entity tags. */
#ifndef COVET_ANSWERS_H
#define COVET_ANSWERS_H

#include "routes.h"

/* Whether these are whole lines "name: value" with CRLF, of valid names and values, and none of
 * Connection, Content-Length, Date, Transfer-Encoding and the like, which are added when an answer
 * is sent. */
int cv_fields_are_ready(const uint8_t *at, size_t size);

/* Both return 0; -1: a status, field or tag that cannot be sent; -3: no memory. */
int cv_answer_make(cv_answer *answer, int status, const uint8_t *fields, size_t fields_size,
                   const uint8_t *body, size_t body_size, const uint8_t *etag, size_t etag_size);
int cv_template_make(cv_template *made, int status, const uint8_t *fields, size_t fields_size);

void cv_answer_clear(cv_answer *answer);
void cv_template_clear(cv_template *made);

#endif
