/* The libjwt door: is a token signed by the holder of a key? The only file that includes libjwt. */
#ifndef WEIR_DOOR_JWT_H
#define WEIR_DOOR_JWT_H

#include <stdbool.h>
#include "fcgi/base/span.h"

enum jwt_method { /* RFC 7518 3.1 */
    JWT_HS256, JWT_HS384, JWT_HS512, JWT_RS256, JWT_RS384, JWT_RS512, JWT_ES256, JWT_ES384,
    JWT_ES512, JWT_METHODS
};
extern const char *const jwt_method_names[JWT_METHODS];
static inline bool jwt_is_hmac(enum jwt_method m) { return m <= JWT_HS512; }
/* An HMAC secret of fewer bytes makes the signature as weak as itself (RFC 7518 3.2). */
static inline size_t jwt_hash_bytes(enum jwt_method m) { return 32 + 16 * (size_t)(m % 3); }
static inline bool jwt_is_rsa(enum jwt_method m) { return m >= JWT_RS256 && m <= JWT_RS512; }

/* token: three parts in strict base64url, terminated. key: the secret's bytes, or a public key in PEM; an empty one
 * signs nothing. The token's header must name this very method: it is looked at before and after (WIRE.md 7). Says
 * nothing about the claims. */
bool jwt_is_signed(const char *token, enum jwt_method m, struct span key);

#endif
