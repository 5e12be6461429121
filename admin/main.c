/* The command line program `weir`: the one table of its commands, and the way from words to one of them.
 * What a command does stands in its cmd_*.c. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "admin/command.h"
#include "admin/document.h"

static const struct command commands[] = {
    {"init", cmd_init, "[--mock]",
     "make the data directory, master key and database; add providers found in the environment\n"
     "  --mock: and the built-in mock provider with its models"},
    {"apply", cmd_apply, "FILE.json|- [--dry-run] [--json]",
     "add or change what a configuration document says, all or nothing\n"
     "  `weir export` shows its form; what it leaves out stays, nothing is removed; in \"keys\" of a provider stands a\n"
     "  \"name\" and a \"secret\": the secret itself, env:VARIABLE or file:PATH"},
    {"export", cmd_export, "", "print the configuration as such a document, without secrets"},
    {"settings", cmd_settings, "[NAME [VALUE]] [--json]",
     "every setting with its value, default and meaning; or show or set one"},
    {"key create", cmd_key_create,
     "--name N [--user U] [--team T] [--role R] [--rolegroup G] [--models a,b]\n"
     "            [--endpoints /v1/embeddings,...] [--expires 90d|12h|30s] [--allow-ip CIDR] [--may-assert-identity]",
     "make a client key; prints its secret, once"},
    {"key list", cmd_key_list, "[--json]", "the client keys"},
    {"key rotate", cmd_key_rotate, "NAME [--overlap 24h]",
     "a new secret; the old one works on for the overlap (default: not at all)"},
    {"key revoke", cmd_key_revoke, "NAME", "a key ends now and for good"},
    {"provider add", cmd_provider_add,
     "NAME --dialect " DIALECTS " [--base-url URL] [--key-file FILE|-]\n"
     "            [--allow-plain-http] [--api-version V] [--anthropic-version V] [--auth bearer|x-api-key|api-key]\n"
     "            [--faces chat,responses...]",
     "an upstream; its key is read from a file or stdin. Changed by `weir apply`, or at /admin"},
    {"provider list", cmd_provider_list, "[--json]", "the upstreams, and how they, their breakers and keys are"},
    {"provider test", cmd_provider_test, "NAME [--model M] [--key KEYNAME] [--json]",
     "really call the upstream with each of its keys and say plainly what is wrong\n"
     "  asked for are its list of models and the smallest completion of M, by default of a model that an alias leads to"},
    {"provider sync", cmd_provider_sync, "NAME [--model M] [--json]",
     "read the provider's own rate limits from the headers of its answer, and set them as limits on provider/NAME"},
    {"provider remove", cmd_provider_remove, "NAME [--key KEYNAME]",
     "take an upstream away, or one of its keys; refused while an alias leads there"},
    {"provider open", cmd_provider_open, "NAME", "ask it no more, whatever its breakers say"},
    {"provider close", cmd_provider_close, "NAME", "ask it whatever its breakers say"},
    {"provider auto", cmd_provider_auto, "NAME", "let its breakers decide, afresh, and use all its keys again"},
    {"model add", cmd_model_add, "ALIAS --to PROVIDER:MODEL[,PROVIDER:MODEL...]",
     "a name that callers use, and what stands behind it\n"
     "  fallbacks, prices, a cache and all else of an alias: `weir apply`, or /admin"},
    {"model import", cmd_model_import, "PROVIDER [--all | NAME...] [--prefix P] [--dry-run] [--json]",
     "what the upstream offers; all of it, or what is named, becomes aliases\n"
     "  an alias is P and the name; it has a price where the built-in list knows the model, and the sizes that are told"},
    {"model remove", cmd_model_remove, "ALIAS",
     "take an alias away; refused while another, or the setting fallback, falls back to it"},
    {"model list", cmd_model_list, "[--json]", "the aliases"},
    {"prices import", cmd_prices_import, "[FILE.json|-] [--sizes] [--dry-run] [--json]",
     "set the aliases' prices from the built-in list, or from a file: the one that LiteLLM publishes\n"
     "  a name counts that is the alias, or the first target's DIALECT/MODEL or MODEL; --sizes: where an alias has none,\n"
     "  its context_window and max_output too"},
    {"prices remove", cmd_prices_remove, "ALIAS",
     "an alias is unpriced from now on: refused where a limit on cost applies"},
    {"prices", cmd_prices, "[list] [--json]",
     "every alias with its price in dollars per million tokens, or \"unpriced\"\n"
     "  under AND what is charged by length, tier and kind (searches: per thousand)"},
    {"limit set", cmd_limit_set,
     "SCOPE --metric requests|tokens|cost --shape bucket|window|calendar|total\n"
     "            [--amount N | --capacity N --refill N_A_SECOND] [--seconds N] [--period hour|day|week|month]\n"
     "            [--mode hard|soft|observe] [--warn PERCENT] [--utc-offset +02:00]\n"
     "       or SCOPE --metric concurrency --amount N [--mode M] [--warn PERCENT]",
     "add a limit or change it (its count is kept); what is not said has its default: hard, 80 %, UTC"},
    {"limit list", cmd_limit_list, "[SCOPE] [--members] [--json]",
     "the limits with what they have counted; --members: each member's count under a limit on KIND/*"},
    {"limit remove", cmd_limit_remove, "SCOPE --metric M [--shape S] [--period P|--seconds N]",
     "a limit, or all that fit, with what they have counted"},
    {"limit reset", cmd_limit_reset, "SCOPE --metric M [--shape S] [--period P|--seconds N]",
     "counting begins again at 0; also of one member under a limit on KIND/*"},
    {"jwt list", cmd_jwt_list, "[--json]",
     "the verifiers of signed tokens, and what was fetched for them; added and changed by `weir apply`, or at /admin"},
    {"jwt remove", cmd_jwt_remove, "NAME", "a verifier ends: the tokens it took are refused from the next request on"},
    {"audit", cmd_audit, "[--follow] [--user U] [--since 1h] [--limit N] [--json] | --content REQUEST_ID",
     "one row for every request, oldest first; --limit: the newest N; --content: what setting audit_content kept of it"},
    {"usage", cmd_usage, "[--by user|team|role|model|provider|key] [--since 7d] [--json]",
     "requests, tokens and cost by the hour of admission, summed; --since is rounded down to the whole hour (UTC)"},
    {"ledger check", cmd_ledger_check, "[--json]",
     "count everything again from the audit log and the requests in flight; exit 1 on a difference"},
    {"cache stats", cmd_cache_stats, "[--json]",
     "how many answers are kept, how much room they take, how often they served"},
    {"cache clear", cmd_cache_clear, "", "forget all kept answers; the gateway may run on"},
    {"tick", cmd_tick, "[--json]",
     "for cron where nothing stays running (CGI): settle what dead processes left, tidy up, retention, a checkpoint"},
    {"admin add", cmd_admin_add, "NAME --role viewer|operator|admin [--expires 90d|12h|30s]",
     "make an administrator's key, for /config/budget and /admin/api/v1; prints its secret, once"},
    {"admin password", cmd_admin_password, "NAME [--role viewer|operator|admin] [--no-code]",
     "a new password for an administrator's log-in at /admin; printed once; --role: who is not there is made; "
     "--no-code: the device that makes the one-time codes is lost, none is asked any more"},
    {"admin list", cmd_admin_list, "[--json]", "the administrators' keys"},
    {"admin revoke", cmd_admin_revoke, "NAME", "an administrator's key ends now and for good"},
    {"master-key rotate", cmd_master_key_rotate, "",
     "make a new master key and seal everything under it anew, while the gateway runs; client keys stay what they are"},
    {"backup", cmd_backup, "FILE", "a consistent copy of the database while the gateway runs\n"
     "  to go back: stop the gateway, put FILE in the place of weir.db, remove weir.db-wal and weir.db-shm"},
    {"migrate", cmd_migrate, "", "bring the database to this program's schema; the gateway does so too when it starts"},
    {"doctor", cmd_doctor, "[--json] [--lighttpd FILE] [--url http://127.0.0.1:8080 --key-file F [--model A]]",
     "look for what goes wrong in the field; exit 1 if something is"},
    {NULL, NULL, NULL, NULL},
};

static void print_commands(FILE *to)
{
    for (const struct command *c = commands; c->name; c++)
        fprintf(to, "  %-17s %.*s\n", c->name, (int)strcspn(c->help, "\n"), c->help);
}

static void print_help(FILE *to)
{
    fputs("usage: weir [--data DIR] COMMAND ...\n\n", to);
    print_commands(to);
    fputs("\nThe data directory is --data, else WEIR_DATA, else var. `weir COMMAND --help` shows a command's words;\n"
          "`weir settings` lists the environment variables. Exit: 0 done, 1 refused or failed, 2 wrong usage.\n", to);
}

static void print_usage(const struct command *c, FILE *to)
{
    fprintf(to, "usage: weir [--data DIR] %s%s%s\n", c->name, *c->usage ? " " : "", c->usage);
    fprintf(to, "  %s\n", c->help);
}

/* How many words of argv name the command c; 0: they do not. */
static int words_matched(const struct command *c, int argc, char **argv)
{
    const char *space = strchr(c->name, ' ');
    size_t first = space ? (size_t)(space - c->name) : strlen(c->name);

    if (argc < 1 || strlen(argv[0]) != first || strncmp(argv[0], c->name, first) != 0) return 0;
    if (!space) return 1;
    return argc > 1 && strcmp(argv[1], space + 1) == 0 ? 2 : 0;
}

