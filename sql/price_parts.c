/* A price's parts by their names. */
#include "sql/price_parts.h"

#include "fcgi/base/text.h"

const char *const price_part_names[PRICE_PARTS] = {
    [PRICE_CACHE_WRITE_1H] = "cache_write_1h", [PRICE_AUDIO_INPUT] = "audio_input", [PRICE_AUDIO_OUTPUT] = "audio_output",
    [PRICE_SEARCHES] = "searches", [PRICE_LONG_ABOVE] = "long_above",
    [PRICE_LONG] = "long_input", [PRICE_LONG_CACHED_INPUT] = "long_cached_input",
    [PRICE_LONG_CACHE_WRITE] = "long_cache_write", [PRICE_LONG_OUTPUT] = "long_output",
    [PRICE_PRIORITY] = "priority_input", [PRICE_PRIORITY_CACHED_INPUT] = "priority_cached_input",
    [PRICE_PRIORITY_CACHE_WRITE] = "priority_cache_write", [PRICE_PRIORITY_OUTPUT] = "priority_output",
    [PRICE_FLEX] = "flex_input", [PRICE_FLEX_CACHED_INPUT] = "flex_cached_input",
    [PRICE_FLEX_CACHE_WRITE] = "flex_cache_write", [PRICE_FLEX_OUTPUT] = "flex_output",
};

bool price_part_is_money(int part) { return part != PRICE_LONG_ABOVE; }

enum weir_err price_part_text(const struct price *p, int part, struct buf *out)
{
    char money[MONEY_TEXT];
    if (!price_part_is_money(part)) return buf_int(out, p->part[part]);
    money_text(p->part[part], money);
    return buf_str(out, money);
}

static void write_part(const struct price *p, int part, struct buf *out)
{
    const char *quote = price_part_is_money(part) ? "\"" : "";
    buf_printf(out, "\"%s\":%s", price_part_names[part], quote);
    price_part_text(p, part, out);
    buf_str(out, quote);
}

enum weir_err price_parts_write(const struct price *p, struct buf *out)
{
    for (int i = 0; i < PRICE_PARTS; i++) {
        if (!(p->stated >> i & 1)) continue;
        buf_char(out, ',');
        write_part(p, i, out);
    }
    return out->err;
}

enum weir_err price_parts_object(const struct price *p, struct buf *out)
{
    char lead = '{';
    for (int i = 0; i < PRICE_PARTS; i++) {
        if (!(p->stated >> i & 1)) continue;
        buf_char(out, lead);
        write_part(p, i, out);
        lead = ',';
    }
    return p->stated ? buf_char(out, '}') : out->err;
}

static bool amount(int part, struct jval v, int64_t *out)
{
    if (!price_part_is_money(part)) return jval_int(v, out) && *out > 0;
    return v.kind == JSON_STRING && money_parse((struct span){v.text.at + 1, v.text.len - 2}, out);
}

void price_parts_read(struct jval object, struct price *p)
{
    struct span key;
    struct jval v;
    struct jiter it = jscan_iter(object);
    while (jscan_next(&it, &key, &v))
        for (int i = 0; i < PRICE_PARTS; i++) {
            if (!jkey_is(key, price_part_names[i]) || !amount(i, v, &p->part[i])) continue;
            p->stated |= 1u << i;
        }
}
