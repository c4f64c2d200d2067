/* SPDX-License-Identifier: Apache-2.0 */
#include "common/maria-encode.h"
#include <math.h>
#include "common/sql-text.h"
#include "common/unfit.h"

#define DAY_FIRST INT64_C(-719162) /* 0001-01-01 */
#define DAY_LAST INT64_C(2932896)  /* 9999-12-31 */
#define DAY_US INT64_C(86400000000)
#define YEAR_FIRST 1901
#define YEAR_LAST 2155
#define FLOAT_EXACT                                                            \
  (INT64_C(1) << 24) /* integers up to here are exact in a float; double below \
                      */
#define DOUBLE_EXACT (INT64_C(1) << 53)

/* ---------------------------------------------------------------- choosing */

static bool plan_int(enum mr_kind from, struct maria_field *f)
{
  const struct maria_type *t = &f->type;
  int bits = t->bits;
  f->op = MARIA_OP_INT;
  switch (t->kind) {
  case MARIA_INT:
    f->max = t->is_unsigned ? UINT64_MAX >> (64 - bits) : UINT64_MAX >> (65 - bits);
    f->min = t->is_unsigned ? 0 : f->max + 1;
    /* values above the signed range would be found only when they come */
    return !(from == MR_K_UINT64 && !t->is_unsigned);
  case MARIA_BIT: f->max = bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1; return true;
  case MARIA_DECIMAL:
    f->max = 1;
    for (int i = 0; i < t->precision - t->scale; i++)
      f->max = f->max > UINT64_MAX / 10 ? UINT64_MAX : f->max * 10;
    f->max -= f->max != UINT64_MAX;
    f->min = t->is_unsigned ? 0 : f->max;
    return true;
  case MARIA_FLOAT:
  case MARIA_DOUBLE: f->op = MARIA_OP_INT_FLOAT; return true;
  case MARIA_YEAR: return true;
  default: return false;
  }
}

static bool plan_bool(struct maria_field *f)
{
  f->op = MARIA_OP_BOOL;
  return f->type.kind == MARIA_INT || f->type.kind == MARIA_BIT;
}

static bool plan_text(struct maria_field *f)
{
  f->op = f->type.kind == MARIA_BINARY ? MARIA_OP_HEX : MARIA_OP_BYTES;
  return f->type.kind == MARIA_TEXT || f->type.kind == MARIA_ENUM || f->type.kind == MARIA_JSON ||
         f->type.kind == MARIA_UUID || f->type.kind == MARIA_OTHER || f->type.kind == MARIA_BINARY;
}

static bool plan_fixed(struct maria_field *f)
{
  f->op = f->type.kind == MARIA_BINARY ? MARIA_OP_HEX : MARIA_OP_UUID;
  return f->type.kind == MARIA_BINARY || f->type.kind == MARIA_UUID || f->type.kind == MARIA_TEXT;
}

/* What a column of this kind is written as into a column of text. */
static bool plan_as_text(enum mr_kind from, struct maria_field *f)
{
  bool nested = from == MR_K_LIST || from == MR_K_STRUCT || from == MR_K_MAP;
  f->op = nested ? MARIA_OP_AS_JSON : MARIA_OP_AS_TEXT;
  return f->type.kind == MARIA_TEXT || (nested && f->type.kind == MARIA_JSON);
}

static bool plan_one(enum mr_kind from, struct maria_field *f)
{
  enum maria_kind to = f->type.kind;
  if (from == MR_K_NULL) {
    f->op = MARIA_OP_NULL;
    return true;
  }
  if (mr_kind_is_int(from) && plan_int(from, f))
    return true;
  switch (from) {
  case MR_K_BOOL: return plan_bool(f) || plan_as_text(from, f);
  case MR_K_FLOAT32:
  case MR_K_FLOAT64:
    f->op = MARIA_OP_FLOAT;
    return to == MARIA_FLOAT || to == MARIA_DOUBLE || plan_as_text(from, f);
  case MR_K_DECIMAL: f->op = MARIA_OP_DECIMAL; return to == MARIA_DECIMAL || plan_as_text(from, f);
  case MR_K_DATE:
    f->op = to == MARIA_DATE ? MARIA_OP_DATE : MARIA_OP_TIMESTAMP;
    return to == MARIA_DATE || to == MARIA_DATETIME || to == MARIA_TIMESTAMP ||
           plan_as_text(from, f);
  case MR_K_TIME: f->op = MARIA_OP_TIME; return to == MARIA_TIME || plan_as_text(from, f);
  case MR_K_TIMESTAMP:
    f->op = MARIA_OP_TIMESTAMP;
    return to == MARIA_DATETIME || to == MARIA_TIMESTAMP || plan_as_text(from, f);
  case MR_K_TEXT: return plan_text(f);
  case MR_K_BINARY: f->op = MARIA_OP_HEX; return to == MARIA_BINARY;
  case MR_K_FIXED: return plan_fixed(f);
  case MR_K_NONE: return false;
  default: return plan_as_text(from, f);
  }
}

