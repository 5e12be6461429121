/* What proxies say: only what a trusted one wrote counts, and what cannot be read moves nothing. */
#include "fcgi/base/forwarded.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static bool trusts(const void *arg, struct span address)
{
    (void)arg;
    return ip_in_range(address, SPAN("10.0.0.0/8")) || ip_in_range(address, SPAN("fd00::/8"));
}

static const struct proxies proxies = {trusts, NULL};

static void expect(const char *peer, const char *many, const char *standard, const char *want)
{
    char out[IP_TEXT];
    forwarded_client(span_of(peer), span_of(many), span_of(standard), &proxies, out);
    if (strcmp(out, want) != 0) fail_msg("%s / %s / %s: %s, not %s", peer, many, standard, out, want);
}

static void only_trusted_peers_are_listened_to(void **state)
{
    char out[IP_TEXT];
    (void)state;
    expect("192.0.2.1", "198.51.100.7", NULL, "192.0.2.1");
    expect("", "198.51.100.7", NULL, "");
    expect("10.0.0.1", NULL, NULL, "10.0.0.1");
    expect("::ffff:10.0.0.1", "198.51.100.7", NULL, "198.51.100.7");
    expect("::ffff:192.0.2.1", NULL, NULL, "::ffff:192.0.2.1");
    forwarded_client(SPAN("10.0.0.1"), SPAN("198.51.100.7"), SPAN_NONE, NULL, out);
    assert_string_equal(out, "10.0.0.1");
    expect("0123456789012345678901234567890123456789012345678901234567890", NULL, NULL, "");
}

static void the_chain_is_read_from_its_end(void **state)
{
    (void)state;
    expect("10.0.0.1", "192.0.2.9, 198.51.100.7", NULL, "198.51.100.7");
    expect("10.0.0.1", "192.0.2.9, 198.51.100.7,10.0.0.2,  10.0.0.3", NULL, "198.51.100.7");
    expect("10.0.0.1", "10.0.0.4, 10.0.0.3", NULL, "10.0.0.4");
    expect("10.0.0.1", NULL, "for=192.0.2.9, for=198.51.100.7;proto=http, for=10.0.0.2", "198.51.100.7");
    expect("fd00::1", "2001:db8::1, [fd00::2]:80", NULL, "2001:db8::1");
}

static void what_is_no_address_ends_it(void **state)
{
    static const char *const bad[] = {"", " ", ",", "unknown", "_hidden", "198.51.100", "198.51.100.7:", "198.51.100.7:123456", "198.51.100.7:8x", "[198.51.100.7]",
                                      "[2001:db8::1", "2001:db8::1]", "[2001:db8::1]80", "[2001:db8::1]:", "2001:db8::1:80:90:1:2:3:4:5", "fe80::1%eth0", "\"198.51.100.7\"",
                                      "198.51.100.7 198.51.100.8", "198.51.100.07", "0x7f.1", "198.51.100.7/32", "[]", "[]:1", ":80", "::ffff:999.1.1.1"};
    char both[200];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        expect("10.0.0.1", bad[i], NULL, "10.0.0.1");
        snprintf(both, sizeof both, "192.0.2.9, %s, 10.0.0.2", bad[i]);
        expect("10.0.0.1", both, NULL, "10.0.0.2");
    }
}

static void the_standard_header_is_read_as_it_is_defined(void **state)
{
    (void)state;
    expect("10.0.0.1", NULL, "For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17");
    expect("10.0.0.1", NULL, "proto=http; for=192.0.2.60 ;by=203.0.113.43", "192.0.2.60");
    expect("10.0.0.1", NULL, "for=\"192.0.2.60:80\";host=\"a,b;for=1.2.3.4\"", "192.0.2.60");
    expect("10.0.0.1", NULL, "for=1.2.3.4;for=192.0.2.60", "10.0.0.1");
    expect("10.0.0.1", NULL, "for=\"192.0.2.60", "10.0.0.1");
    expect("10.0.0.1", NULL, "for=192.0.2.60, for=\"x\\\"", "10.0.0.1");
    expect("10.0.0.1", NULL, "by=192.0.2.60", "10.0.0.1");
    expect("10.0.0.1", NULL, "for", "10.0.0.1");
    expect("10.0.0.1", NULL, "for=", "10.0.0.1");
}

static void two_headers_that_disagree_say_nothing(void **state)
{
    (void)state;
    expect("10.0.0.1", "198.51.100.7", "for=198.51.100.7", "198.51.100.7");
    expect("10.0.0.1", "198.51.100.7", "for=192.0.2.9", "10.0.0.1");
    expect("10.0.0.1", "198.51.100.7", "nonsense", "10.0.0.1");
    expect("10.0.0.1", "nonsense", "for=198.51.100.7", "10.0.0.1");
}

static void long_chains_say_nothing(void **state)
{
    char chain[BOUND_FORWARDED + 20];
    struct buf b;
    (void)state;
    buf_init(&b, sizeof chain - 1);
    buf_str(&b, "198.51.100.7");
    for (int i = 1; i < BOUND_HOPS; i++) buf_str(&b, ",10.0.0.2");
    expect("10.0.0.1", buf_cstr(&b), NULL, "198.51.100.7");
    buf_str(&b, ",10.0.0.2");
    expect("10.0.0.1", buf_cstr(&b), NULL, "10.0.0.1");
    memset(chain, ' ', BOUND_FORWARDED + 1);
    memcpy(chain, "198.51.100.7", 12);
    chain[BOUND_FORWARDED] = '\0';
    expect("10.0.0.1", chain, NULL, "198.51.100.7");
    chain[BOUND_FORWARDED] = ' ';
    chain[BOUND_FORWARDED + 1] = '\0';
    expect("10.0.0.1", chain, NULL, "10.0.0.1");
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_trusted_peers_are_listened_to),
        cmocka_unit_test(the_chain_is_read_from_its_end),
        cmocka_unit_test(what_is_no_address_ends_it),
        cmocka_unit_test(the_standard_header_is_read_as_it_is_defined),
        cmocka_unit_test(two_headers_that_disagree_say_nothing),
        cmocka_unit_test(long_chains_say_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
