/* Log-in, log-out, one's own password and one-time codes. What is wrong with a log-in is never said; how long the next has
 * to wait is. */
#include "admin/page.h"

#include <unistd.h>

#include "admin/session.h"
#include "admin/totp.h"
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

static enum weir_err csrf_of(struct web_way *w, char csrf[48])
{
    if (!w->who.administrator) return session_visitor(w, csrf);
    memcpy(csrf, w->who.csrf, 48); /* somebody who changes who they are */
    return WEIR_OK;
}

static enum weir_err write_login(struct web_way *w, struct buf *out, const char *next)
{
    static const struct input name = {.name = "name", .label = "Name", .type = "text", .required = true,
                                      .complete = "username"},
                              password = {.name = "password", .label = "Password", .type = "password", .required = true,
                                          .complete = "current-password"};
    char csrf[48];
    enum weir_err err = csrf_of(w, csrf);
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

static enum weir_err let_in(struct web_way *w, const struct administrator *a)
{
    const char *next = form_text(&w->form, "next");
    enum weir_err err = forget_failures(w, a->name);
    if (err == WEIR_OK) err = session_begin(w, a);
    if (err != WEIR_OK) return err;
    log_event(LOG_INFO, "logged_in", LOG_TEXT("name", a->name), LOG_TEXT("ip", w->r.ip), LOG_TEXT("request_id", w->r.id));
    w->who.name = a->name;
    return page_go(w, next_is_fine(next) ? next : "overview", NULL, NULL);
}

/* ---- the code behind the password ---- */

static const struct input code_input = {.name = "code", .label = "One-time code", .type = "text", .required = true,
                                        .complete = "one-time-code",
                                        .hint = "The six digits that your authenticator shows now."};

/* time: when the password was given. */
static enum weir_err write_code(struct web_way *w, struct buf *out, const struct administrator *a, int64_t time)
{
    static const struct form nothing = {0};
    char csrf[48], half[48];
    enum weir_err err = csrf_of(w, csrf);
    if (err != WEIR_OK) return err;
    session_half(w, csrf, a->id, time, half);
    page_start(w, out, "One-time code", NULL);
    HTML(out, "<form method=\"post\" action=\"login-code\" class=\"fields\">\n<input type=\"hidden\" name=\"time\" "
              "value=\"{}\">\n", H_INT(time));
    page_hidden(out, "csrf", csrf);
    page_hidden(out, "half", half);
    page_hidden(out, "name", a->name);
    page_hidden(out, "next", form_text(&w->form, "next"));
    page_input(w, out, &nothing, &code_input);
    page_form_end(out, "Log in");
    HTML(out, "<p class=\"faint\">The device is lost? <code>weir admin password NAME --no-code</code> on the machine does "
              "without it.</p>\n");
    page_end(out);
    return WEIR_OK;
}

/* A code that fits is taken: it fits no second time. */
static enum weir_err code_fits(struct web_way *w, const struct administrator *a, bool *fits)
{
    struct secret *secret = NULL;
    int64_t step = 0;
    char *identity = arena_printf(&w->memory, ADMINISTRATOR_BINDING "%s", a->name);
    enum weir_err err = identity ? secret_open(w->web->master, a->code, identity, &secret) : WEIR_NOMEM;
    if (err != WEIR_OK) return err;
    *fits = totp_fits(secret_reveal(secret), form_text(&w->form, "code"), w->r.begun_wall_ms, &step);
    secret_free(secret);
    if (!*fits) return WEIR_OK;
    int lock = writer_lock(w->web->data_dir);
    err = lock < 0 ? WEIR_BUSY : administrator_code_taken(w->db, a->id, step);
    if (lock >= 0) close(lock);
    *fits = err == WEIR_OK;
    return err == WEIR_EXISTS ? WEIR_OK : err;
}

enum weir_err page_login_do(struct web_way *w, struct buf *out)
{
    const char *name = form_text(&w->form, "name"), *password = form_text(&w->form, "password");
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
    return a.code.at ? write_code(w, out, &a, w->r.begun_wall_ms) : let_in(w, &a);
}

enum weir_err page_login_code_do(struct web_way *w, struct buf *out)
{
    const char *name = form_text(&w->form, "name");
    int64_t time = form_int(&w->form, "time", 0, INT64_MAX, 0), wait_ms = 0;
    struct administrator a = {0};
    bool fits = false;
    if (strlen(name) > BOUND_NAME) return refuse_login(w, out, 0);
    enum weir_err err = client_of(w, &w->r.ip);
    if (err == WEIR_OK) err = login_wait(w->db, name, w->r.ip, w->r.begun_wall_ms, &w->memory, &wait_ms);
    if (err == WEIR_OK && wait_ms) return refuse_login(w, out, wait_ms);
    if (err == WEIR_OK) err = administrator_find(w->db, span_of(name), &w->memory, &a);
    if (err == WEIR_NOT_FOUND || (err == WEIR_OK && (a.disabled || !a.code.at ||
                                                     !session_is_half(w, a.id, time, form_text(&w->form, "half")))))
        return refuse_login(w, out, 0);
    if (err == WEIR_OK) err = code_fits(w, &a, &fits);
    if (err == WEIR_OK && fits) return let_in(w, &a);
    if (err == WEIR_OK) err = count_failure(w, name);
    if (err != WEIR_OK) return err;
    page_refuse(w, "code", "is not the code of now, or was used before");
    w->head.status = 401;
    return write_code(w, out, &a, time);
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
        {.name = "old", .label = "Present password", .type = "password", .required = true, .complete = "current-password"},
        {.name = "new", .label = "New password", .type = "password", .required = true, .complete = "new-password",
         .hint = "At least 12 characters. A few words in a row are good and easy to keep."},
        {.name = "again", .label = "New password again", .type = "password", .required = true, .complete = "new-password"},
    };
    page_start(w, out, "Password", w->who.must_change ? NULL : "");
    if (w->who.must_change)
        HTML(out, "<p class=\"note\">Somebody else knows this password. Choose one of your own before anything else.</p>\n");
    page_fault(w, out);
    page_form_start(w, out, "password");
    /* for password managers: whose password it is */
    HTML(out, "<div class=\"hidden\" aria-hidden=\"true\"><input type=\"text\" name=\"username\" value=\"{}\" "
              "autocomplete=\"username\" readonly tabindex=\"-1\"></div>\n", H_TEXT(w->who.name));
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) page_input(w, out, &w->form, &fields[i]);
    page_form_end(out, "Change the password");
    if (!w->who.must_change)
        HTML(out, "<p>A log-in can ask for a code of your authenticator too: <a href=\"code\">one-time codes</a>.</p>\n");
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