bool maria_field_plan(const struct ArrowSchema *from, const struct maria_type *to,
                      struct maria_field *ret)
{
  struct maria_field f = {.type = *to};
  int precision;
  mr_decimal_of(from, &precision, &f.src_scale);
  if (!plan_one(mr_kind_of(from), &f))
    return false;
  *ret = f;
  return true;
}

void maria_field_unfit(const struct ArrowSchema *from, const struct maria_type *to,
                       struct maria_field *ret)
{
  struct maria_field f = {.type = *to};
  plan_one(mr_kind_of(from), &f);
  if (mr_kind_of(from) != MR_K_UINT64 || to->kind != MARIA_INT)
    f.op = MARIA_OP_UNFIT;
  *ret = f;
}

void maria_field_bind(struct maria_field *f, const struct ArrowSchema *s,
                      const struct ArrowArray *a)
{
  mr_view_init(&f->v, s, a);
}

bool maria_field_load(const struct maria_field *f, const char *variable, struct sql_buf *out)
{
  if (f->op == MARIA_OP_HEX)
    sql_buf_fmt(out, "UNHEX(%s)", variable);
  else if (f->type.kind == MARIA_BIT && f->op != MARIA_OP_NULL)
    sql_buf_fmt(out, "CAST(%s AS UNSIGNED)", variable);
  else
    return false;
  return true;
}

/* ---------------------------------------------------------------- values */

struct why {
  const char *code, *msg;
};
static bool refuse(struct why *w, const char *code, const char *msg)
{
  *w = (struct why){code, msg};
  return false;
}

static void number(struct sql_buf *out, uint64_t v, bool minus)
{
  char text[24], *p = text + sizeof text;
  do
    *--p = (char)('0' + (int)(v % 10));
  while (v /= 10);
  if (minus)
    *--p = '-';
  sql_buf_bytes(out, p, (size_t)(text + sizeof text - p));
}

static bool value_int(const struct maria_field *f, int64_t i, struct sql_buf *out, struct why *w)
{
  int64_t v = mr_view_int(&f->v, i);
  bool minus = v < 0 && mr_kind_is_signed(f->v.kind);
  uint64_t size = minus ? 0 - (uint64_t)v : (uint64_t)v;
  bool fits = minus ? size <= f->min : size <= f->max;
  if (f->type.kind == MARIA_YEAR)
    fits = !minus && (size == 0 || (size >= YEAR_FIRST && size <= YEAR_LAST));
  number(out, size, minus);
  return fits || refuse(w, "22003", "number is out of the column's range");
}

static bool value_int_float(const struct maria_field *f, int64_t i, struct sql_buf *out,
                            struct why *w)
{
  int64_t v = mr_view_int(&f->v, i),
          most = f->type.kind == MARIA_FLOAT ? FLOAT_EXACT : DOUBLE_EXACT;
  bool huge = v < 0 && !mr_kind_is_signed(f->v.kind);
  number(out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0);
  return (!huge && v >= -most && v <= most) ||
         refuse(w, "22003", "integer is not exact in a column of floating-point numbers");
}

static bool value_float(const struct maria_field *f, int64_t i, struct sql_buf *out, struct why *w)
{
  double v = mr_view_f64(&f->v, i);
  if (!isfinite(v))
    return refuse(w, "22003", "NaN and infinity have no place in this server's numbers");
  if (f->type.kind == MARIA_FLOAT && !isfinite((double)(float)v))
    return refuse(w, "22003", "number is out of the column's range");
  if (f->type.is_unsigned && v < 0)
    return refuse(w, "22003", "negative number in a column of unsigned ones");
  /* the server reads a double and then rounds it: a float's own shortest text may lie past the end
   */
  sql_text_double(out, v, false);
  return true;
}

