/* The digest is of a text in which every part has its length before it. */
#include "sql/answerers.h"

#include "fcgi/base/buf.h"

#define CHAIN_MOST 8          /* aliases behind one another that are looked at, as in a plan */
#define TEXT_MOST  (16 << 20)

static void part(struct buf *out, const char *text)
{
    if (text) buf_printf(out, "%zu ", strlen(text));
    buf_str(out, text ? text : "none");
    buf_char(out, '\n');
}

static void add_provider(const struct provider_row *p, struct buf *out)
{
    const char *const parts[] = {p->name, p->dialect, p->base_url, p->api_version, p->anthropic_version, p->faces};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) part(out, parts[i]);
    buf_printf(out, "%d headers\n", p->header_count);
    for (int i = 0; i < p->header_count; i++) {
        part(out, p->headers[i].name);
        part(out, p->headers[i].value);
    }
}

static void add_model(const struct model_row *m, struct buf *out)
{
    part(out, m->strategy);
    buf_printf(out, "%d targets\n", m->target_count);
    for (int i = 0; i < m->target_count; i++) {
        part(out, m->targets[i].model);
        add_provider(m->targets[i].provider, out);
    }
}

/* That alias, its fallback, that one's: each once. */
static void add_chain(const struct snapshot *s, const char *alias, struct buf *out)
{
    const struct model_row *seen[CHAIN_MOST], *m = alias ? snapshot_model(s, span_of(alias)) : NULL;
    for (int count = 0; m && count < CHAIN_MOST; m = m->fallback ? snapshot_model(s, span_of(m->fallback)) : NULL) {
        for (int i = 0; i < count; i++)
            if (seen[i] == m) return;
        seen[count++] = m;
        add_model(m, out);
    }
}

static void add_all(const struct snapshot *s, const struct model_row *m, struct buf *out)
{
    const char *const chains[] = {m->alias, m->context_fallback, s->settings.fallback};
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        add_chain(s, chains[i], out);
        buf_str(out, "chain\n");
    }
}

enum weir_err answerers_note(const struct snapshot *s, struct model_row *models)
{
    struct buf text;
    buf_init(&text, TEXT_MOST);
    for (int i = 0; i < s->model_count && !text.err; i++) {
        if (models[i].cache_ttl <= 0) continue;
        buf_clear(&text);
        add_all(s, &models[i], &text);
        models[i].answerers = digest_of(buf_all(&text));
    }
    enum weir_err err = text.err;
    buf_free(&text);
    return err;
}
