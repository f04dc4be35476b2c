/* TLS over memory, against OpenSSL's own client: every split, what is no TLS, slow readers, floods, tickets,
 * the end. The folder of the first argument has shop.pem and shop.key. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

#include "engine_case.h"
#include "tls_library.h"

typedef struct ssl_session_st SSL_SESSION;

/* The client's side of OpenSSL. */
static const SSL_METHOD *(*TLS_client_method)(void);
static SSL_SESSION *(*SSL_get1_session)(SSL *);
static int (*SSL_set_session)(SSL *, SSL_SESSION *);
static void (*SSL_SESSION_free)(SSL_SESSION *);
static void (*SSL_set_connect_state)(SSL *);
static int (*SSL_set_alpn_protos)(SSL *, const unsigned char *, unsigned int);
static int (*SSL_key_update)(SSL *, int);
static int (*SSL_renegotiate)(SSL *);
static int (*SSL_get_shutdown)(const SSL *);
static int (*BIO_read)(BIO *, void *, int);
static int (*BIO_write)(BIO *, const void *, int);
static size_t (*BIO_ctrl_pending)(BIO *);

enum {
    SSL_CTRL_SET_TLSEXT_HOSTNAME = 55,
    SSL_CTRL_SET_MAX_PROTO_VERSION = 124,
    SSL_KEY_UPDATE_REQUESTED = 1,
    SSL_RECEIVED_SHUTDOWN = 2,
    BIO_C_SET_BUF_MEM_EOF_RETURN = 130
};

static int quick;
static char *chain, *key;
static size_t chain_size, key_size;
static cv_tls *tls;

static void find_client(void)
{
    void *library = dlopen("libssl.so.3", RTLD_NOW);
    void *crypto = dlopen("libcrypto.so.3", RTLD_NOW);
    void *at;
#define FIND(from, name)                                                                           \
    at = dlsym(from, #name);                                                                       \
    if (!CHECK(at != NULL))                                                                        \
        exit(1);                                                                                   \
    memcpy(&name, &at, sizeof at);
    FIND(library, TLS_client_method)
    FIND(library, SSL_get1_session)
    FIND(library, SSL_set_session)
    FIND(library, SSL_SESSION_free)
    FIND(library, SSL_set_connect_state)
    FIND(library, SSL_set_alpn_protos)
    FIND(library, SSL_key_update)
    FIND(library, SSL_renegotiate)
    FIND(library, SSL_get_shutdown)
    FIND(crypto, BIO_read)
    FIND(crypto, BIO_write)
    FIND(crypto, BIO_ctrl_pending)
}

static char *content(const char *folder, const char *name, size_t *size)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(1);
    }
    char *text = calloc(1, 1 << 16);
    *size = fread(text, 1, (1 << 16) - 1, file);
    fclose(file);
    return text;
}

static cv_tls *make_tls(int minimum)
{
    cv_tls *made = cv_tls_new();
    CHECK(cv_tls_add(made, "", minimum, chain, chain_size, key, key_size, NULL, NULL, 0) == 0);
    return made;
}

static void start_tls(void)
{
    start_default();
    CHECK(cv_engine_secure(engine, tls) == 0);
}

/* A client that speaks TLS. */
typedef struct caller {
    client wire;
    SSL_CTX *context;
    SSL *ssl;
    BIO *in, *out;
    size_t fed; /* bytes so far */
    size_t split; /* behind which something else comes first; 0: nowhere */
    char *text; /* decrypted, ended by a NUL */
    size_t size;
} caller;

static caller call_with(int version, SSL_SESSION *session)
{
    caller c = {.wire = connect_client()};
    c.context = cv_ossl.SSL_CTX_new(TLS_client_method());
    c.ssl = cv_ossl.SSL_new(c.context);
    cv_ossl.SSL_ctrl(c.ssl, CV_SSL_CTRL_SET_MIN_PROTO_VERSION, version, NULL);
    cv_ossl.SSL_ctrl(c.ssl, SSL_CTRL_SET_MAX_PROTO_VERSION, version, NULL);
    if (session)
        CHECK(SSL_set_session(c.ssl, session) == 1);
    c.in = cv_ossl.BIO_new(cv_ossl.BIO_s_mem());
    c.out = cv_ossl.BIO_new(cv_ossl.BIO_s_mem());
    cv_ossl.BIO_ctrl(c.in, BIO_C_SET_BUF_MEM_EOF_RETURN, -1, NULL);
    cv_ossl.SSL_set_bio(c.ssl, c.in, c.out);
    SSL_set_connect_state(c.ssl);
    c.text = calloc(1, 1);
    return c;
}

