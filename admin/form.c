/* Reads forms and queries, and makes document entries of them. */
#include "admin/form.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/text.h"

/* ---- reading ---- */

static char *decoded(struct span raw, struct arena *a)
{
    struct buf text;
    char *kept = NULL;
    buf_init(&text, raw.len + 1);
    if (url_decode(&text, raw, true) == WEIR_OK && text_is_utf8(buf_all(&text))) kept = arena_str(a, buf_all(&text));
    buf_free(&text);
    return kept;
}

/* Up to the next '&', which is taken off too. */
static struct span next_pair(struct span *left)
{
    const char *end = memchr(left->at, '&', left->len);
    struct span pair = {left->at, end ? (size_t)(end - left->at) : left->len};
    left->at += pair.len + (end ? 1 : 0);
    left->len -= pair.len + (end ? 1 : 0);
    return pair;
}

enum weir_err form_read(struct span text, struct arena *a, struct form *out, struct problem *p)
{
    size_t most = 1;
    for (size_t i = 0; i < text.len; i++) most += text.at[i] == '&';
    *out = (struct form){0};
    if (most > FORM_FIELDS) return problem_set(p, WEIR_INVALID, NULL, "There are more than %d fields.", FORM_FIELDS);
    out->at = arena_alloc(a, sizeof *out->at * most);
    if (!out->at) return problem_set(p, WEIR_NOMEM, NULL, NULL);
    while (text.len) {
        struct span pair = next_pair(&text);
        const char *equals = pair.len ? memchr(pair.at, '=', pair.len) : NULL;
        size_t n = equals ? (size_t)(equals - pair.at) : pair.len, rest = equals ? n + 1 : n;
        if (!pair.len) continue;
        struct form_field *f = &out->at[out->count++];
        f->name = decoded((struct span){pair.at, n}, a);
        f->value = decoded((struct span){pair.at + rest, pair.len - rest}, a);
        if (!f->name || !f->value)
            return problem_set(p, WEIR_INVALID, NULL, "A field cannot be read: it has a bad escape, a NUL, or is not "
                               "UTF-8.");
    }
    return WEIR_OK;
}

const char *form_get(const struct form *f, const char *name)
{
    for (int i = 0; i < f->count; i++)
        if (strcmp(f->at[i].name, name) == 0) return f->at[i].value;
    return NULL;
}

const char *form_text(const struct form *f, const char *name)
{
    const char *value = form_get(f, name);
    return value ? value : "";
}

int64_t form_int(const struct form *f, const char *name, int64_t least, int64_t most, int64_t standard)
{
    const char *text = form_get(f, name);
    char *end;
    if (!text || !*text) return standard;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    return errno || *end || n < least || n > most ? standard : n;
}

/* ---- making an entry ---- */

static void add_list(struct buf *out, const char *lines)
{
    const char *lead = "[";
    while (*lines) {
        size_t n = strcspn(lines, "\r\n");
        struct span line = span_trim((struct span){lines, n});
        if (line.len) {
            buf_str(out, lead);
            json_string(out, line);
            lead = ",";
        }
        lines += n + strspn(lines + n, "\r\n");
    }
    buf_str(out, *lead == '[' ? "[]" : "]");
}

static bool is_blank(const char *text) { return !text[strspn(text, " \t\r\n")]; }

static void add_value(struct buf *out, enum member_kind kind, const char *value)
{
    struct jfault fault;
    struct jval v;
    struct span text = span_of(value);
    switch (kind) {
    case MEMBER_NUMBER:
        if (jscan_check(span_trim(text), 1, &v, &fault) == WEIR_OK && v.kind == JSON_NUMBER) buf_span(out, v.text);
        else json_string(out, text);
        break;
    case MEMBER_FLAG: buf_str(out, *value ? "true" : "false"); break;
    case MEMBER_LIST: add_list(out, value); break;
    case MEMBER_RAW: buf_span(out, text); break;
    case MEMBER_TEXT: json_string(out, text); break;
    }
}

/* What the page does not show is kept as it is. */
static void carry_over(struct buf *out, const struct member *table, struct span stored, const char **lead)
{
    struct jfault fault;
    struct jval root, v;
    struct span key;
    if (!stored.at || jscan_check(stored, BOUND_JSON_DEPTH, &root, &fault) != WEIR_OK) return;
    struct jiter it = jscan_iter(root);
    while (jscan_next(&it, &key, &v)) {
        const struct member *m = table;
        while (m->name && !jkey_is(key, m->name)) m++;
        if (m->name) continue;
        buf_str(out, *lead);
        buf_char(out, '"');
        buf_span(out, key);
        buf_str(out, "\":");
        buf_span(out, v.text);
        *lead = ",";
    }
}

