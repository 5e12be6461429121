/* Rate-limit headers are read; nothing is decided here. */
#include "fcgi/provider/limit_headers.h"

#include <stdio.h>

#include "fcgi/base/text.h"

#define RESET_MOST (366 * 86400000LL)
#define US_MOST (RESET_MOST * 1000)
#define COUNT_MOST 1000000000000000 /* more is nonsense */
#define SPARE_MOST_MS 60000

/* ---- times ---- */

/* Digits with or without a fraction at *s, which moves behind them. */
static bool take_amount(struct span *s, int64_t *whole, int64_t *nano)
{
    int64_t scale = 100000000;
    size_t digits = 0;
    *whole = *nano = 0;
    for (; s->len && *s->at >= '0' && *s->at <= '9'; s->at++, s->len--, digits++)
        *whole = *whole > COUNT_MOST ? *whole : *whole * 10 + (*s->at - '0');
    if (!digits && !(s->len > 1 && *s->at == '.')) return false;
    if (s->len && *s->at == '.')
        for (s->at++, s->len--; s->len && *s->at >= '0' && *s->at <= '9'; s->at++, s->len--, scale /= 10, digits++)
            *nano += (*s->at - '0') * scale;
    return digits > 0;
}

static int64_t scaled(int64_t whole, int64_t nano, int64_t unit_us)
{
    __int128 us = (__int128)whole * unit_us + (__int128)nano * unit_us / 1000000000;
    return us > US_MOST ? US_MOST : (int64_t)us;
}

/* Microseconds of a unit at *s; 0: there is none that is known. The longer names first. */
static int64_t take_unit(struct span *s)
{
    static const struct { const char *name; int64_t us; } units[] = {
        {"ms", 1000}, {"us", 1}, {"\xC2\xB5s", 1}, {"d", 86400000000}, {"h", 3600000000}, {"m", 60000000}, {"s", 1000000},
    };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (!span_starts(*s, units[i].name)) continue;
        s->at += strlen(units[i].name);
        s->len -= strlen(units[i].name);
        return units[i].us;
    }
    return 0;
}

static bool duration(struct span s, int64_t *us)
{
    int64_t whole, nano, unit, sum = 0;
    bool alone = true;
    do {
        if (!take_amount(&s, &whole, &nano)) return false;
        unit = s.len ? take_unit(&s) : alone ? 1000000 : 0; /* a number alone is seconds */
        if (!unit) return false;
        sum += scaled(whole, nano, unit);
        if (sum > US_MOST) sum = US_MOST;
        alone = false;
    } while (s.len);
    *us = sum;
    return true;
}

bool limit_reset_parse(struct span s, int64_t now_ms, int64_t *ms)
{
    int64_t at, us;
    s = span_trim(s);
    if (duration(s, &us)) *ms = (us + 999) / 1000;
    else if (time_parse(s, &at)) *ms = at > now_ms ? at - now_ms : 0;
    else return false;
    if (*ms > RESET_MOST) *ms = RESET_MOST;
    return true;
}

/* ---- headers ---- */

static int64_t count_of(struct span s)
{
    int64_t n = 0;
    s = span_trim(s);
    if (!s.len) return -1;
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < '0' || s.at[i] > '9') return -1;
        n = n > COUNT_MOST ? n : n * 10 + (s.at[i] - '0');
    }
    return n > COUNT_MOST ? -1 : n;
}

/* Most answers have none of them. */
static bool has_any(const struct upstream *up, const char *prefix)
{
    struct span left = buf_all(&up->headers);
    size_t n = strlen(prefix);
    for (const char *end; left.len > n; left.len -= (size_t)(end - left.at), left.at = end) {
        if (strncasecmp(left.at, prefix, n) == 0) return true;
        end = memchr(left.at, '\n', left.len);
        end = end ? end + 1 : left.at + left.len;
    }
    return false;
}

/* Anthropic names the metric before what is said of it ("...-tokens-reset"), OpenAI behind it ("...-reset-tokens"). */
static struct limit_header read_limit(const struct upstream *up, const char *prefix, const char *metric, bool metric_first,
                                      int64_t now_ms)
{
    static const char *const whats[] = {"limit", "remaining", "reset"};
    struct limit_header l = {-1, -1, -1};
    struct span said[3];
    int64_t limit = 0;
    if (!has_any(up, prefix)) return l;
    for (int i = 0; i < 3 && (!i || limit > 0); i++) {
        char name[80];
        snprintf(name, sizeof name, "%s-%s-%s", prefix, metric_first ? metric : whats[i], metric_first ? whats[i] : metric);
        said[i] = upstream_header(up, name);
        if (!i) limit = count_of(said[0]);
    }
    if (limit <= 0) return l;
    l.limit = limit;
    l.remaining = count_of(said[1]);
    if (l.remaining > limit) l.remaining = limit;
    if (!said[2].at || !limit_reset_parse(said[2], now_ms, &l.resets_in_ms)) l.resets_in_ms = -1;
    return l;
}

static int64_t retry_after(const struct upstream *up, int64_t now_ms)
{
    int64_t ms = count_of(upstream_header(up, "retry-after-ms"));
    struct span s = upstream_header(up, "retry-after");
    if (ms >= 0) return ms > RESET_MOST ? RESET_MOST : ms;
    return s.at && limit_reset_parse(s, now_ms, &ms) ? ms : -1;
}

/* wanted: what a request takes of it. */
static int64_t spare_ms(const struct limit_header *l, int64_t wanted)
{
    if (l->limit < 0 || l->remaining < 0 || (l->remaining > l->limit / 50 && l->remaining >= wanted)) return 0;
    return l->resets_in_ms < 0 || l->resets_in_ms > SPARE_MOST_MS ? SPARE_MOST_MS : l->resets_in_ms;
}

int64_t limits_spare_ms(const struct limit_headers *h, int64_t prompt, int64_t output)
{
    const int64_t all[] = {spare_ms(&h->requests, 1), spare_ms(&h->tokens, prompt + output), spare_ms(&h->input, prompt),
                           spare_ms(&h->output, output)};
    int64_t most = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] > most) most = all[i];
    return most;
}

void limits_openai(const struct upstream *up, int64_t now_ms, struct limit_headers *out)
{
    *out = (struct limit_headers){
        .requests = read_limit(up, "x-ratelimit", "requests", false, now_ms),
        .tokens = read_limit(up, "x-ratelimit", "tokens", false, now_ms),
        .input = {-1, -1, -1}, .output = {-1, -1, -1}, .retry_after_ms = retry_after(up, now_ms),
    };
}

void limits_anthropic(const struct upstream *up, int64_t now_ms, struct limit_headers *out)
{
    *out = (struct limit_headers){
        .requests = read_limit(up, "anthropic-ratelimit", "requests", true, now_ms),
        .tokens = read_limit(up, "anthropic-ratelimit", "tokens", true, now_ms),
        .input = read_limit(up, "anthropic-ratelimit", "input-tokens", true, now_ms),
        .output = read_limit(up, "anthropic-ratelimit", "output-tokens", true, now_ms),
        .retry_after_ms = retry_after(up, now_ms),
    };
}
