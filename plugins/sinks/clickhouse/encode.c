/* SPDX-License-Identifier: Apache-2.0 */
#include "encode.h"
#include "common/unfit.h"

/* ---------------------------------------------------------------- plans */

#define US 1000000
#define DAY_S 86400
#define OLD_LAST_DAY INT64_C(49710) /* 2106-02-07 */
#define FIRST_DAY (-25567)          /* 1900-01-01: the first of Date32 and DateTime64 */
#define LAST_DAY 120529             /* 2299-12-31 */

static bool scaled(struct ch_node *n, int64_t mul, int64_t div, int64_t lo, int64_t hi)
{
  n->op = CH_OP_SCALED;
  n->mul = mul;
  n->div = div;
  n->lo = lo;
  n->hi = hi;
  return true;
}

static int64_t power10(int digits)
{
  int64_t v = 1;
  while (digits-- > 0)
    v *= 10;
  return v;
}

static bool plan_integer(struct ch_node *n, enum mr_kind kind)
{
  const struct ch_type *t = n->type;
  int bits = 8 * t->width;
  bool top = kind == MR_K_UINT64; /* its upper half looks negative */
  if (kind != MR_K_BOOL && !mr_kind_is_int(kind))
    return false;
  if (t->kind == CH_BOOL)
    return scaled(n, 1, 1, 0, 1);
  if (top && (bits > 64 || (bits == 64 && t->kind == CH_UINT)))
    return scaled(n, 1, 1, INT64_MIN, INT64_MAX);
  if (t->kind == CH_UINT)
    return scaled(n, 1, 1, 0, bits >= 64 ? INT64_MAX : (int64_t)((1ull << bits) - 1));
  int64_t most = bits >= 64 ? INT64_MAX : (int64_t)((1ull << (bits - 1)) - 1);
  return scaled(n, 1, 1, top ? 0 : -most - 1, most);
}

/* A date, or a timestamp with us, into a type of `scale` digits behind the second. */
static bool plan_instant(struct ch_node *n, enum mr_kind kind, int scale, int64_t lo_s,
                         int64_t hi_s)
{
  if (scale > 9)
    return false;
  if (kind == MR_K_DATE) {
    int64_t mul = DAY_S * power10(scale), most = INT64_MAX / mul;
    int64_t lo = lo_s / DAY_S, hi = hi_s / DAY_S;
    return scaled(n, mul, 1, lo < -most ? -most : lo, hi > most ? most : hi);
  }
  if (kind != MR_K_TIMESTAMP && kind != MR_K_TIME)
    return false;
  int64_t mul = scale > 6 ? power10(scale - 6) : 1, most = INT64_MAX / mul;
  int64_t lo = lo_s * US, hi = hi_s * US + US - 1;
  return scaled(n, mul, scale < 6 ? power10(6 - scale) : 1, lo < -most ? -most : lo,
                hi > most ? most : hi);
}

static bool plan_time(struct ch_node *n, enum mr_kind kind)
{
  const int64_t first = (int64_t)FIRST_DAY * DAY_S, last = (int64_t)LAST_DAY * DAY_S + DAY_S - 1;
  switch (n->type->kind) {
  case CH_DATE: return kind == MR_K_DATE && scaled(n, 1, 1, 0, UINT16_MAX);
  case CH_DATE32: return kind == MR_K_DATE && scaled(n, 1, 1, FIRST_DAY, LAST_DAY);
  case CH_DATETIME: return kind != MR_K_TIME && plan_instant(n, kind, 0, 0, UINT32_MAX);
  case CH_DATETIME64:
    return kind != MR_K_TIME && plan_instant(n, kind, n->type->scale, first, last);
  default: return kind == MR_K_TIME && plan_instant(n, kind, n->type->scale, 0, DAY_S - 1);
  }
}

void ch_node_limit_days(struct ch_node *n)
{
  int64_t first_bad = n->type->kind == CH_DATE       ? OLD_LAST_DAY + 1
                      : n->type->kind == CH_DATETIME ? OLD_LAST_DAY * DAY_S
                                                     : 0;
  if (first_bad && n->op == CH_OP_SCALED) {
    int64_t last = first_bad * n->div / n->mul - 1;
    n->hi = n->hi < last ? n->hi : last;
  }
  for (int i = 0; i < n->n_child; i++)
    ch_node_limit_days(&n->child[i]);
}

