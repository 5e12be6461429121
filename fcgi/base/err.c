/* What callers are told of every error: one table, and the one place a problem is put together.
 * Statuses and codes: INTERFACE.md, table of errors; types of both dialects: WIRE.md 1 and 2. */
#include "fcgi/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "fcgi/base/text.h"

#define DEFECT {500, "server_error", "api_error", "internal_error", "The gateway failed to answer this request.", false}

static const struct weir_err_info infos[WEIR_ERR_COUNT] = {
    [WEIR_OK] = {200, "none", "none", NULL, "OK.", false},
    [WEIR_INVALID] = {400, "invalid_request_error", "invalid_request_error", NULL,
        "The request is malformed.", true},
    [WEIR_TOO_LONG] = {400, "invalid_request_error", "invalid_request_error", "context_length_exceeded",
        "The conversation is too long for this model.", true},
    [WEIR_UNAUTHENTICATED] = {401, "invalid_request_error", "authentication_error", "invalid_api_key",
        "No valid API key or token was given.", true},
    [WEIR_MODEL_FORBIDDEN] = {403, "invalid_request_error", "permission_error", "model_not_allowed",
        "This key may not use this model.", true},
    [WEIR_IDENTITY_FORBIDDEN] = {403, "invalid_request_error", "permission_error", "identity_not_allowed",
        "This key may not assert another identity.", true},
    [WEIR_IP_FORBIDDEN] = {403, "invalid_request_error", "permission_error", "ip_not_allowed",
        "This key may not be used from this address.", true},
    [WEIR_ENDPOINT_FORBIDDEN] = {403, "invalid_request_error", "permission_error", "endpoint_not_allowed",
        "This key may not be used at this endpoint.", true},
    [WEIR_ROLE_FORBIDDEN] = {403, "invalid_request_error", "permission_error", "role_not_allowed",
        "The role of this key may not do this.", true},
    [WEIR_MODEL_UNKNOWN] = {404, "invalid_request_error", "not_found_error", "model_not_found",
        "The model does not exist.", true},
    [WEIR_NOT_FOUND] = {404, "invalid_request_error", "not_found_error", "not_found",
        "There is nothing at this address.", true},
    [WEIR_METHOD] = {405, "invalid_request_error", "invalid_request_error", "method_not_allowed",
        "This address does not take this method.", true},
    [WEIR_LENGTH_REQUIRED] = {411, "invalid_request_error", "invalid_request_error", "length_required",
        "The request has no content-length.", true},
    [WEIR_TOO_LARGE] = {413, "invalid_request_error", "request_too_large", "request_too_large",
        "The request body is too large.", true},
    [WEIR_NOT_JSON] = {415, "invalid_request_error", "invalid_request_error", "unsupported_media_type",
        "The request body must be of type application/json.", true},
    [WEIR_UNPRICED] = {403, "invalid_request_error", "permission_error", "model_price_unknown",
        "The model has no price, and a limit on cost applies.", true},
    [WEIR_RATE_LIMITED] = {429, "rate_limit_error", "rate_limit_error", "rate_limit_exceeded",
        "A limit is reached; try again shortly.", false},
    [WEIR_QUOTA] = {429, "insufficient_quota", "rate_limit_error", "insufficient_quota",
        "A limit is used up.", true},
    [WEIR_UPSTREAM] = {502, "server_error", "api_error", "upstream_error",
        "No provider of this model could answer.", false},
    [WEIR_OVERLOADED] = {503, "server_error", "overloaded_error", "overloaded",
        "The gateway is at its limit of requests; try again shortly.", false},
    [WEIR_UNAVAILABLE] = {503, "server_error", "overloaded_error", "upstream_error",
        "No provider is usable at the moment.", false},
    [WEIR_UPSTREAM_TIMEOUT] = {504, "server_error", "timeout_error", "upstream_timeout",
        "The provider did not answer in time.", false},
    [WEIR_STORAGE] = {507, "server_error", "api_error", "storage_full",
        "The gateway cannot write its database; nothing was sent to a provider.", true},
    [WEIR_NOMEM] = DEFECT, [WEIR_FULL] = DEFECT, [WEIR_IO] = DEFECT, [WEIR_BUSY] = DEFECT, [WEIR_GONE] = DEFECT,
    [WEIR_EXISTS] = DEFECT, [WEIR_CORRUPT] = DEFECT, [WEIR_OTHER_KEY] = DEFECT, [WEIR_INTERNAL] = DEFECT,
};

const struct weir_err_info *weir_err_info(enum weir_err err)
{
    return &infos[(unsigned)err < WEIR_ERR_COUNT ? err : WEIR_INTERNAL];
}

static void copy_cut(char *to, size_t size, const char *from)
{
    size_t n = text_cut(span_of(from), size - 1);
    memcpy(to, from, n);
    to[n] = '\0';
}

enum weir_err problem_set(struct problem *p, enum weir_err err, const char *param, const char *fmt, ...)
{
    char text[sizeof p->text + 4] = ""; /* a whole character longer, so the cut sees where one would be split */
    if (fmt) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(text, sizeof text, fmt, args);
        va_end(args);
    }
    struct problem next = {.err = err};
    copy_cut(next.param, sizeof next.param, param ? param : "");
    copy_cut(next.text, sizeof next.text, text);
    *p = next;
    return err;
}
