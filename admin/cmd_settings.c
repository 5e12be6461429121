/* `weir settings`: every setting with its value, default and meaning; and setting those that change while running.
 * Values of environment variables that are secrets are never shown. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/anonymous.h"
#include "admin/command.h"
#include "admin/listing.h"
#include "admin/option.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"
#include "sql/change.h"
#include "sql/settings.h"

struct env_def { const char *name, *standard, *meaning; bool secret; };

/* INTERFACE.md, "Settings". */
static const struct env_def env_defs[] = {
    {"WEIR_DATA", "var", "data directory, 0700; made if missing", false},
    {"WEIR_MASTER_KEY_FILE", "$WEIR_DATA/master.key", "file of the master key: 32 bytes, 0600; made by weir init", false},
    {"WEIR_MOUNT", "", "URL prefix the application is mounted under", false},
    {"WEIR_THREADS_MAX", "512", "most requests in flight in a process", false},
    {"WEIR_LOG", "stderr", "file, or stderr; one JSON object a line", false},
    {"WEIR_LOG_LEVEL", "info", "error, warn, info or debug", false},
    {"WEIR_DRAIN_S", "10", "seconds a stopping process lets requests finish", false},
    {"WEIR_FENCE", "on", "`off`: the gateway does not give up what it does not need (programs, other files)", false},
    {"SSL_CERT_FILE", "", "who vouches for upstreams' certificates, in PEM; empty: the distribution's choice", false},
    {"SSL_CERT_DIR", "", "the same as a directory of hashed names", false},
    {"OPENAI_API_KEY", "", "weir init adds the provider openai", true},
    {"ANTHROPIC_API_KEY", "", "weir init adds the provider anthropic", true},
    {"GROQ_API_KEY", "", "weir init adds the provider groq", true},
    {"AZURE_OPENAI_API_KEY", "", "with AZURE_OPENAI_ENDPOINT: weir init adds the provider azure", true},
    {"AZURE_OPENAI_ENDPOINT", "", "address of the Azure resource", false},
    {"GEMINI_API_KEY", "", "weir init adds the provider gemini", true},
    {"OLLAMA_HOST", "", "weir init adds the provider ollama at this address", false},
    {"JWT_SECRET", "", "secret of an HMAC token verifier, read at every start", true},
    {"JWT_ALGORITHM", "HS256", "its algorithm: HS256, HS384 or HS512", false},
    {"CAP_GLOBAL, RATE_GLOBAL, CAP_TEAM, RATE_TEAM ...", "",
     "weir init: default token buckets of a scope kind, capacity and refill a second; soft", false},
    {NULL, NULL, NULL, false},
};

static const struct column columns[] = {{"name", "NAME", 0}, {"value", "VALUE", 0}, {"default", "DEFAULT", 0},
                                        {"kind", "KIND", 0}, {"meaning", "MEANING", 0}, {NULL, NULL, 0}};

static void list_env(struct listing *l, const struct env_def *d)
{
    const char *value = getenv(d->name);
    struct span standard = *d->standard ? span_of(d->standard) : SPAN_NONE;

    listing_text(l, span_of(d->name));
    listing_text(l, !value ? standard : d->secret ? SPAN("(set, not shown)") : span_of(value));
    listing_text(l, standard);
    listing_text(l, SPAN("environment"));
    listing_text(l, span_of(d->meaning));
}

static enum weir_err list_setting(struct listing *l, struct db *db, const struct setting_def *d)
{
    struct arena memory;
    enum weir_err err;
    char *value = NULL;

    arena_init(&memory);
    err = settings_get(db, d, &memory, &value);
    if (!err) {
        listing_text(l, span_of(d->name));
        listing_both(l, span_of(value), span_of(value));
        listing_both(l, span_of(d->standard), span_of(d->standard));
        listing_text(l, SPAN("run time"));
        listing_text(l, span_of(d->meaning));
    }
    arena_end(&memory);
    return err;
}

