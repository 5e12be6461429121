/* What the parts of weir-admin.fcgi share: what the process has, what one request has, and the way of a request. */
#ifndef WEIR_ADMIN_WEB_H
#define WEIR_ADMIN_WEB_H

#include "admin/form.h"
#include "admin/manage.h"
#include "admin/web_answer.h"
#include "admin/web_request.h"
#include "sql/administrators.h"

/* The process's; read by all threads. */
struct web {
    const char *data_dir, *db_path, *master_path;
    const char *mount; /* the URL prefix it lives under where a request names none; "" for none */
    struct master_key *master; /* renewed after a rotation, by whichever thread sees it first */
    struct id_source *ids;
};

/* Who asks: an administrator's key, or an administrator with a session. */
struct web_who {
    const char *name;       /* NULL: nobody is known */
    enum admin_role role;
    int64_t key;            /* id of the administrator's key; 0: a session */
    int64_t administrator;  /* id; 0: a key */
    bool must_change;       /* the password, before anything else */
    struct client_hash session;
    char csrf[48];          /* what every form of this session carries */
    int64_t last_seen;      /* when the key or session was last noted as used; 0: never */
};

/* One request's. */
struct web_way {
    const struct web *web;
    struct db *db; /* the thread's, on the administrators' list; no transaction is open */
    struct web_request r;
    struct arena memory;
    struct web_who who;
    struct form query, form; /* of pages: what stands behind the '?', and what a POST brought */
    struct web_head head;    /* the answer's; a page may change it */
    bool sent;               /* the route has written its answer itself */
    struct problem problem;
    /* Of a form: the field and what is wrong with it; empty: nothing. may_insist: it may be sent again as it is. */
    struct { char name[80], text[240]; bool may_insist; } fault;
};

/* Serves the accepted request: reads it, finds its route, asks who it is, answers. *db is the thread's connection, opened
 * here when it is NULL or its file was replaced; the thread closes it. */
void web_run(const struct web *web, struct db **db, struct conn *conn);

/* A change made by who asks. */
struct manager web_manager(struct web_way *w);

#endif
