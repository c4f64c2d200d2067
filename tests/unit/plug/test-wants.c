/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include <string.h>
#include "catalog.h"
#include "plug/check.h"
#include "stages.h"

static void expect(const char *text, const char *stage, const char *want)
{
  g_autoptr(GPtrArray) problems = mr_problems_new();
  struct mr_spec *spec = mr_spec_load("f", text, strlen(text), NULL, &stages_catalog, problems);
  g_autofree char *wrong = mr_problems_text("f", problems);
  g_assert_cmpstr(wrong, ==, "");
  g_auto(GStrv) names = mr_check_wants(spec, mr_spec_stage(spec, stage));
  g_autofree char *got = g_strjoinv(" ", names);
  g_assert_cmpstr(got, ==, want);
  mr_spec_free(spec);
}

#define IN "name: p\nsources:\n  - name: in\n    rows: {}\n"
#define OUT "sinks:\n  - name: out\n    keep: {table: t}\n"

static void test_none(void)
{
  expect(IN OUT, "in", "");
}

static void test_when(void)
{
  expect(IN "sinks:\n  - name: out\n    when: _offset > 5 AND _Timestamp IS NOT NULL\n    keep: "
            "{table: t}\n",
         "in", "_offset _timestamp");
  expect(IN "sinks:\n  - name: out\n    when: header('type') = 'x'\n    keep: {table: t}\n", "in",
         "_headers");
}

static void test_options(void)
{
  expect(IN "transforms:\n  - name: c\n    calc: {set: {day: CAST(_timestamp AS date)}, drop: "
            "[_partition]}\nsinks:\n  - name: out\n    keep: {table: t, key: [_key]}\n",
         "in", "_key _partition _timestamp");
}

/* A column that a transform makes itself is not asked of the source; before that it is. */
static void test_made(void)
{
  expect(IN "transforms:\n  - name: c\n    calc: {set: {_key: id}}\nsinks:\n  - name: out\n    "
            "keep: {table: t, key: _key}\n",
         "in", "");
  expect(IN "transforms:\n  - name: c\n    calc: {set: {_key: upper(_key)}}\nsinks:\n  - name: "
            "out\n    keep: {table: t, key: _key}\n",
         "in", "_key");
  expect(IN "transforms:\n  - name: c\n    calc: {set: {_mine: id}}\nsinks:\n  - name: out\n    "
            "when: _mine > 1\n    keep: {table: t}\n",
         "in", "");
}

static void test_branches(void)
{
#define TWO                                                                                     \
  "name: p\nsources:\n  - name: a\n    rows: {}\n  - name: b\n    rows: {}\nsinks:\n  - name: " \
  "x\n    input: a\n    when: _offset > 1\n    keep: {table: t}\n  - name: y\n    input: "
  expect(TWO "b\n    keep: {table: t}\n", "a", "_offset");
  expect(TWO "b\n    keep: {table: t}\n", "b", "");
  expect(TWO "[a, b]\n    keep: {table: t}\n", "b", "_offset"); /* they meet in y */
}

static void test_letters(void)
{
  expect(IN OUT "dead_letter:\n  keep: {table: l}\n", "in", "_position _element _original");
  expect(IN OUT "dead_letter:\n  originals: drop\n  keep: {table: l, key: _key}\n", "in",
         "_key _position _element");
}

static void test_time(void)
{
  expect("name: p\nsources:\n  - name: in\n    time: {column: _timestamp, late: 1s}\n    rows: "
         "{}\n" OUT,
         "in", "_timestamp");
}

/* Of a keyed option the keys are the stage's own columns, the values the lookup's. */
static void test_lookup(void)
{
#define ASK                                                                          \
  "name: p\nlookups:\n  - name: l\n    rows: {}\nsources:\n  - name: in\n    rows: " \
  "{}\ntransforms:\n  - name: j\n    ask: {with: l, on: {_topic: _key}, add: {x: _offset}}\n" OUT
  expect(ASK, "in", "_topic");
  expect(ASK, "l", "_key _offset");
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/wants/none", test_none);
  g_test_add_func("/wants/when", test_when);
  g_test_add_func("/wants/options", test_options);
  g_test_add_func("/wants/made", test_made);
  g_test_add_func("/wants/branches", test_branches);
  g_test_add_func("/wants/letters", test_letters);
  g_test_add_func("/wants/time", test_time);
  g_test_add_func("/wants/lookup", test_lookup);
  return g_test_run();
}
