/* `weir limit`: limits are set, listed with what they have counted, removed, and their counts reset. What a limit may say
 * is the document's business (doc_limits.c), what it counts the ledger's. */
#include <stdio.h>
#include <string.h>

#include "admin/apply.h"
#include "admin/document.h"
#include "admin/listing.h"
#include "admin/option.h"
#include "fcgi/base/clock.h"
#include "sql/change.h"
#include "sql/ledger.h"

/* ---- set ---- */

struct limit_typed { const char *metric, *shape, *amount, *capacity, *refill, *seconds, *period, *mode, *warn, *offset; };

/* What looks like a number goes in as one where a number may stand, all else as a text: the document's checks then say
 * what is wrong with it. */
static void add_member(struct buf *json, const char *name, const char *typed, bool number)
{
    struct jfault fault;
    struct jval v;

    if (!typed) return;
    buf_printf(json, ",\"%s\":", name);
    if (number && !jscan_check(span_of(typed), 1, &v, &fault) && v.kind == JSON_NUMBER) buf_span(json, v.text);
    else json_string(json, span_of(typed));
}

static void limit_document(const char *scope, const struct limit_typed *t, struct buf *json)
{
    bool count = strcmp(t->metric, "cost") != 0;

    buf_str(json, "{\"limits\":[{\"scope\":");
    json_string(json, span_of(scope));
    add_member(json, "metric", t->metric, false);
    add_member(json, "shape", t->shape, false);
    add_member(json, "amount", t->amount, count);
    add_member(json, "capacity", t->capacity, count);
    add_member(json, "refill_per_sec", t->refill, count);
    add_member(json, "seconds", t->seconds, true);
    add_member(json, "period", t->period, false);
    add_member(json, "mode", t->mode, false);
    add_member(json, "warn_percent", t->warn, true);
    add_member(json, "utc_offset", t->offset, true);
    buf_str(json, "}]}");
}

int cmd_limit_set(struct weir *w, int argc, char **argv)
{
    struct limit_typed t = {0};
    const struct option_def options[] = {
        {"--metric", OPTION_TEXT, &t.metric},     {"--shape", OPTION_TEXT, &t.shape},
        {"--amount", OPTION_TEXT, &t.amount},     {"--capacity", OPTION_TEXT, &t.capacity},
        {"--refill", OPTION_TEXT, &t.refill},     {"--seconds", OPTION_TEXT, &t.seconds},
        {"--period", OPTION_TEXT, &t.period},     {"--mode", OPTION_TEXT, &t.mode},
        {"--warn", OPTION_TEXT, &t.warn},         {"--utc-offset", OPTION_TEXT, &t.offset},
        {NULL, OPTION_FLAG, NULL}};
    struct applied done;
    struct words words;
    struct buf json;
    int code = EXIT_REFUSED;

    if (!options_read(&w->memory, argc, argv, options, 1, 1, &words)) return EXIT_USAGE;
    if (!t.metric) {
        say("--metric: is missing");
        return EXIT_USAGE;
    }
    buf_init(&json, 1 << 20);
    limit_document(words.at[0], &t, &json);
    if (json.err) {
        weir_failed("limit set", json.err, NULL);
    } else if (document_apply(w, buf_all(&json), false, "limits[0].", &done)) {
        const struct tally *tally = &done.tally[SECTION_LIMITS];

        applied_free(&done);
        say("the limit on %s %s", words.at[0],
            tally->added ? "was added" : tally->changed ? "was changed; its count is kept" : "is there already, the same");
        code = EXIT_DONE;
    }
    buf_free(&json);
    return code;
}

/* ---- list ---- */

