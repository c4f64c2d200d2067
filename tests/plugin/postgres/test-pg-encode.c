/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of COPY in both forms, byte by byte, and which pairs of types have an encoder. */
#include <glib.h>
#include "common/pg-encode.h"
#include "common/pg-type.h"

struct bad {
  int64_t row;
  int field;
  const char *code;
};
struct fixture {
  struct ArrowSchema schema;
  struct ArrowArray rows;
  struct pg_field field[8];
  int n;
  GArray *bad;
};

static int note_bad(void *ctx, int64_t row, int field, const char *code, const char *msg)
{
  struct fixture *f = ctx;
  struct bad b = {row, field, code};
  g_assert_nonnull(msg);
  g_array_append_val(f->bad, b);
  return row == 99 ? -1 : 0;
}

static void begin(struct fixture *f)
{
  memset(f, 0, sizeof *f);
  f->bad = g_array_new(FALSE, FALSE, sizeof(struct bad));
  g_assert_true(mr_schema_struct(&f->schema));
}

/* Adds a column: its Arrow format, its target. */
static void column(struct fixture *f, const char *format, uint32_t oid, int32_t typmod,
                   bool not_null)
{
  struct pg_type t = {.oid = oid, .typmod = typmod, .not_null = not_null};
  g_autofree char *name = g_strdup_printf("c%d", f->n);
  g_assert_true(mr_schema_field(&f->schema, name, format, true));
  g_assert_true(pg_field_plan(f->schema.children[f->n], &t, &f->field[f->n]));
  f->n++;
}

static void fill(struct fixture *f, struct mr_column *c, int64_t rows)
{
  g_assert_true(mr_rows_finish(c, f->n, rows, &f->rows));
  for (int i = 0; i < f->n; i++)
    pg_field_bind(&f->field[i], f->schema.children[i], f->rows.children[i]);
}

static char *encode(struct fixture *f, bool text, int64_t from, int64_t to)
{
  struct pg_rows r = {.field = f->field, .n = f->n, .text = text, .bad = note_bad, .ctx = f};
  struct sql_buf out = {0};
  int64_t next = 0;
  g_assert_cmpint(pg_rows_encode(&r, from, to, 1 << 20, &out, &next), >=, 0);
  g_assert_cmpint(next, ==, to);
  GString *s = g_string_new(NULL);
  if (text)
    g_string_append_len(s, (char *)out.p, (gssize)out.len);
  for (size_t i = 0; !text && i < out.len; i++)
    g_string_append_printf(s, "%02x", out.p[i]);
  sql_buf_done(&out);
  return g_string_free(s, FALSE);
}

static void finish(struct fixture *f)
{
  for (int i = 0; i < f->n; i++)
    pg_field_done(&f->field[i]);
  mr_array_release(&f->rows);
  mr_schema_release(&f->schema);
  g_array_unref(f->bad);
}

static void expect(struct fixture *f, bool text, int64_t from, int64_t to, const char *want)
{
  g_autofree char *got = encode(f, text, from, to);
  g_assert_cmpstr(got, ==, want);
}

static void test_plain(void)
{
  struct fixture f;
  struct mr_column c[3];
  begin(&f);
  column(&f, "l", PG_INT8, -1, false);
  column(&f, "s", PG_INT2, -1, false);
  column(&f, "u", PG_TEXT, -1, false);
  for (int i = 0; i < 3; i++)
    g_assert_true(mr_column_init(&c[i], f.schema.children[i]));
  mr_column_int(&c[0], -2);
  mr_column_int(&c[1], 258);
  mr_column_text(&c[2], "hé\\");
  mr_column_null(&c[0]);
  mr_column_null(&c[1]);
  mr_column_text(&c[2], "");
  fill(&f, c, 2);
  expect(&f, false, 0, 2,
         "0003"
         "00000008fffffffffffffffe"
         "000000020102"
         "0000000468c3a95c"
         "0003ffffffffffffffff00000000");
  expect(&f, true, 0, 2, "-2\t258\thé\\\\\n\\N\t\\N\t\n");
  finish(&f);
}

