/* The writer's own: who is told what became of a job. A caller sleeps until then (writer_run), or has left word of what is
 * to be called (writer_send). Whatever else becomes of the job, only the first telling counts. */
#ifndef WEIR_SQL_TELLER_H
#define WEIR_SQL_TELLER_H

#include <pthread.h>
#include <stdint.h>
#include "sql/writer.h"

/* Where callers sleep until they are told. All of a group are woken by one call of the kernel, and the writer is not
 * interrupted by each of them. */
struct gate { _Atomic uint32_t opened; atomic_int sleepers; };

struct teller {
    struct gate gates[2];  /* in turn, so that waking one group leaves those asleep who came while it was written */
    atomic_int sent_count; /* those with a `then` that has not returned yet */
    pthread_mutex_t lock;  /* the rest */
    struct job *sent;      /* those with a `then` that were told nothing yet */
    struct job *due, **due_last; /* those that were told, and have not been called yet */
};

void teller_init(struct teller *t);
void teller_end(struct teller *t);

/* j->then is called by teller_call, once j was told. */
void teller_send(struct teller *t, struct job *j);
/* Tells j, unless it was told before. One that sleeps wakes when its gate is opened. */
void teller_tell(struct teller *t, struct job *j, enum weir_err result);
void teller_open(struct teller *t, int gate);
/* Sleeps until j is told: what it was told; WEIR_BUSY: not until j->until. */
enum weir_err teller_wait(struct teller *t, struct job *j);
/* Tells `result` to those who are to be called whose j->until is now_ms or earlier. */
void teller_give_up(struct teller *t, int64_t now_ms, enum weir_err result);
/* Calls those who were told. With no lock held: what is called may send the next job. */
void teller_call(struct teller *t);

#endif
