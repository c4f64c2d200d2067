/* SPDX-License-Identifier: Apache-2.0 */
/* The cassandra source's own parts: one instance, one connection, one thread.
 *
 * table.c what the node says about a table    select.c the statement and its columns
 * mark.c positions of a range                 scan.c   ranges and rows
 * pages.c questions in flight, their pages    token.c  where a partition is on the ring
 * discover.c health, tables and columns       plugin.c options and the calls of the ABI
 *
 * The ring of tokens is cut into `ranges` even pieces, whatever the nodes own: each is a lane, so
 * that a scan goes on where it was even if nodes come or go. Instance i of n reads every n-th. */
#ifndef CASSANDRA_SOURCE_H
#define CASSANDRA_SOURCE_H
#include "common/cql-conn.h"
#include "common/sql-ident.h"
#include "common/src-system.h"

#define CASS_NAME_MAX 222 /* bytes of a name: what a file name can hold */

struct cass_conf {
  struct cql_conf server;
  const char *table;
  int32_t mode;
  int32_t rows, partial; /* of cdc: enum cass_rows, enum cass_partial */
  const struct ArrowSchema *columns;
  struct mr_list writetime, ttl; /* const char * */
  int64_t ranges, page, concurrent_queries;
  /* mode cdc */
  const char *directory, *history;
  int32_t read, on_gap, on_damage, start;
  bool delete_;
  int64_t cap; /* bytes; INT64_MIN: as the node has it */
};
enum cass_mode { CASS_SNAPSHOT, CASS_CDC, CASS_SNAPSHOT_CDC };
enum cass_read_mode { CASS_READ_FAST, CASS_READ_DURABLE };
enum cass_on_gap { CASS_GAP_FAIL, CASS_GAP_WARN };
enum cass_on_damage { CASS_DAMAGE_FAIL, CASS_DAMAGE_SKIP };
enum cass_start_at { CASS_START_EARLIEST, CASS_START_LATEST };

/* ---- table.c */
enum cass_kind { CASS_PARTITION_KEY, CASS_CLUSTERING, CASS_STATIC, CASS_REGULAR };
struct cass_column {
  char *name, *type; /* type: CQL text */
  enum cass_kind kind;
  int32_t position; /* in the key */
};
struct cass_table {
  struct cass_column *column; /* partition key, clustering, static, regular; each in its order */
  size_t n;
};
/* Reads a table's columns. MR_BADCONF (option table): no such keyspace or table. *ret is
 * overwritten; free it also after a failure. */
int cass_table_read(struct cql_conn *c, const struct sql_name *name, struct cass_table *ret,
                    struct mr_error *err);
void cass_table_done(struct cass_table *t);
/* Index of a column, or -1. */
int64_t cass_table_find(const struct cass_table *t, const char *name);

/* ---- mark.c */
enum cass_mark_kind { CASS_START = 0, CASS_AT, CASS_DONE };
/* Where a range stands: behind the row with that token whose clustering has that hash. `count`
 * only grows while the token stays, so that marks are ordered as the rows were given. */
struct cass_mark {
  enum cass_mark_kind kind;
  int64_t token;
  uint32_t count;
  uint64_t hash;
};
struct mr_position cass_mark_position(const struct cass_mark *m);
/* false: no position of this source. */
bool cass_mark_read(const struct mr_position *p, struct cass_mark *ret);
/* First and last token of piece i of n, both included. */
void cass_range(int64_t i, int64_t n, int64_t *ret_first, int64_t *ret_last);
/* FNV-1a over one more value (NULL: null); begin with CASS_HASH. */
uint64_t cass_hash(uint64_t hash, const uint8_t *p, int64_t n);
#define CASS_HASH UINT64_C(0xcbf29ce484222325)

/* ---- select.c */
enum cass_use {
  CASS_USE_VALUE,     /* a column as it is */
  CASS_USE_WRITETIME, /* when a column was written: NAME_writetime */
  CASS_USE_TTL,       /* for how many seconds it lives on: NAME_ttl */
  CASS_USE_TIMESTAMP, /* only for _timestamp */
  CASS_USE_MARK       /* only for the position */
};
struct cass_item {
  enum cass_use use;
  char *column;
  bool marks; /* a clustering column: its bytes go into the mark's hash */
};
/* What is asked of the table. */
struct cass_select {
  struct cass_item *item;
  size_t n, given; /* given: the first so many become columns */
  size_t *key;     /* items that are the partition key, in its order */
  size_t n_key;
  char *cql;      /* with two ?: first and last token */
  char *all;      /* the same as SELECT *, which costs a node less; NULL: it is not the same */
  bool clustered; /* a partition may have many rows */
};
/* Puts the statement together. MR_BADCONF with the option: a column that the table does not have,
 * or that has no write time. timestamp: _timestamp is wanted. */
int cass_select_init(struct cass_select *s, const struct cass_conf *conf,
                     const struct sql_name *name, const struct cass_table *t, bool timestamp,
                     struct mr_error *err);
