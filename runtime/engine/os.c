/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/os.h"
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int64_t clock_us(clockid_t id)
{
  struct timespec t;
  clock_gettime(id, &t);
  return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static int64_t real_now(struct mr_os *os)
{
  return clock_us(CLOCK_BOOTTIME);
}
static int64_t real_wall(struct mr_os *os)
{
  return clock_us(CLOCK_REALTIME);
}

static uint64_t real_random(struct mr_os *os)
{
  uint64_t v = 0;
  if (getrandom(&v, sizeof v, GRND_NONBLOCK) != (ssize_t)sizeof v)
    v = (uint64_t)clock_us(CLOCK_MONOTONIC) * 2654435761u;
  return v;
}

static long futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
  return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, timeout, NULL, 0);
}

static void real_wait(struct mr_os *os, struct mr_event *e, uint32_t seen, int64_t timeout_us)
{
  struct timespec t = {timeout_us / 1000000, timeout_us % 1000000 * 1000};
  /* seq_cst on both sides: either the waker sees the waiter, or the waiter sees the new seq (the
   * kernel compares it again) */
  atomic_fetch_add_explicit(&e->waiters, 1, memory_order_seq_cst);
  if (atomic_load_explicit(&e->seq, memory_order_seq_cst) == seen)
    futex(&e->seq, FUTEX_WAIT, seen, timeout_us < 0 ? NULL : &t);
  atomic_fetch_sub_explicit(&e->waiters, 1, memory_order_seq_cst);
}

static void real_wake(struct mr_os *os, struct mr_event *e)
{
  atomic_fetch_add_explicit(&e->seq, 1, memory_order_seq_cst);
  if (atomic_load_explicit(&e->waiters, memory_order_seq_cst))
    futex(&e->seq, FUTEX_WAKE, INT32_MAX, NULL);
}

struct start {
  pthread_t thread;
  void (*fn)(void *);
  void *arg;
};

static void *trampoline(void *p)
{
  struct start *s = p;
  s->fn(s->arg);
  return NULL;
}

static void *real_spawn(struct mr_os *os, void (*fn)(void *), void *arg, const char *name)
{
  struct start *s = calloc(1, sizeof *s);
  if (!s)
    return NULL;
  s->fn = fn;
  s->arg = arg;
  if (pthread_create(&s->thread, NULL, trampoline, s)) {
    free(s);
    return NULL;
  }
  char short_name[16] = {0};
  for (int i = 0; i < 15 && name[i]; i++)
    short_name[i] = name[i];
  pthread_setname_np(s->thread, short_name);
  return s;
}

static void real_join(struct mr_os *os, void *thread)
{
  struct start *s = thread;
  pthread_join(s->thread, NULL);
  free(s);
}

struct mr_os *mr_os_real(void)
{
  static struct mr_os os = {real_now,  real_wall,  real_random, real_wait,
                            real_wake, real_spawn, real_join};
  return &os;
}
