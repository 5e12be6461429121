/* OpenAI's dialect: the caller's bytes are sent on with only what must change, and what comes back is read in passing.
 * Shapes: WIRE.md 1 and 3. Nothing is built into a tree. */
#include "fcgi/provider/openai.h"

#include <stdio.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/text.h"

#define TOKENS_MOST 1000000000 /* no single answer counts more; what claims to is nonsense */

/* ---- the request ---- */

static const char *const paths[FACE_COUNT] = {
    [FACE_CHAT] = "/chat/completions", [FACE_COMPLETIONS] = "/completions", [FACE_EMBEDDINGS] = "/embeddings",
};

/* One change of the body: at `at`, `drop` bytes go and `put` comes. */
struct edit { const char *at; size_t drop; struct span put; };

/* What makes the upstream tell its usage in a stream. False: nothing has to change. */
static bool usage_edit(const struct chat *c, struct edit *e)
{
    struct jval options = c->stream_options, asked;
    if (!c->stream || c->face == FACE_EMBEDDINGS || c->wants_usage) return false;
    switch (options.kind) {
    case JSON_OBJECT:
        asked = jscan_find(options, "include_usage");
        if (asked.kind != JSON_ABSENT) *e = (struct edit){asked.text.at, asked.text.len, SPAN("true")};
        else
            *e = (struct edit){options.text.at + options.text.len - 1, 0,
                               jscan_count(options) ? SPAN(",\"include_usage\":true") : SPAN("\"include_usage\":true")};
        return true;
    case JSON_NULL:
        *e = (struct edit){options.text.at, options.text.len, SPAN("{\"include_usage\":true}")};
        return true;
    default:
        *e = (struct edit){c->model.text.at + c->model.text.len, 0, SPAN(",\"stream_options\":{\"include_usage\":true}")};
        return true;
    }
}

/* A maximum of the caller's, made no larger than is held. 0 is a chat's "none" to some upstreams. */
static bool lower(struct jval given, int64_t least, int64_t most, char text[64], struct edit *e)
{
    int64_t own;
    if (given.kind == JSON_ABSENT || (jval_int(given, &own) && own >= least && own <= most)) return false;
    snprintf(text, 64, "%lld", (long long)most);
    *e = (struct edit){given.text.at, given.text.len, span_of(text)};
    return true;
}

/* The newer name where it is known to be wanted; the older is what every compatible server knows. */
static const char *maximum_name(const struct call *c)
{
    const char *url = c->target->provider->base_url;
    bool openai = strstr(url, "api.openai.com") || strstr(url, ".azure.com");
    return c->chat->face == FACE_CHAT && openai ? "max_completion_tokens" : "max_tokens";
}

/* The maximum that is forwarded: in the caller's own fields, in both if both are given, for an upstream may know only
 * one. Returns how many edits that makes. */
static int maximum_edits(const struct call *c, char text[2][64], struct edit *e)
{
    const struct chat *chat = c->chat;
    int count = 0;
    if (c->max_output < 0) return 0;
    count += lower(chat->maximum, chat->face == FACE_CHAT, c->max_output, text[0], &e[count]);
    count += lower(chat->newer_maximum, 1, c->max_output, text[1], &e[count]);
    if (chat->maximum.kind != JSON_ABSENT || chat->newer_maximum.kind != JSON_ABSENT) return count;
    snprintf(text[0], 64, ",\"%s\":%lld", maximum_name(c), (long long)c->max_output);
    e[0] = (struct edit){chat->model.text.at + chat->model.text.len, 0, span_of(text[0])};
    return 1;
}

static void sort(struct edit *edits, int count)
{
    for (int i = 1; i < count; i++)
        for (int k = i; k > 0 && edits[k].at < edits[k - 1].at; k--) {
            struct edit later = edits[k];
            edits[k] = edits[k - 1];
            edits[k - 1] = later;
        }
}

static void splice(struct span body, const struct edit *edits, int count, struct buf *out)
{
    const char *from = body.at, *end = body.at + body.len;
    for (int i = 0; i < count; i++) {
        buf_add(out, from, (size_t)(edits[i].at - from));
        buf_span(out, edits[i].put);
        from = edits[i].at + edits[i].drop;
    }
    buf_add(out, from, (size_t)(end - from));
}

static enum weir_err build_body(const struct call *c)
{
    const struct chat *chat = c->chat;
    struct buf name;
    struct edit edits[4];
    char maximum[2][64];
    int count = 1;

    buf_init(&name, 6 * strlen(c->target->model) + 2);
    json_string(&name, span_of(c->target->model));
    edits[0] = (struct edit){chat->model.text.at, chat->model.text.len, buf_all(&name)};
    count += usage_edit(chat, &edits[count]);
    count += maximum_edits(c, maximum, &edits[count]);
    sort(edits, count);
    if (!name.err && buf_room(c->body, chat->body.len + name.len + 128)) splice(chat->body, edits, count, c->body);
    enum weir_err err = name.err ? name.err : c->body->err;
    buf_free(&name);
    return err ? WEIR_NOMEM : WEIR_OK;
}

