/* The built-in mock: OpenAI's shapes in every form, the same usage streamed and plain, in time, and never too much. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* The n-th allocation from here on fails; below 0: none. */
static int allocations_left = -1;

static int may_allocate(void)
{
    return allocations_left < 0 || allocations_left-- > 0;
}

static void *scripted_calloc(size_t n, size_t size) { return may_allocate() ? calloc(n, size) : NULL; }
static void *scripted_realloc(void *at, size_t size) { return may_allocate() ? realloc(at, size) : NULL; }
static int scripted_poll(struct pollfd *fds, nfds_t count, int ms);

#define calloc scripted_calloc
#define realloc scripted_realloc
#define poll scripted_poll
#include "fcgi/base/buf.c"
#include "fcgi/provider/mock.c"
#undef calloc
#undef realloc
#undef poll

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "fcgi/base/sse.h"

/* ---- time: poll looks at its descriptors, then lets the clock run instead of sleeping ---- */

static int64_t mono = 1000, wall = 1790000000123;
static int polls, poll_errno; /* poll_errno: what the next poll fails with, in the middle of its sleep */
static bool polls_really;

static int64_t mono_now(void) { return mono; }
static int64_t wall_now(void) { return wall; }

static int scripted_poll(struct pollfd *fds, nfds_t count, int ms)
{
    polls++;
    assert_true(ms > 0);
    if (polls_really) return poll(fds, count, ms);
    int n = poll(fds, count, 0);
    if (n != 0) return n;
    mono += poll_errno ? ms / 2 : ms;
    if (!poll_errno) return 0;
    errno = poll_errno;
    poll_errno = 0;
    return -1;
}

/* ---- asking ---- */

struct asked {
    struct chat chat;
    struct target target;
    struct call call;
    struct upstream *up;
};

static void ask(struct asked *a, enum face face, const char *model, const char *body)
{
    struct jfault fault;
    *a = (struct asked){.chat = {.face = face, .choices = 1, .max_output = -1, .prompt_bytes = 41}};
    struct chat *c = &a->chat;
    c->body = span_of(body);
    assert_int_equal(jscan_check(c->body, 64, &c->root, &fault), WEIR_OK);
    jval_bool(jscan_find(c->root, "stream"), &c->stream);
    jval_int(jscan_find(c->root, "n"), &c->choices);
    jval_int(jscan_find(c->root, "max_tokens"), &c->max_output);
    c->wants_base64 = jval_is(jscan_find(c->root, "encoding_format"), "base64");
    a->target.model = model;
    a->call = (struct call){.stop_fd = -1, .chat = c, .target = &a->target, .max_output = -1};
}

static void open_it(struct asked *a, enum face face, const char *model, const char *body)
{
    ask(a, face, model, body);
    assert_int_equal(dialect_mock.open(&a->call, &a->up), WEIR_OK);
}

static enum upstream_event wait_for(struct asked *a, int64_t ms)
{
    return a->up->ops->wait(a->up, -1, mono + ms);
}

static void done_with(struct asked *a)
{
    a->up->ops->close(a->up);
}

/* Takes the whole answer: HEAD once, BYTES of bounded size, END that stays. */
static void take_all(struct asked *a, struct buf *body)
{
    enum upstream_event e;
    assert_int_equal(wait_for(a, INT32_MAX), UPSTREAM_HEAD);
    assert_int_equal(a->up->bytes.len, 0);
    while ((e = wait_for(a, INT32_MAX)) == UPSTREAM_BYTES) {
        assert_in_range(a->up->bytes.len, 1, 64 << 10);
        assert_int_equal(wait_for(a, 0), UPSTREAM_BYTES); /* until they are taken */
        assert_int_equal(buf_span(body, buf_all(&a->up->bytes)), WEIR_OK);
        buf_clear(&a->up->bytes);
    }
    assert_int_equal(e, UPSTREAM_END);
    assert_int_equal(wait_for(a, 0), UPSTREAM_END);
}

/* ---- reading ---- */

/* "choices.0.message.content" */
static struct jval path(struct jval v, const char *names)
{
    while (*names) {
        char name[64];
        size_t n = strcspn(names, ".");
        snprintf(name, sizeof name, "%.*s", (int)n, names);
        if (v.kind == JSON_ARRAY) {
            struct jiter it = jscan_iter(v);
            struct span key;
            for (int i = atoi(name); i >= 0; i--)
                if (!jscan_next(&it, &key, &v)) return (struct jval){.kind = JSON_ABSENT};
        } else {
            v = jscan_find(v, name);
        }
        names += n + (names[n] == '.');
    }
    return v;
}

static int64_t number(struct jval root, const char *names)
{
    int64_t n = INT64_MIN;
    assert_true(jval_int(path(root, names), &n));
    return n;
}

static struct jval parsed(struct span text)
{
    struct jval root;
    struct jfault fault;
    assert_int_equal(jscan_check(text, 64, &root, &fault), WEIR_OK);
    return root;
}

/* What one choice said, read from a plain answer or from events. */
struct said {
    struct buf text;
    char finish[24], call_id[64], tool[300];
    int parts;
};

struct answer {
    struct said said[8];
    int choices;
    int64_t prompt, completion;
    struct tap tap;
    struct buf body;
};

static void answer_free(struct answer *r)
{
    for (int i = 0; i < 8; i++) buf_free(&r->said[i].text);
    buf_free(&r->body);
}

