/* The SQLite door and the migrations: errors become ours, transactions are what they say, a schema is made once. */
#include "sql/db.c"

#include "sql/migrations.h"
#include "sql_ids.h"
#include "tests/unit/sql_room.h"

static void a_database_is_made_from_nothing_and_private(void **state)
{
    struct room r;
    struct stat st;
    int from, to;
    (void)state;
    room_open(&r);
    assert_int_equal(stat(r.db, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(room_number(&r, "SELECT version FROM config_version"), 1);
    assert_int_equal(room_number(&r, "PRAGMA user_version"), db_schema_newest());
    assert_int_equal(db_migrate(r.db, &from, &to), WEIR_OK);
    assert_int_equal(from, db_schema_newest());
    assert_int_equal(to, db_schema_newest());
    assert_int_equal(room_number(&r, "SELECT count(*) FROM config_version"), 1);
    room_is_whole(&r);
    room_close(&r);
}

static void processes_that_migrate_at_once_do_it_once(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        struct room r;
        pid_t child[4];
        int go[2];
        char c;
        room_open(&r);
        remove(r.db);
        assert_int_equal(pipe(go), 0);
        for (int i = 0; i < 4; i++) {
            if ((child[i] = fork()) == 0) {
                close(go[1]);
                if (read(go[0], &c, 1) < 0) _exit(2);
                _exit(db_migrate(r.db, NULL, NULL) == WEIR_OK ? 0 : 1);
            }
        }
        close(go[0]), close(go[1]);
        for (int i = 0; i < 4; i++) assert_int_equal(room_wait(child[i]), 0);
        assert_int_equal(room_number(&r, "SELECT count(*) FROM config_version"), 1);
        room_is_whole(&r);
        room_close(&r);
    }
}

static void a_schema_newer_than_ours_is_left_alone(void **state)
{
    struct room r;
    int from = 0, to = 0;
    (void)state;
    room_open(&r);
    struct db *db = room_admin(&r);
    assert_int_equal(set_schema(db, 999), WEIR_OK);
    assert_int_equal(db_migrate(r.db, &from, &to), WEIR_CORRUPT);
    assert_int_equal(from, 999);
    assert_int_equal(to, 999);
    assert_int_equal(db_schema(db), 999);
    db_close(db);
    room_close(&r);
}

static void a_migration_that_fails_leaves_nothing(void **state)
{
    struct room r;
    (void)state;
    room_open(&r);
    struct db *db = room_admin(&r);
    assert_int_not_equal(db_apply(db, "CREATE TABLE half (a); CREATE TABLE half (a);", 50), WEIR_OK);
    assert_false(db_in_transaction(db));
    assert_int_equal(db_schema(db), db_schema_newest());
    assert_int_equal(room_number(&r, "SELECT count(*) FROM sqlite_schema WHERE name = 'half'"), 0);
    db_close(db);
    room_close(&r);
}

static void opening_says_what_is_wrong(void **state)
{
    struct room r;
    struct db *db;
    char path[80];
    (void)state;
    room_open(&r);
    snprintf(path, sizeof path, "%s/none.db", r.dir);
    assert_int_equal(db_open(path, DB_READ, 100, &sql_gateway, &db), WEIR_NOT_FOUND);
    assert_null(db);
    snprintf(path, sizeof path, "%s/none/none.db", r.dir);
    assert_int_equal(db_open(path, DB_WRITE, 100, &sql_gateway, &db), WEIR_STORAGE);
    snprintf(path, sizeof path, "%s/text.db", r.dir);
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 1000; i++) fputs("this is no database\n", f);
    fclose(f);
    assert_int_equal(db_open(path, DB_WRITE, 100, &sql_gateway, &db), WEIR_CORRUPT);
    assert_int_equal(db_migrate(path, NULL, NULL), WEIR_CORRUPT);
    db_close(NULL);
    room_close(&r);
}

