/* Is a provider there? One cheap GET, of no model: its list of models. */
#ifndef WEIR_PROVIDER_PROBE_H
#define WEIR_PROVIDER_PROBE_H

#include "fcgi/door/http.h"
#include "sql/routes.h"

#define PROBE_MS 5000

struct probe_result {
    int status;         /* 0: no HTTP answer */
    int64_t latency_ms; /* to its head */
    char error[160];    /* why not alive; empty: it is */
};
/* Takes at most PROBE_MS. Any answer below 500 but 401 and 403 is a sign of life. key NULL: none is sent. */
void probe_provider(struct http_pool *pool, const struct provider_row *p, const struct upstream_key *key,
                    struct probe_result *out);

#endif