static const struct column columns[] = {{"scope", "SCOPE", 0},         {"via", "VIA", 0},
                                        {"metric", "METRIC", 0},       {"shape", "SHAPE", 0},
                                        {"mode", "MODE", 0},           {"limit", "LIMIT", 0},
                                        {"used", "USED", 0},           {"held", "HELD", 0},
                                        {"remaining", "LEFT", 0},      {"resets_at", "RESETS", 0},
                                        {"warned_at", "WARNED", 0},    {"period", NULL, 0},
                                        {"seconds", NULL, 0},          {"capacity", NULL, 0},
                                        {"refill_per_sec", NULL, 0},   {"utc_offset", NULL, 0},
                                        {"warn_percent", NULL, 0},     {NULL, NULL, 0}};

static void list_amount(struct listing *l, const struct rule *r, int64_t n)
{
    if (r->metric == METRIC_COST) listing_money(l, n > 0 ? n : 0);
    else listing_int(l, n);
}

static void list_if(struct listing *l, bool fits, int64_t n)
{
    if (fits) listing_int(l, n);
    else listing_text(l, SPAN_NONE);
}

/* For people the shape stands with what belongs to it: "calendar month +02:00". */
static void list_shape(struct listing *l, const struct rule *r)
{
    char json[24], shown[80], rate[MONEY_TEXT];
    int64_t off = r->utc_offset_min < 0 ? -r->utc_offset_min : r->utc_offset_min;

    snprintf(json, sizeof json, "\"%s\"", shape_names[r->shape]);
    snprintf(shown, sizeof shown, "%s", shape_names[r->shape]);
    if (r->shape == SHAPE_BUCKET) {
        if (r->metric == METRIC_COST) money_text(r->refill, rate);
        else rate_text(r->refill, rate);
        snprintf(shown, sizeof shown, "bucket +%s/s", rate);
    } else if (r->shape == SHAPE_WINDOW) {
        snprintf(shown, sizeof shown, "window %lld s", (long long)r->seconds);
    } else if (r->shape == SHAPE_CALENDAR) {
        int n = snprintf(shown, sizeof shown, "calendar %s", calendar_names[r->unit]);

        if (off && n > 0 && n < (int)sizeof shown)
            snprintf(shown + n, sizeof shown - (size_t)n, " %c%02d:%02d", r->utc_offset_min < 0 ? '-' : '+',
                     (int)(off / 60 % 100), (int)(off % 60));
    }
    if (r->shape == SHAPE_NONE) listing_text(l, SPAN_NONE);
    else listing_both(l, span_of(json), span_of(shown));
}

static void list_refill(struct listing *l, const struct rule *r)
{
    char text[MONEY_TEXT];

    if (r->shape != SHAPE_BUCKET) {
        listing_text(l, SPAN_NONE);
    } else if (r->metric == METRIC_COST) {
        listing_money(l, r->refill);
    } else {
        rate_text(r->refill, text);
        listing_both(l, span_of(text), span_of(text));
    }
}

static void list_line(struct listing *l, const struct ledger_line *at, const char *via)
{
    const struct rule *r = &at->rule;
    bool bucket = r->shape == SHAPE_BUCKET, calendar = r->shape == SHAPE_CALENDAR;

    listing_text(l, span_of(at->scope));
    listing_text(l, span_of(via));
    listing_text(l, span_of(metric_names[r->metric]));
    list_shape(l, r);
    listing_text(l, span_of(mode_names[r->mode]));
    list_amount(l, r, r->amount);
    list_amount(l, r, at->used);
    list_amount(l, r, at->held);
    list_amount(l, r, at->remaining);
    listing_time(l, at->resets_at > 0 ? at->resets_at : 0);
    listing_time(l, at->warned);
    listing_text(l, calendar ? span_of(calendar_names[r->unit]) : SPAN_NONE);
    list_if(l, r->shape == SHAPE_WINDOW, r->seconds);
    if (bucket) list_amount(l, r, r->amount);
    else listing_text(l, SPAN_NONE);
    list_refill(l, r);
    list_if(l, calendar, r->utc_offset_min);
    listing_int(l, r->warn_percent);
}

struct limit_listing { struct listing l; const char *scope; };