static void copy(char *to, size_t size, struct jval v)
{
    struct buf text;
    if (v.kind != JSON_STRING) return;
    buf_init(&text, size - 1);
    assert_int_equal(jval_string(v, &text), WEIR_OK);
    snprintf(to, size, "%s", buf_cstr(&text));
    buf_free(&text);
}

static void read_usage(struct answer *r, struct jval usage)
{
    r->prompt = number(usage, "prompt_tokens");
    r->completion = number(usage, "completion_tokens");
    assert_int_equal(number(usage, "total_tokens"), r->prompt + r->completion);
    assert_int_equal(number(usage, "prompt_tokens_details.cached_tokens"), 0);
    assert_int_equal(number(usage, "completion_tokens_details.reasoning_tokens"), 0);
}

static void read_part(struct said *s, struct jval choice, const char *under)
{
    struct jval part = path(choice, under), call = path(part, "tool_calls.0");
    struct jval text = part.kind == JSON_STRING ? part : path(part, "content");
    if (call.kind == JSON_OBJECT) {
        text = path(call, "function.arguments");
        copy(s->call_id, sizeof s->call_id, path(call, "id"));
        copy(s->tool, sizeof s->tool, path(call, "function.name"));
    }
    size_t before = s->text.len;
    if (text.kind == JSON_STRING) assert_int_equal(jval_string(text, &s->text), WEIR_OK);
    s->parts += s->text.len > before;
    assert_int_equal(path(choice, "logprobs").kind, JSON_NULL);
    copy(s->finish, sizeof s->finish, path(choice, "finish_reason"));
}

static void read_plain(struct asked *a, struct answer *r)
{
    struct fault fault;
    struct jval root = parsed(buf_all(&r->body)), choices = path(root, "choices"), choice;
    struct span key;
    bool chat = a->chat.face == FACE_CHAT;
    assert_true(tap_read_answer(&r->tap, buf_all(&r->body), &fault));
    assert_true(jval_is(path(root, "object"), chat ? "chat.completion" : "text_completion"));
    assert_true(jval_is(path(root, "model"), a->target.model));
    assert_int_equal(number(root, "created"), wall / 1000);
    struct jiter it = jscan_iter(choices);
    for (; jscan_next(&it, &key, &choice); r->choices++) {
        assert_int_equal(number(choice, "index"), r->choices);
        if (chat) {
            assert_true(jval_is(path(choice, "message.role"), "assistant"));
            assert_int_equal(path(choice, "message.refusal").kind, JSON_NULL);
        }
        read_part(&r->said[r->choices], choice, chat ? "message" : "text");
    }
    read_usage(r, path(root, "usage"));
}

static void read_event(struct asked *a, struct answer *r, struct span data, char *id)
{
    bool chat = a->chat.face == FACE_CHAT;
    struct jval root = parsed(data), choice = path(root, "choices.0"), usage = path(root, "usage");
    char this_id[64] = "";
    copy(this_id, sizeof this_id, path(root, "id"));
    if (!*id) memcpy(id, this_id, sizeof this_id);
    assert_string_equal(this_id, id);
    assert_true(jval_is(path(root, "object"), chat ? "chat.completion.chunk" : "text_completion"));
    assert_true(jval_is(path(root, "model"), a->target.model));
    assert_int_equal(number(root, "created"), wall / 1000);
    if (choice.kind == JSON_ABSENT) {
        assert_int_equal(path(root, "choices").kind, JSON_ARRAY);
        read_usage(r, usage);
        return;
    }
    assert_int_equal(usage.kind, JSON_NULL);
    int64_t index = number(choice, "index");
    assert_in_range(index, 0, 7);
    struct said *s = &r->said[index];
    assert_string_equal(s->finish, ""); /* nothing comes behind the end */
    if (index >= r->choices) {
        r->choices = (int)index + 1;
        if (chat) assert_true(jval_is(path(choice, "delta.role"), "assistant")); /* the role comes first */
    } else if (chat) {
        assert_int_equal(path(choice, "delta.role").kind, JSON_ABSENT);
    }
    read_part(s, choice, chat ? "delta" : "text");
}

static void read_stream(struct asked *a, struct answer *r)
{
    struct sse sse;
    struct sse_event ev;
    struct fault fault;
    char id[64] = "";
    enum event_kind kind = EVENT_EMPTY, before = EVENT_EMPTY;
    sse_init(&sse, 1 << 20);
    assert_int_equal(sse_feed(&sse, r->body.at, r->body.len), WEIR_OK);
    while (sse_next(&sse, &ev)) {
        assert_false(r->tap.done);
        assert_true(ev.data.at && !ev.type.at);
        before = kind;
        kind = tap_read_event(&r->tap, ev.data, &fault);
        assert_true(kind == EVENT_HEAD || kind == EVENT_CONTENT || kind == EVENT_USAGE || kind == EVENT_DONE);
        if (kind != EVENT_DONE) read_event(a, r, ev.data, id);
    }
    assert_true(kind == EVENT_DONE && before == EVENT_USAGE);
    assert_int_equal(sse.given, sse.whole);
    sse_free(&sse);
}

