/* The way of a request: the table of all routes, and the order of the steps. Data flows one way; any failure jumps
 * forward to the audit row and the answer. */
#include "fcgi/pipeline.h"

#include "fcgi/base/clock.h"
#include "fcgi/base/log.h"
#include "fcgi/base/text.h"
#include "fcgi/provider/preset.h"
#include "fcgi/stage/admit.h"
#include "fcgi/stage/answer.h"
#include "fcgi/stage/cache.h"
#include "fcgi/stage/cors.h"
#include "fcgi/stage/join.h"
#include "fcgi/stage/parse.h"
#include "fcgi/stage/plan.h"
#include "fcgi/stage/record.h"
#include "fcgi/stage/refusal.h"
#include "fcgi/stage/request.h"
#include "fcgi/stage/retell.h"
#include "fcgi/stage/settle.h"
#include "fcgi/stage/trim.h"
#include "fcgi/stage/usage.h"

struct route;
struct way { const struct gateway *g; struct request r; struct arena memory; const struct route *route; };

static void model_call(struct way *w);
static void count_tokens(struct way *w);
static void model_list(struct way *w);
static void model_one(struct way *w);
static void own_usage(struct way *w);
static void alive(struct way *w);
static void ready(struct way *w);

/* ---- every route at a glance ---- */

static const struct route {
    const char *path;
    bool prefix;        /* what follows is the rest of the path */
    bool posts;         /* POST; otherwise GET and HEAD */
    void (*run)(struct way *w);
    enum face face;
    const char *endpoint; /* as the audit row names it */
} routes[] = {
    {"/v1/chat/completions", false, true, model_call, FACE_CHAT, "/v1/chat/completions"},
    {"/chat/completions", false, true, model_call, FACE_CHAT, "/v1/chat/completions"},
    {"/v1/completions", false, true, model_call, FACE_COMPLETIONS, "/v1/completions"},
    {"/v1/embeddings", false, true, model_call, FACE_EMBEDDINGS, "/v1/embeddings"},
    {"/v1/responses", false, true, model_call, FACE_RESPONSES, "/v1/responses"},
    {"/v1/messages", false, true, model_call, FACE_MESSAGES, "/v1/messages"},
    {"/v1/messages/count_tokens", false, true, count_tokens, FACE_MESSAGES, "/v1/messages/count_tokens"},
    {"/v1/models", false, false, model_list, 0, NULL},
    {"/v1/models/", true, false, model_one, 0, NULL},
    {"/v1/usage", false, false, own_usage, 0, NULL},
    {"/health", false, false, alive, 0, NULL},
    {"/readyz", false, false, ready, 0, NULL},
    {"/", false, false, alive, 0, NULL},
};

static const struct route *route_of(struct span path)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        const struct route *e = &routes[i];
        if (e->prefix ? span_starts(path, e->path) && path.len > strlen(e->path) : span_is(path, e->path)) return e;
    }
    return NULL;
}

static const char *allowed(const struct route *e) { return e->posts ? "POST, OPTIONS" : "GET, HEAD, OPTIONS"; }

static bool is_allowed(const struct route *e, enum method m)
{
    return e->posts ? m == METHOD_POST : m == METHOD_GET || m == METHOD_HEAD;
}

static void refuse(struct way *w, struct problem *p)
{
    conn_skip(w->r.conn, BOUND_BODY_MAX);
    answer_problem(&w->r, p, NULL, NULL);
}

/* ---- a model's answer ---- */

struct model_way {
    struct caller caller;
    struct buf body;
    struct buf with_preset; /* the body with what its alias says before it; empty if that is nothing */
    struct buf fitted;      /* the body that is sent instead of either; empty if that is the same */
    struct chat chat;
    struct plan plan;
    struct reuse reuse;
    struct flight *flight; /* that this request leads; NULL: none */
    struct ticket ticket;
    struct outcome out;
    bool settled;          /* its row is written */
};

