/* SPDX-License-Identifier: Apache-2.0 */
/* Rows by INSERT with parameters in text form: for servers without COPY, and where the file asks
 * for it. */
#include "postgres.h"

#define PARAMETERS_MAX 65535 /* of one statement, by the protocol's 16-bit count */

/* One statement's values while they are gathered. */
struct values {
  struct sql_buf text;    /* the values, each with a zero byte behind it */
  int64_t *at;            /* where each begins in text, -1: null */
  const char **parameter; /* the same as pointers */
  int64_t n, rows, first_row, cap;
  bool pipelined, prepared; /* prepared: the statement of full ones is */
  char what[160];
};

static bool values_init(struct values *v, int64_t cap)
{
  memset(v, 0, sizeof *v);
  v->cap = cap;
  v->at = malloc((size_t)cap * sizeof *v->at);
  v->parameter = malloc((size_t)cap * sizeof *v->parameter);
  return v->at && v->parameter;
}

static void values_done(struct values *v)
{
  sql_buf_done(&v->text);
  free(v->at);
  free(v->parameter);
}

static void values_clear(struct values *v)
{
  sql_buf_clear(&v->text);
  v->n = v->rows = 0;
}

/* Appends a row; a bad one is rejected and leaves nothing. */
static int add_row(const struct pg_rows *r, int64_t i, struct values *v)
{
  int64_t n = v->n;
  size_t len = v->text.len;
  for (int c = 0; c < r->n; c++) {
    struct pg_field *f = &r->field[c];
    const char *code = "23502", *msg = "null in a column that is NOT NULL";
    bool null = f->op == PG_OP_NULL || mr_view_null(&f->v, i);
    v->at[v->n] = null ? -1 : (int64_t)v->text.len;
    if (null ? f->not_null : !pg_field_text(f, i, &v->text, &code, &msg)) {
      v->n = n;
      v->text.len = len;
      return r->bad(r->ctx, i, c, code, msg);
    }
    sql_buf_byte(&v->text, 0);
    v->n++;
  }
  if (v->rows++ == 0)
    v->first_row = i;
  return MR_OK;
}

static void insert_sql(struct pg_sink *s, struct sql_buf *sql, int64_t rows, int columns)
{
  sql_buf_str(sql, "INSERT INTO ");
  pg_write_target(s, sql);
  sql_buf_str(sql, " (");
  pg_column_list(s, "", sql);
  if (pg_is_staged(s))
    pg_stage_list(s, sql);
  sql_buf_str(sql, ") VALUES ");
  for (int64_t r = 0; r < rows; r++) {
    for (int c = 0; c < columns; c++)
      sql_buf_fmt(sql, "%s$%lld", c ? "," : r ? ",(" : "(", (long long)(r * columns + c + 1));
    sql_buf_byte(sql, ')');
  }
}

static void point_at_values(struct values *v)
{
  for (int64_t i = 0; i < v->n; i++)
    v->parameter[i] = v->at[i] < 0 ? NULL : (const char *)v->text.p + v->at[i];
}

static int run(struct pg_sink *s, struct values *v, const char *sql, struct mr_error *err)
{
  point_at_values(v);
  int status = v->text.failed ? pg_no_memory(err)
                              : pg_run_values(s, sql, (int)v->n, v->parameter, v->what, err);
  if (status == MR_REJECT && v->rows == 1)
    err->row = v->first_row;
  values_clear(v);
  return status;
}

/* Sends without waiting; sql NULL: the statement that was prepared. */
static int queue(struct pg_sink *s, struct values *v, const char *sql, struct mr_error *err)
{
  point_at_values(v);
  int status = v->text.failed ? pg_no_memory(err)
                              : pg_pipeline_values(s, sql, (int)v->n, v->parameter, v->what, err);
  values_clear(v);
  return status;
}

static int send_rows(struct pg_sink *s, struct values *v, int columns, struct mr_error *err)
{
  struct sql_buf sql = {0};
  if (v->rows == 0)
    return MR_OK;
  insert_sql(s, &sql, v->rows, columns);
  int status =
      v->pipelined ? queue(s, v, sql_buf_text(&sql), err) : run(s, v, sql_buf_text(&sql), err);
  sql_buf_done(&sql);
  return status;
}

/* A full statement: in pipeline mode it is parsed once for all of them. */
static int send_full(struct pg_sink *s, struct values *v, int columns, struct mr_error *err)
{
  struct sql_buf sql = {0};
  int status = MR_OK;
  if (!v->pipelined)
    return send_rows(s, v, columns, err);
  if (!v->prepared) {
    insert_sql(s, &sql, v->rows, columns);
    status = pg_pipeline_prepare(s, sql_buf_text(&sql), (int)v->n, v->what, err);
    sql_buf_done(&sql);
    v->prepared = true;
  }
  return status < 0 ? status : queue(s, v, NULL, err);
}