/* Is field "old" the present password? *fine false: w->fault says so. */
static enum weir_err check_own_password(struct web_way *w, struct administrator *a, bool *fine)
{
    const char *old = form_text(&w->form, "old");
    int64_t wait_ms = 0;
    *fine = false;
    enum weir_err err = client_of(w, &w->r.ip);
    if (err == WEIR_OK) err = login_wait(w->db, w->who.name, w->r.ip, w->r.begun_wall_ms, &w->memory, &wait_ms);
    if (err == WEIR_OK) err = administrator_find(w->db, span_of(w->who.name), &w->memory, a);
    if (err != WEIR_OK) return err;
    if (wait_ms) return page_refuse(w, "old", "was wrong too often; try again in a while");
    *fine = strlen(old) <= BOUND_PATH && password_fits(a->password, span_of(old));
    if (*fine) return WEIR_OK;
    page_refuse(w, "old", "is not your present password");
    return count_failure(w, w->who.name);
}

enum weir_err page_password_do(struct web_way *w, struct buf *out)
{
    const char *password = form_text(&w->form, "new"), *fault = password_fault(w->who.name, password);
    struct manager m = web_manager(w);
    struct administrator a;
    bool fine;
    if (fault) return page_refuse(w, "new", "%s", fault), write_password(w, out);
    if (strcmp(password, form_text(&w->form, "again")) != 0)
        return page_refuse(w, "again", "is not the same as the new password"), write_password(w, out);
    enum weir_err err = check_own_password(w, &a, &fine);
    if (err != WEIR_OK) return err;
    if (!fine) return write_password(w, out);
    if (strcmp(form_text(&w->form, "old"), password) == 0)
        return page_refuse(w, "new", "is the old one"), write_password(w, out);
    if ((err = manage_own_password(&m, w->who.name, password)) != WEIR_OK) return err;
    if ((err = session_begin(w, &a)) != WEIR_OK) return err; /* all sessions have ended, this one too */
    return page_go(w, "overview", "password-changed", NULL);
}

