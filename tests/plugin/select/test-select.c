/* SPDX-License-Identifier: Apache-2.0 */
/* select, through its module, with the real expressions behind it. */
#include "harness-expr.h"
#include "data/array.h"

struct conf {
  struct mr_list cast, set, rename, drop, keep;
  int32_t on_error;
};
enum { DEAD_LETTER, SET_NULL, FAIL };

struct fixture {
  struct harness h;
  const struct mr_plugin *plugin;
  struct conf conf;
  struct ArrowSchema in, out;
  void *self;
  struct mr_error err;
  GPtrArray *pool;
};

/* "key=value; key=value" or "value; value" */
static struct mr_list list(struct fixture *f, const char *text)
{
  char **parts = g_strsplit(text, "; ", -1);
  guint n = *text ? g_strv_length(parts) : 0;
  const char **item = g_new0(const char *, n + 1), **key = g_new0(const char *, n + 1);
  bool keyed = false;
  for (guint i = 0; i < n; i++) {
    char *eq = strchr(parts[i], '=');
    item[i] = eq ? eq + 1 : parts[i];
    key[i] = parts[i];
    keyed |= eq != NULL;
    if (eq)
      *eq = 0;
  }
  g_ptr_array_add(f->pool, item);
  g_ptr_array_add(f->pool, key);
  for (guint i = 0; parts[i]; i++)
    g_ptr_array_add(f->pool, parts[i]);
  g_ptr_array_add(f->pool, parts);
  return (struct mr_list){item, keyed ? key : NULL, n};
}

static void setup(struct fixture *f, const char *columns)
{
  *f = (struct fixture){.err = MR_ERROR_INIT};
  harness_init(&f->h);
  harness_add_expr(&f->h);
  f->pool = g_ptr_array_new_with_free_func(g_free);
  f->plugin = harness_load("transforms", "select");
  f->in = harness_schema(columns);
}

static int start(struct fixture *f)
{
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
  g_ptr_array_unref(f->pool);
}

static int apply(struct fixture *f, const char *rows, char **ret)
{
  struct ArrowArray a = harness_rows(&f->in, rows);
  struct mr_batch b = harness_batch(&f->in, &a), out = {.size = sizeof out};
  struct mr_error err = MR_ERROR_INIT;
  b.upto = mr_position_u64(42);
  int st = f->plugin->transform->apply(f->self, &b, &out, &f->err);
  *ret = NULL;
  if (st < 0) {
    g_assert_nonnull(b.rows.release);
    mr_array_release(&b.rows);
    return st;
  }
  g_assert_null(b.rows.release);
  g_assert_cmpuint(mr_position_get(&out.upto), ==, 42);
  if (mr_array_check(&f->out, &out.rows, true, &err) < 0)
    g_error("%s", err.msg);
  *ret = harness_text(&f->out, &out.rows);
  mr_array_release(&out.rows);
  return st;
}

static void assert_rows(struct fixture *f, const char *rows, const char *want)
{
  char *text;
  g_assert_cmpint(apply(f, rows, &text), ==, MR_OK);
  g_assert_cmpstr(text, ==, want);
  g_free(text);
}

static void assert_columns(struct fixture *f, const char *want)
{
  g_autofree char *text = harness_columns(&f->out);
  g_assert_cmpstr(text, ==, want);
}

/* ---- what it does */

static void test_order(void)
{
  struct fixture f;
  setup(&f, "id: utf8, amount: utf8, note: utf8, _timestamp: timestamptz, _offset: int64");
  f.conf.cast = list(&f, "id=uint64; amount=decimal(12,2)");
  f.conf.set =
      list(&f, "day=CAST(_timestamp AS date); twice=amount * 2; more=twice + 1; note=upper(note)");
  f.conf.rename = list(&f, "amount=total; day=trade_date");
  f.conf.drop = list(&f, "more");
  g_assert_cmpint(start(&f), ==, MR_OK);
  assert_columns(&f, "id: uint64, total: decimal(12,2), note: utf8, trade_date: date, "
                     "twice: decimal(13,2), _timestamp: timestamptz, _offset: int64");
  assert_rows(&f, "18446744073709551615|1.50|x|1700000000123000|7\n5|~|~|0|8",
              "18446744073709551615|150|X|19675|300|1700000000123000|7\n5|~|~|0|~|0|8\n");
  stop(&f);
}

