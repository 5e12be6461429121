/* Providers: where requests go, with which keys, and whether they answer. A provider's keys are written, never shown. */
#include "admin/page.h"

#include "admin/call.h"
#include "admin/route_state.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"

#define TEST_MS 8000

/* ---- the listing ---- */

static void write_health(struct buf *out, const struct provider_state *p)
{
    HTML(out, "<td class=\"{}\">{}", H_TEXT(strcmp(p->health, "disconnected") == 0 ? "bad" : ""), H_TEXT(p->health));
    if (p->latency_ms >= 0) HTML(out, " <small>{} ms</small>", H_COUNT(p->latency_ms));
    if (p->probed) HTML(out, "<br><small>probed {}</small>", H_TIME(p->probed));
    HTML(out, "</td><td class=\"{}\">{}", H_TEXT(strcmp(p->breaker, "closed") == 0 ? "" : "bad"), H_TEXT(p->breaker));
    if (p->forced) HTML(out, " <small>forced</small>");
    HTML(out, "</td><td class=\"num\">{}</td><td class=\"num\">{}</td><td>", H_COUNT(p->requests), H_COUNT(p->failed));
    if (p->error) HTML(out, "{}<br><small>{}</small>", H_NAME(p->error), H_TIME(p->error_at));
    HTML(out, "</td>");
}

static void write_breaker(struct web_way *w, struct buf *out, const char *name, const struct provider_state *p)
{
    static const struct { const char *wish, *text; } all[] = {{"open", "Stop asking it"}, {"closed", "Ask it anyway"},
                                                              {"auto", "Let breakers decide"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (p->forced ? strcmp(p->forced, all[i].wish) == 0 : i == 2 && strcmp(p->breaker, "closed") == 0) continue;
        page_button_two(w, out, "provider-breaker", (struct form_field[]){{"name", name}, {"wish", all[i].wish}},
                        all[i].text);
    }
}

static void write_keys_named(struct buf *out, const struct provider_row *p, const struct health_map *health, int64_t now)
{
    for (int i = 0; i < p->key_count; i++) {
        const char *state = key_state(health_find(health, HEALTH_KEY, p->name, p->keys[i].name), now);
        HTML(out, "{}{}", H_TEXT(i ? ", " : ""), H_NAME(p->keys[i].name));
        if (strcmp(state, "active") != 0) HTML(out, " <small class=\"bad\">{}</small>", H_TEXT(state));
    }
    if (!p->key_count) HTML(out, "<span class=\"faint\">none</span>");
}

static void write_row(struct web_way *w, struct buf *out, const struct provider_row *p, const struct health_map *health)
{
    int64_t now = clock_wall_ms();
    struct provider_state state;
    provider_state(health, p->name, now, &state);
    HTML(out, "<tr><th scope=\"row\">");
    if (w->who.role >= ADMIN_ADMIN) HTML(out, "<a href=\"provider?name={}\">{}</a>", H_ARG(p->name), H_NAME(p->name));
    else HTML(out, "{}", H_NAME(p->name));
    HTML(out, "<br><small>{} {}</small></th><td>", H_TEXT(p->dialect), H_NAME(p->base_url));
    write_keys_named(out, p, health, now);
    HTML(out, "</td>");
    write_health(out, &state);
    HTML(out, "<td>");
    if (w->who.role >= ADMIN_OPERATOR) {
        if (strcmp(p->dialect, "mock") != 0) page_button(w, out, "provider-test", "name", p->name, "Test now");
        write_breaker(w, out, p->name, &state);
    }
    HTML(out, "</td></tr>\n");
}

enum weir_err page_providers(struct web_way *w, struct buf *out)
{
    struct health_map *health = NULL;
    struct snapshot *s = NULL;
    enum weir_err err = snapshot_load(w->db, NULL, &s);
    if (err == WEIR_OK) err = health_load(w->db, &health);
    if (err != WEIR_OK) goto out;
    page_start(w, out, "Providers", "providers");
    if (w->who.role >= ADMIN_ADMIN)
        HTML(out, "<p class=\"actions\"><a class=\"button primary\" href=\"provider\">New provider</a></p>\n");
    if (!s->provider_count)
        page_empty(out, "No provider yet.",
                   "Requests have nowhere to go: add one, then give one of its models an alias.");
    else
        HTML(out, "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr><th scope=\"col\">Provider</th>"
                  "<th scope=\"col\">Keys</th><th scope=\"col\">Health</th><th scope=\"col\">Breaker</th>"
                  "<th scope=\"col\" class=\"num\">Requests</th><th scope=\"col\" class=\"num\">Failed</th>"
                  "<th scope=\"col\">Last error</th><th scope=\"col\"><span class=\"hidden\">Actions</span></th></tr>"
                  "</thead>"
                  "\n<tbody>\n");
    for (int i = 0; i < s->provider_count; i++) write_row(w, out, &s->providers[i], health);
    if (s->provider_count) HTML(out, "</tbody></table></div>\n");
    page_end(out);
out:
    health_release(health);
    if (s) snapshot_release(s);
    return err;
}

enum weir_err page_provider_breaker_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *name = form_text(&w->form, "name"), *wish = form_text(&w->form, "wish");
    (void)out;
    if (!choice_is(BREAKER_WISHES, span_of(wish))) return problem_set(&w->problem, WEIR_INVALID, NULL, "That is no wish.");
    return page_done(w, manage_provider_breaker(&m, name, wish), "provider", "providers", "provider-breaker", name);
}

