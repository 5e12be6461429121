/* The cache's store. One connection writes, under a lock; some read. A file that was replaced or deleted is found out and
 * opened anew; one that is none is thrown away. No put waits for the disk; so what the power's going may have torn is found
 * out by a sum over each entry. */
#include "sql/cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cache_ids.h"
#include "fcgi/base/bounds.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/log.h"
#include "fcgi/door/pack.h"
#include "sql/background.h"
#include "sql/checkpointer.h"
#include "sql/db.h"
#include "sql/migrations.h"

#define BUSY_MS   100  /* another process's write is waited for no longer */
#define CHECK_MS  1000 /* how often it is asked whether the file is still the one of that name */
#define RETRY_MS  5000 /* after trouble the file is left alone that long */
#define STEP_ROWS 8    /* let go in one transaction, which so stays short */
#define PUT_STEPS 2    /* such steps a put may take, so that what comes in is outrun */
#define READERS   8
#define TAKE_MS   100  /* for a reader; a miss costs more than that */
#define SUM_BYTES 16
#define HITS      256  /* counted between two writings */

struct side { struct db *db; int64_t checked; };      /* a connection; NULL until its first use, and after trouble */
struct reader { struct side side; struct reader *next; };
struct hit { int64_t id, time, count; };

struct cache {
    char *path;
    struct checkpointer *checkpointer;
    pthread_mutex_t writing;  /* the writing side */
    struct side side;
    int64_t quiet_until;      /* nothing is tried before; of the writing side */
    pthread_mutex_t lock;     /* the rest; never held while the file is asked */
    pthread_cond_t given;     /* a reader is idle again */
    struct reader readers[READERS], *idle;
    struct hit hits[HITS];
    int hit_count;
};

struct cache_name cache_name(struct span text) { return (struct cache_name){text, digest_of(text)}; }

/* ---- the file ---- */

static void shut(struct side *s)
{
    db_close(s->db);
    s->db = NULL;
}

static void throw_away(const char *path)
{
    char other[4096];
    unlink(path);
    if (snprintf(other, sizeof other, "%s-wal", path) < (int)sizeof other) unlink(other);
    if (snprintf(other, sizeof other, "%s-shm", path) < (int)sizeof other) unlink(other);
}

static enum weir_err bring_up(struct db *db)
{
    int at = db_schema(db), newest = 0;
    enum weir_err err = at < 0 ? db_fault(db) : WEIR_OK;
    for (const struct migration *m = cache_migrations; m->number && err == WEIR_OK; m++) {
        newest = m->number;
        if (m->number > at) err = db_apply(db, m->text, m->number);
    }
    return err == WEIR_OK && at > newest ? WEIR_CORRUPT : err;
}

static enum weir_err open_once(const char *path, struct side *s)
{
    enum weir_err err = db_open(path, DB_WRITE, BUSY_MS, &sql_cache, &s->db);
    if (err == WEIR_OK) err = db_survive(s->db, DB_SURVIVES_NOTHING);
    if (err == WEIR_OK) err = bring_up(s->db);
    if (err != WEIR_OK) shut(s);
    return err;
}

/* Is the connection one to the file of that name? Asked of the file system once a second. */
static bool is_current(struct side *s, int64_t now)
{
    if (!s->db) return false;
    if (now - s->checked < CHECK_MS) return true;
    s->checked = now;
    if (!db_has_moved(s->db)) return true;
    shut(s);
    return false;
}

static struct db *writer(struct cache *c)
{
    int64_t now = clock_mono_ms();
    if (is_current(&c->side, now)) return c->side.db;
    if (now < c->quiet_until) return NULL;
    enum weir_err err = open_once(c->path, &c->side);
    if (err == WEIR_CORRUPT) {
        log_event(LOG_WARN, "cache_thrown_away", LOG_TEXT("file", c->path));
        throw_away(c->path);
        err = open_once(c->path, &c->side);
    }
    c->side.checked = now;
    if (err != WEIR_OK) c->quiet_until = now + RETRY_MS;
    return c->side.db;
}

/* After a failure: what is damaged goes, what is full or busy waits. */
static void trouble(struct cache *c, struct db *db, enum weir_err err)
{
    db_rollback(db);
    if (err == WEIR_BUSY) return;
    log_event(LOG_WARN, "cache_trouble", LOG_TEXT("reason", db_message(db)));
    shut(&c->side);
    if (err == WEIR_CORRUPT) throw_away(c->path);
    else c->quiet_until = clock_mono_ms() + RETRY_MS;
}

/* ---- reading ---- */

