/* SPDX-License-Identifier: Apache-2.0 */
/* Rows -> Avro's binary encoding. Source: Avro 1.11, "Binary Encoding". */
#include "format/avro.h"
#include "format/formats.h"
#include "format/text.h"
#include "millrace/changes.h"

#define VARINT_MAX 10
#define DECIMAL_BYTES 16
#define MR_CODE_FULL "54000"

struct node {
  struct mr_view v; /* of the batch being written */
  bool nullable;
  struct node *kid;
  int64_t n_kid, column; /* column: its index in the parent */
};
struct encoder {
  struct mr_encoder base;
  struct node root;
  struct mr_column out;
  int64_t schema_id; /* < 0: none */
};

/* ---------------------------------------------------------------- bytes */

static bool put(struct encoder *e, const void *p, int64_t n)
{
  if (!mr_column_reserve_bytes(&e->out, n))
    return false;
  if (n)
    memcpy(e->out.bytes + e->out.bytes_len, p, (size_t)n);
  e->out.bytes_len += n;
  return true;
}

static bool put_long(struct encoder *e, int64_t v)
{
  uint8_t b[VARINT_MAX];
  uint64_t z = ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
  int n = 0;
  for (; z > 127; z >>= 7)
    b[n++] = (uint8_t)(z | 128);
  b[n++] = (uint8_t)z;
  return put(e, b, n);
}

static bool put_bytes(struct encoder *e, const void *p, int64_t n)
{
  return put_long(e, n) && put(e, p, n);
}

/* Two's complement, the highest byte first, no more bytes than it takes. */
static bool put_decimal(struct encoder *e, __int128 v)
{
  uint8_t b[DECIMAL_BYTES];
  int from = 0;
  for (int i = 0; i < DECIMAL_BYTES; i++)
    b[i] = (uint8_t)(v >> (8 * (DECIMAL_BYTES - 1 - i)));
  uint8_t fill = v < 0 ? 0xff : 0;
  while (from < DECIMAL_BYTES - 1 && b[from] == fill && (b[from + 1] & 0x80) == (fill & 0x80))
    from++;
  return put_bytes(e, b + from, DECIMAL_BYTES - from);
}

/* ---------------------------------------------------------------- values */

static bool put_value(struct encoder *e, const struct node *n, int64_t i);

static bool put_uuid(struct encoder *e, const struct mr_view *v, int64_t i)
{
  char text[MR_TEXT_UUID_LEN];
  mr_put_uuid(text, mr_view_fixed(v, i));
  return put_bytes(e, text, sizeof text);
}

static bool put_float(struct encoder *e, const struct mr_view *v, int64_t i)
{
  return put(e, mr_view_fixed(v, i), v->kind == MR_K_FLOAT32 ? 4 : 8); /* little-endian, as here */
}

static __int128 wide_of(const struct mr_view *v, int64_t i)
{
  __int128 d;
  int precision, scale;
  if (v->kind == MR_K_UINT64)
    return (uint64_t)mr_view_int(v, i);
  memcpy(&d, mr_view_fixed(v, i), sizeof d);
  mr_decimal_of(v->schema, &precision, &scale);
  for (; scale < 0; scale++)
    d *= 10;
  return d;
}

/* An array or a map: one block, and its end. */
static bool put_list(struct encoder *e, const struct node *n, int64_t i)
{
  int64_t from, to;
  mr_view_range(&n->v, i, &from, &to);
  if (to > from && !put_long(e, to - from))
    return false;
  for (int64_t k = from; k < to; k++)
    if (!put_value(e, &n->kid[0], k))
      return false;
  return put_long(e, 0);
}

static bool put_map(struct encoder *e, const struct node *n, int64_t i)
{
  int64_t from, to, at = n->v.array->children[0]->offset, len;
  mr_view_range(&n->v, i, &from, &to);
  if (to > from && !put_long(e, to - from))
    return false;
  for (int64_t k = at + from; k < at + to; k++) {
    const char *key = mr_view_bytes(&n->kid[0].v, k, &len);
    if (!put_bytes(e, key, len) || !put_value(e, &n->kid[1], k))
      return false;
  }
  return put_long(e, 0);
}

static bool put_kids(struct encoder *e, const struct node *n, int64_t i)
{
  for (int64_t k = 0; k < n->n_kid; k++)
    if (!put_value(e, &n->kid[k], i))
      return false;
  return true;
}

static bool put_plain(struct encoder *e, const struct node *n, int64_t i)
{
  uint8_t flag;
  int64_t len;
  const char *s;
  switch (n->v.kind) {
  case MR_K_NULL: return true;
  case MR_K_BOOL: flag = mr_view_bool(&n->v, i); return put(e, &flag, 1);
  case MR_K_FLOAT32:
  case MR_K_FLOAT64: return put_float(e, &n->v, i);
  case MR_K_UINT64:
  case MR_K_DECIMAL: return put_decimal(e, wide_of(&n->v, i));
  case MR_K_FIXED: return put_uuid(e, &n->v, i);
  case MR_K_TEXT:
  case MR_K_BINARY: s = mr_view_bytes(&n->v, i, &len); return put_bytes(e, s, len);
  case MR_K_LIST: return put_list(e, n, i);
  case MR_K_MAP: return put_map(e, n, i);
  case MR_K_STRUCT: return put_kids(e, n, n->v.offset + i);
  default: return put_long(e, mr_view_int(&n->v, i));
  }
}

