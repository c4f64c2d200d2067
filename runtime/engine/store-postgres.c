/* SPDX-License-Identifier: Apache-2.0 */
/* The store in a PostgreSQL database, which several machines may share: a deposed owner is refused,
 * and blocks are rows. One connection under a mutex. Every call can be made again when its answer
 * was lost: label numbers are only skipped, a lane's row remembers which store made it, a record is
 * known by its label, and a unit that is done has no record any more. */
#include <glib.h>
#include <pthread.h>
#include <string.h>
#include "engine/store-tables.h"
#include "engine/store.h"

#define BLOCK_MS 60000 /* blocks are megabytes */

struct pg_store {
  struct mr_store vt;
  pthread_mutex_t lock;
  struct mr_pg c;
  char *pipeline;
  char founder[37]; /* of this process: drawn at random */
  bool prepared;    /* the tables are there */
};

static struct pg_store *self_of(struct mr_store *st)
{
  return (struct pg_store *)st;
}

#define RUN(s, ret, err, ...) mr_pg_run(&(s)->c, MR_STORE_CALL_MS, ret, err, __VA_ARGS__)

/* Runs a statement that changes rows; *ret_n: how many. */
#define CHANGE(s, ret_n, err, ...)                             \
  ({                                                           \
    PGresult *res_ = NULL;                                     \
    int status_ = RUN(s, &res_, err, __VA_ARGS__);             \
    if (status_ >= 0)                                          \
      *(ret_n) = g_ascii_strtoll(PQcmdTuples(res_), NULL, 10); \
    PQclear(res_);                                             \
    status_;                                                   \
  })

/* Connects, and makes the tables when there are none. */
static int prepare(struct pg_store *s, struct mr_error *err)
{
  int status = mr_pg_connect(&s->c, err);
  if (status < 0 || s->prepared)
    return status;
  status = mr_store_tables_make(&s->c, err);
  s->prepared = status >= 0;
  return status;
}

static int open_call(struct pg_store *s, struct mr_error *err)
{
  pthread_mutex_lock(&s->lock);
  return prepare(s, err);
}

static int close_call(struct pg_store *s, int status)
{
  pthread_mutex_unlock(&s->lock);
  return status;
}

static int begin(struct pg_store *s, struct mr_error *err)
{
  int status = open_call(s, err);
  return status < 0 ? status : RUN(s, NULL, err, "BEGIN", "");
}

/* Ends what begin began: commits when status is >= 0. A COMMIT of a transaction that the server has
 * given up answers ROLLBACK. */
static int end(struct pg_store *s, int status, struct mr_error *err)
{
  PGresult *res = NULL;
  struct mr_error ignored = MR_ERROR_INIT;
  if (status >= 0)
    status = RUN(s, &res, err, "COMMIT", "");
  else if (s->c.pg && RUN(s, NULL, &ignored, "ROLLBACK", "") < 0)
    mr_pg_close(&s->c);
  if (status >= 0 && strcmp(PQcmdStatus(res), "COMMIT"))
    status = mr_fail(err, MR_RETRY, "the state%s: COMMIT was answered with %s", s->c.where,
                     PQcmdStatus(res));
  PQclear(res);
  return close_call(s, status);
}

/* ---- counters */

static int ran_one(struct pg_store *s, const char *key, bool set, bool *ret, struct mr_error *err)
{
  g_autofree char *name = g_strconcat("ran:", key, NULL);
  PGresult *res = NULL;
  int status = RUN(s, &res, err, "SELECT 1 FROM millrace_state WHERE pipeline = $1 AND key = $2",
                   "tt", s->pipeline, name);
  *ret = status >= 0 && PQntuples(res) > 0;
  PQclear(res);
  if (status < 0 || !set || *ret)
    return status;
  return RUN(s, NULL, err, "INSERT INTO millrace_state VALUES($1, $2, 1) ON CONFLICT DO NOTHING",
             "tt", s->pipeline, name);
}

static int st_ran(struct mr_store *st, const char *const *key, size_t n, bool set, bool *ret,
                  struct mr_error *err)
{
  struct pg_store *s = self_of(st);
  int status = begin(s, err);
  for (size_t i = 0; status >= 0 && i < n; i++)
    status = ran_one(s, key[i], set, &ret[i], err);
  return end(s, status, err);
}

