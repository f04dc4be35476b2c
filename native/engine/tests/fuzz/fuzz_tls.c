/* What comes under TLS: bytes that are none, and records of OpenSSL's own client that the fuzzer cuts,
 * spoils, loses and adds to, before the handshake is over and behind it. The first byte says which, and
 * how the client begins. Certificate and key are in the folder that COVET_FUZZ_CERTIFICATES names.
 *
 * OpenSSL's randomness is real, so that no more is promised than that memory is sound, and that nothing
 * is left when all have gone. */
#define _GNU_SOURCE
#include <dlfcn.h>

#include "harness.h"
#include "tls_library.h"

static const SSL_METHOD *(*TLS_client_method)(void);
static void (*SSL_set_connect_state)(SSL *);
static int (*SSL_set_alpn_protos)(SSL *, const unsigned char *, unsigned int);
static int (*SSL_key_update)(SSL *, int);
static int (*SSL_renegotiate)(SSL *);
static int (*SSL_is_init_finished)(const SSL *);
static int (*BIO_read)(BIO *, void *, int);
static int (*BIO_write)(BIO *, const void *, int);

enum { SSL_CTRL_SET_MAX_PROTO_VERSION = 124, BIO_C_SET_BUF_MEM_EOF_RETURN = 130 };

static cv_tls *made[2]; /* that connections are made with: another one comes by a reload */
static SSL_CTX *context;

static void *find(void *library, const char *name)
{
    void *at = dlsym(library, name);
    PROMISE(at != NULL);
    return at;
}

static size_t content(const char *name, char *into, size_t size)
{
    char path[1024];
    const char *folder = getenv("COVET_FUZZ_CERTIFICATES");
    PROMISE(folder != NULL);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    PROMISE(file != NULL);
    size_t got = fread(into, 1, size, file);
    fclose(file);
    return got;
}

