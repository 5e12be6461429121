/* Token verifiers: whose signed tokens come in, as whom, and whether their keys can be fetched. A secret is written, never
 * shown. */
#include "admin/page.h"

#include "admin/document.h"
#include "admin/verifier_state.h"
#include "fcgi/base/text.h"

/* ---- the listing ---- */

struct list { struct web_way *w; struct buf *out; int count; };

/* A member that is a text, the request's; NULL: it is absent. */
static const char *text_of(struct web_way *w, struct jval entry, const char *name)
{
    struct jval v = jscan_find(entry, name);
    struct buf text;
    buf_init(&text, v.text.len + 1);
    bool is_text = v.kind == JSON_STRING && jval_string(v, &text) == WEIR_OK;
    const char *kept = is_text ? arena_str(&w->memory, buf_all(&text)) : NULL;
    buf_free(&text);
    return kept;
}

static void write_kids(struct web_way *w, struct buf *out, const struct jwt_row *j)
{
    struct buf text;
    struct jval list, kid;
    struct jfault fault;
    struct span none;
    const char *lead = "Keys: ";
    buf_init(&text, BOUND_KEY_SET);
    verifier_kids_write(&text, j);
    if (text.err == WEIR_OK && jscan_check(buf_all(&text), 2, &list, &fault) == WEIR_OK) {
        struct jiter it = jscan_iter(list);
        while (jscan_next(&it, &none, &kid)) {
            struct buf name;
            buf_init(&name, BOUND_KID);
            bool named = jval_string(kid, &name) == WEIR_OK;
            HTML(out, "{}{}", H_TEXT(lead), H_NAME(named ? arena_str(&w->memory, buf_all(&name)) : "(no name)"));
            buf_free(&name);
            lead = ", ";
        }
    }
    buf_free(&text);
}

/* What its keys are; of an address, how the last fetch went. */
static void write_source(struct web_way *w, struct buf *out, const struct jwt_row *j, const char *url)
{
    if (!url) {
        HTML(out, "<td>{}</td>", H_TEXT(j->has_secret ? "a stored secret" : "a public key"));
        return;
    }
    HTML(out, "<td>{}<br><small>", H_NAME(url));
    if (j->fetched) {
        write_kids(w, out, j);
        HTML(out, "<br>fetched {}", H_TIME(j->fetched));
    } else {
        HTML(out, "not fetched yet: no token is taken until it is");
    }
    HTML(out, "</small>");
    if (j->fault) HTML(out, "<br><span class=\"bad\">{}</span> <small>{}</small>", H_NAME(j->fault), H_TIME(j->tried));
    HTML(out, "</td>");
}

static void write_claims(struct web_way *w, struct buf *out, struct jval entry)
{
    static const char *const names[] = {"user", "team", "role", "rolegroup"};
    struct jval claims = jscan_find(entry, "claims");
    HTML(out, "<td><ul class=\"plain\">");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *claim = text_of(w, claims, names[i]);
        if (claim) HTML(out, "<li><small>{}</small> {}</li>", H_TEXT(names[i]), H_NAME(claim));
    }
    HTML(out, "</ul></td>");
}

static void write_row(const struct jwt_row *j, void *arg)
{
    struct list *l = arg;
    struct web_way *w = l->w;
    struct buf *out = l->out;
    struct jval entry = verifier_entry(j);
    const char *issuer = text_of(w, entry, "issuer"), *audience = text_of(w, entry, "audience");
    if (!l->count++)
        HTML(out, "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr><th scope=\"col\">Verifier</th>"
                  "<th scope=\"col\">Issuer and audience</th><th scope=\"col\">Keys</th>"
                  "<th scope=\"col\">Claims that say who it is</th></tr></thead>\n<tbody>\n");
    HTML(out, "<tr><th scope=\"row\">");
    if (w->who.role >= ADMIN_ADMIN) HTML(out, "<a href=\"verifier?name={}\">{}</a>", H_ARG(j->name), H_NAME(j->name));
    else HTML(out, "{}", H_NAME(j->name));
    HTML(out, "<br><small>{}</small></th><td>{}<br><small>{}</small></td>", H_TEXT(text_of(w, entry, "algorithm")),
         H_NAME(issuer ? issuer : "any issuer"), H_NAME(audience ? audience : "any audience"));
    write_source(w, out, j, text_of(w, entry, "jwks_url"));
    write_claims(w, out, entry);
    HTML(out, "</tr>\n");
}

