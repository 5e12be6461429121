/* `weir doctor`: looks for what goes wrong in the field. Each check tells one line; nothing is changed. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "admin/call.h"
#include "admin/doctor.h"
#include "admin/option.h"
#include "fcgi/base/clock.h"
#include "fcgi/door/http.h"
#include "sql/routes.h"
#include "sql/vault.h"

#define YEAR_2024_MS 1704067200000
#define SPACE_LEAST ((unsigned long long)32 << 20)
#define SPACE_WANTED ((unsigned long long)512 << 20)

static const struct column columns[] = {
    {"status", "STATUS", 0}, {"check", "CHECK", 0}, {"detail", "DETAIL", 0}, {NULL, NULL, 0}};

void doctor_tell(struct doctor *d, enum finding f, const char *what, const char *fmt, ...)
{
    static const char *const names[] = {[FINDING_OK] = "ok", [FINDING_WARN] = "warn", [FINDING_FAIL] = "FAIL"};
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (f == FINDING_FAIL) d->failed = true;
    if (d->json) {
        listing_text(&d->listing, span_of(names[f]));
        listing_text(&d->listing, span_of(what));
        listing_text(&d->listing, span_of(text));
        return;
    }
    printf("%-4s  %s  - %s\n", names[f], what, text);
    fflush(stdout); /* a check may take its time: what is known stands there already */
}

/* ---- files ---- */

static void check_mode(struct doctor *d, const char *what, const char *path, bool must_be)
{
    struct stat st;

    if (stat(path, &st) != 0) {
        if (must_be) doctor_tell(d, FINDING_FAIL, what, "%s: %s; `weir init` makes it", path, strerror(errno));
        return;
    }
    if (st.st_mode & 077)
        doctor_tell(d, FINDING_FAIL, what, "%s is open to group or others (%03o): run `chmod go= %s`", path,
                    st.st_mode & 0777, path);
    else if (st.st_uid != geteuid())
        doctor_tell(d, FINDING_WARN, what, "%s belongs to user %u, you are %u: the web server's user must own it", path,
                    (unsigned)st.st_uid, (unsigned)geteuid());
    else
        doctor_tell(d, FINDING_OK, what, "%s is its owner's alone (%03o)", path, st.st_mode & 0777);
}

static void check_files(struct doctor *d)
{
    char path[4200];

    check_mode(d, "data directory", d->w->data_dir, true);
    check_mode(d, "database file", d->w->db_path, true);
    snprintf(path, sizeof path, "%s-wal", d->w->db_path);
    check_mode(d, "database log", path, false);
    snprintf(path, sizeof path, "%s/cache.db", d->w->data_dir);
    check_mode(d, "answer cache", path, false);
}

static void check_file_system(struct doctor *d)
{
    static const struct { unsigned long type; const char *name; enum finding f; } network[] = {
        {0x6969, "NFS", FINDING_FAIL},
        {0x517b, "SMB", FINDING_FAIL},
        {0xff534d42, "CIFS", FINDING_FAIL},
        {0xfe534d42, "SMB2", FINDING_FAIL},
        {0x01021997, "9p", FINDING_FAIL},
        {0x5346414f, "AFS", FINDING_FAIL},
        {0x00c36400, "Ceph", FINDING_FAIL},
        {0x0bd00bd0, "Lustre", FINDING_FAIL},
        {0x786f4256, "a VirtualBox share", FINDING_FAIL},
        {0x65735546, "FUSE (sshfs and the like)", FINDING_WARN},
    };
    struct statfs fs;

    if (statfs(d->w->data_dir, &fs) != 0) return;
    for (size_t i = 0; i < sizeof network / sizeof *network; i++)
        if (((unsigned long)fs.f_type & 0xffffffff) == network[i].type) {
            doctor_tell(d, network[i].f, "file system",
                        "%s lies on %s: SQLite's locks and shared memory do not hold there; use a local disk",
                        d->w->data_dir, network[i].name);
            return;
        }
    doctor_tell(d, FINDING_OK, "file system", "%s lies on a local one (type 0x%lx)", d->w->data_dir,
                (unsigned long)fs.f_type & 0xffffffff);
}