/* NULL: the disk is slow, or a great many ask. */
static struct reader *take(struct cache *c)
{
    pthread_mutex_lock(&c->lock);
    for (int64_t until = clock_mono_ms() + TAKE_MS, left = TAKE_MS; !c->idle && left > 0; left = until - clock_mono_ms())
        background_wait(&c->given, &c->lock, left);
    struct reader *r = c->idle;
    if (r) c->idle = r->next;
    pthread_mutex_unlock(&c->lock);
    return r;
}

static void give(struct cache *c, struct reader *r)
{
    pthread_mutex_lock(&c->lock);
    r->next = c->idle;
    c->idle = r;
    pthread_mutex_unlock(&c->lock);
    pthread_cond_signal(&c->given);
}

static bool is_ready(struct cache *c, struct side *s)
{
    int64_t now = clock_mono_ms();
    if (is_current(s, now)) return true;
    s->checked = now;
    return db_open(c->path, DB_READ, BUSY_MS, &sql_cache, &s->db) == WEIR_OK;
}

static bool is_of_name(struct span packed, const struct cache_name *n)
{
    struct buf text;
    struct span plain = packed_plain(packed);
    if (plain.at) return span_eq(plain, n->text);
    buf_init(&text, n->text.len);
    bool same = unpack(packed, &text) == WEIR_OK && span_eq(buf_all(&text), n->text);
    buf_free(&text);
    return same;
}

/* Of a packed body and the name it belongs to. */
struct sum { unsigned char at[SUM_BYTES]; };

static struct sum sum_of(struct span packed, const struct cache_name *n)
{
    struct digest body = digest_of(packed);
    struct sum sum = {.at = {0}};
    for (size_t i = 0; i < SUM_BYTES; i++) sum.at[i] = body.at[i] ^ n->hash.at[i];
    return sum;
}

/* Takes the sum off the end. False: it is another's. */
static bool is_whole(struct span *stored, const struct cache_name *n)
{
    if (stored->len < SUM_BYTES) return false;
    stored->len -= SUM_BYTES;
    struct sum sum = sum_of(*stored, n);
    return memcmp(stored->at + stored->len, sum.at, SUM_BYTES) == 0;
}

static bool read_entry(struct stmt *s, const struct cache_name *n, struct arena *a, struct cache_entry *out)
{
    struct buf body;
    struct span packed = stmt_get_blob(s, 7);
    if (!is_whole(&packed, n)) return false;
    struct span plain = packed_plain(packed);
    *out = (struct cache_entry){.created = stmt_get_int(s, 1), .expires = stmt_get_int(s, 2),
                                .form = (int)stmt_get_int(s, 3), .provider = arena_str(a, stmt_get_text(s, 4)),
                                .model = arena_str(a, stmt_get_text(s, 5))};
    if (!out->provider || !out->model) return false;
    if (plain.at) out->body = (struct span){arena_str(a, plain), plain.len};
    if (plain.at) return out->body.at;
    buf_init(&body, BOUND_ANSWER);
    bool fine = unpack(packed, &body) == WEIR_OK;
    if (fine) out->body = (struct span){arena_str(a, buf_all(&body)), body.len};
    buf_free(&body);
    return fine && out->body.at;
}

static bool find(struct db *db, const struct cache_name *n, int64_t now_ms, struct arena *a, struct cache_entry *out,
                 int64_t *id)
{
    bool row = false;
    struct stmt *s = db_stmt(db, SQL_CACHE_FIND);
    stmt_blob(s, 1, (struct span){(const char *)n->hash.at, sizeof n->hash.at});
    stmt_int(s, 2, now_ms);
    bool found = stmt_step(s, &row) == WEIR_OK && row && is_of_name(stmt_get_blob(s, 6), n) && read_entry(s, n, a, out);
    if (found) *id = stmt_get_int(s, 0);
    stmt_reset(s);
    return found;
}

/* A full table forgets: hits are for choosing who leaves, and for show. */
static void count(struct cache *c, int64_t id, int64_t now_ms)
{
    int i = 0;
    pthread_mutex_lock(&c->lock);
    while (i < c->hit_count && c->hits[i].id != id) i++;
    if (i == c->hit_count && i < HITS) c->hits[c->hit_count++] = (struct hit){.id = id};
    if (i < HITS) c->hits[i].count++, c->hits[i].time = now_ms;
    pthread_mutex_unlock(&c->lock);
}

