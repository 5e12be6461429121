/* Prints every listing: a table for people, or JSON for programs. Nothing from outside reaches a terminal raw. */
#include "admin/listing.h"

#include <stdio.h>

#include "admin/command.h"
#include "fcgi/base/text.h"

#define LISTING_MAX ((size_t)512 << 20) /* bytes of a table kept for its alignment */

static bool is_table(const struct listing *l)
{
    return l->form == LISTING_TABLE || l->form == LISTING_STREAM;
}

void listing_start(struct listing *l, const struct column *columns, enum listing_form form)
{
    *l = (struct listing){.columns = columns, .form = form};
    while (columns[l->count].json || columns[l->count].title) l->count++;
    buf_init(&l->cells, LISTING_MAX);
    if (form == LISTING_JSON) fputs("[", stdout);
}

/* Columns as a terminal counts them: bytes that begin a character. */
static int text_width(const char *text)
{
    int n = 0;

    for (; *text; text++)
        if ((*text & 0xc0) != 0x80) n++;
    return n;
}

static void print_cell(const char *text, int width, bool last)
{
    int pad = width - text_width(text);

    fputs(text, stdout);
    if (last) {
        putchar('\n');
        return;
    }
    printf("%*s", (pad > 0 ? pad : 0) + 2, "");
}

static bool is_last_title(const struct listing *l, int column)
{
    for (int i = column + 1; i < l->count; i++)
        if (l->columns[i].title) return false;
    return true;
}

static void print_titles(const struct listing *l, const int *widths)
{
    for (int i = 0; i < l->count; i++)
        if (l->columns[i].title) print_cell(l->columns[i].title, widths[i], is_last_title(l, i));
}

static const char *print_row(const struct listing *l, const char *cell, const int *widths)
{
    for (int i = 0; i < l->count; i++) {
        if (!l->columns[i].title) continue;
        print_cell(cell, widths[i], is_last_title(l, i));
        cell += strlen(cell) + 1;
    }
    return cell;
}

#define COLUMNS_MAX 40

static void print_table(struct listing *l)
{
    int widths[COLUMNS_MAX] = {0};
    const char *cell = buf_cstr(&l->cells);

    for (int i = 0; i < l->count; i++)
        if (l->columns[i].title) widths[i] = text_width(l->columns[i].title);
    for (size_t r = 0; r < l->rows; r++)
        for (int i = 0; i < l->count; i++) {
            if (!l->columns[i].title) continue;
            int n = text_width(cell);
            if (n > widths[i]) widths[i] = n;
            cell += strlen(cell) + 1;
        }
    print_titles(l, widths);
    cell = buf_cstr(&l->cells);
    for (size_t r = 0; r < l->rows; r++) cell = print_row(l, cell, widths);
}

static void stream_row(struct listing *l)
{
    int widths[COLUMNS_MAX] = {0};

    for (int i = 0; i < l->count; i++) widths[i] = l->columns[i].width;
    if (l->rows == 0) print_titles(l, widths);
    print_row(l, buf_cstr(&l->cells), widths);
    buf_clear(&l->cells);
}

static void print_object(struct listing *l)
{
    if (l->form == LISTING_JSON) fputs(l->rows ? ",\n " : "\n ", stdout);
    fwrite(l->cells.at, 1, l->cells.len, stdout);
    fputs(l->form == LISTING_LINES ? "}\n" : "}", stdout);
    buf_clear(&l->cells);
}

static void column_done(struct listing *l)
{
    if (++l->at < l->count) return;
    l->at = 0;
    if (!is_table(l)) print_object(l);
    else if (l->form == LISTING_STREAM && !l->cells.err) stream_row(l);
    l->rows++;
}

/* A cell of the table: control characters and what is not UTF-8 are shown as '?'. */
static void cell_add(struct listing *l, struct span s)
{
    bool utf8 = text_is_utf8(s);

    if (!l->columns[l->at].title) return;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        bool c1 = c == 0xc2 && i + 1 < s.len && (unsigned char)s.at[i + 1] < 0xa0; /* U+0080..9f: terminal controls */

        buf_char(&l->cells, c < 0x20 || c == 0x7f || c1 || (c >= 0x80 && !utf8) ? '?' : (char)c);
        if (c1) i++;
    }
    buf_add(&l->cells, "", 1);
}

/* Begins a member; false if this column is not in the JSON. */
static bool member_start(struct listing *l)
{
    const char *name = l->columns[l->at].json;

    if (name) {
        buf_str(&l->cells, l->cells.len ? ", " : "{");
        json_string(&l->cells, span_of(name));
        buf_str(&l->cells, ": ");
    }
    return name != NULL;
}

void listing_both(struct listing *l, struct span json, struct span shown)
{
    if (is_table(l)) cell_add(l, shown);
    else if (member_start(l)) buf_span(&l->cells, json);
    column_done(l);
}

void listing_text(struct listing *l, struct span s)
{
    if (is_table(l)) cell_add(l, s.at ? s : SPAN("-"));
    else if (member_start(l)) json_string(&l->cells, s);
    column_done(l);
}

void listing_int(struct listing *l, int64_t n)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)n);
    listing_both(l, span_of(text), span_of(text));
}

void listing_bool(struct listing *l, bool b)
{
    listing_both(l, b ? SPAN("true") : SPAN("false"), b ? SPAN("yes") : SPAN("no"));
}

void listing_time(struct listing *l, int64_t wall_ms)
{
    char text[TIME_TEXT];

    if (wall_ms) time_text(wall_ms, text);
    listing_text(l, wall_ms ? span_of(text) : SPAN_NONE);
}

void listing_money(struct listing *l, int64_t nano)
{
    char text[MONEY_TEXT];

    if (nano >= 0) money_text(nano, text);
    listing_text(l, nano >= 0 ? span_of(text) : SPAN_NONE);
}

int listing_end(struct listing *l)
{
    bool whole = !l->cells.err;

    if (whole && l->form == LISTING_TABLE) print_table(l);
    if (l->form == LISTING_JSON) fputs(l->rows ? "\n]\n" : "]\n", stdout);
    buf_free(&l->cells);
    if (whole) return finish_output();
    say("the listing is too large to be shown; use --json");
    return EXIT_REFUSED;
}
