/* SPDX-License-Identifier: Apache-2.0 */
/* + - * / % and the sign, on integers, decimals and floats. Nothing wraps: what does not fit is a
 * bad row. */
#include "expr/scalar.h"
#include <math.h>
#include <stdio.h>

static void out_of_range(struct mr_run *r, const struct mr_node *n, struct mr_vec *out, int64_t i)
{
  mr_run_bad(r, n, out, i, MR_E_RANGE, "the result is out of range");
}

static void by_zero(struct mr_run *r, const struct mr_node *n, struct mr_vec *out, int64_t i)
{
  mr_run_bad(r, n, out, i, MR_E_DIVISION, "division by zero");
}

/* ---- integers: all rows at once; only when one overflowed a second pass finds out which */

#define INT_KERNEL(name, T, builtin)                                                     \
  static void name(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg, \
                   struct mr_vec *out)                                                   \
  {                                                                                      \
    const T *a = arg[0]->data, *b = arg[1]->data;                                        \
    T *o = out->data, v;                                                                 \
    bool bad = false;                                                                    \
    for (int64_t i = 0; i < r->n; i++)                                                   \
      bad |= builtin(a[i], b[i], &o[i]);                                                 \
    for (int64_t i = 0; bad && i < r->n; i++)                                            \
      if (r->live[i] && builtin(a[i], b[i], &v))                                         \
        out_of_range(r, n, out, i);                                                      \
  }

INT_KERNEL(add_i64, int64_t, __builtin_add_overflow)
INT_KERNEL(sub_i64, int64_t, __builtin_sub_overflow)
INT_KERNEL(mul_i64, int64_t, __builtin_mul_overflow)
INT_KERNEL(add_u64, uint64_t, __builtin_add_overflow)
INT_KERNEL(sub_u64, uint64_t, __builtin_sub_overflow)
INT_KERNEL(mul_u64, uint64_t, __builtin_mul_overflow)

static void div_i64(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                    struct mr_vec *out)
{
  const int64_t *a = arg[0]->data, *b = arg[1]->data;
  for (int64_t i = 0; i < r->n; i++) {
    if (!r->live[i])
      continue;
    if (!b[i])
      by_zero(r, n, out, i);
    else if (b[i] == -1 && a[i] == INT64_MIN)
      out_of_range(r, n, out, i);
    else
      MR_VI(out)[i] = a[i] / b[i];
  }
}

static void mod_i64(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                    struct mr_vec *out)
{
  const int64_t *a = arg[0]->data, *b = arg[1]->data;
  for (int64_t i = 0; i < r->n; i++) {
    if (!r->live[i])
      continue;
    if (!b[i])
      by_zero(r, n, out, i);
    else
      MR_VI(out)[i] = b[i] == -1 ? 0 : a[i] % b[i];
  }
}

static void div_u64(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                    struct mr_vec *out)
{
  const uint64_t *a = arg[0]->data, *b = arg[1]->data;
  for (int64_t i = 0; i < r->n; i++) {
    if (!r->live[i])
      continue;
    if (!b[i])
      by_zero(r, n, out, i);
    else
      MR_VU(out)[i] = a[i] / b[i];
  }
}

static void mod_u64(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                    struct mr_vec *out)
{
  const uint64_t *a = arg[0]->data, *b = arg[1]->data;
  for (int64_t i = 0; i < r->n; i++) {
    if (!r->live[i])
      continue;
    if (!b[i])
      by_zero(r, n, out, i);
    else
      MR_VU(out)[i] = a[i] % b[i];
  }
}

/* ---- floats */

#define FLOAT_KERNEL(name, op)                                                           \
  static void name(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg, \
                   struct mr_vec *out)                                                   \
  {                                                                                      \
    const double *a = arg[0]->data, *b = arg[1]->data;                                   \
    double *o = out->data;                                                               \
    for (int64_t i = 0; i < r->n; i++)                                                   \
      o[i] = a[i] op b[i];                                                               \
    for (int64_t i = 0; i < r->n; i++)                                                   \
      if (isinf(o[i]) && r->live[i] && isfinite(a[i]) && isfinite(b[i]))                 \
        out_of_range(r, n, out, i);                                                      \
  }

FLOAT_KERNEL(add_f64, +)
FLOAT_KERNEL(sub_f64, -)
FLOAT_KERNEL(mul_f64, *)

static void div_f64(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                    struct mr_vec *out)
{
  const double *a = arg[0]->data, *b = arg[1]->data;
  for (int64_t i = 0; i < r->n; i++) {
    if (!r->live[i])
      continue;
    if (b[i] == 0)
      by_zero(r, n, out, i);
    else
      MR_VF(out)[i] = a[i] / b[i];
    if (b[i] != 0 && isinf(MR_VF(out)[i]) && isfinite(a[i]))
      out_of_range(r, n, out, i);
  }
}

