/* JSON read where it lies: given checked text only (jscan_check, fcgi/base/jcheck.c), it just finds ends. Nothing here
 * allocates but into the caller's buf. */
#include "fcgi/base/jscan_room.h"

#include "fcgi/base/bounds.h"
#include "fcgi/base/utf8.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* ---- walking checked text ------------------------------------------------------------------------------- */

static const char *skip_long_string(const char *start, const char *end) /* behind the opening quote */
{
    const char *at = start;
    while ((at = memchr(at, '"', (size_t)(end - at)))) {
        const char *back = at;
        while (back > start && back[-1] == '\\')
            back--;
        at++;
        if ((at - back) % 2) /* quote and backslashes together odd: the backslashes pair off */
            return at;
    }
    return end;
}

/* At the opening quote; returns behind the closing. Most names and values end within two strides, and without an escape. */
static inline const char *skip_string(const char *at, const char *end)
{
    at++;
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
    for (int i = 0; i < 2 && end - at >= 16; i++, at += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)at);
        int mask = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash)));
        if (!mask)
            continue;
        const char *odd = at + __builtin_ctz((unsigned)mask);
        if (*odd == '"')
            return odd + 1;
        break;
    }
#endif
    return skip_long_string(at, end);
}

static const char *skip_container(const char *at, const char *end)
{
    size_t depth = 0;
    while (at < end) {
        switch (*at) {
        case '"':
            at = skip_string(at, end);
            continue;
        case '{': case '[':
            depth++;
            break;
        case '}': case ']':
            if (--depth == 0)
                return at + 1;
            break;
        default:
            break;
        }
        at++;
    }
    return end;
}

static const char *skip_value(enum json_kind kind, const char *at, const char *end)
{
    switch (kind) {
    case JSON_STRING:
        return skip_string(at, end);
    case JSON_OBJECT:
    case JSON_ARRAY:
        return skip_container(at, end);
    default:
        while (at < end && *at != ',' && *at != '}' && *at != ']' && *at != ' ' && *at != '\n' && *at != '\r' && *at != '\t')
            at++;
        return at;
    }
}

struct jiter jscan_iter(struct jval container)
{
    if ((container.kind != JSON_OBJECT && container.kind != JSON_ARRAY) || container.text.len < 2)
        return (struct jiter){NULL, NULL, false};
    const char *at = container.text.at;
    return (struct jiter){at + 1, at + container.text.len - 1, container.kind == JSON_OBJECT};
}

bool jscan_next(struct jiter *it, struct span *key, struct jval *val)
{
    const char *at = skip_space(it->at, it->end);
    if (at < it->end && *at == ',')
        at = skip_space(at + 1, it->end);
    *key = SPAN_NONE;
    if (it->object && at < it->end) {
        const char *stop = skip_string(at, it->end);
        *key = (struct span){at + 1, (size_t)(stop - at) - 2};
        at = skip_space(stop, it->end);
        if (at < it->end)
            at = skip_space(at + 1, it->end); /* the colon */
    }
    if (at >= it->end) {
        it->at = it->end;
        *val = (struct jval){JSON_ABSENT, SPAN_NONE};
        return false;
    }
    enum json_kind kind = kind_of(*at);
    it->at = skip_value(kind, at, it->end);
    *val = (struct jval){kind, {at, (size_t)(it->at - at)}};
    return true;
}

struct jval jscan_find(struct jval object, const char *name)
{
    struct jiter it = jscan_iter(object);
    struct span key;
    struct jval val;
    while (it.object && jscan_next(&it, &key, &val)) {
        if (jkey_is(key, name))
            return val;
    }
    return (struct jval){JSON_ABSENT, SPAN_NONE};
}

size_t jscan_count(struct jval container)
{
    struct jiter it = jscan_iter(container);
    struct span key;
    struct jval val;
    size_t n = 0;
    while (jscan_next(&it, &key, &val))
        n++;
    return n;
}

/* ---- what strings mean ---------------------------------------------------------------------------------- */

static uint32_t hex_four(const char *at)
{
    uint32_t code = 0;
    for (int i = 0; i < 4; i++)
        code = code << 4 | ((uint32_t)hex_value(at[i]) & 0xF);
    return code;
}

/* Reads the escape at *at (checked text), moves *at behind it and returns the bytes put into `unit`. */
static size_t unescape(const char **at, const char *end, char unit[4])
{
    static const char names[] = "bfnrt", means[] = "\b\f\n\r\t";
    const char *p = *at;

    if (end - p < 6 || p[1] != 'u') {
        *at = end - p < 2 ? end : p + 2;
        const char *name = end - p < 2 ? NULL : strchr(names, p[1]);
        unit[0] = name ? means[name - names] : (*at)[-1];
        return 1;
    }
    uint32_t code = hex_four(p + 2);
    p += 6;
    if (code >= 0xD800 && code <= 0xDBFF && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
        uint32_t low = hex_four(p + 2);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            code = 0x10000 + ((code - 0xD800) << 10 | (low - 0xDC00));
            p += 6;
        }
    }
    *at = p;
    return utf8_put(code >= 0xD800 && code <= 0xDFFF ? 0xFFFD : code, unit);
}