static bool asks_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    return false;
}

static bool of_group(const struct command *c, const char *name)
{
    size_t n = strlen(name);

    return strncmp(c->name, name, n) == 0 && c->name[n] == ' ';
}

static bool is_group(const char *name)
{
    for (const struct command *c = commands; c->name; c++)
        if (of_group(c, name)) return true;
    return false;
}

/* "weir key", "weir key --help", "weir key frobnicate": shows the group. */
static void print_group(const char *name, FILE *to)
{
    for (const struct command *c = commands; c->name; c++)
        if (of_group(c, name)) print_usage(c, to);
}

/* Commands of one group stand side by side in the table. */
static void print_first_words(FILE *to)
{
    const char *last = "";
    size_t n = 0;

    fputc(' ', to);
    for (const struct command *c = commands; c->name; c++) {
        if (strncmp(c->name, last, n) == 0 && n == strcspn(c->name, " ")) continue;
        last = c->name;
        n = strcspn(c->name, " ");
        fprintf(to, " %.*s", (int)n, last);
    }
    fputc('\n', to);
}

static int dispatch(struct weir *w, int argc, char **argv)
{
    for (const struct command *c = commands; c->name; c++) {
        int words = words_matched(c, argc, argv);

        if (!words) continue;
        if (asks_help(argc - words, argv + words)) {
            print_usage(c, stdout);
            return finish_output();
        }
        int code = c->run(w, argc - words, argv + words);
        if (code == EXIT_USAGE) print_usage(c, stderr);
        return code;
    }
    bool help = asks_help(argc - 1, argv + 1);
    bool group = is_group(argv[0]);
    if (group && !help && argc > 1) say("%s %s: no such command; there are", argv[0], argv[1]);
    if (group) print_group(argv[0], help ? stdout : stderr);
    if (group) return help ? finish_output() : EXIT_USAGE;
    if (strcmp(argv[0], "help") == 0) {
        print_help(stdout);
        return finish_output();
    }
    say("%s: no such command; `weir --help` says what each of these does:", argv[0]);
    print_first_words(stderr);
    return EXIT_USAGE;
}

