/* /sync/openai-limits. What is asked and what it means is limit_sync.c's; here it is a request. */
#include "admin/web_sync.h"

#include "admin/limit_sync.h"
#include "fcgi/base/log.h"

/* *changed: a limit was added or changed. */
static enum weir_err apply(struct web_way *w, struct limit_sync *s, bool *changed)
{
    struct manager m = web_manager(w);
    struct applied done;
    struct fault fault = {0};
    struct buf text;
    buf_init(&text, BOUND_ADMIN_BODY);
    enum weir_err err = limit_sync_document(w->db, &w->memory, s, &text);
    if (err == WEIR_OK) err = manage_document(&m, buf_all(&text), false, &done, &fault);
    buf_free(&text);
    if (err == WEIR_INVALID) return problem_set(&w->problem, WEIR_UPSTREAM, NULL, "%s %s.", fault.path, fault.text);
    if (err != WEIR_OK) return problem_set(&w->problem, err, NULL, NULL);
    const struct tally *t = &done.tally[SECTION_LIMITS];
    *changed = t->added || t->changed;
    applied_free(&done);
    return WEIR_OK;
}

static enum weir_err sync(struct web_way *w, const struct snapshot *snap, const char *const *asked, struct buf *out)
{
    const struct provider_row *provider = limit_sync_provider(snap, asked[0]);
    struct limit_sync s;
    bool changed = false;
    if (!provider)
        return problem_set(&w->problem, WEIR_NOT_FOUND, "provider", "There is no provider of %s.",
                           asked[0] ? "that name" : "dialect openai");
    enum weir_err err = limit_sync_ask(snap, provider, asked[1], &w->memory, &s, &w->problem);
    if (err == WEIR_OK) err = apply(w, &s, &changed);
    if (err != WEIR_OK) return err;
    limit_sync_write(&s, changed, out);
    log_event(LOG_INFO, "limits_synced", LOG_TEXT("by", w->who.name), LOG_TEXT("provider", provider->name),
              LOG_INT("changed", changed), LOG_TEXT("request_id", w->r.id));
    return WEIR_OK;
}

/* A foreign page can make a browser send a GET with the cookie of a session, and this one changes something. */
static bool may_be_forged(const struct web_way *w) { return !w->who.key && w->r.method != WEB_POST; }

enum weir_err web_sync(struct web_way *w, struct buf *out)
{
    static const char *const names[] = {"provider", "model", NULL};
    const char *asked[2];
    struct snapshot *snap = NULL;
    if (may_be_forged(w))
        return problem_set(&w->problem, WEIR_ROLE_FORBIDDEN, NULL, "From a session this takes POST.");
    enum weir_err err = web_request_query(&w->r, names, asked, &w->memory, &w->problem);
    if (err != WEIR_OK) return err;
    err = snapshot_load(w->db, w->web->master, &snap);
    if (err != WEIR_OK) return problem_set(&w->problem, err, NULL, NULL);
    err = sync(w, snap, asked, out);
    snapshot_release(snap);
    return err;
}
