/* Third step: checks the body as far as Weir or any provider must be able to rely on it, and notes where the parts lie
 * that later steps read or change. What a field must be stands in one table. */
#include "fcgi/stage/parse.h"

#include <stdio.h>

#include "fcgi/base/text.h"

/* ---- what a field may be ---- */

#define IS(kind) (1u << (kind))
#define BOOLEAN  (IS(JSON_TRUE) | IS(JSON_FALSE) | IS(JSON_NULL))
#define NUMBER   (IS(JSON_NUMBER) | IS(JSON_NULL))
#define WHOLE    (IS(JSON_NUMBER) | IS(JSON_NULL)) /* and without a fraction */
#define TEXT     (IS(JSON_STRING) | IS(JSON_NULL))
#define LIST     (IS(JSON_ARRAY) | IS(JSON_NULL))
#define OBJECT   (IS(JSON_OBJECT) | IS(JSON_NULL))

#define CHAT (1u << FACE_CHAT)
#define COMPLETIONS (1u << FACE_COMPLETIONS)
#define EMBEDDINGS (1u << FACE_EMBEDDINGS)
#define RESPONSES (1u << FACE_RESPONSES)
#define MESSAGES (1u << FACE_MESSAGES)
#define ALL (CHAT | COMPLETIONS | EMBEDDINGS | RESPONSES | MESSAGES)
#define SPOKEN (CHAT | COMPLETIONS | RESPONSES | MESSAGES) /* what is answered in text */

enum place { PLACE_NONE, PLACE_MODEL, PLACE_STREAM, PLACE_STREAM_OPTIONS, PLACE_MESSAGES, PLACE_PROMPT, PLACE_INPUT,
             PLACE_SYSTEM, PLACE_TOOLS, PLACE_MAX, PLACE_MAX_COMPLETION, PLACE_N, PLACE_ENCODING, PLACE_COUNT };

