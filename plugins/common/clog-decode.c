/* SPDX-License-Identifier: Apache-2.0 */
#include "common/clog-decode.h"
#include <stdlib.h>
#include "common/src-error.h"

#define TIMESTAMP_EPOCH INT64_C(1442880000000000) /* us: what minTimestamp is counted from */
#define DELETION_EPOCH 1442880000u                /* s: the same for local deletion times */
#define BLOCK 32                                  /* clustering values that share one header */
#define WIDE 64                                   /* so many columns are listed, not a bit map */

enum {
  UPDATE_EMPTY = 1,
  UPDATE_REVERSED = 2,
  UPDATE_DELETION = 4,
  UPDATE_STATIC = 8,
  UPDATE_ROWS = 16
};
enum {
  ROW_END = 0x01,
  ROW_MARKER = 0x02,
  ROW_TIMESTAMP = 0x04,
  ROW_TTL = 0x08,
  ROW_DELETION = 0x10,
  ROW_ALL = 0x20,
  ROW_COMPLEX = 0x40,
  ROW_EXTENDED = 0x80,
  EXTENDED_STATIC = 0x01
};
enum {
  CELL_DELETED = 1,
  CELL_EXPIRING = 2,
  CELL_EMPTY = 4,
  CELL_ROW_TIMESTAMP = 8,
  CELL_ROW_TTL = 16
};
enum { EXCL_END, INCL_START, EXCL_END_INCL_START, INCL_END_EXCL_START = 5, INCL_END, EXCL_START };

/* Lists that grow; while a mutation is decoded its events have indices into them, as they move. */
struct grown {
  void *p;
  size_t n, cap; /* elements */
};
struct pending { /* of the event of the same index */
  size_t key, clustering, cell, start, end;
};

struct clog_decoder {
  struct clog_schema *schema;
  struct grown events, pending, cells, values, used;
  struct clog_unknown unknown;
  uint8_t unknown_id[16];
  const char *why; /* what is wrong (static text); NULL: nothing yet */
  int status;      /* once decoding stopped: MR_SCHEMA, MR_REJECT, MR_FATAL */
  bool unsigned_times;
  /* the update */
  struct cql_read r;
  const struct clog_table *table;
  uint64_t min_timestamp, min_ttl;
  uint32_t min_deletion;
  size_t key, n_static, n_regular; /* `used` has the static columns, then the regular ones */
  bool emit;
  /* the row */
  int64_t row_timestamp, row_expires;
  int32_t row_ttl;
};

struct clog_decoder *clog_decoder_new(struct clog_schema *schema)
{
  struct clog_decoder *d = calloc(1, sizeof *d);
  if (d)
    d->schema = schema;
  return d;
}

void clog_decoder_free(struct clog_decoder *self)
{
  if (!self)
    return;
  free(self->events.p);
  free(self->pending.p);
  free(self->cells.p);
  free(self->values.p);
  free(self->used.p);
  free(self);
}

const struct clog_unknown *clog_decoder_unknown(const struct clog_decoder *self)
{
  return &self->unknown;
}

/* ---------------------------------------------------------------- helpers */

static bool stop(struct clog_decoder *d, int status, const char *why)
{
  if (d->status == MR_OK) {
    d->status = status;
    d->why = why;
  }
  return false;
}

static bool bad(struct clog_decoder *d, const char *why)
{
  return stop(d, MR_REJECT, why);
}

/* False once the bytes were too few. */
static inline bool whole(struct clog_decoder *d)
{
  return !d->r.failed || bad(d, "it ends too early");
}

static bool grow(struct grown *g, size_t size)
{
  size_t cap = g->cap ? g->cap * 2 : 64;
  void *p = realloc(g->p, cap * size);
  if (!p)
    return false;
  g->p = p;
  g->cap = cap;
  return true;
}

/* A pointer to one more element, not cleared; NULL: no memory. */
#define PUSH(d, list, type)                                      \
  ((d)->list.n < (d)->list.cap || grow(&(d)->list, sizeof(type)) \
       ? (type *)(d)->list.p + (d)->list.n++                     \
       : NULL)

static bool no_memory(struct clog_decoder *d)
{
  return stop(d, MR_FATAL, "out of memory");
}

