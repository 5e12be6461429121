/* Verifiers and their fetched key sets: read back as written, fetched by one, again after their time or when wanted, and
 * the last good set stays. */
#include "sql/admin_verifiers.c"
#include "sql/db.c"
#include "fcgi/base/bounds.h"
#include "sql/key_sets.c"
#include "sql/verifiers.c"

#include "sql/routes.h"
#include "tests/unit/sql_room.h"
#include "tests/unit/token_keys.h"

struct desk { struct room room; struct db *db; struct arena a; struct master_key *master; };

static void desk_open(struct desk *d)
{
    room_open(&d->room);
    assert_int_equal(secret_start(), WEIR_OK);
    assert_int_equal(master_key_make(d->room.key), WEIR_OK);
    assert_int_equal(master_key_load(d->room.key, &d->master), WEIR_OK);
    d->db = room_admin(&d->room);
    arena_init(&d->a);
}

static void desk_close(struct desk *d)
{
    arena_end(&d->a);
    db_close(d->db);
    master_key_free(d->master);
    room_close(&d->room);
}

#define IDP "{\"name\":\"idp\",\"algorithm\":\"ES256\",\"jwks_url\":\"https://a/k\",\"claims\":{\"user\":\"sub\"}}"

static void verifiers_come_back_as_they_were_written(void **state)
{
    struct desk d;
    struct verifiers all;
    (void)state;
    desk_open(&d);
    assert_int_equal(jwt_put(d.db, d.master, "app", SPAN("{\"name\":\"app\",\"algorithm\":\"HS512\",\"issuer\":\"i\",\"audience\":\"a\",\"claims\":{\"user\":\"sub\",\"team\":\"t.x\"},"
                             "\"models\":[\"m\"],\"endpoints\":[\"/v1/embeddings\"],\"leeway\":5}"), SPAN("hush")), WEIR_OK);
    assert_int_equal(jwt_put(d.db, d.master, "corp", SPAN("{\"name\":\"corp\",\"algorithm\":\"RS256\",\"public_key\":\"-----\\n\",\"claims\":{\"user\":\"sub\"}}"), SPAN_NONE), WEIR_OK);
    assert_int_equal(jwt_put(d.db, d.master, "idp", SPAN(IDP), SPAN_NONE), WEIR_OK);
    assert_int_equal(jwt_put(d.db, d.master, "odd", SPAN("{\"name\":\"odd\",\"algorithm\":\"none\",\"claims\":{\"user\":\"sub\"}}"), SPAN_NONE), WEIR_OK);
    assert_int_equal(jwt_put(d.db, d.master, "nobody", SPAN("{\"name\":\"nobody\",\"algorithm\":\"RS256\",\"claims\":{}}"), SPAN_NONE), WEIR_OK);
    assert_int_equal(verifiers_load(d.db, d.master, &d.a, &all), WEIR_OK);
    assert_int_equal(all.count, 3);
    const struct verifier *v = &all.at[0];
    assert_true(v->method == JWT_HS512 && v->secret && span_is(secret_reveal(v->secret), "hush") && v->leeway_ms == 5000);
    assert_string_equal(v->issuer, "i");
    assert_string_equal(v->audience, "a");
    assert_string_equal(v->team, "t.x");
    assert_null(v->role);
    assert_string_equal(v->models, "[\"m\"]");
    assert_string_equal(v->endpoints, "[\"/v1/embeddings\"]");
    assert_true(all.at[1].method == JWT_RS256 && all.at[1].key_count == 1 && all.at[1].leeway_ms == 60000);
    assert_string_equal(all.at[1].keys->pem, "-----\n");
    assert_true(all.at[2].jwks_url && all.at[2].key_count == 0);
    assert_int_equal(verifiers_load(d.db, NULL, &d.a, &all), WEIR_OK);
    assert_true(all.count == 3 && !all.at[0].secret);
    desk_close(&d);
}

