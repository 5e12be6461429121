/* Answers through the one model: what each face says is read as it was meant and written as the official clients need it,
 * streamed or whole, with every oddity of WIRE.md 3. */
#include <stdlib.h>

static long allocations_left = -1; /* the one after these fails; -1: none does */

static int this_one_fails(void)
{
    return allocations_left >= 0 && allocations_left-- == 0;
}

static void *scripted_malloc(size_t size) { return this_one_fails() ? NULL : malloc(size); }
static void *scripted_realloc(void *at, size_t size) { return this_one_fails() ? NULL : realloc(at, size); }

#define malloc scripted_malloc
#define realloc scripted_realloc
#include "fcgi/base/arena.c"
#include "fcgi/base/buf.c"
#undef malloc
#undef realloc

#include "fcgi/provider/delta_kept.c"
#include "fcgi/provider/delta_read.c"
#include "fcgi/provider/delta_read_chat.c"
#include "fcgi/provider/delta_read_messages.c"
#include "fcgi/provider/delta_write.c"
#include "fcgi/provider/delta_write_chat.c"
#include "fcgi/provider/delta_write_completions.c"
#include "fcgi/provider/delta_write_messages.c"
#include "fcgi/provider/delta_write_responses.c"

#include "fcgi/base/sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* ---- from one face to another ---- */

struct way { struct delta_writer *writer; struct buf *out; };

static void pass_on(const struct delta *d, void *arg)
{
    const struct way *way = arg;
    delta_write(way->writer, d, way->out);
}

/* Events stand one a line; an answer is one line. */
static void read_lines(struct delta_reader *r, bool stream, const char *text, void (*to)(const struct delta *, void *), void *arg)
{
    if (!stream) {
        assert_true(delta_read_answer(r, span_of(text), to, arg));
        return;
    }
    while (*text) {
        size_t n = strcspn(text, "\n");
        delta_read_event(r, (struct span){text, n}, to, arg);
        text += n + (text[n] == '\n');
    }
    delta_read_end(r, to, arg);
}

static void check_root(struct span text, struct jval *root)
{
    struct jfault bad;
    if (jscan_check(text, BOUND_JSON_DEPTH, root, &bad) != WEIR_OK || root->kind != JSON_OBJECT)
        fail_msg("%s at %zu of %.*s", bad.what, bad.at, (int)text.len, text.at);
}

static struct chat chat_of(const char *body)
{
    struct chat c = {.body = span_of(body)};
    check_root(c.body, &c.root);
    c.model = jscan_find(c.root, "model");
    return c;
}

static const char *const plain_request = "{\"model\":\"alias\",\"temperature\":0.5,\"tools\":null,\"instructions\":\"be\\n\",\"metadata\":{\r\n\"k\":\"v\"}}";

static struct delta_target target_of(const struct chat *c, enum face face, bool stream)
{
    return (struct delta_target){.face = face, .stream = stream, .wants_usage = true, .wants_reasoning = true, .chat = c,
                                 .request_id = "req-1", .now_s = 1700000000};
}

/* The caller frees. */
static char *through(enum face from, bool streamed, const char *text, const struct delta_target *t)
{
    struct arena memory;
    struct buf out;
    arena_init(&memory);
    buf_init(&out, BOUND_ANSWER);
    struct delta_reader *r = delta_reader_new(from, &memory);
    struct way way = {delta_writer_new(t, &memory), &out};
    assert_non_null(r);
    assert_non_null(way.writer);
    read_lines(r, streamed, text, pass_on, &way);
    delta_write_end(way.writer, &out);
    assert_int_equal(out.err, WEIR_OK);
    char *copy_of = strdup(buf_cstr(&out));
    delta_writer_free(way.writer);
    buf_free(&out);
    arena_end(&memory);
    return copy_of;
}

static void expect(enum face from, bool streamed, const char *text, enum face face, bool stream, const char *wanted)
{
    struct chat c = chat_of(plain_request);
    struct delta_target t = target_of(&c, face, stream);
    char *got = through(from, streamed, text, &t);
    assert_string_equal(got, wanted);
    free(got);
}

static void expect_part(enum face from, bool streamed, const char *text, enum face face, bool stream, const char *wanted)
{
    struct chat c = chat_of(plain_request);
    struct delta_target t = target_of(&c, face, stream);
    char *got = through(from, streamed, text, &t);
    if (!strstr(got, wanted)) fail_msg("no %s in %s", wanted, got);
    free(got);
}

static void expect_not(enum face from, bool streamed, const char *text, enum face face, bool stream, const char *unwanted)
{
    struct chat c = chat_of(plain_request);
    struct delta_target t = target_of(&c, face, stream);
    char *got = through(from, streamed, text, &t);
    if (strstr(got, unwanted)) fail_msg("%s in %s", unwanted, got);
    free(got);
}

/* ---- one answer, told four ways; what is written must be the same of each ---- */

#define CHUNK "{\"id\":\"a1\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":"
static const char *const told_chat_stream =
    CHUNK "{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n"
    CHUNK "{\"reasoning_content\":\"think\"},\"finish_reason\":null}]}\n"
    CHUNK "{\"content\":\"He\\\"y \"},\"finish_reason\":null}]}\n"
    CHUNK "{\"content\":\"you\\n\"},\"finish_reason\":null}]}\n"
    CHUNK "{\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}}]}\n"
    CHUNK "{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":\"}}]}}]}\n"
    CHUNK "{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"[1]}\"}}]}}]}\n"
    CHUNK "{\"tool_calls\":[{\"index\":1,\"id\":\"c2\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]}}]}\n"
    CHUNK "{},\"finish_reason\":\"tool_calls\"}]}\n"
    "{\"id\":\"a1\",\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":7,\"total_tokens\":17,"
    "\"prompt_tokens_details\":{\"cached_tokens\":3,\"cache_write_tokens\":2},\"completion_tokens_details\":{\"reasoning_tokens\":4}}}\n"
    "[DONE]";
