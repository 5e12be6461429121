/* What the ledger costs: admission over 5 limits, settling and audit row, alone and in groups as the writer forms them.
 * Not part of the tests. Build and run:
 *   make build/libweir.a build/obj/gen/sql_admin.o && cc -O2 -std=c11 -D_GNU_SOURCE -I. -Ibuild/gen -o /tmp/ledger_bench \
 *   tests/bench/ledger_bench.c build/obj/gen/sql_admin.o build/libweir.a $(pkg-config --libs sqlite3 libsodium json-c libcurl)
 *   /tmp/ledger_bench [requests] [limits in the database] */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "sql/change.h"
#include "sql/ledger.h"
#include "sql/limits.h"

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void must(enum weir_err err, const char *what)
{
    if (err == WEIR_OK) return;
    fprintf(stderr, "%s: %d\n", what, err);
    exit(1);
}

static void put(struct db *db, const char *scope, const char *metric, const char *shape, const char *period, int64_t seconds)
{
    struct limit_rule r = {.scope = scope, .metric = metric, .shape = shape, .period = period, .seconds = seconds, .mode = "hard",
                           .amount = 1000000000000000, .refill_nano = 1000000000000, .warn_percent = 80};
    must(limit_put(db, &r), "limit_put");
}

static void limits(struct db *db, const char *dir, int more)
{
    struct change c;
    char scope[40];
    must(change_begin(&c, db, dir), "change_begin");
    put(db, "user/*", "requests", "window", "", 60);
    put(db, "team/data", "tokens", "bucket", "", 0);
    put(db, "user/alice", "cost", "calendar", "month", 0);
    put(db, "global", "tokens", "total", "", 0);
    put(db, "key/ci", "concurrency", "none", "", 0);
    for (int i = 0; i < more; i++) {
        snprintf(scope, sizeof scope, "user/u%d", i);
        put(db, scope, "tokens", "total", "", 0);
    }
    must(change_commit(&c), "change_commit");
}

static const struct price price = {true, 150000000, 75000000, 150000000, 600000000};
static const struct audit_row row = {.request_id = "req-0123456789", .user = "alice", .team = "data", .role = "dev",
    .rolegroup = "eng", .key = "ci", .ip = "192.0.2.1", .endpoint = "/v1/chat/completions", .alias = "gpt-4o-mini",
    .provider = "openai", .model = "gpt-4o-mini", .status = 200, .outcome = "ok", .attempts = 1, .cache = "miss",
    .prompt_tokens = 120, .completion_tokens = 80, .cost = 66000, .usage_source = "provider", .first_byte_ms = 20, .latency_ms = 120};

static int64_t admit(struct ledger *l, struct db *db, int64_t now)
{
    struct ledger_ask ask = {.who = {"alice", "data", "dev", "eng", "ci", "192.0.2.1", "gpt-4o-mini"}, .now_ms = now,
        .prompt_bound = 500, .output_bound = 4096, .choices = 1, .prompt_estimate = 125, .output_estimate = 100, .price = price, .price_estimate = price,
        .request_id = row.request_id, .endpoint = row.endpoint, .provider = "openai", .model = "gpt-4o-mini"};
    struct ledger_grant g;
    struct ledger_refusal r;
    must(db_savepoint(db), "savepoint");
    must(ledger_admit(l, db, &ask, &g, &r), "admit");
    if (!g.ticket) { fprintf(stderr, "refused by %s\n", r.scope); exit(1); }
    must(db_release(db), "release");
    return g.ticket;
}

static void settle(struct ledger *l, struct db *db, int64_t ticket, int64_t now)
{
    struct ledger_settled s;
    struct ledger_bill b = {.ticket = ticket, .now_ms = now, .row = &row};
    must(db_savepoint(db), "savepoint");
    must(ledger_settle(l, db, &b, &s), "settle");
    must(db_release(db), "release");
}

/* As the writer does: half of a group's operations admit, the other half settle what the group before admitted. */
static void run(struct db *db, struct ledger *l, int requests, int group, int64_t *now)
{
    int64_t open[256];
    int settled = 0, waiting = 0, pages, moved;
    double cpu = cpu_us(), wall = wall_us();
    while (settled < requests) {
        int64_t next[256];
        int n = group > 1 ? group / 2 : 1;
        if (group == 1 && waiting) n = 0;
        must(db_begin(db), "begin");
        for (int i = 0; i < waiting; i++, settled++) settle(l, db, open[i], *now);
        for (int i = 0; i < n; i++) next[i] = admit(l, db, *now);
        must(db_commit(db), "commit");
        for (int i = 0; i < n; i++) open[i] = next[i];
        waiting = n;
        if (++*now % 64 == 0) db_checkpoint(db, false, &pages, &moved);
    }
    must(db_begin(db), "begin");
    for (int i = 0; i < waiting; i++) settle(l, db, open[i], *now);
    must(db_commit(db), "commit");
    cpu = cpu_us() - cpu;
    wall = wall_us() - wall;
    printf("%4d operations a transaction: %6.1f us CPU, %6.1f us wall a request\n", group, cpu / requests, wall / requests);
}

int main(int argc, char **argv)
{
    int requests = argc > 1 ? atoi(argv[1]) : 20000, more = argc > 2 ? atoi(argv[2]) : 0;
    char dir[] = "/tmp/weir-bench-XXXXXX", path[80];
    struct db *db;
    struct ledger *l;
    int64_t now = 1790000000000;
    if (!mkdtemp(dir)) return 1;
    snprintf(path, sizeof path, "%s/weir.db", dir);
    must(db_migrate(path, NULL, NULL), "migrate");
    must(db_open(path, DB_WRITE, 5000, &sql_admin, &db), "open");
    must(ledger_open(dir, &l), "ledger_open");
    limits(db, dir, more);
    run(db, l, 1000, 16, &now);
    for (int group = 1; group <= 64; group *= 4) run(db, l, requests, group, &now);
    struct ledger_checked checked;
    must(ledger_check(db, &checked, NULL, NULL), "check");
    printf("%lld limits checked, %lld differences, %lld open tickets\n", (long long)checked.limits,
           (long long)checked.differences, (long long)checked.open_tickets);
    ledger_close(l);
    db_close(db);
    char cmd[120];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    return system(cmd) != 0;
}
