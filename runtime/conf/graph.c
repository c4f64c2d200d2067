/* SPDX-License-Identifier: Apache-2.0 */
/* Who takes whose rows: the straight line when nothing is said, cycles, loose ends. */
#include <string.h>
#include "conf/load.h"
#include "conf/suggest.h"

static struct mr_stage_spec *stage_at(const struct mr_spec *spec, guint i)
{
  return g_ptr_array_index(spec->stages, i);
}

static bool takes_input(const struct mr_stage_spec *st)
{
  return st->kind == MR_STAGE_TRANSFORM || st->kind == MR_STAGE_SINK;
}

static bool says_input(const struct mr_stage_spec *st)
{
  return mr_ynode_get(st->node, "input") != NULL;
}

static bool any_input(const struct mr_spec *spec)
{
  for (guint i = 0; i < spec->stages->len; i++)
    if (says_input(stage_at(spec, i)))
      return true;
  return false;
}

static char **names_of(struct mr_load *l, const GPtrArray *stages)
{
  char **out = mr_own_alloc(l->own, (stages->len + 1) * sizeof *out);
  for (guint i = 0; i < stages->len; i++)
    out[i] = ((struct mr_stage_spec *)g_ptr_array_index(stages, i))->name;
  return out;
}

/* Every transform takes what came before it, every sink the last transform, the first taker all
 * sources. */
static void draw_line(struct mr_load *l)
{
  g_autoptr(GPtrArray) last = g_ptr_array_new();
  for (guint i = 0; i < l->spec->stages->len; i++) {
    struct mr_stage_spec *st = stage_at(l->spec, i);
    if (takes_input(st))
      st->input = names_of(l, last);
    if (st->kind == MR_STAGE_TRANSFORM)
      g_ptr_array_set_size(last, 0);
    if (st->kind != MR_STAGE_SINK)
      g_ptr_array_add(last, st);
  }
}

static GPtrArray *givers(const struct mr_spec *spec)
{
  GPtrArray *names = g_ptr_array_new();
  for (guint i = 0; i < spec->stages->len; i++)
    if (stage_at(spec, i)->kind != MR_STAGE_SINK)
      g_ptr_array_add(names, stage_at(spec, i)->name);
  return names;
}

/* The node of the i-th input: an element, or the value alone. */
static struct mr_ynode *input_node(const struct mr_stage_spec *st, guint i)
{
  struct mr_ynode *n = mr_ynode_get(st->node, "input");
  return n->type == MR_NODE_LIST && i < n->kids->len ? mr_ynode_kid(n, i) : n;
}

/* Reports what is wrong with one input; *ret_lost: the name tells nobody what was meant. */
static void check_input(struct mr_load *l, struct mr_stage_spec *st, guint i, bool *ret_lost)
{
  const char *name = st->input[i];
  struct mr_ynode *n = input_node(st, i);
  const struct mr_stage_spec *from = mr_spec_stage(l->spec, name);
  if (n->broken) {
    *ret_lost = true;
    return;
  }
  for (guint k = 0; k < i; k++)
    if (!strcmp(st->input[k], name))
      mr_ynode_problem(l->problems, n, "`%s` is named twice", name);
  if (from && from->kind == MR_STAGE_SINK)
    mr_ynode_problem(l->problems, n, "`%s` is a sink: it gives no rows", name);
  else if (from && from->kind == MR_STAGE_LOOKUP)
    mr_ynode_problem(l->problems, n, "`%s` is a lookup: it gives no rows, stages ask it", name);
  else if (!from || from->kind == MR_STAGE_DEAD_LETTER) {
    g_autoptr(GPtrArray) names = givers(l->spec);
    g_autofree char *hint = mr_suggest_text(name, (const char *const *)names->pdata, names->len);
    const char *meant = mr_suggest(name, (const char *const *)names->pdata, names->len);
    mr_ynode_problem(l->problems, n, "no stage `%s`%s", name, hint);
    if (meant)
      st->input[i] =
          mr_own_dup(l->own, meant); /* so that what was meant does not count as unused */
    else
      *ret_lost = true;
  }
}