static const char *const told_chat_plain =
    "{\"id\":\"a1\",\"object\":\"chat.completion\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
    "\"content\":\"He\\\"y you\\n\",\"reasoning\":\"think\",\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
    "\"arguments\":\"{\\\"a\\\":[1]}\"}},{\"id\":\"c2\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},"
    "\"finish_reason\":\"tool_calls\"}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":7,\"prompt_tokens_details\":"
    "{\"cached_tokens\":3,\"cache_write_tokens\":2},\"completion_tokens_details\":{\"reasoning_tokens\":4}}}";
static const char *const told_messages_stream =
    "{\"type\":\"message_start\",\"message\":{\"id\":\"a1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],"
    "\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,\"output_tokens\":1}}}\n"
    "{\"type\":\"ping\"}\n"
    "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n"
    "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"think\"}}\n"
    "{\"type\":\"content_block_stop\",\"index\":0}\n"
    "{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n"
    "{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"He\\\"y \"}}\n"
    "{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"you\\n\"}}\n"
    "{\"type\":\"content_block_stop\",\"index\":1}\n"
    "{\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"tool_use\",\"id\":\"c1\",\"name\":\"f\",\"input\":{}}}\n"
    "{\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\"}}\n"
    "{\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\":\"}}\n"
    "{\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"[1]}\"}}\n"
    "{\"type\":\"content_block_stop\",\"index\":2}\n"
    "{\"type\":\"content_block_start\",\"index\":3,\"content_block\":{\"type\":\"tool_use\",\"id\":\"c2\",\"name\":\"g\",\"input\":{}}}\n"
    "{\"type\":\"content_block_stop\",\"index\":3}\n"
    "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":7,"
    "\"output_tokens_details\":{\"thinking_tokens\":4}}}\n"
    "{\"type\":\"message_stop\"}";
static const char *const told_messages_plain =
    "{\"id\":\"a1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"think\","
    "\"signature\":\"\"},{\"type\":\"text\",\"text\":\"He\\\"y you\\n\"},{\"type\":\"tool_use\",\"id\":\"c1\",\"name\":\"f\",\"input\":"
    "{\"a\":[1]}},{\"type\":\"tool_use\",\"id\":\"c2\",\"name\":\"g\",\"input\":{}}],\"stop_reason\":\"tool_use\",\"stop_sequence\":null,"
    "\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,\"output_tokens\":7,"
    "\"output_tokens_details\":{\"thinking_tokens\":4}}}";

static const struct told { enum face from; bool stream; const char *const *text; } told[] = {
    {FACE_CHAT, true, &told_chat_stream}, {FACE_CHAT, false, &told_chat_plain},
    {FACE_MESSAGES, true, &told_messages_stream}, {FACE_MESSAGES, false, &told_messages_plain},
};

#include "tests/unit/delta_wanted.h"

static void plain_answers_say_the_same_whoever_told_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        expect(told[i].from, told[i].stream, *told[i].text, FACE_CHAT, false, wanted_chat);
        expect(told[i].from, told[i].stream, *told[i].text, FACE_COMPLETIONS, false, wanted_completion);
        expect(told[i].from, told[i].stream, *told[i].text, FACE_RESPONSES, false, wanted_response);
        expect(told[i].from, told[i].stream, *told[i].text, FACE_MESSAGES, false, wanted_message);
    }
}

/* Streams of streams: their pieces stay. */
static void streams_say_the_same_whoever_told_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        if (!told[i].stream) continue;
        expect(told[i].from, true, *told[i].text, FACE_CHAT, true, wanted_chat_stream);
        expect(told[i].from, true, *told[i].text, FACE_COMPLETIONS, true, wanted_completion_stream);
        expect(told[i].from, true, *told[i].text, FACE_RESPONSES, true, wanted_response_stream);
    }
    expect(FACE_CHAT, true, told_chat_stream, FACE_MESSAGES, true, wanted_message_stream);
}

/* ---- reading: what servers that are like OpenAI send ---- */

#define SAY(delta) "{\"choices\":[{\"index\":0,\"delta\":" delta "}]}\n"
#define CALL(members) SAY("{\"tool_calls\":[{" members "}]}")

static void calls_without_index_or_id_are_told_apart(void **state)
{
    (void)state;
    /* Gemini: whole calls, no index, the ids empty, and "stop" */
    const char *gemini = CALL("\"id\":\"\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}")
                         CALL("\"id\":\"\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"b\\\":2}\"}")
                         "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n";
    expect_part(FACE_CHAT, true, gemini, FACE_MESSAGES, false,
                "\"content\":[{\"type\":\"tool_use\",\"id\":\"call_0a2881c3268a7392\",\"name\":\"f\",\"input\":{}},{\"type\":\"tool_use\","
                "\"id\":\"call_c66dcc835c22a579\",\"name\":\"f\",\"input\":{\"b\":2}}],\"stop_reason\":\"tool_use\"");
    /* pieces without an index go to the last call */
    const char *pieces = CALL("\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}")
                         CALL("\"function\":{\"arguments\":\"}\"}")
                         CALL("\"id\":\"b\",\"function\":{\"name\":\"g\"}") CALL("\"id\":\"a\",\"function\":{\"arguments\":\" \"}");
    expect_part(FACE_CHAT, true, pieces, FACE_CHAT, false, "\"name\":\"f\",\"arguments\":\"{} \"}},{\"id\":\"b\"");
    /* every call is number 0 */
    const char *zeros = CALL("\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}")
                        CALL("\"index\":0,\"function\":{\"arguments\":\"}\"}")
                        CALL("\"index\":0,\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"[]\"}");
    expect_part(FACE_CHAT, true, zeros, FACE_CHAT, false, "\"arguments\":\"{}\"}},{\"id\":\"b\"");
    /* id and name in every piece; arguments as an object; a call of no name that nothing begins */
    const char *again = CALL("\"index\":3,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}")
                        CALL("\"index\":3,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"}\"}")
                        CALL("\"index\":4,\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":{\"x\":\"\\\"\"}}");
    expect_part(FACE_CHAT, true, again, FACE_CHAT, true, "{\"index\":1,\"function\":{\"arguments\":\"{\\\"x\\\":\\\"\\\\\\\"\\\"}\"}");
    expect_not(FACE_CHAT, true, again, FACE_CHAT, true, "{\"index\":2");
    expect_not(FACE_CHAT, true, CALL("\"function\":{\"arguments\":\"{}\"}"), FACE_CHAT, true, "tool_calls");
}

