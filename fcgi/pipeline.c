/* The table of all routes, and who answers which. */
#include "fcgi/pipeline.h"

#include "fcgi/base/text.h"
#include "fcgi/model_call.h"
#include "fcgi/stage/answer.h"
#include "fcgi/stage/authenticate.h"
#include "fcgi/stage/cors.h"
#include "fcgi/stage/models.h"
#include "fcgi/stage/ready.h"
#include "fcgi/stage/request.h"
#include "fcgi/stage/usage.h"

#define SHOWN_PATH 80 /* bytes of an unknown path in its 404 */

struct route;
struct way { const struct gateway *g; struct place *place; struct request r; const struct route *route; };

static void end(void *way);
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
    void (*run)(struct way *w); /* ends it too, at once or later */
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

/* ---- models ---- */

static void call(struct way *w, bool counts)
{
    model_call_run(w->g, &w->r, w->route->face, w->route->endpoint, counts, &w->place->memory, end, w);
}

static void model_call(struct way *w) { call(w, false); }
static void count_tokens(struct way *w) { call(w, true); }

/* ---- what a caller may look at ---- */

/* Authenticates, has the body written, and answers with it. */
static void look(struct way *w, struct span id, enum weir_err (*write)(struct way *, const struct caller *, struct span,
                                                                       struct buf *, struct problem *))
{
    struct caller c;
    struct problem p = {0};
    struct buf body;
    buf_init(&body, BOUND_ANSWER);
    enum weir_err err = authenticate(&w->g->gate, &w->r, NULL, &w->place->memory, &c, &p);
    if (err == WEIR_OK) err = write(w, &c, id, &body, &p);
    if (err == WEIR_OK && body.err) err = problem_set(&p, body.err, NULL, NULL);
    if (err == WEIR_OK) answer_json(&w->r, 200, buf_all(&body), NULL, NULL);
    else answer_problem(&w->r, &p, NULL);
    buf_free(&body);
    snapshot_release(c.snap);
    end(w);
}

static enum weir_err write_models(struct way *w, const struct caller *c, struct span id, struct buf *body, struct problem *p)
{
    if (id.at) return models_find(c, id, w->r.is_anthropic, body, p);
    models_list(c, w->r.is_anthropic, body);
    return WEIR_OK;
}

static enum weir_err write_usage(struct way *w, const struct caller *c, struct span id, struct buf *body, struct problem *p)
{
    (void)id;
    enum weir_err err = usage_report(w->g->tools.book.store, &w->r, c, body);
    return err == WEIR_OK ? WEIR_OK : problem_set(p, err, NULL, NULL);
}

static void model_list(struct way *w) { look(w, SPAN_NONE, write_models); }

static void model_one(struct way *w)
{
    size_t n = strlen(w->route->path);
    look(w, (struct span){w->r.path.at + n, w->r.path.len - n}, write_models);
}

static void own_usage(struct way *w) { look(w, SPAN_NONE, write_usage); }

/* ---- is it there, and does it work ---- */

static void alive(struct way *w)
{
    answer_json(&w->r, 200, SPAN("{\"status\":\"ok\",\"service\":\"weir\",\"version\":\"" WEIR_VERSION "\"}"), NULL, NULL);
    end(w);
}

static void ready(struct way *w)
{
    const char *why = unready(&w->g->tools.book, w->g->tools.pulse);
    if (why) answer_json(&w->r, 503, span_of(why), NULL, NULL);
    else answer_json(&w->r, 200, SPAN("{\"status\":\"ready\"}"), NULL, NULL);
    end(w);
}

/* ---- one request ---- */

/* Anthropic's SDKs name their version in every call; what OpenAI's faces answer does not depend on it. */
static bool is_anthropic(const struct request *r, const struct route *e)
{
    return e && e->posts ? e->face == FACE_MESSAGES : r->anthropic_version != NULL;
}

/* A mistyped address is what everybody has first. */
static void answer_not_found(struct way *w)
{
    struct problem p;
    struct buf there;
    buf_init(&there, 512);
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (strncmp(routes[i].path, "/v1/", 4) == 0 && !routes[i].prefix)
            buf_printf(&there, "%s%s", there.len ? ", " : "", routes[i].path);
    problem_set(&p, WEIR_NOT_FOUND, NULL, "There is nothing at %.*s here; there are %s.",
                (int)text_cut(w->r.path, SHOWN_PATH), w->r.path.at, buf_cstr(&there));
    buf_free(&there);
    answer_problem(&w->r, &p, NULL);
}

static void refuse(struct way *w, const struct route *e)
{
    struct problem p = {0};
    if (w->r.path_is_bad) {
        problem_set(&p, WEIR_INVALID, NULL, "The address cannot be read: it has a bad escape, or is longer than %d bytes.",
                    BOUND_PATH);
        answer_problem(&w->r, &p, NULL);
    } else if (!e) {
        answer_not_found(w);
    } else if (w->r.method == METHOD_OPTIONS) {
        answer_options(&w->r, allowed(e));
    } else {
        problem_set(&p, WEIR_METHOD, NULL, "This address takes %s.", allowed(e));
        answer_problem(&w->r, &p, allowed(e));
    }
}

static void dispatch(struct way *w)
{
    const struct route *e = w->route = w->r.path_is_bad ? NULL : route_of(w->r.path);
    w->r.is_anthropic = is_anthropic(&w->r, e);
    if (e && is_allowed(e, w->r.method)) {
        e->run(w);
        return;
    }
    refuse(w, e);
    end(w);
}

static void end(void *way)
{
    struct way *w = way;
    places_give(w->g->places, w->place); /* and w with it */
}

static bool read_request(const struct gateway *g, struct place *at, struct request *r)
{
    *r = (struct request){.conn = at->conn};
    enum weir_err err = conn_begin(at->conn);
    if (err == WEIR_OK) err = request_read(at->conn, g->mount, g->ids, &at->memory, r);
    if (err != WEIR_OK && err != WEIR_IO) conn_write_no_memory(at->conn, r->id);
    return err == WEIR_OK;
}

void pipeline_run(const struct gateway *g, struct place *place)
{
    struct way *w = arena_alloc(&place->memory, sizeof *w); /* there is always room for that */
    w->g = g;
    w->place = place;
    if (read_request(g, place, &w->r)) {
        if (w->r.origin) cors_decide(g->tools.book.store, &w->r);
        dispatch(w);
    } else {
        end(w);
    }
}

void pipeline_overloaded(const struct gateway *g, struct place *place)
{
    struct request r;
    struct problem p = {.retry_after_s = 1};
    if (read_request(g, place, &r)) {
        r.is_anthropic = is_anthropic(&r, r.path_is_bad ? NULL : route_of(r.path));
        problem_set(&p, WEIR_OVERLOADED, NULL, NULL);
        p.retry_after_s = 1;
        answer_problem(&r, &p, NULL);
    }
    places_give(g->places, place);
}
