/* Models and prices: the names callers use, where they lead, what a token costs; unpriced ones stand out. */
#include "admin/page.h"

#include <stdio.h>

#include "fcgi/base/text.h"

#define ROWS_MORE 3 /* empty rows for targets below those there are */

/* ---- the listing ---- */

static void write_price(struct buf *out, const struct price *p)
{
    if (p->known) HTML(out, "<td class=\"num\">{}</td><td class=\"num\">{}</td>", H_MONEY(p->input), H_MONEY(p->output));
    else HTML(out, "<td colspan=\"2\" class=\"bad\">unpriced: refused under a limit on cost</td>");
}

static void write_row(struct web_way *w, struct buf *out, const struct model_row *m)
{
    HTML(out, "<tr><th scope=\"row\">");
    if (w->who.role >= ADMIN_ADMIN) HTML(out, "<a href=\"model?alias={}\">{}</a>", H_ARG(m->alias), H_NAME(m->alias));
    else HTML(out, "{}", H_NAME(m->alias));
    HTML(out, "</th><td><ol class=\"plain\">");
    for (int i = 0; i < m->target_count; i++) {
        HTML(out, "<li>{}: {}", H_NAME(m->targets[i].provider->name), H_NAME(m->targets[i].model));
        if (m->targets[i].weight != 1) HTML(out, " <small>weight {}</small>", H_INT(m->targets[i].weight));
        HTML(out, "</li>");
    }
    HTML(out, "</ol></td><td>{}</td><td>{}</td>", H_TEXT(m->strategy), H_NAME(m->fallback));
    write_price(out, &m->price);
    HTML(out, "</tr>\n");
}

enum weir_err page_models(struct web_way *w, struct buf *out)
{
    struct snapshot *s = NULL;
    enum weir_err err = snapshot_load(w->db, NULL, &s);
    int unpriced = 0;
    if (err != WEIR_OK) return err;
    page_start(w, out, "Models and prices", "models");
    if (w->who.role >= ADMIN_ADMIN) HTML(out, "<p class=\"actions\"><a class=\"button primary\" href=\"model\">New "
                                              "model</a></p>\n");
    for (int i = 0; i < s->model_count; i++) unpriced += !s->models[i].price.known;
    if (!s->model_count) page_empty(out, "No model yet.", "Add one: a name that callers use, and a provider's model "
                                    "behind it.");
    if (unpriced) HTML(out, "<p class=\"note\">{} of {} models have no price: what they cost is unknown, so a limit on "
                            "cost refuses them.</p>\n",
                       H_INT(unpriced), H_INT(s->model_count));
    if (s->model_count) {
        HTML(out, "<div class=\"scroll\" tabindex=\"0\"><table>\n<caption>Prices in US dollars per million "
                  "tokens</caption>\n<thead>"
                  "<tr><th scope=\"col\">Name for callers</th>"
                  "<th scope=\"col\">Leads to</th><th scope=\"col\">Strategy</th><th scope=\"col\">If all fail</th><th "
                  "scope=\"col\" class=\"num\">Input</th>"
                  "<th scope=\"col\" class=\"num\">Output</th></tr></thead>\n<tbody>\n");
        for (int i = 0; i < s->model_count; i++) write_row(w, out, &s->models[i]);
        HTML(out, "</tbody></table></div>\n");
    }
    page_end(out);
    snapshot_release(s);
    return WEIR_OK;
}

/* ---- one model ---- */

static const struct input inputs[] = {
    {.name = "alias", .label = "Name for callers", .type = "text", .required = true},
    {.name = "strategy", .label = "Strategy", .type = "select", .choices = STRATEGIES,
     .hint = "In which order the targets below are tried."},
};
static const struct input more_inputs[] = {
    {.name = "fallback", .label = "If all fail", .type = "text",
     .hint = "Another name for callers; nothing: the error is given."},
    {.name = "price.input", .label = "Price of input", .type = "text",
     .hint = "US dollars per million tokens, like 0.15. Nothing in all four: unpriced."},
    {.name = "price.cached_input", .label = "Price of cached input", .type = "text",
     .hint = "Nothing: as input."},
    {.name = "price.cache_write", .label = "Price of writing to the provider's cache", .type = "text",
     .hint = "Nothing: as input."},
    {.name = "price.output", .label = "Price of output", .type = "text"},
    {.name = "context_window", .label = "Context window, tokens", .type = "number"},
    {.name = "max_output", .label = "Longest answer, tokens", .type = "number"},
    {.name = "cache_ttl", .label = "Answers are cached for, seconds", .type = "number", .hint = "0 or nothing: not at all."},
};