static void test_keep(void)
{
  struct fixture f;
  setup(&f, "a: int64, b: utf8, c: list<int64>, _offset: int64");
  f.conf.set = list(&f, "d=a + 1");
  f.conf.keep = list(&f, "d; c; a");
  g_assert_cmpint(start(&f), ==, MR_OK);
  assert_columns(&f, "d: int64, c: list<int64>, a: int64, _offset: int64");
  assert_rows(&f, "1|x|[1,2]|7", "2|[1,2]|1|7\n");
  stop(&f);
  setup(&f, "a: int64, b: utf8, c: int64, _offset: int64");
  f.conf.keep = list(&f, "c; *");
  g_assert_cmpint(start(&f), ==, MR_OK);
  assert_columns(&f, "c: int64, a: int64, b: utf8, _offset: int64");
  stop(&f);
}

static void test_system(void)
{
  struct fixture f;
  setup(&f, "a: int64, _key: binary, _offset: int64");
  f.conf.set = list(&f, "_topic='t'; off=_offset; b=a");
  f.conf.drop = list(&f, "_key; a");
  g_assert_cmpint(start(&f), ==, MR_OK);
  assert_columns(&f, "off: int64, b: int64, _offset: int64, _topic: utf8");
  assert_rows(&f, "1|k|9", "9|1|9|t\n");
  stop(&f);
}

static void test_swap(void)
{
  struct fixture f;
  setup(&f, "a: int64, b: utf8");
  f.conf.rename = list(&f, "a=b; b=a");
  g_assert_cmpint(start(&f), ==, MR_OK);
  assert_columns(&f, "b: int64, a: utf8");
  assert_rows(&f, "1|x", "1|x\n");
  stop(&f);
}

static void test_nothing(void)
{
  struct fixture f;
  setup(&f, "a: int64, s: struct<x: int64, y: utf8>");
  g_assert_cmpint(start(&f), ==, MR_OK);
  assert_rows(&f, "1|{2,z}\n~|~", "1|{2,z}\n~|~\n");
  assert_rows(&f, "", "");
  stop(&f);
}

/* ---- partial updates */

/* Columns keep what `_set` says through every step; what is computed is written where all that it
 * reads is; constants and system columns are always there. */
static void test_set(void)
{
  struct fixture f;
  setup(&f, "a: int64, _set: struct<b: bool, a: bool, d: bool>, b: int64, c: int64, d: int64, "
            "_offset: int64");
  f.conf.cast = list(&f, "d=utf8");
  f.conf.set = list(&f, "sum=a + b; again=COALESCE(sum, 0) + a; one=1; at=_offset; both=c + a; "
                        "b=c");
  f.conf.rename = list(&f, "a=b; b=a");
  f.conf.drop = list(&f, "c");
  g_assert_cmpint(start(&f), ==, MR_OK);
  assert_columns(&f,
                 "b: int64, _set: struct<b: bool, d: bool, sum: bool, again: bool, both: bool>, "
                 "a: int64, d: utf8, sum: int64, again: int64, one: int64, at: int64, "
                 "both: int64, _offset: int64");
  assert_rows(&f,
              "1|{true,true,true}|2|3|4|9\n"
              "1|{false,true,false}|~|3|~|9\n"
              "~|{true,false,true}|2|3|5|9",
              "1|{true,true,true,true,true}|3|4|3|4|1|9|4|9\n"
              "1|{true,false,false,false,true}|3|~|~|1|1|9|4|9\n"
              "~|{false,true,false,false,false}|3|5|~|~|1|9|~|9\n");
  stop(&f);
}

/* Bad rows are cut out of `_set` too; without it all columns are written. */
static void test_set_rows(void)
{
  struct fixture f;
  setup(&f, "a: int64, b: int64, _set: struct<a: bool, b: bool>");
  f.conf.set = list(&f, "q=10 / b");
  g_assert_cmpint(start(&f), ==, MR_OK);
  assert_rows(&f, "1|5|{true,true}\n2|0|{true,true}\n3|~|{true,false}",
              "1|5|2|{true,true,true}\n3|~|~|{true,false,false}\n");
  g_assert_cmpuint(f.h.rejects->len, ==, 1);
  stop(&f);
  setup(&f, "a: int64, b: int64, _set: struct<a: bool, b: bool>");
  f.conf.drop = list(&f, "_set");
  g_assert_cmpint(start(&f), ==, MR_OK);
  assert_columns(&f, "a: int64, b: int64");
  assert_rows(&f, "1|~|{true,false}", "1|~\n");
  stop(&f);
}

