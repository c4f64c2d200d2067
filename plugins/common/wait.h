/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a server's socket: with a deadline, and an eye on the runtime's wake_fd. */
#ifndef WAIT_H
#define WAIT_H
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include "common/clock.h"

enum waited { WAITED_OVER, WAITED_READY, WAITED_WOKEN };

/* Waits for events (of poll) until until_ms (clock_now_ms). OVER: that passed. WOKEN: the call
 * should return; grace_ms > 0: it may first go on for so long. READY: *ret_events (may be NULL) is
 * what poll saw, a fault included: the call that follows finds out what is wrong. wake_fd -1: there
 * is none. */
static inline enum waited wait_fd(int fd, short events, int wake_fd, int64_t until_ms,
                                  int64_t grace_ms, short *ret_events)
{
  struct pollfd p[2] = {{.fd = fd, .events = events}, {.fd = wake_fd, .events = POLLIN}};
  enum waited late = WAITED_OVER;
  for (;;) {
    int64_t left = until_ms - clock_now_ms();
    int n = poll(p, 2, left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 || p[0].revents) {
      if (ret_events)
        *ret_events = n < 0 ? POLLERR : p[0].revents;
      return WAITED_READY;
    }
    if (n == 0)
      return late;
    if (grace_ms <= 0)
      return WAITED_WOKEN;
    late = WAITED_WOKEN;
    p[1].fd = -1;
    if (until_ms > clock_now_ms() + grace_ms)
      until_ms = clock_now_ms() + grace_ms;
  }
}

/* Why a wait that was not READY ended, for a message; the text is buf. */
static inline const char *wait_why(enum waited w, int64_t timeout_ms, char *buf, size_t size)
{
  if (w == WAITED_OVER)
    snprintf(buf, size, "no answer within %lld ms", (long long)timeout_ms);
  else
    snprintf(buf, size, "stopped waiting because the run is to end");
  return buf;
}

#endif
