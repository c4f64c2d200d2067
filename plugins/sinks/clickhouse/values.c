/* SPDX-License-Identifier: Apache-2.0 */
/* Values of one column, a loop for each pair of types. */
#include <arpa/inet.h>
#include "common/sql-text.h"
#include "encode.h"

#define CHUNK 1024 /* values that are widened at a time */
#define ADDRESS_MAX 64

/* The row that element i belongs to. */
static int64_t row_of(const struct ch_scope *scope, int64_t i)
{
  for (; scope; scope = scope->up) {
    int64_t row = scope->from, from, to;
    for (; row < scope->to; row++) {
      if (mr_view_null(scope->list, row))
        continue;
      mr_view_range(scope->list, row, &from, &to);
      if (i >= from && i < to)
        break;
    }
    i = row;
  }
  return i;
}

void ch_bad(struct ch_batch *b, const struct ch_scope *scope, int64_t i, const char *code,
            const char *fmt, ...)
{
  char msg[256];
  va_list ap;
  int64_t row = row_of(scope, i);
  if (mr_bit_get(b->dead, row))
    return;
  mr_bit_set(b->dead, row, true);
  b->n_dead++;
  va_start(ap, fmt);
  vsnprintf(msg, sizeof msg, fmt, ap);
  va_end(ap);
  b->bad(b->out, row, code, msg, b->column);
}

void ch_varint(struct sql_buf *out, uint64_t v)
{
  for (; v >= 128; v >>= 7)
    sql_buf_byte(out, (char)(v | 128));
  sql_buf_byte(out, (char)v);
}

/* Bytes of one value; 0: a String, whose empty value is one byte. */
static size_t width_of(const struct ch_type *t)
{
  return t->kind == CH_STRING || t->kind == CH_JSON ? 0 : (size_t)t->width;
}

void ch_put_zeros(struct ch_node *n, int64_t count)
{
  size_t width = width_of(n->type), bytes = (size_t)count * (width ? width : 1);
  if (!sql_buf_reserve(&n->data, bytes))
    return;
  memset(n->data.p + n->data.len, 0, bytes);
  for (int64_t i = 0; i < count && n->zero; i++)
    memcpy(n->data.p + n->data.len + (size_t)i * width, &n->zero, width);
  n->data.len += bytes;
}

/* ---------------------------------------------------------------- whole numbers, dates, times */

#define WIDEN(T)                                                      \
  do {                                                                \
    const T *p = (const T *)(const void *)v->data + v->offset + from; \
    for (int64_t k = 0; k < count; k++)                               \
      out[k] = (int64_t)p[k];                                         \
  } while (0)

static void widen(const struct mr_view *v, int64_t from, int64_t count, int64_t *out)
{
  switch (v->kind) {
  case MR_K_BOOL:
    for (int64_t k = 0; k < count; k++)
      out[k] = mr_view_bool(v, from + k);
    break;
  case MR_K_INT8: WIDEN(int8_t); break;
  case MR_K_INT16: WIDEN(int16_t); break;
  case MR_K_INT32:
  case MR_K_DATE: WIDEN(int32_t); break;
  case MR_K_UINT8: WIDEN(uint8_t); break;
  case MR_K_UINT16: WIDEN(uint16_t); break;
  case MR_K_UINT32: WIDEN(uint32_t); break;
  default: WIDEN(int64_t);
  }
  for (int64_t k = 0; k < count && v->valid; k++)
    if (!mr_bit_get(v->valid, v->offset + from + k))
      out[k] = 0;
}
#undef WIDEN

#define NARROW(T)                                  \
  do {                                             \
    T *p = (T *)(void *)(n->data.p + n->data.len); \
    for (int64_t k = 0; k < count; k++)            \
      p[k] = (T)in[k];                             \
    n->data.len += (size_t)count * sizeof(T);      \
  } while (0)

