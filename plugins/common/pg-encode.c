/* SPDX-License-Identifier: Apache-2.0 */
#include "common/pg-encode.h"
#include <endian.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include "common/pg-numeric.h"
#include "common/sql-text.h"
#include "common/unfit.h"

#define EPOCH_DAYS 10957 /* 1970-01-01 to 2000-01-01 */
#define EPOCH_US INT64_C(946684800000000)
#define FIRST_US INT64_C(-211813488000000000) /* 4714-11-24 BC, from 2000-01-01 */
#define LAST_US INT64_C(9223371331200000000)  /* 294277-01-01, exclusive */
#define FIRST_DAY (-2451545)
#define LAST_DAY 2145031949 /* exclusive */
#define DAY_US INT64_C(86400000000)
#define FIXED_MAX 72 /* bytes of the widest field whose size does not depend on its bytes */

struct problem {
  const char *code, *msg;
};

static bool bad(struct problem *why, const char *code, const char *msg)
{
  why->code = code;
  why->msg = msg;
  return false;
}

static inline uint8_t *put16(uint8_t *p, uint16_t v)
{
  v = htobe16(v);
  memcpy(p, &v, 2);
  return p + 2;
}
static inline uint8_t *put32(uint8_t *p, uint32_t v)
{
  v = htobe32(v);
  memcpy(p, &v, 4);
  return p + 4;
}
static inline uint8_t *put64(uint8_t *p, uint64_t v)
{
  v = htobe64(v);
  memcpy(p, &v, 8);
  return p + 8;
}
static inline uint16_t get16(const uint8_t *p)
{
  uint16_t v;
  memcpy(&v, p, 2);
  return v;
}
static inline uint32_t get32(const uint8_t *p)
{
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}
static inline uint64_t get64(const uint8_t *p)
{
  uint64_t v;
  memcpy(&v, p, 8);
  return v;
}

static bool put_int(const struct pg_field *f, int64_t i, uint8_t **p, struct problem *why)
{
  int64_t v = mr_view_int(&f->v, i);
  if (f->v.kind == MR_K_UINT64 && v < 0)
    return bad(why, "22003", "integer out of range of the column");
  switch (f->oid) {
  case PG_INT2:
    if (v < INT16_MIN || v > INT16_MAX)
      break;
    *p = put16(put32(*p, 2), (uint16_t)v);
    return true;
  case PG_INT4:
    if (v < INT32_MIN || v > INT32_MAX)
      break;
    *p = put32(put32(*p, 4), (uint32_t)v);
    return true;
  default: *p = put64(put32(*p, 8), (uint64_t)v); return true;
  }
  return bad(why, "22003", "integer out of range of the column");
}

static void put_double(const struct pg_field *f, double v, uint8_t **p)
{
  uint64_t bits8;
  uint32_t bits4;
  if (f->oid == PG_FLOAT8) {
    memcpy(&bits8, &v, 8);
    *p = put64(put32(*p, 8), bits8);
  } else {
    float v4 = (float)v;
    memcpy(&bits4, &v4, 4);
    *p = put32(put32(*p, 4), bits4);
  }
}

static bool put_float(const struct pg_field *f, int64_t i, uint8_t **p, struct problem *why)
{
  double d;
  if (mr_kind_is_int(f->v.kind)) {
    int64_t v = mr_view_int(&f->v, i), limit = f->oid == PG_FLOAT8 ? INT64_C(1) << 53 : 1 << 24;
    if (v > limit || v < -limit)
      return bad(why, "22003", "the integer has more digits than the floating-point column keeps");
    d = (double)v;
  } else {
    d = mr_view_f64(&f->v, i);
    if (f->oid == PG_FLOAT4 && isfinite(d) && fabs(d) > (double)FLT_MAX)
      return bad(why, "22003", "out of range for type real");
  }
  put_double(f, d, p);
  return true;
}

