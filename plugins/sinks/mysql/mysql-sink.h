/* SPDX-License-Identifier: Apache-2.0 */
/* The mysql sink's own parts: one instance, one connection, one thread.
 *
 * target.c   what the table looks like, creating it      evolve.c   new and wider columns
 * lanes.c    millrace_offsets                            unit.c     begin, write, flush, commit
 * rows.c     rows by LOAD DATA or INSERT                 refused.c  which rows the server refused
 * merge.c    upserts from a staging table                discover.c check and discover
 * partial.c  upserts of rows with some columns only   log.c      rows kept one by one until then
 * version.c  upserts where the newest version wins    range.c    deletes of many rows
 *
 * A stretch is what one flush answers for: rows that were encoded or sent, and not yet accepted. */
#ifndef MYSQL_SINK_H
#define MYSQL_SINK_H
#include "common/evolve.h"
#include "common/maria-conn.h"
#include "common/maria-encode.h"
#include "common/upsert.h"

#define MY_STAGE "millrace_stage" /* the session's own temporary table */
#define MY_STAGE_DELETED "_millrace_deleted"
#define MY_STAGE_SET "_millrace_set"   /* partial.c; and a number: a bit for each field */
#define MY_STAGE_GONE "_millrace_gone" /* partial.c: the key's last row is a delete */
#define MY_SET_BITS 64

#define MY_LOG "millrace_log" /* log.c: another temporary table */
#define MY_LOG_NUMBER "_millrace_number"
#define MY_LOG_VERSION "_millrace_version" /* version.c; in the staging table, too: the newest */
#define MY_LOG_RANGE "_millrace_range"     /* range.c: of a delete, the key columns that it names */
#define MY_STAGE_TIME "_millrace_time"     /* version.c; and a field's number: its version */
#define MY_STAGE_LEAST "_millrace_least"   /* version.c: the oldest version in the row */

enum { MODE_APPEND, MODE_UPSERT };
enum { METHOD_AUTO, METHOD_LOAD, METHOD_INSERT };

struct my_conf {
  struct maria_conf server;
  const char *table, *version;
  int64_t commit_timeout_ms, statement_bytes;
  int32_t mode, evolve, method;
  bool create, create_offsets, drop_columns;
  struct mr_list key;
};

/* A column of the target table. */
struct my_column {
  char *name, *shown;                 /* shown: the type as the server writes it */
  char *collation, *preset, *comment; /* preset: its default as the catalog has it; NULL: none */
  struct maria_type type;
  bool generated, has_default, is_key;
  bool counts;    /* AUTO_INCREMENT */
  int32_t source; /* index in the input, -1: nothing fills it */
};

/* A key column that `_range` can bound. */
struct my_range {
  int key;      /* index in the option */
  bool ordered; /* the table orders its values as the rows do */
  struct maria_field bound[2];
  struct mr_range_columns at; /* in the batch */
};

struct my_sink {
  const struct mr_host *host;
  const struct my_conf *conf;
  struct maria_conn conn;
  char *pipeline, *stage;
  struct ArrowSchema in;
  struct sql_name table, offsets;
  char *target, *offsets_name; /* quoted */
  char *shown;                 /* the table as the file names it, for messages */

  bool learned, lenient; /* lenient: columns that the table has not are left out: they came later */
  bool warned_form;
  struct my_column *column;
  int n_columns;
  struct maria_field *field; /* of the columns that are written, in the table's order */
  int *field_column;         /* index in column */
  int n_fields;
  int op_source, set_source, range_source; /* of _op, _set, _range in the input, -1: none */
  bool partial;                            /* an upsert of rows with _set */
  struct mr_view *set; /* with _set: for each field, the rows that write it; else NULL */
  bool versioned;      /* an upsert where a column's newest version wins */
  bool logged;         /* rows are kept one by one until they are merged */
  struct my_range *range;
  int n_range;
  bool only_key; /* no other unique index than the key's */
  char *types;   /* what a SELECT of the written columns says of them */
  enum maria_form form;
  struct sql_buf load_sql; /* up to the rows: LOAD DATA whole, INSERT up to VALUES */
  struct sql_buf tail_sql; /* what follows the rows of an INSERT */

