/* SPDX-License-Identifier: Apache-2.0 */
/* The starrocks sink's own parts: one instance, one thread.
 *
 * http.c    requests, redirects to BEs          reply.c   the server's JSON answers, what they mean
 * label.c   transactions and states of labels   unit.c    begin, write, prepare, commit, resolve
 * labelled.c  a unit as plain loads: write, seal, send
 * multi.c  a unit as one transaction over the target and a table of positions
 * groups.c  rows of a unit by the columns that they write
 * encode.c  rows as JSON or CSV                 pack.c    LZ4 and zstd frames
 * sql.c     the MySQL protocol                  target.c  the table's columns, DDL
 * filter.c  finding the rows that the server filters
 * type.c    the map of types                    discover.c  check and discover
 * evolve.c  ALTER TABLE, whose jobs take their time */
#ifndef STARROCKS_SINK_H
#define STARROCKS_SINK_H
#include <curl/curl.h>
#include <mysql.h>
#include "common/evolve.h"
#include "common/sql-buf.h"
#include "common/sql-ident.h"
#include "common/src-error.h"
#include "millrace/build.h"
#include "millrace/plugin.h"

#define SR_LABEL_MAX 128 /* bytes of a label that the server takes */
#define SR_NAME_MAX 1023 /* bytes of a column's name */

enum { MODE_APPEND, MODE_UPSERT };
enum { FORMAT_JSON, FORMAT_CSV };
enum { PACK_NONE, PACK_LZ4, PACK_ZSTD };
enum { LOAD_TRANSACTION, LOAD_LABELLED, LOAD_MULTI };
enum { PARTIAL_NO, PARTIAL_ROW, PARTIAL_COLUMN };

struct sr_conf {
  struct mr_list url, key, be_address_map, headers;
  const char *sql_host, *user, *password, *table, *timezone, *tls_ca;
  int64_t sql_port, body_bytes, replicas, buckets;
  int64_t connect_timeout_ms, request_timeout_ms, alter_timeout_ms;
  int64_t transaction_timeout_ms, prepared_timeout_ms;
  int32_t mode, evolve, load, format, compression, partial_update;
  bool create, strict_mode, drop_columns;
};

enum sr_type {
  SR_OTHER, /* a type that no load of ours fills */
  SR_BOOLEAN,
  SR_TINYINT,
  SR_SMALLINT,
  SR_INT,
  SR_BIGINT,
  SR_LARGEINT,
  SR_FLOAT,
  SR_DOUBLE,
  SR_DECIMAL,
  SR_DATE,
  SR_DATETIME,
  SR_TEXT, /* CHAR, VARCHAR, STRING */
  SR_BINARY,
  SR_JSON,
  SR_NESTED /* ARRAY, MAP, STRUCT */
};
struct sr_column {
  char *name, *shown; /* shown: the type as the server writes it */
  enum sr_type type;
  int precision, scale; /* of DECIMAL */
  int64_t bytes;        /* most that CHAR and VARCHAR hold */
  bool nullable, has_default, generated, is_key;
  int32_t source; /* index in the input, -1: nothing fills it */
};
enum sr_model { MODEL_UNKNOWN, MODEL_DUPLICATE, MODEL_AGGREGATE, MODEL_UNIQUE, MODEL_PRIMARY };

struct sr_field { /* a column that is written; v: bound to the batch */
  const struct sr_column *column;
  char *key; /* `,"name":` */
  size_t key_len;
  bool unfit;            /* every value is refused */
  struct mr_view v, set; /* set: what `_set` says of it */
};

enum sr_verdict {
  SR_DONE,
  SR_LABEL_EXISTS,
  SR_NO_TXN,
  SR_BUSY,    /* in processing: ask again */
  SR_FAILED,  /* the server said no */
  SR_MISSING, /* the interface is not there (404) */
  SR_DENIED,  /* 401, 403 */
  SR_LOST,    /* no answer that says anything: the outcome is open */
  SR_NOT_SENT /* nothing reached a server */
};
struct sr_reply {
  enum sr_verdict verdict;
  long http;
  char status[48], state[24], message[400];
  char *error_url; /* malloc'd or NULL */
  int64_t filtered;
};

