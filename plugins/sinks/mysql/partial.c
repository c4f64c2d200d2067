/* SPDX-License-Identifier: Apache-2.0 */
/* Upserts of rows that write only some columns. The staging table keeps one row for each key, with
 * a bit for each field, in words of 64: each row that comes is folded into it by ON DUPLICATE KEY
 * UPDATE, in their order. What goes to the target then is only what the bits say. */
#include "mysql-sink.h"
#include "millrace/changes.h"

int my_set_words(const struct my_sink *s)
{
  return s->partial ? (s->n_fields + MY_SET_BITS - 1) / MY_SET_BITS : 0;
}

static const struct my_column *column_of(const struct my_sink *s, int field)
{
  return &s->column[s->field_column[field]];
}

bool my_set_bind(struct my_sink *s, const struct ArrowSchema *schema, const struct mr_batch *b)
{
  struct mr_view *grown = realloc(s->set, (size_t)(s->n_fields + 1) * sizeof *grown);
  if (!grown)
    return false;
  s->set = grown;
  for (int f = 0; f < s->n_fields; f++)
    mr_set_view(&s->set[f], schema, &b->rows, schema->children[column_of(s, f)->source]->name);
  return true;
}

void my_set_put(const struct my_sink *s, int64_t row, bool deleted, struct sql_buf *out)
{
  char separator = s->form == MARIA_FORM_LOAD ? '\t' : ',';
  for (int w = 0; w < my_set_words(s); w++) {
    uint64_t word = 0;
    for (int f = w * MY_SET_BITS; f < s->n_fields && f < (w + 1) * MY_SET_BITS; f++)
      word |= (uint64_t)(!deleted && mr_set_has(&s->set[f], row)) << f % MY_SET_BITS;
    sql_buf_byte(out, separator);
    sql_buf_uint(out, word, 1);
  }
  sql_buf_byte(out, separator);
  sql_buf_byte(out, deleted ? '1' : '0');
}

void my_set_columns(const struct my_sink *s, const char *type, struct sql_buf *sql)
{
  for (int w = 0; w < my_set_words(s); w++)
    sql_buf_fmt(sql, ", " MY_STAGE_SET "%d%s", w, type ? " bigint unsigned NOT NULL" : "");
  if (s->partial)
    sql_buf_fmt(sql, ", " MY_STAGE_GONE "%s%s", type ? " " : "", type ? type : "");
}

/* ---------------------------------------------------------------- folding */

void my_set_bit(struct sql_buf *sql, const char *row, int field)
{
  sql_buf_fmt(sql, "%s." MY_STAGE_SET "%d >> %d & 1", row, field / MY_SET_BITS,
              field % MY_SET_BITS);
}

/* Assignments are made from left to right: the bits and marks of the row come last. A delete clears
 * the bits, and what is written behind it begins anew. */
void my_partial_fold(const struct my_sink *s, struct sql_buf *sql)
{
  sql_buf_str(sql, " ON DUPLICATE KEY UPDATE ");
  for (int f = 0; f < s->n_fields; f++) {
    const char *name = column_of(s, f)->name;
    if (column_of(s, f)->is_key)
      continue;
    maria_ident(sql, name);
    sql_buf_str(sql, " = IF(");
    sql_buf_fmt(sql, "VALUES(" MY_STAGE_SET "%d) >> %d & 1", f / MY_SET_BITS, f % MY_SET_BITS);
    sql_buf_str(sql, ", VALUES(");
    maria_ident(sql, name);
    sql_buf_str(sql, "), IF(VALUES(" MY_STAGE_GONE "), NULL, " MY_STAGE ".");
    maria_ident(sql, name);
    sql_buf_str(sql, ")), ");
  }
  for (int w = 0; w < my_set_words(s); w++)
    sql_buf_fmt(sql,
                MY_STAGE_SET "%d = IF(VALUES(" MY_STAGE_GONE "), 0, " MY_STAGE "." MY_STAGE_SET
                             "%d | VALUES(" MY_STAGE_SET "%d)), ",
                w, w, w);
  sql_buf_str(sql,
              MY_STAGE_DELETED " = " MY_STAGE "." MY_STAGE_DELETED " | VALUES(" MY_STAGE_DELETED
                               "), " MY_STAGE_GONE " = VALUES(" MY_STAGE_GONE ")");
}

/* ---------------------------------------------------------------- to the target */

static int update_rows(struct my_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  int n = 0;
  sql_buf_fmt(sql, "UPDATE %s t JOIN " MY_STAGE " d ON ", s->target);
  my_on_keys(s, sql);
  sql_buf_str(sql, " SET ");
  for (int f = 0; f < s->n_fields; f++) {
    const char *name = column_of(s, f)->name;
    if (column_of(s, f)->is_key)
      continue;
    sql_buf_str(sql, n++ ? ", t." : "t.");
    maria_ident(sql, name);
    sql_buf_str(sql, " = IF(");
    my_set_bit(sql, "d", f);
    sql_buf_str(sql, ", d.");
    maria_ident(sql, name);
    sql_buf_str(sql, ", t.");
    maria_ident(sql, name);
    sql_buf_byte(sql, ')');
  }
  if (!n) { /* nothing but the key */
    sql_buf_clear(sql);
    return MR_OK;
  }
  sql_buf_str(sql, " WHERE d." MY_STAGE_GONE " = 0");
  return my_statement(s, sql, "UPDATE", MARIA_GO_ON, err);
}

/* A field of a new row; what no row has written gets its default. */
static void put_new(const struct my_sink *s, int field, struct sql_buf *sql)
{
  const struct my_column *c = column_of(s, field);
  bool chosen = c->preset && !c->is_key;
  if (chosen) {
    sql_buf_str(sql, "IF(");
    my_set_bit(sql, "d", field);
    sql_buf_str(sql, ", ");
  }
  sql_buf_str(sql, "d.");
  maria_ident(sql, c->name);
  if (!chosen)
    return;
  sql_buf_str(sql, ", ");
  my_default(s, c, sql);
  sql_buf_byte(sql, ')');
}

static int insert_rows(struct my_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  sql_buf_fmt(sql, "INSERT INTO %s (", s->target);
  my_column_list(s, NULL, sql);
  sql_buf_str(sql, ") SELECT ");
  for (int f = 0; f < s->n_fields; f++) {
    sql_buf_str(sql, f ? ", " : "");
    put_new(s, f, sql);
  }
  sql_buf_fmt(sql, " FROM " MY_STAGE " d LEFT JOIN %s t ON ", s->target);
  my_on_keys(s, sql);
  sql_buf_str(sql, " WHERE d." MY_STAGE_GONE " = 0 AND t.");
  maria_ident(sql, *(const char *const *)s->conf->key.item);
  sql_buf_str(sql, " IS NULL");
  return my_statement(s, sql, "INSERT INTO", MARIA_GO_ON, err);
}

int my_partial_merge(struct my_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  int status = update_rows(s, sql, err);
  return status < 0 ? status : insert_rows(s, sql, err);
}
