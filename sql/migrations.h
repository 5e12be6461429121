/* The schema's history, embedded in the programs by the build. */
#ifndef WEIR_SQL_MIGRATIONS_H
#define WEIR_SQL_MIGRATIONS_H

struct migration { int number; const char *name, *text; };
extern const struct migration migrations[]; /* in order; ends with number 0 */

#endif
