/* `weir provider`: upstreams are added and listed. */
#include <stdio.h>
#include <string.h>

#include "admin/apply.h"
#include "admin/document.h"
#include "admin/listing.h"
#include "admin/option.h"
#include "admin/route_state.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"

#define KEY_FILE_MAX 8192

/* ---- add ---- */

struct provider_words {
    const char *name, *dialect, *base_url, *key_file, *api_version, *anthropic_version, *auth, *faces;
    bool plain;
};

static bool provider_is_free(struct weir *w, const char *name)
{
    struct snapshot *snap;
    struct db *db;
    enum weir_err err;
    bool taken = false;

    if (!weir_open(w, DB_READ, &db)) return false;
    err = snapshot_load(db, NULL, &snap);
    if (err) {
        weir_failed("the providers cannot be read", err, db);
    } else {
        taken = snapshot_provider(snap, span_of(name)) != NULL;
        snapshot_release(snap);
        if (taken) say("the provider %s is there already; change it with `weir apply`, or at /admin", name);
    }
    db_close(db);
    return !err && !taken;
}

static void add_member(struct buf *json, const char *name, const char *value) /* NULL: not given */
{
    if (!value) return;
    buf_printf(json, ",\"%s\":", name);
    json_string(json, span_of(value));
}

/* "chat,responses" as a list. */
static void add_words(struct buf *json, const char *words)
{
    buf_char(json, '[');
    for (size_t n;; words += n + 1) {
        n = strcspn(words, ",");
        json_string(json, (struct span){words, n});
        if (!words[n]) break;
        buf_char(json, ',');
    }
    buf_char(json, ']');
}

/* The words as a document of one provider. */
static bool provider_document(const struct provider_words *p, struct buf *json)
{
    struct buf key;
    struct span secret;
    bool fine = true;

    buf_str(json, "{\"providers\":[{\"name\":");
    json_string(json, span_of(p->name));
    buf_str(json, ",\"dialect\":");
    json_string(json, span_of(p->dialect));
    add_member(json, "base_url", p->base_url);
    add_member(json, "api_version", p->api_version);
    add_member(json, "anthropic_version", p->anthropic_version);
    add_member(json, "auth", p->auth);
    if (p->faces) {
        buf_str(json, ",\"faces\":");
        add_words(json, p->faces);
    }
    if (p->plain) buf_str(json, ",\"allow_plain_http\":true");
    if (p->key_file) {
        fine = file_read(p->key_file, KEY_FILE_MAX, &key);
        secret = buf_all(&key);
        while (secret.len && strchr(" \t\r\n", secret.at[secret.len - 1])) secret.len--;
        if (fine && (span_starts(secret, "env:") || span_starts(secret, "file:"))) {
            say("--key-file: holds no key");
            fine = false;
        }
        buf_str(json, ",\"keys\":[{\"name\":\"k1\",\"secret\":");
        json_string(json, secret);
        buf_str(json, "}]");
        if (key.at) secret_wipe(key.at, key.len);
        buf_free(&key);
    }
    buf_str(json, "}]}");
    if (json->err) weir_failed("the words cannot be read", json->err, NULL);
    return fine && !json->err;
}

int cmd_provider_add(struct weir *w, int argc, char **argv)
{
    struct provider_words p = {0};
    const struct option_def options[] = {{"--dialect", OPTION_TEXT, &p.dialect},
                                         {"--base-url", OPTION_TEXT, &p.base_url},
                                         {"--key-file", OPTION_TEXT, &p.key_file},
                                         {"--allow-plain-http", OPTION_FLAG, &p.plain},
                                         {"--api-version", OPTION_TEXT, &p.api_version},
                                         {"--anthropic-version", OPTION_TEXT, &p.anthropic_version},
                                         {"--auth", OPTION_TEXT, &p.auth},
                                         {"--faces", OPTION_TEXT, &p.faces},
                                         {NULL, OPTION_FLAG, NULL}};
    struct applied done;
    struct words words;
    struct buf json;
    int code = EXIT_REFUSED;

    if (!options_read(&w->memory, argc, argv, options, 1, 1, &words)) return EXIT_USAGE;
    if (!p.dialect) {
        say("--dialect: is missing; one of %s", DIALECTS);
        return EXIT_USAGE;
    }
    p.name = words.at[0];
    buf_init(&json, 1 << 20);
    if (provider_is_free(w, p.name) && provider_document(&p, &json)
        && document_apply(w, buf_all(&json), false, "providers[0].", &done)) {
        applied_free(&done);
        say("the provider %s was added; `weir provider test %s` calls it", p.name, p.name);
        code = EXIT_DONE;
    }
    if (json.at) secret_wipe(json.at, json.len);
    buf_free(&json);
    return code;
}

