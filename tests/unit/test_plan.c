/* The planner: an alias that is not there is 404 for every key, one that is there but not for this key 403; only targets
 * that can be spoken to are asked, in the order given. */
#include "fcgi/stage/plan.c"
#include "fcgi/stage/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct upstream_key two_keys[] = {{"first", 1, NULL}, {"second", 2, NULL}};
static const struct provider_row with_keys = {.name = "a", .dialect = "openai", .base_url = "https://a", .key_strategy = "priority", .keys = two_keys, .key_count = 2};
static const struct provider_row without = {.name = "b", .dialect = "mock", .base_url = ""};
static const struct provider_row foreign = {.name = "c", .dialect = "klingon", .base_url = "https://c"};

static const struct target_row mixed[] = {{.provider = &foreign, .model = "x", .weight = 1}, {.provider = &without, .model = "one", .weight = 1}, {.provider = &foreign, .model = "y", .weight = 1}, {.provider = &with_keys, .model = "two", .weight = 9}, {.provider = &with_keys, .model = "three", .weight = 1}};
static const struct target_row dead[] = {{.provider = &foreign, .model = "x", .weight = 1}};
static const struct model_row models[] = { /* by alias */
    {.alias = "dead", .strategy = "priority", .targets = dead, .target_count = 1},
    {.alias = "empty", .strategy = "priority"},
    {.alias = "mixed", .strategy = "priority", .targets = mixed, .target_count = 5},
};
static struct snapshot snap = {.models = models, .model_count = 3};

static struct arena memory;

static int open_memory(void **state)
{
    (void)state;
    arena_init(&memory);
    return 0;
}

static int close_memory(void **state)
{
    (void)state;
    arena_end(&memory);
    return 0;
}

static enum weir_err plan(const char *allowed, struct span alias, struct plan *out, struct problem *p)
{
    const struct caller c = {.known = true, .snap = &snap, .key.models = allowed};
    const struct chat chat = {.alias = alias};
    *p = (struct problem){.err = WEIR_OK};
    return plan_targets(&c, &chat, NULL, &memory, out, p);
}

static void targets_keep_their_order_and_those_of_no_dialect_are_left_out(void **state)
{
    struct plan out;
    struct problem p;
    (void)state;
    assert_int_equal(plan(NULL, SPAN("mixed"), &out, &p), WEIR_OK);
    assert_ptr_equal(out.model, &models[2]);
    assert_int_equal(out.count, 5); /* each key is a candidate */
    assert_ptr_equal(out.targets[0].provider, &without);
    assert_string_equal(out.targets[0].model, "one");
    assert_null(out.targets[0].key);
    assert_string_equal(out.targets[1].model, "two");
    assert_ptr_equal(out.targets[1].key, &two_keys[0]);
    assert_string_equal(out.targets[2].model, "two");
    assert_ptr_equal(out.targets[2].key, &two_keys[1]);
    assert_string_equal(out.targets[3].model, "three");
}

static void unknown_is_404_for_every_key_and_forbidden_403(void **state)
{
    struct plan out;
    struct problem p;
    static const char *const keys[] = {NULL, "[]", "[\"mixed\"]", "[\"nothing\"]"};
    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(plan(keys[i], SPAN("nothing"), &out, &p), WEIR_MODEL_UNKNOWN);
        assert_string_equal(p.param, "model");
        assert_non_null(strstr(p.text, "\"nothing\""));
        assert_null(out.model);
    }
    assert_int_equal(plan("[\"mixed\"]", SPAN("mixed"), &out, &p), WEIR_OK);
    assert_int_equal(plan("[\"other\"]", SPAN("mixed"), &out, &p), WEIR_MODEL_FORBIDDEN);
    assert_string_equal(p.param, "model");
    assert_non_null(strstr(p.text, "\"mixed\""));
    assert_int_equal(out.count, 0);
    assert_int_equal(plan("[]", SPAN("dead"), &out, &p), WEIR_MODEL_FORBIDDEN);
}