/* ---- deletes of many rows */

#define RANGES                                                                           \
  "k: utf8, a: int64, b: int64, v: int64, _op: utf8, _range: struct<a: " HARNESS_BOUNDS( \
      "int64") ", b: " HARNESS_BOUNDS("int64") ">"

/* Bounds follow the columns' names. */
static void test_ranges(void)
{
  struct fixture f;
  setup(&f, RANGES);
  f.conf.set = list(&f, "copy=a; v=v + 1");
  f.conf.rename = list(&f, "a=b; b=a; k=key");
  g_assert_cmpint(start(&f), ==, MR_OK);
  assert_columns(&f, "key: utf8, b: int64, a: int64, v: int64, copy: int64, _op: utf8, _range: "
                     "struct<b: " HARNESS_BOUNDS("int64") ", a: " HARNESS_BOUNDS("int64") ">");
  assert_rows(&f, "x|1|2|3|insert|~\ny|1|~|~|delete|{~,{2,5,true,false}}\nz|~|~|~|delete|{~,~}",
              "x|1|2|4|1|insert|~\ny|1|~|~|1|delete|{~,{2,5,true,false}}\n"
              "z|~|~|~|~|delete|{~,~}\n");
  stop(&f);
}

/* As data, or not at all, they hold nothing back. */
static void test_ranges_dropped(void)
{
  struct fixture f;
  setup(&f, RANGES);
  f.conf.cast = list(&f, "a=utf8");
  f.conf.drop = list(&f, "b; _range");
  g_assert_cmpint(start(&f), ==, MR_OK);
  assert_columns(&f, "k: utf8, a: utf8, v: int64, _op: utf8");
  stop(&f);
  setup(&f, RANGES);
  f.conf.rename = list(&f, "_range=bounds");
  f.conf.drop = list(&f, "b");
  g_assert_cmpint(start(&f), ==, MR_OK);
  assert_columns(&f, "k: utf8, a: int64, v: int64, _op: utf8, bounds: struct<a: " HARNESS_BOUNDS(
                         "int64") ", b: " HARNESS_BOUNDS("int64") ">");
  stop(&f);
}

static void refuse_bound(const char *cast, const char *set, const char *drop, const char *option)
{
  struct fixture f;
  setup(&f, RANGES);
  f.conf.cast = list(&f, cast);
  f.conf.set = list(&f, set);
  f.conf.drop = list(&f, drop);
  g_assert_cmpint(start(&f), ==, MR_BADCONF);
  g_assert_cmpstr(f.err.option, ==, option);
  g_assert_nonnull(strstr(f.err.msg, "`b` bounds deletes of many rows (`_range`)"));
  stop(&f);
}

static void test_ranges_refused(void)
{
  refuse_bound("b=utf8", "", "", "cast.b");
  refuse_bound("", "b=b + 1", "", "set.b");
  refuse_bound("", "", "b", "drop");
}

/* ---- labels */

static void test_labels(void)
{
  struct fixture f;
  setup(&f, "email: utf8, ssn: utf8, n: int64");
  g_assert_true(mr_schema_set_meta(f.in.children[0], MR_META_CLASS, "pii"));
  g_assert_true(mr_schema_set_meta(f.in.children[1], MR_META_CLASS, "phi"));
  f.conf.cast = list(&f, "ssn=binary");
  f.conf.set =
      list(&f, "both=email || CAST(ssn AS utf8); plain=n + 1; same=email; n=length(email)");
  f.conf.rename = list(&f, "email=mail");
  g_assert_cmpint(start(&f), ==, MR_OK);
  assert_columns(&f, "mail: utf8!pii, ssn: binary!phi, n: int64!pii, both: utf8!pii,phi, "
                     "plain: int64, same: utf8!pii");
  assert_rows(&f, "a@b|1|5", "a@b|1|3|a@b1|6|a@b\n");
  stop(&f);
}

/* ---- bad rows */

