/* Embeddings as base64: every number as the float32 it is, everything else byte for byte, or nothing at all. */
#include "fcgi/provider/embeddings.c"

#include <math.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fcgi/base/bounds.h"

static enum weir_err convert(const char *text, struct buf *body)
{
    buf_init(body, BOUND_ANSWER);
    buf_str(body, text);
    return embeddings_to_base64(body);
}

static void expect(const char *in, const char *want)
{
    struct buf body;
    assert_int_equal(convert(in, &body), WEIR_OK);
    assert_string_equal(buf_cstr(&body), want);
    buf_free(&body);
}

static void numbers_become_base64_and_all_else_stays(void **state)
{
    (void)state;
    expect("{\"data\":[{\"embedding\":[1]}]}", "{\"data\":[{\"embedding\":\"AACAPw==\"}]}");
    expect("{\"data\":[{\"embedding\":[1,-2]}]}", "{\"data\":[{\"embedding\":\"AACAPwAAAMA=\"}]}");
    expect(" { \"object\" : \"list\",\n\"data\" : [ { \"index\":0, \"embedding\" : [ 1.0 , -2e0 ] , \"x\":[3] },\t{\"embedding\":[0],\"index\":1} ] ,"
           "\"usage\":{\"prompt_tokens\":1},\"embedding\":[7] }\r\n",
           " { \"object\" : \"list\",\n\"data\" : [ { \"index\":0, \"embedding\" : \"AACAPwAAAMA=\" , \"x\":[3] },\t{\"embedding\":\"AAAAAA==\",\"index\":1} ] ,"
           "\"usage\":{\"prompt_tokens\":1},\"embedding\":[7] }\r\n");
    expect("{\"d\\u0061ta\":[{\"emb\\u0065dding\":[1]}]}", "{\"d\\u0061ta\":[{\"emb\\u0065dding\":\"AACAPw==\"}]}");
    expect("{\"data\":[{\"embedding\":[]}]}", "{\"data\":[{\"embedding\":\"\"}]}");
}

static void what_is_base64_already_is_left_alone(void **state)
{
    (void)state;
    expect("{\"data\":[{\"embedding\":\"AACAPw==\"}]}", "{\"data\":[{\"embedding\":\"AACAPw==\"}]}");
    expect("{\"data\":[{\"embedding\":\"AACAPw==\"},{\"embedding\":[1]},{\"embedding\":null},7]}",
           "{\"data\":[{\"embedding\":\"AACAPw==\"},{\"embedding\":\"AACAPw==\"},{\"embedding\":null},7]}");
    expect("{\"data\":[]}", "{\"data\":[]}");
    expect("{}", "{}");
}

static void what_is_no_embedding_is_refused_unchanged(void **state)
{
    static const char *const bad[] = {
        "{\"data\":[{\"embedding\":[1]},{\"embedding\":[1,\"2\"]}]}", "{\"data\":[{\"embedding\":[null]}]}", "{\"data\":[{\"embedding\":[[1]]}]}",
        "{\"data\":[{\"embedding\":[1]}]", "", "{\"data\":[{\"embedding\":[0x10]}]}", "{\"data\":[{\"embedding\":[NaN]}]}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf body;
        assert_int_equal(convert(bad[i], &body), WEIR_INVALID);
        assert_string_equal(buf_cstr(&body), bad[i]);
        buf_free(&body);
    }
}

/* The float32 nearest to what is written, lowest byte first, however many there are and however they are written. */
static void every_number_is_its_float32(void **state)
{
    enum { COUNT = 1536 };
    static const char *const forms[] = {"%.9g", "%.20g", "%e", "%.0f"};
    static unsigned char raw[COUNT * 4];
    static float want[COUNT];
    struct buf body, text;
    unsigned random = 5;
    (void)state;
    for (int n = 1; n <= COUNT; n = n < 8 ? n + 1 : n * 2 > COUNT && n < COUNT ? COUNT : n * 2) {
        buf_init(&body, BOUND_ANSWER);
        buf_str(&body, "{\"data\":[{\"embedding\":[");
        for (int i = 0; i < n; i++) {
            char number[400];
            random = random * 1664525u + 1013904223u;
            double value = ldexp((double)(random >> 8) - (1 << 23), (int)(random % 60) - 50);
            snprintf(number, sizeof number, forms[random >> 12 & 3], value);
            want[i] = strtof(number, NULL);
            buf_printf(&body, "%s%s", i ? "," : "", number);
        }
        buf_str(&body, "]}]}");
        assert_int_equal(embeddings_to_base64(&body), WEIR_OK);
        size_t lead = strlen("{\"data\":[{\"embedding\":\""), got;
        text = body;
        assert_true(text.len > lead + 4);
        assert_int_equal(sodium_base642bin(raw, sizeof raw, text.at + lead, text.len - lead - 4, NULL, &got, NULL, sodium_base64_VARIANT_ORIGINAL), 0);
        assert_int_equal(got, 4 * n);
        for (int i = 0; i < n; i++) {
            float f;
            uint32_t bits = (uint32_t)raw[4 * i] | (uint32_t)raw[4 * i + 1] << 8 | (uint32_t)raw[4 * i + 2] << 16 | (uint32_t)raw[4 * i + 3] << 24;
            memcpy(&f, &bits, sizeof f);
            assert_true(f == want[i] || fabsf(f - want[i]) <= fabsf(want[i]) * 1.2e-7f);
        }
        buf_free(&body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_become_base64_and_all_else_stays),
        cmocka_unit_test(what_is_base64_already_is_left_alone),
        cmocka_unit_test(what_is_no_embedding_is_refused_unchanged),
        cmocka_unit_test(every_number_is_its_float32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
