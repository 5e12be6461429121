/* A call of a model: its way from the body to an answer that is there already, on its way to another, or fetched; and its
 * row. Each step reads what the earlier ones left; the first failure is the outcome. */
#include "fcgi/model_call.h"

#include "fcgi/base/clock.h"
#include "fcgi/provider/preset.h"
#include "fcgi/stage/admit.h"
#include "fcgi/stage/answer.h"
#include "fcgi/stage/cache.h"
#include "fcgi/stage/join.h"
#include "fcgi/stage/parse.h"
#include "fcgi/stage/plan.h"
#include "fcgi/stage/record.h"
#include "fcgi/stage/refusal.h"
#include "fcgi/stage/request.h"
#include "fcgi/stage/retell.h"
#include "fcgi/stage/settle.h"
#include "fcgi/stage/trim.h"

#define SHORT     1024 /* bytes of most bodies and answers */
#define LEFT_MOST 4096 /* bytes of a short answer: what the kernel takes of it at once, whoever reads */
#define KEPT_MOST (64 << 10) /* bytes of a request: more of them are kept by a thread, of which there are only so many */

/* What the whole way needs, and what the steps leave. */
struct model_call {
    const struct gateway *g;
    struct request *r;
    struct arena *memory;
    enum face face;
    const char *endpoint;
    struct caller caller;
    struct buf body;
    struct buf with_preset; /* the body with what its alias says before it; empty if that is nothing */
    struct buf fitted;      /* the body that is sent instead of either; empty if that is the same */
    struct chat chat;
    struct plan plan;
    struct reuse reuse;
    struct flight *flight; /* that this request leads; NULL: none */
    struct keep_failure failure; /* of the last that was followed in vain */
    struct ticket ticket;
    struct outcome out;
    bool settled;          /* its row is written */
    struct ledger_refusal refusal;
    struct settling settling;
    void (*done)(void *arg); /* the call has ended */
    void *arg;
};

/* The request as its alias completes it. */
static enum weir_err take_preset(struct model_call *c)
{
    struct problem *p = &c->out.problem;
    const struct model_row *row = snapshot_model(c->caller.snap, c->chat.alias);
    if (!row || (!row->system && !row->defaults)) return WEIR_OK;
    enum weir_err err = preset_write(row, &c->chat, c->memory, &c->with_preset);
    if (err != WEIR_OK) return problem_set(p, err, NULL, NULL);
    return parse_chat(c->face, buf_all(&c->with_preset), c->memory, &c->chat, p);
}

static enum weir_err read_chat(struct model_call *c)
{
    struct problem *p = &c->out.problem;
    enum weir_err err = parse_content_type(c->r->content_type, p);
    if (err == WEIR_OK) err = request_body(c->r, (size_t)c->caller.snap->settings.max_body, &c->body, p);
    if (err == WEIR_OK) err = parse_chat(c->face, buf_all(&c->body), c->memory, &c->chat, p);
    return err == WEIR_OK ? take_preset(c) : err;
}

/* What came may be longer than what is sent: the rest of the way sees the latter. */
static enum weir_err fit(struct model_call *c)
{
    struct problem *p = &c->out.problem;
    const struct model_row *model = snapshot_model(c->caller.snap, c->chat.alias);
    enum weir_err err = trim_chat(model, c->g->tools.book.experience, c->memory, &c->chat, &c->fitted, &c->r->context, p);
    bool is_long = c->chat.is_long;
    if (err != WEIR_OK || !c->fitted.len) return err;
    err = parse_chat(c->face, buf_all(&c->fitted), c->memory, &c->chat, p);
    c->chat.is_long = is_long;
    return err;
}

static void note_limits(struct model_call *c)
{
    c->out.requests = c->ticket.grant.requests;
    c->out.tokens = c->ticket.grant.tokens;
}

static void refused(struct model_call *c, enum weir_err err)
{
    c->out.status = weir_err_info(err)->status;
    c->out.end = err == WEIR_GONE ? END_CANCELLED : c->out.status < 500 ? END_REFUSED : END_FAILED;
    note_limits(c);
}

/* Counting asks no provider, so it holds nothing: it is an estimate, and a row that says so. */
static enum weir_err count(struct model_call *c)
{
    struct problem *p = &c->out.problem;
    struct estimate e;
    enum weir_err err = read_chat(c);
    if (err == WEIR_OK) err = plan_model(&c->caller, &c->chat, c->memory, &c->plan, p);
    if (err != WEIR_OK) return err;
    estimate_request(&c->chat, c->plan.model, c->g->tools.book.experience, &e);
    buf_init(&c->out.body, 64);
    buf_printf(&c->out.body, "{\"input_tokens\":%lld}", (long long)e.prompt_estimate);
    c->out.status = 200;
    return c->out.body.err ? problem_set(p, c->out.body.err, NULL, NULL) : WEIR_OK;
}

/* ---- an answer that is there already, or on its way to another ---- */

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

static void ask_only(const struct model_call *c, struct ledger_ask *ask)
{
    admit_ask_only(c->r, &c->caller, c->endpoint, &c->chat, c->plan.model, c->out.target, ask);
}

