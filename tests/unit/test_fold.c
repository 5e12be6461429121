/* Charts by team and user give the same sums before anything is folded, when all of it is, and when the rollup has grown
 * since; and what is too much to be read at once is left out at its old end, in whole hours. */
#include "sql/db.c"
#include "sql/chart.c"
#include "sql/fold.c"

#include "tests/unit/sql_room.h"

#define HOURS 240 /* ten days */
#define USERS 9   /* user-1 to user-8; 0 is nobody */

static unsigned draw(unsigned *state) { return *state = *state * 1664525u + 1013904223u, *state >> 16; }

static void run(const struct room *room, const char *sql)
{
    sqlite3 *at;
    char *fault = NULL;
    assert_int_equal(sqlite3_open(room->db, &at), SQLITE_OK);
    sqlite3_exec(at, sql, NULL, NULL, &fault);
    assert_null(fault);
    sqlite3_close(at);
}

/* A request of the hour in both rollups, as the gateway writes them. */
static void add(sqlite3 *at, int64_t hour, int user, int tokens)
{
    char sql[1200], name[16] = "", team[16] = "";
    if (user) snprintf(name, sizeof name, "user-%d", user), snprintf(team, sizeof team, "team-%d", user % 2);
    snprintf(sql, sizeof sql, "insert into rollup (hour, user, team, role, alias, provider, key, requests, prompt_tokens, cached_tokens, "
        "completion_tokens, cost, unpriced, errors, l0, l1, l2, l3, l4, l5, l6, l7, l8, l9) values (%lld, '%s', '%s', '', 'm', 'p', 'k%d', 1, %d, 0, "
        "1, %d, 0, %d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) on conflict do update set requests = requests + 1, prompt_tokens = prompt_tokens + excluded.prompt_tokens, "
        "completion_tokens = completion_tokens + 1, cost = cost + excluded.cost, errors = errors + excluded.errors",
        (long long)hour, name, team, user * 3 + tokens % 3, tokens, tokens * 1000, tokens % 7 == 0);
    assert_int_equal(sqlite3_exec(at, sql, NULL, NULL, NULL), SQLITE_OK);
    snprintf(sql, sizeof sql, "insert into rollup_route (hour, alias, provider, requests, prompt_tokens, cached_tokens, completion_tokens, cost, unpriced, "
        "errors, l0, l1, l2, l3, l4, l5, l6, l7, l8, l9) values (%lld, 'm', 'p', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) "
        "on conflict do update set requests = requests + 1", (long long)hour);
    assert_int_equal(sqlite3_exec(at, sql, NULL, NULL, NULL), SQLITE_OK);
}

static int64_t this_hour(void) { return clock_wall_ms() / HOUR_MS * HOUR_MS; }

