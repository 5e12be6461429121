/* What is kept and for whom: names of answers differ where answers could, and only there; and what is kept is told in any
 * form without loss. */
#include "fcgi/stage/cache.c"
#include "fcgi/stage/keep.c"
#include "fcgi/stage/retell.c"

#include "fcgi/stage/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

/* ---- names ---- */

static struct caller ada = {.user = "ada", .team = "looms", .key = {.name = "k1"}};
static const struct model_row alias = {.alias = "m", .cache_ttl = 300, .answerers = {.at = "who answers"}};

/* The name of a request, the arena's; "" if it has none. */
static struct span name_of(struct arena *a, enum face face, const char *body, const struct caller *c, const struct model_row *m,
                           const struct request *r)
{
    struct chat chat;
    struct problem p;
    struct reuse u;
    char *copy = arena_str(a, span_of(body));
    assert_int_equal(parse_chat(face, span_of(copy), a, &chat, &p), WEIR_OK);
    cache_name_request(r, c, &chat, m, a, &u);
    return u.stores ? u.name.text : SPAN("");
}

static const struct request plain_request;

static bool same(const char *one, const char *two)
{
    struct arena a;
    arena_init(&a);
    struct span x = name_of(&a, FACE_CHAT, one, &ada, &alias, &plain_request), y = name_of(&a, FACE_CHAT, two, &ada, &alias, &plain_request);
    bool equal = span_eq(x, y) && x.len;
    arena_end(&a);
    return equal;
}

static uint64_t state_of_chance;

static int chance(int most)
{
    state_of_chance = state_of_chance * 6364136223846793005u + 1442695040888963407u;
    return (int)((state_of_chance >> 33) % (uint64_t)most);
}

/* A value by chance, written in one of its forms: `form` decides white space, order and escapes, `value` what it means. */
static void value(struct buf *out, uint64_t *means, uint64_t *form, int depth);

static int of(uint64_t *seed, int most)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (int)((*seed >> 33) % (uint64_t)most);
}

static void blank(struct buf *out, uint64_t *form)
{
    for (int n = of(form, 3); n > 0; n--) buf_char(out, " \n\t"[of(form, 3)]);
}

static void text(struct buf *out, uint64_t *means, uint64_t *form)
{
    buf_char(out, '"');
    for (int n = 1 + of(means, 5); n > 0; n--) {
        char c = (char)('a' + of(means, 4));
        if (of(form, 3)) buf_char(out, c);
        else buf_printf(out, "\\u00%02x", c);
    }
    buf_char(out, '"');
}

static void members(struct buf *out, uint64_t *means, uint64_t *form, int depth)
{
    struct buf all[4];
    int count = 1 + of(means, 3), order[4] = {0, 1, 2, 3};
    for (int i = 0; i < count; i++) {
        buf_init(&all[i], 1 << 16);
        buf_printf(&all[i], "\"%c%d\"", 'a' + of(means, 3), i);
        blank(&all[i], form);
        buf_char(&all[i], ':');
        value(&all[i], means, form, depth + 1);
    }
    for (int i = count - 1; i > 0; i--) {
        int k = of(form, i + 1), was = order[i];
        order[i] = order[k];
        order[k] = was;
    }
    for (int i = 0; i < count; i++) {
        if (i) buf_char(out, ',');
        blank(out, form);
        buf_span(out, buf_all(&all[order[i]]));
    }
    for (int i = 0; i < count; i++) buf_free(&all[i]);
}

static void value(struct buf *out, uint64_t *means, uint64_t *form, int depth)
{
    static const char *const words[] = {"true", "false", "null", "1", "2", "1.5", "[]", "{}", "\"\""};
    int kind = of(means, depth > 3 ? 2 : 4);
    blank(out, form);
    if (kind == 0) buf_str(out, words[of(means, 9)]);
    else if (kind == 1) text(out, means, form);
    else {
        buf_char(out, kind == 2 ? '{' : '[');
        if (kind == 2) members(out, means, form, depth);
        for (int n = kind == 3 ? 1 + of(means, 3) : 0; n > 0; n--) {
            value(out, means, form, depth + 1);
            if (n > 1) buf_char(out, ',');
        }
        buf_char(out, kind == 2 ? '}' : ']');
    }
    blank(out, form);
}

