/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include "fake.h"

#define HEAD "name: p\nsources:\n  - name: in\n    tap: {topics: t}\n"

static void expect(const char *rest, const char *want)
{
  g_autofree char *text = g_strconcat(HEAD, rest, NULL);
  fake_expect(text, want);
}

static void test_names(void)
{
  expect(
      "sinks:\n  - name: In\n    out: {}\n  - name: in\n    out: {}\n  - out: {}\n  - name: "
      "settings\n    out: {}\n",
      "f:6:11: /sinks/In/name: a name is 64 characters at most, of a-z, 0-9 and _, and begins with "
      "a letter\n"
      "f:8:11: /sinks/in/name: the name `in` is taken: line 3 has it\n"
      "f:10:5: /sinks/2: the entry has no `name`\n"
      "f:11:11: /sinks/settings/name: `settings` cannot be a name: it means something else here\n");
}

static void test_plugin(void)
{
  expect("sinks:\n  - name: a\n  - name: b\n    outt: {}\n  - name: c\n    out: {}\n    null: {}\n "
         " - name: d\n    out: 5\n  - name: e\n    null:\n",
         "f:6:5: /sinks/a: no plugin: put one mapping here that is named after a sink plugin\n"
         "f:8:5: /sinks/b/outt: no plugin `outt`\n"
         "f:11:5: /sinks/c/null: an entry has one plugin, and this one has `out` already\n"
         "f:13:5: /sinks/d/out: `out` takes a mapping of its options\n");
}

static void test_keys(void)
{
  expect("sinks:\n  - name: a\n    comit: 5s\n    out: {}\n  - name: b\n    refresh: 5s\n    alow: "
         "{}\n    out: {}\n    zebra: 1\n",
         "f:7:5: /sinks/a/comit: unknown option `comit` (did you mean `commit`?)\n"
         "f:10:5: /sinks/b/refresh: `refresh` is for lookups only\n"
         "f:11:5: /sinks/b/alow: unknown option `alow` (did you mean `allow`?)\n"
         "f:13:5: /sinks/b/zebra: unknown option `zebra`\n");
  fake_expect("name: p\nsources:\n  - name: in\n    when: x\n    commit: 1s\n    tap: {topics: "
              "t}\nsinks:\n  - name: a\n    out: {}\n",
              "f:4:5: /sources/in/when: `when` is for transforms and sinks only\nf:5:5: "
              "/sources/in/commit: `commit` is for sinks only\n");
}

static void test_values(void)
{
  g_autofree char *problems = NULL;
  struct mr_spec *spec =
      fake_load("name: p-1\nsources:\n  - name: in\n    time: {column: at, late: 10s, idle: 30s}\n "
                "   tap: {topics: t}\nsinks:\n  - name: a\n    when: x > 1\n    parallel: 2\n    "
                "commit: 3s\n    allow: name\n    start: now\n    out: {}\n",
                NULL, &problems);
  g_assert_cmpstr(problems, ==, "");
  const struct mr_stage_spec *in = mr_spec_stage(spec, "in"), *a = mr_spec_stage(spec, "a");
  g_assert_cmpstr(in->time_column, ==, "at");
  g_assert_cmpint(in->time_late_ms, ==, 10000);
  g_assert_cmpint(in->time_idle_ms, ==, 30000);
  g_assert_cmpint(in->parallel, ==, 1);
  g_assert_cmpstr(a->when, ==, "x > 1");
  g_assert_cmpint(a->when_at.line, ==, 8);
  g_assert_cmpint(a->when_at.column, ==, 11);
  g_assert_cmpint(a->parallel, ==, 2);
  g_assert_cmpint(a->commit_ms, ==, 3000);
  g_assert_cmpstr(a->allow[0], ==, "name");
  g_assert_cmpstr(a->start, ==, "now");
  mr_spec_free(spec);
}

static void test_time(void)
{
  fake_expect("name: p\nsources:\n  - name: in\n    time: {column: at}\n    tap: {topics: "
              "t}\nsinks:\n  - name: a\n    out: {}\n",
              "f:4:5: /sources/in/time: `late` is required: how far behind the greatest time seen "
              "a row may be\n");
}

static void test_validate(void)
{
  expect("sinks:\n  - name: a\n    out:\n      table: x\n      mode: upsert\n",
         "f:9:13: /sinks/a/out/mode: upsert needs a key\n");
}

static void test_dead_letter(void)
{
  const char *const sinks = "sinks:\n  - name: a\n    out: {}\n";
  g_autofree char *mask = g_strconcat("transforms:\n  - name: m\n    mask: {}\n", sinks,
                                      "dead_letter:\n  out: {}\n", NULL);
  expect(mask, "f:11:1: /dead_letter: say `originals: drop` or `originals: keep`: the file masks "
               "columns, and the original bytes of a refused row are not masked\n");
  g_autofree char *two = g_strconcat(
      sinks, "dead_letter:\n  originals: some\n  limit: {rows: 0}\n  null: {}\n  out: {}\n", NULL);
  expect(two,
         "f:9:14: /dead_letter/originals: `some` is none of keep, drop\n"
         "f:10:3: /dead_letter/limit: `per` is required: when they come within this time\n"
         "f:10:17: /dead_letter/limit/rows: `0` is not in 1..\n"
         "f:12:3: /dead_letter/out: an entry has one plugin, and this one has `null` already\n");
  g_autofree char *none = g_strconcat(sinks, "dead_letter: x\n", NULL);
  expect(none, "f:8:1: /dead_letter: `dead_letter` is a mapping with a sink plugin\n");
}

static void test_letters(void)
{
  g_autofree char *problems = NULL;
  struct mr_spec *spec =
      fake_load(HEAD "sinks:\n  - name: a\n    out: {}\ndead_letter:\n  originals: drop\n  limit: "
                     "{rows: 10, per: 1m}\n  out: {table: t}\n",
                NULL, &problems);
  g_assert_cmpstr(problems, ==, "");
  g_assert_cmpint(spec->originals, ==, MR_ORIGINALS_DROP);
  g_assert_cmpint(spec->letters_rows, ==, 10);
  g_assert_cmpint(spec->letters_per_ms, ==, 60000);
  g_assert_cmpstr(((const struct fake_out *)spec->dead_letter->conf)->table, ==, "t");
  g_assert_true(mr_spec_stage(spec, "dead_letter") == spec->dead_letter);
  mr_spec_free(spec);
}

static void test_section(void)
{
  fake_expect("name: p\nsources: {name: in}\nsinks: [x]\n",
              "f:2:1: /sources: `sources` is a list: begin each entry with `- name: …`\n"
              "f:3:9: /sinks/0: an entry is a mapping with a `name` and a plugin\n");
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/stage/names", test_names);
  g_test_add_func("/stage/plugin", test_plugin);
  g_test_add_func("/stage/keys", test_keys);
  g_test_add_func("/stage/values", test_values);
  g_test_add_func("/stage/time", test_time);
  g_test_add_func("/stage/validate", test_validate);
  g_test_add_func("/stage/dead-letter", test_dead_letter);
  g_test_add_func("/stage/letters", test_letters);
  g_test_add_func("/stage/section", test_section);
  return g_test_run();
}
