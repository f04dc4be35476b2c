/* Finds paths in the engine's table of routes, and says how long one takes.
 *
 * Reads from standard input: the number of templates, each with its types on a line ("/books/{} i", "-"
 * for none), the number of paths, each on a line. Prints the CPU time of a match in nanoseconds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "head.h"
#include "routes.h"

enum { LINE = 1024, MATCHES = 2000000 };

static char *line(char *into)
{
    if (fgets(into, LINE, stdin) == NULL)
        exit(2);
    into[strcspn(into, "\n")] = '\0';
    return into;
}

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return (double)at.tv_sec * 1e9 + (double)at.tv_nsec;
}

int main(void)
{
    char text[LINE], types[LINE];
    cv_routes *routes = cv_routes_new();
    int count = atoi(line(text));
    for (int i = 0; i < count; i++) {
        char *space = strchr(line(text), ' ');
        if (space == NULL)
            return 2;
        *space = '\0';
        strcpy(types, space[1] == '-' ? "" : space + 1);
        int leaf = cv_routes_add_path(routes, text, strlen(text), types);
        if (leaf < 0 || cv_routes_set_route(routes, leaf, "GET", i, 0) < 0)
            return 3;
    }
    int asked = atoi(line(text));
    uint8_t **paths = calloc((size_t)asked, sizeof *paths);
    cv_head *heads = calloc((size_t)asked, sizeof *heads);
    if (asked < 1 || paths == NULL || heads == NULL)
        return 4;
    for (int i = 0; i < asked; i++) {
        paths[i] = (uint8_t *)strdup(line(text));
        heads[i].method = CV_METHOD_GET;
        heads[i].path.size = (uint16_t)strlen(text);
    }
    long found = 0;
    double begun = now();
    for (int i = 0; i < MATCHES; i++) {
        cv_match match;
        cv_routes_find(routes, paths[i % asked], &heads[i % asked], &match);
        found += match.answer == NULL;
    }
    printf("%.3f %ld\n", (now() - begun) / MATCHES, found);
    return 0;
}