/* The request as its alias completes it. */
static enum weir_err take_preset(struct way *w, struct model_way *m)
{
    struct problem *p = &m->out.problem;
    const struct model_row *row = snapshot_model(m->caller.snap, m->chat.alias);
    if (!row || (!row->system && !row->defaults)) return WEIR_OK;
    enum weir_err err = preset_write(row, &m->chat, &w->memory, &m->with_preset);
    if (err != WEIR_OK) return problem_set(p, err, NULL, NULL);
    return parse_chat(w->route->face, buf_all(&m->with_preset), &w->memory, &m->chat, p);
}

static enum weir_err read_chat(struct way *w, struct model_way *m)
{
    struct problem *p = &m->out.problem;
    enum weir_err err = parse_content_type(w->r.content_type, p);
    if (err == WEIR_OK) err = request_body(&w->r, (size_t)m->caller.snap->settings.max_body, &m->body, p);
    if (err == WEIR_OK) err = parse_chat(w->route->face, buf_all(&m->body), &w->memory, &m->chat, p);
    return err == WEIR_OK ? take_preset(w, m) : err;
}

/* What came may be longer than what is sent: the rest of the way sees the latter. */
static enum weir_err fit(struct way *w, struct model_way *m)
{
    struct problem *p = &m->out.problem;
    const struct model_row *model = snapshot_model(m->caller.snap, m->chat.alias);
    enum weir_err err = trim_chat(model, w->g->tools.book.experience, &w->memory, &m->chat, &m->fitted, &w->r.context, p);
    bool is_long = m->chat.is_long;
    if (err != WEIR_OK || !m->fitted.len) return err;
    err = parse_chat(w->route->face, buf_all(&m->fitted), &w->memory, &m->chat, p);
    m->chat.is_long = is_long;
    return err;
}

static void refused(struct model_way *m, enum weir_err err)
{
    m->out.status = weir_err_info(err)->status;
    m->out.end = err == WEIR_GONE ? END_CANCELLED : m->out.status < 500 ? END_REFUSED : END_FAILED;
    m->out.requests = m->ticket.grant.requests;
    m->out.tokens = m->ticket.grant.tokens;
}

/* Counting asks no provider, so it holds nothing: it is an estimate, and a row that says so. */
static enum weir_err count(struct way *w, struct model_way *m)
{
    struct problem *p = &m->out.problem;
    struct estimate e;
    enum weir_err err = read_chat(w, m);
    if (err == WEIR_OK) err = plan_model(&m->caller, &m->chat, &w->memory, &m->plan, p);
    if (err != WEIR_OK) return err;
    estimate_request(&m->chat, m->plan.model, w->g->tools.book.experience, &e);
    buf_init(&m->out.body, 64);
    buf_printf(&m->out.body, "{\"input_tokens\":%lld}", (long long)e.prompt_estimate);
    m->out.status = 200;
    return m->out.body.err ? problem_set(p, m->out.body.err, NULL, NULL) : WEIR_OK;
}

/* ---- an answer that is there already, or on its way to another ---- */

#define FLIGHT_ROUNDS 3 /* so many leaders may fail; then everyone fetches for himself, all at once */

/* The outcome is somebody else's answer: it cost nothing. False: memory is out. */
static bool borrow(struct way *w, struct model_way *m, const struct keep_head *h, const char *how)
{
    static const struct price nothing = {.known = true};
    struct provider_row *provider = arena_alloc(&w->memory, sizeof *provider);
    struct target *target = arena_alloc(&w->memory, sizeof *target);
    if (!provider || !target) return false;
    *provider = (struct provider_row){.name = h->provider};
    *target = (struct target){.provider = provider, .model = h->model, .price = &nothing};
    m->out.target = target;
    w->r.cache = h->stale_since ? "stale" : how;
    if (h->stale_since) w->r.cache_age_s = (clock_wall_ms() - h->stale_since) / 1000;
    return true;
}

static void ask_only(struct way *w, const struct model_way *m, struct ledger_ask *ask)
{
    admit_ask_only(&w->r, &m->caller, w->route->endpoint, &m->chat, m->plan.model, m->out.target, ask);
}

