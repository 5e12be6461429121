/* /config/budget: one limit of many (metric tokens, shape bucket) in TokenGuard's form. What a limit may say is the
 * document's business (doc_limits.c), what it has counted the ledger's; here only the form is changed. */
#include "admin/web_budget.h"

#include "admin/document.h"
#include "admin/same.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/log.h"
#include "sql/change.h"
#include "sql/ledger.h"

#define KINDS "global|team|rolegroup|role|user|key|ip|model|provider"
#define MODES "hard|soft"
#define LIMIT_TEXT_MAX (BOUND_ADMIN_BODY + 1024)

/* ---- reading ---- */

struct budget_text { const char *scope, *mode; struct jval id, capacity, refill; };

/* A fault of the reader as a problem: "capacity must be above 0." of the param "capacity". */
static enum weir_err faulty(const struct reader *r, struct problem *p)
{
    if (r->no_memory) return problem_set(p, WEIR_NOMEM, NULL, NULL);
    return problem_set(p, WEIR_INVALID, r->path, "%s %s.", *r->path ? r->path : "The request body", r->fault);
}

/* "global" or "team/data"; id NULL: none was given. In the arena, or NULL, and the reader knows why. */
static const char *scope_of(struct reader *r, const char *kind, const char *id)
{
    bool global = strcmp(kind, "global") == 0;
    if (!choice_is(KINDS, span_of(kind))) {
        refuse_member(r, "scope", "must be one of %s", KINDS);
        return NULL;
    }
    if (global != !id) {
        refuse_member(r, "id", global ? "does not belong to the scope global" : "is missing");
        return NULL;
    }
    const char *scope = global ? kind : arena_printf(r->memory, "%s/%s", kind, id);
    const char *fault = scope ? scope_fault(scope) : NULL;
    if (!scope) refuse_memory(r);
    if (fault) refuse_member(r, "id", "%s", fault);
    return fault ? NULL : scope;
}

/* An id that is null is one that is not given, as the answers have it. */
static bool id_read(struct reader *r, struct jval v, const char **id)
{
    const struct field text = {"id", FIELD_TEXT, 0, false, 1, BOUND_ALIAS, NULL};
    *id = NULL;
    if (v.kind == JSON_ABSENT || v.kind == JSON_NULL) return true;
    size_t before = path_member(r, "id");
    if (!field_read(r, v, &text, id)) return false;
    path_back(r, before);
    return true;
}

/* The same limit as an entry of the document, in the arena. */
static bool entry_of(struct reader *r, const struct budget_text *t, const char *scope, struct jval *out)
{
    struct buf json;
    struct jfault fault;
    buf_init(&json, LIMIT_TEXT_MAX);
    buf_str(&json, "{\"scope\":");
    json_string(&json, span_of(scope));
    buf_printf(&json, ",\"metric\":\"tokens\",\"shape\":\"bucket\",\"mode\":\"%s\"", t->mode);
    if (t->capacity.kind) buf_str(&json, ",\"capacity\":"), buf_span(&json, t->capacity.text);
    if (t->refill.kind) buf_str(&json, ",\"refill_per_sec\":"), buf_span(&json, t->refill.text);
    buf_char(&json, '}');
    char *kept = json.err ? NULL : arena_str(r->memory, buf_all(&json));
    buf_free(&json);
    return kept && jscan_check(span_of(kept), BOUND_JSON_DEPTH + 1, out, &fault) == WEIR_OK ? true : refuse_memory(r);
}

/* The document's checks; the one member that has another name there gets its name here back. */
static bool limit_read(struct reader *r, struct jval entry, struct limit_rule *out)
{
    if (doc_limit_read(r, entry, out)) return true;
    if (strcmp(r->path, "refill_per_sec") == 0) {
        path_back(r, 0);
        path_member(r, "refillPerSec");
    }
    return false;
}

/* From the body to the limit. Texts are the arena's. */
static bool budget_read(struct reader *r, struct jval body, struct limit_rule *out)
{
    static const struct field table[] = {
        {"scope", FIELD_TEXT, offsetof(struct budget_text, scope), true, 1, BOUND_NAME, NULL},
        {"id", FIELD_ANY, offsetof(struct budget_text, id), false, 0, 0, NULL},
        {"capacity", FIELD_ANY, offsetof(struct budget_text, capacity), true, 0, 0, NULL},
        {"refillPerSec", FIELD_ANY, offsetof(struct budget_text, refill), true, 0, 0, NULL},
        {"mode", FIELD_CHOICE, offsetof(struct budget_text, mode), false, 0, 0, MODES},
        {NULL, FIELD_ANY, 0, false, 0, 0, NULL},
    };
    struct budget_text t = {.mode = "soft"};
    struct jval entry;
    const char *id, *scope;
    return fields_read(r, body, table, &t) && id_read(r, t.id, &id) && (scope = scope_of(r, t.scope, id)) &&
           entry_of(r, &t, scope, &entry) && limit_read(r, entry, out);
}

static enum weir_err parse(struct span text, struct arena *a, struct limit_rule *out, struct problem *p)
{
    struct reader r = {.memory = a};
    struct jfault fault = {0, NULL};
    struct jval body;
    if (jscan_check(text, BOUND_JSON_DEPTH, &body, &fault) != WEIR_OK)
        return problem_set(p, WEIR_INVALID, NULL, "The request body is not JSON: %s at byte %zu.",
                           fault.what ? fault.what : "fault", fault.at);
    return budget_read(&r, body, out) ? WEIR_OK : faulty(&r, p);
}

/* ---- telling ---- */

struct telling { struct buf *out; struct rule rule; int count; };

