/* SPDX-License-Identifier: Apache-2.0 */
/* Types of Cassandra as Arrow types. */
#include "common/cql-type.h"

static const char *format_of(enum cql_kind k)
{
  switch (k) {
  case CQL_BIGINT:
  case CQL_COUNTER: return "l";
  case CQL_BLOB: return "z";
  case CQL_BOOLEAN: return "b";
  case CQL_DATE: return "tdD";
  case CQL_DECIMAL: return CQL_DECIMAL_DEFAULT;
  case CQL_DOUBLE: return "g";
  case CQL_FLOAT: return "f";
  case CQL_INT: return "i";
  case CQL_SMALLINT: return "s";
  case CQL_TIME: return "ttu";
  case CQL_TIMESTAMP: return "tsu:UTC";
  case CQL_TIMEUUID:
  case CQL_UUID: return "w:16";
  case CQL_TINYINT: return "c";
  case CQL_VARINT: return CQL_VARINT_DEFAULT;
  case CQL_LIST:
  case CQL_SET:
  case CQL_VECTOR: return "+l";
  case CQL_MAP: return "+m";
  case CQL_TUPLE:
  case CQL_UDT:
  case CQL_DURATION: return "+s";
  default: return "u";
  }
}

static bool add(struct ArrowSchema *parent, struct ArrowSchema *child, bool ok)
{
  if (ok && mr_schema_add(parent, child))
    return true;
  mr_schema_release(child);
  return false;
}
static bool add_type(struct ArrowSchema *parent, const struct cql_type *t, const char *name,
                     bool nullable)
{
  struct ArrowSchema child;
  bool ok = cql_type_arrow(t, name, &child);
  if (ok && !nullable)
    child.flags &= ~(int64_t)ARROW_FLAG_NULLABLE;
  return add(parent, &child, ok);
}

static bool map_of(const struct cql_type *t, struct ArrowSchema *ret)
{
  struct ArrowSchema entries;
  bool ok = mr_schema_init(&entries, "entries", "+s", false) &&
            add_type(&entries, &t->child[0], "key", false) &&
            add_type(&entries, &t->child[1], "value", true);
  return add(ret, &entries, ok);
}

static bool fields_of(const struct cql_type *t, struct ArrowSchema *ret)
{
  bool ok = true;
  for (size_t i = 0; ok && i < t->n_child; i++) {
    char number[24];
    snprintf(number, sizeof number, "f%zu", i + 1);
    ok = add_type(ret, &t->child[i], t->field ? t->field[i] : number, true);
  }
  return ok;
}

bool cql_type_arrow(const struct cql_type *t, const char *name, struct ArrowSchema *ret)
{
  if (!mr_schema_init(ret, name, format_of(t->kind), true))
    return false;
  switch (t->kind) {
  case CQL_UUID:
  case CQL_TIMEUUID: return mr_schema_set_meta(ret, MR_META_EXTENSION, "arrow.uuid");
  case CQL_LIST:
  case CQL_SET:
  case CQL_VECTOR: return add_type(ret, &t->child[0], "item", true);
  case CQL_MAP: return map_of(t, ret);
  case CQL_TUPLE:
  case CQL_UDT: return fields_of(t, ret);
  case CQL_DURATION:
    return mr_schema_field(ret, "months", "i", true) && mr_schema_field(ret, "days", "i", true) &&
           mr_schema_field(ret, "nanoseconds", "l", true);
  default: return true;
  }
}

/* ---- declared columns */

int64_t cql_type_field(const struct cql_type *t, const char *name)
{
  if (!t->field) {
    char number[24];
    for (size_t i = 0; i < t->n_child; i++) {
      snprintf(number, sizeof number, "f%zu", i + 1);
      if (!strcmp(number, name))
        return (int64_t)i;
    }
    return -1;
  }
  for (size_t i = 0; i < t->n_child; i++)
    if (!strcmp(t->field[i], name))
      return (int64_t)i;
  return -1;
}

static bool fields_fit(const struct cql_type *t, const struct ArrowSchema *s, const char **ret_why)
{
  for (int64_t i = 0; i < s->n_children; i++) {
    int64_t at = cql_type_field(t, s->children[i]->name);
    *ret_why = "a struct's field that the type does not have, or has twice";
    if (at < 0 || mr_schema_find(s, s->children[i]->name) != i ||
        !cql_type_fits(&t->child[at], s->children[i], ret_why))
      return false;
  }
  return s->n_children > 0;
}

static bool duration_fits(const struct ArrowSchema *s)
{
  return s->n_children == 3 && !strcmp(s->children[0]->name, "months") &&
         !strcmp(s->children[1]->name, "days") && !strcmp(s->children[2]->name, "nanoseconds") &&
         mr_kind_of(s->children[0]) == MR_K_INT32 && mr_kind_of(s->children[1]) == MR_K_INT32 &&
         mr_kind_of(s->children[2]) == MR_K_INT64;
}

static bool scalar_fits(enum cql_kind t, enum mr_kind k)
{
  switch (t) {
  case CQL_TINYINT:
  case CQL_SMALLINT:
  case CQL_INT:
  case CQL_BIGINT:
  case CQL_COUNTER:
  case CQL_VARINT: return mr_kind_is_int(k) || k == MR_K_DECIMAL || k == MR_K_TEXT;
  case CQL_DECIMAL: return k == MR_K_DECIMAL || k == MR_K_TEXT;
  case CQL_FLOAT: return k == MR_K_FLOAT32 || k == MR_K_FLOAT64;
  case CQL_DOUBLE: return k == MR_K_FLOAT64;
  case CQL_BOOLEAN: return k == MR_K_BOOL;
  case CQL_DATE: return k == MR_K_DATE;
  case CQL_TIME: return k == MR_K_TIME || k == MR_K_INT64;
  case CQL_TIMESTAMP: return k == MR_K_TIMESTAMP || k == MR_K_INT64;
  case CQL_UUID:
  case CQL_TIMEUUID: return k == MR_K_FIXED || k == MR_K_TEXT;
  case CQL_BLOB: return k == MR_K_BINARY;
  case CQL_ASCII:
  case CQL_TEXT: return k == MR_K_TEXT || k == MR_K_BINARY;
  case CQL_EMPTY:
  case CQL_DURATION:
  case CQL_INET: return k == MR_K_TEXT;
  default: return false;
  }
}

bool cql_type_fits(const struct cql_type *t, const struct ArrowSchema *s, const char **ret_why)
{
  enum mr_kind k = mr_kind_of(s);
  if ((t->kind == CQL_TUPLE || t->kind == CQL_UDT) && k == MR_K_STRUCT)
    return fields_fit(t, s, ret_why);
  if ((t->kind == CQL_LIST || t->kind == CQL_SET || t->kind == CQL_VECTOR) && k == MR_K_LIST)
    return cql_type_fits(&t->child[0], s->children[0], ret_why);
  if (t->kind == CQL_MAP && k == MR_K_MAP)
    return cql_type_fits(&t->child[0], s->children[0]->children[0], ret_why) &&
           cql_type_fits(&t->child[1], s->children[0]->children[1], ret_why);
  *ret_why = "values of this type do not fit the column";
  return scalar_fits(t->kind, k) ||
         (t->kind == CQL_DURATION && k == MR_K_STRUCT && duration_fits(s));
}
