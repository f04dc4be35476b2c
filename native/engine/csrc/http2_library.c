#include "http2_library.h"

#include <dlfcn.h>
#include <string.h>

static const char *const names[] = {
#if defined(CV_NGHTTP2_NAME)
    CV_NGHTTP2_NAME, /* another one, or none, for tests */
#elif defined(__APPLE__)
    "libnghttp2.14.dylib",
    "/opt/homebrew/lib/libnghttp2.14.dylib",
    "/usr/local/lib/libnghttp2.14.dylib",
#else
    "libnghttp2.so.14",
    "libnghttp2.so", /* systems whose libraries have no such number */
#endif
};

/* A function from the address of a symbol, which ISO C has no cast for. */
static int find(void *library, const char *name, void *function, size_t size)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, size);
    return symbol != NULL;
}

static int fill(void *library, cv_nghttp2 *functions)
{
#define CV_NGHTTP2_FUNCTION(result, name, arguments)                                                \
    if (!find(library, "nghttp2_" #name, &functions->name, sizeof functions->name))                 \
        return 0;
    CV_NGHTTP2_FUNCTIONS(CV_NGHTTP2_FUNCTION)
#undef CV_NGHTTP2_FUNCTION
    return functions->version(CV_NGHTTP2_OLDEST) != NULL;
}

const cv_nghttp2 *cv_nghttp2_load(void)
{
    static cv_nghttp2 functions;
    static int loaded; /* it stays until the process ends: sessions may live as long */
    for (size_t i = 0; !loaded && i < sizeof names / sizeof *names; i++) {
        void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (!library)
            continue;
        loaded = fill(library, &functions);
        if (!loaded)
            dlclose(library);
    }
    return loaded ? &functions : NULL;
}
