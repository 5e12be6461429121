/* The section `models` of the document: read, checked, written. */
#include "admin/document.h"

#include "admin/doc_price.h"
#include "fcgi/base/bounds.h"
#include "fcgi/base/text.h"

#define TRIM_AT 90        /* percent of the window */
#define TRIM_TO 60
#define SYSTEM_MOST 65536 /* bytes of a system text, and of defaults */

/* ---- reading ---- */

struct model_text { struct model_row row; struct jval targets, price, defaults, context; };

static bool target_read(struct reader *r, struct jval v, struct doc_target *out)
{
    struct target_text { struct doc_target target; struct jval price; } text = {.target.weight = 1};
    static const struct field table[] = {
        {"provider", FIELD_NAME, offsetof(struct target_text, target.provider), true, 0, 0, NULL},
        {"model", FIELD_TEXT, offsetof(struct target_text, target.model), true, 1, BOUND_ALIAS, NULL},
        {"weight", FIELD_INT, offsetof(struct target_text, target.weight), false, 1, 1000000, NULL},
        {"price", FIELD_ANY, offsetof(struct target_text, price), false, 0, 0, NULL},
        {NULL, FIELD_ANY, 0, false, 0, 0, NULL},
    };

    if (!fields_read(r, v, table, &text)) return false;
    /* null: the alias's */
    if (text.price.kind > JSON_NULL && !doc_price_read(r, text.price, &text.target.price)) return false;
    *out = text.target;
    if (!text_is_header_safe(span_of(out->model)))
        return refuse_member(r, "model", "must hold only visible ASCII characters: it goes into a header");
    return true;
}

static bool targets_read(struct reader *r, struct jval list, struct doc_model *out)
{
    size_t n = jscan_count(list), i = 0, before = path_member(r, "targets");
    struct jiter it = jscan_iter(list);
    struct doc_target *targets;
    struct span key;
    struct jval v;

    if (!n) return refuse(r, "must have at least one entry");
    if (n > BOUND_TARGETS) return refuse(r, "must have at most %d entries", BOUND_TARGETS);
    targets = arena_alloc(r->memory, sizeof *targets * n);
    if (!targets) return refuse_memory(r);
    for (; i < n && jscan_next(&it, &key, &v); i++) {
        size_t here = path_index(r, i);

        if (!target_read(r, v, &targets[i])) return false;
        for (size_t k = 0; k < i; k++)
            if (strcmp(targets[k].provider, targets[i].provider) == 0 && strcmp(targets[k].model, targets[i].model) == 0)
                return refuse(r, "is the same as targets[%zu]", k);
        path_back(r, here);
    }
    out->targets = targets;
    out->target_count = (int)i;
    path_back(r, before);
    return true;
}

/* Parameters alone: what says who is asked, what is said and how it comes back is the caller's. */
static bool defaults_read(struct reader *r, struct jval object, struct model_row *out)
{
    static const char *const not_theirs[] = {"model", "messages", "input", "prompt", "system", "instructions", "stream",
                                             "stream_options"};
    size_t before = path_member(r, "defaults");
    struct jiter it = jscan_iter(object);
    struct span key;
    struct jval v;

    if (object.text.len > SYSTEM_MOST) return refuse(r, "must have at most %d bytes", SYSTEM_MOST);
    while (jscan_next(&it, &key, &v)) {
        size_t here = path_key(r, key);

        for (size_t i = 0; i < sizeof not_theirs / sizeof *not_theirs; i++)
            if (jkey_is(key, not_theirs[i])) return refuse(r, "is not a parameter that has a default");
        path_back(r, here);
    }
    out->defaults = arena_str(r->memory, object.text);
    path_back(r, before);
    return out->defaults || refuse_memory(r);
}

/* What happens to requests that fill the context window. */
static bool context_read(struct reader *r, struct jval object, struct model_row *out)
{
    static const struct field table[] = {
        {"action", FIELD_CHOICE, offsetof(struct model_row, context_action), false, 0, 0, CONTEXT_ACTIONS},
        {"trim_at", FIELD_INT, offsetof(struct model_row, trim_at), false, 1, 100, NULL},
        {"trim_to", FIELD_INT, offsetof(struct model_row, trim_to), false, 1, 100, NULL},
        {NULL, FIELD_ANY, 0, false, 0, 0, NULL},
    };
    size_t before = path_member(r, "context");

    out->context_action = "trim";
    out->trim_at = TRIM_AT;
    out->trim_to = TRIM_TO;
    if (!fields_read(r, object, table, out)) return false;
    if (!out->context_window) return refuse(r, "needs context_window");
    if (strcmp(out->context_action, "trim") != 0) out->trim_to = TRIM_TO;
    else if (out->trim_to > out->trim_at) return refuse_member(r, "trim_to", "must not be above trim_at");
    if (strcmp(out->context_action, "fallback") == 0 && !out->context_fallback)
        return refuse_member(r, "action", "needs context_fallback");
    path_back(r, before);
    return true;
}

