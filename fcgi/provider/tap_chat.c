/* The wire of OpenAI's chat, completions and embeddings, and of every server that is compatible with them. */
#include "fcgi/provider/openai.h"
#include "fcgi/provider/tap_wire.h"

/* ---- usage ---- */

/* Of members of one name the first counts. */
static void first(struct jval *had, struct jval v)
{
    if (had->kind == JSON_ABSENT) *had = v;
}

/* What of a usage object is read. */
struct told { struct jval prompt, completion, total, searches, prompt_details, completion_details; };

static struct told told_in(struct jval usage)
{
    struct told t = {0};
    struct span key;
    struct jval v;
    struct jiter it = jscan_iter(usage);
    while (it.object && jscan_next(&it, &key, &v)) {
        if (jkey_is(key, "prompt_tokens")) first(&t.prompt, v);
        else if (jkey_is(key, "completion_tokens")) first(&t.completion, v);
        else if (jkey_is(key, "total_tokens")) first(&t.total, v);
        else if (jkey_is(key, "prompt_tokens_details")) first(&t.prompt_details, v);
        else if (jkey_is(key, "completion_tokens_details")) first(&t.completion_details, v);
        else if (jkey_is(key, "num_search_queries")) first(&t.searches, v);
    }
    return t;
}

static void read_prompt_details(struct jval details, struct usage *u)
{
    struct jval cached = {0}, written = {0}, audio = {0}, v;
    struct span key;
    struct jiter it = jscan_iter(details);
    while (it.object && jscan_next(&it, &key, &v)) {
        if (jkey_is(key, "cached_tokens")) first(&cached, v);
        else if (jkey_is(key, "cache_write_tokens")) first(&written, v);
        else if (jkey_is(key, "audio_tokens")) first(&audio, v);
    }
    if (!wire_tokens(cached, &u->cached) || u->cached > u->prompt) u->cached = 0;
    if (!wire_tokens(written, &u->cache_write) || u->cache_write > u->prompt - u->cached) u->cache_write = 0;
    wire_tokens(audio, &u->audio_input);
}

bool openai_read_usage(struct jval v, struct usage *out)
{
    struct usage u = {.known = true};
    if (v.kind != JSON_OBJECT) return false;
    const struct told t = told_in(v);
    if (!wire_tokens(t.prompt, &u.prompt)) return false;
    u.is_half = t.completion.kind == JSON_ABSENT || t.completion.kind == JSON_NULL;
    if (!u.is_half && !wire_tokens(t.completion, &u.completion)) return false;
    read_prompt_details(t.prompt_details, &u);
    wire_tokens(jscan_find(t.completion_details, "audio_tokens"), &u.audio_output);
    wire_tokens(t.searches, &u.searches);
    wire_total(&u, t.total);
    *out = u;
    return true;
}

/* ---- choices ---- */

static void count(struct tap *t, struct span key, struct jval v)
{
    bool sound = jkey_is(key, "audio");
    if (!t->counts) return;
    t->delivered += wire_all_characters(sound ? jscan_find(v, "transcript") : v);
    if (sound) t->sounded += wire_characters(jscan_find(v, "data"));
}

/* A delta holds content if anything but the role says something: text, refusal, reasoning, tool calls, and whatever a
 * later API adds. */
static bool delta_has_content(struct tap *t, struct jval delta)
{
    struct span key;
    struct jval v;
    bool content = false;
    struct jiter it = jscan_iter(delta);
    while (jscan_next(&it, &key, &v)) {
        if (jkey_is(key, "role") || wire_is_nothing(v)) continue;
        content = true;
        t->calls_tools |= jkey_is(key, "tool_calls") || jkey_is(key, "function_call");
        t->is_refused |= jkey_is(key, "refusal");
        count(t, key, v);
    }
    return content;
}

/* A choice of an event or of a whole answer: its part goes under "delta", "message" or "text". */
static bool read_choice(struct tap *t, struct jval choice, int64_t place)
{
    struct span key;
    struct jval v;
    int64_t index = place;
    bool content = false, finished = false;
    struct jiter it = jscan_iter(choice);
    while (jscan_next(&it, &key, &v)) {
        if (jkey_is(key, "index")) {
            if (!jval_int(v, &index)) index = place;
        } else if (jkey_is(key, "finish_reason")) {
            finished = v.kind == JSON_STRING && v.text.len > 2;
            if (finished) wire_ended(t, v);
        } else if (jkey_is(key, "delta") || jkey_is(key, "message")) {
            content |= delta_has_content(t, v);
        } else if (jkey_is(key, "text") && !wire_is_nothing(v)) {
            content = true;
            if (t->counts) t->delivered += wire_characters(v);
        }
    }
    wire_mark(t->seen, index);
    if (finished) wire_mark(t->finished, index);
    return content || finished;
}

static bool read_choices(struct tap *t, struct jval choices)
{
    struct span key;
    struct jval choice;
    bool content = false;
    int64_t place = 0;
    struct jiter it = jscan_iter(choices);
    while (jscan_next(&it, &key, &choice)) content |= read_choice(t, choice, place++);
    return content;
}

