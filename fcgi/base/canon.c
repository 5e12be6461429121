/* The canonical form. Depth is bounded by the check that every text has gone through (BOUND_JSON_DEPTH). */
#include "fcgi/base/canon.h"

#include <stdlib.h>

#include "fcgi/base/text.h"

struct member { struct span name; /* between the quotes */ struct jval value; size_t place; };

static bool is_plain(struct span quoted) { return !memchr(quoted.at, '\\', quoted.len); }

/* A literal: with its quotes. */
static enum weir_err write_string(struct span literal, struct buf *out)
{
    struct buf text;
    if (is_plain(literal)) return buf_span(out, literal);
    buf_init(&text, literal.len * 3); /* a lone surrogate's six bytes become three */
    enum weir_err err = jval_string((struct jval){JSON_STRING, literal}, &text);
    if (err == WEIR_OK) json_string(out, buf_all(&text));
    buf_free(&text);
    return err == WEIR_OK ? out->err : err;
}

static struct span literal_of(struct span name) { return (struct span){name.at - 1, name.len + 2}; }

static int compare_spans(struct span a, struct span b)
{
    int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* By what the names mean. Names with escapes are rare: they are undone each time. */
static int compare_names(struct span a, struct span b)
{
    struct buf x, y;
    if (is_plain(a) && is_plain(b)) return compare_spans(a, b);
    buf_init(&x, a.len * 3 + 1);
    buf_init(&y, b.len * 3 + 1);
    jval_string((struct jval){JSON_STRING, literal_of(a)}, &x);
    jval_string((struct jval){JSON_STRING, literal_of(b)}, &y);
    int order = compare_spans(buf_all(&x), buf_all(&y));
    buf_free(&x);
    buf_free(&y);
    return order;
}

static int compare_members(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    int order = compare_names(x->name, y->name);
    return order ? order : (x->place > y->place) - (x->place < y->place);
}

static bool is_skipped(struct span name, const char *const *skip)
{
    for (; skip && *skip; skip++)
        if (jkey_is(name, *skip)) return true;
    return false;
}

static enum weir_err write_object(struct jval v, const char *const *skip, struct buf *out)
{
    size_t count = 0, room = jscan_count(v);
    struct member *members = malloc((room + 1) * sizeof *members);
    struct jiter it = jscan_iter(v);
    if (!members) return WEIR_NOMEM;
    for (struct member m; count < room && jscan_next(&it, &m.name, &m.value);) {
        m.place = count;
        if (!is_skipped(m.name, skip)) members[count++] = m;
        else room--;
    }
    qsort(members, count, sizeof *members, compare_members);
    enum weir_err err = buf_char(out, '{');
    for (size_t i = 0; i < count && err == WEIR_OK; i++) {
        if (i) buf_char(out, ',');
        err = write_string(literal_of(members[i].name), out);
        buf_char(out, ':');
        if (err == WEIR_OK) err = canon_write(members[i].value, NULL, out);
    }
    free(members);
    return err == WEIR_OK ? buf_char(out, '}') : err;
}

static enum weir_err write_array(struct jval v, struct buf *out)
{
    struct span none;
    struct jval element;
    struct jiter it = jscan_iter(v);
    enum weir_err err = buf_char(out, '[');
    for (bool first = true; err == WEIR_OK && jscan_next(&it, &none, &element); first = false) {
        if (!first) buf_char(out, ',');
        err = canon_write(element, NULL, out);
    }
    return err == WEIR_OK ? buf_char(out, ']') : err;
}

enum weir_err canon_write(struct jval v, const char *const *skip, struct buf *out)
{
    switch (v.kind) {
    case JSON_OBJECT: return write_object(v, skip, out);
    case JSON_ARRAY: return write_array(v, out);
    case JSON_STRING: return write_string(v.text, out);
    default: return buf_span(out, v.text);
    }
}
