/* The group-commit writer: nothing lost, nothing twice, whatever happens to a job, the disk or another process. */
#include "sql/db.c"
#include "sql/writer.c"

#include <signal.h>
#include "tests/unit/sql_room.h"
#include "tests/unit/fault_vfs.h"

#define LONG_MS 20000

/* A job that writes one audit row, or two of which the second is refused, and may wait at a gate. */
struct note {
    struct job job;
    char id[40];
    bool bad;
    const char *filling;
    atomic_int *gate;  /* run waits until it is open */
    atomic_int *gone;  /* counts disposals */
    atomic_int runs;
};

static enum weir_err note_run(struct job *j, struct db *db)
{
    struct note *n = (struct note *)j;
    struct audit_row row = room_audit(n->id);
    row.error = n->filling;
    atomic_fetch_add(&n->runs, 1);
    while (n->gate && !atomic_load(n->gate)) usleep(1000);
    enum weir_err err = audit_insert(db, &row);
    if (err != WEIR_OK || !n->bad) return err;
    row.endpoint = NULL;
    return audit_insert(db, &row);
}

static void note_dispose(struct job *j)
{
    struct note *n = (struct note *)j;
    if (n->gone) atomic_fetch_add(n->gone, 1);
    free(n);
}

static struct note *note_new(const char *prefix, int number)
{
    struct note *n = calloc(1, sizeof *n);
    n->job = (struct job){.run = note_run, .dispose = note_dispose};
    snprintf(n->id, sizeof n->id, "%s%d", prefix, number);
    return n;
}

static enum weir_err put(struct writer *w, struct note *n, int wait_ms, bool keep)
{
    enum weir_err err = writer_run(w, &n->job, wait_ms, keep);
    job_release(&n->job);
    return err;
}

static struct writer *start(const struct room *r)
{
    struct writer *w;
    assert_int_equal(writer_start(r->dir, &sql_gateway, &w), WEIR_OK);
    return w;
}

static void until_empty(struct writer *w)
{
    int64_t until = clock_mono_ms() + LONG_MS;
    while (writer_backlog(w) && clock_mono_ms() < until) usleep(2000);
    assert_int_equal(writer_backlog(w), 0);
}

static void until_able(struct writer *w, bool able)
{
    int64_t until = clock_mono_ms() + LONG_MS;
    while (writer_is_able(w) != able && clock_mono_ms() < until) usleep(2000);
    assert_int_equal(writer_is_able(w), able);
}

/* ---- groups ---- */

struct load { struct writer *w; int number, count, failed; int ready; };

static void *load_run(void *arg)
{
    struct load *l = arg;
    for (int i = 0; i < l->count; i++)
        if (put(l->w, note_new("n", l->number * 100000 + i), LONG_MS, true) != WEIR_OK) l->failed++;
    return NULL;
}

static void load_all(struct writer *w, int threads, int count, int base)
{
    pthread_t t[32];
    struct load l[32];
    for (int i = 0; i < threads; i++) {
        l[i] = (struct load){.w = w, .number = base + i, .count = count};
        assert_int_equal(pthread_create(&t[i], NULL, load_run, &l[i]), 0);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(t[i], NULL);
        assert_int_equal(l[i].failed, 0);
    }
}

static void every_job_is_committed_exactly_once(void **state)
{
    struct room r;
    (void)state;
    room_open(&r);
    struct writer *w = start(&r);
    load_all(w, 16, 200, 0);
    assert_int_equal(writer_backlog(w), 0);
    assert_int_equal(writer_stop(w, 1000), 0);
    assert_int_equal(room_number(&r, "SELECT count(*) FROM audit"), 3200);
    assert_int_equal(room_number(&r, "SELECT count(DISTINCT request_id) FROM audit"), 3200);
    room_close(&r);
}

static void a_refused_job_undoes_itself_and_not_its_neighbours(void **state)
{
    struct room r;
    atomic_int gate = 0, gone = 0;
    (void)state;
    room_open(&r);
    struct writer *w = start(&r);
    struct note *first = note_new("first", 0);
    first->gate = &gate;
    first->gone = &gone;
    assert_int_equal(put(w, first, 0, true), WEIR_BUSY);
    for (int i = 0; i < 9; i++) {
        struct note *n = note_new(i == 4 ? "bad" : "good", i);
        n->bad = i == 4;
        n->gone = &gone;
        assert_int_equal(put(w, n, 0, true), WEIR_BUSY);
    }
    struct note *last = note_new("bad", 9);
    last->bad = true;
    last->gone = &gone;
    atomic_store(&gate, 1);
    assert_int_equal(put(w, last, LONG_MS, false), WEIR_INVALID);
    assert_true(writer_is_able(w));
    assert_int_equal(writer_stop(w, 1000), 0);
    assert_int_equal(atomic_load(&gone), 11);
    assert_int_equal(room_number(&r, "SELECT count(*) FROM audit"), 9);
    assert_int_equal(room_number(&r, "SELECT count(*) FROM audit WHERE request_id LIKE 'bad%'"), 0);
    room_close(&r);
}

