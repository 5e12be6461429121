/* The cache's store: what is put is found again whole, by nobody else's name, and the file may do what it likes. */
#include "sql/cache.c"
#include "fcgi/door/pack.c"
#include <sqlite3.h>
#include "tests/unit/sql_room.h"

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

static int64_t number(const struct room *r, const char *sql)
{
    struct room other = *r;
    snprintf(other.db, sizeof other.db, "%s/cache.db", r->dir);
    return room_number(&other, sql);
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
    assert_int_equal(number(&r, "SELECT entries FROM total"), 1);
    assert_int_equal(number(&r, "SELECT bytes - (SELECT sum(bytes) FROM entry) FROM total"), 0);
    arena_end(&a);
    cache_free(other);
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
    struct room r, other;
    (void)state;
    room_open(&r);
    struct cache *c = start(&r);
    other = r;
    snprintf(other.db, sizeof other.db, "%s/cache.db", r.dir);
    for (size_t i = 0; i < sizeof torn / sizeof *torn; i++) {
        assert_true(keep(c, "one", "the answer", NOW, MUCH) && keep(c, "two", "another one", NOW, MUCH));
        assert_string_equal(kept(c, "one", NOW), "the answer");
        sqlite3 *db;
        assert_int_equal(sqlite3_open(other.db, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, torn[i], NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
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
    assert_true(left <= bytes / 2 && left > bytes / 2 - (STEP_ROWS + 1) * one);
    assert_string_equal(kept(c, "first", NOW + 100), body);
    assert_string_equal(kept(c, "n39", NOW + 100), body);
    assert_string_equal(kept(c, "n0", NOW + 100), "");
    for (int i = 0; i < 100; i++) { /* what comes in is outrun */
        snprintf(name, sizeof name, "later%d", i);
        assert_true(keep(c, name, body, NOW + 200 + i, bytes / 2));
        assert_true(number(&r, "SELECT bytes FROM total") <= bytes / 2 + one);
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
    throw_away(path);
    c->side.checked = c->idle->side.checked = 0; /* a second later */
    assert_string_equal(kept(c, "a", NOW), "");
    assert_true(keep(c, "a", "again", NOW, MUCH));
    assert_string_equal(kept(c, "a", NOW), "again");
    assert_int_equal(cache_clear(c), WEIR_OK);
    c->idle->side.checked = 0;
    assert_string_equal(kept(c, "a", NOW), "");
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 1000; i++) fprintf(f, "this is no database ");
    fclose(f);
    c->idle->side.checked = 0;
    assert_string_equal(kept(c, "a", NOW), "");
    assert_true(keep(c, "a", "whole", NOW, MUCH));
    c->idle->side.checked = 0;
    assert_string_equal(kept(c, "a", NOW), "whole");
    end(&r, c);
    room_open(&r); /* a directory that takes no file */
    c = start(&r);
    assert_int_equal(mkdir((snprintf(path, sizeof path, "%s/cache.db", r.dir), path), 0700), 0);
    assert_false(keep(c, "a", "b", NOW, MUCH));
    assert_string_equal(kept(c, "a", NOW), "");
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
        assert_int_equal(unpack(buf_all(&packed), &out), WEIR_OK);
        assert_true(span_eq(buf_all(&out), (struct span){text, n}));
    }
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
        cmocka_unit_test(a_hash_alone_finds_nothing),
        cmocka_unit_test(an_entry_that_was_torn_is_not_found),
        cmocka_unit_test(the_least_recently_used_leave_first_and_the_bound_holds),
        cmocka_unit_test(a_file_that_is_deleted_or_damaged_is_only_a_miss),
        cmocka_unit_test(what_is_packed_comes_out_again_or_is_refused),
    };
    log_open("/dev/null", LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
