/* Trimming: whatever is dropped, what is left is a conversation that OpenAI and Anthropic take, and holds what must stay. */
#include "fcgi/stage/trim.c"

#include "fcgi/stage/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* ---- conversations by chance ---- */

static uint64_t state_of_chance;

static int chance(int most) /* 0 to most - 1 */
{
    state_of_chance = state_of_chance * 6364136223846793005u + 1442695040888963407u;
    return (int)((state_of_chance >> 33) % (uint64_t)most);
}

struct talk { enum face face; struct buf out; int id, open[8], open_count, serial; bool marks; };

static void next(struct talk *t)
{
    buf_printf(&t->out, "%s", t->serial++ ? "," : "");
}

/* Every item has a number, by which it is known again. */
static void text(struct talk *t)
{
    buf_printf(&t->out, "\"#%d ", t->serial);
    for (int n = chance(60); n; n--) buf_str(&t->out, "word ");
    buf_str(&t->out, "\"");
}

static void mark(struct talk *t)
{
    if (t->marks && chance(12) == 0) buf_str(&t->out, chance(4) ? ",\"x_weir_important\":true" : ",\"x_weir_important\":false");
}

static void said(struct talk *t, const char *role)
{
    next(t);
    buf_printf(&t->out, "{\"role\":\"%s\",\"content\":", role);
    if (chance(6) == 0 && strcmp(role, "user") == 0) {
        buf_str(&t->out, "[{\"type\":\"text\",\"text\":");
        text(t);
        buf_str(&t->out, t->face == FACE_MESSAGES ? "},{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://x/y\"}}]"
                                                  : "},{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x/y\"}}]");
    } else {
        text(t);
    }
    mark(t);
    buf_str(&t->out, "}");
}

static void calls(struct talk *t)
{
    t->open_count = 1 + chance(3);
    for (int i = 0; i < t->open_count; i++) t->open[i] = t->id++;
    if (t->face == FACE_RESPONSES) {
        if (chance(2)) next(t), buf_printf(&t->out, "{\"type\":\"reasoning\",\"id\":\"#%d \",\"summary\":[]}", t->serial);
        for (int i = 0; i < t->open_count; i++) {
            next(t);
            buf_printf(&t->out, "{\"type\":\"function_call\",\"id\":\"#%d \",\"call_id\":\"c%d\",\"name\":\"f\",\"arguments\":\"{}\"",
                       t->serial, t->open[i]);
            mark(t);
            buf_str(&t->out, "}");
        }
        return;
    }
    next(t);
    buf_printf(&t->out, "{\"role\":\"assistant\",\"%s\":[", t->face == FACE_CHAT ? "tool_calls" : "content");
    for (int i = 0; i < t->open_count; i++)
        buf_printf(&t->out, t->face == FACE_CHAT
                       ? "%s{\"id\":\"c%d\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}"
                       : "%s{\"type\":\"tool_use\",\"id\":\"c%d\",\"name\":\"f\",\"input\":{}}", i ? "," : "", t->open[i]);
    buf_printf(&t->out, "],\"x\":\"#%d \"", t->serial);
    mark(t);
    buf_str(&t->out, "}");
}

static void results(struct talk *t) /* in any order */
{
    if (t->face == FACE_MESSAGES) next(t), buf_printf(&t->out, "{\"role\":\"user\",\"x\":\"#%d \",\"content\":[", t->serial);
    for (bool first = true; t->open_count; first = false) {
        int which = chance(t->open_count), id = t->open[which];
        t->open[which] = t->open[--t->open_count];
        if (t->face == FACE_MESSAGES) {
            buf_printf(&t->out, "%s{\"type\":\"tool_result\",\"tool_use_id\":\"c%d\",\"content\":", first ? "" : ",", id);
        } else {
            next(t);
            buf_printf(&t->out, t->face == FACE_CHAT ? "{\"role\":\"tool\",\"tool_call_id\":\"c%d\",\"content\":"
                                                     : "{\"type\":\"function_call_output\",\"call_id\":\"c%d\",\"output\":", id);
        }
        text(t);
        if (t->face != FACE_MESSAGES) mark(t);
        buf_str(&t->out, "}");
    }
    if (t->face == FACE_MESSAGES) buf_str(&t->out, "]}");
}