/* The meaning of a raw string, byte after byte. */
struct meaning {
    const char *at, *end;
    char unit[4];
    size_t given, n; /* of unit */
};

static struct meaning meaning_of(struct span raw)
{
    return (struct meaning){.at = raw.at, .end = raw.at + raw.len};
}

static int meaning_next(struct meaning *m) /* -1 at the end */
{
    if (m->given < m->n)
        return (unsigned char)m->unit[m->given++];
    if (m->at >= m->end)
        return -1;
    if (*m->at != '\\')
        return (unsigned char)*m->at++;
    m->n = unescape(&m->at, m->end, m->unit);
    m->given = 1;
    return (unsigned char)m->unit[0];
}

static bool has_escape(struct span raw)
{
    return raw.len && memchr(raw.at, '\\', raw.len);
}

bool jkey_means(struct span raw_key, const char *name)
{
    if (!raw_key.at)
        return false;
    if (!has_escape(raw_key))
        return span_is(raw_key, name);
    struct meaning m = meaning_of(raw_key);
    for (; *name; name++) {
        if (meaning_next(&m) != (unsigned char)*name)
            return false;
    }
    return meaning_next(&m) < 0;
}

static bool means_same(struct span a, struct span b)
{
    if (!has_escape(a) && !has_escape(b))
        return span_eq(a, b);
    struct meaning ma = meaning_of(a), mb = meaning_of(b);
    int c;
    do {
        c = meaning_next(&ma);
        if (c != meaning_next(&mb))
            return false;
    } while (c >= 0);
    return true;
}

static uint64_t meaning_hash(struct span raw) /* FNV-1a: only saves comparisons, never decides */
{
    struct meaning m = meaning_of(raw);
    uint64_t hash = 0xcbf29ce484222325u;
    for (int c; (c = meaning_next(&m)) >= 0;)
        hash = (hash ^ (unsigned)c) * 0x100000001b3u;
    return hash;
}

bool jscan_is_unique(struct jval object, struct span *dup)
{
    struct { uint64_t hash; struct span key; } seen[BOUND_JSON_MEMBERS];
    size_t n = 0;
    struct jiter it = jscan_iter(object);
    struct span key;
    struct jval val;

    while (it.object && jscan_next(&it, &key, &val)) {
        if (n == BOUND_JSON_MEMBERS) {
            *dup = SPAN_NONE;
            return false;
        }
        uint64_t hash = meaning_hash(key);
        for (size_t i = 0; i < n; i++) {
            if (seen[i].hash == hash && means_same(seen[i].key, key)) {
                *dup = key;
                return false;
            }
        }
        seen[n].hash = hash;
        seen[n++].key = key;
    }
    return true;
}

/* ---- values --------------------------------------------------------------------------------------------- */

static struct span inside(struct jval string)
{
    return (struct span){string.text.at + 1, string.text.len - 2};
}

bool jval_int(struct jval v, int64_t *out)
{
    if (v.kind != JSON_NUMBER || v.text.len == 0)
        return false;
    const char *at = v.text.at, *end = at + v.text.len;
    bool negative = *at == '-';
    int64_t n = 0; /* kept negative: that side reaches one further */
    for (at += negative; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_sub_overflow(n, *at - '0', &n))
            return false;
    }
    if (!negative && n == INT64_MIN)
        return false;
    *out = negative ? n : -n;
    return true;
}

bool jval_bool(struct jval v, bool *out)
{
    if (v.kind != JSON_TRUE && v.kind != JSON_FALSE)
        return false;
    *out = v.kind == JSON_TRUE;
    return true;
}

enum weir_err jval_string(struct jval v, struct buf *out)
{
    if (v.kind != JSON_STRING || v.text.len < 2) /* of a literal that could not be had nothing is left */
        return WEIR_INVALID;
    const char *at = inside(v).at, *end = at + inside(v).len;
    while (at < end) {
        const char *stop = memchr(at, '\\', (size_t)(end - at));
        buf_add(out, at, (size_t)((stop ? stop : end) - at));
        if (!stop)
            break;
        char unit[4];
        size_t n = unescape(&stop, end, unit);
        buf_add(out, unit, n);
        at = stop;
    }
    return out->err;
}

bool jval_is(struct jval v, const char *text)
{
    return v.kind == JSON_STRING && jkey_is(inside(v), text);
}
