/* The built-in price list. Data, and the way to it. Only prices that were sure when it was written stand here: what a
 * provider charges differently by region (Azure) or does not charge (Ollama) is left out, and so unpriced. */
#include "admin/price_list.h"

#include <stdlib.h>
#include <string.h>

#include "fcgi/base/text.h"
#include "sql/price_parts.h"

const char price_list_date[] = "November 2025";
const char price_list_source[] = "the providers' public price pages";

const struct list_price price_list[] = {
    /* model, input, cached input, cache write, output */
    /* openai.com */
    {"gpt-4o-mini", "0.15", "0.075", NULL, "0.60"},
    {"gpt-4o", "2.50", "1.25", NULL, "10.00"},
    {"gpt-4.1-mini", "0.40", "0.10", NULL, "1.60"},
    {"gpt-4.1", "2.00", "0.50", NULL, "8.00"},
    {"gpt-5-mini", "0.25", "0.025", NULL, "2.00"},
    {"gpt-5", "1.25", "0.125", NULL, "10.00"},
    {"o4-mini", "1.10", "0.275", NULL, "4.40"},
    {"text-embedding-3-small", "0.02", NULL, NULL, "0"},
    {"text-embedding-3-large", "0.13", NULL, NULL, "0"},
    /* anthropic.com; cache writes for 5 minutes; for an hour they cost twice the input, as price.h has it */
    {"claude-haiku-4-5", "1.00", "0.10", "1.25", "5.00"},
    {"claude-sonnet-4-5", "3.00", "0.30", "3.75", "15.00"},
    {"claude-opus-4-1", "15.00", "1.50", "18.75", "75.00"},
    /* ai.google.dev; cached input is priced as input, which is above what is charged */
    {"gemini-2.5-flash", "0.30", NULL, NULL, "2.50"},
    {"gemini-2.5-flash-lite", "0.10", NULL, NULL, "0.40"},
    {"gemini-2.5-pro", "1.25", NULL, NULL, "10.00"},
    /* groq.com */
    {"llama-3.1-8b-instant", "0.05", NULL, NULL, "0.08"},
    {"llama-3.3-70b-versatile", "0.59", NULL, NULL, "0.79"},
    {NULL, NULL, NULL, NULL, NULL},
};

/* What else of them is sure. Tiers are left out: who states them holds what the dearest costs. */
static const struct { const char *model; enum price_part part; const char *text; } list_parts[] = {
    {"claude-haiku-4-5", PRICE_SEARCHES, "10.00"},
    {"claude-sonnet-4-5", PRICE_SEARCHES, "10.00"},
    {"claude-sonnet-4-5", PRICE_LONG_ABOVE, "200000"},
    {"claude-sonnet-4-5", PRICE_LONG, "6.00"},
    {"claude-sonnet-4-5", PRICE_LONG_OUTPUT, "22.50"},
    {"claude-opus-4-1", PRICE_SEARCHES, "10.00"},
    {"gemini-2.5-flash", PRICE_AUDIO_INPUT, "1.00"},
    {"gemini-2.5-flash-lite", PRICE_AUDIO_INPUT, "0.30"},
    {"gemini-2.5-pro", PRICE_AUDIO_INPUT, "1.25"},
    {"gemini-2.5-pro", PRICE_LONG_ABOVE, "200000"},
    {"gemini-2.5-pro", PRICE_LONG, "2.50"},
    {"gemini-2.5-pro", PRICE_LONG_OUTPUT, "15.00"},
};

const struct list_price *price_list_find(struct span model)
{
    for (const struct list_price *l = price_list; l->model; l++)
        if (span_is(model, l->model)) return l;
    return NULL;
}

/* A text that does not parse would leave the model unpriced; tests/unit/test_prices.c reads them all. */
static bool dollars(const char *text, int64_t otherwise, int64_t *nano)
{
    *nano = otherwise;
    return !text || money_parse(span_of(text), nano);
}

static bool amount(int part, const char *text, int64_t *out)
{
    if (price_part_is_money(part)) return money_parse(span_of(text), out);
    *out = strtoll(text, NULL, 10);
    return *out > 0;
}

struct price price_of(const struct list_price *l)
{
    struct price p = {.known = true};
    bool fine = dollars(l->input, 0, &p.input) && dollars(l->output, 0, &p.output);

    fine = fine && dollars(l->cached_input, p.input, &p.cached_input) && dollars(l->cache_write, p.input, &p.cache_write);
    for (size_t i = 0; i < sizeof list_parts / sizeof *list_parts && fine; i++) {
        if (strcmp(list_parts[i].model, l->model) != 0) continue;
        fine = amount((int)list_parts[i].part, list_parts[i].text, &p.part[list_parts[i].part]);
        p.stated |= 1u << list_parts[i].part;
    }
    return fine ? p : (struct price){.known = false};
}
