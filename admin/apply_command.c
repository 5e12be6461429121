/* Applying a configuration document as a command does: opens the data directory, says on stderr what is wrong. */
#include "admin/anonymous.h"
#include "admin/apply.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void say_fault(const struct fault *f, const char *drop, const struct db *db)
{
    const char *path = *f->path ? f->path : "document";

    if (f->err) {
        weir_failed("nothing was changed", f->err, db);
        return;
    }
    if (drop && strncmp(path, drop, strlen(drop)) == 0) path += strlen(drop);
    fprintf(stderr, "%s: %s\n", path, f->text);
}

bool document_apply(struct weir *w, struct span text, bool dry_run, const char *drop, struct applied *out)
{
    struct apply_ground g = {.data_dir = w->data_dir, .by = weir_actor(w)};
    struct master_key *master = NULL;
    struct fault fault;
    bool fine = false;

    if (!weir_master(w, &master) || !weir_open(w, DB_READ, &g.read) || !weir_open(w, DB_WRITE, &g.write)) goto out;
    g.master = master;
    fine = document_change(&g, text, dry_run, out, &fault);
    if (isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
    if (!fine) say_fault(&fault, drop, g.write);
    if (fine && out->revoked) say("%zu of these keys are revoked, and stay so: make new ones instead", out->revoked);
    if (fine && out->anonymous_limited) say(ANONYMOUS_LIMITS);
    if (fine && out->short_secret)
        say("a token verifier's secret has fewer bytes than its algorithm's hash (HS256: 32, HS384: 48, HS512: 64), and so "
            "is easier to guess than it should be; `openssl rand -base64 48` makes a good one");
out:
    db_close(g.read);
    db_close(g.write);
    master_key_free(master);
    return fine;
}
