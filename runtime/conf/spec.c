/* SPDX-License-Identifier: Apache-2.0 */
/* The whole file: sections, settings, and what is asked of a spec afterwards. */
#include "conf/spec.h"
#include <string.h>
#include "conf/load.h"
#include "conf/suggest.h"

static const char *const sections[] = {"name",  "lookups",     "sources",  "transforms",
                                       "sinks", "dead_letter", "settings", "tests"};

static void stage_free(void *p)
{
  mr_entry_free(p);
}

static struct mr_spec *spec_new(const char *file, const char *text, size_t len)
{
  struct mr_spec *spec = g_new0(struct mr_spec, 1);
  spec->own = mr_own_new(text, len);
  spec->path = mr_own_dup(spec->own, file);
  spec->stages = g_ptr_array_new_with_free_func(stage_free);
  spec->lookups = g_ptr_array_new_with_free_func(stage_free);
  return spec;
}

void mr_spec_free(struct mr_spec *spec)
{
  if (!spec)
    return;
  g_ptr_array_unref(spec->stages);
  g_ptr_array_unref(spec->lookups);
  if (spec->dead_letter)
    mr_entry_free(spec->dead_letter);
  mr_own_free(spec->own);
  g_free(spec);
}

static struct mr_stage_spec *find_in(const GPtrArray *stages, const char *name)
{
  for (guint i = 0; i < stages->len; i++) {
    struct mr_stage_spec *st = g_ptr_array_index(stages, i);
    if (!strcmp(st->name, name))
      return st;
  }
  return NULL;
}

struct mr_stage_spec *mr_spec_stage(const struct mr_spec *spec, const char *name)
{
  struct mr_stage_spec *st = name[0] ? find_in(spec->stages, name) : NULL;
  if (!st && name[0])
    st = find_in(spec->lookups, name);
  return !st && spec->dead_letter && !strcmp(name, "dead_letter") ? spec->dead_letter : st;
}

GPtrArray *mr_spec_values(const struct mr_spec *spec)
{
  return spec->own->values;
}

static void check_sections(struct mr_load *l, struct mr_ynode *root)
{
  for (guint i = 0; i < root->kids->len; i++) {
    struct mr_ynode *n = mr_ynode_kid(root, i);
    bool known = false;
    for (size_t k = 0; k < G_N_ELEMENTS(sections); k++)
      known |= !strcmp(n->key, sections[k]);
    g_autofree char *hint = mr_suggest_text(n->key, sections, G_N_ELEMENTS(sections));
    if (!known)
      mr_ynode_key_problem(l->problems, n, "unknown section `%s`%s", n->key, hint);
  }
}

/* `tests` is read by `millrace test` alone, as it stands. */
static void expand(struct mr_load *l, struct mr_ynode *root)
{
  for (guint i = 0; i < root->kids->len; i++)
    if (strcmp(mr_ynode_kid(root, i)->key, "tests"))
      mr_expand_tree(l, mr_ynode_kid(root, i));
}

