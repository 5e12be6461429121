/* The wire of Anthropic's messages (WIRE.md 2): one choice, usage told in two parts, events that name their type. */
#include "fcgi/provider/tap_wire.h"

/* ---- usage ---- */

/* A count that was told again. 0 takes nothing back: proxies restate so what they do not know. */
static bool restated(struct jval v, int64_t *out)
{
    int64_t n;
    if (!wire_tokens(v, &n)) return false;
    if (n) *out = n;
    return true;
}

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* Several samplings behind one answer (a conversation made shorter first, say): the whole of them may be told here alone. */
static void add_iterations(struct jval list, int64_t *input, struct usage *u)
{
    struct { const char *name; int64_t sum, n; } all[] = {
        {"input_tokens", 0, 0}, {"output_tokens", 0, 0}, {"cache_read_input_tokens", 0, 0},
        {"cache_creation_input_tokens", 0, 0},
    };
    struct span key;
    struct jval one;
    struct jiter it = jscan_iter(list);
    while (jscan_next(&it, &key, &one))
        for (int i = 0; i < 4; i++)
            if (wire_tokens(jscan_find(one, all[i].name), &all[i].n) && all[i].sum <= WIRE_TOKENS_MOST)
                all[i].sum += all[i].n;
    *input = most(*input, all[0].sum);
    u->completion = most(u->completion, all[1].sum);
    u->cached = most(u->cached, all[2].sum);
    u->cache_write = most(u->cache_write, all[3].sum);
}

/* What is told overrides what was; message_delta may repeat only some of it. Anthropic's input excludes what the cache
 * had and took; here the prompt is all three. Sums that are nonsense change nothing. */
static void read_usage(struct tap *t, struct jval v)
{
    struct usage u = t->usage;
    int64_t input = u.prompt - u.cached - u.cache_write;
    if (v.kind != JSON_OBJECT) return;
    u.known |= restated(jscan_find(v, "input_tokens"), &input);
    u.known |= restated(jscan_find(v, "output_tokens"), &u.completion);
    restated(jscan_find(v, "cache_read_input_tokens"), &u.cached);
    restated(jscan_find(v, "cache_creation_input_tokens"), &u.cache_write);
    restated(jscan_find(jscan_find(v, "cache_creation"), "ephemeral_1h_input_tokens"), &u.cache_write_1h);
    restated(jscan_find(jscan_find(v, "server_tool_use"), "web_search_requests"), &u.searches);
    add_iterations(jscan_find(v, "iterations"), &input, &u);
    u.prompt = input + u.cached + u.cache_write;
    wire_tier(t, jscan_find(v, "service_tier"));
    if (u.known && u.prompt <= WIRE_TOKENS_MOST) t->usage = u;
}

/* ---- content ---- */

static bool starts_content(struct jval block)
{
    static const char *const empty[] = {"text", "thinking"};
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++)
        if (jval_is(jscan_find(block, "type"), empty[i])) return !wire_is_nothing(jscan_find(block, empty[i]));
    return block.kind == JSON_OBJECT; /* a tool's call, a search's result: whatever it is, the caller is to see it */
}

/* Signatures and encrypted thoughts are no text that was written. */
static int64_t written(struct jval part)
{
    static const char *const names[] = {"text", "partial_json", "thinking", "input"};
    int64_t n = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) n += wire_all_characters(jscan_find(part, names[i]));
    return n;
}

static void finish(struct tap *t, struct jval reason)
{
    if (reason.kind != JSON_STRING || reason.text.len <= 2) return;
    wire_ended(t, reason);
    wire_mark(t->seen, 0);
    wire_mark(t->finished, 0);
}

/* ---- errors ---- */

static bool read_error(struct tap *t, struct jval root, struct fault *fault)
{
    struct jval error = jscan_find(root, "error"), message = jscan_find(error, "message"), type = jscan_find(error, "type");
    read_usage(t, jscan_find(root, "usage"));
    if (error.kind != JSON_OBJECT) { /* a proxy's, in whatever form */
        wire_chat.read_error(t, root, fault);
        return false;
    }
    wire_copy(message, fault->message, sizeof fault->message);
    wire_copy(type, fault->type, sizeof fault->type);
    return jval_is(jscan_find(root, "type"), "error") && message.kind == JSON_STRING && type.kind == JSON_STRING;
}

/* ---- events and answers ---- */

static enum event_kind take_start(struct tap *t, struct jval root)
{
    struct jval message = jscan_find(root, "message");
    read_usage(t, jscan_find(message, "usage"));
    t->usage_is_running = t->usage.known;
    wire_mark(t->seen, 0);
    return EVENT_HEAD;
}

/* Searches are told at the end alone: who leaves before that has had them. One that failed costs nothing. */
static bool is_found(struct jval block)
{
    return jval_is(jscan_find(block, "type"), "web_search_tool_result") && jscan_find(block, "content").kind == JSON_ARRAY;
}

static enum event_kind take_block(struct tap *t, struct jval root)
{
    struct jval block = jscan_find(root, "content_block");
    t->usage.searches += is_found(block);
    if (!starts_content(block)) return EVENT_HEAD;
    if (t->counts) t->delivered += written(block);
    return EVENT_CONTENT;
}

static enum event_kind take_delta(struct tap *t, struct jval root)
{
    if (t->counts) t->delivered += written(jscan_find(root, "delta"));
    return EVENT_CONTENT;
}

static enum event_kind take_end(struct tap *t, struct jval root)
{
    struct jval usage = jscan_find(root, "usage");
    read_usage(t, usage);
    if (jscan_find(usage, "output_tokens").kind == JSON_NUMBER) t->usage_is_running = false;
    finish(t, jscan_find(jscan_find(root, "delta"), "stop_reason"));
    return EVENT_CONTENT;
}

static enum event_kind take_stop(struct tap *t, struct jval root)
{
    (void)root;
    t->done = true;
    return EVENT_DONE;
}

static enum event_kind read_event(struct tap *t, struct jval root, const struct jnote *parts, struct fault *fault)
{
    (void)parts;
    static const struct { const char *type; enum event_kind (*take)(struct tap *t, struct jval root); } events[] = {
        {"content_block_delta", take_delta}, {"content_block_start", take_block}, {"message_start", take_start},
        {"message_delta", take_end}, {"message_stop", take_stop},
    };
    struct jval type = jscan_find(root, "type");
    if (jval_is(type, "error") || (type.kind != JSON_STRING && !wire_is_nothing(jscan_find(root, "error")))) {
        read_error(t, root, fault);
        return EVENT_ERROR;
    }
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (jval_is(type, events[i].type)) return events[i].take(t, root);
    return type.kind == JSON_STRING ? EVENT_HEAD : EVENT_GARBAGE; /* ping, content_block_stop, what is to come */
}

static bool read_answer(struct tap *t, struct jval root, const struct jnote *parts, struct fault *fault)
{
    (void)parts;
    struct span key;
    struct jval block, content = jscan_find(root, "content");
    struct jiter it = jscan_iter(content);
    read_usage(t, jscan_find(root, "usage")); /* also of what is no answer: it was paid for */
    if (!wire_is_nothing(jscan_find(root, "error"))) read_error(t, root, fault);
    if (!jval_is(jscan_find(root, "type"), "message") || content.kind != JSON_ARRAY) return false;
    t->counts = !t->usage.known;
    while (t->counts && jscan_next(&it, &key, &block)) t->delivered += written(block);
    wire_mark(t->seen, 0);
    finish(t, jscan_find(root, "stop_reason"));
    return true;
}

const struct wire wire_messages = {NULL, read_event, read_answer, read_error};
