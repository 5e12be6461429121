/* What the tests of translation share: a request as the parse stage leaves it, translated, and what its
 * options mean whichever wire they came from. Included once, into a test program. */
#ifndef WEIR_TESTS_TRANSLATED_H
#define WEIR_TESTS_TRANSLATED_H

#include <stdio.h>
#include "fcgi/base/bounds.h"
#include "fcgi/provider/translate.h"

/* False: no JSON object whose members have different names. */
static bool chat_of(enum face face, struct span body, unsigned depth, struct chat *c)
{
    static const char *const maximum[] = {[FACE_CHAT] = "max_tokens", [FACE_COMPLETIONS] = "max_tokens",
                                          [FACE_RESPONSES] = "max_output_tokens", [FACE_MESSAGES] = "max_tokens"};
    struct jfault fault;
    struct span twice;
    *c = (struct chat){.face = face, .body = body, .choices = 1, .max_output = -1};
    if (jscan_check(body, depth, &c->root, &fault) != WEIR_OK || c->root.kind != JSON_OBJECT) return false;
    if (!jscan_is_unique(c->root, &twice)) return false;
    c->stream = jscan_find(c->root, "stream").kind == JSON_TRUE;
    int64_t most;
    if (jval_int(jscan_find(c->root, maximum[face]), &most) && most >= 0) c->max_output = most;
    return true;
}

/* Reads, asks whether it fits, and writes. */
static enum weir_err translate(const struct chat *chat, struct arena *a, enum face to, struct conversation *c, struct buf *out,
                               struct problem *p)
{
    enum weir_err err = conversation_read(chat, a, c, p);
    if (err == WEIR_OK) err = conversation_fits(c, chat->face, to, p);
    if (err != WEIR_OK) return err;
    conversation_write(c, to, &(struct write_options){.model = "m", .stream = chat->stream, .max_output = c->max_output,
                                                      .default_max_output = 4096, .maximum_name = "max_tokens"}, out);
    return out->err;
}

/* ---- meaning: the same text for requests that ask for the same ---- */

static void mean_text(struct buf *out, const char *label, struct span quoted)
{
    if (!quoted.at) return;
    buf_str(out, label);
    jval_string((struct jval){JSON_STRING, {quoted.at - 1, quoted.len + 2}}, out);
    buf_char(out, '\n');
}

static void mean_json(struct buf *out, const char *label, struct span json)
{
    if (!json.at) return;
    buf_str(out, label);
    buf_span(out, json);
    buf_char(out, '\n');
}

/* What one of the wires has no word for is left out: names of schemas, strictness, a choice that is the default or is
 * among no tools, no effort. */
static void mean_tools_and_options(struct buf *out, const struct conversation *c)
{
    for (int i = 0; i < c->tool_count; i++) {
        const struct tool *t = &c->tools[i];
        mean_text(out, t->strict ? "strict tool " : "tool ", t->name);
        mean_text(out, "which ", t->description);
        mean_json(out, "given ", t->schema.at ? t->schema : SPAN("{\"type\":\"object\",\"properties\":{}}"));
    }
    if (c->choice > CHOICE_AUTO && (c->tool_count || c->choice != CHOICE_NONE)) buf_printf(out, "choice %d\n", (int)c->choice);
    mean_text(out, "chosen ", c->chosen);
    if (c->parallel == SAID_NO && c->tool_count && c->choice != CHOICE_NONE) buf_str(out, "one at a time\n");
    mean_json(out, "schema ", c->format_schema);
    for (int i = 0; i < c->stop_count; i++)
        if (!is_blank_text(c->stops[i])) mean_text(out, "stop ", c->stops[i]);
    mean_json(out, "temperature ", c->temperature);
    mean_json(out, "top_p ", c->top_p);
    if (!span_is(c->effort, "none")) mean_text(out, "effort ", c->effort);
    mean_text(out, "user ", c->user);
}

#endif
