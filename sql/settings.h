/* Run-time settings: their one table of names, types, defaults and meanings, and their rows. */
#ifndef WEIR_SQL_SETTINGS_H
#define WEIR_SQL_SETTINGS_H

#include "fcgi/base/bounds.h"
#include "fcgi/base/jscan.h"
#include "sql/db.h"

enum setting_type { SETTING_BOOL, SETTING_INT, SETTING_CHOICE, SETTING_ALIAS /* text or null */,
                    SETTING_ORIGINS, SETTING_RANGES /* JSON arrays of texts */ };

struct setting_def {
    const char *name;
    enum setting_type type;
    const char *standard;      /* JSON text of the default */
    int64_t least, most;       /* SETTING_INT */
    const char *choices;       /* SETTING_CHOICE: "cancel|drain" */
    const char *expected;      /* what a value must be, for messages: "true or false" */
    const char *meaning;
};

/* anonymous(false) on_disconnect(cancel|drain) orphans(charge|release) audit_content(none|prompt|all) cors_origins([])
 * trusted_proxies([]) max_body(33554432) http2(false) keepalive_s(15) durability(process|power) ... ends with name NULL. */
extern const struct setting_def setting_defs[];
const struct setting_def *setting_find(struct span name);
/* Is `value` (checked JSON) right for d? On WEIR_INVALID *expected is a static text: "true or false". */
enum weir_err setting_check(const struct setting_def *d, struct jval value, const char **expected);

enum content_kept { CONTENT_NONE, CONTENT_PROMPT, CONTENT_ALL };

/* What the gateway reads: all settings in force, as C values. */
struct settings {
    bool anonymous;
    const char *trusted_proxies, *cors_origins; /* JSON arrays (list.h), NULL: empty; with the arena they were read into */
    bool drain_on_disconnect;
    bool survives_power;     /* what is committed is on the disk before anybody is told */
    bool release_orphans;    /* what dead processes held is given back, not charged */
    int64_t audit_keep_days, audit_keep_rows; /* 0: all */
    enum content_kept content;
    int64_t content_keep_days; /* 0: as long as the audit row */
    bool http2;
    int64_t max_body;     /* bytes */
    int64_t cache_max_bytes;
    int64_t keepalive_ms;
    int64_t retries;
    int64_t deadline_ms;  /* from the request's beginning; what has begun to answer by then may go on */
    char fallback[BOUND_ALIAS + 1]; /* the alias behind all others; "": none */
    bool direct_models;
};
enum weir_err settings_load(struct db *db, struct arena *a, struct settings *out);

/* value: JSON text. settings_get gives the default where there is no row. */
enum weir_err settings_put(struct db *db, const struct setting_def *d, struct span value);
enum weir_err settings_get(struct db *db, const struct setting_def *d, struct arena *a, char **value);

#endif
