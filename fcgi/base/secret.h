/* Secrets: a type that cannot be printed, the master key, hashing of client keys, sealing of provider keys.
 * libsodium lives behind this door. Nothing here logs. */
#ifndef WEIR_BASE_SECRET_H
#define WEIR_BASE_SECRET_H

#include <stdbool.h>
#include <stdint.h>
#include "fcgi/base/buf.h"
#include "fcgi/base/err.h"
#include "fcgi/base/span.h"

struct secret; /* opaque; wiped when freed */

#define SECRET_HASH_LEN 32
#define CLIENT_KEY_PREFIX "sk-weir-"

struct client_hash { unsigned char at[SECRET_HASH_LEN]; };

/* Call once before anything else here; WEIR_INTERNAL if libsodium cannot start. */
enum weir_err secret_start(void);

struct secret *secret_new(struct span bytes); /* copies; NULL when memory is out */
void secret_free(struct secret *s);           /* NULL is fine */
/* The bytes, NUL-terminated. Only a door that hands them to a provider, and the sealing below, may ask. */
struct span secret_reveal(const struct secret *s);

/* Does text quote the secret? For what others say to us, before it is told on. NULL: no. */
bool secret_is_quoted(const struct secret *s, struct span text);

/* The master key: 32 random bytes in a file of mode 0600.
 * make: creates it (O_EXCL; WEIR_EXISTS if there). load: WEIR_NOT_FOUND, WEIR_CORRUPT (wrong size),
 * WEIR_INVALID (group or others may read it), WEIR_IO. */
struct master_key;
enum weir_err master_key_make(const char *path);
enum weir_err master_key_load(const char *path, struct master_key **out);
void master_key_free(struct master_key *m);

/* What of a master key outlives its rotation (sql/vault.h): the key that client keys are hashed with, for ever; the key
 * that things were sealed with, as long as one is left that is not sealed anew.
 * keep: one of m's keys, sealed under another master key. take: into m, which nobody else knows of yet, what keep sealed
 * and secret_open opened; WEIR_CORRUPT if it is no such key. renew: m, whoever uses it, seals and opens from now on as
 * fresh does; WEIR_OTHER_KEY if they hash differently. */
enum master_part { MASTER_HASH, MASTER_SEAL };
enum weir_err master_key_keep(const struct master_key *m, enum master_part which, const struct master_key *under,
                              const char *bound_to, struct buf *sealed);
struct master_key *master_key_blank(void); /* to take something into; NULL when memory is out */
enum weir_err master_key_take(struct master_key *m, enum master_part which, const struct secret *kept);
enum weir_err master_key_renew(struct master_key *m, const struct master_key *fresh);

/* Keyed BLAKE2b of a client key's full text: what the database stores and looks up by. */
void secret_client_hash(const struct master_key *m, struct span presented, struct client_hash *out);
bool secret_hash_equal(const struct client_hash *a, const struct client_hash *b); /* constant time */
/* A new client key: CLIENT_KEY_PREFIX and 43 characters of base64url (256 random bits), NUL-terminated. */
#define CLIENT_KEY_LEN (8 + 43)
void secret_client_key(char out[CLIENT_KEY_LEN + 1]);

/* XChaCha20-Poly1305 under the master key; `bound_to` (the row's identity, "provider_key/openai/k1") is
 * authenticated with it, so a sealed value copied to another row does not open. */
enum weir_err secret_seal(const struct master_key *m, struct span plain, const char *bound_to, struct buf *sealed);
enum weir_err secret_open(const struct master_key *m, struct span sealed, const char *bound_to, struct secret **out);

/* BLAKE2b-256 without a key, for names that are no secrets. */
struct digest { unsigned char at[32]; };
struct digest digest_of(struct span bytes);

/* Passwords of people: argon2id (RFC 9106), 32 MiB and 3 passes each; one at a time in a process, so a small host
 * survives many log-ins at once. WEIR_NOMEM. */
#define PASSWORD_HASH_LEN 128
enum weir_err password_hash(struct span password, char out[PASSWORD_HASH_LEN]);
/* hash NULL: takes as long and says no. */
bool password_fits(const char *hash, struct span password);
/* A password to be given away once: 24 characters, 100 random bits, easy to type. */
#define PASSWORD_MADE_LEN 24
void password_make(char out[PASSWORD_MADE_LEN + 1]);

void secret_random(void *out, size_t n);
void secret_wipe(void *at, size_t n);
/* The variable is empty from now on, also in what /proc/PID/environ shows of this process. */
void secret_wipe_env(const char *name);

#endif
