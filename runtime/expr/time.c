/* SPDX-License-Identifier: Apache-2.0 */
/* + - * / with dates, times, timestamps and intervals, to the microsecond. */
#include "expr/scalar.h"
#include <math.h>

#define KERNEL(name)                                                                     \
  static void name(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg, \
                   struct mr_vec *out)
#define FOR_LIVE                     \
  for (int64_t i = 0; i < r->n; i++) \
    if (r->live[i])

bool mr_time_is(const struct mr_xtype *t)
{
  return t->kind == MR_K_DATE || t->kind == MR_K_TIME || t->kind == MR_K_TIMESTAMP ||
         t->kind == MR_K_INTERVAL;
}

static void out_of_calendar(struct mr_run *r, const struct mr_node *n, struct mr_vec *out,
                            int64_t i)
{
  mr_run_bad(r, n, out, i, MR_E_FIELD, "outside of the years 1 to 9999");
}

static void interval_range(struct mr_run *r, const struct mr_node *n, struct mr_vec *out, int64_t i)
{
  mr_run_bad(r, n, out, i, MR_E_FIELD, "the interval is out of range");
}

static bool is_minus(const struct mr_node *n)
{
  return n->name[0] == '-';
}

/* ---- dates with days */

KERNEL(date_days)
{
  int64_t v;
  FOR_LIVE
  {
    int64_t d = MR_VI(arg[0])[i], k = MR_VI(arg[1])[i];
    bool bad = is_minus(n) ? __builtin_sub_overflow(d, k, &v) : __builtin_add_overflow(d, k, &v);
    if (bad || v < MR_MIN_DAY || v > MR_MAX_DAY)
      out_of_calendar(r, n, out, i);
    else
      MR_VI(out)[i] = v;
  }
}

KERNEL(date_minus_date)
{
  FOR_LIVE MR_VI(out)[i] = MR_VI(arg[0])[i] - MR_VI(arg[1])[i];
}

KERNEL(date_plus_time)
{
  FOR_LIVE
  {
    int64_t d = MR_VI(arg[0])[i];
    if (d < MR_MIN_DAY || d > MR_MAX_DAY)
      out_of_calendar(r, n, out, i);
    else
      MR_VI(out)[i] = d * MR_DAY_US + MR_VI(arg[1])[i];
  }
}

/* ---- timestamps and times with intervals */

/* Months and days count on the clock of the timestamp's zone, hours and below on the time line. */
static bool add_zoned(struct mr_zone *z, int64_t us, const struct mr_ival *v, int sign,
                      int64_t *ret)
{
  struct mr_ival days = {v->months, v->days, 0}, rest = {0, 0, v->us};
  if (z && (v->months || v->days)) {
    if (us < MR_MIN_US || us > MR_MAX_US)
      return false;
    if (!mr_civil_add(us + mr_zone_offset(z, us), &days, sign, &us))
      return false;
    us = mr_zone_to_utc(z, us);
    return mr_civil_add(us, &rest, sign, ret);
  }
  return mr_civil_add(us, v, sign, ret);
}

KERNEL(timestamp_interval)
{
  struct mr_zone *z = (struct mr_zone *)n->data;
  FOR_LIVE
  {
    if (!add_zoned(z, MR_VI(arg[0])[i], &MR_VV(arg[1])[i], is_minus(n) ? -1 : 1, &MR_VI(out)[i]))
      out_of_calendar(r, n, out, i);
  }
}

/* Days and microseconds, both of one sign, as PostgreSQL subtracts. */
KERNEL(timestamp_minus_timestamp)
{
  FOR_LIVE
  {
    int64_t us;
    if (__builtin_sub_overflow(MR_VI(arg[0])[i], MR_VI(arg[1])[i], &us))
      interval_range(r, n, out, i);
    else
      MR_VV(out)[i] = (struct mr_ival){0, (int32_t)(us / MR_DAY_US), us % MR_DAY_US};
  }
}

KERNEL(time_interval)
{
  FOR_LIVE
  {
    int64_t us = MR_VV(arg[1])[i].us % MR_DAY_US;
    us = MR_VI(arg[0])[i] + (is_minus(n) ? -us : us);
    MR_VI(out)[i] = us - mr_floor_div(us, MR_DAY_US) * MR_DAY_US;
  }
}

