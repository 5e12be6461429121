/* Secrets: keys are made, hashed, sealed and opened as promised, and with no memory to lock. */
#include "fcgi/base/secret.c"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct place { char dir[64], path[96]; };

static struct place place_new(void)
{
    struct place p = {.dir = "/tmp/weir-secret-XXXXXX"};
    assert_non_null(mkdtemp(p.dir));
    snprintf(p.path, sizeof p.path, "%s/master.key", p.dir);
    return p;
}

static void place_gone(const struct place *p)
{
    unlink(p->path);
    rmdir(p->dir);
}

static struct master_key *key_new(void)
{
    struct place p = place_new();
    struct master_key *m = NULL;
    assert_int_equal(master_key_make(p.path), WEIR_OK);
    assert_int_equal(master_key_load(p.path, &m), WEIR_OK);
    place_gone(&p);
    return m;
}

static void master_key_is_made_once_and_private(void **state)
{
    (void)state;
    struct place p = place_new();
    struct master_key *m = NULL;
    struct stat st;
    assert_int_equal(master_key_load(p.path, &m), WEIR_NOT_FOUND);
    assert_int_equal(master_key_make(p.path), WEIR_OK);
    assert_int_equal(master_key_make(p.path), WEIR_EXISTS);
    assert_int_equal(stat(p.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, 32);
    chmod(p.path, 0640);
    assert_int_equal(master_key_load(p.path, &m), WEIR_INVALID);
    chmod(p.path, 0600);
    assert_int_equal(truncate(p.path, 31), 0);
    assert_int_equal(master_key_load(p.path, &m), WEIR_CORRUPT);
    assert_int_equal(truncate(p.path, 33), 0);
    assert_int_equal(master_key_load(p.path, &m), WEIR_CORRUPT);
    assert_null(m);
    place_gone(&p);
    assert_int_equal(master_key_make("/nonexistent/dir/key"), WEIR_IO);
}

static void secret_keeps_its_bytes(void **state)
{
    (void)state;
    struct secret *s = secret_new(SPAN("sk-\0-x"));
    assert_non_null(s);
    assert_true(span_eq(secret_reveal(s), SPAN("sk-\0-x")));
    assert_int_equal(secret_reveal(s).at[6], '\0');
    secret_free(s);
    s = secret_new(SPAN(""));
    assert_int_equal(secret_reveal(s).len, 0);
    secret_free(s);
    secret_free(NULL);
}

static void client_hash_depends_on_key_and_text(void **state)
{
    (void)state;
    struct master_key *m = key_new(), *other = key_new();
    struct client_hash a, b;
    secret_client_hash(m, SPAN("sk-weir-1"), &a);
    secret_client_hash(m, SPAN("sk-weir-1"), &b);
    assert_true(secret_hash_equal(&a, &b));
    secret_client_hash(m, SPAN("sk-weir-2"), &b);
    assert_false(secret_hash_equal(&a, &b));
    secret_client_hash(other, SPAN("sk-weir-1"), &b);
    assert_false(secret_hash_equal(&a, &b));
    master_key_free(m);
    master_key_free(other);
}

static void client_hash_stays_the_same_between_versions(void **state)
{
    (void)state;
    struct place p = place_new();
    struct master_key *m = NULL;
    FILE *f = fopen(p.path, "w");
    for (int i = 0; i < 32; i++)
        fputc(i, f);
    fclose(f);
    chmod(p.path, 0600);
    assert_int_equal(master_key_load(p.path, &m), WEIR_OK);
    struct client_hash hash;
    char hex[65];
    secret_client_hash(m, SPAN("sk-weir-test"), &hash);
    sodium_bin2hex(hex, sizeof hex, hash.at, sizeof hash.at);
    assert_string_equal(hex, "e751afa1a0257690925f5149da3a93ab637e23a77505d3e2fd4169fa425b8b44");
    master_key_free(m);
    place_gone(&p);
}

static void client_keys_have_the_promised_form(void **state)
{
    (void)state;
    char a[CLIENT_KEY_LEN + 1], b[CLIENT_KEY_LEN + 1];
    secret_client_key(a);
    secret_client_key(b);
    assert_int_equal(strlen(a), CLIENT_KEY_LEN);
    assert_int_equal(strncmp(a, CLIENT_KEY_PREFIX, 8), 0);
    assert_int_equal(strspn(a + 8, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), 43);
    assert_string_not_equal(a, b);
}

static void sealed_opens_only_where_it_belongs(void **state)
{
    (void)state;
    struct master_key *m = key_new(), *other = key_new();
    struct secret *s = NULL;
    struct buf sealed;
    buf_init(&sealed, 1000);
    assert_int_equal(secret_seal(m, SPAN("sk-openai"), "provider_key/openai/k1", &sealed), WEIR_OK);
    assert_null(memmem(sealed.at, sealed.len, "sk-openai", 9));
    assert_int_equal(secret_open(m, buf_all(&sealed), "provider_key/openai/k1", &s), WEIR_OK);
    assert_true(span_is(secret_reveal(s), "sk-openai"));
    secret_free(s);
    s = NULL;
    assert_int_equal(secret_open(m, buf_all(&sealed), "provider_key/openai/k2", &s), WEIR_CORRUPT);
    assert_int_equal(secret_open(other, buf_all(&sealed), "provider_key/openai/k1", &s), WEIR_CORRUPT);
    for (size_t i = 0; i < sealed.len; i++) {
        sealed.at[i] ^= 1;
        assert_int_equal(secret_open(m, buf_all(&sealed), "provider_key/openai/k1", &s), WEIR_CORRUPT);
        sealed.at[i] ^= 1;
        assert_int_equal(secret_open(m, (struct span){sealed.at, i}, "provider_key/openai/k1", &s), WEIR_CORRUPT);
    }
    assert_null(s);
    buf_free(&sealed);
    buf_init(&sealed, 10);
    assert_int_equal(secret_seal(m, SPAN("sk-openai"), "x", &sealed), WEIR_FULL);
    buf_free(&sealed);
    master_key_free(m);
    master_key_free(other);
}

static void works_where_no_memory_may_be_locked(void **state)
{
    (void)state;
    struct rlimit before, none = {0, 0};
    assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &before), 0);
    none.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &none), 0);
    struct secret *all[64];
    for (size_t i = 0; i < 64; i++) {
        all[i] = secret_new(SPAN("a provider's key"));
        assert_non_null(all[i]);
    }
    for (size_t i = 0; i < 64; i++) {
        assert_true(span_is(secret_reveal(all[i]), "a provider's key"));
        secret_free(all[i]);
    }
    setrlimit(RLIMIT_MEMLOCK, &before);
}

static void random_bytes_differ_and_wiping_wipes(void **state)
{
    (void)state;
    unsigned char a[32] = {0}, b[32] = {0}, zero[32] = {0};
    secret_random(a, sizeof a);
    secret_random(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    secret_wipe(a, sizeof a);
    assert_memory_equal(a, zero, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(master_key_is_made_once_and_private),
        cmocka_unit_test(secret_keeps_its_bytes),
        cmocka_unit_test(client_hash_depends_on_key_and_text),
        cmocka_unit_test(client_hash_stays_the_same_between_versions),
        cmocka_unit_test(client_keys_have_the_promised_form),
        cmocka_unit_test(sealed_opens_only_where_it_belongs),
        cmocka_unit_test(works_where_no_memory_may_be_locked),
        cmocka_unit_test(random_bytes_differ_and_wiping_wipes),
    };
    if (secret_start() != WEIR_OK)
        return 1;
    return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
