/* SPDX-License-Identifier: Apache-2.0 */
/* x IN (...): a sorted table when every item is a constant of x's type, else one comparison after
 * another. */
#include "expr/compare.h"
#include "expr/scalar.h"

struct table {
  enum mr_phys phys;
  union mr_value *item; /* sorted */
  int n;
  bool has_null;
};

static int cmp_text(const struct mr_span *a, const struct mr_span *b)
{
  int64_t n = a->n < b->n ? a->n : b->n;
  int c = n ? memcmp(a->p, b->p, (size_t)n) : 0;
  return c ? c : (a->n > b->n) - (a->n < b->n);
}

static int cmp_i64(const void *a, const void *b)
{
  int64_t x = ((const union mr_value *)a)->i, y = ((const union mr_value *)b)->i;
  return (x > y) - (x < y);
}

static int cmp_dec(const void *a, const void *b)
{
  mr_i128 x = ((const union mr_value *)a)->d, y = ((const union mr_value *)b)->d;
  return (x > y) - (x < y);
}

static int cmp_span(const void *a, const void *b)
{
  return cmp_text(&((const union mr_value *)a)->s, &((const union mr_value *)b)->s);
}

typedef int cmp_fn(const void *a, const void *b);

static cmp_fn *cmp_of(enum mr_phys p)
{
  switch (p) {
  case MR_P_I64:
  case MR_P_U64: return cmp_i64; /* any order will do, it only has to be one */
  case MR_P_DEC: return cmp_dec;
  case MR_P_TEXT: return cmp_span;
  default: return NULL;
  }
}

static union mr_value value_at(enum mr_phys p, const struct mr_vec *v, int64_t i)
{
  switch (p) {
  case MR_P_DEC: return (union mr_value){.d = MR_VD(v)[i]};
  case MR_P_TEXT: return (union mr_value){.s = MR_VS(v)[i]};
  default: return (union mr_value){.i = MR_VI(v)[i]};
  }
}

static void run_table(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                      struct mr_vec *out)
{
  const struct table *t = n->data;
  cmp_fn *cmp = cmp_of(t->phys);
  for (int64_t i = 0; i < r->n; i++) {
    if (!r->live[i])
      continue;
    union mr_value v = value_at(t->phys, arg[0], i);
    bool found = bsearch(&v, t->item, (size_t)t->n, sizeof v, cmp) != NULL;
    MR_VB(out)[i] = found;
    if (!found && t->has_null)
      out->valid[i] = 0;
  }
}

/* All items constant and, after literals have adapted, of x's type? */
static int is_table(struct mr_check *c, struct mr_node *n, bool *ret)
{
  struct mr_compare unused;
  *ret = cmp_of(mr_phys_of(&n->arg[0]->type)) != NULL;
  for (int i = 1; i < n->n_arg; i++) {
    int st = mr_compare_pair(c, n, 0, i, &unused);
    if (st < 0)
      return st;
    *ret &= n->arg[i]->kind == MR_N_CONST && mr_xtype_equal(&n->arg[i]->type, &n->arg[0]->type);
  }
  return MR_OK;
}

static int make_table(struct mr_check *c, struct mr_node *n)
{
  struct table *t = mr_check_alloc(c, sizeof *t);
  if (!t || !(t->item = mr_check_alloc(c, n->n_arg * (int64_t)sizeof *t->item)))
    return mr_check_memory(c);
  t->phys = mr_phys_of(&n->arg[0]->type);
  for (int i = 1; i < n->n_arg; i++) {
    if (n->arg[i]->null)
      t->has_null = true;
    else
      t->item[t->n++] = n->arg[i]->value;
  }
  qsort(t->item, (size_t)t->n, sizeof *t->item, cmp_of(t->phys));
  n->data = t;
  n->n_arg = 1;
  n->run = run_table;
  return MR_OK;
}

/* ---- one by one */

struct list {
  struct mr_compare *pair; /* for items 1 .. n_arg - 1 */
};

static void or_equal(struct mr_run *r, const struct mr_compare *k, struct mr_vec *const *pair,
                     struct mr_vec *out)
{
  int8_t sign[MR_CHUNK];
  memset(sign, 1, sizeof sign);
  k->sign(r, k, pair, sign);
  for (int64_t i = 0; i < r->n; i++) {
    if (out->valid[i] && MR_VB(out)[i])
      continue;
    bool known = pair[0]->valid[i] && pair[1]->valid[i];
    MR_VB(out)[i] = known && !sign[i];
    out->valid[i] = MR_VB(out)[i] || (known && out->valid[i]);
  }
}

static void run_list(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                     struct mr_vec *out)
{
  const struct list *l = n->data;
  memset(MR_VB(out), 0, MR_CHUNK);
  for (int j = 1; j < n->n_arg; j++) {
    struct mr_vec *const pair[] = {arg[0], arg[j]};
    or_equal(r, &l->pair[j], pair, out);
  }
}

static int make_list(struct mr_check *c, struct mr_node *n)
{
  struct list *l = mr_check_alloc(c, sizeof *l);
  if (n->n_arg > MR_MAX_ARGS + 1)
    return mr_check_fail(c, n, "IN with more than %d items needs constants of one type",
                         MR_MAX_ARGS);
  if (!l || !(l->pair = mr_check_alloc(c, n->n_arg * (int64_t)sizeof *l->pair)))
    return mr_check_memory(c);
  for (int j = 1; j < n->n_arg; j++) {
    int st = mr_compare_pair(c, n, 0, j, &l->pair[j]);
    if (st < 0)
      return st;
  }
  n->data = l;
  n->null_ok = true;
  n->run = run_list;
  return MR_OK;
}

int mr_in_check(struct mr_check *c, struct mr_node *n)
{
  bool table;
  int st = mr_check_args(c, n);
  if (st < 0 || (st = is_table(c, n, &table)) < 0)
    return st;
  n->type = mr_xtype_of_kind(MR_K_BOOL);
  return table ? make_table(c, n) : make_list(c, n);
}
