/* `weir usage`: what was asked and spent, out of the hourly rollup; the audit log is never read for it. */
#include <stdio.h>
#include <string.h>

#include "admin/command.h"
#include "admin/listing.h"
#include "admin/option.h"
#include "sql/spend.h"

#define HOUR_MS 3600000

/* A sum is never shown as less than it was: with unpriced requests in it, nothing known is null, not 0. */
static void usage_row(const char *name, const struct spend *u, void *arg)
{
    struct listing *l = arg;

    listing_text(l, span_of(name));
    listing_int(l, u->requests);
    listing_int(l, u->prompt_tokens);
    listing_int(l, u->cached_tokens);
    listing_int(l, u->completion_tokens);
    listing_money(l, u->unpriced && !u->cost ? -1 : u->cost);
    listing_int(l, u->unpriced);
}

static int64_t whole_hour(int64_t ms)
{
    return ms - (ms % HOUR_MS + HOUR_MS) % HOUR_MS;
}

int cmd_usage(struct weir *w, int argc, char **argv)
{
    static const struct { const char *name, *title; enum spend_by by; } groups[] = {
        {"user", "USER", SPEND_USER},    {"team", "TEAM", SPEND_TEAM},
        {"role", "ROLE", SPEND_ROLE},    {"model", "MODEL", SPEND_MODEL},
        {"provider", "PROVIDER", SPEND_PROVIDER}, {"key", "KEY", SPEND_KEY},
        {NULL, NULL, SPEND_USER}};
    const char *by = "user", *since_text = "7d";
    bool json = false;
    const struct option_def options[] = {{"--by", OPTION_TEXT, &by},
                                         {"--since", OPTION_TEXT, &since_text},
                                         {"--json", OPTION_FLAG, &json},
                                         {NULL, OPTION_FLAG, NULL}};
    struct column columns[] = {{NULL, NULL, 0},
                               {"requests", "REQUESTS", 0},
                               {"prompt_tokens", "IN", 0},
                               {"cached_tokens", "CACHED", 0},
                               {"completion_tokens", "OUT", 0},
                               {"cost", "COST", 0},
                               {NULL, "UNPRICED", 0},
                               {NULL, NULL, 0}};
    struct listing l;
    struct words words;
    struct db *db;
    enum weir_err err;
    int64_t since = 0;
    int code, g = 0;

    if (!options_read(&w->memory, argc, argv, options, 0, 0, &words) || !since_read(since_text, &since)) return EXIT_USAGE;
    while (groups[g].name && strcmp(groups[g].name, by) != 0) g++;
    if (!groups[g].name) {
        say("--by: must be one of user, team, role, model, provider, key");
        return EXIT_USAGE;
    }
    columns[0] = (struct column){groups[g].name, groups[g].title, 0};
    if (!weir_open(w, DB_READ, &db)) return EXIT_REFUSED;
    listing_start(&l, columns, json ? LISTING_JSON : LISTING_TABLE);
    err = spend_by(db, groups[g].by, whole_hour(since), usage_row, &l);
    code = listing_end(&l);
    if (err) code = weir_failed("the listing is not whole", err, db);
    db_close(db);
    return code;
}
