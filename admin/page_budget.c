/* One limit: made, changed, its count reset, taken away. What a limit may say is the document's business (doc_limits.c). */
#include "admin/page.h"

#include <stdio.h>
#include <stdlib.h>

#include "fcgi/base/clock.h"

static const struct input kind_input = {.name = "kind", .label = "Kind", .type = "select", .required = true,
    .choices = "global|team|rolegroup|role|user|key|ip|model|provider"};
static const struct input id_input = {.name = "id", .label = "Name", .type = "text",
    .hint = "Whose budget it is; * for everybody of the kind who has none of their own. Nothing for global."};
static const struct input new_inputs[] = {
    {.name = "metric", .label = "What is counted", .type = "select", .choices = "cost|tokens|requests|concurrency",
     .required = true},
    {.name = "shape", .label = "Shape", .type = "select", .choices = "calendar|window|bucket|total|",
     .hint = "calendar: each hour, day, week or month. window: any stretch of so many seconds. bucket: refills "
         "steadily. total: "
             "for ever. Requests in flight (concurrency) have none."},
    {.name = "period", .label = "Period", .type = "select", .choices = "|hour|day|week|month", .hint = "Of a calendar."},
    {.name = "seconds", .label = "Seconds", .type = "number", .hint = "Length of a window."},
};
static const struct input inputs[] = {
    {.name = "amount", .label = "Amount", .type = "number", .required = true,
     .hint = "Cost in US dollars, like 20.00; all else a whole number. "
     "Of a bucket: what it holds when full."},
    {.name = "refill_per_sec", .label = "Refill a second", .type = "number", .hint = "Of a bucket; a fraction will do."},
    {.name = "utc_offset", .label = "Offset from UTC", .type = "text",
     .hint = "Of a calendar, when its day begins: +02:00. Nothing: UTC."},
    {.name = "mode", .label = "Mode", .type = "select", .choices = "hard|soft|observe",
     .hint = "hard: never passed. soft: estimates, may pass by what is in flight. observe: only counts and warns."},
    {.name = "warn_percent", .label = "Warn at percent", .type = "number", .hint = "80 where nothing is said."},
};

/* ---- the form ---- */

static void write_names_lists(struct buf *out)
{
    HTML(out, "<p class=\"faint\">A limit that is there already (same scope, metric, shape, period or seconds) is "
              "changed and keeps its count.</p>\n");
}

static void write_inputs(struct web_way *w, struct buf *out, const struct form *values, const struct input *at, size_t count)
{
    for (size_t i = 0; i < count; i++) page_input(w, out, values, &at[i]);
}

/* What the limit is known by stays; a limit of another shape is another limit. */
static const char *const identity[] = {"kind", "id", "metric", "shape", "period", "seconds"};

static void write_known(struct buf *out, const struct form *values)
{
    HTML(out, "<dl class=\"known\">");
    for (size_t i = 0; i < sizeof identity / sizeof *identity; i++) {
        const char *value = form_text(values, identity[i]);
        page_hidden(out, identity[i], value);
        if (*value) HTML(out, "<div><dt>{}</dt><dd>{}</dd></div>", H_TEXT(identity[i]), H_NAME(value));
    }
    HTML(out, "</dl>\n");
    page_hidden(out, "known", "1");
}

static void write_other_actions(struct web_way *w, struct buf *out, const struct form *values)
{
    static const struct { const char *action, *title, *text, *button; } others[] = {
        {"budget-reset", "Begin counting again", "What was counted is forgotten; the limit stays.", "Reset the count"},
        {"budget-remove", "Take the limit away", "Nothing binds these callers at this scope any more.", "Remove the limit"},
    };
    const char *member = form_text(&w->query, "member");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        HTML(out, "<section><h2>{}</h2><p>{}</p>\n<form method=\"post\" action=\"{}\">", H_TEXT(others[i].title),
             H_TEXT(others[i].text), H_TEXT(others[i].action));
        page_hidden(out, "csrf", w->who.csrf);
        for (size_t k = 0; k < sizeof identity / sizeof *identity; k++)
            page_hidden(out, identity[k], form_text(values, identity[k]));
        if (*member && i == 0) {
            page_hidden(out, "member", member);
            HTML(out, "<p>Only for {}.</p>", H_NAME(member));
        }
        HTML(out, "<button class=\"plain\">{}</button></form></section>\n", H_TEXT(others[i].button));
    }
}

