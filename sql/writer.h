/* The group-commit writer: takes all waiting jobs into one IMMEDIATE transaction and commits as soon as it is free, never
 * on a timer; one thread does it, or a caller that is alone. Each job is all or nothing inside it. (DESIGN.md, "The
 * ledger": group commit, several processes, checkpoints) */
#ifndef WEIR_SQL_WRITER_H
#define WEIR_SQL_WRITER_H

#include <stdatomic.h>
#include "sql/db.h"

/* Embedded as the first member of what a caller wants written. The memory is the caller's until writer_run, then
 * shared by caller and writer; whoever lets go last calls dispose. run may be called again after a failed group. */
struct job {
    enum weir_err (*run)(struct job *j, struct db *db); /* an error undoes this job alone; may be called again */
    void (*dispose)(struct job *j);
    enum weir_err result; /* WEIR_BUSY until the writer is through with it; for jobs that run behind it */
    /* The writer's own; zeros before writer_run. Here, so that a settlement needs no memory to be taken. */
    struct job *next;
    atomic_int refs;
    atomic_bool told;
    bool keep;
    int gate;                  /* at which its caller sleeps */
    void (*then)(struct job *j, enum weir_err result); /* NULL: its caller sleeps */
    struct job *sent_next, **sent_before; /* of jobs whose `then` was not called yet */
    int64_t until;             /* clock_mono_ms: its caller waits no longer */
    enum weir_err told_result; /* valid once told */
    enum weir_err tried;       /* of the try under way; the writer thread's */
};

struct writer;

/* data_dir holds weir.db (which must exist), writer.lock and writer.next. When writing starts to fail, and when it
 * works again, that is logged, once each. */
enum weir_err writer_start(const char *data_dir, const struct sql_list *list, struct writer **out);
/* Waits up to wait_ms for the commit. The job's own result; WEIR_BUSY: not committed yet, it is kept and will be
 * retried until it is; WEIR_FULL (never with keep), WEIR_UNAVAILABLE: it was not taken (the queue is full, the writer is
 * stopping); WEIR_STORAGE, WEIR_CORRUPT, WEIR_NOMEM with keep false: it was undone and
 * dropped. keep true: a failed write (full disk, I/O error) is kept and retried with growing pauses too, and WEIR_STORAGE
 * only says it is not written yet. */
enum weir_err writer_run(struct writer *w, struct job *j, int wait_ms, bool keep);
/* The same, but nobody waits: on WEIR_OK `then` is called once with what writer_run would have returned, by the thread that
 * wrote the job (it may be this one, before writer_send returns) or, once wait_ms have passed, by writer_overdue. It must
 * wait for nothing, may send further jobs, and is where the caller lets go. Others: it is not called. */
enum weir_err writer_send(struct writer *w, struct job *j, int wait_ms, bool keep,
                          void (*then)(struct job *j, enum weir_err result));
/* False: so many have not been called yet that one had better wait. */
bool writer_may_send(const struct writer *w);
/* False: all have been called. Before writer_stop, for it takes no further jobs. */
bool writer_has_sent(const struct writer *w);
/* To be called each second or so: what was to wait until now_ms (INT64_MAX: all) is told WEIR_BUSY. */
void writer_overdue(struct writer *w, int64_t now_ms);
/* The caller lets go; exactly once after writer_run, whatever it returned, or after writer_send, in `then` or where that is
 * not called. */
void job_release(struct job *j);
/* False while the last group failed for lack of room or an I/O error: refuse new work that must be recorded.
 * While it is false the writer tries again by itself and finds out when writing works. */
bool writer_is_able(const struct writer *w);
/* Each commit from now on is on the disk before its callers are told, or (as at the start) when the log is checkpointed. */
void writer_survive_power(struct writer *w, bool on);
/* Around what will have a job to write: how many are about decides who writes. */
void writer_enter(struct writer *w);
void writer_leave(struct writer *w);
size_t writer_backlog(const struct writer *w); /* jobs not committed yet */
/* Writes what waits, for at most wait_ms, then ends the threads. Returns how many jobs were lost: their waiters are
 * told WEIR_STORAGE. A thread that hangs in the kernel is left behind; it touches nothing of the caller's but the jobs
 * it has in hand. NULL is fine. */
size_t writer_stop(struct writer *w, int wait_ms);

/* The lock that writers of all processes queue on (flock on writer.lock, close-on-exec), for programs that write
 * without a writer thread. Released by closing the returned descriptor; -1 with errno on failure (ETIMEDOUT: not got
 * within 30 s). */
int writer_lock(const char *data_dir);

#endif
