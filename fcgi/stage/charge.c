/* What one attempt used. The provider's figures wherever it gave any, also of an attempt that failed; else an estimate of
 * what was delivered and the prompt that led to it; else nothing. (DESIGN.md, "What is charged") */
#include "fcgi/stage/charge.h"

#include "fcgi/base/log.h"

#define SOUND_A_TOKEN 3200 /* characters: 50 ms, as OpenAI counts them, of 16 bits at 24 kHz in base64 */

static int64_t sound(const struct tap *t) { return (t->sounded + SOUND_A_TOKEN - 1) / SOUND_A_TOKEN; }

static int64_t delivered(const struct tap *t) { return estimate_text(t->delivered) + sound(t); }

/* By its caller, when the provider had it already: it has been read, and is paid for. */
static bool was_left(const struct attempt *a) { return a->verdict == VERDICT_GONE && a->up && a->up->sent; }

/* What was written of an answer that nobody has seen: of a stream nothing, of one in one piece about what is usual, but no
 * more than a hard limit has left it. */
static int64_t unseen(const struct attempt *a)
{
    const struct ticket *t = a->ticket;
    int64_t usual = t->estimate.output_estimate;
    bool bound = t->grant.hard_tokens || a->provider_is_hard;
    if (a->tap.delivered || a->chat->stream || a->verdict != VERDICT_GONE) return delivered(&a->tap);
    return bound && usual > t->grant.output ? t->grant.output : usual;
}

static struct usage usage_of(const struct attempt *a, bool answered)
{
    const struct tap *t = &a->tap;
    bool part = t->usage_is_running || t->usage.is_half;
    if (t->usage.known && part && delivered(t) > t->usage.completion) {
        struct usage so_far = t->usage; /* a stream broken off, say: its prompt was told, the rest is what was delivered */
        a->out->estimated = true;
        so_far.completion = delivered(t);
        so_far.audio_output = sound(t);
        return so_far;
    }
    if (t->usage.known || (!answered && !delivered(t) && !was_left(a))) return t->usage;
    a->out->estimated = true;
    return (struct usage){.known = true, .prompt = a->ticket->estimate.prompt_estimate, .completion = unseen(a),
                          .audio_output = sound(t), .searches = t->usage.searches};
}

/* In the tier that served it: as told, else as asked for. */
static struct price_use use_of(const struct attempt *a, const struct usage *u, bool answered)
{
    const struct tariff *asked = &a->ticket->tariff;
    struct price_use use = {.prompt = u->prompt, .cached = u->cached, .cache_write = u->cache_write,
                            .completion = u->completion, .cache_write_1h = u->cache_write_1h,
                            .audio_input = u->audio_input, .audio_output = u->audio_output, .searches = u->searches,
                            .tier = a->tap.tells_tier ? a->tap.tier : asked->tier};
    if (!a->tap.tells_tier && use.tier == TIER_FLEX) use.tier = TIER_STANDARD; /* no word of it, no discount */
    bool found = answered || delivered(&a->tap); /* it searches before it writes */
    if (asked->searches_once && found && !use.searches) use.searches = a->chat->choices;
    return use;
}

/* Nothing is left out in silence: what of it has no price is charged as the rest is, and the row says so. */
static void note_lack(const struct attempt *a, const struct price_use *use)
{
    const struct price *p = a->target->price;
    if (!p || !price_lacks(p, price_needs(use)) || use->prompt + use->completion <= 0) return;
    log_event(LOG_WARN, "price_incomplete", LOG_TEXT("request_id", a->r->id), LOG_TEXT("model", a->target->alias->alias));
    if (!a->out->error) a->out->error = "price_incomplete";
}

void charge_attempt(const struct attempt *a, bool answered)
{
    struct outcome *o = a->out;
    const struct usage u = usage_of(a, answered);
    const struct price_use use = use_of(a, &u, answered);
    o->unpriced = !a->target->price && u.prompt + u.completion > 0;
    o->cost = (struct price_sum){0};
    if (a->target->price) price_add(&o->cost, a->target->price, &use);
    note_lack(a, &use);
    o->sent = a->up && a->up->sent;
    o->usage = u;
    o->uses[0] = (struct ledger_use){.number = a->number, .provider = a->target->provider->name, .sent = o->sent,
                                     .tokens = u.prompt + u.completion, .cost = price_total(&o->cost)};
    o->use_count = 1;
}
