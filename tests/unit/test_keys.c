/* Client keys: only the whole secret finds one, lists mean what they say, secrets come and go as asked. */
#include "sql/db.c"
#include "fcgi/base/bounds.h"
#include "sql/keys.c"

#include "tests/unit/sql_room.h"

static struct client_hash hash(int n)
{
    struct client_hash h = {{0}};
    memcpy(h.at, &n, sizeof n);
    return h;
}

struct desk { struct room room; struct db *db; struct arena a; };

static void desk_open(struct desk *d)
{
    room_open(&d->room);
    d->db = room_admin(&d->room);
    arena_init(&d->a);
}

static void desk_close(struct desk *d)
{
    arena_end(&d->a);
    db_close(d->db);
    room_close(&d->room);
}

static int64_t add(struct desk *d, const char *name, int secret)
{
    struct client_hash h = hash(secret);
    struct key k = {.name = name, .user = "u", .created = 10};
    int64_t id;
    assert_int_equal(keys_add(d->db, &k, &h, &id), WEIR_OK);
    return id;
}

static enum weir_err find(struct desk *d, int secret, struct key *k)
{
    struct client_hash h = hash(secret);
    return keys_find(d->db, &h, &d->a, k);
}

static void every_field_comes_back(void **state)
{
    struct desk d;
    struct key k = {.name = "n", .user = "u", .team = "t", .role = "r", .rolegroup = "g", .models = "[\"m\"]",
                    .allow_ip = "[\"10.0.0.0/8\"]", .endpoints = "[\"/v1/embeddings\"]", .may_assert = true, .created = 5, .expires = 6};
    struct client_hash h = hash(1);
    int64_t id;
    (void)state;
    desk_open(&d);
    assert_int_equal(keys_add(d.db, &k, &h, &id), WEIR_OK);
    struct key got;
    assert_int_equal(find(&d, 1, &got), WEIR_OK);
    assert_int_equal(got.id, id);
    assert_string_equal(got.name, "n");
    assert_string_equal(got.user, "u");
    assert_string_equal(got.team, "t");
    assert_string_equal(got.role, "r");
    assert_string_equal(got.rolegroup, "g");
    assert_string_equal(got.models, "[\"m\"]");
    assert_string_equal(got.allow_ip, "[\"10.0.0.0/8\"]");
    assert_string_equal(got.endpoints, "[\"/v1/embeddings\"]");
    assert_true(got.may_assert);
    assert_int_equal(got.created, 5);
    assert_int_equal(got.expires, 6);
    assert_int_equal(got.revoked, 0);
    assert_int_equal(got.last_used, 0);
    assert_int_equal(got.secret_expires, 0);
    assert_int_equal(find(&d, 2, &got), WEIR_NOT_FOUND);
    k = (struct key){.id = id, .name = "ignored", .team = "other"};
    assert_int_equal(keys_update(d.db, &k), WEIR_OK);
    assert_int_equal(keys_by_name(d.db, SPAN("n"), &d.a, &got), WEIR_OK);
    assert_null(got.user);
    assert_string_equal(got.team, "other");
    assert_int_equal(got.created, 5);
    assert_int_equal(got.expires, 0);
    k.id = 999;
    assert_int_equal(keys_update(d.db, &k), WEIR_NOT_FOUND);
    desk_close(&d);
}

static void a_name_or_a_secret_belongs_to_one_key(void **state)
{
    struct desk d;
    struct client_hash one = hash(1), two = hash(2);
    struct key k = {.name = "a", .created = 1};
    int64_t id;
    (void)state;
    desk_open(&d);
    add(&d, "a", 1);
    assert_int_equal(keys_add(d.db, &k, &two, &id), WEIR_EXISTS);
    k.name = "b";
    assert_int_equal(keys_add(d.db, &k, &one, &id), WEIR_EXISTS);
    assert_int_equal(room_number(&d.room, "SELECT count(*) FROM client_key"), 1);
    assert_int_equal(keys_add(d.db, &k, &two, &id), WEIR_OK);
    desk_close(&d);
}

static void revoked_and_expired_keys_are_dead(void **state)
{
    struct key k = {.expires = 100};
    (void)state;
    assert_true(key_is_live(&k, 99));
    assert_false(key_is_live(&k, 100));
    k = (struct key){.revoked = 500};
    assert_false(key_is_live(&k, 1)); /* a clock that steps back revives nothing */
    k = (struct key){.secret_expires = 100};
    assert_true(key_is_live(&k, 99));
    assert_false(key_is_live(&k, 100));
    k = (struct key){0};
    assert_true(key_is_live(&k, INT64_MAX));
}