static bool push_value(struct clog_decoder *d, const uint8_t *p, int64_t len)
{
  struct clog_bytes *v = PUSH(d, values, struct clog_bytes);
  if (!v)
    return no_memory(d);
  *v = (struct clog_bytes){p, (int32_t)len};
  return true;
}

static inline struct clog_bytes read_vb(struct cql_read *r)
{
  uint64_t n = cql_read_vint(r);
  const uint8_t *p = cql_read_bytes(r, n);
  return (struct clog_bytes){p, p ? (int32_t)n : -1};
}

static inline struct clog_bytes read_typed(struct cql_read *r, int32_t fixed)
{
  if (fixed < 0)
    return read_vb(r);
  return (struct clog_bytes){cql_read_bytes(r, (uint64_t)fixed), fixed};
}

static inline int64_t read_timestamp(struct clog_decoder *d)
{
  return (int64_t)(cql_read_vint(&d->r) + d->min_timestamp);
}

/* A local deletion time: seconds; of version 7 signed, of 8 not. */
static inline int64_t read_time(struct clog_decoder *d)
{
  uint32_t v = (uint32_t)cql_read_vint(&d->r) + d->min_deletion;
  return d->unsigned_times ? (int64_t)v : (int32_t)v;
}

static inline int32_t read_ttl(struct clog_decoder *d)
{
  return (int32_t)(uint32_t)(cql_read_vint(&d->r) + d->min_ttl);
}

/* CLOG_NEVER: nothing is deleted. */
static int64_t read_deletion(struct clog_decoder *d)
{
  int64_t timestamp = read_timestamp(d);
  read_time(d);
  return timestamp;
}

/* ---------------------------------------------------------------- events */

/* A new event of the update's partition; NULL: no memory. */
static struct clog_event *push_event(struct clog_decoder *d, enum clog_op op, int64_t timestamp)
{
  struct clog_event *e = PUSH(d, events, struct clog_event);
  struct pending *p = e ? PUSH(d, pending, struct pending) : NULL;
  if (!p) {
    no_memory(d);
    return NULL;
  }
  *e = (struct clog_event){.op = op, .table = d->table, .timestamp = timestamp};
  *p = (struct pending){.key = d->key};
  return e;
}

static struct pending *last_pending(struct clog_decoder *d)
{
  return (struct pending *)d->pending.p + d->pending.n - 1;
}

/* The lists stand still now: indices become pointers. */
static void link_events(struct clog_decoder *d)
{
  const struct clog_bytes *value = d->values.p;
  const struct clog_cell *cell = d->cells.p;
  struct clog_event *e = d->events.p;
  const struct pending *p = d->pending.p;
  for (size_t i = 0; i < d->events.n; i++, e++, p++) {
    e->key = value + p->key;
    e->clustering = value + p->clustering;
    e->cell = e->n_cells ? cell + p->cell : NULL;
    e->start.value = value + p->start;
    e->end.value = value + p->end;
  }
}

/* ---------------------------------------------------------------- keys */

/* One column: the bytes; several: each with its length, and a zero behind it. */
static bool split_key(struct clog_decoder *d, struct clog_bytes key)
{
  uint32_t n = clog_table_count(d->table, CLOG_PARTITION_KEY);
  d->key = d->values.n;
  if (n == 1)
    return push_value(d, key.p, key.len);
  struct cql_read r = {key.p, key.p + key.len, false};
  for (uint32_t i = 0; i < n; i++) {
    size_t len;
    const uint8_t *p = cql_read_short(&r, &len);
    if (cql_read_u8(&r) || r.failed)
      return bad(d, "a partition key that does not fit its table");
    if (!push_value(d, p, (int64_t)len))
      return false;
  }
  return r.p == r.end || bad(d, "a partition key that does not fit its table");
}

/* The first n columns of a clustering. */
static bool read_clustering(struct clog_decoder *d, uint32_t n)
{
  const struct clog_column *c = clog_table_columns(d->table, CLOG_CLUSTERING);
  uint64_t head = 0;
  for (uint32_t i = 0; i < n && !d->r.failed; i++) {
    if (i % BLOCK == 0)
      head = cql_read_vint(&d->r);
    unsigned bits = (unsigned)(head >> i % BLOCK * 2) & 3;
    struct clog_bytes v = {NULL, bits & 2 ? -1 : 0};
    if (!bits)
      v = read_typed(&d->r, c[i].fixed);
    if (!push_value(d, v.p, v.len))
      return false;
  }
  return whole(d);
}

