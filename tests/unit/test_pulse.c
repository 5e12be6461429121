/* What processes know of upstreams: what one has found out the next one sees, one probe is one process's, a resting key
 * rests for its model, a refused one for good, and counts arrive. Two pulses on two stores stand for two processes. */
#include "sql/db.c"
#include "sql/probing.c"
#include "sql/pulse.c"

#include "tests/unit/sql_room.h"

struct process { struct store *store; struct pulse *pulse; };
static struct { struct room room; struct process one, two; int64_t wall; } town;

static int64_t wall_ms(void) { return town.wall; }

static void process_open(struct process *p)
{
    assert_int_equal(store_open(town.room.dir, town.room.key, &p->store), WEIR_OK);
    assert_int_equal(pulse_open(p->store, town.room.dir, &p->pulse), WEIR_OK);
}

static void process_close(struct process *p)
{
    store_close(p->store, 1000);
    pulse_close(p->pulse);
}

static int open_town(void **state)
{
    (void)state;
    room_open(&town.room);
    town.wall = 1000000000000;
    clock_replace(wall_ms, NULL);
    assert_int_equal(secret_start(), WEIR_OK);
    assert_int_equal(master_key_make(town.room.key), WEIR_OK);
    process_open(&town.one);
    process_open(&town.two);
    return 0;
}

static int close_town(void **state)
{
    (void)state;
    process_close(&town.one);
    process_close(&town.two);
    clock_replace(NULL, NULL);
    room_close(&town.room);
    return 0;
}

/* Whatever was told before is committed when this returns. */
static enum weir_err nothing(struct job *j, struct db *db)
{
    (void)j, (void)db;
    return WEIR_OK;
}

static void none(struct job *j) { free(j); }

static void settle(struct process *p)
{
    struct job *j = calloc(1, sizeof *j);
    *j = (struct job){.run = nothing, .dispose = none};
    assert_int_equal(writer_run(store_writer(p->store), j, 5000, true), WEIR_OK);
    job_release(j);
}

static void tell(struct process *p, const char *model, const char *key, enum pulse_word word, int64_t cool_ms)
{
    pulse_tell(p->pulse, &(struct pulse_report){.provider = "p", .model = model, .key = key, .word = word, .cool_ms = cool_ms,
                                                .latency_ms = 7, .error = word == PULSE_GOOD ? NULL : "p: it says no"});
    settle(p);
}

static enum health_may may(struct process *p, const char *model, const char *key)
{
    int64_t until;
    struct health_map *m = pulse_hold(p->pulse);
    enum health_may answer = health_may(m, "p", model, key, town.wall, &until);
    health_release(m);
    return answer;
}

static void what_one_finds_out_the_other_sees_at_once(void **state)
{
    (void)state;
    assert_int_equal(may(&town.two, "m", "k"), HEALTH_GO);
    for (int i = 0; i < 5; i++) tell(&town.one, "m", "k", PULSE_BAD, 0);
    assert_int_equal(may(&town.two, "m", "k"), HEALTH_BLOCKED);
    assert_int_equal(may(&town.two, "other", "k"), HEALTH_GO); /* it is the target's failure, not the key's */
    town.wall += BREAKER_OPEN_MS;
    assert_int_equal(may(&town.two, "m", "k"), HEALTH_CLAIM);
}

static void a_probe_is_claimed_once_over_all_processes(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) tell(&town.one, "m", NULL, PULSE_BAD, 0);
    assert_false(pulse_claim(town.two.pulse, "p", "m", NULL));
    town.wall += BREAKER_OPEN_MS;
    assert_true(pulse_claim(town.two.pulse, "p", "m", NULL));
    assert_false(pulse_claim(town.one.pulse, "p", "m", NULL));
    assert_int_equal(may(&town.one, "m", NULL), HEALTH_BLOCKED);
    pulse_tell(town.two.pulse, &(struct pulse_report){.provider = "p", .model = "m", .word = PULSE_NOTHING, .claimed = true});
    settle(&town.two);
    assert_true(pulse_claim(town.one.pulse, "p", "m", NULL));
    pulse_tell(town.one.pulse, &(struct pulse_report){.provider = "p", .model = "m", .word = PULSE_GOOD, .claimed = true});
    settle(&town.one);
    assert_int_equal(may(&town.two, "m", NULL), HEALTH_GO);
}

