/* Client keys as JSON. A secret is answered once, where it was made. */
#include "admin/api.h"

#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"

static void write_key(struct buf *out, const struct key *k, int64_t now)
{
    doc_key_write(out, k);
    out->len--; /* its last brace: state follows */
    api_member(out, ",\"state\":", k->revoked ? "revoked" : key_is_live(k, now) ? "active" : "expired");
    api_time(out, ",\"created\":", k->created);
    api_time(out, ",\"last_used\":", k->last_used);
    buf_char(out, '}');
}

enum weir_err api_keys(struct web_way *w, struct buf *out)
{
    int64_t now = clock_wall_ms();
    int n = 0, most;
    enum weir_err err = api_query(w);
    if (err != WEIR_OK) return err;
    const char *user = form_get(&w->query, "user"), *team = form_get(&w->query, "team"), *name = form_get(&w->query, "name");
    most = api_most(w);
    struct key *page = arena_alloc(&w->memory, sizeof *page * (size_t)(most + 1));
    if (!page) return WEIR_NOMEM;
    err = keys_search(w->db, user ? KEYS_BY_USER : team ? KEYS_BY_TEAM : KEYS_BY_NAME, user ? user : team ? team : name,
                      form_text(&w->query, "after"), most + 1, &w->memory, page, &n);
    if (err != WEIR_OK) return err;
    buf_str(out, "{\"object\":\"list\",\"data\":[");
    for (int i = 0; i < n && i < most; i++) {
        if (i) buf_char(out, ',');
        write_key(out, &page[i], now);
    }
    api_member(out, "],\"next\":", n > most ? page[most - 1].name : NULL);
    return buf_char(out, '}');
}

enum weir_err api_key_put(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    const char *secret = NULL;
    struct fault fault;
    struct jval root;
    struct buf text, name;
    enum weir_err err = api_body_text(w, &text, &root);
    buf_init(&name, BOUND_ADMIN_BODY);
    if (err == WEIR_OK && (err = manage_entry(&m, SECTION_KEYS, buf_all(&text), &fault,
                                              &secret)) != WEIR_OK) err = api_fault(w, err, &fault);
    if (err == WEIR_OK) {
        jval_string(jscan_find(root, "name"), &name);
        api_member(out, "{\"name\":", buf_cstr(&name));
        api_member(out, ",\"secret\":", secret); /* null: the key was there, or brought its own */
        api_lines(out, ",\"notes\":", m.notes);
        buf_char(out, '}');
        if (secret) w->head.status = 201;
    }
    if (text.at) secret_wipe(text.at, text.len);
    buf_free(&text);
    buf_free(&name);
    return err;
}

struct named { const char *name, *overlap; };

static enum weir_err named_of(struct web_way *w, struct named *n)
{
    static const struct field table[] = {
        {"name", FIELD_NAME, offsetof(struct named, name), true, 0, 0, NULL},
        {"overlap", FIELD_TEXT, offsetof(struct named, overlap), false, 1, 32, NULL},
        {NULL, FIELD_ANY, 0, false, 0, 0, NULL},
    };
    *n = (struct named){0};
    return api_body(w, table, n);
}

enum weir_err api_key_rotate(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    char secret[CLIENT_KEY_LEN + 1];
    int64_t overlap = 0;
    struct named n;
    enum weir_err err = named_of(w, &n);
    if (err != WEIR_OK) return err;
    if (n.overlap && !duration_parse(span_of(n.overlap), &overlap))
        return problem_set(&w->problem, WEIR_INVALID, "overlap", "overlap must be a length of time like 24h.");
    err = manage_key_rotate(&m, n.name, overlap, secret);
    if (err == WEIR_NOT_FOUND) return api_not_found(w, "key");
    if (err == WEIR_INVALID) return problem_set(&w->problem, err, "name",
                                                "The key is revoked or expired; make a new one instead.");
    if (err != WEIR_OK) return err;
    api_member(out, "{\"name\":", n.name);
    api_member(out, ",\"secret\":", secret);
    secret_wipe(secret, sizeof secret);
    return buf_char(out, '}');
}

enum weir_err api_key_revoke(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    struct named n;
    enum weir_err err = named_of(w, &n);
    if (err != WEIR_OK) return err;
    if ((err = manage_key_revoke(&m, n.name)) == WEIR_NOT_FOUND) return api_not_found(w, "key");
    return err == WEIR_OK ? api_done(out) : err;
}