static void body(struct buf *out, uint64_t means, uint64_t form)
{
    buf_clear(out);
    bool first = of(&form, 2);
    if (first) buf_str(out, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],");
    else buf_str(out, "{");
    if (of(&form, 2)) buf_str(out, "\"stream\":true,\"stream_options\":{\"include_usage\":true},");
    buf_str(out, "\"x\":");
    value(out, &means, &form, 0);
    if (!first) buf_str(out, ",\"messages\":[{\"content\":\"a\",\"role\":\"user\"}],\"model\":\"m\"");
    buf_char(out, '}');
}

static void what_is_written_otherwise_has_the_same_name_and_what_means_otherwise_another(void **state)
{
    struct buf one, two;
    int others = 0;
    (void)state;
    buf_init(&one, 1 << 20);
    buf_init(&two, 1 << 20);
    for (int n = 0; n < 2000; n++) {
        struct buf plain_one, plain_two;
        uint64_t means = (uint64_t)n, other = (uint64_t)chance(500);
        body(&one, means, (uint64_t)chance(1 << 30));
        body(&two, means, (uint64_t)chance(1 << 30));
        assert_true(same(buf_cstr(&one), buf_cstr(&two)));
        /* Two values written in the same form are equal texts if they mean the same. */
        buf_init(&plain_one, 1 << 20);
        buf_init(&plain_two, 1 << 20);
        body(&plain_one, means, 1);
        body(&plain_two, other, 1);
        bool equal = span_eq(buf_all(&plain_one), buf_all(&plain_two));
        body(&two, other, (uint64_t)chance(1 << 30));
        if (!equal) others++;
        assert_int_equal(same(buf_cstr(&one), buf_cstr(&two)), equal);
        buf_free(&plain_one);
        buf_free(&plain_two);
    }
    assert_true(others > 1000);
    buf_free(&one);
    buf_free(&two);
}

/* One thing changed at a time, and every pair has two names. */
static void whatever_may_change_the_answer_changes_the_name(void **state)
{
    static const char *const bodies[] = {
#define CHAT(more) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]" more "}"
        CHAT(""), CHAT(",\"seed\":1"), CHAT(",\"seed\":2"), CHAT(",\"user\":\"x\""), CHAT(",\"user\":\"y\""), CHAT(",\"user\":null"),
        CHAT(",\"metadata\":{}"), CHAT(",\"metadata\":{\"a\":\"b\"}"), CHAT(",\"n\":1"), CHAT(",\"n\":2"), CHAT(",\"n\":2,\"temperature\":1"),
        CHAT(",\"temperature\":1"), CHAT(",\"temperature\":1.0"), CHAT(",\"temperature\":1e0"), CHAT(",\"temperature\":10e-1"), CHAT(",\"temperature\":0"),
        CHAT(",\"temperature\":-0"), CHAT(",\"temperature\":0.1"), CHAT(",\"logprobs\":true"), CHAT(",\"logprobs\":false"),
        CHAT(",\"logprobs\":true,\"top_logprobs\":2"), CHAT(",\"max_tokens\":9"), CHAT(",\"max_completion_tokens\":9"), CHAT(",\"stop\":\"a\""),
        CHAT(",\"stop\":[\"a\"]"), CHAT(",\"stop\":[\"a\",\"b\"]"), CHAT(",\"stop\":[\"b\",\"a\"]"), CHAT(",\"tools\":[]"),
        CHAT(",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},{\"type\":\"function\",\"function\":{\"name\":\"g\"}}]"),
        CHAT(",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"g\"}},{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"),
        CHAT(",\"x\":{\"a\":1,\"a\":2}"), CHAT(",\"x\":{\"a\":2,\"a\":1}"), CHAT(",\"x\":{\"a\":1}"), CHAT(",\"x\":\"\\ud800\""),
        CHAT(",\"x\":\"\\ud801\""), CHAT(",\"x\":\"\\ufffd\""), CHAT(",\"x\":\"\\u0000\""), CHAT(",\"x\":\"\""), CHAT(",\"x\":\"\\\\u0041\""), CHAT(",\"x\":\"A\""),
        CHAT(",\"x\":{\"stream\":true}"), CHAT(",\"x\":{}"), CHAT(",\"X\":{}"), CHAT(",\"x\":[[1],2]"), CHAT(",\"x\":[1,[2]]"), CHAT(",\"x\":[1,2]"),
        CHAT(",\"stream_options\":{\"continuous_usage_stats\":true}"), CHAT(",\"stream_options\":{\"continuous_usage_stats\":false}"),
        CHAT(",\"service_tier\":\"flex\""), CHAT(",\"store\":true"), CHAT(",\"store\":false"), CHAT(",\"response_format\":{\"type\":\"json_object\"}"),
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"a\"}]}",
        "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"a\"}]}", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a \"}]}",
        "{\"model\":\"M\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"A\"}]}"};
#define BODIES (sizeof bodies / sizeof *bodies)
    struct span names[BODIES];
    struct arena a;
    (void)state;
    arena_init(&a);
    for (size_t i = 0; i < BODIES; i++) {
        names[i] = name_of(&a, FACE_CHAT, bodies[i], &ada, &alias, &plain_request);
        assert_true(names[i].len);
        for (size_t k = 0; k < i; k++)
            if (span_eq(names[i], names[k])) fail_msg("one name:\n%s\n%s", bodies[i], bodies[k]);
    }
    arena_end(&a);
}

