/* Pieces that several pages show: bars, amounts, what a limit is in words, links to the rest of a listing. */
#include "admin/page.h"

#include "admin/limit_words.h"

void page_empty(struct buf *out, const char *what, const char *next)
{
    HTML(out, "<p class=\"empty\">{} <span>{}</span></p>\n", H_TEXT(what), H_TEXT(next));
}

void page_amount(struct buf *out, enum metric metric, int64_t n)
{
    if (metric == METRIC_COST) HTML(out, "{}", H_MONEY(n > 0 ? n : 0));
    else HTML(out, "{}", H_COUNT(n));
}

/* Parts of a thousand, at most all of it. */
static int64_t share(int64_t part, int64_t whole)
{
    if (whole <= 0 || part <= 0) return 0;
    return part >= whole ? 1000 : (int64_t)((__int128)part * 1000 / whole);
}

void page_bar(struct buf *out, const struct rule *rule, int64_t used, int64_t held)
{
    int64_t a = share(used, rule->amount), b = share(used + held, rule->amount);
    const char *level = a >= 1000 ? "full" : a >= rule->warn_percent * 10 ? "high" : "fine";
    HTML(out, "<div class=\"gauge\"><svg class=\"bar {}\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" "
              "aria-hidden=\"true\">"
              "<rect class=\"ground\" width=\"1000\" height=\"10\"/><rect class=\"held\" width=\"{}\" height=\"10\"/>"
              "<rect class=\"used\" width=\"{}\" height=\"10\"/></svg><span>", H_TEXT(level), H_INT(b), H_INT(a));
    page_amount(out, rule->metric, used);
    HTML(out, " of ");
    page_amount(out, rule->metric, rule->amount);
    if (held > 0) {
        HTML(out, ", ");
        page_amount(out, rule->metric, held);
        HTML(out, " held");
    }
    HTML(out, " <small>({}.{} %)</small></span></div>", H_INT(a / 10), H_INT(a % 10));
}

void page_duration(struct buf *out, int64_t ms)
{
    int64_t s = ms / 1000;
    if (ms < 0) HTML(out, "\xe2\x80\x93");
    else if (ms < 10000) HTML(out, "{} ms", H_COUNT(ms));
    else if (s < 120) HTML(out, "{} s", H_INT(s));
    else if (s < 7200) HTML(out, "{} min", H_INT(s / 60));
    else if (s < 172800) HTML(out, "{} h", H_INT(s / 3600));
    else HTML(out, "{} days", H_COUNT(s / 86400));
}

void page_limit_words(struct buf *out, const struct rule *r)
{
    char words[LIMIT_WORDS];
    HTML(out, "{}", H_TEXT(limit_words(r, words)));
    if (r->mode != MODE_HARD) HTML(out, " <span class=\"tag\">{}</span>", H_TEXT(mode_names[r->mode]));
}

void page_more(struct web_way *w, struct buf *out, const char *page, const char *name, const char *value, const char *text)
{
    HTML(out, "<p class=\"more\"><a class=\"button\" href=\"{}?{}={}", H_TEXT(page), H_TEXT(name), H_ARG(value));
    for (int i = 0; i < w->query.count; i++) {
        const struct form_field *f = &w->query.at[i];
        if (strcmp(f->name, name) == 0 || strcmp(f->name, "said") == 0 || strcmp(f->name, "of") == 0) continue;
        HTML(out, "&amp;{}={}", H_ARG(f->name), H_ARG(f->value));
    }
    HTML(out, "\">{}</a></p>\n", H_TEXT(text));
}
