/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include <string.h>
#include "millrace/build.h"
#include "catalog.h"
#include "plug/check.h"
#include "stages.h"

/* A file read as `check` does it; *ret_problems: of the reading and of the walk. */
static struct mr_spec *read_file(const char *text, GPtrArray *problems)
{
  struct mr_spec *spec = mr_spec_read("f", text, strlen(text), NULL, &stages_catalog, problems);
  g_assert_nonnull(spec);
  return spec;
}

static void expect(const char *text, const char *want)
{
  g_autoptr(GPtrArray) problems = mr_problems_new();
  struct mr_spec *spec = read_file(text, problems);
  mr_checked_free(mr_checked_new(spec, problems));
  g_autofree char *got = mr_problems_text("f", problems);
  g_assert_cmpstr(got, ==, want);
  mr_spec_free(spec);
}

#define ROWS                                                                                   \
  "name: p\nsources:\n  - name: in\n    rows:\n      columns: {id: int64, name: utf8, email: " \
  "utf8, price: \"decimal(18,4)\"}\n"
#define KEEP "sinks:\n  - name: out\n    keep: {table: t}\n"

static void assert_columns(const struct mr_checked *c, const struct mr_spec *spec,
                           const char *stage, const char *want)
{
  const struct ArrowSchema *s = mr_checked_schema(c, mr_spec_stage(spec, stage));
  GString *got = g_string_new(NULL);
  g_assert_nonnull(s);
  for (int64_t i = 0; i < s->n_children; i++)
    g_string_append_printf(got, "%s:%s ", s->children[i]->name, s->children[i]->format);
  g_assert_cmpstr(got->str, ==, want);
  g_string_free(got, TRUE);
}

static void test_columns(void)
{
  g_autoptr(GPtrArray) problems = mr_problems_new();
  struct mr_spec *spec = read_file(
      ROWS "transforms:\n  - name: c\n    calc: {set: {twice: id * 2}, drop: email}\n" KEEP,
      problems);
  struct mr_checked *c = mr_checked_new(spec, problems);
  g_assert_cmpuint(problems->len, ==, 0);
  assert_columns(c, spec, "in", "id:l name:u email:u price:d:18,4 ");
  assert_columns(c, spec, "c", "id:l name:u price:d:18,4 twice:l ");
  assert_columns(c, spec, "out", "id:l name:u price:d:18,4 twice:l ");
  g_assert_cmpstr(g_ptr_array_index(mr_checked_lines(c), 0), ==, "c: twice: computed");
  mr_checked_free(c);
  mr_spec_free(spec);
}

/* Every wrong expression of a stage is reported at its own place, and the conf has its own texts
 * afterwards. */
static void test_expressions(void)
{
  const char *text =
      ROWS "transforms:\n  - name: c\n    calc:\n      where: id > 'x' +\n      set:\n        a: "
           "id + nope\n        b: id * 2\n        c: \"1 + (2\"\n" KEEP;
  g_autoptr(GPtrArray) problems = mr_problems_new();
  struct mr_spec *spec = read_file(text, problems);
  const void *conf = mr_spec_stage(spec, "c")->conf;
  g_autofree void *before = g_memdup2(conf, stage_calc.conf_size);
  mr_checked_free(mr_checked_new(spec, problems));
  g_assert_cmpuint(problems->len, ==, 3);
  g_autofree char *got = mr_problems_text("f", problems);
  g_auto(GStrv) lines = g_strsplit(got, "\n", -1);
  g_assert_true(g_str_has_prefix(lines[0], "f:9:")); /* where */
  g_assert_true(g_str_has_prefix(lines[1], "f:11:17: /transforms/c/calc/set/a: no column `nope`"));
  g_assert_true(g_str_has_prefix(lines[2], "f:13:"));
  g_assert_cmpmem(before, stage_calc.conf_size, conf, stage_calc.conf_size);
  mr_spec_free(spec);
}

static void test_option(void)
{
  expect(ROWS "transforms:\n  - name: c\n    calc:\n      drop: [id, emali]\n" KEEP,
         "f:9:18: /transforms/c/calc/drop/1: no column `emali`\n");
  expect(ROWS "sinks:\n  - name: out\n    keep: {table: t, key: idd}\n",
         "f:8:27: /sinks/out/keep/key: no column `idd` (did you mean `id`?)\n");
}

static void test_when(void)
{
  expect(ROWS "sinks:\n  - name: out\n    when: pricee > 0\n    keep: {table: t}\n",
         "f:8:11: /sinks/out/when: no column `pricee` (did you mean `price`?)\n");
  expect(ROWS "sinks:\n  - name: out\n    when: id + 1\n    keep: {table: t}\n",
         "f:8:11: /sinks/out/when: `when` is int64, not bool\n");
}

