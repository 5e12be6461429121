/* Audit: what was asked, by whom, with what end; filters, pages by key, one request's whole story, exports as they come. */
#include "admin/page.h"

#include <stdio.h>

#include "admin/audit_text.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"
#include "sql/audit_search.h"
#include "sql/content.h"

#define SEARCH_MS 60     /* a page looks so long, then says how far it came */
#define EXPORT_ROWS 2000 /* rows of an export between two looks at the time */

/* ---- the filter ---- */

static const struct input inputs[] = {
    {.name = "since", .label = "From", .type = "text", .hint = "1h, 7d, or 2026-11-21T03:00:00Z"},
    {.name = "until", .label = "Before", .type = "text"},
    {.name = "user", .label = "User", .type = "text"},
    {.name = "team", .label = "Team", .type = "text"},
    {.name = "key", .label = "Key", .type = "text"},
    {.name = "alias", .label = "Model", .type = "text"},
    {.name = "provider", .label = "Provider", .type = "text"},
    {.name = "outcome", .label = "Outcome", .type = "select", .choices = "|ok|refused|failed|cancelled|truncated|orphaned"},
    {.name = "request_id", .label = "Request id", .type = "text"},
};

static bool time_of(const char *text, int64_t *ms)
{
    struct span s = span_trim(span_of(text));
    int64_t length;
    *ms = 0;
    if (!s.len || time_parse(s, ms)) return true;
    if (!duration_parse(s, &length)) return false;
    *ms = clock_wall_ms() - length;
    return true;
}

static const char *or_null(const struct form *f, const char *name)
{
    const char *text = form_text(f, name);
    return *text ? text : NULL;
}

/* False: w->fault says which field is wrong. */
static bool filter_of(struct web_way *w, struct audit_filter *f)
{
    const struct form *q = &w->query;
    *f = (struct audit_filter){.user = or_null(q, "user"), .team = or_null(q, "team"), .key = or_null(q, "key")};
    f->alias = or_null(q, "alias"), f->provider = or_null(q, "provider"), f->outcome = or_null(q, "outcome");
    f->request_id = or_null(q, "request_id");
    for (int i = 0; i < 2; i++) {
        if (time_of(form_text(q, i ? "until" : "since"), i ? &f->until : &f->since)) continue;
        page_refuse(w, i ? "until" : "since", "must be a length of time like 7d, or a time like 2026-11-21T03:00:00Z");
        return false;
    }
    return true;
}

/* ---- the listing ---- */

struct rows { struct buf *out; int count; };

static bool write_row(const struct audit_row *r, void *arg)
{
    struct rows *to = arg;
    struct buf *out = to->out;
    if (!to->count++)
        HTML(out, "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr><th scope=\"col\">Time</th><th "
                  "scope=\"col\">Who</th><th "
                  "scope=\"col\">Model</th>"
                  "<th scope=\"col\">Provider</th><th scope=\"col\">Outcome</th><th scope=\"col\" class=\"num\">Tokens</th>"
                  "<th scope=\"col\" class=\"num\">Cost</th><th scope=\"col\" class=\"num\">Took</th></tr></thead>"
                  "\n<tbody>\n");
    HTML(out, "<tr><th scope=\"row\"><a href=\"request?id={}\">{}</a></th><td>{}", H_INT(r->id), H_TIME(r->time),
         H_NAME(r->user ? r->user : r->key));
    if (r->team) HTML(out, " <small>{}</small>", H_NAME(r->team));
    HTML(out, "</td><td>{}</td><td>{}</td><td class=\"{}\">{} <small>{}</small></td>", H_NAME(r->alias), H_NAME(r->provider),
         H_TEXT(strcmp(r->outcome, "ok") == 0 ? "" : "bad"), H_TEXT(r->outcome), H_INT(r->status));
    HTML(out, "<td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">",
         H_COUNT(r->prompt_tokens + r->completion_tokens), H_MONEY(r->cost));
    page_duration(out, r->latency_ms);
    HTML(out, "</td></tr>\n");
    return true;
}

static void write_exports(struct web_way *w, struct buf *out)
{
    static const struct { const char *page, *text; } kinds[] = {{"audit.csv", "CSV"}, {"audit.jsonl", "JSON lines"}};
    HTML(out, "<p class=\"actions\">All of these as");
    for (int k = 0; k < 2; k++) {
        const char *lead = "?";
        HTML(out, " <a class=\"button\" download href=\"{}", H_TEXT(kinds[k].page));
        for (int i = 0; i < w->query.count; i++) {
            if (strcmp(w->query.at[i].name, "below") == 0) continue;
            HTML(out, "{}{}={}", H_TEXT(lead), H_ARG(w->query.at[i].name), H_ARG(w->query.at[i].value));
            lead = "&";
        }
        HTML(out, "\">{}</a>", H_TEXT(kinds[k].text));
    }
    HTML(out, "</p>\n");
}