struct sr_group { /* rows that write the same columns */
  uint8_t *use;   /* a flag for each field */
  bool deletes;
  struct sql_buf rows;
  int64_t n_rows;
};
struct sr_refused { /* a row that the server filters, as it was sent */
  char *text, *why;
  size_t len;
};

struct sr_sink {
  const struct mr_host *host;
  const struct sr_conf *conf;
  char *pipeline, *stage, *database, *table, *shown; /* shown: database.table */
  struct ArrowSchema in;

  /* http.c */
  CURL *easy;
  CURLM *multi;
  size_t fe; /* index in conf->url: the one that answered last */
  struct sql_buf answer;
  char *location;
  const uint8_t *body;
  size_t body_len, body_at;

  /* sql.c */
  MYSQL *sql;
  char *where; /* " at HOST:PORT, user U" */

  /* target.c */
  struct sr_column *column;
  int n_columns;
  enum sr_model model;
  struct sr_field *field;
  int n_fields, op_source, set_source;
  bool learned, all_columns; /* all_columns: every column of the table is written */
  bool lenient;              /* columns that the table has not are left out: they came later */
  char *columns_header;      /* of loads; NULL: none is needed */
  struct sql_buf catalog;    /* the columns as the catalog told them last */
  struct sql_buf alter;      /* evolve.c: the clauses of the next ALTER TABLE */
  bool adding;               /* the last of them is ADD COLUMN */
  struct sql_buf words;      /* what a row that is rejected is told */

  /* unit.c */
  char label[SR_LABEL_MAX + 1];
  bool begun;       /* a begin of this label was sent: there may be something to roll back */
  bool loaded;      /* the transaction has data */
  bool asked;       /* prepare was sent: its answer may have been lost */
  bool careful;     /* rows were filtered: each batch is tried by itself first */
  int64_t trials;   /* of this label */
  int unclassified; /* failures without a known reason in a row */
  struct sql_buf rows, packed;
  int64_t n_rows;      /* in rows */
  int64_t *row_end;    /* while a batch is tried: where each of its rows ends in rows */
  int64_t row_end_cap; /* bytes */
  /* groups.c: groups whose loads may go in any order */
  struct sr_group *group;
  int n_groups, at_group; /* at_group: whose rows are in `rows`; -1: none */
  struct sr_seen *seen;   /* which groups have rows of a key */
  size_t n_seen, cap_seen;
  uint8_t *use; /* of the row that is looked at */

  /* labelled.c */
  struct sql_buf block; /* of the unit: its parts so far */
  const struct mr_batch **written;
  size_t n_written, cap_written;
  struct sr_refused *refused; /* rows of this unit that the server filtered */
  size_t n_refused;
  bool fresh;            /* the block was never sent */
  int64_t label_seconds; /* for how long the server keeps labels */

  /* multi.c */
  uint64_t session, unit; /* 0: none yet; units that are committed in it */
  struct sr_lane *lane;
  size_t n_lanes;
  bool one_table; /* a trial: prepared, and rolled back */
  bool visible;   /* the label that was asked for last is */

  uint8_t *dead; /* a bit for each row of the batch that is left out */
  int64_t dead_cap;
};

/* ---- plugin.c */
int sr_open(const struct mr_open *o, void **self, struct mr_error *err);
void sr_free(void *self);

/* ---- http.c */
struct sr_request {
  const char *method, *path; /* path: with its query, from "/" on */
  struct curl_slist *headers;
  const uint8_t *body; /* NULL: none */
  size_t len;
  int64_t timeout_ms;
  const char *url; /* a whole URL instead of FE's and path; mapped like a redirect */
};
enum sr_transport { SR_ANSWERED, SR_UNREACHED, SR_CUT };
/* Sends a request to FE and follows its redirects to mapped hosts. SR_UNREACHED: nothing was done;
 * SR_CUT: it may have been done. err (filled unless answered): MR_RETRY's, or MR_BADCONF's in
 * err->native for a redirect that is not allowed. The answer is in s->answer, *ret_status. */