static bool put_date(const struct pg_field *f, int64_t i, uint8_t **p, struct problem *why)
{
  int64_t v = mr_view_int(&f->v, i) - EPOCH_DAYS;
  if (v < FIRST_DAY || v >= LAST_DAY)
    return bad(why, "22008", "date out of range");
  *p = put32(put32(*p, 4), (uint32_t)v);
  return true;
}

static bool put_stamp(int64_t us, uint8_t **p, struct problem *why)
{
  if (us < FIRST_US + EPOCH_US || us - EPOCH_US >= LAST_US)
    return bad(why, "22008", "timestamp out of range");
  *p = put64(put32(*p, 8), (uint64_t)(us - EPOCH_US));
  return true;
}

static bool put_time(const struct pg_field *f, int64_t i, uint8_t **p, struct problem *why)
{
  int64_t v = mr_view_int(&f->v, i);
  if (v < 0 || v > DAY_US)
    return bad(why, "22008", "time out of range");
  *p = put64(put32(*p, 8), (uint64_t)v);
  return true;
}

static bool put_date_stamp(const struct pg_field *f, int64_t i, uint8_t **p, struct problem *why)
{
  return put_stamp(mr_view_int(&f->v, i) * DAY_US, p, why);
}

static bool put_numeric(const struct pg_field *f, pg_u128 v, bool minus, uint8_t **p,
                        struct problem *why)
{
  if (f->digits_checked && !pg_numeric_fits(v, -f->src_scale, f->precision, f->scale))
    return bad(why, "22003", "the numeric column does not hold all digits of the value");
  *p += pg_numeric_put(*p, v, minus, -f->src_scale, f->src_scale > 0 ? f->src_scale : 0);
  return true;
}

static bool put_decimal(const struct pg_field *f, int64_t i, uint8_t **p, struct problem *why)
{
  const uint8_t *at = f->data + i * 16;
  pg_u128 v = (pg_u128)get64(at + 8) << 64 | get64(at);
  bool minus = at[15] >> 7;
  return put_numeric(f, minus ? ~v + 1 : v, minus, p, why);
}

static bool put_int_numeric(const struct pg_field *f, int64_t i, uint8_t **p, struct problem *why)
{
  int64_t v = mr_view_int(&f->v, i);
  bool minus = v < 0 && f->v.kind != MR_K_UINT64;
  return put_numeric(f, minus ? -(uint64_t)v : (uint64_t)v, minus, p, why);
}

static bool put_float_numeric(const struct pg_field *f, int64_t i, uint8_t **p, struct problem *why)
{
  double v = mr_view_f64(&f->v, i);
  if (f->precision && isinf(v))
    return bad(why, "22003", "the numeric column cannot hold an infinite value");
  *p += pg_numeric_put_double(*p, v, f->v.kind == MR_K_FLOAT32);
  return true;
}

/* varchar(n) counts characters; blanks beyond n are the server's to cut. */
static bool fits_chars(const struct pg_field *f, const char *s, int64_t n)
{
  int64_t chars = 0;
  for (int64_t k = 0; k < n; k++) {
    chars += (s[k] & 0xC0) != 0x80;
    if (chars > f->max_chars && s[k] != ' ')
      return false;
  }
  return true;
}

static bool check_text(const struct pg_field *f, const char *s, int64_t n, struct problem *why)
{
  if (f->oid == PG_BYTEA)
    return true;
  if ((f->has_nul || f->v.kind != MR_K_TEXT) && memchr(s, 0, (size_t)n))
    return bad(why, "22021", "text has a zero byte");
  if (f->max_chars && n > f->max_chars && !fits_chars(f, s, n))
    return bad(why, "22001", "text is longer than the column");
  return true;
}

/* Room for n bytes here and for the fixed part of everything behind them in the row. */
static bool make_room(struct sql_buf *out, size_t n, size_t rest)
{
  return n < INT32_MAX && sql_buf_reserve(out, n + rest);
}

