/* What a process counts in memory of each provider's targets and keys, and of aliases, found by name. Not locked. */
#ifndef WEIR_SQL_TALLY_H
#define WEIR_SQL_TALLY_H

#include <stddef.h>
#include "sql/health.h"

struct tally {
    enum health_kind kind;
    int64_t requests, failed, latency_sum, latencies; /* since the last flush */
    int64_t latency_ms; /* -1: unknown */
    int64_t in_flight;
    int64_t spare_until; /* clock_mono_ms */
    uint64_t turn;       /* 0: none yet */
    char *name;          /* behind the provider's, in the same memory */
    char provider[];
};

/* Zeros are an empty one. Walk through slots[0 .. size - 1]; NULL: free. */
struct tallies { struct tally **slots; size_t size, count; };

/* It is made where there is none; it stays where it is until the next is made. With BOUND_TALLIES of them, those that nobody
 * would miss (nothing to flush, in flight or spared) make room. NULL: memory is out, or all of these are in use. */
struct tally *tallies_find(struct tallies *all, enum health_kind kind, const char *provider, const char *name);
void tallies_end(struct tallies *all);

#endif
