/* SPDX-License-Identifier: Apache-2.0 */
/* Upserts where the last write wins, column by column, by a version that each row has.
 *
 * The target's helper column, a JSON object, has the version of the last write of each column, and
 * under "" that of the newest delete that the row outlived. In the staging table each field has a
 * column for it, when rows write only some fields; else the row's version is that of all. Deletes
 * are done to the logged rows before, so none of them is staged. */
#include "mysql-sink.h"

static const struct my_column *column_of(const struct my_sink *s, int field)
{
  return &s->column[s->field_column[field]];
}

/* ---------------------------------------------------------------- plan */

int my_version_server(const struct my_sink *s, const char *option, const char *what,
                      struct mr_error *err)
{
  if (s->conn.genuine)
    return MR_OK;
  snprintf(err->option, sizeof err->option, "%s", option);
  return src_fail(err, MR_BADCONF, "0A000", "%s need MariaDB 10.7 or newer; this server is %.60s%s",
                  what, mysql_get_server_info(s->conn.db), s->conn.where);
}

int my_version_rows(const struct my_sink *s, struct mr_error *err)
{
  return ups_rows_check(s->conf->version, s->conf->mode == MODE_UPSERT, &s->in, strcasecmp, err);
}

int my_version_check(const struct my_sink *s, struct mr_error *err)
{
  int status = my_version_rows(s, err);
  if (status >= 0 && mr_schema_find(&s->in, MR_RANGE) >= 0)
    status = my_version_server(s, "table", "deletes of many rows (_range)", err);
  if (status < 0 || !s->conf->version)
    return status;
  return my_version_server(s, "version", "versions", err);
}

int my_version_add(struct my_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  if (!s->conf->version || my_column_find(s, UPS_WRITTEN) >= 0 || s->conf->evolve == EVOLVE_NONE)
    return MR_OK;
  sql_buf_fmt(&sql, "ALTER TABLE %s ADD COLUMN IF NOT EXISTS " UPS_WRITTEN " json NULL", s->target);
  int status = my_version_server(s, "version", "versions", err);
  if (status >= 0)
    status = my_statement(s, &sql, "ALTER TABLE ADD COLUMN of", MARIA_GIVE_UP, err);
  sql_buf_done(&sql);
  if (status < 0)
    return status;
  src_log(s->host, MR_INFO, "added column " UPS_WRITTEN " to %s", s->shown);
  return my_target_columns(s, err);
}

/* Types whose order and values are those of the versions. */
static bool keeps_versions(const struct maria_type *t)
{
  switch (t->kind) {
  case MARIA_INT: return true;
  case MARIA_DECIMAL: return t->scale == 0;
  case MARIA_DATETIME:
  case MARIA_TIMESTAMP: return t->scale == 6;
  default: return false;
  }
}

static int check_column(const struct my_sink *s, struct mr_error *err)
{
  const char *name = s->conf->version;
  int at = my_column_find(s, name);
  const struct my_column *c = at < 0 ? NULL : &s->column[at];
  if (!c)
    return ups_version_source(name, &s->in, NULL, false, err);
  if (keeps_versions(&c->type))
    return MR_OK;
  return src_badconf(err, "version",
                     "version column %s has type %s in %s: that does not keep versions"
                     " as they are",
                     name, c->shown, s->shown);
}

static int check_helper(const struct my_sink *s, struct mr_error *err)
{
  int at = my_column_find(s, UPS_WRITTEN);
  const struct my_column *c = at < 0 ? NULL : &s->column[at];
  if (!c)
    return src_badconf(err, "version",
                       "`version` keeps the columns' versions in a column that %s has not"
                       "%s: ALTER TABLE %s ADD COLUMN " UPS_WRITTEN " json",
                       s->shown, s->conn.where, s->target);
  bool holds = c->type.kind == MARIA_JSON || !strcasecmp(c->shown, "longtext");
  if (!holds || c->generated)
    return src_badconf(err, "version", "column " UPS_WRITTEN " of %s is no json to be written",
                       s->shown);
  return MR_OK;
}

int my_version_plan(struct my_sink *s, struct mr_error *err)
{
  s->versioned = s->conf->version != NULL;
  int status = my_version_check(s, err);
  if (status < 0 || !s->versioned)
    return status;
  status = check_column(s, err);
  return status < 0 ? status : check_helper(s, err);
}

/* ---------------------------------------------------------------- pieces of statements */

/* "CAST(JSON_VALUE(t.millrace_written, '$."column"') AS SIGNED)"; column "": the newest delete. */
static void put_stored(const char *column, struct sql_buf *sql)
{
  struct sql_buf path = {0};
  sql_buf_str(&path, "$.");
  sql_buf_json(&path, column);
  sql_buf_str(sql, "CAST(JSON_VALUE(t." UPS_WRITTEN ", ");
  maria_literal(sql, sql_buf_text(&path));
  sql_buf_str(sql, ") AS SIGNED)");
  sql->failed |= path.failed;
  sql_buf_done(&path);
}

