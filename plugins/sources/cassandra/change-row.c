/* SPDX-License-Identifier: Apache-2.0 */
/* Rows: of what an event writes, of deletions, of rows that the node has stored. */
#include "change-in.h"
#include "common/src-error.h"

/* One row to be. */
struct row {
  const char *op;
  const struct clog_bytes *key, *clustering;
  const struct cql_column *types; /* of a stored row's items; NULL: as the table has it */
  uint32_t n_clustering;          /* that are written */
  int64_t time, expires;
  int32_t ttl;
  const struct box *box;
};
/* Where rows come from: what they have in common, and where they are undone to. */
struct origin {
  uint32_t lane, element; /* element: of the next row */
  struct mr_position at;
  uint64_t position;
  int64_t from; /* rows before them */
  bool refused;
};

/* ---- refusing */

static void forget_rows(struct cass_changes *s, int64_t n)
{
  for (int64_t i = 0; i < s->t.rows.n_children; i++)
    mr_column_truncate(&s->t.column[i], n);
  src_system_truncate(&s->system, n);
  s->n = n;
}

/* All of the origin's rows go; told when rows are given. */
static int refuse(struct cass_changes *s, struct origin *o, const char *column, const char *why,
                  struct mr_error *err)
{
  struct refusal *r = realloc(s->refusal, (s->n_refusal + 1) * sizeof *r);
  char *name = strdup(column);
  if (r)
    s->refusal = r;
  if (!r || !name) {
    free(name);
    return src_no_memory(err);
  }
  r[s->n_refusal++] = (struct refusal){.at = o->at, .lane = o->lane, .why = why, .column = name};
  forget_rows(s, o->from);
  o->refused = true;
  return MR_OK;
}

/* ---- one row */

static int add_value(struct cass_changes *s, size_t i, const struct row *r, const char **ret_why)
{
  const struct change_column *c = &s->t.col[i];
  const struct clog_bytes *v = NULL;
  const struct cql_type *type = &c->type;
  const struct write *w = s->t.by_column[i];
  struct clog_bytes built;
  for (uint32_t k = 0; k < s->t.n_key && c->kind == CASS_PARTITION_KEY; k++)
    if (s->t.key[k] == (int32_t)i)
      v = &r->key[k];
  for (uint32_t k = 0; k < r->n_clustering && c->kind == CASS_CLUSTERING; k++)
    if (s->t.clustering[k] == (int32_t)i)
      v = &r->clustering[k];
  if (w && w->built) {
    built = (struct clog_bytes){s->built.p + w->at, w->value.len};
    v = &built;
  } else if (w) {
    v = &w->value;
    type = w->type;
  } else if (v && r->types) {
    type = &r->types[c->item].type;
  }
  if (!v || v->len < 0)
    return mr_column_null(&s->t.column[i]) ? MR_OK : MR_FATAL;
  s->bytes += v->len;
  return cql_value(&s->t.column[i], type, s->t.rows.children[i], v->p, v->len, ret_why);
}

static bool is_written(const struct cass_changes *s, size_t i, const struct row *r)
{
  if (s->t.col[i].kind == CASS_PARTITION_KEY)
    return true;
  for (uint32_t k = 0; k < r->n_clustering && s->t.col[i].kind == CASS_CLUSTERING; k++)
    if (s->t.clustering[k] == (int32_t)i)
      return true;
  return s->t.by_column[i] != NULL;
}

static bool add_set(struct cass_changes *s, const struct row *r)
{
  struct mr_column *set = s->t.at_set < 0 ? NULL : &s->t.column[s->t.at_set];
  bool ok = true;
  for (size_t i = 0; ok && set && i < s->t.n_col; i++)
    ok = mr_column_bool(&set->child[i], is_written(s, i, r));
  return ok && (!set || mr_column_end(set));
}

