/* The relay: an answer is whole or said not to be; nothing is asked twice once the caller has content; nobody waits for
 * ever; and no call is left open. Providers are scripts, the clock and the caller's connection are the test's. */
#include "fcgi/stage/attempt_stream.c"
#include "fcgi/stage/relay.c"

#include "fcgi/base/log.h"
#include "fcgi/stage/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* ---- scripts ---- */

enum what {
    QUIET, /* and so to the end: the script is over */
    HEAD, BYTES, END, FAILED, GONE, STOPS,
    DRIP,  /* its bytes one by one */
    FLOOD  /* its bytes again and again, 10 ms each, always there at once */
};

struct step { enum what what; const char *text; int64_t after; int times; };

struct script {
    int status;               /* 0: 200 */
    const char *headers;
    enum weir_err refused;    /* of open */
    enum upstream_failure failure;
    struct step steps[12];
};

enum { TARGETS = 3, FLOODS_MOST = 400 };

struct fake { struct upstream up; const struct script *script; int at, done; int64_t last; bool open; int waits, floods; };

struct conn { struct buf sent; size_t dies_at; bool dead; int flushes; struct { int64_t at; size_t len; } flushed[40]; };

static const struct model_row priced = {.alias = "m", .price = {.known = true, .input = 1000000000, .cached_input = 500000000, .cache_write = 1000000000, .output = 2000000000}};

static const struct model_row hedged = {.alias = "m", .hedge_after_ms = 100};

static struct rig {
    const struct model_row *model;
    int64_t now;
    struct conn door;
    struct fake fakes[TARGETS];
    const struct script *scripts;
    int opened, gone_before; /* gone_before: the client has gone before this many calls; -1: it has not */
    bool client_gone;        /* a script said so: every wait that watches says so again */
    char urls[TARGETS][100];
    char *bodies[TARGETS];
    struct provider_row providers[TARGETS];
    struct target targets[TARGETS];
    struct snapshot snap;
    struct caller caller;
    struct chat chat;
    struct request r;
    struct relay_tools tools;
    struct arena memory;
    struct outcome out;
} rig;

static int64_t now_ms(void) { return rig.now; }

/* ---- providers ---- */

static enum upstream_event next_flood(struct fake *f, const struct step *s)
{
    rig.now += 10;
    if (++f->floods > FLOODS_MOST) {
        f->at++;
        return UPSTREAM_END;
    }
    buf_str(&f->up.bytes, s->text);
    return UPSTREAM_BYTES;
}

static void next_bytes(struct fake *f, const struct step *s)
{
    if (s->what == BYTES) buf_str(&f->up.bytes, s->text);
    else buf_char(&f->up.bytes, s->text[f->done]);
}

static enum upstream_event fake_wait(struct upstream *u, int client_fd, int64_t deadline)
{
    struct fake *f = (struct fake *)u;
    assert_true(f->open && ++f->waits < 200000);
    assert_int_equal(u->bytes.len, 0);
    if (rig.client_gone && client_fd >= 0) return UPSTREAM_GONE;
    if (f->script->steps[f->at].what == GONE && client_fd < 0) f->at++;
    const struct step *s = &f->script->steps[f->at];
    if (s->what == FLOOD) return next_flood(f, s);
    if (s->what == QUIET || f->last + s->after > deadline) {
        if (rig.now < deadline) rig.now = deadline;
        return UPSTREAM_TIMEOUT;
    }
    if (rig.now < f->last + s->after) rig.now = f->last + s->after;
    f->last = rig.now;
    if (s->what == BYTES || s->what == DRIP) next_bytes(f, s);
    if (++f->done >= (s->what == DRIP ? (int)strlen(s->text) : s->times)) f->at++, f->done = 0;
    switch (s->what) {
    case HEAD: u->status = f->script->status ? f->script->status : 200; return UPSTREAM_HEAD;
    case END: return UPSTREAM_END;
    case FAILED:
        u->failure = f->script->failure ? f->script->failure : FAILURE_BROKEN;
        strcpy(u->failure_text, "connection reset");
        return UPSTREAM_FAILED;
    case GONE: rig.client_gone = true; return UPSTREAM_GONE;
    case STOPS: return UPSTREAM_STOP;
    default: return UPSTREAM_BYTES;
    }
}

static void fake_close(struct upstream *u)
{
    struct fake *f = (struct fake *)u;
    assert_true(f->open);
    f->open = false;
    buf_free(&u->bytes);
    buf_free(&u->headers);
}

static const struct upstream_ops fake_ops = {fake_wait, fake_close, NULL};

enum weir_err http_open(struct http_pool *p, const struct http_call *c, struct upstream **out)
{
    int i = rig.opened++;
    struct fake *f = &rig.fakes[i];
    (void)p;
    assert_true(i < TARGETS);
    for (int k = 0; k < i; k++) assert_true(!rig.fakes[k].open || rig.model->hedge_after_ms);
    snprintf(rig.urls[i], sizeof rig.urls[i], "%s", c->url);
    rig.bodies[i] = strndup(c->body.at, c->body.len);
    if (rig.scripts[i].refused) return rig.scripts[i].refused;
    *f = (struct fake){.up.ops = &fake_ops, .script = &rig.scripts[i], .last = rig.now, .open = true, .up.sent = true};
    buf_init(&f->up.bytes, BOUND_ANSWER);
    buf_init(&f->up.headers, BOUND_UPSTREAM_HEADERS);
    if (rig.scripts[i].headers) buf_str(&f->up.headers, rig.scripts[i].headers);
    *out = &f->up;
    return WEIR_OK;
}

/* Scripts have at most one header. */
struct span upstream_header(const struct upstream *u, const char *name)
{
    struct span line = buf_all(&u->headers);
    size_t n = strlen(name);
    if (line.len < n + 2 || strncasecmp(line.at, name, n) != 0) return SPAN_NONE;
    return (struct span){line.at + n + 2, line.len - n - 2};
}

bool http_client_is_gone(int client_fd) { return client_fd >= 0 && rig.gone_before == rig.opened; }

/* Several calls at once: time goes on to the first that has something. */
enum upstream_event upstream_pause(struct upstream *const *calls, int count, int client_fd, int stop_fd, int64_t until)
{
    enum what what = QUIET;
    (void)client_fd, (void)stop_fd;
    for (int i = 0; i < count; i++) {
        const struct fake *f = (struct fake *)calls[i];
        const struct step *s = &f->script->steps[f->at];
        if (s->what == QUIET || f->last + s->after >= until) continue;
        until = f->last + s->after;
        what = s->what;
    }
    if (rig.now < until) rig.now = until;
    return what == GONE ? UPSTREAM_GONE : what == STOPS ? UPSTREAM_STOP : UPSTREAM_TIMEOUT;
}

/* ---- the door ---- */

int conn_watch_fd(const struct conn *c)
{
    (void)c;
    return 7;
}

enum weir_err conn_write(struct conn *c, struct span bytes)
{
    if (c->dies_at && c->sent.len + bytes.len > c->dies_at) c->dead = true;
    return c->dead ? WEIR_GONE : buf_span(&c->sent, bytes);
}

void conn_write_no_memory(struct conn *c, const char *request_id)
{
    (void)request_id;
    conn_write(c, SPAN("no memory"));
}

enum weir_err conn_flush(struct conn *c)
{
    if (c->dead) return WEIR_GONE;
    if (c->flushes < 40) c->flushed[c->flushes].at = rig.now, c->flushed[c->flushes].len = c->sent.len;
    c->flushes++;
    return WEIR_OK;
}

/* ---- the whole way ---- */

/* ---- the ledger's double ---- */

static struct { int calls; struct ledger_use ended[4]; struct ledger_try next[4]; enum ledger_may may; } booked;

enum weir_err book_attempt(const struct book *b, const struct ledger_use *ended, int ended_count,
                           const struct ledger_try *next, enum ledger_may *may, bool *provider_is_hard, struct ledger_refusal *refusal)
{
    (void)b;
    *provider_is_hard = false;
    booked.ended[booked.calls] = ended_count ? *ended : (struct ledger_use){0};
    booked.next[booked.calls++] = *next;
    *may = booked.may;
    *refusal = (struct ledger_refusal){.kind = LEDGER_OVER_LIMIT, .scope = "user/ada", .metric = METRIC_TOKENS, .shape = SHAPE_TOTAL,
                                       .limit = 10, .used = 10, .asked = 5, .retry_after_ms = -1};
    return WEIR_OK;
}

static struct ticket ticket;

