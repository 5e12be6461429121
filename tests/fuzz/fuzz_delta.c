/* Fuzz target: answers through the one model. The first byte says from which face to which, and how; the rest is events,
 * one a line, or an answer. Whatever the bytes, what is written is events of JSON objects, or one JSON object, and every
 * face's readers take it. */
#include <stdlib.h>
#include "fcgi/provider/delta_kept.c"
#include "fcgi/provider/delta_read.c"
#include "fcgi/provider/delta_read_chat.c"
#include "fcgi/provider/delta_read_messages.c"
#include "fcgi/provider/delta_write.c"
#include "fcgi/provider/delta_write_chat.c"
#include "fcgi/provider/delta_write_completions.c"
#include "fcgi/provider/delta_write_messages.c"
#include "fcgi/provider/delta_write_responses.c"
#include "fcgi/base/sse.h"
#include "fcgi/base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must(bool what)
{
    if (!what)
        abort();
}

static const enum face faces[] = {FACE_CHAT, FACE_COMPLETIONS, FACE_RESPONSES, FACE_MESSAGES};

/* What the reader gives: in order, within bounds, and pieces that are whole by themselves. */
struct way { struct delta_writer *writer; struct buf *out; bool started, used; uint64_t finished[2]; };

static void check_quoted(struct span text)
{
    struct buf whole;
    struct jval root;
    struct jfault bad;
    buf_init(&whole, BOUND_ANSWER);
    buf_char(&whole, '"');
    buf_span(&whole, text);
    buf_char(&whole, '"');
    must(jscan_check(buf_all(&whole), 1, &root, &bad) == WEIR_OK && root.kind == JSON_STRING);
    buf_free(&whole);
}

static void pass_on(const struct delta *d, void *arg)
{
    struct way *way = arg;
    must(way->started == (d->kind != DELTA_START) && !way->used);
    must(d->choice >= 0 && d->choice < BOUND_CHOICES && d->tool >= 0);
    if (d->kind == DELTA_START) way->started = true;
    else if (d->kind == DELTA_USAGE) way->used = true;
    else must(!writer_is_marked(way->finished, d->choice));
    if (d->kind == DELTA_FINISH) writer_mark(way->finished, d->choice);
    if (d->kind == DELTA_USAGE) must(d->reasoning >= 0 && d->reasoning <= d->usage.completion &&
                                     d->usage.cached + d->usage.cache_write <= d->usage.prompt);
    check_quoted(d->text);
    check_quoted(d->id);
    check_quoted(d->name);
    check_quoted(d->model);
    check_quoted(d->stop);
    delta_write(way->writer, d, way->out);
}

static void ignore(const struct delta *d, void *arg) { (void)d, (void)arg; }

static void check_object(struct span text)
{
    struct jval root;
    struct jfault bad;
    must(jscan_check(text, BOUND_JSON_DEPTH, &root, &bad) == WEIR_OK && root.kind == JSON_OBJECT);
}

static void check_events(enum face face, struct span text, struct arena *a)
{
    struct sse cutter;
    struct sse_event event;
    size_t bytes = 0;
    struct delta_reader *r = delta_reader_new(face, a);
    sse_init(&cutter, BOUND_ANSWER);
    must(r && sse_feed(&cutter, text.at, text.len) == WEIR_OK);
    while (sse_next(&cutter, &event)) {
        bytes += event.raw.len;
        delta_read_event(r, event.data, ignore, NULL);
        if (span_is(event.data, "[DONE]")) continue;
        check_object(event.data);
        must((event.type.at != NULL) == (face == FACE_RESPONSES || face == FACE_MESSAGES));
    }
    must(bytes == text.len);
    delta_read_end(r, ignore, NULL);
    sse_free(&cutter);
}

static void check_written(const struct delta_target *t, struct span text, struct arena *a)
{
    if (t->stream) {
        check_events(t->face, text, a);
        return;
    }
    check_object(text);
    if (t->face != FACE_CHAT && t->face != FACE_MESSAGES) return;
    struct delta_reader *r = delta_reader_new(t->face, a);
    must(r && delta_read_answer(r, text, ignore, NULL));
}

static bool read_all(struct delta_reader *r, bool streamed, struct span text, struct way *way)
{
    if (!streamed) return delta_read_answer(r, text, pass_on, way);
    while (text.len) {
        const char *eol = memchr(text.at, '\n', text.len);
        size_t n = eol ? (size_t)(eol - text.at) : text.len;
        delta_read_event(r, (struct span){text.at, n}, pass_on, way);
        n += eol != NULL;
        text.at += n, text.len -= n;
    }
    delta_read_end(r, pass_on, way);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct arena memory;
    struct buf out;
    struct chat chat = {.face = FACE_CHAT};
    struct jfault bad;
    uint8_t how = n ? bytes[0] : 0;
    struct span text = {n > 1 ? (const char *)bytes + 1 : "", n > 1 ? n - 1 : 0};
    jscan_check(SPAN("{\"model\":\"a\",\"tools\":[\n{}]}"), BOUND_JSON_DEPTH, &chat.root, &bad);
    chat.model = jscan_find(chat.root, "model");
    struct delta_target t = {.face = faces[how & 3], .stream = how & 4, .wants_usage = how & 8, .wants_reasoning = how & 16,
                             .chat = &chat, .request_id = "r"};
    arena_init(&memory);
    buf_init(&out, BOUND_ANSWER);
    struct delta_reader *r = delta_reader_new(how & 32 ? FACE_MESSAGES : FACE_CHAT, &memory);
    struct way way = {.writer = delta_writer_new(&t, &memory), .out = &out};
    must(r && way.writer);
    if (read_all(r, how & 64, text, &way)) {
        if (how & 128 && t.stream) delta_write_error(way.writer, "m", "t", NULL, &out);
        else delta_write_end(way.writer, &out);
        must(out.err == WEIR_OK || out.err == WEIR_FULL);
        if (out.err == WEIR_OK) check_written(&t, buf_all(&out), &memory);
    }
    delta_writer_free(way.writer);
    buf_free(&out);
    arena_end(&memory);
    return 0;
}