static void what_changes_only_the_way_it_is_told_is_one_name(void **state)
{
    static const char *const same_as_plain[] = {
        CHAT(",\"stream\":true"), CHAT(",\"stream\":false"), CHAT(",\"stream\":null"), CHAT(",\"stream\":true,\"stream_options\":null"),
        CHAT(",\"stream\":true,\"stream_options\":{}"), CHAT(",\"stream\":true,\"stream_options\":{\"include_usage\":true}"),
        CHAT(",\"stream\":true,\"stream_options\":{\"include_obfuscation\":false,\"include_us\\u0061ge\":false}"),
        "{ \"messages\" : [ { \"content\" : \"\\u0061\" , \"role\" : \"user\" } ] , \"model\" : \"\\u006d\" }"};
    (void)state;
    for (size_t i = 0; i < sizeof same_as_plain / sizeof *same_as_plain; i++)
        if (!same(CHAT(""), same_as_plain[i])) fail_msg("%s", same_as_plain[i]);
}

static void faces_betas_policies_and_answerers_are_parts_of_the_name(void **state)
{
    static const char *const betas[] = {NULL, "", "context-1m-2025-08-07", "interleaved-thinking-2025-05-14"};
    struct model_row others[] = {alias, alias, alias};
    struct span names[16];
    struct arena a;
    int count = 0;
    (void)state;
    others[1].answerers.at[31] ^= 1;
    others[2].cache_tool_calls = true;
    arena_init(&a);
    for (int i = 0; i < 3; i++) names[count++] = name_of(&a, FACE_CHAT, CHAT(""), &ada, &others[i], &plain_request);
    for (int i = 0; i < 4; i++) {
        const struct request r = {.anthropic_beta = betas[i]};
        names[count++] = name_of(&a, FACE_MESSAGES, CHAT(""), &ada, &alias, &r);
    }
    names[count++] = name_of(&a, FACE_MESSAGES, CHAT(",\"stream_options\":{\"x\":1}"), &ada, &alias, &plain_request);
    names[count++] = name_of(&a, FACE_MESSAGES, CHAT(",\"stream_options\":\"x\""), &ada, &alias, &plain_request);
    for (int i = 0; i < count; i++)
        for (int k = 0; k < i; k++) assert_false(span_eq(names[i], names[k]) || !names[i].len);
    arena_end(&a);
}

#define BODY "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}"

