/* Anthropic's answers and events. Blocks are known by their number; only those that are tool calls must be remembered.
 * Blocks of tools that Anthropic runs itself, and thinking it keeps to itself, have no place in other faces. */
#include "fcgi/provider/delta_read.h"

/* ---- usage and stop reason ---- */

/* Anthropic's input_tokens exclude the cache, and its figures are running totals (WIRE.md 2). */
static void messages_usage(struct delta_reader *r, struct jval v)
{
    struct span key;
    struct jval n;
    struct jiter it = jscan_iter(v);
    while (v.kind == JSON_OBJECT && jscan_next(&it, &key, &n)) {
        if (jkey_is(key, "input_tokens")) delta_tokens(n, &r->input);
        else if (jkey_is(key, "output_tokens")) delta_tokens(n, &r->output);
        else if (jkey_is(key, "cache_creation_input_tokens")) delta_tokens(n, &r->cache_write);
        else if (jkey_is(key, "cache_read_input_tokens")) delta_tokens(n, &r->cache_read);
        else if (jkey_is(key, "output_tokens_details")) delta_tokens(jscan_find(n, "thinking_tokens"), &r->reasoning);
    }
    if (r->input < 0) return;
    int64_t written = r->cache_write > 0 ? r->cache_write : 0, read = r->cache_read > 0 ? r->cache_read : 0;
    r->usage = (struct usage){.known = true, .prompt = r->input + written + read, .cached = read, .cache_write = written,
                              .completion = r->output > 0 ? r->output : 0};
    if (r->reasoning > r->usage.completion) r->reasoning = 0;
}

static void messages_stop(struct delta_reader *r, struct jval reason, struct jval sequence)
{
    enum finish finish = FINISH_STOP;
    if (reason.kind != JSON_STRING) return;
    if (jval_is(reason, "max_tokens") || jval_is(reason, "model_context_window_exceeded")) finish = FINISH_LENGTH;
    else if (jval_is(reason, "tool_use")) finish = FINISH_TOOLS;
    else if (jval_is(reason, "refusal")) finish = FINISH_FILTER;
    r->finish[0] = (int8_t)finish;
    struct span stop = delta_quoted(sequence);
    if (!stop.at || r->stop.at) return;
    r->stop.at = arena_str(r->memory, stop);
    r->stop.len = r->stop.at ? stop.len : 0;
}

static void messages_start(struct delta_reader *r, struct jval message)
{
    messages_usage(r, jscan_find(message, "usage"));
    delta_mark(r->seen, 0);
    delta_give_start(r, jscan_find(message, "id"), jscan_find(message, "model"), 0);
}

/* ---- blocks ---- */

/* `input` as arguments; an object without members says nothing yet: what it will be comes in deltas. */
static bool messages_input(struct delta_reader *r, int tool, struct jval input)
{
    return jscan_count(input) > 0 && delta_give_arguments(r, 0, tool, input);
}

static void messages_empty_input(struct delta_reader *r, int tool)
{
    delta_give_arguments(r, 0, tool, (struct jval){JSON_OBJECT, SPAN("{}")});
}

/* What a block holds as it stands; tool: the number it would have. True if it is a tool's call. */
static bool messages_block(struct delta_reader *r, struct jval block, int tool)
{
    struct jval type = jscan_find(block, "type");
    if (jval_is(type, "tool_use")) {
        delta_give_tool(r, 0, tool, jscan_find(block, "id"), jscan_find(block, "name"));
        return true;
    }
    if (jval_is(type, "text")) delta_give_text(r, DELTA_TEXT, 0, 0, jscan_find(block, "text"));
    if (jval_is(type, "thinking")) {
        delta_give_text(r, DELTA_REASONING, 0, 0, jscan_find(block, "thinking"));
        delta_give_text(r, DELTA_SIGNATURE, 0, 0, jscan_find(block, "signature"));
    }
    return false;
}

static void messages_block_start(struct delta_reader *r, int64_t index, struct jval block)
{
    if (!jval_is(jscan_find(block, "type"), "tool_use")) {
        messages_block(r, block, 0);
        return;
    }
    struct known_call *call = delta_note_call(r, 0, index, 0);
    if (!call) return;
    messages_block(r, block, call->number);
    call->has_arguments = messages_input(r, call->number, jscan_find(block, "input"));
}

static struct known_call *messages_call(struct delta_reader *r, int64_t index)
{
    for (int i = r->call_count - 1; i >= 0; i--)
        if (r->calls[i].index == index) return &r->calls[i];
    return NULL;
}

static void messages_block_delta(struct delta_reader *r, int64_t index, struct jval delta)
{
    struct jval type = jscan_find(delta, "type");
    if (jval_is(type, "text_delta")) delta_give_text(r, DELTA_TEXT, 0, 0, jscan_find(delta, "text"));
    else if (jval_is(type, "thinking_delta")) delta_give_text(r, DELTA_REASONING, 0, 0, jscan_find(delta, "thinking"));
    else if (jval_is(type, "signature_delta")) delta_give_text(r, DELTA_SIGNATURE, 0, 0, jscan_find(delta, "signature"));
    if (!jval_is(type, "input_json_delta")) return;
    struct known_call *call = messages_call(r, index);
    if (call) call->has_arguments |= delta_give_arguments(r, 0, call->number, jscan_find(delta, "partial_json"));
}

/* Callers of OpenAI's faces parse the arguments whatever they are: none at all are an empty object. */
static void messages_block_stop(struct delta_reader *r, int64_t index)
{
    struct known_call *call = messages_call(r, index);
    if (!call || call->has_arguments) return;
    call->has_arguments = true;
    messages_empty_input(r, call->number);
}

/* ---- events and answers ---- */

static void messages_event(struct delta_reader *r, struct jval root)
{
    struct jval type = jscan_find(root, "type");
    int64_t index = 0;
    if (jval_is(type, "message_start")) {
        messages_start(r, jscan_find(root, "message"));
        return;
    }
    bool begins = jval_is(type, "content_block_start"), goes_on = jval_is(type, "content_block_delta");
    bool stops = jval_is(type, "content_block_stop"), ends = jval_is(type, "message_delta");
    if (!begins && !goes_on && !stops && !ends) return;
    if (!r->started) messages_start(r, (struct jval){.kind = JSON_ABSENT});
    jval_int(jscan_find(root, "index"), &index);
    if (begins) messages_block_start(r, index, jscan_find(root, "content_block"));
    else if (goes_on) messages_block_delta(r, index, jscan_find(root, "delta"));
    else if (stops) messages_block_stop(r, index);
    if (!ends) return;
    struct jval delta = jscan_find(root, "delta");
    messages_usage(r, jscan_find(root, "usage"));
    messages_stop(r, jscan_find(delta, "stop_reason"), jscan_find(delta, "stop_sequence"));
}

static bool messages_answer(struct delta_reader *r, struct jval root)
{
    struct span key;
    struct jval block, content = jscan_find(root, "content");
    int tool = 0;
    if (!jval_is(jscan_find(root, "type"), "message") || content.kind != JSON_ARRAY) return false;
    messages_start(r, root);
    struct jiter it = jscan_iter(content);
    while (jscan_next(&it, &key, &block)) {
        if (!messages_block(r, block, tool)) continue;
        if (!messages_input(r, tool, jscan_find(block, "input"))) messages_empty_input(r, tool);
        tool++;
    }
    messages_stop(r, jscan_find(root, "stop_reason"), jscan_find(root, "stop_sequence"));
    return true;
}

const struct face_reader delta_reads_messages = {messages_event, messages_answer};