enum weir_err page_verifiers(struct web_way *w, struct buf *out)
{
    struct list l = {w, out, 0};
    page_start(w, out, "Token verifiers", "verifiers");
    HTML(out, "<p>Whoever holds a token (JWT) that one of these verifies comes in without a key.</p>\n");
    if (w->who.role >= ADMIN_ADMIN)
        HTML(out, "<p class=\"actions\"><a class=\"button primary\" href=\"verifier\">New verifier</a></p>\n");
    enum weir_err err = jwt_each(w->db, write_row, &l);
    if (l.count) HTML(out, "</tbody></table></div>\n");
    else page_empty(out, "No token verifier yet.",
                    "Tokens are refused, but for those of JWT_SECRET where the web server sets that.");
    page_end(out);
    return err;
}

/* ---- one verifier ---- */

static const struct input inputs[] = {
    {.name = "name", .label = "Name", .type = "text", .required = true},
    {.name = "algorithm", .label = "Algorithm", .type = "select", .choices = JWT_ALGORITHMS,
     .hint = "No other is taken: HS has a secret, RS and ES a public key or the address of a key set."},
    {.name = "secret", .label = "Secret", .type = "password", .complete = "new-password", /* not the log-in's */
     .hint = "Of HS. Stored sealed, never shown again. Nothing: the stored one stays."},
    {.name = "public_key", .label = "Public key", .type = "area", .hint = "Of RS and ES, in PEM."},
    {.name = "jwks_url", .label = "Address of a key set (JWKS)", .type = "text",
     .hint = "Of RS and ES, in place of a public key. Fetched every ten minutes, and when a token names a new key."},
    {.name = "issuer", .label = "Issuer", .type = "text", .hint = "What iss must say. Nothing: it is not looked at."},
    {.name = "audience", .label = "Audience", .type = "text",
     .hint = "What aud must say or hold. Nothing: tokens made for others come in too."},
    {.name = "claims.user", .label = "Claim of the user", .type = "text",
     .hint = "Nothing: sub. A dot goes down into an object."},
    {.name = "claims.team", .label = "Claim of the team", .type = "text", .hint = "Nothing: team."},
    {.name = "claims.role", .label = "Claim of the role", .type = "text", .hint = "Nothing: role."},
    {.name = "claims.rolegroup", .label = "Claim of the role group", .type = "text", .hint = "Nothing: rolegroup."},
    {.name = "models", .label = "Models", .type = "area", .hint = "Names for callers, one a line. Nothing: all."},
    {.name = "endpoints", .label = "Endpoints", .type = "area",
     .hint = "Like /v1/chat/completions, one a line. Nothing: all."},
    {.name = "leeway", .label = "Leeway, seconds", .type = "number", .hint = "For clocks that differ; nothing: 60."},
};

static enum weir_err write_form(struct web_way *w, struct buf *out, const struct form *values, const char *name)
{
    page_start(w, out, name ? "Change a token verifier" : "New token verifier", "verifiers");
    page_fault(w, out);
    page_form_start(w, out, "verifier");
    if (name) {
        page_hidden(out, "known", "1");
        page_hidden(out, "name", name);
        HTML(out, "<p>Verifier <strong>{}</strong></p>\n", H_NAME(name));
    }
    for (size_t i = name ? 1 : 0; i < sizeof inputs / sizeof *inputs; i++) page_input(w, out, values, &inputs[i]);
    page_form_end(out, name ? "Change the verifier" : "Add the verifier");
    if (name) {
        HTML(out, "<section><h2>The end of it</h2>\n");
        page_button(w, out, "verifier-remove", "name", name, "Remove the verifier");
        HTML(out, "</section>\n");
    }
    page_end(out);
    return WEIR_OK;
}

static enum weir_err stored_of(struct web_way *w, const char *name, struct jwt_row *row)
{
    enum weir_err err = jwt_find(w->db, name, &w->memory, row);
    if (err != WEIR_NOT_FOUND) return err;
    return problem_set(&w->problem, err, NULL, "There is no token verifier of this name.");
}

