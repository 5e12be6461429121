/* Routes: a snapshot is the whole configuration of one moment, in order, with its secrets; rows change by name. */
#include "sql/db.c"
#include "sql/routes.c"

#include "sql/admin_verifiers.h"
#include "sql/limits.h"
#include "tests/unit/sql_room.h"

struct desk { struct room room; struct db *db; struct master_key *master; };

static void desk_open(struct desk *d)
{
    room_open(&d->room);
    d->db = room_admin(&d->room);
    assert_int_equal(secret_start(), WEIR_OK);
    assert_int_equal(master_key_make(d->room.key), WEIR_OK);
    assert_int_equal(master_key_load(d->room.key, &d->master), WEIR_OK);
}

static void desk_close(struct desk *d)
{
    db_close(d->db);
    master_key_free(d->master);
    room_close(&d->room);
}

static int64_t put_provider(struct desk *d, const char *name)
{
    struct provider_row p = {.name = name, .dialect = "openai", .base_url = "https://x.example/v1",
                             .key_strategy = "priority"};
    int64_t id;
    assert_int_equal(provider_put(d->db, &p, &id), WEIR_OK);
    return id;
}

static void put_key(struct desk *d, int64_t id, const char *provider, const char *name, int64_t priority)
{
    char secret[60];
    snprintf(secret, sizeof secret, "secret of %s", name);
    assert_int_equal(provider_key_put(d->db, d->master, id, provider, name, priority, span_of(secret)), WEIR_OK);
}

static struct snapshot *load(struct desk *d, const struct master_key *master)
{
    struct snapshot *s;
    assert_int_equal(snapshot_load(d->db, master, &s), WEIR_OK);
    assert_false(db_in_transaction(d->db));
    return s;
}

static void a_snapshot_holds_everything_in_order(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d);
    struct header h[] = {{"x-extra", "1"}, {"x-\"odd\"", "a\\b \xc3\xa9"}};
    struct provider_row p = {.name = "zeta", .dialect = "openai", .base_url = "https://z", .key_strategy = "priority",
                             .allow_plain_http = true, .connect_ms = 1, .idle_ms = 3, .headers = h, .header_count = 2};
    int64_t zeta, model, alpha = put_provider(&d, "alpha");
    put_provider(&d, "empty");
    assert_int_equal(provider_put(d.db, &p, &zeta), WEIR_OK);
    put_key(&d, zeta, "zeta", "late", 9);
    put_key(&d, zeta, "zeta", "b", 1);
    put_key(&d, zeta, "zeta", "a", 1);
    put_key(&d, alpha, "alpha", "only", 1);
    struct model_row m = {.alias = "gpt", .strategy = "weighted", .fallback = "other", .cache_ttl = 300,
                          .context_window = 128000, .max_output = 4096, .created = 77,
                          .price = {.known = true, .input = 150000000, .cached_input = 75000000, .cache_write = 150000000, .output = 600000000}};
    struct target_row t[] = {{.model = "first", .weight = 5}, {.model = "second", .weight = 1}};
    assert_int_equal(model_put(d.db, &m, &model), WEIR_OK);
    assert_int_equal(targets_put(d.db, model, (int64_t[]){zeta, alpha}, t, 2), WEIR_OK);
    m = (struct model_row){.alias = "bare", .strategy = "priority"};
    assert_int_equal(model_put(d.db, &m, NULL), WEIR_OK);

    struct snapshot *s = load(&d, d.master);
    assert_int_equal(s->version, 1);
    assert_int_equal(s->provider_count, 3);
    assert_string_equal(s->providers[0].name, "alpha");
    assert_string_equal(s->providers[2].name, "zeta");
    assert_int_equal(s->providers[1].key_count, 0);
    const struct provider_row *z = snapshot_provider(s, SPAN("zeta"));
    assert_ptr_equal(z, &s->providers[2]);
    assert_true(z->allow_plain_http);
    assert_int_equal(z->connect_ms, 1);
    assert_int_equal(z->first_byte_ms, 0);
    assert_int_equal(z->header_count, 2);
    assert_string_equal(z->headers[1].name, "x-\"odd\"");
    assert_string_equal(z->headers[1].value, "a\\b \xc3\xa9");
    assert_int_equal(z->key_count, 3);
    assert_string_equal(z->keys[0].name, "a");
    assert_string_equal(z->keys[1].name, "b");
    assert_string_equal(z->keys[2].name, "late");
    assert_true(span_is(secret_reveal(z->keys[2].secret), "secret of late"));
    assert_int_equal(s->providers[0].key_count, 1);
    const struct model_row *g = snapshot_model(s, SPAN("gpt"));
    assert_non_null(g);
    assert_int_equal(g->target_count, 2);
    assert_string_equal(g->targets[0].model, "first");
    assert_ptr_equal(g->targets[0].provider, z);
    assert_int_equal(g->targets[0].weight, 5);
    assert_ptr_equal(g->targets[1].provider, &s->providers[0]);
    assert_true(g->price.known);
    assert_int_equal(g->price.output, 600000000);
    assert_string_equal(g->fallback, "other");
    assert_int_equal(g->created, 77);
    const struct model_row *bare = snapshot_model(s, SPAN("bare"));
    assert_false(bare->price.known);
    assert_int_equal(bare->target_count, 0);
    assert_null(bare->fallback);
    snapshot_hold(s);
    snapshot_release(s);
    snapshot_release(s);
    desk_close(&d);
}

