/* Answers that are not fetched: from the cache, along with another's request, or out of date where all else fails. */
#include "fcgi/base/clock.h"
#include "fcgi/model_call_room.h"
#include "fcgi/stage/admit.h"
#include "fcgi/stage/answer.h"
#include "fcgi/stage/cache.h"
#include "fcgi/stage/join.h"
#include "fcgi/stage/refusal.h"
#include "fcgi/stage/retell.h"

/* So many may fetch in vain before who has waited for them is told of their failure: what fails there fails for all, and
 * all of them at once would not help it. As many may leave for reasons of their own (a budget, a killed process): then who
 * has waited fetches for himself. */
#define FLIGHT_ROUNDS 3

/* The outcome is somebody else's answer: it cost nothing. False: memory is out. */
static bool borrow(struct model_call *c, const struct keep_head *h, const char *how)
{
    static const struct price nothing = {.known = true};
    struct provider_row *provider = arena_alloc(c->memory, sizeof *provider);
    struct target *target = arena_alloc(c->memory, sizeof *target);
    if (!provider || !target) return false;
    *provider = (struct provider_row){.name = h->provider};
    *target = (struct target){.provider = provider, .model = h->model, .price = &nothing};
    c->out.target = target;
    c->r->cache = h->stale_since ? "stale" : how;
    if (h->stale_since) c->r->cache_age_s = (clock_wall_ms() - h->stale_since) / 1000;
    return true;
}

void borrowed_ask(const struct model_call *c, struct ledger_ask *ask)
{
    admit_ask_only(c->r, &c->caller, c->endpoint, &c->chat, c->plan.model, c->out.target, ask);
}

static enum weir_err booked(struct model_call *c, enum weir_err err)
{
    struct problem *p = &c->out.problem;
    if (err != WEIR_OK) return problem_set(p, err, NULL, NULL);
    c->settled = c->ticket.grant.ticket > 0;
    return c->settled ? WEIR_OK : refusal_problem(&c->refusal, p);
}

/* Counts it, and writes its row, in one step; in two where its content is kept, which is sealed for its ticket. */
static enum weir_err book(struct model_call *c)
{
    struct ledger_ask ask;
    if (c->ticket.grant.ticket) return WEIR_OK; /* from when it waited, or tried */
    borrowed_ask(c, &ask);
    if (c->caller.snap->settings.content != CONTENT_NONE)
        return admit_only(&c->g->tools.book, &ask, &c->ticket, &c->out.problem);
    return booked(c, settle_at_once(&c->settling, &ask, &c->refusal));
}

static void forget(struct outcome *o)
{
    buf_free(&o->body);
    buf_free(&o->tail);
}

/* The answer as this caller wants it, into the outcome. False: it cannot be told so. */
static bool retell(struct model_call *c, const struct keep_form *form, struct span kept)
{
    struct outcome *o = &c->out;
    struct buf *to = c->chat.stream ? &o->tail : &o->body;
    buf_init(&o->body, BOUND_ANSWER);
    buf_init(&o->tail, BOUND_ANSWER);
    buf_init_in(to, arena_room(c->memory, SHORT), SHORT, BOUND_ANSWER);
    struct retelling *t = retell_new(&c->chat, form, c->r->id, clock_wall_ms() / 1000, c->memory);
    bool told = t && retell_end(t, kept, to);
    retell_free(t);
    if (!told) forget(o);
    return told;
}

static void told_whole(struct model_call *c)
{
    c->out.end = END_OK;
    c->out.status = 200;
    c->out.first_byte_ms = clock_mono_ms() - c->r->begun_mono_ms;
}

/* It is booked, or not: WEIR_OK if it may be told. */
static enum weir_err tell(struct model_call *c, enum weir_err err)
{
    if (err != WEIR_OK) {
        forget(&c->out);
        return err;
    }
    note_limits(c);
    if (!c->chat.stream) return err;
    c->out.begun = true;
    answer_stream_begin(c->r, &c->out);
    return err;
}

enum weir_err borrowed_take(struct model_call *c, const char *how)
{
    const struct cache_entry *e = &c->reuse.entry;
    const struct keep_form form = keep_form_unpack(e->form);
    const struct keep_head head = {.form = form, .provider = e->provider, .model = e->model};
    if (!retell(c, &form, e->body)) return WEIR_NOT_FOUND;
    if (!borrow(c, &head, how)) return problem_set(&c->out.problem, WEIR_NOMEM, NULL, NULL);
    c->r->cache_age_s = (clock_wall_ms() - e->created) / 1000;
    told_whole(c);
    return WEIR_OK;
}

enum weir_err borrowed_give(struct model_call *c) { return tell(c, book(c)); }
enum weir_err borrowed_booked(struct model_call *c, enum weir_err err) { return tell(c, booked(c, err)); }

/* Who waits is a request in flight like any other: it is counted before, once for all that it waits for. */
static enum weir_err enter(struct model_call *c)
{
    struct ledger_ask ask;
    enum weir_err err = WEIR_OK;
    borrowed_ask(c, &ask);
    if (!c->ticket.grant.ticket) err = admit_only(&c->g->tools.book, &ask, &c->ticket, &c->out.problem);
    note_limits(c);
    return err;
}

/* Nothing came of waiting: what is fetched is admitted for what it may use. */
static void give_up(struct model_call *c)
{
    if (c->ticket.grant.ticket) book_release(&c->g->tools.book, c->ticket.grant.ticket);
    c->ticket = (struct ticket){0};
}