static caller call(int version)
{
    return call_with(version, NULL);
}

/* Bytes from the client to the engine, split where that was asked for. Returns whether all were taken. */
static int send_bytes(caller *c)
{
    static uint8_t bytes[1 << 17];
    int size = BIO_read(c->out, bytes, sizeof bytes);
    for (size_t at = 0; size > 0 && at < (size_t)size;) {
        size_t part = (size_t)size - at;
        if (c->split > c->fed && c->split - c->fed < part)
            part = c->split - c->fed;
        if (c->split == SIZE_MAX)
            part = 1;
        int64_t taken = feed_bytes(&c->wire, bytes + at, part);
        if (taken <= 0) {
            c->wire.closed |= taken < 0;
            return 0;
        }
        at += (size_t)taken;
        c->fed += (size_t)taken;
    }
    return 1;
}

static void take_bytes(caller *c, size_t most)
{
    drain_some(&c->wire, most);
    if (c->wire.size)
        BIO_write(c->in, c->wire.out, (int)c->wire.size);
    forget(&c->wire);
}

static void read_text(caller *c)
{
    static char bytes[1 << 14];
    int size;
    cv_ossl.ERR_clear_error();
    while ((size = cv_ossl.SSL_read(c->ssl, bytes, sizeof bytes)) > 0) {
        c->text = realloc(c->text, c->size + (size_t)size + 1);
        memcpy(c->text + c->size, bytes, (size_t)size);
        c->size += (size_t)size;
        c->text[c->size] = 0;
    }
}

/* Everything that can go on does. */
static void pump(caller *c)
{
    for (int turn = 0; turn < 20; turn++) {
        send_bytes(c);
        poll_engine();
        take_bytes(c, SIZE_MAX);
        read_text(c);
        if (!BIO_ctrl_pending(c->out) && turn > 1)
            return;
    }
}

static int shake_hands(caller *c)
{
    cv_ossl.ERR_clear_error();
    for (int turn = 0; turn < 10; turn++) {
        int done = cv_ossl.SSL_do_handshake(c->ssl);
        send_bytes(c);
        if (done == 1)
            return 1;
        if (cv_ossl.SSL_get_error(c->ssl, done) != CV_SSL_ERROR_WANT_READ)
            return 0;
        poll_engine();
        take_bytes(c, SIZE_MAX);
    }
    return 0;
}

static int write_text(caller *c, const char *text)
{
    return cv_ossl.SSL_write(c->ssl, text, (int)strlen(text)) == (int)strlen(text);
}

static void say(caller *c, const char *text)
{
    CHECK(write_text(c, text));
    send_bytes(c);
}

static void hang_up(caller *c)
{
    leave(&c->wire);
    cv_ossl.SSL_free(c->ssl);
    cv_ossl.SSL_CTX_free(c->context);
    free(c->text);
    c->text = NULL;
}

static const int versions[] = {CV_TLS1_2_VERSION, CV_TLS1_3_VERSION};

static void hands_are_shaken_whatever_the_split(void)
{
    for (int v = 0; v < 2; v++) {
        size_t whole = 1000;
        for (size_t split = 0; split <= whole; split += quick ? 29 : 1) {
            start_tls();
            caller c = call(versions[v]);
            /* Nowhere, behind each byte, and then behind all of them. */
            c.split = split == whole ? SIZE_MAX : split;
            CHECK(shake_hands(&c));
            say(&c, GET("/items/5") GET("/hello"));
            answer(request(), "five");
            pump(&c);
            if (!CHECK(strstr(c.text, "hello") != NULL))
                fprintf(stderr, "version %x, split %zu\n", versions[v], split);
            CHECK(counters()->tls_accepted == 1 && counters()->tls_failed == 0);
            if (!split)
                whole = c.fed + 1;
            hang_up(&c);
            finish();
        }
        CHECK(whole > 300);
    }
}