static void verifiers_are_bounded(void **state)
{
    struct desk d;
    struct verifiers all;
    char name[24], body[200];
    (void)state;
    desk_open(&d);
    for (int i = 0; i <= BOUND_VERIFIERS; i++) {
        snprintf(name, sizeof name, "v%03d", i);
        snprintf(body, sizeof body, "{\"name\":\"%s\",\"algorithm\":\"ES256\",\"jwks_url\":\"https://a/k\",\"claims\":{\"user\":\"sub\"}}", name);
        assert_int_equal(jwt_put(d.db, d.master, name, span_of(body), SPAN_NONE), WEIR_OK);
        assert_int_equal(verifiers_load(d.db, d.master, &d.a, &all), WEIR_OK);
        assert_int_equal(all.count, i < BOUND_VERIFIERS ? i + 1 : BOUND_VERIFIERS);
    }
    desk_close(&d);
}

static bool due(struct desk *d, const struct verifier *v, int64_t now, int64_t *tried)
{
    bool is;
    assert_int_equal(key_set_is_due(d->db, v, now, &is, tried), WEIR_OK);
    return is;
}

static bool claim(struct desk *d, const struct verifier *v, int64_t now, int64_t tried)
{
    bool mine;
    assert_int_equal(key_set_claim(d->db, v, now, tried, &mine), WEIR_OK);
    return mine;
}

static int64_t version(struct desk *d)
{
    int64_t n = 0;
    assert_int_equal(config_version(d->db, &n), WEIR_OK);
    return n;
}

static void a_set_is_fetched_by_one_and_not_too_often(void **state)
{
    struct desk d;
    struct verifiers all;
    struct verifier v;
    int64_t tried, first, now = 1790000000000;
    bool wanted;
    (void)state;
    desk_open(&d);
    assert_int_equal(jwt_put(d.db, d.master, "idp", SPAN(IDP), SPAN_NONE), WEIR_OK);
    assert_int_equal(verifier_read(SPAN(IDP), &d.a, &v), WEIR_OK);
    assert_true(due(&d, &v, now, &first));
    assert_true(claim(&d, &v, now, first));
    assert_false(claim(&d, &v, now, first));
    assert_false(due(&d, &v, now + KEY_SET_PAUSE_MS - 1, &tried));
    assert_true(due(&d, &v, now + KEY_SET_PAUSE_MS, &tried)); /* that try came to nothing */
    int64_t before = version(&d);
    assert_int_equal(key_set_put(d.db, &v, SPAN("[{\"kid\":\"k1\",\"pem\":\"P\"}]"), now), WEIR_OK);
    assert_int_equal(version(&d), before + 1);
    assert_int_equal(verifiers_load(d.db, NULL, &d.a, &all), WEIR_OK);
    assert_true(all.at[0].key_count == 1);
    assert_string_equal(all.at[0].keys->kid, "k1");
    assert_string_equal(all.at[0].keys->pem, "P");
    assert_false(due(&d, &v, now + KEY_SET_TTL_MS - 1, &tried));
    assert_true(due(&d, &v, now + KEY_SET_TTL_MS, &tried));
    assert_true(due(&d, &v, now - 1, &tried)); /* the clock was set back */
    assert_int_equal(key_set_put(d.db, &v, SPAN("[{\"kid\":\"k1\",\"pem\":\"P\"}]"), now + 5), WEIR_OK);
    assert_int_equal(version(&d), before + 1);
    assert_false(due(&d, &v, now + 4 + KEY_SET_TTL_MS, &tried));
    assert_int_equal(key_set_is_wanted(d.db, "idp", &wanted), WEIR_OK);
    assert_false(wanted);
    assert_int_equal(key_set_want(d.db, "idp", now + 10), WEIR_OK);
    assert_int_equal(key_set_want(d.db, "nobody", now + 10), WEIR_OK);
    assert_int_equal(key_set_is_wanted(d.db, "idp", &wanted), WEIR_OK);
    assert_true(wanted);
    assert_false(due(&d, &v, now + KEY_SET_PAUSE_MS - 1, &tried));
    assert_true(due(&d, &v, now + KEY_SET_PAUSE_MS, &tried));
    assert_true(claim(&d, &v, now + KEY_SET_PAUSE_MS, tried));
    assert_false(due(&d, &v, now + 2 * KEY_SET_PAUSE_MS, &tried)); /* it was wanted once */
    desk_close(&d);
}