/* ---- list ---- */

static const struct column columns[] = {{"name", "NAME", 0},
                                        {"dialect", "DIALECT", 0},
                                        {"base_url", "ADDRESS", 0},
                                        {"allow_plain_http", NULL, 0},
                                        {"key_strategy", NULL, 0},
                                        {"keys", "KEYS", 0},
                                        {"timeouts", NULL, 0},
                                        {"headers", NULL, 0},
                                        {"api_version", NULL, 0},
                                        {"anthropic_version", NULL, 0},
                                        {"auth", NULL, 0},
                                        {"faces", NULL, 0},
                                        {"health", "HEALTH", 0},
                                        {"breaker", "BREAKER", 0},
                                        {"forced", NULL, 0},
                                        {"failures", "FAILURES", 0},
                                        {"latency_ms", "MS", 0},
                                        {"requests", NULL, 0},
                                        {"failed", NULL, 0},
                                        {"probed", NULL, 0},
                                        {"error_at", NULL, 0},
                                        {"error", "LAST ERROR", 0},
                                        {NULL, NULL, 0}};

static void list_upstream_key(const struct upstream_key *k, const struct health_row *row, bool sealed, struct buf *json,
                              struct buf *shown)
{
    const char *state = sealed ? "sealed" : key_state(row, clock_wall_ms());
    const char *why = row && row->disabled ? row->disabled : row ? row->error : NULL;
    char until[TIME_TEXT];

    buf_str(json, "{\"name\": ");
    json_string(json, span_of(k->name));
    buf_printf(json, ", \"priority\": %lld, \"state\": \"%s\", \"requests\": %lld, \"failed\": %lld, \"error\": ",
               (long long)k->priority, state, row ? (long long)row->requests : 0, row ? (long long)row->failed : 0);
    json_string(json, span_of(why));
    if (strcmp(state, "resting") == 0) {
        time_text(row->cool_until, until);
        buf_printf(json, ", \"until\": \"%s\"", until);
    }
    buf_char(json, '}');
    buf_str(shown, k->name);
    if (strcmp(state, "active") != 0) buf_printf(shown, " (%s)", sealed ? "does not open" : state);
}

/* opened: the same provider read with the master key; a key missing there does not open. NULL: no master key. */
static void list_upstream_keys(struct listing *l, const struct provider_row *p, const struct provider_row *opened,
                               const struct health_map *health, struct buf *json, struct buf *shown)
{
    buf_clear(json);
    buf_clear(shown);
    buf_char(json, '[');
    for (int i = 0; i < p->key_count; i++) {
        bool sealed = true;

        for (int k = 0; opened && k < opened->key_count; k++)
            if (strcmp(opened->keys[k].name, p->keys[i].name) == 0 && opened->keys[k].secret) sealed = false;
        if (i) buf_str(json, ", ");
        if (i) buf_char(shown, ',');
        list_upstream_key(&p->keys[i], health_find(health, HEALTH_KEY, p->name, p->keys[i].name), sealed, json, shown);
    }
    buf_char(json, ']');
    listing_both(l, buf_all(json), shown->len ? buf_all(shown) : SPAN("-"));
}

