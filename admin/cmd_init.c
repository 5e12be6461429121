/* `weir init`: the data directory, the master key, the database, and the providers that the environment names. What is
 * there already is left as it is, so it may be run again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "admin/apply.h"
#include "admin/doc_price.h"
#include "admin/document.h"
#include "admin/manage.h"
#include "admin/names.h"
#include "admin/option.h"
#include "admin/price_list.h"
#include "admin/wellknown.h"
#include "fcgi/base/bounds.h"
#include "fcgi/base/text.h"

#define CACHE_TTL 300 /* seconds; of every alias made here (INTERFACE.md) */

/* The document that init applies, and what it may not touch because it is there. */
struct init { struct snapshot *now; struct names *limits; struct buf providers, models, limit_text; int priced; };

static const char *env_of(const char *name)
{
    const char *value = name ? getenv(name) : NULL;

    return value && *value ? value : NULL;
}

/* ---- directory, master key, database ---- */

/* Every missing directory of the path, then the mode of the last. */
static bool make_directory(const char *path)
{
    char part[4096];
    struct stat st;
    size_t n = strlen(path);

    if (n >= sizeof part) {
        say("%s: too long a path", path);
        return false;
    }
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && i < n) continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0700) == 0) {
            if (i == n) say("%s: made", path);
        } else if (errno != EEXIST) {
            say("%s: %s", part, strerror(errno));
            return false;
        }
    }
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
        say("%s: is no directory", path);
        return false;
    }
    if (stat(path, &st) == 0 && (st.st_mode & 077) == 0) return true;
    if (chmod(path, 0700) != 0) {
        say("%s: others may read it, and that cannot be changed: %s", path, strerror(errno));
        return false;
    }
    say("%s: others could read it; now only its owner can", path);
    return true;
}

static bool make_master(struct weir *w)
{
    enum weir_err err = master_key_make(w->master_path);
    struct master_key *m;

    if (!err) {
        say("%s: made. Keep a copy in another place: without it the provider keys are lost", w->master_path);
        return true;
    }
    if (err != WEIR_EXISTS) {
        say("%s: cannot be made (%s)", w->master_path, strerror(errno));
        return false;
    }
    err = master_key_load(w->master_path, &m);
    if (err) {
        weir_master_fault(w, err);
        return false;
    }
    master_key_free(m);
    say("%s: is there", w->master_path);
    return true;
}

static bool make_database(struct weir *w)
{
    int from, to;
    enum weir_err err = db_migrate(w->db_path, &from, &to);

    if (err) {
        weir_failed(w->db_path, err, NULL);
        return false;
    }
    if (from == to) say("%s: is there, schema %d", w->db_path, to);
    else say("%s: %s, schema %d", w->db_path, from ? "migrated" : "made", to);
    return true;
}

/* ---- providers and models ---- */

static void member(struct buf *out, const char *lead, struct span text)
{
    buf_str(out, lead);
    json_string(out, text);
}

static void add_provider(struct init *in, const char *name, const char *dialect, struct span base_url, const char *key_env)
{
    member(&in->providers, in->providers.len ? ",{\"name\":" : "{\"name\":", span_of(name));
    member(&in->providers, ",\"dialect\":", span_of(dialect));
    if (base_url.len) member(&in->providers, ",\"base_url\":", base_url);
    if (key_env) buf_printf(&in->providers, ",\"keys\":[{\"name\":\"env\",\"secret\":\"env:%s\"}]", key_env);
    buf_char(&in->providers, '}');
    say("provider %s: added", name);
}

static void add_price(struct init *in, const struct list_price *l)
{
    const struct price p = price_of(l);

    doc_price_write(&in->models, &p);
    in->priced++;
}

/* An alias that is there stays what it is. priced_as: the built-in list's name for it; NULL: left unpriced. */
static void add_model(struct init *in, struct span alias, const char *provider, const char *model, const char *priced_as)
{
    const struct list_price *price = priced_as ? price_list_find(span_of(priced_as)) : NULL;

    if (snapshot_model(in->now, alias)) return;
    member(&in->models, in->models.len ? ",{\"alias\":" : "{\"alias\":", alias);
    buf_printf(&in->models, ",\"cache_ttl\":%d", CACHE_TTL);
    if (price) add_price(in, price);
    member(&in->models, ",\"targets\":[{\"provider\":", span_of(provider));
    member(&in->models, ",\"model\":", span_of(model));
    buf_str(&in->models, "}]}");
}

