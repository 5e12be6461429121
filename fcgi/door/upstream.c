/* Waiting for several calls at once. */
#include "fcgi/door/upstream.h"

#include <errno.h>
#include <poll.h>

#include "fcgi/base/clock.h"

#define FDS_A_CALL 6
#define CALLS_MOST 2

enum upstream_event upstream_pause(struct upstream *const *calls, int count, int client_fd, int stop_fd, int64_t until)
{
    struct pollfd fds[2 + CALLS_MOST * FDS_A_CALL] = {{.fd = client_fd, .events = POLLIN | POLLRDHUP},
                                                      {.fd = stop_fd, .events = POLLIN}};
    int n = 2;
    for (int i = 0; i < count && i < CALLS_MOST; i++) n += calls[i]->ops->watch(calls[i], fds + n, FDS_A_CALL, &until);
    for (;;) {
        int64_t left = until - clock_mono_ms();
        if (left <= 0) return UPSTREAM_TIMEOUT;
        int ready = poll(fds, (nfds_t)n, left > 60000 ? 60000 : (int)left);
        if (fds[0].revents && ready > 0) return UPSTREAM_GONE;
        if (fds[1].revents && ready > 0) return UPSTREAM_STOP;
        if (ready > 0 || (ready < 0 && errno != EINTR)) return UPSTREAM_TIMEOUT;
    }
}
