/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, booleans and UUIDs from text. Nothing here depends on the process's locale. */
#include "expr/scalar.h"
#include <langinfo.h>
#include <math.h>
#include <strings.h>

static bool is_blank(char c)
{
  return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
  return c >= '0' && c <= '9';
}

struct mr_span mr_scan_trim(struct mr_span s)
{
  while (s.n && is_blank(s.p[0]))
    s.p++, s.n--;
  while (s.n && is_blank(s.p[s.n - 1]))
    s.n--;
  return s;
}

enum mr_scan mr_scan_int(struct mr_span s, mr_i128 *ret)
{
  mr_i128 v = 0;
  s = mr_scan_trim(s);
  bool minus = s.n && s.p[0] == '-', range = false;
  if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
    s.p++, s.n--;
  if (!s.n)
    return MR_SCAN_BAD;
  for (int64_t i = 0; i < s.n; i++) {
    if (!is_digit(s.p[i]))
      return MR_SCAN_BAD;
    if (v > mr_pow10(37))
      range = true;
    else
      v = v * 10 + (s.p[i] - '0');
  }
  if (range)
    return MR_SCAN_RANGE;
  *ret = minus ? -v : v;
  return MR_SCAN_OK;
}

static bool is_word(struct mr_span s, const char *word)
{
  return s.n == (int64_t)strlen(word) && !strncasecmp(s.p, word, (size_t)s.n);
}

static bool special_float(struct mr_span s, double *ret)
{
  double sign = s.n && s.p[0] == '-' ? -1 : 1;
  if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
    s.p++, s.n--;
  if (is_word(s, "nan"))
    return *ret = NAN, true;
  if (is_word(s, "inf") || is_word(s, "infinity"))
    return *ret = sign * INFINITY, true;
  return false;
}

enum mr_scan mr_scan_float(struct mr_span s, double *ret)
{
  char buf[512], *end;
  s = mr_scan_trim(s);
  if (special_float(s, ret))
    return MR_SCAN_OK;
  if (!s.n || s.n >= (int64_t)sizeof buf)
    return MR_SCAN_BAD;
  char point = nl_langinfo(RADIXCHAR)[0];
  for (int64_t i = 0; i < s.n; i++) {
    if (!is_digit(s.p[i]) && !strchr("+-.eE", s.p[i]))
      return MR_SCAN_BAD;
    buf[i] = s.p[i] == '.' ? point : s.p[i];
  }
  buf[s.n] = 0;
  double v = strtod(buf, &end);
  if (*end || end == buf)
    return MR_SCAN_BAD;
  if (isinf(v))
    return MR_SCAN_RANGE;
  *ret = v;
  return MR_SCAN_OK;
}

/* The parts of a decimal text: digits, where the point is, how many zeros the exponent adds. */
struct parts {
  const char *p;
  int64_t n, point; /* digits and points in p; digits before the point */
  int64_t exponent;
  bool minus;
};

static bool take_exponent(const char *p, int64_t n, int64_t *ret)
{
  int64_t v = 0, i = 0;
  bool minus = n && p[0] == '-';
  if (n && (p[0] == '-' || p[0] == '+'))
    i = 1;
  if (i == n)
    return false;
  for (; i < n; i++) {
    if (!is_digit(p[i]))
      return false;
    if (v < 100000)
      v = v * 10 + (p[i] - '0');
  }
  *ret = minus ? -v : v;
  return true;
}

static bool take_parts(struct mr_span s, struct parts *d)
{
  int64_t i = 0, digits = 0;
  *d = (struct parts){.minus = s.n && s.p[0] == '-', .point = -1};
  if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
    s.p++, s.n--;
  for (; i < s.n && (is_digit(s.p[i]) || s.p[i] == '.'); i++) {
    if (s.p[i] != '.') {
      digits++;
    } else {
      if (d->point >= 0)
        return false;
      d->point = digits;
    }
  }
  d->p = s.p;
  d->n = i;
  if (d->point < 0)
    d->point = digits;
  if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
    if (!take_exponent(s.p + i + 1, s.n - i - 1, &d->exponent))
      return false;
    i = s.n;
  }
  return digits > 0 && i == s.n;
}

enum mr_scan mr_scan_decimal(struct mr_span s, int precision, int scale, mr_i128 *ret)
{
  struct parts d;
  mr_i128 v = 0;
  if (!take_parts(mr_scan_trim(s), &d))
    return MR_SCAN_BAD;
  int64_t wanted = d.point + d.exponent + scale, taken = 0; /* digits that the value keeps */
  bool up = false;
  for (int64_t i = 0; i < d.n; i++) {
    if (d.p[i] == '.')
      continue;
    if (taken == wanted)
      up = d.p[i] >= '5';
    if (taken++ >= wanted)
      continue;
    if (v >= mr_pow10(37))
      return MR_SCAN_RANGE;
    v = v * 10 + (d.p[i] - '0');
  }
  for (; v && taken < wanted; taken++) {
    if (v >= mr_pow10(37))
      return MR_SCAN_RANGE;
    v *= 10;
  }
  v += up;
  if (!mr_decimal_fits(v, precision))
    return MR_SCAN_RANGE;
  *ret = d.minus ? -v : v;
  return MR_SCAN_OK;
}

enum mr_scan mr_scan_bool(struct mr_span s, uint8_t *ret)
{
  static const char *const words[][2] = {{"true", "false"}, {"t", "f"},    {"yes", "no"},
                                         {"y", "n"},        {"on", "off"}, {"1", "0"}};
  s = mr_scan_trim(s);
  for (size_t i = 0; i < MR_COUNT(words); i++)
    for (int k = 0; k < 2; k++)
      if (is_word(s, words[i][k]))
        return *ret = !k, MR_SCAN_OK;
  return MR_SCAN_BAD;
}

static int hex(char c)
{
  if (is_digit(c))
    return c - '0';
  c = (char)(c | 32);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum mr_scan mr_scan_uuid(struct mr_span s, uint8_t ret[16])
{
  uint8_t v[16];
  int digits = 0;
  s = mr_scan_trim(s);
  if (s.n > 2 && s.p[0] == '{' && s.p[s.n - 1] == '}')
    s.p++, s.n -= 2;
  for (int64_t i = 0; i < s.n; i++) {
    if (s.p[i] == '-' && digits && digits % 4 == 0)
      continue;
    int h = hex(s.p[i]);
    if (h < 0 || digits == 32)
      return MR_SCAN_BAD;
    v[digits / 2] = (uint8_t)(digits % 2 ? v[digits / 2] | h : h << 4);
    digits++;
  }
  if (digits != 32)
    return MR_SCAN_BAD;
  memcpy(ret, v, 16);
  return MR_SCAN_OK;
}
