/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include "type.h"

static void test_scalars(void)
{
  static const struct {
    const char *text;
    enum ch_kind kind;
    int width, precision, scale;
    bool nullable;
  } cases[] = {{"UInt64", CH_UINT, 8, 0, 0, false},
               {"Nullable(Int256)", CH_INT, 32, 0, 0, true},
               {"Decimal(9, 2)", CH_DECIMAL, 4, 9, 2, false},
               {"Decimal(18,4)", CH_DECIMAL, 8, 18, 4, false},
               {"Decimal(38, 38)", CH_DECIMAL, 16, 38, 38, false},
               {"Decimal(76, 0)", CH_DECIMAL, 32, 76, 0, false},
               {"Decimal64(3)", CH_DECIMAL, 8, 18, 3, false},
               {"FixedString(16)", CH_FIXED, 16, 0, 0, false},
               {"DateTime('Europe/Berlin')", CH_DATETIME, 4, 0, 0, false},
               {"Nullable(DateTime64(6, 'UTC'))", CH_DATETIME64, 8, 0, 6, true},
               {"LowCardinality(Nullable(String))", CH_STRING, 0, 0, 0, true},
               {"SimpleAggregateFunction(max, UInt8)", CH_UINT, 1, 0, 0, false},
               {"Dynamic", CH_NONE, 0, 0, 0, false},
               {"AggregateFunction(sum, Int8)", CH_NONE, 0, 0, 0, false}};
  for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
    struct ch_type t;
    g_assert_true(ch_type_parse(cases[i].text, &t));
    g_test_message("%s", cases[i].text);
    g_assert_cmpint(t.kind, ==, cases[i].kind);
    g_assert_cmpint(t.width, ==, cases[i].width);
    g_assert_cmpint(t.precision, ==, cases[i].precision);
    g_assert_cmpint(t.scale, ==, cases[i].scale);
    g_assert_cmpint(t.nullable, ==, cases[i].nullable);
    ch_type_done(&t);
  }
}

static void test_enum(void)
{
  struct ch_type t;
  g_assert_true(ch_type_parse("Enum8('a' = -1, 'it\\'s (b)' = 5)", &t));
  g_assert_cmpint(t.n_label, ==, 2);
  g_assert_cmpstr(t.label[0].name, ==, "a");
  g_assert_cmpint(t.label[0].number, ==, -1);
  g_assert_cmpstr(t.label[1].name, ==, "it's (b)");
  g_assert_cmpint(t.label[1].number, ==, 5);
  ch_type_done(&t);
}

static void test_nested(void)
{
  struct ch_type t;
  g_assert_true(
      ch_type_parse("Array(Tuple(a Nullable(Int8), `b c` Map(String, Decimal(9, 1))))", &t));
  const struct ch_type *tuple = &t.child[0];
  g_assert_cmpint(tuple->kind, ==, CH_TUPLE);
  g_assert_cmpint(tuple->n_label, ==, 2);
  g_assert_cmpstr(tuple->label[1].name, ==, "b c");
  g_assert_true(tuple->child[0].nullable);
  g_assert_cmpint(tuple->child[1].child[1].scale, ==, 1);
  g_assert_false(ch_type_unknown(&t));
  ch_type_done(&t);
  g_assert_true(ch_type_parse("Tuple(Int8, Array(Variant(Int8, String)))", &t));
  g_assert_cmpint(t.n_label, ==, 0);
  g_assert_true(ch_type_unknown(&t));
  ch_type_done(&t);
}

/* What is no type is refused or unknown, and freed; never read past its end. */
static void test_damaged(void)
{
  static const char whole[] = "Array(Tuple(a Enum8('x' = 1, 'y' = 2), b Decimal(9, 2)))";
  for (size_t n = 0; n < sizeof whole - 1; n++) {
    g_autofree char *cut = g_strndup(whole, n);
    struct ch_type t;
    bool ok = ch_type_parse(cut, &t);
    g_assert_true(!ok || ch_type_unknown(&t) || n > 6);
    ch_type_done(&t);
  }
  g_autoptr(GString) deep = g_string_new(NULL);
  struct ch_type t;
  for (int i = 0; i < 100000; i++)
    g_string_append(deep, "Array(");
  g_assert_false(ch_type_parse(deep->str, &t));
  ch_type_done(&t);
}

static void test_wire(void)
{
  static const char *const cases[][2] = {
      {"LowCardinality(String)", "String"},
      {"Array(LowCardinality(Nullable(String)))", "Array(Nullable(String))"},
      {"Map(LowCardinality(String), UInt8)", "Map(String, UInt8)"},
      {"Enum8('LowCardinality(' = 1, ')' = 2)", "Enum8('LowCardinality(' = 1, ')' = 2)"},
      {"JSON", "String"},
      {"Decimal(18, 4)", "Decimal(18, 4)"}};
  for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
    struct ch_type t;
    struct sql_buf out = {0};
    g_assert_true(ch_type_parse(cases[i][0], &t));
    ch_type_wire(cases[i][0], &t, &out);
    g_assert_cmpstr(sql_buf_text(&out), ==, cases[i][1]);
    sql_buf_done(&out);
    ch_type_done(&t);
  }
}

static bool widens(const char *from, const char *to)
{
  struct ch_type a, b;
  g_assert_true(ch_type_parse(from, &a) && ch_type_parse(to, &b));
  bool w = ch_type_widens(&a, &b);
  ch_type_done(&a);
  ch_type_done(&b);
  return w;
}

static void test_widens(void)
{
  g_assert_true(widens("Int32", "Int64"));
  g_assert_true(widens("UInt32", "Int64"));
  g_assert_true(widens("Float32", "Float64"));
  g_assert_true(widens("Decimal(9, 2)", "Decimal(18, 2)"));
  g_assert_true(widens("Int32", "Nullable(Int64)"));
  g_assert_true(widens("String", "Nullable(String)"));
  g_assert_true(widens("Date", "Date32"));
  g_assert_false(widens("Int64", "Int32"));
  g_assert_false(widens("Int64", "Int64"));
  g_assert_false(widens("Int64", "UInt64"));
  g_assert_false(widens("UInt64", "Int64"));
  g_assert_false(widens("Int64", "Float64"));
  g_assert_false(widens("Int64", "String"));
  g_assert_false(widens("Decimal(18, 2)", "Decimal(18, 4)"));
  g_assert_false(widens("Nullable(Int32)", "Int64"));
  g_assert_false(widens("DateTime64(3)", "Nullable(DateTime64(6))"));
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/clickhouse/type/scalars", test_scalars);
  g_test_add_func("/clickhouse/type/enum", test_enum);
  g_test_add_func("/clickhouse/type/nested", test_nested);
  g_test_add_func("/clickhouse/type/damaged", test_damaged);
  g_test_add_func("/clickhouse/type/wire", test_wire);
  g_test_add_func("/clickhouse/type/widens", test_widens);
  return g_test_run();
}
