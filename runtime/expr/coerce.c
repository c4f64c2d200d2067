/* SPDX-License-Identifier: Apache-2.0 */
/* How arguments of different types meet: literals adapt, numbers widen where nothing is lost. */
#include "expr/cast.h"

static int coerce_literal(struct mr_check *c, struct mr_node *n, struct mr_node *x,
                          struct mr_xtype to)
{
  char type[96];
  struct mr_span s = x->value.s;
  bool text = x->type.kind == MR_K_TEXT;
  struct mr_node *call = mr_node_new(&c->e->arena, MR_N_CALL, x->line, x->col);
  struct mr_node *copy = mr_check_alloc(c, sizeof *copy);
  if (!call || !copy || !(call->arg = mr_check_alloc(c, sizeof *call->arg)))
    return mr_check_memory(c);
  *copy = *x;
  call->name = "cast";
  call->arg[0] = copy;
  call->n_arg = 1;
  int st = mr_cast_make(c, call, to, false);
  if (st < 0 || (call->kind != MR_N_CONST && (st = mr_check_finish(c, call)) < 0))
    return st;
  if (call->kind != MR_N_CONST)
    return mr_check_fail(c, x, "%s%.*s%s is no %s", text ? "'" : "this ",
                         text ? (int)(s.n > 60 ? 60 : s.n) : 7, text ? s.p : "literal",
                         text ? "'" : "", mr_xtype_name(&to, type, sizeof type));
  *x = *call;
  return MR_OK;
}

int mr_coerce_arg(struct mr_check *c, struct mr_node *n, int i, struct mr_xtype to)
{
  struct mr_node *x = n->arg[i], *cast;
  if (mr_xtype_equal(&x->type, &to))
    return MR_OK;
  if (x->kind == MR_N_CONST && x->null) {
    x->type = to;
    return MR_OK;
  }
  if (x->kind == MR_N_CONST && x->literal)
    return coerce_literal(c, n, x, to);
  cast = mr_node_new(&c->e->arena, MR_N_CALL, x->line, x->col);
  if (!cast || !(cast->arg = mr_check_alloc(c, sizeof *cast->arg)))
    return mr_check_memory(c);
  cast->name = "cast";
  cast->arg[0] = x;
  cast->n_arg = 1;
  int st = mr_cast_make(c, cast, to, false);
  if (st < 0 || (st = mr_check_finish(c, cast)) < 0)
    return st;
  n->arg[i] = cast;
  return MR_OK;
}

/* ---- literals */

static bool is_literal(const struct mr_node *x)
{
  return x->kind == MR_N_CONST && x->literal;
}

/* The literal's value as a whole number. */
static bool whole(const struct mr_node *x, mr_i128 *ret)
{
  if (x->type.kind == MR_K_INT64)
    *ret = x->value.i;
  else if (x->type.kind == MR_K_UINT64)
    *ret = x->value.u;
  else
    return false;
  return true;
}

static bool fits_int(const struct mr_node *x, int kind)
{
  mr_i128 v, min, max;
  mr_cast_int_range(kind, &min, &max);
  return whole(x, &v) && v >= min && v <= max;
}

/* A number literal that a decimal type holds exactly. */
static bool fits_decimal(const struct mr_node *x, const struct mr_xtype *to)
{
  mr_i128 v;
  if (x->type.kind == MR_K_DECIMAL)
    v = x->value.d;
  else if (!whole(x, &v))
    return false;
  return x->type.scale <= to->scale && mr_decimal_rescale(v, x->type.scale, to->scale, &v) &&
         mr_decimal_fits(v, to->precision);
}

/* Decimal literals are meant as the nearest float; whole numbers have to be exact. */
static bool fits_float(const struct mr_node *x, const struct mr_xtype *to)
{
  mr_i128 v;
  double d = to->kind == MR_K_FLOAT32 ? 16777216 : 9007199254740992;
  if (x->type.kind == MR_K_FLOAT64)
    return to->kind == MR_K_FLOAT64;
  if (x->type.kind == MR_K_DECIMAL)
    return to->kind == MR_K_FLOAT64;
  return whole(x, &v) && v <= (mr_i128)d && v >= -(mr_i128)d;
}