static void bad_setup(struct fixture *f, int32_t on_error)
{
  setup(f, "a: utf8, b: int64, s: utf8");
  f->conf.cast = list(f, "a=int64");
  f->conf.set = list(f, "q=10 / b; r=a + q");
  f->conf.on_error = on_error;
  g_assert_cmpint(start(f), ==, MR_OK);
}

static void test_dead_letter(void)
{
  struct fixture f;
  bad_setup(&f, DEAD_LETTER);
  assert_rows(&f, "1|5|x\nz|0|y\n3|0|z\n4|1|w", "1|5|x|2|3\n4|1|w|10|14\n");
  g_assert_cmpint(f.h.rejects->len, ==, 2); /* the row with two bad values once */
  struct harness_reject *r = f.h.rejects->pdata[0], *r2 = f.h.rejects->pdata[1];
  g_assert_cmpint(r->row, ==, 1);
  g_assert_cmpstr(r->column, ==, "a");
  g_assert_cmpstr(r->code, ==, "22P02");
  g_assert_cmpstr(r->msg, ==, "the text is no int64");
  g_assert_cmpint(r2->row, ==, 2);
  g_assert_cmpstr(r2->column, ==, "q");
  g_assert_cmpstr(r2->code, ==, "22012");
  g_assert_cmpstr(r2->msg, ==, "1:4: division by zero");
  assert_rows(&f, "1|5|x", "1|5|x|2|3\n");
  stop(&f);
}

static void test_set_null(void)
{
  struct fixture f;
  bad_setup(&f, SET_NULL);
  assert_rows(&f, "1|5|x\nz|0|y", "1|5|x|2|3\n~|0|y|~|~\n");
  g_assert_cmpint(f.h.rejects->len, ==, 0);
  stop(&f);
}

static void test_fail(void)
{
  struct fixture f;
  char *text;
  bad_setup(&f, FAIL);
  g_assert_cmpint(apply(&f, "1|5|x\n2|0|y", &text), ==, MR_FATAL);
  g_assert_cmpint(f.err.row, ==, 1);
  g_assert_cmpstr(f.err.msg, ==, "set.q: 1:4: division by zero");
  g_assert_cmpstr(f.err.code, ==, "22012");
  assert_rows(&f, "1|5|x", "1|5|x|2|3\n"); /* the next call is a new one */
  stop(&f);
}

/* Slices of one batch give what the whole gives. */
static void test_slices(void)
{
  struct fixture f;
  bad_setup(&f, DEAD_LETTER);
  struct ArrowArray all = harness_rows(&f.in, "1|5|x\nz|1|y\n3|2|z\n4|1|~");
  GString *text = g_string_new("");
  for (int64_t i = 0; i < 4; i++) {
    struct ArrowArray slice;
    g_assert_true(mr_rows_slice(&all, i, 1, &slice));
    struct mr_batch b = harness_batch(&f.in, &slice), out = {.size = sizeof out};
    g_assert_cmpint(f.plugin->transform->apply(f.self, &b, &out, &f.err), ==, MR_OK);
    g_autofree char *part = harness_text(&f.out, &out.rows);
    g_string_append(text, part);
    mr_array_release(&out.rows);
  }
  g_assert_cmpstr(text->str, ==, "1|5|x|2|3\n3|2|z|5|8\n4|1|~|10|14\n");
  mr_array_release(&all);
  g_string_free(text, TRUE);
  stop(&f);
}

/* ---- what check says */

struct refused {
  const char *cast, *set, *rename, *drop, *keep, *option, *msg;
};