enum sr_transport sr_http(struct sr_sink *s, const struct sr_request *r, long *ret_status,
                          struct mr_error *err);
int sr_http_open(struct sr_sink *s, struct mr_error *err);
void sr_http_close(struct sr_sink *s);
/* Where a BE that FE names is reached; false: the map does not have it. */
bool sr_map_address(const struct sr_sink *s, const char *fe_host, const char *host, long port,
                    struct sql_buf *ret);
bool sr_url_ok(const char *url);
/* The host of the first FE; malloc'd. */
char *sr_url_host(const char *url);

/* ---- reply.c */
void sr_reply_parse(const struct sql_buf *text, long http, struct sr_reply *ret);
void sr_reply_done(struct sr_reply *r);
/* Is this refusal about rows? */
bool sr_blames_rows(const struct sr_reply *r);
/* The status of a refusal, with err filled: MR_RETRY, MR_REJECT (rows), MR_BADCONF, MR_FATAL. */
int sr_refused(struct sr_sink *s, const struct sr_reply *r, const char *what, struct mr_error *err);

/* ---- label.c: all give the verdict; err is filled unless it is SR_DONE */
enum sr_step { STEP_BEGIN, STEP_PREPARE, STEP_COMMIT, STEP_ROLLBACK };
enum sr_verdict sr_step(struct sr_sink *s, enum sr_step step, const char *label,
                        struct sr_reply *ret, struct mr_error *err);
enum sr_verdict sr_load(struct sr_sink *s, const char *label, const uint8_t *rows, size_t len,
                        struct sr_reply *ret, struct mr_error *err);
/* JSON rows of another table of the database, in the label's transaction. */
enum sr_verdict sr_load_plain(struct sr_sink *s, const char *label, const char *table,
                              const uint8_t *rows, size_t len, struct sr_reply *ret,
                              struct mr_error *err);
/* The headers of a load that do not depend on its label, added to list. columns: NULL, or the
 * header of that name; partial: those columns alone are written. false: no memory. */
bool sr_load_headers(struct sr_sink *s, const char *columns, bool partial,
                     struct curl_slist **list);
/* A plain load with these headers (a line each). */
enum sr_verdict sr_put(struct sr_sink *s, const char *label, const char *headers, size_t n_headers,
                       const uint8_t *rows, size_t len, struct sr_reply *ret, struct mr_error *err);
/* enum mr_outcome of a label, or MR_RETRY. An UNKNOWN one is MR_UNKNOWN, whatever the table is. */
int sr_label_state(struct sr_sink *s, const char *label, struct mr_error *err);
/* Rolls a label back and has that confirmed. MR_FATAL: it is committed. */
int sr_label_rollback(struct sr_sink *s, const char *label, struct mr_error *err);
/* The status of a verdict that is neither done nor lost. */
int sr_status(struct sr_sink *s, const struct sr_reply *r, const char *what, struct mr_error *err);

/* ---- encode.c */
/* Appends the rows of a batch whose bit in s->dead is not set; rows that the table can never hold
 * are rejected, and their bits set. row_end: NULL, or the end of each row in s->rows. */
int sr_encode(struct sr_sink *s, const struct mr_batch *b, int64_t *row_end, struct mr_error *err);
/* Why a value has no place; NULL: it has one. */
struct sr_misfit {
  const char *code, *why;
};
struct sr_encoding { /* a batch, bound for row after row */
  struct sr_sink *s;
  const struct mr_batch *b;
  struct mr_view op;
  bool ops;           /* rows carry __op */
  const uint8_t *use; /* NULL, or a flag for each field that is written */
};
void sr_encoding_bind(struct sr_encoding *e, struct sr_sink *s, const struct mr_batch *b);
bool sr_is_delete(const struct sr_encoding *e, int64_t row);
/* Appends one row to s->rows; false: it was cut off again, *ret_bad is the field without a place.
 */
