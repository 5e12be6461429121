/* cache.db as a file: made, opened, found to be gone or damaged, thrown away. Who makes it or throws it away holds a lock
 * over all processes: a log of one file beside another would be read as the other's. Nobody here waits for the disk, or
 * for longer than a request may. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "fcgi/base/clock.h"
#include "fcgi/base/log.h"
#include "sql/background.h"
#include "sql/cache_room.h"
#include "sql/migrations.h"

#define BUSY_MS   10   /* another process's write is waited for no longer */
#define GUARD_MS  20   /* nor is its making of the file */
#define CHECK_MS  1000 /* how often it is asked whether the file is still the one of that name */
#define RETRY_MS  5000 /* after trouble the file is left alone that long */
#define REST_MS   1000 /* and when its log has outgrown all measure, until that was checkpointed */
#define TAKE_MS   1000 /* for a reader; a miss costs more than that, and money */
#define PATH_MOST 4096

void side_shut(struct side *s)
{
    db_close(s->db);
    s->db = NULL;
}

/* ---- making and throwing away ---- */

/* -1: it cannot be had now. Closing it gives it back. */
static int take_guard(const struct cache *c)
{
    int64_t until = clock_mono_ms() + GUARD_MS;
    int fd = open(c->guard, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if ((errno == EWOULDBLOCK || errno == EINTR) && clock_mono_ms() < until) {
            nanosleep(&(struct timespec){0, 1000000}, NULL);
            continue;
        }
        close(fd);
        fd = -1;
    }
    return fd;
}

static void remove_files(const struct cache *c)
{
    unlink(c->path);
    unlink(c->log);
    unlink(c->index);
}

bool cache_throw_away(struct cache *c)
{
    int guard = take_guard(c);
    /* In the place of ours there may be another's already. */
    if (guard >= 0 && !(c->side.db && db_has_moved(c->side.db))) remove_files(c);
    side_shut(&c->side);
    if (guard >= 0) close(guard);
    return guard >= 0;
}

static int newest_schema(void)
{
    int newest = 0;
    for (const struct migration *m = cache_migrations; m->number; m++) newest = m->number;
    return newest;
}

/* All of it in the database's own file, none in its log. */
static enum weir_err write_new(const char *path)
{
    struct db *db = NULL;
    int pages, moved;
    enum weir_err err = db_open(path, DB_WRITE, BUSY_MS, NULL, &db);
    if (err == WEIR_OK) err = db_survive(db, DB_SURVIVES_NOTHING);
    for (const struct migration *m = cache_migrations; m->number && err == WEIR_OK; m++)
        err = db_apply(db, m->text, m->number);
    if (err == WEIR_OK) err = db_checkpoint(db, true, &pages, &moved);
    db_close(db);
    return err;
}

/* Under another name at first: what has the file's name is whole. */
static enum weir_err make(const struct cache *c)
{
    static const char *const kinds[] = {"", "-wal", "-shm"};
    char made[3][PATH_MOST];
    for (int i = 0; i < 3; i++) {
        if (snprintf(made[i], PATH_MOST, "%s.new%s", c->path, kinds[i]) >= PATH_MOST) return WEIR_STORAGE;
        unlink(made[i]);
    }
    enum weir_err err = write_new(made[0]);
    for (int i = 1; i < 3; i++) unlink(made[i]);
    if (err == WEIR_OK) remove_files(c); /* what is left of another */
    if (err == WEIR_OK && rename(made[0], c->path) != 0) err = WEIR_STORAGE;
    if (err != WEIR_OK) unlink(made[0]);
    return err;
}

/* A file of another version is not brought up: its entries have names that nobody asks for any more. */
static enum weir_err open_once(struct cache *c)
{
    struct side *s = &c->side;
    enum weir_err err = db_open(c->path, DB_WRITE, BUSY_MS, &sql_cache, &s->db);
    if (err == WEIR_OK) err = db_survive(s->db, DB_SURVIVES_NOTHING);
    int at = err == WEIR_OK ? db_schema(s->db) : 0;
    if (err == WEIR_OK && at != newest_schema()) err = at < 0 ? db_fault(s->db) : WEIR_CORRUPT;
    if (err != WEIR_OK) side_shut(s);
    return err;
}