static void odd_aliases_are_just_not_found(void **state)
{
    struct desk d;
    char *longer = calloc(1, 10000);
    (void)state;
    desk_open(&d);
    struct snapshot *s = load(&d, d.master);
    assert_null(snapshot_model(s, SPAN("gpt")));
    snapshot_release(s);
    const char *const aliases[] = {"a", "ab", "b", "\xc3\xa9", "Z"};
    for (int i = 0; i < 5; i++) {
        struct model_row m = {.alias = aliases[i], .strategy = "priority"};
        assert_int_equal(model_put(d.db, &m, NULL), WEIR_OK);
    }
    s = load(&d, NULL);
    for (int i = 0; i < 5; i++) assert_string_equal(snapshot_model(s, span_of(aliases[i]))->alias, aliases[i]);
    memset(longer, 'a', 9999);
    assert_null(snapshot_model(s, span_of(longer)));
    assert_null(snapshot_model(s, SPAN("")));
    assert_null(snapshot_model(s, SPAN("a\0")));
    assert_null(snapshot_model(s, SPAN_NONE));
    snapshot_release(s);
    desk_close(&d);
    free(longer);
}

/* The same alias with other values, twice: changed, not doubled, and it keeps its time of creation. */
static void putting_again_changes_the_row(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d);
    int64_t p = put_provider(&d, "p"), id, again;
    assert_int_equal(put_provider(&d, "p"), p);
    put_key(&d, p, "p", "k", 1);
    assert_int_equal(provider_key_put(d.db, d.master, p, "p", "k", 7, SPAN_NONE), WEIR_OK);
    assert_int_equal(provider_key_put(d.db, d.master, p, "p", "none", 7, SPAN_NONE), WEIR_NOT_FOUND);
    struct model_row m = {.alias = "m", .strategy = "priority", .created = 5, .cache_ttl = 1};
    struct target_row t[] = {{.model = "x", .weight = 1}, {.model = "y", .weight = 1}};
    assert_int_equal(model_put(d.db, &m, &id), WEIR_OK);
    assert_int_equal(targets_put(d.db, id, (int64_t[]){p, p}, t, 2), WEIR_OK);
    m.created = 9, m.cache_ttl = 2;
    assert_int_equal(model_put(d.db, &m, &again), WEIR_OK);
    assert_int_equal(again, id);
    assert_int_equal(targets_put(d.db, id, (int64_t[]){p}, t + 1, 1), WEIR_OK);
    struct snapshot *s = load(&d, d.master);
    assert_int_equal(s->provider_count, 1);
    assert_int_equal(s->providers[0].key_count, 1);
    assert_int_equal(s->providers[0].keys[0].priority, 7);
    assert_true(span_is(secret_reveal(s->providers[0].keys[0].secret), "secret of k"));
    assert_int_equal(s->model_count, 1);
    assert_int_equal(s->models[0].created, 5);
    assert_int_equal(s->models[0].cache_ttl, 2);
    assert_int_equal(s->models[0].target_count, 1);
    assert_string_equal(s->models[0].targets[0].model, "y");
    snapshot_release(s);
    assert_int_equal(targets_put(d.db, id, (int64_t[]){12345}, t, 1), WEIR_INVALID);
    desk_close(&d);
}

