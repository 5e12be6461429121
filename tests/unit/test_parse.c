/* The parser: every known field of the wrong type is named, every right one accepted; what later steps rely on is where
 * it is said to be; nothing unknown is refused. */
#include "fcgi/stage/parse.c"

#include "fcgi/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static struct arena memory;

static int open_memory(void **state)
{
    (void)state;
    arena_init(&memory);
    return 0;
}

static int close_memory(void **state)
{
    (void)state;
    arena_end(&memory);
    return 0;
}

static struct chat accept(enum face face, const char *body)
{
    struct chat c;
    struct problem p = {.err = WEIR_OK};
    if (parse_chat(face, span_of(body), &memory, &c, &p) != WEIR_OK) fail_msg("%s: %s", body, p.text);
    assert_int_equal(c.face, face);
    return c;
}

static struct problem refused(enum face face, struct span body, struct chat *c)
{
    struct problem p = {.err = WEIR_OK};
    assert_int_equal(parse_chat(face, body, &memory, c, &p), WEIR_INVALID);
    assert_int_equal(p.err, WEIR_INVALID);
    assert_true(*p.text);
    assert_true(text_is_utf8(span_of(p.text)));
    assert_true(text_is_utf8(span_of(p.param)));
    return p;
}

static void expect_refused(enum face face, const char *body, const char *param)
{
    struct chat c;
    struct problem p = refused(face, span_of(body), &c);
    if (strcmp(p.param, param) != 0) fail_msg("%s: names \"%s\", not \"%s\"", body, p.param, param);
    if (!strstr(p.text, param)) fail_msg("%s: \"%s\" does not name it", body, p.text);
}

/* ---- the table of fields ---- */

static const struct { char sign; const char *text; } samples[] = {
    {'z', "null"}, {'f', "false"}, {'t', "true"}, {'0', "0"}, {'1', "1"}, {'-', "-1"}, {'.', "1.5"}, {'e', "1e3"}, {'8', "128"}, {'9', "129"},
    {'b', "2147483648"}, {'h', "99999999999999999999"}, {'s', "\"x\""}, {'a', "[]"}, {'o', "{}"},
};
#define NUMBERS "01-.e89bh"

static const struct { const char *name, *faces, *takes; } known[] = { /* faces: chat, completions (h), embeddings, responses, messages */
    {"model", "chErm", "s"}, {"messages", "cm", ""}, {"prompt", "h", "sza"}, {"prompt", "r", "zo"}, {"input", "E", "sa"},
    {"input", "r", "sza"}, {"instructions", "r", "sz"}, {"system", "m", "sa"}, {"encoding_format", "E", "sz"},
    {"dimensions", "E", "z189"}, {"stream", "chErm", "zft"}, {"stream_options", "chr", "zo"}, {"max_tokens", "c", "z189"}, {"max_tokens", "h", "z0189"},
    {"max_tokens", "m", "189"}, {"max_output_tokens", "r", "z189"}, {"previous_response_id", "r", "sz"}, {"conversation", "r", "szo"},
    {"store", "cr", "zft"}, {"background", "r", "zft"}, {"reasoning", "r", "zo"}, {"text", "r", "zo"}, {"include", "r", "za"},
    {"thinking", "m", "zo"}, {"stop_sequences", "m", "za"}, {"top_k", "m", "z0189"}, {"metadata", "crm", "zo"},
    {"max_completion_tokens", "c", "z189"}, {"n", "ch", "z18"}, {"best_of", "ch", "z18"}, {"temperature", "chrm", "z" NUMBERS},
    {"top_p", "chrm", "z" NUMBERS}, {"presence_penalty", "ch", "z" NUMBERS}, {"frequency_penalty", "ch", "z" NUMBERS},
    {"seed", "ch", "z" NUMBERS}, {"tools", "crm", "za"}, {"parallel_tool_calls", "cr", "zft"}, {"stop", "ch", "zsa"},
    {"user", "chEr", "zs"}, {"service_tier", "chErm", "zs"}, {"modalities", "c", "za"}, {"web_search_options", "c", "zo"},
    {"max_tool_calls", "r", "z0189"}, {"speed", "m", "zs"},
    /* not known: for the provider to judge */
    {"x", "", ""}, {"response_format", "", ""}, {"messages ", "", ""}, {"Models", "", ""},
};

