/* What TLS connections are made with: certificates, who signs those of clients, tickets, stapled answers. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tls.h"

/* As HTTP/2 asks for (RFC 9113, 9.2.2): forward secrecy and authenticated encryption only. The suites of
 * TLS 1.3 are all of this kind. */
#define SUITES "ECDHE+AESGCM:ECDHE+CHACHA20"
/* The first is there from OpenSSL 3.5 on. */
#define GROUPS "X25519:P-256:P-384"
#define GROUPS_WITH_ML_KEM "X25519MLKEM768:" GROUPS

#define HOUR (INT64_C(3600) * 1000000000)

enum {
    TICKET_LIFETIME = 7200, /* seconds; as long as the keys are there */
    CERTIFICATES_IN_CHAIN = 16
};

static int asked_for_password(char *into, int size, int writing, void *context)
{
    const char *password = context;
    size_t length = password ? strlen(password) : 0;
    (void)writing;
    if (length > (size_t)size)
        return -1;
    memcpy(into, password ? password : "", length);
    return (int)length;
}

static cv_secure *secure_of(const SSL *ssl)
{
    return cv_ossl.SSL_get_ex_data(ssl, 0);
}

/* Which certificate: called with the name the client wants. */
static int choose_certificate(SSL *ssl, int *alert, void *context)
{
    const char *name = cv_ossl.SSL_get_servername(ssl, 0);
    const cv_tls *tls = secure_of(ssl)->tls;
    const cv_certificate *found = NULL;
    (void)alert;
    (void)context;
    if (!name)
        return CV_SSL_TLSEXT_ERR_NOACK;
    const char *below = strchr(name, '.');
    for (int i = 1; i < tls->count; i++) {
        const cv_certificate *each = tls->certificates[i];
        if (strcasecmp(each->name, name) == 0) {
            found = each;
            break;
        }
        if (below && each->name[0] == '*' && strcasecmp(each->name + 1, below) == 0)
            found = each;
    }
    if (found)
        cv_ossl.SSL_set_SSL_CTX(ssl, found->context);
    return CV_SSL_TLSEXT_ERR_OK;
}

/* Which protocol: the first of ours that the client knows. Where it knows none of them, it takes us for
 * another server, and nothing of that is to be answered (RFC 7301, 3.2). */
static int choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_size,
                           const unsigned char *offered, unsigned int size, void *context)
{
    static const char *const ours[] = {"h2", "http/1.1", "http/1.0"};
    (void)context;
    for (size_t i = secure_of(ssl)->core->http2 ? 0 : 1; i < sizeof ours / sizeof *ours; i++) {
        size_t length = strlen(ours[i]);
        for (unsigned int at = 0; at < size && at + offered[at] < size; at += offered[at] + 1u) {
            if (offered[at] == length && memcmp(offered + at + 1, ours[i], length) == 0) {
                *chosen = offered + at + 1;
                *chosen_size = offered[at];
                return CV_SSL_TLSEXT_ERR_OK;
            }
        }
    }
    return CV_SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Tickets */

static int new_key(cv_tls *tls, int64_t now)
{
    cv_ticket_key key;
    if (cv_ossl.RAND_bytes(key.name, sizeof key.name) != 1 ||
        cv_ossl.RAND_bytes(key.cipher, sizeof key.cipher) != 1 ||
        cv_ossl.RAND_bytes(key.mac, sizeof key.mac) != 1)
        return -1;
    key.made = now;
    memmove(tls->keys + 1, tls->keys, (CV_TICKET_KEYS - 1) * sizeof *tls->keys);
    tls->keys[0] = key;
    return 0;
}

static int use_key(const cv_ticket_key *key, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                   EVP_MAC_CTX *mac, int making)
{
    OSSL_PARAM params[] = {
        {"key", CV_OSSL_PARAM_OCTET_STRING, (void *)(uintptr_t)key->mac, sizeof key->mac, SIZE_MAX},
        {"digest", CV_OSSL_PARAM_UTF8_STRING, (void *)(uintptr_t) "SHA256", 6, SIZE_MAX},
        {NULL, 0, NULL, 0, 0},
    };
    if (cv_ossl.EVP_MAC_CTX_set_params(mac, params) != 1)
        return -1;
    int (*const set)(EVP_CIPHER_CTX *, const EVP_CIPHER *, ENGINE *, const unsigned char *,
                     const unsigned char *) =
        making ? cv_ossl.EVP_EncryptInit_ex : cv_ossl.EVP_DecryptInit_ex;
    return set(cipher, cv_ossl.EVP_aes_256_cbc(), NULL, key->cipher, iv) == 1 ? 1 : -1;
}

/* Make a ticket's key known, or find that of one which a client has kept. 2: found, and make another one
 * with the newest. */
static int ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                      EVP_MAC_CTX *mac, int making)
{
    cv_secure *s = secure_of(ssl);
    cv_tls *tls = s->tls;
    int64_t now = s->core->now;
    if (making) {
        if ((!tls->keys[0].made || tls->keys[0].made + HOUR <= now) && new_key(tls, now) < 0)
            return -1;
        memcpy(name, tls->keys[0].name, sizeof tls->keys[0].name);
        if (cv_ossl.RAND_bytes(iv, 16) != 1)
            return -1;
        return use_key(&tls->keys[0], iv, cipher, mac, 1);
    }
    for (int i = 0; i < CV_TICKET_KEYS; i++) {
        const cv_ticket_key *key = &tls->keys[i];
        if (!key->made || key->made + CV_TICKET_KEYS * HOUR <= now ||
            memcmp(name, key->name, sizeof key->name) != 0)
            continue;
        if (use_key(key, iv, cipher, mac, 0) < 0)
            return -1;
        return i == 0 ? 1 : 2;
    }
    return 0;
}

