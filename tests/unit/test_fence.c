/* The fence, each time in a child that gives itself up to it. */
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <cmocka.h>
#include "fcgi/base/fence.c"

struct places { char inside[40], outside[40]; };

static void places_open(struct places *p)
{
    *p = (struct places){"/tmp/weir-unit-XXXXXX", "/tmp/weir-unit-XXXXXX"};
    assert_non_null(mkdtemp(p->inside));
    assert_non_null(mkdtemp(p->outside));
}

static int touch(const char *directory, const char *name)
{
    char path[80];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) close(fd);
    return fd < 0 ? errno : 0;
}

static int look(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) close(fd);
    return fd < 0 ? errno : 0;
}

/* 0, or the number of the first thing that is not as it should be; 77: no Landlock here. */
static int behind_the_fence(const struct places *p)
{
    char secret[80], made[80];
    snprintf(secret, sizeof secret, "%s/secret", p->outside);
    snprintf(made, sizeof made, "%s/made", p->inside);
    struct addrinfo *found = NULL;
    const char *const writable[] = {p->inside, NULL}, *const readable[] = {"/not/there", "", NULL};
    if (touch(p->outside, "secret") != 0) return 1;
    enum weir_err err = fence_raise(writable, readable);
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) return 2;
    if (err == WEIR_UNAVAILABLE) return 77;
    if (err != WEIR_OK) return 3;
    if (touch(p->inside, "made") != 0 || look(made) != 0 || mkdir(p->inside, 0700) == 0) return 4;
    if (unlink(made) != 0) return 5;
    if (touch(p->outside, "other") != EACCES || look(secret) != EACCES || unlink(secret) == 0) return 6;
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= ABI_TRUNCATE &&
        (truncate(secret, 0) == 0 || touch(p->inside, "made") != 0 || truncate(made, 0) != 0 || unlink(made) != 0)) return 10;
    if (touch("/etc", "weir-was-here") == 0) return 7;
    if (look("/etc/passwd") != 0 || getaddrinfo("localhost", NULL, NULL, &found) != 0) return 8;
    freeaddrinfo(found);
    execl("/bin/true", "true", (char *)NULL);
    return errno == EACCES ? 0 : 9;
}

static void little_is_left_behind_the_fence(void **state)
{
    struct places p;
    int status = -1;
    char command[160];
    (void)state;
    places_open(&p);
    pid_t child = fork();
    if (child == 0) _exit(behind_the_fence(&p));
    assert_int_equal(waitpid(child, &status, 0), child);
    snprintf(command, sizeof command, "rm -r %s %s", p.inside, p.outside);
    assert_int_equal(system(command), 0);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(little_is_left_behind_the_fence)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