static enum weir_err open_writer(struct cache *c)
{
    int guard = take_guard(c);
    if (guard < 0) return errno == EWOULDBLOCK ? WEIR_BUSY : WEIR_STORAGE;
    enum weir_err err = access(c->path, F_OK) == 0 ? open_once(c) : WEIR_NOT_FOUND;
    if (err == WEIR_CORRUPT) log_event(LOG_WARN, "cache_thrown_away", LOG_TEXT("file", c->path));
    if (err == WEIR_CORRUPT || err == WEIR_NOT_FOUND) {
        err = make(c);
        if (err == WEIR_OK) err = open_once(c);
    }
    close(guard);
    return err;
}

/* ---- writing ---- */

static ino_t log_now(const struct cache *c)
{
    struct stat st;
    return stat(c->log, &st) == 0 ? st.st_ino : 0;
}

/* Is the connection one to the files of those names? Asked of the file system once a second. */
static bool is_current(const struct cache *c, struct side *s, int64_t now)
{
    if (!s->db) return false;
    if (now - s->checked < CHECK_MS) return true;
    s->checked = now;
    if (!db_has_moved(s->db) && s->log_file == log_now(c)) return true;
    side_shut(s);
    return false;
}

struct db *cache_writer(struct cache *c)
{
    int64_t now = clock_mono_ms();
    if (now < c->quiet_until) return NULL;
    if (atomic_exchange(&c->damaged, false)) cache_throw_away(c);
    if (is_current(c, &c->side, now)) return c->side.db;
    enum weir_err err = open_writer(c);
    c->side.checked = now;
    c->side.log_file = log_now(c);
    if (err != WEIR_OK && err != WEIR_BUSY) c->quiet_until = now + RETRY_MS;
    return c->side.db;
}

void cache_wrote(struct cache *c, struct db *db, enum weir_err err)
{
    if (err == WEIR_OK) {
        checkpointer_saw(c->checkpointer, db);
        if (checkpointer_may_wait(db_wal_pages(db))) c->quiet_until = clock_mono_ms() + REST_MS;
        return;
    }
    db_rollback(db);
    if (err == WEIR_BUSY) return;
    log_event(LOG_WARN, "cache_trouble", LOG_TEXT("reason", db_message(db)));
    if (err == WEIR_CORRUPT) {
        cache_throw_away(c);
        return;
    }
    side_shut(&c->side);
    c->quiet_until = clock_mono_ms() + RETRY_MS;
}

/* ---- reading ---- */

void cache_read_badly(struct cache *c, struct side *s, enum weir_err err)
{
    side_shut(s);
    s->shunned_until = clock_mono_ms() + CHECK_MS;
    if (err == WEIR_CORRUPT) atomic_store(&c->damaged, true);
}

static bool open_side(struct cache *c, struct side *s)
{
    int64_t now = clock_mono_ms();
    if (is_current(c, s, now)) return true;
    if (now < s->shunned_until) return false;
    enum weir_err err = db_open(c->path, DB_READ, BUSY_MS, &sql_cache, &s->db);
    s->checked = now;
    if (err == WEIR_OK && db_schema(s->db) != newest_schema()) err = db_fault(s->db) == WEIR_BUSY ? WEIR_BUSY : WEIR_CORRUPT;
    s->log_file = log_now(c);
    if (err == WEIR_OK) return true;
    if (err == WEIR_NOT_FOUND || err == WEIR_BUSY) side_shut(s);
    else cache_read_badly(c, s, err);
    return false;
}

struct reader *cache_take_reader(struct cache *c)
{
    pthread_mutex_lock(&c->lock);
    for (int64_t until = clock_mono_ms() + TAKE_MS, left = TAKE_MS; !c->idle && left > 0; left = until - clock_mono_ms())
        background_wait(&c->given, &c->lock, left);
    struct reader *r = c->idle;
    if (r) c->idle = r->next;
    pthread_mutex_unlock(&c->lock);
    if (!r || open_side(c, &r->side)) return r;
    cache_give_reader(c, r);
    return NULL;
}

void cache_give_reader(struct cache *c, struct reader *r)
{
    pthread_mutex_lock(&c->lock);
    r->next = c->idle;
    c->idle = r;
    pthread_mutex_unlock(&c->lock);
    pthread_cond_signal(&c->given);
}
