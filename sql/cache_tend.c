/* Letting go of entries, and the counting of hits: always few rows in a transaction, and time for others between two. The
 * bound is held against one row, the total, which triggers keep; it is held against the entries themselves now and then,
 * and where it cannot be right. */
#include <time.h>
#include <unistd.h>
#include "cache_ids.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/log.h"
#include "sql/cache_room.h"

#define STEP_ROWS  64          /* let go in one transaction, which so takes some milliseconds at most */
#define STEP_BYTES (1 << 20)   /* nor more than the entry that passes this */
#define STEP_HITS  32          /* written in one */
#define TEND_MS    1000        /* of one call */
#define COUNT_MS   3600000     /* between two countings */
#define SPARE      16          /* tending leaves one in so many of the bytes free, so that puts find room */
#define PROBES     8           /* places where a hit may be counted */

/* ---- the bound ---- */

enum weir_err cache_total(struct db *db, int64_t *entries, int64_t *bytes)
{
    bool row = false;
    struct stmt *s = db_stmt(db, SQL_CACHE_TOTAL);
    enum weir_err err = stmt_step(s, &row);
    *entries = err == WEIR_OK && row ? stmt_get_int(s, 0) : 0;
    *bytes = err == WEIR_OK && row ? stmt_get_int(s, 1) : 0;
    stmt_reset(s);
    return err;
}

/* Runs s, which lets go of one entry and says what it took. -1: there was none. */
static enum weir_err drop_one(struct stmt *s, int64_t *bytes)
{
    bool row = false;
    enum weir_err err = stmt_step(s, &row);
    *bytes = err == WEIR_OK && row ? stmt_get_int(s, 0) : -1;
    stmt_reset(s);
    return err;
}

enum weir_err cache_make_room(struct db *db, int64_t most_bytes, bool *fits, int *dropped)
{
    int64_t entries, bytes, one, freed = 0;
    *dropped = 0;
    enum weir_err err = cache_total(db, &entries, &bytes);
    while (err == WEIR_OK && bytes - freed > most_bytes && *dropped < STEP_ROWS && freed < STEP_BYTES) {
        err = drop_one(db_stmt(db, SQL_CACHE_DROP_OLDEST), &one);
        if (err != WEIR_OK || one < 0) break;
        freed += one;
        ++*dropped;
    }
    *fits = bytes - freed <= most_bytes;
    return err;
}

/* ---- the total ---- */

static enum weir_err count_entries(struct db *db, int64_t *entries, int64_t *bytes)
{
    bool row = false;
    struct stmt *s = db_stmt(db, SQL_CACHE_COUNT);
    enum weir_err err = stmt_step(s, &row);
    *entries = err == WEIR_OK && row ? stmt_get_int(s, 0) : 0;
    *bytes = err == WEIR_OK && row ? stmt_get_int(s, 1) : 0;
    stmt_reset(s);
    return err;
}

static enum weir_err compare(struct db *db, bool *right)
{
    int64_t said[2], found[2];
    *right = true;
    enum weir_err err = cache_total(db, &said[0], &said[1]);
    if (err == WEIR_OK) err = count_entries(db, &found[0], &found[1]);
    if (err == WEIR_OK) *right = said[0] == found[0] && said[1] == found[1];
    return err;
}

/* Looks while others write, as one moment has it. */
static bool total_is_right(struct cache *c)
{
    bool right = true;
    struct reader *r = cache_take_reader(c);
    if (!r) return true;
    if (db_begin_read(r->side.db) == WEIR_OK) compare(r->side.db, &right);
    db_rollback(r->side.db);
    cache_give_reader(c, r);
    return right;
}

static enum weir_err set_total(struct db *db)
{
    enum weir_err err = db_begin(db);
    if (err == WEIR_OK) err = stmt_run(db_stmt(db, SQL_CACHE_SET_TOTAL));
    return err == WEIR_OK ? db_commit(db) : err;
}