/* May the literal become the type without loss? */
static bool adapts(const struct mr_node *x, const struct mr_xtype *to)
{
  if (x->null)
    return true;
  if (x->type.kind == MR_K_TEXT)
    return to->kind == MR_K_DATE || to->kind == MR_K_TIME || to->kind == MR_K_TIMESTAMP ||
           to->kind == MR_K_FIXED || to->kind == MR_K_INTERVAL || to->kind == MR_K_BINARY;
  if (mr_xtype_is_int(to))
    return fits_int(x, to->kind);
  if (to->kind == MR_K_DECIMAL)
    return fits_decimal(x, to);
  return mr_xtype_is_float(to) && fits_float(x, to);
}

int mr_coerce_literals(struct mr_check *c, struct mr_node *n, int i, int j)
{
  struct mr_node *a = n->arg[i], *b = n->arg[j];
  if (is_literal(a) && !is_literal(b) && adapts(a, &b->type))
    return mr_coerce_arg(c, n, i, b->type);
  if (is_literal(b) && !is_literal(a) && adapts(b, &a->type))
    return mr_coerce_arg(c, n, j, a->type);
  if (a->null && is_literal(a))
    return mr_coerce_arg(c, n, i, b->type);
  if (b->null && is_literal(b))
    return mr_coerce_arg(c, n, j, a->type);
  return MR_OK;
}

/* ---- one type for several */

/* Digits before the point that hold every value of a number type that is no float. */
static int whole_digits(const struct mr_xtype *t)
{
  static const int digits[] = {
      [MR_K_INT8] = 3,  [MR_K_INT16] = 5,  [MR_K_INT32] = 10,  [MR_K_INT64] = 19,
      [MR_K_UINT8] = 3, [MR_K_UINT16] = 5, [MR_K_UINT32] = 10, [MR_K_UINT64] = 20};
  return t->kind == MR_K_DECIMAL ? t->precision - t->scale : digits[t->kind];
}

struct mr_xtype mr_coerce_as_decimal(const struct mr_xtype *t)
{
  return t->kind == MR_K_DECIMAL ? *t : mr_xtype_decimal(whole_digits(t), 0);
}

/* Whether every value of `from` is one of `to`; both integers. */
static bool int_holds(const struct mr_xtype *to, const struct mr_xtype *from)
{
  mr_i128 a, b, c, d;
  mr_cast_int_range(to->kind, &a, &b);
  mr_cast_int_range(from->kind, &c, &d);
  return a <= c && d <= b;
}

static bool unify_ints(const struct mr_xtype *a, const struct mr_xtype *b, struct mr_xtype *ret)
{
  struct mr_xtype int64 = mr_xtype_of_kind(MR_K_INT64);
  if (int_holds(a, b))
    *ret = *a;
  else if (int_holds(b, a))
    *ret = *b;
  else if (a->kind != MR_K_UINT64 && b->kind != MR_K_UINT64)
    *ret = int64;
  else
    *ret = mr_xtype_decimal(20, 0);
  return true;
}

static bool unify_exact(const struct mr_xtype *a, const struct mr_xtype *b, struct mr_xtype *ret)
{
  int wa = whole_digits(a), wb = whole_digits(b), w = wa > wb ? wa : wb;
  int s = a->scale > b->scale ? a->scale : b->scale;
  if (w + s > 38)
    return false;
  *ret = mr_xtype_decimal(w + s, s);
  return true;
}

static bool unify(const struct mr_xtype *a, const struct mr_xtype *b, struct mr_xtype *ret)
{
  if (mr_xtype_equal(a, b))
    return *ret = *a, true;
  if (mr_xtype_is_float(a) && mr_xtype_is_float(b))
    return *ret = mr_xtype_of_kind(MR_K_FLOAT64), true;
  if (mr_xtype_is_float(a) || mr_xtype_is_float(b))
    return false;
  if (mr_xtype_is_int(a) && mr_xtype_is_int(b))
    return unify_ints(a, b, ret);
  if (mr_xtype_is_number(a) && mr_xtype_is_number(b))
    return unify_exact(a, b, ret);
  return false;
}

