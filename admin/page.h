/* Pages: the frame round every page, the pieces that pages are made of, and the pages themselves. A page writes with HTML()
 * (html.h) only. Links are relative, as all pages lie in one directory: so they work under every mount prefix. */
#ifndef WEIR_ADMIN_PAGE_H
#define WEIR_ADMIN_PAGE_H

#include "admin/html.h"
#include "admin/web.h"
#include "sql/ledger.h"

#define PAGE_ROWS 50 /* of a listing */

/* ---- the frame ---- */

/* here: the page's own address ("keys"), which stands out among the links; NULL: without links. */
void page_start(struct web_way *w, struct buf *out, const char *title, const char *here);
void page_end(struct buf *out);
/* Answers with another page of this directory: "keys?said=key-revoked&of=NAME". said: what page_start tells there. name
 * NULL: of nothing. */
enum weir_err page_go(struct web_way *w, const char *page, const char *said, const char *name);
/* The end of a change: that page and what it says, or that there is no such thing ("key"). */
enum weir_err page_done(struct web_way *w, enum weir_err err, const char *what, const char *page, const char *said,
                        const char *name);
void page_problem(struct web_way *w, struct buf *out); /* w->problem as a page, in place of what *out holds */

/* ---- forms ---- */

/* The field's value comes from values, its fault from w->fault. */
struct input {
    const char *name, *label, *hint; /* hint NULL: none */
    const char *type;                /* text number password area select flag hidden */
    const char *choices;             /* of a select: "a|b|c" */
    bool required;
    const char *list;                /* id of a datalist; NULL: none */
    const char *complete;            /* autocomplete, for password managers (HTML 4.10.18.7); NULL: as the browser likes */
};
void page_form_start(struct web_way *w, struct buf *out, const char *action);
void page_input(struct web_way *w, struct buf *out, const struct form *values, const struct input *i);
void page_hidden(struct buf *out, const char *name, const char *value);
void page_form_end(struct buf *out, const char *button);
/* A button that is a form of its own, with one hidden field, or two. */
void page_button(struct web_way *w, struct buf *out, const char *action, const char *name, const char *value,
                 const char *button);
void page_button_two(struct web_way *w, struct buf *out, const char *action, const struct form_field fields[2],
                     const char *button);
/* What is wrong with the form, once, above it; nothing if nothing is. */
void page_fault(struct web_way *w, struct buf *out);
/* Sets w->fault and the answer's status. Always WEIR_OK: the form is shown again. */
enum weir_err page_refuse(struct web_way *w, const char *field, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* For forms that name models and providers: a box to insist on a name that leads nowhere, where w->fault is about one; and
 * the manager that refuses such names unless it is checked. */
void page_insist(struct web_way *w, struct buf *out);
struct manager page_manager(struct web_way *w);
/* An entry that was written for form_of_entry or form_entry becomes the request's; the buffer is freed. */
enum weir_err page_keep(struct web_way *w, struct buf *text, struct span *json);
/* Adds to a form that is to be shown; NULL values are left out. Room must have been made by page_values. */
bool page_values(struct web_way *w, struct form *f, int room);
void page_value(struct form *f, const char *name, const char *value);

/* Asks before something is lost: the question's page, with a form that sends the same again and confirm=1. Returns true
 * if it was asked, and the page is written. */
bool page_confirm(struct web_way *w, struct buf *out, const char *here, const char *title, const char *lost,
                  const char *name,
                  const char *action, const char *button);
/* A secret that is shown once. */
void page_secret(struct web_way *w, struct buf *out, const char *here, const char *title, const char *name,
                 const char *secret,
                 const char *back);

/* ---- pieces ---- */

void page_empty(struct buf *out, const char *what, const char *next); /* both literals */
/* used and held of a limit as a bar with its numbers. */
void page_bar(struct buf *out, const struct rule *rule, int64_t used, int64_t held);
void page_amount(struct buf *out, enum metric metric, int64_t n);
void page_limit_words(struct buf *out, const struct rule *r); /* "tokens a month, hard" */
void page_duration(struct buf *out, int64_t ms);
/* A link to the next part of a listing: page and query so far, then name=value. */
void page_more(struct web_way *w, struct buf *out, const char *page, const char *name, const char *value, const char *text);

/* ---- the pages ---- */

#define PAGE(name) enum weir_err name(struct web_way *w, struct buf *out)
PAGE(page_home);
PAGE(page_login); PAGE(page_login_do); PAGE(page_login_code_do); PAGE(page_login_first); PAGE(page_logout_do);
PAGE(page_password); PAGE(page_password_do); PAGE(page_password_first);
PAGE(page_code); PAGE(page_code_do); PAGE(page_code_end_do);
PAGE(page_overview);
PAGE(page_budgets); PAGE(page_budget); PAGE(page_budget_do); PAGE(page_budget_reset_do); PAGE(page_budget_remove_do);
PAGE(page_what_if);
PAGE(page_keys); PAGE(page_key); PAGE(page_key_do); PAGE(page_key_rotate_do); PAGE(page_key_revoke_do);
PAGE(page_providers); PAGE(page_provider); PAGE(page_provider_do); PAGE(page_provider_test_do);
PAGE(page_provider_breaker_do);
PAGE(page_provider_remove_do); PAGE(page_provider_key_remove_do);
PAGE(page_verifiers); PAGE(page_verifier); PAGE(page_verifier_do); PAGE(page_verifier_remove_do);
PAGE(page_models); PAGE(page_model); PAGE(page_model_do); PAGE(page_model_remove_do);
PAGE(page_cache); PAGE(page_cache_clear_do);
PAGE(page_audit); PAGE(page_request); PAGE(page_audit_csv); PAGE(page_audit_jsonl);
PAGE(page_playground);
PAGE(page_settings); PAGE(page_settings_do);
PAGE(page_administrators); PAGE(page_administrator_add_do); PAGE(page_administrator_reset_do);
PAGE(page_administrator_role_do); PAGE(page_administrator_disable_do); PAGE(page_administrator_enable_do);
PAGE(page_admin_key_add_do); PAGE(page_admin_key_revoke_do);
PAGE(page_changes);

#endif
