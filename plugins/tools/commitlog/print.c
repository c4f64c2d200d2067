/* SPDX-License-Identifier: Apache-2.0 */
#include "print.h"
#include <inttypes.h>
#include "common/sql-text.h"
#include "value.h"

static const char *const ops[] = {
    [CLOG_INSERT] = "insert",
    [CLOG_UPDATE] = "update",
    [CLOG_DELETE_ROW] = "delete_row",
    [CLOG_DELETE_RANGE] = "delete_range",
    [CLOG_DELETE_PARTITION] = "delete_partition",
};

static void put_place(struct sql_buf *out, const struct clog_entry *entry, const char *op)
{
  sql_buf_fmt(out, "{\"segment\":%" PRId64 ",\"position\":%" PRId64 ",\"op\":\"%s\"",
              entry->segment, entry->position, op);
}

static void put_text(struct sql_buf *out, const char *key, const char *text)
{
  sql_buf_fmt(out, ",\"%s\":", key);
  sql_buf_json(out, text);
}

static void put_number(struct sql_buf *out, const char *key, int64_t v)
{
  sql_buf_fmt(out, ",\"%s\":%" PRId64, key, v);
}

/* {"a":1,"b":"x"} */
static void put_values(struct sql_buf *out, const struct clog_column *c, const struct clog_bytes *v,
                       uint32_t n)
{
  sql_buf_byte(out, '{');
  for (uint32_t i = 0; i < n; i++) {
    if (i)
      sql_buf_byte(out, ',');
    sql_buf_json(out, c[i].name);
    sql_buf_byte(out, ':');
    value_json(out, &c[i].type, v[i]);
  }
  sql_buf_byte(out, '}');
}

static void put_expiry(struct sql_buf *out, int32_t ttl, int64_t expires)
{
  if (!ttl)
    return;
  put_number(out, "ttl", ttl);
  put_number(out, "expires", expires);
}

static void put_set(struct sql_buf *out, const struct clog_cell *c)
{
  const struct cql_type *t = &c->column->type;
  if (c->column->multi && t->kind == CQL_SET)
    return; /* the path is all there is */
  sql_buf_str(out, ",\"value\":");
  if (c->column->multi)
    value_element(out, t, c->path, c->value);
  else
    value_json(out, t, c->value);
}

static void put_cell(struct sql_buf *out, const struct clog_cell *c, int64_t timestamp)
{
  sql_buf_str(out, "{\"column\":");
  sql_buf_json(out, c->column->name);
  if (c->path.len >= 0) {
    sql_buf_str(out, ",\"path\":");
    value_path(out, &c->column->type, c->path);
  }
  if (c->op == CLOG_SET)
    put_set(out, c);
  else
    sql_buf_fmt(out, ",\"%s\":true", c->op == CLOG_UNSET ? "deleted" : "cleared");
  put_expiry(out, c->ttl, c->expires);
  if (c->timestamp != timestamp)
    put_number(out, "timestamp", c->timestamp);
  if (c->dropped)
    sql_buf_str(out, ",\"dropped\":true");
  sql_buf_byte(out, '}');
}

static void put_cells(struct sql_buf *out, const struct clog_event *e)
{
  sql_buf_str(out, ",\"cells\":[");
  for (uint32_t i = 0; i < e->n_cells; i++) {
    if (i)
      sql_buf_byte(out, ',');
    put_cell(out, &e->cell[i], e->timestamp);
  }
  sql_buf_byte(out, ']');
}

static void put_bound(struct sql_buf *out, const char *key, const struct clog_table *t,
                      const struct clog_bound *b)
{
  sql_buf_fmt(out, ",\"%s\":{\"inclusive\":%s,\"clustering\":", key,
              b->inclusive ? "true" : "false");
  put_values(out, clog_table_columns(t, CLOG_CLUSTERING), b->value, b->n);
  sql_buf_byte(out, '}');
}

void print_event(struct sql_buf *out, const struct clog_event *e, const struct clog_entry *entry)
{
  const struct clog_table *t = e->table;
  put_place(out, entry, ops[e->op]);
  put_text(out, "keyspace", t->keyspace);
  put_text(out, "table", t->name);
  put_number(out, "timestamp", e->timestamp);
  put_expiry(out, e->ttl, e->expires);
  sql_buf_str(out, ",\"key\":");
  put_values(out, clog_table_columns(t, CLOG_PARTITION_KEY), e->key,
             clog_table_count(t, CLOG_PARTITION_KEY));
  if (e->is_static)
    sql_buf_str(out, ",\"static\":true");
  if (e->n_clustering) {
    sql_buf_str(out, ",\"clustering\":");
    put_values(out, clog_table_columns(t, CLOG_CLUSTERING), e->clustering, e->n_clustering);
  }
  if (e->op == CLOG_INSERT || e->op == CLOG_UPDATE)
    put_cells(out, e);
  if (e->op == CLOG_DELETE_RANGE) {
    put_bound(out, "start", t, &e->start);
    put_bound(out, "end", t, &e->end);
  }
  sql_buf_str(out, "}\n");
}

void print_unknown(struct sql_buf *out, const struct clog_unknown *u,
                   const struct clog_entry *entry)
{
  put_place(out, entry, "unknown");
  if (u->table) {
    put_text(out, "keyspace", u->table->keyspace);
    put_text(out, "table", u->table->name);
    sql_buf_str(out, ",\"column\":");
    sql_buf_json_bytes(out, (const char *)u->column, u->column_len);
  } else {
    sql_buf_str(out, ",\"table_id\":\"");
    sql_text_uuid(out, u->id);
    sql_buf_byte(out, '"');
  }
  sql_buf_fmt(out, ",\"bytes\":%u}\n", entry->len);
}
