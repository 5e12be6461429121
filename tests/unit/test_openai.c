/* OpenAI's dialect: a request is sent on with only what must change, and of what comes back every figure, finish and
 * failure is read as it was meant, nonsense included. */
#include "fcgi/provider/openai.c"

#include "fcgi/stage/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* ---- the door: notes what would have been called ---- */

static struct {
    char *url, *body;
    const char *accept, *secret_header, *origin;
    const struct secret *secret;
    struct http_header headers[4];
    int header_count;
    int64_t connect_ms;
} called;

enum weir_err http_open(struct http_pool *p, const struct http_call *c, struct upstream **out)
{
    (void)p;
    free(called.url);
    free(called.body);
    called.url = strdup(c->url);
    called.body = strndup(c->body.at, c->body.len);
    called.accept = c->accept, called.origin = c->origin;
    called.secret_header = c->secret_header, called.secret = c->secret;
    called.connect_ms = c->connect_ms, called.header_count = c->header_count;
    for (int i = 0; i < c->header_count && i < 4; i++) called.headers[i] = c->headers[i];
    *out = NULL;
    return WEIR_OK;
}

static void forget_call(void)
{
    free(called.url);
    free(called.body);
    called.url = called.body = NULL;
}

static void open_to(const struct target *target, enum face face, struct span body)
{
    struct arena memory;
    struct chat chat;
    struct problem problem;
    struct upstream *up;
    struct buf sent;
    arena_init(&memory);
    buf_init(&sent, SIZE_MAX - 1);
    assert_int_equal(parse_chat(face, body, &memory, &chat, &problem), WEIR_OK);
    const struct call c = {.chat = &chat, .target = target, .body = &sent, .memory = &memory, .stop_fd = -1, .max_output = -1};
    assert_int_equal(dialect_openai.open(&c, &up), WEIR_OK);
    buf_free(&sent);
    arena_end(&memory);
}

static const struct provider_row plain_provider = {.name = "p", .dialect = "openai", .base_url = "http://p/v1"};

static const char *sent_for(enum face face, const char *model, struct span body)
{
    const struct target target = {.provider = &plain_provider, .model = model};
    open_to(&target, face, body);
    return called.body;
}

/* ---- the request ---- */

#define M "\"messages\":[{\"role\":\"user\"}]"
#define ASKED "{\"include_usage\":true}"

