/* SPDX-License-Identifier: Apache-2.0 */
/* A unit is one transaction: rows as they come, at the end the compare-and-set of its lanes, then
 * COMMIT.
 *
 * Rows that the server refuses lose the unit; it is written again with care: a savepoint before
 * each batch, and of a refusal the rows are found out, rejected and left out, until the others
 * pass. */
#include "mysql-sink.h"

#define ROUNDS_MAX 8 /* of one batch with refused rows; then it is halved by the caller */

static int simple(struct my_sink *s, const char *sql, struct mr_error *err)
{
  return maria_exec(&s->conn, sql, sql, MARIA_GO_ON, err);
}

int my_start(void *self, struct mr_error *err)
{
  struct my_sink *s = self;
  int status = maria_connect(&s->conn, err);
  if (status < 0)
    return status;
  if (s->learned)
    return MR_OK;
  if (s->in.release) /* else only data can tell the columns: opened anew when they are known */
    status = my_target_learn(s, err);
  if (status >= 0)
    status = my_lanes_prepare(s, err);
  if (status < 0)
    s->learned = false;
  return status == MR_REJECT ? MR_FATAL : status;
}

/* Nothing is staged any more. */
static void forget_stretch(struct my_sink *s)
{
  s->dirty = s->has_delete = s->has_range = false;
  s->n_logged = 0;
}

void my_roll_back(struct my_sink *s)
{
  struct mr_error ignored = {.size = sizeof ignored};
  if (s->conn.db && s->conn.in_tx && simple(s, "ROLLBACK", &ignored) < 0)
    maria_close(&s->conn);
  s->conn.in_tx = s->savepoint = s->kept_deletes = false;
  forget_stretch(s);
  my_rows_drop(s);
}

/* ---------------------------------------------------------------- the transaction */

static bool says_changed(const char *code)
{
  return !strncmp(code, "42", 2);
}

/* What the columns are, as the server describes them in a result. */
static void compare_types(void *ctx, MYSQL_RES *res, uint64_t changed)
{
  struct my_sink *s = ctx;
  struct sql_buf b = {0};
  if (!res)
    return; /* START TRANSACTION's */
  for (unsigned i = 0; i < mysql_num_fields(res); i++) {
    const MYSQL_FIELD *f = mysql_fetch_field_direct(res, i);
    sql_buf_fmt(&b, "%d,%lu,%u,%u,%u;", f->type, f->length, f->flags, f->decimals, f->charsetnr);
  }
  sql_buf_text(&b);
  if (!s->types)
    s->types = (char *)b.p;
  else if (!b.p || strcmp(s->types, (char *)b.p))
    s->changed = true;
  if (s->types != (char *)b.p)
    sql_buf_done(&b);
}

/* A transaction, and a look at the columns: its lock keeps them as they are until the end. Values
 * in text would be cut to fit a column that has become something else. */
