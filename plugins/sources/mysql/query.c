/* SPDX-License-Identifier: Apache-2.0 */
/* The statement and its rows.
 *
 * A query that is read once goes to the server as it is written: as a subquery it would lose its
 * ORDER BY. FLOAT columns are asked for as doubles, because the server writes a float with six
 * digits. */
#include <errno.h>
#include "common/clock.h"
#include "common/sql-text.h"
#include "mysql-source.h"

#define ALL_ROWS "18446744073709551615" /* a LIMIT that keeps a subquery's ORDER BY */

/* ---- the statement */

static void from_text(const struct my_source *s, bool ordered, struct sql_buf *sql)
{
  const struct qry_conf *q = &s->conf->query;
  struct sql_name name;
  const char *why;
  sql_buf_str(sql, " FROM ");
  if (q->table && sql_name_parse(q->table, 4 * MARIA_NAME_MAX, &name, &why)) {
    maria_name(sql, &name);
    sql_name_done(&name);
  } else if (!q->table && ordered) {
    sql_buf_fmt(sql, "((%s\n) LIMIT " ALL_ROWS ")", q->query);
  } else if (!q->table) {
    sql_buf_fmt(sql, "(%s\n)", q->query); /* a comment at its end ends with the line */
  }
  sql_buf_str(sql, " AS millrace_q");
}

static bool is_float(const struct my_source *s, const char *name)
{
  int64_t at = mr_schema_find(&s->result, name);
  return at >= 0 && mr_kind_of(s->result.children[at]) == MR_K_FLOAT32;
}

static void columns_text(const struct my_source *s, struct sql_buf *sql)
{
  const struct qry_conf *q = &s->conf->query;
  for (int64_t i = 0; i < s->source.columns.n_children; i++) {
    const char *name = s->source.columns.children[i]->name;
    sql_buf_str(sql, i ? ", " : "");
    maria_ident(sql, name);
    if (!is_float(s, name))
      continue;
    sql_buf_str(sql, " + 0e0 AS ");
    maria_ident(sql, name);
  }
  if (!q->incremental)
    return;
  sql_buf_str(sql, ", ");
  maria_ident(sql, q->incremental);
}

/* Texts are compared byte by byte, whatever the column's collation is: so are positions. */
static void key_text(const struct my_source *s, struct sql_buf *sql)
{
  bool text = s->key_type == KEY_TEXT;
  sql_buf_str(sql, text ? "CAST(CONVERT(" : "");
  maria_ident(sql, s->conf->query.incremental);
  sql_buf_str(sql, text ? " USING utf8mb4) AS BINARY)" : "");
}

static void value_text(const struct my_source *s, const struct qry_mark *from, struct sql_buf *sql)
{
  if (from->kind == QRY_TEXT) {
    maria_hex(sql, from->text, strlen(from->text));
  } else if (s->key_type == KEY_INT) {
    sql_buf_fmt(sql, "%lld", (long long)from->number);
  } else if (s->key_type == KEY_DATE) {
    sql_buf_str(sql, "DATE'");
    sql_text_date(sql, from->number);
    sql_buf_byte(sql, '\'');
  } else {
    sql_buf_str(sql, "TIMESTAMP'");
    sql_text_timestamp(sql, from->number, ' ', "");
    sql_buf_byte(sql, '\'');
  }
}

static void select_text(const struct my_source *s, const struct qry_mark *from, struct sql_buf *sql)
{
  const struct qry_conf *q = &s->conf->query;
  if (q->query && !q->incremental && !s->floats) {
    sql_buf_str(sql, q->query);
    return;
  }
  sql_buf_str(sql, "SELECT ");
  columns_text(s, sql);
  from_text(s, !q->incremental, sql);
  if (!q->incremental && s->order)
    sql_buf_fmt(sql, " ORDER BY %s", s->order);
  if (!q->incremental)
    return;
  sql_buf_str(sql, " WHERE ");
  key_text(s, sql);
  sql_buf_str(sql, from->kind == QRY_START ? " IS NOT NULL" : " >= ");
  if (from->kind != QRY_START)
    value_text(s, from, sql);
  sql_buf_str(sql, " ORDER BY ");
  key_text(s, sql);
}

/* ---- what the query gives */

static int field_index(MYSQL_RES *res, const char *name)
{
  for (unsigned i = 0; i < mysql_num_fields(res); i++)
    if (!strcmp(mysql_fetch_field_direct(res, i)->name, name))
      return (int)i;
  return -1;
}