static void only_the_model_and_the_wish_for_usage_change(void **state)
{
    (void)state;
    static const struct { const char *in, *out; } all[] = {
        {"{\"model\":\"a\"," M "}", "{\"model\":\"real\"," M "}"},
        {" { \"model\" : \"a\" ,\n" M "\t}\r\n", " { \"model\" : \"real\" ,\n" M "\t}\r\n"},
        {"{\"mod\\u0065l\":\"\\u0061\"," M "}", "{\"mod\\u0065l\":\"real\"," M "}"},
        {"{\"model\":\"a\",\"stream\":false,\"stream_options\":null," M "}", "{\"model\":\"real\",\"stream\":false,\"stream_options\":null," M "}"},
        {"{\"model\":\"a\",\"stream\":null,\"stream_options\":{\"include_usage\":false}," M "}",
         "{\"model\":\"real\",\"stream\":null,\"stream_options\":{\"include_usage\":false}," M "}"},
        /* no stream_options */
        {"{\"model\":\"a\",\"stream\":true," M "}", "{\"model\":\"real\",\"stream_options\":" ASKED ",\"stream\":true," M "}"},
        {"{" M ",\"stream\":true,\"model\":\"a\"}", "{" M ",\"stream\":true,\"model\":\"real\",\"stream_options\":" ASKED "}"},
        {"{" M ",\"stream\":true,\"model\": \"a\" }", "{" M ",\"stream\":true,\"model\": \"real\",\"stream_options\":" ASKED " }"},
        /* there are some, behind the model and before it */
        {"{\"model\":\"a\",\"stream\":true,\"stream_options\":null," M "}", "{\"model\":\"real\",\"stream\":true,\"stream_options\":" ASKED "," M "}"},
        {"{\"stream_options\":null," M ",\"model\":\"a\",\"stream\":true}", "{\"stream_options\":" ASKED "," M ",\"model\":\"real\",\"stream\":true}"},
        {"{\"stream_options\":{},\"model\":\"a\",\"stream\":true," M "}", "{\"stream_options\":" ASKED ",\"model\":\"real\",\"stream\":true," M "}"},
        {"{\"stream_options\":{ } ,\"model\":\"a\",\"stream\":true," M "}", "{\"stream_options\":{ \"include_usage\":true} ,\"model\":\"real\",\"stream\":true," M "}"},
        {"{\"model\":\"a\",\"stream\":true," M ",\"stream_options\":{\"x\":[1,{}]}}",
         "{\"model\":\"real\",\"stream\":true," M ",\"stream_options\":{\"x\":[1,{}],\"include_usage\":true}}"},
        {"{\"model\":\"a\",\"stream\":true," M ",\"stream_options\":{\"include_obfuscation\":false,\"include_usage\": false }}",
         "{\"model\":\"real\",\"stream\":true," M ",\"stream_options\":{\"include_obfuscation\":false,\"include_usage\": true }}"},
        {"{\"stream_options\":{\"include_usage\":null},\"model\":\"a\",\"stream\":true," M "}", "{\"stream_options\":" ASKED ",\"model\":\"real\",\"stream\":true," M "}"},
        {"{\"str\\u0065am_options\":{\"include\\u005fusage\":false,\"y\":1},\"model\":\"a\",\"stream\":true," M "}",
         "{\"str\\u0065am_options\":{\"include\\u005fusage\":true,\"y\":1},\"model\":\"real\",\"stream\":true," M "}"},
        /* the caller wants it anyway */
        {"{\"stream_options\":{\"include_usage\":true},\"model\":\"a\",\"stream\":true," M "}",
         "{\"stream_options\":{\"include_usage\":true},\"model\":\"real\",\"stream\":true," M "}"},
        /* what looks like it, deeper down */
        {"{\"metadata\":{\"model\":\"a\",\"stream_options\":null},\"model\":\"a\",\"stream\":true," M "}",
         "{\"metadata\":{\"model\":\"a\",\"stream_options\":null},\"model\":\"real\",\"stream_options\":" ASKED ",\"stream\":true," M "}"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_string_equal(sent_for(FACE_CHAT, "real", span_of(all[i].in)), all[i].out);
    assert_string_equal(sent_for(FACE_COMPLETIONS, "real", SPAN("{\"model\":\"a\",\"stream\":true}")),
                        "{\"model\":\"real\",\"stream_options\":" ASKED ",\"stream\":true}");
    assert_string_equal(sent_for(FACE_EMBEDDINGS, "real", SPAN("{\"model\":\"a\",\"stream\":true,\"input\":\"x\",\"stream_options\":{}}")),
                        "{\"model\":\"real\",\"stream\":true,\"input\":\"x\",\"stream_options\":{}}");
    forget_call();
}

/* Parsers differ in which of two equal names they believe: a body that asks both ways must not get past the measure. */
static void two_wishes_for_usage_do_not_hide_the_usage(void **state)
{
    static const char *const twice[] = {
        "{\"model\":\"a\",\"stream\":true," M ",\"stream_options\":{\"include_usage\":true,\"include_usage\":false}}",
        "{\"model\":\"a\",\"stream\":true," M ",\"stream_options\":{\"include_usage\":false,\"include_usag\\u0065\":false}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof twice / sizeof *twice; i++) {
        struct arena memory;
        struct chat chat;
        struct problem problem;
        arena_init(&memory);
        enum weir_err err = parse_chat(FACE_CHAT, span_of(twice[i]), &memory, &chat, &problem);
        arena_end(&memory);
        if (err == WEIR_INVALID) continue;
        assert_null(strstr(sent_for(FACE_CHAT, "real", span_of(twice[i])), "false"));
    }
    forget_call();
}

static void a_model_of_any_name_is_one_json_string(void **state)
{
    (void)state;
    assert_string_equal(sent_for(FACE_COMPLETIONS, "a\"b\\c\n\xC3\xA9/:\x01", SPAN("{\"model\":\"x\"}")),
                        "{\"model\":\"a\\\"b\\\\c\\n\xC3\xA9/:\\u0001\"}");
    assert_string_equal(sent_for(FACE_COMPLETIONS, "", SPAN("{\"model\":\"x\"}")), "{\"model\":\"\"}");
    forget_call();
}

/* ---- documents by chance: what must come out is written beside what goes in ---- */

struct pair { struct buf in, out; unsigned random; };

static unsigned dice(struct pair *p, unsigned sides)
{
    p->random = p->random * 1664525u + 1013904223u;
    return (p->random >> 16) % sides;
}

static void both(struct pair *p, const char *text)
{
    buf_str(&p->in, text);
    buf_str(&p->out, text);
}

static void space(struct pair *p)
{
    static const char *const spaces[] = {"", "", "", " ", "\n", "\t ", "\r\n"};
    both(p, spaces[dice(p, 7)]);
}

static void any_value(struct pair *p)
{
    static const char *const values[] = {
        "1", "-0.5e+3", "true", "null", "\"\"", "\"model\"", "\"}\"", "\"a\\\"],\\\\\"", "\"\xF0\x9F\x98\x80\\ud83d\"", "[]", "{}",
        "[ 1 , [2] ]", "{\"model\":\"no\",\"stream_options\":{\"include_usage\":false}}", "[{\"model\" : 1}]", "12345678901234567890123",
    };
    both(p, values[dice(p, sizeof values / sizeof *values)]);
}

static void options_value(struct pair *p, int form)
{
    static const struct { const char *in, *out; } forms[] = {
        {NULL, NULL}, {"null", ASKED}, {"{}", ASKED}, {"{\"a\":{}}", "{\"a\":{},\"include_usage\":true}"},
        {"{\"include_usage\":false}", ASKED}, {"{\"a\":1,\"include_usage\":null,\"b\":\"}\"}", "{\"a\":1,\"include_usage\":true,\"b\":\"}\"}"},
        {"{\"include_usage\" : true}", "{\"include_usage\" : true}"}, {"{\"in\\u0063lude_usage\":false}", "{\"in\\u0063lude_usage\":true}"},
    };
    buf_str(&p->in, forms[form].in);
    buf_str(&p->out, forms[form].out);
}

enum { OPTION_FORMS = 8 };

static void member(struct pair *p, int which, int form)
{
    char name[20];
    space(p);
    snprintf(name, sizeof name, "\"x%d\"", which);
    both(p, which == 0 ? "\"model\"" : which == 1 ? "\"stream\"" : which == 2 ? "\"stream_options\"" : name);
    space(p);
    both(p, ":");
    space(p);
    if (which == 0) {
        buf_str(&p->in, "\"alias \\\"1\\\"\"");
        buf_str(&p->out, form ? "\"real\"" : "\"real\",\"stream_options\":" ASKED);
    } else if (which == 1) {
        both(p, "true");
    } else if (which == 2) {
        options_value(p, form);
    } else {
        any_value(p);
    }
    space(p);
}

static void write_document(struct pair *p)
{
    int order[12], n = 3 + (int)dice(p, 9), form = (int)dice(p, OPTION_FORMS);
    const char *lead = "";
    for (int i = 0; i < n; i++) order[i] = i;
    for (int i = n - 1; i > 0; i--) {
        int j = (int)dice(p, (unsigned)i + 1), keep = order[i];
        order[i] = order[j];
        order[j] = keep;
    }
    space(p);
    both(p, "{");
    for (int i = 0; i < n; i++) {
        if (order[i] == 2 && !form) continue;
        both(p, lead);
        member(p, order[i], form);
        lead = ",";
    }
    both(p, "}");
    space(p);
}

static void every_other_byte_of_any_document_stays(void **state)
{
    struct pair p = {.random = 20261121};
    (void)state;
    buf_init(&p.in, 1 << 20);
    buf_init(&p.out, 1 << 20);
    for (int i = 0; i < 20000; i++) {
        buf_clear(&p.in);
        buf_clear(&p.out);
        write_document(&p);
        assert_string_equal(sent_for(FACE_COMPLETIONS, "real", buf_all(&p.in)), buf_cstr(&p.out));
    }
    buf_free(&p.in);
    buf_free(&p.out);
    forget_call();
}

static void the_call_goes_to_the_faces_address_with_the_providers_headers_and_key(void **state)
{
    const struct header headers[] = {{"x-one", "1"}, {"x-two", "2"}};
    struct provider_row p = {.name = "p", .base_url = "https://x.example/v1//", .headers = headers, .header_count = 2, .connect_ms = 77};
    assert_int_equal(secret_start(), WEIR_OK);
    struct secret *secret = secret_new(SPAN("hush"));
    const struct upstream_key key = {"k", 1, secret};
    const struct target with_key = {.provider = &p, .key = &key, .model = "m"}, without = {.provider = &p, .model = "m"};
    (void)state;
    open_to(&with_key, FACE_CHAT, SPAN("{\"model\":\"a\",\"stream\":true," M "}"));
    assert_string_equal(called.url, "https://x.example/v1/chat/completions");
    assert_string_equal(called.origin, "https://x.example/v1//");
    assert_string_equal(called.accept, "text/event-stream");
    assert_string_equal(called.secret_header, "Authorization: Bearer ");
    assert_ptr_equal(called.secret, secret);
    assert_int_equal(called.header_count, 2);
    assert_string_equal(called.headers[1].name, "x-two");
    assert_string_equal(called.headers[1].value, "2");
    assert_int_equal(called.connect_ms, 77);
    p.connect_ms = 0, p.base_url = "https://x.example/v1";
    open_to(&without, FACE_COMPLETIONS, SPAN("{\"model\":\"a\"}"));
    assert_string_equal(called.url, "https://x.example/v1/completions");
    assert_string_equal(called.accept, "application/json");
    assert_null(called.secret);
    assert_int_equal(called.connect_ms, CONNECT_MS_DEFAULT);
    open_to(&without, FACE_EMBEDDINGS, SPAN("{\"model\":\"a\",\"input\":\"x\"}"));
    assert_string_equal(called.url, "https://x.example/v1/embeddings");
    secret_free(secret);
    forget_call();
}

/* ---- usage ---- */

static enum event_kind read_event(struct tap *t, const char *text)
{
    struct fault fault = {.message = ""};
    struct span data = span_of(text);
    char *exact = malloc(data.len + !data.len); /* so that reading on behind it is seen */
    memcpy(exact, data.at, data.len);
    enum event_kind kind = openai_read_event(t, (struct span){exact, data.len}, &fault);
    free(exact);
    return kind;
}

static void expect_usage(const struct usage *u, int64_t prompt, int64_t cached, int64_t cache_write, int64_t completion)
{
    assert_true(u->known);
    assert_int_equal(u->prompt, prompt);
    assert_int_equal(u->cached, cached);
    assert_int_equal(u->cache_write, cache_write);
    assert_int_equal(u->completion, completion);
}

static void usage_is_read_in_every_form(void **state)
{
    static const struct { const char *usage; int64_t prompt, cached, cache_write, completion; } all[] = {
        {"{\"prompt_tokens\":7,\"completion_tokens\":5,\"total_tokens\":12}", 7, 0, 0, 5},
        {"{\"prompt_tokens\":0,\"completion_tokens\":0}", 0, 0, 0, 0},
        {"{\"prompt_tokens\":7,\"total_tokens\":7}", 7, 0, 0, 0},
        {"{\"completion_tokens\":5,\"prompt_tokens\":1000000000}", 1000000000, 0, 0, 5},
        {"{\"prompt_tokens\":7,\"completion_tokens\":5,\"prompt_tokens_details\":null,\"completion_tokens_details\":null}", 7, 0, 0, 5},
        {"{\"prompt_tokens\":7,\"completion_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":4,\"audio_tokens\":0}}", 7, 4, 0, 5},
        {"{\"prompt_tokens\":9,\"completion_tokens\":5,\"prompt_tokens_details\":{\"cache_write_tokens\":3,\"cached_tokens\":6}}", 9, 6, 3, 5},
        {"{\"pr\\u006fmpt_tokens\":7,\"completion_tokens\":5}", 7, 0, 0, 5},
        /* details that are nonsense are left out */
        {"{\"prompt_tokens\":7,\"completion_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":8}}", 7, 0, 0, 5},
        {"{\"prompt_tokens\":7,\"completion_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":-1}}", 7, 0, 0, 5},
        {"{\"prompt_tokens\":7,\"completion_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":\"4\"}}", 7, 0, 0, 5},
        {"{\"prompt_tokens\":9,\"completion_tokens\":5,\"prompt_tokens_details\":{\"cache_write_tokens\":4,\"cached_tokens\":6}}", 9, 6, 0, 5},
        {"{\"prompt_tokens\":7,\"completion_tokens\":5,\"prompt_tokens_details\":[4]}", 7, 0, 0, 5},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char text[400];
        struct tap t = {.face = FACE_CHAT};
        struct fault fault;
        snprintf(text, sizeof text, "{\"choices\":[],\"usage\":%s}", all[i].usage);
        assert_int_equal(read_event(&t, text), EVENT_USAGE);
        expect_usage(&t.usage, all[i].prompt, all[i].cached, all[i].cache_write, all[i].completion);
        t = (struct tap){.face = FACE_CHAT};
        assert_true(openai_read_answer(&t, span_of(text), &fault));
        expect_usage(&t.usage, all[i].prompt, all[i].cached, all[i].cache_write, all[i].completion);
    }
}

