/* SPDX-License-Identifier: Apache-2.0 */
/* millrace_offsets: how far each lane is, in the same file and the same transactions as the rows.
 */
#include "sqlite.h"

static const char create_sql[] =
    "CREATE TABLE IF NOT EXISTS main.millrace_offsets (pipeline TEXT NOT NULL, sink TEXT NOT NULL,"
    " source TEXT NOT NULL, lane TEXT NOT NULL, position BLOB NOT NULL, owner INTEGER NOT NULL,"
    " rows_total INTEGER NOT NULL, last_run INTEGER NOT NULL, last_from BLOB NOT NULL,"
    " updated_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, state BLOB,"
    " PRIMARY KEY (pipeline, sink, source, lane)) WITHOUT ROWID";
#define LANE " WHERE pipeline = ?1 AND sink = ?2 AND source = ?3 AND lane = ?4"
#define RETURNING " RETURNING position, owner, rows_total, last_run, last_from, state"

int sq_lanes_prepare(struct sq_sink *s, struct mr_error *err)
{
  static const char add_state[] = "ALTER TABLE main.millrace_offsets ADD COLUMN state BLOB";
  int status = sq_exec(s, create_sql, "CREATE TABLE millrace_offsets", err);
  bool old =
      status >= 0 && sqlite3_table_column_metadata(s->db, "main", "millrace_offsets", "state", NULL,
                                                   NULL, NULL, NULL, NULL) != SQLITE_OK;
  return old ? sq_exec(s, add_state, "ALTER TABLE millrace_offsets", err) : status;
}

static void bind_lane(struct sq_sink *s, sqlite3_stmt *st, const char *source, const char *lane)
{
  const char *text[] = {s->pipeline, s->stage, source, lane};
  for (int i = 0; i < 4; i++)
    sqlite3_bind_text(st, i + 1, text[i], -1, SQLITE_STATIC);
}

static void bind_position(sqlite3_stmt *st, int parameter, const struct mr_position *p)
{
  sqlite3_bind_blob(st, parameter, p->token, p->len, SQLITE_STATIC);
}

static bool position_at(sqlite3_stmt *st, int column, struct mr_position *ret)
{
  int n = sqlite3_column_bytes(st, column);
  memset(ret, 0, sizeof *ret);
  if (n < 0 || (size_t)n > sizeof ret->token)
    return false;
  if (n)
    memcpy(ret->token, sqlite3_column_blob(st, column), (size_t)n);
  ret->len = (uint16_t)n;
  return true;
}

/* What a lane row holds beside its numbers, for as long as the caller's marks. */
static bool state_at(sqlite3_stmt *st, int column, struct mr_mark *ret)
{
  size_t n = (size_t)sqlite3_column_bytes(st, column);
  void *copy = n ? malloc(n) : NULL;
  if (n && !copy)
    return false;
  if (n)
    memcpy(copy, sqlite3_column_blob(st, column), n);
  free((void *)ret->state);
  ret->state = copy;
  ret->state_len = n;
  return true;
}

static void marks_free(struct mr_mark *m, size_t n)
{
  for (size_t i = 0; m && i < n; i++)
    free((void *)m[i].state);
  free(m);
}

static bool mark_at(sqlite3_stmt *st, struct mr_mark *ret)
{
  ret->owner = (uint64_t)sqlite3_column_int64(st, 1);
  ret->rows = (uint64_t)sqlite3_column_int64(st, 2);
  ret->run = (uint64_t)sqlite3_column_int64(st, 3);
  return position_at(st, 0, &ret->upto) && position_at(st, 4, &ret->from) && state_at(st, 5, ret);
}

/* Raises one lane's owner (when expected is not 0: only that one's); *ret_n: rows that counted, 0
 * or 1. */
static int raise_lane(struct sq_sink *s, struct mr_mark *m, uint64_t expected, int *ret_n,
                      struct mr_error *err)
{
  sqlite3_stmt *st;
  const char *what = "UPDATE millrace_offsets";
  int status = sq_prepare(s,
                          "UPDATE main.millrace_offsets SET owner = owner + 1" LANE
                          " AND (?5 = 0 OR owner = ?5)" RETURNING,
                          what, &st, err);
  if (status < 0)
    return status;
  bind_lane(s, st, m->source, m->name);
  sqlite3_bind_int64(st, 5, (int64_t)expected);
  int rc = sqlite3_step(st);
  *ret_n = rc == SQLITE_ROW;
  if (rc == SQLITE_ROW && !mark_at(st, m))
    status =
        src_fail(err, MR_FATAL, "", "millrace_offsets: lane %.100s has an unreadable row", m->name);
  if (rc == SQLITE_ROW)
    rc = sqlite3_step(st);
  if (rc != SQLITE_DONE && status >= 0)
    status = sq_error(s, what, err);
  sqlite3_finalize(st);
  return status;
}

static int raise_all(struct sq_sink *s, struct mr_mark *m, size_t n, struct mr_error *err)
{
  int status = sq_exec(s, "BEGIN IMMEDIATE", "BEGIN", err);
  for (size_t i = 0; status >= 0 && i < n; i++) {
    int found = 0;
    status = raise_lane(s, &m[i], 0, &found, err);
    if (!found)
      m[i].owner = 0;
  }
  if (status >= 0)
    status = sq_exec(s, "COMMIT", "COMMIT", err);
  if (status < 0)
    sq_rollback(s);
  return status;
}

int sq_take(void *self, const char *source, const char *const *lane_name, size_t n,
            mr_mark_fn *mark, void *out, struct mr_error *err)
{
  struct sq_sink *s = self;
  struct mr_mark *m = calloc(n + 1, sizeof *m);
  int status = m ? sq_connect(s, err) : sq_no_memory(err);
  for (size_t i = 0; m && i < n; i++) {
    m[i].source = source;
    m[i].name = lane_name[i];
  }
  if (status >= 0)
    status = raise_all(s, m, n, err);
  for (size_t i = 0; status >= 0 && i < n; i++)
    if (m[i].owner)
      mark(out, &m[i]);
  marks_free(m, n);
  return status;
}