static int st_number(struct mr_store *st, const char *sink, uint64_t *ret, struct mr_error *err)
{
  struct pg_store *s = self_of(st);
  g_autofree char *key = g_strconcat("label:", sink, NULL);
  PGresult *res = NULL;
  int status = open_call(s, err);
  if (status >= 0)
    status = RUN(s, &res, err,
                 "INSERT INTO millrace_state AS m VALUES($1, $2, 1) ON CONFLICT(pipeline, key)"
                 " DO UPDATE SET value = m.value + 1 RETURNING value",
                 "tt", s->pipeline, key);
  if (status >= 0)
    *ret = (uint64_t)mr_pg_int(res, 0, 0);
  PQclear(res);
  return close_call(s, status);
}

static int st_identity(struct mr_store *st, uint64_t *ret, struct mr_error *err)
{
  struct pg_store *s = self_of(st);
  PGresult *res = NULL;
  int64_t drawn = (int64_t)g_random_int() << 31 ^ (int64_t)g_random_int();
  int status = open_call(s, err);
  if (status >= 0)
    status = RUN(s, &res, err,
                 "INSERT INTO millrace_state AS m VALUES($1, 'id', $2) ON CONFLICT(pipeline, key)"
                 " DO UPDATE SET value = m.value RETURNING value",
                 "ti", s->pipeline, drawn);
  if (status >= 0)
    *ret = (uint64_t)mr_pg_int(res, 0, 0);
  PQclear(res);
  return close_call(s, status);
}

/* ---- lanes */

#define LANE_IS "pipeline = $1 AND sink = $2 AND source = $3 AND lane = $4"
#define LANE_COLUMNS "position, owner, rows_total, last_run, last_from, state"

/* *ret_own: the bytes, malloc'd. false: no memory. */
static bool read_state(const PGresult *res, int row, int column, void **ret_own,
                       struct mr_mark *ret)
{
  if (PQgetisnull(res, row, column))
    return true;
  ret->state = *ret_own = mr_pg_bytes(res, row, column, &ret->state_len);
  return *ret_own != NULL;
}

static int give_lane(struct pg_store *s, const PGresult *res, const char *source, const char *lane,
                     mr_mark_fn *mark, void *out, struct mr_error *err)
{
  struct mr_mark m = {.source = source, .name = lane};
  if (!PQntuples(res))
    return MR_OK;
  if (!mr_pg_position(res, 0, 0, &m.upto) || !mr_pg_position(res, 0, 4, &m.from))
    return mr_fail(err, MR_FATAL, "the state%s: lane %s has an unreadable position", s->c.where,
                   lane);
  m.owner = (uint64_t)mr_pg_int(res, 0, 1);
  m.rows = (uint64_t)mr_pg_int(res, 0, 2);
  m.run = (uint64_t)mr_pg_int(res, 0, 3);
  MR_AUTOFREE void *state = NULL;
  if (!read_state(res, 0, 5, &state, &m))
    return mr_fail(err, MR_FATAL, "out of memory");
  mark(out, &m);
  return MR_OK;
}

static int lane_rows(struct pg_store *s, const char *sql, const char *sink, const char *source,
                     const char *lane, mr_mark_fn *mark, void *out, struct mr_error *err)
{
  PGresult *res = NULL;
  int status = RUN(s, &res, err, sql, "tttt", s->pipeline, sink, source, lane);
  if (status >= 0)
    status = give_lane(s, res, source, lane, mark, out, err);
  PQclear(res);
  return status;
}

/* Blocks whose unit never was recorded: their process died in between, long ago. */
static int drop_orphans(struct pg_store *s, struct mr_error *err)
{
  return RUN(s, NULL, err,
             "DELETE FROM millrace_state_blocks b WHERE pipeline = $1"
             " AND made_at < now() - interval '1 day' AND NOT EXISTS (SELECT 1 FROM"
             " millrace_state_units u WHERE u.pipeline = b.pipeline AND u.label = b.label)",
             "t", s->pipeline);
}

static int st_take(struct mr_store *st, const char *sink, const char *source,
                   const char *const *lane, size_t n, mr_mark_fn *mark, void *out,
                   struct mr_error *err)
{
  struct pg_store *s = self_of(st);
  int status = begin(s, err);
  if (status >= 0)
    status = drop_orphans(s, err);
  for (size_t i = 0; status >= 0 && i < n; i++)
    status = lane_rows(s,
                       "UPDATE millrace_state_lanes SET owner = owner + 1, updated_at = now()"
                       " WHERE " LANE_IS " RETURNING " LANE_COLUMNS,
                       sink, source, lane[i], mark, out, err);
  return end(s, status, err);
}