static void answers_are_found_only_by_those_they_belong_to(void **state)
{
    struct caller all[] = {
        ada, {.user = "bob", .team = "looms", .key = {.name = "k2"}}, {.user = "ada", .key = {.name = "k3"}},
        {.key = {.name = "k4"}}, {.user = "ada", .team = "a\nface 4 chat\n", .key = {.name = "k5"}}, {.user = "looms", .key = {.name = "k6"}},
        {.key = {.name = "looms"}}};
    static const struct { const char *scope; int groups[7]; } scopes[] = { /* equal numbers: they share */
        {NULL, {1, 1, 2, 3, 4, 5, 6}}, {"team", {1, 1, 2, 3, 4, 5, 6}}, {"user", {1, 2, 1, 3, 1, 4, 5}}, {"key", {1, 2, 3, 4, 5, 6, 7}},
        {"global", {1, 1, 1, 1, 1, 1, 1}}};
    struct arena a;
    (void)state;
    for (size_t s = 0; s < sizeof scopes / sizeof *scopes; s++) {
        struct model_row m = alias;
        m.cache_scope = scopes[s].scope;
        arena_init(&a);
        for (int i = 0; i < 7; i++)
            for (int k = 0; k < 7; k++) {
                struct span x = name_of(&a, FACE_CHAT, BODY, &all[i], &m, &plain_request), y = name_of(&a, FACE_CHAT, BODY, &all[k], &m, &plain_request);
                assert_int_equal(span_eq(x, y), scopes[s].groups[i] == scopes[s].groups[k]);
            }
        arena_end(&a);
    }
}

static void nobody_s_answers_are_kept_for_nobody_known(void **state)
{
    struct arena a;
    struct caller nobody = {.user = NULL};
    struct model_row none = alias;
    (void)state;
    arena_init(&a);
    assert_int_equal(name_of(&a, FACE_CHAT, BODY, &nobody, &alias, &plain_request).len, 0);
    none.cache_ttl = 0;
    assert_int_equal(name_of(&a, FACE_CHAT, BODY, &ada, &none, &plain_request).len, 0);
    assert_int_equal(name_of(&a, FACE_RESPONSES, "{\"model\":\"m\",\"input\":\"a\",\"previous_response_id\":\"r\"}", &ada, &alias, &plain_request).len, 0);
    assert_int_not_equal(name_of(&a, FACE_RESPONSES, "{\"model\":\"m\",\"input\":\"a\",\"background\":false}", &ada, &alias, &plain_request).len, 0);
    arena_end(&a);
}

/* ---- what a request asks of the cache ---- */

static struct reuse asked(const char *control, const char *wish, const char *ttl)
{
    struct arena a;
    struct chat chat;
    struct problem p;
    struct reuse u;
    struct request r = {.cache_control = control, .cache_wish = wish, .cache_ttl = ttl};
    arena_init(&a);
    assert_int_equal(parse_chat(FACE_CHAT, SPAN(BODY), &a, &chat, &p), WEIR_OK);
    cache_name_request(&r, &ada, &chat, &alias, &a, &u);
    arena_end(&a);
    return u;
}

static void words_of_cache_control_are_followed(void **state)
{
    (void)state;
    assert_true(asked(NULL, NULL, NULL).looks && asked(NULL, NULL, NULL).stores && asked(NULL, NULL, NULL).most_age_ms == 300000);
    assert_true(!asked("no-store", NULL, NULL).stores && !asked("max-age=9 , NO-STORE", NULL, NULL).looks);
    assert_true(asked("no-cache", NULL, NULL).stores && !asked("no-cache", NULL, NULL).looks);
    assert_true(asked("max-age=0", NULL, NULL).stores && !asked("max-age=0", NULL, NULL).looks);
    assert_int_equal(asked("private,max-age=\"20\"", NULL, NULL).most_age_ms, 20000);
    assert_int_equal(asked("max-age=99999999999999999999", NULL, NULL).most_age_ms, 300000);
    assert_int_equal(asked("max-age=x, no-such-word=3", NULL, NULL).most_age_ms, 300000);
    assert_true(!asked(NULL, " Bypass", NULL).stores && asked(NULL, "hit", NULL).stores && !asked(NULL, NULL, "0").stores);
    assert_int_equal(asked(NULL, NULL, "7").ttl_ms, 7000);
    assert_int_equal(asked(NULL, NULL, "7").most_age_ms, 7000);
    assert_int_equal(asked(NULL, NULL, "7000").ttl_ms, 300000);
}

