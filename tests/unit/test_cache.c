/* The cache's store: what is put is found again whole, by nobody else's name, and the file may do what it likes. */
#include "sql/cache.c"
#include "sql/cache_file.c"
#include "sql/cache_tend.c"
#include "fcgi/door/pack.c"
#include <sqlite3.h>
#include "tests/unit/sql_room.h"
#include "tests/unit/fault_vfs.h"

#define NOW  INT64_C(1800000000000)
#define MUCH (64 << 20)

static struct cache_entry entry(const char *body)
{
    return (struct cache_entry){.expires = NOW + 1000, .gone = NOW + 5000, .form = 3, .provider = "p", .model = "m", .body = span_of(body)};
}

static bool keep(struct cache *c, const char *name, const char *body, int64_t now_ms, int64_t most)
{
    struct cache_name n = cache_name(span_of(name));
    struct cache_entry e = entry(body);
    return cache_put(c, &n, &e, now_ms, most);
}

/* The body kept under that name, "" if there is none; good until the next call. */
static const char *kept(struct cache *c, const char *name, int64_t now_ms)
{
    static struct arena memory;
    struct cache_name n = cache_name(span_of(name));
    struct cache_entry e;
    arena_end(&memory);
    return cache_get(c, &n, now_ms, &memory, &e) ? e.body.at : (arena_end(&memory), "");
}

static struct cache *start(const struct room *r)
{
    struct cache *c;
    assert_int_equal(cache_new(r->dir, &c), WEIR_OK);
    return c;
}

static struct room at_cache(const struct room *r)
{
    struct room other = *r;
    snprintf(other.db, sizeof other.db, "%s/cache.db", r->dir);
    return other;
}

static int64_t number(const struct room *r, const char *sql)
{
    struct room other = at_cache(r);
    return room_number(&other, sql);
}

