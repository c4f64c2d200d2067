/* SPDX-License-Identifier: Apache-2.0 */
/* Which encoder a source column takes for a target type. */
#include "common/pg-encode.h"

static bool is_text_type(const struct pg_type *to)
{
  switch (to->oid) {
  case PG_TEXT:
  case PG_VARCHAR:
  case PG_BPCHAR:
  case PG_NAME:
  case PG_XML: return true;
  default: return to->text_like;
  }
}

static enum pg_op plan_int(enum mr_kind k, uint32_t oid)
{
  switch (oid) {
  case PG_INT2: return k == MR_K_INT16 ? PG_OP_SAME2 : PG_OP_INT;
  case PG_INT4: return k == MR_K_INT32 ? PG_OP_SAME4 : PG_OP_INT;
  case PG_INT8: return k == MR_K_INT64 ? PG_OP_SAME8 : PG_OP_INT;
  case PG_FLOAT4:
  case PG_FLOAT8: return PG_OP_FLOAT;
  case PG_NUMERIC: return PG_OP_INT_NUMERIC;
  default: return PG_OP_TEXT_ONLY;
  }
}

static enum pg_op plan_float(enum mr_kind k, uint32_t oid)
{
  if (oid == PG_FLOAT4 || oid == PG_FLOAT8) {
    if (k == (oid == PG_FLOAT4 ? MR_K_FLOAT32 : MR_K_FLOAT64))
      return k == MR_K_FLOAT32 ? PG_OP_SAME4 : PG_OP_SAME8;
    return PG_OP_FLOAT;
  }
  return oid == PG_NUMERIC ? PG_OP_FLOAT_NUMERIC : PG_OP_TEXT_ONLY;
}

static enum pg_op plan_date(enum mr_kind k, uint32_t oid)
{
  bool stamp = oid == PG_TIMESTAMP || oid == PG_TIMESTAMPTZ;
  if (k == MR_K_DATE)
    return oid == PG_DATE ? PG_OP_DATE : stamp ? PG_OP_DATE_TIMESTAMP : PG_OP_TEXT_ONLY;
  if (k == MR_K_TIME)
    return oid == PG_TIME ? PG_OP_TIME : PG_OP_TEXT_ONLY;
  return stamp ? PG_OP_TIMESTAMP : PG_OP_TEXT_ONLY;
}

static enum pg_op plan_bytes(enum mr_kind k, uint32_t oid)
{
  switch (oid) {
  case PG_JSON: return k == MR_K_TEXT ? PG_OP_BYTES : PG_OP_AS_JSON;
  case PG_JSONB: return k == MR_K_TEXT ? PG_OP_JSONB_BYTES : PG_OP_AS_JSON;
  case PG_BYTEA: return PG_OP_BYTES;
  case PG_UUID: return k == MR_K_TEXT ? PG_OP_UUID_TEXT : PG_OP_TEXT_ONLY;
  default: return PG_OP_TEXT_ONLY;
  }
}

static enum pg_op plan_nested(enum mr_kind k, uint32_t oid, bool array)
{
  if (oid == PG_JSON || oid == PG_JSONB)
    return PG_OP_AS_JSON;
  return k == MR_K_LIST && array ? PG_OP_ARRAY : PG_OP_TEXT_ONLY;
}

static enum pg_op plan(enum mr_kind k, const struct pg_type *to)
{
  bool nested = k == MR_K_LIST || k == MR_K_STRUCT || k == MR_K_MAP;
  if (k == MR_K_NULL)
    return PG_OP_NULL;
  if (is_text_type(to))
    return k == MR_K_TEXT ? PG_OP_BYTES : nested ? PG_OP_AS_JSON : PG_OP_AS_TEXT;
  if (nested)
    return plan_nested(k, to->oid, to->elem_oid != 0);
  if (mr_kind_is_int(k))
    return plan_int(k, to->oid);
  switch (k) {
  case MR_K_BOOL: return to->oid == PG_BOOL ? PG_OP_BOOL : PG_OP_TEXT_ONLY;
  case MR_K_FLOAT32:
  case MR_K_FLOAT64: return plan_float(k, to->oid);
  case MR_K_DECIMAL: return to->oid == PG_NUMERIC ? PG_OP_DECIMAL : PG_OP_TEXT_ONLY;
  case MR_K_DATE:
  case MR_K_TIME:
  case MR_K_TIMESTAMP: return plan_date(k, to->oid);
  case MR_K_FIXED: return to->oid == PG_UUID || to->oid == PG_BYTEA ? PG_OP_UUID : PG_OP_TEXT_ONLY;
  default: return plan_bytes(k, to->oid);
  }
}

/* A value of another family than the target's is not handed to the server to make what it likes of
 * it. */
