/* SPDX-License-Identifier: Apache-2.0 */
#include "common/qry-value.h"
#include <errno.h>
#include <locale.h>
#include <stdio.h>

#define NUMBER_MAX 400 /* bytes of a float's text */
#define DECIMAL_DIGITS 38
#define DAY_US INT64_C(86400000000)

/* What is left of a text. */
struct text {
  const char *p, *end;
};

static bool digit(const struct text *t)
{
  return t->p < t->end && *t->p >= '0' && *t->p <= '9';
}
static bool take(struct text *t, char c)
{
  if (t->p == t->end || *t->p != c)
    return false;
  t->p++;
  return true;
}
/* `least` to `most` digits as a number; -1: not there. */
static int number(struct text *t, int least, int most)
{
  int v = 0, n = 0;
  for (; n < most && digit(t); n++)
    v = v * 10 + (*t->p++ - '0');
  return n < least ? -1 : v;
}

bool qry_utf8(const char *s, int64_t n)
{
  const uint8_t *p = (const uint8_t *)s, *end = p + n;
  while (p < end) {
    int more = *p < 0x80                 ? 0
               : *p >= 0xc2 && *p < 0xe0 ? 1
               : *p >= 0xe0 && *p < 0xf0 ? 2
               : *p >= 0xf0 && *p < 0xf5 ? 3
                                         : -1;
    if (more < 0 || end - p <= more)
      return false;
    uint8_t low = *p == 0xe0   ? 0xa0
                  : *p == 0xf0 ? 0x90
                               : 0x80,
            high = *p == 0xed   ? 0x9f
                   : *p == 0xf4 ? 0x8f
                                : 0xbf;
    for (p++; more; more--, p++, low = 0x80, high = 0xbf)
      if (*p < low || *p > high)
        return false;
  }
  return true;
}

/* ---- numbers */

/* Whole text as a 64-bit magnitude and sign. */
static bool integer(struct text t, bool *ret_minus, uint64_t *ret)
{
  uint64_t v = 0;
  *ret_minus = take(&t, '-');
  if (!*ret_minus)
    take(&t, '+');
  if (!digit(&t))
    return false;
  while (digit(&t)) {
    uint64_t d = (uint64_t)(*t.p++ - '0');
    if (v > (UINT64_MAX - d) / 10)
      return false;
    v = v * 10 + d;
  }
  *ret = v;
  return t.p == t.end;
}

static int push_int(struct mr_column *c, bool minus, uint64_t v, const char **ret_why)
{
  bool is_signed = mr_kind_is_signed(c->kind);
  int bits = c->width * 8 - is_signed;
  uint64_t max = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
  *ret_why = "out of the column's range";
  if (minus ? (!is_signed && v) || (is_signed && v > max + 1) : v > max)
    return MR_REJECT;
  return mr_column_int(c, (int64_t)(minus ? 0 - v : v)) ? MR_OK : MR_FATAL;
}

static int push_float(struct mr_column *c, struct text t, const char **ret_why)
{
  char buf[NUMBER_MAX];
  size_t n = (size_t)(t.end - t.p);
  *ret_why = "not a number";
  if (!n || n >= sizeof buf || strspn(t.p, "0123456789+-.eEINnafity") < n)
    return MR_REJECT;
  memcpy(buf, t.p, n);
  buf[n] = 0;
  char *end;
  locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  double v = plain ? strtod_l(buf, &end, plain) : strtod(buf, &end);
  if (plain)
    freelocale(plain);
  if (*end)
    return MR_REJECT;
  return mr_column_f64(c, v) ? MR_OK : MR_FATAL;
}

/* The digits of a decimal's text, without the point, and how far the point is from their end. */
struct decimal {
  unsigned __int128 v;
  int digits, scale; /* scale: digits behind the point */
  bool minus;
};
static bool decimal(struct text t, struct decimal *ret)
{
  struct decimal d = {.minus = take(&t, '-')};
  bool point = false, any = false;
  if (!d.minus)
    take(&t, '+');
  for (; digit(&t) || (!point && t.p < t.end && *t.p == '.'); t.p++) {
    if (*t.p == '.') {
      point = true;
      continue;
    }
    any = true;
    d.digits += d.digits || *t.p != '0';
    d.scale += point;
    if (d.digits > DECIMAL_DIGITS)
      return false;
    d.v = d.v * 10 + (unsigned)(*t.p - '0');
  }
  if (any && (take(&t, 'e') || take(&t, 'E'))) {
    bool minus = take(&t, '-');
    if (!minus)
      take(&t, '+');
    int e = number(&t, 1, 4);
    any = e >= 0;
    d.scale += minus ? e : -e;
  }
  *ret = d;
  return any && t.p == t.end;
}