static void mod_f64(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                    struct mr_vec *out)
{
  const double *a = arg[0]->data, *b = arg[1]->data;
  for (int64_t i = 0; i < r->n; i++) {
    if (!r->live[i])
      continue;
    if (b[i] == 0)
      by_zero(r, n, out, i);
    else
      MR_VF(out)[i] = fmod(a[i], b[i]);
  }
}

/* ---- decimals */

struct scales {
  int a, b, to, precision;
};

#define DECIMAL_KERNEL(name, statement)                                                  \
  static void name(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg, \
                   struct mr_vec *out)                                                   \
  {                                                                                      \
    const struct scales *s = n->data;                                                    \
    for (int64_t i = 0; i < r->n; i++) {                                                 \
      mr_i128 a = MR_VD(arg[0])[i], b = MR_VD(arg[1])[i], v = 0;                         \
      if (!r->live[i])                                                                   \
        continue;                                                                        \
      bool ok = statement;                                                               \
      if (!ok || !mr_decimal_fits(v, s->precision))                                      \
        out_of_range(r, n, out, i);                                                      \
      else                                                                               \
        MR_VD(out)[i] = v;                                                               \
    }                                                                                    \
  }

/* The same with a test for zero in front. */
#define DECIMAL_DIVISION(name, statement)                                                \
  static void name(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg, \
                   struct mr_vec *out)                                                   \
  {                                                                                      \
    const struct scales *s = n->data;                                                    \
    for (int64_t i = 0; i < r->n; i++) {                                                 \
      mr_i128 a = MR_VD(arg[0])[i], b = MR_VD(arg[1])[i], v = 0;                         \
      if (!r->live[i])                                                                   \
        continue;                                                                        \
      if (!b) {                                                                          \
        by_zero(r, n, out, i);                                                           \
        continue;                                                                        \
      }                                                                                  \
      bool ok = statement;                                                               \
      if (!ok || !mr_decimal_fits(v, s->precision))                                      \
        out_of_range(r, n, out, i);                                                      \
      else                                                                               \
        MR_VD(out)[i] = v;                                                               \
    }                                                                                    \
  }

static bool align(const struct scales *s, mr_i128 *a, mr_i128 *b)
{
  return mr_decimal_rescale(*a, s->a, s->to, a) && mr_decimal_rescale(*b, s->b, s->to, b);
}

DECIMAL_KERNEL(add_dec, align(s, &a, &b) && (v = a + b, true))
DECIMAL_KERNEL(sub_dec, align(s, &a, &b) && (v = a - b, true))
DECIMAL_KERNEL(mul_dec, !__builtin_mul_overflow(a, b, &v))
DECIMAL_DIVISION(div_dec, mr_decimal_muldiv(a, mr_pow10(s->to - s->a + s->b), b, &v))
DECIMAL_DIVISION(mod_dec, align(s, &a, &b) && (v = a % b, true))
DECIMAL_DIVISION(div_whole, (v = a / b, true))

/* ---- the sign */

static void neg_i64(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                    struct mr_vec *out)
{
  for (int64_t i = 0; i < r->n; i++) {
    int64_t v = MR_VI(arg[0])[i];
    if (r->live[i] && v == INT64_MIN)
      out_of_range(r, n, out, i);
    else
      MR_VU(out)[i] = -(uint64_t)v;
  }
}

static void neg_u64(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                    struct mr_vec *out)
{
  for (int64_t i = 0; i < r->n; i++)
    MR_VD(out)[i] = -(mr_i128)MR_VU(arg[0])[i];
}

static void neg_f64(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                    struct mr_vec *out)
{
  for (int64_t i = 0; i < r->n; i++)
    MR_VF(out)[i] = -MR_VF(arg[0])[i];
}

static void neg_dec(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                    struct mr_vec *out)
{
  for (int64_t i = 0; i < r->n; i++)
    MR_VD(out)[i] = (mr_i128) - (mr_u128)MR_VD(arg[0])[i];
}

static void neg_ival(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                     struct mr_vec *out)
{
  for (int64_t i = 0; i < r->n; i++) {
    struct mr_ival v = MR_VV(arg[0])[i];
    if (!r->live[i])
      continue;
    if (v.months == INT32_MIN || v.days == INT32_MIN || v.us == INT64_MIN) {
      out_of_range(r, n, out, i);
      continue;
    }
    MR_VV(out)[i] = (struct mr_ival){-v.months, -v.days, -v.us};
  }
}

