/* SPDX-License-Identifier: Apache-2.0 */
/* The connection, and a unit: rows are converted as they come and written in one transaction at its
 * commit. */
#include <poll.h>
#include "common/clock.h"
#include "sqlite.h"
#include "millrace/changes.h"

#define BUSY_STEP_MS 10 /* between two looks at a lock that another connection holds */

/* ---------------------------------------------------------------- errors */

int sq_no_memory(struct mr_error *err)
{
  return src_fail(err, MR_FATAL, "SQLITE_NOMEM", "out of memory");
}

static const char *code_name(int extended)
{
  switch (extended) {
  case SQLITE_CONSTRAINT_CHECK: return "SQLITE_CONSTRAINT_CHECK";
  case SQLITE_CONSTRAINT_FOREIGNKEY: return "SQLITE_CONSTRAINT_FOREIGNKEY";
  case SQLITE_CONSTRAINT_NOTNULL: return "SQLITE_CONSTRAINT_NOTNULL";
  case SQLITE_CONSTRAINT_PRIMARYKEY: return "SQLITE_CONSTRAINT_PRIMARYKEY";
  case SQLITE_CONSTRAINT_ROWID: return "SQLITE_CONSTRAINT_ROWID";
  case SQLITE_CONSTRAINT_TRIGGER: return "SQLITE_CONSTRAINT_TRIGGER";
  case SQLITE_CONSTRAINT_UNIQUE: return "SQLITE_CONSTRAINT_UNIQUE";
  default: break;
  }
  switch (extended & 0xff) {
  case SQLITE_BUSY: return "SQLITE_BUSY";
  case SQLITE_LOCKED: return "SQLITE_LOCKED";
  case SQLITE_CONSTRAINT: return "SQLITE_CONSTRAINT";
  case SQLITE_MISMATCH: return "SQLITE_MISMATCH";
  case SQLITE_TOOBIG: return "SQLITE_TOOBIG";
  case SQLITE_FULL: return "SQLITE_FULL";
  case SQLITE_IOERR: return "SQLITE_IOERR";
  case SQLITE_READONLY: return "SQLITE_READONLY";
  case SQLITE_CANTOPEN: return "SQLITE_CANTOPEN";
  case SQLITE_NOTADB: return "SQLITE_NOTADB";
  case SQLITE_CORRUPT: return "SQLITE_CORRUPT";
  default: return "SQLITE_ERROR";
  }
}

static int status_of(int extended)
{
  if (extended == SQLITE_IOERR_FSYNC || extended == SQLITE_IOERR_DIR_FSYNC)
    return MR_FATAL; /* what the disk holds is not known any more */
  switch (extended & 0xff) {
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
  case SQLITE_FULL:
  case SQLITE_IOERR:
  case SQLITE_NOMEM:
  case SQLITE_SCHEMA: return MR_RETRY;
  case SQLITE_CONSTRAINT:
  case SQLITE_MISMATCH:
  case SQLITE_TOOBIG: return MR_REJECT;
  case SQLITE_ERROR:
  case SQLITE_READONLY:
  case SQLITE_CANTOPEN:
  case SQLITE_NOTADB:
  case SQLITE_PERM:
  case SQLITE_AUTH: return MR_BADCONF;
  default: return MR_FATAL;
  }
}

int sq_error(struct sq_sink *s, const char *what, struct mr_error *err)
{
  int extended = sqlite3_extended_errcode(s->db), status = status_of(extended);
  /* a trigger's own words may repeat values of the row */
  const char *text =
      extended == SQLITE_CONSTRAINT_TRIGGER ? "refused by a trigger" : sqlite3_errmsg(s->db);
  err->native = extended;
  if (status == MR_BADCONF && (extended & 0xff) != SQLITE_ERROR)
    snprintf(err->option, sizeof err->option, "path");
  return src_fail(err, status, code_name(extended), "%s: %s (%s) in %s", what, text,
                  code_name(extended), s->conf->path);
}

int sq_exec(struct sq_sink *s, const char *sql, const char *what, struct mr_error *err)
{
  s->busy_since = 0;
  return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? MR_OK : sq_error(s, what, err);
}

int sq_prepare(struct sq_sink *s, const char *sql, const char *what, sqlite3_stmt **ret,
               struct mr_error *err)
{
  sqlite3_stmt *st = NULL;
  s->busy_since = 0;
  if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK)
    return sq_error(s, what, err);
  *ret = st;
  return MR_OK;
}

