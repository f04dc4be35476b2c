/* Access-log lines, kept until Python takes them: JSON in ASCII, whatever a client sent. */
#ifndef COVET_LOG_H
#define COVET_LOG_H

#include "covet_engine.h"

typedef struct cv_log {
    uint8_t *ring;
    size_t size; /* 0: no log is kept */
    size_t from, used;
} cv_log;

typedef struct cv_log_entry {
    const uint8_t *head; /* of the request, in which the spans are */
    const uint8_t *method, *target, *agent;
    uint32_t method_size, target_size, agent_size;
    uint8_t minor;
    uint8_t family; /* of the peer, as in cv_request */
    const uint8_t *peer;
    int status;
    double ms;
    uint64_t bytes; /* of the answer's body */
} cv_log_entry;

int cv_log_open(cv_log *log, size_t size);
void cv_log_close(cv_log *log);

/* Returns 0, or -1 if it found no room: it is lost. */
int cv_log_add(cv_log *log, const cv_log_entry *entry);

/* Move whole lines out. */
size_t cv_log_take(cv_log *log, uint8_t *into, size_t size);

#endif
