/* Who asks: a credential is one or none, a key that does not count is told like one that does not exist, and nobody
 * speaks in another's name without leave. */
#include "fcgi/stage/authenticate.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- a store with one key ---- */

#define KEY "sk-weir-right"

static struct {
    struct master_key *master;
    struct key key;
    struct snapshot snap;
    enum weir_err err; /* of every look */
    int looks;         /* for a credential, in the database */
    bool in_memory;    /* the key is known without asking */
    bool knew;         /* it was, before a change */
    int remembered;
    const char *wanted;
} shop;

static struct gate gate;
static struct arena memory;

const struct master_key *store_master(const struct store *s)
{
    (void)s;
    return shop.master;
}

/* hash NULL: the configuration alone. */
enum weir_err store_look(struct store *s, const struct client_hash *hash, struct arena *a, struct snapshot **snap, struct key *k)
{
    struct client_hash right;
    (void)s, (void)a;
    *snap = NULL;
    if (shop.err != WEIR_OK) return shop.err;
    shop.snap.refs++;
    *snap = &shop.snap;
    if (!hash) return WEIR_OK;
    shop.looks++;
    secret_client_hash(shop.master, SPAN(KEY), &right);
    if (!secret_hash_equal(hash, &right)) return WEIR_NOT_FOUND;
    *k = shop.key;
    return WEIR_OK;
}

bool store_recall(struct store *s, const struct client_hash *hash, struct arena *a, struct snapshot **snap, struct key *k)
{
    int looks = shop.looks;
    bool found = shop.in_memory && store_look(s, hash, a, snap, k) == WEIR_OK;
    if (shop.in_memory && !found) snapshot_release(*snap);
    shop.looks = looks;
    return found;
}

bool store_knew(struct store *s, const struct client_hash *hash)
{
    struct client_hash right;
    (void)s;
    secret_client_hash(shop.master, SPAN(KEY), &right);
    return shop.knew && secret_hash_equal(hash, &right);
}

void store_remember(struct store *s, const struct client_hash *hash, const struct snapshot *snap, const struct key *k)
{
    (void)s, (void)hash;
    assert_ptr_equal(snap, &shop.snap);
    assert_true(k->id == 0 && !k->may_assert && k->expires);
    shop.remembered++;
}

void store_want_keys(struct store *s, const char *verifier, int64_t now_ms)
{
    (void)s, (void)now_ms;
    shop.wanted = verifier;
}

void snapshot_release(struct snapshot *s)
{
    if (s) s->refs--;
}

static int open_shop(void **state)
{
    char path[] = "/tmp/weir-unit-XXXXXX", name[60];
    (void)state;
    if (!mkdtemp(path)) return -1;
    snprintf(name, sizeof name, "%s/master.key", path);
    int bad = secret_start() != WEIR_OK || master_key_make(name) != WEIR_OK || master_key_load(name, &shop.master) != WEIR_OK;
    unlink(name);
    rmdir(path);
    return bad;
}

static int close_shop(void **state)
{
    (void)state;
    arena_end(&memory);
    master_key_free(shop.master);
    return 0;
}

static void stock(void)
{
    shop.key = (struct key){.id = 1, .name = "k", .user = "alice", .team = "red", .role = "dev", .rolegroup = "staff"};
    shop.err = WEIR_OK;
    shop.looks = shop.remembered = shop.snap.refs = 0;
    shop.in_memory = false;
    shop.wanted = NULL;
    shop.snap.settings = (struct settings){0};
}

/* ---- asking ---- */

#define ONCE(text) ((struct header_seen){(text), 1})

/* The caller's strings live until the next one. */
static enum weir_err ask(const struct request *r, struct caller *c, struct problem *p)
{
    arena_end(&memory);
    *p = (struct problem){.err = WEIR_OK};
    enum weir_err err = authenticate(&gate, r, "/v1/embeddings", &memory, c, p);
    assert_int_equal(shop.snap.refs, c->snap != NULL);
    shop.snap.refs = 0;
    assert_int_equal(err, p->err);
    assert_null(strstr(p->text, "sk-weir-"));
    if (!c->known) assert_true(err != WEIR_OK);
    return err;
}

static enum weir_err ask_with(struct header_seen api_key, struct header_seen authorization)
{
    const struct request r = {.api_key = api_key, .authorization = authorization, .peer = "10.0.0.1", .begun_wall_ms = 1000};
    struct caller c;
    struct problem p;
    stock();
    return ask(&r, &c, &p);
}

