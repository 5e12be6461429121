/* `weir apply`: a configuration document from a file or stdin into the database. The work is apply.c's. */
#include <stdio.h>
#include <string.h>

#include "admin/apply.h"
#include "admin/document.h"
#include "admin/listing.h"
#include "admin/option.h"
#include "fcgi/base/bounds.h"

static void say_tally(const struct applied *done, bool dry_run)
{
    size_t changes = 0;

    for (int i = 0; i < TALLY_COUNT; i++) {
        const struct tally *t = &done->tally[i];

        changes += t->added + t->changed;
        if (t->added + t->changed + t->same)
            say("%s: %zu added, %zu changed, %zu unchanged", i == TALLY_SETTINGS ? "settings" : section_names[i], t->added,
                t->changed, t->same);
    }
    if (!changes) say("nothing changed: all of it is there already");
    else if (dry_run) say("dry run: nothing was written");
}

static int print_made(const struct applied *done, bool json)
{
    static const struct column columns[] = {{"name", NULL, 0}, {"secret", NULL, 0}, {NULL, NULL, 0}};
    struct listing l;
    struct span left = buf_all(&done->made);

    if (!json) {
        fwrite(left.at, 1, left.len, stdout);
        return finish_output();
    }
    listing_start(&l, columns, LISTING_JSON);
    while (left.len) {
        size_t tab = (size_t)((const char *)memchr(left.at, '\t', left.len) - left.at);
        size_t end = (size_t)((const char *)memchr(left.at, '\n', left.len) - left.at);

        listing_text(&l, (struct span){left.at, tab});
        listing_text(&l, (struct span){left.at + tab + 1, end - tab - 1});
        left = (struct span){left.at + end + 1, left.len - end - 1};
    }
    return listing_end(&l);
}

int cmd_apply(struct weir *w, int argc, char **argv)
{
    bool dry_run = false, json = false;
    const struct option_def options[] = {
        {"--dry-run", OPTION_FLAG, &dry_run}, {"--json", OPTION_FLAG, &json}, {NULL, OPTION_FLAG, NULL}};
    struct applied done;
    struct words words;
    struct buf text;
    int code = EXIT_REFUSED;

    if (!options_read(&w->memory, argc, argv, options, 1, 1, &words)) return EXIT_USAGE;
    if (!file_read(words.at[0], BOUND_DOCUMENT, &text)) goto out;
    if (!document_apply(w, buf_all(&text), dry_run, NULL, &done)) goto out;
    if (dry_run && done.changes.len) fprintf(stderr, "%s\n", buf_cstr(&done.changes));
    say_tally(&done, dry_run);
    code = print_made(&done, json);
    if (code != EXIT_DONE) say("the keys were made, but their secrets did not get out: rotate them");
    applied_free(&done);
out:
    if (text.at) secret_wipe(text.at, text.len); /* it may hold keys of providers */
    buf_free(&text);
    return code;
}
