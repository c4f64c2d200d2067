/* SPDX-License-Identifier: Apache-2.0 */
/* What query sources share: values from text, and positions. */
#include "common/qry-mark.h"
#include "common/qry-value.h"
#include "data/array.h"
#include "harness.h"

/* The value that a text becomes in a column of the type, as text again; "refused: why". g_free. */
static char *value(const char *type, const char *text, int64_t n)
{
  g_autofree char *columns = g_strdup_printf("c: %s", type);
  struct ArrowSchema s = harness_schema(columns);
  struct ArrowArray rows;
  struct mr_column c;
  struct mr_error err = MR_ERROR_INIT;
  const char *why = NULL;
  g_assert_true(qry_type_ok(s.children[0]));
  g_assert_true(mr_column_init(&c, s.children[0]));
  int rc = qry_value(&c, s.children[0], text, n, &why);
  char *out = rc == MR_REJECT ? g_strdup_printf("refused: %s", why) : NULL;
  g_assert_cmpint(c.length, ==, out ? 0 : 1);
  g_assert_true(out || rc == MR_OK);
  g_assert_true(mr_rows_finish(&c, 1, out ? 0 : 1, &rows));
  g_assert_cmpint(mr_array_check(&s, &rows, true, &err), ==, MR_OK);
  if (!out)
    out = g_strchomp(harness_text(&s, &rows));
  mr_column_done(&c);
  mr_array_release(&rows);
  mr_schema_release(&s);
  return out;
}
static void is(const char *type, const char *text, const char *want)
{
  g_autofree char *got = value(type, text, (int64_t)strlen(text));
  if (strcmp(got, want))
    g_error("%s `%s`: `%s`, not `%s`", type, text, got, want);
}
static void refused(const char *type, const char *text)
{
  g_autofree char *got = value(type, text, (int64_t)strlen(text));
  if (!g_str_has_prefix(got, "refused: "))
    g_error("%s `%s` became `%s`", type, text, got);
}

static void test_integers(void)
{
  is("int8", "-128", "-128");
  is("int8", "127", "127");
  is("int8", "+5", "5");
  is("uint8", "255", "255");
  is("uint8", "-0", "0");
  is("int64", "-9223372036854775808", "-9223372036854775808");
  is("int64", "9223372036854775807", "9223372036854775807");
  is("uint64", "18446744073709551615", "18446744073709551615");
  is("uint16", "00012", "12");
  static const char *const bad[] = {"", "-", "1.0", "1e3", " 1", "1 ", "0x10", "--1", "1-", "NaN"};
  for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
    refused("int64", bad[i]);
  refused("int8", "-129");
  refused("int8", "128");
  refused("uint8", "256");
  refused("uint32", "-1");
  refused("int64", "9223372036854775808");
  refused("int64", "-9223372036854775809");
  refused("uint64", "18446744073709551616");
  refused("uint64", "99999999999999999999999");
}

static void test_decimals(void)
{
  is("decimal(18,4)", "12.34", "123400");
  is("decimal(18,4)", "-0.0001", "-1");
  is("decimal(18,4)", "1.23450000", "12345");
  is("decimal(18,4)", "1e3", "10000000");
  is("decimal(18,4)", "12345e-4", "12345");
  is("decimal(18,4)", ".5", "5000");
  is("decimal(18,4)", "5.", "50000");
  is("decimal(18,4)", "0e99", "0");
  is("decimal(3,0)", "999", "999");
  static const char *const bad[] = {"",    ".",        "-",  "1.23456", "1,5", "1.2.3",
                                    "NaN", "Infinity", "1e", "1 ",      "abc", "1e99999"};
  for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
    refused("decimal(18,4)", bad[i]);
  refused("decimal(3,0)", "1000");
  refused("decimal(3,2)", "10");
  refused("decimal(18,4)", "1e30");
  refused("decimal(38,0)", "123456789012345678901234567890123456789"); /* 39 digits */
}

static void test_floats(void)
{
  is("float64", "1.5", "1.5");
  is("float64", "-1e300", "-1e+300");
  is("float64", "NaN", "nan");
  is("float64", "-Infinity", "-inf");
  is("float32", "0.25", "0.25");
  refused("float64", "");
  refused("float64", "1.5x");
  refused("float64", "0x1p3");
  refused("float64", "1,5");
}

/* Expected numbers from Python's datetime. */
static void test_times(void)
{
  is("date", "2026-01-28", "20481");
  is("date", "1970-01-01", "0");
  is("date", "0001-01-01", "-719162");
  is("date", "2024-02-29", "19782");
  is("time", "10:00", "36000000000");
  is("time", "23:59:59.999999", "86399999999");
  is("time", "10:00:00.5", "36000500000");
  is("time", "10:00:00.5000000", "36000500000");
  is("timestamp", "2026-01-28 10:20:30.5", "1769595630500000");
  is("timestamp", "2026-01-28T10:20:30", "1769595630000000");
  is("timestamp", "2026-01-28", "1769558400000000");
  is("timestamp", "1969-12-31 23:59:59.999999", "-1");
  is("timestamptz", "2026-01-28 10:20:30+00", "1769595630000000");
  is("timestamptz", "2026-01-28T10:20:30Z", "1769595630000000");
  is("timestamptz", "2026-01-28 10:20:30", "1769595630000000");
  is("timestamptz", "2026-01-28 11:50:30+01:30", "1769595630000000");
  is("timestamptz", "2026-01-28 08:20:30-02", "1769595630000000");
  static const char *const bad[] = {"",           "2026-1-28",     "2026-02-29",  "2026-13-01",
                                    "2026-00-10", "2026-01-00",    "2026-01-28x", "0000-01-01",
                                    "infinity",   "0044-03-15 BC", "26-01-28",    "2026/01/28"};
  for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
    refused("date", bad[i]);
    refused("timestamp", bad[i]);
  }
  refused("time", "24:00");
  refused("time", "10:60");
  refused("time", "10:00:60");
  refused("time", "10:00:00.");
  refused("time", "10:00:00.0000001");
  refused("timestamp", "2026-01-28 10:20:30+00");
  refused("timestamptz", "2026-01-28 10:20:30+");
  refused("timestamptz", "2026-01-28 10:20:30+25:00");
  refused("timestamptz", "2026-01-28 10:20:30 UTC");
  refused("timestamp", "2026-01-28 10");
}

