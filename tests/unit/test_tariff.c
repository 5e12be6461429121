/* What is charged otherwise than by the token: a request is held at no less than it may come to cost, whatever its provider
 * says that it used, of whatever price; and what has no price is refused, not taken for free. */
#include "fcgi/stage/tariff.c"

#include "fcgi/stage/estimate.h"
#include "fcgi/stage/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* ---- chance ---- */

static uint64_t dice;

static int64_t roll(int64_t n) /* 0 to n - 1 */
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((dice >> 20) % (uint64_t)n);
}
static bool chance(int64_t percent) { return roll(100) < percent; }

/* Prices of nothing, of next to nothing, of what models cost, and such that products need more than 64 bits. */
static int64_t some_price(void)
{
    static const int64_t sizes[] = {1, 10, 3000000, INT64_C(30000000000), INT64_C(9000000000000000000)};
    return roll(sizes[roll(5)]);
}

static int64_t some_tokens(void)
{
    static const int64_t sizes[] = {2, 100, 300000, 1000000000};
    return roll(sizes[roll(4)]);
}

static void state_part(struct price *p, int part, int64_t amount)
{
    p->stated |= 1u << part;
    p->part[part] = amount;
}

static struct price some_whole_price(void)
{
    struct price p = {.known = true, .input = some_price(), .cached_input = some_price(), .cache_write = some_price(),
                      .output = some_price()};
    for (int i = 0; i < PRICE_PARTS; i++)
        if (chance(50)) state_part(&p, i, i == PRICE_LONG_ABOVE ? 1 + some_tokens() : some_price());
    return p;
}

/* A usage that its request allows for. */
static struct price_use some_use(const struct price_asks *asks, int64_t prompt, int64_t output)
{
    static const enum price_tier without[] = {TIER_STANDARD, TIER_FLEX, TIER_OTHER};
    struct price_use u = {.prompt = roll(prompt + 1), .completion = roll(output + 1), .searches = roll(asks->searches + 1),
                          .cached = some_tokens(), .cache_write = some_tokens()};
    if (chance(20)) u.prompt = prompt;
    if (chance(20)) u.completion = output;
    if (asks->writes_1h) u.cache_write_1h = some_tokens();
    if (asks->has_audio_input) u.audio_input = some_tokens();
    if (asks->needs & NEED_AUDIO_OUTPUT) u.audio_output = some_tokens();
    u.tier = asks->priority && chance(50) ? TIER_PRIORITY : without[roll(3)];
    return u;
}

static void no_use_within_its_bounds_costs_more_than_the_ceiling(void **state)
{
    (void)state;
    for (int seed = 1; seed <= 60000; seed++) {
        dice = (uint64_t)seed;
        const struct price p = some_whole_price();
        struct price_asks asks = {.needs = (unsigned)roll(16), .priority = chance(50), .writes_1h = chance(50),
                                  .has_audio_input = chance(50), .searches = roll(20)};
        if (chance(70)) asks.needs &= ~price_lacks(&p, asks.needs);
        asks.has_audio_input |= asks.needs & NEED_AUDIO_INPUT;
        asks.priority |= asks.needs & NEED_PRIORITY;
        int64_t prompt = some_tokens(), output = some_tokens();
        const struct price top = price_ceiling(&p, &asks, prompt);
        if (top.known == (price_lacks(&p, asks.needs) != 0)) fail_msg("seed %d: known", seed);
        if (!top.known) continue;
        int64_t held = price_bound(&top, prompt, output), room = price_room(&top, prompt, held);
        if (held < INT64_MAX && room < output) fail_msg("seed %d: what is held has no room for itself", seed);
        for (int k = 0; k < 8; k++) {
            const struct price_use u = some_use(&asks, prompt, output);
            int64_t cost = price_cost(&p, &u);
            if (cost > held || cost < 0) fail_msg("seed %d: %lld charged, %lld held", seed, (long long)cost, (long long)held);
        }
    }
}

