/* The store: a change is seen by the next look of every process, and nothing of before it is served. */
#include "sql/db.c"
#include "sql/key_cache.c"
#include "sql/store.c"

#include <stdatomic.h>
#include "tests/unit/sql_room.h"

struct shop { struct room room; struct db *admin; struct master_key *master; struct store *store; };

static void shop_open(struct shop *s)
{
    room_open(&s->room);
    assert_int_equal(secret_start(), WEIR_OK);
    assert_int_equal(master_key_make(s->room.key), WEIR_OK);
    assert_int_equal(master_key_load(s->room.key, &s->master), WEIR_OK);
    s->admin = room_admin(&s->room);
    assert_int_equal(store_open(s->room.dir, s->room.key, &s->store), WEIR_OK);
}

static void shop_close(struct shop *s)
{
    store_close(s->store, 1000);
    db_close(s->admin);
    master_key_free(s->master);
    room_close(&s->room);
}

static struct client_hash hash_of(const struct shop *s, const char *key)
{
    struct client_hash h;
    secret_client_hash(s->master, span_of(key), &h);
    return h;
}

static void change(struct shop *s, enum weir_err (*what)(struct shop *, const void *), const void *arg)
{
    struct change c;
    assert_int_equal(change_begin(&c, s->admin, s->room.dir), WEIR_OK);
    assert_int_equal(what(s, arg), WEIR_OK);
    assert_int_equal(change_commit(&c), WEIR_OK);
}

static enum weir_err add_key(struct shop *s, const void *name)
{
    struct key k = {.name = name, .user = "alice", .models = "[\"m\"]", .created = 1};
    struct client_hash h = hash_of(s, name);
    int64_t id;
    return keys_add(s->admin, &k, &h, &id);
}

static enum weir_err revoke_key(struct shop *s, const void *name)
{
    struct arena a;
    struct key k;
    arena_init(&a);
    enum weir_err err = keys_by_name(s->admin, span_of(name), &a, &k);
    if (err == WEIR_OK) err = keys_revoke(s->admin, k.id, 99);
    arena_end(&a);
    return err;
}

static enum weir_err rotate_key(struct shop *s, const void *name)
{
    struct arena a;
    struct client_hash h = hash_of(s, "another secret");
    struct key k;
    arena_init(&a);
    enum weir_err err = keys_by_name(s->admin, span_of(name), &a, &k);
    if (err == WEIR_OK) err = keys_rotate(s->admin, k.id, &h, 99, 99);
    arena_end(&a);
    return err;
}

static enum weir_err add_model(struct shop *s, const void *alias)
{
    struct model_row m = {.alias = alias, .strategy = "priority"};
    return model_put(s->admin, &m, NULL);
}

/* What a look finds: the key's last_used + 1 if live, -1 if revoked, 0 if there is none. */
static int look(struct shop *s, const char *key, int *models)
{
    struct client_hash h = hash_of(s, key);
    struct snapshot *snap;
    struct arena a;
    struct key k;
    arena_init(&a);
    enum weir_err err = store_look(s->store, &h, &a, &snap, &k);
    assert_true(err == WEIR_OK || err == WEIR_NOT_FOUND);
    assert_non_null(snap);
    int found = err != WEIR_OK ? 0 : key_is_live(&k, 1000) ? (int)k.last_used + 1 : -1;
    if (found) {
        assert_string_equal(k.name, key);
        assert_string_equal(k.user, "alice");
        assert_null(k.team);
        assert_true(key_allows_model(&k, SPAN("m")));
    }
    if (models) *models = snap->model_count;
    snapshot_release(snap);
    arena_end(&a);
    return found;
}

static void a_change_is_seen_by_the_next_look(void **state)
{
    struct shop s;
    int models;
    (void)state;
    shop_open(&s);
    assert_int_equal(look(&s, "one", &models), 0);
    assert_int_equal(models, 0);
    change(&s, add_key, "one");
    change(&s, add_model, "m");
    assert_int_equal(look(&s, "one", &models), 1);
    assert_int_equal(models, 1);
    assert_int_equal(look(&s, "one", NULL), 1);
    change(&s, revoke_key, "one");
    assert_int_equal(look(&s, "one", NULL), -1);
    shop_close(&s);
}

