/* SPDX-License-Identifier: Apache-2.0 */
/* Values of Cassandra as JSON. Any thread. */
#ifndef VALUE_H
#define VALUE_H
#include "common/clog-decode.h"

/* Appends a value of this type: numbers with all their digits (`time` as nanoseconds since
 * midnight), uuid, inet, date, timestamp, duration and bytes (in base64) as strings, collections as
 * arrays and objects. What is no such value: {"unreadable": why, "bytes": "\\x…"}. */
void value_json(struct sql_buf *out, const struct cql_type *t, struct clog_bytes v);
/* Appends what an element of a collection or user type is found by: the key of a map, the element
 * of a set, the time UUID of a list's place, the name of a field. */
void value_path(struct sql_buf *out, const struct cql_type *t, struct clog_bytes path);
/* Appends the element's value. */
void value_element(struct sql_buf *out, const struct cql_type *t, struct clog_bytes path,
                   struct clog_bytes v);

#endif