void cv_tls_keep_keys(cv_tls *tls, const cv_tls *before)
{
    /* A client that was let in by its certificate has to show it again to whoever decides anew. */
    if (!tls->asks && !before->asks)
        memcpy(tls->keys, before->keys, sizeof tls->keys);
}

/* Show that the certificate was not revoked, as long as that is known. */
static int staple(SSL *ssl, void *context)
{
    const cv_certificate *certificate = context;
    ASN1_STRING *revoked, *since, *until = NULL;
    int reason;
    OCSP_SINGLERESP *one = cv_ossl.OCSP_resp_get0(certificate->answer, 0);
    if (!one)
        return CV_SSL_TLSEXT_ERR_NOACK;
    (void)cv_ossl.OCSP_single_get0_status(one, &reason, &revoked, &since, &until);
    if (until && cv_ossl.X509_cmp_current_time(until) <= 0)
        return CV_SSL_TLSEXT_ERR_NOACK;
    void *copy = cv_ossl.CRYPTO_memdup(certificate->staple, certificate->staple_size, __FILE__,
                                       __LINE__);
    if (!copy)
        return CV_SSL_TLSEXT_ERR_NOACK;
    cv_ossl.SSL_ctrl(ssl, CV_SSL_CTRL_SET_STATUS_REQ_OCSP_RESP, (long)certificate->staple_size,
                     copy);
    return CV_SSL_TLSEXT_ERR_OK;
}

/* Making */

cv_tls *cv_tls_new(void)
{
    cv_tls *tls = calloc(1, sizeof *tls);
    if (tls)
        tls->holders = 1;
    return tls;
}

cv_tls *cv_tls_hold(cv_tls *tls)
{
    tls->holders++;
    return tls;
}

static void free_certificate(cv_certificate *certificate)
{
    if (!certificate)
        return;
    if (certificate->context)
        cv_ossl.SSL_CTX_free(certificate->context);
    if (certificate->leaf)
        cv_ossl.X509_free(certificate->leaf);
    if (certificate->answer)
        cv_ossl.OCSP_BASICRESP_free(certificate->answer);
    free(certificate->staple);
    free(certificate->name);
    free(certificate);
}

void cv_tls_let_go(cv_tls *tls)
{
    if (!tls || --tls->holders)
        return;
    for (int i = 0; i < tls->count; i++)
        free_certificate(tls->certificates[i]);
    free(tls->certificates);
    memset(tls->keys, 0, sizeof tls->keys);
    free(tls);
}