enum weir_err page_provider_test_do(struct web_way *w, struct buf *out)
{
    const char *name = form_text(&w->form, "name");
    struct call_result result = {0};
    struct snapshot *s = NULL;
    enum weir_err err = snapshot_load(w->db, w->web->master, &s);
    const struct provider_row *p = err == WEIR_OK ? snapshot_provider(s, span_of(name)) : NULL;
    if (err == WEIR_OK && !p) err = problem_set(&w->problem, WEIR_NOT_FOUND, NULL, "There is no provider of this name.");
    if (p) {
        call_provider(p, TEST_MS, &result);
        page_start(w, out, "Test of a provider", "providers");
        HTML(out, "<p><strong>{}</strong></p>\n<p class=\"{}\" role=\"status\">{}</p>\n<p><a class=\"button\" "
                  "href=\"providers\">Providers</a></p>\n",
             H_NAME(name), H_TEXT(result.fine ? "said" : "fault"), H_TEXT(result.text));
        page_end(out);
    }
    if (s) snapshot_release(s);
    return err;
}

/* ---- one provider ---- */

static const struct input inputs[] = {
    {.name = "name", .label = "Name", .type = "text", .required = true, .hint = "Letters, digits, '.', '_' and '-'."},
    {.name = "dialect", .label = "Dialect", .type = "select", .choices = DIALECTS,
     .hint = "How it is spoken to. openai fits every compatible server."},
    {.name = "base_url", .label = "Address", .type = "text", .hint = "https://api.openai.com/v1; nothing for mock."},
    {.name = "allow_plain_http", .label = "May be called without TLS", .type = "flag"},
    {.name = "key_strategy", .label = "Order of its keys", .type = "select", .choices = KEY_STRATEGIES},
    {.name = "timeouts.connect_ms", .label = "Connect within, ms", .type = "number"},
    {.name = "timeouts.first_byte_ms", .label = "First byte within, ms", .type = "number"},
    {.name = "timeouts.idle_ms", .label = "Silent for at most, ms", .type = "number"},
    {.name = "timeouts.total_ms", .label = "Whole answer within, ms", .type = "number"},
    {.name = "header_lines", .label = "Headers sent along", .type = "area",
     .hint = "One \"name: value\" a line; no secrets."},
};
static const struct input key_inputs[] = {
    {.name = "key_name", .label = "Name of the key", .type = "text", .hint = "An existing name: that key is replaced."},
    {.name = "key_priority", .label = "Priority", .type = "number", .hint = "Lowest first; 1 where nothing is said."},
    {.name = "key_secret", .label = "Secret", .type = "password", .complete = "new-password", /* not the log-in's */
     .hint = "Stored sealed, never shown again. Nothing: no key is added."},
};

static void write_keys(struct web_way *w, struct buf *out, const struct provider_row *p)
{
    HTML(out, "<section><h2>Its keys</h2>\n");
    if (!p->key_count) page_empty(out, "None yet.", "Give one in the form above.");
    HTML(out, "<ul class=\"plain\">");
    for (int i = 0; i < p->key_count; i++) {
        HTML(out, "<li>{}, priority {} ", H_NAME(p->keys[i].name), H_INT(p->keys[i].priority));
        page_button_two(w, out, "provider-key-remove", (struct form_field[]){{"name", p->name}, {"key", p->keys[i].name}},
                        "Remove");
        HTML(out, "</li>\n");
    }
    HTML(out, "</ul></section>\n<section><h2>The end of it</h2>\n");
    page_button(w, out, "provider-remove", "name", p->name, "Remove the provider");
    HTML(out, "</section>\n");
}

