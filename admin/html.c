/* Escaping by destination. */
#include "admin/html.h"

#include <stdio.h>

#include "fcgi/base/text.h"
#include "fcgi/base/utf8.h"

#define REPLACED "\xef\xbf\xbd" /* U+FFFD */

void html_text(struct buf *out, struct span s)
{
    const char *end = s.at + s.len;
    for (const char *c = s.at; c < end;) {
        size_t n = utf8_char(c, end);
        switch (*c) {
        case '&': buf_str(out, "&amp;"); break;
        case '<': buf_str(out, "&lt;"); break;
        case '>': buf_str(out, "&gt;"); break;
        case '"': buf_str(out, "&quot;"); break;
        case '\'': buf_str(out, "&#39;"); break;
        default:
            if (!n || ((unsigned char)*c < 0x20 && *c != '\n' && *c != '\t' && *c != '\r') || *c == 0x7f) buf_str(out,
                REPLACED);
            else buf_add(out, c, n);
        }
        c += n ? n : 1;
    }
}

void url_arg(struct buf *out, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c));
        if (plain) buf_char(out, c);
        else buf_printf(out, "%%%02X", (unsigned char)c);
    }
}

/* 1234567 as "1,234,567", its digits given as text. */
static void grouped(struct buf *out, const char *digits, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) buf_char(out, ',');
        buf_char(out, digits[i]);
    }
}

static void count(struct buf *out, int64_t n)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%lld", (long long)n);
    const char *at = digits + (*digits == '-');
    if (at > digits) buf_char(out, '-');
    grouped(out, at, strlen(at));
}

static void money(struct buf *out, int64_t nano)
{
    char text[MONEY_TEXT];
    if (nano < 0) {
        buf_str(out, "\xe2\x80\x93");
        return;
    }
    money_text(nano, text);
    size_t whole = strcspn(text, ".");
    buf_char(out, '$');
    grouped(out, text, whole);
    buf_str(out, text + whole);
}

/* UTC to the second; page.js shows it in the reader's zone. */
static void moment(struct buf *out, int64_t ms)
{
    char text[TIME_TEXT];
    if (ms <= 0) {
        buf_str(out, "\xe2\x80\x93");
        return;
    }
    time_text(ms, text);
    buf_printf(out, "<time datetime=\"%s\">%.10s %.8s UTC</time>", text, text, text + 11);
}

static void put(struct buf *out, const struct html_value *v)
{
    switch (v->kind) {
    case HTML_TEXT: html_text(out, v->text); break;
    case HTML_NAME:
        buf_str(out, "<bdi>");
        html_text(out, v->text);
        buf_str(out, "</bdi>");
        break;
    case HTML_ARG: url_arg(out, v->text); break;
    case HTML_INT: buf_int(out, v->n); break;
    case HTML_COUNT: count(out, v->n); break;
    case HTML_MONEY: money(out, v->n); break;
    case HTML_TIME: moment(out, v->n); break;
    case HTML_END: out->err = WEIR_INTERNAL; break;
    }
}

void html_fill(struct buf *out, const char *form, const struct html_value *values)
{
    for (const char *place; (place = strstr(form, "{}")) != NULL; form = place + 2) {
        buf_add(out, form, (size_t)(place - form));
        put(out, values);
        if (values->kind != HTML_END) values++;
    }
    buf_str(out, form);
    if (values->kind != HTML_END) out->err = WEIR_INTERNAL;
}
