/* SPDX-License-Identifier: Apache-2.0 */
/* The sqlite sink's own parts: one instance, one connection, one thread.
 *
 * table.c    what the table looks like, creating it      cells.c    values as SQLite keeps them
 * unit.c     begin, write, commit, abort                 lanes.c    millrace_offsets
 * partial.c  rows that write only some columns           delete.c   deletes of a row, or of many
 * version.c  where the newest version wins               discover.c check and discover
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
#include "common/upsert.h"
#include "millrace/plugin.h"

#define SQ_KEPT 64       /* pairs of statements of one kind that are kept */
#define SQ_NAME_MAX 1000 /* bytes of a name: far below SQLite's own bound */

enum { MODE_APPEND, MODE_UPSERT };

struct sq_conf {
  const char *path, *table, *version;
  int32_t mode, evolve;
  bool create, drop_columns;
  int64_t busy_timeout_ms;
  struct mr_list key;
};

/* What SQLite does to a value by the column's declared type. */
enum sq_affinity { SQ_NONE, SQ_INTEGER, SQ_REAL, SQ_NUMERIC, SQ_TEXT };

struct sq_column {
  char *name, *declared, *preset; /* preset: its default as declared, NULL: none */
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
/* A converted row, which begins at `at` in sq_sink.cells. A write: in an upsert of some columns, or
 * with versions, a bit for each field that it writes, then all cells. A delete: as delete.c has it.
 */
struct sq_row {
  size_t at;
  uint64_t batch;
  int64_t row, version;
  bool deleted, refused; /* refused: rejected when it was tried */
};
enum sq_tag { SQ_TAG_NULL, SQ_TAG_INT, SQ_TAG_REAL, SQ_TAG_TEXT, SQ_TAG_BLOB };

struct sq_pair {  /* statements for rows of the same shape */
  uint8_t *shape; /* NULL: a free place */
  sqlite3_stmt *first, *second;
};
struct sq_kept { /* the one made longest ago gives its place */
  struct sq_pair pair[SQ_KEPT];
  int next;
};
/* What a stored row knows of the versions of its columns. */
struct sq_versions {
  sqlite3_stmt *stored, *entries; /* the helper column of a key; what such a text has */
  struct sql_buf text;            /* that was read last */
  bool valid, deleted;            /* it is what follows; the row outlived a delete */
  int64_t newest_delete;          /* its version */
  bool *has;                      /* for each field: has a version */
  int64_t *version;
  uint8_t *wins;        /* a bit for each field: what a row writes of it is stored */
  struct sql_buf other; /* of columns that are not written here, as JSON: ,"name":7 */
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
  int key_field[UPS_KEYS_MAX], n_keys; /* the fields of the key */
  sqlite3_stmt *insert;
  bool partial, versioned;      /* upsert of rows with `_set`; with versions */
  struct sq_kept sets, deletes; /* UPDATE and INSERT; DELETE and UPDATE */
  struct sq_versions known;
  struct sql_buf written; /* what is to be stored in the helper column */

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
/* Do rows begin with a bit for each field? */
static inline bool sq_has_bits(const struct sq_sink *s)
{
  return s->partial || s->versioned;
}
static inline size_t sq_set_bytes(const struct sq_sink *s)
{
  return (size_t)(s->n_fields + 7) / 8;
}
bool sq_set_whole(const struct sq_sink *s, const uint8_t *bits);
/* The statements for a set of fields; lent until the next call. */
int sq_set_find(struct sq_sink *s, const uint8_t *bits, struct sq_pair **ret, struct mr_error *err);
/* Runs one of them for a row; with versions it stores sq_sink.written, too. what: for errors. */
int sq_set_run(struct sq_sink *s, sqlite3_stmt *st, const uint8_t *bits, const uint8_t *cells,
               const char *what, struct mr_error *err);
/* Writes the fields whose bits are set; status as of SQLite's refusal. */
int sq_partial_row(struct sq_sink *s, const uint8_t *bits, const uint8_t *cells,
                   struct mr_error *err);

/* Fills in the pair for its shape. */
typedef int sq_prepare_fn(struct sq_sink *s, struct sq_pair *pair, struct mr_error *err);
/* Statements that are kept, or else prepared. size: bytes of the shape; *ret: lent until the next
 * call. */
int sq_kept_find(struct sq_sink *s, struct sq_kept *kept, const uint8_t *shape, size_t size,
                 sq_prepare_fn *prepare, struct sq_pair **ret, struct mr_error *err);
void sq_kept_forget(struct sq_kept *kept);

/* ---- delete.c */
/* Appends what row i, a delete, says of the key, the fields bound to its batch. key: in the order
 * of sq_sink.key_field. false: a value cannot be kept, in field *ret_field. */
bool sq_delete_put(const struct sq_sink *s, const struct ups_key *key, int64_t i,
                   struct sql_buf *out, int *ret_field, const char **ret_code,
                   const char **ret_msg);
/* Takes the rows that such a delete means; with versions what is no newer than it. */
int sq_delete_row(struct sq_sink *s, const struct sq_row *row, struct mr_error *err);
/* Prepares what deletes of one row need. */
int sq_delete_plan(struct sq_sink *s, struct mr_error *err);
/* Does a column of that affinity order these values as the rows do? */
bool sq_kind_ordered(const struct ArrowSchema *from, enum sq_affinity to);

/* ---- version.c */
/* Adds the helper column to a table without, when the options allow it. */
int sq_version_add(struct sq_sink *s, struct mr_error *err);
/* MR_BADCONF: the table has not what versions need. */
int sq_version_plan(struct sq_sink *s, struct mr_error *err);
void sq_version_forget(struct sq_sink *s);
/* Writes the fields whose bits are set, where what is stored is not newer. */
int sq_version_row(struct sq_sink *s, const struct sq_row *row, const uint8_t *bits,
                   const uint8_t *cells, struct mr_error *err);
/* Appends conditions and assignments on the target, t, for a delete whose version is this
 * parameter: the row has nothing newer; it knows no delete as new; what is older becomes its
 * default, and the row notes the delete. */
void sq_version_older(const struct sq_sink *s, int parameter, struct sql_buf *sql);
void sq_version_unmarked(int parameter, struct sql_buf *sql);
void sq_version_clear(const struct sq_sink *s, int parameter, struct sql_buf *sql);
/* What an error of SQLite, its last one, means for a statement that reads the helper column. */
int sq_version_error(struct sq_sink *s, const char *what, int rc, struct mr_error *err);

/* ---- table.c */
enum sq_affinity sq_affinity_of(const char *declared);
/* Index of a column, without regard to case; -1: none. */
int sq_column_find(const struct sq_sink *s, const char *name);
/* MR_BADCONF: the rows cannot be meant for any table. */
int sq_table_input(const struct sq_sink *s, struct mr_error *err);
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
