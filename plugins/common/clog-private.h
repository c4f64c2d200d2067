/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the commit log's schema share. */
#ifndef CLOG_PRIVATE_H
#define CLOG_PRIVATE_H
#include "common/clog-decode.h"
#include "common/clog-raw.h"

/* The keyspaces' rows (struct raw_keyspace), lent. */
struct raw_list *clog_schema_raw(struct clog_schema *self);
/* Puts the tables of system_schema itself. MR_FATAL: no memory. */
int clog_system_put(struct clog_schema *self, struct mr_error *err);

/* What columns of system_schema hold, as the log and CQL have it. */
/* `kind`: enum clog_column_kind; -1: another one, or v is NULL. */
int clog_system_kind(const struct clog_bytes *v);
/* `flags` of a table, into compact and counter. */
void clog_system_flags(const struct clog_bytes *flags, struct clog_table_row *row);
/* `dropped_time` in us; CLOG_NEVER: v is NULL, or no time. */
int64_t clog_system_us(const struct clog_bytes *v);
/* A frozen list of texts, with a NULL behind the last. NULL: malformed, or no memory. */
char **clog_system_texts(const struct clog_bytes *list, size_t *ret_n);
void clog_system_texts_free(char **list); /* NULL is fine */

#endif