static void usage_that_is_nonsense_is_unknown_and_spoils_nothing(void **state)
{
    static const char *const nonsense[] = {
        "null", "{}", "[]", "12", "\"12\"", "true", "{\"total_tokens\":12}", "{\"completion_tokens\":5}",
        "{\"prompt_tokens\":-1,\"completion_tokens\":5}", "{\"prompt_tokens\":7,\"completion_tokens\":-5}",
        "{\"prompt_tokens\":\"7\",\"completion_tokens\":5}", "{\"prompt_tokens\":7,\"completion_tokens\":\"5\"}",
        "{\"prompt_tokens\":1.5,\"completion_tokens\":5}", "{\"prompt_tokens\":1000000001,\"completion_tokens\":5}",
        "{\"prompt_tokens\":7,\"completion_tokens\":99999999999999999999999}", "{\"prompt_tokens\":{},\"completion_tokens\":5}",
        "{\"prompt_tokens\":null,\"completion_tokens\":null}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        char text[300];
        struct tap t = {.face = FACE_CHAT};
        snprintf(text, sizeof text, "{\"choices\":[],\"usage\":%s}", nonsense[i]);
        read_event(&t, text);
        assert_false(t.usage.known);
        read_event(&t, "{\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":5}}");
        read_event(&t, text);
        expect_usage(&t.usage, 7, 0, 0, 5);
    }
}

