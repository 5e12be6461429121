/* The configuration document's reading, piece by piece: addresses, rates, offsets, paths of faults, sets of names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "admin/doc_limits.c"
#include "admin/document.c"
#include "admin/field.c"
#include "admin/names.c"

static struct arena memory;

static int empty_memory(void **state)
{
    (void)state;
    arena_end(&memory);
    return 0;
}

static struct jval checked(const char *text)
{
    struct jfault fault;
    struct jval v;

    assert_int_equal(jscan_check(span_of(text), 64, &v, &fault), WEIR_OK);
    return v;
}

static void plain_http_goes_only_to_private_hosts(void **state)
{
    static const struct { const char *url; bool fine; } all[] = {
        {"https://api.example/v1", true},       {"https://8.8.8.8", true},
        {"http://127.0.0.1:80/v1", true},       {"http://127.255.255.254", true},
        {"http://128.0.0.1", false},            {"http://10.1.2.3", true},
        {"http://11.0.0.1", false},             {"http://172.15.255.255", false},
        {"http://172.16.0.0", true},            {"http://172.31.255.255", true},
        {"http://172.32.0.0", false},           {"http://192.168.1.1", true},
        {"http://192.169.1.1", false},          {"http://169.254.169.254", false},
        {"http://[::1]:8080", true},            {"http://[fc00::1]", true},
        {"http://[fdff::1]", true},             {"http://[fe80::1]", false},
        {"http://[::ffff:8.8.8.8]", false},     {"http://[::1", false},
        {"http://[::1]x", false},               {"http://localhost", true},
        {"http://LOCALHOST:1", true},           {"http://localhost.", false},
        {"http://localhost.example", false},    {"http://127.1", false},
        {"http://2130706433", false},           {"http://0177.0.0.1", false},
        {"http://127.0.0.1.example", false},    {"http://example@127.0.0.1", false},
        {"http://127.0.0.1@example", false},    {"http://127.0.0.1:", false},
        {"http://127.0.0.1:0", false},          {"http://127.0.0.1:65536", false},
        {"http://127.0.0.1:80:80", false},      {"http://127.0.0.1\\@example", false},
        {"http://", false},                     {"https://", false},
        {"https:/a", false},                    {"//a", false},
        {"", false},                            {"HTTP://127.0.0.1", false},
        {"https://a.example/v1#x", false},      {"https://a.example/v1?x", false},
        {"https://a.example/v 1", false},       {"https://a.example/\xc3\xa9", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const char *fault = address_fault(span_of(all[i].url), false);

        if (!fault != all[i].fine) fail_msg("%s: %s", all[i].url, fault ? fault : "accepted");
    }
    assert_null(address_fault(SPAN("http://a.example/v1"), true));
}

static bool limit_of(const char *text, struct limit_rule *out, struct reader *r)
{
    *r = (struct reader){.memory = &memory};
    return doc_limit_read(r, checked(text), out);
}

static void rates_are_exact_to_a_billionth(void **state)
{
    static const struct { const char *number; int64_t nano;
    } all[] = {{"25", 25000000000},
               {"0.5", 500000000},
               {"0.000000001", 1},
               {"0.1", 100000000},
               {"123456789.987654321", 123456789987654321}};
    struct limit_rule l;
    struct reader r;

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char text[200];

        snprintf(text, sizeof text,
                 "{\"scope\":\"global\",\"metric\":\"tokens\",\"shape\":\"bucket\",\"capacity\":1,\"refill_per_sec\":%s}",
                 all[i].number);
        assert_true(limit_of(text, &l, &r));
        assert_int_equal(l.refill_nano, all[i].nano);
    }
}

static void a_limit_written_reads_as_the_same(void **state)
{
    static const char *const all[] = {"{\"scope\":\"team/a/"
                                      "b\",\"metric\":\"tokens\",\"shape\":\"bucket\",\"capacity\":5000,\"refill_per_sec\":"
                                      "0.125,\"mode\":\"soft\"}",
                                      "{\"scope\":\"user/"
                                      "*\",\"metric\":\"cost\",\"shape\":\"bucket\",\"capacity\":\"5.00\",\"refill_per_"
                                      "sec\":\"0.01\",\"mode\":\"hard\"}",
                                      "{\"scope\":\"ip/"
                                      "*\",\"metric\":\"requests\",\"shape\":\"window\",\"seconds\":60,\"amount\":1,"
                                      "\"mode\":\"hard\",\"warn_percent\":1}",
                                      "{\"scope\":\"global\",\"metric\":\"cost\",\"shape\":\"calendar\",\"period\":\"week\","
                                      "\"utc_offset\":-330,\"amount\":\"0.000000001\",\"mode\":\"hard\"}",
                                      "{\"scope\":\"key/"
                                      "k\",\"metric\":\"concurrency\",\"amount\":1000000000000000000,\"mode\":\"observe\"}"};
    struct limit_rule l;
    struct reader r;
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_true(limit_of(all[i], &l, &r));
        buf_clear(&out);
        assert_int_equal(doc_limit_write(&out, &l), WEIR_OK);
        assert_string_equal(buf_cstr(&out), all[i]);
    }
    buf_free(&out);
}

static void offsets_are_read_in_every_form(void **state)
{
    static const struct { const char *text; int minutes;
    } all[] = {{"\"+02:00\"", 120},   {"\"-05:30\"", -330}, {"\"Z\"", 0},
               {"\"+14:00\"", 840},   {"-840", -840},       {"0", 0},
               {"\"+14:01\"", 9999},  {"\"+2:00\"", 9999},  {"\"02:00\"", 9999},
               {"\"+02:60\"", 9999},  {"\"+0a:00\"", 9999}, {"\"\"", 9999},
               {"\"+02:000\"", 9999}, {"841", 9999},        {"null", 9999},
               {"1.5", 9999}};

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct reader r = {.memory = &memory};
        int64_t minutes = 9999;
        bool fine = offset_read(&r, checked(all[i].text), &minutes);

        if (fine != (all[i].minutes != 9999) || (fine && minutes != all[i].minutes))
            fail_msg("%s: %d %s", all[i].text, fine, r.fault);
    }
}

static void a_fault_keeps_its_path_however_long(void **state)
{
    struct reader r = {.memory = &memory};
    struct document d;
    struct limit_rule l;
    char text[3000];

    (void)state;
    assert_false(limit_of("{\"scope\":\"global\",\"metric\":\"tokens\",\"shape\":\"total\",\"amount\":0}", &l, &r));
    assert_string_equal(r.path, "amount");
    assert_string_equal(r.fault, "must be above 0");

    memset(text, 'x', sizeof text);
    memcpy(text, "{\"", 2);
    memcpy(text + sizeof text - 4, "\":1}", 4);
    r = (struct reader){.memory = &memory};
    assert_false(document_read(&r, (struct span){text, sizeof text}, &d));
    assert_int_equal(r.path_len, 80);

    r = (struct reader){.memory = &memory};
    for (int i = 0; i < 1000; i++) path_member(&r, "deep");
    assert_int_equal(strlen(r.path), sizeof r.path - 1);
    path_back(&r, 0);
    assert_string_equal(r.path, "");
}

static void a_member_may_be_spelled_with_escapes_but_not_twice(void **state)
{
    struct limit_rule l;
    struct reader r;

    (void)state;
    assert_true(limit_of("{\"sc\\u006fpe\":\"global\",\"metric\":\"tokens\",\"shape\":\"total\",\"amount\":1}", &l, &r));
    assert_false(limit_of("{\"sc\\u006fpe\":\"global\",\"scope\":\"global\",\"metric\":\"tokens\",\"shape\":\"total\","
                          "\"amount\":1}",
                          &l, &r));
    assert_string_equal(r.path, "scope");
}

static void names_are_found_among_many(void **state)
{
    struct names n = {NULL, 0, 0};
    char name[32];
    int64_t number;

    (void)state;
    assert_false(names_find(&n, SPAN("k0"), NULL));
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "k%d", i);
        assert_int_equal(names_add(&n, span_of(name), i), WEIR_OK);
    }
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "k%d", i);
        assert_int_equal(names_add(&n, span_of(name), -1), WEIR_EXISTS);
        assert_true(names_find(&n, span_of(name), &number));
        assert_int_equal(number, i);
    }
    assert_false(names_find(&n, SPAN("k20000"), NULL));
    names_free(&n);
    names_free(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(plain_http_goes_only_to_private_hosts, empty_memory),
        cmocka_unit_test_teardown(rates_are_exact_to_a_billionth, empty_memory),
        cmocka_unit_test_teardown(a_limit_written_reads_as_the_same, empty_memory),
        cmocka_unit_test_teardown(offsets_are_read_in_every_form, empty_memory),
        cmocka_unit_test_teardown(a_fault_keeps_its_path_however_long, empty_memory),
        cmocka_unit_test_teardown(a_member_may_be_spelled_with_escapes_but_not_twice, empty_memory),
        cmocka_unit_test_teardown(names_are_found_among_many, empty_memory),
    };

    arena_init(&memory);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
