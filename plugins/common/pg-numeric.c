/* SPDX-License-Identifier: Apache-2.0 */
#include "common/pg-numeric.h"
#include <math.h>
#include "common/sql-text.h"

enum { MINUS = 0x4000, NOT_A_NUMBER = 0xC000, PLUS_INFINITY = 0xD000, MINUS_INFINITY = 0xF000 };

static const unsigned ten[] = {1, 10, 100, 1000, 10000};

static void put16(uint8_t *p, unsigned v)
{
  p[0] = (uint8_t)(v >> 8);
  p[1] = (uint8_t)v;
}

/* The header before n groups; weight: the power of 10000 of the first. */
static size_t header(uint8_t *p, int n, int weight, unsigned sign, int dscale)
{
  put16(p, 0);
  put16(p + 2, (unsigned)(8 + 2 * n));
  put16(p + 4, (unsigned)n);
  put16(p + 6, (unsigned)weight & 0xffff);
  put16(p + 8, sign);
  put16(p + 10, (unsigned)dscale);
  return (size_t)(12 + 2 * n);
}

/* Takes the lowest `power` decimal digits off v. */
static unsigned cut(pg_u128 *v, int power)
{
  unsigned rest;
  uint64_t low = (uint64_t)*v;
  if ((uint64_t)(*v >> 64)) {
    rest = (unsigned)(*v % ten[power]);
    *v /= ten[power];
  } else if (power == 4) { /* by a constant: no division */
    rest = (unsigned)(low % 10000);
    *v = low / 10000;
  } else {
    rest = (unsigned)(low % ten[power]);
    *v = low / ten[power];
  }
  return rest;
}

/* Base-10000 groups, lowest first, without zero groups at the low end; *power: of 10000 of the
 * first. */
static int groups(pg_u128 v, int exponent, uint16_t *group, int *power)
{
  int n = 0, g = exponent >= 0 ? exponent / 4 : -((3 - exponent) / 4), pad = exponent - 4 * g;
  unsigned low = cut(&v, 4 - pad) * ten[pad];
  while (low == 0 && v) {
    low = cut(&v, 4);
    g++;
  }
  *power = g;
  if (low || v)
    group[n++] = (uint16_t)low;
  while (v)
    group[n++] = (uint16_t)cut(&v, 4);
  return n;
}

size_t pg_numeric_put(uint8_t *p, pg_u128 v, bool minus, int exponent, int dscale)
{
  uint16_t group[12];
  int power, n = groups(v, exponent, group, &power);
  if (n == 0)
    return header(p, 0, 0, 0, dscale);
  for (int i = 0; i < n; i++)
    put16(p + 12 + 2 * i, group[n - 1 - i]);
  return header(p, n, power + n - 1, minus ? MINUS : 0, dscale);
}

size_t pg_numeric_put_double(uint8_t *p, double v, bool single)
{
  if (!isfinite(v))
    return header(p, 0, 0, isnan(v) ? NOT_A_NUMBER : v > 0 ? PLUS_INFINITY : MINUS_INFINITY, 0);
  char text[40];
  for (int digits = single ? 5 : 14; digits <= 16; digits++) {
    snprintf(text, sizeof text, "%.*e", digits, fabs(v));
    if (single ? strtof(text, NULL) == (float)fabs(v) : strtod(text, NULL) == fabs(v))
      break;
  }
  uint64_t m = 0;
  int behind = 0;
  const char *c = text;
  for (bool point = false; *c != 'e'; c++) {
    if (*c == '.') {
      point = true;
      continue;
    }
    m = m * 10 + (uint64_t)(*c - '0');
    behind += point;
  }
  int exponent = 0;
  for (const char *e = c + 2; *e; e++)
    exponent = exponent * 10 + (*e - '0');
  exponent = (c[1] == '-' ? -exponent : exponent) - behind;
  for (; m && m % 10 == 0; m /= 10)
    exponent++;
  return pg_numeric_put(p, m, signbit(v), m ? exponent : 0, exponent < 0 && m ? -exponent : 0);
}

static pg_u128 power_of_ten(int n)
{
  pg_u128 v = 1;
  for (; n > 0; n--)
    v *= 10;
  return v;
}

bool pg_numeric_fits(pg_u128 v, int exponent, int precision, int scale)
{
  if (v == 0)
    return true;
  int lost = -exponent - scale; /* digits beyond the scale: they must be zeros */
  if (lost > 38 || (lost > 0 && v % power_of_ten(lost)))
    return false;
  int room = precision - scale - exponent; /* v < 10^room */
  if (room <= 0)
    return false;
  return room > 38 || v < power_of_ten(room);
}
