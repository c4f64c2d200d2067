/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include <glib/gstdio.h>
#include "fake.h"
#include "millrace/plugin.h"

static void expect(const char *options, const char *text, const char *want)
{
  const struct fake_source *s;
  g_autofree char *lines = g_strdup_printf("      topics: t\n%s", options);
  struct mr_spec *spec = fake_tap(lines, &s);
  g_autofree char *got = mr_spec_redact(spec, text);
  g_assert_cmpstr(got, ==, want);
  mr_spec_free(spec);
}

static void test_option(void)
{
  expect("      password: hunter2\n", "login hunter2 failed, hunter2!", "login *** failed, ***!");
  expect("      sasl: {user: me, password: canary}\n", "me canary", "me ***");
  expect("", "nothing here", "nothing here");
}

static void test_url(void)
{
  expect("      url: postgresql://etl:p%40ss/w@h:5432/db\n", "p%40ss",
         "p%40ss"); /* a / ends the authority: no password there */
  expect("      url: postgresql://etl:p%40ss@h:5432/db\n", "for etl: p%40ss and p@ss",
         "for etl: *** and ***");
  expect("      url: postgresql://etl:a@b@h/db\n", "x a@b y", "x *** y");
  expect("      url: postgresql://h/db?user=u&password=qwerty&x=1\n", "qwerty x=1", "*** x=1");
  expect("      url: host=h user=u password=asdfgh dbname=d\n", "asdfgh d", "*** d");
  expect("      url: host=h password='as df' dbname=d\n", "as df", "***");
  expect("      url: http://h:8080/a:b@c\n", "8080 b", "8080 b");
}

static void test_file(void)
{
  g_autofree char *path = NULL;
  int fd = g_file_open_tmp("mr-secret-XXXXXX", &path, NULL);
  g_close(fd, NULL);
  g_assert_true(g_file_set_contents(path, "filecanary\n", -1, NULL));
  g_autofree char *option = g_strdup_printf("      url: x-${file:%s}-y\n", path);
  expect(option, "x-filecanary-y", "x-***-y");
  g_remove(path);
}

/* The longer secret goes first, else its rest would show. */
static void test_overlap(void)
{
  expect("      password: abcd\n      sasl: {user: u, password: abcdefgh}\n", "abcdefgh abcd",
         "*** ***");
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/secret/option", test_option);
  g_test_add_func("/secret/url", test_url);
  g_test_add_func("/secret/file", test_file);
  g_test_add_func("/secret/overlap", test_overlap);
  return g_test_run();
}
