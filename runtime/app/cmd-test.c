/* SPDX-License-Identifier: Apache-2.0 */
/* millrace test FILE [--set stage.option=value]… */
#include <stdio.h>
#include <string.h>
#include "app/test-file.h"
#include "conf/suggest.h"

void mr_test_note(struct mr_test_file *t, const char *fmt, ...)
{
  va_list ap;
  va_start(ap, fmt);
  g_string_append_vprintf(t->notes, fmt, ap);
  va_end(ap);
  g_string_append_c(t->notes, '\n');
}

void mr_test_end(struct mr_test_file *t, const char *name)
{
  bool ok = !t->notes->len && t->problems->len == t->reported;
  t->reported = t->problems->len;
  t->failed += !ok;
  printf("%sok %d - %s\n", ok ? "" : "not ", ++t->number, name);
  g_auto(GStrv) lines = g_strsplit(t->notes->str, "\n", -1);
  for (char **line = lines; *line; line++)
    if (**line)
      printf("# %s\n", *line);
  g_string_truncate(t->notes, 0);
}

bool mr_test_keys(struct mr_test_file *t, struct mr_ynode *map, const char *const *known)
{
  bool ok = map->type == MR_NODE_MAP;
  if (!ok)
    mr_ynode_problem(t->problems, map, "a mapping is expected here");
  for (guint i = 0; ok && i < mr_ynode_count(map); i++) {
    struct mr_ynode *n = mr_ynode_kid(map, i);
    if (g_strv_contains(known, n->key))
      continue;
    g_autofree char *hint = mr_suggest_text(n->key, known, g_strv_length((char **)known));
    mr_ynode_key_problem(t->problems, n, "unknown key `%s`%s", n->key, hint);
    ok = false;
  }
  return ok;
}

const char *mr_test_text(struct mr_test_file *t, struct mr_ynode *map, const char *key)
{
  struct mr_ynode *n = mr_ynode_get(map, key);
  if (!n)
    return NULL;
  if (n->type == MR_NODE_SCALAR)
    return n->text;
  mr_ynode_problem(t->problems, n, "a text is expected here");
  return NULL;
}

/* The file's text with its end marked, or NULL: said why. Caller frees. */
static char *read_text(const char *path, gsize *ret_len)
{
  g_autoptr(GError) error = NULL;
  char *text = NULL;
  if (g_file_get_contents(path, &text, ret_len, &error))
    return text;
  fprintf(stderr, "millrace: %s\n", error->message);
  return NULL;
}

/* trades.yaml -> trades.test.yaml. Caller frees. */
static char *test_beside(const char *pipeline)
{
  gsize n = strlen(pipeline) - (g_str_has_suffix(pipeline, ".yaml")  ? 5
                                : g_str_has_suffix(pipeline, ".yml") ? 4
                                                                     : 0);
  return g_strdup_printf("%.*s.test.yaml", (int)n, pipeline);
}

/* Environment variables that the pipeline file wants, unless they are set. */
static void set_variables(struct mr_test_file *t, struct mr_ynode *map)
{
  for (guint i = 0; i < mr_ynode_count(map); i++) {
    const struct mr_ynode *n = mr_ynode_kid(map, i);
    const char *value = n->key ? mr_test_text(t, map, n->key) : NULL;
    if (value)
      g_setenv(n->key, value, FALSE);
  }
}

/* The values of --set: those of the file, then the command line's. */
static char **all_sets(struct mr_test_file *t, const char *const *sets)
{
  g_autoptr(GPtrArray) all = g_ptr_array_new();
  struct mr_ynode *list = mr_ynode_get(t->root, "set");
  for (guint i = 0; i < mr_ynode_count(list); i++)
    g_ptr_array_add(all, g_strdup(mr_ynode_kid(list, i)->text));
  for (; sets && *sets; sets++)
    g_ptr_array_add(all, g_strdup(*sets));
  g_ptr_array_add(all, NULL);
  return (char **)g_ptr_array_steal(all, NULL);
}

