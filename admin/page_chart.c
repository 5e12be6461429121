/* A chart of the rollup, drawn here as SVG: stacked bars over time, the largest names each in its own colour, all others
 * together; and the same as a table, for those who do not see it. */
#include "admin/page_chart.h"

#include <stdlib.h>

#include "admin/names.h"

#define SHOWN 6          /* names with a colour of their own */
#define NAMES_MOST 20000 /* names told apart; those behind them are others */
#define WIDTH 720
#define HEIGHT 180
#define LEFT 4

struct chart {
    const struct chart_ask *ask;
    struct arena *memory;
    struct names index;      /* name to its place */
    const char **names;      /* [place]; the arena's */
    int64_t *sums;           /* [piece][place], so that the names of one fold lie side by side */
    int64_t *totals;         /* [place] */
    int64_t *pieces;         /* all names together */
    int count;
    enum weir_err err;
};

static int64_t value_of(const struct chart_ask *ask, const struct chart_sum *s)
{
    return ask->what == CHART_COST ? s->cost : ask->what == CHART_TOKENS ? s->tokens : s->requests;
}

/* Zeros that nothing was written to take no memory. */
static bool make_room(struct chart *c)
{
    c->names = calloc(NAMES_MOST, sizeof *c->names);
    c->sums = calloc((size_t)NAMES_MOST * (size_t)c->ask->count, sizeof *c->sums);
    c->totals = calloc(NAMES_MOST, sizeof *c->totals);
    c->pieces = calloc((size_t)c->ask->count, sizeof *c->pieces);
    return c->names && c->sums && c->totals && c->pieces;
}

/* The name's place; -1: it is not told apart. */
static int place_of(struct chart *c, const char *name)
{
    int64_t at;
    struct span text = span_of(name ? name : "");
    if (names_find(&c->index, text, &at)) return (int)at;
    if (c->count == NAMES_MOST) return -1;
    c->names[c->count] = arena_str(c->memory, text);
    if (!c->names[c->count] || names_add(&c->index, text, c->count) != WEIR_OK) {
        c->err = WEIR_NOMEM;
        return -1;
    }
    return c->count++;
}

static void add_cell(int64_t start, const char *name, const struct chart_sum *sum, void *arg)
{
    struct chart *c = arg;
    int64_t i = (start - c->ask->since) / c->ask->piece_ms, n = value_of(c->ask, sum);
    if (i < 0 || i >= c->ask->count || c->err != WEIR_OK) return;
    c->pieces[i] += n;
    int place = place_of(c, name);
    if (place < 0) return;
    c->sums[i * NAMES_MOST + place] += n;
}

static void add_totals(struct chart *c)
{
    for (int i = 0; i < c->ask->count; i++)
        for (int k = 0; k < c->count; k++) c->totals[k] += c->sums[i * NAMES_MOST + k];
}

/* Places of the largest, the largest first. */
static int find_largest(const struct chart *c, int at[SHOWN])
{
    int n = 0;
    for (int i = 0; i < c->count; i++) {
        int k = n;
        if (!c->totals[i]) continue;
        while (k > 0 && c->totals[at[k - 1]] < c->totals[i]) k--;
        if (k == SHOWN) continue;
        if (n < SHOWN) n++;
        for (int j = n - 1; j > k; j--) at[j] = at[j - 1];
        at[k] = i;
    }
    return n;
}

static void write_value(struct buf *out, const struct chart_ask *ask, int64_t n)
{
    if (ask->what == CHART_COST) HTML(out, "{}", H_MONEY(n));
    else HTML(out, "{}", H_COUNT(n));
}

/* One name's part of one bar, on top of what is there; *base moves up. */
static void write_part(struct buf *out, const struct chart *c, int64_t i, int colour, int64_t n, int64_t most, int64_t *base)
{
    int64_t from = (int64_t)((__int128)*base * HEIGHT / most), to = (int64_t)((__int128)(*base + n) * HEIGHT / most);
    int64_t x = LEFT + i * WIDTH / c->ask->count, wide = WIDTH / c->ask->count - 2;
    *base += n;
    if (to == from) return;
    HTML(out, "<rect class=\"c{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>", H_INT(colour), H_INT(x),
         H_INT(HEIGHT - to),
         H_INT(wide > 1 ? wide : 1), H_INT(to - from));
}

static void write_bar(struct buf *out, const struct chart *c, int64_t i, const int *at, int shown, int64_t most)
{
    int64_t base = 0, rest = c->pieces[i];
    HTML(out, "<g><title>");
    HTML(out, "{}: ", H_TEXT(chart_piece_text(c->ask, i, (char[TIME_TEXT]){0})));
    write_value(out, c->ask, c->pieces[i]);
    HTML(out, "</title>");
    for (int k = 0; k < shown; k++) {
        int64_t n = c->sums[i * NAMES_MOST + at[k]];
        write_part(out, c, i, k, n, most, &base);
        rest -= n;
    }
    write_part(out, c, i, SHOWN, rest, most, &base);
    HTML(out, "</g>");
}