static int st_look(struct mr_store *st, const char *sink, const struct mr_mark *m, size_t n,
                   mr_mark_fn *mark, void *out, struct mr_error *err)
{
  struct pg_store *s = self_of(st);
  int status = begin(s, err);
  for (size_t i = 0; status >= 0 && i < n; i++)
    status = lane_rows(s, "SELECT " LANE_COLUMNS " FROM millrace_state_lanes WHERE " LANE_IS, sink,
                       m[i].source, m[i].name, mark, out, err);
  return end(s, status, err);
}

/* A row that is there already is ours when this store made it: the answer was lost. */
static int is_founder(struct pg_store *s, const char *sink, const struct mr_mark *m,
                      struct mr_error *err)
{
  PGresult *res = NULL;
  int status = RUN(s, &res, err,
                   "SELECT 1 FROM millrace_state_lanes WHERE " LANE_IS
                   " AND founder = $5 AND owner = $6 AND position = $7",
                   "tttttip", s->pipeline, sink, m->source, m->name, s->founder, (int64_t)m->owner,
                   &m->upto);
  if (status >= 0 && !PQntuples(res))
    status =
        mr_fail(err, MR_FENCED, "lane %s of %s was taken by another process", m->name, m->source);
  PQclear(res);
  return status;
}

static int found_one(struct pg_store *s, const char *sink, const struct mr_mark *m,
                     struct mr_error *err)
{
  int64_t made = 0;
  int status =
      CHANGE(s, &made, err,
             "INSERT INTO millrace_state_lanes(pipeline, sink, source, lane, position, owner,"
             " last_from, founder) VALUES($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
             "ttttpipt", s->pipeline, sink, m->source, m->name, &m->upto, (int64_t)m->owner,
             &m->upto, s->founder);
  return status < 0 || made == 1 ? status : is_founder(s, sink, m, err);
}

static int st_found(struct mr_store *st, const char *sink, const struct mr_mark *m, size_t n,
                    struct mr_error *err)
{
  struct pg_store *s = self_of(st);
  int status = begin(s, err);
  for (size_t i = 0; status >= 0 && i < n; i++)
    status = found_one(s, sink, &m[i], err);
  return end(s, status, err);
}

/* ---- units */

/* Locks the lane's row and compares. */
static int lane_is(struct pg_store *s, const char *sink, const struct mr_mark *m,
                   struct mr_error *err)
{
  PGresult *res = NULL;
  struct mr_position at;
  int status = RUN(s, &res, err,
                   "SELECT owner, position FROM millrace_state_lanes WHERE " LANE_IS " FOR UPDATE",
                   "tttt", s->pipeline, sink, m->source, m->name);
  if (status >= 0 && !PQntuples(res))
    status = mr_fail(err, MR_FATAL, "the state%s: lane %s of %s has no row any more", s->c.where,
                     m->name, m->source);
  else if (status >= 0 && (uint64_t)mr_pg_int(res, 0, 0) != m->owner)
    status = mr_fail_code(err, MR_FENCED, "owner",
                          "lane %s of %s was taken over by another process", m->name, m->source);
  else if (status >= 0 && (!mr_pg_position(res, 0, 1, &at) || mr_position_cmp(&at, &m->from)))
    status =
        mr_fail_code(err, MR_FENCED, "position", "lane %s of %s has moved", m->name, m->source);
  PQclear(res);
  return status;
}

static int is_there(struct pg_store *s, const char *sql, const char *name, const char *label,
                    bool *ret, struct mr_error *err)
{
  PGresult *res = NULL;
  int status = RUN(s, &res, err, sql, name ? "ttt" : "tt", s->pipeline, label, name);
  *ret = status >= 0 && PQntuples(res) > 0;
  PQclear(res);
  return status;
}

#define UNIT_BY_LABEL "SELECT 1 FROM millrace_state_units WHERE pipeline = $1 AND label = $2"
#define UNIT_OF_SINK UNIT_BY_LABEL " AND sink = $3"
#define BLOCK_BY_LABEL \
  "SELECT 1 FROM millrace_state_blocks WHERE pipeline = $1 AND label = $2 FOR UPDATE"

