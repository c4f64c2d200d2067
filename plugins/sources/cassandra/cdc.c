/* SPDX-License-Identifier: Apache-2.0 */
/* mode: cdc: the calls of the ABI. */
#include <poll.h>
#include "common/clock.h"
#include "common/src-error.h"
#include "log.h"

#define TICK_MS 1000
#define POSITION_MS 1000    /* between two batches that only move the position */
#define NOTE_MS 2000        /* between two notes of how far every sink is */
#define MARKER_MS 500       /* after so long a write that was answered is behind a marker */
#define MUTATIONS_MAX 20000 /* read in one go without a row */
#define STOP_MS 10000       /* how long an error waits for the rows before it to be durable */

int cass_place_cmp(const struct cass_place *a, const struct cass_place *b)
{
  if (a->segment != b->segment)
    return a->segment < b->segment ? -1 : 1;
  if (a->position != b->position)
    return a->position < b->position ? -1 : 1;
  return (a->event > b->event) - (a->event < b->event);
}

/* ---------------------------------------------------------------- opening */

/* A clog_want_fn. */
static bool is_wanted(void *ctx, const char *keyspace, const char *table)
{
  const struct cass_log *l = ctx;
  return !strcmp(keyspace, l->name.schema) && !strcmp(table, l->name.table);
}

static int open_parts(struct cass_log *l, const struct mr_open *o, struct mr_error *err)
{
  const char *why;
  if (!sql_name_parse(l->conf->table, CASS_NAME_MAX, &l->name, &why))
    return src_badconf(err, "table", "%s", why);
  l->pipeline = strdup(o->pipeline ? o->pipeline : "");
  l->stage = strdup(o->stage ? o->stage : "");
  l->schema = clog_schema_new(is_wanted, l);
  l->decoder = l->schema ? clog_decoder_new(l->schema) : NULL;
  if (!l->pipeline || !l->stage || !l->decoder)
    return src_no_memory(err);
  const struct cass_changes_open c = {
      .conf = l->conf, .host = l->host, .want = &o->want, .conn = &l->conn, .name = &l->name};
  return cass_changes_new(&c, &l->changes, err);
}

int cass_log_open(const struct mr_open *o, struct cass_log **ret, struct mr_error *err)
{
  struct cass_log *l = calloc(1, sizeof *l);
  if (!l)
    return src_no_memory(err);
  l->conf = o->conf;
  l->host = o->host;
  l->new_store = o->new_store;
  l->bounded = o->bounded;
  l->lane = MR_NO_LANE;
  snprintf(l->store, sizeof l->store, "%s", o->store ? o->store : "");
  cql_conn_init(&l->conn, &l->conf->server, o->host ? o->host->wake_fd : -1, 0);
  cass_follow_init(&l->follow, l->conf->directory,
                   l->conf->read == CASS_READ_DURABLE ? CLOG_DURABLE : CLOG_FAST);
  int rc = o->instances > 1
               ? src_badconf(err, "mode", "a commit log is read in its order: parallel must be 1")
               : open_parts(l, o, err);
  if (rc < 0)
    cass_log_close(l);
  else
    *ret = l;
  return rc;
}

void cass_log_close(struct cass_log *l)
{
  if (!l)
    return;
  cass_changes_free(l->changes);
  cql_conn_close(&l->conn);
  cass_follow_done(&l->follow);
  cass_history_done(&l->history);
  cass_note_done(&l->note);
  cass_ids_done(&l->asked);
  clog_decoder_free(l->decoder);
  clog_schema_free(l->schema);
  sql_buf_done(&l->schema_text);
  mr_schema_release(&l->columns);
  sql_name_done(&l->name);
  free(l->pipeline);
  free(l->stage);
  free(l);
}

int cass_log_schema(struct cass_log *l, struct ArrowSchema *give, struct mr_error *err)
{
  return l->columns.release ? cass_changes_schema(l->changes, give, err) : MR_IDLE;
}

/* ---------------------------------------------------------------- mutations */

static int unreadable(struct cass_log *l, struct mr_error *err)
{
  if (l->conf->on_damage == CASS_DAMAGE_FAIL) {
    size_t n = strlen(err->msg);
    snprintf(err->msg + n, sizeof err->msg - n,
             " (the segment is kept; on_damage: skip goes on behind it)");
    return MR_FATAL;
  }
  src_log(l->host, MR_WARN, "left out: %s", err->msg);
  l->host->metric(l->host->ctx, "damage_total", l->lane, 1);
  return MR_OK;
}

