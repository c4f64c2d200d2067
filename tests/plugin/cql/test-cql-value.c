/* SPDX-License-Identifier: Apache-2.0 */
/* Values of every type, from bytes into columns: exact, or refused and nothing kept. */
#include "common/cql-value.h"
#include "data/array.h"
#include "harness.h"

static uint8_t *exact_bytes(const char *hex, int64_t *ret_n)
{
  GByteArray *b = g_byte_array_new();
  for (; *hex; hex++) {
    if (*hex == ' ')
      continue;
    guint8 v = (guint8)(g_ascii_xdigit_value(hex[0]) << 4 | g_ascii_xdigit_value(hex[1]));
    g_byte_array_append(b, &v, 1);
    hex++;
  }
  *ret_n = b->len;
  uint8_t *p = g_memdup2(b->data, b->len);
  g_byte_array_free(b, TRUE);
  return p;
}

/* A value of `type` in a column (NULL: the default one), as the harness writes rows; "refused:
 * why". A value before it and one behind it must come through untouched. */
static char *value(const char *type, const char *column, const char *hex)
{
  struct cql_type t;
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema s, child;
  struct ArrowArray rows;
  struct mr_column c;
  const char *why = NULL;
  g_assert_cmpint(cql_type_text(type, strlen(type), NULL, NULL, 0, &t, &err), ==, MR_OK);
  if (column) {
    g_autofree char *columns = g_strdup_printf("c: %s", column);
    s = harness_schema(columns);
  } else {
    g_assert_true(mr_schema_struct(&s) && cql_type_arrow(&t, "c", &child) &&
                  mr_schema_add(&s, &child));
  }
  g_assert_true(cql_type_fits(&t, s.children[0], &why) && mr_column_init(&c, s.children[0]));
  int64_t n;
  g_autofree uint8_t *p = exact_bytes(hex, &n);
  g_assert_cmpint(cql_value(&c, &t, s.children[0], NULL, -1, &why), ==, MR_OK);
  int rc = cql_value(&c, &t, s.children[0], p, n, &why);
  g_assert_cmpint(c.length, ==, rc < 0 ? 1 : 2);
  g_assert_cmpint(cql_value(&c, &t, s.children[0], NULL, -1, &why), ==, MR_OK);
  g_assert_true(mr_rows_finish(&c, 1, rc < 0 ? 2 : 3, &rows));
  g_assert_cmpint(mr_array_check(&s, &rows, true, &err), ==, MR_OK);
  g_autofree char *text = harness_text(&s, &rows);
  g_assert_true(g_str_has_prefix(text, "~\n") && g_str_has_suffix(text, "~\n"));
  char *out = rc < 0 ? g_strdup_printf("refused: %s", why) : g_strndup(text + 2, strlen(text) - 5);
  mr_column_done(&c);
  mr_array_release(&rows);
  mr_schema_release(&s);
  cql_type_done(&t);
  return out;
}
static void in(const char *type, const char *column, const char *hex, const char *want)
{
  g_autofree char *got = value(type, column, hex);
  if (strcmp(got, want))
    g_error("%s %s: `%s`, not `%s`", type, hex, got, want);
}
static void is(const char *type, const char *hex, const char *want)
{
  in(type, NULL, hex, want);
}
static void refused(const char *type, const char *column, const char *hex)
{
  g_autofree char *got = value(type, column, hex);
  if (!g_str_has_prefix(got, "refused: "))
    g_error("%s %s became `%s`", type, hex, got);
}

static void test_numbers(void)
{
  is("tinyint", "80", "-128");
  is("smallint", "7fff", "32767");
  is("int", "ffffffff", "-1");
  is("bigint", "8000000000000000", "-9223372036854775808");
  is("counter", "0000000000000005", "5");
  is("float", "3fc00000", "1.5");
  is("double", "bff8000000000000", "-1.5");
  is("boolean", "00", "false");
  is("boolean", "01", "true");
  is("int", "", "~"); /* an empty value, as Cassandra's drivers read it */
  in("int", "int64", "ffffffff", "-1");
  in("int", "uint32", "7fffffff", "2147483647");
  in("bigint", "utf8", "ffffffffffffffff", "-1");
  in("bigint", "decimal(20,1)", "0000000000000003", "30");
  in("float", "float64", "3fc00000", "1.5");
  refused("int", "uint32", "ffffffff");
  refused("bigint", "int32", "0000000080000000");
  refused("int", NULL, "0000");
  refused("bigint", NULL, "000000000000000000");
}

