/* JSON read where it lies. jscan_check walks an untrusted text once, without recursion, and believes nothing;
 * everything below it is given checked text only and just finds ends. Nothing here allocates but into the caller's buf. */
#include "fcgi/base/jscan.h"

#include "fcgi/base/bounds.h"
#include "fcgi/base/utf8.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* ---- checking ------------------------------------------------------------------------------------------- */

enum want { WANT_VALUE, WANT_VALUE_OR_END, WANT_KEY, WANT_KEY_OR_END, WANT_COLON, WANT_MORE };

struct check {
    const char *at, *end;
    enum want want;
    unsigned depth, max_depth;
    uint64_t objects; /* bit n: the level n + 1 is an object */
    const char *fault;
    struct jnote *notes;
    size_t note_count;
    struct span key;  /* of the root's latest member; absent for an array's */
    const char *value;
};

static bool refuse(struct check *c, const char *what)
{
    c->fault = what;
    return false;
}

static inline const char *skip_space(const char *at, const char *end)
{
    if (at < end && *at > ' ') /* mostly there is none */
        return at;
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

/* The first byte a string cannot simply contain: quote, backslash, control character or the start of a
 * multi-byte character. A prompt is one long run of bytes that are none of these: it is passed in strides. */
static const char *skip_plain(const char *at, const char *end)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), space = _mm_set1_epi8(' ');
    while (end - at >= 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i odd = _mm_cmplt_epi8(v, space); /* signed: bytes from 0x80 on count as below too */
        odd = _mm_or_si128(odd, _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash)));
        int mask = _mm_movemask_epi8(odd);
        if (mask)
            return at + __builtin_ctz((unsigned)mask);
        at += 16;
    }
#else
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    while (end - at >= 8) {
        uint64_t v;
        memcpy(&v, at, 8);
        uint64_t quote = v ^ ones * '"', backslash = v ^ ones * '\\';
        uint64_t odd = v | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | ((v - ones * ' ') & ~v);
        if (odd & tops)
            break;
        at += 8;
    }
#endif
    while (at < end && (unsigned char)*at >= ' ' && (unsigned char)*at < 0x80 && *at != '"' && *at != '\\')
        at++;
    return at;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool check_escape(struct check *c) /* at the backslash */
{
    if (c->end - c->at < 2) {
        c->at = c->end;
        return refuse(c, "unexpected end");
    }
    char kind = c->at[1];
    if (kind != 'u') {
        if (!kind || !strchr("\"\\/bfnrt", kind))
            return refuse(c, "invalid escape");
        c->at += 2;
        return true;
    }
    for (int i = 2; i < 6; i++) {
        if (c->end - c->at <= i) {
            c->at = c->end;
            return refuse(c, "unexpected end");
        }
        if (hex_value(c->at[i]) < 0)
            return refuse(c, "invalid escape");
    }
    c->at += 6;
    return true;
}

static bool check_string(struct check *c)
{
    for (c->at++;;) {
        c->at = skip_plain(c->at, c->end);
        if (c->at == c->end)
            return refuse(c, "unexpected end");
        unsigned char odd = (unsigned char)*c->at;
        if (odd == '"') {
            c->at++;
            return true;
        }
        if (odd == '\\') {
            if (!check_escape(c))
                return false;
        } else if (odd < 0x80) {
            return refuse(c, "control character in a string");
        } else {
            do {
                size_t n = utf8_char(c->at, c->end);
                if (n == 0)
                    return refuse(c, "invalid UTF-8");
                c->at += n;
            } while (c->at < c->end && (unsigned char)*c->at >= 0x80);
        }
    }
}

static bool check_digits(struct check *c)
{
    const char *start = c->at;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
        c->at++;
    if (c->at > start)
        return true;
    return refuse(c, c->at == c->end ? "unexpected end" : "invalid number");
}

static bool check_number(struct check *c)
{
    if (*c->at == '-')
        c->at++;
    if (c->at < c->end && *c->at == '0')
        c->at++;
    else if (!check_digits(c))
        return false;
    if (c->at < c->end && *c->at == '.') {
        c->at++;
        if (!check_digits(c))
            return false;
    }
    if (c->at < c->end && (*c->at == 'e' || *c->at == 'E')) {
        c->at++;
        if (c->at < c->end && (*c->at == '+' || *c->at == '-'))
            c->at++;
        if (!check_digits(c))
            return false;
    }
    return true;
}

static bool check_literal(struct check *c, struct span literal)
{
    if ((size_t)(c->end - c->at) < literal.len || memcmp(c->at, literal.at, literal.len) != 0)
        return refuse(c, "unexpected character");
    c->at += literal.len;
    return true;
}

