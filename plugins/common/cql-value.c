/* SPDX-License-Identifier: Apache-2.0 */
#include "common/cql-value.h"
#include <arpa/inet.h>
#include <inttypes.h>
#include "common/qry-value.h"

#define VARINT_MAX 1024 /* bytes of a varint that can become text */
#define DAY_NS INT64_C(86400000000000)

static int done(bool ok)
{
  return ok ? MR_OK : MR_FATAL;
}

/* ---- numbers */

/* The last 8 bytes as a number: of a value of up to 8 bytes all of it, sign-extended. */
static int64_t integer(const uint8_t *p, int64_t n)
{
  uint64_t v = n && *p & 0x80 ? UINT64_MAX : 0;
  for (int64_t i = 0; i < n; i++)
    v = v << 8 | p[i];
  return (int64_t)v;
}

static int push_integer(struct mr_column *c, const struct ArrowSchema *s, const uint8_t *p,
                        int64_t n, const char **ret_why)
{
  int64_t v = integer(p, n);
  if (mr_kind_is_signed(c->kind) && c->width >= n)
    return done(mr_column_int(c, v));
  return qry_value_int(c, s, v, ret_why);
}

/* Appends a two's complement number of n bytes in decimal digits. */
static void digits(const uint8_t *p, int64_t n, struct sql_buf *out)
{
  uint32_t part[VARINT_MAX / 4 + 1], group[VARINT_MAX * 5 / 18 + 2];
  bool minus = *p & 0x80;
  int64_t n_part = (n + 3) / 4, n_group = 0;
  memset(part, minus ? 0xff : 0, sizeof part);
  for (int64_t i = 0; i < n; i++) { /* part[0] is the most significant */
    int64_t at = n_part * 4 - n + i;
    uint32_t shift = (uint32_t)(24 - 8 * (at % 4));
    part[at / 4] = (part[at / 4] & ~(UINT32_C(0xff) << shift)) | (uint32_t)p[i] << shift;
  }
  uint64_t carry = 1;
  for (int64_t i = n_part - 1; minus && i >= 0; i--, carry >>= 32)
    part[i] = (uint32_t)(carry += (uint32_t)~part[i]);
  int64_t first = 0;
  do {
    uint64_t rest = 0;
    for (int64_t i = first; i < n_part; i++) {
      rest = rest << 32 | part[i];
      part[i] = (uint32_t)(rest / 1000000000);
      rest %= 1000000000;
    }
    group[n_group++] = (uint32_t)rest;
    while (first < n_part && !part[first])
      first++;
  } while (first < n_part);
  while (n_group > 1 && !group[n_group - 1])
    n_group--;
  sql_buf_fmt(out, "%s%" PRIu32, minus ? "-" : "", group[n_group - 1]);
  for (int64_t i = n_group - 2; i >= 0; i--)
    sql_buf_fmt(out, "%09" PRIu32, group[i]);
}

/* digits and an exponent of ten, as a number with a point where that is short. */
static void place_point(struct sql_buf *b, int32_t scale)
{
  const char *text = sql_buf_text(b);
  int64_t minus = *text == '-', n = (int64_t)b->len - minus, zeros = scale - n + 1;
  if (scale <= 0 || zeros > 40) {
    if (scale)
      sql_buf_fmt(b, "E%" PRId64, -(int64_t)scale);
    return;
  }
  zeros = zeros < 0 ? 0 : zeros;
  if (!sql_buf_reserve(b, (size_t)zeros + 1))
    return;
  uint8_t *first = b->p + minus;
  memmove(first + zeros, first, (size_t)n);
  memset(first, '0', (size_t)zeros);
  n += zeros;
  memmove(first + n - scale + 1, first + n - scale, (size_t)scale);
  first[n - scale] = '.';
  b->len = (size_t)(minus + n + 1);
}

/* A varint times 10^-scale by way of its text. */
static int push_number_text(struct mr_column *c, const struct ArrowSchema *s, const uint8_t *p,
                            int64_t n, int32_t scale, const char **ret_why)
{
  struct sql_buf b = {0};
  *ret_why = "a number of too many digits";
  if (n > VARINT_MAX)
    return MR_REJECT;
  digits(p, n, &b);
  place_point(&b, scale);
  const char *text = sql_buf_text(&b);
  int rc = b.failed ? MR_FATAL : qry_value(c, s, text, (int64_t)b.len, ret_why);
  sql_buf_done(&b);
  return rc;
}