/* Done to the file by somebody else. */
static void spoil(const struct room *r, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(at_cache(r).db, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* Time passes: what is asked of the file system once in a while is asked anew, and trouble is past. */
static void later(struct cache *c)
{
    c->side.checked = c->quiet_until = 0;
    for (int i = 0; i < CACHE_READERS; i++) c->readers[i].side.checked = c->readers[i].side.shunned_until = 0;
}

static void total_is_true(const struct room *r)
{
    assert_int_equal(number(r, "SELECT entries - (SELECT count(*) FROM entry) FROM total"), 0);
    assert_int_equal(number(r, "SELECT bytes - (SELECT coalesce(sum(bytes), 0) FROM entry) FROM total"), 0);
}

static void end(struct room *r, struct cache *c)
{
    kept(c, "", 0); /* lets go of its memory */
    cache_free(c);
    room_close(r);
}

static void what_is_put_is_found_whole_until_it_is_gone(void **state)
{
    struct room r;
    struct arena a;
    struct cache_entry e;
    (void)state;
    room_open(&r);
    arena_init(&a);
    struct cache *c = start(&r), *other = start(&r);
    struct cache_name n = cache_name(SPAN("team/data\n{\"a\":1}"));
    assert_false(cache_get(c, &n, NOW, &a, &e));
    assert_true(keep(c, "team/data\n{\"a\":1}", "the answer", NOW, MUCH));
    assert_true(cache_get(other, &n, NOW + 1, &a, &e)); /* another process would find it as well */
    assert_true(span_is(e.body, "the answer") && e.form == 3 && e.created == NOW && e.expires == NOW + 1000);
    assert_string_equal(e.provider, "p");
    assert_string_equal(e.model, "m");
    assert_true(cache_get(c, &n, NOW + 4999, &a, &e));
    assert_false(cache_get(c, &n, NOW + 5000, &a, &e));
    assert_true(keep(other, "team/data\n{\"a\":1}", "a newer one", NOW, MUCH));
    assert_string_equal(kept(c, "team/data\n{\"a\":1}", NOW), "a newer one");
    assert_int_equal(number(&r, "SELECT count(*) FROM entry"), 1);
    total_is_true(&r);
    arena_end(&a);
    cache_free(other);
    end(&r, c);
}

static void a_long_name_is_found_again(void **state)
{
    struct room r;
    static char name[200000];
    (void)state;
    room_open(&r);
    struct cache *c = start(&r);
    memset(name, 'n', sizeof name - 1);
    for (size_t n = 1000; n < sizeof name; n *= 2) { /* those from 2 KB on are packed */
        name[n] = '\0';
        assert_true(keep(c, name, "the answer", NOW, MUCH));
        assert_string_equal(kept(c, name, NOW), "the answer");
        name[n] = 'n';
    }
    end(&r, c);
}

static void a_hash_alone_finds_nothing(void **state)
{
    struct room r;
    struct arena a;
    struct cache_entry e;
    (void)state;
    room_open(&r);
    arena_init(&a);
    struct cache *c = start(&r);
    assert_true(keep(c, "asked", "answer", NOW, MUCH));
    struct cache_name forged = cache_name(SPAN("asked"));
    forged.text = SPAN("Asked");
    assert_false(cache_get(c, &forged, NOW, &a, &e));
    forged.text = SPAN("asked more");
    assert_false(cache_get(c, &forged, NOW, &a, &e));
    arena_end(&a);
    end(&r, c);
}

/* As the going of the power may leave it, for no put waits for the disk. */
static void an_entry_that_was_torn_is_not_found(void **state)
{
    static const char *const torn[] = {"UPDATE entry SET body = substr(body, 1, length(body) - 1)",
                                       "UPDATE entry SET body = CAST('q' || substr(body, 2) AS BLOB)",
                                       "UPDATE entry SET body = (SELECT e.body FROM entry e WHERE e.id <> entry.id)",
                                       "UPDATE entry SET body = x''"};
    struct room r;
    (void)state;
    room_open(&r);
    struct cache *c = start(&r);
    for (size_t i = 0; i < sizeof torn / sizeof *torn; i++) {
        assert_true(keep(c, "one", "the answer", NOW, MUCH) && keep(c, "two", "another one", NOW, MUCH));
        assert_string_equal(kept(c, "one", NOW), "the answer");
        spoil(&r, torn[i]);
        assert_string_equal(kept(c, "one", NOW), "");
    }
    end(&r, c);
}

static void the_least_recently_used_leave_first_and_the_bound_holds(void **state)
{
    struct room r;
    char name[20], body[1001];
    (void)state;
    room_open(&r);
    struct cache *c = start(&r);
    for (int i = 0; i < 1000; i++) body[i] = (char)(' ' + (i * 7919 + i / 13 * 31) % 90);
    body[1000] = 0;
    assert_true(keep(c, "first", body, NOW, MUCH));
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "n%d", i);
        assert_true(keep(c, name, body, NOW + 1 + i, MUCH));
    }
    assert_string_equal(kept(c, "first", NOW + 100), body); /* a hit counts once it is written */
    cache_tend(c, NOW + 100, MUCH);
    assert_int_equal(number(&r, "SELECT hits FROM entry WHERE used = 1800000000100"), 1);
    int64_t bytes = number(&r, "SELECT bytes FROM total"), one = bytes / 41;
    cache_tend(c, NOW + 100, bytes / 2);
    int64_t left = number(&r, "SELECT bytes FROM total");
    assert_true(left <= bytes / 2 && left > bytes / 2 - bytes / 2 / SPARE - (STEP_ROWS + 1) * one);
    assert_string_equal(kept(c, "first", NOW + 100), body);
    assert_string_equal(kept(c, "n39", NOW + 100), body);
    assert_string_equal(kept(c, "n0", NOW + 100), "");
    for (int i = 0; i < 100; i++) { /* what comes in is outrun */
        snprintf(name, sizeof name, "later%d", i);
        assert_true(keep(c, name, body, NOW + 200 + i, bytes / 2));
        assert_true(number(&r, "SELECT bytes FROM total") <= bytes / 2);
    }
    assert_false(keep(c, "too large", body, NOW, one * 3));
    cache_tend(c, NOW + 5000, MUCH); /* all are gone by now */
    assert_int_equal(number(&r, "SELECT entries FROM total"), 0);
    end(&r, c);
}

