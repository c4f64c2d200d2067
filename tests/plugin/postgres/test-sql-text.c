/* SPDX-License-Identifier: Apache-2.0 */
/* Values, names and JSON as text. */
#include <glib.h>
#include <math.h>
#include "common/sql-ident.h"
#include "common/sql-text.h"

static void expect(struct sql_buf *b, const char *want)
{
  g_assert_cmpstr(sql_buf_text(b), ==, want);
  sql_buf_done(b);
}

static void test_dates(void)
{
  static const struct {
    int64_t us;
    const char *text;
  } at[] = {
      {0, "1970-01-01 00:00:00"},
      {-1, "1969-12-31 23:59:59.999999"},
      {1769594400123456, "2026-01-28 10:00:00.123456"},
      {951782400000000, "2000-02-29 00:00:00"},
      {4102444799000000, "2099-12-31 23:59:59"},
      {-62135596800000000, "0001-01-01 00:00:00"},
      {-62135596800000001, "0001-12-31 23:59:59.999999 BC"},
      {253402300800000000, "10000-01-01 00:00:00"},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(at); i++) {
    struct sql_buf b = {0};
    sql_text_timestamp(&b, at[i].us, ' ', "");
    expect(&b, at[i].text);
  }
  struct sql_buf b = {0};
  sql_text_timestamp(&b, INT64_MIN, 'T', "Z");
  g_assert_false(b.failed);
  sql_buf_done(&b);
}

static void test_numbers(void)
{
  struct sql_buf b = {0};
  sql_text_decimal(&b, 5, 0, 3);
  sql_buf_byte(&b, ' ');
  sql_text_decimal(&b, (uint64_t)-5, -1, 1);
  sql_buf_byte(&b, ' ');
  sql_text_decimal(&b, 12, 0, -2);
  sql_buf_byte(&b, ' ');
  sql_text_decimal(&b, 0, INT64_MIN, 0);
  expect(&b, "0.005 -0.5 1200 -170141183460469231731687303715884105728");
  struct sql_buf d = {0};
  sql_text_double(&d, 0.1, false);
  sql_buf_byte(&d, ' ');
  sql_text_double(&d, (double)0.1f, true);
  sql_buf_byte(&d, ' ');
  sql_text_double(&d, 5e-324, false);
  sql_buf_byte(&d, ' ');
  sql_text_double(&d, 1.0 / 3, false);
  sql_buf_byte(&d, ' ');
  sql_text_double(&d, -INFINITY, false);
  expect(&d, "0.1 0.1 4.94065645841247e-324 0.3333333333333333 -Infinity");
}

static void test_uuid(void)
{
  uint8_t u[16];
  g_assert_true(sql_uuid_parse("01234567-89ab-cdef-0123-456789ABCDEF", 36, u));
  struct sql_buf b = {0};
  sql_text_uuid(&b, u);
  expect(&b, "01234567-89ab-cdef-0123-456789abcdef");
  g_assert_true(sql_uuid_parse("{0123456789abcdef0123456789abcdef}", 34, u));
  g_assert_false(sql_uuid_parse("0123456789abcdef0123456789abcde", 31, u));
  g_assert_false(sql_uuid_parse("0123456789abcdef0123456789abcdef0", 33, u));
  g_assert_false(sql_uuid_parse("01234567-89ab-cdef-0123-456789abcde-", 36, u));
  g_assert_false(sql_uuid_parse("g1234567-89ab-cdef-0123-456789abcdef", 36, u));
}

static void test_names(void)
{
  static const struct {
    const char *text, *quoted; /* NULL: no name */
  } name[] = {
      {"t", "\"t\""},
      {"public.t", "\"public\".\"t\""},
      {"\"a.b\".\"c\"\"d\"", "\"a.b\".\"c\"\"d\""},
      {"Mixed", "\"Mixed\""},
      {"", NULL},
      {"a.", NULL},
      {".a", NULL},
      {"a.b.c", NULL},
      {"\"a", NULL},
      {"a\"b", NULL},
      {"\"a\"b", NULL},
      {"\"\"", NULL},
      {"123456789", NULL}, /* longer than 8 bytes */
  };
  for (size_t i = 0; i < G_N_ELEMENTS(name); i++) {
    struct sql_name n;
    const char *why = NULL;
    bool ok = sql_name_parse(name[i].text, 8, &n, &why);
    g_test_message("%s", name[i].text);
    g_assert_cmpint(ok, ==, name[i].quoted != NULL);
    if (!ok) {
      g_assert_nonnull(why);
      continue;
    }
    struct sql_buf b = {0};
    sql_name_quoted(&b, &n);
    expect(&b, name[i].quoted);
    sql_name_done(&n);
  }
  struct sql_buf b = {0};
  sql_literal(&b, "it's");
  expect(&b, "'it''s'");
}

/* {a: [1, null], t: "…"} */
static void test_json(void)
{
  struct ArrowSchema s, list, item;
  struct mr_column c;
  struct ArrowArray a;
  struct mr_view v;
  g_assert_true(mr_schema_init(&s, "s", "+s", true));
  g_assert_true(mr_schema_init(&list, "a", "+l", true) && mr_schema_init(&item, "item", "L", true));
  g_assert_true(mr_schema_add(&list, &item) && mr_schema_add(&s, &list));
  g_assert_true(mr_schema_field(&s, "t\"", "u", true) && mr_schema_field(&s, "d", "g", true));
  g_assert_true(mr_column_init(&c, &s));
  mr_column_int(&c.child[0].child[0], -1);
  mr_column_null(&c.child[0].child[0]);
  mr_column_end(&c.child[0]);
  mr_column_bytes(&c.child[1], "a\"\\\n\0é", 7);
  mr_column_f64(&c.child[2], NAN);
  mr_column_end(&c);
  g_assert_true(mr_column_finish(&c, &a));
  mr_view_init(&v, &s, &a);
  struct sql_buf b = {0};
  g_assert_true(sql_text_json(&b, &v, 0));
  expect(
      &b,
      "{\"a\":[18446744073709551615,null],\"t\\\"\":\"a\\\"\\\\\\u000a\\u0000é\",\"d\":\"NaN\"}");
  mr_array_release(&a);
  mr_column_done(&c);
  mr_schema_release(&s);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/sql-text/dates", test_dates);
  g_test_add_func("/sql-text/numbers", test_numbers);
  g_test_add_func("/sql-text/uuid", test_uuid);
  g_test_add_func("/sql-text/names", test_names);
  g_test_add_func("/sql-text/json", test_json);
  return g_test_run();
}