static enum weir_err write_listing(struct web_way *w, struct buf *out, const struct audit_filter *f)
{
    struct rows rows = {out, 0};
    int64_t next, back_to;
    char below[24];
    enum weir_err err = audit_search(w->db, f, form_int(&w->query, "below", 0, INT64_MAX, 0), PAGE_ROWS, SEARCH_MS,
                                     write_row, &rows, &next, &back_to);
    if (rows.count) HTML(out, "</tbody></table></div>\n");
    if (err != WEIR_OK) return err;
    snprintf(below, sizeof below, "%lld", (long long)next);
    if (!rows.count && !next) page_empty(out, "No request like that.",
                                         "Requests appear here as soon as they end; widen the filter, or make one in "
                                             "the playground.");
    if (next && rows.count < PAGE_ROWS) HTML(out, "<p class=\"note\">Looked back to {}; there is more before that.</p>"
                                                  "\n", H_TIME(back_to));
    if (next) page_more(w, out, "audit", "below", below, rows.count < PAGE_ROWS ? "Look further back" : "Earlier requests");
    return WEIR_OK;
}

enum weir_err page_audit(struct web_way *w, struct buf *out)
{
    struct audit_filter f;
    bool fine = filter_of(w, &f);
    bool asked = false;
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) asked |= *form_text(&w->query, inputs[i].name) != '\0';
    page_start(w, out, "Audit", "audit");
    HTML(out, "<details class=\"filters\"");
    if (asked) HTML(out, " open");
    HTML(out, "><summary>Filter</summary>\n<form method=\"get\" action=\"audit\" class=\"fields columns\">\n");
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) page_input(w, out, &w->query, &inputs[i]);
    HTML(out, "<div class=\"actions\"><button>Show</button> <a class=\"button\" href=\"audit\">All</a></div>\n</form>"
              "</details>\n");
    enum weir_err err = WEIR_OK;
    if (fine) {
        write_exports(w, out);
        err = write_listing(w, out, &f);
    }
    page_end(out);
    return err;
}

/* ---- one request ---- */

static void pair(struct buf *out, const char *name, const char *value)
{
    if (value && *value) HTML(out, "<div><dt>{}</dt><dd>{}</dd></div>\n", H_TEXT(name), H_NAME(value));
}

static void pair_count(struct buf *out, const char *name, int64_t n)
{
    HTML(out, "<div><dt>{}</dt><dd>{}</dd></div>\n", H_TEXT(name), H_COUNT(n));
}

static void write_attempt(const struct audit_attempt *t, void *arg)
{
    struct rows *to = arg;
    if (!to->count++)
        HTML(to->out, "<h2>Attempts with limits of their provider, or several</h2>\n<div class=\"scroll\" "
                      "tabindex=\"0\"><table><thead>"
                      "<tr><th scope=\"col\">No.</th><th scope=\"col\">When</th>"
                      "<th scope=\"col\">Provider</th><th scope=\"col\" class=\"num\">Tokens</th><th scope=\"col\" "
                      "class=\"num\">Cost</th></tr></thead><tbody>\n");
    HTML(to->out, "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td>"
                  "</tr>\n", H_INT(t->number),
         H_TIME(t->time), H_NAME(t->provider), H_COUNT(t->tokens), H_MONEY(t->cost));
}

static const char *story_of(const struct audit_row *r)
{
    if (strcmp(r->outcome, "refused") == 0) return "Weir refused it; nothing was sent to a provider.";
    if (strcmp(r->outcome, "failed") == 0) return "No provider could answer it.";
    if (strcmp(r->outcome, "cancelled") == 0) return "The caller left before the end; what had been delivered was charged.";
    if (strcmp(r->outcome, "truncated") == 0) return "The provider broke off in the middle of its answer.";
    if (strcmp(r->outcome, "orphaned") == 0) return "Weir's process died while it was under way.";
    return strcmp(r->cache, "hit") == 0 ? "It was answered from the cache." : "It was answered.";
}

static void write_who(struct buf *out, const struct audit_row *r)
{
    HTML(out, "<h2>Who</h2><dl class=\"known\">");
    pair(out, "User", r->user);
    pair(out, "Team", r->team);
    pair(out, "Role", r->role);
    pair(out, "Role group", r->rolegroup);
    pair(out, "Key", r->key);
    pair(out, "Address", r->ip);
    HTML(out, "</dl>\n<h2>What</h2><dl class=\"known\">");
    pair(out, "Endpoint", r->endpoint);
    pair(out, "Model", r->alias);
    pair(out, "Provider", r->provider);
    pair(out, "Its model", r->model);
    pair(out, "Streamed", r->stream ? "yes" : "no");
    pair(out, "Cache", r->cache);
    pair(out, "Made to fit by", r->context);
    HTML(out, "</dl>\n");
}

