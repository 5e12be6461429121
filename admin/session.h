/* Log-ins of people: the cookie, the session it stands for, the token that every form carries against forgery. The cookie
 * is random and only its keyed hash is stored; a new one is made at each log-in, so none can be planted. */
#ifndef WEIR_ADMIN_SESSION_H
#define WEIR_ADMIN_SESSION_H

#include "admin/web.h"

/* Fills w->who from the cookie. WEIR_UNAUTHENTICATED: there is no living session; others of the database. */
enum weir_err session_enter(struct web_way *w);

/* Was this request sent by a page of ours? The token is the session's own, or before a log-in that of the cookie which the
 * log-in page set; a foreign Origin is refused in any case. WEIR_IDENTITY_FORBIDDEN: no; w->problem says it. */
enum weir_err session_check_csrf(struct web_way *w, const char *token);

/* Begins: a new cookie into w->head. Needs no change; takes the writers' lock. */
enum weir_err session_begin(struct web_way *w, const struct administrator *a);
/* Ends the present one, or all of this administrator's. */
enum weir_err session_leave(struct web_way *w, bool everywhere);
/* For the log-in page: the token its form carries; sets the cookie it belongs to if there is none. */
enum weir_err session_visitor(struct web_way *w, char csrf[48]);
/* Between password and one-time code: what says that this browser has given the administrator's password at that time, ms.
 * csrf: what its form carries. */
void session_half(const struct web_way *w, const char *csrf, int64_t administrator, int64_t time, char token[48]);
bool session_is_half(const struct web_way *w, int64_t administrator, int64_t time, const char *token);
/* After the answer: notes that the session was used, once a minute. */
void session_note_use(struct web_way *w);

#endif
