/* The SSE splitter: the same events however the stream is cut, nothing lost, nothing unbounded, nothing slow. */
#include "fcgi/base/sse.c"

#include "fcgi/base/bounds.h"

#include <time.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Feeds in pieces of `step` bytes and writes every event as type|data|raw-length, absent as ~, a line each. */
static void render(struct span in, size_t step, struct buf *out)
{
    struct sse s;
    struct sse_event ev;
    sse_init(&s, 1000);
    bool over = false;
    while (!over) {
        size_t n = in.len < step ? in.len : step;
        over = in.len == 0;
        assert_int_equal(over ? sse_end(&s) : sse_feed(&s, in.at, n), WEIR_OK);
        in.at += n;
        in.len -= n;
        while (sse_next(&s, &ev)) {
            buf_span(out, ev.type.at ? ev.type : SPAN("~"));
            buf_char(out, '|');
            buf_span(out, ev.data.at ? ev.data : SPAN("~"));
            buf_printf(out, "|%zu;", ev.raw.len);
        }
    }
    sse_free(&s);
}

static void expect(const char *in, const char *want)
{
    for (size_t step = 1; step <= strlen(in) + 1; step++) {
        struct buf out;
        buf_init(&out, 10000);
        render(span_of(in), step, &out);
        assert_string_equal(buf_cstr(&out), want);
        buf_free(&out);
    }
}

static void events_are_the_same_in_any_split(void **state)
{
    (void)state;
    expect("", "");
    expect("data: {\"a\":1}\n\ndata: [DONE]\n\n", "~|{\"a\":1}|15;~|[DONE]|14;");
    expect("event: ping\ndata: {}\n\n", "ping|{}|22;");
    expect("event: a\r\ndata: 1\r\n\r\nevent: b\r\ndata: 2\r\n\r\n", "a|1|21;b|2|21;");
    expect("data: a\r\rdata: b\r\r", "~|a|9;~|b|9;");
    expect("data: a\r\n\rdata: b\n\r\ndata: c\r\n\n", "~|a|10;~|b|10;~|c|10;");
    expect("data: \xC3\xA9\xF0\x9F\x98\x80\n\n", "~|\xC3\xA9\xF0\x9F\x98\x80|14;");
}

static void fields_are_read_as_the_standard_says(void **state)
{
    (void)state;
    expect(": comment\n\n", "~|~|11;");
    expect("data:x\n\n", "~|x|8;");
    expect("data:  x\n\n", "~| x|10;");
    expect("data\n\n", "~||6;");
    expect("data: a\ndata: b\ndata:\n\n", "~|a\nb\n|23;");
    expect("data\ndata\n\n", "~|\n|11;");
    expect("dataset: a\nevents: b\nid: 3\nretry: 5\n\n", "~|~|37;");
    expect("event: a\nevent: b\ndata: x\n\n", "b|x|27;");
    expect("\n\r\n\rdata: x\n\n", "~|~|1;~|~|2;~|~|1;~|x|9;");
}

static void several_joined_events_stay_valid_together(void **state)
{
    (void)state;
    struct sse s;
    struct sse_event one, two, three;
    sse_init(&s, 100000);
    struct buf in;
    buf_init(&in, 100000);
    for (int i = 0; i < 3; i++)
        buf_printf(&in, "data: %d\ndata: %0*d\n\n", i, 9000, i);
    assert_int_equal(sse_feed(&s, in.at, in.len), WEIR_OK);
    assert_true(sse_next(&s, &one) && sse_next(&s, &two) && sse_next(&s, &three));
    assert_int_equal(one.data.len, 9002);
    assert_true(one.data.at[0] == '0' && two.data.at[0] == '1' && three.data.at[0] == '2');
    assert_true(one.data.at[9001] == '0' && two.data.at[9001] == '1' && three.data.at[9001] == '2');
    buf_free(&in);
    sse_free(&s);
}

static void byte_order_mark_is_dropped_only_at_the_start(void **state)
{
    (void)state;
    expect("\xEF\xBB\xBF" "data: a\n\n", "~|a|9;");
    expect("\xEF\xBB\xBF\n\n", "~|~|1;~|~|1;");
    expect("\xEF\xBB", "");
    expect("\xEF\xBB\xBD\n\n", "~|~|5;");
    expect("data: a\n\n\xEF\xBB\xBF" "data: b\n\n", "~|a|9;~|~|12;");
}

