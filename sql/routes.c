/* Providers, models and targets: the snapshot that requests read, and the changing of their rows. A snapshot is
 * complete and never changes once it is given out; the statements that change rows stand only in admin.sql. */
#include <stdio.h>
#include <stdlib.h>
#include "fcgi/base/bounds.h"
#include "fcgi/base/log.h"
#include "fcgi/base/text.h"
#include "sql/answerers.h"
#include "sql/price_parts.h"
#include "sql/vault.h"
#include "sql_ids.h"

#define HEADERS_DEPTH 2 /* an object of texts */
#define BOUND_TO (2 * BOUND_NAME + 32)
#define SEALED_MAX (64 << 10)
#define PRICE_PARTS_MAX (PRICE_PARTS * 64)

enum weir_err config_version(struct db *db, int64_t *version)
{
    struct stmt *s = db_stmt(db, SQL_CONFIG_VERSION);
    bool row;
    enum weir_err err = stmt_step(s, &row);
    if (err == WEIR_OK && row) *version = stmt_get_int(s, 0);
    if (err == WEIR_OK && !row) err = WEIR_CORRUPT;
    stmt_reset(s);
    return err;
}

/* ---- reading ---- */

struct load {
    struct db *db;
    const struct master_key *master;
    struct snapshot *snap;
    struct provider_row *providers;
    struct model_row *models;
};

static bool copy_text(struct load *l, struct stmt *s, int col, const char **to)
{
    struct span text = stmt_get_text(s, col);
    *to = arena_str(&l->snap->memory, text);
    return *to || !text.at;
}

/* Room for as many elements as `count` says there are rows; *most is that number. */
static enum weir_err make_room(struct load *l, int count, size_t size, void **room, int *most)
{
    struct stmt *s = db_stmt(l->db, count);
    bool row;
    enum weir_err err = stmt_step(s, &row);
    *most = err == WEIR_OK && row ? (int)stmt_get_int(s, 0) : 0;
    stmt_reset(s);
    if (err != WEIR_OK) return err;
    *room = arena_alloc(&l->snap->memory, size * ((size_t)*most + 1));
    return *room ? WEIR_OK : WEIR_NOMEM;
}

static enum weir_err text_of(struct arena *a, struct jval v, const char **out)
{
    struct buf text;
    buf_init(&text, BOUND_UPSTREAM_HEADERS);
    enum weir_err err = jval_string(v, &text);
    if (err == WEIR_OK && !(*out = arena_str(a, buf_all(&text)))) err = WEIR_NOMEM;
    buf_free(&text);
    return err;
}

/* JSON object of texts to an array. Raw keys lie between quotes, so they can be read as the strings they are. */
static enum weir_err read_headers(struct arena *a, struct span json, struct provider_row *p)
{
    struct jval object, value;
    struct jfault fault;
    struct span key;
    if (jscan_check(json, HEADERS_DEPTH, &object, &fault) != WEIR_OK || object.kind != JSON_OBJECT) return WEIR_CORRUPT;
    struct header *h = arena_alloc(a, sizeof *h * (jscan_count(object) + 1));
    if (!h) return WEIR_NOMEM;
    p->headers = h;
    struct jiter it = jscan_iter(object);
    for (enum weir_err err; jscan_next(&it, &key, &value); p->header_count++, h++) {
        struct jval name = {JSON_STRING, {key.at - 1, key.len + 2}};
        if ((err = text_of(a, name, &h->name)) != WEIR_OK || (err = text_of(a, value, &h->value)) != WEIR_OK)
            return err == WEIR_INVALID ? WEIR_CORRUPT : err;
    }
    return WEIR_OK;
}

static enum weir_err read_provider(struct load *l, struct stmt *s, struct provider_row *p)
{
    *p = (struct provider_row){.id = stmt_get_int(s, 0), .allow_plain_http = stmt_get_int(s, 5) != 0,
                               .connect_ms = stmt_get_int(s, 6), .first_byte_ms = stmt_get_int(s, 7),
                               .idle_ms = stmt_get_int(s, 8), .total_ms = stmt_get_int(s, 9)};
    if (!copy_text(l, s, 1, &p->name) || !copy_text(l, s, 2, &p->dialect) || !copy_text(l, s, 3, &p->base_url) ||
        !copy_text(l, s, 4, &p->key_strategy) || !copy_text(l, s, 11, &p->api_version) ||
        !copy_text(l, s, 12, &p->anthropic_version) || !copy_text(l, s, 13, &p->auth) || !copy_text(l, s, 14, &p->faces))
        return WEIR_NOMEM;
    return read_headers(&l->snap->memory, stmt_get_text(s, 10), p);
}