/* Expected digits from Python's int.from_bytes(…, signed=True). */
static void test_varints(void)
{
  is("varint", "00", "0");
  is("varint", "ff", "-1");
  is("varint", "0080", "128");
  is("varint", "80", "-128");
  is("varint", "7fffffffffffffffffffffffffffffff",
     "refused: not a decimal number of at most 38 digits");
  is("varint", "4b3b4ca85a86c47a098a223fffffffff", "99999999999999999999999999999999999999");
  is("varint", "b4c4b357a5793b85f675ddc000000001", "-99999999999999999999999999999999999999");
  refused("varint", NULL, "4b3b4ca85a86c47a098a224000000000"); /* 10^38 */
  in("varint", "utf8", "4b3b4ca85a86c47a098a224000000000",
     "100000000000000000000000000000000000000");
  in("varint", "utf8", "ff00000000", "-4294967296");
  in("varint", "utf8", "0100000000000000000000000000000000000000000000000000000000000000",
     "452312848583266388373324160190187140051835877600158453279131187530910662656");
  in("varint", "int64", "8000000000000000", "-9223372036854775808");
  in("varint", "uint64", "00ffffffffffffffff", "18446744073709551615");
  refused("varint", "int64", "008000000000000000");
  refused("varint", "uint8", "ff");
}

static void test_decimals(void)
{
  is("decimal", "00000000 05", "5000000000");
  is("decimal", "00000009 05", "5");
  is("decimal", "00000002 fb2e", "-12340000000"); /* -12.34 */
  is("decimal", "0000000a 0a", "1");
  is("decimal", "fffffffd 05", "5000000000000"); /* 5000 */
  refused("decimal", NULL, "0000000a 05");
  refused("decimal", NULL, "00000000");
  refused("decimal", NULL, "ffffffe0 05"); /* 5e32 */
  in("decimal", "decimal(4,2)", "00000002 04d2", "1234");
  refused("decimal", "decimal(3,2)", "00000002 04d2");
  in("decimal", "utf8", "00000002 fb2e", "-12.34");
  in("decimal", "utf8", "00000006 05", "0.000005");
  in("decimal", "utf8", "00000000 05", "5");
  in("decimal", "utf8", "fffffffd 05", "5E3");
  in("decimal", "utf8", "00000064 05", "5E-100");
  in("decimal", "utf8", "7fffffff 05", "5E-2147483647");
  in("decimal", "utf8", "80000000 05", "5E2147483648");
  refused("decimal", NULL, "7fffffff 05");
}

static void test_times(void)
{
  is("date", "80000000", "0");
  is("date", "7fffffff", "-1");
  is("date", "00000000", "-2147483648");
  is("timestamp", "0000000000000001", "1000");
  is("timestamp", "ffffffffffffffff", "-1000");
  refused("timestamp", NULL, "7fffffffffffffff");
  in("timestamp", "int64", "7fffffffffffffff", "9223372036854775807");
  is("time", "00000000000003e8", "1");
  is("time", "00004e94914effff",
     "refused: a time that is no whole number of microseconds (declare the "
     "column as int64)");
  in("time", "int64", "00004e94914effff", "86399999999999");
  refused("time", NULL, "00004e94914f0000");
  refused("time", "int64", "ffffffffffffffff");
  is("duration", "02 04 06", "{1,2,3}");
  is("duration", "01 03 05", "{-1,-2,-3}");
  in("duration", "utf8", "02 04 06", "P1M2DT0.000000003S");
  in("duration", "utf8", "01 00 f077359401", "-P1M0DT1.000000001S");
  refused("duration", NULL, "02 04");
  refused("duration", NULL, "02 04 06 00");
  refused("duration", NULL, "f200000000 00 00");
}

static void test_bytes(void)
{
  is("text", "68c3a9", "h\xc3\xa9");
  is("text", "", "");
  is("ascii", "61", "a");
  refused("text", NULL, "ff");
  in("text", "binary", "61", "a");
  is("blob", "6162", "ab");
  is("inet", "7f000001", "127.0.0.1");
  is("inet", "20010db8000000000000000000000001", "2001:db8::1");
  refused("inet", NULL, "7f0000");
  is("uuid", "000102030405060708090a0b0c0d0e0f", "000102030405060708090a0b0c0d0e0f");
  in("timeuuid", "utf8", "000102030405060708090a0b0c0d0e0f",
     "00010203-0405-0607-0809-0a0b0c0d0e0f");
  refused("uuid", NULL, "00");
}