static int wrong_type(struct mr_check *c, const struct mr_node *n)
{
  char a[128], b[128];
  const char *op = !strcmp(n->name, "neg") ? "-" : !strcmp(n->name, "pos") ? "+" : n->name;
  mr_xtype_name(&n->arg[0]->type, a, sizeof a);
  if (n->n_arg == 1)
    return mr_check_fail(c, n, "no operator %s for %s", op, a);
  bool text = n->arg[0]->type.kind == MR_K_TEXT || n->arg[1]->type.kind == MR_K_TEXT;
  return mr_check_fail(c, n, "no operator %s for %s and %s%s", op, a,
                       mr_xtype_name(&n->arg[1]->type, b, sizeof b),
                       text && *op == '+' ? " (texts are joined by ||)"
                       : text             ? " (CAST the text)"
                                          : "");
}

static int check_neg(struct mr_check *c, struct mr_node *n)
{
  static mr_kernel_fn *const kernels[] = {[MR_P_I64] = neg_i64,
                                          [MR_P_U64] = neg_u64,
                                          [MR_P_F64] = neg_f64,
                                          [MR_P_DEC] = neg_dec,
                                          [MR_P_IVAL] = neg_ival};
  int st = mr_check_args(c, n);
  if (st < 0)
    return st;
  struct mr_xtype *t = &n->arg[0]->type;
  if (t->kind == MR_K_NULL) {
    st = mr_coerce_arg(c, n, 0, mr_xtype_of_kind(MR_K_INT64));
    if (st < 0)
      return st;
    t = &n->arg[0]->type;
  }
  if (!mr_xtype_is_number(t) && t->kind != MR_K_INTERVAL)
    return wrong_type(c, n);
  n->run = kernels[mr_phys_of(t)];
  n->type = *t;
  if (t->kind == MR_K_UINT64)
    n->type = mr_xtype_decimal(20, 0);
  else if (mr_xtype_is_int(t))
    n->type = mr_xtype_of_kind(MR_K_INT64);
  else if (mr_xtype_is_float(t))
    n->type = mr_xtype_of_kind(MR_K_FLOAT64);
  return MR_OK;
}

static int check_pos(struct mr_check *c, struct mr_node *n)
{
  int st = mr_check_args(c, n);
  if (st < 0)
    return st;
  const struct mr_xtype *t = &n->arg[0]->type;
  if (!mr_xtype_is_number(t) && t->kind != MR_K_INTERVAL)
    return wrong_type(c, n);
  *n = *n->arg[0];
  return MR_OK;
}

/* ---- operators */

enum op { OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_MOD };

static enum op op_of(const struct mr_node *n)
{
  switch (n->name[0]) {
  case '+': return OP_ADD;
  case '-': return OP_SUB;
  case '*': return OP_MUL;
  case '/': return OP_DIV;
  default: return OP_MOD; /* % and mod */
  }
}

static int coerce_both(struct mr_check *c, struct mr_node *n, struct mr_xtype t)
{
  int st = mr_coerce_arg(c, n, 0, t);
  return st < 0 ? st : mr_coerce_arg(c, n, 1, t);
}

static int check_ints(struct mr_check *c, struct mr_node *n, int kind)
{
  static mr_kernel_fn *const i64[] = {add_i64, sub_i64, mul_i64, div_i64, mod_i64};
  static mr_kernel_fn *const u64[] = {add_u64, sub_u64, mul_u64, div_u64, mod_u64};
  n->type = mr_xtype_of_kind(kind);
  n->run = (kind == MR_K_UINT64 ? u64 : i64)[op_of(n)];
  return coerce_both(c, n, n->type);
}

static int check_floats(struct mr_check *c, struct mr_node *n)
{
  static mr_kernel_fn *const f64[] = {add_f64, sub_f64, mul_f64, div_f64, mod_f64};
  n->type = mr_xtype_of_kind(MR_K_FLOAT64);
  n->run = f64[op_of(n)];
  return coerce_both(c, n, n->type);
}

/* A whole literal counts with the digits it has: price * 2 is not price * decimal(19,0). */
static struct mr_xtype decimal_of(const struct mr_node *x)
{
  char digits[MR_PRINT];
  if (x->kind != MR_N_CONST || x->null || x->type.kind != MR_K_INT64)
    return mr_coerce_as_decimal(&x->type);
  int64_t v = x->value.i;
  return mr_xtype_decimal((int)mr_print_int(v < 0 ? -(mr_i128)v : v, digits), 0);
}

static int max(int a, int b)
{
  return a > b ? a : b;
}

