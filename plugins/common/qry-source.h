/* SPDX-License-Identifier: Apache-2.0 */
/* A source over a query: one lane, read once or following a growing column. The database behind it
 * is a backend of a few calls; batches, positions, cuts, refused rows and waiting are here. One
 * object, one thread. */
#ifndef QRY_SOURCE_H
#define QRY_SOURCE_H
#include "common/qry-mark.h"
#include "common/qry-value.h"
#include "common/src-system.h"

/* Part of the plugin's config struct: the options that every query source has. */
struct qry_conf {
  const char *query, *table, *incremental;
  const struct ArrowSchema *columns;
  int64_t poll_ms;
};
/* Rows for the option table; conf_: the plugin's struct, field_: its struct qry_conf. */
#define QRY_OPTIONS(conf_, field_)                                                               \
  {.name = "query",                                                                              \
   .type = MR_TEXT,                                                                              \
   .offset = offsetof(struct conf_, field_.query),                                               \
   .doc = "SELECT to read; without incremental it should have an ORDER BY"},                     \
      {.name = "table",                                                                          \
       .type = MR_TEXT,                                                                          \
       .offset = offsetof(struct conf_, field_.table),                                           \
       .doc = "Table or view to read, instead of query"},                                        \
      {.name = "columns",                                                                        \
       .type = MR_COLUMNS,                                                                       \
       .offset = offsetof(struct conf_, field_.columns),                                         \
       .doc = "Columns and their types; left out: those of the result"},                         \
      {.name = "incremental",                                                                    \
       .type = MR_TEXT,                                                                          \
       .offset = offsetof(struct conf_, field_.incremental),                                     \
       .doc = "Column that only grows: rows behind the last value are read as they come"},       \
  {                                                                                              \
    .name = "poll", .type = MR_TIME_MS, .offset = offsetof(struct conf_, field_.poll_ms),        \
    .range = "1ms..24h", .dflt = "1s", .doc = "With incremental: how often to look for new rows" \
  }

struct qry_backend { /* statuses as in plugin.h; self: the plugin's instance */
  /* Connects when that is necessary and finds out what the query gives. May be called again. */
  int (*connect)(void *self, struct mr_error *err);
  /* After connect: a rows schema of the result's columns; not called when the columns are declared.
   * A begin that follows finds the same columns, or says MR_RETRY; end() comes in any case. */
  int (*describe)(void *self, struct ArrowSchema *give, struct mr_error *err);
  /* Runs the query for rows from `from` on: of QRY_ROWS all of them, of QRY_NUMBER and QRY_TEXT
   * those with that value or a larger one, in the order of the growing column; of QRY_START all
   * that have a value there. */
  int (*begin)(void *self, const struct qry_mark *from, struct mr_error *err);
  /* Makes the next row the current one. MR_END: there is none. most: how many more rows this batch
   * can take, bytes: how large it may get. */
  int (*next)(void *self, int64_t most, int64_t bytes, struct mr_error *err);
  /* Appends the current row's value of column `at` of the schema (null too); *ret_bytes grows by
   * its size. Statuses of qry_value. */
  int (*value)(void *self, int64_t at, struct mr_column *c, const struct ArrowSchema *s,
               int64_t *ret_bytes, const char **ret_why);
  /* The growing column's value in the current row: kind and number or text. MR_FATAL: of no kind
   * that grows. */
  int (*key)(void *self, struct qry_mark *ret, struct mr_error *err);
  void (*end)(void *self); /* the query is over or given up */
};

struct qry_source {
  const struct qry_conf *conf;
  const struct qry_backend *backend;
  void *self;
  const struct mr_host *host;
  bool bounded, idle; /* idle: an instance beyond the first: it has no lane */
  struct src_system system;
  struct ArrowSchema columns; /* without system columns; released until known */
  struct mr_column *column;
  uint32_t lane;
  bool named;
  struct qry_mark at;     /* before the next row */
  struct mr_position cut; /* len 0: none */
  bool changed;           /* schema() has a new answer, which read has to say */
  bool running, pending;  /* a query runs; its current row was not given yet */
  int64_t skip,
      tied; /* rows of the running query to leave out: so many, so many of the same value */
  int64_t next_poll_ms; /* monotonic */
  int64_t rows;         /* given so far, for _position */
};

/* Across the options: exactly one of query and table, columns that can be read. */
int qry_validate(const struct qry_conf *conf, struct mr_error *err);
/* Makes the object in the caller's memory. conf and backend are lent until qry_source_done. On
 * failure there is nothing to free. */
int qry_source_init(struct qry_source *s, const struct mr_open *o, const struct qry_conf *conf,
                    const struct qry_backend *backend, void *self, struct mr_error *err);
void qry_source_done(struct qry_source *s);
/* The calls of struct mr_source. */
int qry_source_schema(struct qry_source *s, struct ArrowSchema *give, struct mr_error *err);
int qry_source_start(struct qry_source *s, struct mr_error *err);
int qry_source_read(struct qry_source *s, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
                    struct mr_batch *give, struct mr_error *err);
int qry_source_cut(struct qry_source *s, uint32_t lane, const struct mr_position *at);
int qry_source_seek(struct qry_source *s, uint32_t lane, const struct mr_position *at,
                    struct mr_error *err);
/* Index of a column of the result in the declared columns, or -1. */
static inline int64_t qry_source_find(const struct qry_source *s, const char *name)
{
  return s->columns.release ? mr_schema_find(&s->columns, name) : -1;
}

#endif