/* Streams tell running totals, in chunks with choices too; Groq tells them under a name of its own. */
static void the_last_usage_told_counts_and_is_not_added_up(void **state)
{
    struct tap t = {.face = FACE_CHAT};
    struct fault fault;
    (void)state;
    read_event(&t, "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":1}}");
    expect_usage(&t.usage, 7, 0, 0, 1);
    read_event(&t, "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"}}],\"usage\":null}");
    read_event(&t, "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"}}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}");
    expect_usage(&t.usage, 7, 0, 0, 2);
    t = (struct tap){.face = FACE_CHAT};
    assert_int_equal(read_event(&t, "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"x_groq\":{\"id\":\"r\","
                                    "\"usage\":{\"queue_time\":0.1,\"prompt_tokens\":3,\"completion_tokens\":4,\"total_time\":0.5}}}"), EVENT_CONTENT);
    expect_usage(&t.usage, 3, 0, 0, 4);
    t = (struct tap){.face = FACE_CHAT};
    assert_true(openai_read_answer(&t, SPAN("{\"choices\":[],\"x_groq\":{\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}}"), &fault));
    expect_usage(&t.usage, 3, 0, 0, 4);
}

/* ---- finish ---- */

#define CHOICE(i, rest) "{\"choices\":[{\"index\":" i "," rest "}]}"
#define FINISH "\"delta\":{},\"finish_reason\":\"stop\""