/* What a face needs, but for the field that is tried. */
static void write_body(char *to, size_t size, enum face face, const char *name, const char *value)
{
    static const char *const needs[FACE_COUNT] = {"messages", "", "input", "", "messages"};
    static const char *const rest[FACE_COUNT] = {"\"messages\":[{\"role\":\"user\"}],", "", "\"input\":\"x\",", "",
                                                 "\"messages\":[{\"role\":\"user\"}],"};
    snprintf(to, size, "{%s%s\"%s\":%s}", strcmp(name, "model") ? "\"model\":\"m\"," : "",
             strcmp(name, needs[face]) ? rest[face] : "", name, value);
}

/* Is it known on this face, by another row? */
static bool is_known_otherwise(size_t row, char face)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (i != row && strcmp(known[i].name, known[row].name) == 0 && strchr(known[i].faces, face)) return true;
    return false;
}

static void every_field_is_taken_or_named(void **state)
{
    static const char faces[] = "chErm";
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        for (int face = 0; face < FACE_COUNT; face++)
            for (size_t s = 0; s < sizeof samples / sizeof *samples; s++) {
                char body[200];
                if (is_known_otherwise(i, faces[face])) continue;
                write_body(body, sizeof body, (enum face)face, known[i].name, samples[s].text);
                if (!strchr(known[i].faces, faces[face]) || strchr(known[i].takes, samples[s].sign)) accept((enum face)face, body);
                else expect_refused((enum face)face, body, known[i].name);
            }
}

