/* What one attempt used. The provider's figures wherever it gave any, also of an attempt that failed; else an estimate of
 * what was delivered and the prompt that led to it; else nothing. (DESIGN.md, "What is charged") */
#include "fcgi/stage/charge.h"

static struct usage usage_of(const struct attempt *a, bool answered)
{
    const struct tap *t = &a->tap;
    if (t->usage.known && t->usage_is_running && estimate_text(t->delivered) > t->usage.completion) {
        struct usage so_far = t->usage; /* a stream broken off: its prompt was told, the rest is what was delivered */
        a->out->estimated = true;
        so_far.completion = estimate_text(t->delivered);
        return so_far;
    }
    if (t->usage.known || (!answered && !t->delivered)) return t->usage;
    a->out->estimated = true;
    return (struct usage){.known = true, .prompt = a->ticket->estimate.prompt_estimate,
                          .completion = estimate_text(t->delivered)};
}

void charge_attempt(const struct attempt *a, bool answered)
{
    struct outcome *o = a->out;
    const struct usage u = usage_of(a, answered);
    const struct price_use use = {u.prompt, u.cached, u.cache_write, u.completion};
    o->unpriced = !a->target->price && u.prompt + u.completion > 0;
    o->cost = (struct price_sum){0};
    if (a->target->price) price_add(&o->cost, a->target->price, &use);
    o->sent = a->up && a->up->sent;
    o->usage = u;
    o->uses[0] = (struct ledger_use){.number = a->number, .provider = a->target->provider->name, .sent = o->sent,
                                     .tokens = u.prompt + u.completion, .cost = price_total(&o->cost)};
    o->use_count = 1;
}