static void test_times(void)
{
  struct fixture f;
  struct mr_column c[3];
  begin(&f);
  column(&f, "tdD", PG_DATE, -1, false);
  column(&f, "ttu", PG_TIME, -1, false);
  column(&f, "tsu:UTC", PG_TIMESTAMPTZ, -1, false);
  for (int i = 0; i < 3; i++)
    g_assert_true(mr_column_init(&c[i], f.schema.children[i]));
  mr_column_int(&c[0], 0); /* 1970-01-01 */
  mr_column_int(&c[1], 1);
  mr_column_int(&c[2], -1); /* a microsecond before 1970 */
  fill(&f, c, 1);
  expect(&f, false, 0, 1,
         "000300000004ffffd533"
         "000000080000000000000001"
         "00000008fffca2fec4c81fff");
  expect(&f, true, 0, 1, "1970-01-01\t00:00:00.000001\t1969-12-31 23:59:59.999999+00\n");
  finish(&f);
}

static void test_array(void)
{
  struct ArrowSchema list, item;
  struct fixture f;
  struct mr_column c;
  struct pg_type t = {.oid = 1007, .elem_oid = PG_INT4, .typmod = -1};
  begin(&f);
  g_assert_true(mr_schema_init(&list, "l", "+l", true));
  g_assert_true(mr_schema_init(&item, "item", "i", true));
  g_assert_true(mr_schema_add(&list, &item) && mr_schema_add(&f.schema, &list));
  g_assert_true(pg_field_plan(f.schema.children[0], &t, &f.field[0]));
  f.n = 1;
  g_assert_true(mr_column_init(&c, f.schema.children[0]));
  mr_column_int(&c.child[0], 7);
  mr_column_null(&c.child[0]);
  mr_column_end(&c);
  mr_column_end(&c);
  fill(&f, &c, 2);
  expect(&f, false, 0, 2,
         "0001"
         "00000020"
         "000000010000000100000017"
         "0000000200000001"
         "0000000400000007"
         "ffffffff"
         "0001"
         "0000000c000000000000000000000017");
  expect(&f, true, 0, 2, "{\"7\",NULL}\n{}\n");
  mr_column_done(&c);
  finish(&f);
}

/* Bad rows are left out, with their number, and the others stay. */
static void test_bad_rows(void)
{
  struct fixture f;
  struct mr_column c[2];
  begin(&f);
  column(&f, "L", PG_INT8, -1, true);
  column(&f, "u", PG_VARCHAR, 4 + 2, false);
  for (int i = 0; i < 2; i++)
    g_assert_true(mr_column_init(&c[i], f.schema.children[i]));
  const char *text[] = {"ok", "a\0b", "éé", "abc", "ab ", "x", "y"};
  int64_t len[] = {2, 3, 4, 3, 3, 1, 1};
  for (int i = 0; i < 7; i++) {
    if (i == 5)
      mr_column_null(&c[0]);
    else
      mr_column_int(&c[0], i == 6 ? INT64_MIN : i);
    mr_column_bytes(&c[1], text[i], len[i]);
  }
  fill(&f, c, 7);
  expect(&f, false, 0, 7,
         "0002000000080000000000000000000000026f6b"
         "000200000008000000000000000200000004c3a9c3a9"
         "000200000008000000000000000400000003616220");
  const struct bad want[] = {{1, 1, "22021"}, {3, 1, "22001"}, {5, 0, "23502"}, {6, 0, "22003"}};
  g_assert_cmpuint(f.bad->len, ==, 4);
  for (guint i = 0; i < 4; i++) {
    g_assert_cmpint(g_array_index(f.bad, struct bad, i).row, ==, want[i].row);
    g_assert_cmpint(g_array_index(f.bad, struct bad, i).field, ==, want[i].field);
    g_assert_cmpstr(g_array_index(f.bad, struct bad, i).code, ==, want[i].code);
  }
  expect(&f, true, 0, 4, "0\tok\n2\téé\n");
  finish(&f);
}