static void usage_is_found_wherever_it_stands(void **state)
{
    (void)state;
    const char *groq = "{\"id\":\"c\",\"x_groq\":{\"id\":\"r\"},\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n"
                       "{\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"x_groq\":{\"usage\":"
                       "{\"queue_time\":0.1,\"prompt_tokens\":4,\"completion_tokens\":2,\"total_tokens\":6}}}\n";
    expect_part(FACE_CHAT, true, groq, FACE_MESSAGES, true, "\"usage\":{\"input_tokens\":4,\"cache_creation_input_tokens\":0,"
                "\"cache_read_input_tokens\":0,\"output_tokens\":2");
    /* running totals: the last counts, once */
    const char *totals = "{\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":1}}\n"
                         "{\"choices\":[{\"delta\":{\"content\":\"b\"}}],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":2}}\n";
    expect_part(FACE_CHAT, true, totals, FACE_CHAT, true, "\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":2,\"total_tokens\":6");
    expect_part(FACE_CHAT, true, totals, FACE_MESSAGES, true, "\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":4");
    /* none is told: none is made up */
    expect_not(FACE_CHAT, true, SAY("{\"content\":\"a\"}"), FACE_CHAT, true, "prompt_tokens");
    expect_part(FACE_CHAT, true, SAY("{\"content\":\"a\"}"), FACE_RESPONSES, true, "\"usage\":null}}\n\n");
    /* a reading is restated at the end */
    const char *restated = "{\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n"
                           "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"input_tokens\":9,"
                           "\"cache_read_input_tokens\":4,\"output_tokens\":3}}\n";
    expect_part(FACE_MESSAGES, true, restated, FACE_CHAT, false, "\"prompt_tokens\":13,\"completion_tokens\":3,\"total_tokens\":16,"
                "\"prompt_tokens_details\":{\"cached_tokens\":4");
}

static void what_says_nothing_is_passed_over(void **state)
{
    (void)state;
    const char *azure = "{\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\",\"prompt_filter_results\":[{}]}\n"
                        "{\"choices\":[{\"index\":0,\"finish_reason\":null,\"content_filter_results\":{}}],\"id\":\"\",\"model\":\"\"}\n"
                        "{\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}],\"created\":9,\"id\":\"real\",\"model\":\"gpt\"}\n"
                        "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}],\"id\":\"real\",\"model\":\"gpt\"}\n"
                        "{\"choices\":[{\"index\":0,\"content_filter_offsets\":{}}],\"id\":\"\",\"model\":\"\"}\n"
                        "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"content_filter\"}],\"id\":\"real\"}\n";
    expect_part(FACE_CHAT, true, azure, FACE_CHAT, false, "{\"id\":\"real\",\"object\":\"chat.completion\",\"created\":9,\"model\":\"gpt\",\"choices\":"
                "[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"hi\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"content_filter\"}]}");
    const char *odd = "garbage\n[1]\n{\"error\":{\"message\":\"x\"}}\n{\"choices\":{}}\n{\"choices\":[1,null,{\"index\":-1,\"delta\":{\"content\":\"no\"}},"
                      "{\"index\":128,\"delta\":{\"content\":\"no\"}}]}\n" SAY("{\"content\":7,\"tool_calls\":{},\"reasoning\":[]}")
                      SAY("{\"content\":[{\"type\":\"text\",\"text\":\"parts\"},{\"type\":\"refusal\",\"refusal\":\"r\"},3]}");
    expect_part(FACE_CHAT, true, odd, FACE_CHAT, false, "\"content\":\"parts\",\"refusal\":\"r\"}");
    expect_not(FACE_CHAT, true, odd, FACE_CHAT, false, "no\"");
    /* both names of reasoning at once: once */
    expect_part(FACE_CHAT, true, SAY("{\"reasoning\":\"t\",\"reasoning_content\":\"t\"}"), FACE_MESSAGES, false, "\"thinking\":\"t\",");
    /* Anthropic's own tools, and thinking it keeps to itself */
    const char *own = "{\"type\":\"message_start\",\"message\":{\"id\":\"m\"}}\n"
        "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"redacted_thinking\",\"data\":\"xx\"}}\n"
        "{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"server_tool_use\",\"id\":\"s\",\"name\":\"web\",\"input\":{}}}\n"
        "{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{xx}\"}}\n"
        "{\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"n\",\"input\":{\"k\":[\"\\n\"]}}}\n"
        "{\"type\":\"content_block_stop\",\"index\":2}\n";
    expect_part(FACE_MESSAGES, true, own, FACE_CHAT, false, "\"tool_calls\":[{\"id\":\"t\",\"type\":\"function\",\"function\":{\"name\":\"n\","
                "\"arguments\":\"{\\\"k\\\":[\\\"\\\\n\\\"]}\"}}],\"content\":null}");
    expect_not(FACE_MESSAGES, true, own, FACE_CHAT, false, "xx");
}

static void ignore(const struct delta *d, void *arg) { (void)d, (void)arg; }

