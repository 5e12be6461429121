/* Budgets: every limit with what it has counted, by kind of scope from the whole down to one caller; what a default has
 * counted for its members; and what-if, which says who would be refused now. */
#include "admin/page.h"

#include <stdio.h>

#include "fcgi/base/clock.h"

#define A_KIND 12 /* limits of a kind on the page of all */

/* In the order of a tree: what stands above binds more callers. */
static const struct { const char *kind, *title, *what; } kinds[] = {
    {"global", "All callers", "global"}, {"team", "Teams", "team"},        {"rolegroup", "Role groups", "role group"},
    {"role", "Roles", "role"},           {"user", "Users", "user"},        {"key", "Keys", "key"},
    {"ip", "Addresses", "address"},      {"model", "Models", "model"},     {"provider", "Providers", "provider"},
};
#define KINDS (sizeof kinds / sizeof *kinds)

struct rows { struct web_way *w; struct buf *out; int count; bool members; };

static bool is_star(const char *scope)
{
    const char *slash = strchr(scope, '/');
    return slash && strcmp(slash, "/*") == 0;
}

/* What names a limit, as the query of an address. */
static void write_identity(struct buf *out, const char *scope, const struct rule *r)
{
    HTML(out, "scope={}&amp;metric={}&amp;shape={}", H_ARG(scope), H_ARG(metric_names[r->metric]),
         H_ARG(shape_names[r->shape]));
    if (r->shape == SHAPE_CALENDAR) HTML(out, "&amp;period={}", H_ARG(calendar_names[r->unit]));
    if (r->shape == SHAPE_WINDOW) HTML(out, "&amp;seconds={}", H_INT(r->seconds));
}

static void write_row(const struct ledger_line *l, void *arg)
{
    struct rows *to = arg;
    struct buf *out = to->out;
    if (!to->count++)
        HTML(out, "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr><th scope=\"col\">Who</th><th scope=\"col\">"
                  "Limit</th>"
                  "<th scope=\"col\">Used</th><th scope=\"col\" class=\"num\">Left</th><th scope=\"col\">Begins again</th>"
                  "<th scope=\"col\"><span class=\"hidden\">Actions</span></th></tr></thead>\n<tbody>\n");
    HTML(out, "<tr><th scope=\"row\">{}</th><td>", H_NAME(l->scope));
    page_limit_words(out, &l->rule);
    HTML(out, "</td><td>");
    if (is_star(l->scope) && !to->members) {
        page_amount(out, l->rule.metric, l->rule.amount);
        HTML(out, " each, for those without one of their own. <a href=\"budgets?of={}\">Members</a>", H_ARG(l->scope));
    } else {
        page_bar(out, &l->rule, l->used, l->held);
    }
    HTML(out, "</td><td class=\"num\">");
    if (!is_star(l->scope)) page_amount(out, l->rule.metric, l->remaining);
    HTML(out, "</td><td>{}</td><td>", H_TIME(l->resets_at));
    if (to->w->who.role >= ADMIN_OPERATOR) {
        HTML(out, "<a href=\"budget?");
        write_identity(out, l->via ? l->via : l->scope, &l->rule);
        if (to->members) HTML(out, "&amp;member={}", H_ARG(l->scope));
        HTML(out, "\">Change</a>");
    }
    HTML(out, "</td></tr>\n");
}

static void rows_end(const struct rows *rows)
{
    if (rows->count) HTML(rows->out, "</tbody></table></div>\n");
}

/* ---- the members of a default ---- */

struct stars { struct web_way *w; struct rows rows; const char *member; enum weir_err err; int64_t now; };

static void write_star(const struct ledger_line *l, void *arg)
{
    struct stars *s = arg;
    if (s->err != WEIR_OK) return;
    s->rows.count = 0;
    HTML(s->rows.out, "<h2>");
    page_limit_words(s->rows.out, &l->rule);
    HTML(s->rows.out, ", ");
    page_amount(s->rows.out, l->rule.metric, l->rule.amount);
    HTML(s->rows.out, " each</h2>\n");
    s->err = ledger_list_members(s->w->db, l->rule.id, s->member, PAGE_ROWS, s->now, write_row, &s->rows);
    rows_end(&s->rows);
    if (!s->rows.count) page_empty(s->rows.out, "Nobody has used it yet.", "Members appear with their first request.");
}

