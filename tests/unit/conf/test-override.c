/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include "fake.h"
#include "millrace/plugin.h"

#define FILE_                                                                                    \
  "name: p\nsources:\n  - name: in\n    tap: {topics: t, port: 1}\nsinks:\n  - name: to_b\n    " \
  "out: {}\nsettings: {memory: 2MiB}\n"

static struct mr_spec *load(const char *const *set)
{
  g_autofree char *problems = NULL;
  struct mr_spec *spec = fake_load(FILE_, set, &problems);
  g_assert_cmpstr(problems, ==, "");
  return spec;
}

static void refuse(const char *set, const char *want)
{
  const char *const sets[] = {set, NULL};
  g_autofree char *problems = NULL;
  g_assert_null(fake_load(FILE_, sets, &problems));
  g_assert_cmpstr(problems, ==, want);
}

static const struct fake_source *tap(const struct mr_spec *spec)
{
  return mr_spec_stage(spec, "in")->conf;
}

static void test_set(void)
{
  const char *const set[] = {"in.port=9092",
                             "in.topics=[a, b]",
                             "in.url=a # b: [c",
                             "in.parallel=3",
                             "to_b.commit=2s",
                             "settings.memory=3MiB",
                             "settings.checkpoint.interval=500ms",
                             NULL};
  struct mr_spec *spec = load(set);
  g_assert_cmpint(tap(spec)->port, ==, 9092);
  g_assert_cmpuint(tap(spec)->topics.n, ==, 2);
  g_assert_cmpstr(tap(spec)->url, ==, "a # b: [c"); /* no YAML unless it begins with [ or { */
  g_assert_cmpint(mr_spec_stage(spec, "in")->parallel, ==, 3);
  g_assert_cmpint(mr_spec_stage(spec, "to_b")->commit_ms, ==, 2000);
  g_assert_cmpint(spec->settings.memory, ==, 3 << 20);
  g_assert_cmpint(spec->settings.checkpoint_ms, ==, 500);
  mr_spec_free(spec);
}

static void test_nested(void)
{
  const char *const set[] = {"in.sasl.user=u", "in.options.queued.min.messages=5",
                             "in.shards.x.topic=c", NULL};
  struct mr_spec *spec = load(set);
  g_assert_cmpstr(tap(spec)->sasl.user, ==, "u");
  g_assert_cmpstr(tap(spec)->options.key[0], ==, "queued.min.messages");
  g_assert_cmpstr(((const struct fake_route *)tap(spec)->shards.item)->topic, ==, "c");
  mr_spec_free(spec);
}

static void test_environment(void)
{
  g_setenv("MILLRACE_SET_IN__PORT", "7", TRUE);
  g_setenv("MILLRACE_SET_TO_B__TABLE", "pa$$word ${X}", TRUE);
  g_setenv("MILLRACE_SET_IN__SASL__USER", "me", TRUE);
  g_setenv("MILLRACE_SET_SETTINGS__MEMORY", "4MiB", TRUE);
  struct mr_spec *spec = load(NULL);
  g_assert_cmpint(tap(spec)->port, ==, 7);
  g_assert_cmpstr(((const struct fake_out *)mr_spec_stage(spec, "to_b")->conf)->table, ==,
                  "pa$$word ${X}"); /* as it stands */
  g_assert_cmpstr(tap(spec)->sasl.user, ==, "me");
  g_assert_cmpint(spec->settings.memory, ==, 4 << 20);
  mr_spec_free(spec);
  const char *const set[] = {"in.port=8", NULL}; /* --set is stronger */
  spec = load(set);
  g_assert_cmpint(tap(spec)->port, ==, 8);
  mr_spec_free(spec);
  g_unsetenv("MILLRACE_SET_IN__PORT");
  g_unsetenv("MILLRACE_SET_TO_B__TABLE");
  g_unsetenv("MILLRACE_SET_IN__SASL__USER");
  g_unsetenv("MILLRACE_SET_SETTINGS__MEMORY");
}

