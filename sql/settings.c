/* Run-time settings: the table that says what there is, the check of a value, and the rows. Who acts on a setting reads
 * it from struct settings in the snapshot. */
#include "fcgi/base/bounds.h"
#include "fcgi/base/log.h"
#include "fcgi/base/text.h"
#include "sql/settings.h"
#include "sql_ids.h"

#define BOOLEAN .type = SETTING_BOOL, .standard = "false", .expected = "true or false"

const struct setting_def setting_defs[] = {
    {.name = "anonymous", BOOLEAN,
     .meaning = "let callers without a key in, as user \"anonymous\""},
    {.name = "trusted_proxies", .type = SETTING_RANGES, .standard = "[]",
     .expected = "an array of addresses or ranges like \"10.0.0.0/8\"",
     .meaning = "proxies in front of the web server whose X-Forwarded-For or Forwarded is believed"},
    {.name = "on_disconnect", .type = SETTING_CHOICE, .standard = "\"cancel\"", .choices = "cancel|drain",
     .expected = "\"cancel\" or \"drain\"",
     .meaning = "when a caller leaves in mid-stream: cancel upstream, or read on to the provider's own usage figure"},
    {.name = "orphans", .type = SETTING_CHOICE, .standard = "\"charge\"", .choices = "charge|release",
     .expected = "\"charge\" or \"release\"",
     .meaning = "what was held by a process that died: charge it, or give it back"},
    {.name = "audit_content", .type = SETTING_CHOICE, .standard = "\"none\"", .choices = "none|prompt|all",
     .expected = "\"none\", \"prompt\" or \"all\"",
     .meaning = "what of requests the audit log keeps, sealed: nothing, what was asked, or the answer too"},
    {.name = "audit_content_keep_days", .type = SETTING_INT, .standard = "30", .least = 0, .most = 36500,
     .expected = "a whole number of days from 0 (as long as its audit row) to 36500",
     .meaning = "days after which kept content is deleted, 0: with its audit row"},
    {.name = "audit_keep_days", .type = SETTING_INT, .standard = "365", .least = 0, .most = 36500,
     .expected = "a whole number of days from 0 (for ever) to 36500",
     .meaning = "days after which audit rows are deleted; what they charged stays counted"},
    {.name = "audit_keep_rows", .type = SETTING_INT, .standard = "0", .least = 0, .most = 1000000000000,
     .expected = "a whole number of rows, 0 for any",
         .meaning = "the most audit rows that are kept, 0 for any number"},
    {.name = "cors_origins", .type = SETTING_ORIGINS, .standard = "[]",
     .expected = "an array of origins like \"https://app.example\", or \"*\"",
     .meaning = "web origins whose pages may call"},
    {.name = "max_body", .type = SETTING_INT, .standard = "33554432", .least = 1024, .most = BOUND_BODY_MAX,
     .expected = "a whole number of bytes from 1024 to 268435456",
     .meaning = "the largest request body, in bytes"},
    {.name = "cache_max_bytes", .type = SETTING_INT, .standard = "268435456", .least = 0, .most = 1000000000000,
     .expected = "a whole number of bytes, 0 to keep nothing",
     .meaning = "how much the answer cache holds, in bytes as stored; what was not used for longest leaves first"},
    {.name = "http2", BOOLEAN, .meaning = "speak HTTP/2 to upstreams that offer it"},
    {.name = "keepalive_s", .type = SETTING_INT, .standard = "15", .least = 1, .most = 300,
     .expected = "a whole number of seconds from 1 to 300",
     .meaning = "seconds of silence in a stream before a comment line is sent"},
    {.name = "retries", .type = SETTING_INT, .standard = "2", .least = 0, .most = 10,
     .expected = "a whole number from 0 to 10",
     .meaning = "how often the same target is asked again when every one has failed, after growing pauses"},
    {.name = "deadline_s", .type = SETTING_INT, .standard = "600", .least = 1, .most = 86400,
     .expected = "a whole number of seconds from 1 to 86400",
     .meaning = "seconds within which an answer must have begun, all attempts and pauses together"},
    {.name = "fallback", .type = SETTING_ALIAS, .standard = "null", .expected = "an alias, or null",
     .meaning = "the alias that is asked when all targets and fallbacks of another have failed; null for none"},
    {.name = "direct_models", BOOLEAN,
     .meaning = "let callers name \"provider/model\" where there is no such alias"},
    {.name = "durability", .type = SETTING_CHOICE, .standard = "\"process\"", .choices = "process|power",
     .expected = "\"process\" or \"power\"",
     .meaning = "what a committed row survives: the end of the process, or the loss of power"},
    {.name = NULL},
};