/* ---- errors, in all the forms that compatible servers have sent (WIRE.md 3) ---- */

static bool is_text_or_null(struct jval v) { return v.kind == JSON_STRING || v.kind == JSON_NULL; }

/* {"message","type","param","code"}: true if all four are there and of their types. */
static bool read_error_object(struct jval e, struct fault *fault)
{
    struct jval message = jscan_find(e, "message"), type = jscan_find(e, "type");
    struct jval param = jscan_find(e, "param"), code = jscan_find(e, "code");
    wire_copy(message, fault->message, sizeof fault->message);
    wire_copy(type.kind == JSON_STRING ? type : jscan_find(e, "status"), fault->type, sizeof fault->type);
    wire_copy(param, fault->param, sizeof fault->param);
    wire_copy(code, fault->code, sizeof fault->code);
    return message.kind == JSON_STRING && type.kind == JSON_STRING && is_text_or_null(param) && is_text_or_null(code);
}

static struct jval first_of(struct jval array)
{
    struct span key;
    struct jval v = {.kind = JSON_ABSENT};
    struct jiter it = jscan_iter(array);
    if (array.kind == JSON_ARRAY) jscan_next(&it, &key, &v);
    return v;
}

static bool read_error_value(struct jval root, struct fault *fault)
{
    bool in_array = root.kind == JSON_ARRAY;
    if (in_array) root = first_of(root);
    struct jval error = jscan_find(root, "error"), detail = jscan_find(root, "detail");
    if (error.kind == JSON_OBJECT) return read_error_object(error, fault) && !in_array;
    if (error.kind == JSON_STRING) wire_copy(error, fault->message, sizeof fault->message);
    else if (detail.kind == JSON_STRING) wire_copy(detail, fault->message, sizeof fault->message);
    else if (detail.kind == JSON_ARRAY) wire_copy(jscan_find(first_of(detail), "msg"), fault->message,
                                                  sizeof fault->message);
    else read_error_object(root, fault); /* {"type":"error","code","message"}, {"message"} */
    return false;
}

static bool read_usage(struct tap *t, struct jval v)
{
    struct usage u;
    bool told = openai_read_usage(v, &u);
    if (told) wire_take(t, &u);
    return told;
}

static bool read_error(struct tap *t, struct jval root, struct fault *fault)
{
    read_usage(t, jscan_find(root, "usage"));
    wire_tier(t, jscan_find(root, "service_tier"));
    return read_error_value(root, fault);
}

/* ---- answers ---- */

/* The members of an event or an answer that count. */
enum part { CHOICES, USAGE, FAULT, DATA, GROQ, TYPE, TIER };
static const char *const names[WIRE_PARTS] = {
    [CHOICES] = "choices", [USAGE] = "usage", [FAULT] = "error", [DATA] = "data", [GROQ] = "x_groq", [TYPE] = "type",
    [TIER] = "service_tier",
};

static enum event_kind read_event(struct tap *t, struct jval root, const struct jnote *parts, struct fault *fault)
{
    struct jval choices = parts[CHOICES].v, usage = parts[USAGE].v, groq = parts[GROQ].v;
    struct jval groq_error = jscan_find(groq, "error");
    bool told = read_usage(t, usage);
    told |= read_usage(t, jscan_find(groq, "usage"));
    wire_tier(t, parts[TIER].v);
    if (!wire_is_nothing(parts[FAULT].v) || jval_is(parts[TYPE].v, "error")) {
        read_error_value(root, fault);
        return EVENT_ERROR;
    }
    if (!wire_is_nothing(groq_error)) {
        if (groq_error.kind == JSON_STRING) wire_copy(groq_error, fault->message, sizeof fault->message);
        else read_error_object(groq_error, fault);
        return EVENT_ERROR;
    }
    bool content = read_choices(t, choices);
    if (told) t->usage_is_running = !tap_is_finished(t);
    if (content) return EVENT_CONTENT;
    bool empty = choices.kind == JSON_ARRAY && jscan_count(choices) == 0;
    return empty && !wire_is_nothing(usage) ? EVENT_USAGE : EVENT_HEAD;
}

static bool read_answer(struct tap *t, struct jval root, const struct jnote *parts, struct fault *fault)
{
    struct jval choices = parts[CHOICES].v, list = t->face == FACE_EMBEDDINGS ? parts[DATA].v : choices;
    bool failed = !wire_is_nothing(parts[FAULT].v);
    read_usage(t, parts[USAGE].v); /* also of what is no answer: it was paid for */
    read_usage(t, jscan_find(parts[GROQ].v, "usage"));
    wire_tier(t, parts[TIER].v);
    if (failed) read_error_value(root, fault);
    if (failed || list.kind != JSON_ARRAY) return false;
    t->counts = !t->usage.known || t->usage.is_half; /* whoever has the provider's figure needs no estimate */
    if (t->face != FACE_EMBEDDINGS) read_choices(t, choices);
    return true;
}

const struct wire wire_chat = {names, read_event, read_answer, read_error};