static void what_is_no_answer_is_not_read_as_one(void **state)
{
    (void)state;
    static const char *const none[] = {"", "[]", "{}", "{\"choices\":[]}", "{\"choices\":[{}]}", "{\"choices\":[{\"message\":\"x\"}]}",
                                       "{\"type\":\"message\"}", "{\"content\":[]}", "{\"choices\":[{\"message\":{}}]"};
    for (int face = 0; face < 2; face++)
        for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
            struct arena memory;
            arena_init(&memory);
            struct delta_reader *r = delta_reader_new(face ? FACE_MESSAGES : FACE_CHAT, &memory);
            assert_false(delta_read_answer(r, span_of(none[i]), ignore, NULL));
            arena_end(&memory);
        }
}

static void every_way_to_stop_has_its_word(void **state)
{
    static const struct { const char *chat, *messages, *as_chat, *as_messages; } all[] = {
        {"stop", "end_turn", "stop", "end_turn"}, {"length", "max_tokens", "length", "max_tokens"},
        {"tool_calls", "tool_use", "tool_calls", "tool_use"}, {"content_filter", "refusal", "content_filter", "refusal"},
        {"function_call", "tool_use", "tool_calls", "tool_use"}, {"eos", "pause_turn", "stop", "end_turn"},
        {"length", "model_context_window_exceeded", "length", "max_tokens"},
    };
    char text[512], wanted[128];
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (int from = 0; from < 2; from++) {
            if (from) snprintf(text, sizeof text, "{\"type\":\"message\",\"content\":[],\"stop_reason\":\"%s\"}", all[i].messages);
            else snprintf(text, sizeof text, "{\"choices\":[{\"message\":{},\"finish_reason\":\"%s\"}]}", all[i].chat);
            enum face face = from ? FACE_MESSAGES : FACE_CHAT;
            snprintf(wanted, sizeof wanted, "\"finish_reason\":\"%s\"", all[i].as_chat);
            expect_part(face, false, text, FACE_CHAT, false, wanted);
            expect_part(face, false, text, FACE_CHAT, true, wanted);
            snprintf(wanted, sizeof wanted, "\"stop_reason\":\"%s\",\"stop_sequence\":null", all[i].as_messages);
            expect_part(face, false, text, FACE_MESSAGES, false, wanted);
            expect_part(face, false, text, FACE_MESSAGES, true, wanted);
        }
    const char *stopped = "{\"type\":\"message\",\"content\":[],\"stop_reason\":\"stop_sequence\",\"stop_sequence\":\"E\\\"D\"}";
    expect_part(FACE_MESSAGES, false, stopped, FACE_MESSAGES, true, "\"stop_reason\":\"stop_sequence\",\"stop_sequence\":\"E\\\"D\"");
    expect_part(FACE_MESSAGES, false, stopped, FACE_CHAT, false, "\"finish_reason\":\"stop\"");
    const char *refused = "{\"choices\":[{\"message\":{\"refusal\":\"I won't\"},\"finish_reason\":\"stop\"}]}";
    expect_part(FACE_CHAT, false, refused, FACE_MESSAGES, false, "[{\"type\":\"text\",\"text\":\"I won't\"}],\"stop_reason\":\"refusal\"");
    expect_part(FACE_CHAT, false, refused, FACE_CHAT, false, "\"refusal\":\"I won't\",\"content\":null}");
    expect_part(FACE_CHAT, false, refused, FACE_RESPONSES, false, "\"content\":[{\"type\":\"refusal\",\"refusal\":\"I won't\"}]");
    expect_part(FACE_CHAT, false, refused, FACE_RESPONSES, true, "{\"type\":\"response.refusal.done\",\"sequence_number\":5");
}

static void an_answer_cut_short_says_so_in_a_response(void **state)
{
    (void)state;
    const char *cut = SAY("{\"refusal\":\"no\"}") SAY("{\"content\":\"a\"}") "{\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n";
    for (int stream = 0; stream < 2; stream++) {
        expect_part(FACE_CHAT, true, cut, FACE_RESPONSES, stream, "\"status\":\"incomplete\",\"model\":\"alias\"");
        expect_part(FACE_CHAT, true, cut, FACE_RESPONSES, stream, "\"incomplete_details\":{\"reason\":\"max_output_tokens\"},\"output\":[{");
        expect_part(FACE_CHAT, true, cut, FACE_RESPONSES, stream, "\"role\":\"assistant\",\"status\":\"incomplete\"");
    }
    expect(FACE_CHAT, true, cut, FACE_RESPONSES, true, wanted_cut_response_stream);
}

/* ---- writing ---- */

static void mixed_calls_keep_their_arguments(void **state)
{
    (void)state;
    const char *mixed = CALL("\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"}\\\":\"}")
                        CALL("\"index\":1,\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"{\\\"y\\\":\"}")
                        CALL("\"index\":0,\"function\":{\"arguments\":\"1}\"}") CALL("\"index\":1,\"function\":{\"arguments\":\"2}\"}");
    expect_part(FACE_CHAT, true, mixed, FACE_MESSAGES, false, "\"name\":\"f\",\"input\":{\"}\":1}},{\"type\":\"tool_use\",\"id\":\"b\",\"name\":\"g\",\"input\":{\"y\":2}}");
    expect_part(FACE_CHAT, true, mixed, FACE_MESSAGES, true, "\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"1}\"}}\n\n"
                "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"2}\"}}\n\n"
                "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: content_block_stop\n");
    expect_part(FACE_CHAT, true, mixed, FACE_RESPONSES, true, "\"name\":\"f\",\"arguments\":\"{\\\"}\\\":1}\"}");
    expect_part(FACE_CHAT, true, mixed, FACE_RESPONSES, true, "\"name\":\"g\",\"arguments\":\"{\\\"y\\\":2}\"}");
}

