/* SPDX-License-Identifier: Apache-2.0 */
#include "canon.h"
#include <math.h>
#include <stdio.h>

#define NUMBER_MAX 64 /* bytes; longer than any number's digits, date or time */

static bool room(struct mask_buf *b, size_t n)
{
  if (b->cap - b->len >= n)
    return true;
  size_t cap = b->cap * 2 > b->len + n ? b->cap * 2 : b->len + n + 256;
  char *p = malloc(cap);
  if (!p)
    return false;
  if (b->len)
    memcpy(p, b->p, b->len);
  size_t len = b->len;
  mask_buf_done(b);
  *b = (struct mask_buf){p, len, cap};
  return true;
}
static bool add(struct mask_buf *b, const char *s, size_t n)
{
  if (!room(b, n))
    return false;
  if (n)
    memcpy(b->p + b->len, s, n);
  b->len += n;
  return true;
}
static bool add_text(struct mask_buf *b, const char *s)
{
  return add(b, s, strlen(s));
}
static bool add_hex(struct mask_buf *b, const uint8_t *p, size_t n)
{
  static const char digits[] = "0123456789abcdef";
  if (!room(b, 2 * n))
    return false;
  for (size_t i = 0; i < n; i++) {
    b->p[b->len++] = digits[p[i] >> 4];
    b->p[b->len++] = digits[p[i] & 15];
  }
  return true;
}

void mask_buf_done(struct mask_buf *b)
{
  if (b->p)
    explicit_bzero(b->p, b->cap);
  free(b->p);
  *b = (struct mask_buf){0};
}

/* ---- single values */

static bool add_int(struct mask_buf *b, const struct mr_view *v, int64_t i)
{
  char s[NUMBER_MAX];
  int64_t n = mr_view_int(v, i);
  if (v->kind == MR_K_UINT64)
    snprintf(s, sizeof s, "%llu", (unsigned long long)n);
  else
    snprintf(s, sizeof s, "%lld", (long long)n);
  return add_text(b, s);
}

static bool add_float(struct mask_buf *b, const struct mr_view *v, int64_t i)
{
  char s[NUMBER_MAX];
  double d = mr_view_f64(v, i);
  if (isnan(d))
    return add_text(b, "NaN");
  if (isinf(d))
    return add_text(b, d < 0 ? "-Infinity" : "Infinity");
  bool small = v->kind == MR_K_FLOAT32;
  for (int digits = small ? 6 : 15; digits <= (small ? 9 : 17); digits++) {
    snprintf(s, sizeof s, "%.*g", digits, d == 0 ? 0.0 : d);
    if (small ? strtof(s, NULL) == (float)d : strtod(s, NULL) == d)
      break;
  }
  for (char *p = s; *p; p++)
    if (!strchr("0123456789+-e", *p))
      *p = '.'; /* whatever the locale's point is */
  return add_text(b, s);
}

static bool add_zeros(struct mask_buf *b, int n)
{
  bool ok = true;
  while (ok && n-- > 0)
    ok = add(b, "0", 1);
  return ok;
}

/* Digits of u > 0, most significant first; returns their number. */
static int digits_of(unsigned __int128 u, char *out)
{
  char rev[NUMBER_MAX];
  int n = 0;
  for (; u; u /= 10)
    rev[n++] = (char)('0' + (int)(u % 10));
  for (int i = 0; i < n; i++)
    out[i] = rev[n - 1 - i];
  return n;
}

static bool add_decimal(struct mask_buf *b, const struct mr_view *v, int64_t i)
{
  char s[NUMBER_MAX];
  __int128 n;
  int precision, scale;
  memcpy(&n, mr_view_fixed(v, i), sizeof n);
  mr_decimal_of(v->schema, &precision, &scale);
  unsigned __int128 u = n < 0 ? -(unsigned __int128)n : (unsigned __int128)n;
  if (!u)
    return add(b, "0", 1);
  for (; scale > 0 && u % 10 == 0; scale--)
    u /= 10;
  int len = digits_of(u, s), whole = len > scale ? len - (scale > 0 ? scale : 0) : 0;
  if (n < 0 && !add(b, "-", 1))
    return false;
  if (!(whole ? add(b, s, (size_t)whole) : add(b, "0", 1)) || !add_zeros(b, -scale))
    return false;
  return scale <= 0 ||
         (add(b, ".", 1) && add_zeros(b, scale - len) && add(b, s + whole, (size_t)(len - whole)));
}

