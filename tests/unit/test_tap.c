/* The tap: of what comes back, in each wire format, every figure, finish and failure is read as it was meant, nonsense
 * included. */
#include "fcgi/provider/tap.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* ---- usage ---- */

static enum event_kind read_event(struct tap *t, const char *text)
{
    struct fault fault = {.message = ""};
    struct span data = span_of(text);
    char *exact = malloc(data.len + !data.len); /* so that reading on behind it is seen */
    memcpy(exact, data.at, data.len);
    enum event_kind kind = tap_read_event(t, (struct span){exact, data.len}, &fault);
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
        /* what the total has beyond both is reasoning: Gemini, xAI. A total that is less, or nonsense, says nothing */
        {"{\"prompt_tokens\":7,\"completion_tokens\":5,\"total_tokens\":112}", 7, 0, 0, 105},
        {"{\"prompt_tokens\":7,\"completion_tokens\":5,\"total_tokens\":11}", 7, 0, 0, 5},
        {"{\"prompt_tokens\":7,\"completion_tokens\":5,\"total_tokens\":9223372036854775807}", 7, 0, 0, 5},
        {"{\"prompt_tokens\":7,\"completion_tokens\":5,\"total_tokens\":112.5}", 7, 0, 0, 5},
        {"{\"prompt_tokens\":7,\"completion_tokens\":null,\"total_tokens\":null}", 7, 0, 0, 0},
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
        assert_true(tap_read_answer(&t, span_of(text), &fault));
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
        "{\"prompt_tokens\":null,\"completion_tokens\":null}", "{\"prompt_tokens\":9223372036854775808,\"completion_tokens\":5}",
        "{\"prompt_tokens\":7,\"completion_tokens\":-9223372036854775808}", "{\"prompt_tokens\":7.0,\"completion_tokens\":5}",
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
    assert_true(tap_read_answer(&t, SPAN("{\"choices\":[],\"x_groq\":{\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}}"), &fault));
    expect_usage(&t.usage, 3, 0, 0, 4);
}

static void zeros_take_back_nothing_that_was_told(void **state)
{
    struct tap t = {.face = FACE_CHAT, .counts = true};
    (void)state;
    read_event(&t, "{\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":5}}");
    read_event(&t, "{\"choices\":[],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0}}");
    expect_usage(&t.usage, 7, 0, 0, 5);
    t = (struct tap){.face = FACE_MESSAGES, .counts = true};
    read_event(&t, "{\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":3,\"output_tokens\":1}}}");
    read_event(&t, "{\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":9}}");
    expect_usage(&t.usage, 13, 3, 0, 9);
}

/* A figure in the middle of a stream is no figure of the whole: who leaves then is charged for what was delivered besides. */
static void a_usage_in_mid_stream_is_known_to_be_running(void **state)
{
    struct tap t = {.face = FACE_CHAT, .counts = true};
    (void)state;
    read_event(&t, "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":1}}");
    assert_true(t.usage_is_running && !t.usage.is_half);
    read_event(&t, "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}");
    assert_true(t.usage_is_running);
    read_event(&t, "{\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}");
    assert_false(t.usage_is_running);
    t = (struct tap){.face = FACE_CHAT, .counts = true};
    struct fault fault;
    assert_true(tap_read_answer(&t, SPAN("{\"choices\":[{\"message\":{\"content\":\"four\"}}],\"usage\":{\"prompt_tokens\":7}}"), &fault));
    assert_true(t.usage.is_half);
    assert_int_equal(t.delivered, 4);
}