/* OLLAMA_HOST may be "host", "host:port" or a URL, and 0.0.0.0, where Ollama listens on all addresses. */
static void host_url(const struct wellknown *k, const char *host, struct buf *out)
{
    struct span rest = span_of(host);
    bool ollama = strcmp(k->provider, "ollama") == 0;

    while (rest.len && rest.at[rest.len - 1] == '/') rest.len--;
    if (span_starts(rest, "http://") || span_starts(rest, "https://")) {
        size_t lead = span_starts(rest, "http://") ? 7 : 8;

        buf_add(out, rest.at, lead);
        rest.at += lead;
        rest.len -= lead;
    } else {
        buf_str(out, ollama ? "http://" : "https://");
    }
    if (ollama && span_starts(rest, "0.0.0.0")) {
        buf_str(out, "127.0.0.1");
        rest.at += 7;
        rest.len -= 7;
    }
    buf_span(out, rest);
    if (ollama && !memchr(rest.at, ':', rest.len)) buf_str(out, ":11434");
    buf_str(out, k->base_url);
}

static bool found_in_env(const struct wellknown *k)
{
    return (!k->key_env || env_of(k->key_env)) && (!k->host_env || env_of(k->host_env));
}

static void add_wellknown(struct init *in, const struct wellknown *k)
{
    struct buf url;
    const char *fault;

    if (snapshot_provider(in->now, span_of(k->provider))) {
        say("provider %s: is there; its key and models are left as they are", k->provider);
        return;
    }
    buf_init(&url, 4096);
    if (k->host_env) host_url(k, env_of(k->host_env), &url);
    else buf_str(&url, k->base_url);
    fault = address_fault(buf_all(&url), false);
    if (fault) {
        say("provider %s: not added: the address in %s %s", k->provider, k->host_env ? k->host_env : "the table", fault);
    } else {
        add_provider(in, k->provider, k->dialect, buf_all(&url), k->key_env);
        for (const char *const *m = k->models; *m; m++) {
            const char *equals = strchr(*m, '='), *model = equals ? equals + 1 : *m;

            /* Azure's prices differ by region, and its names are the customer's */
            add_model(in, equals ? (struct span){*m, (size_t)(equals - *m)} : span_of(*m), k->provider, model,
                      strcmp(k->dialect, "azure") == 0 ? NULL : model);
        }
    }
    buf_free(&url);
}

/* Only together with the provider: once removed it does not come back. */
static void add_mock_limit(struct init *in)
{
    if (names_find(in->limits, SPAN("user/*\nrequests\nwindow"), NULL)) return;
    buf_str(&in->limit_text,
            "{\"scope\":\"user/*\",\"metric\":\"requests\",\"shape\":\"window\",\"seconds\":60,\"amount\":60}");
    say("limit on user/*: 60 requests a minute");
}

static void add_mock(struct init *in)
{
    static const char *const models[] = {"mock", "mock-stream", "mock-error", "mock-slow", "mock-tool", "mock-long", NULL};

    if (snapshot_provider(in->now, SPAN("mock"))) {
        say("provider mock: is there");
    } else {
        add_provider(in, "mock", "mock", SPAN_NONE, NULL);
        add_mock_limit(in);
    }
    for (const char *const *m = models; *m; m++) add_model(in, span_of(*m), "mock", *m, NULL);
    /* with the real one's price, so that limits on cost can be tried */
    if (!env_of("OPENAI_API_KEY")) add_model(in, SPAN("gpt-4o-mini"), "mock", "mock", "gpt-4o-mini");
}

/* ---- default limits ---- */

static void limit_known(const struct limit_rule *l, void *arg)
{
    struct init *in = arg;
    char name[BOUND_ALIAS + 64];
    int n = snprintf(name, sizeof name, "%s\n%s\n%s", l->scope, l->metric, l->shape);

    if (n > 0 && n < (int)sizeof name) names_add(in->limits, (struct span){name, (size_t)n}, 0);
}

/* CAP_TEAM and RATE_TEAM: a soft token bucket that every team has. */
static bool add_limits(struct init *in)
{
    static const char *const kinds[] = {"GLOBAL", "TEAM", "ROLEGROUP", "ROLE",     "USER",
                                        "KEY",    "IP",   "MODEL",     "PROVIDER", NULL};

    for (const char *const *kind = kinds; *kind; kind++) {
        char cap_name[32], rate_name[32], scope[32] = "global", name[64];
        const char *cap, *rate;
        size_t i = 0;

        snprintf(cap_name, sizeof cap_name, "CAP_%s", *kind);
        snprintf(rate_name, sizeof rate_name, "RATE_%s", *kind);
        cap = env_of(cap_name);
        rate = env_of(rate_name);
        if (!cap && !rate) continue;
        if (!cap || !rate) {
            say("%s is set and %s is not: a default limit needs both", cap ? cap_name : rate_name,
                cap ? rate_name : cap_name);
            return false;
        }
        if (strspn(cap, "0123456789") != strlen(cap) || strspn(rate, "0123456789.") != strlen(rate)) {
            say("%s and %s must be numbers", cap_name, rate_name);
            return false;
        }
        for (; kind != kinds && (*kind)[i]; i++) scope[i] = (char)((*kind)[i] + ('a' - 'A'));
        if (i) memcpy(scope + i, "/*", 3);
        snprintf(name, sizeof name, "%s\ntokens\nbucket", scope);
        if (names_find(in->limits, span_of(name), NULL)) {
            say("limit on %s: is there", scope);
            continue;
        }
        buf_printf(&in->limit_text,
                   "%s{\"scope\":\"%s\",\"metric\":\"tokens\",\"shape\":\"bucket\",\"capacity\":%s,\"refill_per_sec\":%s,"
                   "\"mode\":\"soft\"}",
                   in->limit_text.len ? "," : "", scope, cap, rate);
        say("limit on %s: tokens, %s and %s a second", scope, cap, rate);
    }
    return true;
}

