/* Reads the price list that LiteLLM publishes (model_prices_and_context_window.json): dollars a token, taken over to the
 * last digit or not at all. */
#include "admin/price_file.h"

#include <stdio.h>
#include <stdlib.h>

#include "admin/command.h"
#include "admin/price_text.h"
#include "fcgi/base/bounds.h"
#include "fcgi/base/text.h"

#define TOKENS_MOST 1000000000 /* as context_window and max_output in the document */

/* ---- the whole ---- */

static bool add_entry(struct price_file *f, struct span raw_key, struct jval v, const char *file)
{
    struct buf key;
    enum weir_err err;

    buf_init(&key, raw_key.len + 16);
    err = jval_string((struct jval){JSON_STRING, {raw_key.at - 1, raw_key.len + 2}}, &key);
    if (!err) err = names_add(&f->at, buf_all(&key), (int64_t)f->count);
    if (err == WEIR_EXISTS) say("%s: %.*s stands there twice", file, (int)text_cut(raw_key, 100), raw_key.at);
    else if (err) say("%s: %s", file, err_words(err));
    else f->entries[f->count++] = v;
    buf_free(&key);
    return !err;
}

bool price_file_read(struct span text, const char *name, struct price_file *out)
{
    struct jfault fault = {0, NULL};
    struct jval root, v;
    struct jiter it;
    struct span key;

    *out = (struct price_file){.entries = NULL};
    if (jscan_check(text, BOUND_JSON_DEPTH, &root, &fault)) {
        say("%s: is not JSON: %s at byte %zu", name, fault.what ? fault.what : "fault", fault.at);
        return false;
    }
    if (root.kind != JSON_OBJECT) {
        say("%s: must be an object with a member for each model", name);
        return false;
    }
    out->entries = calloc(jscan_count(root) + 1, sizeof *out->entries);
    if (!out->entries) {
        say("%s: %s", name, err_words(WEIR_NOMEM));
        return false;
    }
    it = jscan_iter(root);
    while (jscan_next(&it, &key, &v))
        if (!add_entry(out, key, v, name)) return false;
    return true;
}

void price_file_free(struct price_file *f)
{
    names_free(&f->at);
    free(f->entries);
    f->entries = NULL;
}

/* ---- one entry ---- */

static bool fault_set(struct listed *out, const char *field, const char *why)
{
    snprintf(out->fault, sizeof out->fault, "%s%s%s", field, *field ? ": " : "", why);
    return false;
}

/* otherwise: what holds where the field is absent or null; -1: it must be there. */
static bool cost_read(struct jval entry, const char *field, int64_t otherwise, struct listed *out, int64_t *nano)
{
    struct jval v = jscan_find(entry, field);
    const char *why;

    *nano = otherwise;
    if (v.kind == JSON_ABSENT || v.kind == JSON_NULL) return otherwise >= 0 || fault_set(out, field, "is missing");
    if (v.kind != JSON_NUMBER) return fault_set(out, field, "must be a number");
    why = price_per_token(v.text, nano);
    return !why || fault_set(out, field, why);
}

/* Tokens; what is none of a sensible size is as good as not said. */
static int64_t tokens_read(struct jval entry, const char *field)
{
    int64_t n;

    return jval_int(jscan_find(entry, field), &n) && n > 0 && n <= TOKENS_MOST ? n : 0;
}

static bool has_tiers(struct jval entry)
{
    struct jiter it = jscan_iter(entry);
    struct span key;
    struct jval v;

    while (jscan_next(&it, &key, &v))
        if (v.kind == JSON_NUMBER && memmem(key.at, key.len, "_cost_per_token_above_", 22)) return true;
    return false;
}

static bool is_by_token(struct jval mode)
{
    return mode.kind == JSON_ABSENT || jval_is(mode, "chat") || jval_is(mode, "completion") || jval_is(mode, "responses") ||
           jval_is(mode, "embedding");
}

static bool entry_read(struct jval entry, struct listed *out)
{
    struct jval mode = jscan_find(entry, "mode");
    struct price p = {.known = true};
    struct span twice;

    if (entry.kind != JSON_OBJECT) return fault_set(out, "", "must be an object");
    if (!jscan_is_unique(entry, &twice)) return fault_set(out, "", "has a member twice");
    if (!is_by_token(mode)) return fault_set(out, "mode", "is not one that is charged by the token");
    if (!cost_read(entry, "input_cost_per_token", -1, out, &p.input) ||
        !cost_read(entry, "output_cost_per_token", jval_is(mode, "embedding") ? 0 : -1, out, &p.output) ||
        !cost_read(entry, "cache_read_input_token_cost", p.input, out, &p.cached_input) ||
        !cost_read(entry, "cache_creation_input_token_cost", p.input, out, &p.cache_write))
        return false;
    out->price = p;
    out->tiers = has_tiers(entry);
    out->context_window = tokens_read(entry, "max_input_tokens");
    out->max_output = tokens_read(entry, "max_output_tokens");
    return true;
}

enum weir_err price_file_find(const struct price_file *f, const struct model_row *m, struct arena *memory,
                              struct listed *out)
{
    const struct target_row *t = m->target_count ? &m->targets[0] : NULL;
    const char *with_dialect = t ? arena_printf(memory, "%s/%s", t->provider->dialect, t->model) : NULL;
    const char *const candidates[] = {m->alias, with_dialect, t ? t->model : NULL};
    int64_t at;

    *out = (struct listed){.name = NULL};
    if (t && !with_dialect) return WEIR_NOMEM;
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates && !out->name; i++)
        if (candidates[i] && names_find(&f->at, span_of(candidates[i]), &at)) {
            out->name = candidates[i];
            entry_read(f->entries[at], out);
        }
    return WEIR_OK;
}
