/* What providers say of a key's limits in the headers of their answers (WIRE.md 1 to 3), in one form. */
#ifndef WEIR_PROVIDER_LIMIT_HEADERS_H
#define WEIR_PROVIDER_LIMIT_HEADERS_H

#include <stdbool.h>
#include <stdint.h>
#include "fcgi/door/upstream.h"

/* One limit. Absent figures are -1; what a provider gives as 0 or below for a limit is none (Azure, WIRE.md 3). */
struct limit_header {
    int64_t limit, remaining;
    int64_t resets_in_ms; /* from now on until it is full again */
};

struct limit_headers {
    struct limit_header requests, tokens;
    struct limit_header input, output; /* Anthropic's, of tokens */
    int64_t retry_after_ms;            /* -1: not said */
};

/* How long others should be asked first, in ms: until a limit is full again of which at most 2 % are left, or less than a
 * request of so many tokens takes, but no longer than a minute: then the next answer tells. 0: there is enough of all. */
int64_t limits_spare_ms(const struct limit_headers *h, int64_t prompt, int64_t output);

/* now_ms: the wall clock, for times that are given as instants. */
void limits_openai(const struct upstream *up, int64_t now_ms, struct limit_headers *out);    /* x-ratelimit-* */
void limits_anthropic(const struct upstream *up, int64_t now_ms, struct limit_headers *out); /* anthropic-ratelimit-* */

/* A time until something, in every form they have: Go durations ("1m30s", "2m59.56s", "12ms", "1h0m0s"), RFC 3339
 * instants, plain seconds with a fraction or not. False: none of these, or below 0; an instant that has passed is 0.
 * At most a year. */
bool limit_reset_parse(struct span s, int64_t now_ms, int64_t *ms);

#endif
