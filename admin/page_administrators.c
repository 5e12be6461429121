/* Administrators and the keys of their programs. */
#include "admin/page.h"

#include <stdio.h>

#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"

struct rows { struct web_way *w; struct buf *out; int count; int64_t now, last; };

/* ---- administrators ---- */

static void write_role_form(struct web_way *w, struct buf *out, const struct administrator *a)
{
    HTML(out, "<form method=\"post\" action=\"administrator-role\" class=\"inline\">");
    page_hidden(out, "csrf", w->who.csrf);
    page_hidden(out, "name", a->name);
    HTML(out, "<select name=\"role\" aria-label=\"Role of {}\">", H_TEXT(a->name));
    for (int i = 0; i < ADMIN_ROLE_COUNT; i++) {
        HTML(out, "<option");
        if (i == (int)a->role) HTML(out, " selected");
        HTML(out, ">{}</option>", H_TEXT(admin_role_names[i]));
    }
    HTML(out, "</select><button class=\"plain\">Set</button></form>");
}

static void write_administrator(const struct administrator *a, void *arg)
{
    struct rows *to = arg;
    struct buf *out = to->out;
    HTML(out, "<tr><th scope=\"row\">{}</th><td>", H_NAME(a->name));
    write_role_form(to->w, out, a);
    HTML(out, "</td><td>{}{}</td><td>{}</td><td>", H_TEXT(a->disabled ? "disabled" : a->must_change ? "has not chosen a "
              "password" : "active"), H_TEXT(a->code.at ? ", with one-time codes" : ""), H_TIME(a->last_login));
    page_button(to->w, out, "administrator-reset", "name", a->name, "New password");
    if (a->disabled) page_button(to->w, out, "administrator-enable", "name", a->name, "Enable");
    else page_button(to->w, out, "administrator-disable", "name", a->name, "Disable");
    HTML(out, "</td></tr>\n");
}

static void write_key(const struct admin_key *k, void *arg)
{
    struct rows *to = arg;
    struct buf *out = to->out;
    bool live = admin_key_is_live(k, to->now);
    if (!to->count++)
        HTML(out, "<div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">Key</th><th scope=\"col\">"
                  "Role</th><th "
                  "scope=\"col\">State</th><th scope=\"col\">Last used</th>"
                  "<th scope=\"col\">Expires</th><th scope=\"col\"><span class=\"hidden\">Actions</span></th></tr>"
                  "</thead><tbody>\n");
    HTML(out, "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>", H_NAME(k->name),
         H_TEXT(admin_role_names[k->role]),
         H_TEXT(live ? "active" : k->revoked ? "revoked" : "expired"), H_TIME(k->last_used), H_TIME(k->expires));
    if (live) page_button(to->w, out, "admin-key-revoke", "name", k->name, "Revoke");
    HTML(out, "</td></tr>\n");
}

static enum weir_err write_all(struct web_way *w, struct buf *out)
{
    static const struct input person[] = {
        {.name = "name", .label = "Name", .type = "text", .required = true},
        {.name = "role", .label = "Role", .type = "select", .choices = ADMIN_ROLES,
         .hint = "viewer looks; operator sets limits and keys too; admin does everything."},
    };
    static const struct input key[] = {
        {.name = "key", .label = "Name of the key", .type = "text", .required = true},
        {.name = "key_role", .label = "Role", .type = "select", .choices = ADMIN_ROLES},
        {.name = "key_expires", .label = "Expires after", .type = "text", .hint = "Like 90d; nothing: never."},
    };
    struct rows rows = {.w = w, .out = out, .now = clock_wall_ms()};
    page_start(w, out, "Administrators", "administrators");
    page_fault(w, out);
    HTML(out, "<div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">Name</th><th scope=\"col\">"
              "Role</th><th "
              "scope=\"col\">State</th><th scope=\"col\">Last log-in</th>"
              "<th scope=\"col\"><span class=\"hidden\">Actions</span></th></tr></thead><tbody>\n");
    enum weir_err err = administrators_each(w->db, write_administrator, &rows);
    HTML(out, "</tbody></table></div>\n<section><h2>Another administrator</h2>\n");
    page_form_start(w, out, "administrator-add");
    for (size_t i = 0; i < sizeof person / sizeof *person; i++) page_input(w, out, &w->form, &person[i]);
    page_form_end(out, "Add the administrator");
    HTML(out, "</section>\n<section><h2>Keys of programs</h2>\n<p>For <code>/config/budget</code> and <code>"
              "/admin/api/v1</code>.</p>\n");
    if (err == WEIR_OK) err = admin_keys_each(w->db, write_key, &rows);
    if (rows.count) HTML(out, "</tbody></table></div>\n");
    else page_empty(out, "No key yet.", "Make one for a script that sets budgets.");
    page_form_start(w, out, "admin-key-add");
    for (size_t i = 0; i < sizeof key / sizeof *key; i++) page_input(w, out, &w->form, &key[i]);
    page_form_end(out, "Make the key");
    HTML(out, "</section>\n");
    page_end(out);
    return err;
}

