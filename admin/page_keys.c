/* Keys and people: who may call, with what keys; keys made, changed, rotated, revoked. A secret is shown once. */
#include "admin/page.h"

#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"

static const struct input inputs[] = {
    {.name = "name", .label = "Name of the key", .type = "text", .required = true,
     .hint = "What it is for: alice-laptop, nightly-report."},
    {.name = "user", .label = "User", .type = "text", .hint = "Whose budget it draws on."},
    {.name = "team", .label = "Team", .type = "text"},
    {.name = "role", .label = "Role", .type = "text"},
    {.name = "rolegroup", .label = "Role group", .type = "text"},
    {.name = "models", .label = "Only these models", .type = "area", .hint = "One a line; none: all."},
    {.name = "endpoints", .label = "Only these endpoints", .type = "area",
     .hint = "One a line, like /v1/embeddings; none: all."},
    {.name = "allow_ip", .label = "Only from these addresses", .type = "area",
     .hint = "One address or range a line, like 10.0.0.0/8; none: all."},
    {.name = "expires", .label = "Expires", .type = "text", .hint = "After a while like 90d or 12h, or at 2027-01-31 or "
     "2027-01-31T09:00:00Z; nothing: never."},
    {.name = "may_assert_identity", .label = "May speak for others (x-user-id and the like)", .type = "flag"},
};
static const struct member members[] = {
    {"name", MEMBER_TEXT}, {"user", MEMBER_TEXT}, {"team", MEMBER_TEXT}, {"role", MEMBER_TEXT}, {"rolegroup", MEMBER_TEXT},
    {"models", MEMBER_LIST}, {"endpoints", MEMBER_LIST}, {"allow_ip", MEMBER_LIST}, {"expires", MEMBER_TEXT},
        {"may_assert_identity", MEMBER_FLAG},
    {NULL, MEMBER_TEXT}};

/* ---- the listing ---- */

static const char *state_of(const struct key *k, int64_t now)
{
    return k->revoked ? "revoked" : key_is_live(k, now) ? "active" : "expired";
}

static void write_key(struct web_way *w, struct buf *out, const struct key *k, int64_t now)
{
    HTML(out, "<tr><th scope=\"row\">");
    if (w->who.role >= ADMIN_OPERATOR) HTML(out, "<a href=\"key?name={}\">{}</a>", H_ARG(k->name), H_NAME(k->name));
    else HTML(out, "{}", H_NAME(k->name));
    HTML(out, "</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n", H_NAME(k->user),
         H_NAME(k->team),
         H_NAME(k->role), H_TEXT(state_of(k, now)), H_TIME(k->last_used), H_TIME(k->expires));
}

static void write_top(struct web_way *w, struct buf *out)
{
    static const struct input by = {.name = "by", .label = "Find by", .type = "select", .choices = "name|user|team"},
                              text = {.name = "q", .label = "Begins with, or is", .type = "text"};
    HTML(out, "<p class=\"actions\">");
    if (w->who.role >= ADMIN_OPERATOR) HTML(out, "<a class=\"button primary\" href=\"key\">New key</a> ");
    HTML(out, "<a class=\"button\" href=\"keys\">Keys</a> <a class=\"button\" href=\"keys?people=1\">People</a></p>\n"
              "<form method=\"get\" action=\"keys\" class=\"filter\" role=\"search\">");
    page_input(w, out, &w->query, &by);
    page_input(w, out, &w->query, &text);
    HTML(out, "<button>Find</button></form>\n");
}