static enum weir_err write_form(struct web_way *w, struct buf *out, const struct form *values, const struct provider_row *p)
{
    page_start(w, out, p ? "Change a provider" : "New provider", "providers");
    page_fault(w, out);
    page_form_start(w, out, "provider");
    if (p) {
        page_hidden(out, "known", "1");
        page_hidden(out, "name", p->name);
        HTML(out, "<p>Provider <strong>{}</strong></p>\n", H_NAME(p->name));
    }
    for (size_t i = p ? 1 : 0; i < sizeof inputs / sizeof *inputs; i++) page_input(w, out, values, &inputs[i]);
    HTML(out, "<fieldset><legend>A key</legend>\n");
    for (size_t i = 0; i < sizeof key_inputs / sizeof *key_inputs; i++) page_input(w, out, values, &key_inputs[i]);
    HTML(out, "</fieldset>\n");
    page_form_end(out, p ? "Change the provider" : "Add the provider");
    if (p) write_keys(w, out, p);
    page_end(out);
    return WEIR_OK;
}

static const char *header_lines(struct web_way *w, const struct provider_row *p)
{
    struct buf text;
    buf_init(&text, BOUND_ADMIN_BODY);
    for (int i = 0; i < p->header_count; i++) buf_printf(&text, "%s: %s\n", p->headers[i].name, p->headers[i].value);
    const char *kept = text.err ? NULL : arena_str(&w->memory, buf_all(&text));
    buf_free(&text);
    return kept;
}

/* The entry as JSON, the arena's. */
static enum weir_err entry_text(struct web_way *w, const struct provider_row *p, struct span *json)
{
    struct buf text;
    buf_init(&text, 4 << 20);
    doc_provider_write(&text, p);
    return page_keep(w, &text, json);
}

static enum weir_err stored_of(struct web_way *w, struct snapshot *s, const char *name, const struct provider_row **p)
{
    *p = snapshot_provider(s, span_of(name));
    return *p ? WEIR_OK : problem_set(&w->problem, WEIR_NOT_FOUND, NULL, "There is no provider of this name.");
}

enum weir_err page_provider(struct web_way *w, struct buf *out)
{
    const char *name = form_get(&w->query, "name");
    const struct provider_row *p = NULL;
    struct snapshot *s = NULL;
    struct form values, fields;
    struct span json = SPAN_NONE;
    if (!name) return write_form(w, out, &w->query, NULL);
    enum weir_err err = snapshot_load(w->db, NULL, &s);
    if (err == WEIR_OK) err = stored_of(w, s, name, &p);
    if (err == WEIR_OK) err = entry_text(w, p, &json);
    if (err == WEIR_OK) err = form_of_entry(json, &w->memory, &fields);
    if (err == WEIR_OK && !page_values(w, &values, fields.count + 2)) err = WEIR_NOMEM;
    if (err == WEIR_OK) {
        page_value(&values, "header_lines", header_lines(w, p));
        for (int i = 0; i < fields.count; i++) page_value(&values, fields.at[i].name, fields.at[i].value);
        err = write_form(w, out, &values, p);
    }
    if (s) snapshot_release(s);
    return err;
}

/* ---- from the form to the entry ---- */

/* "name: value" lines as an object; a line without a colon becomes a name that is refused. */
static const char *headers_of(struct web_way *w, const char *lines)
{
    struct buf json;
    const char *lead = "{";
    buf_init(&json, BOUND_ADMIN_BODY * 8);
    while (*lines) {
        size_t n = strcspn(lines, "\r\n"), colon = strcspn(lines, ":\r\n");
        struct span name = span_trim((struct span){lines, colon < n ? colon : n}),
                    value = colon < n ? span_trim((struct span){lines + colon + 1, n - colon - 1}) : SPAN("");
        if (name.len) {
            buf_str(&json, lead);
            json_string(&json, name);
            buf_char(&json, ':');
            json_string(&json, value);
            lead = ",";
        }
        lines += n + strspn(lines + n, "\r\n");
    }
    buf_char(&json, '}');
    const char *kept = *lead == ',' && !json.err ? arena_str(&w->memory, buf_all(&json)) : NULL;
    buf_free(&json);
    return kept;
}