/* Asks, takes and reads an answer in either form; what the tap read must be what we read. */
static void answer_of(struct answer *r, enum face face, const char *model, const char *body)
{
    struct asked a;
    *r = (struct answer){.prompt = -1};
    for (int i = 0; i < 8; i++) buf_init(&r->said[i].text, 16 << 20);
    buf_init(&r->body, 256 << 20);
    open_it(&a, face, model, body);
    tap_start(&r->tap, &a.chat, a.chat.face);
    take_all(&a, &r->body);
    assert_int_equal(a.up->status, 200);
    assert_true(span_is(upstream_header(a.up, "Content-Type"), a.chat.stream ? "text/event-stream" : "application/json"));
    if (a.chat.stream) read_stream(&a, r);
    else read_plain(&a, r);
    assert_true(tap_is_finished(&r->tap) && r->tap.usage.known);
    assert_int_equal(r->tap.usage.prompt, r->prompt);
    assert_int_equal(r->tap.usage.completion, r->completion);
    done_with(&a);
}

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"Hi there\"}],\"prompt\":\"Hi there\""

/* ---- shapes ---- */

static void plain_answer_echoes_and_counts(void **state)
{
    (void)state;
    struct answer r;
    answer_of(&r, FACE_CHAT, "mock", "{" HI ",\"n\":3}");
    assert_string_equal(buf_cstr(&r.said[2].text),
                        "Hello from Weir's built-in mock: no provider was asked. You said: \"Hi there\"");
    assert_string_equal(r.said[2].finish, "stop");
    assert_int_equal(r.prompt, 11); /* 41 bytes */
    assert_int_equal(r.completion, 3 * 13);
    assert_int_equal(r.choices, 3);
    answer_free(&r);
}

