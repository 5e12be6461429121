/* `weir jwt`: token verifiers are listed and removed. They are added and changed by `weir apply`, or at /admin. */
#include <stdio.h>
#include <string.h>

#include "admin/command.h"
#include "admin/listing.h"
#include "admin/manage.h"
#include "admin/option.h"
#include "admin/verifier_state.h"
#include "fcgi/base/text.h"

/* ---- list ---- */

static const struct column columns[] = {{"name", "NAME", 0},
                                        {"algorithm", "ALGORITHM", 0},
                                        {"issuer", "ISSUER", 0},
                                        {"audience", "AUDIENCE", 0},
                                        {"public_key", NULL, 0},
                                        {"jwks_url", NULL, 0},
                                        {NULL, "KEYS", 0},
                                        {"claims", NULL, 0},
                                        {"models", NULL, 0},
                                        {"endpoints", NULL, 0},
                                        {"leeway", NULL, 0},
                                        {"has_secret", NULL, 0},
                                        {"keys", NULL, 0},
                                        {"fetched", "FETCHED", 0},
                                        {"tried", NULL, 0},
                                        {"error", "LAST ERROR", 0},
                                        {NULL, NULL, 0}};

struct jwt_list { struct listing listing; struct buf text; };

/* A member of the entry as it stands there; null where it is absent. */
static void list_member(struct jwt_list *l, struct jval entry, const char *name)
{
    struct jval v = jscan_find(entry, name);

    buf_clear(&l->text);
    if (v.kind == JSON_STRING) jval_string(v, &l->text);
    listing_both(&l->listing, v.kind ? v.text : SPAN("null"), l->text.len ? buf_all(&l->text) : SPAN("-"));
}

/* Where its keys come from, for the table. */
static void list_source(struct jwt_list *l, struct jval entry, const struct jwt_row *j)
{
    struct jval url = jscan_find(entry, "jwks_url");

    buf_clear(&l->text);
    if (url.kind == JSON_STRING) jval_string(url, &l->text);
    else buf_str(&l->text, j->has_secret ? "a secret" : "a public key");
    listing_text(&l->listing, buf_all(&l->text));
}

static void list_verifier(const struct jwt_row *j, void *arg)
{
    struct jwt_list *l = arg;
    struct jval entry = verifier_entry(j), leeway = jscan_find(entry, "leeway");
    int64_t seconds = LEEWAY_S_DEFAULT;

    jval_int(leeway, &seconds);
    listing_text(&l->listing, span_of(j->name));
    list_member(l, entry, "algorithm");
    list_member(l, entry, "issuer");
    list_member(l, entry, "audience");
    list_member(l, entry, "public_key");
    list_member(l, entry, "jwks_url");
    list_source(l, entry, j);
    list_member(l, entry, "claims");
    list_member(l, entry, "models");
    list_member(l, entry, "endpoints");
    listing_int(&l->listing, seconds);
    listing_bool(&l->listing, j->has_secret);
    buf_clear(&l->text);
    verifier_kids_write(&l->text, j);
    listing_both(&l->listing, buf_all(&l->text), SPAN_NONE);
    listing_time(&l->listing, j->fetched);
    listing_time(&l->listing, j->tried);
    listing_text(&l->listing, span_of(j->fault));
}

int cmd_jwt_list(struct weir *w, int argc, char **argv)
{
    bool json = false;
    const struct option_def options[] = {{"--json", OPTION_FLAG, &json}, {NULL, OPTION_FLAG, NULL}};
    struct jwt_list l;
    struct words words;
    struct db *db;
    enum weir_err err;
    int code;

    if (!options_read(&w->memory, argc, argv, options, 0, 0, &words)) return EXIT_USAGE;
    if (!weir_open(w, DB_READ, &db)) return EXIT_REFUSED;
    buf_init(&l.text, 1 << 20);
    listing_start(&l.listing, columns, json ? LISTING_JSON : LISTING_TABLE);
    err = jwt_each(db, list_verifier, &l);
    code = listing_end(&l.listing);
    if (err) code = weir_failed("the listing is not whole", err, db);
    buf_free(&l.text);
    db_close(db);
    return code;
}

/* ---- remove ---- */

int cmd_jwt_remove(struct weir *w, int argc, char **argv)
{
    const struct option_def options[] = {{NULL, OPTION_FLAG, NULL}};
    struct manager m = {.data_dir = w->data_dir, .db_path = w->db_path, .by = weir_actor(w), .memory = &w->memory};
    struct words words;
    enum weir_err err;
    int code = EXIT_REFUSED;

    if (!options_read(&w->memory, argc, argv, options, 1, 1, &words)) return EXIT_USAGE;
    if (!weir_open(w, DB_WRITE, &m.db)) return EXIT_REFUSED;
    err = manage_jwt_remove(&m, words.at[0]);
    if (err == WEIR_NOT_FOUND) {
        say("%s: no token verifier of that name; `weir jwt list` shows those there are", words.at[0]);
    } else if (err) {
        weir_failed("nothing was changed", err, m.db);
    } else {
        say("%s was removed; its tokens are refused from now on", words.at[0]);
        code = EXIT_DONE;
    }
    db_close(m.db);
    return code;
}