static const char *new_key(struct web_way *w)
{
    static const struct member members[] = {{"name", MEMBER_TEXT}, {"priority", MEMBER_NUMBER},
                                            {"secret", MEMBER_TEXT}, {NULL, MEMBER_TEXT}};
    const char *key = *form_text(&w->form, "key_secret") ? form_object(&w->form, "key_", members, &w->memory) : NULL;
    return key ? arena_printf(&w->memory, "[%s]", key) : "[]";
}

static enum weir_err entry_of(struct web_way *w, struct span stored, struct buf *out)
{
    static const struct member members[] = {
        {"name", MEMBER_TEXT}, {"dialect", MEMBER_TEXT}, {"base_url", MEMBER_TEXT}, {"allow_plain_http", MEMBER_FLAG},
        {"key_strategy", MEMBER_TEXT}, {"timeouts", MEMBER_RAW}, {"headers", MEMBER_RAW}, {"keys", MEMBER_RAW},
            {NULL, MEMBER_TEXT}};
    static const char *const plain[] = {"name", "dialect", "base_url", "allow_plain_http", "key_strategy"};
    static const struct member timeouts[] = {{"connect_ms", MEMBER_NUMBER}, {"first_byte_ms", MEMBER_NUMBER},
                                             {"idle_ms", MEMBER_NUMBER}, {"total_ms", MEMBER_NUMBER}, {NULL, MEMBER_TEXT}};
    struct form f;
    if (!page_values(w, &f, 8)) return WEIR_NOMEM;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) page_value(&f, plain[i], form_get(&w->form, plain[i]));
    page_value(&f, "timeouts", form_object(&w->form, "timeouts.", timeouts, &w->memory));
    page_value(&f, "headers", headers_of(w, form_text(&w->form, "header_lines")));
    page_value(&f, "keys", new_key(w));
    return form_entry(&f, members, stored, out);
}

static const char *field_of(const char *path)
{
    if (strncmp(path, "headers", 7) == 0) return "header_lines";
    if (strcmp(path, "keys[0].name") == 0) return "key_name";
    if (strcmp(path, "keys[0].priority") == 0) return "key_priority";
    return strncmp(path, "keys", 4) == 0 ? "key_secret" : path;
}

enum weir_err page_provider_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *name = form_text(&w->form, "name");
    bool known = form_get(&w->form, "known") != NULL;
    const struct provider_row *p = NULL;
    struct span stored = SPAN_NONE;
    struct snapshot *s = NULL;
    struct fault fault = {0};
    struct buf entry;
    buf_init(&entry, 4 << 20);
    enum weir_err err = snapshot_load(w->db, NULL, &s);
    if (err == WEIR_OK && known) err = stored_of(w, s, name, &p);
    if (err == WEIR_OK && known) err = entry_text(w, p, &stored);
    if (err == WEIR_OK && !known && snapshot_provider(s, span_of(name))) {
        page_refuse(w, "name", "is another provider's; take another name");
        write_form(w, out, &w->form, NULL);
    } else if (err == WEIR_OK) {
        err = entry_of(w, stored, &entry);
        if (err == WEIR_OK) err = manage_entry(&m, SECTION_PROVIDERS, buf_all(&entry), &fault, NULL);
        if (err == WEIR_OK) err = page_go(w, "providers", "provider-saved", name);
        else if (err == WEIR_INVALID) {
            page_refuse(w, field_of(fault.path), "%s", fault.text);
            err = write_form(w, out, &w->form, p);
        }
    }
    if (entry.at) secret_wipe(entry.at, entry.len);
    buf_free(&entry);
    if (s) snapshot_release(s);
    return err;
}

enum weir_err page_provider_key_remove_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *name = form_text(&w->form, "name"), *key = form_text(&w->form, "key");
    if (page_confirm(w, out, "providers", "Remove this key of the provider?",
                     "The stored secret is lost. Requests go on with the provider's other keys.",
                     key, "provider-key-remove", "Remove the key"))
        return WEIR_OK;
    return page_done(w, manage_provider_key_remove(&m, name, key), "key", "providers", "provider-key-removed", name);
}

enum weir_err page_provider_remove_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *name = form_text(&w->form, "name"), *why;
    if (page_confirm(w, out, "providers", "Remove this provider?",
                     "Its address, settings and stored keys are lost. Limits and audit rows that name it stay.",
                     name, "provider-remove", "Remove the provider"))
        return WEIR_OK;
    enum weir_err err = manage_provider_remove(&m, name, &why);
    if (err == WEIR_EXISTS) return problem_set(&w->problem, WEIR_INVALID, NULL,
                                               "Not removed, for %s. Change that first.", why);
    return page_done(w, err, "provider", "providers", "provider-removed", name);
}