static void a_file_that_is_deleted_or_damaged_is_only_a_miss(void **state)
{
    struct room r;
    char path[80];
    struct cache_stats stats;
    (void)state;
    room_open(&r);
    snprintf(path, sizeof path, "%s/cache.db", r.dir);
    struct cache *c = start(&r);
    assert_int_equal(cache_stats(c, &stats), WEIR_OK);
    assert_int_equal(stats.entries + stats.file_bytes, 0);
    assert_true(keep(c, "a", "b", NOW, MUCH));
    assert_string_equal(kept(c, "a", NOW), "b");
    assert_int_equal(cache_stats(c, &stats), WEIR_OK);
    assert_true(stats.entries == 1 && stats.bytes > 0 && stats.file_bytes > 0);
    unlink(path); /* and its log stays */
    later(c);
    assert_string_equal(kept(c, "a", NOW), "");
    assert_true(keep(c, "a", "again", NOW, MUCH));
    assert_string_equal(kept(c, "a", NOW), "again");
    assert_int_equal(cache_clear(c), WEIR_OK);
    later(c);
    assert_string_equal(kept(c, "a", NOW), "");
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 1000; i++) fprintf(f, "this is no database ");
    fclose(f);
    later(c);
    assert_string_equal(kept(c, "a", NOW), "");
    assert_true(keep(c, "a", "whole", NOW, MUCH));
    later(c);
    assert_string_equal(kept(c, "a", NOW), "whole");
    snprintf(path, sizeof path, "%s/cache.db-wal", r.dir);
    assert_int_equal(unlink(path), 0);
    later(c);
    assert_string_equal(kept(c, "a", NOW), "");
    for (int i = 0; i < 3 && !keep(c, "a", "with a log again", NOW, MUCH); i++) later(c);
    later(c);
    assert_string_equal(kept(c, "a", NOW), "with a log again");
    snprintf(path, sizeof path, "%s/cache.db", r.dir);
    assert_int_equal(truncate(path, 0), 0);
    for (int i = 0; i < 3 && strcmp(kept(c, "a", NOW), "from nothing") != 0; i++) { /* a put finds it out, or who looks */
        later(c);
        keep(c, "a", "from nothing", NOW, MUCH);
        later(c);
    }
    assert_string_equal(kept(c, "a", NOW), "from nothing");
    end(&r, c);
    room_open(&r); /* a directory that takes no file */
    c = start(&r);
    assert_int_equal(mkdir((snprintf(path, sizeof path, "%s/cache.db", r.dir), path), 0700), 0);
    assert_false(keep(c, "a", "b", NOW, MUCH));
    assert_string_equal(kept(c, "a", NOW), "");
    end(&r, c);
}

static void a_file_of_another_version_is_thrown_away(void **state)
{
    static const char *const versions[] = {"PRAGMA user_version = 99", "PRAGMA user_version = 1", "DROP TABLE total; PRAGMA user_version = 2"};
    struct cache_stats stats;
    struct room r;
    (void)state;
    room_open(&r);
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        struct cache *c = start(&r);
        assert_true(keep(c, "a", "b", NOW, MUCH));
        cache_free(c);
        spoil(&r, versions[i]);
        c = start(&r);
        assert_string_equal(kept(c, "a", NOW), "");
        assert_int_equal(cache_stats(c, &stats), WEIR_OK);
        assert_int_equal(stats.entries + stats.bytes, 0);
        assert_true(keep(c, "a", "of this version", NOW, MUCH));
        later(c);
        assert_string_equal(kept(c, "a", NOW), "of this version");
        assert_int_equal(number(&r, "SELECT count(*) FROM entry"), 1);
        kept(c, "", 0);
        cache_free(c);
    }
    room_close(&r);
}

static void a_disk_that_is_full_is_only_a_miss(void **state)
{
    struct room r;
    (void)state;
    room_open(&r);
    fault_start(r.db);
    struct cache *c = start(&r);
    assert_true(keep(c, "a", "before", NOW, MUCH));
    atomic_store(&fault_code, SQLITE_FULL);
    assert_false(keep(c, "b", "meanwhile", NOW, MUCH));
    assert_string_equal(kept(c, "a", NOW), "before");
    cache_tend(c, NOW, MUCH);
    atomic_store(&fault_code, SQLITE_IOERR_WRITE);
    later(c);
    assert_false(keep(c, "b", "meanwhile", NOW, MUCH));
    atomic_store(&fault_code, SQLITE_OK);
    assert_false(keep(c, "b", "too soon", NOW, MUCH)); /* it is left alone for a while */
    later(c);
    assert_true(keep(c, "b", "after", NOW, MUCH));
    assert_string_equal(kept(c, "a", NOW), "before");
    assert_string_equal(kept(c, "b", NOW), "after");
    fault_end();
    end(&r, c);
}

/* ---- what a put may cost others, and others a put ---- */

