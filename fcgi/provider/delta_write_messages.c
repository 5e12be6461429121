/* Anthropic's messages: events and plain answers (WIRE.md 2). A refusal's words are a text of their own, and the stop
 * reason says what they are. */
#include "fcgi/provider/delta_write.h"

#include "fcgi/base/text.h"

/* An answer is read again with BOUND_JSON_DEPTH; input stands three levels deep in it. */
#define INPUT_DEPTH (BOUND_JSON_DEPTH - 3)

static const char *stop_reason(const struct delta_writer *w)
{
    switch (w->finish[0]) {
    case FINISH_LENGTH: return "max_tokens";
    case FINISH_TOOLS: return "tool_use";
    case FINISH_FILTER: return "refusal";
    case FINISH_STOP: break;
    }
    if (w->refused) return "refusal";
    return w->stop.len ? "stop_sequence" : "end_turn";
}

static void put_stop(const struct delta_writer *w, struct buf *out)
{
    put_quoted(out, "\"stop_reason\":\"", span_of(stop_reason(w)));
    buf_str(out, "\",\"stop_sequence\":");
    if (w->stop.len) put_quoted(out, "\"", w->stop), buf_char(out, '"');
    else buf_str(out, "null");
}

/* Anthropic counts what the cache had apart; what is not known is 0. */
static void put_message_usage(const struct delta_writer *w, struct buf *out)
{
    const struct usage *u = &w->usage;
    put_int(out, "\"usage\":{\"input_tokens\":", u->prompt - u->cached - u->cache_write);
    put_int(out, ",\"cache_creation_input_tokens\":", u->cache_write);
    put_int(out, ",\"cache_read_input_tokens\":", u->cached);
    put_int(out, ",\"output_tokens\":", u->completion);
    put_int(out, ",\"output_tokens_details\":{\"thinking_tokens\":", w->reasoning);
    buf_str(out, "}}");
}