/* ---------------------------------------------------------------- found */

static int insert_lane(struct sq_sink *s, const struct mr_mark *m, struct mr_error *err)
{
  sqlite3_stmt *st;
  const char *what = "INSERT INTO millrace_offsets";
  int status =
      sq_prepare(s,
                 "INSERT INTO main.millrace_offsets (pipeline, sink, source, lane, position,"
                 " owner, rows_total, last_run, last_from) VALUES (?1, ?2, ?3, ?4, ?5, 1, 0,"
                 " 0, ?5)",
                 what, &st, err);
  if (status < 0)
    return status;
  bind_lane(s, st, m->source, m->name);
  bind_position(st, 5, &m->upto);
  if (sqlite3_step(st) != SQLITE_DONE)
    status = sq_error(s, what, err);
  sqlite3_finalize(st);
  return status;
}

int sq_found(void *self, const struct mr_mark *lend, size_t n, struct mr_error *err)
{
  struct sq_sink *s = self;
  int status = sq_connect(s, err);
  if (status >= 0)
    status = sq_exec(s, "BEGIN IMMEDIATE", "BEGIN", err);
  for (size_t i = 0; status >= 0 && i < n; i++)
    status = insert_lane(s, &lend[i], err);
  if (status >= 0)
    status = sq_exec(s, "COMMIT", "COMMIT", err);
  if (status < 0)
    sq_rollback(s);
  if (status == MR_REJECT && strstr(err->code, "_PRIMARYKEY"))
    return MR_FENCED; /* the row is there */
  return status == MR_REJECT ? MR_FATAL : status;
}

/* ---------------------------------------------------------------- compare and set */

/* Why a lane did not count: the owner, the position, or no row. */
static int miss(struct sq_sink *s, const struct mr_mark *m, struct mr_error *err)
{
  sqlite3_stmt *st;
  const char *what = "SELECT from millrace_offsets";
  int status = sq_prepare(s, "SELECT owner FROM main.millrace_offsets" LANE, what, &st, err);
  if (status < 0)
    return status;
  bind_lane(s, st, m->source, m->name);
  int rc = sqlite3_step(st);
  uint64_t owner = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
  sqlite3_finalize(st);
  if (rc != SQLITE_ROW)
    return src_fail(err, MR_FATAL, "vanished",
                    "lane %s of %s has no row in millrace_offsets any more", m->name, m->source);
  if (owner != m->owner)
    return src_fail(err, MR_FENCED, "owner", "lane %s of %s was taken over: owner %llu, mine %llu",
                    m->name, m->source, (unsigned long long)owner, (unsigned long long)m->owner);
  return src_fail(err, MR_FENCED, "position", "lane %s of %s is not where this unit began", m->name,
                  m->source);
}

static int set_lane(struct sq_sink *s, sqlite3_stmt *st, const struct mr_mark *m, uint64_t run,
                    struct mr_error *err)
{
  bind_lane(s, st, m->source, m->name);
  bind_position(st, 5, &m->upto);
  bind_position(st, 6, &m->from);
  sqlite3_bind_int64(st, 7, (int64_t)m->rows);
  sqlite3_bind_int64(st, 8, (int64_t)(m->run ? m->run : run));
  sqlite3_bind_int64(st, 9, (int64_t)m->owner);
  sqlite3_bind_blob(st, 10, m->state, (int)m->state_len, SQLITE_STATIC);
  if (sqlite3_step(st) != SQLITE_DONE)
    return sq_error(s, "UPDATE millrace_offsets", err);
  sqlite3_reset(st);
  return sqlite3_changes(s->db) == 1 ? MR_OK : miss(s, m, err);
}

int sq_lanes_set(struct sq_sink *s, const struct mr_unit *u, struct mr_error *err)
{
  sqlite3_stmt *st = NULL;
  int status = sq_prepare(
      s,
      "UPDATE main.millrace_offsets SET position = ?5, last_from = ?6, rows_total"
      " = rows_total + ?7, last_run = ?8, state = ?10, updated_at = CURRENT_TIMESTAMP" LANE
      " AND owner = ?9 AND position = ?6",
      "UPDATE millrace_offsets", &st, err);
  for (uint32_t i = 0; status >= 0 && i < u->n; i++)
    status = set_lane(s, st, &u->mark[i], u->run, err);
  sqlite3_finalize(st);
  return status;
}

int sq_reread(void *self, const struct mr_unit *u, mr_mark_fn *mark, void *out,
              struct mr_error *err)
{
  struct sq_sink *s = self;
  struct mr_mark *m = calloc(u->n + 1, sizeof *m);
  int status = m ? sq_connect(s, err) : sq_no_memory(err);
  if (status >= 0)
    status = sq_exec(s, "BEGIN IMMEDIATE", "BEGIN", err);
  for (uint32_t i = 0; status >= 0 && i < u->n; i++) {
    int found = 0;
    m[i] = (struct mr_mark){.source = u->mark[i].source, .name = u->mark[i].name};
    status = raise_lane(s, &m[i], u->mark[i].owner, &found, err);
    if (status >= 0 && !found)
      status = miss(s, &u->mark[i], err);
  }
  if (status >= 0)
    status = sq_exec(s, "COMMIT", "COMMIT", err);
  if (status < 0)
    sq_rollback(s);
  for (uint32_t i = 0; status >= 0 && i < u->n; i++)
    mark(out, &m[i]);
  marks_free(m, u->n);
  return status;
}
