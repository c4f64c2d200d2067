/* SPDX-License-Identifier: Apache-2.0 */
/* CAST between numbers, booleans, dates and timestamps. Text is in cast_text.c. */
#include "expr/cast.h"
#include <math.h>
#include <stdio.h>
#include <strings.h>

void mr_cast_bad(struct mr_run *r, const struct mr_node *n, struct mr_vec *out, int64_t i,
                 const char *code, const char *why)
{
  const struct mr_cast *k = n->data;
  char type[96], msg[128];
  if (k->quiet) {
    out->valid[i] = 0;
    return;
  }
  snprintf(msg, sizeof msg, "%s %s", why, mr_xtype_name(&k->to, type, sizeof type));
  mr_run_bad(r, n, out, i, code, msg);
}

static void out_of_range(struct mr_run *r, const struct mr_node *n, struct mr_vec *out, int64_t i)
{
  mr_cast_bad(r, n, out, i, MR_E_RANGE, "the value is out of the range of");
}

void mr_cast_int_range(int kind, mr_i128 *ret_min, mr_i128 *ret_max)
{
  int bits = 8 * mr_kind_width((enum mr_kind)kind);
  bool is_signed = mr_kind_is_signed((enum mr_kind)kind);
  *ret_max = ((mr_i128)1 << (is_signed ? bits - 1 : bits)) - 1;
  *ret_min = is_signed ? -*ret_max - 1 : 0;
}

/* ---- to integers */

/* Stores an exact whole number into an integer vector. */
static void put_int(struct mr_run *r, const struct mr_node *n, struct mr_vec *out, int64_t i,
                    mr_i128 v)
{
  const struct mr_cast *k = n->data;
  if (v < k->min || v > k->max)
    out_of_range(r, n, out, i);
  else
    MR_VU(out)[i] = (uint64_t)v;
}

static void int_from_i64(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                         struct mr_vec *out)
{
  for (int64_t i = 0; i < r->n; i++)
    if (r->live[i])
      put_int(r, n, out, i, MR_VI(arg[0])[i]);
}

static void int_from_u64(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                         struct mr_vec *out)
{
  for (int64_t i = 0; i < r->n; i++)
    if (r->live[i])
      put_int(r, n, out, i, MR_VU(arg[0])[i]);
}

static void int_from_bool(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                          struct mr_vec *out)
{
  for (int64_t i = 0; i < r->n; i++)
    MR_VI(out)[i] = MR_VB(arg[0])[i];
}

/* Rounded to the nearest, halves to even, as PostgreSQL rounds floats. */
static void int_from_f64(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                         struct mr_vec *out)
{
  for (int64_t i = 0; i < r->n; i++) {
    double v = MR_VF(arg[0])[i];
    if (!r->live[i])
      continue;
    if (!isfinite(v) || fabs(v) > 1e30)
      out_of_range(r, n, out, i);
    else
      put_int(r, n, out, i, (mr_i128)nearbyint(v));
  }
}

static void int_from_decimal(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                             struct mr_vec *out)
{
  const struct mr_cast *k = n->data;
  mr_i128 v;
  for (int64_t i = 0; i < r->n; i++) {
    if (!r->live[i])
      continue;
    if (!mr_decimal_rescale(MR_VD(arg[0])[i], k->from.scale, 0, &v))
      out_of_range(r, n, out, i);
    else
      put_int(r, n, out, i, v);
  }
}

/* ---- to floats: float32 may be out of range */

static void put_float(struct mr_run *r, const struct mr_node *n, struct mr_vec *out, int64_t i,
                      double v)
{
  const struct mr_cast *k = n->data;
  if (k->to.kind == MR_K_FLOAT32) {
    float f = (float)v;
    if (isinf(f) && isfinite(v))
      out_of_range(r, n, out, i);
    v = f;
  }
  MR_VF(out)[i] = v;
}

static void float_from_i64(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                           struct mr_vec *out)
{
  for (int64_t i = 0; i < r->n; i++)
    if (r->live[i])
      put_float(r, n, out, i, (double)MR_VI(arg[0])[i]);
}

static void float_from_u64(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                           struct mr_vec *out)
{
  for (int64_t i = 0; i < r->n; i++)
    if (r->live[i])
      put_float(r, n, out, i, (double)MR_VU(arg[0])[i]);
}

