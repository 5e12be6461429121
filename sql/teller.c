/* Telling callers what became of their jobs. */
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "fcgi/base/clock.h"
#include "sql/teller.h"

void teller_init(struct teller *t)
{
    *t = (struct teller){.due_last = &t->due};
    pthread_mutex_init(&t->lock, NULL);
}

void teller_end(struct teller *t) { pthread_mutex_destroy(&t->lock); }

/* ---- those who sleep ---- */

/* A caller counts itself before the kernel compares `opened`, so either it is seen here or it does not fall asleep. */
void teller_open(struct teller *t, int gate)
{
    struct gate *g = &t->gates[gate];
    atomic_fetch_add(&g->opened, 1);
    if (atomic_load(&g->sleepers)) syscall(SYS_futex, &g->opened, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

enum weir_err teller_wait(struct teller *t, struct job *j)
{
    struct gate *g = &t->gates[j->gate];
    for (;;) {
        uint32_t opened = atomic_load(&g->opened);
        if (atomic_load_explicit(&j->told, memory_order_acquire)) return j->told_result;
        int64_t left = j->until - clock_mono_ms();
        if (left <= 0) return WEIR_BUSY;
        struct timespec most = {left / 1000, left % 1000 * 1000000};
        atomic_fetch_add(&g->sleepers, 1);
        syscall(SYS_futex, &g->opened, FUTEX_WAIT_PRIVATE, opened, &most, NULL, 0);
        atomic_fetch_sub(&g->sleepers, 1);
    }
}

/* ---- those who are called ---- */

void teller_send(struct teller *t, struct job *j)
{
    pthread_mutex_lock(&t->lock);
    j->sent_before = &t->sent;
    if ((j->sent_next = t->sent)) t->sent->sent_before = &j->sent_next;
    t->sent = j;
    atomic_fetch_add(&t->sent_count, 1);
    pthread_mutex_unlock(&t->lock);
}

/* The lock is held. Who has taken a job from the list of those that wait is who tells it. */
static void make_due(struct teller *t, struct job *j, enum weir_err result)
{
    if (j->sent_next) j->sent_next->sent_before = j->sent_before;
    *j->sent_before = j->sent_next;
    j->sent_before = NULL;
    j->sent_next = NULL;
    j->told_result = result;
    *t->due_last = j;
    t->due_last = &j->sent_next;
}

void teller_give_up(struct teller *t, int64_t now_ms, enum weir_err result)
{
    pthread_mutex_lock(&t->lock);
    for (struct job *j = t->sent, *next; j; j = next) {
        next = j->sent_next;
        if (j->until <= now_ms) make_due(t, j, result);
    }
    pthread_mutex_unlock(&t->lock);
}

void teller_call(struct teller *t)
{
    pthread_mutex_lock(&t->lock);
    struct job *all = t->due, *next;
    t->due = NULL;
    t->due_last = &t->due;
    pthread_mutex_unlock(&t->lock);
    for (; all; all = next) {
        next = all->sent_next;
        all->then(all, all->told_result);
        atomic_fetch_sub(&t->sent_count, 1);
    }
}

/* ---- both ---- */

void teller_tell(struct teller *t, struct job *j, enum weir_err result)
{
    if (j->then) {
        pthread_mutex_lock(&t->lock);
        if (j->sent_before) make_due(t, j, result);
        pthread_mutex_unlock(&t->lock);
    } else if (!atomic_load_explicit(&j->told, memory_order_relaxed)) {
        j->told_result = result;
        atomic_store_explicit(&j->told, true, memory_order_release);
    }
}