KERNEL(time_minus_time)
{
  FOR_LIVE MR_VV(out)[i] = (struct mr_ival){0, 0, MR_VI(arg[0])[i] - MR_VI(arg[1])[i]};
}

/* ---- intervals */

static bool put_interval(mr_i128 months, mr_i128 days, mr_i128 us, struct mr_ival *ret)
{
  if (months < INT32_MIN || months > INT32_MAX || days < INT32_MIN || days > INT32_MAX ||
      us <= INT64_MIN || us > INT64_MAX)
    return false;
  *ret = (struct mr_ival){(int32_t)months, (int32_t)days, (int64_t)us};
  return true;
}

KERNEL(interval_sum)
{
  int sign = is_minus(n) ? -1 : 1;
  FOR_LIVE
  {
    struct mr_ival a = MR_VV(arg[0])[i], b = MR_VV(arg[1])[i];
    if (!put_interval((mr_i128)a.months + (mr_i128)sign * b.months,
                      (mr_i128)a.days + (mr_i128)sign * b.days,
                      (mr_i128)a.us + (mr_i128)sign * b.us, &MR_VV(out)[i]))
      interval_range(r, n, out, i);
  }
}

KERNEL(interval_times_int)
{
  FOR_LIVE
  {
    struct mr_ival a = MR_VV(arg[0])[i];
    mr_i128 k = MR_VI(arg[1])[i];
    if (!put_interval(a.months * k, a.days * k, a.us * k, &MR_VV(out)[i]))
      interval_range(r, n, out, i);
  }
}

/* A fraction of a month becomes days (of 30), a fraction of a day time. */
static bool scale(struct mr_ival a, double k, struct mr_ival *ret)
{
  double months = a.months * k, days = a.days * k, us = (double)a.us * k;
  double whole_months = trunc(months);
  days += (months - whole_months) * 30;
  double whole_days = trunc(days);
  us = nearbyint(us + (days - whole_days) * (double)MR_DAY_US);
  if (!(fabs(whole_months) < 2e9 && fabs(whole_days) < 2e9 && fabs(us) < 9e18))
    return false;
  *ret = (struct mr_ival){(int32_t)whole_months, (int32_t)whole_days, (int64_t)us};
  return true;
}

KERNEL(interval_times_float)
{
  FOR_LIVE
  {
    if (!scale(MR_VV(arg[0])[i], MR_VF(arg[1])[i], &MR_VV(out)[i]))
      interval_range(r, n, out, i);
  }
}

KERNEL(interval_by_float)
{
  FOR_LIVE
  {
    double k = MR_VF(arg[1])[i];
    if (k == 0)
      mr_run_bad(r, n, out, i, MR_E_DIVISION, "division by zero");
    else if (!scale(MR_VV(arg[0])[i], 1 / k, &MR_VV(out)[i]))
      interval_range(r, n, out, i);
  }
}

/* ---- which kernel */

static int no_operator(struct mr_check *c, const struct mr_node *n)
{
  char a[128], b[128];
  return mr_check_fail(c, n, "no operator %s for %s and %s", n->name,
                       mr_xtype_name(&n->arg[0]->type, a, sizeof a),
                       mr_xtype_name(&n->arg[1]->type, b, sizeof b));
}

static void swap(struct mr_node *n)
{
  struct mr_node *x = n->arg[0];
  n->arg[0] = n->arg[1];
  n->arg[1] = x;
}

static int give(struct mr_node *n, mr_kernel_fn *run, struct mr_xtype t)
{
  n->run = run;
  n->type = t;
  return MR_OK;
}

/* The first argument is a timestamp or (made one) a date; the second an interval. */
static int plus_interval(struct mr_check *c, struct mr_node *n)
{
  struct mr_zone *z = NULL;
  int st = MR_OK;
  if (n->arg[0]->type.kind == MR_K_DATE)
    st = mr_coerce_arg(c, n, 0, mr_xtype_timestamp(""));
  const char *zone = n->arg[0]->type.zone;
  if (st >= 0 && zone[0] && strcmp(zone, "UTC"))
    st = mr_zone_check(c, n, zone, &z);
  if (st < 0)
    return st;
  n->data = z;
  return give(n, timestamp_interval, n->arg[0]->type);
}