/* What is seldom charged otherwise; not shown until somebody looks for it. */
static const struct input price_inputs[] = {
    {.name = "price.cache_write_1h", .label = "Price of writing to it for an hour", .type = "text",
     .hint = "Nothing: twice the input."},
    {.name = "price.audio_input", .label = "Price of sound in", .type = "text"},
    {.name = "price.audio_output", .label = "Price of sound out", .type = "text"},
    {.name = "price.searches", .label = "Price of a thousand searches", .type = "text",
     .hint = "Of the provider's own web search."},
    {.name = "price.long_above", .label = "Long prompts begin above, tokens", .type = "number",
     .hint = "Longer ones pay the prices below, for all of the request."},
    {.name = "price.long_input", .label = "Price of input, long", .type = "text"},
    {.name = "price.long_cached_input", .label = "Price of cached input, long", .type = "text",
     .hint = "Nothing: grown as the input."},
    {.name = "price.long_cache_write", .label = "Price of cache writes, long", .type = "text",
     .hint = "Nothing: grown as the input."},
    {.name = "price.long_output", .label = "Price of output, long", .type = "text"},
    {.name = "price.priority_input", .label = "Price of input, service tier priority", .type = "text"},
    {.name = "price.priority_cached_input", .label = "Price of cached input, priority", .type = "text"},
    {.name = "price.priority_cache_write", .label = "Price of cache writes, priority", .type = "text"},
    {.name = "price.priority_output", .label = "Price of output, priority", .type = "text"},
    {.name = "price.flex_input", .label = "Price of input, service tier flex", .type = "text"},
    {.name = "price.flex_cached_input", .label = "Price of cached input, flex", .type = "text"},
    {.name = "price.flex_cache_write", .label = "Price of cache writes, flex", .type = "text"},
    {.name = "price.flex_output", .label = "Price of output, flex", .type = "text"},
};

static const struct member price_members[] = {
    {"input", MEMBER_TEXT}, {"cached_input", MEMBER_TEXT}, {"cache_write", MEMBER_TEXT}, {"output", MEMBER_TEXT},
    {"cache_write_1h", MEMBER_TEXT}, {"audio_input", MEMBER_TEXT}, {"audio_output", MEMBER_TEXT}, {"searches",
    MEMBER_TEXT}, {"long_above", MEMBER_NUMBER}, {"long_input", MEMBER_TEXT}, {"long_cached_input", MEMBER_TEXT},
    {"long_cache_write", MEMBER_TEXT}, {"long_output", MEMBER_TEXT}, {"priority_input", MEMBER_TEXT},
    {"priority_cached_input", MEMBER_TEXT}, {"priority_cache_write", MEMBER_TEXT}, {"priority_output", MEMBER_TEXT},
    {"flex_input", MEMBER_TEXT}, {"flex_cached_input", MEMBER_TEXT}, {"flex_cache_write", MEMBER_TEXT}, {"flex_output",
    MEMBER_TEXT}, {NULL, MEMBER_TEXT}
};

static void write_target(struct web_way *w, struct buf *out, const struct form *values, int i)
{
    char provider[32], model[32], weight[32], price[48];
    struct input fields[] = {
        {.name = provider, .label = "Provider", .type = "text", .list = "providers"},
        {.name = model, .label = "Its model", .type = "text"},
        {.name = weight, .label = "Weight", .type = "number"},
    };
    snprintf(provider, sizeof provider, "targets.%d.provider", i);
    snprintf(model, sizeof model, "targets.%d.model", i);
    snprintf(weight, sizeof weight, "targets.%d.weight", i);
    HTML(out, "<div class=\"row\">");
    for (const struct member *m = price_members; m->name; m++) { /* a target's own price is kept, not shown */
        snprintf(price, sizeof price, "targets.%d.price.%s", i, m->name);
        if (*form_text(values, price)) page_hidden(out, price, form_text(values, price));
    }
    for (int f = 0; f < 3; f++) page_input(w, out, values, &fields[f]);
    HTML(out, "</div>\n");
}