static enum weir_err write_keys(struct web_way *w, struct buf *out)
{
    const char *by = form_text(&w->query, "by"), *q = form_text(&w->query, "q");
    struct key *page = arena_alloc(&w->memory, sizeof *page * (PAGE_ROWS + 1));
    int64_t now = clock_wall_ms();
    int n = 0;
    if (!page) return WEIR_NOMEM;
    enum weir_err err = keys_search(w->db, strcmp(by, "user") == 0 ? KEYS_BY_USER : strcmp(by,
                                    "team") == 0 ? KEYS_BY_TEAM : KEYS_BY_NAME,
                                    *q ? q : NULL, form_text(&w->query, "after"), PAGE_ROWS + 1, &w->memory, page, &n);
    if (err != WEIR_OK) return err;
    if (!n) {
        page_empty(out, *q ? "No key like that." : "No keys yet.",
                   *q ? "Look for another beginning." : "A caller needs one: make the first.");
        return WEIR_OK;
    }
    HTML(out, "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr><th scope=\"col\">Key</th><th scope=\"col\">"
              "User</th><th "
              "scope=\"col\">Team</th>"
              "<th scope=\"col\">Role</th><th scope=\"col\">State</th><th scope=\"col\">Last used</th><th scope=\"col\">"
              "Expires</th></tr></thead>\n<tbody>\n");
    for (int i = 0; i < n && i < PAGE_ROWS; i++) write_key(w, out, &page[i], now);
    HTML(out, "</tbody></table></div>\n");
    if (n > PAGE_ROWS) page_more(w, out, "keys", "after", page[PAGE_ROWS - 1].name, "Next keys");
    return WEIR_OK;
}

struct people { struct web_way *w; struct buf *out; int count; const char *last; };

static void write_person(const struct person *p, void *arg)
{
    struct people *to = arg;
    if (++to->count > PAGE_ROWS) return;
    to->last = arena_str(&to->w->memory, span_of(p->user));
    HTML(to->out, "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"num\"><a href=\"keys?by=user&amp;q={}\">{}</a>"
                  "</td><td class=\"num\">{}</td>"
                  "<td>{}</td>", H_NAME(p->user), H_NAME(p->team), H_ARG(p->user), H_COUNT(p->keys), H_COUNT(p->live),
                      H_TIME(p->last_used));
    HTML(to->out, "<td><a href=\"what-if?user={}&amp;team={}\">Budgets</a> <a href=\"audit?user={}\">Requests</a></td>"
                  "</tr>\n",
         H_ARG(p->user), H_ARG(p->team ? p->team : ""), H_ARG(p->user));
}

static enum weir_err write_people(struct web_way *w, struct buf *out)
{
    struct people to = {w, out, 0, NULL};
    HTML(out, "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr><th scope=\"col\">User</th><th scope=\"col\">"
              "Team</th><th "
              "scope=\"col\" class=\"num\">Keys</th>"
              "<th scope=\"col\" class=\"num\">Not revoked</th><th scope=\"col\">Last used</th><th scope=\"col\">"
              "See</th></tr></thead>\n<tbody>\n");
    enum weir_err err = keys_people(w->db, form_text(&w->query, "after"), PAGE_ROWS + 1, write_person, &to);
    HTML(out, "</tbody></table></div>\n");
    if (!to.count) page_empty(out, "Nobody yet.", "People appear with the first key that names a user.");
    if (to.count > PAGE_ROWS && to.last) page_more(w, out, "keys", "after", to.last, "Next people");
    return err;
}

enum weir_err page_keys(struct web_way *w, struct buf *out)
{
    page_start(w, out, "Keys and people", "keys");
    write_top(w, out);
    enum weir_err err = form_get(&w->query, "people") ? write_people(w, out) : write_keys(w, out);
    page_end(out);
    return err;
}

/* ---- one key ---- */

static enum weir_err stored_of(struct web_way *w, const char *name, struct key *k, struct span *json)
{
    struct buf text;
    enum weir_err err = keys_by_name(w->db, span_of(name), &w->memory, k);
    if (err == WEIR_NOT_FOUND) return problem_set(&w->problem, err, NULL, "There is no key of this name.");
    if (err != WEIR_OK) return err;
    buf_init(&text, 4 << 20);
    doc_key_write(&text, k);
    return page_keep(w, &text, json);
}

struct limits { struct buf *out; int count; };

static void write_limit(const struct ledger_line *l, void *arg)
{
    struct limits *to = arg;
    if (!to->count++) HTML(to->out, "<ul class=\"tight\">");
    HTML(to->out, "<li><span>{} <small>", H_NAME(l->via ? l->via : l->scope));
    page_limit_words(to->out, &l->rule);
    HTML(to->out, "</small></span>");
    page_bar(to->out, &l->rule, l->used, l->held);
    HTML(to->out, "</li>\n");
}

