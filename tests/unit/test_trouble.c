/* What an error means: whom to blame, and whether another may be asked. Words as the providers were seen to use them. */
#include "fcgi/provider/trouble.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void errors_mean_what_their_provider_means_by_them(void **state)
{
    static const struct { enum trouble (*of)(int, const struct fault *); int status; struct fault f; enum trouble is; } all[] = {
        {trouble_openai, 400, {.code = "context_length_exceeded"}, TROUBLE_LENGTH},
        {trouble_openai, 400, {.message = "This model's maximum context length is 8192 tokens"}, TROUBLE_LENGTH},
        {trouble_openai, 400, {.code = "unsupported_value"}, TROUBLE_REQUEST}, {trouble_openai, 422, {.message = "x"}, TROUBLE_REQUEST},
        {trouble_openai, 401, {.code = "invalid_api_key"}, TROUBLE_KEY}, {trouble_openai, 403, {.message = ""}, TROUBLE_KEY},
        {trouble_openai, 404, {.code = "model_not_found"}, TROUBLE_UNKNOWN},
        {trouble_openai, 403, {.code = "model_not_found", .type = "invalid_request_error"}, TROUBLE_UNKNOWN},
        {trouble_openai, 429, {.code = "rate_limit_exceeded"}, TROUBLE_LIMITED}, {trouble_openai, 429, {.code = "429"}, TROUBLE_LIMITED}, /* Azure */
        {trouble_openai, 429, {.type = "insufficient_quota", .code = "credit_balance_exhausted"}, TROUBLE_QUOTA},
        {trouble_openai, 429, {.code = "project_spend_limit_exceeded"}, TROUBLE_QUOTA}, {trouble_openai, 402, {.message = ""}, TROUBLE_QUOTA},
        {trouble_openai, 498, {.code = "capacity_exceeded"}, TROUBLE_LIMITED},                         /* Groq */
        {trouble_openai, 413, {.type = "tokens", .code = "rate_limit_exceeded"}, TROUBLE_LIMITED},     /* Groq */
        {trouble_openai, 413, {.message = "too large"}, TROUBLE_REQUEST}, {trouble_openai, 400, {.code = "content_filter"}, TROUBLE_REQUEST},
        {trouble_openai, 408, {.message = ""}, TROUBLE_BROKEN}, {trouble_openai, 500, {.message = ""}, TROUBLE_BROKEN},
        {trouble_openai, 503, {.message = ""}, TROUBLE_BROKEN}, {trouble_openai, 529, {.message = ""}, TROUBLE_BROKEN},
        {trouble_anthropic, 529, {.type = "overloaded_error"}, TROUBLE_BROKEN},
        {trouble_anthropic, 400, {.type = "invalid_request_error", .message = "prompt is too long: 210000 tokens > 200000 maximum"}, TROUBLE_LENGTH},
        {trouble_anthropic, 400, {.type = "invalid_request_error", .message = "Your credit balance is too low to access the API"}, TROUBLE_QUOTA},
        {trouble_anthropic, 429, {.type = "rate_limit_error"}, TROUBLE_LIMITED}, {trouble_anthropic, 402, {.type = "billing_error"}, TROUBLE_QUOTA},
        {trouble_anthropic, 413, {.type = "request_too_large"}, TROUBLE_REQUEST},
        {trouble_gemini, 400, {.message = "API key not valid. Please pass a valid API key.", .type = "INVALID_ARGUMENT"}, TROUBLE_KEY},
        {trouble_gemini, 400, {.message = "Function call is missing a thought_signature", .type = "INVALID_ARGUMENT"}, TROUBLE_REQUEST},
        /* a caller's own words, quoted */
        {trouble_openai, 400, {.type = "invalid_request_error", .message = "Invalid value: 'insufficient_quota'."}, TROUBLE_REQUEST},
        {trouble_anthropic, 400, {.type = "invalid_request_error", .message = "role: unexpected 'billing_error'"}, TROUBLE_REQUEST},
        {trouble_gemini, 400, {.message = "Invalid value at 'tools' (TYPE_ENUM), \"API key not valid\""}, TROUBLE_REQUEST},
        {trouble_gemini, 429, {.type = "RESOURCE_EXHAUSTED"}, TROUBLE_LIMITED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const struct fault f = all[i].f;
        if (all[i].of(all[i].status, &f) != all[i].is) fail_msg("%zu: %d %s", i, all[i].status, f.message);
    }
}

static void only_a_faulty_request_ends_the_search(void **state)
{
    (void)state;
    for (int t = TROUBLE_UNREACHED; t <= TROUBLE_OURS; t++)
        assert_int_equal(trouble_may_move_on((enum trouble)t), t != TROUBLE_LENGTH && t != TROUBLE_REQUEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_mean_what_their_provider_means_by_them),
        cmocka_unit_test(only_a_faulty_request_ends_the_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
