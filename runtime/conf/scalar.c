/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/scalar.h"
#include <glib.h>
#include <math.h>
#include <string.h>
#include "millrace/plugin.h"

static const char *const out_of_range = "is out of range";

const char *mr_scalar_bool(const char *text, bool *ret)
{
  if (!strcmp(text, "true"))
    *ret = true;
  else if (!strcmp(text, "false"))
    *ret = false;
  else
    return "is not true or false";
  return NULL;
}

/* Reads digits, from *at on; what is wrong, or NULL with *at behind them. */
static const char *read_digits(const char **at, int64_t *ret)
{
  const char *c = *at;
  int64_t v = 0;
  if (!g_ascii_isdigit(*c))
    return "is not a whole number";
  if (c[0] == '0' && g_ascii_isdigit(c[1]))
    return "begins with a 0: write it without (there are no octal numbers here)";
  for (; g_ascii_isdigit(*c); c++)
    if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, *c - '0', &v))
      return out_of_range;
  *at = c;
  *ret = v; /* counted downwards, so that the least number fits too */
  return NULL;
}

const char *mr_scalar_int(const char *text, int64_t *ret)
{
  bool minus = text[0] == '-';
  const char *c = text + minus;
  int64_t v;
  const char *why = read_digits(&c, &v);
  if (why)
    return why;
  if (*c)
    return "is not a whole number";
  if (!minus && __builtin_sub_overflow(0, v, &v))
    return out_of_range;
  *ret = v;
  return NULL;
}

static const char *skip_digits(const char *c)
{
  while (g_ascii_isdigit(*c))
    c++;
  return c;
}

const char *mr_scalar_real(const char *text, double *ret)
{
  static const char *const wrong = "is not a number";
  const char *c = text + (text[0] == '-'), *from = c;
  c = skip_digits(c);
  if (c == from)
    return wrong;
  if (*c == '.') {
    from = ++c;
    c = skip_digits(c);
    if (c == from)
      return wrong;
  }
  if (*c == 'e' || *c == 'E') {
    c++;
    from = c += *c == '-' || *c == '+';
    c = skip_digits(c);
    if (c == from)
      return wrong;
  }
  if (*c)
    return wrong;
  double v = g_ascii_strtod(text, NULL);
  if (!isfinite(v))
    return out_of_range;
  *ret = v;
  return NULL;
}

struct unit {
  const char *name;
  int64_t factor;
};

/* digits and one of the units. */
static const char *read_with_unit(const char *text, const struct unit *units, const char *wrong,
                                  int64_t *ret)
{
  const char *c = text;
  int64_t v;
  const char *why = read_digits(&c, &v);
  if (why)
    return why == out_of_range ? why : g_ascii_isdigit(text[0]) ? why : wrong;
  while (units->name && strcmp(units->name, c))
    units++;
  if (!units->name && !(v == 0 && !*c))
    return wrong;
  if (units->name && __builtin_mul_overflow(v, units->factor, &v))
    return out_of_range;
  if (__builtin_sub_overflow(0, v, &v))
    return out_of_range;
  *ret = v;
  return NULL;
}

const char *mr_scalar_bytes(const char *text, int64_t *ret)
{
  static const struct unit units[] = {{"", 1},          {"B", 1},         {"KiB", 1 << 10},
                                      {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", (int64_t)1 << 40},
                                      {NULL, 0}};
  return read_with_unit(
      text, units, "is no size: write a whole number and B, KiB, MiB, GiB or TiB, as 64KiB", ret);
}

const char *mr_scalar_time(const char *text, int64_t *ret)
{
  static const struct unit units[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                                      {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
  return read_with_unit(text, units,
                        "is no duration: write a whole number and ms, s, m, h or d, as 50ms", ret);
}

const char *mr_scalar_number(int type, const char *text, struct mr_number *ret)
{
  switch (type) {
  case MR_REAL: return mr_scalar_real(text, &ret->real);
  case MR_BYTES: return mr_scalar_bytes(text, &ret->whole);
  case MR_TIME_MS: return mr_scalar_time(text, &ret->whole);
  default: return mr_scalar_int(text, &ret->whole);
  }
}

bool mr_range_parse(int type, const char *text, struct mr_range *ret)
{
  const char *dots = strstr(text, "..");
  if (!dots)
    return false;
  struct mr_range r = {.has_low = dots > text, .has_high = dots[2] != 0};
  g_autofree char *low = g_strndup(text, (gsize)(dots - text));
  if (r.has_low && mr_scalar_number(type, low, &r.low))
    return false;
  if (r.has_high && mr_scalar_number(type, dots + 2, &r.high))
    return false;
  *ret = r;
  return r.has_low || r.has_high;
}

bool mr_range_holds(int type, const struct mr_range *r, struct mr_number v)
{
  if (type == MR_REAL)
    return (!r->has_low || v.real >= r->low.real) && (!r->has_high || v.real <= r->high.real);
  return (!r->has_low || v.whole >= r->low.whole) && (!r->has_high || v.whole <= r->high.whole);
}