static void put_message_head(const struct delta_writer *w, struct buf *out)
{
    put_quoted(out, "{\"id\":\"", w->id);
    put_quoted(out, "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"", w->model);
    buf_str(out, "\",\"content\":[");
}

/* ---- events ---- */

static void block_event(const char *type, int index, struct buf *out)
{
    put_quoted(out, "event: ", span_of(type));
    put_quoted(out, "\ndata: {\"type\":\"", span_of(type));
    put_int(out, "\",\"index\":", index);
}

static void block_stops(int index, struct buf *out)
{
    block_event("content_block_stop", index, out);
    buf_str(out, "}\n\n");
}

static void block_starts(const struct delta_writer *w, const struct delta *d, int index, struct buf *out)
{
    block_event("content_block_start", index, out);
    switch (d->kind) {
    case DELTA_TOOL:
        buf_str(out, ",\"content_block\":{\"type\":\"tool_use\",\"id\":\"");
        if (d->id.len) buf_span(out, d->id);
        else put_made_id(w, "call_", d->choice, d->tool, out);
        put_quoted(out, "\",\"name\":\"", d->name);
        buf_str(out, "\",\"input\":{}}}\n\n");
        break;
    case DELTA_REASONING: case DELTA_SIGNATURE:
        buf_str(out, ",\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n");
        break;
    default:
        buf_str(out, ",\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n");
    }
}

static void block_goes_on(const struct delta *d, int index, struct buf *out)
{
    const char *lead = ",\"delta\":{\"type\":\"text_delta\",\"text\":\"";
    if (d->kind == DELTA_ARGUMENTS) lead = ",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"";
    else if (d->kind == DELTA_REASONING) lead = ",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"";
    else if (d->kind == DELTA_SIGNATURE) lead = ",\"delta\":{\"type\":\"signature_delta\",\"signature\":\"";
    block_event("content_block_delta", index, out);
    put_quoted(out, lead, d->text);
    buf_str(out, "\"}}\n\n");
}

static void message_starts(const struct delta_writer *w, struct buf *out)
{
    buf_str(out, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":");
    put_message_head(w, out);
    buf_str(out, "],\"stop_reason\":null,\"stop_sequence\":null,");
    put_message_usage(w, out);
    buf_str(out, "}}\n\n");
}

static void message_step(struct delta_writer *w, const struct delta *d, struct buf *out)
{
    bool fresh;
    int older;
    if (d->kind == DELTA_START) message_starts(w, out);
    if (d->kind == DELTA_FINISH)
        while ((older = kept_close(w->kept, 0, true)) >= 0) block_stops(older, out);
    if (d->kind == DELTA_START || d->kind == DELTA_FINISH) return;
    int index = kept_take(w->kept, d, &fresh);
    if (index < 0) return;
    if (fresh) {
        while ((older = kept_close(w->kept, index, false)) >= 0) block_stops(older, out);
        block_starts(w, d, index, out);
    }
    if (d->kind != DELTA_TOOL) block_goes_on(d, index, out);
}

static void message_end(struct delta_writer *w, struct buf *out)
{
    buf_str(out, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{");
    put_stop(w, out);
    buf_str(out, "},");
    put_message_usage(w, out);
    buf_str(out, "}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
}

static void message_error(struct delta_writer *w, struct span message, struct span type, struct span code, struct buf *out)
{
    (void)code; /* Anthropic's errors have a type alone */
    buf_str(out, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":");
    json_string(out, type);
    buf_str(out, ",\"message\":");
    json_string(out, message);
    buf_str(out, "},\"request_id\":");
    json_string(out, span_of(w->target.request_id));
    buf_str(out, "}\n\n");
}

/* ---- plain ---- */

static bool is_object(struct span text, struct jval *root)
{
    struct jfault bad;
    return jscan_check(text, INPUT_DEPTH, root, &bad) == WEIR_OK && root->kind == JSON_OBJECT;
}

/* Arguments as the object that Anthropic has. What is no object is not lost: it stands as a string under arguments_text. */
static void put_input(const struct delta_writer *w, struct kept_text arguments, struct buf *out)
{
    struct buf quoted, meant;
    struct jval root;
    buf_init(&quoted, BOUND_ANSWER);
    buf_init(&meant, BOUND_ANSWER);
    buf_char(&quoted, '"');
    kept_put(w->kept, arguments, &quoted);
    buf_char(&quoted, '"');
    jval_string((struct jval){JSON_STRING, buf_all(&quoted)}, &meant);
    if (quoted.err || meant.err) {
        if (!out->err) out->err = quoted.err ? quoted.err : meant.err;
    } else if (is_object(buf_all(&meant), &root)) {
        put_json(out, root.text);
    } else if (strspn(buf_cstr(&meant), " \t\r\n") == meant.len) {
        buf_str(out, "{}");
    } else {
        put_quoted(out, "{\"arguments_text\":", buf_all(&quoted));
        buf_char(out, '}');
    }
    buf_free(&quoted);
    buf_free(&meant);
}

static void put_block(const struct delta_writer *w, const struct item *item, struct buf *out)
{
    switch (item->kind) {
    case DELTA_TOOL:
        buf_str(out, "{\"type\":\"tool_use\",\"id\":\"");
        put_call_id(w, item, out);
        buf_str(out, "\",\"name\":\"");
        kept_put(w->kept, item->name, out);
        buf_str(out, "\",\"input\":");
        put_input(w, item->text, out);
        buf_char(out, '}');
        break;
    case DELTA_REASONING:
        buf_str(out, "{\"type\":\"thinking\",\"thinking\":\"");
        kept_put(w->kept, item->text, out);
        buf_str(out, "\",\"signature\":\"");
        kept_put(w->kept, item->signature, out);
        buf_str(out, "\"}");
        break;
    default:
        buf_str(out, "{\"type\":\"text\",\"text\":\"");
        kept_put(w->kept, item->text, out);
        buf_str(out, "\"}");
    }
}

static void message_whole(struct delta_writer *w, struct buf *out)
{
    put_message_head(w, out);
    for (int i = kept_first(w->kept, 0); i >= 0; i = kept_item(w->kept, i)->next) {
        if (i != kept_first(w->kept, 0)) buf_char(out, ',');
        put_block(w, kept_item(w->kept, i), out);
    }
    buf_str(out, "],");
    put_stop(w, out);
    buf_char(out, ',');
    put_message_usage(w, out);
    buf_char(out, '}');
}

const struct face_writer delta_writes_messages = {
    .step = message_step, .end = message_end, .whole = message_whole, .error = message_error, .id_prefix = "msg_",
    .one_choice = true, .reasoning_if_wanted = true, .keeps_items = true,
};