static void requests_and_answers_of_any_size(void)
{
    for (int v = 0; v < 2; v++) {
        start_tls();
        caller c = call(versions[v]);
        CHECK(shake_hands(&c));
        static char body[200000];
        char head[100];
        memset(body, 'b', sizeof body);
        snprintf(head, sizeof head, "POST /pull HTTP/1.1\r\nhost: a\r\ncontent-length: %zu\r\n\r\n",
                 sizeof body);
        CHECK(cv_ossl.SSL_write(c.ssl, head, (int)strlen(head)) > 0);
        CHECK(cv_ossl.SSL_write(c.ssl, body, sizeof body) == sizeof body);
        static uint8_t wire[1 << 18];
        int size = BIO_read(c.out, wire, sizeof wire), at = 0;
        uint64_t handle = 0;
        size_t got = 0;
        for (int turn = 0; turn < 1000 && got < sizeof body; turn++) {
            if (at < size) {
                int64_t taken = feed_bytes(&c.wire, wire + at, (size_t)(size - at));
                CHECK(taken >= 0);
                at += (int)taken;
            }
            poll_engine();
            for (int i = 0; i < count; i++) {
                if (events[i].kind == CV_REQUEST) {
                    handle = events[i].handle;
                    CHECK(request_of(&events[i])->head_flags & CV_HEAD_TLS);
                    CHECK(!(request_of(&events[i])->head_flags & CV_HEAD_TLS_1_3) == (v == 0));
                } else if (events[i].kind == CV_BODY) {
                    got += events[i].size;
                }
            }
            if (handle)
                op(handle, CV_READ);
        }
        CHECK(got == sizeof body);
        answer(handle, "thanks");
        say(&c, GET("/big"));
        /* A client that reads slowly costs what waits for it, once encrypted and once not. */
        for (int turn = 0; turn < 10000 && !strstr(c.text, "LLLL"); turn++) {
            poll_engine();
            take_bytes(&c, 997);
            read_text(&c);
        }
        CHECK(strstr(c.text, "thanks") != NULL);
        while (c.size < 300000) {
            size_t before = c.size;
            for (int turn = 0; turn < 60; turn++)
                take_bytes(&c, 997);
            poll_engine();
            read_text(&c);
            if (!CHECK(c.size > before))
                break;
        }
        CHECK(c.size > 300000 && ends(c.text, "LLLL"));
        hang_up(&c);
        finish();
    }
}

static void what_is_no_tls_is_refused(void)
{
    static const char *const texts[] = {
        "\x16\x03\x01\x02", "\x16\x03\x01\xff\xff\x01\x00\x00\x01", "\x80\x2e\x01\x03\x01", "garbage",
        "\x15\x03\x03\x00\x02\x02\x28", "\x17\x03\x03\x00\x05hello", "\n\n\n\n\n\n\n\n",
    };
    for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
        start_tls();
        client c = connect_client();
        feed_bytes(&c, texts[t], t == 1 ? 9 : strlen(texts[t]));
        poll_engine();
        drain(&c);
        CHECK(!strstr(c.out, "HTTP/1.1 2"));
        cv_engine_feed_end(engine, c.number);
        cv_engine_advance(engine, 100);
        drain(&c);
        CHECK(c.closed && counters()->tls_accepted == 0 && counters()->requests == 0);
        leave(&c);
        finish();
    }
    /* HTTP without TLS is told so, whatever it says. */
    static const char *const plain[] = {GET("/hello"), "POST /wait HTTP/1.1\r\n", "G"};
    for (size_t t = 0; t < sizeof plain / sizeof *plain; t++) {
        start_tls();
        client c = connect_client();
        feed_bytes(&c, plain[t], strlen(plain[t]));
        poll_engine();
        CHECK(starts(drain(&c), "HTTP/1.1 400 ") && strstr(c.out, "connection: close"));
        CHECK(counters()->requests == 0 && counters()->tls_failed == 1);
        drain(&c);
        CHECK(c.closed);
        leave(&c);
        finish();
    }
}

