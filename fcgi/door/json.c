/* The json-c door. A text is checked by jscan before json-c sees it, so json-c never meets malformed bytes and a
 * fault has its offset; json-c then only builds, changes and writes trees. No other file includes json-c. */
/* json-c has types named as two of our functions. */
#define json_object json_c_object
#define json_bool   json_c_bool
#include <json-c/json.h>
#undef json_object
#undef json_bool

#include "fcgi/door/json.h"

#include <limits.h>
#include "fcgi/base/bounds.h"
#include "fcgi/base/text.h"
#include "fcgi/base/utf8.h"

/* json-c's null is a NULL pointer; ours must differ from "no such member". */
static const char the_null;

static struct json *ours(struct json_c_object *theirs)
{
    return theirs ? (struct json *)theirs : (struct json *)&the_null;
}

static struct json_c_object *theirs_of(const struct json *j)
{
    return j == (const struct json *)&the_null ? NULL : (struct json_c_object *)j;
}

/* ---- reading -------------------------------------------------------------------------------------------- */

/* The three below go over checked text and look for what json-c would change in silence. */

/* A name with \u0000 in it, which json-c cuts short there. `at` is moved from the opening quote behind the string. */
static const char *nul_name(const char **at, const char *end)
{
    const char *nul = NULL, *p = *at + 1;
    for (; *p != '"'; p += *p == '\\' ? 2 : 1) {
        if (!nul && end - p > 6 && memcmp(p, "\\u0000", 6) == 0)
            nul = p;
    }
    *at = ++p;
    while (nul && p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return nul && p < end && *p == ':' ? nul : NULL;
}

/* A whole number outside of int64 and uint64, which json-c moves to the nearest it can hold. */
static const char *clamped_number(const char **at, const char *end)
{
    struct span s = {*at, 0};
    bool whole = true;
    for (; *at < end && **at && strchr("0123456789+-.eE", **at); (*at)++) {
        s.len++;
        whole = whole && **at != '.' && **at != 'e' && **at != 'E';
    }
    int64_t n;
    if (!whole || jval_int((struct jval){JSON_NUMBER, s}, &n))
        return NULL;
    const struct span most = SPAN("18446744073709551615");
    bool fits = *s.at != '-' && (s.len < most.len || (s.len == most.len && memcmp(s.at, most.at, s.len) <= 0));
    return fits ? NULL : s.at;
}

static bool survives(struct span text, struct jfault *fault)
{
    const char *at = text.at, *end = text.at + text.len, *lost = NULL;
    const char *what = NULL;
    while (at < end && !lost) {
        if (*at == '"') {
            lost = nul_name(&at, end);
            what = "NUL in a member name";
        } else if (*at == '-' || (*at >= '0' && *at <= '9')) {
            lost = clamped_number(&at, end);
            what = "number out of range";
        } else {
            at++;
        }
    }
    if (lost)
        *fault = (struct jfault){(size_t)(lost - text.at), what};
    return !lost;
}

enum weir_err json_parse(struct span text, struct json **out, struct jfault *fault)
{
    struct jval root;
    enum weir_err err = jscan_check(text, BOUND_JSON_DEPTH, &root, fault);
    if (err)
        return err;
    if (!survives(text, fault))
        return WEIR_INVALID;
    if (root.text.len > INT_MAX) {
        *fault = (struct jfault){INT_MAX, "too long"};
        return WEIR_INVALID;
    }
    /* The scalar inside the innermost container is a level of its own to json-c. */
    struct json_tokener *tok = json_tokener_new_ex(BOUND_JSON_DEPTH + 1);
    if (!tok)
        return WEIR_NOMEM;
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
    struct json_c_object *tree = json_tokener_parse_ex(tok, root.text.at, (int)root.text.len);
    if (json_tokener_get_error(tok) == json_tokener_continue)
        tree = json_tokener_parse_ex(tok, "", 1); /* the NUL tells it that a bare number is over */

    if (json_tokener_get_error(tok) == json_tokener_success) {
        *out = ours(tree);
    } else { /* the text was good: json-c is out of memory */
        err = WEIR_NOMEM;
    }
    json_tokener_free(tok);
    return err;
}

void json_free(struct json *root)
{
    json_object_put(theirs_of(root));
}

enum json_kind json_is(const struct json *j)
{
    if (!j)
        return JSON_ABSENT;
    switch (json_object_get_type(theirs_of(j))) {
    case json_type_null: return JSON_NULL;
    case json_type_boolean: return json_object_get_boolean(theirs_of(j)) ? JSON_TRUE : JSON_FALSE;
    case json_type_double:
    case json_type_int: return JSON_NUMBER;
    case json_type_string: return JSON_STRING;
    case json_type_array: return JSON_ARRAY;
    case json_type_object: return JSON_OBJECT;
    }
    return JSON_ABSENT;
}

struct json *json_get(const struct json *object, const char *name)
{
    struct json_c_object *member;
    if (json_is(object) != JSON_OBJECT || !json_object_object_get_ex(theirs_of(object), name, &member))
        return NULL;
    return ours(member);
}

size_t json_count(const struct json *j)
{
    switch (json_is(j)) {
    case JSON_OBJECT: return (size_t)json_object_object_length(theirs_of(j));
    case JSON_ARRAY: return json_object_array_length(theirs_of(j));
    default: return 0;
    }
}

struct json *json_at(const struct json *array, size_t i)
{
    if (json_is(array) != JSON_ARRAY || i >= json_count(array))
        return NULL;
    return ours(json_object_array_get_idx(theirs_of(array), i));
}

void json_walk_start(const struct json *object, struct json_walk *w)
{
    *w = (struct json_walk){0};
    if (json_is(object) == JSON_OBJECT)
        w->place = (void *)json_object_iter_begin(theirs_of(object)).opaque_;
}

bool json_walk_next(struct json_walk *w)
{
    struct json_object_iterator it = json_object_iter_init_default();
    it.opaque_ = w->place;
    w->name = NULL;
    w->value = NULL;
    if (!w->place) /* json_object_iter_end() is the same NULL */
        return false;
    w->name = json_object_iter_peek_name(&it);
    w->value = ours(json_object_iter_peek_value(&it));
    json_object_iter_next(&it);
    w->place = (void *)it.opaque_;
    return true;
}

struct span json_text(const struct json *j)
{
    if (json_is(j) != JSON_STRING)
        return SPAN_NONE;
    return (struct span){json_object_get_string(theirs_of(j)), (size_t)json_object_get_string_len(theirs_of(j))};
}

bool json_int(const struct json *j, int64_t *out)
{
    if (json_is(j) != JSON_NUMBER || json_object_get_type(theirs_of(j)) != json_type_int)
        return false;
    int64_t n = json_object_get_int64(theirs_of(j));
    if (n == INT64_MAX && json_object_get_uint64(theirs_of(j)) != INT64_MAX) /* clamped */
        return false;
    *out = n;
    return true;
}

bool json_bool(const struct json *j, bool *out)
{
    enum json_kind kind = json_is(j);
    if (kind != JSON_TRUE && kind != JSON_FALSE)
        return false;
    *out = kind == JSON_TRUE;
    return true;
}

struct span json_number_text(const struct json *j)
{
    return json_is(j) == JSON_NUMBER ? span_of(json_object_to_json_string(theirs_of(j))) : SPAN_NONE;
}

/* ---- building ------------------------------------------------------------------------------------------- */

struct json *json_object(void)
{
    return (struct json *)json_object_new_object();
}

struct json *json_array(void)
{
    return (struct json *)json_object_new_array();
}

/* With U+FFFD for what is not UTF-8: json-c would write it out as it is. */
static struct json_c_object *string_mended(struct span s)
{
    struct buf mended;
    buf_init(&mended, INT_MAX - 1);
    for (const char *at = s.at, *end = s.at + s.len; at < end;) {
        size_t n = utf8_char(at, end);
        if (n)
            buf_add(&mended, at, n);
        else
            buf_str(&mended, "\xEF\xBF\xBD");
        at += n ? n : 1;
    }
    struct json_c_object *string = mended.err ? NULL : json_object_new_string_len(mended.at, (int)mended.len);
    buf_free(&mended);
    return string;
}

struct json *json_string_new(struct span s)
{
    if (!s.at)
        return json_null_new();
    if (s.len > INT_MAX - 1)
        return NULL;
    if (!text_is_utf8(s))
        return (struct json *)string_mended(s);
    return (struct json *)json_object_new_string_len(s.at, (int)s.len);
}

struct json *json_int_new(int64_t n)
{
    return (struct json *)json_object_new_int64(n);
}

struct json *json_bool_new(bool b)
{
    return (struct json *)json_object_new_boolean(b);
}

struct json *json_null_new(void)
{
    return ours(NULL);
}

bool json_set(struct json *object, const char *name, struct json *value)
{
    if (json_is(object) == JSON_OBJECT && value && json_object_object_add(theirs_of(object), name, theirs_of(value)) == 0)
        return true;
    json_free(value);
    return false;
}

bool json_push(struct json *array, struct json *value)
{
    if (json_is(array) == JSON_ARRAY && value && json_object_array_add(theirs_of(array), theirs_of(value)) == 0)
        return true;
    json_free(value);
    return false;
}

enum weir_err json_write(const struct json *j, bool pretty, struct buf *out)
{
    int how = pretty ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED : JSON_C_TO_STRING_PLAIN;
    size_t n;
    const char *text = json_object_to_json_string_length(theirs_of(j), how | JSON_C_TO_STRING_NOSLASHESCAPE, &n);
    if (!text)
        return WEIR_NOMEM;
    return buf_add(out, text, n);
}
