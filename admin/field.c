/* Reads members of JSON objects into C structs by a table of fields. Knows no section of the document. */
#include "admin/field.h"

#include <stdarg.h>
#include <stdio.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/text.h"

#define FIELDS_MAX 64 /* fields in a table: a bit each */

/* ---- the path ---- */

static size_t path_add(struct reader *r, const char *lead, struct span text, const char *end)
{
    size_t before = r->path_len;
    struct span shown = {text.at, text_cut(text, 80)};
    int n = snprintf(r->path + before, sizeof r->path - before, "%s%.*s%s", before || *lead == '[' ? lead : "",
                     (int)shown.len, shown.at, end);

    if (n > 0) r->path_len = before + (size_t)n < sizeof r->path ? before + (size_t)n : sizeof r->path - 1;
    return before;
}

size_t path_key(struct reader *r, struct span name)
{
    char clean[80];
    size_t n = text_cut(name, sizeof clean);

    for (size_t i = 0; i < n; i++) clean[i] = (unsigned char)name.at[i] < 0x20 || name.at[i] == 0x7f ? '?' : name.at[i];
    return path_add(r, ".", (struct span){clean, n}, "");
}

size_t path_member(struct reader *r, const char *name)
{
    return path_add(r, ".", span_of(name), "");
}

size_t path_index(struct reader *r, size_t i)
{
    char number[24];

    snprintf(number, sizeof number, "%zu", i);
    return path_add(r, "[", span_of(number), "]");
}

void path_back(struct reader *r, size_t before)
{
    r->path_len = before;
    r->path[before] = 0;
}

static void fault_set(struct reader *r, const char *fmt, va_list ap)
{
    int n = vsnprintf(r->fault, sizeof r->fault, fmt, ap);

    if (n >= (int)sizeof r->fault) r->fault[text_cut((struct span){r->fault, (size_t)n}, sizeof r->fault - 1)] = 0;
}

bool refuse(struct reader *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fault_set(r, fmt, ap);
    va_end(ap);
    return false;
}

bool refuse_member(struct reader *r, const char *name, const char *fmt, ...)
{
    va_list ap;

    path_member(r, name);
    va_start(ap, fmt);
    fault_set(r, fmt, ap);
    va_end(ap);
    return false;
}

bool refuse_memory(struct reader *r)
{
    r->no_memory = true;
    return refuse(r, "out of memory");
}

/* ---- values ---- */

bool text_has_controls(struct span s, bool lines_allowed)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];

        if (lines_allowed && (c == '\n' || c == '\r' || c == '\t')) continue;
        if (c < 0x20 || c == 0x7f) return true;
        if (c == 0xc2 && i + 1 < s.len && (unsigned char)s.at[i + 1] < 0xa0) return true; /* U+0080 to U+009F */
    }
    return false;
}

bool choice_is(const char *choices, struct span word)
{
    for (const char *at = choices;;) {
        const char *bar = strchr(at, '|');
        size_t n = bar ? (size_t)(bar - at) : strlen(at);

        if (span_eq((struct span){at, n}, word)) return true;
        if (!bar) return false;
        at = bar + 1;
    }
}

bool text_read(struct reader *r, struct jval value, struct span *out)
{
    struct buf text;
    char *copy = NULL;

    if (value.kind != JSON_STRING) return refuse(r, "must be a text");
    buf_init(&text, value.text.len + 16);
    if (jval_string(value, &text) == WEIR_OK) copy = arena_str(r->memory, buf_all(&text));
    *out = (struct span){copy, text.len};
    buf_free(&text);
    if (!copy) return refuse_memory(r);
    if (memchr(copy, 0, out->len)) return refuse(r, "must not hold a NUL");
    return true;
}

