/* Retelling. Four ways: bytes as they are; the same without a usage chunk that this caller did not ask for; responses, whose
 * two forms hold each other; and everything else through the model of answers (delta.h). */
#include "fcgi/stage/retell.h"

#include "fcgi/base/sse.h"
#include "fcgi/provider/delta.h"
#include "fcgi/provider/response_events.h"
#include "fcgi/stage/answer.h"

#define FEED (64 << 10) /* bytes of a stream taken apart at once */

struct retelling {
    const struct chat *chat;
    const char *request_id;
    struct keep_form form;
    enum way { AS_IT_IS, BUT_USAGE, RESPONSE_TO_PLAIN, RESPONSE_TO_STREAM, THROUGH_MODEL } way;
    struct sse sse;
    struct tap tap;
    struct delta_reader *reader;
    struct delta_writer *writer;
    struct buf response;  /* the last one seen */
    struct buf *out;      /* of the call in progress */
    bool failed;
};

static enum way way_of(const struct chat *chat, const struct keep_form *f)
{
    bool openai = chat->face == FACE_CHAT || chat->face == FACE_COMPLETIONS;
    if (f->translated) return THROUGH_MODEL;
    if (f->stream == chat->stream) return f->stream && openai && !chat->wants_usage ? BUT_USAGE : AS_IT_IS;
    if (chat->face == FACE_RESPONSES) return f->stream ? RESPONSE_TO_PLAIN : RESPONSE_TO_STREAM;
    return THROUGH_MODEL;
}

struct retelling *retell_new(const struct chat *chat, const struct keep_form *form, const char *request_id, int64_t now_s,
                             struct arena *a)
{
    struct retelling *t = arena_alloc(a, sizeof *t);
    if (!t) return NULL;
    *t = (struct retelling){.chat = chat, .request_id = request_id, .form = *form, .way = way_of(chat, form)};
    sse_init(&t->sse, BOUND_SSE_EVENT);
    buf_init(&t->response, BOUND_ANSWER);
    tap_start(&t->tap, chat, form->asked);
    if (t->way != THROUGH_MODEL) return t;
    const struct delta_target to = {.face = chat->face, .stream = chat->stream, .wants_usage = chat->wants_usage,
                                    .wants_reasoning = !form->translated || form->reasons, .chat = chat,
                                    .request_id = request_id, .now_s = now_s};
    t->reader = delta_reader_new(form->asked, a);
    t->writer = delta_writer_new(&to, a);
    if (t->reader && t->writer) return t;
    delta_writer_free(t->writer);
    return NULL;
}

void retell_free(struct retelling *t)
{
    if (!t) return;
    delta_writer_free(t->writer);
    sse_free(&t->sse);
    buf_free(&t->response);
}

/* ---- events ---- */

static void give(const struct delta *d, void *arg)
{
    struct retelling *t = arg;
    delta_write(t->writer, d, t->out);
}

/* Only an event without choices is a usage chunk: of most it is enough to see that no array in them is empty. */
static bool may_be_usage(struct span data)
{
    const char *end = data.at + data.len, *close = data.at;
    for (; (close = memchr(close, ']', (size_t)(end - close))); close++) {
        const char *before = close;
        while (before > data.at && memchr(" \t\r\n", before[-1], 4)) before--;
        if (before > data.at && before[-1] == '[') return true;
    }
    return false;
}

static void take_event(struct retelling *t, const struct sse_event *ev)
{
    struct fault fault;
    struct span response;
    switch (t->way) {
    case BUT_USAGE:
        if (!ev->data.at || !may_be_usage(ev->data) || tap_read_event(&t->tap, ev->data, &fault) != EVENT_USAGE)
            buf_span(t->out, ev->raw);
        break;
    case RESPONSE_TO_PLAIN:
        response = response_of_event(ev->data);
        if (!response.at) break;
        buf_clear(&t->response);
        buf_span(&t->response, response);
        break;
    case THROUGH_MODEL:
        if (ev->data.at) delta_read_event(t->reader, ev->data, give, t);
        break;
    case AS_IT_IS: case RESPONSE_TO_STREAM: break;
    }
}

static void take_events(struct retelling *t)
{
    struct sse_event ev;
    while (sse_next(&t->sse, &ev)) take_event(t, &ev);
}

static void take_stream(struct retelling *t, struct span bytes)
{
    while (bytes.len && !t->failed) {
        size_t n = bytes.len < FEED ? bytes.len : FEED;
        t->failed = sse_feed(&t->sse, bytes.at, n) != WEIR_OK;
        take_events(t);
        bytes.at += n;
        bytes.len -= n;
    }
}

void retell_take(struct retelling *t, struct span bytes, struct buf *out)
{
    t->out = out;
    if (t->way == AS_IT_IS) buf_span(out, bytes);
    else take_stream(t, bytes);
}

/* ---- ends ---- */

static bool end_stream(struct retelling *t)
{
    if (sse_end(&t->sse) != WEIR_OK) return false;
    take_events(t);
    if (t->way == RESPONSE_TO_PLAIN) return t->response.len && buf_span(t->out, buf_all(&t->response)) == WEIR_OK;
    if (t->way == THROUGH_MODEL) {
        delta_read_end(t->reader, give, t);
        delta_write_end(t->writer, t->out);
    }
    return true;
}

bool retell_end(struct retelling *t, struct span bytes, struct buf *out)
{
    t->out = out;
    if (t->way == RESPONSE_TO_STREAM) return response_events(bytes, out) == WEIR_OK;
    if (t->way == THROUGH_MODEL && !t->form.stream) {
        if (!delta_read_answer(t->reader, bytes, give, t)) return false;
        delta_write_end(t->writer, out);
        return out->err == WEIR_OK;
    }
    retell_take(t, bytes, out);
    if (t->way == AS_IT_IS) return out->err == WEIR_OK;
    return end_stream(t) && !t->failed && out->err == WEIR_OK;
}

void retell_break(struct retelling *t, const struct problem *p, struct buf *out)
{
    const struct error_words w = answer_error_words(t->chat->face == FACE_MESSAGES, p, NULL);
    if (t->writer) delta_write_error(t->writer, w.message, w.type, w.code, out);
    else answer_error_event(t->chat->face, t->request_id, p, NULL, -1, out);
}

/* ---- what does not go through the model ---- */

/* Tools of the provider's own answer with blocks that only their dialect has. */
static bool has_hosted_tools(struct jval tools)
{
    struct span key;
    struct jval tool;
    struct jiter it = jscan_iter(tools);
    while (jscan_next(&it, &key, &tool)) {
        struct jval type = jscan_find(tool, "type");
        if (type.kind == JSON_STRING && !jval_is(type, "custom") && !jval_is(type, "function")) return true;
    }
    return false;
}

bool retell_needs_form(const struct chat *chat)
{
    static const char *const fields[] = {"logprobs", "modalities", "audio", "web_search_options", "functions", "mcp_servers",
                                         "container", "echo"};
    struct span key;
    struct jval v;
    struct jiter it = jscan_iter(chat->root);
    if (chat->face == FACE_RESPONSES || chat->face == FACE_EMBEDDINGS) return false;
    while (jscan_next(&it, &key, &v)) {
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
            if (jkey_is(key, fields[i]) && v.kind > JSON_FALSE) return true;
        if (jkey_is(key, "tools") && has_hosted_tools(v)) return true;
    }
    return chat->face == FACE_MESSAGES && memmem(chat->body.at, chat->body.len, "\"citations\"", 11);
}