#define NOT_SENT ((struct header_seen){NULL, 0})

static void a_credential_is_taken_from_either_header(void **state)
{
    static const char *const bearers[] = {"Bearer " KEY, "bearer " KEY, "BEARER  " KEY, "  Bearer " KEY "  ", "Bearer \t" KEY};
    (void)state;
    assert_int_equal(ask_with(ONCE(KEY), NOT_SENT), WEIR_OK);
    assert_int_equal(ask_with(ONCE("  " KEY "\t"), NOT_SENT), WEIR_OK);
    for (size_t i = 0; i < sizeof bearers / sizeof *bearers; i++) assert_int_equal(ask_with(NOT_SENT, ONCE(bearers[i])), WEIR_OK);
    assert_int_equal(ask_with(ONCE(KEY), ONCE("Bearer " KEY)), WEIR_OK);
    assert_int_equal(ask_with(ONCE(KEY), ONCE("")), WEIR_OK);
    assert_int_equal(ask_with(ONCE(""), ONCE("Bearer " KEY)), WEIR_OK);
    assert_int_equal(ask_with(ONCE(KEY), ONCE("Basic dXNlcjpwYXNz")), WEIR_OK); /* the web server's own */
}

static void what_is_no_credential_is_401_and_asks_no_database(void **state)
{
    static const char *const none[] = {"", "Bearer", "Bearer ", "Bearer\t" KEY, "Basic " KEY, KEY, "Bearer" KEY, "Token " KEY, " ", "earer " KEY};
    char *longer = malloc(BOUND_CREDENTIAL + 2);
    (void)state;
    assert_int_equal(ask_with(NOT_SENT, NOT_SENT), WEIR_UNAUTHENTICATED);
    assert_int_equal(ask_with(ONCE(" "), NOT_SENT), WEIR_UNAUTHENTICATED);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_int_equal(ask_with(NOT_SENT, ONCE(none[i])), WEIR_UNAUTHENTICATED);
        assert_int_equal(shop.looks, 0);
    }
    memset(longer, 'k', BOUND_CREDENTIAL + 1);
    longer[BOUND_CREDENTIAL + 1] = '\0';
    assert_int_equal(ask_with(ONCE(longer), NOT_SENT), WEIR_UNAUTHENTICATED);
    assert_int_equal(shop.looks, 0);
    assert_int_equal(ask_with(ONCE(longer + 1), NOT_SENT), WEIR_UNAUTHENTICATED);
    assert_int_equal(shop.looks, 1);
    free(longer);
}

static void a_credential_given_twice_is_400(void **state)
{
    const struct header_seen twice_key = {KEY, 2}, twice_bearer = {"Bearer " KEY, 2}, empty_then = {"", 2};
    (void)state;
    assert_int_equal(ask_with(twice_key, NOT_SENT), WEIR_INVALID);
    assert_int_equal(ask_with(NOT_SENT, twice_bearer), WEIR_INVALID);
    assert_int_equal(ask_with(empty_then, ONCE("Bearer " KEY)), WEIR_INVALID);
    assert_int_equal(ask_with(ONCE(KEY ", " KEY), NOT_SENT), WEIR_INVALID);
    assert_int_equal(ask_with(ONCE(KEY "," KEY), NOT_SENT), WEIR_INVALID);
    assert_int_equal(ask_with(NOT_SENT, ONCE("Bearer " KEY ", Bearer " KEY)), WEIR_INVALID);
    assert_int_equal(ask_with(ONCE(KEY), ONCE("Bearer sk-weir-other")), WEIR_INVALID);
    assert_int_equal(ask_with(ONCE("sk-weir-other"), ONCE("Bearer " KEY)), WEIR_INVALID);
    assert_int_equal(shop.looks, 0);
}