/* The bounds of one clustering column; they are of its type. */
static int add_bounds(struct cass_changes *s, struct mr_column *c, uint32_t k,
                      const struct box *box, const char **ret_why)
{
  const struct ArrowSchema *bounds = s->t.rows.children[s->t.at_range]->children[k];
  const struct cql_type *type = &s->t.col[s->t.clustering[k]].type;
  int rc = MR_OK;
  if (box->bounded != (int32_t)k)
    return mr_column_null(c) ? MR_OK : MR_FATAL;
  for (int side = 0; rc >= 0 && side < 2; side++)
    if (box->has[side])
      rc = cql_value(&c->child[side], type, bounds->children[side], box->bound[side].p,
                     box->bound[side].len, ret_why);
    else
      rc = mr_column_null(&c->child[side]) ? MR_OK : MR_FATAL;
  for (int side = 0; rc >= 0 && side < 2; side++)
    if (!mr_column_bool(&c->child[MR_LOWER_INC + side], box->inclusive[side]))
      rc = MR_FATAL;
  return rc < 0 ? rc : mr_column_end(c) ? MR_OK : MR_FATAL;
}

static int add_range(struct cass_changes *s, const struct row *r, const char **ret_why,
                     uint32_t *ret_k)
{
  struct mr_column *range = s->t.at_range < 0 ? NULL : &s->t.column[s->t.at_range];
  int rc = MR_OK;
  if (!range)
    return MR_OK;
  if (!r->box)
    return mr_column_null(range) ? MR_OK : MR_FATAL;
  for (uint32_t k = 0; rc >= 0 && k < s->t.n_clustering; k++) {
    *ret_k = k;
    rc = add_bounds(s, &range->child[k], k, r->box, ret_why);
  }
  return rc < 0 ? rc : mr_column_end(range) ? MR_OK : MR_FATAL;
}

static bool add_system(struct cass_changes *s, const struct row *r, struct origin *o)
{
  struct src_message m = {.op = r->op,
                          .timestamp_us = r->time,
                          .position = o->position,
                          .element = o->element++,
                          .ttl = r->ttl,
                          .expires_us = r->expires * 1000000};
  return src_system_add(&s->system, &m, 1);
}

/* Half a row in the columns is undone by whoever refuses. A child of a struct that did not end has
 * more than its parent: the parent cannot undo that. */
static void even(struct mr_column *c, int64_t n)
{
  for (int64_t i = 0; i < c->n_child; i++) {
    if (c->kind == MR_K_STRUCT) {
      even(&c->child[i], n);
      mr_column_truncate(&c->child[i], n);
    }
  }
}

static int add_row(struct cass_changes *s, const struct row *r, struct origin *o,
                   struct mr_error *err)
{
  const char *why = "", *column = "";
  uint32_t k = 0;
  int rc = MR_OK;
  if (o->refused)
    return MR_OK;
  for (size_t i = 0; rc >= 0 && i < s->t.n_col; i++) {
    rc = add_value(s, i, r, &why);
    column = s->t.col[i].name;
  }
  if (rc >= 0) {
    rc = add_range(s, r, &why, &k);
    if (rc == MR_REJECT) {
      column = s->t.col[s->t.clustering[k]].name;
      even(&s->t.column[s->t.at_range], s->n);
    }
  }
  if (rc == MR_REJECT)
    return refuse(s, o, column, why, err);
  if (rc < 0 || !add_set(s, r) || !add_system(s, r, o))
    return src_no_memory(err);
  s->n++;
  s->bytes += 64;
  return MR_OK;
}

/* ---- rows of what is written */

static bool wants_ttl(const struct cass_changes *s)
{
  return src_system_wants(&s->system, SRC_TTL) || src_system_wants(&s->system, SRC_EXPIRES);
}