static void test_collections(void)
{
  is("list<int>", "00000002 00000004 00000001 00000004 ffffffff", "[1,-1]");
  is("list<int>", "00000000", "[]");
  is("list<int>", "00000001 ffffffff", "[~]"); /* TTL of a collection has nulls */
  is("set<text>", "00000001 00000001 61", "[a]");
  is("map<text, int>", "00000001 00000001 61 00000004 00000007", "[{a,7}]");
  is("map<text, frozen<list<int>>>", "00000001 00000001 61 0000000c 00000001 00000004 00000007",
     "[{a,[7]}]");
  is("tuple<int, text>", "00000004 00000007 00000001 61", "{7,a}");
  is("tuple<int, text>", "00000004 00000007 ffffffff", "{7,~}");
  is("tuple<int, text>", "00000004 00000007", "{7,~}");
  in("tuple<int, text>", "struct<f2: utf8, f1: int64>", "00000004 00000007 00000001 61", "{a,7}");
  in("tuple<int, text>", "struct<f2: utf8>", "00000004 00000007 00000001 61", "{a}");
  is("vector<float, 2>", "3fc00000 bfc00000", "[1.5,-1.5]");
  is("vector<text, 2>", "01 61 02 6263", "[a,bc]");
  is("vector<smallint, 2>", "02 0001 02 0002", "[1,2]");
  is("list<frozen<tuple<int>>>", "00000001 00000008 00000004 00000001", "[{1}]");
}

static void test_collections_refused(void)
{
  refused("list<int>", NULL, "00000002 00000004 00000001");
  refused("list<int>", NULL, "00000001 00000004 00000001 00");
  refused("list<int>", NULL, "7fffffff");
  refused("list<int>", NULL, "00000002 00000004 00000001 00000003 000001");
  refused("list<text>", NULL, "00000002 00000001 61 00000001 ff");
  refused("map<text, int>", NULL, "00000001 ffffffff 00000004 00000007"); /* a null key */
  refused("map<text, int>", NULL, "00000002 00000001 61 00000004 00000007 00000001 62 00000001 00");
  refused("tuple<int, text>", NULL, "00000004 00000007 00000001 ff");
  refused("tuple<int, text>", NULL, "00000004 0000");
  refused("vector<float, 2>", NULL, "3fc00000");
  refused("vector<float, 2>", NULL, "3fc00000 3fc00000 00");
  refused("vector<text, 2>", NULL, "01 61 01 ff");
  refused("list<frozen<map<text, frozen<list<text>>>>>", NULL,
          "00000001 00000016 00000001 00000001 61 00000009 00000001 00000001 ff");
}

/* Shards as 4.0 writes them: two of 16 bytes id, clock, count. */
static void test_counter(void)
{
  int64_t n, v = 0;
  g_autofree uint8_t *p = exact_bytes("0001 8000 00000000000000000000000000000001 0000000000000009 "
                                      "0000000000000005 00000000000000000000000000000002 "
                                      "0000000000000001 fffffffffffffffe",
                                      &n);
  g_assert_true(cql_counter(p, n, &v));
  g_assert_cmpint(v, ==, 3);
  g_assert_false(cql_counter(p, n - 1, &v));
  g_assert_false(cql_counter(p, 1, &v));
}

/* A user type that no server makes: two fields of one name. Both are there. */
static void test_same_names(void)
{
  struct cql_type t;
  struct ArrowSchema s;
  struct mr_column c;
  const char *why = NULL;
  int64_t n;
  g_autofree uint8_t *p = exact_bytes("00000004 00000007 00000004 00000008", &n);
  g_assert_true(cql_type_udt(&t, "ks", "t"));
  for (int i = 0; i < 2; i++)
    cql_type_add_field(&t, "a")->kind = CQL_INT;
  g_assert_true(cql_type_arrow(&t, "c", &s) && mr_column_init(&c, &s));
  g_assert_cmpint(cql_value(&c, &t, &s, p, n, &why), ==, MR_OK);
  g_assert_cmpint(c.child[0].length, ==, 1);
  g_assert_cmpint(c.child[1].length, ==, 1);
  mr_column_done(&c);
  mr_schema_release(&s);
  cql_type_done(&t);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/cql-value/numbers", test_numbers);
  g_test_add_func("/cql-value/varints", test_varints);
  g_test_add_func("/cql-value/decimals", test_decimals);
  g_test_add_func("/cql-value/times", test_times);
  g_test_add_func("/cql-value/bytes", test_bytes);
  g_test_add_func("/cql-value/collections", test_collections);
  g_test_add_func("/cql-value/collections-refused", test_collections_refused);
  g_test_add_func("/cql-value/counter", test_counter);
  g_test_add_func("/cql-value/same-names", test_same_names);
  return g_test_run();
}