static void a_refused_job_alone_leaves_nothing(void **state)
{
    struct room r;
    (void)state;
    room_open(&r);
    struct writer *w = start(&r);
    struct note *n = note_new("bad", 0);
    n->bad = true;
    assert_int_equal(put(w, n, LONG_MS, true), WEIR_INVALID);
    assert_int_equal(put(w, note_new("good", 0), LONG_MS, true), WEIR_OK);
    assert_int_equal(writer_stop(w, 1000), 0);
    assert_int_equal(room_number(&r, "SELECT count(*) FROM audit"), 1);
    room_close(&r);
}

static void a_full_queue_takes_only_what_must_be_written(void **state)
{
    struct room r;
    atomic_int gate = 0, gone = 0;
    (void)state;
    room_open(&r);
    struct writer *w = start(&r);
    for (int i = 0; i < BOUND_WRITER_QUEUE; i++) {
        struct note *n = note_new("n", i);
        n->gate = &gate;
        assert_int_equal(put(w, n, 0, true), WEIR_BUSY);
    }
    struct note *n = note_new("over", 0);
    n->gone = &gone;
    assert_int_equal(put(w, n, 0, false), WEIR_FULL);
    assert_int_equal(atomic_load(&gone), 1);
    assert_int_equal(put(w, note_new("kept", 0), 0, true), WEIR_BUSY); /* what must be written is never turned away */
    atomic_store(&gate, 1);
    assert_int_equal(writer_stop(w, LONG_MS), 0);
    assert_int_equal(room_number(&r, "SELECT count(*) FROM audit"), BOUND_WRITER_QUEUE + 1);
    room_close(&r);
}

static void a_transaction_takes_so_many_jobs(void **state)
{
    struct room r;
    atomic_int gate = 0;
    int taken;
    (void)state;
    room_open(&r);
    struct writer *w = start(&r);
    struct note *first = note_new("first", 0);
    first->gate = &gate;
    assert_int_equal(put(w, first, 0, true), WEIR_BUSY);
    int64_t until = clock_mono_ms() + LONG_MS;
    while (!atomic_load(&first->runs) && clock_mono_ms() < until) usleep(1000); /* it holds the writer, and is not freed */
    for (int i = 0; i <= BOUND_WRITER_BATCH; i++) assert_int_equal(put(w, note_new("n", i), 0, true), WEIR_BUSY);
    struct job *batch = take(w, BOUND_WRITER_BATCH, &taken);
    assert_int_equal(taken, BOUND_WRITER_BATCH);
    put_back(w, batch);
    atomic_store(&gate, 1);
    assert_int_equal(writer_stop(w, LONG_MS), 0);
    assert_int_equal(room_number(&r, "SELECT count(*) FROM audit"), BOUND_WRITER_BATCH + 2);
    room_close(&r);
}

/* ---- other processes ---- */

/* A child that does `what` when told, and says when it has begun. */
struct child { pid_t pid; int told, said; };

static struct child child_new(void (*what)(const struct room *, int told, int said), const struct room *r)
{
    int to[2], from[2];
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(to[1]), close(from[0]);
        what(r, to[0], from[1]);
        _exit(0);
    }
    close(to[0]), close(from[1]);
    return (struct child){pid, to[1], from[0]};
}

static void child_end(struct child *c)
{
    close(c->told), close(c->said);
    room_wait(c->pid);
}

static void await(int fd)
{
    char c;
    while (read(fd, &c, 1) < 0 && errno == EINTR) continue;
}

static void say(int fd)
{
    if (write(fd, "x", 1) != 1) _exit(3);
}

static void holds_the_database(const struct room *r, int told, int said)
{
    struct db *db;
    await(told);
    if (db_open(r->db, DB_WRITE, 1000, &sql_gateway, &db) != WEIR_OK || db_begin(db) != WEIR_OK) _exit(2);
    say(said);
    usleep(1000000);
    db_rollback(db);
    db_close(db);
}