static void revoking_twice_keeps_the_first_time(void **state)
{
    struct desk d;
    struct key k;
    (void)state;
    desk_open(&d);
    int64_t id = add(&d, "a", 1);
    assert_int_equal(keys_revoke(d.db, id, 50), WEIR_OK);
    assert_int_equal(keys_revoke(d.db, id, 60), WEIR_OK);
    assert_int_equal(find(&d, 1, &k), WEIR_OK);
    assert_int_equal(k.revoked, 50);
    assert_int_equal(keys_revoke(d.db, 999, 60), WEIR_NOT_FOUND);
    desk_close(&d);
}

static void rotation_overlaps_as_long_as_asked(void **state)
{
    struct desk d;
    struct key k;
    (void)state;
    desk_open(&d);
    int64_t id = add(&d, "a", 1);
    struct client_hash two = hash(2), three = hash(3);
    assert_int_equal(keys_rotate(d.db, id, &two, 1000, 5000), WEIR_OK);
    assert_int_equal(find(&d, 1, &k), WEIR_OK);
    assert_int_equal(k.secret_expires, 5000);
    assert_int_equal(find(&d, 2, &k), WEIR_OK);
    assert_int_equal(k.secret_expires, 0);
    assert_int_equal(keys_rotate(d.db, id, &two, 1000, 5000), WEIR_EXISTS);
    assert_int_equal(find(&d, 2, &k), WEIR_OK);
    assert_int_equal(k.secret_expires, 0); /* the failed one undid itself */
    assert_int_equal(keys_rotate(d.db, id, &three, 2000, 2000), WEIR_OK);
    assert_int_equal(find(&d, 1, &k), WEIR_NOT_FOUND);
    assert_int_equal(find(&d, 2, &k), WEIR_NOT_FOUND);
    assert_int_equal(find(&d, 3, &k), WEIR_OK);
    assert_int_equal(keys_rotate(d.db, 999, &two, 1, 1), WEIR_NOT_FOUND);
    desk_close(&d);
}

static void setting_a_secret_again_changes_nothing(void **state)
{
    struct desk d;
    struct key k;
    bool changed;
    (void)state;
    desk_open(&d);
    int64_t id = add(&d, "a", 1);
    add(&d, "b", 9);
    struct client_hash one = hash(1), two = hash(2), nine = hash(9);
    assert_int_equal(keys_set_secret(d.db, id, &one, &changed), WEIR_OK);
    assert_false(changed);
    assert_int_equal(keys_rotate(d.db, id, &two, 1000, 5000), WEIR_OK);
    assert_int_equal(keys_set_secret(d.db, id, &one, &changed), WEIR_OK);
    assert_true(changed);
    assert_int_equal(find(&d, 1, &k), WEIR_OK);
    assert_int_equal(k.secret_expires, 0);
    assert_int_equal(find(&d, 2, &k), WEIR_NOT_FOUND);
    assert_int_equal(keys_set_secret(d.db, id, &nine, &changed), WEIR_EXISTS);
    assert_false(changed);
    assert_int_equal(find(&d, 1, &k), WEIR_OK);
    assert_int_equal(keys_set_secret(d.db, 999, &two, NULL), WEIR_NOT_FOUND);
    desk_close(&d);
}

static void the_last_use_is_kept_to_the_minute(void **state)
{
    struct desk d;
    struct key k;
    (void)state;
    desk_open(&d);
    int64_t id = add(&d, "a", 1);
    const struct { int64_t now, kept; } touch[] = {{100000, 100000}, {159999, 100000}, {160000, 100000}, {160001, 160001}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(keys_touch(d.db, id, touch[i].now), WEIR_OK);
        assert_int_equal(find(&d, 1, &k), WEIR_OK);
        assert_int_equal(k.last_used, touch[i].kept);
    }
    desk_close(&d);
}

