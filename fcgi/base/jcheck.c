/* JSON checked where it lies: an untrusted text is walked once, without recursion, and nothing in it is believed. Nothing
 * here allocates. */
#include "fcgi/base/jscan_room.h"

#include "fcgi/base/bounds.h"
#include "fcgi/base/utf8.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

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
