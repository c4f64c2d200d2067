/* SPDX-License-Identifier: Apache-2.0 */
/* What a MariaDB or MySQL server has, as the `discover` and `check` of plugins give it. */
#ifndef MARIA_DISCOVER_H
#define MARIA_DISCOVER_H
#include "common/maria-conn.h"

/* Appends "MariaDB 10.11.6" or "MySQL 8.0.36"; connected. */
void maria_describe_server(const struct maria_conn *c, struct sql_buf *out);
/* struct mr_plugin's discover: connects, then gives a line for each table, or for each column of
 * one. */
int maria_discover(struct maria_conn *c, const char *table, mr_put_fn *put, void *out,
                   struct mr_error *err);

#endif