/* ---- forms and heads ---- */

static void a_head_comes_back_as_it_was_told(void **state)
{
    struct arena a;
    struct keep_head h;
    (void)state;
    arena_init(&a);
    for (int asked_in = 0; asked_in < FACE_COUNT; asked_in++)
        for (int bits = 0; bits < 8; bits++) {
            struct keep_form f = {.asked = (enum face)asked_in, .stream = bits & 1, .translated = bits >> 1 & 1, .reasons = bits >> 2 & 1};
            struct keep_form back = keep_form_unpack(keep_form_pack(&f));
            assert_true(keep_form_is_one(keep_form_pack(&f)));
            assert_true(back.asked == f.asked && back.stream == f.stream && back.translated == f.translated && back.reasons == f.reasons);
        }
    assert_false(keep_form_is_one(FACE_COUNT) || keep_form_is_one(15) || keep_form_is_one(-1) || keep_form_is_one(128));
    assert_true(keep_read_head(SPAN("20 1700 the provider\nthe/model"), &a, &h));
    assert_true(h.form.asked == FACE_MESSAGES && h.form.stream && h.stale_since == 1700);
    struct keep_failure f = {0};
    assert_true(keep_read_failure(SPAN("failed 503 7"), &a, &f) && f.status == 503 && f.retry_after_s == 7);
    assert_false(keep_read_head(SPAN("failed 503 7"), &a, &h) || keep_read_failure(SPAN("20 1700 the provider\nthe/model"), &a, &f));
    const char *const no_failures[] = {"", "failed", "failed ", "failed 200 0", "failed 503 7 ", "failed 503 -1", "failed 503 61", "failed 999 0"};
    for (size_t i = 0; i < sizeof no_failures / sizeof *no_failures; i++)
        if (keep_read_failure(span_of(no_failures[i]), &a, &f)) fail_msg("%s", no_failures[i]);
    assert_true(keep_read_head(SPAN("20 1700 the provider\nthe/model"), &a, &h));
    assert_string_equal(h.provider, "the provider");
    assert_string_equal(h.model, "the/model");
    const char *const none[] = {"", "x", "9 0 p\nm", "15 0 p\nm", "1", "1 2", "1 2 p", "-1 0 p\nm"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) assert_false(keep_read_head(span_of(none[i]), &a, &h));
    arena_end(&a);
}

/* ---- retelling ---- */

static void told(enum face face, const char *request, struct keep_form form, struct span kept, struct buf *out)
{
    struct arena a;
    struct chat chat;
    struct problem p;
    arena_init(&a);
    assert_int_equal(parse_chat(face, span_of(request), &a, &chat, &p), WEIR_OK);
    struct retelling *t = retell_new(&chat, &form, "req_1", 1700000000, &a);
    assert_non_null(t);
    size_t half = form.stream ? kept.len / 2 : 0;
    buf_clear(out);
    if (form.stream) retell_take(t, (struct span){kept.at, half}, out); /* cut anywhere, as the size of a buffer has it */
    assert_true(retell_end(t, (struct span){kept.at + half, kept.len - half}, out));
    retell_free(t);
    arena_end(&a);
}

#define PLAIN_RESPONSE "{\n \"id\": \"resp_1\", \"object\": \"response\", \"status\": \"completed\", \"output\": [" \
    "{\"id\":\"rs_1\",\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"hm\"}]}," \
    "{\"id\":\"msg_1\",\"type\":\"message\",\"status\":\"completed\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"Hi \\n \\\"you\\\"\"," \
    "\"annotations\":[{\"type\":\"url_citation\",\"url\":\"u\"}],\"logprobs\":[]}]}," \
    "{\"id\":\"fc_1\",\"type\":\"function_call\",\"call_id\":\"c1\",\"name\":\"f\",\"arguments\":\"{}\",\"status\":\"completed\"}," \
    "{\"id\":\"ws_1\",\"type\":\"web_search_call\",\"status\":\"completed\"}]," \
    "\n \"usage\": {\"input_tokens\": 3, \"output_tokens\": 4, \"total_tokens\": 7}}"

