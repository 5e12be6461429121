/* Jobs that book: admission, further attempts, settling. */
#include "fcgi/stage/book.h"

#include <poll.h>
#include <stddef.h>
#include <stdlib.h>

#include "fcgi/base/clock.h"
#include "fcgi/base/log.h"

#define SETTLE_MS 2000  /* then the answer ends anyway */
#define MEMORY_MS 5    /* between two looks for memory */
#define ADMIT_MS  10000 /* nothing may go upstream that is not booked, so this is waited for longer */

bool book_is_able(const struct book *b)
{
    return writer_is_able(store_writer(b->store));
}

bool book_may_send(const struct book *b)
{
    return writer_may_send(store_writer(b->store));
}

static const char *copy(struct arena *a, const char *text)
{
    return text ? arena_str(a, span_of(text)) : NULL;
}

/* ---- memory ---- */

#define JOB_BYTES 4096
#define JOBS_KEPT 32

/* What every job begins with. */
struct booking {
    struct job job; /* first */
    struct blocks *from;
    struct arena strings; /* in the rest of its block first */
};

struct blocks *book_jobs(void) { return blocks_new(JOB_BYTES, JOBS_KEPT, NULL); }

/* Zeroed as far as `cleared`. size: at most JOB_BYTES. */
static void *new_booking(const struct book *b, size_t size, size_t cleared, enum weir_err (*run)(struct job *, struct db *),
                         void (*dispose)(struct job *))
{
    size_t rest = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    bool is_new;
    struct booking *k = blocks_take(b->jobs, &is_new);
    if (!k) return NULL;
    memset(k, 0, cleared);
    k->job = (struct job){.run = run, .dispose = dispose};
    k->from = b->jobs;
    arena_init_in(&k->strings, (char *)k + rest, JOB_BYTES - rest);
    return k;
}

static void free_booking(struct job *j)
{
    struct booking *k = (struct booking *)j;
    arena_end(&k->strings);
    blocks_give(k->from, k);
}

static void log_warnings(const struct ledger_warnings *w)
{
    for (int i = 0; i < w->count; i++)
        log_event(LOG_WARN, "limit_nearly_used", LOG_TEXT("scope", w->at[i].scope),
                  LOG_TEXT("metric", metric_names[w->at[i].metric]), LOG_TEXT("shape", shape_names[w->at[i].shape]),
                  LOG_INT("used", w->at[i].used), LOG_INT("limit", w->at[i].limit));
}

/* ---- admission ---- */

struct admit_job {
    struct booking at; /* first */
    struct job undo; /* runs behind an admission that took too long: what it booked, if it has run at all, is given back */
    struct ledger *ledger;
    struct ledger_ask ask;
    struct ledger_try first;
    enum ledger_may may;
    bool provider_is_hard;
    bool abandoned;             /* the writer's: nobody waits for it any more */
    int refs;                   /* atomic: the job and its undoing */
    struct ledger_grant grant;  /* these two the ledger fills */
    struct ledger_refusal refusal;
};

static void admit_free(struct job *j)
{
    struct admit_job *a = (struct admit_job *)j;
    if (__atomic_sub_fetch(&a->refs, 1, __ATOMIC_ACQ_REL) == 0) free_booking(j);
}

static enum weir_err admit_run(struct job *j, struct db *db)
{
    struct admit_job *a = (struct admit_job *)j;
    struct ledger_refusal skipped;
    a->grant.ticket = 0; /* of a run that was rolled back: its number may be another's now */
    if (a->abandoned) return WEIR_OK;
    enum weir_err err = ledger_admit(a->ledger, db, &a->ask, &a->grant, &a->refusal);
    a->may = LEDGER_GO;
    if (err != WEIR_OK || !a->grant.ticket || !a->first.number) return err;
    a->first.ticket = a->grant.ticket;
    err = ledger_attempt(a->ledger, db, &a->first, &a->may, &skipped);
    if (err == WEIR_OK && a->may != LEDGER_GO) a->refusal = skipped;
    if (err != WEIR_OK) return err;
    return ledger_provider_is_hard(a->ledger, db, a->first.now_ms, a->first.provider, &a->provider_is_hard);
}