/* Counts it, and writes its row, in one step; in two where its content is kept, which is sealed for its ticket. */
static enum weir_err book_borrowed(struct way *w, struct model_way *m)
{
    struct ledger_ask ask;
    struct ledger_refusal refusal;
    struct problem *p = &m->out.problem;
    const struct book *b = &w->g->tools.book;
    if (m->ticket.grant.ticket) return WEIR_OK; /* from when it waited, or tried */
    ask_only(w, m, &ask);
    if (m->caller.snap->settings.content != CONTENT_NONE) return admit_only(b, &ask, &m->ticket, p);
    enum weir_err err = settle_at_once(b, &w->r, &m->caller, w->route->endpoint, &m->chat, &m->plan, &ask, &m->out,
                                       &w->memory, &m->ticket.grant, &refusal);
    if (err != WEIR_OK) return problem_set(p, err, NULL, NULL);
    m->settled = m->ticket.grant.ticket > 0;
    return m->settled ? WEIR_OK : refusal_problem(&refusal, p);
}

static void forget(struct outcome *o)
{
    buf_free(&o->body);
    buf_free(&o->tail);
}

/* The answer as this caller wants it, into the outcome. False: it cannot be told so. */
static bool retell(struct way *w, struct model_way *m, const struct keep_form *form, struct span kept)
{
    struct outcome *o = &m->out;
    struct buf *to = m->chat.stream ? &o->tail : &o->body;
    buf_init(&o->body, BOUND_ANSWER);
    buf_init(&o->tail, BOUND_ANSWER);
    struct retelling *t = retell_new(&m->chat, form, w->r.id, clock_wall_ms() / 1000, &w->memory);
    bool told = t && retell_end(t, kept, to);
    retell_free(t);
    if (!told) forget(o);
    return told;
}

static void told_whole(struct way *w, struct model_way *m)
{
    m->out.end = END_OK;
    m->out.status = 200;
    m->out.first_byte_ms = clock_mono_ms() - w->r.begun_mono_ms;
    m->out.requests = m->ticket.grant.requests;
    m->out.tokens = m->ticket.grant.tokens;
}

static void begin_stream(struct way *w, struct model_way *m)
{
    if (!m->chat.stream) return;
    m->out.begun = true;
    answer_stream_begin(&w->r, &m->out);
}

/* Of an entry of the cache. WEIR_NOT_FOUND: it cannot be told to this caller. */
static enum weir_err give_kept(struct way *w, struct model_way *m, const char *how)
{
    const struct cache_entry *e = &m->reuse.entry;
    const struct keep_form form = keep_form_unpack(e->form);
    const struct keep_head head = {.form = form, .provider = e->provider, .model = e->model};
    if (!retell(w, m, &form, e->body)) return WEIR_NOT_FOUND;
    if (!borrow(w, m, &head, how)) return problem_set(&m->out.problem, WEIR_NOMEM, NULL, NULL);
    w->r.cache_age_s = (clock_wall_ms() - e->created) / 1000;
    told_whole(w, m);
    enum weir_err err = book_borrowed(w, m);
    if (err != WEIR_OK) forget(&m->out);
    else begin_stream(w, m);
    return err;
}

/* Who waits is a request in flight like any other: it is counted before, once for all that it waits for. */
static enum weir_err enter(struct way *w, struct model_way *m)
{
    struct ledger_ask ask;
    enum weir_err err = WEIR_OK;
    ask_only(w, m, &ask);
    if (!m->ticket.grant.ticket) err = admit_only(&w->g->tools.book, &ask, &m->ticket, &m->out.problem);
    m->out.requests = m->ticket.grant.requests;
    m->out.tokens = m->ticket.grant.tokens;
    return err;
}

/* Nothing came of waiting: what is fetched is admitted for what it may use. */
static void give_up(struct way *w, struct model_way *m)
{
    if (m->ticket.grant.ticket) book_release(&w->g->tools.book, m->ticket.grant.ticket);
    m->ticket = (struct ticket){0};
}

