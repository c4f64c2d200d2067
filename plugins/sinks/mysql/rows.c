/* SPDX-License-Identifier: Apache-2.0 */
/* Rows by LOAD DATA LOCAL from memory, or by INSERT with many rows. */
#include "mysql-sink.h"
#include "millrace/changes.h"

#define LOGGED_ROWS 16384 /* are merged at once: within the statement timeout of a slow server */
#define PACKET_SPARE 1024 /* bytes of a packet that are not the statement's */

bool my_is_staged(const struct my_sink *s)
{
  return s->conf->mode == MODE_UPSERT;
}

static const char *written_table(const struct my_sink *s)
{
  return s->logged ? MY_LOG : my_is_staged(s) ? MY_STAGE : s->target;
}

/* ---------------------------------------------------------------- the statement */

/* (`a`, @v1, …) SET `b` = UNHEX(@v1), … */
static void load_columns(const struct my_sink *s, struct sql_buf *sql)
{
  struct sql_buf set = {0};
  for (int i = 0; i < s->n_fields; i++) {
    const char *name = s->column[s->field_column[i]].name;
    char variable[24];
    struct sql_buf expr = {0};
    snprintf(variable, sizeof variable, "@millrace_%d", i);
    sql_buf_str(sql, i ? ", " : "(");
    bool counts = s->column[s->field_column[i]].counts;
    if (counts) /* read directly, a SET of another column would make the server number zeros */
      sql_buf_str(&expr, variable);
    if (counts || maria_field_load(&s->field[i], variable, &expr)) {
      sql_buf_str(sql, variable);
      sql_buf_str(&set, set.len ? ", " : " SET ");
      maria_ident(&set, name);
      sql_buf_fmt(&set, " = %s", sql_buf_text(&expr));
    } else {
      maria_ident(sql, name);
    }
    sql_buf_done(&expr);
  }
  sql_buf_str(sql, my_is_staged(s) ? ", " MY_STAGE_DELETED : "");
  my_set_columns(s, NULL, sql);
  my_log_load(s, sql, &set);
  sql_buf_byte(sql, ')');
  sql_buf_bytes(sql, set.p, set.len);
  sql->failed |= set.failed;
  sql_buf_done(&set);
}

static void load_statement(const struct my_sink *s, struct sql_buf *sql)
{
  sql_buf_fmt(sql,
              "LOAD DATA LOCAL INFILE 'millrace' %sINTO TABLE %s CHARACTER SET utf8mb4"
              " FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' ",
              my_is_staged(s) && !s->logged ? "REPLACE " : "", written_table(s));
  load_columns(s, sql);
}

static void insert_statement(const struct my_sink *s, struct sql_buf *sql)
{
  bool replaces = my_is_staged(s) && !s->partial && !s->logged;
  sql_buf_fmt(sql, "%s INTO %s (", replaces ? "REPLACE" : "INSERT", written_table(s));
  my_column_list(s, NULL, sql);
  sql_buf_str(sql, my_is_staged(s) ? ", " MY_STAGE_DELETED : "");
  my_set_columns(s, NULL, sql);
  my_log_columns(s, sql);
  sql_buf_str(sql, ") VALUES ");
}

int my_rows_plan(struct my_sink *s, struct mr_error *err)
{
  bool wants_load = s->conf->method != METHOD_INSERT;
  bool folds = s->partial && !s->logged; /* LOAD DATA cannot */
  s->form = wants_load && !folds && s->conn.loads ? MARIA_FORM_LOAD : MARIA_FORM_INSERT;
  if (!s->conn.loads && s->conf->method == METHOD_LOAD)
    return src_badconf(err, "method", "the server forbids LOAD DATA LOCAL (local_infile is off)%s",
                       s->conn.where);
  if (!s->conn.loads && wants_load && !s->warned_form) {
    s->warned_form = true;
    src_log(s->conn.host, MR_WARN,
            "the server forbids LOAD DATA LOCAL (local_infile is off); %s is written by INSERT",
            s->shown);
  }
  sql_buf_clear(&s->load_sql);
  if (s->form == MARIA_FORM_LOAD)
    load_statement(s, &s->load_sql);
  else
    insert_statement(s, &s->load_sql);
  sql_buf_clear(&s->tail_sql);
  if (folds)
    my_partial_fold(s, &s->tail_sql);
  sql_buf_text(&s->load_sql);
  return s->load_sql.failed || s->tail_sql.failed ? src_no_memory(err) : MR_OK;
}

/* ---------------------------------------------------------------- sending */

void my_rows_drop(struct my_sink *s)
{
  sql_buf_clear(&s->rows);
  s->n_rows = 0;
}

