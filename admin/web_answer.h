/* How the administrators' responder answers: JSON, whole, never cached; errors in OpenAI's form (INTERFACE.md). */
#ifndef WEIR_ADMIN_WEB_ANSWER_H
#define WEIR_ADMIN_WEB_ANSWER_H

#include "admin/web_request.h"

enum weir_err web_answer_json(const struct web_request *r, struct span body);
/* allow: the Allow header's value, NULL for none. */
enum weir_err web_answer_problem(const struct web_request *r, const struct problem *p, const char *allow);
/* 204 with Allow, for OPTIONS. */
enum weir_err web_answer_options(const struct web_request *r, const char *allow);

#endif
