/* Conversations that fit. What belongs together goes together: a turn is dropped whole, and within the last one the calls of
 * one round with all their results. So what is left is as valid as what came. */
#include "fcgi/stage/trim.h"

#include <stdio.h>

#define WARN_PERCENT 80

/* What an item is to the order of a conversation. */
enum part_of { OF_NONE, OF_USER, OF_MODEL, OF_TOOLS }; /* the system's; begins a turn; the model's; results of tools */

struct item {
    struct jval value;
    enum part_of part;
    int64_t calls, results; /* calls of tools that it makes; that it answers */
    int64_t weight;
    int turn, round;        /* round 0: the user's own message */
    bool important, dropped;
};

struct list { struct jval value; struct item *items; int count; bool marked; };

/* ---- what an item is: by face ---- */

static bool is_system(struct jval role) { return jval_is(role, "system") || jval_is(role, "developer"); }

static void read_chat_item(struct item *m)
{
    struct jval role = jscan_find(m->value, "role");
    if (is_system(role)) return;
    m->part = jval_is(role, "user") ? OF_USER : jval_is(role, "tool") || jval_is(role, "function") ? OF_TOOLS : OF_MODEL;
    m->results = m->part == OF_TOOLS;
    m->calls = (int64_t)jscan_count(jscan_find(m->value, "tool_calls"));
    m->calls += jscan_find(m->value, "function_call").kind == JSON_OBJECT;
}

static void read_messages_item(struct item *m)
{
    struct jval role = jscan_find(m->value, "role"), block;
    struct span key;
    struct jiter it = jscan_iter(jscan_find(m->value, "content"));
    if (is_system(role)) return;
    while (jscan_next(&it, &key, &block)) {
        struct jval type = jscan_find(block, "type");
        m->calls += jval_is(type, "tool_use");
        m->results += jval_is(type, "tool_result");
    }
    m->part = m->results ? OF_TOOLS : jval_is(role, "user") ? OF_USER : OF_MODEL;
}

static bool ends_with(struct jval v, const char *end)
{
    size_t n = strlen(end);
    return v.kind == JSON_STRING && v.text.len >= n + 2 && memcmp(v.text.at + v.text.len - 1 - n, end, n) == 0;
}

static void read_responses_item(struct item *m)
{
    struct jval type = jscan_find(m->value, "type"), role = jscan_find(m->value, "role");
    if (is_system(role)) return;
    m->calls = (ends_with(type, "_call") && jscan_find(m->value, "call_id").kind == JSON_STRING) ||
               jval_is(type, "mcp_approval_request");
    m->results = ends_with(type, "_call_output") || jval_is(type, "mcp_approval_response");
    m->part = m->results ? OF_TOOLS : jval_is(role, "user") ? OF_USER : OF_MODEL;
}

/* ---- the list and its turns ---- */

static const char *list_name(const struct chat *chat)
{
    switch (chat->face) {
    case FACE_COMPLETIONS: return "prompt";
    case FACE_EMBEDDINGS:
    case FACE_RESPONSES: return "input";
    default: return "messages";
    }
}

static enum weir_err read_mark(struct item *m, const struct chat *chat, int place, struct list *l, struct problem *p)
{
    char name[64];
    struct jval mark = jscan_find(m->value, TRIM_MARK);
    if (mark.kind == JSON_ABSENT) return WEIR_OK;
    l->marked = true;
    if (jval_bool(mark, &m->important)) return WEIR_OK;
    snprintf(name, sizeof name, "%s[%d]." TRIM_MARK, list_name(chat), place);
    return problem_set(p, WEIR_INVALID, name, "%s must be true or false.", name);
}

/* The items of a conversation; none where the face has no list. */
static enum weir_err read_list(const struct chat *chat, struct arena *a, struct list *l, struct problem *p)
{
    struct span key;
    enum weir_err err = WEIR_OK;
    *l = (struct list){.count = 0};
    if (chat->face == FACE_COMPLETIONS || chat->face == FACE_EMBEDDINGS) return WEIR_OK;
    l->value = jscan_find(chat->root, list_name(chat));
    if (l->value.kind != JSON_ARRAY) return WEIR_OK;
    l->items = arena_alloc(a, sizeof *l->items * (jscan_count(l->value) + 1));
    if (!l->items) return problem_set(p, WEIR_NOMEM, NULL, NULL);
    struct jiter it = jscan_iter(l->value);
    for (struct item *m = l->items; err == WEIR_OK && jscan_next(&it, &key, &m->value); m++, l->count++) {
        if (chat->face == FACE_CHAT) read_chat_item(m);
        else if (chat->face == FACE_MESSAGES) read_messages_item(m);
        else read_responses_item(m);
        err = read_mark(m, chat, l->count, l, p);
    }
    return err;
}

/* Where a call waits for its result nothing new begins: what stands between them stays with them. */
static int number_turns(struct list *l)
{
    int turn = 0, round = 0;
    int64_t open = 0;
    enum part_of before = OF_NONE;
    for (int i = 0; i < l->count; i++) {
        struct item *m = &l->items[i];
        m->weight = estimate_message(m->value);
        if (m->part == OF_NONE) continue;
        if (m->part == OF_USER && !open) turn++, round = 0;
        else if (m->part == OF_MODEL && before != OF_MODEL && !open) round++;
        m->turn = turn;
        m->round = round;
        open = m->results > open + m->calls ? 0 : open + m->calls - m->results;
        before = m->part;
    }
    return turn;
}

/* ---- dropping ---- */

struct fit { const struct model_row *model; struct experience *experience; int64_t weight, most; int dropped; };

static int64_t tokens_of(const struct fit *f) { return estimate_tokens(f->experience, f->model->alias, f->weight); }