bool cache_get(struct cache *c, const struct cache_name *n, int64_t now_ms, struct arena *a, struct cache_entry *out)
{
    int64_t id = 0;
    struct reader *r = take(c);
    if (!r) return false;
    bool found = is_ready(c, &r->side) && find(r->side.db, n, now_ms, a, out, &id);
    if (!found && r->side.db && db_fault(r->side.db) != WEIR_OK && db_fault(r->side.db) != WEIR_BUSY) shut(&r->side);
    give(c, r);
    if (found) count(c, id, now_ms);
    return found;
}

/* ---- writing; the writing lock is held ---- */

static enum weir_err total(struct db *db, int64_t *entries, int64_t *bytes)
{
    bool row = false;
    struct stmt *s = db_stmt(db, SQL_CACHE_TOTAL);
    enum weir_err err = stmt_step(s, &row);
    *entries = err == WEIR_OK && row ? stmt_get_int(s, 0) : 0;
    *bytes = err == WEIR_OK && row ? stmt_get_int(s, 1) : 0;
    stmt_reset(s);
    return err;
}

/* Lets a few go if there is too much. *more: there is still. */
static enum weir_err make_room(struct db *db, int64_t most_bytes, bool *more)
{
    int64_t entries, bytes;
    *more = false;
    enum weir_err err = total(db, &entries, &bytes);
    if (err != WEIR_OK || bytes <= most_bytes) return err;
    struct stmt *s = db_stmt(db, SQL_CACHE_DROP_OLDEST);
    stmt_int(s, 1, STEP_ROWS);
    *more = true;
    return stmt_run(s);
}

static enum weir_err insert(struct db *db, const struct cache_name *n, const struct cache_entry *e, int64_t now_ms,
                            struct span name, struct span body)
{
    struct span hash = {(const char *)n->hash.at, sizeof n->hash.at};
    struct stmt *s = db_stmt(db, SQL_CACHE_DROP);
    stmt_blob(s, 1, hash);
    enum weir_err err = stmt_run(s);
    if (err != WEIR_OK) return err;
    s = db_stmt(db, SQL_CACHE_ADD);
    stmt_blob(s, 1, hash);
    stmt_int(s, 2, now_ms);
    stmt_int(s, 3, e->expires);
    stmt_int(s, 4, e->gone);
    stmt_int(s, 5, (int64_t)(name.len + body.len));
    stmt_int(s, 6, e->form);
    stmt_text(s, 7, span_of(e->provider));
    stmt_text(s, 8, span_of(e->model));
    stmt_blob(s, 9, name);
    stmt_blob(s, 10, body);
    return stmt_run(s);
}

static enum weir_err put(struct db *db, const struct cache_name *n, const struct cache_entry *e, int64_t now_ms,
                         struct span name, struct span body, int64_t most_bytes)
{
    bool more = true;
    enum weir_err err = db_begin(db);
    if (err == WEIR_OK) err = insert(db, n, e, now_ms, name, body);
    for (int i = 0; i < PUT_STEPS && more && err == WEIR_OK; i++) err = make_room(db, most_bytes, &more);
    return err == WEIR_OK ? db_commit(db) : err;
}

bool cache_put(struct cache *c, const struct cache_name *n, const struct cache_entry *e, int64_t now_ms, int64_t most_bytes)
{
    struct buf name, body;
    enum weir_err err = WEIR_UNAVAILABLE;
    buf_init(&name, SIZE_MAX - 1);
    buf_init(&body, SIZE_MAX - 1);
    pack(n->text, &name);
    pack(e->body, &body);
    struct sum sum = sum_of(buf_all(&body), n);
    buf_add(&body, sum.at, SUM_BYTES);
    bool fits = !name.err && !body.err && (int64_t)(name.len + body.len) <= most_bytes / 4;
    if (fits) {
        pthread_mutex_lock(&c->writing);
        struct db *db = writer(c);
        if (db) err = put(db, n, e, now_ms, buf_all(&name), buf_all(&body), most_bytes);
        if (db && err == WEIR_OK) checkpointer_saw(c->checkpointer, db);
        else if (db) trouble(c, db, err);
        pthread_mutex_unlock(&c->writing);
    }
    buf_free(&name);
    buf_free(&body);
    return err == WEIR_OK;
}

static int take_hits(struct cache *c, struct hit hits[HITS])
{
    pthread_mutex_lock(&c->lock);
    int count = c->hit_count;
    memcpy(hits, c->hits, sizeof *hits * (size_t)count);
    c->hit_count = 0;
    pthread_mutex_unlock(&c->lock);
    return count;
}

