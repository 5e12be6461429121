/* The ledger case by case: what each limit grants and refuses, how requests end, what the books say. (All of it mixed:
 * test_ledger_property.c) */
#include "sql/db.c"
#include "sql/ledger_process.c"

#include <pthread.h>
#include <signal.h>
#include "tests/unit/sql_room.h"
#include "sql/limits.h"
#include "sql/writer.h"

#define NOW 1790000000000 /* 2026-09-21 14:13:20 UTC */
#define DAY 86400000LL

struct desk { struct room room; struct db *db; struct ledger *l; struct ledger_grant g; struct ledger_refusal r; struct ledger_settled s; };

static void desk_open(struct desk *d)
{
    room_open(&d->room);
    d->db = room_admin(&d->room);
    assert_int_equal(ledger_open(d->room.dir, &d->l), WEIR_OK);
}

static void desk_close(struct desk *d)
{
    ledger_close(d->l);
    db_close(d->db);
    room_close(&d->room);
}

static void limit(struct desk *d, struct limit_rule r)
{
    struct change c;
    if (!r.mode) r.mode = "hard";
    if (!r.warn_percent) r.warn_percent = 100;
    assert_int_equal(change_begin(&c, d->db, d->room.dir), WEIR_OK);
    assert_int_equal(limit_put(d->db, &r), WEIR_OK);
    assert_int_equal(change_commit(&c), WEIR_OK);
}

static const struct price price = {.known = true, .input = 1000000, .cached_input = 1000000, .cache_write = 1000000, .output = 2000000}; /* 1 and 2 nano-dollars a token */

static struct ledger_ask ask(const char *user, int64_t now, int64_t prompt, int64_t output)
{
    return (struct ledger_ask){.who = {.user = user}, .now_ms = now, .prompt_bound = prompt, .output_bound = output, .choices = 1,
                               .prompt_estimate = prompt / 2, .output_estimate = output / 2, .price = price, .price_estimate = price, .request_id = "r",
                               .endpoint = "/v1/chat/completions"};
}

static int64_t admit(struct desk *d, const struct ledger_ask *a) /* the ticket; 0: refused */
{
    assert_int_equal(db_begin(d->db), WEIR_OK);
    assert_int_equal(ledger_admit(d->l, d->db, a, &d->g, &d->r), WEIR_OK);
    assert_int_equal(db_commit(d->db), WEIR_OK);
    assert_int_equal(d->g.ticket == 0, d->r.kind != LEDGER_NOT_REFUSED);
    return d->g.ticket;
}

static int64_t admit_plain(struct desk *d, const char *user, int64_t now, int64_t prompt, int64_t output)
{
    struct ledger_ask a = ask(user, now, prompt, output);
    return admit(d, &a);
}

static struct audit_row row_of(int64_t prompt, int64_t output, int64_t cost)
{
    return (struct audit_row){.request_id = "r", .user = "alice", .endpoint = "/e", .status = 200, .outcome = "ok", .attempts = 1,
                              .cache = "miss", .prompt_tokens = prompt, .completion_tokens = output, .cost = cost,
                              .usage_source = "provider", .first_byte_ms = 5, .latency_ms = 70};
}

static void settle_at(struct desk *d, int64_t ticket, int64_t now, int64_t tokens, int64_t cost)
{
    struct audit_row row = row_of(tokens, 0, cost);
    struct ledger_bill b = {.ticket = ticket, .now_ms = now, .row = &row};
    assert_int_equal(db_begin(d->db), WEIR_OK);
    assert_int_equal(ledger_settle(d->l, d->db, &b, &d->s), WEIR_OK);
    assert_int_equal(db_commit(d->db), WEIR_OK);
}

static void give_back(struct desk *d, int64_t ticket, int64_t now)
{
    struct audit_row row = row_of(0, 0, 0);
    struct ledger_bill b = {.ticket = ticket, .now_ms = now, .row = &row, .give_back = true};
    assert_int_equal(db_begin(d->db), WEIR_OK);
    assert_int_equal(ledger_settle(d->l, d->db, &b, &d->s), WEIR_OK);
    assert_int_equal(db_commit(d->db), WEIR_OK);
}

static int64_t differences(struct desk *d)
{
    struct ledger_checked c;
    assert_int_equal(ledger_check(d->db, &c, NULL, NULL), WEIR_OK);
    return c.differences;
}

static void raw(struct desk *d, const char *sql) { assert_int_equal(sqlite3_exec(d->db->at, sql, NULL, NULL, NULL), SQLITE_OK); }
static int64_t number(struct desk *d, const char *sql) { return room_number(&d->room, sql); }

/* ---- at once ---- */

static void what_is_over_at_once_counts_and_leaves_its_row_and_no_ticket(void **state)
{
    static const char *const shapes[] = {"total", "window", "calendar", "bucket"};
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct desk d;
        struct ledger_ask a = ask("alice", 1000, 0, 0);
        struct audit_row row = row_of(0, 0, 0);
        a.only_request = true;
        desk_open(&d);
        limit(&d, (struct limit_rule){.scope = "user/*", .metric = "requests", .shape = shapes[i], .amount = 3, .seconds = 100,
                                      .period = i == 2 ? "day" : NULL, .refill_nano = 0});
        limit(&d, (struct limit_rule){.scope = "global", .metric = "concurrency", .shape = "none", .amount = 1});
        int64_t ticket = admit(&d, &a); /* settled in two steps, then two at once, in one transaction */
        settle_at(&d, ticket, 1000, 0, 0);
        assert_int_equal(db_begin(d.db), WEIR_OK);
        for (int k = 0; k < 2; k++) {
            assert_int_equal(ledger_at_once(d.l, d.db, &a, &row, &d.g, &d.r), WEIR_OK);
            assert_int_equal(d.g.ticket, ++ticket);
        }
        assert_int_equal(ledger_at_once(d.l, d.db, &a, &row, &d.g, &d.r), WEIR_OK);
        assert_int_equal(d.g.ticket, 0);
        assert_int_equal(d.r.kind, LEDGER_OVER_LIMIT);
        assert_int_equal(db_commit(d.db), WEIR_OK);
        assert_int_equal(number(&d, "SELECT count(*) FROM ticket"), 0);
        assert_int_equal(number(&d, "SELECT count(*) FROM audit"), 3);
        assert_int_equal(number(&d, "SELECT count(DISTINCT ticket) FROM audit WHERE counters IS NOT NULL AND time = 1000"), 3);
        assert_int_equal(number(&d, "SELECT sum(held) FROM counter"), 0);
        assert_int_equal(differences(&d), 0);
        desk_close(&d);
    }
}

/* ---- releasing ---- */

static void what_is_released_was_never_there(void **state)
{
    static const char *const shapes[] = {"total", "window", "calendar", "bucket"};
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct desk d;
        struct ledger_ask a = ask("alice", 1000, 0, 0);
        a.only_request = true;
        desk_open(&d);
        limit(&d, (struct limit_rule){.scope = "user/alice", .metric = "requests", .shape = shapes[i], .amount = 1,
                                      .seconds = i == 1 ? 60 : 0, .period = i == 2 ? "day" : ""});
        limit(&d, (struct limit_rule){.scope = "user/*", .metric = "concurrency", .shape = "none", .amount = 1});
        for (int times = 0; times < 3; times++) {
            int64_t ticket = admit(&d, &a);
            assert_true(ticket);
            assert_false(admit(&d, &a)); /* it is in flight, and counted */
            for (int again = 0; again < 2; again++) {
                assert_int_equal(db_begin(d.db), WEIR_OK);
                assert_int_equal(ledger_release(d.l, d.db, ticket, 1000), WEIR_OK);
                assert_int_equal(db_commit(d.db), WEIR_OK);
            }
            assert_int_equal(number(&d, "SELECT count(*) FROM ticket") + number(&d, "SELECT count(*) FROM audit"), 0);
            assert_int_equal(differences(&d), 0);
        }
        desk_close(&d);
    }
}

