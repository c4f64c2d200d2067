/* SPDX-License-Identifier: Apache-2.0 */
/* mode: cdc: what is looked at before the first read, by a start and by `check`. */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>
#include "common/clock.h"
#include "common/clog-node.h"
#include "common/src-error.h"
#include "log.h"

static int check_directory(const struct cass_log *l, struct mr_error *err)
{
  struct clog_segment_name *name;
  size_t n;
  const char *d = l->conf->directory;
  if (access(d, R_OK | X_OK) < 0)
    return src_badconf(err, "directory", "%.300s: %s", d, strerror(errno));
  if (l->conf->delete_ && access(d, W_OK) < 0)
    return src_badconf(err, "directory",
                       "%.300s: segments cannot be removed: %s (delete: false leaves them)", d,
                       strerror(errno));
  int rc = clog_names(d, &name, &n, err);
  if (rc < 0)
    return src_badconf(err, "directory", "%.300s: %s", d, strerror(errno));
  clog_names_free(name, n);
  return MR_OK;
}

/* The table as the node has it now. */
static int check_table(struct cass_log *l, struct mr_error *err)
{
  struct cass_table t = {0};
  struct clog_schema *now = NULL;
  int rc =
      cass_table_read(&l->conn, &l->name, &t, err); /* which names a keyspace that is not there */
  cass_table_done(&t);
  if (rc >= 0)
    rc = cass_log_node_schema(l, &now, err);
  if (rc >= 0)
    rc = cass_node_table(now, &l->name, l->conf->table, l->conn.where, err);
  clog_schema_free(now);
  return rc;
}

static int check_node(struct cass_log *l, struct mr_error *err)
{
  int rc = cql_conn_open(&l->conn, err);
  if (rc >= 0)
    rc = cass_node_read(&l->conn, &l->node, err);
  if (rc >= 0 && !l->node.cdc)
    return src_badconf(err, "mode", "the node has cdc_enabled: false%s", l->conn.where);
  if (rc >= 0)
    rc = check_table(l, err);
  return rc;
}

/* The same folder may have another name here: in a container, say. */
static void compare_directory(struct cass_log *l)
{
  char text[1200], *ours = realpath(l->conf->directory, NULL),
                   *theirs = realpath(l->node.directory, NULL);
  bool same = ours && (theirs ? !strcmp(ours, theirs) : !strcmp(ours, l->node.directory));
  if (*l->node.directory && !same) {
    snprintf(text, sizeof text,
             "directory is %.500s, and the node says that its cdc_raw_directory is %.500s",
             l->conf->directory, l->node.directory);
    l->host->log(l->host->ctx, MR_WARN, text);
  }
  free(ours);
  free(theirs);
}

/* Where a lane that nobody knows begins. */
static int first_place(struct cass_log *l, int state, struct cass_place *ret, struct mr_error *err)
{
  *ret = (struct cass_place){.deleted = CLOG_NEVER};
  bool scanned = l->conf->mode == CASS_SNAPSHOT_CDC; /* what is there now comes from the table */
  if (state == MR_LANE_LATER || (!scanned && l->conf->start == CASS_START_EARLIEST))
    return MR_OK;
  int rc = cass_follow_end(&l->follow, &ret->segment, &ret->position, err);
  if (ret->segment == INT64_MIN)
    ret->segment = ret->position = 0;
  return rc;
}

static int name_lane(struct cass_log *l, struct mr_error *err)
{
  const struct mr_host *h = l->host;
  struct mr_position from, start;
  struct cass_place first;
  bool known = true;
  int rc = h->lane(h->ctx, l->node.host_id, NULL, &l->lane, &from, err);
  if (rc == MR_LANE_NEW || rc == MR_LANE_LATER) {
    known = false;
    rc = first_place(l, rc, &first, err);
    start = cass_place_position(&first);
    if (rc >= 0)
      rc = h->lane(h->ctx, l->node.host_id, &start, &l->lane, &from, err);
  }
  if (rc < 0)
    return rc;
  l->has_lane = true;
  rc = cass_log_seek(l, l->lane, &from, err);
  if (rc >= 0 && known && !l->note.at.len && l->at.position &&
      !cass_ids_add(&l->note.cdc,
                    l->at.segment)) /* nothing is written down: it had better be there */
    return src_no_memory(err);
  return rc;
}

