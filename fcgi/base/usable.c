/* Whose files these are. Links are followed, for what they lead to is what is opened. */
#include "fcgi/base/usable.h"

#include <dirent.h>
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

bool usable_fault(const char *directory, char *say, size_t size)
{
    char path[4096];
    struct dirent *entry;
    *say = '\0';
    if (tell(directory, true, say, size)) return true;
    DIR *all = opendir(directory);
    if (!all) return false;
    bool found = false;
    while (!found && (entry = readdir(all))) {
        struct stat st;
        int n = snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (entry->d_name[0] == '.' || n >= (int)sizeof path || stat(path, &st) != 0) continue;
        found = tell(path, S_ISDIR(st.st_mode), say, size);
    }
    closedir(all);
    return found;
}