/* The version of a field in the staged row d; NULL: it does not write it. */
static void put_time(const struct my_sink *s, int field, struct sql_buf *sql)
{
  if (s->partial)
    sql_buf_fmt(sql, "d." MY_STAGE_TIME "%d", field);
  else
    sql_buf_str(sql, "d." MY_LOG_VERSION);
}

static void put_fallback(const struct my_sink *s, int field, struct sql_buf *sql)
{
  if (column_of(s, field)->preset)
    my_default(s, column_of(s, field), sql);
  else
    sql_buf_str(sql, "NULL");
}

static void put_name(const char *row, const char *name, struct sql_buf *sql)
{
  sql_buf_fmt(sql, "%s.", row);
  maria_ident(sql, name);
}

void my_version_older(const struct my_sink *s, struct sql_buf *sql)
{
  const char *name = s->column[my_column_find(s, s->conf->version)].name;
  sql_buf_str(sql, "IFNULL(");
  put_stored(name, sql);
  sql_buf_str(sql, " <= r." MY_LOG_VERSION ", TRUE)");
}

void my_version_unmarked(const struct my_sink *s, struct sql_buf *sql)
{
  sql_buf_str(sql, "IFNULL(");
  put_stored("", sql);
  sql_buf_str(sql, " < r." MY_LOG_VERSION ", TRUE)");
}

/* "t.name = IF(IFNULL(stored <= delete, TRUE), default, t.name), …" */
void my_version_clear(const struct my_sink *s, struct sql_buf *sql)
{
  for (int f = 0; f < s->n_fields; f++) {
    const struct my_column *c = column_of(s, f);
    if (c->is_key)
      continue;
    put_name("t", c->name, sql);
    sql_buf_str(sql, " = IF(IFNULL(");
    put_stored(c->name, sql);
    sql_buf_str(sql, " <= r." MY_LOG_VERSION ", TRUE), ");
    put_fallback(s, f, sql);
    sql_buf_str(sql, ", ");
    put_name("t", c->name, sql);
    sql_buf_str(sql, "), ");
  }
  sql_buf_str(sql, "t." UPS_WRITTEN " = JSON_MERGE_PATCH(IFNULL(t." UPS_WRITTEN
                   ", '{}'), CONCAT('{\"\":', r." MY_LOG_VERSION ", '}'))");
}

/* Everything in the staged row is newer than all that is stored: most rows, found out without a
 * look into the JSON. */
static void put_newer(const struct my_sink *s, struct sql_buf *sql)
{
  const char *name = s->column[my_column_find(s, s->conf->version)].name;
  if (s->partial)
    sql_buf_str(sql, "d." MY_STAGE_LEAST " = d." MY_LOG_VERSION " AND ");
  put_name("d", name, sql);
  sql_buf_str(sql, " >= ");
  put_name("t", name, sql);
}

/* Does the staged row's write of the field win over what is stored? */
static void put_wins(const struct my_sink *s, int field, struct sql_buf *sql)
{
  if (s->partial)
    sql_buf_fmt(sql, "d." MY_STAGE_TIME "%d IS NOT NULL AND ", field);
  sql_buf_str(sql, "(t." UPS_WRITTEN " IS NULL OR (");
  put_newer(s, sql);
  sql_buf_str(sql, ") OR (IFNULL(");
  put_time(s, field, sql);
  sql_buf_str(sql, " >= ");
  put_stored(column_of(s, field)->name, sql);
  sql_buf_str(sql, ", TRUE) AND IFNULL(");
  put_time(s, field, sql);
  sql_buf_str(sql, " > ");
  put_stored("", sql);
  sql_buf_str(sql, ", TRUE)))");
}

typedef void when_fn(const struct my_sink *s, int field, struct sql_buf *sql);

static void put_written_at_all(const struct my_sink *s, int field, struct sql_buf *sql)
{
  put_time(s, field, sql);
  sql_buf_str(sql, " IS NOT NULL");
}

/* The versions of the fields for which `when` holds, as an object. */
static void put_object(const struct my_sink *s, when_fn *when, struct sql_buf *sql)
{
  sql_buf_str(sql, "CONCAT('{', SUBSTR(CONCAT(''");
  for (int f = 0; f < s->n_fields; f++) {
    struct sql_buf label = {0};
    if (column_of(s, f)->is_key)
      continue;
    sql_buf_byte(&label, ',');
    sql_buf_json(&label, column_of(s, f)->name);
    sql_buf_byte(&label, ':');
    sql_buf_str(sql, ", IF(");
    when(s, f, sql);
    sql_buf_str(sql, ", CONCAT(");
    maria_literal(sql, sql_buf_text(&label));
    sql_buf_str(sql, ", ");
    put_time(s, f, sql);
    sql_buf_str(sql, "), '')");
    sql->failed |= label.failed;
    sql_buf_done(&label);
  }
  sql_buf_str(sql, "), 2), '}')");
}

