/* SPDX-License-Identifier: Apache-2.0 */
/* millrace graph FILE [--dot] */
#include <stdio.h>
#include <string.h>
#include "app/app.h"

static bool takes_from(const struct mr_stage_spec *st, const char *name)
{
  return st->input && g_strv_contains((const char *const *)st->input, name);
}

static void print_stage(const struct mr_stage_spec *st)
{
  printf("%s (%s)", st->name, st->plugin->name);
  if (st->parallel > 1)
    printf(" x%" G_GINT64_FORMAT, st->parallel);
  if (st->when)
    printf(" when %s", st->when);
  if (st->plugin->sink)
    printf(": %s", mr_app_promise(st->plugin));
}

/* The stage's readers, each under it; a stage with several inputs is drawn in full under the last
 * of them only. */
static void print_readers(const struct mr_spec *spec, const struct mr_stage_spec *from,
                          const char *indent, GHashTable *met);

static bool is_last_visit(const struct mr_stage_spec *st, GHashTable *met)
{
  guint seen = GPOINTER_TO_UINT(g_hash_table_lookup(met, st)) + 1;
  g_hash_table_insert(met, (void *)st, GUINT_TO_POINTER(seen));
  return seen >= g_strv_length(st->input);
}

static void print_readers(const struct mr_spec *spec, const struct mr_stage_spec *from,
                          const char *indent, GHashTable *met)
{
  guint left = 0;
  for (guint i = 0; i < spec->stages->len; i++)
    left += takes_from(g_ptr_array_index(spec->stages, i), from->name);
  for (guint i = 0; i < spec->stages->len; i++) {
    const struct mr_stage_spec *st = g_ptr_array_index(spec->stages, i);
    if (!takes_from(st, from->name))
      continue;
    bool last = --left == 0, whole = is_last_visit(st, met);
    g_autofree char *deeper = g_strdup_printf("%s%s", indent, last ? "   " : "│  ");
    printf("%s%s ", indent, last ? "└─" : "├─");
    if (whole)
      print_stage(st);
    else
      printf("%s (below)", st->name);
    putchar('\n');
    if (whole)
      print_readers(spec, st, deeper, met);
  }
}

static void print_text(const struct mr_spec *spec)
{
  g_autoptr(GHashTable) met = g_hash_table_new(NULL, NULL);
  for (guint i = 0; i < spec->lookups->len; i++) {
    const struct mr_stage_spec *st = g_ptr_array_index(spec->lookups, i);
    printf("lookup %s (%s)\n", st->name, st->plugin->name);
  }
  for (guint i = 0; i < spec->stages->len; i++) {
    const struct mr_stage_spec *st = g_ptr_array_index(spec->stages, i);
    if (st->kind != MR_STAGE_SOURCE)
      continue;
    print_stage(st);
    putchar('\n');
    print_readers(spec, st, "", met);
  }
  if (spec->dead_letter)
    printf("dead letters (%s)\n", spec->dead_letter->plugin->name);
}

static char *quoted(const char *text)
{
  g_autofree char *escaped = g_strescape(text, "\x80\x81\x82\x83\x84\x85\x86\x87");
  return g_strdup_printf("\"%s\"", escaped);
}

static void print_dot(const struct mr_spec *spec)
{
  static const char *const shapes[] = {"", "cds", "box", "cylinder", "folder", "note"};
  printf("digraph \"%s\" {\n  rankdir=LR;\n", spec->name);
  for (guint i = 0; i < spec->stages->len; i++) {
    const struct mr_stage_spec *st = g_ptr_array_index(spec->stages, i);
    g_autofree char *when = st->when ? quoted(st->when) : NULL;
    printf("  %s [shape=%s, label=\"%s\\n%s\"];\n", st->name, shapes[st->kind], st->name,
           st->plugin->name);
    for (char **in = st->input; in && *in; in++)
      printf("  %s -> %s%s%s%s;\n", *in, st->name, when ? " [label=" : "", when ? when : "",
             when ? "]" : "");
  }
  puts("}");
}

int mr_cmd_graph(int argc, char **argv)
{
  gboolean dot = FALSE;
  g_auto(GStrv) sets = NULL;
  GOptionEntry entries[] = {
      {"dot", 0, 0, G_OPTION_ARG_NONE, &dot, "for Graphviz", NULL},
      {"set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &sets, "override an option", "STAGE.OPTION=VALUE"},
      {NULL}};
  const char *file = mr_app_options(&argc, &argv, "FILE", "Draws a pipeline.", entries);
  if (!file)
    return MR_EXIT_USAGE;
  struct mr_app_file f;
  int code = mr_app_inspect(&f, file, (const char *const *)sets);
  if (code == MR_EXIT_OK && dot)
    print_dot(f.spec);
  else if (code == MR_EXIT_OK)
    print_text(f.spec);
  mr_app_unload(&f);
  return code;
}
