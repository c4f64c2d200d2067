/* SPDX-License-Identifier: Apache-2.0 */
/* Dates, times, timestamps (ISO 8601 and its SQL form) and intervals from text. */
#include "expr/scalar.h"
#include <strings.h>

static bool is_digit(char c)
{
  return c >= '0' && c <= '9';
}

/* min to max digits at the front of s. */
static bool take_digits(struct mr_span *s, int min, int max, int64_t *ret)
{
  int n = 0;
  int64_t v = 0;
  while (n < max && n < s->n && is_digit(s->p[n]))
    v = v * 10 + (s->p[n++] - '0');
  if (n < min)
    return false;
  s->p += n;
  s->n -= n;
  *ret = v;
  return true;
}

static bool take(struct mr_span *s, char c)
{
  if (!s->n || s->p[0] != c)
    return false;
  s->p++;
  s->n--;
  return true;
}

static bool take_date(struct mr_span *s, struct mr_civil *c)
{
  int64_t y, m, d;
  if (!take_digits(s, 4, 4, &y) || !take(s, '-') || !take_digits(s, 1, 2, &m) || !take(s, '-') ||
      !take_digits(s, 1, 2, &d))
    return false;
  *c = (struct mr_civil){.year = y, .month = (int)m, .day = (int)d};
  return true;
}

/* Digits after the point, rounded to microseconds; 1000000 is possible. */
static bool take_fraction(struct mr_span *s, int64_t *ret_us)
{
  int64_t v = 0, digits = 0;
  bool up = false;
  while (s->n && is_digit(s->p[0])) {
    if (digits < 6)
      v = v * 10 + (s->p[0] - '0');
    if (digits == 6)
      up = s->p[0] >= '5';
    digits++;
    s->p++;
    s->n--;
  }
  if (!digits)
    return false;
  for (; digits < 6; digits++)
    v *= 10;
  *ret_us = v + up;
  return true;
}

/* hh:mm[:ss[.fraction]]; ret_carry: the fraction was rounded up to a whole second. */
static bool take_time(struct mr_span *s, struct mr_civil *c, bool *ret_carry)
{
  int64_t h, m, sec = 0, us = 0;
  if (!take_digits(s, 1, 2, &h) || !take(s, ':') || !take_digits(s, 2, 2, &m))
    return false;
  if (take(s, ':')) {
    if (!take_digits(s, 2, 2, &sec))
      return false;
    if (take(s, '.') && !take_fraction(s, &us))
      return false;
  }
  *ret_carry = us == 1000000;
  c->hour = (int)h;
  c->minute = (int)m;
  c->second = (int)sec;
  c->us = (int)(us % 1000000);
  return true;
}

/* Z, UTC, +hh, +hhmm, +hh:mm: us east of UTC. */
static bool take_offset(struct mr_span *s, int64_t *ret)
{
  int64_t h, m = 0;
  if (s->n == 3 && !strncasecmp(s->p, "utc", 3))
    s->n = 0;
  else if (s->n == 1 && (s->p[0] | 32) == 'z')
    s->n = 0;
  if (!s->n)
    return *ret = 0, true;
  int64_t sign = s->p[0] == '-' ? -1 : 1;
  if (!take(s, '+') && !take(s, '-'))
    return false;
  if (!take_digits(s, 2, 2, &h))
    return false;
  take(s, ':');
  if (s->n && !take_digits(s, 2, 2, &m))
    return false;
  if (s->n || h > 15 || m > 59)
    return false;
  *ret = sign * (h * 60 + m) * 60000000;
  return true;
}

enum mr_scan mr_scan_date(struct mr_span s, int64_t *ret_days)
{
  struct mr_civil c;
  s = mr_scan_trim(s);
  if (!take_date(&s, &c) || s.n)
    return MR_SCAN_BAD;
  if (!mr_civil_valid(&c))
    return MR_SCAN_RANGE;
  *ret_days = mr_civil_days(c.year, c.month, c.day);
  return MR_SCAN_OK;
}

enum mr_scan mr_scan_time(struct mr_span s, int64_t *ret_us)
{
  struct mr_civil c = {.year = 1970, .month = 1, .day = 1};
  bool carry;
  s = mr_scan_trim(s);
  if (!take_time(&s, &c, &carry) || s.n)
    return MR_SCAN_BAD;
  int64_t us = mr_civil_us(&c) + carry * 1000000LL;
  if (!mr_civil_valid(&c) || us >= MR_DAY_US)
    return MR_SCAN_RANGE;
  *ret_us = us;
  return MR_SCAN_OK;
}

enum mr_scan mr_scan_timestamp(struct mr_span s, struct mr_zone *zone, int64_t *ret_us)
{
  struct mr_civil c;
  bool carry = false;
  int64_t offset = 0;
  s = mr_scan_trim(s);
  if (!take_date(&s, &c))
    return MR_SCAN_BAD;
  if ((take(&s, 'T') || take(&s, 't') || take(&s, ' ')) && !take_time(&s, &c, &carry))
    return MR_SCAN_BAD;
  s = mr_scan_trim(s);
  bool has_offset = s.n > 0;
  if (has_offset && (!zone || !take_offset(&s, &offset)))
    return MR_SCAN_BAD;
  if (!mr_civil_valid(&c))
    return MR_SCAN_RANGE;
  int64_t us = mr_civil_us(&c) + carry * 1000000LL;
  if (zone)
    us = has_offset ? us - offset : mr_zone_to_utc(zone, us);
  if (us < MR_MIN_US || us > MR_MAX_US)
    return MR_SCAN_RANGE;
  *ret_us = us;
  return MR_SCAN_OK;
}