_Static_assert(sizeof(struct admit_job) <= JOB_BYTES, "an admission fits into its block");

static struct admit_job *undone_by(struct job *j)
{
    return (void *)((char *)j - offsetof(struct admit_job, undo));
}

static enum weir_err undo_run(struct job *j, struct db *db)
{
    struct admit_job *a = undone_by(j);
    struct ledger_settled settled;
    a->abandoned = true;
    bool booked = a->at.job.result == WEIR_OK || a->at.job.result == WEIR_BUSY; /* committed, or in this same transaction */
    if (!booked || !a->grant.ticket) return WEIR_OK;
    const struct audit_row row = {
        .request_id = a->ask.request_id, .user = a->ask.who.user, .team = a->ask.who.team, .role = a->ask.who.role,
        .rolegroup = a->ask.who.rolegroup, .key = a->ask.who.key, .ip = a->ask.who.ip, .endpoint = a->ask.endpoint,
        .alias = a->ask.who.model, .stream = a->ask.stream, .status = 507, .outcome = "refused", .cache = "bypass",
        .usage_source = "none", .first_byte_ms = -1, .error = "storage_full",
    };
    return ledger_settle(a->ledger, db, &(struct ledger_bill){.ticket = a->grant.ticket, .now_ms = a->grant.time,
                                                             .row = &row, .give_back = true}, &settled);
}

static void undo_free(struct job *j) { admit_free(&undone_by(j)->at.job); }

static void undo(const struct book *b, struct admit_job *a)
{
    __atomic_add_fetch(&a->refs, 1, __ATOMIC_RELAXED);
    a->undo = (struct job){.run = undo_run, .dispose = undo_free};
    writer_run(store_writer(b->store), &a->undo, 0, true);
    job_release(&a->undo);
}

static bool copy_ask(struct admit_job *a, const struct ledger_ask *ask, const struct ledger_try *first)
{
    const char **const all[] = {&a->ask.who.user, &a->ask.who.team, &a->ask.who.role, &a->ask.who.rolegroup, &a->ask.who.key,
                                &a->ask.who.ip, &a->ask.who.model, &a->ask.request_id, &a->ask.provider, &a->ask.model,
                                &a->first.provider};
    a->ask = *ask;
    a->first = first ? *first : (struct ledger_try){.number = 0};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (*all[i] && !(*all[i] = copy(&a->at.strings, *all[i]))) return false;
    return true;
}

enum weir_err book_admit(const struct book *b, const struct ledger_ask *ask, const struct ledger_try *first,
                         struct ledger_grant *grant, enum ledger_may *may, bool *provider_is_hard,
                         struct ledger_refusal *refusal)
{
    struct admit_job *a = new_booking(b, sizeof *a, offsetof(struct admit_job, grant), admit_run, admit_free);
    if (!a) return WEIR_NOMEM;
    a->ledger = b->ledger;
    a->refs = 1;
    a->grant.ticket = 0;
    enum weir_err err = WEIR_NOMEM;
    if (copy_ask(a, ask, first)) err = writer_run(store_writer(b->store), &a->at.job, ADMIT_MS, false);
    if (err == WEIR_OK) {
        *grant = a->grant;
        *may = a->may;
        *provider_is_hard = a->provider_is_hard;
        *refusal = a->refusal;
        log_warnings(&a->grant.warnings);
    } else if (err == WEIR_BUSY) {
        undo(b, a);
        err = WEIR_STORAGE;
    }
    job_release(&a->at.job);
    return err;
}

/* ---- attempts ---- */

struct attempt_job {
    struct booking at; /* first */
    struct ledger *ledger;
    struct ledger_use *ended;
    int ended_count;
    struct ledger_try next;
    enum ledger_may may;
    bool provider_is_hard;
    struct ledger_refusal refusal;
};

