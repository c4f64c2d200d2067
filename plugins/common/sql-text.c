/* SPDX-License-Identifier: Apache-2.0 */
#include "hex.h"
#include "common/sql-text.h"
#include <math.h>

__extension__ typedef unsigned __int128 u128; /* the only spelling the compiler knows */

void sql_text_decimal(struct sql_buf *out, uint64_t lo, int64_t hi, int scale)
{
  char digits[48];
  int n = 0;
  u128 v = (u128)(uint64_t)hi << 64 | lo;
  bool minus = hi < 0;
  if (minus)
    v = ~v + 1;
  for (; v > UINT64_MAX; v /= 10)
    digits[n++] = (char)('0' + (int)(v % 10));
  uint64_t low = (uint64_t)v; /* nearly all of them: 64 bits divide much faster */
  do {
    digits[n++] = (char)('0' + (int)(low % 10));
    low /= 10;
  } while (low);
  while (n <= scale && n < 47)
    digits[n++] = '0';
  if (minus)
    sql_buf_byte(out, '-');
  while (n > 0) {
    if (n == scale)
      sql_buf_byte(out, '.');
    sql_buf_byte(out, digits[--n]);
  }
  for (; scale < 0; scale++)
    sql_buf_byte(out, '0');
}

/* Howard Hinnant's civil_from_days, proleptic Gregorian calendar. */
static void civil(int64_t days, int64_t *year, int *month, int *day)
{
  days += 719468;
  int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  int64_t doe = days - era * 146097;
  int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  int64_t mp = (5 * doy + 2) / 153;
  *day = (int)(doy - (153 * mp + 2) / 5 + 1);
  *month = (int)(mp < 10 ? mp + 3 : mp - 9);
  *year = yoe + era * 400 + (*month <= 2);
}

/* true: the year is before 1, so " BC" belongs at the end. */
static bool date(struct sql_buf *out, int64_t days)
{
  int64_t y;
  int m, d;
  civil(days, &y, &m, &d);
  bool bc = y < 1;
  sql_buf_uint(out, (uint64_t)(bc ? 1 - y : y), 4);
  sql_buf_byte(out, '-');
  sql_buf_uint(out, (uint64_t)m, 2);
  sql_buf_byte(out, '-');
  sql_buf_uint(out, (uint64_t)d, 2);
  return bc;
}

void sql_text_date(struct sql_buf *out, int64_t days)
{
  if (date(out, days))
    sql_buf_str(out, " BC");
}

void sql_text_time(struct sql_buf *out, int64_t us)
{
  uint64_t s = (uint64_t)us / 1000000, f = (uint64_t)us % 1000000;
  sql_buf_uint(out, s / 3600, 2);
  sql_buf_byte(out, ':');
  sql_buf_uint(out, s / 60 % 60, 2);
  sql_buf_byte(out, ':');
  sql_buf_uint(out, s % 60, 2);
  if (!f)
    return;
  sql_buf_byte(out, '.');
  sql_buf_uint(out, f, 6);
}

void sql_text_timestamp(struct sql_buf *out, int64_t us, char sep, const char *zone)
{
  const int64_t day = 86400000000;
  int64_t days = us / day, rest = us % day;
  if (rest < 0) {
    rest += day;
    days--;
  }
  bool bc = date(out, days);
  sql_buf_byte(out, sep);
  sql_text_time(out, rest);
  sql_buf_str(out, zone);
  if (bc)
    sql_buf_str(out, " BC");
}

void sql_text_double(struct sql_buf *out, double v, bool single)
{
  char text[40];
  if (isnan(v) || isinf(v)) {
    sql_buf_str(out, isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity");
    return;
  }
  if (v == 0 && signbit(v)) {
    sql_buf_str(out, "-0.0"); /* -0 would be an integer, which has no sign */
    return;
  }
  for (int digits = single ? 6 : 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, v);
    if (single ? strtof(text, NULL) == (float)v : strtod(text, NULL) == v)
      break;
  }
  sql_buf_str(out, text);
}

void sql_text_hex(struct sql_buf *out, const uint8_t *p, size_t n)
{
  if (!sql_buf_reserve(out, 2 * n + 1))
    return;
  hex_write((char *)out->p + out->len, p, n);
  out->len += 2 * n;
}

void sql_text_uuid(struct sql_buf *out, const uint8_t *p)
{
  static const int cut[] = {0, 4, 6, 8, 10, 16};
  for (int i = 0; i < 5; i++) {
    if (i)
      sql_buf_byte(out, '-');
    sql_text_hex(out, p + cut[i], (size_t)(cut[i + 1] - cut[i]));
  }
}

