/* SPDX-License-Identifier: Apache-2.0 */
/* The postgres sink's own parts: one instance, one connection, one thread.
 *
 * conn.c    connecting, waiting with deadlines, running statements      error.c   what a failure
 * means target.c  what the table looks like, creating it                      evolve.c  new and
 * wider columns lanes.c   millrace_offsets                                            unit.c begin,
 * write, flush, commit, abort copy.c    rows by COPY                 insert.c  rows by INSERT
 * stage.c   the staging table of upserts       merge.c   from there to the target
 * partial.c the same for rows with some columns only; version.c where the newest version wins
 * range.c   deletes of many rows               hypertable.c TimescaleDB */
#ifndef POSTGRES_SINK_H
#define POSTGRES_SINK_H
#include <libpq-fe.h>
#include "common/evolve.h"
#include "common/pg-encode.h"
#include "common/pg-login.h"
#include "common/sql-ident.h"
#include "common/wait.h"
#include "common/src-error.h"
#include "common/upsert.h"
#include "millrace/plugin.h"

#define PG_STAGE "millrace_stage" /* the session's own temporary table */
#define PG_STAGE_NUMBER "_millrace_number"
#define PG_STAGE_DELETED "_millrace_deleted"
#define PG_STAGE_SET "_millrace_set" /* and a number: bigint, a bit for each field */
#define PG_SET_BITS 64
#define PG_STAGE_VERSION "_millrace_version"
#define PG_STAGE_MERGED "_millrace_merged"
#define PG_STAGE_RANGE                                                         \
  "_millrace_range"    /* a bit for each key column that it names; null: a row \
                        */
#define PG_TAG_MAX 32  /* bytes of a command tag */
#define PG_NAME_MAX 63 /* bytes of a name that the server keeps (NAMEDATALEN - 1) */

enum { MODE_APPEND, MODE_UPSERT };
enum { METHOD_AUTO, METHOD_COPY, METHOD_INSERT };

struct pg_conf_connection {
  int64_t max_batches;
};
/* A hypertable that `create` makes; time NULL: none. */
struct pg_conf_hypertable {
  const char *time, *space;
  int64_t chunk_ms, partitions;
};
struct pg_conf {
  struct pg_login login;
  const char *table, *version;
  int64_t connect_timeout_ms, statement_timeout_ms, commit_timeout_ms, insert_rows;
  int32_t mode, evolve, method;
  bool create, create_offsets, insert_waits, drop_columns;
  struct mr_list key;
  const struct ArrowSchema *columns;
  struct pg_conf_connection connection;
  struct pg_conf_hypertable hypertable;
};

/* A column of the target table. */
struct pg_column {
  char *name, *shown; /* shown: the type as the server writes it */
  char *fallback;     /* partial upsert: the default's expression, NULL: none */
  char *label;        /* with versions: the name as a key of a JSON object */
  struct pg_type type;
  bool generated, has_default, is_key;
  int32_t source; /* index in the input, -1: nothing fills it */
};

/* A batch of the COPY in progress, to find a row again from the server's line number. */
struct pg_sent {
  uint64_t batch;
  int64_t first_line, rows; /* lines count from 1; rows that went out */
  int64_t from;             /* the batch's row that went out first, if it did */
  int64_t *skip;            /* rows that were left out, ascending */
  int64_t n_skip, cap_skip;
};

/* A key column that `_range` can bound. */
struct pg_range {
  int key;      /* index in the option */
  uint32_t oid; /* type */
  bool ordered; /* the table orders its values as the rows do */
  struct pg_field bound[2];
  uint8_t *bits[4]; /* for a batch: which values count */
  int64_t bits_cap[4];
};

enum pg_form { FORM_BINARY, FORM_TEXT, FORM_INSERT };

struct pg_sink {
  const struct mr_host *host;
  const struct pg_conf *conf;
  char *pipeline, *stage;
  struct ArrowSchema in;
  struct sql_name table, offsets;
  char *target, *offsets_name; /* quoted */
  char *hyper_schema;          /* quoted; TimescaleDB's, once it is known */
  char *shown;                 /* the table as the file names it, for messages */
  char *where;                 /* " at HOST:PORT, database D, user U" */

  PGconn *pg;
  int pid, old_pid; /* old_pid: backend of a connection that was lost, 0: none */
  int64_t connection_batches;
  bool text_positions;          /* millrace_offsets has no bytea columns: not PostgreSQL */
  char commit_tag[PG_TAG_MAX];  /* what the server answers to a COMMIT that was done */
  bool lenient;                 /* columns that the table has not are left out: they came later */
  bool learned, genuine, multi; /* multi: several statements in one query string are understood */
  bool warned_form;
  int unclassified; /* errors without a usable SQLSTATE in a row */