bool sr_put_row(const struct sr_encoding *e, int64_t row, struct sr_misfit *m, int *ret_bad);
/* What was appended from start on, as the server's error log shows the row. */
const char *sr_row_text(const struct sr_sink *s, size_t start, size_t end, size_t *ret_len);
/* Rejects a row. column may be NULL. */
int sr_reject(const struct sr_encoding *e, int64_t row, const struct sr_misfit *m,
              const char *column, struct mr_error *err);
/* Clears s->dead for n rows. */
bool sr_dead_clear(struct sr_sink *s, int64_t n);

/* ---- pack.c: replaces s->packed by rows in frames of the compression asked for. */
int sr_pack(struct sr_sink *s, const uint8_t *rows, size_t len, struct mr_error *err);

/* ---- filter.c: tries a batch alone, and rejects the rows that the server filters. The others are
 * then in s->rows. */
int sr_isolate(struct sr_sink *s, const struct mr_batch *b, struct mr_error *err);

/* Is this row, as it was sent, the one that an entry of the log shows? */
bool sr_same_row(const char *sent, size_t n, const char *text, size_t len);
/* Calls for each entry of an error log. MR_OK, too, when the log cannot be read. */
typedef int sr_entry_fn(void *out, const char *text, size_t len, const char *why,
                        struct mr_error *err);
int sr_log_read(struct sr_sink *s, const char *url, sr_entry_fn *entry, void *out,
                struct mr_error *err);

/* ---- groups.c */
/* Puts the group of a row into s->rows, for sr_put_row with s->use. MR_MORE: the row belongs behind
 * what is there: close the groups and ask again. */
int sr_group_find(const struct sr_encoding *e, int64_t row, struct mr_error *err);
/* Ends what sr_group_find began: every group's rows are in the group. */
void sr_groups_settle(struct sr_sink *s);
void sr_groups_clear(struct sr_sink *s);
void sr_groups_done(struct sr_sink *s);

/* ---- labelled.c */
int sr_labelled_begin(void *self, const struct mr_unit *u, struct mr_error *err);
int sr_labelled_write(void *self, const struct mr_batch *b, struct mr_error *err);
int sr_labelled_seal(void *self, const struct mr_unit *u, mr_put_fn *put, void *out,
                     struct mr_error *err);
int sr_labelled_send(void *self, const char *token, const void *block, size_t len,
                     struct mr_error *err);
int sr_labelled_abort(void *self, const struct mr_unit *u, struct mr_error *err);
int64_t sr_labelled_window(void *self);
void sr_labelled_done(struct sr_sink *s);

/* ---- multi.c */
int sr_multi_take(void *self, const char *source, const char *const *lane_name, size_t n,
                  mr_mark_fn *mark, void *out, struct mr_error *err);
int sr_multi_found(void *self, const struct mr_mark *lend, size_t n, struct mr_error *err);
int sr_multi_reread(void *self, const struct mr_unit *u, mr_mark_fn *mark, void *out,
                    struct mr_error *err);
int sr_multi_begin(void *self, const struct mr_unit *u, struct mr_error *err);
int sr_multi_commit(void *self, const struct mr_unit *u, struct mr_error *err);
int sr_multi_abort(void *self, const struct mr_unit *u, struct mr_error *err);
void sr_multi_done(struct sr_sink *s);

/* ---- sql.c */
int sr_sql_connect(struct sr_sink *s, struct mr_error *err);
void sr_sql_close(struct sr_sink *s);
/* One statement; *ret (may be NULL for statements without rows): mysql_free_result it. */
int sr_sql_query(struct sr_sink *s, const char *sql, const char *what, MYSQL_RES **ret,
                 struct mr_error *err);
void sr_sql_ident(struct sql_buf *out, const char *name);
void sr_sql_literal(struct sql_buf *out, const char *text);

/* ---- type.c */
void sr_type_parse(const char *shown, struct sr_column *c);
/* Does a load turn values of this column into that type without loss or guessing? */
bool sr_type_fits(const struct ArrowSchema *from, const struct sr_column *c);
/* DDL of an Arrow column; false: there is none. */
bool sr_type_ddl(const struct ArrowSchema *from, bool key, struct sql_buf *out);
/* Can the column be made that type without losing a value? */
bool sr_type_widens(const struct sr_column *c, const struct ArrowSchema *to);
/* The pipeline's name of what the column holds. */
void sr_type_name(const struct sr_column *c, struct sql_buf *out);

