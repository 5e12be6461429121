/* What this version stores but does not act on yet: some settings, which say so in their table. All else that a document
 * can say is in force. */
#include "admin/in_force.h"

#include <stdio.h>

#include "admin/command.h"

void pending_init(struct pending *p)
{
    *p = (struct pending){0};
    buf_init(&p->text, 4096);
}

void pending_free(struct pending *p)
{
    names_free(&p->seen);
    buf_free(&p->text);
}

static void note(struct pending *p, const char *what, const char *which)
{
    char name[160];
    int n = snprintf(name, sizeof name, "%s%s", what, which);

    if (n < 0 || n >= (int)sizeof name || names_add(&p->seen, (struct span){name, (size_t)n}, 0)) return;
    if (p->text.len) buf_str(&p->text, ", ");
    buf_str(&p->text, name);
}

void pending_setting(struct pending *p, const struct setting_def *d)
{
    if (!d->in_force) note(p, "setting ", d->name);
}

void pending_say(struct pending *p)
{
    if (p->text.len) say("stored, but not yet in force in this version: %s", buf_cstr(&p->text));
}
