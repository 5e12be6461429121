/* Calls go out as each dialect wants them: to its address, with its key and headers, and with the caller's own bytes but
 * for what must change. */
#include "fcgi/provider/body.c"

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

struct span upstream_header(const struct upstream *up, const char *name) { return (void)up, (void)name, SPAN_NONE; }

static void forget_call(void)
{
    free(called.url);
    free(called.body);
    called.url = called.body = NULL;
}

static void open_to(const struct target *given, enum face face, struct span body)
{
    struct target as_asked = *given;
    const struct target *target = &as_asked;
    as_asked.asked = face;
    struct arena memory;
    struct chat chat;
    struct problem problem;
    struct upstream *up;
    struct buf sent;
    arena_init(&memory);
    buf_init(&sent, SIZE_MAX - 1);
    assert_int_equal(parse_chat(face, body, &memory, &chat, &problem), WEIR_OK);
    const struct call c = {.chat = &chat, .target = target, .body = &sent, .memory = &memory, .stop_fd = -1, .max_output = -1};
    assert_int_equal(dialect_find(target->provider->dialect)->open(&c, &up), WEIR_OK);
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
    struct provider_row p = {.name = "p", .dialect = "openai", .base_url = "https://x.example/v1//", .headers = headers, .header_count = 2, .connect_ms = 77};
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

/* ---- dialects ---- */

static void each_dialect_has_its_address_and_its_key(void **state)
{
    static const struct { struct provider_row p; enum face face; const char *url, *secret_header, *header, *value; } all[] = {
        {{.dialect = "anthropic", .base_url = "https://api.anthropic.com/v1"}, FACE_MESSAGES, "https://api.anthropic.com/v1/messages", "x-api-key: ",
         "anthropic-version", "2023-06-01"},
        {{.dialect = "anthropic", .base_url = "https://a/v1", .auth = "bearer", .anthropic_version = "2026-10-21"}, FACE_MESSAGES, "https://a/v1/messages",
         "Authorization: Bearer ", "anthropic-version", "2026-10-21"},
        {{.dialect = "azure", .base_url = "https://r.openai.azure.com/openai/v1"}, FACE_CHAT, "https://r.openai.azure.com/openai/v1/chat/completions", "api-key: ", NULL, NULL},
        {{.dialect = "azure", .base_url = "https://r.openai.azure.com/"}, FACE_CHAT, "https://r.openai.azure.com/openai/v1/chat/completions", "api-key: ", NULL, NULL},
        {{.dialect = "azure", .base_url = "https://r.openai.azure.com", .api_version = "2024-10-21"}, FACE_EMBEDDINGS,
         "https://r.openai.azure.com/openai/deployments/my%20model%231/embeddings?api-version=2024-10-21", "api-key: ", NULL, NULL},
        {{.dialect = "azure", .base_url = "https://r.openai.azure.com/openai/deployments/mine", .api_version = "2024-10-21", .auth = "bearer"}, FACE_CHAT,
         "https://r.openai.azure.com/openai/deployments/mine/chat/completions?api-version=2024-10-21", "Authorization: Bearer ", NULL, NULL},
        {{.dialect = "groq", .base_url = "https://api.groq.com/openai/v1"}, FACE_CHAT, "https://api.groq.com/openai/v1/chat/completions", "Authorization: Bearer ", NULL, NULL},
        {{.dialect = "gemini", .base_url = "https://g/v1beta/openai/"}, FACE_EMBEDDINGS, "https://g/v1beta/openai/embeddings", "Authorization: Bearer ", NULL, NULL},
        {{.dialect = "ollama", .base_url = "http://127.0.0.1:11434/v1"}, FACE_COMPLETIONS, "http://127.0.0.1:11434/v1/completions", "Authorization: Bearer ", NULL, NULL},
        {{.dialect = "openai", .base_url = "https://x/v1?tenant=5"}, FACE_RESPONSES, "https://x/v1/responses?tenant=5", "Authorization: Bearer ", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct provider_row p = all[i].p;
        p.name = "p";
        const struct target target = {.provider = &p, .model = "my model#1"};
        open_to(&target, all[i].face, all[i].face == FACE_EMBEDDINGS ? SPAN("{\"model\":\"a\",\"input\":\"x\"}")
                                    : all[i].face == FACE_RESPONSES || all[i].face == FACE_COMPLETIONS ? SPAN("{\"model\":\"a\"}")
                                    : SPAN("{\"model\":\"a\",\"max_tokens\":5," M "}"));
        assert_string_equal(called.url, all[i].url);
        assert_string_equal(called.secret_header, all[i].secret_header);
        assert_int_equal(called.header_count, all[i].header != NULL);
        if (all[i].header) assert_string_equal(called.headers[0].value, all[i].value);
    }
    forget_call();
}

static void a_header_of_the_providers_own_goes_before_the_dialects(void **state)
{
    const struct header own[] = {{"Anthropic-Version", "2024-01-01"}};
    const struct provider_row p = {.name = "p", .dialect = "anthropic", .base_url = "https://a/v1", .headers = own, .header_count = 1};
    const struct target target = {.provider = &p, .model = "m"};
    (void)state;
    open_to(&target, FACE_MESSAGES, SPAN("{\"model\":\"a\",\"max_tokens\":5," M "}"));
    assert_int_equal(called.header_count, 1);
    assert_string_equal(called.headers[0].value, "2024-01-01");
    forget_call();
}

static void faces_are_the_dialects_own_or_what_the_provider_names(void **state)
{
    static const struct { struct provider_row p; enum face face; bool can; enum face asked; } all[] = {
        {{.dialect = "openai", .base_url = "https://api.openai.com/v1"}, FACE_RESPONSES, true, FACE_RESPONSES},
        {{.dialect = "openai", .base_url = "https://api.openai.com.evil/v1"}, FACE_RESPONSES, true, FACE_CHAT},
        {{.dialect = "openai", .base_url = "https://x/v1", .faces = "chat,responses"}, FACE_RESPONSES, true, FACE_RESPONSES},
        {{.dialect = "openai", .base_url = "https://x/v1", .faces = "messages"}, FACE_CHAT, true, FACE_MESSAGES},
        {{.dialect = "openai", .base_url = "https://x/v1", .faces = "embeddings"}, FACE_CHAT, false, FACE_CHAT},
        {{.dialect = "anthropic", .base_url = "https://a"}, FACE_CHAT, true, FACE_MESSAGES},
        {{.dialect = "anthropic", .base_url = "https://a"}, FACE_EMBEDDINGS, false, FACE_CHAT},
        {{.dialect = "groq", .base_url = "https://g"}, FACE_COMPLETIONS, true, FACE_CHAT},
        {{.dialect = "mock", .base_url = ""}, FACE_MESSAGES, true, FACE_CHAT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        enum face asked = FACE_CHAT;
        if (provider_face_for(&all[i].p, all[i].face, &asked) != all[i].can || asked != all[i].asked) fail_msg("%zu", i);
    }
}

/* ---- what is left out ---- */

static void neutral_values_are_left_out_and_others_refused(void **state)
{
    static const struct provider_row groq = {.name = "p", .dialect = "groq", .base_url = "https://g"}, openai = {.name = "p", .dialect = "openai", .base_url = "https://o"},
                                     claude = {.name = "p", .dialect = "anthropic", .base_url = "https://a", .anthropic_version = "2026-10-21"};
    static const struct { const struct provider_row *p; const char *model, *in, *out; } all[] = {
        {&groq, "m", "{\"n\":1,\"model\":\"a\",\"logprobs\":false,\"logit_bias\":{},\"top_p\":1," M "}", "{\"model\":\"m\",\"top_p\":1," M "}"},
        {&groq, "m", "{" M ",\"model\":\"a\", \"n\":null , \"logit_bias\" : { } }", "{" M ",\"model\":\"m\"}"},
        {&groq, "m", "{\"logprobs\":false,\"n\":1,\"model\":\"a\"," M "}", "{\"model\":\"m\"," M "}"},
        {&groq, "m", "{\"model\":\"a\",\"logprobs\":true," M "}", NULL},
        {&openai, "gpt-5-mini", "{\"temperature\":1,\"model\":\"a\"," M ",\"top_p\":1.0}", "{\"model\":\"gpt-5-mini\"," M "}"},
        {&openai, "gpt-5-2026-01-01", "{\"temperature\":0.5,\"model\":\"a\"," M "}", NULL},
        {&openai, "openai/o3", "{\"temperature\":0.5,\"model\":\"a\"," M "}", NULL},
        {&openai, "gpt-6-turbo", "{\"presence_penalty\":1,\"model\":\"a\"," M "}", NULL},
        {&openai, "gpt-5-chat-latest", "{\"temperature\":0.5,\"model\":\"a\"," M "}", "{\"temperature\":0.5,\"model\":\"gpt-5-chat-latest\"," M "}"},
        {&openai, "gpt-5.1", "{\"temperature\":0.5,\"model\":\"a\"," M "}", "{\"temperature\":0.5,\"model\":\"gpt-5.1\"," M "}"},
        {&claude, "claude-3", "{\"temperature\":1,\"model\":\"a\"," M "}", "{\"model\":\"claude-3\"," M "}"},
        {&claude, "claude-3", "{\"top_k\":5,\"model\":\"a\"," M "}", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct target target = {.provider = all[i].p, .model = all[i].model};
        struct arena memory;
        struct chat chat;
        struct problem p;
        arena_init(&memory);
        assert_int_equal(parse_chat(FACE_CHAT, span_of(all[i].in), &memory, &chat, &p), WEIR_OK);
        enum weir_err err = quirks_check(&target, &chat, &target.strips, &p);
        if (err != (all[i].out ? WEIR_OK : WEIR_INVALID)) fail_msg("%s for %s", all[i].in, all[i].model);
        arena_end(&memory);
        if (!all[i].out) continue;
        open_to(&target, FACE_CHAT, span_of(all[i].in));
        assert_string_equal(called.body, all[i].out);
    }
    forget_call();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_model_and_the_wish_for_usage_change),
        cmocka_unit_test(two_wishes_for_usage_do_not_hide_the_usage),
        cmocka_unit_test(a_model_of_any_name_is_one_json_string),
        cmocka_unit_test(every_other_byte_of_any_document_stays),
        cmocka_unit_test(the_call_goes_to_the_faces_address_with_the_providers_headers_and_key),
        cmocka_unit_test(each_dialect_has_its_address_and_its_key),
        cmocka_unit_test(a_header_of_the_providers_own_goes_before_the_dialects),
        cmocka_unit_test(faces_are_the_dialects_own_or_what_the_provider_names),
        cmocka_unit_test(neutral_values_are_left_out_and_others_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
