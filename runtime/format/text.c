/* SPDX-License-Identifier: Apache-2.0 */
#include "format/text.h"
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>

/* ---------------------------------------------------------------- numbers */

/* A decimal number taken apart: digit[0..n) are all digits without the point, value = +-0.d1d2... *
 * 10^point. */
struct parts {
  bool minus;
  const char *whole, *fraction; /* digits before and after the point */
  int64_t n_whole, n_fraction, exponent;
};

static int64_t run_of_digits(const char *s, int64_t n)
{
  int64_t i = 0;
  while (i < n && s[i] >= '0' && s[i] <= '9')
    i++;
  return i;
}

/* An exponent, held within +-10^9: past that only its sign matters. */
static int64_t exponent_of(const char *s, int64_t n, bool minus)
{
  int64_t e = 0;
  for (int64_t i = 0; i < n && e < 1000000000; i++)
    e = e * 10 + (s[i] - '0');
  return minus ? -e : e;
}

static bool take_apart(const char *s, int64_t n, struct parts *ret)
{
  const char *end = s + n;
  *ret = (struct parts){0};
  if (s < end && (*s == '-' || *s == '+'))
    ret->minus = *s++ == '-';
  ret->whole = s;
  ret->n_whole = run_of_digits(s, end - s);
  s += ret->n_whole;
  if (s < end && *s == '.') {
    ret->fraction = ++s;
    ret->n_fraction = run_of_digits(s, end - s);
    s += ret->n_fraction;
  }
  if (ret->n_whole + ret->n_fraction == 0)
    return false;
  if (s < end && (*s | 0x20) == 'e') {
    s++;
    bool minus = s < end && *s == '-';
    s += s < end && (*s == '-' || *s == '+');
    int64_t digits = run_of_digits(s, end - s);
    if (!digits)
      return false;
    ret->exponent = exponent_of(s, digits, minus);
    s += digits;
  }
  return s == end;
}

static int digit_at(const struct parts *d, int64_t i)
{
  return (i < d->n_whole ? d->whole[i] : d->fraction[i - d->n_whole]) - '0';
}

/* The digits of d as an integer with `scale` digits after the point. */
static enum mr_text_status scaled(const struct parts *d, int precision, int scale, bool cut,
                                  __int128 *ret)
{
  int64_t n = d->n_whole + d->n_fraction, keep = d->n_whole + d->exponent + scale, first = 0;
  bool rest = false;
  __int128 v = 0;
  while (first < n && digit_at(d, first) == 0)
    first++;
  if (first == n) {
    *ret = 0;
    return MR_TEXT_OK;
  }
  if (keep - first > precision)
    return MR_TEXT_RANGE;
  for (int64_t i = first; i < keep; i++)
    v = v * 10 + (i < n ? digit_at(d, i) : 0);
  for (int64_t i = keep > first ? keep : first; i < n && !rest; i++)
    rest = digit_at(d, i) != 0;
  if (rest && !cut)
    return MR_TEXT_RANGE;
  *ret = d->minus ? -v - rest : v;
  return MR_TEXT_OK;
}

enum mr_text_status mr_text_decimal(const char *s, int64_t n, int precision, int scale, bool cut,
                                    __int128 *ret)
{
  struct parts d;
  if (!take_apart(s, n, &d))
    return MR_TEXT_BAD;
  return scaled(&d, precision, scale, cut, ret);
}

/* Up to 19 digits as an integer; false: too many. *ret_exp: value = *ret * 10^*ret_exp. */
static bool mantissa_of(const struct parts *d, uint64_t *ret, int64_t *ret_exp)
{
  int64_t n = d->n_whole + d->n_fraction, first = 0;
  uint64_t v = 0;
  while (first < n && digit_at(d, first) == 0)
    first++;
  if (n - first > 19)
    return false;
  for (int64_t i = first; i < n; i++)
    v = v * 10 + (uint64_t)digit_at(d, i);
  *ret = v;
  *ret_exp = d->exponent - d->n_fraction;
  return true;
}

