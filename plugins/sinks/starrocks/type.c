/* SPDX-License-Identifier: Apache-2.0 */
/* The map of types, both ways. StarRocks has no unsigned types, no UUID and no TIME. */
#include <ctype.h>
#include "starrocks.h"

#define STRING_BYTES 65533  /* of STRING */
#define VARCHAR_MAX 1048576 /* bytes of VARCHAR, up to 4.1 */
#define KEY_TEXT_BYTES 64   /* of a text column in a key: all keys together hold 128 bytes */

struct name {
  const char *text;
  enum sr_type type;
};

static const struct name names[] = {
    {"boolean", SR_BOOLEAN},   {"tinyint", SR_TINYINT},    {"smallint", SR_SMALLINT},
    {"int", SR_INT},           {"integer", SR_INT},        {"bigint", SR_BIGINT},
    {"largeint", SR_LARGEINT}, {"float", SR_FLOAT},        {"double", SR_DOUBLE},
    {"decimal", SR_DECIMAL},   {"decimalv2", SR_DECIMAL},  {"decimal32", SR_DECIMAL},
    {"decimal64", SR_DECIMAL}, {"decimal128", SR_DECIMAL}, {"date", SR_DATE},
    {"datetime", SR_DATETIME}, {"char", SR_TEXT},          {"varchar", SR_TEXT},
    {"string", SR_TEXT},       {"varbinary", SR_BINARY},   {"json", SR_JSON},
    {"array", SR_NESTED},      {"map", SR_NESTED},         {"struct", SR_NESTED},
};

/* Numbers in the brackets behind a type's name; how many. */
static int sizes_of(const char *p, int64_t ret[2])
{
  int n = 0;
  if (*p != '(')
    return 0;
  do {
    p += 1 + strspn(p + 1, " ");
    if (!isdigit((unsigned char)*p) && *p != '-')
      return n;
    ret[n++] = strtoll(p, NULL, 10);
    p += strspn(p, "-0123456789 ");
  } while (*p == ',' && n < 2);
  return n;
}

void sr_type_parse(const char *shown, struct sr_column *c)
{
  int64_t size[2] = {0, 0};
  size_t len = 0;
  while (isalnum((unsigned char)shown[len]))
    len++;
  int n = sizes_of(shown + len, size);
  c->type = SR_OTHER;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strlen(names[i].text) == len && !strncasecmp(names[i].text, shown, len))
      c->type = names[i].type;
  if (c->type == SR_DECIMAL) {
    c->precision = n ? (int)size[0] : 10;
    c->scale = n > 1 ? (int)size[1] : 0;
  }
  if (c->type == SR_TEXT) {
    bool string = !strncasecmp(shown, "string", 6);
    c->bytes = string ? STRING_BYTES : n && size[0] > 0 ? size[0] : 1;
  }
}

static int digits_of(enum mr_kind k)
{
  switch (k) {
  case MR_K_INT8:
  case MR_K_UINT8: return 3;
  case MR_K_INT16:
  case MR_K_UINT16: return 5;
  case MR_K_INT32:
  case MR_K_UINT32: return 10;
  default: return 20;
  }
}

bool sr_type_fits(const struct ArrowSchema *from, const struct sr_column *c)
{
  enum mr_kind k = mr_kind_of(from);
  int precision, scale;
  if (k == MR_K_NULL)
    return true;
  if (k == MR_K_NONE)
    return false;
  bool nested = k == MR_K_LIST || k == MR_K_MAP || k == MR_K_STRUCT;
  switch (c->type) {
  case SR_BOOLEAN: return k == MR_K_BOOL;
  case SR_TINYINT: return k == MR_K_BOOL || mr_kind_is_int(k);
  case SR_SMALLINT:
  case SR_INT:
  case SR_BIGINT:
  case SR_LARGEINT: return mr_kind_is_int(k);
  case SR_FLOAT:
  case SR_DOUBLE: return k == MR_K_FLOAT32 || k == MR_K_FLOAT64 || digits_of(k) <= 10;
  case SR_DECIMAL:
    mr_decimal_of(from, &precision, &scale);
    return (k == MR_K_DECIMAL && scale <= c->scale) || mr_kind_is_int(k);
  case SR_DATE: return k == MR_K_DATE;
  case SR_DATETIME: return k == MR_K_TIMESTAMP || k == MR_K_DATE;
  case SR_TEXT: return true;
  case SR_JSON: return nested || (k == MR_K_TEXT && mr_schema_is_json(from));
  case SR_NESTED: return nested;
  default: return false;
  }
}

static bool list_ddl(const struct ArrowSchema *from, struct sql_buf *out)
{
  sql_buf_str(out, "ARRAY<");
  bool ok = sr_type_ddl(from->children[0], false, out);
  sql_buf_byte(out, '>');
  return ok;
}

