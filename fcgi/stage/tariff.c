/* Reads from a request what is charged otherwise than by the token, so that it is held at the dearest that may come of it,
 * or refused where nobody knows what that is and a limit on cost applies. Never taken for free. */
#include "fcgi/stage/tariff.h"

#include "fcgi/base/bounds.h"

static void need(struct tariff *t, unsigned what, const char *field)
{
    if (t->asks.needs & what) return;
    t->asks.needs |= what;
    t->needs[t->need_count].need = what;
    t->needs[t->need_count++].field = field;
}

/* ---- tiers ---- */

/* Without a word the provider chooses, by what the account is set to. */
static void read_tier(struct tariff *t, struct jval v)
{
    t->asks.priority = !tier_read(v, &t->tier);
    if (t->tier == TIER_PRIORITY) need(t, NEED_PRIORITY, "service_tier");
    if (t->tier == TIER_OTHER) need(t, NEED_OTHER, "service_tier");
    t->asks.priority |= t->tier == TIER_PRIORITY;
}

/* ---- tools ---- */

static bool begins(struct span text, const char *const *words)
{
    for (; *words; words++)
        if (span_starts(text, *words)) return true;
    return false;
}

/* A tool of the provider's own. Those the caller runs cost their tokens only; searches are priced by the piece; what any
 * other costs (a container, an image, a file search) is not known here. */
static void read_type(struct tariff *t, struct jval tool, struct jval type)
{
    static const char *const free[] = {"function", "custom", "mcp", "local_shell", "apply_patch", "computer", "bash_",
                                       "text_editor_", "memory_", "web_fetch_", "tool_search", NULL};
    static const char *const search[] = {"web_search", NULL};
    struct buf name;
    int64_t most = SEARCHES_HELD;
    buf_init(&name, BOUND_ALIAS);
    bool read = jval_string(type, &name) == WEIR_OK;
    if (read && begins(buf_all(&name), search)) {
        need(t, NEED_SEARCHES, "tools");
        if (jval_int(jscan_find(tool, "max_uses"), &most) && most < 0) most = SEARCHES_HELD;
        t->asks.searches += most < INT32_MAX ? most : INT32_MAX;
    } else if (!read || !begins(buf_all(&name), free)) {
        need(t, NEED_OTHER, "tools");
    }
    buf_free(&name);
}

/* Without a type it is Anthropic's form of a function. Of two types upstreams take the last, or the first: both are
 * priced. */
static void read_tool(struct tariff *t, struct jval tool)
{
    struct span key;
    struct jval v;
    struct jiter it = jscan_iter(tool);
    while (jscan_next(&it, &key, &v))
        if (jkey_is(key, "type")) read_type(t, tool, v);
}

static void read_tools(struct tariff *t, struct jval tools)
{
    struct span key;
    struct jval tool;
    struct jiter it = jscan_iter(tools);
    while (jscan_next(&it, &key, &tool)) read_tool(t, tool);
}

/* ---- kinds ---- */

static void read_modalities(struct tariff *t, struct jval list)
{
    struct span key;
    struct jval v;
    struct jiter it = jscan_iter(list);
    while (jscan_next(&it, &key, &v)) {
        if (jval_is(v, "audio")) need(t, NEED_AUDIO_OUTPUT, "modalities");
        else if (!jval_is(v, "text")) need(t, NEED_OTHER, "modalities");
    }
}

static bool is_said(struct jval v, const char *neutral)
{
    return v.kind != JSON_NULL && !(neutral && jval_is(v, neutral));
}

/* What makes the same tokens cost more, or another model answer, without a price of it here. */
static void read_other(struct tariff *t, const struct chat *chat, struct span key, struct jval v)
{
    static const struct { const char *field, *neutral; } others[] = {
        {"speed", "standard"}, {"inference_geo", "global"},                    /* Anthropic */
        {"models", NULL}, {"plugins", NULL}, {"search_parameters", NULL},      /* OpenRouter, xAI */
        {"data_sources", NULL},                                                /* Azure */
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (jkey_is(key, others[i].field) && is_said(v, others[i].neutral)) need(t, NEED_OTHER, others[i].field);
    /* a stored one may bring tools along */
    if (chat->face == FACE_RESPONSES && jkey_is(key, "prompt") && is_said(v, NULL)) need(t, NEED_OTHER, "prompt");
}

/* A mark for an hour in the provider's cache, wherever it stands, however it is spelled. */
static bool writes_1h(const struct chat *chat)
{
    return span_has(chat->body, "\"1h\"") || span_has(chat->body, "\\u0031") || span_has(chat->body, "\\u0068");
}

/* ---- the whole ---- */

void tariff_read(const struct chat *chat, bool has_audio, bool has_files, struct tariff *out)
{
    struct jval v, tier = {.kind = JSON_ABSENT};
    struct span key;
    int64_t calls = -1;
    struct jiter it = jscan_iter(chat->root);
    *out = (struct tariff){.asks = {.writes_1h = writes_1h(chat), .has_audio_input = has_audio || has_files}};
    if (has_audio) need(out, NEED_AUDIO_INPUT, chat->face == FACE_RESPONSES ? "input" : "messages");
    while (jscan_next(&it, &key, &v)) {
        if (jkey_is(key, "service_tier")) tier = v;
        else if (jkey_is(key, "tools")) read_tools(out, v);
        else if (jkey_is(key, "max_tool_calls")) jval_int(v, &calls);
        else if (jkey_is(key, "modalities")) read_modalities(out, v);
        else if (jkey_is(key, "web_search_options")) out->searches_once = is_said(v, NULL);
        else read_other(out, chat, key, v);
    }
    read_tier(out, tier);
    if (chat->face == FACE_RESPONSES && calls >= 0 && calls < out->asks.searches) out->asks.searches = calls;
    if (!out->searches_once) return;
    need(out, NEED_SEARCHES, "web_search_options");
    out->asks.searches += chat->choices;
}

struct price tariff_ceiling(const struct tariff *t, const struct target *target, int64_t prompt_bound)
{
    return target->price ? price_ceiling(target->price, &t->asks, prompt_bound) : (struct price){.known = false};
}

struct price tariff_estimate(const struct tariff *t, const struct target *target, int64_t prompt_estimate)
{
    struct price_asks usual = t->asks;
    usual.priority = t->tier == TIER_PRIORITY;
    usual.searches = usual.searches ? 1 : 0;
    return target->price ? price_ceiling(target->price, &usual, prompt_estimate) : (struct price){.known = false};
}

void tariff_raise(const struct tariff *t, const struct target *list, int count, const struct estimate *e,
                  struct price *dearest, struct price *usual)
{
    for (int i = 0; i < count; i++) {
        struct price p = tariff_ceiling(t, &list[i], e->prompt_bound), u = tariff_estimate(t, &list[i], e->prompt_estimate);
        price_raise(dearest, &p);
        price_raise(usual, &u);
    }
}

const char *tariff_unpriced(const struct tariff *t, const struct target *list, int count)
{
    for (int i = 0; i < count; i++) {
        unsigned lacks = list[i].price ? price_lacks(list[i].price, t->asks.needs) : 0;
        for (int k = 0; lacks && k < t->need_count; k++)
            if (t->needs[k].need & lacks) return t->needs[k].field;
    }
    return NULL;
}