static int target_rows(const struct form *values)
{
    int rows = 0;
    char name[32];
    for (int i = 0; i < BOUND_TARGETS; i++) {
        snprintf(name, sizeof name, "targets.%d.provider", i);
        if (*form_text(values, name)) rows = i + 1;
    }
    return rows + ROWS_MORE < BOUND_TARGETS ? rows + ROWS_MORE : BOUND_TARGETS;
}

static enum weir_err write_form(struct web_way *w, struct buf *out, const struct form *values,
                                const struct snapshot *s, const char *alias)
{
    page_start(w, out, alias ? "Change a model" : "New model", "models");
    page_fault(w, out);
    page_form_start(w, out, "model");
    if (alias) {
        page_hidden(out, "known", "1");
        page_hidden(out, "alias", alias);
        HTML(out, "<p>Model <strong>{}</strong></p>\n", H_NAME(alias));
    }
    for (size_t i = alias ? 1 : 0; i < sizeof inputs / sizeof *inputs; i++) page_input(w, out, values, &inputs[i]);
    HTML(out, "<fieldset><legend>Leads to</legend>\n<datalist id=\"providers\">");
    for (int i = 0; i < s->provider_count; i++) HTML(out, "<option value=\"{}\"></option>", H_TEXT(s->providers[i].name));
    HTML(out, "</datalist>\n");
    for (int i = 0, n = target_rows(values); i < n; i++) write_target(w, out, values, i);
    HTML(out, "</fieldset>\n");
    for (size_t i = 0; i < sizeof more_inputs / sizeof *more_inputs; i++) page_input(w, out, values, &more_inputs[i]);
    HTML(out, "<details><summary>Other prices: long prompts, service tiers, sound, searches</summary>\n");
    for (size_t i = 0; i < sizeof price_inputs / sizeof *price_inputs; i++) page_input(w, out, values, &price_inputs[i]);
    HTML(out, "</details>\n");
    page_form_end(out, alias ? "Change the model" : "Add the model");
    if (alias) {
        HTML(out, "<section><h2>The end of it</h2>\n");
        page_button(w, out, "model-remove", "alias", alias, "Remove the model");
        HTML(out, "</section>\n");
    }
    page_end(out);
    return WEIR_OK;
}

static enum weir_err stored_of(struct web_way *w, const struct snapshot *s, const char *alias, struct span *json)
{
    const struct model_row *m = snapshot_model(s, span_of(alias));
    struct buf text;
    if (!m) return problem_set(&w->problem, WEIR_NOT_FOUND, NULL, "There is no model of this name.");
    buf_init(&text, 4 << 20);
    doc_model_write(&text, m);
    return page_keep(w, &text, json);
}

enum weir_err page_model(struct web_way *w, struct buf *out)
{
    const char *alias = form_get(&w->query, "alias");
    struct form values = w->query;
    struct snapshot *s = NULL;
    struct span json = SPAN_NONE;
    enum weir_err err = snapshot_load(w->db, NULL, &s);
    if (err == WEIR_OK && alias) err = stored_of(w, s, alias, &json);
    if (err == WEIR_OK && alias) err = form_of_entry(json, &w->memory, &values);
    if (err == WEIR_OK) err = write_form(w, out, &values, s, alias);
    if (s) snapshot_release(s);
    return err;
}

