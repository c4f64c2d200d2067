/* SPDX-License-Identifier: Apache-2.0 */
/* What the node's schema tables say about a table. */
#include "cassandra.h"
#include "common/src-error.h"

static const char columns_cql[] =
    "SELECT column_name, kind, position, type FROM system_schema.columns"
    " WHERE keyspace_name = ? AND table_name = ?";
static const char keyspace_cql[] =
    "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";

void cass_table_done(struct cass_table *t)
{
  for (size_t i = 0; i < t->n; i++) {
    free(t->column[i].name);
    free(t->column[i].type);
  }
  free(t->column);
  *t = (struct cass_table){0};
}

int64_t cass_table_find(const struct cass_table *t, const char *name)
{
  for (size_t i = 0; i < t->n; i++)
    if (!strcmp(t->column[i].name, name))
      return (int64_t)i;
  return -1;
}

static char *cell_text(struct cql_read *r)
{
  int64_t n;
  const uint8_t *p = cql_read_value(r, &n);
  return strndup(p ? (const char *)p : "", p ? (size_t)n : 0);
}

static enum cass_kind kind_of(const char *text)
{
  return !strcmp(text, "partition_key") ? CASS_PARTITION_KEY
         : !strcmp(text, "clustering")  ? CASS_CLUSTERING
         : !strcmp(text, "static")      ? CASS_STATIC
                                        : CASS_REGULAR;
}

static bool read_column(struct cql_read *r, struct cass_column *ret)
{
  int64_t n;
  ret->name = cell_text(r);
  char *kind = cell_text(r);
  const uint8_t *position = cql_read_value(r, &n);
  ret->type = cell_text(r);
  if (kind)
    ret->kind = kind_of(kind);
  ret->position = position && n == 4 ? (int32_t)cql_be32(position) : -1;
  bool ok = ret->name && ret->type && kind && !r->failed;
  free(kind);
  return ok;
}

static int compare(const void *pa, const void *pb)
{
  const struct cass_column *a = pa, *b = pb;
  if (a->kind != b->kind)
    return (a->kind > b->kind) - (a->kind < b->kind);
  if (a->position != b->position)
    return (a->position > b->position) - (a->position < b->position);
  return strcmp(a->name, b->name);
}

static int missing(struct cql_conn *c, const struct sql_name *name, struct mr_error *err)
{
  struct cql_rows rows;
  int rc = cql_conn_query(c, keyspace_cql, (const char *[]){name->schema}, 1, &rows, err);
  cql_columns_done(&rows.columns);
  if (rc < 0)
    return rc;
  if (!rows.n)
    return src_badconf(err, "table", "there is no keyspace `%.222s`%s", name->schema, c->where);
  return src_badconf(err, "table", "there is no table `%.222s` in keyspace `%.222s`%s", name->table,
                     name->schema, c->where);
}

int cass_table_read(struct cql_conn *c, const struct sql_name *name, struct cass_table *ret,
                    struct mr_error *err)
{
  struct cql_rows rows;
  memset(ret, 0, sizeof *ret);
  int rc =
      cql_conn_query(c, columns_cql, (const char *[]){name->schema, name->table}, 2, &rows, err);
  cql_columns_done(&rows.columns);
  if (rc < 0)
    return rc;
  if (!rows.n)
    return missing(c, name, err);
  ret->column = calloc((size_t)rows.n, sizeof *ret->column);
  if (!ret->column)
    return src_no_memory(err);
  for (ret->n = 0; ret->n < (size_t)rows.n; ret->n++)
    if (!read_column(&rows.cells, &ret->column[ret->n])) {
      ret->n++;
      return src_no_memory(err);
    }
  qsort(ret->column, ret->n, sizeof *ret->column, compare);
  return MR_OK;
}
