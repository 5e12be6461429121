/* The audit log: every field survives, pages miss and repeat nothing, sums are sums. */
#include "sql/db.c"
#include "sql/audit.c"

#include "tests/unit/sql_room.h"

static void every_field_survives(void **state)
{
    struct room r;
    struct arena a;
    struct audit_row got;
    int count;
    struct audit_row row = {.time = 7, .request_id = "req", .user = "u", .team = "t", .role = "r", .rolegroup = "g",
                            .key = "k", .ip = "::1", .endpoint = "/v1/embeddings", .alias = "al", .provider = "p",
                            .model = "m", .stream = true, .status = 502, .outcome = "failed", .attempts = 3,
                            .cache = "bypass", .prompt_tokens = 11, .cached_tokens = 12, .cache_write_tokens = 13,
                            .completion_tokens = 14, .cost = 15, .usage_source = "none", .first_byte_ms = 16,
                            .latency_ms = 17, .error = "e"};
    (void)state;
    room_open(&r);
    struct db *db = room_admin(&r);
    arena_init(&a);
    assert_int_equal(audit_insert(db, &row), WEIR_OK);
    assert_int_equal(audit_page(db, 0, 0, NULL, 1, &a, &got, &count), WEIR_OK);
    assert_int_equal(count, 1);
    const char *const texts[][2] = {
        {row.request_id, got.request_id}, {row.user, got.user}, {row.team, got.team}, {row.role, got.role},
        {row.rolegroup, got.rolegroup}, {row.key, got.key}, {row.ip, got.ip}, {row.endpoint, got.endpoint},
        {row.alias, got.alias}, {row.provider, got.provider}, {row.model, got.model}, {row.outcome, got.outcome},
        {row.cache, got.cache}, {row.usage_source, got.usage_source}, {row.error, got.error}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) assert_string_equal(texts[i][0], texts[i][1]);
    const int64_t numbers[][2] = {
        {row.time, got.time}, {row.stream, got.stream}, {row.status, got.status}, {row.attempts, got.attempts},
        {row.prompt_tokens, got.prompt_tokens}, {row.cached_tokens, got.cached_tokens},
        {row.cache_write_tokens, got.cache_write_tokens}, {row.completion_tokens, got.completion_tokens},
        {row.cost, got.cost}, {row.first_byte_ms, got.first_byte_ms}, {row.latency_ms, got.latency_ms}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) assert_int_equal(numbers[i][0], numbers[i][1]);
    struct audit_row bare = {.time = 8, .request_id = "bare", .endpoint = "/", .outcome = "ok", .cache = "miss",
                             .usage_source = "none", .cost = -1, .first_byte_ms = -1};
    int64_t first = got.id;
    assert_int_equal(audit_insert(db, &bare), WEIR_OK);
    assert_int_equal(audit_page(db, first, 0, NULL, 1, &a, &got, &count), WEIR_OK);
    assert_int_equal(got.cost, -1);
    assert_int_equal(got.first_byte_ms, -1);
    assert_null(got.user);
    assert_null(got.error);
    arena_end(&a);
    db_close(db);
    room_close(&r);
}

#define DAY 86400000LL

/* Rows are written when a request ends and carry the time it began: a long one stands behind later ones. */
static void pages_are_whole_though_times_are_out_of_order(void **state)
{
    struct room r;
    struct arena a;
    struct audit_row got[7];
    int count, seen = 0, alice = 0;
    int64_t after = 0;
    (void)state;
    room_open(&r);
    struct db *db = room_admin(&r);
    arena_init(&a);
    for (int i = 0; i < 400; i++) {
        struct audit_row row = room_audit("r");
        row.user = i % 3 ? "bob" : "alice";
        row.time = 10 * DAY + (int64_t)i * (DAY / 100) - (i % 7 == 0 ? 600000 : 0);
        assert_int_equal(audit_insert(db, &row), WEIR_OK);
    }
    int64_t since = 12 * DAY;
    do {
        assert_int_equal(audit_page(db, after, since, NULL, 7, &a, got, &count), WEIR_OK);
        for (int i = 0; i < count; i++, seen++) {
            assert_true(got[i].id > after);
            assert_true(got[i].time >= since);
            after = got[i].id;
        }
    } while (count == 7);
    assert_int_equal(seen, room_number(&r, "SELECT count(*) FROM audit WHERE time >= 12 * 86400000"));
    after = 0;
    do {
        assert_int_equal(audit_page(db, after, since, "alice", 7, &a, got, &count), WEIR_OK);
        for (int i = 0; i < count; i++, alice++) after = got[i].id;
    } while (count == 7);
    assert_int_equal(alice, room_number(&r, "SELECT count(*) FROM audit WHERE time >= 12 * 86400000 AND user = 'alice'"));
    arena_end(&a);
    db_close(db);
    room_close(&r);
}

/* Requests of up to a day, quiet days, and rows missing at the beginning and in between. */
static void an_id_stands_for_a_time(void **state)
{
    struct room r;
    sqlite3_stmt *s;
    int64_t written = 10 * DAY, before;
    (void)state;
    room_open(&r);
    struct db *db = room_admin(&r);
    assert_int_equal(audit_id_before(db, 10 * DAY, &before), WEIR_OK);
    assert_int_equal(before, 0);
    srandom(5);
    for (int i = 0; i < 600; i++) {
        struct audit_row row = room_audit("r");
        written += i % 97 ? random() % (DAY / 40) : 3 * DAY;
        row.time = written - random() % DAY;
        assert_int_equal(audit_insert(db, &row), WEIR_OK);
    }
    assert_int_equal(sqlite3_exec(db->at, "DELETE FROM audit WHERE id < 70 OR id % 5 = 3 OR id BETWEEN 300 AND 420", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db->at, "SELECT count(*) FROM audit WHERE CASE WHEN id <= ?1 THEN time >= ?2 + ?3 ELSE time <= ?2 - ?3 END",
                                        -1, &s, NULL), SQLITE_OK);
    for (int64_t time = 8 * DAY; time < written + 2 * DAY; time += DAY / 13) {
        assert_int_equal(audit_id_before(db, time, &before), WEIR_OK);
        sqlite3_bind_int64(s, 1, before);
        sqlite3_bind_int64(s, 2, time);
        sqlite3_bind_int64(s, 3, AUDIT_LONGEST_MS);
        assert_int_equal(sqlite3_step(s), SQLITE_ROW);
        assert_int_equal(sqlite3_column_int64(s, 0), 0);
        sqlite3_reset(s);
    }
    assert_int_equal(room_number(&r, "SELECT max(id) FROM audit"), before);
    sqlite3_finalize(s);
    db_close(db);
    room_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_survives),
        cmocka_unit_test(pages_are_whole_though_times_are_out_of_order),
        cmocka_unit_test(an_id_stands_for_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