static void list_state(struct listing *l, const struct provider_state *s)
{
    listing_text(l, span_of(s->health));
    listing_text(l, span_of(s->breaker));
    listing_text(l, span_of(s->forced));
    listing_int(l, s->failures);
    if (s->latency_ms < 0) listing_text(l, SPAN_NONE);
    else listing_int(l, s->latency_ms);
    listing_int(l, s->requests);
    listing_int(l, s->failed);
    listing_time(l, s->probed);
    listing_time(l, s->error_at);
    listing_text(l, span_of(s->error));
}

static void list_provider(struct listing *l, const struct provider_row *p, const struct provider_row *opened,
                          const struct health_map *health, struct buf *json, struct buf *shown)
{
    struct provider_state state;

    listing_text(l, span_of(p->name));
    listing_text(l, span_of(p->dialect));
    listing_text(l, *p->base_url ? span_of(p->base_url) : SPAN_NONE);
    listing_bool(l, p->allow_plain_http);
    listing_text(l, span_of(p->key_strategy));
    list_upstream_keys(l, p, opened, health, json, shown);
    buf_clear(json);
    buf_printf(json, "{\"connect_ms\": %lld, \"first_byte_ms\": %lld, \"idle_ms\": %lld, \"total_ms\": %lld}",
               (long long)(p->connect_ms ? p->connect_ms : CONNECT_MS_DEFAULT),
               (long long)(p->first_byte_ms ? p->first_byte_ms : FIRST_BYTE_MS_DEFAULT),
               (long long)(p->idle_ms ? p->idle_ms : IDLE_MS_DEFAULT),
               (long long)(p->total_ms ? p->total_ms : TOTAL_MS_DEFAULT));
    listing_both(l, buf_all(json), SPAN_NONE);
    buf_clear(json);
    buf_char(json, '{');
    for (int i = 0; i < p->header_count; i++) {
        buf_str(json, i ? ", " : "");
        json_string(json, span_of(p->headers[i].name));
        buf_str(json, ": ");
        json_string(json, span_of(p->headers[i].value));
    }
    buf_char(json, '}');
    listing_both(l, buf_all(json), SPAN_NONE);
    listing_text(l, span_of(p->api_version));
    listing_text(l, span_of(p->anthropic_version));
    listing_text(l, span_of(p->auth));
    buf_clear(json);
    if (p->faces) add_words(json, p->faces);
    else buf_str(json, "null");
    listing_both(l, buf_all(json), SPAN_NONE);
    provider_state(health, p->name, clock_wall_ms(), &state);
    list_state(l, &state);
}

int cmd_provider_list(struct weir *w, int argc, char **argv)
{
    bool json = false;
    const struct option_def options[] = {{"--json", OPTION_FLAG, &json}, {NULL, OPTION_FLAG, NULL}};
    struct snapshot *snap = NULL, *opened = NULL;
    struct health_map *health = NULL;
    struct master_key *master = NULL;
    struct buf raw, shown;
    struct listing l;
    struct words words;
    struct db *db;
    enum weir_err err;
    int code;

    if (!options_read(&w->memory, argc, argv, options, 0, 0, &words)) return EXIT_USAGE;
    if (!weir_open(w, DB_READ, &db)) return EXIT_REFUSED;
    buf_init(&raw, 4 << 20);
    buf_init(&shown, 4 << 20);
    err = snapshot_load(db, NULL, &snap);
    if (!err) err = health_load(db, &health);
    if (!err && weir_master(w, &master)) err = snapshot_load(db, master, &opened);
    if (err) {
        code = weir_failed("the providers cannot be read", err, db);
        goto out;
    }
    listing_start(&l, columns, json ? LISTING_JSON : LISTING_TABLE);
    for (int i = 0; i < snap->provider_count; i++) {
        const struct provider_row *p = &snap->providers[i];

        list_provider(&l, p, opened ? snapshot_provider(opened, span_of(p->name)) : NULL, health, &raw, &shown);
    }
    code = listing_end(&l);
out:
    buf_free(&raw);
    buf_free(&shown);
    if (snap) snapshot_release(snap);
    if (opened) snapshot_release(opened);
    health_release(health);
    master_key_free(master);
    db_close(db);
    return code;
}