/* ---------------------------------------------------------------- columns */

static bool is_named(const struct clog_column *c, struct clog_bytes name)
{
  return c->name_len == (uint32_t)name.len && !memcmp(c->name, name.p, c->name_len);
}

/* Lists come sorted as the table's columns are: the next one is mostly behind the last. */
static const struct clog_column *find_column(struct clog_decoder *d, enum clog_column_kind kind,
                                             struct clog_bytes name, uint32_t *hint)
{
  const struct clog_column *c = clog_table_columns(d->table, kind);
  uint32_t n = clog_table_count(d->table, kind);
  for (uint32_t k = 0, i = *hint; k < n; k++, i++) {
    if (i >= n)
      i = 0;
    if (is_named(&c[i], name)) {
      *hint = i + 1;
      return &c[i];
    }
  }
  return clog_schema_column(d->schema, d->table->id, kind, name.p, (size_t)name.len);
}

static bool unknown_column(struct clog_decoder *d, struct clog_bytes name)
{
  d->unknown.table = d->table;
  d->unknown.column = name.p;
  d->unknown.column_len = (uint32_t)name.len;
  return stop(d, MR_SCHEMA, "a column that the schema does not have");
}

/* A list of column names, appended to `used`. */
static bool read_columns(struct clog_decoder *d, enum clog_column_kind kind, size_t *ret_n)
{
  uint64_t n = cql_read_vint(&d->r);
  uint32_t hint = 0;
  if (n > cql_read_left(&d->r))
    return bad(d, "more columns than bytes");
  for (uint64_t i = 0; i < n; i++) {
    struct clog_bytes name = read_vb(&d->r);
    if (!whole(d))
      return false;
    const struct clog_column *c = find_column(d, kind, name, &hint), **used;
    if (!c)
      return unknown_column(d, name);
    used = PUSH(d, used, const struct clog_column *);
    if (!used)
      return no_memory(d);
    *used = c;
  }
  *ret_n = (size_t)n;
  return true;
}

/* ---------------------------------------------------------------- cells */

static bool read_cell(struct clog_decoder *d, const struct clog_column *column)
{
  struct cql_read *r = &d->r;
  uint8_t flags = cql_read_u8(r);
  struct clog_cell *c = PUSH(d, cells, struct clog_cell);
  if (!c)
    return no_memory(d);
  bool row_ttl = flags & CELL_ROW_TTL;
  *c = (struct clog_cell){.column = column, .path = {NULL, -1}, .value = {NULL, -1}};
  c->op = flags & CELL_DELETED ? CLOG_UNSET : CLOG_SET;
  c->timestamp = flags & CELL_ROW_TIMESTAMP ? d->row_timestamp : read_timestamp(d);
  if (flags & (CELL_DELETED | CELL_EXPIRING))
    c->expires = row_ttl ? d->row_expires : read_time(d);
  if (flags & CELL_EXPIRING)
    c->ttl = row_ttl ? d->row_ttl : read_ttl(d);
  else
    c->expires = 0; /* of a deletion: when the node made it */
  if (column->multi)
    c->path = read_vb(r);
  if (!(flags & CELL_EMPTY))
    c->value = column->multi ? read_vb(r) : read_typed(r, column->fixed);
  else if (c->op == CLOG_SET)
    c->value = (struct clog_bytes){r->p, 0};
  c->dropped = c->timestamp <= column->dropped;
  return whole(d);
}

static bool push_clear(struct clog_decoder *d, const struct clog_column *column, int64_t timestamp)
{
  struct clog_cell *c = PUSH(d, cells, struct clog_cell);
  if (!c)
    return no_memory(d);
  *c = (struct clog_cell){.column = column,
                          .op = CLOG_CLEAR,
                          .path = {NULL, -1},
                          .value = {NULL, -1},
                          .timestamp = timestamp,
                          .dropped = timestamp <= column->dropped};
  return true;
}

static bool read_multi(struct clog_decoder *d, const struct clog_column *column, bool deletions)
{
  int64_t cleared = deletions ? read_deletion(d) : CLOG_NEVER;
  if (cleared != CLOG_NEVER && !push_clear(d, column, cleared))
    return false;
  uint64_t n = cql_read_vint(&d->r);
  if (!whole(d) || n > cql_read_left(&d->r))
    return bad(d, "more cells than bytes");
  for (uint64_t i = 0; i < n; i++)
    if (!read_cell(d, column))
      return false;
  return true;
}

