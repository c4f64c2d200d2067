/* SPDX-License-Identifier: Apache-2.0 */
/* Names to columns, calls to functions, constants to values. */
#include "expr/internal.h"
#include <stdio.h>
#include <strings.h>

int mr_check_fail(struct mr_check *c, const struct mr_node *n, const char *fmt, ...)
{
  char msg[sizeof c->err->msg - 32];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(msg, sizeof msg, fmt, ap);
  va_end(ap);
  return mr_fail(c->err, MR_BADCONF, "%d:%d: %s", n->line, n->col, msg);
}

int mr_check_memory(struct mr_check *c)
{
  return mr_fail(c->err, MR_FATAL, "out of memory");
}

void *mr_check_alloc(struct mr_check *c, int64_t size)
{
  return mr_arena_zero(&c->e->arena, size);
}

int mr_check_cleanup(struct mr_check *c, void (*free_fn)(void *), void *p)
{
  struct mr_cleanup *u = mr_check_alloc(c, sizeof *u);
  if (!u) {
    free_fn(p);
    return mr_check_memory(c);
  }
  *u = (struct mr_cleanup){c->e->cleanup, free_fn, p};
  c->e->cleanup = u;
  return MR_OK;
}

/* ---- columns */

/* Index of the child that a name means: the exact one, else the only one in another case (-2:
 * several). */
static int find_child(const struct ArrowSchema *s, const char *name, bool quoted)
{
  int64_t exact = mr_schema_find(s, name);
  int found = -1;
  if (exact >= 0 || quoted)
    return (int)exact;
  for (int64_t i = 0; i < s->n_children; i++) {
    if (strcasecmp(s->children[i]->name, name))
      continue;
    if (found >= 0)
      return -2;
    found = (int)i;
  }
  return found;
}

static const char *nearest_child(const struct ArrowSchema *s, const char *name)
{
  const char *best = NULL;
  int least = 4;
  for (int64_t i = 0; i < s->n_children; i++) {
    int d = mr_edit_distance(name, s->children[i]->name);
    if (d >= least || d * 2 > (int)strlen(name))
      continue;
    least = d;
    best = s->children[i]->name;
  }
  return best;
}

static int no_child(struct mr_check *c, const struct mr_node *n, const struct ArrowSchema *s,
                    const char *name, int found, const char *what)
{
  if (found == -2)
    return mr_check_fail(c, n, "`%.60s` means several %ss that differ in case: quote the name",
                         name, what);
  const char *near = nearest_child(s, name);
  if (near)
    return mr_check_fail(c, n, "no %s `%.60s` (did you mean `%.60s`?)", what, name, near);
  return mr_check_fail(c, n, "no %s `%.60s`", what, name);
}

static bool same_path(const struct mr_input *a, const struct mr_input *b)
{
  return a->n_path == b->n_path && !memcmp(a->path, b->path, (size_t)a->n_path * sizeof *a->path);
}

/* Makes n a column node that reads `in`. */
static int use_input(struct mr_check *c, struct mr_node *n, const struct mr_input *in)
{
  struct mr_expr *e = c->e;
  int i = 0;
  while (i < e->n_input && !same_path(&e->input[i], in))
    i++;
  if (i == e->input_cap) {
    int cap = i ? i * 2 : 8;
    struct mr_input *v = realloc(e->input, (size_t)cap * sizeof *v);
    if (!v)
      return mr_check_memory(c);
    e->input = v;
    e->input_cap = cap;
  }
  if (i == e->n_input)
    e->input[e->n_input++] = *in;
  n->kind = MR_N_COLUMN;
  n->column = i;
  n->varies = true;
  if (!mr_xtype_of_schema(&e->arena, in->schema, &n->type))
    return mr_check_memory(c);
  if (n->type.kind == MR_K_NONE)
    return mr_check_fail(c, n, "column `%.60s` has a type that expressions do not read", in->name);
  if (n->type.kind == MR_K_DECIMAL && (n->type.scale < 0 || n->type.precision > 38))
    return mr_check_fail(c, n, "column `%.60s`: decimal(%d,%d) is not supported", in->name,
                         n->type.precision, n->type.scale);
  return MR_OK;
}

static int check_column(struct mr_check *c, struct mr_node *n)
{
  const struct ArrowSchema *in = &c->e->in;
  int i = find_child(in, n->name, n->quoted);
  if (i < 0)
    return no_child(c, n, in, n->name, i, "column");
  struct mr_input input = {
      .path = {i}, .n_path = 1, .schema = in->children[i], .name = in->children[i]->name};
  return use_input(c, n, &input);
}

/* x.field: becomes a column node with a longer path. */
static int check_field(struct mr_check *c, struct mr_node *n)
{
  const struct mr_node *field = n->arg[1];
  char type[128];
  int st = mr_check_node(c, n->arg[0]);
  if (st < 0)
    return st;
  if (n->arg[0]->kind != MR_N_COLUMN || n->arg[0]->type.kind != MR_K_STRUCT)
    return mr_check_fail(c, n, "only a struct has fields, this is %s",
                         mr_xtype_name(&n->arg[0]->type, type, sizeof type));
  struct mr_input input = c->e->input[n->arg[0]->column];
  if (input.n_path == (int)MR_COUNT(input.path))
    return mr_check_fail(c, n, "structs too deep");
  int i = find_child(input.schema, field->value.s.p, field->quoted);
  if (i < 0)
    return no_child(c, field, input.schema, field->value.s.p, i, "field");
  input.path[input.n_path++] = i;
  input.schema = input.schema->children[i];
  return use_input(c, n, &input);
}

