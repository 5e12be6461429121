/* The log: one whole JSON line an event, within its bound, whatever it is given. */
#include "fcgi/base/log.c"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "fcgi/base/jscan.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct logged { char path[64]; char text[4 << 20]; size_t len; };

static int64_t fixed_wall_ms(void)
{
    return 1795230245678;
}

static struct logged *log_to_file(enum log_level level)
{
    struct logged *l = calloc(1, sizeof *l);
    assert_non_null(l);
    snprintf(l->path, sizeof l->path, "/tmp/weir-log-XXXXXX");
    int fd = mkstemp(l->path);
    assert_true(fd >= 0);
    close(fd);
    unlink(l->path);
    assert_int_equal(log_open(l->path, level), WEIR_OK);
    return l;
}

static void read_back(struct logged *l)
{
    FILE *f = fopen(l->path, "r");
    assert_non_null(f);
    l->len = fread(l->text, 1, sizeof l->text - 1, f);
    l->text[l->len] = '\0';
    fclose(f);
}

static void logged_gone(struct logged *l)
{
    assert_int_equal(log_open(NULL, LOG_INFO), WEIR_OK);
    unlink(l->path);
    free(l);
}

static void lines_have_time_level_event_and_fields(void **state)
{
    (void)state;
    struct logged *l = log_to_file(LOG_INFO);
    log_event(LOG_INFO, "started");
    log_event(LOG_ERROR, "failed", LOG_INT("port", -1), LOG_TEXT("why", "a \"b\"\n\x1B"), LOG_SPAN("none", SPAN_NONE));
    log_event(LOG_DEBUG, "unwanted");
    read_back(l);
    assert_string_equal(l->text,
        "{\"time\":\"2026-11-21T03:04:05.678Z\",\"level\":\"info\",\"event\":\"started\"}\n"
        "{\"time\":\"2026-11-21T03:04:05.678Z\",\"level\":\"error\",\"event\":\"failed\",\"port\":-1,"
        "\"why\":\"a \\\"b\\\"\\n\\u001b\",\"none\":null}\n");
    struct stat st;
    assert_int_equal(stat(l->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    logged_gone(l);
}

static void long_texts_are_cut_and_the_line_stays_json(void **state)
{
    (void)state;
    struct logged *l = log_to_file(LOG_DEBUG);
    static char text[100000];
    static const char *const fill[] = {"x", "\xF0\x9F\x98\x80", "\x01", "\xFF", "\""};
    for (size_t i = 0; i < 5; i++) {
        size_t width = strlen(fill[i]);
        for (size_t at = 0; at + width < sizeof text; at += width)
            memcpy(text + at, fill[i], width);
        log_event(LOG_WARN, "long", LOG_TEXT("short", "kept"), LOG_SPAN("a", ((struct span){text, sizeof text - 1})),
                  LOG_SPAN("b", ((struct span){text, 5000})), LOG_INT("n", 7));
    }
    read_back(l);
    size_t lines = 0;
    for (char *at = l->text, *eol; (eol = strchr(at, '\n')); at = eol + 1, lines++) {
        struct jval root;
        struct jfault fault;
        assert_in_range(eol + 1 - at, 1000, BOUND_LOG_LINE);
        assert_int_equal(jscan_check((struct span){at, (size_t)(eol - at)}, 2, &root, &fault), WEIR_OK);
        assert_true(jval_is(jscan_find(root, "short"), "kept"));
        assert_int_equal(jscan_find(root, "n").kind, JSON_NUMBER);
        assert_int_equal(jscan_find(root, "b").kind, JSON_STRING);
    }
    assert_int_equal(lines, 5);
    logged_gone(l);
}

static void *write_many(void *arg)
{
    for (int i = 0; i < 500; i++)
        log_event(LOG_INFO, "many", LOG_TEXT("who", arg), LOG_INT("i", i));
    return NULL;
}

static void threads_do_not_mix_lines(void **state)
{
    (void)state;
    struct logged *l = log_to_file(LOG_INFO);
    pthread_t threads[4];
    static char who[4][200];
    for (int i = 0; i < 4; i++) {
        memset(who[i], 'a' + i, sizeof who[i] - 1);
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, who[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    read_back(l);
    size_t lines = 0;
    for (char *at = l->text, *eol; (eol = strchr(at, '\n')); at = eol + 1, lines++) {
        struct jval root;
        struct jfault fault;
        assert_int_equal(jscan_check((struct span){at, (size_t)(eol - at)}, 2, &root, &fault), WEIR_OK);
    }
    assert_int_equal(lines, 2000);
    logged_gone(l);
}

static void levels_and_paths_are_checked(void **state)
{
    (void)state;
    enum log_level level = LOG_WARN;
    assert_true(log_level_parse("debug", &level) && level == LOG_DEBUG);
    assert_true(log_level_parse("error", &level) && level == LOG_ERROR);
    assert_false(log_level_parse("Error", &level));
    assert_false(log_level_parse(NULL, &level));
    assert_int_equal(level, LOG_ERROR);
    assert_int_equal(log_open("/nonexistent/dir/log", LOG_INFO), WEIR_IO);
    assert_int_equal(log_open("stderr", LOG_WARN), WEIR_OK);
    assert_true(log_wants(LOG_WARN));
    assert_false(log_wants(LOG_INFO));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_have_time_level_event_and_fields),
        cmocka_unit_test(long_texts_are_cut_and_the_line_stays_json),
        cmocka_unit_test(threads_do_not_mix_lines),
        cmocka_unit_test(levels_and_paths_are_checked),
    };
    clock_replace(fixed_wall_ms, NULL);
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