/* The rows that name something, as a list. */
static const char *targets_of(struct web_way *w)
{
    static const struct member members[] = {{"provider", MEMBER_TEXT}, {"model", MEMBER_TEXT},
                                            {"weight", MEMBER_NUMBER}, {NULL, MEMBER_TEXT}};
    struct buf json;
    int count = 0;
    buf_init(&json, BOUND_ADMIN_BODY * 8);
    buf_char(&json, '[');
    for (int i = 0; i < BOUND_TARGETS; i++) {
        char lead[32];
        snprintf(lead, sizeof lead, "targets.%d.", i);
        const char *one = form_object(&w->form, lead, members, &w->memory);
        if (!one) continue;
        snprintf(lead, sizeof lead, "targets.%d.price.", i);
        const char *price = form_object(&w->form, lead, price_members, &w->memory);
        if (price) one = arena_printf(&w->memory, "%.*s,\"price\":%s}", (int)strlen(one) - 1, one, price);
        if (!one) continue;
        if (count++) buf_char(&json, ',');
        buf_str(&json, one);
    }
    buf_char(&json, ']');
    const char *kept = json.err ? NULL : arena_str(&w->memory, buf_all(&json));
    buf_free(&json);
    return kept;
}

static enum weir_err entry_of(struct web_way *w, struct span stored, struct buf *out)
{
    static const struct member members[] = {
        {"alias", MEMBER_TEXT}, {"strategy", MEMBER_TEXT}, {"fallback", MEMBER_TEXT}, {"context_window", MEMBER_NUMBER},
        {"max_output", MEMBER_NUMBER}, {"cache_ttl", MEMBER_NUMBER}, {"targets", MEMBER_RAW}, {"price", MEMBER_RAW},
            {NULL, MEMBER_TEXT}};
    struct form f;
    if (!page_values(w, &f, 10)) return WEIR_NOMEM;
    for (int i = 0; i < 6; i++) page_value(&f, members[i].name, form_get(&w->form, members[i].name));
    page_value(&f, "targets", targets_of(w));
    page_value(&f, "price", form_object(&w->form, "price.", price_members, &w->memory));
    return form_entry(&f, members, stored, out);
}

/* "targets[1].model" is the field targets.1.model. */
static void field_of(const char *path, char field[80])
{
    size_t n = 0;
    for (; *path && n < 79; path++) {
        if (*path == ']') continue;
        field[n++] = *path == '[' ? '.' : *path;
    }
    field[n] = '\0';
    if (strcmp(field, "targets") == 0) memcpy(field, "targets.0.provider", sizeof "targets.0.provider");
}

enum weir_err page_model_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *alias = form_text(&w->form, "alias");
    bool known = form_get(&w->form, "known") != NULL;
    struct span stored = SPAN_NONE;
    struct snapshot *s = NULL;
    struct fault fault = {0};
    struct buf entry;
    char field[80];
    buf_init(&entry, 4 << 20);
    enum weir_err err = snapshot_load(w->db, NULL, &s);
    if (err == WEIR_OK && known) err = stored_of(w, s, alias, &stored);
    if (err == WEIR_OK) err = entry_of(w, stored, &entry);
    if (err == WEIR_OK && !known && snapshot_model(s, span_of(alias))) {
        page_refuse(w, "alias", "is there already; change that one, or take another name");
        err = write_form(w, out, &w->form, s, NULL);
    } else if (err == WEIR_OK) {
        err = manage_entry(&m, SECTION_MODELS, buf_all(&entry), &fault, NULL);
        if (err == WEIR_OK) err = page_go(w, "models", "model-saved", alias);
        else if (err == WEIR_INVALID) {
            field_of(fault.path, field);
            page_refuse(w, field, "%s", fault.text);
            err = write_form(w, out, &w->form, s, known ? alias : NULL);
        }
    }
    buf_free(&entry);
    if (s) snapshot_release(s);
    return err;
}

enum weir_err page_model_remove_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *alias = form_text(&w->form, "alias"), *why;
    if (page_confirm(w, out, "models", "Remove this model?",
                     "Callers who ask for it get an error. Its price and targets are lost; limits and audit rows that "
                         "name it stay.",
                     alias, "model-remove", "Remove the model"))
        return WEIR_OK;
    enum weir_err err = manage_model_remove(&m, alias, &why);
    if (err == WEIR_EXISTS) return problem_set(&w->problem, WEIR_INVALID, NULL,
                                               "Not removed, for %s. Change that first.", why);
    return page_done(w, err, "model", "models", "model-removed", alias);
}
