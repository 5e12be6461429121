/* `weir model`: aliases are added and listed. */
#include <stdio.h>
#include <string.h>

#include "admin/apply.h"
#include "admin/document.h"
#include "admin/listing.h"
#include "admin/option.h"
#include "admin/price_text.h"
#include "admin/route_state.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"

/* {"models":[{"alias":...,"targets":[...]}]} from the words; a target is split at its first colon. */
static bool model_document(const char *alias, const struct words *to, struct buf *json)
{
    buf_str(json, "{\"models\":[{\"alias\":");
    json_string(json, span_of(alias));
    buf_str(json, ",\"targets\":[");
    for (int i = 0; i < to->count; i++) {
        const char *colon = strchr(to->at[i], ':');

        if (!colon || colon == to->at[i] || !colon[1]) {
            say("--to: \"%s\" is not PROVIDER:MODEL", to->at[i]);
            return false;
        }
        buf_str(json, i ? ",{\"provider\":" : "{\"provider\":");
        json_string(json, (struct span){to->at[i], (size_t)(colon - to->at[i])});
        buf_str(json, ",\"model\":");
        json_string(json, span_of(colon + 1));
        buf_char(json, '}');
    }
    return !buf_str(json, "]}]}");
}

/* Is there an alias of that name? Then `add` would replace it in silence. */
static bool alias_is_free(struct weir *w, const char *alias)
{
    struct snapshot *snap;
    struct db *db;
    enum weir_err err;
    bool taken = false;

    if (!weir_open(w, DB_READ, &db)) return false;
    err = snapshot_load(db, NULL, &snap);
    if (err) {
        weir_failed("the aliases cannot be read", err, db);
    } else {
        taken = snapshot_model(snap, span_of(alias)) != NULL;
        snapshot_release(snap);
        if (taken) say("the alias %s is there already; change it with `weir apply`, or at /admin", alias);
    }
    db_close(db);
    return !err && !taken;
}

int cmd_model_add(struct weir *w, int argc, char **argv)
{
    struct words words, to = {NULL, 0};
    const struct option_def options[] = {{"--to", OPTION_LIST, &to}, {NULL, OPTION_FLAG, NULL}};
    struct applied done;
    struct buf json;
    int code = EXIT_USAGE;

    if (!options_read(&w->memory, argc, argv, options, 1, 1, &words)) return EXIT_USAGE;
    if (!to.count) {
        say("--to: is missing");
        return EXIT_USAGE;
    }
    buf_init(&json, 1 << 20);
    if (!model_document(words.at[0], &to, &json)) goto out;
    code = EXIT_REFUSED;
    if (alias_is_free(w, words.at[0]) && document_apply(w, buf_all(&json), false, "models[0].", &done)) {
        applied_free(&done);
        say("the alias %s was added; it has no price yet: `weir prices import` knows many", words.at[0]);
        code = EXIT_DONE;
    }
out:
    buf_free(&json);
    return code;
}

/* ---- list ---- */

static const struct column columns[] = {{"alias", "ALIAS", 0},     {"strategy", "STRATEGY", 0},
                                        {"cache_ttl", "CACHE", 0}, {"targets", "TARGETS", 0},
                                        {"price", "IN/OUT", 0},    {"context_window", NULL, 0},
                                        {"context", NULL, 0},      {"max_output", NULL, 0},
                                        {"cache_scope", NULL, 0},  {"cache_tool_calls", NULL, 0},
                                        {"stale_for", NULL, 0},    {"fallback", "FALLBACK", 0},
                                        {"context_fallback", NULL, 0}, {"hedge_after_ms", NULL, 0},
                                        {"system", NULL, 0},       {"defaults", NULL, 0},
                                        {"created", "CREATED", 0}, {NULL, NULL, 0}};

static void list_target_state(const struct target_row *t, const struct health_row *row, struct buf *json)
{
    buf_printf(json, ", \"weight\": %lld", (long long)t->weight);
    if (t->price.known) {
        buf_str(json, ", \"price\": ");
        price_json(json, &t->price);
    }
    buf_printf(json, ", \"state\": \"%s\", \"failures\": %lld, \"requests\": %lld, \"failed\": %lld",
               breaker_state(row, clock_wall_ms()), row ? (long long)row->breaker.failures : 0,
               row ? (long long)row->requests : 0, row ? (long long)row->failed : 0);
    if (row && row->latency_ms >= 0) buf_printf(json, ", \"latency_ms\": %lld", (long long)row->latency_ms);
    buf_str(json, ", \"error\": ");
    json_string(json, span_of(row ? row->error : NULL));
    buf_char(json, '}');
}