static bool put_op(struct ch_node *n, bool ok, enum ch_op op)
{
  if (ok)
    n->op = op;
  return ok;
}

static bool plan_children(struct ch_node *n, const struct ArrowSchema *s, int count)
{
  n->child = calloc((size_t)count, sizeof *n->child);
  n->from = calloc((size_t)count, sizeof *n->from);
  if (!n->child || !n->from)
    return false;
  n->n_child = count;
  for (int i = 0; i < count; i++) {
    n->from[i] = i;
    for (int64_t k = 0; n->op == CH_OP_TUPLE && i < n->type->n_label && k < s->n_children; k++)
      if (!strcmp(s->children[k]->name, n->type->label[i].name))
        n->from[i] = (int)k;
    if (!ch_node_plan(&n->child[i], s->children[n->from[i]], &n->type->child[i]))
      return false;
  }
  return true;
}

/* A named tuple's parts are found by name, all of them, and none is left out. */
static bool tuple_matches(const struct ArrowSchema *s, const struct ch_type *t)
{
  if (s->n_children != t->n_child)
    return false;
  for (int i = 0; i < t->n_label; i++)
    if (mr_schema_find(s, t->label[i].name) < 0)
      return false;
  return true;
}

static bool plan_nested(struct ch_node *n, const struct ArrowSchema *s, enum mr_kind kind)
{
  switch (n->type->kind) {
  case CH_ARRAY:
    return put_op(n, kind == MR_K_LIST && s->n_children == 1, CH_OP_ARRAY) &&
           plan_children(n, s, 1);
  case CH_MAP:
    return put_op(n, kind == MR_K_MAP && s->n_children == 1 && s->children[0]->n_children == 2,
                  CH_OP_MAP) &&
           plan_children(n, s->children[0], 2);
  default:
    return put_op(n, kind == MR_K_STRUCT && tuple_matches(s, n->type), CH_OP_TUPLE) &&
           plan_children(n, s, n->type->n_child);
  }
}

static bool plan_string(struct ch_node *n, const struct ArrowSchema *s, enum mr_kind kind)
{
  bool text = kind == MR_K_TEXT || kind == MR_K_BINARY;
  bool nested = kind == MR_K_LIST || kind == MR_K_MAP || kind == MR_K_STRUCT;
  if (n->type->kind == CH_JSON)
    return put_op(n, kind == MR_K_TEXT, CH_OP_BYTES) || put_op(n, nested, CH_OP_TEXT);
  return put_op(n, text, CH_OP_BYTES) || put_op(n, true, CH_OP_TEXT);
}

static bool plan_enum(struct ch_node *n, enum mr_kind kind)
{
  for (int i = 0; i < n->type->n_label; i++)
    if (!i || n->type->label[i].number < n->zero)
      n->zero = n->type->label[i].number;
  return put_op(n, kind == MR_K_TEXT, CH_OP_ENUM_TEXT) ||
         put_op(n, mr_kind_is_int(kind), CH_OP_ENUM_INT);
}

bool ch_node_plan(struct ch_node *n, const struct ArrowSchema *s, const struct ch_type *type)
{
  enum mr_kind kind = mr_kind_of(s);
  memset(n, 0, sizeof *n);
  n->type = type;
  bool number = mr_kind_is_int(kind) || kind == MR_K_DECIMAL;
  if (kind == MR_K_NULL && type->kind != CH_TUPLE)
    return put_op(n, true, CH_OP_NULLS);
  switch (type->kind) {
  case CH_INT:
  case CH_UINT: return plan_integer(n, kind) || put_op(n, kind == MR_K_DECIMAL, CH_OP_DECIMAL);
  case CH_BOOL: return plan_integer(n, kind);
  case CH_FLOAT:
    return put_op(n, kind == MR_K_FLOAT32 || kind == MR_K_FLOAT64 || mr_kind_is_int(kind),
                  CH_OP_FLOAT);
  case CH_DECIMAL: return put_op(n, number, CH_OP_DECIMAL);
  case CH_STRING:
  case CH_JSON: return plan_string(n, s, kind);
  case CH_FIXED:
    return put_op(n, kind == MR_K_TEXT || kind == MR_K_BINARY || kind == MR_K_FIXED, CH_OP_FIXED);
  case CH_UUID:
    return put_op(n, kind == MR_K_FIXED, CH_OP_UUID) ||
           put_op(n, kind == MR_K_TEXT, CH_OP_UUID_TEXT);
  case CH_ENUM: return plan_enum(n, kind);
  case CH_IPV4: return put_op(n, kind == MR_K_TEXT, CH_OP_IPV4);
  case CH_IPV6: return put_op(n, kind == MR_K_TEXT, CH_OP_IPV6);
  case CH_ARRAY:
  case CH_MAP:
  case CH_TUPLE: return plan_nested(n, s, kind);
  case CH_NONE: return false;
  default: return plan_time(n, kind);
  }
}

