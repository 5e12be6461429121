/* Names of answers, and what may be taken and kept. (RFC 9111 5.2.1 for the words of cache-control) */
#include "fcgi/stage/cache.h"

#include <stdio.h>

#include "fcgi/base/canon.h"
#include "fcgi/base/clock.h"
#include "fcgi/stage/retell.h"

#define SHORT  1024     /* bytes of most names */
#define S_MOST 31536000 /* seconds; a longer time is none */

/* ---- what the request's headers ask for ---- */

struct wish { bool no_store, no_cache; int64_t max_age_s, ttl_s; }; /* -1: not said */

static int64_t seconds_of(struct span s)
{
    int64_t n = 0;
    if (s.len >= 2 && *s.at == '"') s.at++, s.len -= 2;
    if (!s.len) return -1;
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < '0' || s.at[i] > '9') return -1;
        n = n >= S_MOST ? S_MOST : n * 10 + (s.at[i] - '0');
    }
    return n < S_MOST ? n : S_MOST;
}

static void take_directive(struct span d, struct wish *w)
{
    const char *equals = d.len ? memchr(d.at, '=', d.len) : NULL;
    struct span name = span_trim((struct span){d.at, equals ? (size_t)(equals - d.at) : d.len}), value = SPAN_NONE;
    if (equals) value = span_trim((struct span){equals + 1, (size_t)(d.at + d.len - equals - 1)});
    if (span_is_nocase(name, "no-store")) w->no_store = true;
    else if (span_is_nocase(name, "no-cache")) w->no_cache = true;
    else if (span_is_nocase(name, "max-age")) w->max_age_s = value.at ? seconds_of(value) : -1;
}

static struct wish read_wish(const struct request *r)
{
    struct wish w = {.max_age_s = -1, .ttl_s = r->cache_ttl ? seconds_of(span_trim(span_of(r->cache_ttl))) : -1};
    for (const char *at = r->cache_control; at && *at;) {
        size_t n = strcspn(at, ",");
        take_directive((struct span){at, n}, &w);
        at += n + (at[n] == ',');
    }
    w.no_store |= r->cache_wish && span_is_nocase(span_trim(span_of(r->cache_wish)), "bypass");
    w.no_store |= w.ttl_s == 0;
    return w;
}

/* ---- whose, and what ---- */

/* A part of the name: with its length, so that no two lists of parts make the same text. */
static void part(struct buf *out, const char *kind, struct span text)
{
    buf_str(out, kind);
    buf_char(out, ' ');
    buf_int(out, (int64_t)text.len);
    buf_char(out, ' ');
    buf_span(out, text);
    buf_char(out, '\n');
}

/* The scope that the alias says, or the next narrower one that the caller has. A token has no key: it is its user's. False:
 * there is nothing that the caller is known by. */
static bool add_scope(const struct caller *c, const struct model_row *m, struct buf *out)
{
    const char *scope = m->cache_scope ? m->cache_scope : "team";
    bool by_key = strcmp(scope, "key") == 0 && c->key.name;
    if (strcmp(scope, "global") == 0) part(out, "global", SPAN(""));
    else if (strcmp(scope, "team") == 0 && c->team) part(out, "team", span_of(c->team));
    else if (c->user && !by_key) part(out, "user", span_of(c->user));
    else if (c->key.name) part(out, "key", span_of(c->key.name));
    else return false;
    return true;
}

/* Who answers for the alias now: when that changes, what it said before is another model's word. What the alias adds to
 * requests stands in the body already, and so does what was left out of it. */
static void add_alias(const struct model_row *m, const struct chat *chat, struct buf *out)
{
    part(out, "answerers", (struct span){(const char *)m->answerers.at, sizeof m->answerers.at});
    if (m->cache_tool_calls) part(out, "tools", SPAN("kept"));
    if (chat->is_long) part(out, "long", SPAN(""));
}

/* Of a stream's options those that both forms can do without are no difference. */
static enum weir_err add_options(const struct chat *chat, struct buf *out)
{
    static const char *const without[] = {"include_usage", "include_obfuscation", NULL};
    struct jval options = jscan_find(chat->root, "stream_options");
    struct buf text;
    if (options.kind <= JSON_NULL) return WEIR_OK;
    buf_init(&text, BOUND_CACHED);
    enum weir_err err = canon_write(options, without, &text);
    if (err == WEIR_OK && !span_is(buf_all(&text), "{}")) part(out, "options", buf_all(&text));
    buf_free(&text);
    return err;
}

