/* SPDX-License-Identifier: Apache-2.0 */
/* The schema of a live node, for those who look at its log. */
#ifndef COMMITLOG_NODE_H
#define COMMITLOG_NODE_H
#include "common/clog-schema.h"

/* Puts the tables of every keyspace that HOST[:PORT] knows. user: NULL where none is asked for; its
 * password is the environment's CASSANDRA_PASSWORD. Statuses of cql_conn_open. */
int node_schema(struct clog_schema *schema, const char *host, const char *user,
                struct mr_error *err);

#endif
