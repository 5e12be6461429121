/* Reads JSON where it lies: checks a text once, then walks its members without building anything.
 * Used where bytes pass through (requests, answers, events); documents that are kept are read by door/json. */
#ifndef WEIR_BASE_JSCAN_H
#define WEIR_BASE_JSCAN_H

#include <stdbool.h>
#include <stdint.h>
#include "fcgi/base/buf.h"
#include "fcgi/base/err.h"
#include "fcgi/base/span.h"

enum json_kind { JSON_ABSENT, JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct jval {
    enum json_kind kind;
    struct span text; /* the value's own bytes, quotes and brackets included */
};

struct jfault {
    size_t at;        /* byte offset */
    const char *what; /* static: "unexpected end", "nested deeper than 64", "invalid UTF-8", ... */
};

/* RFC 8259 strictly: grammar, escapes, surrogate pairs may be lone, raw control characters refused, UTF-8 valid
 * (no overlong forms, surrogates or above U+10FFFF), a NUL byte refused, one value and white space only around it.
 * Time is linear, memory constant (no recursion). WEIR_INVALID fills *fault. */
enum weir_err jscan_check(struct span text, unsigned max_depth, struct jval *root, struct jfault *fault);

/* The same, and what the root has under these names is noted in passing, if it is an object: of members of one name the
 * last. Where there is none v is left alone; after a fault it says nothing. */
struct jnote { const char *name; struct jval v; };
enum weir_err jscan_check_noting(struct span text, unsigned max_depth, struct jnote *notes, size_t note_count,
                                 struct jval *root, struct jfault *fault);

/* Members of a checked object, or elements of a checked array, in order. Anything else has none. */
struct jiter { const char *at, *end; bool object; };
struct jiter jscan_iter(struct jval container);
/* key: raw bytes between the quotes, escapes undone by jkey_is; absent for arrays. */
bool jscan_next(struct jiter *it, struct span *key, struct jval *val);
bool jkey_means(struct span raw_key, const char *name); /* see jkey_is */

/* Compares what the key means: "mod\u0065l" is model. Most keys are told apart by their first byte or their length: one
 * with an escape in it is longer than what it means. */
static inline bool jkey_is(struct span raw_key, const char *name)
{
    if (raw_key.len && raw_key.at[0] != '\\' && raw_key.at[0] != name[0])
        return false;
    size_t n = strlen(name);
    if (raw_key.len < n || !raw_key.at)
        return false;
    if (raw_key.len == n)
        return memcmp(raw_key.at, name, n) == 0 && !memchr(name, '\\', n);
    return jkey_means(raw_key, name);
}

struct jval jscan_find(struct jval object, const char *name); /* first such member; kind JSON_ABSENT if none */
size_t jscan_count(struct jval container);
/* False if two members of the object have the same name (escapes undone) or there are more than BOUND_JSON_MEMBERS;
 * *dup is the later of the two (raw), absent for too many. */
bool jscan_is_unique(struct jval object, struct span *dup);

bool jval_int(struct jval v, int64_t *out);   /* a number without fraction or exponent that fits (1.0 and 1e3 do not) */
bool jval_bool(struct jval v, bool *out);
/* What the string means, as UTF-8 (a lone surrogate becomes U+FFFD). WEIR_INVALID if v is not a string. */
enum weir_err jval_string(struct jval v, struct buf *out);
bool jval_is(struct jval v, const char *text); /* a string that means text */

#endif