static void float_from_f64(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                           struct mr_vec *out)
{
  for (int64_t i = 0; i < r->n; i++)
    if (r->live[i])
      put_float(r, n, out, i, MR_VF(arg[0])[i]);
}

static void float_from_decimal(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                               struct mr_vec *out)
{
  const struct mr_cast *k = n->data;
  for (int64_t i = 0; i < r->n; i++)
    if (r->live[i])
      put_float(r, n, out, i, mr_decimal_to_double(MR_VD(arg[0])[i], k->from.scale));
}

/* ---- to decimals */

static void put_decimal(struct mr_run *r, const struct mr_node *n, struct mr_vec *out, int64_t i,
                        mr_i128 v, int scale)
{
  const struct mr_cast *k = n->data;
  if (!mr_decimal_rescale(v, scale, k->to.scale, &v) || !mr_decimal_fits(v, k->to.precision))
    out_of_range(r, n, out, i);
  else
    MR_VD(out)[i] = v;
}

static void decimal_from_i64(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                             struct mr_vec *out)
{
  for (int64_t i = 0; i < r->n; i++)
    if (r->live[i])
      put_decimal(r, n, out, i, MR_VI(arg[0])[i], 0);
}

static void decimal_from_u64(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                             struct mr_vec *out)
{
  for (int64_t i = 0; i < r->n; i++)
    if (r->live[i])
      put_decimal(r, n, out, i, MR_VU(arg[0])[i], 0);
}

static void decimal_from_decimal(struct mr_run *r, const struct mr_node *n,
                                 struct mr_vec *const *arg, struct mr_vec *out)
{
  const struct mr_cast *k = n->data;
  for (int64_t i = 0; i < r->n; i++)
    if (r->live[i])
      put_decimal(r, n, out, i, MR_VD(arg[0])[i], k->from.scale);
}

/* By the shortest text that gives the same float back: 0.1 becomes 0.1. */
static void decimal_from_f64(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                             struct mr_vec *out)
{
  const struct mr_cast *k = n->data;
  char buf[MR_PRINT];
  for (int64_t i = 0; i < r->n; i++) {
    double v = MR_VF(arg[0])[i];
    if (!r->live[i])
      continue;
    int64_t size =
        k->from.kind == MR_K_FLOAT32 ? mr_print_float32((float)v, buf) : mr_print_float(v, buf);
    struct mr_span s = {buf, size};
    if (mr_scan_decimal(s, k->to.precision, k->to.scale, &MR_VD(out)[i]) != MR_SCAN_OK)
      out_of_range(r, n, out, i);
  }
}

/* ---- to booleans */

static void bool_from_int(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                          struct mr_vec *out)
{
  for (int64_t i = 0; i < r->n; i++)
    MR_VB(out)[i] = MR_VI(arg[0])[i] != 0;
}

/* ---- dates and timestamps; local time is a timestamp without a zone */

static int64_t local_us(const struct mr_cast *k, int64_t us)
{
  return k->zone_from ? us + mr_zone_offset(k->zone_from, us) : us;
}

static bool in_calendar(int64_t us)
{
  return us >= MR_MIN_US && us <= MR_MAX_US;
}

static void out_of_calendar(struct mr_run *r, const struct mr_node *n, struct mr_vec *out,
                            int64_t i)
{
  mr_cast_bad(r, n, out, i, MR_E_FIELD, "outside of the years 1 to 9999 of");
}

static void date_from_timestamp(struct mr_run *r, const struct mr_node *n,
                                struct mr_vec *const *arg, struct mr_vec *out)
{
  const struct mr_cast *k = n->data;
  for (int64_t i = 0; i < r->n; i++) {
    int64_t us = MR_VI(arg[0])[i];
    if (!r->live[i])
      continue;
    if (!in_calendar(us))
      out_of_calendar(r, n, out, i);
    else
      MR_VI(out)[i] = mr_floor_div(local_us(k, us), MR_DAY_US);
  }
}

static void time_from_timestamp(struct mr_run *r, const struct mr_node *n,
                                struct mr_vec *const *arg, struct mr_vec *out)
{
  const struct mr_cast *k = n->data;
  for (int64_t i = 0; i < r->n; i++) {
    int64_t us = MR_VI(arg[0])[i];
    if (!r->live[i])
      continue;
    if (!in_calendar(us)) {
      out_of_calendar(r, n, out, i);
      continue;
    }
    us = local_us(k, us);
    MR_VI(out)[i] = us - mr_floor_div(us, MR_DAY_US) * MR_DAY_US;
  }
}

