/* SPDX-License-Identifier: Apache-2.0 */
/* Deletes of many rows (`_range`), and with versions those of one row. They are logged with the
 * other rows; statements take together those that name the same key columns, so that each finds its
 * rows by an index that begins with these. */
#include "mysql-sink.h"

#define BYTEWISE "utf8mb4_nopad_bin" /* compares text by its bytes in UTF-8 */

static const char *key_name(const struct my_sink *s, int key)
{
  return ((const char *const *)s->conf->key.item)[key];
}

static const struct my_column *key_column(const struct my_sink *s, int key)
{
  return &s->column[my_column_find(s, key_name(s, key))];
}

/* ---------------------------------------------------------------- columns */

void my_range_name(enum mr_bound bound, int key, char *ret, size_t size)
{
  static const char *const name[MR_BOUNDS] = {"lower", "upper", "lower_inc", "upper_inc"};
  snprintf(ret, size, "_millrace_%s%d", name[bound], key);
}

void my_range_columns(const struct my_sink *s, struct sql_buf *sql)
{
  char name[40];
  sql_buf_str(sql, ", " MY_LOG_RANGE);
  for (int r = 0; r < s->n_range; r++)
    for (int b = 0; b < MR_BOUNDS; b++) {
      my_range_name(b, s->range[r].key, name, sizeof name);
      sql_buf_fmt(sql, ", %s", name);
    }
}

void my_range_ddl(const struct my_sink *s, struct sql_buf *sql)
{
  char name[40];
  sql_buf_str(sql, ", " MY_LOG_RANGE " bigint NULL");
  for (int r = 0; r < s->n_range; r++)
    for (int b = 0; b < MR_BOUNDS; b++) {
      my_range_name(b, s->range[r].key, name, sizeof name);
      sql_buf_str(sql, ", ");
      if (b < MR_LOWER_INC)
        my_stage_column(key_column(s, s->range[r].key), name, false, sql);
      else
        sql_buf_fmt(sql, "%s tinyint NULL", name);
    }
}

/* ---------------------------------------------------------------- plan */

void my_range_forget(struct my_sink *s)
{
  free(s->range);
  s->range = NULL;
  s->n_range = 0;
}

/* Can values be compared there as the rows' values are? */
static bool has_order(const struct ArrowSchema *from, const struct maria_type *to)
{
  switch (to->kind) {
  case MARIA_TEXT: return ups_text_orders(mr_kind_of(from));
  case MARIA_FLOAT: return mr_kind_of(from) != MR_K_FLOAT64; /* rounded */
  case MARIA_ENUM:
  case MARIA_JSON:
  case MARIA_UUID: /* the server has an order of its own for them */
  case MARIA_OTHER: return false;
  default: return true;
  }
}

static void plan_key(struct my_sink *s, int key, const struct ArrowSchema *bounds)
{
  struct maria_type type = key_column(s, key)->type;
  struct my_range *r = &s->range[s->n_range++];
  type.not_null = false;
  *r = (struct my_range){.key = key, .ordered = has_order(bounds->children[0], &type)};
  for (int b = 0; b < MR_LOWER_INC; b++)
    if (!maria_field_plan(bounds->children[b], &type, &r->bound[b]))
      maria_field_unfit(bounds->children[b], &type, &r->bound[b]);
}

int my_range_plan(struct my_sink *s, struct mr_error *err)
{
  my_range_forget(s);
  if (s->range_source < 0)
    return MR_OK;
  const struct ArrowSchema *range = s->in.children[s->range_source];
  s->range = calloc(s->conf->key.n, sizeof *s->range);
  for (int k = 0; s->range && k < (int)s->conf->key.n; k++) {
    int64_t at = mr_schema_find(range, key_name(s, k));
    if (at >= 0)
      plan_key(s, k, range->children[at]);
  }
  return s->range ? MR_OK : src_no_memory(err);
}

/* ---------------------------------------------------------------- conditions */

/* Text goes by its bytes, whatever the column's collation says. */
static void value(const struct my_sink *s, int key, const char *row, const char *bound,
                  struct sql_buf *sql)
{
  const struct my_column *c = key_column(s, key);
  bool turned = c->type.kind == MARIA_TEXT && (!c->collation || strcmp(c->collation, BYTEWISE));
  sql_buf_str(sql, turned ? "CONVERT(" : "");
  sql_buf_fmt(sql, "%s.", row);
  maria_ident(sql, bound ? bound : c->name);
  sql_buf_str(sql, turned ? " USING utf8mb4) COLLATE " BYTEWISE : "");
}

/* " AND (r.lower0 IS NULL OR t.key > r.lower0 OR (r.lower_inc0 AND t.key = r.lower0))" */
static void within(const struct my_sink *s, int key, enum mr_bound end, const char *row,
                   struct sql_buf *sql)
{
  char bound[40], inc[40];
  my_range_name(end, key, bound, sizeof bound);
  my_range_name(end + MR_LOWER_INC, key, inc, sizeof inc);
  sql_buf_fmt(sql, " AND (r.%s IS NULL OR ", bound);
  value(s, key, row, NULL, sql);
  sql_buf_str(sql, end == MR_LOWER ? " > " : " < ");
  value(s, key, "r", bound, sql);
  sql_buf_fmt(sql, " OR (r.%s AND ", inc);
  value(s, key, row, NULL, sql);
  sql_buf_str(sql, " = ");
  value(s, key, "r", bound, sql);
  sql_buf_str(sql, "))");
}