static void broken_records_end_the_connection(void)
{
    for (int v = 0; v < 2; v++) {
        start_tls();
        caller c = call(versions[v]);
        CHECK(shake_hands(&c));
        say(&c, GET("/hello"));
        pump(&c);
        CHECK(strstr(c.text, "hello") != NULL);
        cv_ossl.SSL_write(c.ssl, GET("/items/5"), 10);
        uint8_t bytes[100];
        int size = BIO_read(c.out, bytes, sizeof bytes);
        bytes[size - 1] ^= 1;
        feed_bytes(&c.wire, bytes, (size_t)size);
        CHECK(poll_engine() == 0 && counters()->malformed == 1);
        cv_engine_advance(engine, 10);
        drain(&c.wire);
        CHECK(c.wire.closed);
        hang_up(&c);
        finish();
    }
}

static void a_request_in_flight_hears_of_a_broken_record(void)
{
    start_tls();
    caller c = call(CV_TLS1_3_VERSION);
    CHECK(shake_hands(&c));
    CHECK(write_text(&c, GET("/items/5")));
    uint8_t bytes[100];
    int size = BIO_read(c.out, bytes, sizeof bytes);
    feed_bytes(&c.wire, bytes, (size_t)size);
    uint64_t handle = request();
    feed_bytes(&c.wire, (const uint8_t *)"\x17\x03\x03\x00\x20", 5);
    feed_bytes(&c.wire, bytes, 32);
    poll_engine();
    CHECK(event_of(CV_GONE) != NULL && event_of(CV_GONE)->handle == handle);
    answer(handle, "too late");
    hang_up(&c);
    finish();
}

static void renegotiation_is_refused(void)
{
    start_tls();
    caller c = call(CV_TLS1_2_VERSION);
    CHECK(shake_hands(&c));
    SSL_renegotiate(c.ssl);
    cv_ossl.SSL_do_handshake(c.ssl);
    pump(&c);
    CHECK(counters()->tls_accepted == 1);
    cv_ossl.SSL_do_handshake(c.ssl);
    CHECK(counters()->tls_accepted == 1 && counters()->requests == 0);
    hang_up(&c);
    finish();
}

/* A client that has us answer and reads nothing is not kept; nor is a turn without end. */
static void a_flood_of_key_updates_is_cut(void)
{
    start_tls();
    caller c = call(CV_TLS1_3_VERSION);
    CHECK(shake_hands(&c));
    int rounds = 0;
    while (rounds < 20000 && !c.wire.closed) {
        rounds++;
        SSL_key_update(c.ssl, SSL_KEY_UPDATE_REQUESTED);
        cv_ossl.SSL_do_handshake(c.ssl);
        send_bytes(&c);
    }
    CHECK(c.wire.closed);
    hang_up(&c);
    finish();
}

static void a_handshake_has_its_time(void)
{
    start_tls();
    client silent = connect_client();
    caller half = call(CV_TLS1_3_VERSION);
    half.split = 50;
    cv_ossl.SSL_do_handshake(half.ssl);
    uint8_t bytes[4096];
    BIO_read(half.out, bytes, sizeof bytes);
    feed_bytes(&half.wire, bytes, 50);
    cv_engine_advance(engine, options.header_timeout - 1);
    CHECK(counters()->connections == 2);
    feed_bytes(&half.wire, bytes + 50, 1); /* a byte now and then does not help */
    cv_engine_advance(engine, 2);
    CHECK(counters()->connections == 1 && counters()->header_timeouts == 1);
    CHECK(counters()->tls_failed == 1);
    drain(&half.wire);
    CHECK(half.wire.closed);
    cv_engine_advance(engine, options.idle_timeout);
    CHECK(counters()->connections == 0 && counters()->idle_timeouts == 1);
    CHECK(counters()->tls_failed == 1);
    hang_up(&half);
    leave(&silent);
    finish();
}

