/* SQLite on a disk that fails when told: writes answer with a code of ours. Include after sql/db.c. */
#ifndef WEIR_TESTS_FAULT_VFS_H
#define WEIR_TESTS_FAULT_VFS_H

#include <stdatomic.h>

static atomic_int fault_code; /* what writes answer; SQLITE_OK: they work */
static sqlite3_vfs fault_vfs;
static struct fault_kind { const sqlite3_io_methods *real; sqlite3_io_methods ours; } fault_main, fault_log;

/* The unix VFS has one function for each, whatever the kind of file. */
static int fault_write(sqlite3_file *f, const void *at, int n, sqlite3_int64 offset)
{
    int code = atomic_load(&fault_code);
    return code != SQLITE_OK ? code : fault_main.real->xWrite(f, at, n, offset);
}

static int fault_sync(sqlite3_file *f, int flags)
{
    int code = atomic_load(&fault_code);
    return code != SQLITE_OK ? code : fault_main.real->xSync(f, flags);
}

static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    sqlite3_vfs *real = sqlite3_vfs_find("unix");
    (void)vfs;
    int rc = real->xOpen(real, name, f, flags, out);
    if (rc == SQLITE_OK && f->pMethods == fault_main.real) f->pMethods = &fault_main.ours;
    else if (rc == SQLITE_OK && f->pMethods == fault_log.real) f->pMethods = &fault_log.ours;
    return rc;
}

static void fault_learn(sqlite3 *at, int which, struct fault_kind *kind)
{
    sqlite3_file *f = NULL;
    assert_int_equal(sqlite3_file_control(at, "main", which, &f), SQLITE_OK);
    kind->real = f->pMethods;
    kind->ours = *kind->real;
    kind->ours.xWrite = fault_write;
    kind->ours.xSync = fault_sync;
}

/* any_database: one in WAL mode, to learn the methods of its two kinds of files from. */
static void fault_start(const char *any_database)
{
    sqlite3 *at;
    assert_int_equal(sqlite3_open_v2(any_database, &at, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
    assert_int_equal(sqlite3_exec(at, "SELECT * FROM config_version", NULL, NULL, NULL), SQLITE_OK);
    fault_learn(at, SQLITE_FCNTL_FILE_POINTER, &fault_main);
    fault_learn(at, SQLITE_FCNTL_JOURNAL_POINTER, &fault_log);
    sqlite3_close(at);
    fault_vfs = *sqlite3_vfs_find("unix");
    fault_vfs.zName = "fault";
    fault_vfs.xOpen = fault_open;
    sqlite3_vfs_register(&fault_vfs, 1);
}

static void fault_end(void) { sqlite3_vfs_unregister(&fault_vfs); }

#endif
