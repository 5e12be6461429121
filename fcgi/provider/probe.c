/* Probes. What the upstream says in its body is not read. */
#include "fcgi/provider/probe.h"

#include <stdio.h>

#include "fcgi/base/clock.h"
#include "fcgi/provider/provider.h"

/* dialect->ask_models copies all it is given but a body, and there is none. */
static enum weir_err open_probe(const struct dialect *d, struct http_pool *pool, const struct provider_row *p,
                                const struct upstream_key *key, struct upstream **up)
{
    const struct target target = {.provider = p, .key = key, .model = ""};
    struct arena memory;
    arena_init(&memory);
    enum weir_err err = d->ask_models(&(struct call){.pool = pool, .stop_fd = -1, .target = &target, .memory = &memory}, up);
    arena_end(&memory);
    return err;
}

void probe_provider(struct http_pool *pool, const struct provider_row *p, const struct upstream_key *key,
                    struct probe_result *out)
{
    const struct dialect *d = dialect_find(p->dialect);
    struct upstream *up = NULL;
    int64_t begun = clock_mono_ms();
    *out = (struct probe_result){0};
    if (d && !d->ask_models) return; /* it is built in */
    if (!d || open_probe(d, pool, p, key, &up) != WEIR_OK) {
        snprintf(out->error, sizeof out->error, "the probe could not be made");
        return;
    }
    enum upstream_event event = up->ops->wait(up, -1, begun + PROBE_MS);
    out->latency_ms = clock_mono_ms() - begun;
    if (event == UPSTREAM_HEAD) out->status = up->status;
    if (event == UPSTREAM_TIMEOUT) snprintf(out->error, sizeof out->error, "no answer within %d ms", PROBE_MS);
    else if (event != UPSTREAM_HEAD) snprintf(out->error, sizeof out->error, "%.150s", up->failure_text);
    else if (out->status >= 500 || out->status == 401 || out->status == 403)
        snprintf(out->error, sizeof out->error, "answered %d", out->status);
    up->ops->close(up);
}
