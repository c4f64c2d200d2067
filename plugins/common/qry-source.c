/* SPDX-License-Identifier: Apache-2.0 */
#include "common/clock.h"
#include "common/qry-source.h"
#include <poll.h>
#include "common/src-error.h"

int qry_validate(const struct qry_conf *c, struct mr_error *err)
{
  if (!c->query == !c->table)
    return src_badconf(err, "query", "say either query or table");
  if (c->columns && !c->columns->n_children)
    return src_badconf(err, "columns", "no column");
  for (int64_t i = 0; c->columns && i < c->columns->n_children; i++)
    if (!qry_type_ok(c->columns->children[i])) {
      snprintf(err->option, sizeof err->option, "columns.%s", c->columns->children[i]->name);
      return src_fail(err, MR_BADCONF, "", "a query cannot give structs, maps or lists of lists");
    }
  return MR_OK;
}

/* ---- columns */

static void forget_columns(struct qry_source *s)
{
  for (int64_t i = 0; s->column && i < s->columns.n_children; i++)
    mr_column_done(&s->column[i]);
  free(s->column);
  s->column = NULL;
  mr_schema_release(&s->columns);
}

static bool set_columns(struct qry_source *s, const struct ArrowSchema *columns)
{
  forget_columns(s);
  bool ok = mr_schema_copy(columns, &s->columns);
  if (ok)
    s->column = calloc((size_t)(columns->n_children ? columns->n_children : 1), sizeof *s->column);
  ok = ok && s->column;
  for (int64_t i = 0; ok && i < columns->n_children; i++)
    ok = mr_column_init(&s->column[i], s->columns.children[i]);
  return ok;
}

int qry_source_init(struct qry_source *s, const struct mr_open *o, const struct qry_conf *conf,
                    const struct qry_backend *backend, void *self, struct mr_error *err)
{
  memset(s, 0, sizeof *s);
  s->conf = conf;
  s->backend = backend;
  s->self = self;
  s->host = o->host;
  s->bounded = MR_HAS(o, bounded);
  s->idle = o->instance > 0;
  int rc = qry_validate(conf, err);
  if (rc >= 0)
    rc = src_system_init(&s->system, &o->want,
                         SRC_BIT(SRC_OP) | SRC_BIT(SRC_POSITION) | SRC_BIT(SRC_ELEMENT) |
                             SRC_BIT(SRC_ORIGINAL),
                         err);
  if (rc >= 0 && conf->columns && !set_columns(s, conf->columns))
    rc = src_no_memory(err);
  if (rc < 0)
    qry_source_done(s);
  return rc;
}

void qry_source_done(struct qry_source *s)
{
  forget_columns(s);
  src_system_done(&s->system);
}

int qry_source_schema(struct qry_source *s, struct ArrowSchema *give, struct mr_error *err)
{
  struct ArrowSchema copy;
  if (!s->columns.release)
    return MR_IDLE;
  if (mr_schema_copy(&s->columns, &copy) && src_system_fields(&s->system, &copy)) {
    *give = copy;
    return MR_OK;
  }
  mr_schema_release(&copy);
  return src_no_memory(err);
}

static int check_twice(const struct ArrowSchema *s, struct mr_error *err)
{
  for (int64_t i = 0; i < s->n_children; i++)
    if (mr_schema_find(s, s->children[i]->name) != i)
      return src_badconf(err, "query", "two columns of the result are named `%s`",
                         s->children[i]->name);
  return MR_OK;
}

static bool same_columns(const struct ArrowSchema *a, const struct ArrowSchema *b)
{
  bool same = a->n_children == b->n_children && !strcmp(a->format, b->format) &&
              mr_schema_is_json(a) == mr_schema_is_json(b);
  for (int64_t i = 0; same && i < a->n_children; i++)
    same = !strcmp(a->children[i]->name, b->children[i]->name) &&
           same_columns(a->children[i], b->children[i]);
  return same;
}

/* What the query gives now, unless the file declares it. The table may have been altered since the
 * last look: then the new columns hold from the next row on. */
static int learn_columns(struct qry_source *s, struct mr_error *err)
{
  struct ArrowSchema found = {0};
  if (s->conf->columns)
    return MR_OK;
  int rc = s->backend->describe(s->self, &found, err);
  if (rc >= 0)
    rc = check_twice(&found, err);
  bool known = s->columns.release != NULL;
  bool same = known && rc >= 0 && same_columns(&s->columns, &found);
  s->changed |= known && rc >= 0 && !same;
  if (rc >= 0 && !same && !set_columns(s, &found))
    rc = src_no_memory(err);
  mr_schema_release(&found);
  return rc;
}

/* ---- where it stands */

static int set_mark(struct qry_source *s, const struct mr_position *p, struct mr_error *err)
{
  struct qry_mark m;
  bool grows = s->conf->incremental != NULL;
  bool ok = qry_mark_read(p, &m);
  if (ok && m.kind != QRY_START)
    ok = grows == (m.kind == QRY_NUMBER || m.kind == QRY_TEXT);
  if (!ok)
    return src_fail(err, MR_FATAL, "",
                    "the position that is stored belongs to another kind of query: %s",
                    grows ? "one that is read once" : "one with `incremental`");
  s->at = m;
  return MR_OK;
}