/* Reads the options before the command. Gives the index of the command, or -1 with the exit code in *code. */
static int global_options(struct weir *w, int argc, char **argv, int *code)
{
    int i = 1;

    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--version") == 0) {
            puts("weir " WEIR_VERSION);
            *code = finish_output();
            return -1;
        }
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(stdout);
            *code = finish_output();
            return -1;
        }
        if (strncmp(argv[i], "--data=", 7) == 0 && argv[i][7]) {
            w->data_dir = argv[i] + 7;
        } else if (strcmp(argv[i], "--data") == 0 && i + 1 < argc && argv[i + 1][0]) {
            w->data_dir = argv[++i];
        } else {
            say("%s: %s", argv[i], strcmp(argv[i], "--data") == 0 ? "needs a directory" : "no such option before a command");
            *code = EXIT_USAGE;
            return -1;
        }
    }
    if (i < argc) return i;
    print_help(stderr);
    *code = EXIT_USAGE;
    return -1;
}

int main(int argc, char **argv)
{
    const char *env_data = getenv("WEIR_DATA"), *env_master = getenv("WEIR_MASTER_KEY_FILE");
    struct weir w = {.data_dir = env_data && *env_data ? env_data : "var"};
    int code = EXIT_REFUSED, at;

    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of the write, so a listing ends with exit 1 */
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* a core would hold keys */
    umask(077);
    arena_init(&w.memory);
    at = global_options(&w, argc, argv, &code);
    if (at < 0) goto out;
    w.db_path = arena_printf(&w.memory, "%s/weir.db", w.data_dir);
    w.master_path = env_master && *env_master ? env_master : arena_printf(&w.memory, "%s/master.key", w.data_dir);
    if (!w.db_path || !w.master_path || secret_start()) {
        say("cannot start: out of memory, or libsodium does not");
        goto out;
    }
    code = dispatch(&w, argc - at, argv + at);
out:
    arena_end(&w.memory);
    return code;
}