/* Damage of the file, or a mutation that cannot be read. The segment is never removed. */
static int damaged(struct cass_log *l, struct mr_error *err)
{
  bool whole = !l->follow.open;
  if (!strcmp(err->code, "torn")) /* the node died while it wrote: nothing was behind it */
    return MR_OK;
  if (!cass_ids_add(&l->note.kept, l->follow.segment))
    return src_no_memory(err);
  struct mr_error why = {.size = sizeof why};
  if (cass_log_note(l, &why) < 0)
    src_log(l->host, MR_WARN, "%s", why.msg);
  int rc = unreadable(l, err);
  if (rc >= 0 && whole)
    cass_follow_skip(&l->follow);
  return rc;
}

static void mutation_done(struct cass_log *l)
{
  l->has_entry = false;
  l->events.n = l->event = 0;
  l->at.segment = l->entry.segment;
  l->at.position = l->entry.end;
  l->at.event = 0;
}

/* Decodes the mutation. MR_OK: its events are there; MR_IDLE: none that is wanted. */
static int decode(struct cass_log *l, struct mr_error *err)
{
  int32_t version = clog_segment_header(l->follow.open)->version;
  int rc;
  while ((rc = clog_decode(l->decoder, &l->entry, version, &l->events, err)) == MR_SCHEMA) {
    rc = cass_log_schema_ask(l, err);
    if (rc == MR_IDLE) {
      l->events.n = 0;
      l->host->metric(l->host->ctx, "unknown_tables_total", l->lane, 1);
    }
    if (rc != MR_OK)
      break;
  }
  if (rc == MR_OK && l->events.system_schema) {
    rc = cass_log_schema_apply(l, err);
    l->events.n = 0;
    return rc < 0 ? rc : MR_IDLE;
  }
  if (rc != MR_OK)
    l->events.n = 0;
  if (rc == MR_REJECT)
    rc = damaged(l, err) < 0 ? MR_FATAL : MR_IDLE;
  return rc;
}

/* Reads on to a mutation with events. MR_IDLE: no more yet; MR_MORE: there is more, or what was
 * read changed the table's columns. */
static int next_mutation(struct cass_log *l, struct mr_error *err)
{
  for (int i = 0; i < MUTATIONS_MAX && !l->reshape; i++) {
    int rc = l->has_entry ? MR_OK : cass_follow_next(&l->follow, &l->entry, err);
    if (rc == MR_REJECT && (rc = damaged(l, err)) == MR_OK)
      continue;
    if (rc == MR_IDLE && l->follow.segment > l->at.segment)
      l->at = (struct cass_place){
          .segment = l->follow.segment, .lane = l->lane, .deleted = l->at.deleted};
    if (rc != MR_OK)
      return rc;
    bool again = l->entry.segment == l->at.segment && l->entry.position == l->at.position;
    l->has_entry = true;
    rc = decode(l, err);
    if (rc == MR_OK) {
      l->event = again ? l->at.event : 0;
      return MR_OK;
    }
    if (rc < 0)
      return rc;
    mutation_done(l);
  }
  return MR_MORE;
}

/* ---------------------------------------------------------------- rows */

static struct cass_place place_of(const struct cass_log *l)
{
  return (struct cass_place){.segment = l->entry.segment,
                             .position = l->entry.position,
                             .event = (uint32_t)l->event,
                             .lane = l->lane,
                             .deleted = cass_changes_deleted(l->changes)};
}

/* Is the batch to end before this event? */
static bool at_cut(struct cass_log *l, const struct cass_place *at)
{
  struct cass_place cut;
  if (!l->cut.len || !cass_place_read(&l->cut, &cut) || cass_place_cmp(at, &cut) < 0)
    return false;
  l->cut.len = 0;
  return cass_place_cmp(&l->at, &l->given) != 0 || cass_changes_rows(l->changes) > 0;
}

static int add_event(struct cass_log *l, struct mr_error *err)
{
  const struct clog_event *e = &l->events.event[l->event];
  struct cass_place at = place_of(l);
  if (at_cut(l, &at)) {
    l->taking = true;
    return MR_MORE;
  }
  int rc = cass_log_schema_ours(l, e->table) ? cass_changes_add(l->changes, e, &at, err) : MR_OK;
  if (rc < 0)
    return rc;
  if (e->timestamp > 0)
    l->event_us = e->timestamp;
  if (++l->event == l->events.n) {
    mutation_done(l);
    return MR_OK;
  }
  at.event++;
  l->at = at;
  return MR_OK;
}