static void a_model_without_usable_target_is_unavailable(void **state)
{
    struct plan out;
    struct problem p;
    (void)state;
    assert_int_equal(plan(NULL, SPAN("dead"), &out, &p), WEIR_UNAVAILABLE);
    assert_non_null(strstr(p.text, "\"dead\""));
    assert_ptr_equal(out.model, &models[0]); /* the audit row has its price */
    assert_int_equal(plan(NULL, SPAN("empty"), &out, &p), WEIR_UNAVAILABLE);
    assert_int_equal(out.count, 0);
}

/* Any string that is no alias, however long or odd (INTERFACE.md). */
static void odd_aliases_are_told_whole_characters(void **state)
{
    struct plan out;
    struct problem p;
    char alias[10240];
    (void)state;
    assert_int_equal(plan(NULL, SPAN(""), &out, &p), WEIR_MODEL_UNKNOWN);
    assert_int_equal(plan(NULL, SPAN("mix\0ed"), &out, &p), WEIR_MODEL_UNKNOWN);
    assert_int_equal(plan(NULL, SPAN("mixed\0"), &out, &p), WEIR_MODEL_UNKNOWN);
    assert_int_equal(plan(NULL, SPAN("%s%n\"\n"), &out, &p), WEIR_MODEL_UNKNOWN);
    for (size_t lead = 0; lead < 4; lead++) {
        memset(alias, 'm', lead);
        for (size_t i = lead; i + 4 <= sizeof alias; i += 4) memcpy(alias + i, "\xF0\x9F\x98\x80", 4);
        size_t len = lead + (sizeof alias - lead) / 4 * 4;
        assert_int_equal(plan("[]", (struct span){alias, len}, &out, &p), WEIR_MODEL_UNKNOWN);
        assert_true(text_is_utf8(span_of(p.text)));
        assert_true(strlen(p.text) < 200 && strstr(p.text, "...\""));
    }
}

/* The same where the alias is one: its name is cut at a character too. */
static void long_names_of_models_are_told_whole_characters(void **state)
{
    struct plan out;
    struct problem p;
    char alias[BOUND_ALIAS + 1];
    (void)state;
    for (size_t lead = 0; lead < 3; lead++) {
        struct model_row m = {.alias = alias, .strategy = "priority"};
        struct snapshot one = {.models = &m, .model_count = 1};
        memset(alias, 0, sizeof alias);
        memset(alias, 'm', lead);
        for (size_t i = lead; i + 3 < 200; i += 3) memcpy(alias + i, "\xE2\x82\xAC", 3);
        const struct chat chat = {.alias = span_of(alias)};
        struct caller c = {.snap = &one};
            assert_int_equal(plan_targets(&c, &chat, NULL, &memory, &out, &p), WEIR_UNAVAILABLE);
        assert_true(text_is_utf8(span_of(p.text)));
        c.key.models = "[]";
        assert_int_equal(plan_targets(&c, &chat, NULL, &memory, &out, &p), WEIR_MODEL_FORBIDDEN);
        assert_true(text_is_utf8(span_of(p.text)));
    }
}

/* ---- fallbacks and prices ---- */

#define PRICE(in, out) {.known = true, .input = in, .cached_input = in, .cache_write = in, .output = out}

static const struct target_row ones[] = {{.provider = &without, .model = "1", .weight = 1, .price = PRICE(7, 1)}};
static const struct target_row twos[] = {{.provider = &without, .model = "2", .weight = 1}};
static const struct target_row threes[] = {{.provider = &without, .model = "3", .weight = 1}, {.provider = &with_keys, .model = "3b", .weight = 1}};
static const struct model_row chained[] = { /* by alias */
    {.alias = "long", .strategy = "priority", .targets = threes, .target_count = 2, .context_fallback = "one"},
    {.alias = "one", .strategy = "priority", .targets = ones, .target_count = 1, .fallback = "two", .price = PRICE(1, 2)},
    {.alias = "self", .strategy = "priority", .targets = twos, .target_count = 1, .fallback = "self"},
    {.alias = "two", .strategy = "priority", .targets = twos, .target_count = 1, .fallback = "one", .price = PRICE(3, 9)},
};
static const struct provider_row by_name[] = {
    {.name = "a", .dialect = "openai", .key_strategy = "priority"}, {.name = "b", .dialect = "mock", .key_strategy = "priority"}};

