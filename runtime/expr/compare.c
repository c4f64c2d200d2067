/* SPDX-License-Identifier: Apache-2.0 */
/* = <> < > <= >=, IS DISTINCT FROM, NULLIF, GREATEST, LEAST. Numbers of different types compare
 * exactly. */
#include "expr/compare.h"
#include "expr/scalar.h"
#include <math.h>

/* ---- the sign of a - b for each row, into an int8_t vector */

#define SIGN_KERNEL(name, A, B, statement)                                                  \
  static void name(struct mr_run *r, const struct mr_compare *k, struct mr_vec *const *arg, \
                   int8_t *sign)                                                            \
  {                                                                                         \
    const A *va = arg[0]->data;                                                             \
    const B *vb = arg[1]->data;                                                             \
    for (int64_t i = 0; i < r->n; i++) {                                                    \
      A a = va[i];                                                                          \
      B b = vb[i];                                                                          \
      sign[i] = (int8_t)(statement);                                                        \
    }                                                                                       \
  }
/* The same for rows that are live only: where dead rows hold no readable values. */
#define LIVE_KERNEL(name, A, B, statement)                                                  \
  static void name(struct mr_run *r, const struct mr_compare *k, struct mr_vec *const *arg, \
                   int8_t *sign)                                                            \
  {                                                                                         \
    const A *va = arg[0]->data;                                                             \
    const B *vb = arg[1]->data;                                                             \
    for (int64_t i = 0; i < r->n; i++) {                                                    \
      if (!arg[0]->valid[i] || !arg[1]->valid[i] || !r->active[i])                          \
        continue;                                                                           \
      A a = va[i];                                                                          \
      B b = vb[i];                                                                          \
      sign[i] = (int8_t)(statement);                                                        \
    }                                                                                       \
  }

static int text_cmp(struct mr_span a, struct mr_span b)
{
  int64_t n = a.n < b.n ? a.n : b.n;
  int c = n ? memcmp(a.p, b.p, (size_t)n) : 0;
  return c ? (c > 0) - (c < 0) : (a.n > b.n) - (a.n < b.n);
}

/* Months of 30 days of 24 hours. */
static int interval_cmp(struct mr_ival a, struct mr_ival b)
{
  mr_i128 x = ((mr_i128)a.months * 30 + a.days) * MR_DAY_US + a.us;
  mr_i128 y = ((mr_i128)b.months * 30 + b.days) * MR_DAY_US + b.us;
  return (x > y) - (x < y);
}

static int int_double_cmp(mr_i128 a, double b)
{
  return mr_decimal_cmp_double(a, 0, b);
}

SIGN_KERNEL(sign_bool, uint8_t, uint8_t, a - b)
SIGN_KERNEL(sign_i64, int64_t, int64_t, (a > b) - (a < b))
SIGN_KERNEL(sign_u64, uint64_t, uint64_t, (a > b) - (a < b))
SIGN_KERNEL(sign_i64_u64, int64_t, uint64_t, a < 0 ? -1 : ((uint64_t)a > b) - ((uint64_t)a < b))
SIGN_KERNEL(sign_u64_i64, uint64_t, int64_t, b < 0 ? 1 : (a > (uint64_t)b) - (a < (uint64_t)b))
SIGN_KERNEL(sign_f64, double, double, mr_double_cmp(a, b))
LIVE_KERNEL(sign_i64_f64, int64_t, double, int_double_cmp(a, b))
LIVE_KERNEL(sign_u64_f64, uint64_t, double, int_double_cmp(a, b))
LIVE_KERNEL(sign_f64_i64, double, int64_t, -int_double_cmp(b, a))
LIVE_KERNEL(sign_f64_u64, double, uint64_t, -int_double_cmp(b, a))
LIVE_KERNEL(sign_dec, mr_i128, mr_i128, mr_decimal_cmp(a, k->scale_a, b, k->scale_b))
LIVE_KERNEL(sign_dec_f64, mr_i128, double, mr_decimal_cmp_double(a, k->scale_a, b))
LIVE_KERNEL(sign_f64_dec, double, mr_i128, -mr_decimal_cmp_double(b, k->scale_b, a))
LIVE_KERNEL(sign_dec_i64, mr_i128, int64_t, mr_decimal_cmp(a, k->scale_a, b, 0))
LIVE_KERNEL(sign_i64_dec, int64_t, mr_i128, mr_decimal_cmp(a, 0, b, k->scale_b))
LIVE_KERNEL(sign_dec_u64, mr_i128, uint64_t, mr_decimal_cmp(a, k->scale_a, b, 0))
LIVE_KERNEL(sign_u64_dec, uint64_t, mr_i128, mr_decimal_cmp(a, 0, b, k->scale_b))
LIVE_KERNEL(sign_text, struct mr_span, struct mr_span, text_cmp(a, b))
SIGN_KERNEL(sign_ival, struct mr_ival, struct mr_ival, interval_cmp(a, b))