static void unknown_revoked_and_expired_keys_are_told_alike(void **state)
{
    struct request r = {.api_key = ONCE("sk-weir-wrong"), .peer = "10.0.0.1", .begun_wall_ms = 1000};
    struct caller c;
    struct problem unknown, p;
    (void)state;
    stock();
    assert_int_equal(ask(&r, &c, &unknown), WEIR_UNAUTHENTICATED);
    assert_ptr_equal(c.snap, &shop.snap);
    assert_false(c.known);
    r.api_key = ONCE(KEY);
    for (int i = 0; i < 3; i++) {
        stock();
        if (i == 0) shop.key.revoked = 1;
        if (i == 1) shop.key.expires = 1000;
        if (i == 2) shop.key.secret_expires = 1000;
        assert_int_equal(ask(&r, &c, &p), WEIR_UNAUTHENTICATED);
        assert_false(c.known);
        assert_null(c.user);
        assert_string_equal(p.text, unknown.text);
    }
    stock();
    shop.key.expires = shop.key.secret_expires = 1001;
    assert_int_equal(ask(&r, &c, &p), WEIR_OK);
}

static void trouble_with_the_database_is_no_401(void **state)
{
    const struct request r = {.api_key = ONCE(KEY), .peer = "10.0.0.1"};
    static const enum weir_err all[] = {WEIR_STORAGE, WEIR_BUSY, WEIR_NOMEM, WEIR_CORRUPT};
    struct caller c;
    struct problem p;
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        stock();
        shop.err = all[i];
        assert_int_equal(ask(&r, &c, &p), all[i]);
        assert_null(c.snap);
    }
}

static void a_key_is_used_from_its_addresses_only(void **state)
{
    struct request r = {.api_key = ONCE(KEY), .peer = "10.0.0.1"};
    struct caller c;
    struct problem p;
    (void)state;
    stock();
    shop.key.allow_ip = "[\"192.168.0.0/16\",\"10.0.0.0/24\"]";
    assert_int_equal(ask(&r, &c, &p), WEIR_OK);
    static const char *const others[] = {"10.0.1.1", "", "::1", "10.0.0.1, 10.0.0.1"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        r.peer = others[i];
        assert_int_equal(ask(&r, &c, &p), WEIR_IP_FORBIDDEN);
        assert_true(c.known); /* the audit row names the key */
        assert_string_equal(c.user, "alice");
    }
}

static void a_key_speaks_in_its_own_name(void **state)
{
    struct request r = {.api_key = ONCE(KEY), .peer = "", .user = ONCE(""), .team = NOT_SENT};
    struct caller c;
    struct problem p;
    (void)state;
    stock();
    assert_int_equal(ask(&r, &c, &p), WEIR_OK);
    assert_true(c.known);
    assert_string_equal(c.key.name, "k");
    assert_string_equal(c.user, "alice");
    assert_string_equal(c.team, "red");
    assert_string_equal(c.role, "dev");
    assert_string_equal(c.rolegroup, "staff");
    struct header_seen *const seen[] = {&r.user, &r.team, &r.role, &r.rolegroup};
    static const char *const names[] = {"x-user-id", "x-team-id", "x-role", "x-llm-rolegroup"};
    for (int i = 0; i < 4; i++) {
        *seen[i] = ONCE("bob");
        assert_int_equal(ask(&r, &c, &p), WEIR_IDENTITY_FORBIDDEN);
        assert_non_null(strstr(p.text, names[i]));
        assert_true(c.known);
        assert_string_equal(c.user, "alice");
        *seen[i] = ONCE("alice"); /* not even its own: refused, not ignored */
        assert_int_equal(ask(&r, &c, &p), WEIR_IDENTITY_FORBIDDEN);
        *seen[i] = NOT_SENT;
    }
}

static void a_key_that_may_speaks_for_others_one_by_one(void **state)
{
    struct request r = {.api_key = ONCE(KEY), .peer = "", .user = ONCE("bob \xC3\xA9"), .role = ONCE("ops"), .rolegroup = ONCE("")};
    struct caller c;
    struct problem p;
    (void)state;
    stock();
    shop.key.may_assert = true;
    assert_int_equal(ask(&r, &c, &p), WEIR_OK);
    assert_string_equal(c.user, "bob \xC3\xA9");
    assert_string_equal(c.team, "red");
    assert_string_equal(c.role, "ops");
    assert_string_equal(c.rolegroup, "staff");
}