/* The statement of a scan whose rows change.h makes of these items; nothing is `given`. */
struct cass_scan_items;
int cass_select_changes(struct cass_select *s, const struct cass_scan_items *items,
                        const struct sql_name *name, const struct cass_table *t,
                        struct mr_error *err);
void cass_select_done(struct cass_select *s);
/* Are these, of the statement `all`, the items in their order? */
bool cass_select_has(const struct cass_select *s, const struct cql_columns *c);
/* The columns that it gives (no system columns), for types as the node prepared them.
 * MR_BADCONF with the option: a declared column of a type that values do not fit. */
int cass_select_schema(const struct cass_select *s, const struct cass_conf *conf,
                       const struct cql_columns *types, struct ArrowSchema *give,
                       struct mr_error *err);
/* The column that one of such a type becomes: as declared, or by its type. MR_BADCONF: values do
 * not fit what is declared. *ret is overwritten. */
int cass_value_column(const struct cass_conf *conf, const char *name, const struct cql_type *t,
                      struct ArrowSchema *ret, struct mr_error *err);
/* Is each element of the column a cell of its own? */
bool cass_column_multi(const struct cass_column *c);

struct cass_cell {
  const uint8_t *p;
  int64_t n; /* -1: null */
};

/* ---- token.c */
/* The token that Murmur3Partitioner gives to a partition of these n > 0 key columns, whose values
 * are as on the wire. room: for the key's bytes, kept between the calls. false: no memory, or
 * values that no key has (null, or longer than 65535 bytes). */
bool cass_token(const struct cass_cell *cell, const size_t *key, size_t n, struct sql_buf *room,
                int64_t *ret);

/* ---- scan.c */
struct cass_lane {
  int64_t first, last; /* tokens, both included */
  uint32_t lane;
  struct cass_mark at;
  struct mr_position cut; /* len 0: none */
  bool whole;             /* the mark's row is gone: its partition is read from its beginning */
};
/* A question in flight, or to be asked; its index is the stream's number. */
struct cass_query {
  struct cass_lane *lane; /* NULL: none */
  int64_t first;          /* token at which it began */
  bool asked;             /* a page is on its way */
  bool skipping;          /* rows up to the lane's mark */
  struct sql_buf paging;  /* state behind the page on the way, or behind the last one */
};
struct cass_source {
  const struct cass_conf *conf;
  struct cass_changes *changes; /* of snapshot+cdc: rows are made by it; else NULL. Lent */
  int64_t floor;                /* for cass_changes_reset */
  const struct mr_host *host;
  uint32_t instance, instances;
  struct sql_name name;
  struct cql_conn conn;
  struct src_system system;
  struct cass_select select;
  struct cql_prepared prepared; /* id NULL: not now */
  struct cql_columns types;     /* of the statement, as the first prepare told them */
  struct ArrowSchema columns;   /* without system columns; released until known */
  struct mr_column *column;
  struct cass_lane *lane; /* NULL until named */
  size_t n_lane, at;      /* at: the lanes before it are over */
  struct cass_query *query;
  size_t n_query;
  struct cass_query *now; /* of the current page; NULL: there is none */
  struct cql_rows page;   /* columns released; n: rows left; lent by conn until the next answer */
  struct cass_cell *cell; /* the current row, types.n of them */
  int64_t token;          /* its partition's */
  struct sql_buf key;     /* room for a partition key's bytes */
  bool pending;           /* cell was not given */
};
int cass_start(void *self, struct mr_error *err);
int cass_read(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
              struct mr_batch *give, struct mr_error *err);
int cass_cut(void *self, uint32_t lane, const struct mr_position *at);
int cass_seek(void *self, uint32_t lane, const struct mr_position *at, struct mr_error *err);
void cass_done(struct cass_source *s);
/* Connects, describes the table, prepares the statement, knows the columns. */
int cass_learn(struct cass_source *s, struct mr_error *err);

/* ---- pages.c. On a failure the caller stops: each range is then read again from its mark. */
/* Knows the statement, and that its columns are still the same. */
int cass_pages_prepare(struct cass_source *s, struct mr_error *err);
/* Connects, and asks for the first pages of as many more ranges as may be in flight. */
int cass_pages_fill(struct cass_source *s, struct mr_error *err);
/* The next page of any range becomes the current one, all rows of the last one being taken.
 * MR_IDLE: none is there by until_ms. */
int cass_pages_next(struct cass_source *s, int64_t until_ms, struct mr_error *err);
/* The current query's range is over. */
void cass_pages_end(struct cass_source *s);
void cass_pages_stop(struct cass_source *s);

/* ---- cdc.c */
/* The rows that wait in it, none too: cass_changes_take whose MR_IDLE is a batch without rows. */
int cass_changes_give(struct cass_changes *c, struct ArrowArray *give, struct mr_error *err);

/* ---- discover.c */
int cass_check(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err);
int cass_discover(const struct mr_open *o, const char *table, mr_put_fn *put, void *out,
                  struct mr_error *err);

/* ---- plugin.c */
/* An instance that is not started: names and the connection's settings. */
int cass_init(struct cass_source *s, const struct mr_open *o, struct mr_error *err);

#endif