/* *lead: what stands before the next member. */
static void add_members(const struct form *f, const char *before, const struct member *table, struct buf *out,
                        const char **lead)
{
    for (const struct member *m = table; m->name; m++) {
        char name[80];
        snprintf(name, sizeof name, "%s%s", before, m->name);
        const char *value = form_text(f, name);
        if (m->kind != MEMBER_FLAG && is_blank(value)) continue;
        buf_str(out, *lead);
        buf_printf(out, "\"%s\":", m->name);
        add_value(out, m->kind, value);
        *lead = ",";
    }
}

const char *form_object(const struct form *f, const char *lead, const struct member *table, struct arena *a)
{
    struct buf json;
    const char *next = "{";
    buf_init(&json, BOUND_ADMIN_BODY * 8);
    add_members(f, lead, table, &json, &next);
    buf_char(&json, '}');
    const char *kept = *next == ',' && !json.err ? arena_str(a, buf_all(&json)) : NULL;
    buf_free(&json);
    return kept;
}

enum weir_err form_entry(const struct form *f, const struct member *table, struct span stored, struct buf *out)
{
    const char *lead = "{";
    add_members(f, "", table, out, &lead);
    carry_over(out, table, stored, &lead);
    return buf_str(out, *lead == '{' ? "{}" : "}");
}

/* ---- making fields of an entry ---- */

struct spread { struct arena *memory; struct form *out; bool failed; };

static void add_field(struct spread *s, const char *name, const char *value)
{
    if (!name || !value || s->out->count == FORM_FIELDS) s->failed = true;
    else s->out->at[s->out->count++] = (struct form_field){name, value};
}

static const char *plain_text(struct spread *s, struct jval v)
{
    struct buf text;
    buf_init(&text, v.text.len + 16);
    enum weir_err err = v.kind == JSON_STRING ? jval_string(v, &text) : buf_span(&text, v.text);
    const char *kept = err == WEIR_OK ? arena_str(s->memory, buf_all(&text)) : NULL;
    buf_free(&text);
    return kept;
}

static const char *lines_of(struct spread *s, struct jval list)
{
    struct buf text;
    struct jiter it = jscan_iter(list);
    struct span no_key;
    struct jval v;
    buf_init(&text, list.text.len * 3 + 16);
    while (jscan_next(&it, &no_key, &v)) {
        if (text.len) buf_char(&text, '\n');
        const char *line = plain_text(s, v);
        if (line) buf_str(&text, line);
        else s->failed = true;
    }
    const char *kept = text.err ? NULL : arena_str(s->memory, buf_all(&text));
    buf_free(&text);
    return kept;
}

static bool holds_objects(struct jval list)
{
    struct jiter it = jscan_iter(list);
    struct span no_key;
    struct jval v;
    return jscan_next(&it, &no_key, &v) && v.kind == JSON_OBJECT;
}

/* lead: what stands before the names, "" or "timeouts.". Two levels of objects are all there are. */
static void spread_object(struct spread *s, struct jval object, const char *lead, int depth)
{
    struct jiter it = jscan_iter(object);
    struct span key;
    struct jval v;
    for (int i = 0; !s->failed && jscan_next(&it, &key, &v); i++) {
        char *name = it.object ? arena_printf(s->memory, "%s%.*s", lead, (int)key.len, key.at)
                               : arena_printf(s->memory, "%s%d", lead, i);
        bool deeper = v.kind == JSON_OBJECT || (v.kind == JSON_ARRAY && holds_objects(v));
        if (!name) s->failed = true;
        else if (deeper && depth < 3) spread_object(s, v, arena_printf(s->memory, "%s.", name), depth + 1);
        else if (v.kind == JSON_ARRAY) add_field(s, name, lines_of(s, v));
        else if (v.kind == JSON_TRUE) add_field(s, name, "1");
        else if (v.kind > JSON_FALSE) add_field(s, name, plain_text(s, v));
    }
}

enum weir_err form_of_entry(struct span json, struct arena *a, struct form *out)
{
    struct spread s = {a, out, false};
    struct jfault fault;
    struct jval root;
    *out = (struct form){.at = arena_alloc(a, sizeof *out->at * FORM_FIELDS)};
    if (!out->at) return WEIR_NOMEM;
    if (jscan_check(json, BOUND_JSON_DEPTH, &root, &fault) != WEIR_OK) return WEIR_INVALID;
    spread_object(&s, root, "", 0);
    return s.failed ? WEIR_NOMEM : WEIR_OK;
}
