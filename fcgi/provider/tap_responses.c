/* The wire of OpenAI's responses (WIRE.md 1): items instead of choices, events that name their type and count themselves,
 * and no [DONE]. */
#include "fcgi/provider/tap_wire.h"

static void read_usage(struct tap *t, struct jval v)
{
    struct usage u = {.known = true};
    if (v.kind != JSON_OBJECT || !wire_tokens(jscan_find(v, "input_tokens"), &u.prompt) ||
        !wire_tokens(jscan_find(v, "output_tokens"), &u.completion))
        return;
    struct jval details = jscan_find(v, "input_tokens_details");
    if (!wire_tokens(jscan_find(details, "cached_tokens"), &u.cached) || u.cached > u.prompt) u.cached = 0;
    if (!wire_tokens(jscan_find(details, "cache_write_tokens"), &u.cache_write) || u.cache_write > u.prompt - u.cached)
        u.cache_write = 0;
    wire_tokens(jscan_find(details, "audio_tokens"), &u.audio_input);
    wire_tokens(jscan_find(jscan_find(v, "output_tokens_details"), "audio_tokens"), &u.audio_output);
    wire_total(&u, jscan_find(v, "total_tokens"));
    u.searches = t->usage.searches; /* no usage tells them: they are counted as items */
    wire_take(t, &u);
}

/* A search by its item. Opening a page it has found, or looking in it, is none. */
static bool is_search(struct jval item)
{
    struct jval action = jscan_find(jscan_find(item, "action"), "type");
    return jval_is(jscan_find(item, "type"), "web_search_call") && (action.kind != JSON_STRING || jval_is(action, "search"));
}

/* ---- errors ---- */

/* A response that failed has {"code","message"} inside; the event `error` has them beside its type; a refused request has
 * the form of all of OpenAI's errors. */
static void read_failure(struct jval error, struct fault *fault)
{
    wire_copy(jscan_find(error, "message"), fault->message, sizeof fault->message);
    wire_copy(jscan_find(error, "code"), fault->code, sizeof fault->code);
    wire_copy(jscan_find(error, "param"), fault->param, sizeof fault->param);
}

static bool read_error(struct tap *t, struct jval root, struct fault *fault)
{
    bool whole = wire_chat.read_error(t, root, fault);
    read_usage(t, jscan_find(root, "usage"));
    return whole;
}

/* ---- answers ---- */

static bool has_word(struct span type, const char *word)
{
    size_t n = strlen(word);
    return type.len >= n && memcmp(type.at + type.len - n, word, n) == 0;
}

/* A whole item: all text in it but its names. */
static int64_t written(struct jval item)
{
    static const char *const names[] = {"content", "summary", "arguments", "input"};
    int64_t n = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) n += wire_all_characters(jscan_find(item, names[i]));
    return n;
}

/* What a whole response says of itself: calls and refusals are items and parts of it. */
static void read_ends(struct tap *t, struct jval response)
{
    struct span key;
    struct jval item, part;
    struct jiter it = jscan_iter(jscan_find(response, "output"));
    int64_t searches = 0;
    wire_ended(t, jscan_find(response, "status"));
    wire_tier(t, jscan_find(response, "service_tier"));
    while (jscan_next(&it, &key, &item)) {
        searches += is_search(item);
        struct jval type = jscan_find(item, "type");
        struct jiter parts = jscan_iter(jscan_find(item, "content"));
        t->calls_tools |= type.kind == JSON_STRING && has_word((struct span){type.text.at + 1, type.text.len - 2}, "_call");
        while (jscan_next(&parts, &key, &part)) wire_ended(t, jscan_find(part, "type"));
    }
    if (searches > t->usage.searches) t->usage.searches = searches; /* a stream has counted them one by one */
}

static enum event_kind take_end(struct tap *t, struct jval response)
{
    read_ends(t, response);
    read_usage(t, jscan_find(response, "usage"));
    wire_mark(t->seen, 0);
    wire_mark(t->finished, 0);
    t->done = true;
    return EVENT_DONE;
}

static enum event_kind take_item(struct jval item)
{
    struct jval type = jscan_find(item, "type");
    bool still_empty = jval_is(type, "message") || jval_is(type, "reasoning");
    return still_empty ? EVENT_HEAD : EVENT_CONTENT;
}

/* Deltas are what is written; the events that end them repeat it. */
static enum event_kind take_other(struct tap *t, struct jval root, struct span type)
{
    bool delta = has_word(type, ".delta");
    if (delta && t->counts) t->delivered += wire_characters(jscan_find(root, "delta"));
    return delta || has_word(type, ".done") || has_word(type, ".partial_image") ? EVENT_CONTENT : EVENT_HEAD;
}

static enum event_kind read_event(struct tap *t, struct jval root, const struct jnote *parts, struct fault *fault)
{
    (void)parts;
    struct jval type = jscan_find(root, "type"), response = jscan_find(root, "response");
    jval_int(jscan_find(root, "sequence_number"), &t->sequence);
    if (jval_is(type, "error") || !wire_is_nothing(jscan_find(root, "error"))) {
        struct jval error = jscan_find(root, "error");
        read_failure(error.kind == JSON_OBJECT ? error : root, fault);
        return EVENT_ERROR;
    }
    if (jval_is(type, "response.failed")) {
        read_ends(t, response);
        read_usage(t, jscan_find(response, "usage"));
        read_failure(jscan_find(response, "error"), fault);
        return EVENT_ERROR;
    }
    if (jval_is(type, "response.completed") || jval_is(type, "response.incomplete")) return take_end(t, response);
    if (jval_is(type, "response.output_item.done")) t->usage.searches += is_search(jscan_find(root, "item"));
    if (jval_is(type, "response.output_item.added")) return take_item(jscan_find(root, "item"));
    if (type.kind != JSON_STRING) return EVENT_GARBAGE;
    return take_other(t, root, (struct span){type.text.at + 1, type.text.len - 2});
}

static bool read_answer(struct tap *t, struct jval root, const struct jnote *parts, struct fault *fault)
{
    (void)parts;
    struct span key;
    struct jval item, output = jscan_find(root, "output"), error = jscan_find(root, "error");
    struct jiter it = jscan_iter(output);
    read_usage(t, jscan_find(root, "usage")); /* also of what is no answer: it was paid for */
    if (!wire_is_nothing(error)) read_failure(error, fault);
    if (!wire_is_nothing(error) || output.kind != JSON_ARRAY) return false;
    t->counts = !t->usage.known;
    read_ends(t, root);
    while (t->counts && jscan_next(&it, &key, &item)) t->delivered += written(item);
    wire_mark(t->seen, 0);
    wire_mark(t->finished, 0);
    return true;
}

const struct wire wire_responses = {NULL, read_event, read_answer, read_error};
