/* The error table is complete, its statuses are the promised ones, and a problem never splits a character. */
#include "fcgi/base/err.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void every_error_has_an_answer(void **state)
{
    (void)state;
    for (int e = 0; e < WEIR_ERR_COUNT; e++) {
        const struct weir_err_info *i = weir_err_info((enum weir_err)e);
        assert_non_null(i->type);
        assert_non_null(i->anthropic);
        assert_non_null(i->text);
        assert_true(i->status == (e ? i->status : 200) && i->status >= 200 && i->status < 600);
        assert_true(e == WEIR_OK || e == WEIR_INVALID || i->code);
    }
    assert_int_equal(weir_err_info((enum weir_err)9999)->status, 500);
    assert_int_equal(weir_err_info((enum weir_err)-1)->status, 500);
}

static void statuses_and_codes_are_the_promised_ones(void **state)
{
    (void)state;
    static const struct { enum weir_err err; int status; const char *type, *anthropic, *code; } want[] = {
        {WEIR_UNAUTHENTICATED, 401, "invalid_request_error", "authentication_error", "invalid_api_key"},
        {WEIR_MODEL_FORBIDDEN, 403, "invalid_request_error", "permission_error", "model_not_allowed"},
        {WEIR_ROLE_FORBIDDEN, 403, "invalid_request_error", "permission_error", "role_not_allowed"},
        {WEIR_MODEL_UNKNOWN, 404, "invalid_request_error", "not_found_error", "model_not_found"},
        {WEIR_METHOD, 405, "invalid_request_error", "invalid_request_error", "method_not_allowed"},
        {WEIR_LENGTH_REQUIRED, 411, "invalid_request_error", "invalid_request_error", "length_required"},
        {WEIR_TOO_LARGE, 413, "invalid_request_error", "request_too_large", "request_too_large"},
        {WEIR_NOT_JSON, 415, "invalid_request_error", "invalid_request_error", "unsupported_media_type"},
        {WEIR_UPSTREAM, 502, "server_error", "api_error", "upstream_error"},
        {WEIR_OVERLOADED, 503, "server_error", "overloaded_error", "overloaded"},
        {WEIR_UPSTREAM_TIMEOUT, 504, "server_error", "timeout_error", "upstream_timeout"},
        {WEIR_STORAGE, 507, "server_error", "api_error", "storage_full"},
        {WEIR_NOMEM, 500, "server_error", "api_error", "internal_error"},
    };
    for (size_t n = 0; n < sizeof want / sizeof *want; n++) {
        const struct weir_err_info *i = weir_err_info(want[n].err);
        assert_int_equal(i->status, want[n].status);
        assert_string_equal(i->type, want[n].type);
        assert_string_equal(i->anthropic, want[n].anthropic);
        assert_string_equal(i->code, want[n].code);
    }
    assert_int_equal(weir_err_info(WEIR_INVALID)->status, 400);
    assert_null(weir_err_info(WEIR_INVALID)->code);
}

static void problem_is_set_whole(void **state)
{
    (void)state;
    struct problem p = {.retry_after_s = 9};
    assert_int_equal(problem_set(&p, WEIR_INVALID, "messages[2].role", "must be %s", "a string"), WEIR_INVALID);
    assert_int_equal(p.err, WEIR_INVALID);
    assert_string_equal(p.param, "messages[2].role");
    assert_string_equal(p.text, "must be a string");
    assert_int_equal(p.retry_after_s, 0);
    problem_set(&p, WEIR_OVERLOADED, NULL, "again: %s", p.text);
    assert_string_equal(p.param, "");
    assert_string_equal(p.text, "again: must be a string");
}

static void long_problem_is_cut_between_characters(void **state)
{
    (void)state;
    for (int lead = 0; lead < 4; lead++) {
        char text[1000] = "aaaa";
        for (size_t i = (size_t)lead; i + 4 < sizeof text; i += 4)
            memcpy(text + i, "\xF0\x9F\x98\x80", 5);
        struct problem p;
        problem_set(&p, WEIR_INVALID, text, "%s", text);
        assert_true(text_is_utf8(span_of(p.text)));
        assert_true(text_is_utf8(span_of(p.param)));
        assert_in_range(strlen(p.text), sizeof p.text - 4, sizeof p.text - 1);
        assert_in_range(strlen(p.param), sizeof p.param - 4, sizeof p.param - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_an_answer),
        cmocka_unit_test(statuses_and_codes_are_the_promised_ones),
        cmocka_unit_test(problem_is_set_whole),
        cmocka_unit_test(long_problem_is_cut_between_characters),
    };
    return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
