/* The models a caller may use, in OpenAI's form or in Anthropic's. */
#include "fcgi/stage/models.h"

#include "fcgi/base/text.h"

static void model_object(const struct model_row *m, bool anthropic, struct buf *out)
{
    char created[TIME_TEXT];
    buf_str(out, "{\"id\":");
    json_string(out, span_of(m->alias));
    if (!anthropic) {
        buf_printf(out, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"weir\"}", (long long)(m->created / 1000));
        return;
    }
    time_text(m->created, created);
    buf_str(out, ",\"type\":\"model\",\"display_name\":");
    json_string(out, span_of(m->alias));
    buf_printf(out, ",\"created_at\":\"%s\"}", created);
}

void models_list(const struct caller *c, bool anthropic, struct buf *out)
{
    const char *first = NULL, *last = NULL;
    buf_str(out, anthropic ? "{\"data\":[" : "{\"object\":\"list\",\"data\":[");
    for (int i = 0; i < c->snap->model_count; i++) {
        const struct model_row *m = &c->snap->models[i];
        if (!key_allows_model(&c->key, span_of(m->alias))) continue;
        if (first) buf_char(out, ',');
        model_object(m, anthropic, out);
        if (!first) first = m->alias;
        last = m->alias;
    }
    buf_char(out, ']');
    if (anthropic) {
        buf_str(out, ",\"has_more\":false,\"first_id\":");
        json_string(out, span_of(first));
        buf_str(out, ",\"last_id\":");
        json_string(out, span_of(last));
    }
    buf_char(out, '}');
}

enum weir_err models_find(const struct caller *c, struct span id, bool anthropic, struct buf *out, struct problem *p)
{
    const struct model_row *m = snapshot_model(c->snap, id);
    if (m && key_allows_model(&c->key, id)) {
        model_object(m, anthropic, out);
        return WEIR_OK;
    }
    return problem_set(p, WEIR_MODEL_UNKNOWN, "model", "The model \"%.*s\" does not exist.", (int)text_cut(id, 100), id.at);
}