static void a_change_of_another_process_is_seen_by_the_next_look(void **state)
{
    struct shop s;
    int go[2], done[2];
    char c = 'x';
    (void)state;
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(done), 0);
    room_open(&s.room);
    assert_int_equal(secret_start(), WEIR_OK);
    assert_int_equal(master_key_make(s.room.key), WEIR_OK);
    pid_t child = fork(); /* before SQLite and threads are used here */
    if (child == 0) {
        if (read(go[0], &c, 1) != 1 || master_key_load(s.room.key, &s.master) != WEIR_OK) _exit(2);
        s.admin = room_admin(&s.room);
        for (int i = 0; i < 2; i++) {
            change(&s, i ? revoke_key : add_key, "one");
            if (write(done[1], &c, 1) != 1 || read(go[0], &c, 1) != 1) _exit(3);
        }
        db_close(s.admin);
        master_key_free(s.master);
        _exit(0);
    }
    assert_int_equal(master_key_load(s.room.key, &s.master), WEIR_OK);
    assert_int_equal(store_open(s.room.dir, s.room.key, &s.store), WEIR_OK);
    assert_int_equal(look(&s, "one", NULL), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(write(go[1], &c, 1), 1);
        assert_int_equal(read(done[0], &c, 1), 1);
        assert_int_equal(look(&s, "one", NULL), i ? -1 : 1);
    }
    assert_int_equal(write(go[1], &c, 1), 1);
    assert_int_equal(room_wait(child), 0);
    close(go[0]), close(go[1]), close(done[0]), close(done[1]);
    s.admin = NULL;
    shop_close(&s);
}

static void a_change_that_is_undone_is_never_seen(void **state)
{
    struct shop s;
    struct change c;
    (void)state;
    shop_open(&s);
    assert_int_equal(change_begin(&c, s.admin, s.room.dir), WEIR_OK);
    assert_int_equal(add_key(&s, "one"), WEIR_OK);
    change_undo(&c);
    change_undo(&c);
    assert_int_equal(look(&s, "one", NULL), 0);
    assert_int_equal(room_number(&s.room, "SELECT version FROM config_version"), 1);
    shop_close(&s);
}

static void the_last_use_is_remembered_without_asking_again(void **state)
{
    struct shop s;
    (void)state;
    shop_open(&s);
    change(&s, add_key, "one");
    assert_int_equal(look(&s, "one", NULL), 1);
    struct client_hash h = hash_of(&s, "one");
    store_key_used(s.store, &h, 500);
    assert_int_equal(look(&s, "one", NULL), 501);
    shop_close(&s);
}

static void a_held_snapshot_outlives_its_replacement(void **state)
{
    struct shop s;
    struct snapshot *old;
    struct arena a;
    struct key k;
    int models;
    (void)state;
    shop_open(&s);
    change(&s, add_model, "m");
    arena_init(&a);
    assert_int_equal(store_look(s.store, NULL, &a, &old, &k), WEIR_OK);
    change(&s, add_model, "n");
    look(&s, "one", &models);
    assert_int_equal(models, 2);
    assert_int_equal(old->model_count, 1);
    assert_non_null(snapshot_model(old, SPAN("m")));
    assert_null(snapshot_model(old, SPAN("n")));
    snapshot_release(old);
    arena_end(&a);
    shop_close(&s);
}

static void a_replaced_database_is_taken_up(void **state)
{
    struct shop s;
    char path[80];
    int models = 0;
    (void)state;
    shop_open(&s);
    snprintf(path, sizeof path, "%s/copy.db", s.room.dir);
    assert_int_equal(db_backup(s.admin, path, NULL), WEIR_OK);
    change(&s, add_model, "m");
    look(&s, "one", &models);
    assert_int_equal(models, 1);
    db_close(s.admin);
    s.admin = NULL;
    assert_int_equal(rename(path, s.room.db), 0);
    char wal[80];
    snprintf(wal, sizeof wal, "%s-wal", s.room.db), remove(wal);
    snprintf(wal, sizeof wal, "%s-shm", s.room.db), remove(wal);
    int64_t until = clock_mono_ms() + 5000;
    while (models == 1 && clock_mono_ms() < until) look(&s, "one", &models);
    assert_int_equal(models, 0);
    shop_close(&s);
}

static void opening_fails_with_what_failed(void **state)
{
    struct room r;
    struct store *s;
    (void)state;
    room_open(&r);
    assert_int_equal(secret_start(), WEIR_OK);
    assert_int_equal(store_open(r.dir, r.key, &s), WEIR_NOT_FOUND);
    assert_null(s);
    assert_int_equal(master_key_make(r.key), WEIR_OK);
    remove(r.db);
    assert_int_equal(store_open(r.dir, r.key, &s), WEIR_STORAGE);
    assert_int_equal(access(r.db, F_OK), -1);
    room_close(&r);
}

static void who_was_found_is_known_beyond_a_change(void **state)
{
    struct shop s;
    (void)state;
    shop_open(&s);
    change(&s, add_key, "one");
    struct client_hash one = hash_of(&s, "one"), nobody = hash_of(&s, "nobody");
    assert_false(store_knew(s.store, &one));
    assert_int_equal(look(&s, "one", NULL), 1);
    assert_int_equal(look(&s, "nobody", NULL), 0);
    assert_true(store_knew(s.store, &one));
    assert_false(store_knew(s.store, &nobody));
    change(&s, add_model, "m1");
    assert_int_equal(look(&s, "nobody", NULL), 0); /* which sees the change */
    assert_true(store_knew(s.store, &one));
    assert_int_equal(look(&s, "one", NULL), 1);
    change(&s, rotate_key, "one");
    assert_int_equal(look(&s, "one", NULL), 0);
    assert_false(store_knew(s.store, &one));
    shop_close(&s);
}

