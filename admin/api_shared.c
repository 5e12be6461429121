/* What all of the administrators' JSON shares: bodies read by a table, faults told by the field, members written. */
#include "admin/api.h"

#include "fcgi/base/text.h"

enum weir_err api_body_text(struct web_way *w, struct buf *text, struct jval *root)
{
    struct jfault fault = {0, NULL};
    buf_init(text, BOUND_ADMIN_BODY + 1);
    enum weir_err err = web_request_body(&w->r, text, &w->problem);
    if (err == WEIR_OK && jscan_check(buf_all(text), BOUND_JSON_DEPTH, root, &fault) != WEIR_OK)
        err = problem_set(&w->problem, WEIR_INVALID, NULL, "The request body is not JSON: %s at byte %zu.",
                          fault.what ? fault.what : "fault", fault.at);
    if (err == WEIR_OK && root->kind != JSON_OBJECT)
        err = problem_set(&w->problem, WEIR_INVALID, NULL, "The request body must be an object.");
    return err;
}

enum weir_err api_body(struct web_way *w, const struct field *table, void *into)
{
    struct reader r = {.memory = &w->memory, .remote = true};
    struct jval root;
    struct buf text;
    enum weir_err err = api_body_text(w, &text, &root);
    if (err == WEIR_OK && !fields_read(&r, root, table, into))
        err = problem_set(&w->problem, WEIR_INVALID, r.path, "%s %s.", *r.path ? r.path : "The request body", r.fault);
    buf_free(&text);
    return err;
}

enum weir_err api_put_entry(struct web_way *w, struct buf *out, enum section section)
{
    struct manager m = web_manager(w);
    struct fault fault;
    struct jval root;
    struct buf text;
    enum weir_err err = api_body_text(w, &text, &root);
    if (err == WEIR_OK && (err = manage_entry(&m, section, buf_all(&text), &fault, NULL)) != WEIR_OK)
        err = api_fault(w, err, &fault);
    if (text.at) secret_wipe(text.at, text.len); /* a provider's keys */
    buf_free(&text);
    if (err != WEIR_OK) return err;
    api_lines(out, "{\"ok\":true,\"notes\":", m.notes);
    return buf_char(out, '}');
}

enum weir_err api_query(struct web_way *w)
{
    return form_read(w->r.query, &w->memory, &w->query, &w->problem);
}

const char *api_named(struct web_way *w, const char *name)
{
    const char *value = api_query(w) == WEIR_OK ? form_get(&w->query, name) : NULL;
    if (!value && !w->problem.err) problem_set(&w->problem, WEIR_INVALID, name, "%s is missing.", name);
    return value;
}

enum weir_err api_fault(struct web_way *w, enum weir_err err, const struct fault *fault)
{
    if (err != WEIR_INVALID) return problem_set(&w->problem, err, NULL, NULL);
    return problem_set(&w->problem, err, fault->path, "%s %s.", *fault->path ? fault->path : "The entry", fault->text);
}

enum weir_err api_not_found(struct web_way *w, const char *what)
{
    return problem_set(&w->problem, WEIR_NOT_FOUND, NULL, "There is no such %s.", what);
}

enum weir_err api_done(struct buf *out)
{
    return buf_str(out, "{\"ok\":true}");
}

void api_lines(struct buf *out, const char *lead, const char *lines)
{
    buf_str(out, lead);
    lead = "[";
    if (!lines || !*lines) buf_char(out, '[');
    while (lines && *lines) {
        size_t n = strcspn(lines, "\n");
        buf_str(out, lead);
        json_string(out, (struct span){lines, n});
        lines += n + (lines[n] == '\n');
        lead = ",";
    }
    buf_char(out, ']');
}

int api_most(const struct web_way *w)
{
    return (int)form_int(&w->query, "limit", 1, API_ROWS_MOST, API_ROWS);
}

void api_member(struct buf *out, const char *lead, const char *text)
{
    buf_str(out, lead);
    json_string(out, span_of(text));
}

void api_time(struct buf *out, const char *lead, int64_t ms)
{
    char text[TIME_TEXT];
    if (ms > 0) time_text(ms, text);
    api_member(out, lead, ms > 0 ? text : NULL);
}

void api_money(struct buf *out, const char *lead, int64_t nano)
{
    char text[MONEY_TEXT];
    if (nano >= 0) money_text(nano, text);
    api_member(out, lead, nano >= 0 ? text : NULL);
}
