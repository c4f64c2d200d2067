/* SPDX-License-Identifier: Apache-2.0 */
#include "node.h"
#include "common/src-error.h"

/* ---------------------------------------------------------------- settings */

struct unit {
  const char *name;
  int64_t factor;
};

static int64_t scaled(const char *text, const struct unit *units)
{
  int64_t v = 0, out;
  const char *p = text;
  for (; *p >= '0' && *p <= '9'; p++)
    if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *p - '0', &v))
      return 0;
  for (; p != text && units->name; units++)
    if (!strcmp(p, units->name))
      return __builtin_mul_overflow(v, units->factor, &out) ? 0 : out;
  return 0;
}

int64_t cass_node_ms(const char *text)
{
  static const struct unit units[] = {{"", 1},      {"ms", 1},      {"s", 1000},
                                      {"m", 60000}, {"h", 3600000}, {"d", 86400000},
                                      {"us", 0},    {"ns", 0},      {0}};
  return scaled(text, units);
}

int64_t cass_node_bytes(const char *text)
{
  static const struct unit units[] = {{"", 1 << 20},    {"B", 1},         {"KiB", 1 << 10},
                                      {"MiB", 1 << 20}, {"GiB", 1 << 30}, {0}};
  return scaled(text, units);
}

static void take_setting(struct cass_node *n, const char *name, const char *value)
{
  if (!strcmp(name, "cdc_enabled"))
    n->cdc = !strcmp(value, "true");
  else if (!strcmp(name, "cdc_block_writes"))
    n->blocks = strcmp(value, "false") != 0;
  else if (!strcmp(name, "cdc_raw_directory"))
    snprintf(n->directory, sizeof n->directory, "%s", value);
  else if (!strcmp(name, "cdc_total_space") || !strcmp(name, "cdc_total_space_in_mb"))
    n->cap = cass_node_bytes(value);
  else if (!strcmp(name, "commitlog_sync_period") || !strcmp(name, "commitlog_sync_period_in_ms"))
    n->sync_period_ms = cass_node_ms(value);
  else if (!strcmp(name, "commitlog_compression") ||
           !strcmp(name, "commitlog_compression.class_name"))
    n->late |= *value && strcmp(value, "null") != 0;
  else if (!strcmp(name, "commitlog_disk_access_mode"))
    n->late |= !strcmp(value, "direct");
}

static void copy_cell(struct cql_read *r, char *buf, size_t size)
{
  int64_t n;
  const uint8_t *p = cql_read_value(r, &n);
  snprintf(buf, size, "%.*s", p ? (int)n : 0, p ? (const char *)p : "");
}

static int read_settings(struct cql_conn *c, struct cass_node *n, struct mr_error *err)
{
  struct cql_rows rows;
  char name[128], value[512];
  int rc = cql_conn_query(c, "SELECT name, value FROM system_views.settings", NULL, 0, &rows, err);
  if (rc >= 0 && rows.columns.n != 2)
    rc = src_fail(err, MR_FATAL, "", "malformed answer of Cassandra%s", c->where);
  cql_columns_done(&rows.columns);
  for (int32_t i = 0; rc >= 0 && i < rows.n; i++) {
    copy_cell(&rows.cells, name, sizeof name);
    copy_cell(&rows.cells, value, sizeof value);
    take_setting(n, name, value);
  }
  return rc;
}

static int read_host_id(struct cql_conn *c, struct cass_node *n, struct mr_error *err)
{
  struct cql_rows rows;
  int64_t len = -1;
  int rc = cql_conn_query(c, "SELECT host_id FROM system.local", NULL, 0, &rows, err);
  cql_columns_done(&rows.columns);
  if (rc < 0)
    return rc;
  const uint8_t *id = rows.n == 1 ? cql_read_value(&rows.cells, &len) : NULL;
  if (!id || len != 16)
    return src_fail(err, MR_FATAL, "", "the node has no host id%s", c->where);
  char *out = n->host_id;
  for (int i = 0; i < 16; i++)
    out += sprintf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
  return MR_OK;
}

