/* Who answers for an alias: whatever decides it changes the digest, and nothing else does. */
#include "sql/answerers.c"
#include "sql/routes.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define MODELS    5
#define TARGETS   3
#define PROVIDERS (MODELS * TARGETS)

/* A configuration whose every part may be changed: aliases a to e, in the order a snapshot has them, each target a provider's
 * of its own. */
struct site {
    struct header headers[PROVIDERS][2];
    struct provider_row providers[PROVIDERS];
    struct target_row targets[MODELS][TARGETS];
    struct model_row models[MODELS];
    struct snapshot snap;
};

static uint64_t state_of_chance;

static int chance(int most)
{
    state_of_chance = state_of_chance * 6364136223846793005u + 1442695040888963407u;
    return (int)((state_of_chance >> 33) % (uint64_t)most);
}

/* Some of which could run into one another. */
static const char *word(void)
{
    static const char *const words[] = {NULL, "", "a", "b", "1 a", "a\n1 b", "none", "chain"};
    return words[chance(8)];
}

static const char *any_alias(void)
{
    static const char *const aliases[] = {NULL, "a", "b", "c", "d", "e", "nobody"};
    return aliases[chance(7)];
}

static void make(struct site *s, int seed)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    state_of_chance = (uint64_t)seed;
    *s = (struct site){.snap = {.model_count = MODELS, .models = s->models}};
    for (int i = 0; i < PROVIDERS; i++) {
        for (int h = 0; h < 2; h++) s->headers[i][h] = (struct header){"x-h", h ? "1" : "2"};
        s->providers[i] = (struct provider_row){.name = names[i % MODELS], .dialect = "openai", .base_url = "https://x",
                                                .api_version = word(), .faces = word(), .headers = s->headers[i], .header_count = chance(3)};
        s->targets[i / TARGETS][i % TARGETS] = (struct target_row){.provider = &s->providers[i], .model = "m", .weight = 1};
    }
    for (int i = 0; i < MODELS; i++)
        s->models[i] = (struct model_row){.alias = names[i], .strategy = "priority", .cache_ttl = 300, .fallback = any_alias(),
                                          .context_fallback = any_alias(), .targets = s->targets[i], .target_count = 1 + chance(TARGETS)};
    const char *of_all = any_alias();
    snprintf(s->snap.settings.fallback, sizeof s->snap.settings.fallback, "%s", of_all ? of_all : "");
}

static struct digest of_a(struct site *s)
{
    assert_int_equal(answerers_note(&s->snap, s->models), WEIR_OK);
    return s->models[0].answerers;
}

static bool same(const struct digest *a, const struct digest *b) { return memcmp(a, b, sizeof *a) == 0; }

static const char *another(const char *old)
{
    static const char *const fresh[] = {"something", "else"};
    return old && strcmp(old, fresh[0]) == 0 ? fresh[1] : fresh[0];
}

/* Is alias i among those that may answer for a? */
static bool stands_behind(const struct site *s, int i)
{
    const char *const starts[] = {"a", s->models[0].context_fallback, s->snap.settings.fallback}; /* "": there is none */
    for (int n = 0; n < 3; n++) {
        const struct model_row *m = starts[n] ? snapshot_model(&s->snap, span_of(starts[n])) : NULL;
        for (int steps = 0; m && steps <= MODELS; steps++) {
            if (m == &s->models[i]) return true;
            m = m->fallback ? snapshot_model(&s->snap, span_of(m->fallback)) : NULL;
        }
    }
    return false;
}