static bool read_column(struct clog_decoder *d, const struct clog_column *column, uint8_t flags)
{
  return column->multi ? read_multi(d, column, flags & ROW_COMPLEX) : read_cell(d, column);
}

/* Many columns: those present are listed, or those missing, whichever is shorter. */
static bool read_wide(struct clog_decoder *d, size_t from, size_t n, uint64_t missing,
                      uint8_t flags)
{
  const struct clog_column *const *used;
  uint64_t present = n - missing;
  bool listed = present < n / 2;
  uint64_t left = listed ? present : missing, next = left ? cql_read_vint(&d->r) : n;
  /* The list stands before the cells: where it goes on while they are read. */
  struct cql_read list = d->r;
  for (uint64_t i = 1; i < left; i++)
    cql_read_vint(&d->r);
  for (size_t i = 0; i < n && whole(d); i++) {
    bool is_next = i == next;
    if (is_next && --left)
      next = cql_read_vint(&list);
    used = d->used.p;
    if (is_next == listed && !read_column(d, used[from + i], flags))
      return false;
  }
  return left ? bad(d, "a list of columns that does not fit") : whole(d);
}

static bool read_cells(struct clog_decoder *d, size_t from, size_t n, uint8_t flags)
{
  uint64_t missing = flags & ROW_ALL ? 0 : cql_read_vint(&d->r);
  if (missing && n >= WIDE)
    return missing <= n ? read_wide(d, from, n, missing, flags)
                        : bad(d, "more columns missing than there are");
  for (size_t i = 0; i < n; i++) {
    const struct clog_column *const *used = d->used.p;
    if (!(missing && missing >> i & 1) && !read_column(d, used[from + i], flags))
      return false;
  }
  return whole(d);
}

/* ---------------------------------------------------------------- rows */

static bool row_times(struct clog_decoder *d, uint8_t flags)
{
  d->row_timestamp = flags & ROW_TIMESTAMP ? read_timestamp(d) : CLOG_NEVER;
  d->row_ttl = 0;
  d->row_expires = 0;
  if (flags & ROW_TTL) {
    d->row_ttl = read_ttl(d);
    d->row_expires = read_time(d);
  }
  return whole(d);
}

static int64_t newest(const struct clog_decoder *d, size_t cell)
{
  int64_t timestamp = CLOG_NEVER;
  const struct clog_cell *c = d->cells.p;
  for (; cell < d->cells.n; cell++)
    if (c[cell].timestamp > timestamp)
      timestamp = c[cell].timestamp;
  return timestamp;
}

static bool push_delete_row(struct clog_decoder *d, int64_t timestamp, size_t clustering)
{
  struct clog_event *e = push_event(d, CLOG_DELETE_ROW, timestamp);
  if (!e)
    return false;
  e->n_clustering = clog_table_count(d->table, CLOG_CLUSTERING);
  last_pending(d)->clustering = clustering;
  return true;
}

static bool push_row(struct clog_decoder *d, bool is_static, size_t clustering, size_t cell)
{
  bool insert = d->row_timestamp != CLOG_NEVER;
  if (!insert && cell == d->cells.n)
    return true;
  struct clog_event *e = push_event(d, insert ? CLOG_INSERT : CLOG_UPDATE, d->row_timestamp);
  if (!e)
    return false;
  if (!insert)
    e->timestamp = newest(d, cell);
  e->is_static = is_static;
  e->n_clustering = is_static ? 0 : clog_table_count(d->table, CLOG_CLUSTERING);
  e->n_cells = (uint32_t)(d->cells.n - cell);
  e->ttl = d->row_ttl;
  e->expires = d->row_expires;
  last_pending(d)->clustering = clustering;
  last_pending(d)->cell = cell;
  return true;
}