static int record_lane(struct pg_store *s, const struct mr_pending *p, const struct mr_mark *m,
                       struct mr_error *err)
{
  int status = lane_is(s, p->sink, m, err);
  if (status < 0)
    return status;
  status = RUN(s, NULL, err,
               "INSERT INTO millrace_state_unit_lanes VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9,"
               " $10, $11, $12)",
               "tttttippiiib", s->pipeline, p->sink, p->label, m->source, m->name, (int64_t)m->lane,
               &m->from, &m->upto, (int64_t)m->owner, (int64_t)m->rows, (int64_t)m->run, m->state,
               m->state_len);
  if (status >= 0 || strcmp(err->code, "23505"))
    return status;
  return mr_fail_code(err, MR_FENCED, "pending", "another unit is pending on lane %s of %s",
                      m->name, m->source);
}

static int record_unit(struct pg_store *s, const struct mr_pending *p, struct mr_error *err)
{
  bool block = true;
  int status = MR_OK;
  if (p->state == MR_PENDING_SEALED)
    status = is_there(s, BLOCK_BY_LABEL, NULL, p->label, &block, err);
  if (status >= 0 && !block)
    status = mr_fail(err, MR_FATAL, "the state%s: the block of %s is gone", s->c.where, p->label);
  if (status >= 0)
    status = RUN(s, NULL, err, "INSERT INTO millrace_state_units VALUES($1, $2, $3, $4, $5)",
                 "tttii", s->pipeline, p->sink, p->label, (int64_t)p->state, p->recorded_us);
  for (size_t i = 0; status >= 0 && i < p->n; i++)
    status = record_lane(s, p, &p->mark[i], err);
  return status;
}

static int st_record(struct mr_store *st, const struct mr_pending *p, struct mr_error *err)
{
  struct pg_store *s = self_of(st);
  bool before = false;
  int status = begin(s, err);
  if (status >= 0)
    status = is_there(s, UNIT_OF_SINK, p->sink, p->label, &before, err);
  if (status >= 0 && !before)
    status = record_unit(s, p, err);
  return end(s, status, err);
}

static int forget(struct pg_store *s, const char *sink, const char *label, int64_t *ret_n,
                  struct mr_error *err)
{
  return CHANGE(s, ret_n, err,
                "DELETE FROM millrace_state_units WHERE pipeline = $1 AND sink = $2 AND label = $3",
                "ttt", s->pipeline, sink, label);
}

static int move_lane(struct pg_store *s, const char *sink, const struct mr_mark *m, bool recorded,
                     struct mr_error *err)
{
  int64_t moved = 0;
  int status = recorded ? MR_OK : lane_is(s, sink, m, err);
  if (status >= 0)
    status = CHANGE(s, &moved, err,
                    "UPDATE millrace_state_lanes SET position = $5, rows_total = rows_total + $6,"
                    " last_run = $7, last_from = $8, state = $9, updated_at = now() WHERE " LANE_IS
                    " AND position = $8",
                    "ttttpiipb", s->pipeline, sink, m->source, m->name, &m->upto, (int64_t)m->rows,
                    (int64_t)m->run, &m->from, m->state, m->state_len);
  if (status < 0 || moved == 1)
    return status;
  return mr_fail_code(err, MR_FENCED, "position", "lane %s of %s has moved", m->name, m->source);
}

static int st_done(struct mr_store *st, const char *sink, const char *label,
                   const struct mr_mark *m, size_t n, struct mr_error *err)
{
  struct pg_store *s = self_of(st);
  int64_t gone = 1;
  int status = begin(s, err);
  if (status >= 0 && label)
    status = forget(s, sink, label, &gone, err);
  if (status >= 0 && gone != 1)
    status = mr_fail_code(err, MR_FENCED, "position", "%s was finished by another process", label);
  for (size_t i = 0; status >= 0 && i < n; i++)
    status = move_lane(s, sink, &m[i], label != NULL, err);
  return end(s, status, err);
}

static int st_drop(struct mr_store *st, const char *sink, const char *label, struct mr_error *err)
{
  struct pg_store *s = self_of(st);
  int64_t n;
  int status = open_call(s, err);
  if (status >= 0)
    status = forget(s, sink, label, &n, err);
  return close_call(s, status);
}

/* ---- labels of units that may be prepared, and are not recorded */