static bool check_inputs(struct mr_load *l)
{
  bool lost = false;
  for (guint i = 0; i < l->spec->stages->len; i++) {
    struct mr_stage_spec *st = stage_at(l->spec, i);
    if (!takes_input(st))
      continue;
    if (!says_input(st)) {
      mr_ynode_remark(
          l->problems, st->node,
          "`%s` has no `input`: once one entry says its input, every transform and sink does",
          st->name);
      lost = true;
    }
    if (says_input(st) && !st->input && !mr_ynode_get(st->node, "input")->broken) {
      mr_ynode_problem(l->problems, mr_ynode_get(st->node, "input"), "`input` is empty");
      lost = true;
    }
    if (!st->input)
      lost = true;
    for (guint k = 0; st->input && st->input[k]; k++)
      check_input(l, st, k, &lost);
  }
  return !lost;
}

struct search {
  struct mr_load *l;
  GHashTable *state; /* stage -> 1 being visited, 2 done */
  GPtrArray *trail;
  GPtrArray *order;
};

static void report_cycle(struct search *s, const struct mr_stage_spec *again)
{
  GString *text = g_string_new(NULL);
  guint from = 0;
  g_ptr_array_find(s->trail, again, &from);
  for (guint i = s->trail->len; i > from; i--) {
    const struct mr_stage_spec *st = g_ptr_array_index(s->trail, i - 1);
    g_string_append_printf(text, "`%s` -> ", st->name);
  }
  const struct mr_stage_spec *last = g_ptr_array_index(s->trail, s->trail->len - 1);
  mr_ynode_problem(s->l->problems, mr_ynode_get(again->node, "input"), "a cycle: %s`%s`", text->str,
                   last->name);
  g_string_free(text, TRUE);
}

static void visit(struct search *s, struct mr_stage_spec *st)
{
  int state = GPOINTER_TO_INT(g_hash_table_lookup(s->state, st));
  if (state == 1 && s->l)
    report_cycle(s, st);
  if (state)
    return;
  g_hash_table_insert(s->state, st, GINT_TO_POINTER(1));
  g_ptr_array_add(s->trail, st);
  const struct mr_spec *spec = s->l ? s->l->spec : NULL;
  for (char **in = st->input; spec && in && *in; in++) {
    struct mr_stage_spec *from = mr_spec_stage(spec, *in);
    if (from && from->kind != MR_STAGE_LOOKUP && from->kind != MR_STAGE_DEAD_LETTER)
      visit(s, from);
  }
  g_ptr_array_set_size(s->trail, (gint)s->trail->len - 1);
  g_hash_table_insert(s->state, st, GINT_TO_POINTER(2));
  g_ptr_array_add(s->order, st);
}

static GPtrArray *sorted(struct mr_load *l)
{
  g_autoptr(GHashTable) state = g_hash_table_new(NULL, NULL);
  g_autoptr(GPtrArray) trail = g_ptr_array_new();
  struct search s = {l, state, trail, g_ptr_array_new()};
  for (guint i = 0; i < l->spec->stages->len; i++)
    visit(&s, stage_at(l->spec, i));
  return s.order;
}

GPtrArray *mr_spec_order(const struct mr_spec *spec)
{
  g_autoptr(GPtrArray) problems = mr_problems_new(); /* cycles were reported by the load */
  struct mr_load l = {.spec = (struct mr_spec *)spec, .problems = problems};
  return sorted(&l);
}

static bool is_used(const struct mr_spec *spec, const char *name)
{
  for (guint i = 0; i < spec->stages->len; i++) {
    const struct mr_stage_spec *st = stage_at(spec, i);
    if (st->input && g_strv_contains((const char *const *)st->input, name))
      return true;
  }
  return false;
}

static void check_used(struct mr_load *l)
{
  for (guint i = 0; i < l->spec->stages->len; i++) {
    const struct mr_stage_spec *st = stage_at(l->spec, i);
    if (st->kind == MR_STAGE_SINK || !st->name[0] || is_used(l->spec, st->name))
      continue;
    g_autofree char *path = mr_ynode_path(st->node);
    mr_problem_add(l->problems, st->at, path, "`%s` is unused: no stage takes its rows", st->name);
  }
}

/* Whether the value of a lookup option means this lookup; a name that means none may mean any. */
static bool means(const struct mr_load *l, const struct mr_ynode *n, const char *lookup)
{
  if (n->type != MR_NODE_SCALAR)
    return true;
  const char *const *names = (const char *const *)l->lookup_names->pdata;
  const char *meant = n->broken ? mr_suggest(n->text, names, l->lookup_names->len) : n->text;
  return !meant || !strcmp(meant, lookup);
}

