/* A request to the administrators' responder: its line, the headers that matter, query and body. */
#ifndef WEIR_ADMIN_WEB_REQUEST_H
#define WEIR_ADMIN_WEB_REQUEST_H

#include <stdint.h>

#include "fcgi/base/address.h"
#include "fcgi/base/buf.h"
#include "fcgi/door/fastcgi.h"

enum web_method { WEB_GET, WEB_HEAD, WEB_POST, WEB_PUT, WEB_DELETE, WEB_OPTIONS, WEB_OTHER };

/* What was asked, before anything of it is believed. */
struct web_request {
    struct conn *conn;
    enum web_method method;
    struct span path;         /* decoded, below the mount prefix, begins with '/' */
    struct span mount;        /* the prefix as the client wrote it, without a '/' at its end; empty for none */
    bool path_is_bad;         /* could not be decoded */
    struct span query;        /* undecoded, without the '?' */
    char id[BOUND_REQUEST_ID + 1];
    const char *content_type; /* NULL: none */
    const char *length;       /* CONTENT_LENGTH, NULL: none */
    struct web_header { const char *value; int times; } api_key, authorization, forwarded_for, forwarded, forwarded_host,
        fetch_site;            /* the last, and how often it came */
    const char *cookie, *csrf; /* the headers Cookie and x-csrf-token; NULL: none */
    const char *origin, *host; /* NULL: none */
    const char *ip;            /* who the web server talks to; "" if it does not say */
    bool is_https;             /* between client and web server, or so a proxy says; decides about cookies only */
    int64_t begun_wall_ms;
};

/* Fills *r from the open connection. WEIR_NOMEM. */
enum weir_err web_request_read(struct conn *conn, const char *mount, struct id_source *ids, struct arena *a,
                               struct web_request *r);

/* Reads a whole JSON body, at most BOUND_ADMIN_BODY bytes. WEIR_NOT_JSON (by its content-type), WEIR_TOO_LARGE,
 * WEIR_LENGTH_REQUIRED, WEIR_INVALID (shorter than announced), WEIR_NOMEM; *p says it to the caller. */
enum weir_err web_request_body(const struct web_request *r, struct buf *body, struct problem *p);

/* The same for what a form sends. A body of another type is refused as WEIR_INVALID. */
enum weir_err web_request_form(const struct web_request *r, struct buf *body, struct problem *p);

/* The query's values by name, decoded, the arena's: values[i] of names[i] (NULL ends the list), NULL where it is not
 * given. WEIR_INVALID: another name, one given twice, a bad escape, not UTF-8; *p names it. */
enum weir_err web_request_query(const struct web_request *r, const char *const *names, const char **values, struct arena *a,
                                struct problem *p);

#endif
