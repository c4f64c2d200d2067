/* SPDX-License-Identifier: Apache-2.0 */
#include "common/maria-discover.h"
#include "common/maria-type.h"

void maria_describe_server(const struct maria_conn *c, struct sql_buf *out)
{
  const char *version = mysql_get_server_info(c->db);
  bool mariadb = version && strstr(version, "MariaDB");
  unsigned long n = mysql_get_server_version(c->db);
  sql_buf_fmt(out, "%s %lu.%lu.%lu", mariadb ? "MariaDB" : "MySQL", n / 10000, n / 100 % 100,
              n % 100);
}

static int put_line(mr_put_fn *put, void *out, struct sql_buf *b, struct mr_error *err)
{
  sql_buf_byte(b, '\n');
  int status = b->failed ? src_no_memory(err) : put(out, b->p, b->len);
  sql_buf_clear(b);
  return status < 0 ? status : MR_OK;
}

static const char tables_sql[] =
    "SELECT IF(TABLE_SCHEMA = DATABASE(), TABLE_NAME, CONCAT(TABLE_SCHEMA, '.', TABLE_NAME)) FROM"
    " information_schema.TABLES WHERE TABLE_SCHEMA NOT IN ('information_schema', 'mysql',"
    " 'performance_schema', 'sys') AND (DATABASE() IS NULL OR TABLE_SCHEMA = DATABASE()) ORDER BY "
    "1";

static int list_tables(struct maria_conn *c, mr_put_fn *put, void *out, struct mr_error *err)
{
  struct sql_buf b = {0};
  MYSQL_RES *res = NULL;
  MYSQL_ROW row;
  int status = maria_query(c, tables_sql, "SELECT from the catalog", &res, err);
  while (status >= 0 && (row = mysql_fetch_row(res))) {
    sql_buf_str(&b, "{\"table\": ");
    sql_buf_json(&b, row[0]);
    sql_buf_byte(&b, '}');
    status = put_line(put, out, &b, err);
  }
  mysql_free_result(res);
  sql_buf_done(&b);
  return status;
}

static void columns_sql(const struct sql_name *n, struct sql_buf *sql)
{
  sql_buf_str(sql, "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE,"
                   " CHARACTER_MAXIMUM_LENGTH, CHARACTER_OCTET_LENGTH, NUMERIC_PRECISION,"
                   " NUMERIC_SCALE, DATETIME_PRECISION FROM information_schema.COLUMNS WHERE"
                   " TABLE_SCHEMA = ");
  if (n->schema)
    maria_literal(sql, n->schema);
  else
    sql_buf_str(sql, "DATABASE()");
  sql_buf_str(sql, " AND TABLE_NAME = ");
  maria_literal(sql, n->table);
  sql_buf_str(sql, " ORDER BY ORDINAL_POSITION");
}

static int64_t number(const char *text)
{
  return text ? strtoll(text, NULL, 10) : -1; /* the server wrote it */
}

static void column_line(MYSQL_ROW row, struct sql_buf *b)
{
  struct maria_catalog k = {row[1],         row[2],         number(row[4]), number(row[5]),
                            number(row[6]), number(row[7]), number(row[8])};
  struct maria_type t;
  maria_type_read(&k, &t);
  sql_buf_str(b, "{\"column\": ");
  sql_buf_json(b, row[0]);
  sql_buf_str(b, ", \"source_type\": ");
  sql_buf_json(b, row[2]);
  sql_buf_str(b, ", \"type\": \"");
  maria_type_name(&t, b);
  sql_buf_fmt(b, "\", \"nullable\": %s}", row[3] && !strcmp(row[3], "NO") ? "false" : "true");
}

static int list_columns(struct maria_conn *c, const char *table, mr_put_fn *put, void *out,
                        struct mr_error *err)
{
  struct sql_buf sql = {0}, b = {0};
  struct sql_name name;
  const char *why = NULL;
  MYSQL_RES *res = NULL;
  MYSQL_ROW row;
  if (!sql_name_parse(table, 4 * MARIA_NAME_MAX, &name, &why))
    return src_badconf(err, "table", "table name: %s", why);
  columns_sql(&name, &sql);
  sql_name_done(&name);
  int status = maria_query(c, sql_buf_text(&sql), "SELECT from the catalog", &res, err);
  sql_buf_done(&sql);
  if (status >= 0 && mysql_num_rows(res) == 0)
    status = src_fail(err, MR_BADCONF, "42S02", "table %s does not exist%s", table, c->where);
  while (status >= 0 && (row = mysql_fetch_row(res))) {
    column_line(row, &b);
    status = put_line(put, out, &b, err);
  }
  mysql_free_result(res);
  sql_buf_done(&b);
  return status;
}

int maria_discover(struct maria_conn *c, const char *table, mr_put_fn *put, void *out,
                   struct mr_error *err)
{
  int status = maria_connect(c, err);
  if (status < 0)
    return status;
  return table ? list_columns(c, table, put, out, err) : list_tables(c, put, out, err);
}