static void list_targets(struct listing *l, const struct model_row *m, const struct health_map *health, struct buf *json,
                         struct buf *shown)
{
    buf_clear(json);
    buf_clear(shown);
    buf_char(json, '[');
    for (int i = 0; i < m->target_count; i++) {
        const struct target_row *t = &m->targets[i];

        buf_str(json, i ? ", {\"provider\": " : "{\"provider\": ");
        json_string(json, span_of(t->provider->name));
        buf_str(json, ", \"model\": ");
        json_string(json, span_of(t->model));
        list_target_state(t, health_find(health, HEALTH_TARGET, t->provider->name, t->model), json);
        buf_printf(shown, "%s%s:%s", i ? "," : "", t->provider->name, t->model);
    }
    buf_char(json, ']');
    listing_both(l, buf_all(json), buf_all(shown));
}

static void list_price(struct listing *l, const struct price *p, struct buf *json, struct buf *shown)
{
    char in[MONEY_TEXT], out[MONEY_TEXT];

    if (!p->known) {
        listing_both(l, SPAN("null"), SPAN("unpriced"));
        return;
    }
    money_text(p->input, in);
    money_text(p->output, out);
    buf_clear(json);
    buf_clear(shown);
    price_json(json, p);
    buf_printf(shown, "%s/%s", in, out);
    listing_both(l, buf_all(json), buf_all(shown));
}

static void list_optional(struct listing *l, int64_t n) /* 0: null */
{
    if (n) listing_int(l, n);
    else listing_text(l, SPAN_NONE);
}

static void list_context(struct listing *l, const struct model_row *m, struct buf *json)
{
    if (!m->context_action) {
        listing_both(l, SPAN("null"), SPAN_NONE);
        return;
    }
    buf_clear(json);
    buf_printf(json, "{\"action\": \"%s\", \"trim_at\": %lld, \"trim_to\": %lld}", m->context_action,
               (long long)m->trim_at, (long long)m->trim_to);
    listing_both(l, buf_all(json), span_of(m->context_action));
}

int cmd_model_list(struct weir *w, int argc, char **argv)
{
    bool json = false;
    const struct option_def options[] = {{"--json", OPTION_FLAG, &json}, {NULL, OPTION_FLAG, NULL}};
    struct buf raw, shown;
    struct health_map *health = NULL;
    struct snapshot *snap = NULL;
    struct listing l;
    struct words words;
    struct db *db;
    enum weir_err err;
    int code;

    if (!options_read(&w->memory, argc, argv, options, 0, 0, &words)) return EXIT_USAGE;
    if (!weir_open(w, DB_READ, &db)) return EXIT_REFUSED;
    err = snapshot_load(db, NULL, &snap);
    if (!err) err = health_load(db, &health);
    if (err) {
        code = weir_failed("the aliases cannot be read", err, db);
        snapshot_release(snap);
        db_close(db);
        return code;
    }
    buf_init(&raw, 4 << 20);
    buf_init(&shown, 4 << 20);
    listing_start(&l, columns, json ? LISTING_JSON : LISTING_TABLE);
    for (int i = 0; i < snap->model_count; i++) {
        const struct model_row *m = &snap->models[i];

        listing_text(&l, span_of(m->alias));
        listing_text(&l, span_of(m->strategy));
        listing_int(&l, m->cache_ttl);
        list_targets(&l, m, health, &raw, &shown);
        list_price(&l, &m->price, &raw, &shown);
        list_optional(&l, m->context_window);
        list_context(&l, m, &raw);
        list_optional(&l, m->max_output);
        listing_text(&l, span_of(m->cache_scope));
        listing_bool(&l, m->cache_tool_calls);
        list_optional(&l, m->stale_for);
        listing_text(&l, span_of(m->fallback));
        listing_text(&l, span_of(m->context_fallback));
        list_optional(&l, m->hedge_after_ms);
        listing_text(&l, span_of(m->system));
        listing_both(&l, m->defaults ? span_of(m->defaults) : SPAN("null"), SPAN_NONE);
        listing_time(&l, m->created);
    }
    code = listing_end(&l);
    buf_free(&raw);
    buf_free(&shown);
    snapshot_release(snap);
    health_release(health);
    db_close(db);
    return code;
}