static int64_t floor_div(int64_t a, int64_t b)
{
  return a / b - (a % b < 0);
}

/* Proleptic Gregorian calendar; Howard Hinnant, "chrono-compatible low-level date algorithms",
 * civil_from_days. */
static void civil(int64_t days, int64_t *ret_y, int *ret_m, int *ret_d)
{
  days += 719468;
  int64_t era = floor_div(days, 146097), doe = days - era * 146097;
  int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
  *ret_d = (int)(doy - (153 * mp + 2) / 5 + 1);
  *ret_m = (int)(mp < 10 ? mp + 3 : mp - 9);
  *ret_y = yoe + era * 400 + (*ret_m <= 2);
}
static bool add_date(struct mask_buf *b, int64_t days)
{
  char s[NUMBER_MAX];
  int64_t y;
  int m, d;
  civil(days, &y, &m, &d);
  snprintf(s, sizeof s, "%04lld-%02d-%02d", (long long)y, m, d);
  return add_text(b, s);
}
static bool add_time(struct mask_buf *b, int64_t us)
{
  char s[NUMBER_MAX];
  long long sec = us / 1000000, frac = us % 1000000;
  int n = snprintf(s, sizeof s, "%02lld:%02lld:%02lld", sec / 3600, sec / 60 % 60, sec % 60);
  if (frac)
    n += snprintf(s + n, sizeof s - (size_t)n, ".%06lld", frac);
  while (frac && s[n - 1] == '0')
    n--;
  return add(b, s, (size_t)n);
}
static bool add_timestamp(struct mask_buf *b, const struct mr_view *v, int64_t i)
{
  int64_t us = mr_view_int(v, i), day = INT64_C(86400000000), days = floor_div(us, day);
  return add_date(b, days) && add(b, "T", 1) && add_time(b, us - days * day) &&
         (!*mr_zone_of(v->schema) || add(b, "Z", 1));
}

static bool add_uuid(struct mask_buf *b, const uint8_t *p)
{
  static const int at[] = {0, 4, 6, 8, 10, 16};
  for (int i = 0; i < 5; i++)
    if ((i && !add(b, "-", 1)) || !add_hex(b, p + at[i], (size_t)(at[i + 1] - at[i])))
      return false;
  return true;
}

static bool add_single(struct mask_buf *b, const struct mr_view *v, int64_t i)
{
  switch (v->kind) {
  case MR_K_BOOL: return add_text(b, mr_view_bool(v, i) ? "true" : "false");
  case MR_K_FLOAT32:
  case MR_K_FLOAT64: return add_float(b, v, i);
  case MR_K_DECIMAL: return add_decimal(b, v, i);
  case MR_K_DATE: return add_date(b, mr_view_int(v, i));
  case MR_K_TIME: return add_time(b, mr_view_int(v, i));
  case MR_K_TIMESTAMP: return add_timestamp(b, v, i);
  case MR_K_FIXED: return add_uuid(b, mr_view_fixed(v, i));
  default: return add_int(b, v, i);
  }
}

/* ---- JSON for nested values */

static bool add_string(struct mask_buf *b, const char *s, size_t n)
{
  if (!add(b, "\"", 1))
    return false;
  for (size_t i = 0; i < n; i++) {
    char u[8];
    unsigned char c = (unsigned char)s[i];
    if (c < 0x20)
      snprintf(u, sizeof u, "\\u%04x", c);
    else if (c == '"' || c == '\\')
      snprintf(u, sizeof u, "\\%c", c);
    else
      snprintf(u, sizeof u, "%c", c);
    if (!add_text(b, u))
      return false;
  }
  return add(b, "\"", 1);
}

static bool add_json(struct mask_buf *b, const struct mr_view *v, int64_t i);