void cv_tls_free(cv_tls *tls)
{
    cv_tls_let_go(tls);
}

static SSL_CTX *new_context(int minimum)
{
    static const unsigned char name[] = "covet";
    SSL_CTX *context = cv_ossl.SSL_CTX_new(cv_ossl.TLS_server_method());
    if (!context)
        return NULL;
    cv_ossl.SSL_CTX_set_options(context,
                                CV_SSL_OP_NO_COMPRESSION | CV_SSL_OP_NO_RENEGOTIATION |
                                    CV_SSL_OP_IGNORE_UNEXPECTED_EOF |
                                    CV_SSL_OP_CIPHER_SERVER_PREFERENCE);
    cv_ossl.SSL_CTX_ctrl(context, CV_SSL_CTRL_MODE,
                         CV_SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | CV_SSL_MODE_RELEASE_BUFFERS, NULL);
    cv_ossl.SSL_CTX_ctrl(context, CV_SSL_CTRL_SET_READ_AHEAD, 1, NULL);
    cv_ossl.SSL_CTX_ctrl(context, CV_SSL_CTRL_SET_SESS_CACHE_MODE, 0, NULL);
    cv_ossl.SSL_CTX_set_timeout(context, TICKET_LIFETIME);
    cv_ossl.SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    cv_ossl.SSL_CTX_callback_ctrl(context, CV_SSL_CTRL_SET_SERVERNAME_CB,
                                  (void (*)(void))choose_certificate);
    if (cv_ossl.SSL_CTX_ctrl(context, CV_SSL_CTRL_SET_MIN_PROTO_VERSION,
                             minimum == 13 ? CV_TLS1_3_VERSION : CV_TLS1_2_VERSION, NULL) == 1 &&
        cv_ossl.SSL_CTX_set_cipher_list(context, SUITES) == 1 &&
        (cv_ossl.SSL_CTX_ctrl(context, CV_SSL_CTRL_SET_GROUPS_LIST, 0,
                              (void *)(uintptr_t)GROUPS_WITH_ML_KEM) == 1 ||
         cv_ossl.SSL_CTX_ctrl(context, CV_SSL_CTRL_SET_GROUPS_LIST, 0,
                              (void *)(uintptr_t)GROUPS) == 1) &&
        cv_ossl.SSL_CTX_set_session_id_context(context, name, sizeof name - 1) == 1 &&
        cv_ossl.SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticket_key) == 1)
        return context;
    cv_ossl.SSL_CTX_free(context);
    return NULL;
}

/* The certificates of a PEM file, with the leaf first. Returns how many, or -1. */
static int use_chain(cv_certificate *to, const char *chain, size_t size)
{
    BIO *bio = cv_ossl.BIO_new_mem_buf(chain, (int)size);
    if (!bio)
        return -1;
    to->leaf = cv_ossl.PEM_read_bio_X509(bio, NULL, asked_for_password, NULL);
    int count = to->leaf && cv_ossl.SSL_CTX_use_certificate(to->context, to->leaf) == 1 ? 1 : -1;
    if (count < 0)
        cv_tls_say_why();
    while (count > 0) {
        X509 *next = cv_ossl.PEM_read_bio_X509(bio, NULL, asked_for_password, NULL);
        if (!next)
            break;
        if (count == CERTIFICATES_IN_CHAIN ||
            cv_ossl.SSL_CTX_ctrl(to->context, CV_SSL_CTRL_EXTRA_CHAIN_CERT, 0, next) != 1) {
            cv_ossl.X509_free(next);
            cv_tls_say("there are too many certificates in it");
            count = -1;
        } else {
            count++;
        }
    }
    cv_ossl.ERR_clear_error();
    cv_ossl.BIO_free(bio);
    return count;
}

