/* Fuzz target: answers over HTTP/1.1. Whatever the bytes, read in any pieces they give the same answer as read whole, no
 * more is taken than came, and an answer that was refused or whole takes nothing more. */
#include <stdlib.h>
#include "fcgi/base/buf.c"
#include "fcgi/base/http1.c"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must(bool what)
{
    if (!what)
        abort();
}

struct outcome { struct http1 h; struct buf headers, body; size_t taken; };

/* seed 0: whole. */
static void run(const char *bytes, size_t n, uint32_t seed, struct outcome *o)
{
    buf_init(&o->headers, BOUND_UPSTREAM_HEADERS);
    buf_init(&o->body, 64 << 20);
    http1_start(&o->h, &o->headers);
    o->taken = 0;
    while (o->taken < n) {
        seed = seed ? seed * 1664525u + 1013904223u : 0;
        size_t piece = seed ? 1 + (seed >> 16) % 9 : n;
        if (piece > n - o->taken) piece = n - o->taken;
        size_t took = http1_take(&o->h, (struct span){bytes + o->taken, piece}, &o->body);
        must(took <= piece);
        o->taken += took;
        if (took == piece) continue;
        must(o->h.state >= HTTP1_DONE);
        must(http1_take(&o->h, (struct span){bytes + o->taken, n - o->taken}, &o->body) == 0);
        break;
    }
    if (n % 2) http1_closed(&o->h);
}

static void end(struct outcome *o)
{
    http1_free(&o->h);
    buf_free(&o->headers);
    buf_free(&o->body);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct outcome whole, pieces;
    run((const char *)bytes, n, 0, &whole);
    run((const char *)bytes, n, 2463534242u ^ (uint32_t)n, &pieces);
    must(whole.h.state == pieces.h.state && whole.h.keeps == pieces.h.keeps && whole.h.status == pieces.h.status);
    must(whole.taken == pieces.taken || whole.h.state != HTTP1_DONE);
    must(span_eq(buf_all(&whole.headers), buf_all(&pieces.headers)) && span_eq(buf_all(&whole.body), buf_all(&pieces.body)));
    end(&whole);
    end(&pieces);
    return 0;
}