int cass_node_read(struct cql_conn *c, struct cass_node *ret, struct mr_error *err)
{
  struct cass_node n = {.blocks = true};
  int rc = read_host_id(c, &n, err);
  if (rc >= 0)
    rc = read_settings(c, &n, err);
  if (rc >= 0)
    *ret = n;
  return rc;
}

/* ---------------------------------------------------------------- the table */

const struct clog_table *cass_node_find(const struct clog_schema *schema,
                                        const struct sql_name *name)
{
  const struct clog_table *t, *found = NULL;
  for (size_t i = 0; (t = clog_schema_nth(schema, i)); i++) {
    bool newer =
        !found || t->from_segment > found->from_segment ||
        (t->from_segment == found->from_segment && t->from_position >= found->from_position);
    if (newer && !strcmp(t->keyspace, name->schema) && !strcmp(t->name, name->table))
      found = t;
  }
  return found;
}

int cass_node_table(const struct clog_schema *schema, const struct sql_name *name,
                    const char *table, const char *where, struct mr_error *err)
{
  const struct clog_table *t = cass_node_find(schema, name);
  if (!t)
    return src_badconf(err, "table", "there is no table %.200s%.100s", table, where);
  if (t->counter)
    return src_badconf(err, "table",
                       "%.200s has counters: the log holds this node's own part of them and not "
                       "what was added",
                       table);
  if (t->compact)
    return src_badconf(err, "table",
                       "%.200s has COMPACT STORAGE: its rows cannot be told from the log (ALTER "
                       "TABLE … DROP COMPACT STORAGE)",
                       table);
  if (!t->cdc)
    return src_badconf(err, "table",
                       "%.200s is not captured: ALTER TABLE … WITH cdc = true (what was written "
                       "before is not in the log)",
                       table);
  return MR_OK;
}

uint64_t cass_node_made(const uint8_t id[16])
{
  return (uint64_t)(cql_be16(id + 6) & 0xfff) << 48 | (uint64_t)cql_be16(id + 4) << 32 |
         cql_be32(id);
}

static const struct clog_column *column_of(const struct clog_table *t, const char *name)
{
  for (uint32_t i = 0; i < t->kind_start[CLOG_COLUMN_KINDS]; i++)
    if (!strcmp(t->column[i].name, name))
      return &t->column[i];
  return NULL;
}

/* theirs: the node's column of this name, NULL: it has none, not even a dropped one. */
static enum cass_agree column_agrees(const struct clog_column *logged,
                                     const struct clog_column *theirs)
{
  bool is_key = logged->kind == CLOG_PARTITION_KEY || logged->kind == CLOG_CLUSTERING;
  if (is_key) /* can only have been renamed */
    return CASS_SAME;
  if (!theirs)
    return logged->gone ? CASS_SAME : CASS_BEHIND;
  if (theirs->dropped > logged->dropped) /* dropped since, and perhaps added again */
    return CASS_SAME;
  if (logged->gone != theirs->gone)
    return logged->gone ? CASS_SLOW : CASS_BEHIND;
  return logged->gone || cql_type_covers(&theirs->type, &logged->type) ? CASS_SAME : CASS_BEHIND;
}

enum cass_agree cass_node_agrees(const struct clog_table *logged, const struct clog_table *node)
{
  enum cass_agree all = CASS_SAME;
  uint64_t made = cass_node_made(logged->id), theirs = cass_node_made(node->id);
  if (made != theirs)
    return made < theirs ? CASS_SAME : CASS_BEHIND;
  for (uint32_t i = 0; i < logged->kind_start[CLOG_COLUMN_KINDS]; i++) {
    enum cass_agree one =
        column_agrees(&logged->column[i], column_of(node, logged->column[i].name));
    all = one > all ? one : all;
  }
  return all;
}
