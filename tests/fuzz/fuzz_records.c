/* Fuzz target: FastCGI's records. Whatever the bytes, read in any pieces they give the same request as read whole: the same
 * variables, the same body, the same end; and no more is taken than came. */
#include <stdlib.h>
#include "fcgi/base/buf.c"
#include "fcgi/base/records.c"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must(bool what)
{
    if (!what)
        abort();
}

struct outcome { struct records r; struct buf body; enum records_event last; size_t taken; };

static void give(struct outcome *o, struct span *in)
{
    o->last = records_next(&o->r, in);
    if (o->last == RECORDS_BEGUN)
        for (char **env = records_environ(&o->r); *env; env++)
            must(*env >= o->r.variables.at && *env + strlen(*env) < o->r.variables.at + o->r.variables.len);
    if (o->last != RECORDS_BODY) return;
    size_t next = records_body_next(&o->r);
    must(next > 0);
    if (next > in->len) next = in->len;
    buf_add(&o->body, in->at, next);
    records_took(&o->r, next);
    in->at += next;
    in->len -= next;
}

/* seed 0: whole. */
static void run(const char *bytes, size_t n, uint32_t seed, struct outcome *o)
{
    records_init(&o->r);
    records_start(&o->r);
    buf_init(&o->body, 64 << 20);
    o->taken = 0;
    do {
        seed = seed ? seed * 1664525u + 1013904223u : 0;
        size_t piece = seed ? 1 + (seed >> 16) % 9 : n;
        if (piece > n - o->taken) piece = n - o->taken;
        struct span in = {bytes + o->taken, piece};
        give(o, &in);
        must(in.len <= piece);
        o->taken += piece - in.len;
    } while (o->taken < n && (o->last == RECORDS_MORE || o->last == RECORDS_BEGUN || o->last == RECORDS_BODY));
}

static void end(struct outcome *o)
{
    records_free(&o->r);
    buf_free(&o->body);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct outcome whole, cut;
    run((const char *)bytes, n, 0, &whole);
    run((const char *)bytes, n, 1 + (uint32_t)n, &cut);
    must(whole.r.stage == cut.r.stage && whole.r.id == cut.r.id && whole.taken == cut.taken);
    must(span_eq(buf_all(&whole.body), buf_all(&cut.body)));
    must(span_eq(buf_all(&whole.r.variables), buf_all(&cut.r.variables)));
    end(&whole);
    end(&cut);
    return 0;
}
