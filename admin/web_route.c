/* The way of a request through the administrators' responder, and the table of all its routes. */
#include "admin/web.h"

#include <unistd.h>

#include "admin/api.h"
#include "admin/page.h"
#include "admin/session.h"
#include "admin/web_authenticate.h"
#include "admin/web_budget.h"
#include "admin/web_sync.h"
#include "fcgi/base/log.h"
#include "fcgi/base/text.h"
#include "sql/vault.h"

#define SHOWN_PATH 80 /* bytes of an unknown path in its 404 */
#define BUSY_MS 5000 /* writers queue on their lock; only a checkpoint is waited for here */

/* ---- every route at a glance ---- */

/* JSON: keys and sessions may come; errors in OpenAI's form. PAGE: sessions only; errors are pages. OPEN: a page for
 * everybody. FREE: a page for whoever has a session, even before the password was changed. */
enum face { JSON, PAGE, OPEN, FREE };

static const struct route {
    const char *path;
    enum web_method method; /* GET: HEAD too */
    enum face face;
    enum admin_role least;
    /* Writes the answer's body, or says in w->problem why there is none. */
    enum weir_err (*run)(struct web_way *w, struct buf *out);
} routes[] = {
    {"/config/budget", WEB_GET, JSON, ADMIN_VIEWER, web_budget_show},
    {"/config/budget", WEB_POST, JSON, ADMIN_OPERATOR, web_budget_set},
    {"/sync/openai-limits", WEB_GET, JSON, ADMIN_OPERATOR, web_sync},
    {"/sync/openai-limits", WEB_POST, JSON, ADMIN_OPERATOR, web_sync},

    {"/admin", WEB_GET, OPEN, ADMIN_VIEWER, page_home},
    {"/admin/", WEB_GET, OPEN, ADMIN_VIEWER, page_home},
    {"/admin/login", WEB_GET, OPEN, ADMIN_VIEWER, page_login},
    {"/admin/login", WEB_POST, OPEN, ADMIN_VIEWER, page_login_do},
    {"/admin/login-code", WEB_POST, OPEN, ADMIN_VIEWER, page_login_code_do},
    {"/admin/logout", WEB_POST, FREE, ADMIN_VIEWER, page_logout_do},
    {"/admin/password", WEB_GET, FREE, ADMIN_VIEWER, page_password},
    {"/admin/password", WEB_POST, FREE, ADMIN_VIEWER, page_password_do},

    {"/admin/code", WEB_GET, PAGE, ADMIN_VIEWER, page_code},
    {"/admin/code", WEB_POST, PAGE, ADMIN_VIEWER, page_code_do},
    {"/admin/code-end", WEB_POST, PAGE, ADMIN_VIEWER, page_code_end_do},
    {"/admin/overview", WEB_GET, PAGE, ADMIN_VIEWER, page_overview},
    {"/admin/budgets", WEB_GET, PAGE, ADMIN_VIEWER, page_budgets},
    {"/admin/budget", WEB_GET, PAGE, ADMIN_OPERATOR, page_budget},
    {"/admin/budget", WEB_POST, PAGE, ADMIN_OPERATOR, page_budget_do},
    {"/admin/budget-reset", WEB_POST, PAGE, ADMIN_OPERATOR, page_budget_reset_do},
    {"/admin/budget-remove", WEB_POST, PAGE, ADMIN_OPERATOR, page_budget_remove_do},
    {"/admin/what-if", WEB_GET, PAGE, ADMIN_VIEWER, page_what_if},
    {"/admin/keys", WEB_GET, PAGE, ADMIN_VIEWER, page_keys},
    {"/admin/key", WEB_GET, PAGE, ADMIN_OPERATOR, page_key},
    {"/admin/key", WEB_POST, PAGE, ADMIN_OPERATOR, page_key_do},
    {"/admin/key-rotate", WEB_POST, PAGE, ADMIN_OPERATOR, page_key_rotate_do},
    {"/admin/key-revoke", WEB_POST, PAGE, ADMIN_OPERATOR, page_key_revoke_do},
    {"/admin/verifiers", WEB_GET, PAGE, ADMIN_VIEWER, page_verifiers},
    {"/admin/verifier", WEB_GET, PAGE, ADMIN_ADMIN, page_verifier},
    {"/admin/verifier", WEB_POST, PAGE, ADMIN_ADMIN, page_verifier_do},
    {"/admin/verifier-remove", WEB_POST, PAGE, ADMIN_ADMIN, page_verifier_remove_do},
    {"/admin/providers", WEB_GET, PAGE, ADMIN_VIEWER, page_providers},
    {"/admin/provider", WEB_GET, PAGE, ADMIN_ADMIN, page_provider},
    {"/admin/provider", WEB_POST, PAGE, ADMIN_ADMIN, page_provider_do},
    {"/admin/provider-test", WEB_POST, PAGE, ADMIN_OPERATOR, page_provider_test_do},
    {"/admin/provider-breaker", WEB_POST, PAGE, ADMIN_OPERATOR, page_provider_breaker_do},
    {"/admin/provider-remove", WEB_POST, PAGE, ADMIN_ADMIN, page_provider_remove_do},
    {"/admin/provider-key-remove", WEB_POST, PAGE, ADMIN_ADMIN, page_provider_key_remove_do},
    {"/admin/models", WEB_GET, PAGE, ADMIN_VIEWER, page_models},
    {"/admin/model", WEB_GET, PAGE, ADMIN_ADMIN, page_model},
    {"/admin/model", WEB_POST, PAGE, ADMIN_ADMIN, page_model_do},
    {"/admin/model-remove", WEB_POST, PAGE, ADMIN_ADMIN, page_model_remove_do},
    {"/admin/cache", WEB_GET, PAGE, ADMIN_VIEWER, page_cache},
    {"/admin/cache-clear", WEB_POST, PAGE, ADMIN_OPERATOR, page_cache_clear_do},
    {"/admin/audit", WEB_GET, PAGE, ADMIN_VIEWER, page_audit},
    {"/admin/request", WEB_GET, PAGE, ADMIN_VIEWER, page_request},
    {"/admin/audit.csv", WEB_GET, PAGE, ADMIN_VIEWER, page_audit_csv},
    {"/admin/audit.jsonl", WEB_GET, PAGE, ADMIN_VIEWER, page_audit_jsonl},
    {"/admin/playground", WEB_GET, PAGE, ADMIN_VIEWER, page_playground},
    {"/admin/settings", WEB_GET, PAGE, ADMIN_VIEWER, page_settings},
    {"/admin/settings", WEB_POST, PAGE, ADMIN_ADMIN, page_settings_do},
    {"/admin/administrators", WEB_GET, PAGE, ADMIN_ADMIN, page_administrators},
    {"/admin/administrator-add", WEB_POST, PAGE, ADMIN_ADMIN, page_administrator_add_do},
    {"/admin/administrator-reset", WEB_POST, PAGE, ADMIN_ADMIN, page_administrator_reset_do},
    {"/admin/administrator-role", WEB_POST, PAGE, ADMIN_ADMIN, page_administrator_role_do},
    {"/admin/administrator-disable", WEB_POST, PAGE, ADMIN_ADMIN, page_administrator_disable_do},
    {"/admin/administrator-enable", WEB_POST, PAGE, ADMIN_ADMIN, page_administrator_enable_do},
    {"/admin/admin-key-add", WEB_POST, PAGE, ADMIN_ADMIN, page_admin_key_add_do},
    {"/admin/admin-key-revoke", WEB_POST, PAGE, ADMIN_ADMIN, page_admin_key_revoke_do},
    {"/admin/changes", WEB_GET, PAGE, ADMIN_VIEWER, page_changes},

    {"/admin/api/v1/limits", WEB_GET, JSON, ADMIN_VIEWER, api_limits},
    {"/admin/api/v1/limits", WEB_PUT, JSON, ADMIN_OPERATOR, api_limit_put},
    {"/admin/api/v1/limits", WEB_DELETE, JSON, ADMIN_OPERATOR, api_limit_delete},
    {"/admin/api/v1/limits/reset", WEB_POST, JSON, ADMIN_OPERATOR, api_limit_reset},
    {"/admin/api/v1/what-if", WEB_GET, JSON, ADMIN_VIEWER, api_what_if},
    {"/admin/api/v1/keys", WEB_GET, JSON, ADMIN_VIEWER, api_keys},
    {"/admin/api/v1/keys", WEB_PUT, JSON, ADMIN_OPERATOR, api_key_put},
    {"/admin/api/v1/keys/rotate", WEB_POST, JSON, ADMIN_OPERATOR, api_key_rotate},
    {"/admin/api/v1/keys/revoke", WEB_POST, JSON, ADMIN_OPERATOR, api_key_revoke},
    {"/admin/api/v1/jwt", WEB_GET, JSON, ADMIN_VIEWER, api_jwt},
    {"/admin/api/v1/jwt", WEB_PUT, JSON, ADMIN_ADMIN, api_jwt_put},
    {"/admin/api/v1/jwt", WEB_DELETE, JSON, ADMIN_ADMIN, api_jwt_delete},
    {"/admin/api/v1/providers", WEB_GET, JSON, ADMIN_VIEWER, api_providers},
    {"/admin/api/v1/providers", WEB_PUT, JSON, ADMIN_ADMIN, api_provider_put},
    {"/admin/api/v1/providers", WEB_DELETE, JSON, ADMIN_ADMIN, api_provider_delete},
    {"/admin/api/v1/providers/key", WEB_DELETE, JSON, ADMIN_ADMIN, api_provider_key_delete},
    {"/admin/api/v1/providers/breaker", WEB_POST, JSON, ADMIN_OPERATOR, api_provider_breaker},
    {"/admin/api/v1/providers/test", WEB_POST, JSON, ADMIN_OPERATOR, api_provider_test},
    {"/admin/api/v1/models", WEB_GET, JSON, ADMIN_VIEWER, api_models},
    {"/admin/api/v1/models", WEB_PUT, JSON, ADMIN_ADMIN, api_model_put},
    {"/admin/api/v1/models", WEB_DELETE, JSON, ADMIN_ADMIN, api_model_delete},
    {"/admin/api/v1/cache", WEB_GET, JSON, ADMIN_VIEWER, api_cache},
    {"/admin/api/v1/cache", WEB_DELETE, JSON, ADMIN_OPERATOR, api_cache_clear},
    {"/admin/api/v1/settings", WEB_GET, JSON, ADMIN_VIEWER, api_settings},
    {"/admin/api/v1/settings", WEB_PUT, JSON, ADMIN_ADMIN, api_settings_put},
    {"/admin/api/v1/document", WEB_PUT, JSON, ADMIN_ADMIN, api_document_put},
    {"/admin/api/v1/audit", WEB_GET, JSON, ADMIN_VIEWER, api_audit},
    {"/admin/api/v1/usage", WEB_GET, JSON, ADMIN_VIEWER, api_usage},
    {"/admin/api/v1/changes", WEB_GET, JSON, ADMIN_VIEWER, api_changes},
    {"/admin/api/v1/administrators", WEB_GET, JSON, ADMIN_ADMIN, api_administrators},
    {"/admin/api/v1/administrators", WEB_POST, JSON, ADMIN_ADMIN, api_administrator_add},
    {"/admin/api/v1/administrators/reset", WEB_POST, JSON, ADMIN_ADMIN, api_administrator_reset},
    {"/admin/api/v1/administrators/role", WEB_POST, JSON, ADMIN_ADMIN, api_administrator_role},
    {"/admin/api/v1/administrators/disable", WEB_POST, JSON, ADMIN_ADMIN, api_administrator_disable},
    {"/admin/api/v1/administrators/enable", WEB_POST, JSON, ADMIN_ADMIN, api_administrator_enable},
    {"/admin/api/v1/admin-keys", WEB_GET, JSON, ADMIN_ADMIN, api_admin_keys},
    {"/admin/api/v1/admin-keys", WEB_POST, JSON, ADMIN_ADMIN, api_admin_key_add},
    {"/admin/api/v1/admin-keys/revoke", WEB_POST, JSON, ADMIN_ADMIN, api_admin_key_revoke},
};
#define ROUTES (sizeof routes / sizeof *routes)

