/* `weir admin`: keys of administrators' programs are made, listed, revoked; administrators get passwords. A secret is
 * printed once, alone on stdout. */
#include <stdio.h>
#include <string.h>

#include "admin/command.h"
#include "admin/field.h"
#include "admin/key_change.h"
#include "admin/listing.h"
#include "admin/manage.h"
#include "admin/option.h"
#include "fcgi/base/bounds.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"
#include "sql/admin_keys.h"

/* ---- add ---- */

static bool name_is_fine(struct span name)
{
    if (name.len <= BOUND_NAME && text_is_utf8(name) && !text_has_controls(name, false)) return true;
    say("NAME: must have at most %d bytes of UTF-8 without control characters", BOUND_NAME);
    return false;
}

static int add(struct weir *w, struct key_change *c, const struct admin_key *k)
{
    char secret[CLIENT_KEY_LEN + 1];
    struct client_hash hash;
    int code = EXIT_REFUSED;
    enum weir_err err;

    secret_client_key(secret);
    secret_client_hash(c->master, span_of(secret), &hash);
    err = admin_key_add(c->db, k, &hash);
    if (err == WEIR_EXISTS) {
        say("a key of the name %s is there already; take another name", k->name);
        goto out;
    }
    if (!err)
        err = weir_record(w, c->db, "administrator's key added", k->name, NULL,
                          arena_printf(&w->memory, "{\"role\":\"%s\"}", admin_role_names[k->role]));
    if (!err) err = change_commit(&c->change); /* a secret that is printed is one that works */
    if (err) {
        weir_failed("nothing was changed", err, c->db);
        goto out;
    }
    puts(secret);
    code = finish_output();
    if (code != EXIT_DONE) say("the secret did not get out: revoke the key and make another");
out:
    secret_wipe(secret, sizeof secret);
    return code;
}

int cmd_admin_add(struct weir *w, int argc, char **argv)
{
    const char *role = NULL;
    int64_t expires_in = 0;
    const struct option_def options[] = {
        {"--role", OPTION_TEXT, &role}, {"--expires", OPTION_DURATION, &expires_in}, {NULL, OPTION_FLAG, NULL}};
    struct admin_key k = {.created = clock_wall_ms()};
    struct key_change c;
    struct words words;
    int code = EXIT_REFUSED;

    if (!options_read(&w->memory, argc, argv, options, 1, 1, &words)) return EXIT_USAGE;
    if (!role || !admin_role_parse(span_of(role), &k.role)) {
        say("--role: %s %s", role ? "must be one of" : "is missing; one of", ADMIN_ROLES);
        return EXIT_USAGE;
    }
    k.name = words.at[0];
    if (!*k.name) {
        say("NAME: must not be empty");
        return EXIT_USAGE;
    }
    if (!name_is_fine(span_of(k.name))) return EXIT_REFUSED;
    if (expires_in) k.expires = k.created + expires_in;
    if (key_change_open(w, &c)) code = add(w, &c, &k);
    key_change_close(&c);
    return code;
}

/* ---- a password for the pages ---- */

/* Makes the administrator where a role is given and there is none; else a new password for the one there is. */
static enum weir_err make_password(struct manager *m, const char *name, const char *role, char *password)
{
    enum weir_err err = manage_administrator_reset(m, name, password);
    enum admin_role parsed;

    if (err != WEIR_NOT_FOUND || !role || !admin_role_parse(span_of(role), &parsed)) return err;
    return manage_administrator_add(m, name, parsed, password);
}

