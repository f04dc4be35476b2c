#define _GNU_SOURCE
#include "tls_library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "covet_engine.h"
#include "tls.h"

cv_tls_library cv_ossl;

static char problem[256];

const char *cv_tls_problem(void)
{
    return problem;
}

void cv_tls_say(const char *text)
{
    snprintf(problem, sizeof problem, "%s", text);
}

void cv_tls_say_why(void)
{
    const char *reason = cv_ossl.ERR_reason_error_string(cv_ossl.ERR_peek_last_error());
    cv_tls_say(reason ? reason : "it is not what was expected");
    cv_ossl.ERR_clear_error();
}

/* Where one of the two may be: as the system names it, or in the folder where it is installed that the
 * system does not look into by itself. */
static const char *const ssl_names[] = {
#if defined(__APPLE__)
    "libssl.3.dylib",
    "/opt/homebrew/opt/openssl@3/lib/libssl.3.dylib",
    "/usr/local/opt/openssl@3/lib/libssl.3.dylib",
#else
    "libssl.so.3",
    "libssl.so.30", /* of FreeBSD's base system */
#endif
    NULL,
};
static const char *const crypto_names[] = {
#if defined(__APPLE__)
    "libcrypto.3.dylib",
    "/opt/homebrew/opt/openssl@3/lib/libcrypto.3.dylib",
    "/usr/local/opt/openssl@3/lib/libcrypto.3.dylib",
#else
    "libcrypto.so.3",
    "libcrypto.so.30",
#endif
    NULL,
};

static void *found(const char *folder, const char *const *names)
{
    char path[1024];
    void *library = NULL;
    for (int i = 0; names[i] && !library; i++) {
        if (*folder) {
            if (names[i][0] == '/')
                continue;
            snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        }
        library = dlopen(*folder ? path : names[i], RTLD_NOW | RTLD_LOCAL);
    }
    return library;
}

int cv_tls_load(const char *folder)
{
    if (cv_ossl.loaded)
        return 0;
    /* The one first that the other is made with: it is then found wherever it is. */
    void *crypto = found(folder, crypto_names);
    void *ssl = crypto ? found(folder, ssl_names) : NULL;
    if (!ssl) {
        snprintf(problem, sizeof problem, "%s of OpenSSL 3 is not found%s%s",
                 crypto ? ssl_names[0] : crypto_names[0], *folder ? " in " : "", folder);
        goto failed;
    }
    cv_tls_library all = {.loaded = 1};
    void *at;
#define CV_TLS_FIND(library, result, name, arguments)                                              \
    at = dlsym(library, #name);                                                                    \
    if (!at) {                                                                                     \
        snprintf(problem, sizeof problem, "lib%s lacks %s", #library, #name);                      \
        goto failed;                                                                               \
    }                                                                                              \
    memcpy(&all.name, &at, sizeof at);
    CV_TLS_FUNCTIONS(CV_TLS_FIND)
#undef CV_TLS_FIND
    if (all.OpenSSL_version_num() >> 28 != 3) {
        cv_tls_say(all.OpenSSL_version(0));
        goto failed;
    }
    cv_ossl = all; /* and they are never closed: what was made with them may last */
    return 0;
failed:
    if (ssl)
        dlclose(ssl);
    if (crypto)
        dlclose(crypto);
    return -1;
}

const char *cv_tls_version(void)
{
    return cv_ossl.loaded ? cv_ossl.OpenSSL_version(0) : "";
}
