/* SPDX-License-Identifier: Apache-2.0 */
/* millrace discover FILE STAGE [TABLE] [--json] */
#include <stdio.h>
#include <string.h>
#include "app/app.h"
#include "plug/host.h"

static int put(void *out, const void *data, size_t len)
{
  g_string_append_len(out, data, (gssize)len);
  return MR_OK;
}

/* The value of a key in one flat JSON object as plugins write them: text without its escapes, or a
 * bare word. Caller frees. */
static char *value_of(const char *line, const char *key)
{
  g_autofree char *name = g_strdup_printf("\"%s\"", key);
  const char *c = strstr(line, name);
  if (!c)
    return g_strdup("");
  c += strlen(name);
  while (*c == ' ' || *c == ':')
    c++;
  if (*c != '"')
    return g_strndup(c, strcspn(c, ",} "));
  const char *end = ++c;
  while (*end && *end != '"')
    end += end[0] == '\\' && end[1] ? 2 : 1;
  g_autofree char *raw = g_strndup(c, (gsize)(end - c));
  return g_strcompress(raw);
}

static void print_table(const char *line)
{
  g_autofree char *table = value_of(line, "table");
  puts(table);
}

static void print_column(const char *line)
{
  g_autofree char *column = value_of(line, "column"), *source = value_of(line, "source_type"),
                  *type = value_of(line, "type");
  g_autofree char *nullable = value_of(line, "nullable");
  printf("%-28s  %-28s  %-20s  %s\n", column, source, type,
         !strcmp(nullable, "true") ? "null" : "not null");
}

static void print_lines(const char *text, bool json, bool columns)
{
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  for (char **line = lines; *line; line++) {
    if (!**line)
      continue;
    if (json)
      puts(*line);
    else if (columns)
      print_column(*line);
    else
      print_table(*line);
  }
}

static int discover(const struct mr_app_file *f, const struct mr_stage_spec *st, const char *table,
                    bool json)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_host host;
  mr_host_init(&host, NULL);
  struct mr_open o = {.size = sizeof o,
                      .instances = 1,
                      .host = &host,
                      .conf = st->conf,
                      .pipeline = f->spec->name,
                      .stage = st->name};
  GString *text = g_string_new(NULL);
  int rc = st->plugin->discover(&o, table, put, text, &err);
  if (rc >= 0)
    print_lines(text->str, json, table != NULL);
  g_string_free(text, TRUE);
  if (rc >= 0)
    return MR_EXIT_OK;
  g_autofree char *clean = mr_spec_redact(f->spec, err.msg);
  fprintf(stderr, "millrace: %s: %s\n", st->name, clean);
  return err.unreachable ? MR_EXIT_UNREACHABLE : rc == MR_BADCONF ? MR_EXIT_USAGE : MR_EXIT_FAILED;
}

static int discover_named(const struct mr_app_file *f, const char *name, const char *table,
                          bool json)
{
  const struct mr_stage_spec *st = mr_spec_stage(f->spec, name);
  if (!st)
    fprintf(stderr, "millrace: the file has no stage `%s`\n", name);
  else if (st->broken || !st->plugin)
    fprintf(stderr, "millrace: stage `%s` has errors\n", name);
  else if (!MR_HAS(st->plugin, discover))
    fprintf(stderr, "millrace: plugin `%s` has nothing to discover\n", st->plugin->name);
  else
    return discover(f, st, table, json);
  return MR_EXIT_USAGE;
}

int mr_cmd_discover(int argc, char **argv)
{
  gboolean json = FALSE;
  g_auto(GStrv) sets = NULL;
  GOptionEntry entries[] = {
      {"json", 0, 0, G_OPTION_ARG_NONE, &json, "a JSON object in each line", NULL},
      {"set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &sets, "override an option", "STAGE.OPTION=VALUE"},
      {NULL}};
  const char *file = mr_app_options(
      &argc, &argv, "FILE STAGE [TABLE]",
      "Lists the tables that a stage's server has, or one table's columns.", entries);
  if (!file)
    return MR_EXIT_USAGE;
  const char *stage = argv[2], *table = argc > 3 ? argv[3] : NULL;
  struct mr_app_file f;
  int code = mr_app_inspect(&f, file, (const char *const *)sets);
  if (f.spec)
    code = discover_named(&f, stage, table, json);
  mr_app_unload(&f);
  return code;
}