static void fill(const struct room *room)
{
    unsigned state = 11;
    sqlite3 *at;
    assert_int_equal(sqlite3_open(room->db, &at), SQLITE_OK);
    assert_int_equal(sqlite3_exec(at, "begin", NULL, NULL, NULL), SQLITE_OK);
    for (int h = 0; h < HOURS; h++)
        for (unsigned n = draw(&state) % 12; n; n--) /* some hours have none */
            add(at, this_hour() - h * HOUR_MS, (int)(draw(&state) % USERS), (int)(draw(&state) % 500));
    assert_int_equal(sqlite3_exec(at, "commit", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(at);
}

static int fold_all(struct db *db)
{
    bool due = true;
    int made = 0;
    while (due) {
        struct fold f = {0};
        assert_int_equal(fold_make(db, clock_wall_ms(), &f, &due), WEIR_OK);
        assert_int_equal(db_begin(db), WEIR_OK);
        if (due) assert_int_equal(fold_put(db, &f, clock_wall_ms()), WEIR_OK);
        assert_int_equal(db_commit(db), WEIR_OK);
        buf_free(&f.sums);
        made += due;
        assert_true(made < 1000);
    }
    return made;
}

/* ---- sums of a chart, added up by piece and name ---- */

#define PIECES 32
struct seen { int64_t since, piece; struct chart_sum at[PIECES][USERS + 1]; int64_t begins, cells; };

static void note(int64_t start, const char *name, const struct chart_sum *sum, void *arg)
{
    struct seen *s = arg;
    int64_t i = (start - s->since) / s->piece;
    int who = name ? name[5] - '0' : USERS;
    assert_true(i >= 0 && i < PIECES && who >= 0 && who <= USERS);
    struct chart_sum *to = &s->at[i][who];
    to->requests += sum->requests, to->tokens += sum->tokens, to->cost += sum->cost, to->errors += sum->errors;
    to->unpriced += sum->unpriced;
    s->cells++;
}

static struct seen look(struct db *db, enum chart_by by, int64_t since, int64_t piece)
{
    struct seen s = {.since = since, .piece = piece};
    assert_int_equal(chart_cells(db, by, since, piece, &s.begins, note, &s), WEIR_OK);
    return s;
}

static const struct { enum chart_by by; int64_t piece; int count; } charts[] = {
    {CHART_USER, HOUR_MS, 24}, {CHART_TEAM, HOUR_MS, 24}, {CHART_USER, DAY_MS, 7}, {CHART_TEAM, DAY_MS, 30}, {CHART_USER, DAY_MS, 30}};
#define CHARTS (sizeof charts / sizeof *charts)

static void look_at_all(struct db *db, struct seen s[CHARTS])
{
    for (size_t i = 0; i < CHARTS; i++)
        s[i] = look(db, charts[i].by, clock_wall_ms() / charts[i].piece * charts[i].piece - (charts[i].count - 1) * charts[i].piece,
                    charts[i].piece);
}

static void compare(const struct seen a[CHARTS], const struct seen b[CHARTS])
{
    for (size_t i = 0; i < CHARTS; i++) {
        assert_true(a[i].cells > 0 && a[i].begins == a[i].since && b[i].begins == b[i].since);
        assert_memory_equal(a[i].at, b[i].at, sizeof a[i].at);
    }
}

static struct seen before[CHARTS], after[CHARTS];

static void folded_or_not_the_sums_are_the_same(void **state)
{
    struct room room;
    (void)state;
    room_open(&room);
    struct db *db = room_admin(&room);
    fill(&room);
    look_at_all(db, before);
    int made = fold_all(db);
    assert_true(made >= 60); /* forty hours and nine days, by team and by user */
    assert_int_equal(fold_all(db), 0);
    look_at_all(db, after);
    compare(before, after);
    assert_true(after[4].cells < before[4].cells); /* and they came out of folds */
    db_close(db);
    room_close(&room);
}

static void a_fold_that_misses_a_late_request_is_not_believed(void **state)
{
    struct room room;
    sqlite3 *at;
    (void)state;
    room_open(&room);
    struct db *db = room_admin(&room);
    fill(&room);
    fold_all(db);
    assert_int_equal(sqlite3_open(room.db, &at), SQLITE_OK);
    add(at, this_hour() - 20 * HOUR_MS, 1, 12345);
    add(at, this_hour() - 3 * HOUR_MS, 2, 54321);
    sqlite3_close(at);
    look_at_all(db, after);
    run(&room, "create table kept as select * from rollup_fold; delete from rollup_fold");
    look_at_all(db, before);
    compare(before, after);
    run(&room, "insert into rollup_fold select * from kept; drop table kept");
    assert_true(fold_all(db) >= 4); /* both hours, by both names */
    look_at_all(db, after);
    compare(before, after);
    db_close(db);
    room_close(&room);
}

static void too_much_is_broken_off_at_its_old_end(void **state)
{
    struct room room;
    char sql[900];
    (void)state;
    room_open(&room);
    struct db *db = room_admin(&room);
    int64_t hour = this_hour(), day = clock_wall_ms() / DAY_MS * DAY_MS;
    snprintf(sql, sizeof sql, "insert into rollup (hour, user, team, role, alias, provider, key, requests, prompt_tokens, cached_tokens, completion_tokens, "
        "cost, unpriced, errors, l0, l1, l2, l3, l4, l5, l6, l7, l8, l9) with recursive n(i) as (select 0 union all select i + 1 from n where i < %d) "
        "select %lld - i / 20000 * 3600000, 'user-1', '', '', '', '', i, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 from n", ROWS_MOST + 20000,
        (long long)hour);
    run(&room, sql);
    const struct seen s = look(db, CHART_USER, day - 29 * DAY_MS, DAY_MS);
    assert_int_equal(s.begins, hour - 1 * HOUR_MS); /* two hours are whole, the third was cut */
    assert_int_equal(s.cells, ROWS_MOST);
    db_close(db);
    room_close(&room);
}

static void a_torn_fold_is_an_error_and_not_a_crash(void **state)
{
    static const char *const torn[] = {"x'ff'", "x'05616263'", "x'0161'", "x'0161ffffffffffffffffffff01'", "x'06757365722d310101010101ff'"};
    struct room room;
    (void)state;
    room_open(&room);
    struct db *db = room_admin(&room);
    for (size_t i = 0; i < sizeof torn / sizeof *torn; i++) {
        char sql[200];
        struct seen s = {.since = 0, .piece = DAY_MS};
        snprintf(sql, sizeof sql, "insert or replace into rollup_fold (kind, length, start, requests, sums) values ('user', 86400000, 0, 1, %s)", torn[i]);
        run(&room, sql);
        assert_int_equal(chart_cells(db, CHART_USER, 0, DAY_MS, &s.begins, note, &s), WEIR_CORRUPT);
    }
    db_close(db);
    room_close(&room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folded_or_not_the_sums_are_the_same), cmocka_unit_test(a_fold_that_misses_a_late_request_is_not_believed),
        cmocka_unit_test(too_much_is_broken_off_at_its_old_end), cmocka_unit_test(a_torn_fold_is_an_error_and_not_a_crash)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