/* ---- calls */

static int wrong_count(struct mr_check *c, const struct mr_node *n, const struct mr_function *f)
{
  if (f->usage)
    return mr_check_fail(c, n, "wrong number of arguments: %s", f->usage);
  return mr_check_fail(c, n, "wrong number of arguments for %s", n->name);
}

static int no_function(struct mr_check *c, const struct mr_node *n)
{
  static const char *const aggregates[] = {"sum", "avg", "count", "min", "max"};
  for (size_t i = 0; i < MR_COUNT(aggregates); i++)
    if (!strcmp(aggregates[i], n->name))
      return mr_check_fail(c, n, "%s is an aggregate: it belongs into a window, not an expression",
                           n->name);
  const char *near = mr_function_suggest(n->name);
  if (near)
    return mr_check_fail(c, n, "no function `%.60s` (did you mean `%s`?)", n->name, near);
  return mr_check_fail(c, n, "no function `%.60s`", n->name);
}

/* The function that a call means, when there is one that takes so many arguments. */
static int find_function(struct mr_check *c, const struct mr_node *n,
                         const struct mr_function **ret)
{
  const struct mr_function *f = mr_function_find(n->name);
  if (!f)
    return no_function(c, n);
  if (n->n_arg < f->min || n->n_arg > (f->max < 0 ? INT32_MAX : f->max))
    return wrong_count(c, n, f);
  *ret = f;
  return MR_OK;
}

static int check_call(struct mr_check *c, struct mr_node *n)
{
  const struct mr_function *f;
  if (!strcmp(n->name, "."))
    return check_field(c, n);
  int st = find_function(c, n, &f);
  if (st < 0)
    return st;
  st = f->check(c, n);
  return st < 0 || n->kind != MR_N_CALL ? st : mr_check_finish(c, n);
}

int mr_check_args(struct mr_check *c, struct mr_node *n)
{
  for (int i = 0; i < n->n_arg; i++) {
    int st = mr_check_node(c, n->arg[i]);
    if (st < 0)
      return st;
  }
  return MR_OK;
}

int mr_check_finish(struct mr_check *c, struct mr_node *n)
{
  for (int i = 0; i < n->n_arg; i++)
    n->varies |= n->arg[i]->varies;
  if (!n->argv && n->n_arg && !(n->argv = mr_check_alloc(c, n->n_arg * (int64_t)sizeof *n->argv)))
    return mr_check_memory(c);
  if (!n->varies && mr_phys_of(&n->type) != MR_P_ANY)
    mr_run_fold(c->e, n);
  return c->e->run->no_memory ? mr_check_memory(c) : MR_OK;
}

static int check_let(struct mr_check *c, struct mr_node *n)
{
  int st = mr_check_args(c, n);
  if (st < 0)
    return st;
  n->type = n->arg[1]->type;
  return mr_check_finish(c, n);
}

/* A reference to a constant is that constant, so that it adapts to its neighbours. */
static int check_ref(struct mr_check *c, struct mr_node *n)
{
  const struct mr_node *of = n->let->arg[0];
  int line = n->line, col = n->col;
  if (of->kind == MR_N_CONST) {
    *n = *of;
    n->line = line;
    n->col = col;
    return MR_OK;
  }
  n->type = of->type;
  n->varies = true; /* its let may still be folded as a whole: no, it reads what is saved there */
  return MR_OK;
}

int mr_check_node(struct mr_check *c, struct mr_node *n)
{
  switch (n->kind) {
  case MR_N_CONST: return MR_OK;
  case MR_N_COLUMN: return check_column(c, n);
  case MR_N_LET: return check_let(c, n);
  case MR_N_REF: return check_ref(c, n);
  default: return check_call(c, n);
  }
}

/* ---- without columns */

static bool reads_columns(const struct mr_node *n)
{
  bool any = n->kind == MR_N_COLUMN || n->kind == MR_N_REF;
  for (int i = 0; !any && i < n->n_arg; i++)
    any = reads_columns(n->arg[i]);
  return any;
}

int mr_check_unknown(struct mr_check *c, struct mr_node *n)
{
  const struct mr_function *f;
  if (n->kind == MR_N_COLUMN || n->kind == MR_N_REF)
    return MR_OK;
  if (!reads_columns(n))
    return mr_check_node(c, n);
  bool field = n->kind == MR_N_CALL && !strcmp(n->name, ".");
  int st = n->kind == MR_N_CALL && !field ? find_function(c, n, &f) : MR_OK;
  for (int i = 0; st >= 0 && i < (field ? 1 : n->n_arg); i++)
    st = mr_check_unknown(c, n->arg[i]);
  return st;
}
