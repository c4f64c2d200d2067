/* SPDX-License-Identifier: Apache-2.0 */
/* Types in each of their three notations: read, named again, and as Arrow types. */
#include "common/cql-type.h"
#include "harness.h"

#define M "org.apache.cassandra.db.marshal."

static char *name_of(int rc, struct cql_type *t, const struct mr_error *err)
{
  struct sql_buf b = {0};
  if (rc < 0)
    sql_buf_str(&b, err->msg);
  else
    cql_type_name(t, &b);
  char *name = g_strdup(sql_buf_text(&b));
  sql_buf_done(&b);
  cql_type_done(t);
  return name;
}

/* The fields of the one user type that these tests know. */
static int udt(void *ctx, const char *name, int depth, struct cql_type *ret, struct mr_error *err)
{
  (void)ctx;
  (void)err;
  struct cql_type *field;
  if (strcmp(name, "Place") && strcmp(name, "loop")) {
    g_snprintf(err->msg, sizeof err->msg, "no type %s", name);
    return MR_FATAL;
  }
  g_assert_true(cql_type_udt(ret, "ks", name));
  if (!strcmp(name, "loop")) {
    field = cql_type_add_field(ret, "self");
    return cql_type_text("frozen<loop>", 12, udt, NULL, depth, field, err);
  }
  for (int i = 0; i < 3; i++) {
    field = cql_type_add_field(ret, (const char *[]){"street", "no", "tags"}[i]);
    const char *type = (const char *[]){"text", "int", "frozen<set<text>>"}[i];
    int rc = cql_type_text(type, strlen(type), udt, NULL, depth, field, err);
    if (rc < 0)
      return rc;
  }
  return MR_OK;
}

static void is_text(const char *text, const char *want)
{
  struct cql_type t;
  struct mr_error err = MR_ERROR_INIT;
  int rc = cql_type_text(text, strlen(text), udt, NULL, 0, &t, &err);
  g_autofree char *got = name_of(rc, &t, &err);
  g_assert_cmpstr(got, ==, want);
}
static void is_class(const char *text, const char *want)
{
  struct cql_type t;
  struct mr_error err = MR_ERROR_INIT;
  int rc = cql_type_class(text, strlen(text), &t, &err);
  g_autofree char *got = name_of(rc, &t, &err);
  g_assert_cmpstr(got, ==, want);
}
/* hex: bytes in hexadecimal, blanks left out. */
static GByteArray *bytes(const char *hex)
{
  GByteArray *b = g_byte_array_new();
  for (; *hex; hex++) {
    if (*hex == ' ')
      continue;
    guint8 v = (guint8)(g_ascii_xdigit_value(hex[0]) << 4 | g_ascii_xdigit_value(hex[1]));
    g_byte_array_append(b, &v, 1);
    hex++;
  }
  return b;
}
static void is_option(const char *hex, const char *want)
{
  struct cql_type t;
  struct mr_error err = MR_ERROR_INIT;
  g_autoptr(GByteArray) b = bytes(hex);
  g_autofree uint8_t *exact = g_memdup2(b->data, b->len); /* so that a sanitizer sees its end */
  struct cql_read r = cql_read_of(exact, b->len);
  int rc = cql_type_option(&r, &t, &err);
  g_assert_true(rc < 0 || r.p == r.end);
  g_autofree char *got = name_of(rc, &t, &err);
  g_assert_cmpstr(got, ==, want);
}

static void test_text(void)
{
  static const char *const same[] = {"ascii",
                                     "bigint",
                                     "blob",
                                     "boolean",
                                     "counter",
                                     "date",
                                     "decimal",
                                     "double",
                                     "duration",
                                     "float",
                                     "inet",
                                     "int",
                                     "smallint",
                                     "text",
                                     "time",
                                     "timestamp",
                                     "timeuuid",
                                     "tinyint",
                                     "uuid",
                                     "varint",
                                     "list<int>",
                                     "set<text>",
                                     "map<text, int>",
                                     "tuple<int, text>",
                                     "vector<float, 3>",
                                     "frozen<list<int>>",
                                     "map<text, frozen<list<int>>>",
                                     "\"Place\"",
                                     "frozen<\"Place\">",
                                     "list<frozen<\"Place\">>",
                                     "vector<vector<text, 2>, 65535>"};
  for (size_t i = 0; i < G_N_ELEMENTS(same); i++)
    is_text(same[i], same[i]);
  is_text("varchar", "text");
  is_text(" map < text , int > ", "map<text, int>");
  is_text("tuple<frozen<tuple<int>>>", "tuple<tuple<int>>");
  is_text("'" M "UTF8Type'", "text");
}