/* "Records: 3  Deleted: 0  Skipped: 0  Warnings: 0" */
static bool all_taken(struct my_sink *s)
{
  const char *info = mysql_info(s->conn.db);
  long long records = 0, deleted = 0, skipped = 0;
  return info &&
         sscanf(info, "Records: %lld Deleted: %lld Skipped: %lld", &records, &deleted, &skipped) ==
             3 &&
         records == s->n_rows && skipped == 0;
}

static int not_taken(struct my_sink *s, struct mr_error *err)
{
  return src_fail(err, MR_REJECT, "22000", "LOAD DATA into %s: rows were left out%s", s->shown,
                  s->conn.where);
}

/* A statement that failed as a whole: while batches answer for themselves its rows are found. */
static int failed(struct my_sink *s, int status, struct mr_error *err)
{
  if (status == MR_REJECT && s->conn.db && s->careful)
    my_refused_rows(s, err);
  return status;
}

static int load(struct my_sink *s, const char *what, struct mr_error *err)
{
  int status = maria_load(&s->conn, sql_buf_text(&s->load_sql), s->rows.p, s->rows.len, what, err);
  if (status < 0)
    return failed(s, status, err);
  bool taken = all_taken(s);
  if (mysql_warning_count(s->conn.db) > 0)
    status = my_refused_rows(s, err);
  return status >= 0 && !taken ? not_taken(s, err) : status;
}

static int insert(struct my_sink *s, const char *what, struct mr_error *err)
{
  sql_buf_bytes(&s->rows, s->tail_sql.p, s->tail_sql.len);
  if (s->rows.failed)
    return src_no_memory(err);
  int status = maria_run(&s->conn, sql_buf_text(&s->rows), s->rows.len, what,
                         s->conf->server.statement_timeout_ms, MARIA_GO_ON, NULL, NULL, err);
  return failed(s, status, err);
}

int my_rows_send(struct my_sink *s, struct mr_error *err)
{
  char what[160];
  if (!s->n_rows)
    return MR_OK;
  if (s->rows.failed)
    return src_no_memory(err);
  bool loads = s->form == MARIA_FORM_LOAD;
  snprintf(what, sizeof what, "%s INTO %s", loads ? "LOAD DATA" : "INSERT", s->shown);
  s->dirty |= my_is_staged(s);
  s->stage_used |= s->dirty;
  int status = loads ? load(s, what, err) : insert(s, what, err);
  s->n_logged += s->logged ? s->n_rows : 0;
  my_rows_drop(s);
  return status;
}

/* ---------------------------------------------------------------- encoding */

int my_bad_row(struct my_sink *s, int64_t row, const char *code, const char *msg,
               const char *column)
{
  struct mr_reject r = {.size = sizeof r,
                        .lane = s->batch->lane,
                        .batch = s->batch,
                        .batch_id = s->batch->id,
                        .row = row,
                        .code = code,
                        .msg = msg,
                        .column = column};
  mr_bit_set(s->dead, row, true);
  return s->host->reject(s->host->ctx, &r);
}

static void put_null(struct my_sink *s)
{
  sql_buf_str(&s->rows, s->form == MARIA_FORM_LOAD ? "\\N" : "NULL");
}

/* Appends one field; of a row that is deleted only the key counts. */
static bool put_field(struct my_sink *s, int k, int64_t i, bool deleted, const char **code,
                      const char **msg)
{
  const struct maria_field *f = &s->field[k];
  bool key = s->column[s->field_column[k]].is_key, staged = my_is_staged(s);
  if (key && my_log_many(s, i)) {
    if (my_log_names(s, k, i))
      return maria_field_value(f, i, s->form, &s->rows, code, msg);
    put_null(s);
    return true;
  }
  if (s->set_source >= 0 && !mr_set_has(&s->set[k], i)) {
    *code = "23502";
    *msg = key && staged ? "the row does not write its key"
                         : "the row does not write a NOT NULL column";
    put_null(s);
    return !(staged ? key : f->type.not_null);
  }
  if (deleted && !s->column[s->field_column[k]].is_key) {
    put_null(s);
    return true;
  }
  return maria_field_value(f, i, s->form, &s->rows, code, msg);
}

/* Appends row i; *ret_bad: the field that cannot be held, -1: none. */
static void put_row(struct my_sink *s, int64_t i, bool deleted, int *ret_bad, const char **code,
                    const char **msg)
{
  bool loads = s->form == MARIA_FORM_LOAD;
  *ret_bad = -1;
  if (!loads && s->n_rows)
    sql_buf_byte(&s->rows, ',');
  for (int k = 0; k < s->n_fields; k++) {
    if (k || !loads)
      sql_buf_byte(&s->rows, loads ? '\t' : k ? ',' : '(');
    if (!put_field(s, k, i, deleted, code, msg)) {
      *ret_bad = k;
      return;
    }
  }
  if (my_is_staged(s))
    sql_buf_fmt(&s->rows, "%c%d", loads ? '\t' : ',', deleted);
  if (s->partial)
    my_set_put(s, i, deleted, &s->rows);
  if (s->logged)
    my_log_put(s, i, deleted, ret_bad, code, msg);
  sql_buf_byte(&s->rows, loads ? '\n' : ')');
}

