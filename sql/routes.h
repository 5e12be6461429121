/* Providers, models and targets, and the immutable snapshot of them that requests read. */
#ifndef WEIR_SQL_ROUTES_H
#define WEIR_SQL_ROUTES_H

#include "fcgi/base/secret.h"
#include "sql/db.h"
#include "sql/settings.h"
#include "sql/verifiers.h"

struct header { const char *name, *value; };

struct upstream_key { const char *name; int64_t priority; const struct secret *secret; };

struct provider_row {
    int64_t id;
    const char *name, *dialect, *base_url, *key_strategy;
    const char *api_version, *anthropic_version, *auth, *faces; /* NULL: the dialect's own way */
    bool allow_plain_http;
    int64_t connect_ms, first_byte_ms, idle_ms, total_ms; /* 0: not set, see the defaults below */
    const struct header *headers; int header_count;
    const struct upstream_key *keys; int key_count;       /* by priority, then name */
};

#define CONNECT_MS_DEFAULT 5000
#define FIRST_BYTE_MS_DEFAULT 60000  /* streams; a plain answer's first byte comes at its end: TOTAL_MS_DEFAULT */
#define IDLE_MS_DEFAULT 60000
#define TOTAL_MS_DEFAULT 600000

/* What is charged beside a price's four: by kind, by the prompt's length, by service tier. Nano-dollars per million tokens,
 * but PRICE_SEARCHES (per thousand searches) and PRICE_LONG_ABOVE (tokens: longer prompts pay the long prices, for all of
 * the request). Of a length and of a tier there are the same four as of the whole, in the same order. */
enum price_part {
    PRICE_CACHE_WRITE_1H, PRICE_AUDIO_INPUT, PRICE_AUDIO_OUTPUT, PRICE_SEARCHES, PRICE_LONG_ABOVE,
    PRICE_LONG, PRICE_LONG_CACHED_INPUT, PRICE_LONG_CACHE_WRITE, PRICE_LONG_OUTPUT,
    PRICE_PRIORITY, PRICE_PRIORITY_CACHED_INPUT, PRICE_PRIORITY_CACHE_WRITE, PRICE_PRIORITY_OUTPUT,
    PRICE_FLEX, PRICE_FLEX_CACHED_INPUT, PRICE_FLEX_CACHE_WRITE, PRICE_FLEX_OUTPUT,
    PRICE_PARTS
};

struct price {
    bool known;
    int64_t input, cached_input, cache_write, output; /* nano-dollars per million tokens */
    int64_t fee;              /* nano-dollars a request, whatever its tokens: of a ceiling alone (price.h) */
    unsigned stated;          /* bit i: part[i] holds; what does not follows from the four (price.h) */
    int64_t part[PRICE_PARTS]; /* 0 where not stated */
};

struct target_row {
    const struct provider_row *provider;
    const char *model;
    int64_t weight;
    struct price price; /* not known: the alias's */
};

struct model_row {
    int64_t id, created; /* id 0: of no row, but a provider's model that was addressed directly */
    const char *alias, *strategy, *fallback;
    const char *context_fallback;    /* the alias that is asked where a request is too long for this one; NULL: none */
    const char *system, *defaults;   /* text, and a JSON object of parameters, that requests are given; NULL: none */
    int64_t hedge_after_ms;          /* 0: never */
    int64_t cache_ttl, context_window, max_output; /* 0: not set */
    const char *cache_scope;         /* whose answers are found: 'key', 'user', 'team', 'global'; NULL: the widest of the
                                      * first three that the caller has */
    bool cache_tool_calls;           /* answers that call tools are kept too */
    int64_t stale_for;               /* seconds for which an expired answer may stand in for a failure */
    const char *context_action;      /* 'trim', 'refuse', 'fallback': what is done with requests that fill the window;
                                      * NULL: nothing */
    int64_t trim_at, trim_to;        /* percent of context_window */
    struct price price;
    const struct target_row *targets; int target_count; /* by position */
    struct digest answerers;         /* by answerers.h, of those with a cache_ttl */
};

struct snapshot {
    int64_t version;
    struct settings settings;
    const struct provider_row *providers; int provider_count; /* by name */
    const struct model_row *models; int model_count;          /* by alias, byte order */
    struct verifiers verifiers;                               /* by name */
    struct arena memory;
    int refs;                                                 /* atomic; see snapshot_hold */
};

/* Reads everything in one read transaction. master NULL: keys are left out (secret NULL). A sealed key that does not
 * open is left out and logged. WEIR_OTHER_KEY: master was rotated out (vault.h). */
enum weir_err snapshot_load(struct db *db, const struct master_key *master, struct snapshot **out);
void snapshot_hold(struct snapshot *s);
void snapshot_release(struct snapshot *s); /* the last one frees it and wipes its secrets */
const struct model_row *snapshot_model(const struct snapshot *s, struct span alias); /* NULL: none */
const struct provider_row *snapshot_provider(const struct snapshot *s, struct span name);
/* The one cheap read: higher after every change of configuration, keys or fetched key sets. */
enum weir_err config_version(struct db *db, int64_t *version);

/* Administrators' only; values are checked by the caller. */
enum weir_err provider_put(struct db *db, const struct provider_row *p, int64_t *id); /* by name; keys are not touched */
/* By provider and name; secret absent: kept as it is (WEIR_NOT_FOUND if there is none). */
enum weir_err provider_key_put(struct db *db, const struct master_key *m, int64_t provider_id, const char *provider,
                               const char *key, int64_t priority, struct span secret);
/* by alias; targets are not touched */
enum weir_err model_put(struct db *db, const struct model_row *m, int64_t *id);
/* WEIR_NOT_FOUND; WEIR_INVALID: a target still leads there. Keys and targets go along. */
enum weir_err provider_remove(struct db *db, int64_t id);
enum weir_err provider_key_remove(struct db *db, const char *provider, const char *key);
enum weir_err model_remove(struct db *db, int64_t id);
enum weir_err targets_put(struct db *db, int64_t model_id, const int64_t *provider_ids, const struct target_row *t,
                          int count); /* replaces all */

#endif
