/* SPDX-License-Identifier: Apache-2.0 */
#include "expr/scalar.h"
#include <math.h>
#include <stdio.h>

#define E19 10000000000000000000ULL
#define HIGH(n) ((mr_i128)E19 * n)

static const mr_i128 powers[39] = {1,
                                   10,
                                   100,
                                   1000,
                                   10000,
                                   100000,
                                   1000000,
                                   10000000,
                                   100000000,
                                   1000000000,
                                   10000000000ULL,
                                   100000000000ULL,
                                   1000000000000ULL,
                                   10000000000000ULL,
                                   100000000000000ULL,
                                   1000000000000000ULL,
                                   10000000000000000ULL,
                                   100000000000000000ULL,
                                   1000000000000000000ULL,
                                   E19,
                                   HIGH(10),
                                   HIGH(100),
                                   HIGH(1000),
                                   HIGH(10000),
                                   HIGH(100000),
                                   HIGH(1000000),
                                   HIGH(10000000),
                                   HIGH(100000000),
                                   HIGH(1000000000),
                                   HIGH(10000000000ULL),
                                   HIGH(100000000000ULL),
                                   HIGH(1000000000000ULL),
                                   HIGH(10000000000000ULL),
                                   HIGH(100000000000000ULL),
                                   HIGH(1000000000000000ULL),
                                   HIGH(10000000000000000ULL),
                                   HIGH(100000000000000000ULL),
                                   HIGH(1000000000000000000ULL),
                                   HIGH(E19)};

mr_i128 mr_pow10(int n)
{
  return powers[n];
}

static mr_u128 magnitude(mr_i128 v)
{
  return v < 0 ? -(mr_u128)v : (mr_u128)v;
}

bool mr_decimal_fits(mr_i128 v, int precision)
{
  return magnitude(v) < (mr_u128)powers[precision];
}

static bool with_sign(mr_u128 q, bool minus, mr_i128 *ret)
{
  if (q >= (mr_u128)powers[38])
    return false;
  *ret = minus ? -(mr_i128)q : (mr_i128)q;
  return true;
}

bool mr_decimal_rescale(mr_i128 v, int from, int to, mr_i128 *ret)
{
  if (to >= from) {
    mr_i128 r;
    if (to - from > 38)
      return v == 0 ? (*ret = 0, true) : false;
    if (__builtin_mul_overflow(v, powers[to - from], &r) || !mr_decimal_fits(r, 38))
      return false;
    *ret = r;
    return true;
  }
  if (from - to > 38)
    return *ret = 0, true;
  mr_u128 d = (mr_u128)powers[from - to], m = magnitude(v), q = m / d;
  if (m % d >= d - m % d)
    q++;
  return with_sign(q, v < 0, ret);
}

/* ---- 256-bit product and quotient, for what does not fit 128 bits */

struct u256 {
  mr_u128 hi, lo;
};

static struct u256 multiply(mr_u128 a, mr_u128 b)
{
  uint64_t a0 = (uint64_t)a, a1 = (uint64_t)(a >> 64), b0 = (uint64_t)b, b1 = (uint64_t)(b >> 64);
  mr_u128 p00 = (mr_u128)a0 * b0, p01 = (mr_u128)a0 * b1, p10 = (mr_u128)a1 * b0,
          p11 = (mr_u128)a1 * b1;
  mr_u128 mid = (p00 >> 64) + (uint64_t)p01 + (uint64_t)p10;
  return (struct u256){p11 + (p01 >> 64) + (p10 >> 64) + (mid >> 64), (mid << 64) | (uint64_t)p00};
}

/* n / d bit by bit; n.hi < d, so the quotient has 128 bits. */
static mr_u128 divide(struct u256 n, mr_u128 d, mr_u128 *ret_rest)
{
  mr_u128 rest = n.hi, q = 0;
  for (int i = 127; i >= 0; i--) {
    bool carry = rest >> 127;
    rest = rest << 1 | (n.lo >> i & 1);
    q <<= 1;
    if (carry || rest >= d) {
      rest -= d;
      q |= 1;
    }
  }
  *ret_rest = rest;
  return q;
}

bool mr_decimal_muldiv(mr_i128 a, mr_i128 m, mr_i128 b, mr_i128 *ret)
{
  mr_u128 product, d = magnitude(b), q, rest;
  bool minus = (a < 0) ^ (m < 0) ^ (b < 0);
  if (!__builtin_mul_overflow(magnitude(a), magnitude(m), &product)) {
    q = product / d;
    rest = product % d;
  } else {
    struct u256 p = multiply(magnitude(a), magnitude(m));
    if (p.hi >= d)
      return false;
    q = divide(p, d, &rest);
  }
  if (rest >= d - rest)
    q++;
  return with_sign(q, minus, ret);
}

/* ---- doubles, comparison */

double mr_decimal_to_double(mr_i128 v, int scale)
{
  char buf[MR_PRINT + 1];
  if (magnitude(v) <= 1ULL << 53 && scale <= 22)
    return (double)v / (double)powers[scale];
  buf[mr_print_decimal(v, scale, buf)] = 0;
  return strtod(buf, NULL);
}

static int sign_of(mr_i128 v)
{
  return (v > 0) - (v < 0);
}

/* Whole parts first; then the fractions, which always fit 38 digits. */
int mr_decimal_cmp(mr_i128 a, int scale_a, mr_i128 b, int scale_b)
{
  if (scale_a == scale_b)
    return (a > b) - (a < b);
  mr_i128 ia = a / powers[scale_a], ib = b / powers[scale_b];
  if (ia != ib)
    return ia > ib ? 1 : -1;
  int s = scale_a > scale_b ? scale_a : scale_b;
  return sign_of(a % powers[scale_a] * powers[s - scale_a] -
                 b % powers[scale_b] * powers[s - scale_b]);
}

/* Fractions r / 10^scale and f, both in [0, 1), bit by bit: doubling either is exact. */
static int fraction_cmp(mr_u128 r, mr_u128 one, double f)
{
  while (r || f > 0) {
    bool br = (r *= 2) >= one, bf = (f *= 2) >= 1;
    if (br != bf)
      return br ? 1 : -1;
    if (br)
      r -= one;
    if (bf)
      f -= 1;
  }
  return 0;
}

int mr_decimal_cmp_double(mr_i128 a, int scale, double b)
{
  if (isnan(b) || b >= 1e38)
    return -1;
  if (b <= -1e38)
    return 1;
  if (a >= 0 && b < 0)
    return 1;
  if (a < 0)
    return b >= 0 ? -1 : -mr_decimal_cmp_double(-a, scale, -b);
  mr_i128 ia = a / powers[scale], ib = (mr_i128)b;
  if (ia != ib)
    return ia > ib ? 1 : -1;
  return fraction_cmp((mr_u128)(a % powers[scale]), (mr_u128)powers[scale], b - trunc(b));
}

int mr_double_cmp(double a, double b)
{
  if (isnan(a) || isnan(b))
    return isnan(a) - isnan(b);
  return (a > b) - (a < b);
}