static bool keep_row(struct my_sink *s, int64_t row)
{
  if (s->n_rows == s->cap_row_of) {
    int64_t cap = s->cap_row_of ? 2 * s->cap_row_of : 1024;
    int64_t *grown = realloc(s->row_of, (size_t)cap * sizeof *grown);
    if (!grown)
      return false;
    s->row_of = grown;
    s->cap_row_of = cap;
  }
  s->row_of[s->n_rows++] = row;
  return true;
}

/* Bytes of rows that the server takes in a statement. */
static int64_t most_packet(const struct my_sink *s)
{
  return s->conn.packet - PACKET_SPARE - (int64_t)s->tail_sql.len;
}

/* Bytes that a statement may have: what the file says, and what the server takes. */
static size_t most_bytes(const struct my_sink *s)
{
  int64_t most = s->conf->statement_bytes, packet = most_packet(s);
  if (s->form == MARIA_FORM_INSERT && packet > 0 && packet < most)
    most = packet;
  return (size_t)most;
}

static int bad_value(struct my_sink *s, int64_t row, int field, const char *code, const char *msg)
{
  const struct my_column *c = &s->column[s->field_column[field]];
  if (strcmp(code, "23502"))
    msg = evo_message(&s->words, msg, c->shown, s->in.children[c->source]);
  return my_bad_row(s, row, code, msg, c->name);
}

/* Row i behind those that are encoded; sends those first when both do not fit a statement. */
static int add_row(struct my_sink *s, int64_t i, bool deleted, struct mr_error *err)
{
  const char *code = "", *msg = "", *column;
  int bad;
  const struct ups_fault *why = s->logged ? my_log_fault(s, i, deleted, &column) : NULL;
  if (why)
    return my_bad_row(s, i, why->code, why->msg, column);
  if (s->form == MARIA_FORM_INSERT && !s->n_rows) {
    sql_buf_clear(&s->rows);
    sql_buf_bytes(&s->rows, s->load_sql.p, s->load_sql.len);
  }
  size_t before = s->rows.len;
  put_row(s, i, deleted, &bad, &code, &msg);
  if (s->rows.failed)
    return src_no_memory(err);
  if (bad < 0 && s->form == MARIA_FORM_INSERT && s->conn.packet > 0 &&
      (int64_t)s->rows.len > most_packet(s)) {
    s->rows.len = before;
    if (!s->n_rows)
      return my_bad_row(s, i, "08S01", "row is larger than the server's max_allowed_packet", NULL);
    int status = my_rows_send(s, err);
    return status < 0 ? status : add_row(s, i, deleted, err);
  }
  if (bad >= 0) {
    s->rows.len = before;
    return bad_value(s, i, bad, code, msg);
  }
  s->has_range |= my_log_many(s, i);
  s->has_delete |= deleted && !my_log_many(s, i);
  return keep_row(s, i) ? MR_OK : src_no_memory(err);
}

static bool bind(struct my_sink *s, const struct mr_batch *b, struct mr_view *op)
{
  const struct ArrowSchema *schema = b->schema ? b->schema : &s->in;
  s->batch = b;
  for (int i = 0; i < s->n_fields; i++) {
    int32_t at = s->column[s->field_column[i]].source;
    maria_field_bind(&s->field[i], schema->children[at], b->rows.children[at]);
  }
  memset(op, 0, sizeof *op);
  if (s->op_source >= 0 && my_is_staged(s))
    mr_view_column(op, schema, &b->rows, s->op_source);
  if (s->logged)
    my_log_bind(s, schema, b);
  return s->set_source < 0 || my_set_bind(s, schema, b);
}

static bool is_full(const struct my_sink *s, size_t most)
{
  return s->rows.len >= most || (s->logged && s->n_rows >= LOGGED_ROWS);
}

int my_rows_write(struct my_sink *s, const struct mr_batch *b, struct mr_error *err)
{
  struct mr_view op;
  size_t most = most_bytes(s);
  int status = MR_OK;
  if (!bind(s, b, &op))
    return src_no_memory(err);
  for (int64_t i = 0; status >= 0 && i < b->rows.length; i++) {
    if (mr_bit_get(s->dead, i))
      continue;
    status = add_row(s, i, ups_is_delete(&op, i), err);
    if (status >= 0 && is_full(s, most))
      status = my_rows_send(s, err);
    if (status >= 0 && s->n_logged >= LOGGED_ROWS)
      status = my_merge(s, true, err);
  }
  return status;
}
