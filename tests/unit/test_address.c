/* The path below the mount, out of what each web server says of it; and the ids of requests that bring none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "fcgi/base/address.c"

static struct arena memory;

static int empty_memory(void **state)
{
    (void)state;
    arena_end(&memory);
    return 0;
}

static struct address read_uri(const char *uri, const char *mount)
{
    struct address out;
    address_read(&(struct address_variables){.uri = uri}, mount, &memory, &out);
    return out;
}

static void a_mount_prefix_is_taken_off_whole(void **state)
{
    static const struct { const char *uri, *mount, *path, *off; } all[] = {
        {"/llm/v1/models", "/llm", "/v1/models", "/llm"}, {"/llm/v1/models", "/llm/", "/v1/models", "/llm"},
        {"/llmx/v1", "/llm", "/llmx/v1", ""},             {"/llm", "/llm", "/", "/llm"},
        {"/v1", "", "/v1", ""},                           {"/v1", "/", "/v1", ""},
        {"/ll", "/llm", "/ll", ""},                       {"/llm?x=/y", "/llm", "/", "/llm"},
        {"/llm/v1?a=b%zz", "/llm", "/v1", "/llm"},        {"/llm/a%2Fb%20c", "/llm", "/a/b c", "/llm"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct address a = read_uri(all[i].uri, all[i].mount);
        assert_false(a.is_bad);
        assert_true(span_is(a.path, all[i].path));
        assert_true(span_is(a.mount, all[i].off));
    }
}

static void without_a_uri_the_web_server_s_own_decoding_is_taken(void **state)
{
    struct address a;
    (void)state;
    address_read(&(struct address_variables){.script = "/llm", .info = "/v1/a%2Fb"}, "/llm", &memory, &a);
    assert_true(span_is(a.path, "/v1/a%2Fb"));
    address_read(&(struct address_variables){.uri = "http://else/x", .info = "/v1"}, "", &memory, &a);
    assert_true(span_is(a.path, "/v1"));
    address_read(&(struct address_variables){0}, "", &memory, &a);
    assert_true(span_is(a.path, "/") && !a.is_bad);
}

static void what_cannot_be_read_is_bad(void **state)
{
    static const char *const all[] = {"/a%", "/a%4", "/a%zz", "/a%00b"};
    char uri[BOUND_PATH + 2] = "/";
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct address a = read_uri(all[i], "");
        assert_true(a.is_bad && span_is(a.path, "/"));
    }
    memset(uri + 1, 'a', BOUND_PATH - 1);
    assert_false(read_uri(uri, "").is_bad);
    uri[BOUND_PATH] = 'a';
    assert_true(read_uri(uri, "").is_bad);
}

static void a_caller_s_id_is_taken_if_it_is_well_formed(void **state)
{
    struct id_source ids;
    char out[BOUND_REQUEST_ID + 1], other[BOUND_REQUEST_ID + 1], given[BOUND_REQUEST_ID + 2] = "";
    (void)state;
    ids_start(&ids);
    memset(given, 'x', BOUND_REQUEST_ID);
    ids_take(&ids, given, out);
    assert_string_equal(out, given);
    given[BOUND_REQUEST_ID] = 'x';
    ids_take(&ids, given, out);
    assert_int_equal(strlen(out), 36);
    ids_take(&ids, "a b", other);
    assert_memory_equal(out, "req_", 4);
    assert_memory_equal(out, other, 20); /* of one process */
    assert_string_not_equal(out, other);
    ids_take(&ids, "", other);
    assert_int_equal(strlen(other), 36);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_mount_prefix_is_taken_off_whole, empty_memory),
        cmocka_unit_test_teardown(without_a_uri_the_web_server_s_own_decoding_is_taken, empty_memory),
        cmocka_unit_test_teardown(what_cannot_be_read_is_bad, empty_memory),
        cmocka_unit_test(a_caller_s_id_is_taken_if_it_is_well_formed),
    };
    arena_init(&memory);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
