/* SPDX-License-Identifier: Apache-2.0 */
/* Every line of the .tsv files here: input columns, expression, expected type, expected values.
 * "error" as type: the message of the compiler. Each line is evaluated over all rows, over each
 * row as a slice of its own, and over the rows repeated past the size of a chunk; all three must
 * agree. */
#include "rows.h"

#define REPEAT 700

static bool agree(const char *file, int line, const char *what, const char *expr, const char *got,
                  const char *want)
{
  if (!strcmp(got, want))
    return true;
  g_test_message("%s:%d: %s: %s gives\n  %s\nnot\n  %s", file, line, expr, what, got, want);
  g_test_fail();
  return false;
}

static void check_slices(const char *file, int line, struct test_rows *t, const char *expr,
                         const char *want)
{
  char **values = g_strsplit(want, "|", -1);
  for (int64_t i = 0; i < t->rows.length && values[i]; i++) {
    struct test_result r;
    test_rows_eval(t, expr, i, 1, &r);
    agree(file, line, "a slice", expr, r.values, values[i]);
    test_result_done(&r);
  }
  g_strfreev(values);
}

static void check_repeated(const char *file, int line, const char *input, const char *expr,
                           const char *want)
{
  struct test_rows t;
  struct test_result r;
  GString *all = g_string_new(want);
  test_rows_make(&t, input, REPEAT);
  for (int i = 1; i < REPEAT; i++)
    g_string_append_printf(all, "|%s", want);
  test_rows_eval(&t, expr, 0, -1, &r);
  agree(file, line, "many rows", expr, r.values, all->str);
  test_result_done(&r);
  test_rows_done(&t);
  g_string_free(all, TRUE);
}

static void check_line(const char *file, int line, char **f)
{
  struct test_rows t;
  struct test_result r;
  test_rows_make(&t, f[0], 1);
  test_rows_eval(&t, f[1], 0, -1, &r);
  bool ok = agree(file, line, "the type", f[1], r.type, f[2]);
  ok = agree(file, line, "the result", f[1], r.values, f[3]) && ok;
  if (ok && strcmp(f[2], "error") && !strstr(f[3], "||")) {
    if (!strchr(f[3], '\\'))
      check_slices(file, line, &t, f[1], f[3]);
    check_repeated(file, line, f[0], f[1], f[3]);
  }
  test_result_done(&r);
  test_rows_done(&t);
}

static void test_file(const void *path)
{
  char *text = NULL, *name = g_path_get_basename(path);
  GError *error = NULL;
  int checked = 0;
  if (!g_file_get_contents(path, &text, NULL, &error))
    g_error("%s", error->message);
  char **lines = g_strsplit(text, "\n", -1);
  for (int i = 0; lines[i]; i++) {
    if (!*lines[i] || *lines[i] == '#')
      continue;
    char **f = g_strsplit(lines[i], "\t", -1);
    if (g_strv_length(f) != 4)
      g_error("%s:%d: not four fields", name, i + 1);
    check_line(name, i + 1, f);
    checked++;
    g_strfreev(f);
  }
  g_assert_cmpint(checked, >, 0);
  g_strfreev(lines);
  g_free(text);
  g_free(name);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  const char *dir = g_test_get_dir(G_TEST_DIST), *name;
  GDir *d = g_dir_open(dir, 0, NULL);
  if (!d)
    g_error("no folder %s", dir);
  while ((name = g_dir_read_name(d))) {
    if (!g_str_has_suffix(name, ".tsv"))
      continue;
    char *test = g_strdup_printf("/expr/table/%s", name);
    g_test_add_data_func_full(test, g_build_filename(dir, name, NULL), test_file, g_free);
    g_free(test);
  }
  g_dir_close(d);
  return g_test_run();
}