  bool in_unit;   /* begin was called */
  bool changed;   /* the table has not the types that were learnt */
  bool careful;   /* rows were refused lately: each write answers for itself */
  bool savepoint; /* the stretch has one */
  bool staged;    /* the staging table was made, by the connection stage_of */
  uint64_t stage_of;
  bool stage_used;                  /* it has had rows */
  bool dirty;                       /* it has rows of this stretch */
  bool has_delete;                  /* one of them is a delete */
  bool has_range;                   /* one is a delete of many rows */
  bool kept_deletes;                /* with versions: the unit's merged stretches had deletes */
  int64_t n_logged;                 /* rows that are logged and not merged */
  int64_t sequence;                 /* of the next row that is logged */
  struct ups_key key[UPS_KEYS_MAX]; /* of the batch, with _range */
  struct ups_version version;       /* of the batch, with versions */
  const struct mr_batch *batch;     /* that is being encoded */
  struct sql_buf rows;              /* encoded, not sent */
  struct sql_buf words;             /* what a row that is rejected is told */
  int64_t n_rows;
  int64_t *row_of; /* the batch's row of each of them */
  int64_t cap_row_of;
  uint8_t *dead; /* of the batch: a bit for each row that was refused */
  int64_t dead_cap;
  bool found_bad; /* the server's refusal named rows, and they are in dead */
};

/* ---- plugin.c */
int my_open(const struct mr_open *o, void **self, struct mr_error *err);
void my_free(void *self);

/* ---- target.c */
/* Reads the table's columns (creating it when the options say so) and plans the encoders. */
int my_target_learn(struct my_sink *s, struct mr_error *err);
/* Reads columns and indexes only. MR_BADCONF with code 42S02: there is no such table. */
int my_target_columns(struct my_sink *s, struct mr_error *err);
/* Matches the input with the columns that are known. */
int my_target_plan(struct my_sink *s, struct mr_error *err);
/* Appends the statement that makes the table; asks no server. */
int my_target_ddl(struct my_sink *s, struct sql_buf *sql, struct mr_error *err);
void my_target_forget(struct my_sink *s);
int my_column_find(const struct my_sink *s, const char *name);
bool my_is_key(const struct my_sink *s, const char *name);
/* "`prefix`.`column`, …" of the written columns; prefix NULL: none. */
void my_column_list(const struct my_sink *s, const char *prefix, struct sql_buf *out);
/* A statement about the target within the statement timeout; clears sql. */
int my_statement(struct my_sink *s, struct sql_buf *sql, const char *kind,
                 enum maria_patience patience, struct mr_error *err);

/* ---- evolve.c */
int my_evolve(void *self, const struct ArrowSchema *to, struct mr_error *err);
/* The table as it is known, for evo_follow and evo_refuses_rows. */
/* Appends a column's default, as DDL and expressions have it. */
void my_default(const struct my_sink *s, const struct my_column *column, struct sql_buf *sql);
struct evo_table my_evolve_table(struct my_sink *s);
bool my_evolve_column(void *self, int i, struct evo_column *ret);

/* ---- lanes.c */
int my_lanes_prepare(struct my_sink *s, struct mr_error *err);
int my_take(void *self, const char *source, const char *const *lane_name, size_t n,
            mr_mark_fn *mark, void *out, struct mr_error *err);
int my_found(void *self, const struct mr_mark *lend, size_t n, struct mr_error *err);
int my_reread(void *self, const struct mr_unit *u, mr_mark_fn *mark, void *out,
              struct mr_error *err);
/* The compare-and-set of every mark, inside the open transaction. MR_FENCED after a ROLLBACK. */
int my_lanes_set(struct my_sink *s, const struct mr_unit *u, struct mr_error *err);

