/* The part of `weir tick` that looks after upstreams. */
#ifndef WEIR_ADMIN_TICK_PROBE_H
#define WEIR_ADMIN_TICK_PROBE_H

#include "admin/command.h"

/* Probes what is due, unless a process that stays does it, for at most some 20 s. *probed, *alive: how many. */
enum weir_err tick_probe(struct weir *w, struct db *db, int64_t *probed, int64_t *alive);

#endif