/* A name may stand in several rows, of different faces. */
static const struct field {
    const char *name;
    unsigned faces, kinds;
    bool whole, required;
    int64_t least, most;      /* of whole numbers */
    enum place place;
    const char *expected;
} fields[] = {
    {"model", ALL, IS(JSON_STRING), false, true, 0, 0, PLACE_MODEL, "a string"},
    {"messages", CHAT | MESSAGES, IS(JSON_ARRAY), false, true, 0, 0, PLACE_MESSAGES, "an array of at least one message"},
    {"system", MESSAGES, IS(JSON_STRING) | IS(JSON_ARRAY), false, false, 0, 0, PLACE_SYSTEM,
     "a string or an array of parts"},
    {"prompt", COMPLETIONS, IS(JSON_STRING) | IS(JSON_ARRAY) | IS(JSON_NULL), false, false, 0, 0, PLACE_PROMPT,
     "a string or an array"},
    {"prompt", RESPONSES, OBJECT, false, false, 0, 0, PLACE_NONE, "an object"},
    {"input", EMBEDDINGS, IS(JSON_STRING) | IS(JSON_ARRAY), false, true, 0, 0, PLACE_INPUT, "a string or an array"},
    {"input", RESPONSES, IS(JSON_STRING) | IS(JSON_ARRAY) | IS(JSON_NULL), false, false, 0, 0, PLACE_INPUT,
     "a string or an array"},
    {"instructions", RESPONSES, TEXT, false, false, 0, 0, PLACE_SYSTEM, "a string"},
    {"previous_response_id", RESPONSES, TEXT, false, false, 0, 0, PLACE_NONE, "a string"},
    {"conversation", RESPONSES, IS(JSON_STRING) | OBJECT, false, false, 0, 0, PLACE_NONE, "a string or an object"},
    {"store", CHAT | RESPONSES, BOOLEAN, false, false, 0, 0, PLACE_NONE, "true or false"},
    {"background", RESPONSES, BOOLEAN, false, false, 0, 0, PLACE_NONE, "true or false"},
    {"reasoning", RESPONSES, OBJECT, false, false, 0, 0, PLACE_NONE, "an object"},
    {"text", RESPONSES, OBJECT, false, false, 0, 0, PLACE_NONE, "an object"},
    {"include", RESPONSES, LIST, false, false, 0, 0, PLACE_NONE, "an array"},
    {"thinking", MESSAGES, OBJECT, false, false, 0, 0, PLACE_NONE, "an object"},
    {"stop_sequences", MESSAGES, LIST, false, false, 0, 0, PLACE_NONE, "an array of strings"},
    {"top_k", MESSAGES, WHOLE, true, false, 0, INT32_MAX, PLACE_NONE, "a whole number"},
    {"metadata", CHAT | RESPONSES | MESSAGES, OBJECT, false, false, 0, 0, PLACE_NONE, "an object"},
    {"encoding_format", EMBEDDINGS, TEXT, false, false, 0, 0, PLACE_ENCODING, "a string"},
    {"dimensions", EMBEDDINGS, WHOLE, true, false, 1, 1 << 20, PLACE_NONE, "a whole number, at least 1"},
    {"stream", ALL, BOOLEAN, false, false, 0, 0, PLACE_STREAM, "true or false"},
    {"stream_options", CHAT | COMPLETIONS | RESPONSES, OBJECT, false, false, 0, 0, PLACE_STREAM_OPTIONS, "an object"},
    {"max_tokens", CHAT, WHOLE, true, false, 1, INT32_MAX, PLACE_MAX, "a whole number, at least 1"},
    {"max_tokens", COMPLETIONS, WHOLE, true, false, 0, INT32_MAX, PLACE_MAX, "a whole number"},
    {"max_tokens", MESSAGES, IS(JSON_NUMBER), true, false, 1, INT32_MAX, PLACE_MAX, "a whole number, at least 1"},
    {"max_output_tokens", RESPONSES, WHOLE, true, false, 1, INT32_MAX, PLACE_MAX, "a whole number, at least 1"},
    {"max_completion_tokens", CHAT, WHOLE, true, false, 1, INT32_MAX, PLACE_MAX_COMPLETION, "a whole number, at least 1"},
    {"n", CHAT | COMPLETIONS, WHOLE, true, false, 1, BOUND_CHOICES, PLACE_N, "a whole number from 1 to 128"},
    {"best_of", CHAT | COMPLETIONS, WHOLE, true, false, 1, BOUND_CHOICES, PLACE_NONE, "a whole number from 1 to 128"},
    {"temperature", SPOKEN, NUMBER, false, false, 0, 0, PLACE_NONE, "a number"},
    {"top_p", SPOKEN, NUMBER, false, false, 0, 0, PLACE_NONE, "a number"},
    {"presence_penalty", CHAT | COMPLETIONS, NUMBER, false, false, 0, 0, PLACE_NONE, "a number"},
    {"frequency_penalty", CHAT | COMPLETIONS, NUMBER, false, false, 0, 0, PLACE_NONE, "a number"},
    {"seed", CHAT | COMPLETIONS, NUMBER, false, false, 0, 0, PLACE_NONE, "a number"},
    {"tools", CHAT | RESPONSES | MESSAGES, LIST, false, false, 0, 0, PLACE_TOOLS, "an array"},
    {"parallel_tool_calls", CHAT | RESPONSES, BOOLEAN, false, false, 0, 0, PLACE_NONE, "true or false"},
    {"stop", CHAT | COMPLETIONS, IS(JSON_STRING) | IS(JSON_ARRAY) | IS(JSON_NULL), false, false, 0, 0, PLACE_NONE,
     "a string or an array of strings"},
    /* what is charged otherwise */
    {"service_tier", ALL, TEXT, false, false, 0, 0, PLACE_NONE, "a string"},
    {"modalities", CHAT, LIST, false, false, 0, 0, PLACE_NONE, "an array"},
    {"web_search_options", CHAT, OBJECT, false, false, 0, 0, PLACE_NONE, "an object"},
    {"max_tool_calls", RESPONSES, WHOLE, true, false, 0, INT32_MAX, PLACE_NONE, "a whole number"},
    {"speed", MESSAGES, TEXT, false, false, 0, 0, PLACE_NONE, "a string"},
    {"user", CHAT | COMPLETIONS | EMBEDDINGS | RESPONSES, TEXT, false, false, 0, 0, PLACE_NONE, "a string"},
};
#define FIELD_COUNT (sizeof fields / sizeof *fields)
#define FOLDED_MOST 200 /* bytes of a raw name; a known one is shorter, however it is escaped */

static enum weir_err refuse(struct problem *p, const char *param, const char *expected)
{
    return problem_set(p, WEIR_INVALID, param, "%s must be %s.", param, expected);
}

static enum weir_err check_field(const struct field *f, struct jval v, struct problem *p)
{
    int64_t n;
    if (!(f->kinds & IS(v.kind))) return refuse(p, f->name, f->expected);
    if (f->whole && v.kind == JSON_NUMBER && (!jval_int(v, &n) || n < f->least || n > f->most))
        return refuse(p, f->name, f->expected);
    return WEIR_OK;
}

