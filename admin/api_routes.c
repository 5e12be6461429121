/* Providers, models, settings and whole documents as JSON. */
#include "admin/api.h"

#include "admin/call.h"
#include "admin/route_state.h"
#include "fcgi/base/clock.h"

#define TEST_MS 8000

/* ---- providers ---- */

static void write_provider(struct buf *out, const struct provider_row *p, const struct health_map *health, int64_t now)
{
    struct provider_state state;
    provider_state(health, p->name, now, &state);
    doc_provider_write(out, p);
    out->len--; /* its last brace: state follows */
    api_member(out, ",\"health\":", state.health);
    api_member(out, ",\"breaker\":", state.breaker);
    api_member(out, ",\"forced\":", state.forced);
    buf_printf(out, ",\"requests\":%lld,\"failed\":%lld", (long long)state.requests, (long long)state.failed);
    api_member(out, ",\"error\":", state.error);
    api_time(out, ",\"error_at\":", state.error_at);
    buf_char(out, '}');
}

enum weir_err api_providers(struct web_way *w, struct buf *out)
{
    struct health_map *health = NULL;
    struct snapshot *s = NULL;
    enum weir_err err = snapshot_load(w->db, NULL, &s);
    if (err == WEIR_OK) err = health_load(w->db, &health);
    if (err == WEIR_OK) {
        buf_str(out, "{\"object\":\"list\",\"data\":[");
        for (int i = 0; i < s->provider_count; i++) {
            if (i) buf_char(out, ',');
            write_provider(out, &s->providers[i], health, clock_wall_ms());
        }
        buf_str(out, "],\"next\":null}");
    }
    health_release(health);
    if (s) snapshot_release(s);
    return err;
}

enum weir_err api_provider_breaker(struct web_way *w, struct buf *out)
{
    struct asked { const char *name, *wish; } asked = {NULL, NULL};
    static const struct field table[] = {{"name", FIELD_NAME, offsetof(struct asked, name), true, 0, 0, NULL},
                                         {"breaker", FIELD_CHOICE, offsetof(struct asked, wish), true, 0, 0, BREAKER_WISHES},
                                         {NULL, FIELD_ANY, 0, false, 0, 0, NULL}};
    struct manager m = web_manager(w);
    enum weir_err err = api_body(w, table, &asked);
    if (err != WEIR_OK) return err;
    if ((err = manage_provider_breaker(&m, asked.name, asked.wish)) == WEIR_NOT_FOUND) return api_not_found(w, "provider");
    return err == WEIR_OK ? api_done(out) : err;
}

enum weir_err api_provider_put(struct web_way *w, struct buf *out)
{
    return api_put_entry(w, out, SECTION_PROVIDERS);
}

enum weir_err api_provider_delete(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *name = api_named(w, "name"), *why;
    if (!name) return w->problem.err;
    enum weir_err err = manage_provider_remove(&m, name, &why);
    if (err == WEIR_EXISTS) return problem_set(&w->problem, WEIR_INVALID, "name", "Not removed, for %s.", why);
    if (err == WEIR_NOT_FOUND) return api_not_found(w, "provider");
    return err == WEIR_OK ? api_done(out) : err;
}

enum weir_err api_provider_key_delete(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *name = api_named(w, "name"), *key = name ? api_named(w, "key") : NULL;
    if (!key) return w->problem.err;
    enum weir_err err = manage_provider_key_remove(&m, name, key);
    if (err == WEIR_NOT_FOUND) return api_not_found(w, "key");
    return err == WEIR_OK ? api_done(out) : err;
}

enum weir_err api_provider_test(struct web_way *w, struct buf *out)
{
    struct asked { const char *name; } asked = {NULL};
    static const struct field table[] = {{"name", FIELD_NAME, offsetof(struct asked, name), true, 0, 0, NULL},
                                         {NULL, FIELD_ANY, 0, false, 0, 0, NULL}};
    struct call_result result = {0};
    struct snapshot *s = NULL;
    enum weir_err err = api_body(w, table, &asked);
    if (err == WEIR_OK) err = snapshot_load(w->db, w->web->master, &s);
    if (err != WEIR_OK) return err;
    const struct provider_row *p = snapshot_provider(s, span_of(asked.name));
    if (p) call_provider(p, TEST_MS, &result);
    snapshot_release(s);
    if (!p) return api_not_found(w, "provider");
    buf_printf(out, "{\"fine\":%s", result.fine ? "true" : "false");
    api_member(out, ",\"text\":", result.text);
    return buf_char(out, '}');
}

/* ---- models ---- */

