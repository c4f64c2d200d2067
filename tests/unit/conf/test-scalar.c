/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include "conf/scalar.h"
#include "millrace/plugin.h"

static void refuse_int(const char *text)
{
  int64_t v = 42;
  g_assert_nonnull(mr_scalar_int(text, &v));
  g_assert_cmpint(v, ==, 42);
}

static void accept_int(const char *text, int64_t want)
{
  int64_t v = 42;
  g_assert_null(mr_scalar_int(text, &v));
  g_assert_cmpint(v, ==, want);
}

static void test_int(void)
{
  accept_int("0", 0);
  accept_int("-5", -5);
  accept_int("9223372036854775807", INT64_MAX);
  accept_int("-9223372036854775808", INT64_MIN);
  static const char *const wrong[] = {"",
                                      "-",
                                      "+1",
                                      "1_000",
                                      "0x10",
                                      "64k",
                                      "0777",
                                      "-01",
                                      "1.0",
                                      "1e3",
                                      " 1",
                                      "1 ",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999"};
  for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++)
    refuse_int(wrong[i]);
  int64_t v;
  g_assert_cmpstr(mr_scalar_int("0777", &v), ==,
                  "begins with a 0: write it without (there are no octal numbers here)");
}

static void test_bool(void)
{
  bool b = false;
  g_assert_null(mr_scalar_bool("true", &b));
  g_assert_true(b);
  g_assert_null(mr_scalar_bool("false", &b));
  g_assert_false(b);
  static const char *const wrong[] = {"maybe", "yes", "no", "on", "off", "True", "1", ""};
  for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++)
    g_assert_nonnull(mr_scalar_bool(wrong[i], &b));
}

static void test_real(void)
{
  double v;
  g_assert_null(mr_scalar_real("-1.5e3", &v));
  g_assert_cmpfloat(v, ==, -1500);
  g_assert_null(mr_scalar_real("0", &v));
  static const char *const wrong[] = {"",    ".5",    "5.",    "1e",  "nan",
                                      "inf", "1e999", "0x1p3", "1,5", "1.5 "};
  for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++)
    g_assert_nonnull(mr_scalar_real(wrong[i], &v));
}

static void test_bytes(void)
{
  int64_t v;
  g_assert_null(mr_scalar_bytes("64KiB", &v));
  g_assert_cmpint(v, ==, 65536);
  g_assert_null(mr_scalar_bytes("1MiB", &v));
  g_assert_cmpint(v, ==, 1048576);
  g_assert_null(mr_scalar_bytes("512", &v));
  g_assert_cmpint(v, ==, 512);
  g_assert_null(mr_scalar_bytes("3B", &v));
  g_assert_cmpint(v, ==, 3);
  g_assert_null(mr_scalar_bytes("8388607TiB", &v));
  static const char *const wrong[] = {
      "64k", "64KB", "1.5MiB", "-1", "MiB", "64 KiB", "8388608TiB", "9223372036854775808", ""};
  for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++)
    g_assert_nonnull(mr_scalar_bytes(wrong[i], &v));
}

static void test_time(void)
{
  int64_t v;
  static const struct {
    const char *text;
    int64_t ms;
  } right[] = {{"50ms", 50},      {"1s", 1000}, {"5m", 300000}, {"1h", 3600000},
               {"2d", 172800000}, {"0", 0},     {"0s", 0}};
  for (size_t i = 0; i < G_N_ELEMENTS(right); i++) {
    g_assert_null(mr_scalar_time(right[i].text, &v));
    g_assert_cmpint(v, ==, right[i].ms);
  }
  static const char *const wrong[] = {
      "5", "1m30s", "1.5s", "-1s", "s", "1 s", "1w", "9223372036854775807d", ""};
  for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++)
    g_assert_nonnull(mr_scalar_time(wrong[i], &v));
}

static bool holds(int type, const char *range, const char *value)
{
  struct mr_range r;
  struct mr_number v = {0};
  g_assert_true(mr_range_parse(type, range, &r));
  g_assert_null(mr_scalar_number(type, value, &v));
  return mr_range_holds(type, &r, v);
}

static void test_range(void)
{
  struct mr_range r;
  g_assert_true(holds(MR_INT, "1..65535", "1"));
  g_assert_true(holds(MR_INT, "1..65535", "65535"));
  g_assert_false(holds(MR_INT, "1..65535", "0"));
  g_assert_false(holds(MR_INT, "1..65535", "65536"));
  g_assert_true(holds(MR_BYTES, "64KiB..", "64KiB"));
  g_assert_false(holds(MR_BYTES, "64KiB..", "65535"));
  g_assert_false(holds(MR_TIME_MS, "..5s", "5001ms"));
  g_assert_false(holds(MR_REAL, "0..1", "1.000001"));
  g_assert_true(holds(MR_REAL, "0..1", "0.5"));
  g_assert_false(mr_range_parse(MR_INT, "5", &r));
  g_assert_false(mr_range_parse(MR_INT, "..", &r));
  g_assert_false(mr_range_parse(MR_INT, "a..b", &r));
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/scalar/int", test_int);
  g_test_add_func("/scalar/bool", test_bool);
  g_test_add_func("/scalar/real", test_real);
  g_test_add_func("/scalar/bytes", test_bytes);
  g_test_add_func("/scalar/time", test_time);
  g_test_add_func("/scalar/range", test_range);
  return g_test_run();
}
