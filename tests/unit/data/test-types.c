/* SPDX-License-Identifier: Apache-2.0 */
#include "data/types.h"
#include <glib.h>

static void check(const char *text, const char *format, const char *name)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema s;
  char buf[200];
  g_assert_cmpint(mr_type_parse(text, "c", &s, &err), ==, MR_OK);
  g_assert_cmpstr(s.format, ==, format);
  g_assert_cmpstr(s.name, ==, "c");
  g_assert_cmpstr(mr_type_name(&s, buf, sizeof buf), ==, name);
  mr_schema_release(&s);
}

static void refuse(const char *text, const char *part)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema s = {0};
  g_assert_cmpint(mr_type_parse(text, "c", &s, &err), ==, MR_BADCONF);
  g_assert_nonnull(strstr(err.msg, part));
  g_assert_null(s.release);
}

static void test_names(void)
{
  check("uint64", "L", "uint64");
  check(" int ", "l", "int64");
  check("decimal(18, 4)", "d:18,4", "decimal(18,4)");
  check("timestamp", "tsu:", "timestamp");
  check("timestamptz", "tsu:UTC", "timestamptz");
  check("timestamp(Europe/Berlin)", "tsu:Europe/Berlin", "timestamp(Europe/Berlin)");
  check("uuid", "w:16", "uuid");
  check("json", "u", "json");
  check("list<map<utf8, int32>>", "+l", "list<map<utf8, int32>>");
  check("struct<a: bool, b: list<date>>", "+s", "struct<a: bool, b: list<date>>");
}

static void test_refused(void)
{
  refuse("", "no type");
  refuse("uint65", "no type `uint65`");
  refuse("decimal(39,1)", "up to 38");
  refuse("decimal(4,5)", "scale 0 to precision");
  refuse("int64 x", "unexpected `x`");
  refuse("list<int64", "expected `>`");
  refuse("list<list<list<list<list<list<list<list<list<list<list<list<list<list<list<list<list<"
         "bool>>>>>>>>>>>>>>>>>",
         "nest");
}

static void test_equal(void)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema a, b;
  g_assert_cmpint(mr_type_parse("struct<a: int8, b: json>", "x", &a, &err), ==, MR_OK);
  g_assert_cmpint(mr_type_parse("struct<a: int8, b: utf8>", "x", &b, &err), ==, MR_OK);
  int64_t at = -1;
  g_assert_true(mr_schema_equal(&a, &a, &at));
  g_assert_false(mr_schema_equal(&a, &b, &at));
  g_assert_cmpint(at, ==, 1);
  mr_schema_release(&a);
  mr_schema_release(&b);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/types/names", test_names);
  g_test_add_func("/types/refused", test_refused);
  g_test_add_func("/types/equal", test_equal);
  return g_test_run();
}