static void plan_in(struct snapshot *s, const char *allowed, const char *alias, enum weir_err want, struct plan *out)
{
    const struct caller c = {.known = true, .snap = s, .key.models = allowed};
    const struct chat chat = {.alias = span_of(alias), .max_output = -1};
    struct problem p = {.err = WEIR_OK};
    assert_int_equal(plan_targets(&c, &chat, NULL, &memory, out, &p), want);
}

static void models_are(const struct target *list, int count, const char *want)
{
    assert_int_equal(count, strlen(want));
    for (int i = 0; i < count; i++) assert_int_equal(list[i].model[0], want[i]);
}

static void fallbacks_follow_each_once_and_the_one_for_all_comes_last(void **state)
{
    struct snapshot s = {.models = chained, .model_count = 4};
    struct plan out;
    (void)state;
    plan_in(&s, NULL, "one", WEIR_OK, &out);
    models_are(out.targets, out.count, "12");
    assert_ptr_equal(out.targets[1].alias, &chained[3]);
    plan_in(&s, NULL, "self", WEIR_OK, &out);
    models_are(out.targets, out.count, "2");
    plan_in(&s, "[\"two\"]", "two", WEIR_OK, &out); /* whose fallback is the owner's choice, not the caller's */
    models_are(out.targets, out.count, "21");
    strcpy(s.settings.fallback, "long");
    plan_in(&s, NULL, "one", WEIR_OK, &out);
    models_are(out.targets, out.count, "12333");
    strcpy(s.settings.fallback, "gone");
    plan_in(&s, NULL, "one", WEIR_OK, &out);
    models_are(out.targets, out.count, "12");
}

static void what_is_too_long_has_targets_of_its_own(void **state)
{
    struct snapshot s = {.models = chained, .model_count = 4};
    struct plan out;
    (void)state;
    plan_in(&s, NULL, "long", WEIR_OK, &out);
    models_are(out.targets, out.count, "333"); /* two keys of the second */
    models_are(out.larger, out.larger_count, "12");
    assert_null(out.targets[0].price);
    assert_true(out.priced);
}

static void a_target_s_own_price_comes_before_its_alias_s(void **state)
{
    struct snapshot s = {.models = chained, .model_count = 4};
    struct plan out;
    (void)state;
    plan_in(&s, NULL, "one", WEIR_OK, &out);
    assert_int_equal(out.targets[0].price->input, 7);
    assert_int_equal(out.targets[1].price->input, 3);
}

static void models_are_addressed_directly_only_where_that_is_allowed(void **state)
{
    struct target_row row = {.provider = &by_name[1], .model = "m/x", .weight = 1, .price = PRICE(4, 5)};
    struct model_row named = {.alias = "named", .strategy = "priority", .targets = &row, .target_count = 1};
    struct snapshot s = {.models = &named, .model_count = 1, .providers = by_name, .provider_count = 2};
    struct plan out;
    (void)state;
    plan_in(&s, NULL, "b/m/x", WEIR_MODEL_UNKNOWN, &out);
    s.settings.direct_models = true;
    plan_in(&s, NULL, "b/m/x", WEIR_OK, &out);
    assert_int_equal(out.count, 1);
    assert_string_equal(out.targets[0].model, "m/x");
    assert_int_equal(out.targets[0].price->output, 5);
    assert_int_equal(out.model->id, 0);
    plan_in(&s, NULL, "b/else", WEIR_OK, &out);
    assert_null(out.targets[0].price);
    assert_false(out.priced);
    plan_in(&s, "[\"named\"]", "b/m/x", WEIR_MODEL_FORBIDDEN, &out);
    plan_in(&s, NULL, "b/", WEIR_MODEL_UNKNOWN, &out);
    plan_in(&s, NULL, "/m", WEIR_MODEL_UNKNOWN, &out);
    plan_in(&s, NULL, "c/m", WEIR_MODEL_UNKNOWN, &out);
    plan_in(&s, NULL, "b/m\n", WEIR_MODEL_UNKNOWN, &out);
}