static enum weir_err load_providers(struct load *l)
{
    int most;
    bool row;
    enum weir_err err = make_room(l, SQL_PROVIDER_COUNT, sizeof *l->providers, (void **)&l->providers, &most);
    if (err != WEIR_OK) return err;
    l->snap->providers = l->providers;
    struct stmt *s = db_stmt(l->db, SQL_PROVIDER_ALL);
    while ((err = stmt_step(s, &row)) == WEIR_OK && row && l->snap->provider_count < most)
        if ((err = read_provider(l, s, &l->providers[l->snap->provider_count++])) != WEIR_OK) break;
    stmt_reset(s);
    return err;
}

static enum weir_err bound_to(char out[BOUND_TO], const char *provider, const char *key)
{
    int n = snprintf(out, BOUND_TO, "provider_key/%s/%s", provider, key);
    return n > 0 && n < BOUND_TO ? WEIR_OK : WEIR_INVALID;
}

static void forget(void *secret) { secret_free(secret); }

/* WEIR_CORRUPT: it does not open under this master key. */
static enum weir_err open_key(struct load *l, const char *provider, struct span sealed, struct upstream_key *k)
{
    char identity[BOUND_TO];
    struct secret *secret = NULL;
    enum weir_err err = bound_to(identity, provider, k->name);
    if (err == WEIR_OK) err = secret_open(l->master, sealed, identity, &secret);
    if (err != WEIR_OK) return err == WEIR_NOMEM ? err : WEIR_CORRUPT;
    k->secret = secret;
    return arena_defer(&l->snap->memory, forget, secret) ? WEIR_OK : WEIR_NOMEM;
}

static enum weir_err read_key_row(struct load *l, struct stmt *s, struct provider_row *p, struct upstream_key *k)
{
    *k = (struct upstream_key){.priority = stmt_get_int(s, 2)};
    if (!copy_text(l, s, 1, &k->name)) return WEIR_NOMEM;
    if (l->master) {
        enum weir_err err = open_key(l, p->name, stmt_get_blob(s, 3), k);
        if (err == WEIR_CORRUPT) {
            log_event(LOG_ERROR, "provider_key_unreadable", LOG_TEXT("provider", p->name), LOG_TEXT("key", k->name));
            return WEIR_OK;
        }
        if (err != WEIR_OK) return err;
    }
    if (!p->key_count) p->keys = k;
    p->key_count++;
    return WEIR_OK;
}

static int compare(struct span a, const char *b)
{
    size_t n = strlen(b);
    int order = memcmp(a.at, b, a.len < n ? a.len : n);
    return order ? order : (a.len > n) - (a.len < n);
}

static struct provider_row *find_provider(const struct load *l, struct span name)
{
    return (struct provider_row *)snapshot_provider(l->snap, name);
}

/* Rows come by provider, priority and name, so a provider's keys lie side by side. */
static enum weir_err load_keys(struct load *l)
{
    struct upstream_key *keys = NULL;
    int most, n = 0;
    bool row;
    enum weir_err err = make_room(l, SQL_PROVIDER_KEY_COUNT, sizeof *keys, (void **)&keys, &most);
    if (err != WEIR_OK) return err;
    struct stmt *s = db_stmt(l->db, SQL_PROVIDER_KEY_ALL);
    while ((err = stmt_step(s, &row)) == WEIR_OK && row && n < most) {
        struct provider_row *p = find_provider(l, stmt_get_text(s, 0));
        if (!p) { err = WEIR_CORRUPT; break; }
        int before = p->key_count;
        if ((err = read_key_row(l, s, p, &keys[n])) != WEIR_OK) break;
        n += p->key_count - before;
    }
    stmt_reset(s);
    return err;
}

/* Four columns from col on, and the one that has the parts. */
static struct price read_price(struct stmt *s, int col, int parts)
{
    struct price p = {.known = !stmt_is_null(s, col), .input = stmt_get_int(s, col),
                      .cached_input = stmt_get_int(s, col + 1), .cache_write = stmt_get_int(s, col + 2),
                      .output = stmt_get_int(s, col + 3)};
    struct jval object;
    struct jfault fault;
    if (!stmt_is_null(s, parts) && jscan_check(stmt_get_text(s, parts), BOUND_JSON_DEPTH, &object, &fault) == WEIR_OK)
        price_parts_read(object, &p);
    return p;
}

