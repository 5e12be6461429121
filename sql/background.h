/* Threads of the database room and their waiting: no signals, small stacks, monotonic time. */
#ifndef WEIR_SQL_BACKGROUND_H
#define WEIR_SQL_BACKGROUND_H

#include <pthread.h>
#include <stdint.h>
#include "fcgi/base/err.h"

/* A thread with every signal blocked. WEIR_NOMEM if there can be none. */
enum weir_err background_start(pthread_t *thread, void *(*run)(void *), void *arg);
/* A condition that background_wait can wait on. */
void background_cond(pthread_cond_t *cond);
/* Waits for the condition, at most ms (nothing is waited for ms <= 0). */
void background_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t ms);

#endif
