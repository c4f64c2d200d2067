/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the lookup service share. */
#ifndef MR_LOOKUP_PRIVATE_H
#define MR_LOOKUP_PRIVATE_H
#include <glib.h>
#include <pthread.h>
#include "engine/lookup-journal.h"
#include "engine/lookup-table.h"
#include "engine/lookup.h"

/* One set of key columns. Under mr_lookup_source.lock. */
struct mr_lookup_view {
  GPtrArray *columns; /* char *: the keys, then what is wanted besides; it only grows */
  int64_t n_keys;
  struct mr_table *table; /* what is shown; NULL: none yet */
  int64_t table_columns;  /* the first so many of `columns` are in it */
};
/* A view's table as the loading thread fills it. */
struct mr_lookup_feed {
  struct mr_lookup_view *view;
  struct mr_table *table;
  int64_t n;            /* the table's columns: the first n of the view's */
  int64_t *pick;        /* the source's column of each of them */
  struct mr_view *read; /* room for as many views */
  bool shown;
};
struct mr_lookup_lane {
  char *name;
  bool has;
  struct mr_position at;
};

/* One lookup and its source. */
struct mr_lookup_source {
  struct mr_lookups *all;
  const struct mr_stage_spec *spec;
  struct mr_os *os;
  uint64_t seed[2];
  pthread_mutex_t lock;
  struct mr_event event; /* wakes the loading thread */
  void *thread;

  /* under lock */
  void *self; /* the source's instance, written by the loading thread */
  bool stopping, reload, known, ready, following, unreachable;
  bool resumed;               /* the rows shown come from the journal; lookup's thread */
  struct ArrowSchema columns; /* the source's columns, system columns left out; fixed once known */
  GPtrArray *views;           /* struct mr_lookup_view * */
  enum mr_lookup_state state;
  int failed; /* the status of MR_LOOKUP_FAILED */
  char *text;
  int64_t rows, rejected, loaded_us; /* loaded_us: 0 = never */

  /* loading thread */
  struct mr_host host;
  struct mr_open open;
  int wake_fd;
  char **wants;              /* system columns that belong to the table */
  GPtrArray *asked;          /* what open was asked for: const char *, lent to the instance */
  bool bounded;              /* how self was opened */
  struct ArrowSchema schema; /* what read gives */
  GArray *lanes;             /* struct mr_lookup_lane */
  GPtrArray *feeds;          /* struct mr_lookup_feed * */
  struct mr_journal *journal;
  int64_t op;              /* index of _op in schema, or -1 */
  int64_t told_us;         /* when progress was told last */
  int64_t rejected_before; /* `rejected` when this load began */
};

struct mr_lookups {
  const struct mr_spec *spec;
  struct mr_lookup_hooks hooks;
  GPtrArray *sources; /* struct mr_lookup_source * */
  struct mr_event changed;
  bool started; /* main thread writes it before the threads exist */
};

/* ---- lookup.c */
/* Sets state and text and tells everybody. text NULL: made from the tables. Loading thread, or main
 * before start. */
void mr_lookup_tell(struct mr_lookup_source *s, enum mr_lookup_state state, const char *fmt, ...)
    MR_PRINTF(3, 4);
void mr_lookup_log(struct mr_lookup_source *s, int level, const char *fmt, ...) MR_PRINTF(3, 4);
bool mr_lookup_stopping(struct mr_lookup_source *s);
/* Under lock: every table that was asked for is shown, with every column that was. */
bool mr_lookup_complete(const struct mr_lookup_source *s);
/* Takes `columns` from the source's schema (system columns left out) when they are not known yet;
 * else they must still be there. MR_IDLE: the source does not know them yet. */
int mr_lookup_learn(struct mr_lookup_source *s, struct mr_error *err);

/* ---- lookup-host.c: what a lookup's source may call, and its life */
/* Opens an instance (closing another); no I/O. */
int mr_lookup_connect(struct mr_lookup_source *s, bool bounded, struct mr_error *err);
void mr_lookup_disconnect(struct mr_lookup_source *s);
const struct mr_source *mr_lookup_vt(const struct mr_lookup_source *s);
struct mr_lookup_lane *mr_lookup_lane(struct mr_lookup_source *s, const char *name,
                                      uint32_t *ret_id);
void mr_lookup_wake(struct mr_lookup_source *s); /* any thread: the running call returns soon */

/* ---- lookup-feed.c: tables under construction. Loading thread */
void mr_lookup_feed_free(void *feed);
/* Fresh tables for all views, with what the journal holds when it is not to be `fresh`;
 * *ret_loaded: that was all. */
int mr_lookup_begin(struct mr_lookup_source *s, bool fresh, bool *ret_loaded, struct mr_error *err);
/* Finds each table's columns in `from`, which the rows to come have. */
void mr_lookup_pick(struct mr_lookup_source *s, const struct ArrowSchema *from);
/* Upserts rows into every table; deleted: a bit for each row, or NULL. */
int mr_lookup_feed_rows(struct mr_lookup_source *s, const struct mr_view *column,
                        const uint8_t *deleted, int64_t n, struct mr_error *err);
/* Shows the tables; those that were there go when their last reader is done. */
void mr_lookup_show(struct mr_lookup_source *s);
/* Folds the rows of followed tables that have become mostly garbage. */
int mr_lookup_compact(struct mr_lookup_source *s, struct mr_error *err);
/* The journal is given up; says so. */
void mr_lookup_journal_failed(struct mr_lookup_source *s, const struct mr_error *err);
void mr_lookup_forget_lanes(struct mr_lookup_source *s);

/* ---- lookup-load.c */
void mr_lookup_run(void *source); /* the thread */

#endif
