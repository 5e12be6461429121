/* OpenAI's older completions: text alone (WIRE.md 1). Reasoning has no place in it; a refusal is all the text there is. */
#include "fcgi/provider/delta_write.h"

/* Calls are never asked for in this face. */
static const char *const completion_finishes[] = {
    [FINISH_STOP] = "stop", [FINISH_LENGTH] = "length", [FINISH_TOOLS] = "stop", [FINISH_FILTER] = "content_filter",
};

static bool is_text(enum delta_kind kind) { return kind == DELTA_TEXT || kind == DELTA_REFUSAL; }

static void completion_head(const struct delta_writer *w, struct buf *out)
{
    put_quoted(out, "{\"id\":\"", w->id);
    put_int(out, "\",\"object\":\"text_completion\",\"created\":", w->created);
    put_quoted(out, ",\"model\":\"", w->model);
    buf_str(out, "\",\"choices\":[");
}

static void completion_step(struct delta_writer *w, const struct delta *d, struct buf *out)
{
    bool ends = d->kind == DELTA_FINISH;
    if (!ends && !is_text(d->kind)) return;
    buf_str(out, "data: ");
    completion_head(w, out);
    put_quoted(out, "{\"text\":\"", d->text);
    put_int(out, "\",\"index\":", d->choice);
    buf_str(out, ",\"logprobs\":null,\"finish_reason\":");
    if (ends) put_quoted(out, "\"", span_of(completion_finishes[d->finish])), buf_char(out, '"');
    else buf_str(out, "null");
    buf_str(out, w->target.wants_usage ? "}],\"usage\":null}\n\n" : "}]}\n\n");
}

static void completion_end(struct delta_writer *w, struct buf *out)
{
    if (w->target.wants_usage && w->usage.known) {
        buf_str(out, "data: ");
        completion_head(w, out);
        buf_str(out, "],\"usage\":");
        put_usage(w, out);
        buf_str(out, "}\n\n");
    }
    buf_str(out, "data: [DONE]\n\n");
}

static void completion_whole(struct delta_writer *w, struct buf *out)
{
    bool any = false;
    completion_head(w, out);
    for (int choice = 0; choice < BOUND_CHOICES; choice++) {
        if (!writer_is_marked(w->seen, choice)) continue;
        buf_str(out, any ? ",{\"text\":\"" : "{\"text\":\"");
        any = true;
        for (int i = kept_first(w->kept, choice); i >= 0; i = kept_item(w->kept, i)->next)
            if (is_text(kept_item(w->kept, i)->kind)) kept_put(w->kept, kept_item(w->kept, i)->text, out);
        put_int(out, "\",\"index\":", choice);
        put_quoted(out, ",\"logprobs\":null,\"finish_reason\":\"", span_of(completion_finishes[w->finish[choice]]));
        buf_str(out, "\"}");
    }
    buf_char(out, ']');
    if (w->usage.known) {
        buf_str(out, ",\"usage\":");
        put_usage(w, out);
    }
    buf_char(out, '}');
}

static void completion_error(struct delta_writer *w, struct span message, struct span type, struct span code,
                             struct buf *out)
{
    (void)w;
    buf_str(out, "data: {\"error\":");
    put_error(message, type, code, out);
    buf_str(out, "}\n\n");
}

const struct face_writer delta_writes_completions = {
    .step = completion_step, .end = completion_end, .whole = completion_whole, .error = completion_error,
    .id_prefix = "cmpl-",
};