static void count_limit(const struct ledger_line *l, void *arg)
{
    (void)l;
    ++((struct limits *)arg)->count;
}

/* What the key's own names bring; addresses, models and providers have limits of their own. */
static enum weir_err write_limits(struct web_way *w, struct buf *out, const struct key *k)
{
    const struct ledger_who who = {.user = k->user, .team = k->team, .role = k->role, .rolegroup = k->rolegroup,
                                   .key = k->name};
    struct limits own = {out, 0}, of_users = {out, 0};
    int64_t now = clock_wall_ms();
    HTML(out, "<section><h2>Limits that hold for it</h2>\n");
    enum weir_err err = ledger_usage(w->db, &who, now, write_limit, &own);
    if (own.count) HTML(out, "</ul>\n");
    else page_empty(out, "None of its own, its user's or its team's.", "Set one under Budgets.");
    if (err == WEIR_OK && !k->user) err = ledger_list(w->db, "user/*", false, now, count_limit, &of_users);
    if (of_users.count) HTML(out, "<p class=\"note\">It names no user, so none of the limits on user/* holds for it.</p>\n");
    HTML(out, "</section>\n");
    return err;
}

static void write_other_actions(struct web_way *w, struct buf *out, const struct key *k)
{
    static const struct input overlap = {.name = "overlap", .label = "The old secret works on for", .type = "text",
                                         .hint = "Like 24h or 30m; nothing: it ends at once."};
    HTML(out, "<dl class=\"known\"><div><dt>Made</dt><dd>{}</dd></div><div><dt>Last used</dt><dd>{}</dd></div>"
              "<div><dt>State</dt><dd>{}</dd></div></dl>\n", H_TIME(k->created), H_TIME(k->last_used),
                  H_TEXT(state_of(k, clock_wall_ms())));
    if (!key_is_live(k, clock_wall_ms())) return;
    HTML(out, "<section><h2>A new secret</h2>\n");
    page_form_start(w, out, "key-rotate");
    page_hidden(out, "name", k->name);
    page_input(w, out, &w->form, &overlap);
    page_form_end(out, "Rotate the key");
    HTML(out, "</section>\n<section><h2>The end of it</h2><p>A revoked key is refused at once and for ever.</p>\n");
    page_button(w, out, "key-revoke", "name", k->name, "Revoke the key");
    HTML(out, "</section>\n");
}

static enum weir_err write_form(struct web_way *w, struct buf *out, const struct form *values, const struct key *k)
{
    enum weir_err err = WEIR_OK;
    page_start(w, out, k ? "Change a key" : "New key", "keys");
    page_fault(w, out);
    page_form_start(w, out, "key");
    if (k) {
        page_hidden(out, "known", "1");
        page_hidden(out, "name", k->name);
        HTML(out, "<p>Key <strong>{}</strong></p>\n", H_NAME(k->name));
    }
    for (size_t i = k ? 1 : 0; i < sizeof inputs / sizeof *inputs; i++) page_input(w, out, values, &inputs[i]);
    page_insist(w, out);
    page_form_end(out, k ? "Change the key" : "Make the key");
    if (k) err = write_limits(w, out, k);
    if (k) write_other_actions(w, out, k);
    page_end(out);
    return err;
}

enum weir_err page_key(struct web_way *w, struct buf *out)
{
    const char *name = form_get(&w->query, "name");
    struct form values;
    struct span json;
    struct key k;
    if (!name) return write_form(w, out, &w->query, NULL);
    enum weir_err err = stored_of(w, name, &k, &json);
    if (err == WEIR_OK) err = form_of_entry(json, &w->memory, &values);
    return err == WEIR_OK ? write_form(w, out, &values, &k) : err;
}

/* "90d" and "2027-01-31" as the time the document wants; anything else as it is, to be refused there. */
static void read_expiry(struct web_way *w, struct form *f)
{
    for (int i = 0; i < f->count; i++) {
        char time[TIME_TEXT];
        int64_t length, end;
        struct span text = span_trim(span_of(f->at[i].value));
        if (strcmp(f->at[i].name, "expires") != 0) continue;
        char *whole = arena_printf(&w->memory, "%.*sT00:00:00Z", (int)text.len, text.at);
        if (duration_parse(text, &length)) time_text(clock_wall_ms() + length, time);
        else if (text.len == 10 && whole && time_parse(span_of(whole), &end)) time_text(end, time);
        else continue;
        f->at[i].value = arena_str(&w->memory, span_of(time));
    }
}

