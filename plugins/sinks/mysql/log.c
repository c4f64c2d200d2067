/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of an upsert with deletes of many rows, or with versions: all of them are kept, numbered,
 * until they are merged. First the deletes are done to them (range.c), then those that are left
 * become one staged row for each key. */
#include "mysql-sink.h"

static const char *key_name(const struct my_sink *s, size_t key)
{
  return ((const char *const *)s->conf->key.item)[key];
}

static const struct my_column *column_of(const struct my_sink *s, int field)
{
  return &s->column[s->field_column[field]];
}

/* ---------------------------------------------------------------- the table */

/* By the last index an UPDATE meets the newest delete first. */
void my_log_create(const struct my_sink *s, struct sql_buf *sql)
{
  sql_buf_str(sql, "CREATE TEMPORARY TABLE " MY_LOG " (");
  for (int f = 0; f < s->n_fields; f++) {
    const struct my_column *c = column_of(s, f);
    my_stage_column(c, c->name, c->is_key && s->range_source < 0, sql);
    sql_buf_str(sql, ", ");
  }
  sql_buf_str(sql, MY_STAGE_DELETED " tinyint NOT NULL");
  my_set_columns(s, "tinyint NOT NULL", sql);
  sql_buf_str(sql, ", " MY_LOG_NUMBER " bigint NOT NULL PRIMARY KEY");
  sql_buf_str(sql, s->versioned ? ", " MY_LOG_VERSION " bigint NOT NULL" : "");
  my_range_ddl(s, sql);
  sql_buf_str(sql, ", KEY (");
  my_key_list(s, sql);
  sql_buf_str(sql, "), KEY (" MY_LOG_RANGE);
  sql_buf_str(sql, s->versioned ? ", " MY_LOG_VERSION " DESC)" : ")");
  sql_buf_str(sql, ") ENGINE=InnoDB");
}

void my_log_columns(const struct my_sink *s, struct sql_buf *sql)
{
  if (!s->logged)
    return;
  sql_buf_str(sql, ", " MY_LOG_NUMBER);
  sql_buf_str(sql, s->versioned ? ", " MY_LOG_VERSION : "");
  my_range_columns(s, sql);
}

void my_log_load(const struct my_sink *s, struct sql_buf *sql, struct sql_buf *set)
{
  if (!s->logged)
    return;
  sql_buf_str(sql, ", " MY_LOG_NUMBER);
  sql_buf_str(sql, s->versioned ? ", " MY_LOG_VERSION ", " MY_LOG_RANGE : ", " MY_LOG_RANGE);
  for (int r = 0; r < s->n_range; r++)
    for (int b = 0; b < MR_BOUNDS; b++) {
      char name[40], variable[48];
      struct sql_buf expr = {0};
      my_range_name(b, s->range[r].key, name, sizeof name);
      snprintf(variable, sizeof variable, "@%s", name);
      if (b < MR_LOWER_INC && maria_field_load(&s->range[r].bound[b], variable, &expr)) {
        sql_buf_fmt(sql, ", %s", variable);
        sql_buf_fmt(set, "%s%s = %s", set->len ? ", " : " SET ", name, sql_buf_text(&expr));
      } else {
        sql_buf_fmt(sql, ", %s", name);
      }
      sql_buf_done(&expr);
    }
}

/* ---------------------------------------------------------------- a batch */

void my_log_bind(struct my_sink *s, const struct ArrowSchema *schema, const struct mr_batch *b)
{
  if (s->versioned)
    ups_version_view(&s->version, schema, &b->rows,
                     s->column[my_column_find(s, s->conf->version)].source);
  for (size_t k = 0; s->range_source >= 0 && k < s->conf->key.n; k++) {
    const struct my_column *c = &s->column[my_column_find(s, key_name(s, k))];
    ups_key_view(&s->key[k], schema, &b->rows, c->source, false);
  }
  for (int r = 0; r < s->n_range; r++) {
    struct my_range *range = &s->range[r];
    range->at = s->key[range->key].range;
    s->key[range->key].unordered = !range->ordered;
    for (int i = 0; i < MR_LOWER_INC; i++)
      range->bound[i].v = range->at.bound[i];
  }
}

bool my_log_many(const struct my_sink *s, int64_t row)
{
  return s->range_source >= 0 && s->logged && mr_range_has(&s->key[0].range, row);
}

bool my_log_names(const struct my_sink *s, int field, int64_t row)
{
  for (size_t k = 0; k < s->conf->key.n; k++)
    if (!strcasecmp(key_name(s, k), column_of(s, field)->name))
      return ups_key_named(&s->key[k], row);
  return false;
}