static void arguments_that_are_no_object_are_not_lost(void **state)
{
    static const struct { const char *arguments, *input; } all[] = {
        {"\"{}\"", "{}"}, {"\"\"", "{}"}, {"\" \\n\"", "{}"}, {"null", "{}"}, {"{\"a\":\"\\u0000\"}", "{\"a\":\"\\u0000\"}"},
        {"\"{\\\"a\\\":1\"", "{\"arguments_text\":\"{\\\"a\\\":1\"}"}, {"\"[1]\"", "{\"arguments_text\":\"[1]\"}"},
        {"\"\\\"s\\\"\"", "{\"arguments_text\":\"\\\"s\\\"\"}"}, {"\"no \\ud83d\\ude00\"", "{\"arguments_text\":\"no \\ud83d\\ude00\"}"},
        {"\"{\\\"a\\\":\\n\\\"\\\\u00e9\\\\\\\"\\\"}\"", "{\"a\": \"\\u00e9\\\"\"}"}, {"7", "{\"arguments_text\":\"7\"}"},
    };
    char text[512], wanted[256];
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        snprintf(text, sizeof text, "{\"choices\":[{\"message\":{\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":%s}}]}}]}",
                 all[i].arguments);
        snprintf(wanted, sizeof wanted, "\"name\":\"f\",\"input\":%s}]", all[i].input);
        expect_part(FACE_CHAT, false, text, FACE_MESSAGES, false, wanted);
    }
}

static void reasoning_goes_only_to_who_wants_it(void **state)
{
    struct chat c = chat_of(plain_request);
    (void)state;
    for (int face = 0; face < 2; face++)
        for (int stream = 0; stream < 2; stream++) {
            struct delta_target t = target_of(&c, face ? FACE_RESPONSES : FACE_MESSAGES, stream);
            t.wants_reasoning = false;
            char *got = through(FACE_CHAT, true, told_chat_stream, &t);
            assert_null(strstr(got, "think\""));
            assert_null(strstr(got, "\"type\":\"reasoning\""));
            free(got);
        }
    const char *proof = "{\"type\":\"message\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"a\",\"signature\":\"S1\"},{\"type\":\"thinking\","
                        "\"thinking\":\"\",\"signature\":\"S2\"},{\"type\":\"thinking\",\"thinking\":\"b\",\"signature\":\"S3\"}],\"stop_reason\":\"end_turn\"}";
    expect_part(FACE_MESSAGES, false, proof, FACE_RESPONSES, false, "\"text\":\"a\"}],\"encrypted_content\":\"S1");
    expect_part(FACE_MESSAGES, false, proof, FACE_CHAT, false, "\"reasoning_content\":\"ab\"");
}

static void a_caller_that_asked_for_no_usage_gets_none(void **state)
{
    struct chat c = chat_of(plain_request);
    (void)state;
    for (int face = FACE_CHAT; face <= FACE_COMPLETIONS; face++) {
        struct delta_target t = target_of(&c, (enum face)face, true);
        t.wants_usage = false;
        char *got = through(FACE_CHAT, true, told_chat_stream, &t);
        assert_null(strstr(got, "usage"));
        assert_null(strstr(got, "\"choices\":[]"));
        free(got);
    }
}

static void several_choices_stay_apart(void **state)
{
    (void)state;
    const char *two = "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}},{\"index\":1,\"delta\":{\"content\":\"x\"}}]}\n"
                      "{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"y\"},\"finish_reason\":\"length\"},{\"index\":0,\"delta\":{\"content\":\"b\"},\"finish_reason\":\"stop\"}]}\n";
    expect_part(FACE_CHAT, true, two, FACE_COMPLETIONS, false, "[{\"text\":\"ab\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"stop\"},"
                "{\"text\":\"xy\",\"index\":1,\"logprobs\":null,\"finish_reason\":\"length\"}]");
    expect_part(FACE_CHAT, true, two, FACE_CHAT, false, "\"content\":\"xy\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"length\"");
    expect_part(FACE_CHAT, true, two, FACE_CHAT, true, "[{\"index\":1,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}");
}

static void an_empty_answer_is_one_all_the_same(void **state)
{
    (void)state;
    expect(FACE_CHAT, true, "", FACE_CHAT, false, "{\"id\":\"chatcmpl-75d3a6a508d50c2f\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"alias\","
           "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":\"\"},\"logprobs\":null,\"finish_reason\":\"stop\"}]}");
    expect_part(FACE_CHAT, true, "", FACE_MESSAGES, true, "\"stop_reason\":\"end_turn\"");
    expect_part(FACE_CHAT, true, "", FACE_RESPONSES, true, "event: response.completed\n");
}

static char *error_of(enum face face, bool begun)
{
    struct arena memory;
    struct buf out;
    struct chat c = chat_of(plain_request);
    struct delta_target t = target_of(&c, face, true);
    arena_init(&memory);
    buf_init(&out, BOUND_ANSWER);
    struct delta_writer *w = delta_writer_new(&t, &memory);
    if (begun) delta_write(w, &(struct delta){.kind = DELTA_TEXT, .text = SPAN("so far")}, &out);
    delta_write_error(w, "it \"broke\"", "server_error", NULL, &out);
    assert_int_equal(out.err, WEIR_OK);
    char *copy_of = strdup(buf_cstr(&out));
    delta_writer_free(w);
    buf_free(&out);
    arena_end(&memory);
    return copy_of;
}

static void a_stream_that_breaks_says_so_as_the_sdks_look_for_it(void **state)
{
    (void)state;
    static const struct { enum face face; bool begun; const char *const *wanted; } all[] = {
        {FACE_CHAT, false, &wanted_chat_error}, {FACE_COMPLETIONS, false, &wanted_chat_error},
        {FACE_MESSAGES, true, &wanted_message_error}, {FACE_RESPONSES, true, &wanted_response_error},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char *got = error_of(all[i].face, all[i].begun);
        assert_string_equal(got, *all[i].wanted);
        free(got);
    }
    char *got = error_of(FACE_RESPONSES, false); /* what was not created cannot fail */
    assert_int_equal(strncmp(got, "event: error\ndata: {\"type\":\"error\",\"sequence_number\":0,", 55), 0);
    free(got);
}

