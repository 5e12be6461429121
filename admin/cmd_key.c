/* `weir key`: client keys are made, listed, rotated, revoked. A secret is printed once, alone on stdout. */
#include <stdio.h>
#include <string.h>

#include "admin/command.h"
#include "admin/document.h"
#include "admin/key_change.h"
#include "admin/known.h"
#include "admin/limit_words.h"
#include "admin/listing.h"
#include "admin/option.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"

#define KEYS_A_PAGE 500

/* ---- create ---- */

static void member_text(struct buf *json, const char *name, const char *value)
{
    if (!value) return;
    buf_printf(json, ",\"%s\":", name);
    json_string(json, span_of(value));
}

static void member_list(struct buf *json, const char *name, const struct words *list)
{
    if (!list->count) return;
    buf_printf(json, ",\"%s\":[", name);
    for (int i = 0; i < list->count; i++) {
        buf_str(json, i ? "," : "");
        json_string(json, span_of(list->at[i]));
    }
    buf_char(json, ']');
}

struct key_words {
    const char *name, *user, *team, *role, *rolegroup;
    struct words models, endpoints, allow_ip;
    bool may_assert;
    int64_t expires_in;
};

/* The words as an entry of the document, so that one place checks both. */
static bool key_checked(struct weir *w, const struct key_words *k, struct doc_key *out)
{
    struct reader r = {.memory = &w->memory};
    struct jfault fault;
    struct jval root;
    struct buf json;
    char *kept;

    buf_init(&json, 4 << 20);
    buf_str(&json, "{\"name\":");
    json_string(&json, span_of(k->name));
    member_text(&json, "user", k->user);
    member_text(&json, "team", k->team);
    member_text(&json, "role", k->role);
    member_text(&json, "rolegroup", k->rolegroup);
    member_list(&json, "models", &k->models);
    member_list(&json, "endpoints", &k->endpoints);
    member_list(&json, "allow_ip", &k->allow_ip);
    buf_char(&json, '}');
    kept = json.err ? NULL : arena_str(&w->memory, buf_all(&json));
    buf_free(&json);
    if (!kept || jscan_check(span_of(kept), 8, &root, &fault)) {
        say("the words cannot be read");
        return false;
    }
    if (!doc_key_read(&r, root, out)) {
        fprintf(stderr, "%s: %s\n", r.path, r.fault);
        return false;
    }
    out->row.may_assert = k->may_assert;
    out->row.created = clock_wall_ms();
    if (k->expires_in) out->row.expires = out->row.created + k->expires_in;
    return true;
}

/* As the record of changes keeps it. */
static const char *entry_of(struct weir *w, const struct key *k)
{
    struct buf json;
    const char *kept;

    buf_init(&json, 4 << 20);
    doc_key_write(&json, k);
    kept = json.err ? NULL : arena_str(&w->memory, buf_all(&json));
    buf_free(&json);
    if (!kept) say("out of memory");
    return kept;
}

/* Whoever mistypes an alias would find out by the first 404. */
static void say_unknown(struct db *db, const struct words *models)
{
    struct snapshot *snap = NULL;

    if (!models->count || snapshot_load(db, NULL, &snap)) return;
    for (int i = 0; i < models->count; i++)
        if (!alias_is_known(snap, span_of(models->at[i])))
            say("--models: %.100s is no model here; `weir model list` shows those there are", models->at[i]);
    snapshot_release(snap);
}

static void say_limit(const struct ledger_line *l, void *arg)
{
    const struct rule *r = &l->rule;
    bool cost = r->metric == METRIC_COST, hard = r->mode == MODE_HARD;
    char words[LIMIT_WORDS], amount[MONEY_TEXT];

    if (cost) money_text(r->amount, amount);
    else snprintf(amount, sizeof amount, "%lld", (long long)r->amount);
    if (!(*(int *)arg)++) say("limits that hold for it, beside those on addresses, models and providers:");
    say("  %s: %s%s %s%s%s", l->via ? l->via : l->scope, cost ? "$" : "", amount, limit_words(r, words), hard ? "" : ", ",
        hard ? "" : mode_names[r->mode]);
}

static void count_limit(const struct ledger_line *l, void *arg)
{
    (void)l;
    ++*(int *)arg;
}

