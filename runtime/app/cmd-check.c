/* SPDX-License-Identifier: Apache-2.0 */
/* millrace check FILE [--connect] [--print] [--set stage.option=value]… */
#include <stdio.h>
#include <string.h>
#include "app/app.h"
#include "app/connect.h"

static guint count(const struct mr_spec *spec, enum mr_stage_kind kind)
{
  guint n = 0;
  for (guint i = 0; i < spec->stages->len; i++)
    n += ((struct mr_stage_spec *)g_ptr_array_index(spec->stages, i))->kind == kind;
  return n;
}

static void print_values(const struct mr_spec *spec)
{
  GPtrArray *values = mr_spec_values(spec);
  for (guint i = 0; i < values->len; i++) {
    const struct mr_value *v = g_ptr_array_index(values, i);
    g_autofree char *pair = g_strdup_printf("%s = %s", v->path, v->text);
    if (v->line)
      printf("%-60s  # %s, line %d\n", pair, v->origin, v->line);
    else
      printf("%-60s  # %s\n", pair, v->origin);
  }
}

static void print_promises(const struct mr_spec *spec)
{
  for (guint i = 0; i < spec->stages->len; i++) {
    const struct mr_stage_spec *st = g_ptr_array_index(spec->stages, i);
    if (st->kind == MR_STAGE_SINK)
      printf("%s: %s, %s\n", st->name, st->plugin->name, mr_app_promise(st->plugin));
  }
}

/* What is right: one line for the file, what plugins do with which column, what each sink promises.
 */
static void print_fine(const struct mr_app_file *f, const char *file)
{
  guint sources = count(f->spec, MR_STAGE_SOURCE), transforms = count(f->spec, MR_STAGE_TRANSFORM),
        sinks = count(f->spec, MR_STAGE_SINK);
  printf("%s: ok: %u source%s, %u transform%s, %u sink%s\n", file, sources, sources == 1 ? "" : "s",
         transforms, transforms == 1 ? "" : "s", sinks, sinks == 1 ? "" : "s");
  GPtrArray *lines = mr_checked_lines(f->checked);
  for (guint i = 0; i < lines->len; i++) {
    g_autofree char *clean = mr_spec_redact(f->spec, g_ptr_array_index(lines, i));
    puts(clean);
  }
  print_promises(f->spec);
}

int mr_cmd_check(int argc, char **argv)
{
  gboolean connect = FALSE, print = FALSE;
  g_auto(GStrv) sets = NULL;
  GOptionEntry entries[] = {
      {"connect", 0, 0, G_OPTION_ARG_NONE, &connect, "ask every server, each on its own settings",
       NULL},
      {"print", 0, 0, G_OPTION_ARG_NONE, &print, "the values in effect and where each comes from",
       NULL},
      {"set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &sets, "override an option", "STAGE.OPTION=VALUE"},
      {NULL}};
  const char *file =
      mr_app_options(&argc, &argv, "FILE", "Reports every error of a pipeline file.", entries);
  if (!file)
    return MR_EXIT_USAGE;
  struct mr_app_file f;
  int code = mr_app_inspect(&f, file, (const char *const *)sets);
  if (print && f.spec)
    print_values(f.spec);
  if (code == MR_EXIT_OK)
    print_fine(&f, file);
  fflush(stdout);
  int health = connect && f.spec ? mr_connect_all(&f) : MR_EXIT_OK;
  mr_app_unload(&f);
  return MAX(code, health);
}
