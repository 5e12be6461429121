/* Administrators' keys: found by their secret alone, judged by time, and out of the gateway's reach. */
#include "sql/db.c"
#include "sql/admin_keys.c"

#include "sql_room.h"

static struct client_hash hash_of(int n)
{
    struct client_hash h = {{0}};
    h.at[0] = (unsigned char)n;
    return h;
}

static enum weir_err add(struct db *db, const char *name, enum admin_role role, int secret, int64_t expires)
{
    struct client_hash h = hash_of(secret);
    return admin_key_add(db, &(struct admin_key){.name = name, .role = role, .created = 1000, .expires = expires}, &h);
}

static void count_names(const struct admin_key *k, void *arg)
{
    char *seen = arg;
    strcat(seen, k->name);
}

static void a_key_is_found_judged_and_ended(void **state)
{
    struct room r;
    struct arena a;
    struct admin_key k;
    struct client_hash one = hash_of(1), two = hash_of(2), none = hash_of(3);
    char seen[10] = "";
    (void)state;
    room_open(&r);
    arena_init(&a);
    struct db *db = room_admin(&r);
    assert_int_equal(add(db, "b", ADMIN_OPERATOR, 1, 0), WEIR_OK);
    assert_int_equal(add(db, "a", ADMIN_ADMIN, 2, 5000), WEIR_OK);
    assert_int_equal(add(db, "b", ADMIN_ADMIN, 3, 0), WEIR_EXISTS);
    assert_int_equal(add(db, "c", ADMIN_ADMIN, 1, 0), WEIR_EXISTS);
    assert_int_equal(admin_key_find(db, &none, &a, &k), WEIR_NOT_FOUND);
    assert_int_equal(admin_key_find(db, &one, &a, &k), WEIR_OK);
    assert_string_equal(k.name, "b");
    assert_int_equal(k.role, ADMIN_OPERATOR);
    assert_true(admin_key_is_live(&k, INT64_MAX));
    assert_int_equal(admin_key_touch(db, k.id, 90000), WEIR_OK);
    assert_int_equal(admin_key_touch(db, k.id, 149999), WEIR_OK);
    assert_int_equal(room_number(&r, "SELECT last_used FROM admin_key WHERE name = 'b'"), 90000);
    assert_int_equal(admin_key_touch(db, k.id, 150001), WEIR_OK);
    assert_int_equal(room_number(&r, "SELECT last_used FROM admin_key WHERE name = 'b'"), 150001);
    assert_int_equal(admin_key_revoke(db, k.id, 7000), WEIR_OK);
    assert_int_equal(admin_key_revoke(db, k.id, 8000), WEIR_OK);
    assert_int_equal(admin_key_revoke(db, 999, 8000), WEIR_NOT_FOUND);
    assert_int_equal(admin_key_by_name(db, SPAN("b"), &a, &k), WEIR_OK);
    assert_int_equal(k.revoked, 7000);
    assert_false(admin_key_is_live(&k, 1));
    assert_int_equal(admin_key_find(db, &two, &a, &k), WEIR_OK);
    assert_true(admin_key_is_live(&k, 4999));
    assert_false(admin_key_is_live(&k, 5000));
    assert_int_equal(admin_keys_each(db, count_names, seen), WEIR_OK);
    assert_string_equal(seen, "ab");
    db_close(db);
    arena_end(&a);
    room_close(&r);
}

static void the_gateway_s_list_knows_none_of_it(void **state)
{
    struct room r;
    struct arena a;
    struct admin_key k;
    struct db *db;
    struct client_hash h = hash_of(1);
    (void)state;
    room_open(&r);
    arena_init(&a);
    assert_int_equal(db_open(r.db, DB_WRITE, 100, &sql_gateway, &db), WEIR_OK);
    assert_int_equal(admin_key_find(db, &h, &a, &k), WEIR_INTERNAL);
    assert_int_equal(add(db, "x", ADMIN_ADMIN, 1, 0), WEIR_INTERNAL);
    db_close(db);
    arena_end(&a);
    room_close(&r);
}

static void roles_rise_from_viewer_to_admin(void **state)
{
    enum admin_role role;
    (void)state;
    assert_true(ADMIN_VIEWER < ADMIN_OPERATOR && ADMIN_OPERATOR < ADMIN_ADMIN);
    assert_true(admin_role_parse(SPAN("operator"), &role) && role == ADMIN_OPERATOR);
    assert_false(admin_role_parse(SPAN("Admin"), &role) || admin_role_parse(SPAN(""), &role) || admin_role_parse(SPAN_NONE, &role));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_found_judged_and_ended),
        cmocka_unit_test(the_gateway_s_list_knows_none_of_it),
        cmocka_unit_test(roles_rise_from_viewer_to_admin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
