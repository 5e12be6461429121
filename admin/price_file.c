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

/* ---- parts ---- */

static bool part_read(struct jval entry, const char *field, int part, struct listed *out)
{
    struct jval v = jscan_find(entry, field);
    const char *why;

    if (v.kind == JSON_ABSENT || v.kind == JSON_NULL) return true;
    if (v.kind != JSON_NUMBER) return fault_set(out, field, "must be a number");
    why = price_per_token(v.text, &out->price.part[part]);
    if (why) return fault_set(out, field, why);
    out->price.stated |= 1u << part;
    return true;
}

/* A length or a tier that is listed has a price for input and one for output: where one is not listed it is as ever. */
static void complete(struct price *p, int first)
{
    if (!(p->stated >> first & 0xf)) return;
    if (!(p->stated >> first & 1)) p->part[first] = p->input;
    if (!(p->stated >> first & 8)) p->part[first + 3] = p->output;
    p->stated |= 9u << first;
}

/* The four of a length or tier, whose names are those of the whole with `more` behind. */
static bool four_read(struct jval entry, const char *more, int first, struct listed *out)
{
    static const char *const names[] = {"input_cost_per_token", "cache_read_input_token_cost",
                                        "cache_creation_input_token_cost", "output_cost_per_token"};
    char field[120];

    for (int i = 0; i < 4; i++) {
        snprintf(field, sizeof field, "%s%s", names[i], more);
        if (!part_read(entry, field, first + i, out)) return false;
    }
    complete(&out->price, first);
    return true;
}

/* "input_cost_per_token_above_200k_tokens" */
static long thousands_of(struct span key)
{
    static const char lead[] = "input_cost_per_token_above_", end[] = "k_tokens";
    size_t n = sizeof lead - 1;
    long k = 0;

    if (key.len < n || memcmp(key.at, lead, n) != 0) return 0;
    for (; n < key.len && key.at[n] >= '0' && key.at[n] <= '9' && k < TOKENS_MOST / 1000; n++)
        k = k * 10 + (key.at[n] - '0');
    return span_is((struct span){key.at + n, key.len - n}, end) ? k : 0;
}

/* One length is known here. Of several the dearest, which is the longest's, is taken from the shortest on. */
static bool length_read(struct jval entry, struct listed *out)
{
    struct jiter it = jscan_iter(entry);
    long shortest = 0, longest = 0;
    struct span key;
    struct jval v;
    char more[64];

    while (jscan_next(&it, &key, &v)) {
        long k = v.kind == JSON_NUMBER ? thousands_of(key) : 0;

        if (k && (!shortest || k < shortest)) shortest = k;
        if (k > longest) longest = k;
    }
    if (!longest) return true;
    snprintf(more, sizeof more, "_above_%ldk_tokens", longest);
    if (!four_read(entry, more, PRICE_LONG, out)) return false;
    out->lengths = shortest != longest;
    if (!(out->price.stated >> PRICE_LONG & 1)) return true;
    out->price.part[PRICE_LONG_ABOVE] = shortest * 1000;
    out->price.stated |= 1u << PRICE_LONG_ABOVE;
    return true;
}

/* Dollars a search, by how much is found: the dearest. */
static bool searches_read(struct jval entry, struct listed *out)
{
    static const char field[] = "search_context_cost_per_query";
    struct jiter it = jscan_iter(jscan_find(entry, field));
    int64_t dearest = 0, nano = 0;
    struct span key;
    struct jval v;

    while (jscan_next(&it, &key, &v)) {
        const char *why = v.kind == JSON_NUMBER ? price_per_token(v.text, &nano) : "must hold numbers";

        if (why) return fault_set(out, field, why);
        if (nano > dearest) dearest = nano;
        out->price.stated |= 1u << PRICE_SEARCHES;
    }
    out->price.part[PRICE_SEARCHES] = dearest / 1000; /* per thousand, not per million */
    return true;
}

static bool parts_read(struct jval entry, struct listed *out)
{
    return part_read(entry, "cache_creation_input_token_cost_above_1hr", PRICE_CACHE_WRITE_1H, out) &&
           part_read(entry, "input_cost_per_audio_token", PRICE_AUDIO_INPUT, out) &&
           part_read(entry, "output_cost_per_audio_token", PRICE_AUDIO_OUTPUT, out) && searches_read(entry, out) &&
           length_read(entry, out) && four_read(entry, "_priority", PRICE_PRIORITY, out) &&
           four_read(entry, "_flex", PRICE_FLEX, out);
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
    if (!parts_read(entry, out)) {
        out->price.known = false;
        return false;
    }
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