static void test_bytes(void)
{
  is("utf8", "", "");
  is("utf8", "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f");
  is("binary", "\\x41424a", "ABJ");
  is("binary", "\\x", "");
  is("uuid", "00112233-4455-6677-8899-AABBCCDDEEFF", "00112233445566778899aabbccddeeff");
  is("uuid", "00112233445566778899aabbccddeeff", "00112233445566778899aabbccddeeff");
  is("bool", "t", "true");
  is("bool", "false", "false");
  is("json", "{}", "{}");
  static const char *const bad[] = {
      "\xff", "a\xc3", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80", "\xe2\x82"};
  for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
    refused("utf8", bad[i]);
  refused("binary", "\\x4");
  refused("binary", "4142");
  refused("binary", "\\x4g");
  refused("uuid", "0011");
  refused("uuid", "00112233445566778899aabbccddeeff00");
  refused("uuid", "0-0112233445566778899aabbccddeeff");
  refused("bool", "yes");
  refused("bool", "");
}

static void test_lists(void)
{
  is("list<int32>", "{1,NULL,-3}", "[1,~,-3]");
  is("list<int32>", "{}", "[]");
  is("list<utf8>", "{a,\"b c\",\"\\\"q\\\\\",\"NULL\",\"\"}", "[a,b c,\"q\\,NULL,]");
  is("list<timestamp>", "{\"2026-01-28 10:20:30\"}", "[1769595630000000]");
  static const char *const bad[] = {"",          "{",     "{1",  "1",           "{1,}x",
                                    "{{1},{2}}", "{1;2}", "{x}", "[0:1]={1,2}", "{1,,2}"};
  for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
    refused("list<int32>", bad[i]);
}

static void test_from_integers(void)
{
  struct ArrowSchema s = harness_schema(
      "a: uint8, b: decimal(9,2), c: utf8, d: float64, e: bool, f: date, g: timestamp");
  static const int rc[7] = {MR_OK, MR_OK, MR_OK, MR_OK, MR_REJECT, MR_REJECT, MR_REJECT};
  const char *why;
  for (int i = 0; i < 7; i++) {
    struct mr_column c;
    g_assert_true(mr_column_init(&c, s.children[i]));
    g_assert_cmpint(qry_value_int(&c, s.children[i], 17, &why), ==, rc[i]);
    mr_column_done(&c);
  }
  mr_schema_release(&s);
}

/* Tokens are in the order of the rows, and come back as they went in. */
static void test_marks(void)
{
  struct qry_mark m[] = {
      {.kind = QRY_START},
      {.kind = QRY_ROWS, .number = 0},
      {.kind = QRY_ROWS, .number = 255},
      {.kind = QRY_ROWS, .number = 256},
      {.kind = QRY_DONE},
      {.kind = QRY_NUMBER, .number = INT64_MIN, .ties = 3},
      {.kind = QRY_NUMBER, .number = -1, .ties = 9},
      {.kind = QRY_NUMBER, .number = 0, .ties = 1},
      {.kind = QRY_NUMBER, .number = 0, .ties = 256},
      {.kind = QRY_NUMBER, .number = INT64_MAX, .ties = 0},
      {.kind = QRY_TEXT, .text = "", .ties = 1},
      {.kind = QRY_TEXT, .text = "2026-01-28", .ties = UINT32_MAX},
      {.kind = QRY_TEXT, .text = "2026-01-28 10", .ties = 1},
      {.kind = QRY_TEXT, .text = "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", .ties = 7}};
  for (size_t i = 0; i < G_N_ELEMENTS(m); i++) {
    struct mr_position p = qry_mark_position(&m[i]), next;
    struct qry_mark back;
    g_assert_cmpuint(p.len, <=, sizeof p.token);
    g_assert_true(qry_mark_read(&p, &back));
    g_assert_true(qry_mark_same_value(&back, &m[i]));
    g_assert_cmpuint(back.ties, ==, m[i].ties);
    if (i + 1 < G_N_ELEMENTS(m)) {
      next = qry_mark_position(&m[i + 1]);
      g_assert_cmpint(mr_position_cmp(&p, &next), <, 0);
    }
    for (uint16_t n = 0; n < p.len; n++) { /* a part of a token is none */
      struct mr_position part = p;
      part.len = n;
      g_assert_false(qry_mark_read(&part, &back) && back.kind == m[i].kind);
    }
  }
  struct mr_position odd = mr_position_u64(UINT64_MAX);
  struct qry_mark back;
  g_assert_false(qry_mark_read(&odd, &back));
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/query/values/integers", test_integers);
  g_test_add_func("/query/values/decimals", test_decimals);
  g_test_add_func("/query/values/floats", test_floats);
  g_test_add_func("/query/values/times", test_times);
  g_test_add_func("/query/values/bytes", test_bytes);
  g_test_add_func("/query/values/lists", test_lists);
  g_test_add_func("/query/values/from-integers", test_from_integers);
  g_test_add_func("/query/marks", test_marks);
  return g_test_run();
}