/* ---- one's own one-time codes ---- */

static const struct input password_input = {.name = "old", .label = "Present password", .type = "password",
                                            .required = true, .complete = "current-password"};

/* secret: base32, in a form that is filled in. */
static void write_begin(struct web_way *w, struct buf *out, const char *secret)
{
    HTML(out, "<p>An authenticator on another device (Aegis, FreeOTP, a password manager) makes a code of six digits from a "
              "secret and the time. Give it this secret, or the address below it, then type the code it shows.</p>\n"
              "<p class=\"secret\"><code id=\"secret\">{}</code> "
              "<button class=\"plain\" type=\"button\" data-copy=\"secret\" hidden>Copy</button></p>\n"
              "<p><code>otpauth://totp/Weir:{}?secret={}&amp;issuer=Weir</code></p>\n", H_TEXT(secret), H_ARG(w->who.name),
         H_TEXT(secret));
    page_form_start(w, out, "code");
    page_hidden(out, "secret", secret);
    page_input(w, out, &w->form, &password_input);
    page_input(w, out, &w->form, &code_input);
    page_form_end(out, "Ask for codes from now on");
}

static enum weir_err write_own_code(struct web_way *w, struct buf *out)
{
    const char *given = form_text(&w->form, "secret");
    unsigned char key[TOTP_KEY];
    char made[TOTP_TEXT + 1];
    struct administrator a;
    enum weir_err err = administrator_find(w->db, span_of(w->who.name), &w->memory, &a);
    if (err != WEIR_OK) return err;
    page_start(w, out, "One-time codes", "");
    page_fault(w, out);
    totp_make(made);
    if (a.code.at) {
        HTML(out, "<p>Each log-in of yours asks for a code.</p>\n");
        page_form_start(w, out, "code-end");
        page_input(w, out, &w->form, &password_input);
        page_form_end(out, "Ask for none any more");
    } else {
        write_begin(w, out, totp_read(given, key) ? given : made);
    }
    page_end(out);
    secret_wipe(made, sizeof made);
    secret_wipe(key, sizeof key);
    return WEIR_OK;
}

enum weir_err page_code(struct web_way *w, struct buf *out) { return write_own_code(w, out); }

enum weir_err page_code_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    struct administrator a;
    unsigned char key[TOTP_KEY];
    int64_t step = 0;
    bool fine;
    if (!totp_read(form_text(&w->form, "secret"), key))
        return page_refuse(w, NULL, "This secret cannot be read; here is another"), write_own_code(w, out);
    enum weir_err err = check_own_password(w, &a, &fine);
    if (err == WEIR_OK && fine && a.code.at)
        err = problem_set(&w->problem, WEIR_INVALID, NULL, "Your log-ins ask for codes already.");
    if (err == WEIR_OK && fine && !totp_fits((struct span){(const char *)key, TOTP_KEY}, form_text(&w->form, "code"),
                                             w->r.begun_wall_ms, &step)) {
        page_refuse(w, "code", "is not what this secret gives now; is the device's clock right?");
        fine = false;
    }
    if (err == WEIR_OK && fine) err = manage_own_code(&m, a.name, (struct span){(const char *)key, TOTP_KEY}, step);
    secret_wipe(key, sizeof key);
    if (err != WEIR_OK) return err;
    if (!fine) return write_own_code(w, out);
    err = session_begin(w, &a); /* all sessions have ended, this one too */
    return err == WEIR_OK ? page_go(w, "password", "code-begun", NULL) : err;
}

enum weir_err page_code_end_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    struct administrator a;
    bool fine;
    enum weir_err err = check_own_password(w, &a, &fine);
    if (err != WEIR_OK) return err;
    if (!fine) return write_own_code(w, out);
    err = manage_own_code(&m, a.name, SPAN_NONE, 0);
    if (err == WEIR_OK) err = session_begin(w, &a);
    return err == WEIR_OK ? page_go(w, "password", "code-ended", NULL) : err;
}
