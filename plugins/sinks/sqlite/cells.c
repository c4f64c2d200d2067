/* SPDX-License-Identifier: Apache-2.0 */
/* Values as SQLite keeps them, and never as something else: what a column's affinity would change
 * is refused. */
#include <math.h>
#include "common/unfit.h"
#include "sqlite.h"

#define EXACT_DIGITS 15 /* decimal digits that every double keeps */
#define EXACT_INT (INT64_C(1) << 53)
#define FIRST_US INT64_C(-62167219200000000) /* 0000-01-01 */
#define LAST_US INT64_C(253402300800000000)  /* 10000-01-01, exclusive */
#define DAY_US INT64_C(86400000000)

struct problem {
  const char *code, *msg;
};

static bool bad(struct problem *why, const char *code, const char *msg)
{
  why->code = code;
  why->msg = msg;
  return false;
}

bool sq_kind_fits(const struct ArrowSchema *from, enum sq_affinity to)
{
  switch (mr_kind_of(from)) {
  case MR_K_NONE: return false;
  case MR_K_FLOAT32:
  case MR_K_FLOAT64: return to != SQ_INTEGER;
  case MR_K_DECIMAL: return to != SQ_INTEGER;
  case MR_K_DATE:
  case MR_K_TIME:
  case MR_K_TIMESTAMP: return to != SQ_REAL;
  case MR_K_TEXT:
  case MR_K_FIXED:
  case MR_K_LIST:
  case MR_K_STRUCT:
  case MR_K_MAP: return to != SQ_INTEGER && to != SQ_REAL;
  default: return true;
  }
}

static void put_int(struct sql_buf *out, int64_t v)
{
  sql_buf_byte(out, SQ_TAG_INT);
  sql_buf_bytes(out, &v, sizeof v);
}

/* Begins a text cell; its length is filled in by end_text. */
static size_t begin_text(struct sql_buf *out)
{
  size_t at = out->len;
  uint32_t n = 0;
  sql_buf_byte(out, SQ_TAG_TEXT);
  sql_buf_bytes(out, &n, sizeof n);
  return at;
}

static bool end_text(struct sql_buf *out, size_t at, struct problem *why)
{
  size_t n = out->len - at - 5;
  uint32_t n32 = (uint32_t)n;
  if (n > INT32_MAX)
    return bad(why, "SQLITE_TOOBIG", "value is too long");
  if (!out->failed)
    memcpy(out->p + at + 1, &n32, sizeof n32);
  return true;
}

static bool put_integer(const struct sq_field *f, int64_t i, struct sql_buf *out,
                        struct problem *why)
{
  int64_t v = mr_view_int(&f->v, i);
  if (f->affinity == SQ_TEXT) {
    size_t at = begin_text(out);
    sql_text_value(out, &f->v, i);
    return end_text(out, at, why);
  }
  if (f->v.kind == MR_K_UINT64 && v < 0)
    return bad(why, "22003", "beyond SQLite's 64-bit integer; a column declared TEXT keeps it");
  if (f->affinity == SQ_REAL && (v > EXACT_INT || v < -EXACT_INT))
    return bad(why, "22003", "the integer has more digits than a REAL column keeps");
  put_int(out, v);
  return true;
}

static bool put_float(const struct sq_field *f, int64_t i, struct sql_buf *out, struct problem *why)
{
  double v = mr_view_f64(&f->v, i);
  if (isnan(v))
    return bad(why, "22003", "SQLite has no NaN");
  if (f->affinity == SQ_TEXT) {
    size_t at = begin_text(out);
    sql_text_value(out, &f->v, i);
    return end_text(out, at, why);
  }
  sql_buf_byte(out, SQ_TAG_REAL);
  sql_buf_bytes(out, &v, sizeof v);
  return true;
}

static int significant_digits(const char *text, size_t n)
{
  int digits = 0, zeros = 0;
  for (size_t i = 0; i < n; i++) {
    if (text[i] < '0' || text[i] > '9' || (text[i] == '0' && !digits))
      continue;
    zeros = text[i] == '0' ? zeros + 1 : 0;
    digits++;
  }
  return digits - zeros;
}

static bool put_decimal(const struct sq_field *f, int64_t i, struct sql_buf *out,
                        struct problem *why)
{
  size_t at = begin_text(out);
  sql_text_value(out, &f->v, i);
  bool number = f->affinity == SQ_NUMERIC || f->affinity == SQ_REAL;
  if (number && !out->failed &&
      significant_digits((const char *)out->p + at + 5, out->len - at - 5) > EXACT_DIGITS)
    return bad(why, "22003", "more than 15 digits; a column declared TEXT keeps them all");
  return end_text(out, at, why);
}

/* Always six digits behind the second, so that texts sort as times do. */
static void put_stamp_text(struct sql_buf *out, int64_t us, bool zoned)
{
  int64_t second = us >= 0 ? us / 1000000 : -((999999 - us) / 1000000);
  sql_text_timestamp(out, second * 1000000, ' ', "");
  sql_buf_fmt(out, ".%06d%s", (int)(us - second * 1000000), zoned ? "Z" : "");
}

