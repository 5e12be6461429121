/* The threads of weir-admin.fcgi: a few, all waiting for requests, until told to stop. */
#ifndef WEIR_ADMIN_WEB_SERVE_H
#define WEIR_ADMIN_WEB_SERVE_H

#include "admin/web.h"

/* Before threads: the signal that wakes a thread from accepting is taken and blocked. */
void web_serve_prepare(void);

/* Serves from the listening socket until a signal waited for on signal_fd (signalfd(2)) arrives or the socket becomes
 * unusable; then lets what runs finish for drain_ms. True: nothing is left running. */
bool web_serve(const struct web *web, int signal_fd, int64_t drain_ms);

#endif