  struct pg_column *column;
  int n_columns;
  enum pg_form form;
  struct pg_field *field; /* of the columns that are written, in the table's order */
  int *field_column;      /* index in column */
  int n_fields;
  int op_source, set_source, range_source; /* of _op, _set, _range in the input, -1: none */
  bool partial;                            /* an upsert of rows with _set */
  uint8_t *masks; /* validity of a batch's fields where rows leave them unwritten */
  int64_t masks_cap;
  bool versioned; /* an upsert where a column's newest version wins */
  struct pg_range *range;
  int n_range;
  bool use_temp, use_conflict; /* upsert: what the server can do */

  bool changed;      /* the table has not the types that were learnt */
  bool in_unit;      /* begin was called */
  bool in_tx;        /* BEGIN was sent */
  bool copying;      /* COPY is open */
  bool careful;      /* flush was called lately: a savepoint before each stretch */
  bool deferred;     /* COMMIT found a bad row: constraints are checked at once until it is found */
  bool savepoint;    /* the stretch has one */
  bool flushed;      /* this unit had a flush */
  bool staged;       /* the staging table exists on this connection */
  bool dirty;        /* the staging table has rows of the stretch */
  bool has_delete;   /* one of them is a delete */
  bool has_range;    /* one of them is a delete of many rows */
  bool kept_deletes; /* with versions: deletes of this unit that its later parts must know */
  int64_t sequence;  /* of staged rows */
  struct sql_buf out, words; /* words: what the row that is rejected is told */
  struct pg_sent *sent;
  int n_sent, cap_sent;
  int64_t lines;  /* of the COPY in progress */
  int64_t writes; /* batches of the stretch */
  uint8_t *dead;  /* while a batch's bad rows are looked for: a bit for each that was found */
  int64_t dead_cap;
  bool isolating, isolated;     /* isolated: this unit had such a batch */
  bool input_seen;              /* the server said something during COPY */
  const struct mr_batch *batch; /* that is being encoded */
  /* staged rows have more columns, made here */
  uint8_t *made, *ends;
  int64_t made_cap, ends_cap;
  struct sql_buf written; /* with versions: what each row writes, up to `ends` */
};

/* ---- error.c. All fill err and return its status. what: the statement's kind and object, "COPY
 * public.t". */
int pg_no_memory(struct mr_error *err);
/* The server answered res with an error; the connection is alive. Does not clear res. */
int pg_refused(struct pg_sink *s, const PGresult *res, const char *what, struct mr_error *err);
/* The connection is gone (or is given up here: it is closed). why: "no answer within 30000 ms", or
 * NULL for libpq's words. */
int pg_lost(struct pg_sink *s, const char *what, const char *why, struct mr_error *err);

/* ---- conn.c */
/* Makes the texts that name the server; no I/O. MR_BADCONF: url is not one. */
int pg_conn_describe(struct pg_sink *s, struct mr_error *err);
/* Connects if there is no living connection, and prepares the session. MR_RETRY with
 * err->unreachable. */
int pg_connect(struct pg_sink *s, struct mr_error *err);
void pg_close(struct pg_sink *s);
/* What a wait may do when the runtime wants the call to return: give up (MR_RETRY), or go on a
 * little. */
enum pg_patience { PG_GIVE_UP, PG_GO_ON };
/* Sends sql and takes every result. each (may be NULL) sees each result, in order; the first error
 * ends in pg_refused after the rest was taken. timeout in ms. A COPY started by sql ends the
 * taking: the connection is then in COPY. */
typedef void pg_result_fn(void *ctx, PGresult *res);
int pg_run(struct pg_sink *s, const char *sql, const char *what, int64_t timeout,
           enum pg_patience patience, pg_result_fn *each, void *ctx, struct mr_error *err);
/* The same for one statement; gives its result (caller clears). */
int pg_query(struct pg_sink *s, const char *sql, const char *what, PGresult **ret,
             struct mr_error *err);
/* Sends what libpq still holds back, then takes every result. */
int pg_take_results(struct pg_sink *s, const char *what, int64_t timeout, enum pg_patience patience,
                    pg_result_fn *each, void *ctx, struct mr_error *err);
/* Waits for the socket: events of poll(). PG_GO_ON: once woken, only for a short while. */
enum waited pg_wait(struct pg_sink *s, short events, int64_t deadline, enum pg_patience patience);
/* One statement with n parameters in text form (NULL: null). */
int pg_run_values(struct pg_sink *s, const char *sql, int n, const char *const *value,
                  const char *what, struct mr_error *err);
