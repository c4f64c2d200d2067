/* SPDX-License-Identifier: Apache-2.0 */
/* system_schema as the commit log itself has it: each schema statement is a mutation of these
 * tables, before the first change that needs it. Any thread. */
#ifndef CLOG_SYSTEM_H
#define CLOG_SYSTEM_H
#include "common/clog-decode.h"

/* Applies the events of system_schema among those of one mutation, and puts what they make in force
 * behind it. MR_REJECT: a row that does not fit, or a type that cannot be read: err names it. */
int clog_system_apply(struct clog_schema *schema, const struct clog_events *events,
                      const struct clog_entry *e, struct mr_error *err);

#endif
