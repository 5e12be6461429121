/* Does an entry of the document say what is stored already? Compares, changes nothing. */
#include "admin/same.h"

#include "sql/price.h"

static bool text_same(const char *a, const char *b) /* NULL: absent */
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static const char *header_of(const struct provider_row *p, const char *name)
{
    for (int i = 0; i < p->header_count; i++)
        if (strcmp(p->headers[i].name, name) == 0) return p->headers[i].value;
    return NULL;
}

bool provider_same(const struct provider_row *old, const struct provider_row *now)
{
    if (old->header_count != now->header_count) return false;
    for (int i = 0; i < now->header_count; i++)
        if (!text_same(header_of(old, now->headers[i].name), now->headers[i].value)) return false;
    return text_same(old->dialect, now->dialect) && text_same(old->base_url, now->base_url)
        && text_same(old->key_strategy, now->key_strategy) && old->allow_plain_http == now->allow_plain_http
        && old->connect_ms == now->connect_ms && old->first_byte_ms == now->first_byte_ms
        && old->idle_ms == now->idle_ms && old->total_ms == now->total_ms
        && text_same(old->api_version, now->api_version) && text_same(old->anthropic_version, now->anthropic_version)
        && text_same(old->auth, now->auth) && text_same(old->faces, now->faces);
}

const struct upstream_key *provider_key_of(const struct provider_row *p, const char *name)
{
    for (int i = 0; p && i < p->key_count; i++)
        if (strcmp(p->keys[i].name, name) == 0) return &p->keys[i];
    return NULL;
}

bool upstream_key_same(const struct upstream_key *old, const struct doc_upstream_key *now)
{
    if (!old || old->priority != now->priority) return false;
    if (!now->secret.at) return true;
    /* the one place outside the doors that looks at a stored secret: to compare, never to show */
    return old->secret && span_eq(secret_reveal(old->secret), now->secret);
}

bool model_same(const struct model_row *old, const struct model_row *now)
{
    return price_same(&old->price, &now->price) && text_same(old->strategy, now->strategy) &&
           text_same(old->fallback, now->fallback) && text_same(old->context_fallback, now->context_fallback) &&
           text_same(old->system, now->system) && text_same(old->defaults, now->defaults) &&
           old->cache_ttl == now->cache_ttl && old->context_window == now->context_window &&
           old->max_output == now->max_output && old->hedge_after_ms == now->hedge_after_ms &&
           text_same(old->cache_scope, now->cache_scope) && old->cache_tool_calls == now->cache_tool_calls &&
           old->stale_for == now->stale_for && text_same(old->context_action, now->context_action) &&
           old->trim_at == now->trim_at && old->trim_to == now->trim_to;
}

bool model_targets_same(const struct model_row *old, const struct doc_model *now)
{
    if (old->target_count != now->target_count) return false;
    for (int i = 0; i < now->target_count; i++)
        if (!text_same(old->targets[i].provider->name, now->targets[i].provider) ||
            !text_same(old->targets[i].model, now->targets[i].model) ||
            old->targets[i].weight != now->targets[i].weight ||
            !price_same(&old->targets[i].price, &now->targets[i].price))
            return false;
    return true;
}

bool limit_same(const struct limit_rule *old, const struct limit_rule *now)
{
    return text_same(old->mode, now->mode) && old->amount == now->amount && old->refill_nano == now->refill_nano
        && old->utc_offset_min == now->utc_offset_min && old->warn_percent == now->warn_percent;
}

bool key_same(const struct key *old, const struct key *now)
{
    return text_same(old->user, now->user) && text_same(old->team, now->team) && text_same(old->role, now->role)
        && text_same(old->rolegroup, now->rolegroup) && text_same(old->models, now->models)
        && text_same(old->allow_ip, now->allow_ip) && text_same(old->endpoints, now->endpoints)
        && old->may_assert == now->may_assert && old->expires == now->expires;
}
