/* Fuzz target: a kept answer told in another form. The first byte says whose and how it was kept and is asked for; the rest
 * is what was kept. Whatever the bytes, a plain answer that is told is a JSON object, and a stream's events are. */
#include <stdlib.h>
#include "fcgi/provider/response_events.c"
#include "fcgi/stage/retell.c"

#include "fcgi/stage/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must(bool what)
{
    if (!what) abort();
}

static const struct { enum face face; const char *plain, *stream; } asked[] = {
    {FACE_CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}]}", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}],\"stream\":true}"},
    {FACE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":\"a\"}", "{\"model\":\"m\",\"prompt\":\"a\",\"stream\":true}"},
    {FACE_RESPONSES, "{\"model\":\"m\",\"input\":\"a\"}", "{\"model\":\"m\",\"input\":\"a\",\"stream\":true}"},
    {FACE_MESSAGES, "{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\"}]}",
     "{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\"}],\"stream\":true}"},
};

static void check_object(struct span text)
{
    struct jval root;
    struct jfault bad;
    must(jscan_check(text, BOUND_JSON_DEPTH + 3, &root, &bad) == WEIR_OK && root.kind == JSON_OBJECT);
}

static void check_events(struct span events)
{
    struct sse s;
    struct sse_event ev;
    sse_init(&s, BOUND_ANSWER);
    must(sse_feed(&s, events.at, events.len) == WEIR_OK);
    while (sse_next(&s, &ev))
        if (ev.data.at && !span_is(ev.data, "[DONE]")) check_object(ev.data);
    sse_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct arena a;
    struct chat chat;
    struct problem p;
    struct buf out;
    if (!n) return 0;
    int which = bytes[0] & 3;
    bool stream = bytes[0] & 4;
    struct keep_form form = {.asked = asked[which].face, .stream = bytes[0] & 8, .translated = bytes[0] & 16};
    if (form.translated) form.asked = bytes[0] & 32 ? FACE_MESSAGES : FACE_CHAT;
    arena_init(&a);
    buf_init(&out, BOUND_ANSWER);
    must(parse_chat(asked[which].face, span_of(stream ? asked[which].stream : asked[which].plain), &a, &chat, &p) == WEIR_OK);
    struct retelling *t = retell_new(&chat, &form, "req_1", 1700000000, &a);
    must(t != NULL);
    bool told = retell_end(t, (struct span){(const char *)bytes + 1, n - 1}, &out);
    bool made = t->way == THROUGH_MODEL || t->way == RESPONSE_TO_STREAM || t->way == RESPONSE_TO_PLAIN; /* by us */
    if (told && made && stream) check_events(buf_all(&out));
    if (told && made && !stream && out.len) check_object(buf_all(&out));
    retell_free(t);
    buf_free(&out);
    arena_end(&a);
    return 0;
}