static void a_key_rests_for_its_model_and_for_all_once_a_second_is_refused(void **state)
{
    (void)state;
    tell(&town.one, "m", "k", PULSE_LIMITED, 30000);
    assert_int_equal(may(&town.two, "m", "k"), HEALTH_BLOCKED);
    assert_int_equal(may(&town.two, "n", "k"), HEALTH_GO);
    assert_int_equal(may(&town.two, "m", "l"), HEALTH_GO);
    tell(&town.two, "n", "k", PULSE_LIMITED, 20000);
    assert_int_equal(may(&town.one, "o", "k"), HEALTH_BLOCKED);
    town.wall += 29999;
    assert_int_equal(may(&town.one, "o", "k"), HEALTH_BLOCKED); /* the longer of the two counts */
    town.wall += 1;
    assert_int_equal(may(&town.one, "o", "k"), HEALTH_GO);
    tell(&town.one, "m", "k", PULSE_LIMITED, INT64_MAX);
    town.wall += COOL_MOST_MS;
    assert_int_equal(may(&town.one, "m", "k"), HEALTH_GO);
}

static void a_limit_without_a_time_is_a_failure_of_the_key(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) tell(&town.one, "m", "k", PULSE_LIMITED, 0);
    assert_int_equal(may(&town.one, "n", "k"), HEALTH_BLOCKED);
    assert_int_equal(may(&town.one, "n", "l"), HEALTH_GO);
}

static void a_refused_key_is_used_no_more_and_a_target_without_one_has_failed(void **state)
{
    (void)state;
    tell(&town.one, "m", "k", PULSE_REFUSED, 0);
    town.wall += COOL_MOST_MS;
    assert_int_equal(may(&town.two, "n", "k"), HEALTH_BLOCKED);
    tell(&town.one, "m", NULL, PULSE_REFUSED, 0);
    assert_int_equal(may(&town.two, "m", NULL), HEALTH_GO);
    for (int i = 0; i < 4; i++) tell(&town.one, "m", NULL, PULSE_REFUSED, 0);
    assert_int_equal(may(&town.two, "m", NULL), HEALTH_BLOCKED);
}

static void good_news_that_are_none_are_not_written(void **state)
{
    (void)state;
    tell(&town.one, "m", "k", PULSE_GOOD, 0);
    int64_t rows = room_number(&town.room, "SELECT count(*) FROM health");
    for (int i = 0; i < 50; i++) tell(&town.one, "m", "k", PULSE_GOOD, 0);
    assert_int_equal(room_number(&town.room, "SELECT count(*) FROM health"), rows);
    assert_int_equal(room_number(&town.room, "SELECT sum(requests) FROM health"), 0);
    pulse_flush(town.one.pulse, 5000);
    assert_int_equal(room_number(&town.room, "SELECT requests FROM health WHERE kind = 1"), 51);
    assert_int_equal(room_number(&town.room, "SELECT requests FROM health WHERE kind = 2"), 51);
    assert_int_equal(room_number(&town.room, "SELECT latency_ms FROM health WHERE kind = 1"), 7);
    tell(&town.two, "m", "k", PULSE_BAD, 0);
    pulse_flush(town.two.pulse, 5000);
    pulse_flush(town.two.pulse, 5000); /* once counted is counted */
    assert_int_equal(room_number(&town.room, "SELECT requests * 100 + failed FROM health WHERE kind = 1"), 5201);
}

/* With models that callers name themselves there may be any number of them. */
static void of_a_model_that_the_caller_has_named_nothing_is_kept(void **state)
{
    (void)state;
    pulse_tell(town.one.pulse, &(struct pulse_report){.provider = "p", .model = "made up", .key = "k", .word = PULSE_BAD,
                                                      .unnamed = true, .error = "no"});
    settle(&town.one);
    pulse_flush(town.one.pulse, 5000);
    assert_int_equal(room_number(&town.room, "SELECT count(*) FROM health WHERE kind = 1"), 0);
    assert_int_equal(room_number(&town.room, "SELECT requests FROM health WHERE kind = 2"), 1);
}

