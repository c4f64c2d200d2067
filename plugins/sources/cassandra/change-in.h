/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of change.h share.
 *
 * change.c       the queue of events, what has to be read, taking
 * change-table.c columns, schema, statements         change-write.c what an event writes
 * change-row.c   rows from that, from stored rows    change-read.c  reading back, pipelined
 * change-range.c ranges into boxes                   change-seen.c  times of partitions
 *
 * Most events become rows at once. Behind one that waits for the node all wait, as rows are given
 * in the order of the log. */
#ifndef CASSANDRA_CHANGE_IN_H
#define CASSANDRA_CHANGE_IN_H
#include "change.h"
#include "common/cql-value.h"
#include "millrace/changes.h"

/* ---- change-seen.c: bounded memory of partitions' times. A partition that has to make room raises
 * the floor of all. */
#define SEEN_SETS 8192
#define SEEN_WAYS 4
struct seen_slot {
  uint64_t partition; /* hash */
  int64_t time;       /* CLOG_NEVER: free */
};
struct seen {
  struct seen_slot *slot; /* SEEN_SETS * SEEN_WAYS */
  int64_t floor, newest;
};
bool seen_init(struct seen *s); /* false: no memory */
void seen_done(struct seen *s);
void seen_reset(struct seen *s, int64_t floor);
/* The newest time that was told of the partition, or a newer one. */
int64_t seen_time(const struct seen *s, uint64_t partition);
void seen_raise(struct seen *s, uint64_t partition, int64_t time);

/* ---- change-range.c */
/* Rows whose first n_equal clustering columns are `equal` and whose column `bounded` (-1: none)
 * lies within the bounds, as values compare. */
struct box {
  const struct clog_bytes *equal;
  uint32_t n_equal;
  int32_t bounded;
  bool has[2], inclusive[2]; /* lower, upper */
  struct clog_bytes bound[2];
};
/* Cuts a range of storage order into boxes, which do not meet. e: a CLOG_DELETE_RANGE. ret: room
 * for 2 * (clustering columns) + 1. Returns how many. */
size_t range_boxes(const struct clog_event *e, struct box *ret);

#define PATIENCE_MS 1000

/* ---- the object */
struct change_column {
  char *name;
  enum cass_kind kind;
  bool multi;           /* elements are cells of their own */
  bool ordered;         /* values compare as the column's do in Cassandra */
  bool missing;         /* dropped since: another item stands in its place */
  struct cql_type type; /* as the node has it now */
  int32_t item, time;   /* of the scan's items: the value, its WRITETIME (-1: none) */
};

/* A column that an event, or a stored row, writes. */
struct write {
  int32_t column; /* -1: one that rows do not have */
  bool built;     /* the value is in cass_changes.built, `at` bytes behind its beginning */
  bool stored;    /* the value is what the node has stored */
  bool live;      /* it is not null, as far as the event says */
  bool given;     /* it is in a row already */
  int32_t ttl;
  const struct cql_type *type;
  struct clog_bytes value; /* len < 0: null */
  size_t at;
  int64_t time, expires;
};

enum need {
  NEED_NOTHING,
  NEED_ELEMENTS, /* collections that were changed in part, and whether the row is there */
  NEED_ROW,      /* the whole row */
  NEED_PARTITION
};
/* What is done about an event; lift: in doubt, the time to give; CLOG_NEVER: its own. */
struct plan {
  enum need need;
  int64_t lift;
};

/* Answers of the node, copied: bodies of frames. */
struct answer {
  uint8_t **body;
  size_t *len, n;
  bool done, confirmed;
};
struct change_item { /* an event that waits */
  struct clog_event event;
  void *memory;
  struct cass_place at;
  struct plan plan;
  struct answer answer;
};
struct refusal {
  struct mr_position at;
  uint32_t lane;
  const char *why; /* static text */
  char *column;
};

enum statement { STATEMENT_ROW, STATEMENT_PARTITION, STATEMENTS };
struct change_statement {
  char *cql;
  struct cql_prepared prepared; /* id NULL: not now */
};

/* The table as the node had it when it was asked last. */
struct change_table {
  struct change_column *col; /* n_col, in the order of the schema */
  size_t n_col;
  int32_t *key, *clustering; /* indices into col, in the order of the key */
  uint32_t n_key, n_clustering;
  char *items; /* the scan's, CQL */
  int32_t n_items;
  struct ArrowSchema rows;  /* with `_set` and `_range`, without the other system columns */
  struct mr_column *column; /* rows.n_children */
  int64_t at_set, at_range; /* -1: none */
  struct change_statement statement[STATEMENTS];
  const struct clog_table *mapped; /* whose columns `map` is of */
  int32_t *map;
  const struct write **by_column; /* n_col; of the row that is made */
  struct clog_bytes *cell;        /* n_items; of a stored row */
  struct box *box;                /* room for what range_boxes gives */
};

struct cass_changes {
  const struct cass_conf *conf;
  const struct mr_host *host;
  struct cql_conn *conn;
  const struct sql_name *name;
  struct src_system system;
  bool is_static, whole; /* whole: partial: read_back */

  struct change_table t;

  /* change-row.c */
  int64_t n, bytes; /* rows in the builders; about so many bytes, with what waits */
  struct write *write;
  size_t n_write, cap_write;
  struct sql_buf built; /* values made from elements */
  struct refusal *refusal;
  size_t n_refusal;

  /* change.c */
  struct change_item *item;
  size_t n_item, cap_item;
  int64_t pushed_ms;   /* when the last item came that has to be read */
  int64_t patience_ms; /* for so long the node is asked again for what does not show the event */
  struct seen seen;
  struct mutation {
    bool known;
    int64_t segment, position;
    int64_t before, covered; /* the partition's time before it; its newest deletion of many rows */
    uint64_t partition;
    bool row_deleted; /* the last event deleted the row that may come next */
    int64_t row_time;
  } mutation;
};

/* ---- change.c */
/* The hash of a partition's key. */
uint64_t change_partition(const struct clog_bytes *key, uint32_t n);

/* ---- change-table.c */
void change_table_done(struct change_table *t);
/* Prepares a statement when it is not. Columns that were dropped since are left out from then on.
 */
int change_prepare(struct cass_changes *s, enum statement which, struct mr_error *err);
/* Index into col of a column that an event names; -1: rows do not have it. */
int32_t change_column(struct cass_changes *s, const struct clog_event *e,
                      const struct clog_column *c);

/* ---- change-write.c */
/* One more write, of null; NULL: no memory. */
struct write *change_push(struct cass_changes *s, int32_t column);
/* Does a stored collection or user type (len < 0: null) show what a cell did to it? */
bool change_has_element(const struct clog_cell *c, const struct cql_type *t,
                        const struct clog_bytes *value);
/* What an event writes, into s->write. false: no memory. */
bool change_writes(struct cass_changes *s, const struct clog_event *e);
/* ---- change-row.c */
/* Rows of an event, of which s->write has what it writes. answer: NULL where nothing was read. */
int change_rows(struct cass_changes *s, const struct clog_event *e, const struct cass_place *at,
                const struct plan *plan, const struct answer *answer, struct mr_error *err);

/* Does the answer show what the event did? If not, the node has not done yet what it has written to
 * its log, or something later has undone it. */
bool change_is_confirmed(struct cass_changes *s, const struct change_item *item);

/* ---- change-read.c */
/* Gets the answers that items wait for. */
int change_read(struct cass_changes *s, struct mr_error *err);
void answer_done(struct answer *a);

#endif
