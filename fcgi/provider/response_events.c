/* A whole response told as events. Items and parts are first announced empty, then told, then repeated as they are. */
#include "fcgi/provider/response_events.h"

#include "fcgi/base/bounds.h"
#include "fcgi/base/jscan.h"

struct teller { struct buf *out; int64_t sequence, item, part; struct span item_id; };

/* ---- small parts ---- */

/* A line break stands between tokens only, and would end the event's line. */
static void put(struct buf *out, struct jval v)
{
    size_t start = out->len;
    buf_span(out, v.kind == JSON_ABSENT ? SPAN("null") : v.text);
    for (size_t i = start; i < out->len; i++)
        if (out->at[i] == '\n' || out->at[i] == '\r') out->at[i] = ' ';
}

static void member(struct buf *out, const char *name, struct jval v)
{
    buf_printf(out, ",\"%s\":", name);
    put(out, v);
}

/* What members of an object are said to be while it is not whole yet. */
struct instead { const char *name, *json; };
static const struct instead unfinished_response[] = {{"status", "\"in_progress\""}, {"output", "[]"}, {"usage", "null"},
                                                     {"completed_at", "null"}, {NULL, NULL}};
static const struct instead unfinished_item[] = {{"status", "\"in_progress\""}, {"content", "[]"}, {"summary", "[]"},
                                                 {"arguments", "\"\""}, {"input", "\"\""}, {NULL, NULL}};
static const struct instead unfinished_part[] = {{"text", "\"\""}, {"refusal", "\"\""}, {"annotations", "[]"},
                                                 {"logprobs", "[]"}, {NULL, NULL}};

static void put_unfinished(struct buf *out, struct jval object, const struct instead *instead)
{
    struct span key;
    struct jval v;
    const char *lead = "{";
    struct jiter it = jscan_iter(object);
    while (jscan_next(&it, &key, &v)) {
        const struct instead *i = instead;
        while (i->name && !jkey_is(key, i->name)) i++;
        buf_str(out, lead);
        buf_span(out, (struct span){key.at - 1, key.len + 2});
        buf_char(out, ':');
        if (i->name) buf_str(out, i->json);
        else put(out, v);
        lead = ",";
    }
    buf_str(out, *lead == '{' ? "{}" : "}");
}

/* ---- events ---- */