static void what_is_kept_has_a_ceiling(void **state)
{
    struct arena memory;
    struct buf out;
    struct chat c = chat_of(plain_request);
    struct delta_target t = target_of(&c, FACE_CHAT, false);
    static char block[1 << 20];
    (void)state;
    memset(block, 'x', sizeof block);
    arena_init(&memory);
    buf_init(&out, BOUND_ANSWER);
    struct delta_writer *w = delta_writer_new(&t, &memory);
    for (int i = 0; i < 64; i++) delta_write(w, &(struct delta){.kind = DELTA_TEXT, .text = {block, sizeof block}}, &out);
    assert_int_equal(out.err, WEIR_OK);
    delta_write(w, &(struct delta){.kind = DELTA_TEXT, .text = SPAN("x")}, &out);
    assert_int_equal(out.err, WEIR_FULL);
    delta_writer_free(w);
    w = delta_writer_new(&t, &memory);
    buf_clear(&out);
    for (int i = 0; i < ITEMS_MOST; i++)
        delta_write(w, &(struct delta){.kind = i % 2 ? DELTA_TEXT : DELTA_REASONING, .text = SPAN("x")}, &out);
    assert_int_equal(out.err, WEIR_OK);
    delta_write(w, &(struct delta){.kind = DELTA_REFUSAL, .text = SPAN("x")}, &out);
    assert_int_equal(out.err, WEIR_FULL);
    delta_writer_free(w);
    t.face = FACE_MESSAGES, t.stream = true;
    w = delta_writer_new(&t, &memory);
    buf_clear(&out);
    for (int i = 0; i <= OPEN_MOST; i++) delta_write(w, &(struct delta){.kind = DELTA_TOOL, .tool = i, .name = SPAN("f")}, &out);
    assert_int_equal(out.err, WEIR_FULL);
    delta_writer_free(w);
    delta_writer_free(NULL);
    buf_free(&out);
    arena_end(&memory);
}

/* True if everything went well, and then the text is whole. */
static bool try_through(const struct told *from, const struct delta_target *t, const char *wanted)
{
    struct arena memory;
    struct buf out;
    bool fine = false;
    arena_init(&memory);
    buf_init(&out, BOUND_ANSWER);
    struct delta_reader *r = delta_reader_new(from->from, &memory);
    struct way way = {r ? delta_writer_new(t, &memory) : NULL, &out};
    if (way.writer) {
        read_lines(r, from->stream, *from->text, pass_on, &way);
        delta_write_end(way.writer, &out);
        fine = out.err == WEIR_OK;
        if (fine) assert_string_equal(buf_cstr(&out), wanted);
        delta_writer_free(way.writer);
    }
    buf_free(&out);
    arena_end(&memory);
    return fine;
}

static void a_failed_allocation_never_gives_half_an_answer(void **state)
{
    static const struct { enum face face; bool stream; const char *const *wanted; } all[] = {
        {FACE_CHAT, false, &wanted_chat}, {FACE_CHAT, true, &wanted_chat_stream}, {FACE_COMPLETIONS, false, &wanted_completion},
        {FACE_RESPONSES, false, &wanted_response}, {FACE_RESPONSES, true, &wanted_response_stream},
        {FACE_MESSAGES, false, &wanted_message}, {FACE_MESSAGES, true, &wanted_message_stream},
    };
    struct chat c = chat_of(plain_request);
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct delta_target t = target_of(&c, all[i].face, all[i].stream);
        long n = 0;
        do {
            allocations_left = n++;
            bool fine = try_through(&told[all[i].stream ? 0 : 1], &t, *all[i].wanted);
            assert_true(fine == (allocations_left >= 0));
        } while (allocations_left < 0);
        assert_true(n > 2);
        allocations_left = -1;
    }
}

static void a_stream_of_too_many_calls_keeps_the_first(void **state)
{
    struct buf text;
    (void)state;
    buf_init(&text, 1 << 20);
    for (int i = 0; i <= CALLS_MOST; i++) buf_printf(&text, CALL("\"index\":%d,\"function\":{\"name\":\"f%d\",\"arguments\":\"{}\"}"), i, i);
    expect_part(FACE_CHAT, true, buf_cstr(&text), FACE_MESSAGES, true, "\"f127\"");
    expect_not(FACE_CHAT, true, buf_cstr(&text), FACE_MESSAGES, true, "\"f128\"");
    buf_free(&text);
}

/* ---- answers by chance ---- */

#define CALLS 4

/* What an answer says, its escapes undone. */
struct said {
    struct buf text, reasoning, id[CALLS], name[CALLS], arguments[CALLS];
    int calls;
    enum finish finish;
    struct usage usage;
    int64_t reasoning_tokens;
    int starts, finishes, usages;
};

static void said_init(struct said *s)
{
    *s = (struct said){0};
    buf_init(&s->text, BOUND_ANSWER), buf_init(&s->reasoning, BOUND_ANSWER);
    for (int i = 0; i < CALLS; i++) buf_init(&s->id[i], 4096), buf_init(&s->name[i], 4096), buf_init(&s->arguments[i], 1 << 16);
}

static void said_free(struct said *s)
{
    buf_free(&s->text), buf_free(&s->reasoning);
    for (int i = 0; i < CALLS; i++) buf_free(&s->id[i]), buf_free(&s->name[i]), buf_free(&s->arguments[i]);
}

static void note(const struct delta *d, void *arg)
{
    struct said *s = arg;
    assert_int_equal(d->choice, 0);
    assert_int_equal(s->starts, d->kind != DELTA_START);
    if (d->kind != DELTA_FINISH && d->kind != DELTA_USAGE) assert_int_equal(s->finishes, 0);
    switch (d->kind) {
    case DELTA_START: s->starts++; break;
    case DELTA_TEXT: buf_span(&s->text, d->text); break;
    case DELTA_REASONING: buf_span(&s->reasoning, d->text); break;
    case DELTA_TOOL:
        assert_int_equal(d->tool, s->calls);
        buf_span(&s->id[s->calls], d->id);
        buf_span(&s->name[s->calls++], d->name);
        break;
    case DELTA_ARGUMENTS: buf_span(&s->arguments[d->tool], d->text); break;
    case DELTA_FINISH: s->finish = d->finish, s->finishes++; break;
    case DELTA_USAGE: s->usage = d->usage, s->reasoning_tokens = d->reasoning, s->usages++; break;
    case DELTA_REFUSAL: case DELTA_SIGNATURE: fail();
    }
}

