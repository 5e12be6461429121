/* What a stream's events say, put together piece by piece. Pieces are copied as they lie between the quotes of their JSON
 * strings, escapes and all, and so need no other form to stand between the quotes of the result. */
#include "fcgi/stage/record.h"

#include "fcgi/base/bounds.h"
#include "fcgi/base/jscan.h"
#include "fcgi/base/sse.h"

#define PIECE_COST  80  /* bytes that the JSON around one piece takes, at most */
#define PIECES_MOST 256
#define RESULT_COST 24  /* the brackets and the word "events" */

enum kind { TEXT, REASONING, REFUSAL, ARGUMENTS };
static const char *const kind_names[] = {"text", "reasoning", "refusal", "arguments"};

/* The text of one kind, of one choice and of one block of it (tool call, content block, output item). */
struct piece {
    struct piece *next;
    enum kind kind;
    int64_t choice, block;
    struct buf name, text; /* name: of a tool */
};

struct record {
    struct arena *memory;
    struct sse sse;
    struct piece *first, *last, *latest; /* latest: the one written to last, mostly the next one too */
    int count;
    struct buf events; /* unchanged ones, a comma between */
    size_t most, left;
    bool cut;
};

static void record_free(void *record)
{
    struct record *r = record;
    sse_free(&r->sse);
    buf_free(&r->events);
    for (struct piece *p = r->first; p; p = p->next) {
        buf_free(&p->name);
        buf_free(&p->text);
    }
}

struct record *record_new(size_t most, struct arena *a)
{
    struct record *r = arena_alloc(a, sizeof *r);
    if (!r) return NULL;
    *r = (struct record){.memory = a, .most = most, .left = most - RESULT_COST};
    sse_init(&r->sse, BOUND_SSE_EVENT);
    buf_init(&r->events, most);
    return arena_defer(a, record_free, r) ? r : NULL;
}

/* ---- pieces ---- */

static bool spend(struct record *r, size_t n)
{
    if (n > r->left) r->cut = true;
    else if (!r->cut) r->left -= n;
    return !r->cut;
}

static void put(struct record *r, struct buf *to, struct span bytes)
{
    if (spend(r, bytes.len) && buf_span(to, bytes) != WEIR_OK) r->cut = true;
}

static struct piece *new_piece(struct record *r, enum kind kind, int64_t choice, int64_t block)
{
    struct piece *p = r->count < PIECES_MOST && spend(r, PIECE_COST) ? arena_alloc(r->memory, sizeof *p) : NULL;
    if (!p) {
        r->cut = true;
        return NULL;
    }
    *p = (struct piece){.kind = kind, .choice = choice, .block = block};
    buf_init(&p->name, r->most);
    buf_init(&p->text, r->most);
    if (r->last) r->last->next = p;
    else r->first = p;
    r->last = p;
    r->count++;
    return p;
}

static bool is_of(const struct piece *p, enum kind kind, int64_t choice, int64_t block)
{
    return p && p->kind == kind && p->choice == choice && p->block == block;
}

static struct piece *piece_of(struct record *r, enum kind kind, int64_t choice, int64_t block)
{
    struct piece *p = r->latest;
    if (!is_of(p, kind, choice, block))
        for (p = r->first; p && !is_of(p, kind, choice, block);) p = p->next;
    return r->latest = p ? p : new_piece(r, kind, choice, block);
}

/* What stands between a string's quotes; absent for anything else and for nothing. */
static struct span inside(struct jval v)
{
    return v.kind == JSON_STRING && v.text.len > 2 ? (struct span){v.text.at + 1, v.text.len - 2} : SPAN_NONE;
}

static void add(struct record *r, enum kind kind, int64_t choice, int64_t block, struct jval v)
{
    struct span text = inside(v);
    struct piece *p = text.len ? piece_of(r, kind, choice, block) : NULL;
    if (p) put(r, &p->text, text);
}

static void add_name(struct record *r, int64_t choice, int64_t block, struct jval v)
{
    struct span name = inside(v);
    struct piece *p = name.len ? piece_of(r, ARGUMENTS, choice, block) : NULL;
    if (p && !p->name.len) put(r, &p->name, name); /* some say it with every piece */
}

static void keep(struct record *r, struct span event)
{
    if (!spend(r, event.len + 1)) return;
    if (r->events.len) buf_char(&r->events, ',');
    if (buf_span(&r->events, event) != WEIR_OK) r->cut = true;
}

static int64_t index_of(struct jval object, const char *name)
{
    int64_t n;
    return jval_int(jscan_find(object, name), &n) ? n : 0;
}

/* ---- OpenAI's chunks ---- */

static void take_tools(struct record *r, int64_t choice, struct jval calls)
{
    struct span key;
    struct jval call;
    struct jiter it = jscan_iter(calls);
    while (jscan_next(&it, &key, &call)) {
        struct jval function = jscan_find(call, "function");
        int64_t index = index_of(call, "index");
        add_name(r, choice, index, jscan_find(function, "name"));
        add(r, ARGUMENTS, choice, index, jscan_find(function, "arguments"));
    }
}