/* Reads along. JOINED_FAILED: as if nothing had been; otherwise *err and the outcome say how it went. */
static enum joined follow(struct way *w, struct model_way *m, struct flight *f, enum weir_err *err)
{
    struct outcome *o = &m->out;
    struct join j = {.r = &w->r, .chat = &m->chat, .settings = &m->caller.snap->settings, .memory = &w->memory, .flight = f,
                     .stop_fd = w->g->tools.stop_fd, .is_cgi = w->g->tools.is_cgi};
    w->r.cache = "joined";
    if ((*err = enter(w, m)) != WEIR_OK) return JOINED;
    buf_init(&o->body, BOUND_ANSWER);
    buf_init(&o->tail, BOUND_ANSWER);
    enum joined how = join_wait(&j, o);
    if (how == JOINED && !borrow(w, m, &j.head, "joined")) how = JOINED_FAILED;
    if (how == JOINED) how = m->chat.stream ? join_stream(&j, o) : join_plain(&j, o);
    if (how != JOINED_FAILED) return how;
    forget(o);
    o->target = NULL;
    return how;
}

/* True: the request has its outcome, or *err. Otherwise it has to be fetched, and m->flight may be to be led. */
static bool take_along(struct way *w, struct model_way *m, enum weir_err *err)
{
    char name[CACHE_FLIGHT_NAME];
    struct flight *f;
    bool leads;
    cache_flight_name(&m->reuse, name);
    for (int round = 0; round < FLIGHT_ROUNDS && flight_join(w->g->tools.flights, name, &leads, &f) == WEIR_OK; round++) {
        if (!leads) {
            enum joined how = follow(w, m, f, err);
            flight_leave(f);
            if (how != JOINED_FAILED) return true;
            continue;
        }
        if (!cache_find(w->g->tools.cache, &m->reuse, &w->memory)) {
            m->flight = f;
            break;
        }
        flight_leave(f); /* somebody's has come between the first look and now */
        *err = give_kept(w, m, "hit");
        if (*err != WEIR_NOT_FOUND) return true;
        break;
    }
    give_up(w, m);
    return false;
}

/* ---- an answer that is fetched ---- */

static bool has_failed(const struct outcome *o)
{
    bool passing = o->status >= 500 || o->status == 429 || o->status == 408;
    return o->end == END_FAILED && !o->begun && passing;
}

/* Where everything has failed, an answer that has expired is better than none, if the alias says so. */
static enum weir_err give_stale(struct way *w, struct model_way *m, enum weir_err err)
{
    const struct cache_entry *e = &m->reuse.entry;
    const struct keep_form form = keep_form_unpack(e->form);
    const struct keep_head head = {.form = form, .provider = e->provider, .model = e->model, .stale_since = e->created};
    bool failed = err == WEIR_OK ? has_failed(&m->out) : err == WEIR_UNAVAILABLE;
    struct outcome before = m->out;
    if (!failed || !m->reuse.found || m->reuse.stale_ms <= 0) return err;
    if (!retell(w, m, &form, e->body) || !borrow(w, m, &head, "stale")) {
        forget(&m->out);
        m->out = before;
        return err;
    }
    forget(&before);
    told_whole(w, m);
    if (m->flight) {
        keep_tell_head(m->flight, &head);
        flight_end(m->flight, e->body);
    }
    err = book_borrowed(w, m);
    if (err != WEIR_OK) forget(&m->out);
    else begin_stream(w, m);
    return err;
}

static void leave(struct model_way *m)
{
    flight_leave(m->flight);
    m->flight = NULL;
}

static enum weir_err fetch(struct way *w, struct model_way *m)
{
    const struct relay_tools *tools = &w->g->tools;
    struct problem *p = &m->out.problem;
    w->r.cache = m->reuse.stores ? "miss" : NULL;
    enum weir_err err = plan_targets(&m->caller, &m->chat, tools->pulse, &w->memory, &m->plan, p);
    if (err == WEIR_OK && http_client_is_gone(conn_watch_fd(w->r.conn))) err = problem_set(p, WEIR_GONE, NULL, NULL);
    if (err == WEIR_OK) err = admit(&tools->book, &w->r, &m->caller, w->route->endpoint, &m->chat, &m->plan, &m->ticket, p);
    if (err == WEIR_OK && m->ticket.grant.clamped) leave(m); /* what this budget cuts short is not what others asked for */
    if (err == WEIR_OK && m->reuse.stores) w->r.keep = keep_new(m->flight, BOUND_CACHED, &w->memory);
    if (err == WEIR_OK) relay_run(tools, &w->r, &m->caller, &m->chat, &m->plan, &m->ticket, &w->memory, &m->out);
    if (w->r.keep) {
        cache_store(tools->cache, &m->reuse, w->r.keep, m->plan.model, m->caller.snap->settings.cache_max_bytes);
        keep_close(w->r.keep);
        w->r.keep->flight = NULL;
    }
    err = give_stale(w, m, err);
    leave(m);
    return err;
}