static mr_sign_fn *const by_phys[8][8] = {[MR_P_BOOL] = {[MR_P_BOOL] = sign_bool},
                                          [MR_P_I64] = {[MR_P_I64] = sign_i64,
                                                        [MR_P_U64] = sign_i64_u64,
                                                        [MR_P_F64] = sign_i64_f64,
                                                        [MR_P_DEC] = sign_i64_dec},
                                          [MR_P_U64] = {[MR_P_I64] = sign_u64_i64,
                                                        [MR_P_U64] = sign_u64,
                                                        [MR_P_F64] = sign_u64_f64,
                                                        [MR_P_DEC] = sign_u64_dec},
                                          [MR_P_F64] = {[MR_P_I64] = sign_f64_i64,
                                                        [MR_P_U64] = sign_f64_u64,
                                                        [MR_P_F64] = sign_f64,
                                                        [MR_P_DEC] = sign_f64_dec},
                                          [MR_P_DEC] = {[MR_P_I64] = sign_dec_i64,
                                                        [MR_P_U64] = sign_dec_u64,
                                                        [MR_P_F64] = sign_dec_f64,
                                                        [MR_P_DEC] = sign_dec},
                                          [MR_P_TEXT] = {[MR_P_TEXT] = sign_text},
                                          [MR_P_IVAL] = {[MR_P_IVAL] = sign_ival}};

/* ---- which pairs of types compare */

static bool is_family(const struct mr_xtype *a, const struct mr_xtype *b)
{
  if (mr_xtype_is_number(a) && mr_xtype_is_number(b))
    return true;
  if (a->kind == MR_K_TIMESTAMP && b->kind == MR_K_TIMESTAMP)
    return (a->zone[0] != 0) == (b->zone[0] != 0);
  return a->kind == b->kind && !a->json && !b->json && mr_phys_of(a) != MR_P_ANY;
}

static int wrong_pair(struct mr_check *c, const struct mr_node *n, int i, int j)
{
  char a[128], b[128];
  const struct mr_xtype *ta = &n->arg[i]->type, *tb = &n->arg[j]->type;
  const char *hint = "";
  if (ta->kind == MR_K_TIMESTAMP && tb->kind == MR_K_TIMESTAMP)
    hint = ": use AT TIME ZONE";
  else if (ta->json || tb->json)
    hint = ": ->> gives text";
  else if (ta->kind == MR_K_TEXT || tb->kind == MR_K_TEXT)
    hint = ": CAST one of them";
  return mr_check_fail(c, n, "%s and %s do not compare%s", mr_xtype_name(ta, a, sizeof a),
                       mr_xtype_name(tb, b, sizeof b), hint);
}

int mr_compare_pair(struct mr_check *c, struct mr_node *n, int i, int j, struct mr_compare *ret)
{
  int st = mr_coerce_literals(c, n, i, j);
  if (st < 0)
    return st;
  for (int k = 0; k < 2; k++) { /* a date beside a timestamp is its midnight */
    int x = k ? j : i, y = k ? i : j;
    if (n->arg[x]->type.kind == MR_K_DATE && n->arg[y]->type.kind == MR_K_TIMESTAMP &&
        (st = mr_coerce_arg(c, n, x, n->arg[y]->type)) < 0)
      return st;
  }
  if (n->arg[i]->type.kind == MR_K_NULL && n->arg[j]->type.kind == MR_K_NULL &&
      ((st = mr_coerce_arg(c, n, i, mr_xtype_of_kind(MR_K_BOOL))) < 0 ||
       (st = mr_coerce_arg(c, n, j, mr_xtype_of_kind(MR_K_BOOL))) < 0))
    return st;
  const struct mr_xtype *a = &n->arg[i]->type, *b = &n->arg[j]->type;
  if (!is_family(a, b))
    return wrong_pair(c, n, i, j);
  ret->sign = by_phys[mr_phys_of(a)][mr_phys_of(b)];
  ret->scale_a = a->scale;
  ret->scale_b = b->scale;
  return MR_OK;
}

/* ---- operators */

static void run_compare(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                        struct mr_vec *out)
{
  const struct mr_compare *k = n->data;
  int8_t sign[MR_CHUNK];
  memset(sign, 0, sizeof sign);
  k->sign(r, k, arg, sign);
  for (int64_t i = 0; i < r->n; i++)
    MR_VB(out)[i] = k->table[sign[i] + 1];
}

/* Results for less, equal, greater. */
static void set_table(struct mr_compare *k, const char *op)
{
  bool less = op[0] == '<', greater = op[0] == '>' || !strcmp(op, "<>");
  bool equal = op[0] == '=' || op[1] == '=';
  k->table[0] = less;
  k->table[1] = equal;
  k->table[2] = greater;
}

