/* Is a configuration document right? Each entry by itself, against the others, and against what is stored. Writes
 * nothing. */
#include "admin/apply_state.h"
#include "admin/same.h"
#include "fcgi/base/bounds.h"

static bool add_name(struct apply *a, enum section s, const char *member, const char *name)
{
    switch (names_add(&a->seen[s], span_of(name), 0)) {
    case WEIR_OK:     return true;
    case WEIR_EXISTS:
        return member ? refuse_member(&a->r, member, "stands in %s twice", section_names[s])
                      : refuse(&a->r, "stands in %s twice (the same scope, metric, shape and period or seconds)",
                               section_names[s]);
    default:          return refuse_memory(&a->r);
    }
}

/* ---- checking ---- */

static bool check_provider(struct apply *a, struct jval v)
{
    const struct provider_row *old;
    struct doc_provider d;

    if (!doc_provider_read(&a->r, v, &d) || !add_name(a, SECTION_PROVIDERS, "name", d.row.name)) return false;
    old = snapshot_provider(a->before, span_of(d.row.name));
    for (int i = 0; i < d.key_count; i++) {
        if (d.keys[i].secret.at || provider_key_of(old, d.keys[i].name)) continue;
        path_member(&a->r, "keys");
        path_index(&a->r, (size_t)i);
        return refuse_member(&a->r, "secret", "is missing, and no such key is stored");
    }
    return true;
}

static bool check_model(struct apply *a, struct jval v)
{
    struct doc_model d;

    if (!doc_model_read(&a->r, v, &d) || !add_name(a, SECTION_MODELS, "alias", d.row.alias)) return false;
    return true;
}

static bool is_alias(struct apply *a, const char *member, const char *alias) /* NULL: none */
{
    if (!alias || names_find(&a->seen[SECTION_MODELS], span_of(alias), NULL) || snapshot_model(a->before, span_of(alias)))
        return true;
    return refuse_member(&a->r, member, "%.100s is no alias, here or stored", alias);
}

/* When all names are known: does what a model points at exist? */
static bool check_references(struct apply *a, struct jval v)
{
    struct doc_model d;

    if (!doc_model_read(&a->r, v, &d)) return false;
    for (int i = 0; i < d.target_count; i++) {
        struct span name = span_of(d.targets[i].provider);

        if (names_find(&a->seen[SECTION_PROVIDERS], name, NULL) || snapshot_provider(a->before, name)) continue;
        path_member(&a->r, "targets");
        path_index(&a->r, (size_t)i);
        return refuse_member(&a->r, "provider", "%.100s is no provider, here or stored", d.targets[i].provider);
    }
    return is_alias(a, "fallback", d.row.fallback) && is_alias(a, "context_fallback", d.row.context_fallback);
}

static bool check_limit(struct apply *a, struct jval v)
{
    struct limit_rule l;
    char *identity;

    if (!doc_limit_read(&a->r, v, &l)) return false;
    identity = limit_identity(&a->entry, &l);
    if (!identity) return refuse_memory(&a->r);
    return add_name(a, SECTION_LIMITS, NULL, identity) && apply_note_scope(a, l.scope);
}

static bool check_key(struct apply *a, struct jval v)
{
    struct doc_key d;

    return doc_key_read(&a->r, v, &d) && add_name(a, SECTION_KEYS, "name", d.row.name)
        && apply_note_models(a, d.row.models);
}

static bool check_jwt(struct apply *a, struct jval v)
{
    struct jwt_row old = {.name = NULL};
    struct doc_jwt d;

    if (!doc_jwt_read(&a->r, v, &d) || !add_name(a, SECTION_JWT, "name", d.name)) return false;
    a->err = jwt_find(a->read, d.name, &a->entry, &old);
    if (a->err && a->err != WEIR_NOT_FOUND) return false;
    if (a->err) a->verifiers++;
    a->err = WEIR_OK;
    if (!old.name && a->verifiers > BOUND_VERIFIERS)
        return refuse(&a->r, "is one too many: there may be %d token verifiers", BOUND_VERIFIERS);
    if (d.symmetric && !d.secret.at && !old.has_secret)
        return refuse_member(&a->r, "secret", "is missing, and none is stored");
    return true;
}

static bool check_setting(struct apply *a, const struct setting_def *d, struct jval v)
{
    const char *expected = NULL;
    struct jiter it = jscan_iter(a->doc.settings);
    struct span key;
    struct jval other;

    if (setting_check(d, v, &expected)) return refuse(&a->r, "must be %s", expected ? expected : "something else");
    while (jscan_next(&it, &key, &other) && other.text.at < v.text.at)
        if (jkey_is(key, d->name)) return refuse(&a->r, "stands there twice");
    return true;
}

bool apply_check(struct apply *a)
{
    return apply_each_entry(a, SECTION_PROVIDERS, check_provider) && apply_each_entry(a, SECTION_MODELS, check_model) &&
           apply_each_entry(a, SECTION_MODELS, check_references) && apply_each_entry(a, SECTION_LIMITS, check_limit) &&
           apply_each_entry(a, SECTION_KEYS, check_key) && apply_each_entry(a, SECTION_JWT, check_jwt) &&
           apply_each_setting(a, check_setting);
}
