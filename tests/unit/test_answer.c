/* Answers: nothing that goes into a head can end its line, an error has its four members whatever went wrong, and what was
 * begun as a stream is not answered twice. */
#include "fcgi/stage/answer.c"

#include "fcgi/base/jscan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* ---- the door ---- */

struct conn { struct buf out; bool gone; };

enum weir_err conn_write(struct conn *c, struct span bytes)
{
    return c->gone ? WEIR_GONE : buf_span(&c->out, bytes);
}

void conn_write_no_memory(struct conn *c, const char *request_id)
{
    (void)request_id;
    buf_str(&c->out, "no memory");
}

static struct conn door;

static int open_door(void **state)
{
    (void)state;
    door.gone = false;
    buf_init(&door.out, 1 << 20);
    return 0;
}

static int close_door(void **state)
{
    (void)state;
    buf_free(&door.out);
    return 0;
}

static struct request request_of(enum method method)
{
    return (struct request){.conn = &door, .method = method, .id = "req_1"};
}

/* ---- what was sent ---- */

/* The head's lines up to the empty one; fails if one holds what a line may not. Returns what follows. */
static struct span check_head(int *lines)
{
    struct span s = buf_all(&door.out);
    for (*lines = 0;; ++*lines) {
        const char *end = memmem(s.at, s.len, "\r\n", 2);
        assert_non_null(end);
        struct span line = {s.at, (size_t)(end - s.at)};
        s = (struct span){end + 2, s.len - line.len - 2};
        if (!line.len) return s;
        assert_true(text_is_header_safe(line));
        assert_non_null(memmem(line.at, line.len, ": ", 2));
    }
}

static bool has_line(const char *line)
{
    char want[400];
    snprintf(want, sizeof want, "%s\r\n", line);
    const char *text = buf_cstr(&door.out), *at = strstr(text, want), *end = strstr(text, "\r\n\r\n");
    return at && at <= end && (at == text || at[-1] == '\n');
}

static struct jval member(struct span body, const char *name)
{
    struct jval root;
    struct jfault fault;
    assert_int_equal(jscan_check(body, 64, &root, &fault), WEIR_OK);
    struct jval error = jscan_find(root, "error");
    assert_int_equal(error.kind, JSON_OBJECT);
    assert_int_equal(jscan_count(error), 4);
    return jscan_find(error, name);
}

static void expect_error(struct span body, const char *message, const char *type, const char *param, const char *code)
{
    assert_true(jval_is(member(body, "message"), message));
    assert_true(jval_is(member(body, "type"), type));
    if (param) assert_true(jval_is(member(body, "param"), param));
    else assert_int_equal(member(body, "param").kind, JSON_NULL);
    if (code) assert_true(jval_is(member(body, "code"), code));
    else assert_int_equal(member(body, "code").kind, JSON_NULL);
}

static const struct provider_row provider = {.name = "first"};
static const struct target target = {.provider = &provider, .model = "real"};

/* ---- whole answers ---- */

static void a_json_answer_has_its_length_and_ids(void **state)
{
    struct request r = request_of(METHOD_POST);
    struct outcome o = {.target = &target, .attempts = 2};
    int lines;
    (void)state;
    assert_int_equal(answer_json(&r, 200, SPAN("{\"a\":1}"), &o, NULL), WEIR_OK);
    assert_true(span_is(check_head(&lines), "{\"a\":1}"));
    assert_int_equal(lines, 10);
    assert_true(has_line("X-Content-Type-Options: nosniff") && has_line("Cache-Control: no-store"));
    assert_int_equal(strncmp(door.out.at, "Status: 200 OK\r\n", 16), 0);
    assert_true(has_line("Content-Type: application/json") && has_line("Content-Length: 7") && has_line("x-request-id: req_1"));
    assert_true(has_line("x-weir-provider: first") && has_line("x-weir-model: real") && has_line("x-weir-attempts: 2") && has_line("x-weir-cache: bypass"));
}

static void an_answer_of_no_model_says_nothing_of_one(void **state)
{
    struct request r = request_of(METHOD_GET);
    struct outcome none = {.target = NULL};
    int lines;
    (void)state;
    assert_int_equal(answer_json(&r, 404, SPAN("{}"), &none, "GET, HEAD"), WEIR_OK);
    assert_true(span_is(check_head(&lines), "{}"));
    assert_int_equal(lines, 7);
    assert_true(has_line("Status: 404 Not Found") && has_line("Allow: GET, HEAD"));
    buf_clear(&door.out);
    assert_int_equal(answer_json(&r, 200, SPAN("{}"), NULL, NULL), WEIR_OK);
    check_head(&lines);
    assert_int_equal(lines, 6);
}

