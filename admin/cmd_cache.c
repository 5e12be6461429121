/* `weir cache`: what is kept of answers, and the forgetting of it. */
#include <stdio.h>

#include "admin/command.h"
#include "admin/manage.h"
#include "admin/option.h"
#include "fcgi/base/text.h"
#include "sql/cache.h"

static bool cache_open(struct weir *w, struct cache **out)
{
    enum weir_err err = cache_new(w->data_dir, out);

    if (err) say("the cache cannot be opened: %s", err_words(err));
    return !err;
}

static void print_stats(const struct cache_stats *s, bool json)
{
    char oldest[TIME_TEXT] = "";

    if (s->oldest) time_text(s->oldest, oldest);
    if (json)
        printf("{\"entries\": %lld, \"bytes\": %lld, \"file_bytes\": %lld, \"hits\": %lld, \"oldest\": %s%s%s}\n",
               (long long)s->entries, (long long)s->bytes, (long long)s->file_bytes, (long long)s->hits, *oldest ? "\"" : "",
               *oldest ? oldest : "null", *oldest ? "\"" : "");
    else
        printf("answers: %lld\nbytes: %lld (the file: %lld)\nserved from them: %lld\noldest: %s\n", (long long)s->entries,
               (long long)s->bytes, (long long)s->file_bytes, (long long)s->hits, *oldest ? oldest : "-");
}

int cmd_cache_stats(struct weir *w, int argc, char **argv)
{
    bool json = false;
    const struct option_def options[] = {{"--json", OPTION_FLAG, &json}, {NULL, OPTION_FLAG, NULL}};
    struct cache_stats stats;
    struct words words;
    struct cache *cache;
    enum weir_err err;

    if (!options_read(&w->memory, argc, argv, options, 0, 0, &words)) return EXIT_USAGE;
    if (!cache_open(w, &cache)) return EXIT_REFUSED;
    err = cache_stats(cache, &stats);
    cache_free(cache);
    if (err) {
        say("the cache cannot be read: %s", err_words(err));
        return EXIT_REFUSED;
    }
    print_stats(&stats, json);
    return finish_output();
}

int cmd_cache_clear(struct weir *w, int argc, char **argv)
{
    const struct option_def options[] = {{NULL, OPTION_FLAG, NULL}};
    struct manager m = weir_manager(w);
    struct cache_stats lost;
    struct words words;
    enum weir_err err;

    if (!options_read(&w->memory, argc, argv, options, 0, 0, &words)) return EXIT_USAGE;
    if (!weir_open(w, DB_WRITE, &m.db)) return EXIT_REFUSED;
    err = manage_cache_clear(&m, &lost);
    if (err) weir_failed("the cache cannot be cleared", err, m.db);
    else say("all kept answers are forgotten");
    db_close(m.db);
    return err ? EXIT_REFUSED : EXIT_DONE;
}
