/* What checking a text and walking it share. Only fcgi/base/jcheck.c and fcgi/base/jscan.c include it. */
#ifndef WEIR_BASE_JSCAN_ROOM_H
#define WEIR_BASE_JSCAN_ROOM_H

#include "fcgi/base/jscan.h"

static inline const char *skip_space(const char *at, const char *end)
{
    if (at < end && *at > ' ') /* mostly there is none */
        return at;
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

static inline int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* By its first byte. */
static inline enum json_kind kind_of(char first)
{
    switch (first) {
    case '{': return JSON_OBJECT;
    case '[': return JSON_ARRAY;
    case '"': return JSON_STRING;
    case 't': return JSON_TRUE;
    case 'f': return JSON_FALSE;
    case 'n': return JSON_NULL;
    default: return JSON_NUMBER;
    }
}

#endif
