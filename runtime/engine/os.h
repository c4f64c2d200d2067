/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine needs of the machine: clock, threads, sleeping. The program uses mr_os_real; the
 * simulation brings its own, on which the same engine code runs with a clock, schedule and crashes
 * drawn from a seed. */
#ifndef MR_OS_H
#define MR_OS_H
#include <stdatomic.h>
#include <stdint.h>

/* An eventcount: read seq, test your condition, wait with the seq you read. A wake between the two
 * is never lost. */
struct mr_event {
  _Atomic uint32_t seq, waiters;
};
static inline uint32_t mr_event_seen(struct mr_event *e)
{
  return atomic_load_explicit(&e->seq, memory_order_seq_cst);
}

struct mr_os {
  int64_t (*now_us)(struct mr_os *os);  /* monotonic, across suspend */
  int64_t (*wall_us)(struct mr_os *os); /* since 1970-01-01, for people */
  uint64_t (*random)(struct mr_os *os); /* for jitter */
  /* Returns when e was woken since `seen` was read, or after timeout_us (< 0: never by time), or
   * for no reason. */
  void (*wait)(struct mr_os *os, struct mr_event *e, uint32_t seen, int64_t timeout_us);
  void (*wake)(struct mr_os *os, struct mr_event *e); /* any thread; cheap when nobody waits */
  void *(*spawn)(struct mr_os *os, void (*fn)(void *), void *arg,
                 const char *name); /* NULL: no thread to be had */
  void (*join)(struct mr_os *os, void *thread);
};
struct mr_os *mr_os_real(void);
static inline int64_t mr_now_us(struct mr_os *os)
{
  return os->now_us(os);
}

#endif