static enum weir_err attempt_run(struct job *j, struct db *db)
{
    struct attempt_job *t = (struct attempt_job *)j;
    enum weir_err err = WEIR_OK;
    for (int i = 0; i < t->ended_count && err == WEIR_OK; i++)
        err = ledger_attempt_end(t->ledger, db, t->next.ticket, t->next.now_ms, &t->ended[i]);
    if (err == WEIR_OK) err = ledger_attempt(t->ledger, db, &t->next, &t->may, &t->refusal);
    if (err != WEIR_OK) return err;
    return ledger_provider_is_hard(t->ledger, db, t->next.now_ms, t->next.provider, &t->provider_is_hard);
}

static bool copy_uses(struct arena *a, const struct ledger_use *from, int count, struct ledger_use **to)
{
    *to = arena_alloc(a, sizeof **to * (size_t)(count + 1));
    for (int i = 0; *to && i < count; i++) {
        (*to)[i] = from[i];
        if (!((*to)[i].provider = copy(a, from[i].provider))) return false;
    }
    return *to != NULL;
}

enum weir_err book_attempt(const struct book *b, const struct ledger_use *ended, int ended_count,
                           const struct ledger_try *next, enum ledger_may *may, bool *provider_is_hard,
                           struct ledger_refusal *refusal)
{
    struct attempt_job *t = new_booking(b, sizeof *t, sizeof *t, attempt_run, free_booking);
    if (!t) return WEIR_NOMEM;
    t->ledger = b->ledger;
    t->next = *next;
    t->next.provider = copy(&t->at.strings, next->provider);
    t->ended_count = ended_count;
    bool whole = copy_uses(&t->at.strings, ended, ended_count, &t->ended) && t->next.provider;
    enum weir_err err = whole ? writer_run(store_writer(b->store), &t->at.job, ADMIT_MS, false) : WEIR_NOMEM;
    if (err == WEIR_OK) {
        *may = t->may;
        *provider_is_hard = t->provider_is_hard;
        *refusal = t->refusal;
    }
    job_release(&t->at.job);
    return err;
}

/* ---- settling ---- */

struct settle_job {
    struct booking at; /* first */
    const struct book *book;
    struct book_then then;
    const struct estimate *estimate; /* the request's: until it was told */
    struct audit_row row;
    struct ledger_bill bill;
    struct ledger_settled settled;
    int64_t key_id;
    struct content content; /* sealed; ticket 0: none */
    int content_tries;
};

static void log_dropped(const struct settle_job *s, const char *reason)
{
    log_event(LOG_WARN, "content_dropped", LOG_TEXT("request_id", s->row.request_id), LOG_TEXT("reason", reason));
}

/* A ticket that was swept meanwhile has its row, and no content. Whatever fails here is the database's trouble, for that
 * has the job run again; then the books go without what may be half a megabyte. */
static enum weir_err write_content(struct settle_job *s, struct db *db)
{
    if (!s->content.ticket || !s->settled.first) return WEIR_OK;
    if (s->content_tries++ == 0) return content_insert(db, &s->content) == WEIR_OK ? WEIR_OK : WEIR_STORAGE;
    if (s->content_tries == 2) log_dropped(s, "the database was in trouble");
    return WEIR_OK;
}

static enum weir_err settle_run(struct job *j, struct db *db)
{
    struct settle_job *s = (struct settle_job *)j;
    enum weir_err err = s->bill.ticket ? ledger_settle(s->book->ledger, db, &s->bill, &s->settled)
                                       : ledger_record(s->book->ledger, db, &s->row);
    if (err == WEIR_OK) err = write_content(s, db);
    return err == WEIR_OK && s->key_id ? keys_touch(db, s->key_id, s->row.time) : err;
}

static bool copy_row(struct arena *a, const struct audit_row *from, struct audit_row *to)
{
    const char **const all[] = {&to->request_id, &to->user, &to->team, &to->role, &to->rolegroup, &to->key, &to->ip,
                                &to->alias, &to->provider, &to->model, &to->error, &to->context};
    *to = *from;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (*all[i] && !(*all[i] = copy(a, *all[i]))) return false;
    return true;
}

