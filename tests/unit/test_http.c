/* The bounds of the libcurl door: what waits, what is too long, what is kept. Calls themselves are the flow tests'. */
#include "fcgi/door/http.c"
#include "fcgi/door/http_two.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void an_upstream_waits_when_so_much_is_pending(void **state)
{
    struct transfer t = {.paused = false};
    char *piece = calloc(1, BOUND_PENDING);
    (void)state;
    buf_init(&t.up.bytes, BOUND_PENDING + CURL_MAX_WRITE_SIZE);
    assert_int_equal(take_body(piece, 1, BOUND_PENDING - 1, &t), BOUND_PENDING - 1);
    assert_int_equal(take_body(piece, 1, CURL_MAX_WRITE_SIZE, &t), CURL_MAX_WRITE_SIZE); /* one below: the largest piece fits */
    assert_false(t.paused);
    buf_free(&t.up.bytes);
    assert_int_equal(take_body(piece, 1, BOUND_PENDING, &t), BOUND_PENDING);
    assert_int_equal(take_body(piece, 1, 1, &t), CURL_WRITEFUNC_PAUSE);
    assert_true(t.paused);
    buf_free(&t.up.bytes);
    free(piece);
}

static void headers_that_are_too_long_fail_the_call(void **state)
{
    char *line = malloc(BOUND_UPSTREAM_HEADERS);
    (void)state;
    memset(line, 'x', BOUND_UPSTREAM_HEADERS);
    for (size_t past = 0; past <= 1; past++) {
        struct transfer t = {.paused = false};
        size_t n = BOUND_UPSTREAM_HEADERS - 1 + past; /* and its line end */
        buf_init(&t.up.headers, BOUND_UPSTREAM_HEADERS);
        assert_int_equal(take_header(line, 1, n, &t), past ? 0 : n);
        assert_int_equal(t.up.failure, past ? FAILURE_TOO_LONG : FAILURE_NONE);
        buf_free(&t.up.headers);
    }
    free(line);
}

/* A busy hour's connections stay while they are needed; a quiet one's are few. */
static void so_many_idle_handles_are_kept_and_no_more(void **state)
{
    enum { MANY = BOUND_IDLE_UPSTREAM + 9 };
    struct handle *h[MANY];
    struct origin *o;
    struct http_pool *p;
    (void)state;
    assert_int_equal(http_start(), WEIR_OK);
    assert_int_equal(http_pool_new(-1, &p), WEIR_OK);
    for (int i = 0; i < MANY; i++) assert_non_null(h[i] = pool_take(p, "https://a.example", false, &o));
    for (int i = 0; i < MANY; i++) pool_give(p, o, h[i]);
    http_pool_tidy(p);
    assert_int_equal(o->idle_count, MANY);
    for (int i = 0; i < MANY - 1; i++) h[i]->idle_since -= SPARE_MS + 1000;
    for (int i = 0; i < 2; i++) {
        http_pool_tidy(p);
        assert_int_equal(o->idle_count, BOUND_IDLE_UPSTREAM);
    }
    for (int i = 0; i < BOUND_IDLE_UPSTREAM; i++) { /* the newest are left */
        assert_ptr_equal(pool_take(p, "https://a.example", false, &o), h[MANY - 1 - i]);
        handle_free(h[MANY - 1 - i]);
    }
    http_pool_free(p);
}

/* The descriptors of one upstream's busy minute are there for the next one's. */
static void a_new_handle_takes_the_place_of_a_spare_one_elsewhere(void **state)
{
    enum { MANY = BOUND_IDLE_UPSTREAM + 2 };
    struct handle *h[MANY], *others[3];
    struct origin *a, *b;
    struct http_pool *p;
    (void)state;
    assert_int_equal(http_pool_new(-1, &p), WEIR_OK);
    for (int i = 0; i < MANY; i++) assert_non_null(h[i] = pool_take(p, "https://a.example", false, &a));
    for (int i = 0; i < MANY; i++) pool_give(p, a, h[i]);
    for (int i = 0; i < 3; i++) {
        assert_non_null(others[i] = pool_take(p, "https://b.example", false, &b));
        assert_int_equal(a->idle_count, i < 2 ? MANY - 1 - i : BOUND_IDLE_UPSTREAM);
    }
    for (int i = 0; i < 3; i++) pool_give(p, b, others[i]);
    assert_ptr_equal(pool_take(p, "https://b.example", false, &b), others[2]);
    pool_give(p, b, others[2]);
    http_pool_free(p);
}

/* Whatever an address that an administrator gave has become. */
static void no_other_protocol_is_spoken(void **state)
{
    static const char *const others[] = {"file:///etc/hostname", "gopher://127.0.0.1:1/x", "dict://127.0.0.1:1/x", "ftp://127.0.0.1:1/x"};
    struct http_pool *p;
    (void)state;
    assert_int_equal(http_pool_new(-1, &p), WEIR_OK);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const struct http_call call = {.origin = others[i], .url = others[i], .body = SPAN_NONE, .connect_ms = 1000};
        struct upstream *u;
        assert_int_equal(http_open(p, &call, &u), WEIR_OK);
        assert_int_equal(u->ops->wait(u, -1, clock_mono_ms() + 5000), UPSTREAM_FAILED);
        assert_int_equal(u->failure, FAILURE_OURS);
        u->ops->close(u);
    }
    http_pool_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_upstream_waits_when_so_much_is_pending), cmocka_unit_test(headers_that_are_too_long_fail_the_call),
        cmocka_unit_test(so_many_idle_handles_are_kept_and_no_more),
        cmocka_unit_test(a_new_handle_takes_the_place_of_a_spare_one_elsewhere), cmocka_unit_test(no_other_protocol_is_spoken)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
