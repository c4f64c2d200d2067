/* SPDX-License-Identifier: Apache-2.0 */
/* Upserts: rows are staged in a temporary table of the session whose primary key is the key, each
 * row replacing the one before; then they go to the target.
 *
 * ON DUPLICATE KEY UPDATE changes whatever row any unique index finds: it is used only where the
 * key's index is the only one. */
#include "mysql-sink.h"

void my_key_list(const struct my_sink *s, struct sql_buf *sql)
{
  const char *const *key = s->conf->key.item;
  for (size_t i = 0; i < s->conf->key.n; i++) {
    sql_buf_str(sql, i ? ", " : "");
    maria_ident(sql, key[i]);
  }
}

/* t.`key` = d.`key` AND … */
void my_on_keys(const struct my_sink *s, struct sql_buf *sql)
{
  const char *const *key = s->conf->key.item;
  for (size_t i = 0; i < s->conf->key.n; i++) {
    sql_buf_str(sql, i ? " AND t." : "t.");
    maria_ident(sql, key[i]);
    sql_buf_str(sql, " = d.");
    maria_ident(sql, key[i]);
  }
}

void my_stage_column(const struct my_column *c, const char *name, bool not_null,
                     struct sql_buf *sql)
{
  maria_ident(sql, name);
  sql_buf_fmt(sql, " %s", c->shown);
  if (c->collation)
    sql_buf_fmt(sql, " COLLATE %s", c->collation);
  sql_buf_str(sql, not_null ? " NOT NULL" : " NULL");
}

/* Columns as the target has them, but nullable: a delete brings its key alone. */
static void stage_create(const struct my_sink *s, struct sql_buf *sql)
{
  sql_buf_str(sql, "CREATE TEMPORARY TABLE " MY_STAGE " (");
  for (int i = 0; i < s->n_fields; i++) {
    const struct my_column *c = &s->column[s->field_column[i]];
    my_stage_column(c, c->name, c->is_key, sql);
    sql_buf_str(sql, ", ");
  }
  sql_buf_str(sql, MY_STAGE_DELETED " tinyint NOT NULL DEFAULT 0");
  if (s->versioned)
    my_version_ddl(s, sql);
  else
    my_set_columns(s, "tinyint NOT NULL", sql);
  sql_buf_str(sql, ", PRIMARY KEY (");
  my_key_list(s, sql);
  sql_buf_str(sql, ")) ENGINE=InnoDB");
}

/* Made (or made anew, to be empty) before the unit's transaction. */
int my_stage_prepare(struct my_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  if (s->staged && s->stage_of == s->conn.connected && !s->stage_used)
    return MR_OK;
  sql_buf_str(&sql, "DROP TEMPORARY TABLE IF EXISTS " MY_STAGE ", " MY_LOG "; ");
  if (s->logged) {
    my_log_create(s, &sql);
    sql_buf_str(&sql, "; ");
  }
  stage_create(s, &sql);
  int status = my_statement(s, &sql, "CREATE TEMPORARY TABLE for", MARIA_GIVE_UP, err);
  sql_buf_done(&sql);
  s->staged = status >= 0;
  s->stage_of = s->conn.connected;
  s->stage_used = false;
  return status;
}

/* "t.`a` = d.`a`, …" or "`a` = VALUES(`a`), …" of the columns that are no key; none: of the first
 * key, which stays as it is. */
static void assignments(const struct my_sink *s, struct sql_buf *sql, bool values)
{
  int n = 0;
  for (int i = 0; i <= s->n_fields; i++) {
    bool last = i == s->n_fields;
    const char *name =
        last ? *(const char *const *)s->conf->key.item : s->column[s->field_column[i]].name;
    if (last ? n > 0 : s->column[s->field_column[i]].is_key)
      continue;
    sql_buf_str(sql, n++ ? ", " : "");
    sql_buf_str(sql, values ? "" : "t.");
    maria_ident(sql, name);
    sql_buf_str(sql, values ? " = VALUES(" : " = d.");
    maria_ident(sql, name);
    sql_buf_str(sql, values ? ")" : "");
  }
}

static int delete_rows(struct my_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  if (!s->has_delete)
    return MR_OK;
  sql_buf_fmt(sql, "DELETE t FROM %s t JOIN " MY_STAGE " d ON ", s->target);
  my_on_keys(s, sql);
  sql_buf_str(sql, " WHERE d." MY_STAGE_DELETED " = 1");
  return my_statement(s, sql, "DELETE FROM", MARIA_GO_ON, err);
}

static void insert_select(const struct my_sink *s, struct sql_buf *sql)
{
  sql_buf_fmt(sql, "INSERT INTO %s (", s->target);
  my_column_list(s, NULL, sql);
  sql_buf_str(sql, ") SELECT ");
  my_column_list(s, "d", sql);
  sql_buf_str(sql, " FROM " MY_STAGE " d");
}

static int insert_or_update(struct my_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  insert_select(s, sql);
  sql_buf_str(sql, " WHERE d." MY_STAGE_DELETED " = 0 ON DUPLICATE KEY UPDATE ");
  assignments(s, sql, true);
  return my_statement(s, sql, "INSERT ON DUPLICATE KEY UPDATE INTO", MARIA_GO_ON, err);
}

static int update_then_insert(struct my_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  const char *const *key = s->conf->key.item;
  sql_buf_fmt(sql, "UPDATE %s t JOIN " MY_STAGE " d ON ", s->target);
  my_on_keys(s, sql);
  sql_buf_str(sql, " SET ");
  assignments(s, sql, false);
  sql_buf_str(sql, " WHERE d." MY_STAGE_DELETED " = 0");
  int status = my_statement(s, sql, "UPDATE", MARIA_GO_ON, err);
  if (status < 0)
    return status;
  insert_select(s, sql);
  sql_buf_fmt(sql, " LEFT JOIN %s t ON ", s->target);
  my_on_keys(s, sql);
  sql_buf_str(sql, " WHERE d." MY_STAGE_DELETED " = 0 AND t.");
  maria_ident(sql, key[0]);
  sql_buf_str(sql, " IS NULL");
  return my_statement(s, sql, "INSERT INTO", MARIA_GO_ON, err);
}

static int in_order(struct my_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  int status = delete_rows(s, sql, err);
  if (status < 0)
    return status;
  if (s->partial)
    return my_partial_merge(s, sql, err);
  return s->only_key ? insert_or_update(s, sql, err) : update_then_insert(s, sql, err);
}

/* The unit goes on. */
static int empty_stage(struct my_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  sql_buf_str(sql, "DELETE FROM " MY_STAGE);
  int status = my_statement(s, sql, "empty the staging table of", MARIA_GO_ON, err);
  return status >= 0 && s->logged ? my_log_empty(s, sql, err) : status;
}

int my_merge(struct my_sink *s, bool more, struct mr_error *err)
{
  struct sql_buf sql = {0};
  int status = s->logged ? my_log_fold(s, &sql, err) : MR_OK;
  if (status >= 0)
    status = s->versioned ? my_version_merge(s, &sql, err) : in_order(s, &sql, err);
  if (status >= 0 && more)
    status = empty_stage(s, &sql, err);
  sql_buf_done(&sql);
  if (status < 0)
    return status;
  s->kept_deletes |= s->versioned && (s->has_delete || s->has_range);
  s->dirty = s->has_delete = s->has_range = false;
  s->n_logged = 0;
  return status;
}
