/* Log-in, log-out, one's own password. What is wrong with a log-in is never said; how long the next has to wait is. */
#include "admin/page.h"

#include <unistd.h>

#include "admin/session.h"
#include "fcgi/base/forwarded.h"
#include "fcgi/base/log.h"
#include "sql/list.h"
#include "sql/settings.h"
#include "sql/writer.h"

/* ---- where from ---- */

static bool is_proxy(const void *list, struct span address) { return list_has_range(list, address); }

/* Behind a proxy that is trusted the slow-down is for the client, not for all who come through it. The arena's. */
static enum weir_err client_of(struct web_way *w, const char **ip)
{
    struct settings s;
    char text[IP_TEXT];
    enum weir_err err = settings_load(w->db, &w->memory, &s);
    if (err != WEIR_OK) return err;
    const struct proxies proxies = {is_proxy, s.trusted_proxies};
    const struct web_header *many = &w->r.forwarded_for, *standard = &w->r.forwarded;
    bool told = s.trusted_proxies && many->times <= 1 && standard->times <= 1; /* given twice it is the client's own */
    forwarded_client(span_of(w->r.ip), told ? span_of(many->value) : SPAN_NONE, told ? span_of(standard->value) : SPAN_NONE,
                     told ? &proxies : NULL, text);
    *ip = arena_str(&w->memory, span_of(text));
    return *ip ? WEIR_OK : WEIR_NOMEM;
}

/* ---- log-in ---- */

static enum weir_err write_login(struct web_way *w, struct buf *out, const char *next)
{
    static const struct input name = {.name = "name", .label = "Name", .type = "text", .required = true},
                              password = {.name = "password", .label = "Password", .type = "password", .required = true};
    char csrf[48];
    enum weir_err err = WEIR_OK;
    if (w->who.administrator) memcpy(csrf, w->who.csrf, sizeof csrf); /* somebody who changes who they are */
    else err = session_visitor(w, csrf);
    if (err != WEIR_OK) return err;
    page_start(w, out, "Log in", NULL);
    if (*w->fault.text) HTML(out, "<p class=\"fault\" role=\"alert\">{}.</p>\n", H_TEXT(w->fault.text));
    HTML(out, "<form method=\"post\" action=\"login\" class=\"fields\">\n");
    page_hidden(out, "csrf", csrf);
    page_hidden(out, "next", next);
    page_input(w, out, &w->form, &name);
    page_input(w, out, &w->form, &password);
    page_form_end(out, "Log in");
    HTML(out, "<p class=\"faint\">The first administrator's password was shown by <code>weir init</code>. Lost? "
              "<code>weir admin password NAME</code> on the machine makes a new one.</p>\n");
    page_end(out);
    return WEIR_OK;
}

enum weir_err page_login(struct web_way *w, struct buf *out)
{
    return write_login(w, out, form_text(&w->query, "next"));
}

/* A page was asked for by nobody known: after the log-in it comes. */
enum weir_err page_login_first(struct web_way *w, struct buf *out)
{
    static const char before[] = "/admin/";
    struct span page = {w->r.path.at + sizeof before - 1, w->r.path.len - (sizeof before - 1)};
    char *next = arena_printf(&w->memory, "%.*s%s%.*s", (int)page.len, page.at, w->r.query.len ? "?" : "",
                              (int)w->r.query.len,
                              w->r.query.len ? w->r.query.at : "");
    return next ? write_login(w, out, next) : WEIR_NOMEM;
}