static bool is_skipped(const struct pg_rows *r, int64_t i)
{
  return r->skip && mr_bit_get(r->skip, i);
}

static int send_all_rows(struct pg_sink *s, const struct pg_rows *r, struct values *v, int64_t most,
                         int64_t from, int64_t to, struct mr_error *err)
{
  int status = MR_OK;
  for (int64_t i = from; status >= 0 && i < to; i++) {
    status = is_skipped(r, i) ? MR_OK : add_row(r, i, v);
    if (status >= 0 && v->rows == most)
      status = send_full(s, v, r->n, err);
  }
  return status < 0 ? status : send_rows(s, v, r->n, err);
}

/* After a failed send the answers are still to be taken: they may say more. */
static int end_pipeline(struct pg_sink *s, const char *what, int status, struct mr_error *err)
{
  struct mr_error ignored = {.size = sizeof ignored};
  if (status >= 0)
    return pg_pipeline_end(s, what, err);
  if (s->pg)
    pg_pipeline_end(s, what, &ignored);
  return status;
}

/* Several statements for a batch, and one round trip. While bad rows are looked for each statement
 * answers for itself, and other servers may know no pipelines. */
static int write_many(struct pg_sink *s, const struct pg_rows *r, int64_t from, int64_t to,
                      struct mr_error *err)
{
  struct values v;
  int64_t most = s->conf->insert_rows;
  if (most * r->n > PARAMETERS_MAX)
    most = PARAMETERS_MAX / r->n;
  int status = values_init(&v, most * r->n) ? MR_OK : pg_no_memory(err);
  snprintf(v.what, sizeof v.what, "INSERT INTO %s", s->shown);
  v.pipelined = s->genuine && !s->isolating && !s->conf->insert_waits && to - from > most;
  if (status >= 0 && v.pipelined)
    status = pg_pipeline_begin(s, v.what, err);
  if (status >= 0)
    status = send_all_rows(s, r, &v, most, from, to, err);
  if (v.pipelined)
    status = end_pipeline(s, v.what, status, err);
  values_done(&v);
  return status;
}

/* ---------------------------------------------------------------- upsert without a staging table
 */

/* DELETE … WHERE key = $…; only the key's values are kept in v. */
static void delete_sql(struct pg_sink *s, struct sql_buf *sql, struct values *v)
{
  int64_t kept = 0;
  sql_buf_fmt(sql, "DELETE FROM %s WHERE ", s->target);
  for (int c = 0; c < s->n_fields; c++) {
    const struct pg_column *column = &s->column[s->field_column[c]];
    if (!column->is_key)
      continue;
    sql_buf_str(sql, kept ? " AND " : "");
    sql_ident(sql, column->name);
    v->at[kept] = v->at[c];
    sql_buf_fmt(sql, " = $%lld", (long long)++kept);
  }
  v->n = kept;
}

static int replace_row(struct pg_sink *s, const struct pg_rows *r, int64_t i, bool deleted,
                       struct values *v, struct mr_error *err)
{
  struct sql_buf sql = {0};
  int status = add_row(r, i, v);
  if (status < 0 || v->rows == 0)
    return status;
  delete_sql(s, &sql, v);
  snprintf(v->what, sizeof v->what, "DELETE FROM %s", s->shown);
  status = run(s, v, sql_buf_text(&sql), err);
  sql_buf_done(&sql);
  if (status < 0 || deleted)
    return status;
  snprintf(v->what, sizeof v->what, "INSERT INTO %s", s->shown);
  status = add_row(r, i, v);
  return status < 0 ? status : send_rows(s, v, r->n, err);
}

static int write_each(struct pg_sink *s, const struct mr_batch *b, const struct pg_rows *r,
                      int64_t from, int64_t to, struct mr_error *err)
{
  struct values v;
  struct mr_view op = {0};
  int status = values_init(&v, r->n) ? MR_OK : pg_no_memory(err);
  if (s->op_source >= 0)
    mr_view_column(&op, b->schema ? b->schema : &s->in, &b->rows, s->op_source);
  for (int64_t i = from; status >= 0 && i < to; i++)
    if (!is_skipped(r, i))
      status = replace_row(s, r, i, s->op_source >= 0 && ups_is_delete(&op, i), &v, err);
  values_done(&v);
  return status;
}

int pg_insert_rows(struct pg_sink *s, const struct mr_batch *b, const struct pg_rows *rows,
                   int64_t from, int64_t to, struct mr_error *err)
{
  if (s->conf->mode == MODE_UPSERT && !pg_is_staged(s))
    return write_each(s, b, rows, from, to, err);
  return write_many(s, rows, from, to, err);
}
