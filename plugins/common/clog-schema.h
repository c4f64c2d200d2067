/* SPDX-License-Identifier: Apache-2.0 */
/* The schema that a commit log's mutations are read with: tables by id, each with the versions that
 * it had, because the log names columns but not their types. It is fed with rows of system_schema,
 * from mutations of the log itself (clog-system.h), from CQL text (clog-cql.h) or from a node.
 *
 * A version is in force from a place in the log (segment id and position) on; what came before the
 * first is read with the first. One thread, one owner. */
#ifndef CLOG_SCHEMA_H
#define CLOG_SCHEMA_H
#include "common/cql-type.h"

#define CLOG_NEVER INT64_MIN /* no timestamp */

enum clog_column_kind {
  CLOG_PARTITION_KEY,
  CLOG_CLUSTERING,
  CLOG_STATIC,
  CLOG_REGULAR,
  CLOG_COLUMN_KINDS
};

struct clog_column {
  char *name;
  uint32_t name_len;
  enum clog_column_kind kind;
  bool descending, multi; /* multi: each element is a cell of its own */
  bool gone;              /* dropped and not added again */
  int32_t fixed;          /* bytes of a value in a simple cell; -1: a length precedes it */
  int64_t dropped;        /* us: what was written up to then is void; CLOG_NEVER */
  struct cql_type type;
};

struct clog_table {
  char *keyspace, *name;
  uint8_t id[16];
  bool cdc, counter, wanted;
  bool compact; /* COMPACT STORAGE: its rows cannot be read */
  /* Sorted by kind; keys by position, the others as mutations list them (simple before multi, by
   * name). Of a kind: kind_start[kind] up to kind_start[kind + 1]. */
  struct clog_column *column;
  uint32_t kind_start[CLOG_COLUMN_KINDS + 1];
  int64_t from_segment, from_position; /* since when this version is in force */
};

static inline uint32_t clog_table_count(const struct clog_table *t, enum clog_column_kind kind)
{
  return t->kind_start[kind + 1] - t->kind_start[kind];
}
static inline const struct clog_column *clog_table_columns(const struct clog_table *t,
                                                           enum clog_column_kind kind)
{
  return t->column + t->kind_start[kind];
}

struct clog_schema;

/* Is the caller interested in this table? Asked once for each version. */
typedef bool clog_want_fn(void *ctx, const char *keyspace, const char *table);

/* A schema that knows system_schema's own tables. want NULL: all but those of system keyspaces.
 * NULL: no memory. */
struct clog_schema *clog_schema_new(clog_want_fn *want, void *ctx);
void clog_schema_free(struct clog_schema *self); /* NULL is fine; tables are freed too */

/* The version of a table that is in force at a place of the log; NULL: the id is unknown. Lent
 * until the schema is freed. */
const struct clog_table *clog_schema_table(const struct clog_schema *self, const uint8_t id[16],
                                           int64_t segment, int64_t position);
/* A column of any version of the table, the newest that has it; NULL: none. */
const struct clog_column *clog_schema_column(const struct clog_schema *self, const uint8_t id[16],
                                             enum clog_column_kind kind, const uint8_t *name,
                                             size_t n);
/* All versions, tables sorted by id, versions by place; system_schema's own first table too. NULL
 * behind the last one. */
const struct clog_table *clog_schema_nth(const struct clog_schema *self, size_t i);
/* Is this the id of a table that every Cassandra has? They are made of the tables' names. */
static inline bool clog_id_is_system(const uint8_t id[16])
{
  return id[6] >> 4 == 3; /* a UUID of version 3: by name */
}

/* Rows of system_schema. `written` (us) decides between rows and deletions: a deletion takes what
 * was written up to it. Texts are copied. MR_FATAL: no memory. Nothing is in force before
 * clog_schema_commit. */
struct clog_table_row {
  const char *keyspace, *table;
  const uint8_t *id;         /* 16 bytes; NULL: as it was */
  int cdc, compact, counter; /* 1, 0; -1: as it was */
};
struct clog_column_row {
  const char *keyspace, *table, *column;
  int kind;         /* enum clog_column_kind; -1: as it was */
  int32_t position; /* -1 for other columns than keys */
  bool descending;
  const char *type; /* CQL text; NULL: as it was */
};
struct clog_dropped_row {
  const char *keyspace, *table, *column;
  int kind; /* enum clog_column_kind; -1: as it was */
  const char *type;
  int64_t dropped; /* us; CLOG_NEVER: as it was */
};
struct clog_type_row {
  const char *keyspace, *name;
  const char *const *field, *const *type; /* n names and CQL texts */
  size_t n;
};
int clog_schema_put_table(struct clog_schema *self, const struct clog_table_row *row,
                          int64_t written, struct mr_error *err);
int clog_schema_put_column(struct clog_schema *self, const struct clog_column_row *row,
                           int64_t written, struct mr_error *err);
int clog_schema_put_dropped(struct clog_schema *self, const struct clog_dropped_row *row,
                            int64_t written, struct mr_error *err);
int clog_schema_put_type(struct clog_schema *self, const struct clog_type_row *row, int64_t written,
                         struct mr_error *err);
/* ALTER TABLE … DROP: the column becomes a dropped one, void up to row->dropped; of the row only
 * the names and this count. A column that is not there stays so. */
int clog_schema_drop_column(struct clog_schema *self, const struct clog_dropped_row *row,
                            struct mr_error *err);
/* What is deleted, as a prefix: all of a keyspace, one table, one column of it. NULL: all. */
enum clog_row_kind { CLOG_ROW_TABLE, CLOG_ROW_COLUMN, CLOG_ROW_DROPPED, CLOG_ROW_TYPE };
void clog_schema_delete(struct clog_schema *self, enum clog_row_kind what, const char *keyspace,
                        const char *name, const char *column, int64_t written);

/* Makes versions of the tables that changed, in force from this place on (0, 0: from the
 * beginning). MR_REJECT: a column's type cannot be read (err names it; the other tables are made,
 * and this one keeps its last version). */
int clog_schema_commit(struct clog_schema *self, int64_t segment, int64_t position,
                       struct mr_error *err);

#endif
