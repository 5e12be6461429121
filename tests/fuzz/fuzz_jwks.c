/* Fuzz target: key sets, for every method. What is read of one is a list of public keys of that method's kind, under names
 * that differ; of HMAC there is none. */
#include <stdlib.h>
#include "fcgi/provider/jwks.c"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must(bool what)
{
    if (!what)
        abort();
}

static enum pem_kind kind_for(enum jwt_method m)
{
    return jwt_is_rsa(m) ? PEM_RSA : m == JWT_ES256 ? PEM_P256 : m == JWT_ES384 ? PEM_P384 : PEM_P521;
}

static void check_key(struct jval key, enum jwt_method m)
{
    struct buf text;
    buf_init(&text, BOUND_KEY_SET);
    must(key.kind == JSON_OBJECT && jval_string(jscan_find(key, "pem"), &text) == WEIR_OK);
    must(pem_kind_of(buf_all(&text)) == kind_for(m) && !memmem(text.at, text.len, "PRIVATE KEY", 11));
    buf_free(&text);
}

static void check_set(struct span text, enum jwt_method m)
{
    struct jval list = {.kind = JSON_ABSENT}, key, other;
    struct jfault fault;
    struct span none;
    must(!jwt_is_hmac(m) && jscan_check(text, 2, &list, &fault) == WEIR_OK && list.kind == JSON_ARRAY);
    must(jscan_count(list) >= 1 && jscan_count(list) <= BOUND_SET_KEYS);
    struct jiter it = jscan_iter(list);
    while (jscan_next(&it, &none, &key)) {
        struct jiter rest = it;
        check_key(key, m);
        struct jval kid = jscan_find(key, "kid");
        while (kid.kind == JSON_STRING && jscan_next(&rest, &none, &other)) must(!span_eq(jscan_find(other, "kid").text, kid.text));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct span text = {n ? (const char *)bytes : "", n};
    for (int m = 0; m < JWT_METHODS; m++) {
        const char *fault = NULL;
        struct buf keys;
        buf_init(&keys, BOUND_KEY_SET * 2);
        enum weir_err err = jwks_read(text, (enum jwt_method)m, &keys, &fault);
        must(err == WEIR_OK || (err == WEIR_INVALID && fault));
        if (err == WEIR_OK) check_set(buf_all(&keys), (enum jwt_method)m);
        buf_free(&keys);
    }
    return 0;
}