/* Else the breaker of a target that an alias has stays half-open for as long as callers name its model themselves. */
static void a_probe_under_the_callers_name_counts_all_the_same(void **state)
{
    const struct pulse_report report = {.provider = "p", .model = "m", .key = "k", .unnamed = true, .claimed = true,
                                        .word = PULSE_GOOD, .latency_ms = 7};
    struct pulse_report other = report;
    (void)state;
    for (int last_resort = 0; last_resort < 2; last_resort++) {
        for (int i = 0; i < BREAKER_FAILURES; i++) tell(&town.one, "m", "k", PULSE_BAD, 0);
        town.wall += last_resort ? BREAKER_RESORT_MS : BREAKER_OPEN_MS;
        assert_true(pulse_claim(town.one.pulse, "p", "m", "k"));
        pulse_tell(town.one.pulse, &report);
        settle(&town.one);
        assert_int_equal(may(&town.two, "m", "k"), HEALTH_GO);
    }
    other.model = "made up";
    other.word = PULSE_BAD;
    pulse_tell(town.one.pulse, &other);
    settle(&town.one);
    assert_int_equal(room_number(&town.room, "SELECT count(*) FROM health WHERE kind = 1"), 1);
}

static void uses_and_turns_are_counted(void **state)
{
    (void)state;
    pulse_begin(town.one.pulse, "p", "k");
    pulse_begin(town.one.pulse, "p", "k");
    pulse_end(town.one.pulse, "p", "k");
    assert_int_equal(pulse_uses(town.one.pulse, NULL, "p", "k").in_flight, 1);
    uint64_t turn = pulse_turn(town.one.pulse, HEALTH_KEY, "p");
    assert_true(pulse_turn(town.one.pulse, HEALTH_KEY, "p") == turn + 1);
    assert_int_equal(pulse_latency(town.one.pulse, NULL, "p", "m"), -1);
    tell(&town.one, "m", "k", PULSE_GOOD, 0);
    assert_int_equal(pulse_latency(town.one.pulse, NULL, "p", "m"), 7);
    assert_false(pulse_is_spared(town.one.pulse, "p", "k"));
    pulse_spare(town.one.pulse, "p", "k", clock_mono_ms() + 60000);
    assert_true(pulse_is_spared(town.one.pulse, "p", "k"));
    pulse_spare(town.one.pulse, "p", "k", clock_mono_ms() - 1);
    assert_false(pulse_is_spared(town.one.pulse, "p", "k"));
}

/* ---- probes ---- */

static const struct upstream_key keys[] = {{"k", 1, NULL}, {"l", 2, NULL}};
static const struct provider_row providers[] = {{.name = "p", .keys = keys, .key_count = 2}};
static const struct snapshot snap = {.providers = providers, .provider_count = 1};

static int due(struct process *p, struct probe_due *out)
{
    struct health_map *m = pulse_hold(p->pulse);
    int n = probing_due(&snap, m, town.wall, out, PROBES_MOST);
    health_release(m);
    return n;
}

static void note(struct process *p, const struct probe_news *news)
{
    struct db *db = room_admin(&town.room);
    struct health_map *m = pulse_hold(p->pulse);
    assert_int_equal(db_begin(db), WEIR_OK);
    assert_int_equal(probing_note(db, m, news, town.wall), WEIR_OK);
    assert_int_equal(db_commit(db), WEIR_OK);
    health_release(m);
    db_close(db);
    pulse_ring(town.room.dir);
}

static void each_provider_is_probed_every_five_minutes(void **state)
{
    struct probe_due d[PROBES_MOST];
    (void)state;
    assert_int_equal(due(&town.one, d), 1);
    assert_ptr_equal(d[0].key, &keys[0]);
    note(&town.one, &(struct probe_news){.provider = "p", .key = "k", .status = 404, .latency_ms = 600});
    assert_int_equal(due(&town.two, d), 0);
    town.wall += PROBE_EVERY_MS - 1;
    assert_int_equal(due(&town.two, d), 0);
    town.wall += 1;
    assert_int_equal(due(&town.two, d), 1);
}

static void what_was_silent_is_probed_when_its_pause_is_over_and_what_answered_is_not(void **state)
{
    struct probe_due d[PROBES_MOST];
    (void)state;
    note(&town.one, &(struct probe_news){.provider = "p", .status = 200});
    for (int i = 0; i < 5; i++) {
        pulse_tell(town.one.pulse, &(struct pulse_report){.provider = "p", .model = "silent", .word = PULSE_BAD, .unreached = true});
        tell(&town.one, "wrong", NULL, PULSE_BAD, 0);
    }
    assert_int_equal(due(&town.one, d), 0);
    town.wall += BREAKER_OPEN_MS;
    assert_int_equal(due(&town.one, d), 1);
    note(&town.one, &(struct probe_news){.provider = "p", .error = "connection refused"});
    assert_int_equal(due(&town.one, d), 0);
    assert_int_equal(may(&town.one, "silent", NULL), HEALTH_BLOCKED);
    assert_int_equal(may(&town.one, "wrong", NULL), HEALTH_CLAIM);
    town.wall += 2 * BREAKER_OPEN_MS;
    assert_int_equal(due(&town.one, d), 1);
    note(&town.one, &(struct probe_news){.provider = "p", .status = 429});
    assert_int_equal(may(&town.one, "silent", NULL), HEALTH_GO);
    assert_int_equal(due(&town.one, d), 0);
}

