/* What whoever applies a document would want to know: names in it that lead nowhere, and what becomes of stored members
 * that an entry does not name, for an entry replaces the whole of what was stored. */
#include "admin/apply_state.h"

#include <stdarg.h>
#include <stdio.h>

#define NOTES_MOST 20   /* told in full */
#define VALUE_SHOWN 120 /* bytes of a value */
#define DEPTH 16        /* of an entry in the document's form: `defaults` may hold objects */

/* A line behind the others; what would break it becomes a blank. */
static void add_line(struct buf *to, const char *lead, const char *fmt, va_list ap)
{
    char text[640];
    int n = vsnprintf(text, sizeof text, fmt, ap);

    for (int i = 0; i < n && i < (int)sizeof text - 1; i++)
        if ((unsigned char)text[i] < ' ') text[i] = ' ';
    buf_printf(to, "%s%s: %s", to->len ? "\n" : "", lead, text);
}

static void add_note(struct apply *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add_change(struct apply *a, const char *subject, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void add_note(struct apply *a, const char *fmt, ...)
{
    va_list ap;

    if (++a->out->note_count > NOTES_MOST) return;
    va_start(ap, fmt);
    add_line(&a->out->notes, a->r.path, fmt, ap);
    va_end(ap);
}

static void add_change(struct apply *a, const char *subject, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add_line(&a->out->changes, subject, fmt, ap);
    va_end(ap);
}

/* ---- names that lead nowhere ---- */

/* Strict: the entry is refused, and *fault says for what. */
static bool lead_nowhere(struct apply *a, struct span name, const char *what)
{
    int shown = (int)text_cut(name, VALUE_SHOWN);

    a->unknown = a->strict;
    if (a->strict) return refuse(&a->r, "names %.*s, which is no %s here", shown, name.at, what);
    add_note(a, "%.*s is no %s here", shown, name.at, what);
    return true;
}

static bool alias_is_there(const struct apply *a, struct span alias)
{
    return names_find(&a->seen[SECTION_MODELS], alias, NULL) || alias_is_known(a->before, alias);
}

bool apply_note_models(struct apply *a, const char *models)
{
    size_t top = path_member(&a->r, "models"), i = 0;
    struct jfault fault;
    struct jval list = {0}, v;
    struct span key, alias;

    if (models && jscan_check(span_of(models), 2, &list, &fault)) return refuse_memory(&a->r); /* it was written by us */
    struct jiter it = jscan_iter(list);
    for (; models && jscan_next(&it, &key, &v); i++) {
        size_t here = path_index(&a->r, i);

        if (!text_read(&a->r, v, &alias)) return false;
        if (!alias_is_there(a, alias) && !lead_nowhere(a, alias, "model")) return false;
        path_back(&a->r, here);
    }
    path_back(&a->r, top);
    return true;
}

bool apply_note_scope(struct apply *a, const char *scope)
{
    const char *slash = strchr(scope, '/');
    struct span name = slash ? span_of(slash + 1) : SPAN_NONE;
    size_t top = path_member(&a->r, "scope");
    bool fine = true;

    if (!slash || strcmp(slash, "/*") == 0) fine = true;
    else if (strncmp(scope, "model/", 6) == 0)
        fine = alias_is_there(a, name) || lead_nowhere(a, name, "model");
    else if (strncmp(scope, "provider/", 9) == 0)
        fine = names_find(&a->seen[SECTION_PROVIDERS], name, NULL) || snapshot_provider(a->before, name) ||
               lead_nowhere(a, name, "provider");
    if (fine) path_back(&a->r, top);
    return fine;
}

/* ---- what changes ---- */

static struct jval member_of(struct jval object, struct span name)
{
    struct jiter it = jscan_iter(object);
    struct span key;
    struct jval v;

    while (jscan_next(&it, &key, &v))
        if (span_eq(key, name)) return v;
    return (struct jval){.kind = JSON_ABSENT};
}

#define SHOWN(s) (int)text_cut((s), VALUE_SHOWN), (s).at

/* outer: "price." of a member of the member price; else "". */
static void compare(struct apply *a, const char *subject, const char *outer, struct jval was, struct jval is)
{
    struct jiter it = jscan_iter(was);
    struct span key;
    struct jval old, now;

    while (jscan_next(&it, &key, &old)) {
        now = member_of(is, key);
        if (now.kind == JSON_OBJECT && old.kind == JSON_OBJECT && !*outer) {
            const char *name = arena_printf(&a->entry, "%.*s.", (int)key.len, key.at);

            if (name) compare(a, subject, name, old, now);
        } else if (now.kind == JSON_ABSENT) {
            add_change(a, subject, "%s%.*s %.*s -> gone", outer, SHOWN(key), SHOWN(old.text));
            add_note(a, "%s: %s%.*s was %.*s; the entry does not say it, so it is gone", subject, outer, SHOWN(key),
                     SHOWN(old.text));
        } else if (!span_eq(old.text, now.text)) {
            add_change(a, subject, "%s%.*s %.*s -> %.*s", outer, SHOWN(key), SHOWN(old.text), SHOWN(now.text));
        }
    }
    for (it = jscan_iter(is); jscan_next(&it, &key, &now);)
        if (member_of(was, key).kind == JSON_ABSENT)
            add_change(a, subject, "%s%.*s nothing -> %.*s", outer, SHOWN(key), SHOWN(now.text));
}

void apply_note_changes(struct apply *a, const char *action, const char *subject, struct span before, struct span after)
{
    struct jfault fault;
    struct jval was, is;

    if (!before.len) add_change(a, subject, "%s", action);
    else if (jscan_check(before, DEPTH, &was, &fault) || jscan_check(after, DEPTH, &is, &fault)) return;
    else if (was.kind == JSON_OBJECT && is.kind == JSON_OBJECT) compare(a, subject, "", was, is);
    else add_change(a, subject, "%.*s -> %.*s", SHOWN(before), SHOWN(after));
}