static bool put_time(const struct sq_field *f, int64_t i, struct sql_buf *out, struct problem *why)
{
  int64_t v = mr_view_int(&f->v, i);
  int64_t us = f->v.kind == MR_K_DATE ? v * DAY_US : v;
  if (f->affinity == SQ_INTEGER) {
    put_int(out, v);
    return true;
  }
  if (f->v.kind != MR_K_TIME && (us < FIRST_US || us >= LAST_US))
    return bad(why, "22008", "a year outside 0000 to 9999");
  if (f->v.kind == MR_K_TIME && (v < 0 || v > DAY_US))
    return bad(why, "22008", "time out of range");
  size_t at = begin_text(out);
  if (f->v.kind == MR_K_TIMESTAMP)
    put_stamp_text(out, v, *mr_zone_of(f->v.schema) != 0);
  else if (f->v.kind == MR_K_DATE)
    sql_text_date(out, v);
  else
    sql_text_time(out, v);
  return end_text(out, at, why);
}

/* Would NUMERIC affinity make a number of this text? Blanks around it do not save it. */
static bool looks_like_number(const char *s, int64_t n)
{
  while (n > 0 && strchr(" \t\n\v\f\r", *s) && *s) {
    s++;
    n--;
  }
  return n > 0 && strchr("+-.0123456789", *s) && *s;
}

static bool put_text(const struct sq_field *f, int64_t i, struct sql_buf *out, struct problem *why)
{
  int64_t n;
  const char *s = mr_view_bytes(&f->v, i, &n);
  if (n && memchr(s, 0, (size_t)n))
    return bad(why, "22021", "text has a zero byte");
  if (f->affinity == SQ_NUMERIC && looks_like_number(s, n))
    return bad(why, "22P02", "the column's type would make a number of this text; TEXT keeps it");
  size_t at = begin_text(out);
  sql_buf_bytes(out, s, (size_t)n);
  return end_text(out, at, why);
}

static bool put_blob(const struct sq_field *f, int64_t i, struct sql_buf *out, struct problem *why)
{
  int64_t n;
  const char *s = mr_view_bytes(&f->v, i, &n);
  size_t at = begin_text(out);
  sql_buf_bytes(out, s, (size_t)n);
  if (!out->failed)
    out->p[at] = SQ_TAG_BLOB;
  return end_text(out, at, why);
}

static bool put_value(const struct sq_field *f, int64_t i, struct sql_buf *out, struct problem *why)
{
  size_t at;
  switch (f->v.kind) {
  case MR_K_FLOAT32:
  case MR_K_FLOAT64: return put_float(f, i, out, why);
  case MR_K_DECIMAL: return put_decimal(f, i, out, why);
  case MR_K_DATE:
  case MR_K_TIME:
  case MR_K_TIMESTAMP: return put_time(f, i, out, why);
  case MR_K_TEXT: return put_text(f, i, out, why);
  case MR_K_BINARY: return put_blob(f, i, out, why);
  case MR_K_BOOL:
    if (f->affinity != SQ_TEXT) {
      put_int(out, mr_view_bool(&f->v, i));
      return true;
    }
    break;
  case MR_K_FIXED:
  case MR_K_LIST:
  case MR_K_MAP:
  case MR_K_STRUCT: break;
  default: return put_integer(f, i, out, why);
  }
  at = begin_text(out);
  return sql_text_value(out, &f->v, i) ? end_text(out, at, why)
                                       : bad(why, "22000", "the value has no text form");
}

bool sq_cell_put(const struct sq_field *f, int64_t i, struct sql_buf *out, const char **ret_code,
                 const char **ret_msg)
{
  struct problem why = {0};
  bool ok = true;
  bool null = mr_view_null(&f->v, i);
  if (!null && f->unfit)
    ok = bad(&why, UNFIT_CODE, UNFIT_WHY);
  else if (!null)
    ok = put_value(f, i, out, &why);
  else if (f->not_null)
    ok = bad(&why, "23502", "null in a column that is NOT NULL");
  else
    sql_buf_byte(out, SQ_TAG_NULL);
  *ret_code = why.code;
  *ret_msg = why.msg;
  return ok;
}

static uint32_t length_of(const uint8_t *p)
{
  uint32_t n;
  memcpy(&n, p + 1, sizeof n);
  return n;
}

const uint8_t *sq_cell_skip(const uint8_t *p)
{
  switch (*p) {
  case SQ_TAG_NULL: return p + 1;
  case SQ_TAG_INT:
  case SQ_TAG_REAL: return p + 9;
  default: return p + 5 + length_of(p);
  }
}

const uint8_t *sq_cell_bind(sqlite3_stmt *st, int parameter, const uint8_t *p)
{
  int64_t v;
  double d;
  int rc;
  switch (*p) {
  case SQ_TAG_NULL: rc = sqlite3_bind_null(st, parameter); break;
  case SQ_TAG_INT:
    memcpy(&v, p + 1, sizeof v);
    rc = sqlite3_bind_int64(st, parameter, v);
    break;
  case SQ_TAG_REAL:
    memcpy(&d, p + 1, sizeof d);
    rc = sqlite3_bind_double(st, parameter, d);
    break;
  case SQ_TAG_TEXT:
    rc = sqlite3_bind_text64(st, parameter, (const char *)p + 5, length_of(p), SQLITE_STATIC,
                             SQLITE_UTF8);
    break;
  default: rc = sqlite3_bind_blob64(st, parameter, p + 5, length_of(p), SQLITE_STATIC); break;
  }
  return rc == SQLITE_OK ? sq_cell_skip(p) : NULL;
}