static bool read_text(struct reader *r, struct jval value, const struct field *f, const char **into)
{
    int64_t least = f->type == FIELD_NAME ? 1 : f->least, most = f->type == FIELD_NAME ? BOUND_NAME : f->most;
    struct span text;

    if (!text_read(r, value, &text)) return false;
    if (least > 0 && text.len == 0) return refuse(r, "must not be empty");
    if ((int64_t)text.len < least) return refuse(r, "must have at least %lld characters", (long long)least);
    if (most && (int64_t)text.len > most) return refuse(r, "must have at most %lld bytes", (long long)most);
    if (text_has_controls(text, f->type == FIELD_LINES)) return refuse(r, "must not hold control characters");
    *into = text.at;
    return true;
}

static bool read_int(struct reader *r, struct jval value, const struct field *f, int64_t *into)
{
    int64_t n;

    if (value.kind != JSON_NUMBER) return refuse(r, "must be a number");
    if (!jval_int(value, &n)) return refuse(r, "must be a whole number that fits");
    if (n < f->least && f->least == 1) return refuse(r, "must be above 0");
    if (n < f->least && f->least == 0) return refuse(r, "must not be below 0");
    if (n < f->least || n > f->most) return refuse(r, "must be from %lld to %lld", (long long)f->least, (long long)f->most);
    *into = n;
    return true;
}

static bool read_money(struct reader *r, struct jval value, int64_t *into)
{
    struct span text;

    if (value.kind != JSON_STRING) return refuse(r, "must be a decimal text of US dollars like \"0.15\"");
    if (!text_read(r, value, &text)) return false;
    if (!money_parse(text, into))
        return refuse(r, "must be a decimal text of US dollars like \"0.15\", with at most 9 decimals");
    return true;
}

static bool read_choice(struct reader *r, struct jval value, const struct field *f, const char **into)
{
    struct span text;

    if (!text_read(r, value, &text)) return false;
    if (!choice_is(f->choices, text)) return refuse(r, "must be one of %s", f->choices);
    *into = text.at;
    return true;
}

static bool read_kind(struct reader *r, struct jval value, enum json_kind kind, struct jval *into)
{
    if (kind == JSON_OBJECT && value.kind != kind) return refuse(r, "must be an object");
    if (kind == JSON_ARRAY && value.kind != kind) return refuse(r, "must be an array");
    *into = value;
    return true;
}

bool field_read(struct reader *r, struct jval value, const struct field *f, void *into)
{
    void *at = (char *)into + f->offset;

    switch (f->type) {
    case FIELD_NAME:
    case FIELD_TEXT:
    case FIELD_LINES:  return read_text(r, value, f, at);
    case FIELD_INT:    return read_int(r, value, f, at);
    case FIELD_MONEY:  return read_money(r, value, at);
    case FIELD_CHOICE: return read_choice(r, value, f, at);
    case FIELD_OBJECT: return read_kind(r, value, JSON_OBJECT, at);
    case FIELD_ARRAY:  return read_kind(r, value, JSON_ARRAY, at);
    case FIELD_ANY:    return read_kind(r, value, value.kind, at);
    case FIELD_BOOL:
        if (!jval_bool(value, at)) return refuse(r, "must be true or false");
        return true;
    }
    return refuse(r, "is of an unknown type");
}

bool fields_read(struct reader *r, struct jval object, const struct field *table, void *into)
{
    struct jiter it = jscan_iter(object);
    uint64_t seen = 0;
    struct span key;
    struct jval value;

    if (object.kind != JSON_OBJECT) return refuse(r, "must be an object");
    while (jscan_next(&it, &key, &value)) {
        const struct field *f = table;
        size_t before = path_key(r, key);

        while (f->name && !jkey_is(key, f->name)) f++;
        if (!f->name) return refuse(r, "is no member known here");
        uint64_t bit = (uint64_t)1 << ((f - table) % FIELDS_MAX);
        if (seen & bit) return refuse(r, "stands there twice");
        seen |= bit;
        if (!field_read(r, value, f, into)) return false;
        path_back(r, before);
    }
    for (const struct field *f = table; f->name; f++)
        if (f->required && !(seen & ((uint64_t)1 << ((f - table) % FIELDS_MAX))))
            return f->type == FIELD_CHOICE ? refuse_member(r, f->name, "is missing; one of %s", f->choices)
                                           : refuse_member(r, f->name, "is missing");
    return true;
}
