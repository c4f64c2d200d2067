/* SPDX-License-Identifier: Apache-2.0 */
/* The schema of a commit log as a live node tells it over CQL (Apache Cassandra 4.0 to 5.0:
 * system_schema). One thread. */
#ifndef CLOG_NODE_H
#define CLOG_NODE_H
#include "common/clog-schema.h"
#include "common/cql-conn.h"

/* Puts all tables, views, columns and user types of a keyspace as they are now, each with the time
 * it was written; nothing is in force before clog_schema_commit. Statuses of cql_conn_query;
 * MR_FATAL: no memory. */
int clog_node_read(struct clog_schema *schema, struct cql_conn *c, const char *keyspace,
                   struct mr_error *err);

#endif