enum weir_err api_models(struct web_way *w, struct buf *out)
{
    struct snapshot *s = NULL;
    enum weir_err err = snapshot_load(w->db, NULL, &s);
    if (err != WEIR_OK) return err;
    buf_str(out, "{\"object\":\"list\",\"data\":[");
    for (int i = 0; i < s->model_count; i++) {
        if (i) buf_char(out, ',');
        doc_model_write(out, &s->models[i]);
    }
    snapshot_release(s);
    return buf_str(out, "],\"next\":null}");
}

enum weir_err api_model_put(struct web_way *w, struct buf *out)
{
    return api_put_entry(w, out, SECTION_MODELS);
}

enum weir_err api_model_delete(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *alias = api_named(w, "alias"), *why;
    if (!alias) return w->problem.err;
    enum weir_err err = manage_model_remove(&m, alias, &why);
    if (err == WEIR_EXISTS) return problem_set(&w->problem, WEIR_INVALID, "alias", "Not removed, for %s.", why);
    if (err == WEIR_NOT_FOUND) return api_not_found(w, "model");
    return err == WEIR_OK ? api_done(out) : err;
}

/* ---- settings, documents ---- */

enum weir_err api_settings(struct web_way *w, struct buf *out)
{
    enum weir_err err = WEIR_OK;
    buf_str(out, "{\"object\":\"list\",\"data\":[");
    for (const struct setting_def *d = setting_defs; d->name && err == WEIR_OK; d++) {
        char *value;
        if ((err = settings_get(w->db, d, &w->memory, &value)) != WEIR_OK) break;
        api_member(out, d == setting_defs ? "{\"name\":" : ",{\"name\":", d->name);
        buf_printf(out, ",\"value\":%s,\"default\":%s", value, d->standard);
        api_member(out, ",\"meaning\":", d->meaning);
        buf_char(out, '}');
    }
    buf_str(out, "],\"next\":null}");
    return err;
}

enum weir_err api_settings_put(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    struct fault fault;
    struct jval root;
    struct buf text;
    enum weir_err err = api_body_text(w, &text, &root);
    if (err == WEIR_OK && (err = manage_settings(&m, buf_all(&text), &fault)) != WEIR_OK) err = api_fault(w, err, &fault);
    buf_free(&text);
    return err == WEIR_OK ? api_done(out) : err;
}

static void write_tally(struct buf *out, const struct applied *done)
{
    for (int i = 0; i < TALLY_COUNT; i++) {
        const struct tally *t = &done->tally[i];
        buf_printf(out, "%s\"%s\":{\"added\":%zu,\"changed\":%zu,\"same\":%zu}", i ? "," : "{\"sections\":{",
                   i == TALLY_SETTINGS ? "settings" : section_names[i], t->added, t->changed, t->same);
    }
    buf_char(out, '}');
}

/* "NAME<TAB>SECRET\n" of each key that was made. */
static void write_secrets(struct buf *out, struct span left)
{
    const char *lead = "";
    buf_str(out, ",\"keys\":[");
    while (left.len) {
        const char *tab = memchr(left.at, '\t', left.len), *end = memchr(left.at, '\n', left.len);
        buf_printf(out, "%s{\"name\":", lead);
        json_string(out, (struct span){left.at, (size_t)(tab - left.at)});
        buf_str(out, ",\"secret\":");
        json_string(out, (struct span){tab + 1, (size_t)(end - tab - 1)});
        buf_char(out, '}');
        left = (struct span){end + 1, left.len - (size_t)(end + 1 - left.at)};
        lead = ",";
    }
    buf_char(out, ']');
}

enum weir_err api_document_put(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    struct fault fault = {0};
    struct applied done;
    struct jval root;
    struct buf text;
    enum weir_err err = api_query(w);
    if (err == WEIR_OK) err = api_body_text(w, &text, &root);
    else return err;
    bool dry_run = form_get(&w->query, "dry_run") != NULL;
    if (err == WEIR_OK && (err = manage_document(&m, buf_all(&text), dry_run, &done, &fault)) != WEIR_OK) {
        err = api_fault(w, err, &fault);
    } else if (err == WEIR_OK) {
        write_tally(out, &done);
        write_secrets(out, buf_all(&done.made));
        api_lines(out, ",\"notes\":", buf_cstr(&done.notes));
        api_lines(out, ",\"changes\":", buf_cstr(&done.changes));
        buf_char(out, '}');
        applied_free(&done);
    }
    if (text.at) secret_wipe(text.at, text.len);
    buf_free(&text);
    return err;
}