static int begin_transaction(struct my_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  if (s->versioned) /* version.c locks rows that are not there */
    sql_buf_str(&sql, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; ");
  sql_buf_str(&sql, "START TRANSACTION; SELECT ");
  my_column_list(s, NULL, &sql);
  sql_buf_fmt(&sql, "%s FROM %s LIMIT 0", s->versioned ? ", " UPS_WRITTEN : "", s->target);
  s->changed = false;
  s->conn.in_tx = true;
  int status = maria_run(&s->conn, sql_buf_text(&sql), sql.len, "START TRANSACTION",
                         s->conf->server.statement_timeout_ms, MARIA_GO_ON, compare_types, s, err);
  sql_buf_done(&sql);
  s->changed |= status < 0 && says_changed(err->code);
  return status;
}

static int learn_again(struct my_sink *s, struct mr_error *err)
{
  src_log(s->conn.host, MR_INFO, "the columns of %s have changed: reading them again", s->shown);
  my_roll_back(s);
  s->staged = false;
  int status = s->conn.db ? my_target_learn(s, err)
                          : maria_lost(&s->conn, "ROLLBACK", "connection lost", err);
  return status >= 0 && my_is_staged(s) ? my_stage_prepare(s, err) : status;
}

static int open_transaction(struct my_sink *s, struct mr_error *err)
{
  if (!s->conn.db)
    return maria_lost(&s->conn, "write", "connection lost earlier in this unit", err);
  if (s->conn.in_tx)
    return MR_OK;
  int status = begin_transaction(s, err);
  if (s->changed && s->conn.db) {
    status = learn_again(s, err);
    status = status < 0 ? status : begin_transaction(s, err);
  }
  return status;
}

/* ---------------------------------------------------------------- stretches */

static int stretch_end(struct my_sink *s, struct mr_error *err)
{
  int status = my_rows_send(s, err);
  if (status >= 0 && s->dirty)
    status = my_merge(s, s->careful, err);
  if (status >= 0 && s->savepoint) {
    status = simple(s, "RELEASE SAVEPOINT millrace_stretch", err);
    s->savepoint = false;
  }
  return status;
}

/* The stretch is gone: back to its savepoint if that can save the rest of the unit, else the unit
 * is lost. */
static int stretch_drop(struct my_sink *s, int status, struct mr_error *err)
{
  struct mr_error ignored = {.size = sizeof ignored};
  bool keep = s->savepoint && status == MR_REJECT && s->conn.db;
  s->careful |= status == MR_REJECT;
  s->learned = s->learned && !says_changed(err->code);
  my_rows_drop(s);
  err->unit_lost = false;
  if (keep && simple(s, "ROLLBACK TO SAVEPOINT millrace_stretch", &ignored) >= 0) {
    forget_stretch(s);
    return status;
  }
  my_roll_back(s);
  err->unit_lost = s->in_unit;
  err->row = -1;
  return status;
}

/* ---------------------------------------------------------------- batches with refused rows */

static int set_savepoint(struct my_sink *s, struct mr_error *err)
{
  int status = s->savepoint ? MR_OK : simple(s, "SAVEPOINT millrace_stretch", err);
  s->savepoint = status >= 0;
  return status;
}

static int64_t count_dead(const struct my_sink *s, int64_t n)
{
  int64_t dead = 0;
  for (int64_t i = 0; i < n; i++)
    dead += mr_bit_get(s->dead, i);
  return dead;
}

/* Once with the rows that live; *ret_again: some more are dead now. */
static int try_once(struct my_sink *s, const struct mr_batch *b, bool *ret_again,
                    struct mr_error *err)
{
  int64_t n = b->rows.length;
  s->found_bad = false;
  *ret_again = false;
  int status = set_savepoint(s, err);
  if (status >= 0)
    status = my_rows_write(s, b, err);
  if (status >= 0)
    status = stretch_end(s, err);
  if (status >= 0)
    return status;
  bool found = s->found_bad;
  status = stretch_drop(s, status, err);
  *ret_again = status == MR_REJECT && !err->unit_lost && found && count_dead(s, n) < n;
  return found && count_dead(s, n) == n && !err->unit_lost ? MR_OK : status;
}

static int write_carefully(struct my_sink *s, const struct mr_batch *b, struct mr_error *err)
{
  bool again = true;
  int status = stretch_end(s, err); /* of batches before: their rows are not this one's */
  if (status < 0)
    return stretch_drop(s, status, err);
  for (int round = 0; again; round++) {
    memset(err->msg, 0, sizeof err->msg);
    status = try_once(s, b, &again, err);
    again = again && round < ROUNDS_MAX;
  }
  return status;
}

/* ---------------------------------------------------------------- the vtable's calls */

int my_begin(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct my_sink *s = self;
  int status = my_start(s, err);
  if (status >= 0 && my_is_staged(s))
    status = my_stage_prepare(s, err);
  if (status < 0)
    return status == MR_REJECT ? MR_FATAL : status;
  my_rows_drop(s);
  s->in_unit = true;
  return MR_OK;
}

static bool fresh_dead(struct my_sink *s, const struct mr_batch *b)
{
  int64_t bytes = b->rows.length / 8 + 1;
  if (!mr_buf_reserve(&s->dead, &s->dead_cap, 0, bytes))
    return false;
  memset(s->dead, 0, (size_t)bytes);
  return true;
}

int my_write(void *self, const struct mr_batch *b, struct mr_error *err)
{
  struct my_sink *s = self;
  if (b->rows.length == 0)
    return MR_OK;
  int status = fresh_dead(s, b) ? open_transaction(s, err) : src_no_memory(err);
  if (status >= 0 && s->careful)
    return write_carefully(s, b, err);
  if (status >= 0)
    status = my_rows_write(s, b, err);
  return status < 0 ? stretch_drop(s, status, err) : status;
}

int my_flush(void *self, struct mr_error *err)
{
  struct my_sink *s = self;
  s->careful = true;
  int status = stretch_end(s, err);
  return status < 0 ? stretch_drop(s, status, err) : status;
}

/* COMMIT has one good answer; an answer that does not come leaves it open. */
static int send_commit(struct my_sink *s, struct mr_error *err)
{
  int status = maria_run(&s->conn, "COMMIT", 6, "COMMIT", s->conf->commit_timeout_ms, MARIA_GO_ON,
                         NULL, NULL, err);
  bool answered = s->conn.db != NULL;
  if (status >= 0)
    s->careful = false;
  else if (answered)
    my_roll_back(s);
  s->conn.in_tx = s->in_unit = s->kept_deletes = false;
  forget_stretch(s);
  if (status >= 0)
    return MR_OK;
  err->unit_lost = true;
  return answered ? status : MR_UNSURE;
}

int my_commit(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct my_sink *s = self;
  int status = s->in_unit ? open_transaction(s, err) : MR_OK;
  if (status >= 0)
    status = stretch_end(s, err);
  if (status < 0)
    return stretch_drop(s, status, err);
  status = my_lanes_set(s, u, err);
  if (status >= 0)
    return send_commit(s, err);
  my_roll_back(s);
  err->unit_lost = true;
  return status;
}

int my_abort(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct my_sink *s = self;
  my_roll_back(s);
  s->in_unit = false;
  return MR_OK;
}
