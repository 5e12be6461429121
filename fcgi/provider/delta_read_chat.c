/* OpenAI's chat answers and chunks, as OpenAI and the servers that are like it send them: calls without an index or an
 * id, choices without a delta, usage in other places (WIRE.md 3). And completions, whose choices have a text instead. */
#include "fcgi/provider/delta_read.h"
#include "fcgi/provider/openai.h"

/* The members of an answer or a chunk that count. */
struct chat_root { struct jval id, model, created, choices, usage, groq; };

static struct chat_root chat_root_of(struct jval root)
{
    struct chat_root c = {0};
    struct span key;
    struct jval v;
    struct jiter it = jscan_iter(root);
    while (jscan_next(&it, &key, &v)) {
        if (jkey_is(key, "id")) c.id = v;
        else if (jkey_is(key, "model")) c.model = v;
        else if (jkey_is(key, "created")) c.created = v;
        else if (jkey_is(key, "choices")) c.choices = v;
        else if (jkey_is(key, "usage")) c.usage = v;
        else if (jkey_is(key, "x_groq")) c.groq = v;
    }
    return c;
}

static void chat_usage(struct delta_reader *r, struct jval v)
{
    if (!openai_read_usage(v, &r->usage)) return; /* running totals: the last one counts */
    struct jval reasoning = jscan_find(jscan_find(v, "completion_tokens_details"), "reasoning_tokens");
    if (!delta_tokens(reasoning, &r->reasoning) || r->reasoning > r->usage.completion) r->reasoning = 0;
}

/* ---- tool calls ---- */

static uint64_t chat_hash(struct span s) /* FNV-1a; two ids that meet in it would become one call */
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < s.len; i++) hash = (hash ^ (unsigned char)s.at[i]) * 0x100000001b3u;
    return s.len ? hash | 1 : 0;
}

/* The latest call of the choice that has this index (-1: any) and this id (0: any). */
static struct known_call *chat_find_call(struct delta_reader *r, int choice, int64_t index, uint64_t id)
{
    for (int i = r->call_count - 1; i >= 0; i--) {
        struct known_call *call = &r->calls[i];
        if (call->choice == choice && (index < 0 || call->index == index) && (!id || call->id == id)) return call;
    }
    return NULL;
}

/* The call that a piece of a stream belongs to, if it has begun. Without an index, an id or a name says that a new one
 * begins; with one, a second id beside a name does, for there are servers that call every call 0. */
static struct known_call *chat_known_call(struct delta_reader *r, int choice, int64_t index, uint64_t id, bool named)
{
    struct known_call *call;
    if (index < 0) return id || !named ? chat_find_call(r, choice, -1, id) : NULL;
    call = chat_find_call(r, choice, index, 0);
    return call && named && id && call->id && call->id != id ? chat_find_call(r, choice, index, id) : call;
}

static void chat_call_piece(struct delta_reader *r, int choice, struct jval v)
{
    struct jval id = jscan_find(v, "id"), function = jscan_find(v, "function"), name = jscan_find(function, "name");
    int64_t index;
    if (!jval_int(jscan_find(v, "index"), &index) || index < 0) index = -1;
    uint64_t hash = chat_hash(delta_quoted(id));
    bool named = delta_quoted(name).len > 0;
    struct known_call *call = chat_known_call(r, choice, index, hash, named);
    if (!call) {
        if (!named && !hash && index < 0) return; /* arguments of no call */
        call = delta_note_call(r, choice, index, hash);
        if (!call) return;
        delta_give_tool(r, choice, call->number, id, name);
    }
    delta_give_arguments(r, choice, call->number, jscan_find(function, "arguments"));
}

static void chat_calls(struct delta_reader *r, int choice, struct jval calls, bool whole)
{
    struct span key;
    struct jval v;
    int tool = 0;
    struct jiter it = jscan_iter(calls);
    while (calls.kind == JSON_ARRAY && jscan_next(&it, &key, &v)) {
        if (v.kind != JSON_OBJECT) continue;
        if (!whole) {
            chat_call_piece(r, choice, v);
            continue;
        }
        struct jval function = jscan_find(v, "function");
        delta_give_tool(r, choice, tool, jscan_find(v, "id"), jscan_find(function, "name"));
        delta_give_arguments(r, choice, tool++, jscan_find(function, "arguments"));
    }
}

/* ---- choices ---- */

