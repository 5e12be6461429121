/* Looks after upstreams without a request: probes those not heard of for long and those whose breaker may be half-open,
 * one process for all of a database; ends connections that nobody needs; writes down what this process has counted. A
 * thread; `weir tick` does the probes where no process stays. */
#ifndef WEIR_PROBER_H
#define WEIR_PROBER_H

#include "sql/pulse.h"

struct http_pool;
struct prober;

/* calls: the connections of requests, its own probes have others. WEIR_NOMEM. */
enum weir_err prober_start(struct store *s, struct pulse *p, struct http_pool *calls, const char *data_dir,
                           struct prober **out);
void prober_stop(struct prober *p); /* ends a probe that is under way; NULL is fine */

#endif