static int run_pipeline(struct mr_test_file *t, const char *pipeline, const char *const *sets)
{
  struct mr_ynode *tests = mr_ynode_get(t->root, "tests");
  const char *name = mr_test_text(t, t->root, "pipeline");
  g_autofree char *dir = g_path_get_dirname(t->path);
  g_autofree char *path = pipeline                           ? g_strdup(pipeline)
                          : name && g_path_is_absolute(name) ? g_strdup(name)
                          : name                             ? g_build_filename(dir, name, NULL)
                                                             : NULL;
  struct mr_app_file f;
  if (!path) {
    mr_ynode_problem(t->problems, tests, "`pipeline` is missing: the file that is tested");
    return MR_EXIT_USAGE;
  }
  set_variables(t, mr_ynode_get(t->root, "env"));
  g_auto(GStrv) all = all_sets(t, sets);
  int code = mr_app_load(&f, path, (const char *const *)all);
  if (code == MR_EXIT_OK)
    mr_test_pipeline(t, &f, tests);
  mr_app_unload(&f);
  return code;
}

static int run_file(struct mr_test_file *t, const char *pipeline, const char *const *sets)
{
  static const char *const keys[] = {"pipeline", "set", "env", "tests", "expr", NULL};
  struct mr_ynode *expr = mr_ynode_get(t->root, "expr"), *tests = mr_ynode_get(t->root, "tests");
  int code = MR_EXIT_OK;
  if (!mr_test_keys(t, t->root, keys))
    return MR_EXIT_USAGE;
  if (!expr && !tests)
    mr_ynode_problem(t->problems, t->root, "neither `tests` nor `expr`: nothing is tested");
  if (expr)
    mr_test_expr(t, expr);
  if (tests)
    code = run_pipeline(t, pipeline, sets);
  printf("1..%d\n", t->number);
  if (t->failed)
    printf("# %d of %d failed\n", t->failed, t->number);
  return code != MR_EXIT_OK ? code : t->failed ? MR_EXIT_FAILED : MR_EXIT_OK;
}

/* A pipeline file stands for the test file beside it. */
static int test_file(const char *path, const char *pipeline, const char *const *sets)
{
  gsize len = 0;
  struct mr_test_file t = {.path = path};
  g_autofree char *text = read_text(path, &len);
  if (!text)
    return MR_EXIT_USAGE;
  t.problems = mr_problems_new();
  t.notes = g_string_new(NULL);
  t.root = mr_yaml_parse(text, len, t.problems);
  bool is_pipeline = mr_ynode_get(t.root, "sources") && !pipeline;
  g_autofree char *beside = is_pipeline ? test_beside(path) : NULL;
  int code = MR_EXIT_USAGE;
  if (t.root && !is_pipeline && !t.problems->len)
    code = run_file(&t, pipeline, sets);
  g_autofree char *problems = is_pipeline ? NULL : mr_problems_text(path, t.problems);
  fputs(problems ? problems : "", stderr);
  if (!is_pipeline && t.problems->len)
    code = MR_EXIT_USAGE;
  mr_ynode_free(t.root);
  g_ptr_array_unref(t.problems);
  g_string_free(t.notes, TRUE);
  return is_pipeline ? test_file(beside, path, sets) : code;
}

int mr_cmd_test(int argc, char **argv)
{
  g_auto(GStrv) sets = NULL;
  GOptionEntry entries[] = {
      {"set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &sets, "override an option", "STAGE.OPTION=VALUE"},
      {NULL}};
  const char *file = mr_app_options(&argc, &argv, "FILE",
                                    "Runs a test file (name.test.yaml), or the one beside a "
                                    "pipeline file: rows in, rows expected, no server.",
                                    entries);
  if (!file)
    return MR_EXIT_USAGE;
  return test_file(file, NULL, (const char *const *)sets);
}