/* ---- granting and refusing ---- */

static void the_last_unit_is_usable_and_not_one_more(void **state)
{
    static const char *const shapes[] = {"total", "window", "calendar", "bucket"};
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct desk d;
        desk_open(&d);
        limit(&d, (struct limit_rule){.scope = "global", .metric = "tokens", .shape = shapes[i], .amount = 100,
                                      .seconds = i == 1 ? 60 : 0, .period = i == 2 ? "day" : ""});
        assert_true(admit_plain(&d, "alice", NOW, 60, 0));
        assert_true(admit_plain(&d, "alice", NOW, 40, 0));
        assert_false(admit_plain(&d, "alice", NOW, 1, 0));
        assert_int_equal(d.r.limit, 100);
        assert_int_equal(d.r.held, 100);
        assert_int_equal(d.r.asked, 1);
        assert_true(admit_plain(&d, "alice", NOW, 0, 0));
        settle_at(&d, 1, NOW, 60, 60);
        assert_false(admit_plain(&d, "alice", NOW, 1, 0));
        assert_int_equal(d.r.used, 60);
        settle_at(&d, 2, NOW, 39, 39);
        assert_true(admit_plain(&d, "alice", NOW, 1, 0));
        assert_int_equal(differences(&d), 0);
        desk_close(&d);
    }
}

static void output_is_clamped_to_what_is_left_and_refused_below_the_floor(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "user/alice", .metric = "tokens", .shape = "total", .amount = 100});
    struct ledger_ask a = ask("alice", NOW, 30, 200);
    a.choices = 3;
    a.output_floor = 60;
    assert_true(admit(&d, &a));
    assert_true(d.g.clamped);
    assert_true(d.g.hard_tokens);
    assert_int_equal(d.g.output, 69); /* 70 are left, 23 for each of three */
    settle_at(&d, d.g.ticket, NOW, 40, 40);
    assert_false(admit(&d, &a));
    assert_int_equal(d.r.asked, 90);
    a.output_floor = 30;
    assert_true(admit(&d, &a));
    assert_int_equal(d.g.output, 30);
    settle_at(&d, d.g.ticket, NOW, 0, 0);
    limit(&d, (struct limit_rule){.scope = "user/alice", .metric = "cost", .shape = "total", .amount = 71});
    a.output_floor = 0;
    assert_true(admit(&d, &a)); /* 71 nano-dollars: 30 for the prompt, 20 tokens for the rest, 18 for three */
    assert_int_equal(d.g.output, 18);
    desk_close(&d);
}

static void a_refusal_names_the_limit_its_member_and_when(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "user/*", .metric = "requests", .shape = "window", .seconds = 60, .amount = 2});
    assert_true(admit_plain(&d, "alice", NOW, 1, 1));
    assert_true(d.g.requests.known);
    assert_int_equal(d.g.requests.remaining, 1);
    assert_false(d.g.tokens.known);
    settle_at(&d, 1, NOW, 1, 1);
    assert_true(admit_plain(&d, "alice", NOW + 1000, 1, 1));
    settle_at(&d, 2, NOW + 2000, 1, 1);
    assert_false(admit_plain(&d, "alice", NOW + 3000, 1, 1));
    assert_string_equal(d.r.scope, "user/alice");
    assert_string_equal(d.r.via, "user/*");
    assert_int_equal(d.r.metric, METRIC_REQUESTS);
    assert_int_equal(d.r.seconds, 60);
    assert_int_equal(d.r.used, 2);
    assert_true(d.r.soon);
    assert_false(d.r.by_settling);
    assert_true(d.r.retry_after_ms >= 57000 && d.r.retry_after_ms <= 57235);
    assert_int_equal(d.g.requests.remaining, 0);
    assert_true(admit_plain(&d, "bob", NOW + 3000, 1, 1));
    assert_false(admit_plain(&d, "alice", NOW + 3000 + 56000, 1, 1));
    assert_true(admit_plain(&d, "alice", NOW + 3000 + 57235, 1, 1));
    desk_close(&d);
}

static void what_no_time_helps_is_said_to_be_over(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "global", .metric = "tokens", .shape = "total", .amount = 100});
    assert_true(admit_plain(&d, "alice", NOW, 100, 0));
    assert_false(admit_plain(&d, "alice", NOW, 50, 0)); /* what is held may come back */
    assert_true(d.r.by_settling && d.r.soon && d.r.retry_after_ms == 1000);
    assert_false(admit_plain(&d, "alice", NOW, 101, 0)); /* never fits */
    assert_true(!d.r.by_settling && !d.r.soon && d.r.retry_after_ms == -1);
    settle_at(&d, 1, NOW, 100, 100);
    assert_false(admit_plain(&d, "alice", NOW, 50, 0));
    assert_int_equal(d.r.retry_after_ms, -1);
    desk_close(&d);
}

static void a_month_at_an_offset_ends_there_and_not_here(void **state)
{
    struct desk d;
    struct calendar_period p = calendar_period(CALENDAR_MONTH, 120, NOW);
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "global", .metric = "requests", .shape = "calendar", .period = "month", .amount = 1,
                                  .utc_offset_min = 120});
    assert_true(admit_plain(&d, "alice", NOW, 1, 1));
    settle_at(&d, 1, NOW, 1, 1);
    assert_false(admit_plain(&d, "alice", p.end - 1, 1, 1));
    assert_int_equal(d.r.retry_after_ms, 1);
    assert_true(admit_plain(&d, "alice", p.end, 1, 1));
    assert_false(admit_plain(&d, "alice", p.end + 3600000, 1, 1));
    assert_int_equal(differences(&d), 0);
    desk_close(&d);
}

static void a_day_and_a_month_stand_side_by_side(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "user/*", .metric = "requests", .shape = "calendar", .period = "day", .amount = 2});
    limit(&d, (struct limit_rule){.scope = "user/*", .metric = "requests", .shape = "calendar", .period = "month", .amount = 3});
    for (int i = 0; i < 2; i++) assert_true(admit_plain(&d, "alice", NOW, 1, 1));
    assert_false(admit_plain(&d, "alice", NOW, 1, 1));
    assert_int_equal(d.r.unit, CALENDAR_DAY);
    assert_true(admit_plain(&d, "alice", NOW + DAY, 1, 1));
    assert_false(admit_plain(&d, "alice", NOW + DAY, 1, 1));
    assert_int_equal(d.r.unit, CALENDAR_MONTH);
    desk_close(&d);
}

/* The instant of admission decides, and a hold counts whatever its age. */
static void a_stream_that_ends_after_midnight_is_yesterday_s(void **state)
{
    struct desk d;
    int64_t midnight = calendar_period(CALENDAR_DAY, 0, NOW).end;
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "global", .metric = "tokens", .shape = "calendar", .period = "day", .amount = 100});
    int64_t ticket = admit_plain(&d, "alice", midnight - 1, 80, 0);
    assert_false(admit_plain(&d, "alice", midnight + 5, 30, 0)); /* still held */
    assert_true(d.r.by_settling);
    assert_true(admit_plain(&d, "alice", midnight + 10, 20, 0));
    settle_at(&d, ticket, midnight + 1000, 80, 80);
    assert_int_equal(number(&d, "SELECT time FROM audit"), midnight - 1);
    assert_int_equal(number(&d, "SELECT used FROM counter"), 0);
    assert_true(admit_plain(&d, "alice", midnight + 2000, 80, 0));
    assert_int_equal(differences(&d), 0);
    desk_close(&d);
}