/* top: the 64 bits are unsigned. */
static void narrow(struct ch_node *n, const int64_t *in, int64_t count, bool top)
{
  if (!sql_buf_reserve(&n->data, (size_t)(count * n->type->width)))
    return;
  switch (n->type->width) {
  case 1: NARROW(int8_t); return;
  case 2: NARROW(int16_t); return;
  case 4: NARROW(int32_t); return;
  case 8: NARROW(int64_t); return;
  default: break;
  }
  for (int64_t k = 0; k < count; k++) {
    uint8_t *p = n->data.p + n->data.len;
    memset(p, !top && in[k] < 0 ? 0xff : 0, (size_t)n->type->width);
    memcpy(p, &in[k], 8);
    n->data.len += (size_t)n->type->width;
  }
}
#undef NARROW

static void out_of_range(struct ch_batch *b, const struct ch_node *n, const struct mr_view *v,
                         int64_t i, const struct ch_scope *scope)
{
  bool time = v->kind == MR_K_DATE || v->kind == MR_K_TIME || v->kind == MR_K_TIMESTAMP;
  struct sql_buf name = {0};
  ch_type_pipeline(n->type, &name);
  ch_bad(b, scope, i, time ? "22008" : "22003", "out of the range of the column (%s, %d bytes)",
         sql_buf_text(&name), n->type->width);
  sql_buf_done(&name);
}

static void scale(struct ch_batch *b, struct ch_node *n, const struct mr_view *v, int64_t from,
                  int64_t count, int64_t *x, const struct ch_scope *scope)
{
  const int64_t lo = n->lo, hi = n->hi, mul = n->mul, div = n->div;
  bool all = true;
  for (int64_t k = 0; k < count; k++)
    all &= (x[k] >= lo) & (x[k] <= hi);
  for (int64_t k = 0; k < count && !all; k++)
    if ((x[k] < lo || x[k] > hi) && !mr_view_null(v, from + k)) {
      out_of_range(b, n, v, from + k, scope);
      x[k] = 0;
    }
  for (int64_t k = 0; k < count && mul != 1; k++)
    x[k] *= mul;
  for (int64_t k = 0; k < count && div != 1; k++) {
    if (x[k] % div)
      ch_bad(b, scope, from + k, "22008",
             "parts of a second that the column does not keep: cut them off in the pipeline "
             "(DATE_TRUNC), or make the column a DateTime64(6)");
    x[k] /= div;
  }
}

static void put_scaled(struct ch_batch *b, struct ch_node *n, const struct mr_view *v, int64_t from,
                       int64_t to, const struct ch_scope *scope)
{
  int64_t chunk[CHUNK];
  for (int64_t count; from < to; from += count) {
    count = to - from < CHUNK ? to - from : CHUNK;
    widen(v, from, count, chunk);
    scale(b, n, v, from, count, chunk, scope);
    narrow(n, chunk, count, v->kind == MR_K_UINT64);
  }
}

/* Values that go out as they came. */
static bool same_bytes(const struct ch_node *n, const struct mr_view *v)
{
  return !v->valid && n->lo == INT64_MIN && n->hi == INT64_MAX && n->mul == 1 && n->div == 1 &&
         v->width == n->type->width;
}

static void put_float(struct ch_node *n, const struct mr_view *v, int64_t from, int64_t to)
{
  size_t width = (size_t)n->type->width;
  if (!sql_buf_reserve(&n->data, (size_t)(to - from) * width))
    return;
  for (int64_t i = from; i < to; i++) {
    double d = 0;
    if (mr_view_null(v, i))
      ;
    else if (v->kind == MR_K_UINT64)
      d = (double)*(const uint64_t *)mr_view_fixed(v, i);
    else
      d = mr_kind_is_int(v->kind) ? (double)mr_view_int(v, i) : mr_view_f64(v, i);
    float f = (float)d;
    memcpy(n->data.p + n->data.len, width == 4 ? (const void *)&f : &d, width);
    n->data.len += width;
  }
}

/* ---------------------------------------------------------------- decimals */

