/* SPDX-License-Identifier: Apache-2.0 */
/* The wire form of numeric against the bytes of PostgreSQL's numeric_send. */
#include <glib.h>
#include <math.h>
#include "common/pg-numeric.h"

static char *hex(const uint8_t *p, size_t n)
{
  GString *s = g_string_new(NULL);
  for (size_t i = 0; i < n; i++)
    g_string_append_printf(s, "%02x", p[i]);
  return g_string_free(s, FALSE);
}

static void expect_field(const uint8_t *p, size_t n, const char *value)
{
  g_autofree char *got = hex(p + 4, n - 4);
  g_assert_cmpstr(got, ==, value);
  g_assert_cmpuint((size_t)p[2] << 8 | p[3], ==, n - 4);
}

static void expect(pg_u128 v, bool minus, int scale, const char *value)
{
  uint8_t p[PG_NUMERIC_MAX];
  expect_field(p, pg_numeric_put(p, v, minus, -scale, scale), value);
}

static void expect_double(double v, bool single, const char *value)
{
  uint8_t p[PG_NUMERIC_MAX];
  expect_field(p, pg_numeric_put_double(p, v, single), value);
}

/* 10^n - 1 */
static pg_u128 nines(int n)
{
  pg_u128 v = 0;
  while (n-- > 0)
    v = v * 10 + 9;
  return v;
}

static void test_integers(void)
{
  expect(0, false, 0, "0000000000000000");
  expect(0, true, 0, "0000000000000000");
  expect(1, false, 0, "00010000000000000001");
  expect(1, true, 0, "00010000400000000001");
  expect(9999, false, 0, "0001000000000000270f");
  expect(10000, false, 0, "00010001000000000001");
  expect(12345678, false, 0, "000200010000000004d2162e");
  expect(100000000, false, 0, "00010002000000000001");
  expect(UINT64_MAX, false, 0, "000500040000000007341a5802e103bb064f");
  expect(((pg_u128)INT64_MAX << 64) | UINT64_MAX, false, 0,
         "000a00090000000000aa0583209a01d5090d0c601c871bf620da165f");
  expect(nines(38), true, 0, "000a0009400000000063270f270f270f270f270f270f270f270f270f");
}

static void test_fractions(void)
{
  expect(0, false, 2, "0000000000000002");
  expect(1, false, 4, "0001ffff000000040001");
  expect(1, false, 8, "0001fffe000000080001");
  expect(5, true, 1, "0001ffff400000011388");
  expect(1200, false, 3, "0002000000000003000107d0");
  expect(123456789, false, 4, "0003000100000004000109291a85");
  expect(100000000, false, 4, "00010001000000040001");
  expect(12345678912345, false, 5, "0005000200000005000109291a8504d21388");
  expect(nines(38), false, 38, "000affff00000026270f270f270f270f270f270f270f270f270f26ac");
}

/* Arrow's negative scale: 12 * 10^3. */
static void test_negative_scale(void)
{
  uint8_t p[PG_NUMERIC_MAX];
  expect_field(p, pg_numeric_put(p, 12, false, 3, 0), "0002000100000000000107d0");
  expect_field(p, pg_numeric_put(p, 1, false, 8, 0), "00010002000000000001");
}

static void test_doubles(void)
{
  expect_double(1.5, false, "000200000000000100011388");
  expect_double(1e20, false, "00010005000000000001");
  expect_double(0.001, false, "0001ffff00000003000a");
  expect_double((double)0.1f, true, "0001ffff0000000103e8");
  expect_double(0.0, false, "0000000000000000");
  expect_double(NAN, false, "00000000c0000000");
  expect_double(INFINITY, false, "00000000d0000000"); /* the server sends dscale 0x20 and takes 0 */
  expect_double(-INFINITY, false, "00000000f0000000");
}

static void test_fits(void)
{
  g_assert_true(pg_numeric_fits(9999, -2, 4, 2));
  g_assert_false(pg_numeric_fits(10000, -2, 4, 2));
  g_assert_true(pg_numeric_fits(999900, -4, 4, 2));
  g_assert_false(pg_numeric_fits(999901, -4, 4, 2));
  g_assert_false(pg_numeric_fits(1, -4, 4, 2));
  g_assert_true(pg_numeric_fits(0, -38, 1, 0));
  g_assert_true(pg_numeric_fits(99, 0, 4, 2));
  g_assert_false(pg_numeric_fits(100, 0, 4, 2));
  g_assert_true(pg_numeric_fits(nines(38), 0, 38, 0));
  g_assert_false(pg_numeric_fits(nines(38), 0, 37, 0));
  g_assert_true(pg_numeric_fits(nines(38), -38, 38, 38));
  g_assert_true(pg_numeric_fits(12, 3, 5, 0));
  g_assert_false(pg_numeric_fits(12, 3, 4, 0));
  g_assert_false(pg_numeric_fits(12, 3, 5, 2));
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/pg-numeric/integers", test_integers);
  g_test_add_func("/pg-numeric/fractions", test_fractions);
  g_test_add_func("/pg-numeric/negative-scale", test_negative_scale);
  g_test_add_func("/pg-numeric/doubles", test_doubles);
  g_test_add_func("/pg-numeric/fits", test_fits);
  return g_test_run();
}
