/* The tap's common part: which reader reads what, and small readings that all share. */
#include "fcgi/provider/tap.h"

#include "fcgi/base/bounds.h"
#include "fcgi/base/text.h"
#include "fcgi/provider/tap_wire.h"

/* ---- small readings ---- */

bool wire_tokens(struct jval v, int64_t *out)
{
    int64_t n;
    if (!jval_int(v, &n) || n < 0 || n > WIRE_TOKENS_MOST) return false;
    *out = n;
    return true;
}

int64_t wire_characters(struct jval v)
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

int64_t wire_all_characters(struct jval v)
{
    struct span key;
    struct jval part;
    int64_t n = wire_characters(v);
    struct jiter it = jscan_iter(v);
    while (jscan_next(&it, &key, &part)) n += wire_all_characters(part); /* depth: BOUND_JSON_DEPTH */
    return n;
}

bool wire_is_nothing(struct jval v)
{
    return v.kind == JSON_ABSENT || v.kind == JSON_NULL || (v.kind == JSON_STRING && v.text.len == 2) ||
           ((v.kind == JSON_ARRAY || v.kind == JSON_OBJECT) && jscan_count(v) == 0);
}

void wire_copy(struct jval v, char *to, size_t size)
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

void wire_mark(uint64_t bits[2], int64_t i)
{
    if (i >= 0 && i < 128) bits[i / 64] |= (uint64_t)1 << (i % 64);
}

static bool is_one_of(struct jval v, const char *const *words)
{
    for (; *words; words++)
        if (jval_is(v, *words)) return true;
    return false;
}

void wire_ended(struct tap *t, struct jval reason)
{
    static const char *const cut[] = {"length", "max_tokens", "model_context_window_exceeded", "pause_turn", "incomplete",
                                      NULL};
    static const char *const refused[] = {"content_filter", "refusal", NULL};
    static const char *const calls[] = {"tool_calls", "function_call", "tool_use", NULL};
    t->is_cut |= is_one_of(reason, cut);
    t->is_refused |= is_one_of(reason, refused);
    t->calls_tools |= is_one_of(reason, calls);
}

static bool is_blank(struct span s)
{
    while (s.len && (*s.at == ' ' || *s.at == '\t' || *s.at == '\n')) s.at++, s.len--;
    return s.len == 0;
}

bool tier_read(struct jval v, enum price_tier *tier)
{
    static const struct { const char *name; enum price_tier tier; } names[] = {
        {"default", TIER_STANDARD}, {"standard", TIER_STANDARD}, {"standard_only", TIER_STANDARD},
        {"on_demand", TIER_STANDARD}, {"scale", TIER_STANDARD}, /* bought beforehand */
        {"flex", TIER_FLEX}, {"priority", TIER_PRIORITY},
    };
    if (v.kind == JSON_ABSENT || v.kind == JSON_NULL || jval_is(v, "auto")) return false;
    *tier = TIER_OTHER;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (jval_is(v, names[i].name)) *tier = names[i].tier;
    return true;
}

void wire_tier(struct tap *t, struct jval v) { t->tells_tier |= tier_read(v, &t->tier); }

void wire_total(struct usage *u, struct jval total)
{
    int64_t all;
    if (wire_tokens(total, &all) && all > u->prompt + u->completion) u->completion = all - u->prompt;
}

void wire_take(struct tap *t, const struct usage *u)
{
    bool is_nothing = !u->prompt && !u->completion, was_something = t->usage.prompt || t->usage.completion;
    if (!(t->usage.known && is_nothing && was_something)) t->usage = *u;
}

/* ---- by the face that was asked ---- */

static const struct wire *wire_of(const struct tap *t)
{
    static const struct wire *const wires[FACE_COUNT] = {
        [FACE_CHAT] = &wire_chat, [FACE_COMPLETIONS] = &wire_chat, [FACE_EMBEDDINGS] = &wire_chat,
        [FACE_RESPONSES] = &wire_responses, [FACE_MESSAGES] = &wire_messages,
    };
    return wires[t->face];
}

/* False: it is no JSON. */
static bool check(const struct tap *t, struct span text, struct jval *root, struct jnote parts[WIRE_PARTS])
{
    const char *const *names = wire_of(t)->names;
    struct jfault bad;
    size_t count = 0;
    for (; names && count < WIRE_PARTS; count++) parts[count] = (struct jnote){.name = names[count]};
    return jscan_check_noting(text, BOUND_JSON_DEPTH, parts, count, root, &bad) == WEIR_OK;
}

void tap_start(struct tap *t, const struct chat *chat, enum face asked)
{
    *t = (struct tap){.face = asked, .expected = chat->choices, .counts = true, .sequence = -1};
}

enum event_kind tap_read_event(struct tap *t, struct span data, struct fault *fault)
{
    struct jval root;
    struct jnote parts[WIRE_PARTS];
    if (is_blank(data)) return EVENT_EMPTY;
    if (span_is(span_trim(data), "[DONE]")) {
        t->done = true;
        return EVENT_DONE;
    }
    if (!check(t, data, &root, parts)) return EVENT_GARBAGE;
    *fault = (struct fault){.message = ""};
    if (root.kind == JSON_OBJECT) return wire_of(t)->read_event(t, root, parts, fault);
    wire_of(t)->read_error(t, root, fault); /* Gemini's errors are arrays */
    return *fault->message ? EVENT_ERROR : EVENT_GARBAGE;
}

bool tap_read_answer(struct tap *t, struct span body, struct fault *fault)
{
    struct jval root;
    struct jnote parts[WIRE_PARTS];
    *fault = (struct fault){.message = ""};
    if (!check(t, body, &root, parts)) return false;
    if (root.kind == JSON_OBJECT) return wire_of(t)->read_answer(t, root, parts, fault);
    wire_of(t)->read_error(t, root, fault);
    return false;
}

bool tap_read_error(struct tap *t, struct span body, struct fault *fault)
{
    struct jval root;
    struct jfault bad;
    *fault = (struct fault){.message = ""};
    return jscan_check(body, BOUND_JSON_DEPTH, &root, &bad) == WEIR_OK && wire_of(t)->read_error(t, root, fault);
}

bool tap_is_finished(const struct tap *t)
{
    int64_t count = 0;
    for (int i = 0; i < 2; i++) {
        if (t->seen[i] & ~t->finished[i]) return false;
        count += __builtin_popcountll(t->finished[i]);
    }
    /* Some providers answer n=2 with one choice: it is theirs to say, and no truncation. */
    return count > 0;
}

struct span tap_last_event(const struct tap *t)
{
    if (t->face == FACE_MESSAGES) return SPAN("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    return t->face == FACE_RESPONSES ? SPAN("") : SPAN("data: [DONE]\n\n");
}