/* Gathers events. MR_OK: enough; MR_MORE: the batch ends here; MR_IDLE: no more yet. */
static int fill(struct cass_log *l, int64_t max_rows, int64_t max_bytes, struct mr_error *err)
{
  while (cass_changes_rows(l->changes) < max_rows && cass_changes_bytes(l->changes) < max_bytes) {
    int rc = l->events.n ? MR_OK : next_mutation(l, err);
    if (rc == MR_OK)
      rc = add_event(l, err);
    if (rc != MR_OK)
      return rc;
  }
  return MR_OK;
}

/* ---------------------------------------------------------------- giving */

static bool empty_rows(const struct ArrowSchema *schema, struct ArrowArray *give)
{
  size_t n = (size_t)schema->n_children;
  struct mr_column *column = calloc(n ? n : 1, sizeof *column);
  bool ok = column != NULL;
  for (size_t i = 0; ok && i < n; i++)
    ok = mr_column_init(&column[i], schema->children[i]);
  ok = ok && mr_rows_finish(column, (int64_t)n, 0, give);
  for (size_t i = 0; column && i < n; i++)
    mr_column_done(&column[i]);
  free(column);
  return ok;
}

int cass_changes_give(struct cass_changes *c, struct ArrowArray *give, struct mr_error *err)
{
  struct ArrowSchema schema;
  int rc = cass_changes_take(c, give, err);
  if (rc != MR_IDLE)
    return rc;
  if ((rc = cass_changes_schema(c, &schema, err)) < 0)
    return rc;
  bool ok = empty_rows(&schema, give);
  mr_schema_release(&schema);
  return ok ? MR_OK : src_no_memory(err);
}

/* Gives what was gathered, rows or only a position. */
static int give_batch(struct cass_log *l, struct mr_batch *give, struct mr_error *err)
{
  int rc = cass_changes_give(l->changes, &give->rows, err);
  if (rc < 0)
    return rc;
  l->taking = false;
  l->at.deleted = cass_changes_deleted(l->changes);
  l->given = l->at;
  l->given_ms = clock_now_ms();
  give->lane = l->lane;
  give->upto = cass_place_position(&l->at);
  give->watermark_us = INT64_MIN;
  return MR_OK;
}

/* ---------------------------------------------------------------- the end of a bounded run */

/* When every write that was answered before the start can be read. */
static int64_t settled_ms(const struct cass_log *l)
{
  bool late = l->node.late || l->conf->read == CASS_READ_DURABLE;
  return l->started_ms + MARKER_MS + (late ? l->node.sync_period_ms : 0);
}

static int is_at_end(struct cass_log *l, bool idle, bool *ret, struct mr_error *err)
{
  *ret = false;
  if (!l->bounded || clock_now_ms() < settled_ms(l))
    return MR_OK;
  if (!l->has_end) {
    int rc = cass_follow_end(&l->follow, &l->end.segment, &l->end.position, err);
    l->has_end = rc >= 0;
    return rc;
  }
  *ret = idle || cass_place_cmp(&l->at, &l->end) >= 0;
  return MR_OK;
}

/* ---------------------------------------------------------------- reading */

static bool is_woken(const struct cass_log *l)
{
  struct pollfd p = {.fd = l->host->wake_fd, .events = POLLIN};
  return poll(&p, 1, 0) > 0;
}

static bool is_moved(const struct cass_log *l, bool ended)
{
  if (!cass_place_cmp(&l->at, &l->given))
    return false;
  return ended || l->at.segment != l->given.segment || clock_now_ms() - l->given_ms >= POSITION_MS;
}

int cass_log_idle(struct cass_log *l, struct mr_error *err)
{
  int64_t now = clock_now_ms();
  if (now - l->ticked_ms < TICK_MS)
    return MR_OK;
  l->ticked_ms = now;
  return cass_log_tick(l, err);
}

/* What ended the reading is told when the rows before it have been given. */
static int stop(struct cass_log *l, int status, const struct mr_error *err)
{
  if (!cass_changes_rows(l->changes))
    return status;
  if (status != MR_RETRY) {
    l->stopped = status;
    l->stop_error = *err;
  }
  l->taking = true;
  return MR_OK;
}