static int put_decimal(struct ch_node *n, const struct mr_view *v, int64_t i, int from_scale)
{
  uint8_t value[16];
  if (v->kind == MR_K_DECIMAL) {
    memcpy(value, mr_view_fixed(v, i), 16);
  } else {
    int64_t x = mr_view_int(v, i);
    memcpy(value, &x, 8);
    memset(value + 8, x < 0 && v->kind != MR_K_UINT64 ? 0xff : 0, 8);
  }
  const struct ch_type *t = n->type;
  int precision = t->kind == CH_UINT ? -1 : t->precision;
  return ch_put_wide(&n->data, value, t->scale - from_scale, precision, t->width);
}

static void put_decimals(struct ch_batch *b, struct ch_node *n, const struct mr_view *v,
                         int64_t from, int64_t to, const struct ch_scope *scope)
{
  int precision, from_scale;
  mr_decimal_of(v->schema, &precision, &from_scale);
  for (int64_t i = from; i < to; i++) {
    int status = mr_view_null(v, i) ? 3 : put_decimal(n, v, i, from_scale);
    if (status == 1)
      ch_bad(b, scope, i, "22003", "the decimal has more digits behind the point than the column");
    if (status == 2)
      out_of_range(b, n, v, i, scope);
    if (status)
      ch_put_zeros(n, 1);
  }
}

/* ---------------------------------------------------------------- text */

static void put_bytes(struct ch_node *n, const struct mr_view *v, int64_t from, int64_t to)
{
  for (int64_t i = from; i < to; i++) {
    int64_t len = 0;
    const char *p = mr_view_null(v, i) ? "" : mr_view_bytes(v, i, &len);
    if (!sql_buf_reserve(&n->data, (size_t)len + 10))
      return;
    if (len < 128)
      n->data.p[n->data.len++] = (uint8_t)len;
    else
      ch_varint(&n->data, (uint64_t)len);
    if (len)
      memcpy(n->data.p + n->data.len, p, (size_t)len);
    n->data.len += (size_t)len;
  }
}

static void put_text(struct ch_node *n, const struct mr_view *v, int64_t from, int64_t to)
{
  struct sql_buf text = {0};
  for (int64_t i = from; i < to; i++) {
    sql_buf_clear(&text);
    if (!mr_view_null(v, i))
      sql_text_value(&text, v, i);
    n->data.failed |= text.failed;
    ch_varint(&n->data, text.len);
    sql_buf_bytes(&n->data, text.p, text.len);
  }
  sql_buf_done(&text);
}

/* A value of one of the short types that are written as text; gives false with the reason. */
static bool parse_text(const struct ch_node *n, const char *p, int64_t len, uint8_t *ret,
                       const char **ret_why)
{
  char text[ADDRESS_MAX] = "";
  if (len < ADDRESS_MAX)
    memcpy(text, p, (size_t)len);
  *ret_why = "not a UUID";
  if (n->op == CH_OP_UUID_TEXT)
    return sql_uuid_parse(p, len, ret);
  *ret_why = "not an IP address of the column's kind";
  if (n->op == CH_OP_IPV6 && inet_pton(AF_INET6, text, ret) == 1)
    return true;
  uint8_t v4[4];
  if (inet_pton(AF_INET, text, v4) != 1)
    return false;
  memset(ret, 0, 10);
  memset(ret + 10, 0xff, 2);
  memcpy(ret + 12, v4, 4);
  for (int i = 0; i < 4 && n->op == CH_OP_IPV4; i++)
    ret[i] = v4[3 - i];
  return true;
}

/* Both halves of a UUID are little-endian words. */
static void swap_uuid(uint8_t *p)
{
  for (int half = 0; half < 16; half += 8)
    for (int i = 0; i < 4; i++) {
      uint8_t c = p[half + i];
      p[half + i] = p[half + 7 - i];
      p[half + 7 - i] = c;
    }
}

