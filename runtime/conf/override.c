/* SPDX-License-Identifier: Apache-2.0 */
/* --set stage.option=value, and below it MILLRACE_SET_<STAGE>__<OPTION>: put into the tree before
 * the option tables read it. */
#include "conf/load.h"
#include "conf/suggest.h"
#include <string.h>

#define PREFIX "MILLRACE_SET_"
static const struct mr_mark_at nowhere = {0, 0};

static void override_free(void *p)
{
  struct mr_override *o = p;
  g_free(o->label);
  g_free(o->value);
  g_strfreev(o->path);
  g_free(o);
}

static struct mr_override *override_new(enum mr_origin origin, const char *value)
{
  struct mr_override *o = g_new0(struct mr_override, 1);
  o->origin = origin;
  o->value = g_strdup(value);
  return o;
}

static void read_environment(GPtrArray *out)
{
  g_auto(GStrv) names = g_listenv();
  for (char **name = names; *name; name++) {
    if (!g_str_has_prefix(*name, PREFIX))
      continue;
    struct mr_override *o = override_new(MR_FROM_ENV, g_getenv(*name));
    g_autofree char *lower = g_ascii_strdown(*name + strlen(PREFIX), -1);
    o->label = g_strdup(*name);
    o->path = g_strsplit(lower, "__", -1);
    g_ptr_array_add(out, o);
  }
}

static void read_set(struct mr_load *l, GPtrArray *out, const char *text)
{
  const char *equals = strchr(text, '=');
  g_autofree char *target = equals ? g_strndup(text, (gsize)(equals - text)) : g_strdup(text);
  g_autofree char *label = g_strdup_printf("--set %s", target);
  if (!equals || !strchr(target, '.')) {
    mr_problem_add(l->problems, nowhere, label, "write --set stage.option=value");
    return;
  }
  struct mr_override *o = override_new(MR_FROM_SET, equals + 1);
  o->label = g_steal_pointer(&label);
  o->path = g_strsplit(target, ".", -1);
  g_ptr_array_add(out, o);
}

GPtrArray *mr_overrides_read(struct mr_load *l, const char *const *set)
{
  GPtrArray *out = g_ptr_array_new_with_free_func(override_free);
  read_environment(out);
  for (; set && *set; set++)
    read_set(l, out, *set);
  return out;
}

/* A tree that does not come from the file has no places in it. */
static void mark(struct mr_ynode *n, enum mr_origin origin)
{
  n->origin = origin;
  n->at = n->end = n->key_at = nowhere;
  for (guint i = 0; i < mr_ynode_count(n); i++)
    mark(mr_ynode_kid(n, i), origin);
}

/* Lists and mappings are written in flow style; everything else is the value as it stands, quotes
 * and all. */
static struct mr_ynode *value_of(struct mr_load *l, const struct mr_override *o)
{
  struct mr_ynode *n = NULL;
  bool flow = o->value[0] == '[' || o->value[0] == '{';
  if (flow) {
    g_autoptr(GPtrArray) problems = mr_problems_new();
    n = mr_yaml_parse(o->value, strlen(o->value), problems);
    if (problems->len) {
      const struct mr_problem *first = g_ptr_array_index(problems, 0);
      mr_problem_add(l->problems, nowhere, o->label, "%s", first->message);
      if (n)
        n->broken = true;
    }
  }
  if (!n)
    n = mr_ynode_scalar(flow ? "" : o->value, NULL);
  if (flow && n->type == MR_NODE_SCALAR)
    n->broken = true;
  mark(n, o->origin);
  n->label = g_strdup(o->label);
  return n;
}

static struct mr_ynode *map_under(struct mr_ynode *map, const char *key,
                                  const struct mr_override *o)
{
  struct mr_ynode *kid = mr_ynode_get(map, key);
  if (kid && kid->type == MR_NODE_MAP)
    return kid;
  kid = mr_ynode_new(MR_NODE_MAP, map);
  mark(kid, o->origin);
  mr_ynode_put(map, key, kid);
  return kid;
}

static void put(struct mr_load *l, const struct mr_override *o, struct mr_ynode *map, char **path,
                const struct mr_opt *table, size_t stride)
{
  const struct mr_opt *opt = table ? mr_option_find(table, stride, path[0]) : NULL;
  bool keyed = opt && opt->flags & MR_KEYED,
       group = opt && opt->type == MR_GROUP && !(opt->flags & MR_MANY);
  if (path[1] && keyed && !group) {
    g_autofree char *key = g_strjoinv(".", path + 1);
    mr_ynode_put(map_under(map, path[0], o), key, value_of(l, o));
  } else if (path[1] && keyed && path[2]) {
    struct mr_ynode *entries = map_under(map, path[0], o);
    put(l, o, map_under(entries, path[1], o), path + 2, opt->sub, stride);
  } else if (path[1] && group && !keyed) {
    put(l, o, map_under(map, path[0], o), path + 1, opt->sub, stride);
  } else {
    g_autofree char *key = g_strjoinv(".", path);
    mr_ynode_put(map, key, value_of(l, o));
  }
}

/* Whether the override is meant for the target; names with __ in them make the environment's form
 * longer than one step. */
static char **rest_for(const struct mr_override *o, const char *target)
{
  if (o->origin == MR_FROM_SET)
    return !strcmp(o->path[0], target) ? o->path + 1 : NULL;
  g_auto(GStrv) steps = g_strsplit(target, "__", -1);
  guint n = g_strv_length(steps);
  for (guint i = 0; i < n; i++)
    if (!o->path[i] || strcmp(o->path[i], steps[i]))
      return NULL;
  return o->path[n] ? o->path + n : NULL;
}

void mr_overrides_apply(struct mr_load *l, const char *target, struct mr_ynode *entry,
                        const struct mr_opt *table, struct mr_ynode *options,
                        const struct mr_opt *options_table, size_t stride)
{
  for (guint i = 0; i < l->overrides->len; i++) {
    struct mr_override *o = g_ptr_array_index(l->overrides, i);
    char **path = rest_for(o, target);
    if (!path)
      continue;
    o->used = true;
    if (entry && mr_option_find(table, sizeof *table, path[0]))
      put(l, o, entry, path, table, sizeof *table);
    else if (options)
      put(l, o, options, path, options_table, stride);
  }
}

static GPtrArray *targets(const struct mr_spec *spec)
{
  GPtrArray *names = g_ptr_array_new();
  for (guint i = 0; i < spec->stages->len; i++)
    g_ptr_array_add(names, ((struct mr_stage_spec *)g_ptr_array_index(spec->stages, i))->name);
  for (guint i = 0; i < spec->lookups->len; i++)
    g_ptr_array_add(names, ((struct mr_stage_spec *)g_ptr_array_index(spec->lookups, i))->name);
  g_ptr_array_add(names, (char *)"settings");
  g_ptr_array_add(names, (char *)"dead_letter");
  return names;
}

void mr_overrides_unused(struct mr_load *l)
{
  g_autoptr(GPtrArray) names = targets(l->spec);
  for (guint i = 0; i < l->overrides->len; i++) {
    struct mr_override *o = g_ptr_array_index(l->overrides, i);
    if (o->used)
      continue;
    g_autofree char *hint =
        mr_suggest_text(o->path[0], (const char *const *)names->pdata, names->len);
    const char *form =
        o->origin == MR_FROM_ENV && !o->path[1] ? "; write " PREFIX "<STAGE>__<OPTION>" : "";
    mr_problem_add(l->problems, nowhere, o->label, "the file has no stage `%s`%s%s", o->path[0],
                   hint, form);
  }
}