/* ---- the whole ---- */

/* From the body to an outcome; the first failure is that. */
static enum weir_err find_answer(struct way *w, struct model_way *m)
{
    struct problem *p = &m->out.problem;
    enum weir_err err = read_chat(w, m);
    if (err == WEIR_OK) err = parse_maximum(&m->chat, p);
    if (err == WEIR_OK) err = fit(w, m);
    if (err == WEIR_OK) err = plan_model(&m->caller, &m->chat, &w->memory, &m->plan, p);
    conn_skip(w->r.conn, BOUND_BODY_MAX);
    if (err != WEIR_OK) return err;
    if (m->chat.stream && m->caller.snap->settings.content == CONTENT_ALL)
        w->r.record = record_new(BOUND_CONTENT, &w->memory);
    cache_name_request(&w->r, &m->caller, &m->chat, m->plan.model, &w->memory, &m->reuse);
    if (cache_find(w->g->tools.cache, &m->reuse, &w->memory)) err = give_kept(w, m, "hit");
    if (m->reuse.fresh && err != WEIR_NOT_FOUND) return err;
    err = WEIR_OK;
    if (m->reuse.looks && !m->reuse.fresh && take_along(w, m, &err)) return err;
    return fetch(w, m);
}

static void answer_model(struct way *w, struct model_way *m)
{
    if (!m->settled)
        settle(&w->g->tools.book, &w->r, &m->caller, w->route->endpoint, &m->chat, &m->plan, &m->ticket, &m->out,
               &w->memory);
    if (m->out.end != END_CANCELLED) answer_outcome(&w->r, &m->out);
    conn_end(w->r.conn);
    relay_end(&m->out);
}

/* ask: relays; otherwise the tokens are counted. */
static void serve_model(struct way *w, struct model_way *m, bool ask)
{
    struct problem *p = &m->out.problem;
    /* Whoever may ask may count. */
    const char *endpoint = ask ? w->route->endpoint : "/v1/messages";
    enum weir_err err = authenticate(&w->g->gate, &w->r, endpoint, &w->memory, &m->caller, p);
    if (!m->caller.known) {
        refuse(w, p);
        return;
    }
    if (err == WEIR_OK && !book_is_able(&w->g->tools.book)) err = problem_set(p, WEIR_STORAGE, NULL, NULL);
    if (err == WEIR_OK) err = ask ? find_answer(w, m) : count(w, m);
    if (err == WEIR_STORAGE) { /* nothing can be written, so nothing was sent, and there is no row */
        refuse(w, p);
        return;
    }
    conn_skip(w->r.conn, BOUND_BODY_MAX);
    if (err != WEIR_OK) refused(m, err);
    answer_model(w, m);
}

static void serve(struct way *w, bool ask)
{
    struct model_way m = {.out = {.first_byte_ms = -1}};
    buf_init(&m.body, BOUND_BODY_MAX + 1);
    buf_init(&m.with_preset, 2 * BOUND_BODY_MAX);
    buf_init(&m.fitted, 2 * BOUND_BODY_MAX);
    writer_enter(store_writer(w->g->tools.book.store));
    serve_model(w, &m, ask);
    writer_leave(store_writer(w->g->tools.book.store));
    buf_free(&m.body);
    buf_free(&m.with_preset);
    buf_free(&m.fitted);
    snapshot_release(m.caller.snap);
}

static void model_call(struct way *w) { serve(w, true); }

static void count_tokens(struct way *w) { serve(w, false); }

/* ---- the models a caller may use ---- */