static enum weir_err write_name(const struct request *r, const struct caller *c, const struct chat *chat,
                                const struct model_row *m, struct buf *out)
{
    static const char *const form[] = {"stream", "stream_options", NULL};
    if (!add_scope(c, m, out)) return WEIR_NOT_FOUND;
    part(out, "face", span_of(face_names[chat->face]));
    if (retell_needs_form(chat)) part(out, "form", chat->stream ? SPAN("stream") : SPAN("plain"));
    if (chat->face == FACE_MESSAGES && r->anthropic_beta) part(out, "beta", span_of(r->anthropic_beta));
    add_alias(m, chat, out);
    enum weir_err err = add_options(chat, out);
    return err == WEIR_OK ? canon_write(chat->root, form, out) : err;
}

/* Answers that go on from what a provider has stored, or that it is to work at on its own, are nobody else's. */
static bool is_of_its_own(const struct chat *chat)
{
    static const char *const fields[] = {"previous_response_id", "conversation", "background"};
    for (size_t i = 0; chat->face == FACE_RESPONSES && i < sizeof fields / sizeof *fields; i++)
        if (jscan_find(chat->root, fields[i]).kind > JSON_FALSE) return true;
    return false;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static void free_buf(void *b) { buf_free(b); }

void cache_name_request(const struct request *r, const struct caller *c, const struct chat *chat, const struct model_row *m,
                        struct arena *a, struct reuse *out)
{
    struct wish w = read_wish(r);
    *out = (struct reuse){.stores = false};
    if (m->cache_ttl <= 0 || w.no_store || is_of_its_own(chat)) return;
    struct buf *name = arena_alloc(a, sizeof *name);
    if (!name) return;
    buf_init_in(name, arena_room(a, SHORT), SHORT, BOUND_CACHED);
    if (!arena_defer(a, free_buf, name) || write_name(r, c, chat, m, name) != WEIR_OK || name->err) return;
    int64_t ttl_s = w.ttl_s > 0 ? least(w.ttl_s, m->cache_ttl) : m->cache_ttl;
    out->name = cache_name(buf_all(name));
    out->ttl_ms = ttl_s * 1000;
    out->stale_ms = m->stale_for * 1000;
    out->most_age_ms = (w.max_age_s >= 0 ? least(w.max_age_s, ttl_s) : ttl_s) * 1000;
    out->stores = true;
    out->looks = !w.no_cache && out->most_age_ms > 0;
}

/* ---- taking and keeping ---- */

bool cache_find(struct cache *cache, struct reuse *out, struct arena *a)
{
    int64_t now = clock_wall_ms();
    if (!out->looks || !cache) return false;
    out->found = cache_get(cache, &out->name, now, a, &out->entry) && keep_form_is_one(out->entry.form);
    out->fresh = out->found && now < out->entry.expires && now - out->entry.created <= out->most_age_ms;
    if (out->found && now >= out->entry.expires + out->stale_ms) out->found = false; /* the alias has changed its mind */
    return out->fresh;
}

void cache_flight_name(const struct reuse *u, char out[CACHE_FLIGHT_NAME])
{
    for (size_t i = 0; i < sizeof u->name.hash.at; i++)
        snprintf(out + 2 * i, 3, "%02x", u->name.hash.at[i]);
}

void cache_store(struct cache *cache, const struct reuse *u, const struct keep *k, const struct model_row *m,
                 int64_t most_bytes)
{
    struct buf whole;
    int64_t now = clock_wall_ms();
    if (!cache || !u->stores || !k->whole || k->is_too_long || k->is_cut || k->is_refused) return;
    if ((k->calls_tools && !m->cache_tool_calls) || k->body.len + k->last.len > BOUND_CACHED) return;
    buf_init(&whole, BOUND_CACHED);
    buf_span(&whole, buf_all(&k->body));
    buf_span(&whole, buf_all(&k->last));
    const struct cache_entry e = {.created = now, .expires = now + u->ttl_ms, .gone = now + u->ttl_ms + u->stale_ms,
                                  .form = keep_form_pack(&k->head.form), .provider = k->head.provider,
                                  .model = k->head.model, .body = buf_all(&whole)};
    if (!whole.err) cache_put(cache, &u->name, &e, now, most_bytes);
    buf_free(&whole);
}
