/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the commit log's schema share. */
#ifndef CLOG_PRIVATE_H
#define CLOG_PRIVATE_H
#include "common/clog-raw.h"

/* The keyspaces' rows (struct raw_keyspace), lent. */
struct raw_list *clog_schema_raw(struct clog_schema *self);
/* Puts the tables of system_schema itself. MR_FATAL: no memory. */
int clog_system_put(struct clog_schema *self, struct mr_error *err);

#endif
