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

static void say_notes(const struct applied *out, const char *drop)
{
    struct span left = buf_all(&out->notes);
    size_t n = drop ? strlen(drop) : 0;
    int told = 0;

    for (; left.len; told++) {
        const char *end = memchr(left.at, '\n', left.len);
        struct span line = {left.at, end ? (size_t)(end - left.at) : left.len};

        left = (struct span){left.at + line.len + (end != NULL), left.len - line.len - (end != NULL)};
        if (drop && span_starts(line, drop)) line = (struct span){line.at + n, line.len - n};
        say("%.*s", (int)line.len, line.at);
    }
    if (out->note_count > told) say("... and %d notes more", out->note_count - told);
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
    if (fine) say_notes(out, drop);
out:
    db_close(g.read);
    db_close(g.write);
    master_key_free(master);
    return fine;
}
