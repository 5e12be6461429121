/* Kept content: what was sealed opens, and only in its own row under its own key; it goes by age and with its audit row. */
#include "sql/db.c"
#include "sql/content.c"

#include "sql/ledger.h"
#include "tests/unit/sql_room.h"

#define DAY 86400000LL

static struct master_key *make_key(const struct room *r, const char *name)
{
    char path[100];
    struct master_key *m;
    snprintf(path, sizeof path, "%s/%s", r->dir, name);
    assert_int_equal(master_key_make(path), WEIR_OK);
    assert_int_equal(master_key_load(path, &m), WEIR_OK);
    return m;
}

/* An audit row and what is kept beside it. */
static void keep(struct db *db, const struct master_key *m, const struct content *plain)
{
    struct arena a;
    struct content sealed;
    struct audit_row row = room_audit(plain->request_id);
    row.ticket = plain->ticket;
    row.time = plain->time;
    arena_init(&a);
    assert_int_equal(content_seal(m, plain, &a, &sealed), WEIR_OK);
    assert_int_equal(audit_insert(db, &row), WEIR_OK);
    assert_int_equal(content_insert(db, &sealed), WEIR_OK);
    arena_end(&a);
}

struct seen { int count; int64_t ticket, time; size_t prompt_len, answer_len; char prompt[64], answer[64]; bool has_answer, cut[2]; };

static void see(const struct content *c, void *arg)
{
    struct seen *s = arg;
    s->count++;
    s->ticket = c->ticket;
    s->time = c->time;
    s->prompt_len = c->prompt.len;
    s->answer_len = c->answer.len;
    s->has_answer = c->answer.at != NULL;
    s->cut[0] = c->prompt_cut;
    s->cut[1] = c->answer_cut;
    snprintf(s->prompt, sizeof s->prompt, "%.*s", (int)c->prompt.len, c->prompt.at);
    snprintf(s->answer, sizeof s->answer, "%.*s", (int)c->answer.len, c->answer.at ? c->answer.at : "");
}

struct rig { struct room room; struct db *db; struct master_key *master; };

static int begin_test(void **state)
{
    static struct rig r;
    assert_int_equal(secret_start(), WEIR_OK);
    room_open(&r.room);
    r.db = room_admin(&r.room);
    r.master = make_key(&r.room, "master.key");
    *state = &r;
    return 0;
}

static int end_test(void **state)
{
    struct rig *r = *state;
    master_key_free(r->master);
    db_close(r->db);
    room_close(&r->room);
    return 0;
}

static void what_was_kept_is_read_again(void **state)
{
    struct rig *r = *state;
    struct seen s = {0};
    keep(r->db, r->master, &(struct content){.ticket = 7, .time = 70, .request_id = "req-1", .prompt = SPAN("asked"),
                                             .answer = SPAN("answered")});
    keep(r->db, r->master, &(struct content){.ticket = 8, .time = 80, .request_id = "req-2", .prompt = SPAN("only asked")});
    assert_int_equal(content_read(r->db, r->master, "req-1", see, &s), WEIR_OK);
    assert_int_equal(s.count, 1);
    assert_int_equal(s.ticket, 7);
    assert_int_equal(s.time, 70);
    assert_string_equal(s.prompt, "asked");
    assert_string_equal(s.answer, "answered");
    assert_false(s.cut[0] || s.cut[1]);
    s = (struct seen){0};
    assert_int_equal(content_read(r->db, r->master, "req-2", see, &s), WEIR_OK);
    assert_string_equal(s.prompt, "only asked");
    assert_false(s.has_answer);
    s = (struct seen){0};
    assert_int_equal(content_read(r->db, r->master, "req-3", see, &s), WEIR_OK);
    assert_int_equal(s.count, 0);
}

static void an_id_that_was_used_twice_gives_both_in_order(void **state)
{
    struct rig *r = *state;
    struct seen s = {0};
    keep(r->db, r->master, &(struct content){.ticket = 9, .time = 90, .request_id = "again", .prompt = SPAN("later")});
    keep(r->db, r->master, &(struct content){.ticket = 3, .time = 30, .request_id = "again", .prompt = SPAN("sooner")});
    assert_int_equal(content_read(r->db, r->master, "again", see, &s), WEIR_OK);
    assert_int_equal(s.count, 2);
    assert_string_equal(s.prompt, "later");
}

