/* Fuzz target: jscan. What jscan_check accepts, json-c accepts in strict mode and reads the same; walking twice gives
 * the same; a value cut out of a checked text is itself a text that passes. json-c 0.16 reads differently in five known
 * ways, left out of the comparison of meanings: it cuts names at \u0000, keeps only the last of equal names, clamps
 * whole numbers, mends runs of lone surrogates with more or fewer U+FFFD than there are, and takes a good pair whose
 * code point ends in D800 to DFFF (U+2D800) for a lone one. */
#include <json-c/json.h>
#include <stdlib.h>
#include "fcgi/base/buf.c"
#include "fcgi/base/jcheck.c"
#include "fcgi/base/jscan.c"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must(bool what)
{
    if (!what)
        abort();
}

static void same_value(struct jval v, struct json_object *j);

/* Is there an escaped surrogate that json-c mistakes: a lone one, or a pair for a code point that ends like one? */
static bool is_mistaken(struct span raw, struct span meant)
{
    if (!memmem(raw.at, raw.len, "\\ud", 3) && !memmem(raw.at, raw.len, "\\uD", 3))
        return false;
    for (size_t i = 0; i + 3 <= meant.len; i++) {
        const unsigned char *p = (const unsigned char *)meant.at + i;
        bool mended = memcmp(p, "\xEF\xBF\xBD", 3) == 0;
        bool ends_like_one = p[0] >= 0xF0 && (p[1] & 0xF) == 0xD && (p[2] & 0x20);
        if (mended || ends_like_one)
            return true;
    }
    return false;
}

/* No name of the object can have become another's in json-c. */
static bool names_survive(struct span object)
{
    return !memmem(object.at, object.len, "\\u0000", 6) && !memmem(object.at, object.len, "\\ud", 3) &&
           !memmem(object.at, object.len, "\\uD", 3);
}

static void same_string(struct jval v, struct json_object *j)
{
    struct buf meant;
    buf_init(&meant, 1 << 24);
    must(jval_string(v, &meant) == WEIR_OK);
    struct span theirs = {json_object_get_string(j), (size_t)json_object_get_string_len(j)};
    must(span_eq(buf_all(&meant), theirs) || is_mistaken(v.text, buf_all(&meant)));
    bool nul = meant.len && memchr(meant.at, '\0', meant.len);
    must(nul || jval_is(v, buf_cstr(&meant)));
    buf_free(&meant);
}

static void same_object(struct jval v, struct json_object *j)
{
    struct jiter it = jscan_iter(v);
    struct span key, dup;
    struct jval val;
    bool unique = jscan_is_unique(v, &dup);
    size_t n = 0;
    while (jscan_next(&it, &key, &val)) {
        struct buf name;
        struct json_object *member;
        n++;
        buf_init(&name, 1 << 24);
        must(jval_string((struct jval){JSON_STRING, {key.at - 1, key.len + 2}}, &name) == WEIR_OK);
        bool nul = name.len && memchr(name.at, '\0', name.len);
        must(nul || jkey_is(key, buf_cstr(&name)));
        if (names_survive(v.text)) {
            must(json_object_object_get_ex(j, buf_cstr(&name), &member));
            if (unique) {
                must(span_eq(jscan_find(v, buf_cstr(&name)).text, val.text));
                same_value(val, member);
            }
        }
        buf_free(&name);
    }
    must(n == jscan_count(v) && n >= (size_t)json_object_object_length(j));
}

static void same_array(struct jval v, struct json_object *j)
{
    struct jiter it = jscan_iter(v);
    struct span key;
    struct jval val;
    size_t n = 0;
    for (; jscan_next(&it, &key, &val); n++) {
        must(!key.at && n < json_object_array_length(j));
        same_value(val, json_object_array_get_idx(j, n));
    }
    must(n == json_object_array_length(j) && n == jscan_count(v));
}

static void same_value(struct jval v, struct json_object *j)
{
    int64_t n;
    switch (v.kind) {
    case JSON_OBJECT:
        must(json_object_is_type(j, json_type_object));
        same_object(v, j);
        break;
    case JSON_ARRAY:
        must(json_object_is_type(j, json_type_array));
        same_array(v, j);
        break;
    case JSON_STRING:
        must(json_object_is_type(j, json_type_string));
        same_string(v, j);
        break;
    case JSON_NUMBER:
        must(json_object_is_type(j, json_type_int) || json_object_is_type(j, json_type_double));
        if (jval_int(v, &n))
            must(json_object_get_int64(j) == n);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        must(json_object_is_type(j, json_type_boolean) && json_object_get_boolean(j) == (v.kind == JSON_TRUE));
        break;
    case JSON_NULL:
        must(j == NULL);
        break;
    case JSON_ABSENT:
        abort();
    }
}

/* Every key and value below v, in order, into out. */
static void walk(struct jval v, struct buf *out)
{
    struct jiter it = jscan_iter(v);
    struct span key;
    struct jval val;
    while (jscan_next(&it, &key, &val)) {
        buf_printf(out, "%d %d %zu:", (int)val.kind, key.at != NULL, val.text.len);
        buf_span(out, key);
        if (val.kind == JSON_OBJECT || val.kind == JSON_ARRAY)
            walk(val, out);
        else
            buf_span(out, val.text);
    }
}

/* What is noted under a member's name while the text is checked is the last member of that name. */
static void same_note(struct jval root)
{
    struct jiter it = jscan_iter(root);
    struct span key, latest = SPAN_NONE;
    struct jval val, last = {JSON_ABSENT, SPAN_NONE}, again;
    struct jfault fault;
    struct buf name;
    while (jscan_next(&it, &key, &val))
        latest = key;
    buf_init(&name, 1 << 24);
    must(!latest.at || jval_string((struct jval){JSON_STRING, {latest.at - 1, latest.len + 2}}, &name) == WEIR_OK);
    struct jnote note = {.name = buf_cstr(&name)};
    for (it = jscan_iter(root); jscan_next(&it, &key, &val);)
        if (jkey_is(key, note.name))
            last = val;
    must(jscan_check_noting(root.text, BOUND_JSON_DEPTH, &note, 1, &again, &fault) == WEIR_OK);
    must(note.v.kind == last.kind && span_eq(note.v.text, last.text));
    buf_free(&name);
}

static void compare(struct jval root)
{
    if (root.kind != JSON_OBJECT && root.kind != JSON_ARRAY)
        return;
    struct json_tokener *tok = json_tokener_new_ex(BOUND_JSON_DEPTH + 1);
    must(tok);
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *tree = json_tokener_parse_ex(tok, root.text.at, (int)root.text.len);
    must(json_tokener_get_error(tok) == json_tokener_success && tree);
    same_value(root, tree);
    json_object_put(tree);
    json_tokener_free(tok);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct span text = {n ? (const char *)bytes : "", n};
    struct jval root, again;
    struct jfault fault = {SIZE_MAX, NULL};

    if (jscan_check(text, BOUND_JSON_DEPTH, &root, &fault) != WEIR_OK) {
        must(fault.what && fault.at <= n);
        return 0;
    }
    must(jscan_check(root.text, BOUND_JSON_DEPTH, &again, &fault) == WEIR_OK);
    must(again.kind == root.kind && span_eq(again.text, root.text));

    struct buf once, twice;
    buf_init(&once, 64 << 20);
    buf_init(&twice, 64 << 20);
    walk(root, &once);
    walk(root, &twice);
    must(once.err == WEIR_OK && span_eq(buf_all(&once), buf_all(&twice)));
    buf_free(&once);
    buf_free(&twice);
    same_note(root);
    compare(root);
    return 0;
}
