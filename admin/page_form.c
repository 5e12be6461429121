/* Forms of pages: fields with their labels, hints and faults, questions before something is lost, secrets shown once. */
#include "admin/page.h"

#include <stdarg.h>
#include <stdio.h>

#include "fcgi/base/text.h"

/* ---- faults ---- */

enum weir_err page_refuse(struct web_way *w, const char *field, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(w->fault.text, sizeof w->fault.text, fmt, args);
    va_end(args);
    w->fault.text[text_cut(span_of(w->fault.text), sizeof w->fault.text - 1)] = '\0';
    snprintf(w->fault.name, sizeof w->fault.name, "%s", field ? field : "");
    w->head.status = 400;
    return WEIR_OK;
}

void page_fault(struct web_way *w, struct buf *out)
{
    if (!*w->fault.text) return;
    HTML(out, "<p class=\"fault\" role=\"alert\">Nothing was changed: ");
    if (*w->fault.name) HTML(out, "<a href=\"#f-{}\">{}</a> ", H_TEXT(w->fault.name), H_NAME(w->fault.name));
    HTML(out, "{}.</p>\n", H_TEXT(w->fault.text));
}

/* ---- values ---- */

bool page_values(struct web_way *w, struct form *f, int room)
{
    *f = (struct form){.at = arena_alloc(&w->memory, sizeof *f->at * (size_t)room)};
    return f->at != NULL;
}

void page_value(struct form *f, const char *name, const char *value)
{
    if (value) f->at[f->count++] = (struct form_field){name, value};
}

/* ---- fields ---- */

void page_form_start(struct web_way *w, struct buf *out, const char *action)
{
    HTML(out, "<form method=\"post\" action=\"{}\" class=\"fields\">\n", H_TEXT(action));
    page_hidden(out, "csrf", w->who.csrf);
}

void page_hidden(struct buf *out, const char *name, const char *value)
{
    HTML(out, "<input type=\"hidden\" name=\"{}\" value=\"{}\">\n", H_TEXT(name), H_TEXT(value));
}

static void write_choices(struct buf *out, const char *choices, const char *value)
{
    while (*choices) {
        struct span one = {choices, strcspn(choices, "|")};
        HTML(out, "<option value=\"{}\"", H_SPAN(one));
        if (span_is(one, value)) HTML(out, " selected");
        if (one.len) HTML(out, ">{}</option>", H_SPAN(one));
        else HTML(out, ">(none)</option>");
        choices += one.len + (choices[one.len] == '|');
    }
}

/* What every field has: its names, and who describes it. */
static void write_names(struct buf *out, const struct input *i, bool faulty)
{
    HTML(out, " id=\"f-{}\" name=\"{}\"", H_TEXT(i->name), H_TEXT(i->name));
    if (i->required) HTML(out, " required");
    if (i->complete) HTML(out, " autocomplete=\"{}\"", H_TEXT(i->complete));
    if (faulty) HTML(out, " aria-invalid=\"true\" aria-describedby=\"e-{}\"", H_TEXT(i->name));
    else if (i->hint) HTML(out, " aria-describedby=\"h-{}\"", H_TEXT(i->name));
}

static void write_control(struct buf *out, const struct input *i, const char *value, bool faulty)
{
    if (strcmp(i->type, "area") == 0) {
        HTML(out, "<textarea rows=\"4\"");
        write_names(out, i, faulty);
        HTML(out, ">\n{}</textarea>", H_TEXT(value));
    } else if (strcmp(i->type, "select") == 0) {
        HTML(out, "<select");
        write_names(out, i, faulty);
        HTML(out, ">");
        write_choices(out, i->choices, value);
        HTML(out, "</select>");
    } else if (strcmp(i->type, "flag") == 0) {
        HTML(out, "<input type=\"checkbox\" value=\"1\"");
        write_names(out, i, faulty);
        if (*value) HTML(out, " checked");
        HTML(out, ">");
    } else {
        bool number = strcmp(i->type, "number") == 0, password = strcmp(i->type, "password") == 0;
        HTML(out, "<input type=\"{}\"", H_TEXT(password ? "password" : "text"));
        if (number) HTML(out, " inputmode=\"decimal\"");
        if (i->list) HTML(out, " list=\"{}\"", H_TEXT(i->list));
        write_names(out, i, faulty);
        HTML(out, " value=\"{}\">", H_TEXT(password ? "" : value));
    }
}

