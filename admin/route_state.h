/* How providers, targets and keys stand, in words. */
#ifndef WEIR_ADMIN_ROUTE_STATE_H
#define WEIR_ADMIN_ROUTE_STATE_H

#include "sql/health.h"
#include "sql/routes.h"

/* "closed", "open", "half_open"; row NULL: closed. */
const char *breaker_state(const struct health_row *row, int64_t now);
/* What lies together at one provider. */
struct provider_state {
    const char *health, *breaker; /* the worst of its targets', but what was forced */
    const char *forced;           /* "open", "closed"; NULL: not */
    int64_t failures;             /* in a row, at the worst target */
    int64_t requests, failed, latency_ms, probed; /* latency: of the slowest target; -1: unknown */
    const char *error;            /* the last one; NULL: none */
    int64_t error_at;
};
void provider_state(const struct health_map *m, const char *provider, int64_t now, struct provider_state *out);
/* "active", "resting", "open", "half_open", "disabled"; row NULL: active. */
const char *key_state(const struct health_row *row, int64_t now);

#endif