static void same_text(const struct buf *a, const struct buf *b)
{
    if (!span_eq(buf_all(a), buf_all(b))) fail_msg("%.*s\nis not\n%.*s", (int)a->len, a->at, (int)b->len, b->at);
}

static void same_said(const struct said *a, const struct said *b)
{
    same_text(&a->text, &b->text);
    same_text(&a->reasoning, &b->reasoning);
    assert_int_equal(a->calls, b->calls);
    for (int i = 0; i < a->calls; i++) {
        same_text(&a->id[i], &b->id[i]);
        same_text(&a->name[i], &b->name[i]);
        same_text(&a->arguments[i], &b->arguments[i]);
    }
    assert_int_equal(a->finish, b->finish);
    assert_memory_equal(&a->usage, &b->usage, sizeof a->usage);
    assert_int_equal(a->reasoning_tokens, b->reasoning_tokens);
    assert_int_equal(b->starts, 1);
    assert_int_equal(b->finishes, 1);
    assert_int_equal(b->usages, 1);
}

static uint64_t seed;
static unsigned chance(unsigned n) /* xorshift64*: the same answers in every run */
{
    seed ^= seed >> 12, seed ^= seed << 25, seed ^= seed >> 27;
    return (unsigned)((seed * 0x2545f4914f6cdd1du) >> 33) % n;
}

/* Quoted characters, of texts and of strings within arguments (there: quoted twice). */
static const char *const units[] = {"a", " ", "\\n", "\\\"", "\\\\", "\\/", "\xC3\xA9", "\xF0\x9F\x98\x80", "\\u00e9", "\\ud83d\\ude00", "}", "{"};
static const char *const twice[] = {"a", " ", "\\\\n", "\\\\\\\"", "\\\\\\\\", "\xC3\xA9", "\xF0\x9F\x98\x80", "\\\\u00e9", "}", "[", ",", ":"};

/* A run of content as the pieces it can be cut into. */
struct run { enum delta_kind kind; int tool; const char *piece[64]; int pieces; char id[8], name[8]; };
struct made { struct run run[12]; int runs; enum finish finish; struct usage usage; int64_t reasoning; };

static void make_arguments(struct run *run)
{
    unsigned members = chance(3);
    run->piece[run->pieces++] = "{";
    for (unsigned m = 0; m < members; m++) {
        run->piece[run->pieces++] = m ? ",\\\"b\\\":[1.5e3,null,{}],\\\"c\\\":\\\"" : "\\\"a\\\":\\\"";
        for (unsigned n = chance(6); n; n--) run->piece[run->pieces++] = twice[chance(sizeof twice / sizeof *twice)];
        run->piece[run->pieces++] = "\\\"";
    }
    run->piece[run->pieces++] = "}";
}

static void make(struct made *m)
{
    int calls = 0;
    *m = (struct made){.finish = (enum finish)chance(4)};
    for (unsigned n = chance(5); n; n--) {
        struct run *run = &m->run[m->runs++];
        unsigned kind = chance(3);
        *run = (struct run){.kind = kind == 0 ? DELTA_TEXT : kind == 1 ? DELTA_REASONING : DELTA_TOOL};
        if (run->kind == DELTA_TOOL && calls == CALLS) run->kind = DELTA_TEXT;
        if (run->kind == DELTA_TOOL) {
            run->tool = calls++;
            snprintf(run->id, sizeof run->id, "id%u", chance(1000));
            snprintf(run->name, sizeof run->name, "f%u", chance(1000));
            make_arguments(run);
        } else {
            for (unsigned k = 1 + chance(12); k; k--) run->piece[run->pieces++] = units[chance(sizeof units / sizeof *units)];
        }
    }
    if (m->finish == FINISH_STOP || m->finish == FINISH_TOOLS) m->finish = calls ? FINISH_TOOLS : FINISH_STOP;
    m->usage = (struct usage){.known = true, .prompt = chance(1000), .completion = chance(1000)};
    m->usage.cached = chance((unsigned)m->usage.prompt + 1);
    m->usage.cache_write = chance((unsigned)(m->usage.prompt - m->usage.cached) + 1);
    m->reasoning = chance((unsigned)m->usage.completion + 1);
}

/* Gives all steps, the texts cut anew each time. */
static void give_made(const struct made *m, void (*to)(const struct delta *, void *), void *arg)
{
    to(&(struct delta){.kind = DELTA_START, .id = SPAN("i"), .model = SPAN("m"), .created = 5}, arg);
    for (int i = 0; i < m->runs; i++) {
        const struct run *run = &m->run[i];
        struct buf piece;
        buf_init(&piece, 4096);
        if (run->kind == DELTA_TOOL)
            to(&(struct delta){.kind = DELTA_TOOL, .tool = run->tool, .id = span_of(run->id), .name = span_of(run->name)}, arg);
        for (int k = 0; k < run->pieces; k++) {
            buf_str(&piece, run->piece[k]);
            if (k + 1 < run->pieces && chance(2)) continue;
            to(&(struct delta){.kind = run->kind == DELTA_TOOL ? DELTA_ARGUMENTS : run->kind, .tool = run->tool, .text = buf_all(&piece)}, arg);
            piece.len = 0;
        }
        buf_free(&piece);
    }
    to(&(struct delta){.kind = DELTA_FINISH, .finish = m->finish}, arg);
    to(&(struct delta){.kind = DELTA_USAGE, .usage = m->usage, .reasoning = m->reasoning}, arg);
}

struct steps { void (*give)(const void *from, void (*to)(const struct delta *, void *), void *arg); const void *from; };

