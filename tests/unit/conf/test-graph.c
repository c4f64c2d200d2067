/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include "fake.h"

#define SOURCE(name) "  - name: " name "\n    tap: {topics: t}\n"
#define MID(name, more) "  - name: " name "\n" more "    mid: {}\n"
#define SINK(name, more) "  - name: " name "\n" more "    out: {}\n"
#define INPUT(names) "    input: " names "\n"

static struct mr_spec *load(const char *text)
{
  g_autofree char *problems = NULL;
  struct mr_spec *spec = fake_load(text, NULL, &problems);
  g_assert_cmpstr(problems, ==, "");
  return spec;
}

static void assert_input(const struct mr_spec *spec, const char *stage, const char *want)
{
  g_autofree char *got = g_strjoinv(",", mr_spec_stage(spec, stage)->input);
  g_assert_cmpstr(got, ==, want);
}

static void test_line(void)
{
  struct mr_spec *spec = load("name: p\nsources:\n" SOURCE("a") SOURCE(
      "b") "transforms:\n" MID("m", "") MID("n", "") "sinks:\n" SINK("x", "") SINK("y", ""));
  assert_input(spec, "m", "a,b");
  assert_input(spec, "n", "m");
  assert_input(spec, "x", "n");
  assert_input(spec, "y", "n");
  mr_spec_free(spec);
}

static void test_line_without_transforms(void)
{
  struct mr_spec *spec =
      load("name: p\nsources:\n" SOURCE("a") SOURCE("b") "sinks:\n" SINK("x", ""));
  assert_input(spec, "x", "a,b");
  mr_spec_free(spec);
}

static void test_order(void)
{
  struct mr_spec *spec =
      load("name: p\nsources:\n" SOURCE("a") "transforms:\n" MID("late", INPUT("early"))
               MID("early", INPUT("a")) "sinks:\n" SINK("x", INPUT("[late, early]")));
  g_autoptr(GPtrArray) order = mr_spec_order(spec);
  GString *names = g_string_new(NULL);
  for (guint i = 0; i < order->len; i++)
    g_string_append_printf(names, "%s ",
                           ((struct mr_stage_spec *)g_ptr_array_index(order, i))->name);
  g_assert_cmpstr(names->str, ==, "a early late x ");
  g_assert_cmpstr(((struct mr_stage_spec *)g_ptr_array_index(spec->stages, 1))->name, ==,
                  "late"); /* the file's order stays */
  g_string_free(names, TRUE);
  mr_spec_free(spec);
}

static void test_some_inputs(void)
{
  fake_expect("name: p\nsources:\n" SOURCE(
                  "a") "transforms:\n" MID("m", "") "sinks:\n" SINK("x", INPUT("m")),
              "f:6:5: /transforms/m: `m` has no `input`: once one entry says its input, every "
              "transform and sink does\n");
}

static void test_wrong_inputs(void)
{
  fake_expect("name: p\nlookups:\n" SOURCE("l") "sources:\n" SOURCE(
                  "a") "transforms:\n  - name: m\n    input: [a, aa, a]\n    mid: {with: "
                       "l}\nsinks:\n" SINK("x", INPUT("m")) SINK("y", INPUT("[x, l, zzz]")),
              "f:10:16: /transforms/m/input/1: no stage `aa`\n"
              "f:10:20: /transforms/m/input/2: `a` is named twice\n"
              "f:17:13: /sinks/y/input/0: `x` is a sink: it gives no rows\n"
              "f:17:16: /sinks/y/input/1: `l` is a lookup: it gives no rows, stages ask it\n"
              "f:17:19: /sinks/y/input/2: no stage `zzz`\n");
}

static void test_cycle(void)
{
  fake_expect("name: p\nsources:\n" SOURCE("a") "transforms:\n" MID("m", INPUT("[a, n]"))
                  MID("n", INPUT("m")) "sinks:\n" SINK("x", INPUT("n")),
              "f:7:12: /transforms/m/input: a cycle: `n` -> `m` -> `n`\n");
  fake_expect("name: p\nsources:\n" SOURCE(
                  "a") "transforms:\n" MID("m", INPUT("[m, a]")) "sinks:\n" SINK("x", INPUT("m")),
              "f:7:12: /transforms/m/input: a cycle: `m` -> `m`\n");
}

static void test_unused(void)
{
  fake_expect("name: p\nlookups:\n" SOURCE("l") "sources:\n" SOURCE("a")
                  SOURCE("b") "transforms:\n" MID("m", INPUT("a")) "sinks:\n" SINK("x", INPUT("a")),
              "f:3:11: /lookups/l: `l` is unused: no stage asks this lookup\n"
              "f:8:11: /sources/b: `b` is unused: no stage takes its rows\n"
              "f:11:11: /transforms/m: `m` is unused: no stage takes its rows\n");
}

/* A misspelt input is one mistake: what was meant does not count as unused. */
static void test_misspelt(void)
{
  fake_expect("name: p\nsources:\n" SOURCE("a") "transforms:\n" MID(
                  "privacy", INPUT("a")) "sinks:\n" SINK("x", INPUT("privcay")),
              "f:11:12: /sinks/x/input: no stage `privcay` (did you mean `privacy`?)\n");
  fake_expect("name: p\nsources:\n" SOURCE("a") "transforms:\n" MID(
                  "privacy", INPUT("a")) "sinks:\n" SINK("x", INPUT("other")),
              "f:11:12: /sinks/x/input: no stage `other`\n");
}

static void test_otherwise(void)
{
  fake_expect(
      "name: p\nsources:\n" SOURCE("a") "sinks:\n" SINK("x", "    when: otherwise\n"),
      "f:7:11: /sinks/x/when: `otherwise` needs another stage with a `when` on the same input\n");
  fake_expect("name: p\nsources:\n" SOURCE("a") "sinks:\n" SINK("x", "    when: c\n")
                  SINK("y", "    when: otherwise\n") SINK("z", "    when: otherwise\n"),
              "f:13:11: /sinks/z/when: `y` takes the other rows of this input already\n");
  mr_spec_free(load("name: p\nsources:\n" SOURCE("a") "sinks:\n" SINK("x", "    when: c\n")
                        SINK("y", "    when: otherwise\n")));
}

static void test_commit(void)
{
  fake_expect(
      "name: p\nsources:\n" SOURCE("a") "sinks:\n" SINK("x", "    commit: 1500ms\n")
          SINK("y", "    commit: 2s\n"),
      "f:7:13: /sinks/x/commit: `1500ms` is no whole number of checkpoint intervals (1000ms)\n");
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/graph/line", test_line);
  g_test_add_func("/graph/line-without-transforms", test_line_without_transforms);
  g_test_add_func("/graph/order", test_order);
  g_test_add_func("/graph/some-inputs", test_some_inputs);
  g_test_add_func("/graph/wrong-inputs", test_wrong_inputs);
  g_test_add_func("/graph/cycle", test_cycle);
  g_test_add_func("/graph/unused", test_unused);
  g_test_add_func("/graph/misspelt", test_misspelt);
  g_test_add_func("/graph/otherwise", test_otherwise);
  g_test_add_func("/graph/commit", test_commit);
  return g_test_run();
}