/* All items of a group, round -1: of a turn, unless one of them is important. */
static void drop_group(struct fit *f, struct list *l, int *at, int turn, int round)
{
    int begin = *at, end = begin;
    bool important = false;
    for (; end < l->count; end++) {
        const struct item *m = &l->items[end];
        if (m->part == OF_NONE) continue;
        if (m->turn != turn || (round >= 0 && m->round != round)) break;
        important |= m->important;
    }
    *at = end;
    for (int i = begin; i < end && !important; i++) {
        struct item *m = &l->items[i];
        if (m->part == OF_NONE) continue;
        m->dropped = true;
        f->weight -= m->weight;
        f->dropped++;
    }
}

static void drop_oldest(struct fit *f, struct list *l)
{
    int last = number_turns(l), last_round = l->count ? 0 : -1, at = 0;
    for (int i = 0; i < l->count; i++)
        if (l->items[i].part != OF_NONE) last_round = l->items[i].round;
    for (int turn = 0; turn < last && tokens_of(f) > f->most; turn++) drop_group(f, l, &at, turn, -1);
    while (at < l->count && (l->items[at].part == OF_NONE || l->items[at].turn < last || l->items[at].round == 0)) at++;
    for (int round = 1; round < last_round && tokens_of(f) > f->most; round++) drop_group(f, l, &at, last, round);
}

/* ---- the new body ---- */

static void write_item(const struct item *m, struct buf *out)
{
    struct span key;
    struct jval v;
    const char *lead = "{";
    struct jiter it = jscan_iter(m->value);
    if (jscan_find(m->value, TRIM_MARK).kind == JSON_ABSENT) {
        buf_span(out, m->value.text);
        return;
    }
    while (jscan_next(&it, &key, &v)) {
        if (jkey_is(key, TRIM_MARK)) continue;
        buf_str(out, lead);
        buf_span(out, (struct span){key.at - 1, key.len + 2});
        buf_char(out, ':');
        buf_span(out, v.text);
        lead = ",";
    }
    buf_str(out, *lead == '{' ? "{}" : "}");
}

static enum weir_err write_body(const struct chat *chat, const struct list *l, struct buf *out)
{
    const char *behind = l->value.text.at + l->value.text.len, *end = chat->body.at + chat->body.len, *lead = "[";
    buf_span(out, (struct span){chat->body.at, (size_t)(l->value.text.at - chat->body.at)});
    for (int i = 0; i < l->count; i++) {
        if (l->items[i].dropped) continue;
        buf_str(out, lead);
        write_item(&l->items[i], out);
        lead = ",";
    }
    buf_char(out, ']');
    return buf_span(out, (struct span){behind, (size_t)(end - behind)});
}

/* ---- the whole ---- */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* The window less the answer that the caller has asked for, which it must hold too. */
static int64_t room_of(const struct model_row *m, const struct chat *chat)
{
    bool stated = chat->max_output > 0 && chat->max_output < m->context_window;
    return m->context_window - (stated ? chat->max_output : 0);
}

/* What the provider has stored of the conversation is not here to be counted. */
static bool is_all_here(const struct chat *chat)
{
    if (chat->face != FACE_RESPONSES) return true;
    return jscan_find(chat->root, "previous_response_id").kind <= JSON_NULL &&
           jscan_find(chat->root, "conversation").kind <= JSON_NULL;
}

static const char *trim_list(struct fit *f, struct list *l, int64_t before, struct arena *a)
{
    drop_oldest(f, l);
    if (!f->dropped) return NULL;
    return arena_printf(a, "trimmed; before=%lld; after=%lld; dropped=%d; window=%lld", (long long)before,
                        (long long)tokens_of(f), f->dropped, (long long)f->model->context_window);
}

static enum weir_err act(struct fit *f, struct list *l, struct arena *a, struct chat *chat, const char **told,
                         struct problem *p)
{
    const struct model_row *m = f->model;
    int64_t tokens = tokens_of(f), room = room_of(m, chat);
    long long window = m->context_window;
    if (tokens > least(m->context_window * m->trim_at / 100, room)) {
        if (strcmp(m->context_action, "refuse") == 0)
            return problem_set(p, WEIR_TOO_LONG, list_name(chat), "%s has about %lld tokens; the model's context has %lld.",
                               list_name(chat), (long long)tokens, window);
        if (strcmp(m->context_action, "fallback") == 0) {
            chat->is_long = true;
            *told = arena_printf(a, "fallback; tokens=%lld; window=%lld", (long long)tokens, window);
            return WEIR_OK;
        }
        f->most = least(m->context_window * m->trim_to / 100, room);
        if (is_all_here(chat)) *told = trim_list(f, l, tokens, a);
    }
    if (!*told && tokens * 100 >= m->context_window * WARN_PERCENT)
        *told = arena_printf(a, "warning; tokens=%lld; window=%lld", (long long)tokens, window);
    return WEIR_OK;
}

enum weir_err trim_chat(const struct model_row *m, struct experience *x, struct arena *a, struct chat *chat,
                        struct buf *out, const char **told, struct problem *p)
{
    struct list l;
    bool asked = m && m->context_action && m->context_window > 0;
    *told = NULL;
    if (!asked && !memmem(chat->body.at, chat->body.len, TRIM_MARK, sizeof TRIM_MARK - 1)) return WEIR_OK;
    enum weir_err err = read_list(chat, a, &l, p);
    if (err != WEIR_OK) return err;
    struct fit f = {.model = m, .experience = x, .weight = estimate_weight(chat)};
    if (asked) err = act(&f, &l, a, chat, told, p);
    if (err != WEIR_OK || (!f.dropped && !l.marked)) return err;
    return write_body(chat, &l, out) == WEIR_OK ? WEIR_OK : problem_set(p, WEIR_NOMEM, NULL, NULL);
}