/* ---- faces ---- */

static const struct provider_row groq = {.name = "g", .dialect = "groq", .base_url = "https://g"};
static const struct target_row choosy_then_plain[] = {{.provider = &groq, .model = "l", .weight = 1}, {.provider = &without, .model = "one", .weight = 1}}, choosy[] = {{.provider = &groq, .model = "l", .weight = 1}, {.provider = &groq, .model = "k", .weight = 1}};

static enum weir_err plan_of(const struct target_row *targets, int count, enum face face, const char *body, struct plan *out,
                             struct problem *p)
{
    struct model_row m = {.alias = "m", .strategy = "priority", .targets = targets, .target_count = count};
    struct snapshot one = {.models = &m, .model_count = 1};
    const struct caller c = {.known = true, .snap = &one};
    struct chat chat;
    assert_int_equal(parse_chat(face, span_of(body), &memory, &chat, p), WEIR_OK);
    *p = (struct problem){.err = WEIR_OK};
    return plan_targets(&c, &chat, NULL, &memory, out, p);
}

#define HI "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"

static void a_target_that_cannot_carry_a_field_leaves_the_plan_and_the_last_ones_refusal_is_told(void **state)
{
    struct plan out;
    struct problem p;
    (void)state;
    assert_int_equal(plan_of(choosy_then_plain, 2, FACE_CHAT, HI ",\"logit_bias\":{\"5\":1}}", &out, &p), WEIR_OK);
    assert_int_equal(out.count, 1);
    assert_ptr_equal(out.targets[0].provider, &without);
    assert_int_equal(plan_of(choosy_then_plain, 2, FACE_CHAT, HI ",\"logit_bias\":{}}", &out, &p), WEIR_OK);
    assert_int_equal(out.count, 2);
    assert_int_equal(plan_of(choosy, 2, FACE_CHAT, HI ",\"logit_bias\":{\"5\":1}}", &out, &p), WEIR_INVALID);
    assert_string_equal(p.param, "logit_bias");
    assert_non_null(strstr(p.text, "g's l"));
}

static void a_face_that_is_not_spoken_is_translated_and_embeddings_are_not(void **state)
{
    struct plan out;
    struct problem p;
    (void)state;
    assert_int_equal(plan_of(choosy, 2, FACE_MESSAGES, HI ",\"max_tokens\":5}", &out, &p), WEIR_OK);
    assert_int_equal(out.targets[0].asked, FACE_CHAT);
    assert_non_null(out.targets[0].conversation);
    assert_ptr_equal(out.targets[0].conversation, out.targets[1].conversation); /* read once */
    assert_int_equal(plan_of(choosy, 1, FACE_CHAT, HI "}", &out, &p), WEIR_OK);
    assert_null(out.targets[0].conversation);
    assert_int_equal(plan_of(choosy, 1, FACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":\"x\"}", &out, &p), WEIR_INVALID);
    assert_string_equal(p.param, "model");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_keep_their_order_and_those_of_no_dialect_are_left_out),
        cmocka_unit_test(unknown_is_404_for_every_key_and_forbidden_403),
        cmocka_unit_test(a_model_without_usable_target_is_unavailable),
        cmocka_unit_test(odd_aliases_are_told_whole_characters),
        cmocka_unit_test(fallbacks_follow_each_once_and_the_one_for_all_comes_last),
        cmocka_unit_test(what_is_too_long_has_targets_of_its_own),
        cmocka_unit_test(a_target_s_own_price_comes_before_its_alias_s),
        cmocka_unit_test(models_are_addressed_directly_only_where_that_is_allowed),
        cmocka_unit_test(a_target_that_cannot_carry_a_field_leaves_the_plan_and_the_last_ones_refusal_is_told),
        cmocka_unit_test(a_face_that_is_not_spoken_is_translated_and_embeddings_are_not),
        cmocka_unit_test(long_names_of_models_are_told_whole_characters),
    };
    return cmocka_run_group_tests(tests, open_memory, close_memory);
}