const struct setting_def *setting_find(struct span name)
{
    for (const struct setting_def *d = setting_defs; d->name; d++)
        if (span_is(name, d->name)) return d;
    return NULL;
}

static bool is_choice(struct jval value, const char *choices)
{
    for (const char *at = choices; *at;) {
        char one[32];
        size_t len = strcspn(at, "|");
        if (len < sizeof one) {
            memcpy(one, at, len);
            one[len] = 0;
            if (jval_is(value, one)) return true;
        }
        at += len + (at[len] == '|');
    }
    return false;
}

/* RFC 6454 7: scheme://host[:port], or "*" for all. */
static bool is_origin(struct jval value)
{
    struct buf text;
    bool good = false;
    buf_init(&text, BOUND_PATH);
    if (jval_string(value, &text) == WEIR_OK) {
        const char *at = buf_cstr(&text);
        size_t scheme = span_starts(buf_all(&text), "https://") ? 8 : span_starts(buf_all(&text), "http://") ? 7 : 0;
        size_t host = strcspn(at + scheme, "/?#@ \t\r\n\"'\\,;");
        good = strlen(at) == text.len && (strcmp(at, "*") == 0 || (scheme && host && scheme + host == text.len));
    }
    buf_free(&text);
    return good;
}

static bool is_range(struct jval value)
{
    struct buf text;
    buf_init(&text, BOUND_NAME);
    bool good = jval_string(value, &text) == WEIR_OK && ip_range_is_valid(buf_all(&text));
    buf_free(&text);
    return good;
}

static bool are_all(struct jval value, bool (*good)(struct jval element))
{
    struct jval element;
    struct span no_key;
    if (value.kind != JSON_ARRAY) return false;
    struct jiter it = jscan_iter(value);
    while (jscan_next(&it, &no_key, &element))
        if (element.kind != JSON_STRING || !good(element)) return false;
    return true;
}

static bool is_alias(struct jval value)
{
    struct buf text;
    buf_init(&text, BOUND_ALIAS);
    bool good = value.kind == JSON_STRING && jval_string(value, &text) == WEIR_OK && text.len > 0;
    buf_free(&text);
    return good;
}

enum weir_err setting_check(const struct setting_def *d, struct jval value, const char **expected)
{
    bool good = false, flag;
    int64_t n;
    switch (d->type) {
    case SETTING_BOOL: good = jval_bool(value, &flag); break;
    case SETTING_INT: good = jval_int(value, &n) && n >= d->least && n <= d->most; break;
    case SETTING_CHOICE: good = value.kind == JSON_STRING && is_choice(value, d->choices); break;
    case SETTING_ALIAS: good = value.kind == JSON_NULL || is_alias(value); break;
    case SETTING_ORIGINS: good = are_all(value, is_origin); break;
    case SETTING_RANGES: good = are_all(value, is_range); break;
    }
    if (good) return WEIR_OK;
    *expected = d->expected;
    return WEIR_INVALID;
}

static void take_alias(struct jval value, char out[BOUND_ALIAS + 1])
{
    struct buf text;
    buf_init(&text, BOUND_ALIAS);
    *out = 0;
    if (value.kind == JSON_STRING && jval_string(value, &text) == WEIR_OK) memcpy(out, buf_cstr(&text), text.len + 1);
    buf_free(&text);
}

/* A list that is not empty; false when memory is out. */
static bool take_list(struct arena *a, struct jval value, const char **to)
{
    *to = jscan_count(value) ? arena_str(a, value.text) : NULL;
    return *to || !jscan_count(value);
}

