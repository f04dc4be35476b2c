/* libssl and libcrypto, found at run time: what is used of them, declared here so that building needs
 * none of their headers. Any 3.x will do: these functions and numbers are the same in all of them. */
#ifndef COVET_TLS_LIBRARY_H
#define COVET_TLS_LIBRARY_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_method_st SSL_METHOD;
typedef struct bio_st BIO;
typedef struct bio_method_st BIO_METHOD;
typedef struct x509_st X509;
typedef struct x509_store_st X509_STORE;
typedef struct X509_name_st X509_NAME;
typedef struct X509_name_entry_st X509_NAME_ENTRY;
typedef struct asn1_string_st ASN1_STRING;
typedef struct asn1_object_st ASN1_OBJECT;
typedef struct evp_pkey_st EVP_PKEY;
typedef struct evp_cipher_st EVP_CIPHER;
typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX;
typedef struct evp_mac_ctx_st EVP_MAC_CTX;
typedef struct engine_st ENGINE;
typedef struct stack_st OPENSSL_STACK;
typedef struct GENERAL_NAME_st GENERAL_NAME;
typedef struct ocsp_response_st OCSP_RESPONSE;
typedef struct ocsp_basic_response_st OCSP_BASICRESP;
typedef struct ocsp_single_response_st OCSP_SINGLERESP;

typedef struct ossl_param_st {
    const char *key;
    unsigned int data_type;
    void *data;
    size_t data_size;
    size_t return_size;
} OSSL_PARAM;

typedef int cv_password_asked(char *into, int size, int writing, void *context);
typedef int cv_alpn_asked(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_size,
                          const unsigned char *offered, unsigned int size, void *context);
typedef int cv_ticket_asked(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                            EVP_MAC_CTX *mac, int making);

