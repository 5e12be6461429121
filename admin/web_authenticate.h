/* Who asks the administrators' responder: the credential, and the administrator's key it belongs to. */
#ifndef WEIR_ADMIN_WEB_AUTHENTICATE_H
#define WEIR_ADMIN_WEB_AUTHENTICATE_H

#include "admin/web.h"

/* Fills w->who. WEIR_UNAUTHENTICATED: no live administrator's key was given, one message for all; WEIR_ROLE_FORBIDDEN:
 * the role is below `least`; WEIR_INVALID: a credential given twice; others of the database. w->problem says it. */
enum weir_err web_authenticate(struct web_way *w, enum admin_role least);

/* After the answer: notes that the key was used, once a minute, in the writers' queue. */
void web_note_use(struct web_way *w);

#endif