static void child_view(const struct mr_view *v, int64_t k, struct mr_view *ret)
{
  mr_view_init(ret, v->schema->children[k], v->array->children[k]);
}

static bool add_list(struct mask_buf *b, const struct mr_view *v, int64_t i)
{
  int64_t from, to;
  struct mr_view item;
  child_view(v, 0, &item);
  mr_view_range(v, i, &from, &to);
  if (!add(b, "[", 1))
    return false;
  for (int64_t k = from; k < to; k++)
    if ((k > from && !add(b, ",", 1)) || !add_json(b, &item, k))
      return false;
  return add(b, "]", 1);
}

static bool add_struct(struct mask_buf *b, const struct mr_view *v, int64_t i)
{
  if (!add(b, "{", 1))
    return false;
  for (int64_t k = 0; k < v->schema->n_children; k++) {
    struct mr_view c;
    child_view(v, k, &c);
    const char *name = v->schema->children[k]->name;
    if (k && !add(b, ",", 1))
      return false;
    if (!add_string(b, name, strlen(name)) || !add(b, ":", 1) || !add_json(b, &c, v->offset + i))
      return false;
  }
  return add(b, "}", 1);
}

static bool add_map(struct mask_buf *b, const struct mr_view *v, int64_t i)
{
  int64_t from, to;
  struct mr_view entry, key, value;
  child_view(v, 0, &entry);
  child_view(&entry, 0, &key);
  child_view(&entry, 1, &value);
  mr_view_range(v, i, &from, &to);
  bool object = key.kind == MR_K_TEXT;
  if (!add(b, object ? "{" : "[", 1))
    return false;
  for (int64_t k = from; k < to; k++) {
    int64_t at = entry.offset + k;
    if (k > from && !add(b, ",", 1))
      return false;
    if ((!object && !add(b, "[", 1)) || !add_json(b, &key, at))
      return false;
    if (!add(b, object ? ":" : ",", 1) || !add_json(b, &value, at) || (!object && !add(b, "]", 1)))
      return false;
  }
  return add(b, object ? "}" : "]", 1);
}

static bool add_quoted(struct mask_buf *b, const struct mr_view *v, int64_t i)
{
  return add(b, "\"", 1) && add_single(b, v, i) && add(b, "\"", 1);
}

static bool add_json(struct mask_buf *b, const struct mr_view *v, int64_t i)
{
  int64_t n;
  const char *p;
  if (mr_view_null(v, i))
    return add_text(b, "null");
  switch (v->kind) {
  case MR_K_LIST: return add_list(b, v, i);
  case MR_K_STRUCT: return add_struct(b, v, i);
  case MR_K_MAP: return add_map(b, v, i);
  case MR_K_TEXT:
    p = mr_view_bytes(v, i, &n);
    return mr_schema_is_json(v->schema) ? add(b, p, (size_t)n) : add_string(b, p, (size_t)n);
  case MR_K_BINARY:
    p = mr_view_bytes(v, i, &n);
    return add(b, "\"", 1) && add_hex(b, (const uint8_t *)p, (size_t)n) && add(b, "\"", 1);
  case MR_K_FLOAT32:
  case MR_K_FLOAT64: return isfinite(mr_view_f64(v, i)) ? add_single(b, v, i) : add_quoted(b, v, i);
  case MR_K_DATE:
  case MR_K_TIME:
  case MR_K_TIMESTAMP:
  case MR_K_FIXED: return add_quoted(b, v, i);
  default: return add_single(b, v, i);
  }
}

bool mask_canon(struct mask_buf *b, const struct mr_view *v, int64_t i, const char **ret,
                size_t *ret_len)
{
  bool nested = v->kind == MR_K_LIST || v->kind == MR_K_STRUCT || v->kind == MR_K_MAP;
  if (v->kind == MR_K_TEXT || v->kind == MR_K_BINARY) {
    int64_t n;
    *ret = mr_view_bytes(v, i, &n);
    *ret_len = (size_t)n;
    return true;
  }
  b->len = 0;
  if (!(nested ? add_json(b, v, i) : add_single(b, v, i)))
    return false;
  *ret = b->p;
  *ret_len = b->len;
  return true;
}