static void the_gateway_cannot_ask_for_what_is_not_on_its_list(void **state)
{
    struct room r;
    struct db *db;
    (void)state;
    room_open(&r);
    assert_int_equal(db_open(r.db, DB_WRITE, 100, &sql_gateway, &db), WEIR_OK);
    assert_true(sql_gateway.count < sql_admin.count);
    assert_int_equal(sql_admin.count, SQL_COUNT);
    for (int i = 0; i < sql_gateway.count; i++) assert_string_equal(sql_gateway.text[i], sql_admin.text[i]);
    struct stmt *s = db_stmt(db, SQL_CONFIG_RAISE);
    stmt_int(s, 1, 1);
    assert_int_equal(stmt_run(s), WEIR_INTERNAL);
    assert_int_equal(db_fault(db), WEIR_INTERNAL);
    assert_int_equal(stmt_run(db_stmt(db, -1)), WEIR_INTERNAL);
    db_close(db);
    room_close(&r);
}

/* A mistake in the list, or whoever gets hold of a connection, meets the wall: such a statement is not even prepared. */
static void what_only_administrators_may_is_behind_the_wall(void **state)
{
    static const char *const hostile[] = {
        "INSERT INTO client_key (name, created) VALUES ('x', 1)", "UPDATE client_key SET may_assert = 1",
        "UPDATE client_key SET revoked = NULL, last_used = 1", "DELETE FROM client_key", "INSERT INTO client_secret VALUES (x'00', 1, NULL)",
        "DELETE FROM client_secret", "UPDATE limit_rule SET amount = 1", "DELETE FROM limit_rule",
        "INSERT INTO limit_rule (scope, metric, shape, amount, created) VALUES ('global', 'tokens', 'total', 1, 1)",
        "REPLACE INTO setting VALUES ('orphans', 'release')", "UPDATE provider SET base_url = 'https://elsewhere'",
        "UPDATE provider_key SET sealed = x''", "UPDATE model SET price_input = 0", "DELETE FROM target", "UPDATE config_version SET version = 9",
        "UPDATE audit SET cost = 0", "DELETE FROM rollup", "DELETE FROM counter_reset", "UPDATE jwt_verifier SET body = '{}'",
        "SELECT name FROM admin_key", "SELECT count(*) FROM admin_key", "SELECT 1 WHERE EXISTS (SELECT 1 FROM admin_key)",
        "WITH x AS (SELECT * FROM admin_key) SELECT * FROM x", "INSERT INTO audit SELECT * FROM admin_key",
        "SELECT prompt FROM content", "SELECT max(length(answer)) FROM content", "SELECT * FROM content", "UPDATE content SET request_id = 'x'",
        "INSERT INTO content SELECT ticket + 1, time, request_id, prompt, 0, NULL, 0 FROM content", "DELETE FROM content RETURNING answer",
        "SELECT sealed FROM vault_seal", "UPDATE vault_seal SET ended = 0", "DELETE FROM vault", "UPDATE vault SET hash = x''",
        "INSERT INTO vault VALUES (1, x'00')", "INSERT INTO vault_seal (ended, sealed) VALUES (0, x'00')",
        "ATTACH ':memory:' AS other", "PRAGMA writable_schema = 1", "PRAGMA journal_mode = DELETE", "DROP TABLE audit", "CREATE TABLE x (a)",
        "CREATE TEMP TRIGGER t AFTER INSERT ON audit BEGIN DELETE FROM limit_rule; END", "ALTER TABLE audit RENAME TO x", "REINDEX", "ANALYZE",
        "UPDATE sqlite_schema SET sql = ''", "DROP INDEX client_secret_key", "VACUUM INTO '/tmp/weir-copy'",
    };
    struct room r;
    struct db *db;
    (void)state;
    room_open(&r);
    assert_true(sql_gateway.walled);
    assert_false(sql_admin.walled);
    const struct sql_list list = {hostile, sizeof hostile / sizeof *hostile, true}, open = {hostile, list.count, false};
    assert_int_equal(db_open(r.db, DB_WRITE, 100, &open, &db), WEIR_OK);
    assert_non_null(db_stmt(db, 1)->at); /* right statements, but for the wall */
    db_close(db);
    assert_int_equal(db_open(r.db, DB_WRITE, 100, &list, &db), WEIR_OK);
    for (int i = 0; i < list.count - 1; i++) {
        if (db_stmt(db, i)->at) fail_msg("prepared: %s", hostile[i]);
        const char *says = db_message(db);
        if (!strstr(says, "not authorized") && !strstr(says, "prohibited") && !strstr(says, "may not be modified"))
            fail_msg("%s: %s", hostile[i], says);
    }
    assert_int_not_equal(stmt_run(db_stmt(db, list.count - 1)), WEIR_OK); /* VACUUM asks when it runs */
    assert_int_not_equal(access("/tmp/weir-copy", F_OK), 0);
    db_close(db);
    assert_int_equal(db_open(r.db, DB_WRITE, 100, &sql_gateway, &db), WEIR_OK);
    for (int i = 0; i < sql_gateway.count; i++)
        if (!db_stmt(db, i)->at) fail_msg("%s: %s", sql_gateway.text[i], db_message(db));
    db_close(db);
    room_close(&r);
}

