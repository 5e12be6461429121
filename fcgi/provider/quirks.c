/* The table of refused fields, by dialect and model, and the checks that are no matter of a single field. */
#include "fcgi/provider/quirks.h"

#include <stdio.h>

/* ---- the table ---- */

/* Models as their providers name them: whole, with a date behind, or, ended by '*', any that begin so. What stands before a
 * '/' (an aggregator's prefix) does not count. */
enum family { ANY_MODEL, OPENAI_REASONING, CLAUDE_NEWER, FAMILIES };
static const char *const openai_reasoning[] = {"o1", "o1-mini", "o1-preview", "o1-pro", "o3", "o3-mini", "o3-pro", "o4-mini",
                                               "gpt-5", "gpt-5-mini", "gpt-5-nano", "gpt-5-pro", "gpt-6*", NULL};
static const char *const claude_newer[] = {"claude-opus-4-7*", "claude-opus-4-8*", "claude-opus-4-9*", "claude-opus-5*",
                                           "claude-sonnet-4-7*", "claude-sonnet-4-8*", "claude-sonnet-5*",
                                           "claude-haiku-5*", NULL};

enum field_name { TEMPERATURE, TOP_P, TOP_K, PRESENCE, FREQUENCY, LOGPROBS, TOP_LOGPROBS, LOGIT_BIAS, CHOICES, TOOL_CHOICE };

static const char *const names[QUIRK_FIELDS] = {
    [TEMPERATURE] = "temperature", [TOP_P] = "top_p", [TOP_K] = "top_k", [PRESENCE] = "presence_penalty",
    [FREQUENCY] = "frequency_penalty", [LOGPROBS] = "logprobs", [TOP_LOGPROBS] = "top_logprobs", [LOGIT_BIAS] = "logit_bias",
    [CHOICES] = "n", [TOOL_CHOICE] = "tool_choice",
};

static const struct quirk {
    const char *dialect;           /* NULL: any */
    enum family models;
    const char *version;           /* the provider's anthropic_version is this or later; NULL: whatever it is */
    enum field_name field;
    const char *neutral;           /* values, separated by blanks; null always is */
} quirks[] = {
    {"groq", ANY_MODEL, NULL, LOGPROBS, "false"},
    {"groq", ANY_MODEL, NULL, TOP_LOGPROBS, "0"},
    {"groq", ANY_MODEL, NULL, LOGIT_BIAS, "{}"},
    {"groq", ANY_MODEL, NULL, CHOICES, "1"},
    /* Ollama ignores these in silence */
    {"ollama", ANY_MODEL, NULL, LOGIT_BIAS, "{}"},
    {"ollama", ANY_MODEL, NULL, CHOICES, "1"},
    {"ollama", ANY_MODEL, NULL, TOOL_CHOICE, "\"auto\""},
    {NULL, OPENAI_REASONING, NULL, TEMPERATURE, "1"},
    {NULL, OPENAI_REASONING, NULL, TOP_P, "1"},
    {NULL, OPENAI_REASONING, NULL, PRESENCE, "0"},
    {NULL, OPENAI_REASONING, NULL, FREQUENCY, "0"},
    {NULL, OPENAI_REASONING, NULL, LOGPROBS, "false"},
    {NULL, OPENAI_REASONING, NULL, TOP_LOGPROBS, "0"},
    {NULL, OPENAI_REASONING, NULL, LOGIT_BIAS, "{}"},
    {NULL, CLAUDE_NEWER, NULL, TEMPERATURE, "1"},
    {NULL, CLAUDE_NEWER, NULL, TOP_P, "1"},
    {NULL, CLAUDE_NEWER, NULL, TOP_K, ""},
    {"anthropic", ANY_MODEL, "2026-10-21", TEMPERATURE, "1"},
    {"anthropic", ANY_MODEL, "2026-10-21", TOP_P, "1"},
    {"anthropic", ANY_MODEL, "2026-10-21", TOP_K, ""},
};

/* ---- does a row apply ---- */

static bool is_model(const char *model, const char *pattern)
{
    size_t n = strcspn(pattern, "*");
    if (strncmp(model, pattern, n) != 0) return false;
    return pattern[n] || !model[n] || (model[n] == '-' && strncmp(model + n, "-20", 3) == 0);
}

static bool is_among(const char *model, const char *const *patterns)
{
    const char *slash = strrchr(model, '/');
    if (slash) model = slash + 1;
    for (; *patterns; patterns++)
        if (*model == **patterns && is_model(model, *patterns)) return true;
    return false;
}

/* is_of: of which families the target's model is. */
static bool applies(const struct quirk *q, const struct target *t, const bool is_of[FAMILIES])
{
    const struct provider_row *p = t->provider;
    if (q->dialect && strcmp(q->dialect, p->dialect) != 0) return false;
    if (q->version && (!p->anthropic_version || strcmp(p->anthropic_version, q->version) < 0)) return false;
    return is_of[q->models];
}

/* "1.0" and "1" are one number. */
static bool is_neutral(struct jval v, const char *values)
{
    struct span text = v.text;
    if (v.kind == JSON_OBJECT && strcmp(values, "\"auto\"") == 0) return jval_is(jscan_find(v, "type"), "auto");
    if (v.kind == JSON_NULL || (v.kind == JSON_OBJECT && strcmp(values, "{}") == 0 && jscan_count(v) == 0)) return true;
    if (v.kind == JSON_NUMBER && memchr(text.at, '.', text.len) && !memchr(text.at, 'e', text.len)) {
        while (text.at[text.len - 1] == '0') text.len--;
        if (text.at[text.len - 1] == '.') text.len--;
    }
    return *values && span_is(text, values);
}

