/* SPDX-License-Identifier: Apache-2.0 */
/* explode, through its module. */
#include "data/array.h"
#include "harness.h"

struct conf {
  const char *column, *into, *index;
  int32_t empty;
};
enum { DROP, KEEP };

struct fixture {
  struct harness h;
  const struct mr_plugin *plugin;
  struct conf conf;
  struct ArrowSchema in, out;
  void *self;
  struct mr_error err;
};

static int start(struct fixture *f, const char *columns, struct conf conf)
{
  *f = (struct fixture){.conf = conf, .err = MR_ERROR_INIT};
  harness_init(&f->h);
  f->plugin = harness_load("transforms", "explode");
  f->in = harness_schema(columns);
  g_assert_true(mr_schema_set_meta(f->in.children[1], MR_META_CLASS, "pii"));
  struct mr_open o = harness_open(&f->h, &f->conf, &f->in);
  int st = f->plugin->transform->open(&o, &f->self, &f->err);
  if (st >= 0)
    g_assert_cmpint(f->plugin->transform->schema(f->self, &f->out, &f->err), ==, MR_OK);
  return st;
}

static void stop(struct fixture *f)
{
  if (f->self)
    f->plugin->transform->close(f->self);
  mr_schema_release(&f->in);
  mr_schema_release(&f->out);
  harness_done(&f->h);
}

static char *apply_rows(struct fixture *f, struct ArrowArray *a)
{
  struct mr_batch b = harness_batch(&f->in, a), out = {.size = sizeof out};
  struct mr_error err = MR_ERROR_INIT;
  b.upto = mr_position_u64(42);
  b.lane = 3;
  g_assert_cmpint(f->plugin->transform->apply(f->self, &b, &out, &f->err), ==, MR_OK);
  g_assert_null(b.rows.release);
  g_assert_cmpuint(mr_position_get(&out.upto), ==, 42);
  g_assert_cmpuint(out.lane, ==, 3);
  if (mr_array_check(&f->out, &out.rows, true, &err) < 0)
    g_error("%s", err.msg);
  char *text = harness_text(&f->out, &out.rows);
  mr_array_release(&out.rows);
  return text;
}

static void assert_rows(struct fixture *f, const char *rows, const char *want)
{
  struct ArrowArray a = harness_rows(&f->in, rows);
  g_autofree char *text = apply_rows(f, &a);
  g_assert_cmpstr(text, ==, want);
}

static void assert_columns(struct fixture *f, const char *want)
{
  g_autofree char *text = harness_columns(&f->out);
  g_assert_cmpstr(text, ==, want);
}

#define ROWS "1|[10,20]|x|7\n2|[]|y|8\n3|~|z|9\n4|[~,30]|~|10"

static void test_drop(void)
{
  struct fixture f;
  g_assert_cmpint(start(&f, "id: int64, l: list<int64>, s: utf8, _offset: int64",
                        (struct conf){"l", NULL, NULL, DROP}),
                  ==, MR_OK);
  assert_columns(&f, "id: int64, l: int64!pii, s: utf8, _offset: int64");
  assert_rows(&f, ROWS, "1|10|x|7\n1|20|x|7\n4|~|~|10\n4|30|~|10\n");
  assert_rows(&f, "2|[]|y|8", "");
  assert_rows(&f, "", "");
  stop(&f);
}

static void test_keep(void)
{
  struct fixture f;
  g_assert_cmpint(start(&f, "id: int64, l: list<int64>, s: utf8, _offset: int64",
                        (struct conf){"l", "item", "pos", KEEP}),
                  ==, MR_OK);
  assert_columns(&f, "id: int64, item: int64!pii, pos: uint32, s: utf8, _offset: int64");
  assert_rows(&f, ROWS, "1|10|0|x|7\n1|20|1|x|7\n2|~|~|y|8\n3|~|~|z|9\n4|~|0|~|10\n4|30|1|~|10\n");
  stop(&f);
}

/* Element and index are written where the list is. */
static void test_set(void)
{
  struct fixture f;
  g_assert_cmpint(start(&f, "id: int64, l: list<int64>, _set: struct<l: bool, id: bool>, s: utf8",
                        (struct conf){"l", "item", "pos", KEEP}),
                  ==, MR_OK);
  assert_columns(&f, "id: int64, item: int64!pii, pos: uint32, _set: struct<id: bool, item: bool, "
                     "pos: bool>, s: utf8");
  assert_rows(&f, "1|[10,20]|{true,true}|x\n2|~|{false,true}|y\n~|[]|{true,false}|z",
              "1|10|0|{true,true,true}|x\n1|20|1|{true,true,true}|x\n"
              "2|~|~|{true,false,false}|y\n~|~|~|{false,true,true}|z\n");
  stop(&f);
}

