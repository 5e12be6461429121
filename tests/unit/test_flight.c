/* Single-flight, in one process and over several: everyone hears the whole story, or that there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <cmocka.h>
#include "fcgi/base/flight.c"

#define LONG_MS 20000

static char dir[40];

static struct flights *start(void)
{
    struct flights *f;
    strcpy(dir, "/tmp/weir-unit-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(flights_new(dir, &f), WEIR_OK);
    return f;
}

static void end(struct flights *f)
{
    char command[80];
    flights_free(f);
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

static struct flight *join(struct flights *f, bool expected)
{
    struct flight *t;
    bool leads;
    assert_int_equal(flight_join(f, "name", &leads, &t), WEIR_OK);
    assert_int_equal(leads, expected);
    return t;
}

static enum flight_event next(struct flight *t, struct span *record)
{
    return flight_wait(t, -1, -1, clock_mono_ms() + LONG_MS, record);
}

static void hears(struct flight *t, const char *text)
{
    struct span record;
    assert_int_equal(next(t, &record), FLIGHT_RECORD);
    assert_true(span_is(record, text));
}

static void one_leads_and_the_others_hear_all_of_it(void **state)
{
    struct flights *f = start(), *elsewhere;
    struct span record;
    (void)state;
    assert_int_equal(flights_new(dir, &elsewhere), WEIR_OK);
    struct flight *leader = join(f, true);
    assert_false(flight_is_followed(leader));
    flight_tell(leader, SPAN("one"));
    struct flight *early = join(f, false), *far = join(elsewhere, false);
    assert_true(flight_is_followed(leader));
    hears(early, "one");
    assert_int_equal(flight_wait(early, -1, -1, clock_mono_ms() + 5, &record), FLIGHT_TIMEOUT);
    flight_tell(leader, SPAN(""));
    flight_tell(leader, SPAN("two"));
    struct flight *late = join(f, false);
    flight_end(leader, SPAN(""));
    flight_leave(leader);
    struct flight *another = join(f, true); /* what is over is joined by nobody */
    flight_leave(another);
    struct flight *const all[] = {early, far, late};
    for (int i = 0; i < 3; i++) {
        if (i) hears(all[i], "one");
        hears(all[i], "");
        hears(all[i], "two");
        assert_int_equal(next(all[i], &record), FLIGHT_END);
        flight_leave(all[i]);
    }
    flights_free(elsewhere);
    end(f);
}

static void a_leader_that_fails_is_noticed_and_another_leads(void **state)
{
    struct flights *f = start();
    struct span record;
    (void)state;
    struct flight *leader = join(f, true), *follower = join(f, false), *other = join(f, false);
    flight_tell(leader, SPAN("half"));
    flight_leave(leader);
    hears(follower, "half");
    assert_int_equal(next(follower, &record), FLIGHT_FAILED);
    flight_leave(follower);
    struct flight *second = join(f, true);
    hears(other, "half"); /* of the first leader, and never the second one's words behind it */
    flight_tell(second, SPAN("anew"));
    assert_int_equal(next(other, &record), FLIGHT_FAILED);
    flight_leave(other);
    other = join(f, false);
    hears(other, "anew");
    flight_leave(other);
    flight_leave(second);
    end(f);
}

static void a_killed_leader_in_another_process_is_noticed(void **state)
{
    struct flights *f = start();
    struct span record;
    int ready[2];
    char byte;
    (void)state;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct flight *leader = join(f, true);
        flight_tell(leader, SPAN("half"));
        if (write(ready[1], "x", 1) == 1) pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    struct flight *follower = join(f, false);
    hears(follower, "half");
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(next(follower, &record), FLIGHT_FAILED);
    flight_leave(follower);
    assert_int_equal(waitpid(child, NULL, 0), child);
    flight_leave(join(f, true));
    close(ready[0]);
    close(ready[1]);
    end(f);
}

