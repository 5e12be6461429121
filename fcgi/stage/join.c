/* Reading along. Each follower waits in its own thread, woken when the leader has told more; it asks no provider and holds
 * no connection. */
#include "fcgi/stage/join.h"

#include "fcgi/base/clock.h"
#include "fcgi/stage/answer.h"
#include "fcgi/stage/retell.h"

#define CLIENT_GONE_STATUS 499 /* told to nobody */

/* ---- how it may end without an answer ---- */

static enum joined over(struct join *j, struct outcome *o, enum flight_event event)
{
    bool gone = event == FLIGHT_GONE || (event == FLIGHT_STOP && j->is_cgi);
    o->end = gone ? END_CANCELLED : END_FAILED;
    if (!gone && event == FLIGHT_STOP) problem_set(&o->problem, WEIR_UNAVAILABLE, NULL, "The gateway is stopping.");
    else if (!gone) problem_set(&o->problem, WEIR_UPSTREAM_TIMEOUT, NULL, NULL);
    if (!o->begun) o->status = gone ? CLIENT_GONE_STATUS : weir_err_info(o->problem.err)->status;
    return JOINED_OVER;
}

static enum flight_event wait_on(struct join *j, int64_t deadline, struct span *record)
{
    return flight_wait(j->flight, conn_watch_fd(j->r->conn), j->stop_fd, deadline, record);
}

enum joined join_wait(struct join *j, struct outcome *out)
{
    struct span record;
    int64_t until = j->r->begun_mono_ms + j->settings->deadline_ms;
    enum flight_event event = wait_on(j, until, &record);
    /* Until it has left, whoever joins would follow the same one. */
    while (event == FLIGHT_RECORD && keep_read_failure(record, j->memory, &j->failure)) event = wait_on(j, until, &record);
    if (event == FLIGHT_FAILED || event == FLIGHT_END) return JOINED_FAILED; /* an end without a beginning is none of ours */
    if (event != FLIGHT_RECORD) return over(j, out, event);
    return keep_read_head(record, j->memory, &j->head) ? JOINED : JOINED_FAILED;
}

/* ---- streams ---- */

struct teller { struct join *j; struct outcome *out; struct retelling *retelling; struct buf events; int64_t spoke, until; };

/* False: the client has gone. */
static bool speak(struct teller *t, struct span events)
{
    t->spoke = clock_mono_ms();
    return answer_stream_part(t->j->r, events) == WEIR_OK && conn_flush(t->j->r->conn) == WEIR_OK;
}

static enum joined broken(struct teller *t, enum weir_err err, const char *text)
{
    t->out->end = END_TRUNCATED;
    problem_set(&t->out->problem, err, NULL, "%s", text);
    retell_break(t->retelling, &t->out->problem, &t->out->tail);
    return JOINED;
}

static enum joined gone(struct teller *t)
{
    t->out->end = END_CANCELLED;
    return JOINED_OVER;
}

/* One event of the flight. False: *how says how it ended. */
static bool tell_next(struct teller *t, enum joined *how)
{
    struct span record;
    int64_t quiet = t->spoke + t->j->settings->keepalive_ms;
    bool heard = true;
    buf_clear(&t->events);
    switch (wait_on(t->j, quiet < t->until ? quiet : t->until, &record)) {
    case FLIGHT_RECORD:
        retell_take(t->retelling, record, &t->events);
        heard = !t->events.len || speak(t, buf_all(&t->events));
        break;
    case FLIGHT_END:
        t->out->end = END_OK;
        *how = JOINED;
        if (!retell_end(t->retelling, record, &t->out->tail)) *how = broken(t, WEIR_UPSTREAM, "The answer is not whole.");
        return false;
    case FLIGHT_TIMEOUT:
        if (clock_mono_ms() < t->until) {
            heard = speak(t, SPAN(": keep-alive\n\n"));
            break;
        }
        *how = broken(t, WEIR_UPSTREAM_TIMEOUT, "The provider's answer broke off; it is not whole.");
        return false;
    case FLIGHT_FAILED:
        *how = broken(t, WEIR_UPSTREAM, "The provider's answer broke off; it is not whole.");
        return false;
    case FLIGHT_STOP:
        *how = t->j->is_cgi ? gone(t) : broken(t, WEIR_UNAVAILABLE, "The gateway is stopping; the answer is not whole.");
        return false;
    case FLIGHT_GONE: heard = false; break;
    }
    if (!heard) *how = gone(t);
    return heard;
}

enum joined join_stream(struct join *j, struct outcome *out)
{
    enum joined how = JOINED;
    int64_t now = clock_mono_ms();
    struct teller t = {.j = j, .out = out, .spoke = now, .until = now + TOTAL_MS_DEFAULT};
    t.retelling = retell_new(j->chat, &j->head.form, j->r->id, clock_wall_ms() / 1000, j->memory);
    if (!t.retelling) {
        out->end = END_FAILED;
        problem_set(&out->problem, WEIR_NOMEM, NULL, NULL);
        out->status = weir_err_info(WEIR_NOMEM)->status;
        return JOINED_OVER;
    }
    buf_init(&t.events, BOUND_ANSWER);
    out->begun = true;
    out->status = 200;
    out->first_byte_ms = now - j->r->begun_mono_ms;
    if (answer_stream_begin(j->r, out) != WEIR_OK || conn_flush(j->r->conn) != WEIR_OK) how = gone(&t);
    else while (tell_next(&t, &how)) continue;
    retell_free(t.retelling);
    buf_free(&t.events);
    return how;
}

/* ---- plain answers ---- */

enum joined join_plain(struct join *j, struct outcome *out)
{
    struct span record;
    struct buf none;
    enum flight_event event;
    int64_t until = clock_mono_ms() + TOTAL_MS_DEFAULT;
    struct retelling *t = retell_new(j->chat, &j->head.form, j->r->id, clock_wall_ms() / 1000, j->memory);
    if (!t) return JOINED_FAILED;
    buf_init(&none, BOUND_ANSWER);
    while ((event = wait_on(j, until, &record)) == FLIGHT_RECORD) retell_take(t, record, &none);
    bool whole = event == FLIGHT_END && retell_end(t, record, &out->body);
    retell_free(t);
    buf_free(&none);
    if (event != FLIGHT_END && event != FLIGHT_FAILED) return over(j, out, event);
    if (!whole) {
        buf_free(&out->body);
        j->failure.status = weir_err_info(WEIR_UPSTREAM)->status;
        return JOINED_FAILED;
    }
    out->end = END_OK;
    out->status = 200;
    out->first_byte_ms = clock_mono_ms() - j->r->begun_mono_ms;
    return JOINED;
}
