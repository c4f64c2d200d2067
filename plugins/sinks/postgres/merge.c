/* SPDX-License-Identifier: Apache-2.0 */
/* Upserts: rows are staged in a temporary table of the session, then the last row of each key goes
 * to the target. */
#include "postgres.h"

int pg_statement(struct pg_sink *s, struct sql_buf *sql, const char *kind, struct mr_error *err)
{
  char what[160];
  snprintf(what, sizeof what, "%s %s", kind, s->shown);
  int status =
      pg_run(s, sql_buf_text(sql), what, s->conf->statement_timeout_ms, PG_GO_ON, NULL, NULL, err);
  sql_buf_clear(sql);
  return status;
}

void pg_keys(const struct pg_sink *s, struct sql_buf *sql, const char *prefix, const char *other)
{
  const char *const *key = s->conf->key.item;
  for (size_t i = 0; i < s->conf->key.n; i++) {
    sql_buf_str(sql, !i ? "" : other ? " AND " : ", ");
    sql_buf_str(sql, prefix);
    sql_ident(sql, key[i]);
    if (!other)
      continue;
    sql_buf_fmt(sql, " = %s", other);
    sql_ident(sql, key[i]);
  }
}

/* The last staged row of each key, as d. */
static void last_rows(const struct pg_sink *s, struct sql_buf *sql)
{
  if (s->genuine) {
    sql_buf_str(sql, " (SELECT DISTINCT ON (");
    pg_keys(s, sql, "", NULL);
    sql_buf_str(sql, ") * FROM " PG_STAGE " ORDER BY ");
    pg_keys(s, sql, "", NULL);
    sql_buf_str(sql, ", " PG_STAGE_NUMBER " DESC) d");
    return;
  }
  sql_buf_str(sql, " (SELECT * FROM " PG_STAGE " a WHERE NOT EXISTS (SELECT 1 FROM " PG_STAGE
                   " n WHERE ");
  pg_keys(s, sql, "n.", "a.");
  sql_buf_str(sql, " AND n." PG_STAGE_NUMBER " > a." PG_STAGE_NUMBER ")) d");
}

static void on_conflict(const struct pg_sink *s, struct sql_buf *sql)
{
  int n = 0;
  sql_buf_str(sql, " ON CONFLICT (");
  pg_keys(s, sql, "", NULL);
  sql_buf_byte(sql, ')');
  for (int i = 0; i < s->n_fields; i++) {
    const struct pg_column *c = &s->column[s->field_column[i]];
    if (c->is_key)
      continue;
    sql_buf_str(sql, n++ ? ", " : " DO UPDATE SET ");
    sql_ident(sql, c->name);
    sql_buf_str(sql, " = EXCLUDED.");
    sql_ident(sql, c->name);
  }
  if (!n)
    sql_buf_str(sql, " DO NOTHING");
}

/* Rows whose last word is a delete; without ON CONFLICT every row that will be written anew. */
static int delete_rows(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  if (s->use_conflict && !s->has_delete)
    return MR_OK;
  if (s->genuine) {
    sql_buf_fmt(sql, "DELETE FROM %s t USING", s->target);
    last_rows(s, sql);
    sql_buf_str(sql, " WHERE d." PG_STAGE_DELETED " AND ");
    pg_keys(s, sql, "t.", "d.");
  } else {
    sql_buf_fmt(sql, "DELETE FROM %s WHERE EXISTS (SELECT 1 FROM " PG_STAGE " d WHERE ", s->target);
    struct sql_buf own = {0};
    sql_buf_fmt(&own, "%s.", s->target);
    pg_keys(s, sql, "d.", sql_buf_text(&own));
    sql_buf_done(&own);
    sql_buf_byte(sql, ')');
  }
  return pg_statement(s, sql, "DELETE FROM", err);
}

static int insert_rows(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  sql_buf_fmt(sql, "INSERT INTO %s (", s->target);
  pg_column_list(s, "", sql);
  sql_buf_str(sql, ") SELECT ");
  pg_column_list(s, "d.", sql);
  sql_buf_str(sql, " FROM");
  last_rows(s, sql);
  sql_buf_str(sql, " WHERE NOT d." PG_STAGE_DELETED);
  if (s->use_conflict)
    on_conflict(s, sql);
  return pg_statement(s, sql, s->use_conflict ? "INSERT ON CONFLICT INTO" : "INSERT INTO", err);
}

/* A commit empties the staging table by itself; between stretches of one unit that is done here. */
static int empty_stage(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  int status = pg_range_empty(s, sql, err);
  if (status < 0 || (s->genuine && !s->flushed))
    return status;
  sql_buf_str(sql, s->genuine ? "TRUNCATE " PG_STAGE : "DELETE FROM " PG_STAGE);
  return pg_statement(s, sql, "empty the staging table of", err);
}

static int in_order(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  int status = pg_range_stage(s, sql, err);
  if (status >= 0)
    status = pg_range_target(s, sql, err);
  if (status < 0 || s->partial)
    return status < 0 ? status : pg_partial_merge(s, sql, err);
  status = delete_rows(s, sql, err);
  return status < 0 ? status : insert_rows(s, sql, err);
}

int pg_merge(struct pg_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  int status = s->versioned ? pg_version_merge(s, &sql, err) : in_order(s, &sql, err);
  if (status >= 0)
    status = empty_stage(s, &sql, err);
  sql_buf_done(&sql);
  if (status >= 0)
    s->dirty = s->has_delete = s->has_range = false;
  return status;
}