static void an_identity_is_a_name_and_one(void **state)
{
    struct request r = {.api_key = ONCE(KEY), .peer = ""};
    char longest[BOUND_NAME + 2];
    static const char *const bad[] = {"a\nb", "\x01", "a\x7F", "\xFF", "a\tb", "\xC3"};
    struct caller c;
    struct problem p;
    (void)state;
    stock();
    shop.key.may_assert = true;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r.team = ONCE(bad[i]);
        assert_int_equal(ask(&r, &c, &p), WEIR_INVALID);
        assert_non_null(strstr(p.text, "x-team-id"));
    }
    memset(longest, 'n', sizeof longest - 1);
    longest[BOUND_NAME + 1] = '\0';
    r.team = ONCE(longest);
    assert_int_equal(ask(&r, &c, &p), WEIR_INVALID);
    r.team = ONCE(longest + 1);
    assert_int_equal(ask(&r, &c, &p), WEIR_OK);
    assert_ptr_equal(c.team, longest + 1);
    r.team = (struct header_seen){"red", 2};
    assert_int_equal(ask(&r, &c, &p), WEIR_INVALID);
    r.team = (struct header_seen){"", 2};
    assert_int_equal(ask(&r, &c, &p), WEIR_INVALID);
}

/* Web servers join repeated headers: two names are not one (DESIGN.md, facts: a doubled or joined identity is a 400). */
static void joined_identities_are_400(void **state)
{
    struct request r = {.api_key = ONCE(KEY), .peer = "", .user = ONCE("bob, eve")};
    struct caller c;
    struct problem p;
    (void)state;
    stock();
    shop.key.may_assert = true;
    assert_int_equal(ask(&r, &c, &p), WEIR_INVALID);
    assert_non_null(strstr(p.text, "x-user-id"));
}

/* ---- nobody ---- */

static void nobody_is_let_in_only_where_the_setting_says_so(void **state)
{
    static const char *const nothing[] = {NULL, "", "  ", "Bearer", "bearer ", "Basic YTpi"};
    static const char *const nonsense[] = {"Token x", KEY, "Bearer wrong", "Digest a"};
    struct request r = {.peer = "10.0.0.1", .begun_wall_ms = 1000};
    struct caller c;
    struct problem p;
    (void)state;
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++) {
        r.authorization = (struct header_seen){nothing[i], nothing[i] != NULL};
        stock();
        assert_int_equal(ask(&r, &c, &p), WEIR_UNAUTHENTICATED);
        shop.snap.settings.anonymous = true;
        assert_int_equal(ask(&r, &c, &p), WEIR_OK);
        assert_string_equal(c.user, "anonymous");
        assert_string_equal(c.ip, "10.0.0.1");
        assert_true(!c.team && !c.key.name && !c.key.id && c.known);
    }
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        r.authorization = ONCE(nonsense[i]);
        assert_int_equal(ask(&r, &c, &p), WEIR_UNAUTHENTICATED);
    }
    r = (struct request){.peer = "10.0.0.1", .user = ONCE("root")};
    assert_int_equal(ask(&r, &c, &p), WEIR_IDENTITY_FORBIDDEN);
}

/* ---- endpoints, addresses, the brake ---- */

static void a_key_is_used_at_its_endpoints_only(void **state)
{
    const struct request r = {.api_key = ONCE(KEY), .peer = "10.0.0.1"};
    struct caller c;
    struct problem p;
    (void)state;
    stock();
    shop.key.endpoints = "[\"/v1/chat/completions\",\"/v1/embeddings\"]";
    assert_int_equal(ask(&r, &c, &p), WEIR_OK);
    shop.key.endpoints = "[\"/v1/chat/completions\"]";
    assert_int_equal(ask(&r, &c, &p), WEIR_ENDPOINT_FORBIDDEN);
    assert_true(c.known);
    shop.key.endpoints = "nonsense";
    assert_int_equal(ask(&r, &c, &p), WEIR_ENDPOINT_FORBIDDEN);
}

static void the_address_is_what_a_trusted_proxy_says(void **state)
{
    struct request r = {.api_key = ONCE(KEY), .peer = "10.0.0.1", .forwarded_for = ONCE("198.51.100.7, 203.0.113.9")};
    struct caller c;
    struct problem p;
    (void)state;
    stock();
    assert_int_equal(ask(&r, &c, &p), WEIR_OK);
    assert_string_equal(c.ip, "10.0.0.1");
    shop.snap.settings.trusted_proxies = "[\"10.0.0.0/8\"]";
    assert_int_equal(ask(&r, &c, &p), WEIR_OK);
    assert_string_equal(c.ip, "203.0.113.9");
    shop.key.allow_ip = "[\"203.0.113.0/24\"]";
    assert_int_equal(ask(&r, &c, &p), WEIR_OK);
    shop.key.allow_ip = "[\"10.0.0.0/8\"]";
    assert_int_equal(ask(&r, &c, &p), WEIR_IP_FORBIDDEN);
    stock();
    shop.snap.settings.trusted_proxies = "[\"10.0.0.0/8\"]";
    r.forwarded_for.times = 2; /* under two spellings: one of them is the client's own */
    assert_int_equal(ask(&r, &c, &p), WEIR_OK);
    assert_string_equal(c.ip, "10.0.0.1");
}