static const char *name_of(const struct chart *c, int place)
{
    return c->names[place] && *c->names[place] ? c->names[place] : "(none)";
}

static void write_key(struct buf *out, const struct chart *c, const int *at, int shown, int64_t all)
{
    int64_t rest = all;
    HTML(out, "<ul class=\"key\">");
    for (int k = 0; k < shown; k++) {
        HTML(out, "<li><svg class=\"dot\" viewBox=\"0 0 10 10\" aria-hidden=\"true\"><rect class=\"c{}\" width=\"10\" "
                  "height=\"10\"/></svg>{} <small>",
             H_INT(k), H_NAME(name_of(c, at[k])));
        write_value(out, c->ask, c->totals[at[k]]);
        HTML(out, "</small></li>");
        rest -= c->totals[at[k]];
    }
    if (rest > 0) {
        HTML(out, "<li><svg class=\"dot\" viewBox=\"0 0 10 10\" aria-hidden=\"true\"><rect class=\"c{}\" width=\"10\" "
                  "height=\"10\"/></svg>others <small>", H_INT(SHOWN));
        write_value(out, c->ask, rest);
        HTML(out, "</small></li>");
    }
    HTML(out, "</ul>\n");
}

static void write_table(struct buf *out, const struct chart *c)
{
    HTML(out, "<details><summary>As a table</summary><div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th "
              "scope=\"col\">From "
              "(UTC)</th>"
              "<th scope=\"col\" class=\"num\">{}</th></tr></thead><tbody>\n", H_TEXT(chart_what_names[c->ask->what]));
    for (int64_t i = 0; i < c->ask->count; i++) {
        HTML(out, "<tr><th scope=\"row\">{}</th><td class=\"num\">",
             H_TEXT(chart_piece_text(c->ask, i, (char[TIME_TEXT]){0})));
        write_value(out, c->ask, c->pieces[i]);
        HTML(out, "</td></tr>\n");
    }
    HTML(out, "</tbody></table></div></details>\n");
}

static void draw(struct buf *out, const struct chart *c)
{
    int at[SHOWN], shown = find_largest(c, at);
    int64_t most = 1, all = 0;
    for (int64_t i = 0; i < c->ask->count; i++) {
        if (c->pieces[i] > most) most = c->pieces[i];
        all += c->pieces[i];
    }
    if (!all) {
        page_empty(out, "Nothing to show for this choice.", "Requests without a price have no cost; look at tokens or "
                   "requests.");
        return;
    }
    HTML(out, "<figure class=\"chart\"><figcaption>{} by {}, highest ", H_TEXT(chart_what_names[c->ask->what]),
         H_TEXT(chart_by_names[c->ask->by]));
    write_value(out, c->ask, most);
    HTML(out, "</figcaption>\n<svg viewBox=\"0 0 {} {}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Bars "
              "over time; the table below has "
              "the numbers\">", H_INT(WIDTH + 2 * LEFT), H_INT(HEIGHT));
    for (int64_t i = 0; i < c->ask->count; i++) write_bar(out, c, i, at, shown, most);
    HTML(out, "<line x1=\"0\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/></svg>\n", H_INT(HEIGHT), H_INT(WIDTH + 2 * LEFT),
         H_INT(HEIGHT));
    HTML(out, "<p class=\"axis\"><span>{}</span><span>now</span></p>\n",
         H_TEXT(chart_piece_text(c->ask, 0, (char[TIME_TEXT]){0})));
    write_key(out, c, at, shown, all);
    write_table(out, c);
    HTML(out, "</figure>\n");
}

const char *const chart_what_names[CHART_WHAT_COUNT] = {"cost", "tokens", "requests"};

const char *chart_piece_text(const struct chart_ask *ask, int64_t i, char text[TIME_TEXT])
{
    time_text(ask->since + i * ask->piece_ms, text);
    text[ask->piece_ms < 86400000 ? 16 : 10] = '\0'; /* to the minute, or to the day */
    if (ask->piece_ms < 86400000) text[10] = ' ';
    return text;
}

enum weir_err page_chart(struct web_way *w, struct buf *out, const struct chart_ask *ask)
{
    struct chart c = {.ask = ask, .memory = &w->memory};
    int64_t begins = ask->since;
    enum weir_err err = make_room(&c) ? WEIR_OK : WEIR_NOMEM;
    if (err == WEIR_OK) err = chart_cells(w->db, ask->by, ask->since, ask->piece_ms, &begins, add_cell, &c);
    if (err == WEIR_OK) err = c.err;
    if (err == WEIR_OK && begins > ask->since)
        HTML(out, "<p class=\"note\">What was before {} is still being added up; look again in a minute.</p>\n",
             H_TIME(begins));
    if (err == WEIR_OK) add_totals(&c);
    if (err == WEIR_OK) draw(out, &c);
    names_free(&c.index);
    free(c.names);
    free(c.sums);
    free(c.totals);
    free(c.pieces);
    return err;
}
