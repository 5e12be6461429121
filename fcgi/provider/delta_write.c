/* Writing answers, whatever their face: what each step has told is noted here, a plain answer is kept until its end, and
 * a stream's steps go on to the face. */
#include "fcgi/provider/delta_write.h"

#include <stdio.h>

#include "fcgi/base/text.h"

static const struct face_writer *writer_of(enum face face)
{
    switch (face) {
    case FACE_COMPLETIONS: return &delta_writes_completions;
    case FACE_RESPONSES: return &delta_writes_responses;
    case FACE_MESSAGES: return &delta_writes_messages;
    default: return &delta_writes_chat;
    }
}

struct delta_writer *delta_writer_new(const struct delta_target *t, struct arena *a)
{
    struct delta_writer *w = arena_alloc(a, sizeof *w);
    if (!w) return NULL;
    w->target = *t;
    w->memory = a;
    w->face = writer_of(t->face);
    if (t->stream && !w->face->keeps_items) return w;
    w->kept = kept_new(a, !t->stream || w->face->keeps_texts, t->stream);
    return w->kept ? w : NULL;
}

void delta_writer_free(struct delta_writer *w)
{
    if (w && w->kept) kept_free(w->kept);
}

/* ---- pieces of JSON ---- */

void put_made_id(const struct delta_writer *w, const char *prefix, int choice, int number, struct buf *out)
{
    char text[64];
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a, then mixed, for the last bytes are what differs */
    for (const char *at = w->target.request_id; at && *at; at++) hash = (hash ^ (unsigned char)*at) * 0x100000001b3u;
    hash ^= ((uint64_t)(unsigned)choice << 32 | (unsigned)number) * 0x9e3779b97f4a7c15u;
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ hash >> 27) * 0x94d049bb133111ebu;
    snprintf(text, sizeof text, "%s%016llx", prefix, (unsigned long long)(hash ^ hash >> 31));
    buf_str(out, text);
}

void put_call_id(const struct delta_writer *w, const struct item *item, struct buf *out)
{
    if (kept_is_empty(item->id)) put_made_id(w, "call_", item->choice, item->tool, out);
    else kept_put(w->kept, item->id, out);
}

void put_usage(const struct delta_writer *w, struct buf *out)
{
    const struct usage *u = &w->usage;
    put_int(out, "{\"prompt_tokens\":", u->prompt);
    put_int(out, ",\"completion_tokens\":", u->completion);
    put_int(out, ",\"total_tokens\":", u->prompt + u->completion);
    put_int(out, ",\"prompt_tokens_details\":{\"cached_tokens\":", u->cached);
    put_int(out, ",\"cache_write_tokens\":", u->cache_write);
    put_int(out, ",\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":", w->reasoning);
    buf_str(out, ",\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}");
}

void put_error(struct span message, struct span type, struct span code, struct buf *out)
{
    buf_str(out, "{\"message\":");
    json_string(out, message);
    buf_str(out, ",\"type\":");
    json_string(out, type);
    buf_str(out, ",\"param\":null,\"code\":");
    json_string(out, code);
    buf_char(out, '}');
}

void put_json(struct buf *out, struct span json)
{
    while (json.len) {
        size_t n = 0;
        while (n < json.len && json.at[n] != '\n' && json.at[n] != '\r') n++;
        buf_add(out, json.at, n);
        if (n == json.len) break;
        buf_char(out, ' '); /* a line can only break between values */
        json.at += n + 1, json.len -= n + 1;
    }
}

/* ---- what is noted ---- */

static struct span copy(struct delta_writer *w, struct span s, struct buf *out)
{
    char *at = arena_str(w->memory, s);
    if (at) return (struct span){at, s.len};
    if (!out->err) out->err = WEIR_NOMEM;
    return SPAN("");
}

static struct span own_id(struct delta_writer *w, struct buf *out)
{
    struct buf id;
    buf_init(&id, 64);
    put_made_id(w, w->face->id_prefix, 0, -1, &id);
    if (id.err && !out->err) out->err = id.err;
    struct span made = copy(w, buf_all(&id), out);
    buf_free(&id);
    return made;
}

/* An upstream that does not name its model answers as the one that was asked for. */
static struct span own_model(const struct delta_writer *w)
{
    const struct chat *c = w->target.chat;
    return c && c->model.kind == JSON_STRING ? (struct span){c->model.text.at + 1, c->model.text.len - 2} : SPAN("");
}

static void start(struct delta_writer *w, const struct delta *d, struct buf *out)
{
    w->started = true;
    w->id = d->id.len ? copy(w, d->id, out) : own_id(w, out);
    w->model = d->model.len ? copy(w, d->model, out) : own_model(w);
    w->created = d->created ? d->created : w->target.now_s;
    w->usage = d->usage;
    if (w->target.stream) w->face->step(w, d, out);
}

static void finish(struct delta_writer *w, const struct delta *d, struct buf *out)
{
    writer_mark(w->finished, d->choice);
    w->finish[d->choice] = d->finish;
    if (d->choice == 0 && d->stop.at) w->stop = copy(w, d->stop, out);
    if (w->target.stream) w->face->step(w, d, out);
}

static void content(struct delta_writer *w, const struct delta *d, struct buf *out)
{
    bool fresh;
    bool reasons = d->kind == DELTA_REASONING || d->kind == DELTA_SIGNATURE;
    if (reasons && w->face->reasoning_if_wanted && !w->target.wants_reasoning) return;
    if (d->kind != DELTA_TOOL && !d->text.len) return;
    if (d->kind == DELTA_REFUSAL) w->refused = true;
    if (w->target.stream) w->face->step(w, d, out);
    else kept_take(w->kept, d, &fresh);
}

static void of_choice(struct delta_writer *w, const struct delta *d, struct buf *out)
{
    if (d->choice < 0 || d->choice >= (w->face->one_choice ? 1 : BOUND_CHOICES)) return;
    if (writer_is_marked(w->finished, d->choice)) return;
    writer_mark(w->seen, d->choice);
    if (d->kind == DELTA_FINISH) finish(w, d, out);
    else content(w, d, out);
}

void delta_write(struct delta_writer *w, const struct delta *d, struct buf *out)
{
    if (d->kind == DELTA_START) {
        if (!w->started) start(w, d, out);
        return;
    }
    if (!w->started) start(w, &(struct delta){.kind = DELTA_START}, out);
    if (d->kind == DELTA_USAGE) w->usage = d->usage, w->reasoning = d->reasoning;
    else of_choice(w, d, out);
    if (w->kept && !out->err) out->err = kept_err(w->kept);
}

void delta_write_end(struct delta_writer *w, struct buf *out)
{
    /* Whatever came, there is a first choice and it ends: the SDKs' helpers rely on it. */
    if (!writer_is_marked(w->finished, 0)) delta_write(w, &(struct delta){.kind = DELTA_FINISH}, out);
    if (w->target.stream) w->face->end(w, out);
    else w->face->whole(w, out);
}

void delta_write_error(struct delta_writer *w, const char *message, const char *type, const char *code, struct buf *out)
{
    w->face->error(w, span_of(message), span_of(type), span_of(code), out);
}
