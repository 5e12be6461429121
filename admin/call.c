/* Calls by hand, in words. What an upstream says itself is shown only where it cannot hold the key or act on a terminal. */
#include "admin/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fcgi/base/text.h"
#include "fcgi/provider/ask.h"

#define SLOW_MS 2000

/* What was called, for the words. */
struct called {
    const struct provider_row *provider;
    const struct upstream_key *key;
    const char *model; /* NULL: its list of models */
    int64_t bound_ms;
};

static void tell(struct call_result *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void tell(struct call_result *out, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(out->text, sizeof out->text, fmt, ap);
    va_end(ap);
}

/* ---- what is wrong ---- */

static void tell_failure(const struct called *c, const struct answer *a, struct call_result *out)
{
    static const char *const words[] = {
        [FAILURE_NONE] = "the call failed",
        [FAILURE_RESOLVE] = "the host's name does not resolve: is the address right, and does DNS work here?",
        [FAILURE_CONNECT] = "the connection is refused, or there is no way to it: does it run, is the port right?",
        [FAILURE_CONNECT_TIMEOUT] = "no connection within its time: is the address right, is there a firewall?",
        [FAILURE_TLS] = "TLS fails: its certificate is not trusted here, not for this name, or it does not speak https",
        [FAILURE_BROKEN] = "the connection broke, or what answered does not speak HTTP",
        [FAILURE_TOO_LONG] = "its headers are longer than Weir reads",
        [FAILURE_OURS] = "the call could not be made",
    };

    if (a->end == UPSTREAM_TIMEOUT)
        tell(out, "%.200s: no whole answer within %lld ms", c->provider->base_url, (long long)c->bound_ms);
    else tell(out, "%.200s: %s (%.100s)", c->provider->base_url, words[a->failure], a->failure_text);
}

/* Its own words, or nothing. */
static const char *quote(const struct called *c, const struct answer *a)
{
    struct span s = span_of(a->fault.message);

    if (!s.len || !text_is_header_safe(s)) return "";
    return c->key && secret_is_quoted(c->key->secret, s) ? "" : a->fault.message;
}

static void tell_wrong_address(const struct called *c, const struct answer *a, struct call_result *out)
{
    const char *base = c->provider->base_url;
    bool versioned = strstr(base, "/v1") != NULL;

    tell(out, "%.200s%s answers %d: is base_url right?%s", base, c->model ? "" : "/models", a->status,
         versioned ? "" : " Most end in /v1, this one does not");
}

static void tell_key(const struct called *c, const struct answer *a, struct call_result *out)
{
    if (c->key) tell(out, "answers %d: it refuses the key \"%s\"", a->status, c->key->name);
    else tell(out, "answers %d: it wants a key, and none is stored", a->status);
}

/* Whole, but not what was asked for. */
static void tell_trouble(const struct called *c, const struct answer *a, struct call_result *out)
{
    const char *said = quote(c, a), *colon = *said ? ": " : "";

    switch (a->trouble) {
    case TROUBLE_KEY: tell_key(c, a, out); return;
    case TROUBLE_QUOTA:
        tell(out, "answers %d: the account of the key \"%s\" is out of credit or quota%s%.200s", a->status,
             c->key ? c->key->name : "-", colon, said);
        return;
    case TROUBLE_LIMITED:
        out->fine = !c->model;
        tell(out, "answers %d: it is there, but over a limit just now%s%.200s", a->status, colon, said);
        return;
    case TROUBLE_UNKNOWN:
        if (c->model && *a->fault.message)
            tell(out, "answers %d: it has no such model as \"%.100s\"%s%.200s", a->status, c->model, colon, said);
        else tell_wrong_address(c, a, out);
        return;
    case TROUBLE_BROKEN:
        if (a->status == 200) tell(out, "answers 200 to \"%.100s\", but with what is no completion", c->model);
        else tell(out, "answers %d: it is in trouble itself%s%.200s", a->status, colon, said);
        return;
    default: break;
    }
    if (c->model) tell(out, "answers %d to \"%.100s\"%s%.200s", a->status, c->model, colon, said);
    else tell(out, "answers %d, which is no list of models%s%.200s", a->status, colon, said);
}

/* ---- what is right ---- */

static void tell_fine(struct call_result *out, const char *what)
{
    out->fine = true;
    tell(out, "answers in %lld ms%s, %s", (long long)out->latency_ms, out->latency_ms >= SLOW_MS ? ", which is slow" : "",
         what);
}

static void read_models(const struct called *c, const struct answer *a, struct arena *memory, struct model_list *list,
                        struct call_result *out)
{
    const struct dialect *d = dialect_find(c->provider->dialect);
    char what[64];

    if (!d->read_models(buf_all(&a->body), memory, list)) {
        tell(out, "%.200s/models answers, but not with JSON that lists models: is base_url right?", c->provider->base_url);
        return;
    }
    snprintf(what, sizeof what, "and lists %d models", list->count);
    tell_fine(out, what);
}

/* True: there is a whole answer of status 200 that is what it should be. */
static bool is_good(const struct called *c, enum weir_err err, const struct answer *a, struct call_result *out)
{
    *out = (struct call_result){.status = a->status, .latency_ms = a->status ? a->head_ms : -1, .date_ms = a->date_ms,
                                .limits = a->limits};
    if (err == WEIR_INVALID) tell(out, "serves no conversations, by its faces");
    else if (err != WEIR_OK) tell(out, "the call could not be made: out of memory, or a bad address");
    else if (a->end != UPSTREAM_END) tell_failure(c, a, out);
    else if (a->trouble != TROUBLE_NONE) tell_trouble(c, a, out);
    else return true;
    return false;
}

/* ---- the calls ---- */

void call_models(const struct provider_row *p, const struct upstream_key *key, int64_t bound_ms, struct arena *a,
                 struct model_list *list, struct call_result *out)
{
    const struct called c = {p, key, NULL, bound_ms};
    struct model_list unwanted;
    struct arena own;
    struct answer got;
    enum weir_err err = ask_for_models(p, key, bound_ms, &got);

    arena_init(&own);
    if (list) *list = (struct model_list){0};
    if (err == WEIR_NOT_FOUND) {
        *out = (struct call_result){.fine = true, .latency_ms = -1, .limits = got.limits};
        tell(out, "is built in: there is nobody to call");
    } else if (is_good(&c, err, &got, out)) {
        read_models(&c, &got, a ? a : &own, list ? list : &unwanted, out);
    }
    answer_free(&got);
    arena_end(&own);
}

void call_provider(const struct provider_row *p, int64_t bound_ms, struct call_result *out)
{
    call_models(p, call_first_key(p), bound_ms, NULL, NULL, out);
}

void call_word(const struct provider_row *p, const struct upstream_key *key, const char *model, int64_t bound_ms,
               struct call_result *out)
{
    const struct called c = {p, key, model, bound_ms};
    struct answer got;
    char what[160];
    enum weir_err err = ask_for_a_word(p, key, model, bound_ms, &got);

    if (is_good(&c, err, &got, out)) {
        snprintf(what, sizeof what, "and \"%.100s\" completes", model);
        tell_fine(out, what);
    }
    answer_free(&got);
}

/* ---- with what ---- */

const struct upstream_key *call_first_key(const struct provider_row *p)
{
    for (int i = 0; i < p->key_count; i++)
        if (p->keys[i].secret) return &p->keys[i];
    return NULL;
}

const char *call_known_model(const struct snapshot *snap, const struct provider_row *p)
{
    for (int i = 0; i < snap->model_count; i++)
        for (int t = 0; t < snap->models[i].target_count; t++) {
            const struct target_row *row = &snap->models[i].targets[t];

            if (row->provider == p && !strcasestr(row->model, "embed")) return row->model;
        }
    return NULL;
}