static int with_interval(struct mr_check *c, struct mr_node *n)
{
  int kind = n->arg[0]->type.kind;
  if (kind == MR_K_DATE || kind == MR_K_TIMESTAMP)
    return plus_interval(c, n);
  if (kind == MR_K_TIME)
    return give(n, time_interval, n->arg[0]->type);
  if (kind == MR_K_INTERVAL)
    return give(n, interval_sum, n->arg[0]->type);
  return no_operator(c, n);
}

static int minus_point(struct mr_check *c, struct mr_node *n)
{
  const struct mr_xtype *a = &n->arg[0]->type, *b = &n->arg[1]->type;
  struct mr_xtype interval = mr_xtype_of_kind(MR_K_INTERVAL);
  int st;
  if (a->kind == MR_K_DATE && b->kind == MR_K_DATE)
    return give(n, date_minus_date, mr_xtype_of_kind(MR_K_INT64));
  if (a->kind == MR_K_TIME && b->kind == MR_K_TIME)
    return give(n, time_minus_time, interval);
  if (a->kind == MR_K_TIME || b->kind == MR_K_TIME)
    return no_operator(c, n);
  if (a->kind == MR_K_DATE && (st = mr_coerce_arg(c, n, 0, *b)) < 0)
    return st;
  if (b->kind == MR_K_DATE && (st = mr_coerce_arg(c, n, 1, n->arg[0]->type)) < 0)
    return st;
  if ((n->arg[0]->type.zone[0] != 0) != (n->arg[1]->type.zone[0] != 0))
    return mr_check_fail(c, n, "a timestamp with and one without a zone: use AT TIME ZONE");
  return give(n, timestamp_minus_timestamp, interval);
}

static int times_number(struct mr_check *c, struct mr_node *n)
{
  bool product = n->name[0] == '*';
  if (product && n->arg[1]->type.kind == MR_K_INTERVAL)
    swap(n);
  const struct mr_xtype *a = &n->arg[0]->type, *b = &n->arg[1]->type;
  if (a->kind != MR_K_INTERVAL || !mr_xtype_is_number(b))
    return no_operator(c, n);
  bool whole = product && mr_xtype_is_int(b);
  n->run = whole ? interval_times_int : product ? interval_times_float : interval_by_float;
  n->type = *a;
  return mr_coerce_arg(c, n, 1, mr_xtype_of_kind(whole ? MR_K_INT64 : MR_K_FLOAT64));
}

/* A text beside a point in time: an interval after +, another point after -. A NULL: an interval.
 */
static int adapt(struct mr_check *c, struct mr_node *n)
{
  struct mr_xtype interval = mr_xtype_of_kind(MR_K_INTERVAL);
  for (int i = 0; i < 2; i++) {
    const struct mr_node *x = n->arg[i], *y = n->arg[1 - i];
    if (x->kind != MR_N_CONST || !x->literal || (!x->null && x->type.kind != MR_K_TEXT))
      continue;
    int st = mr_coerce_arg(c, n, i, n->name[0] == '-' && !x->null ? y->type : interval);
    if (st < 0)
      return st;
  }
  return MR_OK;
}

int mr_time_check_arith(struct mr_check *c, struct mr_node *n)
{
  int st = adapt(c, n);
  if (st < 0)
    return st;
  bool plus = n->name[0] == '+';
  if (!plus && !is_minus(n))
    return n->name[0] == '%' || n->name[0] == 'm' ? no_operator(c, n) : times_number(c, n);
  int left = n->arg[0]->type.kind;
  if (plus && (left == MR_K_INTERVAL || !mr_time_is(&n->arg[0]->type) ||
               (left == MR_K_TIME && n->arg[1]->type.kind == MR_K_DATE)))
    swap(n);
  const struct mr_xtype *a = &n->arg[0]->type, *b = &n->arg[1]->type;
  if (b->kind == MR_K_INTERVAL)
    return with_interval(c, n);
  if (a->kind == MR_K_DATE && mr_xtype_is_int(b)) {
    give(n, date_days, *a);
    return mr_coerce_arg(c, n, 1, mr_xtype_of_kind(MR_K_INT64));
  }
  if (plus && a->kind == MR_K_DATE && b->kind == MR_K_TIME)
    return give(n, date_plus_time, mr_xtype_timestamp(""));
  if (!plus && mr_time_is(a) && mr_time_is(b) && a->kind != MR_K_INTERVAL)
    return minus_point(c, n);
  return no_operator(c, n);
}
