/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include "engine/latency.h"

#define S INT64_C(1000000)

static struct mr_latency_view at(const struct mr_latency *l, int64_t now_us)
{
  struct mr_latency_view v;
  mr_latency_view(l, now_us, &v);
  return v;
}

/* Never below the true value, and at most an eighth above. */
static void assert_near(int64_t found, int64_t wanted)
{
  g_assert_cmpint(found, >=, wanted);
  g_assert_cmpint(found, <=, wanted + wanted / 8 + 1);
}

static void test_percentiles(void)
{
  g_autofree struct mr_latency *l = g_new0(struct mr_latency, 1);
  for (int64_t i = 1; i <= 1000; i++)
    mr_latency_add(l, 100 * S, i * 1000, 1);
  struct mr_latency_view v = at(l, 101 * S);
  assert_near(v.p50_us, 500000);
  assert_near(v.p95_us, 950000);
  assert_near(v.p99_us, 990000);
  g_assert_cmpint(v.rows, ==, 1000);
  g_assert_cmpint(v.sum_us, ==, 500500000);
}

static void test_every_size(void)
{
  for (int64_t us = 1; us < INT64_C(1) << 39; us = us * 9 / 8 + 1) {
    g_autofree struct mr_latency *l = g_new0(struct mr_latency, 1);
    mr_latency_add(l, S, us, 7);
    assert_near(at(l, S).p99_us, us);
  }
  g_autofree struct mr_latency *l = g_new0(struct mr_latency, 1);
  mr_latency_add(l, S, INT64_MAX, 1);
  mr_latency_add(l, S, -5, 1);
  g_assert_cmpint(at(l, S).p50_us, ==, 0);
  g_assert_cmpint(at(l, S).p99_us, >=, INT64_C(1) << 39);
}

/* After a minute without rows there is nothing to say, but of all time. */
static void test_forgets(void)
{
  g_autofree struct mr_latency *l = g_new0(struct mr_latency, 1);
  g_assert_cmpint(at(l, 5 * S).p50_us, ==, -1);
  mr_latency_add(l, 5 * S, 1000, 10);
  g_assert_cmpint(at(l, 60 * S).p50_us, >=, 1000);
  g_assert_cmpint(at(l, 75 * S).p50_us, ==, -1);
  g_assert_cmpint(at(l, 75 * S).rows, ==, 10);
  mr_latency_add(l, 76 * S, 4000, 1); /* its slot held the first rows */
  g_assert_cmpint(at(l, 76 * S).p50_us, >=, 4000);
}

static void test_rate(void)
{
  g_autofree struct mr_latency *l = g_new0(struct mr_latency, 1);
  for (int64_t s = 3; s < 35; s++)
    mr_latency_add(l, s * S, 1000, 200);
  g_assert_cmpfloat(at(l, 35 * S).rows_per_second, ==, 200);
  g_assert_cmpfloat(at(l, 60 * S).rows_per_second, ==, 0);
  g_autofree struct mr_latency *young = g_new0(struct mr_latency, 1);
  mr_latency_add(young, 3 * S, 1000, 50);
  g_assert_cmpfloat(at(young, 3 * S).rows_per_second, ==, 50);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/latency/percentiles", test_percentiles);
  g_test_add_func("/latency/every-size", test_every_size);
  g_test_add_func("/latency/forgets", test_forgets);
  g_test_add_func("/latency/rate", test_rate);
  return g_test_run();
}
