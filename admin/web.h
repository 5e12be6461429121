/* What the parts of weir-admin.fcgi share: what the process has, what one request has, and the way of a request. */
#ifndef WEIR_ADMIN_WEB_H
#define WEIR_ADMIN_WEB_H

#include "admin/web_request.h"
#include "sql/admin_keys.h"

/* The process's; read by all threads. */
struct web {
    const char *data_dir, *db_path, *master_path;
    const char *mount; /* the URL prefix it lives under where a request names none; "" for none */
    struct master_key *master; /* renewed after a rotation, by whichever thread sees it first */
    struct web_ids *ids;
};

/* One request's. */
struct web_way {
    const struct web *web;
    struct db *db; /* the thread's, on the administrators' list; no transaction is open */
    struct web_request r;
    struct arena memory;
    struct admin_key who; /* who asks, with a role that may */
    struct problem problem;
};

/* Serves the accepted request: reads it, finds its route, asks who it is, answers. *db is the thread's connection, opened
 * here when it is NULL or its file was replaced; the thread closes it. */
void web_run(const struct web *web, struct db **db, struct conn *conn);

#endif