static void an_address_of_ipv6_counts_by_its_64(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "ip/*", .metric = "requests", .shape = "total", .amount = 1});
    struct ledger_ask a = ask(NULL, NOW, 1, 1);
    a.who.ip = "2001:db8:0:0:1::1";
    assert_true(admit(&d, &a));
    a.who.ip = "2001:DB8::ffff";
    assert_false(admit(&d, &a));
    assert_string_equal(d.r.scope, "ip/2001:db8::/64");
    a.who.ip = "2001:db8:0:1::1";
    assert_true(admit(&d, &a));
    a.who.ip = "192.0.2.1";
    assert_true(admit(&d, &a));
    a.who.ip = "::ffff:192.0.2.1";
    assert_false(admit(&d, &a));
    a.who.ip = "192.0.2.2";
    assert_true(admit(&d, &a));
    limit(&d, (struct limit_rule){.scope = "ip/198.51.100.0/24", .metric = "requests", .shape = "total", .amount = 2});
    a.who.ip = "198.51.100.1";
    assert_true(admit(&d, &a));
    a.who.ip = "198.51.100.2";
    assert_true(admit(&d, &a));
    a.who.ip = "198.51.100.3";
    assert_false(admit(&d, &a));
    assert_string_equal(d.r.scope, "ip/198.51.100.0/24");
    desk_close(&d);
}

static void a_limit_of_its_own_stands_for_the_star_s(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "user/*", .metric = "requests", .shape = "total", .amount = 1});
    limit(&d, (struct limit_rule){.scope = "user/alice", .metric = "requests", .shape = "total", .amount = 3});
    limit(&d, (struct limit_rule){.scope = "user/*", .metric = "tokens", .shape = "total", .amount = 5});
    for (int i = 0; i < 3; i++) assert_true(admit_plain(&d, "alice", NOW, 1, 0));
    assert_false(admit_plain(&d, "alice", NOW, 1, 0));
    assert_string_equal(d.r.via, "user/alice");
    assert_true(admit_plain(&d, "bob", NOW, 1, 0));
    assert_false(admit_plain(&d, "bob", NOW, 1, 0));
    assert_string_equal(d.r.via, "user/*");
    assert_false(admit_plain(&d, "carol", NOW, 6, 0)); /* another metric's star still holds for all */
    desk_close(&d);
}

static void soft_limits_hold_estimates_and_observing_ones_refuse_nothing(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "global", .metric = "tokens", .shape = "total", .amount = 100, .mode = "soft"});
    limit(&d, (struct limit_rule){.scope = "user/*", .metric = "tokens", .shape = "total", .amount = 1, .mode = "observe"});
    assert_true(admit_plain(&d, "alice", NOW, 100, 100));
    assert_int_equal(d.g.output, 100);
    assert_false(d.g.hard_tokens);
    assert_int_equal(number(&d, "SELECT max(held) FROM counter"), 100);
    assert_false(admit_plain(&d, "alice", NOW, 2, 0));
    settle_at(&d, 1, NOW, 150, 0);
    assert_false(d.s.over_bound);
    assert_int_equal(number(&d, "SELECT max(used) FROM counter"), 150);
    assert_false(admit_plain(&d, "alice", NOW, 2, 0));
    assert_string_equal(d.r.scope, "global");
    assert_int_equal(differences(&d), 0);
    desk_close(&d);
}

static void a_model_without_a_price_is_refused_under_a_cost_limit(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d);
    struct ledger_ask a = ask("alice", NOW, 1, 1);
    a.price.known = false;
    limit(&d, (struct limit_rule){.scope = "user/*", .metric = "cost", .shape = "total", .amount = 100, .mode = "observe"});
    assert_true(admit(&d, &a));
    limit(&d, (struct limit_rule){.scope = "user/bob", .metric = "cost", .shape = "total", .amount = 100});
    assert_true(admit(&d, &a));
    a.who.user = "bob";
    assert_false(admit(&d, &a));
    assert_int_equal(d.r.kind, LEDGER_UNPRICED);
    assert_string_equal(d.r.scope, "user/bob");
    a.only_request = true;
    assert_true(admit(&d, &a));
    settle_at(&d, 1, NOW, 2, -1);
    assert_int_equal(number(&d, "SELECT count(*) FROM audit WHERE cost IS NULL"), 1);
    assert_int_equal(number(&d, "SELECT unpriced FROM rollup"), 1);
    assert_int_equal(differences(&d), 0);
    desk_close(&d);
}

static void huge_amounts_are_refused_and_not_wrapped(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "global", .metric = "tokens", .shape = "total", .amount = INT64_MAX - 1});
    limit(&d, (struct limit_rule){.scope = "global", .metric = "cost", .shape = "bucket", .amount = INT64_MAX - 1, .refill_nano = INT64_MAX});
    limit(&d, (struct limit_rule){.scope = "user/*", .metric = "tokens", .shape = "window", .seconds = 60, .amount = 5, .mode = "observe"});
    struct ledger_ask a = ask("alice", NOW, INT64_MAX, INT64_MAX);
    assert_false(admit(&d, &a));
    a.output_bound = 0;
    assert_false(admit(&d, &a));
    a.prompt_bound = INT64_MAX - 1;
    a.price = a.price_estimate = (struct price){.known = true};
    assert_true(admit(&d, &a));
    a.prompt_bound = 1;
    assert_false(admit(&d, &a));
    settle_at(&d, 1, NOW, INT64_MAX - 1, INT64_MAX);
    assert_int_equal(number(&d, "SELECT max(used) FROM counter"), INT64_MAX);
    assert_false(admit(&d, &a));
    struct ledger_ask bad = ask("alice", NOW, -1, 0);
    assert_int_equal(ledger_admit(d.l, d.db, &bad, &d.g, &d.r), WEIR_INVALID);
    desk_close(&d);
}

/* ---- ending ---- */

static void settling_twice_changes_nothing(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "global", .metric = "tokens", .shape = "total", .amount = 100});
    int64_t ticket = admit_plain(&d, "alice", NOW, 50, 0);
    settle_at(&d, ticket, NOW + 9, 20, 20);
    assert_true(d.s.first);
    settle_at(&d, ticket, NOW + 10, 30, 30);
    assert_false(d.s.first);
    give_back(&d, ticket, NOW + 11);
    assert_false(d.s.first);
    settle_at(&d, 12345, NOW, 30, 30);
    assert_false(d.s.first);
    assert_int_equal(number(&d, "SELECT used FROM counter"), 20);
    assert_int_equal(number(&d, "SELECT count(*) FROM audit"), 1);
    assert_int_equal(number(&d, "SELECT requests FROM rollup"), 1);
    desk_close(&d);
}

