/* OpenAI's chat: chunks and plain answers (WIRE.md 1). */
#include "fcgi/provider/delta_write.h"

static const char *const chat_finishes[] = {
    [FINISH_STOP] = "stop", [FINISH_LENGTH] = "length", [FINISH_TOOLS] = "tool_calls", [FINISH_FILTER] = "content_filter",
};

static void chat_head(const struct delta_writer *w, const char *object, struct buf *out)
{
    put_quoted(out, "{\"id\":\"", w->id);
    put_quoted(out, "\",\"object\":\"", span_of(object));
    put_int(out, "\",\"created\":", w->created);
    put_quoted(out, ",\"model\":\"", w->model);
    buf_str(out, "\",\"choices\":[");
}

/* ---- chunks ---- */

static void chunk_begin(const struct delta_writer *w, int choice, struct buf *out)
{
    buf_str(out, "data: ");
    chat_head(w, "chat.completion.chunk", out);
    put_int(out, "{\"index\":", choice);
    buf_str(out, ",\"delta\":{");
}

static void chunk_end(const struct delta_writer *w, const char *finish, struct buf *out)
{
    buf_str(out, "},\"logprobs\":null,\"finish_reason\":");
    if (finish) put_quoted(out, "\"", span_of(finish)), buf_char(out, '"');
    else buf_str(out, "null");
    buf_str(out, w->target.wants_usage ? "}],\"usage\":null}\n\n" : "}]}\n\n");
}

static void chunk_role(struct delta_writer *w, int choice, struct buf *out)
{
    if (writer_is_marked(w->begun, choice)) return;
    writer_mark(w->begun, choice);
    chunk_begin(w, choice, out);
    buf_str(out, "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null");
    chunk_end(w, NULL, out);
}

static void chunk_text(const struct delta_writer *w, const char *name, const struct delta *d, struct buf *out)
{
    chunk_begin(w, d->choice, out);
    put_quoted(out, name, d->text);
    buf_char(out, '"');
    chunk_end(w, NULL, out);
}

static void chunk_tool(const struct delta_writer *w, const struct delta *d, struct buf *out)
{
    chunk_begin(w, d->choice, out);
    put_int(out, "\"tool_calls\":[{\"index\":", d->tool);
    buf_str(out, ",\"id\":\"");
    if (d->id.len) buf_span(out, d->id);
    else put_made_id(w, "call_", d->choice, d->tool, out);
    put_quoted(out, "\",\"type\":\"function\",\"function\":{\"name\":\"", d->name);
    buf_str(out, "\",\"arguments\":\"\"}}]");
    chunk_end(w, NULL, out);
}

static void chunk_arguments(const struct delta_writer *w, const struct delta *d, struct buf *out)
{
    chunk_begin(w, d->choice, out);
    put_int(out, "\"tool_calls\":[{\"index\":", d->tool);
    put_quoted(out, ",\"function\":{\"arguments\":\"", d->text);
    buf_str(out, "\"}}]");
    chunk_end(w, NULL, out);
}

static void chat_step(struct delta_writer *w, const struct delta *d, struct buf *out)
{
    if (d->kind == DELTA_START || d->kind == DELTA_SIGNATURE) return; /* chat has no place for a signature */
    chunk_role(w, d->choice, out);
    switch (d->kind) {
    case DELTA_TEXT: chunk_text(w, "\"content\":\"", d, out); break;
    case DELTA_REFUSAL: chunk_text(w, "\"refusal\":\"", d, out); break;
    case DELTA_REASONING: chunk_text(w, "\"reasoning_content\":\"", d, out); break;
    case DELTA_TOOL: chunk_tool(w, d, out); break;
    case DELTA_ARGUMENTS: chunk_arguments(w, d, out); break;
    case DELTA_FINISH:
        chunk_begin(w, d->choice, out);
        chunk_end(w, chat_finishes[d->finish], out);
        break;
    case DELTA_START: case DELTA_SIGNATURE: case DELTA_USAGE: break;
    }
}