static void begin(struct teller *t, const char *type)
{
    buf_printf(t->out, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%lld", type, type, (long long)t->sequence++);
}

static void end(struct teller *t) { buf_str(t->out, "}\n\n"); }

static void begin_of_item(struct teller *t, const char *type)
{
    begin(t, type);
    buf_printf(t->out, ",\"output_index\":%lld,\"item_id\":", (long long)t->item);
    buf_span(t->out, t->item_id);
}

static void begin_of_part(struct teller *t, const char *type, const char *index)
{
    begin_of_item(t, type);
    buf_printf(t->out, ",\"%s\":%lld", index, (long long)t->part);
}

/* ---- parts ---- */

/* A kind of part: which events tell its text, and under which name it stands in the last of them. */
struct part_kind { const char *type, *index, *added, *delta, *done, *text, *part_done; };
static const struct part_kind part_kinds[] = {
    {"output_text", "content_index", "response.content_part.added", "response.output_text.delta",
     "response.output_text.done", "text", "response.content_part.done"},
    {"refusal", "content_index", "response.content_part.added", "response.refusal.delta", "response.refusal.done", "refusal",
     "response.content_part.done"},
    {"reasoning_text", "content_index", "response.content_part.added", "response.reasoning_text.delta",
     "response.reasoning_text.done", "text", "response.content_part.done"},
    {"summary_text", "summary_index", "response.reasoning_summary_part.added", "response.reasoning_summary_text.delta",
     "response.reasoning_summary_text.done", "text", "response.reasoning_summary_part.done"},
};

static void tell_annotations(struct teller *t, struct jval part)
{
    struct span key;
    struct jval v;
    int64_t i = 0;
    struct jiter it = jscan_iter(jscan_find(part, "annotations"));
    while (jscan_next(&it, &key, &v)) {
        begin_of_part(t, "response.output_text.annotation.added", "content_index");
        buf_printf(t->out, ",\"annotation_index\":%lld", (long long)i++);
        member(t->out, "annotation", v);
        end(t);
    }
}

static void tell_text(struct teller *t, const struct part_kind *k, struct jval part)
{
    struct jval text = jscan_find(part, k->text), logprobs = jscan_find(part, "logprobs");
    bool is_output = k == part_kinds;
    const struct jval none = {JSON_ARRAY, SPAN("[]")};
    if (logprobs.kind != JSON_ARRAY) logprobs = none;
    if (text.kind == JSON_STRING && text.text.len > 2) {
        begin_of_part(t, k->delta, k->index);
        member(t->out, "delta", text);
        if (is_output) member(t->out, "logprobs", logprobs);
        end(t);
    }
    if (is_output) tell_annotations(t, part);
    begin_of_part(t, k->done, k->index);
    member(t->out, k->text, text);
    if (is_output) member(t->out, "logprobs", logprobs);
    end(t);
}

static void tell_part(struct teller *t, struct jval part)
{
    struct jval type = jscan_find(part, "type");
    const struct part_kind *k = part_kinds, *last = part_kinds + sizeof part_kinds / sizeof *part_kinds - 1;
    while (k < last && !jval_is(type, k->type)) k++;
    bool known = jval_is(type, k->type);
    if (!known) k = part_kinds;
    begin_of_part(t, k->added, k->index);
    buf_str(t->out, ",\"part\":");
    if (known) put_unfinished(t->out, part, unfinished_part);
    else put(t->out, part);
    end(t);
    if (known) tell_text(t, k, part);
    begin_of_part(t, k->part_done, k->index);
    member(t->out, "part", part);
    end(t);
}

static void tell_parts(struct teller *t, struct jval parts)
{
    struct span key;
    struct jval part;
    struct jiter it = jscan_iter(parts);
    for (t->part = 0; parts.kind == JSON_ARRAY && jscan_next(&it, &key, &part); t->part++)
        if (part.kind == JSON_OBJECT) tell_part(t, part);
}

/* ---- items ---- */

/* What a call is made with stands in one text. */
static void tell_call(struct teller *t, struct jval item, const char *name, const char *delta, const char *done)
{
    struct jval text = jscan_find(item, name);
    if (text.kind != JSON_STRING) return;
    if (text.text.len > 2) {
        begin_of_item(t, delta);
        member(t->out, "delta", text);
        end(t);
    }
    begin_of_item(t, done);
    member(t->out, name, text);
    if (jscan_find(item, "name").kind == JSON_STRING) member(t->out, "name", jscan_find(item, "name"));
    end(t);
}

static void tell_item(struct teller *t, struct jval item)
{
    struct jval type = jscan_find(item, "type"), id = jscan_find(item, "id");
    bool told = jval_is(type, "message") || jval_is(type, "reasoning");
    t->item_id = id.kind == JSON_STRING ? id.text : SPAN("\"\"");
    begin(t, "response.output_item.added");
    buf_printf(t->out, ",\"output_index\":%lld,\"item\":", (long long)t->item);
    if (told || jval_is(type, "function_call") || jval_is(type, "custom_tool_call"))
        put_unfinished(t->out, item, unfinished_item);
    else put(t->out, item);
    end(t);
    if (told) tell_parts(t, jscan_find(item, "summary"));
    if (told) tell_parts(t, jscan_find(item, "content"));
    if (jval_is(type, "function_call"))
        tell_call(t, item, "arguments", "response.function_call_arguments.delta", "response.function_call_arguments.done");
    else if (jval_is(type, "custom_tool_call"))
        tell_call(t, item, "input", "response.custom_tool_call_input.delta", "response.custom_tool_call_input.done");
    begin(t, "response.output_item.done");
    buf_printf(t->out, ",\"output_index\":%lld", (long long)t->item);
    member(t->out, "item", item);
    end(t);
}

/* ---- the whole ---- */

enum weir_err response_events(struct span body, struct buf *out)
{
    static const char *const beginnings[] = {"response.created", "response.in_progress"};
    struct teller t = {.out = out};
    struct jfault bad;
    struct span key;
    struct jval root, item;
    if (jscan_check(body, BOUND_JSON_DEPTH, &root, &bad) != WEIR_OK || root.kind != JSON_OBJECT) return WEIR_INVALID;
    for (int i = 0; i < 2; i++) {
        begin(&t, beginnings[i]);
        buf_str(out, ",\"response\":");
        put_unfinished(out, root, unfinished_response);
        end(&t);
    }
    struct jval output = jscan_find(root, "output");
    struct jiter it = jscan_iter(output);
    for (; output.kind == JSON_ARRAY && jscan_next(&it, &key, &item); t.item++)
        if (item.kind == JSON_OBJECT) tell_item(&t, item);
    begin(&t, "response.completed");
    member(out, "response", root);
    end(&t);
    return out->err;
}

struct span response_of_event(struct span data)
{
    struct jfault bad;
    struct jval root;
    if (!data.at || !memmem(data.at, data.len, "response.completed", 18)) return SPAN_NONE;
    if (jscan_check(data, BOUND_JSON_DEPTH, &root, &bad) != WEIR_OK) return SPAN_NONE;
    struct jval response = jscan_find(root, "response");
    bool ends = jval_is(jscan_find(root, "type"), "response.completed") && response.kind == JSON_OBJECT;
    return ends ? response.text : SPAN_NONE;
}
