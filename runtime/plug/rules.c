/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "conf/option.h"
#include "conf/suggest.h"
#include "data/types.h"
#include "plug/check-in.h"
#include "plug/plug.h"

/* ---- labels */

/* The first label in a column or inside it that is not masked; NULL: none. Caller frees. */
static char *open_label(const struct ArrowSchema *s)
{
  size_t n = 0;
  const char *label = mr_schema_meta(s, MR_META_CLASS, &n);
  if (mr_schema_meta(s, MR_META_MASKED, &n))
    return NULL;
  if (label && (label = mr_schema_meta(s, MR_META_CLASS, &n)) && n)
    return g_strndup(label, n);
  char *found = NULL;
  for (int64_t i = 0; !found && i < s->n_children; i++)
    found = open_label(s->children[i]);
  return found;
}

static bool is_allowed(const struct mr_stage_spec *st, const char *column)
{
  return st->allow && g_strv_contains((const char *const *)st->allow, column);
}

void mr_rule_labels(struct mr_checked *c, const struct mr_stage_spec *st,
                    const struct ArrowSchema *in)
{
  for (int64_t i = 0; i < in->n_children; i++) {
    const struct ArrowSchema *column = in->children[i];
    g_autofree char *label = open_label(column);
    if (!label || mr_schema_is_system(column) || is_allowed(st, column->name))
      continue;
    g_autofree char *message = g_strdup_printf("column `%s` is labelled %s and reaches this sink "
                                               "unmasked: mask it, drop it, or say `allow: [%s]`",
                                               column->name, label, column->name);
    mr_spec_entry_problem(c->spec, st, "", 0, 0, message, c->problems);
  }
}

/* ---- the column by which rows are followed through the log */

/* What is wrong with it in this stage's rows; NULL: nothing. Caller frees. */
static char *trace_problem(const struct mr_stage_spec *st, const struct ArrowSchema *schema,
                           const char *name, bool *found)
{
  size_t n = 0;
  if (!schema)
    return g_strdup_printf(
        "the columns of `%s` are not known before the run, so that `%s` might be "
        "masked there: declare them",
        st->name, name);
  int64_t i = mr_schema_find(schema, name);
  if (i < 0)
    return NULL;
  const struct ArrowSchema *column = schema->children[i];
  g_autofree char *label = open_label(column);
  *found = true;
  if (label)
    return g_strdup_printf("column `%s` of `%s` is labelled %s: what is hidden is not to stand in "
                           "the log",
                           name, st->name, label);
  if (mr_schema_meta(column, MR_META_MASKED, &n))
    return g_strdup_printf("column `%s` is masked in `%s`: what is hidden is not to stand in the "
                           "log",
                           name, st->name);
  return NULL;
}

void mr_rule_trace(struct mr_checked *c)
{
  const char *name = c->spec->settings.trace_column;
  bool found = false;
  if (!name || c->problems->len) /* a stage with a problem has no columns */
    return;
  g_autofree char *message = NULL;
  for (guint i = 0; !message && i < c->spec->stages->len; i++) {
    const struct mr_stage_spec *st = c->spec->stages->pdata[i];
    message = trace_problem(st, mr_checked_schema(c, st), name, &found);
  }
  if (!message && !found)
    message = g_strdup_printf("no stage has a column `%s`", name);
  if (message)
    mr_spec_setting_problem(c->spec, "trace.column", message, c->problems);
}

static GPtrArray *column_names(const struct ArrowSchema *s)
{
  GPtrArray *names = g_ptr_array_new();
  for (int64_t i = 0; i < s->n_children; i++)
    g_ptr_array_add(names, (char *)s->children[i]->name);
  return names;
}

void mr_rule_allow(struct mr_checked *c, const struct mr_stage_spec *st,
                   const struct ArrowSchema *in)
{
  g_autoptr(GPtrArray) names = column_names(in);
  for (guint i = 0; st->allow && st->allow[i]; i++) {
    const char *name = st->allow[i];
    if (mr_schema_find(in, name) >= 0)
      continue;
    g_autofree char *hint = mr_suggest_text(name, (const char *const *)names->pdata, names->len);
    g_autofree char *message = g_strdup_printf("no column `%s` reaches this sink%s", name, hint),
                    *at = g_strdup_printf("allow.%u", i);
    mr_spec_entry_problem(c->spec, st, at, 0, 0, message, c->problems);
  }
}

/* ---- columns that decide which instance gets a row */

struct partition {
  struct mr_checked *c;
  const struct mr_stage_spec *st;
  const struct ArrowSchema *in;
  bool fine;
};

static void visit_partition(void *out, const struct mr_opt *opt, const char *path, const char *key,
                            void *field)
{
  struct partition *p = out;
  const char *name = opt->type == MR_TEXT ? *(const char **)field : NULL;
  if (!(opt->flags & MR_PARTITION) || !name || mr_schema_find(p->in, name) >= 0)
    return;
  g_autoptr(GPtrArray) names = column_names(p->in);
  g_autofree char *hint = mr_suggest_text(name, (const char *const *)names->pdata, names->len);
  g_autofree char *message = g_strdup_printf("no column `%s`%s", name, hint);
  mr_spec_problem(p->c->spec, p->st, path, 0, 0, message, p->c->problems);
  p->fine = false;
}