/* ---- the whole ---- */

static bool what_is_there(struct weir *w, struct init *in)
{
    struct db *db;
    enum weir_err err;

    if (!weir_open(w, DB_READ, &db)) return false;
    err = snapshot_load(db, NULL, &in->now);
    if (!err) err = limits_each(db, limit_known, in);
    if (err) weir_failed(w->db_path, err, db);
    db_close(db);
    return !err;
}

static bool apply_what_is_missing(struct weir *w, struct init *in)
{
    struct applied done;
    struct buf all;
    bool fine = true;

    buf_init(&all, 1 << 20);
    buf_str(&all, "{\"providers\":[");
    buf_span(&all, buf_all(&in->providers));
    buf_str(&all, "],\"models\":[");
    buf_span(&all, buf_all(&in->models));
    buf_str(&all, "],\"limits\":[");
    buf_span(&all, buf_all(&in->limit_text));
    buf_str(&all, "]}");
    if (all.err || in->providers.err || in->models.err || in->limit_text.err) {
        weir_failed("init", WEIR_NOMEM, NULL);
        fine = false;
    } else if (in->providers.len || in->models.len || in->limit_text.len) {
        fine = document_apply(w, buf_all(&all), false, NULL, &done);
        if (fine) applied_free(&done);
        if (fine && done.tally[SECTION_MODELS].added) say("%zu models added", done.tally[SECTION_MODELS].added);
        if (fine && in->priced)
            say("%d of them priced from the built-in list (%s, as of %s): `weir prices` shows them, `weir prices import` "
                "takes a newer list",
                in->priced, price_list_source, price_list_date);
    }
    buf_free(&all);
    return fine;
}

/* ---- the first administrator ---- */

static void count_administrator(const struct administrator *a, void *arg)
{
    (void)a;
    ++*(int *)arg;
}

/* Where nobody can log in yet. The password is printed once, on stdout. */
static bool make_administrator(struct weir *w)
{
    struct manager m = weir_manager(w);
    char password[PASSWORD_MADE_LEN + 1];
    enum weir_err err;
    int count = 0;

    if (!weir_open(w, DB_WRITE, &m.db)) return false;
    err = administrators_each(m.db, count_administrator, &count);
    if (!err && !count) {
        err = manage_administrator_add(&m, "admin", ADMIN_ADMIN, password);
        if (!err) {
            say("administrator admin: made. The password, shown only now, must be changed at the first log-in at /admin:");
            puts(password);
            secret_wipe(password, sizeof password);
            if (finish_output() != EXIT_DONE) err = WEIR_IO;
        }
    }
    if (err) weir_failed("administrator admin", err, m.db);
    db_close(m.db);
    return !err;
}

int cmd_init(struct weir *w, int argc, char **argv)
{
    bool mock = false;
    const struct option_def options[] = {{"--mock", OPTION_FLAG, &mock}, {NULL, OPTION_FLAG, NULL}};
    struct names limits = {NULL, 0, 0};
    struct init in = {.limits = &limits};
    struct words words;
    int code = EXIT_REFUSED;

    if (!options_read(&w->memory, argc, argv, options, 0, 0, &words)) return EXIT_USAGE;
    buf_init(&in.providers, 1 << 18);
    buf_init(&in.models, 1 << 18);
    buf_init(&in.limit_text, 1 << 18);
    if (!make_directory(w->data_dir) || !make_master(w) || !make_database(w) || !what_is_there(w, &in)) goto out;
    for (const struct wellknown *k = wellknown; k->provider; k++)
        if (found_in_env(k)) add_wellknown(&in, k);
    if (mock) add_mock(&in);
    if (!add_limits(&in) || !apply_what_is_missing(w, &in) || !make_administrator(w)) goto out;
    code = EXIT_DONE;
out:
    if (in.now) snapshot_release(in.now);
    names_free(&limits);
    buf_free(&in.providers);
    buf_free(&in.models);
    buf_free(&in.limit_text);
    return code;
}