static void give_steps_made(const void *from, void (*to)(const struct delta *, void *), void *arg) { give_made(from, to, arg); }

/* Reads what was written, a stream through the same cutter that the gateway uses. */
struct written { enum face face; bool stream; struct span text; struct arena *memory; };

static void give_steps_written(const void *from, void (*to)(const struct delta *, void *), void *arg)
{
    const struct written *w = from;
    struct sse cutter;
    struct sse_event event;
    struct delta_reader *r = delta_reader_new(w->face, w->memory);
    if (!w->stream) {
        if (!delta_read_answer(r, w->text, to, arg)) fail_msg("%.*s", (int)w->text.len, w->text.at);
        return;
    }
    sse_init(&cutter, BOUND_SSE_EVENT);
    assert_int_equal(sse_feed(&cutter, w->text.at, w->text.len), WEIR_OK);
    while (sse_next(&cutter, &event)) delta_read_event(r, event.data, to, arg);
    delta_read_end(r, to, arg);
    sse_free(&cutter);
}

static void write_steps(struct steps steps, enum face face, bool stream, struct arena *memory, struct buf *out)
{
    struct chat c = chat_of(plain_request);
    struct delta_target t = target_of(&c, face, stream);
    struct way way = {delta_writer_new(&t, memory), out};
    buf_init(out, BOUND_ANSWER);
    steps.give(steps.from, pass_on, &way);
    delta_write_end(way.writer, out);
    delta_writer_free(way.writer);
    assert_int_equal(out->err, WEIR_OK);
}

static void there_and_back_an_answer_says_the_same(void **state)
{
    (void)state;
    seed = 20261121;
    for (int round = 0; round < 3000; round++) {
        struct arena memory;
        struct made made;
        struct said meant, again;
        struct buf first, second;
        arena_init(&memory);
        make(&made);
        said_init(&meant);
        give_made(&made, note, &meant);
        enum face a = chance(2) ? FACE_MESSAGES : FACE_CHAT, b = chance(2) ? FACE_MESSAGES : FACE_CHAT;
        bool a_streams = chance(2), b_streams = chance(2);
        write_steps((struct steps){give_steps_made, &made}, a, a_streams, &memory, &first);
        struct written there = {a, a_streams, buf_all(&first), &memory};
        write_steps((struct steps){give_steps_written, &there}, b, b_streams, &memory, &second);
        struct written back = {b, b_streams, buf_all(&second), &memory};
        said_init(&again);
        give_steps_written(&back, note, &again);
        same_said(&meant, &again);
        said_free(&meant);
        said_free(&again);
        buf_free(&first);
        buf_free(&second);
        arena_end(&memory);
    }
}

/* The last event but [DONE] of a stream. */
static struct span last_event(struct span text, const char *type)
{
    struct span found = SPAN_NONE;
    const char *at = text.at;
    while ((at = strstr(at, "\ndata: ")) && (at += 7)) found = (struct span){at, strcspn(at, "\n")};
    struct jval root;
    check_root(found, &root);
    assert_true(jval_is(jscan_find(root, "type"), type));
    return found;
}

static void however_it_is_cut_and_sent_an_answer_is_the_same(void **state)
{
    (void)state;
    seed = 4;
    for (int round = 0; round < 1000; round++) {
        static const enum face faces[] = {FACE_CHAT, FACE_COMPLETIONS, FACE_MESSAGES, FACE_RESPONSES};
        struct arena memory;
        struct made made;
        struct buf whole, other;
        arena_init(&memory);
        make(&made);
        for (int i = 0; i < 4; i++) {
            write_steps((struct steps){give_steps_made, &made}, faces[i], false, &memory, &whole);
            write_steps((struct steps){give_steps_made, &made}, faces[i], false, &memory, &other);
            same_text(&whole, &other);
            buf_free(&other);
            if (faces[i] == FACE_RESPONSES) { /* a stream of responses ends with the whole answer */
                struct jval root;
                bool cut = made.finish == FINISH_LENGTH || made.finish == FINISH_FILTER;
                write_steps((struct steps){give_steps_made, &made}, faces[i], true, &memory, &other);
                check_root(last_event(span_of(buf_cstr(&other)), cut ? "response.incomplete" : "response.completed"), &root);
                assert_true(span_eq(jscan_find(root, "response").text, buf_all(&whole)));
                buf_free(&other);
            }
            buf_free(&whole);
        }
        arena_end(&memory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_answers_say_the_same_whoever_told_it),
        cmocka_unit_test(streams_say_the_same_whoever_told_it),
        cmocka_unit_test(calls_without_index_or_id_are_told_apart),
        cmocka_unit_test(usage_is_found_wherever_it_stands),
        cmocka_unit_test(what_says_nothing_is_passed_over),
        cmocka_unit_test(what_is_no_answer_is_not_read_as_one),
        cmocka_unit_test(every_way_to_stop_has_its_word),
        cmocka_unit_test(an_answer_cut_short_says_so_in_a_response),
        cmocka_unit_test(mixed_calls_keep_their_arguments),
        cmocka_unit_test(arguments_that_are_no_object_are_not_lost),
        cmocka_unit_test(reasoning_goes_only_to_who_wants_it),
        cmocka_unit_test(a_caller_that_asked_for_no_usage_gets_none),
        cmocka_unit_test(several_choices_stay_apart),
        cmocka_unit_test(an_empty_answer_is_one_all_the_same),
        cmocka_unit_test(a_stream_that_breaks_says_so_as_the_sdks_look_for_it),
        cmocka_unit_test(what_is_kept_has_a_ceiling),
        cmocka_unit_test(a_failed_allocation_never_gives_half_an_answer),
        cmocka_unit_test(a_stream_of_too_many_calls_keeps_the_first),
        cmocka_unit_test(there_and_back_an_answer_says_the_same),
        cmocka_unit_test(however_it_is_cut_and_sent_an_answer_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