static enum weir_err write_hits(struct db *db, const struct hit *hits, int count)
{
    enum weir_err err = WEIR_OK;
    for (int i = 0; i < count && err == WEIR_OK; i++) {
        struct stmt *s = db_stmt(db, SQL_CACHE_HIT);
        stmt_int(s, 1, hits[i].id);
        stmt_int(s, 2, hits[i].time);
        stmt_int(s, 3, hits[i].count);
        err = stmt_run(s);
    }
    return err;
}

static enum weir_err drop_gone(struct db *db, int64_t now_ms, bool *more)
{
    struct stmt *s = db_stmt(db, SQL_CACHE_DROP_GONE);
    stmt_int(s, 1, now_ms);
    stmt_int(s, 2, STEP_ROWS);
    enum weir_err err = stmt_run(s);
    *more = err == WEIR_OK && db_changes(db) == STEP_ROWS;
    return err;
}

/* One short transaction; *more: there is more to let go. */
static enum weir_err tend_step(struct db *db, const struct hit *hits, int hit_count, int64_t now_ms, int64_t most_bytes,
                               bool *more)
{
    bool too_much = false;
    enum weir_err err = db_begin(db);
    if (err == WEIR_OK) err = write_hits(db, hits, hit_count);
    if (err == WEIR_OK) err = drop_gone(db, now_ms, more);
    if (err == WEIR_OK) err = make_room(db, most_bytes, &too_much);
    *more |= too_much;
    return err == WEIR_OK ? db_commit(db) : err;
}

void cache_tend(struct cache *c, int64_t now_ms, int64_t most_bytes)
{
    struct hit hits[HITS];
    bool more = true;
    if (access(c->path, F_OK) != 0) return; /* nothing was ever kept */
    for (int hit_count = take_hits(c, hits); more; hit_count = 0) {
        more = false;
        pthread_mutex_lock(&c->writing);
        struct db *db = writer(c);
        enum weir_err err = db ? tend_step(db, hits, hit_count, now_ms, most_bytes, &more) : WEIR_UNAVAILABLE;
        if (db && err == WEIR_OK) checkpointer_saw(c->checkpointer, db);
        else if (db) trouble(c, db, err);
        pthread_mutex_unlock(&c->writing);
        more &= err == WEIR_OK;
    }
}

/* ---- administration ---- */

enum weir_err cache_stats(struct cache *c, struct cache_stats *out)
{
    struct stat st;
    bool row = false;
    *out = (struct cache_stats){0};
    if (stat(c->path, &st) != 0) return errno == ENOENT ? WEIR_OK : WEIR_IO;
    out->file_bytes = st.st_size;
    pthread_mutex_lock(&c->writing);
    struct db *db = writer(c);
    enum weir_err err = db ? total(db, &out->entries, &out->bytes) : WEIR_UNAVAILABLE;
    if (err == WEIR_OK) {
        struct stmt *s = db_stmt(db, SQL_CACHE_SUM);
        err = stmt_step(s, &row);
        if (err == WEIR_OK && row) out->hits = stmt_get_int(s, 0), out->oldest = stmt_get_int(s, 1);
        stmt_reset(s);
    }
    pthread_mutex_unlock(&c->writing);
    return err;
}

enum weir_err cache_clear(struct cache *c)
{
    pthread_mutex_lock(&c->writing);
    shut(&c->side);
    throw_away(c->path);
    pthread_mutex_unlock(&c->writing);
    return access(c->path, F_OK) == 0 ? WEIR_IO : WEIR_OK;
}

/* ---- the whole ---- */

enum weir_err cache_new(const char *data_dir, struct cache **out)
{
    *out = NULL;
    struct cache *c = calloc(1, sizeof *c);
    if (!c) return WEIR_NOMEM;
    pthread_mutex_init(&c->writing, NULL);
    pthread_mutex_init(&c->lock, NULL);
    background_cond(&c->given);
    for (int i = 0; i < READERS; i++) c->readers[i].next = i + 1 < READERS ? &c->readers[i + 1] : NULL;
    c->idle = c->readers;
    if (asprintf(&c->path, "%s/cache.db", data_dir) < 0) c->path = NULL;
    enum weir_err err = c->path ? checkpointer_new(c->path, &c->checkpointer) : WEIR_NOMEM;
    if (err == WEIR_OK) *out = c;
    else cache_free(c);
    return err;
}

void cache_free(struct cache *c)
{
    if (!c) return;
    if (c->path && c->hit_count) cache_tend(c, 0, INT64_MAX);
    checkpointer_free(c->checkpointer);
    shut(&c->side);
    for (int i = 0; i < READERS; i++) shut(&c->readers[i].side);
    pthread_mutex_destroy(&c->writing);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->given);
    free(c->path);
    free(c);
}
