/* Loaded before everything else (LD_PRELOAD), it makes a process that finds no zlib when it asks for it by name. What
 * the interpreter is itself linked with is not asked for that way, and stays. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

void *dlopen(const char *name, int flags)
{
    void *(*real)(const char *, int);
    void *found = dlsym(RTLD_NEXT, "dlopen");
    if (!found || (name && strncmp(name, "libz.", 5) == 0))
        return NULL;
    memcpy(&real, &found, sizeof real);
    return real(name, flags);
}
