/* Which errors mean what, by provider (WIRE.md 1 to 3). */
#include "fcgi/provider/trouble.h"

static bool says(const struct fault *f, const char *const *words)
{
    for (; *words; words++)
        if (strstr(f->code, *words) || strstr(f->type, *words) || strcasestr(f->message, *words)) return true;
    return false;
}

/* The same where the caller may have written the words himself: many errors of 400 quote what they find fault with, so
 * only codes count, and how a message begins. */
static bool says_itself(const struct fault *f, const char *const *words)
{
    for (; *words; words++)
        if (strstr(f->code, *words) || strstr(f->type, *words) || strncasecmp(f->message, *words, strlen(*words)) == 0)
            return true;
    return false;
}

/* The names that servers have for a prompt that does not fit (OpenAI, vLLM, llama.cpp, Anthropic, Gemini). */
static bool is_too_long(int status, const struct fault *f)
{
    static const char *const words[] = {"context_length", "context length", "context window", "context size",
                                        "exceed_context", "prompt is too long",
                                        "exceeds the maximum number of tokens", NULL};
    return (status == 400 || status == 413 || status == 422) && says(f, words);
}

/* Out of money, or of what was bought: no waiting of a minute helps. */
static bool is_used_up(int status, const struct fault *f)
{
    static const char *const words[] = {"insufficient_quota", "spend_limit_exceeded", "credit_balance",
                                        "usage_limit_exceeded", "credit balance is too low", "billing_error",
                                        "Your credit balance is too low", NULL};
    return status == 402 || ((status == 429 || status == 403) && says(f, words)) || (status == 400 && says_itself(f, words));
}

/* Groq answers 413 to what is above its limit of tokens a minute. */
static bool is_a_rate(int status, const struct fault *f)
{
    return status == 429 || status == 498 || (status == 413 && strcmp(f->code, "rate_limit_exceeded") == 0);
}

enum trouble trouble_openai(int status, const struct fault *f)
{
    if (is_used_up(status, f)) return TROUBLE_QUOTA;
    /* A project that may not use one model answers 403 for it; its key is good for the others. */
    if (status == 404 || (status == 403 && strcmp(f->code, "model_not_found") == 0)) return TROUBLE_UNKNOWN;
    if (status == 401 || status == 403) return TROUBLE_KEY;
    if (is_a_rate(status, f)) return TROUBLE_LIMITED;
    if (status == 408 || status >= 500) return TROUBLE_BROKEN;
    return is_too_long(status, f) ? TROUBLE_LENGTH : TROUBLE_REQUEST;
}

enum trouble trouble_anthropic(int status, const struct fault *f)
{
    /* 403 is also told of a request from a place that is not served: the key does no better there. */
    if (strcmp(f->type, "overloaded_error") == 0) return TROUBLE_BROKEN;
    return trouble_openai(status, f);
}

/* Google answers 400 to a key that it does not know, and 429 also where a day's quota is gone. */
enum trouble trouble_gemini(int status, const struct fault *f)
{
    static const char *const key[] = {"API key not valid", "API_KEY_INVALID", "API key expired", NULL};
    if (status == 400 && says_itself(f, key)) return TROUBLE_KEY;
    return trouble_openai(status, f);
}

bool trouble_may_move_on(enum trouble t) { return t != TROUBLE_LENGTH && t != TROUBLE_REQUEST; }