enum weir_err page_verifier(struct web_way *w, struct buf *out)
{
    const char *name = form_get(&w->query, "name");
    struct form values = w->query;
    struct jwt_row row;
    enum weir_err err = name ? stored_of(w, name, &row) : WEIR_OK;
    if (err == WEIR_OK && name) err = form_of_entry(span_of(row.body), &w->memory, &values);
    return err == WEIR_OK ? write_form(w, out, &values, name) : err;
}

/* ---- from the form to the entry ---- */

/* Browsers send lines that end in CR LF; a PEM file has LF. */
static const char *unix_lines(struct web_way *w, const char *text)
{
    char *copy = arena_str(&w->memory, span_of(text)), *to = copy;
    for (const char *from = copy; copy && *from; from++)
        if (from[0] != '\r' || from[1] != '\n') *to++ = *from;
    if (copy) *to = '\0';
    return copy;
}

static enum weir_err entry_of(struct web_way *w, struct span stored, struct buf *out)
{
    static const struct member claims[] = {{"user", MEMBER_TEXT}, {"team", MEMBER_TEXT}, {"role", MEMBER_TEXT},
                                           {"rolegroup", MEMBER_TEXT}, {NULL, MEMBER_TEXT}};
    static const struct member members[] = {
        {"name", MEMBER_TEXT}, {"algorithm", MEMBER_TEXT}, {"secret", MEMBER_TEXT}, {"jwks_url", MEMBER_TEXT},
        {"issuer", MEMBER_TEXT}, {"audience", MEMBER_TEXT}, {"models", MEMBER_LIST}, {"endpoints", MEMBER_LIST},
        {"leeway", MEMBER_NUMBER}, {"public_key", MEMBER_TEXT}, {"claims", MEMBER_RAW}, {NULL, MEMBER_TEXT}};
    struct form f;
    if (!page_values(w, &f, 11)) return WEIR_NOMEM;
    for (int i = 0; i < 9; i++) page_value(&f, members[i].name, form_get(&w->form, members[i].name));
    page_value(&f, "public_key", unix_lines(w, form_text(&w->form, "public_key")));
    page_value(&f, "claims", form_object(&w->form, "claims.", claims, &w->memory));
    return form_entry(&f, members, stored, out);
}

/* "models[1]" is a line of the field models. */
static const char *field_of(char *path)
{
    path[strcspn(path, "[")] = '\0';
    return path;
}

enum weir_err page_verifier_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *name = form_text(&w->form, "name"), *known = form_get(&w->form, "known") ? name : NULL;
    struct jwt_row row = {.body = NULL};
    struct fault fault = {0};
    struct buf entry;
    buf_init(&entry, BOUND_ADMIN_BODY * 8);
    enum weir_err err = known ? stored_of(w, name, &row) : jwt_find(w->db, name, &w->memory, &row);
    if (!known && err == WEIR_OK) {
        page_refuse(w, "name", "is another verifier's; take another name");
        err = write_form(w, out, &w->form, NULL);
    } else if (err == WEIR_OK || (!known && err == WEIR_NOT_FOUND)) {
        err = entry_of(w, known ? span_of(row.body) : SPAN_NONE, &entry);
        if (err == WEIR_OK) err = manage_entry(&m, SECTION_JWT, buf_all(&entry), &fault, NULL);
        if (err == WEIR_OK) err = page_go(w, "verifiers", "verifier-saved", name);
        else if (err == WEIR_INVALID) {
            page_refuse(w, field_of(fault.path), "%s", fault.text);
            err = write_form(w, out, &w->form, known);
        }
    }
    if (entry.at) secret_wipe(entry.at, entry.len);
    buf_free(&entry);
    return err;
}

enum weir_err page_verifier_remove_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *name = form_text(&w->form, "name");
    if (page_confirm(w, out, "verifiers", "Remove this token verifier?",
                     "Every token that it verifies is refused from the next request on. Its stored secret or keys are lost. "
                     "Limits and audit rows of those who came in by it stay.",
                     name, "verifier-remove", "Remove the verifier"))
        return WEIR_OK;
    enum weir_err err = manage_jwt_remove(&m, name);
    if (err == WEIR_NOT_FOUND) return problem_set(&w->problem, err, NULL, "There is no token verifier of this name.");
    return err == WEIR_OK ? page_go(w, "verifiers", "verifier-removed", name) : err;
}
