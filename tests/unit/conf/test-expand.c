/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include <glib/gstdio.h>
#include "fake.h"
#include "millrace/plugin.h"

/* What `url: VALUE` becomes. */
static void expect(const char *value, const char *want)
{
  const struct fake_source *s;
  g_autofree char *lines = g_strdup_printf("      topics: t\n      url: %s\n", value);
  struct mr_spec *spec = fake_tap(lines, &s);
  g_assert_cmpstr(s->url, ==, want);
  mr_spec_free(spec);
}

static void refuse(const char *value, const char *want)
{
  g_autofree char *lines = g_strdup_printf("      topics: t\n      url: %s\n", value),
                  *text = fake_file(lines);
  g_autofree char *problem = g_strdup_printf("f:6:%s\n", want);
  fake_expect(text, problem);
}

static void test_variables(void)
{
  g_setenv("MR_T_A", "one", TRUE);
  g_setenv("MR_T_EMPTY", "", TRUE);
  g_unsetenv("MR_T_NONE");
  expect("${MR_T_A}", "one");
  expect("x${MR_T_A}y${MR_T_A}", "xoneyone");
  expect("'${MR_T_EMPTY}'", "");
  expect("${MR_T_NONE:-two}", "two");
  expect("${MR_T_EMPTY:-two}", "two");
  expect("${MR_T_A:-two}", "one");
  expect("${MR_T_A:?message}", "one");
  expect("${MR_T_NONE:-${MR_T_A}}/x", "one/x");
  expect("${MR_T_NONE:-a:b}", "a:b");
}

static void test_dollar(void)
{
  expect("pa$$word", "pa$word");
  expect("$${MR_T_A}", "${MR_T_A}");
  expect("^a$", "^a$");
  expect("a$b", "a$b");
}

/* What comes in is text: it is not read as YAML, and not replaced again. */
static void test_once(void)
{
  g_setenv("MR_T_ODD", "[a, ${MR_T_A}] # $$", TRUE);
  expect("${MR_T_ODD}", "[a, ${MR_T_A}] # $$");
}

static void test_number(void)
{
  const struct fake_source *s;
  g_setenv("MR_T_PORT", "9092", TRUE);
  struct mr_spec *spec = fake_tap("      topics: t\n      port: ${MR_T_PORT}\n", &s);
  g_assert_cmpint(s->port, ==, 9092);
  mr_spec_free(spec);
}

static void test_missing(void)
{
  refuse("${MR_T_NONE}", "12: /sources/in/tap/url: the environment variable MR_T_NONE is not set "
                         "(${MR_T_NONE:-…} gives a default)");
  refuse("abc${MR_T_NONE}", "15: /sources/in/tap/url: the environment variable MR_T_NONE is not "
                            "set (${MR_T_NONE:-…} gives a default)");
  refuse("${MR_T_NONE:?first broker}",
         "12: /sources/in/tap/url: the environment variable MR_T_NONE is not set: first broker");
  refuse("'${MR_T_EMPTY:?say it}'",
         "13: /sources/in/tap/url: the environment variable MR_T_EMPTY is not set: say it");
}

static void test_syntax(void)
{
  refuse("${MR_T_A", "12: /sources/in/tap/url: `${` without its `}`");
  refuse("'${}'", "13: /sources/in/tap/url: `${}` is none of ${VAR}, ${VAR:-default}, "
                  "${VAR:?message}, ${file:PATH}; $$ is a dollar sign");
  refuse("${1A}", "12: /sources/in/tap/url: `${1A}` is none of ${VAR}, ${VAR:-default}, "
                  "${VAR:?message}, ${file:PATH}; $$ is a dollar sign");
  refuse("${A:+b}", "12: /sources/in/tap/url: `${A:+b}` is none of ${VAR}, ${VAR:-default}, "
                    "${VAR:?message}, ${file:PATH}; $$ is a dollar sign");
  refuse("${A:-${B:-${C:-${D:-${E}}}}}", "32: /sources/in/tap/url: ${ is nested too deep");
}

static char *secret_file(const char *content, gssize len)
{
  char *path;
  int fd = g_file_open_tmp("mr-expand-XXXXXX", &path, NULL);
  g_assert_cmpint(fd, >=, 0);
  g_close(fd, NULL);
  g_assert_true(g_file_set_contents(path, content, len, NULL));
  return path;
}

static void test_file(void)
{
  g_autofree char *path = secret_file("s3cret \n", -1),
                  *value = g_strdup_printf("${file:%s}", path);
  expect(value, "s3cret "); /* only the final newline goes */
  g_setenv("MR_T_PATH", path, TRUE);
  expect("${file:${MR_T_PATH}}", "s3cret ");
  g_remove(path);
  g_autofree char *want = g_strdup_printf("12: /sources/in/tap/url: no file `%s`", path);
  refuse(value, want);
  refuse("${file:/}", "12: /sources/in/tap/url: `/` is no regular file");
}

static void test_binary_file(void)
{
  g_autofree char *path = secret_file("a\0b", 3), *value = g_strdup_printf("${file:%s}", path);
  g_autofree char *want =
      g_strdup_printf("12: /sources/in/tap/url: `%s` is no text of at most 1048576 bytes", path);
  refuse(value, want);
  g_remove(path);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/expand/variables", test_variables);
  g_test_add_func("/expand/dollar", test_dollar);
  g_test_add_func("/expand/once", test_once);
  g_test_add_func("/expand/number", test_number);
  g_test_add_func("/expand/missing", test_missing);
  g_test_add_func("/expand/syntax", test_syntax);
  g_test_add_func("/expand/file", test_file);
  g_test_add_func("/expand/binary-file", test_binary_file);
  return g_test_run();
}