static void stream_and_plain_say_and_count_the_same(void **state)
{
    (void)state;
    static const char *const models[] = {"mock", "mock-stream:30:1", "mock-slow:5", "mock-tool", "mock-long", "mock-long:1",
                                         "mock-long:65", "unheard-of", "mock:7", "m\"o\\d\xC3\xA9l"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        for (int face = FACE_CHAT; face <= FACE_COMPLETIONS; face++)
            for (int n = 1; n <= 9; n += 4)
                for (int most = -1; most <= 14; most += 3) {
                    char body[300];
                    struct answer plain, stream;
                    snprintf(body, sizeof body, "{" HI ",\"n\":%d,\"max_tokens\":%d}", n, most);
                    answer_of(&plain, (enum face)face, models[i], body);
                    snprintf(body, sizeof body, "{\"stream\":true," HI ",\"n\":%d,\"max_tokens\":%d}", n, most);
                    answer_of(&stream, (enum face)face, models[i], body);
                    assert_int_equal(plain.choices, n > 8 ? 8 : n);
                    assert_int_equal(stream.choices, plain.choices);
                    assert_int_equal(stream.prompt, plain.prompt);
                    assert_int_equal(stream.completion, plain.completion);
                    if (most >= 0) assert_in_range(plain.completion, 0, most * plain.choices);
                    for (int c = 0; c < plain.choices; c++) {
                        assert_string_equal(buf_cstr(&stream.said[c].text), buf_cstr(&plain.said[c].text));
                        assert_string_equal(stream.said[c].finish, plain.said[c].finish);
                        assert_string_equal(stream.said[c].tool, plain.said[c].tool);
                        assert_int_equal(*stream.said[c].call_id != 0, *plain.said[c].call_id != 0);
                    }
                    answer_free(&plain);
                    answer_free(&stream);
                }
}

static void maximum_cuts_and_says_so(void **state)
{
    (void)state;
    static const struct { const char *model; int most, tokens; const char *finish; } rows[] = {
        {"mock", 0, 0, "length"},  {"mock", 12, 12, "length"},           {"mock", 13, 13, "stop"},
        {"mock", 500, 13, "stop"}, {"mock-stream:30:0", 29, 29, "length"}, {"mock-stream:30:0", 30, 30, "stop"},
        {"mock-tool", 2, 2, "length"}, {"mock-tool", 6, 6, "tool_calls"}, {"mock-long", 40, 40, "length"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char body[200];
        struct answer r;
        snprintf(body, sizeof body, "{" HI ",\"max_tokens\":%d,\"stream\":true}", rows[i].most);
        answer_of(&r, FACE_CHAT, rows[i].model, body);
        assert_int_equal(r.completion, rows[i].tokens);
        assert_string_equal(r.said[0].finish, rows[i].finish);
        answer_free(&r);
    }
}

static void ids_are_unique(void **state)
{
    (void)state;
    struct answer one, two;
    char first[64] = "", second[64] = "";
    answer_of(&one, FACE_CHAT, "mock-tool", "{" HI ",\"n\":2}");
    answer_of(&two, FACE_CHAT, "mock-tool", "{" HI ",\"n\":2}");
    copy(first, sizeof first, path(parsed(buf_all(&one.body)), "id"));
    copy(second, sizeof second, path(parsed(buf_all(&two.body)), "id"));
    assert_string_not_equal(first, second);
    assert_string_not_equal(one.said[0].call_id, one.said[1].call_id);
    assert_string_not_equal(one.said[0].call_id, two.said[0].call_id);
    answer_free(&one);
    answer_free(&two);
}

/* ---- the echo ---- */

static void expect_echo(enum face face, const char *body, const char *want)
{
    struct answer r;
    answer_of(&r, face, "mock", body);
    const char *said = strstr(buf_cstr(&r.said[0].text), " You ");
    assert_non_null(said);
    assert_string_equal(said, want);
    answer_free(&r);
}

#define TEN "1234567890"
#define SEVENTY TEN TEN TEN TEN TEN TEN TEN

static void echo_finds_what_was_said_last(void **state)
{
    (void)state;
    expect_echo(FACE_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"b\"},"
                           "{\"role\":\"assistant\",\"content\":\"c\"}]}", " You said: \"b\"");
    expect_echo(FACE_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"b\"},"
                           "{\"type\":\"image_url\"}]}]}", " You said: \"b\"");
    expect_echo(FACE_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":null}]}", " You sent no text.");
    expect_echo(FACE_CHAT, "{\"messages\":[1,{},{\"role\":\"system\",\"content\":\"x\"}]}", " You sent no text.");
    expect_echo(FACE_CHAT, "{\"messages\":{\"role\":\"user\",\"content\":\"x\"}}", " You sent no text.");
    expect_echo(FACE_CHAT, "{}", " You sent no text.");
    expect_echo(FACE_COMPLETIONS, "{\"prompt\":\"p\"}", " You said: \"p\"");
    expect_echo(FACE_COMPLETIONS, "{\"prompt\":[\"p\",\"q\"]}", " You said: \"q\"");
    expect_echo(FACE_COMPLETIONS, "{\"prompt\":[1,2]}", " You sent no text.");
    expect_echo(FACE_COMPLETIONS, "{\"prompt\":[[1],[2]]}", " You sent no text.");
}

static void echo_is_cut_between_characters_and_escaped(void **state)
{
    (void)state;
    expect_echo(FACE_COMPLETIONS, "{\"prompt\":\"\"}", " You said: \"\"");
    expect_echo(FACE_COMPLETIONS, "{\"prompt\":\"\\\"a\\\\\\n\\u0001\"}", " You said: \"\"a\\\n\1\"");
    expect_echo(FACE_COMPLETIONS, "{\"prompt\":\"" SEVENTY TEN "\"}", " You said: \"" SEVENTY TEN "\"");
    expect_echo(FACE_COMPLETIONS, "{\"prompt\":\"" SEVENTY TEN "1\"}", " You said: \"" SEVENTY TEN "\xE2\x80\xA6\"");
    expect_echo(FACE_COMPLETIONS, "{\"prompt\":\"" SEVENTY "123456789\xF0\x9F\x98\x80\"}",
                " You said: \"" SEVENTY "123456789\xF0\x9F\x98\x80\"");
    expect_echo(FACE_COMPLETIONS, "{\"prompt\":\"" SEVENTY "123456789\xF0\x9F\x98\x80\xC3\xA9\"}",
                " You said: \"" SEVENTY "123456789\xF0\x9F\x98\x80\xE2\x80\xA6\"");
    expect_echo(FACE_COMPLETIONS, "{\"prompt\":\"" SEVENTY "123456789\\ud83D\\uDE00\\n\"}",
                " You said: \"" SEVENTY "123456789\xF0\x9F\x98\x80\xE2\x80\xA6\"");
    expect_echo(FACE_COMPLETIONS, "{\"prompt\":\"" SEVENTY "123456789\\ud83D\"}",
                " You said: \"" SEVENTY "123456789\xEF\xBF\xBD\"");
}

static void long_message_costs_nothing(void **state)
{
    (void)state;
    struct buf body;
    buf_init(&body, 9 << 20);
    buf_str(&body, "{\"prompt\":\"");
    memset(buf_room(&body, 8 << 20), 'a', 8 << 20);
    buf_added(&body, 8 << 20);
    buf_str(&body, "\"}");
    struct asked a;
    open_it(&a, FACE_COMPLETIONS, "mock", buf_cstr(&body));
    assert_in_range(((struct mock *)a.up)->text.cap, 1, 1024);
    done_with(&a);
    buf_free(&body);
}

/* ---- tools ---- */

static void expect_tool(const char *tools, const char *want)
{
    char body[600];
    struct answer r;
    snprintf(body, sizeof body, "{\"stream\":true," HI "%s}", tools);
    answer_of(&r, FACE_CHAT, "mock-tool", body);
    assert_string_equal(r.said[0].tool, want);
    assert_string_equal(r.said[0].finish, "tool_calls");
    assert_true(r.said[0].parts > 2); /* several deltas */
    assert_int_equal(parsed(buf_all(&r.said[0].text)).kind, JSON_OBJECT);
    answer_free(&r);
}

static void tool_call_is_of_the_first_tool(void **state)
{
    (void)state;
    char many[400];
    expect_tool("", "weather");
    expect_tool(",\"tools\":null", "weather");
    expect_tool(",\"tools\":[]", "weather");
    expect_tool(",\"tools\":[{\"type\":\"custom\"}]", "weather");
    expect_tool(",\"tools\":[{\"function\":{\"name\":7}}]", "weather");
    expect_tool(",\"tools\":[{\"function\":{\"name\":\"a\\\"b\"}},{\"function\":{\"name\":\"c\"}}]", "a\"b");
    snprintf(many, sizeof many, ",\"tools\":[{\"function\":{\"name\":\"%0300d\"}}]", 0);
    expect_tool(many, "weather");
}

static void completions_have_no_tools(void **state)
{
    (void)state;
    struct answer r;
    answer_of(&r, FACE_COMPLETIONS, "mock-tool", "{" HI "}");
    assert_string_equal(r.said[0].finish, "stop");
    assert_non_null(strstr(buf_cstr(&r.said[0].text), "You said"));
    answer_free(&r);
}

/* ---- embeddings ---- */

static void embed(const char *model, const char *body, struct buf *out)
{
    struct asked a;
    struct tap tap;
    struct fault fault;
    open_it(&a, FACE_EMBEDDINGS, model, body);
    tap_start(&tap, &a.chat, a.chat.face);
    buf_clear(out);
    take_all(&a, out);
    assert_true(span_is(upstream_header(a.up, "content-type"), "application/json"));
    done_with(&a);
    struct jval root = parsed(buf_all(out));
    assert_true(tap_read_answer(&tap, buf_all(out), &fault) && tap.usage.known);
    assert_true(jval_is(path(root, "object"), "list") && jval_is(path(root, "model"), model));
    assert_int_equal(number(root, "usage.prompt_tokens"), 11);
    assert_int_equal(number(root, "usage.total_tokens"), 11);
    assert_int_equal(tap.usage.prompt, 11);
    struct jiter it = jscan_iter(path(root, "data"));
    struct jval element;
    struct span key;
    for (int i = 0; jscan_next(&it, &key, &element); i++) {
        assert_int_equal(number(element, "index"), i);
        assert_true(jval_is(path(element, "object"), "embedding"));
    }
}

static void every_input_has_its_vector(void **state)
{
    (void)state;
    static const struct { const char *input; size_t count; } rows[] = {
        {"\"a\"", 1}, {"[\"a\",\"b\",\"a\"]", 3}, {"[1,2,3]", 1}, {"[[1,2],[3]]", 2}, {"[]", 0}, {"[\"a\"]", 1},
    };
    struct buf out;
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char body[100];
        snprintf(body, sizeof body, "{\"input\":%s}", rows[i].input);
        embed("mock-long", body, &out);
        struct jval data = path(parsed(buf_all(&out)), "data");
        assert_int_equal(jscan_count(data), rows[i].count);
        if (rows[i].count) assert_int_equal(jscan_count(path(data, "0.embedding")), 8);
        if (rows[i].count != 3) continue;
        assert_true(span_eq(path(data, "0.embedding").text, path(data, "2.embedding").text));
        assert_false(span_eq(path(data, "0.embedding").text, path(data, "1.embedding").text));
    }
    embed("mock", "{}", &out);
    buf_free(&out);
}

static uint32_t digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = strchr(digits, c);
    assert_true(at && c);
    return (uint32_t)(at - digits);
}