static void a_request_is_given_back_only_if_nothing_was_sent(void **state)
{
    static const char *const shapes[] = {"total", "window", "calendar", "bucket"};
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct desk d;
        desk_open(&d);
        limit(&d, (struct limit_rule){.scope = "global", .metric = "requests", .shape = shapes[i], .amount = 1,
                                      .seconds = i == 1 ? 60 : 0, .period = i == 2 ? "hour" : "", .refill_nano = 1});
        give_back(&d, admit_plain(&d, "alice", NOW, 1, 1), NOW + 900);
        settle_at(&d, admit_plain(&d, "alice", NOW + 1000, 1, 1), NOW + 1500, 0, 0);
        assert_true(d.s.first);
        assert_false(admit_plain(&d, "alice", NOW + 2000, 1, 1));
        assert_int_equal(differences(&d), 0);
        desk_close(&d);
    }
}

static void more_than_was_held_is_charged_and_marked(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "global", .metric = "tokens", .shape = "total", .amount = 100});
    settle_at(&d, admit_plain(&d, "alice", NOW, 100, 0), NOW, 130, 0);
    assert_true(d.s.over_bound);
    assert_int_equal(number(&d, "SELECT over_bound FROM audit WHERE error = 'over_bound'"), 1);
    assert_false(admit_plain(&d, "alice", NOW, 0, 0)); /* nothing, until it is below again */
    limit(&d, (struct limit_rule){.scope = "global", .metric = "tokens", .shape = "total", .amount = 131});
    assert_true(admit_plain(&d, "alice", NOW, 1, 0));
    assert_int_equal(differences(&d), 0);
    desk_close(&d);
}

static void concurrency_is_what_is_in_flight(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "user/*", .metric = "concurrency", .shape = "none", .amount = 2});
    int64_t a = admit_plain(&d, "alice", NOW, 1, 1), b = admit_plain(&d, "alice", NOW, 1, 1);
    assert_false(admit_plain(&d, "alice", NOW, 1, 1));
    assert_true(d.r.by_settling && d.r.soon);
    settle_at(&d, a, NOW, 1, 1);
    assert_true(admit_plain(&d, "alice", NOW, 1, 1));
    settle_at(&d, b, NOW, 1, 1);
    settle_at(&d, d.g.ticket, NOW, 1, 1);
    assert_int_equal(number(&d, "SELECT held + used FROM counter"), 0);
    desk_close(&d);
}

/* ---- attempts ---- */

static enum ledger_may attempt(struct desk *d, int64_t ticket, int n, const char *provider, int64_t prompt, int64_t output)
{
    struct ledger_try t = {.ticket = ticket, .now_ms = NOW, .number = n, .provider = provider, .prompt_bound = prompt,
                           .output_bound = output, .prompt_estimate = prompt, .output_estimate = output, .price = price,
                           .price_estimate = price};
    enum ledger_may may;
    assert_int_equal(db_begin(d->db), WEIR_OK);
    assert_int_equal(ledger_attempt(d->l, d->db, &t, &may, &d->r), WEIR_OK);
    assert_int_equal(db_commit(d->db), WEIR_OK);
    return may;
}

static void end(struct desk *d, int64_t ticket, int n, bool sent, int64_t tokens)
{
    struct ledger_use use = {n, "p", sent, tokens, tokens};
    assert_int_equal(db_begin(d->db), WEIR_OK);
    assert_int_equal(ledger_attempt_end(d->l, d->db, ticket, NOW, &use), WEIR_OK);
    assert_int_equal(db_commit(d->db), WEIR_OK);
}

static void failover_raises_the_hold_or_stops(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "global", .metric = "tokens", .shape = "total", .amount = 100});
    int64_t ticket = admit_plain(&d, "alice", NOW, 20, 30);
    assert_int_equal(attempt(&d, ticket, 1, "p0", 20, 30), LEDGER_GO);
    end(&d, ticket, 1, true, 25);
    assert_int_equal(attempt(&d, ticket, 2, "p1", 20, 30), LEDGER_GO);
    assert_int_equal(number(&d, "SELECT held FROM counter"), 75); /* 25 used and 50 that may be */
    assert_int_equal(attempt(&d, ticket, 3, "p1", 20, 30), LEDGER_STOP); /* a hedge: 125 */
    assert_string_equal(d.r.scope, "global");
    assert_int_equal(number(&d, "SELECT held FROM counter"), 75);
    assert_int_equal(differences(&d), 0);
    settle_at(&d, ticket, NOW, 60, 60);
    assert_false(d.s.over_bound);
    assert_int_equal(number(&d, "SELECT used FROM counter"), 60);
    assert_int_equal(differences(&d), 0);
    desk_close(&d);
}

static void a_provider_s_limit_skips_it_and_counts_each_attempt(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "provider/*", .metric = "concurrency", .shape = "none", .amount = 1});
    limit(&d, (struct limit_rule){.scope = "provider/p1", .metric = "tokens", .shape = "total", .amount = 60});
    limit(&d, (struct limit_rule){.scope = "provider/p0", .metric = "requests", .shape = "window", .seconds = 60, .amount = 1});
    int64_t a = admit_plain(&d, "alice", NOW, 20, 30), b = admit_plain(&d, "bob", NOW, 20, 30);
    assert_int_equal(attempt(&d, a, 1, "p0", 20, 30), LEDGER_GO);
    assert_int_equal(attempt(&d, b, 1, "p0", 20, 30), LEDGER_SKIP_TARGET);
    end(&d, a, 1, false, 0); /* nothing went out: its request is given back */
    assert_int_equal(attempt(&d, b, 1, "p0", 20, 30), LEDGER_GO);
    assert_int_equal(attempt(&d, a, 2, "p1", 20, 30), LEDGER_GO);
    settle_at(&d, a, NOW, 33, 33);
    assert_int_equal(number(&d, "SELECT used FROM counter WHERE member = 'provider/p1' AND used > 0"), 33);
    settle_at(&d, b, NOW, 10, 10);
    assert_int_equal(number(&d, "SELECT sum(held) FROM counter"), 0);
    int64_t c = admit_plain(&d, "bob", NOW, 20, 30);
    assert_int_equal(attempt(&d, c, 1, "p1", 20, 30), LEDGER_SKIP_TARGET);
    assert_int_equal(attempt(&d, c, 1, "p0", 20, 30), LEDGER_SKIP_TARGET);
    assert_int_equal(differences(&d), 0);
    desk_close(&d);
}

/* Two attempts at one provider, an hour apart, end together: each is given back where it was charged. */
static void attempts_of_different_times_end_in_their_own_slots(void **state)
{
    struct desk d;
    struct audit_row row = row_of(0, 0, 0);
    struct ledger_try t = {.now_ms = NOW, .number = 1, .provider = "p", .price = price, .price_estimate = price};
    enum ledger_may may;
    (void)state;
    for (int back = 0; back < 2; back++) {
        desk_open(&d);
        limit(&d, (struct limit_rule){.scope = "provider/*", .metric = "requests", .shape = "window", .seconds = 86400, .amount = 9});
        limit(&d, (struct limit_rule){.scope = "provider/*", .metric = "tokens", .shape = "window", .seconds = 86400, .amount = 99});
        t.ticket = admit_plain(&d, "alice", NOW, 1, 1);
        for (t.number = 1; t.number <= 2; t.number++) {
            t.now_ms = NOW + t.number * 3600000;
            assert_int_equal(db_begin(d.db), WEIR_OK);
            assert_int_equal(ledger_attempt(d.l, d.db, &t, &may, &d.r), WEIR_OK);
            assert_int_equal(db_commit(d.db), WEIR_OK);
        }
        const struct ledger_use uses[] = {{1, "p", !back, 5, 0}, {2, "p", !back, 7, 0}};
        struct ledger_bill b = {.ticket = t.ticket, .now_ms = t.now_ms, .row = &row, .uses = uses, .use_count = 2};
        row.prompt_tokens = 12;
        assert_int_equal(db_begin(d.db), WEIR_OK);
        assert_int_equal(ledger_settle(d.l, d.db, &b, &d.s), WEIR_OK);
        assert_int_equal(db_commit(d.db), WEIR_OK);
        assert_int_equal(differences(&d), 0);
        assert_int_equal(number(&d, "SELECT sum(used) FROM counter"), 12 + (back ? 0 : 2));
        assert_int_equal(number(&d, "SELECT min(amount) FROM slot WHERE amount > 1"), 5);
        desk_close(&d);
    }
}

