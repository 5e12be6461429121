/* The ledger's model for its property test: a list of all that was ever admitted, added up from scratch whenever
 * anything is asked. Knows limits by their words, shares no code with sql/ledger*.c. */
#ifndef WEIR_TESTS_LEDGER_MODEL_H
#define WEIR_TESTS_LEDGER_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define M_RULES 64
#define M_ENTRIES 4000
#define M_EVENTS 4000

struct m_rule {
    bool live;
    char scope[40], metric[12], shape[12], period[8], mode[8];
    int64_t seconds, amount, refill, offset;
    bool bent; /* lowered, reset, changed or overrun: what it promised over intervals does not hold for it */
};

/* One hold on one limit, for one member, and what became of it. */
struct m_entry {
    int rule;
    char member[60];
    int64_t hold, time, charge;
    bool open, counts; /* counts: not reset since */
    bool hard;         /* held the bound */
};

/* A bucket's history: +n at a time; a give-back of n charged `then`; n INT64_MIN: reset. */
struct m_event { int rule; char member[60]; int64_t at, n, then; bool back; };

struct model {
    struct m_rule rules[M_RULES];
    int rule_count;
    struct m_entry entries[M_ENTRIES];
    int entry_count;
    struct m_event events[M_EVENTS];
    int event_count;
    int64_t stamp;
};

static inline bool m_is(const char *a, const char *b) { return strcmp(a, b) == 0; }

/* ---- who is concerned ---- */

struct m_who { const char *user, *team, *key, *ip, *model; };

/* The scopes of an address: itself, and what a star limit counts it by. */
static inline const char *m_ip_star(const char *ip)
{
    if (m_is(ip, "2001:db8::1") || m_is(ip, "2001:DB8::2")) return "2001:db8::/64";
    if (m_is(ip, "2001:db8:0:1::1")) return "2001:db8:0:1::/64";
    if (m_is(ip, "::ffff:192.0.2.7")) return "192.0.2.7";
    return ip;
}

static inline bool m_has_own(const struct model *m, const struct m_rule *star, const char *scope)
{
    for (int i = 0; i < m->rule_count; i++)
        if (m->rules[i].live && m_is(m->rules[i].scope, scope) && m_is(m->rules[i].metric, star->metric) &&
            m_is(m->rules[i].shape, star->shape)) return true;
    return false;
}

/* Whether the rule concerns that name of that kind, and as whom it counts there. */
static inline bool m_applies(const struct model *m, const struct m_rule *r, const char *kind, const char *name, char member[60])
{
    char scope[60], star[60], counted[60];
    const char *as = name && m_is(kind, "ip") ? m_ip_star(name) : name;
    if (!name) return false;
    snprintf(scope, sizeof scope, "%s/%s", kind, name);
    snprintf(star, sizeof star, "%s/*", kind);
    snprintf(counted, sizeof counted, "%s/%s", kind, as);
    if (m_is(r->scope, scope) || m_is(r->scope, counted)) { snprintf(member, 60, "%s", r->scope); return true; }
    if (!m_is(r->scope, star) || m_has_own(m, r, scope) || m_has_own(m, r, counted)) return false;
    snprintf(member, 60, "%s", counted);
    return true;
}

static inline bool m_concerns(const struct model *m, const struct m_rule *r, const struct m_who *w, char member[60])
{
    if (!r->live) return false;
    if (m_is(r->scope, "global")) { strcpy(member, "global"); return true; }
    return m_applies(m, r, "user", w->user, member) || m_applies(m, r, "team", w->team, member) ||
           m_applies(m, r, "key", w->key, member) || m_applies(m, r, "ip", w->ip, member) ||
           m_applies(m, r, "model", w->model, member);
}

/* ---- time ---- */

static inline int64_t m_period(const struct m_rule *r, int64_t ms) /* a number that is the same all through a period */
{
    time_t local = (time_t)((ms + r->offset * 60000) / 1000);
    struct tm tm;
    gmtime_r(&local, &tm);
    if (m_is(r->period, "hour")) return local / 3600;
    if (m_is(r->period, "day")) return tm.tm_year * 1000 + tm.tm_yday;
    if (m_is(r->period, "month")) return tm.tm_year * 12 + tm.tm_mon;
    return (local / 86400 + 3) / 7;
}

static inline bool m_in_window(const struct m_rule *r, int64_t then, int64_t now)
{
    __int128 length = (__int128)r->seconds * 1000, slot = (__int128)then * 256 / length;
    return (__int128)now * 256 < (slot + 1 + 256) * length;
}

/* ---- sums ---- */

static inline int64_t m_bucket(const struct model *m, int rule, const char *member, int64_t now)
{
    const struct m_rule *r = &m->rules[rule];
    __int128 unit = m_is(r->metric, "cost") ? 1000 : (__int128)1000000000000, level = 0, back;
    int64_t at = 0;
    for (int i = 0; i <= m->event_count; i++) {
        const struct m_event *e = &m->events[i];
        bool end = i == m->event_count;
        if (!end && (e->rule != rule || !m_is(e->member, member))) continue;
        level -= (__int128)r->refill * ((end ? now : e->at) - at);
        if (level < 0) level = 0;
        if (end) break;
        at = e->at;
        if (e->n == INT64_MIN) { level = 0; continue; }
        back = unit * e->n - (__int128)r->refill * (at - e->then);
        if (!e->back) level += unit * e->n;
        else if (back > 0) level -= back;
        if (level < 0) level = 0;
    }
    return (int64_t)((level + unit - 1) / unit);
}

