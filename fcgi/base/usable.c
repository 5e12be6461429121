/* Whose files these are. Links are followed, for what they lead to is what is opened. */
#include "fcgi/base/usable.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static bool tell(const char *path, bool is_directory, char *say, size_t size)
{
    struct stat st;
    int wanted = R_OK | W_OK | (is_directory ? X_OK : 0);
    if (access(path, wanted) == 0 || stat(path, &st) != 0) return false;
    snprintf(say, size, "%s belongs to user %u, and user %u may not %s it", path, (unsigned)st.st_uid, (unsigned)geteuid(),
             is_directory ? "make files in" : access(path, R_OK) == 0 ? "write" : "read");
    return true;
}

const char *usable_fault(enum weir_err err)
{
    switch (err) {
    case WEIR_CORRUPT: return "The database is damaged.";
    case WEIR_BUSY: return "The database is busy.";
    case WEIR_NOMEM: return "Memory is out.";
    default: return "The data directory cannot be used.";
    }
}

void usable_reason(const char *directory, const char *what, char *say, size_t size)
{
    char path[4096];
    struct dirent *entry;
    int n = snprintf(say, size, "%s ", what);
    size_t said = n < (int)size ? (size_t)n : size - 1;
    bool found = tell(directory, true, say + said, size - said);
    DIR *all = found ? NULL : opendir(directory);
    while (all && !found && (entry = readdir(all))) {
        struct stat st;
        n = snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (entry->d_name[0] == '.' || n >= (int)sizeof path || stat(path, &st) != 0) continue;
        found = tell(path, S_ISDIR(st.st_mode), say + said, size - said);
    }
    if (all) closedir(all);
    if (!found) snprintf(say, size, "%s", what);
}
