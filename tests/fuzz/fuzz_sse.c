/* Fuzz target: the SSE splitter. Whatever the bytes, feeding them in any pieces gives the same events and the same
 * end as feeding them whole, and the raw spans are the bytes consumed. The input is the stream itself; how it is cut
 * and how long an event may be follow from its hash. */
#include <stdlib.h>
#include "fcgi/base/buf.c"
#include "fcgi/base/sse.c"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must(bool what)
{
    if (!what)
        abort();
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

struct outcome {
    struct buf raw;    /* all raw spans */
    struct buf events; /* every event, its parts with their lengths */
    enum weir_err err;
};

static void put_part(struct buf *out, char name, struct span s)
{
    buf_printf(out, "%c%ld:", name, s.at ? (long)s.len : -1L);
    buf_span(out, s);
}

/* All events that are there now, read first and looked at afterwards: their spans must stay valid until then. */
static void drain(struct sse *s, struct outcome *o)
{
    struct sse_event ev[32];
    size_t n;
    do {
        for (n = 0; n < sizeof ev / sizeof *ev && sse_next(s, &ev[n]); n++)
            continue;
        for (size_t i = 0; i < n; i++) {
            buf_span(&o->raw, ev[i].raw);
            put_part(&o->events, 'r', ev[i].raw);
            put_part(&o->events, 't', ev[i].type);
            put_part(&o->events, 'd', ev[i].data);
        }
    } while (n);
}

/* seed 0: whole. */
static void run(const char *bytes, size_t n, size_t event_max, uint32_t seed, struct outcome *o)
{
    struct sse s;
    sse_init(&s, event_max);
    buf_init(&o->raw, 64 << 20);
    buf_init(&o->events, 64 << 20);
    o->err = WEIR_OK;
    while (n && !o->err) {
        size_t piece = seed ? 1 + next_random(&seed) % (next_random(&seed) % 4 ? 3 : 40) : n;
        piece = piece < n ? piece : n;
        char *copy = malloc(piece); /* so that reading on behind it is seen */
        must(copy);
        memcpy(copy, bytes, piece);
        o->err = sse_feed(&s, copy, piece);
        free(copy);
        drain(&s, o);
        bytes += piece;
        n -= piece;
    }
    must(sse_end(&s) == o->err);
    drain(&s, o);
    must(o->raw.err == WEIR_OK && o->events.err == WEIR_OK);
    sse_free(&s);
}

/* Everything consumed and nothing else, but for a byte order mark and what sse_end adds or drops. */
static void check_raw(const struct outcome *o, struct span in)
{
    struct span raw = buf_all(&o->raw);
    if (in.len >= 3 && memcmp(in.at, "\xEF\xBB\xBF", 3) == 0)
        in = (struct span){in.at + 3, in.len - 3};
    size_t common = raw.len < in.len ? raw.len : in.len;
    must(memcmp(raw.at, in.at, common) == 0);
    must(raw.len <= in.len + 2);
    for (size_t i = common; i < raw.len; i++)
        must(raw.at[i] == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    size_t event_max = hash % 3 ? 1 << 20 : 8 + hash / 3 % 64;
    struct span in = {n ? (const char *)bytes : "", n};

    struct outcome whole, split;
    run(in.at, in.len, event_max, 0, &whole);
    check_raw(&whole, in);
    for (uint32_t seed = hash | 1, i = 0; i < 3; i++, seed += 2) {
        run(in.at, in.len, event_max, seed, &split);
        must(split.err == whole.err);
        must(span_eq(buf_all(&split.events), buf_all(&whole.events)));
        buf_free(&split.raw);
        buf_free(&split.events);
    }
    buf_free(&whole.raw);
    buf_free(&whole.events);
    return 0;
}
