/* What vault.c and vault_rotate.c share: names of files, what sealed rows are bound to. */
#ifndef WEIR_SQL_VAULT_FILES_H
#define WEIR_SQL_VAULT_FILES_H

#include "sql/vault.h"

#define VAULT_PATH 4096
#define VAULT_HASH_BINDING "vault/hash"
#define VAULT_SEAL_BINDING 40

enum weir_err vault_new_path(const char *path, char out[VAULT_PATH]); /* WEIR_FULL: too long */
/* The directory of path is on the disk: what was made, renamed or removed in it. */
enum weir_err vault_sync_names(const char *path);
void vault_seal_binding(int64_t ended, char out[VAULT_SEAL_BINDING]);
/* vault_heal for whoever has the writers' lock. */
enum weir_err vault_settle_files(struct db *db, const char *path, const char *new_path);

#endif