/* The encoder stops at `enough` bytes and goes on where it stopped. */
static void test_chunks(void)
{
  struct fixture f;
  struct mr_column c;
  struct sql_buf out = {0};
  begin(&f);
  column(&f, "l", PG_INT8, -1, false);
  g_assert_true(mr_column_init(&c, f.schema.children[0]));
  for (int i = 0; i < 1000; i++)
    mr_column_int(&c, i);
  fill(&f, &c, 1000);
  struct pg_rows r = {.field = f.field, .n = 1, .bad = note_bad, .ctx = &f};
  int64_t at = 0, rows = 0, calls = 0;
  while (at < 1000) {
    out.len = 0;
    rows += pg_rows_encode(&r, at, 1000, 100, &out, &at);
    g_assert_cmpuint(out.len, <=, 100 + 14);
    calls++;
  }
  g_assert_cmpint(rows, ==, 1000);
  g_assert_cmpint(calls, ==, 125);
  sql_buf_done(&out);
  finish(&f);
}

static bool has_plan(const char *format, uint32_t oid, enum pg_op *ret)
{
  struct ArrowSchema s;
  struct pg_field f;
  struct pg_type t = {.oid = oid, .typmod = -1};
  g_assert_true(mr_schema_init(&s, "c", format, true));
  bool ok = pg_field_plan(&s, &t, &f);
  *ret = f.op;
  pg_field_done(&f);
  mr_schema_release(&s);
  return ok;
}

static void test_pairs(void)
{
  static const struct {
    const char *format;
    uint32_t oid;
    int op; /* -1: refused */
  } pair[] = {
      {"l", PG_INT8, PG_OP_SAME8},
      {"i", PG_INT8, PG_OP_INT},
      {"L", PG_INT8, PG_OP_INT},
      {"L", PG_NUMERIC, PG_OP_INT_NUMERIC},
      {"g", PG_FLOAT8, PG_OP_SAME8},
      {"f", PG_FLOAT8, PG_OP_FLOAT},
      {"b", PG_BOOL, PG_OP_BOOL},
      {"b", PG_INT4, -1},
      {"l", PG_BOOL, -1},
      {"l", PG_DATE, -1},
      {"u", PG_DATE, PG_OP_TEXT_ONLY},
      {"u", 869, PG_OP_TEXT_ONLY},
      {"tdD", PG_INT4, -1},
      {"tsu:", PG_DATE, -1},
      {"l", PG_TEXT, PG_OP_AS_TEXT},
      {"w:16", PG_UUID, PG_OP_UUID},
      {"z", PG_BYTEA, PG_OP_BYTES},
      {"u", PG_JSONB, PG_OP_JSONB_BYTES},
      {"n", PG_DATE, PG_OP_NULL},
      {"d:9,2", PG_INT8, -1},
      {"d:9,2", PG_NUMERIC, PG_OP_DECIMAL},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(pair); i++) {
    enum pg_op op;
    bool ok = has_plan(pair[i].format, pair[i].oid, &op);
    g_test_message("%s -> %u", pair[i].format, pair[i].oid);
    g_assert_cmpint(ok ? (int)op : -1, ==, pair[i].op);
  }
}

static void test_widening(void)
{
  static const struct {
    const char *from, *to;
    bool wider;
  } pair[] = {
      {"integer", "bigint", true},
      {"bigint", "integer", false},
      {"smallint", "numeric(5,0)", true},
      {"bigint", "numeric(20,0)", true},
      {"bigint", "numeric(18,0)", false},
      {"numeric(4,2)", "numeric(10,4)", true},
      {"numeric(10,2)", "numeric(10,4)", false},
      {"numeric", "numeric(10,4)", false},
      {"real", "double precision", true},
      {"double precision", "real", false},
      {"character varying(3)", "text", true},
      {"text", "integer", false},
      {"integer", "text", false},
      {"date", "date", false},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(pair); i++) {
    g_test_message("%s -> %s", pair[i].from, pair[i].to);
    g_assert_cmpint(pg_type_widens(pair[i].from, pair[i].to), ==, pair[i].wider);
  }
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/pg-encode/plain", test_plain);
  g_test_add_func("/pg-encode/times", test_times);
  g_test_add_func("/pg-encode/array", test_array);
  g_test_add_func("/pg-encode/bad-rows", test_bad_rows);
  g_test_add_func("/pg-encode/chunks", test_chunks);
  g_test_add_func("/pg-encode/pairs", test_pairs);
  g_test_add_func("/pg-encode/widening", test_widening);
  return g_test_run();
}
