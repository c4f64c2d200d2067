/* SPDX-License-Identifier: Apache-2.0 */
/* millrace preview FILE [STAGE] [--rows N] [--system] [--set stage.option=value]… */
#include <stdio.h>
#include <string.h>
#include "app/app.h"
#include "app/rows.h"
#include "conf/option.h"
#include "engine/dry.h"

#define ROWS 10
#define MAX_ROWS 100000
#define PATIENCE_US 5000000
#define CELL_WIDTH 40
#define REJECTS_SHOWN 20

struct preview {
  const struct mr_spec *spec;
  const struct mr_stage_spec *stage;
  struct mr_rows rows;
  int64_t max, rejects;
  GString *rejected; /* lines */
  struct mr_error err;
};

static void on_rows(void *ctx, const struct mr_stage_spec *stage, const struct mr_batch *b)
{
  struct preview *v = ctx;
  if (stage == v->stage)
    mr_rows_add(&v->rows, b->schema, &b->rows, v->max - v->rows.rows->len, &v->err);
}

static void on_reject(void *ctx, const struct mr_dry_reject *r)
{
  struct preview *v = ctx;
  if (v->rejects++ >= REJECTS_SHOWN)
    return;
  g_string_append_printf(v->rejected, "  %s: %s: %s%s%s\n", r->stage->name, r->code,
                         r->message ? r->message : "", r->row ? ": " : "", r->row ? r->row : "");
}

static void on_log(void *ctx, int level, const char *stage, const char *text)
{
  struct preview *v = ctx;
  g_autofree char *safe = mr_spec_redact(v->spec, text);
  if (level >= MR_WARN)
    fprintf(stderr, "millrace: %s%s%s\n", stage ? stage : "", stage ? ": " : "", safe);
}

/* A source that would join a group (`members: many`) reads alone instead: joining would take
 * partitions away from the pipeline that runs. */
static void stay_outside(const struct mr_spec *spec)
{
  for (guint i = 0; i < spec->stages->len; i++) {
    const struct mr_stage_spec *st = g_ptr_array_index(spec->stages, i);
    const struct mr_plugin *p = st->plugin;
    const struct mr_opt *o = p->source ? mr_option_find(p->options, p->opt_size, "members") : NULL;
    for (int32_t k = 0; o && o->type == MR_CHOICE && o->choices[k]; k++)
      if (!strcmp(o->choices[k], "one"))
        memcpy((char *)st->conf + o->offset, &k, sizeof k);
  }
}

/* The stage that gives what the sinks take: the input of the first sink. */
static const struct mr_stage_spec *last_stage(const struct mr_spec *spec)
{
  const struct mr_stage_spec *last = NULL;
  for (guint i = 0; i < spec->stages->len; i++) {
    const struct mr_stage_spec *st = g_ptr_array_index(spec->stages, i);
    if (st->kind == MR_STAGE_SINK && st->input && st->input[0])
      return mr_spec_stage(spec, st->input[0]);
    last = st;
  }
  return last;
}

static const struct mr_stage_spec *named_stage(const struct mr_spec *spec, const char *name)
{
  const struct mr_stage_spec *st = name ? mr_spec_stage(spec, name) : last_stage(spec);
  bool flows = st && (st->kind == MR_STAGE_SOURCE || st->kind == MR_STAGE_TRANSFORM ||
                      st->kind == MR_STAGE_SINK);
  if (!st)
    fprintf(stderr, "millrace: the file has no stage `%s`\n", name);
  else if (!flows)
    fprintf(stderr, "millrace: no rows flow out of `%s`\n", name);
  return flows ? st : NULL;
}

static int failed(const struct preview *v, int status, const struct mr_error *err)
{
  g_autofree char *safe = mr_spec_redact(v->spec, err->msg);
  fprintf(stderr, "millrace: %s\n", safe);
  return err->unreachable       ? MR_EXIT_UNREACHABLE
         : status == MR_BADCONF ? MR_EXIT_USAGE
                                : MR_EXIT_FAILED;
}

/* Reads until there are enough rows, the sources have ended, or nothing has come for a while.
 * *ret_late: the latter. */