const struct ups_fault *my_log_fault(const struct my_sink *s, int64_t row, bool deleted,
                                     const char **ret_column)
{
  int key = 0;
  const struct ups_fault *why = s->versioned ? ups_version_fault(&s->version, row) : NULL;
  *ret_column = s->conf->version;
  if (why || s->range_source < 0)
    return why;
  why = ups_key_fault(s->key, s->conf->key.n, row, deleted, &key);
  *ret_column = key < 0 ? MR_RANGE : key_name(s, (size_t)key);
  return why;
}

static int field_of_key(const struct my_sink *s, int key)
{
  for (int f = 0; f < s->n_fields; f++)
    if (!strcasecmp(column_of(s, f)->name, key_name(s, (size_t)key)))
      return f;
  return 0;
}

/* One end of what a key column may be. false: the column cannot hold it. */
static bool put_bound(struct my_sink *s, const struct my_range *r, enum mr_bound bound, int64_t row,
                      const char **code, const char **msg)
{
  bool loads = s->form == MARIA_FORM_LOAD;
  int value = bound < MR_LOWER_INC ? (int)bound : (int)bound - MR_LOWER_INC;
  sql_buf_byte(&s->rows, loads ? '\t' : ',');
  if (!mr_range_bounds(&r->at, row) || mr_view_null(&r->at.bound[value], row)) {
    sql_buf_str(&s->rows, loads ? "\\N" : "NULL");
    return true;
  }
  if (bound < MR_LOWER_INC)
    return maria_field_value(&r->bound[bound], row, s->form, &s->rows, code, msg);
  sql_buf_byte(&s->rows, mr_view_bool(&r->at.bound[bound], row) ? '1' : '0');
  return true;
}

/* With versions a delete of one row is like one of many, which names all key columns. */
static void put_mask(struct my_sink *s, int64_t row, bool deleted)
{
  bool loads = s->form == MARIA_FORM_LOAD;
  int64_t all = (INT64_C(1) << s->conf->key.n) - 1;
  sql_buf_byte(&s->rows, loads ? '\t' : ',');
  if (my_log_many(s, row))
    sql_buf_int(&s->rows, ups_key_mask(s->key, s->conf->key.n, row));
  else if (deleted && s->versioned)
    sql_buf_int(&s->rows, all);
  else
    sql_buf_str(&s->rows, loads ? "\\N" : "NULL");
}

void my_log_put(struct my_sink *s, int64_t row, bool deleted, int *ret_bad, const char **code,
                const char **msg)
{
  char separator = s->form == MARIA_FORM_LOAD ? '\t' : ',';
  sql_buf_byte(&s->rows, separator);
  sql_buf_int(&s->rows, s->sequence++);
  if (s->versioned) {
    sql_buf_byte(&s->rows, separator);
    sql_buf_int(&s->rows, mr_view_int(&s->version.value, row));
  }
  put_mask(s, row, deleted);
  for (int r = 0; r < s->n_range; r++)
    for (int b = 0; b < MR_BOUNDS; b++)
      if (!put_bound(s, &s->range[r], b, row, code, msg)) {
        *ret_bad = field_of_key(s, s->range[r].key);
        return;
      }
}

/* ---------------------------------------------------------------- folding */

static void fold_in_order(const struct my_sink *s, struct sql_buf *sql)
{
  sql_buf_str(sql, s->partial ? "INSERT INTO " MY_STAGE " (" : "REPLACE INTO " MY_STAGE " (");
  my_column_list(s, NULL, sql);
  sql_buf_str(sql, ", " MY_STAGE_DELETED);
  my_set_columns(s, NULL, sql);
  sql_buf_str(sql, ") SELECT ");
  my_column_list(s, "l", sql);
  sql_buf_str(sql, ", l." MY_STAGE_DELETED);
  my_set_columns(s, NULL, sql);
  sql_buf_str(sql, " FROM " MY_LOG " l WHERE l." MY_LOG_RANGE " IS NULL ORDER BY l." MY_LOG_NUMBER);
  if (s->partial)
    my_partial_fold(s, sql);
}

int my_log_fold(struct my_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  int status = my_range_log(s, sql, err);
  if (status >= 0)
    status = my_range_target(s, sql, err);
  if (status < 0)
    return status;
  if (s->versioned)
    my_version_fold(s, sql);
  else
    fold_in_order(s, sql);
  return my_statement(s, sql, "merge the rows of a key for", MARIA_GO_ON, err);
}

int my_log_empty(struct my_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  sql_buf_str(sql, "DELETE FROM " MY_LOG);
  sql_buf_str(sql, s->versioned ? " WHERE " MY_LOG_RANGE " IS NULL" : "");
  return my_statement(s, sql, "empty the staging table of", MARIA_GO_ON, err);
}
