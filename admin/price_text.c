/* Prices as others write them and as we show them. Digits are moved, nothing is rounded. */
#include "admin/price_text.h"

#include "fcgi/base/text.h"
#include "sql/price_parts.h"

#define SHIFT 15 /* dollars a token to nano-dollars per million tokens: 10^9 times 10^6 */
#define NANO_MOST (INT64_C(9000000000) * 1000000000)
#define DIGITS_MOST 19
#define EXPONENT_MOST 100000

/* value = digits x 10^exponent; no zeros at either end, none at all for 0. */
struct decimal { char digits[DIGITS_MOST]; int count; bool longer; long exponent; bool negative; };

static void add_digit(struct decimal *d, long *zeros, char c)
{
    if (c == '0') {
        if (d->count || d->longer) ++*zeros; /* in the middle, or at the end: known with the next digit */
        return;
    }
    for (; *zeros; --*zeros) {
        if (d->count < DIGITS_MOST) d->digits[d->count++] = '0';
        else d->longer = true;
    }
    if (d->count < DIGITS_MOST) d->digits[d->count++] = c;
    else d->longer = true;
}

static long read_exponent(struct span *s)
{
    long n = 0;
    bool negative = false;

    s->at++, s->len--;
    if (s->len && (*s->at == '-' || *s->at == '+')) negative = *s->at == '-', s->at++, s->len--;
    for (; s->len; s->at++, s->len--)
        if (n < EXPONENT_MOST) n = n * 10 + (*s->at - '0');
    return negative ? -n : n;
}

/* s: a number of checked JSON. */
static void decimal_read(struct span s, struct decimal *d)
{
    long zeros = 0, behind_point = 0;
    bool fraction = false;

    *d = (struct decimal){.count = 0};
    if (s.len && *s.at == '-') d->negative = true, s.at++, s.len--;
    for (; s.len && *s.at != 'e' && *s.at != 'E'; s.at++, s.len--) {
        if (*s.at == '.') {
            fraction = true;
            continue;
        }
        add_digit(d, &zeros, *s.at);
        behind_point += fraction;
    }
    d->exponent = zeros - behind_point + (s.len ? read_exponent(&s) : 0);
}

const char *price_per_token(struct span number, int64_t *nano)
{
    static const char too_much[] = "is above 9000000000 dollars per million tokens",
                      too_fine[] = "is finer than a nano-dollar per million tokens, so it cannot be kept exactly";
    struct decimal d;
    int64_t n = 0;

    decimal_read(number, &d);
    *nano = 0;
    if (!d.count) return NULL;
    if (d.negative) return "is below 0";
    if (d.exponent + SHIFT < 0) return too_fine; /* its last digit is not 0 */
    if (d.longer || d.exponent + SHIFT > DIGITS_MOST) return too_much;
    for (int i = 0; i < d.count; i++)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, d.digits[i] - '0', &n)) return too_much;
    for (long i = 0; i < d.exponent + SHIFT; i++)
        if (__builtin_mul_overflow(n, 10, &n)) return too_much;
    if (n > NANO_MOST) return too_much;
    *nano = n;
    return NULL;
}

enum weir_err price_json(struct buf *out, const struct price *p)
{
    const struct { const char *lead; int64_t nano; } parts[] = {
        {"{\"input\": \"", p->input},
        {"\", \"cached_input\": \"", p->cached_input},
        {"\", \"cache_write\": \"", p->cache_write},
        {"\", \"output\": \"", p->output},
    };
    char text[MONEY_TEXT];

    if (!p->known) return buf_str(out, "null");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        money_text(parts[i].nano, text);
        buf_str(out, parts[i].lead);
        buf_str(out, text);
    }
    buf_char(out, '"');
    price_parts_write(p, out);
    return buf_char(out, '}');
}