static enum weir_err refuse(const struct target *t, const char *field, struct problem *p)
{
    return problem_set(p, WEIR_INVALID, field, "%s cannot be used with this model: %s's %s does not take it.", field,
                       t->provider->name, t->model);
}

/* The body, which may be long, is read once. */
static enum weir_err check_fields(const struct target *t, const struct chat *c, uint32_t *strips, struct problem *p)
{
    const struct quirk *all[sizeof quirks / sizeof *quirks];
    struct span key;
    struct jval v;
    int count = 0;
    const bool is_of[FAMILIES] = {[ANY_MODEL] = true, [OPENAI_REASONING] = is_among(t->model, openai_reasoning),
                                  [CLAUDE_NEWER] = is_among(t->model, claude_newer)};
    for (size_t i = 0; i < sizeof quirks / sizeof *quirks; i++)
        if (applies(&quirks[i], t, is_of)) all[count++] = &quirks[i];
    struct jiter it = jscan_iter(c->root);
    while (count && jscan_next(&it, &key, &v))
        for (int i = 0; i < count; i++) {
            if (!jkey_is(key, names[all[i]->field])) continue;
            if (!is_neutral(v, all[i]->neutral)) return refuse(t, names[all[i]->field], p);
            *strips |= 1u << all[i]->field;
        }
    return WEIR_OK;
}

/* ---- what is no matter of a single field ---- */

static bool is_remote(struct jval part, const char *name)
{
    struct jval url = jscan_find(part, name);
    if (url.kind == JSON_OBJECT) url = jscan_find(url, "url");
    return url.kind == JSON_STRING && !span_starts((struct span){url.text.at + 1, url.text.len - 2}, "data:");
}

/* An image by its address, in any face's form. */
static bool is_image_address(struct jval part)
{
    struct jval source = jscan_find(part, "source");
    return is_remote(part, "image_url") || jval_is(jscan_find(source, "type"), "url");
}

/* The messages of a request, whatever its face calls them. */
static const char *list_of(const struct chat *c) { return c->face == FACE_RESPONSES ? "input" : "messages"; }

enum weir_err quirks_groq(const struct target *t, const struct chat *c, struct problem *p)
{
    struct span key;
    struct jval message;
    size_t i = 0;
    struct jiter it = jscan_iter(jscan_find(c->root, list_of(c)));
    for (; jscan_next(&it, &key, &message); i++) {
        char field[80];
        if (jscan_find(message, "name").kind <= JSON_NULL || jval_is(jscan_find(message, "role"), "tool")) continue;
        snprintf(field, sizeof field, "%s[%zu].name", list_of(c), i);
        return refuse(t, field, p);
    }
    return WEIR_OK;
}

/* Ollama embeds texts, not tokens. */
static enum weir_err check_inputs(const struct target *t, const struct chat *c, struct problem *p)
{
    struct span key;
    struct jval input = jscan_find(c->root, "input"), first;
    struct jiter it = jscan_iter(input);
    if (input.kind != JSON_ARRAY || !jscan_next(&it, &key, &first) || first.kind == JSON_STRING) return WEIR_OK;
    return refuse(t, "input", p);
}

/* And it fetches no images. */
enum weir_err quirks_ollama(const struct target *t, const struct chat *c, struct problem *p)
{
    struct span key;
    struct jval message, part;
    size_t i = 0;
    if (c->face == FACE_EMBEDDINGS) return check_inputs(t, c, p);
    struct jiter it = jscan_iter(jscan_find(c->root, list_of(c)));
    for (; jscan_next(&it, &key, &message); i++) {
        struct jiter parts = jscan_iter(jscan_find(message, "content"));
        for (size_t k = 0; jscan_next(&parts, &key, &part); k++) {
            char field[80];
            if (!is_image_address(part)) continue;
            snprintf(field, sizeof field, "%s[%zu].content[%zu]", list_of(c), i, k);
            return refuse(t, field, p);
        }
    }
    return WEIR_OK;
}

enum weir_err quirks_check(const struct target *t, const struct chat *c, uint32_t *strips, struct problem *p)
{
    const struct dialect *d = dialect_find(t->provider->dialect);
    *strips = 0;
    /* A job in the background answers to nobody: what it uses could never be measured. */
    if (c->face == FACE_RESPONSES && jscan_find(c->root, "background").kind == JSON_TRUE)
        return problem_set(p, WEIR_INVALID, "background",
                           "background is not served: what it uses could not be accounted for.");
    enum weir_err err = check_fields(t, c, strips, p);
    return err == WEIR_OK && d->check ? d->check(t, c, p) : err;
}

/* ---- leaving out ---- */

bool quirk_strips(uint32_t strips, struct span key)
{
    for (int i = 0; i < QUIRK_FIELDS; i++)
        if (strips & (1u << i) && jkey_is(key, names[i])) return true;
    return false;
}

void quirk_strip_conversation(uint32_t strips, struct conversation *c)
{
    int kept = 0;
    if (strips & (1u << TEMPERATURE)) c->temperature = SPAN_NONE;
    if (strips & (1u << TOP_P)) c->top_p = SPAN_NONE;
    if (strips & (1u << TOP_K)) c->top_k = SPAN_NONE;
    if (strips & (1u << TOOL_CHOICE)) c->choice = CHOICE_UNSET;
    for (int i = 0; i < c->extra_count; i++)
        if (!quirk_strips(strips, span_of(c->extras[i].field))) c->extras[kept++] = c->extras[i];
    c->extra_count = kept;
}
