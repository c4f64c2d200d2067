/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include "encode.h"

__extension__ typedef __int128 i128;

static int put(i128 v, int digits, int precision, int width, struct sql_buf *out)
{
  uint8_t bytes[16];
  memcpy(bytes, &v, 16);
  sql_buf_clear(out);
  return ch_put_wide(out, bytes, digits, precision, width);
}

static int64_t first_word(const struct sql_buf *out)
{
  int64_t v = 0;
  memcpy(&v, out->p, out->len < 8 ? out->len : 8);
  return v;
}

static void test_rescale(void)
{
  struct sql_buf out = {0};
  g_assert_cmpint(put(-15, 2, 18, 8, &out), ==, 0);
  g_assert_cmpint(first_word(&out), ==, -1500);
  g_assert_cmpint(put(-1500, -2, 18, 8, &out), ==, 0);
  g_assert_cmpint(first_word(&out), ==, -15);
  g_assert_cmpint(put(1501, -2, 18, 8, &out), ==, 1); /* a digit would be lost */
  g_assert_cmpint(put(999999999, 0, 9, 4, &out), ==, 0);
  g_assert_cmpint(put(1000000000, 0, 9, 4, &out), ==, 2);
  g_assert_cmpint(put(-1000000000, 0, 9, 4, &out), ==, 2);
  g_assert_cmpint(put(1, 77, 76, 32, &out), ==, 2);
  g_assert_cmpint(put(1, 1000, 0, 32, &out), ==, 2);
  g_assert_cmpint(out.len, ==, 0);
  sql_buf_done(&out);
}

static void test_bounds(void)
{
  struct sql_buf out = {0};
  g_assert_cmpint(put(INT64_MAX, 0, 0, 8, &out), ==, 0);
  g_assert_cmpint(put(INT64_MIN, 0, 0, 8, &out), ==, 0);
  g_assert_cmpint(first_word(&out), ==, INT64_MIN);
  g_assert_cmpint(put((i128)INT64_MAX + 1, 0, 0, 8, &out), ==, 2);
  g_assert_cmpint(put((i128)INT64_MIN - 1, 0, 0, 8, &out), ==, 2);
  g_assert_cmpint(put((i128)UINT64_MAX, 0, -1, 8, &out), ==, 0);
  g_assert_cmpint(put((i128)UINT64_MAX + 1, 0, -1, 8, &out), ==, 2);
  g_assert_cmpint(put(-1, 0, -1, 8, &out), ==, 2);
  g_assert_cmpint(put(0, 0, -1, 32, &out), ==, 0);
  g_assert_cmpint(put(255, 0, -1, 1, &out), ==, 0);
  g_assert_cmpint(put(256, 0, -1, 1, &out), ==, 2);
  sql_buf_done(&out);
}

static void test_sign_is_extended(void)
{
  struct sql_buf out = {0};
  g_assert_cmpint(put(-1, 0, 76, 32, &out), ==, 0);
  g_assert_cmpint(out.len, ==, 32);
  for (size_t i = 0; i < 32; i++)
    g_assert_cmpint(out.p[i], ==, 0xff);
  sql_buf_done(&out);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/clickhouse/wide/rescale", test_rescale);
  g_test_add_func("/clickhouse/wide/bounds", test_bounds);
  g_test_add_func("/clickhouse/wide/sign", test_sign_is_extended);
  return g_test_run();
}
