/* SPDX-License-Identifier: Apache-2.0 */
/* Values of Cassandra (native protocol v4 section 6, the same bytes in its commit log) into
 * columns, strictly: what does not fit exactly is refused, nothing is rounded, cut or wrapped. Any
 * thread. */
#ifndef CQL_VALUE_H
#define CQL_VALUE_H
#include "common/cql-type.h"

/* Appends the value of n bytes at p to c, a column of type s, for which cql_type_fits. n < 0: null.
 * Zero bytes of a type that has no such value (an "empty" int) are null, as in Cassandra's drivers.
 *
 *   tinyint … bigint, counter, varint   any integer, decimal or text column
 *   decimal                             decimal, text
 *   time                                time (whole microseconds), int64 (nanoseconds)
 *   timestamp                           timestamp, int64 (milliseconds)
 *   uuid, timeuuid, inet                uuid (not inet), text
 *   duration                            struct<months, days, nanoseconds>, text (ISO 8601)
 *   collections, tuples, vectors        list, map, struct; fields of user types by name
 *
 * MR_REJECT: *ret_why says why (static text) and c is as it was. MR_FATAL: no memory. */
int cql_value(struct mr_column *c, const struct cql_type *t, const struct ArrowSchema *s,
              const uint8_t *p, int64_t n, const char **ret_why);

/* A counter's value from its commit log form (header and shards): the sum. false: malformed. */
bool cql_counter(const uint8_t *p, int64_t n, int64_t *ret);

#endif