static bool is_prepared(struct db *walled, const char *fmt, const char *table, const char *column)
{
    char text[200];
    sqlite3_stmt *s = NULL;
    snprintf(text, sizeof text, fmt, table, column);
    bool fine = sqlite3_prepare_v2(walled->at, text, -1, &s, NULL) == SQLITE_OK;
    sqlite3_finalize(s);
    return fine;
}

/* What of one table may be written, and what of it may not be read: "content:ID -prompt -answer". Nothing for a table that
 * may be read, and only that. */
static void say_of_table(struct db *admin, struct db *walled, const char *table, struct buf *out)
{
    struct buf updated, unread;
    sqlite3_stmt *s;
    char text[100];
    int columns = 0, updates = 0, hidden = 0;
    size_t before = out->len;
    buf_init(&updated, 4096);
    buf_init(&unread, 4096);
    snprintf(text, sizeof text, "PRAGMA table_info(%s)", table);
    assert_int_equal(sqlite3_prepare_v2(admin->at, text, -1, &s, NULL), SQLITE_OK);
    for (; sqlite3_step(s) == SQLITE_ROW; columns++) {
        const char *column = (const char *)sqlite3_column_text(s, 1);
        if (is_prepared(walled, "UPDATE %s SET %s = 1", table, column) && ++updates) buf_printf(&updated, " +%s", column);
        if (!is_prepared(walled, "SELECT %2$s FROM %1$s", table, column) && ++hidden) buf_printf(&unread, " -%s", column);
    }
    sqlite3_finalize(s);
    assert_true(columns > 0);
    buf_printf(out, "%s:", table);
    size_t named = out->len;
    if (is_prepared(walled, "INSERT INTO %s DEFAULT VALUES%s", table, "")) buf_char(out, 'I');
    if (updates == columns) buf_char(out, 'U');
    if (is_prepared(walled, "DELETE FROM %s WHERE 0%s", table, "")) buf_char(out, 'D');
    if (updates < columns) buf_span(out, buf_all(&updated));
    if (hidden == columns) buf_char(out, '-');
    else buf_span(out, buf_all(&unread));
    if (out->len == named) out->len = before;
    else buf_char(out, ' ');
    buf_free(&updated);
    buf_free(&unread);
}

