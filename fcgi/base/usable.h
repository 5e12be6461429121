/* Whether the files of a data directory are this process's to use: the first mistake of an installation is to make them as
 * one user and to serve as another. */
#ifndef WEIR_BASE_USABLE_H
#define WEIR_BASE_USABLE_H

#include <stdbool.h>
#include <stddef.h>

/* Says which of them may not be read and written, and whose it is: "var/weir.db belongs to user 0, and user 33 may not write
 * it". False: all may be, or nothing can be said; *say is "" then. */
bool usable_fault(const char *directory, char *say, size_t size);

#endif