static void limit_line(const struct ledger_line *at, void *arg)
{
    list_line(&((struct limit_listing *)arg)->l, at, at->via);
}

/* Of all that applies to one member: what its kind's star limits count for it. */
static void member_line(const struct ledger_line *at, void *arg)
{
    struct limit_listing *to = arg;

    if (at->via && strcmp(at->scope, to->scope) == 0 && strcmp(at->via, to->scope) != 0) list_line(&to->l, at, at->via);
}

/* "KIND/STAR" of "KIND/NAME", in the command's memory; NULL where there is none. */
static const char *star_of(struct weir *w, const char *scope)
{
    const char *slash = strchr(scope, '/');

    if (!slash || strcmp(slash, "/*") == 0) return NULL;
    return arena_printf(&w->memory, "%.*s/*", (int)(slash - scope), scope);
}

static enum weir_err list_by_default(struct db *db, struct limit_listing *to, int64_t now)
{
    struct ledger_who who = {0};
    const struct { const char *kind; const char **name; } kinds[] = {
        {"user/", &who.user}, {"team/", &who.team}, {"role/", &who.role},   {"rolegroup/", &who.rolegroup},
        {"key/", &who.key},   {"ip/", &who.ip},     {"model/", &who.model},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(to->scope, kinds[i].kind, strlen(kinds[i].kind)) == 0) {
            *kinds[i].name = to->scope + strlen(kinds[i].kind);
            return ledger_usage(db, &who, now, member_line, to);
        }
    return WEIR_OK;
}

static bool scope_is_fine(const char *scope)
{
    const char *fault = scope_fault(scope);

    if (fault) say("%s: the scope %s", scope, fault);
    return !fault;
}

int cmd_limit_list(struct weir *w, int argc, char **argv)
{
    bool members = false, json = false;
    const struct option_def options[] = {
        {"--members", OPTION_FLAG, &members}, {"--json", OPTION_FLAG, &json}, {NULL, OPTION_FLAG, NULL}};
    struct limit_listing to = {.scope = NULL};
    struct words words;
    struct db *db;
    enum weir_err err;
    int64_t now = clock_wall_ms();
    int code;

    if (!options_read(&w->memory, argc, argv, options, 0, 1, &words)) return EXIT_USAGE;
    if (words.count && !scope_is_fine(to.scope = words.at[0])) return EXIT_USAGE;
    if (!weir_open(w, DB_READ, &db)) return EXIT_REFUSED;
    listing_start(&to.l, columns, json ? LISTING_JSON : LISTING_TABLE);
    err = ledger_list(db, to.scope, members, now, limit_line, &to);
    if (!err && members && to.scope && star_of(w, to.scope)) err = list_by_default(db, &to, now);
    code = listing_end(&to.l);
    if (err) code = weir_failed("the listing is not whole", err, db);
    db_close(db);
    return code;
}

/* ---- remove and reset ---- */

struct selection { struct limit_key key; int found; };

static bool choice_is_fine(const char *option, const char *choices, const char *word)
{
    if (!word || choice_is(choices, span_of(word))) return true;
    say("%s: must be one of %s", option, choices);
    return false;
}

static bool selection_read(struct weir *w, int argc, char **argv, struct limit_key *k)
{
    const struct option_def options[] = {{"--metric", OPTION_TEXT, &k->metric},   {"--shape", OPTION_TEXT, &k->shape},
                                         {"--period", OPTION_TEXT, &k->period},   {"--seconds", OPTION_COUNT, &k->seconds},
                                         {NULL, OPTION_FLAG, NULL}};
    struct words words;

    if (!options_read(&w->memory, argc, argv, options, 1, 1, &words)) return false;
    k->scope = words.at[0];
    if (!k->metric) {
        say("--metric: is missing");
        return false;
    }
    return scope_is_fine(k->scope) && choice_is_fine("--metric", LIMIT_METRICS, k->metric) &&
           choice_is_fine("--shape", LIMIT_SHAPES, k->shape) && choice_is_fine("--period", LIMIT_PERIODS, k->period);
}

