/* Answers over HTTP/1.1: however they come in pieces they read the same; bodies end where they say; what could be read in
 * two ways is refused. */
#include "fcgi/base/http1.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct read { struct http1 h; struct buf headers, body; size_t taken; };

/* In pieces of n bytes; the connection then ends if `ends`. */
static void read_in(struct read *r, const char *text, size_t n, bool ends)
{
    struct span left = span_of(text);
    buf_init(&r->headers, BOUND_UPSTREAM_HEADERS);
    buf_init(&r->body, 1 << 20);
    http1_start(&r->h, &r->headers);
    r->taken = 0;
    while (left.len) {
        size_t piece = left.len < n ? left.len : n;
        size_t took = http1_take(&r->h, (struct span){left.at, piece}, &r->body);
        r->taken += took;
        if (took < piece) break;
        left.at += piece;
        left.len -= piece;
    }
    if (ends) http1_closed(&r->h);
}

static void let_go(struct read *r)
{
    http1_free(&r->h);
    buf_free(&r->headers);
    buf_free(&r->body);
}

static void reads(const char *text, bool ends, int status, const char *headers, const char *body, bool keeps)
{
    for (size_t n = 1; n <= strlen(text); n++) {
        struct read r;
        read_in(&r, text, n, ends);
        assert_int_equal(r.h.state, HTTP1_DONE);
        assert_int_equal(r.h.status, status);
        assert_string_equal(buf_cstr(&r.headers), headers);
        assert_string_equal(buf_cstr(&r.body), body);
        assert_int_equal(r.h.keeps, keeps);
        let_go(&r);
    }
}

static void refuses(const char *text, bool ends)
{
    for (size_t n = 1; n <= strlen(text); n++) {
        struct read r;
        read_in(&r, text, n, ends);
        assert_int_equal(r.h.state, HTTP1_BAD);
        let_go(&r);
    }
}

