/* A target is asked in the caller's own face where it speaks it, else in the one that its dialect is translated into. */
#include "fcgi/provider/fit.h"

#include "fcgi/provider/quirks.h"

static enum weir_err read_once(struct fitting *f, struct problem *p)
{
    if (!f->was_read) {
        f->was_read = true;
        f->conversation = arena_alloc(f->memory, sizeof *f->conversation);
        f->read = f->conversation ? conversation_read(f->chat, f->memory, f->conversation, &f->problem)
                                  : problem_set(&f->problem, WEIR_NOMEM, NULL, NULL);
    }
    if (f->read != WEIR_OK) *p = f->problem;
    return f->read;
}

enum weir_err fit_target(struct fitting *f, struct target *t, struct problem *p)
{
    enum face face = f->chat->face;
    t->conversation = NULL;
    if (!provider_face_for(t->provider, face, &t->asked))
        return problem_set(p, WEIR_INVALID, "model", "The model cannot be used here: %s serves no %s.", t->provider->name,
                           face_names[face]);
    enum weir_err err = quirks_check(t, f->chat, &t->strips, p);
    if (err != WEIR_OK || t->asked == face) return err;
    err = read_once(f, p);
    if (err == WEIR_OK) err = conversation_fits(f->conversation, face, t->asked, p);
    if (err == WEIR_OK) t->conversation = f->conversation;
    return err;
}
