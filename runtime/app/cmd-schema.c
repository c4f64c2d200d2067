/* SPDX-License-Identifier: Apache-2.0 */
/* millrace schema [FILE STAGE] */
#include <stdio.h>
#include "app/app.h"
#include "app/row-schema.h"
#include "conf/jsonschema.h"
#include "plug/check.h"

static int no_columns(const struct mr_app_file *f, const char *stage)
{
  if (mr_spec_stage(f->spec, stage))
    fprintf(stderr, "millrace: the columns of `%s` are not known before the run\n", stage);
  else
    fprintf(stderr, "millrace: the file has no stage `%s`\n", stage);
  return MR_EXIT_USAGE;
}

/* Of the rows of one stage. */
static int of_rows(const char *file, const char *stage)
{
  struct mr_app_file f;
  int code = mr_app_load(&f, file, NULL);
  const struct mr_stage_spec *st = code == MR_EXIT_OK ? mr_spec_stage(f.spec, stage) : NULL;
  const struct ArrowSchema *rows = st ? mr_checked_schema(f.checked, st) : NULL;
  if (rows) {
    g_autofree char *title = g_strdup_printf("%s: %s", f.spec->name, stage),
                    *text = mr_row_schema(title, rows);
    fputs(text, stdout);
  } else if (code == MR_EXIT_OK)
    code = no_columns(&f, stage);
  mr_app_unload(&f);
  return code;
}

/* Of pipeline files. */
static int of_files(void)
{
  struct mr_registry *r = mr_app_registry(true);
  struct mr_catalog catalog = mr_registry_catalog(r);
  g_autoptr(GPtrArray) found = mr_registry_list(r), plugins = g_ptr_array_new();
  for (guint i = 0; i < found->len; i++) {
    const struct mr_found *m = g_ptr_array_index(found, i);
    g_autofree char *why = NULL;
    const struct mr_plugin *p = mr_registry_load(r, m->kind, m->name, &why);
    if (p)
      g_ptr_array_add(plugins, (void *)p);
    else
      fprintf(stderr, "millrace: %s\n", why);
  }
  g_autofree char *text = mr_jsonschema(plugins, &catalog);
  fputs(text, stdout);
  mr_registry_free(r);
  return MR_EXIT_OK;
}

int mr_cmd_schema(int argc, char **argv)
{
  GOptionEntry entries[] = {{NULL}};
  const char *file = mr_app_options(&argc, &argv, "[FILE] [STAGE]",
                                    "Prints the JSON Schema of pipeline files, with the plugins "
                                    "found; or of the rows of a stage, as the formats json and "
                                    "jsonl write them.",
                                    entries);
  if (!file)
    return MR_EXIT_USAGE;
  if (argc == 2) {
    fprintf(stderr, "millrace schema: name a stage, too\n");
    return MR_EXIT_USAGE;
  }
  return *file ? of_rows(file, argv[2]) : of_files();
}
