/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "common/clog-cql.h"

static void put_name(struct sql_buf *out, const char *name)
{
  sql_buf_byte(out, '"');
  for (; *name; name++) {
    if (*name == '"')
      sql_buf_byte(out, '"');
    sql_buf_byte(out, *name);
  }
  sql_buf_byte(out, '"');
}

static void put_full_name(struct sql_buf *out, const char *keyspace, const char *name)
{
  put_name(out, keyspace);
  sql_buf_byte(out, '.');
  put_name(out, name);
}

/* CREATE TYPE for each user type within t, those that others need first. */
static void put_types(struct sql_buf *out, const char *keyspace, const struct cql_type *t)
{
  for (size_t i = 0; i < t->n_child; i++)
    put_types(out, keyspace, &t->child[i]);
  if (t->kind != CQL_UDT)
    return;
  sql_buf_str(out, "CREATE TYPE ");
  put_full_name(out, keyspace, t->name);
  for (size_t i = 0; i < t->n_child; i++) {
    sql_buf_str(out, i ? ", " : " (");
    put_name(out, t->field[i]);
    sql_buf_byte(out, ' ');
    cql_type_name(&t->child[i], out);
  }
  sql_buf_str(out, ");\n");
}

static void put_column(struct sql_buf *out, const struct clog_column *c)
{
  put_name(out, c->name);
  sql_buf_byte(out, ' ');
  cql_type_name(&c->type, out);
  if (c->kind == CLOG_STATIC)
    sql_buf_str(out, " STATIC");
}

static void put_names(struct sql_buf *out, const struct clog_table *t, enum clog_column_kind kind,
                      const char *first)
{
  const struct clog_column *c = clog_table_columns(t, kind);
  for (uint32_t i = 0; i < clog_table_count(t, kind); i++) {
    sql_buf_str(out, i ? ", " : first);
    put_name(out, c[i].name);
  }
}

static void put_order(struct sql_buf *out, const struct clog_table *t)
{
  const struct clog_column *c = clog_table_columns(t, CLOG_CLUSTERING);
  uint32_t n = clog_table_count(t, CLOG_CLUSTERING);
  for (uint32_t i = 0; i < n; i++) {
    sql_buf_str(out, i ? ", " : " AND CLUSTERING ORDER BY (");
    put_name(out, c[i].name);
    sql_buf_str(out, c[i].descending ? " DESC" : " ASC");
  }
  if (n)
    sql_buf_byte(out, ')');
}

static void put_id(struct sql_buf *out, const uint8_t *id)
{
  for (int i = 0; i < 16; i++)
    sql_buf_fmt(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
}

/* A column that was dropped stands in CREATE TABLE, is dropped, and added again if it is back. */
static void put_dropped(struct sql_buf *out, const struct clog_table *t,
                        const struct clog_column *c)
{
  if (c->dropped == CLOG_NEVER)
    return;
  sql_buf_str(out, "ALTER TABLE ");
  put_full_name(out, t->keyspace, t->name);
  sql_buf_str(out, " DROP ");
  put_name(out, c->name);
  sql_buf_fmt(out, " USING TIMESTAMP %lld;\n", (long long)c->dropped);
  if (c->gone)
    return;
  sql_buf_str(out, "ALTER TABLE ");
  put_full_name(out, t->keyspace, t->name);
  sql_buf_str(out, " ADD ");
  put_column(out, c);
  sql_buf_str(out, ";\n");
}

static void put_table(struct sql_buf *out, const struct clog_table *t)
{
  uint32_t n = t->kind_start[CLOG_COLUMN_KINDS];
  sql_buf_fmt(out, "-- from segment %lld position %lld\n", (long long)t->from_segment,
              (long long)t->from_position);
  for (uint32_t i = 0; i < n; i++)
    put_types(out, t->keyspace, &t->column[i].type);
  sql_buf_str(out, "CREATE TABLE ");
  put_full_name(out, t->keyspace, t->name);
  for (uint32_t i = 0; i < n; i++) {
    sql_buf_str(out, i ? ", " : " (");
    put_column(out, &t->column[i]);
  }
  sql_buf_str(out, ", PRIMARY KEY (");
  put_names(out, t, CLOG_PARTITION_KEY, "(");
  sql_buf_byte(out, ')');
  put_names(out, t, CLOG_CLUSTERING, ", ");
  sql_buf_str(out, ")) WITH ID = ");
  put_id(out, t->id);
  put_order(out, t);
  sql_buf_fmt(out, " AND cdc = %s%s;\n", t->cdc ? "true" : "false",
              t->compact ? " AND COMPACT STORAGE" : "");
  for (uint32_t i = 0; i < n; i++)
    put_dropped(out, t, &t->column[i]);
}

static int by_place(const void *a, const void *b)
{
  const struct clog_table *x = *(const struct clog_table *const *)a,
                          *y = *(const struct clog_table *const *)b;
  if (x->from_segment != y->from_segment)
    return x->from_segment < y->from_segment ? -1 : 1;
  if (x->from_position != y->from_position)
    return x->from_position < y->from_position ? -1 : 1;
  return memcmp(x->id, y->id, sizeof x->id);
}

void clog_cql_write(const struct clog_schema *schema, struct sql_buf *out)
{
  size_t n = 0, kept = 0;
  while (clog_schema_nth(schema, n))
    n++;
  const struct clog_table **all = calloc(n ? n : 1, sizeof *all);
  out->failed |= !all;
  for (size_t i = 0; all && i < n; i++) {
    const struct clog_table *t = clog_schema_nth(schema, i);
    if (!clog_id_is_system(t->id))
      all[kept++] = t;
  }
  if (kept)
    qsort(all, kept, sizeof *all, by_place);
  for (size_t i = 0; i < kept; i++)
    put_table(out, all[i]);
  free(all);
}
