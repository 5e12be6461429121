/* Administrators who log in with a password, their sessions, and what failed log-ins cost the next one. Sees hashes,
 * never a password or a cookie. Their statements stand only in admin.sql. */
#ifndef WEIR_SQL_ADMINISTRATORS_H
#define WEIR_SQL_ADMINISTRATORS_H

#include "sql/admin_keys.h"

struct administrator {
    int64_t id;
    const char *name;
    enum admin_role role;
    const char *password;   /* argon2id, in its own notation */
    bool must_change;       /* the password was given by somebody else */
    int64_t created, disabled, last_login; /* ms; 0: never */
    struct span code;       /* sealed secret of one-time codes, as administrator_code was given it; absent: none is asked */
};

/* Strings are the arena's. WEIR_NOT_FOUND. */
enum weir_err administrator_find(struct db *db, struct span name, struct arena *a, struct administrator *out);
/* All, in order of name; strings live during the call of row. */
enum weir_err administrators_each(struct db *db, void (*row)(const struct administrator *, void *), void *arg);
/* How many could log in and have the role admin. */
enum weir_err administrators_able(struct db *db, int64_t *count);

/* These run inside a struct change; the name is checked by the caller. WEIR_EXISTS: the name is taken. Whatever changes
 * who may do what ends that administrator's sessions. */
enum weir_err administrator_add(struct db *db, const struct administrator *a);
enum weir_err administrator_role(struct db *db, int64_t id, enum admin_role role);
enum weir_err administrator_password(struct db *db, int64_t id, const char *password, bool must_change);
/* code: the secret, sealed as ADMINISTRATOR_BINDING and the name; absent: no codes any more. step: that of the code which
 * showed that it is known. */
#define ADMINISTRATOR_BINDING "administrator/"
enum weir_err administrator_code(struct db *db, int64_t id, struct span code, int64_t step);
enum weir_err administrator_disable(struct db *db, int64_t id, int64_t now_ms); /* now_ms 0: may log in again */

/* ---- sessions: these need the writers' lock, but no change ---- */

#define SESSION_IDLE_MS (60 * 60 * 1000)
#define SESSION_MOST_MS (12 * 60 * 60 * 1000)
#define SESSION_SEEN_MS 60000 /* how exactly `seen` is kept */

struct admin_session { int64_t created, seen; struct administrator who; };

/* WEIR_NOT_FOUND: none, ended, too long idle, or its administrator may not log in any more. */
enum weir_err session_find(struct db *db, const struct client_hash *hash, int64_t now_ms, struct arena *a,
                           struct admin_session *out);
/* A new session; forgets those that have ended, and notes the log-in. */
enum weir_err session_add(struct db *db, const struct client_hash *hash, int64_t administrator, const char *ip,
                          int64_t now_ms);
enum weir_err session_seen(struct db *db, const struct client_hash *hash, int64_t now_ms);
enum weir_err session_end(struct db *db, const struct client_hash *hash);
enum weir_err sessions_end(struct db *db, int64_t administrator); /* all of one administrator's */
enum weir_err sessions_count(struct db *db, int64_t administrator, int64_t now_ms, int64_t *count);

/* A code of that step was given. WEIR_EXISTS: it, or a later one, was taken before. Needs the writers' lock, no change. */
enum weir_err administrator_code_taken(struct db *db, int64_t id, int64_t step);

/* ---- slow-down ---- */

/* How long a log-in of that name from that address has to wait, ms; 0: it may be tried. */
enum weir_err login_wait(struct db *db, const char *name, const char *ip, int64_t now_ms, struct arena *a, int64_t *wait_ms);
enum weir_err login_failed(struct db *db, const char *name, const char *ip, int64_t now_ms, struct arena *a);
/* Forgets what counted for this name from this address. */
enum weir_err login_succeeded(struct db *db, const char *name, const char *ip, struct arena *a);

#endif