static enum weir_err write_form(struct web_way *w, struct buf *out, const struct form *values)
{
    bool known = form_get(values, "known") != NULL;
    page_start(w, out, known ? "Change a limit" : "New limit", "budgets");
    page_fault(w, out);
    page_form_start(w, out, "budget");
    if (known) {
        write_known(out, values);
    } else {
        page_input(w, out, values, &kind_input);
        page_input(w, out, values, &id_input);
        write_inputs(w, out, values, new_inputs, sizeof new_inputs / sizeof *new_inputs);
    }
    write_inputs(w, out, values, inputs, sizeof inputs / sizeof *inputs);
    if (!known) write_names_lists(out);
    page_insist(w, out);
    page_form_end(out, known ? "Change the limit" : "Set the limit");
    if (known) write_other_actions(w, out, values);
    page_end(out);
    return WEIR_OK;
}

/* ---- from and to the document ---- */

static const char *scope_of(struct web_way *w, const struct form *f)
{
    const char *kind = form_text(f, "kind"), *id = form_text(f, "id");
    return strcmp(kind, "global") == 0 && !*id ? "global" : arena_printf(&w->memory, "%s/%s", kind, id);
}

static struct limit_key key_of(struct web_way *w, const struct form *f)
{
    const char *shape = form_text(f, "shape");
    return (struct limit_key){.scope = scope_of(w, f), .metric = form_text(f, "metric"), .shape = *shape ? shape : "none",
                              .period = form_text(f, "period"), .seconds = form_int(f, "seconds", 0, INT64_MAX, 0)};
}

/* What the fields of the limit that is asked for say now. */
static enum weir_err stored_values(struct web_way *w, struct form *values)
{
    const struct form *q = &w->query;
    const char *scope = form_text(q, "scope"), *slash = strchr(scope, '/'), *shape = form_text(q, "shape");
    const struct limit_rule like = {.scope = scope, .metric = form_text(q, "metric"), .shape = shape,
                                    .period = form_text(q, "period"),
                                    .seconds = form_int(q, "seconds", 0, INT64_MAX, 0)};
    struct limit_rule found;
    struct form f;
    struct buf json;
    enum weir_err err = limit_find(w->db, &like, &w->memory, &found);
    if (err == WEIR_NOT_FOUND) return problem_set(&w->problem, err, NULL, "There is no such limit any more.");
    if (err != WEIR_OK) return err;
    buf_init(&json, BOUND_ADMIN_BODY);
    doc_limit_write(&json, &found);
    err = json.err ? json.err : form_of_entry(buf_all(&json), &w->memory, &f);
    buf_free(&json);
    if (err != WEIR_OK || !page_values(w, values, f.count + 8)) return err != WEIR_OK ? err : WEIR_NOMEM;
    page_value(values, "kind", slash ? arena_str(&w->memory, (struct span){scope, (size_t)(slash - scope)}) : "global");
    page_value(values, "id", slash ? slash + 1 : "");
    page_value(values, "known", "1");
    page_value(values, "amount", form_get(&f, "capacity"));
    page_value(values, "warn_percent", arena_printf(&w->memory, "%lld", (long long)found.warn_percent));
    for (int i = 0; i < f.count; i++) page_value(values, f.at[i].name, f.at[i].value);
    return WEIR_OK;
}

