/* What a client's certificate says, taken apart for Python. */
#define _GNU_SOURCE
#include <string.h>

#include "covet_engine.h"
#include "tls.h"

typedef struct sheet {
    uint8_t *at;
    size_t size, capacity;
    int failed;
} sheet;

static void put(sheet *sheet, int kind, const void *name, size_t name_size, const void *value,
                size_t value_size)
{
    uint16_t sizes[2] = {(uint16_t)name_size, (uint16_t)value_size};
    size_t whole = 1 + sizeof sizes + name_size + value_size;
    if (name_size > UINT16_MAX || value_size > UINT16_MAX ||
        sheet->capacity - sheet->size < whole) {
        sheet->failed = 1;
        return;
    }
    uint8_t *at = sheet->at + sheet->size;
    *at = (uint8_t)kind;
    memcpy(at + 1, sizes, sizeof sizes);
    memcpy(at + 1 + sizeof sizes, name, name_size);
    if (value_size)
        memcpy(at + 1 + sizeof sizes + name_size, value, value_size);
    sheet->size += whole;
}

/* An attribute is of the same relative name as the one before it if its kind is the second one. */
static void put_name(sheet *sheet, const X509_NAME *name, int kind, int joined_kind)
{
    int last = -1;
    for (int i = 0; i < cv_ossl.X509_NAME_entry_count(name); i++) {
        const X509_NAME_ENTRY *entry = cv_ossl.X509_NAME_get_entry(name, i);
        char attribute[256];
        unsigned char *text = NULL;
        int size = cv_ossl.OBJ_obj2txt(attribute, sizeof attribute,
                                       cv_ossl.X509_NAME_ENTRY_get_object(entry), 0);
        int text_size = cv_ossl.ASN1_STRING_to_UTF8(&text, cv_ossl.X509_NAME_ENTRY_get_data(entry));
        int set = cv_ossl.X509_NAME_ENTRY_set(entry);
        if (size <= 0 || size >= (int)sizeof attribute || text_size < 0)
            sheet->failed = 1;
        else
            put(sheet, set == last ? joined_kind : kind, attribute, (size_t)size, text,
                (size_t)text_size);
        last = set;
        if (text)
            cv_ossl.CRYPTO_free(text, __FILE__, __LINE__);
    }
}

static void put_alternatives(sheet *sheet, const X509 *certificate)
{
    OPENSSL_STACK *names =
        cv_ossl.X509_get_ext_d2i(certificate, CV_NID_SUBJECT_ALT_NAME, NULL, NULL);
    for (int i = 0; names && i < cv_ossl.OPENSSL_sk_num(names); i++) {
        int type;
        const ASN1_STRING *value =
            cv_ossl.GENERAL_NAME_get0_value(cv_ossl.OPENSSL_sk_value(names, i), &type);
        int kind = type == CV_GEN_DNS     ? CV_CERTIFICATE_DNS
                   : type == CV_GEN_EMAIL ? CV_CERTIFICATE_EMAIL
                   : type == CV_GEN_URI   ? CV_CERTIFICATE_URI
                   : type == CV_GEN_IPADD ? CV_CERTIFICATE_ADDRESS
                                          : 0;
        if (kind)
            put(sheet, kind, "", 0, cv_ossl.ASN1_STRING_get0_data(value),
                (size_t)cv_ossl.ASN1_STRING_length(value));
    }
    if (names)
        cv_ossl.GENERAL_NAMES_free(names);
}

/* What a function prints. */
static void put_printed(sheet *sheet, int kind, int (*print)(BIO *, const ASN1_STRING *),
                        const ASN1_STRING *what)
{
    enum { CONTENT = 3 /* BIO_CTRL_INFO */ };
    BIO *bio = cv_ossl.BIO_new(cv_ossl.BIO_s_mem());
    char *text = NULL;
    long size = 0;
    if (bio && print(bio, what) > 0)
        size = cv_ossl.BIO_ctrl(bio, CONTENT, 0, &text);
    if (size > 0)
        put(sheet, kind, "", 0, text, (size_t)size);
    else
        sheet->failed = 1;
    if (bio)
        cv_ossl.BIO_free(bio);
}

size_t cv_certificate_describe(X509 *certificate, uint8_t *into, size_t size)
{
    sheet sheet = {into, 0, size, 0};
    cv_ossl.ERR_clear_error();
    unsigned char *encoded = NULL;
    int encoded_size = cv_ossl.i2d_X509(certificate, &encoded);
    if (encoded_size > 0)
        put(&sheet, CV_CERTIFICATE_DER, "", 0, encoded, (size_t)encoded_size);
    else
        sheet.failed = 1;
    if (encoded)
        cv_ossl.CRYPTO_free(encoded, __FILE__, __LINE__);
    put_name(&sheet, cv_ossl.X509_get_subject_name(certificate), CV_CERTIFICATE_SUBJECT,
             CV_CERTIFICATE_SUBJECT_TOO);
    put_name(&sheet, cv_ossl.X509_get_issuer_name(certificate), CV_CERTIFICATE_ISSUER,
             CV_CERTIFICATE_ISSUER_TOO);
    put_printed(&sheet, CV_CERTIFICATE_SERIAL, cv_ossl.i2a_ASN1_INTEGER,
                cv_ossl.X509_get0_serialNumber(certificate));
    put_printed(&sheet, CV_CERTIFICATE_NOT_AFTER, cv_ossl.ASN1_TIME_print,
                cv_ossl.X509_get0_notAfter(certificate));
    put_alternatives(&sheet, certificate);
    cv_ossl.ERR_clear_error();
    return sheet.failed ? 0 : sheet.size;
}