static void chat_end(struct delta_writer *w, struct buf *out)
{
    if (w->target.wants_usage && w->usage.known) {
        buf_str(out, "data: ");
        chat_head(w, "chat.completion.chunk", out);
        buf_str(out, "],\"usage\":");
        put_usage(w, out);
        buf_str(out, "}\n\n");
    }
    buf_str(out, "data: [DONE]\n\n");
}

/* ---- plain ---- */

/* All texts of one kind in a choice, with `lead` before and a quote behind. False, and nothing: there are none. */
static bool chat_put_texts(const struct delta_writer *w, int choice, enum delta_kind kind, const char *lead, struct buf *out)
{
    bool any = false;
    for (int i = kept_first(w->kept, choice); i >= 0; i = kept_item(w->kept, i)->next) {
        const struct item *item = kept_item(w->kept, i);
        if (item->kind != kind || kept_is_empty(item->text)) continue;
        if (!any) buf_str(out, lead);
        any = true;
        kept_put(w->kept, item->text, out);
    }
    if (any) buf_char(out, '"');
    return any;
}

static bool chat_put_calls(const struct delta_writer *w, int choice, struct buf *out)
{
    bool any = false;
    for (int i = kept_first(w->kept, choice); i >= 0; i = kept_item(w->kept, i)->next) {
        const struct item *item = kept_item(w->kept, i);
        if (item->kind != DELTA_TOOL) continue;
        buf_str(out, any ? ",{\"id\":\"" : ",\"tool_calls\":[{\"id\":\"");
        any = true;
        put_call_id(w, item, out);
        buf_str(out, "\",\"type\":\"function\",\"function\":{\"name\":\"");
        kept_put(w->kept, item->name, out);
        buf_str(out, "\",\"arguments\":\"");
        kept_put(w->kept, item->text, out);
        buf_str(out, "\"}}");
    }
    if (any) buf_char(out, ']');
    return any;
}

/* content is null where there are calls or a refusal instead, as OpenAI has it. */
static void chat_put_message(const struct delta_writer *w, int choice, struct buf *out)
{
    buf_str(out, ",\"message\":{\"role\":\"assistant\"");
    bool spoke = chat_put_texts(w, choice, DELTA_TEXT, ",\"content\":\"", out);
    bool refused = chat_put_texts(w, choice, DELTA_REFUSAL, ",\"refusal\":\"", out);
    if (!refused) buf_str(out, ",\"refusal\":null");
    chat_put_texts(w, choice, DELTA_REASONING, ",\"reasoning_content\":\"", out);
    bool called = chat_put_calls(w, choice, out);
    if (!spoke) buf_str(out, called || refused ? ",\"content\":null" : ",\"content\":\"\"");
}

static void chat_whole(struct delta_writer *w, struct buf *out)
{
    bool any = false;
    chat_head(w, "chat.completion", out);
    for (int i = 0; i < BOUND_CHOICES; i++) {
        if (!writer_is_marked(w->seen, i)) continue;
        put_int(out, any ? ",{\"index\":" : "{\"index\":", i);
        any = true;
        chat_put_message(w, i, out);
        put_quoted(out, "},\"logprobs\":null,\"finish_reason\":\"", span_of(chat_finishes[w->finish[i]]));
        buf_str(out, "\"}");
    }
    buf_char(out, ']');
    if (w->usage.known) {
        buf_str(out, ",\"usage\":");
        put_usage(w, out);
    }
    buf_char(out, '}');
}

static void chat_error(struct delta_writer *w, struct span message, struct span type, struct span code, struct buf *out)
{
    (void)w;
    buf_str(out, "data: {\"error\":");
    put_error(message, type, code, out);
    buf_str(out, "}\n\n");
}

const struct face_writer delta_writes_chat = {
    .step = chat_step, .end = chat_end, .whole = chat_whole, .error = chat_error, .id_prefix = "chatcmpl-",
};