/* Result digits: enough for every result where 38 allow it; see docs/expressions.md. */
static void decimal_result(enum op op, const struct mr_xtype *a, const struct mr_xtype *b,
                           struct scales *s)
{
  int wa = a->precision - a->scale, wb = b->precision - b->scale;
  int scale = max(a->scale, b->scale), whole = max(wa, wb);
  switch (op) {
  case OP_MUL:
    scale = a->scale + b->scale;
    whole = wa + wb;
    break;
  case OP_DIV:
    scale = max(scale, 6);
    whole = wa + b->scale;
    break;
  case OP_MOD: whole = wa < wb ? wa : wb; break;
  default: whole++;
  }
  int p = max(whole + scale, 1);
  *s = (struct scales){a->scale, b->scale, scale, p > 38 ? 38 : p};
}

static int check_decimals(struct mr_check *c, struct mr_node *n, bool whole)
{
  static mr_kernel_fn *const dec[] = {add_dec, sub_dec, mul_dec, div_dec, mod_dec};
  struct mr_xtype a = decimal_of(n->arg[0]), b = decimal_of(n->arg[1]);
  struct scales *s = mr_check_alloc(c, sizeof *s);
  enum op op = op_of(n);
  int st;
  if (!s)
    return mr_check_memory(c);
  decimal_result(op, &a, &b, s);
  n->run = dec[op];
  if (whole && op == OP_DIV) { /* integers of mixed sign: whole, cut off, as integers divide */
    *s = (struct scales){0, 0, 0, 20};
    n->run = div_whole;
  }
  if (s->to > 38 || (op == OP_DIV && s->to - s->a + s->b > 38))
    return mr_check_fail(c, n, "the result would need more than 38 digits: CAST to fewer decimals");
  n->data = s;
  n->type = mr_xtype_decimal(s->precision, s->to);
  if ((st = mr_coerce_arg(c, n, 0, a)) < 0)
    return st;
  return mr_coerce_arg(c, n, 1, b);
}

/* A NULL takes the other side's type; a whole literal beside a uint64 becomes one if it can. */
static int adapt_literals(struct mr_check *c, struct mr_node *n)
{
  for (int i = 0; i < 2; i++) {
    const struct mr_node *x = n->arg[i], *y = n->arg[1 - i];
    bool literal = x->kind == MR_N_CONST && x->literal;
    struct mr_xtype t = y->type.kind == MR_K_NULL ? mr_xtype_of_kind(MR_K_INT64) : y->type;
    if (literal &&
        (x->null || (t.kind == MR_K_UINT64 && x->type.kind == MR_K_INT64 && x->value.i >= 0))) {
      int st = mr_coerce_arg(c, n, i, t);
      if (st < 0)
        return st;
    }
  }
  return MR_OK;
}

static int check_numbers(struct mr_check *c, struct mr_node *n)
{
  const struct mr_xtype *a = &n->arg[0]->type, *b = &n->arg[1]->type;
  bool ints = mr_xtype_is_int(a) && mr_xtype_is_int(b);
  if (!mr_xtype_is_number(a) || !mr_xtype_is_number(b))
    return wrong_type(c, n);
  if (mr_xtype_is_float(a) || mr_xtype_is_float(b))
    return check_floats(c, n);
  if (!ints)
    return check_decimals(c, n, false);
  bool ua = a->kind == MR_K_UINT64, ub = b->kind == MR_K_UINT64;
  bool pa = ua || !mr_kind_is_signed((enum mr_kind)a->kind),
       pb = ub || !mr_kind_is_signed((enum mr_kind)b->kind);
  if (!ua && !ub)
    return check_ints(c, n, MR_K_INT64);
  return pa && pb ? check_ints(c, n, MR_K_UINT64) : check_decimals(c, n, true);
}

static int check_arith(struct mr_check *c, struct mr_node *n)
{
  int st = mr_check_args(c, n);
  if (st < 0)
    return st;
  if (mr_time_is(&n->arg[0]->type) || mr_time_is(&n->arg[1]->type))
    return mr_time_check_arith(c, n);
  if ((st = adapt_literals(c, n)) < 0)
    return st;
  return check_numbers(c, n);
}

const struct mr_function mr_arith_functions[] = {{"+", 2, 2, check_arith, NULL},
                                                 {"-", 2, 2, check_arith, NULL},
                                                 {"*", 2, 2, check_arith, NULL},
                                                 {"/", 2, 2, check_arith, NULL},
                                                 {"%", 2, 2, check_arith, NULL},
                                                 {"mod", 2, 2, check_arith, "MOD(a, b)"},
                                                 {"neg", 1, 1, check_neg, NULL},
                                                 {"pos", 1, 1, check_pos, NULL},
                                                 {NULL}};