static bool map_ddl(const struct ArrowSchema *from, struct sql_buf *out)
{
  const struct ArrowSchema *entry = from->children[0];
  sql_buf_str(out, "MAP<");
  bool ok = sr_type_ddl(entry->children[0], false, out);
  sql_buf_byte(out, ',');
  ok = ok && sr_type_ddl(entry->children[1], false, out);
  sql_buf_byte(out, '>');
  return ok;
}

static bool struct_ddl(const struct ArrowSchema *from, struct sql_buf *out)
{
  bool ok = from->n_children > 0;
  sql_buf_str(out, "STRUCT<");
  for (int64_t i = 0; i < from->n_children && ok; i++) {
    if (i)
      sql_buf_str(out, ", ");
    sr_sql_ident(out, from->children[i]->name);
    sql_buf_byte(out, ' ');
    ok = sr_type_ddl(from->children[i], false, out);
  }
  sql_buf_byte(out, '>');
  return ok;
}

bool sr_type_ddl(const struct ArrowSchema *from, bool key, struct sql_buf *out)
{
  static const char *const plain[] = {
      [MR_K_BOOL] = "BOOLEAN",     [MR_K_INT8] = "TINYINT",       [MR_K_INT16] = "SMALLINT",
      [MR_K_INT32] = "INT",        [MR_K_INT64] = "BIGINT",       [MR_K_UINT8] = "SMALLINT",
      [MR_K_UINT16] = "INT",       [MR_K_UINT32] = "BIGINT",      [MR_K_UINT64] = "LARGEINT",
      [MR_K_FLOAT32] = "FLOAT",    [MR_K_FLOAT64] = "DOUBLE",     [MR_K_DATE] = "DATE",
      [MR_K_TIME] = "VARCHAR(15)", [MR_K_TIMESTAMP] = "DATETIME", [MR_K_FIXED] = "VARCHAR(36)"};
  enum mr_kind k = mr_kind_of(from);
  int precision, scale;
  switch (k) {
  case MR_K_DECIMAL:
    mr_decimal_of(from, &precision, &scale);
    sql_buf_fmt(out, "DECIMAL(%d,%d)", precision, scale);
    return scale >= 0;
  case MR_K_TEXT:
    if (mr_schema_is_json(from) && !key)
      sql_buf_str(out, "JSON");
    else
      sql_buf_fmt(out, "VARCHAR(%d)", key ? KEY_TEXT_BYTES : VARCHAR_MAX);
    return true;
  case MR_K_BINARY: sql_buf_fmt(out, "VARCHAR(%d)", VARCHAR_MAX); return true;
  case MR_K_LIST: return list_ddl(from, out);
  case MR_K_MAP: return map_ddl(from, out);
  case MR_K_STRUCT: return struct_ddl(from, out);
  default:
    if ((size_t)k >= sizeof plain / sizeof *plain || !plain[k])
      return false;
    sql_buf_str(out, plain[k]);
    return true;
  }
}

/* What every version since 3.0 can make of a column; others (DECIMAL) depend on the version. */
bool sr_type_widens(const struct sr_column *c, const struct ArrowSchema *to)
{
  struct sql_buf ddl = {0};
  struct sr_column wide = {0};
  bool does = sr_type_ddl(to, false, &ddl);
  if (does)
    sr_type_parse(sql_buf_text(&ddl), &wide);
  sql_buf_done(&ddl);
  if (c->type >= SR_TINYINT && c->type < SR_LARGEINT)
    return wide.type > c->type && wide.type <= SR_LARGEINT;
  if (c->type == SR_TEXT)
    return mr_kind_of(to) == MR_K_TEXT && wide.type == SR_TEXT && wide.bytes > c->bytes;
  return c->type == SR_FLOAT && wide.type == SR_DOUBLE;
}

void sr_type_name(const struct sr_column *c, struct sql_buf *out)
{
  static const char *const name[] = {
      [SR_OTHER] = "utf8",     [SR_BOOLEAN] = "bool",       [SR_TINYINT] = "int8",
      [SR_SMALLINT] = "int16", [SR_INT] = "int32",          [SR_BIGINT] = "int64",
      [SR_FLOAT] = "float32",  [SR_DOUBLE] = "float64",     [SR_LARGEINT] = "decimal(38,0)",
      [SR_DATE] = "date",      [SR_DATETIME] = "timestamp", [SR_TEXT] = "utf8",
      [SR_BINARY] = "binary",  [SR_JSON] = "json",          [SR_NESTED] = "json"};
  if (c->type == SR_DECIMAL)
    sql_buf_fmt(out, "decimal(%d,%d)", c->precision, c->scale);
  else
    sql_buf_str(out, name[c->type]);
}