static int set_up(void **state)
{
    static const char *const names[] = {"p0", "p1", "p2"}, *const urls[] = {"http://p0", "http://p1", "http://p2"};
    (void)state;
    rig = (struct rig){.model = &priced, .now = 5000, .gone_before = -1};
    rig.caller.snap = &rig.snap;
    rig.snap.settings.keepalive_ms = 200;
    rig.snap.settings.deadline_ms = 6000000;
    rig.r = (struct request){.conn = &rig.door, .method = METHOD_POST, .id = "req_1", .begun_mono_ms = 4990};
    rig.tools.stop_fd = -1;
    for (int i = 0; i < TARGETS; i++) {
        rig.providers[i] = (struct provider_row){.name = names[i], .dialect = "openai", .base_url = urls[i],
                                                 .first_byte_ms = 1000, .idle_ms = 500, .total_ms = 10000};
        rig.targets[i] = (struct target){.provider = &rig.providers[i], .model = "real", .price = &priced.price, .alias = &priced};
    }
    memset(&booked, 0, sizeof booked);
    ticket = (struct ticket){.grant = {.ticket = 7}};
    arena_init(&rig.memory);
    buf_init(&rig.door.sent, 1 << 28);
    clock_replace(now_ms, now_ms);
    log_open("/dev/null", LOG_ERROR);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < TARGETS; i++) {
        if (rig.fakes[i].open) rig.fakes[i].up.ops->close(&rig.fakes[i].up);
        free(rig.bodies[i]);
    }
    buf_free(&rig.out.body);
    buf_free(&rig.out.tail);
    arena_end(&rig.memory);
    buf_free(&rig.door.sent);
    clock_replace(NULL, NULL);
    return 0;
}

static void relay(enum face face, const char *body, const struct script *scripts, int count)
{
    struct problem p;
    assert_int_equal(parse_chat(face, span_of(body), &rig.memory, &rig.chat, &p), WEIR_OK);
    for (int i = 0; i < TARGETS; i++) rig.targets[i].asked = face;
    const struct plan plan = {.model = rig.model, .targets = rig.targets, .count = count};
    struct experience *none = experience_new();
    estimate_request(&rig.chat, &priced, none, &ticket.estimate);
    experience_free(none);
    rig.scripts = scripts;
    relay_run(&rig.tools, &rig.r, &rig.caller, &rig.chat, &plan, &ticket, &rig.memory, &rig.out);
}

/* As the pipeline does: the rest goes out, then the upstream is let go. Everything that was sent. */
static const char *finish(void)
{
    if (rig.out.end != END_CANCELLED) answer_outcome(&rig.r, &rig.out);
    relay_end(&rig.out);
    for (int i = 0; i < TARGETS; i++) assert_false(rig.fakes[i].open);
    return buf_cstr(&rig.door.sent);
}

static const char *below_head(const char *sent)
{
    const char *at = strstr(sent, "\r\n\r\n");
    assert_non_null(at);
    return at + 4;
}

#define MESSAGES ",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"
#define STREAM "{\"model\":\"m\",\"stream\":true" MESSAGES
#define STREAM_WITH_USAGE "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true}" MESSAGES
#define PLAIN "{\"model\":\"m\"" MESSAGES

#define ROLE "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n"
#define SAY(text) "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"},\"finish_reason\":null}]}\n\n"
#define FINISH "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define USAGE "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n"
#define DONE "data: [DONE]\n\n"
#define OURS(text, code) "data: {\"error\":{\"message\":\"" text "\",\"type\":\"server_error\",\"param\":null,\"code\":\"" code "\"}}\n\n"
#define BROKE OURS("The provider's answer broke off; it is not whole.", "upstream_error")

#define GOOD {.steps = {{HEAD}, {BYTES, ROLE SAY("good") FINISH DONE}, {END}}}
#define GOOD_TEXT ROLE SAY("good") FINISH DONE

/* One provider's stream: what the caller gets of it, and how it ends. */
static void expect_stream(const char *body, const struct script *script, const char *want, enum end end)
{
    relay(FACE_CHAT, body, script, 1);
    assert_int_equal(rig.out.end, end);
    assert_string_equal(below_head(finish()), want);
}

static void again(void)
{
    tear_down(NULL);
    set_up(NULL);
}

/* ---- what is booked ---- */

static void every_further_attempt_is_booked_with_what_the_last_one_used(void **state)
{
    static const struct script s[] = {{.status = 503, .steps = {{HEAD}, {BYTES, "{}"}, {END}}},
                                      {.steps = {{HEAD}, {BYTES, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":1}}\n\n"}, {END}}}, GOOD};
    (void)state;
    relay(FACE_CHAT, STREAM, s, 3);
    assert_int_equal(rig.out.end, END_OK);
    assert_int_equal(booked.calls, 2);
    assert_int_equal(booked.next[0].number, 2);
    assert_int_equal(booked.next[0].ticket, 7);
    assert_int_equal(booked.ended[0].number, 1);
    assert_int_equal(booked.ended[0].tokens, 0);
    assert_true(booked.ended[0].sent);
    assert_int_equal(booked.next[1].number, 3);
    assert_int_equal(booked.ended[1].tokens, 5); /* it failed, and the provider has counted all the same */
    assert_int_equal(rig.out.usage.prompt, 4 + ticket.estimate.prompt_estimate);
    assert_true(rig.out.estimated);
    assert_int_equal(rig.out.uses[0].number, 3);
    finish();
}

static void a_limit_that_refuses_a_further_attempt_stops_failover(void **state)
{
    static const struct script s[] = {{.status = 503, .steps = {{HEAD}, {BYTES, "{}"}, {END}}}, GOOD};
    (void)state;
    booked.may = LEDGER_STOP;
    relay(FACE_CHAT, PLAIN, s, 2);
    assert_int_equal(rig.out.end, END_FAILED);
    assert_int_equal(rig.out.status, 503);
    assert_int_equal(rig.out.attempts, 1);
    finish();
}

static void providers_whose_limits_refuse_are_passed_over(void **state)
{
    static const struct script s[] = {GOOD, GOOD};
    (void)state;
    ticket.first = LEDGER_SKIP_TARGET;
    relay(FACE_CHAT, STREAM, s, 2);
    assert_int_equal(rig.out.end, END_OK);
    assert_int_equal(rig.out.attempts, 1);
    assert_int_equal(booked.next[0].number, 1);
    assert_int_equal(booked.ended[0].number, 0);
    finish();
    again();
    ticket.first = LEDGER_SKIP_TARGET;
    booked.may = LEDGER_SKIP_TARGET;
    relay(FACE_CHAT, STREAM, s, 2);
    assert_int_equal(rig.out.end, END_REFUSED);
    assert_int_equal(rig.out.status, 429);
    assert_int_equal(rig.out.attempts, 0);
    assert_false(rig.out.sent);
    assert_non_null(strstr(finish(), "user/ada"));
}

static void under_hard_limits_the_held_maximum_goes_along(void **state)
{
    static const struct script s[] = {GOOD};
    (void)state;
    ticket.grant = (struct ledger_grant){.ticket = 7, .hard_tokens = true, .output = 100};
    relay(FACE_CHAT, "{\"model\":\"m\",\"stream\":true,\"n\":2,\"max_tokens\":900" MESSAGES, s, 1);
    assert_non_null(strstr(rig.bodies[0], "\"max_tokens\":50,"));
    finish();
    again();
    ticket.grant = (struct ledger_grant){.ticket = 7, .hard_tokens = true, .output = 4096};
    relay(FACE_CHAT, STREAM, s, 1);
    assert_non_null(strstr(rig.bodies[0], "\"max_tokens\":4096,"));
    finish();
}

/* The provider has read it by then. Whoever asks and leaves, again and again, asks at their own cost. */
static void who_leaves_before_a_word_pays_for_what_was_read(void **state)
{
    static const struct script s[] = {{.steps = {{GONE, NULL, 50}}}}, refused[] = {{.refused = WEIR_INTERNAL}, {.steps = {{GONE, NULL, 50}}}};
    (void)state;
    relay(FACE_CHAT, STREAM, s, 1);
    assert_int_equal(rig.out.end, END_CANCELLED);
    assert_true(rig.out.estimated && ticket.estimate.prompt_estimate > 0);
    assert_int_equal(rig.out.usage.prompt, ticket.estimate.prompt_estimate);
    assert_int_equal(rig.out.usage.completion, 0);
    assert_int_equal(rig.out.uses[0].tokens, ticket.estimate.prompt_estimate);
    finish();
    again();
    relay(FACE_CHAT, PLAIN, s, 1); /* an answer in one piece was being written */
    assert_int_equal(rig.out.usage.prompt, ticket.estimate.prompt_estimate);
    assert_int_equal(rig.out.usage.completion, ticket.estimate.output_estimate);
    assert_true(rig.out.usage.completion > 0 && rig.out.estimated);
    finish();
    again();
    ticket.grant = (struct ledger_grant){.ticket = 7, .hard_tokens = true, .clamped = true, .output = 20};
    relay(FACE_CHAT, PLAIN, s, 1); /* it was told to write no more, and no more is held */
    assert_true(ticket.estimate.output_estimate > 20);
    assert_int_equal(rig.out.usage.completion, 20);
    finish();
    again();
    relay(FACE_CHAT, STREAM, refused, 1);
    assert_false(rig.out.usage.known); /* nothing was sent */
    finish();
}