static struct span conversation(struct talk *t, enum face face, bool marks)
{
    *t = (struct talk){.face = face, .marks = marks};
    buf_init(&t->out, 1 << 20);
    buf_printf(&t->out, "{\"model\":\"m\",\"max_tokens\":16,\"%s\":[", face == FACE_RESPONSES ? "input" : "messages");
    if (face != FACE_MESSAGES && chance(2)) said(t, chance(2) ? "system" : "developer");
    for (int turns = 1 + chance(12); turns; turns--) {
        said(t, "user");
        for (int rounds = chance(4); rounds; rounds--) {
            calls(t);
            results(t);
        }
        if (face != FACE_MESSAGES && chance(10) == 0) said(t, "system");
        if (turns > 1 || chance(2)) said(t, "assistant");
    }
    buf_str(&t->out, "]}");
    return buf_all(&t->out);
}

/* ---- what is allowed ---- */

static int number_in(struct jval v, const char *member)
{
    struct jval text = jscan_find(v, member);
    return text.kind == JSON_STRING ? atoi(text.text.at + 2) : -1; /* behind the quote and the c */
}

static void take_out(int *open, int *count, int id)
{
    for (int i = 0; i < *count; i++) {
        if (open[i] != id) continue;
        open[i] = open[--*count];
        return;
    }
    fail_msg("a result of no call: c%d", id);
}

/* OpenAI: behind a message with tool_calls come the tool messages of all of them before anything else. */
static void check_chat(struct jval list)
{
    int open[8], count = 0, place = 0;
    struct span key;
    struct jval m, call;
    struct jiter it = jscan_iter(list);
    for (bool spoken = false; jscan_next(&it, &key, &m); place++) {
        struct jval role = jscan_find(m, "role");
        if (jval_is(role, "tool")) {
            take_out(open, &count, number_in(m, "tool_call_id"));
            continue;
        }
        assert_int_equal(count, 0);
        if (jval_is(role, "system") || jval_is(role, "developer")) continue;
        if (!spoken) assert_true(jval_is(role, "user"));
        spoken = true;
        struct jiter calls_it = jscan_iter(jscan_find(m, "tool_calls"));
        while (jscan_next(&calls_it, &key, &call)) open[count++] = number_in(call, "id");
    }
    assert_int_equal(count, 0);
    assert_true(place > 0);
}

/* Anthropic: the user begins; the message behind one with tool_use blocks answers all of them, and no others. */
static void check_messages_rules(struct jval list)
{
    int open[8], count = 0, place = 0;
    struct span key;
    struct jval m, block;
    struct jiter it = jscan_iter(list);
    for (; jscan_next(&it, &key, &m); place++) {
        bool user = jval_is(jscan_find(m, "role"), "user");
        if (!place) assert_true(user);
        if (count) assert_true(user);
        struct jiter blocks = jscan_iter(jscan_find(m, "content"));
        while (jscan_next(&blocks, &key, &block)) {
            if (jval_is(jscan_find(block, "type"), "tool_result")) take_out(open, &count, number_in(block, "tool_use_id"));
            if (jval_is(jscan_find(block, "type"), "tool_use")) open[count++] = number_in(block, "id");
        }
        if (user) assert_int_equal(count, 0);
    }
    assert_int_equal(count, 0);
    assert_true(place > 0);
}

/* Responses: a call has its output and an output its call; reasoning is followed by what it led to. */
static void check_responses(struct jval list)
{
    int open[8], count = 0;
    struct span key;
    struct jval m;
    struct jiter it = jscan_iter(list);
    for (bool spoken = false, reasoned = false; jscan_next(&it, &key, &m);) {
        struct jval type = jscan_find(m, "type"), role = jscan_find(m, "role");
        if (reasoned) assert_true(jval_is(type, "function_call"));
        reasoned = jval_is(type, "reasoning");
        if (jval_is(role, "system") || jval_is(role, "developer")) continue;
        if (!spoken) assert_true(jval_is(role, "user"));
        spoken = true;
        if (jval_is(type, "function_call")) open[count++] = number_in(m, "call_id");
        if (jval_is(type, "function_call_output")) take_out(open, &count, number_in(m, "call_id"));
    }
    assert_int_equal(count, 0);
}

/* ---- the tests ---- */

static struct model_row model_of(int64_t window, const char *action)
{
    return (struct model_row){.alias = "m", .context_window = window, .context_action = action, .trim_at = 90, .trim_to = 60};
}

struct trial { struct arena memory; struct chat chat; struct buf out; const char *told; struct problem p; enum weir_err err; };

static void run(struct trial *t, enum face face, struct span body, const struct model_row *m, struct experience *x)
{
    *t = (struct trial){.err = WEIR_OK};
    arena_init(&t->memory);
    buf_init(&t->out, 1 << 20);
    assert_int_equal(parse_chat(face, body, &t->memory, &t->chat, &t->p), WEIR_OK);
    t->err = trim_chat(m, x, &t->memory, &t->chat, &t->out, &t->told, &t->p);
}

