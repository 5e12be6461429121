/* Third step: what is asked. */
#ifndef WEIR_STAGE_PARSE_H
#define WEIR_STAGE_PARSE_H

#include "fcgi/stage/way.h"

/* Is the content type JSON's (or none at all)? WEIR_NOT_JSON in *p otherwise. */
enum weir_err parse_content_type(const char *content_type, struct problem *p);

/* Checks the body and fills *c, whose spans lie in body. WEIR_INVALID names the field in *p: "messages[1].role: ...".
 * Fields this table does not know pass through to the provider unread. */
enum weir_err parse_chat(enum face face, struct span body, struct arena *a, struct chat *c, struct problem *p);

/* What a message must say that is to be answered, and not only counted: max_tokens, on Anthropic's face. */
enum weir_err parse_maximum(const struct chat *c, struct problem *p);

#endif