/* Behind the flags of a row. */
static bool read_row(struct clog_decoder *d, uint8_t flags, bool is_static)
{
  size_t clustering = d->values.n, cell = d->cells.n;
  int64_t deleted = CLOG_NEVER;
  if (!is_static && !read_clustering(d, clog_table_count(d->table, CLOG_CLUSTERING)))
    return false;
  if (!row_times(d, flags))
    return false;
  if (flags & ROW_DELETION)
    deleted = read_deletion(d);
  if (!read_cells(d, is_static ? 0 : d->n_static, is_static ? d->n_static : d->n_regular, flags))
    return false;
  if (deleted != CLOG_NEVER && !push_delete_row(d, deleted, clustering))
    return false;
  return push_row(d, is_static, clustering, cell);
}

static bool read_static(struct clog_decoder *d)
{
  uint8_t flags = cql_read_u8(&d->r);
  if (!(flags & ROW_EXTENDED) || flags & (ROW_END | ROW_MARKER) ||
      !(cql_read_u8(&d->r) & EXTENDED_STATIC))
    return bad(d, "no static row where one must be");
  return read_row(d, flags, true);
}

/* ---------------------------------------------------------------- range markers */

struct range {
  bool open, inclusive;
  size_t start;
  uint32_t n;
};

static bool end_range(struct clog_decoder *d, struct range *range, size_t end, uint32_t n,
                      bool inclusive, int64_t timestamp)
{
  if (!range->open)
    return bad(d, "the end of a range that did not begin");
  range->open = false;
  struct clog_event *e = push_event(d, CLOG_DELETE_RANGE, timestamp);
  if (!e)
    return false;
  e->start = (struct clog_bound){.n = range->n, .inclusive = range->inclusive};
  e->end = (struct clog_bound){.n = n, .inclusive = inclusive};
  last_pending(d)->start = range->start;
  last_pending(d)->end = end;
  return true;
}

static bool begin_range(struct clog_decoder *d, struct range *range, size_t start, uint32_t n,
                        bool inclusive)
{
  if (range->open)
    return bad(d, "a range within a range");
  *range = (struct range){.open = true, .inclusive = inclusive, .start = start, .n = n};
  return true;
}

static bool read_marker(struct clog_decoder *d, struct range *range)
{
  uint8_t kind = cql_read_u8(&d->r);
  uint16_t n = cql_read_u16(&d->r);
  size_t value = d->values.n;
  if (n > clog_table_count(d->table, CLOG_CLUSTERING))
    return bad(d, "a bound of more columns than the clustering has");
  if (!read_clustering(d, n))
    return false;
  int64_t timestamp = read_deletion(d);
  switch (kind) {
  case EXCL_START:
  case INCL_START: return begin_range(d, range, value, n, kind == INCL_START);
  case EXCL_END:
  case INCL_END: return end_range(d, range, value, n, kind == INCL_END, timestamp);
  case EXCL_END_INCL_START:
  case INCL_END_EXCL_START:
    read_deletion(d); /* of the range that begins here: its end has it again */
    return end_range(d, range, value, n, kind == INCL_END_EXCL_START, timestamp) &&
           begin_range(d, range, value, n, kind == EXCL_END_INCL_START);
  default: return bad(d, "an unknown kind of bound");
  }
}

/* ---------------------------------------------------------------- updates */

static bool read_unfiltered(struct clog_decoder *d)
{
  struct range range = {0};
  for (;;) {
    uint8_t flags = cql_read_u8(&d->r);
    if (!whole(d))
      return false;
    if (flags & ROW_END)
      return !range.open || bad(d, "a range without its end");
    if (flags & ROW_EXTENDED && cql_read_u8(&d->r) & EXTENDED_STATIC)
      return bad(d, "a static row among the others");
    if (!(flags & ROW_MARKER ? read_marker(d, &range) : read_row(d, flags, false)))
      return false;
  }
}

/* Behind the partition key: what the update's flags say. */
static bool read_content(struct clog_decoder *d, uint8_t flags)
{
  struct cql_read *r = &d->r;
  d->min_timestamp = cql_read_vint(r) + (uint64_t)TIMESTAMP_EPOCH;
  d->min_deletion = (uint32_t)cql_read_vint(r) + DELETION_EPOCH;
  d->min_ttl = cql_read_vint(r);
  d->used.n = d->n_static = 0;
  if (flags & UPDATE_STATIC && !read_columns(d, CLOG_STATIC, &d->n_static))
    return false;
  if (!read_columns(d, CLOG_REGULAR, &d->n_regular))
    return false;
  int64_t deleted = flags & UPDATE_DELETION ? read_deletion(d) : CLOG_NEVER;
  if (deleted != CLOG_NEVER && !push_event(d, CLOG_DELETE_PARTITION, deleted))
    return false;
  if (flags & UPDATE_STATIC && !read_static(d))
    return false;
  if (flags & UPDATE_ROWS)
    cql_read_vint(r);
  return whole(d) && read_unfiltered(d);
}