/* libpq's pipeline mode: statements go out without waiting for answers, until pg_pipeline_end takes
 * them all; the first error is what it returns, and the server has skipped what came behind it. No
 * other statement may be sent in between; after an error of a send, too, the end is to be called
 * unless the connection is closed. */
int pg_pipeline_begin(struct pg_sink *s, const char *what, struct mr_error *err);
/* Sends sql with n parameters, as pg_run_values does; sql NULL: the statement prepared last. */
int pg_pipeline_values(struct pg_sink *s, const char *sql, int n, const char *const *value,
                       const char *what, struct mr_error *err);
int pg_pipeline_prepare(struct pg_sink *s, const char *sql, int n, const char *what,
                        struct mr_error *err);
int pg_pipeline_end(struct pg_sink *s, const char *what, struct mr_error *err);
/* Appends a quoted literal that the connected server understands. */
void pg_literal(struct pg_sink *s, struct sql_buf *out, const char *text);
/* Bytes, as this server keeps positions. */
void pg_hex_bytes(const struct pg_sink *s, struct sql_buf *out, const void *p, size_t n);
/* A position as this server keeps it: bytea, or hexadecimal digits in a text column. */
void pg_hex_literal(const struct pg_sink *s, struct sql_buf *out, const struct mr_position *p);
bool pg_position(const struct pg_sink *s, const PGresult *res, int row, int column,
                 struct mr_position *ret);

/* ---- target.c */
/* Reads the table's columns (creating it when the options say so) and plans the encoders. */
int pg_target_learn(struct pg_sink *s, struct mr_error *err);
/* Matches the input with the columns that are known, and plans the encoders. */
int pg_target_plan(struct pg_sink *s, struct mr_error *err);
/* Reads columns only. MR_BADCONF when there is no such table; code 42P01. */
int pg_target_columns(struct pg_sink *s, struct mr_error *err);
/* A CREATE failed because another instance did the same at the same moment. */
bool pg_made_meanwhile(const struct mr_error *err);
void pg_target_forget(struct pg_sink *s);
int pg_column_find(const struct pg_sink *s, const char *name);
bool pg_is_key(const struct pg_sink *s, const char *name);
/* What the server can do, tried out: on servers that are not PostgreSQL itself. */
int pg_probe(struct pg_sink *s, struct mr_error *err);

/* ---- evolve.c */
int pg_evolve(void *self, const struct ArrowSchema *to, struct mr_error *err);
/* Sends ALTER TABLE and the change, with a limit on its wait for a lock. */
int pg_alter(struct pg_sink *s, const char *change, const char *what, struct mr_error *err);
/* The table as it is known, for evo_follow and evo_refuses_rows. */
struct evo_table pg_evolve_table(struct pg_sink *s);
bool pg_evolve_column(void *self, int i, struct evo_column *ret);

/* ---- hypertable.c */
/* The rules among the options; no I/O. */
int pg_hyper_validate(const struct pg_conf *c, struct mr_error *err);
/* pg_type_ddl() for a column of the target: a hypertable's timestamps have a zone. */
bool pg_hyper_type(const struct pg_sink *s, const struct ArrowSchema *column, struct sql_buf *out);
/* Appends the statement behind CREATE TABLE, when a hypertable is asked for. MR_BADCONF: the
 * columns are not such. */
int pg_hyper_ddl(const struct pg_sink *s, struct sql_buf *sql, struct mr_error *err);
/* Does the server have what the options ask for? MR_BADCONF when not. */
int pg_hyper_available(struct pg_sink *s, struct mr_error *err);
/* Is the table that is there the hypertable that the options ask for? */
int pg_hyper_check(struct pg_sink *s, struct mr_error *err);
/* The time column of the target; *ret stays NULL when it is no hypertable. Caller frees. Fails
 * where there is no TimescaleDB. */
int pg_hyper_time_column(struct pg_sink *s, char **ret, struct mr_error *err);

/* ---- lanes.c */
int pg_lanes_prepare(struct pg_sink *s, struct mr_error *err);
/* On servers that are not PostgreSQL: do transactions and row counts work? MR_FATAL when not. */
int pg_lanes_probe(struct pg_sink *s, struct mr_error *err);
int pg_take(void *self, const char *source, const char *const *lane_name, size_t n,
            mr_mark_fn *mark, void *out, struct mr_error *err);
int pg_found(void *self, const struct mr_mark *lend, size_t n, struct mr_error *err);
int pg_reread(void *self, const struct mr_unit *u, mr_mark_fn *mark, void *out,
              struct mr_error *err);
