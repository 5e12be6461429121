/* Rate-limit headers become limits of the windows that they are counted in, and nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "admin/call.c"
#include "admin/doc_limits.c"
#include "admin/field.c"
#include "admin/limit_sync.c"

static const struct limit_header none = {-1, -1, -1};

static struct limit_header says(int64_t limit, int64_t resets_in_ms) { return (struct limit_header){limit, 0, resets_in_ms}; }

static void each_metric_has_the_window_that_it_is_counted_in(void **state)
{
    static const struct provider_row openai = {.name = "o", .dialect = "openai"}, groq = {.name = "g", .dialect = "groq"};
    const struct {
        const struct provider_row *provider;
        struct limit_headers read;
        int64_t requests, requests_s, tokens; /* 0: no limit */
    } all[] = {
        {&openai, {says(500, 120), says(200000, 360000), none, none, -1}, 500, 60, 200000}, /* "6m0s" is OpenAI's own example */
        {&openai, {says(200, 432000), none, none, none, -1}, 200, 86400, 0},
        {&openai, {says(60, 60000), none, none, none, -1}, 60, 60, 0},
        {&openai, {says(60, -1), none, none, none, -1}, 60, 60, 0},
        {&groq, {says(14400, 6000), says(6000, 70), none, none, -1}, 14400, 86400, 6000},
        {&openai, {says(50, 1200), none, says(30000, 1), says(8000, 1), -1}, 50, 60, 38000},
        {&openai, {none, says(40000, 1), says(30000, 1), says(8000, 1), -1}, 0, 0, 40000},
        {&openai, {none, none, says(30000, 1), none, -1}, 0, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct limit_sync s = {.provider = all[i].provider, .read = all[i].read};
        struct problem p;
        struct arena memory;
        int at = 0;
        arena_init(&memory);
        assert_int_equal(conclude(&s, &memory, &p), WEIR_OK);
        assert_int_equal(s.count, (all[i].requests > 0) + (all[i].tokens > 0));
        assert_int_equal(tells(&s.read), s.count > 0);
        if (all[i].requests) {
            assert_string_equal(s.limits[at].metric, "requests");
            assert_int_equal(s.limits[at].amount, all[i].requests);
            assert_int_equal(s.limits[at++].seconds, all[i].requests_s);
        }
        if (all[i].tokens) {
            assert_string_equal(s.limits[at].metric, "tokens");
            assert_int_equal(s.limits[at].amount, all[i].tokens);
            assert_int_equal(s.limits[at].seconds, 60);
        }
        arena_end(&memory);
    }
}

static void without_a_name_it_is_the_first_that_speaks_openai_s_dialect(void **state)
{
    static const struct provider_row rows[] = {{.name = "a", .dialect = "groq"}, {.name = "b", .dialect = "openai"}, {.name = "c", .dialect = "openai"}};
    const struct snapshot snap = {.providers = rows, .provider_count = 3}, bare = {.providers = rows, .provider_count = 1};
    (void)state;
    assert_ptr_equal(limit_sync_provider(&snap, NULL), &rows[1]);
    assert_ptr_equal(limit_sync_provider(&snap, "a"), &rows[0]);
    assert_null(limit_sync_provider(&snap, "d"));
    assert_null(limit_sync_provider(&bare, NULL));
}

static void what_a_provider_says_is_quoted_only_where_it_can_do_no_harm(void **state)
{
    struct secret *secret = secret_new(SPAN("sk-0123456789-secret"));
    const struct upstream_key key = {.name = "k", .secret = secret};
    const struct called c = {.key = &key}, keyless = {.key = NULL};
    static const struct { const char *said; bool shown, shown_keyless; } all[] = {
        {"Too many of them.", true, true}, {"Bad key sk-0123456789-secret.", false, true}, {"\033[2J", false, false}, {"two\nlines", false, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct answer a = {.trouble = TROUBLE_REQUEST};
        strcpy(a.fault.message, all[i].said);
        assert_string_equal(quote(&c, &a), all[i].shown ? all[i].said : "");
        assert_string_equal(quote(&keyless, &a), all[i].shown_keyless ? all[i].said : "");
    }
    secret_free(secret);
}

static int start(void **state)
{
    (void)state;
    return secret_start();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_metric_has_the_window_that_it_is_counted_in),
        cmocka_unit_test(without_a_name_it_is_the_first_that_speaks_openai_s_dialect),
        cmocka_unit_test(what_a_provider_says_is_quoted_only_where_it_can_do_no_harm),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