static bool put_bytes(const struct pg_field *f, int64_t i, size_t rest, struct sql_buf *out,
                      struct problem *why)
{
  const char *s = (const char *)f->v.bytes + f->offsets[i];
  int64_t n = f->offsets[i + 1] - f->offsets[i], version = f->op == PG_OP_JSONB_BYTES;
  if (!check_text(f, s, n, why))
    return false;
  if (!make_room(out, (size_t)n, rest))
    return bad(why, "54000", "value is too long");
  uint8_t *p = put32(out->p + out->len, (uint32_t)(n + version));
  if (version)
    *p++ = 1;
  if (n)
    memcpy(p, s, (size_t)n);
  out->len = (size_t)(p + n - out->p);
  return true;
}

/* Text made from the value, behind its length word. */
static bool put_as_text(const struct pg_field *f, int64_t i, size_t rest, struct sql_buf *out,
                        struct problem *why)
{
  size_t at = out->len;
  out->len += 4;
  if (f->oid == PG_JSONB)
    sql_buf_byte(out, 1);
  size_t body = out->len;
  bool ok = f->op == PG_OP_AS_JSON ? sql_text_json(out, &f->v, i) : sql_text_value(out, &f->v, i);
  if (!ok)
    return bad(why, "22000", "the value has no text form");
  if (out->failed || out->len - at > INT32_MAX || !sql_buf_reserve(out, rest))
    return bad(why, "54000", "value is too long");
  if (!check_text(f, (const char *)out->p + body, (int64_t)(out->len - body), why))
    return false;
  put32(out->p + at, (uint32_t)(out->len - at - 4));
  return true;
}

static bool put_uuid_text(const struct pg_field *f, int64_t i, uint8_t **p, struct problem *why)
{
  int64_t n;
  const char *s = mr_view_bytes(&f->v, i, &n);
  put32(*p, 16);
  if (!sql_uuid_parse(s, n, *p + 4))
    return bad(why, "22P02", "text is no uuid");
  *p += 20;
  return true;
}

static bool put_value(struct pg_field *f, int64_t i, size_t rest, struct sql_buf *out,
                      struct problem *why);

static bool put_array(struct pg_field *f, int64_t i, size_t rest, struct sql_buf *out,
                      struct problem *why)
{
  int64_t from, to;
  mr_view_range(&f->v, i, &from, &to);
  size_t at = out->len;
  uint32_t nulls = 0;
  for (int64_t k = from; k < to; k++)
    nulls |= mr_view_null(&f->item->v, k);
  uint8_t *p = put32(put32(put32(out->p + at + 4, to > from), nulls), f->elem_oid);
  if (to > from)
    p = put32(put32(p, (uint32_t)(to - from)), 1);
  out->len = (size_t)(p - out->p);
  for (int64_t k = from; k < to; k++) {
    if (!sql_buf_reserve(out, 2 * FIXED_MAX + rest))
      return bad(why, "54000", "value is too long");
    if (!put_value(f->item, k, rest + FIXED_MAX, out, why))
      return false;
  }
  if (out->len - at > INT32_MAX)
    return bad(why, "54000", "value is too long");
  put32(out->p + at, (uint32_t)(out->len - at - 4));
  return true;
}

/* Kinds that are not plain copies of 2, 4 or 8 bytes. Room for FIXED_MAX + rest bytes is there, and
 * afterwards for rest. */
