/* What the room of a model call shares: its state, and the answers that are another's too. */
#ifndef WEIR_MODEL_CALL_ROOM_H
#define WEIR_MODEL_CALL_ROOM_H

#include "fcgi/gateway.h"
#include "fcgi/stage/keep.h"
#include "fcgi/stage/settle.h"

#define SHORT 1024 /* bytes of most bodies and answers */

/* What the whole way needs, and what the steps leave. */
struct model_call {
    const struct gateway *g;
    struct request *r;
    struct arena *memory;
    enum face face;
    const char *endpoint;
    struct caller caller;
    struct buf body;
    struct buf with_preset; /* the body with what its alias says before it; empty if that is nothing */
    struct buf fitted;      /* the body that is sent instead of either; empty if that is the same */
    struct chat chat;
    struct plan plan;
    struct reuse reuse;
    struct flight *flight; /* that this request leads; NULL: none */
    struct keep_failure failure; /* of the last that was followed in vain */
    struct ticket ticket;
    struct outcome out;
    bool settled;          /* its row is written */
    struct ledger_refusal refusal;
    struct settling settling;
    void (*done)(void *arg); /* the call has ended */
    void *arg;
};

static inline void note_limits(struct model_call *c)
{
    c->out.requests = c->ticket.grant.requests;
    c->out.tokens = c->ticket.grant.tokens;
}

/* borrowed.c: an answer that is there already, or on its way to another. */

/* What is told of the cache's entry, into the outcome. WEIR_NOT_FOUND: it cannot be told to this caller. */
enum weir_err borrowed_take(struct model_call *c, const char *how);
/* Such a request is counted, and costs nothing. */
void borrowed_ask(const struct model_call *c, struct ledger_ask *ask);
/* Books what was taken, waiting, and begins to tell it. */
enum weir_err borrowed_give(struct model_call *c);
/* The same once settle_at_once has come to that. */
enum weir_err borrowed_booked(struct model_call *c, enum weir_err err);
/* True: the request has its outcome, or *err. Otherwise it has to be fetched, and c->flight may be to be led. */
bool borrowed_along(struct model_call *c, enum weir_err *err);
/* Where everything has failed, an answer that has expired is better than none, if the alias says so. err: how fetching
 * ended; also what is returned if there is none. */
enum weir_err borrowed_stale(struct model_call *c, enum weir_err err);
/* Every provider has failed, and not this gateway (it stops, or has no memory): those who follow are told, if they have been
 * told nothing else. */
void borrowed_failure(struct model_call *c, enum weir_err err);
void borrowed_leave(struct model_call *c); /* the flight, if this request leads one */

#endif
