/* SPDX-License-Identifier: Apache-2.0 */
/* EXTRACT, DATE_PART, DATE_TRUNC. Timestamps with a zone are looked at on that zone's clock. */
#include "expr/scalar.h"
#include <strings.h>

enum field {
  YEAR,
  QUARTER,
  MONTH,
  WEEK,
  DAY,
  HOUR,
  MINUTE,
  SECOND,
  MILLISECOND,
  MICROSECOND,
  EPOCH,
  DOW,
  ISODOW,
  DOY,
  ISOYEAR,
  NO_FIELD
};

static const char *const names[] = {"year",  "quarter", "month",  "week",         "day",
                                    "hour",  "minute",  "second", "milliseconds", "microseconds",
                                    "epoch", "dow",     "isodow", "doy",          "isoyear"};

static enum field field_of(const char *name)
{
  size_t n = strlen(name);
  for (size_t i = 0; i < MR_COUNT(names); i++) {
    size_t k = strlen(names[i]);
    if (!strcasecmp(name, names[i]))
      return (enum field)i;
    bool plural = names[i][k - 1] == 's';
    if (plural && n == k - 1 && !strncasecmp(name, names[i], n))
      return (enum field)i;
    if (!plural && n == k + 1 && (name[k] | 32) == 's' && !strncasecmp(name, names[i], k) &&
        i < EPOCH)
      return (enum field)i;
  }
  return NO_FIELD;
}

struct parts { /* n->data */
  enum field field;
  int kind;
  struct mr_zone *zone;
};

/* ---- one value */

/* Monday 1 to Sunday 7 */
static int64_t isodow(int64_t days)
{
  return days + 3 - mr_floor_div(days + 3, 7) * 7 + 1;
}

/* The Thursday of the date's ISO week decides year and week. */
static int64_t thursday(int64_t days)
{
  return days - isodow(days) + 4;
}

static int64_t iso_year(int64_t days)
{
  return mr_civil_of_days(thursday(days)).year;
}

static int64_t iso_week(int64_t days)
{
  int64_t t = thursday(days);
  return (t - mr_civil_days(mr_civil_of_days(t).year, 1, 1)) / 7 + 1;
}

/* us: local time since 1970; the fields with decimals are scaled as type_of says. */
static int64_t part_of_us(enum field f, int64_t us)
{
  struct mr_civil c = mr_civil_of_us(us);
  int64_t days = mr_floor_div(us, MR_DAY_US);
  switch (f) {
  case YEAR: return c.year;
  case QUARTER: return (c.month + 2) / 3;
  case MONTH: return c.month;
  case WEEK: return iso_week(days);
  case DAY: return c.day;
  case HOUR: return c.hour;
  case MINUTE: return c.minute;
  case DOW: return isodow(days) % 7;
  case ISODOW: return isodow(days);
  case DOY: return days - mr_civil_days(c.year, 1, 1) + 1;
  case ISOYEAR: return iso_year(days);
  default: return c.second * 1000000LL + c.us; /* seconds in three units */
  }
}

static mr_i128 part_of_interval(enum field f, const struct mr_ival *v)
{
  switch (f) {
  case YEAR: return v->months / 12;
  case QUARTER: return v->months % 12 / 3 + 1;
  case MONTH: return v->months % 12;
  case WEEK: return v->days / 7;
  case DAY: return v->days;
  case HOUR: return v->us / 3600000000LL;
  case MINUTE: return v->us / 60000000 % 60;
  case EPOCH: /* a year has 365.25 days, a month 30 */
    return (mr_i128)(v->months / 12) * 31557600000000LL + (v->months % 12) * 30LL * MR_DAY_US +
           v->days * MR_DAY_US + v->us;
  default: return v->us % 60000000;
  }
}

/* ---- EXTRACT */

static struct mr_xtype type_of(enum field f)
{
  switch (f) {
  case SECOND: return mr_xtype_decimal(8, 6);
  case MILLISECOND: return mr_xtype_decimal(8, 3);
  case EPOCH: return mr_xtype_decimal(20, 6);
  default: return mr_xtype_of_kind(MR_K_INT64);
  }
}

static void run_extract(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                        struct mr_vec *out)
{
  const struct parts *k = n->data;
  bool decimal = n->type.kind == MR_K_DECIMAL;
  for (int64_t i = 0; i < r->n; i++) {
    if (!r->live[i])
      continue;
    int64_t us = k->kind == MR_K_INTERVAL ? 0 : MR_VI(arg[1])[i];
    if (k->kind == MR_K_DATE && (us < MR_MIN_DAY || us > MR_MAX_DAY))
      us = INT64_MIN;
    else if (k->kind == MR_K_DATE)
      us *= MR_DAY_US;
    if (us < MR_MIN_US || us > MR_MAX_US) {
      mr_run_bad(r, n, out, i, MR_E_FIELD, "outside of the years 1 to 9999");
      continue;
    }
    mr_i128 v = k->field == EPOCH ? us : 0;
    if (k->kind == MR_K_INTERVAL)
      v = part_of_interval(k->field, &MR_VV(arg[1])[i]);
    else if (k->field != EPOCH)
      v = part_of_us(k->field, us + (k->zone ? mr_zone_offset(k->zone, us) : 0));
    if (decimal)
      MR_VD(out)[i] = v;
    else
      MR_VI(out)[i] = (int64_t)v;
  }
}

