/* A provider by its name with its keys opened, as the commands need it that call one. */
#ifndef WEIR_ADMIN_PROVIDER_OPEN_H
#define WEIR_ADMIN_PROVIDER_OPEN_H

#include "admin/command.h"
#include "sql/routes.h"

struct opened { struct snapshot *snap; const struct provider_row *provider; };

/* Also starts what makes calls. False: it was said why. The database is closed again. */
bool provider_open(struct weir *w, const char *name, struct opened *out);
void provider_close(struct opened *o);

#endif