static void a_stream_is_finished_when_every_choice_seen_is(void **state)
{
    struct tap t = {.face = FACE_CHAT, .expected = 2};
    (void)state;
    assert_false(tap_is_finished(&t));
    assert_int_equal(read_event(&t, CHOICE("0", "\"delta\":{\"role\":\"assistant\"},\"finish_reason\":null")), EVENT_HEAD);
    assert_int_equal(read_event(&t, CHOICE("1", "\"delta\":{\"content\":\"x\"},\"finish_reason\":null")), EVENT_CONTENT);
    assert_int_equal(read_event(&t, CHOICE("1", FINISH)), EVENT_CONTENT);
    assert_false(tap_is_finished(&t));
    assert_int_equal(read_event(&t, CHOICE("0", "\"delta\":{},\"finish_reason\":\"\"")), EVENT_HEAD);
    assert_false(tap_is_finished(&t));
    assert_int_equal(read_event(&t, CHOICE("0", "\"finish_reason\":\"length\"")), EVENT_CONTENT);
    assert_true(tap_is_finished(&t));
    /* one choice for two, and places where there is no index */
    t = (struct tap){.expected = 2};
    read_event(&t, "{\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"},{\"delta\":{\"content\":\"y\"}}]}");
    assert_false(tap_is_finished(&t));
    read_event(&t, CHOICE("1", FINISH));
    assert_true(tap_is_finished(&t));
    t = (struct tap){.expected = 2};
    read_event(&t, CHOICE("\"0\"", FINISH));
    assert_true(tap_is_finished(&t));
}

static void all_128_choices_are_told_apart_and_odd_ones_do_no_harm(void **state)
{
    struct tap t = {.expected = 128};
    char text[100];
    (void)state;
    for (int i = 0; i < 128; i++) {
        snprintf(text, sizeof text, "{\"choices\":[{\"index\":%d,\"delta\":{\"content\":\"x\"}}]}", i);
        read_event(&t, text);
    }
    for (int i = 0; i < 128; i++) {
        assert_false(tap_is_finished(&t));
        snprintf(text, sizeof text, "{\"choices\":[{\"index\":%d,\"finish_reason\":\"stop\"}]}", (i * 77 + 13) % 128); /* the last of all is 64 */
        read_event(&t, text);
    }
    assert_true(tap_is_finished(&t));
    read_event(&t, CHOICE("128", "\"delta\":{\"content\":\"x\"}"));
    read_event(&t, CHOICE("-1", "\"delta\":{\"content\":\"x\"}"));
    read_event(&t, CHOICE("9223372036854775807", "\"delta\":{\"content\":\"x\"}"));
    assert_true(tap_is_finished(&t));
}

/* ---- what an event is ---- */