static void a_refused_key_is_tried_by_probes_and_comes_back(void **state)
{
    struct probe_due d[PROBES_MOST];
    (void)state;
    note(&town.one, &(struct probe_news){.provider = "p", .status = 200});
    tell(&town.one, "m", "k", PULSE_REFUSED, 0);
    assert_int_equal(due(&town.one, d), 0);
    town.wall += PROBE_EVERY_MS;
    assert_int_equal(due(&town.one, d), 2);
    assert_ptr_equal(d[0].key, &keys[1]); /* the provider itself is asked with one that works */
    assert_ptr_equal(d[1].key, &keys[0]);
    note(&town.one, &(struct probe_news){.provider = "p", .key = "k", .status = 401, .error = "answered 401"});
    assert_int_equal(may(&town.one, "m", "k"), HEALTH_BLOCKED);
    assert_int_equal(due(&town.one, d), 0);
    town.wall += PROBE_EVERY_MS;
    note(&town.one, &(struct probe_news){.provider = "p", .key = "k", .status = 200});
    assert_int_equal(may(&town.one, "m", "k"), HEALTH_GO);
}

static void a_key_refused_while_its_probe_is_under_way_stays_refused(void **state)
{
    struct health_map *before = pulse_hold(town.one.pulse);
    struct db *db = room_admin(&town.room);
    (void)state;
    tell(&town.one, "m", "k", PULSE_REFUSED, 0);
    assert_int_equal(db_begin(db), WEIR_OK);
    assert_int_equal(probing_note(db, before, &(struct probe_news){.provider = "p", .key = "k", .status = 200}, town.wall), WEIR_OK);
    assert_int_equal(db_commit(db), WEIR_OK);
    pulse_ring(town.room.dir);
    assert_int_equal(may(&town.one, "m", "k"), HEALTH_BLOCKED);
    health_release(before);
    db_close(db);
}

static void the_lease_is_one_holder_s_until_it_runs_out(void **state)
{
    struct db *db = room_admin(&town.room);
    bool mine;
    (void)state;
    assert_int_equal(lease_take(db, "probes", "a", 1000, 500, &mine), WEIR_OK);
    assert_true(mine);
    assert_int_equal(lease_take(db, "probes", "b", 1400, 500, &mine), WEIR_OK);
    assert_false(mine);
    assert_int_equal(lease_take(db, "probes", "a", 1400, 500, &mine), WEIR_OK);
    assert_true(mine);
    assert_int_equal(lease_take(db, "probes", "b", 1901, 500, &mine), WEIR_OK);
    assert_true(mine);
    db_close(db);
}

#define IN_TOWN(test) cmocka_unit_test_setup_teardown(test, open_town, close_town)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_TOWN(what_one_finds_out_the_other_sees_at_once),
        IN_TOWN(a_probe_is_claimed_once_over_all_processes),
        IN_TOWN(a_probe_under_the_callers_name_counts_all_the_same),
        IN_TOWN(a_key_rests_for_its_model_and_for_all_once_a_second_is_refused),
        IN_TOWN(a_limit_without_a_time_is_a_failure_of_the_key),
        IN_TOWN(a_refused_key_is_used_no_more_and_a_target_without_one_has_failed),
        IN_TOWN(good_news_that_are_none_are_not_written),
        IN_TOWN(of_a_model_that_the_caller_has_named_nothing_is_kept),
        IN_TOWN(uses_and_turns_are_counted),
        IN_TOWN(each_provider_is_probed_every_five_minutes),
        IN_TOWN(what_was_silent_is_probed_when_its_pause_is_over_and_what_answered_is_not),
        IN_TOWN(a_refused_key_is_tried_by_probes_and_comes_back),
        IN_TOWN(a_key_refused_while_its_probe_is_under_way_stays_refused),
        IN_TOWN(the_lease_is_one_holder_s_until_it_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