/* Its end is left to whoever has written its row, if that one need not wait to send a short answer of which nothing was sent
 * yet: waking this thread for it would cost more. */
static bool may_be_left(const struct model_call *c)
{
    const struct outcome *o = &c->out;
    return conn_may_hurry(c->r->conn) && !o->begun && !o->left_open && o->body.len + o->tail.len <= LEFT_MOST &&
           c->body.len + c->with_preset.len + c->fitted.len <= KEPT_MOST && book_may_send(&c->g->tools.book);
}

static void leave_to(struct model_call *c, void (*then)(struct settling *, enum weir_err))
{
    conn_hurry(c->r->conn, 0);
    c->settling.then = then;
}

static enum weir_err booked(struct model_call *c, enum weir_err err)
{
    struct problem *p = &c->out.problem;
    if (err != WEIR_OK) return problem_set(p, err, NULL, NULL);
    c->settled = c->ticket.grant.ticket > 0;
    return c->settled ? WEIR_OK : refusal_problem(&c->refusal, p);
}

/* Counts it, and writes its row, in one step; in two where its content is kept, which is sealed for its ticket. */
static enum weir_err book_borrowed(struct model_call *c)
{
    struct ledger_ask ask;
    if (c->ticket.grant.ticket) return WEIR_OK; /* from when it waited, or tried */
    ask_only(c, &ask);
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
static enum weir_err tell_borrowed(struct model_call *c, enum weir_err err)
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

/* What is told of an entry of the cache. WEIR_NOT_FOUND: it cannot be told to this caller. */
static enum weir_err take_kept(struct model_call *c, const char *how)
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

static enum weir_err give_kept(struct model_call *c, const char *how)
{
    enum weir_err err = take_kept(c, how);
    return err == WEIR_OK ? tell_borrowed(c, book_borrowed(c)) : err;
}

/* Who waits is a request in flight like any other: it is counted before, once for all that it waits for. */
static enum weir_err enter(struct model_call *c)
{
    struct ledger_ask ask;
    enum weir_err err = WEIR_OK;
    ask_only(c, &ask);
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
    *err = give_kept(c, "hit");
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

/* ---- an answer that is fetched ---- */

/* By err, or by the outcome if that is WEIR_OK: has everybody failed who could be asked? */
static bool has_failed(const struct model_call *c, enum weir_err err)
{
    const struct outcome *o = &c->out;
    bool passing = o->status >= 500 || o->status == 429 || o->status == 408;
    return err == WEIR_OK ? o->end == END_FAILED && !o->begun && passing : err == WEIR_UNAVAILABLE;
}

/* Where everything has failed, an answer that has expired is better than none, if the alias says so. */
static enum weir_err give_stale(struct model_call *c, enum weir_err err)
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
    return tell_borrowed(c, book_borrowed(c));
}

static void leave(struct model_call *c)
{
    flight_leave(c->flight);
    c->flight = NULL;
}

/* Every provider has failed, and not this gateway (it stops, or has no memory): those who follow are told, if they have been
 * told nothing else. */
static void tell_failure(struct model_call *c, enum weir_err err)
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

/* True: the request has its outcome, or *err. Otherwise it has to be fetched, and c->flight may be to be led. */
static bool take_along(struct model_call *c, enum weir_err *err)
{
    switch (join_in(c, err)) {
    case TOLD: return true;
    case FAILED:
        fail_along(c);
        *err = give_stale(c, WEIR_OK);
        return true;
    case FETCHES: break;
    }
    give_up(c);
    return false;
}

static enum weir_err fetch(struct model_call *c)
{
    const struct relay_tools *tools = &c->g->tools;
    struct problem *p = &c->out.problem;
    c->r->cache = c->reuse.stores ? "miss" : NULL;
    enum weir_err err = plan_targets(&c->caller, &c->chat, tools->pulse, c->memory, &c->plan, p);
    if (err == WEIR_OK && http_client_is_gone(conn_watch_fd(c->r->conn))) err = problem_set(p, WEIR_GONE, NULL, NULL);
    if (err == WEIR_OK) err = admit(&tools->book, c->r, &c->caller, c->endpoint, &c->chat, &c->plan, &c->ticket, p);
    if (err == WEIR_OK && c->ticket.grant.clamped) leave(c); /* what this budget cuts short is not what others asked for */
    if (err == WEIR_OK && c->reuse.stores) c->r->keep = keep_new(c->flight, BOUND_CACHED, c->memory);
    if (err == WEIR_OK) relay_run(tools, c->r, &c->caller, &c->chat, &c->plan, &c->ticket, c->memory, &c->out);
    if (c->r->keep) {
        cache_store(tools->cache, &c->reuse, c->r->keep, c->plan.model, c->caller.snap->settings.cache_max_bytes);
        keep_close(c->r->keep);
        c->r->keep->flight = NULL;
    }
    err = give_stale(c, err);
    tell_failure(c, err);
    leave(c);
    return err;
}

/* ---- the end ---- */

static void let_go(struct model_call *c)
{
    writer_leave(store_writer(c->g->tools.book.store));
    buf_free(&c->body);
    buf_free(&c->with_preset);
    buf_free(&c->fitted);
    snapshot_release(c->caller.snap);
    c->done(c->arg); /* c is gone */
}

static void end(struct model_call *c)
{
    if (c->out.end != END_CANCELLED) answer_outcome(c->r, &c->out);
    conn_end(c->r->conn);
    relay_end(&c->out);
    let_go(c);
}

static void row_written(struct settling *s, enum weir_err err)
{
    (void)err; /* it is in the log */
    end(s->of);
}

static void finish(struct model_call *c)
{
    bool left = c->settling.then || may_be_left(c); /* once left, there is no thread that could wait */
    if (c->settled) {
        end(c);
        return;
    }
    if (left) leave_to(c, row_written);
    settle(&c->settling);
    if (!left) end(c);
}

static void conclude(struct model_call *c, enum weir_err err)
{
    if (err == WEIR_STORAGE) { /* nothing can be written, so nothing was sent, and there is no row */
        answer_problem(c->r, &c->out.problem, NULL);
        let_go(c);
        return;
    }
    if (err != WEIR_OK) refused(c, err);
    finish(c);
}

static void kept_booked(struct settling *s, enum weir_err err)
{
    struct model_call *c = s->of;
    conclude(c, tell_borrowed(c, booked(c, err)));
}

/* True: kept_booked has gone the rest of the way, or will. */
static bool leave_kept(struct model_call *c)
{
    struct ledger_ask ask;
    if (c->caller.snap->settings.content != CONTENT_NONE || !may_be_left(c)) return false;
    ask_only(c, &ask);
    leave_to(c, kept_booked);
    settle_at_once(&c->settling, &ask, &c->refusal);
    return true;
}

/* ---- the whole ---- */

/* From the body to an outcome; the first failure is that. *left: the rest of the way is gone without this thread. */
static enum weir_err find_answer(struct model_call *c, bool *left)
{
    struct problem *p = &c->out.problem;
    enum weir_err err = read_chat(c);
    if (err == WEIR_OK) err = parse_maximum(&c->chat, p);
    if (err == WEIR_OK) err = fit(c);
    if (err == WEIR_OK) err = plan_model(&c->caller, &c->chat, c->memory, &c->plan, p);
    if (err != WEIR_OK) return err;
    if (c->chat.stream && c->caller.snap->settings.content == CONTENT_ALL)
        c->r->record = record_new(BOUND_CONTENT, c->memory);
    cache_name_request(c->r, &c->caller, &c->chat, c->plan.model, c->memory, &c->reuse);
    if (cache_find(c->g->tools.cache, &c->reuse, c->memory)) {
        err = take_kept(c, "hit");
        if (err == WEIR_OK && (*left = leave_kept(c))) return WEIR_OK;
        if (err == WEIR_OK) err = tell_borrowed(c, book_borrowed(c));
    }
    if (c->reuse.fresh && err != WEIR_NOT_FOUND) return err;
    err = WEIR_OK;
    if (c->reuse.looks && !c->reuse.fresh && take_along(c, &err)) return err;
    return fetch(c);
}

/* ask: relays; otherwise the tokens are counted. */
static void serve(struct model_call *c, bool ask)
{
    bool left = false;
    struct problem *p = &c->out.problem;
    /* Whoever may ask may count. */
    const char *endpoint = ask ? c->endpoint : "/v1/messages";
    enum weir_err err = authenticate(&c->g->gate, c->r, endpoint, c->memory, &c->caller, p);
    if (!c->caller.known) {
        answer_problem(c->r, p, NULL);
        let_go(c);
        return;
    }
    if (err == WEIR_OK && !book_is_able(&c->g->tools.book)) err = problem_set(p, WEIR_STORAGE, NULL, NULL);
    if (err == WEIR_OK) err = ask ? find_answer(c, &left) : count(c);
    if (!left) conclude(c, err);
}

void model_call_run(const struct gateway *g, struct request *r, enum face face, const char *endpoint, bool counts,
                    struct arena *memory, void (*done)(void *arg), void *arg)
{
    struct model_call *c = arena_alloc(memory, sizeof *c);
    if (!c) {
        conn_write_no_memory(r->conn, r->id);
        done(arg);
        return;
    }
    c->g = g;
    c->r = r;
    c->memory = memory;
    c->face = face;
    c->endpoint = endpoint;
    c->done = done;
    c->arg = arg;
    c->settling = (struct settling){.book = &g->tools.book, .r = r, .caller = &c->caller, .endpoint = endpoint,
                                    .chat = &c->chat, .plan = &c->plan, .ticket = &c->ticket, .out = &c->out,
                                    .memory = memory, .of = c};
    c->out.first_byte_ms = -1;
    buf_init_in(&c->body, arena_room(memory, SHORT), SHORT, BOUND_BODY_MAX + 1);
    buf_init(&c->with_preset, 2 * BOUND_BODY_MAX);
    buf_init(&c->fitted, 2 * BOUND_BODY_MAX);
    writer_enter(store_writer(g->tools.book.store));
    serve(c, !counts);
}
