/* A real call to a running gateway, to see whether it streams. */
#ifndef WEIR_ADMIN_STREAM_CALL_H
#define WEIR_ADMIN_STREAM_CALL_H

#include "fcgi/base/secret.h"

struct stream_result {
    int status;               /* 0: no answer, see text */
    int64_t first_ms, all_ms; /* from the call to the first byte and to the end */
    int moments, events;      /* times at which bytes came, at least 2 ms apart; lines that begin with "data:" */
    char text[200];
};

/* POST {url}/v1/chat/completions with "stream": true. Takes at most bound_ms. */
void call_stream(const char *url, const struct secret *key, const char *model, int64_t bound_ms, struct stream_result *out);

#endif