/* content: a string, or parts. */
static void chat_text(struct delta_reader *r, int choice, struct jval content)
{
    struct span key;
    struct jval part;
    struct jiter it = jscan_iter(content);
    delta_give_text(r, DELTA_TEXT, choice, 0, content);
    while (content.kind == JSON_ARRAY && jscan_next(&it, &key, &part)) {
        delta_give_text(r, DELTA_TEXT, choice, 0, jscan_find(part, "text"));
        delta_give_text(r, DELTA_REFUSAL, choice, 0, jscan_find(part, "refusal"));
    }
}

/* A delta or a message. Reasoning comes under either name, from some servers under both. */
static void chat_said(struct delta_reader *r, int choice, struct jval said, bool whole)
{
    struct jval content = {0}, refusal = {0}, calls = {0}, reasoning = {0}, reasoning_content = {0}, v;
    struct span key;
    struct jiter it = jscan_iter(said);
    while (jscan_next(&it, &key, &v)) {
        if (jkey_is(key, "content")) content = v;
        else if (jkey_is(key, "tool_calls")) calls = v;
        else if (jkey_is(key, "refusal")) refusal = v;
        else if (jkey_is(key, "reasoning_content")) reasoning_content = v;
        else if (jkey_is(key, "reasoning")) reasoning = v;
    }
    delta_give_text(r, DELTA_REASONING, choice, 0, delta_quoted(reasoning_content).len ? reasoning_content : reasoning);
    chat_text(r, choice, content);
    delta_give_text(r, DELTA_REFUSAL, choice, 0, refusal);
    chat_calls(r, choice, calls, whole);
}

/* What a choice says stands under one of these. */
static const char in_delta[] = "delta", in_message[] = "message", in_text[] = "text";

static int8_t chat_finish(struct jval v)
{
    if (jval_is(v, "length")) return FINISH_LENGTH;
    if (jval_is(v, "tool_calls") || jval_is(v, "function_call")) return FINISH_TOOLS;
    return jval_is(v, "content_filter") ? FINISH_FILTER : FINISH_STOP;
}

/* True if it says something: Azure's filters send choices that do not. */
static bool chat_choice(struct delta_reader *r, const struct chat_root *c, struct jval choice, int64_t place,
                        const char *part)
{
    struct jval said = {0}, finish = {0}, v;
    struct span key;
    int64_t index = place, created = 0;
    struct jiter it = jscan_iter(choice);
    while (choice.kind == JSON_OBJECT && jscan_next(&it, &key, &v)) {
        if (jkey_is(key, "index")) {
            if (!jval_int(v, &index)) index = place;
        } else if (jkey_is(key, "finish_reason")) finish = v;
        else if (jkey_is(key, part)) said = v;
    }
    bool finished = delta_quoted(finish).len > 0, spoken = said.kind == (part == in_text ? JSON_STRING : JSON_OBJECT);
    if ((!spoken && !finished) || index < 0 || index >= BOUND_CHOICES) return false;
    jval_int(c->created, &created);
    delta_give_start(r, c->id, c->model, created);
    delta_mark(r->seen, (int)index);
    if (finished) r->finish[index] = chat_finish(finish);
    if (part == in_text) delta_give_text(r, DELTA_TEXT, (int)index, 0, said);
    else chat_said(r, (int)index, said, part == in_message);
    return true;
}

static bool chat_choices(struct delta_reader *r, const struct chat_root *c, const char *part)
{
    struct span key;
    struct jval choice;
    int64_t place = 0;
    bool any = false;
    struct jiter it = jscan_iter(c->choices);
    while (c->choices.kind == JSON_ARRAY && jscan_next(&it, &key, &choice)) any |= chat_choice(r, c, choice, place++, part);
    return any;
}

static void read_chunk(struct delta_reader *r, struct jval root, const char *part)
{
    struct chat_root c = chat_root_of(root);
    chat_usage(r, c.usage);
    chat_usage(r, jscan_find(c.groq, "usage"));
    chat_choices(r, &c, part);
}

static void chat_event(struct delta_reader *r, struct jval root) { read_chunk(r, root, in_delta); }

static void completion_event(struct delta_reader *r, struct jval root) { read_chunk(r, root, in_text); }

static bool read_whole(struct delta_reader *r, struct jval root, const char *part)
{
    struct chat_root c = chat_root_of(root);
    chat_usage(r, c.usage);
    return chat_choices(r, &c, part);
}

static bool chat_answer(struct delta_reader *r, struct jval root) { return read_whole(r, root, in_message); }

static bool completion_answer(struct delta_reader *r, struct jval root) { return read_whole(r, root, in_text); }

const struct face_reader delta_reads_chat = {chat_event, chat_answer};
const struct face_reader delta_reads_completions = {completion_event, completion_answer};