bool sql_uuid_parse(const char *s, int64_t n, uint8_t ret[16])
{
  uint8_t out[16];
  int digits = 0;
  if (n >= 2 && s[0] == '{' && s[n - 1] == '}') {
    s++;
    n -= 2;
  }
  for (int64_t i = 0; i < n; i++) {
    if (s[i] == '-' && digits > 0 && digits % 4 == 0 && i + 1 < n && s[i + 1] != '-')
      continue;
    int d = hex_digit(s[i]);
    if (d < 0 || digits == 32)
      return false;
    out[digits / 2] = (uint8_t)(digits % 2 ? out[digits / 2] | d : d << 4);
    digits++;
  }
  if (digits != 32)
    return false;
  memcpy(ret, out, 16);
  return true;
}

static void decimal_value(struct sql_buf *out, const struct mr_view *v, int64_t i)
{
  const uint8_t *p = (const uint8_t *)mr_view_fixed(v, i);
  uint64_t lo;
  int64_t hi;
  int precision, scale;
  memcpy(&lo, p, 8);
  memcpy(&hi, p + 8, 8);
  mr_decimal_of(v->schema, &precision, &scale);
  sql_text_decimal(out, lo, hi, scale);
}

bool sql_text_value(struct sql_buf *out, const struct mr_view *v, int64_t i)
{
  int64_t n;
  const char *s;
  switch (v->kind) {
  case MR_K_BOOL: sql_buf_str(out, mr_view_bool(v, i) ? "true" : "false"); return true;
  case MR_K_UINT64: sql_buf_uint(out, (uint64_t)mr_view_int(v, i), 1); return true;
  case MR_K_FLOAT32:
  case MR_K_FLOAT64: sql_text_double(out, mr_view_f64(v, i), v->kind == MR_K_FLOAT32); return true;
  case MR_K_DECIMAL: decimal_value(out, v, i); return true;
  case MR_K_DATE: sql_text_date(out, mr_view_int(v, i)); return true;
  case MR_K_TIME: sql_text_time(out, mr_view_int(v, i)); return true;
  case MR_K_TIMESTAMP:
    sql_text_timestamp(out, mr_view_int(v, i), ' ', *mr_zone_of(v->schema) ? "+00" : "");
    return true;
  case MR_K_TEXT:
    s = mr_view_bytes(v, i, &n);
    sql_buf_bytes(out, s, (size_t)n);
    return true;
  case MR_K_BINARY:
    s = mr_view_bytes(v, i, &n);
    sql_buf_str(out, "\\x");
    sql_text_hex(out, (const uint8_t *)s, (size_t)n);
    return true;
  case MR_K_FIXED: sql_text_uuid(out, (const uint8_t *)mr_view_fixed(v, i)); return true;
  case MR_K_LIST:
  case MR_K_MAP:
  case MR_K_STRUCT: return sql_text_json(out, v, i);
  case MR_K_NONE:
  case MR_K_NULL: return false;
  default: sql_buf_int(out, mr_view_int(v, i)); return true;
  }
}

static bool json_value(struct sql_buf *out, const struct mr_view *v, int64_t i, bool exact);

static bool json_list(struct sql_buf *out, const struct mr_view *v, int64_t i, bool exact)
{
  struct mr_view item;
  int64_t from, to;
  sql_view_child(v, 0, &item);
  mr_view_range(v, i, &from, &to);
  sql_buf_byte(out, '[');
  for (int64_t k = from; k < to; k++) {
    if (k > from)
      sql_buf_byte(out, ',');
    if (!json_value(out, &item, k, exact))
      return false;
  }
  sql_buf_byte(out, ']');
  return true;
}

static bool json_struct(struct sql_buf *out, const struct mr_view *v, int64_t i, bool exact)
{
  sql_buf_byte(out, '{');
  for (int64_t c = 0; c < v->schema->n_children; c++) {
    struct mr_view child;
    sql_view_child(v, c, &child);
    if (c)
      sql_buf_byte(out, ',');
    sql_buf_json(out, child.schema->name);
    sql_buf_byte(out, ':');
    if (!json_value(out, &child, v->offset + i, exact))
      return false;
  }
  sql_buf_byte(out, '}');
  return true;
}

static bool json_map(struct sql_buf *out, const struct mr_view *v, int64_t i, bool exact)
{
  struct mr_view entry, key, value;
  int64_t from, to;
  sql_view_child(v, 0, &entry);
  sql_view_child(&entry, 0, &key);
  sql_view_child(&entry, 1, &value);
  mr_view_range(v, i, &from, &to);
  sql_buf_byte(out, '{');
  for (int64_t k = entry.offset + from; k < entry.offset + to; k++) {
    struct sql_buf name = {0};
    if (k > entry.offset + from)
      sql_buf_byte(out, ',');
    bool ok = sql_text_value(&name, &key, k);
    sql_buf_json_bytes(out, (const char *)name.p, name.len);
    out->failed |= name.failed;
    sql_buf_done(&name);
    sql_buf_byte(out, ':');
    if (!ok || !json_value(out, &value, k, exact))
      return false;
  }
  sql_buf_byte(out, '}');
  return true;
}

