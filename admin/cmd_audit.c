/* `weir audit`: what was asked, and what became of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admin/command.h"
#include "admin/listing.h"
#include "admin/option.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"
#include "sql/audit.h"

#define ROWS_A_PAGE 500
#define LIMIT_MOST 10000000
#define FOLLOW_FIRST 10       /* rows shown before following, where nothing else is asked for */
#define POLL_MS 300

static const struct column audit_columns[] = {{"time", "TIME", 24},
                                              {"request_id", NULL, 0},
                                              {"user", "USER", 10},
                                              {"team", NULL, 0},
                                              {"role", NULL, 0},
                                              {"rolegroup", NULL, 0},
                                              {"key", "KEY", 12},
                                              {"ip", NULL, 0},
                                              {"endpoint", "ENDPOINT", 25},
                                              {"alias", "ALIAS", 16},
                                              {"provider", "PROVIDER", 10},
                                              {"model", NULL, 0},
                                              {"stream", "STREAM", 6},
                                              {"status", "STATUS", 6},
                                              {"outcome", "OUTCOME", 9},
                                              {"attempts", NULL, 0},
                                              {"cache", NULL, 0},
                                              {"prompt_tokens", "IN", 7},
                                              {"cached_tokens", NULL, 0},
                                              {"cache_write_tokens", NULL, 0},
                                              {"completion_tokens", "OUT", 7},
                                              {"cost", "COST", 10},
                                              {"usage_source", "SOURCE", 9},
                                              {"first_byte_ms", NULL, 0},
                                              {"latency_ms", "MS", 7},
                                              {"error", "ERROR", 0},
                                              {"context", NULL, 0},
                                              {NULL, NULL, 0}};

struct audit_words { const char *user, *since, *content; int64_t limit; bool follow, json; };

static void list_row(struct listing *l, const struct audit_row *r)
{
    listing_time(l, r->time);
    listing_text(l, span_of(r->request_id));
    listing_text(l, span_of(r->user));
    listing_text(l, span_of(r->team));
    listing_text(l, span_of(r->role));
    listing_text(l, span_of(r->rolegroup));
    listing_text(l, span_of(r->key));
    listing_text(l, span_of(r->ip));
    listing_text(l, span_of(r->endpoint));
    listing_text(l, span_of(r->alias));
    listing_text(l, span_of(r->provider));
    listing_text(l, span_of(r->model));
    listing_bool(l, r->stream);
    listing_int(l, r->status);
    listing_text(l, span_of(r->outcome));
    listing_int(l, r->attempts);
    listing_text(l, span_of(r->cache));
    listing_int(l, r->prompt_tokens);
    listing_int(l, r->cached_tokens);
    listing_int(l, r->cache_write_tokens);
    listing_int(l, r->completion_tokens);
    listing_money(l, r->cost);
    listing_text(l, span_of(r->usage_source));
    if (r->first_byte_ms >= 0) listing_int(l, r->first_byte_ms);
    else listing_text(l, SPAN_NONE);
    listing_int(l, r->latency_ms);
    listing_text(l, span_of(r->error));
    listing_text(l, span_of(r->context));
}

/* Calls row for every row after *after, which it moves on. */
static enum weir_err each_row(struct db *db, int64_t *after, int64_t since, const char *user,
                              void (*row)(const struct audit_row *, void *), void *arg)
{
    struct audit_row page[ROWS_A_PAGE];
    struct arena memory;
    enum weir_err err;
    int n;

    arena_init(&memory);
    do {
        err = audit_page(db, *after, since, user, ROWS_A_PAGE, &memory, page, &n);
        if (err) n = 0;
        for (int i = 0; i < n; i++) row(&page[i], arg);
        if (n) *after = page[n - 1].id;
        arena_end(&memory);
    } while (n == ROWS_A_PAGE && !ferror(stdout));
    return err;
}

static void print_row(const struct audit_row *r, void *arg)
{
    list_row(arg, r);
}

/* The ids of the newest rows, as a ring. */
struct newest { int64_t *ids; size_t room, seen; };

static void note_row(const struct audit_row *r, void *arg)
{
    struct newest *n = arg;

    n->ids[n->seen++ % n->room] = r->id;
}

/* The id before the newest `limit` rows. Looks at the last hour first, then further back: a long log is not read for
 * ten rows. */
static enum weir_err before_newest(struct db *db, int64_t since, const char *user, int64_t limit, int64_t *before)
{
    static const int64_t back_ms[] = {3600000, 86400000, 30 * 86400000LL, 0}; /* 0: all */
    struct newest n = {calloc((size_t)limit, sizeof *n.ids), (size_t)limit, 0};
    int64_t now = clock_wall_ms();
    enum weir_err err = n.ids ? WEIR_OK : WEIR_NOMEM;

    for (size_t i = 0; !err; i++) {
        int64_t from = back_ms[i] && now - back_ms[i] > since ? now - back_ms[i] : since, after = 0;

        n.seen = 0;
        err = each_row(db, &after, from, user, note_row, &n);
        if (n.seen >= n.room || from == since) break;
    }
    *before = n.seen < n.room ? (n.seen ? n.ids[0] - 1 : 0) : n.ids ? n.ids[n.seen % n.room] - 1 : 0;
    free(n.ids);
    return err;
}

static enum weir_err follow(struct db *db, int64_t after, int64_t since, const char *user, struct listing *l)
{
    const struct timespec pause = {0, POLL_MS * 1000000L};
    enum weir_err err = WEIR_OK;

    while ((!err || err == WEIR_BUSY) && fflush(stdout) == 0 && !ferror(stdout)) {
        nanosleep(&pause, NULL);
        err = each_row(db, &after, since, user, print_row, l);
    }
    return err;
}

int cmd_audit(struct weir *w, int argc, char **argv)
{
    struct audit_words a = {0};
    const struct option_def options[] = {
        {"--follow", OPTION_FLAG, &a.follow}, {"--user", OPTION_TEXT, &a.user}, {"--since", OPTION_TEXT, &a.since},
        {"--limit", OPTION_COUNT, &a.limit}, {"--json", OPTION_FLAG, &a.json},
        {"--content", OPTION_TEXT, &a.content}, {NULL, OPTION_FLAG, NULL}};
    int64_t since = 0, after = 0;
    struct words words;
    struct listing l;
    struct db *db;
    enum weir_err err = WEIR_OK;
    int code;

    if (!options_read(&w->memory, argc, argv, options, 0, 0, &words) || !since_read(a.since, &since)) return EXIT_USAGE;
    if (a.limit > LIMIT_MOST) {
        say("--limit: at most %d", LIMIT_MOST);
        return EXIT_USAGE;
    }
    if (a.content && (a.user || a.since || a.limit || a.follow)) {
        say("--content: is of one request, and goes with no other option but --json");
        return EXIT_USAGE;
    }
    if (a.content) return audit_content(w, a.content);
    if (!weir_open(w, DB_READ, &db)) return EXIT_REFUSED;
    if (a.follow && !a.limit && !a.since) a.limit = FOLLOW_FIRST;
    if (a.limit) err = before_newest(db, since, a.user, a.limit, &after);
    listing_start(&l, audit_columns, a.json ? LISTING_LINES : LISTING_STREAM);
    if (!err) err = each_row(db, &after, since, a.user, print_row, &l);
    if (!err && a.follow) err = follow(db, after, since, a.user, &l);
    code = listing_end(&l);
    if (err) code = weir_failed("the listing is not whole", err, db);
    db_close(db);
    return code;
}
