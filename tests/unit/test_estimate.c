/* Estimation: a hard limit holds no less than a request can cost, and a soft one about what it will. */
#include "fcgi/stage/estimate.c"

#include "fcgi/stage/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct estimate of(enum face face, const char *body, struct model_row model, struct experience *given)
{
    struct arena memory;
    struct chat chat;
    struct problem p;
    struct estimate e;
    struct experience *x = given ? given : experience_new();
    arena_init(&memory);
    assert_int_equal(parse_chat(face, span_of(body), &memory, &chat, &p), WEIR_OK);
    if (!model.alias) model.alias = "m";
    estimate_request(&chat, &model, x, &e);
    if (!given) experience_free(x);
    arena_end(&memory);
    return e;
}

#define CHAT_WITH(more) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hello there\"}]" more "}"
#define NO_MODEL ((struct model_row){.alias = NULL})

static void every_byte_of_text_is_held_as_a_token(void **state)
{
    static const char words[] = "\\u6f22\\u5b57 and \xE6\xBC\xA2\xE5\xAD\x97";
    char body[512];
    (void)state;
    snprintf(body, sizeof body, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}", words);
    struct estimate e = of(FACE_CHAT, body, NO_MODEL, NULL);
    assert_true(e.prompt_bound >= (int64_t)strlen(words) + TOKENS_A_MESSAGE + TOKENS_A_REQUEST);
    assert_true(e.prompt_bound < (int64_t)strlen(body) + TOKENS_A_MESSAGE + TOKENS_A_REQUEST);
    assert_true(e.prompt_estimate < e.prompt_bound / 2);
}

static void tools_and_schemas_are_held_too(void **state)
{
    (void)state;
    struct estimate without = of(FACE_CHAT, CHAT_WITH(""), NO_MODEL, NULL);
    struct estimate tools = of(FACE_CHAT, CHAT_WITH(",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"), NO_MODEL, NULL);
    struct estimate schema = of(FACE_CHAT, CHAT_WITH(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}}"), NO_MODEL, NULL);
    assert_true(tools.prompt_bound >= without.prompt_bound + TOKENS_A_TOOL + 40);
    assert_true(schema.prompt_bound >= without.prompt_bound + 39);
}

/* Which of two counts is the upstream's to say. */
static void what_has_two_types_is_held_as_the_dearer(void **state)
{
    static const char *const bodies[] = {
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\",\"type\":\"image_url\",\"image_url\":{\"url\":\"https://a.example\"}}]}]}",
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\",\"ty\\u0070e\":\"input_audio\",\"input_audio\":{\"data\":\"A\"}}]}]}",
        CHAT_WITH(",\"tools\":[{\"type\":\"function\",\"type\":\"web_search\"}]"),
    };
    static const int64_t least[] = {TOKENS_AN_IMAGE, TOKENS_A_FILE, TOKENS_A_FILE};
    (void)state;
    for (int i = 0; i < 3; i++) assert_true(of(FACE_CHAT, bodies[i], NO_MODEL, NULL).prompt_bound > least[i]);
    assert_true(of(FACE_CHAT, bodies[1], NO_MODEL, NULL).has_audio);
}

static void an_image_counts_by_the_piece_and_not_by_its_bytes(void **state)
{
    char body[9000], image[8001];
    (void)state;
    memset(image, 'A', 8000);
    image[8000] = 0;
    snprintf(body, sizeof body, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"what is this\"},"
             "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,%s\"}}]}]}", image);
    struct estimate e = of(FACE_CHAT, body, NO_MODEL, NULL);
    assert_in_range(e.prompt_bound, TOKENS_AN_IMAGE, TOKENS_AN_IMAGE + 200);
    assert_in_range(e.prompt_estimate, TOKENS_IMAGE_ESTIMATE, TOKENS_IMAGE_ESTIMATE + 100);
    struct estimate named = of(FACE_CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"file\",\"file\":{\"file_id\":\"x\"}}]}]}", NO_MODEL, NULL);
    assert_true(named.prompt_bound >= TOKENS_A_FILE);
}

