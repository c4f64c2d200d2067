/* SPDX-License-Identifier: Apache-2.0 */
/* The cassandra source's `mode: cdc`: one reader of one node's commit log, and the rows of one
 * table. One object, one connection, one thread.
 *
 * follow.c segments in turn    history.c what is written down     node.c what the node says
 * schema.c the log's schema    sweep.c   removal, gaps, alarm     cdc.c  the calls of the ABI
 * change.c events into rows */
#ifndef CASSANDRA_LOG_H
#define CASSANDRA_LOG_H
#include "change.h"
#include "common/clog-decode.h"
#include "follow.h"
#include "history.h"
#include "node.h"

#define ALARM_PERCENT 60 /* of what cdc_raw may hold */

struct cass_log {
  const struct cass_conf *conf;
  const struct mr_host *host;
  struct sql_name name;
  struct cql_conn conn;
  char *pipeline, *stage;
  char store[72];
  bool new_store, bounded;
  struct cass_node node;
  struct cass_changes *changes;

  struct cass_history history;
  struct cass_note note; /* as it is on disk */
  bool note_changed;     /* but for this */
  struct cass_follow follow;

  struct clog_schema *schema;
  struct clog_decoder *decoder;
  struct sql_buf schema_text;            /* as it is on disk */
  int64_t known_segment, known_position; /* up to where the log's own changes of it are in it */
  uint64_t made;         /* when the first table of the name that is read was made (100 ns) */
  size_t versions;       /* of the wanted table, when it was last looked at */
  struct cass_ids asked; /* hashes of what was unknown and asked for in vain */

  uint32_t lane;
  bool has_lane;
  struct cass_place at, given;           /* behind what was taken in; behind what was given */
  struct cass_place acked;               /* behind what every sink holds */
  struct mr_position cut;                /* len 0: none */
  struct clog_entry entry;               /* the mutation that is read */
  bool has_entry;                        /* it is not done with */
  struct clog_events events;             /* of it, decoded; n 0: not yet */
  size_t event;                          /* the next of them */
  bool taking;                           /* rows are gathered, and to be given */
  bool reshape;                          /* the table may have other columns */
  int64_t begun_segment, begun_position; /* the end of the log, before the node was asked */
  bool behind;                           /* the node does not go by its own schema tables yet */
  int64_t reshaped_ms;                   /* since when the node is asked for them; 0: it is not */
  int64_t waited_ms;                     /* when it was last said that the node is waited for */
  int stopped; /* status of what ended the reading behind the gathered rows */
  struct mr_error stop_error;
  struct ArrowSchema columns; /* as changes gave them last; released until known */

  int64_t ticked_ms, given_ms, started_ms, noted_ms;
  int64_t event_us;      /* write time of the newest event */
  struct cass_place end; /* bounded: where it ends */
  bool has_end;
  bool alarmed;
};

/* ---- cdc.c */
/* < 0, 0, > 0 as a is before, at or after b; deletion times do not matter. */
int cass_place_cmp(const struct cass_place *a, const struct cass_place *b);

/* ---- schema.c */
/* From `history`, or from the node when nothing is written down yet. */
int cass_log_schema_start(struct cass_log *l, struct mr_error *err);
/* Applies what a mutation changes in it and writes it down. */
int cass_log_schema_apply(struct cass_log *l, struct mr_error *err);
/* Asks the node for what clog_decode did not know. MR_OK: it may be known now; MR_IDLE: it is not,
 * and the mutation is none of the wanted table; MR_REJECT: it is. */
int cass_log_schema_ask(struct cass_log *l, struct mr_error *err);

/* Is it the wanted table, and not one of its name that was dropped before the first start? */
bool cass_log_schema_ours(const struct cass_log *l, const struct clog_table *t);
/* The newest version of the wanted table that the log has told; NULL: none. */
const struct clog_table *cass_log_schema_table(const struct cass_log *l);

/* ---- sweep.c */
/* Removes what every reader has. */
int cass_log_sweep(struct cass_log *l, struct mr_error *err);
/* What is done once a second: the directory's size, removal, metrics. */
int cass_log_tick(struct cass_log *l, struct mr_error *err);
/* Looks (in the last listing) for segments that have gone before they were read. MR_FATAL: some
 * have, and on_gap: fail. */
int cass_log_gaps(struct cass_log *l, struct mr_error *err);
/* Writes down how far every sink has it. */
int cass_log_note(struct cass_log *l, struct mr_error *err);
/* Bytes of the directory. MR_RETRY: it cannot be read. */
int cass_log_used(const char *directory, int64_t *ret, struct mr_error *err);

/* ---- columns.c */
/* The schema of the table's keyspace as the node has it now. *ret is freed by the caller, also
 * after a failure. */
int cass_log_node_schema(struct cass_log *l, struct clog_schema **ret, struct mr_error *err);
/* Learns the table's columns from the node. MR_IDLE: it is not as far as its log. */
int cass_log_learn(struct cass_log *l, bool *ret_changed, struct mr_error *err);
/* The table may have other columns. MR_OK: it has none that matter; MR_SCHEMA: it has; MR_IDLE: to
 * be asked again. */
int cass_log_reshape(struct cass_log *l, struct mr_error *err);

/* ---- begin.c */
int cass_log_start(struct cass_log *l, struct mr_error *err);
/* Asks the node and looks at the directory: what `check` says. */
int cass_log_check(struct cass_log *l, struct sql_buf *line, struct mr_error *err);

/* ---- cdc.c */
int cass_log_open(const struct mr_open *o, struct cass_log **ret, struct mr_error *err);
void cass_log_close(struct cass_log *l);
int cass_log_schema(struct cass_log *l, struct ArrowSchema *give, struct mr_error *err);
int cass_log_read(struct cass_log *l, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
                  struct mr_batch *give, struct mr_error *err);
int cass_log_cut(struct cass_log *l, uint32_t lane, const struct mr_position *at);
int cass_log_seek(struct cass_log *l, uint32_t lane, const struct mr_position *at,
                  struct mr_error *err);
int cass_log_ack(struct cass_log *l, const struct mr_unit *lend, struct mr_error *err);
/* What has to be done while nothing is read. */
int cass_log_idle(struct cass_log *l, struct mr_error *err);

#endif