/* ---------------------------------------------------------------- the tree */

void ch_node_done(struct ch_node *n)
{
  for (int i = 0; i < n->n_child; i++)
    ch_node_done(&n->child[i]);
  free(n->child);
  free(n->from);
  sql_buf_done(&n->nulls);
  sql_buf_done(&n->data);
  memset(n, 0, sizeof *n);
}

bool ch_node_unfit(struct ch_node *n)
{
  const struct ch_type *type = n->type;
  int64_t zero = n->zero;
  ch_node_done(n);
  n->type = type;
  n->zero = zero;
  n->op = CH_OP_UNFIT;
  return type->kind != CH_TUPLE;
}

void ch_node_clear(struct ch_node *n)
{
  for (int i = 0; i < n->n_child; i++)
    ch_node_clear(&n->child[i]);
  sql_buf_clear(&n->nulls);
  sql_buf_clear(&n->data);
  n->elements = 0;
}

void ch_node_mark(struct ch_node *n)
{
  for (int i = 0; i < n->n_child; i++)
    ch_node_mark(&n->child[i]);
  n->mark_nulls = n->nulls.len;
  n->mark_data = n->data.len;
  n->mark_elements = n->elements;
}

void ch_node_back(struct ch_node *n)
{
  for (int i = 0; i < n->n_child; i++)
    ch_node_back(&n->child[i]);
  n->nulls.len = n->mark_nulls;
  n->data.len = n->mark_data;
  n->nulls.failed = n->data.failed = false;
  n->elements = n->mark_elements;
}

bool ch_node_failed(const struct ch_node *n)
{
  bool failed = n->nulls.failed || n->data.failed;
  for (int i = 0; i < n->n_child && !failed; i++)
    failed = ch_node_failed(&n->child[i]);
  return failed;
}

int64_t ch_node_bytes(const struct ch_node *n)
{
  int64_t bytes = (int64_t)(n->nulls.len + n->data.len);
  for (int i = 0; i < n->n_child; i++)
    bytes += ch_node_bytes(&n->child[i]);
  return bytes;
}

int ch_node_give(const struct ch_node *n, ch_bytes_fn *each, void *out)
{
  int status = n->nulls.len ? each(out, n->nulls.p, n->nulls.len) : MR_OK;
  if (status >= 0 && n->data.len)
    status = each(out, n->data.p, n->data.len);
  for (int i = 0; i < n->n_child && status >= 0; i++)
    status = ch_node_give(&n->child[i], each, out);
  return status;
}

/* ---------------------------------------------------------------- nulls and nesting */

static bool may_default(const struct ch_batch *b, const struct ch_scope *scope, int64_t i)
{
  return b->defaults || (!b->is_key && !scope && b->deleted && mr_bit_get(b->deleted, i));
}

static void put_nulls(struct ch_batch *b, struct ch_node *n, const struct mr_view *v, int64_t from,
                      int64_t to, const struct ch_scope *scope)
{
  size_t count = (size_t)(to - from);
  bool some = v->valid || v->kind == MR_K_NULL;
  if (n->type->nullable && sql_buf_reserve(&n->nulls, count)) {
    uint8_t *p = n->nulls.p + n->nulls.len;
    memset(p, 0, count);
    for (int64_t i = from; i < to && some; i++)
      p[i - from] = mr_view_null(v, i);
    n->nulls.len += count;
  }
  for (int64_t i = from; i < to && some && !n->type->nullable; i++)
    if (mr_view_null(v, i) && !may_default(b, scope, i))
      ch_bad(b, scope, i, "23502", "null in a column that takes none");
}

