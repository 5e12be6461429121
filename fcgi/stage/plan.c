/* Fourth step: from the name to an ordered list of candidates, each a target with the key it is called with. */
#include "fcgi/stage/plan.h"

#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"
#include "fcgi/provider/fit.h"
#include "fcgi/stage/estimate.h"
#include "fcgi/stage/order.h"

#define CHAIN_MOST 8         /* aliases behind one another */
#define RETRY_MOST_S 60      /* some SDKs sleep through whatever they are told (WIRE.md 1) */
#define RETRY_UNKNOWN_S 60   /* it takes somebody to change something */

struct draft {
    const struct caller *c;
    const struct chat *chat;
    struct pulse *pulse;
    const struct health_map *map;
    struct arena *memory;
    struct dice dice;        /* 0: not shaken yet, one candidate needs none */
    int64_t now;
    int usable;              /* targets that could be spoken to, if they may be asked or not */
    struct fitting fitting;  /* of the request to the targets */
    struct problem misfit;   /* why the first of those was left out that cannot carry the request */
    int64_t soonest;         /* when the first of those left out may be asked again; 0: none, -1: not by itself */
    struct target *resort;   /* candidates behind open breakers, which may be tried where nothing else is left */
    int resort_count;
};

/* ---- which alias ---- */

static const struct model_row *model_of(const struct draft *d, const char *alias)
{
    return alias && *alias ? snapshot_model(d->c->snap, span_of(alias)) : NULL;
}

/* A target that names the same model says what it costs. */
static struct price price_of(const struct snapshot *s, const struct provider_row *p, const char *model)
{
    for (int i = 0; i < s->model_count; i++)
        for (int t = 0; t < s->models[i].target_count; t++) {
            const struct target_row *row = &s->models[i].targets[t];
            if (row->provider != p || strcmp(row->model, model) != 0) continue;
            if (row->price.known) return row->price;
            if (s->models[i].price.known) return s->models[i].price;
        }
    return (struct price){.known = false};
}

/* "provider/model" as an alias of its own, made for this request; NULL: it is none, or memory is out. */
static const struct model_row *direct_model(struct draft *d)
{
    struct span name = d->chat->alias;
    const char *slash = name.at ? memchr(name.at, '/', name.len) : NULL;
    size_t head = slash ? (size_t)(slash - name.at) : 0;
    if (!d->c->snap->settings.direct_models || !slash || head + 1 == name.len) return NULL;
    if (name.len > BOUND_ALIAS || !text_is_header_safe(name)) return NULL;
    const struct provider_row *p = snapshot_provider(d->c->snap, (struct span){name.at, head});
    struct model_row *m = p ? arena_alloc(d->memory, sizeof *m) : NULL;
    struct target_row *t = m ? arena_alloc(d->memory, sizeof *t) : NULL;
    char *alias = t ? arena_str(d->memory, name) : NULL;
    if (!alias) return NULL;
    *t = (struct target_row){.provider = p, .model = alias + head + 1, .weight = 1};
    t->price = price_of(d->c->snap, p, t->model);
    *m = (struct model_row){.alias = alias, .strategy = "priority", .targets = t, .target_count = 1, .price = t->price};
    return m;
}

static enum weir_err find_model(struct draft *d, struct plan *out, struct problem *p)
{
    struct span alias = d->chat->alias;
    int shown = (int)text_cut(alias, 100);
    out->model = snapshot_model(d->c->snap, alias);
    if (!out->model) out->model = direct_model(d);
    if (!out->model)
        return problem_set(p, WEIR_MODEL_UNKNOWN, "model", "The model \"%.*s%s\" does not exist.", shown, alias.at,
                           (size_t)shown < alias.len ? "..." : "");
    if (!key_allows_model(&d->c->key, alias))
        return problem_set(p, WEIR_MODEL_FORBIDDEN, "model", "This key may not use the model \"%.*s\".", shown, alias.at);
    return WEIR_OK;
}

/* The alias, its fallback, that one's, and at last the fallback of all; each once. */
struct chain { const struct model_row *at[CHAIN_MOST]; int count; };

static void follow(const struct draft *d, const struct model_row *m, struct chain *chain)
{
    while (m && chain->count < CHAIN_MOST) {
        for (int i = 0; i < chain->count; i++)
            if (chain->at[i] == m) return;
        chain->at[chain->count++] = m;
        m = model_of(d, m->fallback);
    }
}

