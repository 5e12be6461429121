/* Providers and models: what is taken away, unless something else still leads there, and an administrator's word against
 * the breakers. Each with its record. Made and changed they are as entries of the document (manage.c). */
#include "admin/manage_state.h"

#include "sql/health.h"
#include "sql/pulse.h"
#include "sql/settings.h"

#define NAMED_MOST 5 /* users that are named; more are counted */

/* ---- who still uses what is to go ---- */

struct users { struct buf names; int count; };

static void add_user(struct users *u, const char *name)
{
    if (++u->count <= NAMED_MOST) buf_printf(&u->names, u->count > 1 ? ", %s" : "%s", name);
}

/* "the models steady, fast and 3 more LEAD there"; one: "the model fast LEADS there". */
static const char *users_text(struct manager *m, struct users *u, const char *one, const char *many)
{
    if (u->count > NAMED_MOST) buf_printf(&u->names, " and %d more", u->count - NAMED_MOST);
    return arena_printf(m->memory, "the model%s %s %s", u->count > 1 ? "s" : "", buf_cstr(&u->names),
                        u->count > 1 ? many : one);
}

static bool leads_to(const struct model_row *m, const struct provider_row *p)
{
    for (int t = 0; t < m->target_count; t++)
        if (m->targets[t].provider == p) return true;
    return false;
}

static enum weir_err provider_users(struct manager *m, const struct snapshot *s, const struct provider_row *p,
                                    const char **why)
{
    struct users users = {.count = 0};
    buf_init(&users.names, 65536);
    for (int i = 0; i < s->model_count; i++)
        if (leads_to(&s->models[i], p)) add_user(&users, s->models[i].alias);
    if (users.count) *why = users_text(m, &users, "leads there", "lead there");
    buf_free(&users.names);
    return users.count ? WEIR_EXISTS : WEIR_OK;
}

static bool falls_back_to(const struct model_row *m, const char *alias)
{
    return (m->fallback && strcmp(m->fallback, alias) == 0) ||
           (m->context_fallback && strcmp(m->context_fallback, alias) == 0);
}

static enum weir_err model_users(struct manager *m, const struct snapshot *s, const char *alias, const char **why)
{
    struct users users = {.count = 0};
    buf_init(&users.names, 65536);
    for (int i = 0; i < s->model_count; i++)
        if (falls_back_to(&s->models[i], alias)) add_user(&users, s->models[i].alias);
    if (users.count) *why = users_text(m, &users, "falls back to it", "fall back to it");
    else if (strcmp(s->settings.fallback, alias) == 0) *why = "the setting fallback names it";
    buf_free(&users.names);
    return *why ? WEIR_EXISTS : WEIR_OK;
}

/* ---- providers ---- */

/* What is loaded may be changed by another before the transaction begins; a target that is new then keeps its provider by
 * the schema. */
enum weir_err manage_provider_remove(struct manager *m, const char *name, const char **why)
{
    struct snapshot *s = NULL;
    struct managed c;
    *why = NULL;
    enum weir_err err = snapshot_load(m->db, NULL, &s);
    if (err != WEIR_OK) return err;
    const struct provider_row *p = snapshot_provider(s, span_of(name));
    err = p ? provider_users(m, s, p, why) : WEIR_NOT_FOUND;
    if (err == WEIR_OK && (err = managed_begin(m, &c)) == WEIR_OK) {
        doc_provider_write(&c.before, p);
        err = managed_end(m, &c, provider_remove(m->db, p->id), "provider removed", name);
    }
    snapshot_release(s);
    return err;
}

enum weir_err manage_provider_key_remove(struct manager *m, const char *provider, const char *key)
{
    struct managed c;
    enum weir_err err = managed_begin(m, &c);
    if (err != WEIR_OK) return err;
    buf_str(&c.before, "{\"key\":");
    json_string(&c.before, span_of(key));
    buf_char(&c.before, '}');
    return managed_end(m, &c, provider_key_remove(m->db, provider, key), "provider's key removed", provider);
}

static enum weir_err write_wish(struct manager *m, struct managed *c, const char *name, const char *wish)
{
    struct health_row row;
    enum weir_err err = health_read(m->db, m->memory, HEALTH_PROVIDER, name, "", &row);
    if (err != WEIR_OK) return err;
    const char *was = row.forced == FORCED_OPEN ? "open" : row.forced == FORCED_CLOSED ? "closed" : "auto";
    buf_printf(&c->before, "{\"breaker\":\"%s\"}", was);
    buf_printf(&c->after, "{\"breaker\":\"%s\"}", wish);
    if (strcmp(wish, "auto") == 0) return health_forget(m->db, name);
    row.forced = strcmp(wish, "open") == 0 ? FORCED_OPEN : FORCED_CLOSED;
    return health_put(m->db, &row, c->now);
}

enum weir_err manage_provider_breaker(struct manager *m, const char *name, const char *wish)
{
    struct snapshot *s = NULL;
    struct managed c;
    enum weir_err err = snapshot_load(m->db, NULL, &s);
    if (err != WEIR_OK) return err;
    bool known = snapshot_provider(s, span_of(name)) != NULL;
    snapshot_release(s);
    if (!known) return WEIR_NOT_FOUND;
    if ((err = managed_begin(m, &c)) != WEIR_OK) return err;
    err = managed_end(m, &c, write_wish(m, &c, name, wish), "provider's breaker forced", name);
    if (err == WEIR_OK) pulse_ring(m->data_dir);
    return err;
}

/* ---- models ---- */

enum weir_err manage_model_remove(struct manager *m, const char *alias, const char **why)
{
    struct snapshot *s = NULL;
    struct managed c;
    *why = NULL;
    enum weir_err err = snapshot_load(m->db, NULL, &s);
    if (err != WEIR_OK) return err;
    const struct model_row *row = snapshot_model(s, span_of(alias));
    err = row ? model_users(m, s, alias, why) : WEIR_NOT_FOUND;
    if (err == WEIR_OK && (err = managed_begin(m, &c)) == WEIR_OK) {
        doc_model_write(&c.before, row);
        err = managed_end(m, &c, model_remove(m->db, row->id), "model removed", alias);
    }
    snapshot_release(s);
    return err;
}

enum weir_err manage_price_remove(struct manager *m, const char *alias)
{
    struct snapshot *s = NULL;
    struct managed c;
    enum weir_err err = snapshot_load(m->db, NULL, &s);
    if (err != WEIR_OK) return err;
    const struct model_row *row = snapshot_model(s, span_of(alias));
    err = !row ? WEIR_NOT_FOUND : row->price.known ? WEIR_OK : WEIR_EXISTS;
    if (err == WEIR_OK && (err = managed_begin(m, &c)) == WEIR_OK) {
        struct model_row unpriced = *row;
        unpriced.price = (struct price){.known = false};
        doc_model_write(&c.before, row);
        doc_model_write(&c.after, &unpriced);
        err = managed_end(m, &c, model_put(m->db, &unpriced, &unpriced.id), "model changed", alias);
    }
    snapshot_release(s);
    return err;
}
