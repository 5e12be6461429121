/* What of the master key outlives its rotation, and which file the key lies in.
 * Before the first rotation the vault is empty and every key is the file's own. A rotation writes the new key beside the
 * file, as FILE.new, commits the database sealed anew, and renames. Whoever comes in between, or after one that was cut
 * short, is told by the vault which of the two files opens it. */
#ifndef WEIR_SQL_VAULT_H
#define WEIR_SQL_VAULT_H

#include "fcgi/base/secret.h"
#include "sql/admin_changes.h"
#include "sql/db.h"

#define VAULT_NEW ".new" /* behind the file's name, while a rotation lasts */

/* Loads the master key that opens this database, from path or from path.new. As master_key_load, of path; and
 * WEIR_OTHER_KEY: neither file's key is the one. */
enum weir_err vault_open(struct db *db, const char *path, struct master_key **out);

/* Is m the key that this database is sealed under? WEIR_OTHER_KEY: no. An empty vault says yes. Whoever seals something
 * asks, in the transaction that writes it. */
enum weir_err vault_check(struct db *db, const struct master_key *m);

/* The same, but after a rotation m, which threads may be using, becomes the new key. */
enum weir_err vault_renew(struct db *db, const char *path, struct master_key *m);

/* Brings a rotation that was cut short to its end: the file that opens the vault gets its name, one that does not goes.
 * Takes the writers' lock if there is something to do. WEIR_IO: the file cannot be renamed (errno), which hurts nobody. */
enum weir_err vault_heal(struct db *db, const char *data_dir, const char *path);

/* Content that the current key does not open: with the keys of before. Administrators' only. */
enum weir_err vault_open_earlier(struct db *db, const struct master_key *m, struct span sealed, const char *bound_to,
                                 struct secret **out);
/* Drops keys of before that no content needs any more. */
enum weir_err vault_forget(struct db *db, int64_t now_ms);

/* Administrators' only (vault_rotate.c). A new master key: everything sealed is sealed anew in one transaction, while
 * others go on. Client keys stay what they are; content is not written again. On the disk when it returns WEIR_OK.
 * record: of who does it; its time is the rotation's.
 * WEIR_CORRUPT: *what (at least VAULT_WHAT bytes) names what does not open under the present key; nothing was changed
 * then, nor after any other error but WEIR_IO, where *what names the file: empty, if all is done but the renaming. */
#define VAULT_WHAT 200
enum weir_err vault_rotate(struct db *db, const char *data_dir, const char *path, const struct admin_change *record,
                           int *resealed, char what[VAULT_WHAT]);

struct vault_state { bool rotated, unfinished; int64_t earlier; };
enum weir_err vault_look(struct db *db, const char *path, struct vault_state *out); /* for `weir doctor` */

#endif
