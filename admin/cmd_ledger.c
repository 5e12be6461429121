/* `weir ledger check`: are the books right? Reads only. */
#include <stdio.h>
#include <string.h>

#include "admin/command.h"
#include "admin/listing.h"
#include "admin/option.h"
#include "fcgi/base/text.h"
#include "sql/ledger.h"

#define DIFFERENCES_MAX ((size_t)64 << 20) /* bytes */

static const struct column columns[] = {{"scope", "SCOPE", 0}, {"metric", "METRIC", 0}, {"shape", "SHAPE", 0},
                                        {"what", "WHAT", 0},   {"stored", "STORED", 0}, {"expected", "EXPECTED", 0},
                                        {NULL, NULL, 0}};

struct books { bool json; struct buf text; struct listing table; };

static void amount(struct books *b, const char *name, const struct ledger_difference *d, int64_t n)
{
    char text[MONEY_TEXT];

    buf_printf(&b->text, ", \"%s\": ", name);
    if (strcmp(d->metric, "cost") != 0) {
        buf_int(&b->text, n);
        return;
    }
    money_text(n, text);
    json_string(&b->text, span_of(text));
}

static void list_amount(struct books *b, const struct ledger_difference *d, int64_t n)
{
    char text[MONEY_TEXT];

    if (strcmp(d->metric, "cost") == 0) money_text(n, text);
    else snprintf(text, sizeof text, "%lld", (long long)n);
    listing_text(&b->table, span_of(text));
}

static void difference(const struct ledger_difference *d, void *arg)
{
    struct books *b = arg;

    if (!b->json) {
        listing_text(&b->table, span_of(d->scope));
        listing_text(&b->table, span_of(d->metric));
        listing_text(&b->table, span_of(d->shape));
        listing_text(&b->table, span_of(d->what));
        list_amount(b, d, d->stored);
        list_amount(b, d, d->expected);
        return;
    }
    buf_str(&b->text, b->text.len ? ",\n  {\"scope\": " : "\n  {\"scope\": ");
    json_string(&b->text, span_of(d->scope));
    buf_printf(&b->text, ", \"metric\": \"%s\", \"shape\": ", d->metric);
    json_string(&b->text, strcmp(d->shape, "none") == 0 ? SPAN_NONE : span_of(d->shape));
    buf_printf(&b->text, ", \"what\": \"%s\"", d->what);
    amount(b, "stored", d, d->stored);
    amount(b, "expected", d, d->expected);
    buf_char(&b->text, '}');
}

static int print_json(const struct books *b, const struct ledger_checked *c)
{
    printf("{\"limits_checked\": %lld, \"differences\": [", (long long)c->limits);
    if (b->text.len) fwrite(b->text.at, 1, b->text.len, stdout);
    printf("%s], \"open_tickets\": %lld}\n", b->text.len ? "\n " : "", (long long)c->open_tickets);
    return finish_output();
}

static int print_words(struct books *b, const struct ledger_checked *c)
{
    int code = EXIT_DONE;

    if (c->differences) code = listing_end(&b->table);
    printf("%lld limit%s checked, %lld ticket%s open: ", (long long)c->limits, c->limits == 1 ? "" : "s",
           (long long)c->open_tickets, c->open_tickets == 1 ? "" : "s");
    if (c->differences) printf("%lld difference%s\n", (long long)c->differences, c->differences == 1 ? "" : "s");
    else printf("no difference\n");
    return code == EXIT_DONE ? finish_output() : code;
}

int cmd_ledger_check(struct weir *w, int argc, char **argv)
{
    struct books b = {.json = false};
    const struct option_def options[] = {{"--json", OPTION_FLAG, &b.json}, {NULL, OPTION_FLAG, NULL}};
    struct ledger_checked checked;
    struct words words;
    struct db *db;
    enum weir_err err;
    int code;

    if (!options_read(&w->memory, argc, argv, options, 0, 0, &words)) return EXIT_USAGE;
    if (!weir_open(w, DB_READ, &db)) return EXIT_REFUSED;
    buf_init(&b.text, DIFFERENCES_MAX);
    listing_start(&b.table, columns, LISTING_TABLE);
    err = ledger_check(db, &checked, difference, &b);
    if (!err) err = b.text.err;
    if (err) code = weir_failed("the ledger could not be checked", err, db);
    else code = b.json ? print_json(&b, &checked) : print_words(&b, &checked);
    if (!err && code == EXIT_DONE && checked.differences) code = EXIT_REFUSED;
    buf_free(&b.text);
    buf_free(&b.table.cells);
    db_close(db);
    return code;
}