/* ---- many at once ---- */

struct watcher { struct shop *shop; atomic_int *changed; atomic_int *stop; int looks, stale; };

/* The number of models a look shows may never be below the number that were committed before it began. */
static void *watch(void *arg)
{
    struct watcher *w = arg;
    while (!atomic_load(w->stop)) {
        struct client_hash h = hash_of(w->shop, "one");
        struct snapshot *snap;
        struct arena a;
        struct key k;
        arena_init(&a);
        int before = atomic_load(w->changed);
        if (store_look(w->shop->store, &h, &a, &snap, &k) != WEIR_OK) w->stale++;
        else if (snap->model_count < before) w->stale++;
        snapshot_release(snap);
        arena_end(&a);
        w->looks++;
    }
    return NULL;
}

static void no_thread_sees_less_than_was_committed_before_it_looked(void **state)
{
    struct shop s;
    pthread_t t[12];
    struct watcher w[12];
    atomic_int changed = 0, stop = 0;
    int looks = 0;
    (void)state;
    shop_open(&s);
    change(&s, add_key, "one");
    for (int i = 0; i < 12; i++) {
        w[i] = (struct watcher){&s, &changed, &stop, 0, 0};
        pthread_create(&t[i], NULL, watch, &w[i]);
    }
    for (int i = 1; i <= 200; i++) {
        char alias[20];
        snprintf(alias, sizeof alias, "m%d", i);
        change(&s, add_model, alias);
        atomic_store(&changed, i);
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 12; i++) {
        pthread_join(t[i], NULL);
        assert_int_equal(w[i].stale, 0);
        looks += w[i].looks;
    }
    assert_true(looks > 0);
    shop_close(&s);
}

struct crowd { struct shop *shop; atomic_int inside, most; atomic_bool go; };

static enum weir_err stay(struct db *db, void *arg)
{
    struct crowd *c = arg;
    int here = atomic_fetch_add(&c->inside, 1) + 1, most = atomic_load(&c->most);
    (void)db;
    while (here > most && !atomic_compare_exchange_weak(&c->most, &most, here)) continue;
    while (!atomic_load(&c->go)) usleep(1000);
    atomic_fetch_sub(&c->inside, 1);
    return WEIR_OK;
}

static void *read_once(void *arg)
{
    struct crowd *c = arg;
    return store_read(c->shop->store, stay, c) == WEIR_OK ? arg : NULL;
}

static void one_reader_more_than_there_are_waits_for_another(void **state)
{
    struct shop s;
    pthread_t t[BOUND_READERS + 1];
    struct crowd c = {.shop = &s};
    void *fine;
    (void)state;
    shop_open(&s);
    for (int i = 0; i <= BOUND_READERS; i++) pthread_create(&t[i], NULL, read_once, &c);
    while (atomic_load(&c.inside) < BOUND_READERS) usleep(1000);
    usleep(20000); /* for the one that may not */
    assert_int_equal(atomic_load(&c.inside), BOUND_READERS);
    atomic_store(&c.go, true);
    for (int i = 0; i <= BOUND_READERS; i++) {
        pthread_join(t[i], &fine);
        assert_non_null(fine);
    }
    assert_int_equal(atomic_load(&c.most), BOUND_READERS);
    shop_close(&s);
}

static void more_keys_than_the_cache_holds_are_all_found(void **state)
{
    struct shop s;
    struct change c;
    char name[20];
    (void)state;
    shop_open(&s);
    assert_int_equal(change_begin(&c, s.admin, s.room.dir), WEIR_OK);
    for (int i = 0; i < 3 * BOUND_KEY_CACHE; i++) {
        snprintf(name, sizeof name, "key%d", i);
        assert_int_equal(add_key(&s, name), WEIR_OK);
    }
    assert_int_equal(change_commit(&c), WEIR_OK);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 3 * BOUND_KEY_CACHE; i++) {
            snprintf(name, sizeof name, "key%d", i);
            assert_int_equal(look(&s, name, NULL), 1);
        }
    shop_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_of_another_process_is_seen_by_the_next_look),
        cmocka_unit_test(a_change_is_seen_by_the_next_look),
        cmocka_unit_test(a_change_that_is_undone_is_never_seen),
        cmocka_unit_test(the_last_use_is_remembered_without_asking_again),
        cmocka_unit_test(a_held_snapshot_outlives_its_replacement),
        cmocka_unit_test(a_replaced_database_is_taken_up),
        cmocka_unit_test(opening_fails_with_what_failed),
        cmocka_unit_test(no_thread_sees_less_than_was_committed_before_it_looked),
        cmocka_unit_test(more_keys_than_the_cache_holds_are_all_found), cmocka_unit_test(one_reader_more_than_there_are_waits_for_another), cmocka_unit_test(who_was_found_is_known_beyond_a_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
