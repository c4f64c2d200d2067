/* SPDX-License-Identifier: Apache-2.0 */
/* Timestamps from numbers and back, AT TIME ZONE, the time now. */
#include "expr/scalar.h"
#include <math.h>

#define KERNEL(name)                                                                     \
  static void name(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg, \
                   struct mr_vec *out)
#define FOR_LIVE                     \
  for (int64_t i = 0; i < r->n; i++) \
    if (r->live[i])

static void put_us(struct mr_run *r, const struct mr_node *n, struct mr_vec *out, int64_t i,
                   mr_i128 us)
{
  if (us < MR_MIN_US || us > MR_MAX_US)
    mr_run_bad(r, n, out, i, MR_E_FIELD, "outside of the years 1 to 9999");
  else
    MR_VI(out)[i] = (int64_t)us;
}

/* ---- from numbers */

/* Units of *(const int64_t *)n->data microseconds. */
KERNEL(from_int)
{
  FOR_LIVE put_us(r, n, out, i, (mr_i128)MR_VI(arg[0])[i] * *(const int64_t *)n->data);
}

KERNEL(from_float)
{
  FOR_LIVE
  {
    double v = MR_VF(arg[0])[i] * 1e6;
    if (!(fabs(v) < 1e18))
      v = 1e18;
    put_us(r, n, out, i, (mr_i128)nearbyint(v));
  }
}

KERNEL(from_decimal)
{
  FOR_LIVE put_us(r, n, out, i, MR_VD(arg[0])[i]);
}

static int want_number(struct mr_check *c, const struct mr_node *n)
{
  char type[128];
  const struct mr_node *x = n->arg[0];
  if (mr_xtype_is_number(&x->type) || x->type.kind == MR_K_NULL)
    return MR_OK;
  return mr_check_fail(c, x, "`%s` takes a number, not %s%s", n->name,
                       mr_xtype_name(&x->type, type, sizeof type),
                       x->type.kind == MR_K_TEXT ? ": PARSE_TIMESTAMP reads text" : "");
}

/* TO_TIMESTAMP(seconds) */
static int check_to_timestamp(struct mr_check *c, struct mr_node *n)
{
  static const int64_t second = 1000000;
  int st = mr_check_args(c, n);
  if (st < 0 || (st = want_number(c, n)) < 0)
    return st;
  const struct mr_xtype *t = &n->arg[0]->type;
  n->type = mr_xtype_timestamp("UTC");
  n->data = &second;
  if (mr_xtype_is_float(t)) {
    n->run = from_float;
    return mr_coerce_arg(c, n, 0, mr_xtype_of_kind(MR_K_FLOAT64));
  }
  if (t->kind == MR_K_DECIMAL) {
    n->run = from_decimal;
    return mr_coerce_arg(c, n, 0, mr_xtype_decimal(38, 6));
  }
  n->run = from_int;
  return mr_want_int(c, n, 0);
}

/* TIMESTAMP_MS(n), TIMESTAMP_US(n) */
static int check_timestamp_unit(struct mr_check *c, struct mr_node *n)
{
  static const int64_t ms = 1000, us = 1;
  int st = mr_check_args(c, n);
  n->type = mr_xtype_timestamp("UTC");
  n->data = n->name[10] == 'm' ? &ms : &us;
  n->run = from_int;
  return st < 0 ? st : mr_want_int(c, n, 0);
}

/* ---- to numbers */

KERNEL(epoch_of_timestamp)
{
  int64_t unit = n->name[6] == 'm' ? 1000 : 1;
  FOR_LIVE MR_VI(out)[i] = mr_floor_div(MR_VI(arg[0])[i], unit);
}

KERNEL(epoch_of_date)
{
  int64_t unit = n->name[6] == 'm' ? 1000 : 1;
  FOR_LIVE MR_VI(out)[i] = MR_VI(arg[0])[i] * (MR_DAY_US / unit);
}

/* A month has 30 days, as in EXTRACT(EPOCH ...) below a year. */
KERNEL(epoch_of_interval)
{
  int64_t unit = n->name[6] == 'm' ? 1000 : 1;
  FOR_LIVE
  {
    struct mr_ival v = MR_VV(arg[0])[i];
    mr_i128 us = ((mr_i128)v.months * 30 + v.days) * MR_DAY_US + v.us;
    if (us < INT64_MIN || us > INT64_MAX)
      mr_run_bad(r, n, out, i, MR_E_RANGE, "the result is out of range");
    else
      MR_VI(out)[i] = mr_floor_div((int64_t)us, unit);
  }
}

static int check_epoch(struct mr_check *c, struct mr_node *n)
{
  char type[128];
  int st = mr_check_args(c, n);
  if (st < 0)
    return st;
  const struct mr_xtype *t = &n->arg[0]->type;
  if (t->kind == MR_K_NULL)
    st = mr_coerce_arg(c, n, 0, mr_xtype_timestamp(""));
  t = &n->arg[0]->type;
  n->type = mr_xtype_of_kind(MR_K_INT64);
  n->run = t->kind == MR_K_TIMESTAMP  ? epoch_of_timestamp
           : t->kind == MR_K_DATE     ? epoch_of_date
           : t->kind == MR_K_INTERVAL ? epoch_of_interval
                                      : NULL;
  if (n->run)
    return st;
  return mr_check_fail(c, n->arg[0], "`%s` takes a timestamp, date or interval, not %s", n->name,
                       mr_xtype_name(t, type, sizeof type));
}

/* ---- from parts */