static void every_event_is_known_for_what_it_is(void **state)
{
    static const struct { const char *text; enum event_kind kind; } all[] = {
        {"", EVENT_EMPTY}, {" \t\n", EVENT_EMPTY},
        {"[DONE]", EVENT_DONE}, {" [DONE] ", EVENT_DONE},
        {"[done]", EVENT_GARBAGE}, {"{", EVENT_GARBAGE}, {"null", EVENT_GARBAGE}, {"[]", EVENT_GARBAGE}, {"\"x\"", EVENT_GARBAGE}, {"{}{}", EVENT_GARBAGE},
        {"{\"a\":\"\xFF\"}", EVENT_GARBAGE},
        /* heads */
        {"{}", EVENT_HEAD}, {"{\"choices\":null}", EVENT_HEAD},
        {CHOICE("0", "\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"finish_reason\":null"), EVENT_HEAD},
        {CHOICE("0", "\"delta\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[]}"), EVENT_HEAD},
        {CHOICE("0", "\"delta\":{}"), EVENT_HEAD}, {CHOICE("0", "\"delta\":null"), EVENT_HEAD}, {CHOICE("0", "\"text\":\"\""), EVENT_HEAD},
        {"{\"choices\":[],\"prompt_filter_results\":[{\"prompt_index\":0}]}", EVENT_HEAD}, /* Azure's first */
        {"{\"choices\":[],\"usage\":null}", EVENT_HEAD},
        {"{\"choices\":[{\"index\":0,\"finish_reason\":null,\"content_filter_results\":{\"hate\":{}}}],\"id\":\"\"}", EVENT_HEAD}, /* Azure's filter */
        {"{\"choices\":[],\"x_groq\":{\"id\":\"req\"},\"error\":null}", EVENT_HEAD},
        {"{\"choices\":[{\"index\":0,\"delta\":{}}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}", EVENT_HEAD},
        /* content */
        {CHOICE("0", "\"delta\":{\"content\":\"x\"}"), EVENT_CONTENT}, {CHOICE("0", "\"delta\":{\"content\":\" \"}"), EVENT_CONTENT},
        {CHOICE("0", "\"delta\":{\"c\\u006fntent\":\"x\"}"), EVENT_CONTENT},
        {CHOICE("0", "\"delta\":{\"refusal\":\"no\"}"), EVENT_CONTENT}, {CHOICE("0", "\"delta\":{\"reasoning_content\":\"hm\"}"), EVENT_CONTENT},
        {CHOICE("0", "\"delta\":{\"reasoning\":\"hm\"}"), EVENT_CONTENT}, {CHOICE("0", "\"text\":\"x\""), EVENT_CONTENT},
        {CHOICE("0", "\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\"}}]}"), EVENT_CONTENT},
        {CHOICE("0", "\"delta\":{\"function_call\":{\"name\":\"f\"}}"), EVENT_CONTENT},
        {CHOICE("0", FINISH), EVENT_CONTENT},
        {"{\"choices\":[{\"index\":0,\"delta\":{}},{\"index\":1,\"delta\":{\"content\":\"x\"}}]}", EVENT_CONTENT},
        {"{\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1},\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}", EVENT_CONTENT},
        /* usage alone */
        {"{\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1},\"choices\":[]}", EVENT_USAGE},
        /* errors */
        {"{\"error\":{\"message\":\"m\"}}", EVENT_ERROR}, {"{\"error\":\"m\"}", EVENT_ERROR}, {"{\"choices\":[],\"error\":{\"code\":1}}", EVENT_ERROR},
        {"{\"type\":\"error\",\"code\":\"x\",\"message\":\"m\"}", EVENT_ERROR}, {"{\"choices\":[],\"x_groq\":{\"error\":\"m\"}}", EVENT_ERROR},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct tap t = {.face = FACE_CHAT};
        if (read_event(&t, all[i].text) != all[i].kind) fail_msg("%s: not %d", all[i].text, all[i].kind);
        assert_int_equal(t.done, all[i].kind == EVENT_DONE);
    }
}

static void deep_events_are_garbage_not_a_crash(void **state)
{
    char text[400];
    struct tap t = {.face = FACE_CHAT};
    (void)state;
    size_t n = strlen("{\"choices\":[{\"index\":0,\"delta\":{\"content\":");
    memcpy(text, "{\"choices\":[{\"index\":0,\"delta\":{\"content\":", n);
    for (int depth = 60; depth <= 61; depth++) { /* besides the four levels around it */
        size_t at = n;
        memset(text + at, '[', (size_t)depth);
        at += (size_t)depth;
        text[at++] = '1';
        memset(text + at, ']', (size_t)depth);
        at += (size_t)depth;
        memcpy(text + at, "}}]}", 5);
        assert_int_equal(read_event(&t, text), depth == 60 ? EVENT_CONTENT : EVENT_GARBAGE);
    }
}

static void delivered_is_counted_in_characters(void **state)
{
    static const struct { const char *choice; int64_t characters; } all[] = {
        {"\"delta\":{\"content\":\"hello\"}", 5}, {"\"delta\":{\"content\":\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"}", 3},
        {"\"delta\":{\"content\":\"\\n\\\"\\\\\\u00e9x\"}", 5}, {"\"delta\":{\"content\":\"\\\\u00e9\"}", 6},
        {"\"delta\":{\"role\":\"assistant\",\"content\":\"ab\"}", 2}, {"\"delta\":{\"content\":\"ab\",\"reasoning\":\"cde\"}", 5},
        {"\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":1}\"}}]}", 7},
        {"\"delta\":{\"content\":[{\"text\":\"ab\"},{\"text\":\"c\"}]}", 3}, {"\"delta\":{}", 0}, {"\"text\":\"abc\"", 3},
        {"\"message\":{\"role\":\"assistant\",\"content\":\"abc\",\"refusal\":null}", 3},
        {"\"delta\":{\"content\":\"\"},\"finish_reason\":\"stop\"", 0},
    };
    struct tap sum = {.face = FACE_CHAT, .counts = true};
    int64_t characters = 0;
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char text[300];
        struct tap t = {.face = FACE_CHAT, .counts = true}, whole = {.face = FACE_CHAT};
        struct fault fault;
        snprintf(text, sizeof text, "{\"choices\":[{\"index\":0,%s}]}", all[i].choice);
        read_event(&t, text);
        read_event(&sum, text);
        characters += all[i].characters;
        assert_int_equal(t.delivered, all[i].characters);
        assert_int_equal(sum.delivered, characters);
        assert_true(openai_read_answer(&whole, span_of(text), &fault));
        assert_int_equal(whole.delivered, all[i].characters);
    }
}

