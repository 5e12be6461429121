/* What the record of changes keeps of an applied entry: the entry as it was and as it is, in the document's own form and
 * without secrets. */
#include "admin/apply_state.h"

#define ENTRY_MAX (8 << 20) /* bytes; an entry that is longer is recorded without its text */

static bool record(struct apply *a, const char *action, const char *subject, struct buf *before, struct buf *after)
{
    const struct admin_change c = {.time = a->now, .by = a->by, .action = action, .subject = subject,
                                   .before = before->len ? buf_cstr(before) : NULL,
                                   .after = after->len ? buf_cstr(after) : NULL};

    apply_note_changes(a, action, subject, buf_all(before), buf_all(after));
    a->err = admin_change_add(a->write, &c);
    buf_free(before);
    buf_free(after);
    return !a->err;
}

static void entry_start(struct buf *before, struct buf *after)
{
    buf_init(before, ENTRY_MAX);
    buf_init(after, ENTRY_MAX);
}

bool apply_record_limit(struct apply *a, const struct limit_rule *old, const struct limit_rule *now)
{
    struct buf before, after;

    entry_start(&before, &after);
    if (old) doc_limit_write(&before, old);
    doc_limit_write(&after, now);
    return record(a, old ? "limit changed" : "limit added", now->scope, &before, &after);
}

bool apply_record_key(struct apply *a, const struct key *old, const struct key *now, bool new_secret)
{
    struct buf before, after;

    entry_start(&before, &after);
    if (old) doc_key_write(&before, old);
    doc_key_write(&after, now);
    return record(a, !old ? "key added" : new_secret ? "key changed, with a new secret" : "key changed", now->name,
                        &before, &after);
}

/* The keys a provider has afterwards: those it had, and those the entry brings. */
static const struct upstream_key *keys_after(struct apply *a, const struct doc_provider *d, const struct provider_row *old,
                                             int *count)
{
    int had = old ? old->key_count : 0;
    struct upstream_key *keys = arena_alloc(&a->entry, sizeof *keys * (size_t)(had + d->key_count + 1));

    *count = 0;
    for (int i = 0; keys && i < had; i++) keys[(*count)++] = (struct upstream_key){old->keys[i].name,
        old->keys[i].priority, NULL};
    for (int i = 0; keys && i < d->key_count; i++) {
        int at = 0;

        while (at < *count && strcmp(keys[at].name, d->keys[i].name) != 0) at++;
        keys[at] = (struct upstream_key){d->keys[i].name, d->keys[i].priority, NULL};
        if (at == *count) ++*count;
    }
    return keys;
}

bool apply_record_provider(struct apply *a, const struct provider_row *old, const struct doc_provider *now)
{
    struct provider_row row = now->row;
    struct buf before, after;

    entry_start(&before, &after);
    row.keys = keys_after(a, now, old, &row.key_count);
    if (old) doc_provider_write(&before, old);
    doc_provider_write(&after, &row);
    return record(a, old ? "provider changed" : "provider added", row.name, &before, &after);
}

bool apply_record_model(struct apply *a, const struct model_row *old, const struct doc_model *now)
{
    struct model_row row = now->row;
    struct target_row *targets = arena_alloc(&a->entry, sizeof *targets * (size_t)now->target_count);
    struct provider_row *names = arena_alloc(&a->entry, sizeof *names * (size_t)now->target_count);
    struct buf before, after;

    if (!targets || !names) return refuse_memory(&a->r);
    for (int i = 0; i < now->target_count; i++) {
        names[i].name = now->targets[i].provider;
        targets[i] = (struct target_row){&names[i], now->targets[i].model, now->targets[i].weight,
                                         now->targets[i].price};
    }
    row.targets = targets;
    row.target_count = now->target_count;
    entry_start(&before, &after);
    if (old) doc_model_write(&before, old);
    doc_model_write(&after, &row);
    return record(a, old ? "model changed" : "model added", row.alias, &before, &after);
}

bool apply_record_text(struct apply *a, const char *action, const char *subject, struct span old, struct span now)
{
    struct buf before, after;

    entry_start(&before, &after);
    if (old.at) buf_span(&before, old);
    buf_span(&after, now);
    return record(a, action, subject, &before, &after);
}
