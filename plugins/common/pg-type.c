/* SPDX-License-Identifier: Apache-2.0 */
#include "common/pg-type.h"

struct name {
  enum mr_kind kind;
  const char *ddl;
  uint32_t oid, array;
};

static const struct name names[] = {
    {MR_K_BOOL, "boolean", PG_BOOL, 1000},
    {MR_K_INT8, "smallint", PG_INT2, 1005},
    {MR_K_INT16, "smallint", PG_INT2, 1005},
    {MR_K_INT32, "integer", PG_INT4, 1007},
    {MR_K_INT64, "bigint", PG_INT8, 1016},
    {MR_K_UINT8, "smallint", PG_INT2, 1005},
    {MR_K_UINT16, "integer", PG_INT4, 1007},
    {MR_K_UINT32, "bigint", PG_INT8, 1016},
    {MR_K_UINT64, "numeric(20,0)", PG_NUMERIC, 1231},
    {MR_K_FLOAT32, "real", PG_FLOAT4, 1021},
    {MR_K_FLOAT64, "double precision", PG_FLOAT8, 1022},
    {MR_K_DATE, "date", PG_DATE, 1182},
    {MR_K_TIME, "time without time zone", PG_TIME, 1183},
    {MR_K_TEXT, "text", PG_TEXT, 1009},
    {MR_K_NULL, "text", PG_TEXT, 1009},
    {MR_K_BINARY, "bytea", PG_BYTEA, 1001},
    {MR_K_FIXED, "uuid", PG_UUID, 2951},
    {MR_K_DECIMAL, NULL, PG_NUMERIC, 1231},
    {MR_K_STRUCT, "jsonb", PG_JSONB, 3807},
    {MR_K_MAP, "jsonb", PG_JSONB, 3807},
};
static const struct name json = {MR_K_TEXT, "jsonb", PG_JSONB, 3807};
static const struct name stamp = {MR_K_TIMESTAMP, "timestamp without time zone", PG_TIMESTAMP,
                                  1115};
static const struct name zoned = {MR_K_TIMESTAMP, "timestamp with time zone", PG_TIMESTAMPTZ, 1185};

static const struct name *lookup(const struct ArrowSchema *s)
{
  enum mr_kind k = mr_kind_of(s);
  if (k == MR_K_TIMESTAMP)
    return *mr_zone_of(s) ? &zoned : &stamp;
  if (k == MR_K_TEXT && mr_schema_is_json(s))
    return &json;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i].kind == k)
      return &names[i];
  return NULL;
}

/* Lists of scalars are arrays; deeper ones are documents. */
static bool is_document_list(const struct ArrowSchema *s)
{
  enum mr_kind k = mr_kind_of(s->children[0]);
  return k == MR_K_LIST || k == MR_K_STRUCT || k == MR_K_MAP;
}

bool pg_type_ddl(const struct ArrowSchema *s, struct sql_buf *out)
{
  if (mr_kind_of(s) == MR_K_LIST) {
    if (is_document_list(s)) {
      sql_buf_str(out, "jsonb");
      return true;
    }
    bool ok = pg_type_ddl(s->children[0], out);
    sql_buf_str(out, "[]");
    return ok;
  }
  const struct name *n = lookup(s);
  if (n && n->ddl) {
    sql_buf_str(out, n->ddl);
  } else if (n) {
    int precision, scale;
    mr_decimal_of(s, &precision, &scale);
    sql_buf_fmt(out, "numeric(%d,%d)", scale < 0 ? precision - scale : precision,
                scale < 0 ? 0 : scale);
  }
  return n != NULL;
}

bool pg_type_of(const struct ArrowSchema *s, struct pg_type *ret)
{
  bool list = mr_kind_of(s) == MR_K_LIST && !is_document_list(s);
  const struct ArrowSchema *item = list ? s->children[0] : s;
  const struct name *n = mr_kind_of(item) == MR_K_LIST ? &json : lookup(item);
  struct pg_type t = {.typmod = -1};
  int precision, scale;
  if (!n)
    return false;
  t.oid = list ? n->array : n->oid;
  t.elem_oid = list ? n->oid : 0;
  mr_decimal_of(item, &precision, &scale);
  if (mr_kind_of(item) == MR_K_UINT64)
    precision = 20;
  if (precision && scale >= 0)
    t.typmod = (precision << 16 | scale) + 4;
  *ret = t;
  return true;
}

static bool numeric_of(const char *name, int *precision, int *scale)
{
  if (!strcmp(name, "numeric")) {
    *precision = 1000;
    *scale = 500;
    return true;
  }
  return sscanf(name, "numeric(%d,%d)", precision, scale) == 2;
}

/* Decimal digits that an integer type needs; 0: not an integer type. */
static int digits_of(const char *name)
{
  return !strcmp(name, "smallint")  ? 5
         : !strcmp(name, "integer") ? 10
         : !strcmp(name, "bigint")  ? 19
                                    : 0;
}

bool pg_type_widens(const char *from, const char *to)
{
  int p, s, q, r, digits = digits_of(from);
  if (!strcmp(from, to))
    return false;
  if (digits && digits_of(to))
    return digits < digits_of(to);
  if (numeric_of(to, &q, &r)) {
    if (digits)
      return q - r >= digits;
    return numeric_of(from, &p, &s) && q - r >= p - s && r >= s;
  }
  if (!strcmp(from, "real"))
    return !strcmp(to, "double precision");
  if (!strncmp(from, "character", 9))
    return !strcmp(to, "text");
  return false;
}