/* "r._millrace_range = mask AND …": does the row fit the delete r of these key columns? */
static void fits(const struct my_sink *s, int64_t mask, const char *row, struct sql_buf *sql)
{
  sql_buf_fmt(sql, "r." MY_LOG_RANGE " = %lld", (long long)mask);
  for (int k = 0; k < (int)s->conf->key.n; k++) {
    if (!(mask >> k & 1))
      continue;
    sql_buf_fmt(sql, " AND %s.", row);
    maria_ident(sql, key_name(s, k));
    sql_buf_str(sql, " = r.");
    maria_ident(sql, key_name(s, k));
  }
  for (int r = 0; r < s->n_range; r++)
    for (int b = 0; s->range[r].ordered && b < MR_LOWER_INC; b++)
      within(s, s->range[r].key, b, row, sql);
}

/* ---------------------------------------------------------------- statements */

typedef int each_mask_fn(struct my_sink *s, int64_t mask, struct sql_buf *sql,
                         struct mr_error *err);

static int each_mask(struct my_sink *s, each_mask_fn *each, struct sql_buf *sql,
                     struct mr_error *err)
{
  MYSQL_RES *res = NULL;
  MYSQL_ROW row;
  bool some = s->has_range || s->kept_deletes || (s->versioned && s->has_delete);
  if (!some)
    return MR_OK;
  int status = maria_query(&s->conn,
                           "SELECT DISTINCT " MY_LOG_RANGE " FROM " MY_LOG " WHERE " MY_LOG_RANGE
                           " IS NOT NULL",
                           "SELECT from the logged deletes", &res, err);
  while (status >= 0 && (row = mysql_fetch_row(res)))
    status = each(s, strtoll(row[0], NULL, 10), sql, err);
  mysql_free_result(res);
  return status;
}

/* Of deletes that name the whole key the newest is enough. */
static int take_deletes(struct my_sink *s, int64_t mask, struct sql_buf *sql, struct mr_error *err)
{
  if (!s->versioned || mask != (INT64_C(1) << s->conf->key.n) - 1)
    return MR_OK;
  sql_buf_str(sql, "DELETE a FROM " MY_LOG " r STRAIGHT_JOIN " MY_LOG " a WHERE ");
  fits(s, mask, "a", sql);
  sql_buf_str(sql, " AND a." MY_LOG_RANGE " = r." MY_LOG_RANGE " AND (a." MY_LOG_VERSION
                   " < r." MY_LOG_VERSION " OR (a." MY_LOG_VERSION " = r." MY_LOG_VERSION
                   " AND a." MY_LOG_NUMBER " < r." MY_LOG_NUMBER "))");
  return my_statement(s, sql, "take the deleted rows of", MARIA_GO_ON, err);
}

static int take_logged(struct my_sink *s, int64_t mask, struct sql_buf *sql, struct mr_error *err)
{
  int status = take_deletes(s, mask, sql, err);
  if (status < 0)
    return status;
  sql_buf_str(sql, "DELETE a FROM " MY_LOG " r STRAIGHT_JOIN " MY_LOG " a WHERE ");
  fits(s, mask, "a", sql);
  sql_buf_str(sql, " AND a." MY_LOG_RANGE " IS NULL AND ");
  sql_buf_str(sql, s->versioned ? "a." MY_LOG_VERSION " <= r." MY_LOG_VERSION
                                : "a." MY_LOG_NUMBER " < r." MY_LOG_NUMBER);
  return my_statement(s, sql, "take the deleted rows of", MARIA_GO_ON, err);
}

int my_range_log(struct my_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  return each_mask(s, take_logged, sql, err);
}

static int take_stored(struct my_sink *s, int64_t mask, struct sql_buf *sql, struct mr_error *err)
{
  sql_buf_fmt(sql, "DELETE t FROM " MY_LOG " r STRAIGHT_JOIN %s t WHERE ", s->target);
  fits(s, mask, "t", sql);
  if (s->versioned) {
    sql_buf_str(sql, " AND ");
    my_version_older(s, sql);
  }
  return my_statement(s, sql, "DELETE FROM", MARIA_GO_ON, err);
}

int my_range_target(struct my_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  return each_mask(s, take_stored, sql, err);
}

static void count_rows(void *ctx, MYSQL_RES *res, uint64_t changed)
{
  *(uint64_t *)ctx = changed;
}

/* An UPDATE takes one delete for each row, and not always the newest; each round leaves fewer, as
 * the rows note the delete. */
static int clear_stored(struct my_sink *s, int64_t mask, struct sql_buf *sql, struct mr_error *err)
{
  char what[160];
  uint64_t rows = 1;
  int status = MR_OK;
  snprintf(what, sizeof what, "UPDATE of deleted columns of %s", s->shown);
  sql_buf_fmt(sql, "UPDATE " MY_LOG " r STRAIGHT_JOIN %s t SET ", s->target);
  my_version_clear(s, sql);
  sql_buf_str(sql, " WHERE ");
  fits(s, mask, "t", sql);
  sql_buf_str(sql, " AND ");
  my_version_unmarked(s, sql);
  sql_buf_text(sql);
  if (sql->failed)
    return src_no_memory(err);
  while (status >= 0 && rows > 0)
    status = maria_run(&s->conn, sql_buf_text(sql), sql->len, what,
                       s->conf->server.statement_timeout_ms, MARIA_GO_ON, count_rows, &rows, err);
  sql_buf_clear(sql);
  return status;
}

int my_range_clear(struct my_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  return s->versioned ? each_mask(s, clear_stored, sql, err) : MR_OK;
}
