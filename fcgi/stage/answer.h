/* How answers go out: the one place that knows whether the first byte has gone, and so whether a failure is still a
 * status or already an event. Used by every stage that speaks to the caller. */
#ifndef WEIR_STAGE_ANSWER_H
#define WEIR_STAGE_ANSWER_H

#include "fcgi/stage/way.h"

/* A whole JSON answer. o: what went through a model (x-weir-* headers), NULL if none did. allow: the Allow header's
 * value, NULL for none. */
enum weir_err answer_json(const struct request *r, int status, struct span body, const struct outcome *o, const char *allow);
/* 204 with Allow, for OPTIONS. */
enum weir_err answer_options(const struct request *r, const char *allow);
/* An error in the caller's form, to a request that went no further; what is left of its body is skipped. allow as above. */
enum weir_err answer_problem(const struct request *r, const struct problem *p, const char *allow);
/* What the relay ended with: its body, its problem (with the upstream's own words), or the tail of its stream. */
enum weir_err answer_outcome(const struct request *r, const struct outcome *o);

/* The head of a stream. Sent with the first flush. */
enum weir_err answer_stream_begin(const struct request *r, const struct outcome *o);
/* Whole events of a stream; recorded if the request has a record. */
enum weir_err answer_stream_part(const struct request *r, struct span events);

/* What a caller is told of a failure: the upstream's words where it had some, else ours; the type as the caller's family of
 * faces has it. Strings are p's, f's, or static; empty or NULL where there is none. */
struct error_words { const char *message, *type, *param, *code; };
struct error_words answer_error_words(bool anthropic, const struct problem *p, const struct fault *f);
/* The whole error body of that family. */
void answer_error_body(bool anthropic, const char *request_id, const struct problem *p, const struct fault *f,
                       struct buf *out);
/* An in-band error, as an event of the face that the SDKs raise for (WIRE.md 1), into `out`. sequence: responses: the last
 * event's number. */
void answer_error_event(enum face face, const char *request_id, const struct problem *p, const struct fault *f,
                        int64_t sequence, struct buf *out);

#endif
