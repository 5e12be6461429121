/* Threads: a few wait for requests, more come when those are not enough, and one thread always accepts. */
#ifndef WEIR_WORKER_H
#define WEIR_WORKER_H

#include "fcgi/pipeline.h"

/* Serves requests from the listening socket until a signal of the set waited for on signal_fd (signalfd(2)) arrives or
 * the socket becomes unusable; then stops accepting, lets what runs finish for drain_ms, makes stop_fd (eventfd(2))
 * readable so that the rest ends, and returns. True: nothing is left running, the gateway may be taken apart. */
bool workers_run(const struct gateway *g, int threads_max, int signal_fd, int stop_fd, int64_t drain_ms);

/* Before threads: the signal that wakes a thread from accepting is taken, blocked, and never seen elsewhere. */
void workers_prepare(void);

#endif
