/* Real calls of a provider, and what came of them in one plain sentence. */
#ifndef WEIR_ADMIN_CALL_H
#define WEIR_ADMIN_CALL_H

#include "fcgi/provider/limit_headers.h"
#include "fcgi/provider/model_list.h"
#include "sql/routes.h"

#define CALL_TEST_MS 15000
#define CALL_DOCTOR_MS 5000

struct call_result {
    bool fine;          /* it answered as it should; or it is only over a limit for the moment */
    char text[500];     /* without a full stop; nothing in it that a terminal would act on */
    int status;         /* 0: no HTTP answer */
    int64_t latency_ms; /* to the answer's head; -1: none came */
    int64_t date_ms;    /* its Date header; 0: none */
    struct limit_headers limits;
};

/* All take at most bound_ms and need http_start before. key NULL: none is sent. */

/* Its list of models, with its first key. */
void call_provider(const struct provider_row *p, int64_t bound_ms, struct call_result *out);
/* list, in the arena: empty unless out->fine; both may be NULL. */
void call_models(const struct provider_row *p, const struct upstream_key *key, int64_t bound_ms, struct arena *a,
                 struct model_list *list, struct call_result *out);
/* The smallest completion of the provider's model. It costs some tokens. */
void call_word(const struct provider_row *p, const struct upstream_key *key, const char *model, int64_t bound_ms,
               struct call_result *out);

/* The first of the provider's keys that opens; NULL: there is none. */
const struct upstream_key *call_first_key(const struct provider_row *p);
/* A model of the provider's that an alias leads to, one that talks as far as its name says; NULL: none. */
const char *call_known_model(const struct snapshot *snap, const struct provider_row *p);

#endif