static int st_claim(struct mr_store *st, const char *sink, const char *label,
                    const struct mr_mark *m, size_t n, struct mr_error *err)
{
  struct pg_store *s = self_of(st);
  int status = begin(s, err);
  for (size_t i = 0; status >= 0 && i < n; i++)
    status = RUN(s, NULL, err,
                 "UPDATE millrace_state_lanes SET label = $5 WHERE " LANE_IS " AND owner = $6",
                 "ttttti", s->pipeline, sink, m[i].source, m[i].name, label, (int64_t)m[i].owner);
  return end(s, status, err);
}

static int st_claimed(struct mr_store *st, const char *sink, const char *source,
                      const char *const *lane, size_t n, mr_label_fn *label, void *out,
                      struct mr_error *err)
{
  struct pg_store *s = self_of(st);
  int status = open_call(s, err);
  for (size_t i = 0; status >= 0 && i < n; i++) {
    PGresult *res = NULL;
    status = RUN(s, &res, err,
                 "SELECT label FROM millrace_state_lanes WHERE " LANE_IS " AND label IS NOT NULL",
                 "tttt", s->pipeline, sink, source, lane[i]);
    if (status >= 0 && PQntuples(res))
      label(out, PQgetvalue(res, 0, 0));
    PQclear(res);
  }
  return close_call(s, status);
}

/* ---- pending units */

enum {
  P_LABEL,
  P_STATE,
  P_RECORDED,
  P_SOURCE,
  P_LANE,
  P_ID,
  P_FROM,
  P_TO,
  P_OWNER,
  P_ROWS,
  P_RUN,
  P_SAVED
};
static const char pending_sql[] =
    "SELECT label, u.state, recorded_us, source, lane, id, position_from, position_to, owner, "
    "rows, "
    "run, l.state"
    " FROM millrace_state_units u JOIN millrace_state_unit_lanes l USING(pipeline, sink, label)"
    " WHERE pipeline = $1 AND sink = $2 ORDER BY recorded_us, label, source, lane";

static bool mark_at(const PGresult *res, int row, GPtrArray *memory, struct mr_mark *ret)
{
  void *state = NULL;
  *ret = (struct mr_mark){.source = PQgetvalue(res, row, P_SOURCE),
                          .name = PQgetvalue(res, row, P_LANE),
                          .lane = (uint32_t)mr_pg_int(res, row, P_ID),
                          .owner = (uint64_t)mr_pg_int(res, row, P_OWNER),
                          .rows = (uint64_t)mr_pg_int(res, row, P_ROWS),
                          .run = (uint64_t)mr_pg_int(res, row, P_RUN)};
  bool ok = read_state(res, row, P_SAVED, &state, ret);
  g_ptr_array_add(memory, state);
  return ok && mr_pg_position(res, row, P_FROM, &ret->from) &&
         mr_pg_position(res, row, P_TO, &ret->upto);
}

/* Gives the unit that begins at this row; *row: behind it. */
static int give_unit(struct pg_store *s, const PGresult *res, int *row, const char *sink,
                     mr_pending_fn *each, void *out, struct mr_error *err)
{
  g_autoptr(GArray) marks = g_array_new(FALSE, TRUE, sizeof(struct mr_mark));
  g_autoptr(GPtrArray) memory = g_ptr_array_new_with_free_func(free);
  struct mr_pending p = {.sink = sink,
                         .label = PQgetvalue(res, *row, P_LABEL),
                         .state = (enum mr_pending_state)mr_pg_int(res, *row, P_STATE),
                         .recorded_us = mr_pg_int(res, *row, P_RECORDED)};
  for (; *row < PQntuples(res) && !strcmp(PQgetvalue(res, *row, P_LABEL), p.label); ++*row) {
    struct mr_mark m;
    if (!mark_at(res, *row, memory, &m))
      return mr_fail(err, MR_FATAL, "the state%s: unit %s has an unreadable position", s->c.where,
                     p.label);
    g_array_append_val(marks, m);
  }
  p.n = marks->len;
  p.mark = (const struct mr_mark *)(void *)marks->data;
  return each(out, &p, err);
}

