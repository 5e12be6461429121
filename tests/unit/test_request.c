/* The request: paths, credentials and ids come out of the web server's variables as the client meant them, and a body is
 * taken only as it was announced. */
#include "fcgi/stage/request.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

/* ---- the door ---- */

struct conn { char **env; struct span body; size_t taken; bool broken; };

char **conn_environ(const struct conn *c) { return c->env; }

enum weir_err conn_read(struct conn *c, void *to, size_t n, size_t *got)
{
    *got = c->body.len - c->taken < n ? c->body.len - c->taken : n;
    if (*got) memcpy(to, c->body.at + c->taken, *got);
    c->taken += *got;
    return c->broken ? WEIR_IO : WEIR_OK;
}

/* ---- reading ---- */

#define VARIABLES(...) ((const char *[]){__VA_ARGS__, NULL})

static struct arena memory;
static struct id_source ids;

static int open_memory(void **state)
{
    (void)state;
    arena_init(&memory);
    if (secret_start() != WEIR_OK) return -1;
    ids_start(&ids);
    return 0;
}

static int close_memory(void **state)
{
    (void)state;
    arena_end(&memory);
    return 0;
}

static struct request read_under(const char *mount, const char **variables)
{
    static struct conn c;
    struct request r;
    c = (struct conn){.env = (char **)(uintptr_t)variables};
    assert_int_equal(request_read(&c, mount, &ids, &memory, &r), WEIR_OK);
    assert_ptr_equal(r.conn, &c);
    return r;
}

static void expect_path(const char *mount, const char **variables, const char *path)
{
    struct request r = read_under(mount, variables);
    if (!path != r.path_is_bad || (path && strcmp(r.path.at, path) != 0)) fail_msg("%s: %.*s, %d", variables[0], (int)r.path.len, r.path.at, r.path_is_bad);
    assert_true(r.path_is_bad || strlen(r.path.at) == r.path.len);
}

