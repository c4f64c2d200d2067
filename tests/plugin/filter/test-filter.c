/* SPDX-License-Identifier: Apache-2.0 */
/* filter, through its module, with the real expressions behind it. */
#include "harness-expr.h"

struct conf {
  const char *where;
  int32_t on_error;
};
enum { DEAD_LETTER, DROP, FAIL };

struct fixture {
  struct harness h;
  const struct mr_plugin *plugin;
  struct conf conf;
  struct ArrowSchema in;
  void *self;
  struct mr_error err;
};

static int start(struct fixture *f, const char *columns, const char *where, int32_t on_error)
{
  *f = (struct fixture){.conf = {where, on_error}, .err = MR_ERROR_INIT};
  harness_init(&f->h);
  harness_add_expr(&f->h);
  f->plugin = harness_load("transforms", "filter");
  f->in = harness_schema(columns);
  struct mr_open o = harness_open(&f->h, &f->conf, &f->in);
  return f->plugin->transform->open(&o, &f->self, &f->err);
}

static void stop(struct fixture *f)
{
  f->plugin->transform->close(f->self);
  mr_schema_release(&f->in);
  harness_done(&f->h);
}

/* Applies to the rows [from, from + n) of a text; the rows that come out as text. */
static char *apply(struct fixture *f, const char *rows, int *ret_status)
{
  struct ArrowArray a = harness_rows(&f->in, rows);
  struct mr_batch b = harness_batch(&f->in, &a), out = {.size = sizeof out};
  b.upto = mr_position_u64(42);
  b.watermark_us = 7;
  *ret_status = f->plugin->transform->apply(f->self, &b, &out, &f->err);
  if (*ret_status < 0) {
    g_assert_nonnull(b.rows.release);
    mr_array_release(&b.rows);
    return NULL;
  }
  g_assert_null(b.rows.release);
  g_assert_cmpuint(mr_position_get(&out.upto), ==, 42);
  g_assert_cmpint(out.watermark_us, ==, 7);
  char *text = harness_text(&f->in, &out.rows);
  mr_array_release(&out.rows);
  return text;
}

static void assert_rows(struct fixture *f, const char *rows, const char *want)
{
  int st;
  g_autofree char *text = apply(f, rows, &st);
  g_assert_cmpint(st, ==, MR_OK);
  g_assert_cmpstr(text, ==, want);
}

static void test_rows(void)
{
  struct fixture f;
  g_assert_cmpint(start(&f, "id: int64, s: utf8, l: list<int64>, b: bool, _offset: int64",
                        "id > 1 AND s <> 'no'", DEAD_LETTER),
                  ==, MR_OK);
  assert_rows(&f,
              "1|a|[1]|true|10\n2|b|[2,3]|~|11\n3|no|[]|true|12\n4|~|[4]|true|13\n5|e|~|false|14",
              "2|b|[2,3]|~|11\n5|e|~|false|14\n");
  g_assert_cmpint(*(int64_t *)g_hash_table_lookup(f.h.metrics, "filter_dropped_total"), ==, 3);
  assert_rows(&f, "2|b|[2,3]|~|11", "2|b|[2,3]|~|11\n"); /* all of them: moved */
  assert_rows(&f, "1|a|[]|~|1", "");                     /* none: the position moves on */
  assert_rows(&f, "", "");
  g_assert_cmpint(f.h.rejects->len, ==, 0);
  stop(&f);
}

static void test_schema(void)
{
  struct fixture f;
  struct ArrowSchema out;
  g_assert_cmpint(start(&f, "id: int64, s: utf8", "id > 1", DROP), ==, MR_OK);
  g_assert_cmpint(f.plugin->transform->schema(f.self, &out, &f.err), ==, MR_OK);
  g_autofree char *text = harness_columns(&out);
  g_assert_cmpstr(text, ==, "id: int64, s: utf8");
  mr_schema_release(&out);
  stop(&f);
}