static int push_varint(struct mr_column *c, const struct ArrowSchema *s, const uint8_t *p,
                       int64_t n, int32_t scale, const char **ret_why)
{
  if (n <= 8 && c->kind == MR_K_DECIMAL) {
    __int128 v = integer(p, n);
    int precision, want;
    mr_decimal_of(s, &precision, &want);
    if (want == scale && precision >= 19)
      return done(mr_column_fixed(c, &v));
  }
  if (n <= 8 && !scale && mr_kind_is_int(c->kind))
    return push_integer(c, s, p, n, ret_why);
  return push_number_text(c, s, p, n, scale, ret_why);
}

static int push_decimal(struct mr_column *c, const struct ArrowSchema *s, const uint8_t *p,
                        int64_t n, const char **ret_why)
{
  *ret_why = "malformed decimal";
  if (n < 5)
    return MR_REJECT;
  return push_varint(c, s, p + 4, n - 4, (int32_t)cql_be32(p), ret_why);
}

static int push_float(struct mr_column *c, const uint8_t *p, int64_t n)
{
  float f;
  double d;
  uint32_t u32 = n == 4 ? cql_be32(p) : 0;
  uint64_t u64 = n == 8 ? cql_be64(p) : 0;
  memcpy(&f, &u32, sizeof f);
  memcpy(&d, &u64, sizeof d);
  if (n == 8)
    return done(mr_column_fixed(c, &d));
  return done(c->width == 4 ? mr_column_fixed(c, &f) : mr_column_f64(c, (double)f));
}

/* ---- dates and times */

static int push_time(struct mr_column *c, int64_t ns, const char **ret_why)
{
  *ret_why = "not a time of day";
  if (ns < 0 || ns >= DAY_NS)
    return MR_REJECT;
  if (c->kind == MR_K_INT64)
    return done(mr_column_int(c, ns));
  *ret_why = "a time that is no whole number of microseconds (declare the column as int64)";
  return ns % 1000 ? MR_REJECT : done(mr_column_int(c, ns / 1000));
}

static int push_timestamp(struct mr_column *c, int64_t ms, const char **ret_why)
{
  int64_t us = ms;
  *ret_why = "a timestamp out of the range of microseconds since 1970";
  if (c->kind == MR_K_TIMESTAMP && __builtin_mul_overflow(ms, INT64_C(1000), &us))
    return MR_REJECT;
  return done(mr_column_int(c, us));
}

static uint64_t magnitude(int64_t v)
{
  return v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
}

/* ISO 8601, months and days of their own; all parts have one sign. */
static int duration_text(struct mr_column *c, int64_t months, int64_t days, int64_t ns)
{
  char text[96];
  uint64_t n = magnitude(ns), billion = 1000000000;
  int len = snprintf(text, sizeof text, "%sP%" PRIu64 "M%" PRIu64 "DT%" PRIu64 ".%09" PRIu64 "S",
                     months < 0 || days < 0 || ns < 0 ? "-" : "", magnitude(months),
                     magnitude(days), n / billion, n % billion);
  return done(mr_column_bytes(c, text, len));
}

static int push_duration(struct mr_column *c, const uint8_t *p, int64_t n, const char **ret_why)
{
  struct cql_read r = cql_read_of(p, (size_t)n);
  int64_t months = cql_read_svint(&r), days = cql_read_svint(&r), ns = cql_read_svint(&r);
  *ret_why = "malformed duration";
  if (r.failed || r.p != r.end || months != (int32_t)months || days != (int32_t)days)
    return MR_REJECT;
  if (c->kind == MR_K_TEXT)
    return duration_text(c, months, days, ns);
  return done(mr_column_int(&c->child[0], months) && mr_column_int(&c->child[1], days) &&
              mr_column_int(&c->child[2], ns) && mr_column_end(c));
}

/* ---- bytes */

static int push_text(struct mr_column *c, const uint8_t *p, int64_t n, const char **ret_why)
{
  *ret_why = "not valid UTF-8";
  if (c->kind == MR_K_TEXT && !qry_utf8((const char *)p, n))
    return MR_REJECT;
  return done(mr_column_bytes(c, p, n));
}

static int push_uuid(struct mr_column *c, const uint8_t *p)
{
  static const char hex[] = "0123456789abcdef";
  char text[36], *to = text;
  if (c->kind == MR_K_FIXED)
    return done(mr_column_fixed(c, p));
  for (int i = 0; i < 16; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10)
      *to++ = '-';
    *to++ = hex[p[i] >> 4];
    *to++ = hex[p[i] & 15];
  }
  return done(mr_column_bytes(c, text, sizeof text));
}