static int mixed(struct mr_check *c, const struct mr_node *x, const char *what,
                 const struct mr_xtype *a, const struct mr_xtype *b)
{
  char an[96], bn[96];
  return mr_check_fail(c, x, "%s have different types: %s and %s; CAST one of them", what,
                       mr_xtype_name(a, an, sizeof an), mr_xtype_name(b, bn, sizeof bn));
}

/* The type of those that are no literals (first pass), then of the literals that do not adapt to
 * it. */
static int find_type(struct mr_check *c, struct mr_node *n, const int *index, int n_index,
                     const char *what, struct mr_xtype *t)
{
  bool found = false;
  for (int pass = 0; pass < 2; pass++)
    for (int k = 0; k < n_index; k++) {
      const struct mr_node *x = n->arg[index[k]];
      struct mr_xtype both;
      if (is_literal(x) != (pass == 1) || (x->null && is_literal(x)))
        continue;
      if (!found || x->type.kind == MR_K_NULL) {
        *t = found ? *t : x->type;
        found = true;
      } else if (!(pass == 1 && adapts(x, t))) {
        if (!unify(t, &x->type, &both))
          return mixed(c, x, what, t, &x->type);
        *t = both;
      }
    }
  if (!found)
    *t = mr_xtype_of_kind(MR_K_NULL);
  return MR_OK;
}

int mr_coerce_unify(struct mr_check *c, struct mr_node *n, const int *index, int n_index,
                    const char *what, struct mr_xtype *ret)
{
  struct mr_xtype t = mr_xtype_of_kind(MR_K_NULL);
  int st = find_type(c, n, index, n_index, what, &t);
  if (st < 0)
    return st;
  if (mr_phys_of(&t) == MR_P_ANY && t.kind != MR_K_NULL) {
    char name[128];
    return mr_check_fail(c, n, "%s cannot be %s", what, mr_xtype_name(&t, name, sizeof name));
  }
  for (int k = 0; k < n_index; k++)
    if ((st = mr_coerce_arg(c, n, index[k], t)) < 0)
      return st;
  *ret = t;
  return MR_OK;
}

/* ---- what a function wants */

static int wants(struct mr_check *c, const struct mr_node *n, int i, const char *what)
{
  char type[128];
  const struct mr_function *f = mr_function_find(n->name);
  const struct mr_node *x = n->arg[i];
  mr_xtype_name(&x->type, type, sizeof type);
  if (f && f->usage)
    return mr_check_fail(c, x, "argument %d of %s is %s, not %s", i + 1, f->usage, what, type);
  return mr_check_fail(c, x, "`%s` takes %s, not %s", n->name, what, type);
}

int mr_want_text(struct mr_check *c, struct mr_node *n, int i)
{
  if (n->arg[i]->null && is_literal(n->arg[i]))
    return mr_coerce_arg(c, n, i, mr_xtype_of_kind(MR_K_TEXT));
  return mr_xtype_is_text(&n->arg[i]->type) ? MR_OK : wants(c, n, i, "text");
}

/* An integer of any size, as int64 (a uint64 beyond it is a bad row). */
int mr_want_int(struct mr_check *c, struct mr_node *n, int i)
{
  struct mr_node *x = n->arg[i];
  if (!(x->null && is_literal(x)) && !mr_xtype_is_int(&x->type))
    return wants(c, n, i, "an integer");
  return mr_coerce_arg(c, n, i, mr_xtype_of_kind(MR_K_INT64));
}

int mr_want_kind(struct mr_check *c, struct mr_node *n, int i, int kind)
{
  struct mr_xtype t = mr_xtype_of_kind(kind);
  struct mr_node *x = n->arg[i];
  char name[96];
  if (x->type.kind == kind)
    return MR_OK;
  if (is_literal(x) && adapts(x, &t))
    return mr_coerce_arg(c, n, i, t);
  return wants(c, n, i, mr_xtype_name(&t, name, sizeof name));
}

int mr_want_const_text(struct mr_check *c, struct mr_node *n, int i, const char **ret)
{
  struct mr_node *x = n->arg[i];
  if (x->kind != MR_N_CONST || x->null || x->type.kind != MR_K_TEXT)
    return wants(c, n, i, "a constant text");
  *ret = mr_arena_strndup(&c->e->arena, x->value.s.p, x->value.s.n);
  return *ret ? MR_OK : mr_check_memory(c);
}
