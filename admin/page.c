/* The frame round every page: head, links, what was just done, the way out; and the pages that only say something. */
#include "admin/page.h"

#include "admin/session.h"

/* ---- links ---- */

static const struct link { const char *page, *text; enum admin_role least; } links[] = {
    {"overview", "Overview", ADMIN_VIEWER},     {"budgets", "Budgets", ADMIN_VIEWER},
    {"keys", "Keys and people", ADMIN_VIEWER},  {"verifiers", "Token verifiers", ADMIN_VIEWER},
    {"providers", "Providers", ADMIN_VIEWER},   {"models", "Models and prices", ADMIN_VIEWER},
    {"cache", "Cache", ADMIN_VIEWER},           {"audit", "Audit", ADMIN_VIEWER},
    {"playground", "Playground", ADMIN_VIEWER}, {"settings", "Settings", ADMIN_VIEWER},
    {"administrators", "Administrators", ADMIN_ADMIN}, {"changes", "Changes", ADMIN_VIEWER},
};

/* What a page says about what was done before it. The address names one of these, never a text. */
static const struct { const char *code, *before, *behind; } said[] = {
    {"limit-saved", "The limit on ", " is in force."},
    {"limit-same", "The limit on ", " was like that already."},
    {"limit-removed", "The limit on ", " was removed."},
    {"limit-reset", "The count of ", " begins again at nothing. What is held by requests in flight stays held."},
    {"key-saved", "The key ", " was changed; it is in force."},
    {"key-revoked", "The key ", " was revoked. It is refused from now on."},
    {"verifier-saved", "The token verifier ", " was saved; it is in force."},
    {"verifier-removed", "The token verifier ", " was removed. Its tokens are refused from now on."},
    {"provider-saved", "The provider ", " was saved; it is in force."},
    {"provider-breaker", "What was said about ", " holds from the next request on."},
    {"provider-removed", "The provider ", " was removed."},
    {"provider-key-removed", "A key of the provider ", " was removed."},
    {"model-saved", "The model ", " was saved; it is in force."},
    {"model-removed", "The model ", " was removed."},
    {"cache-cleared", "All answers that were kept are forgotten.", NULL},
    {"setting-saved", "The setting ", " is in force."},
    {"administrator-role", "The role of ", " was changed, and all log-ins of that administrator ended."},
    {"administrator-disabled", "The administrator ", " cannot log in any more."},
    {"administrator-enabled", "The administrator ", " can log in again."},
    {"admin-key-revoked", "The administrator's key ", " was revoked."},
    {"password-changed", "Your password was changed. All other log-ins of yours have ended.", NULL},
    {"code-begun", "Each log-in of yours asks for a one-time code from now on. All others have ended.", NULL},
    {"code-ended", "Your log-ins ask for no one-time code any more.", NULL},
    {"logged-out", "You are logged out.", NULL},
    {"logged-out-everywhere", "You are logged out everywhere.", NULL},
};

static void tell_what_was_done(struct web_way *w, struct buf *out)
{
    const char *code = form_text(&w->query, "said");
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        if (strcmp(code, said[i].code) != 0) continue;
        HTML(out, "<p class=\"said\" role=\"status\">{}", H_TEXT(said[i].before));
        if (said[i].behind) HTML(out, "<strong>{}</strong>{}", H_NAME(form_text(&w->query, "of")), H_TEXT(said[i].behind));
        HTML(out, "</p>\n");
    }
}

static void write_links(struct web_way *w, struct buf *out, const char *here)
{
    HTML(out, "<nav aria-label=\"Pages\"><ul>\n");
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        const struct link *l = &links[i];
        bool is_here = strcmp(l->page, here) == 0;
        if (w->who.role < l->least) continue;
        HTML(out, "<li><a href=\"{}\"", H_TEXT(l->page));
        if (is_here) HTML(out, " aria-current=\"page\"");
        HTML(out, ">{}</a></li>\n", H_TEXT(l->text));
    }
    HTML(out, "</ul></nav>\n");
}

static void write_who(struct web_way *w, struct buf *out)
{
    HTML(out, "<div class=\"who\"><span>{} <small>{}</small></span> <a href=\"password\">Password</a>\n",
         H_NAME(w->who.name),
         H_TEXT(admin_role_names[w->who.role]));
    HTML(out, "<form method=\"post\" action=\"logout\"><input type=\"hidden\" name=\"csrf\" value=\"{}\">"
              "<button class=\"plain\">Log out</button></form></div>\n", H_TEXT(w->who.csrf));
}

void page_start(struct web_way *w, struct buf *out, const char *title, const char *here)
{
    HTML(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
              "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{} - Weir</title>\n"
              "<link rel=\"stylesheet\" href=\"../static/style.css?{}\">\n<link rel=\"icon\" href=\"data:,\">\n"
              "<script src=\"../static/page.js?{}\" defer></script>\n</head>\n<body class=\"admin\">\n"
              "<a class=\"skip\" href=\"#main\">To the content</a>\n<header><p class=\"mark\">Weir</p>\n",
         H_TEXT(title), H_TEXT(WEIR_VERSION), H_TEXT(WEIR_VERSION));
    if (here) write_links(w, out, here);
    if (w->who.administrator) write_who(w, out);
    HTML(out, "</header>\n<main id=\"main\" tabindex=\"-1\">\n<h1>{}</h1>\n", H_TEXT(title));
    tell_what_was_done(w, out);
}

void page_end(struct buf *out)
{
    HTML(out, "</main>\n</body>\n</html>\n");
}

/* ---- elsewhere ---- */

enum weir_err page_go(struct web_way *w, const char *page, const char *code, const char *name)
{
    struct buf to;
    buf_init(&to, BOUND_PATH * 4);
    buf_span(&to, w->r.mount);
    buf_str(&to, "/admin/");
    buf_str(&to, page);
    if (code) {
        buf_str(&to, strchr(page, '?') ? "&said=" : "?said=");
        buf_str(&to, code);
        buf_str(&to, "&of=");
        url_arg(&to, span_of(name ? name : ""));
    }
    w->head.status = 303;
    w->head.location = to.err ? NULL : arena_str(&w->memory, buf_all(&to));
    buf_free(&to);
    return w->head.location ? WEIR_OK : WEIR_NOMEM;
}

enum weir_err page_done(struct web_way *w, enum weir_err err, const char *what, const char *page, const char *code,
                        const char *name)
{
    if (err == WEIR_NOT_FOUND) return problem_set(&w->problem, err, NULL, "There is no %s of this name.", what);
    return err == WEIR_OK ? page_go(w, page, code, name) : err;
}

enum weir_err page_home(struct web_way *w, struct buf *out)
{
    (void)out;
    return page_go(w, "overview", NULL, NULL);
}

void page_problem(struct web_way *w, struct buf *out)
{
    const struct weir_err_info *info = weir_err_info(w->problem.err);
    buf_clear(out);
    w->head = (struct web_head){.status = info->status, .type = w->head.type, .retry_after_s = w->problem.retry_after_s};
    page_start(w, out, info->status >= 500 ? "That failed" : "That cannot be done", w->who.administrator ? "" : NULL);
    HTML(out, "<p class=\"fault\" role=\"alert\">{}</p>\n<p class=\"faint\">Request {}</p>\n",
         H_TEXT(*w->problem.text ? w->problem.text : info->text), H_TEXT(w->r.id));
    if (!w->who.administrator) HTML(out, "<p><a class=\"button\" href=\"login\">Log in</a></p>\n");
    page_end(out);
}