static bool mentions(const struct mr_load *l, const struct mr_opt *table, size_t stride,
                     const struct mr_ynode *map, const char *lookup)
{
  const struct mr_opt *opt;
  for (size_t i = 0; (opt = mr_option_at(table, stride, i)); i++) {
    const struct mr_ynode *n = mr_ynode_get(map, opt->name);
    if (n && opt->type == MR_LOOKUP && means(l, n, lookup))
      return true;
    if (n && opt->type == MR_GROUP && mentions(l, opt->sub, stride, n, lookup))
      return true;
  }
  return false;
}

/* Of a stage whose plugin is not known: whether the name stands anywhere in it. */
static bool holds_text(const struct mr_ynode *n, const char *text)
{
  bool found = n->type == MR_NODE_SCALAR && !strcmp(n->text, text);
  for (guint i = 0; !found && i < mr_ynode_count(n); i++)
    found = holds_text(mr_ynode_kid(n, i), text);
  return found;
}

static bool asks(const struct mr_load *l, const struct mr_stage_spec *st, const char *lookup)
{
  if (!st->plugin)
    return holds_text(st->node, lookup);
  return mentions(l, st->plugin->options, st->plugin->opt_size, st->options, lookup);
}

static void check_lookups(struct mr_load *l)
{
  for (guint i = 0; i < l->spec->lookups->len; i++) {
    const struct mr_stage_spec *lk = g_ptr_array_index(l->spec->lookups, i);
    bool used = !lk->name[0];
    for (guint k = 0; !used && k < l->spec->stages->len; k++)
      used = asks(l, stage_at(l->spec, k), lk->name);
    g_autofree char *path = mr_ynode_path(lk->node);
    if (!used)
      mr_problem_add(l->problems, lk->at, path, "`%s` is unused: no stage asks this lookup",
                     lk->name);
  }
}

static bool share_input(const struct mr_stage_spec *a, const struct mr_stage_spec *b)
{
  for (char **in = a->input; in && b->input && *in; in++)
    if (g_strv_contains((const char *const *)b->input, *in))
      return true;
  return false;
}

/* `otherwise` takes what the others' `when` left: there must be others, and one `otherwise` only.
 */
static void check_otherwise(struct mr_load *l, const struct mr_stage_spec *st)
{
  struct mr_ynode *n = mr_ynode_get(st->node, "when");
  bool others = false;
  for (guint i = 0; i < l->spec->stages->len; i++) {
    const struct mr_stage_spec *other = stage_at(l->spec, i);
    if (other == st || !other->when || !share_input(st, other))
      continue;
    if (strcmp(other->when, "otherwise"))
      others = true;
    else if (other->at.line < st->at.line)
      mr_ynode_problem(l->problems, n, "`%s` takes the other rows of this input already",
                       other->name);
  }
  if (!others && n)
    mr_ynode_problem(l->problems, n,
                     "`otherwise` needs another stage with a `when` on the same input");
}

static void check_commit(struct mr_load *l, const struct mr_stage_spec *st)
{
  struct mr_ynode *n = mr_ynode_get(st->node, "commit");
  int64_t interval = l->spec->settings.checkpoint_ms;
  if (!n || interval <= 0 || st->commit_ms % interval == 0)
    return;
  mr_ynode_problem(l->problems, n,
                   "`%s` is no whole number of checkpoint intervals (%" G_GINT64_FORMAT "ms)",
                   n->text, interval);
}

void mr_graph_resolve(struct mr_load *l)
{
  bool whole = true;
  if (any_input(l->spec))
    whole = check_inputs(l);
  else
    draw_line(l);
  g_ptr_array_unref(sorted(l)); /* reports cycles */
  if (whole)
    check_used(l);
  check_lookups(l);
  for (guint i = 0; i < l->spec->stages->len; i++) {
    const struct mr_stage_spec *st = stage_at(l->spec, i);
    if (st->when && !strcmp(st->when, "otherwise"))
      check_otherwise(l, st);
    if (st->kind == MR_STAGE_SINK)
      check_commit(l, st);
  }
}