/* A page of ours with its query: no slash and no colon, so it leads nowhere else. */
static bool next_is_fine(const char *next)
{
    static const char fine[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~?=&%+*";
    return *next >= 'a' && *next <= 'z' && strlen(next) <= BOUND_PATH && next[strspn(next, fine)] == '\0' &&
           strncmp(next, "log", 3) != 0;
}

static enum weir_err count_failure(struct web_way *w, const char *name)
{
    int lock = writer_lock(w->web->data_dir);
    enum weir_err err = lock < 0 ? WEIR_BUSY : login_failed(w->db, name, w->r.ip, w->r.begun_wall_ms, &w->memory);
    if (lock >= 0) close(lock);
    log_event(LOG_WARN, "login_failed", LOG_TEXT("name", name), LOG_TEXT("ip", w->r.ip), LOG_TEXT("request_id", w->r.id));
    return err;
}

static enum weir_err forget_failures(struct web_way *w, const char *name)
{
    int lock = writer_lock(w->web->data_dir);
    enum weir_err err = lock < 0 ? WEIR_BUSY : login_succeeded(w->db, name, w->r.ip, &w->memory);
    if (lock >= 0) close(lock);
    return err;
}

static enum weir_err refuse_login(struct web_way *w, struct buf *out, int64_t wait_ms)
{
    int64_t s = (wait_ms + 999) / 1000;
    if (s) {
        page_refuse(w, NULL, "There were too many failed log-ins. Try again in %lld seconds", (long long)s);
        w->head.status = 429;
        w->head.retry_after_s = (int)s;
    } else {
        page_refuse(w, NULL, "No administrator has this name and password");
        w->head.status = 401;
    }
    return write_login(w, out, form_text(&w->form, "next"));
}

enum weir_err page_login_do(struct web_way *w, struct buf *out)
{
    const char *name = form_text(&w->form, "name"), *password = form_text(&w->form, "password"),
               *next = form_text(&w->form, "next");
    struct administrator a = {0};
    int64_t wait_ms = 0;
    if (strlen(name) > BOUND_NAME || strlen(password) > BOUND_PATH) return refuse_login(w, out, 0);
    enum weir_err err = client_of(w, &w->r.ip);
    if (err == WEIR_OK) err = login_wait(w->db, name, w->r.ip, w->r.begun_wall_ms, &w->memory, &wait_ms);
    if (err != WEIR_OK) return err;
    if (wait_ms) return refuse_login(w, out, wait_ms);
    err = administrator_find(w->db, span_of(name), &w->memory, &a);
    if (err != WEIR_OK && err != WEIR_NOT_FOUND) return err;
    /* who is not known costs as long as who is */
    if (!password_fits(a.id && !a.disabled ? a.password : NULL, span_of(password))) {
        err = count_failure(w, name);
        return err == WEIR_OK ? refuse_login(w, out, 0) : err;
    }
    if ((err = forget_failures(w, name)) != WEIR_OK || (err = session_begin(w, &a)) != WEIR_OK) return err;
    log_event(LOG_INFO, "logged_in", LOG_TEXT("name", a.name), LOG_TEXT("ip", w->r.ip), LOG_TEXT("request_id", w->r.id));
    w->who.name = a.name;
    return page_go(w, next_is_fine(next) ? next : "overview", NULL, NULL);
}

enum weir_err page_logout_do(struct web_way *w, struct buf *out)
{
    bool everywhere = form_get(&w->form, "everywhere") != NULL;
    enum weir_err err = session_leave(w, everywhere);
    (void)out;
    return err == WEIR_OK ? page_go(w, "login", everywhere ? "logged-out-everywhere" : "logged-out", NULL) : err;
}

/* ---- one's own password ---- */

static enum weir_err write_password(struct web_way *w, struct buf *out)
{
    static const struct input fields[] = {
        {.name = "old", .label = "Present password", .type = "password", .required = true},
        {.name = "new", .label = "New password", .type = "password", .required = true,
         .hint = "At least 12 characters. A few words in a row are good and easy to keep."},
        {.name = "again", .label = "New password again", .type = "password", .required = true},
    };
    page_start(w, out, "Password", w->who.must_change ? NULL : "");
    if (w->who.must_change)
        HTML(out, "<p class=\"note\">Somebody else knows this password. Choose one of your own before anything else.</p>\n");
    page_fault(w, out);
    page_form_start(w, out, "password");
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) page_input(w, out, &w->form, &fields[i]);
    page_form_end(out, "Change the password");
    HTML(out, "<h2>Log-ins</h2>\n<form method=\"post\" action=\"logout\">");
    page_hidden(out, "csrf", w->who.csrf);
    page_hidden(out, "everywhere", "1");
    HTML(out, "<p>You are logged in for at most 12 hours, and until an hour has passed without a page.</p>"
              "<div class=\"actions\"><button class=\"plain\">Log out everywhere</button></div></form>\n");
    page_end(out);
    return WEIR_OK;
}

enum weir_err page_password(struct web_way *w, struct buf *out) { return write_password(w, out); }
enum weir_err page_password_first(struct web_way *w, struct buf *out) { return write_password(w, out); }

enum weir_err page_password_do(struct web_way *w, struct buf *out)
{
    const char *old = form_text(&w->form, "old"), *password = form_text(&w->form, "new");
    const char *fault = password_fault(w->who.name, password);
    struct manager m = web_manager(w);
    struct administrator a;
    int64_t wait_ms = 0;
    enum weir_err err = client_of(w, &w->r.ip);
    if (err == WEIR_OK) err = login_wait(w->db, w->who.name, w->r.ip, w->r.begun_wall_ms, &w->memory, &wait_ms);
    if (err == WEIR_OK) err = administrator_find(w->db, span_of(w->who.name), &w->memory, &a);
    if (err != WEIR_OK) return err;
    if (fault) return page_refuse(w, "new", "%s", fault), write_password(w, out);
    if (strcmp(password, form_text(&w->form, "again")) != 0)
        return page_refuse(w, "again", "is not the same as the new password"), write_password(w, out);
    if (wait_ms) return page_refuse(w, "old", "was wrong too often; try again in a while"), write_password(w, out);
    if (strlen(old) > BOUND_PATH || !password_fits(a.password, span_of(old))) {
        if ((err = count_failure(w, w->who.name)) != WEIR_OK) return err;
        return page_refuse(w, "old", "is not your present password"), write_password(w, out);
    }
    if (strcmp(old, password) == 0) return page_refuse(w, "new", "is the old one"), write_password(w, out);
    if ((err = manage_own_password(&m, w->who.name, password)) != WEIR_OK) return err;
    if ((err = session_begin(w, &a)) != WEIR_OK) return err; /* all sessions have ended, this one too */
    return page_go(w, "overview", "password-changed", NULL);
}