static void write_end(struct buf *out, const struct audit_row *r)
{
    HTML(out, "<h2>How it ended</h2><dl class=\"known\">");
    pair(out, "Outcome", r->outcome);
    pair(out, "Error", r->error);
    HTML(out, "<div><dt>Status</dt><dd>{}</dd></div><div><dt>First byte after</dt><dd>", H_INT(r->status));
    page_duration(out, r->first_byte_ms);
    HTML(out, "</dd></div><div><dt>Took</dt><dd>");
    page_duration(out, r->latency_ms);
    HTML(out, "</dd></div>");
    pair_count(out, "Attempts", r->attempts);
    HTML(out, "</dl>\n<h2>What it used</h2><dl class=\"known\">");
    pair_count(out, "Prompt tokens", r->prompt_tokens);
    pair_count(out, "of them cached", r->cached_tokens);
    pair_count(out, "Completion tokens", r->completion_tokens);
    HTML(out, "<div><dt>Cost</dt><dd>{}</dd></div>", H_MONEY(r->cost));
    pair(out, "Counted by", r->usage_source);
    pair(out, "Crossed the warning of", r->warned);
    if (r->over_bound) pair(out, "Over bound", "it used more than was held for it");
    HTML(out, "</dl>\n");
}

struct shown { struct buf *out; int64_t ticket; };

static void write_text(struct buf *out, const char *title, struct span text, bool cut)
{
    if (!text.at) return;
    HTML(out, "<h3>{}</h3>\n<pre class=\"answer\" tabindex=\"0\">{}</pre>\n", H_TEXT(title), H_SPAN(text));
    if (cut) HTML(out, "<p class=\"note\">Only the beginning was kept.</p>\n");
}

/* Ids of requests may repeat: only what belongs to this row's ticket is shown. */
static void write_content(const struct content *c, void *arg)
{
    struct shown *to = arg;
    if (c->ticket != to->ticket) return;
    HTML(to->out, "<h2>What was said</h2>\n");
    write_text(to->out, "Asked", c->prompt, c->prompt_cut);
    write_text(to->out, "Answered", c->answer, c->answer_cut);
}

/* Only for who may do everything, and only where audit_content has had it kept. */
static enum weir_err write_said(struct web_way *w, struct buf *out, const struct audit_row *r)
{
    struct shown to = {out, r->ticket};
    if (w->who.role < ADMIN_ADMIN || !r->ticket) return WEIR_OK;
    enum weir_err err = content_read(w->db, w->web->master, r->request_id, write_content, &to);
    return err == WEIR_NOT_FOUND ? WEIR_OK : err;
}

enum weir_err page_request(struct web_way *w, struct buf *out)
{
    struct rows attempts = {out, 0};
    struct audit_row r;
    enum weir_err err = audit_one(w->db, form_int(&w->query, "id", 1, INT64_MAX, 0), &w->memory, &r);
    if (err == WEIR_NOT_FOUND) return problem_set(&w->problem, err, NULL,
                                                  "There is no such request in the audit log, or it is too old and was "
                                                      "deleted.");
    if (err != WEIR_OK) return err;
    page_start(w, out, "One request", "audit");
    HTML(out, "<p><code>{}</code>, {}. {}</p>\n", H_NAME(r.request_id), H_TIME(r.time), H_TEXT(story_of(&r)));
    write_who(out, &r);
    write_end(out, &r);
    if (r.ticket) err = audit_attempts(w->db, r.ticket, write_attempt, &attempts);
    if (attempts.count) HTML(out, "</tbody></table></div>\n");
    if (err == WEIR_OK) err = write_said(w, out, &r);
    HTML(out, "<p><a class=\"button\" href=\"audit\">Audit</a></p>\n");
    page_end(out);
    return err;
}

/* ---- exports ---- */

struct export_state { struct buf out; void (*write)(struct buf *out, const struct audit_row *r); };

static bool export_row(const struct audit_row *r, void *arg)
{
    struct export_state *s = arg;
    s->write(&s->out, r);
    return true;
}

/* A search as long as it takes, in parts; each is sent before the next is read. */
static enum weir_err send_all(struct web_way *w, const char *type, const char *file, const char *first_line,
                            void (*write)(struct buf *out, const struct audit_row *r))
{
    struct export_state state = {.write = write};
    struct audit_filter f;
    int64_t next = 0, back_to;
    if (!filter_of(w, &f)) return problem_set(&w->problem, WEIR_INVALID, w->fault.name, "%s %s.", w->fault.name,
                                              w->fault.text);
    w->head.type = type;
    w->head.file = file;
    w->sent = true;
    enum weir_err err = web_answer_start(&w->r, &w->head);
    if (w->r.method == WEB_HEAD) return err;
    buf_init(&state.out, BOUND_ANSWER);
    buf_str(&state.out, first_line);
    do {
        if (err == WEIR_OK) err = audit_search(w->db, &f, next, EXPORT_ROWS, SEARCH_MS, export_row, &state, &next, &back_to);
        if (err == WEIR_OK) err = state.out.err;
        if (err == WEIR_OK) err = conn_write(w->r.conn, buf_all(&state.out));
        buf_clear(&state.out);
    } while (err == WEIR_OK && next);
    buf_free(&state.out);
    return err;
}

enum weir_err page_audit_csv(struct web_way *w, struct buf *out)
{
    (void)out;
    return send_all(w, "text/csv; charset=utf-8", "weir-audit.csv", AUDIT_CSV_HEAD, audit_csv_row);
}

enum weir_err page_audit_jsonl(struct web_way *w, struct buf *out)
{
    (void)out;
    return send_all(w, "application/x-ndjson", "weir-audit.jsonl", "", audit_json_row);
}
