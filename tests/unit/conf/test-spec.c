/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include <string.h>
#include "fake.h"

#define FINE "sources:\n  - name: in\n    tap: {topics: t}\nsinks:\n  - name: to\n    out: {}\n"

static void test_settings(void)
{
  g_autofree char *problems = NULL;
  struct mr_spec *spec = fake_load("name: p\n" FINE, NULL, &problems);
  g_assert_cmpstr(problems, ==, "");
  g_assert_cmpint(spec->settings.checkpoint_ms, ==, 1000);
  g_assert_cmpint(spec->settings.checkpoint_bytes, ==, 64 << 20);
  g_assert_cmpint(spec->settings.checkpoint_rows, ==, 0);
  g_assert_cmpint(spec->settings.batch_rows, ==, 8192);
  g_assert_cmpint(spec->settings.batch_bytes, ==, 1 << 20);
  g_assert_cmpint(spec->settings.linger_ms, ==, 50);
  g_assert_cmpint(spec->settings.memory, ==, 256 << 20);
  g_assert_cmpint(spec->settings.shutdown_ms, ==, 30000);
  g_assert_null(spec->settings.state);
  g_assert_null(spec->settings.http);
  g_assert_cmpstr(spec->name, ==, "p");
  g_assert_cmpstr(spec->path, ==, "f");
  mr_spec_free(spec);
}

static void test_given_settings(void)
{
  g_autofree char *problems = NULL;
  struct mr_spec *spec = fake_load(
      "name: p\n" FINE
      "settings:\n  checkpoint: {interval: 2s, rows: 5}\n  http: 127.0.0.1:9600\n  state: /s\n",
      NULL, &problems);
  g_assert_cmpstr(problems, ==, "");
  g_assert_cmpint(spec->settings.checkpoint_ms, ==, 2000);
  g_assert_cmpint(spec->settings.checkpoint_rows, ==, 5);
  g_assert_cmpint(spec->settings.checkpoint_bytes, ==, 64 << 20); /* beside it */
  g_assert_cmpstr(spec->settings.http, ==, "127.0.0.1:9600");
  g_assert_cmpstr(spec->settings.state, ==, "/s");
  mr_spec_free(spec);
}

static void test_sections(void)
{
  fake_expect("naem: p\n" FINE "setings: {}\n",
              "f:1:1: /: the pipeline has no `name`\nf:1:1: /naem: unknown section `naem` (did you "
              "mean `name`?)\n"
              "f:8:1: /setings: unknown section `setings` (did you mean `settings`?)\n");
  fake_expect("name: P\nsources: []\nsettings: 5\n",
              "f:1:1: /: no `sinks`: a pipeline has at least one\n"
              "f:1:7: /name: a pipeline's name is 64 characters at most, of a-z, 0-9, - and _, and "
              "begins with a letter\n"
              "f:2:1: /sources: `sources` is empty\nf:3:1: /settings: `settings` is a mapping\n");
  fake_expect("- a\n", "f:1:1: /: a pipeline file is a mapping with name, sources and sinks\n");
  fake_expect("just text\n",
              "f:1:1: /: a pipeline file is a mapping with name, sources and sinks\n");
}

static void test_empty_sections(void)
{
  g_autofree char *problems = NULL;
  struct mr_spec *spec =
      fake_load("name: p\n" FINE "transforms:\nlookups:\nsettings:\ntests: [{a: '${NOT_SET}'}]\n",
                NULL, &problems);
  g_assert_cmpstr(problems, ==, "");
  mr_spec_free(spec);
}

static void problem(const struct mr_spec *spec, const char *stage, const char *option, int line,
                    int column, const char *want)
{
  g_autoptr(GPtrArray) problems = mr_problems_new();
  mr_spec_problem(spec, mr_spec_stage(spec, stage), option, line, column, "wrong", problems);
  g_autofree char *got = mr_problems_text("f", problems);
  g_assert_cmpstr(got, ==, want);
}

/* Where a plugin's own complaint ends up: options by their dotted path, expressions by their line
 * and column. */
static void test_places(void)
{
  g_autofree char *problems = NULL;
  struct mr_spec *spec =
      fake_load("name: p\nsources:\n  - name: in\n    tap:\n      topics: t\n      options: {a.b: "
                "1, a: 2}\n      routes:\n        - topic: x\n        - topic: y\n"
                "transforms:\n  - name: m\n    mid:\n      set:\n        one: a + b # c\n        "
                "two: |\n          a +\n          b\nsinks:\n  - name: to\n    out: {}\n",
                NULL, &problems);
  g_assert_cmpstr(problems, ==, "");
  problem(spec, "in", "", 0, 0, "f:4:5: /sources/in/tap: wrong\n");
  problem(spec, "in", "topics", 0, 0, "f:5:15: /sources/in/tap/topics: wrong\n");
  problem(spec, "in", "topics.0", 0, 0,
          "f:5:15: /sources/in/tap/topics: wrong\n"); /* one value stands for a list */
  problem(spec, "in", "options.a.b", 0, 0, "f:6:22: /sources/in/tap/options/a.b: wrong\n");
  problem(spec, "in", "options.a", 0, 0, "f:6:28: /sources/in/tap/options/a: wrong\n");
  problem(spec, "in", "routes.1.topic", 0, 0, "f:9:18: /sources/in/tap/routes/1/topic: wrong\n");
  problem(spec, "in", "routes.7.topic", 0, 0, "f:7:7: /sources/in/tap/routes: wrong\n");
  problem(spec, "in", "ratio", 0, 0, "f:4:5: /sources/in/tap: wrong\n");
  problem(spec, "m", "set.one", 1, 5, "f:14:18: /transforms/m/mid/set/one: wrong\n");
  problem(spec, "m", "set.one", 1, 6,
          "f:14:19: /transforms/m/mid/set/one: wrong; what follows ` #` is a comment: put the "
          "value in quotes to keep it\n");
  problem(spec, "m", "set.two", 2, 1, "f:17:11: /transforms/m/mid/set/two: wrong\n");
  mr_spec_free(spec);
}

/* `check` goes on with what is not broken. */
static void test_read(void)
{
  g_autoptr(GPtrArray) problems = mr_problems_new();
  const char *text = "name: p\nsources:\n  - name: in\n    tap: {topics: t}\nsinks:\n  - name: "
                     "to\n    out: {modee: 1}\n";
  struct mr_spec *spec = mr_spec_read("f", text, strlen(text), NULL, &fake_catalog, problems);
  g_assert_nonnull(spec);
  g_assert_cmpuint(problems->len, ==, 1);
  g_assert_false(mr_spec_stage(spec, "in")->broken);
  g_assert_true(mr_spec_stage(spec, "to")->broken);
  g_assert_null(mr_spec_stage(spec, "nobody"));
  g_assert_null(mr_spec_stage(spec, ""));
  mr_spec_free(spec);
  mr_spec_free(NULL);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/spec/settings", test_settings);
  g_test_add_func("/spec/given-settings", test_given_settings);
  g_test_add_func("/spec/sections", test_sections);
  g_test_add_func("/spec/empty-sections", test_empty_sections);
  g_test_add_func("/spec/places", test_places);
  g_test_add_func("/spec/read", test_read);
  return g_test_run();
}
