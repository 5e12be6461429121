/* TokenGuard's form becomes a limit exactly, or is refused by the name of the field; the query is read as it was written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "admin/doc_limits.c"
#include "admin/field.c"
#include "admin/same.c"
#include "admin/web_budget.c"
#include "admin/web_request.c"

static struct arena memory;

struct manager web_manager(struct web_way *w)
{
    (void)w;
    return (struct manager){.db = NULL};
}

static int empty_memory(void **state)
{
    (void)state;
    arena_end(&memory);
    return 0;
}

static void what_is_written_is_the_limit(void **state)
{
    static const struct { const char *body, *scope, *mode; int64_t amount, refill_nano; } all[] = {
        {"{\"scope\":\"team\",\"id\":\"data\",\"capacity\":5000,\"refillPerSec\":25}", "team/data", "soft", 5000, 25000000000},
        {"{\"scope\":\"global\",\"capacity\":1,\"refillPerSec\":0.000000001}", "global", "soft", 1, 1},
        {"{\"scope\":\"global\",\"id\":null,\"capacity\":1,\"refillPerSec\":33.333333333}", "global", "soft", 1, 33333333333},
        {"{\"scope\":\"user\",\"id\":\"*\",\"capacity\":1000000000000000000,\"refillPerSec\":9000000000,\"mode\":\"hard\"}", "user/*",
         "hard", 1000000000000000000, 9000000000000000000},
        {" {\"id\":\"a\\/b\\u0020c\",\"scope\":\"t\\u0065am\",\"refillPerSec\":0.10,\"capacity\":7 } ", "team/a/b c", "soft", 7, 100000000},
        {"{\"scope\":\"ip\",\"id\":\"::1/64\",\"capacity\":7,\"refillPerSec\":1}", "ip/::1/64", "soft", 7, 1000000000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct limit_rule l;
        struct problem p = {0};
        assert_int_equal(parse(span_of(all[i].body), &memory, &l, &p), WEIR_OK);
        assert_string_equal(l.scope, all[i].scope);
        assert_string_equal(l.metric, "tokens");
        assert_string_equal(l.shape, "bucket");
        assert_string_equal(l.mode, all[i].mode);
        assert_int_equal(l.amount, all[i].amount);
        assert_int_equal(l.refill_nano, all[i].refill_nano);
    }
}

static void a_fault_has_the_field_s_name_here(void **state)
{
    static const struct { const char *body, *param; } all[] = {
        {"{\"scope\":\"team\",\"id\":\"d\",\"capacity\":5,\"refillPerSec\":1e3}", "refillPerSec"},
        {"{\"scope\":\"team\",\"id\":\"d\",\"capacity\":5,\"refillPerSec\":0}", "refillPerSec"},
        {"{\"scope\":\"team\",\"id\":\"d\",\"capacity\":5,\"refillPerSec\":1,\"refill_per_sec\":1}", "refill_per_sec"},
        {"{\"scope\":\"team\",\"id\":\"d\",\"capacity\":9223372036854775808,\"refillPerSec\":1}", "capacity"},
        {"{\"scope\":\"team\",\"id\":\"\\ud800\\u0000\",\"capacity\":5,\"refillPerSec\":1}", "id"},
        {"{\"scope\":\"team\",\"id\":\"d\",\"capacity\":5}", "refillPerSec"},
        {"[]", ""}, {"", ""}, {"{", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct limit_rule l;
        struct problem p = {0};
        assert_int_equal(parse(span_of(all[i].body), &memory, &l, &p), WEIR_INVALID);
        assert_string_equal(p.param, all[i].param);
        assert_true(strncmp(p.text, *p.param ? p.param : "The request body", strlen(*p.param ? p.param : "The")) == 0);
    }
}

static void a_query_is_read_whole_or_refused(void **state)
{
    static const char *const names[] = {"scope", "id", NULL};
    static const struct { const char *query; enum weir_err err; const char *scope, *id; } all[] = {
        {"", WEIR_OK, NULL, NULL},
        {"&&", WEIR_OK, NULL, NULL},
        {"scope=team&id=data", WEIR_OK, "team", "data"},
        {"id=a%2Fb+c%26d%3De&scope=user", WEIR_OK, "user", "a/b c&d=e"},
        {"scope", WEIR_OK, "", NULL},
        {"id==&scope=", WEIR_OK, "", "="},
        {"%73cope=%c3%bc", WEIR_OK, "\xc3\xbc", NULL},
        {"scope=a&scope=a", WEIR_INVALID, NULL, NULL},
        {"team=data", WEIR_INVALID, NULL, NULL},
        {"=x", WEIR_INVALID, NULL, NULL},
        {"id=%zz", WEIR_INVALID, NULL, NULL},
        {"id=%f", WEIR_INVALID, NULL, NULL},
        {"id=%ff", WEIR_INVALID, NULL, NULL},
        {"id=%00", WEIR_INVALID, NULL, NULL},
        {"%00=x", WEIR_INVALID, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const struct web_request r = {.query = span_of(all[i].query)};
        const char *got[2];
        struct problem p = {0};
        assert_int_equal(web_request_query(&r, names, got, &memory, &p), all[i].err);
        if (all[i].err != WEIR_OK) {
            assert_true(*p.text);
            continue;
        }
        assert_true(got[0] && all[i].scope ? strcmp(got[0], all[i].scope) == 0 : got[0] == all[i].scope);
        assert_true(got[1] && all[i].id ? strcmp(got[1], all[i].id) == 0 : got[1] == all[i].id);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_is_written_is_the_limit, empty_memory),
        cmocka_unit_test_teardown(a_fault_has_the_field_s_name_here, empty_memory),
        cmocka_unit_test_teardown(a_query_is_read_whole_or_refused, empty_memory),
    };
    arena_init(&memory);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