/* A type that may be null is a union, null first. */
static bool put_value(struct encoder *e, const struct node *n, int64_t i)
{
  if (n->v.kind == MR_K_NULL)
    return true;
  if (!n->nullable)
    return put_plain(e, n, i);
  bool null = mr_view_null(&n->v, i);
  return put_long(e, !null) && (null || put_plain(e, n, i));
}

/* ---------------------------------------------------------------- rows */

static bool put_row(struct encoder *e, int64_t row)
{
  uint8_t id[5] = {0, (uint8_t)(e->schema_id >> 24), (uint8_t)(e->schema_id >> 16),
                   (uint8_t)(e->schema_id >> 8), (uint8_t)e->schema_id};
  if ((e->schema_id >= 0 && !put(e, id, sizeof id)) || !put_kids(e, &e->root, row) ||
      !mr_column_reserve(&e->out, 1))
    return false;
  ((int32_t *)(void *)e->out.data)[++e->out.length] = (int32_t)e->out.bytes_len;
  return true;
}

static void node_view(struct node *n, const struct ArrowSchema *s, const struct ArrowArray *a)
{
  mr_view_init(&n->v, s, a);
  if (n->v.kind == MR_K_MAP) {
    s = s->children[0];
    a = a->children[0];
  }
  for (int64_t i = 0; i < n->n_kid; i++)
    node_view(&n->kid[i], s->children[n->kid[i].column], a->children[n->kid[i].column]);
}

/* A null where the schema has none would shift what follows. */
static int64_t first_null(const struct node *n, int64_t rows)
{
  for (int64_t i = 0; i < n->n_kid; i++)
    for (int64_t row = 0; !n->kid[i].nullable && n->kid[i].v.kind != MR_K_NULL && row < rows; row++)
      if (mr_view_null(&n->kid[i].v, row))
        return row;
  return -1;
}

static int avro_encode(struct mr_encoder *base, const struct mr_batch *b, struct ArrowArray *give,
                       struct mr_error *err)
{
  struct encoder *e = (struct encoder *)base;
  node_view(&e->root, b->schema, &b->rows);
  int64_t null = first_null(&e->root, b->rows.length);
  if (null >= 0) {
    err->row = null;
    return mr_fail_code(err, MR_REJECT, "23502", "null in a column that takes none");
  }
  for (int64_t i = 0; i < b->rows.length; i++)
    if (!put_row(e, i)) {
      mr_column_truncate(&e->out, 0);
      e->out.bytes_len = 0;
      return mr_fail_code(err, MR_REJECT, MR_CODE_FULL,
                          "no memory, or more than 2 GiB of output for one batch");
    }
  return mr_column_finish(&e->out, give) ? MR_OK : mr_fail(err, MR_FATAL, "no memory");
}

/* ---------------------------------------------------------------- plan */

static void node_done(struct node *n)
{
  for (int64_t i = 0; i < n->n_kid; i++)
    node_done(&n->kid[i]);
  free(n->kid);
}

static bool node_init(struct node *n, const struct ArrowSchema *s, bool top)
{
  n->v.kind = mr_kind_of(s);
  n->nullable = s->flags & ARROW_FLAG_NULLABLE;
  if (n->v.kind == MR_K_MAP)
    s = s->children[0];
  if (!s->n_children)
    return true;
  if (!(n->kid = calloc((size_t)s->n_children, sizeof *n->kid)))
    return false;
  for (int64_t i = 0; i < s->n_children; i++) {
    if (top && mr_schema_is_system(s->children[i]))
      continue;
    struct node *kid = &n->kid[n->n_kid++];
    kid->column = i;
    if (!node_init(kid, s->children[i], false))
      return false;
  }
  return true;
}

static void avro_free(struct mr_encoder *base)
{
  struct encoder *e = (struct encoder *)base;
  if (!e)
    return;
  node_done(&e->root);
  mr_column_done(&e->out);
  free(e);
}

static int check_columns(const struct ArrowSchema *in, struct mr_error *err)
{
  if (mr_schema_find(in, MR_SET) >= 0)
    return mr_fail(err, MR_BADCONF,
                   "avro cannot tell a column that a row does not write (`_set`) from null: json "
                   "can, or drop `_set` before: select: {drop: _set}");
  for (int64_t i = 0; i < in->n_children; i++) {
    const char *why =
        mr_schema_is_system(in->children[i]) ? NULL : mr_avro_refusal(in->children[i]);
    if (why)
      return mr_fail(err, MR_BADCONF, "column %.200s: %s", in->children[i]->name, why);
  }
  return MR_OK;
}

static int avro_open(const void *conf, const struct ArrowSchema *in, struct mr_encoder **ret,
                     struct mr_error *err)
{
  const struct mr_avro_conf *c = conf;
  int st = c ? mr_avro_check(c, err) : MR_OK;
  if (st >= 0)
    st = check_columns(in, err);
  if (st < 0)
    return st;
  struct encoder *e = calloc(1, sizeof *e);
  if (!e)
    return mr_fail(err, MR_FATAL, "no memory");
  e->base.vt = &mr_avro_encoder;
  e->schema_id = c && c->schema_id >= 0 ? c->schema_id : -1;
  e->out.kind = MR_K_BINARY;
  e->out.width = mr_kind_width(MR_K_BINARY);
  if (!node_init(&e->root, in, true)) {
    avro_free(&e->base);
    return mr_fail(err, MR_FATAL, "no memory");
  }
  *ret = &e->base;
  return MR_OK;
}

const struct mr_encoder_vt mr_avro_encoder = {avro_open, avro_encode, avro_free};