static void take_choice(struct record *r, struct jval object)
{
    int64_t choice = index_of(object, "index");
    struct jval delta = jscan_find(object, "delta"), reasoning = jscan_find(delta, "reasoning_content");
    struct jval content = jscan_find(delta, "content");
    if (!inside(reasoning).len) reasoning = jscan_find(delta, "reasoning"); /* some say it twice */
    add(r, TEXT, choice, 0, jscan_find(object, "text"));
    add(r, REASONING, choice, 0, reasoning);
    add(r, TEXT, choice, 0, content);
    if (content.kind == JSON_ARRAY) keep(r, content.text); /* parts, as some have them */
    add(r, REFUSAL, choice, 0, jscan_find(delta, "refusal"));
    take_tools(r, choice, jscan_find(delta, "tool_calls"));
}

/* ---- events that say their type ---- */

/* Anthropic's and Responses' (WIRE.md 1, 2). Where the text lies: in `delta` itself, or in a member of it. What only frames
 * or repeats it has no place here. */
static const struct typed { const char *type, *member, *index; enum kind kind; } typed[] = {
    {"content_block_delta", "text", "index", TEXT},
    {"content_block_delta", "thinking", "index", REASONING},
    {"content_block_delta", "partial_json", "index", ARGUMENTS},
    {"response.output_text.delta", NULL, "output_index", TEXT},
    {"response.refusal.delta", NULL, "output_index", REFUSAL},
    {"response.reasoning_text.delta", NULL, "output_index", REASONING},
    {"response.reasoning_summary_text.delta", NULL, "output_index", REASONING},
    {"response.function_call_arguments.delta", NULL, "output_index", ARGUMENTS},
};

static const struct { const char *type, *inside, *index; } names[] = {
    {"content_block_start", "content_block", "index"},
    {"response.output_item.added", "item", "output_index"},
};

static const char *const frames[] = {
    "ping", "message_start", "message_delta", "message_stop", "content_block_stop", "response.created",
    "response.in_progress", "response.completed", "response.output_item.done", "response.content_part.added",
    "response.content_part.done", "response.output_text.done", "response.refusal.done", "response.reasoning_text.done",
    "response.reasoning_summary_part.added", "response.reasoning_summary_part.done", "response.reasoning_summary_text.done",
    "response.function_call_arguments.done",
};

/* False: it is of no type that is known here. */
static bool take_typed(struct record *r, struct jval root)
{
    struct jval type = jscan_find(root, "type"), delta = jscan_find(root, "delta");
    bool known = false;
    for (size_t i = 0; i < sizeof typed / sizeof *typed; i++) {
        const struct typed *t = &typed[i];
        if (!jval_is(type, t->type)) continue;
        add(r, t->kind, 0, index_of(root, t->index), t->member ? jscan_find(delta, t->member) : delta);
        known = true;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names && !known; i++)
        if ((known = jval_is(type, names[i].type)))
            add_name(r, 0, index_of(root, names[i].index), jscan_find(jscan_find(root, names[i].inside), "name"));
    for (size_t i = 0; i < sizeof frames / sizeof *frames && !known; i++) known = jval_is(type, frames[i]);
    return known;
}

/* ---- all events ---- */

static void take_event(struct record *r, struct span said)
{
    struct jval root, choice;
    struct jfault fault;
    struct span key;
    if (!said.at || jscan_check(said, BOUND_JSON_DEPTH, &root, &fault) != WEIR_OK) return; /* a comment, [DONE] */
    struct jval choices = jscan_find(root, "choices");
    struct jiter it = jscan_iter(choices);
    while (jscan_next(&it, &key, &choice)) take_choice(r, choice);
    if (choices.kind != JSON_ARRAY && !take_typed(r, root)) keep(r, root.text);
}

static void take_events(struct record *r)
{
    struct sse_event ev;
    while (!r->cut && sse_next(&r->sse, &ev)) take_event(r, ev.data);
}

void record_take(struct record *r, struct span events)
{
    if (r->cut) return;
    if (sse_feed(&r->sse, events.at, events.len) != WEIR_OK) r->cut = true;
    take_events(r);
}

/* ---- what came of it ---- */

static void write_piece(const struct piece *p, struct buf *out)
{
    buf_printf(out, "{\"choice\":%lld,", (long long)p->choice);
    if (p->kind == ARGUMENTS) {
        buf_str(out, "\"tool\":\"");
        buf_span(out, buf_all(&p->name));
        buf_str(out, "\",");
    }
    buf_printf(out, "\"%s\":\"", kind_names[p->kind]);
    buf_span(out, buf_all(&p->text));
    buf_str(out, "\"}");
}

static void free_buf(void *b) { buf_free(b); }

struct span record_json(struct record *r, struct arena *a, bool *cut)
{
    struct buf *out = arena_alloc(a, sizeof *out);
    const char *lead = "[";
    if (!r->cut && sse_end(&r->sse) == WEIR_OK) take_events(r); /* one that ends in \r is not given out before */
    *cut = r->cut;
    if (!out || (!r->first && !r->events.len)) return SPAN_NONE;
    buf_init(out, r->most);
    if (!arena_defer(a, free_buf, out)) return SPAN_NONE;
    for (const struct piece *p = r->first; p; p = p->next, lead = ",") {
        buf_str(out, lead);
        write_piece(p, out);
    }
    if (r->events.len) {
        buf_str(out, lead);
        buf_str(out, "{\"events\":[");
        buf_span(out, buf_all(&r->events));
        buf_str(out, "]}");
    }
    buf_char(out, ']');
    return out->err == WEIR_OK ? buf_all(out) : SPAN_NONE;
}
