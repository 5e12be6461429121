/* Reads the two headers in which proxies say for whom they ask. Bytes from outside: nothing of them is kept but addresses
 * that parse. */
#include "fcgi/base/forwarded.h"

#include "fcgi/base/bounds.h"

/* Where the address of each hop stands, oldest first; absent where an element names none. */
struct hops { struct span at[BOUND_HOPS]; int count; bool bad; /* too long, or quotes that do not close */ };

static void add_hop(struct hops *h, struct span address)
{
    if (h->count < BOUND_HOPS) h->at[h->count++] = address;
    else h->bad = true;
}

/* The length of the piece before the next `stop`; bad: where quotes count (RFC 9110 5.6.4), set if one does not close. */
static size_t piece(struct span s, char stop, bool *bad)
{
    bool quoted = false;
    for (size_t i = 0; i < s.len; i++) {
        if (quoted && s.at[i] == '\\') i++;
        else if (bad && s.at[i] == '"') quoted = !quoted;
        else if (!quoted && s.at[i] == stop) return i;
    }
    if (quoted) *bad = true;
    return s.len;
}

/* *rest is absent behind the last one. */
static struct span next_piece(struct span *rest, char stop, bool *bad)
{
    size_t n = piece(*rest, stop, bad);
    struct span one = span_trim((struct span){rest->at, n});
    rest->at += n;
    rest->len -= n;
    if (!rest->len) *rest = SPAN_NONE;
    else rest->at++, rest->len--;
    return one;
}

/* The value of for= in "for=1.2.3.4;proto=https"; absent if there is none, or two. */
static struct span for_of(struct span element, bool *bad)
{
    struct span value = SPAN_NONE;
    for (int times = 0; element.at;) {
        struct span pair = next_piece(&element, ';', bad);
        if (pair.len < 4 || strncasecmp(pair.at, "for=", 4) != 0) continue;
        if (times++) return SPAN_NONE;
        value = (struct span){pair.at + 4, pair.len - 4};
        if (value.len >= 2 && value.at[0] == '"' && value.at[value.len - 1] == '"') value.at++, value.len -= 2;
    }
    return value;
}

static void read_hops(struct span header, bool is_pairs, struct hops *h)
{
    h->count = 0;
    h->bad = header.len > BOUND_FORWARDED;
    while (header.at && !h->bad) {
        struct span element = next_piece(&header, ',', is_pairs ? &h->bad : NULL);
        add_hop(h, is_pairs ? for_of(element, &h->bad) : element);
    }
}

static bool is_port(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] < '0' || s.at[i] > '9') return false;
    return s.len >= 1 && s.len <= 5;
}

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80". */
static bool hop_address(struct span s, struct ip_address *ip)
{
    if (!s.at || !s.len) return false;
    if (*s.at == '[') {
        const char *end = memchr(s.at, ']', s.len);
        if (!end) return false;
        struct span rest = {end + 1, s.len - (size_t)(end + 1 - s.at)}, inside = {s.at + 1, (size_t)(end - s.at) - 1};
        if (rest.len && (*rest.at != ':' || !is_port((struct span){rest.at + 1, rest.len - 1}))) return false;
        return memchr(inside.at, ':', inside.len) && ip_parse(inside, ip);
    }
    const char *colon = memchr(s.at, ':', s.len);
    if (colon && !memchr(colon + 1, ':', s.len - (size_t)(colon + 1 - s.at))) {
        struct span port = {colon + 1, s.len - (size_t)(colon + 1 - s.at)};
        return is_port(port) && ip_parse((struct span){s.at, (size_t)(colon - s.at)}, ip);
    }
    return ip_parse(s, ip);
}

/* From the end of the chain to the first hop that is not a trusted proxy's. False: it breaks off before. */
static bool walk(const struct hops *h, const struct proxies *p, char out[IP_TEXT])
{
    struct ip_address ip;
    int i = h->bad ? -1 : h->count - 1;
    for (; i >= 0 && hop_address(h->at[i], &ip); i--) {
        ip_text(&ip, out);
        if (!p->trusts(p->arg, span_of(out))) return true;
    }
    return i < 0 && !h->bad;
}

bool forwarded_client(struct span remote, struct span x_forwarded_for, struct span forwarded, const struct proxies *p,
                      char out[IP_TEXT])
{
    char peer[IP_TEXT], other[IP_TEXT];
    struct hops hops;
    size_t n = remote.len < IP_TEXT ? remote.len : 0;
    if (n) memcpy(out, remote.at, n);
    out[n] = '\0';
    if (!p || (!x_forwarded_for.at && !forwarded.at) || !p->trusts(p->arg, remote)) return true;
    memcpy(peer, out, IP_TEXT);
    memcpy(other, out, IP_TEXT);
    read_hops(x_forwarded_for.at ? x_forwarded_for : forwarded, !x_forwarded_for.at, &hops);
    bool known = walk(&hops, p, out);
    if (!x_forwarded_for.at || !forwarded.at) return known;
    read_hops(forwarded, true, &hops);
    known &= walk(&hops, p, other);
    /* A proxy writes one of the two and hands the other on as the client made it up. */
    if (strcmp(out, other) == 0) return known;
    memcpy(out, peer, IP_TEXT);
    return false;
}