/* The farewell says that the answer was whole; without it nobody may think so. */
static void only_what_is_whole_ends_with_a_farewell(void)
{
    for (int v = 0; v < 2; v++) {
        start_tls();
        caller c = call(versions[v]);
        CHECK(shake_hands(&c));
        say(&c, "GET /items/1 HTTP/1.0\r\n\r\n");
        uint64_t handle = request();
        reply(handle, 200, CV_MORE, "", "part");
        chunk(handle, "end", 0);
        pump(&c);
        pump(&c);
        CHECK(ends(c.text, "partend") && (SSL_get_shutdown(c.ssl) & SSL_RECEIVED_SHUTDOWN));
        hang_up(&c);

        c = call(versions[v]);
        CHECK(shake_hands(&c));
        say(&c, "GET /items/1 HTTP/1.0\r\n\r\n");
        handle = request();
        reply(handle, 200, CV_MORE, "", "part");
        pump(&c);
        op(handle, CV_ABORT);
        pump(&c);
        CHECK(ends(c.text, "part") && !(SSL_get_shutdown(c.ssl) & SSL_RECEIVED_SHUTDOWN));
        CHECK(c.wire.closed);
        hang_up(&c);

        /* So with a connection that nobody needs any longer. */
        c = call(versions[v]);
        CHECK(shake_hands(&c));
        say(&c, GET("/hello"));
        pump(&c);
        cv_engine_advance(engine, options.idle_timeout + 1);
        pump(&c);
        CHECK(SSL_get_shutdown(c.ssl) & SSL_RECEIVED_SHUTDOWN);
        hang_up(&c);
        finish();
    }
}

static void a_client_may_end_its_half(void)
{
    for (int v = 0; v < 2; v++) {
        start_tls();
        caller c = call(versions[v]);
        CHECK(shake_hands(&c));
        say(&c, GET("/big"));
        cv_ossl.SSL_shutdown(c.ssl);
        send_bytes(&c);
        pump(&c);
        pump(&c);
        CHECK(c.wire.closed || c.size == 0);
        hang_up(&c);
        finish();
    }
}

static SSL_SESSION *session_of(SSL_SESSION *before, int version, int *resumed)
{
    caller c = call_with(version, before);
    CHECK(shake_hands(&c));
    say(&c, GET("/hello"));
    pump(&c);
    CHECK(strstr(c.text, "hello") != NULL);
    *resumed = cv_ossl.SSL_session_reused(c.ssl);
    cv_ossl.SSL_shutdown(c.ssl); /* else it forgets the session */
    SSL_SESSION *after = SSL_get1_session(c.ssl);
    hang_up(&c);
    if (before)
        SSL_SESSION_free(before);
    return after;
}

static void sessions_are_taken_up_as_long_as_the_key_is_there(void)
{
    for (int v = 0; v < 2; v++) {
        int resumed;
        start_tls();
        SSL_SESSION *session = session_of(NULL, versions[v], &resumed);
        CHECK(!resumed);
        session = session_of(session, versions[v], &resumed);
        CHECK(resumed && counters()->tls_resumed == 1);
        cv_engine_advance(engine, 3700); /* another key is used by now */
        session = session_of(session, versions[v], &resumed);
        CHECK(resumed && counters()->tls_resumed == 2);
        session = session_of(session, versions[v], &resumed);
        CHECK(resumed && counters()->tls_resumed == 3);
        /* New certificates: connections go on, and tickets do. */
        caller open = call(versions[v]);
        CHECK(shake_hands(&open));
        cv_tls *renewed = make_tls(12);
        CHECK(cv_engine_secure(engine, renewed) == 0);
        cv_tls_free(renewed);
        session = session_of(session, versions[v], &resumed);
        CHECK(resumed && counters()->tls_resumed == 4);
        say(&open, GET("/hello"));
        pump(&open);
        CHECK(strstr(open.text, "hello") != NULL);
        hang_up(&open);
        cv_engine_advance(engine, 4 * 3600);
        session = session_of(session, versions[v], &resumed);
        CHECK(!resumed && counters()->tls_resumed == 4);
        SSL_SESSION_free(session);
        finish();
        cv_tls_free(tls);
        tls = make_tls(12);
    }
}

