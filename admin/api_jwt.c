/* Token verifiers as JSON: the document's section `jwt`, with what was fetched for each. */
#include "admin/api.h"

#include "admin/verifier_state.h"

struct list { struct buf *out; const char *lead; };

static void write_verifier(const struct jwt_row *j, void *arg)
{
    struct list *l = arg;
    struct span entry = verifier_entry(j).text;
    buf_str(l->out, l->lead);
    buf_span(l->out, (struct span){entry.at, entry.len ? entry.len - 1 : 0}); /* without its last brace: state follows */
    buf_str(l->out, entry.len ? "," : "{");
    buf_printf(l->out, "\"has_secret\":%s,\"keys\":", j->has_secret ? "true" : "false");
    verifier_kids_write(l->out, j);
    api_time(l->out, ",\"fetched\":", j->fetched);
    api_time(l->out, ",\"tried\":", j->tried);
    api_member(l->out, ",\"error\":", j->fault);
    buf_char(l->out, '}');
    l->lead = ",";
}

enum weir_err api_jwt(struct web_way *w, struct buf *out)
{
    struct list l = {out, ""};
    buf_str(out, "{\"object\":\"list\",\"data\":[");
    enum weir_err err = jwt_each(w->db, write_verifier, &l);
    return err == WEIR_OK ? buf_str(out, "],\"next\":null}") : err;
}

enum weir_err api_jwt_put(struct web_way *w, struct buf *out)
{
    return api_put_entry(w, out, SECTION_JWT);
}

enum weir_err api_jwt_delete(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *name = api_named(w, "name");
    if (!name) return w->problem.err;
    enum weir_err err = manage_jwt_remove(&m, name);
    if (err == WEIR_NOT_FOUND) return api_not_found(w, "token verifier");
    return err == WEIR_OK ? api_done(out) : err;
}
