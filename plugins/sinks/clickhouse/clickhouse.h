/* SPDX-License-Identifier: Apache-2.0 */
/* The clickhouse sink's own parts: one instance, one HTTP connection, one thread.
 *
 * http.c    requests with deadlines      error.c   what a failure means
 * server.c  what the server can do       target.c  the table: columns, engine, creating it
 * evolve.c  new and wider columns        unit.c    begin, write, seal, send
 * ranges.c  deletes of many rows         lookup.c  finding the rows of the table that they mean
 * block.c   the sealed block             type.c, encode.c, values.c, wide.c  the Native format */
#ifndef CLICKHOUSE_SINK_H
#define CLICKHOUSE_SINK_H
#include <curl/curl.h>
#include "common/evolve.h"
#include "common/sql-ident.h"
#include "encode.h"
#include "millrace/changes.h"
#include "common/src-error.h"
#include "millrace/plugin.h"

#define CH_TODAY 25           /* major version of a server that nobody has asked */
#define CH_VERSION "_version" /* of ReplacingMergeTree, in tables that are created here */
#define CH_DELETED "_is_deleted"
#define CH_UNIT_ROWS 1000000 /* a block of more than max_insert_block_size could be split */
#define CH_UNIT_BYTES (256ll << 20)
#define CH_FOUND_ROWS 2000000 /* that one delete of many rows may mean */
#define CH_NONCE 16           /* bytes that make a block's token unlike every other */

enum { MODE_APPEND, MODE_UPSERT };
enum { DELIVERY_AUTO, DELIVERY_EXACTLY_ONCE, DELIVERY_AT_LEAST_ONCE };
enum { COMPRESSION_AUTO, COMPRESSION_NONE, COMPRESSION_LZ4, COMPRESSION_ZSTD };
enum { NULLS_REJECT, NULLS_DEFAULT };

struct ch_conf {
  const char *url, *user, *password, *database, *tls_ca, *table, *version, *partition_by;
  int64_t connect_timeout_ms, statement_timeout_ms, insert_timeout_ms, window;
  int32_t mode, evolve, delivery, compression, nulls;
  bool create, drop_columns;
  struct mr_list key, order_by;
};

/* A column of the target table. */
struct ch_column {
  char *name, *shown; /* shown: its type as the server writes it */
  char *wire;         /* and as it is sent */
  struct ch_type type;
  bool computed; /* MATERIALIZED or ALIAS */
  bool is_key, has_default;
  int32_t source; /* index in the input, -1: nothing fills it */
};

/* What the server can do. */
struct ch_server {
  bool known;
  char version[64];
  int major, minor;
  bool token;            /* has insert_deduplication_token */
  bool unsummed;         /* takes compressed bodies without checksums */
  bool modern;           /* Bool, Date32, DateTime64, Map */
  char *insert_settings; /* "&name=value" for each that the server has */
};

/* What the target's engine promises about a block that comes twice. */
struct ch_table {
  char *engine, *engine_full;
  bool replicated;
  int64_t window;                        /* blocks that are remembered; 0: none */
  int64_t window_seconds;                /* 0: no limit */
  char *version_column, *deleted_column; /* of ReplacingMergeTree, or NULL */
};

/* A batch of the unit, or a part of it: which row of the block is which of its rows. */
struct ch_written {
  uint64_t batch;
  int64_t first, rows; /* in the block */
  uint8_t *dead;       /* bit i: its row i is not there; NULL: all are */
  int64_t from;        /* the batch's row that is the first */
  bool marks;          /* all are what the delete of many rows in row `from` made */
};
/* Rows of the unit that a later delete of many rows may mean: lent until the unit is over. */
struct ch_lent {
  const struct ArrowSchema *schema;
  struct ArrowArray rows;
  uint8_t *dead;  /* as above */
  uint32_t *hash; /* of each row's first key column; NULL: nobody has asked yet */
};

struct ch_sink {
  const struct mr_host *host;
  const struct ch_conf *conf;
  char *pipeline, *stage;
  struct ArrowSchema in;
  struct sql_name table;
  char *target; /* quoted, with its database */
  char *shown;  /* the table as the file names it */
  char *base;   /* "https://host:port/path" */
  char *where;  /* " at HOST:PORT" */
  char *user, *password, *database;
  int compression; /* never AUTO */

  CURLM *multi;
  CURL *curl;
  struct curl_slist *headers;
  char curl_error[CURL_ERROR_SIZE];

  struct ch_server server;
  struct ch_table engine;
  struct ch_column *column;
  int n_columns;
  struct ch_node *node; /* of the columns that are written */
  int *node_column;     /* index in column */
  int n_nodes;
  int version_node, deleted_node; /* whose values are made here; -1: none */
  int op_source, range_source;    /* index in the input, -1: none */
  bool learned, lenient, warned;
  bool exactly_once; /* a block that comes twice is known by its token */

