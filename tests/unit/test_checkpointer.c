/* The checkpointer beside a writer that never pauses: its log starts again. */
#include "sql/db.c"
#include "sql/checkpointer.c"

#include <unistd.h>
#include "sql_ids.h"
#include "tests/unit/sql_room.h"

#define LONG_MS 20000

static void write_row(struct db *db)
{
    char filling[3001];
    memset(filling, 'x', 3000);
    filling[3000] = 0;
    struct audit_row row = room_audit("r");
    row.error = filling;
    assert_int_equal(db_begin(db), WEIR_OK);
    assert_int_equal(audit_insert(db, &row), WEIR_OK);
    assert_int_equal(db_commit(db), WEIR_OK);
}

static void write_pages(struct db *db, int pages)
{
    for (int most = db_wal_pages(db) + pages; db_wal_pages(db) < most;) write_row(db);
}

/* The thread sees no moment in which all of the log is moved; what came while it worked is the writer's to move. */
static void a_log_that_is_always_written_to_starts_again(void **state)
{
    struct room r;
    struct checkpointer *c;
    (void)state;
    room_open(&r);
    struct db *db = room_admin(&r);
    assert_int_equal(checkpointer_new(r.db, false, &c), WEIR_OK);
    for (int i = 0; i < 3; i++) {
        write_pages(db, PASSIVE_PAGES + 1);
        checkpointer_saw(c, db);
        int64_t until = clock_mono_ms() + LONG_MS;
        while (!atomic_load(&c->moved) && clock_mono_ms() < until) usleep(1000);
        assert_true(atomic_load(&c->moved) > 0);
        write_pages(db, 50);
        assert_true(db_wal_pages(db) > PASSIVE_PAGES);
        checkpointer_saw(c, db);
        write_row(db);
        assert_in_range(db_wal_pages(db), 1, 20);
        checkpointer_saw(c, db);
    }
    checkpointer_free(c);
    db_close(db);
    room_is_whole(&r);
    room_close(&r);
}

/* With more than half of it new, the thread goes first once more. */
static void the_writer_moves_only_what_is_little(void **state)
{
    struct room r;
    struct checkpointer *c;
    (void)state;
    room_open(&r);
    struct db *db = room_admin(&r);
    assert_int_equal(checkpointer_new(r.db, false, &c), WEIR_OK);
    write_pages(db, PASSIVE_PAGES + 1);
    checkpointer_saw(c, db);
    int64_t until = clock_mono_ms() + LONG_MS;
    while (!atomic_load(&c->moved) && clock_mono_ms() < until) usleep(1000);
    write_pages(db, 2 * PASSIVE_PAGES);
    checkpointer_saw(c, db);
    while (!atomic_load(&c->moved) && clock_mono_ms() < until) usleep(1000);
    assert_true(atomic_load(&c->moved) > 3 * PASSIVE_PAGES);
    checkpointer_free(c);
    db_close(db);
    room_close(&r);
}

/* The reader holds up a whole checkpoint for a second at least; who writes goes on meanwhile. */
static void nobody_waits_for_what_may_be_lost(void **state)
{
    struct room r;
    struct checkpointer *c;
    struct stmt *s;
    bool row;
    (void)state;
    room_open(&r);
    struct db *db = room_admin(&r), *reader = room_admin(&r);
    assert_int_equal(checkpointer_new(r.db, true, &c), WEIR_OK);
    write_pages(db, 1);
    assert_int_equal(db_begin_read(reader), WEIR_OK);
    s = db_stmt(reader, SQL_CONFIG_VERSION);
    assert_int_equal(stmt_step(s, &row), WEIR_OK);
    write_pages(db, WHOLE_PAGES);
    checkpointer_saw(c, db);
    pthread_mutex_lock(&c->lock);
    enum want want = c->want;
    pthread_mutex_unlock(&c->lock);
    assert_int_equal(want, WANT_WHOLE); /* it is not done */
    stmt_reset(s);
    db_rollback(reader);
    int64_t until = clock_mono_ms() + LONG_MS;
    while (db_wal_pages(db) > PASSIVE_PAGES && clock_mono_ms() < until) {
        write_row(db);
        checkpointer_saw(c, db);
        usleep(1000);
    }
    assert_true(db_wal_pages(db) <= PASSIVE_PAGES);
    checkpointer_free(c);
    db_close(reader);
    db_close(db);
    room_is_whole(&r);
    room_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_that_is_always_written_to_starts_again),
        cmocka_unit_test(the_writer_moves_only_what_is_little),
        cmocka_unit_test(nobody_waits_for_what_may_be_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