/* ---- crash ---- */

static int sweep(struct desk *d, enum ledger_orphans policy)
{
    int swept;
    assert_int_equal(db_begin(d->db), WEIR_OK);
    assert_int_equal(ledger_sweep(d->l, d->db, policy, NOW + 5000, 100, &swept), WEIR_OK);
    assert_int_equal(db_commit(d->db), WEIR_OK);
    return swept;
}

static void tickets_of_the_dead_are_charged_or_released_and_those_of_the_living_stay(void **state)
{
    (void)state;
    for (int policy = LEDGER_CHARGE; policy <= LEDGER_RELEASE; policy++) {
        struct desk d;
        int pipe_to[2];
        char byte;
        desk_open(&d);
        limit(&d, (struct limit_rule){.scope = "global", .metric = "tokens", .shape = "total", .amount = 100});
        limit(&d, (struct limit_rule){.scope = "global", .metric = "requests", .shape = "total", .amount = 100});
        limit(&d, (struct limit_rule){.scope = "global", .metric = "concurrency", .shape = "none", .amount = 100});
        assert_true(admit_plain(&d, "alice", NOW, 1, 1));
        assert_int_equal(pipe(pipe_to), 0);
        pid_t child = fork();
        if (child == 0) {
            struct desk own = {.room = d.room};
            own.db = room_admin(&own.room);
            if (ledger_open(own.room.dir, &own.l) != WEIR_OK) _exit(1);
            struct ledger_ask a = ask("alice", NOW, 10, 20);
            a.who.model = "m";
            if (!admit(&own, &a) || write(pipe_to[1], "x", 1) != 1) _exit(1);
            for (;;) pause();
        }
        assert_int_equal(read(pipe_to[0], &byte, 1), 1);
        assert_int_equal(sweep(&d, (enum ledger_orphans)policy), 0);
        kill(child, SIGKILL);
        assert_int_equal(room_wait(child), 128 + SIGKILL);
        assert_int_equal(sweep(&d, (enum ledger_orphans)policy), 1);
        assert_int_equal(number(&d, "SELECT count(*) FROM ticket"), 1);
        assert_int_equal(number(&d, "SELECT count(*) FROM process"), 1);
        assert_int_equal(number(&d, "SELECT prompt_tokens * 1000 + completion_tokens FROM audit WHERE outcome = 'orphaned' "
                                    "AND alias = 'm' AND user = 'alice' AND latency_ms = 5000"), policy == LEDGER_CHARGE ? 10020 : 0);
        assert_int_equal(number(&d, "SELECT used FROM counter JOIN limit_rule r ON r.id = rule WHERE metric = 'requests'"), 2);
        assert_int_equal(number(&d, "SELECT used FROM counter JOIN limit_rule r ON r.id = rule WHERE metric = 'tokens'"), policy == LEDGER_CHARGE ? 30 : 0);
        assert_int_equal(number(&d, "SELECT held FROM counter JOIN limit_rule r ON r.id = rule WHERE metric = 'concurrency'"), 1);
        assert_int_equal(sweep(&d, (enum ledger_orphans)policy), 0);
        settle_at(&d, 2, NOW, 50, 50); /* whoever thought itself alive comes too late */
        assert_false(d.s.first);
        assert_int_equal(differences(&d), 0);
        close(pipe_to[0]);
        close(pipe_to[1]);
        desk_close(&d);
    }
}

/* What is in memory is not believed after an operation that failed half way. */
static void a_failed_operation_leaves_nothing_in_memory_either(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "user/*", .metric = "tokens", .shape = "total", .amount = 100});
    int64_t first = admit_plain(&d, "alice", NOW, 40, 0);
    for (int i = 0; i < 3; i++) {
        static const char *const where[] = {"ticket", "ledger_state", "counter"};
        char sql[200];
        snprintf(sql, sizeof sql, "CREATE TRIGGER broken BEFORE %s ON %s BEGIN SELECT RAISE(ABORT, 'no'); END",
                 i == 0 ? "INSERT" : "UPDATE", where[i]);
        raw(&d, sql);
        struct ledger_ask a = ask("alice", NOW, 60, 0);
        assert_int_equal(db_begin(d.db), WEIR_OK);
        assert_int_equal(db_savepoint(d.db), WEIR_OK);
        enum weir_err err = ledger_admit(d.l, d.db, &a, &d.g, &d.r);
        assert_int_equal(d.g.ticket == 0, err != WEIR_OK);
        assert_int_equal(err != WEIR_OK, i == 0); /* the others' rows are written before the commit */
        if (i > 0) assert_int_not_equal(db_write_deferred(d.db), WEIR_OK);
        assert_int_equal(db_undo(d.db), WEIR_OK);
        raw(&d, "DROP TRIGGER broken");
        assert_int_equal(db_savepoint(d.db), WEIR_OK);
        assert_int_equal(ledger_admit(d.l, d.db, &a, &d.g, &d.r), WEIR_OK);
        assert_true(d.g.ticket);
        assert_int_equal(db_undo(d.db), WEIR_OK);
        assert_int_equal(db_commit(d.db), WEIR_OK);
    }
    settle_at(&d, first, NOW, 40, 0);
    assert_true(admit_plain(&d, "alice", NOW, 60, 0));
    assert_int_equal(differences(&d), 0);
    desk_close(&d);
}

/* Operations of one transaction share one writing of their counters; whatever becomes of it, memory is what the rows are. */
static void a_transaction_of_many_is_undone_as_a_whole(void **state)
{
    struct desk d;
    int64_t open[3];
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "user/*", .metric = "requests", .shape = "window", .seconds = 60, .amount = 7});
    limit(&d, (struct limit_rule){.scope = "global", .metric = "tokens", .shape = "total", .amount = 70});
    for (int i = 0; i < 3; i++) {
        struct ledger_ask a = ask("alice", NOW, 10, 0);
        assert_int_equal(db_begin(d.db), WEIR_OK);
        for (int n = 0; n < 3; n++) {
            if (n == 2) assert_int_equal(db_savepoint(d.db), WEIR_OK);
            assert_int_equal(ledger_admit(d.l, d.db, &a, &d.g, &d.r), WEIR_OK);
            open[n] = d.g.ticket;
            assert_true(open[n]);
        }
        if (i == 0) db_rollback(d.db);
        if (i == 1) assert_int_equal(db_undo(d.db), WEIR_OK);
        if (i > 0) assert_int_equal(db_commit(d.db), WEIR_OK);
        assert_int_equal(number(&d, "SELECT count(*) FROM ticket"), i == 0 ? 0 : i == 1 ? 2 : 5);
        assert_int_equal(number(&d, "SELECT sum(held) FROM counter"), i == 0 ? 0 : i == 1 ? 20 : 50);
        assert_int_equal(number(&d, "SELECT sum(amount) FROM slot"), i == 0 ? 0 : i == 1 ? 2 : 5);
        assert_int_equal(differences(&d), 0);
    }
    struct ledger_ask a = ask("alice", NOW, 10, 0);
    assert_int_equal(db_begin(d.db), WEIR_OK);
    for (int n = 0; n < 2; n++) {
        assert_int_equal(ledger_admit(d.l, d.db, &a, &d.g, &d.r), WEIR_OK);
        assert_true(d.g.ticket);
    }
    assert_int_equal(ledger_admit(d.l, d.db, &a, &d.g, &d.r), WEIR_OK);
    assert_int_equal(d.g.ticket, 0); /* the eighth, with the first seven still unwritten in part */
    assert_int_equal(d.r.used, 7);
    assert_int_equal(db_commit(d.db), WEIR_OK);
    assert_int_equal(differences(&d), 0);
    desk_close(&d);
}