static void test_text_refused(void)
{
  is_text("point", "no type point");
  is_text("\"place\"", "no type place");
  is_text("", "unknown type ``");
  is_text("int int", "malformed type: `int` behind its end");
  is_text("list<int", "malformed type: expected `>` at ``");
  is_text("list", "malformed type: expected `<` at ``");
  is_text("map<int>", "malformed type: expected `,` at `>`");
  is_text("vector<int, 0>", "malformed type: a vector of `0` elements");
  is_text("vector<int, x>", "malformed type: a vector of `x` elements");
  is_text("vector<int, 99999999999999999999>",
          "malformed type: a vector of `99999999999999999999` elements");
  is_text("\"Place", "malformed type: a name without its closing \"");
  is_text("'org.example.Odd'", "unknown type `org.example.Odd`");
  is_text("frozen<loop>", "a type nests more than 16 deep");
  g_autoptr(GString) deep = g_string_new(NULL);
  for (int i = 0; i < 20; i++)
    g_string_append(deep, "list<");
  is_text(deep->str, "a type nests more than 16 deep");
}

static void test_classes(void)
{
  is_class(M "Int32Type", "int");
  is_class("LongType", "bigint");
  is_class(M "ReversedType(" M "TimestampType)", "timestamp");
  is_class(M "MapType(" M "UTF8Type," M "Int32Type)", "map<text, int>");
  is_class(M "FrozenType(" M "ListType(" M "UUIDType))", "frozen<list<uuid>>");
  is_class(M "VectorType(" M "FloatType , 3)", "vector<float, 3>");
  is_class(M "TupleType(" M "Int32Type," M "InetAddressType)", "tuple<int, inet>");
  is_class(M "UserType(ks,506c616365,6e6f:" M "Int32Type,73:" M "FrozenType(" M "SetType(" M
             "DurationType)))",
           "\"Place\"");
  is_class(M "UserType(ks,7,6e6f:" M "Int32Type)",
           "malformed type: a name that is not hexadecimal");
  is_class(M "UserType(ks,zz)", "malformed type: a name that is not hexadecimal");
  is_class(M "UserType(ks,00)", "malformed type: a name that is not hexadecimal");
  is_class(M "DynamicCompositeType(a=>" M "BytesType)", "unknown type `DynamicCompositeType`");
  is_class(M "Int32Type)", "malformed type: `)` behind its end");
}

/* Native protocol: [short] ids, [string]s with a u16 length. */
static void test_options(void)
{
  is_option("000d", "text");
  is_option("0015", "duration");
  is_option("0020 0009", "frozen<list<int>>");
  is_option("0021 000d 0020 0009", "frozen<map<text, frozen<list<int>>>>");
  is_option("0022 000c", "frozen<set<uuid>>");
  is_option("0031 0002 0009 000d", "tuple<int, text>");
  is_option("0030 0002 6b73 0001 75 0002 0001 61 0009 0001 62 000d", "frozen<u>");
  g_autoptr(GString) custom = g_string_new("0000");
  static const char class[] = M "DurationType";
  g_string_append_printf(custom, "%04zx", strlen(class));
  for (const char *c = class; *c; c++)
    g_string_append_printf(custom, "%02x", *c);
  is_option(custom->str, "duration"); /* as protocol v4 has it */
  is_option("0099", "unknown type 0x0099");
  is_option("0020", "a type description ends too early");
  is_option("0030 0002 6b", "a type description ends too early");
  is_option("0031 ffff 0009", "a type description ends too early");
}

static void is_arrow(const char *text, const char *want)
{
  struct cql_type t, copy;
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema rows, child;
  g_assert_cmpint(cql_type_text(text, strlen(text), udt, NULL, 0, &t, &err), ==, MR_OK);
  g_assert_true(cql_type_copy(&t, &copy) && cql_type_equal(&t, &copy));
  cql_type_done(&t);
  const char *why = NULL;
  g_assert_true(mr_schema_struct(&rows) && cql_type_arrow(&copy, "c", &child));
  g_assert_true(cql_type_fits(&copy, &child, &why));
  g_assert_true(mr_schema_add(&rows, &child));
  g_autofree char *got = harness_columns(&rows);
  g_autofree char *whole = g_strdup_printf("c: %s", want);
  g_assert_cmpstr(got, ==, whole);
  mr_schema_release(&rows);
  cql_type_done(&copy);
}