static void end(struct trial *t)
{
    buf_free(&t->out);
    arena_end(&t->memory);
}

static struct jval list_of(struct arena *a, enum face face, struct span body, struct chat *chat)
{
    struct problem p;
    assert_int_equal(parse_chat(face, body, a, chat, &p), WEIR_OK);
    return jscan_find(chat->root, face == FACE_RESPONSES ? "input" : "messages");
}

static bool is_kept(struct jval list, struct jval item) /* by its number and, so, its place */
{
    const char *number = memmem(item.text.at, item.text.len, "#", 1);
    struct span sign = {number, (size_t)(strchr(number, ' ') - number)};
    return memmem(list.text.at, list.text.len, sign.at, sign.len + 1) != NULL;
}

static void check_kept(struct jval before, struct jval after, struct trial *t, int64_t most, struct experience *x)
{
    struct span key;
    struct jval m;
    struct list l;
    struct problem p;
    int last_user = -1, droppable = 0;
    assert_int_equal(read_list(&t->chat, &t->memory, &l, &p), WEIR_OK);
    int last = number_turns(&l), last_round = 0;
    for (int i = 0; i < l.count; i++) {
        bool must = l.items[i].part == OF_NONE || l.items[i].important || i == l.count - 1;
        if (l.items[i].part != OF_NONE) last_round = l.items[i].round;
        if (l.items[i].part == OF_USER) last_user = i;
        if (must) assert_true(is_kept(after, l.items[i].value));
    }
    assert_true(is_kept(after, l.items[last_user].value));
    for (int i = 0; i < l.count; i++) { /* is anything left that could have gone? */
        bool stays = l.items[i].part == OF_NONE || (l.items[i].turn == last && (!l.items[i].round || l.items[i].round == last_round));
        for (int k = 0; k < l.count && !stays; k++)
            stays = l.items[k].important && l.items[k].turn == l.items[i].turn &&
                    (l.items[i].turn != last || l.items[k].round == l.items[i].round);
        if (!stays && is_kept(after, l.items[i].value)) droppable++;
    }
    struct chat chat;
    struct jiter it = jscan_iter(list_of(&t->memory, t->chat.face, buf_all(&t->out), &chat));
    while (jscan_next(&it, &key, &m)) assert_int_equal(jscan_find(m, TRIM_MARK).kind, JSON_ABSENT);
    if (droppable) assert_true(estimate_tokens(x, "m", estimate_weight(&chat)) <= most);
    assert_true(before.text.len > after.text.len);
}

static void whatever_is_dropped_a_valid_conversation_is_left(void **state)
{
    static const enum face faces[] = {FACE_CHAT, FACE_MESSAGES, FACE_RESPONSES};
    struct experience *x = experience_new();
    int trimmed = 0;
    (void)state;
    for (int n = 0; n < 3000; n++) {
        state_of_chance = (uint64_t)n;
        struct talk talk;
        struct trial t, again;
        struct chat chat;
        enum face face = faces[n % 3];
        struct model_row m = model_of(200 + chance(4000), "trim");
        struct span body = conversation(&talk, face, n % 2);
        run(&t, face, body, &m, x);
        assert_int_equal(t.err, WEIR_OK);
        if (t.out.len) {
            struct jval after = list_of(&t.memory, face, buf_all(&t.out), &chat);
            if (face == FACE_CHAT) check_chat(after);
            else if (face == FACE_MESSAGES) check_messages_rules(after);
            else check_responses(after);
            if (t.told && strncmp(t.told, "trimmed", 7) == 0) {
                int64_t room = face == FACE_RESPONSES ? m.context_window : m.context_window - 16;
                check_kept(jscan_find(t.chat.root, list_name(&t.chat)), after, &t, least(m.context_window * 60 / 100, room), x);
                trimmed++;
            }
            if (n % 2 == 0) { /* what fits is left alone; what cannot is no better the second time (but the marks are gone) */
                run(&again, face, buf_all(&t.out), &m, x);
                assert_int_equal(again.out.len, 0);
                end(&again);
            }
        }
        end(&t);
        buf_free(&talk.out);
    }
    assert_true(trimmed > 500);
    experience_free(x);
}

#define LONG "lorem ipsum dolor sit amet lorem ipsum dolor sit amet lorem ipsum dolor sit amet lorem ipsum dolor sit amet "
#define USER(text) "{\"role\":\"user\",\"content\":\"" text "\"}"
#define MODEL(text) "{\"role\":\"assistant\",\"content\":\"" text "\"}"
#define FIVE "{\"model\":\"m\",\"messages\":[" USER(LONG "1") "," MODEL(LONG "2") "," USER(LONG "3") "," MODEL(LONG "4") "," USER("5") "]}"