static int stop_after(void *left) { return --*(int *)left <= 0; }

/* Stops an operation after ever more steps of the database's machine. Whatever it was at, it is undone, memory and all,
 * and goes through when asked again. */
static void an_operation_may_be_cut_off_anywhere(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "user/*", .metric = "tokens", .shape = "window", .seconds = 60, .amount = 1000});
    limit(&d, (struct limit_rule){.scope = "global", .metric = "tokens", .shape = "total", .amount = 1000});
    limit(&d, (struct limit_rule){.scope = "provider/*", .metric = "requests", .shape = "bucket", .amount = 100000});
    limit(&d, (struct limit_rule){.scope = "global", .metric = "concurrency", .shape = "none", .amount = 2});
    struct ledger_ask a = ask("alice", NOW, 1000, 0);
    struct audit_row row = row_of(0, 0, 0);
    for (int step = 0, cuts = 0; step < 3; step++) {
        for (int most = 1; ; most += 2, cuts++) {
            struct ledger_bill bill = {.ticket = 1, .now_ms = NOW, .row = &row};
            struct ledger_try t = {.ticket = 1, .now_ms = NOW, .number = 1, .provider = "p", .prompt_bound = 1000, .price = price,
                                   .price_estimate = price};
            enum ledger_may may;
            int left = most;
            assert_int_equal(db_begin(d.db), WEIR_OK);
            sqlite3_progress_handler(d.db->at, 1, stop_after, &left);
            enum weir_err err = step == 0 ? ledger_admit(d.l, d.db, &a, &d.g, &d.r)
                              : step == 1 ? ledger_attempt(d.l, d.db, &t, &may, &d.r)
                                          : ledger_settle(d.l, d.db, &bill, &d.s);
            if (err == WEIR_OK) err = db_write_deferred(d.db);
            sqlite3_progress_handler(d.db->at, 0, NULL, NULL);
            if (err == WEIR_OK) { assert_int_equal(db_commit(d.db), WEIR_OK); break; }
            db_rollback(d.db);
        }
        assert_true(cuts > 50 * (step + 1));
        assert_int_equal(differences(&d), 0);
    }
    assert_true(d.s.first);
    assert_int_equal(number(&d, "SELECT count(*) FROM audit"), 1);
    assert_int_equal(number(&d, "SELECT sum(held) FROM counter"), 0);
    assert_int_equal(number(&d, "SELECT requests FROM rollup"), 1);
    desk_close(&d);
}

/* ---- warnings, rollup, lists ---- */

static void a_crossed_threshold_is_told_once_and_written_down(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "user/*", .metric = "tokens", .shape = "calendar", .period = "day", .amount = 100, .warn_percent = 80});
    limit(&d, (struct limit_rule){.scope = "global", .metric = "requests", .shape = "total", .amount = 4, .mode = "observe", .warn_percent = 50});
    settle_at(&d, admit_plain(&d, "alice", NOW, 79, 0), NOW, 79, 0);
    assert_int_equal(d.s.warnings.count, 0);
    int64_t ticket = admit_plain(&d, "alice", NOW, 1, 0);
    assert_int_equal(d.g.warnings.count, 1);
    assert_string_equal(d.g.warnings.at[0].scope, "global");
    settle_at(&d, ticket, NOW, 1, 0);
    assert_int_equal(d.s.warnings.count, 1);
    assert_string_equal(d.s.warnings.at[0].scope, "user/alice");
    assert_int_equal(d.s.warnings.at[0].used, 80);
    settle_at(&d, admit_plain(&d, "alice", NOW, 1, 0), NOW, 1, 0);
    assert_int_equal(d.g.warnings.count + d.s.warnings.count, 0);
    assert_int_equal(number(&d, "SELECT count(*) FROM audit WHERE warned = 'user/alice tokens calendar'"), 1);
    settle_at(&d, admit_plain(&d, "alice", NOW + DAY, 90, 0), NOW + DAY, 90, 0);
    assert_int_equal(d.s.warnings.count, 1);
    desk_close(&d);
}

static void the_rollup_sums_by_the_hour_of_admission(void **state)
{
    struct desk d;
    (void)state;
    desk_open(&d);
    int64_t hour = calendar_period(CALENDAR_HOUR, 0, NOW).end;
    for (int i = 0; i < 3; i++) admit_plain(&d, "alice", hour - 1, 1, 1);
    for (int i = 0; i < 3; i++) {
        struct audit_row row = row_of(10, 5, 7);
        struct ledger_bill b = {.ticket = i + 1, .now_ms = hour + i, .row = &row};
        row.provider = "p";
        row.latency_ms = i * 100;
        row.cache = i == 0 ? "miss" : i == 1 ? "hit" : "bypass";
        if (i == 2) row.outcome = "truncated";
        assert_int_equal(db_begin(d.db), WEIR_OK);
        assert_int_equal(ledger_settle(d.l, d.db, &b, &d.s), WEIR_OK);
        if (i == 1) { /* undone, and done again */
            db_rollback(d.db);
            assert_int_equal(db_begin(d.db), WEIR_OK);
            assert_int_equal(ledger_settle(d.l, d.db, &b, &d.s), WEIR_OK);
        }
        assert_int_equal(db_commit(d.db), WEIR_OK);
    }
    struct audit_row refused = row_of(0, 0, 0);
    refused.time = hour + 5;
    refused.outcome = "refused";
    assert_int_equal(db_begin(d.db), WEIR_OK);
    assert_int_equal(ledger_record(d.l, d.db, &refused), WEIR_OK);
    assert_int_equal(db_commit(d.db), WEIR_OK);
    assert_int_equal(number(&d, "SELECT count(*) FROM rollup"), 2);
    assert_int_equal(number(&d, "SELECT requests * 1000000 + prompt_tokens * 1000 + completion_tokens FROM rollup WHERE provider = 'p'"), 3030015);
    assert_int_equal(number(&d, "SELECT cost * 10000 + errors * 1000 + l0 * 100 + l1 * 10 + l2 FROM rollup WHERE provider = 'p'"), 211111);
    assert_int_equal(number(&d, "SELECT errors FROM rollup WHERE provider = ''"), 1);
    assert_int_equal(number(&d, "SELECT cache_asked * 10 + cache_served FROM rollup_route WHERE provider = 'p'"), 21);
    desk_close(&d);
}

struct seen { int count; struct ledger_line at[8]; char scope[8][40], via[8][40]; };

static void see(const struct ledger_line *line, void *arg)
{
    struct seen *s = arg;
    assert_true(s->count < 8);
    s->at[s->count] = *line;
    snprintf(s->scope[s->count], sizeof *s->scope, "%s", line->scope);
    snprintf(s->via[s->count++], sizeof *s->via, "%s", line->via ? line->via : "");
}

