/* The playground: the one page that needs its script. */
#include "admin/page.h"

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
              "<div class=\"actions\"><button id=\"send\" disabled>Send</button> "
              "<button type=\"button\" class=\"plain\" id=\"stop\" disabled>Stop</button></div>\n</form>\n"
              "<section aria-live=\"polite\"><h2>Answer</h2>\n<pre id=\"answer\" class=\"answer\" tabindex=\"0\"></pre>"
              "\n<h2>What came with it</h2>\n"
              "<dl id=\"facts\" class=\"known\"></dl></section>\n<p class=\"note\" id=\"needs-script\">This page needs "
              "its script: it calls the "
              "gateway from your browser. <code>curl</code> does the same.</p>\n");
    page_end(out);
    snapshot_release(s);
    return WEIR_OK;
}