/* Ranges of elements that stand one behind the other go down in one call. */
static void put_elements(struct ch_batch *b, struct ch_node *n, const struct mr_view *v,
                         int64_t from, int64_t to, const struct ch_scope *scope,
                         void (*put)(struct ch_batch *, struct ch_node *, const struct mr_view *,
                                     int64_t, int64_t, const struct ch_scope *))
{
  struct ch_scope here = {scope, v, from, to};
  struct mr_view child;
  int64_t begin = 0, end = 0, at, next;
  mr_view_init(&child, v->schema->children[0], v->array->children[0]);
  if (!sql_buf_reserve(&n->data, (size_t)(to - from) * 8))
    return;
  for (int64_t i = from; i < to; i++) {
    if (!mr_view_null(v, i)) {
      mr_view_range(v, i, &at, &next);
      if (at != end && end > begin)
        put(b, n, &child, begin, end, &here);
      begin = at == end && end > begin ? begin : at;
      end = next;
      n->elements += next - at;
    }
    memcpy(n->data.p + n->data.len, &n->elements, 8);
    n->data.len += 8;
  }
  if (end > begin)
    put(b, n, &child, begin, end, &here);
}

static void put_items(struct ch_batch *b, struct ch_node *n, const struct mr_view *child,
                      int64_t from, int64_t to, const struct ch_scope *scope)
{
  ch_node_put(b, &n->child[0], child, from, to, scope);
}

/* The parts of a struct; of the entries of a map. */
static void put_parts(struct ch_batch *b, struct ch_node *n, const struct mr_view *v, int64_t from,
                      int64_t to, const struct ch_scope *scope)
{
  for (int i = 0; i < n->n_child; i++) {
    struct mr_view child;
    int k = n->from[i];
    mr_view_init(&child, v->schema->children[k], v->array->children[k]);
    child.offset += v->offset;
    ch_node_put(b, &n->child[i], &child, from, to, scope);
  }
}

static void put_zero_values(struct ch_node *n, int64_t count)
{
  bool list = n->type->kind == CH_ARRAY || n->type->kind == CH_MAP;
  for (int64_t i = 0; i < count && list; i++)
    sql_buf_bytes(&n->data, &n->elements, 8);
  if (!list)
    ch_put_zeros(n, count);
}

static void refuse_values(struct ch_batch *b, struct ch_node *n, const struct mr_view *v,
                          int64_t from, int64_t to, const struct ch_scope *scope)
{
  for (int64_t i = from; i < to; i++)
    if (!mr_view_null(v, i))
      ch_bad(b, scope, i, UNFIT_CODE, UNFIT_WHY);
  put_zero_values(n, to - from);
}

void ch_node_put_nothing(struct ch_node *n, int64_t count)
{
  if (n->type->nullable && sql_buf_reserve(&n->nulls, (size_t)count)) {
    memset(n->nulls.p + n->nulls.len, 1, (size_t)count);
    n->nulls.len += (size_t)count;
  }
  if (n->op == CH_OP_TUPLE) {
    for (int i = 0; i < n->n_child; i++)
      ch_node_put_nothing(&n->child[i], count);
    return;
  }
  put_zero_values(n, count);
}

static void put_tuple(struct ch_batch *b, struct ch_node *n, const struct mr_view *v, int64_t from,
                      int64_t to, const struct ch_scope *scope)
{
  while (from < to) {
    bool null = mr_view_null(v, from);
    int64_t end = from + 1;
    while (end < to && (v->valid ? mr_view_null(v, end) == null : true))
      end++;
    for (int i = 0; i < n->n_child && null; i++)
      ch_node_put_nothing(&n->child[i], end - from); /* the parts of a null have nothing to say */
    if (!null)
      put_parts(b, n, v, from, end, scope);
    from = end;
  }
}

void ch_node_put(struct ch_batch *b, struct ch_node *n, const struct mr_view *v, int64_t from,
                 int64_t to, const struct ch_scope *scope)
{
  put_nulls(b, n, v, from, to, scope);
  switch (n->op) {
  case CH_OP_ARRAY: put_elements(b, n, v, from, to, scope, put_items); break;
  case CH_OP_MAP: put_elements(b, n, v, from, to, scope, put_parts); break;
  case CH_OP_TUPLE: put_tuple(b, n, v, from, to, scope); break;
  case CH_OP_NULLS: put_zero_values(n, to - from); break;
  case CH_OP_UNFIT: refuse_values(b, n, v, from, to, scope); break;
  default: ch_put_values(b, n, v, from, to, scope);
  }
}