/* The error, when the sinks hold what came before it: it is not read again and again. */
static int stopped(const struct cass_log *l, struct mr_error *err)
{
  bool held = cass_place_cmp(&l->acked, &l->given) >= 0;
  if (!held && clock_now_ms() - l->given_ms < STOP_MS)
    return MR_IDLE;
  *err = l->stop_error;
  return l->stopped;
}

/* One round: a batch, MR_SCHEMA, MR_END, an error, or MR_IDLE; MR_MORE: at once again. */
static int step(struct cass_log *l, int64_t max_rows, int64_t max_bytes, struct mr_batch *give,
                struct mr_error *err)
{
  bool ended = false;
  if (l->taking)
    return give_batch(l, give, err);
  if (l->stopped < 0)
    return stopped(l, err);
  int rc = l->reshape ? cass_log_reshape(l, err) : MR_OK;
  if (rc != MR_OK)
    return rc;
  rc = fill(l, max_rows, max_bytes, err);
  if (rc < 0)
    rc = stop(l, rc, err);
  if (rc < 0)
    return rc;
  if (cass_changes_rows(l->changes))
    l->taking = true;
  if (l->taking)
    return MR_MORE;
  int ends = is_at_end(l, rc == MR_IDLE, &ended, err);
  if (ends < 0)
    return ends;
  if (is_moved(l, ended))
    return give_batch(l, give, err);
  return ended ? MR_END : rc == MR_IDLE ? MR_IDLE : MR_MORE;
}

int cass_log_read(struct cass_log *l, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
                  struct mr_batch *give, struct mr_error *err)
{
  int64_t until = clock_now_ms() + timeout_ms;
  if (max_rows <= 0)
    return MR_IDLE;
  for (;;) {
    int rc = cass_log_idle(l, err);
    if (rc >= 0)
      rc = step(l, max_rows, max_bytes > 0 ? max_bytes : 1, give, err);
    bool late = clock_now_ms() >= until;
    if (rc == MR_MORE && (l->taking || !late))
      continue;
    if (rc != MR_IDLE && rc != MR_MORE)
      return rc;
    if (late)
      return MR_IDLE;
    cass_follow_wait(&l->follow, until, l->host->wake_fd);
    if (is_woken(l))
      return MR_IDLE;
  }
}

/* ---------------------------------------------------------------- the engine's wishes */

int cass_log_cut(struct cass_log *l, uint32_t lane, const struct mr_position *at)
{
  if (lane == l->lane)
    l->cut = *at;
  return MR_OK;
}

int cass_log_seek(struct cass_log *l, uint32_t lane, const struct mr_position *at,
                  struct mr_error *err)
{
  struct cass_place place;
  if (lane != l->lane)
    return MR_OK;
  if (!cass_place_read(at, &place))
    return src_fail(err, MR_FATAL, "", "the position that is stored is none of a commit log");
  place.lane = l->lane;
  l->at = l->given = l->acked = place;
  l->has_entry = l->taking = false;
  l->events.n = l->event = 0;
  l->stopped = MR_OK;
  l->cut.len = 0;
  cass_changes_reset(l->changes, place.deleted);
  cass_follow_seek(&l->follow, place.segment, place.position);
  return MR_OK;
}

static bool is_to_note(const struct cass_log *l, const struct cass_place *to)
{
  struct cass_place noted;
  return !cass_place_read(&l->note.at, &noted) || noted.segment != to->segment ||
         clock_now_ms() - l->noted_ms >= NOTE_MS;
}

int cass_log_ack(struct cass_log *l, const struct mr_unit *lend, struct mr_error *err)
{
  struct cass_place to;
  for (uint32_t i = 0; i < lend->n; i++) {
    const struct mr_mark *m = &lend->mark[i];
    if (m->lane != l->lane || !cass_place_read(&m->upto, &to))
      continue;
    l->acked = to;
    if (!is_to_note(l, &to))
      continue;
    l->note.at = m->upto;
    snprintf(l->note.store, sizeof l->note.store, "%s", lend->label ? lend->label : "");
    cass_ids_drop_below(&l->note.cdc, to.segment);
    l->noted_ms = clock_now_ms();
    int rc = cass_log_note(l, err);
    return rc < 0 ? rc : cass_log_sweep(l, err);
  }
  return MR_OK;
}