static int st_pending(struct mr_store *st, const char *sink, mr_pending_fn *each, void *out,
                      struct mr_error *err)
{
  struct pg_store *s = self_of(st);
  PGresult *res = NULL;
  int status = open_call(s, err);
  if (status >= 0)
    status = RUN(s, &res, err, pending_sql, "tt", s->pipeline, sink);
  for (int row = 0; status >= 0 && row < PQntuples(res);)
    status = give_unit(s, res, &row, sink, each, out, err);
  PQclear(res);
  return close_call(s, status);
}

/* ---- blocks */

static int st_block_put(struct mr_store *st, const char *label, const void *data, size_t len,
                        struct mr_error *err)
{
  struct pg_store *s = self_of(st);
  int status = open_call(s, err);
  if (status >= 0)
    status = mr_pg_run(&s->c, BLOCK_MS, NULL, err,
                       "INSERT INTO millrace_state_blocks(pipeline, label, data) VALUES($1, $2, $3)"
                       " ON CONFLICT(pipeline, label) DO UPDATE SET data = excluded.data",
                       "ttb", s->pipeline, label, data, len);
  return close_call(s, status);
}

static int no_block(struct pg_store *s, const char *label, struct mr_error *err)
{
  bool recorded = false;
  int status = is_there(s, UNIT_BY_LABEL, NULL, label, &recorded, err);
  if (status < 0)
    return status;
  if (recorded)
    return mr_fail(err, MR_FATAL, "the state%s: the block of %s is gone", s->c.where, label);
  return mr_fail(err, MR_FENCED, "%s was finished by another process", label);
}

static int st_block_get(struct mr_store *st, const char *label, void **give, size_t *ret_len,
                        struct mr_error *err)
{
  struct pg_store *s = self_of(st);
  PGresult *res = NULL;
  void *data = NULL;
  int status = open_call(s, err);
  if (status >= 0)
    status = mr_pg_run(&s->c, BLOCK_MS, &res, err,
                       "SELECT data FROM millrace_state_blocks WHERE pipeline = $1 AND label = $2",
                       "tt", s->pipeline, label);
  if (status >= 0 && !PQntuples(res))
    status = no_block(s, label, err);
  else if (status >= 0 && !(data = mr_pg_bytes(res, 0, 0, ret_len)))
    status = mr_fail(err, MR_FATAL, "out of memory");
  if (status >= 0)
    *give = data;
  PQclear(res);
  return close_call(s, status);
}

static int st_block_drop(struct mr_store *st, const char *label, struct mr_error *err)
{
  struct pg_store *s = self_of(st);
  int status = open_call(s, err);
  if (status >= 0)
    status =
        RUN(s, NULL, err, "DELETE FROM millrace_state_blocks WHERE pipeline = $1 AND label = $2",
            "tt", s->pipeline, label);
  return close_call(s, status);
}

/* ---- life */

static void st_free(struct mr_store *st)
{
  struct pg_store *s = self_of(st);
  mr_pg_finish(&s->c);
  pthread_mutex_destroy(&s->lock);
  g_free(s->pipeline);
  g_free(s);
}

static const struct mr_store vtable = {.ran = st_ran,
                                       .take = st_take,
                                       .found = st_found,
                                       .number = st_number,
                                       .claim = st_claim,
                                       .claimed = st_claimed,
                                       .record = st_record,
                                       .done = st_done,
                                       .drop = st_drop,
                                       .look = st_look,
                                       .pending = st_pending,
                                       .block_put = st_block_put,
                                       .block_get = st_block_get,
                                       .block_drop = st_block_drop,
                                       .free = st_free,
                                       .identity = st_identity};

bool mr_store_is_postgres(const char *state)
{
  return state &&
         (g_str_has_prefix(state, "postgres://") || g_str_has_prefix(state, "postgresql://"));
}

struct mr_store *mr_store_postgres_new(const char *url, const char *pipeline, int *ret_status,
                                       struct mr_error *err)
{
  struct pg_store *s = g_new0(struct pg_store, 1);
  g_autofree char *uuid = g_uuid_string_random();
  s->vt = vtable;
  s->pipeline = g_strdup(pipeline);
  g_strlcpy(s->founder, uuid, sizeof s->founder);
  pthread_mutex_init(&s->lock, NULL);
  int status = mr_store_pg_init(&s->c, url, pipeline, err);
  if (status >= 0)
    status = close_call(s, open_call(s, err));
  if (status >= 0)
    return &s->vt;
  st_free(&s->vt);
  *ret_status = status;
  return NULL;
}