bool doc_model_read(struct reader *r, struct jval v, struct doc_model *out)
{
    static const struct field table[] = {
        {"alias", FIELD_TEXT, offsetof(struct model_text, row.alias), true, 1, BOUND_ALIAS, NULL},
        {"strategy", FIELD_CHOICE, offsetof(struct model_text, row.strategy), false, 0, 0, STRATEGIES},
        {"cache_ttl", FIELD_INT, offsetof(struct model_text, row.cache_ttl), false, 0, 31536000, NULL},
        {"targets", FIELD_ARRAY, offsetof(struct model_text, targets), true, 0, 0, NULL},
        {"price", FIELD_ANY, offsetof(struct model_text, price), false, 0, 0, NULL},
        {"context_window", FIELD_INT, offsetof(struct model_text, row.context_window), false, 1, 1000000000, NULL},
        {"max_output", FIELD_INT, offsetof(struct model_text, row.max_output), false, 1, 1000000000, NULL},
        {"fallback", FIELD_TEXT, offsetof(struct model_text, row.fallback), false, 1, BOUND_ALIAS, NULL},
        {"context_fallback", FIELD_TEXT, offsetof(struct model_text, row.context_fallback), false, 1, BOUND_ALIAS, NULL},
        {"hedge_after_ms", FIELD_INT, offsetof(struct model_text, row.hedge_after_ms), false, 0, TIMEOUT_MOST, NULL},
        {"system", FIELD_LINES, offsetof(struct model_text, row.system), false, 1, SYSTEM_MOST, NULL},
        {"defaults", FIELD_OBJECT, offsetof(struct model_text, defaults), false, 0, 0, NULL},
        {"cache_scope", FIELD_CHOICE, offsetof(struct model_text, row.cache_scope), false, 0, 0, CACHE_SCOPES},
        {"cache_tool_calls", FIELD_BOOL, offsetof(struct model_text, row.cache_tool_calls), false, 0, 0, NULL},
        {"stale_for", FIELD_INT, offsetof(struct model_text, row.stale_for), false, 0, 31536000, NULL},
        {"context", FIELD_OBJECT, offsetof(struct model_text, context), false, 0, 0, NULL},
        {NULL, FIELD_ANY, 0, false, 0, 0, NULL},
    };
    struct model_text text = {.row = {.strategy = "priority"}};

    *out = (struct doc_model){0};
    if (!fields_read(r, v, table, &text)) return false;
    if (!targets_read(r, text.targets, out)) return false;
    if (text.price.kind > JSON_NULL && !doc_price_read(r, text.price, &text.row.price)) return false; /* null: unpriced */
    if (text.row.fallback && strcmp(text.row.fallback, text.row.alias) == 0)
        return refuse_member(r, "fallback", "must not be the alias itself");
    if (text.row.context_fallback && strcmp(text.row.context_fallback, text.row.alias) == 0)
        return refuse_member(r, "context_fallback", "must not be the alias itself");
    if (text.defaults.kind && !defaults_read(r, text.defaults, &text.row)) return false;
    if (text.context.kind && !context_read(r, text.context, &text.row)) return false;
    out->row = text.row;
    return true;
}

/* ---- writing ---- */

enum weir_err doc_model_write(struct buf *out, const struct model_row *m)
{
    doc_text_write(out, "{\"alias\":", m->alias);
    doc_text_write(out, ",\"strategy\":", m->strategy);
    if (m->cache_ttl) buf_printf(out, ",\"cache_ttl\":%lld", (long long)m->cache_ttl);
    buf_str(out, ",\"targets\":[");
    for (int i = 0; i < m->target_count; i++) {
        doc_text_write(out, i ? ",{\"provider\":" : "{\"provider\":", m->targets[i].provider->name);
        doc_text_write(out, ",\"model\":", m->targets[i].model);
        buf_printf(out, ",\"weight\":%lld", (long long)m->targets[i].weight);
        doc_price_write(out, &m->targets[i].price);
        buf_char(out, '}');
    }
    buf_char(out, ']');
    doc_price_write(out, &m->price);
    if (m->context_window) buf_printf(out, ",\"context_window\":%lld", (long long)m->context_window);
    if (m->max_output) buf_printf(out, ",\"max_output\":%lld", (long long)m->max_output);
    if (m->fallback) doc_text_write(out, ",\"fallback\":", m->fallback);
    if (m->context_fallback) doc_text_write(out, ",\"context_fallback\":", m->context_fallback);
    if (m->hedge_after_ms) buf_printf(out, ",\"hedge_after_ms\":%lld", (long long)m->hedge_after_ms);
    if (m->system) doc_text_write(out, ",\"system\":", m->system);
    if (m->defaults) buf_printf(out, ",\"defaults\":%s", m->defaults);
    if (m->cache_scope) doc_text_write(out, ",\"cache_scope\":", m->cache_scope);
    if (m->cache_tool_calls) buf_str(out, ",\"cache_tool_calls\":true");
    if (m->stale_for) buf_printf(out, ",\"stale_for\":%lld", (long long)m->stale_for);
    if (m->context_action) {
        doc_text_write(out, ",\"context\":{\"action\":", m->context_action);
        buf_printf(out, ",\"trim_at\":%lld,\"trim_to\":%lld}", (long long)m->trim_at, (long long)m->trim_to);
    }
    return buf_char(out, '}');
}