static void a_busy_database_delays_and_loses_nothing(void **state)
{
    struct room r;
    (void)state;
    room_open(&r);
    struct child c = child_new(holds_the_database, &r);
    struct writer *w = start(&r);
    say(c.told);
    await(c.said);
    int64_t before = clock_mono_ms();
    assert_int_equal(put(w, note_new("a", 0), 100, false), WEIR_BUSY);
    int64_t took = clock_mono_ms() - before;
    assert_in_range(took, 100, 900);
    assert_int_equal(writer_backlog(w), 1);
    assert_true(writer_is_able(w));
    assert_int_equal(put(w, note_new("b", 0), LONG_MS, false), WEIR_OK);
    assert_in_range(clock_mono_ms() - before, 700, 15000);
    until_empty(w);
    child_end(&c);
    assert_int_equal(writer_stop(w, 1000), 0);
    assert_int_equal(room_number(&r, "SELECT count(*) FROM audit"), 2);
    room_close(&r);
}

static void holds_the_turn(const struct room *r, int told, int said)
{
    await(told);
    int fd = writer_lock(r->dir);
    if (fd < 0) _exit(2);
    say(said);
    await(told);
    close(fd);
    say(said);
}

static void stopping_is_bounded_though_another_process_hangs(void **state)
{
    struct room r;
    atomic_int gone = 0;
    (void)state;
    room_open(&r);
    struct child c = child_new(holds_the_turn, &r);
    struct writer *w = start(&r);
    say(c.told);
    await(c.said);
    struct note *n = note_new("a", 0);
    n->gone = &gone;
    assert_int_equal(put(w, n, 50, true), WEIR_BUSY);
    int64_t before = clock_mono_ms();
    assert_int_equal(writer_stop(w, 200), 1);
    assert_in_range(clock_mono_ms() - before, 200, 5000);
    assert_int_equal(atomic_load(&gone), 1);
    say(c.told);
    await(c.said);
    child_end(&c);
    int fd = writer_lock(r.dir); /* so the thread that was left behind has given its turn back */
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(room_number(&r, "SELECT count(*) FROM audit"), 0);
    room_close(&r);
}

static void writes_on_and_on(const struct room *r, int told, int said)
{
    struct writer *w;
    await(told);
    if (writer_start(r->dir, &sql_gateway, &w) != WEIR_OK) _exit(2);
    say(said);
    for (int i = 0; i < 2000; i++)
        if (put(w, note_new("child", i), LONG_MS, true) != WEIR_OK) _exit(3);
    _exit(writer_stop(w, 1000) == 0 ? 0 : 4);
}

static void processes_take_turns(void **state)
{
    struct room r;
    (void)state;
    room_open(&r);
    struct child a = child_new(writes_on_and_on, &r), b = child_new(writes_on_and_on, &r);
    struct writer *w = start(&r);
    say(a.told), say(b.told);
    await(a.said), await(b.said);
    load_all(w, 8, 250, 0);
    close(a.told), close(a.said), close(b.told), close(b.said);
    assert_int_equal(room_wait(a.pid), 0);
    assert_int_equal(room_wait(b.pid), 0);
    assert_int_equal(writer_stop(w, 1000), 0);
    assert_int_equal(room_number(&r, "SELECT count(*) FROM audit"), 6000);
    assert_int_equal(room_number(&r, "SELECT count(*) FROM audit WHERE request_id LIKE 'child%'"), 4000);
    room_close(&r);
}

struct acker { struct writer *w; int said, number; };

static void *acks(void *arg)
{
    struct acker *k = arg;
    for (int i = 0;; i++) {
        int id = k->number * 1000000 + i;
        if (put(k->w, note_new("", id), LONG_MS, true) == WEIR_OK && write(k->said, &id, sizeof id) != sizeof id) _exit(3);
    }
    return NULL;
}

static void acks_what_it_wrote(const struct room *r, int told, int said)
{
    struct acker k[8];
    struct writer *w;
    pthread_t t;
    (void)told;
    if (writer_start(r->dir, &sql_gateway, &w) != WEIR_OK) _exit(2);
    for (int i = 0; i < 8; i++) {
        k[i] = (struct acker){w, said, i};
        pthread_create(&t, NULL, acks, &k[i]);
    }
    pause();
}

static bool has_row(sqlite3 *at, int id)
{
    sqlite3_stmt *s;
    char text[20];
    snprintf(text, sizeof text, "%d", id);
    sqlite3_prepare_v2(at, "SELECT 1 FROM pg WHERE request_id = ?1", -1, &s, NULL);
    sqlite3_bind_text(s, 1, text, -1, SQLITE_STATIC);
    bool has = sqlite3_step(s) == SQLITE_ROW;
    sqlite3_finalize(s);
    return has;
}