/* Returns how many floats the base64 text holds. */
static size_t floats_of(struct span text, float *to)
{
    unsigned char bytes[4 * 4096 + 3];
    size_t n = 0;
    assert_int_equal(text.len % 4, 0);
    for (size_t i = 0; i < text.len; i += 4) {
        uint32_t bits = 0;
        int have = text.at[i + 3] != '=' ? 3 : text.at[i + 2] != '=' ? 2 : 1;
        for (int d = 0; d < 4; d++) bits = bits << 6 | (d <= have ? digit_of(text.at[i + (size_t)d]) : 0);
        for (int d = 0; d < have; d++) bytes[n++] = (unsigned char)(bits >> (16 - 8 * d));
    }
    assert_int_equal(n % 4, 0);
    for (size_t i = 0; i < n / 4; i++) {
        uint32_t bits = bytes[4 * i] | (uint32_t)bytes[4 * i + 1] << 8 | (uint32_t)bytes[4 * i + 2] << 16 |
                        (uint32_t)bytes[4 * i + 3] << 24;
        memcpy(to + i, &bits, 4);
    }
    return n / 4;
}

static void base64_holds_the_same_numbers(void **state)
{
    (void)state;
    static const struct { const char *asked; size_t floats; } rows[] = {
        {"8", 8}, {"1", 1}, {"2", 2}, {"3", 3}, {"47", 47}, {"48", 48}, {"49", 49}, {"1536", 1536}, {"4096", 4096},
        {"4097", 4096}, {"0", 1}, {"-3", 1}, {"9223372036854775807", 4096}, {"null", 8}, {"2.5", 8},
    };
    struct buf plain, base64;
    buf_init(&plain, 1 << 20);
    buf_init(&base64, 1 << 20);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        float floats[4097];
        char body[200];
        struct span key;
        struct jval v;
        size_t at = 0;
        snprintf(body, sizeof body, "{\"input\":[\"x\",\"y\"],\"dimensions\":%s}", rows[i].asked);
        embed("mock", body, &plain);
        snprintf(body, sizeof body, "{\"input\":[\"x\",\"y\"],\"encoding_format\":\"base64\",\"dimensions\":%s}", rows[i].asked);
        embed("mock", body, &base64);
        struct span text = path(parsed(buf_all(&base64)), "data.1.embedding").text;
        size_t count = floats_of((struct span){text.at + 1, text.len - 2}, floats);
        assert_int_equal(count, rows[i].floats);
        struct jiter it = jscan_iter(path(parsed(buf_all(&plain)), "data.1.embedding"));
        for (; jscan_next(&it, &key, &v); at++) assert_true(strtod(v.text.at, NULL) == (double)floats[at]);
        assert_int_equal(at, count);
    }
    buf_free(&plain);
    buf_free(&base64);
}

