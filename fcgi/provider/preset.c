/* A preset is spliced into the caller's body: parameters behind the model, the system text where the face has its own. */
#include "fcgi/provider/preset.h"

#include "fcgi/base/bounds.h"
#include "fcgi/base/text.h"
#include "fcgi/provider/edit.h"

#define BETWEEN "\\n\\n" /* the preset's text and the caller's, inside one JSON string */

/* ---- parameters ---- */

/* What each face calls a parameter; NULL: it has none. Those not listed here are chat's alone. */
static const struct { const char *name, *as[FACE_COUNT]; } parameters[] = {
    {"temperature", {"temperature", "temperature", NULL, "temperature", "temperature"}},
    {"top_p", {"top_p", "top_p", NULL, "top_p", "top_p"}},
    {"top_k", {"top_k", NULL, NULL, NULL, "top_k"}},
    {"max_tokens", {"max_tokens", "max_tokens", NULL, "max_output_tokens", "max_tokens"}},
    {"max_completion_tokens", {"max_completion_tokens", "max_tokens", NULL, "max_output_tokens", "max_tokens"}},
    {"n", {"n", "n", NULL, NULL, NULL}},
    {"seed", {"seed", "seed", NULL, NULL, NULL}},
    {"presence_penalty", {"presence_penalty", "presence_penalty", NULL, NULL, NULL}},
    {"frequency_penalty", {"frequency_penalty", "frequency_penalty", NULL, NULL, NULL}},
    {"stop", {"stop", "stop", NULL, NULL, NULL}},
    {"user", {"user", "user", "user", "user", NULL}},
    {"dimensions", {NULL, NULL, "dimensions", NULL, NULL}},
    {"parallel_tool_calls", {"parallel_tool_calls", NULL, NULL, "parallel_tool_calls", NULL}},
    {"metadata", {"metadata", NULL, NULL, "metadata", NULL}},
    {"store", {"store", NULL, NULL, "store", NULL}},
    {"service_tier", {"service_tier", NULL, NULL, "service_tier", NULL}},
};

/* Raw, as it may stand between quotes; absent: the face has none. */
static struct span name_on(enum face face, struct span key)
{
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++)
        if (jkey_is(key, parameters[i].name)) return span_of(parameters[i].as[face]);
    return face == FACE_CHAT ? key : SPAN_NONE;
}

static bool is_given(const struct chat *c, struct span name)
{
    struct span key;
    struct jval v;
    bool maximum = span_is(name, "max_tokens") || span_is(name, "max_completion_tokens");
    struct jiter it = jscan_iter(c->root);
    if (maximum && c->max_output >= 0) return true;
    while (jscan_next(&it, &key, &v))
        if (span_eq(key, name)) return true;
    return false;
}

static void add_parameters(const struct model_row *m, const struct chat *c, struct buf *out)
{
    struct jval defaults, v;
    struct jfault fault;
    struct span key;
    bool bounded = false;
    if (!m->defaults || jscan_check(span_of(m->defaults), BOUND_JSON_DEPTH, &defaults, &fault) != WEIR_OK) return;
    struct jiter it = jscan_iter(defaults);
    while (jscan_next(&it, &key, &v)) {
        struct span name = name_on(c->face, key);
        if (!name.at || is_given(c, name)) continue;
        /* Two maxima of chat's are one of the others'. */
        if (c->face != FACE_CHAT && span_starts(name, "max_")) {
            if (bounded) continue;
            bounded = true;
        }
        buf_str(out, ",\"");
        buf_span(out, name);
        buf_str(out, "\":");
        buf_span(out, v.text);
    }
}

/* ---- the system text ---- */

static struct jval first_of(struct jval list)
{
    struct span key;
    struct jval v = {.kind = JSON_ABSENT};
    struct jiter it = jscan_iter(list);
    jscan_next(&it, &key, &v);
    return v;
}

/* Texts in the forms that the faces want them; text: the inside of a JSON string. */
static struct span form(struct arena *a, const char *before, struct span text, const char *behind)
{
    char *made = arena_printf(a, "%s%.*s%s", before, (int)text.len, text.at, behind);
    return made ? span_of(made) : SPAN_NONE;
}

/* Before what is there already: within a string, or as the first part of a list. False: it is neither. */
static bool go_before(struct jval said, struct span text, const char *part_type, struct arena *a, struct edit *e)
{
    bool empty = jscan_count(said) == 0;
    if (said.kind != JSON_STRING && said.kind != JSON_ARRAY) return false;
    *e = (struct edit){said.text.at + 1, 0, SPAN_NONE};
    if (said.kind == JSON_STRING) {
        e->put = form(a, "", text, said.text.len > 2 ? BETWEEN : "");
    } else {
        const char *lead = arena_printf(a, "{\"type\":\"%s\",\"text\":\"", part_type);
        if (lead) e->put = form(a, lead, text, empty ? "\"}" : "\"},");
    }
    return true;
}

static bool is_system(struct jval message)
{
    struct jval role = jscan_find(message, "role");
    return jval_is(role, "system") || jval_is(role, "developer");
}

/* Returns how many edits that makes; 0: the face has no place for it. `more`: members that are added behind the model. */
static int system_edit(const struct chat *c, struct span text, struct arena *a, struct edit *e, struct buf *more)
{
    const char *name = c->face == FACE_RESPONSES ? "instructions" : "system";
    struct jval messages = jscan_find(c->root, "messages"), said;
    switch (c->face) {
    case FACE_CHAT:
        said = first_of(messages);
        if (is_system(said) && go_before(jscan_find(said, "content"), text, "text", a, e)) return 1;
        *e = (struct edit){messages.text.at + 1, 0, form(a, "{\"role\":\"system\",\"content\":\"", text, "\"},")};
        return 1;
    case FACE_MESSAGES:
    case FACE_RESPONSES:
        said = jscan_find(c->root, name);
        if (go_before(said, text, "text", a, e)) return 1;
        if (said.kind == JSON_NULL) {
            *e = (struct edit){said.text.at, said.text.len, form(a, "\"", text, "\"")};
            return 1;
        }
        buf_printf(more, ",\"%s\":\"", name);
        buf_span(more, text);
        buf_char(more, '"');
        return 0;
    case FACE_COMPLETIONS:
        said = jscan_find(c->root, "prompt");
        return said.kind == JSON_STRING && go_before(said, text, "", a, e);
    case FACE_EMBEDDINGS:
    case FACE_COUNT: break;
    }
    return 0;
}

enum weir_err preset_write(const struct model_row *m, const struct chat *c, struct arena *a, struct buf *out)
{
    struct edit edits[2] = {{0}};
    struct buf text, more;
    int count = 0;
    buf_init(&text, c->body.len + 16 * BOUND_UPSTREAM_ERROR);
    buf_init(&more, c->body.len + 32 * BOUND_UPSTREAM_ERROR);
    if (m->system) {
        json_string(&text, span_of(m->system));
        if (!text.err) count = system_edit(c, (struct span){text.at + 1, text.len - 2}, a, edits, &more);
    }
    add_parameters(m, c, &more);
    bool whole = !text.err && !more.err && (!count || edits[0].put.at);
    edits[count++] = (struct edit){c->model.text.at + c->model.text.len, 0, buf_all(&more)};
    if (whole) edit_text(c->body, edits, count, out);
    buf_free(&text);
    buf_free(&more);
    return whole && !out->err ? WEIR_OK : WEIR_NOMEM;
}
