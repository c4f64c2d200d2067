/* SPDX-License-Identifier: Apache-2.0 */
/* Positions of a scan: read back, ordered; ranges that share the ring without gap or overlap. */
#include <glib.h>
#include "sources/cassandra/cassandra.h"

static void test_positions(void)
{
  static const struct cass_mark marks[] = {
      {.kind = CASS_START},
      {.kind = CASS_AT, .token = INT64_MIN, .count = 1, .hash = UINT64_MAX},
      {.kind = CASS_AT, .token = -1, .count = 1},
      {.kind = CASS_AT, .token = -1, .count = 2},
      {.kind = CASS_AT, .token = 0, .count = 1},
      {.kind = CASS_AT, .token = 5, .count = 300, .hash = 7},
      {.kind = CASS_AT, .token = INT64_MAX, .count = 1},
      {.kind = CASS_DONE},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(marks); i++) {
    struct mr_position p = cass_mark_position(&marks[i]);
    struct cass_mark back;
    g_assert_true(cass_mark_read(&p, &back));
    g_assert_true(back.kind == marks[i].kind && back.token == marks[i].token &&
                  back.count == marks[i].count && back.hash == marks[i].hash);
    for (size_t k = 0; k < i; k++) {
      struct mr_position q = cass_mark_position(&marks[k]);
      g_assert_cmpint(mr_position_cmp(&q, &p), <, 0);
    }
    p.len--;
    g_assert_false(cass_mark_read(&p, &back));
  }
}

static void test_foreign_positions(void)
{
  struct cass_mark m;
  struct mr_position p = mr_position_u64(7), kind = {.len = 1, .token = {3}};
  g_assert_false(cass_mark_read(&p, &m));
  g_assert_false(cass_mark_read(&kind, &m));
}

static void test_ranges(void)
{
  static const int64_t counts[] = {1, 2, 3, 7, 32, 4096};
  for (size_t k = 0; k < G_N_ELEMENTS(counts); k++) {
    int64_t next = INT64_MIN, first, last;
    for (int64_t i = 0; i < counts[k]; i++) {
      cass_range(i, counts[k], &first, &last);
      g_assert_cmpint(first, ==, next);
      g_assert_cmpint(last, >, first);
      next = last + (i + 1 < counts[k]);
    }
    g_assert_cmpint(next, ==, INT64_MAX);
  }
}

static void test_hash(void)
{
  const uint8_t p[] = "abc";
  uint64_t ab_c = cass_hash(cass_hash(CASS_HASH, p, 2), p + 2, 1),
           a_bc = cass_hash(cass_hash(CASS_HASH, p, 1), p + 1, 2);
  g_assert_true(ab_c != a_bc);
  g_assert_true(cass_hash(CASS_HASH, NULL, -1) != cass_hash(CASS_HASH, p, 0));
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/cassandra/mark/positions", test_positions);
  g_test_add_func("/cassandra/mark/foreign", test_foreign_positions);
  g_test_add_func("/cassandra/mark/ranges", test_ranges);
  g_test_add_func("/cassandra/mark/hash", test_hash);
  return g_test_run();
}
