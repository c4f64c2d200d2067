/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over columns and types: the plugins' own open and schema, in the order in which rows
 * flow. */
#include "plug/check-in.h"
#include <stdio.h>
#include <string.h>
#include "conf/option.h"
#include "data/types.h"
#include "expr/expr.h"
#include "plug/descriptor.h"
#include "plug/host.h"
#include "plug/plug.h"

#define RETRIES 64 /* expressions of one stage that are reported in a run */

struct visit { /* ctx of the host while one stage is open */
  struct mr_checked *c;
  const struct mr_stage_spec *st;
};

static void known_free(void *p)
{
  struct known *k = p;
  mr_schema_release(k->schema);
  g_free(k->schema);
  g_free(k);
}

static void remember(struct mr_checked *c, const struct mr_stage_spec *st, struct ArrowSchema *take)
{
  struct known *k = g_new0(struct known, 1);
  k->schema = take;
  g_hash_table_insert(c->known, (void *)st, k);
}

const struct ArrowSchema *mr_checked_schema(const struct mr_checked *c,
                                            const struct mr_stage_spec *st)
{
  const struct known *k = g_hash_table_lookup(c->known, st);
  return k ? k->schema : NULL;
}

GPtrArray *mr_checked_lines(const struct mr_checked *c)
{
  return c->lines;
}

static struct ArrowSchema *copy_of(const struct ArrowSchema *s)
{
  struct ArrowSchema *copy = g_new0(struct ArrowSchema, 1);
  if (!mr_schema_copy(s, copy))
    g_error("out of memory");
  return copy;
}

/* ---- errors and where they stand */

/* "3:14: no column": line and column inside the expression; *ret_message is what follows. */
static void split_place(const char *message, int *ret_line, int *ret_column,
                        const char **ret_message)
{
  int line = 0, column = 0, n = 0;
  *ret_line = *ret_column = 0;
  *ret_message = message;
  if (sscanf(message, "%d:%d: %n", &line, &column, &n) != 2 || !n)
    return;
  *ret_line = line;
  *ret_column = column;
  *ret_message = message + n;
}

static void report(struct mr_checked *c, const struct mr_stage_spec *st, const struct mr_error *err)
{
  int line, column;
  const char *message;
  split_place(err->msg, &line, &column, &message);
  mr_spec_problem(c->spec, st, err->option, line, column,
                  message[0] ? message : "the plugin refuses this and does not say why",
                  c->problems);
}

/* ---- opening one stage */

static int check_lookup(void *ctx, const char *name, const struct ArrowSchema *keys,
                        struct mr_lookup **ret, struct ArrowSchema *give_row, struct mr_error *err)
{
  struct visit *v = ctx;
  const struct mr_stage_spec *lookup = mr_spec_stage(v->c->spec, name);
  const struct ArrowSchema *row = lookup ? mr_checked_schema(v->c, lookup) : NULL;
  if (!row)
    return MR_IDLE;
  int rc = mr_lookup_match(keys, row, name, err);
  if (rc < 0)
    return rc;
  if (!mr_schema_copy(row, give_row))
    return mr_fail(err, MR_FATAL, "out of memory");
  *ret = ctx; /* never asked */
  return MR_OK;
}

static void open_init(struct visit *v, struct mr_host *host, struct mr_open *o,
                      const struct ArrowSchema *in)
{
  mr_host_init(host, v);
  host->lookup = check_lookup;
  *o = (struct mr_open){.size = sizeof *o,
                        .instances = (uint32_t)MAX(v->st->parallel, 1),
                        .host = host,
                        .conf = v->st->conf,
                        .in = in,
                        .pipeline = v->c->spec->name,
                        .stage = v->st->name};
}

static mr_open_fn *open_of(const struct mr_plugin *p, const void *conf)
{
  return p->source      ? p->source->open
         : p->transform ? p->transform->open
                        : mr_plugin_sink(p, conf)->open;
}

static void close_it(const struct mr_plugin *p, const void *conf, void *self)
{
  if (p->source)
    p->source->close(self);
  else if (p->transform)
    p->transform->close(self);
  else
    mr_plugin_sink(p, conf)->close(self);
}

static int schema_of(const struct mr_plugin *p, void *self, struct ArrowSchema *give,
                     struct mr_error *err)
{
  return p->source ? p->source->schema(self, give, err) : p->transform->schema(self, give, err);
}