static enum weir_err openai_open(const struct call *c, struct upstream **out)
{
    const struct provider_row *p = c->target->provider;
    size_t base = strlen(p->base_url);
    while (base && p->base_url[base - 1] == '/') base--;
    char *url = arena_printf(c->memory, "%.*s%s", (int)base, p->base_url, paths[c->chat->face]);
    struct http_header *headers = arena_alloc(c->memory, sizeof *headers * (size_t)(p->header_count + 1));
    if (!url || !headers || build_body(c) != WEIR_OK) return WEIR_NOMEM;
    for (int i = 0; i < p->header_count; i++) headers[i] = (struct http_header){p->headers[i].name, p->headers[i].value};
    return http_open(c->pool, &(struct http_call){
        .origin = p->base_url, .url = url, .body = buf_all(c->body), .headers = headers, .header_count = p->header_count,
        .accept = c->chat->stream ? "text/event-stream" : "application/json",
        .secret_header = "Authorization: Bearer ", .secret = c->target->key ? c->target->key->secret : NULL,
        .connect_ms = p->connect_ms ? p->connect_ms : CONNECT_MS_DEFAULT, .http2 = c->http2,
        .in_small_pieces = c->chat->stream}, out);
}

/* ---- usage ---- */

static bool tokens(struct jval v, int64_t *out)
{
    int64_t n;
    if (!jval_int(v, &n) || n < 0 || n > TOKENS_MOST) return false;
    *out = n;
    return true;
}

bool openai_read_usage(struct jval v, struct usage *out)
{
    struct usage u = {.known = true};
    struct jval completion, details, part;
    if (v.kind != JSON_OBJECT || !tokens(jscan_find(v, "prompt_tokens"), &u.prompt)) return false;
    completion = jscan_find(v, "completion_tokens");
    if (completion.kind != JSON_ABSENT && !tokens(completion, &u.completion)) return false;
    details = jscan_find(v, "prompt_tokens_details");
    part = jscan_find(details, "cached_tokens");
    if (!tokens(part, &u.cached) || u.cached > u.prompt) u.cached = 0;
    part = jscan_find(details, "cache_write_tokens");
    if (!tokens(part, &u.cache_write) || u.cache_write > u.prompt - u.cached) u.cache_write = 0;
    *out = u;
    return true;
}

/* ---- choices ---- */

/* Characters a JSON string stands for: a multi-byte character and an escape are one each. */
static int64_t characters(struct jval v)
{
    int64_t n = 0;
    if (v.kind != JSON_STRING) return 0;
    const char *at = v.text.at + 1, *end = v.text.at + v.text.len - 1;
    while (at < end) {
        if (*at == '\\') at += at[1] == 'u' ? 6 : 2;
        else if (((unsigned char)*at++ & 0xC0) == 0x80) continue;
        n++;
    }
    return n;
}

/* All text below a value, however deep: tool arguments, parts of a message. */
static int64_t all_characters(struct jval v)
{
    struct span key;
    struct jval part;
    int64_t n = characters(v);
    struct jiter it = jscan_iter(v);
    while (jscan_next(&it, &key, &part)) n += all_characters(part); /* depth: BOUND_JSON_DEPTH */
    return n;
}

static bool is_nothing(struct jval v)
{
    return v.kind == JSON_ABSENT || v.kind == JSON_NULL || (v.kind == JSON_STRING && v.text.len == 2) ||
           ((v.kind == JSON_ARRAY || v.kind == JSON_OBJECT) && jscan_count(v) == 0);
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
        if (jkey_is(key, "role") || is_nothing(v)) continue;
        content = true;
        if (t->counts) t->delivered += all_characters(v);
    }
    return content;
}

static void mark(uint64_t bits[2], int64_t i)
{
    if (i >= 0 && i < 128) bits[i / 64] |= (uint64_t)1 << (i % 64);
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
        } else if (jkey_is(key, "delta") || jkey_is(key, "message")) {
            content |= delta_has_content(t, v);
        } else if (jkey_is(key, "text") && !is_nothing(v)) {
            content = true;
            if (t->counts) t->delivered += characters(v);
        }
    }
    mark(t->seen, index);
    if (finished) mark(t->finished, index);
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

/* A string, or a number as it is written; anything else leaves `to` empty. Cut at a character. */
static void copy_text(struct jval v, char *to, size_t size)
{
    struct buf text;
    buf_init(&text, BOUND_SSE_EVENT);
    if (v.kind == JSON_NUMBER) buf_span(&text, v.text);
    else if (v.kind == JSON_STRING) jval_string(v, &text);
    size_t n = text_cut(buf_all(&text), size - 1);
    if (n) memcpy(to, text.at, n);
    to[n] = '\0';
    buf_free(&text);
}

static bool is_text_or_null(struct jval v) { return v.kind == JSON_STRING || v.kind == JSON_NULL; }