static void a_client_that_goes_ends_the_wait(void **state)
{
    struct flights *f = start();
    struct span record;
    int ends[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    struct flight *leader = join(f, true), *follower = join(f, false);
    assert_int_equal(flight_wait(follower, ends[0], -1, clock_mono_ms() + 5, &record), FLIGHT_TIMEOUT);
    close(ends[1]);
    assert_int_equal(flight_wait(follower, ends[0], -1, clock_mono_ms() + LONG_MS, &record), FLIGHT_GONE);
    flight_leave(follower);
    flight_leave(leader);
    close(ends[0]);
    end(f);
}

/* ---- many, with leaders that fail at random: whoever hears an end has heard one leader's whole story ---- */

#define CALLERS 40
#define RECORDS 30

struct caller { struct flights *f; pthread_t thread; unsigned seed; int leads, fails, heard; };

static void lead(struct caller *c, struct flight *t)
{
    char text[60];
    bool fails = c->fails < 2 && rand_r(&c->seed) % 2;
    int until = fails ? (int)(rand_r(&c->seed) % RECORDS) : RECORDS;
    for (int i = 0; i < until; i++) {
        snprintf(text, sizeof text, "%p %d %d", (void *)c, c->leads, i);
        flight_tell(t, span_of(text));
        if (rand_r(&c->seed) % 8 == 0) sched_yield();
    }
    c->leads++;
    c->fails += fails;
    if (fails) return;
    flight_end(t, SPAN(""));
    c->heard++;
}

/* True: to the end. */
static bool follow(struct flight *t)
{
    char story[60] = "", told[60];
    struct span record;
    for (int i = 0;; i++) {
        enum flight_event event = next(t, &record);
        if (event == FLIGHT_FAILED) return false;
        if (event == FLIGHT_END) {
            assert_int_equal(i, RECORDS);
            return true;
        }
        assert_int_equal(event, FLIGHT_RECORD);
        snprintf(told, sizeof told, "%.*s", (int)record.len, record.at);
        char *number = strrchr(told, ' ');
        assert_int_equal(atoi(number), i);
        *number = '\0';
        if (i == 0) strcpy(story, told);
        assert_string_equal(story, told); /* one leader's */
    }
}

static void *call(void *arg)
{
    struct caller *c = arg;
    for (bool done = false; !done;) {
        struct flight *t;
        bool leads;
        if (flight_join(c->f, "name", &leads, &t) != WEIR_OK) break;
        if (leads) lead(c, t);
        else c->heard += follow(t);
        flight_leave(t);
        done = c->heard > 0;
    }
    return NULL;
}

static void whoever_hears_an_end_has_heard_one_whole_story(void **state)
{
    struct caller callers[CALLERS];
    struct flights *f = start(), *elsewhere;
    (void)state;
    assert_int_equal(flights_new(dir, &elsewhere), WEIR_OK);
    for (int round = 0; round < 10; round++) {
        int leads = 0;
        for (int i = 0; i < CALLERS; i++) {
            callers[i] = (struct caller){.f = i % 2 ? f : elsewhere, .seed = (unsigned)(round * 1000 + i)};
            assert_int_equal(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
        }
        for (int i = 0; i < CALLERS; i++) {
            pthread_join(callers[i].thread, NULL);
            assert_int_equal(callers[i].heard, 1);
            leads += callers[i].leads;
        }
        assert_true(leads >= 1);
    }
    flights_free(elsewhere);
    end(f);
}

static void what_a_crash_leaves_behind_is_swept(void **state)
{
    struct flights *f = start();
    char path[80];
    (void)state;
    struct flight *leader = join(f, true);
    snprintf(path, sizeof path, "%s/flight/left", dir);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(futimens(fd, (struct timespec[]){{1, 0}, {1, 0}}), 0);
    assert_int_equal(futimens(leader->fd, (struct timespec[]){{1, 0}, {1, 0}}), 0);
    close(fd);
    flights_sweep(f);
    assert_int_equal(access(path, F_OK), -1);
    flight_leave(join(f, false)); /* a living one stays */
    flight_leave(leader);
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_leads_and_the_others_hear_all_of_it),
        cmocka_unit_test(a_leader_that_fails_is_noticed_and_another_leads),
        cmocka_unit_test(a_killed_leader_in_another_process_is_noticed),
        cmocka_unit_test(a_client_that_goes_ends_the_wait),
        cmocka_unit_test(whoever_hears_an_end_has_heard_one_whole_story),
        cmocka_unit_test(what_a_crash_leaves_behind_is_swept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