static void bodies_end_where_they_say(void **state)
{
    (void)state;
    reads("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, 200, "Content-Length: 5\n", "hello", true);
    reads("HTTP/1.1 200\r\ncontent-length:0\r\n\r\n", false, 200, "content-length:0\n", "", true);
    reads("HTTP/1.1 204 No Content\r\n\r\n", false, 204, "", "", true);
    reads("HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", false, 200, "Content-Length: 2\n", "hi", true);
    reads("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\nx: y\r\n\r\n", false, 200,
          "Transfer-Encoding: chunked\n", "abc0123456789", true);
    reads("HTTP/1.1 200 OK\r\nA: b\r\n\r\nup to the end", true, 200, "A: b\n", "up to the end", false);
}

static void what_follows_an_answer_is_left(void **state)
{
    (void)state;
    struct read r;
    read_in(&r, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1", 1000, false);
    assert_int_equal(r.h.state, HTTP1_DONE);
    assert_int_equal(r.taken, 40);
    let_go(&r);
}

static void interim_answers_are_passed_over(void **state)
{
    (void)state;
    reads("HTTP/1.1 100 Continue\r\nA: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\n"
          "HTTP/1.1 429 Slow\r\nContent-Length: 1\r\n\r\nx", false, 429, "Content-Length: 1\n", "x", true);
    refuses("HTTP/1.1 101 Switching Protocols\r\n\r\n", false);
}

static void a_connection_is_kept_only_if_both_sides_say_so(void **state)
{
    (void)state;
    reads("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\nx", false, 200,
          "Connection: x, Close\nContent-Length: 1\n", "x", false);
    reads("HTTP/1.1 200 OK\r\nConnection: close, keep-alive\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx", false, 200,
          "Connection: close, keep-alive\nConnection: Keep-Alive\nContent-Length: 1\n", "x", false);
    reads("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", false, 200, "Content-Length: 1\n", "x", false);
    reads("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", false, 200,
          "Connection: keep-alive\nContent-Length: 1\n", "x", true);
    reads("HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false, 200,
          "Content-Length: 9\nTransfer-Encoding: chunked\n", "", false);
}

static void long_lines_go_on(void **state)
{
    (void)state;
    reads("HTTP/1.1 200 OK\r\nA: b\r\n  c\r\nContent-Length: 0\r\n\r\n", false, 200, "A: b c\nContent-Length: 0\n", "", true);
    refuses("HTTP/1.1 200 OK\r\n c\r\n\r\n", false);
}

static void what_could_be_read_in_two_ways_is_refused(void **state)
{
    (void)state;
    reads("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", false, 200,
          "Content-Length: 1\nContent-Length: 1\n", "x", true);
    static const char *const bad[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\nx", "HTTP/1.1 200 OK\r\nTransfer-Encoding\t: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: empty\r\n\r\n", "HTTP/2 200\r\n\r\n", "SSH-2.0-x\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000\r\n\r\n",
        "HTTP/1.1 099 x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ng\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1 2\r\nab\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000000000000000\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) refuses(bad[i], false);
}

static void an_end_before_the_end_is_none(void **state)
{
    (void)state;
    static const char *const cut[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    };
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) refuses(cut[i], true);
}

static void heads_are_bounded(void **state)
{
    (void)state;
    struct buf text;
    struct read r;
    buf_init(&text, 1 << 20);
    buf_str(&text, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 4000; i++) buf_str(&text, "name: twenty bytes of it\r\n");
    read_in(&r, buf_cstr(&text), 4096, false);
    assert_int_equal(r.h.state, HTTP1_TOO_LONG);
    let_go(&r);
    buf_clear(&text);
    for (int i = 0; i < 7000; i++) buf_str(&text, "no end of it");
    read_in(&r, buf_cstr(&text), 4096, false);
    assert_int_equal(r.h.state, HTTP1_TOO_LONG);
    let_go(&r);
    buf_free(&text);
}

/* What is passed over counts too: else an upstream that never comes to the point is read for ever. */
static void interim_answers_and_trailers_are_bounded(void **state)
{
    (void)state;
    static const struct { const char *first, *again; } floods[] = {
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "a: b\r\n"}, {"", "HTTP/1.1 100 Continue\r\n\r\n"}};
    for (size_t i = 0; i < sizeof floods / sizeof *floods; i++)
        for (size_t past = 0; past <= 1; past++) {
            struct buf text;
            struct read r;
            size_t lines = 0;
            buf_init(&text, 1 << 20);
            buf_str(&text, floods[i].first);
            for (const char *c = floods[i].first; *c; c++) lines += *c != '\r';
            if (i == 0) lines -= 2; /* the chunk's size is no line of these */
            size_t step = 0;
            for (const char *c = floods[i].again; *c; c++) step += *c != '\r';
            for (; lines + step <= BOUND_UPSTREAM_HEADERS; lines += step) buf_str(&text, floods[i].again);
            if (past) buf_str(&text, floods[i].again);
            read_in(&r, buf_cstr(&text), 4096, false);
            assert_int_equal(r.h.state, past ? HTTP1_TOO_LONG : i == 0 ? HTTP1_TRAILER : HTTP1_HEAD);
            let_go(&r);
            buf_free(&text);
        }
}

static void a_coding_without_a_name_is_none(void **state)
{
    (void)state;
    struct read r;
    read_in(&r, "HTTP/1.1 200 OK\r\nContent-Encoding: \r\nContent-Length: 1\r\n\r\nx", 1000, false);
    assert_int_equal(r.h.state, HTTP1_DONE);
    assert_false(r.h.is_coded);
    let_go(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_end_where_they_say),
        cmocka_unit_test(what_follows_an_answer_is_left),
        cmocka_unit_test(interim_answers_are_passed_over),
        cmocka_unit_test(a_connection_is_kept_only_if_both_sides_say_so),
        cmocka_unit_test(long_lines_go_on),
        cmocka_unit_test(what_could_be_read_in_two_ways_is_refused),
        cmocka_unit_test(an_end_before_the_end_is_none),
        cmocka_unit_test(heads_are_bounded),
        cmocka_unit_test(interim_answers_and_trailers_are_bounded),
        cmocka_unit_test(a_coding_without_a_name_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