enum weir_err page_administrators(struct web_way *w, struct buf *out)
{
    return write_all(w, out);
}

static enum weir_err nobody_left(struct web_way *w)
{
    return problem_set(&w->problem, WEIR_INVALID, NULL, "Nobody would be left with the role admin who may log in, so "
                       "nothing was changed.");
}

enum weir_err page_administrator_add_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *name = form_text(&w->form, "name"), *fault = administrator_name_fault(name);
    char password[PASSWORD_MADE_LEN + 1];
    enum admin_role role;
    if (fault) return page_refuse(w, "name", "%s", fault), write_all(w, out);
    if (!admin_role_parse(span_of(form_text(&w->form, "role")), &role)) return page_refuse(w, "role",
        "must be one of " ADMIN_ROLES), write_all(w, out);
    enum weir_err err = manage_administrator_add(&m, name, role, password);
    if (err == WEIR_EXISTS) return page_refuse(w, "name", "is another administrator's"), write_all(w, out);
    if (err != WEIR_OK) return err;
    page_secret(w, out, "administrators", "The new administrator's password", name, password, "administrators");
    secret_wipe(password, sizeof password);
    return WEIR_OK;
}

enum weir_err page_administrator_reset_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *name = form_text(&w->form, "name");
    char password[PASSWORD_MADE_LEN + 1];
    if (page_confirm(w, out, "administrators", "A new password?",
                     "The old one ends, and with it every log-in of this administrator.", name,
                     "administrator-reset", "Make a new password"))
        return WEIR_OK;
    enum weir_err err = manage_administrator_reset(&m, name, password);
    if (err != WEIR_OK) return page_done(w, err, "administrator", NULL, NULL, NULL);
    page_secret(w, out, "administrators", "The administrator's new password", name, password, "administrators");
    secret_wipe(password, sizeof password);
    return WEIR_OK;
}

enum weir_err page_administrator_role_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *name = form_text(&w->form, "name");
    enum admin_role role;
    if (!admin_role_parse(span_of(form_text(&w->form, "role")), &role)) return page_refuse(w, "role",
        "must be one of " ADMIN_ROLES), write_all(w, out);
    enum weir_err err = manage_administrator_role(&m, name, role);
    if (err == WEIR_INVALID) return nobody_left(w);
    return page_done(w, err, "administrator", "administrators", "administrator-role", name);
}

enum weir_err page_administrator_disable_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *name = form_text(&w->form, "name");
    if (page_confirm(w, out, "administrators", "Disable this administrator?",
                     "Every log-in of theirs ends now. They can be enabled again.", name,
                     "administrator-disable", "Disable"))
        return WEIR_OK;
    enum weir_err err = manage_administrator_disable(&m, name, true);
    if (err == WEIR_INVALID) return nobody_left(w);
    return page_done(w, err, "administrator", "administrators", "administrator-disabled", name);
}

enum weir_err page_administrator_enable_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *name = form_text(&w->form, "name");
    (void)out;
    enum weir_err err = manage_administrator_disable(&m, name, false);
    return page_done(w, err, "administrator", "administrators", "administrator-enabled", name);
}

/* ---- keys of programs ---- */

enum weir_err page_admin_key_add_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *name = form_text(&w->form, "key"), *fault = administrator_name_fault(name),
        *after = form_text(&w->form, "key_expires");
    char secret[CLIENT_KEY_LEN + 1];
    int64_t length = 0;
    enum admin_role role;
    if (fault) return page_refuse(w, "key", "%s", fault), write_all(w, out);
    if (!admin_role_parse(span_of(form_text(&w->form, "key_role")), &role)) return page_refuse(w, "key_role",
        "must be one of " ADMIN_ROLES), write_all(w, out);
    if (*after && !duration_parse(span_trim(span_of(after)), &length)) return page_refuse(w, "key_expires",
        "must be a length of time like 90d"), write_all(w, out);
    enum weir_err err = manage_admin_key_add(&m, name, role, length ? clock_wall_ms() + length : 0, secret);
    if (err == WEIR_EXISTS) return page_refuse(w, "key", "is another key's"), write_all(w, out);
    if (err != WEIR_OK) return err;
    page_secret(w, out, "administrators", "The new key", name, secret, "administrators");
    secret_wipe(secret, sizeof secret);
    return WEIR_OK;
}

enum weir_err page_admin_key_revoke_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *name = form_text(&w->form, "name");
    if (page_confirm(w, out, "administrators", "Revoke this key?",
                     "The program that uses it is refused from now on; it cannot be brought back.", name,
                     "admin-key-revoke", "Revoke the key"))
        return WEIR_OK;
    return page_done(w, manage_admin_key_revoke(&m, name), "key", "administrators", "admin-key-revoked", name);
}