/* The route; or NULL, and allow is what the path takes, "" if there is no such path. */
static const struct route *route_of(const struct web_request *r, char allow[64])
{
    static const char *const names[] = {[WEB_GET] = "GET, HEAD, ", [WEB_POST] = "POST, ", [WEB_PUT] = "PUT, ",
                                        [WEB_DELETE] = "DELETE, "};
    enum web_method method = r->method == WEB_HEAD ? WEB_GET : r->method;
    const struct route *found = NULL;
    char *end = allow;
    for (const struct route *e = routes; e < routes + ROUTES; e++) {
        if (!span_is(r->path, e->path)) continue;
        end = stpncpy(end, names[e->method], (size_t)(allow + 64 - sizeof "OPTIONS" - end)); /* all of them fit */
        if (e->method == method) found = e;
    }
    if (end > allow) memcpy(end, "OPTIONS", sizeof "OPTIONS");
    else *allow = '\0';
    return found;
}

/* ---- one request ---- */

struct manager web_manager(struct web_way *w)
{
    return (struct manager){.data_dir = w->web->data_dir, .db_path = w->web->db_path, .db = w->db, .master = w->web->master,
                            .by = {w->who.name ? w->who.name : "", w->who.key ? "key" : "page", w->r.id},
                                .memory = &w->memory};
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

/* What even a rollback could not end would keep all writers out. */
static void let_go_of_stuck(struct db **db)
{
    if (!*db || !db_in_transaction(*db)) return;
    db_close(*db);
    *db = NULL;
}

/* ---- pages ---- */

static enum weir_err read_form(struct web_way *w)
{
    struct buf body;
    buf_init(&body, BOUND_ADMIN_BODY + 1);
    enum weir_err err = web_request_form(&w->r, &body, &w->problem);
    if (err == WEIR_OK) err = form_read(buf_all(&body), &w->memory, &w->form, &w->problem);
    buf_free(&body);
    return err;
}

/* Who asks for a page. *run is replaced where another page must be answered first. */
static enum weir_err page_enter(struct web_way *w, const struct route *e,
                                enum weir_err (**run)(struct web_way *w, struct buf *out))
{
    enum weir_err err = session_enter(w);
    if (err == WEIR_UNAUTHENTICATED && e->face == OPEN) err = WEIR_OK;
    if (err == WEIR_UNAUTHENTICATED && e->method == WEB_GET) {
        *run = page_login_first;
        return WEIR_OK;
    }
    if (err == WEIR_UNAUTHENTICATED)
        return problem_set(&w->problem, err, NULL, "You are not logged in any more, so nothing was changed. Log in, and "
                           "try again.");
    if (err != WEIR_OK) return problem_set(&w->problem, err, NULL, NULL);
    if (w->who.must_change && e->face == PAGE) *run = page_password_first;
    if (w->who.name && w->who.role < e->least)
        return problem_set(&w->problem, WEIR_ROLE_FORBIDDEN, NULL, "Your role is %s; this takes %s.",
                           admin_role_names[w->who.role], admin_role_names[e->least]);
    return WEIR_OK;
}

static void run_page(struct web_way *w, const struct route *e, struct db **db)
{
    enum weir_err (*run)(struct web_way *w, struct buf *out) = e->run;
    struct buf out;
    buf_init(&out, BOUND_ANSWER);
    w->head.type = "text/html; charset=utf-8";
    enum weir_err err = open_db(w->web, db, &w->problem);
    w->db = *db;
    if (err == WEIR_OK) err = renew_master(w->web, *db, &w->problem);
    if (err == WEIR_OK) err = page_enter(w, e, &run);
    if (err == WEIR_OK) err = form_read(w->r.query, &w->memory, &w->query, &w->problem);
    if (err == WEIR_OK && e->method == WEB_POST) err = read_form(w);
    if (err == WEIR_OK && e->method == WEB_POST) err = session_check_csrf(w, form_get(&w->form, "csrf"));
    if (err == WEIR_OK) err = run(w, &out);
    if (err == WEIR_OK && out.err) err = problem_set(&w->problem, out.err, NULL, NULL);
    if (err != WEIR_OK && !w->problem.err) problem_set(&w->problem, err, NULL, NULL);
    if (err != WEIR_OK) say_in_administrators_words(&w->problem);
    if (err != WEIR_OK && !w->sent) page_problem(w, &out);
    if (!w->sent) web_answer(&w->r, &w->head, buf_all(&out));
    buf_free(&out);
    conn_end(w->r.conn);
    session_note_use(w);
    let_go_of_stuck(db);
}

/* ---- JSON ---- */

static void run_json(struct web_way *w, const struct route *e, struct db **db)
{
    struct buf out;
    buf_init(&out, BOUND_ANSWER);
    enum weir_err err = open_db(w->web, db, &w->problem);
    w->db = *db;
    if (err == WEIR_OK) err = renew_master(w->web, *db, &w->problem);
    if (err == WEIR_OK) err = web_authenticate(w, e->least);
    if (err == WEIR_OK) err = e->run(w, &out);
    if (err == WEIR_OK && out.err) err = problem_set(&w->problem, out.err, NULL, NULL);
    if (err != WEIR_OK && !w->problem.err) problem_set(&w->problem, err, NULL, NULL);
    if (err != WEIR_OK) say_in_administrators_words(&w->problem);
    if (err == WEIR_OK && !w->sent) web_answer(&w->r, &w->head, buf_all(&out));
    else if (!w->sent) web_answer_problem(&w->r, &w->problem, NULL);
    buf_free(&out);
    conn_end(w->r.conn);
    web_note_use(w);
    let_go_of_stuck(db);
}

/* ---- addresses that are none ---- */

static enum weir_err page_none(struct web_way *w, struct buf *out)
{
    (void)out;
    return problem_set(&w->problem, WEIR_NOT_FOUND, NULL, "There is no page at this address.");
}

static bool is_page(const struct web_request *r)
{
    return span_starts(r->path, "/admin/") && !span_starts(r->path, "/admin/api") &&
           (r->method == WEB_GET || r->method == WEB_HEAD);
}

static void answer_refusal(struct web_way *w, const char *allow)
{
    web_answer_problem(&w->r, &w->problem, allow);
}

static void dispatch(struct web_way *w, struct db **db)
{
    static const struct route none = {"", WEB_GET, OPEN, ADMIN_VIEWER, page_none};
    char allow[64] = "";
    const struct route *e = w->r.path_is_bad ? NULL : route_of(&w->r, allow);
    if (w->r.path_is_bad) {
        problem_set(&w->problem, WEIR_INVALID, NULL,
                    "The address cannot be read: it has a bad escape, or is longer than %d bytes.", BOUND_PATH);
        answer_refusal(w, NULL);
    } else if (e) {
        if (e->face == JSON) run_json(w, e, db);
        else run_page(w, e, db);
    } else if (!*allow && is_page(&w->r)) {
        run_page(w, &none, db);
    } else if (!*allow) {
        problem_set(&w->problem, WEIR_NOT_FOUND, NULL, "There is nothing at %.*s here; /docs says what there is.",
                    (int)text_cut(w->r.path, SHOWN_PATH), w->r.path.at);
        answer_refusal(w, NULL);
    } else if (w->r.method == WEB_OPTIONS) {
        web_answer_options(&w->r, allow);
    } else {
        problem_set(&w->problem, WEIR_METHOD, NULL, "This address takes %s.", allow);
        answer_refusal(w, allow);
    }
}

void web_run(const struct web *web, struct db **db, struct conn *conn)
{
    struct web_way w = {.web = web};
    arena_init(&w.memory);
    enum weir_err err = conn_begin(conn);
    if (err == WEIR_OK && web_request_read(conn, web->mount, web->ids, &w.memory, &w.r) == WEIR_OK) dispatch(&w, db);
    else if (err != WEIR_IO) conn_write_no_memory(conn, w.r.id);
    conn_end(conn);
    arena_end(&w.memory);
}
