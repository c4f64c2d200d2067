/* SPDX-License-Identifier: Apache-2.0 */
/* ABS ROUND FLOOR CEIL TRUNC SIGN POWER SQRT LN LOG10 EXP */
#include "expr/scalar.h"
#include <math.h>

#define KERNEL(name)                                                                     \
  static void name(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg, \
                   struct mr_vec *out)

static void out_of_range(struct mr_run *r, const struct mr_node *n, struct mr_vec *out, int64_t i)
{
  mr_run_bad(r, n, out, i, MR_E_RANGE, "the result is out of range");
}

static int want_number(struct mr_check *c, struct mr_node *n)
{
  char type[128];
  struct mr_node *x = n->arg[0];
  if (x->kind == MR_N_CONST && x->null)
    return mr_coerce_arg(c, n, 0, mr_xtype_of_kind(MR_K_FLOAT64));
  if (mr_xtype_is_number(&x->type))
    return MR_OK;
  return mr_check_fail(c, x, "`%s` takes a number, not %s", n->name,
                       mr_xtype_name(&x->type, type, sizeof type));
}

/* ---- ABS, SIGN */

KERNEL(abs_i64)
{
  for (int64_t i = 0; i < r->n; i++) {
    int64_t v = MR_VI(arg[0])[i];
    if (r->live[i] && v == INT64_MIN)
      out_of_range(r, n, out, i);
    else
      MR_VI(out)[i] = v < 0 ? (int64_t) - (uint64_t)v : v;
  }
}

KERNEL(abs_u64)
{
  memcpy(out->data, arg[0]->data, (size_t)r->n * 8);
}

KERNEL(abs_f64)
{
  for (int64_t i = 0; i < r->n; i++)
    MR_VF(out)[i] = fabs(MR_VF(arg[0])[i]);
}

KERNEL(abs_dec)
{
  for (int64_t i = 0; i < r->n; i++) {
    mr_i128 v = MR_VD(arg[0])[i];
    MR_VD(out)[i] = v < 0 ? (mr_i128) - (mr_u128)v : v;
  }
}

KERNEL(sign_i64)
{
  for (int64_t i = 0; i < r->n; i++)
    MR_VI(out)[i] = (MR_VI(arg[0])[i] > 0) - (MR_VI(arg[0])[i] < 0);
}

KERNEL(sign_u64)
{
  for (int64_t i = 0; i < r->n; i++)
    MR_VI(out)[i] = MR_VU(arg[0])[i] > 0;
}

KERNEL(sign_f64)
{
  for (int64_t i = 0; i < r->n; i++) {
    double v = MR_VF(arg[0])[i];
    MR_VF(out)[i] = isnan(v) ? v : (v > 0) - (v < 0);
  }
}

KERNEL(sign_dec)
{
  for (int64_t i = 0; i < r->n; i++)
    MR_VI(out)[i] = (MR_VD(arg[0])[i] > 0) - (MR_VD(arg[0])[i] < 0);
}

static int check_abs(struct mr_check *c, struct mr_node *n)
{
  static mr_kernel_fn *const kernels[] = {
      [MR_P_I64] = abs_i64, [MR_P_U64] = abs_u64, [MR_P_F64] = abs_f64, [MR_P_DEC] = abs_dec};
  int st = mr_check_args(c, n);
  if (st < 0 || (st = want_number(c, n)) < 0)
    return st;
  n->type = n->arg[0]->type;
  if (mr_phys_of(&n->type) == MR_P_I64)
    n->type = mr_xtype_of_kind(MR_K_INT64);
  n->run = kernels[mr_phys_of(&n->type)];
  return MR_OK;
}

static int check_sign(struct mr_check *c, struct mr_node *n)
{
  static mr_kernel_fn *const kernels[] = {
      [MR_P_I64] = sign_i64, [MR_P_U64] = sign_u64, [MR_P_F64] = sign_f64, [MR_P_DEC] = sign_dec};
  int st = mr_check_args(c, n);
  if (st < 0 || (st = want_number(c, n)) < 0)
    return st;
  n->run = kernels[mr_phys_of(&n->arg[0]->type)];
  n->type = mr_xtype_of_kind(mr_xtype_is_float(&n->arg[0]->type) ? MR_K_FLOAT64 : MR_K_INT64);
  return MR_OK;
}

/* ---- ROUND, TRUNC, FLOOR, CEIL */

enum way { ROUND, TRUNC, FLOOR, CEIL };
struct rounding {
  enum way way;
  int from, to; /* scales of a decimal */
};

static enum way way_of(const char *name)
{
  return name[0] == 'r' ? ROUND : name[0] == 't' ? TRUNC : name[0] == 'f' ? FLOOR : CEIL;
}

KERNEL(same_value)
{
  memcpy(out->data, arg[0]->data, (size_t)r->n * 8);
}

KERNEL(round_f64)
{
  const struct rounding *k = n->data;
  for (int64_t i = 0; i < r->n; i++) {
    double v = MR_VF(arg[0])[i];
    MR_VF(out)
    [i] = k->way == ROUND   ? nearbyint(v)
          : k->way == TRUNC ? trunc(v)
          : k->way == FLOOR ? floor(v)
                            : ceil(v);
  }
}

static mr_i128 cut(mr_i128 v, const struct rounding *k)
{
  mr_i128 d = mr_pow10(k->from - k->to), q = v / d, rest = v % d;
  if (k->way == FLOOR)
    return q - (rest < 0);
  if (k->way == CEIL)
    return q + (rest > 0);
  if (k->way == TRUNC)
    return q;
  return q + (rest >= d - rest) - (-rest >= d + rest);
}