/* A comment that ate the end of an expression is named as the likely reason. */
static void test_comment(void)
{
  g_autoptr(GPtrArray) problems = mr_problems_new();
  struct mr_spec *spec = read_file(
      ROWS "sinks:\n  - name: out\n    when: name = # 1\n    keep: {table: t}\n", problems);
  mr_checked_free(mr_checked_new(spec, problems));
  g_assert_cmpuint(problems->len, ==, 1);
  const struct mr_problem *p = g_ptr_array_index(problems, 0);
  g_assert_nonnull(
      strstr(p->message, "what follows ` #` is a comment: put the value in quotes to keep it"));
  mr_spec_free(spec);
}

#define TWO_SOURCES(a, b)                                   \
  "name: p\nsources:\n  - name: a\n    rows: {columns: {" a \
  "}}\n  - name: b\n    rows: {columns: {" b "}}\n" KEEP

static void test_merge(void)
{
  expect(TWO_SOURCES("id: int64", "id: int64"), "");
  expect(TWO_SOURCES("id: int64", "id: int32"),
         "f:8:5: /sinks/out: the inputs differ: column `id` is int64 in `a` and int32 in `b`\n");
  expect(TWO_SOURCES("id: int64", "no: int64"),
         "f:8:5: /sinks/out: the inputs differ: column 1 is `id` in `a` and `no` in `b`\n");
  expect(TWO_SOURCES("id: int64", "id: int64, x: utf8"),
         "f:8:5: /sinks/out: the inputs differ: `b` has a column `x` and `a` has not\n");
}

/* Sources that meet make the same system columns, although only one of them has a reader that names
 * one. */
static void test_merge_system(void)
{
  expect("name: p\nsources:\n  - name: a\n    rows: {columns: {id: int64}}\n  - name: b\n    rows: "
         "{columns: {id: int64}}\nsinks:\n  - name: out\n    input: [a, b]\n    keep: {table: t}\n "
         " - name: other\n    input: a\n    when: _offset > 5\n    keep: {table: t}\n",
         "");
}

static void test_labels(void)
{
#define LABELLED                                                                            \
  "name: p\nsources:\n  - name: in\n    rows: {columns: {id: int64, email: utf8}, labels: " \
  "{email: pii}}\n"
  expect(LABELLED KEEP, "f:6:5: /sinks/out: column `email` is labelled pii and reaches this sink "
                        "unmasked: mask it, drop it, or say `allow: [email]`\n");
  expect(LABELLED "sinks:\n  - name: out\n    allow: email\n    keep: {table: t}\n", "");
  expect(LABELLED "transforms:\n  - name: c\n    calc: {drop: email}\n" KEEP, "");
  /* a copy keeps the label */
  expect(LABELLED "transforms:\n  - name: c\n    calc: {set: {copy: email}, drop: email}\n" KEEP,
         "f:9:5: /sinks/out: column `copy` is labelled pii and reaches this sink unmasked: mask "
         "it, drop it, or say `allow: [copy]`\n");
  expect(
      LABELLED "sinks:\n  - name: out\n    allow: [email, emial]\n    keep: {table: t}\n",
      "f:7:20: /sinks/out/allow/1: no column `emial` reaches this sink (did you mean `email`?)\n");
}

/* What is labelled does not stand in the log, even where a sink may have it. */
static void test_trace(void)
{
#define TRACED(column)                                                       \
  LABELLED "sinks:\n  - name: out\n    allow: email\n    keep: {table: t}\n" \
           "settings:\n  trace: {column: " column ", values: [a]}\n"
  expect(TRACED("id"), "");
  expect(TRACED("email"),
         "f:10:19: /settings/trace/column: column `email` of `in` is labelled pii: what is hidden "
         "is not to stand in the log\n");
  expect(TRACED("nobody"), "f:10:19: /settings/trace/column: no stage has a column `nobody`\n");
}

/* What only data can tell ends the walk: no guesses, no false errors; but syntax can be told. */
static void test_unknown(void)
{
#define UNKNOWN "name: p\nsources:\n  - name: in\n    rows: {}\n"
  expect(UNKNOWN "transforms:\n  - name: c\n    calc: {set: {a: nope + 1}}\nsinks:\n  - name: "
                 "out\n    when: whatever > 1\n    keep: {table: t, key: x}\n",
         "");
  g_autoptr(GPtrArray) problems = mr_problems_new();
  struct mr_spec *spec =
      read_file(UNKNOWN "sinks:\n  - name: out\n    when: a >\n    keep: {table: t}\n", problems);
  mr_checked_free(mr_checked_new(spec, problems));
  g_assert_cmpuint(problems->len, ==, 1);
  mr_spec_free(spec);
}

/* A broken stage is not opened, and what follows it is not judged. */
static void test_broken(void)
{
  expect(ROWS "transforms:\n  - name: c\n    calc: {sett: {a: id}}\nsinks:\n  - name: out\n    "
              "when: a > 1\n    keep: {table: t}\n",
         "f:8:12: /transforms/c/calc/sett: unknown option `sett` (did you mean `set`?)\n");
}