/* One row of all writes that fit it; they are taken out of the list. */
static int give_group(struct cass_changes *s, struct row *r, struct origin *o, bool all,
                      struct mr_error *err)
{
  bool ttl = wants_ttl(s);
  for (size_t i = 0; i < s->n_write; i++) {
    struct write *w = &s->write[i];
    bool fits = all || (w->time == r->time &&
                        (!ttl || !w->live || (w->ttl == r->ttl && w->expires == r->expires)));
    if (w->given || !fits)
      continue;
    w->given = true;
    if (w->column >= 0)
      s->t.by_column[w->column] = w;
  }
  int rc = add_row(s, r, o, err);
  memset(s->t.by_column, 0, s->t.n_col * sizeof *s->t.by_column);
  return rc;
}

/* The next write that is in no row yet: one that lives before others, as it has a time to live. */
static const struct write *next_write(const struct cass_changes *s)
{
  const struct write *found = NULL;
  for (size_t i = 0; i < s->n_write; i++)
    if (!s->write[i].given && (!found || (s->write[i].live && !found->live)))
      found = &s->write[i];
  return found;
}

/* Rows of s->write by time, and by time to live. first: a row that is there in any case. */
static int give_writes(struct cass_changes *s, struct row *r, struct origin *o, bool first,
                       struct mr_error *err)
{
  const struct write *w;
  int rc = first ? give_group(s, r, o, false, err) : MR_OK;
  while (rc >= 0 && (w = next_write(s))) {
    if (first)
      r->op = "update";
    first = true;
    r->time = w->time;
    r->ttl = w->live ? w->ttl : 0;
    r->expires = w->live ? w->expires : 0;
    rc = give_group(s, r, o, false, err);
  }
  return rc;
}

/* ---- rows that the node has stored */

struct stored {
  struct cql_columns columns;
  const struct cql_column *types; /* of its items */
  struct clog_bytes *cell;
};

static int64_t cell_time(const struct clog_bytes *c)
{
  return c->len == 8 ? (int64_t)cql_be64(c->p) : CLOG_NEVER;
}

/* The WRITETIME of a column; of a collection a list of them, with nulls: the newest. */
static int64_t time_of(const struct stored *st, const struct change_column *c)
{
  if (c->time < 0 || c->missing)
    return CLOG_NEVER;
  const struct clog_bytes *cell = &st->cell[c->time];
  if (st->types[c->time].type.kind != CQL_LIST)
    return cell_time(cell);
  struct cql_read r = cql_read_of(cell->p, cell->len > 0 ? (size_t)cell->len : 0);
  int64_t newest = CLOG_NEVER;
  for (int32_t n = cell->len > 0 ? cql_read_i32(&r) : 0; n > 0 && !r.failed; n--) {
    int64_t len;
    const uint8_t *p = cql_read_value(&r, &len);
    struct clog_bytes v = {p, (int32_t)len};
    if (cell_time(&v) > newest)
      newest = cell_time(&v);
  }
  return newest;
}

static int64_t newest_of(const struct cass_changes *s, const struct stored *st)
{
  int64_t newest = CLOG_NEVER;
  for (size_t i = 0; i < s->t.n_col; i++) {
    int64_t t = time_of(st, &s->t.col[i]);
    if (t > newest)
      newest = t;
  }
  return newest;
}

static bool is_value(const struct change_column *c)
{
  return c->kind > CASS_CLUSTERING;
}

/* All columns of a stored row become writes, none older than `least`. nulls: null ones, too. */
static bool stored_writes(struct cass_changes *s, const struct stored *st, int64_t least,
                          bool nulls)
{
  int64_t newest = newest_of(s, st); /* for what has no time of its own */
  s->n_write = 0;
  for (size_t i = 0; i < s->t.n_col; i++) {
    const struct change_column *c = &s->t.col[i];
    const struct clog_bytes *v = is_value(c) ? &st->cell[c->item] : NULL;
    if (!v || c->missing || (v->len < 0 && !nulls))
      continue;
    struct write *w = change_push(s, (int32_t)i);
    if (!w)
      return false;
    int64_t time = time_of(st, c);
    w->time = time > least ? time : least;
    if (w->time == CLOG_NEVER)
      w->time = newest;
    w->value = *v;
    w->type = &st->types[c->item].type;
  }
  return true;
}