/* open, schema, close. *ret_schema: the columns it gives, or NULL. */
static int try_open(const struct mr_plugin *p, const struct mr_open *o,
                    struct ArrowSchema **ret_schema, struct mr_error *err)
{
  struct ArrowSchema give = {0};
  void *self = NULL;
  mr_error_clear(err);
  g_autofree char *wrong = p->sink ? mr_descriptor_sink(mr_plugin_sink(p, o->conf)) : NULL;
  if (wrong)
    return mr_fail(err, MR_FATAL, "plugin `%s` is broken: %s", p->name, wrong);
  int rc = open_of(p, o->conf)(o, &self, err);
  if (rc < 0)
    return rc;
  if (!p->sink)
    rc = schema_of(p, self, &give, err);
  if (rc == MR_OK && !p->sink && give.release) {
    *ret_schema = g_memdup2(&give, sizeof give);
    give.release = NULL;
  }
  close_it(p, o->conf, self);
  return rc;
}

/* ---- several wrong expressions in one stage
 *
 * open() reports one mistake. An expression that it refuses is replaced by one that is right, and
 * open is asked again; in the end every expression has its own text back. */

struct patch {
  const char *path;
  const char **field;
};

static void find_expr(void *out, const struct mr_opt *opt, const char *path, const char *key,
                      void *field)
{
  struct patch *p = out;
  if (opt->type == MR_EXPR && !strcmp(path, p->path))
    p->field = field;
}

static const char **expr_field(const struct mr_stage_spec *st, const char *path)
{
  struct patch p = {.path = path};
  mr_option_walk(st->plugin->options, st->plugin->opt_size, st->conf, find_expr, &p);
  return p.field;
}

struct undo {
  const char **field, *text;
};

static bool patch_out(const struct mr_stage_spec *st, const char *path, GArray *undo)
{
  static const char *const right = "CAST(NULL AS bool)";
  const char **field = path[0] ? expr_field(st, path) : NULL;
  if (!field || undo->len >= RETRIES)
    return false;
  struct undo u = {field, *field};
  g_array_append_val(undo, u);
  *field = right;
  return true;
}

static bool is_patched(const GArray *undo, const struct mr_stage_spec *st, const char *path)
{
  const char **field = path[0] ? expr_field(st, path) : NULL;
  for (guint i = 0; i < undo->len; i++)
    if (g_array_index(undo, struct undo, i).field == field)
      return true;
  return false;
}

/* Opens until no new mistake is found; true: there was none. */
static bool open_all(struct mr_checked *c, const struct mr_stage_spec *st, const struct mr_open *o,
                     struct ArrowSchema **ret_schema)
{
  g_autoptr(GArray) undo = g_array_new(FALSE, FALSE, sizeof(struct undo));
  struct mr_error err;
  int rc = try_open(st->plugin, o, ret_schema, &err);
  bool fine = rc >= 0;
  while (rc < 0 && !is_patched(undo, st, err.option)) {
    struct ArrowSchema *unused = NULL;
    report(c, st, &err);
    if (!patch_out(st, err.option, undo))
      break;
    rc = try_open(st->plugin, o, &unused, &err);
    mr_schema_release(unused);
    g_free(unused);
  }
  for (guint i = undo->len; i > 0; i--) {
    struct undo *u = &g_array_index(undo, struct undo, i - 1);
    *u->field = u->text;
  }
  return fine;
}

static int put_line(void *out, const void *data, size_t len)
{
  g_string_append_len(out, data, (gssize)len);
  if (len && ((const char *)data)[len - 1] != '\n')
    g_string_append_c(out, '\n');
  return MR_OK;
}

static void explain(struct mr_checked *c, const struct mr_stage_spec *st, const struct mr_open *o)
{
  struct mr_error err = MR_ERROR_INIT;
  if (!MR_HAS(st->plugin, explain))
    return;
  GString *text = g_string_new(NULL);
  if (st->plugin->explain(o, put_line, text, &err) >= 0) {
    g_auto(GStrv) lines = g_strsplit(text->str, "\n", -1);
    for (char **line = lines; *line; line++)
      if (**line)
        g_ptr_array_add(c->lines, g_strdup_printf("%s: %s", st->name, *line));
  }
  g_string_free(text, TRUE);
}