  int64_t rows; /* of the unit */
  struct ch_written *written;
  int n_written, cap_written;
  struct ch_lent *lent; /* only where `_range` can be */
  int n_lent, cap_lent;
  char sealed[2 * CH_NONCE + 1]; /* nonce of the block that was sealed last */
  bool sent;                     /* it may have landed */
  uint64_t version, version_at;  /* of the last row, the position and the lane that it is of */
  uint32_t version_lane;
  uint8_t *dead, *deleted;
  int64_t dead_cap, deleted_cap;
  struct sql_buf words; /* what a row that is rejected is told */
};

struct ch_answer {
  long http;
  int code; /* of ClickHouse; 0: none */
  bool too_long;
  struct sql_buf body;
};

/* ---- error.c. All fill err and return its status. */
int ch_no_memory(struct mr_error *err);
/* The server answered with an error. what: the statement, "INSERT into t". */
int ch_refused(struct ch_sink *s, struct ch_answer *a, const char *what, struct mr_error *err);
/* No (whole) answer came. */
int ch_lost(struct ch_sink *s, CURLcode result, const char *what, struct mr_error *err);

/* ---- http.c */
/* Splits the URL; no I/O. MR_BADCONF: url is not one. */
int ch_http_describe(struct ch_sink *s, struct mr_error *err);
bool ch_url_ok(const char *url);
/* Sends one request and takes its answer. settings: "&name=value…", or "". body lent. timeout in
 * ms. go_on: finishes what is under way, for a moment, when the runtime wants the call to end.
 * MR_RETRY without an answer; MR_MORE: binary, and longer than can be kept; else MR_OK, whatever
 * the answer says: ret is the caller's. */
struct ch_request {
  const char *query; /* goes into the URL; NULL: it is in the body */
  const char *settings, *what;
  const void *body;
  size_t len;
  int64_t timeout_ms;
  bool go_on;
  bool once; /* libcurl sends again, without a word, what a connection lost that it had used before
              */
  bool binary; /* the answer is rows: a text in them that looks like an error is none */
};
int ch_http(struct ch_sink *s, const struct ch_request *r, struct ch_answer *ret,
            struct mr_error *err);
void ch_http_close(struct ch_sink *s);
/* Runs a statement; ret (may be NULL) is its answer in TabSeparated form. */
int ch_query(struct ch_sink *s, const char *sql, const char *what, struct sql_buf *ret,
             struct mr_error *err);
/* The next field of an answer in TabSeparated form, unescaped in place; NULL: the end. *at moves
 * on; ret_last: it was the last of its row. */
char *ch_field(char **at, bool *ret_last);
void ch_ident(struct sql_buf *out, const char *name); /* `name` */
void ch_literal(struct sql_buf *out, const char *text);

/* ---- server.c */
/* Asks for version and settings, once for a connection that works. */
int ch_server_learn(struct ch_sink *s, struct mr_error *err);
void ch_server_forget(struct ch_server *v);
/* The number of the newest block of a MergeTree table; each part of each block has its own. Numbers
 * of all partitions of a replicated table, which counts in each, are added up. */
int ch_server_newest(struct ch_sink *s, uint64_t *ret, struct mr_error *err);
/* What the table does with a block that comes twice. */
int ch_server_window(struct ch_sink *s, struct mr_error *err);

/* ---- target.c */
int ch_target_learn(struct ch_sink *s, struct mr_error *err);
/* Reads the columns only. MR_BADCONF with code "60" when there is no such table. */
int ch_target_columns(struct ch_sink *s, struct mr_error *err);
int ch_target_plan(struct ch_sink *s, struct mr_error *err);
/* Reads the columns again and plans anew when they are others than those that are known. */
int ch_target_compare(struct ch_sink *s, struct mr_error *err);
/* Appends the statement that makes the table, for the server that is known. */
int ch_target_ddl(struct ch_sink *s, struct sql_buf *sql, struct mr_error *err);
bool ch_takes_nulls(const struct ch_sink *s, const struct ArrowSchema *c);
/* Does the SQL expression name the column? */
bool ch_mentions(const char *sql, const char *name);
void ch_target_forget(struct ch_sink *s);
int ch_column_find(const struct ch_sink *s, const char *name);
/* What the table's engine says, in words, for check. */
void ch_promise(const struct ch_sink *s, struct sql_buf *out);
bool ch_is_key(const struct ch_sink *s, const char *name);
char *ch_quoted_name(const struct ch_sink *s, const struct sql_name *n);

/* ---- evolve.c */
int ch_evolve(void *self, const struct ArrowSchema *to, struct mr_error *err);
/* The table as it is known, for evo_follow and evo_refuses_rows. */
struct evo_table ch_evolve_table(struct ch_sink *s);
bool ch_evolve_column(void *self, int i, struct evo_column *ret);

/* ---- block.c */
struct ch_block { /* what a sealed block says */
  uint64_t rows;
  uint64_t after; /* number of the table's newest block when it was sealed */
  bool compressed;
  char *columns; /* malloc'd: name and type of each, a line each */
  char nonce[2 * CH_NONCE + 1];
  char *query;         /* malloc'd; NULL: in the body */
  const uint8_t *body; /* lend */
  size_t len;
};
int ch_block_write(struct ch_sink *s, uint64_t after, mr_put_fn *put, void *out,
                   struct mr_error *err);
