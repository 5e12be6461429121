/* Real calls over HTTP: to a provider, to see whether it answers; to a running gateway, to see whether it streams. */
#ifndef WEIR_ADMIN_CALL_H
#define WEIR_ADMIN_CALL_H

#include "sql/routes.h"

#define CALL_TEST_MS 15000
#define CALL_DOCTOR_MS 5000

struct call_result {
    bool fine;       /* reached, and it did not refuse */
    char text[320];  /* one sentence */
    int64_t date_ms; /* its Date header; 0: none */
};

/* GET {base_url}/models with the first key. Takes at most bound_ms. */
void call_provider(const struct provider_row *p, int64_t bound_ms, struct call_result *out);

struct stream_result {
    int status;               /* 0: no answer, see text */
    int64_t first_ms, all_ms; /* from the call to the first byte and to the end */
    int moments, events;      /* times at which bytes came, at least 2 ms apart; lines that begin with "data:" */
    char text[200];
};

/* POST {url}/v1/chat/completions with "stream": true. Takes at most bound_ms. */
void call_stream(const char *url, const struct secret *key, const char *model, int64_t bound_ms, struct stream_result *out);

#endif