/* ---------------------------------------------------------------- one row for each key */

void my_version_ddl(const struct my_sink *s, struct sql_buf *sql)
{
  if (!s->versioned)
    return;
  sql_buf_str(sql, ", " MY_LOG_VERSION " bigint NOT NULL, " UPS_WRITTEN
                   " longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL");
  if (!s->partial)
    return;
  sql_buf_str(sql, ", " MY_STAGE_LEAST " bigint NOT NULL");
  for (int f = 0; f < s->n_fields; f++)
    if (!column_of(s, f)->is_key)
      sql_buf_fmt(sql, ", " MY_STAGE_TIME "%d bigint NULL", f);
}

static void fold_whole(const struct my_sink *s, struct sql_buf *sql)
{
  sql_buf_str(sql, "REPLACE INTO " MY_STAGE " (");
  my_column_list(s, NULL, sql);
  sql_buf_str(sql, ", " MY_LOG_VERSION ") SELECT ");
  my_column_list(s, "l", sql);
  sql_buf_str(sql, ", l." MY_LOG_VERSION " FROM " MY_LOG " l");
}

static void fold_parts(const struct my_sink *s, struct sql_buf *sql)
{
  sql_buf_str(sql, "INSERT INTO " MY_STAGE " (");
  my_column_list(s, NULL, sql);
  for (int f = 0; f < s->n_fields; f++)
    if (!column_of(s, f)->is_key)
      sql_buf_fmt(sql, ", " MY_STAGE_TIME "%d", f);
  sql_buf_str(sql, ", " MY_LOG_VERSION ", " MY_STAGE_LEAST ") SELECT ");
  my_column_list(s, "l", sql);
  for (int f = 0; f < s->n_fields; f++) {
    if (column_of(s, f)->is_key)
      continue;
    sql_buf_str(sql, ", IF(");
    my_set_bit(sql, "l", f);
    sql_buf_str(sql, ", l." MY_LOG_VERSION ", NULL)");
  }
  sql_buf_str(sql, ", l." MY_LOG_VERSION ", l." MY_LOG_VERSION " FROM " MY_LOG " l");
}

/* A staged row takes what the newer one writes; of that the field's version tells. */
static void join_parts(const struct my_sink *s, struct sql_buf *sql)
{
  sql_buf_str(sql, " ON DUPLICATE KEY UPDATE ");
  for (int f = 0; f < s->n_fields; f++) {
    const char *name = column_of(s, f)->name;
    if (column_of(s, f)->is_key)
      continue;
    maria_ident(sql, name);
    sql_buf_fmt(sql, " = IF(VALUES(" MY_STAGE_TIME "%d) IS NULL, ", f);
    put_name(MY_STAGE, name, sql);
    sql_buf_str(sql, ", VALUES(");
    maria_ident(sql, name);
    sql_buf_fmt(sql,
                ")), " MY_STAGE_TIME "%d = IFNULL(VALUES(" MY_STAGE_TIME "%d), " MY_STAGE
                "." MY_STAGE_TIME "%d), ",
                f, f, f);
  }
  sql_buf_str(sql, MY_LOG_VERSION " = VALUES(" MY_LOG_VERSION ")");
}

void my_version_fold(const struct my_sink *s, struct sql_buf *sql)
{
  if (s->partial)
    fold_parts(s, sql);
  else
    fold_whole(s, sql);
  sql_buf_str(sql,
              " WHERE l." MY_LOG_RANGE " IS NULL ORDER BY l." MY_LOG_VERSION ", l." MY_LOG_NUMBER);
  if (s->partial)
    join_parts(s, sql);
}

/* ---------------------------------------------------------------- into the target */

/* Nobody else changes the rows from here on, nor makes those that are missing. */
static int lock_stored(struct my_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  sql_buf_fmt(sql, "SELECT COUNT(*) FROM " MY_STAGE " d STRAIGHT_JOIN %s t ON ", s->target);
  my_on_keys(s, sql);
  sql_buf_str(sql, " FOR UPDATE");
  return my_statement(s, sql, "SELECT FOR UPDATE of", MARIA_GO_ON, err);
}

static bool is_version(const struct my_sink *s, int field)
{
  return !strcasecmp(column_of(s, field)->name, s->conf->version);
}