static int push_decimal(struct mr_column *c, const struct ArrowSchema *s, struct text t,
                        const char **ret_why)
{
  struct decimal d;
  int precision, scale;
  unsigned __int128 limit = 1;
  mr_decimal_of(s, &precision, &scale);
  *ret_why = "not a decimal number of at most 38 digits";
  if (!decimal(t, &d))
    return MR_REJECT;
  for (; d.scale > scale && d.v % 10 == 0 && d.v; d.scale--)
    d.v /= 10;
  if (!d.v)
    d.scale = scale;
  *ret_why = "more digits behind the point than the column has";
  if (d.scale > scale)
    return MR_REJECT;
  for (int i = 0; i < precision; i++)
    limit *= 10;
  *ret_why = "more digits than the column has";
  for (; d.scale < scale; d.scale++) {
    if (d.v >= limit)
      return MR_REJECT;
    d.v *= 10;
  }
  if (d.v >= limit)
    return MR_REJECT;
  __int128 v = d.minus ? -(__int128)d.v : (__int128)d.v;
  return mr_column_fixed(c, &v) ? MR_OK : MR_FATAL;
}

static int push_bool(struct mr_column *c, struct text t, const char **ret_why)
{
  static const char *const yes[] = {"t", "true", "1"}, *const no[] = {"f", "false", "0"};
  size_t n = (size_t)(t.end - t.p);
  for (int i = 0; i < 3; i++) {
    bool is_yes = strlen(yes[i]) == n && !memcmp(yes[i], t.p, n);
    if (is_yes || (strlen(no[i]) == n && !memcmp(no[i], t.p, n)))
      return mr_column_bool(c, is_yes) ? MR_OK : MR_FATAL;
  }
  *ret_why = "not true or false";
  return MR_REJECT;
}

/* ---- dates and times */