static enum weir_err write_members(struct web_way *w, struct buf *out, const char *star)
{
    const char *name = form_text(&w->query, "member");
    char *member = *name ? arena_printf(&w->memory, "%.*s%s", (int)(strchr(star, '/') - star + 1), star, name) : NULL;
    struct stars s = {.w = w, .rows = {w, out, 0, true}, .member = member, .now = clock_wall_ms()};
    page_start(w, out, "Members of a default", "budgets");
    HTML(out, "<p>What the limits on <strong>{}</strong> have counted for each who has none of their own, the highest "
              "first. "
              "<a href=\"budgets\">All budgets</a></p>\n", H_NAME(star));
    HTML(out, "<form method=\"get\" action=\"budgets\" class=\"filter\" role=\"search\"><input type=\"hidden\" "
              "name=\"of\" value=\"{}\">"
              "<div class=\"field\"><label for=\"f-member\">Name</label><input type=\"text\" id=\"f-member\" "
              "name=\"member\" "
              "value=\"{}\"></div><button>Show</button></form>\n", H_TEXT(star), H_TEXT(name));
    enum weir_err err = ledger_list(w->db, star, false, s.now, write_star, &s);
    page_end(out);
    return err == WEIR_OK ? s.err : err;
}

/* ---- all ---- */

/* A kind's scopes stand between "team/" and "team0", the character behind the slash. */
static enum weir_err write_kind(struct web_way *w, struct buf *out, size_t k, int most, const char *from)
{
    struct rows rows = {w, out, 0, false};
    char first[32], below[32], next[LEDGER_SCOPE_MAX];
    bool global = k == 0;
    snprintf(first, sizeof first, global ? "%s" : "%s/", kinds[k].kind);
    snprintf(below, sizeof below, global ? "%s/" : "%s0", kinds[k].kind);
    HTML(out, "<section class=\"level level-{}\"><h2>{}</h2>\n", H_INT(k < 5 ? k : 5), H_TEXT(kinds[k].title));
    enum weir_err err = ledger_list_part(w->db, *from ? from : first, below, most, clock_wall_ms(), next, write_row, &rows);
    rows_end(&rows);
    if (!rows.count) HTML(out, "<p class=\"faint\">No limit.</p>\n");
    if (*next) {
        HTML(out, "<p class=\"more\"><a class=\"button\" href=\"budgets?kind={}&amp;from={}\">More of these</a></p>\n",
             H_ARG(kinds[k].kind), H_ARG(next));
    }
    HTML(out, "</section>\n");
    return err;
}

static void write_top(struct web_way *w, struct buf *out)
{
    HTML(out, "<p class=\"actions\">");
    if (w->who.role >= ADMIN_OPERATOR) HTML(out, "<a class=\"button primary\" href=\"budget\">New limit</a> ");
    HTML(out, "<a class=\"button\" href=\"what-if\">What if?</a></p>\n");
    HTML(out, "<form method=\"get\" action=\"budgets\" class=\"filter\" role=\"search\"><div class=\"field\">"
              "<label for=\"f-scope\">Whose</label><input type=\"text\" id=\"f-scope\" name=\"scope\" value=\"{}\" "
              "placeholder=\"team/data\"></div><button>Show</button></form>\n", H_TEXT(form_text(&w->query, "scope")));
}

/* Those of one scope, found by its whole name. */
static enum weir_err write_scope(struct web_way *w, struct buf *out, const char *scope)
{
    struct rows rows = {w, out, 0, false};
    enum weir_err err = ledger_list(w->db, scope, false, clock_wall_ms(), write_row, &rows);
    rows_end(&rows);
    if (!rows.count) page_empty(out, "There is no limit of exactly this name.",
                                "Names are like global, team/data or user/alice.");
    HTML(out, "<p><a href=\"budgets\">All budgets</a></p>\n");
    return err;
}

enum weir_err page_budgets(struct web_way *w, struct buf *out)
{
    const char *star = form_text(&w->query, "of"), *kind = form_text(&w->query, "kind"),
        *scope = form_text(&w->query, "scope");
    enum weir_err err = WEIR_OK;
    if (is_star(star) && !scope_fault(star)) return write_members(w, out, star);
    page_start(w, out, "Budgets", "budgets");
    write_top(w, out);
    if (*scope) err = write_scope(w, out, scope);
    for (size_t k = 0; !*scope && err == WEIR_OK && k < KINDS; k++)
        if (!*kind || strcmp(kind, kinds[k].kind) == 0)
            err = write_kind(w, out, k, *kind ? PAGE_ROWS : A_KIND, *kind ? form_text(&w->query, "from") : "");
    page_end(out);
    return err;
}

