/* The client's address behind proxies: X-Forwarded-For and Forwarded (RFC 7239), as far as they can be believed. */
#ifndef WEIR_BASE_FORWARDED_H
#define WEIR_BASE_FORWARDED_H

#include "fcgi/base/text.h"

/* Is that address a proxy whose word counts? */
struct proxies { bool (*trusts)(const void *arg, struct span address); const void *arg; };

/* The address of the client of `remote` (the peer of the web server), which a trusted proxy may tell: of the chain of hops
 * the last one that no trusted proxy stands for. Each proxy appends what it sees, so the chain is read from its end, and
 * only as long as those who wrote it are trusted: what a client writes itself is never reached. At a hop that is no
 * address ("unknown", "_hidden", damaged), and where both headers are there and name different clients, the last hop
 * that is known is all there is to say. Absent headers: SPAN_NONE. out: an address, or `remote` as it is where it counts
 * itself ("" if longer). False: what was told could not be believed to its end, so `out` is the address of a proxy, and
 * whoever stands behind it may have seen to that. */
bool forwarded_client(struct span remote, struct span x_forwarded_for, struct span forwarded, const struct proxies *p,
                      char out[IP_TEXT]);

#endif