static void check_space(struct doctor *d)
{
    struct statvfs v;
    unsigned long long room;

    if (statvfs(d->w->data_dir, &v) != 0) return;
    room = (unsigned long long)v.f_bavail * v.f_frsize;
    if (room < SPACE_LEAST)
        doctor_tell(d, FINDING_FAIL, "free space",
                    "%llu MB left: requests will be refused when the database cannot be written", room >> 20);
    else if (room < SPACE_WANTED) doctor_tell(d, FINDING_WARN, "free space", "%llu MB left: make room soon", room >> 20);
    else doctor_tell(d, FINDING_OK, "free space", "%llu MB left", room >> 20);
}

/* ---- master key and database ---- */

static bool check_master(struct doctor *d, struct db *db, struct master_key **out)
{
    enum weir_err err = vault_open(db, d->w->master_path, out);
    const char *path = d->w->master_path;

    switch (err) {
    case WEIR_OK:        doctor_tell(d, FINDING_OK, "master key", "%s is there, and its owner's alone", path); break;
    case WEIR_NOT_FOUND:
        doctor_tell(d, FINDING_FAIL, "master key",
                    "%s is missing: put the old one back; a new one (`weir init`) opens no stored key", path);
        break;
    case WEIR_INVALID:
        doctor_tell(d, FINDING_FAIL, "master key", "%s is open to group or others: run `chmod 600 %s`", path, path);
        break;
    case WEIR_CORRUPT:
        doctor_tell(d, FINDING_FAIL, "master key", "%s is not 32 bytes long: put the old one back", path);
        break;
    case WEIR_OTHER_KEY:
        doctor_tell(d, FINDING_FAIL, "master key", "%s is not the one this database is sealed under: put that one back",
                    path);
        break;
    default:             doctor_tell(d, FINDING_FAIL, "master key", "%s: %s", path, err_words(err)); break;
    }
    return !err;
}

static void check_vault(struct doctor *d, struct db *db)
{
    struct vault_state v;
    enum weir_err err = vault_look(db, d->w->master_path, &v);

    if (err) doctor_tell(d, FINDING_FAIL, "vault", "cannot be read: %s", err_words(err));
    else if (v.unfinished)
        doctor_tell(d, FINDING_WARN, "vault", "%s" VAULT_NEW " is left of a rotation: the next `weir key create` or "
                    "`weir tick` puts it right", d->w->master_path);
    else if (!v.rotated) doctor_tell(d, FINDING_OK, "vault", "the master key was never rotated");
    else
        doctor_tell(d, FINDING_OK, "vault", "the master key was rotated; kept until content sealed under them is gone: %lld "
                    "earlier ones", (long long)v.earlier);
}

static bool check_schema(struct doctor *d, struct db **out)
{
    enum weir_err err = db_open(d->w->db_path, DB_READ, 5000, &sql_admin, out);
    int have, want = db_schema_newest();

    if (err) {
        if (err != WEIR_NOT_FOUND)
            doctor_tell(d, FINDING_FAIL, "database", "%s does not open: %s", d->w->db_path, err_words(err));
        return false;
    }
    have = db_schema(*out);
    if (have == want) doctor_tell(d, FINDING_OK, "schema", "%d", have);
    else if (have < want)
        doctor_tell(d, FINDING_FAIL, "schema", "%d, this program wants %d: run `weir migrate`", have, want);
    else doctor_tell(d, FINDING_FAIL, "schema", "%d is newer than this program (%d): use the newer weir", have, want);
    return have == want;
}

static void check_integrity(struct doctor *d, struct db *db)
{
    struct arena memory;
    char *text = NULL;
    enum weir_err err;

    arena_init(&memory);
    err = db_integrity(db, &memory, &text);
    if (err) doctor_tell(d, FINDING_FAIL, "integrity", "cannot be checked: %s", err_words(err));
    else if (strcmp(text, "ok") != 0)
        doctor_tell(d, FINDING_FAIL, "integrity", "damaged: %.300s: go back to a backup", text);
    else doctor_tell(d, FINDING_OK, "integrity", "whole");
    arena_end(&memory);
}

static int keys_opened(const struct provider_row *p)
{
    int n = 0;

    for (int i = 0; p && i < p->key_count; i++) n += p->keys[i].secret != NULL;
    return n;
}