static void test_refused(void)
{
  static const struct refused cases[] = {
      {"pric=int64", "", "", "", "", "cast.pric", "no column `pric` (did you mean `price`?)"},
      {"price=int65", "", "", "", "", "cast.price", "no type `int65`"},
      {"price=list<int64>", "", "", "", "", "cast.price", "no cast to list<int64>"},
      {"l=int64", "", "", "", "", "cast.l", "no cast from list<int64> to int64"},
      {"total=int64", "", "price=total", "", "", "cast.total",
       "no column `total` yet: rename comes after cast, write `price` here"},
      {"", "x=pric + 1", "", "", "", "set.x", "1:1: no column `pric` (did you mean `price`?)"},
      {"", "x=price +", "", "", "", "set.x", "1:8: expected a value, the expression ends here"},
      {"", "x=IF(price > 1, 'a', 2)", "", "", "", "set.x",
       "1:20: the branches of IF have different types: utf8 and int64; CAST one of them"},
      {"", "", "nope=x", "", "", "rename.nope", "no column `nope`"},
      {"", "", "price=qty", "", "", "rename.price", "there are two columns of the new name"},
      {"", "", "price=x; qty=x", "", "", "rename.price", "there are two columns of the new name"},
      {"", "", "", "qt", "", "drop.0", "no column `qt` (did you mean `qty`?)"},
      {"", "", "", "", "qty; prce", "keep.1", "no column `prce` (did you mean `price`?)"},
      {"", "", "", "", "qty; qty", "keep.1", "the column is there twice"},
      {"", "", "", "l", "qty", "keep", "drop or keep, not both"},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
    const struct refused *c = &cases[i];
    struct fixture f;
    setup(&f, "price: decimal(10,2), qty: int64, l: list<int64>");
    f.conf.cast = list(&f, c->cast);
    f.conf.set = list(&f, c->set);
    f.conf.rename = list(&f, c->rename);
    f.conf.drop = list(&f, c->drop);
    f.conf.keep = list(&f, c->keep);
    g_assert_cmpint(start(&f), ==, MR_BADCONF);
    g_assert_cmpstr(f.err.option, ==, c->option);
    if (!g_str_has_prefix(f.err.msg, c->msg))
      g_error("`%s`, not `%s`", f.err.msg, c->msg);
    stop(&f);
  }
}

static void test_evolve(void)
{
  struct fixture f;
  setup(&f, "a: int64, b: int64");
  f.conf.set = list(&f, "c=a + 1");
  g_assert_cmpint(start(&f), ==, MR_OK);
  struct ArrowSchema bad = harness_schema("b: int64"), to = harness_schema("x: utf8, a: int32");
  g_assert_cmpint(f.plugin->transform->evolve(f.self, &bad, &f.err), ==, MR_BADCONF);
  assert_rows(&f, "1|2", "1|2|2\n");
  g_assert_cmpint(f.plugin->transform->evolve(f.self, &to, &f.err), ==, MR_OK);
  mr_schema_release(&f.in);
  mr_schema_release(&f.out);
  mr_schema_release(&bad);
  f.in = to;
  g_assert_cmpint(f.plugin->transform->schema(f.self, &f.out, &f.err), ==, MR_OK);
  assert_columns(&f, "x: utf8, a: int32, c: int64");
  assert_rows(&f, "z|4", "z|4|5\n");
  stop(&f);
}

static void test_explain(void)
{
  struct fixture f;
  GString *s = g_string_new("");
  setup(&f, "a: int64");
  f.conf.cast = list(&f, "a=utf8");
  f.conf.set = list(&f, "c=a || '%'");
  f.conf.keep = list(&f, "c");
  struct mr_open o = harness_open(&f.h, &f.conf, &f.in);
  g_assert_cmpint(f.plugin->explain(&o, harness_put, s, &f.err), >=, 0);
  g_assert_cmpstr(s->str, ==, "a: cast to utf8\nc: a || '%'\nc: kept\n");
  g_string_free(s, TRUE);
  stop(&f);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/select/order", test_order);
  g_test_add_func("/select/keep", test_keep);
  g_test_add_func("/select/system", test_system);
  g_test_add_func("/select/swap", test_swap);
  g_test_add_func("/select/nothing", test_nothing);
  g_test_add_func("/select/labels", test_labels);
  g_test_add_func("/select/dead-letter", test_dead_letter);
  g_test_add_func("/select/set-null", test_set_null);
  g_test_add_func("/select/fail", test_fail);
  g_test_add_func("/select/slices", test_slices);
  g_test_add_func("/select/refused", test_refused);
  g_test_add_func("/select/evolve", test_evolve);
  g_test_add_func("/select/explain", test_explain);
  g_test_add_func("/select/set", test_set);
  g_test_add_func("/select/set-rows", test_set_rows);
  g_test_add_func("/select/ranges", test_ranges);
  g_test_add_func("/select/ranges-dropped", test_ranges_dropped);
  g_test_add_func("/select/ranges-refused", test_ranges_refused);
  return g_test_run();
}
