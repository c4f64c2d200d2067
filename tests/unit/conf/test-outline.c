/* SPDX-License-Identifier: Apache-2.0 */
/* libcyaml's second opinion: it must agree with every file that is right, whatever stands inside
 * the entries. */
#include <glib.h>
#include "fake.h"

static void accept(const char *text)
{
  g_autofree char *problems = NULL;
  struct mr_spec *spec = fake_load(text, NULL, &problems);
  g_assert_cmpstr(problems, ==, "");
  mr_spec_free(spec);
}

static void test_agrees(void)
{
  accept("name: p\nlookups:\n  - name: l\n    refresh: 5m\n    tap: {topics: [a, b], options: "
         "{x.y: 1}}\nsources:\n  - tap: {topics: t}\n    name: in\n"
         "transforms:\n  - name: m\n    mid:\n      set: {a: b}\n      with: l\nsinks:\n  - {name: "
         "to, out: {}}\n  - name: other\n    null:\nsettings: {memory: 1MiB}\n");
}

static void test_empty_lists(void)
{
  accept("name: p\nlookups:\ntransforms: []\nsources:\n  - name: in\n    tap: {topics: "
         "t}\nsinks:\n  - name: to\n    out: {}\n");
}

static void test_variable_names(void)
{
  g_setenv("MR_T_NAME", "from_outside", TRUE);
  accept("name: ${MR_T_NAME}\nsources:\n  - name: in\n    tap: {topics: t}\nsinks:\n  - name: to\n "
         "   out: {}\n");
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/outline/agrees", test_agrees);
  g_test_add_func("/outline/empty-lists", test_empty_lists);
  g_test_add_func("/outline/variable-names", test_variable_names);
  return g_test_run();
}