static void the_room_outside_holds_no_plain_text(void **state)
{
    struct rig *r = *state;
    keep(r->db, r->master, &(struct content){.ticket = 1, .request_id = "q", .prompt = SPAN("marker-of-prompt"),
                                             .answer = SPAN("marker-of-answer")});
    assert_int_equal(room_number(&r->room, "SELECT count(*) FROM content WHERE instr(prompt, CAST('marker' AS BLOB)) = 0 AND "
                                           "instr(answer, CAST('marker' AS BLOB)) = 0"), 1);
}

static void run(const struct rig *r, const char *sql)
{
    sqlite3 *at;
    assert_int_equal(sqlite3_open(r->room.db, &at), SQLITE_OK);
    sqlite3_busy_timeout(at, 5000);
    assert_int_equal(sqlite3_exec(at, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(at);
}

/* Whoever can write the database but has no master key can move sealed values about; none of that is believed. */
static void a_value_in_another_place_does_not_open(void **state)
{
    struct rig *r = *state;
    static const char *const moves[] = {
        "UPDATE content SET ticket = 6 WHERE ticket = 5",
        "UPDATE content SET prompt = (SELECT c.prompt FROM content c WHERE c.ticket = 4) WHERE ticket = 5",
        "UPDATE content SET answer = (SELECT c.answer FROM content c WHERE c.ticket = 4) WHERE ticket = 5",
        "UPDATE content SET answer = prompt WHERE ticket = 5",
        "UPDATE content SET request_id = 'five' WHERE ticket = 4; DELETE FROM content WHERE ticket = 5",
        "UPDATE content SET prompt = substr(prompt, 1, length(prompt) - 1) WHERE ticket = 5",
        "UPDATE content SET prompt = x'' WHERE ticket = 5",
    };
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) {
        struct seen s = {0};
        keep(r->db, r->master, &(struct content){.ticket = 4, .request_id = "four", .prompt = SPAN("p4"), .answer = SPAN("a4")});
        keep(r->db, r->master, &(struct content){.ticket = 5, .request_id = "five", .prompt = SPAN("p5"), .answer = SPAN("a5")});
        assert_int_equal(content_read(r->db, r->master, "five", see, &s), WEIR_OK);
        run(r, moves[i]);
        assert_int_equal(content_read(r->db, r->master, "five", see, &s), WEIR_CORRUPT);
        assert_int_equal(s.count, 1);
        run(r, "DELETE FROM content");
    }
}

static void another_master_key_opens_nothing(void **state)
{
    struct rig *r = *state;
    struct seen s = {0};
    struct master_key *other = make_key(&r->room, "other.key");
    keep(r->db, r->master, &(struct content){.ticket = 1, .request_id = "q", .prompt = SPAN("p")});
    assert_int_equal(content_read(r->db, other, "q", see, &s), WEIR_CORRUPT);
    assert_int_equal(s.count, 0);
    master_key_free(other);
}

static void long_texts_are_cut_at_a_character_and_marked(void **state)
{
    struct rig *r = *state;
    struct seen s = {0};
    char *text = malloc(BOUND_CONTENT + 1);
    assert_non_null(text);
    memset(text, 'x', BOUND_CONTENT + 1);
    memcpy(text + BOUND_CONTENT - 1, "\xC3\xA4", 2);
    keep(r->db, r->master, &(struct content){.ticket = 1, .request_id = "q", .prompt = {text, BOUND_CONTENT + 1},
                                             .answer = {text + 1, BOUND_CONTENT}});
    assert_int_equal(content_read(r->db, r->master, "q", see, &s), WEIR_OK);
    assert_int_equal(s.prompt_len, BOUND_CONTENT - 1);
    assert_int_equal(s.answer_len, BOUND_CONTENT);
    assert_true(s.cut[0]);
    assert_false(s.cut[1]);
    free(text);
}

static int64_t kept(const struct rig *r) { return room_number(&r->room, "SELECT count(*) FROM content"); }

static void old_content_goes_in_steps_and_its_row_stays(void **state)
{
    struct rig *r = *state;
    struct settings settings = {.content_keep_days = 30, .audit_keep_days = 365};
    int deleted;
    for (int i = 1; i <= 10; i++)
        keep(r->db, r->master, &(struct content){.ticket = i, .time = i * DAY, .request_id = "q", .prompt = SPAN("p")});
    assert_int_equal(content_forget(r->db, &settings, 38 * DAY, 4, &deleted), WEIR_OK);
    assert_int_equal(deleted, 4);
    assert_int_equal(content_forget(r->db, &settings, 38 * DAY, 4, &deleted), WEIR_OK);
    assert_int_equal(deleted, 3); /* the eighth is 30 days old to the moment */
    assert_int_equal(content_forget(r->db, &settings, 38 * DAY, 4, &deleted), WEIR_OK);
    assert_int_equal(deleted, 0);
    assert_int_equal(room_number(&r->room, "SELECT min(ticket) FROM content"), 8);
    assert_int_equal(room_number(&r->room, "SELECT count(*) FROM audit"), 10);
    settings.content_keep_days = 0; /* as long as the audit row, which goes at its own age */
    assert_int_equal(content_forget(r->db, &settings, 38 * DAY + 300 * DAY, 4, &deleted), WEIR_OK);
    assert_int_equal(deleted, 0);
    assert_int_equal(content_forget(r->db, &settings, 10 * DAY + 365 * DAY, 4, &deleted), WEIR_OK);
    assert_int_equal(deleted, 2);
    settings.audit_keep_days = 0; /* both for ever */
    assert_int_equal(content_forget(r->db, &settings, INT64_MAX, 4, &deleted), WEIR_OK);
    assert_int_equal(deleted, 0);
    assert_int_equal(kept(r), 1);
}

static void content_goes_with_its_audit_row(void **state)
{
    struct rig *r = *state;
    struct ledger *l;
    int deleted;
    for (int i = 1; i <= 3; i++)
        keep(r->db, r->master, &(struct content){.ticket = i, .time = i * DAY, .request_id = "q", .prompt = SPAN("p")});
    struct audit_row refused = room_audit("refused"); /* has no ticket, and must take nobody's content along */
    refused.time = 0;
    assert_int_equal(audit_insert(r->db, &refused), WEIR_OK);
    assert_int_equal(ledger_open(r->room.dir, &l), WEIR_OK);
    assert_int_equal(db_begin(r->db), WEIR_OK);
    assert_int_equal(ledger_forget(l, r->db, 3 * DAY, 0, 50, &deleted), WEIR_OK);
    assert_int_equal(db_commit(r->db), WEIR_OK);
    assert_int_equal(deleted, 3);
    assert_int_equal(kept(r), 1);
    assert_int_equal(room_number(&r->room, "SELECT ticket FROM content"), 3);
    ledger_close(l);
}

/* Retention holds the writer for less than 20 ms a step, and half a megabyte takes nearly one to delete. */
static void audit_rows_with_content_go_in_smaller_steps(void **state)
{
    struct rig *r = *state;
    struct ledger *l;
    int deleted, sum = 0;
    for (int i = 1; i <= 20; i++)
        keep(r->db, r->master, &(struct content){.ticket = i, .time = i, .request_id = "q", .prompt = SPAN("p")});
    assert_int_equal(ledger_open(r->room.dir, &l), WEIR_OK);
    do {
        assert_int_equal(db_begin(r->db), WEIR_OK);
        assert_int_equal(ledger_forget(l, r->db, 0, 2, 50, &deleted), WEIR_OK);
        assert_int_equal(db_commit(r->db), WEIR_OK);
        assert_true(deleted <= CONTENT_STEP);
        sum += deleted;
    } while (deleted);
    assert_int_equal(sum, 18);
    assert_int_equal(kept(r), 2);
    ledger_close(l);
}

static void the_gateways_list_cannot_read(void **state)
{
    struct rig *r = *state;
    struct seen s = {0};
    struct db *gateway;
    keep(r->db, r->master, &(struct content){.ticket = 1, .request_id = "q", .prompt = SPAN("p")});
    assert_int_equal(db_open(r->room.db, DB_WRITE, 5000, &sql_gateway, &gateway), WEIR_OK);
    assert_int_equal(content_read(gateway, r->master, "q", see, &s), WEIR_INTERNAL);
    assert_int_equal(s.count, 0);
    db_close(gateway);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_kept_is_read_again, begin_test, end_test),
        cmocka_unit_test_setup_teardown(an_id_that_was_used_twice_gives_both_in_order, begin_test, end_test),
        cmocka_unit_test_setup_teardown(the_room_outside_holds_no_plain_text, begin_test, end_test),
        cmocka_unit_test_setup_teardown(a_value_in_another_place_does_not_open, begin_test, end_test),
        cmocka_unit_test_setup_teardown(another_master_key_opens_nothing, begin_test, end_test),
        cmocka_unit_test_setup_teardown(long_texts_are_cut_at_a_character_and_marked, begin_test, end_test),
        cmocka_unit_test_setup_teardown(old_content_goes_in_steps_and_its_row_stays, begin_test, end_test),
        cmocka_unit_test_setup_teardown(content_goes_with_its_audit_row, begin_test, end_test),
        cmocka_unit_test_setup_teardown(audit_rows_with_content_go_in_smaller_steps, begin_test, end_test),
        cmocka_unit_test_setup_teardown(the_gateways_list_cannot_read, begin_test, end_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