static void say_limits(struct db *db, const struct key *k)
{
    const struct ledger_who who = {.user = k->user, .team = k->team, .role = k->role, .rolegroup = k->rolegroup,
                                   .key = k->name};
    int64_t now = clock_wall_ms();
    int told = 0, of_users = 0;

    if (ledger_usage(db, &who, now, say_limit, &told)) return;
    if (!told) say("no limit holds for it; `weir limit set key/%s` sets one", k->name);
    if (!k->user && !ledger_list(db, "user/*", false, now, count_limit, &of_users) && of_users)
        say("it names no user, so none of the limits on user/* holds for it");
}

static int print_secret(const char *secret)
{
    int code;

    puts(secret);
    code = finish_output();
    if (code != EXIT_DONE) say("the secret did not get out: rotate the key");
    return code;
}

/* Commits, then gives the secret out: one that was printed is one that works. */
static int commit_and_print(struct key_change *c, const char *secret)
{
    enum weir_err err = change_commit(&c->change);

    return err ? weir_failed("nothing was changed", err, c->db) : print_secret(secret);
}

int cmd_key_create(struct weir *w, int argc, char **argv)
{
    struct key_words k = {0};
    const struct option_def options[] = {
        {"--name", OPTION_TEXT, &k.name}, {"--user", OPTION_TEXT, &k.user}, {"--team", OPTION_TEXT, &k.team},
        {"--role", OPTION_TEXT, &k.role}, {"--rolegroup", OPTION_TEXT, &k.rolegroup}, {"--models", OPTION_LIST, &k.models},
        {"--endpoints", OPTION_LIST, &k.endpoints}, {"--expires", OPTION_DURATION, &k.expires_in},
        {"--allow-ip", OPTION_LIST, &k.allow_ip},
        {"--may-assert-identity", OPTION_FLAG, &k.may_assert}, {NULL, OPTION_FLAG, NULL}};
    char secret[CLIENT_KEY_LEN + 1];
    struct client_hash hash;
    struct key_change c;
    struct doc_key d;
    struct words words;
    const char *entry;
    int code = EXIT_REFUSED;
    enum weir_err err;
    int64_t id;

    if (!options_read(&w->memory, argc, argv, options, 0, 0, &words)) return EXIT_USAGE;
    if (!k.name) {
        say("--name: is missing");
        return EXIT_USAGE;
    }
    if (!key_checked(w, &k, &d) || !(entry = entry_of(w, &d.row))) return EXIT_REFUSED;
    if (!key_change_open(w, &c)) goto out;
    secret_client_key(secret);
    secret_client_hash(c.master, span_of(secret), &hash);
    err = keys_add(c.db, &d.row, &hash, &id);
    if (!err) err = weir_record(w, c.db, "key added", k.name, NULL, entry);
    if (err == WEIR_EXISTS) say("a key of the name %s is there already; rotate it, or take another name", k.name);
    else if (err) weir_failed("nothing was changed", err, c.db);
    else code = commit_and_print(&c, secret);
    secret_wipe(secret, sizeof secret);
    if (code == EXIT_DONE) {
        say_unknown(c.db, &k.models);
        say_limits(c.db, &d.row);
    }
out:
    key_change_close(&c);
    return code;
}

/* ---- rotate, revoke ---- */

static bool key_named(struct weir *w, struct db *db, const char *name, struct key *out)
{
    enum weir_err err = keys_by_name(db, span_of(name), &w->memory, out);

    if (err == WEIR_NOT_FOUND) say("%s: no key of that name", name);
    else if (err) weir_failed(name, err, db);
    return !err;
}

int cmd_key_rotate(struct weir *w, int argc, char **argv)
{
    int64_t overlap = 0, now;
    const struct option_def options[] = {{"--overlap", OPTION_DURATION, &overlap}, {NULL, OPTION_FLAG, NULL}};
    char secret[CLIENT_KEY_LEN + 1];
    struct client_hash hash;
    struct key_change c;
    struct words words;
    struct key k;
    int code = EXIT_REFUSED;
    enum weir_err err;

    if (!options_read(&w->memory, argc, argv, options, 1, 1, &words)) return EXIT_USAGE;
    if (!key_change_open(w, &c) || !key_named(w, c.db, words.at[0], &k)) goto out;
    now = clock_wall_ms();
    if (!key_is_live(&k, now)) {
        say("%s: is %s; make a new key instead", k.name, k.revoked ? "revoked" : "expired");
        goto out;
    }
    secret_client_key(secret);
    secret_client_hash(c.master, span_of(secret), &hash);
    err = keys_rotate(c.db, k.id, &hash, now, now + overlap);
    if (!err) err = weir_record(w, c.db, "key rotated", k.name, NULL, NULL);
    if (err) weir_failed("nothing was changed", err, c.db);
    else code = commit_and_print(&c, secret);
    secret_wipe(secret, sizeof secret);
out:
    key_change_close(&c);
    return code;
}