static void a_put_lets_few_go_and_the_bound_is_never_passed(void **state)
{
    struct room r;
    char name[20], *large = malloc(100001);
    int64_t most = 400000;
    int tries = 0;
    (void)state;
    room_open(&r);
    struct cache *c = start(&r);
    srandom(7);
    for (int i = 0; i < 100000; i++) large[i] = (char)(' ' + random() % 90); /* nothing to pack */
    large[99000] = 0;
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "n%d", i);
        assert_true(keep(c, name, "small", NOW + i, most));
    }
    int64_t entries = number(&r, "SELECT entries FROM total"), now;
    assert_in_range(entries, 1000, 1999);
    while (!keep(c, "large", large, NOW + 3000, most) && tries++ < 100) {
        assert_true(number(&r, "SELECT bytes FROM total") <= most);
        now = number(&r, "SELECT entries FROM total");
        assert_int_equal(entries - now, STEP_ROWS); /* not all that would have to go */
        entries = now;
    }
    assert_in_range(tries, 2, 99);
    assert_string_equal(kept(c, "large", NOW + 3000), large);
    assert_true(number(&r, "SELECT bytes FROM total") <= most);
    cache_tend(c, NOW + 3000, most);
    assert_true(number(&r, "SELECT bytes FROM total") <= most - most / SPARE); /* so the next finds room */
    total_is_true(&r);
    free(large);
    end(&r, c);
}

static int64_t time_of_a_refused_put(struct cache *c)
{
    int64_t begun = clock_mono_ms();
    assert_false(keep(c, "a", "b", NOW, MUCH));
    return clock_mono_ms() - begun;
}

static void *hold(void *arg)
{
    struct cache *c = arg;
    pthread_mutex_lock(&c->writing);
    pthread_mutex_lock(&c->lock); /* until the test lets go */
    pthread_mutex_unlock(&c->lock);
    pthread_mutex_unlock(&c->writing);
    return NULL;
}

