/* What the gateway may write, and what it may not read. Everything that only an administrator may do is missing here:
 * configuration, limits' amounts, keys. */
#include "sql/wall.h"

#include <stddef.h>
#include <string.h>

#define BIT(act) (1u << (act))
#define INSERT BIT(WALL_INSERT)
#define UPDATE BIT(WALL_UPDATE)
#define DELETE BIT(WALL_DELETE)

static const struct write { const char *table, *column; unsigned acts; } writes[] = {
    {"client_key", "last_used", UPDATE},
    {"key_set", NULL, INSERT | UPDATE},
    {"key_set_version", NULL, UPDATE},
    {"ledger_state", NULL, UPDATE},
    {"counter", NULL, INSERT | UPDATE | DELETE},
    {"slot", NULL, INSERT | UPDATE | DELETE},
    {"process", NULL, INSERT | DELETE},
    {"ticket", NULL, INSERT | UPDATE | DELETE},
    {"attempt", NULL, INSERT | UPDATE | DELETE},
    {"audit", NULL, INSERT | DELETE},
    {"rollup", NULL, INSERT | UPDATE},
    {"rollup_route", NULL, INSERT | UPDATE},
    {"content", NULL, INSERT | DELETE},
    {"health", NULL, INSERT | UPDATE},
    {"lease", NULL, INSERT | UPDATE},
    {"vault_seal", NULL, DELETE}, /* when no content is left that it opens */
};

/* column NULL: all of it. */
static const struct hidden { const char *table, *column; } hidden[] = {
    {"admin_key", NULL},
    {"administrator", NULL},
    {"admin_session", NULL},
    {"admin_change", NULL},
    {"login_failure", NULL},
    {"content", "prompt"},
    {"content", "answer"},
    {"vault_seal", "sealed"},
};

static bool is_hidden(const char *table, const char *column)
{
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (strcmp(hidden[i].table, table) == 0 && (!hidden[i].column || strcmp(hidden[i].column, column) == 0)) return true;
    return false;
}

bool wall_allows(enum wall_act act, const char *table, const char *column)
{
    if (act == WALL_READ) return !is_hidden(table, column);
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++) {
        const struct write *w = &writes[i];
        if (strcmp(w->table, table) != 0 || !(w->acts & BIT(act))) continue;
        if (!w->column || (act == WALL_UPDATE && strcmp(w->column, column) == 0)) return true;
    }
    return false;
}