int cmd_key_revoke(struct weir *w, int argc, char **argv)
{
    const struct option_def options[] = {{NULL, OPTION_FLAG, NULL}};
    struct key_change c;
    struct words words;
    struct key k;
    int code = EXIT_REFUSED;
    enum weir_err err;

    if (!options_read(&w->memory, argc, argv, options, 1, 1, &words)) return EXIT_USAGE;
    if (!key_change_open(w, &c) || !key_named(w, c.db, words.at[0], &k)) goto out;
    code = EXIT_DONE;
    if (k.revoked) {
        say("%s: was revoked before", k.name);
        goto out;
    }
    err = keys_revoke(c.db, k.id, clock_wall_ms());
    if (!err) err = weir_record(w, c.db, "key revoked", k.name, entry_of(w, &k), NULL);
    if (!err) err = change_commit(&c.change);
    if (err) code = weir_failed("nothing was changed", err, c.db);
    else say("%s: revoked", k.name);
out:
    key_change_close(&c);
    return code;
}

/* ---- list ---- */

static const struct column columns[] = {{"name", "NAME", 0},           {"user", "USER", 0},
                                        {"team", "TEAM", 0},           {"role", "ROLE", 0},
                                        {"rolegroup", "ROLEGROUP", 0}, {"models", "MODELS", 0},
                                        {"endpoints", "ENDPOINTS", 0}, {"allow_ip", "ADDRESSES", 0},
                                        {"may_assert_identity", "ASSERTS", 0},
                                        {"state", "STATE", 0},         {"created", "CREATED", 0},
                                        {"last_used", "LAST USED", 0}, {"expires", "EXPIRES", 0},
                                        {"revoked", NULL, 0},          {NULL, NULL, 0}};

static void list_key(struct listing *l, const struct key *k, int64_t now)
{
    listing_text(l, span_of(k->name));
    listing_text(l, span_of(k->user));
    listing_text(l, span_of(k->team));
    listing_text(l, span_of(k->role));
    listing_text(l, span_of(k->rolegroup));
    listing_both(l, k->models ? span_of(k->models) : SPAN("null"), k->models ? span_of(k->models) : SPAN("all"));
    listing_both(l, k->endpoints ? span_of(k->endpoints) : SPAN("null"), k->endpoints ? span_of(k->endpoints) : SPAN("all"));
    listing_both(l, k->allow_ip ? span_of(k->allow_ip) : SPAN("null"), k->allow_ip ? span_of(k->allow_ip) : SPAN("all"));
    listing_bool(l, k->may_assert);
    listing_text(l, k->revoked ? SPAN("revoked") : key_is_live(k, now) ? SPAN("active") : SPAN("expired"));
    listing_time(l, k->created);
    listing_time(l, k->last_used);
    listing_time(l, k->expires);
    listing_time(l, k->revoked);
}

int cmd_key_list(struct weir *w, int argc, char **argv)
{
    bool json = false;
    const struct option_def options[] = {{"--json", OPTION_FLAG, &json}, {NULL, OPTION_FLAG, NULL}};
    struct key page[KEYS_A_PAGE];
    struct arena memory;
    struct listing l;
    struct words words;
    struct db *db;
    enum weir_err err;
    int64_t after = 0, now = clock_wall_ms();
    int n, code;

    if (!options_read(&w->memory, argc, argv, options, 0, 0, &words)) return EXIT_USAGE;
    if (!weir_open(w, DB_READ, &db)) return EXIT_REFUSED;
    arena_init(&memory);
    listing_start(&l, columns, json ? LISTING_JSON : LISTING_TABLE);
    do {
        err = keys_by_id_after(db, after, KEYS_A_PAGE, &memory, page, &n);
        if (err) n = 0;
        for (int i = 0; i < n; i++) list_key(&l, &page[i], now);
        if (n) after = page[n - 1].id;
        arena_end(&memory);
    } while (n == KEYS_A_PAGE);
    code = listing_end(&l);
    if (err) code = weir_failed("the listing is not whole", err, db);
    db_close(db);
    return code;
}