static bool open_level(struct check *c, bool object)
{
    if (c->depth >= c->max_depth)
        return refuse(c, c->max_depth == BOUND_JSON_DEPTH ? "nested deeper than 64" : "nested too deep");
    uint64_t bit = (uint64_t)1 << c->depth++;
    c->objects = object ? c->objects | bit : c->objects & ~bit;
    c->want = object ? WANT_KEY_OR_END : WANT_VALUE_OR_END;
    c->at++;
    return true;
}

static bool in_object(const struct check *c)
{
    return c->depth && (c->objects >> (c->depth - 1) & 1);
}

static enum json_kind kind_of(char first)
{
    switch (first) {
    case '{': return JSON_OBJECT;
    case '[': return JSON_ARRAY;
    case '"': return JSON_STRING;
    case 't': return JSON_TRUE;
    case 'f': return JSON_FALSE;
    case 'n': return JSON_NULL;
    default: return JSON_NUMBER;
    }
}

/* Behind a value of the root's. */
static void note(struct check *c)
{
    for (size_t i = 0; i < c->note_count; i++) {
        if (!jkey_is(c->key, c->notes[i].name))
            continue;
        c->notes[i].v = (struct jval){kind_of(*c->value), {c->value, (size_t)(c->at - c->value)}};
        return;
    }
}

static bool close_level(struct check *c)
{
    c->depth--;
    c->want = WANT_MORE;
    c->at++;
    if (c->depth == 1)
        note(c);
    return true;
}

static bool check_value(struct check *c)
{
    c->want = WANT_MORE;
    switch (*c->at) {
    case '{': return open_level(c, true);
    case '[': return open_level(c, false);
    case '"': return check_string(c);
    case 't': return check_literal(c, SPAN("true"));
    case 'f': return check_literal(c, SPAN("false"));
    case 'n': return check_literal(c, SPAN("null"));
    case '-': case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
        return check_number(c);
    default: return refuse(c, "unexpected character");
    }
}

static bool check_root_value(struct check *c)
{
    c->value = c->at;
    if (!check_value(c))
        return false;
    if (c->depth == 1)
        note(c);
    return true;
}

static bool check_key(struct check *c)
{
    const char *start = c->at;
    c->want = WANT_COLON;
    if (*start != '"')
        return refuse(c, "a member name is missing");
    if (!check_string(c))
        return false;
    if (c->depth == 1)
        c->key = (struct span){start + 1, (size_t)(c->at - start) - 2};
    if (c->at == c->end || *c->at != ':') /* there may be white space between */
        return true;
    c->at++;
    c->want = WANT_VALUE;
    return true;
}

/* One token; at < end and not at white space. */
static bool check_token(struct check *c)
{
    switch (c->want) {
    case WANT_VALUE_OR_END:
        return *c->at == ']' ? close_level(c) : check_value(c);
    case WANT_VALUE:
        return c->depth == 1 ? check_root_value(c) : check_value(c);
    case WANT_KEY_OR_END:
    case WANT_KEY:
        if (*c->at == '}' && c->want == WANT_KEY_OR_END)
            return close_level(c);
        return check_key(c);
    case WANT_COLON:
        c->want = WANT_VALUE;
        return *c->at++ == ':' ? true : (c->at--, refuse(c, "a colon is missing"));
    case WANT_MORE:
        break;
    }
    bool object = in_object(c);
    if (*c->at == ',') {
        c->want = object ? WANT_KEY : WANT_VALUE;
        c->at++;
        return true;
    }
    return *c->at == (object ? '}' : ']') ? close_level(c) : refuse(c, "a comma or closing bracket is missing");
}

enum weir_err jscan_check(struct span text, unsigned max_depth, struct jval *root, struct jfault *fault)
{
    return jscan_check_noting(text, max_depth, NULL, 0, root, fault);
}

enum weir_err jscan_check_noting(struct span text, unsigned max_depth, struct jnote *notes, size_t note_count,
                                 struct jval *root, struct jfault *fault)
{
    if (!text.at)
        text = SPAN("");
    struct check c = {
        .at = text.at, .end = text.at + text.len, .max_depth = max_depth < 64 ? max_depth : 64,
        .notes = notes, .note_count = note_count,
    };
    c.at = skip_space(c.at, c.end);
    const char *start = c.at;
    const char *stop;
    do {
        if (c.at == c.end ? !refuse(&c, "unexpected end") : !check_token(&c))
            goto refused;
        stop = c.at;
        c.at = skip_space(c.at, c.end);
    } while (c.depth || c.want != WANT_MORE);
    if (c.at < c.end) {
        c.fault = "more than one value";
        goto refused;
    }
    *root = (struct jval){kind_of(*start), {start, (size_t)(stop - start)}};
    return WEIR_OK;

refused:
    *fault = (struct jfault){(size_t)(c.at - text.at), c.fault};
    return WEIR_INVALID;
}

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