static void correct_total(struct cache *c)
{
    c->counted = clock_mono_ms();
    if (total_is_right(c)) return;
    log_event(LOG_WARN, "cache_total_corrected", LOG_TEXT("file", c->path));
    pthread_mutex_lock(&c->writing);
    struct db *db = cache_writer(c);
    if (db) cache_wrote(c, db, set_total(db));
    pthread_mutex_unlock(&c->writing);
}

/* ---- hits ---- */

/* What finds no place is forgotten: hits are for choosing who leaves, and for show. */
void cache_count(struct cache *c, int64_t id, int64_t now_ms)
{
    pthread_mutex_lock(&c->lock);
    for (uint64_t i = 0; i < PROBES; i++) {
        struct hit *h = &c->hits[((uint64_t)id + i) % CACHE_HITS];
        if (h->count && h->id != id) continue;
        *h = (struct hit){id, now_ms, h->count + 1};
        break;
    }
    pthread_mutex_unlock(&c->lock);
}

static int take_hits(struct cache *c, struct hit hits[STEP_HITS])
{
    int count = 0;
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < CACHE_HITS && count < STEP_HITS; i++) {
        if (!c->hits[i].count) continue;
        hits[count++] = c->hits[i];
        c->hits[i].count = 0;
    }
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

/* ---- steps ---- */

struct tending { int64_t now_ms, most_bytes; struct hit hits[STEP_HITS]; int hit_count; };

/* *more: those are not all. */
static enum weir_err drop_gone(struct db *db, int64_t now_ms, bool *more)
{
    int64_t one = 0, freed = 0;
    enum weir_err err = WEIR_OK;
    for (int i = 0; i < STEP_ROWS && freed < STEP_BYTES && one >= 0 && err == WEIR_OK; i++) {
        struct stmt *s = db_stmt(db, SQL_CACHE_DROP_GONE);
        stmt_int(s, 1, now_ms);
        err = drop_one(s, &one);
        freed += one;
    }
    *more = one >= 0;
    return err;
}

/* One short transaction; *more: there is more to do. */
static enum weir_err write_step(struct cache *c, struct db *db, const struct tending *t, bool *more)
{
    bool fits = true, more_gone = false;
    int dropped = 0;
    enum weir_err err = db_begin(db);
    if (err == WEIR_OK) err = write_hits(db, t->hits, t->hit_count);
    if (err == WEIR_OK) err = drop_gone(db, t->now_ms, &more_gone);
    if (err == WEIR_OK) err = cache_make_room(db, t->most_bytes, &fits, &dropped);
    if (err == WEIR_OK) err = db_commit(db);
    c->in_doubt = err == WEIR_OK && !fits && !dropped;
    *more = err == WEIR_OK && (t->hit_count == STEP_HITS || more_gone || !fits);
    return err;
}

static bool take_step(struct cache *c, const struct tending *t)
{
    bool more = false;
    pthread_mutex_lock(&c->writing);
    struct db *db = cache_writer(c);
    if (db) cache_wrote(c, db, write_step(c, db, t, &more));
    pthread_mutex_unlock(&c->writing);
    return more;
}

/* Others have as long as the step took, for a lock that is taken again at once is nobody else's. */
static void pause_after(int64_t begun)
{
    int64_t ms = clock_mono_ms() - begun + 1;
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

bool cache_tend(struct cache *c, int64_t now_ms, int64_t most_bytes)
{
    struct tending t = {.now_ms = now_ms, .most_bytes = most_bytes - most_bytes / SPARE};
    int64_t begun = clock_mono_ms(), step = begun;
    bool more = true;
    if (access(c->path, F_OK) != 0) return false; /* nothing was ever kept */
    if (!c->counted || begun - c->counted >= COUNT_MS) c->in_doubt = true;
    for (; more && step - begun < TEND_MS; step = clock_mono_ms()) {
        if (c->in_doubt) correct_total(c);
        t.hit_count = take_hits(c, t.hits);
        more = take_step(c, &t);
        if (more) pause_after(step);
    }
    return more;
}

void cache_write_hits(struct cache *c)
{
    struct tending t = {.now_ms = 0, .most_bytes = INT64_MAX};
    while ((t.hit_count = take_hits(c, t.hits)) > 0 && access(c->path, F_OK) == 0)
        if (!take_step(c, &t)) break;
}