static void a_killed_process_loses_nothing_it_acknowledged(void **state)
{
    static int acked[400000];
    (void)state;
    for (int round = 0; round < 5; round++) {
        struct room r;
        size_t n = 0;
        ssize_t got;
        room_open(&r);
        struct child c = child_new(acks_what_it_wrote, &r);
        int64_t until = clock_mono_ms() + 150 + 70 * round;
        bool killed = false;
        while ((got = read(c.said, &acked[n], sizeof *acked)) == sizeof *acked && n < 399999) {
            n++;
            if (!killed && clock_mono_ms() > until) killed = kill(c.pid, SIGKILL) == 0;
        }
        if (!killed) kill(c.pid, SIGKILL);
        child_end(&c);
        assert_true(n > 0);
        sqlite3 *at;
        assert_int_equal(sqlite3_open(r.db, &at), SQLITE_OK);
        assert_int_equal(sqlite3_exec(at, "CREATE TEMP TABLE pg (request_id TEXT PRIMARY KEY); "
                                          "INSERT INTO pg SELECT request_id FROM audit", NULL, NULL, NULL), SQLITE_OK);
        for (size_t i = 0; i < n; i++) assert_true(has_row(at, acked[i]));
        sqlite3_close(at);
        room_is_whole(&r);
        room_close(&r);
    }
}

/* ---- a disk that fails ---- */

static void survives(int code)
{
    struct room r;
    room_open(&r);
    fault_start(r.db);
    struct writer *w = start(&r);
    assert_int_equal(put(w, note_new("before", 0), LONG_MS, false), WEIR_OK);
    atomic_store(&fault_code, code);
    assert_int_equal(put(w, note_new("kept", 0), LONG_MS, true), WEIR_STORAGE);
    assert_false(writer_is_able(w));
    assert_int_equal(put(w, note_new("dropped", 0), LONG_MS, false), WEIR_STORAGE);
    assert_int_equal(writer_backlog(w), 1);
    atomic_store(&fault_code, SQLITE_OK);
    until_empty(w);
    until_able(w, true);
    assert_int_equal(put(w, note_new("after", 0), LONG_MS, false), WEIR_OK);
    assert_int_equal(writer_stop(w, 1000), 0);
    fault_end();
    assert_int_equal(room_number(&r, "SELECT count(*) FROM audit"), 3);
    assert_int_equal(room_number(&r, "SELECT count(*) FROM audit WHERE request_id = 'kept0'"), 1);
    room_is_whole(&r);
    room_close(&r);
}

static void a_full_disk_keeps_and_drops_as_asked(void **state) { (void)state; survives(SQLITE_FULL); }
static void a_broken_disk_keeps_and_drops_as_asked(void **state) { (void)state; survives(SQLITE_IOERR_WRITE); }
static void a_read_only_disk_keeps_and_drops_as_asked(void **state) { (void)state; survives(SQLITE_READONLY); }

static void recovery_is_noticed_with_nothing_to_write(void **state)
{
    struct room r;
    (void)state;
    room_open(&r);
    fault_start(r.db);
    struct writer *w = start(&r);
    atomic_store(&fault_code, SQLITE_FULL);
    assert_int_equal(put(w, note_new("dropped", 0), LONG_MS, false), WEIR_STORAGE);
    assert_int_equal(writer_backlog(w), 0);
    assert_false(writer_is_able(w));
    usleep(200000);
    assert_false(writer_is_able(w));
    atomic_store(&fault_code, SQLITE_OK);
    until_able(w, true);
    assert_int_equal(writer_stop(w, 1000), 0);
    fault_end();
    room_close(&r);
}

/* The group fails as a whole, so every job of it is tried again by itself. */
static void a_group_that_fails_is_retried_job_by_job(void **state)
{
    struct room r;
    atomic_int gate = 0;
    struct note *n[20];
    (void)state;
    room_open(&r);
    fault_start(r.db);
    struct writer *w = start(&r);
    struct note *first = note_new("first", 0);
    first->gate = &gate;
    assert_int_equal(put(w, first, 0, true), WEIR_BUSY);
    for (int i = 0; i < 20; i++) {
        n[i] = note_new("n", i);
        n[i]->bad = i == 7;
        assert_int_equal(writer_run(w, &n[i]->job, 0, true), WEIR_BUSY);
    }
    atomic_store(&fault_code, SQLITE_IOERR_WRITE);
    atomic_store(&gate, 1);
    until_able(w, false);
    atomic_store(&fault_code, SQLITE_OK);
    until_empty(w);
    for (int i = 0; i < 20; i++) {
        assert_true(atomic_load(&n[i]->runs) >= 1);
        job_release(&n[i]->job);
    }
    assert_int_equal(writer_stop(w, 1000), 0);
    fault_end();
    assert_int_equal(room_number(&r, "SELECT count(DISTINCT request_id) FROM audit"), 20);
    assert_int_equal(room_number(&r, "SELECT count(*) FROM audit"), 20);
    room_close(&r);
}