static void take_stored(const struct my_sink *s, int field, struct sql_buf *sql)
{
  const char *name = column_of(s, field)->name;
  put_name("d", name, sql);
  sql_buf_str(sql, " = IF(");
  put_wins(s, field, sql);
  sql_buf_str(sql, ", ");
  put_name("d", name, sql);
  sql_buf_str(sql, ", ");
  put_name("t", name, sql);
  sql_buf_byte(sql, ')');
}

/* Staged rows become what is to be stored: they take from the stored ones what they do not win. It
 * is done here as an UPDATE of the target that is joined would put its JSON into a file first.
 * Assignments are made from left to right, and each looks at the version column: that is last. */
static int join_stored(struct my_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  int version = 0;
  sql_buf_fmt(sql, "UPDATE " MY_STAGE " d STRAIGHT_JOIN %s t ON ", s->target);
  my_on_keys(s, sql);
  sql_buf_str(sql, " SET ");
  for (int f = 0; f < s->n_fields; f++) {
    if (is_version(s, f))
      version = f;
    if (column_of(s, f)->is_key || is_version(s, f))
      continue;
    take_stored(s, f, sql);
    sql_buf_str(sql, ", ");
  }
  sql_buf_str(sql, "d." UPS_WRITTEN " = JSON_MERGE_PATCH(IFNULL(t." UPS_WRITTEN ", '{}'), ");
  put_object(s, put_wins, sql);
  sql_buf_str(sql, "), ");
  take_stored(s, version, sql);
  return my_statement(s, sql, "merge the stored rows of", MARIA_GO_ON, err);
}

/* A field of a row that goes to the target; a new row has the default of what nobody wrote. */
static void put_value(const struct my_sink *s, int field, struct sql_buf *sql)
{
  const struct my_column *c = column_of(s, field);
  bool sure = !s->partial || c->is_key;
  if (!sure) {
    sql_buf_str(sql, "IF(d." UPS_WRITTEN " IS NOT NULL OR ");
    put_written_at_all(s, field, sql);
    sql_buf_str(sql, ", ");
  }
  put_name("d", c->name, sql);
  if (sure)
    return;
  sql_buf_str(sql, ", ");
  put_fallback(s, field, sql);
  sql_buf_byte(sql, ')');
}

static void insert_select(const struct my_sink *s, struct sql_buf *sql)
{
  sql_buf_fmt(sql, "INSERT INTO %s (", s->target);
  my_column_list(s, NULL, sql);
  sql_buf_str(sql, ", " UPS_WRITTEN ") SELECT ");
  for (int f = 0; f < s->n_fields; f++) {
    put_value(s, f, sql);
    sql_buf_str(sql, ", ");
  }
  sql_buf_str(sql, "IFNULL(d." UPS_WRITTEN ", ");
  put_object(s, put_written_at_all, sql);
  sql_buf_str(sql, ") FROM " MY_STAGE " d");
}

/* "before name between name after, …" of the fields that are no keys, and of the helper column. */
static void assignments(const struct my_sink *s, const char *before, const char *between,
                        const char *after, struct sql_buf *sql)
{
  for (int f = 0; f <= s->n_fields; f++) {
    const char *name = f < s->n_fields ? column_of(s, f)->name : UPS_WRITTEN;
    if (f < s->n_fields && column_of(s, f)->is_key)
      continue;
    sql_buf_str(sql, before);
    maria_ident(sql, name);
    sql_buf_str(sql, between);
    maria_ident(sql, name);
    sql_buf_fmt(sql, "%s%s", after, f < s->n_fields ? ", " : "");
  }
}

static int insert_or_update(struct my_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  insert_select(s, sql);
  sql_buf_str(sql, " ON DUPLICATE KEY UPDATE ");
  assignments(s, "", " = VALUES(", ")", sql);
  return my_statement(s, sql, "INSERT ON DUPLICATE KEY UPDATE INTO", MARIA_GO_ON, err);
}

static int update_then_insert(struct my_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  sql_buf_fmt(sql, "UPDATE " MY_STAGE " d STRAIGHT_JOIN %s t ON ", s->target);
  my_on_keys(s, sql);
  sql_buf_str(sql, " SET ");
  assignments(s, "t.", " = d.", "", sql);
  int status = my_statement(s, sql, "UPDATE", MARIA_GO_ON, err);
  if (status < 0)
    return status;
  insert_select(s, sql);
  sql_buf_str(sql, " WHERE d." UPS_WRITTEN " IS NULL");
  return my_statement(s, sql, "INSERT INTO", MARIA_GO_ON, err);
}

int my_version_merge(struct my_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  int status = lock_stored(s, sql, err);
  if (status >= 0)
    status = join_stored(s, sql, err);
  if (status >= 0)
    status = s->only_key ? insert_or_update(s, sql, err) : update_then_insert(s, sql, err);
  return status < 0 ? status : my_range_clear(s, sql, err);
}