static void lists_allow_what_they_name_and_broken_ones_nothing(void **state)
{
    struct key k = {0};
    char longer[BOUND_ALIAS + 2];
    (void)state;
    memset(longer, 'a', sizeof longer);
    assert_true(key_allows_model(&k, SPAN("any")));
    assert_true(key_allows_ip(&k, SPAN("1.2.3.4")));
    assert_true(key_allows_endpoint(&k, SPAN("/v1/embeddings")));
    k.endpoints = "[\"/v1/embeddings\"]";
    assert_true(key_allows_endpoint(&k, SPAN("/v1/embeddings")));
    assert_false(key_allows_endpoint(&k, SPAN("/v1/embeddings/")));
    assert_false(key_allows_endpoint(&k, SPAN("/v1/chat/completions")));
    k.models = "[\"a\",\"g\\u0070t\",\"caf\xc3\xa9\"]";
    assert_true(key_allows_model(&k, SPAN("a")));
    assert_true(key_allows_model(&k, SPAN("gpt")));
    assert_true(key_allows_model(&k, SPAN("caf\xc3\xa9")));
    assert_false(key_allows_model(&k, SPAN("A")));
    assert_false(key_allows_model(&k, SPAN("")));
    assert_false(key_allows_model(&k, SPAN("a\0b")));
    assert_false(key_allows_model(&k, SPAN_NONE));
    assert_false(key_allows_model(&k, ((struct span){longer, sizeof longer})));
    const char *const broken[] = {"", "[", "{\"a\":1}", "\"a\"", "[1,null]", "[]"};
    for (size_t i = 0; i < 6; i++) {
        k.models = k.allow_ip = k.endpoints = broken[i];
        assert_false(key_allows_endpoint(&k, SPAN("/v1/embeddings")));
        assert_false(key_allows_model(&k, SPAN("a")));
        assert_false(key_allows_ip(&k, SPAN("1.2.3.4")));
    }
    k.allow_ip = "[\"10.0.0.0\\/8\",\"2001:db8::/32\",\"192.0.2.7\"]";
    assert_true(key_allows_ip(&k, SPAN("10.255.1.1")));
    assert_true(key_allows_ip(&k, SPAN("2001:db8::1")));
    assert_true(key_allows_ip(&k, SPAN("192.0.2.7")));
    assert_false(key_allows_ip(&k, SPAN("192.0.2.8")));
    assert_false(key_allows_ip(&k, SPAN("11.0.0.1")));
    assert_false(key_allows_ip(&k, SPAN_NONE));
}

static void pages_hold_every_key_once(void **state)
{
    struct desk d;
    struct key k[4];
    int64_t after = 0;
    int count, all = 0;
    char name[24];
    (void)state;
    desk_open(&d);
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "k%d", i);
        add(&d, name, i + 1);
    }
    do {
        assert_int_equal(keys_by_id_after(d.db, after, 4, &d.a, k, &count), WEIR_OK);
        for (int i = 0; i < count; i++, all++) {
            snprintf(name, sizeof name, "k%d", all);
            assert_string_equal(k[i].name, name);
            after = k[i].id;
        }
    } while (count == 4);
    assert_int_equal(all, 10);
    desk_close(&d);
}

static void the_gateway_cannot_add_a_key(void **state)
{
    struct room r;
    struct db *db;
    struct key k = {.name = "a", .created = 1};
    struct client_hash h = hash(1);
    int64_t id;
    (void)state;
    room_open(&r);
    assert_int_equal(db_open(r.db, DB_WRITE, 100, &sql_gateway, &db), WEIR_OK);
    assert_int_equal(db_begin(db), WEIR_OK);
    assert_int_equal(keys_add(db, &k, &h, &id), WEIR_INTERNAL);
    assert_int_equal(keys_revoke(db, 1, 1), WEIR_INTERNAL);
    assert_int_equal(db_commit(db), WEIR_OK);
    db_close(db);
    room_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_comes_back),
        cmocka_unit_test(a_name_or_a_secret_belongs_to_one_key),
        cmocka_unit_test(revoked_and_expired_keys_are_dead),
        cmocka_unit_test(revoking_twice_keeps_the_first_time),
        cmocka_unit_test(rotation_overlaps_as_long_as_asked),
        cmocka_unit_test(setting_a_secret_again_changes_nothing),
        cmocka_unit_test(the_last_use_is_kept_to_the_minute),
        cmocka_unit_test(lists_allow_what_they_name_and_broken_ones_nothing),
        cmocka_unit_test(pages_hold_every_key_once),
        cmocka_unit_test(the_gateway_cannot_add_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