static void head_and_options_have_no_body(void **state)
{
    struct request r = request_of(METHOD_HEAD);
    struct problem p;
    int lines;
    (void)state;
    assert_int_equal(answer_json(&r, 200, SPAN("{\"a\":1}"), NULL, NULL), WEIR_OK);
    assert_int_equal(check_head(&lines).len, 0);
    assert_true(has_line("Content-Length: 7"));
    buf_clear(&door.out);
    problem_set(&p, WEIR_NOT_FOUND, NULL, NULL);
    assert_int_equal(answer_problem(&r, &p, NULL), WEIR_OK);
    assert_int_equal(check_head(&lines).len, 0);
    assert_true(has_line("Status: 404 Not Found"));
    buf_clear(&door.out);
    r = request_of(METHOD_OPTIONS);
    assert_int_equal(answer_options(&r, "POST, OPTIONS"), WEIR_OK);
    assert_int_equal(check_head(&lines).len, 0);
    assert_true(has_line("Status: 204 No Content") && has_line("Allow: POST, OPTIONS") && has_line("x-request-id: req_1"));
    assert_null(strstr(buf_cstr(&door.out), "Content-Length"));
}

static void no_value_can_end_its_line(void **state)
{
    static const struct { const char *value, *line; } all[] = {
        {"a\r\nX-Evil: 1\r\n\r\n<b>", "x-weir-model: a%0D%0AX-Evil: 1%0D%0A%0D%0A<b>"}, {"a\nb", "x-weir-model: a%0Ab"}, {"\xC3\xA9", "x-weir-model: %C3%A9"},
        {"\xFF\x01\x7F", "x-weir-model: %FF%01%7F"}, {"50% off", "x-weir-model: 50% off"}, {"50%\n", "x-weir-model: 50%25%0A"}, {"a/b:c", "x-weir-model: a/b:c"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct request r = request_of(METHOD_POST);
        const struct provider_row odd = {.name = all[i].value};
        const struct target t = {.provider = &odd, .model = all[i].value};
        struct outcome o = {.target = &t, .attempts = 1};
        struct problem p;
        int lines;
        buf_clear(&door.out);
        assert_int_equal(answer_json(&r, 200, SPAN("{}"), &o, NULL), WEIR_OK);
        assert_true(span_is(check_head(&lines), "{}"));
        assert_int_equal(lines, 10);
        assert_true(has_line(all[i].line));
        buf_clear(&door.out);
        problem_set(&p, WEIR_UPSTREAM, "a\r\nb", "a\r\nX-Evil: 1");
        assert_int_equal(answer_problem(&r, &p, all[i].value), WEIR_OK);
        check_head(&lines);
        assert_int_equal(lines, 7);
        buf_clear(&door.out);
        o.end = END_FAILED;
        o.status = 502;
        o.problem = p;
        assert_int_equal(answer_outcome(&r, &o), WEIR_OK);
        check_head(&lines);
        assert_int_equal(lines, 10);
        buf_clear(&door.out);
        assert_int_equal(answer_stream_begin(&r, &o), WEIR_OK);
        assert_int_equal(check_head(&lines).len, 0);
        assert_int_equal(lines, 9);
    }
}

/* ---- errors ---- */

static void every_error_has_four_members_and_its_status(void **state)
{
    struct request r = request_of(METHOD_POST);
    (void)state;
    for (int err = WEIR_INVALID; err < WEIR_ERR_COUNT; err++) {
        const struct weir_err_info *info = weir_err_info((enum weir_err)err);
        struct problem p;
        char line[60];
        int lines;
        buf_clear(&door.out);
        problem_set(&p, (enum weir_err)err, NULL, NULL);
        assert_int_equal(answer_problem(&r, &p, NULL), WEIR_OK);
        struct span body = check_head(&lines);
        expect_error(body, info->text, info->type, NULL, info->code);
        snprintf(line, sizeof line, "Content-Length: %zu", body.len);
        assert_true(has_line(line) && has_line("Content-Type: application/json"));
        snprintf(line, sizeof line, "Status: %d ", info->status);
        assert_non_null(strstr(buf_cstr(&door.out), line));
        assert_null(strstr(buf_cstr(&door.out), " Refused"));
        assert_null(strstr(buf_cstr(&door.out), " Failed"));
        assert_int_equal(has_line("x-should-retry: false"), info->final);
        assert_null(strstr(buf_cstr(&door.out), "retry-after"));
    }
}

static void what_waiting_helps_says_how_long(void **state)
{
    struct request r = request_of(METHOD_POST);
    struct problem p;
    (void)state;
    problem_set(&p, WEIR_OVERLOADED, NULL, NULL);
    p.retry_after_s = 7;
    assert_int_equal(answer_problem(&r, &p, NULL), WEIR_OK);
    assert_true(has_line("retry-after: 7"));
    assert_false(has_line("x-should-retry: false"));
}

static void an_errors_text_is_json_whatever_it_holds(void **state)
{
    struct request r = request_of(METHOD_POST);
    struct problem p;
    int lines;
    (void)state;
    problem_set(&p, WEIR_INVALID, "a\"b\\\n\xFF", "q\"\\ \x01 \xC3\xA9 </script> \xFF.");
    assert_int_equal(answer_problem(&r, &p, NULL), WEIR_OK);
    expect_error(check_head(&lines), "q\"\\ \x01 \xC3\xA9 </script> \xEF\xBF\xBD.", "invalid_request_error", "a\"b\\\n\xEF\xBF\xBD", NULL);
    /* the longest there can be, all of it escaped */
    memset(&p.text, 1, sizeof p.text - 1);
    memset(&p.param, 1, sizeof p.param - 1);
    buf_clear(&door.out);
    assert_int_equal(answer_problem(&r, &p, NULL), WEIR_OK);
    assert_int_equal(member(check_head(&lines), "message").text.len, 6 * (sizeof p.text - 1) + 2);
}

/* ---- what the relay ended with ---- */

static void an_answer_that_is_whole_goes_out_as_it_is(void **state)
{
    struct request r = request_of(METHOD_POST);
    struct outcome o = {.end = END_OK, .status = 200, .target = &target, .attempts = 1};
    int lines;
    (void)state;
    buf_init(&o.body, 100);
    buf_str(&o.body, "{\"choices\":[]}\n");
    assert_int_equal(answer_outcome(&r, &o), WEIR_OK);
    assert_true(span_is(check_head(&lines), "{\"choices\":[]}\n"));
    assert_true(has_line("Status: 200 OK") && has_line("Content-Length: 15"));
    buf_free(&o.body);
}

static void an_upstreams_error_keeps_its_status_words_and_bytes(void **state)
{
    struct request r = request_of(METHOD_POST);
    struct outcome o = {.end = END_FAILED, .status = 429, .target = &target, .attempts = 1,
                        .fault = {.message = "slow \"down\"", .type = "rate_limit_error", .code = "slow_down"}};
    int lines;
    (void)state;
    problem_set(&o.problem, WEIR_UPSTREAM, NULL, NULL);
    o.problem.retry_after_s = 60;
    buf_init(&o.body, 100);
    assert_int_equal(answer_outcome(&r, &o), WEIR_OK);
    expect_error(check_head(&lines), "slow \"down\"", "rate_limit_error", NULL, "slow_down");
    assert_true(has_line("Status: 429 Too Many Requests") && has_line("retry-after: 60") && has_line("x-weir-provider: first"));
    assert_false(has_line("x-should-retry: false"));
    buf_clear(&door.out);
    buf_str(&o.body, "{ \"error\" : {}}");
    assert_int_equal(answer_outcome(&r, &o), WEIR_OK);
    assert_true(span_is(check_head(&lines), "{ \"error\" : {}}"));
    assert_true(has_line("Content-Length: 15"));
    buf_free(&o.body);
    /* without words of its own */
    o.fault = (struct fault){.type = "x", .code = "y", .param = "z"};
    o.status = 502;
    buf_clear(&door.out);
    assert_int_equal(answer_outcome(&r, &o), WEIR_OK);
    expect_error(check_head(&lines), weir_err_info(WEIR_UPSTREAM)->text, "server_error", NULL, "upstream_error");
    /* with words, but no type */
    o.fault = (struct fault){.message = "m", .code = "y", .param = "z"};
    buf_clear(&door.out);
    assert_int_equal(answer_outcome(&r, &o), WEIR_OK);
    expect_error(check_head(&lines), "m", "server_error", "z", "y");
}

static void a_refusal_of_ours_says_that_waiting_does_not_help(void **state)
{
    struct request r = request_of(METHOD_POST);
    struct outcome o = {.end = END_REFUSED, .status = 404};
    int lines;
    (void)state;
    problem_set(&o.problem, WEIR_MODEL_UNKNOWN, "model", "The model \"x\" does not exist.");
    assert_int_equal(answer_outcome(&r, &o), WEIR_OK);
    expect_error(check_head(&lines), "The model \"x\" does not exist.", "invalid_request_error", "model", "model_not_found");
    assert_true(has_line("Status: 404 Not Found") && has_line("x-should-retry: false"));
}

static void a_stream_that_was_begun_gets_its_tail_and_no_second_head(void **state)
{
    struct request r = request_of(METHOD_POST);
    (void)state;
    for (int end = END_OK; end <= END_TRUNCATED; end++) {
        struct outcome o = {.end = (enum end)end, .status = 200, .begun = true, .target = &target};
        buf_clear(&door.out);
        buf_init(&o.tail, 100);
        buf_str(&o.tail, "data: [DONE]\n\n");
        assert_int_equal(answer_outcome(&r, &o), WEIR_OK);
        assert_string_equal(buf_cstr(&door.out), "data: [DONE]\n\n");
        buf_free(&o.tail);
    }
}

static void a_streams_head_has_no_length(void **state)
{
    struct request r = request_of(METHOD_POST);
    struct outcome o = {.target = &target, .attempts = 3, .begun = true};
    int lines;
    (void)state;
    assert_int_equal(answer_stream_begin(&r, &o), WEIR_OK);
    assert_int_equal(check_head(&lines).len, 0);
    assert_int_equal(lines, 9);
    assert_true(has_line("Status: 200 OK") && has_line("Content-Type: text/event-stream; charset=utf-8") && has_line("Cache-Control: no-cache"));
    assert_true(has_line("x-weir-attempts: 3"));
}

static void an_error_event_is_one_data_line(void **state)
{
    struct buf out;
    struct problem p;
    struct fault f = {.message = "a\nb\r\n\ndata: [DONE]\n\n", .type = "t"};
    (void)state;
    buf_init(&out, 10000);
    problem_set(&p, WEIR_UPSTREAM, NULL, "It broke off.");
    answer_error_event(FACE_CHAT, "req_1", &p, &f, -1, &out);
    assert_int_equal(strncmp(buf_cstr(&out), "data: {", 7), 0);
    assert_int_equal(strcspn(out.at, "\r\n"), out.len - 2);
    assert_memory_equal(out.at + out.len - 2, "\n\n", 2);
    expect_error((struct span){out.at + 6, out.len - 8}, f.message, "t", NULL, NULL);
    buf_clear(&out);
    answer_error_event(FACE_COMPLETIONS, "req_1", &p, NULL, -1, &out);
    expect_error((struct span){out.at + 6, out.len - 8}, "It broke off.", "server_error", NULL, "upstream_error");
    buf_free(&out);
}

/* What is told on Anthropic's face, be it ours, Anthropic's own or an OpenAI upstream's; and the other way round. */
static void each_family_is_told_in_its_own_words(void **state)
{
    static const struct { bool anthropic; struct fault f; enum weir_err err; const char *type; } all[] = {
        {true, {.message = ""}, WEIR_UNAUTHENTICATED, "authentication_error"}, {true, {.message = ""}, WEIR_QUOTA, "rate_limit_error"},
        {true, {.message = "m", .type = "overloaded_error"}, WEIR_UPSTREAM, "overloaded_error"},
        {true, {.message = "m", .type = "invalid_request_error", .code = "x"}, WEIR_UPSTREAM, "invalid_request_error"},
        {true, {.message = "m", .type = "server_error"}, WEIR_UPSTREAM, "api_error"},
        {true, {.message = "m", .type = "service_unavailable_error"}, WEIR_UPSTREAM, "overloaded_error"},
        {true, {.message = "m", .type = "insufficient_quota"}, WEIR_UPSTREAM, "rate_limit_error"},
        {true, {.message = "m"}, WEIR_UPSTREAM, "api_error"},
        {false, {.message = "m", .type = "overloaded_error"}, WEIR_UPSTREAM, "server_error"},
        {false, {.message = "m", .type = "not_found_error"}, WEIR_UPSTREAM, "invalid_request_error"},
        {false, {.message = "m", .type = "tokens"}, WEIR_UPSTREAM, "tokens"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct problem p;
        problem_set(&p, all[i].err, NULL, NULL);
        assert_string_equal(answer_error_words(all[i].anthropic, &p, &all[i].f).type, all[i].type);
    }
}

static void anthropics_error_has_its_form_and_names_the_request(void **state)
{
    struct request r = request_of(METHOD_POST);
    struct problem p;
    int lines;
    (void)state;
    r.is_anthropic = true;
    problem_set(&p, WEIR_INVALID, "max_tokens", "max_tokens is missing.");
    assert_int_equal(answer_problem(&r, &p, NULL), WEIR_OK);
    assert_true(span_is(check_head(&lines), "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
                                            "\"message\":\"max_tokens is missing.\"},\"request_id\":\"req_1\"}"));
    assert_non_null(strstr(buf_cstr(&door.out), "\r\nrequest-id: req_1\r\n"));
}

static void error_events_are_of_the_callers_face(void **state)
{
    struct buf out;
    struct problem p;
    (void)state;
    buf_init(&out, 10000);
    problem_set(&p, WEIR_UPSTREAM, NULL, "Broken.");
    answer_error_event(FACE_MESSAGES, "req_1", &p, NULL, -1, &out);
    assert_string_equal(buf_cstr(&out), "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"Broken.\"},"
                                        "\"request_id\":\"req_1\"}\n\n");
    buf_clear(&out);
    answer_error_event(FACE_RESPONSES, "req_1", &p, NULL, 41, &out);
    assert_string_equal(buf_cstr(&out), "event: error\ndata: {\"type\":\"error\",\"sequence_number\":42,\"code\":\"upstream_error\","
                                        "\"message\":\"Broken.\",\"param\":null,\"error\":{\"message\":\"Broken.\",\"type\":\"server_error\","
                                        "\"param\":null,\"code\":\"upstream_error\"}}\n\n");
    buf_free(&out);
}

static void a_client_that_has_gone_is_told_of(void **state)
{
    struct request r = request_of(METHOD_POST);
    struct outcome o = {.end = END_OK, .status = 200, .begun = true};
    struct problem p;
    (void)state;
    door.gone = true;
    problem_set(&p, WEIR_NOT_FOUND, NULL, NULL);
    assert_int_equal(answer_json(&r, 200, SPAN("{}"), NULL, NULL), WEIR_GONE);
    assert_int_equal(answer_problem(&r, &p, NULL), WEIR_GONE);
    assert_int_equal(answer_stream_begin(&r, &o), WEIR_GONE);
    assert_int_equal(answer_outcome(&r, &o), WEIR_GONE);
}

#define THROUGH_THE_DOOR(test) cmocka_unit_test_setup_teardown(test, open_door, close_door)

int main(void)
{
    const struct CMUnitTest tests[] = {
        THROUGH_THE_DOOR(a_json_answer_has_its_length_and_ids),
        THROUGH_THE_DOOR(an_answer_of_no_model_says_nothing_of_one),
        THROUGH_THE_DOOR(head_and_options_have_no_body),
        THROUGH_THE_DOOR(no_value_can_end_its_line),
        THROUGH_THE_DOOR(every_error_has_four_members_and_its_status),
        THROUGH_THE_DOOR(what_waiting_helps_says_how_long),
        THROUGH_THE_DOOR(an_errors_text_is_json_whatever_it_holds),
        THROUGH_THE_DOOR(an_answer_that_is_whole_goes_out_as_it_is),
        THROUGH_THE_DOOR(an_upstreams_error_keeps_its_status_words_and_bytes),
        THROUGH_THE_DOOR(a_refusal_of_ours_says_that_waiting_does_not_help),
        THROUGH_THE_DOOR(a_stream_that_was_begun_gets_its_tail_and_no_second_head),
        THROUGH_THE_DOOR(a_streams_head_has_no_length),
        THROUGH_THE_DOOR(an_error_event_is_one_data_line),
        cmocka_unit_test(each_family_is_told_in_its_own_words),
        THROUGH_THE_DOOR(anthropics_error_has_its_form_and_names_the_request),
        cmocka_unit_test(error_events_are_of_the_callers_face),
        THROUGH_THE_DOOR(a_client_that_has_gone_is_told_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
