/* SPDX-License-Identifier: Apache-2.0 */
/* The sqlite sink's own parts: one instance, one connection, one thread.
 *
 * table.c  what the table looks like, creating and extending it     cells.c  values as SQLite keeps
 * them lanes.c  millrace_offsets                                          unit.c   begin, write,
 * commit, abort partial.c  rows that write only some columns
 *
 * write() only converts: the file's one write lock is held for the length of a commit, never while
 * the runtime waits for something. Two sinks of one pipeline may so share a file. */
#ifndef SQLITE_SINK_H
#define SQLITE_SINK_H
#include <sqlite3.h>
#include "common/evolve.h"
#include "common/sql-ident.h"
#include "common/sql-text.h"
#include "common/src-error.h"
#include "millrace/plugin.h"

#define SQ_SETS 64       /* sets of written columns whose statements are kept */
#define SQ_NAME_MAX 1000 /* bytes of a name: far below SQLite's own bound */

enum { MODE_APPEND, MODE_UPSERT };

struct sq_conf {
  const char *path, *table;
  int32_t mode, evolve;
  bool create, drop_columns;
  int64_t busy_timeout_ms;
  struct mr_list key;
};

/* What SQLite does to a value by the column's declared type. */
enum sq_affinity { SQ_NONE, SQ_INTEGER, SQ_REAL, SQ_NUMERIC, SQ_TEXT };

struct sq_column {
  char *name, *declared;
  enum sq_affinity affinity;
  bool not_null, has_default, generated, is_key;
  int32_t source; /* index in the input, -1: nothing fills it */
};
struct sq_field {
  int column;
  enum sq_affinity affinity;
  bool not_null, unfit;  /* unfit: every value is refused */
  struct mr_view v, set; /* set: which rows write it */
};
/* A converted row: its cells begin at `at` in sq_sink.cells; before them, in a partial upsert, a
 * bit for each field that it writes. */
struct sq_row {
  size_t at;
  uint64_t batch;
  int64_t row;
  bool deleted;
};
enum sq_tag { SQ_TAG_NULL, SQ_TAG_INT, SQ_TAG_REAL, SQ_TAG_TEXT, SQ_TAG_BLOB };

struct sq_set {  /* statements for rows that write the same columns */
  uint8_t *bits; /* NULL: a free place */
  sqlite3_stmt *update, *insert;
};

struct sq_sink {
  const struct mr_host *host;
  const struct sq_conf *conf;
  char *pipeline, *stage, *target; /* target: quoted */
  struct ArrowSchema in;
  struct sql_name table;
  sqlite3 *db;
  int64_t schema_version; /* of the file when the table was read */
  int64_t busy_since;     /* ms, monotonic */
  bool learned, lenient;

  struct sq_column *column;
  int n_columns;
  struct sq_field *field; /* of the columns that are written */
  int n_fields, op_source;
  sqlite3_stmt *insert, *delete_;
  bool partial; /* upsert of rows with `_set` */
  struct sq_set set[SQ_SETS];
  int next_set;

  struct sql_buf cells, words; /* words: what a row that is rejected is told */
  struct sq_row *row;
  int64_t n_rows, cap_rows;
  bool careful; /* rows were refused at the last commit: try each batch when it is written */
};

/* ---- unit.c */
int sq_no_memory(struct mr_error *err);
/* What SQLite's last error means. what: the statement's kind and object. */
int sq_error(struct sq_sink *s, const char *what, struct mr_error *err);
int sq_exec(struct sq_sink *s, const char *sql, const char *what, struct mr_error *err);
int sq_prepare(struct sq_sink *s, const char *sql, const char *what, sqlite3_stmt **ret,
               struct mr_error *err);
void sq_rollback(struct sq_sink *s);
int sq_connect(struct sq_sink *s, struct mr_error *err);
int sq_start(void *self, struct mr_error *err);
int sq_begin(void *self, const struct mr_unit *u, struct mr_error *err);
int sq_write(void *self, const struct mr_batch *b, struct mr_error *err);
int sq_commit(void *self, const struct mr_unit *u, struct mr_error *err);
int sq_abort(void *self, const struct mr_unit *u, struct mr_error *err);

/* ---- cells.c */
/* Can a column of this kind be kept in a column of that affinity? */
bool sq_kind_fits(const struct ArrowSchema *from, enum sq_affinity to);
/* Appends the cell of row i. false: the value cannot be kept; code and msg (static text) say why.
 */
bool sq_cell_put(const struct sq_field *f, int64_t i, struct sql_buf *out, const char **ret_code,
                 const char **ret_msg);
/* Binds the cell at p to a parameter; returns what follows it, or NULL when SQLite refuses (value
 * too big, no memory). */
const uint8_t *sq_cell_bind(sqlite3_stmt *st, int parameter, const uint8_t *p);
const uint8_t *sq_cell_skip(const uint8_t *p);

/* ---- partial.c */
static inline size_t sq_set_bytes(const struct sq_sink *s)
{
  return (size_t)(s->n_fields + 7) / 8;
}
bool sq_set_whole(const struct sq_sink *s, const uint8_t *bits);
/* Writes the fields whose bits are set; status as of SQLite's refusal. */
int sq_partial_row(struct sq_sink *s, const uint8_t *bits, const uint8_t *cells,
                   struct mr_error *err);
void sq_sets_forget(struct sq_sink *s);

/* ---- table.c */
enum sq_affinity sq_affinity_of(const char *declared);
int sq_table_learn(struct sq_sink *s, struct mr_error *err);
/* Reads columns only. MR_BADCONF with code "no such table" when there is none. */
int sq_table_columns(struct sq_sink *s, struct mr_error *err);
/* Matches the input with the columns that were read, and prepares the statements. */
int sq_table_plan(struct sq_sink *s, struct mr_error *err);
void sq_table_forget(struct sq_sink *s);
int sq_evolve(void *self, const struct ArrowSchema *to, struct mr_error *err);
int sq_schema_version(struct sq_sink *s, int64_t *ret, struct mr_error *err);

/* ---- lanes.c */
int sq_lanes_prepare(struct sq_sink *s, struct mr_error *err);
int sq_take(void *self, const char *source, const char *const *lane_name, size_t n,
            mr_mark_fn *mark, void *out, struct mr_error *err);
int sq_reread(void *self, const struct mr_unit *u, mr_mark_fn *mark, void *out,
              struct mr_error *err);
int sq_found(void *self, const struct mr_mark *lend, size_t n, struct mr_error *err);
/* The compare-and-set of every mark, inside the open transaction. */
int sq_lanes_set(struct sq_sink *s, const struct mr_unit *u, struct mr_error *err);

/* ---- plugin.c */
int sq_open(const struct mr_open *o, void **self, struct mr_error *err);
void sq_free(void *self);
/* ---- discover.c */
int sq_check(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err);
/* mr_plugin.ddl */
int sq_ddl(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err);
/* mr_plugin.type */
int sq_type(const struct ArrowSchema *c, mr_put_fn *put, void *out, struct mr_error *err);
int sq_discover(const struct mr_open *o, const char *table, mr_put_fn *put, void *out,
                struct mr_error *err);

#endif
