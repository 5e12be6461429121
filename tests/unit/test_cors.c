/* CORS: exactly the configured origins may read, what they may send is what the SDKs send, and off is off. */
#include "fcgi/stage/cors.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct snapshot snap;
static enum weir_err look;

enum weir_err store_look(struct store *s, const struct client_hash *hash, struct arena *a, struct snapshot **out, struct key *k)
{
    (void)s, (void)a, (void)k;
    assert_null(hash);
    *out = look == WEIR_OK ? &snap : NULL;
    return look;
}

void snapshot_release(struct snapshot *s) { assert_ptr_equal(s, &snap); }

static const char *reader_of(const char *origin)
{
    struct request r = {.origin = origin};
    cors_decide(NULL, &r);
    return r.reader ? r.reader : "";
}

static void exactly_the_configured_origins_may_read(void **state)
{
    static const char *const others[] = {"https://a.example:443", "https://A.example", "https://a.example/", "http://a.example", "https://a.exampl", "null", "", "https://a.example\r\nx: y"};
    (void)state;
    snap.settings.cors_origins = NULL;
    assert_string_equal(reader_of("https://a.example"), "");
    snap.settings.cors_origins = "[\"https://a.example\",\"http://localhost:3000\"]";
    assert_string_equal(reader_of("https://a.example"), "https://a.example");
    assert_string_equal(reader_of("http://localhost:3000"), "http://localhost:3000");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) assert_string_equal(reader_of(others[i]), "");
    assert_string_equal(reader_of(NULL), "");
    snap.settings.cors_origins = "[\"*\"]";
    assert_string_equal(reader_of("https://any.example"), "*");
    look = WEIR_STORAGE;
    assert_string_equal(reader_of("https://any.example"), "");
    look = WEIR_OK;
}

static void an_origin_has_its_bound(void **state)
{
    char origin[BOUND_ORIGIN + 2];
    (void)state;
    snap.settings.cors_origins = "[\"*\"]";
    memset(origin, 'a', sizeof origin);
    origin[BOUND_ORIGIN + 1] = '\0';
    assert_string_equal(reader_of(origin), "");
    origin[BOUND_ORIGIN] = '\0';
    assert_string_equal(reader_of(origin), "*");
}

/* The preflight's answer to a wish for these headers. */
static const char *allowed(struct buf *head, const char *wish)
{
    const struct request r = {.reader = "*", .preflight_method = "POST", .preflight_headers = wish};
    buf_clear(head);
    cors_preflight(&r, "POST, OPTIONS", head);
    const char *at = strstr(buf_cstr(head), "Access-Control-Allow-Headers: ");
    return at ? at + 30 : "";
}

static void only_what_is_known_may_be_sent(void **state)
{
    struct buf head;
    char wish[BOUND_CORS_HEADERS + 2];
    (void)state;
    buf_init(&head, 8192);
    assert_string_equal(allowed(&head, "Authorization , x-api-key,,x-stainless-retry-count,cookie,x-evil"), "Authorization, x-api-key, x-stainless-retry-count\r\n");
    assert_string_equal(allowed(&head, "x-stainless-,anthropic-,*,x-weir-a\r\nx: y"), "");
    assert_string_equal(allowed(&head, ""), "");
    assert_string_equal(allowed(&head, NULL), "");
    memset(wish, ',', sizeof wish);
    memcpy(wish, "accept", 6);
    wish[BOUND_CORS_HEADERS + 1] = '\0';
    assert_string_equal(allowed(&head, wish), "");
    wish[BOUND_CORS_HEADERS] = '\0';
    assert_string_equal(allowed(&head, wish), "accept\r\n");
    const struct request no_page = {.preflight_method = "POST", .preflight_headers = "accept"}, no_wish = {.reader = "*"};
    buf_clear(&head);
    cors_preflight(&no_page, "POST", &head);
    cors_preflight(&no_wish, "POST", &head);
    cors_headers(&no_page, &head);
    assert_int_equal(head.len, 0);
    buf_free(&head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_the_configured_origins_may_read),
        cmocka_unit_test(an_origin_has_its_bound),
        cmocka_unit_test(only_what_is_known_may_be_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