static struct ArrowSchema *open_stage(struct mr_checked *c, const struct mr_stage_spec *st,
                                      const struct ArrowSchema *in)
{
  struct visit v = {c, st};
  struct ArrowSchema *schema = NULL;
  struct mr_host host;
  struct mr_open o;
  g_auto(GStrv) want = NULL;
  open_init(&v, &host, &o, in);
  if (st->plugin->source)
    want = mr_check_wants(c->spec, st);
  if (want)
    o.want = (struct mr_list){.item = want, .n = g_strv_length(want)};
  if (open_all(c, st, &o, &schema))
    explain(c, st, &o);
  return schema;
}

/* ---- inputs */

char *mr_check_difference(const char *a_name, const struct ArrowSchema *a, const char *b_name,
                          const struct ArrowSchema *b)
{
  int64_t i = 0;
  char x[128], y[128];
  mr_schema_equal(a, b, &i);
  const struct ArrowSchema *p = i < a->n_children ? a->children[i] : NULL,
                           *q = i < b->n_children ? b->children[i] : NULL;
  if (p && q && !strcmp(p->name, q->name))
    return g_strdup_printf("the inputs differ: column `%s` is %s in `%s` and %s in `%s`", p->name,
                           mr_type_name(p, x, sizeof x), a_name, mr_type_name(q, y, sizeof y),
                           b_name);
  if (p && q)
    return g_strdup_printf("the inputs differ: column %d is `%s` in `%s` and `%s` in `%s`",
                           (int)i + 1, p->name, a_name, q->name, b_name);
  return g_strdup_printf("the inputs differ: `%s` has a column `%s` and `%s` has not",
                         p ? a_name : b_name,
                         p   ? p->name
                         : q ? q->name
                             : "",
                         p ? b_name : a_name);
}

static void report_merge(struct mr_checked *c, const struct mr_stage_spec *st, const char *a_name,
                         const struct ArrowSchema *a, const char *b_name,
                         const struct ArrowSchema *b)
{
  g_autofree char *message = mr_check_difference(a_name, a, b_name, b);
  mr_spec_entry_problem(c->spec, st, "input", 0, 0, message, c->problems);
}

/* The columns that all inputs give; NULL: one is not known, or they differ. Lent. */
static const struct ArrowSchema *input_of(struct mr_checked *c, const struct mr_stage_spec *st)
{
  const struct ArrowSchema *first = NULL;
  const char *first_name = NULL;
  bool whole = st->input && st->input[0];
  for (char **in = st->input; in && *in; in++) {
    const struct mr_stage_spec *from = mr_spec_stage(c->spec, *in);
    const struct ArrowSchema *s = from ? mr_checked_schema(c, from) : NULL;
    if (!s) {
      whole = false;
    } else if (!first) {
      first = s;
      first_name = *in;
    } else if (!mr_schema_equal(first, s, NULL)) {
      report_merge(c, st, first_name, first, *in, s);
      return NULL;
    }
  }
  return whole ? first : NULL;
}

static void check_when(struct mr_checked *c, const struct mr_stage_spec *st,
                       const struct ArrowSchema *in)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema type = {0};
  struct mr_expr *expr = NULL;
  const char *message;
  char name[128];
  int line = 0, column = 0;
  if (!st->when || !strcmp(st->when, "otherwise"))
    return;
  int rc = in ? mr_expr_new(st->when, in, &expr, &type, &err) : mr_expr_check_text(st->when, &err);
  if (rc < 0) {
    split_place(err.msg, &line, &column, &message);
    mr_spec_entry_problem(c->spec, st, "when", line, column, message, c->problems);
  } else if (in && mr_kind_of(&type) != MR_K_BOOL) {
    g_autofree char *text =
        g_strdup_printf("`when` is %s, not bool", mr_type_name(&type, name, sizeof name));
    mr_spec_entry_problem(c->spec, st, "when", 1, 1, text, c->problems);
  }
  mr_expr_free(expr);
  mr_schema_release(&type);
}

/* ---- expressions of a stage whose input is not known */

