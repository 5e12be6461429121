/* How the administrators' responder answers: JSON and pages, whole, never cached; exports, as they come; errors of JSON in
 * OpenAI's form (INTERFACE.md). Every head forbids framing, sniffing, foreign content and script that is not a file. */
#ifndef WEIR_ADMIN_WEB_ANSWER_H
#define WEIR_ADMIN_WEB_ANSWER_H

#include "admin/web_request.h"

#define COOKIES_MAX 2

/* What a head says beside what it always says; zeroed it is a plain 200. */
struct web_head {
    int status;                           /* 0: 200 */
    const char *type;                     /* Content-Type; NULL: JSON */
    const char *location;                 /* of a redirect; safe for a header line */
    const char *cookies[COOKIES_MAX];     /* Set-Cookie; NULL: none */
    const char *file;                     /* offered for saving under this name; NULL: shown */
    int retry_after_s;
};

enum weir_err web_answer(const struct web_request *r, const struct web_head *h, struct span body);
/* A head whose body follows by conn_write, of a length not known yet. */
enum weir_err web_answer_start(const struct web_request *r, const struct web_head *h);
/* allow: the Allow header's value, NULL for none. */
enum weir_err web_answer_problem(const struct web_request *r, const struct problem *p, const char *allow);
/* 204 with Allow, for OPTIONS. */
enum weir_err web_answer_options(const struct web_request *r, const char *allow);

#endif
