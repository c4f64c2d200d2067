/* SPDX-License-Identifier: Apache-2.0 */
/* AND, OR, NOT, IS, and what chooses between values: CASE, IF, COALESCE. A branch is computed only
 * for the rows that take it, so that CASE WHEN b <> 0 THEN a / b END reports no division by zero.
 */
#include "expr/internal.h"

static int want_bool(struct mr_check *c, struct mr_node *n, int i)
{
  char type[128];
  const struct mr_node *x = n->arg[i];
  if (x->type.kind == MR_K_BOOL || (x->kind == MR_N_CONST && x->null))
    return mr_coerce_arg(c, n, i, mr_xtype_of_kind(MR_K_BOOL));
  return mr_check_fail(c, x, "a condition is expected here, not %s",
                       mr_xtype_name(&x->type, type, sizeof type));
}

static bool any(const uint8_t *mask, int64_t n)
{
  return memchr(mask, 1, (size_t)n) != NULL;
}

/* ---- AND, OR */

/* out = out OP v in three-valued logic, for the rows of mask. stop: the value that decides (AND:
 * false). */
static void combine(int64_t n, const uint8_t *mask, bool stop, const struct mr_vec *v,
                    struct mr_vec *out)
{
  for (int64_t i = 0; i < n; i++) {
    if (!mask[i])
      continue;
    bool decides = v->valid[i] && MR_VB(v)[i] == stop;
    if (decides)
      MR_VB(out)[i] = stop;
    out->valid[i] = decides || (out->valid[i] && v->valid[i]);
  }
}

/* Argument k, on the rows that those before leave open. */
static bool next_term(struct mr_run *r, const struct mr_node *n, int k, bool stop,
                      struct mr_vec *mask, struct mr_vec *out)
{
  const uint8_t *active = r->active;
  for (int64_t i = 0; i < r->n; i++)
    mask->valid[i] = active[i] && !(out->valid[i] && MR_VB(out)[i] == stop);
  if (!any(mask->valid, r->n))
    return true;
  r->active = mask->valid;
  struct mr_vec *v = mr_eval_node(r, n->arg[k]);
  r->active = active;
  if (!v)
    return false;
  combine(r->n, mask->valid, stop, v, out);
  mr_vec_put(r, v);
  return true;
}

static struct mr_vec *eval_chain(struct mr_run *r, const struct mr_node *n, bool stop)
{
  struct mr_vec *mask = mr_vec_get(r), *out = mr_vec_get(r);
  bool ok = mask && out;
  if (ok) {
    memset(out->valid, 1, MR_CHUNK);
    memset(out->data, !stop, MR_CHUNK);
  }
  for (int k = 0; ok && k < n->n_arg; k++)
    ok = next_term(r, n, k, stop, mask, out);
  mr_vec_put(r, mask);
  if (ok)
    return out;
  mr_vec_put(r, out);
  return NULL;
}

static struct mr_vec *eval_and(struct mr_run *r, const struct mr_node *n)
{
  return eval_chain(r, n, false);
}

static struct mr_vec *eval_or(struct mr_run *r, const struct mr_node *n)
{
  return eval_chain(r, n, true);
}

static int check_chain(struct mr_check *c, struct mr_node *n)
{
  int st = mr_check_args(c, n);
  for (int i = 0; st >= 0 && i < n->n_arg; i++)
    st = want_bool(c, n, i);
  n->type = mr_xtype_of_kind(MR_K_BOOL);
  n->form = n->name[0] == 'a' ? eval_and : eval_or;
  return st;
}

/* ---- NOT, IS */

static void run_not(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                    struct mr_vec *out)
{
  for (int64_t i = 0; i < r->n; i++)
    MR_VB(out)[i] = !MR_VB(arg[0])[i];
}

static int check_not(struct mr_check *c, struct mr_node *n)
{
  int st = mr_check_args(c, n);
  n->type = mr_xtype_of_kind(MR_K_BOOL);
  n->run = run_not;
  return st < 0 ? st : want_bool(c, n, 0);
}

static void is_null(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                    struct mr_vec *out)
{
  for (int64_t i = 0; i < r->n; i++)
    MR_VB(out)[i] = !arg[0]->valid[i];
}

static void is_true(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                    struct mr_vec *out)
{
  for (int64_t i = 0; i < r->n; i++)
    MR_VB(out)[i] = arg[0]->valid[i] && MR_VB(arg[0])[i];
}

static void is_false(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                     struct mr_vec *out)
{
  for (int64_t i = 0; i < r->n; i++)
    MR_VB(out)[i] = arg[0]->valid[i] && !MR_VB(arg[0])[i];
}

static int check_is(struct mr_check *c, struct mr_node *n)
{
  int st = mr_check_args(c, n);
  n->type = mr_xtype_of_kind(MR_K_BOOL);
  n->null_ok = true;
  n->run = n->name[3] == 'n' ? is_null : n->name[3] == 't' ? is_true : is_false;
  return st < 0 || n->run == is_null ? st : want_bool(c, n, 0);
}

/* ---- CASE, IF */

