/* The step before anything is sent: one atomic hold over every limit of the caller. */
#include "fcgi/stage/admit.h"

#include "fcgi/stage/refusal.h"

static void fill_ask(struct ledger_ask *ask, const struct request *r, const struct caller *c, const char *endpoint,
                     const struct chat *chat, const struct plan *plan, const struct ticket *t)
{
    const struct estimate *e = &t->estimate;
    *ask = (struct ledger_ask){
        .who = {.user = c->user, .team = c->team, .role = c->role, .rolegroup = c->rolegroup, .key = c->key.name,
                .ip = c->ip, .model = plan->model->alias},
        .now_ms = r->begun_wall_ms, .prompt_bound = e->prompt_bound, .output_bound = e->output_bound, .choices = e->samples,
        .output_floor = e->output_least, .prompt_estimate = e->prompt_estimate, .output_estimate = e->output_estimate,
        .request_id = r->id, .endpoint = endpoint, .provider = plan->targets[0].provider->name,
        .model = plan->targets[0].model, .stream = chat->stream,
    };
    tariff_raise(&t->tariff, plan->targets, plan->count, e, &ask->price, &ask->price_estimate);
    tariff_raise(&t->tariff, plan->larger, plan->larger_count, e, &ask->price, &ask->price_estimate);
}

/* A price there is, but not of all that is asked. */
static enum weir_err refuse(const struct ledger_refusal *r, const struct plan *plan, const struct tariff *t,
                            struct problem *p)
{
    const char *field = r->kind == LEDGER_UNPRICED ? tariff_unpriced(t, plan->targets, plan->count) : NULL;
    if (!field) return refusal_problem(r, p);
    return problem_set(p, WEIR_UNPRICED, field,
                       "The model's price has nothing on what %s asks for, and a limit on cost (%.*s) applies.", field,
                       (int)text_cut(span_of(r->via), BOUND_NAME), r->via);
}

enum weir_err admit(const struct book *b, const struct request *r, const struct caller *c, const char *endpoint,
                    const struct chat *chat, const struct plan *plan, struct ticket *t, struct problem *p)
{
    struct ledger_ask ask;
    struct ledger_refusal refusal;
    *t = (struct ticket){0};
    estimate_request(chat, plan->model, b->experience, &t->estimate);
    tariff_read(chat, t->estimate.has_audio, t->estimate.has_files, &t->tariff);
    fill_ask(&ask, r, c, endpoint, chat, plan, t);
    const struct ledger_try first = {
        .now_ms = ask.now_ms, .number = 1, .provider = ask.provider, .prompt_bound = ask.prompt_bound,
        .output_bound = ask.output_bound, .prompt_estimate = ask.prompt_estimate,
        .output_estimate = ask.output_estimate,
        .price = tariff_ceiling(&t->tariff, &plan->targets[0], ask.prompt_bound),
        .price_estimate = tariff_estimate(&t->tariff, &plan->targets[0], ask.prompt_estimate),
    };
    enum weir_err err = book_admit(b, &ask, &first, &t->grant, &t->first, &t->first_is_hard, &refusal);
    if (err != WEIR_OK) return problem_set(p, err, NULL, NULL);
    if (!t->grant.ticket) return refuse(&refusal, plan, &t->tariff, p);
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