static void test_arrow(void)
{
  is_arrow("tinyint", "int8");
  is_arrow("counter", "int64");
  is_arrow("decimal", "decimal(38,9)");
  is_arrow("varint", "decimal(38,0)");
  is_arrow("timestamp", "timestamptz");
  is_arrow("timeuuid", "uuid");
  is_arrow("inet", "utf8");
  is_arrow("duration", "struct<months: int32, days: int32, nanoseconds: int64>");
  is_arrow("map<text, frozen<list<int>>>", "map<utf8, list<int32>>");
  is_arrow("vector<float, 3>", "list<float32>");
  is_arrow("tuple<int, text>", "struct<f1: int32, f2: utf8>");
  is_arrow("\"Place\"", "struct<street: utf8, no: int32, tags: list<utf8>>");
}

static bool fits(const char *text, const char *column)
{
  struct cql_type t;
  struct mr_error err = MR_ERROR_INIT;
  const char *why = NULL;
  g_autofree char *columns = g_strdup_printf("c: %s", column);
  struct ArrowSchema s = harness_schema(columns);
  g_assert_cmpint(cql_type_text(text, strlen(text), udt, NULL, 0, &t, &err), ==, MR_OK);
  bool ok = cql_type_fits(&t, s.children[0], &why);
  g_assert_true(ok || why);
  mr_schema_release(&s);
  cql_type_done(&t);
  return ok;
}

static void test_fits(void)
{
  g_assert_true(fits("int", "uint64"));
  g_assert_true(fits("varint", "utf8"));
  g_assert_true(fits("decimal", "decimal(10,2)"));
  g_assert_true(fits("time", "int64"));
  g_assert_true(fits("uuid", "utf8"));
  g_assert_true(fits("\"Place\"", "struct<no: int64, street: utf8>"));
  g_assert_true(fits("tuple<int, text>", "struct<f2: utf8>"));
  g_assert_true(fits("map<int, text>", "map<int64, utf8>"));
  g_assert_false(fits("\"Place\"", "struct<nr: int64>"));
  g_assert_false(fits("\"Place\"", "struct<no: int64, no: int64>"));
  g_assert_false(fits("int", "float64"));
  g_assert_false(fits("double", "float32"));
  g_assert_false(fits("text", "int32"));
  g_assert_false(fits("list<text>", "list<int32>"));
  g_assert_false(fits("list<text>", "utf8"));
  g_assert_false(fits("decimal", "float64"));
}

static void test_fixed(void)
{
  static const struct {
    const char *type;
    int64_t size;
  } rows[] = {{"boolean", 1},
              {"int", 4},
              {"double", 8},
              {"timeuuid", 16},
              {"smallint", 0},
              {"date", 0},
              {"text", 0},
              {"vector<float, 3>", 12},
              {"vector<vector<bigint, 2>, 5>", 80},
              {"vector<text, 3>", 0}};
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    struct cql_type t;
    struct mr_error err = MR_ERROR_INIT;
    g_assert_cmpint(cql_type_text(rows[i].type, strlen(rows[i].type), NULL, NULL, 0, &t, &err), ==,
                    MR_OK);
    g_assert_cmpint(cql_type_fixed(&t), ==, rows[i].size);
    cql_type_done(&t);
  }
}

/* The vectors of the reference, Cassandra's VIntCoding. */
static void test_vints(void)
{
  static const struct {
    const char *hex;
    uint64_t v;
  } rows[] = {{"00", 0},
              {"7f", 127},
              {"8080", 128},
              {"bfff", 16383},
              {"c04000", 16384},
              {"c3e800", 256000},
              {"f100000000", UINT64_C(1) << 32},
              {"feffffffffffffff", (UINT64_C(1) << 56) - 1},
              {"ff0100000000000000", UINT64_C(1) << 56},
              {"ffffffffffffffffff", UINT64_MAX}};
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autoptr(GByteArray) b = bytes(rows[i].hex);
    struct cql_read r = cql_read_of(b->data, b->len);
    g_assert_cmpuint(cql_read_vint(&r), ==, rows[i].v);
    g_assert_true(r.p == r.end && !r.failed);
    r = cql_read_of(b->data, b->len - 1);
    cql_read_vint(&r);
    g_assert_true(r.failed);
  }
  struct cql_read r = cql_read_of("\x01\x02", 2);
  g_assert_cmpint(cql_read_svint(&r), ==, -1);
  g_assert_cmpint(cql_read_svint(&r), ==, 1);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/cql-type/text", test_text);
  g_test_add_func("/cql-type/text-refused", test_text_refused);
  g_test_add_func("/cql-type/classes", test_classes);
  g_test_add_func("/cql-type/options", test_options);
  g_test_add_func("/cql-type/arrow", test_arrow);
  g_test_add_func("/cql-type/fits", test_fits);
  g_test_add_func("/cql-type/fixed", test_fixed);
  g_test_add_func("/cql-type/vints", test_vints);
  return g_test_run();
}
