/* The schema's history, embedded in the programs by the build. */
#ifndef WEIR_SQL_MIGRATIONS_H
#define WEIR_SQL_MIGRATIONS_H

struct migration { int number; const char *name, *text; };
/* In order; they end with number 0. */
extern const struct migration migrations[];       /* weir.db's, sql/schema */
extern const struct migration cache_migrations[]; /* cache.db's, sql/cache_schema */

#endif