/* ---- unit.c */
int my_start(void *self, struct mr_error *err);
int my_begin(void *self, const struct mr_unit *u, struct mr_error *err);
int my_write(void *self, const struct mr_batch *b, struct mr_error *err);
int my_flush(void *self, struct mr_error *err);
int my_commit(void *self, const struct mr_unit *u, struct mr_error *err);
int my_abort(void *self, const struct mr_unit *u, struct mr_error *err);
/* ROLLBACK, when a transaction is open. */
void my_roll_back(struct my_sink *s);

/* ---- rows.c */
/* Makes the statement that rows go by; after the plan. */
int my_rows_plan(struct my_sink *s, struct mr_error *err);
/* Encodes the batch's rows that are not dead, sending what fills a statement. Rows that the target
 * cannot hold are rejected and dead. */
int my_rows_write(struct my_sink *s, const struct mr_batch *b, struct mr_error *err);
/* Sends what is encoded. MR_REJECT: rows were refused; found_bad: they are in dead. */
int my_rows_send(struct my_sink *s, struct mr_error *err);
void my_rows_drop(struct my_sink *s);
bool my_is_staged(const struct my_sink *s);
/* Marks a row of the batch as dead and gives it to the dead letters, once. */
int my_bad_row(struct my_sink *s, int64_t row, const char *code, const char *msg,
               const char *column);

/* ---- refused.c */
/* After a statement that was refused, or that gave warnings: finds its rows. MR_REJECT with what
 * the server said; MR_OK: the warnings are not about rows. */
int my_refused_rows(struct my_sink *s, struct mr_error *err);

/* ---- merge.c */
int my_stage_prepare(struct my_sink *s, struct mr_error *err);
/* Takes what is staged to the target; more: the unit goes on, and the staging table is emptied. */
int my_merge(struct my_sink *s, bool more, struct mr_error *err);
/* A column as the target has it, for a temporary table: "`name` type null". */
void my_stage_column(const struct my_column *c, const char *name, bool not_null,
                     struct sql_buf *sql);
/* "`key`, …" */
void my_key_list(const struct my_sink *s, struct sql_buf *sql);
/* "t.`key` = d.`key` AND …" */
void my_on_keys(const struct my_sink *s, struct sql_buf *sql);

/* ---- partial.c */
int my_set_words(const struct my_sink *s);
/* Finds which rows of the batch write which field. false: no memory. */
bool my_set_bind(struct my_sink *s, const struct ArrowSchema *schema, const struct mr_batch *b);
/* Appends the staged row's own columns behind `deleted`, or their names (type NULL) or definitions.
 */
void my_set_put(const struct my_sink *s, int64_t row, bool deleted, struct sql_buf *out);
void my_set_columns(const struct my_sink *s, const char *type, struct sql_buf *sql);
/* "d.word >> 5 & 1": does the staged row d write the field? */
void my_set_bit(struct sql_buf *sql, const char *row, int field);
/* What makes one staged row of those of a key. */
void my_partial_fold(const struct my_sink *s, struct sql_buf *sql);
/* Takes what is staged, and not gone, to the target. */
int my_partial_merge(struct my_sink *s, struct sql_buf *sql, struct mr_error *err);

/* ---- log.c: where the order of a unit's rows counts, or does not count at all. They are kept in a
 * table of their own; what deletes of many rows take leaves it, the rest goes to the staging table.
 */
/* Appends the statement that makes the table anew. */
void my_log_create(const struct my_sink *s, struct sql_buf *sql);
/* Appends ", name" of its columns behind _millrace_set…, and of LOAD DATA's variables. */
void my_log_columns(const struct my_sink *s, struct sql_buf *sql);
void my_log_load(const struct my_sink *s, struct sql_buf *sql, struct sql_buf *set);
/* After bind: points what is looked at in each row at the batch. */
void my_log_bind(struct my_sink *s, const struct ArrowSchema *schema, const struct mr_batch *b);
/* Why the row cannot be kept; NULL: it can. */
const struct ups_fault *my_log_fault(const struct my_sink *s, int64_t row, bool deleted,
                                     const char **ret_column);