static void test_time(void)
{
#define TIME(column)                                            \
  "name: p\nsources:\n  - name: in\n    time: {column: " column \
  ", late: 1s}\n    rows: {columns: {at: timestamp, id: int64}}\n" KEEP
  expect(TIME("at"), "");
  expect(TIME("_timestamp"), "");
  expect(TIME("id"), "f:4:20: /sources/in/time/column: column `id` is int64, not a timestamp\n");
  expect(TIME("when"), "f:4:20: /sources/in/time/column: the source has no column `when`\n");
}

static void test_lookup(void)
{
#define LOOKUP(columns, ask)                                                                  \
  "name: p\nlookups:\n  - name: users\n    rows: " columns                                    \
  "\nsources:\n  - name: in\n    rows: {columns: {id: int64, name: utf8}}\ntransforms:\n  - " \
  "name: j\n    ask: " ask "\n" KEEP
  expect(LOOKUP("{columns: {user: int32, mail: utf8}}",
                "{with: users, on: {id: user}, add: {email: mail}}"),
         "");
  expect(LOOKUP("{columns: {user: utf8}}", "{with: users, on: {id: user}}"),
         "f:10:17: /transforms/j/ask/with: column `user` of lookup `users` is utf8, the key for it "
         "is int64\n");
  expect(LOOKUP("{columns: {user: int64}}", "{with: users, on: {id: usr}}"),
         "f:10:17: /transforms/j/ask/with: lookup `users` has no column `usr` (did you mean "
         "`user`?)\n");
  expect(LOOKUP("{columns: {user: int64}}", "{with: users, on: {id: user}, add: {x: nope}}"),
         "f:10:49: /transforms/j/ask/add/x: the lookup has no such column\n");
  expect(LOOKUP("{}", "{with: users, on: {id: anything}, add: {x: nope}}"), ""); /* not known yet */
}

/* A stage that does not say that it knows `_set` gets none. */
static void test_partial(void)
{
#define PARTIAL(stages) \
  "name: p\nsources:\n  - name: in\n    rows: {columns: {id: int64}, partial: true}\n" stages
  expect(
      PARTIAL(KEEP),
      "f:6:5: /sinks/out: rows come here that write only some columns (`_set`), and `keep` would "
      "write the others as null; if that is meant, drop `_set` before: select: {drop: _set}\n");
  expect(PARTIAL("transforms:\n  - name: c\n    calc: {set: {a: id}}\n" KEEP),
         "f:6:5: /transforms/c: rows come here that write only some columns (`_set`), and `calc` "
         "does not keep track of them; drop `_set` before: select: {drop: _set}\n");
  expect(LOOKUP("{columns: {user: int64}, partial: true}", "{with: users, on: {id: user}}"),
         "f:3:5: /lookups/users: a lookup needs whole rows, and these write only some columns "
         "(`_set`): leave out `absent: unset`\n");
}

/* Nor does one that does not know `_range`. */
static void test_ranges(void)
{
#define RANGES(stages) \
  "name: p\nsources:\n  - name: in\n    rows: {columns: {id: int64}, ranges: id}\n" stages
  expect(RANGES(KEEP),
         "f:6:5: /sinks/out: rows come here that mean deletes of many rows (`_range`), and `keep` "
         "would take each for a row; if that is meant, drop `_range` before: select: {drop: "
         "_range}\n");
  expect(RANGES("transforms:\n  - name: c\n    calc: {set: {a: id}}\n" KEEP),
         "f:6:5: /transforms/c: rows come here that mean deletes of many rows (`_range`), and "
         "`calc` does not keep track of what they bound; drop `_range` before: select: {drop: "
         "_range}\n");
  expect(RANGES("transforms:\n  - name: c\n    calc: {drop: _range}\n" KEEP),
         "f:6:5: /transforms/c: rows come here that mean deletes of many rows (`_range`), and "
         "`calc` does not keep track of what they bound; drop `_range` before: select: {drop: "
         "_range}\n");
  expect(LOOKUP("{columns: {user: int64}, ranges: user}", "{with: users, on: {id: user}}"),
         "f:3:5: /lookups/users: a lookup needs rows, and some of these would be deletes of many "
         "rows (`_range`)\n");
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/check/columns", test_columns);
  g_test_add_func("/check/expressions", test_expressions);
  g_test_add_func("/check/option", test_option);
  g_test_add_func("/check/when", test_when);
  g_test_add_func("/check/comment", test_comment);
  g_test_add_func("/check/merge", test_merge);
  g_test_add_func("/check/merge-system", test_merge_system);
  g_test_add_func("/check/labels", test_labels);
  g_test_add_func("/check/trace", test_trace);
  g_test_add_func("/check/unknown", test_unknown);
  g_test_add_func("/check/broken", test_broken);
  g_test_add_func("/check/time", test_time);
  g_test_add_func("/check/lookup", test_lookup);
  g_test_add_func("/check/partial", test_partial);
  g_test_add_func("/check/ranges", test_ranges);
  return g_test_run();
}