static bool put_other(struct pg_field *f, int64_t i, size_t rest, struct sql_buf *out,
                      struct problem *why)
{
  uint8_t *p = out->p + out->len;
  bool ok = true;
  switch (f->op) {
  case PG_OP_INT: ok = put_int(f, i, &p, why); break;
  case PG_OP_FLOAT: ok = put_float(f, i, &p, why); break;
  case PG_OP_BOOL:
    p = put32(p, 1);
    *p++ = mr_view_bool(&f->v, i);
    break;
  case PG_OP_DATE: ok = put_date(f, i, &p, why); break;
  case PG_OP_TIME: ok = put_time(f, i, &p, why); break;
  case PG_OP_TIMESTAMP: ok = put_stamp((int64_t)get64(f->data + i * 8), &p, why); break;
  case PG_OP_DATE_TIMESTAMP: ok = put_date_stamp(f, i, &p, why); break;
  case PG_OP_UUID: p = (uint8_t *)memcpy(put32(p, 16), f->data + i * 16, 16) + 16; break;
  case PG_OP_UUID_TEXT: ok = put_uuid_text(f, i, &p, why); break;
  case PG_OP_DECIMAL: ok = put_decimal(f, i, &p, why); break;
  case PG_OP_INT_NUMERIC: ok = put_int_numeric(f, i, &p, why); break;
  case PG_OP_FLOAT_NUMERIC: ok = put_float_numeric(f, i, &p, why); break;
  case PG_OP_BYTES:
  case PG_OP_JSONB_BYTES: return put_bytes(f, i, rest, out, why);
  case PG_OP_AS_TEXT:
  case PG_OP_AS_JSON: return put_as_text(f, i, rest, out, why);
  case PG_OP_ARRAY: return put_array(f, i, rest, out, why);
  case PG_OP_UNFIT: return bad(why, UNFIT_CODE, UNFIT_WHY);
  default: return bad(why, "0A000", "the type has no binary form here");
  }
  if (ok)
    out->len = (size_t)(p - out->p);
  return ok;
}

/* Plain copies of valid values; NULL: this field needs put_value. */
static inline uint8_t *put_plain(const struct pg_field *f, int64_t i, uint8_t *p)
{
  if (f->v.valid && !mr_bit_get(f->v.valid, f->v.offset + i))
    return NULL;
  switch (f->op) {
  case PG_OP_SAME8: return put64(put32(p, 8), get64(f->data + i * 8));
  case PG_OP_SAME4: return put32(put32(p, 4), get32(f->data + i * 4));
  case PG_OP_SAME2: return put16(put32(p, 2), get16(f->data + i * 2));
  default: return NULL;
  }
}

static bool put_value(struct pg_field *f, int64_t i, size_t rest, struct sql_buf *out,
                      struct problem *why)
{
  uint8_t *p = put_plain(f, i, out->p + out->len);
  if (p) {
    out->len = (size_t)(p - out->p);
    return true;
  }
  if (f->op != PG_OP_NULL && !(f->v.valid && !mr_bit_get(f->v.valid, f->v.offset + i)))
    return put_other(f, i, rest, out, why);
  if (f->not_null)
    return bad(why, "23502", "null in a column that is NOT NULL");
  put32(out->p + out->len, UINT32_MAX);
  out->len += 4;
  return true;
}

static bool row_binary(const struct pg_rows *r, int64_t i, struct sql_buf *out, int *ret_field,
                       struct problem *why)
{
  size_t rest = (size_t)r->n * FIXED_MAX + 16;
  if (!sql_buf_reserve(out, rest))
    return bad(why, "53200", "out of memory");
  uint8_t *p = put16(out->p + out->len, (uint16_t)r->n);
  for (int c = 0; c < r->n; c++) {
    struct pg_field *f = &r->field[c];
    uint8_t *next = put_plain(f, i, p);
    if (next) {
      p = next;
      continue;
    }
    out->len = (size_t)(p - out->p);
    if (!put_value(f, i, rest - (size_t)c * FIXED_MAX, out, why)) {
      *ret_field = c;
      return false;
    }
    p = out->p + out->len;
  }
  out->len = (size_t)(p - out->p);
  return true;
}

static bool text_of(struct pg_field *f, int64_t i, struct sql_buf *out)
{
  if (f->v.kind == MR_K_LIST && f->elem_oid)
    return sql_text_pg_array(out, &f->v, i);
  if (f->op == PG_OP_AS_JSON)
    return sql_text_json(out, &f->v, i);
  if (f->v.kind == MR_K_TEXT && f->oid == PG_BYTEA) {
    int64_t n;
    const char *s = mr_view_bytes(&f->v, i, &n);
    sql_buf_str(out, "\\x");
    sql_text_hex(out, (const uint8_t *)s, (size_t)n);
    return true;
  }
  return sql_text_value(out, &f->v, i);
}