/* Reads along. JOINED_FAILED: as if nothing had been; otherwise *err and the outcome say how it went. */
static enum joined follow(struct model_call *c, struct flight *f, enum weir_err *err)
{
    struct outcome *o = &c->out;
    struct join j = {.r = c->r, .chat = &c->chat, .settings = &c->caller.snap->settings, .memory = c->memory, .flight = f,
                     .stop_fd = c->g->tools.stop_fd, .is_cgi = c->g->tools.is_cgi};
    c->r->cache = "joined";
    if ((*err = enter(c)) != WEIR_OK) return JOINED;
    buf_init(&o->body, BOUND_ANSWER);
    buf_init(&o->tail, BOUND_ANSWER);
    enum joined how = join_wait(&j, o);
    if (how == JOINED && !borrow(c, &j.head, "joined")) how = JOINED_FAILED;
    if (how == JOINED) how = c->chat.stream ? join_stream(&j, o) : join_plain(&j, o);
    if (how != JOINED_FAILED) return how;
    forget(o);
    o->target = NULL;
    c->failure = j.failure;
    return how;
}

/* Followers get what was kept. */
static void tell_kept(struct flight *f, const struct cache_entry *e, int64_t stale_since)
{
    const struct keep_head head = {.form = keep_form_unpack(e->form), .provider = e->provider, .model = e->model,
                                   .stale_since = stale_since};
    keep_tell_head(f, &head);
    flight_end(f, e->body);
}

/* There is an outcome, or *err; this request is to fetch, as c->flight's leader or by itself; others have tried often
 * enough. */
enum along { TOLD, FETCHES, FAILED };

static enum along give_found(struct model_call *c, enum weir_err *err)
{
    *err = borrowed_take(c, "hit");
    if (*err == WEIR_OK) *err = borrowed_give(c);
    return *err == WEIR_NOT_FOUND ? FETCHES : TOLD;
}

static enum along join_in(struct model_call *c, enum weir_err *err)
{
    char name[CACHE_FLIGHT_NAME];
    struct flight *f;
    bool leads;
    int failed = 0, left = 0;
    cache_flight_name(&c->reuse, name);
    while (left < FLIGHT_ROUNDS && flight_join(c->g->tools.flights, name, &leads, &f) == WEIR_OK) {
        if (leads && !cache_find(c->g->tools.cache, &c->reuse, c->memory)) {
            c->flight = f;
            return FETCHES;
        }
        if (leads) { /* somebody's has come between the first look and now */
            tell_kept(f, &c->reuse.entry, 0);
            flight_leave(f);
            return give_found(c, err);
        }
        enum joined how = follow(c, f, err);
        flight_leave(f);
        if (how != JOINED_FAILED) return TOLD;
        if (!c->failure.status) left++;
        else if (++failed == FLIGHT_ROUNDS) return FAILED;
    }
    if (!left || !cache_find(c->g->tools.cache, &c->reuse, c->memory)) return FETCHES;
    return give_found(c, err);
}

/* ---- where fetching it has failed ---- */

/* By err, or by the outcome if that is WEIR_OK: has everybody failed who could be asked? */
static bool has_failed(const struct model_call *c, enum weir_err err)
{
    const struct outcome *o = &c->out;
    bool passing = o->status >= 500 || o->status == 429 || o->status == 408;
    return err == WEIR_OK ? o->end == END_FAILED && !o->begun && passing : err == WEIR_UNAVAILABLE;
}

enum weir_err borrowed_stale(struct model_call *c, enum weir_err err)
{
    const struct cache_entry *e = &c->reuse.entry;
    const struct keep_form form = keep_form_unpack(e->form);
    const struct keep_head head = {.form = form, .provider = e->provider, .model = e->model, .stale_since = e->created};
    struct outcome before = c->out;
    if (!has_failed(c, err) || !c->reuse.found || c->reuse.stale_ms <= 0) return err;
    if (!retell(c, &form, e->body) || !borrow(c, &head, "stale")) {
        forget(&c->out);
        c->out = before;
        return err;
    }
    forget(&before);
    told_whole(c);
    if (c->flight) tell_kept(c->flight, e, e->created);
    return borrowed_give(c);
}

void borrowed_leave(struct model_call *c)
{
    flight_leave(c->flight);
    c->flight = NULL;
}

void borrowed_failure(struct model_call *c, enum weir_err err)
{
    const struct keep_failure f = {.status = err == WEIR_OK ? c->out.status : weir_err_info(err)->status,
                                   .retry_after_s = c->out.problem.retry_after_s};
    bool ours = err == WEIR_OK && (c->out.problem.err == WEIR_UNAVAILABLE || c->out.problem.err == WEIR_NOMEM);
    if (c->flight && has_failed(c, err) && !ours && !(c->r->keep && c->r->keep->head_told)) keep_tell_failure(c->flight, &f);
}

/* What others have run into is this one's outcome too. */
static void fail_along(struct model_call *c)
{
    struct outcome *o = &c->out;
    problem_set(&o->problem, WEIR_UPSTREAM, NULL, "The same request, asked by others meanwhile, has failed %d times.",
                FLIGHT_ROUNDS);
    o->problem.retry_after_s = c->failure.retry_after_s;
    c->r->cache = "joined";
    o->end = END_FAILED;
    o->status = c->failure.status;
    o->error = "others have failed to fetch it";
}

bool borrowed_along(struct model_call *c, enum weir_err *err)
{
    switch (join_in(c, err)) {
    case TOLD: return true;
    case FAILED:
        fail_along(c);
        *err = borrowed_stale(c, WEIR_OK);
        return true;
    case FETCHES: break;
    }
    give_up(c);
    return false;
}