/* Not simulated: SQLite itself finds no page left, in the middle of a group. */
static enum weir_err limit_run(struct job *j, struct db *db)
{
    (void)j;
    sqlite3_set_authorizer(db->at, NULL, NULL); /* the wall lets no such pragma pass */
    return sqlite3_exec(db->at, "PRAGMA max_page_count=60", NULL, NULL, NULL) == SQLITE_OK ? WEIR_OK : WEIR_INTERNAL;
}

static void running_out_of_pages_is_survived(void **state)
{
    struct room r;
    struct job limit = {.run = limit_run};
    char *filling = malloc(20001);
    (void)state;
    memset(filling, 'x', 20000);
    filling[20000] = 0;
    room_open(&r);
    struct writer *w = start(&r);
    assert_int_equal(writer_run(w, &limit, LONG_MS, false), WEIR_OK);
    job_release(&limit);
    int good = 0, full = 0;
    for (int i = 0; i < 30; i++) {
        struct note *n = note_new("n", i);
        n->filling = filling;
        enum weir_err err = put(w, n, LONG_MS, false);
        good += err == WEIR_OK;
        full += err == WEIR_STORAGE;
    }
    assert_true(full > 0); /* connecting anew lifts the limit, so later ones go through */
    assert_int_equal(good + full, 30);
    assert_int_equal(writer_stop(w, 1000), 0);
    assert_int_equal(room_number(&r, "SELECT count(*) FROM audit"), good);
    room_is_whole(&r);
    room_close(&r);
    free(filling);
}

static void a_data_directory_that_goes_is_storage_and_heals_when_it_returns(void **state)
{
    struct room r;
    char away[60];
    (void)state;
    room_open(&r);
    snprintf(away, sizeof away, "%s-away", r.dir);
    struct writer *w = start(&r);
    assert_int_equal(put(w, note_new("before", 0), LONG_MS, true), WEIR_OK);
    assert_int_equal(rename(r.dir, away), 0);
    assert_int_equal(put(w, note_new("kept", 0), LONG_MS, true), WEIR_STORAGE);
    assert_false(writer_is_able(w));
    assert_int_equal(rename(away, r.dir), 0);
    until_empty(w);
    assert_int_equal(writer_stop(w, 1000), 0);
    assert_int_equal(room_number(&r, "SELECT count(*) FROM audit"), 2);
    room_close(&r);
}

static void stopping_says_what_a_dead_disk_cost(void **state)
{
    struct room r;
    atomic_int gone = 0;
    (void)state;
    room_open(&r);
    fault_start(r.db);
    struct writer *w = start(&r);
    atomic_store(&fault_code, SQLITE_FULL);
    for (int i = 0; i < 3; i++) {
        struct note *n = note_new("n", i);
        n->gone = &gone;
        put(w, n, 0, true);
    }
    int64_t before = clock_mono_ms();
    assert_int_equal(writer_stop(w, 300), 3);
    assert_in_range(clock_mono_ms() - before, 0, 5000);
    assert_int_equal(atomic_load(&gone), 3);
    atomic_store(&fault_code, SQLITE_OK);
    fault_end();
    room_close(&r);
}

/* ---- jobs that nobody waits for ---- */

/* A note whose caller is called. `left` more are sent from there, one after the other. */
struct letter { struct note note; struct writer *w; const struct room *room; atomic_int *called, *good; int left; };

static struct letter *letter_new(struct writer *w, const char *prefix, int number, atomic_int *called, atomic_int *good)
{
    struct letter *l = calloc(1, sizeof *l);
    l->note.job = (struct job){.run = note_run, .dispose = note_dispose};
    snprintf(l->note.id, sizeof l->note.id, "%s%d", prefix, number);
    l->w = w;
    l->called = called;
    l->good = good;
    return l;
}

static void letter_told(struct job *j, enum weir_err err);

static void post(struct letter *l, int wait_ms, bool keep)
{
    if (writer_send(l->w, &l->note.job, wait_ms, keep, letter_told) != WEIR_OK) abort();
}

static void letter_told(struct job *j, enum weir_err err)
{
    struct letter *l = (struct letter *)j;
    char sql[120];
    atomic_int *called = l->called, *good = l->good;
    snprintf(sql, sizeof sql, "SELECT count(*) FROM audit WHERE request_id = '%s'", l->note.id);
    bool there = err == WEIR_OK && (!l->room || room_number(l->room, sql) == 1);
    if (l->left) {
        struct letter *next = letter_new(l->w, "next", l->left, called, good);
        next->left = l->left - 1;
        post(next, LONG_MS, true);
    }
    job_release(j);
    atomic_fetch_add(good, there);
    atomic_fetch_add(called, 1);
}