/* Digits before the point, and whether those that the column has not are zeros. */
static bool decimal_fits(const struct maria_field *f, const char *p, size_t n)
{
  const char *end = p + n, *point = memchr(p, '.', n);
  if (*p == '-' && f->type.is_unsigned && strspn(p + 1, "0.") < n - 1)
    return false;
  p += *p == '-';
  const char *whole_end = point ? point : end;
  while (p < whole_end && *p == '0')
    p++;
  if (whole_end - p > f->type.precision - f->type.scale)
    return false;
  for (const char *d = point ? point + 1 + f->type.scale : end; d < end; d++)
    if (*d != '0')
      return false;
  return true;
}

static bool value_decimal(const struct maria_field *f, int64_t i, struct sql_buf *out,
                          struct why *w)
{
  const uint8_t *p = mr_view_fixed(&f->v, i);
  uint64_t lo;
  int64_t hi;
  size_t from = out->len;
  memcpy(&lo, p, 8);
  memcpy(&hi, p + 8, 8);
  sql_text_decimal(out, lo, hi, f->src_scale);
  if (out->failed)
    return true;
  return decimal_fits(f, (const char *)out->p + from, out->len - from) ||
         refuse(w, "22003", "decimal has more digits than the column");
}

static bool value_date(const struct maria_field *f, int64_t i, struct sql_buf *out, struct why *w)
{
  int64_t days = mr_view_int(&f->v, i);
  if (days < DAY_FIRST || days > DAY_LAST)
    return refuse(w, "22008", "date is outside the years 1 to 9999");
  sql_text_date(out, days);
  return true;
}

/* Microseconds that a column with `digits` of a fraction would round away. */
static bool is_finer(int64_t us, int digits)
{
  int64_t unit = 1;
  for (int i = digits; i < 6; i++)
    unit *= 10;
  return us % unit != 0;
}

static bool value_time(const struct maria_field *f, int64_t i, struct sql_buf *out, struct why *w)
{
  int64_t us = mr_view_int(&f->v, i);
  if (us < 0 || us >= DAY_US)
    return refuse(w, "22008", "time is outside the day");
  if (is_finer(us, f->type.scale))
    return refuse(w, "22008", "time has more digits behind the second than the column");
  sql_text_time(out, us);
  return true;
}

static bool value_timestamp(const struct maria_field *f, int64_t i, struct sql_buf *out,
                            struct why *w)
{
  int64_t v = mr_view_int(&f->v, i);
  if (f->v.kind == MR_K_DATE)
    v = v < DAY_FIRST - 1 || v > DAY_LAST + 1 ? INT64_MAX : v * DAY_US;
  if (v < DAY_FIRST * DAY_US || v >= (DAY_LAST + 1) * DAY_US)
    return refuse(w, "22008", "timestamp is outside the years 1 to 9999");
  if (is_finer(v, f->type.scale))
    return refuse(w, "22008", "timestamp has more digits behind the second than the column");
  sql_text_timestamp(out, v, ' ', "");
  return true;
}

/* ---- text */

static const char too_long[] = "text is longer than the column";

static bool text_fits(const struct maria_type *t, const char *p, size_t n)
{
  int64_t chars = 0;
  if (!t->max || n <= (size_t)t->max)
    return true;
  for (size_t i = 0; !t->in_bytes && i < n; i++)
    chars += (p[i] & 0xc0) != 0x80;
  return !t->in_bytes && chars <= t->max;
}

/* The character that stands behind a backslash for c; 0: c stands for itself. */
static char escape_of(char c, enum maria_form form)
{
  switch (c) {
  case '\\': return '\\';
  case 0: return '0';
  case '\t': return form == MARIA_FORM_LOAD ? 't' : 0;
  case '\n': return form == MARIA_FORM_LOAD ? 'n' : 0;
  case '\'': return form == MARIA_FORM_INSERT ? '\'' : 0;
  default: return 0;
  }
}

static void escaped(struct sql_buf *out, const char *p, size_t n, enum maria_form form)
{
  if (!sql_buf_reserve(out, 2 * n + 2))
    return;
  uint8_t *to = out->p + out->len;
  if (form == MARIA_FORM_INSERT)
    *to++ = '\'';
  for (size_t i = 0; i < n; i++) {
    char e = escape_of(p[i], form);
    if (e)
      *to++ = '\\';
    *to++ = (uint8_t)(e ? e : p[i]);
  }
  if (form == MARIA_FORM_INSERT)
    *to++ = '\'';
  out->len = (size_t)(to - out->p);
}

static bool value_bytes(const struct maria_field *f, int64_t i, enum maria_form form,
                        struct sql_buf *out, struct why *w)
{
  int64_t n;
  const char *p = mr_view_bytes(&f->v, i, &n);
  if (!text_fits(&f->type, p, (size_t)n))
    return refuse(w, "22001", too_long);
  escaped(out, p, (size_t)n, form);
  return true;
}

