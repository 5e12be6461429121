/* Client keys: who a presented key is. Found by the keyed hash of the whole secret, never by a prefix. */
#ifndef WEIR_SQL_KEYS_H
#define WEIR_SQL_KEYS_H

#include "fcgi/base/secret.h"
#include "sql/db.h"

#define ANONYMOUS "anonymous" /* the user that callers without a credential are, where they are let in */

/* What a key can be bound to; reading models and one's own usage is always allowed. */
#define KEY_ENDPOINTS "/v1/chat/completions|/v1/completions|/v1/embeddings|/v1/responses|/v1/messages"

/* Strings are the arena's; NULL where absent. Who comes in by a token, or as nobody, is such a key too: without id and
 * name. */
struct key {
    int64_t id;
    const char *name, *user, *team, *role, *rolegroup;
    const char *models;   /* JSON array of aliases, NULL: all */
    const char *allow_ip; /* JSON array of ranges, NULL: all */
    const char *endpoints;/* JSON array of paths, some of KEY_ENDPOINTS; NULL: all */
    bool may_assert;
    int64_t created, expires, revoked, last_used; /* ms; 0: never */
    int64_t secret_expires;                       /* of the presented secret; 0: with the key */
};

/* WEIR_NOT_FOUND: no key has that secret. Revoked and expired ones are found: the caller judges (key_is_live). */
enum weir_err keys_find(struct db *db, const struct client_hash *hash, struct arena *a, struct key *out);
bool key_is_live(const struct key *k, int64_t now_ms);
/* May this key use the alias / be used from this address / at this endpoint? Absent lists allow all. */
bool key_allows_model(const struct key *k, struct span alias);
bool key_allows_endpoint(const struct key *k, struct span path);
bool key_allows_ip(const struct key *k, struct span ip);
/* Sets last_used if it is older than now_ms - 60000. In the audit row's transaction. */
enum weir_err keys_touch(struct db *db, int64_t id, int64_t now_ms);

/* Administrators' only. Names, ranges and so on are checked by the caller. */
/* WEIR_EXISTS: name, or secret of another key */
enum weir_err keys_add(struct db *db, const struct key *k, const struct client_hash *hash, int64_t *id);
/* all fields but name, created, revoked, last_used; by k->id */
enum weir_err keys_update(struct db *db, const struct key *k);
enum weir_err keys_by_name(struct db *db, struct span name, struct arena *a, struct key *out);
/* for listings, by pages */
enum weir_err keys_by_id_after(struct db *db, int64_t after_id, int most, struct arena *a, struct key *out, int *count);
/* By name behind `after`, `most` at a time: those whose name begins with, or whose user or team is, `text` (NULL: all). */
enum keys_by { KEYS_BY_NAME, KEYS_BY_USER, KEYS_BY_TEAM };
enum weir_err keys_search(struct db *db, enum keys_by by, const char *text, const char *after, int most, struct arena *a,
                          struct key *out, int *count);
/* Users behind `after`, with what keys they have; strings live during the call of row. team: of one of the keys. */
struct person { const char *user, *team; int64_t keys, live, last_used; };
enum weir_err keys_people(struct db *db, const char *after, int most, void (*row)(const struct person *, void *), void *arg);
enum weir_err keys_revoke(struct db *db, int64_t id, int64_t now_ms);
/* New secret; those there now end at old_until_ms (at once if it is not after now_ms). */
enum weir_err keys_rotate(struct db *db, int64_t id, const struct client_hash *hash, int64_t now_ms, int64_t old_until_ms);
/* Makes `hash` the key's only secret; nothing changes if it is already (idempotent apply). *changed may be NULL. */
enum weir_err keys_set_secret(struct db *db, int64_t id, const struct client_hash *hash, bool *changed);

#endif
