/* Rotation of the master key: what was sealed opens, client keys stay, and wherever it is cut short one of two files is
 * the key and everybody knows which. */
#include "sql/db.c"
#include "sql/vault.c"
#include "sql/vault_rotate.c"

#include <pthread.h>
#include <stdatomic.h>
#include "sql/administrators.h"
#include "sql/content.h"
#include "sql/admin_verifiers.h"
#include "sql/routes.h"
#include "tests/unit/sql_room.h"

#define NOW 1700000000000LL

struct rig { struct room room; char new_key[80]; struct db *db; struct master_key *master; };

static void add_administrator(struct rig *r)
{
    struct buf sealed;
    buf_init(&sealed, 200);
    assert_int_equal(administrator_add(r->db, &(struct administrator){.name = "ada", .password = "$"}), WEIR_OK);
    assert_int_equal(secret_seal(r->master, SPAN("code"), ADMINISTRATOR_BINDING "ada", &sealed), WEIR_OK);
    assert_int_equal(administrator_code(r->db, 1, buf_all(&sealed), 7), WEIR_OK);
    buf_free(&sealed);
}

static int begin_test(void **state)
{
    static struct rig r;
    int64_t id;
    assert_int_equal(secret_start(), WEIR_OK);
    room_open(&r.room);
    snprintf(r.new_key, sizeof r.new_key, "%s" VAULT_NEW, r.room.key);
    assert_int_equal(master_key_make(r.room.key), WEIR_OK);
    r.db = room_admin(&r.room);
    assert_int_equal(vault_open(r.db, r.room.key, &r.master), WEIR_OK);
    assert_int_equal(provider_put(r.db, &(struct provider_row){.name = "openai", .dialect = "openai", .base_url = "https://a",
                                                               .key_strategy = "priority"}, &id), WEIR_OK);
    assert_int_equal(provider_key_put(r.db, r.master, id, "openai", "k1", 1, SPAN("sk-upstream-1")), WEIR_OK);
    assert_int_equal(provider_key_put(r.db, r.master, id, "openai", "k2", 2, SPAN("sk-upstream-2")), WEIR_OK);
    assert_int_equal(jwt_put(r.db, r.master, "app", SPAN("{}"), SPAN("hmac-secret")), WEIR_OK);
    add_administrator(&r);
    *state = &r;
    return 0;
}

static int end_test(void **state)
{
    struct rig *r = *state;
    master_key_free(r->master);
    db_close(r->db);
    room_close(&r->room);
    return 0;
}

static void rotate(struct rig *r, int64_t now_ms)
{
    char what[VAULT_WHAT];
    int resealed;
    const struct admin_change record = {.time = now_ms, .by = {"root", "command", NULL}, .action = "master key rotate",
                                        .subject = "master key"};
    assert_int_equal(vault_rotate(r->db, r->room.dir, r->room.key, &record, &resealed, what), WEIR_OK);
    assert_int_equal(resealed, 4);
    assert_string_equal(what, "");
    assert_int_not_equal(access(r->new_key, F_OK), 0);
}

