#include "answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "etags.h"
#include "status.h"

enum { CV_FIELDS_MAX = 1 << 20 };

/* Fields */

typedef struct field {
    const uint8_t *name;
    size_t name_size;
    const uint8_t *value;
    size_t value_size;
    const uint8_t *next; /* behind its CRLF */
} field;

static int is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

/* Take the line that begins at `at`; returns 0 if it is no field. */
static int take(const uint8_t *at, const uint8_t *end, field *is)
{
    const uint8_t *line = memchr(at, '\n', (size_t)(end - at));
    if (line == NULL || line == at || line[-1] != '\r')
        return 0;
    is->next = line + 1;
    const uint8_t *stop = line - 1;
    const uint8_t *colon = memchr(at, ':', (size_t)(stop - at));
    if (colon == NULL)
        return 0;
    is->name = at;
    is->name_size = (size_t)(colon - at);
    is->value = colon + 1;
    while (is->value < stop && is_blank(*is->value))
        is->value++;
    while (stop > is->value && is_blank(stop[-1]))
        stop--;
    is->value_size = (size_t)(stop - is->value);
    return is->name_size > 0 && cv_is_token(is->name, is->name_size) &&
           cv_is_value(is->value, is->value_size);
}

static int is_named(const field *is, const char *name)
{
    size_t size = strlen(name);
    if (is->name_size != size)
        return 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = is->name[i];
        if (byte >= 'A' && byte <= 'Z')
            byte |= 0x20;
        if (byte != (uint8_t)name[i])
            return 0;
    }
    return 1;
}

int cv_fields_are_ready(const uint8_t *at, size_t size)
{
    static const char *const ours[] = {"connection", "content-length", "date", "keep-alive", "te",
                                       "trailer",    "transfer-encoding"};
    if (at == NULL || size > CV_FIELDS_MAX)
        return size == 0;
    field is;
    for (const uint8_t *end = at + size; at < end; at = is.next) {
        if (!take(at, end, &is))
            return 0;
        for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
            if (is_named(&is, ours[i]))
                return 0;
    }
    return 1;
}

int cv_etag_matches(const uint8_t *at, const cv_head *head, const cv_answer *answer)
{
    if (!(head->flags & CV_HEAD_CONDITIONAL) || answer->etag == NULL)
        return 0;
    if (head->method != CV_METHOD_GET && head->method != CV_METHOD_HEAD)
        return 0;
    cv_span value = {0, 0};
    while (cv_head_field(at, head, "if-none-match", 13, value, &value))
        if (cv_tags_hold(at + value.at, value.size, answer->etag, answer->etag_size, 0))
            return 1;
    return 0;
}

/* Building */

/* Bytes that grow; once memory is missing they stay as they are and `failed` says so. */
typedef struct text {
    uint8_t *at;
    size_t size, room;
    int failed;
} text;

static void put(text *to, const void *from, size_t size)
{
    if (to->failed || size == 0)
        return;
    if (to->room - to->size < size) {
        size_t room = to->size + size + 256;
        uint8_t *at = realloc(to->at, room);
        if (at == NULL) {
            to->failed = 1;
            return;
        }
        to->at = at;
        to->room = room;
    }
    memcpy(to->at + to->size, from, size);
    to->size += size;
}

static void put_status(text *to, int status)
{
    char line[64];
    put(to, line, cv_status_line(line, status));
}

static void put_tag(text *to, const uint8_t *etag, size_t size)
{
    put(to, "etag: ", 6);
    put(to, etag, size);
    put(to, "\r\n", 2);
}

static uint8_t *copy(const uint8_t *from, size_t size, int *failed)
{
    uint8_t *to = malloc(size + 1);
    if (to == NULL)
        *failed = 1;
    else if (size > 0)
        memcpy(to, from, size);
    return to;
}