static void a_response_goes_into_a_stream_and_back_without_loss(void **state)
{
    static const char plain[] = "{\"model\":\"m\",\"input\":\"a\"}", stream[] = "{\"model\":\"m\",\"input\":\"a\",\"stream\":true}";
    struct buf events, back;
    (void)state;
    buf_init(&events, 1 << 20);
    buf_init(&back, 1 << 20);
    told(FACE_RESPONSES, stream, (struct keep_form){.asked = FACE_RESPONSES}, SPAN(PLAIN_RESPONSE), &events);
    told(FACE_RESPONSES, plain, (struct keep_form){.asked = FACE_RESPONSES, .stream = true}, buf_all(&events), &back);
    struct buf flat;
    buf_init(&flat, 1 << 20);
    buf_str(&flat, PLAIN_RESPONSE);
    for (size_t i = 0; i < flat.len; i++) if (flat.at[i] == '\n') flat.at[i] = ' ';
    assert_string_equal(buf_cstr(&back), buf_cstr(&flat));
    assert_non_null(strstr(buf_cstr(&events), "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":"));
    assert_non_null(strstr(buf_cstr(&events), "\"delta\":\"Hi \\n \\\"you\\\"\""));
    assert_non_null(strstr(buf_cstr(&events), "response.output_text.annotation.added"));
    assert_non_null(strstr(buf_cstr(&events), "event: response.function_call_arguments.done"));
    assert_non_null(strstr(buf_cstr(&events), "event: response.reasoning_summary_text.done"));
    for (const char *at = buf_cstr(&events); (at = strchr(at, '\n')); at++) /* every line is one of an event's */
        assert_true(at[1] == '\0' || at[1] == '\n' || strncmp(at + 1, "event: ", 7) == 0 || strncmp(at + 1, "data: {", 7) == 0);
    buf_free(&events);
    buf_free(&back);
    buf_free(&flat);
}

#define CHUNK(delta, finish) "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m1\",\"choices\":[{\"index\":0,\"delta\":" delta ",\"finish_reason\":" finish "}]}\n\n"
#define STREAM CHUNK("{\"role\":\"assistant\",\"content\":\"\"}", "null") CHUNK("{\"content\":\"Hi\"}", "null") CHUNK("{\"content\":\" you\"}", "null") \
    CHUNK("{}", "\"stop\"")
#define USAGE "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m1\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\n"
#define DONE "data: [DONE]\n\n"
#define ASKED(more) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]" more "}"

static void a_stream_comes_back_as_it_was_but_for_a_usage_chunk_that_nobody_asked_for(void **state)
{
    struct buf out;
    const struct keep_form form = {.asked = FACE_CHAT, .stream = true};
    (void)state;
    buf_init(&out, 1 << 20);
    told(FACE_CHAT, ASKED(",\"stream\":true"), form, SPAN(STREAM USAGE DONE), &out);
    assert_string_equal(buf_cstr(&out), STREAM DONE);
    told(FACE_CHAT, ASKED(",\"stream\":true,\"stream_options\":{\"include_usage\":true}"), form, SPAN(STREAM USAGE DONE), &out);
    assert_string_equal(buf_cstr(&out), STREAM USAGE DONE);
    told(FACE_CHAT, ASKED(""), form, SPAN(STREAM USAGE DONE), &out);
    assert_non_null(strstr(buf_cstr(&out), "\"content\":\"Hi you\""));
    assert_non_null(strstr(buf_cstr(&out), "\"total_tokens\":7"));
    told(FACE_MESSAGES, "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}",
         (struct keep_form){.asked = FACE_CHAT, .stream = true, .translated = true}, SPAN(STREAM USAGE DONE), &out);
    assert_non_null(strstr(buf_cstr(&out), "\"type\":\"text\",\"text\":\"Hi you\""));
    buf_free(&out);
}

/* An empty array is what tells a usage chunk from others at first sight, however it is written and whatever else is empty. */
static void of_what_looks_like_a_usage_chunk_only_that_is_left_out(void **state)
{
    struct buf out;
    const struct keep_form form = {.asked = FACE_CHAT, .stream = true};
    (void)state;
    buf_init(&out, 1 << 20);
#define SPACED "data: {\"choices\" : [ \t ] , \"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n"
#define OTHERS CHUNK("{\"content\":\"[]\"}", "null") CHUNK("{\"content\":\"a\",\"tool_calls\":[ ]}", "null") \
    "data: {\"choices\":[],\"usage\":null}\n\n" ": []\n\n" "data: ]\n\n" "data: []\n\n"
    told(FACE_CHAT, ASKED(",\"stream\":true"), form, SPAN(OTHERS SPACED STREAM DONE), &out);
    assert_string_equal(buf_cstr(&out), OTHERS STREAM DONE);
    buf_free(&out);
}

static void what_other_forms_have_no_room_for_is_kept_by_form(void **state)
{
    static const struct { enum face face; const char *body; bool needs; } all[] = {
        {FACE_CHAT, ASKED(""), false}, {FACE_CHAT, ASKED(",\"logprobs\":true"), true}, {FACE_CHAT, ASKED(",\"logprobs\":false"), false},
        {FACE_CHAT, ASKED(",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"), false},
        {FACE_CHAT, ASKED(",\"modalities\":[\"text\",\"audio\"]"), true},
        {FACE_MESSAGES, ASKED(",\"tools\":[{\"name\":\"f\",\"input_schema\":{}}]"), false},
        {FACE_MESSAGES, ASKED(",\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}]"), true},
        {FACE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":\"a\",\"logprobs\":2}", true}};
    struct arena a;
    struct chat chat;
    struct problem p;
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        arena_init(&a);
        assert_int_equal(parse_chat(all[i].face, span_of(all[i].body), &a, &chat, &p), WEIR_OK);
        assert_int_equal(retell_needs_form(&chat), all[i].needs);
        arena_end(&a);
    }
}

static void an_answer_is_kept_up_to_its_bound(void **state)
{
    char dir[] = "/tmp/weir-unit-XXXXXX", command[60];
    struct cache_stats stats;
    struct cache *cache;
    struct reuse u = {.stores = true, .ttl_ms = 60000};
    struct keep k = {.whole = true, .head = {.provider = "p", .model = "m"}};
    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(cache_new(dir, &cache), WEIR_OK);
    buf_init(&k.body, BOUND_CACHED + 1);
    buf_init(&k.last, 16);
    char *room = buf_room(&k.body, BOUND_CACHED);
    memset(room, ' ', BOUND_CACHED);
    buf_added(&k.body, BOUND_CACHED);
    buf_char(&k.last, '}');
    u.name = cache_name(SPAN("one past"));
    cache_store(cache, &u, &k, &alias, INT64_MAX);
    assert_int_equal(cache_stats(cache, &stats), WEIR_OK);
    assert_int_equal(stats.entries, 0);
    buf_clear(&k.last);
    u.name = cache_name(SPAN("at the edge"));
    cache_store(cache, &u, &k, &alias, INT64_MAX);
    assert_int_equal(cache_stats(cache, &stats), WEIR_OK);
    assert_int_equal(stats.entries, 1);
    buf_free(&k.body);
    buf_free(&k.last);
    cache_free(cache);
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_otherwise_has_the_same_name_and_what_means_otherwise_another),
        cmocka_unit_test(whatever_may_change_the_answer_changes_the_name),
        cmocka_unit_test(what_changes_only_the_way_it_is_told_is_one_name),
        cmocka_unit_test(faces_betas_policies_and_answerers_are_parts_of_the_name),
        cmocka_unit_test(answers_are_found_only_by_those_they_belong_to),
        cmocka_unit_test(nobody_s_answers_are_kept_for_nobody_known),
        cmocka_unit_test(words_of_cache_control_are_followed),
        cmocka_unit_test(a_head_comes_back_as_it_was_told),
        cmocka_unit_test(a_response_goes_into_a_stream_and_back_without_loss),
        cmocka_unit_test(a_stream_comes_back_as_it_was_but_for_a_usage_chunk_that_nobody_asked_for),
        cmocka_unit_test(of_what_looks_like_a_usage_chunk_only_that_is_left_out),
        cmocka_unit_test(what_other_forms_have_no_room_for_is_kept_by_form), cmocka_unit_test(an_answer_is_kept_up_to_its_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