static void a_key_that_does_not_open_is_left_out(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d);
    int64_t p = put_provider(&d, "p"), q = put_provider(&d, "q");
    put_key(&d, p, "p", "good", 2);
    put_key(&d, q, "q", "k", 1);
    /* a sealed value copied to another row does not open there */
    assert_int_equal(sqlite3_exec(d.db->at, "INSERT INTO provider_key (provider_id, name, priority, sealed) "
                                            "SELECT (SELECT id FROM provider WHERE name = 'p'), 'k', 1, sealed "
                                            "FROM provider_key WHERE name = 'k'", NULL, NULL, NULL), SQLITE_OK);
    struct snapshot *s = load(&d, d.master);
    assert_int_equal(s->providers[0].key_count, 1);
    assert_string_equal(s->providers[0].keys[0].name, "good");
    snapshot_release(s);
    s = load(&d, NULL);
    assert_int_equal(s->providers[0].key_count, 2);
    assert_null(s->providers[0].keys[0].secret);
    snapshot_release(s);
    desk_close(&d);
}

static void headers_that_are_not_what_we_wrote_are_corrupt(void **state)
{
    struct desk d;
    struct snapshot *s;
    (void)state;
    desk_open(&d);
    put_provider(&d, "p");
    const char *const odd[] = {"UPDATE provider SET headers = '[]'", "UPDATE provider SET headers = '{\"a\":1}'",
                               "UPDATE provider SET headers = '{'"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sqlite3_exec(d.db->at, odd[i], NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(snapshot_load(d.db, d.master, &s), WEIR_CORRUPT);
        assert_null(s);
        assert_false(db_in_transaction(d.db));
    }
    desk_close(&d);
}

static void count_limit(const struct limit_rule *r, void *arg)
{
    int64_t *sum = arg;
    assert_string_equal(r->scope, "team/data");
    *sum += r->amount;
}

static void count_jwt(const struct jwt_row *r, void *arg)
{
    int *seen = arg;
    assert_string_equal(r->name, "corp");
    assert_string_equal(r->body, "{\"algorithm\":\"HS512\"}");
    assert_true(r->has_secret);
    ++*seen;
}

static void limits_and_verifiers_are_known_by_their_names(void **state)
{
    struct desk d;
    int64_t sum = 0;
    int seen = 0;
    (void)state;
    desk_open(&d);
    struct limit_rule l = {.scope = "team/data", .metric = "tokens", .shape = "calendar", .period = "day",
                           .mode = "hard", .amount = 10, .warn_percent = 80, .created = 1};
    assert_int_equal(limit_put(d.db, &l), WEIR_OK);
    l.amount = 20;
    assert_int_equal(limit_put(d.db, &l), WEIR_OK);
    l.period = "month", l.amount = 300;
    assert_int_equal(limit_put(d.db, &l), WEIR_OK);
    assert_int_equal(limits_each(d.db, count_limit, &sum), WEIR_OK);
    assert_int_equal(sum, 320);
    assert_int_equal(jwt_put(d.db, d.master, "corp", SPAN("{\"algorithm\":\"HS256\"}"), SPAN("hush")), WEIR_OK);
    assert_int_equal(jwt_put(d.db, d.master, "corp", SPAN("{\"algorithm\":\"HS512\"}"), SPAN_NONE), WEIR_OK);
    assert_int_equal(jwt_each(d.db, count_jwt, &seen), WEIR_OK);
    assert_int_equal(seen, 1);
    desk_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_holds_everything_in_order),
        cmocka_unit_test(odd_aliases_are_just_not_found),
        cmocka_unit_test(putting_again_changes_the_row),
        cmocka_unit_test(a_key_that_does_not_open_is_left_out),
        cmocka_unit_test(headers_that_are_not_what_we_wrote_are_corrupt),
        cmocka_unit_test(limits_and_verifiers_are_known_by_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
