#define _GNU_SOURCE
#include "tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine.h"
#include "file_put.h"
#include "file_put.h"
#include "sockets.h"

enum {
    RECORD = 16 * 1024, /* plain text of a record, at most */
    BATCH = 64 * 1024, /* of plain text encrypted before any of it is sent */
    SEALED_MOST = 256 * 1024, /* more waits of a client that makes us answer and does not read */
    HANDSHAKE_BYTE = 22,
    TURN = 64 * 1024 /* bytes read of one connection before others get a turn */
};

static cv_connection *connection_of(const cv_secure *s)
{
    return &s->core->connections[s->connection];
}

/* What OpenSSL reads and writes by. It never has to wait to write: what it writes is gathered. */

static int read_bytes(BIO *bio, char *into, int size)
{
    cv_secure *s = cv_ossl.BIO_get_data(bio);
    const cv_connection *c = connection_of(s);
    cv_core *core = s->core;
    ssize_t got = -1;
    cv_ossl.BIO_clear_flags(bio, CV_BIO_FLAGS_READ | CV_BIO_FLAGS_SHOULD_RETRY);
    if (size <= 0 || s->ended || s->broken)
        return s->ended ? 0 : -1;
    if ((uint32_t)size > s->budget)
        size = (int)s->budget;
    if (c->fd < 0) {
        got = (size_t)size < core->fed_size ? size : (ssize_t)core->fed_size;
        if (got) {
            memcpy(into, core->fed, (size_t)got);
            core->fed += got;
            core->fed_size -= (size_t)got;
        } else {
            got = -1;
        }
    } else if (size && !s->dry) {
        do {
            got = recv(c->fd, into, (size_t)size, 0);
        } while (got < 0 && errno == EINTR);
        if (got < 0 && errno != EAGAIN)
            s->broken = 1;
        if (got == 0)
            s->ended = 1;
        s->dry = got < size;
    }
    if (got > 0) {
        s->budget -= (uint32_t)got;
        if (!s->first) {
            s->first = (uint8_t)into[0];
            if (s->first != HANDSHAKE_BYTE) {
                s->broken = 1;
                return -1;
            }
        }
    } else if (got < 0 && !s->broken) {
        cv_ossl.BIO_set_flags(bio, CV_BIO_FLAGS_READ | CV_BIO_FLAGS_SHOULD_RETRY);
    }
    return (int)got;
}

static int write_bytes(BIO *bio, const char *bytes, int size)
{
    cv_secure *s = cv_ossl.BIO_get_data(bio);
    cv_core *core = s->core;
    if (size <= 0)
        return 0;
    if (core->seal_capacity - core->seal_size < (size_t)size) {
        size_t capacity = core->seal_size + (size_t)size + BATCH;
        uint8_t *larger = realloc(core->seal, capacity);
        if (!larger)
            return -1;
        core->seal = larger;
        core->seal_capacity = capacity;
    }
    memcpy(core->seal + core->seal_size, bytes, (size_t)size);
    core->seal_size += (size_t)size;
    return size;
}

static long control(BIO *bio, int what, long number, void *at)
{
    const cv_secure *s = cv_ossl.BIO_get_data(bio);
    (void)number;
    (void)at;
    switch (what) {
    case CV_BIO_CTRL_FLUSH:
        return 1;
    case CV_BIO_CTRL_EOF:
        return s->ended;
    default:
        return 0;
    }
}

static BIO_METHOD *method(void)
{
    static BIO_METHOD *made;
    if (!made) {
        made = cv_ossl.BIO_meth_new(cv_ossl.BIO_get_new_index() | CV_BIO_TYPE_SOURCE_SINK, "covet");
        if (made) {
            cv_ossl.BIO_meth_set_read(made, read_bytes);
            cv_ossl.BIO_meth_set_write(made, write_bytes);
            cv_ossl.BIO_meth_set_ctrl(made, control);
        }
    }
    return made;
}

/* Sending */

static void forget_sealed(cv_core *core, cv_secure *s)
{
    cv_budget_give(&core->budget, s->sealed, s->sealed_size);
    s->sealed = NULL;
    s->sealed_from = s->sealed_to = s->sealed_size = 0;
}

/* Send what could not be sent before, as far as that goes now. */
static void send_sealed(cv_core *core, cv_connection *c, cv_secure *s)
{
    while (s->sealed_from < s->sealed_to && !s->broken) {
        struct iovec piece = {s->sealed + s->sealed_from, s->sealed_to - s->sealed_from};
        int64_t sent = cv_socket_write(c, &piece, 1);
        if (sent < 0)
            s->broken = 1;
        if (sent <= 0)
            return;
        s->sealed_from += (uint32_t)sent;
    }
    if (s->sealed)
        forget_sealed(core, s);
}