static void visit_text(void *out, const struct mr_opt *opt, const char *path, const char *key,
                       void *field)
{
  struct visit *v = out;
  struct mr_error err = MR_ERROR_INIT;
  const char *text = opt->type == MR_EXPR ? *(const char **)field : NULL, *message;
  int line, column;
  if (!text || mr_expr_check_text(text, &err) >= 0)
    return;
  split_place(err.msg, &line, &column, &message);
  mr_spec_problem(v->c->spec, v->st, path, line, column, message, v->c->problems);
}

static void check_texts(struct mr_checked *c, const struct mr_stage_spec *st)
{
  struct visit v = {c, st};
  mr_option_walk(st->plugin->options, st->plugin->opt_size, st->conf, visit_text, &v);
}

/* ---- the walk */

/* Rows that change others reach only what knows them. */
static bool check_takes(struct mr_checked *c, const struct mr_stage_spec *st, int status,
                        const struct mr_error *err)
{
  if (status < 0)
    mr_spec_entry_problem(c->spec, st, "", 0, 0, err->msg, c->problems);
  return status >= 0;
}

static void check_time(struct mr_checked *c, const struct mr_stage_spec *st,
                       const struct ArrowSchema *schema)
{
  if (!st->time_column || !schema)
    return;
  const struct ArrowSchema *column = NULL;
  char name[128];
  for (int64_t i = 0; i < schema->n_children; i++)
    if (!strcmp(schema->children[i]->name, st->time_column))
      column = schema->children[i];
  g_autofree char *message = NULL;
  if (!column)
    message = g_strdup_printf("the source has no column `%s`", st->time_column);
  else if (mr_kind_of(column) != MR_K_TIMESTAMP)
    message = g_strdup_printf("column `%s` is %s, not a timestamp", column->name,
                              mr_type_name(column, name, sizeof name));
  if (message)
    mr_spec_entry_problem(c->spec, st, "time.column", 0, 0, message, c->problems);
}

static void check_source(struct mr_checked *c, const struct mr_stage_spec *st)
{
  if (st->broken)
    return;
  struct ArrowSchema *schema = open_stage(c, st, NULL);
  struct mr_error err = MR_ERROR_INIT;
  check_time(c, st, schema);
  if (st->kind == MR_STAGE_LOOKUP && schema)
    check_takes(c, st, mr_lookup_takes(schema, &err), &err);
  remember(c, st, schema);
}

static void check_stage(struct mr_checked *c, const struct mr_stage_spec *st)
{
  if (st->kind == MR_STAGE_SOURCE) {
    check_source(c, st);
    return;
  }
  const struct ArrowSchema *in = input_of(c, st);
  if (st->kind == MR_STAGE_SINK)
    mr_rule_group(c, st);
  if (st->kind == MR_STAGE_SINK)
    mr_rule_saved(c, st);
  check_when(c, st, in);
  if (st->kind == MR_STAGE_SINK && in)
    mr_rule_allow(c, st, in);
  if (st->kind == MR_STAGE_SINK && in)
    mr_rule_labels(c, st, in);
  if (!st->broken && !in)
    check_texts(c, st);
  if (st->broken || !in || !mr_rule_partition(c, st, in))
    return;
  struct mr_error err = MR_ERROR_INIT;
  if (!check_takes(c, st, mr_plugin_takes(st->plugin, in, &err), &err))
    return;
  struct ArrowSchema *out = open_stage(c, st, in);
  remember(c, st, st->kind == MR_STAGE_SINK ? copy_of(in) : out);
}

struct mr_checked *mr_checked_new(const struct mr_spec *spec, GPtrArray *problems)
{
  struct mr_checked *c = g_new0(struct mr_checked, 1);
  g_autoptr(GPtrArray) order = mr_spec_order(spec);
  c->spec = spec;
  c->problems = problems;
  c->known = g_hash_table_new_full(NULL, NULL, NULL, known_free);
  c->lines = g_ptr_array_new_with_free_func(g_free);
  mr_rule_state(c);
  for (guint i = 0; i < spec->lookups->len; i++)
    check_source(c, g_ptr_array_index(spec->lookups, i));
  for (guint i = 0; i < order->len; i++)
    check_stage(c, g_ptr_array_index(order, i));
  mr_rule_trace(c);
  return c;
}

void mr_checked_free(struct mr_checked *c)
{
  if (!c)
    return;
  g_hash_table_unref(c->known);
  g_ptr_array_unref(c->lines);
  g_free(c);
}