/* They were made before the words that he has read; how many, the end of the stream would have told. */
static void who_leaves_behind_a_search_pays_for_it(void **state)
{
    static const struct script
        response[] = {{.steps = {{HEAD}, {BYTES, "data: {\"type\":\"response.output_item.done\",\"item\":{\"type\":\"web_search_call\",\"action\":{\"type\":\"search\"}}}\n\n"
                                                "data: {\"type\":\"response.output_text.delta\",\"delta\":\"found\"}\n\n"}, {GONE}}}},
        message[] = {{.steps = {{HEAD}, {BYTES, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n"
                                                "data: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"web_search_tool_result\",\"content\":{\"type\":\"web_search_tool_result_error\"}}}\n\n"
                                                "data: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"web_search_tool_result\",\"content\":[]}}\n\n"}, {GONE}}}},
        chat[] = {{.steps = {{HEAD}, {BYTES, SAY("found")}, {GONE}}}}, silent[] = {{.steps = {{HEAD}, {GONE}}}};
    static const struct { enum face face; const char *body; const struct script *script; bool once; int64_t searches; } all[] = {
        {FACE_RESPONSES, "{\"model\":\"m\",\"stream\":true,\"input\":\"hi\"}", response, false, 1},
        {FACE_MESSAGES, "{\"model\":\"m\",\"stream\":true,\"max_tokens\":50" MESSAGES, message, false, 1},
        {FACE_CHAT, STREAM, chat, true, 1}, {FACE_CHAT, STREAM, silent, true, 0}, {FACE_CHAT, STREAM, chat, false, 0},
    };
    const struct price fee = {.known = true, .stated = 1u << PRICE_SEARCHES, .part[PRICE_SEARCHES] = 10000000000};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        again();
        rig.targets[0].price = &fee;
        ticket.tariff.searches_once = all[i].once;
        relay(all[i].face, all[i].body, all[i].script, 1);
        assert_int_equal(rig.out.end, END_CANCELLED);
        assert_int_equal(price_total(&rig.out.cost), all[i].searches * 10000000);
        finish();
    }
}

/* Half a second of it, 10 tokens, is 32,000 characters, which as text were 8,000. */
static void who_leaves_in_the_middle_of_sound_pays_for_what_he_has_heard(void **state)
{
    static char event[33000];
    const struct script s[] = {{.steps = {{HEAD}, {BYTES, SAY("")}, {BYTES, event}, {GONE}}}};
    const struct price loud = {.known = true, .output = 1000000000, .stated = 1u << PRICE_AUDIO_OUTPUT, .part[PRICE_AUDIO_OUTPUT] = 8000000000};
    (void)state;
    int lead = snprintf(event, sizeof event, "data: {\"choices\":[{\"index\":0,\"delta\":{\"audio\":{\"transcript\":\"four\",\"data\":\"");
    memset(event + lead, 'A', 32000);
    snprintf(event + lead + 32000, sizeof event - (size_t)lead - 32000, "\"}}}]}\n\n");
    rig.targets[0].price = &loud;
    relay(FACE_CHAT, STREAM, s, 1);
    assert_int_equal(rig.out.end, END_CANCELLED);
    assert_int_equal(rig.out.usage.completion, 1 + 10);
    assert_int_equal(price_total(&rig.out.cost), 1 * 1000 + 10 * 8000);
    finish();
}

/* ---- two at a time ---- */

static void a_silent_first_is_overtaken_by_the_second_and_closed(void **state)
{
    static const struct script s[] = {{.steps = {{QUIET}}}, {.steps = {{HEAD, NULL, 30}, {BYTES, ROLE SAY("good") FINISH DONE, 30}, {END}}}, GOOD};
    (void)state;
    rig.model = &hedged;
    relay(FACE_CHAT, STREAM, s, 3);
    assert_int_equal(rig.out.end, END_OK);
    assert_int_equal(rig.out.attempts, 2);
    assert_int_equal(rig.opened, 2);
    assert_ptr_equal(rig.out.target, &rig.targets[1]);
    assert_int_equal(rig.out.first_byte_ms, 10 + 100 + 60);
    assert_false(rig.fakes[0].open);
    assert_int_equal(booked.calls, 1); /* before it was asked, while the first was open */
    assert_int_equal(booked.ended[0].number, 0);
    assert_int_equal(rig.out.use_count, 2); /* both end with the ticket */
    assert_string_equal(below_head(finish()), GOOD_TEXT);
}

static void a_client_that_goes_and_a_stop_end_both(void **state)
{
    static const struct script gone[] = {{.steps = {{GONE, NULL, 300}}}, {.steps = {{QUIET}}}};
    static const struct script stop[] = {{.steps = {{STOPS, NULL, 300}}}, {.steps = {{QUIET}}}};
    (void)state;
    rig.model = &hedged;
    relay(FACE_CHAT, STREAM, gone, 2);
    assert_int_equal(rig.out.end, END_CANCELLED);
    assert_int_equal(rig.out.attempts, 2);
    assert_int_equal(rig.now, 5300);
    finish();
    again();
    rig.model = &hedged;
    relay(FACE_CHAT, PLAIN, stop, 2);
    assert_int_equal(rig.opened, 2);
    assert_int_equal(rig.out.status, 503);
    assert_int_equal(rig.now, 5300);
    finish();
}

static void what_one_target_faults_another_may_answer_but_not_the_same_with_another_key(void **state)
{
    static const struct script fault = {.status = 400, .steps = {{HEAD, NULL, 50}, {BYTES, "{}"}, {END}}};
    const struct script good[] = {{.steps = {{HEAD, NULL, 300}, {BYTES, ROLE SAY("good") FINISH DONE}, {END}}}, fault, GOOD};
    const struct script bad[] = {{.steps = {{FAILED, NULL, 300}}}, fault, GOOD};
    (void)state;
    rig.model = &hedged;
    relay(FACE_CHAT, STREAM, good, 3);
    assert_int_equal(rig.out.end, END_OK);
    assert_int_equal(rig.out.attempts, 2);
    assert_ptr_equal(rig.out.target, &rig.targets[0]);
    assert_string_equal(below_head(finish()), GOOD_TEXT);
    again();
    rig.model = &hedged;
    relay(FACE_CHAT, STREAM, bad, 3); /* nobody answered: the fault is told, and no third is asked */
    assert_int_equal(rig.out.status, 400);
    assert_int_equal(rig.out.attempts, 2);
    assert_ptr_equal(rig.out.target, &rig.targets[1]);
    assert_int_equal(rig.now, 5300);
    finish();
    again();
    rig.model = &hedged;
    rig.targets[1].provider = rig.targets[0].provider;
    relay(FACE_CHAT, STREAM, good, 2);
    assert_int_equal(rig.out.status, 400);
    assert_int_equal(rig.now, 5150);
    finish();
}

static void when_one_of_two_fails_the_other_goes_on_and_then_the_third(void **state)
{
    static const struct script s[] = {{.steps = {{FAILED, NULL, 150}}}, {.status = 503, .steps = {{HEAD, NULL, 400}, {BYTES, "{}"}, {END}}}, GOOD};
    (void)state;
    rig.model = &hedged;
    relay(FACE_CHAT, STREAM, s, 3);
    assert_int_equal(rig.out.end, END_OK);
    assert_int_equal(rig.out.attempts, 3);
    assert_int_equal(booked.calls, 2);
    assert_int_equal(booked.ended[1].number, 1); /* and the second with it */
    assert_int_equal(rig.out.use_count, 1);
    finish();
}

/* ---- streams that end well ---- */

static void a_stream_goes_through_unchanged(void **state)
{
    static const struct script s[] = {{.steps = {{HEAD}, {BYTES, ROLE SAY("a"), 10}, {BYTES, SAY("b") FINISH, 10}, {BYTES, USAGE DONE, 10}, {END}}}};
    (void)state;
    relay(FACE_CHAT, STREAM, s, 1);
    assert_string_equal(below_head(buf_cstr(&rig.door.sent)), ROLE SAY("a") SAY("b") FINISH); /* its end waits for the audit row */
    assert_int_equal(rig.out.end, END_OK);
    assert_int_equal(rig.out.status, 200);
    assert_true(rig.out.begun);
    assert_int_equal(rig.out.first_byte_ms, 20);
    assert_int_equal(rig.out.attempts, 1);
    assert_true(rig.out.usage.known && !rig.out.estimated);
    assert_int_equal(rig.out.uses[0].cost, 3 * 1000 + 2 * 2000);
    assert_int_equal(rig.out.uses[0].tokens, 5);
    assert_int_equal(rig.out.usage.prompt, 3);
    assert_int_equal(rig.out.usage.completion, 2);
    assert_null(rig.out.error);
    assert_string_equal(below_head(finish()), ROLE SAY("a") SAY("b") FINISH DONE);
    assert_string_equal(rig.urls[0], "http://p0/chat/completions");
    assert_non_null(strstr(rig.bodies[0], "\"model\":\"real\""));
    assert_non_null(strstr(rig.bodies[0], "\"include_usage\":true"));
}