/* Another state may have gone further, and had segments removed. */
static int compare_store(const struct cass_log *l, struct mr_error *err)
{
  struct cass_place noted;
  if (l->new_store || !*l->store || !*l->note.store || !strcmp(l->store, l->note.store) ||
      !cass_place_read(&l->note.at, &noted) || cass_place_cmp(&noted, &l->at) <= 0)
    return MR_OK;
  return src_fail(
      err, MR_FATAL, "",
      "the log was read up to segment %" PRId64 " with another state (%.16s; "
      "settings.state is %.16s): start with that one, or with --new-state to go on from "
      "this one, which may write rows again",
      noted.segment, l->note.store, l->store);
}

/* From now on other readers leave the segments that this one has not read. */
static int begin_note(struct cass_log *l, struct mr_error *err)
{
  struct cass_place noted;
  int rc = compare_store(l, err);
  if (rc < 0)
    return rc;
  if (!cass_place_read(&l->note.at, &noted) || cass_place_cmp(&l->at, &noted) > 0)
    l->note.at = cass_place_position(&l->at);
  snprintf(l->note.store, sizeof l->note.store, "%s", l->store);
  rc = cass_log_note(l, err);
  if (rc >= 0)
    rc = cass_follow_list(&l->follow, err);
  return rc < 0 ? rc : cass_log_gaps(l, err);
}

static int open_history(struct cass_log *l, struct mr_error *err)
{
  int rc = l->history.folder
               ? MR_OK
               : cass_history_open(&l->history, l->conf->history, l->pipeline, l->stage, err);
  if (rc >= 0)
    rc = cass_history_node(&l->history, l->node.host_id, err);
  if (rc < 0)
    return rc;
  cass_note_done(&l->note);
  rc = cass_history_read(&l->history, &l->note, err);
  return rc < 0 ? rc : cass_log_schema_start(l, err);
}

int cass_log_start(struct cass_log *l, struct mr_error *err)
{
  bool changed;
  int rc = check_directory(l, err);
  if (rc >= 0)
    rc = cass_follow_end(&l->follow, &l->begun_segment, &l->begun_position, err);
  if (rc >= 0)
    rc = check_node(l, err);
  if (rc >= 0)
    rc = open_history(l, err);
  if (rc >= 0)
    rc = cass_log_learn(l, &changed, err);
  if (rc >= 0 && !l->has_lane)
    rc = name_lane(l, err);
  if (rc >= 0)
    rc = begin_note(l, err);
  if (rc < 0)
    return rc;
  compare_directory(l);
  l->started_ms = l->given_ms = clock_now_ms();
  l->reshape = false;
  return MR_OK;
}

/* ---------------------------------------------------------------- health */

int cass_log_check(struct cass_log *l, struct sql_buf *line, struct mr_error *err)
{
  int64_t used = 0;
  int rc = check_directory(l, err);
  if (rc >= 0)
    rc = check_node(l, err);
  if (rc >= 0)
    rc = cass_log_used(l->conf->directory, &used, err);
  if (rc < 0)
    return rc;
  int64_t cap = l->conf->cap > 0 ? l->conf->cap : l->node.cap;
  sql_buf_fmt(line, "Cassandra %s%s, data centre %s, table %s, %s holds %.1f MiB", l->conn.release,
              l->conn.where, l->conn.datacenter, l->conf->table, l->conf->directory,
              (double)used / (1 << 20));
  if (cap > 0)
    sql_buf_fmt(line, " of %.0f MiB (%d %%)", (double)cap / (1 << 20),
                (int)((double)used * 100 / (double)cap));
  bool full = cap > 0 && (double)used * 100 / (double)cap >= ALARM_PERCENT;
  sql_buf_str(line, full ? ": soon full" : ": ok");
  return MR_OK;
}
