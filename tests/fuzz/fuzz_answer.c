/* Fuzz target: what providers answer. Whatever the bytes, the tap's figures stay within bounds and the same bytes are read
 * the same twice; an error that may pass has its four members, and its words are UTF-8; embeddings are encoded to JSON of
 * the same shape, or left as they were. */
#include <stdlib.h>
#include "fcgi/base/arena.c"
#include "fcgi/base/buf.c"
#define hex_value jscan_hex_value /* text has one too */
#include "fcgi/base/jcheck.c"
#include "fcgi/base/jscan.c"
#undef hex_value
#include "fcgi/base/text.c"
#include "fcgi/provider/embeddings.c"
#include "fcgi/provider/tap.c"
#include "fcgi/provider/tap_chat.c"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must(bool what)
{
    if (!what)
        abort();
}

/* ---- words and figures ---- */

static void check_word(const char *word, size_t size)
{
    must(memchr(word, '\0', size) && text_is_utf8(span_of(word)));
}

static void check_fault(const struct fault *f)
{
    check_word(f->message, sizeof f->message);
    check_word(f->type, sizeof f->type);
    check_word(f->code, sizeof f->code);
    check_word(f->param, sizeof f->param);
}

static void check_tap(const struct tap *t, size_t n)
{
    const struct usage *u = &t->usage;
    if (!u->known) must(!u->prompt && !u->cached && !u->cache_write && !u->completion);
    must(u->prompt >= 0 && u->prompt <= WIRE_TOKENS_MOST && u->completion >= 0 && u->completion <= WIRE_TOKENS_MOST);
    must(u->cached >= 0 && u->cache_write >= 0 && u->cached + u->cache_write <= u->prompt);
    must(t->delivered >= 0 && (size_t)t->delivered <= n);
    for (int i = 0; i < 2; i++) must(!(t->finished[i] & ~t->seen[i]));
}

static void check_event(enum face face, struct span data)
{
    struct tap t = {.face = face, .expected = 1, .counts = true};
    struct fault fault = {.message = ""};
    enum event_kind kind = tap_read_event(&t, data, &fault);
    struct tap once = t;
    must(kind >= EVENT_EMPTY && kind <= EVENT_GARBAGE);
    must(t.done == (kind == EVENT_DONE));
    must(kind == EVENT_CONTENT || !t.delivered);
    must(kind == EVENT_CONTENT || kind == EVENT_DONE || (!t.finished[0] && !t.finished[1]));
    if (kind == EVENT_USAGE || kind == EVENT_ERROR || kind == EVENT_GARBAGE) must(!t.seen[0] && !t.seen[1]);
    if (kind == EVENT_GARBAGE) must(!t.usage.known); /* an error may say what it cost */
    check_fault(&fault);
    check_tap(&t, data.len);
    must(tap_read_event(&t, data, &fault) == kind);
    must(t.delivered == 2 * once.delivered && memcmp(&t.usage, &once.usage, sizeof t.usage) == 0);
    must(memcmp(t.seen, once.seen, sizeof t.seen) == 0 && memcmp(t.finished, once.finished, sizeof t.finished) == 0);
}

static void check_answer(enum face face, struct span body)
{
    struct tap t = {.face = face, .expected = 1, .counts = true};
    struct fault fault;
    memset(&fault, 'x', sizeof fault);
    bool is = tap_read_answer(&t, body, &fault);
    check_fault(&fault);
    check_tap(&t, body.len);
    if (is) must(!*fault.message && !*fault.type && !*fault.code && !*fault.param);
    else must(!t.delivered && !t.seen[0] && !t.seen[1]); /* what is no answer may still say what it cost */
}

static void check_error(enum face face, struct span body)
{
    struct fault fault;
    struct jval root;
    struct jfault bad;
    memset(&fault, 'x', sizeof fault);
    bool passes = tap_read_error(&(struct tap){.face = face}, body, &fault);
    check_fault(&fault);
    if (!passes) return;
    must(jscan_check(body, BOUND_JSON_DEPTH, &root, &bad) == WEIR_OK && root.kind == JSON_OBJECT);
    struct jval error = jscan_find(root, "error");
    must(jscan_find(error, "message").kind == JSON_STRING && jscan_find(error, "type").kind == JSON_STRING);
    if (face != FACE_MESSAGES)
        must(is_text_or_null(jscan_find(error, "param")) && is_text_or_null(jscan_find(error, "code")));
}

/* ---- embeddings ---- */

static void same_item(struct jval before, struct jval after)
{
    struct jval numbers = jscan_find(before, "embedding"), text = jscan_find(after, "embedding");
    if (numbers.kind != JSON_ARRAY) {
        must(span_eq(before.text, after.text));
        return;
    }
    must(text.kind == JSON_STRING && text.text.len - 2 == (jscan_count(numbers) * 4 + 2) / 3 * 4);
    size_t lead = (size_t)(numbers.text.at - before.text.at);
    must(lead == (size_t)(text.text.at - after.text.at) && memcmp(before.text.at, after.text.at, lead) == 0);
    struct span tail = {before.text.at + lead + numbers.text.len, before.text.len - lead - numbers.text.len};
    must(span_eq(tail, (struct span){after.text.at + lead + text.text.len, after.text.len - lead - text.text.len}));
}

static void same_answer(struct span before, struct span after)
{
    struct jval old, new, v, other;
    struct span key;
    struct jfault bad;
    must(jscan_check(before, BOUND_JSON_DEPTH, &old, &bad) == WEIR_OK);
    must(jscan_check(after, BOUND_JSON_DEPTH, &new, &bad) == WEIR_OK);
    struct jval old_data = jscan_find(old, "data"), new_data = jscan_find(new, "data");
    must(old_data.kind == new_data.kind);
    struct jiter old_at = jscan_iter(old_data), new_at = jscan_iter(new_data);
    while (jscan_next(&old_at, &key, &v)) {
        must(jscan_next(&new_at, &key, &other));
        same_item(v, other);
    }
    must(!jscan_next(&new_at, &key, &other));
    must(old_data.kind != JSON_ABSENT || span_eq(before, after));
}

static void check_embeddings(struct span given)
{
    struct buf body, once;
    buf_init(&body, BOUND_ANSWER);
    buf_init(&once, BOUND_ANSWER);
    buf_span(&body, given);
    enum weir_err err = embeddings_to_base64(&body);
    must(err == WEIR_OK || err == WEIR_INVALID);
    if (err != WEIR_OK) {
        must(span_eq(buf_all(&body), given));
    } else {
        same_answer(given, buf_all(&body));
        buf_span(&once, buf_all(&body));
        must(embeddings_to_base64(&body) == WEIR_OK && span_eq(buf_all(&body), buf_all(&once)));
    }
    buf_free(&once);
    buf_free(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct span text = {n ? (const char *)bytes : "", n};
    for (int face = 0; face < FACE_COUNT; face++) {
        check_event((enum face)face, text);
        check_answer((enum face)face, text);
        check_error((enum face)face, text);
    }
    check_embeddings(text);
    return 0;
}