static int push_inet(struct mr_column *c, const uint8_t *p, int64_t n, const char **ret_why)
{
  char text[INET6_ADDRSTRLEN];
  *ret_why = "malformed address";
  if ((n != 4 && n != 16) || !inet_ntop(n == 4 ? AF_INET : AF_INET6, p, text, sizeof text))
    return MR_REJECT;
  return done(mr_column_text(c, text));
}

/* ---- what has elements. On failure a child may be longer than its parent says: cut back. */

static int fail_list(struct mr_column *c, int64_t before, int rc)
{
  mr_column_truncate(&c->child[0], before);
  return rc;
}

static int push_elements(struct mr_column *c, const struct cql_type *t, const struct ArrowSchema *s,
                         struct cql_read *r, const char **ret_why)
{
  int64_t n = cql_read_i32(r), len, before = c->child[0].length;
  int rc = MR_OK;
  for (int64_t i = 0; rc >= 0 && i < n && !r->failed; i++) {
    const uint8_t *p = cql_read_value(r, &len);
    if (!r->failed)
      rc = cql_value(&c->child[0], &t->child[0], s->children[0], p, len, ret_why);
  }
  if (rc >= 0 && (r->failed || r->p != r->end)) {
    *ret_why = "malformed list";
    rc = MR_REJECT;
  }
  if (rc >= 0)
    rc = done(mr_column_end(c));
  return rc < 0 ? fail_list(c, before, rc) : rc;
}

static int push_vector(struct mr_column *c, const struct cql_type *t, const struct ArrowSchema *s,
                       struct cql_read *r, const char **ret_why)
{
  int64_t fixed = cql_type_fixed(&t->child[0]), before = c->child[0].length;
  int rc = MR_OK;
  for (int32_t i = 0; rc >= 0 && i < t->dims && !r->failed; i++) {
    uint64_t len = fixed ? (uint64_t)fixed : cql_read_vint(r);
    const uint8_t *p = cql_read_bytes(r, len);
    if (p)
      rc = cql_value(&c->child[0], &t->child[0], s->children[0], p, (int64_t)len, ret_why);
  }
  if (rc >= 0 && (r->failed || r->p != r->end)) {
    *ret_why = "malformed vector";
    rc = MR_REJECT;
  }
  if (rc >= 0)
    rc = done(mr_column_end(c));
  return rc < 0 ? fail_list(c, before, rc) : rc;
}

/* One entry; half of one is undone. */
static int push_entry(struct mr_column *entry, const struct cql_type *t,
                      const struct ArrowSchema *s, struct cql_read *r, const char **ret_why)
{
  int64_t key_len, value_len, before = entry->length;
  const uint8_t *key = cql_read_value(r, &key_len), *value = cql_read_value(r, &value_len);
  *ret_why = "malformed map";
  if (r->failed || !key)
    return MR_REJECT;
  int rc = cql_value(&entry->child[0], &t->child[0], s->children[0], key, key_len, ret_why);
  if (rc >= 0)
    rc = cql_value(&entry->child[1], &t->child[1], s->children[1], value, value_len, ret_why);
  if (rc >= 0)
    rc = done(mr_column_end(entry));
  if (rc < 0)
    for (int i = 0; i < 2; i++)
      mr_column_truncate(&entry->child[i], before);
  return rc;
}

static int push_map(struct mr_column *c, const struct cql_type *t, const struct ArrowSchema *s,
                    struct cql_read *r, const char **ret_why)
{
  int64_t n = cql_read_i32(r), before = c->child[0].length;
  int rc = MR_OK;
  for (int64_t i = 0; rc >= 0 && i < n && !r->failed; i++)
    rc = push_entry(&c->child[0], t, s->children[0], r, ret_why);
  if (rc >= 0 && (r->failed || r->p != r->end)) {
    *ret_why = "malformed map";
    rc = MR_REJECT;
  }
  if (rc >= 0)
    rc = done(mr_column_end(c));
  return rc < 0 ? fail_list(c, before, rc) : rc;
}

/* Where the struct has the type's field i; -1: it leaves it out. */
static int64_t struct_child(const struct cql_type *t, const struct ArrowSchema *s, size_t i)
{
  int64_t at = (int64_t)i;
  if (at < s->n_children && t->field && !strcmp(t->field[i], s->children[i]->name))
    return at; /* as a rule */
  for (int64_t k = 0; k < s->n_children; k++)
    if (cql_type_field(t, s->children[k]->name) == at)
      return k;
  return -1;
}