/* Whatever a client writes into these headers, it does not become its proxy. */
static void who_hides_behind_a_proxy_does_not_pass_for_it(void **state)
{
    const struct request forged[] = {
        {.forwarded_for = {"203.0.113.9", 2}},
        {.forwarded_for = {"203.0.113.9", 1}, .forwarded = {"203.0.113.9", 2}},
        {.forwarded_for = {"203.0.113.9", 1}, .forwarded = {"for=198.51.100.7", 1}},
        {.forwarded_for = {"203.0.113.9", 1}, .forwarded = {"for=", 1}},
        {.forwarded = {"for=\"", 1}},
        {.forwarded_for = {"203.0.113.9,,10.0.0.2", 1}},
    };
    struct caller c;
    struct problem p;
    (void)state;
    stock();
    shop.key.allow_ip = "[\"10.0.0.0/8\"]";
    shop.snap.settings.trusted_proxies = "[\"10.0.0.0/8\"]";
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
        struct request r = forged[i];
        r.api_key = (struct header_seen)ONCE(KEY);
        r.peer = "10.0.0.1";
        if (ask(&r, &c, &p) != WEIR_IP_FORBIDDEN) fail_msg("%zu: %s", i, c.ip);
        r.peer = "10.0.0.1";
        r.forwarded_for = r.forwarded = (struct header_seen){NULL, 0};
        assert_int_equal(ask(&r, &c, &p), WEIR_OK); /* the proxy itself */
    }
}

static void who_fails_too_often_is_refused_without_a_look_and_good_keys_in_memory_are_not(void **state)
{
    struct request bad = {.api_key = ONCE("sk-weir-wrong"), .peer = "10.0.0.1", .begun_mono_ms = 5000}, good = bad;
    struct caller c;
    struct problem p;
    (void)state;
    stock();
    good.api_key = ONCE(KEY);
    gate.brake = brake_new();
    assert_non_null(gate.brake);
    for (int i = 0; i < BOUND_FAILURES; i++) assert_int_equal(ask(&bad, &c, &p), WEIR_UNAUTHENTICATED);
    assert_int_equal(shop.looks, BOUND_FAILURES);
    assert_int_equal(ask(&bad, &c, &p), WEIR_RATE_LIMITED);
    assert_int_equal(p.retry_after_s, 1);
    assert_int_equal(shop.looks, BOUND_FAILURES);
    assert_int_equal(ask(&good, &c, &p), WEIR_RATE_LIMITED);
    shop.in_memory = true;
    assert_int_equal(ask(&good, &c, &p), WEIR_OK);
    shop.in_memory = false;
    shop.knew = true; /* the configuration was changed since */
    assert_int_equal(ask(&good, &c, &p), WEIR_OK);
    assert_int_equal(ask(&bad, &c, &p), WEIR_RATE_LIMITED);
    shop.knew = false;
    bad.peer = "10.0.0.2";
    assert_int_equal(ask(&bad, &c, &p), WEIR_UNAUTHENTICATED);
    good.begun_mono_ms += 1000;
    assert_int_equal(ask(&good, &c, &p), WEIR_OK);
    brake_free(gate.brake);
    gate.brake = NULL;
}

/* Behind a trusted proxy each client has failures of its own, and what cannot be told from whom it comes is the proxy's: who
 * hides there slows down nobody who does not. */