bool mr_rule_partition(struct mr_checked *c, const struct mr_stage_spec *st,
                       const struct ArrowSchema *in)
{
  struct partition p = {c, st, in, true};
  mr_option_walk(st->plugin->options, st->plugin->opt_size, st->conf, visit_partition, &p);
  return p.fine;
}

/* ---- groups */

static bool is_member(const struct mr_stage_spec *st)
{
  const struct mr_plugin *p = st->plugin;
  const struct mr_opt *o =
      p && p->source ? mr_option_find(p->options, p->opt_size, "members") : NULL;
  if (!o || o->type != MR_CHOICE || st->broken)
    return false;
  int32_t chosen = *(const int32_t *)((const char *)st->conf + o->offset);
  return chosen >= 0 && !strcmp(o->choices[chosen], "many");
}

/* A source of the stage's that shares its lanes with other processes (its option `members` is
 * `many`); NULL: none. depth: the file may have a cycle. */
static const struct mr_stage_spec *member_above(const struct mr_checked *c,
                                                const struct mr_stage_spec *st, guint depth)
{
  const struct mr_stage_spec *found = is_member(st) ? st : NULL;
  for (char **in = st->input; !found && depth && in && *in; in++) {
    const struct mr_stage_spec *from = mr_spec_stage(c->spec, *in);
    found = from ? member_above(c, from, depth - 1) : NULL;
  }
  return found;
}

static bool is_database(const char *state)
{
  return state && strstr(state, "://");
}

/* Positions of a sink that cannot keep them itself must be where every member finds them, and where
 * one that was deposed is refused. */
void mr_rule_group(struct mr_checked *c, const struct mr_stage_spec *st)
{
  const struct mr_sink *v = st->plugin ? mr_stage_sink(st) : NULL;
  bool alone = v && MR_HAS(v, alone);
  const struct mr_stage_spec *source = v && (alone || v->delivery != MR_TRANSACTIONAL)
                                           ? member_above(c, st, c->spec->stages->len)
                                           : NULL;
  if (source && alone) {
    g_autofree char *why = g_strdup_printf(
        "source `%s` shares its work with other processes (members: many), and `%s` as it is set "
        "here cannot refuse one that was deposed",
        source->name, st->plugin->name);
    mr_spec_entry_problem(c->spec, st, "", 0, 0, why, c->problems);
    return;
  }
  if (!source || is_database(c->spec->settings.state))
    return;
  g_autofree char *message = g_strdup_printf(
      "source `%s` shares its work with other processes (members: many), and `%s` cannot keep "
      "positions in its target: settings.state must be a database that all members share "
      "(postgresql://…)",
      source->name, st->plugin->name);
  mr_spec_entry_problem(c->spec, st, "", 0, 0, message, c->problems);
}

void mr_rule_state(struct mr_checked *c)
{
  const char *state = c->spec->settings.state;
  if (is_database(state) && !g_str_has_prefix(state, "postgres://") &&
      !g_str_has_prefix(state, "postgresql://"))
    mr_problem_add(c->problems, (struct mr_mark_at){0}, "/settings/state",
                   "a folder, or a URL that begins with postgresql://");
}

/* ---- state of transforms */

/* The stage, or one above it, that keeps state from row to row; NULL: none. */
static const struct mr_stage_spec *keeper_above(const struct mr_checked *c,
                                                const struct mr_stage_spec *st, guint depth)
{
  const struct mr_plugin *p = st->plugin;
  const struct mr_stage_spec *found = p && p->transform && MR_HAS(p->transform, save) ? st : NULL;
  for (char **in = st->input; !found && depth && in && *in; in++) {
    const struct mr_stage_spec *from = mr_spec_stage(c->spec, *in);
    found = from ? keeper_above(c, from, depth - 1) : NULL;
  }
  return found;
}

/* Such state is kept with the sink's positions: by the sink where it keeps those itself. */
void mr_rule_saved(struct mr_checked *c, const struct mr_stage_spec *st)
{
  const struct mr_sink *v = st->plugin && !st->broken ? mr_stage_sink(st) : NULL;
  if (!v || v->delivery != MR_TRANSACTIONAL || MR_HAS(v, state_bytes))
    return;
  const struct mr_stage_spec *keeper = keeper_above(c, st, c->spec->stages->len);
  if (!keeper)
    return;
  g_autofree char *message = g_strdup_printf(
      "transform `%s` remembers something from row to row, and `%s` cannot keep that with its "
      "positions",
      keeper->name, st->plugin->name);
  mr_spec_entry_problem(c->spec, st, "", 0, 0, message, c->problems);
}