static void a_put_does_not_wait_for_others(void **state)
{
    struct room r;
    sqlite3 *db;
    pthread_t holder;
    (void)state;
    room_open(&r);
    struct cache *c = start(&r);
    assert_true(keep(c, "first", "b", NOW, MUCH));
    assert_int_equal(sqlite3_open(at_cache(&r).db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_in_range(time_of_a_refused_put(c), 0, 1000); /* it waits 10 ms, on a machine that does nothing else */
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    pthread_mutex_lock(&c->lock);
    assert_int_equal(pthread_create(&holder, NULL, hold, c), 0);
    while (pthread_mutex_trylock(&c->writing) == 0) pthread_mutex_unlock(&c->writing), sched_yield();
    assert_in_range(time_of_a_refused_put(c), 0, 1000);
    pthread_mutex_unlock(&c->lock);
    pthread_join(holder, NULL);
    assert_true(keep(c, "a", "now", NOW, MUCH));
    end(&r, c);
}

/* A reader that never ends holds the log's beginning: then it is written to no more. */
static void a_log_without_measure_rests_until_it_was_moved(void **state)
{
    struct room r;
    sqlite3 *db;
    char name[20], *body = malloc((2 << 20) + 1);
    int i = 0;
    (void)state;
    room_open(&r);
    struct cache *c = start(&r);
    srandom(7);
    for (int k = 0; k < 2 << 20; k++) body[k] = (char)(' ' + random() % 90);
    body[2 << 20] = 0;
    assert_true(keep(c, "first", "b", NOW, MUCH));
    assert_int_equal(sqlite3_open(at_cache(&r).db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT * FROM total", NULL, NULL, NULL), SQLITE_OK);
    for (bool kept_it = true; kept_it && i < 100; i++) {
        snprintf(name, sizeof name, "n%d", i);
        kept_it = keep(c, name, body, NOW, INT64_C(1) << 40);
    }
    assert_in_range(i, 20, 60); /* 64 MB of log */
    assert_string_equal(kept(c, "n0", NOW), body);
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    for (int64_t until = clock_mono_ms() + 20000; clock_mono_ms() < until;) { /* as time passes, one put after the other */
        later(c);
        bool rests = !keep(c, "small", "b", NOW, INT64_C(1) << 40) || c->quiet_until;
        if (!rests) break;
        usleep(10000);
    }
    assert_true(keep(c, "last", body, NOW, INT64_C(1) << 40) && !c->quiet_until);
    assert_string_equal(kept(c, "last", NOW), body);
    free(body);
    end(&r, c);
}

static void *tend_on(void *arg)
{
    struct cache *c = arg;
    while (cache_tend(c, NOW + 5000, MUCH)) continue;
    return NULL;
}

/* A lock that is let go and taken again at once is never another's. */
static void puts_get_their_turn_while_thousands_leave(void **state)
{
    struct room r;
    pthread_t tender;
    int done = 0, tries = 0;
    (void)state;
    room_open(&r);
    struct cache *c = start(&r);
    assert_true(keep(c, "a", "b", NOW, MUCH));
    spoil(&r, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO entry (hash, used, created,"
              " expires, gone, bytes, form, provider, model, name, body) SELECT randomblob(32), used, created, expires, gone, bytes, form,"
              " provider, model, name, body FROM n, (SELECT * FROM entry LIMIT 1)");
    assert_int_equal(pthread_create(&tender, NULL, tend_on, c), 0);
    for (; number(&r, "SELECT entries FROM total") > 200; tries++) {
        struct cache_name n = cache_name(SPAN("fresh"));
        struct cache_entry e = {.expires = NOW + 9000, .gone = NOW + 9000, .provider = "p", .model = "m", .body = SPAN("x")};
        done += cache_put(c, &n, &e, NOW + 5000, MUCH);
    }
    pthread_join(tender, NULL);
    assert_true(tries > 5 && done > tries / 2);
    assert_int_equal(number(&r, "SELECT entries FROM total"), 1);
    total_is_true(&r);
    end(&r, c);
}

static void a_wrong_total_is_found_out_and_corrected(void **state)
{
    static const char *const wrong[] = {"UPDATE total SET bytes = 1000000000000", "UPDATE total SET bytes = -1000000000000, entries = -7",
                                        "DELETE FROM total", "UPDATE total SET entries = 5"};
    struct room r;
    (void)state;
    room_open(&r);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct cache *c = start(&r);
        keep(c, "a", "b", NOW, MUCH);
        spoil(&r, wrong[i]);
        assert_false(cache_tend(c, NOW, MUCH)); /* the first one looks */
        total_is_true(&r);
        assert_true(keep(c, "a", "c", NOW, MUCH));
        spoil(&r, wrong[i]);
        int64_t begun = clock_mono_ms();
        while (cache_tend(c, NOW, MUCH)) assert_in_range(clock_mono_ms() - begun, 0, 20000);
        c->counted = 1; /* an hour later */
        assert_false(cache_tend(c, NOW, MUCH));
        total_is_true(&r);
        assert_true(keep(c, "a", "d", NOW, MUCH));
        assert_string_equal(kept(c, "a", NOW), "d");
        kept(c, "", 0);
        cache_free(c);
    }
    room_close(&r);
}

/* The total says that there is too much where there is nothing any more: that ends too, by itself and within the hour. */
static void an_empty_cache_that_seems_full_ends_no_tending(void **state)
{
    struct room r;
    (void)state;
    room_open(&r);
    struct cache *c = start(&r);
    assert_true(keep(c, "a", "b", NOW, MUCH));
    assert_false(cache_tend(c, NOW, MUCH));
    spoil(&r, "DELETE FROM entry; UPDATE total SET bytes = 1000000000000, entries = 9");
    assert_false(cache_tend(c, NOW, MUCH));
    total_is_true(&r);
    assert_true(keep(c, "a", "b", NOW, MUCH));
    end(&r, c);
}

static void hits_of_many_entries_are_counted(void **state)
{
    struct room r;
    char name[20];
    (void)state;
    room_open(&r);
    struct cache *c = start(&r);
    for (int i = 0; i < 600; i++) {
        snprintf(name, sizeof name, "n%d", i);
        assert_true(keep(c, name, "b", NOW, MUCH));
    }
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 600; i++) {
            snprintf(name, sizeof name, "n%d", i);
            assert_string_equal(kept(c, name, NOW + 7), "b");
        }
    assert_int_equal(number(&r, "SELECT max(hits) FROM entry"), 0); /* reading writes nothing */
    assert_false(cache_tend(c, NOW + 7, MUCH));
    assert_int_equal(number(&r, "SELECT sum(hits) FROM entry WHERE used = 1800000000007 AND hits = 2"), 1200);
    end(&r, c);
}

/* ---- several processes, and somebody who deletes the file ---- */

#define LIVES 400

static void body_of(int i, char body[60]) { snprintf(body, 60, "the answer to question %d, and to no other", i); }

/* What is found is right, whatever the others do. Exits with how it went. */
static void live(const struct room *r, unsigned seed)
{
    struct cache *c = NULL;
    int found = 0, put = 0;
    if (cache_new(r->dir, &c) != WEIR_OK) _exit(2);
    for (int i = 0; i < LIVES; i++) {
        char name[20], body[60];
        int which = (int)(rand_r(&seed) % 30);
        snprintf(name, sizeof name, "q%d", which);
        body_of(which, body);
        const char *got = kept(c, name, NOW);
        if (*got && strcmp(got, body) != 0) _exit(3);
        found += *got != 0;
        if (!*got) put += keep(c, name, body, NOW, MUCH);
        if (rand_r(&seed) % 40 == 0) later(c);
        if (rand_r(&seed) % 100 == 0) cache_tend(c, NOW, MUCH);
        if (rand_r(&seed) % 120 == 0) cache_clear(c);
        if (rand_r(&seed) % 120 == 0) unlink(c->path);
    }
    kept(c, "", 0);
    cache_free(c);
    _exit(found && put ? 0 : 4);
}

static void processes_that_share_and_delete_it_find_only_what_is_right(void **state)
{
    struct room r;
    pid_t children[4];
    (void)state;
    room_open(&r);
    for (int i = 0; i < 4; i++)
        if ((children[i] = fork()) == 0) live(&r, (unsigned)i + 1);
    for (int i = 0; i < 4; i++) assert_int_equal(room_wait(children[i]), 0);
    struct cache *c = start(&r);
    for (int i = 0; i < 5 && !keep(c, "after", "all", NOW, MUCH); i++) later(c);
    assert_string_equal(kept(c, "after", NOW), "all");
    end(&r, c);
}

static void what_is_packed_comes_out_again_or_is_refused(void **state)
{
    struct buf packed, out;
    char text[5000];
    (void)state;
    memset(text, 'x', sizeof text);
    buf_init(&packed, 1 << 20);
    buf_init(&out, 1 << 20);
    for (size_t n = 0; n <= sizeof text; n += 250) {
        buf_clear(&packed);
        buf_clear(&out);
        assert_int_equal(pack((struct span){text, n}, &packed), WEIR_OK);
        assert_true(packed.len <= n + 1 && (n < WORTH || packed.len < 100));
        out.max = n; /* and takes no more room than it needs */
        assert_int_equal(unpack(buf_all(&packed), &out), WEIR_OK);
        assert_true(span_eq(buf_all(&out), (struct span){text, n}));
    }
    out.max = 1 << 20;
    packed.len /= 2;
    assert_int_equal(unpack(buf_all(&packed), &out), WEIR_CORRUPT);
    assert_int_equal(unpack(SPAN_NONE, &out), WEIR_CORRUPT);
    assert_int_equal(unpack(SPAN("?abc"), &out), WEIR_CORRUPT);
    assert_int_equal(unpack(SPAN("zabc"), &out), WEIR_CORRUPT);
    buf_clear(&packed);
    pack((struct span){text, sizeof text}, &packed);
    buf_free(&out);
    buf_init(&out, 4000);
    assert_int_equal(unpack(buf_all(&packed), &out), WEIR_FULL);
    buf_free(&packed);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_found_whole_until_it_is_gone),
        cmocka_unit_test(a_long_name_is_found_again),
        cmocka_unit_test(a_hash_alone_finds_nothing),
        cmocka_unit_test(an_entry_that_was_torn_is_not_found),
        cmocka_unit_test(the_least_recently_used_leave_first_and_the_bound_holds),
        cmocka_unit_test(a_file_that_is_deleted_or_damaged_is_only_a_miss),
        cmocka_unit_test(a_file_of_another_version_is_thrown_away),
        cmocka_unit_test(a_disk_that_is_full_is_only_a_miss),
        cmocka_unit_test(a_put_lets_few_go_and_the_bound_is_never_passed),
        cmocka_unit_test(a_put_does_not_wait_for_others),
        cmocka_unit_test(a_log_without_measure_rests_until_it_was_moved),
        cmocka_unit_test(puts_get_their_turn_while_thousands_leave),
        cmocka_unit_test(a_wrong_total_is_found_out_and_corrected),
        cmocka_unit_test(an_empty_cache_that_seems_full_ends_no_tending),
        cmocka_unit_test(hits_of_many_entries_are_counted),
        cmocka_unit_test(processes_that_share_and_delete_it_find_only_what_is_right),
        cmocka_unit_test(what_is_packed_comes_out_again_or_is_refused),
    };
    log_open("/dev/null", LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
