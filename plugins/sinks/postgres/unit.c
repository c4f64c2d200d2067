/* SPDX-License-Identifier: Apache-2.0 */
/* A unit is one transaction: rows as they come, at the end the compare-and-set of its lanes, then
 * COMMIT. */
#include <stdio.h>
#include "postgres.h"

#define STAGED_MAX 131072 /* rows that wait in the staging table for the end of the unit */

static int simple(struct pg_sink *s, const char *sql, struct mr_error *err)
{
  return pg_run(s, sql, sql, s->conf->statement_timeout_ms, PG_GO_ON, NULL, NULL, err);
}

int pg_start(void *self, struct mr_error *err)
{
  struct pg_sink *s = self;
  int status = pg_connect(s, err);
  if (status < 0)
    return status;
  if (s->learned)
    return MR_OK;
  if (s->in.release) /* else only data can tell the columns: opened anew when they are known */
    status = pg_target_learn(s, err);
  if (status >= 0)
    status = pg_lanes_prepare(s, err);
  if (status >= 0 && !s->genuine)
    status = pg_lanes_probe(s, err);
  if (status < 0)
    s->learned = false;
  return status == MR_REJECT ? MR_FATAL : status;
}

/* ---------------------------------------------------------------- stretches: what one flush
 * answers for */

static void forget_sent(struct pg_sink *s)
{
  for (int i = 0; i < s->n_sent; i++)
    free(s->sent[i].skip);
  s->n_sent = 0;
  s->lines = s->writes = 0;
}

/* Row of the k-th line of a batch. */
static int64_t row_of(const struct pg_sink *s, const struct pg_sent *b, int64_t k)
{
  int64_t row = b->from + k;
  for (int64_t i = 0; i < b->n_skip && b->skip[i] <= row; i++)
    row++;
  if (s->isolating)
    for (row = b->from; k > 0 || mr_bit_get(s->dead, row); row++)
      k -= !mr_bit_get(s->dead, row);
  return row;
}

bool pg_sent_find(const struct pg_sink *s, int64_t line, uint64_t *ret_batch, int64_t *ret_row)
{
  for (int i = 0; i < s->n_sent; i++) {
    const struct pg_sent *b = &s->sent[i];
    if (line < b->first_line || line >= b->first_line + b->rows)
      continue;
    *ret_batch = b->batch;
    *ret_row = row_of(s, b, line - b->first_line);
    return true;
  }
  return false;
}

/* What the target looks like may be another thing than what was read at start. */
static bool says_changed(const char *code)
{
  return !strncmp(code, "42", 2) || !strcmp(code, "08P01") || !strcmp(code, "22P03") ||
         !strncmp(code, "0A", 2);
}

static void compare_types(void *ctx, PGresult *res)
{
  struct pg_sink *s = ctx;
  if (PQresultStatus(res) != PGRES_TUPLES_OK)
    return; /* BEGIN's */
  s->changed = PQnfields(res) != s->n_fields;
  for (int i = 0; i < s->n_fields && !s->changed; i++) {
    const struct pg_type *t = &s->column[s->field_column[i]].type;
    s->changed = s->genuine && (PQftype(res, i) != t->oid || PQfmod(res, i) != t->typmod);
  }
}

/* BEGIN, and a look at the columns: the lock that it takes keeps their types until the end of the
 * transaction. Values in binary form would be misread by a column that has become something else.
 */
static int begin_transaction(struct pg_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  int status = s->multi ? MR_OK : simple(s, "BEGIN", err);
  sql_buf_str(&sql, s->multi ? "BEGIN; SELECT " : "SELECT ");
  pg_column_list(s, "", &sql);
  /* a condition and not a LIMIT: that would plan, and lock, every chunk of a hypertable */
  sql_buf_fmt(&sql, " FROM %s WHERE 1 = 0", s->target);
  s->changed = false;
  if (status >= 0)
    status = pg_run(s, sql_buf_text(&sql), "BEGIN", s->conf->statement_timeout_ms, PG_GO_ON,
                    compare_types, s, err);
  sql_buf_done(&sql);
  s->in_tx = s->pg != NULL;
  s->changed |= status < 0 && says_changed(err->code);
  if (status >= 0 && s->deferred)
    status = simple(s, "SET CONSTRAINTS ALL IMMEDIATE", err);
  return status;
}