/* Keep what is to be sent and cannot be now. */
static void keep_sealed(cv_core *core, cv_secure *s, const uint8_t *bytes, size_t size)
{
    uint32_t waiting = s->sealed_to - s->sealed_from;
    if (waiting + size > SEALED_MOST) {
        s->broken = 1;
        return;
    }
    if (s->sealed_size - s->sealed_to < size) {
        uint32_t capacity = waiting + (uint32_t)size;
        uint8_t *larger = cv_budget_take(&core->budget, capacity);
        if (!larger) {
            s->broken = 1;
            return;
        }
        if (waiting)
            memcpy(larger, s->sealed + s->sealed_from, waiting);
        forget_sealed(core, s);
        s->sealed = larger;
        s->sealed_to = waiting;
        s->sealed_size = capacity;
    }
    memcpy(s->sealed + s->sealed_to, bytes, size);
    s->sealed_to += (uint32_t)size;
}

/* Send what OpenSSL has just written. */
static void emit(cv_core *core, cv_connection *c, cv_secure *s)
{
    const uint8_t *at = core->seal;
    size_t size = core->seal_size;
    core->seal_size = 0;
    if (!size || s->broken)
        return;
    if (s->sealed_from == s->sealed_to) {
        struct iovec piece = {(void *)(uintptr_t)at, size};
        int64_t sent = cv_socket_write(c, &piece, 1);
        if (sent < 0) {
            s->broken = 1;
            return;
        }
        at += sent;
        size -= (size_t)sent;
    }
    if (size)
        keep_sealed(core, s, at, size);
}

/* Encrypt the next batch behind the first `skip` bytes of the pieces. Returns how much of them it is, or
 * -1. */
static int64_t encrypt(cv_core *core, cv_secure *s, const struct iovec *pieces, int count,
                       size_t skip)
{
    uint8_t *joined = core->record;
    size_t done = 0, gathered = 0;
    cv_ossl.ERR_clear_error();
    for (int i = 0; i < count && done < BATCH; i++) {
        const uint8_t *at = pieces[i].iov_base;
        size_t size = pieces[i].iov_len;
        if (skip >= size) {
            skip -= size;
            continue;
        }
        at += skip;
        size -= skip;
        skip = 0;
        while (size && done < BATCH) {
            int final = i + 1 == count;
            size_t part = gathered ? RECORD - gathered : BATCH - done;
            if (part > size)
                part = size;
            if (!gathered && !final && part > RECORD)
                part -= part % RECORD;
            int last = final && part == size;
            /* Small pieces share a record; those that fill some are not copied. */
            if (gathered || (part < RECORD && !last)) {
                memcpy(joined + gathered, at, part);
                gathered += part;
                if ((gathered == RECORD || last) &&
                    cv_ossl.SSL_write(s->ssl, joined, (int)gathered) != (int)gathered)
                    return -1;
                if (gathered == RECORD || last)
                    gathered = 0;
            } else if (cv_ossl.SSL_write(s->ssl, at, (int)part) != (int)part) {
                return -1;
            }
            at += part;
            size -= part;
            done += part;
        }
    }
    if (gathered && cv_ossl.SSL_write(s->ssl, joined, (int)gathered) != (int)gathered)
        return -1;
    return (int64_t)done;
}

int64_t cv_tls_write(cv_core *core, cv_connection *c, const struct iovec *pieces, int count)
{
    cv_secure *s = c->tls;
    size_t total = 0, taken = 0;
    if (s->state == CV_TLS_PLAIN)
        return cv_socket_write(c, pieces, count);
    if (s->state != CV_TLS_OPEN || c->fd < 0)
        return s->broken ? -1 : 0;
    send_sealed(core, c, s);
    if (s->broken)
        return -1;
    if (cv_tls_waits(c))
        return 0;
    taken = s->plain;
    s->plain = 0;
    for (int i = 0; i < count; i++)
        total += pieces[i].iov_len;
    while (taken < total) {
        int64_t size = encrypt(core, s, pieces, count, taken);
        emit(core, c, s);
        if (size < 0 || s->broken)
            return -1;
        if (cv_tls_waits(c)) {
            s->plain = (uint32_t)size;
            break;
        }
        taken += (size_t)size;
    }
    return (int64_t)taken;
}

void cv_tls_flush(cv_core *core, cv_connection *c)
{
    emit(core, c, c->tls);
    if (c->tls->broken)
        c->flags |= CV_C_BROKEN;
}

void cv_tls_writable(cv_core *core, cv_connection *c)
{
    cv_secure *s = c->tls;
    if (c->fd < 0)
        return;
    send_sealed(core, c, s);
    if (s->broken)
        c->flags |= CV_C_BROKEN;
    c->flags |= CV_C_WROTE;
    if (s->plain && !cv_tls_waits(c) && !s->broken) {
        uint32_t plain = s->plain;
        s->plain = 0;
        cv_connection_left(core, c, plain);
    }
}