/* Lower case as those decoders fold it that take "MAX_TOKENS" for "max_tokens": ASCII, long s and the Kelvin sign. */
static void fold(struct buf *name)
{
    size_t to = 0;
    for (size_t i = 0; i < name->len; i++) {
        const char *at = name->at + i;
        size_t left = name->len - i;
        if (left >= 2 && memcmp(at, "\xC5\xBF", 2) == 0) name->at[to++] = 's', i += 1;
        else if (left >= 3 && memcmp(at, "\xE2\x84\xAA", 3) == 0) name->at[to++] = 'k', i += 2;
        else name->at[to++] = *at >= 'A' && *at <= 'Z' ? (char)(*at + ('a' - 'A')) : *at;
    }
    name->len = to;
}

/* A member that is no known one, but is to some upstreams: it would get past what is checked and held here. */
static bool is_disguised(struct span key)
{
    struct buf name;
    bool found = false;
    if (key.len > FOLDED_MOST) return false;
    buf_init(&name, FOLDED_MOST);
    if (jval_string((struct jval){JSON_STRING, {key.at - 1, key.len + 2}}, &name) == WEIR_OK && name.len) {
        fold(&name);
        for (size_t i = 0; i < FIELD_COUNT && !found; i++) found = span_is(buf_all(&name), fields[i].name);
    }
    buf_free(&name);
    return found;
}

/* Names that some servers (llama.cpp, TGI) put before max_tokens, the one that is held here. */
static bool is_other_maximum(struct span key)
{
    static const char *const names[] = {"n_predict", "num_predict", "max_new_tokens", "max_length"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (jkey_is(key, names[i])) return true;
    return false;
}

/* A field of another face: it is nothing special here, and no disguise. */
static bool is_exact(struct span key)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (jkey_is(key, fields[i].name)) return true;
    return false;
}

/* Checks every known member, and leaves in at[] where those lie that are needed. */
static enum weir_err check_members(enum face face, struct jval root, struct jval at[PLACE_COUNT], struct problem *p)
{
    char name[64];
    struct span key;
    struct jval v;
    bool seen[FIELD_COUNT] = {false};
    struct jiter it = jscan_iter(root);
    while (jscan_next(&it, &key, &v)) {
        bool known = false;
        for (size_t i = 0; i < FIELD_COUNT && !known; i++) {
            const struct field *f = &fields[i];
            if (!jkey_is(key, f->name)) continue;
            if (!(f->faces & (1u << face))) continue;
            known = true;
            enum weir_err err = check_field(f, v, p);
            if (err != WEIR_OK) return err;
            seen[i] = true;
            at[f->place] = v;
        }
        if (is_other_maximum(key)) {
            snprintf(name, sizeof name, "%.*s", (int)text_cut(key, 60), key.at);
            return problem_set(p, WEIR_INVALID, name, "%s is not served; say max_tokens.", name);
        }
        if (!known && is_disguised(key) && !is_exact(key)) {
            snprintf(name, sizeof name, "%.*s", (int)text_cut(key, 60), key.at);
            return problem_set(p, WEIR_INVALID, name, "%s must be written in lower case.", name);
        }
    }
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (fields[i].required && !seen[i] && (fields[i].faces & (1u << face)))
            return problem_set(p, WEIR_INVALID, fields[i].name, "%s is missing; it must be %s.", fields[i].name,
                               fields[i].expected);
    return WEIR_OK;
}

/* ---- messages ---- */

/* part: "", or ".role" of a message. */
static enum weir_err refuse_message(struct problem *p, size_t i, const char *part, const char *expected)
{
    char name[64];
    snprintf(name, sizeof name, "messages[%zu]%s", i, part);
    return refuse(p, name, expected);
}

static enum weir_err check_message(struct jval m, size_t i, struct problem *p)
{
    char name[64];
    struct span key;
    struct jval v;
    bool role = false;
    if (m.kind != JSON_OBJECT) return refuse_message(p, i, "", "an object");
    struct jiter it = jscan_iter(m);
    while (jscan_next(&it, &key, &v)) {
        if (jkey_is(key, "role")) {
            if (v.kind != JSON_STRING) return refuse_message(p, i, ".role", "a string");
            role = true;
        } else if (jkey_is(key, "content")) {
            if (v.kind != JSON_STRING && v.kind != JSON_ARRAY && v.kind != JSON_NULL)
                return refuse_message(p, i, ".content", "a string or an array of parts");
        }
    }
    if (role) return WEIR_OK;
    snprintf(name, sizeof name, "messages[%zu].role", i);
    return problem_set(p, WEIR_INVALID, name, "%s is missing; it must be a string.", name);
}

static enum weir_err check_messages(struct jval messages, struct problem *p)
{
    struct span key;
    struct jval m;
    size_t i = 0;
    struct jiter it = jscan_iter(messages);
    for (; jscan_next(&it, &key, &m); i++) {
        enum weir_err err = check_message(m, i, p);
        if (err != WEIR_OK) return err;
    }
    return i ? WEIR_OK : refuse(p, "messages", "an array of at least one message");
}