static void run(const struct rig *r, const char *sql)
{
    sqlite3 *at;
    assert_int_equal(sqlite3_open(r->room.db, &at), SQLITE_OK);
    sqlite3_busy_timeout(at, 5000);
    assert_int_equal(sqlite3_exec(at, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(at);
}

/* How many provider keys open under m; -1: it is not this database's. */
static int opened(const struct rig *r, const struct master_key *m)
{
    struct snapshot *snap;
    enum weir_err err = snapshot_load(r->db, m, &snap);
    if (err == WEIR_OTHER_KEY) return -1;
    assert_int_equal(err, WEIR_OK);
    int n = snapshot_provider(snap, SPAN("openai"))->key_count;
    snapshot_release(snap);
    return n;
}

static struct client_hash hash_under(const struct master_key *m)
{
    struct client_hash h;
    secret_client_hash(m, SPAN("sk-weir-somebody"), &h);
    return h;
}

static struct master_key *open_again(const struct rig *r)
{
    struct master_key *m;
    assert_int_equal(vault_open(r->db, r->room.key, &m), WEIR_OK);
    return m;
}

static void client_keys_and_secrets_outlive_rotations(void **state)
{
    struct rig *r = *state;
    struct client_hash before = hash_under(r->master);
    char file[32], now[32];
    int fd = open(r->room.key, O_RDONLY);
    assert_int_equal(read(fd, file, 32), 32);
    close(fd);
    for (int i = 1; i <= 3; i++) {
        rotate(r, NOW + i);
        struct master_key *m = open_again(r);
        struct client_hash after = hash_under(m);
        assert_true(secret_hash_equal(&before, &after));
        assert_int_equal(opened(r, m), 2);
        assert_int_equal(opened(r, r->master), -1);
        assert_int_equal(room_number(&r->room, "SELECT count(*) FROM admin_change WHERE action = 'master key rotate'"), i);
        master_key_free(m);
    }
    fd = open(r->room.key, O_RDONLY);
    assert_int_equal(read(fd, now, 32), 32);
    close(fd);
    assert_memory_not_equal(file, now, 32);
}

static void one_time_codes_outlive_a_rotation_and_serve_once(void **state)
{
    struct rig *r = *state;
    struct administrator a;
    struct secret *secret;
    struct arena memory;
    arena_init(&memory);
    rotate(r, NOW);
    struct master_key *m = open_again(r);
    assert_int_equal(administrator_find(r->db, SPAN("ada"), &memory, &a), WEIR_OK);
    assert_int_not_equal(secret_open(r->master, a.code, ADMINISTRATOR_BINDING "ada", &secret), WEIR_OK);
    assert_int_not_equal(secret_open(m, a.code, ADMINISTRATOR_BINDING "bob", &secret), WEIR_OK);
    assert_int_equal(secret_open(m, a.code, ADMINISTRATOR_BINDING "ada", &secret), WEIR_OK);
    assert_true(span_is(secret_reveal(secret), "code"));
    secret_free(secret);
    assert_int_equal(administrator_code_taken(r->db, a.id, 7), WEIR_EXISTS);
    assert_int_equal(administrator_code_taken(r->db, a.id, 8), WEIR_OK);
    assert_int_equal(administrator_code_taken(r->db, a.id, 8), WEIR_EXISTS);
    master_key_free(m);
    arena_end(&memory);
}

static void a_key_in_use_becomes_the_new_one(void **state)
{
    struct rig *r = *state;
    assert_int_equal(vault_renew(r->db, r->room.key, r->master), WEIR_OK);
    rotate(r, NOW);
    assert_int_equal(opened(r, r->master), -1);
    assert_int_equal(vault_renew(r->db, r->room.key, r->master), WEIR_OK);
    assert_int_equal(opened(r, r->master), 2);
}

static void nobody_seals_under_a_key_that_was_rotated_out(void **state)
{
    struct rig *r = *state;
    rotate(r, NOW);
    assert_int_equal(provider_key_put(r->db, r->master, 1, "openai", "k3", 3, SPAN("sk-late")), WEIR_OTHER_KEY);
    assert_int_equal(jwt_put(r->db, r->master, "late", SPAN("{}"), SPAN("late")), WEIR_OTHER_KEY);
    assert_int_equal(room_number(&r->room, "SELECT count(*) FROM provider_key"), 2);
}

static void a_file_that_opens_nothing_is_refused(void **state)
{
    struct rig *r = *state;
    struct master_key *m;
    char kept[80];
    rotate(r, NOW);
    snprintf(kept, sizeof kept, "%s.kept", r->room.key);
    assert_int_equal(rename(r->room.key, kept), 0);
    assert_int_equal(vault_open(r->db, r->room.key, &m), WEIR_NOT_FOUND);
    assert_int_equal(master_key_make(r->room.key), WEIR_OK);
    assert_int_equal(vault_open(r->db, r->room.key, &m), WEIR_OTHER_KEY);
    assert_int_equal(chmod(kept, 0640), 0);
    assert_int_equal(rename(kept, r->room.key), 0);
    assert_int_equal(vault_open(r->db, r->room.key, &m), WEIR_INVALID);
}

/* ---- cut short ---- */

static void before_the_commit_the_old_key_is_the_key(void **state)
{
    struct rig *r = *state;
    assert_int_equal(master_key_make(r->new_key), WEIR_OK);
    struct master_key *m = open_again(r);
    assert_int_equal(opened(r, m), 2);
    master_key_free(m);
    assert_int_equal(vault_heal(r->db, r->room.dir, r->room.key), WEIR_OK);
    assert_int_not_equal(access(r->new_key, F_OK), 0);
    rotate(r, NOW); /* and the same once a vault is there */
    assert_int_equal(master_key_make(r->new_key), WEIR_OK);
    m = open_again(r);
    assert_int_equal(opened(r, m), 2);
    master_key_free(m);
    rotate(r, NOW + 1);
}

/* As it is after the commit and before the renaming: the two names exchanged. */
static void after_the_commit_the_new_key_is_the_key(void **state)
{
    struct rig *r = *state;
    struct vault_state v;
    char other[80];
    snprintf(other, sizeof other, "%s.other", r->room.key);
    rotate(r, NOW);
    assert_int_equal(rename(r->room.key, r->new_key), 0);
    assert_int_equal(master_key_make(r->room.key), WEIR_OK);
    struct master_key *m = open_again(r);
    assert_int_equal(opened(r, m), 2);
    master_key_free(m);
    assert_int_equal(vault_renew(r->db, r->room.key, r->master), WEIR_OK);
    assert_int_equal(vault_look(r->db, r->room.key, &v), WEIR_OK);
    assert_true(v.rotated && v.unfinished && v.earlier == 1);
    assert_int_equal(vault_heal(r->db, r->room.dir, r->room.key), WEIR_OK);
    assert_int_not_equal(access(r->new_key, F_OK), 0);
    m = open_again(r);
    assert_int_equal(opened(r, m), 2);
    master_key_free(m);
    rotate(r, NOW + 1);
}

static void neither_file_fits_so_neither_is_touched(void **state)
{
    struct rig *r = *state;
    rotate(r, NOW);
    unlink(r->room.key);
    assert_int_equal(master_key_make(r->room.key), WEIR_OK);
    assert_int_equal(master_key_make(r->new_key), WEIR_OK);
    assert_int_equal(vault_heal(r->db, r->room.dir, r->room.key), WEIR_OTHER_KEY);
    assert_int_equal(access(r->new_key, F_OK), 0);
}

static void what_does_not_open_stops_the_rotation_and_is_named(void **state)
{
    struct rig *r = *state;
    char what[VAULT_WHAT];
    int resealed;
    run(r, "UPDATE provider_key SET sealed = (SELECT sealed FROM provider_key WHERE name = 'k1') WHERE name = 'k2'");
    assert_int_equal(vault_rotate(r->db, r->room.dir, r->room.key, &(struct admin_change){.time = NOW}, &resealed, what),
                     WEIR_CORRUPT);
    assert_string_equal(what, "provider_key/openai/k2");
    assert_int_not_equal(access(r->new_key, F_OK), 0);
    assert_int_equal(room_number(&r->room, "SELECT count(*) FROM vault"), 0);
    assert_int_equal(opened(r, r->master), 1);
}

/* ---- content ---- */

static void keep(struct rig *r, const struct master_key *m, int64_t ticket, int64_t time)
{
    struct arena a;
    struct content sealed, plain = {.ticket = ticket, .time = time, .request_id = "req", .prompt = SPAN("asked")};
    arena_init(&a);
    assert_int_equal(content_seal(m, &plain, &a, &sealed), WEIR_OK);
    assert_int_equal(content_insert(r->db, &sealed), WEIR_OK);
    arena_end(&a);
}

static void count(const struct content *c, void *n)
{
    assert_true(span_is(c->prompt, "asked"));
    ++*(int *)n;
}

static void content_opens_over_rotations_and_its_keys_go_with_it(void **state)
{
    struct rig *r = *state;
    const struct settings s = {.content_keep_days = 30};
    const int64_t day = 86400000;
    int n = 0, deleted;
    keep(r, r->master, 1, NOW);
    rotate(r, NOW + 10);
    keep(r, r->master, 2, NOW + 11); /* by a process that had not noticed */
    struct master_key *m = open_again(r);
    keep(r, m, 3, NOW + 12);
    master_key_free(m);
    rotate(r, NOW + 5 * day);
    m = open_again(r);
    keep(r, m, 4, NOW + 5 * day);
    assert_int_equal(content_read(r->db, m, "req", count, &n), WEIR_OK);
    assert_int_equal(n, 4);
    assert_int_equal(content_forget(r->db, &s, NOW + 29 * day, 100, &deleted), WEIR_OK);
    assert_int_equal(room_number(&r->room, "SELECT count(*) FROM vault_seal"), 2);
    assert_int_equal(content_forget(r->db, &s, NOW + 31 * day, 100, &deleted), WEIR_OK);
    assert_int_equal(deleted, 3);
    assert_int_equal(room_number(&r->room, "SELECT count(*) FROM vault_seal"), 1); /* 4's time is within a day of its end */
    n = 0;
    assert_int_equal(content_read(r->db, m, "req", count, &n), WEIR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(content_forget(r->db, &s, NOW + 36 * day, 100, &deleted), WEIR_OK);
    assert_int_equal(room_number(&r->room, "SELECT count(*) FROM vault_seal"), 0);
    master_key_free(m);
}

/* ---- what is left behind ---- */

static bool file_holds(const char *path, const void *what, size_t len)
{
    static char all[1 << 20];
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, all, sizeof all);
    close(fd);
    return n > 0 && memmem(all, (size_t)n, what, len);
}

static void what_was_sealed_before_stands_nowhere_in_the_file(void **state)
{
    struct rig *r = *state;
    char sealed[200];
    struct stmt *s = db_stmt(r->db, SQL_PROVIDER_KEY_ALL);
    bool row;
    assert_int_equal(db_checkpoint(r->db, true, NULL, NULL), WEIR_OK);
    assert_int_equal(stmt_step(s, &row), WEIR_OK);
    struct span blob = stmt_get_blob(s, 3);
    memcpy(sealed, blob.at, blob.len);
    stmt_reset(s);
    assert_true(file_holds(r->room.db, sealed, blob.len));
    rotate(r, NOW);
    assert_false(file_holds(r->room.db, sealed, blob.len));
}

/* ---- many at once ---- */

struct sealer { const struct master_key *m; atomic_bool stop; int done; };

static void *seal_on(void *arg)
{
    struct sealer *s = arg;
    do {
        struct buf b;
        struct client_hash h;
        buf_init(&b, 200);
        assert_int_equal(secret_seal(s->m, SPAN("text"), "here", &b), WEIR_OK);
        secret_client_hash(s->m, SPAN("sk"), &h);
        buf_free(&b);
        s->done++;
    } while (!atomic_load(&s->stop));
    return NULL;
}

static void threads_use_the_key_while_it_is_renewed(void **state)
{
    struct rig *r = *state;
    struct sealer s = {.m = r->master};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, seal_on, &s), 0);
    for (int i = 0; i < 20; i++) {
        rotate(r, NOW + i);
        assert_int_equal(vault_renew(r->db, r->room.key, r->master), WEIR_OK);
        assert_int_equal(opened(r, r->master), 2);
    }
    atomic_store(&s.stop, true);
    pthread_join(thread, NULL);
    assert_true(s.done > 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin_test, end_test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(client_keys_and_secrets_outlive_rotations),
        TEST(a_key_in_use_becomes_the_new_one),
        TEST(one_time_codes_outlive_a_rotation_and_serve_once),
        TEST(nobody_seals_under_a_key_that_was_rotated_out),
        TEST(a_file_that_opens_nothing_is_refused),
        TEST(before_the_commit_the_old_key_is_the_key),
        TEST(after_the_commit_the_new_key_is_the_key),
        TEST(neither_file_fits_so_neither_is_touched),
        TEST(what_does_not_open_stops_the_rotation_and_is_named),
        TEST(content_opens_over_rotations_and_its_keys_go_with_it),
        TEST(what_was_sealed_before_stands_nowhere_in_the_file),
        TEST(threads_use_the_key_while_it_is_renewed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