static void many_inputs_are_embedded_piece_by_piece(void **state)
{
    (void)state;
    struct buf body, out;
    buf_init(&body, 1 << 20);
    buf_init(&out, 256 << 20);
    buf_str(&body, "{\"dimensions\":4096,\"input\":[");
    for (int i = 0; i < 300; i++) buf_printf(&body, "%s\"text %d\"", i ? "," : "", i);
    buf_str(&body, "]}");
    embed("mock", buf_cstr(&body), &out); /* take_all bounds each piece */
    assert_int_equal(jscan_count(path(parsed(buf_all(&out)), "data")), 300);
    buf_free(&body);
    buf_free(&out);
}

/* ---- errors ---- */

static void errors_have_their_status_and_form(void **state)
{
    (void)state;
    static const struct { const char *model; int status; } rows[] = {
        {"mock-error", 503}, {"mock-error:", 503}, {"mock-error:429", 429}, {"mock-error:401", 401}, {"mock-error:404", 404},
        {"mock-error:400", 400}, {"mock-error:599", 599}, {"mock-error:500", 500}, {"mock-error:200", 400}, {"mock-error:0", 400},
        {"mock-error:99999999999999999999999999", 599}, {"mock-error:-5", 503}, {"mock-error:4x", 503}, {"mock-error:418:1", 418},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int face = 0; face < FACE_COUNT; face++) {
            struct asked a;
            struct buf body;
            struct fault fault;
            buf_init(&body, 4096);
            open_it(&a, (enum face)face, rows[i].model, "{\"stream\":true," HI ",\"input\":\"x\"}");
            take_all(&a, &body);
            assert_int_equal(a.up->status, rows[i].status);
            assert_true(span_is(upstream_header(a.up, "content-type"), "application/json"));
            assert_true(tap_read_error(&(struct tap){0}, buf_all(&body), &fault));
            assert_true(*fault.message && *fault.type);
            done_with(&a);
            buf_free(&body);
        }
}

/* ---- parameters ---- */

static void parameters_are_bounded(void **state)
{
    (void)state;
    static const struct { const char *model; int64_t tokens, gap_ms; } streams[] = {
        {"mock-stream", 20, 50}, {"mock-stream:", 20, 50}, {"mock-stream:7", 7, 50}, {"mock-stream:7:0", 7, 0},
        {"mock-stream::9", 20, 9}, {"mock-stream:0:9", 1, 9}, {"mock-stream:100000:600000", 100000, 600000},
        {"mock-stream:100001:600001", 100000, 600000}, {"mock-stream:7:8:9", 7, 8}, {"mock-stream: 7:8", 20, 8},
        {"mock-stream:7 :+8", 20, 50}, {"mock-stream:99999999999999999999:18446744073709551617", 100000, 600000},
    };
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        struct script s = script_of(streams[i].model);
        assert_string_equal(s.name, "mock-stream");
        assert_int_equal(s.tokens, streams[i].tokens);
        assert_int_equal(s.gap_ms, streams[i].gap_ms);
    }
    assert_int_equal(script_of("mock-slow").silence_ms, 2000);
    assert_int_equal(script_of("mock-slow:0").silence_ms, 0);
    assert_int_equal(script_of("mock-slow:600001").silence_ms, 600000);
    assert_int_equal(script_of("mock-long").bytes, 20000);
    assert_int_equal(script_of("mock-long:0").bytes, 1);
    assert_int_equal(script_of("mock-long:99999999999").bytes, 10 << 20);
    assert_string_equal(script_of("mock-slowly:9").name, "mock");
    assert_string_equal(script_of("mock-").name, "mock");
    assert_string_equal(script_of("").name, "mock");
    assert_string_equal(script_of(":").name, "mock");
}

/* ---- lengths ---- */

static void long_answer_has_its_length_and_comes_in_pieces(void **state)
{
    (void)state;
    static const int64_t lengths[] = {1, 60, 20000, 10 << 20};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int stream = 0; stream < 2; stream++) {
            char model[40], body[200];
            struct answer r;
            snprintf(model, sizeof model, "mock-long:%" PRId64, lengths[i]);
            snprintf(body, sizeof body, "{\"stream\":%s," HI "}", stream ? "true" : "false");
            answer_of(&r, FACE_CHAT, model, body); /* take_all bounds each piece */
            assert_int_equal(r.said[0].text.len, lengths[i]);
            assert_string_equal(r.said[0].finish, "length");
            answer_free(&r);
        }
}

static void long_answer_does_not_end_inside_a_character(void **state)
{
    (void)state;
    for (int n = 60; n < 90; n++)
        for (int stream = 0; stream < 2; stream++) {
            char model[40];
            struct answer r;
            snprintf(model, sizeof model, "mock-long:%d", n);
            answer_of(&r, FACE_COMPLETIONS, model,
                      stream ? "{\"stream\":true,\"prompt\":\"\xF0\x9F\x98\x80\xC3\xA9\xE2\x82\xAC\"}"
                             : "{\"prompt\":\"\xF0\x9F\x98\x80\xC3\xA9\xE2\x82\xAC\"}");
            assert_in_range(r.said[0].text.len, n - 3, n);
            answer_free(&r);
        }
}

/* ---- time ---- */

static void stream_keeps_its_pace(void **state)
{
    (void)state;
    struct asked a;
    open_it(&a, FACE_CHAT, "mock-stream:5:100", "{\"stream\":true," HI ",\"n\":3}");
    int64_t start = mono;
    polls = 0;
    assert_int_equal(wait_for(&a, 0), UPSTREAM_HEAD);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(wait_for(&a, 10000), UPSTREAM_BYTES);
        assert_int_equal(mono, start + 100 * i);
        buf_clear(&a.up->bytes);
    }
    assert_int_equal(wait_for(&a, 10000), UPSTREAM_END);
    assert_int_equal(mono, start + 400); /* the end comes with the last word */
    assert_int_equal(polls, 4);
    done_with(&a);
}

