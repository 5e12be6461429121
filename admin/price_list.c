/* The built-in price list. Data, and the way to it. Only prices that were sure when it was written stand here: what a
 * provider charges differently by region (Azure) or does not charge (Ollama) is left out, and so unpriced. */
#include "admin/price_list.h"

#include <stddef.h>

#include "fcgi/base/text.h"

const char price_list_date[] = "November 2025";
const char price_list_source[] = "the providers' public price pages";

#define ABOVE_200K "above 200,000 prompt tokens the provider charges more"

const struct list_price price_list[] = {
    /* model, input, cached input, cache write, output */
    /* openai.com */
    {"gpt-4o-mini", "0.15", "0.075", NULL, "0.60", NULL},
    {"gpt-4o", "2.50", "1.25", NULL, "10.00", NULL},
    {"gpt-4.1-mini", "0.40", "0.10", NULL, "1.60", NULL},
    {"gpt-4.1", "2.00", "0.50", NULL, "8.00", NULL},
    {"gpt-5-mini", "0.25", "0.025", NULL, "2.00", NULL},
    {"gpt-5", "1.25", "0.125", NULL, "10.00", NULL},
    {"o4-mini", "1.10", "0.275", NULL, "4.40", NULL},
    {"text-embedding-3-small", "0.02", NULL, NULL, "0", NULL},
    {"text-embedding-3-large", "0.13", NULL, NULL, "0", NULL},
    /* anthropic.com; cache writes for 5 minutes */
    {"claude-haiku-4-5", "1.00", "0.10", "1.25", "5.00", NULL},
    {"claude-sonnet-4-5", "3.00", "0.30", "3.75", "15.00", ABOVE_200K},
    {"claude-opus-4-1", "15.00", "1.50", "18.75", "75.00", NULL},
    /* ai.google.dev; cached input is priced as input, which is above what is charged */
    {"gemini-2.5-flash", "0.30", NULL, NULL, "2.50", NULL},
    {"gemini-2.5-flash-lite", "0.10", NULL, NULL, "0.40", NULL},
    {"gemini-2.5-pro", "1.25", NULL, NULL, "10.00", ABOVE_200K},
    /* groq.com */
    {"llama-3.1-8b-instant", "0.05", NULL, NULL, "0.08", NULL},
    {"llama-3.3-70b-versatile", "0.59", NULL, NULL, "0.79", NULL},
    {NULL, NULL, NULL, NULL, NULL, NULL},
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

struct price price_of(const struct list_price *l)
{
    struct price p = {.known = true};
    bool fine = dollars(l->input, 0, &p.input) && dollars(l->output, 0, &p.output);

    fine = fine && dollars(l->cached_input, p.input, &p.cached_input) && dollars(l->cache_write, p.input, &p.cache_write);
    return fine ? p : (struct price){.known = false};
}
