/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include "common/sql-text.h"

static void check_int(int64_t v)
{
  struct sql_buf b = {0};
  g_autofree char *want = g_strdup_printf("%" G_GINT64_FORMAT, v);
  sql_buf_int(&b, v);
  g_assert_cmpstr(sql_buf_text(&b), ==, want);
  sql_buf_done(&b);
}

static void test_integers(void)
{
  check_int(INT64_MIN);
  check_int(INT64_MAX);
  check_int(0);
  for (int64_t v = 1; v < INT64_MAX / 11; v = v * 10 + v % 7)
    for (int near = -1; near <= 1; near++) {
      check_int(v + near);
      check_int(-v + near);
    }
}

static void test_unsigned_and_zeros(void)
{
  static const struct {
    uint64_t v;
    int least;
    const char *want;
  } cases[] = {{0, 1, "0"},
               {0, 2, "00"},
               {7, 2, "07"},
               {10, 2, "10"},
               {123, 2, "123"},
               {5, 6, "000005"},
               {99, 1, "99"},
               {100, 1, "100"},
               {123456, 6, "123456"},
               {1, 4, "0001"},
               {9999, 4, "9999"},
               {UINT64_MAX, 1, "18446744073709551615"},
               {UINT64_MAX, SQL_BUF_DIGITS, "18446744073709551615"}};
  for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
    struct sql_buf b = {0};
    sql_buf_uint(&b, cases[i].v, cases[i].least);
    g_assert_cmpstr(sql_buf_text(&b), ==, cases[i].want);
    sql_buf_done(&b);
  }
}

static void test_json_strings(void)
{
  struct sql_buf b = {0};
  sql_buf_json_bytes(&b, "a\0b\"\\\n\xc3\xa4", 8);
  sql_buf_json(&b, "");
  sql_buf_json(&b, NULL);
  sql_buf_json(&b, "\"");
  g_assert_cmpstr(sql_buf_text(&b), ==, "\"a\\u0000b\\\"\\\\\\u000a\xc3\xa4\"\"\"\"\"\"\\\"\"");
  sql_buf_done(&b);
}

static void test_decimals(void)
{
  static const struct {
    uint64_t lo;
    int64_t hi;
    int scale;
    const char *want;
  } cases[] = {{0, 0, 0, "0"},
               {5, 0, 3, "0.005"},
               {UINT64_MAX, 0, 2, "184467440737095516.15"},
               {0, 1, 0, "18446744073709551616"},
               {UINT64_MAX, -1, 4, "-0.0001"},
               {0, INT64_MIN, 0, "-170141183460469231731687303715884105728"}};
  for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
    struct sql_buf b = {0};
    sql_text_decimal(&b, cases[i].lo, cases[i].hi, cases[i].scale);
    g_assert_cmpstr(sql_buf_text(&b), ==, cases[i].want);
    sql_buf_done(&b);
  }
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/sql-buf/integers", test_integers);
  g_test_add_func("/sql-buf/unsigned", test_unsigned_and_zeros);
  g_test_add_func("/sql-buf/json", test_json_strings);
  g_test_add_func("/sql-buf/decimals", test_decimals);
  return g_test_run();
}
