/* SPDX-License-Identifier: Apache-2.0 */
#include "format/text.h"

#define DAY_US (INT64_C(86400) * 1000000)

/* Exactly `digits` decimal digits at s, or -1. */
static int32_t number(const char *s, int digits)
{
  int32_t v = 0;
  for (int i = 0; i < digits; i++) {
    if (s[i] < '0' || s[i] > '9')
      return -1;
    v = v * 10 + (s[i] - '0');
  }
  return v;
}

/* Days since 1970-01-01 of a proleptic Gregorian date. Method: years that begin in March, in cycles
 * of 400 years (146,097 days). */
static int64_t days_of(int32_t year, int32_t month, int32_t day)
{
  int64_t y = (int64_t)year - (month <= 2);
  int64_t cycle = (y >= 0 ? y : y - 399) / 400, of_cycle = y - cycle * 400;
  int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return cycle * 146097 + of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + of_year - 719468;
}

static void date_of(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day)
{
  days += 719468;
  int64_t cycle = (days >= 0 ? days : days - 146096) / 146097, of_cycle = days - cycle * 146097;
  int64_t year = (of_cycle - of_cycle / 1460 + of_cycle / 36524 - of_cycle / 146096) / 365;
  int64_t of_year = of_cycle - (365 * year + year / 4 - year / 100), m = (5 * of_year + 2) / 153;
  *ret_day = (int)(of_year - (153 * m + 2) / 5 + 1);
  *ret_month = (int)(m < 10 ? m + 3 : m - 9);
  *ret_year = year + cycle * 400 + (*ret_month <= 2);
}