static void the_oldest_turns_go_and_it_is_told(void **state)
{
    struct experience *x = experience_new();
    struct model_row m = model_of(160, "trim");
    struct trial t;
    (void)state;
    run(&t, FACE_CHAT, SPAN(FIVE), &m, x);
    assert_int_equal(t.err, WEIR_OK);
    assert_string_equal(buf_cstr(&t.out), "{\"model\":\"m\",\"messages\":[" USER(LONG "3") "," MODEL(LONG "4") "," USER("5") "]}");
    assert_string_equal(t.told, "trimmed; before=160; after=86; dropped=2; window=160");
    end(&t);
    m.context_window = 190;
    run(&t, FACE_CHAT, SPAN(FIVE), &m, x);
    assert_int_equal(t.out.len, 0);
    assert_string_equal(t.told, "warning; tokens=160; window=190");
    end(&t);
    m.context_window = 1000;
    run(&t, FACE_CHAT, SPAN(FIVE), &m, x);
    assert_true(!t.out.len && !t.told);
    end(&t);
    experience_free(x);
}

static void an_answer_that_was_asked_for_is_given_room(void **state)
{
    struct experience *x = experience_new();
    struct model_row m = model_of(400, "trim");
    struct trial t;
    (void)state;
    run(&t, FACE_CHAT, SPAN("{\"max_tokens\":300," "\"model\":\"m\",\"messages\":[" USER(LONG "1") "," MODEL(LONG "2") ","
                            USER(LONG "3") "," MODEL(LONG "4") "," USER("5") "]}"), &m, x);
    assert_non_null(t.told);
    assert_memory_equal(t.told, "trimmed", 7);
    end(&t);
    experience_free(x);
}

static void refusal_and_the_larger_model_instead(void **state)
{
    struct experience *x = experience_new();
    struct model_row m = model_of(160, "refuse");
    struct trial t;
    (void)state;
    run(&t, FACE_CHAT, SPAN(FIVE), &m, x);
    assert_int_equal(t.err, WEIR_TOO_LONG);
    assert_string_equal(t.p.param, "messages");
    end(&t);
    m.context_action = "fallback";
    run(&t, FACE_CHAT, SPAN(FIVE), &m, x);
    assert_true(t.err == WEIR_OK && t.chat.is_long && !t.out.len);
    assert_string_equal(t.told, "fallback; tokens=160; window=160");
    end(&t);
    m.context_action = NULL;
    run(&t, FACE_CHAT, SPAN(FIVE), &m, x);
    assert_true(t.err == WEIR_OK && !t.chat.is_long && !t.out.len && !t.told);
    end(&t);
    experience_free(x);
}

static void a_mark_never_goes_to_a_provider(void **state)
{
    struct trial t;
    (void)state;
    run(&t, FACE_CHAT, SPAN("{\"model\":\"m\",\"messages\":[{\"x_weir_important\":true,\"role\":\"user\",\"content\":\"a\"}]}"), NULL, NULL);
    assert_string_equal(buf_cstr(&t.out), "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}");
    end(&t);
    run(&t, FACE_CHAT, SPAN("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x_weir_important\"}]}"), NULL, NULL);
    assert_int_equal(t.out.len, 0);
    end(&t);
    run(&t, FACE_CHAT, SPAN("{\"model\":\"m\",\"messages\":[{\"x_weir_important\":1,\"role\":\"user\",\"content\":\"a\"}]}"), NULL, NULL);
    assert_int_equal(t.err, WEIR_INVALID);
    assert_string_equal(t.p.param, "messages[0].x_weir_important");
    end(&t);
}

/* A conversation that the provider holds a part of is not cut: what belongs to what is known to it alone. */
static void what_the_provider_holds_is_left_to_it(void **state)
{
    struct experience *x = experience_new();
    struct model_row m = model_of(40, "trim");
    struct trial t;
    (void)state;
    run(&t, FACE_RESPONSES, SPAN("{\"model\":\"m\",\"previous_response_id\":\"r\",\"input\":[" USER(LONG) "," MODEL(LONG) "," USER("5") "]}"), &m, x);
    assert_int_equal(t.out.len, 0);
    assert_memory_equal(t.told, "warning", 7);
    end(&t);
    experience_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_is_dropped_a_valid_conversation_is_left),
        cmocka_unit_test(the_oldest_turns_go_and_it_is_told),
        cmocka_unit_test(an_answer_that_was_asked_for_is_given_room),
        cmocka_unit_test(refusal_and_the_larger_model_instead),
        cmocka_unit_test(a_mark_never_goes_to_a_provider),
        cmocka_unit_test(what_the_provider_holds_is_left_to_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