static int use_key_of(cv_certificate *to, const char *key, size_t size, const char *password)
{
    BIO *bio = cv_ossl.BIO_new_mem_buf(key, (int)size);
    if (!bio)
        return -1;
    EVP_PKEY *found = cv_ossl.PEM_read_bio_PrivateKey(bio, NULL, asked_for_password,
                                                      (void *)(uintptr_t)password);
    int used = found && cv_ossl.X509_check_private_key(to->leaf, found) == 1 &&
               cv_ossl.SSL_CTX_use_PrivateKey(to->context, found) == 1;
    if (!used)
        cv_tls_say_why();
    if (found)
        cv_ossl.EVP_PKEY_free(found);
    cv_ossl.BIO_free(bio);
    return used ? 0 : -1;
}

static int use_staple(cv_certificate *to, const uint8_t *staple_, size_t size)
{
    const unsigned char *at = staple_;
    OCSP_RESPONSE *response = cv_ossl.d2i_OCSP_RESPONSE(NULL, &at, (long)size);
    if (response && cv_ossl.OCSP_response_status(response) == 0)
        to->answer = cv_ossl.OCSP_response_get1_basic(response);
    if (response)
        cv_ossl.OCSP_RESPONSE_free(response);
    cv_ossl.ERR_clear_error();
    to->staple = malloc(size);
    if (!to->answer || !to->staple) {
        cv_tls_say("it is no OCSP response that says something, in DER");
        return -1;
    }
    memcpy(to->staple, staple_, size);
    to->staple_size = size;
    cv_ossl.SSL_CTX_callback_ctrl(to->context, CV_SSL_CTRL_SET_STATUS_REQ_CB,
                                  (void (*)(void))staple);
    cv_ossl.SSL_CTX_ctrl(to->context, CV_SSL_CTRL_SET_STATUS_REQ_CB_ARG, 0, to);
    return 0;
}

int cv_tls_add(cv_tls *tls, const char *name, int minimum, const char *chain, size_t chain_size,
               const char *key,
               size_t key_size, const char *password, const uint8_t *ocsp, size_t ocsp_size)
{
    int result = CV_TLS_BAD_CERTIFICATE;
    cv_certificate *made = calloc(1, sizeof *made);
    cv_certificate **all =
        realloc(tls->certificates, ((size_t)tls->count + 1) * sizeof *tls->certificates);
    if (all)
        tls->certificates = all;
    cv_ossl.ERR_clear_error();
    cv_tls_say("there is no memory for it");
    if (!made || !all || tls->count == CV_TLS_CERTIFICATES)
        goto failed;
    made->name = strdup(name);
    made->context = new_context(minimum);
    if (!made->name || !made->context) {
        cv_tls_say_why();
        goto failed;
    }
    if (use_chain(made, chain, chain_size) < 0)
        goto failed;
    result = CV_TLS_BAD_KEY;
    if (use_key_of(made, key, key_size, password) < 0)
        goto failed;
    result = CV_TLS_BAD_OCSP;
    if (ocsp_size && use_staple(made, ocsp, ocsp_size) < 0)
        goto failed;
    tls->certificates[tls->count++] = made;
    return 0;
failed:
    free_certificate(made);
    return result;
}

int cv_tls_ask(cv_tls *tls, const char *authorities, size_t size, int required)
{
    int mode = CV_SSL_VERIFY_PEER | (required ? CV_SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
    tls->asks = 1;
    for (int i = 0; i < tls->count; i++) {
        SSL_CTX *context = tls->certificates[i]->context;
        BIO *bio = cv_ossl.BIO_new_mem_buf(authorities, (int)size);
        X509 *each;
        int count = 0;
        cv_ossl.ERR_clear_error();
        while (bio && (each = cv_ossl.PEM_read_bio_X509(bio, NULL, asked_for_password, NULL))) {
            count += cv_ossl.X509_STORE_add_cert(cv_ossl.SSL_CTX_get_cert_store(context), each) ==
                         1 &&
                     cv_ossl.SSL_CTX_add_client_CA(context, each) == 1;
            cv_ossl.X509_free(each);
        }
        if (bio)
            cv_ossl.BIO_free(bio);
        if (!count) {
            cv_tls_say_why();
            return CV_TLS_BAD_AUTHORITIES;
        }
        cv_ossl.ERR_clear_error();
        cv_ossl.SSL_CTX_set_verify(context, mode, NULL);
    }
    return 0;
}
