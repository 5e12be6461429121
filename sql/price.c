/* What tokens cost. Products are taken in 128 bits: a price of 2^63 times 2^63 tokens still fits, and so do four. */
#include "sql/price.h"

#define MILLION 1000000

typedef __int128 wide;

static int64_t positive(int64_t n) { return n > 0 ? n : 0; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t rounded_up(wide sum)
{
    wide nano = (sum + MILLION - 1) / MILLION;
    return nano > INT64_MAX ? INT64_MAX : (int64_t)nano;
}

static wide exact(const struct price *p, const struct price_use *u)
{
    int64_t prompt = positive(u->prompt), cached = least(positive(u->cached), prompt);
    int64_t written = least(positive(u->cache_write), prompt - cached);
    wide sum = (wide)p->input * (prompt - cached - written) + (wide)p->cached_input * cached;
    sum += (wide)p->cache_write * written;
    return sum + (wide)p->output * positive(u->completion);
}

int64_t price_cost(const struct price *p, const struct price_use *u)
{
    return p->known ? rounded_up(exact(p, u)) : -1;
}

static void add_wide(struct price_sum *sum, wide millionths)
{
    wide all = (wide)sum->nano * MILLION + sum->millionths + millionths;
    bool fits = all / MILLION < INT64_MAX;
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

static int64_t dearest_input(const struct price *p)
{
    int64_t most = p->input > p->cached_input ? p->input : p->cached_input;
    return most > p->cache_write ? most : p->cache_write;
}

int64_t price_bound(const struct price *p, int64_t prompt, int64_t output)
{
    if (!p->known) return -1;
    return rounded_up((wide)dearest_input(p) * positive(prompt) + (wide)p->output * positive(output));
}

int64_t price_room(const struct price *p, int64_t prompt, int64_t left)
{
    wide room = (wide)left * MILLION - (wide)dearest_input(p) * positive(prompt);
    if (room < 0) return -1;
    if (p->output <= 0) return INT64_MAX;
    wide most = room / p->output;
    return most > INT64_MAX ? INT64_MAX : (int64_t)most;
}
