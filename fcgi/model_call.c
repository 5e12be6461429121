/* A call of a model: its way from the body to an answer that is there already, on its way to another, or fetched; and its
 * row. Each step reads what the earlier ones left; the first failure is the outcome. */
#include "fcgi/model_call.h"

#include "fcgi/model_call_room.h"
#include "fcgi/provider/preset.h"
#include "fcgi/stage/admit.h"
#include "fcgi/stage/answer.h"
#include "fcgi/stage/cache.h"
#include "fcgi/stage/parse.h"
#include "fcgi/stage/plan.h"
#include "fcgi/stage/record.h"
#include "fcgi/stage/request.h"
#include "fcgi/stage/trim.h"

#define LEFT_MOST 4096 /* bytes of a short answer: what the kernel takes of it at once, whoever reads */
#define KEPT_MOST (64 << 10) /* bytes of a request: more of them are kept by a thread, of which there are only so many */

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

/* ---- an answer that is fetched ---- */

static enum weir_err fetch(struct model_call *c)
{
    const struct relay_tools *tools = &c->g->tools;
    struct problem *p = &c->out.problem;
    c->r->cache = c->reuse.stores ? "miss" : NULL;
    enum weir_err err = plan_targets(&c->caller, &c->chat, tools->pulse, c->memory, &c->plan, p);
    if (err == WEIR_OK && http_client_is_gone(conn_watch_fd(c->r->conn))) err = problem_set(p, WEIR_GONE, NULL, NULL);
    if (err == WEIR_OK) err = admit(&tools->book, c->r, &c->caller, c->endpoint, &c->chat, &c->plan, &c->ticket, p);
    /* What this budget cuts short is not what others asked for. */
    if (err == WEIR_OK && c->ticket.grant.clamped) borrowed_leave(c);
    if (err == WEIR_OK && c->reuse.stores) c->r->keep = keep_new(c->flight, BOUND_CACHED, c->memory);
    if (err == WEIR_OK) relay_run(tools, c->r, &c->caller, &c->chat, &c->plan, &c->ticket, c->memory, &c->out);
    if (c->r->keep) {
        cache_store(tools->cache, &c->reuse, c->r->keep, c->plan.model, c->caller.snap->settings.cache_max_bytes);
        keep_close(c->r->keep);
        c->r->keep->flight = NULL;
    }
    err = borrowed_stale(c, err);
    borrowed_failure(c, err);
    borrowed_leave(c);
    return err;
}

/* ---- the end ---- */

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
    if (c->settled) {
        end(c);
        return;
    }
    bool left = c->settling.then || may_be_left(c); /* once left, there is no thread that could wait */
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
    conclude(c, borrowed_booked(c, err));
}

/* True: kept_booked has gone the rest of the way, or will. */
static bool leave_kept(struct model_call *c)
{
    struct ledger_ask ask;
    if (c->caller.snap->settings.content != CONTENT_NONE || !may_be_left(c)) return false;
    borrowed_ask(c, &ask);
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
        err = borrowed_take(c, "hit");
        if (err == WEIR_OK && (*left = leave_kept(c))) return WEIR_OK;
        if (err == WEIR_OK) err = borrowed_give(c);
    }
    if (c->reuse.fresh && err != WEIR_NOT_FOUND) return err;
    err = WEIR_OK;
    if (c->reuse.looks && !c->reuse.fresh && borrowed_along(c, &err)) return err;
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
