/* Fuzz target: what proxies say. Three lines: the peer, X-Forwarded-For, Forwarded (an empty one is absent). Of an untrusted
 * peer nothing is believed; what is believed is an address in its usual form; and whatever a client wrote, the address
 * that a trusted proxy has put behind it is the one, or none. */
#include <stdlib.h>
#include "fcgi/base/forwarded.c"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must(bool what)
{
    if (!what)
        abort();
}

static bool trusts(const void *arg, struct span address)
{
    (void)arg;
    return ip_in_range(address, SPAN("10.0.0.0/8")) || ip_in_range(address, SPAN("fd00::/8"));
}

static const struct proxies proxies = {trusts, NULL};

static struct span line(struct span *rest)
{
    const char *end = rest->len ? memchr(rest->at, '\n', rest->len) : NULL;
    struct span one = {rest->at, end ? (size_t)(end - rest->at) : rest->len};
    rest->at += one.len + (end != NULL);
    rest->len -= one.len + (end != NULL);
    return one.len ? one : SPAN_NONE;
}

static void check_believed(struct span peer, const char *out)
{
    struct ip_address ip;
    char usual[IP_TEXT];
    if (span_is(peer, out) || (!*out && (!peer.len || peer.len >= IP_TEXT))) return;
    must(trusts(NULL, peer) && ip_parse(span_of(out), &ip));
    ip_text(&ip, usual);
    must(strcmp(usual, out) == 0);
}

/* What the client wrote, and behind it what our proxy saw. */
static void check_appended(struct span client, const char *lead, bool standard)
{
    char out[IP_TEXT];
    struct buf header;
    buf_init(&header, 1 << 20);
    buf_span(&header, client);
    buf_str(&header, client.len ? ", " : "");
    buf_str(&header, lead);
    buf_str(&header, "198.51.100.7");
    struct span all = buf_all(&header);
    forwarded_client(SPAN("10.0.0.1"), standard ? SPAN_NONE : all, standard ? all : SPAN_NONE, &proxies, out);
    must(strcmp(out, "198.51.100.7") == 0 || strcmp(out, "10.0.0.1") == 0);
    buf_free(&header);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct span rest = {n ? (const char *)bytes : "", n};
    struct span peer = line(&rest), many = line(&rest), standard = line(&rest);
    char out[IP_TEXT];
    if (peer.len && memchr(peer.at, '\0', peer.len)) return 0; /* a variable of the environment holds none */
    forwarded_client(peer, many, standard, &proxies, out);
    check_believed(peer, out);
    forwarded_client(peer, many, standard, NULL, out);
    must(!*out || span_is(peer, out));
    check_appended(many, "", false);
    check_appended(standard, "for=", true);
    return 0;
}