/* ---- the whole ---- */

enum weir_err parse_content_type(const char *type, struct problem *p)
{
    if (!type || !*type) return WEIR_OK;
    struct span s = span_trim((struct span){type, strcspn(type, ";")});
    return span_is_nocase(s, "application/json") ? WEIR_OK : problem_set(p, WEIR_NOT_JSON, NULL, NULL);
}

static enum weir_err check_body(struct span body, struct jval *root, struct problem *p)
{
    struct jfault fault;
    struct span twice;
    enum weir_err err = jscan_check(body, BOUND_JSON_DEPTH, root, &fault);
    if (err != WEIR_OK)
        return problem_set(p, WEIR_INVALID, NULL, "The body is not valid JSON: %s at byte %zu.", fault.what, fault.at);
    if (root->kind != JSON_OBJECT) return problem_set(p, WEIR_INVALID, NULL, "The body must be a JSON object.");
    if (jscan_is_unique(*root, &twice)) return WEIR_OK;
    if (!twice.at) return problem_set(p, WEIR_INVALID, NULL, "The body has more than %d members.", BOUND_JSON_MEMBERS);
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)text_cut(twice, 60), twice.at);
    return problem_set(p, WEIR_INVALID, name, "%s is given twice.", name);
}

static enum weir_err note_stream(struct chat *c, const struct jval at[PLACE_COUNT], struct problem *p)
{
    c->stream = c->face != FACE_EMBEDDINGS && at[PLACE_STREAM].kind == JSON_TRUE;
    struct span twice;
    c->stream_options = at[PLACE_STREAM_OPTIONS];
    if (!jscan_is_unique(c->stream_options, &twice)) return refuse(p, "stream_options",
                                                                   "an object whose members have different names");
    struct jval asked = jscan_find(c->stream_options, "include_usage");
    if (!(IS(asked.kind) & (BOOLEAN | IS(JSON_ABSENT)))) return refuse(p, "stream_options.include_usage", "true or false");
    c->wants_usage = asked.kind == JSON_TRUE;
    return WEIR_OK;
}

static void note_numbers(struct chat *c, const struct jval at[PLACE_COUNT])
{
    c->choices = 1;
    jval_int(at[PLACE_N], &c->choices);
    c->max_output = -1;
    int64_t other = -1;
    c->maximum = at[PLACE_MAX];
    c->newer_maximum = at[PLACE_MAX_COMPLETION];
    jval_int(c->maximum, &other);
    jval_int(c->newer_maximum, &c->max_output);
    if (other > c->max_output) c->max_output = other;
    c->wants_base64 = jval_is(at[PLACE_ENCODING], "base64");
    c->prompt_bytes = (int64_t)(at[PLACE_MESSAGES].text.len + at[PLACE_PROMPT].text.len + at[PLACE_INPUT].text.len +
                                at[PLACE_SYSTEM].text.len + at[PLACE_TOOLS].text.len);
}

static enum weir_err note_alias(struct chat *c, struct arena *a, struct problem *p)
{
    struct buf alias;
    buf_init(&alias, c->model.text.len);
    enum weir_err err = jval_string(c->model, &alias);
    if (err == WEIR_OK) {
        c->alias = (struct span){arena_str(a, buf_all(&alias)), alias.len};
        if (!c->alias.at) err = WEIR_NOMEM;
    }
    buf_free(&alias);
    return err == WEIR_OK ? WEIR_OK : problem_set(p, err, NULL, NULL);
}

enum weir_err parse_chat(enum face face, struct span body, struct arena *a, struct chat *c, struct problem *p)
{
    struct jval at[PLACE_COUNT] = {{0}};
    *c = (struct chat){.face = face, .body = body, .choices = 1, .max_output = -1};
    enum weir_err err = check_body(body, &c->root, p);
    if (err != WEIR_OK) return err;
    /* The alias first, so that the audit row has it whatever else is wrong. */
    c->model = jscan_find(c->root, "model");
    if (c->model.kind == JSON_STRING) err = note_alias(c, a, p);
    if (err == WEIR_OK) err = check_members(face, c->root, at, p);
    if (err == WEIR_OK && (face == FACE_CHAT || face == FACE_MESSAGES)) err = check_messages(at[PLACE_MESSAGES], p);
    if (err == WEIR_OK) err = note_stream(c, at, p);
    note_numbers(c, at);
    return err;
}

enum weir_err parse_maximum(const struct chat *c, struct problem *p)
{
    if (c->face != FACE_MESSAGES || c->maximum.kind != JSON_ABSENT) return WEIR_OK;
    return problem_set(p, WEIR_INVALID, "max_tokens", "max_tokens is missing; it must be a whole number, at least 1.");
}
