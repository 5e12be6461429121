/* From headers to limits. Their windows are not told: which they are is known of each provider, or to be concluded. */
#include "admin/limit_sync.h"

#include <string.h>

#include "admin/call.h"
#include "admin/document.h"
#include "fcgi/base/text.h"

#define MINUTE_S 60
#define DAY_S 86400
#define WARN_PERCENT 80

const struct provider_row *limit_sync_provider(const struct snapshot *snap, const char *name)
{
    if (name) return snapshot_provider(snap, span_of(name));
    for (int i = 0; i < snap->provider_count; i++)
        if (strcmp(snap->providers[i].dialect, "openai") == 0) return &snap->providers[i];
    return NULL;
}

/* ---- asking ---- */

static bool tells(const struct limit_headers *h)
{
    return h->requests.limit > 0 || h->tokens.limit > 0 || (h->input.limit > 0 && h->output.limit > 0);
}

/* Groq counts requests by the day, all else by the minute (WIRE.md 1 to 3). Nor is it a minute's limit that will be full
 * again only later than in a minute. */
static int64_t requests_window(const struct limit_sync *s)
{
    bool day = strcmp(s->provider->dialect, "groq") == 0 || s->read.requests.resets_in_ms > MINUTE_S * 1000;

    return day ? DAY_S : MINUTE_S;
}

/* Soft: the provider counts by its own rules, and its own 429 is the last word. */
static void add(struct limit_sync *s, const char *scope, const char *metric, int64_t seconds, int64_t amount)
{
    s->limits[s->count++] = (struct limit_rule){.scope = scope, .metric = metric, .shape = "window", .period = "",
                                                .seconds = seconds, .mode = "soft", .amount = amount,
                                                .warn_percent = WARN_PERCENT};
}

static enum weir_err conclude(struct limit_sync *s, struct arena *a, struct problem *p)
{
    const struct limit_headers *h = &s->read;
    const char *scope = arena_printf(a, "provider/%s", s->provider->name);
    int64_t tokens = h->tokens.limit > 0 ? h->tokens.limit : h->input.limit > 0 && h->output.limit > 0
                                                                 ? h->input.limit + h->output.limit
                                                                 : 0;

    if (!scope) return problem_set(p, WEIR_NOMEM, NULL, NULL);
    if (h->requests.limit > 0) add(s, scope, "requests", requests_window(s), h->requests.limit);
    if (tokens) add(s, scope, "tokens", MINUTE_S, tokens);
    return WEIR_OK;
}

static enum weir_err mute(const struct limit_sync *s, const struct call_result *r, struct problem *p)
{
    if (!r->fine) return problem_set(p, WEIR_UPSTREAM, NULL, "%s: %s.", s->provider->name, r->text);
    return problem_set(p, WEIR_UPSTREAM, NULL, "%s answers, but tells no rate limits in its headers.", s->provider->name);
}

enum weir_err limit_sync_ask(const struct snapshot *snap, const struct provider_row *provider, const char *model,
                             struct arena *a, struct limit_sync *out, struct problem *p)
{
    const struct upstream_key *key = call_first_key(provider);
    struct call_result r = {.fine = true};

    *out = (struct limit_sync){.provider = provider};
    if (!model) call_models(provider, key, CALL_TEST_MS, NULL, NULL, &r);
    if (!r.fine && r.status != 404 && !tells(&r.limits)) return mute(out, &r, p);
    if (!tells(&r.limits)) {
        out->model = model ? model : call_known_model(snap, provider);
        if (!out->model)
            return problem_set(p, WEIR_INVALID, "model", "The list of models of %s tells no limits, and no alias leads to a "
                               "model of it: name one.", provider->name);
        call_word(provider, key, out->model, CALL_TEST_MS, &r);
    }
    out->read = r.limits;
    return tells(&r.limits) ? conclude(out, a, p) : mute(out, &r, p);
}

/* ---- writing ---- */

enum weir_err limit_sync_document(struct db *db, struct arena *a, struct limit_sync *s, struct buf *json)
{
    enum weir_err err = WEIR_OK;

    buf_str(json, "{\"limits\":[");
    for (int i = 0; i < s->count && (!err || err == WEIR_NOT_FOUND); i++) {
        struct limit_rule old, *l = &s->limits[i];

        if ((err = limit_find(db, l, a, &old)) == WEIR_OK) {
            l->mode = old.mode;
            l->warn_percent = old.warn_percent;
        }
        if (i) buf_char(json, ',');
        doc_limit_write(json, l);
    }
    buf_str(json, "]}");
    return err && err != WEIR_NOT_FOUND ? err : json->err;
}

static void write_header(struct buf *json, const char *name, const struct limit_header *h)
{
    buf_printf(json, "\"%s\":", name);
    if (h->limit < 0) {
        buf_str(json, "null");
        return;
    }
    buf_printf(json, "{\"limit\":%lld", (long long)h->limit);
    if (h->remaining >= 0) buf_printf(json, ",\"remaining\":%lld", (long long)h->remaining);
    if (h->resets_in_ms >= 0) buf_printf(json, ",\"resets_in_ms\":%lld", (long long)h->resets_in_ms);
    buf_char(json, '}');
}

void limit_sync_write(const struct limit_sync *s, bool changed, struct buf *json)
{
    buf_str(json, "{\"object\":\"limit_sync\",\"provider\":");
    json_string(json, span_of(s->provider->name));
    buf_str(json, ",\"model\":");
    json_string(json, span_of(s->model));
    buf_str(json, ",\"read\":{");
    write_header(json, "requests", &s->read.requests);
    buf_char(json, ',');
    write_header(json, "tokens", &s->read.tokens);
    buf_char(json, ',');
    write_header(json, "input_tokens", &s->read.input);
    buf_char(json, ',');
    write_header(json, "output_tokens", &s->read.output);
    buf_str(json, "},\"limits\":[");
    for (int i = 0; i < s->count; i++) {
        if (i) buf_char(json, ',');
        doc_limit_write(json, &s->limits[i]);
    }
    buf_printf(json, "],\"changed\":%s}", changed ? "true" : "false");
}
