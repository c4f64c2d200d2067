/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of tokens, and the rows of their pages. */
#include "change.h"
#include "common/clock.h"
#include "common/cql-value.h"
#include "common/src-error.h"

/* ---- what the rows are */

static int set_columns(struct cass_source *s, struct mr_error *err)
{
  struct ArrowSchema rows;
  int rc = cass_select_schema(&s->select, s->conf, &s->prepared.columns, &rows, err);
  if (rc < 0)
    return rc;
  s->column = calloc(s->select.given ? s->select.given : 1, sizeof *s->column);
  s->cell = calloc(s->select.n, sizeof *s->cell);
  bool ok = s->column && s->cell;
  for (int64_t i = 0; ok && i < rows.n_children; i++)
    ok = mr_column_init(&s->column[i], rows.children[i]);
  mr_schema_move(&rows, &s->columns);
  s->types = s->prepared.columns; /* what prepare compares with from now on */
  s->prepared.columns = (struct cql_columns){0};
  return ok ? MR_OK : src_no_memory(err);
}

static int check_partitioner(const struct cass_source *s, struct mr_error *err)
{
  static const char wanted[] = "Murmur3Partitioner";
  size_t n = strlen(s->conn.partitioner), w = strlen(wanted);
  if (n >= w && !strcmp(s->conn.partitioner + n - w, wanted))
    return MR_OK;
  return src_fail(err, MR_FATAL, "", "the cluster's partitioner is %s: only %s can be scanned%s",
                  s->conn.partitioner, wanted, s->conn.where);
}

static int make_select(struct cass_source *s, const struct cass_table *t, struct mr_error *err)
{
  if (s->changes) {
    struct cass_scan_items items = cass_changes_scan(s->changes);
    return cass_select_changes(&s->select, &items, &s->name, t, err);
  }
  return cass_select_init(&s->select, s->conf, &s->name, t,
                          src_system_wants(&s->system, SRC_TIMESTAMP), err);
}

int cass_learn(struct cass_source *s, struct mr_error *err)
{
  struct cass_table t = {0};
  int rc = cql_conn_open(&s->conn, err);
  if (rc < 0 || s->columns.release)
    return rc;
  rc = check_partitioner(s, err);
  if (rc >= 0)
    rc = cass_table_read(&s->conn, &s->name, &t, err);
  if (rc >= 0 && !s->select.cql)
    rc = make_select(s, &t, err);
  cass_table_done(&t);
  if (rc >= 0)
    rc = cass_pages_prepare(s, err);
  return rc < 0 ? rc : set_columns(s, err);
}

/* ---- lanes */

static int set_mark(const struct cass_source *s, struct cass_lane *l, const struct mr_position *at,
                    struct mr_error *err)
{
  struct cass_mark m;
  if (!cass_mark_read(at, &m) || (m.kind == CASS_AT && (m.token < l->first || m.token > l->last)))
    return src_fail(err, MR_FATAL, "",
                    "the position that is stored is none of a scan of %s in %lld ranges",
                    s->conf->table, (long long)s->conf->ranges);
  l->at = m;
  memset(&l->cut, 0, sizeof l->cut);
  return MR_OK;
}

static int name_lane(struct cass_source *s, struct cass_lane *l, const char *name,
                     struct mr_error *err)
{
  const struct mr_host *h = s->host;
  struct mr_position from, start = cass_mark_position(&(struct cass_mark){.kind = CASS_START});
  int rc = h->lane(h->ctx, name, NULL, &l->lane, &from, err);
  if (rc == MR_LANE_NEW || rc == MR_LANE_LATER)
    rc = h->lane(h->ctx, name, &start, &l->lane, &from, err);
  return rc < 0 ? rc : set_mark(s, l, &from, err);
}

/* Every n-th range, n the number of instances. */
static int name_lanes(struct cass_source *s, struct mr_error *err)
{
  size_t n = 0, most = (size_t)(s->conf->ranges / s->instances + 1);
  struct cass_lane *lane = calloc(most, sizeof *lane);
  char **name = calloc(most, sizeof *name);
  int rc = lane && name ? MR_OK : src_no_memory(err);
  for (int64_t i = s->instance; rc >= 0 && i < s->conf->ranges; i += s->instances, n++) {
    cass_range(i, s->conf->ranges, &lane[n].first, &lane[n].last);
    name[n] = malloc(64);
    if (name[n])
      snprintf(name[n], 64, "range %lld/%lld", (long long)i + 1, (long long)s->conf->ranges);
    else
      rc = src_no_memory(err);
  }
  if (rc >= 0 && n)
    rc = s->host->lanes(s->host->ctx, (const char *const *)name, n, err);
  for (size_t i = 0; rc >= 0 && i < n; i++)
    rc = name_lane(s, &lane[i], name[i], err);
  for (size_t i = 0; name && i < n; i++)
    free(name[i]);
  free(name);
  if (rc < 0) {
    free(lane);
    return rc;
  }
  s->lane = lane;
  s->n_lane = n;
  return MR_OK;
}

