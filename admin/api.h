/* The administrators' JSON, /admin/api/v1: everything the pages do, by the same functions and under the same rules.
 * Described in www/openapi.json. Lists are {"object":"list","data":[...],"next":...}; next leads to the rest of the list,
 * null where there is none. */
#ifndef WEIR_ADMIN_API_H
#define WEIR_ADMIN_API_H

#include "admin/field.h"
#include "admin/web.h"

/* ---- shared by api_*.c ---- */

#define API_ROWS 100
#define API_ROWS_MOST 1000

/* Reads the body as one JSON object into a struct by a table (field.h); the texts are the request's. */
enum weir_err api_body(struct web_way *w, const struct field *table, void *into);
/* The body as it is, checked to be JSON. The caller frees. */
enum weir_err api_body_text(struct web_way *w, struct buf *text, struct jval *root);
/* w->query out of the address; form.h reads it. */
enum weir_err api_query(struct web_way *w);
/* The query's value of that name; NULL: w->problem says that it is missing. */
const char *api_named(struct web_way *w, const char *name);
/* A document's fault as a problem: "capacity must be above 0." of the param "capacity". */
enum weir_err api_fault(struct web_way *w, enum weir_err err, const struct fault *fault);
/* The body as one entry of a section, added or changed; answers {"ok":true,"notes":[...]}. */
enum weir_err api_put_entry(struct web_way *w, struct buf *out, enum section section);
enum weir_err api_not_found(struct web_way *w, const char *what); /* "There is no key of this name." */
enum weir_err api_done(struct buf *out);                          /* {"ok":true} */
void api_lines(struct buf *out, const char *lead, const char *lines); /* an array of texts, a line each; NULL: of none */
int api_most(const struct web_way *w);                            /* the query's limit */
void api_member(struct buf *out, const char *lead, const char *text); /* lead, then a JSON string or null */
void api_time(struct buf *out, const char *lead, int64_t ms);         /* 0: null */
void api_money(struct buf *out, const char *lead, int64_t nano);      /* below 0: null */

/* ---- the routes ---- */

#define API(name) enum weir_err name(struct web_way *w, struct buf *out)
API(api_limits); API(api_limit_put); API(api_limit_delete); API(api_limit_reset); API(api_what_if);
API(api_keys); API(api_key_put); API(api_key_rotate); API(api_key_revoke);
API(api_providers); API(api_provider_put); API(api_provider_delete); API(api_provider_key_delete); API(api_provider_test);
API(api_provider_breaker);
API(api_jwt); API(api_jwt_put); API(api_jwt_delete);
API(api_models); API(api_model_put); API(api_model_delete);
API(api_cache); API(api_cache_clear);
API(api_settings); API(api_settings_put); API(api_document_put);
API(api_audit); API(api_usage); API(api_changes);
API(api_administrators); API(api_administrator_add); API(api_administrator_reset); API(api_administrator_role);
API(api_administrator_disable); API(api_administrator_enable);
API(api_admin_keys); API(api_admin_key_add); API(api_admin_key_revoke);

#endif
