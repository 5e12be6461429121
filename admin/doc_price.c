/* A price in the document: the four, and the parts that a provider charges by kind, length or tier. */
#include "admin/doc_price.h"

#include <string.h>

#include "fcgi/base/text.h"
#include "sql/price_parts.h"

#define BOUND_TOKENS 1000000000 /* as context_window's */

/* The four and the parts, as fields. */
#define PRICE_FOUR 4
static void price_fields(struct field table[PRICE_FOUR + PRICE_PARTS + 1])
{
    static const struct field four[PRICE_FOUR] = {
        {"input", FIELD_MONEY, offsetof(struct price, input), true, 0, 0, NULL},
        {"cached_input", FIELD_MONEY, offsetof(struct price, cached_input), false, 0, 0, NULL},
        {"cache_write", FIELD_MONEY, offsetof(struct price, cache_write), false, 0, 0, NULL},
        {"output", FIELD_MONEY, offsetof(struct price, output), true, 0, 0, NULL},
    };

    memcpy(table, four, sizeof four);
    for (int i = 0; i < PRICE_PARTS; i++)
        table[PRICE_FOUR + i] = (struct field){price_part_names[i], price_part_is_money(i) ? FIELD_MONEY : FIELD_INT,
                                               offsetof(struct price, part) + (size_t)i * sizeof(int64_t), false, 1,
                                               BOUND_TOKENS, NULL};
    table[PRICE_FOUR + PRICE_PARTS] = (struct field){NULL, FIELD_ANY, 0, false, 0, 0, NULL};
}

/* What is not said is 0 from here on. */
static void note_stated(struct price *p)
{
    for (int i = 0; i < PRICE_PARTS; i++) {
        if (p->part[i] >= 0) p->stated |= 1u << i;
        else p->part[i] = 0;
    }
}

/* A length or a tier has a price for input and one for output, or none at all. */
static bool check_parts(struct reader *r, const struct price *p)
{
    static const struct { unsigned any, all; } groups[] = {
        {0x1f << PRICE_LONG_ABOVE, 1u << PRICE_LONG_ABOVE | 1u << PRICE_LONG | 1u << PRICE_LONG_OUTPUT},
        {0xf << PRICE_PRIORITY, 1u << PRICE_PRIORITY | 1u << PRICE_PRIORITY_OUTPUT},
        {0xf << PRICE_FLEX, 1u << PRICE_FLEX | 1u << PRICE_FLEX_OUTPUT},
    };

    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        unsigned lacking = p->stated & groups[i].any ? groups[i].all & ~p->stated : 0;

        if (lacking) return refuse_member(r, price_part_names[__builtin_ctz(lacking)], "is required with %s",
                                          price_part_names[__builtin_ctz(p->stated & groups[i].any)]);
    }
    return true;
}

/* What a cached or written token costs is the input price where nothing is said; of the parts: sql/price.h. */
bool doc_price_read(struct reader *r, struct jval v, struct price *out)
{
    struct field table[PRICE_FOUR + PRICE_PARTS + 1];
    size_t before = path_member(r, "price");

    price_fields(table);
    *out = (struct price){.known = true, .cached_input = -1, .cache_write = -1};
    for (int i = 0; i < PRICE_PARTS; i++) out->part[i] = -1;
    if (!fields_read(r, v, table, out)) return false;
    if (out->cached_input < 0) out->cached_input = out->input;
    if (out->cache_write < 0) out->cache_write = out->input;
    note_stated(out);
    if (!check_parts(r, out)) return false;
    path_back(r, before);
    return true;
}

static void write_money(struct buf *out, const char *lead, int64_t nano)
{
    char text[MONEY_TEXT];

    money_text(nano, text);
    buf_printf(out, "%s\"%s\"", lead, text);
}

void doc_price_write(struct buf *out, const struct price *p)
{
    if (!p->known) return;
    write_money(out, ",\"price\":{\"input\":", p->input);
    write_money(out, ",\"cached_input\":", p->cached_input);
    write_money(out, ",\"cache_write\":", p->cache_write);
    write_money(out, ",\"output\":", p->output);
    price_parts_write(p, out);
    buf_char(out, '}');
}