static void prepare(void)
{
    static char chain[1 << 14], key[1 << 14];
    PROMISE(cv_tls_load("") == 0);
    void *library = dlopen("libssl.so.3", RTLD_NOW), *crypto = dlopen("libcrypto.so.3", RTLD_NOW);
    PROMISE(library != NULL && crypto != NULL);
#define FIND(from, name)                                                                           \
    do {                                                                                           \
        void *at = find(from, #name);                                                              \
        memcpy(&name, &at, sizeof at);                                                             \
    } while (0)
    FIND(library, TLS_client_method);
    FIND(library, SSL_set_connect_state);
    FIND(library, SSL_set_alpn_protos);
    FIND(library, SSL_key_update);
    FIND(library, SSL_renegotiate);
    FIND(library, SSL_is_init_finished);
    FIND(crypto, BIO_read);
    FIND(crypto, BIO_write);
    size_t chain_size = content("shop.pem", chain, sizeof chain);
    size_t key_size = content("shop.key", key, sizeof key);
    for (int i = 0; i < 2; i++) {
        made[i] = cv_tls_new();
        PROMISE(cv_tls_add(made[i], "", 12, chain, chain_size, key, key_size, NULL, NULL, 0) == 0);
    }
    context = cv_ossl.SSL_CTX_new(TLS_client_method());
    PROMISE(context != NULL);
}

typedef struct cv_caller {
    const uint8_t *at, *end; /* the script */
    cv_engine *engine;
    uint64_t connection; /* 0: it is closed */
    SSL *ssl;
    BIO *in, *out;
    unsigned body; /* bytes of an answer */
} cv_caller;

static unsigned next(cv_caller *caller)
{
    return caller->at < caller->end ? *caller->at++ : 0;
}

static size_t next_bytes(cv_caller *caller, const uint8_t **bytes)
{
    size_t size = next(caller), left = (size_t)(caller->end - caller->at);
    if (size > left)
        size = left;
    *bytes = caller->at;
    caller->at += size;
    return size;
}

static void feed(cv_caller *caller, const uint8_t *bytes, size_t size)
{
    uint8_t *exact = cv_exact(bytes, size);
    for (size_t fed = 0; fed < size && caller->connection;) {
        int64_t taken = cv_engine_feed(caller->engine, caller->connection, exact + fed, size - fed);
        PROMISE(taken <= (int64_t)(size - fed));
        if (taken < 0)
            caller->connection = 0;
        if (taken <= 0)
            break;
        fed += (size_t)taken;
    }
    free(exact);
}

static void drain(cv_caller *caller, size_t most)
{
    uint8_t into[4096];
    while (most && caller->connection) {
        size_t size = most < sizeof into ? most : sizeof into;
        int64_t drained = cv_engine_drain(caller->engine, caller->connection, into, size);
        PROMISE(drained <= (int64_t)size);
        if (drained < 0)
            caller->connection = 0;
        if (drained <= 0)
            return;
        if (caller->ssl)
            BIO_write(caller->in, into, (int)drained);
        most -= (size_t)drained;
    }
}

/* Every request is answered, and no body is read. */
static void poll(cv_caller *caller)
{
    static const uint8_t body[70000];
    int count = cv_engine_poll(caller->engine);
    const cv_event *events = cv_engine_events(caller->engine);
    cv_bytes replies = {0};
    for (int i = 0; i < count; i++) {
        int asks = events[i].kind == CV_REQUEST;
        if (asks)
            cv_request_at(caller->engine, events[i].at);
        if (asks || events[i].kind == CV_GONE)
            cv_add_reply(&replies, events[i].handle, asks ? CV_ANSWER : CV_DROP, 0, 0, body,
                         asks ? caller->body : 0);
    }
    if (replies.size)
        PROMISE(cv_engine_submit(caller->engine, replies.at, replies.size) == 0);
    free(replies.at);
}

static void go_on(cv_caller *caller)
{
    char bytes[2048];
    cv_ossl.ERR_clear_error();
    if (!SSL_is_init_finished(caller->ssl))
        cv_ossl.SSL_do_handshake(caller->ssl);
    for (int i = 0; i < 50; i++) {
        cv_ossl.ERR_clear_error();
        if (cv_ossl.SSL_read(caller->ssl, bytes, sizeof bytes) <= 0)
            break;
    }
}

/* What the client has written comes to the engine: whole, in pieces, with a bit turned, or not at all. */
static void deliver(cv_caller *caller, unsigned how)
{
    static uint8_t bytes[1 << 16];
    int got = BIO_read(caller->out, bytes, sizeof bytes);
    if (got <= 0)
        return;
    size_t size = (size_t)got;
    if (how == 1)
        bytes[(next(caller) << 8 | next(caller)) % size] ^= (uint8_t)(1 << (next(caller) & 7));
    if (how == 2)
        size = next(caller) * size / 256;
    if (how != 3) {
        feed(caller, bytes, size);
        return;
    }
    cv_dice dice = cv_dice_of(caller->at, (size_t)(caller->end - caller->at));
    for (size_t fed = 0, piece; fed < size; fed += piece) {
        piece = cv_piece(&dice, CV_CUT_SOMETIMES, size - fed);
        feed(caller, bytes + fed, piece);
    }
}

static void shake_hands(cv_caller *caller)
{
    for (int i = 0; i < 4; i++) {
        go_on(caller);
        deliver(caller, 0);
        poll(caller);
        drain(caller, SIZE_MAX);
    }
}

static void say(cv_caller *caller, const void *bytes, size_t size)
{
    cv_ossl.ERR_clear_error();
    if (size && SSL_is_init_finished(caller->ssl))
        cv_ossl.SSL_write(caller->ssl, bytes, (int)size);
}

#define TEXT(text) {text, sizeof(text) - 1}
static const struct cv_text {
    const char *at;
    size_t size;
} texts[] = {
    TEXT("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    TEXT("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhell"),
    TEXT("GET / HTTP/1.0\r\n\r\n"),
    TEXT("bad\r\n\r\n"),
    TEXT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"),
    TEXT("\0\0\7\1\5\0\0\0\1\x82\x86\x84\x41\1a"),
};

static void step(cv_caller *caller)
{
    const uint8_t *bytes;
    size_t size;
    unsigned which = next(caller) % 16;
    switch (which) {
    case 0:
    case 1:
        which = next(caller) % (sizeof texts / sizeof texts[0]);
        say(caller, texts[which].at, texts[which].size);
        break;
    case 2:
        size = next_bytes(caller, &bytes);
        say(caller, bytes, size);
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        deliver(caller, which - 3);
        break;
    case 7:
        size = next_bytes(caller, &bytes);
        feed(caller, bytes, size);
        break;
    case 8:
        drain(caller, next(caller) * 16);
        break;
    case 9:
        drain(caller, SIZE_MAX);
        break;
    case 10:
        go_on(caller);
        break;
    case 11:
        poll(caller);
        break;
    case 12:
        cv_ossl.ERR_clear_error();
        if (next(caller) & 1)
            SSL_key_update(caller->ssl, (int)next(caller) & 1);
        else
            SSL_renegotiate(caller->ssl);
        break;
    case 13:
        cv_engine_advance(caller->engine, next(caller) / 8.0);
        break;
    case 14:
        caller->body = next(caller) * 256;
        if (caller->body & 1024)
            PROMISE(cv_engine_secure(caller->engine, made[1]) == 0);
        break;
    default:
        cv_ossl.ERR_clear_error();
        if (next(caller) & 1)
            cv_ossl.SSL_shutdown(caller->ssl);
        else if (caller->connection)
            cv_engine_feed_end(caller->engine, caller->connection);
        break;
    }
}

static void begin_client(cv_caller *caller, unsigned mode)
{
    static const unsigned char both[] = "\2h2\10http/1.1";
    int version = mode & 2 ? CV_TLS1_3_VERSION : CV_TLS1_2_VERSION;
    caller->ssl = cv_ossl.SSL_new(context);
    cv_ossl.SSL_ctrl(caller->ssl, CV_SSL_CTRL_SET_MIN_PROTO_VERSION, version, NULL);
    cv_ossl.SSL_ctrl(caller->ssl, SSL_CTRL_SET_MAX_PROTO_VERSION, version, NULL);
    if (mode & 4)
        SSL_set_alpn_protos(caller->ssl, both, sizeof both - 1);
    caller->in = cv_ossl.BIO_new(cv_ossl.BIO_s_mem());
    caller->out = cv_ossl.BIO_new(cv_ossl.BIO_s_mem());
    cv_ossl.BIO_ctrl(caller->in, BIO_C_SET_BUF_MEM_EOF_RETURN, -1, NULL);
    cv_ossl.SSL_set_bio(caller->ssl, caller->in, caller->out);
    SSL_set_connect_state(caller->ssl);
    if (mode & 8)
        shake_hands(caller);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (!context)
        prepare();
    cv_options options = cv_harness_options();
    options.header_timeout = options.idle_timeout = options.write_timeout = 5;
    options.http2 = 1;
    cv_caller caller = {.at = bytes, .end = bytes + size, .body = 5};
    unsigned mode = next(&caller);
    caller.engine = cv_engine_new(&options);
    PROMISE(caller.engine != NULL && cv_engine_secure(caller.engine, made[0]) == 0);
    cv_engine_begin(caller.engine, cv_harness_routes(1, 0));
    caller.connection = cv_engine_open(caller.engine);
    PROMISE(caller.connection != 0);
    uint64_t connection = caller.connection;
    if (mode & 1) {
        cv_dice dice = cv_dice_of(bytes, size);
        enum cv_cut cut = mode >> 4 & 3;
        while (caller.at < caller.end && caller.connection) {
            size_t piece = cv_piece(&dice, cut, (size_t)(caller.end - caller.at));
            feed(&caller, caller.at, piece);
            caller.at += piece;
            poll(&caller);
            drain(&caller, SIZE_MAX);
        }
    } else {
        begin_client(&caller, mode);
        while (caller.at < caller.end)
            step(&caller);
    }

    const cv_counters *counters = cv_engine_counters(caller.engine);
    cv_engine_drop(caller.engine, connection);
    PROMISE(counters->connections == 0);
    for (int i = 0; i < 3; i++)
        poll(&caller);
    PROMISE(counters->in_flight == 0 && counters->blocks == 0);
    if (caller.ssl)
        cv_ossl.SSL_free(caller.ssl);
    cv_engine_free(caller.engine);
    return 0;
}