/* What a price may depend on. */
static void kinds_and_tiers_are_read(void **state)
{
    struct tap t = {.face = FACE_CHAT, .counts = true};
    struct fault fault;
    (void)state;
    read_event(&t, "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"service_tier\":null}");
    assert_false(t.tells_tier);
    read_event(&t, "{\"choices\":[],\"service_tier\":\"priority\",\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":8,\"num_search_queries\":2,"
                   "\"prompt_tokens_details\":{\"audio_tokens\":4},\"completion_tokens_details\":{\"audio_tokens\":3}}}");
    assert_true(t.tells_tier && t.tier == TIER_PRIORITY);
    assert_int_equal(t.usage.audio_input, 4);
    assert_int_equal(t.usage.audio_output, 3);
    assert_int_equal(t.usage.searches, 2);
    t = (struct tap){.face = FACE_MESSAGES, .counts = true};
    read_event(&t, "{\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":1,\"cache_creation_input_tokens\":7,\"service_tier\":\"standard\","
                   "\"cache_creation\":{\"ephemeral_5m_input_tokens\":2,\"ephemeral_1h_input_tokens\":5}}}}");
    read_event(&t, "{\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":9,\"server_tool_use\":{\"web_search_requests\":3}}}");
    assert_true(t.tells_tier && t.tier == TIER_STANDARD);
    assert_int_equal(t.usage.cache_write_1h, 5);
    assert_int_equal(t.usage.searches, 3);
    read_event(&t, "{\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"input_tokens\":5,\"output_tokens\":10,\"iterations\":["
                   "{\"type\":\"compaction\",\"input_tokens\":180,\"output_tokens\":30},{\"type\":\"message\",\"input_tokens\":5,\"output_tokens\":10}]}}");
    expect_usage(&t.usage, 185 + 7, 0, 7, 40); /* what it took to make the conversation shorter is paid for too */
    t = (struct tap){.face = FACE_RESPONSES, .counts = true};
#define SEARCH(type) "{\"type\":\"web_search_call\",\"action\":{\"type\":\"" type "\"}}"
    read_event(&t, "{\"type\":\"response.output_item.done\",\"item\":" SEARCH("search") "}");
    read_event(&t, "{\"type\":\"response.output_item.done\",\"item\":" SEARCH("open_page") "}");
    assert_int_equal(t.usage.searches, 1); /* also of a stream that is broken off */
    read_event(&t, "{\"type\":\"response.incomplete\",\"response\":{\"status\":\"incomplete\",\"service_tier\":\"flex\",\"output\":[" SEARCH("search") "," SEARCH("open_page")
                   "],\"usage\":{\"input_tokens\":5,\"output_tokens\":6,\"total_tokens\":11}}}");
    assert_int_equal(t.usage.searches, 1);
    expect_usage(&t.usage, 5, 0, 0, 6);
    assert_true(t.tells_tier && t.tier == TIER_FLEX);
    t = (struct tap){.face = FACE_RESPONSES, .counts = true};
    assert_true(tap_read_answer(&t, SPAN("{\"output\":[{\"type\":\"web_search_call\"}],\"service_tier\":\"turbo\",\"usage\":{\"input_tokens\":5,\"output_tokens\":6}}"), &fault));
    assert_int_equal(t.usage.searches, 1);
    assert_true(t.tells_tier && t.tier == TIER_OTHER);
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
        assert_true(tap_read_answer(&whole, span_of(text), &fault));
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
        if (tap_read_error(&(struct tap){0}, span_of(all[i].body), &f) != all[i].passes) fail_msg("%s: %s", all[i].body, all[i].passes ? "rewritten" : "passed");
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
    assert_int_equal(tap_read_event(&t, SPAN("{\"error\":{\"message\":\"m\",\"type\":\"t\",\"status_code\":400}}"), &f), EVENT_ERROR);
    assert_string_equal(f.message, "m");
    assert_string_equal(f.type, "t");
    assert_string_equal(f.code, "");
    memset(&f, 'x', sizeof f);
    assert_int_equal(tap_read_event(&t, SPAN("{\"choices\":[],\"x_groq\":{\"error\":\"over capacity\"}}"), &f), EVENT_ERROR);
    assert_string_equal(f.message, "over capacity");
    assert_string_equal(f.type, "");
    memset(&f, 'x', sizeof f);
    assert_int_equal(tap_read_event(&t, SPAN("{\"x_groq\":{\"error\":{\"message\":\"m\",\"code\":\"c\"}}}"), &f), EVENT_ERROR);
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
    assert_true(tap_read_error(&(struct tap){0}, buf_all(&body), &f));
    assert_int_equal(strlen(f.message), 511);
    assert_true(text_is_utf8(span_of(f.message)));
    assert_int_equal(strlen(f.type), sizeof f.type - 1);
    buf_clear(&body);
    buf_str(&body, "{\"error\":\"");
    for (int i = 0; i < 600; i++) buf_str(&body, "\\u20ac");
    buf_str(&body, "\"}");
    assert_false(tap_read_error(&(struct tap){0}, buf_all(&body), &f));
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
        if (tap_read_answer(&t, span_of(all[i].body), &f) != all[i].is) fail_msg("%s", all[i].body);
        assert_string_equal(f.message, all[i].message);
    }
}

/* ---- Anthropic's messages ---- */

struct told { const char *data; enum event_kind kind; };

static void take(struct tap *t, const struct told *told, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (read_event(t, told[i].data) != told[i].kind) fail_msg("%s", told[i].data);
}

