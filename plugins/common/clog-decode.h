/* SPDX-License-Identifier: Apache-2.0 */
/* Mutations of the commit log into row changes (Apache Cassandra 4.0 to 5.0: Mutation,
 * PartitionUpdate, UnfilteredSerializer). One thread, one owner.
 *
 * A mutation is decoded whole before any change of it is given, and its bytes must be used up
 * exactly: a schema that does not fit cannot make a wrong change. Nothing is allocated for a
 * mutation once the decoder has seen one as large. */
#ifndef CLOG_DECODE_H
#define CLOG_DECODE_H
#include "common/clog-schema.h"
#include "common/clog-segment.h"

/* A value as Cassandra stores it (cql-value.h reads it). len < 0: none, or null. */
struct clog_bytes {
  const uint8_t *p;
  int32_t len; /* bytes */
};

enum clog_cell_op {
  CLOG_SET,   /* the column, or the element at `path`, has this value */
  CLOG_UNSET, /* it was deleted: null, or the element taken out */
  CLOG_CLEAR  /* every element of a collection or user type written up to `timestamp` is gone: an
                 assignment of the whole is a clear and sets */
};
struct clog_cell {
  const struct clog_column *column;
  enum clog_cell_op op;
  bool dropped;           /* written before its column was dropped: void */
  int32_t ttl;            /* seconds; 0: none */
  struct clog_bytes path; /* of an element: list: time UUID, set: the element, map: the key, user
                             type: two bytes, the field's index */
  struct clog_bytes value;
  int64_t timestamp; /* us, as the client or coordinator gave it */
  int64_t expires;   /* s since 1970; 0: does not */
};

enum clog_op {
  CLOG_INSERT, /* the row exists (INSERT), with these cells */
  CLOG_UPDATE, /* these cells; the row exists while one of them has a value */
  CLOG_DELETE_ROW,
  CLOG_DELETE_RANGE, /* rows of the partition between two bounds */
  CLOG_DELETE_PARTITION
};
/* A prefix of the clustering; 0 values: open. Start and end are in the order in which the table
 * stores its rows: of a descending column the start is the greater one. */
struct clog_bound {
  const struct clog_bytes *value;
  uint32_t n;
  bool inclusive;
};
struct clog_event {
  enum clog_op op;
  bool is_static; /* CLOG_UPDATE of the partition's static columns */
  const struct clog_table *table;
  const struct clog_bytes *key;        /* the partition key's columns */
  const struct clog_bytes *clustering; /* n_clustering; 0 of static rows, ranges, partitions */
  uint32_t n_clustering, n_cells;
  const struct clog_cell *cell; /* absent columns were not written; a column of many elements has
                                   several */
  int64_t timestamp;            /* us: of the deletion, of the INSERT, or the newest of the cells */
  int32_t ttl;                  /* s, of the INSERT; 0: none */
  int64_t expires;              /* s since 1970, of the INSERT; 0: does not */
  struct clog_bound start, end; /* CLOG_DELETE_RANGE */
};

struct clog_events {
  const struct clog_event *event;
  size_t n;
  bool system_schema; /* rows of system_schema: clog_system_apply takes them */
};

struct clog_decoder;
/* schema is lent until the decoder is freed. NULL: no memory. */
struct clog_decoder *clog_decoder_new(struct clog_schema *schema);
void clog_decoder_free(struct clog_decoder *self); /* NULL is fine */

/* Decodes one mutation of a segment of this version. The events (of wanted tables and of
 * system_schema) are lent until the next call, their bytes as long as the entry's. MR_OK; MR_IDLE:
 * a mutation of nothing that is wanted; MR_SCHEMA: a table or column is unknown
 * (clog_decoder_unknown): once the schema knows it the call may be made again; MR_REJECT: the bytes
 * are not such a mutation, err has the segment and position; MR_FATAL: no memory. */
int clog_decode(struct clog_decoder *self, const struct clog_entry *e, int32_t version,
                struct clog_events *ret, struct mr_error *err);

/* After MR_SCHEMA: which table, and the column or NULL. Lent until the next call. */
struct clog_unknown {
  const uint8_t *id;
  const struct clog_table *table; /* NULL: the table itself is unknown */
  const uint8_t *column;
  uint32_t column_len;
};
const struct clog_unknown *clog_decoder_unknown(const struct clog_decoder *self);

#endif
