/* Fuzz target: the request parser and the splicing of bodies, for every face. A body that is refused is told why in UTF-8; one
 * that is accepted is sent on as a JSON object with the target's model, the wish for usage where it streams, and every
 * other member as it was, in its order. */
#include <stdlib.h>
#include "fcgi/base/arena.c"
#include "fcgi/base/buf.c"
#include "fcgi/base/err.c"
/* jscan, text and parse have helpers of the same names; so has this file. */
#define refuse jscan_refuse
#define hex_value jscan_hex_value
#include "fcgi/base/jcheck.c"
#include "fcgi/base/jscan.c"
#undef refuse
#undef hex_value
#include "fcgi/base/text.c"
#include "fcgi/provider/body.c"
#include "fcgi/stage/parse.c"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must(bool what)
{
    if (!what)
        abort();
}

#define MODEL "target \"\xC3\xA9\"\n"

static struct jval checked(struct span text)
{
    struct jval root = {.kind = JSON_ABSENT};
    struct jfault fault;
    struct span dup;
    must(jscan_check(text, BOUND_JSON_DEPTH, &root, &fault) == WEIR_OK && root.kind == JSON_OBJECT);
    must(jscan_is_unique(root, &dup) || !dup.at); /* one more member may be one too many */
    return root;
}

/* Members of the options that were sent: those that were there, and the wish. */
static void check_options(struct jval before, struct jval after)
{
    struct span key, other_key;
    struct jval v, other;
    bool wished = false;
    must(after.kind == JSON_OBJECT && jscan_find(after, "include_usage").kind == JSON_TRUE);
    struct jiter old = jscan_iter(before), new = jscan_iter(after);
    while (jscan_next(&old, &key, &v)) {
        must(jscan_next(&new, &other_key, &other) && span_eq(key, other_key));
        if (!wished && jkey_is(key, "include_usage")) wished = true;
        else must(span_eq(v.text, other.text));
    }
    must(jscan_next(&new, &other_key, &other) == !wished && !jscan_next(&new, &other_key, &other));
}

static void same_members(struct jval before, struct jval after, bool streams)
{
    struct span key, other_key;
    struct jval v, other;
    struct jiter old = jscan_iter(before), new = jscan_iter(after);
    bool had_options = jscan_find(before, "stream_options").kind != JSON_ABSENT;
    while (jscan_next(&old, &key, &v)) {
        must(jscan_next(&new, &other_key, &other) && span_eq(key, other_key));
        if (jkey_is(key, "model")) {
            must(v.kind == JSON_STRING);
            if (streams && !had_options) must(jscan_next(&new, &other_key, &other) && jkey_is(other_key, "stream_options"));
        } else if (!streams || !jkey_is(key, "stream_options")) {
            must(span_eq(v.text, other.text));
        }
    }
    must(!jscan_next(&new, &other_key, &other));
}

static void check_sent(const struct chat *c, struct span sent)
{
    bool streams = c->stream && (c->face == FACE_CHAT || c->face == FACE_COMPLETIONS) && !c->wants_usage;
    struct jval root = checked(sent);
    must(jval_is(jscan_find(root, "model"), MODEL));
    same_members(c->root, root, streams);
    if (streams) check_options(c->stream_options, jscan_find(root, "stream_options"));
}

static void check_accepted(const struct chat *c, struct arena *memory)
{
    static const struct provider_row provider = {.name = "p", .base_url = "http://p"};
    const struct target target = {.provider = &provider, .model = MODEL, .asked = c->face};
    struct buf body;
    must(c->model.kind == JSON_STRING && c->alias.at && text_is_utf8(c->alias));
    must(c->choices >= 1 && c->choices <= BOUND_CHOICES && c->max_output >= -1 && c->prompt_bytes >= 0);
    must((size_t)c->prompt_bytes <= c->body.len);
    buf_init(&body, SIZE_MAX - 1);
    const struct call call = {.chat = c, .target = &target, .body = &body, .memory = memory, .stop_fd = -1, .max_output = -1};
    must(body_write(&call) == WEIR_OK);
    check_sent(c, buf_all(&body));
    buf_free(&body);
}

static void check_refused(const struct problem *p)
{
    must(p->err == WEIR_INVALID && weir_err_info(p->err)->status == 400);
    must(*p->text && text_is_utf8(span_of(p->text)) && text_is_utf8(span_of(p->param)));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct span body = {n ? (const char *)bytes : "", n};
    for (int face = 0; face < FACE_COUNT; face++) {
        struct arena memory;
        struct chat c;
        struct problem p = {.err = WEIR_OK};
        arena_init(&memory);
        if (parse_chat((enum face)face, body, &memory, &c, &p) == WEIR_OK) check_accepted(&c, &memory);
        else check_refused(&p);
        arena_end(&memory);
    }
    return 0;
}
