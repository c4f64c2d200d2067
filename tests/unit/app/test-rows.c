/* SPDX-License-Identifier: Apache-2.0 */
#include "app/rows.h"
#include <string.h>
#include "app/yaml-rows.h"

struct made {
  GPtrArray *problems;
  struct mr_ynode *root;
  struct ArrowSchema schema;
  struct ArrowArray rows;
  bool ok;
};

/* text: a mapping of `columns` and `rows`. */
static void make(struct made *m, const char *text)
{
  memset(m, 0, sizeof *m);
  m->problems = mr_problems_new();
  m->root = mr_yaml_parse(text, strlen(text), m->problems);
  g_assert_nonnull(m->root);
  g_assert_true(mr_schema_struct(&m->schema) &&
                mr_yaml_columns(mr_ynode_get(m->root, "columns"), m->problems, &m->schema));
  m->ok =
      mr_yaml_rows(mr_ynode_get(m->root, "rows"), &m->schema, "the table", m->problems, &m->rows);
}
static void done(struct made *m)
{
  mr_array_release(&m->rows);
  mr_schema_release(&m->schema);
  mr_ynode_free(m->root);
  g_ptr_array_unref(m->problems);
}

/* The rows as their cells' JSON texts, "a|b" for each row. */
static char *texts(const struct made *m)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_rows r;
  GString *s = g_string_new(NULL);
  mr_rows_init(&r);
  g_assert_true(mr_rows_add(&r, &m->schema, &m->rows, INT64_MAX, &err));
  for (guint i = 0; i < r.rows->len; i++)
    for (int64_t k = 0; k < r.schema.n_children; k++) {
      const char *cell = ((char **)r.rows->pdata[i])[k];
      g_string_append_printf(s, "%s%s", k ? "|" : i ? "\n" : "", cell ? cell : "NULL");
    }
  mr_rows_finish_all(&r);
  return g_string_free(s, FALSE);
}

static void check(const char *text, const char *expected)
{
  struct made m;
  make(&m, text);
  if (!m.ok)
    g_test_message("%s", ((struct mr_problem *)m.problems->pdata[0])->message);
  g_assert_true(m.ok);
  g_autofree char *got = texts(&m);
  g_assert_cmpstr(got, ==, expected);
  done(&m);
}

static void check_problem(const char *text, int line, const char *expected)
{
  struct made m;
  make(&m, text);
  g_assert_false(m.ok);
  const struct mr_problem *p = m.problems->pdata[0];
  g_assert_cmpint(p->line, ==, line);
  if (!strstr(p->message, expected))
    g_test_message("%s", p->message);
  g_assert_nonnull(strstr(p->message, expected));
  done(&m);
}

static void test_values(void)
{
  check("columns: {u: uint64, d: \"decimal(10,2)\", b: bool, t: utf8}\n"
        "rows:\n"
        "  - {u: 18446744073709551615, d: 1.5, b: true, t: 12}\n"
        "  - {u: \"7\", d: \"0.10\", t: \"null\"}\n"
        "  - {u: null, b: false, t: null}\n",
        "18446744073709551615|1.50|true|\"12\"\n7|0.10|NULL|\"null\"\nNULL|NULL|false|NULL");
  check("columns: {d: date, ts: timestamptz, f: float64, _op: utf8}\n"
        "rows: [{d: 2026-01-28, ts: 2026-01-28T10:00:00Z, f: -1e3, _op: delete}]\n",
        "\"2026-01-28\"|\"2026-01-28T10:00:00.000000Z\"|-1000.0|\"delete\"");
}

static void test_nested(void)
{
  check("columns: {l: list<utf8>, s: \"struct<a: int64, b: utf8>\", j: json}\n"
        "rows: [{l: [1, \"a\\\"b\"], s: {a: 1, b: 2}, j: {x: [1, a]}}]\n",
        "[\"1\",\"a\\\"b\"]|{\"a\":1,\"b\":\"2\"}|{\"x\":[1,\"a\"]}");
}

static void test_problems(void)
{
  check_problem("columns: {price: int64}\nrows:\n  - {price: 1}\n  - {prise: 1}\n", 4,
                "the table has no column `prise` (did you mean `price`?)");
  check_problem("columns: {n: uint8}\nrows:\n  - {n: 1}\n  - {n: 256}\n", 4, "column n");
  check_problem("columns: {n: uint8}\nrows:\n  - {n: seven}\n", 3, "column n");
  check_problem("columns: {n: uint8}\nrows:\n  - 7\n", 3, "a row is a mapping");
  check_problem("columns: {n: uint8}\nrows: {n: 1}\n", 2, "a list of rows");
}

static void test_table(void)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_rows r;
  struct made m;
  char *out = NULL;
  size_t n = 0;
  make(&m, "columns: {id: int64, name: utf8, _op: utf8}\n"
           "rows: [{id: 1, name: \"\\u65E5\\u672C\"}, {id: 100, name: abcdefghij}, {name: "
           "\"a\\nb\"}]\n");
  g_assert_true(m.ok);
  mr_rows_init(&r);
  g_assert_true(mr_rows_add(&r, &m.schema, &m.rows, INT64_MAX, &err));
  FILE *file = open_memstream(&out, &n);
  mr_rows_print(file, &r, false, 6);
  mr_rows_print(file, &r, true, 20);
  fclose(file);
  g_assert_cmpstr(out, ==,
                  "  id  name\n"
                  "   1  日本\n"
                  " 100  abcde…\n"
                  "NULL  a\\nb\n"
                  "  id  name        _op\n"
                  "   1  日本        NULL\n"
                  " 100  abcdefghij  NULL\n"
                  "NULL  a\\nb        NULL\n");
  free(out);
  mr_rows_finish_all(&r);
  done(&m);
}

static void test_plain(void)
{
  static const char *const pairs[][2] = {{NULL, "NULL"},
                                         {"12", "12"},
                                         {"\"\"", ""},
                                         {"\"a\\\"b\\\\c\\n\"", "a\"b\\c\\n"},
                                         {"{\"a\":1}", "{\"a\":1}"}};
  for (gsize i = 0; i < G_N_ELEMENTS(pairs); i++) {
    g_autofree char *got = mr_rows_plain(pairs[i][0]);
    g_assert_cmpstr(got, ==, pairs[i][1]);
  }
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/rows/values", test_values);
  g_test_add_func("/rows/nested", test_nested);
  g_test_add_func("/rows/problems", test_problems);
  g_test_add_func("/rows/table", test_table);
  g_test_add_func("/rows/plain", test_plain);
  return g_test_run();
}