/* ---- what if ---- */

struct verdict { struct web_way *w; struct buf *out; int64_t tokens; int limits, refusing; };

static void write_verdict(const struct ledger_line *l, void *arg)
{
    struct verdict *v = arg;
    int64_t need = l->rule.metric == METRIC_TOKENS ? v->tokens : 1;
    bool refuses = l->rule.mode != MODE_OBSERVE && l->remaining < need;
    if (!v->limits++)
        HTML(v->out, "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr><th scope=\"col\">Who</th><th "
                     "scope=\"col\">Limit</th>"
                     "<th scope=\"col\">Used</th><th scope=\"col\">Answer</th></tr></thead>\n<tbody>\n");
    v->refusing += refuses;
    HTML(v->out, "<tr><th scope=\"row\">{}</th><td>", H_NAME(l->scope));
    page_limit_words(v->out, &l->rule);
    HTML(v->out, "</td><td>");
    page_bar(v->out, &l->rule, l->used, l->held);
    if (refuses) HTML(v->out, "</td><td class=\"bad\">refuses</td></tr>\n");
    else HTML(v->out, "</td><td>lets pass</td></tr>\n");
}

/* Those that would refuse whatever is asked. */
static void write_used_up(const struct ledger_line *l, void *arg)
{
    if (l->remaining <= 0 && l->rule.mode != MODE_OBSERVE) write_row(l, arg);
}

static enum weir_err write_refused_now(struct web_way *w, struct buf *out)
{
    struct rows rows = {w, out, 0, true};
    HTML(out, "<section><h2>Who is refused now</h2>\n");
    enum weir_err err = ledger_list_tight(w->db, PAGE_ROWS, clock_wall_ms(), write_used_up, &rows);
    rows_end(&rows);
    if (!rows.count) page_empty(out, "Nobody: every limit has room.", "Who has used up a limit stands here.");
    HTML(out, "</section>\n");
    return err;
}

enum weir_err page_what_if(struct web_way *w, struct buf *out)
{
    static const struct input fields[] = {
        {.name = "user", .label = "User", .type = "text"},   {.name = "team", .label = "Team", .type = "text"},
        {.name = "role", .label = "Role", .type = "text"},   {.name = "rolegroup", .label = "Role group", .type = "text"},
        {.name = "key", .label = "Key", .type = "text"},     {.name = "model", .label = "Model", .type = "text"},
        {.name = "ip", .label = "Address", .type = "text"},  {.name = "tokens", .label = "Tokens asked for",
            .type = "number"},
    };
    struct ledger_who who = {0};
    const char **const to[] = {&who.user, &who.team, &who.role, &who.rolegroup, &who.key, &who.model, &who.ip};
    struct verdict v = {.w = w, .out = out, .tokens = form_int(&w->query, "tokens", 1, INT64_MAX, 1)};
    enum weir_err err = WEIR_OK;
    page_start(w, out, "What if?", "budgets");
    HTML(out, "<p>Would a request of this caller be let through now? Every limit that applies to it, as it stands.</p>\n"
              "<form method=\"get\" action=\"what-if\" class=\"fields columns\">\n");
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const char *value = form_text(&w->query, fields[i].name);
        if (i < 7 && *value && strlen(value) <= BOUND_ALIAS) *to[i] = value;
        page_input(w, out, &w->query, &fields[i]);
    }
    page_form_end(out, "Ask");
    if (w->query.count) {
        err = ledger_usage(w->db, &who, clock_wall_ms(), write_verdict, &v);
        if (v.limits) HTML(out, "</tbody></table></div>\n");
        if (v.refusing) HTML(out, "<p class=\"fault\" role=\"status\">It would be refused now, by {} of {} limits.</p>"
                                  "\n", H_INT(v.refusing), H_INT(v.limits));
        else HTML(out, "<p class=\"said\" role=\"status\">It would be let through: {} limits apply, and all have "
                       "room.</p>\n", H_INT(v.limits));
    }
    if (err == WEIR_OK) err = write_refused_now(w, out);
    page_end(out);
    return err;
}
