/* Fuzz target: the configuration document, as somebody may send it from outside. What is refused is told by a path and a
 * sentence in UTF-8; what is taken is within its bounds, names no file and no variable of this machine, and, written again,
 * is read as the same. */
#include <stdlib.h>

#include "admin/document.h"
#include "fcgi/base/bounds.h"
#include "sql/settings.h"
#include "sql/verifiers.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must(bool what)
{
    if (!what)
        abort();
}

static bool refused_well(const struct reader *r)
{
    must(*r->fault && strlen(r->path) < sizeof r->path && text_is_utf8(span_of(r->fault)) && text_is_utf8(span_of(r->path)));
    return false;
}

static struct jval checked(struct span text)
{
    struct jval v;
    struct jfault fault;
    must(jscan_check(text, BOUND_JSON_DEPTH, &v, &fault) == WEIR_OK);
    return v;
}

static bool provider(struct reader *r, struct jval v, struct buf *again)
{
    struct doc_provider d;
    if (!doc_provider_read(r, v, &d)) return refused_well(r);
    must(strlen(d.row.name) <= BOUND_NAME && strlen(d.row.base_url) <= BOUND_PATH);
    for (int i = 0; i < d.key_count; i++) must(!span_starts(d.keys[i].secret, "env:") && !span_starts(d.keys[i].secret, "file:"));
    return doc_provider_write(again, &d.row) == WEIR_OK;
}

static bool model(struct reader *r, struct jval v, struct buf *again)
{
    struct doc_model d;
    (void)again;
    if (!doc_model_read(r, v, &d)) return refused_well(r);
    must(d.target_count >= 1 && d.target_count <= BOUND_TARGETS && strlen(d.row.alias) <= BOUND_ALIAS);
    return false; /* its targets are known only where its providers are */
}

static bool limit(struct reader *r, struct jval v, struct buf *again)
{
    struct limit_rule l;
    if (!doc_limit_read(r, v, &l)) return refused_well(r);
    must(l.amount > 0 && l.refill_nano >= 0 && l.seconds >= 0 && !scope_fault(l.scope));
    return doc_limit_write(again, &l) == WEIR_OK;
}

static bool key(struct reader *r, struct jval v, struct buf *again)
{
    struct doc_key d;
    if (!doc_key_read(r, v, &d)) return refused_well(r);
    must(*d.row.name && strlen(d.row.name) <= BOUND_NAME && (!d.secret.at || d.secret.len >= 32));
    return doc_key_write(again, &d.row) == WEIR_OK;
}

static bool jwt(struct reader *r, struct jval v, struct buf *again)
{
    struct doc_jwt d;
    struct verifier read;
    if (!doc_jwt_read(r, v, &d)) return refused_well(r);
    must(!d.secret.at || (d.symmetric && d.secret.len >= 16));
    must(verifier_read(d.body, r->memory, &read) == WEIR_OK); /* the gateway can read what is stored */
    must(jwt_is_hmac(read.method) == d.symmetric && (d.symmetric || read.key_count || read.jwks_url));
    return buf_span(again, d.body) == WEIR_OK;
}

static bool (*const entries[SECTION_COUNT])(struct reader *, struct jval, struct buf *) = {provider, model, limit, key, jwt};

static void check_entry(enum section s, struct jval v)
{
    struct arena memory;
    struct reader r = {.memory = &memory, .remote = true}, second = r;
    struct buf once, twice;
    arena_init(&memory);
    buf_init(&once, 64 << 20);
    buf_init(&twice, 64 << 20);
    if (entries[s](&r, v, &once)) {
        struct jval written = checked(buf_all(&once));
        must(entries[s](&second, written, &twice) && span_eq(buf_all(&once), buf_all(&twice)));
    }
    buf_free(&once);
    buf_free(&twice);
    arena_end(&memory);
}

static void check_settings(struct jval settings)
{
    struct jiter it = jscan_iter(settings);
    struct span name;
    struct jval v;
    while (jscan_next(&it, &name, &v)) {
        const struct setting_def *d = setting_find(name);
        const char *expected = NULL;
        if (d && setting_check(d, v, &expected) == WEIR_OK) checked(v.text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct arena memory;
    struct reader r = {.memory = &memory, .remote = true};
    struct document doc;
    arena_init(&memory);
    if (!document_read(&r, (struct span){n ? (const char *)bytes : "", n}, &doc)) {
        refused_well(&r);
    } else {
        for (int s = 0; s < SECTION_COUNT; s++) {
            struct jiter it = jscan_iter(doc.sections[s]);
            struct span none;
            struct jval v;
            while (jscan_next(&it, &none, &v)) check_entry((enum section)s, v);
        }
        check_settings(doc.settings);
    }
    arena_end(&memory);
    return 0;
}