static int name_lane(struct qry_source *s, struct mr_error *err)
{
  const struct mr_host *h = s->host;
  struct mr_position from, zero = qry_mark_position(&(struct qry_mark){.kind = QRY_START});
  int rc = h->lane(h->ctx, "rows", NULL, &s->lane, &from, err);
  if (rc == MR_LANE_NEW || rc == MR_LANE_LATER)
    rc = h->lane(h->ctx, "rows", &zero, &s->lane, &from, err);
  if (rc < 0)
    return rc;
  rc = set_mark(s, &from, err);
  s->named = rc >= 0;
  return rc;
}

int qry_source_start(struct qry_source *s, struct mr_error *err)
{
  if (s->idle)
    return MR_OK;
  int rc = s->backend->connect(s->self, err);
  if (rc >= 0)
    rc = learn_columns(s, err);
  s->backend->end(s->self);
  if (rc >= 0 && !s->named)
    rc = name_lane(s, err);
  return rc < 0 ? rc : MR_OK;
}

static void stop(struct qry_source *s)
{
  if (s->running)
    s->backend->end(s->self);
  s->running = s->pending = false;
}

int qry_source_cut(struct qry_source *s, uint32_t lane, const struct mr_position *at)
{
  if (s->named && lane == s->lane)
    s->cut = *at;
  return MR_OK;
}

int qry_source_seek(struct qry_source *s, uint32_t lane, const struct mr_position *at,
                    struct mr_error *err)
{
  if (!s->named || lane != s->lane)
    return MR_OK;
  stop(s);
  s->next_poll_ms = 0;
  memset(&s->cut, 0, sizeof s->cut);
  return set_mark(s, at, err);
}

/* ---- rows */

static int run(struct qry_source *s, struct mr_error *err)
{
  int rc = s->backend->connect(s->self, err);
  if (rc >= 0)
    rc = learn_columns(s, err);
  if (rc >= 0 && s->changed)
    rc = MR_SCHEMA;
  if (rc == MR_OK)
    rc = s->backend->begin(s->self, &s->at, err);
  if (rc != MR_OK) {
    s->backend->end(s->self);
    s->changed &= rc != MR_SCHEMA;
    return rc;
  }
  s->running = true;
  s->skip = s->at.kind == QRY_ROWS ? s->at.number : 0;
  s->tied = s->at.kind >= QRY_NUMBER ? s->at.ties : 0;
  return MR_OK;
}

/* The mark before the current row, and the one behind it. */
static int marks_of(struct qry_source *s, struct qry_mark *ret_before, struct qry_mark *ret_behind,
                    struct mr_error *err)
{
  if (!s->conf->incremental) {
    *ret_before =
        (struct qry_mark){.kind = QRY_ROWS, .number = s->at.kind == QRY_ROWS ? s->at.number : 0};
    *ret_behind = *ret_before;
    ret_behind->number++;
    return MR_OK;
  }
  struct qry_mark m = {0};
  int rc = s->backend->key(s->self, &m, err);
  if (rc < 0)
    return rc;
  m.ties = qry_mark_same_value(&m, &s->at) ? s->at.ties : 0;
  *ret_before = *ret_behind = m;
  ret_behind->ties++;
  return MR_OK;
}

/* Is the current row one of those that were given already? A query begins with rows that it counts
 * (read once), or with those of the value at which the last one ended. */
static int was_given(struct qry_source *s, bool *ret, struct mr_error *err)
{
  struct qry_mark m = {0};
  *ret = s->skip > 0;
  if (*ret)
    s->skip--;
  if (*ret || !s->tied)
    return MR_OK;
  int rc = s->backend->key(s->self, &m, err);
  *ret = rc >= 0 && qry_mark_same_value(&m, &s->at);
  s->tied = *ret ? s->tied - 1 : 0;
  return rc;
}

/* The next row that was not given before becomes the current one. MR_END: no more. */
static int advance(struct qry_source *s, int64_t most, int64_t bytes, struct mr_error *err)
{
  bool given = !s->pending;
  while (given) {
    int rc = s->backend->next(s->self, most, bytes, err);
    if (rc == MR_OK)
      rc = was_given(s, &given, err);
    if (rc != MR_OK)
      return rc;
  }
  s->pending = true;
  return MR_OK;
}

static void forget_row(struct qry_source *s, int64_t n)
{
  for (int64_t i = 0; i < s->columns.n_children; i++)
    mr_column_truncate(&s->column[i], n);
  src_system_truncate(&s->system, n);
}

static int reject(struct qry_source *s, const struct qry_mark *before, int64_t column,
                  const char *why)
{
  struct mr_position at = qry_mark_position(before);
  struct mr_reject r = {.size = sizeof r,
                        .lane = s->lane,
                        .row = -1,
                        .position = &at,
                        .code = "22P02",
                        .msg = why,
                        .column = s->columns.children[column]->name};
  return s->host->reject(s->host->ctx, &r);
}