/* More is never cheaper: of tokens of one kind, of searches, of hours; and no tier but flex, which is stated, costs less. */
static void nothing_that_is_added_makes_it_cheaper(void **state)
{
    (void)state;
    for (int seed = 1; seed <= 20000; seed++) {
        dice = (uint64_t)seed;
        struct price p = some_whole_price();
        const struct price_asks all = {.needs = 15, .priority = true, .writes_1h = true, .has_audio_input = true, .searches = 9};
        struct price_use u = some_use(&all, 100000, 100000), more = u;
        p.stated &= ~(1u << PRICE_LONG_ABOVE); /* a length may be cheaper, if somebody says so */
        u.cached = u.cache_write = u.audio_input = u.audio_output = more.cached = more.cache_write = more.audio_input = 0;
        more.audio_output = 0;
        more.prompt += roll(1000);
        more.completion += roll(1000);
        more.searches += roll(5);
        if (price_cost(&p, &more) < price_cost(&p, &u)) fail_msg("seed %d", seed);
    }
}

/* ---- rates ---- */

/* Claude Sonnet 4.5, but for its cached input: a round figure. */
static struct price sonnet(void)
{
    struct price p = {.known = true, .input = 3000000000, .cached_input = 300000000, .cache_write = 3750000000,
                      .output = 15000000000};
    state_part(&p, PRICE_LONG_ABOVE, 200000);
    state_part(&p, PRICE_LONG, 6000000000);
    state_part(&p, PRICE_LONG_OUTPUT, 22500000000);
    state_part(&p, PRICE_SEARCHES, 10000000000);
    return p;
}

static struct price tiered(void)
{
    struct price p = {.known = true, .input = 2000, .cached_input = 200, .cache_write = 2000, .output = 8000};
    state_part(&p, PRICE_PRIORITY, 3500);
    state_part(&p, PRICE_PRIORITY_CACHED_INPUT, 300);
    state_part(&p, PRICE_PRIORITY_OUTPUT, 14000);
    state_part(&p, PRICE_FLEX, 1000);
    state_part(&p, PRICE_FLEX_OUTPUT, 4000);
    state_part(&p, PRICE_AUDIO_INPUT, 40000);
    state_part(&p, PRICE_AUDIO_OUTPUT, 80000);
    return p;
}