static int make_queries(struct cass_source *s, struct mr_error *err)
{
  size_t n = (size_t)s->conf->concurrent_queries;
  if (!(s->query = calloc(n, sizeof *s->query)))
    return src_no_memory(err);
  s->n_query = n;
  return MR_OK;
}

int cass_start(void *self, struct mr_error *err)
{
  struct cass_source *s = self;
  int rc = cass_learn(s, err);
  if (rc >= 0 && !s->query)
    rc = make_queries(s, err);
  return rc < 0 || s->lane ? rc : name_lanes(s, err);
}

/* ---- rows */

static uint64_t hash_of(const struct cass_source *s)
{
  uint64_t hash = CASS_HASH;
  for (size_t i = 0; i < s->select.n; i++)
    if (s->select.item[i].marks)
      hash = cass_hash(hash, s->cell[i].p, s->cell[i].n);
  return hash;
}

/* The mark behind the current row. */
static struct cass_mark mark_of(const struct cass_source *s)
{
  const struct cass_mark *at = &s->now->lane->at;
  struct cass_mark m = {.kind = CASS_AT, .token = s->token, .count = 1, .hash = hash_of(s)};
  if (at->kind == CASS_AT && at->token == m.token)
    m.count = at->count + 1;
  return m;
}

/* Is the current row before or at the mark where the lane stands? */
static bool was_given(struct cass_source *s)
{
  const struct cass_mark *at = &s->now->lane->at;
  if (!s->now->skipping || s->token != at->token)
    return false;
  s->now->skipping = hash_of(s) != at->hash;
  return true;
}

/* The partition of the mark is over and its row was not in it: it was deleted. Where it had other
 * rows, which of them were given is not known. */
static int mark_gone(struct cass_source *s, struct mr_error *err)
{
  s->now->skipping = false;
  if (!s->select.clustered)
    return MR_OK;
  s->now->lane->whole = true;
  return src_fail(err, MR_RETRY, "",
                  "the row where the scan of %s stood was deleted: its partition is read again",
                  s->conf->table);
}

static int take_row(struct cass_source *s, struct mr_error *err)
{
  for (int32_t i = 0; i < s->types.n; i++)
    s->cell[i].p = cql_read_value(&s->page.cells, &s->cell[i].n);
  s->page.n--;
  if (s->page.cells.failed)
    return src_fail(err, MR_FATAL, "", "malformed answer of Cassandra: rows that end too early%s",
                    s->conn.where);
  const struct cass_query *q = s->now;
  if (!cass_token(s->cell, s->select.key, s->select.n_key, &s->key, &s->token) ||
      s->token < q->first || s->token > q->lane->last)
    return src_fail(err, MR_FATAL, "",
                    "the node gave a row whose partition key is not in the range that was asked "
                    "for%s",
                    s->conn.where);
  return MR_OK;
}

/* The next row that was not given before becomes the current one. MR_END: the range is over.
 * MR_IDLE: the page is. */
static int advance(struct cass_source *s, struct mr_error *err)
{
  bool given = !s->pending;
  while (given) {
    int rc = s->page.n ? take_row(s, err) : s->now->asked ? MR_IDLE : MR_END;
    if (rc == MR_OK)
      given = was_given(s);
    if (s->now->skipping && (rc == MR_END || (rc == MR_OK && !given)) && mark_gone(s, err) < 0)
      return MR_RETRY;
    if (rc != MR_OK)
      return rc;
  }
  s->pending = true;
  return MR_OK;
}

static void forget_rows(struct cass_source *s, int64_t n)
{
  for (size_t i = 0; i < s->select.given; i++)
    mr_column_truncate(&s->column[i], n);
  src_system_truncate(&s->system, n);
  if (s->changes && !n)
    cass_changes_reset(s->changes, s->floor);
}