static struct form copy_of(struct web_way *w, const struct form *f)
{
    struct form copy;
    if (!page_values(w, &copy, f->count + 1)) return (struct form){0};
    for (int i = 0; i < f->count; i++) page_value(&copy, f->at[i].name, f->at[i].value);
    return copy;
}

static enum weir_err refused(struct web_way *w, struct buf *out, const struct fault *fault, const struct key *k)
{
    const char *path = fault->path;
    char field[80];
    size_t n = strcspn(path, "["); /* "models[3]" is in the field models */
    memcpy(field, path, n < sizeof field ? n : sizeof field - 1);
    field[n < sizeof field ? n : sizeof field - 1] = '\0';
    page_refuse(w, field, "%s%s", path[n] && !fault->unknown ? "holds something that " : "", fault->text);
    w->fault.may_insist = fault->unknown;
    return write_form(w, out, &w->form, k);
}

enum weir_err page_key_do(struct web_way *w, struct buf *out)
{
    struct manager m = page_manager(w);
    struct form f = copy_of(w, &w->form);
    const char *secret = NULL, *name = form_text(&w->form, "name");
    bool known = form_get(&w->form, "known") != NULL;
    struct span stored = SPAN_NONE;
    struct fault fault;
    struct buf entry;
    struct key k;
    enum weir_err err = known ? stored_of(w, name, &k, &stored) : WEIR_OK;
    if (err != WEIR_OK) return err;
    if (!known && *name && keys_by_name(w->db, span_of(name), &w->memory, &k) == WEIR_OK)
        return page_refuse(w, "name", "is another key's; take another name"), write_form(w, out, &w->form, NULL);
    read_expiry(w, &f);
    buf_init(&entry, 4 << 20);
    err = form_entry(&f, members, stored, &entry);
    if (err == WEIR_OK) err = manage_entry(&m, SECTION_KEYS, buf_all(&entry), &fault, &secret);
    buf_free(&entry);
    if (err == WEIR_INVALID) return refused(w, out, &fault, known ? &k : NULL);
    if (err != WEIR_OK) return err;
    if (!secret) return page_go(w, "keys", "key-saved", name);
    page_secret(w, out, "keys", "The new key", name, secret, "keys");
    return WEIR_OK;
}

enum weir_err page_key_rotate_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *name = form_text(&w->form, "name"), *overlap = form_text(&w->form, "overlap");
    char secret[CLIENT_KEY_LEN + 1];
    int64_t ms = 0;
    struct form values;
    struct span json;
    struct key k;
    enum weir_err err = stored_of(w, name, &k, &json);
    if (err == WEIR_OK) err = form_of_entry(json, &w->memory, &values);
    if (err != WEIR_OK) return err;
    if (*overlap && !duration_parse(span_trim(span_of(overlap)), &ms))
        return page_refuse(w, "overlap", "must be a length of time like 24h or 30m"), write_form(w, out, &values, &k);
    err = manage_key_rotate(&m, name, ms, secret);
    if (err == WEIR_INVALID) return problem_set(&w->problem, err, NULL,
                                                "The key is revoked or expired; make a new one instead.");
    if (err != WEIR_OK) return err;
    page_secret(w, out, "keys", "The key's new secret", name, secret, "keys");
    secret_wipe(secret, sizeof secret);
    return WEIR_OK;
}

enum weir_err page_key_revoke_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *name = form_text(&w->form, "name");
    if (page_confirm(w, out, "keys", "Revoke this key?",
                     "Whoever uses it is refused from the next request on. It cannot be brought back; its requests stay "
                         "in the audit log.",
                     name, "key-revoke", "Revoke the key"))
        return WEIR_OK;
    return page_done(w, manage_key_revoke(&m, name), "key", "keys", "key-revoked", name);
}
