/* OpenAI's responses: events in the order that the official helpers need, and the response object, which repeats some of
 * its request (WIRE.md 1). Each run of content is an output item of its own; item numbers are output indexes. */
#include "fcgi/provider/delta_write.h"

#include "fcgi/base/text.h"

/* ---- what is repeated of the request ---- */

/* The value that stands where the request has none: the API's own default. */
static const struct { const char *name, *absent; } echoed[] = {
    {"instructions", "null"}, {"max_output_tokens", "null"}, {"max_tool_calls", "null"}, {"metadata", "{}"},
    {"parallel_tool_calls", "true"}, {"previous_response_id", "null"}, {"prompt_cache_key", "null"},
    {"reasoning", "{\"effort\":null,\"summary\":null}"}, {"safety_identifier", "null"}, {"temperature", "1.0"},
    {"text", "{\"format\":{\"type\":\"text\"}}"}, {"tool_choice", "\"auto\""}, {"tools", "[]"}, {"top_logprobs", "0"},
    {"top_p", "1.0"}, {"truncation", "\"disabled\""}, {"user", "null"},
};
#define ECHO_COUNT (sizeof echoed / sizeof *echoed)

/* One walk over the request, which may be long: the first response object of the answer needs it, and all others. */
static const struct jval *echoes_of(struct delta_writer *w)
{
    struct span key;
    struct jval v;
    if (w->echoes) return w->echoes;
    w->echoes = arena_alloc(w->memory, ECHO_COUNT * sizeof *w->echoes);
    if (!w->echoes || !w->target.chat) return w->echoes;
    struct jiter it = jscan_iter(w->target.chat->root);
    while (jscan_next(&it, &key, &v))
        for (size_t i = 0; i < ECHO_COUNT; i++)
            if (jkey_is(key, echoed[i].name)) w->echoes[i] = v;
    return w->echoes;
}

static void put_echoes(struct delta_writer *w, struct buf *out)
{
    const struct jval *echoes = echoes_of(w);
    if (!echoes) {
        if (!out->err) out->err = WEIR_NOMEM;
        return;
    }
    for (size_t i = 0; i < ECHO_COUNT; i++) {
        put_quoted(out, ",\"", span_of(echoed[i].name));
        buf_str(out, "\":");
        if (echoes[i].kind == JSON_ABSENT || echoes[i].kind == JSON_NULL) buf_str(out, echoed[i].absent);
        else put_json(out, echoes[i].text);
    }
}

/* ---- items ---- */

static void put_item_id(const struct delta_writer *w, int i, struct buf *out)
{
    enum delta_kind kind = kept_item(w->kept, i)->kind;
    put_made_id(w, kind == DELTA_TOOL ? "fc_" : kind == DELTA_REASONING ? "rs_" : "msg_", -1, i, out);
}