static enum weir_err read_model(struct load *l, struct stmt *s, struct model_row *m)
{
    *m = (struct model_row){
        .id = stmt_get_int(s, 0), .cache_ttl = stmt_get_int(s, 3), .context_window = stmt_get_int(s, 4),
        .max_output = stmt_get_int(s, 5), .created = stmt_get_int(s, 11),
        .price = read_price(s, 7, 22), .hedge_after_ms = stmt_get_int(s, 12), .cache_tool_calls = stmt_get_int(s, 17) != 0,
        .stale_for = stmt_get_int(s, 18), .trim_at = stmt_get_int(s, 20), .trim_to = stmt_get_int(s, 21)};
    bool whole = copy_text(l, s, 1, &m->alias) && copy_text(l, s, 2, &m->strategy) && copy_text(l, s, 6, &m->fallback) &&
                 copy_text(l, s, 13, &m->context_fallback) && copy_text(l, s, 14, &m->system) &&
                 copy_text(l, s, 15, &m->defaults) && copy_text(l, s, 16, &m->cache_scope) &&
                 copy_text(l, s, 19, &m->context_action);
    return whole ? WEIR_OK : WEIR_NOMEM;
}

static enum weir_err load_models(struct load *l)
{
    int most;
    bool row;
    enum weir_err err = make_room(l, SQL_MODEL_COUNT, sizeof *l->models, (void **)&l->models, &most);
    if (err != WEIR_OK) return err;
    l->snap->models = l->models;
    struct stmt *s = db_stmt(l->db, SQL_MODEL_ALL);
    while ((err = stmt_step(s, &row)) == WEIR_OK && row && l->snap->model_count < most)
        if ((err = read_model(l, s, &l->models[l->snap->model_count++])) != WEIR_OK) break;
    stmt_reset(s);
    return err;
}

/* Rows come by alias and position, as the keys above. */
static enum weir_err load_targets(struct load *l)
{
    struct target_row *targets = NULL;
    int most, n = 0;
    bool row;
    enum weir_err err = make_room(l, SQL_TARGET_COUNT, sizeof *targets, (void **)&targets, &most);
    if (err != WEIR_OK) return err;
    struct stmt *s = db_stmt(l->db, SQL_TARGET_ALL);
    while ((err = stmt_step(s, &row)) == WEIR_OK && row && n < most) {
        struct model_row *m = (struct model_row *)snapshot_model(l->snap, stmt_get_text(s, 0));
        struct target_row *t = &targets[n++];
        t->provider = find_provider(l, stmt_get_text(s, 1));
        t->weight = stmt_get_int(s, 3);
        t->price = read_price(s, 4, 8);
        if (!m || !t->provider) { err = WEIR_CORRUPT; break; }
        if (!copy_text(l, s, 2, &t->model)) { err = WEIR_NOMEM; break; }
        if (!m->target_count++) m->targets = t;
    }
    stmt_reset(s);
    return err;
}

enum weir_err snapshot_load(struct db *db, const struct master_key *master, struct snapshot **out)
{
    *out = NULL;
    struct snapshot *snap = calloc(1, sizeof *snap);
    if (!snap) return WEIR_NOMEM;
    struct load l = {.db = db, .master = master, .snap = snap};
    arena_init(&snap->memory);
    snap->refs = 1;
    enum weir_err err = db_begin_read(db);
    if (err == WEIR_OK) err = config_version(db, &snap->version);
    if (err == WEIR_OK && master) err = vault_check(db, master);
    if (err == WEIR_OK) err = settings_load(db, &snap->memory, &snap->settings);
    if (err == WEIR_OK) err = load_providers(&l);
    if (err == WEIR_OK) err = load_keys(&l);
    if (err == WEIR_OK) err = load_models(&l);
    if (err == WEIR_OK) err = load_targets(&l);
    if (err == WEIR_OK) err = answerers_note(snap, l.models);
    if (err == WEIR_OK) err = verifiers_load(db, master, &snap->memory, &snap->verifiers);
    db_rollback(db);
    if (err != WEIR_OK) { snapshot_release(snap); return err; }
    *out = snap;
    return WEIR_OK;
}