void sq_rollback(struct sq_sink *s)
{
  if (s->db && !sqlite3_get_autocommit(s->db))
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

/* ---------------------------------------------------------------- connection */

/* Called while another connection holds the lock: 1 = look again. */
static int on_busy(void *ctx, int count)
{
  struct sq_sink *s = ctx;
  struct pollfd wake = {.fd = s->host ? s->host->wake_fd : -1, .events = POLLIN};
  if (!s->busy_since)
    s->busy_since = clock_now_ms();
  if (clock_now_ms() - s->busy_since >= s->conf->busy_timeout_ms)
    return 0;
  return poll(&wake, 1, count < BUSY_STEP_MS ? 1 : BUSY_STEP_MS) <= 0;
}

static void disconnect(struct sq_sink *s)
{
  sq_table_forget(s);
  sqlite3_close_v2(s->db);
  s->db = NULL;
}

int sq_connect(struct sq_sink *s, struct mr_error *err)
{
  if (s->db)
    return MR_OK;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  int status = MR_OK;
  if (sqlite3_open_v2(s->conf->path, &s->db, flags, NULL) != SQLITE_OK)
    status = s->db ? sq_error(s, "open", err) : sq_no_memory(err);
  if (status >= 0) {
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_handler(s->db, on_busy, s);
    status = sq_exec(s,
                     "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                     " PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF",
                     "open", err);
  }
  if (status < 0)
    disconnect(s);
  return status;
}

int sq_start(void *self, struct mr_error *err)
{
  struct sq_sink *s = self;
  int64_t now = 0;
  int status = sq_connect(s, err);
  if (status >= 0)
    status = sq_schema_version(s, &now, err);
  if (status < 0 || (s->learned && now == s->schema_version))
    return status;
  status = sq_lanes_prepare(s, err);
  if (status >= 0 && s->in.release) /* else only data can tell the columns: opened anew then */
    status = sq_table_learn(s, err);
  return status == MR_REJECT ? MR_FATAL : status;
}

/* ---------------------------------------------------------------- converting */

static bool keep_row(struct sq_sink *s, const struct sq_row *row)
{
  if (s->n_rows == s->cap_rows) {
    int64_t cap = s->cap_rows ? 2 * s->cap_rows : 1024;
    struct sq_row *grown = realloc(s->row, (size_t)cap * sizeof *grown);
    if (!grown)
      return false;
    s->row = grown;
    s->cap_rows = cap;
  }
  s->row[s->n_rows++] = *row;
  return true;
}

static int reject(struct sq_sink *s, const struct mr_batch *b, int64_t row, const char *code,
                  const char *msg, const char *column)
{
  struct mr_reject r = {.size = sizeof r,
                        .lane = b->lane,
                        .batch = b,
                        .batch_id = b->id,
                        .row = row,
                        .code = code,
                        .msg = msg,
                        .column = column};
  return s->host->reject(s->host->ctx, &r);
}

/* A batch and what is looked at in each of its rows, beside the fields. */
struct looks {
  const struct mr_batch *b;
  struct mr_view op;
  struct ups_version version;
  struct ups_key key[UPS_KEYS_MAX];
};

/* The cell of a column that the row does not write. */
static bool put_unwritten(const struct sq_sink *s, const struct sq_field *f, struct sql_buf *out,
                          const char **ret_code, const char **ret_msg)
{
  bool key = s->column[f->column].is_key;
  if (key || (f->not_null && !s->partial)) {
    *ret_code = "23502";
    *ret_msg = key ? "the row does not write its key" : "the row does not write a NOT NULL column";
    return false;
  }
  sql_buf_byte(out, SQ_TAG_NULL);
  return true;
}

static void put_bits(const struct sq_sink *s, int64_t i, struct sql_buf *out)
{
  size_t n = sq_set_bytes(s);
  if (!sql_buf_reserve(out, n))
    return;
  memset(out->p + out->len, 0, n);
  for (int c = 0; c < s->n_fields; c++)
    mr_bit_set(out->p + out->len, c, mr_set_has(&s->field[c].set, i));
  out->len += n;
}

static bool put_cells(const struct sq_sink *s, int64_t i, struct sql_buf *out, int *ret_field,
                      const char **ret_code, const char **ret_msg)
{
  if (sq_has_bits(s))
    put_bits(s, i, out);
  for (int c = 0; c < s->n_fields; c++) {
    const struct sq_field *f = &s->field[c];
    *ret_field = c;
    if (!(mr_set_has(&f->set, i) ? sq_cell_put(f, i, out, ret_code, ret_msg)
                                 : put_unwritten(s, f, out, ret_code, ret_msg)))
      return false;
  }
  return true;
}

/* Why the row cannot be meant, whatever its values are; NULL: it can. */
static const struct ups_fault *fault_of(const struct sq_sink *s, const struct looks *l, int64_t i,
                                        bool deleted, const char **ret_column)
{
  const struct ups_fault *why = s->versioned ? ups_version_fault(&l->version, i) : NULL;
  int key = -1;
  *ret_column = s->conf->version;
  if (why || s->conf->mode != MODE_UPSERT)
    return why;
  why = ups_key_fault(l->key, (size_t)s->n_keys, i, deleted, &key);
  *ret_column = key < 0 ? MR_RANGE : s->column[s->field[s->key_field[key]].column].name;
  return why;
}

static int refuse_value(struct sq_sink *s, const struct mr_batch *b, int64_t i, int field,
                        const char *code, const char *msg, struct mr_error *err)
{
  const struct sq_column *column = &s->column[s->field[field].column];
  if (strcmp(code, "23502"))
    msg = evo_message(&s->words, msg, *column->declared ? column->declared : "any",
                      s->in.children[column->source]);
  int status = reject(s, b, i, code, msg, column->name);
  return status < 0 ? src_fail(err, status, code, "%s", msg) : MR_OK;
}

/* Appends one row's cells; a row that cannot be kept is rejected and leaves nothing. */
static int convert_row(struct sq_sink *s, const struct looks *l, int64_t i, struct mr_error *err)
{
  struct sq_row row = {.at = s->cells.len, .batch = l->b->id, .row = i};
  const char *column, *code, *msg;
  int field = 0;
  row.deleted = ups_is_delete(&l->op, i);
  const struct ups_fault *why = fault_of(s, l, i, row.deleted, &column);
  if (why) {
    int status = reject(s, l->b, i, why->code, why->msg, column);
    return status < 0 ? src_fail(err, status, why->code, "%s", why->msg) : MR_OK;
  }
  if (s->versioned)
    row.version = mr_view_int(&l->version.value, i);
  if (row.deleted ? sq_delete_put(s, l->key, i, &s->cells, &field, &code, &msg)
                  : put_cells(s, i, &s->cells, &field, &code, &msg))
    return s->cells.failed || !keep_row(s, &row) ? sq_no_memory(err) : MR_OK;
  s->cells.len = row.at;
  return refuse_value(s, l->b, i, field, code, msg, err);
}

static void look(struct sq_sink *s, const struct mr_batch *b, struct looks *l)
{
  const struct ArrowSchema *schema = b->schema ? b->schema : &s->in;
  l->b = b;
  for (int c = 0; c < s->n_fields; c++) {
    int32_t at = s->column[s->field[c].column].source;
    mr_view_column(&s->field[c].v, schema, &b->rows, at);
    mr_set_view(&s->field[c].set, schema, &b->rows, schema->children[at]->name);
  }
  memset(&l->op, 0, sizeof l->op);
  if (s->conf->mode == MODE_UPSERT && s->op_source >= 0)
    mr_view_column(&l->op, schema, &b->rows, s->op_source);
  if (s->versioned)
    ups_version_view(&l->version, schema, &b->rows,
                     s->column[sq_column_find(s, s->conf->version)].source);
  for (int k = 0; k < s->n_keys; k++) {
    const struct sq_field *f = &s->field[s->key_field[k]];
    int32_t at = s->column[f->column].source;
    ups_key_view(&l->key[k], schema, &b->rows, at,
                 !sq_kind_ordered(schema->children[at], f->affinity));
  }
}

static int convert(struct sq_sink *s, const struct mr_batch *b, struct mr_error *err)
{
  struct looks l;
  int status = MR_OK;
  look(s, b, &l);
  for (int64_t i = 0; status >= 0 && i < b->rows.length; i++)
    status = convert_row(s, &l, i, err);
  return status;
}

/* ---------------------------------------------------------------- writing */

static int insert_row(struct sq_sink *s, const uint8_t *cells, struct mr_error *err)
{
  const uint8_t *p = cells;
  for (int c = 0; p && c < s->n_fields; c++)
    p = sq_cell_bind(s->insert, c + 1, p);
  int rc = p ? sqlite3_step(s->insert) : SQLITE_TOOBIG;
  int status = rc == SQLITE_DONE ? MR_OK : sq_error(s, "INSERT", err);
  sqlite3_reset(s->insert);
  return status;
}

static int run_row(struct sq_sink *s, const struct sq_row *row, struct mr_error *err)
{
  const uint8_t *bits = s->cells.p + row->at;
  const uint8_t *cells = bits + (sq_has_bits(s) ? sq_set_bytes(s) : 0);
  if (row->deleted)
    return sq_delete_row(s, row, err);
  if (s->versioned)
    return sq_version_row(s, row, bits, cells, err);
  if (s->partial && !sq_set_whole(s, bits))
    return sq_partial_row(s, bits, cells, err);
  return insert_row(s, cells, err);
}

/* tried: the batch of the rows that are only tried, and rejected when the table refuses them; NULL:
 * the unit is lost by one. */
static int run_or_reject(struct sq_sink *s, struct sq_row *row, const struct mr_batch *tried,
                         struct mr_error *err)
{
  struct mr_error why = {.size = sizeof why, .row = -1};
  int status = run_row(s, row, &why);
  if (status == MR_REJECT && tried) {
    row->refused = true;
    return reject(s, tried, row->row, why.code, why.msg, NULL);
  }
  if (status == MR_REJECT) {
    why.batch = row->batch;
    why.row = row->row;
    why.unit_lost = s->careful = true;
  }
  if (status < 0)
    *err = why;
  return status;
}

/* With versions the order of rows does not matter: deletes are done once more when all are written,
 * for what is older and came later. */
static int run_rows(struct sq_sink *s, int64_t first, const struct mr_batch *tried,
                    struct mr_error *err)
{
  int64_t last_write = first;
  int status = MR_OK;
  for (int64_t i = first; status >= 0 && i < s->n_rows; i++) {
    if (!s->row[i].deleted)
      last_write = i;
    status = run_or_reject(s, &s->row[i], tried, err);
  }
  for (int64_t i = first; s->versioned && status >= 0 && i < last_write; i++)
    if (s->row[i].deleted && !s->row[i].refused)
      status = run_or_reject(s, &s->row[i], tried, err);
  return status;
}

/* Tries the rows from `first` on, throws the result away, and rejects those that the table refuses.
 */
static int try_rows(struct sq_sink *s, const struct mr_batch *b, int64_t first,
                    struct mr_error *err)
{
  int64_t kept = first;
  int status = sq_exec(s, "BEGIN IMMEDIATE", "BEGIN", err);
  if (status >= 0)
    status = run_rows(s, first, b, err);
  sq_rollback(s);
  for (int64_t i = first; i < s->n_rows; i++)
    if (!s->row[i].refused)
      s->row[kept++] = s->row[i];
  if (status >= 0)
    s->n_rows = kept;
  return status;
}

static void forget_rows(struct sq_sink *s)
{
  sql_buf_clear(&s->cells);
  s->n_rows = 0;
}

int sq_begin(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct sq_sink *s = self;
  forget_rows(s);
  return sq_start(s, err);
}

int sq_write(void *self, const struct mr_batch *b, struct mr_error *err)
{
  struct sq_sink *s = self;
  int64_t first = s->n_rows;
  size_t at = s->cells.len;
  int status = convert(s, b, err);
  if (status >= 0 && s->careful)
    status = try_rows(s, b, first, err);
  if (status < 0) {
    s->n_rows = first;
    s->cells.len = at;
  }
  return status;
}

/* A table that has become another one since the rows were converted. */
static int check_unchanged(struct sq_sink *s, struct mr_error *err)
{
  int64_t now = 0;
  int status = sq_schema_version(s, &now, err);
  if (status < 0 || now == s->schema_version)
    return status;
  s->learned = false;
  err->unit_lost = true;
  return src_fail(err, MR_RETRY, "SQLITE_SCHEMA", "the tables of %s have changed", s->conf->path);
}

int sq_commit(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct sq_sink *s = self;
  int status = sq_exec(s, "BEGIN IMMEDIATE", "BEGIN", err);
  if (status >= 0)
    status = check_unchanged(s, err);
  if (status >= 0)
    status = sq_lanes_set(s, u, err);
  if (status >= 0)
    status = run_rows(s, 0, NULL, err);
  if (status < 0) {
    sq_rollback(s);
    return status;
  }
  status = sq_exec(s, "COMMIT", "COMMIT", err);
  if (status < 0) {
    bool refused = status == MR_REJECT || (status == MR_RETRY && !sqlite3_get_autocommit(s->db));
    sq_rollback(s);
    err->unit_lost = status == MR_REJECT;
    return refused ? status : MR_UNSURE;
  }
  forget_rows(s);
  s->careful = false;
  return MR_OK;
}

int sq_abort(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct sq_sink *s = self;
  sq_rollback(s);
  forget_rows(s);
  return MR_OK;
}
