/* SPDX-License-Identifier: Apache-2.0 */
/* What the cluster has: its health, its tables, the columns of one. */
#include "cassandra.h"
#include "common/src-error.h"
#include "log.h"

static int put_line(mr_put_fn *put, void *out, struct sql_buf *b, struct mr_error *err)
{
  sql_buf_byte(b, '\n');
  int rc = b->failed ? src_no_memory(err) : put(out, b->p, b->len);
  sql_buf_clear(b);
  return rc < 0 ? rc : MR_OK;
}

static int check_log(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  struct cass_log *l = NULL;
  struct sql_buf b = {0};
  int rc = cass_log_open(o, &l, err);
  if (rc >= 0)
    rc = cass_log_check(l, &b, err);
  if (rc >= 0)
    rc = put_line(put, out, &b, err);
  cass_log_close(l);
  sql_buf_done(&b);
  return rc;
}

int cass_check(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  const struct cass_conf *conf = o->conf;
  struct cass_source s;
  struct sql_buf b = {0};
  if (conf->mode != CASS_SNAPSHOT)
    return check_log(o, put, out, err);
  int rc = cass_init(&s, o, err);
  if (rc >= 0)
    rc = cass_learn(&s, err);
  if (rc >= 0) {
    sql_buf_fmt(&b, "Cassandra %s%s, data centre %s, table %s: ok", s.conn.release, s.conn.where,
                s.conn.datacenter, s.conf->table);
    rc = put_line(put, out, &b, err);
  }
  cass_done(&s);
  sql_buf_done(&b);
  return rc;
}

/* ---- types, as pipeline files write them */

static void type_of(const struct ArrowSchema *c, struct sql_buf *b);

static void children_of(const struct ArrowSchema *c, bool names, struct sql_buf *b)
{
  for (int64_t i = 0; i < c->n_children; i++) {
    sql_buf_str(b, i ? ", " : "<");
    if (names)
      sql_buf_fmt(b, "%s: ", c->children[i]->name);
    type_of(c->children[i], b);
  }
  sql_buf_byte(b, '>');
}

static void type_of(const struct ArrowSchema *c, struct sql_buf *b)
{
  static const char *const names[][2] = {
      {"b", "bool"},    {"c", "int8"},    {"s", "int16"},   {"i", "int32"},
      {"l", "int64"},   {"f", "float32"}, {"g", "float64"}, {"u", "utf8"},
      {"z", "binary"},  {"tdD", "date"},  {"ttu", "time"},  {"tsu:UTC", "timestamptz"},
      {"w:16", "uuid"}, {"+l", "list"},   {"+m", "map"},    {"+s", "struct"}};
  int precision, scale;
  mr_decimal_of(c, &precision, &scale);
  if (precision)
    sql_buf_fmt(b, "decimal(%d,%d)", precision, scale);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strcmp(c->format, names[i][0]))
      sql_buf_str(b, names[i][1]);
  if (c->n_children)
    children_of(mr_kind_of(c) == MR_K_MAP ? c->children[0] : c, mr_kind_of(c) == MR_K_STRUCT, b);
}

/* ---- tables and columns */

static bool is_plain(const char *name)
{
  return *name && !strpbrk(name, ".\"");
}
static void put_name(struct sql_buf *b, const char *name)
{
  if (is_plain(name))
    sql_buf_str(b, name);
  else
    sql_ident(b, name);
}

static void cell_text(struct cql_read *r, char *buf, size_t size)
{
  int64_t n;
  const uint8_t *p = cql_read_value(r, &n);
  snprintf(buf, size, "%.*s", p ? (int)n : 0, p ? (const char *)p : "");
}

static int put_table(const char *keyspace, const char *table, mr_put_fn *put, void *out,
                     struct mr_error *err)
{
  struct sql_buf b = {0}, name = {0};
  put_name(&name, keyspace);
  sql_buf_byte(&name, '.');
  put_name(&name, table);
  sql_buf_str(&b, "{\"table\":");
  sql_buf_json(&b, sql_buf_text(&name));
  sql_buf_byte(&b, '}');
  int rc = put_line(put, out, &b, err);
  sql_buf_done(&name);
  sql_buf_done(&b);
  return rc;
}

static int list_tables(struct cass_source *s, mr_put_fn *put, void *out, struct mr_error *err)
{
  struct cql_rows rows;
  char keyspace[256], table[256];
  int rc = cql_conn_open(&s->conn, err);
  if (rc < 0)
    return rc;
  rc = cql_conn_query(&s->conn, "SELECT keyspace_name, table_name FROM system_schema.tables", NULL,
                      0, &rows, err);
  cql_columns_done(&rows.columns);
  for (int32_t i = 0; rc >= 0 && i < rows.n; i++) {
    cell_text(&rows.cells, keyspace, sizeof keyspace);
    cell_text(&rows.cells, table, sizeof table);
    if (strcmp(keyspace, "system") && strncmp(keyspace, "system_", 7))
      rc = put_table(keyspace, table, put, out, err);
  }
  return rc;
}

static int put_column(const struct cass_column *column, const struct ArrowSchema *c, mr_put_fn *put,
                      void *out, struct mr_error *err)
{
  struct sql_buf b = {0}, name = {0};
  sql_buf_str(&b, "{\"column\":");
  sql_buf_json(&b, c->name);
  sql_buf_str(&b, ",\"source_type\":");
  sql_buf_json(&b, column->type);
  type_of(c, &name);
  sql_buf_str(&b, ",\"type\":");
  sql_buf_json(&b, sql_buf_text(&name));
  sql_buf_fmt(&b, ",\"nullable\":%s}", column->kind == CASS_PARTITION_KEY ? "false" : "true");
  int rc = put_line(put, out, &b, err);
  sql_buf_done(&name);
  sql_buf_done(&b);
  return rc;
}

static int list_columns(struct cass_source *s, mr_put_fn *put, void *out, struct mr_error *err)
{
  struct cass_table t = {0};
  int rc = cass_learn(s, err);
  if (rc >= 0)
    rc = cass_table_read(&s->conn, &s->name, &t, err);
  for (int64_t i = 0; rc >= 0 && i < s->columns.n_children; i++) {
    int64_t at = cass_table_find(&t, s->columns.children[i]->name);
    if (at >= 0)
      rc = put_column(&t.column[at], s->columns.children[i], put, out, err);
  }
  cass_table_done(&t);
  return rc;
}

int cass_discover(const struct mr_open *o, const char *table, mr_put_fn *put, void *out,
                  struct mr_error *err)
{
  struct cass_source s;
  struct mr_open asked = *o;
  struct cass_conf conf = *(const struct cass_conf *)o->conf;
  conf.columns = NULL; /* all that the table has */
  conf.writetime = conf.ttl = (struct mr_list){0};
  if (table)
    conf.table = table;
  asked.conf = &conf;
  int rc = cass_init(&s, &asked, err);
  if (rc >= 0)
    rc = table ? list_columns(&s, put, out, err) : list_tables(&s, put, out, err);
  cass_done(&s);
  return rc;
}