/* The same tests as the binary form makes, by making it and throwing it away. */
static bool check_by_binary(struct pg_field *f, int64_t i, struct sql_buf *out, struct problem *why)
{
  size_t at = out->len;
  if (f->op == PG_OP_TEXT_ONLY && f->v.kind == MR_K_TEXT) {
    int64_t n;
    const char *s = mr_view_bytes(&f->v, i, &n);
    return check_text(f, s, n, why);
  }
  if (f->op == PG_OP_TEXT_ONLY)
    return true;
  if (!sql_buf_reserve(out, 2 * FIXED_MAX))
    return bad(why, "53200", "out of memory");
  bool ok = put_value(f, i, FIXED_MAX, out, why);
  out->len = at;
  return ok;
}

bool pg_field_text(struct pg_field *f, int64_t i, struct sql_buf *out, const char **ret_code,
                   const char **ret_msg)
{
  struct problem why = {"22000", "the value has no text form"};
  size_t at = out->len;
  if (check_by_binary(f, i, out, &why) && text_of(f, i, out))
    return true;
  out->len = at;
  *ret_code = why.code;
  *ret_msg = why.msg;
  return false;
}

static void copy_escaped(struct sql_buf *out, const uint8_t *s, size_t n)
{
  if (!sql_buf_reserve(out, 2 * n))
    return;
  for (size_t k = 0; k < n; k++) {
    uint8_t c = s[k], e = c == '\\'   ? '\\'
                          : c == '\n' ? 'n'
                          : c == '\r' ? 'r'
                          : c == '\t' ? 't'
                                      : 0;
    if (e)
      out->p[out->len++] = '\\';
    out->p[out->len++] = e ? e : c;
  }
}

static bool row_text(const struct pg_rows *r, int64_t i, struct sql_buf *out, int *ret_field,
                     struct problem *why)
{
  struct sql_buf value = {0};
  bool ok = true;
  for (int c = 0; c < r->n && ok; c++) {
    struct pg_field *f = &r->field[c];
    if (c)
      sql_buf_byte(out, '\t');
    if (mr_view_null(&f->v, i)) {
      *ret_field = c;
      ok = !f->not_null || bad(why, "23502", "null in a column that is NOT NULL");
      sql_buf_str(out, "\\N");
      continue;
    }
    value.len = 0;
    ok = pg_field_text(f, i, &value, &why->code, &why->msg);
    *ret_field = c;
    copy_escaped(out, value.p, value.len);
  }
  sql_buf_byte(out, '\n');
  out->failed |= value.failed;
  sql_buf_done(&value);
  return ok;
}

int64_t pg_rows_encode(const struct pg_rows *r, int64_t from, int64_t to, size_t enough,
                       struct sql_buf *out, int64_t *ret_next)
{
  int64_t rows = 0, i = from;
  for (; i < to && out->len < enough; i++) {
    struct problem why = {0};
    size_t start = out->len;
    if (r->skip && mr_bit_get(r->skip, i))
      continue;
    int field = 0;
    bool ok = r->text ? row_text(r, i, out, &field, &why) : row_binary(r, i, out, &field, &why);
    if (out->failed)
      return -4; /* MR_FATAL: this file does not see plugin.h */
    if (ok) {
      rows++;
      continue;
    }
    out->len = start;
    int status = r->bad(r->ctx, i, field, why.code, why.msg);
    if (status < 0)
      return status;
  }
  *ret_next = i;
  return rows;
}

void pg_copy_header(struct sql_buf *out)
{
  sql_buf_bytes(out, "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
}

void pg_copy_trailer(struct sql_buf *out)
{
  sql_buf_bytes(out, "\377\377", 2);
}
