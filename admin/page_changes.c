/* The record of changes: who changed what, when, from what to what. */
#include "admin/page.h"

#include <stdio.h>

struct rows { struct buf *out; int count; int64_t last; };

static void write_text(struct buf *out, const char *lead, const char *json)
{
    if (json) HTML(out, "<div><span class=\"faint\">{}</span> <code>{}</code></div>", H_TEXT(lead), H_TEXT(json));
}

static void write_change(const struct admin_change *c, void *arg)
{
    struct rows *to = arg;
    if (++to->count > PAGE_ROWS) return;
    to->last = c->id;
    HTML(to->out, "<tr><th scope=\"row\">{}</th><td>{} <small>{}</small></td><td>{}</td><td>{}</td><td "
                  "class=\"texts\">", H_TIME(c->time), H_NAME(c->by.name),
         H_TEXT(c->by.via), H_TEXT(c->action), H_NAME(c->subject));
    write_text(to->out, "was", c->before);
    write_text(to->out, "is", c->after);
    HTML(to->out, "</td></tr>\n");
}

enum weir_err page_changes(struct web_way *w, struct buf *out)
{
    struct rows rows = {out, 0, 0};
    char below[24];
    page_start(w, out, "Changes", "changes");
    HTML(out, "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr><th scope=\"col\">When</th><th scope=\"col\">"
              "Who</th><th "
              "scope=\"col\">What</th><th scope=\"col\">Whose</th>"
              "<th scope=\"col\">Before and after</th></tr></thead>\n<tbody>\n");
    enum weir_err err = admin_changes_page(w->db, form_int(&w->query, "below", 1, INT64_MAX, 0), PAGE_ROWS + 1,
                                           write_change, &rows);
    HTML(out, "</tbody></table></div>\n");
    snprintf(below, sizeof below, "%lld", (long long)rows.last);
    if (!rows.count) page_empty(out, "Nothing was changed yet.",
                                "Every change made here, by a key or by a command is written down here.");
    if (rows.count > PAGE_ROWS) page_more(w, out, "changes", "below", below, "Earlier changes");
    page_end(out);
    return err;
}