/* F(library, result, name, arguments) */
#define CV_TLS_FUNCTIONS(F)                                                                        \
    F(ssl, const SSL_METHOD *, TLS_server_method, (void))                                          \
    F(ssl, SSL_CTX *, SSL_CTX_new, (const SSL_METHOD *))                                           \
    F(ssl, void, SSL_CTX_free, (SSL_CTX *))                                                        \
    F(ssl, long, SSL_CTX_ctrl, (SSL_CTX *, int, long, void *))                                     \
    F(ssl, long, SSL_CTX_callback_ctrl, (SSL_CTX *, int, void (*)(void)))                          \
    F(ssl, uint64_t, SSL_CTX_set_options, (SSL_CTX *, uint64_t))                                   \
    F(ssl, int, SSL_CTX_set_cipher_list, (SSL_CTX *, const char *))                                \
    F(ssl, int, SSL_CTX_use_certificate, (SSL_CTX *, X509 *))                                      \
    F(ssl, int, SSL_CTX_use_PrivateKey, (SSL_CTX *, EVP_PKEY *))                                   \
    F(ssl, void, SSL_CTX_set_verify, (SSL_CTX *, int, int (*)(int, void *)))                       \
    F(ssl, X509_STORE *, SSL_CTX_get_cert_store, (const SSL_CTX *))                                \
    F(ssl, int, SSL_CTX_add_client_CA, (SSL_CTX *, X509 *))                                        \
    F(ssl, int, SSL_CTX_set_session_id_context, (SSL_CTX *, const unsigned char *, unsigned int))  \
    F(ssl, long, SSL_CTX_set_timeout, (SSL_CTX *, long))                                           \
    F(ssl, void, SSL_CTX_set_alpn_select_cb, (SSL_CTX *, cv_alpn_asked *, void *))                 \
    F(ssl, int, SSL_CTX_set_tlsext_ticket_key_evp_cb, (SSL_CTX *, cv_ticket_asked *))              \
    F(ssl, SSL_CTX *, SSL_set_SSL_CTX, (SSL *, SSL_CTX *))                                         \
    F(ssl, SSL *, SSL_new, (SSL_CTX *))                                                            \
    F(ssl, void, SSL_free, (SSL *))                                                                \
    F(ssl, void, SSL_set_bio, (SSL *, BIO *, BIO *))                                               \
    F(ssl, void, SSL_set_accept_state, (SSL *))                                                    \
    F(ssl, int, SSL_set_ex_data, (SSL *, int, void *))                                             \
    F(ssl, void *, SSL_get_ex_data, (const SSL *, int))                                            \
    F(ssl, long, SSL_ctrl, (SSL *, int, long, void *))                                             \
    F(ssl, int, SSL_do_handshake, (SSL *))                                                         \
    F(ssl, int, SSL_read, (SSL *, void *, int))                                                    \
    F(ssl, int, SSL_write, (SSL *, const void *, int))                                             \
    F(ssl, int, SSL_shutdown, (SSL *))                                                             \
    F(ssl, int, SSL_get_error, (const SSL *, int))                                                 \
    F(ssl, int, SSL_version, (const SSL *))                                                        \
    F(ssl, int, SSL_session_reused, (const SSL *))                                                 \
    F(ssl, const char *, SSL_get_servername, (const SSL *, int))                                   \
    F(ssl, void, SSL_get0_alpn_selected, (const SSL *, const unsigned char **, unsigned int *))    \
    F(ssl, X509 *, SSL_get0_peer_certificate, (const SSL *))                                       \
    F(crypto, unsigned long, OpenSSL_version_num, (void))                                          \
    F(crypto, const char *, OpenSSL_version, (int))                                                \
    F(crypto, void, ERR_clear_error, (void))                                                       \
    F(crypto, unsigned long, ERR_peek_last_error, (void))                                          \
    F(crypto, const char *, ERR_reason_error_string, (unsigned long))                              \
    F(crypto, int, RAND_bytes, (unsigned char *, int))                                             \
    F(crypto, void, CRYPTO_free, (void *, const char *, int))                                      \
    F(crypto, void *, CRYPTO_memdup, (const void *, size_t, const char *, int))                    \
    F(crypto, int, BIO_get_new_index, (void))                                                      \
    F(crypto, BIO_METHOD *, BIO_meth_new, (int, const char *))                                     \
    F(crypto, int, BIO_meth_set_read, (BIO_METHOD *, int (*)(BIO *, char *, int)))                 \
    F(crypto, int, BIO_meth_set_write, (BIO_METHOD *, int (*)(BIO *, const char *, int)))          \
    F(crypto, int, BIO_meth_set_ctrl, (BIO_METHOD *, long (*)(BIO *, int, long, void *)))          \
    F(crypto, BIO *, BIO_new, (const BIO_METHOD *))                                                \
    F(crypto, int, BIO_free, (BIO *))                                                              \
    F(crypto, void, BIO_set_data, (BIO *, void *))                                                 \
    F(crypto, void *, BIO_get_data, (BIO *))                                                       \
    F(crypto, void, BIO_set_init, (BIO *, int))                                                    \
    F(crypto, void, BIO_set_flags, (BIO *, int))                                                   \
    F(crypto, void, BIO_clear_flags, (BIO *, int))                                                 \
    F(crypto, long, BIO_ctrl, (BIO *, int, long, void *))                                          \
    F(crypto, const BIO_METHOD *, BIO_s_mem, (void))                                               \
    F(crypto, BIO *, BIO_new_mem_buf, (const void *, int))                                         \
    F(crypto, X509 *, PEM_read_bio_X509, (BIO *, X509 **, cv_password_asked *, void *))            \
    F(crypto, EVP_PKEY *, PEM_read_bio_PrivateKey,                                                 \
      (BIO *, EVP_PKEY **, cv_password_asked *, void *))                                           \
    F(crypto, void, EVP_PKEY_free, (EVP_PKEY *))                                                   \
    F(crypto, int, X509_check_private_key, (const X509 *, const EVP_PKEY *))                       \
    F(crypto, int, X509_STORE_add_cert, (X509_STORE *, X509 *))                                    \
    F(crypto, void, X509_free, (X509 *))                                                           \
    F(crypto, X509 *, d2i_X509, (X509 **, const unsigned char **, long))                           \
    F(crypto, int, i2d_X509, (const X509 *, unsigned char **))                                     \
    F(crypto, int, X509_cmp_current_time, (const ASN1_STRING *))                                   \
    F(crypto, const ASN1_STRING *, X509_get0_notAfter, (const X509 *))                             \
    F(crypto, const ASN1_STRING *, X509_get0_serialNumber, (const X509 *))                         \
    F(crypto, X509_NAME *, X509_get_subject_name, (const X509 *))                                  \
    F(crypto, X509_NAME *, X509_get_issuer_name, (const X509 *))                                   \
    F(crypto, void *, X509_get_ext_d2i, (const X509 *, int, int *, int *))                         \
    F(crypto, int, X509_NAME_entry_count, (const X509_NAME *))                                     \
    F(crypto, X509_NAME_ENTRY *, X509_NAME_get_entry, (const X509_NAME *, int))                    \
    F(crypto, ASN1_OBJECT *, X509_NAME_ENTRY_get_object, (const X509_NAME_ENTRY *))                \
    F(crypto, ASN1_STRING *, X509_NAME_ENTRY_get_data, (const X509_NAME_ENTRY *))                  \
    F(crypto, int, X509_NAME_ENTRY_set, (const X509_NAME_ENTRY *))                                 \
    F(crypto, int, OBJ_obj2txt, (char *, int, const ASN1_OBJECT *, int))                           \
    F(crypto, int, ASN1_STRING_to_UTF8, (unsigned char **, const ASN1_STRING *))                   \
    F(crypto, const unsigned char *, ASN1_STRING_get0_data, (const ASN1_STRING *))                 \
    F(crypto, int, ASN1_STRING_length, (const ASN1_STRING *))                                      \
    F(crypto, int, ASN1_TIME_print, (BIO *, const ASN1_STRING *))                                  \
    F(crypto, int, i2a_ASN1_INTEGER, (BIO *, const ASN1_STRING *))                                 \
    F(crypto, int, OPENSSL_sk_num, (const OPENSSL_STACK *))                                        \
    F(crypto, void *, OPENSSL_sk_value, (const OPENSSL_STACK *, int))                              \
    F(crypto, void *, GENERAL_NAME_get0_value, (const GENERAL_NAME *, int *))                      \
    F(crypto, void, GENERAL_NAMES_free, (OPENSSL_STACK *))                                         \
    F(crypto, const EVP_CIPHER *, EVP_aes_256_cbc, (void))                                         \
    F(crypto, int, EVP_EncryptInit_ex,                                                             \
      (EVP_CIPHER_CTX *, const EVP_CIPHER *, ENGINE *, const unsigned char *,                      \
       const unsigned char *))                                                                     \
    F(crypto, int, EVP_DecryptInit_ex,                                                             \
      (EVP_CIPHER_CTX *, const EVP_CIPHER *, ENGINE *, const unsigned char *,                      \
       const unsigned char *))                                                                     \
    F(crypto, int, EVP_MAC_CTX_set_params, (EVP_MAC_CTX *, const OSSL_PARAM *))                    \
    F(crypto, OCSP_RESPONSE *, d2i_OCSP_RESPONSE,                                                  \
      (OCSP_RESPONSE **, const unsigned char **, long))                                            \
    F(crypto, void, OCSP_RESPONSE_free, (OCSP_RESPONSE *))                                         \
    F(crypto, int, OCSP_response_status, (OCSP_RESPONSE *))                                        \
    F(crypto, OCSP_BASICRESP *, OCSP_response_get1_basic, (OCSP_RESPONSE *))                       \
    F(crypto, void, OCSP_BASICRESP_free, (OCSP_BASICRESP *))                                       \
    F(crypto, OCSP_SINGLERESP *, OCSP_resp_get0, (OCSP_BASICRESP *, int))                          \
    F(crypto, int, OCSP_single_get0_status,                                                        \
      (OCSP_SINGLERESP *, int *, ASN1_STRING **, ASN1_STRING **, ASN1_STRING **))