void snapshot_hold(struct snapshot *s) { __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED); }

void snapshot_release(struct snapshot *s)
{
    if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    arena_end(&s->memory);
    free(s);
}

static int by_alias(const void *wanted, const void *row)
{
    return compare(*(const struct span *)wanted, ((const struct model_row *)row)->alias);
}

static int by_name(const void *wanted, const void *row)
{
    return compare(*(const struct span *)wanted, ((const struct provider_row *)row)->name);
}

const struct model_row *snapshot_model(const struct snapshot *s, struct span alias)
{
    if (!alias.at || !s->model_count) return NULL;
    return bsearch(&alias, s->models, (size_t)s->model_count, sizeof *s->models, by_alias);
}

const struct provider_row *snapshot_provider(const struct snapshot *s, struct span name)
{
    if (!name.at || !s->provider_count) return NULL;
    return bsearch(&name, s->providers, (size_t)s->provider_count, sizeof *s->providers, by_name);
}

/* ---- administrators' ---- */

static void bind_set(struct stmt *s, int i, int64_t n) /* 0: not set */
{
    if (n) stmt_int(s, i, n); else stmt_null(s, i);
}

static enum weir_err put_for_id(struct stmt *s, int64_t *id)
{
    bool row;
    enum weir_err err = stmt_step(s, &row);
    if (err != WEIR_OK) return err;
    if (id) *id = row ? stmt_get_int(s, 0) : 0;
    return stmt_run(s);
}

static enum weir_err headers_json(const struct provider_row *p, struct buf *out)
{
    buf_char(out, '{');
    for (int i = 0; i < p->header_count; i++) {
        if (i) buf_char(out, ',');
        json_string(out, span_of(p->headers[i].name));
        buf_char(out, ':');
        json_string(out, span_of(p->headers[i].value));
    }
    return buf_char(out, '}');
}

enum weir_err provider_put(struct db *db, const struct provider_row *p, int64_t *id)
{
    struct buf headers;
    buf_init(&headers, BOUND_UPSTREAM_HEADERS);
    enum weir_err err = headers_json(p, &headers);
    if (err == WEIR_OK) {
        struct stmt *s = db_stmt(db, SQL_PROVIDER_PUT);
        stmt_text(s, 1, span_of(p->name));
        stmt_text(s, 2, span_of(p->dialect));
        stmt_text(s, 3, span_of(p->base_url));
        stmt_int(s, 4, p->allow_plain_http);
        stmt_text(s, 5, span_of(p->key_strategy));
        bind_set(s, 6, p->connect_ms);
        bind_set(s, 7, p->first_byte_ms);
        bind_set(s, 8, p->idle_ms);
        bind_set(s, 9, p->total_ms);
        stmt_text(s, 10, buf_all(&headers));
        stmt_text(s, 11, span_of(p->api_version));
        stmt_text(s, 12, span_of(p->anthropic_version));
        stmt_text(s, 13, span_of(p->auth));
        stmt_text(s, 14, span_of(p->faces));
        err = put_for_id(s, id);
    }
    buf_free(&headers);
    return err;
}

static enum weir_err key_priority(struct db *db, int64_t provider_id, const char *key, int64_t priority)
{
    struct stmt *s = db_stmt(db, SQL_PROVIDER_KEY_PRIORITY);
    stmt_int(s, 1, provider_id);
    stmt_text(s, 2, span_of(key));
    stmt_int(s, 3, priority);
    enum weir_err err = stmt_run(s);
    return err == WEIR_OK && db_changes(db) == 0 ? WEIR_NOT_FOUND : err;
}

enum weir_err provider_key_put(struct db *db, const struct master_key *m, int64_t provider_id, const char *provider,
                               const char *key, int64_t priority, struct span secret)
{
    char identity[BOUND_TO];
    struct buf sealed;
    if (!secret.at) return key_priority(db, provider_id, key, priority);
    buf_init(&sealed, SEALED_MAX);
    enum weir_err err = bound_to(identity, provider, key);
    if (err == WEIR_OK) err = vault_check(db, m);
    if (err == WEIR_OK) err = secret_seal(m, secret, identity, &sealed);
    if (err == WEIR_OK) {
        struct stmt *s = db_stmt(db, SQL_PROVIDER_KEY_PUT);
        stmt_int(s, 1, provider_id);
        stmt_text(s, 2, span_of(key));
        stmt_int(s, 3, priority);
        stmt_blob(s, 4, buf_all(&sealed));
        err = stmt_run(s);
    }
    if (err == WEIR_OK) { /* what was held against the old secret */
        struct stmt *s = db_stmt(db, SQL_HEALTH_NEW_KEY);
        stmt_text(s, 1, span_of(provider));
        stmt_text(s, 2, span_of(key));
        err = stmt_run(s);
    }
    buf_free(&sealed);
    return err;
}