/* The compare-and-set of every mark, inside the open transaction. MR_FENCED after a ROLLBACK. */
int pg_lanes_set(struct pg_sink *s, const struct mr_unit *u, struct mr_error *err);

/* ---- unit.c */
/* Sends COMMIT; ret_tag: PG_TAG_MAX bytes, what the server answered. */
int pg_commit_tag(struct pg_sink *s, char *ret_tag, struct mr_error *err);
int pg_start(void *self, struct mr_error *err);
int pg_begin(void *self, const struct mr_unit *u, struct mr_error *err);
int pg_write(void *self, const struct mr_batch *b, struct mr_error *err);
int pg_flush(void *self, struct mr_error *err);
int pg_commit(void *self, const struct mr_unit *u, struct mr_error *err);
int pg_abort(void *self, const struct mr_unit *u, struct mr_error *err);
/* Opens the transaction (and the stretch's savepoint) when that has not happened. */
int pg_unit_open(struct pg_sink *s, struct mr_error *err);
/* Finds batch and row of a line of the running stretch. */
bool pg_sent_find(const struct pg_sink *s, int64_t line, uint64_t *ret_batch, int64_t *ret_row);

/* Ends the stretch: the server has accepted every row of it. may_keep: a refused stretch is dropped
 * alone, if it has a savepoint. */
int pg_stretch_end(struct pg_sink *s, bool may_keep, struct mr_error *err);
int pg_stretch_drop(struct pg_sink *s, int status, bool may_keep, struct mr_error *err);
/* Sends rows [from, to) of a batch in the open transaction. */
int pg_send_rows(struct pg_sink *s, const struct mr_batch *b, const struct pg_rows *rows,
                 int64_t from, int64_t to, struct mr_error *err);

/* ---- isolate.c: a batch of which each bad row is found and rejected; the others are accepted. */
int pg_isolate(struct pg_sink *s, const struct mr_batch *b, struct mr_error *err);

/* ---- copy.c, insert.c, merge.c */
/* Rejects a row to the dead letters, once; it is left out from then on. */
int pg_bad_row(struct pg_sink *s, int64_t row, const char *code, const char *msg,
               const char *column);
/* A COPY is open afterwards; what the server said in an open one is looked at first. */
int pg_copy_ready(struct pg_sink *s, struct mr_error *err);
int pg_copy_rows(struct pg_sink *s, const struct pg_rows *rows, int64_t from, int64_t to,
                 struct mr_error *err);
int pg_copy_end(struct pg_sink *s, struct mr_error *err);
/* Ends an open COPY without its rows; the transaction is then to be rolled back. */
void pg_copy_cancel(struct pg_sink *s);
int pg_insert_rows(struct pg_sink *s, const struct mr_batch *b, const struct pg_rows *rows,
                   int64_t from, int64_t to, struct mr_error *err);
/* Points the fields at the batch and gives the encoder's view of it. */
int pg_rows_of(struct pg_sink *s, const struct mr_batch *b, struct pg_rows *ret,
               struct mr_error *err);
/* The quoted table that rows go to (the target, or the staging table), and the columns, quoted,
 * with commas. */
void pg_write_target(const struct pg_sink *s, struct sql_buf *out);
void pg_column_list(const struct pg_sink *s, const char *prefix, struct sql_buf *out);
bool pg_is_staged(const struct pg_sink *s);
int pg_merge(struct pg_sink *s, struct mr_error *err);
/* "prefix.key, …", or with other != NULL "prefix.key = other.key AND …". */
void pg_keys(const struct pg_sink *s, struct sql_buf *sql, const char *prefix, const char *other);
/* Runs sql, named `kind` and the table in errors, and empties it. */
int pg_statement(struct pg_sink *s, struct sql_buf *sql, const char *kind, struct mr_error *err);

/* ---- partial.c */
/* Words of bits that the staging table has; 0 when it needs none. */
int pg_set_words(const struct pg_sink *s);
/* Appends their columns, with text around each. */
void pg_set_columns(const struct pg_sink *s, const char *before, const char *after,
                    struct sql_buf *sql);
/* words: room for 8 bytes for each word and row; all rows' first words, then the second ones. */
void pg_set_fill(const struct pg_sink *s, const struct mr_batch *b, uint8_t *words);
/* Makes unwritten values null, whatever stands there. false: no memory. */
bool pg_set_mask(struct pg_sink *s, const struct mr_batch *b);
/* Does a row write the field? */
bool pg_set_has(const struct pg_sink *s, const struct mr_batch *b, int field, int64_t row);
/* Appends "(row.word >> 5 & 1) = 1": does the staged row write the field? */
void pg_set_bit(const char *row, int field, struct sql_buf *sql);
/* Reads the defaults. MR_BADCONF: a server that cannot tell them. */
int pg_partial_learn(struct pg_sink *s, struct mr_error *err);
/* Takes what is staged to the target. */
int pg_partial_merge(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err);
/* Appends what an UPDATE sets in staged row b to make it what a and b, a later one, are together.
 */
