/* Status lines. */
#ifndef COVET_STATUS_H
#define COVET_STATUS_H

#include <stddef.h>

/* The reason phrase, "" for a status that has none. */
const char *cv_status_reason(int status);

/* Write "HTTP/1.1 200 OK\r\n"; `into` holds 64 bytes. Returns its size. */
size_t cv_status_line(char *into, int status);

#endif