/* Evaluates branch k for the rows of mask into out. */
static bool take_branch(struct mr_run *r, const struct mr_node *n, int k, const uint8_t *mask,
                        struct mr_vec *out)
{
  const uint8_t *active = r->active;
  if (!any(mask, r->n))
    return true;
  r->active = mask;
  struct mr_vec *v = mr_eval_node(r, n->arg[k]);
  r->active = active;
  if (!v)
    return false;
  mr_vec_merge(mr_phys_of(&n->type), r->n, mask, v, out);
  mr_vec_put(r, v);
  return true;
}

/* Condition k splits rest: those it holds for go to taken, the others stay. */
static bool split(struct mr_run *r, const struct mr_node *n, int k, uint8_t *rest, uint8_t *taken)
{
  const uint8_t *active = r->active;
  r->active = rest;
  struct mr_vec *v = mr_eval_node(r, n->arg[k]);
  r->active = active;
  if (!v)
    return false;
  for (int64_t i = 0; i < r->n; i++) {
    taken[i] = rest[i] && v->valid[i] && MR_VB(v)[i] && !r->failed[i];
    rest[i] = rest[i] && !taken[i];
  }
  mr_vec_put(r, v);
  return true;
}

static bool eval_branches(struct mr_run *r, const struct mr_node *n, uint8_t *rest, uint8_t *taken,
                          struct mr_vec *out)
{
  int k = 0;
  for (; k + 1 < n->n_arg && any(rest, r->n); k += 2)
    if (!split(r, n, k, rest, taken) || !take_branch(r, n, k + 1, taken, out))
      return false;
  return k + 1 != n->n_arg || take_branch(r, n, k, rest, out);
}

static struct mr_vec *eval_case(struct mr_run *r, const struct mr_node *n)
{
  struct mr_vec *rest = mr_vec_get(r), *taken = mr_vec_get(r), *out = mr_vec_get(r);
  bool ok = rest && taken && out;
  if (ok) {
    memcpy(rest->valid, r->active, (size_t)r->n);
    memset(out->valid, 0, MR_CHUNK);
    ok = eval_branches(r, n, rest->valid, taken->valid, out);
  }
  mr_vec_put(r, rest);
  mr_vec_put(r, taken);
  if (ok)
    return out;
  mr_vec_put(r, out);
  return NULL;
}

static int unify_branches(struct mr_check *c, struct mr_node *n, const char *what)
{
  int *index = mr_check_alloc(c, n->n_arg * (int64_t)sizeof *index), m = 0;
  if (!index)
    return mr_check_memory(c);
  for (int k = 1; k < n->n_arg; k += 2)
    index[m++] = k;
  if (n->n_arg % 2)
    index[m++] = n->n_arg - 1;
  n->form = eval_case;
  return mr_coerce_unify(c, n, index, m, what, &n->type);
}

static int check_case(struct mr_check *c, struct mr_node *n)
{
  int st = mr_check_args(c, n);
  for (int k = 0; st >= 0 && k + 1 < n->n_arg; k += 2)
    st = want_bool(c, n, k);
  return st < 0 ? st : unify_branches(c, n, "the branches of CASE");
}

static int check_if(struct mr_check *c, struct mr_node *n)
{
  int st = mr_check_args(c, n);
  if (st >= 0)
    st = want_bool(c, n, 0);
  return st < 0 ? st : unify_branches(c, n, "the branches of IF");
}

/* ---- COALESCE */

static struct mr_vec *eval_coalesce(struct mr_run *r, const struct mr_node *n)
{
  struct mr_vec *rest = mr_vec_get(r), *out = mr_vec_get(r);
  bool ok = rest && out;
  if (ok) {
    memcpy(rest->valid, r->active, (size_t)r->n);
    memset(out->valid, 0, MR_CHUNK);
  }
  for (int k = 0; ok && k < n->n_arg && any(rest->valid, r->n); k++) {
    ok = take_branch(r, n, k, rest->valid, out);
    for (int64_t i = 0; i < r->n; i++)
      rest->valid[i] &= !out->valid[i] && !r->failed[i];
  }
  mr_vec_put(r, rest);
  if (ok)
    return out;
  mr_vec_put(r, out);
  return NULL;
}

static int check_coalesce(struct mr_check *c, struct mr_node *n)
{
  int st = mr_check_args(c, n);
  int *index = mr_check_alloc(c, n->n_arg * (int64_t)sizeof *index);
  if (st < 0)
    return st;
  if (!index)
    return mr_check_memory(c);
  for (int k = 0; k < n->n_arg; k++)
    index[k] = k;
  n->form = eval_coalesce;
  return mr_coerce_unify(c, n, index, n->n_arg, "the arguments of COALESCE", &n->type);
}

const struct mr_function mr_logic_functions[] = {
    {"and", 2, -1, check_chain, NULL},
    {"or", 2, -1, check_chain, NULL},
    {"not", 1, 1, check_not, NULL},
    {"is null", 1, 1, check_is, NULL},
    {"is true", 1, 1, check_is, NULL},
    {"is false", 1, 1, check_is, NULL},
    {"case", 2, -1, check_case, NULL},
    {"if", 3, 3, check_if, "IF(condition, a, b)"},
    {"coalesce", 1, -1, check_coalesce, "COALESCE(a, b, ...)"},
    {"ifnull", 2, 2, check_coalesce, "IFNULL(a, b)"},
    {NULL}};