static bool take(struct settings *out, struct arena *a, const char *name, struct jval value)
{
    int64_t n;
    if (strcmp(name, "trusted_proxies") == 0) return take_list(a, value, &out->trusted_proxies);
    if (strcmp(name, "cors_origins") == 0) return take_list(a, value, &out->cors_origins);
    if (strcmp(name, "anonymous") == 0) jval_bool(value, &out->anonymous);
    else if (strcmp(name, "on_disconnect") == 0) out->drain_on_disconnect = jval_is(value, "drain");
    else if (strcmp(name, "durability") == 0) out->survives_power = jval_is(value, "power");
    else if (strcmp(name, "orphans") == 0) out->release_orphans = jval_is(value, "release");
    else if (strcmp(name, "audit_content") == 0)
        out->content = jval_is(value, "all") ? CONTENT_ALL : jval_is(value, "prompt") ? CONTENT_PROMPT : CONTENT_NONE;
    else if (strcmp(name, "audit_content_keep_days") == 0) jval_int(value, &out->content_keep_days);
    else if (strcmp(name, "audit_keep_days") == 0) jval_int(value, &out->audit_keep_days);
    else if (strcmp(name, "audit_keep_rows") == 0) jval_int(value, &out->audit_keep_rows);
    else if (strcmp(name, "http2") == 0) jval_bool(value, &out->http2);
    else if (strcmp(name, "max_body") == 0) jval_int(value, &out->max_body);
    else if (strcmp(name, "cache_max_bytes") == 0) jval_int(value, &out->cache_max_bytes);
    else if (strcmp(name, "retries") == 0) jval_int(value, &out->retries);
    else if (strcmp(name, "direct_models") == 0) jval_bool(value, &out->direct_models);
    else if (strcmp(name, "fallback") == 0) take_alias(value, out->fallback);
    else if (strcmp(name, "deadline_s") == 0 && jval_int(value, &n)) out->deadline_ms = n * 1000;
    else if (strcmp(name, "keepalive_s") == 0 && jval_int(value, &n)) out->keepalive_ms = n * 1000;
    return true;
}

static bool is_right(const struct setting_def *d, struct span text, struct jval *value)
{
    struct jfault fault;
    const char *expected;
    return jscan_check(text, BOUND_JSON_DEPTH, value, &fault) == WEIR_OK &&
           setting_check(d, *value, &expected) == WEIR_OK;
}

/* A row that this version does not know or accept was written by another version: the default holds, and the log
 * says so. */
enum weir_err settings_load(struct db *db, struct arena *a, struct settings *out)
{
    struct jval value;
    bool row;
    enum weir_err err;
    *out = (struct settings){0};
    for (const struct setting_def *d = setting_defs; d->name; d++)
        if (is_right(d, span_of(d->standard), &value) && !take(out, a, d->name, value)) return WEIR_NOMEM;
    struct stmt *s = db_stmt(db, SQL_SETTING_ALL);
    while ((err = stmt_step(s, &row)) == WEIR_OK && row) {
        const struct setting_def *d = setting_find(stmt_get_text(s, 0));
        if (!d || !is_right(d, stmt_get_text(s, 1), &value))
            log_event(LOG_WARN, "setting_ignored", LOG_SPAN("name", stmt_get_text(s, 0)));
        else if (!take(out, a, d->name, value)) err = WEIR_NOMEM;
        if (err != WEIR_OK) break;
    }
    stmt_reset(s);
    return err;
}

enum weir_err settings_put(struct db *db, const struct setting_def *d, struct span value)
{
    struct stmt *s = db_stmt(db, SQL_SETTING_PUT);
    stmt_text(s, 1, span_of(d->name));
    stmt_text(s, 2, value);
    return stmt_run(s);
}

enum weir_err settings_get(struct db *db, const struct setting_def *d, struct arena *a, char **value)
{
    struct stmt *s = db_stmt(db, SQL_SETTING_GET);
    bool row;
    stmt_text(s, 1, span_of(d->name));
    enum weir_err err = stmt_step(s, &row);
    if (err == WEIR_OK) {
        *value = arena_str(a, row ? stmt_get_text(s, 0) : span_of(d->standard));
        if (!*value) err = WEIR_NOMEM;
    }
    stmt_reset(s);
    return err;
}
