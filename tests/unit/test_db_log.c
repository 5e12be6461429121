/* The gathered log: a commit is one write, and whoever else reads the file, now or after a crash, finds what SQLite would have
 * written by itself: large transactions, undone ones, another process's between, a disk that is full. */
#include "sql/db.c"
#include "sql/db_log.c"

#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/sql_room.h"

static int64_t writes_so_far(void)
{
    char line[60];
    int64_t n = -1;
    FILE *f = fopen("/proc/self/io", "r");
    assert_non_null(f);
    while (n < 0 && fgets(line, sizeof line, f)) sscanf(line, "syscw: %ld", &n);
    fclose(f);
    assert_true(n >= 0);
    return n;
}

static void run(struct db *db, const char *sql)
{
    if (sqlite3_exec(db->at, sql, NULL, NULL, NULL) != SQLITE_OK) fail_msg("%s: %s", sql, sqlite3_errmsg(db->at));
}

static struct db *open_room(struct room *r)
{
    room_open(r);
    struct db *db = room_admin(r);
    run(db, "CREATE TABLE a (id INTEGER PRIMARY KEY, n INTEGER, x BLOB); CREATE TABLE b (n INTEGER); CREATE TABLE c (n INTEGER)");
    return db;
}

/* What a process that knows nothing of this one would see after a crash of the machine's other processes: of the files as
 * they are, with the log's index made anew. */
static int64_t after_crash(const struct room *r, const char *sql)
{
    char cmd[400];
    struct room copy = *r;
    snprintf(copy.db, sizeof copy.db, "%s/copy.db", r->dir);
    snprintf(cmd, sizeof cmd, "rm -f %s* && cp %s %s && cp %s-wal %s-wal", copy.db, r->db, copy.db, r->db, copy.db);
    assert_int_equal(system(cmd), 0);
    room_is_whole(&copy);
    return room_number(&copy, sql);
}

static void a_commit_is_one_write(void **state)
{
    struct room r;
    (void)state;
    struct db *db = open_room(&r);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(db_begin(db), WEIR_OK);
        run(db, "INSERT INTO a (n) VALUES (1); INSERT INTO b VALUES (1); INSERT INTO c VALUES (1)");
        int64_t before = writes_so_far();
        assert_int_equal(db_commit(db), WEIR_OK);
        assert_int_equal(writes_so_far() - before, 1);
        assert_int_equal(room_number(&r, "SELECT count(*) FROM a, b, c"), (i + 1) * (i + 1) * (i + 1));
        assert_int_equal(after_crash(&r, "SELECT count(*) FROM a"), i + 1);
    }
    assert_int_equal(db_survive(db, DB_SURVIVES_POWER), WEIR_OK);
    assert_int_equal(db_begin(db), WEIR_OK);
    run(db, "INSERT INTO a (n) VALUES (1); INSERT INTO b VALUES (1)");
    assert_int_equal(db_commit(db), WEIR_OK);
    assert_int_equal(after_crash(&r, "SELECT count(*) FROM a"), 4);
    db_close(db);
    room_close(&r);
}

/* More than the cache holds is written before the commit; a page that changes again then is written again in its place, and
 * the checksums behind it anew. */
static void what_was_written_before_the_commit_is_mended_by_it(void **state)
{
    static const char fill[] = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) "
                               "INSERT INTO a (n, x) SELECT i, randomblob(1500) FROM n";
    struct room r;
    (void)state;
    struct db *db = open_room(&r);
    run(db, "PRAGMA cache_size = 10");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(db_begin(db), WEIR_OK);
        run(db, fill);
        run(db, "UPDATE a SET n = n + 1; INSERT INTO b VALUES (1)");
        if (i == 1) {
            db_rollback(db);
            assert_int_equal(room_number(&r, "INSERT INTO c VALUES (1) RETURNING n"), 1); /* somebody else, over what was undone */
        } else {
            assert_int_equal(db_commit(db), WEIR_OK);
        }
        assert_int_equal(after_crash(&r, "SELECT count(*) FROM a"), i < 2 ? 300 : 600);
    }
    assert_int_equal(after_crash(&r, "SELECT sum(n) FROM a"), 2 * (301 * 302 / 2 - 1) + 300); /* the first three hundred twice */
    assert_int_equal(after_crash(&r, "SELECT count(*) FROM c"), 1);
    run(db, "PRAGMA cache_size = 2000");
    assert_int_equal(db_begin(db), WEIR_OK);
    run(db, fill); /* more than is gathered at once */
    assert_int_equal(db_commit(db), WEIR_OK);
    assert_int_equal(after_crash(&r, "SELECT count(*) FROM a"), 900);
    room_is_whole(&r);
    db_close(db);
    room_close(&r);
}

static void what_cannot_be_written_is_not_committed(void **state)
{
    struct room r;
    struct stat st;
    struct rlimit was, tight;
    char log[80];
    int failed = 0, went = 0;
    (void)state;
    struct db *db = open_room(&r);
    snprintf(log, sizeof log, "%s-wal", r.db);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    for (int room = 0; room < 8000; room += 1000) { /* the commit breaks off at each of its frames */
        assert_int_equal(stat(log, &st), 0);
        assert_int_equal(db_begin(db), WEIR_OK);
        run(db, "INSERT INTO a (n) VALUES (1); INSERT INTO b VALUES (1); INSERT INTO c VALUES (1)");
        tight = (struct rlimit){(rlim_t)(st.st_size + room), was.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        bool done = db_commit(db) == WEIR_OK;
        *(done ? &went : &failed) += 1;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
        assert_int_equal(room_number(&r, "SELECT count(*) FROM a"), after_crash(&r, "SELECT count(*) FROM c"));
        if (!done) assert_int_equal(room_number(&r, "SELECT count(*) FROM a"), room / 1000);
        assert_int_equal(db_begin(db), WEIR_OK);
        run(db, "INSERT INTO a (n) VALUES (1); INSERT INTO b VALUES (1); INSERT INTO c VALUES (1)");
        if (done) db_rollback(db);
        else assert_int_equal(db_commit(db), WEIR_OK);
        assert_int_equal(after_crash(&r, "SELECT count(*) FROM a"), room / 1000 + 1);
    }
    assert_true(failed >= 3 && went >= 1);
    db_close(db);
    room_close(&r);
}

static void a_wal_that_starts_again_is_gathered_too(void **state)
{
    struct room r;
    int pages, moved;
    (void)state;
    struct db *db = open_room(&r);
    for (int i = 1; i <= 5; i++) {
        assert_int_equal(db_checkpoint(db, i % 2, &pages, &moved), WEIR_OK);
        assert_int_equal(db_begin(db), WEIR_OK);
        run(db, "INSERT INTO a (n) VALUES (1); INSERT INTO b VALUES (1)");
        assert_int_equal(db_commit(db), WEIR_OK);
        assert_int_equal(after_crash(&r, "SELECT count(*) FROM b"), i);
    }
    db_close(db);
    room_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_commit_is_one_write),
        cmocka_unit_test(what_was_written_before_the_commit_is_mended_by_it),
        cmocka_unit_test(what_cannot_be_written_is_not_committed),
        cmocka_unit_test(a_wal_that_starts_again_is_gathered_too),
    };
    db_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
