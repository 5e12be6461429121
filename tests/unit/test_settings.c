/* Settings: the table is right by its own rules, bad values are named, odd rows do no harm. */
#include "sql/db.c"
#include "sql/settings.c"

#include "tests/unit/sql_room.h"

static enum weir_err check(const char *name, const char *json)
{
    struct jval v;
    struct jfault fault;
    const char *expected = NULL;
    assert_int_equal(jscan_check(span_of(json), 8, &v, &fault), WEIR_OK);
    enum weir_err err = setting_check(setting_find(span_of(name)), v, &expected);
    assert_true((err == WEIR_OK) == (expected == NULL));
    return err;
}

static void every_default_is_right(void **state)
{
    (void)state;
    for (const struct setting_def *d = setting_defs; d->name; d++) {
        assert_int_equal(check(d->name, d->standard), WEIR_OK);
        assert_non_null(d->expected);
        assert_non_null(d->meaning);
    }
    assert_null(setting_find(SPAN("nonesuch")));
    assert_null(setting_find(SPAN_NONE));
}

static void values_are_checked(void **state)
{
    static const struct { const char *name, *json; bool good; } cases[] = {
        {"anonymous", "true", true}, {"anonymous", "1", false}, {"anonymous", "\"true\"", false},
        {"on_disconnect", "\"drain\"", true}, {"on_disconnect", "\"dr\"", false}, {"on_disconnect", "\"\"", false},
        {"on_disconnect", "\"cancel|drain\"", false}, {"on_disconnect", "null", false},
        {"max_body", "1024", true}, {"max_body", "1023", false}, {"max_body", "268435456", true},
        {"max_body", "268435457", false}, {"max_body", "1e6", false}, {"max_body", "99999999999999999999", false},
        {"keepalive_s", "0", false}, {"keepalive_s", "300", true},
        {"cors_origins", "[]", true}, {"cors_origins", "[\"*\"]", true},
        {"cors_origins", "[\"https://a.example\",\"http://localhost:3000\"]", true},
        {"cors_origins", "\"https://a.example\"", false}, {"cors_origins", "[\"https://a.example/\"]", false},
        {"cors_origins", "[\"a.example\"]", false}, {"cors_origins", "[\"https://\"]", false},
        {"cors_origins", "[\"https://a\\u0000b\"]", false}, {"cors_origins", "[\"https://a\\nb\"]", false},
        {"cors_origins", "[1]", false},
        {"trusted_proxies", "[]", true}, {"trusted_proxies", "[\"10.0.0.0/8\",\"::1\"]", true},
        {"trusted_proxies", "[\"10.0.0.0/33\"]", false}, {"trusted_proxies", "[\"*\"]", false},
        {"trusted_proxies", "\"10.0.0.1\"", false},
        {"audit_content", "\"all\"", true}, {"durability", "\"power\"", true}, {"orphans", "\"release\"", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if ((check(cases[i].name, cases[i].json) == WEIR_OK) != cases[i].good)
            fail_msg("%s = %s", cases[i].name, cases[i].json);
}

static void rows_are_read_and_odd_ones_ignored(void **state)
{
    struct room r;
    struct arena a;
    struct settings s;
    char *value;
    (void)state;
    room_open(&r);
    struct db *db = room_admin(&r);
    arena_init(&a);
    assert_int_equal(settings_load(db, &a, &s), WEIR_OK);
    assert_false(s.drain_on_disconnect);
    assert_false(s.http2);
    assert_int_equal(s.max_body, BOUND_BODY_DEFAULT);
    assert_int_equal(s.keepalive_ms, 15000);
    assert_true(!s.anonymous && !s.trusted_proxies && !s.cors_origins);
    const struct setting_def *d = setting_find(SPAN("max_body"));
    assert_int_equal(settings_get(db, d, &a, &value), WEIR_OK);
    assert_string_equal(value, "33554432");
    assert_int_equal(settings_put(db, d, SPAN("2048")), WEIR_OK);
    assert_int_equal(settings_put(db, d, SPAN("4096")), WEIR_OK);
    assert_int_equal(settings_put(db, setting_find(SPAN("http2")), SPAN("true")), WEIR_OK);
    assert_int_equal(settings_put(db, setting_find(SPAN("on_disconnect")), SPAN("\"drain\"")), WEIR_OK);
    assert_int_equal(settings_put(db, setting_find(SPAN("keepalive_s")), SPAN("{broken")), WEIR_OK);
    struct setting_def unknown = {.name = "of_a_later_version"};
    assert_int_equal(settings_put(db, &unknown, SPAN("1")), WEIR_OK);
    assert_int_equal(settings_get(db, d, &a, &value), WEIR_OK);
    assert_string_equal(value, "4096");
    assert_int_equal(settings_load(db, &a, &s), WEIR_OK);
    assert_true(s.drain_on_disconnect);
    assert_true(s.http2);
    assert_int_equal(s.max_body, 4096);
    assert_int_equal(s.keepalive_ms, 15000);
    arena_end(&a);
    db_close(db);
    room_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_default_is_right),
        cmocka_unit_test(values_are_checked),
        cmocka_unit_test(rows_are_read_and_odd_ones_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
