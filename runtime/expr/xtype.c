/* SPDX-License-Identifier: Apache-2.0 */
/* Types as the expression engine sees them. */
#include "expr/internal.h"
#include <stdio.h>

enum mr_phys mr_phys_of(const struct mr_xtype *t)
{
  switch (t->kind) {
  case MR_K_BOOL: return MR_P_BOOL;
  case MR_K_INT8:
  case MR_K_INT16:
  case MR_K_INT32:
  case MR_K_INT64:
  case MR_K_UINT8:
  case MR_K_UINT16:
  case MR_K_UINT32:
  case MR_K_DATE:
  case MR_K_TIME:
  case MR_K_TIMESTAMP: return MR_P_I64;
  case MR_K_UINT64: return MR_P_U64;
  case MR_K_FLOAT32:
  case MR_K_FLOAT64: return MR_P_F64;
  case MR_K_DECIMAL: return MR_P_DEC;
  case MR_K_TEXT:
  case MR_K_BINARY:
  case MR_K_FIXED: return MR_P_TEXT;
  case MR_K_INTERVAL: return MR_P_IVAL;
  default: return MR_P_ANY;
  }
}

struct mr_xtype mr_xtype_of_kind(int kind)
{
  return (struct mr_xtype){.kind = kind, .zone = ""};
}

struct mr_xtype mr_xtype_decimal(int precision, int scale)
{
  return (
      struct mr_xtype){.kind = MR_K_DECIMAL, .precision = precision, .scale = scale, .zone = ""};
}

struct mr_xtype mr_xtype_timestamp(const char *zone)
{
  return (struct mr_xtype){.kind = MR_K_TIMESTAMP, .zone = zone};
}

bool mr_xtype_equal(const struct mr_xtype *a, const struct mr_xtype *b)
{
  return a->kind == b->kind && a->precision == b->precision && a->scale == b->scale &&
         a->json == b->json && !strcmp(a->zone, b->zone) &&
         (mr_phys_of(a) != MR_P_ANY || a->schema == b->schema);
}

bool mr_xtype_is_int(const struct mr_xtype *t)
{
  return t->kind >= MR_K_INT8 && t->kind <= MR_K_UINT64;
}

bool mr_xtype_is_float(const struct mr_xtype *t)
{
  return t->kind == MR_K_FLOAT32 || t->kind == MR_K_FLOAT64;
}

bool mr_xtype_is_number(const struct mr_xtype *t)
{
  return mr_xtype_is_int(t) || mr_xtype_is_float(t) || t->kind == MR_K_DECIMAL;
}

bool mr_xtype_is_text(const struct mr_xtype *t)
{
  return t->kind == MR_K_TEXT;
}

const char *mr_xtype_name(const struct mr_xtype *t, char *buf, size_t size)
{
  static const char *const names[] = {
      [MR_K_BOOL] = "bool",       [MR_K_INT8] = "int8",        [MR_K_INT16] = "int16",
      [MR_K_INT32] = "int32",     [MR_K_INT64] = "int64",      [MR_K_UINT8] = "uint8",
      [MR_K_UINT16] = "uint16",   [MR_K_UINT32] = "uint32",    [MR_K_UINT64] = "uint64",
      [MR_K_FLOAT32] = "float32", [MR_K_FLOAT64] = "float64",  [MR_K_DATE] = "date",
      [MR_K_TIME] = "time",       [MR_K_BINARY] = "binary",    [MR_K_FIXED] = "uuid",
      [MR_K_NULL] = "null",       [MR_K_LIST] = "list",        [MR_K_STRUCT] = "struct",
      [MR_K_MAP] = "map",         [MR_K_INTERVAL] = "interval"};
  if (t->schema)
    return mr_type_name(t->schema, buf, size);
  if (t->kind == MR_K_DECIMAL)
    snprintf(buf, size, "decimal(%d,%d)", t->precision, t->scale);
  else if (t->kind == MR_K_TEXT)
    snprintf(buf, size, "%s", t->json ? "json" : "utf8");
  else if (t->kind == MR_K_TIMESTAMP && !t->zone[0])
    snprintf(buf, size, "timestamp");
  else if (t->kind == MR_K_TIMESTAMP)
    snprintf(buf, size, "timestamp(%s)", t->zone);
  else
    snprintf(buf, size, "%s", names[t->kind] ? names[t->kind] : "?");
  return buf;
}

bool mr_xtype_of_schema(struct mr_arena *a, const struct ArrowSchema *s, struct mr_xtype *ret)
{
  *ret = mr_xtype_of_kind(mr_kind_of(s));
  mr_decimal_of(s, &ret->precision, &ret->scale);
  ret->json = ret->kind == MR_K_TEXT && mr_schema_is_json(s);
  if (mr_phys_of(ret) == MR_P_ANY)
    ret->schema = s;
  const char *zone = mr_zone_of(s);
  if (!zone[0])
    return true;
  ret->zone = mr_arena_strndup(a, zone, (int64_t)strlen(zone));
  return ret->zone != NULL;
}
