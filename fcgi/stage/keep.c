/* Keeping answers. Followers get records: the head, pieces of whole events, and with the last bytes the word that this was
 * all. */
#include "fcgi/stage/keep.h"

#include <stdlib.h>

#include "fcgi/base/clock.h"
#include "fcgi/provider/conversation.h"

#define LOOK_MS 1000
#define RETRY_MOST_S 60 /* some SDKs sleep through whatever they are told (WIRE.md 1) */

/* ---- forms ---- */

int keep_form_pack(const struct keep_form *f)
{
    return (int)f->asked | f->stream << 4 | f->translated << 5 | f->reasons << 6;
}

struct keep_form keep_form_unpack(int packed)
{
    return (struct keep_form){.asked = (enum face)(packed & 15), .stream = packed >> 4 & 1, .translated = packed >> 5 & 1,
                              .reasons = packed >> 6 & 1};
}

bool keep_form_is_one(int64_t packed) { return packed >= 0 && packed < 1 << 7 && (packed & 15) < FACE_COUNT; }

/* ---- heads ---- */

void keep_tell_head(struct flight *f, const struct keep_head *h)
{
    struct buf text;
    buf_init(&text, 4096);
    buf_printf(&text, "%d %lld %s\n%s", keep_form_pack(&h->form), (long long)h->stale_since, h->provider, h->model);
    flight_tell(f, buf_all(&text));
    buf_free(&text);
}

bool keep_read_head(struct span record, struct arena *a, struct keep_head *h)
{
    char *text = arena_str(a, record), *end;
    if (!text) return false;
    long form = strtol(text, &end, 10);
    if (*end != ' ' || !keep_form_is_one(form)) return false;
    *h = (struct keep_head){.form = keep_form_unpack((int)form), .stale_since = strtoll(end, &end, 10)};
    char *line = *end == ' ' ? strchr(end, '\n') : NULL;
    if (!line) return false;
    *line = '\0';
    h->provider = end + 1;
    h->model = line + 1;
    return true;
}

#define FAILURE "failed " /* no head begins so */

void keep_tell_failure(struct flight *f, const struct keep_failure *failure)
{
    struct buf text;
    buf_init(&text, 64);
    buf_printf(&text, FAILURE "%d %d", failure->status, failure->retry_after_s);
    flight_tell(f, buf_all(&text));
    buf_free(&text);
}

bool keep_read_failure(struct span record, struct arena *a, struct keep_failure *failure)
{
    char *text = arena_str(a, record), *end;
    if (!text || strncmp(text, FAILURE, sizeof FAILURE - 1) != 0) return false;
    long status = strtol(text + sizeof FAILURE - 1, &end, 10), wait_s = strtol(end, &end, 10);
    if (*end || status < 400 || status > 599 || wait_s < 0 || wait_s > RETRY_MOST_S) return false;
    *failure = (struct keep_failure){(int)status, (int)wait_s};
    return true;
}

/* ---- keeping ---- */

static void keep_free(void *keep)
{
    buf_free(&((struct keep *)keep)->body);
    buf_free(&((struct keep *)keep)->last);
}

struct keep *keep_new(struct flight *f, size_t most, struct arena *a)
{
    struct keep *k = arena_alloc(a, sizeof *k);
    if (!k) return NULL;
    *k = (struct keep){.flight = f, .memory = a};
    buf_init(&k->body, most);
    buf_init(&k->last, BOUND_ANSWER);
    return arena_defer(a, keep_free, k) ? k : NULL;
}

void keep_begin(struct keep *k, const struct target *t, bool stream)
{
    if (!k) return;
    k->begun = true;
    k->whole = false;
    buf_clear(&k->body);
    buf_clear(&k->last);
    k->head = (struct keep_head){
        .form = {.asked = t->asked, .stream = stream, .translated = t->conversation != NULL,
                 .reasons = t->conversation && t->conversation->wants_reasoning},
        .provider = t->provider->name, .model = t->model};
}

/* What is too long to be kept is only passed on: the buffer then holds what followers have not got yet. */
void keep_take(struct keep *k, struct span events)
{
    if (!k) return;
    if (!k->is_too_long && buf_span(&k->body, events) == WEIR_OK) return;
    keep_flush(k);
    k->is_too_long = true;
    if (k->flight) flight_tell(k->flight, events);
    buf_clear(&k->body);
    k->told = 0;
}

void keep_flush(struct keep *k)
{
    if (!k || !k->flight || !k->begun) return;
    if (!k->head_told) keep_tell_head(k->flight, &k->head);
    k->head_told = true;
    if (k->told == k->body.len) return;
    flight_tell(k->flight, (struct span){k->body.at + k->told, k->body.len - k->told});
    k->told = k->body.len;
}

void keep_end(struct keep *k, const struct tap *tap, struct span last)
{
    if (!k) return;
    k->is_cut = tap->is_cut;
    k->is_refused = tap->is_refused;
    k->calls_tools = tap->calls_tools;
    k->whole = buf_span(&k->last, last) == WEIR_OK;
}

void keep_close(struct keep *k)
{
    if (!k || !k->flight || !k->whole) return;
    keep_flush(k);
    flight_end(k->flight, buf_all(&k->last));
}

bool keep_is_followed(struct keep *k)
{
    int64_t now = clock_mono_ms();
    if (!k || !k->flight) return false;
    if (k->looked && now - k->looked < LOOK_MS) return k->followed;
    k->looked = now;
    return k->followed = flight_is_followed(k->flight);
}
