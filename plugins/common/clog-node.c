/* SPDX-License-Identifier: Apache-2.0 */
#include "common/clog-node.h"
#include "common/clog-private.h"
#include "common/src-error.h"

#define CELLS_MAX 8

/* One row of system_schema: texts are copied, the others lent. */
struct row {
  const char *keyspace;
  struct clog_bytes cell[CELLS_MAX];
  char *text[2];   /* of the first two cells */
  int64_t written; /* us; the last cell */
};

static struct clog_bytes next_cell(struct cql_read *r)
{
  int64_t n;
  const uint8_t *p = cql_read_value(r, &n);
  return (struct clog_bytes){p, (int32_t)n};
}

static const struct clog_bytes *or_null(const struct clog_bytes *v)
{
  return v->len < 0 ? NULL : v;
}

static bool read_row(struct cql_read *r, int32_t n, struct row *ret)
{
  for (int32_t i = 0; i < n; i++)
    ret->cell[i] = next_cell(r);
  const struct clog_bytes *at = &ret->cell[n - 1];
  ret->written = at->len == 8 ? (int64_t)cql_be64(at->p) : CLOG_NEVER;
  bool ok = !r->failed;
  for (int i = 0; i < 2; i++) {
    const struct clog_bytes *v = &ret->cell[i];
    ret->text[i] = strndup(v->len > 0 ? (const char *)v->p : "", v->len > 0 ? (size_t)v->len : 0);
    ok = ok && ret->text[i];
  }
  return ok;
}

static void row_done(struct row *row)
{
  free(row->text[0]);
  free(row->text[1]);
}

static char *text_of(const struct clog_bytes *v)
{
  return v->len < 0 ? NULL : strndup((const char *)v->p, (size_t)v->len);
}

static int put_table(struct clog_schema *s, const struct row *r, struct mr_error *err)
{
  const struct clog_bytes *id = &r->cell[1], *cdc = &r->cell[2], *flags = or_null(&r->cell[3]);
  struct clog_table_row row = {.keyspace = r->keyspace, .table = r->text[0]};
  row.id = id->len == 16 ? id->p : NULL;
  row.cdc = cdc->len == 1 && cdc->p[0];
  if (flags)
    clog_system_flags(flags, &row);
  return clog_schema_put_table(s, &row, r->written, err);
}

static int put_view(struct clog_schema *s, const struct row *r, struct mr_error *err)
{
  const struct clog_bytes *id = &r->cell[1];
  struct clog_table_row row = {.keyspace = r->keyspace, .table = r->text[0]};
  row.id = id->len == 16 ? id->p : NULL;
  return clog_schema_put_table(s, &row, r->written, err);
}

static int put_column(struct clog_schema *s, const struct row *r, struct mr_error *err)
{
  const struct clog_bytes *position = &r->cell[3], *order = &r->cell[4];
  struct clog_column_row row = {.keyspace = r->keyspace,
                                .table = r->text[0],
                                .column = r->text[1],
                                .kind = clog_system_kind(or_null(&r->cell[2])),
                                .position = -1};
  if (position->len == 4)
    row.position = (int32_t)cql_be32(position->p);
  row.descending = order->len == 4 && !memcmp(order->p, "desc", 4);
  char *type = text_of(&r->cell[5]);
  row.type = type;
  int rc = clog_schema_put_column(s, &row, r->written, err);
  free(type);
  return rc;
}

static int put_dropped(struct clog_schema *s, const struct row *r, struct mr_error *err)
{
  char *type = text_of(&r->cell[3]);
  struct clog_dropped_row row = {.keyspace = r->keyspace,
                                 .table = r->text[0],
                                 .column = r->text[1],
                                 .kind = clog_system_kind(or_null(&r->cell[2])),
                                 .type = type,
                                 .dropped = clog_system_us(or_null(&r->cell[4]))};
  int rc = clog_schema_put_dropped(s, &row, r->written, err);
  free(type);
  return rc;
}

static int put_type(struct clog_schema *s, const struct row *r, struct mr_error *err)
{
  size_t n = 0, n_types = 0;
  char **name = clog_system_texts(&r->cell[1], &n),
       **type = clog_system_texts(&r->cell[2], &n_types);
  struct clog_type_row row = {r->keyspace, r->text[0], (const char *const *)name,
                              (const char *const *)type, n};
  int rc = name && type && n == n_types ? clog_schema_put_type(s, &row, r->written, err)
                                        : src_no_memory(err);
  clog_system_texts_free(name);
  clog_system_texts_free(type);
  return rc;
}

/* In the order in which they are put: a column's type may name a user type. */
static const struct {
  const char *cql;
  int (*put)(struct clog_schema *, const struct row *, struct mr_error *);
} parts[] = {
    {"SELECT type_name, field_names, field_types, WRITETIME(field_names) FROM system_schema.types"
     " WHERE keyspace_name = ?",
     put_type},
    {"SELECT table_name, id, cdc, flags, WRITETIME(id) FROM system_schema.tables"
     " WHERE keyspace_name = ?",
     put_table},
    {"SELECT view_name, id, WRITETIME(id) FROM system_schema.views WHERE keyspace_name = ?",
     put_view},
    {"SELECT table_name, column_name, kind, position, clustering_order, type, WRITETIME(type)"
     " FROM system_schema.columns WHERE keyspace_name = ?",
     put_column},
    {"SELECT table_name, column_name, kind, type, dropped_time, WRITETIME(type)"
     " FROM system_schema.dropped_columns WHERE keyspace_name = ?",
     put_dropped},
};

static int read_part(struct clog_schema *schema, struct cql_conn *c, const char *keyspace, size_t i,
                     struct mr_error *err)
{
  struct cql_rows rows;
  int rc = cql_conn_query(c, parts[i].cql, &keyspace, 1, &rows, err);
  int32_t n = rows.columns.n;
  cql_columns_done(&rows.columns);
  if (rc >= 0 && (n < 3 || n > CELLS_MAX))
    rc = src_fail(err, MR_FATAL, "", "malformed answer of Cassandra%s", c->where);
  for (int32_t k = 0; rc >= 0 && k < rows.n; k++) {
    struct row row = {.keyspace = keyspace};
    rc = read_row(&rows.cells, n, &row) ? parts[i].put(schema, &row, err) : src_no_memory(err);
    row_done(&row);
  }
  return rc;
}

int clog_node_read(struct clog_schema *schema, struct cql_conn *c, const char *keyspace,
                   struct mr_error *err)
{
  int rc = MR_OK;
  for (size_t i = 0; rc >= 0 && i < sizeof parts / sizeof *parts; i++)
    rc = read_part(schema, c, keyspace, i, err);
  return rc;
}
