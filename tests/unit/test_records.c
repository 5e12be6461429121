/* FastCGI's records: what is read of them however they are cut, what is refused, and what an answer looks like. */
#include "fcgi/base/records.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* ---- what a web server sends ---- */

static void put(struct buf *to, int type, int id, struct span content, int padding)
{
    const unsigned char head[8] = {1, (unsigned char)type, (unsigned char)(id >> 8), (unsigned char)id,
                                   (unsigned char)(content.len >> 8), (unsigned char)content.len, (unsigned char)padding, 9};
    buf_add(to, head, sizeof head);
    buf_span(to, content);
    for (int i = 0; i < padding; i++) buf_char(to, 'p');
}

static void begin(struct buf *to, int id, int role)
{
    const char content[8] = {0, (char)role, 1};
    put(to, BEGIN_REQUEST, id, (struct span){content, sizeof content}, 0);
}

static void length(struct buf *to, size_t n)
{
    if (n > 127)
        for (int shift = 24; shift >= 0; shift -= 8) buf_char(to, (char)((n >> shift & 255) | (shift == 24 ? 128 : 0)));
    else buf_char(to, (char)n);
}

static void pair(struct buf *to, struct span name, struct span value)
{
    length(to, name.len);
    length(to, value.len);
    buf_span(to, name);
    buf_span(to, value);
}

/* ---- what is read ---- */

struct seen { enum records_event last; bool begun; char variables[40000], body[4000]; size_t len, left; };

/* In pieces of `piece` bytes. */
static void read_all(struct span all, size_t piece, struct seen *s)
{
    struct records r;
    records_init(&r);
    records_start(&r);
    *s = (struct seen){.last = RECORDS_MORE};
    while (all.len && (s->last == RECORDS_MORE || s->last == RECORDS_BODY || s->last == RECORDS_BEGUN)) {
        struct span in = {all.at, piece < all.len ? piece : all.len};
        size_t given = in.len;
        s->last = records_next(&r, &in);
        if (s->last == RECORDS_BEGUN) {
            s->begun = true;
            for (char **env = records_environ(&r); *env; env++) {
                strcat(s->variables, *env);
                strcat(s->variables, ";");
            }
        }
        if (s->last == RECORDS_BODY) {
            size_t n = records_body_next(&r);
            if (n > in.len) n = in.len;
            memcpy(s->body + s->len, in.at, n);
            s->len += n;
            records_took(&r, n);
            in.at += n;
            in.len -= n;
        }
        all.at += given - in.len;
        all.len -= given - in.len;
    }
    s->left = all.len;
    records_free(&r);
}

static void the_same_is_read_however_it_is_cut(void **state)
{
    char longer[300];
    struct buf all, vars;
    struct seen s;
    (void)state;
    memset(longer, 'v', sizeof longer);
    buf_init(&all, 1 << 20);
    buf_init(&vars, 1 << 20);
    pair(&vars, SPAN("REQUEST_METHOD"), SPAN("POST"));
    pair(&vars, SPAN("EMPTY"), SPAN(""));
    pair(&vars, (struct span){longer, 200}, (struct span){longer, 300});
    begin(&all, 7, 1);
    put(&all, 9, 0, SPAN("FCGI_MAX_CONNS"), 2);                                 /* management */
    put(&all, PARAMS, 7, (struct span){vars.at, 30}, 5);                        /* cut where it may be */
    put(&all, STDIN, 8, SPAN("another's"), 0);
    put(&all, PARAMS, 7, (struct span){vars.at + 30, vars.len - 30}, 0);
    put(&all, PARAMS, 7, SPAN(""), 8);
    put(&all, STDIN, 7, SPAN("hello, "), 1);
    put(&all, STDIN, 7, SPAN("world"), 0);
    put(&all, STDIN, 7, SPAN(""), 3);
    for (size_t piece = 1; piece <= all.len; piece++) {
        read_all(buf_all(&all), piece, &s);
        assert_int_equal(s.last, RECORDS_WHOLE);
        assert_true(s.begun);
        assert_memory_equal(s.variables, "REQUEST_METHOD=POST;EMPTY=;vvvv", 31);
        assert_int_equal(strlen(s.variables), 20 + 7 + 200 + 1 + 300 + 1);
        assert_int_equal(s.len, 12);
        assert_memory_equal(s.body, "hello, world", 12);
        assert_int_equal(s.left, 0); /* nothing that a watched connection would be readable for */
    }
    buf_free(&all);
    buf_free(&vars);
}