static void a_list_shows_what_is_used_held_and_left(void **state)
{
    struct desk d;
    struct seen s = {0};
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "user/*", .metric = "tokens", .shape = "window", .seconds = 60, .amount = 100});
    limit(&d, (struct limit_rule){.scope = "team/x", .metric = "requests", .shape = "total", .amount = 5});
    settle_at(&d, admit_plain(&d, "alice", NOW, 30, 0), NOW, 30, 0);
    admit_plain(&d, "alice", NOW + 1000, 50, 0);
    assert_int_equal(ledger_list(d.db, NULL, true, NOW + 2000, see, &s), WEIR_OK);
    assert_int_equal(s.count, 3);
    assert_string_equal(s.scope[0], "team/x");
    assert_int_equal(s.at[0].remaining, 5);
    assert_int_equal(s.at[0].resets_at, -1);
    assert_string_equal(s.scope[1], "user/*");
    assert_int_equal(s.at[1].used + s.at[1].held, 0);
    assert_string_equal(s.scope[2], "user/alice");
    assert_int_equal(s.at[2].used, 30);
    assert_int_equal(s.at[2].held, 50);
    assert_int_equal(s.at[2].remaining, 20);
    assert_int_equal(s.at[2].resets_at, window_leaves(60, window_slot(60, NOW)));
    s.count = 0;
    assert_int_equal(ledger_list(d.db, "user/*", false, NOW + 61000, see, &s), WEIR_OK);
    assert_int_equal(s.count, 1);
    s.count = 0;
    assert_int_equal(ledger_usage(d.db, &(struct ledger_who){.user = "alice"}, NOW + 61000, see, &s), WEIR_OK);
    assert_int_equal(s.count, 1);
    assert_string_equal(s.via[0], "user/*");
    assert_int_equal(s.at[0].used, 0); /* it has left, though nobody has written so yet */
    assert_int_equal(s.at[0].held, 50);
    desk_close(&d);
}

/* ---- changes ---- */

static void a_changed_amount_keeps_the_count_and_a_reset_forgets_it(void **state)
{
    struct desk d;
    struct change c;
    int reset;
    const struct limit_key key = {.scope = "global", .metric = "tokens"};
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "global", .metric = "tokens", .shape = "total", .amount = 100});
    settle_at(&d, admit_plain(&d, "alice", NOW, 90, 0), NOW, 90, 0);
    limit(&d, (struct limit_rule){.scope = "global", .metric = "tokens", .shape = "total", .amount = 50});
    assert_false(admit_plain(&d, "alice", NOW, 0, 0));
    limit(&d, (struct limit_rule){.scope = "global", .metric = "tokens", .shape = "total", .amount = 110});
    int64_t open = admit_plain(&d, "alice", NOW, 20, 0);
    assert_true(open);
    assert_int_equal(change_begin(&c, d.db, d.room.dir), WEIR_OK);
    assert_int_equal(limit_reset(d.db, &key, NULL, NOW, &reset), WEIR_OK);
    assert_int_equal(change_commit(&c), WEIR_OK);
    assert_int_equal(reset, 1);
    assert_int_equal(number(&d, "SELECT used FROM counter_reset"), 90);
    assert_false(admit_plain(&d, "alice", NOW, 91, 0)); /* 20 are held still */
    settle_at(&d, open, NOW, 20, 0);
    assert_true(admit_plain(&d, "alice", NOW, 110, 0)); /* admitted before the reset: not charged */
    assert_int_equal(differences(&d), 0);
    assert_int_equal(change_begin(&c, d.db, d.room.dir), WEIR_OK);
    assert_int_equal(limit_remove(d.db, &key, &reset), WEIR_OK);
    assert_int_equal(limit_remove(d.db, &key, &reset), WEIR_NOT_FOUND);
    assert_int_equal(change_commit(&c), WEIR_OK);
    assert_int_equal(number(&d, "SELECT count(*) FROM counter"), 0);
    settle_at(&d, d.g.ticket, NOW, 5, 0);
    assert_true(d.s.first);
    assert_int_equal(differences(&d), 0);
    desk_close(&d);
}

/* ---- the books ---- */

static void retention_forgets_rows_and_not_what_they_charged(void **state)
{
    struct desk d;
    int deleted, all = 0;
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "global", .metric = "tokens", .shape = "total", .amount = 1000});
    limit(&d, (struct limit_rule){.scope = "user/*", .metric = "requests", .shape = "window", .seconds = 86400, .amount = 1000});
    limit(&d, (struct limit_rule){.scope = "provider/*", .metric = "cost", .shape = "calendar", .period = "month", .amount = 1000});
    for (int i = 0; i < 20; i++) {
        int64_t ticket = admit_plain(&d, "alice", NOW + i * 1000, 10, 0);
        assert_int_equal(attempt(&d, ticket, 1, "p", 10, 0), LEDGER_GO);
        settle_at(&d, ticket, NOW + i * 1000, 7, 7);
    }
    do {
        assert_int_equal(db_begin(d.db), WEIR_OK);
        assert_int_equal(ledger_forget(d.l, d.db, NOW + 5000, 12, 3, &deleted), WEIR_OK);
        assert_int_equal(db_commit(d.db), WEIR_OK);
        all += deleted;
        assert_int_equal(differences(&d), 0);
    } while (deleted);
    assert_int_equal(all, 8);
    assert_int_equal(number(&d, "SELECT count(*) FROM audit"), 12);
    assert_int_equal(number(&d, "SELECT count(*) FROM attempt"), 12);
    assert_int_equal(number(&d, "SELECT sum(used) FROM counter"), 140 + 20 + 140);
    desk_close(&d);
}

static void idle_members_go_and_busy_ones_stay(void **state)
{
    struct desk d;
    int removed;
    int64_t after = 0;
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "user/*", .metric = "requests", .shape = "window", .seconds = 60, .amount = 10});
    limit(&d, (struct limit_rule){.scope = "user/*", .metric = "concurrency", .shape = "none", .amount = 10});
    settle_at(&d, admit_plain(&d, "alice", NOW, 1, 1), NOW, 1, 1);
    admit_plain(&d, "bob", NOW + 1, 1, 1);
    assert_int_equal(db_begin(d.db), WEIR_OK);
    assert_int_equal(ledger_tidy(d.l, d.db, NOW + 70000, 100, &after, &removed), WEIR_OK);
    assert_int_equal(db_commit(d.db), WEIR_OK);
    assert_int_equal(removed, 2);
    assert_int_equal(number(&d, "SELECT count(*) FROM counter"), 2);
    assert_int_equal(number(&d, "SELECT count(*) FROM slot"), 1);
    assert_true(admit_plain(&d, "alice", NOW + 70000, 1, 1));
    assert_int_equal(differences(&d), 0);
    desk_close(&d);
}

