/* SPDX-License-Identifier: Apache-2.0 */
/* What a node says about itself and about change data capture. One thread. */
#ifndef CASSANDRA_NODE_H
#define CASSANDRA_NODE_H
#include "cassandra.h"
#include "common/clog-schema.h"

struct cass_node {
  char host_id[40];       /* UUID */
  bool cdc;               /* cdc_enabled */
  bool blocks;            /* writes fail when cdc_raw is full; else the node deletes segments */
  char directory[512];    /* cdc_raw_directory; "": not said */
  int64_t cap;            /* bytes of cdc_raw; 0: not said */
  int64_t sync_period_ms; /* of the commit log; 0: not said, or it does not wait */
  bool late;              /* compressed or direct: nothing is in the file before it is synced */
};
/* Asks over an open connection. Statuses of cql_conn_query. */
int cass_node_read(struct cql_conn *c, struct cass_node *ret, struct mr_error *err);
/* MR_BADCONF: this table's changes cannot be had faithfully, or are not in the log; err says why.
 * schema: with the table's keyspace. */
int cass_node_table(const struct clog_schema *schema, const struct sql_name *name,
                    const char *table, const char *where, struct mr_error *err);
/* The newest version of the table of this name; NULL: none. */
const struct clog_table *cass_node_find(const struct clog_schema *schema,
                                        const struct sql_name *name);
enum cass_agree {
  CASS_SAME,  /* the node has what the log says, or has come further */
  CASS_SLOW,  /* it still has a column that the log drops: nothing is lost by going on */
  CASS_BEHIND /* it has not yet what the log says: values would be lost */
};
/* How a node's own table (as cass_node_find has it) stands to what its log says of it. */
enum cass_agree cass_node_agrees(const struct clog_table *logged, const struct clog_table *node);
/* When a table was made, as its id (a UUID of version 1) tells: only to be compared. */
uint64_t cass_node_made(const uint8_t id[16]);
/* "500ms", "10s", "4096MiB", "4096" (MiB): milliseconds, bytes; 0: not understood. */
int64_t cass_node_ms(const char *text);
int64_t cass_node_bytes(const char *text);

#endif