static void the_path_is_what_lies_below_the_mount(void **state)
{
    static const struct { const char *mount, *uri, *path; } all[] = {
        {"", "REQUEST_URI=/v1/models", "/v1/models"}, {"", "REQUEST_URI=/", "/"}, {"", "REQUEST_URI=/v1/models?a=/b%zz", "/v1/models"},
        {"/llm", "REQUEST_URI=/llm/v1/models", "/v1/models"}, {"/llm/", "REQUEST_URI=/llm/v1/models", "/v1/models"},
        {"/llm", "REQUEST_URI=/llm", "/"}, {"/llm", "REQUEST_URI=/llm/", "/"}, {"/llm", "REQUEST_URI=/llm?x", "/"},
        {"/llm", "REQUEST_URI=/llmx/v1", "/llmx/v1"}, {"/llm", "REQUEST_URI=/v1/llm", "/v1/llm"}, {"/llm", "REQUEST_URI=/ll", "/ll"},
        {"/llm", "REQUEST_URI=/llm/llm/x", "/llm/x"}, {"/a/b", "REQUEST_URI=/a/b/c", "/c"}, {"/", "REQUEST_URI=/v1", "/v1"},
        {"///", "REQUEST_URI=/v1", "/v1"}, {"/weir.fcgi", "REQUEST_URI=/weir.fcgi/v1/models", "/v1/models"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) expect_path(all[i].mount, VARIABLES(all[i].uri), all[i].path);
    expect_path("/one", VARIABLES("REQUEST_URI=/two/v1", "WEIR_MOUNT=/two"), "/v1");
    expect_path("/one", VARIABLES("REQUEST_URI=/one/v1", "WEIR_MOUNT="), "/one/v1");
}

static void the_path_is_decoded_once(void **state)
{
    (void)state;
    expect_path("", VARIABLES("REQUEST_URI=/v1/models/a%2Fb%3a7%C3%A9"), "/v1/models/a/b:7\xC3\xA9");
    expect_path("", VARIABLES("REQUEST_URI=/v1/models/a%252Fb+c"), "/v1/models/a%2Fb+c");
    expect_path("", VARIABLES("REQUEST_URI=/%"), NULL);
    expect_path("", VARIABLES("REQUEST_URI=/%4"), NULL);
    expect_path("", VARIABLES("REQUEST_URI=/a%zz"), NULL);
    expect_path("", VARIABLES("REQUEST_URI=/a%00b"), NULL);
}

static void a_path_has_its_ceiling(void **state)
{
    char uri[BOUND_PATH + 40];
    (void)state;
    for (size_t n = BOUND_PATH - 1; n <= BOUND_PATH + 1; n++) {
        size_t lead = (size_t)sprintf(uri, "REQUEST_URI=/");
        memset(uri + lead, 'x', n);
        uri[lead + n - 1] = '\0';
        struct request r = read_under("", VARIABLES(uri));
        assert_int_equal(r.path_is_bad, n > BOUND_PATH);
        assert_int_equal(r.path.len, n > BOUND_PATH ? 1 : n);
    }
}

static void without_its_address_the_path_is_put_together(void **state)
{
    (void)state;
    expect_path("", VARIABLES("SCRIPT_NAME=", "PATH_INFO=/v1/models"), "/v1/models");
    expect_path("/cgi-bin/weir", VARIABLES("SCRIPT_NAME=/cgi-bin/weir", "PATH_INFO=/v1/models"), "/v1/models");
    expect_path("/cgi-bin/weir", VARIABLES("SCRIPT_NAME=/cgi-bin/weir"), "/");
    expect_path("", VARIABLES("SCRIPT_NAME=/x", "PATH_INFO=/y", "REQUEST_URI=http://h/z"), "/x/y");
    expect_path("", VARIABLES("PATH_INFO=v1"), NULL);
    expect_path("", VARIABLES("X=y"), "/");
}

/* RFC 3875 4.1.5: PATH_INFO is not URL-encoded any more. */
static void a_path_the_web_server_has_decoded_is_not_decoded_again(void **state)
{
    (void)state;
    expect_path("", VARIABLES("SCRIPT_NAME=", "PATH_INFO=/v1/models/a%2Fb"), "/v1/models/a%2Fb");
    expect_path("", VARIABLES("SCRIPT_NAME=", "PATH_INFO=/v1/models/100%"), "/v1/models/100%");
}

static void methods_are_told_apart_in_their_case(void **state)
{
    static const struct { const char *variable; enum method method; } all[] = {
        {"REQUEST_METHOD=GET", METHOD_GET}, {"REQUEST_METHOD=POST", METHOD_POST}, {"REQUEST_METHOD=HEAD", METHOD_HEAD},
        {"REQUEST_METHOD=OPTIONS", METHOD_OPTIONS}, {"REQUEST_METHOD=get", METHOD_OTHER}, {"REQUEST_METHOD=POSTS", METHOD_OTHER},
        {"REQUEST_METHOD=", METHOD_OTHER}, {"REQUEST_METHODS=GET", METHOD_OTHER}, {"X=", METHOD_OTHER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_int_equal(read_under("", VARIABLES(all[i].variable)).method, all[i].method);
}

static void headers_are_counted_however_often_they_come(void **state)
{
    (void)state;
    struct request r = read_under("", VARIABLES("HTTP_X_API_KEY=one", "HTTP_X_USER_ID=u", "HTTP_X_API_KEY=two", "HTTP_X_TEAM_ID=t", "HTTP_X_ROLE=r",
                                                "HTTP_X_LLM_ROLEGROUP=g", "HTTP_AUTHORIZATION=Bearer k", "HTTP_X_ROLES=no", "HTTP_X_USER_ID=u",
                                                "REMOTE_ADDR=10.0.0.1", "CONTENT_TYPE=application/json", "CONTENT_LENGTH=5"));
    assert_int_equal(r.api_key.times, 2);
    assert_string_equal(r.api_key.value, "two");
    assert_int_equal(r.user.times, 2);
    assert_int_equal(r.team.times, 1);
    assert_string_equal(r.team.value, "t");
    assert_int_equal(r.role.times, 1);
    assert_string_equal(r.role.value, "r");
    assert_string_equal(r.rolegroup.value, "g");
    assert_int_equal(r.authorization.times, 1);
    assert_string_equal(r.authorization.value, "Bearer k");
    assert_string_equal(r.peer, "10.0.0.1");
    assert_string_equal(r.content_type, "application/json");
    assert_string_equal(r.length, "5");
    r = read_under("", VARIABLES("HTTP_CONTENT_LENGTH=5", "HTTP_REMOTE_ADDR=10.0.0.1", "HTTP_X_API_KEYS=no", "HTTP_REQUEST_METHOD=POST", "HTTP_WEIR_MOUNT=/x"));
    assert_int_equal(r.api_key.times, 0);
    assert_null(r.api_key.value);
    assert_null(r.length);
    assert_null(r.content_type);
    assert_string_equal(r.peer, "");
    assert_int_equal(r.method, METHOD_OTHER);
}

static void a_credential_apache_hid_is_found_where_it_was_put(void **state)
{
    (void)state;
    struct request r = read_under("", VARIABLES("REDIRECT_HTTP_AUTHORIZATION=Bearer k", "REQUEST_METHOD=GET"));
    assert_int_equal(r.authorization.times, 1);
    assert_string_equal(r.authorization.value, "Bearer k");
    r = read_under("", VARIABLES("REDIRECT_HTTP_AUTHORIZATION=Bearer k", "HTTP_AUTHORIZATION=Bearer own"));
    assert_int_equal(r.authorization.times, 1);
    assert_string_equal(r.authorization.value, "Bearer own");
    r = read_under("", VARIABLES("HTTP_REDIRECT_HTTP_AUTHORIZATION=Bearer k"));
    assert_int_equal(r.authorization.times, 0);
}

static void a_well_formed_id_is_the_callers_and_any_other_ours(void **state)
{
    char longest[20 + BOUND_REQUEST_ID + 2] = "HTTP_X_REQUEST_ID=";
    static const char *const bad[] = {"HTTP_X_REQUEST_ID=", "HTTP_X_REQUEST_ID=a b", "HTTP_X_REQUEST_ID=a, b", "HTTP_X_REQUEST_ID=a\r\nX-Evil: 1",
                                      "HTTP_X_REQUEST_ID=\xC3\xA9", "HTTP_X_REQUEST_ID=a/b", "X=y"};
    char last[BOUND_REQUEST_ID + 1] = "";
    (void)state;
    assert_string_equal(read_under("", VARIABLES("HTTP_X_REQUEST_ID=Az09._:-")).id, "Az09._:-");
    size_t lead = strlen(longest);
    memset(longest + lead, 'x', BOUND_REQUEST_ID);
    assert_string_equal(read_under("", VARIABLES(longest)).id, longest + lead);
    longest[lead + BOUND_REQUEST_ID] = 'x';
    assert_int_equal(strncmp(read_under("", VARIABLES(longest)).id, "req_", 4), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct request r = read_under("", VARIABLES(bad[i]));
        assert_int_equal(strlen(r.id), 36);
        assert_int_equal(strncmp(r.id, "req_", 4), 0);
        assert_int_equal(strspn(r.id + 4, "0123456789abcdef"), 32);
        assert_string_not_equal(r.id, last);
        strcpy(last, r.id);
    }
}

/* Ids of one process differ in their number, those of two in what they begin with. */
static void ids_of_ours_do_not_come_twice(void **state)
{
    char first[BOUND_REQUEST_ID + 1];
    (void)state;
    struct id_source before = {.process = ids.process};
    strcpy(first, read_under("", VARIABLES("X=y")).id);
    ids.next += 0xFFFFFFFF;
    assert_string_not_equal(read_under("", VARIABLES("X=y")).id, first);
    ids_start(&ids);
    assert_int_not_equal(ids.process, before.process);
    assert_memory_not_equal(read_under("", VARIABLES("X=y")).id, first, 20);
}

static int64_t wall_77(void) { return 77; }
static int64_t mono_88(void) { return 88; }

static void a_request_begins_when_it_is_read(void **state)
{
    (void)state;
    clock_replace(wall_77, mono_88);
    struct request r = read_under("", VARIABLES("X=y"));
    clock_replace(NULL, NULL);
    assert_int_equal(r.begun_wall_ms, 77);
    assert_int_equal(r.begun_mono_ms, 88);
    struct conn none = {.env = NULL};
    assert_int_equal(request_read(&none, "", &ids, &memory, &r), WEIR_OK);
    assert_true(span_is(r.path, "/"));
}

/* ---- bodies ---- */

static enum weir_err body_of(struct conn *c, const char *length, size_t max, struct buf *body, struct problem *p)
{
    struct request r = {.conn = c, .length = length};
    buf_init(body, BOUND_BODY_MAX + 1);
    *p = (struct problem){.err = WEIR_OK};
    enum weir_err err = request_body(&r, max, body, p);
    assert_int_equal(err, p->err);
    return err;
}

static void a_body_is_taken_as_announced(void **state)
{
    struct conn c = {.body = SPAN("hello")};
    struct buf body;
    struct problem p;
    (void)state;
    assert_int_equal(body_of(&c, "5", 5, &body, &p), WEIR_OK);
    assert_true(span_is(buf_all(&body), "hello"));
    buf_free(&body);
    c.taken = 0;
    assert_int_equal(body_of(&c, "0005", 5, &body, &p), WEIR_OK);
    assert_int_equal(body.len, 5);
    buf_free(&body);
    c = (struct conn){.body = SPAN("")};
    assert_int_equal(body_of(&c, "0", 5, &body, &p), WEIR_OK);
    assert_int_equal(body.len, 0);
    buf_free(&body);
}

static void a_body_of_another_length_is_refused(void **state)
{
    static const char *const lengths[] = {"4", "6", "0", "-5", "+5", "5 ", " 5", "5,5", "0x5", "five"};
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct conn c = {.body = SPAN("hello")};
        struct buf body;
        struct problem p;
        assert_int_equal(body_of(&c, lengths[i], 100, &body, &p), WEIR_INVALID);
        assert_true(*p.text);
        assert_int_equal(body.len, 0);
        buf_free(&body);
    }
    struct conn c = {.body = SPAN("hello"), .broken = true};
    struct buf body;
    struct problem p;
    assert_int_equal(body_of(&c, "5", 100, &body, &p), WEIR_INVALID);
    buf_free(&body);
}

static void a_body_without_length_is_411(void **state)
{
    struct conn c = {.body = SPAN("hello")};
    struct buf body;
    struct problem p;
    (void)state;
    assert_int_equal(body_of(&c, NULL, 100, &body, &p), WEIR_LENGTH_REQUIRED);
    buf_free(&body);
    assert_int_equal(body_of(&c, "", 100, &body, &p), WEIR_LENGTH_REQUIRED);
    buf_free(&body);
}

static void a_body_too_large_is_refused_unread(void **state)
{
    static const char *const lengths[] = {"5", "18446744073709551615", "99999999999999999999999999"};
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct conn c = {.body = SPAN("hello")};
        struct buf body;
        struct problem p;
        assert_int_equal(body_of(&c, lengths[i], 4, &body, &p), WEIR_TOO_LARGE);
        assert_int_equal(c.taken, 0);
        assert_int_equal(body.cap, 0);
        assert_non_null(strstr(p.text, "at most 4 "));
        buf_free(&body);
    }
}

/* The length alone decides: of what may come, too little has come here. */
static void the_standard_bound_of_bodies_is_exact(void **state)
{
    (void)state;
    for (long past = 0; past <= 1; past++) {
        struct conn c = {.body = SPAN("hello")};
        struct buf body;
        struct problem p;
        char length[24];
        snprintf(length, sizeof length, "%ld", BOUND_BODY_DEFAULT + past);
        assert_int_equal(body_of(&c, length, BOUND_BODY_DEFAULT, &body, &p), past ? WEIR_TOO_LARGE : WEIR_INVALID);
        assert_true(past || strstr(p.text, "that were announced"));
        buf_free(&body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_path_is_what_lies_below_the_mount),
        cmocka_unit_test(the_path_is_decoded_once),
        cmocka_unit_test(a_path_has_its_ceiling),
        cmocka_unit_test(without_its_address_the_path_is_put_together),
        cmocka_unit_test(a_path_the_web_server_has_decoded_is_not_decoded_again),
        cmocka_unit_test(methods_are_told_apart_in_their_case),
        cmocka_unit_test(headers_are_counted_however_often_they_come),
        cmocka_unit_test(a_credential_apache_hid_is_found_where_it_was_put),
        cmocka_unit_test(a_well_formed_id_is_the_callers_and_any_other_ours),
        cmocka_unit_test(ids_of_ours_do_not_come_twice),
        cmocka_unit_test(a_request_begins_when_it_is_read),
        cmocka_unit_test(a_body_is_taken_as_announced),
        cmocka_unit_test(a_body_of_another_length_is_refused),
        cmocka_unit_test(a_body_without_length_is_411),
        cmocka_unit_test(a_body_too_large_is_refused_unread), cmocka_unit_test(the_standard_bound_of_bodies_is_exact),
    };
    return cmocka_run_group_tests(tests, open_memory, close_memory);
}