static void a_message_is_counted_from_its_two_parts_of_usage(void **state)
{
    static const struct told told[] = {
        {"{\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":3,\"cache_creation_input_tokens\":2,\"output_tokens\":1}}}", EVENT_HEAD},
        {"{\"type\":\"ping\"}", EVENT_HEAD},
        {"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}", EVENT_HEAD},
        {"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"hmm\"}}", EVENT_CONTENT},
        {"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"AAAA\"}}", EVENT_CONTENT},
        {"{\"type\":\"content_block_stop\",\"index\":0}", EVENT_HEAD},
        {"{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}", EVENT_HEAD},
        {"{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"W\\u00e9ir\"}}", EVENT_CONTENT},
        {"{\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}}", EVENT_CONTENT},
        {"{\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}}", EVENT_CONTENT},
    };
    struct tap t = {.face = FACE_MESSAGES, .expected = 1, .counts = true};
    struct fault fault;
    (void)state;
    take(&t, told, sizeof told / sizeof *told);
    expect_usage(&t.usage, 15, 3, 2, 1);
    assert_true(t.usage_is_running); /* broken off here, its completion would be no figure of the whole */
    assert_int_equal(t.delivered, 3 + 4 + 2);
    assert_false(tap_is_finished(&t));
    assert_int_equal(read_event(&t, "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":42}}"), EVENT_CONTENT);
    expect_usage(&t.usage, 15, 3, 2, 42);
    assert_false(t.usage_is_running);
    assert_true(tap_is_finished(&t) && !t.done);
    assert_true(span_starts(tap_last_event(&t), "event: message_stop\n"));
    assert_int_equal(read_event(&t, "{\"type\":\"message_stop\"}"), EVENT_DONE);
    assert_true(t.done);
    assert_int_equal(tap_read_event(&t, SPAN("{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}"), &fault), EVENT_ERROR);
    assert_string_equal(fault.type, "overloaded_error");
    assert_string_equal(fault.message, "Overloaded");
}

static void message_delta_may_restate_all_of_its_usage(void **state)
{
    struct tap t = {.face = FACE_MESSAGES, .counts = true};
    (void)state;
    read_event(&t, "{\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":10,\"output_tokens\":1}}}");
    read_event(&t, "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"input_tokens\":12,\"cache_read_input_tokens\":4,\"output_tokens\":9}}");
    expect_usage(&t.usage, 16, 4, 0, 9);
    read_event(&t, "{\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"input_tokens\":-1,\"output_tokens\":1e9,\"cache_read_input_tokens\":\"x\"}}");
    expect_usage(&t.usage, 16, 4, 0, 9);
}