static int read_rows(struct preview *v, struct mr_dry *d, bool *ret_late, struct mr_error *err)
{
  int64_t since = g_get_monotonic_time();
  while (v->rows.rows->len < v->max && !v->err.msg[0]) {
    guint before = v->rows.rows->len;
    mr_error_clear(err);
    int st = mr_dry_read(d, v->max - before, 100, err);
    if (st == MR_END)
      return MR_OK;
    if (st < 0)
      return st;
    if (v->rows.rows->len > before)
      since = g_get_monotonic_time();
    *ret_late = g_get_monotonic_time() - since > PATIENCE_US;
    if (*ret_late)
      return MR_OK;
  }
  return MR_OK;
}

static void print_rejects(const struct preview *v)
{
  if (!v->rejects)
    return;
  g_autofree char *safe = mr_spec_redact(v->spec, v->rejected->str);
  printf("\nrejected: %" G_GINT64_FORMAT "\n%s", v->rejects, safe);
  if (v->rejects > REJECTS_SHOWN)
    printf("  … and %" G_GINT64_FORMAT " more\n", v->rejects - REJECTS_SHOWN);
}

static void print_rows(const struct preview *v, bool system, bool late, const char *why)
{
  guint n = v->rows.rows->len;
  if (n)
    mr_rows_print(stdout, &v->rows, system, CELL_WIDTH);
  else
    printf("%s: no rows%s\n", v->stage->name, late ? " within 5 s" : " before the sources ended");
  print_rejects(v);
  fflush(stdout);
  if (late && *why) {
    g_autofree char *safe = mr_spec_redact(v->spec, why);
    fprintf(stderr, "millrace: %s\n", safe);
  } else if (late && n)
    fprintf(stderr, "millrace: %u of %" G_GINT64_FORMAT " rows; no more within 5 s\n", n, v->max);
}

static int preview(struct preview *v, struct mr_spec *spec, bool system)
{
  struct mr_error err = MR_ERROR_INIT;
  bool late = false;
  struct mr_dry_options o = {.upto = v->stage->name,
                             .read = true,
                             .wants = mr_check_wants,
                             .log = on_log,
                             .rows = on_rows,
                             .reject = on_reject,
                             .ctx = v};
  struct mr_dry *d = mr_dry_new(spec, &o, &err);
  if (!d)
    return failed(v, MR_BADCONF, &err);
  int st = mr_dry_start(d, &err);
  if (st >= 0)
    st = read_rows(v, d, &late, &err);
  int code = st < 0            ? failed(v, st, &err)
             : v->err.msg[0]   ? failed(v, MR_FATAL, &v->err)
             : err.unreachable ? MR_EXIT_UNREACHABLE
                               : MR_EXIT_OK;
  if (st >= 0)
    print_rows(v, system, late, err.msg);
  mr_dry_free(d);
  return code;
}

static int preview_file(struct mr_spec *spec, const char *name, int64_t rows, bool system)
{
  struct preview v = {.spec = spec, .max = rows, .err = MR_ERROR_INIT};
  v.stage = named_stage(spec, name);
  if (!v.stage)
    return MR_EXIT_USAGE;
  stay_outside(spec);
  mr_rows_init(&v.rows);
  v.rejected = g_string_new(NULL);
  int code = preview(&v, spec, system);
  mr_rows_finish_all(&v.rows);
  g_string_free(v.rejected, TRUE);
  return code;
}

int mr_cmd_preview(int argc, char **argv)
{
  gint64 rows = ROWS;
  gboolean system = FALSE;
  g_auto(GStrv) sets = NULL;
  GOptionEntry entries[] = {
      {"rows", 'n', 0, G_OPTION_ARG_INT64, &rows, "how many rows (10)", "N"},
      {"system", 0, 0, G_OPTION_ARG_NONE, &system, "show system columns (_op, _timestamp …) too",
       NULL},
      {"set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &sets, "override an option", "STAGE.OPTION=VALUE"},
      {NULL}};
  const char *file = mr_app_options(&argc, &argv, "FILE [STAGE]",
                                    "Shows the first rows after a stage (or, of a sink, the rows "
                                    "that it would get). Nothing is written.",
                                    entries);
  if (!file)
    return MR_EXIT_USAGE;
  if (rows < 1 || rows > MAX_ROWS) {
    fprintf(stderr, "millrace: --rows takes 1 to %d\n", MAX_ROWS);
    return MR_EXIT_USAGE;
  }
  const char *stage = argc > 2 ? argv[2] : NULL;
  struct mr_app_file f;
  int code = mr_app_load(&f, file, (const char *const *)sets);
  if (code == MR_EXIT_OK)
    code = preview_file(f.spec, stage, rows, system);
  mr_app_unload(&f);
  return code;
}
