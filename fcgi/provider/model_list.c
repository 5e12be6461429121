/* Lists of models are read: {"data":[{"id":...}]} with what some servers add, or such an array alone. */
#include "fcgi/provider/model_list.h"

#include "fcgi/base/bounds.h"
#include "fcgi/base/jscan.h"
#include "fcgi/base/text.h"

/* The first of these members that is a whole number above 0. */
static int64_t number_of(struct jval entry, const char *const *names)
{
    int64_t n;
    for (; *names; names++)
        if (jval_int(jscan_find(entry, *names), &n) && n > 0) return n;
    return 0;
}

static const char *id_of(struct jval entry, const char *prefix, struct arena *a)
{
    struct buf text;
    const char *id = NULL;
    buf_init(&text, BOUND_ALIAS);
    if (jval_string(jscan_find(entry, "id"), &text) == WEIR_OK) {
        struct span s = buf_all(&text);
        if (*prefix && span_starts(s, prefix)) s = (struct span){s.at + strlen(prefix), s.len - strlen(prefix)};
        if (s.len && text_is_header_safe(s)) id = arena_str(a, s);
    }
    buf_free(&text);
    return id;
}

static bool read_list(struct span body, const char *prefix, struct arena *a, struct model_list *out)
{
    /* vLLM, Groq and OpenRouter, Anthropic; then their most output. */
    static const char *const windows[] = {"context_window", "max_model_len", "context_length", "max_input_tokens", NULL};
    static const char *const outputs[] = {"max_completion_tokens", "max_output_tokens", "max_tokens", NULL};
    struct jval root, entry;
    struct jfault fault;
    struct span key;
    *out = (struct model_list){0};
    if (jscan_check(body, BOUND_JSON_DEPTH, &root, &fault) != WEIR_OK) return false;
    struct jval list = root.kind == JSON_ARRAY ? root : jscan_find(root, "data");
    if (list.kind != JSON_ARRAY) return false;
    struct listed_model *models = arena_alloc(a, sizeof *models * (jscan_count(list) + 1));
    if (!models) return false;
    struct jiter it = jscan_iter(list);
    while (jscan_next(&it, &key, &entry)) {
        const char *id = id_of(entry, prefix, a);
        if (id) models[out->count++] = (struct listed_model){id, number_of(entry, windows), number_of(entry, outputs)};
    }
    out->models = models;
    return true;
}

bool models_openai(struct span body, struct arena *a, struct model_list *out) { return read_list(body, "", a, out); }
bool models_anthropic(struct span body, struct arena *a, struct model_list *out) { return read_list(body, "", a, out); }
bool models_gemini(struct span body, struct arena *a, struct model_list *out) { return read_list(body, "models/", a, out); }