size_t cv_tls_drain(cv_core *core, cv_connection *c, uint8_t *into, size_t size)
{
    cv_secure *s = c->tls;
    size_t taken = 0;
    while (taken < size) {
        if (s->sealed_from == s->sealed_to) {
            forget_sealed(core, s);
            if (s->plain) {
                uint32_t plain = s->plain;
                s->plain = 0;
                cv_connection_left(core, c, plain);
            }
            struct iovec pieces[16];
            int count = s->state == CV_TLS_OPEN ? cv_file_or_bytes(core, c, pieces, 16) : 0;
            if (!count)
                break;
            int64_t plain = encrypt(core, s, pieces, count, 0);
            emit(core, c, s);
            if (plain <= 0 || s->broken) {
                c->flags |= CV_C_BROKEN;
                break;
            }
            s->plain = (uint32_t)plain;
        }
        size_t part = s->sealed_to - s->sealed_from;
        if (part > size - taken)
            part = size - taken;
        memcpy(into + taken, s->sealed + s->sealed_from, part);
        s->sealed_from += (uint32_t)part;
        taken += part;
    }
    if (s->sealed_from == s->sealed_to && s->plain) {
        uint32_t plain = s->plain;
        s->plain = 0;
        cv_connection_left(core, c, plain);
    }
    return taken;
}

/* Receiving */

static int open_secure(cv_core *core, cv_connection *c)
{
    cv_secure *s = cv_budget_take(&core->budget, sizeof *s);
    if (!s)
        return -1;
    memset(s, 0, sizeof *s);
    s->core = core;
    s->connection = c->index;
    c->tls = s;
    s->tls = cv_tls_hold(core->tls);
    s->ssl = cv_ossl.SSL_new(s->tls->certificates[0]->context);
    BIO *bio = s->ssl && method() ? cv_ossl.BIO_new(method()) : NULL;
    if (!bio)
        return -1;
    cv_ossl.BIO_set_data(bio, s);
    cv_ossl.BIO_set_init(bio, 1);
    cv_ossl.SSL_set_bio(s->ssl, bio, bio);
    cv_ossl.SSL_set_ex_data(s->ssl, 0, s);
    cv_ossl.SSL_set_accept_state(s->ssl);
    return 0;
}

static void free_ssl(cv_secure *s)
{
    if (s->ssl)
        cv_ossl.SSL_free(s->ssl);
    s->ssl = NULL;
}

/* It ends here, as soon as the client could read why. */
static void fail(cv_core *core, cv_connection *c, cv_secure *s)
{
    int shaking = s->state == CV_TLS_SHAKING;
    emit(core, c, s); /* the alert */
    if (!shaking)
        core->counters.malformed++;
    else if (s->first) /* who sends nothing has only looked whether somebody is there */
        core->counters.tls_failed++;
    free_ssl(s);
    if (shaking && s->first >= 'A' && s->first <= 'Z') {
        s->state = CV_TLS_PLAIN;
        s->broken = 0;
        c->flags |= CV_C_OURS;
        cv_connection_refuse(core, c, 400);
        return;
    }
    s->state = CV_TLS_FAILED;
    if (s->broken && s->first == HANDSHAKE_BYTE) {
        c->flags |= CV_C_BROKEN;
        return;
    }
    cv_connection_drop_exchanges(core, c, CV_GONE_MALFORMED);
    cv_queue_clear(&c->out, &core->budget);
    s->plain = 0;
    s->broken = 0;
    c->phase = CV_PHASE_END;
    c->from = c->to;
    c->closing = CV_CLOSE_WRITTEN;
    c->flags |= s->ended ? CV_C_OURS | CV_C_EOF : CV_C_OURS;
}

/* A session that is taken up again was verified when it began; the certificate may be over by now. */
static int is_over(const cv_secure *s)
{
    const X509 *shown = s->tls->asks ? cv_ossl.SSL_get0_peer_certificate(s->ssl) : NULL;
    return shown && cv_ossl.SSL_session_reused(s->ssl) &&
           cv_ossl.X509_cmp_current_time(cv_ossl.X509_get0_notAfter(shown)) <= 0;
}