static bool day_exists(int32_t year, int32_t month, int32_t day)
{
  static const int8_t len[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (month < 1 || month > 12 || day < 1)
    return false;
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return day <= len[month - 1] + (month == 2 && leap);
}

/* A date at the start of s; *ret_len: how much of it. */
static enum mr_text_status date(const char *s, int64_t n, int64_t *ret_days, int *ret_len)
{
  int sign = n && s[0] == '-' ? -1 : 1, at = n && (s[0] == '+' || s[0] == '-'), digits = 4;
  if (at)
    digits = n > 6 && s[6] == '-' ? 5 : 6;
  if (n < at + digits + 6)
    return MR_TEXT_BAD;
  const char *p = s + at + digits;
  int32_t y = number(s + at, digits), m = number(p + 1, 2), d = number(p + 4, 2);
  if (y < 0 || p[0] != '-' || m < 0 || p[3] != '-' || d < 0)
    return MR_TEXT_BAD;
  if (!day_exists(y, m, d))
    return MR_TEXT_RANGE;
  *ret_days = days_of(sign * y, m, d);
  *ret_len = at + digits + 6;
  return MR_TEXT_OK;
}

enum mr_text_status mr_text_date(const char *s, int64_t n, int32_t *ret_days)
{
  int64_t days;
  int len;
  enum mr_text_status st = date(s, n, &days, &len);
  if (st == MR_TEXT_OK && len != n)
    st = MR_TEXT_BAD;
  if (st == MR_TEXT_OK)
    *ret_days = (int32_t)days;
  return st;
}

/* .digits at s: microseconds, the rest cut off; *ret_len: 0 without a fraction, -1 for a point
 * alone. */
static int32_t fraction(const char *s, int64_t n, int64_t *ret_len)
{
  int32_t us = 0, unit = 100000;
  int64_t i = 1;
  *ret_len = 0;
  if (n < 1 || (s[0] != '.' && s[0] != ','))
    return 0;
  for (; i < n && s[i] >= '0' && s[i] <= '9'; i++, unit /= 10)
    us += (s[i] - '0') * unit;
  *ret_len = i > 1 ? i : -1;
  return us;
}

/* A time of day at the start of s. */
static enum mr_text_status clock_time(const char *s, int64_t n, int64_t *ret_us, int64_t *ret_len)
{
  int32_t h, m, sec = 0, us = 0;
  int64_t len = 5, more;
  if (n < 5 || s[2] != ':' || (h = number(s, 2)) < 0 || (m = number(s + 3, 2)) < 0)
    return MR_TEXT_BAD;
  if (n > 5 && s[5] == ':') {
    if (n < 8 || (sec = number(s + 6, 2)) < 0)
      return MR_TEXT_BAD;
    us = fraction(s + 8, n - 8, &more);
    if (more < 0)
      return MR_TEXT_BAD;
    len = 8 + more;
  }
  if (h > 23 || m > 59 || sec > 59)
    return MR_TEXT_RANGE;
  *ret_us = ((int64_t)h * 3600 + m * 60 + sec) * 1000000 + us;
  *ret_len = len;
  return MR_TEXT_OK;
}

enum mr_text_status mr_text_time(const char *s, int64_t n, int64_t *ret_us)
{
  int64_t us, len;
  enum mr_text_status st = clock_time(s, n, &us, &len);
  if (st == MR_TEXT_OK && len != n)
    st = MR_TEXT_BAD;
  if (st == MR_TEXT_OK)
    *ret_us = us;
  return st;
}

/* Z or an offset that takes all of s, in seconds. */
static enum mr_text_status zone(const char *s, int64_t n, int32_t *ret)
{
  int32_t h, m = 0;
  *ret = 0;
  if (n == 1 && (s[0] | 0x20) == 'z')
    return MR_TEXT_OK;
  if ((n != 3 && n != 5 && n != 6) || (s[0] != '+' && s[0] != '-') || (h = number(s + 1, 2)) < 0)
    return MR_TEXT_BAD;
  if (n == 6 && s[3] != ':')
    return MR_TEXT_BAD;
  if (n > 3 && (m = number(s + n - 2, 2)) < 0)
    return MR_TEXT_BAD;
  if (h > 23 || m > 59)
    return MR_TEXT_RANGE;
  *ret = (h * 3600 + m * 60) * (s[0] == '-' ? -1 : 1);
  return MR_TEXT_OK;
}

enum mr_text_status mr_text_timestamp(const char *s, int64_t n, int64_t *ret_us, bool *ret_offset)
{
  int64_t days, us = 0, len = 0;
  int32_t offset = 0;
  int at;
  enum mr_text_status st = date(s, n, &days, &at);
  if (st != MR_TEXT_OK)
    return st;
  *ret_offset = false;
  s += at;
  n -= at;
  if (n) {
    if ((s[0] | 0x20) != 't' && s[0] != ' ')
      return MR_TEXT_BAD;
    if ((st = clock_time(s + 1, n - 1, &us, &len)) != MR_TEXT_OK)
      return st;
    s += 1 + len;
    n -= 1 + len;
  }
  if (n) {
    if ((st = zone(s, n, &offset)) != MR_TEXT_OK)
      return st;
    *ret_offset = true;
  }
  us -= (int64_t)offset * 1000000;
  if (__builtin_mul_overflow(days, DAY_US, &days) || __builtin_add_overflow(days, us, ret_us))
    return MR_TEXT_RANGE;
  return MR_TEXT_OK;
}

/* v with at least two digits (below 100). */
static char *put2(char *o, int v)
{
  *o++ = (char)('0' + v / 10);
  *o++ = (char)('0' + v % 10);
  return o;
}

static char *put_days(char *o, int64_t days)
{
  int64_t year;
  int month, day;
  date_of(days, &year, &month, &day);
  if (year < 0 || year > 9999)
    *o++ = year < 0 ? '-' : '+';
  bool wide = year < 0 || year > 9999;
  if (year < 0)
    year = -year;
  if (wide) {
    if (year > 99999)
      *o++ = (char)('0' + year / 100000 % 10);
    *o++ = (char)('0' + year / 10000 % 10);
  }
  o = put2(o, (int)(year / 100 % 100));
  o = put2(o, (int)(year % 100));
  *o++ = '-';
  o = put2(o, month);
  *o++ = '-';
  return put2(o, day);
}

static char *put_clock(char *o, int64_t us)
{
  int32_t part = (int32_t)(us % 1000000), s = (int32_t)(us / 1000000);
  o = put2(o, s / 3600);
  *o++ = ':';
  o = put2(o, s / 60 % 60);
  *o++ = ':';
  o = put2(o, s % 60);
  *o++ = '.';
  o = put2(o, part / 10000);
  o = put2(o, part / 100 % 100);
  return put2(o, part % 100);
}

int mr_put_date(char *out, int32_t days)
{
  return (int)(put_days(out, days) - out);
}

int mr_put_time(char *out, int64_t us)
{
  us %= DAY_US;
  return (int)(put_clock(out, us < 0 ? us + DAY_US : us) - out);
}

int mr_put_timestamp(char *out, int64_t us, bool z)
{
  int64_t days = us / DAY_US, rest = us % DAY_US;
  if (rest < 0) {
    rest += DAY_US;
    days--;
  }
  char *o = put_days(out, days);
  *o++ = 'T';
  o = put_clock(o, rest);
  if (z)
    *o++ = 'Z';
  return (int)(o - out);
}