/* ---- errors ---- */

static void errors_are_read_in_every_form_they_come_in(void **state)
{
    static const struct { const char *body; bool passes; const char *message, *type, *code, *param; } all[] = {
        {"{\"error\":{\"message\":\"m\",\"type\":\"t\",\"param\":null,\"code\":null}}", true, "m", "t", "", ""},
        {" {\"error\":{\"code\":\"c\",\"param\":\"p\",\"type\":\"t\",\"message\":\"m\"},\"x\":1}\n", true, "m", "t", "c", "p"},
        {"{\"error\":{\"message\":\"m\",\"type\":\"t\",\"param\":null,\"code\":\"429\",\"innererror\":{}}}", true, "m", "t", "429", ""},
        {"{\"error\":{\"message\":\"m\",\"type\":\"t\",\"param\":null,\"code\":429}}", false, "m", "t", "429", ""},
        {"{\"error\":{\"message\":\"m\",\"type\":\"t\",\"param\":null}}", false, "m", "t", "", ""},
        {"{\"error\":{\"message\":\"m\",\"type\":null,\"param\":null,\"code\":null}}", false, "m", "", "", ""},
        {"{\"error\":{\"message\":null,\"type\":\"t\",\"param\":null,\"code\":null}}", false, "", "t", "", ""},
        {"{\"error\":{\"message\":\"m\",\"type\":\"t\",\"param\":[],\"code\":null}}", false, "m", "t", "", ""},
        {"[{\"error\":{\"code\":400,\"message\":\"m\",\"status\":\"INVALID_ARGUMENT\"}}]", false, "m", "INVALID_ARGUMENT", "400", ""},
        {"[{\"error\":{\"message\":\"m\",\"type\":\"t\",\"param\":null,\"code\":null}}]", false, "m", "t", "", ""},
        {"{\"error\":\"m\"}", false, "m", "", "", ""},
        {"{\"error\":\"m\\u00e9\\n\\ud83d\\ude00\"}", false, "m\xC3\xA9\n\xF0\x9F\x98\x80", "", "", ""},
        {"{\"detail\":\"m\"}", false, "m", "", "", ""},
        {"{\"detail\":[{\"loc\":[\"body\",\"n\"],\"msg\":\"m\",\"type\":\"int\"},{\"msg\":\"x\"}]}", false, "m", "", "", ""},
        {"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}", false, "m", "overloaded_error", "", ""},
        {"{\"type\":\"error\",\"code\":\"c\",\"message\":\"m\",\"param\":null}", false, "m", "error", "c", ""},
        {"{\"message\":\"m\"}", false, "m", "", "", ""},
        {"{}", false, "", "", "", ""}, {"[]", false, "", "", "", ""}, {"null", false, "", "", "", ""}, {"\"m\"", false, "", "", "", ""},
        {"{\"error\":{}}", false, "", "", "", ""}, {"{\"error\":null}", false, "", "", "", ""}, {"{\"detail\":[]}", false, "", "", "", ""},
        {"[[]]", false, "", "", "", ""}, {"{\"detail\":[1]}", false, "", "", "", ""},
        {"<html>502</html>", false, "", "", "", ""}, {"", false, "", "", "", ""}, {"{\"error\":{\"message\":\"m\"", false, "", "", "", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct fault f;
        memset(&f, 'x', sizeof f);
        if (openai_read_error(&(struct tap){0}, span_of(all[i].body), &f) != all[i].passes) fail_msg("%s: %s", all[i].body, all[i].passes ? "rewritten" : "passed");
        assert_string_equal(f.message, all[i].message);
        assert_string_equal(f.type, all[i].type);
        assert_string_equal(f.code, all[i].code);
        assert_string_equal(f.param, all[i].param);
    }
}

static void errors_in_a_stream_are_read_the_same(void **state)
{
    struct tap t = {.face = FACE_CHAT};
    struct fault f;
    (void)state;
    memset(&f, 'x', sizeof f);
    assert_int_equal(openai_read_event(&t, SPAN("{\"error\":{\"message\":\"m\",\"type\":\"t\",\"status_code\":400}}"), &f), EVENT_ERROR);
    assert_string_equal(f.message, "m");
    assert_string_equal(f.type, "t");
    assert_string_equal(f.code, "");
    memset(&f, 'x', sizeof f);
    assert_int_equal(openai_read_event(&t, SPAN("{\"choices\":[],\"x_groq\":{\"error\":\"over capacity\"}}"), &f), EVENT_ERROR);
    assert_string_equal(f.message, "over capacity");
    assert_string_equal(f.type, "");
    memset(&f, 'x', sizeof f);
    assert_int_equal(openai_read_event(&t, SPAN("{\"x_groq\":{\"error\":{\"message\":\"m\",\"code\":\"c\"}}}"), &f), EVENT_ERROR);
    assert_string_equal(f.message, "m");
    assert_string_equal(f.code, "c");
    assert_false(t.usage.known);
}

static void an_errors_words_are_cut_at_a_character(void **state)
{
    struct buf body;
    struct fault f;
    (void)state;
    buf_init(&body, 10000);
    buf_str(&body, "{\"error\":{\"message\":\"a");
    for (int i = 0; i < 600; i++) buf_str(&body, "\xE2\x82\xAC");
    buf_str(&body, "\",\"type\":\"");
    for (int i = 0; i < 70; i++) buf_char(&body, 't');
    buf_str(&body, "\",\"param\":null,\"code\":null}}");
    assert_true(openai_read_error(&(struct tap){0}, buf_all(&body), &f));
    assert_int_equal(strlen(f.message), 511);
    assert_true(text_is_utf8(span_of(f.message)));
    assert_int_equal(strlen(f.type), sizeof f.type - 1);
    buf_clear(&body);
    buf_str(&body, "{\"error\":\"");
    for (int i = 0; i < 600; i++) buf_str(&body, "\\u20ac");
    buf_str(&body, "\"}");
    assert_false(openai_read_error(&(struct tap){0}, buf_all(&body), &f));
    assert_int_equal(strlen(f.message), 510);
    assert_true(text_is_utf8(span_of(f.message)));
    buf_free(&body);
}

/* ---- whole answers ---- */

static void an_answer_is_one_only_with_its_list(void **state)
{
    static const struct { enum face face; const char *body; bool is; const char *message; } all[] = {
        {FACE_CHAT, "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"x\"}}]}", true, ""},
        {FACE_CHAT, "{\"choices\":[],\"error\":null}", true, ""},
        {FACE_COMPLETIONS, "{\"choices\":[{\"text\":\"x\"}]}", true, ""},
        {FACE_EMBEDDINGS, "{\"data\":[{\"embedding\":[1]}],\"usage\":{\"prompt_tokens\":1,\"total_tokens\":1}}", true, ""},
        {FACE_EMBEDDINGS, "{\"choices\":[]}", false, ""}, {FACE_CHAT, "{\"data\":[]}", false, ""},
        {FACE_CHAT, "{\"choices\":{}}", false, ""}, {FACE_CHAT, "{}", false, ""}, {FACE_CHAT, "[]", false, ""}, {FACE_CHAT, "", false, ""},
        {FACE_CHAT, "{\"choices\":[]", false, ""}, {FACE_CHAT, "data: {\"choices\":[]}\n\n", false, ""},
        {FACE_CHAT, "{\"error\":{\"message\":\"m\"}}", false, "m"}, {FACE_CHAT, "{\"choices\":[],\"error\":\"m\"}", false, "m"},
        {FACE_EMBEDDINGS, "{\"data\":[],\"error\":{\"message\":\"m\"}}", false, "m"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct tap t = {.face = all[i].face};
        struct fault f;
        memset(&f, 'x', sizeof f);
        if (openai_read_answer(&t, span_of(all[i].body), &f) != all[i].is) fail_msg("%s", all[i].body);
        assert_string_equal(f.message, all[i].message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_model_and_the_wish_for_usage_change),
        cmocka_unit_test(two_wishes_for_usage_do_not_hide_the_usage),
        cmocka_unit_test(a_model_of_any_name_is_one_json_string),
        cmocka_unit_test(every_other_byte_of_any_document_stays),
        cmocka_unit_test(the_call_goes_to_the_faces_address_with_the_providers_headers_and_key),
        cmocka_unit_test(usage_is_read_in_every_form),
        cmocka_unit_test(usage_that_is_nonsense_is_unknown_and_spoils_nothing),
        cmocka_unit_test(the_last_usage_told_counts_and_is_not_added_up),
        cmocka_unit_test(a_stream_is_finished_when_every_choice_seen_is),
        cmocka_unit_test(all_128_choices_are_told_apart_and_odd_ones_do_no_harm),
        cmocka_unit_test(every_event_is_known_for_what_it_is),
        cmocka_unit_test(deep_events_are_garbage_not_a_crash),
        cmocka_unit_test(delivered_is_counted_in_characters),
        cmocka_unit_test(errors_are_read_in_every_form_they_come_in),
        cmocka_unit_test(errors_in_a_stream_are_read_the_same),
        cmocka_unit_test(an_errors_words_are_cut_at_a_character),
        cmocka_unit_test(an_answer_is_one_only_with_its_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