/* ---- candidates ---- */

static const struct price *price_in(const struct model_row *m, const struct target_row *t)
{
    return t->price.known ? &t->price : m->price.known ? &m->price : NULL;
}

static int64_t cost_of(const struct draft *d, const struct price *p)
{
    int64_t prompt = estimate_text(d->chat->prompt_bytes);
    int64_t most = d->chat->max_output, output = most >= 0 && most < OUTPUT_ESTIMATE ? most : OUTPUT_ESTIMATE;
    int64_t cost = p ? price_bound(p, prompt, output) : -1;
    return cost < 0 ? INT64_MAX : cost;
}

static void note_soonest(struct draft *d, int64_t until)
{
    if (until < 0) {
        if (!d->soonest) d->soonest = -1;
    } else if (d->soonest <= 0 || until < d->soonest) {
        d->soonest = until;
    }
}

/* Adds the candidate if it may be asked, in the last place if it is a last resort; behind says whether those are wanted that
 * are nearly out of their limit. */
static void add(struct draft *d, const struct target *t, const struct upstream_key *key, bool behind, struct target *list,
                int *count)
{
    int64_t until;
    const char *key_name = key ? key->name : NULL;
    if (pulse_is_spared(d->pulse, t->provider->name, key_name) != behind) return;
    enum health_may may = health_may(d->map, t->provider->name, t->model, key_name, d->now, &until);
    if (may >= HEALTH_RESORT) note_soonest(d, until);
    if (may == HEALTH_BLOCKED) return;
    struct target *to = may == HEALTH_RESORT ? &d->resort[d->resort_count++] : &list[(*count)++];
    *to = *t;
    to->key = key;
}

static bool add_keys(struct draft *d, const struct target *t, bool behind, struct target *list, int *count)
{
    const struct provider_row *p = t->provider;
    if (!p->key_count) {
        add(d, t, NULL, behind, list, count);
        return true;
    }
    struct key_choice *keys = arena_alloc(d->memory, sizeof *keys * (size_t)p->key_count);
    if (!keys) return false;
    for (int i = 0; i < p->key_count; i++) {
        struct pulse_use use = {0};
        if (strcmp(p->key_strategy, "least_used") == 0) use = pulse_uses(d->pulse, d->map, p->name, p->keys[i].name);
        keys[i] = (struct key_choice){&p->keys[i], use.in_flight, use.requests};
    }
    bool turns = !behind && p->key_count > 1 && strcmp(p->key_strategy, "round_robin") == 0;
    order_keys(p->key_strategy, turns ? pulse_turn(d->pulse, HEALTH_KEY, p->name) : 0, keys, p->key_count);
    for (int i = 0; i < p->key_count; i++) add(d, t, keys[i].key, behind, list, count);
    return true;
}

/* A target of the alias as it is to be asked, if it can carry the request. False: memory is out. */
static bool fit(struct draft *d, const struct model_row *m, const struct target_row *row, struct target *t, bool *fits)
{
    struct problem p = {.err = WEIR_OK};
    *t = (struct target){.provider = row->provider, .model = row->model, .price = price_in(m, row), .alias = m};
    enum weir_err err = dialect_find(row->provider->dialect) ? fit_target(&d->fitting, t, &p) : WEIR_UNAVAILABLE;
    *fits = err == WEIR_OK;
    if (err == WEIR_INVALID && d->misfit.err == WEIR_OK) d->misfit = p;
    return err != WEIR_NOMEM;
}

static bool add_alias(struct draft *d, const struct model_row *m, struct target *list, int *count)
{
    struct target_choice *choices = arena_alloc(d->memory, sizeof *choices * (size_t)(m->target_count + 1));
    struct target *fitted = arena_alloc(d->memory, sizeof *fitted * (size_t)(m->target_count + 1));
    bool by_latency = strcmp(m->strategy, "least_latency") == 0, turns = strcmp(m->strategy, "round_robin") == 0;
    bool whole = true, fits;
    int n = 0;
    if (!choices || !fitted) return false;
    for (int i = 0; i < m->target_count; i++) {
        const struct target_row *t = &m->targets[i];
        if (!fit(d, m, t, &fitted[i], &fits)) return false;
        if (!fits) continue;
        int64_t latency = by_latency ? pulse_latency(d->pulse, d->map, t->provider->name, t->model) : -1;
        choices[n++] = (struct target_choice){t, latency, cost_of(d, price_in(m, t))};
    }
    d->usable += n;
    if (n > 1 && !d->dice.state) secret_random(&d->dice.state, sizeof d->dice.state);
    order_targets(m->strategy, turns ? pulse_turn(d->pulse, HEALTH_TARGET, m->alias) : 0, &d->dice, choices, n);
    for (int behind = 0; behind < 2; behind++)
        for (int i = 0; i < n && whole; i++) whole = add_keys(d, &fitted[choices[i].row - m->targets], behind, list, count);
    return whole;
}