static void failures_behind_a_proxy_are_not_everybody_s(void **state)
{
    static const char *const hidden[] = {"nonsense", "198.51.100.7, unknown", ""};
    struct request bad = {.api_key = ONCE("sk-weir-wrong"), .peer = "10.0.0.1", .begun_mono_ms = 5000}, good = bad;
    struct caller c;
    struct problem p;
    (void)state;
    stock();
    shop.snap.settings.trusted_proxies = "[\"10.0.0.0/8\"]";
    good.api_key = ONCE(KEY);
    gate.brake = brake_new();
    assert_non_null(gate.brake);
    bad.forwarded_for = ONCE("2001:db8::1, 10.0.0.9");
    for (int i = 0; i < BOUND_FAILURES; i++) assert_int_equal(ask(&bad, &c, &p), WEIR_UNAUTHENTICATED);
    bad.forwarded_for = ONCE("1.2.3.4, 2001:db8::ffff"); /* the same /64, whatever it says of itself */
    assert_int_equal(ask(&bad, &c, &p), WEIR_RATE_LIMITED);
    good.forwarded_for = ONCE("2001:db8:0:1::1");
    assert_int_equal(ask(&good, &c, &p), WEIR_OK);
    for (int i = 0; i < BOUND_FAILURES; i++) {
        bad.forwarded_for = ONCE(hidden[i % 3]);
        assert_int_equal(ask(&bad, &c, &p), WEIR_UNAUTHENTICATED);
    }
    assert_int_equal(ask(&bad, &c, &p), WEIR_RATE_LIMITED);
    assert_int_equal(ask(&good, &c, &p), WEIR_OK);
    shop.snap.settings.trusted_proxies = NULL;
    brake_free(gate.brake);
    gate.brake = NULL;
}

/* ---- tokens ---- */

/* {"alg":"HS256"} {"sub":"ada","exp":4000000000}, signed with "a secret of 32 characters or so" */
#define TOKEN "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEiLCJleHAiOjQwMDAwMDAwMDB9.9lJKthWS6a-NGK8TpKcfJZy94lxBUKnhwdTKo4Ea9V0"

static void a_token_speaks_for_its_user_and_for_no_other(void **state)
{
    struct verifier own = {.name = "own", .method = JWT_HS256, .user = "sub", .leeway_ms = 60000};
    struct request r = {.authorization = ONCE("Bearer " TOKEN), .peer = "10.0.0.1", .begun_wall_ms = 1790000000000};
    struct caller c;
    struct problem p;
    (void)state;
    stock();
    own.secret = secret_new(SPAN("a secret of 32 characters or so"));
    assert_int_equal(ask(&r, &c, &p), WEIR_UNAUTHENTICATED);
    gate.own = &own;
    assert_int_equal(ask(&r, &c, &p), WEIR_OK);
    assert_string_equal(c.user, "ada");
    assert_true(c.known && !c.team && !c.key.name && c.key.id == 0);
    assert_int_equal(shop.remembered, 1);
    r.team = ONCE("root");
    assert_int_equal(ask(&r, &c, &p), WEIR_IDENTITY_FORBIDDEN);
    r.team = NOT_SENT;
    r.api_key = ONCE(TOKEN);
    assert_int_equal(ask(&r, &c, &p), WEIR_OK);
    r.authorization = NOT_SENT;
    assert_int_equal(ask(&r, &c, &p), WEIR_OK);
    r.begun_wall_ms = 4000000060000;
    assert_int_equal(ask(&r, &c, &p), WEIR_UNAUTHENTICATED);
    gate.own = NULL;
    secret_free((struct secret *)own.secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_credential_is_taken_from_either_header),
        cmocka_unit_test(what_is_no_credential_is_401_and_asks_no_database),
        cmocka_unit_test(a_credential_given_twice_is_400),
        cmocka_unit_test(unknown_revoked_and_expired_keys_are_told_alike),
        cmocka_unit_test(trouble_with_the_database_is_no_401),
        cmocka_unit_test(a_key_is_used_from_its_addresses_only),
        cmocka_unit_test(a_key_speaks_in_its_own_name),
        cmocka_unit_test(a_key_that_may_speaks_for_others_one_by_one),
        cmocka_unit_test(an_identity_is_a_name_and_one),
        cmocka_unit_test(joined_identities_are_400),
        cmocka_unit_test(nobody_is_let_in_only_where_the_setting_says_so),
        cmocka_unit_test(a_key_is_used_at_its_endpoints_only),
        cmocka_unit_test(the_address_is_what_a_trusted_proxy_says),
        cmocka_unit_test(who_hides_behind_a_proxy_does_not_pass_for_it),
        cmocka_unit_test(who_fails_too_often_is_refused_without_a_look_and_good_keys_in_memory_are_not),
        cmocka_unit_test(failures_behind_a_proxy_are_not_everybody_s),
        cmocka_unit_test(a_token_speaks_for_its_user_and_for_no_other),
    };
    return cmocka_run_group_tests(tests, open_shop, close_shop);
}