static bool copy_bill(struct settle_job *s, const struct ledger_bill *bill)
{
    struct ledger_use *uses;
    if (!copy_uses(&s->at.strings, bill->uses, bill->use_count, &uses)) return false;
    s->bill = *bill;
    s->bill.row = &s->row;
    s->bill.uses = uses;
    return copy_row(&s->at.strings, bill->row, &s->row);
}

/* What later estimates of this model go by. */
static void learn(const struct book *b, const struct settle_job *s, const struct estimate *e)
{
    const struct audit_row *row = &s->row;
    if (!s->bill.ticket || strcmp(row->usage_source, "provider") != 0 || !row->alias || row->attempts != 1) return;
    experience_add(b->experience, row->alias, row->completion_tokens, e->samples, row->prompt_tokens > e->prompt_bound);
    experience_add_prompt(b->experience, row->alias, row->prompt_tokens, e->prompt_estimate);
}

/* Here and not in the writer, which so never waits for it, and holds no plain text. */
static void seal_content(const struct book *b, struct settle_job *s, const struct content *content)
{
    if (!content->ticket || content_seal(store_master(b->store), content, &s->at.strings, &s->content) == WEIR_OK) return;
    s->content.ticket = 0;
    log_dropped(s, "memory is out");
}

static struct settle_job *new_settle(const struct book *b, const struct ledger_bill *bill, int64_t key_id)
{
    struct settle_job *s = new_booking(b, sizeof *s, sizeof *s, settle_run, free_booking);
    if (!s) return NULL;
    s->book = b;
    s->key_id = key_id;
    if (copy_bill(s, bill)) return s;
    job_release(&s->at.job);
    return NULL;
}

/* A ticket without a bill would hold what it holds until this process ends: memory that is out is waited for. */
static struct settle_job *await_settle(const struct book *b, const struct ledger_bill *bill, int64_t key_id, bool may_wait)
{
    int64_t until = clock_mono_ms() + SETTLE_MS;
    struct settle_job *s;
    while (!(s = new_settle(b, bill, key_id)) && may_wait && clock_mono_ms() < until) poll(NULL, 0, MEMORY_MS);
    return s;
}

/* The request knows how its settling went, and lets go of it. */
static enum weir_err settled(struct settle_job *s, enum weir_err err)
{
    if (err == WEIR_OK) learn(s->book, s, s->estimate);
    if (err == WEIR_OK) log_warnings(&s->settled.warnings);
    if (err == WEIR_OK && s->settled.over_bound)
        log_event(LOG_WARN, "over_bound", LOG_TEXT("request_id", s->row.request_id), LOG_TEXT("model", s->row.alias));
    job_release(&s->at.job);
    return err;
}

static void settle_told(struct job *j, enum weir_err err)
{
    struct book_then then = ((struct settle_job *)j)->then;
    then.call(then.arg, settled((struct settle_job *)j, err));
}

enum weir_err book_settle(const struct book *b, const struct ledger_bill *bill, const struct estimate *e, int64_t key_id,
                          const struct content *content, const struct book_then *then)
{
    struct writer *w = store_writer(b->store);
    struct settle_job *s = await_settle(b, bill, key_id, bill->ticket || !then); /* the writer settles no tickets by this */
    enum weir_err err = s ? WEIR_OK : WEIR_NOMEM;
    if (s) {
        seal_content(b, s, content);
        s->estimate = e;
        if (!then) return settled(s, writer_run(w, &s->at.job, SETTLE_MS, true));
        s->then = *then;
        err = writer_send(w, &s->at.job, SETTLE_MS, true, settle_told);
        if (err == WEIR_OK) return WEIR_OK;
        settled(s, err);
    }
    if (then) then->call(then->arg, err);
    return err;
}

/* ---- giving back ---- */

struct release_job { struct booking at; /* first */ struct ledger *ledger; int64_t ticket; };

static enum weir_err release_run(struct job *j, struct db *db)
{
    struct release_job *r = (struct release_job *)j;
    return ledger_release(r->ledger, db, r->ticket, clock_wall_ms());
}

