/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include "conf/spec.h"

static void test_sorted(void)
{
  g_autoptr(GPtrArray) problems = mr_problems_new();
  mr_problem_add(problems, (struct mr_mark_at){2, 10}, "/b", "third %d", 3);
  mr_problem_add(problems, (struct mr_mark_at){2, 9}, "/a", "second");
  mr_problem_add(problems, (struct mr_mark_at){0, 0}, "--set x.y", "first");
  g_autofree char *text = mr_problems_text("file.yaml", problems);
  g_assert_cmpstr(
      text, ==,
      "file.yaml: --set x.y: first\nfile.yaml:2:9: /a: second\nfile.yaml:2:10: /b: third 3\n");
}

static void test_none(void)
{
  g_autoptr(GPtrArray) problems = mr_problems_new();
  g_autofree char *text = mr_problems_text("file.yaml", problems);
  g_assert_cmpstr(text, ==, "");
}

static void test_many(void)
{
  g_autoptr(GPtrArray) problems = mr_problems_new();
  for (int i = 1; i <= 1003; i++)
    mr_problem_add(problems, (struct mr_mark_at){i, 1}, "/a", "wrong");
  g_autofree char *text = mr_problems_text("f", problems);
  g_assert_true(g_str_has_suffix(text, "f:1000:1: /a: wrong\nf: /: and 3 more problems\n"));
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/problem/sorted", test_sorted);
  g_test_add_func("/problem/none", test_none);
  g_test_add_func("/problem/many", test_many);
  return g_test_run();
}