static bool leap(int y)
{
  return y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
}
/* Proleptic Gregorian calendar; Howard Hinnant, "chrono-compatible low-level date algorithms". */
static int64_t days_from(int64_t y, int m, int d)
{
  y -= m <= 2;
  int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
  int64_t doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
  return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static bool take_date(struct text *t, int64_t *ret_days)
{
  static const int length[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  int y = number(t, 4, 6);
  if (y < 1 || !take(t, '-'))
    return false;
  int m = number(t, 2, 2);
  if (m < 1 || m > 12 || !take(t, '-'))
    return false;
  int d = number(t, 2, 2);
  if (d < 1 || d > length[m - 1] + (m == 2 && leap(y)))
    return false;
  *ret_days = days_from(y, m, d);
  return true;
}

static bool take_time(struct text *t, int64_t *ret_us)
{
  int h = number(t, 2, 2);
  if (h < 0 || h > 23 || !take(t, ':'))
    return false;
  int m = number(t, 2, 2), sec = 0;
  int64_t us = 0;
  if (m < 0 || m > 59)
    return false;
  if (take(t, ':')) {
    sec = number(t, 2, 2);
    if (sec < 0 || sec > 59)
      return false;
    if (take(t, '.')) {
      if (!digit(t))
        return false;
      for (int64_t unit = 100000; digit(t); unit /= 10, t->p++) {
        if (!unit && *t->p != '0')
          return false;
        us += unit * (*t->p - '0');
      }
    }
  }
  *ret_us = ((int64_t)h * 3600 + m * 60 + sec) * 1000000 + us;
  return true;
}

/* The offset from UTC in seconds: Z, +01, +0130, +01:30, +01:30:15; 0 when there is none. */
static bool take_zone(struct text *t, bool *ret_any, int64_t *ret_s)
{
  *ret_any = t->p < t->end;
  *ret_s = 0;
  if (!*ret_any || take(t, 'Z'))
    return true;
  bool minus = take(t, '-');
  if (!minus && !take(t, '+'))
    return false;
  int part[3] = {number(t, 2, 2), 0, 0};
  for (int i = 1; i < 3 && t->p < t->end; i++) {
    take(t, ':');
    part[i] = number(t, 2, 2);
  }
  if (part[0] < 0 || part[0] > 15 || part[1] < 0 || part[1] > 59 || part[2] < 0 || part[2] > 59)
    return false;
  int64_t s = (int64_t)part[0] * 3600 + part[1] * 60 + part[2];
  *ret_s = minus ? -s : s;
  return true;
}

bool qry_timestamp(const char *p, int64_t n, bool zoned, int64_t *ret_us)
{
  struct text t = {p, p + n};
  int64_t days, us = 0, zone;
  bool any;
  if (!take_date(&t, &days))
    return false;
  if (t.p < t.end && ((!take(&t, ' ') && !take(&t, 'T')) || !take_time(&t, &us)))
    return false;
  if (!take_zone(&t, &any, &zone) || t.p != t.end || (any && !zoned))
    return false;
  return !__builtin_mul_overflow(days, DAY_US, ret_us) &&
         !__builtin_add_overflow(*ret_us, us - zone * 1000000, ret_us);
}

static int push_date(struct mr_column *c, struct text t, const char **ret_why)
{
  int64_t days;
  *ret_why = "not a date as 2026-01-28";
  if (!take_date(&t, &days) || t.p != t.end)
    return MR_REJECT;
  return mr_column_int(c, days) ? MR_OK : MR_FATAL;
}
static int push_time(struct mr_column *c, struct text t, const char **ret_why)
{
  int64_t us;
  *ret_why = "not a time of day as 10:00:00.000001";
  if (!take_time(&t, &us) || t.p != t.end)
    return MR_REJECT;
  return mr_column_int(c, us) ? MR_OK : MR_FATAL;
}
static int push_timestamp(struct mr_column *c, const struct ArrowSchema *s, struct text t,
                          const char **ret_why)
{
  int64_t us;
  bool zoned = *mr_zone_of(s);
  *ret_why = zoned ? "not a timestamp as 2026-01-28 10:00:00+00"
                   : "not a timestamp without zone as 2026-01-28 10:00:00";
  if (!qry_timestamp(t.p, t.end - t.p, zoned, &us))
    return MR_REJECT;
  return mr_column_int(c, us) ? MR_OK : MR_FATAL;
}

/* ---- bytes */

static int hex_digit(char c)
{
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

static int push_binary(struct mr_column *c, struct text t, const char **ret_why)
{
  *ret_why = "not \\x and hexadecimal digits";
  if (!take(&t, '\\') || !take(&t, 'x') || (t.end - t.p) % 2)
    return MR_REJECT;
  int64_t n = (t.end - t.p) / 2;
  if (!mr_column_reserve(c, 1) || !mr_column_reserve_bytes(c, n))
    return MR_FATAL;
  uint8_t *out = c->bytes + c->bytes_len;
  for (int64_t i = 0; i < n; i++) {
    int a = hex_digit(t.p[2 * i]), b = hex_digit(t.p[2 * i + 1]);
    if (a < 0 || b < 0)
      return MR_REJECT;
    out[i] = (uint8_t)(a << 4 | b);
  }
  c->bytes_len += n;
  ((int32_t *)(void *)c->data)[c->length + 1] = (int32_t)c->bytes_len;
  return mr__column_push(c, true) ? MR_OK : MR_FATAL;
}

static int push_uuid(struct mr_column *c, struct text t, const char **ret_why)
{
  uint8_t b[16] = {0};
  int n = 0;
  *ret_why = "not a UUID";
  for (; t.p < t.end; t.p++) {
    int d = hex_digit(*t.p);
    if (*t.p == '-' && n % 4 == 0)
      continue;
    if (d < 0 || n == 32)
      return MR_REJECT;
    b[n / 2] = (uint8_t)(n % 2 ? b[n / 2] | d : d << 4);
    n++;
  }
  if (n != 32)
    return MR_REJECT;
  return mr_column_fixed(c, b) ? MR_OK : MR_FATAL;
}

static int push_text(struct mr_column *c, struct text t, const char **ret_why)
{
  *ret_why = "not valid UTF-8";
  if (!qry_utf8(t.p, t.end - t.p))
    return MR_REJECT;
  *ret_why = "too long for one batch";
  return mr_column_bytes(c, t.p, t.end - t.p) ? MR_OK : MR_FATAL;
}

/* ---- lists */

/* One element of an array's text into buf: quoted or plain. Returns 1, 0 for NULL, -1 for what is
 * no element. */
static int element(struct text *t, char *buf, int64_t *ret_n)
{
  int64_t n = 0;
  bool quoted = take(t, '"');
  while (t->p < t->end && (quoted ? *t->p != '"' : *t->p != ',' && *t->p != '}' && *t->p != '{')) {
    if (*t->p == '\\' && ++t->p == t->end)
      return -1;
    buf[n++] = *t->p++;
  }
  *ret_n = n;
  if (quoted)
    return take(t, '"') ? 1 : -1;
  if (n == 4 && !memcmp(buf, "NULL", 4))
    return 0;
  return n ? 1 : -1;
}

static int push_elements(struct mr_column *item, const struct ArrowSchema *s, struct text *t,
                         char *buf, const char **ret_why)
{
  while (t->p < t->end && *t->p != '}') {
    int64_t n;
    int kind = element(t, buf, &n), rc = MR_OK;
    *ret_why = "not an array of one dimension";
    if (kind < 0)
      return MR_REJECT;
    if (kind)
      rc = qry_value(item, s, buf, n, ret_why);
    else if (!mr_column_null(item))
      rc = MR_FATAL;
    if (rc < 0)
      return rc;
    if (!take(t, ','))
      break;
  }
  *ret_why = "not an array of one dimension";
  return take(t, '}') && t->p == t->end ? MR_OK : MR_REJECT;
}

static int push_list(struct mr_column *c, const struct ArrowSchema *s, struct text t,
                     const char **ret_why)
{
  int64_t before = c->child[0].length;
  char *buf = malloc((size_t)(t.end - t.p) + 1);
  *ret_why = "not an array of one dimension";
  int rc = !buf            ? MR_FATAL
           : take(&t, '{') ? push_elements(&c->child[0], s->children[0], &t, buf, ret_why)
                           : MR_REJECT;
  free(buf);
  if (rc >= 0 && !mr_column_end(c))
    rc = MR_FATAL;
  if (rc < 0)
    mr_column_truncate(&c->child[0], before);
  return rc;
}

/* ---- */

bool qry_type_ok(const struct ArrowSchema *s)
{
  enum mr_kind k = mr_kind_of(s);
  if (k == MR_K_LIST)
    return mr_kind_of(s->children[0]) != MR_K_LIST && qry_type_ok(s->children[0]);
  return k != MR_K_NONE && k != MR_K_STRUCT && k != MR_K_MAP;
}

static int push_integer(struct mr_column *c, struct text t, const char **ret_why)
{
  bool minus;
  uint64_t v;
  *ret_why = "not an integer of 64 bits";
  return integer(t, &minus, &v) ? push_int(c, minus, v, ret_why) : MR_REJECT;
}

int qry_value(struct mr_column *c, const struct ArrowSchema *s, const char *p, int64_t n,
              const char **ret_why)
{
  struct text t = {p, p + n};
  switch (c->kind) {
  case MR_K_BOOL: return push_bool(c, t, ret_why);
  case MR_K_FLOAT32:
  case MR_K_FLOAT64: return push_float(c, t, ret_why);
  case MR_K_DECIMAL: return push_decimal(c, s, t, ret_why);
  case MR_K_DATE: return push_date(c, t, ret_why);
  case MR_K_TIME: return push_time(c, t, ret_why);
  case MR_K_TIMESTAMP: return push_timestamp(c, s, t, ret_why);
  case MR_K_TEXT: return push_text(c, t, ret_why);
  case MR_K_BINARY: return push_binary(c, t, ret_why);
  case MR_K_FIXED: return push_uuid(c, t, ret_why);
  case MR_K_LIST: return push_list(c, s, t, ret_why);
  default: return push_integer(c, t, ret_why);
  }
}

int qry_value_int(struct mr_column *c, const struct ArrowSchema *s, int64_t v, const char **ret_why)
{
  char buf[24];
  if (mr_kind_is_int(c->kind))
    return push_int(c, v < 0, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, ret_why);
  if (c->kind == MR_K_DATE || c->kind == MR_K_TIME || c->kind == MR_K_TIMESTAMP ||
      c->kind == MR_K_BINARY) {
    *ret_why = "an integer, not a text";
    return MR_REJECT;
  }
  int n = snprintf(buf, sizeof buf, "%lld", (long long)v);
  return qry_value(c, s, buf, n, ret_why);
}