static void what_tls_takes_is_given_back(void)
{
    for (int round = 0; round < 50; round++) {
        start_tls();
        caller c = call(versions[round & 1]);
        for (int turn = 0; turn < round % 4; turn++) {
            cv_ossl.SSL_do_handshake(c.ssl);
            send_bytes(&c);
            take_bytes(&c, turn == 2 ? 5 : SIZE_MAX);
        }
        if (round & 4)
            hang_up(&c); /* else the engine goes first */
        if (round & 8)
            cv_engine_stop(engine);
        cv_engine_free(engine);
        engine = NULL;
        if (!(round & 4)) {
            free(c.wire.out);
            cv_ossl.SSL_free(c.ssl);
            cv_ossl.SSL_CTX_free(c.context);
            free(c.text);
        }
    }
}

/* Anything in any order: nothing is read beyond its end, and everything is given back. */
static void whatever_happens(unsigned seed)
{
    srand(seed);
    start_tls();
    caller callers[4];
    int there[4] = {0};
    for (int step = 0; step < (quick ? 150 : 1500); step++) {
        int i = rand() % 4;
        caller *c = &callers[i];
        if (!there[i]) {
            *c = call(versions[rand() % 2]);
            c->split = rand() % 3 ? 0 : (size_t)(rand() % 600);
            there[i] = 1;
            if (rand() % 4)
                shake_hands(c);
            continue;
        }
        cv_ossl.ERR_clear_error();
        switch (rand() % 14) {
        case 0:
            cv_ossl.SSL_do_handshake(c->ssl);
            break;
        case 1:
        case 2:
            write_text(c, GET("/big") GET("/items/1"));
            break;
        case 3:
            write_text(c, GET("/hello"));
            break;
        case 4:
            write_text(c, "POST /wait HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc");
            break;
        case 5:
            SSL_key_update(c->ssl, SSL_KEY_UPDATE_REQUESTED);
            break;
        case 6:
            cv_ossl.SSL_shutdown(c->ssl);
            break;
        case 7: {
            uint8_t bytes[64];
            for (size_t b = 0; b < sizeof bytes; b++)
                bytes[b] = (uint8_t)rand();
            if (rand() % 3 == 0)
                BIO_write(c->out, bytes, rand() % 64 + 1);
            break;
        }
        case 8:
            take_bytes(c, (size_t)(rand() % 3000));
            read_text(c);
            break;
        case 9:
            take_bytes(c, SIZE_MAX);
            read_text(c);
            break;
        case 10:
            if (rand() % 3 == 0)
                cv_engine_feed_end(engine, c->wire.number);
            break;
        case 11:
            cv_engine_advance(engine, rand() % 100 / 10.0);
            break;
        case 12:
            if (rand() % 4 == 0) {
                hang_up(c);
                there[i] = 0;
                continue;
            }
            break;
        default:
            break;
        }
        send_bytes(c);
        cv_event seen[CV_EVENTS];
        int many = poll_engine();
        memcpy(seen, events, (size_t)many * sizeof *seen);
        for (int e = 0; e < many; e++)
            if (seen[e].kind == CV_REQUEST)
                answer(seen[e].handle, "an answer");
    }
    for (int i = 0; i < 4; i++)
        if (there[i])
            hang_up(&callers[i]);
    finish();
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "give the folder of the certificates\n");
        return 2;
    }
    quick = argc > 2;
    if (cv_tls_load("") < 0) {
        fprintf(stderr, "%s\n", cv_tls_problem());
        return 1;
    }
    find_client();
    chain = content(argv[1], "shop.pem", &chain_size);
    key = content(argv[1], "shop.key", &key_size);
    tls = make_tls(12);
    hands_are_shaken_whatever_the_split();
    requests_and_answers_of_any_size();
    what_is_no_tls_is_refused();
    broken_records_end_the_connection();
    a_request_in_flight_hears_of_a_broken_record();
    renegotiation_is_refused();
    a_flood_of_key_updates_is_cut();
    a_handshake_has_its_time();
    only_what_is_whole_ends_with_a_farewell();
    a_client_may_end_its_half();
    sessions_are_taken_up_as_long_as_the_key_is_there();
    what_tls_takes_is_given_back();
    for (unsigned seed = 1; seed <= (quick ? 3 : 8); seed++)
        whatever_happens(seed);
    cv_tls_free(tls);
    free(chain);
    free(key);
    return cv_failures ? 1 : 0;
}