/* ---- target.c */
/* Reads the table (creating it when the options say so) and plans. may_alter: false while there may
 * be an open transaction of a predecessor; what is to be altered is then left for later: learned
 * stays false. */
int sr_target_learn(struct sr_sink *s, bool may_alter, struct mr_error *err);
/* Reads the columns. MR_BADCONF with code 42S02: no such table. */
int sr_target_columns(struct sr_sink *s, struct mr_error *err);
/* Matches the input with the columns that are known. */
int sr_target_plan(struct sr_sink *s, struct mr_error *err);
/* The `columns` header for the fields in use (NULL: all); malloc'd, NULL: no memory. */
char *sr_columns_header(const struct sr_sink *s, const uint8_t *use);
void sr_target_forget(struct sr_sink *s);
/* Does the pipeline file name this column as part of the key? */
bool sr_in_key(const struct sr_sink *s, const char *name);
/* The statement that makes the table. */
int sr_target_ddl(struct sr_sink *s, struct sql_buf *out, struct mr_error *err);
/* Looks at the columns again; others than those that are known: `learned` is false then. */
int sr_target_compare(struct sr_sink *s, struct mr_error *err);
int sr_target_find(const struct sr_sink *s, const char *name);
/* Appends a column as CREATE and ALTER TABLE name it. */
int sr_target_column(struct sr_sink *s, const struct ArrowSchema *c, bool key, struct sql_buf *out,
                     struct mr_error *err);

/* ---- evolve.c */
int sr_evolve(void *self, const struct ArrowSchema *to, struct mr_error *err);
/* The table as it is known, for evo_follow and evo_refuses_rows. */
struct evo_table sr_evolve_table(struct sr_sink *s);
bool sr_evolve_column(void *self, int i, struct evo_column *ret);
/* Makes the table follow; MR_RETRY while a job alters it. Not while this pipeline has a transaction
 * open: the job would wait for that. */
int sr_evolve_follow(struct sr_sink *s, const struct ArrowSchema *before,
                     const struct ArrowSchema *to, struct mr_error *err);
/* Would it alter the table? */
bool sr_evolve_needed(struct sr_sink *s);

/* ---- target.c, again */
/* Says when labels are forgotten sooner than a stopped pipeline may need them. */
void sr_labels_warn(struct sr_sink *s);

/* ---- unit.c */
/* Ends a body of rows, packs it, and loads it under a label whose transaction is open. */
enum sr_verdict sr_load_rows(struct sr_sink *s, const char *label, struct sql_buf *rows,
                             struct sr_reply *ret, struct mr_error *err);
/* Loads what is encoded. always: begins the transaction, too, when there is nothing. */
int sr_send_rows(struct sr_sink *s, bool always, struct mr_error *err);
/* A refusal: for rows, the unit is written again with each batch tried by itself first. */
int sr_rows_refused(struct sr_sink *s, int status, struct mr_error *err);
int sr_start(void *self, struct mr_error *err);
/* Before a unit: looks at the columns, and makes the table follow the input. */
int sr_ready(struct sr_sink *s, struct mr_error *err);
int sr_begin(void *self, const struct mr_unit *u, struct mr_error *err);
int sr_write(void *self, const struct mr_batch *b, struct mr_error *err);
int sr_prepare(void *self, const struct mr_unit *u, struct mr_error *err);
int sr_commit(void *self, const struct mr_unit *u, struct mr_error *err);
int sr_abort(void *self, const struct mr_unit *u, struct mr_error *err);
int sr_resolve(void *self, const char *label, struct mr_error *err);

/* ---- discover.c */
int sr_check(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err);
int sr_discover(const struct mr_open *o, const char *table, mr_put_fn *put, void *out,
                struct mr_error *err);
int sr_ddl(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err);
int sr_type(const struct ArrowSchema *c, mr_put_fn *put, void *out, struct mr_error *err);

#endif
