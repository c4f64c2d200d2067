/* SPDX-License-Identifier: Apache-2.0 */
/* A schema as CQL text: what `DESCRIBE KEYSPACE k WITH INTERNALS` prints (with internals, as
 * tables are found by their ids). Any thread. */
#ifndef CLOG_CQL_H
#define CLOG_CQL_H
#include "common/clog-schema.h"

/* Reads CREATE TYPE, CREATE TABLE, ALTER TABLE … ADD and DROP … USING TIMESTAMP; other statements
 * are passed over. A comment `-- from segment S position P` puts what follows in force from there
 * on. MR_REJECT: err has the line; what stood before it is in the schema. */
int clog_cql_read(struct clog_schema *schema, const char *text, size_t n, struct mr_error *err);

/* Appends all tables with all their versions, as clog_cql_read takes them. */
void clog_cql_write(const struct clog_schema *schema, struct sql_buf *out);

#endif
