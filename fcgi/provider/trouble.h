/* What was wrong with whom when an attempt failed: for the breakers, for the keys, and for what is tried next. */
#ifndef WEIR_PROVIDER_TROUBLE_H
#define WEIR_PROVIDER_TROUBLE_H

#include "fcgi/provider/tap.h"

enum trouble {
    TROUBLE_NONE,      /* it answered */
    TROUBLE_UNREACHED, /* no HTTP answer: no connection, or no word in time */
    TROUBLE_BROKEN,    /* it answered, but not as it should: 5xx, 408, what is no answer */
    TROUBLE_LIMITED,   /* the key's limit: 429, 498 */
    TROUBLE_QUOTA,     /* the key's account is used up; waiting does not help soon */
    TROUBLE_KEY,       /* the key is refused */
    TROUBLE_UNKNOWN,   /* the target does not know what was asked for */
    TROUBLE_LENGTH,    /* the request is longer than the model's context */
    TROUBLE_REQUEST,   /* the request is at fault */
    TROUBLE_OURS       /* memory, configuration */
};

/* By status and words. OpenAI's, and all who follow it; Gemini's and Anthropic's have habits of their own. */
enum trouble trouble_openai(int status, const struct fault *f);
enum trouble trouble_anthropic(int status, const struct fault *f);
enum trouble trouble_gemini(int status, const struct fault *f);
/* May another key or target do better? */
bool trouble_may_move_on(enum trouble t);

#endif