static void match(const struct limit_rule *l, void *arg)
{
    struct selection *s = arg;
    const struct limit_key *k = &s->key;

    if (!k->scope || strcmp(l->scope, k->scope) != 0 || strcmp(l->metric, k->metric) != 0) return;
    if ((k->shape && strcmp(l->shape, k->shape) != 0) || (k->period && strcmp(l->period, k->period) != 0)) return;
    if (k->seconds && l->seconds != k->seconds) return;
    s->found++;
}

static enum weir_err count_found(struct db *db, struct selection *s)
{
    s->found = 0;
    return limits_each(db, match, s);
}

static int say_none(const struct limit_key *k)
{
    say("there is no such limit on %s; `weir limit list` shows those there are", k->scope);
    return EXIT_REFUSED;
}

int cmd_limit_remove(struct weir *w, int argc, char **argv)
{
    struct selection s = {.found = 0};
    struct change change;
    struct db *db;
    enum weir_err err;
    int removed = 0;

    if (!selection_read(w, argc, argv, &s.key)) return EXIT_USAGE;
    if (!weir_open(w, DB_WRITE, &db)) return EXIT_REFUSED;
    err = change_begin(&change, db, w->data_dir);
    if (!err) {
        err = limit_remove(db, &s.key, &removed);
        if (!err) err = weir_record(w, db, "limit removed", s.key.scope,
                                    arena_printf(&w->memory, "{\"metric\":\"%s\"}", s.key.metric), NULL);
        if (!err) err = change_commit(&change);
        change_undo(&change);
    }
    db_close(db);
    if (err == WEIR_NOT_FOUND) return say_none(&s.key);
    if (err) return weir_failed("nothing was changed", err, NULL);
    say("%d limit%s removed", removed, removed == 1 ? "" : "s");
    return EXIT_DONE;
}

/* A member's own count, and what its kind's star limits have counted for it. */
static enum weir_err reset(struct db *db, const struct selection *own, const struct selection *star, int *count)
{
    int64_t now = clock_wall_ms();
    int more = 0;
    enum weir_err err = limit_reset(db, &own->key, NULL, now, count);

    if (!err && star->found) err = limit_reset(db, &star->key, own->key.scope, now, &more);
    *count += more;
    return err;
}

int cmd_limit_reset(struct weir *w, int argc, char **argv)
{
    struct selection own = {.found = 0}, star;
    struct change change;
    struct db *db;
    enum weir_err err;
    int count = 0;

    if (!selection_read(w, argc, argv, &own.key)) return EXIT_USAGE;
    star = own;
    star.key.scope = star_of(w, own.key.scope);
    if (!weir_open(w, DB_WRITE, &db)) return EXIT_REFUSED;
    err = count_found(db, &own); /* before the writers' lock: there may be very many limits */
    if (!err) err = count_found(db, &star);
    if (!err && !own.found && !star.found) err = WEIR_NOT_FOUND;
    if (!err) err = change_begin(&change, db, w->data_dir);
    if (!err) {
        err = reset(db, &own, &star, &count);
        if (!err) err = weir_record(w, db, "limit reset", own.key.scope,
                                    arena_printf(&w->memory, "{\"metric\":\"%s\"}", own.key.metric), NULL);
        if (!err) err = change_commit(&change);
        change_undo(&change);
    }
    if (err && err != WEIR_NOT_FOUND) weir_failed("nothing was changed", err, db);
    db_close(db);
    if (err == WEIR_NOT_FOUND) return say_none(&own.key);
    if (err) return EXIT_REFUSED;
    if (count) say("%d count%s reset; what is held by requests in flight stays held", count, count == 1 ? "" : "s");
    else say("nothing had been counted");
    return EXIT_DONE;
}