static void unfinished_event_with_data_is_completed_at_the_end(void **state)
{
    (void)state;
    expect("data: a\n\ndata: [DONE]", "~|a|9;~|[DONE]|14;");
    expect("data: a\n\ndata: [DONE]\n", "~|a|9;~|[DONE]|14;");
    expect("event: e\rdata: b\r", "e|b|19;");
    expect("data: b\r\n\r", "~|b|10;");
    expect(": c\n\r", "~|~|5;");
    expect("data: a\n\nevent: lost\n", "~|a|9;");
    expect("data: a\n\n: lost", "~|a|9;");
}

static void too_long_event_is_refused_and_earlier_ones_kept(void **state)
{
    (void)state;
    const char in[] = "data: ok\n\ndata: 0123456789012345\n\ndata: ok\n\n";
    for (size_t step = 1; step <= sizeof in; step++) {
        struct sse s;
        struct sse_event ev;
        enum weir_err err = WEIR_OK;
        size_t events = 0;
        sse_init(&s, 20);
        for (size_t at = 0; at < sizeof in - 1 && !err; at += step) {
            err = sse_feed(&s, in + at, sizeof in - 1 - at < step ? sizeof in - 1 - at : step);
            while (sse_next(&s, &ev))
                events++;
        }
        assert_int_equal(err, WEIR_FULL);
        assert_int_equal(events, 1);
        assert_int_equal(sse_feed(&s, "\n\n", 2), WEIR_FULL);
        assert_int_equal(sse_end(&s), WEIR_FULL);
        assert_false(sse_next(&s, &ev));
        sse_free(&s);
    }
}

static void event_of_just_the_bound_passes(void **state)
{
    (void)state;
    struct sse s;
    struct sse_event ev;
    sse_init(&s, 10);
    assert_int_equal(sse_feed(&s, "data: ab\n\n", 10), WEIR_OK);
    assert_true(sse_next(&s, &ev));
    assert_int_equal(sse_feed(&s, "data: abc\n\n", 11), WEIR_FULL);
    assert_false(sse_next(&s, &ev));
    sse_free(&s);
}

static void endless_line_costs_bounded_memory_and_linear_time(void **state)
{
    (void)state;
    const size_t max = BOUND_SSE_EVENT;
    struct sse s;
    struct sse_event ev;
    sse_init(&s, max);
    size_t fed = 0;
    clock_t start = clock();
    while (sse_feed(&s, "x", 1) == WEIR_OK) {
        assert_false(sse_next(&s, &ev));
        fed++;
    }
    assert_int_equal(fed, max);
    assert_true(s.in.cap <= max + 16);
    assert_true(clock() - start < 5 * CLOCKS_PER_SEC); /* quadratic would be hours */
    sse_free(&s);
}

static void many_small_events_in_one_feed_are_given_out_in_linear_time(void **state)
{
    (void)state;
    struct buf in;
    buf_init(&in, 32 << 20);
    while (in.len < 8 << 20)
        buf_str(&in, "data: x\r\r\n");
    struct sse s;
    struct sse_event ev;
    sse_init(&s, 100);
    clock_t start = clock();
    assert_int_equal(sse_feed(&s, in.at, in.len), WEIR_OK);
    size_t n = 0;
    while (sse_next(&s, &ev))
        n++;
    assert_int_equal(n, in.len / 10);
    assert_true(clock() - start < 5 * CLOCKS_PER_SEC);
    sse_free(&s);
    buf_free(&in);
}

static void writers_write_events_that_read_back(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 1000);
    sse_comment(&out, "keep-alive");
    sse_data(&out, SPAN("[DONE]"));
    assert_int_equal(sse_event_data(&out, "error", SPAN("{}")), WEIR_OK);
    assert_string_equal(buf_cstr(&out), ": keep-alive\n\ndata: [DONE]\n\nevent: error\ndata: {}\n\n");
    expect(buf_cstr(&out), "~|~|14;~|[DONE]|14;error|{}|23;");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_the_same_in_any_split),
        cmocka_unit_test(fields_are_read_as_the_standard_says),
        cmocka_unit_test(several_joined_events_stay_valid_together),
        cmocka_unit_test(byte_order_mark_is_dropped_only_at_the_start),
        cmocka_unit_test(unfinished_event_with_data_is_completed_at_the_end),
        cmocka_unit_test(too_long_event_is_refused_and_earlier_ones_kept),
        cmocka_unit_test(event_of_just_the_bound_passes),
        cmocka_unit_test(endless_line_costs_bounded_memory_and_linear_time),
        cmocka_unit_test(many_small_events_in_one_feed_are_given_out_in_linear_time),
        cmocka_unit_test(writers_write_events_that_read_back),
    };
    return cmocka_run_group_tests_name("sse", tests, NULL, NULL);
}