static const double p10[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                             1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* Both operands are exact and one operation rounds once, so the result is the nearest
 * (FLT_EVAL_METHOD 0). */
static bool exact_f64(const struct parts *d, double *ret)
{
  uint64_t m;
  int64_t e;
  if (FLT_EVAL_METHOD != 0 || !mantissa_of(d, &m, &e) || m > UINT64_C(1) << 53 || e < -22 || e > 22)
    return false;
  double v = e < 0 ? (double)m / p10[-e] : (double)m * p10[e];
  *ret = d->minus ? -v : v;
  return true;
}

/* The quotient's upper 62 to 64 bits and whether a rest was left say how to round. */
double mr_text_quotient(uint64_t m, int k)
{
  uint64_t d = 1;
  for (int i = 0; i < k; i++)
    d *= 10;
  int lm = __builtin_clzll(m), ld = __builtin_clzll(d);
  unsigned __int128 n = (unsigned __int128)(m << lm) << 63;
  uint64_t den = d << ld, q = (uint64_t)(n / den);
  bool rest = n % den != 0;
  int drop = 11 - __builtin_clzll(q);
  uint64_t half = UINT64_C(1) << (drop - 1), low = q & (2 * half - 1), kept = q >> drop;
  if (low > half || (low == half && (rest || (kept & 1))))
    kept++;
  return ldexp((double)kept, drop - 63 + ld - lm);
}

/* Numbers of up to 19 digits whose last stands at most 19 places behind the point. */
static bool quotient_f64(const struct parts *d, double *ret)
{
  uint64_t m;
  int64_t e;
  if (!mantissa_of(d, &m, &e) || m == 0 || e < -19 || e > 0)
    return false;
  double v = mr_text_quotient(m, (int)-e);
  *ret = d->minus ? -v : v;
  return true;
}

static bool exact_f32(const struct parts *d, float *ret)
{
  uint64_t m;
  int64_t e;
  if (FLT_EVAL_METHOD != 0 || !mantissa_of(d, &m, &e) || m > UINT64_C(1) << 24 || e < -10 || e > 10)
    return false;
  float v = e < 0 ? (float)m / (float)p10[-e] : (float)m * (float)p10[e];
  *ret = d->minus ? -v : v;
  return true;
}

enum mr_text_status mr_text_f64(const char *s, int64_t n, locale_t c, char *scratch, double *ret)
{
  struct parts d;
  if (!take_apart(s, n, &d))
    return MR_TEXT_BAD;
  if (exact_f64(&d, ret) || quotient_f64(&d, ret))
    return MR_TEXT_OK;
  memcpy(scratch, s, (size_t)n);
  scratch[n] = 0;
  double v = strtod_l(scratch, NULL, c);
  if (!isfinite(v))
    return MR_TEXT_RANGE;
  *ret = v;
  return MR_TEXT_OK;
}

enum mr_text_status mr_text_f32(const char *s, int64_t n, locale_t c, char *scratch, float *ret)
{
  struct parts d;
  if (!take_apart(s, n, &d))
    return MR_TEXT_BAD;
  if (exact_f32(&d, ret))
    return MR_TEXT_OK;
  memcpy(scratch, s, (size_t)n);
  scratch[n] = 0;
  float v = strtof_l(scratch, NULL, c);
  if (!isfinite(v))
    return MR_TEXT_RANGE;
  *ret = v;
  return MR_TEXT_OK;
}

static const struct {
  const char *text;
  double value;
} not_finite[] = {{"NaN", NAN}, {"Infinity", INFINITY}, {"-Infinity", -INFINITY}};

bool mr_text_not_finite(const char *s, int64_t n, double *ret)
{
  for (size_t i = 0; i < sizeof not_finite / sizeof *not_finite; i++)
    if ((int64_t)strlen(not_finite[i].text) == n && !memcmp(not_finite[i].text, s, (size_t)n)) {
      *ret = not_finite[i].value;
      return true;
    }
  return false;
}

static int put_not_finite(char *out, double v)
{
  const char *text = not_finite[isnan(v) ? 0 : v > 0 ? 1 : 2].text;
  memcpy(out, text, strlen(text));
  return (int)strlen(text);
}

int mr_put_uint(char *out, uint64_t v)
{
  char buf[20], *p = buf + sizeof buf;
  do
    *--p = (char)('0' + v % 10);
  while (v /= 10);
  int n = (int)(buf + sizeof buf - p);
  memcpy(out, p, (size_t)n);
  return n;
}

int mr_put_int(char *out, int64_t v)
{
  if (v >= 0)
    return mr_put_uint(out, (uint64_t)v);
  *out = '-';
  return 1 + mr_put_uint(out + 1, 0 - (uint64_t)v);
}

int mr_put_decimal(char *out, __int128 v, int scale)
{
  char buf[48], *o = out;
  int n = 0;
  unsigned __int128 u = v < 0 ? 0 - (unsigned __int128)v : (unsigned __int128)v;
  do
    buf[n++] = (char)('0' + (int)(u % 10));
  while (u /= 10);
  while (n <= scale)
    buf[n++] = '0';
  if (v < 0)
    *o++ = '-';
  while (n > 0) {
    if (n == scale)
      *o++ = '.';
    *o++ = buf[--n];
  }
  for (; scale < 0; scale++)
    *o++ = '0';
  return (int)(o - out);
}

/* v = m / 10^k with few digits, which covers what people write; m and 10^k are exact, so the text
 * reads back as v. */
static int put_short(char *out, double v)
{
  double a = fabs(v);
  if (a >= 1e15 || (a < 1e-5 && a > 0))
    return 0;
  for (int k = 0; k <= 15; k++) {
    double m = nearbyint(a * p10[k]);
    if (m > 9007199254740992.0)
      return 0;
    if (m / p10[k] != a)
      continue;
    char *o = out;
    if (signbit(v))
      *o++ = '-';
    o += mr_put_decimal(o, (__int128)m, k);
    if (!k) {
      *o++ = '.';
      *o++ = '0';
    }
    return (int)(o - out);
  }
  return 0;
}

/* A point or exponent, so that the text is seen to be a float. */
static int with_point(char *out, int n)
{
  if (strpbrk(out, ".e"))
    return n;
  memcpy(out + n, ".0", 2);
  return n + 2;
}

int mr_put_f64(char *out, double v, locale_t c)
{
  if (!isfinite(v))
    return put_not_finite(out, v);
  int n = put_short(out, v);
  if (n)
    return n;
  locale_t old = uselocale(c);
  for (int digits = 15; digits <= 17; digits++) {
    n = snprintf(out, MR_TEXT_FLOAT_MAX, "%.*g", digits, v);
    if (strtod(out, NULL) == v)
      break;
  }
  uselocale(old);
  return with_point(out, n);
}

int mr_put_f32(char *out, float v, locale_t c)
{
  int n = 0;
  if (!isfinite(v))
    return put_not_finite(out, (double)v);
  locale_t old = uselocale(c);
  for (int digits = 6; digits <= 9; digits++) {
    n = snprintf(out, MR_TEXT_FLOAT_MAX, "%.*g", digits, (double)v);
    if (strtof(out, NULL) == v)
      break;
  }
  uselocale(old);
  return with_point(out, n);
}

/* ---------------------------------------------------------------- bytes */

static int hex_of(char c)
{
  if (c >= '0' && c <= '9')
    return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool uuid_dash(int64_t i)
{
  return i == 8 || i == 13 || i == 18 || i == 23;
}

enum mr_text_status mr_text_uuid(const char *s, int64_t n, uint8_t ret[16])
{
  uint8_t v[16];
  int at = 0;
  if (n != MR_TEXT_UUID_LEN)
    return MR_TEXT_BAD;
  for (int64_t i = 0; i < n; i++) {
    if (uuid_dash(i)) {
      if (s[i] != '-')
        return MR_TEXT_BAD;
      continue;
    }
    int a = hex_of(s[i]), b = hex_of(s[i + 1]);
    if (a < 0 || b < 0)
      return MR_TEXT_BAD;
    v[at++] = (uint8_t)(a << 4 | b);
    i++;
  }
  memcpy(ret, v, 16);
  return MR_TEXT_OK;
}

int mr_put_uuid(char *out, const uint8_t v[16])
{
  static const char hex[] = "0123456789abcdef";
  char *o = out;
  for (int i = 0; i < 16; i++) {
    if (uuid_dash(o - out))
      *o++ = '-';
    *o++ = hex[v[i] >> 4];
    *o++ = hex[v[i] & 15];
  }
  return MR_TEXT_UUID_LEN;
}

static int sextet(char c)
{
  if (c >= 'A' && c <= 'Z')
    return c - 'A';
  if (c >= 'a' && c <= 'z')
    return c - 'a' + 26;
  if (c >= '0' && c <= '9')
    return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

enum mr_text_status mr_text_base64(const char *s, int64_t n, uint8_t *out, int64_t *ret_len)
{
  uint8_t *o = out;
  if (n % 4)
    return MR_TEXT_BAD;
  int pad = n && s[n - 1] == '=' ? 1 + (s[n - 2] == '=') : 0;
  for (int64_t i = 0; i < n; i += 4) {
    int keep = i + 4 == n ? 3 - pad : 3;
    uint32_t v = 0;
    for (int j = 0; j < 4; j++) {
      int x = j > keep ? 0 : sextet(s[i + j]);
      if (x < 0)
        return MR_TEXT_BAD;
      v = v << 6 | (uint32_t)x;
    }
    if (v & (0xffffffu >> (8 * keep)))
      return MR_TEXT_BAD; /* bits behind the last byte */
    for (int j = 0; j < keep; j++)
      *o++ = (uint8_t)(v >> (16 - 8 * j));
  }
  *ret_len = o - out;
  return MR_TEXT_OK;
}

int64_t mr_put_base64(char *out, const uint8_t *p, int64_t n)
{
  static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char *o = out;
  for (int64_t i = 0; i < n; i += 3) {
    int64_t left = n - i;
    uint32_t v = (uint32_t)p[i] << 16;
    if (left > 1)
      v |= (uint32_t)p[i + 1] << 8;
    if (left > 2)
      v |= p[i + 2];
    *o++ = set[v >> 18];
    *o++ = set[v >> 12 & 63];
    *o++ = left > 1 ? set[v >> 6 & 63] : '=';
    *o++ = left > 2 ? set[v & 63] : '=';
  }
  return o - out;
}