/* Appends the current row as row n; 0: it was refused, 1: it is there. */
static int add_row(struct qry_source *s, const struct qry_mark *before, int64_t n, int64_t *bytes,
                   struct mr_error *err)
{
  const char *why = "";
  int64_t i = 0;
  int rc = MR_OK;
  for (; rc == MR_OK && i < s->columns.n_children; i++)
    rc = s->backend->value(s->self, i, &s->column[i], s->columns.children[i], bytes, &why);
  if (rc == MR_REJECT) {
    forget_row(s, n);
    return reject(s, before, i - 1, why) < 0
               ? src_fail(err, MR_FATAL, "", "a row could not be refused")
               : 0;
  }
  struct src_message m = {
      .op = "insert", .position = (uint64_t)(before->kind == QRY_TEXT ? s->rows : before->number)};
  if (rc == MR_OK && s->system.n && !src_system_add(&s->system, &m, 1))
    rc = MR_FATAL;
  return rc < 0 ? src_no_memory(err) : 1;
}

/* Fills the builders. MR_OK: full, or cut; MR_END: the query is over. *ret_n: rows; *ret_moved:
 * rows with those refused. */
static int fill(struct qry_source *s, int64_t max_rows, int64_t max_bytes, int64_t *ret_n,
                int64_t *ret_moved, struct mr_error *err)
{
  int64_t bytes = 0;
  while (*ret_n < max_rows && bytes < max_bytes) {
    struct qry_mark before, behind;
    int rc = advance(s, max_rows - *ret_n, max_bytes - bytes, err);
    if (rc == MR_OK)
      rc = marks_of(s, &before, &behind, err);
    if (rc != MR_OK)
      return rc;
    struct mr_position at = qry_mark_position(&before);
    if (s->cut.len && *ret_moved && mr_position_cmp(&at, &s->cut) >= 0) {
      memset(&s->cut, 0, sizeof s->cut);
      return MR_OK;
    }
    if (s->cut.len && mr_position_cmp(&at, &s->cut) >= 0)
      memset(&s->cut, 0, sizeof s->cut); /* the batch begins there */
    rc = add_row(s, &before, *ret_n, &bytes, err);
    if (rc < 0)
      return rc;
    *ret_n += rc;
    ++*ret_moved;
    s->rows++;
    s->at = behind;
    s->pending = false;
  }
  return MR_OK;
}

static int give_rows(struct qry_source *s, int64_t n, struct mr_batch *give, struct mr_error *err)
{
  struct ArrowArray rows;
  if (!mr_rows_finish(s->column, s->columns.n_children, n, &rows) ||
      !src_system_join(&s->system, &rows, &give->rows))
    return src_no_memory(err);
  give->lane = s->lane;
  give->upto = qry_mark_position(&s->at);
  give->watermark_us = INT64_MIN;
  return MR_OK;
}

/* The query is over: for good, or until it is time to look again. true: the position has moved by
 * that. */
static bool over(struct qry_source *s)
{
  stop(s);
  if (s->conf->incremental) {
    s->next_poll_ms = s->bounded ? INT64_MAX : clock_now_ms() + s->conf->poll_ms;
    return false;
  }
  s->at = (struct qry_mark){.kind = QRY_DONE};
  return true;
}

/* One batch of the running query. A failure gives nothing of it, and what was taken is read again.
 */
static int read_batch(struct qry_source *s, int64_t max_rows, int64_t max_bytes,
                      struct mr_batch *give, struct mr_error *err)
{
  struct qry_mark before = s->at;
  int64_t n = 0, moved = 0, rows = s->rows;
  int rc = fill(s, max_rows, max_bytes, &n, &moved, err);
  bool ended = rc == MR_END;
  if (rc >= 0 && ended)
    moved += over(s);
  if (rc >= 0 && moved)
    rc = give_rows(s, n, give, err);
  if (rc < 0) {
    forget_row(s, 0);
    stop(s);
    s->at = before;
    s->rows = rows;
    s->next_poll_ms = 0;
    return rc;
  }
  return moved ? MR_OK : MR_IDLE;
}

static int wait_poll(struct qry_source *s, int32_t timeout_ms)
{
  int64_t left = s->next_poll_ms - clock_now_ms();
  struct pollfd wake = {.fd = s->host->wake_fd, .events = POLLIN};
  if (left > 0)
    poll(&wake, 1, left < timeout_ms ? (int)left : timeout_ms);
  return s->next_poll_ms > clock_now_ms() ? MR_IDLE : MR_OK;
}

int qry_source_read(struct qry_source *s, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
                    struct mr_batch *give, struct mr_error *err)
{
  if (s->idle || s->at.kind == QRY_DONE || (!s->running && s->next_poll_ms == INT64_MAX))
    return MR_END;
  if (max_rows <= 0 || (!s->running && wait_poll(s, timeout_ms) == MR_IDLE))
    return MR_IDLE;
  if (!s->running) {
    int rc = run(s, err);
    if (rc != MR_OK)
      return rc;
  }
  return read_batch(s, max_rows, max_bytes > 0 ? max_bytes : 1, give, err);
}