static bool refused(enum mr_kind k, const struct pg_type *to)
{
  if (k == MR_K_TEXT)
    return false;
  switch (to->oid) {
  case PG_BOOL:
  case PG_INT2:
  case PG_INT4:
  case PG_INT8: return true;
  case PG_FLOAT4:
  case PG_FLOAT8:
  case PG_NUMERIC: return k != MR_K_DECIMAL;
  case PG_DATE:
  case PG_TIME:
  case PG_TIMESTAMP:
  case PG_TIMESTAMPTZ:
  case PG_UUID:
  case PG_BYTEA: return true;
  case PG_JSON:
  case PG_JSONB: return false;
  default:
    return k == MR_K_STRUCT || k == MR_K_MAP || (k == MR_K_LIST && !to->elem_oid && !to->bracketed);
  }
}

static void learn_digits(struct pg_field *f, const struct ArrowSchema *from)
{
  static const int digits[] = {
      [MR_K_INT8] = 3,  [MR_K_INT16] = 5,  [MR_K_INT32] = 10,  [MR_K_INT64] = 19,
      [MR_K_UINT8] = 3, [MR_K_UINT16] = 5, [MR_K_UINT32] = 10, [MR_K_UINT64] = 20,
  };
  enum mr_kind k = mr_kind_of(from);
  int precision = mr_kind_is_int(k) ? digits[k] : 0;
  if (k == MR_K_DECIMAL)
    mr_decimal_of(from, &precision, &f->src_scale);
  if (f->oid != PG_NUMERIC || f->typmod < 4)
    return;
  f->precision = (f->typmod - 4) >> 16 & 0xffff;
  f->scale = (((f->typmod - 4) & 0x7ff) ^ 1024) - 1024;
  f->digits_checked =
      !precision || f->src_scale > f->scale || precision - f->src_scale > f->precision - f->scale;
}

static bool plan_item(struct pg_field *f, const struct ArrowSchema *from, const struct pg_type *to)
{
  if (f->op != PG_OP_ARRAY)
    return true;
  struct pg_type item = {.oid = to->elem_oid, .typmod = to->typmod, .text_like = to->text_like};
  f->item = (struct pg_field *)calloc(1, sizeof *f->item);
  if (!f->item || !pg_field_plan(from->children[0], &item, f->item))
    return false;
  if (f->item->op == PG_OP_TEXT_ONLY || f->item->op == PG_OP_ARRAY)
    f->op = PG_OP_TEXT_ONLY;
  return true;
}

bool pg_field_plan(const struct ArrowSchema *from, const struct pg_type *to, struct pg_field *ret)
{
  struct pg_field f = {.oid = to->oid, .elem_oid = to->elem_oid, .typmod = to->typmod};
  enum mr_kind k = mr_kind_of(from);
  f.v.kind = k;
  f.not_null = to->not_null;
  if (k == MR_K_TEXT && mr_schema_is_json(from) && to->elem_oid)
    f.op = PG_OP_TEXT_ONLY;
  else
    f.op = plan(k, to);
  if ((to->oid == PG_VARCHAR || to->oid == PG_BPCHAR) && to->typmod > 4)
    f.max_chars = to->typmod - 4;
  learn_digits(&f, from);
  bool ok = k != MR_K_NONE && !(f.op == PG_OP_TEXT_ONLY && refused(k, to));
  if (!ok || !plan_item(&f, from, to)) {
    pg_field_done(&f);
    memset(ret, 0, sizeof *ret);
    return false;
  }
  *ret = f;
  return true;
}

void pg_field_unfit(const struct ArrowSchema *from, const struct pg_type *to, struct pg_field *ret)
{
  struct pg_field f = {.op = PG_OP_UNFIT, .oid = to->oid, .typmod = -1, .not_null = to->not_null};
  f.v.kind = mr_kind_of(from);
  *ret = f;
}

void pg_field_done(struct pg_field *f)
{
  if (f->item)
    pg_field_done(f->item);
  free(f->item);
  f->item = NULL;
}

void pg_field_bind(struct pg_field *f, const struct ArrowSchema *s, const struct ArrowArray *a)
{
  mr_view_init(&f->v, s, a);
  f->data = f->v.data && f->v.width > 0 ? f->v.data + f->v.offset * f->v.width : f->v.data;
  f->offsets = NULL;
  f->has_nul = false;
  if ((f->v.kind == MR_K_TEXT || f->v.kind == MR_K_BINARY) && f->v.data)
    f->offsets = (const int32_t *)(const void *)f->v.data + f->v.offset;
  if (f->v.kind == MR_K_TEXT && f->offsets && f->v.bytes && f->v.length > 0)
    f->has_nul = memchr(f->v.bytes + f->offsets[0], 0,
                        (size_t)(f->offsets[f->v.length] - f->offsets[0])) != NULL;
  if (f->v.kind == MR_K_LIST && f->item)
    pg_field_bind(f->item, s->children[0], a->children[0]);
}