static void content_is_flushed_the_moment_it_comes(void **state)
{
    static const struct script s[] = {{.steps = {{HEAD}, {BYTES, ROLE, 10}, {BYTES, SAY("a"), 10}, {BYTES, SAY("b"), 10}, {BYTES, FINISH DONE, 10}, {END}}}};
    (void)state;
    relay(FACE_CHAT, STREAM, s, 1);
    assert_true(rig.door.flushes >= 2);
    assert_int_equal(rig.door.flushed[0].at, 5020); /* not with the head */
    assert_string_equal(below_head(rig.door.sent.at), below_head(buf_cstr(&rig.door.sent)));
    size_t head = (size_t)(below_head(buf_cstr(&rig.door.sent)) - rig.door.sent.at);
    assert_int_equal(rig.door.flushed[0].len, head + strlen(ROLE SAY("a")));
    assert_int_equal(rig.door.flushed[1].at, 5030);
    assert_int_equal(rig.door.flushed[1].len, head + strlen(ROLE SAY("a") SAY("b")));
    finish();
}

static void the_usage_chunk_is_for_who_asked(void **state)
{
    static const struct script s = {.steps = {{HEAD}, {BYTES, ROLE SAY("a") FINISH USAGE DONE}, {END}}};
    static const struct script with_content = {.steps = {{HEAD}, {BYTES, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}],"
                                                                         "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n" DONE}, {END}}};
    (void)state;
    expect_stream(STREAM, &s, ROLE SAY("a") FINISH DONE, END_OK);
    assert_true(rig.out.usage.known);
    again();
    expect_stream(STREAM_WITH_USAGE, &s, ROLE SAY("a") FINISH USAGE DONE, END_OK);
    assert_true(rig.out.usage.known);
    again();
    expect_stream(STREAM, &with_content, with_content.steps[1].text, END_OK);
    assert_int_equal(rig.out.usage.completion, 2);
}

static void the_same_goes_out_however_it_comes_in(void **state)
{
    static const char text[] = ": hello\n\n" ROLE "event: x\r\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\xE2\x82\xAC\"}}]}\r\n\r\n" FINISH USAGE DONE;
    static const char want[] = ROLE "event: x\r\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\xE2\x82\xAC\"}}]}\r\n\r\n" FINISH DONE;
    static const struct script whole = {.steps = {{HEAD}, {BYTES, text}, {END}}}, drip = {.steps = {{HEAD}, {DRIP, text}, {END}}};
    (void)state;
    expect_stream(STREAM, &whole, want, END_OK);
    again();
    expect_stream(STREAM, &drip, want, END_OK);
    assert_int_equal(rig.out.usage.completion, 2);
}

/* Comments, and events without data that some SDKs choke on (WIRE.md 1). */
static void what_is_no_event_is_left_out(void **state)
{
    static const struct script s = {.steps = {{HEAD}, {BYTES, ": ping\n\ndata:\n\nevent: ping\n\n\n\n" SAY("a") ": ping\n\ndata: \n\nid: 4\n\n" FINISH DONE}, {END}}};
    (void)state;
    expect_stream(STREAM, &s, SAY("a") FINISH DONE, END_OK);
}

