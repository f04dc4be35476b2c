#define _GNU_SOURCE
#include "log.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CUT_TARGET = 2048,
    CUT_AGENT = 256,
    CUT_METHOD = 64,
    /* Every byte may take six characters. */
    LONGEST = 6 * (CUT_TARGET + CUT_AGENT + CUT_METHOD) + 512
};

int cv_log_open(cv_log *log, size_t size)
{
    memset(log, 0, sizeof *log);
    log->ring = malloc(size);
    if (!log->ring)
        return -1;
    log->size = size;
    return 0;
}

void cv_log_close(cv_log *log)
{
    free(log->ring);
    memset(log, 0, sizeof *log);
}

static size_t escape(char *out, const uint8_t *at, size_t size, size_t cut)
{
    static const char hex[] = "0123456789abcdef";
    char *to = out;
    if (size > cut)
        size = cut;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = at[i];
        if (byte == '"' || byte == '\\') {
            *to++ = '\\';
            *to++ = (char)byte;
        } else if (byte >= 0x20 && byte < 0x7f) {
            *to++ = (char)byte;
        } else {
            memcpy(to, "\\u00", 4);
            to[4] = hex[byte >> 4];
            to[5] = hex[byte & 15];
            to += 6;
        }
    }
    return (size_t)(to - out);
}

static size_t text(char *out, const char *literal)
{
    size_t size = strlen(literal);
    memcpy(out, literal, size);
    return size;
}

int cv_log_add(cv_log *log, const cv_log_entry *entry)
{
    char line[LONGEST];
    char *to = line;
    to += text(to, "{\"client\":\"");
    if (entry->family) {
        int family = entry->family == 6 ? AF_INET6 : AF_INET;
        if (inet_ntop(family, entry->peer, to, INET6_ADDRSTRLEN))
            to += strlen(to);
    }
    to += text(to, "\",\"method\":\"");
    to += escape(to, entry->method, entry->method_size, CUT_METHOD);
    to += text(to, "\",\"target\":\"");
    to += escape(to, entry->target, entry->target_size, CUT_TARGET);
    static const char *const versions[] = {"1.0", "1.1", "2"};
    to += sprintf(to, "\",\"http\":\"%s\",\"status\":%d,\"ms\":%.3f,\"bytes\":%llu,\"agent\":\"",
                  versions[entry->minor], entry->status, entry->ms, (unsigned long long)entry->bytes);
    to += escape(to, entry->agent, entry->agent_size, CUT_AGENT);
    to += text(to, "\"}\n");

    size_t size = (size_t)(to - line);
    if (size > log->size - log->used)
        return -1;
    size_t at = (log->from + log->used) % log->size;
    size_t part = log->size - at;
    if (part > size)
        part = size;
    memcpy(log->ring + at, line, part);
    memcpy(log->ring, line + part, size - part);
    log->used += size;
    return 0;
}

size_t cv_log_take(cv_log *log, uint8_t *into, size_t size)
{
    if (size > log->used)
        size = log->used;
    /* Only whole lines. */
    while (size && log->ring[(log->from + size - 1) % log->size] != '\n')
        size--;
    size_t part = log->size - log->from;
    if (part > size)
        part = size;
    if (!size)
        return 0;
    memcpy(into, log->ring + log->from, part);
    memcpy(into + part, log->ring, size - part);
    log->from = (log->from + size) % log->size;
    log->used -= size;
    return size;
}
