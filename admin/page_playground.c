/* The playground and the cache: a page that needs its script, and one that says what there is. */
#include "admin/page.h"

#include "sql/cache.h"
#include "sql/routes.h"

enum weir_err page_playground(struct web_way *w, struct buf *out)
{
    struct snapshot *s = NULL;
    enum weir_err err = snapshot_load(w->db, NULL, &s);
    if (err != WEIR_OK) return err;
    page_start(w, out, "Playground", "playground");
    HTML(out, "<p>A request through the gateway, as an application would make it: it is counted, charged and written "
              "down.</p>\n");
    if (!s->model_count) page_empty(out, "No model yet.", "Add one under Models and prices first.");
    HTML(out, "<form id=\"playground\" class=\"fields\" action=\"playground\">\n<div class=\"field\"><label "
              "for=\"f-model\">Model</label><select id=\"f-model\" name=\"model\">");
    for (int i = 0; i < s->model_count; i++) HTML(out, "<option>{}</option>", H_TEXT(s->models[i].alias));
    HTML(out, "</select></div>\n<div class=\"field\"><label for=\"f-key\">Key</label><input id=\"f-key\" name=\"key\" "
              "type=\"password\" autocomplete=\"off\" "
              "aria-describedby=\"h-key\" required><p class=\"hint\" id=\"h-key\">A client key's secret. It stays in "
              "this page and goes to this gateway only.</p></div>\n"
              "<div class=\"field\"><label for=\"f-text\">Message</label><textarea id=\"f-text\" name=\"text\" "
              "rows=\"4\" required>What does a weir do?</textarea></div>\n"
              "<div class=\"field\"><input type=\"checkbox\" id=\"f-stream\" name=\"stream\" value=\"1\" checked><label "
              "for=\"f-stream\">Stream the answer</label></div>\n"
              "<div class=\"actions\"><button>Send</button> <button type=\"button\" class=\"plain\" id=\"stop\" "
              "disabled>Stop</button></div>\n</form>\n"
              "<section aria-live=\"polite\"><h2>Answer</h2>\n<pre id=\"answer\" class=\"answer\" tabindex=\"0\"></pre>"
              "\n<h2>What came with it</h2>\n"
              "<dl id=\"facts\" class=\"known\"></dl></section>\n<p class=\"note\" id=\"needs-script\">This page needs "
              "its script: it calls the "
              "gateway from your browser. <code>curl</code> does the same.</p>\n");
    page_end(out);
    snapshot_release(s);
    return WEIR_OK;
}

static void write_stats(struct buf *out, const struct cache_stats *c)
{
    HTML(out, "<dl class=\"known\"><dt>Answers kept</dt><dd>{}</dd><dt>Their size, bytes</dt><dd>{}</dd>"
              "<dt>Served from them</dt><dd>{}</dd><dt>The oldest is of</dt><dd>{}</dd></dl>\n", H_COUNT(c->entries),
         H_COUNT(c->bytes), H_COUNT(c->hits), H_TIME(c->oldest));
}

enum weir_err page_cache(struct web_way *w, struct buf *out)
{
    struct snapshot *s = NULL;
    struct cache *cache = NULL;
    struct cache_stats stats = {0};
    int with = 0;
    enum weir_err err = snapshot_load(w->db, NULL, &s);
    if (err != WEIR_OK) return err;
    for (int i = 0; i < s->model_count; i++) with += s->models[i].cache_ttl > 0;
    err = cache_new(w->web->data_dir, &cache);
    if (err == WEIR_OK) err = cache_stats(cache, &stats);
    cache_free(cache);
    page_start(w, out, "Cache", "cache");
    if (err != WEIR_OK) page_empty(out, "The cache cannot be read now.", "Requests are answered without it.");
    else if (!stats.entries) page_empty(out, "No answer is kept.", "The first one to a model with a cache time will be.");
    else write_stats(out, &stats);
    HTML(out, "<p>{} of {} models have a cache time, under <a href=\"models\">Models and prices</a>. <code>weir cache "
              "clear</code> forgets all kept answers.</p>\n", H_INT(with), H_INT(s->model_count));
    page_end(out);
    snapshot_release(s);
    return WEIR_OK;
}