/* How many fields have a name; `*found` is the first. The fields were checked. */
static int count_named(const uint8_t *at, size_t size, const char *name, field *found)
{
    int count = 0;
    field is;
    for (const uint8_t *end = at + size; at < end && take(at, end, &is); at = is.next)
        if (is_named(&is, name) && count++ == 0)
            *found = is;
    return count;
}

/* What a 304 repeats of its 200 (RFC 9110, 15.4.5). */
static void put_unmodified(text *to, const uint8_t *at, size_t size)
{
    static const char *const kept[] = {"cache-control", "content-location", "etag", "expires",
                                       "vary"};
    put_status(to, 304);
    field is;
    for (const uint8_t *end = at + size; at < end && take(at, end, &is); at = is.next)
        for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
            if (is_named(&is, kept[i]))
                put(to, at, (size_t)(is.next - at));
}

static int is_status(int status)
{
    return status >= 200 && status <= 599;
}

int cv_answer_make(cv_answer *answer, int status, const uint8_t *fields, size_t fields_size,
                   const uint8_t *body, size_t body_size, const uint8_t *etag, size_t etag_size)
{
    memset(answer, 0, sizeof *answer);
    if (fields == NULL && fields_size == 0)
        fields = (const uint8_t *)""; /* nothing may be added to NULL, not even zero */
    int empty = status == 204 || status == 205 || status == 304;
    if (!is_status(status) || !cv_fields_are_ready(fields, fields_size) ||
        body_size > INT32_MAX || (body == NULL && body_size > 0) || (empty && body_size > 0))
        return -1;
    if (etag == NULL && etag_size > 0)
        return -1;
    if (etag_size > CV_FIELDS_MAX ||
        (etag_size > 0 && (status != 200 || cv_tag_size(etag, etag_size) != etag_size)))
        return -1;
    field given = {0};
    int tags = count_named(fields, fields_size, "etag", &given);
    if (tags > 1 || (tags == 1 && etag_size > 0 &&
                     (given.value_size != etag_size || memcmp(given.value, etag, etag_size) != 0)))
        return -1;

    text head = {0}, unmodified = {0};
    int failed = 0;
    put_status(&head, status);
    put(&head, fields, fields_size);
    if (etag_size > 0) {
        if (tags == 0)
            put_tag(&head, etag, etag_size);
        put_unmodified(&unmodified, fields, fields_size);
        if (tags == 0)
            put_tag(&unmodified, etag, etag_size);
        answer->etag = copy(etag, etag_size, &failed);
        answer->etag_size = (uint32_t)etag_size;
    }
    if (status != 204 && status != 304) {
        char line[48];
        int size = snprintf(line, sizeof line, "content-length: %zu\r\n", body_size);
        put(&head, line, (size_t)size);
    }
    answer->head = head.at;
    answer->head_size = (uint32_t)head.size;
    answer->body = copy(body, body_size, &failed);
    answer->body_size = (uint32_t)body_size;
    answer->status = (uint16_t)status;
    answer->unmodified = unmodified.at;
    answer->unmodified_size = (uint32_t)unmodified.size;
    if (failed || head.failed || unmodified.failed) {
        cv_answer_clear(answer);
        return -3;
    }
    return 0;
}

int cv_template_make(cv_template *made, int status, const uint8_t *fields, size_t fields_size)
{
    memset(made, 0, sizeof *made);
    if (!is_status(status) || !cv_fields_are_ready(fields, fields_size))
        return -1;
    text head = {0};
    put_status(&head, status);
    put(&head, fields, fields_size);
    made->head = head.at;
    made->head_size = (uint32_t)head.size;
    made->status = (uint16_t)status;
    if (head.failed) {
        cv_template_clear(made);
        return -3;
    }
    return 0;
}

void cv_answer_clear(cv_answer *answer)
{
    free(answer->head);
    free(answer->body);
    free(answer->etag);
    free(answer->unmodified);
    memset(answer, 0, sizeof *answer);
}

void cv_template_clear(cv_template *made)
{
    free(made->head);
    memset(made, 0, sizeof *made);
}