int cmd_admin_password(struct weir *w, int argc, char **argv)
{
    const char *role = NULL, *fault;
    bool no_code = false;
    const struct option_def options[] = {
        {"--role", OPTION_TEXT, &role}, {"--no-code", OPTION_FLAG, &no_code}, {NULL, OPTION_FLAG, NULL}};
    struct manager m = weir_manager(w);
    char password[PASSWORD_MADE_LEN + 1];
    struct words words;
    enum weir_err err;
    int code = EXIT_REFUSED;

    if (!options_read(&w->memory, argc, argv, options, 1, 1, &words)) return EXIT_USAGE;
    fault = administrator_name_fault(words.at[0]);
    if (fault || (role && !choice_is(ADMIN_ROLES, span_of(role)))) {
        if (fault) say("NAME: %s", fault);
        else say("--role: must be one of %s", ADMIN_ROLES);
        return EXIT_USAGE;
    }
    if (!weir_open(w, DB_WRITE, &m.db)) return EXIT_REFUSED;
    err = no_code ? manage_own_code(&m, words.at[0], SPAN_NONE, 0) : WEIR_OK;
    if (!err || err == WEIR_NOT_FOUND) err = make_password(&m, words.at[0], role, password);
    if (err == WEIR_NOT_FOUND) {
        say("%s: no administrator of that name; --role makes one", words.at[0]);
    } else if (err) {
        weir_failed("nothing was changed", err, m.db);
    } else {
        puts(password);
        code = finish_output();
        say("%s: this password must be changed at the first log-in", words.at[0]);
        secret_wipe(password, sizeof password);
    }
    db_close(m.db);
    return code;
}

/* ---- revoke ---- */

int cmd_admin_revoke(struct weir *w, int argc, char **argv)
{
    const struct option_def options[] = {{NULL, OPTION_FLAG, NULL}};
    struct key_change c;
    struct words words;
    struct admin_key k;
    int code = EXIT_REFUSED;
    enum weir_err err;

    if (!options_read(&w->memory, argc, argv, options, 1, 1, &words)) return EXIT_USAGE;
    if (!key_change_open(w, &c)) goto out;
    err = admin_key_by_name(c.db, span_of(words.at[0]), &w->memory, &k);
    if (err == WEIR_NOT_FOUND) {
        say("%s: no administrator's key of that name", words.at[0]);
        goto out;
    }
    if (!err && k.revoked) {
        say("%s: was revoked before", k.name);
        code = EXIT_DONE;
        goto out;
    }
    if (!err) err = admin_key_revoke(c.db, k.id, clock_wall_ms());
    if (!err) err = weir_record(w, c.db, "administrator's key revoked", k.name, NULL, NULL);
    if (!err) err = change_commit(&c.change);
    if (err) {
        weir_failed("nothing was changed", err, c.db);
        goto out;
    }
    say("%s: revoked", k.name);
    code = EXIT_DONE;
out:
    key_change_close(&c);
    return code;
}

/* ---- list ---- */

static const struct column columns[] = {{"name", "NAME", 0},           {"role", "ROLE", 0},
                                        {"state", "STATE", 0},         {"created", "CREATED", 0},
                                        {"last_used", "LAST USED", 0}, {"expires", "EXPIRES", 0},
                                        {"revoked", NULL, 0},          {NULL, NULL, 0}};

struct key_listing { struct listing l; int64_t now; };

static void list_key(const struct admin_key *k, void *arg)
{
    struct key_listing *to = arg;

    listing_text(&to->l, span_of(k->name));
    listing_text(&to->l, span_of(admin_role_names[k->role]));
    listing_text(&to->l, k->revoked ? SPAN("revoked") : admin_key_is_live(k, to->now) ? SPAN("active") : SPAN("expired"));
    listing_time(&to->l, k->created);
    listing_time(&to->l, k->last_used);
    listing_time(&to->l, k->expires);
    listing_time(&to->l, k->revoked);
}

int cmd_admin_list(struct weir *w, int argc, char **argv)
{
    bool json = false;
    const struct option_def options[] = {{"--json", OPTION_FLAG, &json}, {NULL, OPTION_FLAG, NULL}};
    struct key_listing to = {.now = clock_wall_ms()};
    struct words words;
    struct db *db;
    enum weir_err err;
    int code;

    if (!options_read(&w->memory, argc, argv, options, 0, 0, &words)) return EXIT_USAGE;
    if (!weir_open(w, DB_READ, &db)) return EXIT_REFUSED;
    listing_start(&to.l, columns, json ? LISTING_JSON : LISTING_TABLE);
    err = admin_keys_each(db, list_key, &to);
    code = listing_end(&to.l);
    if (err) code = weir_failed("the listing is not whole", err, db);
    db_close(db);
    return code;
}
