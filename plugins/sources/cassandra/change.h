/* SPDX-License-Identifier: Apache-2.0 */
/* Events of the commit log into rows, for the cassandra source's modes cdc and snapshot+cdc. One
 * object, one thread.
 *
 * A row has the columns of the table (`rows: static`: the key and the static ones), `_op`, with
 * `partial: keep` `_set`, `_range` where there are clustering columns, and those of `want`. What
 * the log alone does not tell is read from the node when rows are taken.
 *
 * THE TIME OF A PARTITION  The newest deletion and the newest change of a collection that were seen
 * of it. An event that is newer is told as it stands. One that is not is in doubt: what the log
 * says may be dead already, and what it deletes may stand in the sink with a newer time. Then the
 * rows it touches are read from the node, and given with times above the partition's, which moves
 * on to them: whatever comes later wins over what came before. With `partial: read_back` every
 * event counts, as a row is given whole each time. */
#ifndef CASSANDRA_CHANGE_H
#define CASSANDRA_CHANGE_H
#include "cassandra.h"
#include "common/clog-decode.h"

enum cass_rows { CASS_ROWS_REGULAR = 0, CASS_ROWS_STATIC };          /* cass_conf.rows */
enum cass_partial { CASS_PARTIAL_KEEP = 0, CASS_PARTIAL_READ_BACK }; /* cass_conf.partial */

/* Where an event stands in the log. deleted: the time (us) behind it, see cass_changes_deleted. */
struct cass_place {
  int64_t segment, position;
  uint32_t event; /* of the mutation, from 0 */
  uint32_t lane;  /* as host->lane named it: for what is refused */
  int64_t deleted;
};
/* The position behind an event is that of the next one, cass_place_position of it: big-endian
 * segment, position, event, then `deleted`. Ordered as the log is. The lane is not part of it. */
struct mr_position cass_place_position(const struct cass_place *at);
/* false: no position of a commit log. */
bool cass_place_read(const struct mr_position *p, struct cass_place *ret);

struct cass_changes_open {
  const struct cass_conf *conf;
  const struct mr_host *host;
  const struct mr_list *want; /* system columns that something names */
  struct cql_conn *conn;      /* lent for the object's life: connected by it where it has to read */
  const struct sql_name *name; /* lent for the object's life */
};
struct cass_changes;
/* MR_BADCONF: a wanted system column that there is not. Nothing is asked of the node. */
int cass_changes_new(const struct cass_changes_open *o, struct cass_changes **ret,
                     struct mr_error *err);
void cass_changes_free(struct cass_changes *self); /* NULL is fine */

/* Learns the table (lent for the call) as the node has it now, prepares how its rows are read, and
 * knows the schema from then on. To be called first of all, and again after the table changed, with
 * everything taken. MR_RETRY: no node answers, or it does not go by its own schema tables yet;
 * MR_BADCONF: declared columns that do not fit. */
int cass_changes_table(struct cass_changes *self, const struct cass_table *t, bool *ret_changed,
                       struct mr_error *err);
/* Does what was learnt have all fields of the columns' user types that this version of the table
 * has? A node writes a change of its schema to the log a moment before it goes by it. */
bool cass_changes_knows(const struct cass_changes *self, const struct clog_table *t);
int cass_changes_schema(const struct cass_changes *self, struct ArrowSchema *give,
                        struct mr_error *err);

/* Takes an event of the table, its bytes copied. Events of the other stream (static or not) are
 * left out here. MR_FATAL: no memory. */
int cass_changes_add(struct cass_changes *self, const struct clog_event *e,
                     const struct cass_place *at, struct mr_error *err);
/* Rows and bytes that wait to be taken, about. */
int64_t cass_changes_rows(const struct cass_changes *self);
int64_t cass_changes_bytes(const struct cass_changes *self);
/* Reads what has to be read and gives the rows of all events so far; what does not fit is refused
 * (host->reject) now. MR_IDLE: no rows. MR_RETRY: the same call again, and nothing else but a reset
 * or free before it. */
int cass_changes_take(struct cass_changes *self, struct ArrowArray *give, struct mr_error *err);
/* Forgets what was not taken, and the partitions' times: all of them are `floor` now
 * (CLOG_NEVER: none). */
void cass_changes_reset(struct cass_changes *self, int64_t floor);
/* The newest time of any partition; CLOG_NEVER: none. A reader that begins behind here has it as
 * its floor. */
int64_t cass_changes_deleted(const struct cass_changes *self);

/* ---- rows of a scan, in snapshot+cdc */

/* What the scan selects of the table for one row, n items that are comma separated CQL; lent until
 * the next cass_changes_table. The first `key` are the partition key's columns, the next
 * `clustering` the clustering columns. */
struct cass_scan_items {
  const char *cql;
  int32_t n, key, clustering;
};
struct cass_scan_items cass_changes_scan(const struct cass_changes *self);
/* Adds a row of such a SELECT: cell and types are of its n items, lent. It becomes rows by the
 * columns' write times, to be taken as those of events. lane, at: where it stands, for what is
 * refused. */
int cass_changes_scanned(struct cass_changes *self, const struct cql_column *types,
                         const struct cass_cell *cell, uint32_t lane, const struct mr_position *at,
                         struct mr_error *err);
#endif
