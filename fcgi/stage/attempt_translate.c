/* What an attempt's answer goes through on its way to a caller of another face: the upstream's events become steps of the
 * common model, and those the events of the caller's face. Usage, ends and errors remain the tap's to judge. */
#include "fcgi/base/bounds.h"
#include "fcgi/base/clock.h"
#include "fcgi/provider/conversation.h"
#include "fcgi/provider/delta.h"
#include "fcgi/stage/answer.h"
#include "fcgi/stage/attempt.h"

struct translation {
    struct delta_reader *reader;
    struct delta_writer *writer;
    struct buf *out; /* of the call in progress */
};

bool translate_start(struct attempt *a)
{
    const struct target *t = a->target;
    if (!t->conversation) return true;
    struct translation *tr = a->translation = arena_alloc(a->memory, sizeof *tr);
    if (!tr) return false;
    const struct delta_target to = {
        .face = a->chat->face, .stream = a->chat->stream, .wants_usage = a->chat->wants_usage,
        .wants_reasoning = t->conversation->wants_reasoning, .chat = a->chat, .request_id = a->r->id,
        .now_s = clock_wall_ms() / 1000};
    tr->reader = delta_reader_new(t->asked, a->memory);
    tr->writer = delta_writer_new(&to, a->memory);
    return tr->reader && tr->writer;
}

void translate_free(struct attempt *a)
{
    if (a->translation) delta_writer_free(a->translation->writer);
    a->translation = NULL;
}

static void give(const struct delta *d, void *arg)
{
    struct translation *tr = arg;
    delta_write(tr->writer, d, tr->out);
}

void translate_event(struct attempt *a, struct span data, struct buf *out)
{
    a->translation->out = out;
    delta_read_event(a->translation->reader, data, give, a->translation);
}

void translate_end(struct attempt *a, struct buf *out)
{
    a->translation->out = out;
    delta_read_end(a->translation->reader, give, a->translation);
    delta_write_end(a->translation->writer, out);
}

bool translate_answer(struct attempt *a)
{
    struct translation *tr = a->translation;
    struct buf body;
    buf_init(&body, BOUND_ANSWER);
    tr->out = &body;
    bool is_answer = delta_read_answer(tr->reader, buf_all(&a->out->body), give, tr);
    if (is_answer) delta_write_end(tr->writer, &body);
    buf_free(&a->out->body);
    a->out->body = body;
    return is_answer && body.err == WEIR_OK;
}

void attempt_error_event(struct attempt *a, const struct fault *fault, struct buf *out)
{
    enum face face = a->chat->face;
    if (a->translation) {
        const struct error_words w = answer_error_words(face == FACE_MESSAGES, &a->out->problem, fault);
        delta_write_error(a->translation->writer, w.message, w.type, w.code, out);
    } else {
        answer_error_event(face, a->r->id, &a->out->problem, fault, a->tap.sequence, out);
    }
}
