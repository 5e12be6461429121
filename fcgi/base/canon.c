/* The canonical form. */
#include "fcgi/base/canon.h"

#include <stdlib.h>

#include "fcgi/base/text.h"

#define DEEP 16
#define FEW  9 /* members of most objects */
#define REPLACED "\xef\xbf\xbd" /* U+FFFD */

/* name: between the quotes; undone: the same without escapes, NULL where it has none. */
struct member { struct span name; struct jval value; size_t place; char *undone; size_t undone_len; };

static enum weir_err write_value(struct jval v, const char *const *skip, int depth, struct buf *out);

static bool is_plain(struct span quoted) { return !memchr(quoted.at, '\\', quoted.len); }

/* Has it no escapes but those that it would be written with again? */
static bool is_canonical(struct span literal)
{
    const char *at = literal.at, *end = literal.at + literal.len;
    for (; (at = memchr(at, '\\', (size_t)(end - at))); at += 2)
        if (!memchr("bfnrt\"\\", at[1], 7)) return false;
    return true;
}

/* A literal: with its quotes. */
static enum weir_err write_string(struct span literal, struct buf *out)
{
    struct buf text;
    if (is_canonical(literal)) return buf_span(out, literal);
    buf_init(&text, literal.len * 3); /* a lone surrogate's six bytes become three */
    enum weir_err err = jval_string((struct jval){JSON_STRING, literal}, &text);
    bool is_lossy = err == WEIR_OK && span_has(buf_all(&text), REPLACED); /* of any lone surrogate */
    if (is_lossy) buf_span(out, literal);
    else if (err == WEIR_OK) json_string(out, buf_all(&text));
    buf_free(&text);
    return err == WEIR_OK ? out->err : err;
}

static struct span literal_of(struct span name) { return (struct span){name.at - 1, name.len + 2}; }

static int compare_spans(struct span a, struct span b)
{
    int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static struct span meaning_of(const struct member *m)
{
    return m->undone ? (struct span){m->undone, m->undone_len} : m->name;
}

/* False: memory is out. */
static bool undo(struct member *m)
{
    struct buf text;
    m->undone = NULL;
    if (is_plain(m->name)) return true;
    buf_init(&text, m->name.len * 3 + 1);
    bool whole = jval_string((struct jval){JSON_STRING, literal_of(m->name)}, &text) == WEIR_OK;
    if (whole && (m->undone = malloc(text.len + 1))) memcpy(m->undone, buf_cstr(&text), m->undone_len = text.len);
    buf_free(&text);
    return m->undone;
}

static int compare_members(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    int order = compare_spans(meaning_of(x), meaning_of(y));
    return order ? order : (x->place > y->place) - (x->place < y->place);
}

static bool is_skipped(struct span name, const char *const *skip)
{
    for (; skip && *skip; skip++)
        if (jkey_is(name, *skip)) return true;
    return false;
}

/* Those that are written, in the order they came in. */
static enum weir_err list_members(struct jval object, const char *const *skip, struct buf *list)
{
    struct member m = {.place = 0};
    struct jiter it = jscan_iter(object);
    for (; jscan_next(&it, &m.name, &m.value); m.place++) {
        if (is_skipped(m.name, skip)) continue;
        if (!undo(&m)) return WEIR_NOMEM;
        if (buf_add(list, &m, sizeof m) == WEIR_OK) continue;
        free(m.undone);
        return WEIR_NOMEM;
    }
    return WEIR_OK;
}

static enum weir_err write_object(struct jval v, const char *const *skip, int depth, struct buf *out)
{
    struct buf list;
    struct member room[FEW];
    buf_init_in(&list, room, sizeof room, SIZE_MAX - 1);
    enum weir_err err = list_members(v, skip, &list);
    struct member *members = (struct member *)(void *)list.at;
    size_t count = list.len / sizeof *members;
    if (err == WEIR_OK && count > 1) qsort(members, count, sizeof *members, compare_members);
    if (err == WEIR_OK) err = buf_char(out, '{');
    for (size_t i = 0; i < count && err == WEIR_OK; i++) {
        if (i) buf_char(out, ',');
        err = write_string(literal_of(members[i].name), out);
        buf_char(out, ':');
        if (err == WEIR_OK) err = write_value(members[i].value, NULL, depth + 1, out);
    }
    for (size_t i = 0; i < count; i++) free(members[i].undone);
    buf_free(&list);
    return err == WEIR_OK ? buf_char(out, '}') : err;
}

static enum weir_err write_array(struct jval v, int depth, struct buf *out)
{
    struct span none;
    struct jval element;
    struct jiter it = jscan_iter(v);
    enum weir_err err = buf_char(out, '[');
    for (bool first = true; err == WEIR_OK && jscan_next(&it, &none, &element); first = false) {
        if (!first) buf_char(out, ',');
        err = write_value(element, NULL, depth + 1, out);
    }
    return err == WEIR_OK ? buf_char(out, ']') : err;
}

static enum weir_err write_value(struct jval v, const char *const *skip, int depth, struct buf *out)
{
    if (depth == DEEP) return buf_span(out, v.text);
    switch (v.kind) {
    case JSON_OBJECT: return write_object(v, skip, depth, out);
    case JSON_ARRAY: return write_array(v, depth, out);
    case JSON_STRING: return write_string(v.text, out);
    default: return buf_span(out, v.text);
    }
}

enum weir_err canon_write(struct jval v, const char *const *skip, struct buf *out)
{
    return write_value(v, skip, 0, out);
}
