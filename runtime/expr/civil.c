/* SPDX-License-Identifier: Apache-2.0 */
#include "expr/scalar.h"

int64_t mr_floor_div(int64_t a, int64_t b)
{
  return a / b - (a % b != 0 && (a % b < 0) != (b < 0));
}

/* Days in eras of 400 years, years that begin in March: the leap day comes last. */
int64_t mr_civil_days(int64_t year, int month, int day)
{
  int64_t y = year - (month <= 2), era = mr_floor_div(y, 400), of_era = y - era * 400;
  int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

struct mr_civil mr_civil_of_days(int64_t days)
{
  int64_t z = days + 719468, era = mr_floor_div(z, 146097), d = z - era * 146097;
  int64_t of_era = (d - d / 1460 + d / 36524 - d / 146096) / 365;
  int64_t of_year = d - (365 * of_era + of_era / 4 - of_era / 100), m = (5 * of_year + 2) / 153;
  struct mr_civil c = {.day = (int)(of_year - (153 * m + 2) / 5 + 1),
                       .month = (int)(m < 10 ? m + 3 : m - 9)};
  c.year = of_era + era * 400 + (c.month <= 2);
  return c;
}

struct mr_civil mr_civil_of_us(int64_t us)
{
  int64_t days = mr_floor_div(us, MR_DAY_US), t = us - days * MR_DAY_US;
  struct mr_civil c = mr_civil_of_days(days);
  c.us = (int)(t % 1000000);
  t /= 1000000;
  c.second = (int)(t % 60);
  c.minute = (int)(t / 60 % 60);
  c.hour = (int)(t / 3600);
  return c;
}

int64_t mr_civil_us(const struct mr_civil *c)
{
  return mr_civil_days(c->year, c->month, c->day) * MR_DAY_US +
         ((c->hour * 60LL + c->minute) * 60 + c->second) * 1000000 + c->us;
}

int mr_civil_month_days(int64_t year, int month)
{
  static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return days[month - 1] + (month == 2 && leap);
}

bool mr_civil_valid(const struct mr_civil *c)
{
  return c->year >= 1 && c->year <= 9999 && c->month >= 1 && c->month <= 12 && c->day >= 1 &&
         c->day <= mr_civil_month_days(c->year, c->month) && c->hour >= 0 && c->hour < 24 &&
         c->minute >= 0 && c->minute < 60 && c->second >= 0 && c->second < 60;
}

static int64_t add_months(int64_t us, int64_t months)
{
  struct mr_civil c = mr_civil_of_us(us);
  int64_t m = c.year * 12 + c.month - 1 + months;
  c.year = mr_floor_div(m, 12);
  c.month = (int)(m - c.year * 12) + 1;
  int last = mr_civil_month_days(c.year, c.month);
  if (c.day > last)
    c.day = last;
  return mr_civil_us(&c);
}

bool mr_civil_add(int64_t us, const struct mr_ival *v, int sign, int64_t *ret)
{
  int64_t part;
  if (us < MR_MIN_US || us > MR_MAX_US)
    return false;
  if (v->months) {
    if (v->months > 12 * 10000 || v->months < -12 * 10000)
      return false;
    us = add_months(us, (int64_t)v->months * sign);
  }
  if (__builtin_mul_overflow(v->days * (int64_t)sign, MR_DAY_US, &part) ||
      __builtin_add_overflow(us, part, &us) || v->us == INT64_MIN ||
      __builtin_add_overflow(us, v->us * sign, &us))
    return false;
  if (us < MR_MIN_US || us > MR_MAX_US)
    return false;
  *ret = us;
  return true;
}