void page_input(struct web_way *w, struct buf *out, const struct form *values, const struct input *i)
{
    bool flag = strcmp(i->type, "flag") == 0, faulty = *w->fault.text && strcmp(w->fault.name, i->name) == 0;
    HTML(out, "<div class=\"field\">");
    if (flag) write_control(out, i, form_text(values, i->name), faulty);
    HTML(out, "<label for=\"f-{}\">{}</label>", H_TEXT(i->name), H_TEXT(i->label));
    if (!flag) write_control(out, i, form_text(values, i->name), faulty);
    if (i->hint) HTML(out, "<p class=\"hint\" id=\"h-{}\">{}</p>", H_TEXT(i->name), H_TEXT(i->hint));
    if (faulty) HTML(out, "<p class=\"fault\" id=\"e-{}\">{}</p>", H_TEXT(i->name), H_TEXT(w->fault.text));
    HTML(out, "</div>\n");
}

void page_insist(struct web_way *w, struct buf *out)
{
    static const struct input insist = {.name = "insist", .label = "Save it all the same: what it names will come later",
                                        .type = "flag"};
    if (w->fault.may_insist) page_input(w, out, &w->form, &insist);
}

struct manager page_manager(struct web_way *w)
{
    struct manager m = web_manager(w);
    m.strict = !form_get(&w->form, "insist");
    return m;
}

void page_form_end(struct buf *out, const char *button)
{
    HTML(out, "<div class=\"actions\"><button>{}</button></div>\n</form>\n", H_TEXT(button));
}

void page_button(struct web_way *w, struct buf *out, const char *action, const char *name, const char *value,
                 const char *button)
{
    HTML(out, "<form method=\"post\" action=\"{}\" class=\"inline\">", H_TEXT(action));
    page_hidden(out, "csrf", w->who.csrf);
    page_hidden(out, name, value);
    HTML(out, "<button class=\"plain\">{}</button></form>\n", H_TEXT(button));
}

void page_button_two(struct web_way *w, struct buf *out, const char *action, const struct form_field fields[2],
                     const char *button)
{
    HTML(out, "<form method=\"post\" action=\"{}\" class=\"inline\">", H_TEXT(action));
    page_hidden(out, "csrf", w->who.csrf);
    for (int i = 0; i < 2; i++) page_hidden(out, fields[i].name, fields[i].value);
    HTML(out, "<button class=\"plain\">{}</button></form>\n", H_TEXT(button));
}

enum weir_err page_keep(struct web_way *w, struct buf *text, struct span *json)
{
    *json = (struct span){text->err ? NULL : arena_str(&w->memory, buf_all(text)), text->len};
    buf_free(text);
    return json->at ? WEIR_OK : WEIR_NOMEM;
}

/* ---- questions and secrets ---- */

bool page_confirm(struct web_way *w, struct buf *out, const char *here, const char *title, const char *lost,
                  const char *name,
                  const char *action, const char *button)
{
    if (form_get(&w->form, "confirm")) return false;
    page_start(w, out, title, here);
    HTML(out, "<p><strong>{}</strong></p>\n<p>{}</p>\n<form method=\"post\" action=\"{}\">\n", H_NAME(name), H_TEXT(lost),
         H_TEXT(action));
    for (int i = 0; i < w->form.count; i++) page_hidden(out, w->form.at[i].name, w->form.at[i].value);
    page_hidden(out, "confirm", "1");
    HTML(out, "<div class=\"actions\"><button class=\"danger\">{}</button> <a class=\"button\" href=\"{}\">Keep it</a>"
              "</div>\n"
              "</form>\n", H_TEXT(button), H_TEXT(here));
    page_end(out);
    return true;
}

void page_secret(struct web_way *w, struct buf *out, const char *here, const char *title, const char *name,
                 const char *secret,
                 const char *back)
{
    page_start(w, out, title, here);
    HTML(out, "<p>For <strong>{}</strong>. This is shown once and cannot be shown again: copy it now, and give it only "
              "to whom "
              "it is for.</p>\n<p class=\"secret\"><code id=\"secret\">{}</code> "
              "<button class=\"plain\" type=\"button\" data-copy=\"secret\" hidden>Copy</button></p>\n"
              "<p><a class=\"button\" href=\"{}\">Done</a></p>\n", H_NAME(name), H_TEXT(secret), H_TEXT(back));
    page_end(out);
}