/* Appends the values of these columns, each behind the separator. *ret_bad: the field of the key
 * that a bound does not fit, with code and msg; else untouched. */
void my_log_put(struct my_sink *s, int64_t row, bool deleted, int *ret_bad, const char **code,
                const char **msg);
/* Is the row a delete of many rows, and does it name the key column of this field? */
bool my_log_many(const struct my_sink *s, int64_t row);
bool my_log_names(const struct my_sink *s, int field, int64_t row);
/* Takes the logged rows to the staging table, one for each key. */
int my_log_fold(struct my_sink *s, struct sql_buf *sql, struct mr_error *err);
/* After a part of a unit: leaves what later parts need. */
int my_log_empty(struct my_sink *s, struct sql_buf *sql, struct mr_error *err);

/* ---- range.c: nothing happens where rows have no `_range`, and no versions */
void my_range_forget(struct my_sink *s);
/* MR_BADCONF: the server or the table is not one for such rows. */
int my_range_plan(struct my_sink *s, struct mr_error *err);
/* Appends ", " and a definition of each of the log's columns for it. */
void my_range_ddl(const struct my_sink *s, struct sql_buf *sql);
void my_range_columns(const struct my_sink *s, struct sql_buf *sql);
/* Does the logged deletes to logged rows, and to the target's. */
int my_range_log(struct my_sink *s, struct sql_buf *sql, struct mr_error *err);
int my_range_target(struct my_sink *s, struct sql_buf *sql, struct mr_error *err);
/* With versions, behind the upsert: rows that are newer than a delete lose what is older. */
int my_range_clear(struct my_sink *s, struct sql_buf *sql, struct mr_error *err);
/* The name of the log's column for a bound of a key column. */
void my_range_name(enum mr_bound bound, int key, char *ret, size_t size);

/* ---- version.c */
/* Can this server have versions and deletes of many rows? MR_BADCONF: no. */
int my_version_server(const struct my_sink *s, const char *option, const char *what,
                      struct mr_error *err);
/* What of versions and deletes of many rows is wrong whatever the table is: as the rows tell, and
 * by the server, too. MR_BADCONF. */
int my_version_rows(const struct my_sink *s, struct mr_error *err);
int my_version_check(const struct my_sink *s, struct mr_error *err);
/* Adds the helper column to a table without, when the options allow it. */
int my_version_add(struct my_sink *s, struct mr_error *err);
/* MR_BADCONF: server, table or rows have not what versions need. */
int my_version_plan(struct my_sink *s, struct mr_error *err);
/* Appends ", " and a definition of each of the staging table's columns for it. */
void my_version_ddl(const struct my_sink *s, struct sql_buf *sql);
/* Appends the statement that takes the logged rows to the staging table. */
void my_version_fold(const struct my_sink *s, struct sql_buf *sql);
/* Takes what is staged to the target. */
int my_version_merge(struct my_sink *s, struct sql_buf *sql, struct mr_error *err);
/* Append a condition and assignments on the target, t, for a delete of the version r: everything in
 * the row is older, or as old; its columns that are older are emptied, and it notes the delete. */
void my_version_older(const struct my_sink *s, struct sql_buf *sql);
void my_version_clear(const struct my_sink *s, struct sql_buf *sql);
/* "IFNULL(…, TRUE)": the row knows no delete as new as r. */
void my_version_unmarked(const struct my_sink *s, struct sql_buf *sql);

/* ---- discover.c */
int my_check(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err);
int my_discover(const struct mr_open *o, const char *table, mr_put_fn *put, void *out,
                struct mr_error *err);
int my_ddl(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err);
int my_type(const struct ArrowSchema *c, mr_put_fn *put, void *out, struct mr_error *err);

#endif