/* The same on the other faces: in a tool's result, in a response's items, and with the system's text besides. */
/* Content nested as deep as JSON may be would be read once for each level: 32 MB of it for seconds. */
static void what_is_nested_without_sense_is_held_and_not_read(void **state)
{
    char body[4000] = "{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":[";
    (void)state;
    for (int i = 0; i < 20; i++) strcat(body, "{\"content\":[");
    size_t n = strlen(body);
    memset(body + n, '1', 1000);
    body[n + 1000] = '\0';
    for (int i = 0; i < 20; i++) strcat(body, "],\"type\":\"image\"}");
    strcat(body, "]}]}");
    struct estimate e = of(FACE_MESSAGES, body, NO_MODEL, NULL);
    assert_true(e.prompt_bound >= 1000 + NESTED * TOKENS_AN_IMAGE + TOKENS_A_FILE);
    assert_true(e.prompt_bound < 4000 + (NESTED + 1) * TOKENS_AN_IMAGE + TOKENS_A_FILE);
}

static void other_faces_are_held_alike(void **state)
{
    char body[9500], image[8001];
    (void)state;
    memset(image, 'A', 8000);
    image[8000] = 0;
    static const struct { enum face face; const char *before, *after; int64_t images; } all[] = {
        {FACE_MESSAGES, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t\",\"content\":["
         "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"data\":\"", "\"}}]}]}]}", 1},
        {FACE_MESSAGES, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{\"data\":\"", "\"}}]}]}", 1},
        {FACE_RESPONSES, "{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"image_url\":\"", "\"}]}]}", 1},
        {FACE_RESPONSES, "{\"model\":\"m\",\"input\":[{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":[{\"type\":\"input_image\","
         "\"image_url\":\"", "\"}]}]}", 1},
        {FACE_MESSAGES, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"document\",\"source\":{\"type\":\"text\",\"data\":\"",
         "\"}}]}]}", 0},
        {FACE_MESSAGES, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"system\":\"", "\"}", 0},
        {FACE_RESPONSES, "{\"model\":\"m\",\"input\":\"x\",\"instructions\":\"", "\"}", 0},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        snprintf(body, sizeof body, "%s%s%s", all[i].before, image, all[i].after);
        struct estimate e = of(all[i].face, body, NO_MODEL, NULL);
        int64_t least = all[i].images ? TOKENS_AN_IMAGE : 8000;
        assert_in_range(e.prompt_bound, least, least + 300);
    }
    static const struct { enum face face; const char *body; } stored[] = {
        {FACE_MESSAGES, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"document\",\"source\":{\"type\":\"url\"}}]}]}"},
        {FACE_MESSAGES, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tools\":[{\"type\":\"web_search_20250305\"}]}"},
        {FACE_RESPONSES, "{\"model\":\"m\",\"input\":\"x\",\"previous_response_id\":\"resp_1\"}"},
        {FACE_RESPONSES, "{\"model\":\"m\",\"input\":[{\"type\":\"item_reference\",\"id\":\"i\"}]}"},
    };
    for (size_t i = 0; i < sizeof stored / sizeof *stored; i++)
        assert_true(of(stored[i].face, stored[i].body, NO_MODEL, NULL).prompt_bound >= TOKENS_A_FILE);
}

/* What bytes do not bound is held by what is known of it, else by the allowance. */
static void what_is_stored_or_packed_is_held_by_what_bounds_it(void **state)
{
    static const struct { enum face face; const char *body; int64_t least, most; } all[] = {
        {FACE_RESPONSES, "{\"model\":\"m\",\"input\":\"x\",\"previous_response_id\":\"resp_1\"}", 400000, 401000},
        {FACE_RESPONSES, "{\"model\":\"m\",\"input\":\"x\",\"conversation\":{\"id\":\"c\"},\"prompt\":{\"id\":\"p\"}}", 400000, 401000},
        {FACE_RESPONSES, "{\"model\":\"m\",\"input\":[{\"type\":\"item_reference\",\"id\":\"i\"}]}", 400000, 401000},
        {FACE_RESPONSES, "{\"model\":\"m\",\"input\":\"x\",\"previous_response_id\":null}", 1, 1000},
        {FACE_RESPONSES, "{\"model\":\"m\",\"input\":\"x\",\"text\":{\"format\":{\"type\":\"text\"}}}", TOKENS_A_TOOL, 1000},
        {FACE_MESSAGES, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"container\":{\"skills\":[]}}", TOKENS_A_FILE, TOKENS_A_FILE + 1000},
        {FACE_CHAT, CHAT_WITH(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}}"), TOKENS_A_TOOL, 1000},
    };
    char body[70000] = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"file\",\"file\":{\"file_data\":\"";
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct arena memory;
        struct chat chat;
        struct problem p;
        struct estimate e;
        struct experience *x = experience_new();
        arena_init(&memory);
        assert_int_equal(parse_chat(all[i].face, span_of(all[i].body), &memory, &chat, &p), WEIR_OK);
        estimate_request(&chat, &(struct model_row){.alias = "m", .context_window = 400000}, x, &e);
        experience_free(x);
        arena_end(&memory);
        if (e.prompt_bound < all[i].least || e.prompt_bound > all[i].most) fail_msg("%s: %lld", all[i].body, (long long)e.prompt_bound);
    }
    size_t head = strlen(body);
    memset(body + head, 'A', 60000);
    strcpy(body + head + 60000, "\"}}]}]}");
    assert_in_range(of(FACE_CHAT, body, NO_MODEL, NULL).prompt_bound, TOKENS_A_FILE + 60000, TOKENS_A_FILE + 61000);
    memcpy(body + head, "data:application/pdf;base64,", 28);
    assert_in_range(of(FACE_CHAT, body, NO_MODEL, NULL).prompt_bound, TOKENS_A_FILE, TOKENS_A_FILE + 1000);
    memcpy(body + head, "\\u0064ata:application/pdf;b64,", 30);
    assert_in_range(of(FACE_CHAT, body, NO_MODEL, NULL).prompt_bound, TOKENS_A_FILE + 59000, TOKENS_A_FILE + 61000);
}

/* Arrays of token numbers, one prompt or many: each number is a token, and has a digit and what parts it from the next. */
static void token_numbers_are_never_more_than_is_held(void **state)
{
    static char body[200000];
    (void)state;
    for (unsigned seed = 1; seed <= 200; seed++) {
        int64_t tokens = 0, prompts = 1 + rand_r(&seed) % 5;
        size_t n = (size_t)sprintf(body, "{\"model\":\"m\",\"input\":[");
        for (int64_t k = 0; k < prompts; k++) {
            int64_t count = 1 + rand_r(&seed) % 500;
            n += (size_t)sprintf(body + n, k ? ",[" : "[");
            for (int64_t i = 0; i < count; i++) n += (size_t)sprintf(body + n, i ? ",%d" : "%d", rand_r(&seed) % (i % 2 ? 10 : 200000));
            n += (size_t)sprintf(body + n, "]");
            tokens += count;
        }
        sprintf(body + n, "]}");
        assert_true(of(FACE_EMBEDDINGS, body, NO_MODEL, NULL).prompt_bound >= tokens);
    }
}

static void thoughts_leave_no_room_to_cut_an_answer_below_them(void **state)
{
#define THINKING(more) "{\"model\":\"m\",\"max_tokens\":9000,\"thinking\":{" more "},\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"
    (void)state;
    assert_int_equal(of(FACE_MESSAGES, THINKING("\"type\":\"enabled\",\"budget_tokens\":5000"), NO_MODEL, NULL).output_least, 5000 + OUTPUT_FLOOR);
    assert_int_equal(of(FACE_MESSAGES, THINKING("\"budget_tokens\":-5000"), NO_MODEL, NULL).output_least, OUTPUT_FLOOR);
    assert_int_equal(of(FACE_MESSAGES, THINKING("\"budget_tokens\":99999999999"), NO_MODEL, NULL).output_least, OUTPUT_FLOOR);
    struct estimate e = of(FACE_CHAT, CHAT_WITH(",\"reasoning\":{\"max_tokens\":7000}"), NO_MODEL, NULL);
    assert_int_equal(e.output_least, 7000 + OUTPUT_FLOOR);
    assert_int_equal(e.output_bound, 7000 + OUTPUT_UNKNOWN); /* what is added as a maximum must leave room for them */
    assert_int_equal(of(FACE_CHAT, CHAT_WITH(",\"n\":3"), NO_MODEL, NULL).output_least, 3 * OUTPUT_FLOOR);
}

static void output_is_the_callers_maximum_else_the_models_for_every_sample(void **state)
{
    (void)state;
    assert_int_equal(of(FACE_CHAT, CHAT_WITH(""), NO_MODEL, NULL).output_bound, OUTPUT_UNKNOWN);
    assert_int_equal(of(FACE_CHAT, CHAT_WITH(""), (struct model_row){.max_output = 9000}, NULL).output_bound, 9000);
    assert_int_equal(of(FACE_CHAT, CHAT_WITH(",\"max_tokens\":10,\"n\":3"), NO_MODEL, NULL).output_bound, 30);
    assert_int_equal(of(FACE_CHAT, CHAT_WITH(",\"max_tokens\":10,\"max_completion_tokens\":20"), NO_MODEL, NULL).output_bound, 20);
    struct estimate best = of(FACE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":\"x\",\"max_tokens\":7,\"n\":2,\"best_of\":5}", NO_MODEL, NULL);
    assert_int_equal(best.samples, 5);
    assert_int_equal(best.output_bound, 35);
    assert_int_equal(of(FACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":[\"a\",\"b\"]}", NO_MODEL, NULL).output_bound, 0);
    assert_true(of(FACE_CHAT, CHAT_WITH(",\"max_tokens\":2147483647,\"n\":128"), NO_MODEL, NULL).output_bound > 0);
}

static void estimates_follow_what_was_seen(void **state)
{
    struct experience *x = experience_new();
    (void)state;
    assert_int_equal(of(FACE_CHAT, CHAT_WITH(""), NO_MODEL, x).output_estimate, OUTPUT_ESTIMATE);
    for (int i = 0; i < 200; i++) experience_add(x, "m", 40, 2, false);
    assert_in_range(of(FACE_CHAT, CHAT_WITH(""), NO_MODEL, x).output_estimate, 19, 21);
    assert_in_range(of(FACE_CHAT, CHAT_WITH(",\"n\":3"), NO_MODEL, x).output_estimate, 57, 63);
    assert_int_equal(of(FACE_CHAT, CHAT_WITH(",\"max_tokens\":5"), NO_MODEL, x).output_estimate, 5);
    assert_int_equal(of(FACE_CHAT, CHAT_WITH(""), (struct model_row){.alias = "other"}, x).output_estimate, OUTPUT_ESTIMATE);
    int64_t bound = of(FACE_CHAT, CHAT_WITH(""), NO_MODEL, x).prompt_bound;
    experience_add(x, "m", 20, 1, true);
    assert_int_equal(of(FACE_CHAT, CHAT_WITH(""), NO_MODEL, x).prompt_bound, 2 * bound);
    for (int i = 0; i < 100; i++) experience_add(x, "m", 20, 1, true);
    assert_int_equal(of(FACE_CHAT, CHAT_WITH(""), NO_MODEL, x).prompt_bound, 16 * bound);
    for (int i = 0; i < 5000; i++) { /* more names than it holds */
        char name[32];
        snprintf(name, sizeof name, "model-%d", i);
        experience_add(x, name, i, 1, false);
    }
    experience_free(x);
}

static void the_tokens_of_a_prompt_are_guessed_as_its_alias_has_told(void **state)
{
    struct experience *x = experience_new();
    (void)state;
    assert_int_equal(estimate_tokens(x, "m", 4000), 1000);
    experience_add_prompt(x, "m", 50, 10); /* too short to say anything */
    assert_int_equal(estimate_tokens(x, "m", 4000), 1000);
    experience_add_prompt(x, "m", 1500, 1000);
    assert_int_equal(estimate_tokens(x, "m", 4000), 1500);
    for (int i = 0; i < 200; i++) experience_add_prompt(x, "m", 1000, 1000);
    assert_in_range(estimate_tokens(x, "m", 4000), 1000, 1070);
    assert_int_equal(estimate_tokens(x, "other", 4000), 1000);
    experience_free(x);
}

/* What a message weighs is what the request would weigh less without it: to the quarter token. */
static void weights_of_messages_add_up(void **state)
{
    static const char one[] = "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hm\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"u\"}}]}";
    char body[600];
    struct arena memory;
    struct chat with, without;
    struct problem p;
    (void)state;
    arena_init(&memory);
    snprintf(body, sizeof body, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"},%s]}", one);
    assert_int_equal(parse_chat(FACE_CHAT, span_of(body), &memory, &with, &p), WEIR_OK);
    int64_t both = estimate_weight(&with);
    assert_int_equal(parse_chat(FACE_CHAT, SPAN("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}"), &memory, &without, &p), WEIR_OK);
    assert_int_equal(both - estimate_weight(&without), estimate_message((struct jval){JSON_OBJECT, span_of(one)}));
    assert_true(both > 4 * TOKENS_IMAGE_ESTIMATE);
    arena_end(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_of_text_is_held_as_a_token),
        cmocka_unit_test(tools_and_schemas_are_held_too),
        cmocka_unit_test(what_has_two_types_is_held_as_the_dearer),
        cmocka_unit_test(an_image_counts_by_the_piece_and_not_by_its_bytes),
        cmocka_unit_test(what_is_nested_without_sense_is_held_and_not_read),
        cmocka_unit_test(other_faces_are_held_alike),
        cmocka_unit_test(what_is_stored_or_packed_is_held_by_what_bounds_it),
        cmocka_unit_test(token_numbers_are_never_more_than_is_held),
        cmocka_unit_test(thoughts_leave_no_room_to_cut_an_answer_below_them),
        cmocka_unit_test(output_is_the_callers_maximum_else_the_models_for_every_sample),
        cmocka_unit_test(estimates_follow_what_was_seen),
        cmocka_unit_test(the_tokens_of_a_prompt_are_guessed_as_its_alias_has_told),
        cmocka_unit_test(weights_of_messages_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