KERNEL(round_dec)
{
  const struct rounding *k = n->data;
  for (int64_t i = 0; i < r->n; i++)
    if (r->live[i])
      MR_VD(out)[i] = cut(MR_VD(arg[0])[i], k);
}

/* The places to round to: a constant, 0 to the scale. */
static int places(struct mr_check *c, struct mr_node *n, int scale, int *ret)
{
  *ret = 0;
  if (n->n_arg == 1)
    return MR_OK;
  const struct mr_node *x = n->arg[1];
  if (x->kind != MR_N_CONST || x->null || x->type.kind != MR_K_INT64 || x->value.i < 0 ||
      x->value.i > 38)
    return mr_check_fail(c, x, "the number of decimals is a constant from 0 to 38");
  *ret = x->value.i < scale ? (int)x->value.i : scale;
  n->n_arg = 1;
  return MR_OK;
}

static int check_round(struct mr_check *c, struct mr_node *n)
{
  struct rounding *k = mr_check_alloc(c, sizeof *k);
  int st = mr_check_args(c, n);
  if (!k)
    return mr_check_memory(c);
  if (st < 0 || (st = want_number(c, n)) < 0)
    return st;
  const struct mr_xtype *t = &n->arg[0]->type;
  if (mr_xtype_is_float(t) && n->n_arg == 2)
    return mr_check_fail(c, n, "%s with decimals is for decimal: CAST(x AS decimal(38,10))",
                         n->name);
  *k = (struct rounding){way_of(n->name), t->scale, 0};
  if ((st = places(c, n, t->scale, &k->to)) < 0)
    return st;
  n->data = k;
  n->type = *t;
  n->run = mr_xtype_is_float(t) ? round_f64 : t->kind == MR_K_DECIMAL ? round_dec : same_value;
  if (t->kind == MR_K_DECIMAL) {
    int p = t->precision - t->scale + 1 + k->to;
    n->type = mr_xtype_decimal(p > 38 ? 38 : p, k->to);
  }
  return MR_OK;
}

/* ---- floats */

KERNEL(run_sqrt)
{
  for (int64_t i = 0; i < r->n; i++) {
    double v = MR_VF(arg[0])[i];
    if (r->live[i] && v < 0)
      mr_run_bad(r, n, out, i, MR_E_POWER, "the root of a negative number");
    else
      MR_VF(out)[i] = sqrt(v);
  }
}

KERNEL(run_log)
{
  for (int64_t i = 0; i < r->n; i++) {
    double v = MR_VF(arg[0])[i];
    if (r->live[i] && v <= 0)
      mr_run_bad(r, n, out, i, MR_E_LOG, "the logarithm of zero or less");
    else
      MR_VF(out)[i] = n->name[1] == 'n' ? log(v) : log10(v);
  }
}

KERNEL(run_exp)
{
  for (int64_t i = 0; i < r->n; i++) {
    double v = MR_VF(arg[0])[i];
    if (!r->live[i])
      continue;
    MR_VF(out)[i] = exp(v);
    if (isinf(MR_VF(out)[i]) && isfinite(v))
      out_of_range(r, n, out, i);
  }
}

KERNEL(run_power)
{
  for (int64_t i = 0; i < r->n; i++) {
    double a = MR_VF(arg[0])[i], b = MR_VF(arg[1])[i];
    if (!r->live[i])
      continue;
    if ((a == 0 && b < 0) || (a < 0 && isfinite(b) && b != trunc(b))) {
      mr_run_bad(r, n, out, i, MR_E_POWER, "a power that is no real number");
      continue;
    }
    MR_VF(out)[i] = pow(a, b);
    if (isinf(MR_VF(out)[i]) && isfinite(a) && isfinite(b))
      out_of_range(r, n, out, i);
  }
}

static mr_kernel_fn *float_kernel(const char *name)
{
  switch (name[0]) {
  case 's': return run_sqrt;
  case 'l': return run_log;
  case 'e': return run_exp;
  default: return run_power;
  }
}

static int check_float(struct mr_check *c, struct mr_node *n)
{
  int st = mr_check_args(c, n);
  if (st < 0 || (st = want_number(c, n)) < 0)
    return st;
  n->type = mr_xtype_of_kind(MR_K_FLOAT64);
  n->run = float_kernel(n->name);
  for (int i = 0; st >= 0 && i < n->n_arg; i++) {
    if (i && !mr_xtype_is_number(&n->arg[i]->type) && n->arg[i]->type.kind != MR_K_NULL)
      return mr_check_fail(c, n->arg[i], "`%s` takes numbers", n->name);
    st = mr_coerce_arg(c, n, i, n->type);
  }
  return st;
}

const struct mr_function mr_math_functions[] = {
    {"abs", 1, 1, check_abs, "ABS(x)"},
    {"sign", 1, 1, check_sign, "SIGN(x)"},
    {"round", 1, 2, check_round, "ROUND(x [, decimals])"},
    {"trunc", 1, 2, check_round, "TRUNC(x [, decimals])"},
    {"floor", 1, 1, check_round, "FLOOR(x)"},
    {"ceil", 1, 1, check_round, "CEIL(x)"},
    {"ceiling", 1, 1, check_round, "CEILING(x)"},
    {"sqrt", 1, 1, check_float, "SQRT(x)"},
    {"ln", 1, 1, check_float, "LN(x)"},
    {"log10", 1, 1, check_float, "LOG10(x)"},
    {"exp", 1, 1, check_float, "EXP(x)"},
    {"power", 2, 2, check_float, "POWER(a, b)"},
    {"pow", 2, 2, check_float, "POW(a, b)"},
    {NULL}};
