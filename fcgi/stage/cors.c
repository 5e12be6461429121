/* CORS. Off unless origins are configured; and it protects pages' users, not Weir: whoever calls still needs a key. */
#include "fcgi/stage/cors.h"

#include "sql/list.h"

#define PREFLIGHT_S "600" /* how long a browser may remember the answer to a preflight */

void cors_decide(struct store *store, struct request *r)
{
    struct snapshot *snap;
    struct span origin = span_of(r->origin);
    if (!origin.len || origin.len > BOUND_ORIGIN || !text_is_header_safe(origin)) return;
    if (store_look(store, NULL, NULL, &snap, NULL) != WEIR_OK) return;
    const char *origins = snap->settings.cors_origins;
    if (origins && list_has(origins, SPAN("*"))) r->reader = "*";
    else if (origins && list_has(origins, origin)) r->reader = r->origin;
    snapshot_release(snap);
}

void cors_headers(const struct request *r, struct buf *head)
{
    if (!r->reader) return;
    buf_printf(head, "Access-Control-Allow-Origin: %s\r\nVary: Origin\r\n", r->reader);
    buf_str(head, "Access-Control-Expose-Headers: x-request-id, request-id, x-weir-provider, x-weir-model, x-weir-attempts, "
                  "x-weir-cache, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
                  "x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens, retry-after, "
                  "retry-after-ms, x-should-retry\r\n");
}

/* What the SDKs send, and what Weir reads. A star would not take Authorization in. */
static bool may_send(struct span name)
{
    static const char *const names[] = {"authorization", "x-api-key", "content-type", "accept", "user-agent", "x-request-id",
                                        "x-user-id", "x-team-id", "x-role", "x-llm-rolegroup", "idempotency-key"};
    static const char *const families[] = {"x-stainless-", "anthropic-", "openai-", "x-weir-"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (span_is_nocase(name, names[i])) return true;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (name.len > strlen(families[i]) && strncasecmp(name.at, families[i], strlen(families[i])) == 0) return true;
    return false;
}

void cors_preflight(const struct request *r, const char *methods, struct buf *head)
{
    const char *at = r->preflight_headers, *lead = "Access-Control-Allow-Headers: ";
    if (!r->reader || !r->preflight_method) return;
    buf_printf(head, "Access-Control-Allow-Methods: %s\r\nAccess-Control-Max-Age: " PREFLIGHT_S "\r\n", methods);
    if (!at || strlen(at) > BOUND_CORS_HEADERS) return;
    while (*at) {
        size_t n = strcspn(at, ",");
        struct span name = span_trim((struct span){at, n});
        if (may_send(name) && text_is_header_safe(name)) {
            buf_str(head, lead);
            buf_span(head, name);
            lead = ", ";
        }
        at += n + (at[n] == ',');
    }
    if (*lead == ',') buf_str(head, "\r\n");
}
