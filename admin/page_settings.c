/* Settings that hold while Weir runs; each is a form of its own. */
#include "admin/page.h"

#include "fcgi/base/text.h"
#include "sql/settings.h"

/* How a type is typed in, and what nothing typed stands for. */
struct face { const char *input; enum member_kind kind; const char *nothing; };

static struct face face_of(enum setting_type type)
{
    switch (type) {
    case SETTING_BOOL: return (struct face){"flag", MEMBER_FLAG, "false"};
    case SETTING_INT: return (struct face){"number", MEMBER_NUMBER, "\"\""};
    case SETTING_CHOICE: return (struct face){"select", MEMBER_TEXT, "\"\""};
    case SETTING_ALIAS: return (struct face){"text", MEMBER_TEXT, "null"};
    case SETTING_ORIGINS:
    case SETTING_RANGES: break;
    }
    return (struct face){"area", MEMBER_LIST, "[]"};
}

/* What a person types: texts without their quotes, lists line by line. */
static const char *typed_of(struct web_way *w, const char *json)
{
    struct form f;
    char *object = arena_printf(&w->memory, "{\"value\":%s}", json);
    if (!object || form_of_entry(span_of(object), &w->memory, &f) != WEIR_OK) return "";
    return form_text(&f, "value");
}

static enum weir_err write_setting(struct web_way *w, struct buf *out, const struct setting_def *d)
{
    struct input i = {.name = d->name, .label = d->name, .hint = d->meaning, .type = face_of(d->type).input,
                      .choices = d->choices};
    bool tried = strcmp(w->fault.name, d->name) == 0;
    struct form values;
    char *value;
    enum weir_err err = settings_get(w->db, d, &w->memory, &value);
    if (err != WEIR_OK) return err;
    if (!page_values(w, &values, 1)) return WEIR_NOMEM;
    page_value(&values, d->name, tried ? form_text(&w->form, d->name) : typed_of(w, value));
    if (w->who.role < ADMIN_ADMIN) {
        HTML(out, "<div class=\"field\"><strong>{}</strong> <code>{}</code><p class=\"hint\">{}</p></div>\n",
             H_TEXT(d->name), H_TEXT(value), H_TEXT(d->meaning));
        return WEIR_OK;
    }
    page_form_start(w, out, "settings");
    page_hidden(out, "setting", d->name);
    page_input(w, out, &values, &i);
    page_form_end(out, "Save");
    return WEIR_OK;
}

static enum weir_err write_all(struct web_way *w, struct buf *out)
{
    enum weir_err err = WEIR_OK;
    page_start(w, out, "Settings", "settings");
    page_fault(w, out);
    HTML(out, "<p class=\"faint\">They hold from the next request on, in every process. What is read at the start "
              "stands in the web server's "
              "environment; <code>weir settings</code> lists that too.</p>\n<div class=\"settings\">\n");
    for (const struct setting_def *d = setting_defs; d->name && err == WEIR_OK; d++) err = write_setting(w, out, d);
    HTML(out, "</div>\n");
    page_end(out);
    return err;
}

enum weir_err page_settings(struct web_way *w, struct buf *out)
{
    return write_all(w, out);
}

enum weir_err page_settings_do(struct web_way *w, struct buf *out)
{
    const struct setting_def *d = setting_find(span_of(form_text(&w->form, "setting")));
    struct manager m = web_manager(w);
    struct fault fault;
    struct buf members;
    if (!d) return problem_set(&w->problem, WEIR_NOT_FOUND, NULL, "There is no such setting.");
    const struct face face = face_of(d->type);
    const struct member one[] = {{d->name, face.kind}, {NULL, MEMBER_TEXT}};
    bool nothing = !form_text(&w->form, d->name)[strspn(form_text(&w->form, d->name), " \t\r\n")];
    buf_init(&members, BOUND_ADMIN_BODY * 8);
    if (nothing) buf_printf(&members, "{\"%s\":%s}", d->name, face.nothing);
    else form_entry(&w->form, one, SPAN_NONE, &members);
    enum weir_err err = members.err ? members.err : manage_settings(&m, buf_all(&members), &fault);
    buf_free(&members);
    if (err == WEIR_OK) return page_go(w, "settings", "setting-saved", d->name);
    if (err != WEIR_INVALID) return err;
    page_refuse(w, d->name, "%s", fault.text);
    return write_all(w, out);
}