static int check_compare(struct mr_check *c, struct mr_node *n)
{
  struct mr_compare *k = mr_check_alloc(c, sizeof *k);
  int st = mr_check_args(c, n);
  if (!k)
    return mr_check_memory(c);
  if (st < 0 || (st = mr_compare_pair(c, n, 0, 1, k)) < 0)
    return st;
  set_table(k, n->name);
  n->data = k;
  n->run = run_compare;
  n->type = mr_xtype_of_kind(MR_K_BOOL);
  return MR_OK;
}

/* IS DISTINCT FROM: nulls are equal to each other and to nothing else. */
static void run_distinct(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                         struct mr_vec *out)
{
  run_compare(r, n, arg, out);
  for (int64_t i = 0; i < r->n; i++)
    if (!arg[0]->valid[i] || !arg[1]->valid[i])
      MR_VB(out)[i] = arg[0]->valid[i] != arg[1]->valid[i];
}

static int check_distinct(struct mr_check *c, struct mr_node *n)
{
  n->name = "<>";
  int st = check_compare(c, n);
  n->name = "is distinct";
  n->run = run_distinct;
  n->null_ok = true;
  return st;
}

/* ---- NULLIF */

static void run_nullif(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                       struct mr_vec *out)
{
  const struct mr_compare *k = n->data;
  int8_t sign[MR_CHUNK];
  memset(sign, 1, sizeof sign);
  k->sign(r, k, arg, sign);
  mr_vec_merge(mr_phys_of(&n->type), r->n, r->all, arg[0], out);
  for (int64_t i = 0; i < r->n; i++)
    if (arg[0]->valid[i] && arg[1]->valid[i] && !sign[i])
      out->valid[i] = 0;
}

static int check_nullif(struct mr_check *c, struct mr_node *n)
{
  struct mr_compare *k = mr_check_alloc(c, sizeof *k);
  int st = mr_check_args(c, n);
  if (!k)
    return mr_check_memory(c);
  if (st < 0 || (st = mr_compare_pair(c, n, 0, 1, k)) < 0)
    return st;
  n->data = k;
  n->run = run_nullif;
  n->null_ok = true;
  n->type = n->arg[0]->type;
  return MR_OK;
}

/* ---- GREATEST, LEAST: nulls are passed over */

static void keep_better(struct mr_run *r, const struct mr_node *n, struct mr_vec *v,
                        struct mr_vec *out)
{
  const struct mr_compare *k = n->data;
  struct mr_vec *const pair[] = {v, out};
  int8_t sign[MR_CHUNK], wanted = n->name[0] == 'g' ? 1 : -1;
  uint8_t better[MR_CHUNK];
  memset(sign, 0, sizeof sign);
  k->sign(r, k, pair, sign);
  for (int64_t i = 0; i < r->n; i++)
    better[i] = v->valid[i] && (!out->valid[i] || sign[i] == wanted);
  mr_vec_merge(mr_phys_of(&n->type), r->n, better, v, out);
}

static void run_extreme(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                        struct mr_vec *out)
{
  mr_vec_merge(mr_phys_of(&n->type), r->n, r->all, arg[0], out);
  for (int j = 1; j < n->n_arg; j++)
    keep_better(r, n, arg[j], out);
}

static int check_extreme(struct mr_check *c, struct mr_node *n)
{
  struct mr_compare *k = mr_check_alloc(c, sizeof *k);
  int *index = mr_check_alloc(c, n->n_arg * (int64_t)sizeof *index), st = mr_check_args(c, n);
  if (!k || !index)
    return mr_check_memory(c);
  if (st < 0)
    return st;
  for (int i = 0; i < n->n_arg; i++)
    index[i] = i;
  const char *what = n->name[0] == 'g' ? "the arguments of GREATEST" : "the arguments of LEAST";
  if ((st = mr_coerce_unify(c, n, index, n->n_arg, what, &n->type)) < 0)
    return st;
  if (n->type.kind == MR_K_NULL)
    return mr_check_fail(c, n, "%s are all NULL", what);
  if (!is_family(&n->type, &n->type))
    return wrong_pair(c, n, 0, 0);
  k->sign = by_phys[mr_phys_of(&n->type)][mr_phys_of(&n->type)];
  k->scale_a = k->scale_b = n->type.scale;
  n->data = k;
  n->run = run_extreme;
  n->null_ok = true;
  return MR_OK;
}

const struct mr_function mr_compare_functions[] = {
    {"=", 2, 2, check_compare, NULL},
    {"<>", 2, 2, check_compare, NULL},
    {"<", 2, 2, check_compare, NULL},
    {">", 2, 2, check_compare, NULL},
    {"<=", 2, 2, check_compare, NULL},
    {">=", 2, 2, check_compare, NULL},
    {"is distinct", 2, 2, check_distinct, NULL},
    {"in", 2, -1, mr_in_check, NULL},
    {"nullif", 2, 2, check_nullif, "NULLIF(a, b)"},
    {"greatest", 1, -1, check_extreme, "GREATEST(a, b, ...)"},
    {"least", 1, -1, check_extreme, "LEAST(a, b, ...)"},
    {NULL}};