typedef void pg_join_fn(struct pg_sink *s, struct sql_buf *sql);
void pg_set_join(struct pg_sink *s, struct sql_buf *sql); /* for rows whose order is theirs */
/* Makes one staged row of each key's rows, which come in this order. */
int pg_fold(struct pg_sink *s, pg_join_fn *set, const char *order, struct sql_buf *sql,
            struct mr_error *err);

/* ---- stage.c */
/* Creates the staging table: before the unit's transaction, once for a connection. */
int pg_stage_prepare(struct pg_sink *s, struct mr_error *err);
/* Appends ", name" for each of its own columns that rows bring. */
void pg_stage_list(const struct pg_sink *s, struct sql_buf *sql);
/* Makes their values for a batch whose fields are bound and masked, as fields behind n_fields. The
 * first is null in rows that cannot be staged. */
int pg_stage_fill(struct pg_sink *s, const struct mr_batch *b, int *ret_fields,
                  struct mr_error *err);
void pg_stage_field(struct pg_sink *s, int *k, const struct pg_field *f); /* the k-th is f */
/* Why a row cannot be staged; NULL: it can. */
const struct ups_fault *pg_stage_fault(const struct pg_sink *s, const struct mr_batch *b,
                                       int64_t row, const char **ret_column);

/* ---- version.c */
/* Appends ", column type" of the helper column, when the options ask for versions. */
void pg_version_ddl(const struct pg_sink *s, struct sql_buf *sql);
/* Adds the helper column to a table without, when the options allow it. */
int pg_version_add(struct pg_sink *s, struct mr_error *err);
/* MR_BADCONF: table or rows have not what versions need. */
int pg_version_plan(struct pg_sink *s, struct mr_error *err);
/* As pg_stage_fault, for what concerns the version alone. */
const struct ups_fault *pg_version_fault(const struct pg_sink *s, const struct mr_batch *b,
                                         int64_t row);
/* Clears the bits of rows with such a fault; false: there are some. */
bool pg_version_sound(const struct pg_sink *s, const struct mr_batch *b, uint8_t *bits);
/* versions: room for 8 bytes a row. Makes the next two of the staging table's own fields. */
int pg_version_fill(struct pg_sink *s, const struct mr_batch *b, const uint8_t *deleted,
                    uint8_t *versions, int *k, struct mr_error *err);
int pg_version_merge(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err);
/* Append conditions and assignments on the target, t: everything in the row is older than this
 * version, or as old; the row knows no delete as new as this one; its columns that are older are
 * emptied, and it notes the delete. */
void pg_version_older(struct pg_sink *s, const char *than, struct sql_buf *sql);
void pg_version_unmarked(struct pg_sink *s, const char *delete, struct sql_buf *sql);
void pg_version_clear(struct pg_sink *s, const char *delete, struct sql_buf *sql);

/* ---- range.c. Nothing happens where rows have no `_range`. */
void pg_range_forget(struct pg_sink *s);
int pg_range_plan(struct pg_sink *s, struct mr_error *err);
/* Append the staging table's columns for it: ", prefix name", and ", value AS name". */
void pg_range_list(const struct pg_sink *s, const char *prefix, struct sql_buf *sql);
void pg_range_ddl(const struct pg_sink *s, struct sql_buf *sql);
/* Creates the table of staged deletes, behind the staging table. */
int pg_range_prepare(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err);
int pg_range_fill(struct pg_sink *s, const struct mr_batch *b, int *k, struct mr_error *err);
/* Does the staged deletes to staged rows, then to the target. */
int pg_range_stage(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err);
int pg_range_target(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err);
/* After a part of a unit: what COMMIT would do to their table, unless later parts need them. */
int pg_range_empty(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err);

/* ---- discover.c */
int pg_check(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err);
int pg_discover(const struct mr_open *o, const char *table, mr_put_fn *put, void *out,
                struct mr_error *err);
/* ---- plugin.c */
int pg_open(const struct mr_open *o, void **self, struct mr_error *err);
void pg_free(void *self);
/* mr_plugin.ddl */
int pg_ddl(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err);
/* mr_plugin.type */
int pg_type_put(const struct ArrowSchema *c, mr_put_fn *put, void *out, struct mr_error *err);

#endif