void book_release(const struct book *b, int64_t ticket)
{
    int64_t until = clock_mono_ms() + SETTLE_MS;
    struct release_job *r;
    while (!(r = new_booking(b, sizeof *r, sizeof *r, release_run, free_booking)) && clock_mono_ms() < until)
        poll(NULL, 0, MEMORY_MS);
    if (!r) return; /* what it holds is swept when this process ends */
    r->ledger = b->ledger;
    r->ticket = ticket;
    writer_run(store_writer(b->store), &r->at.job, SETTLE_MS, true);
    job_release(&r->at.job);
}

/* ---- both at once ---- */

struct once_job {
    struct booking at; /* first */
    struct ledger *ledger;
    struct book_then then;
    struct ledger_grant *granted;     /* the request's: until it was told */
    struct ledger_refusal *refused;
    struct ledger_ask ask;
    struct audit_row row;
    int64_t key_id;
    bool abandoned; /* atomic: nobody waits any more, and nothing is to be written */
    struct ledger_grant grant; /* these two the ledger fills */
    struct ledger_refusal refusal;
};

static enum weir_err once_run(struct job *j, struct db *db)
{
    struct once_job *o = (struct once_job *)j;
    o->grant.ticket = 0;
    if (__atomic_load_n(&o->abandoned, __ATOMIC_ACQUIRE)) return WEIR_OK;
    enum weir_err err = ledger_at_once(o->ledger, db, &o->ask, &o->row, &o->grant, &o->refusal);
    return err == WEIR_OK && o->grant.ticket && o->key_id ? keys_touch(db, o->key_id, o->row.time) : err;
}

/* The ask says what the row says, and no more. */
static void ask_of_row(struct once_job *o)
{
    const struct audit_row *r = &o->row;
    o->ask.who = (struct ledger_who){.user = r->user, .team = r->team, .role = r->role, .rolegroup = r->rolegroup,
                                     .key = r->key, .ip = r->ip, .model = r->alias};
    o->ask.request_id = r->request_id;
    o->ask.provider = r->provider;
    o->ask.model = r->model;
}

/* The request knows how it went, and lets go of it. */
static enum weir_err done_at_once(struct once_job *o, enum weir_err err)
{
    if (err == WEIR_OK) {
        *o->granted = o->grant;
        *o->refused = o->refusal;
        log_warnings(&o->grant.warnings);
    } else {
        __atomic_store_n(&o->abandoned, true, __ATOMIC_RELEASE);
    }
    job_release(&o->at.job);
    return err == WEIR_BUSY ? WEIR_STORAGE : err;
}

static void once_told(struct job *j, enum weir_err err)
{
    struct book_then then = ((struct once_job *)j)->then;
    then.call(then.arg, done_at_once((struct once_job *)j, err));
}

enum weir_err book_at_once(const struct book *b, const struct ledger_ask *ask, const struct audit_row *row, int64_t key_id,
                           struct ledger_grant *grant, struct ledger_refusal *refusal, const struct book_then *then)
{
    struct writer *w = store_writer(b->store);
    struct once_job *o = new_booking(b, sizeof *o, offsetof(struct once_job, grant), once_run, free_booking);
    enum weir_err err = WEIR_NOMEM;
    if (o) {
        o->ledger = b->ledger;
        o->key_id = key_id;
        o->ask = *ask;
        o->granted = grant;
        o->refused = refusal;
        if (copy_row(&o->at.strings, row, &o->row)) err = WEIR_OK;
        ask_of_row(o);
        if (err == WEIR_OK && !then) return done_at_once(o, writer_run(w, &o->at.job, ADMIT_MS, false));
        if (err == WEIR_OK) {
            o->then = *then;
            err = writer_send(w, &o->at.job, ADMIT_MS, false, once_told);
            if (err == WEIR_OK) return WEIR_OK;
        }
        err = done_at_once(o, err);
    }
    if (then) then->call(then->arg, err);
    return err;
}