static void stream_catches_up_after_a_slow_reader(void **state)
{
    (void)state;
    struct asked a;
    struct buf body;
    buf_init(&body, 1 << 20);
    open_it(&a, FACE_CHAT, "mock-stream:5:100", "{\"stream\":true," HI "}");
    int64_t start = mono;
    mono += 1000;
    take_all(&a, &body);
    assert_int_equal(mono, start + 1000);
    buf_free(&body);
    done_with(&a);
}

static void mock_itself_does_not_wait(void **state)
{
    (void)state;
    struct answer r;
    polls = 0;
    answer_of(&r, FACE_CHAT, "mock", "{\"stream\":true," HI "}");
    assert_int_equal(polls, 0);
    assert_in_range(r.said[0].parts, 10, 15);
    answer_free(&r);
}

static void slow_answer_is_silent_and_deadlines_pass_meanwhile(void **state)
{
    (void)state;
    for (int face = 0; face < FACE_COUNT; face++) {
        struct asked a;
        struct buf body;
        buf_init(&body, 1 << 20);
        open_it(&a, (enum face)face, "mock-slow:150000", "{" HI ",\"input\":\"x\"}");
        int64_t start = mono;
        polls = 0;
        assert_int_equal(wait_for(&a, -1), UPSTREAM_TIMEOUT);
        assert_int_equal(wait_for(&a, 0), UPSTREAM_TIMEOUT);
        assert_int_equal(polls, 0);
        assert_int_equal(wait_for(&a, 500), UPSTREAM_TIMEOUT);
        assert_int_equal(mono, start + 500);
        assert_int_equal(a.up->bytes.len, 0);
        take_all(&a, &body); /* the call went on */
        assert_int_equal(mono, start + 150000);
        assert_in_range(polls, 1, 5);
        assert_true(body.len > 0);
        buf_free(&body);
        done_with(&a);
    }
}

static void deadline_between_events_loses_none(void **state)
{
    (void)state;
    struct asked a;
    struct answer whole;
    struct buf body;
    enum upstream_event e;
    int timeouts = 0;
    buf_init(&body, 1 << 20);
    answer_of(&whole, FACE_CHAT, "mock-stream:9:70", "{\"stream\":true," HI "}");
    open_it(&a, FACE_CHAT, "mock-stream:9:70", "{\"stream\":true," HI "}");
    while ((e = wait_for(&a, 30)) != UPSTREAM_END) {
        timeouts += e == UPSTREAM_TIMEOUT;
        buf_span(&body, buf_all(&a.up->bytes));
        buf_clear(&a.up->bytes);
    }
    assert_int_equal(timeouts, 8 * 2);
    assert_int_equal(body.len, whole.body.len);
    answer_free(&whole);
    buf_free(&body);
    done_with(&a);
}

static void silence_ends_when_the_client_goes_or_the_process_must(void **state)
{
    (void)state;
    int client[2], stop[2];
    struct asked a;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, client), 0);
    assert_int_equal(pipe(stop), 0);
    ask(&a, FACE_CHAT, "mock-slow:600000", "{" HI "}");
    a.call.stop_fd = stop[0];
    assert_int_equal(dialect_mock.open(&a.call, &a.up), WEIR_OK);
    assert_int_equal(a.up->ops->wait(a.up, client[0], mono + 100), UPSTREAM_TIMEOUT);
    assert_int_equal(write(stop[1], "x", 1), 1);
    assert_int_equal(a.up->ops->wait(a.up, client[0], mono + 100), UPSTREAM_STOP);
    assert_int_equal(write(client[1], "x", 1), 1); /* FCGI_ABORT_REQUEST is the only thing that may still come */
    assert_int_equal(a.up->ops->wait(a.up, client[0], mono + 100), UPSTREAM_GONE);
    char c;
    assert_int_equal(read(client[0], &c, 1), 1);
    assert_int_equal(a.up->ops->wait(a.up, client[0], mono + 100), UPSTREAM_STOP);
    close(client[1]);
    assert_int_equal(a.up->ops->wait(a.up, client[0], mono + 100), UPSTREAM_GONE);
    assert_int_equal(a.up->ops->wait(a.up, -1, mono + 100), UPSTREAM_STOP);
    close(stop[1]);
    assert_int_equal(read(stop[0], &c, 1), 1);
    assert_int_equal(a.up->ops->wait(a.up, -1, mono + 100), UPSTREAM_STOP); /* hung up */
    mono += 600000;
    assert_int_equal(a.up->ops->wait(a.up, client[0], mono), UPSTREAM_HEAD); /* what is due comes first */
    assert_int_equal(a.up->ops->wait(a.up, client[0], mono), UPSTREAM_BYTES);
    done_with(&a);
    close(client[0]);
    close(stop[0]);
}

