/* SPDX-License-Identifier: Apache-2.0 */
/* The stages that a group of letters goes through: from the source (or the stage that refused
 * them), by way of that stage, to one sink. Paths around the stage are left out: there, the row was
 * not refused. */
#include <string.h>
#include "engine/replay.h"

bool mr_replay_leads(const struct mr_spec *spec, const char *from, const char *to)
{
  const struct mr_stage_spec *st = mr_spec_stage(spec, to);
  if (!strcmp(from, to))
    return true;
  for (char **in = st ? st->input : NULL; in && *in; in++)
    if (mr_replay_leads(spec, from, *in))
      return true;
  return false;
}

/* Does the group pass through this stage? The letters' own source aside. */
static bool passes(const struct mr_replay_group *g, const struct mr_spec *spec, const char *source,
                   const char *name)
{
  if (mr_replay_leads(spec, g->stage, name))
    return mr_replay_leads(spec, name, g->sink);
  return !g->by_row && mr_replay_leads(spec, source, name) && mr_replay_leads(spec, name, g->stage);
}

static char **inputs_of(const struct mr_replay_group *g, const struct mr_spec *spec,
                        const char *source, const struct mr_stage_spec *st)
{
  bool here = !strcmp(st->name, g->stage);
  bool after = !here && mr_replay_leads(spec, g->stage, st->name);
  GPtrArray *names = g_ptr_array_new();
  if (here && g->by_row)
    g_ptr_array_add(names, g_strdup(source));
  else
    for (char **in = st->input; in && *in; in++)
      if (mr_replay_leads(spec, after ? g->stage : source, *in))
        g_ptr_array_add(names, g_strdup(*in));
  g_ptr_array_add(names, NULL);
  return (char **)g_ptr_array_free(names, FALSE);
}

/* `otherwise` as an expression: its siblings may not be part of the group. */
static char *otherwise(const struct mr_spec *spec, const struct mr_stage_spec *st)
{
  GString *text = g_string_new(NULL);
  for (guint i = 0; i < spec->stages->len; i++) {
    const struct mr_stage_spec *o = g_ptr_array_index(spec->stages, i);
    if (o->when && strcmp(o->when, "otherwise") && o->input &&
        g_strv_equal((const char *const *)o->input, (const char *const *)st->input))
      g_string_append_printf(text, "%sNOT COALESCE((%s), false)", text->len ? " AND " : "",
                             o->when);
  }
  if (text->len)
    return g_string_free(text, FALSE);
  g_string_free(text, TRUE);
  return NULL;
}

static struct mr_stage_spec *copy_stage(struct mr_replay_group *g, const struct mr_spec *spec,
                                        const char *source, const struct mr_stage_spec *st)
{
  struct mr_stage_spec *c = g_memdup2(st, sizeof *st);
  bool enters = g->by_row && !strcmp(st->name, g->stage);
  c->input = inputs_of(g, spec, source, st);
  c->when = !st->when || enters             ? NULL
            : strcmp(st->when, "otherwise") ? g_strdup(st->when)
                                            : otherwise(spec, st);
  return c;
}

static struct mr_stage_spec *copy_source(struct mr_replay_group *g, const struct mr_stage_spec *st)
{
  struct mr_stage_spec *c = g_memdup2(st, sizeof *st);
  c->plugin = &mr_given_plugin;
  c->conf = &g->given;
  c->parallel = 1;
  c->time_column = NULL;
  c->input = NULL;
  c->when = NULL;
  return c;
}

void mr_replay_graph(struct mr_replay_group *g, const struct mr_spec *spec, const char *source)
{
  g->spec = g_memdup2(spec, sizeof *spec);
  g->spec->stages = g_ptr_array_new();
  for (guint i = 0; i < spec->stages->len; i++) {
    const struct mr_stage_spec *st = g_ptr_array_index(spec->stages, i);
    if (!strcmp(st->name, source))
      g_ptr_array_add(g->spec->stages, copy_source(g, st));
    else if (passes(g, spec, source, st->name))
      g_ptr_array_add(g->spec->stages, copy_stage(g, spec, source, st));
  }
}

void mr_replay_graph_free(struct mr_spec *spec)
{
  if (!spec)
    return;
  for (guint i = 0; i < spec->stages->len; i++) {
    struct mr_stage_spec *st = g_ptr_array_index(spec->stages, i);
    g_strfreev(st->input);
    g_free(st->when);
    g_free(st);
  }
  g_ptr_array_unref(spec->stages);
  g_free(spec);
}