/* Rows of a stored one, with times from `least` on; where nothing has a later one, that is it. */
static int give_stored(struct cass_changes *s, const struct stored *st, const char *op,
                       int64_t least, bool nulls, struct origin *o, struct mr_error *err)
{
  struct row r = {.op = op,
                  .key = st->cell,
                  .clustering = st->cell + s->t.n_key,
                  .n_clustering = s->t.n_clustering,
                  .types = st->types,
                  .time = least};
  if (!stored_writes(s, st, least, nulls || s->whole))
    return src_no_memory(err);
  if (!s->whole)
    return give_writes(s, &r, o, !s->n_write, err);
  int64_t newest = newest_of(s, st);
  r.time = newest > least ? newest : least;
  return give_group(s, &r, o, true, err);
}

static bool next_stored(struct cass_changes *s, struct cql_rows *rows, struct stored *st)
{
  if (!rows->n || rows->columns.n != s->t.n_items)
    return false;
  rows->n--;
  for (int32_t i = 0; i < s->t.n_items; i++) {
    int64_t len;
    const uint8_t *p = cql_read_value(&rows->cells, &len);
    s->t.cell[i] = (struct clog_bytes){p, (int32_t)len};
  }
  *st = (struct stored){.types = rows->columns.item, .cell = s->t.cell};
  return !rows->cells.failed;
}

/* A row of the partition, or just what its static columns make of it? */
static bool is_row(const struct cass_changes *s, const struct stored *st)
{
  bool any = false;
  if (!s->is_static)
    return !s->t.n_clustering || st->cell[s->t.n_key].len >= 0;
  for (size_t i = 0; i < s->t.n_col && !any; i++)
    any = is_value(&s->t.col[i]) && !s->t.col[i].missing && st->cell[s->t.col[i].item].len >= 0;
  return any;
}

static int open_answer(const struct cass_changes *s, const struct answer *a, size_t i,
                       struct cql_rows *ret, struct mr_error *err)
{
  struct cql_frame f = {.version = (uint8_t)s->conn->version,
                        .opcode = CQL_RESULT,
                        .body = a->body[i],
                        .len = a->len[i]};
  int rc = cql_reply_rows(&f, ret, err);
  if (rc >= 0 && ret->n && ret->columns.n != s->t.n_items)
    rc = src_fail(err, MR_FATAL, "", "the node gave another number of columns than were asked for");
  if (rc < 0)
    cql_columns_done(&ret->columns);
  return rc;
}

/* ---- events */

static struct origin origin_of(const struct cass_changes *s, const struct cass_place *at)
{
  /* Segments are numbered from the milliseconds of 2020 on, and entries are 8 bytes apart. */
  const int64_t epoch = INT64_C(1577836800000);
  return (struct origin){.lane = at->lane,
                         .at = cass_place_position(at),
                         .position = (uint64_t)(at->segment - epoch) << 25 |
                                     ((uint64_t)at->position >> 3 & ((1u << 25) - 1)),
                         .from = s->n};
}

static struct row row_of(const struct clog_event *e, const char *op, int64_t time)
{
  return (struct row){.op = op,
                      .key = e->key,
                      .clustering = e->clustering,
                      .n_clustering = e->n_clustering,
                      .time = time};
}

static int delete_row(struct cass_changes *s, const struct clog_event *e, int64_t time,
                      struct origin *o, struct mr_error *err)
{
  struct row r = row_of(e, "delete", time);
  return add_row(s, &r, o, err);
}

static int delete_partition(struct cass_changes *s, const struct clog_event *e, int64_t time,
                            struct origin *o, struct mr_error *err)
{
  static const struct box all = {.bounded = -1};
  struct row r = row_of(e, "delete", time);
  r.n_clustering = 0;
  if (s->t.n_clustering)
    r.box = &all;
  return add_row(s, &r, o, err);
}