static void interrupted_silence_lasts_as_long(void **state)
{
    (void)state;
    struct asked a;
    open_it(&a, FACE_CHAT, "mock-slow:100", "{" HI "}");
    int64_t start = mono;
    poll_errno = EINTR;
    assert_int_equal(wait_for(&a, 1000), UPSTREAM_HEAD);
    assert_int_equal(mono, start + 100);
    done_with(&a);

    open_it(&a, FACE_CHAT, "mock-slow:100", "{" HI "}");
    poll_errno = ENOMEM;
    assert_int_equal(wait_for(&a, 1000), UPSTREAM_FAILED);
    assert_int_equal(a.up->failure, FAILURE_OURS);
    assert_int_equal(wait_for(&a, 1000), UPSTREAM_FAILED);
    done_with(&a);
}

static void real_silence_sleeps(void **state)
{
    (void)state;
    struct asked a;
    struct buf body;
    buf_init(&body, 1 << 20);
    clock_replace(NULL, NULL);
    polls_really = true;
    polls = 0;
    open_it(&a, FACE_CHAT, "mock-stream:3:20", "{\"stream\":true," HI "}");
    int64_t start = clock_mono_ms();
    while (a.up->ops->wait(a.up, -1, start + 60000) != UPSTREAM_END) buf_clear(&a.up->bytes);
    assert_true(clock_mono_ms() - start >= 39);
    assert_in_range(polls, 1, 6); /* a slow machine is late for all but the first */
    done_with(&a);
    polls_really = false;
    clock_replace(wall_now, mono_now);
    buf_free(&body);
}

/* ---- memory ---- */

static void every_failed_allocation_ends_cleanly(void **state)
{
    (void)state;
    static const struct { enum face face; const char *model, *body; } rows[] = {
        {FACE_CHAT, "mock-long:90000", "{" HI "}"},
        {FACE_CHAT, "mock-long:90000", "{\"stream\":true," HI ",\"n\":3}"},
        {FACE_CHAT, "mock-tool", "{\"stream\":true," HI "}"},
        {FACE_COMPLETIONS, "mock", "{" HI "}"},
        {FACE_EMBEDDINGS, "mock", "{\"input\":[\"a\",\"b\"],\"dimensions\":4096}"},
        {FACE_CHAT, "mock-error", "{}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool ended = false;
        int at_open = 0, later = 0;
        for (int n = 0; !ended; n++) {
            struct asked a;
            assert_true(n < 100);
            ask(&a, rows[i].face, rows[i].model, rows[i].body);
            allocations_left = n;
            enum weir_err err = dialect_mock.open(&a.call, &a.up);
            if (err != WEIR_OK) {
                assert_int_equal(err, WEIR_NOMEM);
                assert_null(a.up);
                at_open++;
                continue;
            }
            enum upstream_event e;
            while ((e = wait_for(&a, 1000)) == UPSTREAM_HEAD || e == UPSTREAM_BYTES) buf_clear(&a.up->bytes);
            allocations_left = -1;
            ended = e == UPSTREAM_END;
            if (!ended) {
                assert_int_equal(e, UPSTREAM_FAILED);
                assert_int_equal(a.up->failure, FAILURE_OURS);
                assert_true(*a.up->failure_text && a.up->bytes.len == 0);
                assert_int_equal(wait_for(&a, 1000), UPSTREAM_FAILED);
                later++;
            }
            done_with(&a);
        }
        assert_true(at_open > 0 && later > 0);
    }
}

static void call_may_be_closed_at_any_time(void **state)
{
    (void)state;
    for (int waits = 0; waits < 12; waits++) {
        struct asked a;
        open_it(&a, FACE_CHAT, "mock-stream:6:10", "{\"stream\":true," HI "}");
        for (int i = 0; i < waits; i++) {
            wait_for(&a, 7);
            buf_clear(&a.up->bytes);
        }
        done_with(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_answer_echoes_and_counts),
        cmocka_unit_test(stream_and_plain_say_and_count_the_same),
        cmocka_unit_test(maximum_cuts_and_says_so),
        cmocka_unit_test(ids_are_unique),
        cmocka_unit_test(echo_finds_what_was_said_last),
        cmocka_unit_test(echo_is_cut_between_characters_and_escaped),
        cmocka_unit_test(long_message_costs_nothing),
        cmocka_unit_test(tool_call_is_of_the_first_tool),
        cmocka_unit_test(completions_have_no_tools),
        cmocka_unit_test(every_input_has_its_vector),
        cmocka_unit_test(base64_holds_the_same_numbers),
        cmocka_unit_test(many_inputs_are_embedded_piece_by_piece),
        cmocka_unit_test(errors_have_their_status_and_form),
        cmocka_unit_test(parameters_are_bounded),
        cmocka_unit_test(long_answer_has_its_length_and_comes_in_pieces),
        cmocka_unit_test(long_answer_does_not_end_inside_a_character),
        cmocka_unit_test(stream_keeps_its_pace),
        cmocka_unit_test(stream_catches_up_after_a_slow_reader),
        cmocka_unit_test(mock_itself_does_not_wait),
        cmocka_unit_test(slow_answer_is_silent_and_deadlines_pass_meanwhile),
        cmocka_unit_test(deadline_between_events_loses_none),
        cmocka_unit_test(silence_ends_when_the_client_goes_or_the_process_must),
        cmocka_unit_test(interrupted_silence_lasts_as_long),
        cmocka_unit_test(real_silence_sleeps),
        cmocka_unit_test(every_failed_allocation_ends_cleanly),
        cmocka_unit_test(call_may_be_closed_at_any_time),
    };
    if (secret_start() != WEIR_OK) return 1;
    clock_replace(wall_now, mono_now);
    return cmocka_run_group_tests_name("mock", tests, NULL, NULL);
}
