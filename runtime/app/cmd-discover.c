/* SPDX-License-Identifier: Apache-2.0 */
/* millrace discover FILE STAGE [TABLE] [--json] [--ddl] */
#include <stdio.h>
#include <string.h>
#include "app/app.h"
#include "data/types.h"
#include "millrace/build.h"
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

/* ---- --ddl */

/* The types, a line each, as comments; then the statement. */
static void print_ddl(const struct ArrowSchema *in, const char *text)
{
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  char **line = lines, name[128];
  for (int64_t i = 0; i < in->n_children && *line; i++) {
    const struct ArrowSchema *c = in->children[i];
    if (mr_schema_is_system(c))
      continue;
    g_autofree char *column = g_strdelimit(g_strdup(c->name), "\n\r", ' ');
    printf("-- %s: %s -> %s\n", column, mr_type_name(c, name, sizeof name), *line++);
  }
  g_autofree char *statement = *line ? g_strstrip(g_strjoinv("\n", line)) : g_strdup("");
  if (*statement)
    printf("%s%s\n", statement, *statement == '{' ? "" : ";"); /* Avro's schema is JSON */
}

static int ddl(const struct mr_app_file *f, const struct mr_stage_spec *st,
               const struct ArrowSchema *in)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_host host;
  mr_host_init(&host, NULL);
  struct mr_open o = {.size = sizeof o,
                      .instances = 1,
                      .host = &host,
                      .conf = st->conf,
                      .in = in,
                      .pipeline = f->spec->name,
                      .stage = st->name};
  g_autoptr(GString) text = g_string_new(NULL);
  int rc = st->plugin->ddl(&o, put, text, &err);
  if (rc >= 0) {
    print_ddl(in, text->str);
    return MR_EXIT_OK;
  }
  g_autofree char *clean = mr_spec_redact(f->spec, err.msg);
  fprintf(stderr, "millrace: %s: %s\n", st->name, clean);
  return MR_EXIT_USAGE;
}

static int ddl_named(const struct mr_app_file *f, const char *name)
{
  const struct mr_stage_spec *st = mr_spec_stage(f->spec, name);
  const struct ArrowSchema *in = st && st->plugin ? mr_checked_schema(f->checked, st) : NULL;
  if (!st)
    fprintf(stderr, "millrace: the file has no stage `%s`\n", name);
  else if (st->broken || !st->plugin)
    fprintf(stderr, "millrace: stage `%s` has errors\n", name);
  else if (!MR_HAS(st->plugin, ddl))
    fprintf(stderr, "millrace: plugin `%s` makes no table that could be shown\n", st->plugin->name);
  else if (!in)
    fprintf(stderr,
            "millrace: the columns that reach `%s` are not known before the run: declare `columns` "
            "at the source\n",
            name);
  else
    return ddl(f, st, in);
  return MR_EXIT_USAGE;
}

int mr_cmd_discover(int argc, char **argv)
{
  gboolean json = FALSE, table_ddl = FALSE;
  g_auto(GStrv) sets = NULL;
  GOptionEntry entries[] = {
      {"json", 0, 0, G_OPTION_ARG_NONE, &json, "a JSON object in each line", NULL},
      {"ddl", 0, 0, G_OPTION_ARG_NONE, &table_ddl,
       "the CREATE TABLE that a sink would make; no server is asked", NULL},
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
  if (f.spec && table_ddl)
    code = ddl_named(&f, stage);
  else if (f.spec)
    code = discover_named(&f, stage, table, json);
  mr_app_unload(&f);
  return code;
}