static void test_unknown(void)
{
  refuse("inn.port=1", "f: --set inn.port: the file has no stage `inn` (did you mean `in`?)\n");
  refuse("in.prot=1", "f: --set in.prot: unknown option `prot` (did you mean `port`?)\n");
  refuse("settings.memroy=1MiB",
         "f: --set settings.memroy: unknown option `memroy` (did you mean `memory`?)\n");
  refuse("port", "f: --set port: write --set stage.option=value\n");
  g_setenv("MILLRACE_SET_IM__PORT", "1", TRUE);
  refuse("in.port=1",
         "f: MILLRACE_SET_IM__PORT: the file has no stage `im` (did you mean `in`?)\n");
  g_unsetenv("MILLRACE_SET_IM__PORT");
}

static void test_wrong_value(void)
{
  refuse("in.port=99999", "f: --set in.port: `99999` is not in 1..65535\n");
  refuse("in.topics=[a", "f: --set in.topics: no YAML while parsing a flow sequence (which begins "
                         "at line 1): did not find expected ',' or ']'\n");
  refuse("settings.checkpoint.interval=5",
         "f: --set settings.checkpoint.interval: `5` is no duration: write a whole number and ms, "
         "s, m, h or d, as 50ms\n");
}

static const struct mr_value *value_of(const struct mr_spec *spec, const char *path)
{
  GPtrArray *values = mr_spec_values(spec);
  for (guint i = 0; i < values->len; i++) {
    const struct mr_value *v = g_ptr_array_index(values, i);
    if (g_str_equal(v->path, path))
      return v;
  }
  return NULL;
}

static void test_origins(void)
{
  g_setenv("MILLRACE_SET_IN__SIZE", "2KiB", TRUE);
  const char *const set[] = {"in.password=hunter2", NULL};
  struct mr_spec *spec = load(set);
  g_assert_cmpstr(value_of(spec, "in.port")->origin, ==, "file");
  g_assert_cmpint(value_of(spec, "in.port")->line, ==, 4);
  g_assert_cmpstr(value_of(spec, "in.wait")->origin, ==, "default");
  g_assert_cmpstr(value_of(spec, "in.wait")->text, ==, "5s");
  g_assert_cmpstr(value_of(spec, "in.size")->origin, ==, "MILLRACE_SET_IN__SIZE");
  g_assert_cmpstr(value_of(spec, "in.password")->origin, ==, "--set");
  g_assert_cmpstr(value_of(spec, "in.password")->text, ==, "***");
  g_assert_cmpstr(value_of(spec, "settings.memory")->text, ==, "2MiB");
  mr_spec_free(spec);
  g_unsetenv("MILLRACE_SET_IN__SIZE");
}

/* A variable that is not set is no error where an override says what is meant instead. */
static void test_rescue(void)
{
  static const char file[] =
      "name: p\nsources:\n  - name: in\n    tap: {topics: ['${MR_T_NONE}', b], url: "
      "'${MR_T_NONE}', "
      "password: '${file:/nonexistent}'}\nsinks:\n  - name: to\n    out: {}\n";
  const char *const set[] = {"in.topics=[a]", "in.url=u", NULL}, *const one[] = {"in.url=u", NULL};
  g_unsetenv("MR_T_NONE");
  g_setenv("MILLRACE_SET_IN__PASSWORD", "pass", TRUE);
  g_autofree char *problems = NULL, *rest = NULL;
  struct mr_spec *spec = fake_load(file, set, &problems);
  g_assert_cmpstr(problems, ==, "");
  g_assert_cmpstr(tap(spec)->url, ==, "u");
  g_assert_cmpstr(tap(spec)->password, ==, "pass");
  mr_spec_free(spec);
  g_assert_null(fake_load(file, one, &rest));
  g_assert_cmpstr(rest, ==,
                  "f:4:21: /sources/in/tap/topics/0: the environment variable MR_T_NONE is not set "
                  "(${MR_T_NONE:-…} gives a default)\n");
  g_unsetenv("MILLRACE_SET_IN__PASSWORD");
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/override/set", test_set);
  g_test_add_func("/override/nested", test_nested);
  g_test_add_func("/override/environment", test_environment);
  g_test_add_func("/override/unknown", test_unknown);
  g_test_add_func("/override/wrong-value", test_wrong_value);
  g_test_add_func("/override/origins", test_origins);
  g_test_add_func("/override/rescue", test_rescue);
  return g_test_run();
}