static int delete_range(struct cass_changes *s, const struct clog_event *e, struct origin *o,
                        struct mr_error *err)
{
  size_t n = range_boxes(e, s->t.box);
  int rc = MR_OK;
  for (size_t i = 0; rc >= 0 && i < n; i++) {
    struct row r = row_of(e, "delete", e->timestamp);
    r.clustering = s->t.box[i].equal;
    r.n_clustering = s->t.box[i].n_equal;
    r.box = &s->t.box[i];
    rc = add_row(s, &r, o, err);
  }
  return rc;
}

/* Collections that were changed in part get their stored values. */
static void fill_elements(struct cass_changes *s, const struct stored *st)
{
  for (size_t i = 0; i < s->n_write; i++) {
    struct write *w = &s->write[i];
    if (!w->stored || s->t.col[w->column].missing)
      continue;
    int32_t item = s->t.col[w->column].item;
    w->value = st->cell[item];
    w->type = &st->types[item].type;
  }
}

static int give_written(struct cass_changes *s, const struct clog_event *e, struct origin *o,
                        struct mr_error *err)
{
  bool insert = e->op == CLOG_INSERT;
  struct row r = row_of(e, insert ? "insert" : "update", e->timestamp);
  r.ttl = e->ttl;
  r.expires = e->expires;
  return give_writes(s, &r, o, insert, err);
}

/* An event whose row was read. */
static int give_read(struct cass_changes *s, const struct clog_event *e, const struct plan *plan,
                     const struct answer *a, struct origin *o, struct mr_error *err)
{
  struct cql_rows rows;
  struct stored st;
  int64_t time = plan->lift != CLOG_NEVER ? plan->lift : e->timestamp;
  int rc = open_answer(s, a, 0, &rows, err);
  if (rc < 0)
    return rc;
  bool there = next_stored(s, &rows, &st) && is_row(s, &st);
  if (rows.cells.failed)
    rc = src_fail(err, MR_FATAL, "", "malformed answer of Cassandra: rows that end too early");
  else if (!there)
    rc = delete_row(s, e, time, o, err);
  else if (plan->need == NEED_ROW)
    rc = give_stored(s, &st, e->op == CLOG_INSERT ? "insert" : "update", time, true, o, err);
  else {
    fill_elements(s, &st);
    rc = give_written(s, e, o, err);
  }
  cql_columns_done(&rows.columns);
  return rc;
}

/* Are the columns as old as the deletion gone? A row of its key alone tells nothing. */
static bool shows_deletion(const struct cass_changes *s, const struct stored *st, int64_t deleted)
{
  bool any = false, older = false;
  for (size_t i = 0; i < s->t.n_col; i++) {
    int64_t time = s->t.col[i].multi ? CLOG_NEVER : time_of(st, &s->t.col[i]);
    any |= time != CLOG_NEVER;
    older |= time != CLOG_NEVER && time <= deleted;
  }
  return any && !older;
}

static bool shows_writes(const struct cass_changes *s, const struct stored *st)
{
  bool shows = true;
  for (size_t i = 0; shows && i < s->n_write; i++) {
    const struct write *w = &s->write[i];
    const struct change_column *c = w->column < 0 ? NULL : &s->t.col[w->column];
    if (!c || c->multi || c->missing)
      continue;
    int64_t time = time_of(st, c);
    shows = w->live ? time >= w->time : time == CLOG_NEVER || time > w->time;
  }
  return shows;
}

static bool shows_elements(struct cass_changes *s, const struct stored *st,
                           const struct clog_event *e)
{
  bool shows = true;
  for (uint32_t i = 0; shows && i < e->n_cells; i++) {
    const struct clog_cell *c = &e->cell[i];
    int32_t column = c->column->multi ? change_column(s, e, c->column) : -1;
    if (column >= 0 && !s->t.col[column].missing)
      shows = change_has_element(c, &s->t.col[column].type, &st->cell[s->t.col[column].item]);
  }
  return shows;
}

