/* Fuzz target: times and amounts in words, of commands, documents and providers' headers. What is taken lies within its
 * bounds; an instant or an amount that is written again is read as the same. */
#include <stdlib.h>

#include "fcgi/base/text.h"
#include "fcgi/provider/limit_headers.h"

#define YEAR_MS (366LL * 86400000)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must(bool what)
{
    if (!what)
        abort();
}

static void check_instant(int64_t ms)
{
    char text[TIME_TEXT];
    int64_t again;
    time_text(ms, text);
    must(time_parse(span_of(text), &again) && again == ms);
}

static void check_money(int64_t nano)
{
    char text[MONEY_TEXT];
    int64_t again;
    money_text(nano, text);
    must(nano >= 0 && money_parse(span_of(text), &again) && again == nano);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const int64_t nows[] = {0, 1790000000000, 253402300799999};
    struct span s = {n ? (const char *)bytes : "", n};
    int64_t value;
    if (duration_parse(s, &value)) must(value > 0 && value <= 100 * YEAR_MS);
    for (size_t i = 0; i < sizeof nows / sizeof *nows; i++)
        if (limit_reset_parse(s, nows[i], &value)) must(value >= 0 && value <= YEAR_MS);
    if (time_parse(s, &value)) check_instant(value);
    if (money_parse(s, &value)) check_money(value);
    return 0;
}