static void test_bad_rows(void)
{
  struct fixture f;
  int st;
  g_assert_cmpint(start(&f, "a: int64, b: int64", "a / b > 1", DEAD_LETTER), ==, MR_OK);
  assert_rows(&f, "4|2\n1|0\n1|1\n9|3", "4|2\n9|3\n");
  g_assert_cmpint(f.h.rejects->len, ==, 1);
  struct harness_reject *r = f.h.rejects->pdata[0];
  g_assert_cmpint(r->row, ==, 1);
  g_assert_cmpstr(r->code, ==, "22012");
  g_assert_cmpstr(r->msg, ==, "1:3: division by zero");
  stop(&f);
  g_assert_cmpint(start(&f, "a: int64, b: int64", "a / b > 1", DROP), ==, MR_OK);
  assert_rows(&f, "4|2\n1|0", "4|2\n");
  g_assert_cmpint(f.h.rejects->len, ==, 0);
  stop(&f);
  g_assert_cmpint(start(&f, "a: int64, b: int64", "a / b > 1", FAIL), ==, MR_OK);
  g_assert_null(apply(&f, "4|2\n1|0", &st));
  g_assert_cmpint(st, ==, MR_FATAL);
  g_assert_cmpint(f.err.row, ==, 1);
  g_assert_cmpstr(f.err.msg, ==, "where: 1:3: division by zero");
  stop(&f);
}

static void assert_refused(const char *where, const char *msg)
{
  struct fixture f;
  g_assert_cmpint(start(&f, "id: int64", where, DROP), ==, MR_BADCONF);
  g_assert_cmpstr(f.err.option, ==, "where");
  g_assert_cmpstr(f.err.msg, ==, msg);
  mr_schema_release(&f.in);
  harness_done(&f.h);
}

static void test_refused(void)
{
  assert_refused("id + 1", "1:1: a condition is expected: true or false");
  assert_refused("id > x", "1:6: no column `x`");
  assert_refused("id >", "1:5: expected a value, the expression ends here");
}

static void test_evolve(void)
{
  struct fixture f;
  g_assert_cmpint(start(&f, "id: int64", "id > 1", DROP), ==, MR_OK);
  struct ArrowSchema to = harness_schema("x: utf8, id: int32"), bad = harness_schema("x: utf8");
  g_assert_cmpint(f.plugin->transform->evolve(f.self, &bad, &f.err), ==, MR_BADCONF);
  assert_rows(&f, "1\n2", "2\n"); /* as before */
  g_assert_cmpint(f.plugin->transform->evolve(f.self, &to, &f.err), ==, MR_OK);
  mr_schema_release(&f.in);
  f.in = to;
  assert_rows(&f, "a|1\nb|2", "b|2\n");
  mr_schema_release(&bad);
  stop(&f);
}

/* NULL of a delete of many rows may be true of a row that it means: it stays. */
static void test_ranges(void)
{
  struct fixture f;
  g_assert_cmpint(start(&f,
                        "id: int64, at: int64, v: int64, _op: utf8, "
                        "_range: struct<at: " HARNESS_BOUNDS("int64") ">",
                        "v > 5 AND id < 3 AND _op <> 'truncate'", DEAD_LETTER),
                  ==, MR_OK);
  assert_rows(&f,
              "1|1|9|insert|~\n"
              "1|2|~|update|~\n"
              "1|~|~|delete|{{1,~,true,false}}\n"
              "2|~|~|delete|{~}\n"
              "3|~|~|delete|{~}\n" /* false: none of its rows is kept */
              "2|~|~|truncate|{~}\n"
              "1|4|5|delete|~",
              "1|1|9|insert|~\n"
              "1|~|~|delete|{{1,~,true,false}}\n"
              "2|~|~|delete|{~}\n");
  stop(&f);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/filter/rows", test_rows);
  g_test_add_func("/filter/schema", test_schema);
  g_test_add_func("/filter/bad-rows", test_bad_rows);
  g_test_add_func("/filter/refused", test_refused);
  g_test_add_func("/filter/evolve", test_evolve);
  g_test_add_func("/filter/ranges", test_ranges);
  return g_test_run();
}
