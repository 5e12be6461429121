/* Whether the files of a data directory are this process's to use: the first mistake of an installation is to make them as
 * one user and to serve as another. */
#ifndef WEIR_BASE_USABLE_H
#define WEIR_BASE_USABLE_H

#include <stddef.h>
#include "fcgi/base/err.h"

/* Why a data directory cannot be opened, in a start's words: an error's own text is for who sent a request. */
const char *usable_fault(enum weir_err err);
/* What failed, and behind it the first of them that may not be read and written, for that may be why: "... var/weir.db
 * belongs to user 0, and user 33 may not write it". */
void usable_reason(const char *directory, const char *what, char *say, size_t size);

#endif
