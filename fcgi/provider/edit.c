/* Edits are few, so they are sorted by insertion, which keeps the order of those at one place. */
#include "fcgi/provider/edit.h"

static void sort(struct edit *edits, int count)
{
    for (int i = 1; i < count; i++)
        for (int k = i; k > 0 && edits[k].at < edits[k - 1].at; k--) {
            struct edit later = edits[k];
            edits[k] = edits[k - 1];
            edits[k - 1] = later;
        }
}

void edit_text(struct span text, struct edit *edits, int count, struct buf *out)
{
    const char *from = text.at, *end = text.at + text.len;
    sort(edits, count);
    for (int i = 0; i < count; i++) {
        buf_add(out, from, (size_t)(edits[i].at - from));
        buf_span(out, edits[i].put);
        from = edits[i].at + edits[i].drop;
    }
    buf_add(out, from, (size_t)(end - from));
}