static size_t room_for(const struct chain *chain)
{
    size_t room = 1;
    for (int i = 0; i < chain->count; i++)
        for (int t = 0; t < chain->at[i]->target_count; t++) {
            int keys = chain->at[i]->targets[t].provider->key_count;
            room += keys ? (size_t)keys : 1;
        }
    return room;
}

static bool add_chain(struct draft *d, const struct chain *chain, struct target **list, int *count)
{
    size_t room = sizeof **list * room_for(chain);
    *count = d->resort_count = 0;
    if (!(*list = arena_alloc(d->memory, room)) || !(d->resort = arena_alloc(d->memory, room))) return false;
    for (int i = 0; i < chain->count; i++)
        if (!add_alias(d, chain->at[i], *list, count)) return false;
    for (int i = 0; i < d->resort_count; i++) (*list)[(*count)++] = d->resort[i];
    return true;
}

/* ---- the whole ---- */

static enum weir_err nobody(const struct draft *d, const struct plan *plan, struct problem *p)
{
    int shown = (int)text_cut(span_of(plan->model->alias), 100);
    if (!d->usable && d->misfit.err != WEIR_OK) {
        *p = d->misfit;
        return p->err;
    }
    if (!d->usable)
        return problem_set(p, WEIR_UNAVAILABLE, NULL, "The model \"%.*s\" has no provider that can be used.", shown,
                           plan->model->alias);
    int64_t wait_s = d->soonest < 0 ? RETRY_UNKNOWN_S : (d->soonest - d->now + 999) / 1000;
    problem_set(p, WEIR_UNAVAILABLE, NULL, "Every provider of the model \"%.*s\" has failed lately; none is asked just now.",
                shown, plan->model->alias);
    p->retry_after_s = (int)(wait_s < 1 ? 1 : wait_s > RETRY_MOST_S ? RETRY_MOST_S : wait_s);
    return p->err;
}

static enum weir_err fill(struct draft *d, struct plan *out, struct problem *p)
{
    struct chain chain = {.count = 0}, larger = {.count = 0};
    enum weir_err err = find_model(d, out, p);
    if (err != WEIR_OK) return err;
    follow(d, d->chat->is_long ? model_of(d, out->model->context_fallback) : out->model, &chain);
    follow(d, model_of(d, d->c->snap->settings.fallback), &chain);
    follow(d, model_of(d, out->model->context_fallback), &larger);
    if (!add_chain(d, &chain, &out->targets, &out->count)) return problem_set(p, WEIR_NOMEM, NULL, NULL);
    if (!out->count) return nobody(d, out, p);
    if (larger.count && !add_chain(d, &larger, &out->larger, &out->larger_count))
        return problem_set(p, WEIR_NOMEM, NULL, NULL);
    for (int i = 0; i < out->count; i++) out->priced |= out->targets[i].price != NULL;
    for (int i = 0; i < out->larger_count; i++) out->priced |= out->larger[i].price != NULL;
    return WEIR_OK;
}

enum weir_err plan_targets(const struct caller *c, const struct chat *chat, struct pulse *pulse, struct arena *a,
                           struct plan *out, struct problem *p)
{
    struct health_map *map = pulse_hold(pulse);
    struct draft d = {.c = c, .chat = chat, .pulse = pulse, .map = map, .memory = a, .now = clock_wall_ms(),
                      .fitting = {.chat = chat, .memory = a}};
    *out = (struct plan){0};
    enum weir_err err = fill(&d, out, p);
    health_release(map);
    return err;
}

enum weir_err plan_model(const struct caller *c, const struct chat *chat, struct arena *a, struct plan *out,
                         struct problem *p)
{
    struct draft d = {.c = c, .chat = chat, .memory = a};
    *out = (struct plan){0};
    return find_model(&d, out, p);
}
