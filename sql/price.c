/* What tokens cost. Products are taken in 128 bits: a price of 2^63 times 2^63 tokens still fits, and so do two. */
#include "sql/price.h"

#include <string.h>

#define MILLION 1000000
#define SEARCHES 1000 /* the number that PRICE_SEARCHES is the price of */
#define SEARCHES_MOST 1000000000

typedef __int128 wide;

static int64_t positive(int64_t n) { return n > 0 ? n : 0; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t cut(wide n) { return n > INT64_MAX ? INT64_MAX : (int64_t)n; }

static bool is_stated(const struct price *p, int part) { return p->stated >> part & 1; }

/* ---- what a token costs ---- */

struct rates { int64_t input, cached, write, write_1h, audio_input, output, audio_output; };

static struct rates standard(const struct price *p)
{
    int64_t hour = most(p->input > INT64_MAX / 2 ? INT64_MAX : 2 * p->input, p->cache_write);
    return (struct rates){
        .input = p->input, .cached = p->cached_input, .write = p->cache_write, .output = p->output,
        .write_1h = is_stated(p, PRICE_CACHE_WRITE_1H) ? p->part[PRICE_CACHE_WRITE_1H] : hour,
        .audio_input = is_stated(p, PRICE_AUDIO_INPUT) ? p->part[PRICE_AUDIO_INPUT] : p->input,
        .audio_output = is_stated(p, PRICE_AUDIO_OUTPUT) ? p->part[PRICE_AUDIO_OUTPUT] : p->output,
    };
}

/* As much more (or less) as `to` is than `from`, rounded up; what cost nothing has no proportion. */
static int64_t changed(int64_t rate, int64_t to, int64_t from)
{
    if (from <= 0) return most(rate, to);
    return cut(((wide)rate * to + from - 1) / from);
}

static int64_t grown(int64_t rate, int64_t to, int64_t from) { return to > from ? changed(rate, to, from) : rate; }

/* The rates at the length or tier whose four parts begin at `first`, on top of what they are already. */
static void change(struct rates *r, const struct price *p, int first)
{
    const int64_t base[] = {p->input, p->cached_input, p->cache_write, p->output};
    int64_t *const four[] = {&r->input, &r->cached, &r->write, &r->output};
    int64_t input = is_stated(p, first) ? p->part[first] : p->input;
    int64_t output = is_stated(p, first + 3) ? p->part[first + 3] : p->output;
    for (int i = 0; i < 4; i++)
        *four[i] = is_stated(p, first + i) ? changed(*four[i], p->part[first + i], base[i])
                                           : grown(*four[i], input, p->input);
    r->write_1h = grown(r->write_1h, input, p->input);
    r->audio_input = grown(r->audio_input, input, p->input);
    r->audio_output = grown(r->audio_output, output, p->output);
}

static struct rates rates_of(const struct price *p, enum price_tier tier, bool is_long)
{
    struct rates r = standard(p);
    if (is_long) change(&r, p, PRICE_LONG);
    if (tier == TIER_PRIORITY) change(&r, p, PRICE_PRIORITY);
    if (tier == TIER_FLEX && !is_long) change(&r, p, PRICE_FLEX);
    return r;
}

static bool is_long(const struct price *p, int64_t prompt)
{
    return is_stated(p, PRICE_LONG_ABOVE) && prompt > p->part[PRICE_LONG_ABOVE];
}

/* ---- what was used ---- */

static int64_t rounded_up(wide sum) { return cut(sum / MILLION + (sum % MILLION > 0)); }

static wide searches(const struct price *p, int64_t count)
{
    return (wide)p->part[PRICE_SEARCHES] * least(positive(count), SEARCHES_MOST) * (MILLION / SEARCHES);
}

static wide exact(const struct price *p, const struct price_use *u)
{
    int64_t prompt = positive(u->prompt), cached = least(positive(u->cached), prompt);
    int64_t written = least(positive(u->cache_write), prompt - cached), hour = least(positive(u->cache_write_1h), written);
    int64_t fresh = prompt - cached - written, heard = least(positive(u->audio_input), fresh);
    int64_t output = positive(u->completion), spoken = least(positive(u->audio_output), output);
    struct rates r = rates_of(p, u->tier, is_long(p, prompt));
    wide sum = (wide)r.input * (fresh - heard) + (wide)r.audio_input * heard + (wide)r.cached * cached;
    sum += (wide)r.write * (written - hour) + (wide)r.write_1h * hour;
    sum += (wide)r.output * (output - spoken) + (wide)r.audio_output * spoken;
    wide found = searches(p, u->searches);
    return sum > (wide)INT64_MAX * MILLION ? sum : sum + found; /* beyond that it is cut anyway */
}

int64_t price_cost(const struct price *p, const struct price_use *u)
{
    return p->known ? rounded_up(exact(p, u)) : -1;
}

static void add_wide(struct price_sum *sum, wide millionths)
{
    wide all = (wide)sum->nano * MILLION + sum->millionths;
    bool fits = millionths < (wide)INT64_MAX * MILLION && (all += millionths) / MILLION < INT64_MAX;
    *sum = fits ? (struct price_sum){(int64_t)(all / MILLION), (int64_t)(all % MILLION)} : (struct price_sum){INT64_MAX, 0};
}

void price_add(struct price_sum *sum, const struct price *p, const struct price_use *u)
{
    if (p->known) add_wide(sum, exact(p, u));
}

void price_add_sum(struct price_sum *sum, const struct price_sum *more)
{
    add_wide(sum, (wide)more->nano * MILLION + more->millionths);
}

int64_t price_total(const struct price_sum *sum)
{
    return sum->nano + (sum->millionths > 0);
}

/* ---- what is lacking ---- */

unsigned price_needs(const struct price_use *u)
{
    return (u->audio_input > 0 ? NEED_AUDIO_INPUT : 0) | (u->audio_output > 0 ? NEED_AUDIO_OUTPUT : 0) |
           (u->searches > 0 ? NEED_SEARCHES : 0) | (u->tier == TIER_PRIORITY ? NEED_PRIORITY : 0) |
           (u->tier == TIER_OTHER ? NEED_OTHER : 0);
}

unsigned price_lacks(const struct price *p, unsigned needs)
{
    unsigned has = (is_stated(p, PRICE_AUDIO_INPUT) ? NEED_AUDIO_INPUT : 0) |
                   (is_stated(p, PRICE_AUDIO_OUTPUT) ? NEED_AUDIO_OUTPUT : 0) |
                   (is_stated(p, PRICE_SEARCHES) ? NEED_SEARCHES : 0) | (is_stated(p, PRICE_PRIORITY) ? NEED_PRIORITY : 0);
    return needs & ~has;
}

/* ---- what may be ---- */

static int64_t dearest_input(const struct price *p) { return most(most(p->input, p->cached_input), p->cache_write); }

static void add_rates(struct price *to, const struct rates *r, const struct price_asks *asks)
{
    to->input = most(to->input, most(most(r->input, r->cached), r->write));
    if (asks->writes_1h) to->input = most(to->input, r->write_1h);
    if (asks->has_audio_input) to->input = most(to->input, r->audio_input);
    to->output = most(to->output, r->output);
    if (asks->needs & NEED_AUDIO_OUTPUT) to->output = most(to->output, r->audio_output);
}

struct price price_ceiling(const struct price *p, const struct price_asks *asks, int64_t prompt_bound)
{
    struct price to = {.known = p->known && !price_lacks(p, asks->needs)};
    if (!to.known) return to;
    for (int tier = TIER_STANDARD; tier <= TIER_PRIORITY; tier++) {
        if (tier == TIER_PRIORITY && !asks->priority) continue;
        for (int length = 0; length <= is_long(p, prompt_bound); length++) {
            struct rates r = rates_of(p, (enum price_tier)tier, length);
            add_rates(&to, &r, asks);
        }
    }
    to.cached_input = to.cache_write = to.input;
    to.fee = rounded_up(searches(p, asks->searches));
    return to;
}

void price_raise(struct price *to, const struct price *p)
{
    if (!p->known) return;
    *to = (struct price){.known = true, .input = most(to->input, p->input),
                         .cached_input = most(to->cached_input, p->cached_input),
                         .cache_write = most(to->cache_write, p->cache_write), .output = most(to->output, p->output),
                         .fee = most(to->fee, p->fee)};
}

int64_t price_bound(const struct price *p, int64_t prompt, int64_t output)
{
    if (!p->known) return -1;
    int64_t tokens = rounded_up((wide)dearest_input(p) * positive(prompt) + (wide)p->output * positive(output));
    return cut((wide)tokens + p->fee);
}

int64_t price_room(const struct price *p, int64_t prompt, int64_t left)
{
    wide room = ((wide)left - p->fee) * MILLION - (wide)dearest_input(p) * positive(prompt);
    if (room < 0) return -1;
    if (p->output <= 0) return INT64_MAX;
    return cut(room / p->output);
}

bool price_same(const struct price *a, const struct price *b)
{
    if (a->known != b->known || !a->known) return a->known == b->known;
    return a->input == b->input && a->cached_input == b->cached_input && a->cache_write == b->cache_write &&
           a->output == b->output && a->stated == b->stated && memcmp(a->part, b->part, sizeof a->part) == 0;
}