static enum records_event end_of(const struct buf *all)
{
    struct seen s;
    read_all(buf_all(all), all->len, &s);
    return s.last;
}

static void what_is_no_request_for_a_responder_is_refused(void **state)
{
    static const struct { const char *what, *at; size_t len; } bad[] = {
        {"another version", "\2\1\0\7\0\10\0\0", 8},        {"HTTP", "GET / HTTP/1.1\r\n\r\n", 18},
        {"a short beginning", "\1\1\0\7\0\7\0\0", 8},       {"an authorizer's", "\1\1\0\7\0\10\0\0\0\2\0\0\0\0\0\0", 16},
    };
    struct buf all;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct seen s;
        read_all((struct span){bad[i].at, bad[i].len}, bad[i].len, &s);
        if (s.last != RECORDS_BROKEN) fail_msg("%s", bad[i].what);
    }
    static const struct { int type; const char *content; size_t len; } second[] = {
        {STDIN, "early", 5}, {BEGIN_REQUEST, "\0\1\0\0\0\0\0\0", 8}, {8, "data", 4}, {PARAMS, "\5\5name", 6}, {PARAMS, "\200\0", 2},
        {PARAMS, "\377\377\377\377\377\377\377\377n", 9}, {PARAMS, "\1", 1},
    };
    for (size_t i = 0; i < sizeof second / sizeof *second; i++) {
        buf_init(&all, 1 << 16);
        begin(&all, 1, 1);
        put(&all, second[i].type, 1, (struct span){second[i].content, second[i].len}, 0);
        put(&all, PARAMS, 1, SPAN(""), 0);
        assert_int_equal(end_of(&all), RECORDS_BROKEN);
        buf_free(&all);
    }
}

static void a_request_that_is_given_up_is_seen(void **state)
{
    struct buf all;
    (void)state;
    buf_init(&all, 1 << 16);
    begin(&all, 1, 1);
    put(&all, PARAMS, 1, SPAN(""), 0);
    put(&all, ABORT_REQUEST, 2, SPAN(""), 0);
    put(&all, STDIN, 1, SPAN("a"), 0);
    put(&all, ABORT_REQUEST, 1, SPAN(""), 0);
    put(&all, STDIN, 1, SPAN("b"), 0);
    assert_int_equal(end_of(&all), RECORDS_GIVEN_UP);
    buf_free(&all);
}

static void variables_have_a_bound(void **state)
{
    char *much = calloc(1, 65535);
    (void)state;
    for (long past = 0; past <= 1; past++) {
        struct buf all, vars;
        buf_init(&all, 4 << 20);
        buf_init(&vars, 4 << 20);
        begin(&all, 1, 1);
        length(&vars, 1);
        length(&vars, (size_t)(BOUND_VARIABLES - 6 + past));
        buf_char(&vars, 'n');
        while (vars.len < (size_t)(BOUND_VARIABLES + past)) {
            size_t left = (size_t)(BOUND_VARIABLES + past) - vars.len;
            buf_add(&vars, much, left < 65535 ? left : 65535);
        }
        for (size_t at = 0; at < vars.len; at += 65535)
            put(&all, PARAMS, 1, (struct span){vars.at + at, vars.len - at < 65535 ? vars.len - at : 65535}, 0);
        put(&all, PARAMS, 1, SPAN(""), 0);
        assert_int_equal(end_of(&all), past ? RECORDS_BROKEN : RECORDS_BEGUN);
        buf_free(&all);
        buf_free(&vars);
    }
    free(much);
}

static void an_answer_is_framed(void **state)
{
    unsigned char head[RECORD_HEAD], end[RECORDS_END];
    struct records r = {.id = 0x102};
    (void)state;
    records_answer(&r, 0x304, head);
    assert_memory_equal(head, "\1\6\1\2\3\4\0\0", 8);
    records_end(&r, end);
    assert_memory_equal(end, "\1\6\1\2\0\0\0\0" "\1\3\1\2\0\10\0\0" "\0\0\0\0\0\0\0\0", 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_is_read_however_it_is_cut),
        cmocka_unit_test(what_is_no_request_for_a_responder_is_refused),
        cmocka_unit_test(a_request_that_is_given_up_is_seen),
        cmocka_unit_test(variables_have_a_bound),
        cmocka_unit_test(an_answer_is_framed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
