/* Looking through the audit log gives what a look at every row gives, whatever the filter, piece by piece, page by page. */
#define PIECE 37
#include "sql/db.c"
#include "sql/audit_search.c"

#include "tests/unit/sql_room.h"

#define ROWS 1500
#define START (100 * (int64_t)AUDIT_LONGEST_MS)
#define STEP_MS 900000 /* between rows: 1500 of them are 15 days */

struct row { int64_t time; const char *user, *team, *key, *outcome; };
static struct row rows[ROWS + 1]; /* by id */

static unsigned draw(unsigned *state) { return *state = *state * 1664525u + 1013904223u, *state >> 16; }

/* Ids are in the order of writing; a row's time lies up to 20 hours before it was written. */
static void fill(struct db *db, const struct room *room)
{
    static const char *const users[] = {"ada", "grace", "joan", NULL}, *const outcomes[] = {"ok", "ok", "ok", "ok", "refused", "failed"};
    unsigned state = 7;
    sqlite3 *at;
    assert_int_equal(db_begin(db), WEIR_OK);
    for (int i = 1; i <= ROWS; i++) {
        unsigned u = draw(&state) % 40;
        struct row *r = &rows[i];
        *r = (struct row){.time = START + i * (int64_t)STEP_MS - draw(&state) % 80 * (int64_t)STEP_MS, .user = users[u < 30 ? 1 : u < 39 ? 2 : 3],
                          .team = u % 2 ? "looms" : NULL, .key = u % 3 ? "k1" : "k2", .outcome = outcomes[draw(&state) % 6]};
        if (i > 100 && i < 104) /* a rare one, long ago, and long under way */
            r->user = "ada", r->time = START + (i - 78) * (int64_t)STEP_MS;
        struct audit_row row = room_audit("r");
        row.time = r->time, row.user = r->user, row.team = r->team, row.key = r->key, row.outcome = r->outcome;
        assert_int_equal(audit_insert(db, &row), WEIR_OK);
    }
    assert_int_equal(db_commit(db), WEIR_OK);
    assert_int_equal(sqlite3_open(room->db, &at), SQLITE_OK);
    assert_int_equal(sqlite3_exec(at, "insert into rollup (hour, user, team, role, alias, provider, key, requests, prompt_tokens, cached_tokens, "
        "completion_tokens, cost, unpriced, errors, l0, l1, l2, l3, l4, l5, l6, l7, l8, l9) select time / 3600000 * 3600000, "
        "coalesce(user, ''), coalesce(team, ''), '', '', '', coalesce(key, ''), count(*), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 "
        "from audit group by 1, 2, 3, 7", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(at);
}

static bool same(const char *wanted, const char *got) { return !wanted || (got && strcmp(wanted, got) == 0); }

static bool fits(const struct audit_filter *f, const struct row *r)
{
    return (!f->since || r->time >= f->since) && (!f->until || r->time < f->until) && same(f->user, r->user) &&
           same(f->team, r->team) && same(f->key, r->key) && same(f->outcome, r->outcome);
}

struct seen { int64_t ids[ROWS]; int count; };

static bool note(const struct audit_row *r, void *arg)
{
    struct seen *s = arg;
    assert_true(s->count < ROWS);
    s->ids[s->count++] = r->id;
    return true;
}

/* All pages of `most` rows, with so little time that each search is cut after one piece if budget_ms is 0. */
static void compare(struct db *db, const struct audit_filter *f, int most, int64_t budget_ms)
{
    struct seen s = {.count = 0};
    int64_t next = 0, back_to;
    int turns = 0, want = 0;
    do {
        int before = s.count;
        assert_int_equal(audit_search(db, f, next, most, budget_ms, note, &s, &next, &back_to), WEIR_OK);
        assert_true(s.count - before <= most && ++turns < 4 * ROWS);
        assert_true(!next == !back_to);
    } while (next);
    for (int64_t id = ROWS; id >= 1; id--) {
        if (!fits(f, &rows[id])) continue;
        assert_true(want < s.count);
        assert_int_equal(s.ids[want], id);
        want++;
    }
    assert_int_equal(s.count, want);
}

static void every_filter_finds_what_a_look_at_all_rows_finds(void **state)
{
    static const struct audit_filter filters[] = {
        {0}, {.user = "grace"}, {.user = "ada"}, {.user = "nobody"}, {.key = "k2"}, {.team = "looms"}, {.outcome = "ok"}, {.outcome = "failed"},
        {.outcome = "orphaned"}, {.user = "ada", .outcome = "ok"}, {.user = "joan", .team = "looms", .key = "k1", .outcome = "refused"},
        {.since = START + 5 * (int64_t)AUDIT_LONGEST_MS}, {.until = START + 5 * (int64_t)AUDIT_LONGEST_MS}, {.since = START + 3 * (int64_t)AUDIT_LONGEST_MS, .until = START + 4 * (int64_t)AUDIT_LONGEST_MS},
        {.since = START + 3 * (int64_t)AUDIT_LONGEST_MS, .until = START + 3 * (int64_t)AUDIT_LONGEST_MS}, {.since = START + 99 * (int64_t)AUDIT_LONGEST_MS}, {.until = 1},
        {.user = "ada", .since = START + 2 * (int64_t)AUDIT_LONGEST_MS}, {.key = "k2", .until = START + 9 * (int64_t)AUDIT_LONGEST_MS, .outcome = "failed"},
    };
    struct room r;
    (void)state;
    room_open(&r);
    struct db *db = room_admin(&r);
    fill(db, &r);
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        compare(db, &filters[i], 50, 1000);
        compare(db, &filters[i], 7, 0);
        compare(db, &filters[i], ROWS, 1000);
    }
    db_close(db);
    room_close(&r);
}

static void a_rare_user_is_found_without_a_look_at_every_row(void **state)
{
    const struct audit_filter f = {.user = "ada"};
    struct seen s = {.count = 0};
    int64_t next = 0, back_to;
    int turns = 0;
    struct room r;
    (void)state;
    room_open(&r);
    struct db *db = room_admin(&r);
    fill(db, &r);
    do {
        assert_int_equal(audit_search(db, &f, next, 50, 0, note, &s, &next, &back_to), WEIR_OK);
        turns++;
    } while (next && s.count < 3);
    assert_int_equal(s.count, 3);
    assert_true(turns < 12); /* of 40 pieces */
    db_close(db);
    room_close(&r);
}

static void an_empty_log_has_nothing(void **state)
{
    const struct audit_filter f = {.user = "ada"};
    struct seen s = {.count = 0};
    int64_t next, back_to;
    struct room r;
    (void)state;
    room_open(&r);
    struct db *db = room_admin(&r);
    assert_int_equal(audit_search(db, &f, 0, 50, 10, note, &s, &next, &back_to), WEIR_OK);
    assert_int_equal(s.count + next + back_to, 0);
    db_close(db);
    room_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_filter_finds_what_a_look_at_all_rows_finds),
        cmocka_unit_test(a_rare_user_is_found_without_a_look_at_every_row),
        cmocka_unit_test(an_empty_log_has_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
