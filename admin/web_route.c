/* The way of a request through the administrators' responder, and the table of all its routes. */
#include "admin/web.h"

#include <unistd.h>

#include "admin/web_answer.h"
#include "admin/web_authenticate.h"
#include "admin/web_budget.h"
#include "fcgi/base/log.h"
#include "sql/vault.h"

#define BUSY_MS 5000 /* writers queue on their lock; only a checkpoint is waited for here */

/* ---- every route at a glance ---- */

static const struct route {
    const char *path;
    enum web_method method; /* GET: HEAD too */
    enum admin_role least;
    /* Writes a JSON answer, or says in w->problem why there is none. */
    enum weir_err (*run)(struct web_way *w, struct buf *out);
} routes[] = {
    {"/config/budget", WEB_GET, ADMIN_VIEWER, web_budget_show},
    {"/config/budget", WEB_POST, ADMIN_OPERATOR, web_budget_set},
};
#define ROUTES (sizeof routes / sizeof *routes)

/* The route; or NULL, and *allow is what the path takes, "" if there is no such path. */
static const struct route *route_of(const struct web_request *r, const char **allow)
{
    enum web_method method = r->method == WEB_HEAD ? WEB_GET : r->method;
    bool gets = false, posts = false;
    const struct route *found = NULL;
    for (const struct route *e = routes; e < routes + ROUTES; e++) {
        if (!span_is(r->path, e->path)) continue;
        gets |= e->method == WEB_GET;
        posts |= e->method == WEB_POST;
        if (e->method == method) found = e;
    }
    *allow = gets && posts ? "GET, HEAD, POST, OPTIONS" : gets ? "GET, HEAD, OPTIONS" : posts ? "POST, OPTIONS" : "";
    return found;
}

/* ---- one request ---- */

static void refuse(struct web_way *w, const char *allow)
{
    conn_skip(w->r.conn, BOUND_BODY_MAX);
    web_answer_problem(&w->r, &w->problem, allow);
}

static enum weir_err open_db(const struct web *web, struct db **db, struct problem *p)
{
    if (*db && db_has_moved(*db)) {
        db_close(*db);
        *db = NULL;
    }
    if (*db) return WEIR_OK;
    /* Opened for writing it would be made anew; what was put in its place must be of this program's schema. */
    enum weir_err err = access(web->db_path, F_OK) != 0 ? WEIR_NOT_FOUND
                                                        : db_open(web->db_path, DB_WRITE, BUSY_MS, &sql_admin, db);
    if (err == WEIR_OK && db_schema(*db) == db_schema_newest()) return WEIR_OK;
    if (err == WEIR_OK) {
        err = WEIR_CORRUPT;
        db_close(*db);
    }
    *db = NULL;
    log_event(LOG_ERROR, "database_not_opened", LOG_TEXT("file", web->db_path),
              LOG_TEXT("reason", err == WEIR_NOT_FOUND ? "it is not there" : weir_err_info(err)->text));
    return problem_set(p, WEIR_STORAGE, NULL, "The gateway's database cannot be opened.");
}

/* What a request seals or opens, it does under the master key of its time. */
static enum weir_err renew_master(const struct web *web, struct db *db, struct problem *p)
{
    enum weir_err err = vault_renew(db, web->master_path, web->master);
    if (err == WEIR_OK) return WEIR_OK;
    if (err == WEIR_STORAGE || err == WEIR_BUSY || err == WEIR_NOMEM) return problem_set(p, err, NULL, NULL);
    log_event(LOG_ERROR, "master_key_unusable", LOG_TEXT("file", web->master_path),
              LOG_TEXT("reason", weir_err_info(err)->text), LOG_TEXT("database", db_message(db)));
    return problem_set(p, WEIR_INTERNAL, NULL, "The gateway's master key cannot be used.");
}

/* What a store's error means to an administrator. */
static void say_in_administrators_words(struct problem *p)
{
    if (p->err == WEIR_BUSY) {
        problem_set(p, WEIR_OVERLOADED, NULL, "The database is busy; nothing was changed. Try again.");
        p->retry_after_s = 1;
    } else if (p->err == WEIR_STORAGE && !*p->text) {
        problem_set(p, WEIR_STORAGE, NULL, "The database cannot be written; nothing was changed.");
    }
}

static void run_route(struct web_way *w, const struct route *e, struct db **db)
{
    struct buf out;
    buf_init(&out, BOUND_ANSWER);
    enum weir_err err = open_db(w->web, db, &w->problem);
    w->db = *db;
    if (err == WEIR_OK) err = renew_master(w->web, *db, &w->problem);
    if (err == WEIR_OK) err = web_authenticate(w, e->least);
    if (err == WEIR_OK) err = e->run(w, &out);
    if (err == WEIR_OK && out.err) err = problem_set(&w->problem, out.err, NULL, NULL);
    conn_skip(w->r.conn, BOUND_BODY_MAX);
    if (err != WEIR_OK) say_in_administrators_words(&w->problem);
    if (err == WEIR_OK) web_answer_json(&w->r, buf_all(&out));
    else web_answer_problem(&w->r, &w->problem, NULL);
    buf_free(&out);
    conn_end(w->r.conn);
    web_note_use(w);
    if (*db && db_in_transaction(*db)) { /* what even a rollback could not end would keep all writers out */
        db_close(*db);
        *db = NULL;
    }
}

static void dispatch(struct web_way *w, struct db **db)
{
    const char *allow = "";
    const struct route *e = w->r.path_is_bad ? NULL : route_of(&w->r, &allow);
    if (w->r.path_is_bad) {
        problem_set(&w->problem, WEIR_INVALID, NULL,
                    "The address cannot be read: it has a bad escape, or is longer than %d bytes.", BOUND_PATH);
        refuse(w, NULL);
    } else if (e) {
        run_route(w, e, db);
    } else if (!*allow) {
        problem_set(&w->problem, WEIR_NOT_FOUND, NULL, NULL);
        refuse(w, NULL);
    } else if (w->r.method == WEB_OPTIONS) {
        conn_skip(w->r.conn, BOUND_BODY_MAX);
        web_answer_options(&w->r, allow);
    } else {
        problem_set(&w->problem, WEIR_METHOD, NULL, "This address takes %s.", allow);
        refuse(w, allow);
    }
}

void web_run(const struct web *web, struct db **db, struct conn *conn)
{
    struct web_way w = {.web = web};
    arena_init(&w.memory);
    bool begun = conn_begin(conn) == WEIR_OK;
    if (begun && web_request_read(conn, web->mount, web->ids, &w.memory, &w.r) == WEIR_OK) dispatch(&w, db);
    else if (begun) conn_write_no_memory(conn, w.r.id);
    conn_end(conn);
    arena_end(&w.memory);
}