static void timestamp_from_date(struct mr_run *r, const struct mr_node *n,
                                struct mr_vec *const *arg, struct mr_vec *out)
{
  const struct mr_cast *k = n->data;
  for (int64_t i = 0; i < r->n; i++) {
    int64_t days = MR_VI(arg[0])[i];
    if (!r->live[i])
      continue;
    if (days < MR_MIN_DAY || days > MR_MAX_DAY) {
      out_of_calendar(r, n, out, i);
      continue;
    }
    MR_VI(out)[i] = k->zone ? mr_zone_to_utc(k->zone, days * MR_DAY_US) : days * MR_DAY_US;
  }
}

static void timestamp_from_timestamp(struct mr_run *r, const struct mr_node *n,
                                     struct mr_vec *const *arg, struct mr_vec *out)
{
  const struct mr_cast *k = n->data;
  bool to_local = k->zone_from && !k->zone, to_utc = !k->zone_from && k->zone;
  for (int64_t i = 0; i < r->n; i++) {
    int64_t us = MR_VI(arg[0])[i];
    if (!r->live[i])
      continue;
    if ((to_local || to_utc) && !in_calendar(us)) {
      out_of_calendar(r, n, out, i);
      continue;
    }
    MR_VI(out)[i] = to_local ? local_us(k, us) : to_utc ? mr_zone_to_utc(k->zone, us) : us;
  }
}

/* ---- picking a kernel */

static mr_kernel_fn *int_kernel(const struct mr_xtype *from)
{
  switch (mr_phys_of(from)) {
  case MR_P_BOOL: return int_from_bool;
  case MR_P_I64: return mr_xtype_is_int(from) ? int_from_i64 : NULL;
  case MR_P_U64: return int_from_u64;
  case MR_P_F64: return int_from_f64;
  case MR_P_DEC: return int_from_decimal;
  default: return NULL;
  }
}

static mr_kernel_fn *float_kernel(const struct mr_xtype *from)
{
  switch (mr_phys_of(from)) {
  case MR_P_I64: return mr_xtype_is_int(from) ? float_from_i64 : NULL;
  case MR_P_U64: return float_from_u64;
  case MR_P_F64: return float_from_f64;
  case MR_P_DEC: return float_from_decimal;
  default: return NULL;
  }
}

static mr_kernel_fn *decimal_kernel(const struct mr_xtype *from)
{
  switch (mr_phys_of(from)) {
  case MR_P_I64: return mr_xtype_is_int(from) ? decimal_from_i64 : NULL;
  case MR_P_U64: return decimal_from_u64;
  case MR_P_F64: return decimal_from_f64;
  case MR_P_DEC: return decimal_from_decimal;
  default: return NULL;
  }
}

static mr_kernel_fn *kernel_of(const struct mr_xtype *from, const struct mr_xtype *to)
{
  mr_kernel_fn *text = mr_cast_text_kernel(from, to);
  if (text)
    return text;
  if (mr_xtype_is_int(to))
    return int_kernel(from);
  switch (to->kind) {
  case MR_K_FLOAT32:
  case MR_K_FLOAT64: return float_kernel(from);
  case MR_K_DECIMAL: return decimal_kernel(from);
  case MR_K_BOOL: return mr_xtype_is_int(from) ? bool_from_int : NULL;
  case MR_K_DATE: return from->kind == MR_K_TIMESTAMP ? date_from_timestamp : NULL;
  case MR_K_TIME: return from->kind == MR_K_TIMESTAMP ? time_from_timestamp : NULL;
  case MR_K_TIMESTAMP:
    if (from->kind == MR_K_DATE)
      return timestamp_from_date;
    return from->kind == MR_K_TIMESTAMP ? timestamp_from_timestamp : NULL;
  default: return NULL;
  }
}

static const char *hint_of(const struct mr_xtype *from, const struct mr_xtype *to)
{
  if (to->kind == MR_K_TIMESTAMP && mr_xtype_is_number(from))
    return ": use TO_TIMESTAMP(seconds) or TIMESTAMP_MS(milliseconds)";
  if (from->kind == MR_K_TIMESTAMP && mr_xtype_is_number(to))
    return ": use EPOCH_US(x), EPOCH_MS(x) or EXTRACT(EPOCH FROM x)";
  if (from->kind == MR_K_INTERVAL && mr_xtype_is_number(to))
    return ": use EPOCH_US(x) or EXTRACT(EPOCH FROM x)";
  return "";
}