typedef struct cv_tls_library {
#define CV_TLS_FIELD(library, result, name, arguments) result(*name) arguments;
    CV_TLS_FUNCTIONS(CV_TLS_FIELD)
#undef CV_TLS_FIELD
    uint8_t loaded;
} cv_tls_library;

/* Complete once cv_tls_load has returned 0. */
extern cv_tls_library cv_ossl;

enum {
    CV_SSL_CTRL_EXTRA_CHAIN_CERT = 14,
    CV_SSL_CTRL_MODE = 33,
    CV_SSL_CTRL_SET_READ_AHEAD = 41,
    CV_SSL_CTRL_SET_SESS_CACHE_MODE = 44,
    CV_SSL_CTRL_SET_SERVERNAME_CB = 53,
    CV_SSL_CTRL_SET_SERVERNAME_ARG = 54,
    CV_SSL_CTRL_SET_STATUS_REQ_CB = 63,
    CV_SSL_CTRL_SET_STATUS_REQ_CB_ARG = 64,
    CV_SSL_CTRL_SET_STATUS_REQ_OCSP_RESP = 71,
    CV_SSL_CTRL_SET_GROUPS_LIST = 92,
    CV_SSL_CTRL_SET_MIN_PROTO_VERSION = 123,

    CV_SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER = 2,
    CV_SSL_MODE_RELEASE_BUFFERS = 16,

    CV_SSL_OP_ENABLE_KTLS = 1 << 3,
    CV_SSL_OP_IGNORE_UNEXPECTED_EOF = 1 << 7,
    CV_SSL_OP_NO_COMPRESSION = 1 << 17,
    CV_SSL_OP_CIPHER_SERVER_PREFERENCE = 1 << 22,
    CV_SSL_OP_NO_RENEGOTIATION = 1 << 30,

    CV_SSL_VERIFY_PEER = 1,
    CV_SSL_VERIFY_FAIL_IF_NO_PEER_CERT = 2,

    CV_SSL_ERROR_WANT_READ = 2,
    CV_SSL_ERROR_ZERO_RETURN = 6,

    CV_SSL_TLSEXT_ERR_OK = 0,
    CV_SSL_TLSEXT_ERR_ALERT_FATAL = 2,
    CV_SSL_TLSEXT_ERR_NOACK = 3,

    CV_TLS1_2_VERSION = 0x0303,
    CV_TLS1_3_VERSION = 0x0304,

    CV_BIO_FLAGS_READ = 1,
    CV_BIO_FLAGS_SHOULD_RETRY = 8,
    CV_BIO_TYPE_SOURCE_SINK = 0x0400,
    CV_BIO_CTRL_EOF = 2,
    CV_BIO_CTRL_INFO = 3,
    CV_BIO_CTRL_FLUSH = 11,

    CV_OSSL_PARAM_UTF8_STRING = 4,
    CV_OSSL_PARAM_OCTET_STRING = 5,

    CV_NID_SUBJECT_ALT_NAME = 85,
    CV_GEN_EMAIL = 1,
    CV_GEN_DNS = 2,
    CV_GEN_URI = 6,
    CV_GEN_IPADD = 7
};

#endif
