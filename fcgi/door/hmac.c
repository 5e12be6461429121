/* HMAC-SHA1 (RFC 2104) by OpenSSL 3. */
#include "fcgi/door/hmac.h"

#include <openssl/evp.h>

enum weir_err hmac_sha1(struct span key, struct span message, unsigned char out[HMAC_SHA1_LEN])
{
    size_t n = 0;
    bool made = EVP_Q_mac(NULL, "HMAC", NULL, "SHA1", NULL, key.at, key.len, (const unsigned char *)message.at, message.len,
                          out, HMAC_SHA1_LEN, &n) != NULL;
    return made && n == HMAC_SHA1_LEN ? WEIR_OK : WEIR_INTERNAL;
}