static void put_parsed(struct ch_batch *b, struct ch_node *n, const struct mr_view *v, int64_t from,
                       int64_t to, const struct ch_scope *scope)
{
  for (int64_t i = from; i < to; i++) {
    uint8_t value[16] = {0};
    const char *why = NULL;
    int64_t len = 0;
    bool null = mr_view_null(v, i), uuid = n->op == CH_OP_UUID;
    const char *p = null ? NULL : uuid ? mr_view_fixed(v, i) : mr_view_bytes(v, i, &len);
    if (uuid && !null)
      memcpy(value, p, 16);
    if (!null && !uuid && !parse_text(n, p, len, value, &why))
      ch_bad(b, scope, i, "22P02", "%s", why);
    if (n->type->kind == CH_UUID)
      swap_uuid(value);
    sql_buf_bytes(&n->data, value, (size_t)n->type->width);
  }
}

static void put_fixed(struct ch_batch *b, struct ch_node *n, const struct mr_view *v, int64_t from,
                      int64_t to, const struct ch_scope *scope)
{
  for (int64_t i = from; i < to; i++) {
    int64_t len = v->width;
    const char *p = "";
    if (mr_view_null(v, i))
      len = 0;
    else
      p = v->width > 0 ? mr_view_fixed(v, i) : mr_view_bytes(v, i, &len);
    if (len > n->type->width) {
      ch_bad(b, scope, i, "22001", "longer than FixedString(%d)", n->type->width);
      len = 0;
    }
    sql_buf_bytes(&n->data, p, (size_t)len);
    for (; len < n->type->width; len++)
      sql_buf_byte(&n->data, 0);
  }
}

static const struct ch_label *label_of(const struct ch_node *n, const struct mr_view *v, int64_t i)
{
  int64_t len = 0, number = 0;
  bool text = n->op == CH_OP_ENUM_TEXT;
  const char *p = text ? mr_view_bytes(v, i, &len) : NULL;
  if (!text)
    number = mr_view_int(v, i);
  for (int k = 0; k < n->type->n_label; k++) {
    const struct ch_label *l = &n->type->label[k];
    bool same = text ? (int64_t)strlen(l->name) == len && !memcmp(l->name, p, (size_t)len)
                     : l->number == number;
    if (same)
      return l;
  }
  return NULL;
}

static void put_enum(struct ch_batch *b, struct ch_node *n, const struct mr_view *v, int64_t from,
                     int64_t to, const struct ch_scope *scope)
{
  for (int64_t i = from; i < to; i++) {
    const struct ch_label *l = mr_view_null(v, i) ? NULL : label_of(n, v, i);
    if (!l && !mr_view_null(v, i))
      ch_bad(b, scope, i, "22P02", "not one of the Enum's values");
    int64_t number = l ? l->number : n->zero;
    sql_buf_bytes(&n->data, &number, (size_t)n->type->width);
  }
}

void ch_put_values(struct ch_batch *b, struct ch_node *n, const struct mr_view *v, int64_t from,
                   int64_t to, const struct ch_scope *scope)
{
  switch (n->op) {
  case CH_OP_SCALED:
    if (same_bytes(n, v))
      sql_buf_bytes(&n->data, v->data + (v->offset + from) * v->width,
                    (size_t)((to - from) * v->width));
    else
      put_scaled(b, n, v, from, to, scope);
    break;
  case CH_OP_FLOAT: put_float(n, v, from, to); break;
  case CH_OP_DECIMAL: put_decimals(b, n, v, from, to, scope); break;
  case CH_OP_BYTES: put_bytes(n, v, from, to); break;
  case CH_OP_TEXT: put_text(n, v, from, to); break;
  case CH_OP_FIXED: put_fixed(b, n, v, from, to, scope); break;
  case CH_OP_ENUM_TEXT:
  case CH_OP_ENUM_INT: put_enum(b, n, v, from, to, scope); break;
  default: put_parsed(b, n, v, from, to, scope);
  }
}