static void an_end_that_lacks_its_last_bytes_is_mended(void **state)
{
    static const struct script all[] = {
        {.steps = {{HEAD}, {BYTES, SAY("a") FINISH "data: [DONE]"}, {END}}}, {.steps = {{HEAD}, {BYTES, SAY("a") FINISH "data: [DONE]\n"}, {FAILED}}},
        {.steps = {{HEAD}, {BYTES, SAY("a") FINISH}, {END}}}, {.steps = {{HEAD}, {BYTES, SAY("a") FINISH}, {FAILED}}},
        {.steps = {{HEAD}, {BYTES, SAY("a") FINISH ": half a comm"}, {END}}},
        {.steps = {{HEAD}, {BYTES, SAY("a") "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}"}, {END}}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        again();
        expect_stream(STREAM, &all[i], SAY("a") FINISH DONE, END_OK);
    }
}

/* ---- streams that do not ---- */

static void a_stream_that_breaks_off_is_not_ended_cleanly(void **state)
{
    static const struct script all[] = {
        {.steps = {{HEAD}, {BYTES, SAY("a")}, {END}}}, {.steps = {{HEAD}, {BYTES, SAY("a")}, {FAILED}}}, {.steps = {{HEAD}, {BYTES, SAY("a") DONE}, {END}}},
        {.steps = {{HEAD}, {BYTES, SAY("a") "data: {\"choices\":[{\"index\":0"}, {END}}}, {.steps = {{HEAD}, {BYTES, SAY("a") "data: nonsense\n\n" FINISH DONE}, {END}}},
        {.steps = {{HEAD}, {BYTES, SAY("a") ROLE USAGE DONE}, {END}}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        again();
        expect_stream(STREAM, &all[i], i == 5 ? SAY("a") ROLE BROKE : SAY("a") BROKE, END_TRUNCATED);
        assert_int_equal(rig.out.status, 200);
        assert_int_equal(rig.out.usage.completion, i == 5 ? 2 : 1); /* told, or estimated from one character */
        assert_int_equal(rig.out.estimated, i != 5);
        assert_int_equal(strncmp(rig.out.error, "p0: ", 4), 0);
    }
}

static void a_choice_without_finish_is_a_truncation(void **state)
{
    static const char one[] = "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"b\"}}]}\n\n";
    static const struct script s = {.steps = {{HEAD}, {BYTES, SAY("a")}, {BYTES, one}, {BYTES, FINISH DONE}, {END}}};
    (void)state;
    relay(FACE_CHAT, "{\"model\":\"m\",\"n\":2,\"stream\":true" MESSAGES, &s, 1);
    assert_int_equal(rig.out.end, END_TRUNCATED);
    assert_null(strstr(finish(), "[DONE]"));
}

static void an_error_in_the_stream_is_told_in_its_own_words(void **state)
{
    static const struct script s = {.steps = {{HEAD}, {BYTES, SAY("a") "data: {\"error\":{\"message\":\"over capacity\",\"type\":\"t\",\"code\":\"c\",\"status_code\":400}}\n\n" FINISH DONE}, {END}}};
    (void)state;
    expect_stream(STREAM, &s, SAY("a") "data: {\"error\":{\"message\":\"over capacity\",\"type\":\"t\",\"param\":null,\"code\":\"c\"}}\n\n", END_TRUNCATED);
    assert_string_equal(rig.out.error, "p0: over capacity");
}

static void an_event_without_end_is_given_up(void **state)
{
    static char piece[65537];
    memset(piece, 'x', sizeof piece - 1);
    const struct script s[] = {{.steps = {{HEAD}, {BYTES, "data: {\""}, {BYTES, piece, 0, 80}, {END}}}, GOOD};
    const struct script later = {.steps = {{HEAD}, {BYTES, SAY("a") "data: {\""}, {BYTES, piece, 0, 80}, {END}}};
    (void)state;
    relay(FACE_CHAT, STREAM, s, 2);
    assert_string_equal(below_head(finish()), GOOD_TEXT);
    assert_true(rig.fakes[0].waits < 70); /* 4 MB, and not what came after */
    again();
    expect_stream(STREAM, &later, SAY("a") BROKE, END_TRUNCATED);
}

/* ---- failover ---- */

/* The first script fails before its first content: nothing of it is seen, and the second answers. */
static void expect_failover(const struct script *first, const char *reason)
{
    const struct script s[] = {*first, GOOD};
    again();
    relay(FACE_CHAT, STREAM, s, 2);
    assert_int_equal(rig.out.end, END_OK);
    assert_int_equal(rig.out.attempts, 2);
    assert_ptr_equal(rig.out.target, &rig.targets[1]);
    assert_null(rig.out.error);
    const char *sent = finish();
    assert_non_null(strstr(sent, "x-weir-provider: p1\r\n"));
    assert_non_null(strstr(sent, "x-weir-attempts: 2\r\n"));
    assert_null(strstr(sent, "retry-after"));
    assert_string_equal(below_head(sent), GOOD_TEXT);
    again();
    relay(FACE_CHAT, STREAM, first, 1);
    assert_int_equal(rig.out.end, END_FAILED);
    assert_false(rig.out.begun);
    assert_int_equal(rig.out.first_byte_ms, -1);
    if (!strstr(rig.out.error, reason)) fail_msg("\"%s\" is not \"%s\"", rig.out.error, reason);
    sent = finish();
    assert_null(strstr(sent, "text/event-stream"));
    assert_null(strstr(sent, "\"delta\""));
}

static void whatever_fails_before_content_is_asked_elsewhere(void **state)
{
    static const struct { struct script s; const char *reason; } all[] = {
        {{.steps = {{FAILED}}}, "connection reset"}, {{.steps = {{HEAD}, {FAILED}}}, "connection reset"}, {{.steps = {{HEAD}, {BYTES, ROLE}, {FAILED}}}, "connection reset"},
        {{.steps = {{HEAD}, {END}}}, "without content"}, {{.steps = {{HEAD}, {BYTES, ROLE ROLE DONE}, {END}}}, "without content"},
        {{.steps = {{HEAD}, {BYTES, ROLE}, {END}}}, "without content"}, {{.steps = {{HEAD}, {BYTES, ROLE "data: {\"error\":{\"message\":\"busy\"}}\n\n"}}}, "busy"},
        {{.steps = {{HEAD}, {BYTES, ROLE "data: oops\n\n"}}}, "an event that is none"}, {{.steps = {{HEAD}, {BYTES, "{\"error\":{\"message\":\"busy\"}}"}, {END}}}, ""},
        {{.steps = {{HEAD}, {BYTES, "<html>\n\n</html>\n\n"}, {END}}}, "without content"}, {{.steps = {{QUIET}}}, "in time"}, {{.steps = {{HEAD}, {BYTES, ROLE}}}, "in time"},
        {{.status = 500, .steps = {{HEAD}, {BYTES, "{\"error\":\"busy\"}"}, {END}}}, "answered 500: busy"}, {{.status = 503, .steps = {{HEAD}, {END}}}, "answered 503"},
        {{.status = 429, .headers = "retry-after: 9", .steps = {{HEAD}, {BYTES, "{}"}, {END}}}, "answered 429"}, {{.status = 408, .steps = {{HEAD}, {END}}}, "408"},
        {{.status = 529, .steps = {{HEAD}, {END}}}, "529"}, {{.status = 502, .steps = {{HEAD}, {END}}}, "502"}, {{.status = 504, .steps = {{HEAD}, {END}}}, "504"},
        {{.status = 401, .steps = {{HEAD}, {END}}}, "401"}, {{.status = 403, .steps = {{HEAD}, {END}}}, "403"}, {{.status = 302, .steps = {{HEAD}, {END}}}, "answered 302"},
        {{.status = 204, .steps = {{HEAD}, {END}}}, "answered 204"}, {{.status = 500, .steps = {{HEAD}, {BYTES, "x"}, {FAILED}}}, "connection reset"},
        {{.refused = WEIR_NOMEM}, "p0: "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) expect_failover(&all[i].s, all[i].reason);
}

static void a_head_without_content_is_not_held_for_ever(void **state)
{
    static char event[65600];
    size_t n = (size_t)sprintf(event, "data: {\"choices\":[],\"x\":\"");
    memset(event + n, 'x', 65536);
    strcpy(event + n + 65536, "\"}\n\n");
    const struct script s = {.steps = {{HEAD}, {BYTES, event, 0, 40}, {BYTES, SAY("late")}}};
    (void)state;
    expect_failover(&s, "no content for too long");
}

static void what_is_held_before_content_has_an_exact_bound(void **state)
{
    static char event[BOUND_HELD_HEAD + 2];
    const struct script s[] = {{.steps = {{HEAD}, {BYTES, event}, {BYTES, SAY("late") FINISH DONE}, {END}}}};
    (void)state;
    for (size_t past = 0; past <= 1; past++) {
        size_t size = BOUND_HELD_HEAD + past, n = (size_t)sprintf(event, "data: {\"choices\":[],\"x\":\"");
        memset(event + n, 'x', size - n);
        memcpy(event + size - 4, "\"}\n\n", 5);
        again();
        relay(FACE_CHAT, STREAM, s, 1);
        assert_int_equal(rig.out.end, past ? END_FAILED : END_OK);
        finish();
    }
}

static void targets_are_asked_in_order_until_none_is_left(void **state)
{
    static const struct script s[] = {{.status = 500, .steps = {{HEAD}, {END}}}, {.steps = {{FAILED}}}, {.status = 429, .headers = "retry-after: 7",
                                      .steps = {{HEAD}, {BYTES, "{\"error\":{\"message\":\"slow down\"}}"}, {END}}}};
    (void)state;
    relay(FACE_CHAT, STREAM, s, 3);
    assert_int_equal(rig.out.attempts, 3);
    assert_ptr_equal(rig.out.target, &rig.targets[2]);
    assert_string_equal(rig.urls[0], "http://p0/chat/completions");
    assert_string_equal(rig.urls[1], "http://p1/chat/completions");
    assert_string_equal(rig.urls[2], "http://p2/chat/completions");
    assert_int_equal(rig.out.end, END_FAILED);
    assert_int_equal(rig.out.status, 429);
    const char *sent = finish();
    assert_non_null(strstr(sent, "Status: 429 "));
    assert_non_null(strstr(sent, "retry-after: 7\r\n"));
    assert_non_null(strstr(sent, "\"message\":\"slow down\""));
}

static void nothing_is_asked_elsewhere_after_content(void **state)
{
    static const struct step ends[] = {{.what = END}, {.what = FAILED}, {.what = BYTES, .text = "data: {\"error\":\"busy\"}\n\n"},
                                       {.what = BYTES, .text = "data: oops\n\n"}, {.what = QUIET}, {.what = STOPS}, {.what = GONE}};
    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const struct script s[] = {{.steps = {{HEAD}, {BYTES, SAY("a")}, ends[i]}}, GOOD};
        again();
        relay(FACE_CHAT, STREAM, s, 2);
        assert_int_equal(rig.opened, 1);
        assert_int_equal(rig.out.end, ends[i].what == GONE ? END_CANCELLED : END_TRUNCATED);
        const char *sent = finish();
        assert_null(strstr(sent, "good"));
        assert_null(strstr(sent, "[DONE]"));
    }
}

static void a_request_the_provider_faults_goes_straight_back(void **state)
{
    static const char full[] = "{ \"error\" : {\"message\":\"m\",\"type\":\"t\",\"param\":\"messages\",\"code\":null,\"x\":1} }\n";
    static const int statuses[] = {400, 413, 422};
    (void)state;
    for (int stream = 0; stream < 2; stream++)
        for (int i = 0; i < 3; i++) {
            const struct script s[] = {{.status = statuses[i], .steps = {{HEAD}, {BYTES, full}, {END}}}, GOOD};
            const struct script other[] = {{.status = statuses[i], .steps = {{HEAD}, {BYTES, "{\"detail\":\"m\"}"}, {END}}}, GOOD};
            again();
            relay(FACE_CHAT, stream ? STREAM : PLAIN, s, 2);
            assert_int_equal(rig.opened, 1);
            assert_int_equal(rig.out.status, statuses[i]);
            assert_string_equal(below_head(finish()), full);
            again();
            relay(FACE_CHAT, stream ? STREAM : PLAIN, other, 2);
            assert_int_equal(rig.opened, 1);
            assert_string_equal(below_head(finish()), "{\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"param\":null,\"code\":null}}");
        }
}

/* What a provider says of the gateway's own key may quote it. */
static void trouble_with_our_key_is_not_passed_on(void **state)
{
    static const int statuses[] = {401, 402, 403};
    (void)state;
    for (int i = 0; i < 3; i++) {
        const struct script s = {.status = statuses[i], .headers = "retry-after: 9", .steps = {{HEAD}, {BYTES,
            "{\"error\":{\"message\":\"Incorrect API key provided: sk-pro***cret\",\"type\":\"t\",\"param\":null,\"code\":\"invalid_api_key\"}}"}, {END}}};
        again();
        relay(FACE_CHAT, PLAIN, &s, 1);
        assert_null(strstr(rig.out.error, "sk-"));
        const char *sent = finish();
        assert_non_null(strstr(sent, "Status: 502 "));
        assert_null(strstr(sent, "sk-"));
        assert_null(strstr(sent, "invalid_api_key"));
        assert_null(strstr(sent, "retry-after"));
    }
}

/* Also where the key stands at the end of what is kept of the message. */
static void an_event_that_quotes_our_key_is_not_passed_on(void **state)
{
    static const char before[] = "data: {\"error\":{\"message\":\"", key[] = "sk-provider-0123456789abcdef";
    char text[900];
    assert_int_equal(secret_start(), WEIR_OK);
    struct secret *secret = secret_new(span_of(key));
    const struct upstream_key own = {.name = "k", .secret = secret};
    (void)state;
    for (int lead = 0; lead < 2; lead++) {
        snprintf(text, sizeof text, "%s%*s%s\"}}\n\n", before, (int)sizeof rig.out.fault.message - 10, "", key);
        const struct script s = {.steps = {{HEAD}, {BYTES, lead ? SAY("a") : ROLE}, {BYTES, text}, {END}}};
        again();
        rig.targets[0].key = &own;
        relay(FACE_CHAT, STREAM, &s, 1);
        assert_null(strstr(rig.out.error, "sk-prov"));
        assert_null(strstr(finish(), "sk-prov"));
    }
    rig.targets[0].key = NULL;
    secret_free(secret);
}

static void retry_after_is_never_above_a_minute(void **state)
{
    static const struct { const char *header; int told; } all[] = {
        {"retry-after: 5", 5}, {"Retry-After: 60", 60}, {"retry-after: 90", 60}, {"retry-after: 99999999999999999999", 60}, {"retry-after: 0", 0},
        {"retry-after: -1", 0}, {"retry-after: 1.5", 0}, {"retry-after: ", 0}, {"retry-after: Wed, 21 Oct 2026 07:28:00 GMT", 0}, {NULL, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const struct script s = {.status = 429, .headers = all[i].header, .steps = {{HEAD}, {BYTES, "{}"}, {END}}};
        again();
        relay(FACE_CHAT, PLAIN, &s, 1);
        assert_int_equal(rig.out.status, 429);
        assert_int_equal(rig.out.problem.retry_after_s, all[i].told);
        finish();
    }
}

/* ---- the client ---- */

static void a_client_that_has_gone_costs_no_call(void **state)
{
    static const struct script s[] = {{.status = 500, .steps = {{HEAD}, {END}}}, GOOD};
    (void)state;
    for (int gone = 0; gone < 2; gone++) {
        again();
        rig.gone_before = gone;
        relay(FACE_CHAT, STREAM, s, 2);
        assert_int_equal(rig.opened, gone);
        assert_int_equal(rig.out.attempts, gone);
        assert_int_equal(rig.out.end, END_CANCELLED);
        assert_int_equal(rig.out.status, 499);
        assert_int_equal(rig.out.first_byte_ms, -1);
        assert_string_equal(finish(), "");
    }
}

static void a_client_that_goes_ends_the_call_at_once(void **state)
{
    static const struct script before = {.steps = {{HEAD}, {BYTES, ROLE}, {GONE}, {BYTES, SAY("a") FINISH DONE}}};
    static const struct script after = {.steps = {{HEAD}, {BYTES, SAY("abc"), 10}, {GONE, NULL, 10}, {BYTES, FINISH DONE}}};
    static const struct script plain = {.steps = {{HEAD}, {BYTES, "{"}, {GONE}, {BYTES, "}"}}};
    (void)state;
    relay(FACE_CHAT, STREAM, &before, 2);
    assert_int_equal(rig.out.end, END_CANCELLED);
    assert_int_equal(rig.out.status, 499);
    assert_false(rig.fakes[0].open);
    assert_int_equal(rig.opened, 1);
    assert_string_equal(finish(), "");
    again();
    relay(FACE_CHAT, STREAM, &after, 2);
    assert_int_equal(rig.out.end, END_CANCELLED);
    assert_int_equal(rig.out.status, 200);
    assert_int_equal(rig.out.usage.completion, 1); /* three characters were delivered */
    assert_true(rig.out.estimated);
    assert_int_equal(rig.now, 5020);
    assert_false(rig.fakes[0].open);
    assert_string_equal(below_head(finish()), SAY("abc"));
    again();
    relay(FACE_CHAT, PLAIN, &plain, 2);
    assert_int_equal(rig.out.end, END_CANCELLED);
    assert_int_equal(rig.out.status, 499);
    assert_false(rig.fakes[0].open);
    assert_string_equal(finish(), "");
}

static void a_write_that_fails_ends_the_call_too(void **state)
{
    static const struct script s = {.steps = {{HEAD}, {BYTES, SAY("a")}, {BYTES, SAY("b") SAY("c")}, {BYTES, FINISH DONE}}};
    (void)state;
    relay(FACE_CHAT, STREAM, &s, 1);
    size_t head = (size_t)(below_head(finish()) - rig.door.sent.at);
    const size_t dies_at[] = {1, head, head + strlen(SAY("a"))};
    for (int i = 0; i < 3; i++) {
        again();
        rig.door.dies_at = dies_at[i];
        relay(FACE_CHAT, STREAM, &s, 1);
        assert_int_equal(rig.out.end, END_CANCELLED);
        assert_false(rig.fakes[0].open);
        assert_int_equal(rig.fakes[0].waits, i == 2 ? 3 : 2);
        finish();
    }
}

static void a_stream_is_drained_for_its_usage_where_that_is_set(void **state)
{
    static const struct script gone = {.steps = {{HEAD}, {BYTES, SAY("a")}, {GONE}, {BYTES, SAY("b"), 450}, {BYTES, FINISH USAGE DONE, 450}, {END}}};
    static const struct script unwritten = {.steps = {{HEAD}, {BYTES, SAY("a")}, {BYTES, SAY("b"), 450}, {GONE}, {BYTES, FINISH USAGE DONE, 450}, {END}}};
    (void)state;
    for (int i = 0; i < 2; i++) {
        again();
        rig.snap.settings.drain_on_disconnect = true;
        rig.snap.settings.keepalive_ms = i ? 100000 : 200;
        relay(FACE_CHAT, STREAM, &gone, 1);
        size_t most = rig.door.sent.len;
        assert_string_equal(below_head(buf_cstr(&rig.door.sent)), SAY("a"));
        assert_int_equal(rig.out.end, END_CANCELLED);
        assert_int_equal(rig.out.status, 200);
        assert_true(rig.out.usage.known);
        finish();
        assert_int_equal(rig.door.sent.len, most);
        again();
        rig.snap.settings.drain_on_disconnect = true;
        rig.snap.settings.keepalive_ms = 100000;
        rig.door.dies_at = most;
        relay(FACE_CHAT, STREAM, &unwritten, 1);
        assert_int_equal(rig.out.end, END_CANCELLED);
        assert_true(rig.out.usage.known);
        finish();
    }
    again();
    rig.snap.settings.drain_on_disconnect = true;
    rig.tools.is_cgi = true; /* also a program that its web server has told to end */
    relay(FACE_CHAT, STREAM, &gone, 1);
    assert_true(rig.out.usage.known && !rig.out.estimated);
    finish();
}

static void draining_has_its_times_and_no_second_call(void **state)
{
    static const struct script silent[] = {{.steps = {{HEAD}, {BYTES, SAY("a")}, {GONE}}}, GOOD};
    static const struct script broken[] = {{.steps = {{HEAD}, {GONE}, {FAILED}}}, GOOD};
    (void)state;
    rig.snap.settings.drain_on_disconnect = true;
    relay(FACE_CHAT, STREAM, silent, 2);
    assert_int_equal(rig.out.end, END_CANCELLED);
    assert_int_equal(rig.now, 5500);
    assert_int_equal(rig.opened, 1);
    finish();
    again();
    rig.snap.settings.drain_on_disconnect = true;
    relay(FACE_CHAT, STREAM, broken, 2);
    assert_int_equal(rig.out.end, END_CANCELLED);
    assert_int_equal(rig.out.status, 499);
    assert_int_equal(rig.opened, 1);
    finish();
}

/* way.h: begun, a head has gone out; first_byte_ms, -1 if nothing was sent. */
static void a_client_that_went_before_content_was_sent_nothing(void **state)
{
    static const struct script s = {.steps = {{HEAD}, {BYTES, ROLE}, {GONE}, {BYTES, SAY("a") FINISH USAGE DONE}, {END}}};
    static const struct script plain = {.steps = {{HEAD}, {GONE}, {BYTES, "{\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}"}, {END}}};
    (void)state;
    for (int i = 0; i < 2; i++) {
        again();
        rig.snap.settings.drain_on_disconnect = true;
        relay(FACE_CHAT, i ? STREAM : PLAIN, i ? &s : &plain, 1);
        assert_int_equal(rig.out.end, END_CANCELLED);
        assert_true(rig.out.usage.known);
        assert_string_equal(finish(), "");
        assert_int_equal(rig.out.status, 499);
        assert_int_equal(rig.out.first_byte_ms, -1);
    }
}

/* ---- stopping ---- */

static void a_stop_is_503_before_content_and_an_event_after(void **state)
{
    static const struct script before[] = {{.steps = {{HEAD}, {BYTES, ROLE}, {STOPS}}}, GOOD};
    static const struct script after = {.steps = {{HEAD}, {BYTES, SAY("a")}, {STOPS}}};
    (void)state;
    relay(FACE_CHAT, STREAM, before, 2);
    assert_int_equal(rig.opened, 1);
    assert_int_equal(rig.out.end, END_FAILED);
    assert_int_equal(rig.out.status, 503);
    const char *sent = finish();
    assert_non_null(strstr(sent, "Status: 503 "));
    assert_non_null(strstr(sent, "The gateway is stopping."));
    again();
    expect_stream(STREAM, &after, SAY("a") OURS("The gateway is stopping; the answer is not whole.", "upstream_error"), END_TRUNCATED);
    again();
    rig.tools.is_cgi = true; /* there a stop is the web server's: the client has gone */
    relay(FACE_CHAT, STREAM, &after, 1);
    assert_int_equal(rig.out.end, END_CANCELLED);
    finish();
}

/* Half of an answer must not go out as the body of our error. */
static void a_stop_in_the_middle_of_a_plain_answer_is_our_503(void **state)
{
    static const struct script all[] = {{.steps = {{HEAD}, {BYTES, "{\"choices\":[{\"mess"}, {STOPS}}},
                                        {.status = 500, .steps = {{HEAD}, {BYTES, "<html>half"}, {STOPS}}}};
    (void)state;
    for (int stream = 0; stream < 2; stream++)
        for (int i = stream; i < 2; i++) {
            again();
            relay(FACE_CHAT, stream ? STREAM : PLAIN, &all[i], 1);
            assert_int_equal(rig.out.status, 503);
            assert_string_equal(below_head(finish()), "{\"error\":{\"message\":\"The gateway is stopping.\",\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_error\"}}");
        }
}

/* ---- time ---- */

#define COMMENT ": keep-alive\n\n"

static void silence_is_filled_with_comments_and_ended_in_time(void **state)
{
    static const struct script s = {.steps = {{HEAD}, {BYTES, SAY("a")}, {BYTES, SAY("b"), 450}}};
    (void)state;
    relay(FACE_CHAT, STREAM, &s, 1);
    assert_int_equal(rig.now, 5950); /* half a second behind the last that was heard */
    assert_int_equal(rig.out.problem.err, WEIR_UPSTREAM_TIMEOUT);
    static const int64_t flushed[] = {5000, 5200, 5400, 5450, 5650, 5850};
    assert_true(rig.door.flushes >= 6);
    for (int i = 0; i < 6; i++) assert_int_equal(rig.door.flushed[i].at, flushed[i]);
    assert_string_equal(below_head(finish()), SAY("a") COMMENT COMMENT SAY("b") COMMENT COMMENT
                        OURS("The provider's answer broke off; it is not whole.", "upstream_timeout"));
}

static void comments_of_the_upstream_do_not_replace_ours(void **state)
{
    static const struct script s = {.steps = {{HEAD}, {BYTES, SAY("a")}, {BYTES, ": busy\n\n", 150, 4}, {BYTES, FINISH DONE, 10}, {END}}};
    (void)state;
    relay(FACE_CHAT, STREAM, &s, 1);
    assert_int_equal(rig.out.end, END_OK);
    assert_string_equal(below_head(finish()), SAY("a") COMMENT COMMENT COMMENT FINISH DONE);
}

static void nothing_is_sent_in_silence_before_content(void **state)
{
    static const struct script s = {.steps = {{HEAD}, {BYTES, ROLE, 300}}};
    (void)state;
    relay(FACE_CHAT, STREAM, &s, 1);
    assert_int_equal(rig.now, 6000);
    assert_int_equal(rig.out.status, 504);
    assert_int_equal(rig.door.sent.len, 0);
    assert_non_null(strstr(finish(), "\"code\":\"upstream_timeout\""));
}

static void times_that_are_not_set_have_their_defaults(void **state)
{
    static const struct script quiet = {.steps = {{QUIET}}}, silent = {.steps = {{HEAD}, {BYTES, SAY("a")}}};
    (void)state;
    rig.providers[0].first_byte_ms = rig.providers[0].idle_ms = rig.providers[0].total_ms = 0;
    relay(FACE_CHAT, STREAM, &quiet, 1);
    assert_int_equal(rig.now, 5000 + FIRST_BYTE_MS_DEFAULT);
    finish();
    again();
    rig.providers[0].first_byte_ms = rig.providers[0].idle_ms = rig.providers[0].total_ms = 0;
    relay(FACE_CHAT, PLAIN, &quiet, 1); /* a plain answer's first byte comes at its end */
    assert_int_equal(rig.now, 5000 + TOTAL_MS_DEFAULT);
    finish();
    again();
    rig.providers[0].first_byte_ms = rig.providers[0].idle_ms = rig.providers[0].total_ms = 0;
    relay(FACE_CHAT, STREAM, &silent, 1);
    assert_int_equal(rig.now, 5000 + IDLE_MS_DEFAULT);
    finish();
}

static void every_target_has_its_own_time_and_the_last_is_told(void **state)
{
    static const struct script s[] = {{.steps = {{QUIET}}}, {.failure = FAILURE_CONNECT_TIMEOUT, .steps = {{FAILED, NULL, 20}}}};
    (void)state;
    relay(FACE_CHAT, STREAM, s, 2);
    assert_int_equal(rig.now, 6020);
    assert_int_equal(rig.out.status, 504);
    assert_int_equal(strncmp(rig.out.error, "p1: ", 4), 0);
    finish();
}

static void an_answer_has_a_time_in_all(void **state)
{
    static const struct script stream = {.steps = {{HEAD}, {BYTES, SAY("a"), 100, 1000}}};
    static const struct script plain = {.steps = {{HEAD}, {BYTES, " ", 100, 1000}}};
    (void)state;
    rig.providers[0].total_ms = 2050;
    relay(FACE_CHAT, STREAM, &stream, 1);
    assert_int_equal(rig.now, 7050);
    assert_int_equal(rig.out.end, END_TRUNCATED);
    finish();
    again();
    rig.providers[0].total_ms = 2050;
    relay(FACE_CHAT, PLAIN, &plain, 1);
    assert_int_equal(rig.now, 7050);
    assert_int_equal(rig.out.status, 504);
    assert_non_null(strstr(finish(), "upstream_timeout"));
}

static void a_plain_answer_may_take_its_time_but_not_fall_silent(void **state)
{
    static const struct script slow = {.steps = {{HEAD, NULL, 900}, {BYTES, "{\"choices\":", 450}, {BYTES, "[]}", 450}, {END, NULL, 450}}};
    static const struct script silent = {.steps = {{HEAD}, {BYTES, "{\"choices\":"}}};
    (void)state;
    relay(FACE_CHAT, PLAIN, &slow, 1);
    assert_int_equal(rig.out.end, END_OK);
    finish();
    again();
    relay(FACE_CHAT, PLAIN, &silent, 1);
    assert_int_equal(rig.now, 5500);
    assert_int_equal(rig.out.status, 504);
    assert_null(strstr(finish(), "choices"));
}

/* An upstream that always has bytes never lets a wait time out (transfer_wait gives bytes first): the relay must look at
 * the clock itself. */
static void a_flood_does_not_outlast_its_time(void **state)
{
    static const struct script content = {.steps = {{HEAD}, {FLOOD, SAY("a")}}}, comments = {.steps = {{HEAD}, {FLOOD, ": busy\n\n"}}};
    (void)state;
    rig.providers[0].total_ms = 2000;
    relay(FACE_CHAT, STREAM, &content, 1);
    assert_true(rig.fakes[0].floods <= 210);
    finish();
    again();
    relay(FACE_CHAT, STREAM, &comments, 1);
    assert_true(rig.fakes[0].floods <= 110);
    finish();
}

static void bytes_behind_the_end_are_read_for_a_moment_only(void **state)
{
    static const struct script more = {.steps = {{HEAD}, {BYTES, SAY("a") FINISH DONE}, {BYTES, ": bye\n\n", 10}, {END, NULL, 10}}};
    static const struct script quiet = {.steps = {{HEAD}, {BYTES, SAY("a") FINISH DONE}}};
    static const struct script flood = {.steps = {{HEAD}, {BYTES, SAY("a") FINISH DONE}, {FLOOD, "x"}}};
    (void)state;
    expect_stream(STREAM, &more, SAY("a") FINISH DONE, END_OK);
    assert_int_equal(rig.now, 5020);
    again();
    expect_stream(STREAM, &quiet, SAY("a") FINISH DONE, END_OK);
    assert_int_equal(rig.now, 5050);
    again();
    expect_stream(STREAM, &flood, SAY("a") FINISH DONE, END_OK);
    assert_true(rig.fakes[0].floods <= 6);
}

/* ---- plain answers ---- */

#define ANSWER "{ \"choices\":[{\"index\":0,\"message\":{\"content\":\"abc\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n"

static void a_plain_answer_goes_through_unchanged(void **state)
{
    static const struct script s = {.steps = {{HEAD}, {DRIP, ANSWER}, {END, NULL, 40}}};
    (void)state;
    relay(FACE_CHAT, PLAIN, &s, 1);
    assert_int_equal(rig.door.sent.len, 0); /* the audit row comes first */
    assert_int_equal(rig.out.end, END_OK);
    assert_int_equal(rig.out.first_byte_ms, 50);
    assert_int_equal(rig.out.usage.completion, 2);
    assert_string_equal(rig.bodies[0], "{\"model\":\"real\"" MESSAGES);
    const char *sent = finish();
    assert_string_equal(below_head(sent), ANSWER);
    assert_non_null(strstr(sent, "Status: 200 OK\r\n"));
    assert_non_null(strstr(sent, "Content-Type: application/json\r\n"));
}

static void an_answer_without_usage_is_counted(void **state)
{
    static const struct script s = {.steps = {{HEAD}, {BYTES, "{\"choices\":[{\"message\":{\"content\":\"abc\"}},{\"message\":{\"content\":\"\xC3\xA9\"}}]}"}, {END}}};
    (void)state;
    relay(FACE_CHAT, PLAIN, &s, 1);
    assert_true(rig.out.estimated);
    assert_int_equal(rig.out.usage.completion, 1); /* four characters */
    assert_int_equal(rig.out.usage.prompt, ticket.estimate.prompt_estimate);
    finish();
}

static void what_is_no_answer_is_asked_elsewhere(void **state)
{
    static const char *const bad[] = {"", "<html>", "{\"choices\":[", "{\"error\":{\"message\":\"busy\"}}", "[]", "{\"choices\":null}", "data: {\"choices\":[]}\n\n"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct script s[] = {{.steps = {{HEAD}, {BYTES, bad[i]}, {END}}}, {.steps = {{HEAD}, {BYTES, ANSWER}, {END}}}};
        again();
        relay(FACE_CHAT, PLAIN, s, 2);
        assert_int_equal(rig.out.attempts, 2);
        assert_string_equal(below_head(finish()), ANSWER);
        again();
        relay(FACE_CHAT, PLAIN, s, 1);
        assert_int_equal(rig.out.status, 502);
        const char *sent = finish();
        if (*bad[i]) assert_null(strstr(sent, bad[i]));
        assert_true(i != 3 || strstr(sent, "\"message\":\"busy\""));
    }
}

static void an_answer_or_error_too_long_is_not_kept(void **state)
{
    static char piece[(1 << 20) + 1];
    memset(piece, 'x', sizeof piece - 1);
    const struct script s[] = {{.steps = {{HEAD}, {BYTES, piece, 0, 70}, {END}}}, {.steps = {{HEAD}, {BYTES, ANSWER}, {END}}}};
    const struct script error = {.status = 500, .steps = {{HEAD}, {BYTES, "{\"error\":{\"message\":\""}, {BYTES, piece}, {BYTES, "\"}}"}, {END}}};
    (void)state;
    relay(FACE_CHAT, PLAIN, s, 2);
    assert_true(rig.fakes[0].waits <= 67);
    assert_string_equal(below_head(finish()), ANSWER);
    again();
    relay(FACE_CHAT, PLAIN, &error, 1);
    assert_int_equal(rig.out.status, 500);
    assert_int_equal(rig.fakes[0].waits, 3);
    assert_non_null(strstr(finish(), "The provider answered 500 and gave no reason."));
}

static void the_bounds_of_answers_and_errors_are_exact(void **state)
{
    static char blanks[(1 << 20) + 1], rest[(1 << 20) + 2], why[BOUND_UPSTREAM_ERROR + 2];
    static const char told[] = "{\"error\":{\"message\":\"so it is\"}}";
    const int pieces = BOUND_ANSWER / (1 << 20) - 1;
    const struct script answer = {.steps = {{HEAD}, {BYTES, ANSWER}, {BYTES, blanks, 0, pieces}, {BYTES, rest}, {END}}};
    const struct script error = {.status = 500, .steps = {{HEAD}, {BYTES, why}, {END}}};
    (void)state;
    memset(blanks, ' ', sizeof blanks - 1);
    for (size_t past = 0; past <= 1; past++) {
        size_t left = BOUND_ANSWER - (size_t)pieces * (1 << 20) - (sizeof ANSWER - 1) + past;
        memset(rest, ' ', left);
        rest[left] = '\0';
        again();
        relay(FACE_CHAT, PLAIN, &answer, 1);
        assert_int_equal(rig.out.end, past ? END_FAILED : END_OK);
        relay_end(&rig.out);
        memset(why, ' ', sizeof why);
        memcpy(why, told, sizeof told - 1);
        why[BOUND_UPSTREAM_ERROR + past] = '\0';
        again();
        relay(FACE_CHAT, PLAIN, &error, 1);
        assert_non_null(strstr(finish(), past ? "gave no reason" : "so it is"));
    }
}

static void embeddings_are_told_as_they_were_asked_for(void **state)
{
    static const char floats[] = "{\"data\":[{\"embedding\":[1,-2]}],\"usage\":{\"prompt_tokens\":3,\"total_tokens\":3}}";
    static const struct script s = {.steps = {{HEAD}, {BYTES, floats}, {END}}};
    static const struct script bad = {.steps = {{HEAD}, {BYTES, "{\"data\":[{\"embedding\":[\"1\"]}]}"}, {END}}};
    (void)state;
    relay(FACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":\"x\"}", &s, 1);
    assert_string_equal(below_head(finish()), floats);
    again();
    relay(FACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":\"x\",\"encoding_format\":\"base64\"}", &s, 1);
    assert_int_equal(rig.out.usage.prompt, 3);
    const char *sent = finish();
    assert_string_equal(below_head(sent), "{\"data\":[{\"embedding\":\"AACAPwAAAMA=\"}],\"usage\":{\"prompt_tokens\":3,\"total_tokens\":3}}");
    assert_non_null(strstr(sent, "Content-Length: 84\r\n"));
    again();
    relay(FACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":\"x\",\"encoding_format\":\"base64\"}", &bad, 1);
    assert_int_equal(rig.out.status, 502);
    assert_null(strstr(finish(), "embedding\""));
}

#define RELAYED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RELAYED(every_further_attempt_is_booked_with_what_the_last_one_used),
        RELAYED(a_limit_that_refuses_a_further_attempt_stops_failover),
        RELAYED(providers_whose_limits_refuse_are_passed_over),
        RELAYED(under_hard_limits_the_held_maximum_goes_along),
        RELAYED(who_leaves_before_a_word_pays_for_what_was_read),
        RELAYED(who_leaves_behind_a_search_pays_for_it),
        RELAYED(who_leaves_in_the_middle_of_sound_pays_for_what_he_has_heard),
        RELAYED(a_silent_first_is_overtaken_by_the_second_and_closed),
        RELAYED(a_client_that_goes_and_a_stop_end_both),
        RELAYED(what_one_target_faults_another_may_answer_but_not_the_same_with_another_key),
        RELAYED(when_one_of_two_fails_the_other_goes_on_and_then_the_third),
        RELAYED(a_stream_goes_through_unchanged),
        RELAYED(content_is_flushed_the_moment_it_comes),
        RELAYED(the_usage_chunk_is_for_who_asked),
        RELAYED(the_same_goes_out_however_it_comes_in),
        RELAYED(what_is_no_event_is_left_out),
        RELAYED(an_end_that_lacks_its_last_bytes_is_mended),
        RELAYED(a_stream_that_breaks_off_is_not_ended_cleanly),
        RELAYED(a_choice_without_finish_is_a_truncation),
        RELAYED(an_error_in_the_stream_is_told_in_its_own_words),
        RELAYED(an_event_without_end_is_given_up),
        RELAYED(whatever_fails_before_content_is_asked_elsewhere),
        RELAYED(a_head_without_content_is_not_held_for_ever),
        RELAYED(what_is_held_before_content_has_an_exact_bound),
        RELAYED(targets_are_asked_in_order_until_none_is_left),
        RELAYED(nothing_is_asked_elsewhere_after_content),
        RELAYED(a_request_the_provider_faults_goes_straight_back),
        RELAYED(trouble_with_our_key_is_not_passed_on),
        RELAYED(an_event_that_quotes_our_key_is_not_passed_on),
        RELAYED(retry_after_is_never_above_a_minute),
        RELAYED(a_client_that_has_gone_costs_no_call),
        RELAYED(a_client_that_goes_ends_the_call_at_once),
        RELAYED(a_write_that_fails_ends_the_call_too),
        RELAYED(a_stream_is_drained_for_its_usage_where_that_is_set),
        RELAYED(draining_has_its_times_and_no_second_call),
        RELAYED(a_client_that_went_before_content_was_sent_nothing),
        RELAYED(a_stop_is_503_before_content_and_an_event_after),
        RELAYED(a_stop_in_the_middle_of_a_plain_answer_is_our_503),
        RELAYED(silence_is_filled_with_comments_and_ended_in_time),
        RELAYED(comments_of_the_upstream_do_not_replace_ours),
        RELAYED(nothing_is_sent_in_silence_before_content),
        RELAYED(times_that_are_not_set_have_their_defaults),
        RELAYED(every_target_has_its_own_time_and_the_last_is_told),
        RELAYED(an_answer_has_a_time_in_all),
        RELAYED(a_plain_answer_may_take_its_time_but_not_fall_silent),
        RELAYED(a_flood_does_not_outlast_its_time),
        RELAYED(bytes_behind_the_end_are_read_for_a_moment_only),
        RELAYED(a_plain_answer_goes_through_unchanged),
        RELAYED(an_answer_without_usage_is_counted),
        RELAYED(what_is_no_answer_is_asked_elsewhere),
        RELAYED(an_answer_or_error_too_long_is_not_kept),
        RELAYED(the_bounds_of_answers_and_errors_are_exact),
        RELAYED(embeddings_are_told_as_they_were_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