static char base64_digit(uint32_t v)
{
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  return digits[v & 63];
}

/* RFC 4648, section 4: as the json format has bytes. */
static void json_binary(struct sql_buf *out, const uint8_t *p, int64_t n)
{
  sql_buf_byte(out, '"');
  for (int64_t i = 0; i < n; i += 3) {
    uint32_t v = (uint32_t)p[i] << 16 | (uint32_t)(i + 1 < n ? p[i + 1] : 0) << 8 |
                 (uint32_t)(i + 2 < n ? p[i + 2] : 0);
    sql_buf_byte(out, base64_digit(v >> 18));
    sql_buf_byte(out, base64_digit(v >> 12));
    sql_buf_byte(out, i + 1 < n ? base64_digit(v >> 6) : '=');
    sql_buf_byte(out, i + 2 < n ? base64_digit(v) : '=');
  }
  sql_buf_byte(out, '"');
}

static bool json_scalar(struct sql_buf *out, const struct mr_view *v, int64_t i, bool exact)
{
  if (exact && (v->kind == MR_K_DECIMAL || v->kind == MR_K_UINT64 || v->kind == MR_K_TIMESTAMP)) {
    sql_buf_byte(out, '"');
    if (v->kind == MR_K_TIMESTAMP)
      sql_text_timestamp(out, mr_view_int(v, i), ' ', "");
    else
      sql_text_value(out, v, i);
    sql_buf_byte(out, '"');
    return true;
  }
  if (mr_kind_is_int(v->kind) || v->kind == MR_K_DECIMAL || v->kind == MR_K_BOOL ||
      (v->kind == MR_K_TEXT && mr_schema_is_json(v->schema)))
    return sql_text_value(out, v, i);
  if (v->kind == MR_K_FLOAT32 || v->kind == MR_K_FLOAT64) {
    double d = mr_view_f64(v, i);
    const char *quote = isfinite(d) ? "" : "\""; /* JSON has no NaN */
    if (exact && !isfinite(d))
      return false;
    sql_buf_str(out, quote);
    sql_text_double(out, d, v->kind == MR_K_FLOAT32);
    sql_buf_str(out, quote);
    return true;
  }
  if (v->kind == MR_K_TEXT) {
    int64_t n;
    const char *s = mr_view_bytes(v, i, &n);
    sql_buf_json_bytes(out, s, (size_t)n);
    return true;
  }
  if (v->kind == MR_K_BINARY) {
    int64_t n;
    const char *p = mr_view_bytes(v, i, &n);
    json_binary(out, (const uint8_t *)p, n);
    return true;
  }
  struct sql_buf text = {0};
  bool ok = sql_text_value(&text, v, i);
  sql_buf_json_bytes(out, (const char *)text.p, text.len);
  out->failed |= text.failed;
  sql_buf_done(&text);
  return ok;
}

static bool json_value(struct sql_buf *out, const struct mr_view *v, int64_t i, bool exact)
{
  if (mr_view_null(v, i)) {
    sql_buf_str(out, "null");
    return true;
  }
  switch (v->kind) {
  case MR_K_LIST: return json_list(out, v, i, exact);
  case MR_K_STRUCT: return json_struct(out, v, i, exact);
  case MR_K_MAP: return json_map(out, v, i, exact);
  default: return json_scalar(out, v, i, exact);
  }
}

bool sql_text_json(struct sql_buf *out, const struct mr_view *v, int64_t i)
{
  return json_value(out, v, i, false);
}

bool sql_text_json_exact(struct sql_buf *out, const struct mr_view *v, int64_t i)
{
  return json_value(out, v, i, true);
}

static void array_element(struct sql_buf *out, const struct mr_view *v, int64_t i)
{
  struct sql_buf text = {0};
  sql_text_value(&text, v, i);
  sql_buf_byte(out, '"');
  for (size_t k = 0; k < text.len; k++) {
    if (text.p[k] == '"' || text.p[k] == '\\')
      sql_buf_byte(out, '\\');
    sql_buf_byte(out, (char)text.p[k]);
  }
  sql_buf_byte(out, '"');
  out->failed |= text.failed;
  sql_buf_done(&text);
}

bool sql_text_pg_array(struct sql_buf *out, const struct mr_view *v, int64_t i)
{
  struct mr_view item;
  int64_t from, to;
  sql_view_child(v, 0, &item);
  if (item.kind == MR_K_LIST || item.kind == MR_K_MAP || item.kind == MR_K_STRUCT)
    return false;
  mr_view_range(v, i, &from, &to);
  sql_buf_byte(out, '{');
  for (int64_t k = from; k < to; k++) {
    if (k > from)
      sql_buf_byte(out, ',');
    if (mr_view_null(&item, k))
      sql_buf_str(out, "NULL");
    else
      array_element(out, &item, k);
  }
  sql_buf_byte(out, '}');
  return true;
}
