/* Probes. What the upstream says in its body is not read. */
#include "fcgi/provider/probe.h"

#include <stdio.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/clock.h"

/* How each dialect wants its key (WIRE.md 2, 3); the last line is for all others. */
static const struct { const char *dialect, *secret_header; struct http_header more; } shapes[] = {
    {"anthropic", "x-api-key: ", {"anthropic-version", "2023-06-01"}},
    {"azure", "api-key: ", {NULL, NULL}},
    {NULL, "Authorization: Bearer ", {NULL, NULL}},
};

#define HEADERS_MOST 65

static enum weir_err open_probe(struct http_pool *pool, const struct provider_row *p, const struct upstream_key *key,
                                struct upstream **up)
{
    struct http_header headers[HEADERS_MOST];
    char url[BOUND_PATH + 16];
    struct http_call call = {.origin = p->base_url, .url = url, .headers = headers, .accept = "application/json",
                             .connect_ms = p->connect_ms && p->connect_ms < PROBE_MS ? p->connect_ms : PROBE_MS};
    size_t shape = 0;
    while (shapes[shape].dialect && strcmp(shapes[shape].dialect, p->dialect) != 0) shape++;
    if (shapes[shape].more.name) headers[call.header_count++] = shapes[shape].more;
    for (int i = 0; i < p->header_count && call.header_count < HEADERS_MOST; i++)
        headers[call.header_count++] = (struct http_header){p->headers[i].name, p->headers[i].value};
    if (snprintf(url, sizeof url, "%s/models", p->base_url) >= (int)sizeof url) return WEIR_INVALID;
    if (key && key->secret) {
        call.secret_header = shapes[shape].secret_header;
        call.secret = key->secret;
    }
    return http_open(pool, &call, up);
}

void probe_provider(struct http_pool *pool, const struct provider_row *p, const struct upstream_key *key,
                    struct probe_result *out)
{
    struct upstream *up = NULL;
    int64_t begun = clock_mono_ms();
    *out = (struct probe_result){0};
    if (strcmp(p->dialect, "mock") == 0) return; /* it is built in */
    if (open_probe(pool, p, key, &up) != WEIR_OK) {
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