/* Every table and column of the schema as it is now: whoever adds one says here what the gateway may do with it. */
static void the_gateway_may_write_and_read_exactly_this(void **state)
{
    static const char expected[] =
        "admin_change:- admin_key:- admin_session:- administrator:- attempt:IUD audit:ID client_key: +last_used content:ID -prompt -answer "
        "counter:IUD health:IU key_set:IU key_set_version:U lease:IU ledger_state:U login_failure:- process:ID rollup:IU rollup_route:IU "
        "slot:IUD ticket:IUD vault_seal:D -sealed ";
    struct room r;
    struct db *walled;
    struct buf found;
    sqlite3_stmt *s;
    (void)state;
    room_open(&r);
    struct db *admin = room_admin(&r);
    assert_int_equal(db_open(r.db, DB_WRITE, 100, &sql_gateway, &walled), WEIR_OK);
    buf_init(&found, 8192);
    assert_int_equal(sqlite3_prepare_v2(admin->at, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name", -1, &s, NULL),
                     SQLITE_OK);
    while (sqlite3_step(s) == SQLITE_ROW) say_of_table(admin, walled, (const char *)sqlite3_column_text(s, 0), &found);
    sqlite3_finalize(s);
    assert_string_equal(buf_cstr(&found), expected);
    buf_free(&found);
    db_close(walled);
    db_close(admin);
    room_close(&r);
}

static void every_statement_of_the_lists_is_right(void **state)
{
    struct room r;
    (void)state;
    room_open(&r);
    struct db *db = room_admin(&r);
    for (int i = 0; i < SQL_COUNT; i++)
        if (db_stmt(db, i)->at == NULL) fail_msg("%s: %s", sql_admin.text[i], db_message(db));
    db_close(db);
    room_close(&r);
}

static void a_reader_cannot_write(void **state)
{
    struct room r;
    struct db *db;
    (void)state;
    room_open(&r);
    assert_int_equal(db_open(r.db, DB_READ, 100, &sql_admin, &db), WEIR_OK);
    assert_int_equal(stmt_run(db_stmt(db, SQL_CONFIG_RAISE)), WEIR_STORAGE);
    db_close(db);
    room_close(&r);
}

static void constraints_are_told_apart(void **state)
{
    struct room r;
    (void)state;
    room_open(&r);
    struct db *db = room_admin(&r);
    struct stmt *s = db_stmt(db, SQL_SECRET_ADD);
    stmt_blob(s, 1, SPAN("0123"));
    stmt_int(s, 2, 77);
    assert_int_equal(stmt_run(s), WEIR_INVALID); /* no such key: foreign keys are on */
    for (int i = 0; i < 2; i++) {
        s = db_stmt(db, SQL_KEY_ADD);
        stmt_text(s, 1, SPAN("twice"));
        stmt_int(s, 8, 0);
        stmt_int(s, 9, 1);
        assert_int_equal(stmt_run(s), i ? WEIR_EXISTS : WEIR_OK);
    }
    db_close(db);
    room_close(&r);
}

static void a_savepoint_undoes_only_what_came_after_it(void **state)
{
    struct room r;
    (void)state;
    room_open(&r);
    struct db *db = room_admin(&r);
    assert_int_equal(db_begin(db), WEIR_OK);
    assert_int_equal(stmt_run(db_stmt(db, SQL_CONFIG_RAISE)), WEIR_OK);
    assert_int_equal(db_savepoint(db), WEIR_OK);
    assert_int_equal(stmt_run(db_stmt(db, SQL_CONFIG_RAISE)), WEIR_OK);
    assert_int_equal(db_undo(db), WEIR_OK);
    assert_true(db_in_transaction(db));
    assert_int_equal(db_commit(db), WEIR_OK);
    assert_int_equal(room_number(&r, "SELECT version FROM config_version"), 2);
    assert_int_equal(db_begin(db), WEIR_OK);
    assert_int_equal(stmt_run(db_stmt(db, SQL_CONFIG_RAISE)), WEIR_OK);
    db_rollback(db);
    db_rollback(db);
    assert_int_equal(room_number(&r, "SELECT version FROM config_version"), 2);
    db_close(db);
    room_close(&r);
}

struct raise { int times; enum weir_err answer; };

static enum weir_err raise_version(void *arg, struct db *db)
{
    struct raise *r = arg;
    r->times++;
    return r->answer == WEIR_OK ? stmt_run(db_stmt(db, SQL_CONFIG_RAISE)) : r->answer;
}

/* Once, before whatever makes it last or could part it from what it belongs to; never after that was undone. */
static void what_is_deferred_is_written_once_and_with_its_transaction(void **state)
{
    struct room r;
    struct raise one = {0}, other = {0};
    (void)state;
    room_open(&r);
    struct db *db = room_admin(&r);
    assert_int_equal(db_begin(db), WEIR_OK);
    for (int i = 0; i < 3; i++) assert_int_equal(db_defer(db, raise_version, &one), WEIR_OK);
    assert_true(db_is_deferring(db, &one));
    assert_int_equal(one.times, 0);
    assert_int_equal(db_commit(db), WEIR_OK);
    assert_int_equal(one.times, 1);
    assert_int_equal(room_number(&r, "SELECT version FROM config_version"), 2);

    assert_int_equal(db_begin(db), WEIR_OK);
    assert_int_equal(db_defer(db, raise_version, &one), WEIR_OK);
    assert_int_equal(db_defer(db, raise_version, &other), WEIR_OK); /* writes the first */
    assert_int_equal(one.times, 2);
    assert_int_equal(db_savepoint(db), WEIR_OK);
    assert_int_equal(other.times, 1);
    assert_int_equal(db_defer(db, raise_version, &one), WEIR_OK);
    assert_int_equal(db_undo(db), WEIR_OK);
    assert_int_equal(db_commit(db), WEIR_OK);
    assert_int_equal(one.times, 2);
    assert_int_equal(room_number(&r, "SELECT version FROM config_version"), 4);

    assert_int_equal(db_begin(db), WEIR_OK);
    assert_int_equal(db_defer(db, raise_version, &one), WEIR_OK);
    db_rollback(db);
    assert_int_equal(db_begin(db), WEIR_OK);
    assert_int_equal(db_commit(db), WEIR_OK);
    assert_int_equal(one.times, 2);
    assert_int_equal(db_defer(db, raise_version, &one), WEIR_OK); /* in no transaction: at once */
    assert_int_equal(one.times, 3);

    other.answer = WEIR_STORAGE;
    assert_int_equal(db_begin(db), WEIR_OK);
    assert_int_equal(stmt_run(db_stmt(db, SQL_CONFIG_RAISE)), WEIR_OK);
    assert_int_equal(db_defer(db, raise_version, &other), WEIR_OK);
    assert_int_equal(db_commit(db), WEIR_STORAGE);
    assert_false(db_in_transaction(db));
    assert_int_equal(room_number(&r, "SELECT version FROM config_version"), 5);
    db_close(db);
    room_close(&r);
}

static void a_second_writer_is_told_busy_in_time(void **state)
{
    struct room r;
    struct db *second;
    (void)state;
    room_open(&r);
    struct db *db = room_admin(&r);
    assert_int_equal(db_open(r.db, DB_WRITE, 50, &sql_admin, &second), WEIR_OK);
    assert_int_equal(db_begin(db), WEIR_OK);
    int64_t before = clock_mono_ms();
    assert_int_equal(db_begin(second), WEIR_BUSY);
    assert_in_range(clock_mono_ms() - before, 40, 1000);
    assert_int_equal(db_commit(db), WEIR_OK);
    assert_int_equal(db_begin(second), WEIR_OK);
    db_close(db);
    db_close(second);
    room_close(&r);
}

static void a_backup_is_whole_and_private_and_never_overwrites(void **state)
{
    struct room r;
    struct stat st;
    char path[80];
    (void)state;
    room_open(&r);
    struct db *db = room_admin(&r);
    struct audit_row row = room_audit("one");
    assert_int_equal(audit_insert(db, &row), WEIR_OK);
    snprintf(path, sizeof path, "%s/copy.db", r.dir);
    assert_int_equal(db_backup(db, path, NULL), WEIR_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    struct room copy = r;
    snprintf(copy.db, sizeof copy.db, "%.59s", path);
    assert_int_equal(room_number(&copy, "SELECT count(*) FROM audit"), 1);
    room_is_whole(&copy);
    assert_int_equal(db_backup(db, path, NULL), WEIR_EXISTS);
    assert_int_equal(db_backup(db, "/nowhere/at/all.db", NULL), WEIR_STORAGE);
    assert_false(db_in_transaction(db));
    db_close(db);
    room_close(&r);
}

static void closing_makes_no_checkpoint_and_a_whole_one_empties_the_log(void **state)
{
    struct room r;
    struct stat st;
    char wal[80];
    int pages, moved;
    (void)state;
    room_open(&r);
    snprintf(wal, sizeof wal, "%s-wal", r.db);
    struct db *db = room_admin(&r);
    struct audit_row row = room_audit("one");
    assert_int_equal(audit_insert(db, &row), WEIR_OK);
    assert_true(db_wal_pages(db) > 0);
    db_close(db);
    assert_int_equal(stat(wal, &st), 0);
    assert_true(st.st_size > 0);
    db = room_admin(&r);
    assert_int_equal(db_checkpoint(db, false, &pages, &moved), WEIR_OK);
    assert_true(pages > 0);
    assert_int_equal(pages, moved);
    assert_int_equal(db_checkpoint(db, true, &pages, &moved), WEIR_OK);
    assert_int_equal(stat(wal, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(db_probe(db), WEIR_OK);
    assert_true(db_wal_pages(db) > 0);
    assert_int_equal(db_schema(db), db_schema_newest());
    db_close(db);
    room_close(&r);
}

static void a_file_that_is_replaced_is_noticed(void **state)
{
    struct room r;
    char path[80];
    (void)state;
    room_open(&r);
    struct db *db = room_admin(&r);
    assert_false(db_has_moved(db));
    snprintf(path, sizeof path, "%s/copy.db", r.dir);
    assert_int_equal(db_backup(db, path, NULL), WEIR_OK);
    assert_int_equal(rename(path, r.db), 0);
    assert_true(db_has_moved(db));
    db_close(db);
    room_close(&r);
}

static void what_a_commit_survives_is_the_connection_s_own(void **state)
{
    static const char *const texts[] = {"PRAGMA synchronous"};
    static const enum db_survives all[] = {DB_SURVIVES_POWER, DB_SURVIVES_PROCESS, DB_SURVIVES_POWER, DB_SURVIVES_NOTHING};
    const struct sql_list list = {texts, 1, true}; /* behind the wall, as the writer's */
    struct room r;
    struct db *db;
    bool row;
    (void)state;
    room_open(&r);
    assert_int_equal(db_open(r.db, DB_WRITE, 100, &list, &db), WEIR_OK);
    for (size_t i = 0; i <= sizeof all / sizeof *all; i++) {
        struct stmt *s = db_stmt(db, 0);
        assert_int_equal(stmt_step(s, &row), WEIR_OK);
        assert_int_equal(stmt_get_int(s, 0), i ? all[i - 1] : DB_SURVIVES_PROCESS); /* SQLite counts as we do */
        stmt_reset(s);
        if (i < sizeof all / sizeof *all) assert_int_equal(db_survive(db, all[i]), WEIR_OK);
    }
    db_close(db);
    room_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_database_is_made_from_nothing_and_private),
        cmocka_unit_test(processes_that_migrate_at_once_do_it_once),
        cmocka_unit_test(a_schema_newer_than_ours_is_left_alone),
        cmocka_unit_test(a_migration_that_fails_leaves_nothing),
        cmocka_unit_test(opening_says_what_is_wrong),
        cmocka_unit_test(the_gateway_cannot_ask_for_what_is_not_on_its_list),
        cmocka_unit_test(what_only_administrators_may_is_behind_the_wall),
        cmocka_unit_test(the_gateway_may_write_and_read_exactly_this),
        cmocka_unit_test(every_statement_of_the_lists_is_right),
        cmocka_unit_test(a_reader_cannot_write),
        cmocka_unit_test(constraints_are_told_apart),
        cmocka_unit_test(a_savepoint_undoes_only_what_came_after_it),
        cmocka_unit_test(what_is_deferred_is_written_once_and_with_its_transaction),
        cmocka_unit_test(a_second_writer_is_told_busy_in_time),
        cmocka_unit_test(a_backup_is_whole_and_private_and_never_overwrites),
        cmocka_unit_test(closing_makes_no_checkpoint_and_a_whole_one_empties_the_log),
        cmocka_unit_test(a_file_that_is_replaced_is_noticed),
        cmocka_unit_test(what_a_commit_survives_is_the_connection_s_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
