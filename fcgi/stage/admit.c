/* The step before anything is sent: one atomic hold over every limit of the caller. */
#include "fcgi/stage/admit.h"

#include "fcgi/stage/refusal.h"

#define OUTPUT_FLOOR 16 /* tokens a choice; with less left a clamped answer is of no use */

static int64_t floor_of(const struct estimate *e)
{
    int64_t tokens;
    return __builtin_mul_overflow(e->samples, OUTPUT_FLOOR, &tokens) ? INT64_MAX : tokens;
}

static void fill_ask(struct ledger_ask *ask, const struct request *r, const struct caller *c, const char *endpoint,
                     const struct chat *chat, const struct plan *plan, const struct estimate *e)
{
    *ask = (struct ledger_ask){
        .who = {.user = c->user, .team = c->team, .role = c->role, .rolegroup = c->rolegroup, .key = c->key.name,
                .ip = c->ip, .model = plan->model->alias},
        .now_ms = r->begun_wall_ms, .prompt_bound = e->prompt_bound, .output_bound = e->output_bound, .choices = e->samples,
        .output_floor = floor_of(e), .prompt_estimate = e->prompt_estimate, .output_estimate = e->output_estimate,
        .price = plan->dearest, .request_id = r->id, .endpoint = endpoint, .provider = plan->targets[0].provider->name,
        .model = plan->targets[0].model, .stream = chat->stream,
    };
}

enum weir_err admit(const struct book *b, const struct request *r, const struct caller *c, const char *endpoint,
                    const struct chat *chat, const struct plan *plan, struct ticket *t, struct problem *p)
{
    struct ledger_ask ask;
    struct ledger_refusal refusal;
    *t = (struct ticket){0};
    estimate_request(chat, plan->model, b->experience, &t->estimate);
    fill_ask(&ask, r, c, endpoint, chat, plan, &t->estimate);
    const struct ledger_try first = {
        .now_ms = ask.now_ms, .number = 1, .provider = ask.provider, .prompt_bound = ask.prompt_bound,
        .output_bound = ask.output_bound, .prompt_estimate = ask.prompt_estimate,
        .output_estimate = ask.output_estimate,
        .price = plan->targets[0].price ? *plan->targets[0].price : (struct price){.known = false},
    };
    enum weir_err err = book_admit(b, &ask, &first, &t->grant, &t->first, &t->first_is_hard, &refusal);
    if (err != WEIR_OK) return problem_set(p, err, NULL, NULL);
    if (!t->grant.ticket) return refusal_problem(&refusal, p);
    t->skipped = refusal;
    return WEIR_OK;
}

/* ---- what another's answer serves ---- */

void admit_ask_only(const struct request *r, const struct caller *c, const char *endpoint, const struct chat *chat,
                    const struct model_row *model, const struct target *t, struct ledger_ask *ask)
{
    *ask = (struct ledger_ask){
        .who = {.user = c->user, .team = c->team, .role = c->role, .rolegroup = c->rolegroup, .key = c->key.name,
                .ip = c->ip, .model = model->alias},
        .now_ms = r->begun_wall_ms, .choices = 1, .only_request = true, .request_id = r->id, .endpoint = endpoint,
        .provider = t ? t->provider->name : NULL, .model = t ? t->model : NULL, .stream = chat->stream,
    };
}

enum weir_err admit_only(const struct book *b, const struct ledger_ask *ask, struct ticket *t, struct problem *p)
{
    struct ledger_refusal refusal;
    bool hard;
    *t = (struct ticket){0};
    enum weir_err err = book_admit(b, ask, NULL, &t->grant, &t->first, &hard, &refusal);
    if (err != WEIR_OK) return problem_set(p, err, NULL, NULL);
    return t->grant.ticket ? WEIR_OK : refusal_problem(&refusal, p);
}
