/* Audit rows as JSON and CSV. One table says what is told, and how. */
#include "admin/audit_text.h"

#include "fcgi/base/text.h"

enum kind { TEXT, COUNT, KNOWN /* -1: not known */, MONEY, TIME, FLAG };

static const struct column { const char *name; enum kind kind; size_t offset; } columns[] = {
#define COLUMN(name, kind) {#name, kind, offsetof(struct audit_row, name)}
    COLUMN(time, TIME), COLUMN(request_id, TEXT), COLUMN(user, TEXT), COLUMN(team, TEXT), COLUMN(role, TEXT),
    COLUMN(rolegroup, TEXT), COLUMN(key, TEXT), COLUMN(ip, TEXT), COLUMN(endpoint, TEXT), COLUMN(alias, TEXT),
    COLUMN(provider, TEXT), COLUMN(model, TEXT), COLUMN(stream, FLAG), COLUMN(status, COUNT), COLUMN(outcome, TEXT),
    COLUMN(attempts, COUNT), COLUMN(cache, TEXT), COLUMN(prompt_tokens, COUNT), COLUMN(cached_tokens, COUNT),
    COLUMN(cache_write_tokens, COUNT), COLUMN(completion_tokens, COUNT), COLUMN(cost, MONEY), COLUMN(usage_source, TEXT),
    COLUMN(first_byte_ms, KNOWN), COLUMN(latency_ms, COUNT), COLUMN(error, TEXT), COLUMN(context, TEXT),
#undef COLUMN
};
#define COLUMNS (sizeof columns / sizeof *columns)

static const char *text_of(const struct audit_row *r, const struct column *c)
{
    return *(const char *const *)(const void *)((const char *)r + c->offset);
}

static int64_t number_of(const struct audit_row *r, const struct column *c)
{
    return *(const int64_t *)(const void *)((const char *)r + c->offset);
}

static void write_time(struct buf *out, int64_t ms)
{
    char text[TIME_TEXT];
    time_text(ms, text);
    buf_str(out, text);
}

static void write_money(struct buf *out, int64_t nano)
{
    char text[MONEY_TEXT];
    money_text(nano, text);
    buf_str(out, text);
}

static void json_value(struct buf *out, const struct audit_row *r, const struct column *c)
{
    bool quoted = c->kind == TIME || (c->kind == MONEY && number_of(r, c) >= 0);
    if (quoted) buf_char(out, '"');
    switch (c->kind) {
    case TEXT: json_string(out, span_of(text_of(r, c))); break;
    case FLAG: buf_str(out, r->stream ? "true" : "false"); break;
    case COUNT: buf_int(out, number_of(r, c)); break;
    case KNOWN:
        if (number_of(r, c) < 0) buf_str(out, "null");
        else buf_int(out, number_of(r, c));
        break;
    case TIME: write_time(out, number_of(r, c)); break;
    case MONEY:
        if (number_of(r, c) < 0) buf_str(out, "null");
        else write_money(out, number_of(r, c));
        break;
    }
    if (quoted) buf_char(out, '"');
}

void audit_json_object(struct buf *out, const struct audit_row *r)
{
    for (size_t i = 0; i < COLUMNS; i++) {
        buf_printf(out, "%s\"%s\":", i ? "," : "{", columns[i].name);
        json_value(out, r, &columns[i]);
    }
    buf_char(out, '}');
}

void audit_json_row(struct buf *out, const struct audit_row *r)
{
    audit_json_object(out, r);
    buf_char(out, '\n');
}

static void csv_text(struct buf *out, const char *text)
{
    if (!text) return;
    bool formula = *text && strchr("=+-@\t\r", *text);
    if (!formula && !strpbrk(text, ",\"\r\n")) {
        buf_str(out, text);
        return;
    }
    buf_str(out, formula ? "\"'" : "\"");
    for (; *text; text++) {
        if (*text == '"') buf_char(out, '"');
        buf_char(out, *text);
    }
    buf_char(out, '"');
}

void audit_csv_row(struct buf *out, const struct audit_row *r)
{
    for (size_t i = 0; i < COLUMNS; i++) {
        const struct column *c = &columns[i];
        if (i) buf_char(out, ',');
        if (c->kind == TEXT) csv_text(out, text_of(r, c));
        else if (c->kind == FLAG) buf_str(out, r->stream ? "true" : "false");
        else if (c->kind == TIME) write_time(out, number_of(r, c));
        else if (c->kind == MONEY && number_of(r, c) >= 0) write_money(out, number_of(r, c));
        else if (number_of(r, c) >= 0) buf_int(out, number_of(r, c));
    }
    buf_str(out, "\r\n");
}