/* Changes one thing. Returns whether it decides who answers for a. */
static bool change(struct site *s)
{
    int i = chance(MODELS), which = chance(TARGETS);
    struct model_row *m = &s->models[i];
    struct target_row *t = &s->targets[i][which];
    struct provider_row *p = &s->providers[i * TARGETS + which];
    bool behind = stands_behind(s, i), asked = behind && which < m->target_count;
    switch (chance(18)) {
    case 0: p->base_url = another(p->base_url); return asked;
    case 1: p->dialect = another(p->dialect); return asked;
    case 2: p->api_version = another(p->api_version); return asked;
    case 3: p->anthropic_version = another(p->anthropic_version); return asked;
    case 4: p->faces = another(p->faces); return asked;
    case 5: p->name = another(p->name); return asked;
    case 6: s->headers[i * TARGETS + which][0].value = "changed"; return asked && p->header_count;
    case 7: p->header_count = p->header_count ? p->header_count - 1 : 1; return asked;
    case 8: t->model = another(t->model); return asked;
    case 9: m->target_count = m->target_count == TARGETS ? 1 : TARGETS; return behind;
    case 10: m->strategy = another(m->strategy); return behind;
    case 11: s->targets[i][0].model = "first"; return behind;
    /* What it costs, how it is reached, how long it may take, which one is preferred by how much: of no matter. */
    case 12: t->price = (struct price){.known = true, .input = 1}; return false;
    case 13: m->price = (struct price){.known = true, .input = 1}; return false;
    case 14: t->weight += 7; return false;
    case 15: p->total_ms += 7; p->key_strategy = "round_robin"; return false;
    case 16: m->cache_ttl += 7; m->stale_for += 7; m->max_output += 7; m->hedge_after_ms += 7; return false;
    default: p->id += 7; m->id += 7; m->created += 7; return false;
    }
}

static void what_decides_who_answers_changes_the_digest_and_nothing_else_does(void **state)
{
    static struct site s, before;
    int changed = 0, unchanged = 0;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        make(&before, round);
        make(&s, round);
        struct digest was = of_a(&before), is = of_a(&s);
        assert_true(same(&was, &is)); /* it is of what stands there, not of where */
        bool decides = change(&s);
        is = of_a(&s);
        if (same(&was, &is) == decides) fail_msg("round %d: it %s", round, decides ? "decides" : "decides nothing");
        changed += decides;
        unchanged += !decides;
    }
    assert_true(changed > 3000 && unchanged > 3000);
}

static void another_fallback_is_another_answerer(void **state)
{
    static struct site s;
    (void)state;
    make(&s, 1);
    for (int i = 0; i < MODELS; i++) {
        s.targets[i][0].model = s.models[i].alias;
        s.models[i].fallback = s.models[i].context_fallback = NULL;
    }
    s.snap.settings.fallback[0] = '\0';
    struct digest seen[4 * MODELS] = {of_a(&s)};
    int count = 1;
    for (int which = 0; which < 4; which++)
        for (int to = 1; to < MODELS; to++, count++) {
            const char *name = s.models[to].alias;
            /* One of a's three; or what stands behind its fallback b, which is itself once more where that is b. */
            s.models[0].fallback = which == 0 ? name : which == 3 ? "b" : NULL;
            s.models[0].context_fallback = which == 1 ? name : NULL;
            snprintf(s.snap.settings.fallback, sizeof s.snap.settings.fallback, "%s", which == 2 ? name : "");
            s.models[1].fallback = which == 3 ? name : NULL;
            seen[count] = of_a(&s);
            for (int k = 0; k < count; k++) assert_int_equal(same(&seen[k], &seen[count]), which == 3 && to == 1 && k == 1);
        }
    assert_true(count <= 4 * MODELS);
    s.models[0].fallback = "a"; /* and going round in a circle ends */
    s.models[1].fallback = "a";
    of_a(&s);
}

static void what_is_not_kept_has_no_digest(void **state)
{
    static struct site s;
    const struct digest none = {.at = {0}};
    (void)state;
    make(&s, 1);
    s.models[0].cache_ttl = 0;
    struct digest is = of_a(&s);
    assert_true(same(&is, &none));
    assert_false(same(&s.models[1].answerers, &none));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_decides_who_answers_changes_the_digest_and_nothing_else_does),
        cmocka_unit_test(another_fallback_is_another_answerer),
        cmocka_unit_test(what_is_not_kept_has_no_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
