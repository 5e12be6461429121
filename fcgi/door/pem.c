/* The libcrypto door (OpenSSL 3). libjwt reads public keys in PEM only, and key sets give numbers. */
#include "fcgi/door/pem.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#define COORDINATE_MOST 66   /* bytes, of P-521 */
#define MODULUS_MOST    1024 /* bytes; longer ones only cost time */
#define EXPONENT_MOST   8

static enum pem_kind kind_of_key(EVP_PKEY *key)
{
    char group[32] = "";
    if (EVP_PKEY_is_a(key, "RSA")) return EVP_PKEY_get_bits(key) >= PEM_RSA_BITS ? PEM_RSA : PEM_WEAK;
    if (!EVP_PKEY_is_a(key, "EC") || !EVP_PKEY_get_group_name(key, group, sizeof group, NULL)) return PEM_NONE;
    if (strcmp(group, SN_X9_62_prime256v1) == 0) return PEM_P256;
    if (strcmp(group, SN_secp384r1) == 0) return PEM_P384;
    return strcmp(group, SN_secp521r1) == 0 ? PEM_P521 : PEM_NONE;
}

enum pem_kind pem_kind_of(struct span pem)
{
    BIO *bio = pem.len && pem.len <= INT32_MAX ? BIO_new_mem_buf(pem.at, (int)pem.len) : NULL;
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    enum pem_kind kind = key ? kind_of_key(key) : PEM_NONE;
    EVP_PKEY_free(key);
    BIO_free(bio);
    ERR_clear_error();
    return kind;
}

/* ---- writing ---- */

static enum weir_err write_key(EVP_PKEY *key, struct buf *out)
{
    char *text;
    BIO *bio = BIO_new(BIO_s_mem());
    if (!bio) return WEIR_NOMEM;
    enum weir_err err = WEIR_INVALID;
    if (PEM_write_bio_PUBKEY(bio, key)) {
        long n = BIO_get_mem_data(bio, &text);
        err = n > 0 ? buf_add(out, text, (size_t)n) : WEIR_INVALID;
    }
    BIO_free(bio);
    return err;
}

/* Takes the parameters over. */
static enum weir_err make_key(const char *type, OSSL_PARAM_BLD *build, enum pem_kind wanted, struct buf *out)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *make = EVP_PKEY_CTX_new_from_name(NULL, type, NULL), *check = NULL;
    EVP_PKEY *key = NULL;
    enum weir_err err = WEIR_INVALID;
    if (params && make && EVP_PKEY_fromdata_init(make) == 1 &&
        EVP_PKEY_fromdata(make, &key, EVP_PKEY_PUBLIC_KEY, params) == 1 && kind_of_key(key) == wanted &&
        (check = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL)) && EVP_PKEY_public_check_quick(check) == 1)
        err = write_key(key, out);
    EVP_PKEY_CTX_free(check);
    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(make);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    ERR_clear_error();
    return err;
}

static BIGNUM *number(struct span s)
{
    return BN_bin2bn((const unsigned char *)s.at, (int)s.len, NULL);
}

enum weir_err pem_from_rsa(struct span n, struct span e, struct buf *out)
{
    enum weir_err err = WEIR_INVALID;
    if (!n.len || n.len > MODULUS_MOST || !e.len || e.len > EXPONENT_MOST) return WEIR_INVALID;
    BIGNUM *modulus = number(n), *exponent = number(e);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    /* A verifier with exponent 1 takes any signature. */
    bool good = modulus && exponent && build && BN_is_odd(modulus) && BN_is_odd(exponent) && !BN_is_one(exponent);
    if (good && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent))
        err = make_key("RSA", build, PEM_RSA, out);
    else OSSL_PARAM_BLD_free(build);
    BN_free(modulus);
    BN_free(exponent);
    return err;
}

enum weir_err pem_from_point(enum pem_kind curve, struct span x, struct span y, struct buf *out)
{
    const size_t length = curve == PEM_P256 ? 32 : curve == PEM_P384 ? 48 : curve == PEM_P521 ? 66 : 0;
    const char *group = curve == PEM_P256 ? SN_X9_62_prime256v1 : curve == PEM_P384 ? SN_secp384r1 : SN_secp521r1;
    unsigned char point[1 + 2 * COORDINATE_MOST] = {4}; /* uncompressed (SEC 1 2.3.3) */
    if (!length || x.len != length || y.len != length) return WEIR_INVALID; /* RFC 7518 6.2.1.2: the full length */
    memcpy(point + 1, x.at, length);
    memcpy(point + 1 + length, y.at, length);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    if (build && OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * length))
        return make_key("EC", build, curve, out);
    OSSL_PARAM_BLD_free(build);
    return WEIR_INVALID;
}
