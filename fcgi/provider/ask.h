/* One call of a provider outside of any request, through its dialect: its list of models, or the smallest completion. Who
 * asks decides what the answer means. */
#ifndef WEIR_PROVIDER_ASK_H
#define WEIR_PROVIDER_ASK_H

#include "fcgi/provider/limit_headers.h"
#include "fcgi/provider/provider.h"

struct answer {
    enum upstream_event end;        /* UPSTREAM_END: it is whole; UPSTREAM_FAILED, UPSTREAM_TIMEOUT */
    enum upstream_failure failure;  /* UPSTREAM_FAILED, with failure_text */
    char failure_text[160];
    int status;                     /* 0: no HTTP answer came */
    int64_t head_ms;                /* from the call to its head */
    int64_t date_ms;                /* its Date header; 0: none */
    struct limit_headers limits;
    struct buf body;                /* up to a bound; what is beyond is let go, and leaves no JSON */
    enum trouble trouble;           /* TROUBLE_NONE: status 200; the smallest completion: and that is what it holds */
    struct fault fault;             /* in its own words, which may quote the key */
};

/* Both take at most bound_ms, and need http_start before. key NULL: none is sent. WEIR_NOMEM, WEIR_INTERNAL: no call was
 * made. WEIR_NOT_FOUND: the dialect's models cannot be asked for. WEIR_INVALID: the provider serves no conversations.
 * Whatever they return: answer_free. */
enum weir_err ask_for_models(const struct provider_row *p, const struct upstream_key *key, int64_t bound_ms,
                             struct answer *out);
enum weir_err ask_for_a_word(const struct provider_row *p, const struct upstream_key *key, const char *model,
                             int64_t bound_ms, struct answer *out);
void answer_free(struct answer *a);

#endif
