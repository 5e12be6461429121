/* What this version stores but does not act on yet: the one honest list. It grows shorter with each version. */
#ifndef WEIR_ADMIN_IN_FORCE_H
#define WEIR_ADMIN_IN_FORCE_H

#include "admin/document.h"
#include "admin/names.h"

struct pending { struct names seen; struct buf text; }; /* text: "setting durability"; zeroed by pending_init */

void pending_init(struct pending *p);
void pending_free(struct pending *p);
/* Notes the setting if it is not in force. */
void pending_setting(struct pending *p, const struct setting_def *d);
/* One line on stderr, if anything was noted. */
void pending_say(struct pending *p);

#endif
