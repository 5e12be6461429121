/* Whose files a data directory has: the user who made it may use them, another is told which he may not. */
#include "fcgi/base/usable.c"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>

static char directory[] = "/tmp/weir-unit-usable-XXXXXX", file[64];

static void touch(mode_t mode)
{
    int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

/* As a user who is not root, to whom nothing is forbidden. 1: says which file and whose, behind what failed; 0: only that. */
static int said(const char *want)
{
    pid_t child = fork();
    if (child == 0) {
        char say[4300];
        if (geteuid() == 0 && setuid(65534) != 0) _exit(2);
        usable_reason(directory, "It failed.", say, sizeof say);
        _exit(strcmp(say, "It failed.") == 0 ? 0 : strncmp(say, "It failed. ", 11) != 0 ? 3 : strstr(say, want) ? 1 : 4);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WEXITSTATUS(status);
}

static void a_file_of_another_user_is_named(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(file, sizeof file, "%s/weir.db", directory);
    assert_int_equal(chmod(directory, 0777), 0);
    touch(0666);
    assert_int_equal(said(""), 0);
    touch(0444);
    assert_int_equal(said("weir.db belongs to user "), 1);
    assert_int_equal(said("may not write it"), 1);
    touch(0);
    assert_int_equal(said("may not read it"), 1);
    assert_int_equal(chmod(directory, 0555), 0);
    assert_int_equal(said("may not make files in it"), 1);
    assert_int_equal(chmod(directory, 0700), 0);
    unlink(file);
    rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_file_of_another_user_is_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