/* Fields may end early (a type that was extended since): the rest is null. */
static int push_fields(struct mr_column *c, const struct cql_type *t, const struct ArrowSchema *s,
                       struct cql_read *r, const char **ret_why)
{
  int rc = MR_OK;
  for (size_t i = 0; rc >= 0 && i < t->n_child; i++) {
    int64_t len = -1, k = struct_child(t, s, i);
    const uint8_t *p = cql_read_left(r) ? cql_read_value(r, &len) : NULL;
    *ret_why = "malformed tuple or user type";
    if (r->failed)
      rc = MR_REJECT;
    else if (k >= 0)
      rc = cql_value(&c->child[k], &t->child[i], s->children[k], p, len, ret_why);
  }
  if (rc >= 0)
    rc = done(mr_column_end(c));
  for (int64_t k = 0; rc < 0 && k < c->n_child; k++)
    mr_column_truncate(&c->child[k], c->length);
  return rc;
}

/* ---- */

static int nested(struct mr_column *c, const struct cql_type *t, const struct ArrowSchema *s,
                  const uint8_t *p, int64_t n, const char **ret_why)
{
  struct cql_read r = cql_read_of(p, (size_t)n);
  switch (t->kind) {
  case CQL_VECTOR: return push_vector(c, t, s, &r, ret_why);
  case CQL_MAP: return push_map(c, t, s, &r, ret_why);
  case CQL_TUPLE:
  case CQL_UDT: return push_fields(c, t, s, &r, ret_why);
  default: return push_elements(c, t, s, &r, ret_why);
  }
}

/* Bytes that each value of the kind has; 0: it varies. */
static int64_t size_of(enum cql_kind k)
{
  switch (k) {
  case CQL_BOOLEAN:
  case CQL_TINYINT: return 1;
  case CQL_SMALLINT: return 2;
  case CQL_INT:
  case CQL_FLOAT:
  case CQL_DATE: return 4;
  case CQL_BIGINT:
  case CQL_COUNTER:
  case CQL_DOUBLE:
  case CQL_TIME:
  case CQL_TIMESTAMP: return 8;
  case CQL_UUID:
  case CQL_TIMEUUID: return 16;
  default: return 0;
  }
}

static bool has_empty(enum cql_kind k)
{
  return k == CQL_TEXT || k == CQL_ASCII || k == CQL_BLOB;
}

int cql_value(struct mr_column *c, const struct cql_type *t, const struct ArrowSchema *s,
              const uint8_t *p, int64_t n, const char **ret_why)
{
  int64_t size = size_of(t->kind);
  if (n < 0 || (!n && !has_empty(t->kind)))
    return done(mr_column_null(c));
  *ret_why = "a value whose length is not that of its type";
  if (size && n != size)
    return MR_REJECT;
  switch (t->kind) {
  case CQL_TINYINT:
  case CQL_SMALLINT:
  case CQL_INT:
  case CQL_BIGINT:
  case CQL_COUNTER: return push_integer(c, s, p, n, ret_why);
  case CQL_VARINT: return push_varint(c, s, p, n, 0, ret_why);
  case CQL_DECIMAL: return push_decimal(c, s, p, n, ret_why);
  case CQL_FLOAT:
  case CQL_DOUBLE: return push_float(c, p, n);
  case CQL_BOOLEAN: return done(mr_column_bool(c, *p != 0));
  case CQL_DATE: return done(mr_column_int(c, (int64_t)cql_be32(p) - (INT64_C(1) << 31)));
  case CQL_TIME: return push_time(c, (int64_t)cql_be64(p), ret_why);
  case CQL_TIMESTAMP: return push_timestamp(c, (int64_t)cql_be64(p), ret_why);
  case CQL_DURATION: return push_duration(c, p, n, ret_why);
  case CQL_UUID:
  case CQL_TIMEUUID: return push_uuid(c, p);
  case CQL_INET: return push_inet(c, p, n, ret_why);
  case CQL_ASCII:
  case CQL_TEXT:
  case CQL_BLOB: return push_text(c, p, n, ret_why);
  case CQL_NONE:
  case CQL_EMPTY: return MR_REJECT;
  default: return nested(c, t, s, p, n, ret_why);
  }
}

bool cql_counter(const uint8_t *p, int64_t n, int64_t *ret)
{
  struct cql_read r = cql_read_of(p, n < 0 ? 0 : (size_t)n);
  int16_t entries = (int16_t)cql_read_u16(&r);
  uint64_t sum = 0;
  cql_read_bytes(&r, 2 * (uint64_t)(entries < 0 ? -entries : entries));
  if (r.failed || cql_read_left(&r) % 32)
    return false;
  while (cql_read_left(&r)) {
    cql_read_bytes(&r, 24);
    sum += (uint64_t)cql_read_i64(&r);
  }
  *ret = (int64_t)sum;
  return true;
}