static int check_names(struct my_source *s, MYSQL_RES *res, struct mr_error *err)
{
  const struct qry_conf *q = &s->conf->query;
  for (int64_t i = 0; q->columns && i < q->columns->n_children; i++)
    if (field_index(res, q->columns->children[i]->name) < 0)
      return src_badconf(err, "columns", "the database has no column `%s` here%s",
                         q->columns->children[i]->name, s->conn.where);
  if (!q->incremental)
    return MR_OK;
  int at = field_index(res, q->incremental);
  if (at < 0)
    return src_badconf(err, "incremental", "the database has no column `%s` here%s", q->incremental,
                       s->conn.where);
  s->key_type = my_key_of(mysql_fetch_field_direct(res, (unsigned)at));
  if (s->key_type == KEY_NONE)
    return src_badconf(err, "incremental",
                       "column `%s` is no integer, date, datetime, timestamp, text or uuid",
                       q->incremental);
  return MR_OK;
}

static bool take_columns(struct my_source *s, MYSQL_RES *res)
{
  struct ArrowSchema columns;
  bool ok = mr_schema_struct(&columns);
  s->floats = false;
  for (unsigned i = 0; ok && i < mysql_num_fields(res); i++) {
    const MYSQL_FIELD *f = mysql_fetch_field_direct(res, i);
    ok = my_add_column(&columns, f);
    s->floats |= f->type == MYSQL_TYPE_FLOAT;
  }
  mr_schema_release(&s->result);
  if (ok)
    s->result = columns;
  else
    mr_schema_release(&columns);
  return ok;
}

static int described(void *ctx, MYSQL_RES *res, struct mr_error *err)
{
  int rc = check_names(ctx, res, err);
  return rc >= 0 && !take_columns(ctx, res) ? src_no_memory(err) : rc;
}

int my_check_query(struct my_source *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  sql_buf_str(&sql, "SELECT *");
  from_text(s, false, &sql);
  int rc = sql.failed ? src_no_memory(err)
                      : maria_describe(&s->conn, sql_buf_text(&sql), "query", described, s, err);
  sql_buf_done(&sql);
  return rc == MR_REJECT ? MR_FATAL : rc;
}

/* The table's primary key: in its order a table is read again as it was read before. */
static int learn_order(struct my_source *s, struct mr_error *err)
{
  struct sql_buf sql = {0}, order = {0};
  struct sql_name name;
  const char *why;
  MYSQL_RES *res = NULL;
  MYSQL_ROW row;
  if (s->order || !s->conf->query.table || s->conf->query.incremental)
    return MR_OK;
  if (!sql_name_parse(s->conf->query.table, 4 * MARIA_NAME_MAX, &name, &why))
    return src_badconf(err, "table", "%s", why);
  sql_buf_str(&sql, "SELECT COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ");
  if (name.schema)
    maria_literal(&sql, name.schema);
  else
    sql_buf_str(&sql, "DATABASE()");
  sql_buf_str(&sql, " AND TABLE_NAME = ");
  maria_literal(&sql, name.table);
  sql_buf_str(&sql, " AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX");
  sql_name_done(&name);
  int rc = maria_query(&s->conn, sql_buf_text(&sql), "SELECT from the catalog", &res, err);
  sql_buf_done(&sql);
  while (rc >= 0 && (row = mysql_fetch_row(res))) {
    sql_buf_str(&order, order.len ? ", " : "");
    maria_ident(&order, row[0]);
  }
  mysql_free_result(res);
  if (order.len && *sql_buf_text(&order))
    s->order = (char *)order.p;
  return rc;
}

/* ---- backend */

static int connect_(void *self, struct mr_error *err)
{
  struct my_source *s = self;
  bool fresh = !s->conn.db;
  int rc = maria_connect(&s->conn, err);
  if (rc >= 0 && fresh)
    rc = my_check_query(s, err); /* what is wrong with it is said at start */
  return rc < 0 ? rc : learn_order(s, err);
}

static int describe(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  struct my_source *s = self;
  int rc = my_check_query(s, err);
  if (rc >= 0 && !mr_schema_copy(&s->result, give)) {
    mr_schema_release(give);
    rc = src_no_memory(err);
  }
  return rc;
}

static void end(void *self)
{
  struct my_source *s = self;
  maria_quit(&s->conn, &s->fetch, s->over);
  s->row = NULL;
  s->field = NULL;
}

static int begin(void *self, const struct qry_mark *from, struct mr_error *err)
{
  struct my_source *s = self;
  s->over = false;
  s->field = NULL;
  s->deadline = clock_now_ms() + s->conf->server.statement_timeout_ms;
  sql_buf_clear(&s->sql);
  select_text(s, from, &s->sql);
  const char *sql = sql_buf_text(&s->sql);
  int rc = s->sql.failed ? src_no_memory(err) : maria_ask(&s->conn, &s->fetch, sql, err);
  if (rc < 0)
    end(s);
  return rc;
}