/* {"message","type","param","code"}: true if all four are there and of their types. */
static bool read_error_object(struct jval e, struct fault *fault)
{
    struct jval message = jscan_find(e, "message"), type = jscan_find(e, "type");
    struct jval param = jscan_find(e, "param"), code = jscan_find(e, "code");
    copy_text(message, fault->message, sizeof fault->message);
    copy_text(type.kind == JSON_STRING ? type : jscan_find(e, "status"), fault->type, sizeof fault->type);
    copy_text(param, fault->param, sizeof fault->param);
    copy_text(code, fault->code, sizeof fault->code);
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
    if (error.kind == JSON_STRING) copy_text(error, fault->message, sizeof fault->message);
    else if (detail.kind == JSON_STRING) copy_text(detail, fault->message, sizeof fault->message);
    else if (detail.kind == JSON_ARRAY) copy_text(jscan_find(first_of(detail), "msg"), fault->message,
                                                  sizeof fault->message);
    else read_error_object(root, fault); /* {"type":"error","code","message"}, {"message"} */
    return false;
}

bool openai_read_error(struct tap *t, struct span body, struct fault *fault)
{
    struct jval root;
    struct jfault bad;
    *fault = (struct fault){.message = ""};
    if (jscan_check(body, BOUND_JSON_DEPTH, &root, &bad) != WEIR_OK) return false;
    openai_read_usage(jscan_find(root, "usage"), &t->usage);
    return read_error_value(root, fault);
}

/* ---- answers ---- */

/* The members of an event or an answer that count. */
struct parts { struct jval choices, data, error, usage, groq, type; };

static struct parts parts_of(struct jval root)
{
    struct parts p = {0};
    struct span key;
    struct jval v;
    struct jiter it = jscan_iter(root);
    while (jscan_next(&it, &key, &v)) {
        if (jkey_is(key, "choices")) p.choices = v;
        else if (jkey_is(key, "usage")) p.usage = v;
        else if (jkey_is(key, "error")) p.error = v;
        else if (jkey_is(key, "data")) p.data = v;
        else if (jkey_is(key, "x_groq")) p.groq = v;
        else if (jkey_is(key, "type")) p.type = v;
    }
    return p;
}

static bool is_blank(struct span s)
{
    while (s.len && (*s.at == ' ' || *s.at == '\t' || *s.at == '\n')) s.at++, s.len--;
    return s.len == 0;
}

enum event_kind openai_read_event(struct tap *t, struct span data, struct fault *fault)
{
    struct jval root;
    struct jfault bad;
    if (is_blank(data)) return EVENT_EMPTY;
    if (span_is(span_trim(data), "[DONE]")) {
        t->done = true;
        return EVENT_DONE;
    }
    if (jscan_check(data, BOUND_JSON_DEPTH, &root, &bad) != WEIR_OK) return EVENT_GARBAGE;
    if (root.kind != JSON_OBJECT) {
        *fault = (struct fault){.message = ""};
        read_error_value(root, fault); /* Gemini's errors are arrays */
        return *fault->message ? EVENT_ERROR : EVENT_GARBAGE;
    }
    struct parts p = parts_of(root);
    struct jval groq_error = jscan_find(p.groq, "error");
    openai_read_usage(p.usage, &t->usage);
    openai_read_usage(jscan_find(p.groq, "usage"), &t->usage);
    if (!is_nothing(p.error) || jval_is(p.type, "error")) {
        *fault = (struct fault){.message = ""};
        read_error_value(root, fault);
        return EVENT_ERROR;
    }
    if (!is_nothing(groq_error)) {
        *fault = (struct fault){.message = ""};
        if (groq_error.kind == JSON_STRING) copy_text(groq_error, fault->message, sizeof fault->message);
        else read_error_object(groq_error, fault);
        return EVENT_ERROR;
    }
    if (read_choices(t, p.choices)) return EVENT_CONTENT;
    bool empty = p.choices.kind == JSON_ARRAY && jscan_count(p.choices) == 0;
    return empty && !is_nothing(p.usage) ? EVENT_USAGE : EVENT_HEAD;
}

bool openai_read_answer(struct tap *t, struct span body, struct fault *fault)
{
    struct jval root;
    struct jfault bad;
    *fault = (struct fault){.message = ""};
    if (jscan_check(body, BOUND_JSON_DEPTH, &root, &bad) != WEIR_OK) return false;
    if (root.kind != JSON_OBJECT) {
        read_error_value(root, fault);
        return false;
    }
    struct parts p = parts_of(root);
    struct jval list = t->face == FACE_EMBEDDINGS ? p.data : p.choices;
    openai_read_usage(p.usage, &t->usage); /* also of what is no answer: it was paid for */
    openai_read_usage(jscan_find(p.groq, "usage"), &t->usage);
    if (!is_nothing(p.error)) read_error_value(root, fault);
    if (!is_nothing(p.error) || list.kind != JSON_ARRAY) return false;
    t->counts = !t->usage.known; /* whoever has the provider's figure needs no estimate */
    if (t->face != FACE_EMBEDDINGS) read_choices(t, p.choices);
    return true;
}

const struct dialect dialect_openai = {"openai", openai_open, openai_read_event, openai_read_answer, openai_read_error};