static void the_books_find_what_was_tampered_with(void **state)
{
    static const char *const tampered[] = {
        "UPDATE counter SET used = used + 1 WHERE member = 'global'", "UPDATE counter SET held = held - 1 WHERE member = 'global'",
        "UPDATE slot SET amount = amount + 1", "DELETE FROM slot", "DELETE FROM audit WHERE ticket = 1", "DELETE FROM ticket",
        "UPDATE audit SET prompt_tokens = 1 WHERE ticket = 1", "UPDATE counter SET carry = 1 WHERE member = 'global'",
        "UPDATE counter SET used = -1 WHERE member = 'team/b'"};
    (void)state;
    for (size_t i = 0; i < sizeof tampered / sizeof *tampered; i++) {
        struct desk d;
        desk_open(&d);
        limit(&d, (struct limit_rule){.scope = "global", .metric = "tokens", .shape = "total", .amount = 1000});
        limit(&d, (struct limit_rule){.scope = "user/*", .metric = "tokens", .shape = "window", .seconds = 60, .amount = 1000});
        limit(&d, (struct limit_rule){.scope = "team/b", .metric = "tokens", .shape = "bucket", .amount = 1000, .refill_nano = 1});
        struct ledger_ask a = ask("alice", NOW, 10, 0);
        a.who.team = "b";
        settle_at(&d, admit(&d, &a), NOW, 10, 10);
        admit(&d, &a);
        assert_int_equal(differences(&d), 0);
        raw(&d, tampered[i]);
        assert_true(differences(&d) > 0);
        desk_close(&d);
    }
}

/* ---- through the writer, from several threads and two writers ---- */

struct racer { struct job job; struct ledger *l; struct ledger_ask ask; struct ledger_grant g; struct ledger_refusal r; struct audit_row row; bool settling; };

static enum weir_err race_run(struct job *j, struct db *db)
{
    struct racer *r = (struct racer *)j;
    struct ledger_settled s;
    struct ledger_bill b = {.ticket = r->g.ticket, .now_ms = NOW, .row = &r->row};
    return r->settling ? ledger_settle(r->l, db, &b, &s) : ledger_admit(r->l, db, &r->ask, &r->g, &r->r);
}

static void race_free(struct job *j) { free(j); }

struct lane { struct writer *w; struct ledger *l; int seed, granted; int64_t charged; };

static void *race_main(void *arg)
{
    struct lane *lane = arg;
    unsigned seed = (unsigned)lane->seed;
    for (int i = 0; i < 150; i++) {
        struct racer *r = calloc(1, sizeof *r);
        r->job = (struct job){.run = race_run, .dispose = race_free};
        r->l = lane->l;
        r->ask = ask("alice", NOW, 1 + rand_r(&seed) % 20, rand_r(&seed) % 20);
        if (writer_run(lane->w, &r->job, 20000, true) != WEIR_OK) abort();
        struct ledger_grant g = r->g;
        struct ledger_ask a = r->ask;
        job_release(&r->job);
        if (!g.ticket) continue;
        int64_t used = rand_r(&seed) % (a.prompt_bound + g.output + 1);
        r = calloc(1, sizeof *r);
        r->job = (struct job){.run = race_run, .dispose = race_free};
        r->l = lane->l;
        r->settling = true;
        r->g = g;
        r->row = row_of(used, 0, 0);
        if (writer_run(lane->w, &r->job, 20000, true) != WEIR_OK) abort();
        job_release(&r->job);
        lane->granted++;
        lane->charged += used;
    }
    return NULL;
}

static void many_at_once_never_pass_the_limit_and_use_it_up(void **state)
{
    struct desk d;
    struct writer *w[2];
    struct ledger *l[2];
    struct lane lanes[12];
    pthread_t threads[12];
    int64_t charged = 0;
    (void)state;
    desk_open(&d);
    limit(&d, (struct limit_rule){.scope = "user/*", .metric = "tokens", .shape = "total", .amount = 5000});
    limit(&d, (struct limit_rule){.scope = "global", .metric = "requests", .shape = "window", .seconds = 60, .amount = 100000});
    for (int i = 0; i < 2; i++) {
        assert_int_equal(writer_start(d.room.dir, &sql_gateway, &w[i]), WEIR_OK); /* with the gateway's own list */
        assert_int_equal(ledger_open(d.room.dir, &l[i]), WEIR_OK);
    }
    for (int i = 0; i < 12; i++) {
        lanes[i] = (struct lane){.w = w[i % 2], .l = l[i % 2], .seed = i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, race_main, &lanes[i]), 0);
    }
    for (int i = 0; i < 12; i++) {
        pthread_join(threads[i], NULL);
        charged += lanes[i].charged;
    }
    for (int i = 0; i < 2; i++) assert_int_equal(writer_stop(w[i], 5000), 0);
    assert_int_equal(number(&d, "SELECT used FROM counter WHERE member = 'user/alice'"), charged);
    assert_int_equal(number(&d, "SELECT sum(prompt_tokens) FROM audit"), charged);
    assert_int_equal(number(&d, "SELECT sum(held) FROM counter"), 0);
    assert_int_equal(number(&d, "SELECT count(*) FROM ticket"), 0);
    assert_true(charged <= 5000);
    assert_true(charged >= 4000);
    assert_int_equal(differences(&d), 0);
    for (int i = 0; i < 2; i++) ledger_close(l[i]);
    desk_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_released_was_never_there),
        cmocka_unit_test(the_last_unit_is_usable_and_not_one_more),
        cmocka_unit_test(output_is_clamped_to_what_is_left_and_refused_below_the_floor),
        cmocka_unit_test(a_refusal_names_the_limit_its_member_and_when),
        cmocka_unit_test(what_no_time_helps_is_said_to_be_over),
        cmocka_unit_test(a_month_at_an_offset_ends_there_and_not_here),
        cmocka_unit_test(a_day_and_a_month_stand_side_by_side),
        cmocka_unit_test(a_stream_that_ends_after_midnight_is_yesterday_s),
        cmocka_unit_test(an_address_of_ipv6_counts_by_its_64),
        cmocka_unit_test(a_limit_of_its_own_stands_for_the_star_s),
        cmocka_unit_test(soft_limits_hold_estimates_and_observing_ones_refuse_nothing),
        cmocka_unit_test(a_model_without_a_price_is_refused_under_a_cost_limit),
        cmocka_unit_test(huge_amounts_are_refused_and_not_wrapped),
        cmocka_unit_test(settling_twice_changes_nothing),
        cmocka_unit_test(a_request_is_given_back_only_if_nothing_was_sent),
        cmocka_unit_test(more_than_was_held_is_charged_and_marked),
        cmocka_unit_test(concurrency_is_what_is_in_flight),
        cmocka_unit_test(failover_raises_the_hold_or_stops),
        cmocka_unit_test(a_provider_s_limit_skips_it_and_counts_each_attempt),
        cmocka_unit_test(attempts_of_different_times_end_in_their_own_slots),
        cmocka_unit_test(tickets_of_the_dead_are_charged_or_released_and_those_of_the_living_stay),
        cmocka_unit_test(a_failed_operation_leaves_nothing_in_memory_either),
        cmocka_unit_test(a_transaction_of_many_is_undone_as_a_whole),
        cmocka_unit_test(an_operation_may_be_cut_off_anywhere),
        cmocka_unit_test(a_crossed_threshold_is_told_once_and_written_down),
        cmocka_unit_test(the_rollup_sums_by_the_hour_of_admission),
        cmocka_unit_test(a_list_shows_what_is_used_held_and_left),
        cmocka_unit_test(a_changed_amount_keeps_the_count_and_a_reset_forgets_it),
        cmocka_unit_test(retention_forgets_rows_and_not_what_they_charged),
        cmocka_unit_test(what_is_over_at_once_counts_and_leaves_its_row_and_no_ticket),
        cmocka_unit_test(idle_members_go_and_busy_ones_stay),
        cmocka_unit_test(the_books_find_what_was_tampered_with),
        cmocka_unit_test(many_at_once_never_pass_the_limit_and_use_it_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