static void only_what_is_to_be_answered_needs_a_maximum(void **state)
{
    struct problem p;
    (void)state;
    struct chat c = accept(FACE_MESSAGES, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    assert_int_equal(parse_maximum(&c, &p), WEIR_INVALID);
    assert_string_equal(p.param, "max_tokens");
    c = accept(FACE_MESSAGES, "{\"model\":\"m\",\"max_tokens\":7,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    assert_int_equal(parse_maximum(&c, &p), WEIR_OK);
    assert_int_equal(c.max_output, 7);
    c = accept(FACE_CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    assert_int_equal(parse_maximum(&c, &p), WEIR_OK);
    c = accept(FACE_RESPONSES, "{\"model\":\"m\",\"input\":\"x\",\"max_output_tokens\":9}");
    assert_int_equal(c.max_output, 9);
}

static void the_least_and_most_of_whole_numbers_are_exact(void **state)
{
    (void)state;
    accept(FACE_COMPLETIONS, "{\"model\":\"m\",\"max_tokens\":2147483647}");
    accept(FACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":\"\",\"dimensions\":1048576}");
    expect_refused(FACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":\"\",\"dimensions\":1048577}", "dimensions");
    expect_refused(FACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":\"\",\"dimensions\":0}", "dimensions");
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    expect_refused(FACE_CHAT, "{}", "model");
    expect_refused(FACE_CHAT, "{\"messages\":[{\"role\":\"user\"}]}", "model");
    expect_refused(FACE_CHAT, "{\"model\":\"m\"}", "messages");
    expect_refused(FACE_EMBEDDINGS, "{\"model\":\"m\"}", "input");
    expect_refused(FACE_COMPLETIONS, "{\"prompt\":\"m\"}", "model");
    accept(FACE_COMPLETIONS, "{\"model\":\"m\"}");
}

static void an_escaped_name_is_the_name(void **state)
{
    (void)state;
    expect_refused(FACE_CHAT, "{\"m\\u006fdel\":1,\"messages\":[{\"role\":\"user\"}]}", "model");
    struct chat c = accept(FACE_CHAT, "{\"m\\u006fdel\":\"a\",\"mess\\u0061ges\":[{\"r\\u006fle\":\"user\"}],\"str\\u0065am\":true}");
    assert_true(span_is(c.alias, "a"));
    assert_true(c.stream);
}

/* ---- messages ---- */

static void a_bad_message_is_named_by_its_place(void **state)
{
    static const struct { const char *messages, *param; } all[] = {
        {"[]", "messages"}, {"[ ]", "messages"}, {"[1]", "messages[0]"}, {"[{\"role\":\"user\"},null]", "messages[1]"}, {"[[]]", "messages[0]"},
        {"[{}]", "messages[0].role"}, {"[{\"role\":1}]", "messages[0].role"}, {"[{\"role\":null}]", "messages[0].role"},
        {"[{\"role\":\"user\"},{\"role\":\"user\"},{\"content\":\"x\"}]", "messages[2].role"},
        {"[{\"role\":\"user\",\"content\":1}]", "messages[0].content"}, {"[{\"content\":{},\"role\":\"user\"}]", "messages[0].content"},
        {"[{\"content\":true,\"role\":\"user\"}]", "messages[0].content"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char body[300];
        snprintf(body, sizeof body, "{\"model\":\"m\",\"messages\":%s}", all[i].messages);
        expect_refused(FACE_CHAT, body, all[i].param);
    }
    accept(FACE_CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\"}]},"
                      "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{}]},{\"role\":\"anything\",\"content\":\"\",\"name\":7}]}");
}

/* ---- bodies ---- */

static void what_is_no_json_object_is_said_to_be_none(void **state)
{
    static const struct { const char *body, *says; } all[] = {
        {"", "unexpected end at byte 0"}, {"{", "unexpected end at byte 1"}, {"{\"model\":\"m\",}", "at byte 13"}, {"nope", "at byte 0"},
        {"{}{}", "more than one value at byte 2"}, {"{\"a\":\"\xFF\"}", "invalid UTF-8 at byte 6"},
        {"[]", "must be a JSON object"}, {"\"model\"", "must be a JSON object"}, {"null", "must be a JSON object"}, {"1", "must be a JSON object"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (int face = 0; face < FACE_COUNT; face++) {
            struct chat c;
            struct problem p = refused((enum face)face, span_of(all[i].body), &c);
            if (!strstr(p.text, all[i].says)) fail_msg("%s: %s", all[i].body, p.text);
            assert_string_equal(p.param, "");
            assert_int_equal(c.alias.len, 0);
        }
    struct chat c;
    refused(FACE_CHAT, SPAN_NONE, &c);
    refused(FACE_CHAT, SPAN("{}\0"), &c);
}

static void depth_64_is_taken_and_65_refused(void **state)
{
    char body[400], *at;
    struct chat c;
    (void)state;
    for (int depth = 63; depth <= 64; depth++) { /* besides the object itself */
        at = body + sprintf(body, "{\"model\":\"m\",\"x\":");
        memset(at, '[', (size_t)depth);
        memset(at + depth, ']', (size_t)depth);
        strcpy(at + 2 * depth, "}");
        if (depth == 63) {
            accept(FACE_COMPLETIONS, body);
        } else {
            struct problem p = refused(FACE_COMPLETIONS, span_of(body), &c);
            assert_non_null(strstr(p.text, "nested deeper than 64"));
        }
    }
}

static void a_member_given_twice_is_named_however_it_is_written(void **state)
{
    (void)state;
    expect_refused(FACE_COMPLETIONS, "{\"model\":\"a\",\"model\":\"b\"}", "model");
    expect_refused(FACE_COMPLETIONS, "{\"model\":\"a\",\"x\":1,\"y\":2,\"x\":1}", "x");
    expect_refused(FACE_COMPLETIONS, "{\"m\\u006fdel\":\"a\",\"model\":\"b\"}", "model");
    struct chat c;
    struct problem p = refused(FACE_COMPLETIONS, SPAN("{\"model\":\"a\",\"m\\u006fdel\":\"b\"}"), &c);
    assert_non_null(strstr(p.text, "given twice"));
    p = refused(FACE_COMPLETIONS, SPAN("{\"model\":\"a\",\"\":1,\"\":2}"), &c);
    assert_non_null(strstr(p.text, "given twice"));
    accept(FACE_COMPLETIONS, "{\"model\":\"a\",\"x\":{\"model\":1,\"y\":2},\"y\":3}");
}

/* Names are shown cut; a cut through a character would make the message no UTF-8 (err.h). */
static void a_long_name_given_twice_is_cut_at_a_character(void **state)
{
    (void)state;
    for (int lead = 40; lead < 80; lead++) {
        char body[600], name[200];
        struct chat c;
        memset(name, 'a', (size_t)lead);
        strcpy(name + lead, "\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC");
        snprintf(body, sizeof body, "{\"%s\":1,\"%s\":2}", name, name);
        refused(FACE_COMPLETIONS, span_of(body), &c);
    }
}

static void members_are_counted(void **state)
{
    (void)state;
    for (int n = 256; n <= 257; n++) {
        struct buf body;
        struct chat c;
        buf_init(&body, 10000);
        buf_str(&body, "{\"model\":\"m\"");
        for (int i = 1; i < n; i++) buf_printf(&body, ",\"x%d\":1", i);
        buf_str(&body, "}");
        if (n == 256) accept(FACE_COMPLETIONS, buf_cstr(&body));
        else assert_non_null(strstr(refused(FACE_COMPLETIONS, buf_all(&body), &c).text, "256"));
        buf_free(&body);
    }
}

/* ---- what is noted ---- */

static void the_alias_is_what_the_model_means_however_long(void **state)
{
    struct buf body;
    (void)state;
    struct chat c = accept(FACE_COMPLETIONS, "{\"model\":\"a\\/b\\u00e9\\ud83d\\ude00\\u0000:x\"}");
    assert_int_equal(c.alias.len, 13 - 1);
    assert_memory_equal(c.alias.at, "a/b\xC3\xA9\xF0\x9F\x98\x80\0:x", 12);
    assert_true(span_is(c.model.text, "\"a\\/b\\u00e9\\ud83d\\ude00\\u0000:x\""));
    assert_int_equal(accept(FACE_COMPLETIONS, "{\"model\":\"\"}").alias.len, 0);
    buf_init(&body, 100000);
    buf_str(&body, "{\"model\":\"");
    for (int i = 0; i < 10240; i++) buf_char(&body, 'm');
    buf_str(&body, "\"}");
    c = accept(FACE_COMPLETIONS, buf_cstr(&body));
    assert_int_equal(c.alias.len, 10240);
    assert_int_equal(strspn(c.alias.at, "m"), 10240);
    buf_free(&body);
}

static void the_alias_is_known_whatever_else_is_wrong(void **state)
{
    static const char *const bodies[] = {
        "{\"stream\":7,\"model\":\"mine\"}", "{\"messages\":1,\"model\":\"mine\"}", "{\"model\":\"mine\"}", "{\"model\":\"mine\",\"messages\":[{}]}",
        "{\"model\":\"mine\",\"messages\":[{\"role\":\"\"}],\"stream_options\":{\"include_usage\":7}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct chat c;
        refused(FACE_CHAT, span_of(bodies[i]), &c);
        assert_true(span_is(c.alias, "mine"));
        assert_int_equal(c.choices, 1);
        assert_int_equal(c.max_output, -1);
    }
}

#define CHAT_WITH(rest) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}]" rest "}"

static void the_wish_for_a_stream_and_its_usage_is_noted(void **state)
{
    static const struct { const char *body; bool stream, usage; } all[] = {
        {CHAT_WITH(""), false, false}, {CHAT_WITH(",\"stream\":true"), true, false}, {CHAT_WITH(",\"stream\":false"), false, false},
        {CHAT_WITH(",\"stream\":null"), false, false}, {CHAT_WITH(",\"stream\":true,\"stream_options\":null"), true, false},
        {CHAT_WITH(",\"stream\":true,\"stream_options\":{}"), true, false},
        {CHAT_WITH(",\"stream\":true,\"stream_options\":{\"include_usage\":false}"), true, false},
        {CHAT_WITH(",\"stream\":true,\"stream_options\":{\"include_usage\":null}"), true, false},
        {CHAT_WITH(",\"stream\":true,\"stream_options\":{\"a\":1,\"include_us\\u0061ge\":true}"), true, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct chat c = accept(FACE_CHAT, all[i].body);
        assert_int_equal(c.stream, all[i].stream);
        assert_int_equal(c.wants_usage, all[i].usage);
    }
    assert_false(accept(FACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":\"\",\"stream\":true}").stream);
    expect_refused(FACE_CHAT, CHAT_WITH(",\"stream_options\":{\"include_usage\":1}"), "stream_options.include_usage");
    expect_refused(FACE_CHAT, CHAT_WITH(",\"stream\":true,\"stream_options\":{\"include_usage\":\"true\"}"), "stream_options.include_usage");
}

/* Decoders that fold case (Go's) would take these for the fields that were checked. */
static void a_field_in_disguise_is_refused(void **state)
{
    (void)state;
    expect_refused(FACE_CHAT, CHAT_WITH(",\"MAX_TOKENS\":999999"), "MAX_TOKENS");
    expect_refused(FACE_CHAT, CHAT_WITH(",\"Model\":\"dear\""), "Model");
    expect_refused(FACE_CHAT, CHAT_WITH(",\"N\":128"), "N");
    expect_refused(FACE_CHAT, CHAT_WITH(",\"max_tokens\":1,\"n_predict\":99999"), "n_predict"); /* llama.cpp takes it first */
    expect_refused(FACE_COMPLETIONS, "{\"model\":\"m\",\"max_new\\u005ftokens\":9}", "max_new\\u005ftokens");
    expect_refused(FACE_CHAT, CHAT_WITH(",\"Service_Tier\":\"priority\""), "Service_Tier");
    expect_refused(FACE_CHAT, CHAT_WITH(",\"max_to\xE2\x84\xAA" "ens\":9"), "max_to\xE2\x84\xAA" "ens");
    expect_refused(FACE_CHAT, CHAT_WITH(",\"me\xC5\xBF\xC5\xBF" "ages\":[]"), "me\xC5\xBF\xC5\xBF" "ages");
    expect_refused(FACE_CHAT, CHAT_WITH(",\"\\u004dodel\":1"), "\\u004dodel");
    accept(FACE_CHAT, CHAT_WITH(",\"prompt\":1,\"x\":2,\"modell\":3,\"input\":null"));
}

static void the_numbers_are_noted(void **state)
{
    static const struct { const char *body; int64_t choices, max; const char *at; } all[] = {
        {CHAT_WITH(""), 1, -1, NULL}, {CHAT_WITH(",\"n\":null,\"max_tokens\":null"), 1, -1, "null"},
        {CHAT_WITH(",\"n\":3,\"max_tokens\":5"), 3, 5, "5"}, {CHAT_WITH(",\"max_completion_tokens\":6"), 1, 6, "6"},
        {CHAT_WITH(",\"max_completion_tokens\":6,\"max_tokens\":5"), 1, 6, "6"}, {CHAT_WITH(",\"max_tokens\":5,\"max_completion_tokens\":null"), 1, 5, "5"},
        {CHAT_WITH(",\"max_completion_tokens\":6,\"max_tokens\":9"), 1, 9, "6"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct chat c = accept(FACE_CHAT, all[i].body);
        assert_int_equal(c.choices, all[i].choices);
        assert_int_equal(c.max_output, all[i].max);
        struct jval at = c.newer_maximum.kind == JSON_NUMBER || c.maximum.kind == JSON_ABSENT ? c.newer_maximum : c.maximum;
        if (all[i].at) assert_true(span_is(at.text, all[i].at));
        else assert_int_equal(at.kind, JSON_ABSENT);
    }
    assert_true(accept(FACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":[1],\"encoding_format\":\"b\\u0061se64\"}").wants_base64);
    assert_false(accept(FACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":[1],\"encoding_format\":\"float\"}").wants_base64);
    assert_false(accept(FACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":[1]}").wants_base64);
    assert_int_equal(accept(FACE_CHAT, CHAT_WITH(",\"tools\":[{}]")).prompt_bytes, strlen("[{\"role\":\"user\"}][{}]"));
    assert_int_equal(accept(FACE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":\"four\"}").prompt_bytes, 6);
    assert_int_equal(accept(FACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":[\"a\", \"b\"]}").prompt_bytes, 10);
}

static void only_json_is_a_content_type(void **state)
{
    static const char *const good[] = {NULL, "", "application/json", "Application/JSON", "application/json; charset=utf-8", "application/json ;x",
                                       " application/json"};
    static const char *const bad[] = {"text/plain", "application/jsonl", "application/x-www-form-urlencoded", "json", "multipart/form-data; boundary=x",
                                      "text/plain; application/json", ";application/json", "application/json, text/plain"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct problem p = {.err = WEIR_OK};
        assert_int_equal(parse_content_type(good[i], &p), WEIR_OK);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct problem p = {.err = WEIR_OK};
        assert_int_equal(parse_content_type(bad[i], &p), WEIR_NOT_JSON);
        assert_int_equal(p.err, WEIR_NOT_JSON);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_is_taken_or_named),
        cmocka_unit_test(only_what_is_to_be_answered_needs_a_maximum),
        cmocka_unit_test(the_least_and_most_of_whole_numbers_are_exact),
        cmocka_unit_test(what_is_missing_is_named),
        cmocka_unit_test(an_escaped_name_is_the_name),
        cmocka_unit_test(a_bad_message_is_named_by_its_place),
        cmocka_unit_test(what_is_no_json_object_is_said_to_be_none),
        cmocka_unit_test(depth_64_is_taken_and_65_refused),
        cmocka_unit_test(a_member_given_twice_is_named_however_it_is_written),
        cmocka_unit_test(a_long_name_given_twice_is_cut_at_a_character),
        cmocka_unit_test(members_are_counted),
        cmocka_unit_test(the_alias_is_what_the_model_means_however_long),
        cmocka_unit_test(the_alias_is_known_whatever_else_is_wrong),
        cmocka_unit_test(the_wish_for_a_stream_and_its_usage_is_noted),
        cmocka_unit_test(a_field_in_disguise_is_refused),
        cmocka_unit_test(the_numbers_are_noted),
        cmocka_unit_test(only_json_is_a_content_type),
    };
    return cmocka_run_group_tests(tests, open_memory, close_memory);
}