static void a_whole_message_and_its_errors_are_read(void **state)
{
    static const struct { const char *body; bool is, passes; const char *message; } all[] = {
        {"{\"type\":\"message\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":5,\"output_tokens\":2}}", true, false, ""},
        {"{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"m\"}}", false, true, "m"},
        {"{\"error\":{\"message\":\"m\"}}", false, false, "m"}, {"{\"detail\":\"m\"}", false, false, ""},
        {"{}", false, false, ""}, {"[]", false, false, ""}, {"{\"type\":\"message\"}", false, false, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct tap t = {.face = FACE_MESSAGES, .counts = true};
        struct fault f;
        if (tap_read_answer(&t, span_of(all[i].body), &f) != all[i].is) fail_msg("%s", all[i].body);
        assert_string_equal(f.message, all[i].message);
        if (tap_read_error(&t, span_of(all[i].body), &f) != all[i].passes) fail_msg("%s", all[i].body);
        if (i == 0) expect_usage(&t.usage, 5, 0, 0, 2);
        if (i == 0) assert_true(tap_is_finished(&t));
    }
}

/* ---- OpenAI's responses ---- */

static void a_response_is_followed_by_its_events(void **state)
{
    static const struct told told[] = {
        {"{\"type\":\"response.created\",\"sequence_number\":0,\"response\":{}}", EVENT_HEAD},
        {"{\"type\":\"response.in_progress\",\"sequence_number\":1,\"response\":{}}", EVENT_HEAD},
        {"{\"type\":\"response.output_item.added\",\"sequence_number\":2,\"item\":{\"type\":\"message\"}}", EVENT_HEAD},
        {"{\"type\":\"response.content_part.added\",\"sequence_number\":3}", EVENT_HEAD},
        {"{\"type\":\"response.output_text.delta\",\"sequence_number\":4,\"delta\":\"Weir\"}", EVENT_CONTENT},
        {"{\"type\":\"response.reasoning_summary_text.delta\",\"sequence_number\":5,\"delta\":\"hm\"}", EVENT_CONTENT},
        {"{\"type\":\"response.output_item.added\",\"sequence_number\":6,\"item\":{\"type\":\"function_call\",\"arguments\":\"\"}}", EVENT_CONTENT},
        {"{\"type\":\"response.function_call_arguments.delta\",\"sequence_number\":7,\"delta\":\"{}\"}", EVENT_CONTENT},
        {"{\"type\":\"response.output_text.done\",\"sequence_number\":8,\"text\":\"Weir\"}", EVENT_CONTENT},
    };
    struct tap t = {.face = FACE_RESPONSES, .expected = 1, .counts = true, .sequence = -1};
    (void)state;
    take(&t, told, sizeof told / sizeof *told);
    assert_int_equal(t.delivered, 4 + 2 + 2); /* once, not again when it is done */
    assert_int_equal(t.sequence, 8);
    assert_false(tap_is_finished(&t) || t.usage.known);
    assert_int_equal(read_event(&t, "{\"type\":\"response.completed\",\"sequence_number\":9,\"response\":{\"usage\":{\"input_tokens\":7,\"input_tokens_details\":{\"cached_tokens\":2},\"output_tokens\":5}}}"), EVENT_DONE);
    expect_usage(&t.usage, 7, 2, 0, 5);
    assert_true(tap_is_finished(&t) && t.done);
}

static void a_response_fails_in_three_ways(void **state)
{
    static const struct { const char *data, *message, *code; } all[] = {
        {"{\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\",\"message\":\"m\"},\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}", "m", "server_error"},
        {"{\"type\":\"error\",\"code\":\"c\",\"message\":\"m\",\"param\":null,\"sequence_number\":3}", "m", "c"},
        {"{\"error\":{\"message\":\"m\",\"type\":\"t\",\"param\":null,\"code\":\"c\"}}", "m", "c"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct tap t = {.face = FACE_RESPONSES, .counts = true};
        struct fault f;
        assert_int_equal(tap_read_event(&t, span_of(all[i].data), &f), EVENT_ERROR);
        assert_string_equal(f.message, all[i].message);
        assert_string_equal(f.code, all[i].code);
        assert_int_equal(t.usage.known, i == 0);
    }
}

static void a_whole_response_is_read(void **state)
{
    struct tap t = {.face = FACE_RESPONSES, .counts = true};
    struct fault f;
    (void)state;
    assert_true(tap_read_answer(&t, SPAN("{\"object\":\"response\",\"error\":null,\"output\":[{\"type\":\"message\",\"content\":[{\"text\":\"Weir\"}]}]}"), &f));
    assert_true(t.delivered >= 4 && tap_is_finished(&t));
    assert_false(tap_read_answer(&t, SPAN("{\"object\":\"response\",\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"m\"},\"output\":[]}"), &f));
    assert_string_equal(f.message, "m");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_is_read_in_every_form),
        cmocka_unit_test(usage_that_is_nonsense_is_unknown_and_spoils_nothing),
        cmocka_unit_test(the_last_usage_told_counts_and_is_not_added_up),
        cmocka_unit_test(zeros_take_back_nothing_that_was_told),
        cmocka_unit_test(a_usage_in_mid_stream_is_known_to_be_running),
        cmocka_unit_test(kinds_and_tiers_are_read),
        cmocka_unit_test(a_stream_is_finished_when_every_choice_seen_is),
        cmocka_unit_test(all_128_choices_are_told_apart_and_odd_ones_do_no_harm),
        cmocka_unit_test(every_event_is_known_for_what_it_is),
        cmocka_unit_test(deep_events_are_garbage_not_a_crash),
        cmocka_unit_test(delivered_is_counted_in_characters),
        cmocka_unit_test(errors_are_read_in_every_form_they_come_in),
        cmocka_unit_test(errors_in_a_stream_are_read_the_same),
        cmocka_unit_test(an_errors_words_are_cut_at_a_character),
        cmocka_unit_test(an_answer_is_one_only_with_its_list),
        cmocka_unit_test(a_message_is_counted_from_its_two_parts_of_usage),
        cmocka_unit_test(message_delta_may_restate_all_of_its_usage),
        cmocka_unit_test(a_whole_message_and_its_errors_are_read),
        cmocka_unit_test(a_response_is_followed_by_its_events),
        cmocka_unit_test(a_response_fails_in_three_ways),
        cmocka_unit_test(a_whole_response_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
