/* The gateway's view of the database in one process: readers, the snapshot, the cache of keys, the writer. */
#ifndef WEIR_SQL_STORE_H
#define WEIR_SQL_STORE_H

#include "sql/keys.h"
#include "sql/routes.h"
#include "sql/writer.h"

struct store;

/* Opens weir.db in data_dir (migrated before: db_migrate) and starts the writer. The master key is read from
 * master_path, and again after a rotation (vault.h). Fails with what failed; nothing stays open then. */
enum weir_err store_open(const char *data_dir, const char *master_path, struct store **out);
void store_close(struct store *s, int wait_ms); /* waits up to wait_ms for the writer to write what it has */

/* One look at configuration and keys for a request. While the stamp (stamp.h) says that nothing was changed, memory
 * answers, for a second at most; else config_version is read, and if it moved the snapshot is replaced and every key
 * read anew. A change by a program that does not go through change.h is so seen after a second. Then the key is found. hash
 * NULL: no key is wanted. *snap is held for the caller whenever the result is
 * WEIR_OK or WEIR_NOT_FOUND. *k and its strings are the arena's. Up to BOUND_READERS at a time, others wait. */
enum weir_err store_look(struct store *s, const struct client_hash *hash, struct arena *a,
                         struct snapshot **snap, struct key *k);
/* The same by memory alone, without asking the database. False: it has to be asked. */
bool store_recall(struct store *s, const struct client_hash *hash, struct arena *a, struct snapshot **snap, struct key *k);
/* Was that credential found lately, under whatever configuration? It says nothing about now. */
bool store_knew(struct store *s, const struct client_hash *hash);
/* Whoever presents that credential is *k for as long as the snapshot is the current one: a token that was verified. */
void store_remember(struct store *s, const struct client_hash *hash, const struct snapshot *snap, const struct key *k);
/* Notes, unless it stands there already, that a verifier's key set lacks a key that a token named; the housekeeper
 * fetches it again. Waits for nothing. */
void store_want_keys(struct store *s, const char *verifier, int64_t now_ms);
/* The key's last_used was written as now_ms (keys_touch): looks say so from now on, and need not ask for it again. */
void store_key_used(struct store *s, const struct client_hash *hash, int64_t now_ms);
/* Calls use(db, arg) with one of the readers, outside any transaction; returns what it returned, or why there is none. */
enum weir_err store_read(struct store *s, enum weir_err (*use)(struct db *db, void *arg), void *arg);
const struct master_key *store_master(const struct store *s); /* always the same one, renewed by rotations */
struct writer *store_writer(struct store *s);

#endif