static void tell(const struct ledger_line *l, void *arg)
{
    struct telling *to = arg;
    char refill[MONEY_TEXT];
    if (l->rule.metric != METRIC_TOKENS || l->rule.shape != SHAPE_BUCKET) return;
    const char *slash = strchr(l->scope, '/');
    rate_text(l->rule.refill, refill);
    buf_str(to->out, to->count++ ? ",{\"scope\":" : "{\"scope\":");
    json_string(to->out, (struct span){l->scope, slash ? (size_t)(slash - l->scope) : strlen(l->scope)});
    buf_str(to->out, ",\"id\":");
    json_string(to->out, slash ? span_of(slash + 1) : SPAN_NONE);
    buf_printf(to->out, ",\"capacity\":%lld,\"refillPerSec\":%s,\"mode\":\"%s\"", (long long)l->rule.amount, refill,
               mode_names[l->rule.mode]);
    buf_printf(to->out, ",\"tokens\":%lld,\"used\":%lld,\"held\":%lld}", (long long)l->remaining, (long long)l->used,
               (long long)l->held);
    to->rule = l->rule;
}

/* scope NULL: all. */
static enum weir_err look(struct web_way *w, const char *scope, struct telling *to)
{
    return ledger_list(w->db, scope, false, clock_wall_ms(), tell, to);
}

enum weir_err web_budget_show(struct web_way *w, struct buf *out)
{
    static const char *const names[] = {"scope", "id", NULL};
    const char *asked[2], *scope = NULL;
    struct reader r = {.memory = &w->memory};
    struct telling to = {.out = out};
    enum weir_err err = web_request_query(&w->r, names, asked, &w->memory, &w->problem);
    if (err != WEIR_OK) return err;
    if (asked[1] && !asked[0]) return problem_set(&w->problem, WEIR_INVALID, "scope", "scope is missing.");
    if (asked[0] && !(scope = scope_of(&r, asked[0], asked[1]))) return faulty(&r, &w->problem);
    if (!scope) buf_str(out, "{\"object\":\"list\",\"data\":[");
    err = look(w, scope, &to);
    if (!scope) buf_str(out, "]}");
    if (err != WEIR_OK) return problem_set(&w->problem, err, NULL, NULL);
    if (scope && !to.count) return problem_set(&w->problem, WEIR_NOT_FOUND, NULL, "There is no token budget for %s.", scope);
    return WEIR_OK;
}

/* ---- setting ---- */

static enum weir_err note_change(struct web_way *w, const struct limit_rule *old, const struct limit_rule *l)
{
    struct limit_rule was = *l;
    struct buf before, after;
    buf_init(&before, LIMIT_TEXT_MAX);
    buf_init(&after, LIMIT_TEXT_MAX);
    if (old) was.mode = old->mode, was.amount = old->amount, was.refill_nano = old->refill_nano;
    doc_limit_write(&before, &was);
    doc_limit_write(&after, l);
    const struct admin_change c = {.time = l->created, .by = web_manager(w).by,
                                   .action = old ? "limit changed" : "limit added",
                                   .subject = l->scope, .before = old ? buf_cstr(&before) : NULL, .after = buf_cstr(&after)};
    enum weir_err err = admin_change_add(w->db, &c);
    buf_free(&before);
    buf_free(&after);
    return err;
}

/* In a change: what TokenGuard's form does not know stays as it is. *changed: something was written. */
static enum weir_err put(struct web_way *w, struct limit_rule *l, bool *changed)
{
    struct buf unread;
    struct telling before = {.out = &unread};
    buf_init(&unread, LIMIT_TEXT_MAX);
    enum weir_err err = look(w, l->scope, &before);
    buf_free(&unread);
    if (err != WEIR_OK) return err;
    const struct rule *r = &before.rule;
    if (before.count) l->warn_percent = r->warn_percent;
    const struct limit_rule old = {.mode = mode_names[r->mode], .amount = r->amount, .refill_nano = r->refill,
                                   .utc_offset_min = r->utc_offset_min, .warn_percent = r->warn_percent};
    *changed = !before.count || !limit_same(&old, l);
    l->created = clock_wall_ms();
    if (!*changed) return WEIR_OK;
    err = limit_put(w->db, l);
    return err == WEIR_OK ? note_change(w, before.count ? &old : NULL, l) : err;
}

static enum weir_err change(struct web_way *w, struct limit_rule *l)
{
    struct change c;
    bool changed = false;
    enum weir_err err = change_begin(&c, w->db, w->web->data_dir);
    if (err != WEIR_OK) return err;
    err = put(w, l, &changed);
    if (err == WEIR_OK && changed) err = change_commit(&c);
    else change_undo(&c);
    if (err == WEIR_OK && changed)
        log_event(LOG_INFO, "budget_set", LOG_TEXT("by", w->who.name), LOG_TEXT("scope", l->scope),
                  LOG_INT("capacity", l->amount), LOG_INT("refill_nano", l->refill_nano), LOG_TEXT("mode", l->mode),
                  LOG_TEXT("request_id", w->r.id));
    return err;
}

enum weir_err web_budget_set(struct web_way *w, struct buf *out)
{
    struct limit_rule l;
    struct telling to = {.out = out};
    struct buf body;
    buf_init(&body, BOUND_ADMIN_BODY + 1);
    enum weir_err err = web_request_body(&w->r, &body, &w->problem);
    if (err == WEIR_OK) err = parse(buf_all(&body), &w->memory, &l, &w->problem);
    if (err == WEIR_OK) {
        if ((err = change(w, &l)) == WEIR_OK) err = look(w, l.scope, &to);
        if (err != WEIR_OK) problem_set(&w->problem, err, NULL, NULL);
    }
    buf_free(&body);
    return err;
}