/* Between the look at the columns and the query the table may have been altered. */
static int as_described(struct my_source *s, MYSQL_RES *res, struct mr_error *err)
{
  struct ArrowSchema now;
  const struct ArrowSchema *was = &s->source.columns;
  bool ok = mr_schema_struct(&now), same = true;
  for (int64_t i = 0; ok && i < was->n_children; i++)
    ok = my_add_column(&now, mysql_fetch_field_direct(res, (unsigned)s->place[i]));
  for (int64_t i = 0; ok && same && i < was->n_children && !s->conf->query.columns; i++)
    same = is_float(s, was->children[i]->name) ||
           !strcmp(now.children[i]->format, was->children[i]->format);
  mr_schema_release(&now);
  if (!ok)
    return src_no_memory(err);
  return same ? MR_OK
              : src_fail(err, MR_RETRY, "", "the columns of the query have changed%s",
                         s->conn.where);
}

/* Where the columns of the schema are in the result that has begun. */
static int find_places(struct my_source *s, struct mr_error *err)
{
  int64_t n = s->source.columns.n_children;
  MYSQL_RES *res = s->fetch.res;
  int *place = realloc(s->place, (size_t)(n + 1) * sizeof *place);
  if (!place)
    return src_no_memory(err);
  s->place = place;
  s->key = s->conf->query.incremental ? (int)mysql_num_fields(res) - 1 : -1;
  for (int64_t i = 0; i < n; i++) {
    place[i] = field_index(res, s->source.columns.children[i]->name);
    if (place[i] < 0)
      return src_fail(err, s->conf->query.columns ? MR_FATAL : MR_RETRY, "",
                      "the query gives no column `%s` any more%s",
                      s->source.columns.children[i]->name, s->conn.where);
  }
  s->field = mysql_fetch_fields(res);
  return as_described(s, res, err);
}

static int next(void *self, int64_t most, int64_t bytes, struct mr_error *err)
{
  struct my_source *s = self;
  if (s->over)
    return MR_END;
  if (!s->fetch.asking && !s->fetch.waiting)
    s->deadline = clock_now_ms() + s->conf->server.statement_timeout_ms;
  int rc = maria_next(&s->conn, &s->fetch, s->read_until, s->deadline, &s->row, err);
  if (rc != MR_OK)
    return rc == MR_REJECT ? MR_FATAL : rc; /* of a query, not of a row */
  s->over = !s->row;
  if (s->over)
    return MR_END;
  s->lengths = mysql_fetch_lengths(s->fetch.res);
  return s->field ? MR_OK : find_places(s, err);
}

static int value(void *self, int64_t at, struct mr_column *c, const struct ArrowSchema *schema,
                 int64_t *ret_bytes, const char **ret_why)
{
  struct my_source *s = self;
  int i = s->place[at];
  *ret_bytes += 8 + (int64_t)s->lengths[i];
  if (!s->row[i])
    return mr_column_null(c) ? MR_OK : MR_FATAL;
  return my_value(c, schema, &s->field[i], s->row[i], s->lengths[i], ret_why);
}

static int bad_key(const struct my_source *s, struct mr_error *err)
{
  return src_fail(
      err, MR_FATAL, "",
      "column `%s` has a value that cannot be a position (a text over %d bytes, a number"
      " over 9223372036854775807, or a zero date)",
      s->conf->query.incremental, QRY_TEXT_MAX);
}

static int key(void *self, struct qry_mark *ret, struct mr_error *err)
{
  struct my_source *s = self;
  const char *text = s->row[s->key];
  unsigned long n = s->lengths[s->key];
  char *stop;
  *ret = (struct qry_mark){.kind = s->key_type == KEY_TEXT ? QRY_TEXT : QRY_NUMBER};
  if (s->key_type == KEY_TEXT) {
    if (n > QRY_TEXT_MAX || memchr(text, 0, n))
      return bad_key(s, err);
    memcpy(ret->text, text, n);
    return MR_OK;
  }
  if (s->key_type == KEY_INT) {
    errno = 0;
    ret->number = strtoll(text, &stop, 10); /* the server wrote it */
    return *stop || errno ? bad_key(s, err) : MR_OK;
  }
  if (!qry_timestamp(text, (int64_t)n, s->key_type == KEY_TIMESTAMP, &ret->number))
    return bad_key(s, err);
  if (s->key_type == KEY_DATE)
    ret->number /= INT64_C(86400000000);
  return MR_OK;
}

const struct qry_backend my_backend = {.connect = connect_,
                                       .describe = describe,
                                       .begin = begin,
                                       .next = next,
                                       .value = value,
                                       .key = key,
                                       .end = end};
