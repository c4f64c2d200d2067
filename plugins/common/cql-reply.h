/* SPDX-License-Identifier: Apache-2.0 */
/* What is in the answers of Cassandra's native protocol v4 and v5 (sections 4.2 and 9 of the
 * specifications), from lent bytes; no socket. Any thread. */
#ifndef CQL_REPLY_H
#define CQL_REPLY_H
#include "common/cql-frame.h"
#include "common/cql-type.h"

enum cql_result {
  CQL_VOID = 1,
  CQL_ROWS = 2,
  CQL_SET_KEYSPACE = 3,
  CQL_PREPARED = 4,
  CQL_SCHEMA_CHANGE = 5
};
#define CQL_UNPREPARED 0x2500
#define CQL_PROTOCOL_ERROR 0x000a
#define CQL_COLUMNS_MAX 65535

struct cql_column {
  char *name;
  struct cql_type type;
};
struct cql_columns {
  struct cql_column *item;
  int32_t n;
};
void cql_columns_done(struct cql_columns *c);
/* Same names and types in the same order. */
bool cql_columns_equal(const struct cql_columns *a, const struct cql_columns *b);

/* A page of rows. */
struct cql_rows {
  struct cql_columns columns;
  int32_t n;             /* rows */
  struct cql_read cells; /* n * columns.n of cql_read_value, row by row; lent */
  const uint8_t *paging; /* lent; NULL: this was the last page */
  size_t paging_len;
};
struct cql_prepared {
  uint8_t *id, *metadata_id; /* malloc'd; metadata_id: v5 */
  size_t id_len, metadata_id_len;
  struct cql_columns bind, columns;
};
void cql_prepared_done(struct cql_prepared *p);

/* Each reads a RESULT of its kind into *ret (overwritten; free it also after a failure). MR_FATAL:
 * another kind, malformed, a type that is not known (the column is named), or no memory. */
int cql_reply_rows(const struct cql_frame *f, struct cql_rows *ret, struct mr_error *err);
int cql_reply_prepared(const struct cql_frame *f, struct cql_prepared *ret, struct mr_error *err);
/* The kind of a RESULT, 0 for another frame. */
int cql_reply_kind(const struct cql_frame *f);

/* An ERROR: fills err with its code ("0x2200") and message and returns the status: MR_RETRY for
 * what may go better later (0x1000, 0x1001, 0x1002, 0x1200, 0x1300, and protocol errors),
 * MR_BADCONF for what the server finds wrong in the question or in who asks, MR_FATAL else.
 * *ret_code: the number. */
int cql_reply_error(const struct cql_frame *f, int32_t *ret_code, struct mr_error *err);

enum cql_event_kind { CQL_TOPOLOGY_CHANGE, CQL_STATUS_CHANGE, CQL_SCHEMA_EVENT };
struct cql_event {
  enum cql_event_kind kind;
  char change[16];               /* UP, DOWN, NEW_NODE, CREATED, UPDATED, DROPPED, … */
  char target[16];               /* schema: KEYSPACE, TABLE, TYPE, … */
  char keyspace[128], name[128]; /* schema; others: keyspace is the node's address */
};
/* An EVENT, or a RESULT of kind CQL_SCHEMA_CHANGE. false: malformed or of an unknown kind. */
bool cql_reply_event(const struct cql_frame *f, struct cql_event *ret);
/* Is `value` among those of `key` in a SUPPORTED? */
bool cql_reply_supports(const struct cql_frame *f, const char *key, const char *value);

#endif
