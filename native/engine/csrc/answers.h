/* The heads of answers: status lines, the rules for fields, entity tags. */
#ifndef COVET_ANSWERS_H
#define COVET_ANSWERS_H

#include "routes.h"

/* The reason phrase of a status, "" for one that has none. */
const char *cv_reason(int status);

enum { CV_STATUS_LINE = 80 }; /* room for any status line with its CRLF */

/* Write "HTTP/1.1 200 OK" and CRLF; returns the size. */
size_t cv_status_line(int status, uint8_t into[CV_STATUS_LINE]);

/* Whether these are whole lines "name: value" with CRLF, of valid names and values, and none of
 * Connection, Date, Transfer-Encoding and the like, which are the connection's to say; nor of
 * Content-Length unless `with_length`, and then it is one plain number. */
int cv_fields_are_valid(const uint8_t *at, size_t size, int with_length);

/* Both return 0; -1: a status, field or tag that cannot be sent; -3: no memory. */
int cv_answer_make(cv_answer *answer, int status, const uint8_t *fields, size_t fields_size,
                   const uint8_t *body, size_t body_size, const uint8_t *etag, size_t etag_size);
int cv_template_make(cv_template *made, int status, const uint8_t *fields, size_t fields_size);

void cv_answer_clear(cv_answer *answer);
void cv_template_clear(cv_template *made);

#endif
