/* SPDX-License-Identifier: Apache-2.0 */
/* Which system columns are wanted: found by name, before any type is known. */
#include <string.h>
#include "conf/option.h"
#include "expr/expr.h"
#include "plug/check.h"

/* `_set` is not among them: what makes partial rows makes it unasked. */
static const char *const system_columns[] = {"_op",      "_key",       "_topic",   "_partition",
                                             "_offset",  "_timestamp", "_ttl",     "_expires",
                                             "_headers", "_position",  "_element", "_original"};
#define N_SYSTEM G_N_ELEMENTS(system_columns)

struct wants {
  bool wanted[N_SYSTEM], made[N_SYSTEM];
  bool asks;   /* the stage asks a lookup: its keyed values name the lookup's columns */
  bool lookup; /* collecting for a lookup */
};

static int system_index(const char *name)
{
  for (size_t i = 0; i < N_SYSTEM; i++)
    if (!g_ascii_strcasecmp(name, system_columns[i]))
      return (int)i;
  return -1;
}

static void mention(void *out, const char *name)
{
  struct wants *w = out;
  int i = system_index(name);
  if (i >= 0 && !w->made[i])
    w->wanted[i] = true;
}

static void mention_expr(struct wants *w, const char *text)
{
  struct mr_error err = MR_ERROR_INIT;
  mr_expr_names(text, mention, w,
                &err); /* a syntax error is reported where the expression is compiled */
}

static void visit_option(void *out, const struct mr_opt *opt, const char *path, const char *key,
                         void *field)
{
  struct wants *w = out;
  const char *text = opt->type == MR_TEXT || opt->type == MR_EXPR ? *(const char **)field : NULL;
  bool of_lookup = w->asks && key && opt->type == MR_TEXT;
  if (text && w->lookup == of_lookup && opt->type == MR_TEXT)
    mention(w, text);
  if (w->lookup)
    return;
  if (text && opt->type == MR_EXPR)
    mention_expr(w, text);
  if (key && opt->type != MR_EXPR)
    mention(w, key);
}

/* A keyed expression makes the column that its key names. */
static void visit_made(void *out, const struct mr_opt *opt, const char *path, const char *key,
                       void *field)
{
  struct wants *w = out;
  int i = key && opt->type == MR_EXPR ? system_index(key) : -1;
  if (i >= 0)
    w->made[i] = true;
}

static void visit_asks(void *out, const struct mr_opt *opt, const char *path, const char *key,
                       void *field)
{
  if (opt->type == MR_LOOKUP && *(const char **)field)
    g_ptr_array_add(out, *(char **)field);
}

/* A source that is told how to read a tombstone's key makes deletes: upserting sinks need `_op`. */
static void visit_tombstones(void *out, const struct mr_opt *opt, const char *path, const char *key,
                             void *field)
{
  if (!strcmp(opt->name, "key_columns"))
    mention(out, "_op");
}

static void visit(const struct mr_stage_spec *st, mr_option_visit_fn *fn, void *out)
{
  if (st->plugin && st->conf)
    mr_option_walk(st->plugin->options, st->plugin->opt_size, st->conf, fn, out);
}

static void mention_stage(struct wants *w, const struct mr_stage_spec *st)
{
  g_autoptr(GPtrArray) asked = g_ptr_array_new();
  if (st->when && strcmp(st->when, "otherwise"))
    mention_expr(w, st->when);
  visit(st, visit_asks, asked);
  w->asks = asked->len > 0;
  visit(st, visit_option, w);
  w->asks = false;
  if (st->kind == MR_STAGE_TRANSFORM)
    visit(st, visit_made, w);
}

/* ---- the graph */

static bool has_input(const struct mr_stage_spec *st, const GHashTable *group)
{
  for (char **in = st->input; in && *in; in++)
    if (g_hash_table_contains((GHashTable *)group, *in))
      return true;
  return false;
}

/* Adds what is downstream of the group, and every source upstream of that, until nothing is new:
 * sources that meet make the same system columns, else their rows would differ. */
static bool grow(const struct mr_spec *spec, GHashTable *group)
{
  guint before = g_hash_table_size(group);
  for (guint i = 0; i < spec->stages->len; i++) {
    struct mr_stage_spec *st = g_ptr_array_index(spec->stages, i);
    if (has_input(st, group))
      g_hash_table_add(group, st->name);
    bool inside = g_hash_table_contains(group, st->name);
    for (char **in = st->input; inside && in && *in; in++)
      g_hash_table_add(group, *in);
  }
  return g_hash_table_size(group) > before;
}

static void want_letters(struct wants *w, const struct mr_spec *spec)
{
  if (!spec->dead_letter)
    return;
  mention(w, "_position");
  mention(w, "_element");
  if (spec->originals != MR_ORIGINALS_DROP)
    mention(w, "_original");
  mention_stage(w, spec->dead_letter);
}

static void want_rows(struct wants *w, const struct mr_spec *spec,
                      const struct mr_stage_spec *source)
{
  g_autoptr(GHashTable) group = g_hash_table_new(g_str_hash, g_str_equal);
  g_autoptr(GPtrArray) order = mr_spec_order(spec);
  g_hash_table_add(group, source->name);
  while (grow(spec, group)) {}
  want_letters(w, spec);
  for (guint i = 0; i < order->len; i++) {
    const struct mr_stage_spec *st = g_ptr_array_index(order, i);
    if (!g_hash_table_contains(group, st->name))
      continue;
    if (st->kind == MR_STAGE_SOURCE && st->time_column)
      mention(w, st->time_column);
    if (st->kind == MR_STAGE_SOURCE)
      visit(st, visit_tombstones, w);
    if (st->kind != MR_STAGE_SOURCE)
      mention_stage(w, st);
  }
}

static void want_lookup(struct wants *w, const struct mr_spec *spec,
                        const struct mr_stage_spec *lookup)
{
  w->lookup = true;
  for (guint i = 0; i < spec->stages->len; i++) {
    const struct mr_stage_spec *st = g_ptr_array_index(spec->stages, i);
    g_autoptr(GPtrArray) asked = g_ptr_array_new();
    visit(st, visit_asks, asked);
    bool mine = false;
    for (guint k = 0; k < asked->len; k++)
      mine |= !strcmp(g_ptr_array_index(asked, k), lookup->name);
    w->asks = true;
    if (mine)
      visit(st, visit_option, w);
  }
}

char **mr_check_wants(const struct mr_spec *spec, const struct mr_stage_spec *source)
{
  struct wants w = {0};
  if (source->kind == MR_STAGE_LOOKUP)
    want_lookup(&w, spec, source);
  else
    want_rows(&w, spec, source);
  GPtrArray *names = g_ptr_array_new();
  for (size_t i = 0; i < N_SYSTEM; i++)
    if (w.wanted[i])
      g_ptr_array_add(names, g_strdup(system_columns[i]));
  g_ptr_array_add(names, NULL);
  return (char **)g_ptr_array_free(names, FALSE);
}
