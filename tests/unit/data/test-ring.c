/* SPDX-License-Identifier: Apache-2.0 */
/* Two threads, a small ring, every item checked. MR_RING_ITEMS sets how many (default 2 million;
 * 10^8 for the long run). */
#include "data/ring.h"
#include <glib.h>
#include <pthread.h>
#include <stdlib.h>

static uint64_t items = 2000000;

static void *produce(void *arg)
{
  struct mr_ring *r = arg;
  for (uint64_t i = 1; i <= items; i++)
    while (!mr_ring_push(r, (void *)(uintptr_t)i))
      g_thread_yield();
  return NULL;
}

static void run(size_t size)
{
  struct mr_ring r;
  pthread_t t;
  g_assert_true(mr_ring_init(&r, size));
  g_assert_cmpint(pthread_create(&t, NULL, produce, &r), ==, 0);
  for (uint64_t i = 1; i <= items; i++) {
    void *p;
    while (!(p = mr_ring_pop(&r)))
      g_thread_yield();
    if ((uintptr_t)p != i)
      g_error("item %lu came as %lu", (unsigned long)i, (unsigned long)(uintptr_t)p);
  }
  g_assert_null(mr_ring_pop(&r));
  pthread_join(t, NULL);
  mr_ring_finish(&r);
}

static void test_stress_small(void)
{
  run(2);
}
static void test_stress_large(void)
{
  run(1024);
}

static void test_full_and_empty(void)
{
  struct mr_ring r;
  g_assert_true(mr_ring_init(&r, 4));
  g_assert_null(mr_ring_pop(&r));
  for (uintptr_t i = 1; i <= 4; i++)
    g_assert_true(mr_ring_push(&r, (void *)i));
  g_assert_false(mr_ring_push(&r, (void *)5));
  g_assert_cmpuint(mr_ring_used(&r), ==, 4);
  g_assert_true(mr_ring_pop(&r) == (void *)1);
  g_assert_true(mr_ring_push(&r, (void *)5));
  for (uintptr_t i = 2; i <= 5; i++)
    g_assert_true(mr_ring_pop(&r) == (void *)i);
  mr_ring_finish(&r);
}

/* The indices wrap at 2^64 without a hiccup. */
static void test_wrap(void)
{
  struct mr_ring r;
  g_assert_true(mr_ring_init(&r, 4));
  r.tail = r.head = r.head_seen = r.tail_seen = UINT64_MAX - 1;
  for (uintptr_t i = 1; i <= 50; i++) {
    g_assert_true(mr_ring_push(&r, (void *)i));
    g_assert_true(mr_ring_push(&r, (void *)(i + 100)));
    g_assert_true(mr_ring_pop(&r) == (void *)i);
    g_assert_true(mr_ring_pop(&r) == (void *)(i + 100));
  }
  mr_ring_finish(&r);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  if (getenv("MR_RING_ITEMS"))
    items = g_ascii_strtoull(getenv("MR_RING_ITEMS"), NULL, 10);
  g_test_add_func("/ring/full-and-empty", test_full_and_empty);
  g_test_add_func("/ring/wrap", test_wrap);
  g_test_add_func("/ring/stress-small", test_stress_small);
  g_test_add_func("/ring/stress-large", test_stress_large);
  return g_test_run();
}