/* names: read without the master key, opened: with it. */
static void check_sealed(struct doctor *d, const struct snapshot *names, const struct snapshot *opened)
{
    int stored = 0, open = 0;

    for (int i = 0; i < names->provider_count; i++) {
        const struct provider_row *p = &names->providers[i];
        int here = keys_opened(snapshot_provider(opened, span_of(p->name)));

        if (here < p->key_count)
            doctor_tell(d, FINDING_FAIL, "sealed keys",
                        "%d of %d keys of provider %s do not open: this is not the master key they were sealed under",
                        p->key_count - here, p->key_count, p->name);
        stored += p->key_count;
        open += here;
    }
    if (open == stored) doctor_tell(d, FINDING_OK, "sealed keys", "all %d open", stored);
}

/* ---- upstreams and the clock ---- */

static void check_clock(struct doctor *d, const char *provider, int64_t date_ms)
{
    int64_t off = clock_wall_ms() - date_ms, size = off < 0 ? -off : off;

    if (size > 300000)
        doctor_tell(d, FINDING_FAIL, "clock", "%lld s %s %s's: set it (NTP); limits, expiry and tokens depend on it",
                    (long long)(size / 1000), off < 0 ? "behind" : "before", provider);
    else if (size > 60000)
        doctor_tell(d, FINDING_WARN, "clock", "%lld s %s %s's", (long long)(size / 1000), off < 0 ? "behind" : "before",
                    provider);
    else
        doctor_tell(d, FINDING_OK, "clock", "within a minute of %s's", provider);
}

static void check_upstreams(struct doctor *d, const struct snapshot *snap)
{
    bool compared = false;

    if (http_start()) {
        doctor_tell(d, FINDING_FAIL, "upstreams", "cannot be called: libcurl does not start");
        return;
    }
    if (!snap->provider_count) doctor_tell(d, FINDING_WARN, "upstreams", "none; add one with `weir provider add`");
    for (int i = 0; i < snap->provider_count; i++) {
        const struct provider_row *p = &snap->providers[i];
        struct call_result found;
        char what[160];

        call_provider(p, CALL_DOCTOR_MS, &found);
        snprintf(what, sizeof what, "upstream %s", p->name);
        doctor_tell(d, found.fine ? FINDING_OK : FINDING_FAIL, what, "%s", found.text);
        if (found.date_ms && !compared) {
            check_clock(d, p->name, found.date_ms);
            compared = true;
        }
    }
    if (!compared && clock_wall_ms() >= YEAR_2024_MS)
        doctor_tell(d, FINDING_OK, "clock", "is plausible; no upstream to compare it with");
}

static void check_database(struct doctor *d)
{
    struct snapshot *names = NULL, *opened = NULL;
    struct master_key *master = NULL;
    struct db *db = NULL;

    if (!check_schema(d, &db)) goto out;
    if (check_master(d, db, &master)) check_vault(d, db);
    check_integrity(d, db);
    if (snapshot_load(db, NULL, &names) || snapshot_load(db, master, &opened)) {
        doctor_tell(d, FINDING_FAIL, "configuration", "cannot be read: %s", db_message(db));
        goto out;
    }
    if (master) check_sealed(d, names, opened);
    doctor_ledger(d, db, names);
    check_upstreams(d, opened);
out:
    if (names) snapshot_release(names);
    if (opened) snapshot_release(opened);
    db_close(db);
    master_key_free(master);
}

int cmd_doctor(struct weir *w, int argc, char **argv)
{
    struct doctor d = {.w = w};
    const struct option_def options[] = {
        {"--json", OPTION_FLAG, &d.json}, {"--lighttpd", OPTION_TEXT, &d.lighttpd}, {"--url", OPTION_TEXT, &d.url},
        {"--key-file", OPTION_TEXT, &d.key_file}, {"--model", OPTION_TEXT, &d.model}, {NULL, OPTION_FLAG, NULL}};
    struct words words;
    int code;

    if (!options_read(&w->memory, argc, argv, options, 0, 0, &words)) return EXIT_USAGE;
    if (!d.url != !d.key_file) {
        say("--url and --key-file go together");
        return EXIT_USAGE;
    }
    if (d.json) listing_start(&d.listing, columns, LISTING_JSON);
    if (clock_wall_ms() < YEAR_2024_MS) doctor_tell(&d, FINDING_FAIL, "clock", "stands before 2024: set it");
    check_files(&d);
    check_file_system(&d);
    check_space(&d);
    check_database(&d);
    doctor_lighttpd(&d);
    doctor_stream(&d);
    doctor_descriptors(&d);
    code = d.json ? listing_end(&d.listing) : finish_output();
    return d.failed ? EXIT_REFUSED : code;
}