static inline int64_t m_used(const struct model *m, int rule, const char *member, int64_t now)
{
    const struct m_rule *r = &m->rules[rule];
    int64_t sum = 0;
    if (m_is(r->shape, "bucket")) return m_bucket(m, rule, member, now);
    for (int i = 0; i < m->entry_count; i++) {
        const struct m_entry *e = &m->entries[i];
        if (e->rule != rule || !e->counts || !m_is(e->member, member)) continue;
        if (m_is(r->shape, "window") && !m_in_window(r, e->time, now)) continue;
        if (m_is(r->shape, "calendar") && m_period(r, e->time) != m_period(r, now)) continue;
        sum += e->charge;
    }
    return sum;
}

static inline int64_t m_held(const struct model *m, int rule, const char *member)
{
    int64_t sum = 0;
    for (int i = 0; i < m->entry_count; i++)
        if (m->entries[i].rule == rule && m->entries[i].open && m_is(m->entries[i].member, member)) sum += m->entries[i].hold;
    return sum;
}

static inline int64_t m_room(const struct model *m, int rule, const char *member, int64_t now)
{
    return m->rules[rule].amount - m_used(m, rule, member, now) - m_held(m, rule, member);
}

/* ---- what happens ---- */

static inline void m_event(struct model *m, int rule, const char *member, int64_t at, int64_t n, int64_t then, bool back)
{
    struct m_event *e = &m->events[m->event_count++];
    *e = (struct m_event){.rule = rule, .at = at, .n = n, .then = then, .back = back};
    memmove(e->member, member, strlen(member) + 1);
}

static inline int m_enter(struct model *m, int rule, const char *member, int64_t now, int64_t need)
{
    const struct m_rule *r = &m->rules[rule];
    struct m_entry *e = &m->entries[m->entry_count];
    bool requests = m_is(r->metric, "requests");
    *e = (struct m_entry){.rule = rule, .hold = requests ? 0 : need, .charge = requests ? need : 0, .time = now, .open = true,
                          .counts = true, .hard = m_is(r->mode, "hard")};
    snprintf(e->member, sizeof e->member, "%s", member);
    if (requests && m_is(r->shape, "bucket")) m_event(m, rule, member, now, need, 0, false);
    return m->entry_count++;
}

static inline void m_close(struct model *m, int entry, int64_t now, int64_t tokens, int64_t cost, bool give_back)
{
    struct m_entry *e = &m->entries[entry];
    if (!e->open) return;
    e->open = false;
    if (e->rule < 0) return;
    const struct m_rule *r = &m->rules[e->rule];
    bool bucket = m_is(r->shape, "bucket");
    if (m_is(r->metric, "requests")) {
        if (give_back && bucket && e->counts) m_event(m, e->rule, e->member, now, e->charge, e->time, true);
        if (give_back) e->charge = 0;
    } else if (!m_is(r->metric, "concurrency")) {
        e->charge = m_is(r->metric, "tokens") ? tokens : cost;
        if (bucket && e->counts) m_event(m, e->rule, e->member, now, e->charge, 0, false);
    }
}

/* A member's own limit drops what the star limit counted for it. */
static inline void m_shadow(struct model *m, int own)
{
    const struct m_rule *r = &m->rules[own];
    for (int i = 0; i < m->entry_count; i++) {
        struct m_entry *e = &m->entries[i];
        const struct m_rule *of = e->rule >= 0 ? &m->rules[e->rule] : NULL;
        size_t kind = of ? strcspn(of->scope, "/") : 0;
        if (!of || !m_is(of->scope + kind, "/*") || e->rule == own || !m_is(e->member, r->scope)) continue;
        if (m_is(of->metric, r->metric) && m_is(of->shape, r->shape)) e->rule = -1;
    }
    for (int i = 0; i < m->event_count; i++) {
        struct m_event *e = &m->events[i];
        const struct m_rule *of = e->rule >= 0 ? &m->rules[e->rule] : NULL;
        size_t kind = of ? strcspn(of->scope, "/") : 0;
        if (!of || !m_is(of->scope + kind, "/*") || e->rule == own || !m_is(e->member, r->scope)) continue;
        if (m_is(of->metric, r->metric) && m_is(of->shape, r->shape)) e->rule = -1;
    }
}

static inline void m_drop(struct model *m, int rule)
{
    m->rules[rule].live = false;
    for (int i = 0; i < m->entry_count; i++)
        if (m->entries[i].rule == rule) m->entries[i].rule = -1;
}

static inline void m_reset(struct model *m, int rule)
{
    m->rules[rule].bent = true;
    for (int i = 0; i < m->entry_count; i++) {
        struct m_entry *e = &m->entries[i];
        if (e->rule != rule) continue;
        if (m_is(m->rules[rule].shape, "bucket") && e->counts) m_event(m, rule, e->member, m->stamp, INT64_MIN, 0, false);
        e->counts = false;
    }
}

#endif
