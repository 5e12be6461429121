/* Reads rows of health for those who list them. */
#include "admin/route_state.h"

#include <string.h>

const char *breaker_state(const struct health_row *row, int64_t now)
{
    if (!row || row->breaker.state == BREAKER_CLOSED) return breaker_names[BREAKER_CLOSED];
    bool open = row->breaker.state == BREAKER_OPEN && breaker_may(&row->breaker, now) != BREAKER_CLAIM;
    return breaker_names[open ? BREAKER_OPEN : BREAKER_HALF_OPEN];
}

static int badness(const char *breaker)
{
    return strcmp(breaker, "open") == 0 ? 2 : strcmp(breaker, "half_open") == 0;
}

void provider_state(const struct health_map *m, const char *provider, int64_t now, struct provider_state *out)
{
    const struct health_row *own = health_find(m, HEALTH_PROVIDER, provider, "");

    *out = (struct provider_state){.health = health_seen_names[own ? own->seen : SEEN_UNKNOWN], .breaker = "closed",
                                   .latency_ms = -1, .probed = own ? own->probed : 0};
    for (int i = 0; m && i < m->count; i++) {
        const struct health_row *r = &m->rows[i];

        if (strcmp(r->provider, provider) != 0) continue;
        if (r->error && r->error_at > out->error_at) {
            out->error = r->error;
            out->error_at = r->error_at;
        }
        if (r->kind != HEALTH_TARGET) continue;
        if (badness(breaker_state(r, now)) > badness(out->breaker)) out->breaker = breaker_state(r, now);
        if (r->breaker.failures > out->failures) out->failures = r->breaker.failures;
        if (r->latency_ms > out->latency_ms) out->latency_ms = r->latency_ms;
        out->requests += r->requests;
        out->failed += r->failed;
    }
    if (own && own->forced) out->forced = out->breaker = own->forced == FORCED_OPEN ? "open" : "closed";
    if (own && own->latency_ms > out->latency_ms) out->latency_ms = own->latency_ms;
}

const char *key_state(const struct health_row *row, int64_t now)
{
    if (!row) return "active";
    if (row->disabled) return "disabled";
    if (now < row->cool_until) return "resting";
    return row->breaker.state == BREAKER_CLOSED ? "active" : breaker_state(row, now);
}