static void a_set_of_another_address_is_forgotten(void **state)
{
    static const char other[] = "{\"name\":\"idp\",\"algorithm\":\"ES256\",\"jwks_url\":\"https://b/k\",\"claims\":{\"user\":\"sub\"}}";
    struct desk d;
    struct verifiers all;
    struct verifier v;
    int64_t tried;
    (void)state;
    desk_open(&d);
    assert_int_equal(jwt_put(d.db, d.master, "idp", SPAN(IDP), SPAN_NONE), WEIR_OK);
    assert_int_equal(verifier_read(SPAN(IDP), &d.a, &v), WEIR_OK);
    assert_true(due(&d, &v, 1000, &tried) && claim(&d, &v, 1000, tried));
    assert_int_equal(key_set_put(d.db, &v, SPAN("[{\"kid\":\"k1\",\"pem\":\"P\"}]"), 1000), WEIR_OK);
    assert_int_equal(jwt_put(d.db, d.master, "idp", span_of(other), SPAN_NONE), WEIR_OK);
    assert_int_equal(verifiers_load(d.db, NULL, &d.a, &all), WEIR_OK);
    assert_int_equal(all.at[0].key_count, 0);
    assert_true(due(&d, &all.at[0], 1001, &tried) && claim(&d, &all.at[0], 1001, tried));
    assert_int_equal(key_set_put(d.db, &v, SPAN("[{\"kid\":\"k1\",\"pem\":\"P\"}]"), 1002), WEIR_OK); /* late, of the old address */
    assert_int_equal(room_number(&d.room, "SELECT count(*) FROM key_set WHERE keys IS NULL AND url = 'https://b/k'"), 1);
    desk_close(&d);
}

static void what_went_wrong_is_kept_until_it_goes_right(void **state)
{
    struct desk d;
    struct verifier v;
    struct jwt_row row;
    int64_t tried, count;
    (void)state;
    desk_open(&d);
    assert_int_equal(jwt_find(d.db, "idp", &d.a, &row), WEIR_NOT_FOUND);
    assert_int_equal(jwt_put(d.db, d.master, "idp", SPAN(IDP), SPAN_NONE), WEIR_OK);
    assert_int_equal(verifier_read(SPAN(IDP), &d.a, &v), WEIR_OK);
    assert_int_equal(jwt_find(d.db, "idp", &d.a, &row), WEIR_OK);
    assert_true(!row.keys && !row.fault && !row.tried && !row.fetched && !row.has_secret);
    assert_true(due(&d, &v, 1000, &tried) && claim(&d, &v, 1000, tried));
    assert_int_equal(key_set_failed(d.db, &v, "it answered with status 500"), WEIR_OK);
    assert_int_equal(jwt_find(d.db, "idp", &d.a, &row), WEIR_OK);
    assert_string_equal(row.fault, "it answered with status 500");
    assert_true(!row.keys && row.tried == 1000 && !row.fetched);
    for (int again = 0; again < 2; again++) { /* a new set, then the same once more */
        assert_int_equal(key_set_failed(d.db, &v, "oh"), WEIR_OK);
        assert_int_equal(key_set_put(d.db, &v, SPAN("[{\"kid\":\"k1\",\"pem\":\"P\"}]"), 2000 + again), WEIR_OK);
        assert_int_equal(jwt_find(d.db, "idp", &d.a, &row), WEIR_OK);
        assert_true(row.keys && !row.fault && row.fetched == 2000 + again);
    }
    assert_int_equal(jwt_count(d.db, &count), WEIR_OK);
    assert_int_equal(count, 1);
    desk_close(&d);
}