static int shake(cv_core *core, cv_connection *c, cv_secure *s)
{
    cv_ossl.ERR_clear_error();
    int done = cv_ossl.SSL_do_handshake(s->ssl);
    if (done == 1 && is_over(s))
        done = -1;
    else if (done != 1 && cv_ossl.SSL_get_error(s->ssl, done) == CV_SSL_ERROR_WANT_READ && !s->ended) {
        emit(core, c, s);
        return s->broken ? -1 : 0;
    }
    if (done != 1) {
        fail(core, c, s);
        return -1;
    }
    s->state = CV_TLS_OPEN; /* what is to be sent yet leaves with the first answer, or with the turn */
    core->counters.tls_accepted++;
    if (cv_ossl.SSL_session_reused(s->ssl))
        core->counters.tls_resumed++;
    s->flags = CV_HEAD_TLS;
    if (cv_ossl.SSL_version(s->ssl) >= CV_TLS1_3_VERSION)
        s->flags |= CV_HEAD_TLS_1_3;
    if (s->tls->asks && cv_ossl.SSL_get0_peer_certificate(s->ssl))
        s->flags |= CV_HEAD_CERTIFICATE;
    const unsigned char *chosen;
    unsigned int size;
    cv_ossl.SSL_get0_alpn_selected(s->ssl, &chosen, &size);
    cv_connection_speak(core, c, size == 2 ? CV_HTTP_2 : CV_HTTP_1);
    return 1;
}

/* Whoever is not listened to any longer: its bytes need not be decrypted. */
static int64_t discard(cv_connection *c, cv_core *core, uint8_t *at, size_t room, int *broken)
{
    if (c->fd < 0) {
        int64_t size = (int64_t)(core->fed_size < room ? core->fed_size : room);
        core->fed += size;
        core->fed_size -= (size_t)size;
        return size ? size : -1;
    }
    int64_t size = recv(c->fd, at, room, 0);
    *broken = size < 0 && errno != EAGAIN && errno != EINTR;
    return size;
}

int64_t cv_tls_receive(cv_core *core, cv_connection *c, uint8_t *at, size_t room, int *broken)
{
    *broken = 0;
    if (!c->tls && open_secure(core, c) < 0) {
        *broken = 1;
        return -1;
    }
    cv_secure *s = c->tls;
    s->more = 0;
    if (s->state > CV_TLS_OPEN || c->closing || c->phase == CV_PHASE_END)
        return discard(c, core, at, room, broken);
    if (s->faulty) {
        fail(core, c, s);
        return -1;
    }
    s->dry = 0;
    s->budget = TURN;
    if (s->state == CV_TLS_SHAKING && shake(core, c, s) != 1) {
        *broken = s->broken;
        return -1;
    }
    size_t got = 0;
    int size = 1;
    cv_ossl.ERR_clear_error();
    while (got < room && (size = cv_ossl.SSL_read(s->ssl, at + got, (int)(room - got))) > 0)
        got += (size_t)size;
    if (size > 0) {
        s->more = 1;
    } else {
        int why = cv_ossl.SSL_get_error(s->ssl, size);
        if (why == CV_SSL_ERROR_ZERO_RETURN)
            s->ended = 1;
        else if (why != CV_SSL_ERROR_WANT_READ)
            s->faulty = !s->broken;
    }
    if (s->faulty && !got) {
        fail(core, c, s);
        return -1;
    }
    if (s->broken && !got) {
        *broken = 1;
        return -1;
    }
    if (got) {
        s->more |= s->ended | s->broken | s->faulty; /* and that is told next */
        return (int64_t)got;
    }
    return s->ended ? 0 : -1;
}

/* The end */

int cv_tls_farewell(cv_core *core, cv_connection *c)
{
    cv_secure *s = c->tls;
    if (s->state == CV_TLS_OPEN && !s->said) {
        s->said = 1;
        cv_ossl.ERR_clear_error();
        cv_ossl.SSL_shutdown(s->ssl);
        emit(core, c, s);
    }
    return cv_tls_waits(c) && !s->broken;
}

void cv_tls_end(cv_core *core, cv_connection *c, int whole)
{
    cv_secure *s = c->tls;
    if (whole)
        cv_tls_farewell(core, c);
    core->seal_size = 0;
    free_ssl(s);
    forget_sealed(core, s);
    cv_tls_let_go(s->tls);
    cv_budget_give(&core->budget, s, sizeof *s);
    c->tls = NULL;
}

/* For Python */

int cv_engine_secure(cv_engine *engine, cv_tls *tls)
{
    cv_core *core = &engine->core;
    if (!core->record)
        core->record = malloc(RECORD);
    if (!core->record)
        return -1;
    cv_tls_hold(tls);
    if (core->tls) {
        cv_tls_keep_keys(tls, core->tls);
        cv_tls_let_go(core->tls);
    }
    core->tls = tls;
    return 0;
}

size_t cv_engine_certificate(cv_engine *engine, uint64_t handle, uint8_t *into, size_t size)
{
    cv_core *core = &engine->core;
    const cv_exchange *x = cv_exchange_current(core, handle);
    const cv_connection *c = x && x->connection ? &core->connections[x->connection] : NULL;
    X509 *shown = c && c->tls && c->tls->ssl ? cv_ossl.SSL_get0_peer_certificate(c->tls->ssl) : NULL;
    return shown ? cv_certificate_describe(shown, into, size) : 0;
}