/* Does the event leave a row behind? */
static bool makes_row(const struct cass_changes *s, const struct clog_event *e)
{
  bool live = e->op == CLOG_INSERT;
  for (size_t i = 0; e->op == CLOG_UPDATE && !live && i < s->n_write; i++)
    live = s->write[i].live;
  return live;
}

bool change_is_confirmed(struct cass_changes *s, const struct change_item *item)
{
  const struct clog_event *e = &item->event;
  struct mr_error err = {.size = sizeof err};
  struct cql_rows rows;
  struct stored st;
  bool writes = e->op == CLOG_INSERT || e->op == CLOG_UPDATE;
  if (!change_writes(s, e) || open_answer(s, &item->answer, 0, &rows, &err) < 0)
    return true; /* to be told where it is used */
  bool shows;
  if (!next_stored(s, &rows, &st) || !is_row(s, &st))
    shows = !makes_row(s, e);
  else
    shows = writes ? shows_writes(s, &st) && shows_elements(s, &st, e)
                   : shows_deletion(s, &st, e->timestamp);
  cql_columns_done(&rows.columns);
  return shows;
}

/* A partition that was read: all of it is deleted, and what there is written anew. */
static int give_partition(struct cass_changes *s, const struct clog_event *e,
                          const struct plan *plan, const struct answer *a, struct origin *o,
                          struct mr_error *err)
{
  int rc = delete_partition(s, e, plan->lift, o, err);
  for (size_t i = 0; rc >= 0 && i < a->n; i++) {
    struct cql_rows rows;
    struct stored st;
    if ((rc = open_answer(s, a, i, &rows, err)) < 0)
      return rc;
    while (rc >= 0 && next_stored(s, &rows, &st))
      if (is_row(s, &st))
        rc = give_stored(s, &st, "insert", plan->lift + 1, true, o, err);
    if (rc >= 0 && rows.cells.failed)
      rc = src_fail(err, MR_FATAL, "", "malformed answer of Cassandra: rows that end too early");
    cql_columns_done(&rows.columns);
  }
  return rc;
}

int change_rows(struct cass_changes *s, const struct clog_event *e, const struct cass_place *at,
                const struct plan *plan, const struct answer *answer, struct mr_error *err)
{
  struct origin o = origin_of(s, at);
  switch (plan->need) {
  case NEED_ELEMENTS:
  case NEED_ROW: return give_read(s, e, plan, answer, &o, err);
  case NEED_PARTITION: return give_partition(s, e, plan, answer, &o, err);
  case NEED_NOTHING: break;
  }
  switch (e->op) {
  case CLOG_DELETE_ROW: return delete_row(s, e, e->timestamp, &o, err);
  case CLOG_DELETE_PARTITION: return delete_partition(s, e, e->timestamp, &o, err);
  case CLOG_DELETE_RANGE: return delete_range(s, e, &o, err);
  default: return give_written(s, e, &o, err);
  }
}

/* ---- scans */

int cass_changes_scanned(struct cass_changes *self, const struct cql_column *types,
                         const struct cass_cell *cell, uint32_t lane, const struct mr_position *at,
                         struct mr_error *err)
{
  struct origin o = {.lane = lane, .at = *at, .from = self->n};
  if (at->len > 8) /* behind its kind a scan's position has the token */
    o.position = cql_be64(at->token + 1);
  struct stored st = {.types = types, .cell = self->t.cell};
  for (int32_t i = 0; i < self->t.n_items; i++)
    self->t.cell[i] = (struct clog_bytes){cell[i].p, (int32_t)cell[i].n};
  if (!is_row(self, &st))
    return MR_OK;
  int64_t newest = newest_of(self, &st);
  for (size_t i = 0; i < self->t.n_col; i++)
    if (self->t.col[i].multi && time_of(&st, &self->t.col[i]) != CLOG_NEVER)
      seen_raise(&self->seen, change_partition(st.cell, self->t.n_key),
                 time_of(&st, &self->t.col[i]));
  return give_stored(self, &st, "insert", newest == CLOG_NEVER ? 0 : CLOG_NEVER, false, &o, err);
}