/* ---- intervals: '1 day 2 hours', '1.5s', '-3 days 04:05:06.5', '2 weeks ago' */

enum unit { U_US, U_MS, U_SECOND, U_MINUTE, U_HOUR, U_DAY, U_WEEK, U_MONTH, U_YEAR, U_NONE };

static enum unit unit_of(struct mr_span w)
{
  static const struct {
    const char *name;
    enum unit unit;
  } units[] = {
      {"us", U_US},         {"usec", U_US},        {"microsecond", U_US}, {"ms", U_MS},
      {"msec", U_MS},       {"millisecond", U_MS}, {"s", U_SECOND},       {"sec", U_SECOND},
      {"second", U_SECOND}, {"m", U_MINUTE},       {"min", U_MINUTE},     {"minute", U_MINUTE},
      {"h", U_HOUR},        {"hr", U_HOUR},        {"hour", U_HOUR},      {"d", U_DAY},
      {"day", U_DAY},       {"w", U_WEEK},         {"week", U_WEEK},      {"mon", U_MONTH},
      {"month", U_MONTH},   {"y", U_YEAR},         {"yr", U_YEAR},        {"year", U_YEAR}};
  for (size_t i = 0; i < MR_COUNT(units); i++) {
    int64_t n = (int64_t)strlen(units[i].name);
    if (strncasecmp(w.p, units[i].name, (size_t)(w.n < n ? w.n : n)))
      continue;
    if (w.n == n || (w.n == n + 1 && n > 2 && (w.p[n] | 32) == 's'))
      return units[i].unit;
  }
  return U_NONE;
}

static struct mr_span take_while(struct mr_span *s, bool (*is)(char))
{
  struct mr_span w = {s->p, 0};
  while (s->n && is(s->p[0]))
    s->p++, s->n--, w.n++;
  return w;
}

static bool in_number(char c)
{
  return is_digit(c) || c == '.' || c == ':' || c == '+' || c == '-';
}

static bool in_word(char c)
{
  return (c | 32) >= 'a' && (c | 32) <= 'z';
}

struct total { /* each part on its own, wide */
  mr_i128 months, days, us;
};

#define MILLION 1000000

/* v millionths of a unit; a fraction of a day or more goes to the smaller parts. */
static void add_unit(struct total *t, mr_i128 v, enum unit unit)
{
  static const int64_t us[] = {1, 1000, 1000000, 60000000, 3600000000LL};
  if (unit <= U_HOUR) {
    t->us += v * us[unit] / MILLION;
  } else if (unit == U_DAY || unit == U_WEEK) {
    if (unit == U_WEEK)
      v *= 7;
    t->days += v / MILLION;
    t->us += v % MILLION * MR_DAY_US / MILLION;
  } else if (unit == U_YEAR) {
    t->months += v * 12 / MILLION;
  } else {
    t->months += v / MILLION;
    v = v % MILLION * 30;
    t->days += v / MILLION;
    t->us += v % MILLION * MR_DAY_US / MILLION;
  }
}

/* [+-]hh:mm[:ss[.f]] with any number of hours */
static bool add_clock(struct total *t, struct mr_span w)
{
  int64_t h, m, s = 0, us = 0, sign = w.n && w.p[0] == '-' ? -1 : 1;
  if (!take(&w, '-'))
    take(&w, '+');
  if (!take_digits(&w, 1, 9, &h) || !take(&w, ':') || !take_digits(&w, 2, 2, &m))
    return false;
  if (take(&w, ':') && (!take_digits(&w, 2, 2, &s) || (take(&w, '.') && !take_fraction(&w, &us))))
    return false;
  if (w.n || m > 59 || s > 59)
    return false;
  t->us += (mr_i128)sign * (((h * 60 + m) * 60 + s) * 1000000 + us);
  return true;
}

static bool add_part(struct total *t, struct mr_span *s)
{
  mr_i128 v;
  struct mr_span number = take_while(s, in_number);
  if (memchr(number.p, ':', (size_t)number.n))
    return add_clock(t, number);
  if (mr_scan_decimal(number, 20, 6, &v) != MR_SCAN_OK)
    return false;
  *s = mr_scan_trim(*s);
  struct mr_span word = take_while(s, in_word);
  enum unit unit = word.n ? unit_of(word) : U_SECOND;
  if (unit == U_NONE)
    return false;
  add_unit(t, v, unit);
  return true;
}

enum mr_scan mr_scan_interval(struct mr_span s, struct mr_ival *ret)
{
  struct total t = {0, 0, 0};
  int sign = 1;
  s = mr_scan_trim(s);
  if (!s.n)
    return MR_SCAN_BAD;
  while (s.n) {
    if (s.n == 3 && !strncasecmp(s.p, "ago", 3)) {
      sign = -1;
      break;
    }
    if (!add_part(&t, &s))
      return MR_SCAN_BAD;
    s = mr_scan_trim(s);
  }
  t.months *= sign;
  t.days *= sign;
  t.us *= sign;
  if (t.months < INT32_MIN || t.months > INT32_MAX || t.days < INT32_MIN || t.days > INT32_MAX ||
      t.us <= INT64_MIN || t.us > INT64_MAX)
    return MR_SCAN_RANGE;
  *ret = (struct mr_ival){(int32_t)t.months, (int32_t)t.days, (int64_t)t.us};
  return MR_SCAN_OK;
}