/* A delete of many rows has no list, and is none the less. */
static void test_ranges(void)
{
#define RANGES "id: int64, l: list<int64>, at: int64, _range: struct<"
  struct fixture f;
  g_assert_cmpint(
      start(&f, RANGES "at: " HARNESS_BOUNDS("int64") ">", (struct conf){"l", NULL, "pos", DROP}),
      ==, MR_OK);
  assert_rows(&f, "1|[10,20]|1|~\n1|~|~|{{~,5,false,true}}\n2|~|3|~\n2|~|~|{~}",
              "1|10|0|1|~\n1|20|1|1|~\n1|~|~|~|{{~,5,false,true}}\n2|~|~|~|{~}\n");
  stop(&f);
  g_assert_cmpint(start(&f, RANGES "l: " HARNESS_BOUNDS("list<int64>") ">",
                        (struct conf){"l", NULL, NULL, DROP}),
                  ==, MR_BADCONF);
  g_assert_nonnull(strstr(f.err.msg, "`l` bounds deletes of many rows"));
  stop(&f);
}

/* Every kind of column is repeated and every kind of element comes out. */
static void test_types(void)
{
  struct fixture f;
  g_assert_cmpint(start(&f,
                        "b: bool, l: list<struct<a: int64, t: utf8>>, m: map<utf8, int64>, d: "
                        "decimal(20,2), k: list<utf8>, u: uuid, h: int16",
                        (struct conf){"l", "e", NULL, DROP}),
                  ==, MR_OK);
  assert_rows(&f,
              "true|[{1,x},{~,y}]|[{k,5}]|123|[p,q]|00112233445566778899aabbccddeeff|-3\n"
              "~|[{2,~}]|~|~|[]|~|~",
              "true|{1,x}|[{k,5}]|123|[p,q]|00112233445566778899aabbccddeeff|-3\n"
              "true|{~,y}|[{k,5}]|123|[p,q]|00112233445566778899aabbccddeeff|-3\n"
              "~|{2,~}|~|~|[]|~|~\n");
  stop(&f);
}

static void test_slices(void)
{
  struct fixture f;
  g_assert_cmpint(
      start(&f, "id: int64, l: list<utf8>, b: bool", (struct conf){"l", NULL, "i", KEEP}), ==,
      MR_OK);
  struct ArrowArray all = harness_rows(&f.in, "1|[a,b]|true\n2|[c]|false\n3|[]|~\n4|[d,e,f]|true");
  GString *text = g_string_new("");
  for (int64_t i = 0; i < 4; i++) {
    struct ArrowArray slice;
    g_assert_true(mr_rows_slice(&all, i, 1, &slice));
    g_autofree char *part = apply_rows(&f, &slice);
    g_string_append(text, part);
  }
  g_assert_cmpstr(
      text->str, ==,
      "1|a|0|true\n1|b|1|true\n2|c|0|false\n3|~|~|~\n4|d|0|true\n4|e|1|true\n4|f|2|true\n");
  mr_array_release(&all);
  g_string_free(text, TRUE);
  stop(&f);
}

/* Text repeated past what one column holds is refused for the caller to cut, and nothing is lost.
 */
static void test_too_long(void)
{
  struct fixture f;
  struct mr_column c[2];
  struct ArrowArray a;
  g_assert_cmpint(start(&f, "s: utf8, l: list<bool>", (struct conf){"l", NULL, NULL, DROP}), ==,
                  MR_OK);
  g_autofree char *big = g_strnfill(1 << 20, 'x');
  for (int k = 0; k < 2; k++)
    g_assert_true(mr_column_init(&c[k], f.in.children[k]));
  g_assert_true(mr_column_text(&c[0], big));
  for (int i = 0; i < 2049; i++)
    g_assert_true(mr_column_bool(&c[1].child[0], true));
  g_assert_true(mr_column_end(&c[1]));
  g_assert_true(mr_rows_finish(c, 2, 1, &a));
  for (int k = 0; k < 2; k++)
    mr_column_done(&c[k]);
  struct mr_batch b = harness_batch(&f.in, &a), out = {.size = sizeof out};
  g_assert_cmpint(f.plugin->transform->apply(f.self, &b, &out, &f.err), ==, MR_REJECT);
  g_assert_cmpstr(f.err.code, ==, "54000");
  g_assert_cmpint(f.err.row, ==, -1);
  g_assert_nonnull(b.rows.release);
  mr_array_release(&b.rows);
  stop(&f);
}

static void assert_refused(struct conf conf, const char *option, const char *msg)
{
  struct fixture f;
  g_assert_cmpint(start(&f, "id: int64, l: list<int64>", conf), ==, MR_BADCONF);
  g_assert_cmpstr(f.err.option, ==, option);
  g_assert_cmpstr(f.err.msg, ==, msg);
  stop(&f);
}

static void test_refused(void)
{
  assert_refused((struct conf){"x", NULL, NULL, DROP}, "column", "no column `x`");
  assert_refused((struct conf){"id", NULL, NULL, DROP}, "column", "`id` is no list");
  assert_refused((struct conf){"l", "id", NULL, DROP}, "into", "there is a column `id` already");
  assert_refused((struct conf){"l", NULL, "id", DROP}, "index", "there is a column `id` already");
  assert_refused((struct conf){"l", "e", "e", DROP}, "index", "there is a column `e` already");
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/explode/drop", test_drop);
  g_test_add_func("/explode/keep", test_keep);
  g_test_add_func("/explode/types", test_types);
  g_test_add_func("/explode/slices", test_slices);
  g_test_add_func("/explode/too-long", test_too_long);
  g_test_add_func("/explode/refused", test_refused);
  g_test_add_func("/explode/set", test_set);
  g_test_add_func("/explode/ranges", test_ranges);
  return g_test_run();
}