static int learn_again(struct pg_sink *s, struct mr_error *err)
{
  int status = simple(s, "ROLLBACK", err);
  s->in_tx = s->staged = false;
  if (status >= 0)
    status = pg_target_learn(s, err);
  if (status >= 0 && pg_is_staged(s))
    status = pg_stage_prepare(s, err);
  return status;
}

int pg_unit_open(struct pg_sink *s, struct mr_error *err)
{
  int status = MR_OK;
  if (!s->pg)
    return pg_lost(s, "write", "connection lost earlier in this unit", err);
  if (!s->in_tx) {
    status = begin_transaction(s, err);
    if (s->changed && s->pg) {
      src_log(s->host, MR_INFO, "the columns of %s have changed: reading them again", s->shown);
      status = learn_again(s, err);
      status = status < 0 ? status : begin_transaction(s, err);
    }
  }
  if (status >= 0 && s->careful && !s->savepoint) {
    status = simple(s, "SAVEPOINT millrace_stretch", err);
    s->savepoint = status >= 0;
  }
  return status;
}

/* The stretch is gone: back to its savepoint if that can save the rest of the unit, else the unit
 * is lost. */
int pg_stretch_drop(struct pg_sink *s, int status, bool may_keep, struct mr_error *err)
{
  struct mr_error ignored = {.size = sizeof ignored};
  bool keep = may_keep && s->pg && s->savepoint && status == MR_REJECT;
  if (s->copying)
    pg_copy_cancel(s);
  s->dirty = s->has_delete = s->has_range = false;
  forget_sent(s);
  s->careful |= status == MR_REJECT;
  s->learned = s->learned && !says_changed(err->code);
  if (keep && s->pg && simple(s, "ROLLBACK TO SAVEPOINT millrace_stretch", &ignored) >= 0) {
    err->unit_lost = false;
    return status;
  }
  err->unit_lost = true;
  if (s->pg && s->in_tx && simple(s, "ROLLBACK", &ignored) < 0)
    pg_close(s);
  s->in_tx = s->savepoint = false;
  return status;
}

int pg_stretch_end(struct pg_sink *s, bool may_keep, struct mr_error *err)
{
  int status = s->copying ? pg_copy_end(s, err) : MR_OK;
  if (status >= 0 && s->dirty)
    status = pg_merge(s, err);
  if (status >= 0 && s->savepoint) {
    status = simple(s, "RELEASE SAVEPOINT millrace_stretch", err);
    s->savepoint = false;
  }
  if (status < 0)
    return pg_stretch_drop(s, status, may_keep, err);
  forget_sent(s);
  return status;
}

/* ---------------------------------------------------------------- the vtable's calls */

static bool used_up(const struct pg_sink *s)
{
  int64_t most = s->conf->connection.max_batches;
  return most > 0 && s->connection_batches >= most;
}

int pg_begin(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct pg_sink *s = self;
  if (used_up(s))
    pg_close(s);
  int status = pg_start(s, err);
  if (status < 0)
    return status;
  if (pg_is_staged(s))
    status = pg_stage_prepare(s, err);
  if (status < 0)
    return status == MR_REJECT ? MR_FATAL : status;
  forget_sent(s);
  s->in_unit = true;
  s->flushed = s->isolated = s->kept_deletes = false;
  return MR_OK;
}

/* Makes rows [from, to) of the batch findable by the server's line numbers. */
static bool remember(struct pg_sink *s, const struct mr_batch *b, int64_t from, int64_t to)
{
  if (s->n_sent == s->cap_sent) {
    int cap = s->cap_sent ? 2 * s->cap_sent : 16;
    struct pg_sent *grown = realloc(s->sent, (size_t)cap * sizeof *grown);
    if (!grown)
      return false;
    s->sent = grown;
    s->cap_sent = cap;
  }
  s->sent[s->n_sent++] =
      (struct pg_sent){.batch = b->id, .first_line = s->lines + 1, .rows = to - from, .from = from};
  return true;
}