static void until_called(atomic_int *called, int n)
{
    int64_t until = clock_mono_ms() + LONG_MS;
    while (atomic_load(called) < n && clock_mono_ms() < until) usleep(1000);
    assert_int_equal(atomic_load(called), n);
}

struct post_office { struct writer *w; const struct room *room; int number; atomic_int *called, *good; };

static void *posts(void *arg)
{
    const struct post_office *o = arg;
    for (int i = 0; i < 200; i++) {
        struct letter *l = letter_new(o->w, "n", o->number * 1000 + i, o->called, o->good);
        l->room = i % 40 == 0 ? o->room : NULL;
        writer_enter(o->w);
        post(l, LONG_MS, i % 2);
        writer_leave(o->w);
    }
    return NULL;
}

static void who_has_sent_a_job_is_called_once_after_its_commit(void **state)
{
    struct room r;
    pthread_t t[8];
    struct post_office o[8];
    atomic_int called = 0, good = 0;
    (void)state;
    room_open(&r);
    struct writer *w = start(&r);
    for (int i = 0; i < 8; i++) {
        o[i] = (struct post_office){w, &r, i, &called, &good};
        assert_int_equal(pthread_create(&t[i], NULL, posts, &o[i]), 0);
    }
    for (int i = 0; i < 8; i++) pthread_join(t[i], NULL);
    until_called(&called, 1600);
    assert_int_equal(writer_stop(w, 1000), 0);
    assert_int_equal(atomic_load(&called), 1600);
    assert_int_equal(atomic_load(&good), 1600);
    assert_int_equal(room_number(&r, "SELECT count(DISTINCT request_id) FROM audit"), 1600);
    room_close(&r);
}

static void who_is_called_may_send_the_next(void **state)
{
    struct room r;
    atomic_int called = 0, good = 0;
    (void)state;
    room_open(&r);
    struct writer *w = start(&r);
    for (int i = 0; i < 3; i++) { /* with a wait below BUSY_MS it is the thread's, otherwise its sender's */
        struct letter *l = letter_new(w, "first", i, &called, &good);
        l->left = 50;
        post(l, i ? LONG_MS : 0, true);
    }
    until_called(&called, 3 * 51);
    assert_int_equal(writer_stop(w, 1000), 0);
    assert_int_equal(room_number(&r, "SELECT count(*) FROM audit"), 3 * 51);
    room_close(&r);
}

static void so_many_may_be_sent(void **state)
{
    struct room r;
    atomic_int gate = 0, called = 0, good = 0;
    (void)state;
    room_open(&r);
    struct writer *w = start(&r);
    struct note *first = note_new("first", 0);
    first->gate = &gate;
    assert_int_equal(put(w, first, 0, true), WEIR_BUSY);
    assert_false(writer_has_sent(w));
    for (int i = 0; i < BOUND_SENT; i++) {
        assert_true(writer_may_send(w));
        post(letter_new(w, "n", i, &called, &good), LONG_MS, true);
    }
    assert_false(writer_may_send(w));
    assert_true(writer_has_sent(w));
    assert_int_equal(atomic_load(&called), 0);
    atomic_store(&gate, 1);
    until_called(&called, BOUND_SENT);
    assert_true(writer_may_send(w));
    assert_false(writer_has_sent(w));
    assert_int_equal(writer_stop(w, 1000), 0);
    room_close(&r);
}

static void who_waits_too_long_is_called_all_the_same(void **state)
{
    struct room r;
    atomic_int called = 0, good = 0;
    (void)state;
    room_open(&r);
    struct child c = child_new(holds_the_database, &r);
    struct writer *w = start(&r);
    say(c.told);
    await(c.said);
    int64_t before = clock_mono_ms();
    post(letter_new(w, "n", 0, &called, &good), 100, true);
    writer_overdue(w, clock_mono_ms());
    if (clock_mono_ms() - before < 100) assert_int_equal(atomic_load(&called), 0);
    while (clock_mono_ms() - before < 101) usleep(1000);
    writer_overdue(w, clock_mono_ms());
    assert_int_equal(atomic_load(&called), 1);
    assert_int_equal(atomic_load(&good), 0);
    until_empty(w);
    child_end(&c);
    assert_int_equal(writer_stop(w, 1000), 0);
    assert_int_equal(atomic_load(&called), 1);
    assert_int_equal(room_number(&r, "SELECT count(*) FROM audit"), 1);
    room_close(&r);
}

