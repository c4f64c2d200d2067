/* SPDX-License-Identifier: Apache-2.0 */
#include "value.h"
#include <inttypes.h>
#include "common/cql-value.h"
#include "common/sql-text.h"

/* Puts another type in the place of a leaf, under the same name. */
static bool replace(struct ArrowSchema *s, const char *format, const char *extension)
{
  struct ArrowSchema new;
  bool ok = mr_schema_init(&new, s->name, format, true) &&
            (!extension || mr_schema_set_meta(&new, MR_META_EXTENSION, extension));
  if (ok) {
    mr_schema_release(s);
    mr_schema_move(&new, s);
  }
  return ok;
}

/* The column types that take every value of t, whatever its digits. */
static bool widen(struct ArrowSchema *s, const struct cql_type *t)
{
  switch (t->kind) {
  case CQL_DECIMAL:
  case CQL_VARINT: return replace(s, "u", "arrow.json");
  case CQL_TIME: return replace(s, "l", NULL);
  case CQL_DURATION: return replace(s, "u", NULL);
  default: break;
  }
  if (t->kind == CQL_MAP)
    s = s->children[0];
  bool ok = true;
  for (size_t i = 0; ok && i < t->n_child; i++)
    ok = widen(s->children[i], &t->child[i]);
  return ok;
}

static void put_unreadable(struct sql_buf *out, const char *why, struct clog_bytes v)
{
  sql_buf_str(out, "{\"unreadable\":");
  sql_buf_json(out, why);
  sql_buf_str(out, ",\"bytes\":\"\\\\x");
  sql_text_hex(out, v.p, (size_t)v.len);
  sql_buf_str(out, "\"}");
}

static void put_column(struct sql_buf *out, const struct ArrowSchema *s, struct mr_column *c)
{
  struct ArrowArray a;
  struct mr_view view;
  if (!mr_column_finish(c, &a)) {
    out->failed = true;
    return;
  }
  mr_view_init(&view, s, &a);
  if (!sql_text_json(out, &view, 0))
    out->failed = true;
  a.release(&a);
}

void value_json(struct sql_buf *out, const struct cql_type *t, struct clog_bytes v)
{
  struct ArrowSchema s;
  struct mr_column c = {0};
  const char *why = "out of memory";
  int64_t sum;
  if (t->kind == CQL_COUNTER && v.len >= 0 && cql_counter(v.p, v.len, &sum)) {
    sql_buf_fmt(out, "%" PRId64, sum);
    return;
  }
  if (v.len < 0) {
    sql_buf_str(out, "null");
    return;
  }
  bool ok = cql_type_arrow(t, "", &s) && widen(&s, t) && mr_column_init(&c, &s);
  int status = ok ? cql_value(&c, t, &s, v.p, v.len, &why) : MR_FATAL;
  if (status >= 0)
    put_column(out, &s, &c);
  else
    put_unreadable(out, why, v);
  mr_column_done(&c);
  mr_schema_release(&s);
}

/* The field that two bytes of a path mean; NULL: none. */
static const char *field_of(const struct cql_type *t, struct clog_bytes path, uint16_t *ret)
{
  if (path.len != 2 || cql_be16(path.p) >= t->n_child)
    return NULL;
  *ret = cql_be16(path.p);
  return t->field[*ret];
}

void value_path(struct sql_buf *out, const struct cql_type *t, struct clog_bytes path)
{
  static const struct cql_type place = {.kind = CQL_TIMEUUID};
  uint16_t field;
  const char *name = t->kind == CQL_UDT ? field_of(t, path, &field) : NULL;
  if (name)
    sql_buf_json(out, name);
  else if (t->kind == CQL_LIST)
    value_json(out, &place, path);
  else if (t->kind == CQL_SET || t->kind == CQL_MAP)
    value_json(out, &t->child[0], path);
  else
    put_unreadable(out, "a field that the type does not have", path);
}

void value_element(struct sql_buf *out, const struct cql_type *t, struct clog_bytes path,
                   struct clog_bytes v)
{
  uint16_t field = 0;
  if (t->kind == CQL_LIST)
    value_json(out, &t->child[0], v);
  else if (t->kind == CQL_MAP)
    value_json(out, &t->child[1], v);
  else if (t->kind == CQL_UDT && field_of(t, path, &field))
    value_json(out, &t->child[field], v);
  else
    put_unreadable(out, "an element without a type", v);
}
