/* What a process gives up for good once it has opened what it needs, so that whoever breaks in finds little: programs
 * cannot be started, files be read or written only where the process has business. Nothing here stands in the way of the
 * resolver or of TLS. */
#ifndef WEIR_BASE_FENCE_H
#define WEIR_BASE_FENCE_H

#include "fcgi/base/err.h"

/* For the calling thread and all it starts: call it before any other thread runs. writable: directories whose files may
 * be read, made, written and removed; readable: directories or files beside the system's own; both NULL-terminated,
 * entries "" or not there are left out. No new privileges, no core dumps, nobody may attach.
 * WEIR_UNAVAILABLE: this kernel has no Landlock (before 5.13, or switched off); the rest is in force all the same.
 * WEIR_IO: a writable directory cannot be opened, or the kernel refused; errno says why. */
enum weir_err fence_raise(const char *const *writable, const char *const *readable);

#endif