static enum weir_err entry_of(struct web_way *w, struct buf *out)
{
    static const struct member counts[] = {
        {"scope", MEMBER_TEXT}, {"metric", MEMBER_TEXT}, {"shape", MEMBER_TEXT}, {"period", MEMBER_TEXT},
            {"seconds", MEMBER_NUMBER},
        {"capacity", MEMBER_NUMBER}, {"amount", MEMBER_NUMBER}, {"refill_per_sec", MEMBER_NUMBER},
            {"utc_offset", MEMBER_NUMBER},
        {"mode", MEMBER_TEXT}, {"warn_percent", MEMBER_NUMBER}, {NULL, MEMBER_TEXT}};
    static const struct member costs[] = {
        {"scope", MEMBER_TEXT}, {"metric", MEMBER_TEXT}, {"shape", MEMBER_TEXT}, {"period", MEMBER_TEXT},
            {"seconds", MEMBER_NUMBER},
        {"capacity", MEMBER_TEXT}, {"amount", MEMBER_TEXT}, {"refill_per_sec", MEMBER_TEXT}, {"utc_offset", MEMBER_NUMBER},
        {"mode", MEMBER_TEXT}, {"warn_percent", MEMBER_NUMBER}, {NULL, MEMBER_TEXT}};
    const struct form *in = &w->form;
    bool bucket = strcmp(form_text(in, "shape"), "bucket") == 0, cost = strcmp(form_text(in, "metric"), "cost") == 0;
    struct form f;
    if (!page_values(w, &f, in->count + 2)) return WEIR_NOMEM;
    page_value(&f, "scope", scope_of(w, in));
    for (int i = 0; i < in->count; i++) {
        bool amount = strcmp(in->at[i].name, "amount") == 0;
        if (strcmp(in->at[i].name, "scope") != 0 && strcmp(in->at[i].name, "capacity") != 0)
            page_value(&f, amount && bucket ? "capacity" : in->at[i].name, in->at[i].value);
    }
    return form_entry(&f, cost ? costs : counts, SPAN_NONE, out);
}

/* ---- what is done ---- */

enum weir_err page_budget(struct web_way *w, struct buf *out)
{
    struct form values = {0};
    enum weir_err err = form_get(&w->query, "metric") ? stored_values(w, &values) : WEIR_OK;
    return err == WEIR_OK ? write_form(w, out, values.count ? &values : &w->query) : err;
}

enum weir_err page_budget_do(struct web_way *w, struct buf *out)
{
    struct manager m = page_manager(w);
    struct fault fault;
    struct buf entry;
    buf_init(&entry, BOUND_ADMIN_BODY * 8);
    enum weir_err err = entry_of(w, &entry);
    if (err == WEIR_OK) err = manage_entry(&m, SECTION_LIMITS, buf_all(&entry), &fault, NULL);
    buf_free(&entry);
    if (err == WEIR_OK) return page_go(w, "budgets", "limit-saved", scope_of(w, &w->form));
    if (err != WEIR_INVALID) return err;
    page_refuse(w, strcmp(fault.path, "scope") == 0 ? "id" : strcmp(fault.path,
                "capacity") == 0 ? "amount" : fault.path, "%s", fault.text);
    w->fault.may_insist = fault.unknown;
    return write_form(w, out, &w->form);
}

static enum weir_err none_there(struct web_way *w)
{
    return problem_set(&w->problem, WEIR_NOT_FOUND, NULL, "There is no such limit any more; nothing was changed.");
}

enum weir_err page_budget_reset_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    struct limit_key k = key_of(w, &w->form);
    const char *member = form_get(&w->form, "member");
    int reset = 0;
    if (page_confirm(w, out, "budgets", "Begin counting again?",
                     "What this limit has counted is forgotten. It cannot be brought back.",
                     member ? member : k.scope, "budget-reset", "Reset the count"))
        return WEIR_OK;
    enum weir_err err = manage_limit_reset(&m, &k, member, &reset);
    return err == WEIR_OK ? page_go(w, "budgets", "limit-reset", member ? member : k.scope) : err;
}

enum weir_err page_budget_remove_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    struct limit_key k = key_of(w, &w->form);
    int removed = 0;
    if (page_confirm(w, out, "budgets", "Remove this limit?",
                     "The limit is lost, with all it has counted. From then on only the other limits bind these "
                         "callers.", k.scope,
                     "budget-remove", "Remove the limit"))
        return WEIR_OK;
    enum weir_err err = manage_limit_remove(&m, &k, &removed);
    if (err == WEIR_NOT_FOUND) return none_there(w);
    return err == WEIR_OK ? page_go(w, "budgets", "limit-removed", k.scope) : err;
}