/* only: one setting's name, NULL for all. */
static int list_settings(struct weir *w, const char *only, bool json)
{
    struct listing l;
    struct db *db;
    enum weir_err err = WEIR_OK;
    size_t rows = 0;
    int code;

    if (!weir_open(w, DB_READ, &db)) return EXIT_REFUSED;
    listing_start(&l, columns, json ? LISTING_JSON : LISTING_TABLE);
    for (const struct setting_def *d = setting_defs; d->name && !err; d++)
        if (!only || strcmp(only, d->name) == 0) rows++, err = list_setting(&l, db, d);
    for (const struct env_def *d = env_defs; d->name; d++)
        if (!only || strcmp(only, d->name) == 0) rows++, list_env(&l, d);
    code = rows ? listing_end(&l) : EXIT_REFUSED;
    if (!rows) buf_free(&l.cells);
    if (!rows) say("%s: no such setting; `weir settings` lists them", only);
    if (err) code = weir_failed("the listing is not whole", err, db);
    db_close(db);
    return code;
}

/* A value as typed: JSON where it is some and fits, else taken as a text. False: it was said what is expected. */
static bool value_checked(const struct setting_def *d, const char *typed, struct buf *json)
{
    const char *expected = NULL;
    struct jfault fault;
    struct jval v;

    buf_init(json, 1 << 20);
    if (!jscan_check(span_of(typed), 8, &v, &fault) && !setting_check(d, v, &expected)) return !buf_span(json, v.text);
    if (!json_string(json, span_of(typed)) && !jscan_check(buf_all(json), 8, &v, &fault) && !setting_check(d, v, &expected))
        return true;
    fprintf(stderr, "%s: must be %s\n", d->name, expected ? expected : "something else");
    return false;
}

static int set_setting(struct weir *w, const struct setting_def *d, struct span value)
{
    struct change change;
    struct db *db;
    enum weir_err err;
    bool limited = false;
    char *old;

    if (!weir_open(w, DB_WRITE, &db)) return EXIT_REFUSED;
    err = change_begin(&change, db, w->data_dir);
    if (!err) {
        err = settings_get(db, d, &w->memory, &old);
        if (!err && span_is(value, old)) {
            say("%s is %s already", d->name, old);
        } else if (!err) {
            err = settings_put(db, d, value);
            if (!err) err = anonymous_limits(db, d, value, clock_wall_ms(), &limited);
            if (!err) err = change_commit(&change);
            if (!err && limited) say(ANONYMOUS_LIMITS);
        }
        change_undo(&change);
    }
    if (err) weir_failed("nothing was changed", err, db);
    db_close(db);
    return err ? EXIT_REFUSED : EXIT_DONE;
}

static bool is_env_name(const char *name)
{
    for (const struct env_def *d = env_defs; d->name; d++)
        if (strcmp(d->name, name) == 0) return true;
    return false;
}

int cmd_settings(struct weir *w, int argc, char **argv)
{
    bool json = false;
    const struct option_def options[] = {{"--json", OPTION_FLAG, &json}, {NULL, OPTION_FLAG, NULL}};
    const struct setting_def *d;
    struct words words;
    struct buf value;
    int code = EXIT_REFUSED;

    if (!options_read(&w->memory, argc, argv, options, 0, 2, &words)) return EXIT_USAGE;
    if (words.count < 2) return list_settings(w, words.count ? words.at[0] : NULL, json);
    d = setting_find(span_of(words.at[0]));
    if (!d && is_env_name(words.at[0]))
        say("%s is an environment variable: set it where the web server starts Weir", words.at[0]);
    else if (!d) say("%s: no such setting; `weir settings` lists them", words.at[0]);
    if (!d) return EXIT_REFUSED;
    if (value_checked(d, words.at[1], &value)) code = set_setting(w, d, buf_all(&value));
    buf_free(&value);
    return code;
}