static void a_verifier_goes_with_all_that_is_its(void **state)
{
    struct desk d;
    struct verifiers all;
    struct verifier v;
    int64_t tried;
    bool mine = true;
    (void)state;
    desk_open(&d);
    assert_int_equal(jwt_put(d.db, d.master, "idp", SPAN(IDP), SPAN_NONE), WEIR_OK);
    assert_int_equal(verifier_read(SPAN(IDP), &d.a, &v), WEIR_OK);
    assert_true(due(&d, &v, 1000, &tried) && claim(&d, &v, 1000, tried));
    assert_int_equal(jwt_remove(d.db, "nobody"), WEIR_NOT_FOUND);
    assert_int_equal(jwt_remove(d.db, "idp"), WEIR_OK);
    assert_int_equal(room_number(&d.room, "SELECT count(*) FROM key_set"), 0);
    assert_int_equal(key_set_put(d.db, &v, SPAN("[]"), 1000), WEIR_OK); /* late */
    assert_int_equal(key_set_failed(d.db, &v, "late"), WEIR_OK);
    assert_int_not_equal(key_set_claim(d.db, &v, 1000, -1, &mine), WEIR_OK);
    assert_false(mine);
    assert_int_equal(room_number(&d.room, "SELECT count(*) FROM key_set"), 0);
    assert_int_equal(verifiers_load(d.db, NULL, &d.a, &all), WEIR_OK);
    assert_int_equal(all.count, 0);
    desk_close(&d);
}

static void a_set_of_another_algorithm_is_forgotten_and_a_secret_too(void **state)
{
    static const char rsa[] = "{\"name\":\"idp\",\"algorithm\":\"RS256\",\"jwks_url\":\"https://a/k\",\"claims\":{\"user\":\"sub\"}}";
    static const char hmac[] = "{\"name\":\"idp\",\"algorithm\":\"HS256\",\"claims\":{\"user\":\"sub\"}}";
    struct desk d;
    struct verifier v;
    struct jwt_row row;
    int64_t tried;
    (void)state;
    desk_open(&d);
    assert_int_equal(jwt_put(d.db, d.master, "idp", SPAN(IDP), SPAN_NONE), WEIR_OK);
    assert_int_equal(verifier_read(SPAN(IDP), &d.a, &v), WEIR_OK);
    assert_true(due(&d, &v, 1000, &tried) && claim(&d, &v, 1000, tried));
    assert_int_equal(key_set_put(d.db, &v, SPAN("[{\"kid\":\"k1\",\"pem\":\"P\"}]"), 1000), WEIR_OK);
    assert_int_equal(jwt_put(d.db, d.master, "idp", SPAN(IDP), SPAN_NONE), WEIR_OK);
    assert_int_equal(room_number(&d.room, "SELECT count(*) FROM key_set"), 1);
    assert_int_equal(jwt_put(d.db, d.master, "idp", span_of(rsa), SPAN_NONE), WEIR_OK);
    assert_int_equal(room_number(&d.room, "SELECT count(*) FROM key_set"), 0);
    assert_int_equal(jwt_put(d.db, d.master, "idp", span_of(hmac), SPAN("hush")), WEIR_OK);
    assert_int_equal(jwt_put(d.db, d.master, "idp", span_of(hmac), SPAN_NONE), WEIR_OK);
    assert_true(jwt_find(d.db, "idp", &d.a, &row) == WEIR_OK && row.has_secret);
    assert_int_equal(jwt_put(d.db, d.master, "idp", span_of(rsa), SPAN_NONE), WEIR_OK);
    assert_true(jwt_find(d.db, "idp", &d.a, &row) == WEIR_OK && !row.has_secret);
    desk_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verifiers_come_back_as_they_were_written),
        cmocka_unit_test(verifiers_are_bounded),
        cmocka_unit_test(a_set_is_fetched_by_one_and_not_too_often),
        cmocka_unit_test(a_set_of_another_address_is_forgotten),
        cmocka_unit_test(what_went_wrong_is_kept_until_it_goes_right),
        cmocka_unit_test(a_verifier_goes_with_all_that_is_its),
        cmocka_unit_test(a_set_of_another_algorithm_is_forgotten_and_a_secret_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