static int reject(struct cass_source *s, size_t column, const char *why, struct mr_error *err)
{
  const struct cass_lane *l = s->now->lane;
  struct mr_position at = cass_mark_position(&l->at);
  struct mr_reject r = {.size = sizeof r,
                        .lane = l->lane,
                        .row = -1,
                        .position = &at,
                        .code = "22P02",
                        .msg = why,
                        .column = s->columns.children[column]->name};
  if (s->host->reject(s->host->ctx, &r) >= 0)
    return 0;
  return src_fail(err, MR_FATAL, "", "a row could not be refused");
}

static int add_cell(struct cass_source *s, size_t i, const char **ret_why)
{
  const struct cass_cell *cell = &s->cell[i];
  struct mr_column *c = &s->column[i];
  const struct cql_type *t = &s->types.item[i].type;
  if (s->select.item[i].use == CASS_USE_WRITETIME && c->kind == MR_K_TIMESTAMP && cell->n == 8)
    return mr_column_int(c, (int64_t)cql_be64(cell->p)) ? MR_OK : MR_FATAL;
  return cql_value(c, t, s->columns.children[i], cell->p, cell->n, ret_why);
}

/* The latest write time among the columns; null: none has one (a row of its key alone). */
static int64_t write_time(const struct cass_source *s)
{
  int64_t latest = SRC_NO_TIME;
  for (size_t i = s->select.given; i < s->select.n; i++)
    if (s->select.item[i].use == CASS_USE_TIMESTAMP && s->cell[i].n == 8 &&
        (int64_t)cql_be64(s->cell[i].p) > latest)
      latest = (int64_t)cql_be64(s->cell[i].p);
  return latest;
}

/* The current row, by the write times of its columns as several. */
static int add_changes(struct cass_source *s, int64_t n, int64_t *bytes, struct mr_error *err)
{
  const struct cass_lane *l = s->now->lane;
  struct mr_position at = cass_mark_position(&l->at);
  int rc = cass_changes_scanned(s->changes, s->types.item, s->cell, l->lane, &at, err);
  *bytes = cass_changes_bytes(s->changes);
  return rc < 0 ? rc : (int)(cass_changes_rows(s->changes) - n);
}

/* Appends the current row as row n; 0: it was refused; else how many it has become. */
static int add_row(struct cass_source *s, int64_t n, int64_t *bytes, struct mr_error *err)
{
  if (s->changes)
    return add_changes(s, n, bytes, err);
  const char *why = "";
  size_t i = 0;
  int rc = MR_OK;
  for (; rc == MR_OK && i < s->select.given; i++) {
    rc = add_cell(s, i, &why);
    *bytes += s->cell[i].n > 0 ? s->cell[i].n : 1;
  }
  if (rc == MR_REJECT) {
    forget_rows(s, n);
    return reject(s, i - 1, why, err);
  }
  struct src_message m = {.op = "insert",
                          .timestamp_us = write_time(s),
                          .position = (uint64_t)s->token ^ (UINT64_C(1) << 63)};
  if (rc == MR_OK && s->system.n && !src_system_add(&s->system, &m, 1))
    rc = MR_FATAL;
  return rc < 0 ? src_no_memory(err) : 1;
}

/* Is the batch to end before the current row? */
static bool at_cut(struct cass_lane *l, bool moved)
{
  struct mr_position at = cass_mark_position(&l->at);
  bool past = l->cut.len && mr_position_cmp(&at, &l->cut) >= 0;
  if (past)
    memset(&l->cut, 0, sizeof l->cut);
  return past && moved;
}

/* Fills the columns. MR_OK: full, or cut; MR_IDLE: the page is over; MR_END: the range is. */
static int fill(struct cass_source *s, int64_t max_rows, int64_t max_bytes, int64_t *ret_n,
                bool *ret_moved, struct mr_error *err)
{
  struct cass_lane *l = s->now->lane;
  int64_t bytes = 0;
  while (*ret_n < max_rows && bytes < max_bytes) {
    int rc = advance(s, err);
    if (rc != MR_OK)
      return rc;
    if (at_cut(l, *ret_moved))
      return MR_OK;
    struct cass_mark behind = mark_of(s);
    if ((rc = add_row(s, *ret_n, &bytes, err)) < 0)
      return rc;
    *ret_n += rc;
    *ret_moved = true;
    l->at = behind;
    s->pending = false;
  }
  return MR_OK;
}