static bool value_hex(const struct maria_field *f, int64_t i, enum maria_form form,
                      struct sql_buf *out, struct why *w)
{
  int64_t n = 16;
  const char *p = f->v.kind == MR_K_FIXED ? mr_view_fixed(&f->v, i) : mr_view_bytes(&f->v, i, &n);
  if (f->type.max && n > f->type.max)
    return refuse(w, "22001", "value is longer than the column");
  if (f->type.fixed && n != f->type.max)
    return refuse(w, "22001", "value is shorter than the column, which would fill it with zeros");
  sql_buf_str(out, form == MARIA_FORM_INSERT ? "x'" : "");
  sql_text_hex(out, (const uint8_t *)p, (size_t)n);
  sql_buf_str(out, form == MARIA_FORM_INSERT ? "'" : "");
  return true;
}

/* Text that is made here and then escaped. */
static bool value_made(const struct maria_field *f, int64_t i, enum maria_form form,
                       struct sql_buf *out, struct why *w)
{
  struct sql_buf text = {0};
  bool ok =
      f->op == MARIA_OP_AS_JSON ? sql_text_json(&text, &f->v, i) : sql_text_value(&text, &f->v, i);
  bool fits = text_fits(&f->type, (const char *)text.p, text.len);
  if (ok && fits)
    escaped(out, (const char *)text.p, text.len, form);
  out->failed |= text.failed;
  sql_buf_done(&text);
  if (!ok)
    return refuse(w, "22000", "value has no text");
  return fits || refuse(w, "22001", too_long);
}

typedef bool value_fn(const struct maria_field *f, int64_t i, struct sql_buf *out, struct why *w);

/* What needs no escapes, but quotes in a statement. */
static bool quoted(const struct maria_field *f, int64_t i, enum maria_form form, value_fn *value,
                   struct sql_buf *out, struct why *w)
{
  sql_buf_str(out, form == MARIA_FORM_INSERT ? "'" : "");
  bool ok = value(f, i, out, w);
  sql_buf_str(out, form == MARIA_FORM_INSERT ? "'" : "");
  return ok;
}

static bool value_uuid(const struct maria_field *f, int64_t i, struct sql_buf *out, struct why *w)
{
  sql_text_uuid(out, mr_view_fixed(&f->v, i));
  return !f->type.max || f->type.max >= 36 || refuse(w, "22001", too_long);
}

static bool value(const struct maria_field *f, int64_t i, enum maria_form form, struct sql_buf *out,
                  struct why *w)
{
  switch (f->op) {
  case MARIA_OP_BOOL: sql_buf_byte(out, mr_view_bool(&f->v, i) ? '1' : '0'); return true;
  case MARIA_OP_INT: return value_int(f, i, out, w);
  case MARIA_OP_INT_FLOAT: return value_int_float(f, i, out, w);
  case MARIA_OP_FLOAT: return value_float(f, i, out, w);
  case MARIA_OP_DECIMAL: return value_decimal(f, i, out, w);
  case MARIA_OP_DATE: return quoted(f, i, form, value_date, out, w);
  case MARIA_OP_TIME: return quoted(f, i, form, value_time, out, w);
  case MARIA_OP_TIMESTAMP: return quoted(f, i, form, value_timestamp, out, w);
  case MARIA_OP_BYTES: return value_bytes(f, i, form, out, w);
  case MARIA_OP_HEX: return value_hex(f, i, form, out, w);
  case MARIA_OP_UUID: return quoted(f, i, form, value_uuid, out, w);
  case MARIA_OP_UNFIT: return refuse(w, UNFIT_CODE, UNFIT_WHY);
  default: return value_made(f, i, form, out, w);
  }
}

bool maria_field_value(const struct maria_field *f, int64_t i, enum maria_form form,
                       struct sql_buf *out, const char **ret_code, const char **ret_msg)
{
  struct why w = {"23502", "null in a column that is NOT NULL"};
  bool ok = true;
  if (f->op != MARIA_OP_NULL && !mr_view_null(&f->v, i))
    ok = value(f, i, form, out, &w);
  else if (f->type.not_null)
    ok = false;
  else
    sql_buf_str(out, form == MARIA_FORM_LOAD ? "\\N" : "NULL");
  *ret_code = w.code;
  *ret_msg = w.msg;
  return ok;
}