int ch_block_read(const void *data, size_t len, struct ch_block *ret, struct mr_error *err);
void ch_block_done(struct ch_block *b);
/* Appends name and type of each column that is written, as they are now. */
void ch_block_columns(const struct ch_sink *s, struct sql_buf *out);

/* ---- unit.c */
int ch_start(void *self, struct mr_error *err);
int ch_begin(void *self, const struct mr_unit *u, struct mr_error *err);
int ch_write(void *self, const struct mr_batch *b, struct mr_error *err);
int ch_seal(void *self, const struct mr_unit *u, mr_put_fn *put, void *out, struct mr_error *err);
int ch_send(void *self, const char *token, const void *block, size_t len, struct mr_error *err);
/* For how long, in ms, the table remembers a block; 0: its window counts blocks alone. */
int64_t ch_window(void *self);
int ch_abort(void *self, const struct mr_unit *u, struct mr_error *err);

/* Appends rows [from, to) of b, but for the columns that are made here. */
void ch_put_rows(struct ch_sink *s, const struct mr_batch *b, int64_t from, int64_t to,
                 struct ch_batch *work);
/* What is made for them: their versions go on, and they are deleted or not. */
void ch_put_made(struct ch_sink *s, int64_t from, int64_t to, const struct ch_batch *work);
/* Makes the block's next rows findable by their number: w->first is set, s->rows counts them.
 * false: no memory. */
bool ch_remember(struct ch_sink *s, struct ch_written *w);

/* ---- ranges.c */
/* Is there a delete of many rows in the batch? */
bool ch_ranges_in(const struct ch_sink *s, const struct mr_batch *b);
/* Appends the batch: its rows, and for each delete of many rows a mark for every row that it means,
 * in the table, in the unit so far, and before it in the batch. The nodes are marked (ch_node_mark)
 * before; on failure they are the caller's to take back. MR_OK: s->rows counts them. */
int ch_ranges_put(struct ch_sink *s, const struct mr_batch *b, struct ch_batch *work,
                  struct mr_error *err);
/* Keeps a batch in mind that later deletes may mean; dead: n bits, copied, or NULL. */
bool ch_ranges_lend(struct ch_sink *s, const struct mr_batch *b, const uint8_t *dead);
void ch_ranges_clear(struct ch_sink *s);

/* ---- lookup.c */
/* One column that a delete of many rows may say something of. */
struct ch_bound {
  int node; /* -1: the table has no such column */
  int64_t source;
  const char *name;
  struct mr_view value; /* of the batch; null: any, but for the bounds */
  struct mr_range_columns range;
};
/* Deletes of many rows that are looked up together. */
struct ch_deletes {
  struct ch_sink *s;
  const struct mr_batch *b;
  struct ch_bound *bound;
  int n_bound;
  int64_t *row; /* of b; the newer version first, where a column is the version */
  int64_t n;
};
/* Rows of the table that were found: columns of a Native block, in the order of the nodes that
 * ch_lookup_keeps. Lent. */
struct ch_found_column {
  const uint8_t *nulls, *data; /* nulls: a byte for each row, or NULL */
  size_t len;                  /* bytes of data */
};
struct ch_found {
  int64_t rows;
  const uint32_t *which; /* of each row: the index in row of the first delete that means it */
  const struct ch_found_column *column; /* by node; no data: it was not asked for */
};
typedef int ch_found_fn(void *out, const struct ch_found *lend, struct mr_error *err);
/* Finds the rows that deletes [from, to) mean and that are not deleted yet; each: called for some
 * at a time. MR_MORE: the one of index err->row means more than
 * CH_FOUND_ROWS; others may have been given. */
int ch_lookup(const struct ch_deletes *d, int64_t from, int64_t to, ch_found_fn *each, void *out,
              struct mr_error *err);
/* Does a mark need the value that the row has in this column: does it say where the row is? */
bool ch_lookup_keeps(const struct ch_sink *s, int node);
/* May the values of such a column be copied out of an answer as they stand? */
bool ch_lookup_copies(const struct ch_type *t);
/* Does the table order the column as the pipeline does? */
bool ch_lookup_orders(const struct ch_sink *s, const struct ch_bound *c);

/* ---- discover.c */
int ch_check(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err);
int ch_discover(const struct mr_open *o, const char *table, mr_put_fn *put, void *out,
                struct mr_error *err);
int ch_ddl(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err);
int ch_type(const struct ArrowSchema *c, mr_put_fn *put, void *out, struct mr_error *err);

/* ---- plugin.c */
/* MR_BADCONF: rows of these columns mean something that the mode does not do. */
int ch_input_check(const struct ch_sink *s, const struct ArrowSchema *in, struct mr_error *err);
int ch_open(const struct mr_open *o, void **self, struct mr_error *err);
void ch_free(void *self);

#endif
