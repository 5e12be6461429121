/* The cache's store: finding, putting, and what administrators ask. One connection writes, under a lock; some read. No put
 * waits for the disk; so what the power's going may have torn is found out by a sum over each entry. */
#include "sql/cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "cache_ids.h"
#include "fcgi/base/bounds.h"
#include "fcgi/door/pack.h"
#include "sql/background.h"
#include "sql/cache_room.h"

#define TURN_MS     10  /* a put waits for its turn no longer: then its answer is not kept */
#define SUM_BYTES   16
#define ENTRY_BYTES 256 /* what an entry takes beside name and body: its row, and its places in the indexes */

struct cache_name cache_name(struct span text) { return (struct cache_name){text, digest_of(text)}; }

/* ---- reading ---- */

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

bool cache_get(struct cache *c, const struct cache_name *n, int64_t now_ms, struct arena *a, struct cache_entry *out)
{
    int64_t id = 0;
    struct reader *r = cache_take_reader(c);
    if (!r) return false;
    struct db *db = r->side.db;
    bool found = find(db, n, now_ms, a, out, &id);
    if (!found && db_fault(db) != WEIR_OK && db_fault(db) != WEIR_BUSY) cache_read_badly(c, &r->side, db_fault(db));
    cache_give_reader(c, r);
    if (found) cache_count(c, id, now_ms);
    return found;
}

/* ---- writing; the writing lock is held ---- */

static enum weir_err drop(struct db *db, const struct cache_name *n)
{
    struct stmt *s = db_stmt(db, SQL_CACHE_DROP);
    stmt_blob(s, 1, (struct span){(const char *)n->hash.at, sizeof n->hash.at});
    return stmt_run(s);
}

static enum weir_err insert(struct db *db, const struct cache_name *n, const struct cache_entry *e, int64_t now_ms,
                            struct span name, struct span body)
{
    struct stmt *s = db_stmt(db, SQL_CACHE_ADD);
    stmt_blob(s, 1, (struct span){(const char *)n->hash.at, sizeof n->hash.at});
    stmt_int(s, 2, now_ms);
    stmt_int(s, 3, e->expires);
    stmt_int(s, 4, e->gone);
    stmt_int(s, 5, (int64_t)(name.len + body.len) + ENTRY_BYTES);
    stmt_int(s, 6, e->form);
    stmt_text(s, 7, span_of(e->provider));
    stmt_text(s, 8, span_of(e->model));
    stmt_blob(s, 9, name);
    stmt_blob(s, 10, body);
    return stmt_run(s);
}

/* room: the bytes that others may have beside it. *fits false: they had more than may leave at once, but some have left. */
static enum weir_err put(struct db *db, const struct cache_name *n, const struct cache_entry *e, int64_t now_ms,
                         struct span name, struct span body, int64_t room, bool *fits)
{
    int dropped;
    *fits = false;
    enum weir_err err = db_begin(db);
    if (err == WEIR_OK) err = drop(db, n);
    if (err == WEIR_OK) err = cache_make_room(db, room, fits, &dropped);
    if (err == WEIR_OK && *fits) err = insert(db, n, e, now_ms, name, body);
    return err == WEIR_OK ? db_commit(db) : err;
}

/* By the wall's clock, for ThreadSanitizer knows no other such lock. Where that jumps, this waits too little once, or until
 * others are through. */
static bool take_turn(struct cache *c)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += TURN_MS * 1000000;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    return pthread_mutex_timedlock(&c->writing, &until) == 0;
}

bool cache_put(struct cache *c, const struct cache_name *n, const struct cache_entry *e, int64_t now_ms, int64_t most_bytes)
{
    struct buf name, body;
    bool done = false;
    buf_init(&name, SIZE_MAX - 1);
    buf_init(&body, SIZE_MAX - 1);
    pack(n->text, &name);
    pack(e->body, &body);
    struct sum sum = sum_of(buf_all(&body), n);
    buf_add(&body, sum.at, SUM_BYTES);
    int64_t size = (int64_t)(name.len + body.len) + ENTRY_BYTES;
    if (!name.err && !body.err && size <= most_bytes / 4 && take_turn(c)) {
        struct db *db = cache_writer(c);
        enum weir_err err = WEIR_OK;
        if (db) err = put(db, n, e, now_ms, buf_all(&name), buf_all(&body), most_bytes - size, &done);
        if (db) cache_wrote(c, db, err);
        done &= err == WEIR_OK;
        pthread_mutex_unlock(&c->writing);
    }
    buf_free(&name);
    buf_free(&body);
    return done;
}

/* ---- administration ---- */

enum weir_err cache_stats(struct cache *c, struct cache_stats *out)
{
    struct stat st;
    bool row = false;
    *out = (struct cache_stats){0};
    if (stat(c->path, &st) != 0) return errno == ENOENT ? WEIR_OK : WEIR_IO;
    out->file_bytes = st.st_size;
    struct reader *r = cache_take_reader(c);
    if (!r) return atomic_load(&c->damaged) ? WEIR_OK : WEIR_UNAVAILABLE; /* whoever writes next throws it away */
    enum weir_err err = cache_total(r->side.db, &out->entries, &out->bytes);
    if (err == WEIR_OK) {
        struct stmt *s = db_stmt(r->side.db, SQL_CACHE_SUM);
        err = stmt_step(s, &row);
        if (err == WEIR_OK && row) out->hits = stmt_get_int(s, 0), out->oldest = stmt_get_int(s, 1);
        stmt_reset(s);
    }
    cache_give_reader(c, r);
    return err;
}

enum weir_err cache_clear(struct cache *c)
{
    pthread_mutex_lock(&c->writing);
    bool gone = cache_throw_away(c);
    pthread_mutex_unlock(&c->writing);
    return gone && access(c->path, F_OK) != 0 ? WEIR_OK : WEIR_IO;
}

/* ---- the whole ---- */

/* One name of the data directory. False: memory is out. */
static bool name_file(const char *data_dir, const char *name, char **path)
{
    if (asprintf(path, "%s/%s", data_dir, name) < 0) *path = NULL;
    return *path;
}

enum weir_err cache_new(const char *data_dir, struct cache **out)
{
    *out = NULL;
    struct cache *c = calloc(1, sizeof *c);
    if (!c) return WEIR_NOMEM;
    pthread_mutex_init(&c->writing, NULL);
    pthread_mutex_init(&c->lock, NULL);
    background_cond(&c->given);
    for (int i = 0; i < CACHE_READERS; i++) c->readers[i].next = i + 1 < CACHE_READERS ? &c->readers[i + 1] : NULL;
    c->idle = c->readers;
    bool named = name_file(data_dir, "cache.db", &c->path) && name_file(data_dir, "cache.db-wal", &c->log) &&
                 name_file(data_dir, "cache.db-shm", &c->index) && name_file(data_dir, "cache.lock", &c->guard);
    enum weir_err err = named ? checkpointer_new(c->path, true, &c->checkpointer) : WEIR_NOMEM;
    if (err == WEIR_OK) *out = c;
    else cache_free(c);
    return err;
}

void cache_free(struct cache *c)
{
    if (!c) return;
    if (c->path) cache_write_hits(c);
    checkpointer_free(c->checkpointer);
    side_shut(&c->side);
    for (int i = 0; i < CACHE_READERS; i++) side_shut(&c->readers[i].side);
    pthread_mutex_destroy(&c->writing);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->given);
    free(c->path);
    free(c->log);
    free(c->index);
    free(c->guard);
    free(c);
}