/* The one part of an item's content or summary; still empty, or with all its text. */
static void put_part(const struct delta_writer *w, int i, bool filled, struct buf *out)
{
    const struct item *item = kept_item(w->kept, i);
    if (item->kind == DELTA_TEXT) buf_str(out, "{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"");
    else if (item->kind == DELTA_REFUSAL) buf_str(out, "{\"type\":\"refusal\",\"refusal\":\"");
    else buf_str(out, "{\"type\":\"summary_text\",\"text\":\"");
    if (filled) kept_put(w->kept, item->text, out);
    buf_str(out, "\"}");
}

static void put_call(const struct delta_writer *w, const struct item *item, bool filled, struct buf *out)
{
    buf_str(out, ",\"call_id\":\"");
    put_call_id(w, item, out);
    buf_str(out, "\",\"name\":\"");
    kept_put(w->kept, item->name, out);
    buf_str(out, "\",\"arguments\":\"");
    if (filled) kept_put(w->kept, item->text, out);
    buf_str(out, "\"}");
}

/* What makes reasoning believed goes where the API has its own such proof, to come back in the next request's input. */
static void put_reasoning(const struct delta_writer *w, int i, bool filled, struct buf *out)
{
    const struct item *item = kept_item(w->kept, i);
    buf_str(out, ",\"summary\":[");
    if (filled && !kept_is_empty(item->text)) put_part(w, i, true, out);
    buf_char(out, ']');
    if (filled && !kept_is_empty(item->signature)) {
        buf_str(out, ",\"encrypted_content\":\"");
        kept_put(w->kept, item->signature, out);
        buf_char(out, '"');
    }
    buf_char(out, '}');
}

static void put_item(const struct delta_writer *w, int i, bool filled, struct buf *out)
{
    const struct item *item = kept_item(w->kept, i);
    const char *status = !filled ? "in_progress" : item->cut ? "incomplete" : "completed";
    buf_str(out, "{\"id\":\"");
    put_item_id(w, i, out);
    if (item->kind == DELTA_REASONING) buf_str(out, "\",\"type\":\"reasoning\"");
    else put_quoted(out, item->kind == DELTA_TOOL ? "\",\"type\":\"function_call\",\"status\":\""
                                                  : "\",\"type\":\"message\",\"role\":\"assistant\",\"status\":\"",
                    span_of(status)), buf_char(out, '"');
    if (item->kind == DELTA_TOOL) {
        put_call(w, item, filled, out);
    } else if (item->kind == DELTA_REASONING) {
        put_reasoning(w, i, filled, out);
    } else {
        buf_str(out, ",\"content\":[");
        if (filled) put_part(w, i, true, out);
        buf_str(out, "]}");
    }
}

/* ---- the response object ---- */

static void put_response_usage(const struct delta_writer *w, struct buf *out)
{
    const struct usage *u = &w->usage;
    put_int(out, "{\"input_tokens\":", u->prompt);
    put_int(out, ",\"input_tokens_details\":{\"cached_tokens\":", u->cached);
    put_int(out, ",\"cache_write_tokens\":", u->cache_write);
    put_int(out, "},\"output_tokens\":", u->completion);
    put_int(out, ",\"output_tokens_details\":{\"reasoning_tokens\":", w->reasoning);
    put_int(out, "},\"total_tokens\":", u->prompt + u->completion);
    buf_char(out, '}');
}

static bool is_incomplete(const struct delta_writer *w)
{
    return w->finish[0] == FINISH_LENGTH || w->finish[0] == FINISH_FILTER;
}

/* How a response stands: begun, at its end, or failed with error (a JSON object). */
enum stand { STANDS_BEGUN, STANDS_ENDED, STANDS_FAILED };

static void put_response(struct delta_writer *w, enum stand stand, struct span error, struct buf *out)
{
    bool incomplete = stand == STANDS_ENDED && is_incomplete(w);
    const char *status = stand == STANDS_BEGUN ? "in_progress" : stand == STANDS_FAILED ? "failed"
                       : incomplete ? "incomplete" : "completed";
    put_quoted(out, "{\"id\":\"", w->id);
    put_int(out, "\",\"object\":\"response\",\"created_at\":", w->created);
    put_quoted(out, ",\"status\":\"", span_of(status));
    put_quoted(out, "\",\"model\":\"", w->model);
    put_quoted(out, "\",\"background\":false,\"store\":false,\"error\":", error.at ? error : SPAN("null"));
    buf_str(out, ",\"incomplete_details\":");
    if (incomplete) put_quoted(out, "{\"reason\":\"", w->finish[0] == FINISH_LENGTH ? SPAN("max_output_tokens\"}")
                                                                                    : SPAN("content_filter\"}"));
    else buf_str(out, "null");
    buf_str(out, ",\"output\":[");
    for (int i = 0; stand != STANDS_BEGUN && i < kept_count(w->kept); i++) {
        if (i) buf_char(out, ',');
        put_item(w, i, true, out);
    }
    buf_char(out, ']');
    put_echoes(w, out);
    buf_str(out, ",\"usage\":");
    if (stand == STANDS_ENDED && w->usage.known) put_response_usage(w, out);
    else buf_str(out, "null");
    buf_char(out, '}');
}

/* ---- events ---- */

static void event_begins(struct delta_writer *w, const char *type, struct buf *out)
{
    put_quoted(out, "event: ", span_of(type));
    put_quoted(out, "\ndata: {\"type\":\"", span_of(type));
    put_int(out, "\",\"sequence_number\":", w->sequence++);
}

static void response_event(struct delta_writer *w, const char *type, enum stand stand, struct span error, struct buf *out)
{
    event_begins(w, type, out);
    buf_str(out, ",\"response\":");
    put_response(w, stand, error, out);
    buf_str(out, "}\n\n");
}

static void item_event(struct delta_writer *w, const char *type, int i, bool filled, struct buf *out)
{
    event_begins(w, type, out);
    put_int(out, ",\"output_index\":", i);
    buf_str(out, ",\"item\":");
    put_item(w, i, filled, out);
    buf_str(out, "}\n\n");
}

/* The names of the events that one kind of item has, and of their members. */
static const struct item_words {
    const char *part_added, *part_done; /* NULL: it has no part */
    const char *delta, *done;
    const char *place;                  /* where in the item */
    const char *piece, *whole;          /* the last member of `delta`, of `done` */
} words[] = {
    [DELTA_TEXT] = {"response.content_part.added", "response.content_part.done", "response.output_text.delta",
                    "response.output_text.done", ",\"content_index\":0", ",\"logprobs\":[],\"delta\":\"",
                    ",\"logprobs\":[],\"text\":\""},
    [DELTA_REFUSAL] = {"response.content_part.added", "response.content_part.done", "response.refusal.delta",
                       "response.refusal.done", ",\"content_index\":0", ",\"delta\":\"", ",\"refusal\":\""},
    [DELTA_REASONING] = {"response.reasoning_summary_part.added", "response.reasoning_summary_part.done",
                         "response.reasoning_summary_text.delta", "response.reasoning_summary_text.done",
                         ",\"summary_index\":0", ",\"delta\":\"", ",\"text\":\""},
    [DELTA_TOOL] = {NULL, NULL, "response.function_call_arguments.delta", "response.function_call_arguments.done", "",
                    ",\"delta\":\"", ",\"arguments\":\""},
};

static const struct item_words *words_of(const struct delta_writer *w, int i) { return &words[kept_item(w->kept, i)->kind]; }

static void within_begins(struct delta_writer *w, const char *type, int i, struct buf *out)
{
    event_begins(w, type, out);
    buf_str(out, ",\"item_id\":\"");
    put_item_id(w, i, out);
    put_int(out, "\",\"output_index\":", i);
    buf_str(out, words_of(w, i)->place);
}

static void part_event(struct delta_writer *w, const char *type, int i, bool filled, struct buf *out)
{
    within_begins(w, type, i, out);
    buf_str(out, ",\"part\":");
    put_part(w, i, filled, out);
    buf_str(out, "}\n\n");
}

static void item_starts(struct delta_writer *w, const struct delta *d, int i, struct buf *out)
{
    item_event(w, "response.output_item.added", i, false, out);
    if (words_of(w, i)->part_added && d->kind != DELTA_SIGNATURE) part_event(w, words_of(w, i)->part_added, i, false, out);
}

static void item_ends(struct delta_writer *w, int i, struct buf *out)
{
    const struct item *item = kept_item(w->kept, i);
    const struct item_words *say = words_of(w, i);
    if (item->kind == DELTA_TOOL || !kept_is_empty(item->text)) {
        within_begins(w, say->done, i, out);
        if (item->kind == DELTA_TOOL) {
            buf_str(out, ",\"name\":\"");
            kept_put(w->kept, item->name, out);
            buf_char(out, '"');
        }
        buf_str(out, say->whole);
        kept_put(w->kept, item->text, out);
        buf_str(out, "\"}\n\n");
        if (say->part_done) part_event(w, say->part_done, i, true, out);
    }
    item_event(w, "response.output_item.done", i, true, out);
}

static void responses_start(struct delta_writer *w, struct buf *out)
{
    response_event(w, "response.created", STANDS_BEGUN, SPAN_NONE, out);
    response_event(w, "response.in_progress", STANDS_BEGUN, SPAN_NONE, out);
}

static void responses_content(struct delta_writer *w, const struct delta *d, struct buf *out)
{
    bool fresh;
    int older, i = kept_take(w->kept, d, &fresh);
    if (i < 0) return;
    if (fresh) {
        while ((older = kept_close(w->kept, i, false)) >= 0) item_ends(w, older, out);
        item_starts(w, d, i, out);
    }
    if (d->kind == DELTA_TOOL || d->kind == DELTA_SIGNATURE) return;
    within_begins(w, words_of(w, i)->delta, i, out);
    put_quoted(out, words_of(w, i)->piece, d->text);
    buf_str(out, "\"}\n\n");
}

static void responses_finish(struct delta_writer *w, struct buf *out)
{
    int i;
    while ((i = kept_close(w->kept, 0, true)) >= 0) {
        kept_item(w->kept, i)->cut = is_incomplete(w);
        item_ends(w, i, out);
    }
}

static void responses_step(struct delta_writer *w, const struct delta *d, struct buf *out)
{
    if (d->kind == DELTA_START) responses_start(w, out);
    else if (d->kind == DELTA_FINISH) responses_finish(w, out);
    else responses_content(w, d, out);
}

static void responses_end(struct delta_writer *w, struct buf *out)
{
    response_event(w, is_incomplete(w) ? "response.incomplete" : "response.completed", STANDS_ENDED, SPAN_NONE, out);
}

static void responses_whole(struct delta_writer *w, struct buf *out)
{
    int last = kept_count(w->kept) - 1;
    if (last >= 0) kept_item(w->kept, last)->cut = is_incomplete(w);
    put_response(w, STANDS_ENDED, SPAN_NONE, out);
}

/* The response has failed, for those who follow the events; then what makes the SDKs raise, which look for `error`. */
static void responses_error(struct delta_writer *w, struct span message, struct span type, struct span code, struct buf *out)
{
    struct buf error;
    int i;
    buf_init(&error, BOUND_SSE_EVENT);
    while ((i = kept_close(w->kept, 0, true)) >= 0) kept_item(w->kept, i)->cut = true;
    buf_str(&error, span_is(code, "rate_limit_exceeded") ? "{\"code\":\"rate_limit_exceeded\",\"message\":"
                                                         : "{\"code\":\"server_error\",\"message\":");
    json_string(&error, message);
    buf_char(&error, '}');
    if (error.err && !out->err) out->err = error.err;
    if (w->started) response_event(w, "response.failed", STANDS_FAILED, buf_all(&error), out);
    buf_free(&error);
    event_begins(w, "error", out);
    buf_str(out, ",\"message\":");
    json_string(out, message);
    buf_str(out, ",\"param\":null,\"code\":");
    json_string(out, code);
    buf_str(out, ",\"error\":");
    put_error(message, type, code, out);
    buf_str(out, "}\n\n");
}

const struct face_writer delta_writes_responses = {
    .step = responses_step, .end = responses_end, .whole = responses_whole, .error = responses_error, .id_prefix = "resp_",
    .one_choice = true, .reasoning_if_wanted = true, .keeps_items = true, .keeps_texts = true,
};
