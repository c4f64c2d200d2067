/* SPDX-License-Identifier: Apache-2.0 */
/* Values as text, as PostgreSQL writes them (ISO date style, shortest floats). */
#include "expr/scalar.h"
#include <math.h>
#include <stdio.h>

static int64_t put(char *buf, const char *s)
{
  size_t n = strlen(s);
  memcpy(buf, s, n);
  return (int64_t)n;
}

int64_t mr_print_int(mr_i128 v, char *buf)
{
  char digits[40];
  int n = 0;
  int64_t at = 0;
  mr_u128 m = v < 0 ? -(mr_u128)v : (mr_u128)v;
  do {
    digits[n++] = (char)('0' + (int)(m % 10));
    m /= 10;
  } while (m);
  if (v < 0)
    buf[at++] = '-';
  while (n)
    buf[at++] = digits[--n];
  return at;
}

static int64_t special(double v, char *buf)
{
  return put(buf, isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity");
}

/* The locale's decimal point becomes a point. */
static int64_t plain(char *buf, int n)
{
  for (int i = 0; i < n; i++)
    if (!strchr("0123456789+-e", buf[i]))
      buf[i] = '.';
  return n;
}

int64_t mr_print_float(double v, char *buf)
{
  int n = 0;
  if (!isfinite(v))
    return special(v, buf);
  if (fabs(v) < 1e15 && v == trunc(v) && !(v == 0 && signbit(v)))
    return mr_print_int((mr_i128)v, buf);
  for (int digits = 15; digits <= 17; digits++) {
    n = snprintf(buf, MR_PRINT, "%.*g", digits, v);
    if (strtod(buf, NULL) == v)
      break;
  }
  return plain(buf, n);
}

int64_t mr_print_float32(float v, char *buf)
{
  int n = 0;
  if (!isfinite(v))
    return special(v, buf);
  for (int digits = 6; digits <= 9; digits++) {
    n = snprintf(buf, MR_PRINT, "%.*g", digits, (double)v);
    if (strtof(buf, NULL) == v)
      break;
  }
  return plain(buf, n);
}

int64_t mr_print_decimal(mr_i128 v, int scale, char *buf)
{
  char digits[48];
  int64_t n = mr_print_int(v < 0 ? -v : v, digits), at = 0, whole = n - scale;
  if (v < 0)
    buf[at++] = '-';
  if (whole <= 0)
    buf[at++] = '0';
  for (int64_t i = 0; i < n; i++) {
    if (i == whole || (i == 0 && whole < 0))
      buf[at++] = '.';
    for (int64_t z = whole; i == 0 && z < 0; z++)
      buf[at++] = '0';
    buf[at++] = digits[i];
  }
  return at;
}

int64_t mr_print_digits(int64_t v, int width, char *buf)
{
  for (int i = width; i-- > 0; v /= 10)
    buf[i] = (char)('0' + v % 10);
  return width;
}

/* Six digits after a point, without the zeros at the end. */
static int64_t print_us(int64_t us, char *buf)
{
  if (!us)
    return 0;
  buf[0] = '.';
  int64_t n = 1 + mr_print_digits(us, 6, buf + 1);
  while (buf[n - 1] == '0')
    n--;
  return n;
}

int64_t mr_print_date(int64_t days, char *buf)
{
  struct mr_civil c = mr_civil_of_days(days);
  if (c.year < 0 || c.year > 9999)
    return snprintf(buf, 40, "%04lld-%02d-%02d", (long long)c.year, c.month, c.day);
  mr_print_digits(c.year, 4, buf);
  buf[4] = '-';
  mr_print_digits(c.month, 2, buf + 5);
  buf[7] = '-';
  return 8 + mr_print_digits(c.day, 2, buf + 8);
}

/* Hours may be many in an interval. */
static int64_t print_clock(int64_t us, char *buf)
{
  int64_t s = us / 1000000, h = s / 3600, n;
  if (h < 100)
    n = mr_print_digits(h, 2, buf);
  else
    n = mr_print_int(h, buf);
  buf[n++] = ':';
  n += mr_print_digits(s / 60 % 60, 2, buf + n);
  buf[n++] = ':';
  n += mr_print_digits(s % 60, 2, buf + n);
  return n + print_us(us % 1000000, buf + n);
}

int64_t mr_print_time(int64_t us, char *buf)
{
  return print_clock(us, buf);
}

int64_t mr_print_timestamp(int64_t us, char *buf)
{
  int64_t days = mr_floor_div(us, MR_DAY_US), n = mr_print_date(days, buf);
  buf[n++] = ' ';
  return n + print_clock(us - days * MR_DAY_US, buf + n);
}

int64_t mr_print_timestamptz(int64_t local_us, int64_t offset_us, char *buf)
{
  int64_t n = mr_print_timestamp(local_us, buf), o = offset_us / 60000000, m = o < 0 ? -o : o;
  n += snprintf(buf + n, 8, "%c%02d", o < 0 ? '-' : '+', (int)(m / 60));
  if (m % 60)
    n += snprintf(buf + n, 8, ":%02d", (int)(m % 60));
  return n;
}

static int64_t print_part(int64_t v, const char *unit, int64_t at, char *buf)
{
  if (!v)
    return 0;
  return snprintf(buf, 32, "%s%lld %s%s", at ? " " : "", (long long)v, unit, v == 1 ? "" : "s");
}

int64_t mr_print_interval(const struct mr_ival *v, char *buf)
{
  int64_t n = print_part(v->months / 12, "year", 0, buf);
  n += print_part(v->months % 12, "mon", n, buf + n);
  n += print_part(v->days, "day", n, buf + n);
  if (!v->us && n)
    return n;
  if (n)
    buf[n++] = ' ';
  if (v->us < 0)
    buf[n++] = '-';
  return n + print_clock(v->us < 0 ? -v->us : v->us, buf + n);
}

int64_t mr_print_uuid(const uint8_t *v, char *buf)
{
  static const char hex[] = "0123456789abcdef";
  int64_t n = 0;
  for (int i = 0; i < 16; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10)
      buf[n++] = '-';
    buf[n++] = hex[v[i] >> 4];
    buf[n++] = hex[v[i] & 15];
  }
  return n;
}