static void who_has_sent_a_kept_job_is_told_of_trouble_once(void **state)
{
    struct room r;
    atomic_int called = 0, good = 0;
    (void)state;
    room_open(&r);
    fault_start(r.db);
    struct writer *w = start(&r);
    atomic_store(&fault_code, SQLITE_FULL);
    post(letter_new(w, "kept", 0, &called, &good), LONG_MS, true);
    post(letter_new(w, "not", 0, &called, &good), LONG_MS, false);
    until_called(&called, 2);
    assert_int_equal(atomic_load(&good), 0);
    assert_false(writer_is_able(w));
    atomic_store(&fault_code, SQLITE_OK);
    until_able(w, true);
    until_empty(w);
    assert_int_equal(writer_stop(w, 1000), 0);
    assert_int_equal(atomic_load(&called), 2);
    fault_end();
    assert_int_equal(room_number(&r, "SELECT count(*) FROM audit WHERE request_id = 'kept0'"), 1);
    assert_int_equal(room_number(&r, "SELECT count(*) FROM audit"), 1);
    room_close(&r);
}

static void whoever_was_not_called_is_when_the_writer_stops(void **state)
{
    struct room r;
    atomic_int called = 0, good = 0, gone = 0;
    (void)state;
    room_open(&r);
    struct child c = child_new(holds_the_turn, &r);
    struct writer *w = start(&r);
    say(c.told);
    await(c.said);
    for (int i = 0; i < 3; i++) {
        struct letter *l = letter_new(w, "n", i, &called, &good);
        l->note.gone = &gone;
        post(l, LONG_MS, i);
    }
    assert_int_equal(writer_stop(w, 200), 3);
    assert_int_equal(atomic_load(&called), 3);
    assert_int_equal(atomic_load(&good), 0);
    assert_int_equal(atomic_load(&gone), 3);
    say(c.told);
    await(c.said);
    child_end(&c);
    room_close(&r);
}

/* What a thread that hangs has in hand: its caller is gone by the time it goes on. */
static void a_job_that_hangs_has_no_caller_any_more(void **state)
{
    struct room r;
    atomic_int gate = 0, called = 0, good = 0, gone = 0;
    (void)state;
    room_open(&r);
    struct writer *w = start(&r);
    struct letter *l = letter_new(w, "n", 0, &called, &good);
    l->note.gate = &gate;
    l->note.gone = &gone;
    post(l, 0, true);
    int64_t until = clock_mono_ms() + LONG_MS;
    while (!atomic_load(&l->note.runs) && clock_mono_ms() < until) usleep(1000);
    assert_int_equal(writer_stop(w, 0), 1);
    assert_int_equal(atomic_load(&called), 1);
    assert_int_equal(atomic_load(&gone), 0);
    atomic_store(&gate, 1);
    while (!atomic_load(&gone) && clock_mono_ms() < until) usleep(1000);
    assert_int_equal(atomic_load(&called), 1);
    room_close(&r);
}

/* ---- the log ---- */

struct filler { struct writer *w; const char *filling; int64_t until; int failed; };

static void *fills(void *arg)
{
    struct filler *f = arg;
    for (int i = 0; clock_mono_ms() < f->until; i++) {
        struct note *n = note_new("f", i);
        n->filling = f->filling;
        if (put(f->w, n, LONG_MS, true) != WEIR_OK) f->failed++;
    }
    return NULL;
}

static void the_log_stays_bounded_under_a_writer_that_never_pauses(void **state)
{
    struct room r;
    struct stat st;
    char wal[80];
    pthread_t t[4];
    struct filler f[4];
    off_t most = 0;
    char *filling = malloc(30001);
    (void)state;
    memset(filling, 'x', 30000);
    filling[30000] = 0;
    room_open(&r);
    snprintf(wal, sizeof wal, "%s-wal", r.db);
    struct writer *w = start(&r);
    int64_t until = clock_mono_ms() + 4000;
    for (int i = 0; i < 4; i++) {
        f[i] = (struct filler){w, filling, until, 0};
        pthread_create(&t[i], NULL, fills, &f[i]);
    }
    while (clock_mono_ms() < until) {
        if (stat(wal, &st) == 0 && st.st_size > most) most = st.st_size;
        usleep(5000);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
        assert_int_equal(f[i].failed, 0);
    }
    assert_int_equal(writer_stop(w, 5000), 0);
    int64_t rows = room_number(&r, "SELECT count(*) FROM audit");
    print_message("    %lld rows of 30 KB, log at most %lld KiB\n", (long long)rows, (long long)most / 1024);
    assert_true(most < 80L << 20); /* 64 MB, 4 more before it is looked at again, and one turn */
    room_is_whole(&r);
    room_close(&r);
    free(filling);
}