static int no_cast(struct mr_check *c, const struct mr_node *n, const struct mr_xtype *from,
                   const struct mr_xtype *to)
{
  char a[96], b[96];
  return mr_check_fail(c, n, "no cast from %s to %s%s", mr_xtype_name(from, a, sizeof a),
                       mr_xtype_name(to, b, sizeof b), hint_of(from, to));
}

static int set_zones(struct mr_check *c, const struct mr_node *n, struct mr_cast *k)
{
  int st = MR_OK;
  if (k->from.zone[0])
    st = mr_zone_check(c, n, k->from.zone, &k->zone_from);
  if (st >= 0 && k->to.zone[0])
    st = mr_zone_check(c, n, k->to.zone, &k->zone);
  return st;
}

int mr_cast_make(struct mr_check *c, struct mr_node *n, struct mr_xtype to, bool quiet)
{
  struct mr_node *x = n->arg[0];
  if (x->type.kind == MR_K_NULL && mr_phys_of(&to) != MR_P_ANY) {
    n->kind = MR_N_CONST;
    n->null = true;
    n->type = to;
    return MR_OK;
  }
  struct mr_cast *k = mr_check_alloc(c, sizeof *k);
  if (!k)
    return mr_check_memory(c);
  k->from = x->type;
  k->to = to;
  k->quiet = quiet;
  if (mr_xtype_is_int(&to))
    mr_cast_int_range(to.kind, &k->min, &k->max);
  n->run = kernel_of(&k->from, &to);
  if (!n->run)
    return no_cast(c, n, &k->from, &to);
  int st = set_zones(c, n, k);
  n->data = k;
  n->type = to;
  return st;
}

/* ---- CAST(x AS type), x::type, TRY_CAST, DATE '...' */

static int target_of(struct mr_check *c, const struct mr_node *n, struct mr_xtype *ret)
{
  struct ArrowSchema s = {0};
  struct mr_error err = MR_ERROR_INIT;
  if (!strcasecmp(n->type_text, "interval")) {
    *ret = mr_xtype_of_kind(MR_K_INTERVAL);
    return MR_OK;
  }
  int st = mr_type_parse(n->type_text, "", &s, &err);
  if (st < 0)
    return mr_check_fail(c, n, "%s", err.msg);
  bool ok = mr_xtype_of_schema(&c->e->arena, &s, ret);
  bool nested = ret->schema != NULL;
  mr_schema_release(&s);
  if (nested)
    return mr_check_fail(c, n, "no cast to %s", n->type_text);
  return ok ? MR_OK : mr_check_memory(c);
}

static int check_cast_any(struct mr_check *c, struct mr_node *n, bool quiet)
{
  struct mr_xtype to;
  int st = mr_check_args(c, n);
  if (st < 0 || (st = target_of(c, n, &to)) < 0)
    return st;
  if (mr_xtype_equal(&n->arg[0]->type, &to)) {
    *n = *n->arg[0];
    n->literal = false;
    return MR_OK;
  }
  return mr_cast_make(c, n, to, quiet);
}

static int check_cast(struct mr_check *c, struct mr_node *n)
{
  return check_cast_any(c, n, false);
}

static int check_try_cast(struct mr_check *c, struct mr_node *n)
{
  return check_cast_any(c, n, true);
}

/* A typed literal that is none is an error of the expression, not of a row. */
static int check_literal(struct mr_check *c, struct mr_node *n)
{
  const char *type = n->type_text, *text = n->arg[0]->value.s.p;
  int st = check_cast_any(c, n, false);
  if (st < 0 || n->kind == MR_N_CONST)
    return st;
  if ((st = mr_check_finish(c, n)) < 0 || n->kind == MR_N_CONST)
    return st;
  return mr_check_fail(c, n, "'%.60s' is no %s", text, type);
}

const struct mr_function mr_cast_functions[] = {{"cast", 1, 1, check_cast, NULL},
                                                {"try_cast", 1, 1, check_try_cast, NULL},
                                                {"literal", 1, 1, check_literal, NULL},
                                                {NULL}};
