/* SPDX-License-Identifier: Apache-2.0 */
/* mode: cdc: the columns that rows have. The log says when they change, and the node, which is read
 * back from, must have followed it. */
#include "common/clock.h"
#include "common/clog-node.h"
#include "common/src-error.h"
#include "log.h"

#define SLOW_MS 10000         /* how long a node may keep a column that its log drops */
#define SETTLE_MS 60000       /* how long it may fail while its schema changes */
#define WAITING_MS 30000      /* between two lines of the log that the node is waited for */
#define SERVER_ERROR "0x0000" /* of a node that answers while its schema changes */
#define INVALID "0x2200"

int cass_log_node_schema(struct cass_log *l, struct clog_schema **ret, struct mr_error *err)
{
  *ret = clog_schema_new(NULL, NULL);
  if (!*ret)
    return src_no_memory(err);
  int rc = clog_node_read(*ret, &l->conn, l->name.schema, err);
  return rc < 0 ? rc : clog_schema_commit(*ret, 0, 0, err);
}

/* A node writes a change of its schema to the log a moment before it goes by it. */
static bool is_early(const struct cass_log *l, int64_t limit_ms)
{
  return l->reshape && clock_now_ms() - l->reshaped_ms < limit_ms;
}

/* The change is written down, and not in force yet. */
static bool is_unsettled(const struct mr_error *err)
{
  return !strcmp(err->code, INVALID) || !strcmp(err->code, SERVER_ERROR);
}

static void say_waiting(struct cass_log *l)
{
  int64_t now = clock_now_ms();
  if (now - l->reshaped_ms < SLOW_MS || now - l->waited_ms < WAITING_MS)
    return;
  l->waited_ms = now;
  src_log(l->host, MR_WARN, "table %.200s: waiting for the node to have the columns of its log%s",
          l->conf->table, l->conn.where);
}

/* What the log said before the start the node had done by then, and it may have gone on: to a table
 * of the same name, which tells nothing of what became of this one. */
static bool is_old(const struct cass_log *l, const struct clog_table *t)
{
  return t->from_segment < l->begun_segment ||
         (t->from_segment == l->begun_segment && t->from_position <= l->begun_position);
}

/* Has the node done to the table what its log says? MR_IDLE: not yet. node: its schema. */
static int compare_schema(struct cass_log *l, const struct clog_schema *node)
{
  const struct clog_table *logged = cass_log_schema_table(l);
  const struct clog_table *theirs = cass_node_find(node, &l->name);
  enum cass_agree how = logged && theirs ? cass_node_agrees(logged, theirs) : CASS_SAME;
  if (how == CASS_BEHIND && is_old(l, logged))
    how = CASS_SLOW;
  if (how == CASS_SAME || (how == CASS_SLOW && !is_early(l, SLOW_MS)))
    return MR_OK;
  say_waiting(l);
  return MR_IDLE;
}

/* What the node goes by may be behind its own schema tables. */
static bool is_behind(const struct cass_log *l, const struct clog_schema *node)
{
  const struct clog_table *theirs = cass_node_find(node, &l->name);
  return theirs && !cass_changes_knows(l->changes, theirs);
}

static int learn_columns(struct cass_log *l, const struct clog_schema *node, bool *ret_changed,
                         struct mr_error *err)
{
  struct cass_table t = {0};
  int rc = cass_table_read(&l->conn, &l->name, &t, err);
  if (rc >= 0 && node)
    rc = compare_schema(l, node);
  if (rc == MR_OK)
    rc = cass_changes_table(l->changes, &t, ret_changed, err);
  cass_table_done(&t);
  if (rc == MR_OK)
    l->behind = node && is_behind(l, node);
  return rc;
}

int cass_log_learn(struct cass_log *l, bool *ret_changed, struct mr_error *err)
{
  struct clog_schema *node = NULL;
  struct ArrowSchema columns;
  int rc = cql_conn_open(&l->conn, err);
  if (rc >= 0 && l->reshape)
    rc = cass_log_node_schema(l, &node, err);
  if (rc >= 0)
    rc = learn_columns(l, node, ret_changed, err);
  clog_schema_free(node);
  if (rc < 0 && is_early(l, SETTLE_MS) && is_unsettled(err)) {
    *err = (struct mr_error){.size = err->size, .row = -1};
    rc = MR_IDLE;
  }
  if (rc == MR_OK)
    rc = cass_changes_schema(l->changes, &columns, err);
  if (rc != MR_OK)
    return rc;
  mr_schema_release(&l->columns);
  mr_schema_move(&columns, &l->columns);
  return MR_OK;
}

int cass_log_reshape(struct cass_log *l, struct mr_error *err)
{
  bool changed = false;
  if (!l->reshaped_ms)
    l->reshaped_ms = clock_now_ms();
  int rc = cass_log_learn(l, &changed, err);
  if (rc == MR_BADCONF && !strcmp(err->option, "table")) { /* dropped: what the log has is given */
    src_log(l->host, MR_WARN, "%s", err->msg);
    l->behind = false;
    rc = MR_OK;
  }
  if (rc != MR_OK)
    return rc;
  if (!changed && l->behind) {
    say_waiting(l);
    return MR_IDLE;
  }
  l->reshape = l->behind;
  if (!l->reshape)
    l->reshaped_ms = 0;
  return changed ? MR_SCHEMA : MR_OK;
}