KERNEL(run_make_date)
{
  FOR_LIVE
  {
    int64_t y = MR_VI(arg[0])[i], m = MR_VI(arg[1])[i], d = MR_VI(arg[2])[i];
    bool small = m > 0 && m < 13 && d > 0 && d < 32;
    struct mr_civil v = {.year = y, .month = small ? (int)m : 0, .day = small ? (int)d : 0};
    if (!mr_civil_valid(&v))
      mr_run_bad(r, n, out, i, MR_E_FIELD, "there is no such date");
    else
      MR_VI(out)[i] = mr_civil_days(y, v.month, v.day);
  }
}

static int small(int64_t v)
{
  return v >= 0 && v < 100 ? (int)v : -1;
}

KERNEL(run_make_timestamp)
{
  FOR_LIVE
  {
    mr_i128 s = MR_VD(arg[5])[i];
    struct mr_civil v = {MR_VI(arg[0])[i],        small(MR_VI(arg[1])[i]),
                         small(MR_VI(arg[2])[i]), small(MR_VI(arg[3])[i]),
                         small(MR_VI(arg[4])[i]), s < 0 ? -1 : (int)(s / 1000000),
                         (int)(s % 1000000)};
    if (!mr_civil_valid(&v))
      mr_run_bad(r, n, out, i, MR_E_FIELD, "there is no such time");
    else
      MR_VI(out)[i] = mr_civil_us(&v);
  }
}

static int check_make(struct mr_check *c, struct mr_node *n)
{
  int st = mr_check_args(c, n);
  bool date = n->n_arg == 3;
  for (int i = 0; st >= 0 && i < (date ? 3 : 5); i++)
    st = mr_want_int(c, n, i);
  n->type = date ? mr_xtype_of_kind(MR_K_DATE) : mr_xtype_timestamp("");
  n->run = date ? run_make_date : run_make_timestamp;
  if (st < 0 || date)
    return st;
  if (!mr_xtype_is_number(&n->arg[5]->type))
    return mr_check_fail(c, n->arg[5], "the seconds are a number");
  return mr_coerce_arg(c, n, 5, mr_xtype_decimal(8, 6));
}

/* ---- zones and now */

KERNEL(to_local)
{
  FOR_LIVE
  {
    int64_t us = MR_VI(arg[0])[i];
    if (us < MR_MIN_US || us > MR_MAX_US)
      put_us(r, n, out, i, us);
    else
      MR_VI(out)[i] = us + mr_zone_offset((struct mr_zone *)n->data, us);
  }
}

KERNEL(to_instant)
{
  FOR_LIVE
  {
    int64_t us = MR_VI(arg[0])[i];
    if (us < MR_MIN_US || us > MR_MAX_US)
      put_us(r, n, out, i, us);
    else
      MR_VI(out)[i] = mr_zone_to_utc((struct mr_zone *)n->data, us);
  }
}

static int check_at_zone(struct mr_check *c, struct mr_node *n)
{
  const char *name;
  struct mr_zone *z;
  char type[128];
  int st = mr_check_args(c, n);
  if (st < 0 || (st = mr_want_const_text(c, n, 1, &name)) < 0)
    return st;
  int kind = n->arg[0]->type.kind;
  if (kind == MR_K_DATE || kind == MR_K_NULL)
    st = mr_coerce_arg(c, n, 0, mr_xtype_timestamp(""));
  else if (kind != MR_K_TIMESTAMP)
    return mr_check_fail(c, n, "AT TIME ZONE takes a timestamp, not %s",
                         mr_xtype_name(&n->arg[0]->type, type, sizeof type));
  if (st < 0 || (st = mr_zone_check(c, n->arg[1], name, &z)) < 0)
    return st;
  bool local = n->arg[0]->type.zone[0] != 0;
  n->n_arg = 1;
  n->data = z;
  n->run = local ? to_local : to_instant;
  n->type = mr_xtype_timestamp(local ? "" : "UTC");
  return MR_OK;
}

KERNEL(run_now)
{
  int64_t v = n->type.kind == MR_K_DATE ? mr_floor_div(r->now_us, MR_DAY_US) : r->now_us;
  for (int64_t i = 0; i < r->n; i++)
    MR_VI(out)[i] = v;
}

static int check_now(struct mr_check *c, struct mr_node *n)
{
  n->type =
      strcmp(n->name, "current_date") ? mr_xtype_timestamp("UTC") : mr_xtype_of_kind(MR_K_DATE);
  n->run = run_now;
  n->varies = true;
  return MR_OK;
}

const struct mr_function mr_time_functions[] = {
    {"at time zone", 2, 2, check_at_zone, NULL},
    {"to_timestamp", 1, 1, check_to_timestamp, "TO_TIMESTAMP(seconds)"},
    {"timestamp_ms", 1, 1, check_timestamp_unit, "TIMESTAMP_MS(milliseconds)"},
    {"timestamp_us", 1, 1, check_timestamp_unit, "TIMESTAMP_US(microseconds)"},
    {"epoch_ms", 1, 1, check_epoch, "EPOCH_MS(x)"},
    {"epoch_us", 1, 1, check_epoch, "EPOCH_US(x)"},
    {"make_date", 3, 3, check_make, "MAKE_DATE(year, month, day)"},
    {"make_timestamp", 6, 6, check_make, "MAKE_TIMESTAMP(year, month, day, hour, minute, seconds)"},
    {"now", 0, 0, check_now, "NOW()"},
    {"current_timestamp", 0, 0, check_now, "CURRENT_TIMESTAMP"},
    {"current_date", 0, 0, check_now, "CURRENT_DATE"},
    {NULL}};
