/* Fourth step: from the alias to an ordered list of targets, each with the key it is called with. */
#include "fcgi/stage/plan.h"

#include "fcgi/base/text.h"

static enum weir_err find_model(const struct caller *c, const struct chat *chat, struct plan *out, struct problem *p)
{
    int shown = (int)text_cut(chat->alias, 100);
    out->model = snapshot_model(c->snap, chat->alias);
    if (!out->model)
        return problem_set(p, WEIR_MODEL_UNKNOWN, "model", "The model \"%.*s%s\" does not exist.", shown, chat->alias.at,
                           (size_t)shown < chat->alias.len ? "..." : "");
    if (!key_allows_model(&c->key, chat->alias))
        return problem_set(p, WEIR_MODEL_FORBIDDEN, "model", "This key may not use the model \"%.*s\".", shown,
                           chat->alias.at);
    return WEIR_OK;
}

enum weir_err plan_targets(const struct caller *c, const struct chat *chat, struct arena *a, struct plan *out,
                           struct problem *p)
{
    *out = (struct plan){0};
    enum weir_err err = find_model(c, chat, out, p);
    if (err != WEIR_OK) return err;
    const struct model_row *m = out->model;
    out->targets = arena_alloc(a, sizeof *out->targets * (size_t)(m->target_count + 1));
    if (!out->targets) return problem_set(p, WEIR_NOMEM, NULL, NULL);
    for (int i = 0; i < m->target_count; i++) {
        const struct provider_row *provider = m->targets[i].provider;
        if (!dialect_find(provider->dialect)) continue;
        out->targets[out->count++] = (struct target){provider, provider->key_count ? provider->keys : NULL,
                                                     m->targets[i].model};
    }
    if (out->count) return WEIR_OK;
    return problem_set(p, WEIR_UNAVAILABLE, NULL, "The model \"%.*s\" has no provider that can be used.",
                       (int)text_cut(chat->alias, 100), m->alias);
}