static bool pipeline_name_is_fine(const char *name)
{
  size_t n = strlen(name);
  return g_ascii_islower(name[0]) && n <= 64 &&
         strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

static void read_name(struct mr_load *l, struct mr_ynode *root)
{
  struct mr_ynode *n = mr_ynode_get(root, "name");
  if (!n)
    mr_ynode_remark(l->problems, root, "the pipeline has no `name`");
  else if (n->type != MR_NODE_SCALAR || !pipeline_name_is_fine(n->text))
    mr_ynode_problem(l->problems, n,
                     "a pipeline's name is 64 characters at most, of a-z, 0-9, - and _, and begins "
                     "with a letter");
  l->spec->name = mr_own_dup(l->own, n && n->type == MR_NODE_SCALAR ? n->text : "");
}

static void read_settings(struct mr_load *l, struct mr_ynode *root)
{
  struct mr_ynode *n = mr_ynode_get(root, "settings");
  if (n && !n->broken && n->type != MR_NODE_MAP && !n->bare)
    mr_ynode_key_problem(l->problems, n, "`settings` is a mapping");
  if (!n || n->type != MR_NODE_MAP) {
    n = mr_ynode_new(MR_NODE_MAP, root);
    n->origin = MR_FROM_DEFAULT;
    mr_ynode_put(root, "settings", n);
  }
  mr_overrides_apply(l, "settings", NULL, NULL, n, mr_settings_options, sizeof(struct mr_opt));
  mr_option_fill(l, mr_settings_options, sizeof(struct mr_opt), n, "settings", NULL,
                 &l->spec->settings);
}

static void collect_lookup_names(struct mr_load *l, struct mr_ynode *root)
{
  const struct mr_ynode *section = mr_ynode_get(root, "lookups");
  for (guint i = 0; i < mr_ynode_count(section); i++) {
    const struct mr_ynode *name = mr_ynode_get(mr_ynode_kid(section, i), "name");
    if (name && name->type == MR_NODE_SCALAR)
      g_ptr_array_add(l->lookup_names, name->text);
  }
}

static void need_section(struct mr_load *l, struct mr_ynode *root, const char *key)
{
  struct mr_ynode *n = mr_ynode_get(root, key);
  if (!n)
    mr_ynode_remark(l->problems, root, "no `%s`: a pipeline has at least one", key);
  else if (!n->broken && (n->bare || (n->type == MR_NODE_LIST && !n->kids->len)))
    mr_ynode_key_problem(l->problems, n, "`%s` is empty", key);
}

static void read_document(struct mr_load *l, struct mr_ynode *root)
{
  check_sections(l, root);
  expand(l, root);
  read_name(l, root);
  collect_lookup_names(l, root);
  read_settings(l, root);
  mr_entries_read(l, mr_ynode_get(root, "lookups"), MR_STAGE_LOOKUP);
  mr_entries_read(l, mr_ynode_get(root, "sources"), MR_STAGE_SOURCE);
  mr_entries_read(l, mr_ynode_get(root, "transforms"), MR_STAGE_TRANSFORM);
  mr_entries_read(l, mr_ynode_get(root, "sinks"), MR_STAGE_SINK);
  mr_dead_letter_read(l, mr_ynode_get(root, "dead_letter"));
  need_section(l, root, "sources");
  need_section(l, root, "sinks");
  mr_graph_resolve(l);
  mr_overrides_unused(l);
  mr_expand_report(l, root);
}

static void redact_problems(const struct mr_spec *spec, GPtrArray *problems)
{
  for (guint i = 0; i < problems->len; i++) {
    struct mr_problem *p = g_ptr_array_index(problems, i);
    char *message = mr_spec_redact(spec, p->message), *path = mr_spec_redact(spec, p->path);
    g_free(p->message);
    g_free(p->path);
    p->message = message;
    p->path = path;
  }
}

static void redact_values(const struct mr_spec *spec)
{
  for (guint i = 0; i < spec->own->values->len; i++) {
    struct mr_value *v = g_ptr_array_index(spec->own->values, i);
    char *clean = mr_spec_redact(spec, v->text);
    g_free(v->text);
    v->text = clean;
  }
}

/* fine: nothing was wrong so far */
static void read_root(struct mr_load *l, const char *const *overrides, bool fine)
{
  guint before = l->problems->len;
  l->overrides = mr_overrides_read(l, overrides);
  l->lookup_names = g_ptr_array_new();
  read_document(l, l->own->root);
  if (fine && l->problems->len == before)
    mr_outline_check(l);
  redact_problems(l->spec, l->problems);
  redact_values(l->spec);
  g_ptr_array_unref(l->lookup_names);
  g_ptr_array_unref(l->overrides);
}

struct mr_spec *mr_spec_read(const char *file, const char *text, size_t len,
                             const char *const *overrides, const struct mr_catalog *catalog,
                             GPtrArray *problems)
{
  guint before = problems->len;
  struct mr_ynode *root = mr_yaml_parse(text, len, problems);
  if (!root)
    return NULL;
  if (root->type != MR_NODE_MAP) {
    mr_ynode_problem(problems, root, "a pipeline file is a mapping with name, sources and sinks");
    mr_ynode_free(root);
    return NULL;
  }
  struct mr_spec *spec = spec_new(file, text, len);
  struct mr_load l = {.spec = spec, .own = spec->own, .catalog = catalog, .problems = problems};
  spec->own->root = root;
  read_root(&l, overrides, problems->len == before);
  return spec;
}

struct mr_spec *mr_spec_load(const char *file, const char *text, size_t len,
                             const char *const *overrides, const struct mr_catalog *catalog,
                             GPtrArray *problems)
{
  guint before = problems->len;
  struct mr_spec *spec = mr_spec_read(file, text, len, overrides, catalog, problems);
  if (problems->len == before)
    return spec;
  mr_spec_free(spec);
  return NULL;
}

/* The kid of a mapping whose key is the longest that path begins with; *ret_rest: what follows its
 * dot, or "". */
static struct mr_ynode *step_map(const struct mr_ynode *map, const char *path,
                                 const char **ret_rest)
{
  struct mr_ynode *best = NULL;
  size_t longest = 0;
  for (guint i = 0; i < map->kids->len; i++) {
    struct mr_ynode *kid = mr_ynode_kid(map, i);
    size_t n = strlen(kid->key);
    if (strncmp(path, kid->key, n) || (path[n] && path[n] != '.') || (best && n < longest))
      continue;
    best = kid;
    longest = n;
  }
  if (best)
    *ret_rest = path + longest + (path[longest] == '.');
  return best;
}

static struct mr_ynode *step(struct mr_ynode *n, const char *path, const char **ret_rest)
{
  if (n->type == MR_NODE_MAP)
    return step_map(n, path, ret_rest);
  char *end;
  guint64 i = g_ascii_strtoull(path, &end, 10);
  if (end == path || (*end && *end != '.'))
    return NULL;
  *ret_rest = end + (*end == '.');
  if (n->type == MR_NODE_SCALAR)
    return i == 0 ? n : NULL;
  return i < n->kids->len ? mr_ynode_kid(n, (guint)i) : NULL;
}

/* The deepest node on the way of a dotted path. */
static struct mr_ynode *resolve(struct mr_ynode *from, const char *path)
{
  struct mr_ynode *n = from;
  while (path[0]) {
    struct mr_ynode *kid = step(n, path, &path);
    if (!kid)
      return n;
    n = kid;
  }
  return n;
}

/* The expression ended before it was complete, and a comment begins where it ended. */
static bool cut_by_comment(const struct mr_spec *spec, const struct mr_ynode *n, int line,
                           int column)
{
  if (line != 1 || !mr_ynode_comment(n, spec->own->source))
    return false;
  return column > (int)g_utf8_strlen(n->text, -1);
}

static struct mr_mark_at place_of(const struct mr_spec *spec, const struct mr_ynode *n, int line,
                                  int column)
{
  if (n->type != MR_NODE_SCALAR)
    return n->key ? n->key_at : n->at;
  return line > 0 ? mr_ynode_locate(n, spec->own->source, line, column) : n->at;
}

static void problem_at(const struct mr_spec *spec, struct mr_ynode *n, int line, int column,
                       const char *message, GPtrArray *problems)
{
  if (n->broken)
    return;
  bool scalar = n->type == MR_NODE_SCALAR;
  const char *advice = scalar && cut_by_comment(spec, n, line, column)
                           ? "; what follows ` #` is a comment: put the value in quotes to keep it"
                           : "";
  g_autofree char *path = mr_ynode_path(n), *shown = mr_spec_redact(spec, path);
  g_autofree char *clean = mr_spec_redact(spec, message);
  mr_problem_add(problems, place_of(spec, n, line, column), shown, "%s%s", clean, advice);
}

void mr_spec_problem(const struct mr_spec *spec, const struct mr_stage_spec *st, const char *option,
                     int line, int column, const char *message, GPtrArray *problems)
{
  struct mr_ynode *from = st->options ? st->options : st->node;
  problem_at(spec, option && option[0] ? resolve(from, option) : from, line, column, message,
             problems);
}

void mr_spec_entry_problem(const struct mr_spec *spec, const struct mr_stage_spec *st,
                           const char *key, int line, int column, const char *message,
                           GPtrArray *problems)
{
  problem_at(spec, resolve(st->node, key), line, column, message, problems);
}

void mr_spec_setting_problem(const struct mr_spec *spec, const char *key, const char *message,
                             GPtrArray *problems)
{
  problem_at(spec, resolve(mr_ynode_get(spec->own->root, "settings"), key), 0, 0, message,
             problems);
}