/* The field's name is argument 0, what it is taken of argument 1. */
static int check_parts(struct mr_check *c, struct mr_node *n, struct parts **ret)
{
  struct parts *k = mr_check_alloc(c, sizeof *k);
  const char *name;
  int st = mr_check_args(c, n);
  if (!k)
    return mr_check_memory(c);
  if (st < 0 || (st = mr_want_const_text(c, n, 0, &name)) < 0)
    return st;
  k->field = field_of(name);
  if (k->field == NO_FIELD)
    return mr_check_fail(c, n->arg[0],
                         "no field `%.40s`: YEAR, QUARTER, MONTH, WEEK, DAY, HOUR, MINUTE, SECOND, "
                         "MILLISECONDS, MICROSECONDS, EPOCH, DOW, ISODOW, DOY, ISOYEAR",
                         name);
  struct mr_xtype *t = &n->arg[1]->type;
  if (t->kind == MR_K_NULL && (st = mr_coerce_arg(c, n, 1, mr_xtype_timestamp(""))) < 0)
    return st;
  k->kind = n->arg[1]->type.kind;
  if (k->kind == MR_K_TIMESTAMP && t->zone[0])
    st = mr_zone_check(c, n, t->zone, &k->zone);
  *ret = k;
  return st;
}

static bool has_field(int kind, enum field f)
{
  bool clock = (f >= HOUR && f <= EPOCH);
  if (kind == MR_K_TIME)
    return clock;
  if (kind == MR_K_INTERVAL)
    return f <= EPOCH;
  if (kind == MR_K_DATE)
    return !clock || f == EPOCH;
  return true;
}

static int check_extract(struct mr_check *c, struct mr_node *n)
{
  struct parts *k = NULL;
  char type[128];
  int st = check_parts(c, n, &k);
  if (st < 0)
    return st;
  mr_xtype_name(&n->arg[1]->type, type, sizeof type);
  if (k->kind != MR_K_TIMESTAMP && k->kind != MR_K_DATE && k->kind != MR_K_TIME &&
      k->kind != MR_K_INTERVAL)
    return mr_check_fail(c, n->arg[1], "EXTRACT takes a date, time, timestamp or interval, not %s",
                         type);
  if (!has_field(k->kind, k->field))
    return mr_check_fail(c, n->arg[0], "%s has no field %s", type, names[k->field]);
  n->data = k;
  n->type = type_of(k->field);
  n->run = run_extract;
  return MR_OK;
}

/* ---- DATE_TRUNC */

static int64_t truncate(enum field f, int64_t us)
{
  static const int64_t unit[] = {[DAY] = MR_DAY_US,  [HOUR] = 3600000000LL, [MINUTE] = 60000000,
                                 [SECOND] = 1000000, [MILLISECOND] = 1000,  [MICROSECOND] = 1};
  int64_t days = mr_floor_div(us, MR_DAY_US);
  if (f >= DAY)
    return mr_floor_div(us, unit[f]) * unit[f];
  if (f == WEEK)
    return (days - isodow(days) + 1) * MR_DAY_US;
  struct mr_civil c = mr_civil_of_us(us);
  int month = f == YEAR ? 1 : f == QUARTER ? (c.month - 1) / 3 * 3 + 1 : c.month;
  return mr_civil_days(c.year, month, 1) * MR_DAY_US;
}

static void run_trunc(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                      struct mr_vec *out)
{
  const struct parts *k = n->data;
  for (int64_t i = 0; i < r->n; i++) {
    int64_t us = MR_VI(arg[1])[i];
    if (!r->live[i])
      continue;
    if (us < MR_MIN_US + 7 * MR_DAY_US || us > MR_MAX_US) {
      mr_run_bad(r, n, out, i, MR_E_FIELD, "outside of the years 1 to 9999");
      continue;
    }
    int64_t offset = k->zone ? mr_zone_offset(k->zone, us) : 0, v = truncate(k->field, us + offset);
    /* within a day the offset of the moment itself counts: an hour may come twice */
    if (k->zone)
      v = k->field >= HOUR ? v - offset : mr_zone_to_utc(k->zone, v);
    MR_VI(out)[i] = v;
  }
}

static int check_trunc(struct mr_check *c, struct mr_node *n)
{
  struct parts *k = NULL;
  char type[128];
  int st = check_parts(c, n, &k);
  if (st < 0)
    return st;
  if (k->kind == MR_K_DATE && (st = mr_coerce_arg(c, n, 1, mr_xtype_timestamp(""))) < 0)
    return st;
  if (n->arg[1]->type.kind != MR_K_TIMESTAMP)
    return mr_check_fail(c, n->arg[1], "DATE_TRUNC takes a date or timestamp, not %s",
                         mr_xtype_name(&n->arg[1]->type, type, sizeof type));
  if (k->field >= EPOCH)
    return mr_check_fail(c, n->arg[0], "DATE_TRUNC has no unit %s", names[k->field]);
  n->data = k;
  n->type = n->arg[1]->type;
  n->run = run_trunc;
  return MR_OK;
}

const struct mr_function mr_part_functions[] = {
    {"extract", 2, 2, check_extract, "EXTRACT(field FROM x)"},
    {"date_part", 2, 2, check_extract, "DATE_PART('field', x)"},
    {"date_trunc", 2, 2, check_trunc, "DATE_TRUNC('unit', x)"},
    {NULL}};