/* Four from i on, and the parts; text: empty, to be kept until the statement has run. */
static enum weir_err bind_price(struct stmt *s, int i, int parts, const struct price *p, struct buf *text)
{
    const int64_t price[] = {p->input, p->cached_input, p->cache_write, p->output};
    for (int k = 0; k < 4; k++)
        if (p->known) stmt_int(s, i + k, price[k]); else stmt_null(s, i + k);
    if (p->known) price_parts_object(p, text);
    stmt_text(s, parts, buf_all(text));
    return text->err;
}

enum weir_err model_put(struct db *db, const struct model_row *m, int64_t *id)
{
    struct stmt *s = db_stmt(db, SQL_MODEL_PUT);
    struct buf parts;
    buf_init(&parts, PRICE_PARTS_MAX);
    stmt_text(s, 1, span_of(m->alias));
    stmt_text(s, 2, span_of(m->strategy));
    stmt_int(s, 3, m->cache_ttl);
    bind_set(s, 4, m->context_window);
    bind_set(s, 5, m->max_output);
    stmt_text(s, 6, span_of(m->fallback));
    enum weir_err err = bind_price(s, 7, 22, &m->price, &parts);
    stmt_int(s, 11, m->created);
    bind_set(s, 12, m->hedge_after_ms);
    stmt_text(s, 13, span_of(m->context_fallback));
    stmt_text(s, 14, span_of(m->system));
    stmt_text(s, 15, span_of(m->defaults));
    stmt_text(s, 16, span_of(m->cache_scope));
    stmt_int(s, 17, m->cache_tool_calls);
    stmt_int(s, 18, m->stale_for);
    stmt_text(s, 19, span_of(m->context_action));
    stmt_int(s, 20, m->trim_at);
    stmt_int(s, 21, m->trim_to);
    if (err == WEIR_OK) err = put_for_id(s, id);
    buf_free(&parts);
    return err;
}

enum weir_err targets_put(struct db *db, int64_t model_id, const int64_t *provider_ids, const struct target_row *t,
                          int count)
{
    struct stmt *s = db_stmt(db, SQL_TARGET_CLEAR);
    struct buf parts;
    buf_init(&parts, PRICE_PARTS_MAX);
    stmt_int(s, 1, model_id);
    enum weir_err err = stmt_run(s);
    for (int i = 0; i < count && err == WEIR_OK; i++) {
        s = db_stmt(db, SQL_TARGET_ADD);
        stmt_int(s, 1, model_id);
        stmt_int(s, 2, i);
        stmt_int(s, 3, provider_ids[i]);
        stmt_text(s, 4, span_of(t[i].model));
        stmt_int(s, 5, t[i].weight);
        buf_clear(&parts);
        err = bind_price(s, 6, 10, &t[i].price, &parts);
        if (err == WEIR_OK) err = stmt_run(s);
    }
    buf_free(&parts);
    return err;
}

static enum weir_err remove_by_id(struct db *db, int statement, int64_t id)
{
    struct stmt *s = db_stmt(db, statement);
    stmt_int(s, 1, id);
    enum weir_err err = stmt_run(s);
    return err == WEIR_OK && db_changes(db) == 0 ? WEIR_NOT_FOUND : err;
}

enum weir_err provider_remove(struct db *db, int64_t id)
{
    return remove_by_id(db, SQL_PROVIDER_REMOVE, id);
}

enum weir_err model_remove(struct db *db, int64_t id)
{
    return remove_by_id(db, SQL_MODEL_REMOVE, id);
}

enum weir_err provider_key_remove(struct db *db, const char *provider, const char *key)
{
    struct stmt *s = db_stmt(db, SQL_PROVIDER_KEY_REMOVE);
    stmt_text(s, 1, span_of(provider));
    stmt_text(s, 2, span_of(key));
    enum weir_err err = stmt_run(s);
    return err == WEIR_OK && db_changes(db) == 0 ? WEIR_NOT_FOUND : err;
}