/* Takes back the events of a table that nobody wants. */
static void forget(struct clog_decoder *d, size_t events)
{
  d->events.n = d->pending.n = events;
}

static bool read_update(struct clog_decoder *d)
{
  size_t events = d->events.n;
  struct clog_bytes key = read_vb(&d->r);
  uint8_t flags = cql_read_u8(&d->r);
  if (!whole(d) || !split_key(d, key))
    return false;
  if (d->table->compact)
    return bad(d, "a table with COMPACT STORAGE");
  if (flags & UPDATE_REVERSED)
    return bad(d, "rows in reversed order");
  if (!(flags & UPDATE_EMPTY) && !read_content(d, flags))
    return false;
  if (!d->emit)
    forget(d, events);
  return true;
}

/* ---------------------------------------------------------------- mutations */

static const struct clog_table *find_table(struct clog_decoder *d, const uint8_t *id,
                                           const struct clog_entry *e)
{
  return clog_schema_table(d->schema, id, e->segment, e->position);
}

static bool is_schema(const struct clog_table *t)
{
  return clog_id_is_system(t->id) && !strcmp(t->keyspace, "system_schema");
}

static bool unknown_table(struct clog_decoder *d, const uint8_t *id)
{
  memcpy(d->unknown_id, id, sizeof d->unknown_id);
  return stop(d, MR_SCHEMA, "a table that the schema does not have");
}

/* The next update's table. MR_IDLE in d->status: the whole mutation is nothing that is wanted. */
static bool next_table(struct clog_decoder *d, const struct clog_entry *e, uint64_t n,
                       struct clog_events *ret)
{
  const uint8_t *id = cql_read_bytes(&d->r, 16);
  if (!whole(d))
    return false;
  d->table = find_table(d, id, e);
  bool schema = d->table && is_schema(d->table);
  d->emit = schema || (d->table && d->table->wanted);
  ret->system_schema |= schema;
  if (clog_id_is_system(id) && !d->emit)
    return stop(d, MR_IDLE, "");
  if (!d->table)
    return unknown_table(d, id);
  return d->emit || n > 1 || stop(d, MR_IDLE, "");
}

static void read_mutation(struct clog_decoder *d, const struct clog_entry *e,
                          struct clog_events *ret)
{
  uint64_t n = cql_read_vint(&d->r);
  if (!n || n > e->len)
    bad(d, "no number of updates");
  for (uint64_t i = 0; i < n && d->status == MR_OK; i++)
    if (!next_table(d, e, n, ret) || !read_update(d))
      return;
  if (d->status == MR_OK && d->r.p != d->r.end)
    bad(d, "bytes behind its end");
}

static int failed(const struct clog_decoder *d, const struct clog_entry *e, struct mr_error *err)
{
  if (d->status != MR_REJECT && d->status != MR_FATAL)
    return d->status;
  const struct clog_table *t = d->table;
  return src_fail(err, d->status, "mutation", "segment %lld: position %lld: %s%s%s%s%s",
                  (long long)e->segment, (long long)e->position, t ? t->keyspace : "", t ? "." : "",
                  t ? t->name : "", t ? ": " : "", d->why);
}

int clog_decode(struct clog_decoder *self, const struct clog_entry *e, int32_t version,
                struct clog_events *ret, struct mr_error *err)
{
  struct clog_events got = {0};
  self->r = (struct cql_read){e->data, e->data + e->len, false};
  self->events.n = self->pending.n = self->cells.n = self->values.n = 0;
  self->unsigned_times = version >= 8;
  self->unknown = (struct clog_unknown){.id = self->unknown_id};
  self->status = MR_OK;
  self->table = NULL;
  read_mutation(self, e, &got);
  if (self->status != MR_OK)
    return failed(self, e, err);
  if (!self->events.n)
    return MR_IDLE;
  link_events(self);
  got.event = self->events.p;
  got.n = self->events.n;
  *ret = got;
  return MR_OK;
}
