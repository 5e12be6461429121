/* Preloaded into a responder, gives its database what SQLite does by itself: the connection that has committed runs the
 * checkpoint, at 1,000 pages. For the bench to stand beside Weir's checkpointer; no part of the product. */
#include <dlfcn.h>
#include <stdlib.h>
#include <sqlite3.h>

#define PAGES 1000 /* SQLite's default */

typedef int hook(void *arg, sqlite3 *db, const char *schema, int pages);
typedef void *set_hook(sqlite3 *db, hook *on_commit, void *arg);
struct wrapped { hook *on_commit; void *arg; };

void *sqlite3_wal_hook(sqlite3 *db, hook *on_commit, void *arg);

static int commit_then_checkpoint(void *arg, sqlite3 *db, const char *schema, int pages)
{
    const struct wrapped *w = arg;
    if (pages >= PAGES) sqlite3_wal_checkpoint_v2(db, schema, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return w->on_commit(w->arg, db, schema, pages);
}

void *sqlite3_wal_hook(sqlite3 *db, hook *on_commit, void *arg)
{
    set_hook *real = (set_hook *)dlsym(RTLD_NEXT, "sqlite3_wal_hook");
    struct wrapped *w = malloc(sizeof *w); /* one a connection, as long as the process */
    if (!real || !w) abort();
    *w = (struct wrapped){on_commit, arg};
    return real(db, commit_then_checkpoint, w);
}