static int give_rows(struct cass_source *s, const struct cass_lane *l, int64_t n,
                     struct mr_batch *give, struct mr_error *err)
{
  struct ArrowArray rows;
  int rc = s->changes ? cass_changes_give(s->changes, &give->rows, err) : MR_OK;
  if (rc < 0)
    return rc;
  if (!s->changes && (!mr_rows_finish(s->column, (int64_t)s->select.given, n, &rows) ||
                      !src_system_join(&s->system, &rows, &give->rows)))
    return src_no_memory(err);
  give->lane = l->lane;
  give->upto = cass_mark_position(&l->at);
  give->watermark_us = INT64_MIN;
  return MR_OK;
}

/* One batch of the current page, or none (MR_IDLE) if nothing of it is new. A failure gives nothing
 * of it, and what was taken is read again. */
static int read_page(struct cass_source *s, int64_t max_rows, int64_t max_bytes,
                     struct mr_batch *give, struct mr_error *err)
{
  struct cass_lane *l = s->now->lane;
  struct cass_mark before = l->at;
  int64_t n = 0;
  bool moved = false;
  int rc = fill(s, max_rows, max_bytes, &n, &moved, err);
  if (rc == MR_IDLE)
    s->now = NULL;
  if (rc == MR_END) {
    cass_pages_end(s);
    l->at = (struct cass_mark){.kind = CASS_DONE};
    moved = true;
  }
  if (rc >= 0 && moved)
    rc = give_rows(s, l, n, give, err);
  if (rc >= 0)
    return moved ? MR_OK : MR_IDLE;
  forget_rows(s, 0);
  l->at = before;
  return rc;
}

static int read_pages(struct cass_source *s, int64_t max_rows, int64_t max_bytes, int64_t until_ms,
                      struct mr_batch *give, struct mr_error *err)
{
  for (;;) {
    int rc = s->now ? MR_OK : cass_pages_fill(s, err);
    if (rc >= 0 && !s->now)
      rc = cass_pages_next(s, until_ms, err);
    if (rc != MR_OK)
      return rc;
    rc = read_page(s, max_rows, max_bytes, give, err);
    if (rc != MR_IDLE)
      return rc;
  }
}

int cass_read(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
              struct mr_batch *give, struct mr_error *err)
{
  struct cass_source *s = self;
  int64_t until = clock_now_ms() + timeout_ms;
  while (s->at < s->n_lane && s->lane[s->at].at.kind == CASS_DONE)
    s->at++;
  if (s->at >= s->n_lane)
    return MR_END;
  if (max_rows <= 0)
    return MR_IDLE;
  int rc = read_pages(s, max_rows, max_bytes > 0 ? max_bytes : 1, until, give, err);
  if (rc < 0)
    cass_pages_stop(s);
  return rc;
}

/* ---- the engine's wishes */

static struct cass_lane *find_lane(struct cass_source *s, uint32_t lane)
{
  for (size_t i = 0; i < s->n_lane; i++)
    if (s->lane[i].lane == lane)
      return &s->lane[i];
  return NULL;
}

int cass_cut(void *self, uint32_t lane, const struct mr_position *at)
{
  struct cass_source *s = self;
  struct cass_lane *l = find_lane(s, lane);
  if (l)
    l->cut = *at;
  return MR_OK;
}

int cass_seek(void *self, uint32_t lane, const struct mr_position *at, struct mr_error *err)
{
  struct cass_source *s = self;
  struct cass_lane *l = find_lane(s, lane);
  if (!l)
    return MR_OK;
  cass_pages_stop(s); /* of all lanes: they begin again where they stand */
  l->whole = false;
  s->at = 0;
  return set_mark(s, l, at, err);
}

void cass_done(struct cass_source *s)
{
  cql_conn_close(&s->conn);
  for (size_t i = 0; s->column && i < s->select.given; i++)
    mr_column_done(&s->column[i]);
  free(s->column);
  free(s->cell);
  free(s->lane);
  for (size_t i = 0; i < s->n_query; i++)
    sql_buf_done(&s->query[i].paging);
  free(s->query);
  mr_schema_release(&s->columns);
  cql_prepared_done(&s->prepared);
  cql_columns_done(&s->types);
  cass_select_done(&s->select);
  sql_buf_done(&s->key);
  src_system_done(&s->system);
  sql_name_done(&s->name);
}