/* In OpenAI's form, or in Anthropic's. */
static void model_object(const struct model_row *m, bool anthropic, struct buf *out)
{
    char created[TIME_TEXT];
    buf_str(out, "{\"id\":");
    json_string(out, span_of(m->alias));
    if (!anthropic) {
        buf_printf(out, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"weir\"}", (long long)(m->created / 1000));
        return;
    }
    time_text(m->created, created);
    buf_str(out, ",\"type\":\"model\",\"display_name\":");
    json_string(out, span_of(m->alias));
    buf_printf(out, ",\"created_at\":\"%s\"}", created);
}

/* All in one page, whatever was asked for. */
static void list_models(const struct caller *c, bool anthropic, struct buf *out)
{
    const char *first = NULL, *last = NULL;
    buf_str(out, anthropic ? "{\"data\":[" : "{\"object\":\"list\",\"data\":[");
    for (int i = 0; i < c->snap->model_count; i++) {
        const struct model_row *m = &c->snap->models[i];
        if (!key_allows_model(&c->key, span_of(m->alias))) continue;
        if (first) buf_char(out, ',');
        model_object(m, anthropic, out);
        if (!first) first = m->alias;
        last = m->alias;
    }
    buf_char(out, ']');
    if (anthropic) {
        buf_str(out, ",\"has_more\":false,\"first_id\":");
        json_string(out, span_of(first));
        buf_str(out, ",\"last_id\":");
        json_string(out, span_of(last));
    }
    buf_char(out, '}');
}

static enum weir_err find_model(const struct caller *c, struct span id, bool anthropic, struct buf *out, struct problem *p)
{
    const struct model_row *m = snapshot_model(c->snap, id);
    if (m && key_allows_model(&c->key, id)) {
        model_object(m, anthropic, out);
        return WEIR_OK;
    }
    return problem_set(p, WEIR_MODEL_UNKNOWN, "model", "The model \"%.*s\" does not exist.", (int)text_cut(id, 100), id.at);
}

static void models(struct way *w, struct span id)
{
    struct caller c;
    struct problem p = {0};
    struct buf body;
    buf_init(&body, BOUND_ANSWER);
    enum weir_err err = authenticate(&w->g->gate, &w->r, NULL, &w->memory, &c, &p);
    if (err == WEIR_OK && id.at) err = find_model(&c, id, w->r.is_anthropic, &body, &p);
    else if (err == WEIR_OK) list_models(&c, w->r.is_anthropic, &body);
    if (err == WEIR_OK && body.err) err = problem_set(&p, body.err, NULL, NULL);
    if (err == WEIR_OK) answer_json(&w->r, 200, buf_all(&body), NULL, NULL);
    else refuse(w, &p);
    buf_free(&body);
    snapshot_release(c.snap);
}

static void model_list(struct way *w) { models(w, SPAN_NONE); }

static void model_one(struct way *w)
{
    size_t n = strlen(w->route->path);
    models(w, (struct span){w->r.path.at + n, w->r.path.len - n});
}

/* ---- a caller's own limits ---- */

static void own_usage(struct way *w)
{
    struct caller c;
    struct problem p = {0};
    struct buf body;
    buf_init(&body, BOUND_ANSWER);
    enum weir_err err = authenticate(&w->g->gate, &w->r, NULL, &w->memory, &c, &p);
    if (err == WEIR_OK && (err = usage_report(w->g->tools.book.store, &w->r, &c, &body)) != WEIR_OK)
        problem_set(&p, err, NULL, NULL);
    if (err == WEIR_OK) answer_json(&w->r, 200, buf_all(&body), NULL, NULL);
    else refuse(w, &p);
    buf_free(&body);
    snapshot_release(c.snap);
}

/* ---- is it there, and does it work ---- */

static void alive(struct way *w)
{
    answer_json(&w->r, 200, SPAN("{\"status\":\"ok\",\"service\":\"weir\",\"version\":\"" WEIR_VERSION "\"}"), NULL, NULL);
}

/* With one of its keys, if it has any. */
static bool is_usable(const struct target_row *t, const struct health_map *map)
{
    const struct provider_row *p = t->provider;
    int64_t now = clock_wall_ms(), until;
    bool usable = !p->key_count && health_may(map, p->name, t->model, NULL, now, &until) <= HEALTH_CLAIM;
    for (int i = 0; i < p->key_count; i++)
        usable |= health_may(map, p->name, t->model, p->keys[i].name, now, &until) <= HEALTH_CLAIM;
    return usable && dialect_find(p->dialect);
}

