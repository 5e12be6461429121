/* What the cache's own files share: the file and its connections (cache_file.c), and what one process knows of it. */
#ifndef WEIR_SQL_CACHE_ROOM_H
#define WEIR_SQL_CACHE_ROOM_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>
#include "sql/cache.h"
#include "sql/checkpointer.h"
#include "sql/db.h"

#define CACHE_READERS 8
#define CACHE_HITS    1024 /* entries whose hits are counted between two writings */

/* A connection; db NULL until its first use, and after trouble. log_file: the inode of its log; 0: it had none yet. */
struct side { struct db *db; int64_t checked, shunned_until; ino_t log_file; };
struct reader { struct side side; struct reader *next; };
struct hit { int64_t id, time, count; };                        /* count 0: the place is free */

struct cache {
    char *path, *log, *index; /* the file, and SQLite's two beside it */
    char *guard;              /* the lock file of those who make it or throw it away */
    struct checkpointer *checkpointer;
    pthread_mutex_t writing;  /* the writing side */
    struct side side;
    int64_t quiet_until;      /* nothing is written before */
    atomic_bool damaged;      /* a reader has found it so: whoever writes next throws the file away */
    bool in_doubt;            /* the total may be wrong */
    int64_t counted;          /* when it was last held against the entries; the tender's */
    pthread_mutex_t lock;     /* the rest; never held while the file is asked */
    pthread_cond_t given;     /* a reader is idle again */
    struct reader readers[CACHE_READERS], *idle;
    struct hit hits[CACHE_HITS];
};

/* ---- the file: cache_file.c ---- */

/* With the writing lock: the connection that writes, NULL where there is none just now; and what it came to, after each
 * transaction: commits are checkpointed beside, failures rolled back. What is damaged goes, what is full rests. */
struct db *cache_writer(struct cache *c);
void cache_wrote(struct cache *c, struct db *db, enum weir_err err);
/* Takes a reader, whose side is open. NULL: there is no file yet, or a great many ask. */
struct reader *cache_take_reader(struct cache *c);
void cache_give_reader(struct cache *c, struct reader *r);
void side_shut(struct side *s);
/* A reader's connection has failed. */
void cache_read_badly(struct cache *c, struct side *s, enum weir_err err);
/* With the writing lock. False: another process is at it for too long. */
bool cache_throw_away(struct cache *c);

/* ---- letting go: cache_tend.c ---- */

/* In a transaction: the least recently used leave until no more than most_bytes are left, but few at a time. *fits: it is
 * so. *dropped: how many; none although it does not fit: the total is wrong. */
enum weir_err cache_make_room(struct db *db, int64_t most_bytes, bool *fits, int *dropped);
/* What the row `total` says. */
enum weir_err cache_total(struct db *db, int64_t *entries, int64_t *bytes);
/* A hit, to be written later. */
void cache_count(struct cache *c, int64_t id, int64_t now_ms);
/* Writes the hits that are not written yet. */
void cache_write_hits(struct cache *c);

#endif