static void every_kind_length_and_tier_has_its_price(void **state)
{
    const struct price s = sonnet(), t = tiered();
    struct price loud = sonnet();
    state_part(&loud, PRICE_AUDIO_INPUT, 30000000000);
    state_part(&loud, PRICE_AUDIO_OUTPUT, 60000000000);
    const struct { const struct price *p; struct price_use use; int64_t nano; } all[] = {
        {&s, {.prompt = 200000, .completion = 1000}, 200000 * 3000 + 1000 * 15000},
        {&s, {.prompt = 200001, .completion = 1000}, 200001 * 6000 + 1000 * 22500},
        {&s, {.prompt = 300000, .cached = 100000, .cache_write = 100000},
         INT64_C(100000) * 6000 + 100000 * 600 + 100000 * 7500}, /* grown as the input: 0.60 and 7.50 */
        {&s, {.prompt = 1000, .cache_write = 1000}, 1000 * 3750},
        {&s, {.prompt = 1000, .cache_write = 1000, .cache_write_1h = 400}, 600 * 3750 + 400 * 6000},
        {&s, {.prompt = 1000, .cache_write = 100, .cache_write_1h = 400}, 900 * 3000 + 100 * 6000},
        {&s, {.prompt = 200001, .cache_write = 200001, .cache_write_1h = 200001}, INT64_C(200001) * 12000},
        {&s, {.prompt = 10, .searches = 3}, 10 * 3000 + 3 * 10000000},
        {&s, {.prompt = 10, .tier = TIER_PRIORITY}, 10 * 3000}, /* it has no price of its own: price_lacks says so */
        {&t, {.prompt = 1000000, .completion = 1000000, .tier = TIER_PRIORITY}, 3500 + 14000},
        {&t, {.prompt = 1000000, .cached = 1000000, .tier = TIER_PRIORITY}, 300},
        {&t, {.prompt = 1000000, .completion = 1000000, .tier = TIER_FLEX}, 1000 + 4000},
        {&t, {.prompt = 1000000, .cached = 1000000, .tier = TIER_FLEX}, 200}, /* not stated: no cheaper */
        {&t, {.prompt = 1000000, .completion = 1000000, .tier = TIER_OTHER}, 2000 + 8000},
        {&t, {.prompt = 1000000, .audio_input = 500000}, 1000 + 20000},
        {&t, {.prompt = 1000000, .cached = 900000, .audio_input = 500000}, 180 + 4000}, /* 100,000 are not cached */
        {&t, {.completion = 1000000, .audio_output = 250000}, 6000 + 20000},
        {&loud, {.prompt = 200001, .audio_input = 200001, .completion = 2, .audio_output = 2}, INT64_C(200001) * 60000 + 2 * 90000},
        {&t, {.completion = 10, .audio_output = INT64_MAX}, 1},
        {&t, {.prompt = -5, .cached = -1, .cache_write_1h = -1, .audio_input = -1, .completion = -1, .searches = -4}, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (price_cost(all[i].p, &all[i].use) != all[i].nano)
            fail_msg("%zu: %lld", i, (long long)price_cost(all[i].p, &all[i].use));
    assert_int_equal(price_lacks(&s, price_needs(&(struct price_use){.prompt = 1, .tier = TIER_PRIORITY})), NEED_PRIORITY);
    assert_int_equal(price_lacks(&t, price_needs(&(struct price_use){.prompt = 1, .tier = TIER_PRIORITY, .audio_input = 1})), 0);
}

static void a_price_that_needs_more_than_64_bits_is_cut_and_never_turns_round(void **state)
{
    struct price dear = {.known = true, .input = INT64_MAX, .cached_input = INT64_MAX, .cache_write = INT64_MAX,
                         .output = INT64_MAX};
    const struct price_use most = {.prompt = INT64_MAX, .completion = INT64_MAX, .searches = INT64_MAX, .tier = TIER_PRIORITY};
    struct price_sum sum = {0};
    (void)state;
    for (int i = 0; i < PRICE_PARTS; i++) state_part(&dear, i, INT64_MAX);
    state_part(&dear, PRICE_LONG_ABOVE, 1);
    assert_int_equal(price_cost(&dear, &most), INT64_MAX);
    const struct price top = price_ceiling(&dear, &(struct price_asks){.priority = true, .searches = INT64_MAX}, INT64_MAX);
    assert_int_equal(price_bound(&top, INT64_MAX, INT64_MAX), INT64_MAX);
    assert_int_equal(price_room(&top, 1, INT64_MAX - 1), -1);
    for (int i = 0; i < 3; i++) price_add(&sum, &dear, &most);
    assert_int_equal(price_total(&sum), INT64_MAX);
}

/* ---- requests ---- */

static struct tariff read_of(enum face face, const char *members)
{
    static const char *const content[FACE_COUNT] = {
        [FACE_CHAT] = "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]",
        [FACE_MESSAGES] = "\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]",
        [FACE_RESPONSES] = "\"input\":\"x\"", [FACE_COMPLETIONS] = "\"prompt\":\"x\"", [FACE_EMBEDDINGS] = "\"input\":\"x\"",
    };
    static char body[2000];
    static struct arena memory;
    struct experience *x = experience_new();
    struct chat chat;
    struct problem p;
    struct estimate e;
    struct tariff t;
    bool own = strstr(members, "\"messages\"") || strstr(members, "\"input\"");
    arena_init(&memory);
    snprintf(body, sizeof body, "{\"model\":\"m\",%s%s%s}", own ? "" : content[face], own || !*members ? "" : ",", members);
    if (parse_chat(face, span_of(body), &memory, &chat, &p) != WEIR_OK) fail_msg("%s", body);
    estimate_request(&chat, &(struct model_row){.alias = "m"}, x, &e);
    tariff_read(&chat, e.has_audio, e.has_files, &t);
    experience_free(x);
    arena_end(&memory);
    return t;
}

static void what_a_request_asks_for_is_read_however_it_is_written(void **state)
{
    static const struct { enum face face; const char *members; unsigned needs; bool priority; int64_t searches; const char *field; } all[] = {
        {FACE_CHAT, "", 0, true, 0, NULL}, /* the provider chooses, by what its account is set to */
        {FACE_CHAT, "\"service_tier\":null", 0, true, 0, NULL},
        {FACE_CHAT, "\"service_tier\":\"auto\"", 0, true, 0, NULL},
        {FACE_CHAT, "\"service_tier\":\"default\"", 0, false, 0, NULL},
        {FACE_CHAT, "\"service_tier\":\"flex\"", 0, false, 0, NULL},
        {FACE_MESSAGES, "\"service_tier\":\"standard_only\"", 0, false, 0, NULL},
        {FACE_CHAT, "\"service_tier\":\"priority\"", NEED_PRIORITY, true, 0, "service_tier"},
        {FACE_CHAT, "\"service_t\\u0069er\":\"pr\\u0069ority\"", NEED_PRIORITY, true, 0, "service_tier"},
        {FACE_RESPONSES, "\"service_tier\":\"ultrafast\"", NEED_OTHER, false, 0, "service_tier"},
        {FACE_CHAT, "\"modalities\":[\"text\"]", 0, true, 0, NULL},
        {FACE_CHAT, "\"modalities\":[\"text\",\"audio\"]", NEED_AUDIO_OUTPUT, true, 0, "modalities"},
        {FACE_CHAT, "\"modalities\":[\"image\"]", NEED_OTHER, true, 0, "modalities"},
        {FACE_CHAT, "\"web_search_options\":{}", NEED_SEARCHES, true, 1, "web_search_options"},
        {FACE_CHAT, "\"web_search_options\":{},\"n\":3", NEED_SEARCHES, true, 3, "web_search_options"},
        {FACE_CHAT, "\"web_search_options\":null", 0, true, 0, NULL},
        {FACE_CHAT, "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]", 0, true, 0, NULL},
        {FACE_MESSAGES, "\"tools\":[{\"name\":\"f\",\"input_schema\":{}},{\"type\":\"bash_20250124\",\"name\":\"bash\"}]", 0, true, 0, NULL},
        {FACE_MESSAGES, "\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\",\"max_uses\":4}]", NEED_SEARCHES, true, 4, "tools"},
        {FACE_MESSAGES, "\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}]", NEED_SEARCHES, true, SEARCHES_HELD, "tools"},
        {FACE_MESSAGES, "\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\",\"max_uses\":-4}]", NEED_SEARCHES, true, SEARCHES_HELD, "tools"},
        {FACE_MESSAGES, "\"tools\":[{\"type\":\"code_execution_20250825\",\"name\":\"c\"}]", NEED_OTHER, true, 0, "tools"},
        {FACE_RESPONSES, "\"tools\":[{\"type\":\"web_search\"}],\"max_tool_calls\":2", NEED_SEARCHES, true, 2, "tools"},
        {FACE_RESPONSES, "\"tools\":[{\"type\":\"web_search_preview\"},{\"type\":\"mcp\"}]", NEED_SEARCHES, true, SEARCHES_HELD, "tools"},
        {FACE_RESPONSES, "\"tools\":[{\"type\":\"code_interpreter\"}]", NEED_OTHER, true, 0, "tools"},
        {FACE_RESPONSES, "\"tools\":[{\"type\":7}]", NEED_OTHER, true, 0, "tools"},
        {FACE_RESPONSES, "\"tools\":[{\"type\":\"function\",\"ty\\u0070e\":\"image_generation\"}]", NEED_OTHER, true, 0, "tools"}, /* the last is what counts */
        {FACE_RESPONSES, "\"tools\":[{\"type\":\"web_search\",\"type\":\"function\"}]", NEED_SEARCHES, true, SEARCHES_HELD, "tools"},
        {FACE_RESPONSES, "\"prompt\":{\"id\":\"p\"}", NEED_OTHER, true, 0, "prompt"},
        {FACE_MESSAGES, "\"speed\":\"fast\"", NEED_OTHER, true, 0, "speed"},
        {FACE_MESSAGES, "\"speed\":\"standard\"", 0, true, 0, NULL},
        {FACE_MESSAGES, "\"inference_geo\":\"us\"", NEED_OTHER, true, 0, "inference_geo"},
        {FACE_CHAT, "\"models\":[\"dear\"]", NEED_OTHER, true, 0, "models"},
        {FACE_CHAT, "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"AAAA\"}}]}]",
         NEED_AUDIO_INPUT, true, 0, "messages"},
        {FACE_CHAT, "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"input\\u005faudio\",\"input_audio\":{\"data\":\"AAAA\"}}]}]",
         NEED_AUDIO_INPUT, true, 0, "messages"},
        {FACE_RESPONSES, "\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\"}]}]", NEED_AUDIO_INPUT, true, 0, "input"},
    };
    const struct price bare = {.known = true, .input = 1};
    const struct target one = {.price = &bare}, none = {.price = NULL};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct tariff t = read_of(all[i].face, all[i].members);
        if (t.asks.needs != all[i].needs || t.asks.priority != all[i].priority || t.asks.searches != all[i].searches)
            fail_msg("%s: %u %d %lld", all[i].members, t.asks.needs, t.asks.priority, (long long)t.asks.searches);
        const char *field = tariff_unpriced(&t, &one, 1);
        if (!field != !all[i].field || (field && strcmp(field, all[i].field) != 0)) fail_msg("%s: %s", all[i].members, field);
        assert_int_equal(tariff_ceiling(&t, &one, 10).known, !all[i].field);
        assert_null(tariff_unpriced(&t, &none, 1));
        assert_false(tariff_ceiling(&t, &none, 10).known);
    }
}

static void a_mark_for_an_hour_is_seen_however_it_is_written(void **state)
{
#define MARKED(ttl) "\"system\":[{\"type\":\"text\",\"text\":\"s\",\"cache_control\":{\"type\":\"ephemeral\"" ttl "}}]"
    (void)state;
    assert_true(read_of(FACE_MESSAGES, MARKED(",\"ttl\":\"1h\"")).asks.writes_1h);
    assert_true(read_of(FACE_MESSAGES, MARKED(",\"ttl\":\"\\u0031h\"")).asks.writes_1h);
    assert_true(read_of(FACE_MESSAGES, MARKED(",\"t\\u0074l\":\"1\\u0068\"")).asks.writes_1h);
    assert_false(read_of(FACE_MESSAGES, MARKED(",\"ttl\":\"5m\"")).asks.writes_1h);
    assert_false(read_of(FACE_MESSAGES, MARKED("")).asks.writes_1h);
}

/* Of several targets each holds what its own may cost; one whose price lacks what is asked holds nothing, for it is not
 * asked. */
static void the_dearest_is_of_those_whose_price_says_all(void **state)
{
    const struct price s = sonnet(), t = tiered(), cheap = {.known = true, .input = 1, .cache_write = 9, .output = 1};
    const struct target list[] = {{.price = &s}, {.price = NULL}, {.price = &t}, {.price = &cheap}};
    struct tariff priority = read_of(FACE_CHAT, "\"service_tier\":\"priority\""), plain = read_of(FACE_CHAT, "");
    struct price dearest = {.known = false}, usual = {.known = false};
    (void)state;
    tariff_raise(&plain, &list[3], 1, &(struct estimate){.prompt_bound = 1000, .prompt_estimate = 1000 / 4}, &dearest, &usual);
    assert_int_equal(price_bound(&dearest, 1000000, 1000000), 9 + 1);
    tariff_raise(&plain, list, 4, &(struct estimate){.prompt_bound = 1000, .prompt_estimate = 1000 / 4}, &dearest, &usual);
    assert_int_equal(price_bound(&dearest, 1000000, 1000000), 3750000000 + INT64_C(15000000000));
    dearest = (struct price){.known = false};
    tariff_raise(&plain, list, 4, &(struct estimate){.prompt_bound = 200001, .prompt_estimate = 200001 / 4}, &dearest, &usual); /* it may turn out to be a long one */
    assert_int_equal(price_bound(&dearest, 1000000, 1000000), 7500000000 + INT64_C(22500000000));
    assert_int_equal(price_bound(&usual, 1000000, 1000000), 3750000000 + INT64_C(15000000000)); /* it probably does not */
    dearest = (struct price){.known = false};
    tariff_raise(&priority, list, 4, &(struct estimate){.prompt_bound = 1000, .prompt_estimate = 1000 / 4}, &dearest, &usual);
    assert_int_equal(price_bound(&dearest, 1000000, 1000000), 3500 + 14000);
    dearest = usual = (struct price){.known = false};
    tariff_raise(&plain, &list[2], 1, &(struct estimate){.prompt_bound = 1000, .prompt_estimate = 1000 / 4}, &dearest, &usual); /* nothing is said of a tier: the provider may choose */
    assert_int_equal(price_bound(&dearest, 1000000, 1000000), 3500 + 14000);
    assert_int_equal(price_bound(&usual, 1000000, 1000000), 2000 + 8000); /* but he probably does not choose the dearest */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_use_within_its_bounds_costs_more_than_the_ceiling),
        cmocka_unit_test(nothing_that_is_added_makes_it_cheaper),
        cmocka_unit_test(every_kind_length_and_tier_has_its_price),
        cmocka_unit_test(a_price_that_needs_more_than_64_bits_is_cut_and_never_turns_round),
        cmocka_unit_test(what_a_request_asks_for_is_read_however_it_is_written),
        cmocka_unit_test(a_mark_for_an_hour_is_seen_however_it_is_written),
        cmocka_unit_test(the_dearest_is_of_those_whose_price_says_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