static const char *unready(const struct gateway *g)
{
    struct snapshot *snap;
    struct arena none;
    int usable = 0;
    if (!book_is_able(&g->tools.book)) return "{\"status\":\"unready\",\"reason\":\"the database cannot be written\"}";
    arena_init(&none);
    if (store_look(g->tools.book.store, NULL, &none, &snap, NULL) != WEIR_OK)
        return "{\"status\":\"unready\",\"reason\":\"the database cannot be read\"}";
    struct health_map *map = pulse_hold(g->tools.pulse);
    for (int i = 0; i < snap->model_count; i++)
        for (int t = 0; t < snap->models[i].target_count; t++)
            usable += is_usable(&snap->models[i].targets[t], map);
    health_release(map);
    snapshot_release(snap);
    return usable ? NULL : "{\"status\":\"unready\",\"reason\":\"no model has a provider that can be used\"}";
}

static void ready(struct way *w)
{
    const char *why = unready(w->g);
    if (why) answer_json(&w->r, 503, span_of(why), NULL, NULL);
    else answer_json(&w->r, 200, SPAN("{\"status\":\"ready\"}"), NULL, NULL);
}

/* ---- one request ---- */

/* Anthropic's SDKs name their version in every call; what OpenAI's faces answer does not depend on it. */
static bool is_anthropic(const struct request *r, const struct route *e)
{
    return e && e->posts ? e->face == FACE_MESSAGES : r->anthropic_version != NULL;
}

static void dispatch(struct way *w)
{
    struct problem p = {0};
    const struct route *e = w->route = w->r.path_is_bad ? NULL : route_of(w->r.path);
    w->r.is_anthropic = is_anthropic(&w->r, e);
    if (w->r.path_is_bad) {
        problem_set(&p, WEIR_INVALID, NULL, "The address cannot be read: it has a bad escape, or is longer than %d bytes.",
                    BOUND_PATH);
        refuse(w, &p);
    } else if (!e) {
        problem_set(&p, WEIR_NOT_FOUND, NULL, NULL);
        refuse(w, &p);
    } else if (w->r.method == METHOD_OPTIONS) {
        conn_skip(w->r.conn, BOUND_BODY_MAX);
        answer_options(&w->r, allowed(e));
    } else if (!is_allowed(e, w->r.method)) {
        problem_set(&p, WEIR_METHOD, NULL, "This address takes %s.", allowed(e));
        conn_skip(w->r.conn, BOUND_BODY_MAX);
        answer_problem(&w->r, &p, NULL, allowed(e));
    } else {
        e->run(w);
    }
}

void pipeline_run(const struct gateway *g, struct conn *conn)
{
    struct way w = {.g = g};
    arena_init(&w.memory);
    bool begun = conn_begin(conn) == WEIR_OK;
    if (begun && request_read(conn, g->mount, g->ids, &w.memory, &w.r) == WEIR_OK) {
        if (w.r.origin) cors_decide(g->tools.book.store, &w.r);
        dispatch(&w);
    } else if (begun) {
        conn_write_no_memory(conn, w.r.id);
    }
    if (begun) conn_skip(conn, BOUND_BODY_MAX);
    conn_end(conn);
    arena_end(&w.memory);
}

void pipeline_overloaded(const struct gateway *g, struct conn *conn)
{
    struct request r;
    struct arena memory;
    struct problem p = {.retry_after_s = 1};
    arena_init(&memory);
    if (conn_begin(conn) == WEIR_OK && request_read(conn, g->mount, g->ids, &memory, &r) == WEIR_OK) {
        r.is_anthropic = is_anthropic(&r, r.path_is_bad ? NULL : route_of(r.path));
        problem_set(&p, WEIR_OVERLOADED, NULL, NULL);
        p.retry_after_s = 1;
        conn_skip(conn, BOUND_BODY_MAX);
        answer_problem(&r, &p, NULL, NULL);
    }
    conn_end(conn);
    arena_end(&memory);
}
