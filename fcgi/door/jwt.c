/* The libjwt door. libjwt 1.10 trusts too much (WIRE.md 7): without a key it takes any token, with an RSA key in PEM it
 * takes one signed by HMAC with that text. So nothing reaches it but a header that names the very method the key is for.
 * Of what it reads only the verdict is used: the claims are taken from the token's own bytes, where a doubled member
 * and a number's form can still be seen. */
#include "fcgi/door/jwt.h"

#include <jwt.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/jscan.h"
#include "fcgi/base/text.h"

const char *const jwt_method_names[JWT_METHODS] = {
    [JWT_HS256] = "HS256", [JWT_HS384] = "HS384", [JWT_HS512] = "HS512",
    [JWT_RS256] = "RS256", [JWT_RS384] = "RS384", [JWT_RS512] = "RS512",
    [JWT_ES256] = "ES256", [JWT_ES384] = "ES384", [JWT_ES512] = "ES512",
};

static const jwt_alg_t algorithms[JWT_METHODS] = {
    [JWT_HS256] = JWT_ALG_HS256, [JWT_HS384] = JWT_ALG_HS384, [JWT_HS512] = JWT_ALG_HS512,
    [JWT_RS256] = JWT_ALG_RS256, [JWT_RS384] = JWT_ALG_RS384, [JWT_RS512] = JWT_ALG_RS512,
    [JWT_ES256] = JWT_ALG_ES256, [JWT_ES384] = JWT_ALG_ES384, [JWT_ES512] = JWT_ALG_ES512,
};

static bool header_names(const char *token, enum jwt_method m)
{
    struct buf header;
    struct jval root;
    struct jfault fault;
    const char *dot = strchr(token, '.');
    buf_init(&header, BOUND_CREDENTIAL);
    bool named = dot && base64url_decode(&header, (struct span){token, (size_t)(dot - token)}) == WEIR_OK &&
                 jscan_check(buf_all(&header), BOUND_TOKEN_DEPTH, &root, &fault) == WEIR_OK &&
                 jval_is(jscan_find(root, "alg"), jwt_method_names[m]);
    buf_free(&header);
    return named;
}

bool jwt_is_signed(const char *token, enum jwt_method m, struct span key)
{
    jwt_t *jwt = NULL;
    if (!key.at || !key.len || key.len > BOUND_CREDENTIAL || !header_names(token, m)) return false;
    bool is_signed = jwt_decode(&jwt, token, (const unsigned char *)key.at, (int)key.len) == 0 && jwt &&
                     jwt_get_alg(jwt) == algorithms[m];
    jwt_free(jwt);
    return is_signed;
}