int pg_send_rows(struct pg_sink *s, const struct mr_batch *b, const struct pg_rows *rows,
                 int64_t from, int64_t to, struct mr_error *err)
{
  bool insert = s->form == FORM_INSERT;
  int status = insert ? MR_OK : pg_copy_ready(s, err);
  if (status >= 0 && !remember(s, b, from, to))
    status = pg_no_memory(err);
  s->dirty |= pg_is_staged(s);
  if (status >= 0)
    status =
        insert ? pg_insert_rows(s, b, rows, from, to, err) : pg_copy_rows(s, rows, from, to, err);
  if (status < 0)
    return status;
  struct pg_sent *e = &s->sent[s->n_sent - 1];
  e->rows -= e->n_skip;
  s->lines += e->rows;
  return MR_OK;
}

/* A large unit is not left to its end: the server would rest while rows come, and COMMIT wait. */
static int merge_early(struct pg_sink *s, struct mr_error *err)
{
  if (!pg_is_staged(s) || s->lines < STAGED_MAX)
    return MR_OK;
  s->flushed = true;
  return pg_stretch_end(s, false, err);
}

int pg_write(void *self, const struct mr_batch *b, struct mr_error *err)
{
  struct pg_sink *s = self;
  struct pg_rows rows;
  if (b->rows.length == 0)
    return MR_OK;
  s->writes++;
  s->connection_batches++;
  if (s->careful)
    return pg_isolate(s, b, err);
  int status = pg_unit_open(s, err);
  if (status >= 0)
    status = pg_rows_of(s, b, &rows, err);
  if (status >= 0)
    status = pg_send_rows(s, b, &rows, 0, b->rows.length, err);
  return status < 0 ? pg_stretch_drop(s, status, s->writes == 1, err) : merge_early(s, err);
}

int pg_flush(void *self, struct mr_error *err)
{
  struct pg_sink *s = self;
  s->careful = s->flushed = true;
  return pg_stretch_end(s, true, err);
}

static void keep_tag(void *ctx, PGresult *res)
{
  snprintf(ctx, PG_TAG_MAX, "%s", PQcmdStatus(res));
}

int pg_commit_tag(struct pg_sink *s, char *ret_tag, struct mr_error *err)
{
  *ret_tag = 0;
  return pg_run(s, "COMMIT", "COMMIT", s->conf->commit_timeout_ms, PG_GO_ON, keep_tag, ret_tag,
                err);
}

/* COMMIT has one good answer; an answer that does not come leaves it open. */
static int send_commit(struct pg_sink *s, struct mr_error *err)
{
  char tag[PG_TAG_MAX];
  int status = pg_commit_tag(s, tag, err);
  s->in_unit = s->in_tx = false;
  s->dirty = s->has_delete = s->has_range = false;
  if (status >= 0 && !strcmp(tag, s->commit_tag)) {
    s->careful = s->isolated; /* bad rows rarely come alone */
    s->deferred = false;
    return MR_OK;
  }
  err->unit_lost = true;
  s->careful |= status == MR_REJECT;
  s->deferred |= status == MR_REJECT;
  if (status >= 0)
    return src_fail(err, MR_RETRY, "25P02", "COMMIT: the server rolled back%s", s->where);
  return s->pg ? status : MR_UNSURE;
}

static int roll_back(struct pg_sink *s, int status, struct mr_error *err)
{
  struct mr_error ignored = {.size = sizeof ignored};
  err->unit_lost = true;
  if (s->copying)
    pg_copy_cancel(s);
  if (s->pg && s->in_tx && simple(s, "ROLLBACK", &ignored) < 0)
    pg_close(s);
  s->in_tx = s->savepoint = s->dirty = s->has_delete = s->has_range = false;
  forget_sent(s);
  return status;
}

int pg_commit(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct pg_sink *s = self;
  int status = s->in_unit ? pg_unit_open(s, err) : MR_OK;
  if (status >= 0)
    status = pg_stretch_end(s, false, err);
  if (status >= 0)
    status = pg_lanes_set(s, u, err);
  if (status < 0)
    return roll_back(s, status, err);
  return send_commit(s, err);
}

int pg_abort(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct pg_sink *s = self;
  roll_back(s, MR_OK, err);
  s->in_unit = false;
  err->unit_lost = false;
  return MR_OK;
}
