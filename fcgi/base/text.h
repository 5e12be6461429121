/* Small conversions between text and values: escaping by destination, times, durations, money, URL decoding. */
#ifndef WEIR_BASE_TEXT_H
#define WEIR_BASE_TEXT_H

#include <stdbool.h>
#include <stdint.h>
#include "fcgi/base/buf.h"
#include "fcgi/base/span.h"

/* A JSON string with its quotes. Invalid UTF-8 becomes U+FFFD; control characters are \u-escaped; an absent span: null. */
enum weir_err json_string(struct buf *out, struct span s);
bool text_is_utf8(struct span s);
/* Bytes of the whole characters in the first `most` bytes (so a cut never splits a character). */
size_t text_cut(struct span s, size_t most);
/* True if every byte is visible ASCII or space: may go into a header line. */
bool text_is_header_safe(struct span s);
/* Percent-decodes a URL path or query value (`plus`: '+' is a space). WEIR_INVALID: bad escape or a NUL. */
enum weir_err url_decode(struct buf *out, struct span s, bool plus);

#define TIME_TEXT 25 /* "2026-11-21T03:04:05.678Z" and NUL */
void time_text(int64_t wall_ms, char out[TIME_TEXT]);
bool time_parse(struct span s, int64_t *wall_ms); /* RFC 3339 with Z or an offset, fraction optional */
/* "90d", "12h", "30m", "30s", "500ms", "2w" to milliseconds; above 0, at most 100 years. */
bool duration_parse(struct span s, int64_t *ms);

/* Money: nano-dollars. "0.15" <-> 150000000. At most 9 decimals, up to 9,000,000,000 dollars, no sign, no exponent. */
bool money_parse(struct span s, int64_t *nano);
#define MONEY_TEXT 32
/* shortest form with at least 2 decimals: "0.15", "20.00", "0.000001234" */
void money_text(int64_t nano, char out[MONEY_TEXT]);

/* An address: IPv4 as ::ffff:a.b.c.d, as a dual-stack listener reports it. */
struct ip_address { unsigned char at[16]; bool v4; };
bool ip_parse(struct span s, struct ip_address *out); /* no port, no brackets, no zone */
#define IP_TEXT 46
void ip_text(const struct ip_address *ip, char out[IP_TEXT]); /* the one usual form; IPv4 with dots */
/* CIDR or plain address, IPv4 or IPv6. False if `range` or `address` does not parse. */
bool ip_in_range(struct span address, struct span range);
bool ip_range_is_valid(struct span range);

enum weir_err base64_add(struct buf *out, const void *bytes, size_t n); /* RFC 4648 with padding */
/* RFC 4648 5 without padding, strictly: no other character, no left-over bits. WEIR_INVALID, or the buffer's error. */
enum weir_err base64url_decode(struct buf *out, struct span s);

#endif
