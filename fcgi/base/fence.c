/* The fence: Landlock rules (landlock(7)) and the process flags that go with them. */
#include "fcgi/base/fence.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define READ_FILES (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE_FILES (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG)
#define OTHERS (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_CHAR | \
                LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | \
                LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)
#define OF_A_FILE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE /* later than some distributions' headers */
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#define ABI_TRUNCATE 3 /* Linux 6.2; before, truncate(2) is not ruled */

/* Where the C library, its name services and OpenSSL look: resolv.conf, nsswitch.conf and its modules, certificates. */
static const char *const system_places[] = {
    "/etc", "/usr", "/lib", "/lib64", "/run", "/proc", "/sys", "/dev", "/var/lib/sss", "/var/lib/ca-certificates", NULL,
};

/* A place that is not there is nobody's: 0. */
static int allow(int rules, const char *path, uint64_t access)
{
    struct stat st;
    if (!*path) return 0;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -1;
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode)) access &= OF_A_FILE | LANDLOCK_ACCESS_FS_TRUNCATE;
    struct landlock_path_beneath_attr beneath = {.allowed_access = access, .parent_fd = fd};
    int rc = (int)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
    int why = errno;
    close(fd);
    errno = why;
    return rc;
}

static int allow_all(int rules, const char *const *paths, uint64_t access)
{
    for (; paths && *paths; paths++)
        if (allow(rules, *paths, access) != 0) return -1;
    return 0;
}

static enum weir_err raise_landlock(const char *const *writable, const char *const *readable)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    uint64_t truncate = abi >= ABI_TRUNCATE ? LANDLOCK_ACCESS_FS_TRUNCATE : 0;
    struct landlock_ruleset_attr attr = {.handled_access_fs = READ_FILES | WRITE_FILES | OTHERS | truncate};
    int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (rules < 0) return errno == ENOSYS || errno == EOPNOTSUPP ? WEIR_UNAVAILABLE : WEIR_IO;
    int rc = allow_all(rules, writable, READ_FILES | WRITE_FILES | LANDLOCK_ACCESS_FS_MAKE_DIR | truncate);
    if (rc == 0) rc = allow_all(rules, readable, READ_FILES);
    if (rc == 0) rc = allow_all(rules, system_places, READ_FILES);
    if (rc == 0) rc = allow(rules, "/dev/null", OF_A_FILE | truncate);
    if (rc == 0) rc = (int)syscall(SYS_landlock_restrict_self, rules, 0);
    int why = errno;
    close(rules);
    errno = why;
    return rc == 0 ? WEIR_OK : WEIR_IO;
}

enum weir_err fence_raise(const char *const *writable, const char *const *readable)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* a core would hold keys and prompts */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return WEIR_UNAVAILABLE;
    return raise_landlock(writable, readable);
}