/* A letter that knows how long after its writing it was answered. */
struct dated { struct letter letter; atomic_llong written; atomic_llong *worst; };

static enum weir_err dated_run(struct job *j, struct db *db)
{
    enum weir_err err = note_run(j, db);
    atomic_store(&((struct dated *)j)->written, clock_mono_ms());
    return err;
}

static void dated_told(struct job *j, enum weir_err err)
{
    struct dated *d = (struct dated *)j;
    long long took = clock_mono_ms() - atomic_load(&d->written);
    if (err != WEIR_OK || took > atomic_load(d->worst)) atomic_store(d->worst, err == WEIR_OK ? took : LONG_MS);
    atomic_int *called = d->letter.called;
    job_release(j);
    atomic_fetch_add(called, 1);
}

/* The reader holds up a whole checkpoint for a second, and the writer with it, but nobody who was written. */
static void who_is_called_does_not_wait_for_a_checkpoint(void **state)
{
    struct room r;
    struct stat st;
    char wal[80], *filling = malloc(30001);
    atomic_int called = 0;
    atomic_llong worst = 0;
    int sent = 0;
    (void)state;
    memset(filling, 'x', 30000);
    filling[30000] = 0;
    room_open(&r);
    snprintf(wal, sizeof wal, "%s-wal", r.db);
    struct writer *w = start(&r);
    sqlite3 *reader;
    assert_int_equal(sqlite3_open_v2(r.db, &reader, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM audit", NULL, NULL, NULL), SQLITE_OK);
    while (stat(wal, &st) != 0 || st.st_size < 36L << 20) {
        struct dated *d = calloc(1, sizeof *d);
        d->letter.note.job = (struct job){.run = dated_run, .dispose = note_dispose};
        snprintf(d->letter.note.id, sizeof d->letter.note.id, "n%d", sent);
        d->letter.note.filling = filling;
        d->letter.called = &called;
        d->worst = &worst;
        assert_int_equal(writer_send(w, &d->letter.note.job, 0, true, dated_told), WEIR_OK);
        until_called(&called, ++sent);
    }
    assert_int_equal(sqlite3_close(reader), SQLITE_OK);
    assert_int_equal(writer_stop(w, LONG_MS), 0);
    print_message("    %d rows of 30 KB, called after %lld ms at most\n", sent, atomic_load(&worst));
    assert_in_range(atomic_load(&worst), 0, 700);
    room_close(&r);
    free(filling);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_is_committed_exactly_once),
        cmocka_unit_test(a_refused_job_undoes_itself_and_not_its_neighbours),
        cmocka_unit_test(a_refused_job_alone_leaves_nothing),
        cmocka_unit_test(a_full_queue_takes_only_what_must_be_written),
        cmocka_unit_test(who_has_sent_a_job_is_called_once_after_its_commit),
        cmocka_unit_test(who_is_called_may_send_the_next),
        cmocka_unit_test(so_many_may_be_sent),
        cmocka_unit_test(who_waits_too_long_is_called_all_the_same),
        cmocka_unit_test(who_has_sent_a_kept_job_is_told_of_trouble_once),
        cmocka_unit_test(whoever_was_not_called_is_when_the_writer_stops),
        cmocka_unit_test(a_job_that_hangs_has_no_caller_any_more),
        cmocka_unit_test(who_is_called_does_not_wait_for_a_checkpoint),
        cmocka_unit_test(a_busy_database_delays_and_loses_nothing),
        cmocka_unit_test(processes_take_turns),
        cmocka_unit_test(a_killed_process_loses_nothing_it_acknowledged),
        cmocka_unit_test(a_full_disk_keeps_and_drops_as_asked),
        cmocka_unit_test(a_broken_disk_keeps_and_drops_as_asked),
        cmocka_unit_test(a_read_only_disk_keeps_and_drops_as_asked),
        cmocka_unit_test(recovery_is_noticed_with_nothing_to_write),
        cmocka_unit_test(a_group_that_fails_is_retried_job_by_job),
        cmocka_unit_test(running_out_of_pages_is_survived),
        cmocka_unit_test(a_data_directory_that_goes_is_storage_and_heals_when_it_returns),
        cmocka_unit_test(stopping_says_what_a_dead_disk_cost),
        cmocka_unit_test(the_log_stays_bounded_under_a_writer_that_never_pauses),
        cmocka_unit_test(stopping_is_bounded_though_another_process_hangs), cmocka_unit_test(a_transaction_takes_so_many_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
