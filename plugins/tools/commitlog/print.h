/* SPDX-License-Identifier: Apache-2.0 */
/* Row changes as JSON lines. Any thread. */
#ifndef PRINT_H
#define PRINT_H
#include "common/clog-decode.h"

/* Appends one line. */
void print_event(struct sql_buf *out, const struct clog_event *e, const struct clog_entry *entry);
/* A mutation of a table, or with a column, that the schema does not have. */
void print_unknown(struct sql_buf *out, const struct clog_unknown *u,
                   const struct clog_entry *entry);

#endif
